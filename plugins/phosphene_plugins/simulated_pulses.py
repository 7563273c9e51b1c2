"""Channels of the simulated amplifier that see the screen and the triggers, not the brain."""

import numpy as np
from numpy.typing import NDArray

from phosphene import Onset

FLASH = 0.1
"""Seconds that the light of an onset lasts, as the presenter flashes it."""
TRIGGER = 0.01
"""Seconds that a trigger lasts."""
NOISE = 0.01
"""Of the photodiode, as a part of its pulse, which is 1."""


class Pulses:
    """Rows of pulses: one for each delay behind an onset, in samples, and length of the pulse."""

    def __init__(self, rows: list[tuple[int, int]], noisy: list[bool], seed: int) -> None:
        self._rows = rows
        self._noisy = np.array(noisy, bool)
        self._starts: list[int] = []
        self._rng = np.random.default_rng((seed, 7))

    def react(self, start: int, onset: Onset) -> None:
        """Let an onset at sample ``start`` be seen."""
        self._starts.append(start)

    def play(self, start: int, end: int) -> NDArray[np.float32]:
        """Return samples, shape (n_rows, end - start)."""
        played = np.zeros((len(self._rows), end - start), np.float32)
        for row, (delay, length) in zip(played, self._rows, strict=True):
            for first in self._starts:
                begin = first + delay - start
                row[max(0, begin) : max(0, begin + length)] = 1
        noise = self._rng.standard_normal(played.shape, np.float32) * np.float32(NOISE)
        longest = max((sum(row) for row in self._rows), default=0)
        self._starts = [first for first in self._starts if first + longest > end]
        played[self._noisy] += noise[self._noisy]
        return played
