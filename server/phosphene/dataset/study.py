"""Where everything lies: one BIDS dataset for a study, one folder for each of its sessions."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import NamedTuple

import msgspec

from phosphene.dataset import description
from phosphene.errors import PhospheneError

ID = re.compile(r"[A-Za-z0-9]{1,32}")
SEGMENT = re.compile(
    r"sub-[^_]+_ses-[^_]+_task-(?P<task>[^_]+)_phase-(?P<phase>[^_]+)"
    r"_run-(?P<run>\d+)_segment-(?P<number>\d+)\.xdf"
)
POLL = 0.1
"""Seconds between two looks at a lock."""
SESSION_PATTERN = "sourcedata/sub-*/ses-*"


class SegmentName(NamedTuple):
    """What the name of a recording says."""

    task: str
    phase: str
    run: int
    """Planned run; a run that was interrupted has several segments."""
    number: int
    """Counts all segments of the session from 1."""

    @classmethod
    def of(cls, path: Path) -> "SegmentName":
        """Return what a file is called; ``PhospheneError`` if it is not a segment's name."""
        match = SEGMENT.fullmatch(path.name)
        if not match:
            raise PhospheneError(
                f"{path} is not named like a recording: sub-_ses-_task-_phase-_run-_segment-.xdf"
            )
        return cls(match["task"], match["phase"], int(match["run"]), int(match["number"]))


@dataclass(frozen=True)
class Study:
    """One BIDS dataset."""

    root: Path

    def add_session(self, subject: str, session: str) -> "SessionFolder":
        """Return the folder of a new session.

        Raises ``PhospheneError`` for an unusable id, a folder that leads out of the study, or a
        session that holds recordings already.
        """
        folder = SessionFolder(self.root, checked_id(subject), checked_id(session))
        self.root.mkdir(parents=True, exist_ok=True)
        with self._lock():
            folder.check_place()
            if folder.path.is_dir() and folder.segments():
                # A session that is running says so itself.
                with folder.lock():
                    raise PhospheneError(
                        f"{folder.path} holds recordings already: go on with that session "
                        "(--resume), or choose another session id"
                    )
            folder.path.mkdir(parents=True, exist_ok=True)
            folder.derivatives.mkdir(parents=True, exist_ok=True)
            self._describe(subject)
        return folder

    def describe(self, subject: str) -> None:
        """Write what the dataset says of itself and of a subject, where it is missing."""
        with self._lock():
            self._describe(subject)

    def _describe(self, subject: str) -> None:
        description.describe_study(self.root)
        description.add_participant(self.root, subject, self.said_of(subject))

    def say_of(self, subject: str, said: Mapping[str, str]) -> None:
        """Keep what is said of a participant, in place of what was said before.

        It lies in ``sourcedata``; what BIDS has a column for is also in ``participants.tsv``.
        Raises ``PhospheneError`` if the study has no such subject.
        """
        file = self._participant_file(subject)
        if not file.parent.is_dir():
            raise PhospheneError(f"{self.root} has no subject {subject}")
        with self._lock():
            known = {**self.said_of(subject), **said}
            description.write_private(file, msgspec.json.encode(known) + b"\n")
            self._describe(subject)

    def said_of(self, subject: str) -> dict[str, str]:
        """Return what was said of a participant."""
        file = self._participant_file(subject)
        return msgspec.json.decode(file.read_bytes(), type=dict[str, str]) if file.exists() else {}

    def _participant_file(self, subject: str) -> Path:
        return self.root / "sourcedata" / f"sub-{checked_id(subject)}" / "participant.json"

    @property
    def transfer_file(self) -> Path:
        """How well each session's decoder does on the others."""
        return self.root / description.DERIVATIVES / "transfer.json"

    @property
    def comparison_file(self) -> Path:
        """Decoders side by side, over sessions."""
        return self.root / description.DERIVATIVES / "comparison.json"

    def sessions(self) -> list["SessionFolder"]:
        """Return the study's sessions, sorted by subject and session."""
        found = sorted(self.root.glob(SESSION_PATTERN))
        return [_session_folder(path) for path in found if path.is_dir()]

    @contextmanager
    def _lock(self) -> Iterator[None]:
        handle = os.open(self.root, os.O_RDONLY)
        try:
            flock(handle, LOCK_EX)
            yield
        finally:
            os.close(handle)


