"""Several decoders on several sessions: in this process, in others, and when one of them dies."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from phosphene.launch import run_virtual
from phosphene.registry import load_registry
from phosphene.settings import load_settings
from phosphene.states import State

pytest.importorskip("distributed")

SESSION = """
format: 1
protocol: [record]
stimuli: {{standin: {{classes: 4, images: 12, gallery: 2, size: 32}}}}
acquisition: {{simulated: {{channels: 16, sfreq: 250, strength: 0.8}}}}
stream: [{{bandpass: {{low: 14, high: 70, order: 4}}}}]
epochs: {{tmin: 0.02, tmax: 0.5, steps: [standardise]}}
decoder: power-lr
paradigm: {paradigm}
screen: {{kind: headless, refresh_rate: 60}}
clock: virtual
output: {place}/{study}
cache: {place}/cache
"""
INTERLEAVED = "{interleaved: {runs: 4, blocks: 3, pause: 1, cue: 0.5}}"
NESTED = "{brain2image: {images: 12, runs: 2, pause: 1, cue: 0.5}}"
DECODERS = ["--decoder", "power-lr", "--decoder", "{power-lr: {c: 0.01}}", "--decoder", "lda"]
NAMES = ["power-lr", "power-lr-2", "lda"]


def record(place: Path, study: str, subject: str, paradigm: str) -> None:
    file = place / "session.yaml"
    file.write_text(SESSION.format(place=place, study=study, paradigm=paradigm))
    registry, who = load_registry(), {"subject": subject, "session": "1"}
    status = run_virtual(load_settings(file, registry, who), registry, lambda _message: None)
    assert status.state is State.FINISHED, status.problem


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("comparison")
    for subject in ("A", "B"):
        record(place, "study", subject, INTERLEAVED)
    record(place, "nested", "C", NESTED)
    return place


def evaluate(study: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "phosphene", "evaluate", str(study), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def compared(study: Path, *arguments: str) -> Any:
    done = evaluate(study, *DECODERS, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def in_turn(place: Path) -> Any:
    """What one process makes of it, fold by fold."""
    return compared(place / "study", "--cluster", "none")


def test_decoders_are_put_side_by_side_by_session_and_over_subjects(
    in_turn: Any, place: Path
) -> None:
    assert list(in_turn["decoders"]) == NAMES
    assert [each["subject"] for each in in_turn["sessions"]] == ["A", "B"]
    for session in in_turn["sessions"]:
        assert list(session["decoders"]) == NAMES
        tops = {
            name: each["cross_validation"]["top"][0] for name, each in session["decoders"].items()
        }
        assert tops["power-lr"]["n_trials"] == 48
        assert {each["chance"] for each in tops.values()} == {0.25}
    assert [each["name"] for each in in_turn["over_subjects"]["lda"]] == [
        "top-1", "top-3", "macro F1", "Cohen's kappa",
    ]  # fmt: skip
    files = place / "study" / "derivatives" / "phosphene"
    assert json.loads((files / "comparison.json").read_text()) == in_turn
    drawn = (files / "comparison_sub-A_ses-1.svg").read_text()
    assert all(f">{name}<" in drawn for name in (*NAMES, "chance", "top-1", "top-3"))
    assert (files / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert (files / "confusion_sub-B_ses-1_power-lr-2.svg").is_file()
    tables = [f"sub-{s}/ses-1/predictions{d}.tsv" for s in "AB" for d in ("", "_lda")]
    assert all((files / table).is_file() for table in tables)


def test_processes_of_this_computer_find_the_same(in_turn: Any, place: Path) -> None:
    assert compared(place / "study", "--jobs", "2") == in_turn


def test_a_cluster_of_which_a_worker_dies_finds_the_same(in_turn: Any, place: Path) -> None:
    with cluster(place) as (address, workers):
        command = [sys.executable, "-m", "phosphene", "evaluate", str(place / "study")]
        command += [*DECODERS, "--json", "--cluster", address]
        running = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        busy = place / "cache"
        until(lambda: any(busy.glob("evaluation-*/epochs.npy")))
        os.killpg(workers[0].pid, signal.SIGKILL)
        output, errors = running.communicate(timeout=240)
    assert running.returncode == 0, errors
    assert json.loads(output) == in_turn


def test_a_scheduler_that_is_not_there_is_told_by_its_address(place: Path) -> None:
    done = evaluate(place / "study", "--cluster", "nonsense://nowhere")
    assert done.returncode != 0
    assert "nonsense://nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_line_and_no_figure_of_a_nested_design_is_without_its_label(place: Path) -> None:
    label = "confounded by design: not evidence of decoding"
    done = evaluate(place / "nested", *DECODERS, "--cluster", "none")
    assert done.returncode == 0, done.stderr
    numbers = [line for line in done.stdout.splitlines() if "(chance" in line]
    assert len(numbers) == 3 * 4
    assert all(line.endswith(label) for line in numbers)
    folder = place / "nested" / "derivatives" / "phosphene" / "sub-C" / "ses-1"
    figures = sorted(folder.glob("*.svg"))
    assert len(figures) == 1 + 3
    assert all(label in figure.read_text() for figure in figures)


def test_a_split_that_no_session_allows_is_refused_and_changes_no_file(place: Path) -> None:
    folder = place / "nested" / "derivatives" / "phosphene" / "sub-C" / "ses-1"
    evaluate(place / "nested", "--cluster", "none")
    before = (folder / "evaluation.json").read_bytes()
    done = evaluate(place / "nested", "--cluster", "none", "--split", "leave-one-run-out")
    assert done.returncode != 0
    assert "class and time are one variable" in done.stderr
    assert (folder / "evaluation.json").read_bytes() == before


@contextmanager
def cluster(place: Path) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """A scheduler and two workers, each in a process group of its own."""
    quiet: Any = {"stdout": subprocess.DEVNULL, "start_new_session": True, "cwd": place}
    dask = [sys.executable, "-m", "distributed.cli"]
    scheduler = [*dask[:-1], "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    scheduler += ["--port", "0", "--no-dashboard"]
    with ExitStack() as stack:
        log = place / "scheduler.log"
        with log.open("w") as errors:
            stack.enter_context(ended(subprocess.Popen(scheduler, stderr=errors, **quiet)))
        until(lambda: re.search(r"Scheduler at:\s+\S+", log.read_text()))
        address = re.findall(r"Scheduler at:\s+(\S+)", log.read_text())[0]
        worker = [*dask[:-1], "distributed.cli.dask_worker", address, "--nthreads", "1"]
        worker += ["--host", "127.0.0.1", "--no-dashboard", "--local-directory", str(place)]
        workers = [
            stack.enter_context(ended(subprocess.Popen(worker, stderr=subprocess.DEVNULL, **quiet)))
            for _ in range(2)
        ]
        yield address, workers


@contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
