"""What the import contracts of ``pyproject.toml`` leave open: that their lists are complete."""

import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import grimp
import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("phosphene", "phosphene_plugins", "phosphene_paradigms", "phosphene_stimuli")


@pytest.fixture(scope="module")
def contracts() -> dict[str, Any]:
    configuration = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    return {c["name"]: c for c in configuration["tool"]["importlinter"]["contracts"]}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)


def modules_with_hooks(package: str) -> set[str]:
    points = entry_points(group="phosphene")
    return {point.value for point in points if point.value.startswith(f"{package}.")}


def test_every_bundled_plugin_is_held_independent(contracts: dict[str, Any]) -> None:
    listed = set(contracts["Plugins are independent of each other"]["modules"])
    assert listed == modules_with_hooks("phosphene_plugins")


def test_no_import_cycle_at_all(graph: grimp.ImportGraph) -> None:
    # Raises CycleError, naming the cycle, imports inside functions included.
    order = TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    ).static_order()
    assert set(order) == graph.modules


@pytest.mark.parametrize(
    ("library", "importers"),
    [
        ("psychopy", {"phosphene_paradigms.psychopy_screen"}),
        ("brainflow", {"phosphene_plugins.brainflow"}),
        ("pylsl", {
            "phosphene_paradigms.markers",
            "phosphene_plugins._inlets",
            "phosphene_plugins.lsl",
            "phosphene_plugins.outlet",
        }),
    ],
)  # fmt: skip
def test_a_device_library_is_known_to_these_files_alone(library: str, importers: set[str]) -> None:
    graph = grimp.build_graph(*PACKAGES, include_external_packages=True)
    assert graph.find_modules_that_directly_import(library) == importers
