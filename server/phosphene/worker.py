"""The generator on a machine of its own: waits for a server, and makes the pictures it asks for."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from traceback import print_exc

import zmq

from phosphene.bus import Bus, receive, send
from phosphene.choice import Chosen, choose
from phosphene.clock import RealClock
from phosphene.connection import KeyPair
from phosphene.conversion import under
from phosphene.errors import PhospheneError
from phosphene.interfaces import Context, GeneratorConfig
from phosphene.messages import (
    Alive,
    DropPicture,
    Failed,
    Hello,
    MakePicture,
    Message,
    PictureFailed,
    PictureMade,
    Prepare,
    Quit,
    Ready,
    Reply,
    Serve,
)
from phosphene.registry import Registry
from phosphene.roles.generate import Generation
from phosphene.stimulus import StimulusSet

ROLE = "worker"
HEARTBEAT = 0.5
SILENCE = 5.0
"""Seconds without a word after which the connection is made anew. The door gives up after 2; who
is not given up by a server that is busy for a moment should not leave it."""
PUZZLED = 10.0
"""Seconds of silence after which the operator is told what to check."""
WAIT = 10
"""Milliseconds to wait for a message: a picture that is done waits no longer than that."""
IDLE = 0.1
PATIENCE = 5.0
"""Seconds that a picture may take to its end when the worker is told to end."""
FAREWELL = 500
"""Milliseconds that the last message gets to leave."""


@dataclass(frozen=True)
class Address:
    """Where the server waits, and what each side proves itself by."""

    endpoint: str
    server_key: bytes
    """The server's public key, Z85."""
    own: KeyPair


class Worker:
    """Serves one server after the other; ``say`` is told in a few words what happens.

    ``generator`` is served instead of the server's choice, whose paths may not exist here.
    """

    def __init__(
        self,
        address: Address,
        registry: Registry,
        cache: Path,
        say: Callable[[str], None],
        generator: Chosen[GeneratorConfig] | None = None,
    ) -> None:
        self._address = address
        self._say = say
        self._studio = _Studio(registry, cache, generator)
        self._socket: zmq.Socket[bytes] | None = None
        self._engaged = False
        """Whether a server has given it work."""
        self._unready = 0
        """Works that were given and are not warmed up."""
        self._heard = self._alone_since = time.monotonic()
        self._next_heartbeat = 0.0
        self._told = ""
        self._ended = False

    def quit(self, *_signal: object) -> None:
        """Leave ``run`` soon."""
        self._ended = True

    def run(self) -> None:
        """Serve until ``quit``; ``PhospheneError`` if the generator cannot be built here."""
        self._studio.start()
        try:
            with Bus(self._address.own) as bus:
                self._tell(f"waiting for {self._address.endpoint}")
                while not self._ended:
                    self._turn(self._connected(bus))
                self._leave("it was ended by hand")
        finally:
            self._studio.close()

    def _turn(self, socket: "zmq.Socket[bytes]") -> None:
        socket.poll(WAIT)
        for _, _, message in receive(socket, self._complain):
            self._heard = time.monotonic()
            self._take(message)
        for message in self._studio.results():
            self._report(socket, message)
        self._beat(socket)
        self._mind_silence()

    # The connection.

    def _connected(self, bus: Bus) -> "zmq.Socket[bytes]":
        """Return the socket, opened anew if it was given up: a refused one never tries again."""
        if self._socket is None:
            try:
                self._socket = bus.connect(
                    zmq.DEALER, self._address.endpoint, self._address.server_key
                )
            except zmq.ZMQError as error:
                raise PhospheneError(
                    f"cannot connect to {self._address.endpoint}: {error.strerror}; "
                    "expected tcp://ADDRESS:PORT"
                ) from None
            self._heard = time.monotonic()
        return self._socket

    def _hang_up(self, linger: int = 0) -> None:
        if self._socket is not None:
            self._socket.close(linger)
            self._socket = None

    def _leave(self, why: str) -> None:
        """Say goodbye, so that the session need not find out."""
        if self._socket is not None and self._engaged:
            send(self._socket, Failed(ROLE, why))
        self._hang_up(FAREWELL)

    def _beat(self, socket: "zmq.Socket[bytes]") -> None:
        now = time.monotonic()
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT
            send(socket, Alive(ROLE) if self._engaged else Hello(ROLE))

    def _mind_silence(self) -> None:
        now = time.monotonic()
        if now - self._heard > SILENCE:
            if self._engaged:
                self._wait("the connection is lost")
            self._hang_up()
        if not self._engaged and now - self._alone_since > PUZZLED:
            self._tell(
                f"no answer from {self._address.endpoint}: does a session run there? is this "
                "machine's key authorised there (phosphene keys list)? is --server-key that "
                "server's? are address and firewall right?"
            )

    def _wait(self, why: str) -> None:
        self._engaged = False
        self._alone_since = time.monotonic()
        self._tell(f"{why}; waiting for {self._address.endpoint}")

    # Messages.

    def _take(self, message: Message) -> None:
        match message:
            case Serve():
                self._engaged = True
                self._unready += 1
                self._tell(f"connected to {self._address.endpoint}: warming up")
                self._studio.put(message)
            case MakePicture() | DropPicture():
                self._studio.put(message)
            case Quit():
                self._wait("the session is over")
            case Reply(text=text):
                self._alone_since = time.monotonic()
                self._tell(f"waiting: {text}")
            case Alive():
                pass
            case _:
                self._complain(f"{type(message).__name__} is nothing that a server may send")

    def _report(self, socket: "zmq.Socket[bytes]", message: Message) -> None:
        """Send what came out of the studio, and say so."""
        if isinstance(message, Ready | Failed):
            self._unready -= 1
            if self._unready:
                return  # A newer work waits.
        match message:
            case Ready():
                self._tell("ready")
            case PictureMade(id=picture, started=started, generated=generated):
                self._say(f"served {picture} ({generated - started:.1f} s)")
            case PictureFailed(id=picture, text=text):
                self._say(f"failed {picture}: {text}")
            case Failed(text=text):
                self._leave(text)
                raise PhospheneError(text)
        send(socket, message)

    def _tell(self, text: str) -> None:
        """Say something once, however often it is found out."""
        if text != self._told:
            self._told = text
            self._say(text)

    def _complain(self, problem: str) -> None:
        sys.stderr.write(f"dropped: {problem}\n")


