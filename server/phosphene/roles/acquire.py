"""Acquisition: read, record, hand on. Nothing else runs here, so nothing else can stop it."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene.channels import SECONDS, bad_channels, examine, told, unplaced
from phosphene.clock import Clock
from phosphene.continuity import (
    Continuity,
    Fault,
    as_one,
    longest_break,
    without_signal,
)
from phosphene.dataset.xdf import XdfWriter
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.interfaces import (
    Source,
    SourceOfMany,
    SourceWithImpedances,
    SourceWithMarkers,
)
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
    Silence,
)
from phosphene.roles import Outgoing
from phosphene.signals import Signal

READ_TIMEOUT = 0.01
HEARTBEAT = 0.5
PATIENCE = 5.0
"""Seconds in which a second of signal must have come before anything is recorded."""
SILENT = 0.2
"""Seconds without a sample after which that is told."""
FORSAKEN = 30.0
"""Seconds without an onset after which a block is given up: its presenter is gone."""


class Acquisition:
    """Owns the source and is the only writer of the recording."""

    def __init__(self, source: Source, onsets: deque[Onset], clock: Clock) -> None:
        self._source = source
        self._beside = source.beside if isinstance(source, SourceOfMany) else {}
        self._markers = tuple(source.markers) if isinstance(source, SourceWithMarkers) else ()
        self._feed = onsets
        self._clock = clock
        self._segment: OpenSegment | None = None
        self._writer: XdfWriter | None = None
        self._announced = False
        self._onsets: dict[int, Onset] = {}
        """Of the open file, by number."""
        self._pace = Continuity(source.spec)
        """Since the start: who measures longer measures better."""
        self._continuity = Continuity(source.spec)
        """Of the open file."""
        self._faults: list[Fault] = []
        """Of the open file."""
        self._silent = False
        self._in_block = False
        self._confirming: tuple[EndOfBlock, Future[None]] | None = None
        """The block that is on its way to the disk."""
        self._now = self._last_onset = 0.0
        self._last_sample = self._heard = float("-inf")
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
            self._heard, self._silent = now, False
            self._pace(signal)
            out += self._record(signal)
            out += self._watch(signal)
        elif self._writer and not self._silent and now - self._heard > SILENT:
            self._silent = True
            out.append(("server", Silence(self._heard, self._writer.n_samples)))
        out += self._confirm()
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
            problems = (told(examine(data, spec)), unplaced(spec))
            return self._ready("; ".join(filter(None, problems)))
        return [("server", Channels(self._last_sample, bad_channels(data, spec), self._ohms()))]

    def _ohms(self) -> dict[str, float]:
        source = self._source
        return dict(source.impedances()) if isinstance(source, SourceWithImpedances) else {}

    def _ready(self, problem: str) -> Outgoing:
        self._check_until = None
        ready = Ready(
            "acquisition",
            spec=self._source.spec,
            beside=tuple(self._beside.values()),
            markers=self._markers,
            problem=problem,
        )
        return [("server", ready)]

    def close(self) -> None:
        """Finish the file and let go of the amplifier."""
        self._close_segment()
        self._source.close()

    def _open(self, segment: OpenSegment) -> Outgoing:
        if self._writer:
            raise PhospheneError(f"cannot record {segment.path}: another file is still open")
        header = {"phase": segment.phase, "run": str(segment.run)}
        self._writer = XdfWriter(
            Path(segment.path), self._source.spec, header, self._beside, self._markers
        )
        self._segment, self._announced = segment, False
        self._onsets.clear()
        self._continuity, self._faults = Continuity(self._source.spec), []
        return []

    def _record(self, signal: Signal) -> Outgoing:
        if not (self._writer and self._segment):
            return []
        received = self._clock.now()
        path, first = self._segment.path, self._writer.n_samples
        self._writer.write_signal(signal)
        out: list[tuple[str, Message]] = [("server", fault) for fault in self._find_faults(signal)]
        samples = Samples(path, first, signal.data, signal.stamps, signal.offset, received)
        if not self._announced:
            # Only now is it certain that the file grows.
            self._announced = True
            out.append(("server", SegmentOpen(path)))
        return [*out, ("decoders", samples)]

    def _find_faults(self, signal: Signal) -> list[Fault]:
        """Return the faults that begin in a chunk; keep all."""
        new: list[Fault] = []
        for fault in self._continuity(signal):
            last = self._faults[-1] if self._faults else None
            if last and (longer := as_one(last, fault, self._source.spec.sfreq)):
                self._faults[-1] = longer
            else:
                self._faults.append(fault)
                new.append(fault)
        return new

    def _record_onset(self, onset: Onset) -> Outgoing:
        if not self._writer or onset.seq in self._onsets:
            return []
        self._writer.write_marker(onset)
        self._onsets[onset.seq] = onset
        self._in_block, self._last_onset = True, self._now
        self._feed.append(onset)
        return [("decoders", onset)]

    def _reconcile(self, block: EndOfBlock) -> Outgoing:
        seqs = range(block.first_seq, block.next_seq)
        missing = tuple(seq for seq in seqs if seq not in self._onsets)
        if missing or not self._writer:
            return [("presenter", Missing(missing, block.first_seq))]
        if not (self._confirming and self._confirming[0] == block):
            self._confirming = block, self._writer.sync()
        return self._confirm()

    def _confirm(self) -> Outgoing:
        """Answer for a block once it would survive a power cut."""
        if not self._confirming:
            return []
        block, synced = self._confirming
        if self._clock.live and not synced.done():
            return []  # Samples come in meanwhile; a virtual clock stands still.
        synced.result()
        self._confirming, self._in_block = None, False
        seqs = range(block.first_seq, block.next_seq)
        images = [self._onsets[s] for s in seqs if self._onsets[s].event == "stimulus"]
        return [("presenter", self._account(images, block.first_seq))]

    def _account(self, images: Sequence[Onset], first_seq: int) -> Missing:
        """Return that nothing is missing, and how much of the signal is."""
        if not images:
            return Missing((), first_seq)
        faults = self._faults
        if self._silent:
            faults = [*faults, Fault("gap", self._last_sample, self._now, 0)]
        lost = len(without_signal(images, faults)) / len(images)
        return Missing((), first_seq, longest_break(images, faults), lost)

    def _recording(self, writer: XdfWriter) -> Recording:
        return Recording(
            writer.n_samples,
            writer.n_markers,
            writer.n_bytes,
            self._last_sample,
            self._pace.rate,
        )

    def _close_segment(self) -> Outgoing:
        if not (self._writer and self._segment):
            return []
        writer, segment = self._writer, self._segment
        self._writer = self._segment = None
        self._confirming, self._in_block = None, False
        writer.close()
        closed = SegmentClosed(
            segment.phase,
            segment.run,
            segment.path,
            writer.n_samples,
            writer.n_markers,
            self._continuity.rate,
        )
        return [("server", closed), ("decoders", closed)]
