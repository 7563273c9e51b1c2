"""Where a running signal cannot be trusted: samples missing, repeated, mistimed or no numbers.

Whoever looks at the same samples finds the same faults, in whatever chunks they come: acquisition
while they are recorded, the pipeline live and in training, and the export.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np
from msgspec import structs

from phosphene.events import Onset
from phosphene.signals import Signal, SignalSpec, eeg_picks

REMEMBERED = 1.0
"""Seconds in which a sample that is sent twice is recognised."""
DEAD = 5.0
"""Seconds without a number after which a channel is dead and no longer a fault of the moment."""
MEASURABLE = 10.0
"""Seconds in which a rate can be measured: a jitter of 5 ms is 0.1 % of them."""
SETTLING = 1.4
"""Seconds behind a fault in which nothing is decoded: the filters' impulse response falls below a
millionth in them (design notes on reliability, section 3: 1.345 s)."""

Kind = Literal["gap", "clock", "repeated", "nan"]


class Fault(msgspec.Struct, frozen=True, tag=True):
    """A stretch of time of which there is no signal that could be used."""

    kind: Kind
    start: float
    stop: float
    """Seconds on the LSL clock: of the last good sample before it and the first one behind it, or
    of the first and last bad ones."""
    sample: int
    """Index of the first sample behind a break, or of the first bad one."""

    @property
    def is_break(self) -> bool:
        """Whether samples do not follow each other: filters must start afresh."""
        return self.kind != "nan"

    @property
    def words(self) -> str:
        """What it is, for people."""
        return {
            "gap": f"a gap of {self.stop - self.start:.3f} s",
            "clock": f"a clock that jumped back by {self.stop - self.start:.3f} s",
            "repeated": "samples that came twice",
            "nan": "samples that are no numbers",
        }[self.kind]


class Continuity:
    """Looks at the samples of one recording as they come."""

    def __init__(self, spec: SignalSpec) -> None:
        self._picks = eeg_picks(spec)
        self._sfreq, self._jitter = spec.sfreq, spec.jitter
        self.n_samples = 0
        """Seen so far."""
        self._first: float | None = None
        self._newest: float | None = None
        self._missing = 0.0
        """Seconds that all breaks together left out."""
        self._recent: deque[Signal] = deque()
        """About the last second."""
        self._n_recent = 0
        self._run = np.zeros(len(self._picks), int)
        """Samples without a number, by channel, that end with the newest one."""

    @property
    def rate(self) -> float:
        """Measured rate in Hz, gaps left out; 0 before there are ten seconds."""
        if self._first is None or self._newest is None:
            return 0.0
        seconds = self._newest - self._first - self._missing
        return (self.n_samples - 1) / seconds if seconds >= MEASURABLE else 0.0

    def __call__(self, signal: Signal) -> list[Fault]:
        """Return the faults of the next chunk, in order."""
        faults = [*self._breaks(signal), *self._bursts(signal)]
        self.n_samples += signal.n_times
        return sorted(faults, key=lambda fault: fault.sample)

    def _breaks(self, signal: Signal) -> Iterator[Fault]:
        times = signal.times
        if self._first is None:
            self._first = float(times[0])
        before = times[0] - 1 / self._sfreq if self._newest is None else self._newest
        earlier = np.concatenate(([before], times[:-1]))
        steps = times - earlier
        for index in np.flatnonzero((steps <= 0) | (steps > 1 / self._sfreq + self._jitter)):
            if kind := self._kind(float(steps[index]), signal, int(index)):
                self._missing += float(steps[index]) - 1 / self._sfreq
                start, stop = sorted((float(earlier[index]), float(times[index])))
                yield Fault(kind, start, stop, self.n_samples + int(index))
        self._newest = float(times[-1])
        self._remember(signal)

    def _kind(self, step: float, signal: Signal, index: int) -> Kind | None:
        if step > 0:
            return "gap"
        if self._came_before(signal, index):
            return "repeated"
        return "clock" if step < -self._jitter else None

    def _came_before(self, signal: Signal, index: int) -> bool:
        """Return whether there was a sample with this stamp and these values.

        The stamp alone does not tell: all samples of a packet may have that of its arrival.
        """
        earlier = Signal(signal.data[:, :index], signal.stamps[:index])
        sample = signal.data[self._picks, index]
        return any(
            np.array_equal(each.data[self._picks, same], sample, equal_nan=True)
            for each in (*self._recent, earlier)
            for same in np.flatnonzero(each.stamps == signal.stamps[index])
        )

    def _remember(self, signal: Signal) -> None:
        self._recent.append(signal)
        self._n_recent += signal.n_times
        while self._n_recent - self._recent[0].n_times > REMEMBERED * self._sfreq:
            self._n_recent -= self._recent.popleft().n_times

    def _bursts(self, signal: Signal) -> Iterator[Fault]:
        finite = np.isfinite(signal.data[self._picks])
        if finite.all():
            self._run[:] = 0
            return
        index = np.arange(signal.n_times)
        known = np.maximum.accumulate(np.where(finite, index, -1 - self._run[:, None]), axis=1)
        runs = index - known
        self._run = runs[:, -1]
        bad = ((runs > 0) & (runs <= DEAD * self._sfreq)).any(axis=0)
        edges = np.flatnonzero(np.diff(bad, prepend=False, append=False))
        for first, end in zip(edges[::2], edges[1::2], strict=True):
            start, stop = float(signal.times[first]), float(signal.times[end - 1])
            yield Fault("nan", start, stop, self.n_samples + int(first))


def merged(faults: Iterable[Fault], sfreq: float) -> Iterator[Fault]:
    """Yield faults; of a burst that was told in pieces one."""
    last: Fault | None = None
    for fault in faults:
        longer = last and as_one(last, fault, sfreq)
        if last and not longer:
            yield last
        last = longer or fault
    if last:
        yield last


def as_one(burst: Fault, fault: Fault, sfreq: float) -> Fault | None:
    """Return a burst with what continues it; None if ``fault`` does not."""
    if burst.is_break or fault.is_break or fault.start - burst.stop > 1.5 / sfreq:
        return None
    return structs.replace(burst, stop=fault.stop)


def without_signal(onsets: Sequence[Onset], faults: Sequence[Fault]) -> list[Onset]:
    """Return the images during which, or not long before which, the signal was at fault."""
    return [
        onset
        for onset in onsets
        if any(
            onset.time <= fault.stop + SETTLING and onset.time + onset.duration >= fault.start
            for fault in faults
        )
    ]


def longest_break(onsets: Sequence[Onset], faults: Sequence[Fault]) -> float:
    """Return the seconds of the longest break between the first image and the last one's end."""
    start, end = onsets[0].time, onsets[-1].time + onsets[-1].duration
    found = (f for f in faults if f.is_break and f.stop >= start and f.start <= end)
    return max((fault.stop - fault.start for fault in found), default=0.0)


def pieces(signal: Signal, breaks: Sequence[int]) -> Iterator[Signal]:
    """Yield a signal in pieces that begin at its start and at each of ``breaks``."""
    bounds = [0, *breaks, signal.n_times]
    for start, stop in pairwise(bounds):
        piece = slice(start, stop)
        yield Signal(signal.data[:, piece], signal.stamps[piece], signal.offset)
