"""A session file is read as it is meant; an error says where, what was found, what is allowed."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Literal

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phosphene import (
    DecoderConfig,
    EpochStepConfig,
    GeneratorConfig,
    ParadigmConfig,
    SourceConfig,
    StimulusSetConfig,
    StreamStepConfig,
    hookimpl,
)
from phosphene.errors import SettingsError
from phosphene.registry import Registry
from phosphene.session_file import presets
from phosphene.settings import Settings, load_settings
from phosphene.strict_yaml import MAX_BYTES, read_yaml


class Amplifier(SourceConfig, frozen=True):
    channels: int = 128
    gain: float = 1.0
    kind: Literal["dry", "wet"] = "wet"
    sites: tuple[str, ...] = ()
    cap: Path | None = None

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ValueError(f"channels must be at least 1; found {self.channels}")
        if len(self.sites) > self.channels:
            raise ValueError("more sites than channels")


class Broken(SourceConfig, frozen=True):
    timeout: float = float("inf")


class Band(StreamStepConfig, frozen=True):
    low: float
    high: float
    order: int = 2


class Scale(EpochStepConfig, frozen=True):
    window: float = 0.0
    hop: float = 0.0
    low: float = 0.0
    high: float = 0.0


class Linear(DecoderConfig, frozen=True):
    c: float = 1.0


class Shown(ParadigmConfig, frozen=True):
    classes: int = 40


class Gallery(GeneratorConfig, frozen=True):
    pass


class Images(StimulusSetConfig, frozen=True):
    pass


OFFERS: Mapping[str, Mapping[str, type]] = {
    "acquisition": {"amp": Amplifier, "broken": Broken},
    "preprocessing": {
        "notch": Band,
        "bandpass": Band,
        "standardise": Scale,
        "spectrogram": Scale,
    },
    "decoder": {"linear": Linear, "power-lr": Linear},
    "generator": {"gallery": Gallery},
    "paradigm": {"shown": Shown},
    "stimuli": {"images": Images},
}

MINIMAL = """\
format: 1
subject: S01
session: "1"
protocol: [record]
stimuli: images
acquisition: amp
paradigm: shown
"""

Load = Callable[..., Settings]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return what one made-up plugin offers."""
    module = ModuleType("made_up")

    def offering(configs: Mapping[str, type]) -> Callable[[], Mapping[str, type]]:
        def hook() -> Mapping[str, type]:
            return configs

        return hookimpl(hook)

    for hook, configs in OFFERS.items():
        setattr(module, hook, offering(configs))
    monkeypatch.setitem(sys.modules, "made_up", module)
    return Registry([EntryPoint("made_up", "made_up", "phosphene")])


