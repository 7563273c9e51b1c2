"""What the documents say about plugins is what the code says."""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

import phosphene
from phosphene import (
    Context,
    DecoderConfig,
    Epochs,
    Onset,
    SignalSpec,
    StimulusSet,
    TrainingSet,
    hookspecs,
    interfaces,
)
from phosphene.choice import choose
from phosphene.registry import HOOKS, Registry
from phosphene.testing import examine

REPOSITORY = Path(__file__).parents[2]
HOOKS_PAGE = (REPOSITORY / "docs" / "hooks.md").read_text()
HOWTO = (REPOSITORY / "docs" / "howto-decoder-plugin.md").read_text()
NEAREST_MEAN = REPOSITORY / "tests" / "third_party" / "phosphene-nearest-mean"


def signature(function: ast.FunctionDef) -> str:
    assert function.returns
    return f"{function.name}({ast.unparse(function.args)}) -> {ast.unparse(function.returns)}"


def functions(module: ast.Module) -> dict[str, str]:
    return {f.name: signature(f) for f in module.body if isinstance(f, ast.FunctionDef)}


def methods() -> Iterator[tuple[str, str]]:
    """Yield class and signature of everything that a plugin has to implement."""
    for cls in ast.parse(inspect.getsource(interfaces)).body:
        if isinstance(cls, ast.ClassDef) and abstract(cls):
            for item in cls.body:
                if isinstance(item, ast.FunctionDef):
                    yield cls.name, signature(item)


def abstract(cls: ast.ClassDef) -> bool:
    return any(ast.unparse(base) in {"Protocol", "PluginConfig"} for base in cls.bases)


def text(page: str) -> str:
    return " ".join(page.split())


def code(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)


def test_every_hook_is_a_heading_with_its_exact_signature() -> None:
    specified = functions(ast.parse(inspect.getsource(hookspecs)))
    headings = re.findall(r"^## `(.*)`$", HOOKS_PAGE, flags=re.MULTILINE)
    assert sorted(headings) == sorted(specified[hook] for hook in HOOKS)


def test_every_method_of_a_plugin_is_documented_with_its_exact_signature() -> None:
    found = list(methods())
    assert len(found) > 15
    page = text(HOOKS_PAGE)
    assert [(cls, method) for cls, method in found if f"`{method}`" not in page] == []
    assert {cls for cls, _ in found if f"`{cls}`" not in page} == set()


def test_the_howto_shows_the_plugin_that_is_installed_and_tested() -> None:
    files = [NEAREST_MEAN / name for name in ("phosphene_nearest_mean.py", "test_nearest_mean.py")]
    assert code(HOWTO, "python") == [file.read_text() for file in files]
    assert code(HOWTO, "toml") == [(NEAREST_MEAN / "pyproject.toml").read_text()]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return a registry of the howto's plugin alone."""
    monkeypatch.syspath_prepend(str(NEAREST_MEAN))
    project = tomllib.loads((NEAREST_MEAN / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["phosphene"]
    registry = Registry([EntryPoint(name, value, "phosphene") for name, value in points.items()])
    assert [plugin.problem for plugin in registry.plugins] == [""]
    return registry


@pytest.fixture
def nearest_mean(registry: Registry) -> DecoderConfig:
    """Return the config that the howto's session file chooses."""
    config = choose(registry, "decoder", {"nearest-mean": {"scale": 0.1}}).config
    assert isinstance(config, DecoderConfig)
    return config


def training_set(n_epochs: int) -> TrainingSet:
    """Return epochs of two classes that differ in the power of one channel."""
    rng = np.random.default_rng(1)
    data = rng.normal(0, 1e-5, (n_epochs, 3, 100)).astype(np.float32)
    data[::2, 1] *= 3
    trials = tuple(
        Onset(
            seq=i,
            event="stimulus",
            time=i,
            planned=i,
            duration=0.5,
            phase="record",
            run=1,
            block=1,
            attempt=1,
            trial=i + 1,
            wnid="n01" if i % 2 else "n02",
            image="",
            sha256="",
        )
        for i in range(n_epochs)
    )
    spec = SignalSpec(("A", "B", "C"), ("eeg",) * 3, 200.0)
    return TrainingSet(Epochs(data, spec, 0.0), trials, StimulusSet(Path(), {}, ()))


def test_the_plugin_of_the_howto_decodes_and_survives_being_saved(
    nearest_mean: DecoderConfig, tmp_path: Path
) -> None:
    trained, held_out = training_set(40), training_set(60).select(np.arange(40, 60))
    context = Context(trained.stimuli)
    decoder = nearest_mean.fit(trained, context)
    assert decoder.classes == ("n01", "n02")
    probabilities = decoder.decode(held_out.epochs).probabilities
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    decided = [decoder.classes[i] for i in probabilities.argmax(axis=1)]
    assert decided == list(held_out.wnids)
    decoder.save(tmp_path)
    again = nearest_mean.load(tmp_path, context).decode(held_out.epochs).probabilities
    np.testing.assert_array_equal(again, probabilities)


def test_the_plugin_of_the_howto_conforms(registry: Registry) -> None:
    report = examine("decoder", "nearest-mean", {"scale": 0.5}, registry)
    assert report.failed == ()
    assert {result.outcome for result in report.results} == {"passed", "not applicable"}


def test_the_howto_needs_no_more_than_public_names() -> None:
    source = (NEAREST_MEAN / "phosphene_nearest_mean.py").read_text()
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    [names] = [node.names for node in imports if str(node.module).startswith("phosphene")]
    assert {name.name for name in names} <= set(phosphene.__all__)
