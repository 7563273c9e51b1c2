"""Acquisition: read, record, hand on. Nothing else runs here, so nothing else can stop it."""

from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene.channels import SECONDS, bad_channels, examine, told
from phosphene.clock import Clock
from phosphene.dataset.xdf import XdfWriter
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.interfaces import Source
from phosphene.messages import (
    Channels,
    CloseSegment,
    EndOfBlock,
    Message,
    Missing,
    OpenSegment,
    Prepare,
    Ready,
    Recording,
    Samples,
    SegmentClosed,
    SegmentOpen,
)
from phosphene.roles import Outgoing
from phosphene.signals import Signal

READ_TIMEOUT = 0.01
HEARTBEAT = 0.5
PATIENCE = 5.0
"""Seconds in which a second of signal must have come before anything is recorded."""
FORSAKEN = 30.0
"""Seconds without an onset after which a block is given up: its presenter is gone."""


class Acquisition:
    """Owns the source and is the only writer of the recording."""

    def __init__(self, source: Source, onsets: deque[Onset], clock: Clock) -> None:
        self._source = source
        self._feed = onsets
        self._clock = clock
        self._segment: OpenSegment | None = None
        self._writer: XdfWriter | None = None
        self._announced = False
        self._seqs: set[int] = set()
        self._in_block = False
        self._now = self._last_onset = 0.0
        self._last_sample = float("-inf")
        self._next_heartbeat = float("-inf")
        self._recent: list[NDArray[np.float32]] = []
        """Of the second that is not over."""
        self._check_until: float | None = None
        """When the check before ``Ready`` is given up; None if there is none."""

    @property
    def idle(self) -> bool:
        """False from a block's first onset until the block is confirmed, or forsaken."""
        return not self._in_block or self._now - self._last_onset > FORSAKEN

    def handle(self, message: Message) -> Outgoing:
        """Answer ``Prepare``, segments, onsets and the reconciliation of a block."""
        match message:
            case Prepare():
                self._check_until = self._clock.now() + PATIENCE
                return []
            case OpenSegment():
                return self._open(message)
            case CloseSegment():
                return self._close_segment()
            case Onset():
                return self._record_onset(message)
            case EndOfBlock():
                return self._reconcile(message)
            case _:
                return []

    def poll(self, now: float) -> Outgoing:
        """Record what has arrived; twice a second say how much is on disk."""
        self._now = now
        out: list[tuple[str, Message]] = []
        signal = self._source.read(READ_TIMEOUT)
        if signal is not None:
            self._last_sample = float(signal.times[-1])
            out += self._record(signal)
            out += self._watch(signal)
        if self._check_until is not None and now > self._check_until:
            out += self._ready("")  # No run begins before samples arrive.
        if self._writer and now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT
            out.append(("server", self._recording(self._writer)))
        return out

    def _watch(self, signal: Signal) -> Outgoing:
        """Look at a second of signal once it is there: before anything is recorded, and after."""
        spec = self._source.spec
        self._recent.append(signal.data)
        if sum(data.shape[1] for data in self._recent) < SECONDS * spec.sfreq:
            return []
        data = np.hstack(self._recent)
        self._recent.clear()
        if self._check_until is not None:
            return self._ready(told(examine(data, spec)))
        return [("server", Channels(self._last_sample, bad_channels(data, spec)))]

    def _ready(self, problem: str) -> Outgoing:
        self._check_until = None
        return [("server", Ready("acquisition", spec=self._source.spec, problem=problem))]

    def close(self) -> None:
        """Finish the file and let go of the amplifier."""
        self._close_segment()
        self._source.close()

    def _open(self, segment: OpenSegment) -> Outgoing:
        if self._writer:
            raise PhospheneError(f"cannot record {segment.path}: another file is still open")
        header = {"phase": segment.phase, "run": str(segment.run)}
        self._writer = XdfWriter(Path(segment.path), self._source.spec, header)
        self._segment, self._announced = segment, False
        self._seqs.clear()
        return []

    def _record(self, signal: Signal) -> Outgoing:
        if not (self._writer and self._segment):
            return []
        received = self._clock.now()
        path, first = self._segment.path, self._writer.n_samples
        self._writer.write_signal(signal)
        samples = Samples(path, first, signal.data, signal.stamps, signal.offset, received)
        if self._announced:
            return [("decoders", samples)]
        # Only now is it certain that the file grows.
        self._announced = True
        return [("server", SegmentOpen(path)), ("decoders", samples)]

    def _record_onset(self, onset: Onset) -> Outgoing:
        if not self._writer or onset.seq in self._seqs:
            return []
        self._writer.write_marker(onset)
        self._seqs.add(onset.seq)
        self._in_block, self._last_onset = True, self._now
        self._feed.append(onset)
        return [("decoders", onset)]

    def _reconcile(self, block: EndOfBlock) -> Outgoing:
        missing = tuple(s for s in range(block.first_seq, block.next_seq) if s not in self._seqs)
        if not missing and self._writer:
            self._writer.sync()
            self._in_block = False
        return [("presenter", Missing(missing, block.first_seq))]

    def _recording(self, writer: XdfWriter) -> Recording:
        return Recording(writer.n_samples, writer.n_markers, writer.n_bytes, self._last_sample)

    def _close_segment(self) -> Outgoing:
        if not (self._writer and self._segment):
            return []
        writer, segment = self._writer, self._segment
        self._writer = self._segment = None
        self._in_block = False
        writer.close()
        closed = SegmentClosed(
            segment.phase, segment.run, segment.path, writer.n_samples, writer.n_markers
        )
        return [("server", closed), ("decoders", closed)]
