"""What writer and reader of our XDF files agree on: chunk tags, streams and header texts.

Specification: https://github.com/sccn/xdf/wiki/Specifications. Of what it allows we use one form:
every length takes four bytes and every sample carries its stamp.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import IntEnum
from struct import Struct
from xml.etree import ElementTree as ET

import numpy as np

from phosphene.errors import PhospheneError
from phosphene.signals import JITTER, SignalSpec

MAGIC = b"XDF:"
BOUNDARY_UUID = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
CHUNK_HEAD = Struct("<BIH")
"""Bytes of the length, length of what follows, tag."""
STREAM_ID = Struct("<I")
COUNT = Struct("<BI")
CLOCK_OFFSET = Struct("<dd")
MARKER_HEAD = Struct("<BIBdBI")
"""Number of samples (one), its stamp, length of its text."""
STAMP_BYTES = 8

Position = tuple[float, float, float]


class Tag(IntEnum):
    """Kinds of chunk."""

    FILE_HEADER = 1
    STREAM_HEADER = 2
    SAMPLES = 3
    CLOCK_OFFSET = 4
    BOUNDARY = 5
    STREAM_FOOTER = 6


class Stream(IntEnum):
    """Streams that every file has; those recorded beside the EEG are counted on from there."""

    EEG = 1
    MARKERS = 2


FIRST_BESIDE = 3
"""Number of the first of them: those with a rate, then those of markers."""


def chunk(tag: Tag, *content: bytes) -> bytes:
    """Return a chunk with its head."""
    body = b"".join(content)
    return CHUNK_HEAD.pack(4, len(body) + 2, tag) + body


def stream_chunk(tag: Tag, stream: int, *content: bytes) -> bytes:
    """Return a chunk that belongs to a stream."""
    return chunk(tag, STREAM_ID.pack(stream), *content)


def sample_dtype(n_channels: int) -> np.dtype[np.void]:
    """Return one sample of a stream of signals as it lies in the file."""
    fields = [("size", "u1"), ("stamp", "<f8"), ("values", "<f4", (n_channels,))]
    return np.dtype(fields)


def file_header(session: Mapping[str, str]) -> bytes:
    """Return the XML of the file header; ``PhospheneError`` if XML cannot hold it."""
    info = ET.Element("info")
    _add(info, version="1.0")
    _add(ET.SubElement(ET.SubElement(info, "desc"), "session"), **session)
    xml = _encode(info)
    if not _reads_as(session, parse_file_header, xml):
        raise PhospheneError(f"names and texts about the session must fit XML; found {session}")
    return xml


def parse_file_header(xml: bytes) -> dict[str, str]:
    """Return what was said about the session; ``ValueError`` if it is none of our files."""
    session = _parse(xml).find("desc/session")
    if session is None:
        raise ValueError("the file header says nothing about a session")
    return {field.tag: field.text or "" for field in session}


def signal_header(spec: SignalSpec, name: str = "EEG") -> bytes:
    """Return the XML of the header of a stream of signals.

    Fields are those of https://github.com/sccn/xdf/wiki/EEG-Meta-Data. Raises ``PhospheneError``
    for a spec that XML cannot hold.
    """
    kind = "EEG" if name == "EEG" else "AUX"
    info = _stream_info(name, kind, spec.n_channels, repr(float(spec.sfreq)), "float32")
    desc = ET.SubElement(info, "desc")
    _add(desc, jitter=repr(float(spec.jitter)))
    channels, fiducials = ET.SubElement(desc, "channels"), ET.SubElement(desc, "fiducials")
    for label, type_ in zip(spec.channels, spec.types, strict=True):
        channel = ET.SubElement(channels, "channel")
        _add(channel, label=label, type=type_.upper(), unit=spec.unit)
        if label in spec.positions:
            _locate(channel, spec.positions[label])
    for label in spec.positions.keys() - set(spec.channels):
        fiducial = ET.SubElement(fiducials, "fiducial")
        _add(fiducial, label=label)
        _locate(fiducial, spec.positions[label])
    xml = _encode(info)
    if not _reads_as((name, spec), parse_signal_header, xml):
        names = ", ".join(map(repr, (*spec.channels, *spec.positions)))
        raise PhospheneError(
            "channel names must be printable text and positions numbers, as must the name of the "
            f"stream; found {names} of {name!r}"
        )
    return xml


def parse_signal_header(xml: bytes) -> tuple[str, SignalSpec]:
    """Return name and spec of a stream; ``ValueError`` if the header is not one of ours."""
    info = _parse(xml)
    channels = info.findall("desc/channels/channel")
    located = [*channels, *info.findall("desc/fiducials/fiducial")]
    return _text(info, "name"), SignalSpec(
        channels=tuple(_text(channel, "label") for channel in channels),
        types=tuple(_text(channel, "type").lower() for channel in channels),
        sfreq=float(_text(info, "nominal_srate")),
        positions={
            _text(element, "label"): _position(element)
            for element in located
            if element.find("location") is not None
        },
        jitter=float(info.findtext("desc/jitter") or JITTER),
    )


def markers_header(name: str = "Markers") -> bytes:
    """Return the XML of the header of a stream of markers."""
    xml = _encode(_stream_info(name, "Markers", 1, "0", "string"))
    if not _reads_as(name, parse_markers_header, xml):
        raise PhospheneError(f"the name of a stream must be printable text; found {name!r}")
    return xml


def parse_markers_header(xml: bytes) -> str:
    """Return the name of a stream of markers; ``ValueError`` if it is none."""
    info = _parse(xml)
    if _text(info, "channel_format") != "string":
        raise ValueError("it has no texts")
    return _text(info, "name")


def footer(first: float, last: float, n_samples: int) -> bytes:
    """Return the XML of a stream's footer."""
    info = ET.Element("info")
    if n_samples:
        _add(info, first_timestamp=repr(first), last_timestamp=repr(last))
    _add(info, sample_count=str(n_samples))
    return _encode(info)


def _stream_info(name: str, kind: str, n_channels: int, rate: str, dtype: str) -> ET.Element:
    info = ET.Element("info")
    _add(info, name=name, type=kind, channel_count=str(n_channels))
    _add(info, nominal_srate=rate, channel_format=dtype)
    return info


def _add(parent: ET.Element, **texts: str) -> None:
    for name, text in texts.items():
        ET.SubElement(parent, name).text = text


def _locate(parent: ET.Element, position: Position) -> None:
    # Millimetres are XDF's unit; a shift of the decimal point loses no digit.
    x, y, z = (str(Decimal(repr(float(metres))).scaleb(3)) for metres in position)
    _add(ET.SubElement(parent, "location"), X=x, Y=y, Z=z)


def _position(parent: ET.Element) -> Position:
    x, y, z = (float(Decimal(_text(parent, f"location/{axis}")).scaleb(-3)) for axis in "XYZ")
    return x, y, z


def _encode(info: ET.Element) -> bytes:
    xml: bytes = ET.tostring(info, "utf-8")
    return xml


def _parse(xml: bytes) -> ET.Element:
    try:
        return ET.fromstring(xml)  # noqa: S314 (expat itself limits the expansion of entities)
    except ET.ParseError as error:
        raise ValueError(str(error)) from None


def _reads_as(value: object, parse: Callable[[bytes], object], xml: bytes) -> bool:
    try:
        return parse(xml) == value
    except ValueError:
        return False


def _text(parent: ET.Element, name: str) -> str:
    text = parent.findtext(name)
    if text is None:
        raise ValueError(f"<{name}> is missing")
    return text
