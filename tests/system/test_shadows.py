"""Decoders beside the driver: recorded, never shown, and no danger to the session."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from phosphene import (
    Context,
    Decoder,
    DecoderConfig,
    PhospheneError,
    TrainingSet,
    hookimpl,
)
from phosphene.analysis.evaluation import read_evaluation
from phosphene.dataset.study import SessionFolder
from phosphene.errors import SettingsError
from phosphene.launch import run_virtual
from phosphene.messages import Decoded, Message
from phosphene.registry import Registry, load_registry
from phosphene.settings import load_settings, read_resolved
from phosphene.states import State

SESSION = """
format: 1
protocol: [record, train, feedback, report]
stimuli: {{standin: {{classes: 4, images: 20, gallery: 2, size: 32}}}}
acquisition: {{simulated: {{channels: 16, sfreq: 250, strength: 0.8}}}}
preprocessing: paper
decoder: power-lr
shadows: {shadows}
generator: retrieval
paradigm: {{interleaved: {{runs: 2, blocks: 2, duration: 0.2, gap: 0.3, pause: 1, cue: 0.5}}}}
feedback:
  feedback:
    {{runs: 1, blocks: 1, trials: 6, duration: 0.5, gap: 1.0, picture: 0.5, pause: 1, cue: 0.5}}
