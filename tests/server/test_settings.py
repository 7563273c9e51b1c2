"""Settings fit together, survive being written, and are what the presets and documents say."""

import json
import re
from importlib.metadata import version
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene.closed_loop import ClosedLoopSettings
from phosphene.errors import SettingsError
from phosphene.recording import RecordingSettings
from phosphene.registry import Registry, load_registry
from phosphene.session_file import PRESETS, presets
from phosphene.settings import (
    EpochSettings,
    ScreenSettings,
    Settings,
    choose,
    load_settings,
    plain,
    read_resolved,
    write_resolved,
)

PAGE = (Path(__file__).parents[2] / "docs" / "session-file.md").read_text()
WHO = {"subject": "S01", "session": "01"}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    return folder


def load(registry: Registry, folder: Path, lines: str, **options: object) -> Settings:
    """Return the preset ``demo`` with some sections replaced."""
    file = folder / "s.yaml"
    file.write_text("format: 1\nextends: demo\n" + dedent(lines))
    return load_settings(file, registry, options)


def conflicts(registry: Registry, folder: Path, lines: str, **options: object) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load(registry, folder, lines, **options)
    return str(error.value).splitlines()


# Presets


@pytest.mark.parametrize("name", [name for name in presets() if name != "feedback"])
def test_a_preset_needs_no_more_than_subject_and_session(registry: Registry, name: str) -> None:
    assert load_settings(name, registry, WHO).subject == "S01"


def test_the_preset_feedback_needs_a_bundle(registry: Registry, bundle: Path) -> None:
    with pytest.raises(SettingsError, match="feedback needs 'train' before it, or a bundle"):
        load_settings("feedback", registry, WHO)
    settings = load_settings("feedback", registry, {**WHO, "bundle": bundle})
    assert settings.bundle == bundle
    assert settings.protocol == ("feedback", "report")


def test_the_preset_brain2image_is_the_paper(registry: Registry) -> None:
    settings = load_settings("brain2image", registry, WHO)
    assert settings.paradigm is not None
    written = plain(settings.paradigm)["brain2image"]
    assert {key: written[key] for key in ("classes", "images", "duration", "pause", "runs")} == {
        "classes": 40,
        "images": 50,
        "duration": 0.5,
        "pause": 10,
        "runs": 4,
    }
    assert plain(settings.acquisition)["lsl"]["channels"] == 128
    assert settings.screen.kind == "psychopy"


def test_the_demo_runs_headless_on_the_virtual_clock(registry: Registry) -> None:
    for name in ("demo", "demo-contrast"):
        settings = load_settings(name, registry, WHO)
        assert (settings.screen.kind, settings.clock) == ("headless", "virtual")


def test_the_contrast_has_no_class_code_but_a_drift(registry: Registry) -> None:
    demo, contrast = (
        plain(load_settings(name, registry, WHO).acquisition)["simulated"]
        for name in ("demo", "demo-contrast")
    )
    assert demo["code"] != "none"
    assert contrast["code"] == "none"
    assert contrast["drift"] > 0


# What goes together


CONFLICTS = {
    "no phase": ("protocol: []", "protocol: expected some of record, train, feedback, report, "),
    "a phase twice": ("protocol: [record, record]", "protocol: expected some of record, "),
    "phases in another order": ("protocol: [feedback, record]", "protocol: expected some of "),
    "record without paradigm": (
        "protocol: [record]\nparadigm: null",
        "protocol: record needs the section 'paradigm'",
    ),
    "train without record": ("protocol: [train]", "protocol: train needs 'record' before it"),
    "feedback without its paradigm": (
        "protocol: [record, train, feedback]\nfeedback: null",
        "protocol: feedback needs the section 'feedback'",
    ),
    "feedback without generator": (
        "protocol: [record, train, feedback]\ngenerator: null",
        "protocol: feedback needs the section 'generator'",
    ),
    "another subject's bundle, but no bundle": (
        "other_subject: true",
        "other_subject: it is said of a bundle trained earlier (--bundle); there is none",
    ),
    "feedback without decoder": (
        "protocol: [record, feedback]",
        "protocol: feedback needs 'train' before it, or a bundle trained earlier (--bundle)",
    ),
}


@pytest.mark.parametrize(("lines", "message"), CONFLICTS.values(), ids=CONFLICTS.keys())
def test_a_phase_needs_its_sections(
    registry: Registry, tmp_path: Path, lines: str, message: str
) -> None:
    assert any(
        error.startswith(f"{tmp_path}/s.yaml:3: {message}")
        for error in conflicts(registry, tmp_path, lines)
    )


def test_training_and_a_bundle_exclude_each_other(
    registry: Registry, tmp_path: Path, bundle: Path
) -> None:
    (error,) = conflicts(registry, tmp_path, "", bundle=bundle)
    assert error == "--bundle: bundle: give either this or 'train' in the protocol, not both"


def test_virtual_time_needs_a_source_and_a_screen_that_can(
    registry: Registry, tmp_path: Path
) -> None:
    assert [
        error.split(": ", 1)[1]
        for error in conflicts(registry, tmp_path, "acquisition: lsl\nscreen: {kind: psychopy}\n")
    ] == [
        "clock: the source 'lsl' is live: it needs 'clock: real'",
        "clock: virtual time needs the screen 'kind: headless'",
    ]


