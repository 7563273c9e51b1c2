"""Recording: an XDF file that is whole up to its last chunk, whatever happens to the computer.

One file holds one contiguous segment. It is made anew and never appended to after a crash, because
behind a torn chunk every reader, pyxdf among them, returns garbage.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from struct import pack

import msgspec
import numpy as np

from phosphene.dataset import xdf_format as xdf
from phosphene.dataset.xdf_format import FIRST_BESIDE, Stream, Tag
from phosphene.dataset.xdf_reader import Segment, read_segment
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.signals import Signal, SignalSpec

__all__ = ["Segment", "XdfWriter", "read_segment"]

BOUNDARY_INTERVAL = 10.0
"""Seconds between the marks from which a reader can go on behind damage."""
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class XdfWriter:
    """Writes one segment; every chunk is in the kernel's hands when its call returns.

    ``beside`` names the streams that come beside the EEG in ``Signal.beside``.
    """

    def __init__(
        self,
        path: Path,
        spec: SignalSpec,
        session: Mapping[str, str] = {},
        beside: Mapping[str, SignalSpec] = {},
    ) -> None:
        self.n_markers = 0
        self.n_bytes = 0
        self._path = path
        self._eeg = _SignalStream(Stream.EEG, spec)
        self._beside = {
            name: _SignalStream(number, each)
            for number, (name, each) in enumerate(beside.items(), start=FIRST_BESIDE)
        }
        self._next_boundary = self._boundary_samples = round(BOUNDARY_INTERVAL * spec.sfreq)
        self._marked: tuple[float, float] | None = None
        head = (
            xdf.MAGIC
            + xdf.chunk(Tag.FILE_HEADER, xdf.file_header(session))
            + xdf.stream_chunk(Tag.STREAM_HEADER, Stream.EEG, xdf.signal_header(spec))
            + xdf.stream_chunk(Tag.STREAM_HEADER, Stream.MARKERS, xdf.markers_header())
        )
        for name, stream in self._beside.items():
            header = xdf.signal_header(stream.spec, name)
            head += xdf.stream_chunk(Tag.STREAM_HEADER, stream.number, header)
        try:
            self._fd = os.open(path, NEW_FILE, 0o666)
        except FileExistsError:
            raise PhospheneError(f"{path} exists; a recording is never written twice") from None
        self._append(head)

    @property
    def n_samples(self) -> int:
        """EEG samples on disk."""
        return self._eeg.n_samples

    def write_signal(self, signal: Signal) -> None:
        """Append one chunk; ``PhospheneError`` if it does not have the spec's channels."""
        chunks = self._boundary() + self._eeg.chunks(signal)
        for name, other in signal.beside.items():
            chunks += self._beside[name].chunks(other)
        self._append(chunks)
        self._eeg.written(signal)
        for name, other in signal.beside.items():
            self._beside[name].written(other)

    def write_marker(self, onset: Onset) -> None:
        """Append one onset as JSON, stamped with its time on the LSL clock."""
        text = msgspec.json.encode(onset)
        head = xdf.MARKER_HEAD.pack(4, 1, xdf.STAMP_BYTES, onset.time, 4, len(text))
        chunk = xdf.stream_chunk(Tag.SAMPLES, Stream.MARKERS, head, text)
        if not self.n_markers:
            no_offset = xdf.CLOCK_OFFSET.pack(onset.time, 0.0)
            chunk = xdf.stream_chunk(Tag.CLOCK_OFFSET, Stream.MARKERS, no_offset) + chunk
        self._append(chunk)
        self.n_markers += 1
        self._marked = ((self._marked or (onset.time, 0.0))[0], onset.time)

    def sync(self) -> None:
        """Return when everything written would survive a power cut."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Finish the file: footers, then on the disk."""
        if self._fd < 0:
            return
        try:
            footers = b"".join(each.footer() for each in (*self._beside.values(), self._eeg))
            self._append(footers + _footer(Stream.MARKERS, self._marked, self.n_markers))
            self.sync()
        finally:
            os.close(self._fd)
            self._fd = -1

    def _append(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            # Half a chunk would hide whatever follows when the disk has room again.
            os.ftruncate(self._fd, self.n_bytes)
            raise PhospheneError(f"{self._path} cannot be written: {error.strerror}") from error
        self.n_bytes += len(data)

    def _boundary(self) -> bytes:
        if self.n_samples < self._next_boundary:
            return b""
        self._next_boundary = self.n_samples + self._boundary_samples
        return xdf.chunk(Tag.BOUNDARY, xdf.BOUNDARY_UUID)


class _SignalStream:
    """One stream of signals, and what was written of it."""

    def __init__(self, number: int, spec: SignalSpec) -> None:
        self.number = number
        self.spec = spec
        self.n_samples = 0
        self._dtype = xdf.sample_dtype(spec.n_channels)
        self._offset = b""
        self._stamps: tuple[float, float] | None = None

    def chunks(self, signal: Signal) -> bytes:
        """Return a chunk, behind the clock offset if that changed."""
        if signal.data.shape != (self.spec.n_channels, len(signal.stamps)):
            raise PhospheneError(
                f"the source announced {self.spec.n_channels} channels; "
                f"found data of shape {signal.data.shape} with {len(signal.stamps)} stamps"
            )
        samples = np.empty(signal.n_times, self._dtype)
        samples["size"] = xdf.STAMP_BYTES
        samples["stamp"] = signal.stamps
        samples["values"] = signal.data.T
        count = xdf.COUNT.pack(4, signal.n_times)
        chunk = xdf.stream_chunk(Tag.SAMPLES, self.number, count, samples.tobytes())
        return self._clock_offset(signal) + chunk

    def written(self, signal: Signal) -> None:
        """Take note of what is on disk."""
        self.n_samples += signal.n_times
        first = self._stamps[0] if self._stamps else float(signal.stamps[0])
        self._stamps = (first, float(signal.stamps[-1]))

    def footer(self) -> bytes:
        return _footer(self.number, self._stamps, self.n_samples)

    def _clock_offset(self, signal: Signal) -> bytes:
        """Return a chunk that says the offset from here on, if it is another than before."""
        # Compared as bytes: a NaN equals itself, and 0.0 is not -0.0.
        offset = pack("<d", signal.offset)
        if offset == self._offset:
            return b""
        self._offset = offset
        measured = pack("<d", signal.stamps[0])
        return xdf.stream_chunk(Tag.CLOCK_OFFSET, self.number, measured, offset)


def _footer(stream: int, stamps: tuple[float, float] | None, n_samples: int) -> bytes:
    first, last = stamps or (0.0, 0.0)
    return xdf.stream_chunk(Tag.STREAM_FOOTER, stream, xdf.footer(first, last, n_samples))
