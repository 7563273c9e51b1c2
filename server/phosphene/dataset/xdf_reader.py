"""Reading our own XDF files: exactly what was written, up to where a crash cut it off."""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from phosphene.continuity import Continuity, Fault, merged
from phosphene.dataset import xdf_format as xdf
from phosphene.dataset.xdf_format import FIRST_BESIDE, Stream, Tag
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.signals import Markers, Signal, SignalSpec

HEADERS = [
    (Tag.FILE_HEADER, 0),
    (Tag.STREAM_HEADER, Stream.EEG),
    (Tag.STREAM_HEADER, Stream.MARKERS),
]
SAMPLES = (Tag.SAMPLES, Stream.EEG)
MARKER = (Tag.SAMPLES, Stream.MARKERS)
LAST_FOOTER = (Tag.STREAM_FOOTER, Stream.MARKERS)
OF_A_STREAM = frozenset({Tag.STREAM_HEADER, Tag.SAMPLES, Tag.CLOCK_OFFSET, Tag.STREAM_FOOTER})


@dataclass(frozen=True)
class Segment:
    """One contiguous recording."""

    path: Path
    spec: SignalSpec
    session: dict[str, str]
    """What the writer was told about the session, e.g. phase and run."""
    onsets: tuple[Onset, ...]
    """In the order in which they were recorded."""
    n_samples: int
    complete: bool
    """Whether the recording was closed; False after a crash."""
    n_bytes: int
    """Length of the file up to the end of its last whole chunk."""
    n_torn: int
    """Bytes behind that: what a crash left of a chunk; they are not read."""
    beside: dict[str, SignalSpec] = field(default_factory=dict)
    """Other streams that were recorded at the same time, by name."""
    markers: tuple[str, ...] = ()
    """And those without a rate."""

    def signals(self, beside: str | None = None) -> Iterator[Signal]:
        """Return the chunks of the EEG, or of a stream beside it, bit for bit as written."""
        spec, number = self.spec, int(Stream.EEG)
        if beside is not None:
            spec, number = self.beside[beside], FIRST_BESIDE + list(self.beside).index(beside)
        data = _mapped(self.path)
        dtype, offset = xdf.sample_dtype(spec.n_channels), 0.0
        for kind, start, _ in _chunks(data, self.n_bytes):
            if kind == (Tag.CLOCK_OFFSET, number):
                _, offset = xdf.CLOCK_OFFSET.unpack_from(data, start)
            elif kind == (Tag.SAMPLES, number):
                _, n_times = xdf.COUNT.unpack_from(data, start)
                samples = np.frombuffer(data, dtype, n_times, start + xdf.COUNT.size)
                values = np.ascontiguousarray(samples["values"].T)
                yield Signal(values, samples["stamp"].copy(), offset)

    def marks(self, name: str) -> Iterator[Markers]:
        """Return what a stream of markers said, one text at a time."""
        number = FIRST_BESIDE + len(self.beside) + self.markers.index(name)
        data, offset = _mapped(self.path), 0.0
        for kind, start, stop in _chunks(data, self.n_bytes):
            if kind == (Tag.CLOCK_OFFSET, number):
                _, offset = xdf.CLOCK_OFFSET.unpack_from(data, start)
            elif kind == (Tag.SAMPLES, number):
                stamp = xdf.MARKER_HEAD.unpack_from(data, start)[3]
                text = data[start + xdf.MARKER_HEAD.size : stop].decode()
                yield Markers((text,), np.array([stamp]), offset)

    def faults(self) -> list[Fault]:
        """Return where the signal cannot be trusted, in order."""
        look = Continuity(self.spec)
        found = [fault for signal in self.signals() for fault in look(signal)]
        return list(merged(found, self.spec.sfreq))


