"""What a BIDS run says about itself beside its samples: the JSON files and the electrodes."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene.dataset.bids_events import COLUMNS
from phosphene.dataset.xdf_reader import Segment
from phosphene.lab import NOT_SAID, Lab
from phosphene.recording import RecordingSettings
from phosphene.signals import SignalSpec

LANDMARKS = {"nasion": "NAS", "lpa": "LPA", "rpa": "RPA"}
"""Names that a spec's positions may hold beside channels, and what BIDS calls them."""
HEAD_FRAME = (
    "MNE's head frame: metres; the origin lies between the preauricular points, "
    "x points to the right one, y to the nasion, z up"
)


@dataclass(frozen=True)
class RunInfo:
    """What the recording itself does not say; ``n/a`` where nobody knows."""

    task_description: str = NOT_SAID
    instructions: str = NOT_SAID
    """What the participant was told to do."""
    lab: Lab = field(default_factory=Lab)
    operating_system: str = f"{platform.system()} {platform.release().partition('-')[0]}"
    """Of the computer that drove the screen."""
    screen_software: tuple[str, str] = (NOT_SAID, NOT_SAID)
    """Name and version of what drew on the screen."""
    refresh_rate: float | None = None
    """Of the screen, in Hz."""
    resolution: tuple[int, int] | None = None
    """Width and height of the screen in pixels."""
    recording: RecordingSettings = field(default_factory=RecordingSettings)
    """Which channels tell when stimuli appeared."""
    screen_lag: float = 0.0
    """Measured seconds from flip to light; 0 says that onsets are flip times."""


def complete(
    vhdr: Path, recording: Segment, info: RunInfo, source: Path, times: NDArray[np.float64]
) -> None:
    """Add to the files that mne-bids wrote what it cannot know.

    ``source`` is the recording's path within the study, ``times`` are those of its samples.
    """
    stem = vhdr.name.removesuffix("_eeg.vhdr")
    said = _eeg(info, recording, source) | _timing(times, recording.spec)
    _update(vhdr.with_suffix(".json"), said)
    events = vhdr.with_name(f"{stem}_events.json")
    if events.exists():
        _update(events, _events(info))
    _describe_channels(vhdr.with_name(f"{stem}_channels.tsv"), info.recording)
    if recording.spec.positions:
        _write_electrodes(vhdr.parent, stem.partition("_task-")[0], recording.spec)


def _describe_channels(table: Path, settings: RecordingSettings) -> None:
    """Say which channels see the screen and the triggers: BIDS has no type for the former."""
    said = {settings.photodiode: "Photodiode on the screen", settings.trigger: "Triggers received"}
    header, *rows = (line.split("\t") for line in table.read_text(encoding="utf-8").splitlines())
    name, description = header.index("name"), header.index("description")
    for row in rows:
        row[description] = said.get(row[name], row[description])
    text = "".join("\t".join(row) + "\n" for row in (header, *rows))
    table.write_text(text, encoding="utf-8")


def _eeg(info: RunInfo, recording: Segment, source: Path) -> dict[str, object]:
    specs = (recording.spec, *recording.beside.values())
    return {
        **info.lab.sidecar,
        "DeviceSerialNumber": NOT_SAID,
        "TaskDescription": info.task_description,
        "Instructions": info.instructions,
        "EEGReference": info.lab.reference,
        "EEGGround": info.lab.ground,
        "EEGPlacementScheme": info.lab.placement,
        "Manufacturer": info.lab.manufacturer,
        "SoftwareFilters": NOT_SAID,
        "SoftwareVersions": f"Phosphene {version('phosphene')}",
        # mne-bids writes MiscChannelCount, the name of older versions of BIDS.
        "MISCChannelCount": sum(spec.types.count("misc") for spec in specs),
        "SourceFile": source.as_posix(),
    }


def _timing(times: NDArray[np.float64], spec: SignalSpec) -> dict[str, object]:
    """Return the rate that was found, and by how much the steps between samples vary."""
    steps = np.diff(times)
    usual = steps[(steps >= -spec.jitter) & (steps <= 1 / spec.sfreq + spec.jitter)]
    if not usual.sum() > 0:
        return {}
    return {
        "EffectiveSamplingFrequency": round(float(1 / usual.mean()), 6),
        "TimestampJitter": round(float(usual.std()), 9),
    }


def _events(info: RunInfo) -> dict[str, object]:
    name, release = info.screen_software
    screen = {
        "OperatingSystem": info.operating_system,
        "SoftwareName": name,
        "SoftwareVersion": release,
        "ScreenRefreshRate": info.refresh_rate or NOT_SAID,
        "ScreenResolution": info.resolution or NOT_SAID,
    }
    flip = (
        f"light: the flip of the screen plus a measured lag of {info.screen_lag} s"
        if info.screen_lag
        else "the flip of the screen; the time from there to light was not measured"
    )
    measured = info.recording.photodiode or info.recording.trigger
    best = f"what onset_source says; where that is flip, {flip}" if measured else flip
    onset = COLUMNS["onset"] | {"Description": f"Start of the event, by {best}"}
    return {**COLUMNS, "onset": onset, "StimulusPresentation": screen}


def _write_electrodes(folder: Path, stem: str, spec: SignalSpec) -> None:
    rows = [("name", "x", "y", "z")]
    for name, kind in zip(spec.channels, spec.types, strict=True):
        if kind == "eeg":
            x, y, z = map(str, spec.positions.get(name, (NOT_SAID,) * 3))
            rows.append((name, x, y, z))
    text = "".join("\t".join(row) + "\n" for row in rows)
    (folder / f"{stem}_space-CapTrak_electrodes.tsv").write_text(text, encoding="utf-8")
    system = _system("EEG")
    marks = {bids: spec.positions[n] for n, bids in LANDMARKS.items() if n in spec.positions}
    if marks:
        system |= {"AnatomicalLandmarkCoordinates": marks, **_system("AnatomicalLandmark")}
    _update(folder / f"{stem}_space-CapTrak_coordsystem.json", system)


def _system(of: str) -> dict[str, object]:
    return {
        f"{of}CoordinateSystem": "CapTrak",
        f"{of}CoordinateSystemDescription": HEAD_FRAME,
        f"{of}CoordinateUnits": "m",
    }


def _update(file: Path, fields: Mapping[str, object]) -> None:
    """Add fields to a JSON file, or make it."""
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    text = json.dumps({**known, **fields}, indent=4, ensure_ascii=False) + "\n"
    file.write_text(text, encoding="utf-8")
