"""One-shot tasks: train, retrain, export, report. Each runs to its end inside ``handle``."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar

from phosphene.errors import PhospheneError
from phosphene.messages import Message
from phosphene.processes import on_interrupt
from phosphene.roles import Outgoing

M = TypeVar("M", bound=Message)
N = TypeVar("N", bound=Message)


class OneShot(Generic[M]):
    """Answers each request of one kind with its result; the work itself is a plain function."""

    idle = True

    def __init__(self, request: type[M], work: Callable[[M], Message]) -> None:
        self._works: dict[type[Any], Callable[[Any], Message]] = {request: work}

    def also(self, request: type[N], work: Callable[[N], Message]) -> Self:
        """Answer another kind of request too."""
        self._works[request] = work
        return self

    def handle(self, message: Message) -> Outgoing:
        """Do the work and send its result to the server."""
        if work := self._works.get(type(message)):
            return [("server", work(message))]
        return []

    def poll(self, now: float) -> Outgoing:
        """Do nothing: there is no work between requests."""
        return []

    def close(self) -> None:
        """Do nothing: nothing is held."""


_EARLY = threading.Event()


def remember_interrupt() -> None:
    """Keep a SIGINT that comes before there is anything to interrupt."""
    signal.signal(signal.SIGINT, lambda *_: _EARLY.set())


@contextmanager
def interruptible() -> Iterator[None]:
    """Let one SIGINT end the work; a decoder that is trained step by step keeps the best so far."""
    try:
        with _raising(KeyboardInterrupt()):
            yield
    except KeyboardInterrupt:
        raise PhospheneError("interrupted before there was anything to keep") from None


@contextmanager
def cancellable() -> Iterator[None]:
    """Let one SIGINT end the work, whatever step it is at, with ``PhospheneError``.

    A decoder that keeps its best so far takes ``KeyboardInterrupt`` for the end of its own
    training; here the whole work is to end, of which that is one of many parts.
    """
    with _raising(PhospheneError("interrupted")):
        yield


@contextmanager
def _raising(error: BaseException) -> Iterator[None]:
    def interrupt(*_signal: object) -> None:
        # A second one would disturb the saving of what the first one kept.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise error

    with on_interrupt(interrupt):
        if _EARLY.is_set():
            raise error
        yield
