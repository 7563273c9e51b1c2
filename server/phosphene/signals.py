"""Signals as they come from an amplifier: volts, ``(channel, time)``, float32."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.errors import PhospheneError

JITTER = 0.02
"""Seconds by which most amplifiers' time stamps are off, at most."""


class SignalSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a source delivers, and what every step turns it into."""

    channels: tuple[str, ...]
    """Channel names, in the order of the rows."""
    types: tuple[str, ...]
    """One of MNE's lower-case channel types by channel: eeg, eog, emg, ecg, misc, stim."""
    sfreq: float
    """Nominal sampling rate in Hz."""
    positions: dict[str, tuple[float, float, float]] = msgspec.field(default_factory=dict)
    """Electrode positions in metres in MNE's head frame, where known."""
    unit: Literal["V"] = "V"
    jitter: float = JITTER
    """Seconds by which a time stamp may be off. More is a gap, or another clock."""

    def __post_init__(self) -> None:
        if len(self.types) != len(self.channels):
            raise PhospheneError(
                f"{len(self.channels)} channels but {len(self.types)} channel types"
            )
        if len(set(self.channels)) != len(self.channels):
            twice = sorted({c for c in self.channels if self.channels.count(c) > 1})
            raise PhospheneError(f"channel names must be unique; found twice: {', '.join(twice)}")
        if not self.sfreq > 0:
            raise PhospheneError(f"sampling rate must be above 0 Hz; found {self.sfreq}")
        if not 0 <= self.jitter < float("inf"):
            raise PhospheneError(f"jitter must be 0 s or more; found {self.jitter}")

    @property
    def n_channels(self) -> int:
        """Number of rows of a signal."""
        return len(self.channels)


@dataclass(frozen=True, slots=True)
class Markers:
    """What a stream without a rate said; ``stamps`` and ``offset`` are those of a ``Signal``."""

    texts: tuple[str, ...]
    stamps: NDArray[np.float64]
    offset: float = 0.0

    @property
    def times(self) -> NDArray[np.float64]:
        """Seconds on the LSL clock by text, shape (n_texts,)."""
        return self.stamps + self.offset


NOTHING: Mapping[str, "Signal"] = MappingProxyType({})
NO_MARKERS: Mapping[str, Markers] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Signal:
    """A piece of a continuous recording.

    ``data`` has shape (n_channels, n_times), float32, volts; ``stamps`` has shape (n_times,),
    float64: the seconds that the amplifier's own clock gave; ``offset`` is what must be added to
    them to get seconds on the LSL clock of this computer.
    """

    data: NDArray[np.float32]
    stamps: NDArray[np.float64]
    offset: float = 0.0
    beside: Mapping[str, "Signal"] = field(default_factory=lambda: NOTHING)
    """What came meanwhile of other streams, by name: recorded, and never decoded."""
    markers: Mapping[str, Markers] = field(default_factory=lambda: NO_MARKERS)
    """And of those without a rate."""

    @property
    def times(self) -> NDArray[np.float64]:
        """Seconds on the LSL clock by sample, shape (n_times,)."""
        return self.stamps + self.offset

    @property
    def n_times(self) -> int:
        """Number of samples."""
        return int(self.data.shape[1])


@dataclass(frozen=True, slots=True)
class Epochs:
    """Pieces of equal length cut around onsets.

    ``data`` has shape (n_epochs, n_channels, n_times) or, once it is a spectrogram,
    (n_epochs, n_channels, n_freqs, n_times), float32.
    """

    data: NDArray[np.float32]
    spec: SignalSpec
    tmin: float
    """Seconds from onset to the first sample, filter delays already taken out."""
    freqs: tuple[float, ...] = ()
    """Centre of each frequency row in Hz; empty in the time domain."""

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: slice | NDArray[np.intp] | NDArray[np.bool_]) -> "Epochs":
        return Epochs(self.data[index], self.spec, self.tmin, self.freqs)


def eeg_picks(spec: SignalSpec) -> list[int]:
    """Return the rows of the EEG channels."""
    return [row for row, kind in enumerate(spec.types) if kind == "eeg"]
