"""What the simulated subject's amplifier records that is not brain.

Each makes its time courses frame after frame, from a generator of its own, so that switching one on
changes nothing else.
"""

import numpy as np
from numpy.typing import NDArray

from phosphene_plugins.simulated_eyes import BLINK_RISE, Samples
from phosphene_plugins.simulated_leadfield import Head
from phosphene_plugins.simulated_settings import SubjectSettings

MUSCLES = ((0.08, 0.03, 0.0), (-0.08, 0.03, 0.0), (0.05, -0.08, -0.04), (-0.05, -0.08, -0.04))
"""Temples and neck: metres in the head frame."""
MUSCLE = 40e-6
"""Volts rms at the peak of a burst, at an electrode on the muscle."""
MUSCLE_REACH = 0.035
"""Metres in which it falls to 1/e."""
MUSCLE_BAND = (20.0, 200.0)
"""Hz."""
BURST_RISE = 0.25
"""Seconds to the peak of a burst."""
POP = 120e-6
"""Volts, the median of an electrode's pops."""
POP_TAU = 0.3
"""Seconds in which a pop falls to 1/e."""
HARMONICS = 5


class Pulses:
    """Time courses that rise and fall like t exp(-t), to peaks of 1, at random times."""

    def __init__(
        self, settings: SubjectSettings, rise: float, per_minute: float, count: int
    ) -> None:
        pole = np.exp(-1 / (rise * settings.sfreq))
        peak = np.e / (rise * settings.sfreq)
        self._sos = np.array([[0, peak, 0, 1, -2 * pole, pole**2]])
        self._state = np.zeros((1, count, 2))
        self._rate = per_minute / 60 / settings.sfreq

    def __call__(self, n_times: int, rng: np.random.Generator) -> Samples:
        """Return (count, n_times)."""
        from scipy.signal import sosfilt

        starts = rng.poisson(self._rate, (self._state.shape[1], n_times)).astype(np.float64)
        pulses: NDArray[np.float64]
        pulses, self._state = sosfilt(self._sos, starts, zi=self._state)
        return pulses.astype(np.float32)


class Blinks:
    """The eyelids."""

    def __init__(self, settings: SubjectSettings, rng: np.random.Generator) -> None:
        self._pulses, self._rng = Pulses(settings, BLINK_RISE, settings.blinks, 1), rng

    def __call__(self, n_times: int) -> Samples:
        """Return one time course with peaks of 1, (1, n_times)."""
        return self._pulses(n_times, self._rng)


class Muscle:
    """Bursts of noise at each of ``MUSCLES``."""

    def __init__(self, settings: SubjectSettings, rng: np.random.Generator) -> None:
        from phosphene_plugins.simulated_filters import Filtered, band_pass

        low, high = MUSCLE_BAND
        sos = band_pass(settings.sfreq, low, min(high, 0.45 * settings.sfreq))
        self._noise = Filtered(len(MUSCLES), sos, rng)
        each = settings.muscle / len(MUSCLES)
        self._bursts, self._rng = Pulses(settings, BURST_RISE, each, len(MUSCLES)), rng

    def __call__(self, n_times: int) -> Samples:
        """Return time courses, unit variance at the peak of a burst, (n_muscles, n_times)."""
        bursts: Samples = self._bursts(n_times, self._rng) * self._noise(n_times)
        return bursts


class Mains:
    """Sine and cosine of the power line and of its harmonics."""

    def __init__(self, settings: SubjectSettings) -> None:
        self._cycles = multiples(settings) / settings.sfreq
        self._index = 0

    def __call__(self, n_times: int) -> Samples:
        """Return (2 x n_frequencies, n_times)."""
        index = np.arange(self._index, self._index + n_times)
        self._index += n_times
        phase = 2 * np.pi * (self._cycles[:, np.newaxis] * index % 1)
        return np.asarray(np.concatenate([np.sin(phase), np.cos(phase)]), np.float32)


class Pops:
    """Steps of single electrodes that fade."""

    def __init__(self, settings: SubjectSettings, count: int, rng: np.random.Generator) -> None:
        self._pole = np.exp(-1 / (POP_TAU * settings.sfreq))
        self._state = np.zeros((count, 1))
        self._rate = settings.pops / 60 / settings.sfreq
        self._rng = rng

    def __call__(self, n_times: int) -> Samples:
        """Return volts by electrode, (count, n_times)."""
        from scipy.signal import lfilter

        steps = np.zeros((len(self._state), n_times))
        for _ in range(self._rng.poisson(self._rate * n_times)):
            size = POP * self._rng.lognormal(0, 0.5) * self._rng.choice((-1, 1))
            steps[self._rng.integers(len(steps)), self._rng.integers(n_times)] += size
        pops, self._state = lfilter([1], [1, -self._pole], steps, zi=self._state)
        return np.asarray(pops, np.float32)


class Drift:
    """Gains whose logarithms are Ornstein-Uhlenbeck processes, one for each electrode."""

    def __init__(self, settings: SubjectSettings, count: int, rng: np.random.Generator) -> None:
        self._size, self._rng = settings.drift, rng
        self._rate = 1 / (settings.drift_tau * settings.sfreq)
        self._level = rng.standard_normal(count)

    def __call__(self, n_times: int) -> Samples:
        """Return factors, (count, n_times)."""
        start = self._level
        kept = np.exp(-n_times * self._rate)
        new = self._rng.standard_normal(len(start))
        self._level = kept * start + np.sqrt(1 - kept**2) * new
        edges = np.exp(self._size * np.stack([start, self._level], axis=1)).astype(np.float32)
        along = np.linspace(0, 1, n_times, endpoint=False, dtype=np.float32)
        gain: Samples = edges[:, :1] + (edges[:, 1:] - edges[:, :1]) * along
        return gain


def multiples(settings: SubjectSettings) -> NDArray[np.float64]:
    """Return the frequencies of the power line in Hz."""
    below = np.ceil(settings.sfreq / 2 / settings.line_frequency) - 1
    count = min(HARMONICS, max(1, int(below))) if settings.harmonics else 1
    return np.asarray(settings.line_frequency * np.arange(1.0, count + 1), np.float64)


def mains_field(settings: SubjectSettings, count: int, rng: np.random.Generator) -> Samples:
    """Return volts of sines and cosines at each of ``count`` channels."""
    n = len(multiples(settings))
    fading = settings.line * settings.harmonics ** np.arange(n)
    size = fading * rng.lognormal(0, 0.4, (count, 1))
    phase = rng.normal(0, 0.5, (count, n))
    field = np.concatenate([size * np.cos(phase), size * np.sin(phase)], axis=1)
    return np.asarray(field, np.float32)


def muscle_field(head: Head) -> Samples:
    """Return volts of each muscle at each channel, (n_channels, n_muscles)."""
    steps = head.positions[:, np.newaxis] - np.array(MUSCLES)
    field = MUSCLE * np.exp(-np.linalg.norm(steps, axis=2) / MUSCLE_REACH)
    bipolar = np.zeros((head.n_eog, len(MUSCLES)))
    return np.vstack([field, bipolar]).astype(np.float32)
