"""Real servers in processes of their own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SMALL = """
format: 1
protocol: [record]
stimuli: {standin: {classes: 4, images: 12, gallery: 2, size: 32}}
acquisition: {simulated: {channels: 16, sfreq: 250}}
preprocessing: paper
decoder: power-lr
generator: retrieval
paradigm: {interleaved: {runs: 1, blocks: 3, duration: 0.5, pause: 1.0, cue: 0.5}}
screen: {kind: headless, refresh_rate: 60}
clock: real
"""


@pytest.fixture
def session_file(tmp_path: Path) -> Path:
    """A session of three blocks of four trials that lasts ten seconds."""
    file = tmp_path / "session.yaml"
    file.write_text(SMALL + f"output: {tmp_path / 'study'}\ncache: {tmp_path / 'cache'}\n")
    return file


class RunningServer:
    """``phosphene server`` in a process of its own."""

    def __init__(self, session_file: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "phosphene", "server", str(session_file),
             "--subject", "01", "--session", "01", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.startswith("serving "), line + self.process.stdout.read()
        self.connection_file = Path(line.removeprefix("serving ").strip())

    def wait(self) -> tuple[int, str]:
        """Return the exit status and what was printed."""
        output, _ = self.process.communicate(timeout=60)
        return self.process.returncode, output

    def close(self) -> None:
        """Make sure that it is gone."""
        if self.process.poll() is None:
            self.process.terminate()
            self.wait()
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def server(session_file: Path) -> Iterator[RunningServer]:
    """A server that is starting up."""
    running = RunningServer(session_file)
    yield running
    running.close()
