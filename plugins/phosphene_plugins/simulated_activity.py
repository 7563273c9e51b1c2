"""The EEG that the simulated subject has whatever is shown.

It comes in frames of fixed length, so that the same seed gives the same samples however they are
read. Amplitudes are at the average electrode, in units of the setting ``noise``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from phosphene_plugins.simulated_artefacts import (
    Blinks,
    Drift,
    Mains,
    Muscle,
    Pops,
    mains_field,
    muscle_field,
)
from phosphene_plugins.simulated_eyes import Samples, blink_field
from phosphene_plugins.simulated_filters import Filtered, band_pass, falling, normal, resonance
from phosphene_plugins.simulated_leadfield import Head
from phosphene_plugins.simulated_settings import SubjectSettings

FRAME = 0.5
"""Seconds."""
WARM_UP = 6
"""Frames until the slowest filter has forgotten that it started."""
ALPHA_SOURCES = 12
BAND = (14.0, 70.0)
"""Hz; what the paper's filter passes, and what a code in power modulates."""
BAND_ACTIVITY = 0.22
SENSOR_NOISE = 0.15


@dataclass(frozen=True)
class Rhythm:
    """What some sources do in a piece of activity, and how large images have made it."""

    activity: Samples
    """Unit variance, (n_sources, n_times)."""
    level: Samples
    """Log amplitude that is in the signal: 0 until an image changes it; (n_sources, n_times)."""


@dataclass(frozen=True)
class Frame:
    """A piece of ongoing activity."""

    signal: Samples
    """Volts at the electrodes, before their gain; (n_channels, n_times)."""
    rhythms: tuple[Rhythm, ...]
    """Alpha, and the hind sources in ``BAND``."""
    gain: Samples
    """Of the electrodes; (n_channels, n_times)."""


class Activity:
    """Makes frame after frame."""

    def __init__(self, settings: SubjectSettings, head: Head, seed: int) -> None:
        self.n_times = round(FRAME * settings.sfreq)
        self._rhythms = _rhythms(settings, head, seed)
        self._sources = _sources(settings, head, seed)
        self.fields = tuple(field for field, _source in self._rhythms)
        """Volts of each source of each rhythm, (n_channels, n_sources)."""
        self._mixing = np.hstack([*self.fields, *(field for field, _source in self._sources)])
        n_channels = len(head.channels)
        self._pops = Pops(settings, n_channels, _rng(seed, "pops")) if settings.pops else None
        self._drift = Drift(settings, n_channels, _rng(seed, "drift"))
        self._sensor_noise = np.float32(SENSOR_NOISE * settings.noise)
        self._rng = _rng(seed, "sensors")
        for _ in range(WARM_UP):
            self.frame()

    def frame(self) -> Frame:
        """Return the next frame."""
        n_times = self.n_times
        rhythms = [source(n_times) for _field, source in self._rhythms]
        others = [source(n_times) for _field, source in self._sources]
        signal = self._mixing @ np.vstack([*rhythms, *others])
        signal += self._sensor_noise * normal(self._rng, signal.shape)
        if self._pops:
            signal += self._pops(n_times)
        still = tuple(Rhythm(activity, np.zeros_like(activity)) for activity in rhythms)
        return Frame(signal, still, self._drift(n_times))


Source = tuple[Samples, Callable[[int], Samples]]
"""Volts by channel and source, (n_channels, n_sources), and what makes so many samples of them."""


def _rhythms(settings: SubjectSettings, head: Head, seed: int) -> list[Source]:
    alpha = head.field(head.hind[:ALPHA_SOURCES], settings.alpha * settings.noise)
    band = head.field(head.hind, BAND_ACTIVITY * settings.noise)
    filters = (resonance(settings.sfreq), band_pass(settings.sfreq, *BAND))
    return [
        (field, Filtered(field.shape[1], sos, _rng(seed, name)))
        for field, sos, name in zip((alpha, band), filters, ("alpha", "band"), strict=True)
    ]


def _sources(settings: SubjectSettings, head: Head, seed: int) -> list[Source]:
    ongoing = head.field(slice(None), settings.noise)
    lines = mains_field(settings, len(head.channels), _rng(seed, "line"))
    falls = Filtered(ongoing.shape[1], falling(settings.sfreq), _rng(seed, "ongoing"))
    sources: list[Source] = [(ongoing, falls), (lines, Mains(settings))]
    if settings.blinks:
        lids = blink_field(head)[:, np.newaxis].astype(np.float32)
        sources.append((lids, Blinks(settings, _rng(seed, "blinks"))))
    if settings.muscle:
        sources.append((muscle_field(head), Muscle(settings, _rng(seed, "muscle"))))
    return sources


def _rng(seed: int, name: str) -> np.random.Generator:
    """Return a generator of its own, so that switching one thing on changes nothing else."""
    return np.random.Generator(np.random.SFC64((seed, 0, crc32(name.encode()))))
