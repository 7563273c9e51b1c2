"""What of a recording is exchangeable: single trials, or only whole blocks of one class.

Trials of a block share its time, and with it whatever drifts. Where a block shows several classes
they share it with trials of the others, and labels may change places within the block. Where every
block shows one class only, the class of a block is one draw, however many trials it has.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phosphene.design import Shown, block_of, run_of

Kind = Literal["trial", "block"]


@dataclass(frozen=True)
class Units:
    """The units of some trials."""

    kind: Kind
    of: NDArray[np.intp]
    """Number of the unit by row, from 0. A trial of several images has several rows."""
    within: NDArray[np.intp]
    """Number of the stretch by unit: classes may change places within a stretch."""

    @property
    def n(self) -> int:
        """How many units there are."""
        return len(self.within)

    @property
    def single(self) -> bool:
        """Whether every unit is one row, so that rows may be taken as independent."""
        return self.n == len(self.of)


def units_of(trials: Sequence[Shown]) -> Units:
    """Return the units of trials whose design is not nested.

    Whole blocks change places within their run or, where some run shows one class only, within the
    whole session.
    """
    if not _blocks_are_pure(trials):
        return _units("trial", [_trial(trial) for trial in trials], list(map(block_of, trials)))
    classes = defaultdict(set)
    for trial in trials:
        classes[run_of(trial)].add(trial.wnid)
    by_run = all(len(shown) > 1 for shown in classes.values())
    stretches = [run_of(trial) if by_run else () for trial in trials]
    return _units("block", list(map(block_of, trials)), stretches)


def _blocks_are_pure(trials: Sequence[Shown]) -> bool:
    shown = defaultdict(set)
    for trial in trials:
        shown[block_of(trial)].add(trial.wnid)
    return len(shown) > 1 and all(len(wnids) == 1 for wnids in shown.values())


def _trial(trial: Shown) -> Hashable:
    return (*block_of(trial), trial.attempt, trial.trial)


def _units(kind: Kind, units: Sequence[Hashable], stretches: Sequence[Hashable]) -> Units:
    of, first = _numbered(units)
    within, _ = _numbered([stretches[row] for row in first])
    return Units(kind, of, within)


def _numbered(keys: Sequence[Hashable]) -> tuple[NDArray[np.intp], list[int]]:
    """Return each key's number, in order of appearance, and where each appears first."""
    first: dict[Hashable, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    number = {key: index for index, key in enumerate(first)}
    return np.array([number[key] for key in keys], np.intp), list(first.values())