class _Studio(Thread):
    """Builds the generator and makes pictures, while the worker keeps up the connection."""

    def __init__(
        self, registry: Registry, cache: Path, choice: Chosen[GeneratorConfig] | None
    ) -> None:
        super().__init__(name="studio", daemon=True)
        self._registry = registry
        self._cache = cache
        self._choice = choice
        self._orders: SimpleQueue[Message] = SimpleQueue()
        self._results: SimpleQueue[Message] = SimpleQueue()
        self._work: Serve | None = None
        self._generation: Generation | None = None

    def put(self, message: Message) -> None:
        """Take an order."""
        self._orders.put(message)

    def results(self) -> Iterator[Message]:
        """Yield what is done, without waiting."""
        while not self._results.empty():
            yield self._results.get()

    def close(self) -> None:
        """End after the picture that is being made; it is given up if it takes long."""
        self._orders.put(Quit())
        self.join(PATIENCE)

    def run(self) -> None:
        """Work until ``close``."""
        clock = RealClock()
        busy = False
        while True:
            for order in self._incoming(wait=not busy):
                if isinstance(order, Quit):
                    return
                self._take(order)
            done = self._generation.poll(clock.now()) if self._generation else ()
            busy = bool(done)
            for _, message in done:
                self._results.put(message)

    def _incoming(self, *, wait: bool) -> Iterator[Message]:
        """Yield every order that is there; the generation decides which comes first."""
        try:
            yield self._orders.get(timeout=IDLE) if wait else self._orders.get_nowait()
            while True:
                yield self._orders.get_nowait()
        except Empty:
            return

    def _take(self, order: Message) -> None:
        if isinstance(order, Serve):
            self._results.put(self._warm_up(order))
        elif self._generation:
            for _, message in self._generation.handle(order):
                self._results.put(message)

    def _warm_up(self, work: Serve) -> Message:
        """Build the generator, unless it is the one that is there."""
        if work != self._work:
            self._work = self._generation = None  # Two may not fit into a GPU.
            try:
                self._generation = self._build(work)
            except PhospheneError as error:
                return Failed(ROLE, str(error))
            except Exception as error:  # A plugin raises anything; the operator is told in words.
                print_exc(file=sys.stderr)
                return Failed(ROLE, f"{type(error).__name__}: {error}")
            self._work = work
        return Ready(ROLE)

    def _build(self, work: Serve) -> Generation:
        with under("worker", "generator"):
            choice = self._choice or choose(self._registry, "generator", work.generator)
        classes = StimulusSet(Path(), work.classes, ())
        context = Context(classes, work.seed, self._cache)
        generation = Generation(choice.config, context, pictures=None)
        generation.handle(Prepare())
        return generation
