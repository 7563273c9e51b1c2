"""Acquisition records whatever else goes on."""

import os
from collections import deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from phosphene import Onset, PhospheneError, Signal, SignalSpec
from phosphene.clock import RealClock
from phosphene.dataset.xdf import read_segment
from phosphene.messages import EndOfBlock, Message, Missing, OpenSegment
from phosphene.roles.acquire import Acquisition

BLOCK = EndOfBlock(0, 1)
ONSET = Onset(0, "stimulus", 0.5, 0.5, 0.5, "record", 1, 1, 1, 1, "n02389026", "a.png", "ab")


class Source:
    """Delivers ten samples whenever it is asked."""

    spec = SignalSpec(("Cz",), ("eeg",), 500.0)

    def __init__(self) -> None:
        self._first = count(0, 10)

    def read(self, timeout: float) -> Signal | None:
        times = (next(self._first) + np.arange(10)) / 500
        return Signal(np.zeros((1, 10), np.float32), times)

    def close(self) -> None:
        pass


class Disk:
    """Takes as long as the test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.ready = 0, Event()
        self.error: OSError | None = None
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._sync)

    def _sync(self, file: int) -> None:
        self.asked += 1
        assert self.ready.wait(30)
        if self.error:
            raise self.error
        self._fsync(file)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.ready.set()


@pytest.fixture
def acquisition(disk: Disk, tmp_path: Path) -> Acquisition:
    """Return one that has recorded a block and been asked for it, on a disk that is busy."""
    acquisition = Acquisition(Source(), deque(), RealClock())
    acquisition.handle(OpenSegment("record", 1, str(tmp_path / "a.xdf")))
    for turn in range(60):
        acquisition.poll(turn / 50)
    acquisition.handle(ONSET)
    assert acquisition.handle(BLOCK) == []
    return acquisition


def until_answered(acquisition: Acquisition) -> Message:
    while True:
        for recipient, message in acquisition.poll(2.0):
            if recipient == "presenter":
                return message


def test_recording_goes_on_while_a_block_is_on_its_way_to_a_slow_disk(
    acquisition: Acquisition, disk: Disk, tmp_path: Path
) -> None:
    before = read_segment(tmp_path / "a.xdf").n_samples
    assert acquisition.handle(BLOCK) == []  # The presenter asks again every second.
    said = [message for turn in range(60) for _, message in acquisition.poll(2 + turn / 50)]
    assert not any(isinstance(message, Missing) for message in said)
    assert not acquisition.idle
    assert read_segment(tmp_path / "a.xdf").n_samples == before + 600
    disk.ready.set()
    assert until_answered(acquisition) == Missing((), 0)
    assert (acquisition.idle, disk.asked) == (True, 1)
    acquisition.close()


def test_a_block_that_the_disk_refuses_is_not_confirmed(
    acquisition: Acquisition, disk: Disk
) -> None:
    disk.error = OSError(5, "Input/output error")
    disk.ready.set()
    with pytest.raises(PhospheneError, match=r"a\.xdf cannot be written: Input/output error"):
        until_answered(acquisition)
    disk.error = None
    acquisition.close()


def test_a_segment_that_is_closed_meanwhile_is_whole(
    acquisition: Acquisition, disk: Disk, tmp_path: Path
) -> None:
    disk.ready.set()
    acquisition.close()
    segment = read_segment(tmp_path / "a.xdf")
    assert (segment.n_samples, segment.onsets) == (600, (ONSET,))
    assert disk.asked == 2
