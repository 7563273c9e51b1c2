"""The server: takes commands, publishes facts, starts and watches the session's processes."""

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import zmq

from phosphene.bus import Bus, Keyring, receive, send
from phosphene.clock import RealClock
from phosphene.connection import (
    Connection,
    KeyPair,
    new_keys,
    runtime_folder,
    write_connection,
)
from phosphene.desk import BACKGROUND, GENERATOR, WORKERS
from phosphene.door import Door
from phosphene.messages import (
    PROTOCOL,
    Alive,
    Command,
    DropPicture,
    Failed,
    Hello,
    Interrupt,
    MakePicture,
    Message,
    Peers,
    PictureMade,
    Quit,
    Ready,
    Reply,
    Restart,
    Stop,
    is_decoder,
    shadow_number,
)
from phosphene.processes import STOP_TIME, Child
from phosphene.roles import Outgoing
from phosphene.session import Session

TURN = 20
"""Milliseconds between two looks at the clock when no message comes."""
STOP_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""Ctrl-C, a polite kill, and the end of the terminal."""
RECORDERS = ("acquisition", "presenter")
"""Roles that end their block even if the server is killed."""
HEARTBEAT = 0.5
SILENCE = 30.0
"""Seconds without a word after which a child counts as hung."""
LAST_WORDS_OF_A_CHILD = 0.3
"""Seconds in which what it sent before it ended may still arrive."""
BY_WORKER = (MakePicture, DropPicture)
"""What a generator on another machine is told instead of the session's own."""
LAST_WORDS = 1.0
"""Seconds that watchers get to read the end of a session."""


