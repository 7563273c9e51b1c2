"""Published data sets become studies like our own: everything that reads ours reads them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf import XdfWriter
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.interfaces import Dataset
from phosphene.journal import Journal
from phosphene.messages import BlockDone, BlockStarted
from phosphene.registry import Registry
from phosphene.settings import load_settings, write_resolved

SESSION = "01"
IMAGES, PARTS, NOTES = "images.tsv", "parts.tsv", "notes.txt"


def import_dataset(
    found: Dataset, name: str, study: Path, images: Path | None, registry: Registry
) -> list[SessionFolder]:
    """Write a study with a session for each subject, and return the sessions.

    ``images`` is the folder of the images' files, if there is one. Raises ``PhospheneError`` if the
    study exists.
    """
    if study.exists() and any(study.iterdir()):
        raise PhospheneError(f"{study} is not empty; choose another folder")
    study.mkdir(parents=True, exist_ok=True)
    source = study / "sourcedata" / name
    source.mkdir(parents=True)
    _write_table(source / IMAGES, "image\twnid", found.images.items())
    if found.parts:
        _write_table(source / PARTS, "image\tpart", found.parts.items())
    (source / NOTES).write_text("\n".join(found.notes) + "\n", encoding="utf-8")
    place = _Place(source, study, images)
    return [_session(found, subject, place, registry) for subject in found.subjects]


def read_parts(folder: SessionFolder) -> dict[str, str]:
    """Return the published part of each image; empty if none was published."""
    [*files] = (folder.study_root / "sourcedata").glob(f"*/{PARTS}")
    if not files:
        return {}
    lines = files[0].read_text(encoding="utf-8").splitlines()[1:]
    return dict(line.split("\t") for line in lines)


@dataclass(frozen=True)
class _Place:
    source: Path
    """Folder of what came with the data set."""
    study: Path
    images: Path | None


def _session(found: Dataset, subject: str, place: _Place, registry: Registry) -> SessionFolder:
    folder = SessionFolder.create(place.study, subject, SESSION)
    path = folder.new_segment("record", "brain2image", 1)
    _write_recording(found, subject, path, Journal(folder.journal_file))
    session_file = place.source / f"sub-{subject}.yaml"
    session_file.write_text(_settings(place, path), encoding="utf-8")
    who = {"subject": subject, "session": SESSION}
    write_resolved(load_settings(session_file, registry, who), folder.settings_file)
    return folder


def _settings(place: _Place, recording: Path) -> str:
    """Return a session file: what is published has passed the filters."""
    listed = {"file": str(place.source / IMAGES)}
    if place.images:
        listed["folder"] = str(place.images)
    spectrogram = {"window": 0.04, "hop": 0.02, "low": 0, "high": 125}
    sections = {
        "format": 1,
        "extends": "brain2image",
        "protocol": ["record"],
        "stimuli": {"listed": listed},
        "acquisition": {"replay": {"file": str(recording)}},
        "stream": [],
        "epochs": {
            "tmin": 0.02,
            "tmax": 0.5,
            "steps": ["standardise", {"spectrogram": spectrogram}],
        },
        "screen": {"kind": "headless"},
        "output": str(place.study),
        "cache": str(place.study / "cache"),
    }
    return json.dumps(sections, indent=2) + "\n"  # JSON is YAML.


def _write_recording(found: Dataset, subject: str, path: Path, journal: Journal) -> None:
    writer, last = XdfWriter(path, found.spec, {"phase": "record"}), None
    for onset, signal in found.trials(subject):
        if last is None or last.block != onset.block:
            _end(journal, last)
            started = BlockStarted("record", onset.run, onset.block, 1, onset.time)
            journal.append(started)
        writer.write_signal(signal)
        writer.write_marker(onset)
        last = onset
    _end(journal, last)
    writer.close()
    journal.close()


def _end(journal: Journal, last: Onset | None) -> None:
    if last is not None:
        end = last.time + last.duration
        done = BlockDone("record", last.run, last.block, 1, end, last.trial, last.seq + 1, 0, False)
        journal.append(done)


def _write_table(path: Path, header: str, rows: Iterable[tuple[str, str]]) -> None:
    lines = [header, *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