@pytest.fixture
def load(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return a function that loads lines added to a minimal file (or to what ``base`` says)."""
    monkeypatch.chdir(tmp_path)

    def load(lines: str = "", base: str = MINIMAL, **options: object) -> Settings:
        Path("s.yaml").write_text(base + dedent(lines))
        return load_settings("s.yaml", registry, options)

    return load


def errors(load: Load, lines: str = "", **options: str) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load(lines, **options)
    return str(error.value).splitlines()


# YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("2.", 2.0),
        ("+7", 7),
        ("0", 0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", None),
        ("~", None),
        ("'1e-3'", "1e-3"),
        *(
            (text, text)
            for text in ("no", "yes", "on", "off", "y", "010", "0x1F", "0o7", "1_000", "1:30")
        ),
        *((text, text) for text in (".nan", ".inf", "-.inf", "00.5", "2024-01-01", "e5", "<<")),
    ],
)
def test_plain_values_are_of_the_types_of_yaml_1_2(text: str, value: object) -> None:
    found = read_yaml(f"key: {text}".encode(), "f").value
    assert found == {"key": value}
    assert isinstance(found, dict)
    assert type(found["key"]) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**17), 10**17))
def test_every_number_that_python_writes_is_read_as_that_number(number: float) -> None:
    assert read_yaml(f"[{number!r}]".encode(), "f").value == [number]


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_the_bytes_are_they_are_read_or_refused(content: bytes) -> None:
    with suppress(SettingsError):
        read_yaml(content, "f")


REFUSED = {
    "a key twice": ("a: 1\nb:\n  c: 1\n  c: 2\n", "f:4: 'c' is written twice; first in line 3"),
    "an alias": ("a: &x [1]\nb: *x\n", "f:1: anchors (&) and aliases (*) are not allowed here"),
    "an alias alone": ("b: *x\n", "f:1: anchors (&) and aliases (*) are not allowed here"),
    "a tag": ("a: !!python/name:os.system\n", "f:1: tags (!) are not allowed here"),
    "a number beyond all": ("a: 1\nb: 1e999\n", "f:2: 1e999 is too large a number"),
    "a key that is a list": ("[a]: 1\n", "f:1: a key must be text"),
    "depth": ("[" * 1000, "f:1: lists and mappings are nested more than 20 deep"),
    "size": ("#" * (MAX_BYTES + 1), f"f: larger than {MAX_BYTES} bytes; no session file is"),
    "two documents": ("a: 1\n---\nb: 1\n", "f:2: expected a single document in the stream"),
    "an open bracket": ("a: 1\nb: [1, 2\n", "f:3: while parsing a flow sequence"),
    "a tab": ("a:\n\tb: 1\n", "f:2: while scanning for the next token found character"),
    "a control character": ("a: \x00\n", "f: not a text file in UTF-8: "),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_doubtful_yaml_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_yaml(text.encode(), "f")
    assert str(error.value).startswith(message)


def test_an_alias_bomb_is_refused() -> None:
    bomb = "a: &a [x,x,x]\n" + "".join(
        f"{b}: &{b} [*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(SettingsError, match="aliases"):
        read_yaml(bomb.encode(), "f")


def test_a_file_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(SettingsError, match="f: not a text file in UTF-8"):
        read_yaml("a: ä".encode("latin-1"), "f")


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert read_yaml("a: 1".encode("utf-8-sig"), "f").value == {"a": 1}


# The session file


def test_a_minimal_file_is_filled_with_defaults(load: Load, tmp_path: Path) -> None:
    settings = load()
    assert settings.subject == "S01"
    assert settings.protocol == ("record",)
    assert settings.acquisition.config == Amplifier()
    assert settings.decoder.name == "power-lr"
    assert [step.name for step in settings.stream] == ["notch", "bandpass"]
    assert [step.name for step in settings.epochs.steps] == ["standardise", "spectrogram"]
    assert (settings.epochs.tmin, settings.epochs.tmax) == (0.02, 0.5)
    assert (settings.feedback, settings.generator, settings.bundle) == (None, None, None)
    assert (settings.clock, settings.seed) == ("real", 0)
    assert settings.output == tmp_path / "phosphene-data"


def test_the_cache_is_where_the_user_keeps_caches(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert load().cache == tmp_path / "caches" / "phosphene"


def test_a_plugin_is_chosen_by_name_alone_or_with_settings(load: Load) -> None:
    assert load("decoder: linear\n").decoder.config == Linear()
    assert load("decoder: {linear: {c: 1e-3}}\n").decoder.config == Linear(c=1e-3)
    assert load("decoder:\n  linear:\n").decoder.config == Linear()


def test_steps_are_an_ordered_list_of_choices(load: Load) -> None:
    settings = load("""\
        stream:
          - bandpass: {low: 1, high: 40}
          - notch: {low: 49, high: 51}
        epochs: {tmin: -0.1, tmax: 0.5, steps: [standardise]}
        """)
    assert [step.config for step in settings.stream] == [Band(1, 40), Band(49, 51)]
    assert [step.name for step in settings.epochs.steps] == ["standardise"]


def test_an_id_of_digits_needs_no_quotes_and_keeps_its_zeros(load: Load) -> None:
    base = MINIMAL.replace("S01", "007").replace('"1"', "12")
    settings = load(base=base)
    assert (settings.subject, settings.session) == ("007", "12")


@pytest.mark.parametrize("subject", ["../..", "a" * 33, "''", "ä", "a b", "1.5", "[a]", '"a\\n"'])
def test_an_id_that_could_harm_a_path_is_refused(load: Load, subject: str) -> None:
    (error,) = errors(load, base=MINIMAL.replace("S01", subject))
    assert error.startswith("s.yaml:2: subject: expected 1 to 32 letters (a-z, A-Z) and digits, ")


def test_options_win_over_the_file_and_none_is_no_option(load: Load, tmp_path: Path) -> None:
    settings = load("seed: 3\n", subject="S02", output=Path("there"), session=None, seed=4)
    assert (settings.subject, settings.session, settings.seed) == ("S02", "1", 4)
    assert settings.output == tmp_path / "there"


def test_an_option_that_is_wrong_is_named(load: Load) -> None:
    assert errors(load, subject="../x")[0].startswith("--subject: subject: expected 1 to 32")


def test_paths_start_from_the_folder_of_the_file(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "cap.txt").touch()
    monkeypatch.chdir(tmp_path)
    lines = "acquisition: {amp: {cap: cap.txt}}\noutput: ../data\n"
    (lab / "s.yaml").write_text(MINIMAL.replace("acquisition: amp\n", lines))
    settings = load_settings(Path("lab/s.yaml"), registry)
    assert settings.acquisition.config == Amplifier(cap=lab / "cap.txt")
    assert settings.output == tmp_path / "data"


WRONG = {
    "unknown key": (
        "decodr: linear",
        "decodr: unknown key (did you mean 'decoder'?); allowed: format, extends, preprocessing, ",
    ),
    "unknown plugin": (
        "decoder: linar",
        "decoder: no installed plugin offers the decoder 'linar' (did you mean 'linear'?); "
        "available: linear, power-lr",
    ),
    "unknown setting": (
        "decoder:\n  linear:\n    C: 1",
        "decoder.linear.C: unknown key (did you mean 'c'?); allowed: c",
    ),
    "wrong type": (
        "decoder:\n  linear:\n    c: strong",
        "decoder.linear.c: expected a number, found 'strong'",
    ),
    "no number": ("decoder:\n  linear:\n    c: .nan", "expected a number, found '.nan'"),
    "a missing setting": ("stream:\n  - notch: {low: 1}", "stream.0.notch.high: missing"),
    "two plugins for one": (
        "decoder: {linear: {}, power-lr: {}}",
        "decoder: expected NAME or {NAME: {setting: value}}, found {'linear': {}, 'power-lr': {}}",
    ),
    "no plugin": ("decoder:", "decoder: expected NAME or {NAME: {setting: value}}, found None"),
    "settings that are a list": (
        "decoder:\n  linear: [1]",
        "decoder.linear: expected a mapping, found [1]",
    ),
    "steps that are no list": (
        "stream: {notch: {low: 49, high: 51}}",
        "stream: expected a list of steps, found {'notch'",
    ),
    "a step for epochs in the stream": (
        "stream:\n  - standardise",
        "stream.0: the step 'standardise' belongs under epochs.steps",
    ),
    "a step for the stream on epochs": (
        "epochs:\n  tmin: 0\n  tmax: 1\n  steps:\n    - bandpass: {low: 1, high: 2}",
        "epochs.steps.0: the step 'bandpass' belongs under stream",
    ),
    "epochs without length": (
        "epochs:\n  tmin: 0.5\n  tmax: 0.5",
        "epochs.tmax: tmax must be above tmin; found 0.5 to 0.5 s",
    ),
    "epochs that are no mapping": ("epochs: 3", "epochs: expected a mapping, found 3"),
    "not one of the choices": (
        "screen:\n  kind: psychopi",
        "screen.kind: found 'psychopi' (did you mean 'psychopy'?); allowed: headless, psychopy",
    ),
    "an impossible value": (
        "screen:\n  image_size: 1.5",
        "screen.image_size: expected a number <= 1.0, found 1.5",
    ),
    "a pair of one": (
        "screen:\n  size: [3]",
        "screen.size: expected a list of length 2, found [3]",
    ),
    "a limit": ("seed: -1", "seed: expected a whole number >= 0, found -1"),
    "neither number nor null": (
        "screen:\n  refresh_rate: fast",
        "screen.refresh_rate: expected a number or null, found 'fast'",
    ),
    "a missing file": ("bundle: nowhere", "bundle: there is no file or folder /"),
    "a path that is a number": ("output: 3", "output: expected the path of a file or folder, "),
    "both kinds of preprocessing": (
        "preprocessing: paper\nstream: []",
        "stream: give either this or 'preprocessing', not both",
    ),
    "an unknown preprocessing": (
        "preprocessing: papr",
        "preprocessing: there is no preprocessing 'papr' (did you mean 'paper'?); allowed: ",
    ),
    "an unknown base": (
        "extends: demmo",
        "there is no such file, and no preset of that name (did you mean 'demo'?); presets: ",
    ),
    "a base that is a list": ("extends: [demo]", "extends: expected a preset or a file, found ["),
    "itself as base": ("extends: s.yaml", "extends: these files extend each other"),
}


@pytest.mark.parametrize(("lines", "message"), WRONG.values(), ids=WRONG.keys())
def test_an_error_names_file_line_and_field(load: Load, lines: str, message: str) -> None:
    (error,) = errors(load, lines)
    last = len((MINIMAL + lines).splitlines())
    assert error.startswith(f"s.yaml:{last}: ")
    assert message in error


ACQUISITION = {
    "a value that the plugin refuses": (
        "{amp: {channels: 0}}",
        "acquisition.amp.channels: channels must be at least 1; found 0",
    ),
    "values that do not go together": (
        "{amp: {channels: 1, sites: [Cz, Oz]}}",
        "acquisition.amp: more sites than channels",
    ),
    "an item of a list": (
        "{amp: {sites: [Cz, 1]}}",
        "acquisition.amp.sites.1: expected text, found 1",
    ),
    "a file that is not there": (
        "{amp: {cap: cap.txt}}",
        "acquisition.amp.cap: there is no file or folder /",
    ),
    "a choice": ("{amp: {kind: moist}}", "acquisition.amp.kind: found 'moist'; allowed: dry, wet"),
    "a number that cannot be written": (
        "broken",
        "acquisition.broken: every number must be finite; found Broken(timeout=inf)",
    ),
}


@pytest.mark.parametrize(("choice", "message"), ACQUISITION.values(), ids=ACQUISITION.keys())
def test_settings_that_a_plugin_refuses_are_named(load: Load, choice: str, message: str) -> None:
    (error,) = errors(load, base=MINIMAL.replace("acquisition: amp", f"acquisition: {choice}"))
    assert error.startswith("s.yaml:6: " + message)


def test_all_errors_are_told_at_once(load: Load) -> None:
    base = MINIMAL.replace("subject: S01\n", "").replace("images", "imags")
    assert [error.split(";")[0] for error in errors(load, "seed: x\nscren: {}\n", base=base)] == [
        "s.yaml: subject: missing",
        "s.yaml:4: stimuli: no installed plugin offers the stimuli 'imags' "
        "(did you mean 'images'?)",
        "s.yaml:7: seed: expected a whole number, found 'x'",
        "s.yaml:8: scren: unknown key (did you mean 'screen'?)",
    ]


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (MINIMAL.replace("format: 1\n", ""), "s.yaml: format: missing; write 'format: 1'"),
        (
            MINIMAL.replace(": 1\n", ": 2\n"),
            "s.yaml:1: format: found 2; this version reads format 1",
        ),
        (MINIMAL.replace(": 1\n", ": true\n"), "s.yaml:1: format: found True; "),
        ("- a\n", "s.yaml: expected keys and values such as 'format: 1'"),
        ("", "s.yaml: expected keys and values such as 'format: 1'"),
    ],
)
def test_a_file_of_another_format_is_refused(load: Load, base: str, message: str) -> None:
    (error,) = errors(load, base=base)
    assert error.startswith(message)


@pytest.mark.parametrize("source", ["nowhere.yaml", "demmo"])
def test_a_source_that_is_neither_file_nor_preset_names_the_presets(
    registry: Registry, source: str
) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings(source, registry)
    assert str(error.value).startswith(f"{source}: there is no such file, and no preset of that")
    assert f"presets: {', '.join(presets())}" in str(error.value)


def test_sections_replace_whole_sections_of_the_file_they_extend(load: Load) -> None:
    Path("base.yaml").write_text(
        MINIMAL + "decoder: {linear: {c: 2}}\nscreen: {kind: headless, lag: 0.01}\n"
    )
    settings = load(base="format: 1\nextends: base.yaml\nscreen: {lag: 0.02}\n")
    assert settings.decoder.config == Linear(c=2)
    assert settings.screen.lag == 0.02
    assert settings.screen.kind == "psychopy"


def test_an_error_in_an_extended_file_points_there(load: Load) -> None:
    Path("base.yaml").write_text(MINIMAL + "seed: x\n")
    (error,) = errors(load, base="format: 1\nextends: base.yaml\nsubject: S02\n")
    assert error == "base.yaml:8: seed: expected a whole number, found 'x'"


def test_epochs_can_be_changed_alone(load: Load) -> None:
    Path("base.yaml").write_text(MINIMAL + "preprocessing: paper\n")
    settings = load(base="format: 1\nextends: base.yaml\nepochs: {tmin: 0, tmax: 1}\n")
    assert [step.name for step in settings.stream] == ["notch", "bandpass"]
    assert settings.epochs.steps == ()


def test_null_removes_a_section_of_the_extended_file(load: Load) -> None:
    Path("base.yaml").write_text(MINIMAL + "generator: gallery\n")
    assert load(base="format: 1\nextends: base.yaml\ngenerator: null\n").generator is None


def test_a_file_that_cannot_be_read_is_named(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no such file"):
        load_settings(tmp_path, registry)


WORDS = ["amp", "linear", "notch", "scale", "channels", "sites", "cap", "kind", "c", "low", "high"]
WORDS += ["tmin", "tmax", "steps", "standardise", "size", "lag", "record", "train", "feedback"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner),
    max_leaves=8,
)


@given(
    name=st.sampled_from([*Settings.__struct_fields__, "extends", "preprocessing"]), value=VALUES
)
@settings(max_examples=4000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_a_section_holds_it_is_accepted_or_refused(
    load: Load, name: str, value: object
) -> None:
    sections = yaml.safe_load(MINIMAL) | {name: value}
    with suppress(SettingsError):
        assert load(base=yaml.safe_dump(sections)).subject
