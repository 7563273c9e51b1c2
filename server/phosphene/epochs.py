"""Cutting epochs from a running signal, and saying which could not be cut."""

from bisect import insort
from collections import deque
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from phosphene.continuity import Fault
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.ring import Ring
from phosphene.signals import Signal, SignalSpec

HISTORY = 10.0
"""Seconds of signal that are kept for onsets that arrive behind their samples."""


@dataclass(frozen=True, slots=True)
class Cut:
    """An epoch."""

    onset: Onset
    first_sample: int
    """Index of its first sample in the segment."""
    data: NDArray[np.float32]
    """(n_channels, n_times)"""


@dataclass(frozen=True, slots=True)
class Incomplete:
    """An onset whose epoch could not be cut."""

    onset: Onset
    reason: str


class EpochCutter:
    """Cuts one segment; samples and onsets may come in any order and in any pieces.

    An epoch begins with the sample nearest to onset + ``tmin`` + ``delay``, by the samples' own
    times. Where these run backwards the latest so far counts, so that "nearest" has one answer.
    None begins less than ``settling`` seconds behind a fault.
    """

    def __init__(
        self, spec: SignalSpec, tmin: float, tmax: float, delay: float, settling: float
    ) -> None:
        self.n_times = whole_samples(tmax - tmin, spec.sfreq, "epoch (tmax - tmin)")
        self._sfreq, self._jitter = spec.sfreq, spec.jitter
        self._shift = tmin + delay
        self._settling = settling
        capacity = self.n_times + round(HISTORY * spec.sfreq)
        self._data = Ring(spec.n_channels, capacity, np.float32)
        self._times = Ring(1, capacity, np.float64)
        self._newest = -np.inf
        self._pending: list[Onset] = []
        self._cuts: list[Cut] = []
        self._incomplete: list[Incomplete] = []
        self._faults: deque[Fault] = deque()

    def exclude(self, fault: Fault) -> None:
        """Cut no epoch that a fault lies in, or that begins before the filters have settled.

        Must come before the samples behind the fault.
        """
        self._faults.append(fault)

    def feed(self, signal: Signal) -> None:
        """Take in the next samples of the segment."""
        times = np.maximum(np.maximum.accumulate(signal.times), self._newest)
        step = self._data.capacity - self.n_times
        for start in range(0, signal.n_times, step):
            piece = slice(start, start + step)
            self._data.append(signal.data[:, piece])
            self._times.append(times[np.newaxis, piece])
            self._newest = times[piece][-1]
            self._cut()
        while self._faults and self._faults[0].stop + self._settling < self._oldest():
            self._faults.popleft()

    def mark(self, onset: Onset) -> None:
        """Ask for the epoch of an onset."""
        insort(self._pending, onset, key=attrgetter("time"))
        self._cut()

    def cuts(self) -> list[Cut]:
        """Return the epochs that were completed since the last call."""
        cuts, self._cuts = self._cuts, []
        return cuts

    def close(self) -> list[Incomplete]:
        """Return every onset whose epoch could not be cut; the segment has ended."""
        ended = [Incomplete(onset, "the recording ended before it did") for onset in self._pending]
        return self._incomplete + ended

    def _cut(self) -> None:
        while self._pending and self._ready(self._pending[0]):
            onset = self._pending.pop(0)
            start = self._start(onset)
            if problem := self._problem(onset, start):
                self._incomplete.append(Incomplete(onset, problem))
            else:
                data = self._data.view(start, start + self.n_times).astype(np.float32)
                self._cuts.append(Cut(onset, start, data))

    def _ready(self, onset: Onset) -> bool:
        """Return whether every sample of the epoch is there."""
        if self._newest < onset.time + self._shift:
            return False
        return self._start(onset) + self.n_times <= self._times.stop

    def _oldest(self) -> float:
        first = self._times.first
        return float(self._times.view(first, first + 1)[0, 0])

    def _start(self, onset: Onset) -> int:
        """Return the index of the sample nearest to the epoch's start."""
        target = onset.time + self._shift
        first = self._times.first
        times = self._times.view(first, self._times.stop)[0]
        after = int(np.searchsorted(times, target))
        if 0 < after < len(times) and target - times[after - 1] < times[after] - target:
            after -= 1
        return first + after

    def _problem(self, onset: Onset, start: int) -> str:
        """Return why an epoch that begins at sample ``start`` cannot be used, or nothing."""
        times = self._times.view(start, start + self.n_times)[0]
        late = times[0] - (onset.time + self._shift)
        oldest = start == self._times.first
        if oldest and start and late > 0:
            return f"its onset came more than {HISTORY:g} s behind its samples"
        # Before the first sample of all there is nothing that could have jitter.
        if late > 0.5 / self._sfreq + (0 if oldest else self._jitter / 2):
            return f"its first {late:.3f} s are not in the recording"
        for fault in self._faults:
            if times[0] <= fault.stop and times[-1] >= fault.start:
                return f"it spans {fault.words}"
            if fault.start <= times[0] <= fault.stop + self._settling:
                return f"the filters have not settled after {fault.words}"
        gap = times[-1] - times[0] - (self.n_times - 1) / self._sfreq
        if gap > self._jitter:
            return f"a gap of {gap:.3f} s lies in it"
        return f"its time stamps are {-gap:.3f} s short" if gap < -self._jitter else ""


def whole_samples(seconds: float, sfreq: float, what: str) -> int:
    """Return how many samples a duration has; ``PhospheneError`` if that is no whole number."""
    exact = seconds * sfreq
    n = max(1, round(exact))
    if abs(exact - n) > 1e-6 * n:
        raise PhospheneError(
            f"{what} of {seconds:g} s is {exact:g} samples at {sfreq:g} Hz; "
            f"the nearest possible is {n / sfreq:.9g} s"
        )
    return n
