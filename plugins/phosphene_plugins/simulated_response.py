"""The waveform that an image evokes in the simulated subject."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from phosphene import Onset
from phosphene_plugins.simulated_code import Code
from phosphene_plugins.simulated_eyes import Samples
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
VARIATION = 0.15
"""Standard deviation of the log amplitude of an evoked response over trials."""


class Evoked:
    """P1, N1 and P2, which all images evoke, and the code of the class if it is in the waveform."""

    def __init__(self, settings: SubjectSettings, head: Head, code: Code, seed: int) -> None:
        times = np.arange(round(DURATION * settings.sfreq)) / settings.sfreq
        hind = head.leadfield[:, head.hind]
        self._common: Samples = _common_field(head) * _bumps(times, COMMON).sum(axis=0)
        self._waves = _bumps(times, [(*wave, 1.0) for wave in WAVES])
        self._field = hind * _evoked_scale(hind[head.scalp], self._waves)
        self._settings, self._code, self._seed = settings, code, seed

    def __call__(self, onset: Onset) -> Samples:
        """Return volts from the onset on, (n_channels, n_times)."""
        rng = np.random.default_rng((self._seed, 1, onset.seq))
        coded = self._settings.code == "evoked" and onset.event == "stimulus"
        evoked = self._common + self._coded(onset) if coded else self._common
        return evoked * np.float32(rng.lognormal(0, VARIATION))

    def _coded(self, onset: Onset) -> Samples:
        weights = (self._settings.strength * self._code(onset)).astype(np.float32)
        coded: Samples = self._field @ (weights @ self._waves)
        return coded


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
