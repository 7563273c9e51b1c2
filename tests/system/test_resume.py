"""A session whose processes were killed goes on: no block is lost, none is shown twice."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mne_bids
import pytest

from phosphene.client import Client
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf import read_segment
from phosphene.feedback_table import read_trials
from phosphene.journal import Resumed, read_journal, set_aside
from phosphene.training import block_of

pytestmark = pytest.mark.timeout(300)

SESSION = """
format: 1
protocol: {protocol}
stimuli: {{standin: {{classes: 4, images: 12, gallery: 2, size: 32}}}}
acquisition: {{simulated: {{channels: 16, sfreq: 250}}}}
preprocessing: paper
decoder: power-lr
generator: retrieval
paradigm: {{interleaved: {{runs: 2, blocks: {blocks}, duration: 0.5, pause: 1.0, cue: 0.5}}}}
screen: {{kind: headless, refresh_rate: 60}}
clock: {clock}
output: {place}/study
cache: {place}/cache
"""
CLASSES = 4
WHO = ("--subject", "01", "--session", "01")


def session_file(place: Path, clock: str, blocks: int, protocol: str = "[record]") -> Path:
    file = place / "session.yaml"
    file.write_text(SESSION.format(place=place, clock=clock, blocks=blocks, protocol=protocol))
    return file


def start(command: str, file: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "phosphene", command, str(file), *WHO, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(command: str, file: Path, *options: str) -> tuple[int, str]:
    with start(command, file, *options) as running:
        output, _ = running.communicate(timeout=200)
        return running.returncode, output


def folder_of(place: Path) -> SessionFolder:
    return SessionFolder.at(place / "study" / "sourcedata" / "sub-01" / "ses-01")


def until(what: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def check_nothing_is_lost(place: Path, n_blocks: int) -> None:
    """Every block counts once, with every trial, in the recordings and in the BIDS runs."""
    folder = folder_of(place)
    onsets = [onset for path in folder.segments() for onset in read_segment(path).onsets]
    assert [onset.seq for onset in onsets] == sorted({onset.seq for onset in onsets})
    aborted = set_aside(folder.journal_file)
    counted = [onset for onset in onsets if block_of(onset) not in aborted]
    assert Counter(onset.block for onset in counted) == dict.fromkeys(
        range(1, n_blocks + 1), CLASSES
    )
    assert {len({o.attempt for o in counted if o.block == each.block}) for each in counted} == {1}
    assert filed(folder) == [(o.block, o.trial) for o in counted]


def filed(folder: SessionFolder) -> list[tuple[int, int]]:
    """Return block and trial of every stimulus that counts in the BIDS runs."""
    found = []
    for path in sorted(folder.bids.glob("eeg/*_events.tsv")):
        header, *lines = path.read_text().splitlines()
        rows = [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
        found += [
            (int(row["block"]), int(row["trial"]))
            for row in rows
            if (row["trial_type"], row["status"]) == ("stimulus", "complete")
        ]
    return found


@pytest.mark.parametrize("seed", range(2))
def test_a_session_killed_at_any_moment_goes_on(tmp_path: Path, seed: int) -> None:
    file, n_blocks = session_file(tmp_path, "virtual", 20), 40
    moment = (0.05, 0.8)[seed]
    with start("run", file) as running:
        journal = tmp_path / "study" / "sourcedata" / "sub-01" / "ses-01" / "journal.jsonl"
        until(lambda: journal.exists() and b"SegmentOpen" in journal.read_bytes())
        time.sleep(moment)
        running.kill()
    status, output = finished("run", file, "--resume")
    assert status == 0, output
    check_nothing_is_lost(tmp_path, n_blocks)


@contextmanager
def in_the_second_block(file: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a server on the real clock that shows the second block of its session."""
    with start("server", file) as running:
        assert running.stdout
        line = running.stdout.readline()
        with Client(Path(line.removeprefix("serving ").strip())) as client:
            until(lambda: client.status().state == "ready")
            client.start()
            until(lambda: client.status().blocks_done == 1 and client.status().state == "running")
        yield running


