"""The one clock: seconds of ``time.perf_counter``, which is LSL's ``local_clock``."""

from time import perf_counter, sleep
from typing import ClassVar, Protocol


class Clock(Protocol):
    """What a role's shell reads the time from; roles themselves are told the time."""

    live: ClassVar[bool]
    """Whether time passes by itself; if not, only a screen or the loop may sleep."""

    def now(self) -> float:
        """Return seconds on the LSL clock."""
        ...

    def sleep_until(self, time: float) -> None:
        """Return when ``now()`` has reached ``time``."""
        ...


class RealClock:
    """The computer's monotonic clock."""

    live: ClassVar[bool] = True

    def now(self) -> float:
        """Return seconds on the LSL clock."""
        return perf_counter()

    def sleep_until(self, time: float) -> None:
        """Sleep for what remains until ``time``."""
        sleep(max(0.0, time - self.now()))


class VirtualClock:
    """A clock that jumps to wherever somebody sleeps until: as fast as the processor allows."""

    live: ClassVar[bool] = False

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the seconds that were slept through so far."""
        return self._now

    def sleep_until(self, time: float) -> None:
        """Move the clock on; never back."""
        self._now = max(self._now, time)
