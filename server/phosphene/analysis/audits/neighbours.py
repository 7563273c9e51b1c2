"""What was shown around each trial: the image before, and what the block had still to show.

What images leave behind is still there when the next one comes. It tells the next class wherever
the order does, and every order does a little: where each class comes once in a block, what was
shown is not shown again.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.audits.chance import blocks_of
from phosphene.design import block_of
from phosphene.events import Onset


def followers(trials: Sequence[Onset]) -> NDArray[np.intp]:
    """Return the rows of trials that come right after another one of their block."""
    pairs = enumerate(pairwise(trials), start=1)
    return np.array([row for row, (a, b) in pairs if _follows(b, a)], np.intp)


def shortest_gap(trials: Sequence[Onset]) -> float:
    """Return the seconds of empty screen that there are at least between images of a block."""
    gaps = [b.time - a.time - a.duration for a, b in pairwise(trials) if _follows(b, a)]
    return min(gaps, default=np.inf)


def still_to_come(trials: Sequence[Onset]) -> NDArray[np.float64]:
    """Return how likely each class is for who knows what its block showed before.

    Shape (n_trials, n_classes), classes sorted. All orders of a block are taken as equally likely,
    so that the next trial is one of those still to come.
    """
    left = _shown(trials)
    for rows in _rows_by_block(trials):
        left[rows] = left[rows[::-1]].cumsum(axis=0)[::-1]
    return np.asarray(left / left.sum(axis=1, keepdims=True))


def shares(trials: Sequence[Onset]) -> NDArray[np.float64]:
    """Return how likely each class is for who knows the block only, of the same shape."""
    found = _shown(trials)
    for rows in _rows_by_block(trials):
        found[rows] = found[rows].mean(axis=0)
    return found


def _shown(trials: Sequence[Onset]) -> NDArray[np.float64]:
    _, codes = np.unique([trial.wnid for trial in trials], return_inverse=True)
    return np.eye(codes.max() + 1)[codes]


def _rows_by_block(trials: Sequence[Onset]) -> list[NDArray[np.intp]]:
    blocks = blocks_of(trials)
    return [np.flatnonzero(blocks == block) for block in np.unique(blocks)]


def _follows(trial: Onset, other: Onset) -> bool:
    return block_of(trial) == block_of(other) and trial.trial - other.trial == 1
