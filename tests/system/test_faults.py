"""The quick part of the fault suite; ``make faults`` is the whole of it."""

import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parents[1] / "faults" / "suite.py"


@pytest.mark.timeout(300)
def test_sessions_survive_kills_and_an_amplifier_that_is_gone_for_a_while() -> None:
    done = subprocess.run(
        [sys.executable, str(SUITE), "--quick"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == 3
