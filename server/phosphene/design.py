"""Whether class and time are one variable: it decides what any accuracy can be evidence of.

Training, evaluation and reports ask the same question, and say it in the same words.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import groupby
from typing import Protocol

CONFOUNDED = "confounded by design: not evidence of decoding"
"""What stands beside every accuracy of a design in which class and time are one variable."""

STRETCH = 3
"""Trials of every class from which on their following each other is no accident: that of three
classes happens by chance in 6 of 1680 orders."""


class Shown(Protocol):
    """What splits and tables ask of a trial; an ``Onset`` has it."""

    @property
    def phase(self) -> str: ...  # noqa: D102
    @property
    def run(self) -> int: ...  # noqa: D102
    @property
    def block(self) -> int: ...  # noqa: D102
    @property
    def attempt(self) -> int: ...  # noqa: D102
    @property
    def trial(self) -> int: ...  # noqa: D102
    @property
    def wnid(self) -> str: ...  # noqa: D102
    @property
    def image(self) -> str: ...  # noqa: D102


Unit = tuple[str | int, ...]


def is_nested(trials: Sequence[Shown], at_least: int = 2) -> bool:
    """Return whether class and time are one variable.

    They are if all trials of some class lie in one of several blocks, or in one of several runs, or
    in blocks that follow each other and show nothing else; or if one class comes after the other,
    whatever the blocks. A class with fewer than ``at_least`` trials says nothing about the design.
    """
    counts = Counter(trial.wnid for trial in trials)
    known = {wnid for wnid, n in counts.items() if n >= at_least}
    return (
        _in_one(trials, known, block_of)
        or _in_one(trials, known, run_of)
        or _in_one_go(trials, known)
        or _one_after_the_other(trials, counts)
    )


def label_of(trials: Sequence[Shown]) -> str:
    """Return what stands beside every accuracy of these trials: ``CONFOUNDED``, or nothing."""
    return CONFOUNDED if is_nested(trials) else ""


def run_of(trial: Shown) -> Unit:
    """Return the planned run of a trial."""
    return (trial.phase, trial.run)


def block_of(trial: Shown) -> Unit:
    """Return the planned block of a trial, whatever the attempt at it."""
    return (trial.phase, trial.run, trial.block)


def _in_one(trials: Sequence[Shown], known: Container[str], unit: Callable[[Shown], Unit]) -> bool:
    """Return whether one of several units has all trials of some class."""
    units = defaultdict(set)
    for trial in trials:
        units[trial.wnid].add(unit(trial))
    several = len({unit(trial) for trial in trials}) > 1
    return several and any(wnid in known and len(of) == 1 for wnid, of in units.items())


def _in_one_go(trials: Sequence[Shown], known: Container[str]) -> bool:
    """Return whether all blocks of some class show nothing else, and follow each other."""
    shown: dict[Unit, set[str]] = defaultdict(set)
    for trial in sorted(trials, key=block_of):
        shown[block_of(trial)].add(trial.wnid)
    goes = [classes for classes, _ in groupby(shown.values())]
    times = Counter(wnid for classes in goes for wnid in classes)
    alone = {wnid for classes in goes if len(classes) == 1 for wnid in classes}
    return len(goes) > 1 and any(wnid in known and times[wnid] == 1 for wnid in alone)


def _one_after_the_other(trials: Sequence[Shown], counts: Mapping[str, int]) -> bool:
    """Return whether each class has one stretch of trials, too long to be an accident."""
    in_order = sorted(trials, key=lambda trial: (*block_of(trial), trial.trial))
    stretches = [wnid for wnid, _ in groupby(trial.wnid for trial in in_order)]
    return len(stretches) == len(counts) > 1 and min(counts.values()) >= STRETCH
