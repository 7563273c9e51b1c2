"""A worker in a process of its own: killed, stopped, cut off, it comes back by itself."""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from phosphene import keys
from phosphene.choice import Chosen
from phosphene.closed_loop import WorkerSettings
from phosphene.door import Door
from phosphene.interfaces import GeneratorConfig
from phosphene.messages import (
    Failed,
    MakePicture,
    Message,
    PictureFailed,
    PictureMade,
    Ready,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="stops processes by signals")

CLASSES = {"n01": "cat", "n02": "dog"}
READY = Ready("worker")

PLUGIN = """
import time
import numpy as np
from phosphene import GeneratorConfig, Picture, hookimpl

class Paint(GeneratorConfig, frozen=True):
    seconds: float = 0.0
    def build(self, context):
        return Painter(self.seconds, context)

class Painter:
    def __init__(self, seconds, context):
        self.seconds, self.context = seconds, context
    def generate(self, classes, decoding, *, seed):
        time.sleep(self.seconds)
        wnid = classes[int(np.argmax(decoding.probabilities[0]))]
        words = {"name": self.context.stimuli.classes[wnid], "session_seed": self.context.seed}
        return Picture(np.full((8, 8, 3), seed % 256, np.uint8), wnid, words)

@hookimpl
def generator():
    return {"paint": Paint}
"""


class Paint(GeneratorConfig, frozen=True):
    """The plugin's config, as far as the server needs it."""

    seconds: float = 0.0


def order(number: int, *, urgent: bool = False) -> MakePicture:
    return MakePicture(f"picture-{number:04d}", ("n01", "n02"), (0.0, 1.0), number, urgent)