class Server:
    """Runs one session with real processes on the real clock."""

    def __init__(
        self,
        session: Session,
        folder: Path,
        *,
        logs: Path,
        lock: int,
        door: Door | None = None,
    ) -> None:
        self._session = session
        self._door = door
        self._folder = folder
        self._logs = logs
        self._lock = lock
        """Descriptor that who records keeps open: nobody else may go on while they do."""
        self._server_keys, self._client_keys, self._family_keys = (new_keys() for _ in range(3))
        keyring = Keyring(self._client_keys.public, self._family_keys.public)
        self._bus = Bus(self._server_keys, keyring)
        self._control, self._control_at = self._bus.bind(zmq.ROUTER)
        self._facts, self._facts_at = self._bus.bind(zmq.PUB)
        self._children: dict[str, Child] = {}
        self._identities: dict[str, bytes] = {}
        self._waiting: dict[str, list[Message]] = {}
        self._leaving: set[str] = set()
        self._dead: set[str] = set()
        self._spoken: dict[str, str] = {}
        """Why roles end that have said so, and have not ended yet."""
        self._clock = RealClock()
        self._peers: Peers | None = None
        self._stop_asked = False
        self._next_heartbeat = 0.0
        name = f"{folder.parent.name}-{folder.name}-{os.getpid()}.json"
        self._connection_file = runtime_folder() / f"server-{name}"
        self._family_file = runtime_folder() / f"family-{name}"

    def run(self, announce: Callable[[Path], None]) -> None:
        """Return when the session is over and every child has ended.

        ``announce`` is told the connection file once commands are heard.
        """
        for name in STOP_SIGNALS:
            signal.signal(name, self._ask_stop)
        try:
            write_connection(self._connection(self._client_keys), self._connection_file)
            write_connection(self._connection(self._family_keys), self._family_file)
            announce(self._connection_file)
            while not self._session.over:
                self._wait()
                self._receive()
                self._deliver(self._session.poll(self._clock.now()))
                self._watch_children()
                if self._stop_asked:
                    self._stop_asked = False
                    self._deliver(self._session.command(Stop())[1])
            self._serve_last_questions()
        finally:
            self._shut_down()

    def _ask_stop(self, *_signal: object) -> None:
        self._stop_asked = True

    def _serve_last_questions(self) -> None:
        """Answer for a moment longer, so that nobody who watches misses the end."""
        end = time.monotonic() + LAST_WORDS
        while time.monotonic() < end:
            self._deliver([("watchers", self._session.status)])
            self._control.poll(TURN * 10)
            self._receive()

    def _connection(self, keys: KeyPair) -> Connection:
        return Connection(
            PROTOCOL,
            os.getpid(),
            self._control_at,
            self._facts_at,
            self._server_keys.public.decode(),
            keys.public.decode(),
            keys.secret.decode(),
            str(self._folder),
        )

    # Messages in.

    def _wait(self) -> None:
        poller = zmq.Poller()
        poller.register(self._control, zmq.POLLIN)
        if self._door:
            poller.register(self._door.socket, zmq.POLLIN)
        poller.poll(TURN)

    def _receive(self) -> None:
        if self._door:
            self._receive_from(self._door)
        for identity, key, message in receive(self._control, self._complain, routed=True):
            if key == self._family_keys.public:
                self._from_child(identity, message)
            elif isinstance(message, Command):
                answer, outgoing = self._session.command(message)
                send(self._control, answer, identity)
                self._deliver(outgoing)
            else:
                refusal = Reply(ok=False, text=f"{type(message).__name__} is not a command")
                send(self._control, refusal, identity)

    def _receive_from(self, door: Door) -> None:
        for message in door.receive():
            self._tell(message)
            if isinstance(message, PictureMade):
                self._deliver([(GENERATOR, message)])  # Who files it.
        self._deliver([(GENERATOR, order) for order in door.unanswered()])

    def _from_child(self, identity: bytes, message: Message) -> None:
        for child in self._children.values():
            if self._identities.get(child.role) == identity:
                child.heard = time.monotonic()
        match message:
            case Hello(role=role):
                self._welcome(role, identity)
            case Failed(role=role, text=text):
                self._spoken[role] = text
                if role in BACKGROUND:  # It ends; what comes now is for the next process.
                    self._identities.pop(role, None)
                if role not in WORKERS:  # These are told about once they can be started again.
                    self._tell(message)
            case Alive():
                pass
            case Ready(endpoints=endpoints) if endpoints:
                self._introduce(Peers(endpoints))
                self._tell(message)
            case _:
                self._tell(message)

    def _tell(self, message: Message) -> None:
        """Tell the session a fact, and do what it says to that."""
        self._deliver(self._session.handle(message, self._clock.now()))

    def _welcome(self, role: str, identity: bytes) -> None:
        self._identities[role] = identity
        if self._peers and _is_neighbour(role):
            send(self._control, self._peers, identity)
        for message in self._waiting.pop(role, []):
            send(self._control, message, identity)

    def _introduce(self, peers: Peers) -> None:
        self._peers = peers
        for role in filter(_is_neighbour, self._identities):
            send(self._control, peers, self._identities[role])

    # Messages out.

    def _deliver(self, outgoing: Outgoing) -> None:
        for recipient, message in outgoing:
            if recipient == "watchers":
                send(self._facts, message)
            elif isinstance(message, Interrupt | Restart):
                self._signal(recipient, message)
            elif self._is_served_elsewhere(recipient) and isinstance(message, BY_WORKER):
                assert self._door is not None  # noqa: S101  It is what serves.
                self._door.send(message)
            elif recipient in self._identities:
                send(self._control, message, self._identities[recipient])
                if isinstance(message, Quit):
                    self._leaving.add(recipient)
            elif recipient not in self._dead:
                self._waiting.setdefault(recipient, []).append(message)
                self._start(recipient)

    def _is_served_elsewhere(self, role: str) -> bool:
        return role == GENERATOR and self._door is not None and self._door.serving

    def _signal(self, role: str, order: Interrupt | Restart) -> None:
        if self._door and self._is_served_elsewhere(role):
            self._door.dismiss("it did not answer in time")
            return
        if role not in self._children:
            return
        if isinstance(order, Interrupt):
            self._children[role].interrupt()
        else:
            self._spoken.setdefault(role, "it did not answer in time and was ended")
            self._children[role].kill()

    def _start(self, role: str) -> None:
        """Start the role's process at its first message."""
        if role not in self._children:
            inherited = [self._lock] if role in RECORDERS else []
            log = self._logs / f"{role}.log"
            self._children[role] = Child(role, self._family_file, log, inherited)

    # Children.

    def _watch_children(self) -> None:
        now = time.monotonic()
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT
            for identity in self._identities.values():
                send(self._control, Alive("server"), identity)
        for role, child in list(self._children.items()):
            if child.ended_since(now) > LAST_WORDS_OF_A_CHILD:
                self._bury(role, child)
            elif not _may_be_silent(role) and now - child.heard > SILENCE:
                child.heard = math.inf
                self._lost(role, f"no sign of life for {SILENCE:.0f} s")

    def _bury(self, role: str, child: Child) -> None:
        """Take note of a child's end; only one that was told to quit may end.

        What a dead one would have been told is lost; only what can be done again is started again.
        """
        del self._children[role]
        self._identities.pop(role, None)
        if role in self._leaving:
            self._leaving.discard(role)
            return
        if role not in (*BACKGROUND, *WORKERS):
            self._dead.add(role)
        spoken = self._spoken.pop(role, "")
        if self._waiting.get(role) and role not in self._dead:
            self._start(role)
        if role in WORKERS or not spoken:  # Where the log of one who said why is adds nothing.
            self._lost(role, spoken or child.epitaph)

    def _lost(self, role: str, why: str) -> None:
        self._tell(Failed(role, why))

    def _shut_down(self) -> None:
        for role, child in self._children.items():
            if role in self._identities:
                send(self._control, Quit(), self._identities[role])
            else:  # It is still starting.
                child.terminate()
        for role, child in self._children.items():
            child.stop(patience=0.0 if shadow_number(role) else STOP_TIME)
        self._bus.close()
        if self._door:
            self._door.close()
        self._connection_file.unlink(missing_ok=True)
        self._family_file.unlink(missing_ok=True)

    def _complain(self, problem: str) -> None:
        sys.stderr.write(f"dropped: {problem}\n")


def _is_neighbour(role: str) -> bool:
    """Return whether a role speaks to acquisition directly."""
    return role == "presenter" or is_decoder(role)


def _may_be_silent(role: str) -> bool:
    """Return whether a role is watched by its exit alone, because its work may take long."""
    return role not in ("presenter", "acquisition")
