"""What an image does to the simulated subject's EEG, and how its class shows in that."""

from collections.abc import Callable, Iterable
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from phosphene import Onset, PhospheneError, StimulusSet
from phosphene_plugins.simulated_activity import Samples
from phosphene_plugins.simulated_leadfield import Head
from phosphene_plugins.simulated_settings import SubjectSettings

DURATION = 0.6
"""Seconds after an onset until its response has faded."""
COMMON = ((0.10, 0.016, 1.0), (0.16, 0.024, -1.5), (0.24, 0.040, 1.0))
"""P1, N1 and P2: latency and width in seconds, relative amplitude."""
COMMON_PEAK = 6e-6
"""Volts at the electrode that sees most of it."""
VISUAL_CORTEX = 0.035
"""Metres around the hindmost source in which the common response falls off."""
WAVES = ((0.11, 0.025), (0.17, 0.030), (0.24, 0.040), (0.32, 0.045), (0.42, 0.050))
"""Latency and width in seconds of the waves that carry an evoked code."""
EVOKED_CODE = 7e-6
"""Volts rms at the average electrode of an evoked code of strength 1, while it lasts."""
INDUCED = (0.08, 0.13, 0.45, 0.50)
"""Seconds after the onset: the modulation of power begins, is full, fades, is over."""
VARIATION = 0.15
"""Standard deviation of the log amplitude of an evoked response over trials."""

Code = Callable[[Onset], NDArray[np.float64]]
"""An image's code: a number for each hind source and wave, with unit variance over classes."""


class Responses:
    """Says what must be added to the ongoing activity after an onset."""

    def __init__(
        self, settings: SubjectSettings, head: Head, band_field: Samples, code: Code, seed: int
    ) -> None:
        times = np.arange(round(DURATION * settings.sfreq)) / settings.sfreq
        self.n_times = len(times)
        hind = head.leadfield[:, head.hind]
        self._common: Samples = _common_field(head) * _bumps(times, COMMON).sum(axis=0)
        self._waves = _bumps(times, [(*wave, 1.0) for wave in WAVES])
        self._evoked_field = hind * _evoked_scale(hind, self._waves)
        self._band_field = band_field
        self._window = np.interp(times, INDUCED, (0, 1, 1, 0)).astype(np.float32)
        self._settings, self._code, self._seed = settings, code, seed

    def __call__(self, onset: Onset, band: Samples) -> Samples:
        """Return volts from the onset on, (n_channels, n_times).

        ``band`` is what the hind sources do meanwhile, (n_hind, n_times).
        """
        rng = np.random.default_rng((self._seed, 1, onset.seq))
        code = self._settings.code if onset.event == "stimulus" else "none"
        evoked = self._common + self._evoked(onset) if code == "evoked" else self._common
        response = evoked * np.float32(rng.lognormal(0, VARIATION))
        return response + self._induced(onset, band) if code == "power" else response

    def _evoked(self, onset: Onset) -> Samples:
        weights = (self._settings.strength * self._code(onset)).astype(np.float32)
        evoked: Samples = self._evoked_field @ (weights @ self._waves)
        return evoked

    def _induced(self, onset: Onset, band: Samples) -> Samples:
        """Return the change from scaling each hind source's band activity by exp(code)."""
        change = np.expm1(self._settings.strength * self._code(onset)[:, :1]).astype(np.float32)
        induced: Samples = self._band_field @ (band * change * self._window)
        return induced


def make_code(settings: SubjectSettings, n_hind: int, stimuli: StimulusSet, seed: int) -> Code:
    """Return how the images' codes follow from their classes or from their looks."""
    shape = (n_hind, len(WAVES))
    if settings.geometry == "independent":
        return lambda onset: _rng(seed, onset.wnid).standard_normal(shape)
    return _FeatureCode(stimuli, shape, seed)


class _FeatureCode:
    """A random linear map of the image descriptor: what looks alike has similar codes."""

    def __init__(self, stimuli: StimulusSet, shape: tuple[int, int], seed: int) -> None:
        images = [image for image in stimuli.images if image.role == "train"]
        wnids = np.array([image.wnid for image in images])
        if len(set(wnids)) < 2:
            raise PhospheneError("geometry: features needs images of at least 2 classes")
        features = stimuli.features([image.id for image in images]).astype(np.float64)
        means = np.stack([features[wnids == wnid].mean(axis=0) for wnid in np.unique(wnids)])
        centred = features - means.mean(axis=0)
        spread = np.sqrt(np.sum(means.var(axis=0)))
        projection = _rng(seed, "features").standard_normal((centred.shape[1], np.prod(shape)))
        codes = (centred / spread @ projection).reshape(-1, *shape)
        self._codes: dict[str, NDArray[np.float64]] = {
            image.id: code for image, code in zip(images, codes, strict=True)
        }

    def __call__(self, onset: Onset) -> NDArray[np.float64]:
        if onset.image not in self._codes:
            raise PhospheneError(
                f"the simulated subject was shown {onset.image!r}, "
                "which is not among its stimulus set's training images"
            )
        return self._codes[onset.image]


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng((seed, 2, crc32(name.encode())))


def _bumps(times: NDArray[np.float64], waves: Iterable[tuple[float, float, float]]) -> Samples:
    """Return Gaussian waves given by latency, width and amplitude, (n_waves, n_times)."""
    latency, width, amplitude = np.array(list(waves)).T[..., np.newaxis]
    bumps: NDArray[np.float64] = amplitude * np.exp(-(((times - latency) / width) ** 2) / 2)
    return bumps.astype(np.float32)


def _common_field(head: Head) -> Samples:
    """Return volts at the electrodes at the peak of P1, (n_channels, 1)."""
    sources = head.dipoles[head.hind]
    distance = np.linalg.norm(sources - sources[0], axis=1)
    field = head.leadfield[:, head.hind] @ np.exp(-((distance / VISUAL_CORTEX) ** 2) / 2)
    scaled: NDArray[np.float64] = COMMON_PEAK * field / np.abs(field).max()
    return scaled[:, np.newaxis].astype(np.float32)


def _evoked_scale(hind: Samples, waves: Samples) -> np.float32:
    """Return what makes a code of strength 1 ``EVOKED_CODE`` at the average electrode."""
    power = np.mean(np.sum(hind**2, axis=1)) * np.mean(np.sum(waves**2, axis=0))
    return np.float32(EVOKED_CODE / np.sqrt(power))
