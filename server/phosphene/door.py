"""The door for a generator on another machine: opens to authorised keys, lets pictures in only."""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import zmq
from msgspec import structs

from phosphene.bus import Bus, Keyring, receive, send
from phosphene.choice import plain
from phosphene.clock import RealClock
from phosphene.closed_loop import WorkerSettings
from phosphene.connection import new_keys
from phosphene.errors import PhospheneError
from phosphene.keys import authorised, server_pair
from phosphene.messages import (
    Alive,
    DropPicture,
    Failed,
    Hello,
    MakePicture,
    Message,
    PictureFailed,
    PictureMade,
    Quit,
    Ready,
    Reply,
    Serve,
)
from phosphene.screen import is_picture

WORKER = "worker"
"""The role of the generator on another machine, in what the session is told."""
HEARTBEAT = 0.5
SILENCE = 2.0
"""Seconds without a word after which a worker counts as lost."""
WARM_UP_SILENCE = 30.0
"""The same while it warms up: loading a library of gigabytes stops everything in its process."""
TURN = 100
"""Messages read in one turn: nobody keeps the server from its other work."""
UNATTENDED = 30.0
"""Seconds after which a door through which nobody has come is told of."""
QUEUE = 16
"""Messages that may wait on either side; each may have 16 MiB."""
WORDS = 500
"""Characters of what a worker says that are passed on."""
MOST_TOLD = 100
"""Dropped messages that the log tells of."""
REFUSAL_TIME = 5000
"""Milliseconds in which a stranger must be refused."""

_FromWorker = Hello | Ready | Alive | PictureMade | PictureFailed | Failed


class _Authorised(Keyring):
    """Reads the key folder each time: a key counts from, and until, the next message."""

    def callback(self, domain: str, key: bytes) -> bool:
        """Answer the authenticator, whose thread no error may end."""
        return bool(self.name_of(key))

    def name_of(self, key: bytes) -> str:
        """Return the name of an authorised key; "" for any other, and if that cannot be known."""
        try:
            return authorised().get(key, "")
        except (PhospheneError, OSError) as error:
            sys.stderr.write(f"no key is accepted: {error}\n")
            return ""


class _Asked(NamedTuple):
    """A request, and when it was sent."""

    order: MakePicture
    sent: float


@dataclass
class _Guest:
    """The worker that has been let in."""

    identity: bytes
    key: bytes
    name: str
    heard: float
    ready: bool = False
    asked: dict[str, _Asked] = field(default_factory=dict)

    @property
    def patience(self) -> float:
        return SILENCE if self.ready else WARM_UP_SILENCE


