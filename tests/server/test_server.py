"""Real processes that are killed: nothing recorded is lost, nobody waits, nobody stays behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq

from phosphene import shell
from phosphene.bus import Bus, Keyring, receive, send
from phosphene.client import Client
from phosphene.connection import Connection, new_keys
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import read_segment
from phosphene.events import Onset
from phosphene.messages import PROTOCOL, Alive, Export, Exported, Message, Quit
from phosphene.roles.once import OneShot
from phosphene.shell import Shell
from phosphene.states import State

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for children in /proc")

SESSION = """
format: 1
protocol: [record]
stimuli: {standin: {classes: 4, images: 12, gallery: 2, size: 32}}
acquisition: {simulated: {channels: 16, sfreq: 250}}
preprocessing: paper
decoder: power-lr
generator: retrieval
paradigm: {interleaved: {runs: 1, blocks: 2, duration: 0.5, pause: 1.0, cue: 0.5}}
screen: {kind: headless, refresh_rate: 60}
clock: real
"""


class Running:
    """A server in the middle of its first block."""

    def __init__(self, root: Path) -> None:
        file = root / "session.yaml"
        file.write_text(SESSION + f"output: {root / 'study'}\ncache: {root / 'cache'}\n")
        self.folder = SessionFolder(root / "study", "01", "01")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "phosphene", "server", str(file),
             "--subject", "01", "--session", "01"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PHOSPHENE_RUNTIME": str(root / "runtime")},
        )  # fmt: skip
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.startswith("serving "), line
        with Client(Path(line.removeprefix("serving ").strip())) as client:
            wait_for(lambda: client.status().state is State.READY)
            client.start()
            wait_for(lambda: client.status().n_markers > 0)
        self.children = {child_role(pid): pid for pid in children_of(self.process.pid)}

    def close(self) -> None:
        assert self.process.stdout
        self.process.kill()
        self.process.communicate()
        for pid in filter(is_alive, self.children.values()):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    server = Running(tmp_path)
    yield server
    server.close()


def wait_for(condition: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def child_role(pid: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return "acquisition" if b"phosphene.shell\0acquisition" in command else "presenter"


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_a_killed_acquisition_recorded_is_filed_and_it_is_not_started_again(
    running: Running,
) -> None:
    os.kill(running.children["acquisition"], signal.SIGKILL)
    printed, _ = running.process.communicate(timeout=60)
    assert running.process.returncode == 1
    assert "acquisition: the process was killed by signal 9" in printed
    assert "acquisition.log" in printed
    assert "Traceback" not in printed
    assert not any(map(is_alive, running.children.values()))
    [segment] = running.folder.segments()
    assert len(read_segment(segment).onsets) > 0
    assert list(running.folder.bids.rglob("*_eeg.vhdr"))


def test_when_the_server_is_killed_the_block_is_finished_and_nobody_stays_behind(
    running: Running,
) -> None:
    running.process.kill()
    running.process.wait()
    wait_for(lambda: not any(map(is_alive, running.children.values())))
    [segment] = running.folder.segments()
    shown = running.folder.onsets_file.read_bytes().splitlines()
    recorded = read_segment(segment)
    assert [msgspec.json.decode(line, type=Onset) for line in shown] == list(recorded.onsets)
    assert len(shown) == 4
    assert recorded.complete


def test_a_task_longer_than_the_patience_of_orphans_makes_nobody_an_orphan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shell, "ORPHANED", 0.5)
    server, family = new_keys(), new_keys()

    def work(order: Export) -> Message:
        time.sleep(1.0)
        return Exported(order.path)

    with Bus(server, Keyring(family.public)) as bus, Bus(family) as own:
        control, endpoint = bus.bind(zmq.ROUTER)
        keys = [key.decode() for key in (server.public, family.public, family.secret)]
        exporter = Shell("exporter", own, Connection(PROTOCOL, 1, endpoint, "", *keys, ""))
        thread = threading.Thread(target=exporter.run, args=(OneShot(Export, work),))
        thread.start()
        done: list[Message] = []
        ordered = 0
        end = time.monotonic() + 20
        while len(done) < 2 and time.monotonic() < end:
            control.poll(50)
            for identity, _, message in receive(control, pytest.fail, routed=True):
                send(control, Alive("server"), identity)
                done += [message] if isinstance(message, Exported) else []
                if ordered == len(done) < 2:
                    ordered += 1
                    send(control, Export(str(ordered)), identity)
            for _ in range(2 if ordered else 0):
                send(control, Alive("server"), identity)
        send(control, Quit(), identity)
        thread.join(10)
        assert not thread.is_alive()
    assert done == [Exported("1"), Exported("2")]
