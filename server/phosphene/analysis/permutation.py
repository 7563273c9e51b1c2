"""How often decodings fit permuted labels as well as they fit the true ones.

The decodings of all folds stay as they are and the labels change places, so that nothing is fitted
again. What may change places is a matter of the design: see ``units``.
"""

from collections.abc import Sequence
from itertools import permutations
from math import factorial
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.units import Units

N_PERMUTATIONS = 4999
"""So that p can be small enough to survive a correction for many tests."""
N_CLASSES_COMPLETE = 7
"""Up to so many classes every relabelling is tried: 7! = 5040."""
AT_ONCE = 200
"""Permutations that are drawn together."""
NONE_EXISTS = "no valid permutation exists: class and time are one variable"

Exchanged = Literal["", "trials within a block", "blocks", "classes"]


class Permutation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How surprising as many right decodings are if the labels mean nothing."""

    p: float | None
    """Probability of as many right decodings or more; None if labels cannot be permuted."""
    exchanged: Exchanged = ""
    """What changed places."""
    n: int = 0
    """Permutations that were tried."""
    note: str = ""
    """Why there is no p."""

    def __str__(self) -> str:
        if self.p is None:
            return self.note
        return f"p = {self.p:.2g} ({self.n} permutations of {self.exchanged})"


def permute_labels(
    wnids: Sequence[str],
    classes: Sequence[str],
    probabilities: NDArray[np.floating],
    units: Units | None,
    rng: np.random.Generator,
) -> Permutation:
    """Return p of the top-1 decodings; ``units`` is None for a nested design.

    The order as it was counts as one of the permutations: p is never 0, and the test is exact
    (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9:39 (2010)).
    """
    if units is None:
        return Permutation(None, note=NONE_EXISTS)
    hits = _hits_by_unit(classes, probabilities, units)
    shown = _column_by_unit(wnids, classes, units)
    observed = hits[np.arange(units.n), shown].sum()
    as_many = sum(
        int((drawn >= observed).sum()) for drawn in _permuted_hits(hits, shown, units.within, rng)
    )
    exchanged: Exchanged = "blocks" if units.kind == "block" else "trials within a block"
    return Permutation((1 + as_many) / (1 + N_PERMUTATIONS), exchanged, N_PERMUTATIONS)


def relabel_classes(
    confusion: NDArray[np.integer], rng: np.random.Generator, n: int = N_PERMUTATIONS
) -> Permutation:
    """Return p of the hits of a confusion matrix, shape (shown class, decoded class), square.

    Which class of one subject is which of the other's is permuted, all trials of a class at once:
    it is what makes two subjects alike by accident. Few classes have few relabellings, and p is at
    least one in their number.
    """
    k = len(confusion)
    rows, observed = np.arange(k), confusion.trace()
    if k <= N_CLASSES_COMPLETE:
        every = np.array(list(permutations(range(k))))
        return Permutation(
            float((confusion[rows, every].sum(axis=1) >= observed).mean()),
            "classes",
            factorial(k),
        )
    drawn = rng.permuted(np.tile(rows, (n, 1)), axis=1)
    as_many = int((confusion[rows, drawn].sum(axis=1) >= observed).sum())
    return Permutation((1 + as_many) / (1 + n), "classes", n)


def _hits_by_unit(
    classes: Sequence[str], probabilities: NDArray[np.floating], units: Units
) -> NDArray[np.intp]:
    """Return how many rows of each unit are decoded as each class; a tie is no decoding."""
    best = probabilities == probabilities.max(axis=1, keepdims=True)
    decided = best.sum(axis=1) == 1
    hits = np.zeros((units.n, len(classes)), np.intp)
    np.add.at(hits, (units.of[decided], best.argmax(axis=1)[decided]), 1)
    return hits


def _column_by_unit(wnids: Sequence[str], classes: Sequence[str], units: Units) -> NDArray[np.intp]:
    column = {wnid: index for index, wnid in enumerate(classes)}
    _, first = np.unique(units.of, return_index=True)
    return np.array([column[wnids[row]] for row in first], np.intp)


def _permuted_hits(
    hits: NDArray[np.intp],
    shown: NDArray[np.intp],
    within: NDArray[np.intp],
    rng: np.random.Generator,
) -> list[NDArray[np.intp]]:
    """Return the hits under ``N_PERMUTATIONS`` permutations, in parts."""
    order = np.argsort(within, kind="stable")
    hits, shown, within = hits[order], shown[order], within[order]
    found = []
    for start in range(0, N_PERMUTATIONS, AT_ONCE):
        n = min(AT_ONCE, N_PERMUTATIONS - start)
        # Units of a stretch stand together, and are in random order within it.
        mixed = np.argsort(within + rng.random((n, len(within))), axis=1)
        found.append(hits[np.arange(len(within)), shown[mixed]].sum(axis=1))
    return found
