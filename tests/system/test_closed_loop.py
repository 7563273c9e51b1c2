"""Feedback from decoding to figure: a sequential session with sham and retraining, to its end."""

import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from phosphene.cli import app
from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError
from phosphene.feedback_table import FeedbackTrial, read_trials
from phosphene.launch import run_virtual
from phosphene.messages import Status
from phosphene.registry import load_registry
from phosphene.settings import load_settings
from phosphene.states import State

SESSION = """
format: 1
protocol: [record, train, feedback, report]
stimuli: {standin: {classes: 5, images: 32, gallery: 3, size: 32}}
acquisition: {simulated: {channels: 16, sfreq: 250, strength: 0.8}}
preprocessing: paper
decoder: power-lr
generator: retrieval
paradigm: {interleaved: {runs: 4, blocks: 8, duration: 0.5, pause: 1, cue: 0.5}}
feedback:
  feedback: {runs: 2, blocks: 2, trials: 6, repetitions: 3, gap: 0.5, pause: 1, cue: 0.5}
screen: {kind: headless, refresh_rate: 60}
clock: virtual
"""
SEQUENTIAL = "closed_loop: {classes: 2, threshold: 0.95, retrain: between-runs}\n"
BLINDED = "closed_loop: {classes: 2, sham: blocks, consent: true}\n"


def run(root: Path, text: str) -> tuple[SessionFolder, Status]:
    file = root / "session.yaml"
    file.write_text(text + f"cache: {root / 'cache'}\noutput: {root / 'study'}\n")
    registry = load_registry()
    settings = load_settings(file, registry, {"subject": "01", "session": "01", "seed": 7})
    status = run_virtual(settings, registry, lambda _message: None)
    assert status.state is State.FINISHED, status
    return SessionFolder.at(Path(status.folder)), status


@pytest.fixture(scope="module")
def sequential(tmp_path_factory: pytest.TempPathFactory) -> tuple[SessionFolder, Status]:
    return run(tmp_path_factory.mktemp("sequential"), SESSION + SEQUENTIAL)


@pytest.fixture(scope="module")
def trials(sequential: tuple[SessionFolder, Status]) -> tuple[FeedbackTrial, ...]:
    return read_trials(sequential[0].feedback_file)


def phosphene(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_a_brain_that_answers_gets_true_feedback_of_the_classes_it_is_best_at(
    sequential: tuple[SessionFolder, Status], trials: tuple[FeedbackTrial, ...]
) -> None:
    folder, status = sequential
    assert (status.problem, status.fallbacks) == ("", 0)
    prospect = json.loads(folder.prospect_file.read_text())
    assert prospect["low"] > prospect["chance"] == 0.5
    assert {t.arm for t in trials} == {"true"}
    assert {t.wnid for t in trials} == set(prospect["classes"])
    decided = [t for t in trials if t.decision]
    assert sum(t.decision == t.wnid for t in decided) > 0.8 * len(decided) > 0


def test_trials_end_when_they_are_decided_or_say_that_they_were_not(
    trials: tuple[FeedbackTrial, ...],
) -> None:
    assert len(trials) == 24
    for trial in trials:
        best = max(trial.posterior.values())
        assert (trial.decision != "") == (best >= 0.95)
        assert trial.decision or (trial.repetitions, trial.outcome) == (3, "no decision")
    assert Counter(t.repetitions for t in trials)[1] > 0


def test_after_the_first_run_there_is_nothing_to_compare_and_it_says_so(
    sequential: tuple[SessionFolder, Status],
) -> None:
    (comparison,) = json.loads(sequential[0].retraining_file.read_text())
    assert (comparison["run"], comparison["bundle"]) == (1, "")
    assert "there is no other to compare" in comparison["text"]
    assert comparison["text"] in sequential[0].report_file.read_text(encoding="utf-8")


def test_the_gallery_has_a_cell_for_each_class_and_session(
    sequential: tuple[SessionFolder, Status], tmp_path: Path
) -> None:
    folder = sequential[0]
    said = phosphene("gallery", str(folder.study_root), "-o", str(tmp_path / "gallery.png"))
    assert "nobody chose it" in said
    assert "chance 5" in said
    with Image.open(tmp_path / "gallery.png") as picture:
        assert min(picture.size) > 200


def test_a_row_that_no_session_has_is_refused_by_its_name(
    sequential: tuple[SessionFolder, Status],
) -> None:
    place = str(sequential[0].study_root)
    result = CliRunner().invoke(app, ["gallery", place, "--classes", "n00000000"])
    assert isinstance(result.exception, PhospheneError)
    assert "--classes: no session has the class 'n00000000'" in str(result.exception)


def test_the_report_tells_the_gate_and_the_latency_of_each_stage(
    sequential: tuple[SessionFolder, Status],
) -> None:
    report = sequential[0].report_file.read_text(encoding="utf-8")
    assert "True feedback was allowed" in report
    assert "picture ready, and ordered to be shown" in report


def test_a_brain_that_does_not_answer_gets_a_rehearsal(tmp_path: Path) -> None:
    text = SESSION.replace("strength: 0.8", "code: none")
    folder, status = run(tmp_path, text + SEQUENTIAL)
    assert "feedback is a rehearsal" in status.problem
    assert {t.arm for t in read_trials(folder.feedback_file)} == {"rehearsal"}
    assert "Feedback was a rehearsal" in folder.report_file.read_text(encoding="utf-8")


def test_a_blinded_session_tells_its_arms_on_request_only(tmp_path: Path) -> None:
    folder, _ = run(tmp_path, SESSION + BLINDED)
    arms = json.loads(folder.sealed_arms_file.read_text())
    assert Counter(arms.values()) == {"true": 2, "sham": 2}
    blinded = folder.report_file.read_text(encoding="utf-8")
    assert "run 1, " not in blinded.partition("<h2>Settings")[0].partition("<h2>Feedback")[2]
    assert "left out" in CliRunner().invoke(app, ["gallery", str(folder.study_root)]).output
    phosphene("report", str(folder.path), "--unblind", "--reason", "the end")
    assert "run 1, sham" in folder.report_file.read_text(encoding="utf-8")
    assert folder.unblinded_file.exists()
