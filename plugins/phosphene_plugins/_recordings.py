"""Recordings of known length, whatever file they come from."""

import gzip
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from phosphene import PhospheneError, SignalSpec
from phosphene_plugins._channels import (
    TYPES,
    ChannelSettings,
    Position,
    describe,
    template_positions,
)

if TYPE_CHECKING:
    from mne.io import BaseRaw

BLOCK = 10.0
"""Seconds that are read from a file at a time."""


class Recording(Protocol):
    """A recording of known length."""

    spec: SignalSpec
    times: NDArray[np.float64]
    """Seconds since the first sample, by sample; never empty."""

    def data(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples in volts, shape (n_channels, stop - start)."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def is_xdf(path: Path) -> bool:
    """Tell whether a file is called like an XDF file."""
    return path.name.lower().endswith((".xdf", ".xdfz", ".xdf.gz"))


def open_recording(path: Path, stream: str | None, settings: ChannelSettings) -> Recording:
    """Return the recording; ``PhospheneError`` that names the file if it cannot be played."""
    if not path.exists():
        raise PhospheneError(f"there is no file {path}")
    try:
        recording = XdfStream(path, stream, settings) if is_xdf(path) else MneFile(path)
    except PhospheneError:
        raise
    # A broken file makes the readers of MNE and pyxdf raise almost anything.
    except Exception as error:
        raise PhospheneError(f"cannot read {path}: {error}") from error
    if not len(recording.times):
        raise PhospheneError(f"{path} holds no samples")
    return recording


class MneFile:
    """A file that MNE reads, a few seconds of it in memory."""

    def __init__(self, path: Path) -> None:
        import mne

        self._raw = _read_bids(path) or mne.io.read_raw(path, preload=False, verbose="WARNING")
        self.spec = _spec(self._raw)
        self.times = np.arange(self._raw.n_times) / self.spec.sfreq
        self._start = 0
        self._block = np.empty((self.spec.n_channels, 0), np.float32)

    def data(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples in volts, shape (n_channels, stop - start)."""
        if not self._start <= start <= stop <= self._start + self._block.shape[1]:
            end = max(stop, start + round(BLOCK * self.spec.sfreq))
            block = self._raw.get_data(start=start, stop=min(end, len(self.times)))
            self._start, self._block = start, block.astype(np.float32)
        return self._block[:, start - self._start : stop - self._start].copy()

    def close(self) -> None:
        """Let go of the file."""
        self._raw.close()


def _read_bids(path: Path) -> "BaseRaw | None":
    """Return a BIDS run with what its sidecars say of channels; None if it is not one."""
    stem = path.stem.removesuffix("_eeg")
    if not path.with_name(f"{stem}_channels.tsv").exists():
        return None
    import mne_bids

    run = mne_bids.get_bids_path_from_fname(path)
    return cast("BaseRaw", mne_bids.read_raw_bids(run, verbose="ERROR"))


class XdfStream:
    """One stream of an XDF file, all of it in memory."""

    def __init__(self, path: Path, name: str | None, settings: ChannelSettings) -> None:
        import pyxdf

        with _opened(path) as file:
            wanted = _pick(pyxdf.resolve_streams(file), name, path)
        with _opened(path) as file:
            # Dejittering would close gaps of less than a second.
            (stream,), _ = pyxdf.load_xdf(file, [wanted], dejitter_timestamps=False)
        described = describe(_info(stream["info"]), settings, str(path))
        self.spec = described.spec
        self._gains = described.gains
        stamps = stream["time_stamps"]
        self.times: NDArray[np.float64] = stamps - stamps[:1]
        self._samples = stream["time_series"]

    def data(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples in volts, shape (n_channels, stop - start)."""
        return np.ascontiguousarray(self._samples[start:stop].T * self._gains, np.float32)

    def close(self) -> None:
        """Forget the samples."""
        del self._samples


def _spec(raw: "BaseRaw") -> SignalSpec:
    types = tuple(TYPES.get(kind, "misc") for kind in raw.get_channel_types())
    channels = tuple(raw.ch_names)
    eeg = [name for name, kind in zip(channels, types, strict=True) if kind == "eeg"]
    positions = _positions(raw) or template_positions(eeg)
    return SignalSpec(channels, types, float(raw.info["sfreq"]), positions)


def _positions(raw: "BaseRaw") -> dict[str, Position]:
    montage = raw.get_montage()
    located = montage.get_positions()["ch_pos"] if montage else {}
    return {
        name: (float(x), float(y), float(z))
        for name, (x, y, z) in located.items()
        if np.isfinite((x, y, z)).all()
    }


def _opened(path: Path) -> BinaryIO:
    # pyxdf leaves a file open that is no XDF, and takes a dot in a name for a suffix.
    packed = path.suffix.lower() in (".xdfz", ".gz")
    return cast(BinaryIO, gzip.open(path)) if packed else path.open("rb")


def _pick(streams: Iterable[Mapping[str, Any]], name: str | None, path: Path) -> int:
    """Return the id of the stream with this name, or of the one that is EEG."""
    numeric = [each for each in streams if each["channel_format"] != "string"]
    field, value = ("type", "eeg") if name is None else ("name", name.lower())
    found = [each for each in numeric if (each[field] or "").lower() == value]
    if len(found) == 1:
        return int(found[0]["stream_id"])
    known = ", ".join(f"{each['name']} (type {each['type']})" for each in numeric)
    raise PhospheneError(
        f"{path}: {len(found)} streams have the {field} {value!r}; choose one by 'stream', "
        f"there are: {known or 'none with numbers'}"
    )


def _info(header: Mapping[str, Any]) -> ET.Element:
    """Return pyxdf's dictionaries as the XML that they were."""
    info = ET.Element("info")
    for tag in ("channel_count", "nominal_srate", "desc"):
        info.extend(_element(tag, content) for content in header.get(tag, []))
    return info


def _element(tag: str, content: Mapping[str, Any] | str | None) -> ET.Element:
    element = ET.Element(tag)
    if isinstance(content, Mapping):
        element.extend(_element(inner, each) for inner in content for each in content[inner])
    else:
        element.text = content
    return element
