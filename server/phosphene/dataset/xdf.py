"""Recording: an XDF file that is whole up to its last chunk, whatever happens to the computer.

One file holds one contiguous segment. It is made anew and never appended to after a crash, because
behind a torn chunk every reader, pyxdf among them, returns garbage.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from struct import pack

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.dataset import xdf_format as xdf
from phosphene.dataset.xdf_format import FIRST_BESIDE, Stream, Tag
from phosphene.dataset.xdf_reader import Segment, read_segment
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.signals import Markers, Signal, SignalSpec

__all__ = ["Segment", "XdfWriter", "read_segment"]

BOUNDARY_INTERVAL = 10.0
"""Seconds between the marks from which a reader can go on behind damage."""
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class XdfWriter:
    """Writes one segment; every chunk is in the kernel's hands when its call returns.

    ``beside`` and ``markers`` name the streams that come in ``Signal.beside`` and
    ``Signal.markers``.
    """

    def __init__(
        self,
        path: Path,
        spec: SignalSpec,
        session: Mapping[str, str] = {},
        beside: Mapping[str, SignalSpec] = {},
        markers: Sequence[str] = (),
    ) -> None:
        self.n_bytes = 0
        self._path = path
        self._eeg = _SignalStream(Stream.EEG, spec)
        self._onsets = _MarkerStream(Stream.MARKERS)
        self._beside = {
            name: _SignalStream(number, each)
            for number, (name, each) in enumerate(beside.items(), start=FIRST_BESIDE)
        }
        self._markers = {
            name: _MarkerStream(number)
            for number, name in enumerate(markers, start=FIRST_BESIDE + len(beside))
        }
        self._next_boundary = self._boundary_samples = round(BOUNDARY_INTERVAL * spec.sfreq)
        head = (
            xdf.MAGIC
            + xdf.chunk(Tag.FILE_HEADER, xdf.file_header(session))
            + xdf.stream_chunk(Tag.STREAM_HEADER, Stream.EEG, xdf.signal_header(spec))
            + xdf.stream_chunk(Tag.STREAM_HEADER, Stream.MARKERS, xdf.markers_header())
        )
        for name, stream in self._beside.items():
            header = xdf.signal_header(stream.spec, name)
            head += xdf.stream_chunk(Tag.STREAM_HEADER, stream.number, header)
        for name, told in self._markers.items():
            head += xdf.stream_chunk(Tag.STREAM_HEADER, told.number, xdf.markers_header(name))
        try:
            self._fd = os.open(path, NEW_FILE, 0o666)
        except FileExistsError:
            raise PhospheneError(f"{path} exists; a recording is never written twice") from None
        self._append(head)

    @property
    def n_samples(self) -> int:
        """EEG samples on disk."""
        return self._eeg.n_samples

    @property
    def n_markers(self) -> int:
        """Onsets on disk."""
        return self._onsets.n_samples

    def write_signal(self, signal: Signal) -> None:
        """Append one chunk; ``PhospheneError`` if it does not have the spec's channels."""
        chunks = self._boundary() + self._eeg.chunks(signal)
        for name, other in signal.beside.items():
            chunks += self._beside[name].chunks(other)
        for name, told in signal.markers.items():
            chunks += self._markers[name].chunks(told)
        self._append(chunks)
        self._eeg.written(signal.stamps)
        for name, other in signal.beside.items():
            self._beside[name].written(other.stamps)
        for name, told in signal.markers.items():
            self._markers[name].written(told.stamps)

    def write_marker(self, onset: Onset) -> None:
        """Append one onset as JSON, stamped with its time on the LSL clock."""
        marker = Markers((msgspec.json.encode(onset).decode(),), np.array([onset.time]))
        self._append(self._onsets.chunks(marker))
        self._onsets.written(marker.stamps)

    def sync(self) -> Future[None]:
        """Return what is done when everything written so far would survive a power cut.

        A busy disk takes seconds for it, in which the recording goes on. The result is a
        ``PhospheneError`` if the disk fails.
        """
        executor = ThreadPoolExecutor(1, "sync")
        # Its own descriptor, for the file may be closed meanwhile.
        synced = executor.submit(_sync, os.dup(self._fd), self._path)
        executor.shutdown(wait=False)
        return synced

    def close(self) -> None:
        """Finish the file: footers, then on the disk."""
        if self._fd < 0:
            return
        try:
            beside = (*self._beside.values(), *self._markers.values())
            # That of the onsets comes last: it says that the file is whole.
            self._append(b"".join(each.footer() for each in (*beside, self._eeg, self._onsets)))
            self.sync().result()
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


def _sync(file: int, path: Path) -> None:
    try:
        os.fsync(file)
    except OSError as error:
        raise PhospheneError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        os.close(file)


class _Stream:
    """One stream, and what was written of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.n_samples = 0
        self._offset = b""
        self._stamps: tuple[float, float] | None = None

    def written(self, stamps: NDArray[np.float64]) -> None:
        """Take note of what is on disk."""
        self.n_samples += len(stamps)
        first = self._stamps[0] if self._stamps else float(stamps[0])
        self._stamps = (first, float(stamps[-1]))

    def footer(self) -> bytes:
        first, last = self._stamps or (0.0, 0.0)
        content = xdf.footer(first, last, self.n_samples)
        return xdf.stream_chunk(Tag.STREAM_FOOTER, self.number, content)

    def _clock_offset(self, its: Signal | Markers) -> bytes:
        """Return a chunk that says the offset from here on, if it is another than before."""
        # Compared as bytes: a NaN equals itself, and 0.0 is not -0.0.
        offset = pack("<d", its.offset)
        if offset == self._offset:
            return b""
        self._offset = offset
        measured = pack("<d", its.stamps[0])
        return xdf.stream_chunk(Tag.CLOCK_OFFSET, self.number, measured, offset)


class _SignalStream(_Stream):
    """A stream of signals."""

    def __init__(self, number: int, spec: SignalSpec) -> None:
        super().__init__(number)
        self.spec = spec
        self._dtype = xdf.sample_dtype(spec.n_channels)

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


class _MarkerStream(_Stream):
    """A stream of texts."""

    def chunks(self, markers: Markers) -> bytes:
        """Return a chunk for each text, behind the clock offset if that changed."""
        texts = zip(markers.stamps, map(str.encode, markers.texts), strict=True)
        return self._clock_offset(markers) + b"".join(
            xdf.stream_chunk(
                Tag.SAMPLES,
                self.number,
                xdf.MARKER_HEAD.pack(4, 1, xdf.STAMP_BYTES, stamp, 4, len(text)),
                text,
            )
            for stamp, text in texts
        )
