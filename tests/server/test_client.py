"""The client's answers belong to its questions, also when the server is slow."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from phosphene.bus import Bus, Keyring, receive, send
from phosphene.client import Client
from phosphene.connection import Connection, new_keys, write_connection
from phosphene.errors import PhospheneError
from phosphene.messages import PROTOCOL, Alive, GetStatus, Message, Reply, Status
from phosphene.states import State

STATUS = Status(State.READY, "01", "01")


class SlowServer(threading.Thread):
    """Answers nothing until it is told to, then everything."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        server, client = new_keys(), new_keys()
        self._bus = Bus(server, Keyring(client.public))
        self._control, control = self._bus.bind(zmq.ROUTER)
        self._facts, facts = self._bus.bind(zmq.PUB)
        keys = [key.decode() for key in (server.public, client.public, client.secret)]
        self.file = folder / "connection.json"
        write_connection(
            Connection(PROTOCOL, os.getpid(), control, facts, *keys, "/data"), self.file
        )
        self.awake = threading.Event()
        self.over = threading.Event()

    def run(self) -> None:
        self.awake.wait()
        while not self.over.is_set():
            self._control.poll(20)
            for identity, _, message in receive(self._control, print, routed=True):
                answer: Message = STATUS if message == GetStatus() else Reply(ok=True)
                send(self._control, answer, identity)
        self._bus.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SlowServer]:
    running = SlowServer(tmp_path)
    running.start()
    yield running
    running.awake.set()
    running.over.set()
    running.join()


def test_an_answer_that_comes_too_late_is_not_taken_for_that_of_the_next_question(
    server: SlowServer,
) -> None:
    with Client(server.file, timeout=0.5) as client:
        with pytest.raises(PhospheneError, match=r"did not answer in 0\.5 s"):
            client.start()
        server.awake.set()
        time.sleep(0.2)
        client._timeout = 5.0
        assert client.status() == STATUS


def test_a_peer_that_never_reads_does_not_stop_the_sender() -> None:
    keys = new_keys()
    with Bus(keys) as bus:
        dealer = bus.connect(zmq.DEALER, "tcp://127.0.0.1:9", keys.public)
        dealer.linger = 0
        for _ in range(10_100):
            send(dealer, Alive("acquisition"))
        dealer.close(linger=0)
