"""How fast a window flips, and whether its flips wait for the screen at all."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from phosphene.clock import Clock

WARM_UP = 10
FLIPS = 60
FASTEST = 1000.0
"""Frames per second that no display reaches; what flips faster waits for nothing."""


@dataclass(frozen=True)
class Measured:
    """How a window flips."""

    rate: float
    """In Hz."""
    waits: bool
    """Whether flips wait for the screen rather than for the drawing."""


def measure(flip: Callable[[], float], clock: Clock) -> Measured:
    """Flip for a second or two and return what was found; ``flip`` returns its time.

    A flip that waits for the screen absorbs a pause of half a frame before it; one that does not
    comes later by the pause. The two kinds alternate, so that a busy computer slows both.
    """
    for _ in range(WARM_UP):
        flip()
    period = _period([flip() for _ in range(FLIPS)])
    durations = [_duration(flip, clock, period / 2 * (n % 2)) for n in range(FLIPS)]
    absorbed = np.median(durations[1::2]) < 1.25 * np.median(durations[::2])
    return Measured(1 / period, bool(absorbed) and 1 / period < FASTEST)


def _period(flips: list[float]) -> float:
    """Return seconds by frame; where frames were missed, an interval counts as several."""
    intervals = np.diff(flips)
    n_frames = np.maximum(1, np.round(intervals / np.median(intervals))).sum()
    return float(intervals.sum() / n_frames)


def _duration(flip: Callable[[], float], clock: Clock, idle: float) -> float:
    start = clock.now()
    clock.sleep_until(start + idle)
    flip()
    return clock.now() - start
