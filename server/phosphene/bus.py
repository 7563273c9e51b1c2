"""ZeroMQ sockets that carry messages: CURVE everywhere, bounded sizes, authorised keys only."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import zmq
from zmq.auth.thread import ThreadAuthenticator

from phosphene import wire
from phosphene.connection import KeyPair
from phosphene.errors import PhospheneError
from phosphene.messages import Message

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of one frame: the largest picture (reliability.md, section 6.3)."""
HANDSHAKE_TIME = 5000
SEND_QUEUE = 10_000
PUBLISH_QUEUE = 1_000
"""Messages that wait for a subscriber who does not keep up: ten seconds of samples, 5 MB with 128
channels; then the next ones are dropped for it."""
"""Messages that wait for a slow peer before the newest are dropped."""
LINGER = 2000
LOOPBACK = "tcp://127.0.0.1:*"
DOMAIN = "phosphene"
"""Of the authenticator. Named, and enforced: without one libzmq lets in anybody if it is gone."""


class Keyring:
    """Says which public keys may connect (ZAP); what each may do is up to the reader."""

    def __init__(self, *keys: bytes) -> None:
        self.keys = set(keys)

    def callback(self, domain: str, key: bytes) -> bool:
        """Answer the authenticator."""
        return key in self.keys


class Bus:
    """A ZeroMQ context with its authenticator and every socket opened on it."""

    def __init__(self, own: KeyPair, keyring: Keyring | None = None) -> None:
        if zmq.zmq_version_info() < (4, 3, 5):
            raise PhospheneError(f"libzmq 4.3.5 or newer is needed; found {zmq.zmq_version()}")
        self._own = own
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._authenticator: ThreadAuthenticator | None = None
        if keyring is not None:
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve_callback(DOMAIN, keyring)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def bind(
        self, kind: zmq.SocketType, endpoint: str = LOOPBACK, queue: int | None = None
    ) -> tuple[zmq.Socket[bytes], str]:
        """Return a listening socket and the endpoint it got; only authorised keys may connect.

        ``queue`` is how many messages may wait for a peer, or from one.
        """
        if self._authenticator is None:
            raise PhospheneError("a socket is never bound without an authenticator")
        socket = self._socket(kind)
        if queue is not None:
            socket.sndhwm = socket.rcvhwm = queue
        socket.curve_server = True
        socket.zap_domain = DOMAIN.encode()
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.curve_publickey, socket.curve_secretkey = self._own.public, self._own.secret
        socket.bind(endpoint)
        return socket, str(socket.getsockopt_string(zmq.LAST_ENDPOINT))

    def connect(
        self, kind: zmq.SocketType, endpoint: str, server_key: bytes, identity: bytes = b""
    ) -> zmq.Socket[bytes]:
        """Return a socket that connects, now or as soon as somebody listens.

        ``identity`` is the name by which a ROUTER can address it.
        """
        socket = self._socket(kind)
        if identity:
            socket.routing_id = identity
        socket.curve_serverkey = server_key
        socket.curve_publickey, socket.curve_secretkey = self._own.public, self._own.secret
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.connect(endpoint)
        return socket

    def close(self) -> None:
        """Close every socket, giving what is queued two seconds to leave."""
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=LINGER)

    def _socket(self, kind: zmq.SocketType) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.maxmsgsize = MAX_MESSAGE
        socket.handshake_ivl = HANDSHAKE_TIME
        queue = PUBLISH_QUEUE if kind in (zmq.PUB, zmq.SUB) else SEND_QUEUE
        socket.sndhwm = socket.rcvhwm = queue
        return socket


def send(socket: zmq.Socket[bytes], message: Message, to: bytes | None = None) -> None:
    """Send without waiting; a peer that is gone or hopelessly slow does not hold us up.

    What finds a full queue is lost: what must be kept is on disk, or is asked for again.
    """
    frames = wire.encode(message)
    with suppress(zmq.Again):
        socket.send_multipart([to, *frames] if to is not None else frames, flags=zmq.NOBLOCK)


def receive(
    socket: zmq.Socket[bytes], on_error: Callable[[str], None], *, routed: bool = False
) -> Iterator[tuple[bytes, bytes, Message]]:
    """Yield what is there: (identity, public key of the sender, message), without waiting.

    What is not a message of this protocol is told to ``on_error`` and dropped.
    """
    while True:
        try:
            frames = socket.recv_multipart(flags=zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return
        identity = frames.pop(0).bytes if routed else b""
        try:
            # Only a listening socket knows who connected.
            key = _sender(frames[0]) if routed and frames else b""
            yield identity, key, wire.decode([frame.buffer for frame in frames])
        except wire.WireError as error:
            on_error(str(error))


def _sender(frame: zmq.Frame) -> bytes:
    """Return the public key of whoever sent a frame, as ZAP named it; empty if it did not."""
    try:
        return str(frame.get("User-Id")).encode()
    except zmq.ZMQError:
        return b""
