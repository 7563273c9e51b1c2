"""The virtual clock's loop: all roles in one process, in a fixed order, as fast as it goes."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from traceback import format_exception

from phosphene.clock import VirtualClock
from phosphene.desk import BACKGROUND, WORKERS
from phosphene.errors import PhospheneError
from phosphene.messages import Failed, Message, Quit, Restart, is_decoder
from phosphene.roles import Outgoing, Role
from phosphene.session import Session

TICK = 0.02
"""Seconds by which the clock moves on when no screen paces it."""
FIRST = ("presenter", "acquisition", "decoder")
THEN = ("generator", "trainer", "exporter", "reporter")
"""The order in which roles take their turns; shadows come behind the driver."""


class VirtualLoop:
    """Drives a session over an in-memory bus; deterministic for the same seed."""

    def __init__(
        self,
        session: Session,
        clock: VirtualClock,
        build: Callable[[str, Callable[[Message], None]], Role],
        watch: Callable[[Message], None] = lambda _message: None,
        shadows: Sequence[str] = (),
    ) -> None:
        self._session = session
        self._clock = clock
        self._build = build
        self._watch = watch
        self._roles: dict[str, Role] = {}
        self._dead: set[str] = set()
        self._order = (*FIRST, *shadows, *THEN)
        self._inboxes: dict[str, deque[Message]] = {name: deque() for name in self._order}

    def run(self) -> None:
        """Return when the session is over."""
        try:
            while not self._session.over:
                self.turn()
        finally:
            self.close()

    def close(self) -> None:
        """Let every role flush and let go of its device."""
        for role in self._roles.values():
            role.close()

    def turn(self) -> None:
        """Give the session and each role one turn; move the clock on if no screen did."""
        now = self._clock.now()
        self.deliver(self._session.poll(now))
        for name in self._order:
            self._serve(name)
        if self._clock.now() == now:
            self._clock.sleep_until(now + TICK)

    def _serve(self, name: str) -> None:
        inbox = self._inboxes[name]
        if name in self._dead:
            inbox.clear()
            return
        try:
            while inbox:
                self._handle(name, inbox.popleft())
            if name in self._roles:
                self.deliver(self._roles[name].poll(self._clock.now()))
        except Exception as error:
            self._bury(name, error)

    def _bury(self, name: str, error: Exception) -> None:
        """Serve a role no more, unless its work can be done again; say why."""
        self._inboxes[name].clear()
        if name in WORKERS and name in self._roles:
            self._roles.pop(name).close()
        elif name not in BACKGROUND:
            self._dead.add(name)
        self._to_session(Failed(name, self._words(name, error)))

    def _words(self, name: str, error: Exception) -> str:
        if isinstance(error, PhospheneError):
            return str(error)
        log = Path(self._session.status.folder) / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text("".join(format_exception(error)), encoding="utf-8")
        return f"{type(error).__name__}: {error}; how it came about is in {log}"

    def _handle(self, name: str, message: Message) -> None:
        if isinstance(message, Quit):
            self._roles.pop(name).close()
            return
        if isinstance(message, Restart):
            raise PhospheneError("it did not answer in time and was ended")
        if name not in self._roles:
            self._roles[name] = self._build(name, self._to_session)
        self.deliver(self._roles[name].handle(message))

    def deliver(self, outgoing: Outgoing) -> None:
        """Put messages into the inboxes of their recipients."""
        for recipient, message in outgoing:
            if recipient == "server":
                self._to_session(message)
            elif recipient == "watchers":
                self._watch(message)
            elif recipient != "decoders":
                self._inboxes[recipient].append(message)
            else:
                for decoder in filter(is_decoder, self._roles):
                    self._inboxes[decoder].append(message)

    def _to_session(self, message: Message) -> None:
        self.deliver(self._session.handle(message, self._clock.now()))
