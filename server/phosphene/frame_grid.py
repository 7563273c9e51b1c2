"""Where the frames of a screen lie, learnt from its flips."""

import math

EARLY = 0.1
"""Part of a frame by which the grid may have been thought too late."""
GAIN = 0.05
"""Part of a delay that moves the grid: enough to follow a rate that is 0.1 % off."""


class FrameGrid:
    """Frames in seconds on the LSL clock.

    A flip never returns before its frame, but a busy computer may let it return a good part of a
    frame after. An earlier flip than expected therefore moves the grid at once, a later one hardly.
    """

    def __init__(self, refresh_rate: float) -> None:
        self._period = 1 / refresh_rate
        self.frame = -math.inf
        """Time of the newest frame."""

    def next_after(self, now: float) -> float:
        """Return the time of the first frame that can still be drawn."""
        if self.frame == -math.inf:
            return now + self._period
        n_frames = math.ceil((now - self.frame) / self._period - 1e-6)
        return self.frame + max(1, n_frames) * self._period

    def flipped(self, time: float) -> int:
        """Move on to the frame of a flip that returned at ``time``; return the frames missed."""
        if self.frame == -math.inf:
            self.frame = time
            return 0
        n_frames = max(1, math.floor((time - self.frame) / self._period + EARLY))
        expected = self.frame + n_frames * self._period
        self.frame = min(time, expected + GAIN * (time - expected))
        return n_frames - 1
