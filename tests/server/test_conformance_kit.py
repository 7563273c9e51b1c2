"""The kit as an author meets it: in pytest, and as ``phosphene plugins check``."""

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from unittest import SkipTest

import pytest

from phosphene import PhospheneError
from phosphene.errors import SettingsError
from phosphene.registry import Registry, load_registry
from phosphene.testing import Check, Outcome, Result, checks, examine
from phosphene.testing.kit import hook_of, read_settings

UNFIT = """
import {library}
from phosphene import ParadigmConfig, hookimpl

class Unfit(ParadigmConfig, frozen=True):
    classes: int = 2

    def blocks(self, context):
        print("planning")
        raise KeyError("no plan")

@hookimpl
def paradigm():
    return {{"unfit": Unfit}}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which distributions can be installed by writing files."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(site: Path, module: str, source: str) -> EntryPoint:
    (site / f"{module}.py").write_text(source)
    info = site / f"{module}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[phosphene]\n{module} = {module}\n")
    return EntryPoint(module, module, "phosphene")


def phosphene(site: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "phosphene", *arguments],
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "300", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("check", checks("decoder", "power-lr", {"c": 0.5}), ids=str)
def test_three_lines_of_pytest_check_a_plugin(check: Check) -> None:
    check()


def test_a_check_that_fails_raises_and_one_that_does_not_apply_is_skipped() -> None:
    def check(outcome: Outcome) -> Check:
        return Check("fits", lambda: Result("fits", outcome, "because"))

    check(Outcome.PASSED)()
    with pytest.raises(AssertionError, match="because"):
        check(Outcome.FAILED)()
    with pytest.raises(SkipTest, match="because"):
        check(Outcome.NOT_APPLICABLE)()


def test_a_plugin_is_asked_once_however_often_a_check_is_called() -> None:
    [first, *_] = checks("paradigm", "feedback")
    assert first.result() is first.result()


def test_a_heavy_import_at_discovery_is_found_though_it_is_imported_here_already(
    site: Path,
) -> None:
    registry = Registry([install(site, "unfit_heavy", UNFIT.format(library="scipy.signal"))])
    report = examine("paradigm", "unfit", {}, registry)
    [found, *_] = report.failed
    assert found.check == "no heavy import at discovery"
    assert "imports scipy; import them inside the functions" in found.text


def test_an_exception_is_contained_and_everything_else_is_still_asked(site: Path) -> None:
    registry = Registry([install(site, "unfit_light", UNFIT.format(library="json"))])
    report = examine("paradigm", "unfit", {"classes": 3}, registry)
    [found] = report.failed
    place = f"{site / 'unfit_light.py'}, line 10"
    assert found == Result(
        "plans blocks of trials", Outcome.FAILED, f"KeyError: 'no plan' ({place})"
    )
    assert len(report.results) > 5
    assert report.settings == {"classes": 3}
    assert report.measurements == ()


def test_what_is_not_there_is_named_with_what_is() -> None:
    with pytest.raises(
        PhospheneError, match=r"offers the decoder 'power-rl' \(did you mean 'power"
    ):
        checks("decoder", "power-rl")
    with pytest.raises(PhospheneError, match=r"no hook 'decoders' \(did you mean 'decoder'"):
        checks("decoders", "power-lr")
    with pytest.raises(PhospheneError, match=r"offers 'power-rl' \(did you mean 'power-lr'"):
        hook_of("power-rl", load_registry())


def test_settings_that_are_refused_or_missing_are_told_by_name() -> None:
    with pytest.raises(SettingsError, match=r"decoder power-lr\.d: unknown key"):
        checks("decoder", "power-lr", {"d": 1})
    with pytest.raises(SettingsError, match=r"acquisition replay\.file: missing"):
        checks("acquisition", "replay")
    with pytest.raises(SettingsError, match=r"expected \{setting: value\}, found '3'"):
        read_settings("3")


def test_the_command_prints_a_line_a_check_and_what_was_measured(site: Path) -> None:
    run = phosphene(site, "plugins", "check", "feedback", "--settings", "{trials: 8}")
    assert run.returncode == 0, run.stderr
    lines = [line.split("  ")[0] for line in run.stdout.splitlines()]
    assert {"same plan for the same seed", "no heavy import at discovery"} <= set(lines)
    assert "the plan, p99: " in run.stdout
    assert run.stdout.splitlines()[-1].startswith("paradigm feedback (phosphene ")
    assert run.stdout.splitlines()[-1].endswith("): conforms")


def test_the_command_fails_with_the_plugin_and_its_json_is_nothing_but_json(site: Path) -> None:
    install(site, "unfit_json", UNFIT.format(library="json"))
    run = phosphene(site, "plugins", "check", "unfit", "--json")
    assert run.returncode == 1
    report = json.loads(run.stdout)
    assert report["provenance"] == "unfit_json 0.1"
    assert [r["check"] for r in report["results"] if r["outcome"] == "failed"] == [
        "plans blocks of trials"
    ]
    assert "planning" in run.stderr


def test_the_command_says_why_a_broken_plugin_offers_nothing(site: Path) -> None:
    install(site, "unfit_broken", "import no_such_library")
    run = phosphene(site, "plugins", "check", "unfit")
    assert run.returncode == 1
    assert "plugin 'unfit_broken' of unfit_broken 0.1 is broken: ModuleNotFoundError" in run.stderr
    assert "Traceback" not in run.stderr
