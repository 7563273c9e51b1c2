"""The proof of the audits: its arithmetic, and a few of its cells as they are."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def table() -> Any:
    spec = importlib.util.spec_from_file_location("proof_table", BENCHMARKS / "proof_table.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["proof_table"] = module  # Dataclasses look their module up.
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("expected", "found", "failed"),
    [
        ("silent", {"silent": 57, "fires": 3}, False),
        ("silent", {"silent": 45, "fires": 15}, True),
        ("silent", {"silent": 59, "not applicable": 1}, True),
        ("quiet", {"silent": 40, "not applicable": 20}, False),
        ("quiet", {"silent": 40, "fires": 20}, True),
        ("fires", {"fires": 45, "silent": 15}, False),
        ("fires", {"fires": 30, "silent": 30}, True),
        ("fires", {"fires": 50, "not applicable": 10}, False),
        ("fires", {"not applicable": 60}, True),
        ("not applicable", {"not applicable": 60}, False),
        ("not applicable", {"not applicable": 59, "silent": 1}, True),
        ("weak", {"silent": 60}, False),
    ],
)
def test_a_cell_fails_if_chance_cannot_explain_it(
    table: Any, expected: str, found: dict[str, int], failed: bool
) -> None:
    cell = table.Cell("null", "interleaved", "A6", expected, found)
    assert cell.failed == failed
    assert ("!" in str(cell)) == failed
    assert ("expected" in table.summary([cell]).split("\n", 1)[-1]) or not failed


def test_a_few_cells_are_as_they_were_expected() -> None:
    command = [sys.executable, str(BENCHMARKS / "proof.py"), "--quick", "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "52 of 52 cells as expected" in done.stdout
