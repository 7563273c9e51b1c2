"""``phosphene config`` and ``phosphene plugins`` as a person or a program types them."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from phosphene.registry import load_registry
from phosphene.settings import load_settings

SESSION = """\
format: 1
protocol: [record]
stimuli: standin
acquisition: {simulated: {channels: 16}}
paradigm: {interleaved: {runs: 2}}
screen: {kind: headless}
"""


def phosphene(*arguments: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "phosphene", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def session(tmp_path: Path) -> Path:
    file = tmp_path / "session.yaml"
    file.write_text(SESSION)
    return file


def test_check_accepts_a_file_that_leaves_the_subject_to_the_command_line(session: Path) -> None:
    run = phosphene("config", "check", str(session))
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{session}: valid; record\n"


def test_check_tells_each_error_on_a_line_of_its_own_without_a_traceback(session: Path) -> None:
    session.write_text(SESSION + "decodr: power-lr\nseed: -1\n")
    run = phosphene("config", "check", "session.yaml", folder=session.parent)
    assert (run.returncode, run.stdout) == (2, "")
    first, second = run.stderr.splitlines()
    assert first.startswith("session.yaml:7: decodr: unknown key (did you mean 'decoder'?); ")
    assert second == "session.yaml:8: seed: expected a whole number >= 0, found -1"


def test_check_takes_the_options_of_run(session: Path) -> None:
    run = phosphene("config", "check", str(session), "--subject", "../..")
    assert run.returncode == 2
    assert run.stderr.startswith("--subject: subject: expected 1 to 32 letters")


def test_an_unknown_preset_names_the_presets() -> None:
    run = phosphene("config", "check", "interleafed")
    assert run.returncode == 2
    assert "(did you mean 'interleaved'?); presets: brain2image, demo" in run.stderr


def test_what_goes_wrong_on_the_way_is_told_from_bad_input(tmp_path: Path) -> None:
    run = phosphene("status", "--connection", str(tmp_path / "nowhere"))
    assert (run.returncode, run.stdout) == (1, "")
    assert "nowhere" in run.stderr
    assert "Traceback" not in run.stderr


def test_show_writes_out_every_value_as_a_file_that_means_the_same(session: Path) -> None:
    options = ["--subject", "S01", "--session", "01"]
    run = phosphene("config", "show", str(session), *options)
    assert run.returncode == 0
    again = session.with_name("again.yaml")
    again.write_text(run.stdout)
    registry = load_registry()
    given = {"subject": "S01", "session": "01"}
    # The default folder of the data is relative to where one is.
    shown, loaded = load_settings(again, registry), load_settings(session, registry, given)
    assert shown == loaded


def test_show_says_where_each_section_comes_from(session: Path) -> None:
    run = phosphene("config", "show", str(session), "--subject", "S01")
    origins = dict(
        line.split("  # ")
        for line in run.stdout.splitlines()
        if not line.startswith(" ")
        if "  # " in line
    )
    by_key = {line.split(":")[0]: origin for line, origin in origins.items()}
    assert by_key["subject"] == "--subject"
    assert by_key["paradigm"] == f"{session}:5"
    assert by_key["seed"] == "default"
    assert by_key["epochs"].startswith("presets/preprocessing/paper.yaml:")


def test_show_json_is_one_object_with_every_value(session: Path) -> None:
    run = phosphene("config", "show", str(session), "--json")
    shown = json.loads(run.stdout)
    assert shown["acquisition"]["simulated"]["channels"] == 16
    assert "sfreq" in shown["acquisition"]["simulated"]
    assert shown["seed"] == 0


def test_plugins_list_shows_who_offers_what() -> None:
    run = phosphene("plugins", "list")
    assert run.returncode == 0
    assert ["decoder", "power-lr", "phosphene", version("phosphene")] in [
        line.split()[:4] for line in run.stdout.splitlines()
    ]


def test_plugins_list_json_can_be_read_by_a_program() -> None:
    listed = json.loads(phosphene("plugins", "list", "--json").stdout)
    (found,) = (plugin for plugin in listed if plugin["name"] == "power_lr")
    assert found["offers"] == {"decoder": ["power-lr"]}
    assert found["distribution"] == "phosphene"
    assert found["problem"] == ""


def test_version_is_that_of_the_distribution() -> None:
    assert phosphene("--version").stdout == f"phosphene {version('phosphene')}\n"


def test_help_imports_nothing_heavy() -> None:
    heavy = {"mne", "sklearn", "scipy", "matplotlib", "psychopy", "pylsl", "torch"}
    program = (
        "import sys\nfrom phosphene.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('found', *({heavy} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == "found"
