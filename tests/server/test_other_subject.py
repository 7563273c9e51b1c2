"""A bundle belongs to a subject: another one needs a flag, and whose it was stays known."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest

from phosphene.analysis.evaluation import evaluate_feedback, read_evaluation, summary
from phosphene.bundle import check_subject, read_card
from phosphene.cli import served
from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError, SettingsError
from phosphene.launch import run_virtual
from phosphene.registry import Registry, load_registry
from phosphene.roles.catalogue import House
from phosphene.settings import Settings, load_settings
from phosphene.states import State

COMMON = """
format: 1
stimuli: {standin: {classes: 4, images: 10, gallery: 2, size: 32}}
acquisition: {simulated: {channels: 16, sfreq: 250, strength: 0.8}}
decoder: power-lr
generator: retrieval
paradigm: {interleaved: {runs: 1, blocks: 4, duration: 0.5, pause: 1, cue: 0.5}}
feedback:
  feedback:
    {runs: 1, blocks: 1, trials: 4, duration: 0.5, gap: 1.0, picture: 0.5, pause: 1, cue: 0.5}
screen: {kind: headless, refresh_rate: 60}
clock: virtual
"""
SENTENCE = "The decoder was trained on another subject: 01."


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def bundle(place: Path, registry: Registry) -> Path:
    """A bundle of subject 01."""
    file = session_file(place, "protocol: [record, train]")
    who = {"subject": "01", "session": "01", "output": place / "trained"}
    status = run_virtual(load_settings(file, registry, who), registry, lambda _message: None)
    assert status.state is State.FINISHED, status.problem
    return SessionFolder.at(Path(status.folder)).bundles()[-1]


def session_file(place: Path, line: str = "protocol: [feedback, report]") -> Path:
    file = place / "session.yaml"
    file.write_text(f"{COMMON}cache: {place / 'cache'}\n{line}\n")
    return file


def settings_of(place: Path, registry: Registry, bundle: Path, **options: object) -> Settings:
    given: Mapping[str, object] = {"subject": "02", "session": "01", "bundle": bundle}
    return load_settings(session_file(place), registry, {**given, **options})


def run(settings: Settings, registry: Registry) -> SessionFolder:
    status = run_virtual(settings, registry, lambda _message: None)
    assert status.state is State.FINISHED, status.problem
    return SessionFolder.at(Path(status.folder))


# The guard


def test_another_subjects_bundle_is_refused_before_anything_is_made(
    place: Path, tmp_path: Path, registry: Registry, bundle: Path
) -> None:
    settings = settings_of(place, registry, bundle, output=tmp_path / "study")
    with pytest.raises(SettingsError) as error:
        run_virtual(settings, registry, lambda _message: None)
    assert str(error.value) == (
        f"bundle: {bundle} was trained on subject 01, and this is a session of subject 02; if "
        "that is meant, write 'other_subject: true' into the file or give --other-subject"
    )
    assert not (tmp_path / "study").exists()


def test_what_is_no_bundle_is_refused_before_anything_is_made(
    place: Path, tmp_path: Path, registry: Registry
) -> None:
    settings = settings_of(place, registry, tmp_path, output=tmp_path / "study")
    with pytest.raises(PhospheneError, match=r"is not a bundle: there is no bundle\.json in it"):
        run_virtual(settings, registry, lambda _message: None)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("options", [{"subject": "01"}, {"other_subject": True}])
def test_the_own_bundle_or_a_flag_is_accepted(
    place: Path, registry: Registry, bundle: Path, options: dict[str, Any]
) -> None:
    check_subject(settings_of(place, registry, bundle, **options))


def test_the_flag_can_be_written_into_the_file(
    place: Path, registry: Registry, bundle: Path
) -> None:
    file = session_file(place, "protocol: [feedback]\nother_subject: true")
    settings = load_settings(file, registry, {"subject": "02", "session": "01", "bundle": bundle})
    assert settings.other_subject
    check_subject(settings)


# What stays known


@pytest.fixture(scope="module")
def foreign(place: Path, registry: Registry, bundle: Path) -> SessionFolder:
    """A session of subject 02 with the decoder of 01, whose bundle is gone by now."""
    lent = copytree(bundle, place / "lent")
    settings = settings_of(place, registry, lent, other_subject=True, output=place / "foreign")
    folder = run(settings, registry)
    rmtree(lent)
    return folder


def test_the_settings_and_the_bundles_card_are_kept_with_the_session(
    foreign: SessionFolder, bundle: Path
) -> None:
    assert json.loads(foreign.settings_file.read_text())["settings"]["other_subject"] is True
    assert read_card(foreign.path) == read_card(bundle)


def test_evaluation_and_report_say_whose_decoder_it_was(foreign: SessionFolder) -> None:
    found = read_evaluation(foreign)
    assert found.feedback is not None
    assert found.feedback.trained_on == "01"
    assert SENTENCE in summary(found)
    assert SENTENCE in foreign.report_file.read_text()
    house = House.of(foreign.path)
    assert evaluate_feedback(foreign, house.settings, house.context) == found.feedback


def test_nothing_is_said_of_the_subjects_own_decoder(
    place: Path, registry: Registry, bundle: Path
) -> None:
    settings = settings_of(place, registry, bundle, subject="01", output=place / "own")
    folder = run(settings, registry)
    found = read_evaluation(folder)
    assert found.feedback is not None
    assert found.feedback.trained_on == ""
    assert "another subject" not in folder.report_file.read_text()


# The commands


def phosphene(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "phosphene", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [("run",), ("config", "check")])
def test_the_commands_refuse_it_with_the_status_of_bad_input(
    place: Path, tmp_path: Path, bundle: Path, command: tuple[str, ...]
) -> None:
    who = ["--subject", "02", "--session", "01", "--output", str(tmp_path / "study")]
    refused = phosphene(*command, str(session_file(place)), *who, "--bundle", str(bundle))
    assert refused.returncode == 2
    assert "was trained on subject 01, and this is a session of subject 02" in refused.stderr
    assert not (tmp_path / "study").exists()


def test_a_file_can_be_checked_before_the_subject_is_known_and_with_the_flag(
    place: Path, bundle: Path
) -> None:
    check = ("config", "check", str(session_file(place)), "--bundle", str(bundle))
    for options in ((), ("--subject", "02", "--other-subject")):
        assert phosphene(*check, *options).stdout.endswith("valid; feedback, report\n")


def test_the_flag_reaches_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Popen(subprocess.Popen[str]):
        def __init__(self, command: list[str], **options: Any) -> None:
            seen.extend(command)
            super().__init__([sys.executable, "-c", ""], **options)

    monkeypatch.setattr(served.subprocess, "Popen", Popen)
    with pytest.raises(PhospheneError, match="did not start"):
        served.run_served("s.yaml", {"other_subject": True, "seed": 3}, lambda _message: None)
    assert seen[-4:] == ["s.yaml", "--other-subject", "--seed", "3"]