def read_segment(path: Path) -> Segment:
    """Return what a file holds up to its last whole chunk.

    Raises ``PhospheneError`` if the file is not one of ours, or damaged before its end.
    """
    data = _mapped(path)
    chunks = _chunks(data, len(data))
    session, spec, n_bytes = _headers(path, data, chunks)
    sample_bytes = xdf.sample_dtype(spec.n_channels).itemsize
    n_samples, complete = 0, False
    onsets: list[Onset] = []
    beside: dict[str, SignalSpec] = {}
    markers: list[str] = []
    for kind, start, stop in chunks:
        if kind == SAMPLES:
            n_samples += _n_samples(path, data, start, stop, sample_bytes)
        elif kind == MARKER:
            onsets.append(_onset(path, data, start, stop))
        elif kind[0] == Tag.STREAM_HEADER:
            name, other = _parsed_beside(path, data[start:stop])
            if other:
                beside[name] = other
            else:
                markers.append(name)
        complete = kind == LAST_FOOTER
        n_bytes = stop
    n_torn = len(data) - n_bytes
    return Segment(
        path, spec, session, tuple(onsets), n_samples, complete, n_bytes, n_torn,
        beside, tuple(markers),
    )  # fmt: skip


class _Chunk(NamedTuple):
    kind: tuple[int, int]
    """Tag, and stream or 0."""
    start: int
    """Of the content, behind the number of the stream."""
    stop: int


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        if file.read(len(xdf.MAGIC)) != xdf.MAGIC:
            raise PhospheneError(f"{path} is not an XDF file")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _chunks(data: mmap.mmap, end: int) -> Iterator[_Chunk]:
    """Return the chunks as long as they are whole."""
    position = len(xdf.MAGIC)
    while position + xdf.CHUNK_HEAD.size + xdf.STREAM_ID.size <= end:
        size, length, tag = xdf.CHUNK_HEAD.unpack_from(data, position)
        start, stream = position + xdf.CHUNK_HEAD.size, 0
        if tag in OF_A_STREAM:
            (stream,) = xdf.STREAM_ID.unpack_from(data, start)
            start += xdf.STREAM_ID.size
        position += xdf.CHUNK_HEAD.size + length - 2
        if size != 4 or not start <= position <= end:
            return
        yield _Chunk((tag, stream), start, position)


def _headers(
    path: Path, data: mmap.mmap, chunks: Iterator[_Chunk]
) -> tuple[dict[str, str], SignalSpec, int]:
    heads = list(islice(chunks, len(HEADERS)))
    if [head.kind for head in heads] != HEADERS:
        raise PhospheneError(f"{path} is not a recording of Phosphene, or torn in its header")
    info, eeg = (data[head.start : head.stop] for head in heads[:2])
    try:
        session = xdf.parse_file_header(info)
    except ValueError as error:
        raise PhospheneError(f"{path} is not a recording of Phosphene: {error}") from None
    return session, _parsed(path, eeg)[1], heads[-1].stop


def _parsed(path: Path, header: bytes) -> tuple[str, SignalSpec]:
    try:
        return xdf.parse_signal_header(header)
    except (ValueError, PhospheneError) as error:
        raise PhospheneError(f"{path} is not a recording of Phosphene: {error}") from None


def _parsed_beside(path: Path, header: bytes) -> tuple[str, SignalSpec | None]:
    """Return name and spec of a stream; no spec of one of markers."""
    try:
        return xdf.parse_markers_header(header), None
    except ValueError:
        return _parsed(path, header)


def _n_samples(path: Path, data: mmap.mmap, start: int, stop: int, sample_bytes: int) -> int:
    _, count = xdf.COUNT.unpack_from(data, start)
    found, expected = stop - start - xdf.COUNT.size, count * sample_bytes
    if found != expected:
        raise PhospheneError(
            f"{path} is damaged at byte {start}: {count} samples take {expected} bytes; "
            f"found {found}"
        )
    return int(count)


def _onset(path: Path, data: mmap.mmap, start: int, stop: int) -> Onset:
    try:
        return msgspec.json.decode(data[start + xdf.MARKER_HEAD.size : stop], type=Onset)
    except msgspec.DecodeError as error:
        raise PhospheneError(f"{path} is damaged at byte {start}: {error}") from None
