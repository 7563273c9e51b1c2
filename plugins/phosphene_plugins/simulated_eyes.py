"""The simulated subject's eyes: what blinks and glances look like, and when images provoke them.

Amplitudes after Luck (2014), An Introduction to the Event-Related Potential Technique, chapter 6:
blinks of some 100 uV, 16 uV of HEOG for each degree of a glance.
"""

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from phosphene import Onset
from phosphene_plugins.simulated_leadfield import Head
from phosphene_plugins.simulated_settings import SubjectSettings

Samples = NDArray[np.float32]

EYES = (0.033, 0.09, 0.01)
"""Metres in the head frame; the left one at -x."""
NEAREST = 0.0424
"""Metres from the point between the eyes to Fp1, which sees most of a blink."""
REACH = 0.04
"""Metres in which what the eyes do falls to 1/e."""
BLINK, BLINK_VEOG = 150e-6, 250e-6
"""Volts at Fp1 and at VEOG."""
BLINK_RISE = 0.07
"""Seconds from start to peak."""
ASIDE, ASIDE_HEOG = 8e-6, 24e-6
"""Volts of a glance of 1.5 degrees, at the electrode beside the eye and at HEOG."""
UPWARD = 0.12
"""Of a blink: what a glance of 1.5 degrees upwards looks like."""
SPIKE = 10e-6
"""Volts of a saccadic spike at Fp1, and at HEOG and VEOG."""
SPIKE_WIDTH = 0.006
"""Seconds; its power is around 30 Hz."""
LATENCY, LATENCY_SPREAD = 0.22, 0.04
"""Seconds from an image to a glance, and standard deviation."""
STAY = (0.15, 0.30)
"""Seconds until the eyes are back."""
MOST_BLINKS = 0.4
"""Chance of a blink after the image that provokes most of them, at an ``eye_code`` of 1."""
DURATION = 1.4
"""Seconds after an image until the eyes have done what it provokes."""


class Glances:
    """What an image makes the eyes do, as the electrodes see it."""

    def __init__(self, settings: SubjectSettings, head: Head, seed: int) -> None:
        self.n_times = round(DURATION * settings.sfreq) if settings.saccades else 0
        self._times = np.arange(self.n_times) / settings.sfreq
        self._fields = np.stack([blink_field(head), _aside_field(head), _spike_field(head)], axis=1)
        self._chance, self._lock = settings.saccades, settings.eye_code
        self._seed = seed

    def __call__(self, onset: Onset) -> Samples:
        """Return volts from the onset on, (n_channels, n_times)."""
        rng = np.random.default_rng((self._seed, 3, onset.seq))
        habit = np.random.default_rng((self._seed, 4, crc32(onset.wnid.encode())))
        courses = np.zeros((3, self.n_times))
        where, blinks = habit.standard_normal(2), habit.random()
        if rng.random() < self._chance:
            where = self._lock * where + np.sqrt(1 - self._lock**2) * rng.standard_normal(2)
            courses = self._glance(where, rng)
        if rng.random() < MOST_BLINKS * self._lock * blinks:
            courses[0] += blink(self._times - rng.uniform(0.3, 0.6))
        volts: NDArray[np.float64] = self._fields @ courses
        return volts.astype(np.float32)

    def _glance(self, where: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the time courses of blink field, glance aside and spike."""
        start = max(0.1, rng.normal(LATENCY, LATENCY_SPREAD))
        end = start + rng.uniform(*STAY)
        away = (self._times >= start) & (self._times < end)
        spikes = sum(_spike(self._times - time) for time in (start, end))
        return np.stack([UPWARD * where[1] * away, where[0] * away, spikes])


def blink(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a blink that starts at 0 and peaks at 1: it rises and falls like t exp(-t)."""
    course = np.maximum(times, 0) / BLINK_RISE
    shape: NDArray[np.float64] = course * np.exp(1 - course)
    return shape


def blink_field(head: Head) -> NDArray[np.float64]:
    """Return volts by channel at a blink's peak."""
    between = np.array([0, *EYES[1:]])
    return _seen(head, BLINK * _fall(head, between) * np.exp(NEAREST / REACH), 0.0, BLINK_VEOG)


def _aside_field(head: Head) -> NDArray[np.float64]:
    right, left = (_fall(head, np.array([side * EYES[0], *EYES[1:]])) for side in (1, -1))
    return _seen(head, ASIDE * (right - left) / np.exp(-1), ASIDE_HEOG, 0.0)


def _spike_field(head: Head) -> NDArray[np.float64]:
    return _seen(head, blink_field(head)[head.scalp] * SPIKE / BLINK, SPIKE, SPIKE)


def _fall(head: Head, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.linalg.norm(head.positions - centre, axis=1)
    return np.exp(-distance / REACH)


def _seen(head: Head, scalp: NDArray[np.float64], heog: float, veog: float) -> NDArray[np.float64]:
    return np.append(scalp, (heog, veog)[: head.n_eog])


def _spike(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a wave down and up around 0, with peaks of 1: the slope of a Gaussian."""
    course = times / SPIKE_WIDTH
    shape: NDArray[np.float64] = course * np.exp((1 - course**2) / 2)
    return shape
