"""What the checks measure and report, and judge by no limit: a machine may be busy."""

import sys
from collections.abc import Callable, Iterator
from time import perf_counter

import msgspec
import numpy as np

WARM_UP, REPEATS = 10, 200
ENOUGH = 20.0
"""Seconds of repeating what is slow; the first time counts if there is no other then."""


class Measurement(msgspec.Struct, frozen=True):
    """A number and its unit."""

    what: str
    value: float
    unit: str


def durations(
    what: str, call: Callable[[], object], repeats: int = REPEATS
) -> Iterator[Measurement]:
    """Yield the median and the 99th percentile of how long a call takes, after warming up."""
    taken: list[float] = []
    while len(taken) < WARM_UP + repeats and sum(taken) < ENOUGH:
        taken.append(_seconds(call))
    taken = taken[WARM_UP:] or taken[-1:]
    for name, percent in ("p50", 50), ("p99", 99):
        yield Measurement(f"{what}, {name}", 1000 * float(np.percentile(taken, percent)), "ms")


def peak_memory() -> float:
    """Return the most memory that this process has had so far, in MB; 0 if nobody counts it."""
    if sys.platform == "win32":
        return 0.0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start
