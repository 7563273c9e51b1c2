"""The journal: what a session did, one JSON object a line, appended as it happens.

It is what a report, an export and a resumed session go by. A line says when it was written, in
UTC for people, and holds one message; times inside messages are seconds on the LSL clock.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from phosphene.continuity import Fault
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.messages import (
    BlockDone,
    BlockStarted,
    Decoded,
    DecoderReady,
    Exported,
    Failed,
    Following,
    Prospect,
    Reported,
    Retrained,
    SegmentClosed,
    SegmentOpen,
    Trained,
)
from phosphene.states import State

BlockKey = tuple[str, int, int, int]
"""One attempt at a block: (phase, run, block, attempt)."""
SetAside = Literal["aborted", "excluded"]
"""Why an attempt does not count."""
APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class StateChanged(msgspec.Struct, frozen=True, tag=True):
    """The session moved on."""

    time: float | None
    """Seconds on the LSL clock; None before the session first looked at it."""
    state: State
    reason: str = ""


class Resumed(msgspec.Struct, frozen=True, tag=True):
    """The session goes on after an interruption."""

    n_blocks: int
    """Shown whole before it."""
    next_seq: int


class Noted(msgspec.Struct, frozen=True, tag=True):
    """The operator's words."""

    time: float
    """Seconds on the LSL clock."""
    text: str


class Excluded(msgspec.Struct, frozen=True, tag=True):
    """An attempt at a block that does not count, although it may be complete."""

    phase: str
    run: int
    block: int
    attempt: int
    reason: str
    again: bool
    """Whether the block is to be shown again."""


Entry = (
    StateChanged
    | Excluded
    | Fault
    | Resumed
    | Noted
    | SegmentOpen
    | SegmentClosed
    | BlockStarted
    | BlockDone
    | Onset
    | Trained
    | DecoderReady
    | Following
    | Prospect
    | Retrained
    | Decoded
    | Exported
    | Reported
    | Failed
)


class Line(msgspec.Struct, frozen=True):
    """One line of the journal."""

    written: datetime
    entry: Entry


def open_lines(path: Path) -> int:
    """Return a descriptor that appends lines; one that a crash cut off is removed first."""
    file = os.open(path, APPEND, 0o666)
    os.ftruncate(file, len(whole_lines(path)))
    return file


class Journal:
    """Appends to a journal."""

    def __init__(self, path: Path) -> None:
        self._file = open_lines(path)

    def append(self, entry: Entry) -> None:
        """Add an entry; it is in the kernel's hands when this returns."""
        line = memoryview(msgspec.json.encode(Line(datetime.now(UTC), entry)) + b"\n")
        while line:
            line = line[os.write(self._file, line) :]

    def sync(self) -> None:
        """Return when every entry would survive a power cut."""
        os.fsync(self._file)

    def close(self) -> None:
        """Finish the file; may be called again."""
        if self._file >= 0:
            self.sync()
            os.close(self._file)
            self._file = -1


def read_journal(path: Path) -> tuple[Line, ...]:
    """Return the lines of a journal, without a last one that a crash cut off.

    Raises ``PhospheneError`` naming file and line for anything else that cannot be read.
    """
    lines = []
    decoder = msgspec.json.Decoder(Line)
    for number, text in enumerate(whole_lines(path).splitlines(), start=1):
        try:
            lines.append(decoder.decode(text))
        except msgspec.DecodeError as error:
            raise PhospheneError(f"{path}, line {number}: {error}") from None
    return tuple(lines)


def set_aside(path: Path) -> dict[BlockKey, SetAside]:
    """Return every attempt at a block that does not count: broken off, or excluded."""
    begun: set[BlockKey] = set()
    completed: set[BlockKey] = set()
    excluded: set[BlockKey] = set()
    for line in read_journal(path):
        match line.entry:
            case BlockStarted() as block:
                begun.add(block_key(block))
            case BlockDone(aborted=aborted) as block:
                (begun if aborted else completed).add(block_key(block))
            case Excluded() as block:
                excluded.add(block_key(block))
            case _:
                pass
    why: dict[BlockKey, SetAside] = dict.fromkeys(excluded, "excluded")
    return why | dict.fromkeys(begun - completed, "aborted")


def notes_within(path: Path, segment: Path) -> tuple[Noted, ...]:
    """Return what the operator noted while a file was being recorded."""
    found, recording = [], ""
    for line in read_journal(path):
        match line.entry:
            case SegmentOpen(path=recording):
                pass
            case SegmentClosed():
                recording = ""
            case Noted() as note if recording and Path(recording).name == segment.name:
                found.append(note)
            case _:
                pass
    return tuple(found)


def block_key(block: BlockStarted | BlockDone | Excluded) -> BlockKey:
    """Return which attempt at a block is meant."""
    return (block.phase, block.run, block.block, block.attempt)


def whole_lines(path: Path) -> bytes:
    """Return what a file of lines holds, without a last line that a crash cut off."""
    text = path.read_bytes()
    return text[: text.rfind(b"\n") + 1]


def one_line(text: str, otherwise: str) -> str:
    """Return a text in one line, as every table needs it; ``PhospheneError`` if it is empty."""
    line = " ".join(text.split())
    if not line:
        raise PhospheneError(otherwise)
    return line