def test_headless_means_virtual_time_if_the_source_allows_it(
    registry: Registry, tmp_path: Path
) -> None:
    shown = "screen: {kind: psychopy, lag: 0.01}\nclock: real\n"
    simulated = load(registry, tmp_path, shown, headless=True)
    assert (simulated.screen, simulated.clock) == (
        ScreenSettings(kind="headless", lag=0.01),
        "virtual",
    )
    live = load(registry, tmp_path, shown + "acquisition: lsl\n", headless=True)
    assert (live.screen.kind, live.clock) == ("headless", "real")


@pytest.mark.parametrize("subject", ["../..", "", "CON\0", "a" * 33])
def test_settings_cannot_be_made_for_an_id_that_could_harm_a_path(
    registry: Registry, subject: str
) -> None:
    settings = load_settings("demo", registry)
    with pytest.raises(SettingsError, match="1 to 32 letters"):
        msgspec.structs.replace(settings, subject=subject)


# Written and read again


@pytest.mark.parametrize("name", [name for name in presets() if name != "feedback"])
def test_resolved_settings_are_read_as_they_were_written(
    registry: Registry, tmp_path: Path, name: str
) -> None:
    settings = load_settings(name, registry, WHO)
    write_resolved(settings, tmp_path / "settings.json")
    assert read_resolved(tmp_path / "settings.json", registry) == settings


LENGTHS = st.floats(1e-3, 10)
CHANGES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**63 - 1),
        "epochs": st.builds(lambda start, n: EpochSettings(start, start + n), LENGTHS, LENGTHS),
        "screen": st.builds(ScreenSettings, kind=st.just("headless"), lag=LENGTHS),
    }
)


@given(changes=CHANGES, strength=st.floats(0, 1))
def test_every_value_survives_being_written(
    registry: Registry,
    tmp_path_factory: pytest.TempPathFactory,
    changes: dict[str, Any],
    strength: float,
) -> None:
    source = choose(registry, "acquisition", {"simulated": {"strength": strength}})
    demo = load_settings("demo", registry)
    settings = msgspec.structs.replace(demo, acquisition=source, **changes)
    file = tmp_path_factory.mktemp("resolved") / "settings.json"
    write_resolved(settings, file)
    assert read_resolved(file, registry) == settings


def test_versions_and_plugins_are_written_with_the_settings(
    registry: Registry, tmp_path: Path
) -> None:
    file = tmp_path / "settings.json"
    write_resolved(load_settings("demo", registry), file)
    written = json.loads(file.read_text())
    assert written["format"] == 1
    assert written["versions"]["phosphene"] == version("phosphene")
    assert {"python", "platform", "numpy"} <= set(written["versions"])
    own = f"phosphene {version('phosphene')}"
    assert {"name": "kd-stft", "provenance": own} in written["plugins"]
    assert "widths" in written["settings"]["decoder"]["kd-stft"], "defaults are written out"


def test_paths_of_a_finished_session_need_not_exist_to_read_its_settings(
    registry: Registry, tmp_path: Path, bundle: Path
) -> None:
    settings = load_settings("feedback", registry, {**WHO, "bundle": bundle})
    write_resolved(settings, tmp_path / "settings.json")
    bundle.rmdir()
    assert read_resolved(tmp_path / "settings.json", registry) == settings


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": 2, "settings": {}}', '{"format": 1}', "{\xff"]
)
def test_a_file_that_is_no_resolved_settings_is_refused(
    registry: Registry, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "settings.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(SettingsError, match="not a file of resolved settings"):
        read_resolved(file, registry)


def test_settings_that_a_newer_plugin_refuses_are_named(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    write_resolved(load_settings("demo", registry), file)
    file.write_text(file.read_text().replace('"kd-stft": {', '"kd-stft": {"old": 1,'))
    with pytest.raises(SettingsError) as error:
        read_resolved(file, registry)
    assert str(error.value).startswith(f"{file}: decoder.kd-stft.old: unknown key")


# The document


def fields(struct: type[msgspec.Struct]) -> set[str]:
    return set(struct.__struct_fields__)


def test_every_key_is_documented() -> None:
    headings = re.findall(r"^### `(.*)`$", PAGE, flags=re.MULTILINE)
    assert set(headings) == {"format", "extends", "preprocessing", *fields(Settings)}
    rows = set(re.findall(r"^\| `(.*?)` \|", PAGE, flags=re.MULTILINE))
    structs = (EpochSettings, ScreenSettings, ClosedLoopSettings, RecordingSettings)
    assert set().union(*map(fields, structs), presets()) == rows


EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_accepted(registry: Registry, tmp_path: Path, example: str) -> None:
    whole = example if "format:" in example else "format: 1\nextends: demo\n" + example
    file = tmp_path / "example.yaml"
    file.write_text(whole)
    assert load_settings(file, registry).protocol


def test_the_document_writes_out_the_paper_as_it_is() -> None:
    lines = (PRESETS / "preprocessing" / "paper.yaml").read_text().splitlines(keepends=True)
    assert "".join(lines[2:]) in EXAMPLES


def test_the_file_of_a_session_from_before_shadows_can_be_read(
    registry: Registry, tmp_path: Path
) -> None:
    file = tmp_path / "settings.json"
    settings = load_settings("demo", registry)
    write_resolved(settings, file)
    content = json.loads(file.read_text())
    for name in ("shadows", "other_subject"):
        del content["settings"][name]
    file.write_text(json.dumps(content))
    assert read_resolved(file, registry) == settings