class House:
    """The server's side: a door, and the loop that a server turns."""

    def __init__(self, generator: Chosen[GeneratorConfig], bind: str) -> None:
        self.door = Door(WorkerSettings(bind, generator), CLASSES, seed=3)
        self.facts: list[Message] = []

    @property
    def port(self) -> int:
        return int(self.door.endpoint.rpartition(":")[2])

    def until(self, condition: Callable[[], object], timeout: float = 30.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"it did not come to pass; facts: {self.facts}"
            self.door.socket.poll(10)
            self.facts += self.door.receive()

    def next_fact(self) -> Message:
        self.until(lambda: self.facts)
        return self.facts.pop(0)

    def picture(self, number: int) -> PictureMade:
        self.door.send(order(number))
        made = self.next_fact()
        assert isinstance(made, PictureMade), made
        return made


class Box:
    """The other machine: ``phosphene worker generator`` with keys of its own."""

    def __init__(self, root: Path, port: int, host: str = "127.0.0.1", *prefix: str) -> None:
        site = root / "site"
        self._log = root / "worker.log"
        server_key = keys.as_text(keys.server_pair().public)
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "phosphene", "worker", "generator",
                 "--connect", f"tcp://{host}:{port}", "--server-key", server_key],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "PYTHONPATH": str(site),
                    "PYTHONUNBUFFERED": "1",
                    "PHOSPHENE_KEYS": str(root / "box-keys"),
                },
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self._log.read_text()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the plugin as an installed distribution, and the keys of both machines."""
    info = tmp_path / "site" / "paint-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "paint_plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paint\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[phosphene]\npaint = paint_plugin\n")
    monkeypatch.setenv("PHOSPHENE_KEYS", str(tmp_path / "box-keys"))
    public = keys.make_pair("worker").public
    monkeypatch.setenv("PHOSPHENE_KEYS", str(tmp_path / "house-keys"))
    keys.authorise(public, "gpu")
    return tmp_path


@contextmanager
def house(seconds: float = 0.0, bind: str = "tcp://127.0.0.1:*") -> Iterator[House]:
    open_house = House(Chosen("paint", Paint(seconds)), bind)
    try:
        yield open_house
    finally:
        open_house.door.close()


@contextmanager
def box(root: Path, port: int, host: str = "127.0.0.1", *prefix: str) -> Iterator[Box]:
    running = Box(root, port, host, *prefix)
    try:
        yield running
    finally:
        running.close()


class Cable(Thread):
    """Carries TCP between the machines, until it is cut or held."""

    def __init__(self, to: int) -> None:
        super().__init__(name="cable")
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._peers: dict[socket.socket, socket.socket] = {}
        self.state = "whole"

    def run(self) -> None:
        while self.state != "gone":
            if self.state == "cut":
                self._hang_up()
            if self.state == "whole":
                self._carry()
            else:
                time.sleep(0.01)
        self._hang_up()
        self._listener.close()

    def _carry(self) -> None:
        readable, _, _ = select.select([self._listener, *self._peers], [], [], 0.01)
        for end in readable:
            if end is self._listener:
                self._accept()
            elif end in self._peers:
                self._pass_on(end)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = socket.create_connection(("127.0.0.1", self._to))
        self._peers |= {near: far, far: near}

    def _pass_on(self, end: socket.socket) -> None:
        other = self._peers[end]
        try:
            data = end.recv(65536)
            other.sendall(data)
        except OSError:
            data = b""
        if not data:
            for each in (end, other):
                del self._peers[each]
                each.close()

    def _hang_up(self) -> None:
        for each in self._peers:
            each.close()
        self._peers.clear()


@contextmanager
def cable(to: int) -> Iterator[Cable]:
    line = Cable(to)
    line.start()
    try:
        yield line
    finally:
        line.state = "gone"
        line.join()


def test_a_worker_serves_pictures_and_says_what_it_does(root: Path) -> None:
    with house() as server, box(root, server.port) as worker:
        assert server.next_fact() == READY
        made = server.picture(7)
        assert made.pixels.tolist() == [[[7] * 3] * 8] * 8
        assert (made.id, made.wnid) == ("picture-0007", "n02")
        assert made.provenance == {"seed": 7, "name": "dog", "session_seed": 3, "worker": "gpu"}
        server.until(lambda: "served picture-0007" in worker.said)
        lines = [line.split(maxsplit=1)[1] for line in worker.said.splitlines()]
        place = f"tcp://127.0.0.1:{server.port}"
        assert lines[:3] == [f"waiting for {place}", f"connected to {place}: warming up", "ready"]


def test_of_pictures_that_are_waited_for_only_the_newest_is_made(root: Path) -> None:
    with house(seconds=0.5) as server, box(root, server.port):
        assert server.next_fact() == READY
        for number in (1, 2, 3):
            server.door.send(order(number, urgent=True))
            time.sleep(0.1)
        server.until(lambda: len(server.facts) == 3)
        assert [type(fact) for fact in server.facts] == [PictureMade, PictureFailed, PictureMade]


def test_the_orders_of_a_killed_worker_are_handed_back_and_a_new_one_is_taken(root: Path) -> None:
    with house(seconds=60) as server, box(root, server.port) as worker:
        assert server.next_fact() == READY
        server.door.send(order(1))
        server.until(lambda: "ready" in worker.said)
        worker.process.kill()
        assert server.next_fact() == Failed(
            "worker", "worker 'gpu' is lost: it has closed the connection"
        )
        assert server.door.unanswered() == [order(1)]
        with box(root, server.port):
            assert server.next_fact() == READY


def test_a_stopped_worker_is_lost_and_serves_again_when_it_goes_on(root: Path) -> None:
    with house(seconds=0.5) as server, box(root, server.port) as worker:
        assert server.next_fact() == READY
        worker.process.send_signal(signal.SIGSTOP)
        server.door.send(order(1))
        assert server.next_fact() == Failed(
            "worker", "worker 'gpu' is lost: nothing was heard of it for 2 s"
        )
        assert server.door.unanswered() == [order(1)]
        worker.process.send_signal(signal.SIGCONT)
        assert server.next_fact() == READY
        # It still makes the old one, which is of no use to anybody any more.
        assert server.picture(2).id == "picture-0002"


@pytest.mark.parametrize("how", ["cut", "held"])
def test_a_broken_connection_is_noticed_and_mended_without_a_restart(root: Path, how: str) -> None:
    with house() as server, cable(server.port) as line, box(root, line.port):
        assert server.next_fact() == READY
        assert server.picture(1).id == "picture-0001"
        line.state = how
        server.door.send(order(2))
        lost = server.next_fact()
        assert isinstance(lost, Failed)
        assert "is lost" in lost.text
        assert server.door.unanswered() == [order(2)]
        assert not server.door.serving
        line.state = "whole"
        assert server.next_fact() == READY
        assert server.picture(3).id == "picture-0003"


def test_a_worker_serves_the_next_session_when_one_is_over(root: Path) -> None:
    first = House(Chosen("paint", Paint()), "tcp://127.0.0.1:*")
    with box(root, first.port) as worker:
        assert first.next_fact() == READY
        first.door.close()
        with house(bind=first.door.endpoint) as second:
            assert second.next_fact() == READY
            assert second.picture(1).id == "picture-0001"
            assert "the session is over" in worker.said


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_worker_that_is_ended_says_goodbye(root: Path, name: str) -> None:
    with house() as server, box(root, server.port) as worker:
        assert server.next_fact() == READY
        worker.process.send_signal(getattr(signal, name))
        assert server.next_fact() == Failed("worker", "worker 'gpu' is lost: it was ended by hand")
        assert worker.process.wait(10) == 0
        assert worker.said.endswith("ended\n")


def test_a_generator_that_needs_images_is_refused_in_words(root: Path) -> None:
    server = House(Chosen("retrieval", GeneratorConfig()), "tcp://127.0.0.1:*")
    with box(root, server.port) as worker:
        problem = "retrieval: no gallery image for cat, dog"
        assert server.next_fact() == Failed("worker", f"worker 'gpu' is lost: {problem}")
        assert worker.process.wait(10) == 1
        assert worker.said.endswith(f"{problem}\n")
        assert "Traceback" not in worker.said
    server.door.close()


def test_a_worker_whose_key_is_refused_says_what_to_check_and_waits_to_be_authorised(
    root: Path,
) -> None:
    [public] = keys.authorised()
    keys.revoke("gpu")
    with house() as server, box(root, server.port) as worker:
        server.until(lambda: "is this machine's key authorised" in worker.said)
        assert server.facts == []
        keys.authorise(public, "gpu")
        assert server.next_fact() == READY
        keys.revoke("gpu")
        assert server.next_fact() == Failed(
            "worker", "worker 'gpu' is lost: its key is no longer authorised"
        )


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def other_network() -> Iterator[tuple[str, str, str]]:
    """A network namespace beside ours; its name, our end of the cable, and our address."""
    name, ours, theirs = f"phos{os.getpid()}", f"vpa{os.getpid()}", f"vpb{os.getpid()}"
    if not shutil.which("ip") or os.geteuid():
        pytest.skip("network namespaces need root and iproute2")
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"there are no network namespaces here: {error.stderr.decode().strip()}")
    try:
        ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        ip("addr", "add", "198.18.77.1/30", "dev", ours)
        ip("link", "set", ours, "up")
        ip("-n", name, "addr", "add", "198.18.77.2/30", "dev", theirs)
        ip("-n", name, "link", "set", theirs, "up")
        yield name, ours, "198.18.77.1"
    finally:
        ip("netns", "del", name)


def test_a_worker_in_another_network_survives_a_pulled_cable(
    root: Path, other_network: tuple[str, str, str]
) -> None:
    name, ours, address = other_network
    inside = ("ip", "netns", "exec", name)
    with house(bind=f"tcp://{address}:*") as server, box(root, server.port, address, *inside):
        assert server.next_fact() == READY
        assert server.picture(1).id == "picture-0001"
        ip("link", "set", ours, "down")
        server.door.send(order(2))
        assert server.next_fact() == Failed(
            "worker", "worker 'gpu' is lost: nothing was heard of it for 2 s"
        )
        assert server.door.unanswered() == [order(2)]
        ip("link", "set", ours, "up")
        assert server.next_fact() == READY
        assert server.picture(3).id == "picture-0003"
