"""A subject withdraws: everything of them is deleted, and that it was is put on record."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

import msgspec

from phosphene.dataset import description
from phosphene.dataset.study import Study, checked_id
from phosphene.errors import PhospheneError

DESCRIPTIONS = ("README.md", "dataset_description.json", ".bidsignore")
"""Files of the derivatives that are nobody's."""


class Withdrawal(msgspec.Struct, frozen=True):
    """What was deleted."""

    participant_id: str
    n_sessions: int
    n_files: int
    n_bytes: int
    time: str = msgspec.field(default_factory=lambda: datetime.now(UTC).isoformat())


def survey(study: Study, subject: str) -> Withdrawal:
    """Return what there is of a subject; ``PhospheneError`` if there is nothing."""
    files = list(_files(study, subject))
    if not files:
        known = sorted({folder.subject for folder in study.sessions()})
        raise PhospheneError(
            f"{study.root} has no subject {subject!r}; there are {', '.join(known) or 'none'}"
        )
    sizes = [file.lstat().st_size for file in files]
    n_sessions = len(list(_folders(study, subject)[0].glob("ses-*")))
    return Withdrawal(f"sub-{subject}", n_sessions, len(files), sum(sizes))


def withdraw(study: Study, subject: str) -> Withdrawal:
    """Delete a subject's data, bundles and pictures, and all results over several subjects.

    Its line leaves ``participants.tsv``; that it withdrew is added to ``withdrawals.jsonl`` in
    ``sourcedata``. Raises ``PhospheneError`` if there is no such subject, or while one of its
    sessions is in use. Copies elsewhere are not reached.
    """
    found = survey(study, subject)
    with ExitStack() as locks:
        for session in study.sessions():
            if session.subject == subject:
                locks.enter_context(session.lock())
        for file in _shared(study):
            file.unlink()
        for folder in _folders(study, subject):
            if folder.exists():
                rmtree(folder)
    description.remove_participant(study.root, subject)
    with (study.root / "sourcedata" / "withdrawals.jsonl").open("ab") as record:
        record.write(msgspec.json.encode(found) + b"\n")
    return found


def _folders(study: Study, subject: str) -> list[Path]:
    name = f"sub-{checked_id(subject)}"
    places = ("sourcedata", description.DERIVATIVES, "")
    return [study.root / place / name for place in places]


def _files(study: Study, subject: str) -> Iterator[Path]:
    for folder in _folders(study, subject):
        yield from (path for path in folder.rglob("*") if not path.is_dir())


def _shared(study: Study) -> Iterator[Path]:
    """Yield the results that rest on several subjects."""
    for path in (study.root / description.DERIVATIVES).iterdir():
        if path.is_file() and path.name not in DESCRIPTIONS:
            yield path