class Door:
    """Waits for a worker, gives it its work, and tells the session what comes of it.

    Raises ``PhospheneError`` if the address cannot be used, or if a stranger would be let in.
    """

    def __init__(self, worker: WorkerSettings, classes: Mapping[str, str], seed: int) -> None:
        self._work = Serve(plain(worker.generator), dict(classes), seed)
        self._clock = RealClock()
        self._keys = _Authorised()
        self._guest: _Guest | None = None
        self._facts: list[Message] = []
        self._owed: list[MakePicture] = []
        self._next_heartbeat = 0.0
        self._unattended_at = self._clock.now() + UNATTENDED
        self._n_dropped = 0
        own = server_pair()
        self._bus = Bus(own, self._keys)
        try:
            self.socket, self.endpoint = self._listen(worker.bind)
            _check_that_strangers_are_refused(self.socket, self.endpoint, own.public)
        except BaseException:
            self._bus.close()
            raise

    @property
    def serving(self) -> bool:
        """Whether a worker has warmed up and was there at the last ``receive``."""
        return self._guest is not None and self._guest.ready

    def receive(self) -> list[Message]:
        """Return what the session is to know, without waiting; to be called often.

        ``Ready`` when a worker has warmed up, ``Failed`` when it is lost or none comes, both of
        the role ``worker``; ``PictureMade``, its times on this machine's clock; ``PictureFailed``.
        """
        incoming = receive(self.socket, self._drop, routed=True)
        for identity, key, message in islice(incoming, TURN):
            self._take(identity, key, message)
        self._watch()
        facts, self._facts = self._facts, []
        return facts

    def send(self, message: MakePicture | DropPicture) -> None:
        """Pass on an order, while ``serving``."""
        if self._guest is None:
            raise PhospheneError("there is no worker to send to")
        if isinstance(message, MakePicture):
            self._guest.asked[message.id] = _Asked(message, self._clock.now())
        else:
            self._guest.asked.pop(message.id, None)
        self._tell(self._guest, message)

    def unanswered(self) -> list[MakePicture]:
        """Return, once, what workers that were lost have been asked for in vain."""
        owed, self._owed = self._owed, []
        return owed

    def dismiss(self, why: str) -> None:
        """Count the worker as lost; it is taken again when it can still say that it is ready."""
        if self._guest is not None:
            self._lose(self._guest, why)

    def close(self) -> None:
        """Tell the worker that the session is over; it waits for the next one."""
        if self._guest is not None:
            self._tell(self._guest, Quit())
        self._bus.close()

    # Messages in.

    def _take(self, identity: bytes, key: bytes, message: Message) -> None:
        guest = self._guest
        name = self._keys.name_of(key)
        if not name:
            self._drop(f"{type(message).__name__} by a key that is not authorised")
        elif not isinstance(message, _FromWorker):
            self._drop(f"{type(message).__name__} is nothing that a worker may send")
        elif guest and guest.identity == identity:
            self._hear(guest, message)
        elif not isinstance(message, Hello | Alive):
            self._drop(f"{type(message).__name__} by a worker that does not serve")
        elif guest:
            text = f"worker {guest.name!r} serves this session already"
            self._send(identity, Reply(ok=False, text=text))
        else:
            self._guest = _Guest(identity, key, name, self._clock.now())
            self._unattended_at = float("inf")
            self._tell(self._guest, self._work)

    def _hear(self, guest: _Guest, message: Message) -> None:
        guest.heard = self._clock.now()
        match message:
            case Ready() if not guest.ready:
                guest.ready = True
                self._facts.append(Ready(WORKER))
            case PictureMade(id=picture) | PictureFailed(id=picture):
                asked = guest.asked.pop(picture, None)
                if asked is None:
                    self._drop(f"picture {picture[:WORDS]!r} was not asked for")
                else:
                    self._facts.append(_answer(guest, asked, message))
            case Failed(text=text):
                self._lose(guest, text[:WORDS])

    def _watch(self) -> None:
        """Keep up the connection, and notice its end."""
        now = self._clock.now()
        guest = self._guest
        if guest and now - guest.heard > guest.patience:
            self._lose(guest, f"nothing was heard of it for {guest.patience:g} s")
        elif guest and now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT
            if self._keys.name_of(guest.key):
                self._tell(guest, Alive("server"))
            else:
                self._lose(guest, "its key is no longer authorised")
        if now > self._unattended_at:
            self._unattended_at = float("inf")
            self._facts.append(Failed(WORKER, f"no worker has come to {self.endpoint}"))

    def _lose(self, guest: _Guest, why: str) -> None:
        self._guest = None
        self._owed += [asked.order for asked in guest.asked.values()]
        self._facts.append(Failed(WORKER, f"worker {guest.name!r} is lost: {why}"))

    # Messages out.

    def _tell(self, guest: _Guest, message: Message) -> None:
        if not self._send(guest.identity, message):
            self._lose(guest, "it has closed the connection")

    def _send(self, identity: bytes, message: Message) -> bool:
        """Return whether there is somebody of that identity."""
        try:
            send(self.socket, message, identity)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        return True

    def _listen(self, endpoint: str) -> tuple[zmq.Socket[bytes], str]:
        try:
            socket, bound = self._bus.bind(zmq.ROUTER, endpoint, QUEUE)
        except zmq.ZMQError as error:
            raise PhospheneError(
                f"worker.bind: cannot listen at {endpoint}: {error.strerror}; "
                "expected tcp://ADDRESS:PORT with an address of this computer and a free port"
            ) from None
        socket.router_mandatory = True  # Whoever has hung up is noticed when spoken to.
        return socket, bound

    def _drop(self, problem: str) -> None:
        self._n_dropped += 1
        if self._n_dropped <= MOST_TOLD:
            more = "; more will not be told" if self._n_dropped == MOST_TOLD else ""
            sys.stderr.write(f"door: dropped: {problem}{more}\n")


def _answer(guest: _Guest, asked: _Asked, message: PictureMade | PictureFailed) -> Message:
    """Return what a worker's answer is worth: what can be known here is not believed."""
    order = asked.order
    if isinstance(message, PictureFailed):
        return PictureFailed(order.id, f"worker {guest.name!r}: {message.text[:WORDS]}")
    pixels = message.pixels
    if not is_picture(pixels):
        found = f"{pixels.dtype}, shape {pixels.shape}"
        problem = f"expected a picture of (height, width, 3) uint8, found {found}"
        return PictureFailed(order.id, f"worker {guest.name!r}: {problem}")
    if message.wnid not in order.classes:
        problem = f"expected one of {', '.join(order.classes)}, found {message.wnid[:WORDS]!r}"
        return PictureFailed(order.id, f"worker {guest.name!r}: {problem}")
    return structs.replace(
        message,
        sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        provenance={**message.provenance, WORKER: guest.name},
        started=asked.sent,  # The worker's own times are of another clock.
        generated=guest.heard,
    )


def _check_that_strangers_are_refused(
    socket: zmq.Socket[bytes], endpoint: str, server_key: bytes
) -> None:
    """Knock with a key that nobody authorised: what is not seen to work protects nobody."""
    refusals = socket.get_monitor_socket(int(zmq.EVENT_HANDSHAKE_FAILED_AUTH))
    here = endpoint.replace("//0.0.0.0:", "//127.0.0.1:")
    try:
        with Bus(new_keys()) as stranger:
            caller = stranger.connect(zmq.DEALER, here, server_key)
            refused = refusals.poll(REFUSAL_TIME)
            caller.close(linger=0)
        if not refused:
            raise PhospheneError(f"{endpoint} does not refuse an unknown key; it is closed again")
    finally:
        socket.disable_monitor()
        refusals.close(linger=0)