screen: {{kind: headless, refresh_rate: 60}}
clock: {clock}
subject: "01"
session: "01"
output: {root}/study
cache: {root}/cache
"""
TRIALS = 6


def write_session(root: Path, shadows: str, clock: str = "virtual") -> Path:
    file = root / "session.yaml"
    file.write_text(SESSION.format(root=root, shadows=shadows, clock=clock))
    return file


def run(root: Path, shadows: str) -> tuple[SessionFolder, str, list[Message]]:
    registry, seen = load_registry(), list[Message]()
    status = run_virtual(
        load_settings(write_session(root, shadows), registry), registry, seen.append
    )
    assert status.state is State.FINISHED, status.problem
    return SessionFolder.at(Path(status.folder)), status.problem, seen


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_shadows_decode_the_same_trials_and_only_the_driver_is_published(tmp_path: Path) -> None:
    other = "{decoder: {power-lr: {c: 0.01}}, stream: [], epochs: {tmin: 0.0, tmax: 0.4}}"
    folder, problem, seen = run(tmp_path, f"[power-lr, {other}]")
    assert problem == ""
    driver, twin, other_rows = (
        rows(folder.decodings_of(name)) for name in ("", "shadow-1", "shadow-2")
    )
    assert len(driver) == len(other_rows) == TRIALS
    assert twin == driver  # The same decoder, on the same epochs.
    for ours, theirs in zip(driver, other_rows, strict=True):
        assert (ours["trial"], ours["wnid"]) == (theirs["trial"], theirs["wnid"])
    assert other_rows != driver
    published = [m for m in seen if isinstance(m, Decoded)]
    assert len(published) == TRIALS
    assert len(folder.bundles()) == len(folder.bundles("shadow-2")) == 1

    found = read_evaluation(folder)
    assert [each.n_trials for each in found.shadows] == [TRIALS, TRIALS]
    assert found.feedback
    assert found.shadows[0].top == found.feedback.top
    assert "power-lr, shadow-1" in folder.report_file.read_text()


def test_another_decoder_is_evaluated_beside_the_session_and_takes_credit_for_nothing(
    tmp_path: Path,
) -> None:
    folder, _, _ = run(tmp_path, "[]")
    own = folder.evaluation_file.read_bytes()
    command = [sys.executable, "-m", "phosphene", "evaluate", str(folder.path)]
    other = ["--decoder", "{lda: {windows: 5}}", "--preprocessing", "evoked"]
    done = subprocess.run([*command, *other], capture_output=True, text=True, check=True)
    assert "lda, split leave-one-run-out" in done.stdout
    assert "power-lr, decoded live" in done.stdout
    assert folder.evaluation_file.read_bytes() == own
    assert (folder.derivatives / "evaluation_lda.json").exists()
    assert (folder.derivatives / "predictions_lda.tsv").exists()


def test_the_settings_of_shadows_survive_the_resolved_file(tmp_path: Path) -> None:
    folder, _, _ = run(tmp_path, "[{decoder: {power-lr: {c: 2.0}}, preprocessing: paper}]")
    settings = read_resolved(folder.settings_file, load_registry())
    shadow = settings.of_shadow(1)
    assert shadow.decoder.config.c == 2.0  # type: ignore[attr-defined]
    assert (shadow.stream, shadow.epochs) == (settings.stream, settings.epochs)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("decoder: power-lr\nshadows: [plain-stft]", "shadow-1: plain-stft decodes spectrograms"),
        ("decoder: {lda: {windows: 500}}\nshadows: []", "lda: windows must be at most"),
    ],
)
def test_a_decoder_that_could_never_learn_is_refused_before_the_first_image(
    tmp_path: Path, lines: str, words: str
) -> None:
    file = write_session(tmp_path, "SHADOWS")
    text = file.read_text().replace("decoder: power-lr\nshadows: SHADOWS", lines)
    file.write_text(text.replace("preprocessing: paper", "preprocessing: evoked"))
    registry = load_registry()
    status = run_virtual(load_settings(file, registry), registry, lambda _message: None)
    assert status.state is State.FAILED
    assert status.problem.startswith(words)
    assert status.n_samples == 0


class Unteachable(DecoderConfig, frozen=True):
    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        raise PhospheneError("unteachable learns nothing")


class Plugin:
    """What an installed distribution would offer."""

    @staticmethod
    @hookimpl
    def decoder() -> dict[str, type[DecoderConfig]]:
        return {"unteachable": Unteachable}


class Point:
    name, value, dist = "unteachable", "unteachable", None

    def load(self) -> type[Plugin]:
        return Plugin


def test_a_shadow_that_cannot_learn_is_noted_and_stops_nothing(tmp_path: Path) -> None:
    registry = Registry([*entry_points(group="phosphene"), Point()])  # type: ignore[list-item]
    file = write_session(tmp_path, "[unteachable, power-lr]")
    status = run_virtual(load_settings(file, registry), registry, lambda _message: None)
    assert status.state is State.FINISHED
    assert "shadow-1: unteachable learns nothing" in status.problem
    folder = SessionFolder.at(Path(status.folder))
    assert len(rows(folder.decodings_file)) == TRIALS
    assert len(rows(folder.decodings_of("shadow-2"))) == TRIALS
    assert not folder.decodings_of("shadow-1").exists()


@pytest.mark.parametrize(
    ("shadows", "words"),
    [
        ("power-lr", "expected a list of decoders"),
        ("[no-such]", "shadows.0"),
        ("[{decoder: power-lr, preprocesing: paper}]", "preprocessing"),
        ("[{decoder: power-lr, preprocessing: papyrus}]", "papyrus"),
        ("[{decoder: power-lr, preprocessing: paper, stream: []}]", "not both"),
    ],
)
def test_a_wrong_shadow_is_refused_with_its_place(tmp_path: Path, shadows: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as error:
        load_settings(write_session(tmp_path, shadows), load_registry())
    assert "session.yaml:8" in str(error.value)


def test_shadows_without_feedback_are_refused(tmp_path: Path) -> None:
    file = write_session(tmp_path, "[power-lr]")
    file.write_text(file.read_text().replace("train, feedback, report", "train, report"))
    with pytest.raises(SettingsError, match="shadows"):
        load_settings(file, load_registry())


def wait_for(what: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 90
    while not what():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def child(role: str, folder: Path) -> int:
    """Return the process id of a role of the session in ``folder``."""
    found = subprocess.run(
        ["pgrep", "-f", rf"phosphene.shell {role} .*family-{folder.parent.name}-{folder.name}-"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(found.stdout)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_killed_a_frozen_and_an_endless_shadow_do_not_disturb_the_driver(tmp_path: Path) -> None:
    endless = "{plain-stft: {epochs: 100000, patience: 100000, widths: [4, 4]}}"
    file = write_session(tmp_path, f"[power-lr, power-lr, {endless}]", clock="real")
    file.write_text(file.read_text().replace(", report]", "]"))
    folder = SessionFolder(tmp_path / "study", "01", "01")
    running = subprocess.Popen(
        [sys.executable, "-m", "phosphene", "run", str(file)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with running:
        wait_for(folder.decodings_of("shadow-2").exists, running)
        os.kill(child("shadow-1", folder.path), signal.SIGKILL)
        os.kill(child("shadow-2", folder.path), signal.SIGSTOP)
        out, _ = running.communicate(timeout=120)
    assert running.returncode == 0, out
    driver = rows(folder.decodings_file)
    assert [row["trial"] for row in driver] == [str(n + 1) for n in range(TRIALS)]
    assert 1 <= len(rows(folder.decodings_of("shadow-2"))) < TRIALS
    assert "shadow-1: the process was killed by signal 9" in out
    assert "shadow-3 is still being fitted" in out
    assert not folder.decodings_of("shadow-3").exists()
