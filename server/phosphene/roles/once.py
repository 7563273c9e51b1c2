"""One-shot tasks: train, export, report. Each runs to its end inside ``handle``."""

from collections.abc import Callable

from phosphene.messages import Message
from phosphene.roles import Outgoing


class OneShot:
    """Answers each request with its result; the work itself is a plain function."""

    idle = True

    def __init__(self, work: Callable[[Message], Message | None]) -> None:
        self._work = work

    def handle(self, message: Message) -> Outgoing:
        """Do the work and send its result to the server."""
        result = self._work(message)
        return [("server", result)] if result is not None else []

    def poll(self, now: float) -> Outgoing:
        """Do nothing: there is no work between requests."""
        return []

    def close(self) -> None:
        """Do nothing: nothing is held."""
