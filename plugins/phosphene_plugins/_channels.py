"""What LSL and XDF say about the channels of a stream, made into volts and a ``SignalSpec``.

Both carry one description: https://github.com/sccn/xdf/wiki/EEG-Meta-Data.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene import PhospheneError, SignalSpec, SourceConfig

if TYPE_CHECKING:
    from mne.channels import DigMontage

Unit = Literal["volts", "millivolts", "microvolts"]
Type = Literal["eeg", "eog", "emg", "ecg", "misc", "stim"]
Position = tuple[float, float, float]

VOLTAGES = ("eeg", "eog", "emg", "ecg")
TYPES = {
    **{name: name for name in (*VOLTAGES, "misc", "stim")},
    **{"veog": "eog", "heog": "eog", "ekg": "ecg"},
    **dict.fromkeys(("trigger", "trig", "trg", "marker", "markers", "status", "event"), "stim"),
}
"""What outlets call a channel; anything else is ``misc``."""
VOLTS = {
    **dict.fromkeys(("v", "volt", "volts", "0"), 1.0),
    **dict.fromkeys(("mv", "millivolt", "millivolts", "-3"), 1e-3),
    **dict.fromkeys(("uv", "µv", "μv", "microvolt", "microvolts", "-6"), 1e-6),
    **dict.fromkeys(("nv", "nanovolt", "nanovolts", "-9"), 1e-9),
}
"""Volts by unit; both signs that look like a mu, and the powers of ten that mne-lsl writes."""
HEAD = (0.02, 0.25)
"""Metres from the middle of a head within which an electrode can be."""


class ChannelSettings(SourceConfig, frozen=True):
    """What can be said about channels where the stream itself does not."""

    labels: tuple[str, ...] | None = None
    """Channel names in the stream's order, in place of its own."""
    types: dict[str, Type] = msgspec.field(default_factory=dict)
    """Channel type by name, in place of the stream's own."""
    units: Unit | None = None
    """Of the eeg, eog, emg and ecg channels, in place of the stream's own."""
    mapping: Path | None = None
    """Table that says which electrode each channel is: lines of channel, tab, electrode."""
    cap: Path | None = None
    """Positions of the lab's own cap, in any file that MNE reads, in place of all others."""
    jitter: float = 0.02
    """Seconds by which a time stamp may be off; more is a gap."""

    def __post_init__(self) -> None:
        labels = self.labels or ()
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"labels must be unique; found twice: {', '.join(twice)}")
        if not all(labels):
            raise ValueError("labels must not be empty")
        if not 0 <= self.jitter < float("inf"):
            raise ValueError(f"jitter must be 0 s or more; found {self.jitter}")


@dataclass(frozen=True)
class Described:
    """A described stream."""

    spec: SignalSpec
    gains: NDArray[np.float64]
    """What to multiply each channel by to get volts, shape (n_channels, 1); 1 for misc and stim."""


def describe(info: ET.Element, settings: ChannelSettings, origin: str) -> Described:
    """Return channels, rate and gains of the stream whose ``<info>`` this is.

    Raises ``PhospheneError`` that starts with ``origin``, and says what to write in the session
    file if the stream does not tell names or units.
    """
    try:
        return _describe(info, settings)
    except (PhospheneError, ValueError) as error:
        raise PhospheneError(f"{origin}: {error}") from None


def retyped(
    labels: Sequence[str], types: Sequence[str], given: Mapping[str, Type]
) -> tuple[str, ...]:
    """Return the types with those given by label in their place; ``PhospheneError`` if unknown."""
    if unknown := given.keys() - set(labels):
        raise PhospheneError(
            f"'types' names {', '.join(sorted(unknown))}; the channels are {', '.join(labels)}"
        )
    return tuple(given.get(label) or kind for label, kind in zip(labels, types, strict=True))


def template_positions(labels: Sequence[str]) -> dict[str, Position]:
    """Return where the 10-05 system has these electrodes: metres, MNE's head frame."""
    import mne

    return _located(mne.channels.make_standard_montage("colin27_1005"), labels)


def cap_positions(cap: Path, labels: Sequence[str]) -> dict[str, Position]:
    """Return where a lab's own cap has these electrodes; ``PhospheneError`` names a bad file."""
    import mne

    try:
        return _located(mne.channels.read_custom_montage(cap), labels)
    # Readers of many formats fail in as many ways.
    except Exception as error:
        raise PhospheneError(f"{cap}: no electrode positions that MNE can read: {error}") from error


