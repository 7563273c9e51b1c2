"""The simulated subject as a source: ongoing activity, and responses to what is on the screen."""

import math
from collections.abc import Iterator

import numpy as np

from phosphene import Context, Onset, PhospheneError, Signal, SignalSpec
from phosphene_plugins.simulated_activity import Activity, Frame, Samples
from phosphene_plugins.simulated_leadfield import load_head
from phosphene_plugins.simulated_response import Responses, make_code
from phosphene_plugins.simulated_settings import SubjectSettings

LAG = 0.06
"""Seconds by which samples come late on a live clock: an onset needs time to get here before the
samples that respond to it are given away."""
BLOCK = 0.01
"""Seconds that the amplifier collects on a live clock before it sends."""
HISTORY = 0.5
"""Seconds of samples kept for the rest of a response to an onset that came too late."""
FORESIGHT = 1.0
"""Seconds that an onset may lie ahead before the clocks must be different ones."""


class SimulatedSubject:
    """A source that reacts to the onsets in the context's feed."""

    def __init__(self, settings: SubjectSettings, context: Context) -> None:
        head = load_head().reduced(settings.channels)
        seed = context.seed if settings.seed is None else settings.seed
        activity = Activity(settings, head, np.random.Generator(np.random.SFC64((seed, 0))))
        code = make_code(settings, len(head.hind), context.stimuli, seed)
        self.spec = SignalSpec(
            head.channels, ("eeg",) * settings.channels, settings.sfreq, head.electrodes()
        )
        self._responses = Responses(settings, head, activity.band_field, code, seed)
        self._tape = _Tape(activity, round(HISTORY * settings.sfreq))
        self._onsets, self._clock = context.onsets, context.clock
        self._start = context.clock.now()
        self._next = 0

    def read(self, timeout: float) -> Signal | None:
        """Return the samples up to now, on a live clock up to 60 ms ago; None if there are none.

        ``timeout`` matters on a live clock only: another one stands still while we wait.
        """
        if self._clock.live:
            self._wait(timeout)
        while self._onsets:
            self._react(self._onsets.popleft())
        end = self._index(self._clock.now() - (LAG if self._clock.live else 0.0))
        if end <= self._next:
            return None
        start, self._next = self._next, end
        stamps = self._start + np.arange(start, end) / self.spec.sfreq
        return Signal(self._tape.play(start, end), stamps)

    def close(self) -> None:
        """Do nothing: there is no device."""

    def _wait(self, timeout: float) -> None:
        block_end = self._start + self._next / self.spec.sfreq + BLOCK + LAG
        self._clock.sleep_until(min(block_end, self._clock.now() + timeout))

    def _react(self, onset: Onset) -> None:
        ahead = onset.time - self._clock.now()
        if ahead > FORESIGHT:
            raise PhospheneError(
                f"onset {onset.seq} lies {ahead:.3f} s in the future; the simulated subject "
                "needs onsets on the LSL clock of its own computer"
            )
        self._tape.add(self._index(onset.time), onset, self._responses)

    def _index(self, time: float) -> int:
        """Return the first sample at or after ``time``."""
        # A stamp that was computed from its index must give that index again.
        return math.ceil((time - self._start) * self.spec.sfreq - 1e-4)


class _Tape:
    """The frames that exist: made ahead of what is played, kept a little longer."""

    def __init__(self, activity: Activity, history: int) -> None:
        self._activity, self._history = activity, history
        self._frames: dict[int, Frame] = {}
        self._made = 0

    def play(self, start: int, end: int) -> Samples:
        """Return samples as the electrodes give them; what is older may be forgotten."""
        n_channels = len(self._frame(start // self._activity.n_times).signal)
        played = np.empty((n_channels, end - start), dtype=np.float32)
        for frame, source, target in self._overlaps(start, end):
            np.multiply(frame.signal[:, source], frame.gain[:, source], out=played[:, target])
        self._forget(end - self._history)
        return played

    def add(self, start: int, onset: Onset, responses: Responses) -> None:
        """Add the response to an onset, unless it is too old to matter."""
        if start < min(self._frames, default=0) * self._activity.n_times:
            return
        overlaps = list(self._overlaps(start, start + responses.n_times))
        band = np.hstack([frame.band[:, source] for frame, source, _target in overlaps])
        response = responses(onset, band)
        for frame, source, target in overlaps:
            frame.signal[:, source] += response[:, target]

    def _overlaps(self, start: int, end: int) -> Iterator[tuple[Frame, slice, slice]]:
        """Yield each frame that overlaps, the overlap within it, and within start to end."""
        size = self._activity.n_times
        for number in range(start // size, -(-end // size)):
            first = number * size
            low, high = max(start, first), min(end, first + size)
            yield (
                self._frame(number),
                slice(low - first, high - first),
                slice(low - start, high - start),
            )

    def _frame(self, number: int) -> Frame:
        while self._made <= number:
            self._frames[self._made] = self._activity.frame()
            self._made += 1
        return self._frames[number]

    def _forget(self, before: int) -> None:
        size = self._activity.n_times
        for number in [n for n in self._frames if (n + 1) * size <= before]:
            del self._frames[number]
