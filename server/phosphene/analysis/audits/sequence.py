"""A11: whether the order of the images tells the class, or the EEG the class that comes next."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.hits import Hits, Known, blocks_are_pure, count
from phosphene.analysis.audits.material import TMAX, TMIN, Material
from phosphene.analysis.audits.neighbours import followers
from phosphene.analysis.audits.reference import cross_decode
from phosphene.analysis.metrics import Accuracy, accuracy, chance

N_PERMUTATIONS = 1999
AT_ONCE = 100
"""Orders that are drawn together."""
TESTS = 2
"""The order and the next class are tested, so that p is multiplied by two (Bonferroni)."""

ORDER = (
    "The class before tells the class: what an image leaves behind counts as decoding the next.",
    "accuracy of a guess from the class before",
)
NEXT = (
    "The class is in the EEG while the image before is on the screen: the order can be learnt, or "
    "markers and images are out of step.",
    "accuracy of the next class",
)
"""Sentence and quantity."""

Rows = NDArray[np.intp]


class _Fault(NamedTuple):
    sentence: str
    quantity: str
    found: Hits


def sequence(material: Material) -> Measured | Finding:
    """Return A11: the likelier of two faults, the order or the next class.

    Where every block shows one class it fires without a test. The class before is decoded as well,
    which is no fault: images leave something behind.
    """
    later = followers(material.trials)
    if len(later) < 2:
        return not_applicable("A11", "sequence", "warning", "No image follows another in a block.")
    if material.nested or blocks_are_pure(material):
        return _measured(_Fault(*ORDER, _pure(material, later)), "", fires=True)
    order = _Fault(*ORDER, _order(material, later))
    following = _Fault(*NEXT, _decode(material, later - 1, later))
    before = _decode(material, later, later - 1, known="future")
    silent = (
        "Neither the class before an image tells its class, nor the EEG before it is shown. What "
        f"the image before left behind tells that one's class in {before.accuracy}, "
        f"p = {before.p:.2g}."
    )
    return _measured(min(order, following, key=lambda fault: fault.found.p), silent)


def _measured(fault: _Fault, silent: str, *, fires: bool = False) -> Measured:
    found, p = fault.found.accuracy, min(1.0, TESTS * fault.found.p)
    return Measured(
        "A11",
        "sequence",
        "warning",
        fault.sentence,
        silent,
        fault.quantity,
        found.fraction,
        found.chance,
        found.low,
        found.high,
        None if fires else p,
        fires,
    )


def _decode(material: Material, seen: Rows, named: Rows, known: Known = "past") -> Hits:
    """Return how often the EEG of trials ``seen`` tells the classes of trials ``named``."""
    moved = []
    for each in material.frames.features(TMIN, TMAX):
        moved.append(np.full_like(each, np.nan))
        moved[-1][named] = each[seen]
    decoded = cross_decode(tuple(moved), material.wnids, material.folds)
    return count(material, decoded, known=known)


def _pure(material: Material, later: Rows) -> Hits:
    """Return how often a guess from the class before is right where each block has one class."""
    _, shown = np.unique(material.wnids, return_inverse=True)
    return Hits(_as_accuracy(_recurrence(shown, later), len(later), chance(material.wnids)), 0.0)


def _order(material: Material, later: Rows) -> Hits:
    """Return how often a guess from the class before is right, and p of orders within blocks.

    The guess is the class of another trial, picked at random, that comes after the same class.
    """
    _, shown = np.unique(material.wnids, return_inverse=True)
    observed = _recurrence(shown, later)
    rng, blocks = material.rng("A11"), material.blocks
    order = np.argsort(blocks, kind="stable")
    drawn = []
    for start in range(0, N_PERMUTATIONS, AT_ONCE):
        n = min(AT_ONCE, N_PERMUTATIONS - start)
        permuted = np.empty((n, len(shown)), shown.dtype)
        mixed = np.argsort(blocks[order] + rng.random((n, len(shown))), axis=1)
        permuted[:, order] = shown[order][mixed]
        drawn += [_recurrence(each, later) for each in permuted]
    p = (1 + np.count_nonzero(np.array(drawn) >= observed)) / (1 + N_PERMUTATIONS)
    return Hits(_as_accuracy(observed, len(later), float(np.mean(drawn))), float(p))


def _recurrence(shown: NDArray[np.intp], later: Rows) -> float:
    """Return the fraction of pairs of trials after the same class that are of one class."""
    before, now = shown[later - 1], shown[later]
    return _pairs(before * (shown.max() + 1) + now) / max(_pairs(before), 1)


def _pairs(codes: NDArray[np.intp]) -> int:
    counts = np.unique(codes, return_counts=True)[1]
    return int((counts * (counts - 1)).sum())


def _as_accuracy(fraction: float, n: int, null: float) -> Accuracy:
    return accuracy(round(fraction * n), n, null)