@dataclass(frozen=True)
class SessionFolder:
    """The paths of one session."""

    study_root: Path
    subject: str
    session: str

    @classmethod
    def create(cls, root: Path, subject: str, session: str) -> "SessionFolder":
        """Return the folder of a new session: see ``Study.add_session``."""
        return Study(_absolute(root)).add_session(subject, session)

    @classmethod
    def existing(cls, root: Path, subject: str, session: str) -> "SessionFolder":
        """Return the folder of a session that was begun; ``PhospheneError`` if there is none."""
        folder = cls(_absolute(root), checked_id(subject), checked_id(session))
        folder.check_place()
        if not (folder.settings_file.exists() and folder.journal_file.exists()):
            raise PhospheneError(f"{folder.path} holds no session to go on with")
        return folder

    @classmethod
    def at(cls, path: Path) -> "SessionFolder":
        """Return the session that a folder of ``sourcedata``, or a study of one session, holds.

        Raises ``PhospheneError`` if there is none, or more than one.
        """
        here = _absolute(path)
        if here.is_dir() and here.match(SESSION_PATTERN):
            return _session_folder(here)
        sessions = Study(here).sessions()
        if len(sessions) != 1:
            names = ", ".join(str(folder.path.relative_to(here)) for folder in sessions)
            raise PhospheneError(f"{path} is not a session; sessions in it: {names or 'none'}")
        return sessions[0]

    @classmethod
    def all_at(cls, path: Path) -> list["SessionFolder"]:
        """Return the session that a folder of ``sourcedata`` holds, or all those of a study.

        Raises ``PhospheneError`` if there is none.
        """
        return Study(_absolute(path)).sessions() or [cls.at(path)]

    @property
    def study(self) -> Study:
        """The study that it is part of."""
        return Study(self.study_root)

    @property
    def title(self) -> str:
        """How the session is called in a terminal."""
        return f"sub-{self.subject} ses-{self.session}"

    @property
    def path(self) -> Path:
        """The folder of the recordings."""
        return self.study_root / "sourcedata" / self._branch

    @property
    def bids(self) -> Path:
        """The folder of the BIDS runs."""
        return self.study_root / self._branch

    @property
    def derivatives(self) -> Path:
        """The folder of everything that is made from the recordings."""
        return self.study_root / description.DERIVATIVES / self._branch

    @property
    def lab_file(self) -> Path:
        """Equipment and place, as the lab had said when the session began."""
        return self.path / "lab.json"

    @property
    def settings_file(self) -> Path:
        """The resolved settings."""
        return self.path / "settings.json"

    @property
    def journal_file(self) -> Path:
        """What the server did."""
        return self.path / "journal.jsonl"

    @property
    def onsets_file(self) -> Path:
        """The presenter's own record of what was shown."""
        return self.path / "onsets.jsonl"

    @property
    def evaluation_file(self) -> Path:
        """How well the session was decoded."""
        return self.derivatives / "evaluation.json"

    @property
    def report_file(self) -> Path:
        """The report for people."""
        return self.derivatives / "report.html"

    @property
    def decodings_file(self) -> Path:
        """The trials that the driver decoded."""
        return self.decodings_of("")

    def decodings_of(self, shadow: str) -> Path:
        """Return the file of the trials that a shadow decoded; "" stands for the driver."""
        return self.derivatives / f"decodings{shadow and '_'}{shadow}.tsv"

    @property
    def feedback_file(self) -> Path:
        """The trials of feedback, if nothing has to be kept from the operator."""
        return self.derivatives / "feedback.tsv"

    @property
    def sealed_feedback_file(self) -> Path:
        """The trials of feedback in a session that has sham feedback."""
        return self.derivatives / "sealed" / "feedback.tsv"

    @property
    def sealed_arms_file(self) -> Path:
        """Which blocks of feedback were true and which sham."""
        return self.derivatives / "sealed" / "arms.json"

    @property
    def unblinded_file(self) -> Path:
        """When and why somebody was told which feedback was sham."""
        return self.derivatives / "sealed" / "unblinded.jsonl"

    @property
    def debrief_file(self) -> Path:
        """What the subject is to be told after a session that may have had sham feedback."""
        return self.derivatives / "debrief.txt"

    @property
    def retraining_file(self) -> Path:
        """How decoders that learnt from feedback runs compared with those before them."""
        return self.derivatives / "retraining.json"

    @property
    def prospect_file(self) -> Path:
        """What feedback could be expected to get right."""
        return self.derivatives / "prospect.json"

    @property
    def pictures(self) -> Path:
        """The folder of the generated pictures, named by id, each with a JSON card beside it."""
        return self.derivatives / "pictures"

    @property
    def last_picture(self) -> int:
        """Number of the last picture that was made; 0 if there is none."""
        made = self.pictures.glob("picture-*.png")
        return max((_number(path.with_suffix("")) for path in made), default=0)

    def new_segment(self, phase: str, task: str, run: int) -> Path:
        """Return the name of the next recording, which does not exist yet."""
        for label in (phase, task):
            checked_id(label)
        number = max((SegmentName.of(p).number for p in self.segments()), default=0) + 1
        name = f"task-{task}_phase-{phase}_run-{run:02d}_segment-{number:02d}.xdf"
        return self.path / f"sub-{self.subject}_ses-{self.session}_{name}"

    def segments(self, phase: str | None = None, run: int | None = None) -> list[Path]:
        """Return the recordings, of one phase or run or all, in the order they were made in."""
        ours = self.path.glob(f"sub-{self.subject}_ses-{self.session}_*_segment-*.xdf")
        named = [(SegmentName.of(path), path) for path in ours]
        chosen = [
            (name.number, path)
            for name, path in named
            if phase in (None, name.phase) and run in (None, name.run)
        ]
        return [path for _, path in sorted(chosen)]

    def new_bundle(self, shadow: str = "") -> Path:
        """Return the name of the next bundle's folder, which does not exist yet."""
        number = max((_number(path) for path in self.bundles(shadow)), default=0) + 1
        return self._bundles / shadow / f"bundle-{number:02d}"

    def bundles(self, shadow: str = "") -> list[Path]:
        """Return the folders of the driver's bundles, or of a shadow's, oldest first."""
        return sorted((self._bundles / shadow).glob("bundle-*"), key=_number)

    @contextmanager
    def lock(self, patience: float = 0.0) -> Iterator[int]:
        """Keep every other process out; ``PhospheneError`` names the one that is in.

        Gives the descriptor of the lock: it is held until every process that inherits it has ended.
        ``patience``: seconds to wait for those of a server that was killed.
        """
        file = self.path / ".lock"
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            self._seize(handle, time.monotonic() + patience)
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            yield handle
        finally:
            os.close(handle)

    def _seize(self, handle: int, deadline: float) -> None:
        while True:
            try:
                flock(handle, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = os.pread(handle, 32, 0).decode()
                    raise PhospheneError(f"{self.path} is in use by process {holder}") from None
                time.sleep(POLL)
            else:
                return

    def check_place(self) -> None:
        """Raise ``PhospheneError`` if a symbolic link leads out of the study's folders."""
        root = self.study_root.resolve()
        for path in (self.path, self.bids, self.derivatives):
            if path.resolve() != root / path.relative_to(self.study_root):
                raise PhospheneError(f"{path} leads through a symbolic link; only folders may be")

    @property
    def _branch(self) -> Path:
        return Path(f"sub-{self.subject}", f"ses-{self.session}")

    @property
    def _bundles(self) -> Path:
        return self.derivatives / "bundles"


def checked_id(text: str) -> str:
    """Return a subject, session or task id; ``PhospheneError`` if it is not one."""
    if not ID.fullmatch(text):
        raise PhospheneError(f"an id is 1 to 32 letters and digits (a-z, A-Z, 0-9); found {text!r}")
    return text


def _absolute(path: Path) -> Path:
    """Return the path from the root, links left as they are."""
    return Path(os.path.abspath(path))


def _session_folder(path: Path) -> SessionFolder:
    root, _, subject, session = path.parents[2], *path.parts[-3:]
    folder = SessionFolder(
        root, checked_id(subject.removeprefix("sub-")), checked_id(session.removeprefix("ses-"))
    )
    folder.check_place()
    return folder


def _number(bundle: Path) -> int:
    return int(bundle.name.rpartition("-")[2])
