"""The process shell: one role, its sockets, and the loop that drives it."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import zmq
from msgspec import structs

from phosphene.bus import Bus, Keyring, receive, send
from phosphene.clock import RealClock
from phosphene.connection import Connection, KeyPair, read_connection
from phosphene.errors import PhospheneError
from phosphene.messages import (
    Alive,
    Failed,
    Hello,
    Message,
    Peers,
    Quit,
    Ready,
    is_decoder,
    shadow_number,
)
from phosphene.roles import Outgoing, Role
from phosphene.roles.catalogue import House
from phosphene.roles.once import remember_interrupt

HEARTBEAT = 0.5
ORPHANED = 5.0
"""Seconds of silence after which it is looked whether the server is dead, or only busy."""
SHADOW_NICENESS = 10
"""A shadow never takes the time of the driver or the recorder."""
MEETING = 20
"""Seconds in which a decoder must hear acquisition, which speaks twice a second."""
WAIT = 50
"""Milliseconds to wait for a message in a role that nothing else paces."""
PACED = ("presenter", "acquisition")
"""Roles whose ``poll`` waits by itself: for the screen, for the amplifier."""

Build = Callable[[House, Callable[[Message], None]], Role]


class Shell:
    """Carries messages between one role and the rest of the house."""

    def __init__(self, name: str, bus: Bus, connection: Connection) -> None:
        self._name = name
        self._bus = bus
        self._family_key = connection.public_key.encode()
        server_key = connection.server_key.encode()
        self._control = bus.connect(zmq.DEALER, connection.control, server_key)
        self._inboxes = [self._control]
        self._routes: dict[str, tuple[zmq.Socket[bytes], bytes | None]] = {
            "server": (self._control, None)
        }
        self._endpoints: dict[str, str] = {}
        self._server = connection.pid
        self._heard = time.monotonic()
        self._next_heartbeat = 0.0
        self._asked_to_quit = False

    def listen(self) -> None:
        """Open acquisition's own sockets: onsets come in directly, samples go out."""
        onsets, onsets_at = self._bus.bind(zmq.ROUTER)
        samples, samples_at = self._bus.bind(zmq.PUB)
        self._inboxes.append(onsets)
        self._routes |= {"presenter": (onsets, b"presenter"), "decoders": (samples, None)}
        self._endpoints = {"onsets": onsets_at, "samples": samples_at}

    def to_server(self, message: Message) -> None:
        """Send a fact at once."""
        self._dispatch([("server", message)])

    def quit(self, *_signal: object) -> None:
        """Leave the loop at its next turn."""
        self._asked_to_quit = True

    def run(self, role: Role) -> None:
        """Drive the role until it is told to quit or the server has died."""
        self._heard = time.monotonic()
        clock = RealClock()
        orphaned = False
        while not (self._asked_to_quit or (orphaned and role.idle)):
            self._wait()
            messages = self._messages()
            # Judged when all that came has been read: a long task makes nobody an orphan.
            silent = time.monotonic() - self._heard > ORPHANED
            # The server is our parent: whoever has another one has lost it.
            orphaned = silent and os.getppid() != self._server
            for message in messages:
                self._dispatch(role.handle(message))
            self._dispatch(role.poll(clock.now()))
            self._beat()

    def _wait(self) -> None:
        if self._name not in PACED:
            poller = zmq.Poller()
            for socket in self._inboxes:
                poller.register(socket, zmq.POLLIN)
            poller.poll(WAIT)

    def _messages(self) -> list[Message]:
        """Return what came for the role; what is for the shell is dealt with."""
        found: list[Message] = []
        for socket in list(self._inboxes):
            routed = socket.type == zmq.ROUTER
            for _identity, _key, message in receive(socket, self._complain, routed=routed):
                if socket is self._control:
                    self._heard = time.monotonic()
                match message:
                    case Alive():
                        pass
                    case Quit():
                        self.quit()
                    case Peers(endpoints=endpoints):
                        self._meet(endpoints)
                    case _:
                        found.append(message)
        return found

    def _meet(self, endpoints: dict[str, str]) -> None:
        """Connect to acquisition: the presenter to its onsets, a decoder to its samples."""
        if self._name == "presenter":
            onsets = self._bus.connect(
                zmq.DEALER, endpoints["onsets"], self._family_key, identity=b"presenter"
            )
            self._inboxes.append(onsets)
            self._routes["acquisition"] = (onsets, None)
        elif is_decoder(self._name):
            samples = self._bus.connect(zmq.SUB, endpoints["samples"], self._family_key)
            # Who is not heard yet would miss the first samples, and with them the whole segment.
            if not samples.poll(MEETING * 1000):
                raise PhospheneError(f"acquisition was not heard within {MEETING} s")
            self._inboxes.append(samples)

    def _dispatch(self, outgoing: Outgoing) -> None:
        for recipient, message in outgoing:
            if isinstance(message, Ready) and self._endpoints:
                message = structs.replace(message, endpoints=self._endpoints)  # noqa: PLW2901
            socket, identity = self._routes[recipient]
            send(socket, message, identity)

    def _beat(self) -> None:
        now = time.monotonic()
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT
            for recipient in {"server", "decoders"} & self._routes.keys():
                self._dispatch([(recipient, Alive(self._name))])

    def _complain(self, problem: str) -> None:
        sys.stderr.write(f"{self._name}: {problem}\n")


def run_child(name: str, connection_file: Path, build: Build) -> int:
    """Build a role and run it until the session is over; return the process's exit status.

    Whatever goes wrong is told to the server in words before the process ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which tells us.
    if name == "trainer":
        remember_interrupt()  # The server's way to say: end with the best so far.
    if shadow_number(name):
        os.nice(SHADOW_NICENESS)
    connection = read_connection(connection_file)
    keys = KeyPair(connection.public_key.encode(), connection.secret_key.encode())
    keyring = Keyring(keys.public) if name == "acquisition" else None
    with Bus(keys, keyring) as bus:
        shell = Shell(name, bus, connection)
        signal.signal(signal.SIGTERM, shell.quit)
        shell.to_server(Hello(name))
        if name == "acquisition":
            shell.listen()
        role: Role | None = None
        try:
            role = build(House.of(Path(connection.folder)), shell.to_server)
            shell.run(role)
        except (PhospheneError, OSError) as error:
            shell.to_server(Failed(name, str(error)))
            return 1
        finally:
            if role is not None:
                role.close()
    return 0


def main(arguments: list[str]) -> int:
    """Run ``python -m phosphene.shell ROLE CONNECTION_FILE``."""
    name, file = arguments
    return run_child(name, Path(file), lambda house, emit: house.build(name, emit))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
