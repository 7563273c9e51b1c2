"""The journal: everything that was done can be read again, whatever cut it off."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phosphene import Onset, PhospheneError
from phosphene.continuity import Fault
from phosphene.journal import (
    Entry,
    Excluded,
    Journal,
    Noted,
    Resumed,
    StateChanged,
    notes_within,
    read_journal,
    set_aside,
)
from phosphene.messages import (
    BlockDone,
    BlockStarted,
    Decoded,
    DecoderReady,
    Exported,
    Failed,
    Reported,
    SegmentClosed,
    SegmentOpen,
    Trained,
)
from phosphene.states import State

ONSET = Onset(7, "picture", 1.5, 1.4, 2.0, "feedback", 1, 2, 1, 3, "n02389026", "", "ab")
ENTRIES: list[Entry] = [
    StateChanged(1.0, State.READY, "alles gut ✓"),
    SegmentOpen("/data/a.xdf"),
    BlockStarted("record", 1, 1, 1, 12.25),
    ONSET,
    BlockDone("record", 1, 1, 1, 37.25, 50, 50, 0, aborted=False),
    SegmentClosed("record", 1, "/data/a.xdf", 350_000, 500),
    Exported("/data/a.vhdr"),
    Trained("/data/bundle-01", "ab"),
    DecoderReady("ab", ("n1", "n2")),
    Decoded(ONSET, ("n1", "n2"), (0.1, 0.9), "/data/b.xdf", 1234, 2.5, 2.4),
    Reported("/data/report.html"),
    Failed("exporter", "the disk is full"),
    Resumed(3, 150),
    Noted(4.5, "coughs"),
    Excluded("record", 1, 2, 1, "the EEG stopped", again=True),
    Fault("gap", 12.5, 15.5, 3125),
]


def write(path: Path, entries: list[Entry]) -> None:
    journal = Journal(path)
    for entry in entries:
        journal.append(entry)
    journal.close()


def test_every_kind_of_entry_comes_back(tmp_path: Path) -> None:
    write(tmp_path / "journal.jsonl", ENTRIES)
    assert [line.entry for line in read_journal(tmp_path / "journal.jsonl")] == ENTRIES


def test_notes_belong_to_the_recording_that_was_open(tmp_path: Path) -> None:
    entries: list[Entry] = [
        Noted(0.5, "before"),
        SegmentOpen("/data/a.xdf"),
        Noted(1.0, "within"),
        SegmentClosed("record", 1, "/data/a.xdf", 350_000, 500),
        Noted(2.0, "between"),
        SegmentOpen("/data/b.xdf"),
        Noted(3.0, "in the one that was never closed"),
    ]
    write(tmp_path / "journal.jsonl", entries)
    found = [
        [note.text for note in notes_within(tmp_path / "journal.jsonl", Path("/elsewhere", name))]
        for name in ("a.xdf", "b.xdf", "c.xdf")
    ]
    assert found == [["within"], ["in the one that was never closed"], []]


def test_lines_say_in_utc_when_they_were_written(tmp_path: Path) -> None:
    write(tmp_path / "journal.jsonl", ENTRIES)
    first, *_ = lines = read_journal(tmp_path / "journal.jsonl")
    assert [line.written for line in lines] == sorted(line.written for line in lines)
    assert datetime.now(UTC) - first.written < timedelta(hours=1)
    text, *_ = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert json.loads(text)["written"].endswith("Z")
    assert json.loads(text)["entry"]["type"] == "StateChanged"


def test_an_entry_can_be_read_while_the_journal_is_open(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(ENTRIES[0])
    journal.sync()
    assert len(read_journal(tmp_path / "journal.jsonl")) == 1
    journal.close()
    journal.close()


def test_a_session_that_fails_before_it_knows_the_time_can_say_so(tmp_path: Path) -> None:
    write(tmp_path / "journal.jsonl", [StateChanged(float("-inf"), State.FAILED, "no amplifier")])
    (line,) = read_journal(tmp_path / "journal.jsonl")
    assert line.entry == StateChanged(None, State.FAILED, "no amplifier")


@settings(deadline=None)
@given(where=st.floats(0, 1))
def test_a_journal_cut_off_anywhere_holds_a_prefix_and_can_be_continued(
    tmp_path_factory: pytest.TempPathFactory, where: float
) -> None:
    path = tmp_path_factory.mktemp("cut") / "journal.jsonl"
    write(path, ENTRIES)
    text = path.read_bytes()[: round(where * path.stat().st_size)]
    path.write_bytes(text)
    prefix = ENTRIES[: text.count(b"\n")]
    assert [line.entry for line in read_journal(path)] == prefix
    write(path, [ENTRIES[0]])
    assert [line.entry for line in read_journal(path)] == [*prefix, ENTRIES[0]]


@pytest.mark.parametrize("bad", ["{}", "nonsense", '{"written": 1, "entry": {"type": "Nobody"}}'])
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, ENTRIES[:2])
    path.write_text(path.read_text() + bad + "\n")
    with pytest.raises(PhospheneError, match=r"journal\.jsonl, line 3: "):
        read_journal(path)


def test_an_attempt_counts_only_if_it_was_completed(tmp_path: Path) -> None:
    def started(block: int, attempt: int) -> BlockStarted:
        return BlockStarted("record", 1, block, attempt, 0.0)

    def done(block: int, attempt: int, aborted: bool) -> BlockDone:
        return BlockDone("record", 1, block, attempt, 0.0, 1, 1, 0, aborted)

    entries: list[Entry] = [
        started(1, 1),
        done(1, 1, True),
        started(1, 2),
        done(1, 2, False),
        started(2, 1),
        started(3, 1),
        done(3, 1, False),
        Excluded("record", 1, 3, 1, "the EEG stopped", again=True),
    ]
    write(tmp_path / "journal.jsonl", entries)
    assert set_aside(tmp_path / "journal.jsonl") == {
        ("record", 1, 1, 1): "aborted",
        ("record", 1, 2, 1): "aborted",
        ("record", 1, 3, 1): "excluded",
    }
