"""Is there a vertical sync, how fast is it, and what to do without one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, sleep

import numpy as np

WARM_UP = 10
FLIPS = 60


@dataclass(frozen=True)
class Measured:
    """How a window flips."""

    rate: float
    """In Hz."""
    waits: bool
    """Whether flips wait for the screen rather than for the drawing."""


def measure(flip: Callable[[], float]) -> Measured:
    """Flip for a second or two and return what was found.

    A flip that waits for the screen absorbs a short sleep before it; one that does not takes
    longer by the sleep.
    """
    for _ in range(WARM_UP):
        flip()
    period = _period([flip() for _ in range(FLIPS)])
    plain, slept = [], []
    for _ in range(FLIPS // 3):
        plain.append(_duration(flip, 0))
        slept.append(_duration(flip, period / 2))
    return Measured(1 / period, bool(np.median(slept) < 1.25 * np.median(plain)))


def _period(flips: list[float]) -> float:
    """Return seconds by frame; a missed frame counts as one."""
    intervals = np.diff(flips)
    n_frames = np.maximum(1, np.round(intervals / np.median(intervals))).sum()
    return float(intervals.sum() / n_frames)


def _duration(flip: Callable[[], float], idle: float) -> float:
    start = perf_counter()
    sleep(idle)
    flip()
    return perf_counter() - start


class Pacer:
    """Waits for the frames of a screen that there is not."""

    def __init__(self, rate: float) -> None:
        self._period = 1 / rate
        self._due = perf_counter()

    def wait(self) -> None:
        """Return at the next frame; frames that have passed are skipped."""
        self._due += self._period
        behind = perf_counter() - self._due
        if behind > 0:
            self._due += math.ceil(behind / self._period) * self._period
        sleep(max(0.0, self._due - perf_counter()))
