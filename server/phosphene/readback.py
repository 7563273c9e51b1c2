"""When a stimulus appeared, by what the amplifier saw of it: pulses of a photodiode or a trigger.

The flip of a screen is when the computer said "now"; light comes later, by a time that differs
between screens and is the same from frame to frame on a good one. Pulses are matched one to one
with the onsets that the presenter sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phosphene.events import Onset

EARLY, LATE = 0.05, 0.2
"""Seconds before and behind its flip in which an onset's pulse may begin."""
CONTRAST = 5.0
"""Height of a pulse, in robust standard deviations of the channel at rest: none by chance."""
RISE, FALL = 0.5, 0.25
"""Parts of a pulse's height at which it begins, and below which the next one may."""
TOLERATED = 0.005
"""Seconds by which a measured lag may differ from the one that epochs are cut with."""

Array = NDArray[np.float64]
Source = Literal["photodiode", "trigger", "flip"]


@dataclass(frozen=True)
class Evidence:
    """When one stimulus appeared; times are seconds on the LSL clock."""

    onset: Onset
    lag: float
    """From flip to light, as the session's settings have it."""
    photodiode: float | None = None
    trigger: float | None = None

    @property
    def source(self) -> Source:
        """The best there is: light, or the amplifier's trigger, or the flip."""
        if self.photodiode is not None:
            return "photodiode"
        return "flip" if self.trigger is None else "trigger"

    @property
    def time(self) -> float:
        """When there was light; a trigger and a flip come before it."""
        if self.photodiode is not None:
            return self.photodiode
        return (self.onset.time if self.trigger is None else self.trigger) + self.lag


@dataclass(frozen=True)
class ReadBack:
    """What one channel says of a recording's onsets."""

    times: Mapping[int, float]
    """Of the pulse, by number of the onset."""
    n_images: int
    n_missing: int
    """Images without a pulse."""
    n_unmatched: int
    """Pulses that belong to no onset."""
    lags: tuple[float, ...]
    """Seconds from flip to pulse, by matched onset."""

    def remarks(self, name: str, lag: float | None = None) -> list[str]:
        """Return what should make a lab look at the channel ``name``; ``lag`` is the one in use."""
        said = []
        if self.n_missing:
            said.append(f"{self.n_missing} of {self.n_images} images have no pulse on {name}")
        if self.n_unmatched:
            said.append(f"{self.n_unmatched} pulses on {name} belong to no image")
        if lag is not None and self.lags and abs(self.lag - lag) > TOLERATED:
            said.append(
                f"{name} sees the light {1000 * self.lag:.1f} ms behind the flip, but epochs are "
                f"cut {1000 * lag:.1f} ms behind it: write 'screen: {{lag: {self.lag:.4f}}}'"
            )
        return said

    @property
    def lag(self) -> float:
        """Median seconds from flip to pulse."""
        return float(np.median(self.lags))


def read_back(onsets: Sequence[Onset], pulses: Array) -> ReadBack:
    """Match the times of pulses with onsets.

    Only images must have one: where no picture came in time, a cross appears without a flash.
    """
    images = [onset for onset in onsets if onset.event == "stimulus"]
    matched: dict[int, float] = {}
    taken: set[int] = set()
    for onset in onsets:
        near = np.flatnonzero((pulses >= onset.time - EARLY) & (pulses <= onset.time + LATE))
        free = [int(index) for index in near if int(index) not in taken]
        if free:
            taken.add(free[0])
            matched[onset.seq] = float(pulses[free[0]])
    during = (pulses >= onsets[0].time - EARLY) & (pulses <= onsets[-1].time + LATE)
    lags = tuple(matched[o.seq] - o.time for o in onsets if o.seq in matched)
    n_missing = sum(onset.seq not in matched for onset in images)
    return ReadBack(matched, len(images), n_missing, int(during.sum()) - len(taken), lags)


def find_pulses(onsets: Sequence[Onset], times: Array, values: Array) -> Array:
    """Return when the pulses of a channel, sampled at ``times``, begin, to a fraction of a sample.

    How high a pulse is, is learnt from what follows the images; a channel without contrast has
    none.
    """
    expected = np.array([onset.time for onset in onsets if onset.event == "stimulus"])
    rest, high, noise = _levels(expected, times, values)
    height = high - rest
    if not abs(height) > CONTRAST * noise or height == 0:
        return np.empty(0)
    part = (values - rest) / height  # A diode may pull its channel down.
    state = np.where(part >= RISE, 1.0, np.where(part < FALL, 0.0, np.nan))
    known = np.maximum.accumulate(np.where(np.isnan(state), 0, np.arange(len(state))))
    held = np.nan_to_num(state[known])
    at = np.flatnonzero(np.diff(held) > 0) + 1
    before, after = part[at - 1], part[at]
    fraction = (RISE - before) / np.maximum(after - before, np.finfo(float).tiny)
    return np.asarray(times[at - 1] + np.clip(fraction, 0, 1) * (times[at] - times[at - 1]))


def _levels(expected: Array, times: Array, values: Array) -> tuple[float, float, float]:
    """Return the channel's level at rest, in a pulse, and the noise of the former."""
    rests, peaks, noises = [], [], []
    for time in expected:
        before = values[slice(*np.searchsorted(times, (time - 2 * EARLY, time - EARLY)))]
        behind = values[slice(*np.searchsorted(times, (time - EARLY, time + LATE)))]
        if len(before) and len(behind):
            rests.append(np.median(before))
            noises.append(1.4826 * np.median(np.abs(before - rests[-1])))
            deviation = behind - rests[-1]
            peaks.append(behind[np.argmax(np.abs(deviation))])
    if not rests:
        return 0.0, 0.0, 0.0
    return float(np.median(rests)), float(np.median(peaks)), float(np.median(noises))