def test_a_server_that_is_killed_loses_no_sample_and_no_block(tmp_path: Path) -> None:
    file, n_blocks = session_file(tmp_path, "real", 2), 4
    with in_the_second_block(file) as running:
        running.kill()
    folder = folder_of(tmp_path)
    [segment] = folder.segments()
    running = start("server", file, "--resume")
    try:
        assert running.stdout
        line = running.stdout.readline()
        assert line.startswith("serving"), line + running.stdout.read()
        # Recorder and screen ended their block without a server.
        whole = read_segment(segment)
        assert len(whole.onsets) == 2 * CLASSES
        assert whole.complete
        with Client(Path(line.removeprefix("serving ").strip())) as client:
            until(lambda: client.status().state == "ready")
            assert client.status().blocks_done == 2
            client.start()
        assert running.wait(60) == 0
    finally:
        running.kill()
        running.stdout.close()
    check_nothing_is_lost(tmp_path, n_blocks)
    resumed = [x.entry for x in read_journal(folder.journal_file) if isinstance(x.entry, Resumed)]
    assert resumed == [Resumed(2, 2 * CLASSES)]
    mne_bids.read_raw_bids(
        mne_bids.get_bids_path_from_fname(next(folder.bids.glob("eeg/*run-02_eeg.vhdr"))),
        verbose="ERROR",
    )


def test_what_was_learnt_is_not_learnt_again(tmp_path: Path) -> None:
    protocol = "[record, train, feedback]"
    file = session_file(tmp_path, "virtual", 8, protocol)
    file.write_text(
        file.read_text()
        + "closed_loop: {override_gate: true}\n"
        + "feedback: {feedback: {blocks: 12, trials: 4, classes: 4, pause: 1, cue: 0.5}}\n"
    )
    derivatives = tmp_path / "study" / "derivatives" / "phosphene" / "sub-01" / "ses-01"
    table = derivatives / "feedback.tsv"
    with start("run", file) as running:
        until(lambda: table.exists() and len(table.read_text().splitlines()) > 6)
        os.kill(running.pid, signal.SIGKILL)
    status, output = finished("run", file, "--resume")
    assert status == 0, output
    folder = folder_of(tmp_path)
    assert len(folder.bundles()) == 1
    assert folder.journal_file.read_bytes().count(b'"Trained"') == 1
    trials = read_trials(table, set_aside(folder.journal_file))
    assert Counter(trial.block for trial in trials) == dict.fromkeys(range(1, 13), 4)
    shown = [trial.picture for trial in read_trials(table) if trial.picture]
    assert shown
    assert len(shown) == len(set(shown))


def test_what_cannot_go_on_says_why(tmp_path: Path) -> None:
    file = session_file(tmp_path, "virtual", 2)
    status, output = finished("run", file, "--resume")
    assert (status, "holds no session to go on with" in output) == (1, True)
    assert finished("run", file)[0] == 0
    status, output = finished("run", file, "--resume")
    assert (status, "is complete: nothing of it is left to be done" in output) == (1, True)
    status, output = finished("run", file, "--resume", "--seed", "7")
    assert (status, "was begun with other settings of seed" in output) == (2, True)
    status, output = finished("run", file)
    assert (status, "(--resume)" in output) == (1, True)
    check_the_dataset_is_made_again(tmp_path / "study")


def check_the_dataset_is_made_again(study: Path) -> None:
    """``phosphene recover`` needs nothing but the recordings."""
    made = [*study.glob("*.*"), *(each for each in study.glob("sub-01/**/*") if each.is_file())]
    before = {path: path.read_bytes() for path in made}
    for path in made:
        path.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "phosphene", "recover", str(study)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.count("_eeg.vhdr") == 2
    assert {path: path.read_bytes() for path in made} == before


def child_of(server: int, role: str) -> int:
    """Return the process of a role."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes().decode().split("\0")
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == server and any(role in each for each in command):
            return int(place.name)
    raise AssertionError(f"no {role} is running")


@pytest.mark.slow
def test_a_screen_that_is_killed_ends_the_session_which_goes_on(tmp_path: Path) -> None:
    file = session_file(tmp_path, "real", 2)
    with in_the_second_block(file) as running:
        assert running.stdout
        os.kill(child_of(running.pid, "presenter"), signal.SIGKILL)
        output = running.stdout.read()
    assert "presenter: the process was killed by signal 9" in output
    status, output = finished("run", file, "--resume")
    assert status == 0, output
    check_nothing_is_lost(tmp_path, 4)


def test_a_run_of_a_session_that_is_over_is_recorded_again(tmp_path: Path) -> None:
    file = session_file(tmp_path, "virtual", 3)
    assert finished("run", file)[0] == 0
    folder = folder_of(tmp_path)
    redo = [sys.executable, "-m", "phosphene", "redo", "2", "--session", str(folder.path)]
    done = subprocess.run(
        [*redo, "--reason", "the photodiode fell off"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "3 blocks of run 2 do not count any more" in done.stdout
    assert {block for block, _ in filed(folder)} == {1, 2, 3}
    again = subprocess.run([*redo, "--reason", "x"], capture_output=True, text=True, check=False)
    assert (again.returncode, "no block of run 2" in again.stderr) == (1, True)
    status, output = finished("run", file, "--resume")
    assert status == 0, output
    check_nothing_is_lost(tmp_path, 6)