def electrodes(channels: Sequence[str], mapping: Path | None) -> tuple[str, ...]:
    """Return the electrodes that a table says channels are; others keep their names.

    Raises ``PhospheneError`` that names file, line and what was found for a bad table.
    """
    if mapping is None:
        return tuple(channels)
    names: dict[str, str] = {}
    for number, line in enumerate(mapping.read_text(encoding="utf-8").splitlines(), start=1):
        fields = [field.strip() for field in line.split("\t")]
        if not line.strip() or line.startswith("#"):
            continue
        if len(fields) != 2 or not all(fields) or fields[0] in names:
            raise PhospheneError(
                f"{mapping}, line {number}: expected a channel not named before, a tab and an "
                f"electrode; found {line!r}"
            )
        names[fields[0]] = fields[1]
    if unknown := names.keys() - set(channels):
        raise PhospheneError(
            f"{mapping} names {', '.join(sorted(unknown))}; the channels are {', '.join(channels)}"
        )
    return tuple(names.get(channel, channel) for channel in channels)


def _located(montage: "DigMontage", labels: Sequence[str]) -> dict[str, Position]:
    import mne

    if montage.get_positions()["nasion"] is not None:
        montage = mne.channels.montage.transform_to_head(montage)
    located = montage.get_positions()["ch_pos"]
    known = {name.lower(): position for name, position in located.items()}
    found = {label: known[label.lower()] for label in labels if label.lower() in known}
    return {label: (float(x), float(y), float(z)) for label, (x, y, z) in found.items()}


def _describe(info: ET.Element, settings: ChannelSettings) -> Described:
    n_channels, sfreq = int(_text(info, "channel_count")), float(_text(info, "nominal_srate"))
    if not sfreq > 0:
        raise PhospheneError("samples come without a fixed rate (nominal rate 0 Hz)")
    channels = info.findall("desc/channels/channel")
    if len(channels) != n_channels:
        # A partial description would put names on the wrong rows.
        channels = [ET.Element("channel")] * n_channels
    labels = _labels(channels, settings)
    types = _types(channels, labels, settings.types)
    gains = _gains(channels, labels, types, settings.units)
    eeg = [label for label, kind in zip(labels, types, strict=True) if kind == "eeg"]
    if settings.cap:
        positions = cap_positions(settings.cap, eeg)
    else:
        positions = _positions(channels, labels) or template_positions(eeg)
    return Described(SignalSpec(labels, types, sfreq, positions, jitter=settings.jitter), gains)


def _text(parent: ET.Element, path: str) -> str:
    return (parent.findtext(path) or "").strip()


def _labels(channels: Sequence[ET.Element], settings: ChannelSettings) -> tuple[str, ...]:
    if settings.labels is None:
        labels = tuple(_text(channel, "label") for channel in channels)
        if not all(labels):
            raise PhospheneError(
                f"{labels.count('')} of {len(labels)} channels have no name; "
                "give all of them in order: 'labels: [Fp1, Fp2, ...]'"
            )
        return electrodes(labels, settings.mapping)
    if len(settings.labels) != len(channels):
        raise PhospheneError(
            f"{len(channels)} channels, but 'labels' has {len(settings.labels)} names"
        )
    return electrodes(settings.labels, settings.mapping)


def _types(
    channels: Sequence[ET.Element], labels: Sequence[str], given: Mapping[str, Type]
) -> tuple[str, ...]:
    told = (_text(channel, "type").lower() or "eeg" for channel in channels)
    return retyped(labels, [TYPES.get(kind, "misc") for kind in told], given)


def _gains(
    channels: Sequence[ET.Element], labels: Sequence[str], types: Sequence[str], units: Unit | None
) -> NDArray[np.float64]:
    told = {label: _text(each, "unit") for label, each in zip(labels, channels, strict=True)}
    voltages = [label for label, kind in zip(labels, types, strict=True) if kind in VOLTAGES]
    if units is not None:
        gains = dict.fromkeys(voltages, VOLTS[units])
    elif strange := [label for label in voltages if told[label].lower() not in VOLTS]:
        raise PhospheneError(
            f"unit {told[strange[0]]!r} of channel {strange[0]} ({len(strange)} of "
            f"{len(voltages)} channels are not in volts, millivolts or microvolts); "
            "find out what the amplifier sends and write it, e.g. 'units: microvolts'"
        )
    else:
        gains = {label: VOLTS[told[label].lower()] for label in voltages}
    return np.array([[gains.get(label, 1.0)] for label in labels])


def _positions(channels: Sequence[ET.Element], labels: Sequence[str]) -> dict[str, Position]:
    """Return what the stream tells of positions; nothing if they cannot be on a head."""
    located = [(each.find("location"), label) for each, label in zip(channels, labels, strict=True)]
    found = {label: _metres(place) for place, label in located if place is not None}
    far = [
        label for label, place in found.items() if not HEAD[0] < np.hypot.reduce(place) < HEAD[1]
    ]
    if far:
        logging.getLogger(__name__).warning(
            "positions in the stream are not used: %s is not on a head (millimetres expected)",
            ", ".join(far),
        )
        return {}
    return found


def _metres(location: ET.Element) -> Position:
    try:
        x, y, z = (float(_text(location, axis)) / 1000 for axis in "XYZ")
    except ValueError:
        return (np.nan, np.nan, np.nan)
    return x, y, z
