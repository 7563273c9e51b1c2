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
    _, shown = np.unique([trial.wnid for trial in trials], return_inverse=True)
    left = np.eye(shown.max() + 1)[shown]
    blocks = blocks_of(trials)
    for block in np.unique(blocks):
        rows = np.flatnonzero(blocks == block)[::-1]
        left[rows] = left[rows].cumsum(axis=0)
    return np.asarray(left / left.sum(axis=1, keepdims=True))


def _follows(trial: Onset, other: Onset) -> bool:
    return block_of(trial) == block_of(other) and trial.trial - other.trial == 1
