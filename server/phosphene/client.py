"""The Python API: speak to a running server from a script, a test or the command line."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import zmq

from phosphene.bus import Bus, receive, send
from phosphene.connection import KeyPair, check_alive, find_connection, read_connection
from phosphene.errors import PhospheneError
from phosphene.messages import (
    Command,
    Exclude,
    GetPool,
    GetStatus,
    Message,
    Note,
    Pause,
    Pool,
    Redo,
    RejectPicture,
    Reply,
    Resume,
    Start,
    Status,
    Stop,
)


class Client:
    """A connection to one server; use it in a ``with`` block.

    Every method raises ``PhospheneError`` if the server refuses or does not answer.
    """

    def __init__(self, connection_file: Path | None = None, timeout: float = 5.0) -> None:
        self._connection = read_connection(connection_file or find_connection())
        check_alive(self._connection)
        self._timeout = timeout
        keys = (self._connection.public_key, self._connection.secret_key)
        self._bus = Bus(KeyPair(*(key.encode() for key in keys)))
        self._control = self._connect(zmq.DEALER, self._connection.control)
        self._facts = self._connect(zmq.SUB, self._connection.facts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._bus.close()

    def status(self) -> Status:
        """Return where the session is."""
        answer = self._ask(GetStatus())
        if not isinstance(answer, Status):
            raise PhospheneError(f"the server answered with {type(answer).__name__}")
        return answer

    def start(self) -> None:
        """Begin the session; it must be ready."""
        self._do(Start())

    def pause(self) -> None:
        """Stop at the next trial boundary; the interrupted block will be repeated."""
        self._do(Pause())

    def resume(self) -> None:
        """Go on after a pause."""
        self._do(Resume())

    def stop(self, reason: str = "stopped by the operator") -> None:
        """End the session; everything recorded so far is filed."""
        self._do(Stop(reason))

    def note(self, text: str) -> None:
        """Write into the data, at this moment, what you saw."""
        self._do(Note(text))

    def redo(self, run: int, reason: str) -> None:
        """Let a run of the phase that is being recorded not count, and record it again."""
        self._do(Redo(run, reason))

    def exclude(self, run: int, reason: str) -> None:
        """Let a run of the phase that is being recorded not count, and show no more of it."""
        self._do(Exclude(run, reason))

    def pool(self) -> Pool:
        """Return the pictures that wait to be shown."""
        answer = self._ask(GetPool())
        if isinstance(answer, Reply):
            raise PhospheneError(answer.text)
        if not isinstance(answer, Pool):
            raise PhospheneError(f"the server answered with {type(answer).__name__}")
        return answer

    def reject(self, picture: str) -> None:
        """Take a picture out of the pool; it is never shown."""
        self._do(RejectPicture(picture))

    def facts(self, timeout: float = 1.0) -> Iterator[Message]:
        """Yield what the server publishes; end when nothing has come for ``timeout`` seconds."""
        while self._facts.poll(int(timeout * 1000)):
            yield from (message for _, _, message in receive(self._facts, _refuse))

    def _do(self, command: Command) -> None:
        answer = self._ask(command)
        if isinstance(answer, Reply) and not answer.ok:
            raise PhospheneError(answer.text)

    def _ask(self, command: Command) -> Message:
        send(self._control, command)
        end = time.monotonic() + self._timeout
        while time.monotonic() < end:
            self._control.poll(100)
            for _, _, answer in receive(self._control, _refuse):
                return answer
        # An answer that comes late must not be taken for that of the next question.
        self._control.close(linger=0)
        self._control = self._connect(zmq.DEALER, self._connection.control)
        check_alive(self._connection)
        pid = self._connection.pid
        raise PhospheneError(f"the server (process {pid}) did not answer in {self._timeout:g} s")

    def _connect(self, kind: zmq.SocketType, endpoint: str) -> "zmq.Socket[bytes]":
        return self._bus.connect(kind, endpoint, self._connection.server_key.encode())


def _refuse(problem: str) -> None:
    raise PhospheneError(f"the server sent something else: {problem}")
