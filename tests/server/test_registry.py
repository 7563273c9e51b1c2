"""Plugins are found by entry point; a broken one says why and stops nobody else."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

import phosphene
from phosphene import PhospheneError
from phosphene.registry import HOOKS, PluginInfo, load_registry

Install = Callable[..., None]

GOOD = """
    from phosphene import DecoderConfig, hookimpl

    class GuessConfig(DecoderConfig, frozen=True):
        c: float = 1.0

    @hookimpl
    def decoder():
        return {"guess": GuessConfig}
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that makes a module look like an installed distribution."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, source: str, version: str = "1.2.3", requires: str = "") -> None:
        module = name.replace("-", "_")
        monkeypatch.delitem(sys.modules, module, raising=False)
        (tmp_path / f"{module}.py").write_text(dedent(source))
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        required = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}"
        )
        (info / "entry_points.txt").write_text(f"[phosphene]\n{module} = {module}\n")

    return install


def info(distribution: str) -> PluginInfo:
    (found,) = (p for p in load_registry().plugins if p.distribution == distribution)
    return found


def test_an_installed_plugin_is_found_with_its_provenance(install: Install) -> None:
    install("lab-guess", GOOD)
    registry = load_registry()
    config = registry.find("decoder", "guess")
    assert issubclass(config, phosphene.DecoderConfig)
    assert registry.offers("decoder")["guess"] is config
    assert registry.provenance("decoder", "guess") == "lab-guess 1.2.3"
    assert info("lab-guess") == PluginInfo(
        name="lab_guess",
        module="lab_guess",
        distribution="lab-guess",
        version="1.2.3",
        offers={"decoder": ("guess",)},
    )


BROKEN = {
    "an import error": ("import no_such_library", "ModuleNotFoundError: No module named"),
    "an exit while it is imported": ("raise SystemExit('bye')", "SystemExit: bye"),
    "a misspelt hook": (
        GOOD.replace("def decoder", "def decodr"),
        "there is no hook 'decodr' (did you mean 'decoder'?)",
    ),
    "no hook": ("x = 1", "it offers nothing: no function is marked with @hookimpl"),
    "an argument that the hook does not have": (
        GOOD.replace("decoder()", "decoder(registry)"),
        "Argument(s) {'registry'} are declared in the hookimpl but can not be found",
    ),
    "a hook that returns a list": (
        GOOD.replace('{"guess": GuessConfig}', "[GuessConfig]"),
        "hook 'decoder' must return {name: config class}; found [",
    ),
    "a hook that returns nothing": (
        GOOD.replace('return {"guess": GuessConfig}', "pass"),
        "hook 'decoder' must return {name: config class}; found None",
    ),
    "a hook that raises": (
        GOOD.replace('return {"guess": GuessConfig}', "return 1 / 0"),
        "ZeroDivisionError: division by zero",
    ),
    "a name that is not text": (
        GOOD.replace('"guess"', "1"),
        "hook 'decoder': a name must be text; found 1",
    ),
    "a config that is no class": (
        GOOD.replace(": GuessConfig}", ": GuessConfig()}"),
        "hook 'decoder': 'guess' must be a subclass of DecoderConfig; found GuessConfig",
    ),
    "a config of another hook": (
        GOOD.replace("DecoderConfig", "SourceConfig"),
        "'guess' must be a subclass of DecoderConfig; found <class",
    ),
    "a step of neither kind": (
        GOOD.replace("def decoder", "def preprocessing"),
        "'guess' must be a subclass of StreamStepConfig or EpochStepConfig",
    ),
    "a setting whose type cannot be read": (
        GOOD.replace("c: float = 1.0", "c: 'Nowhere' = 1.0"),
        "NameError: name 'Nowhere' is not defined",
    ),
}


@pytest.mark.parametrize(("source", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_plugin_is_listed_with_its_reason_and_the_others_live(
    install: Install, source: str, reason: str
) -> None:
    install("lab-broken", source)
    install("lab-good", GOOD)
    broken = info("lab-broken")
    assert reason in broken.problem
    assert not broken.offers
    assert not info("lab-good").problem
    assert load_registry().provenance("decoder", "guess") == "lab-good 1.2.3"


def test_a_plugin_made_for_another_version_is_not_even_imported(install: Install) -> None:
    install("lab-future", "raise AssertionError", requires="phosphene>=1000")
    assert "it requires phosphene>=1000, but this is phosphene " in info("lab-future").problem


def test_a_plugin_made_for_this_version_is_used(install: Install) -> None:
    install("lab-guess", GOOD, requires="phosphene>=0.1")
    assert not info("lab-guess").problem


def test_two_plugins_with_one_name_are_an_error_that_names_both(install: Install) -> None:
    install("lab-one", GOOD)
    install("lab-two", GOOD.replace('{"guess"', '{"other": GuessConfig, "guess"'), version="4.5")
    registry = load_registry()
    with pytest.raises(PhospheneError) as error:
        registry.find("decoder", "guess")
    assert "lab-one 1.2.3 (lab_one) and lab-two 4.5 (lab_two)" in str(error.value)
    assert "guess" not in registry.offers("decoder")
    assert info("lab-one").problem == info("lab-two").problem == str(error.value)
    assert registry.provenance("decoder", "other") == "lab-two 4.5"


def test_an_unknown_name_says_what_there_is_and_which_plugin_is_broken(install: Install) -> None:
    install("lab-guess", GOOD)
    install("lab-broken", "import no_such_library")
    with pytest.raises(PhospheneError) as error:
        load_registry().find("decoder", "gues")
    text = str(error.value)
    assert text.startswith("no installed plugin offers the decoder 'gues' (did you mean 'guess'?)")
    assert ", guess," in text.partition("available: ")[2]
    assert "plugin 'lab_broken' of lab-broken 1.2.3 is broken: ModuleNotFoundError" in text


def test_every_hook_names_the_base_of_its_configs() -> None:
    assert set(HOOKS) == {
        "acquisition",
        "dataset",
        "preprocessing",
        "decoder",
        "generator",
        "image_encoder",
        "paradigm",
        "stimuli",
    }
    assert HOOKS["decoder"] == (phosphene.DecoderConfig,)
    assert HOOKS["preprocessing"] == (phosphene.StreamStepConfig, phosphene.EpochStepConfig)


def test_every_bundled_plugin_is_in_order() -> None:
    own = [p for p in load_registry().plugins if p.distribution == "phosphene"]
    assert own
    assert {p.name: p.problem for p in own if p.problem} == {}


def test_discovery_imports_nothing_heavy() -> None:
    heavy = ["torch", "diffusers", "psychopy", "pylsl", "mne", "sklearn", "scipy", "matplotlib"]
    program = (
        "import sys; from phosphene.registry import load_registry; load_registry();"
        f"print(*(name for name in {heavy} if name in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []
