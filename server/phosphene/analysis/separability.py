"""Which classes a decoder tells apart best: the choice of what feedback is about."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.predictions import Predictions
from phosphene.evidence import FLOOR


def best_classes(
    predictions: Predictions, folds: Sequence[str], candidates: Sequence[str], n_classes: int
) -> tuple[str, ...]:
    """Return the candidates that are told apart best in some folds, by wnid.

    That is the set with the highest mean area under the ROC curve over its pairs, of the log odds
    between the two classes of a pair: a mean is less at the mercy of one lucky or unlucky pair
    than the smallest of them. More than three classes grow from the best three, one at a time.
    """
    names = sorted(candidates)
    chosen = _best_set(_separability(predictions, folds, names), n_classes)
    return tuple(names[index] for index in chosen)


def _separability(
    predictions: Predictions, folds: Sequence[str], names: Sequence[str]
) -> NDArray[np.float64]:
    """Return the area under the ROC curve for each pair of classes, symmetric."""
    columns = [predictions.classes.index(wnid) for wnid in names]
    logs = np.log(np.maximum(predictions.probabilities[:, columns], FLOOR))
    used = np.isin(predictions.folds, folds)
    shown = np.array(predictions.wnids)
    of = [logs[used & (shown == wnid)] for wnid in names]
    found = np.full((len(names), len(names)), 0.5)
    for a, b in combinations(range(len(names)), 2):
        odds_a, odds_b = (each[:, a] - each[:, b] for each in (of[a], of[b]))
        found[a, b] = found[b, a] = _area(odds_a, odds_b)
    return found


def _area(higher: NDArray[np.float64], lower: NDArray[np.float64]) -> float:
    """Return how often the first exceeds the second: the area under the ROC curve."""
    if not (len(higher) and len(lower)):
        return 0.5
    lower = np.sort(lower)
    below = np.searchsorted(lower, higher, side="left")
    not_above = np.searchsorted(lower, higher, side="right")
    return float((below + not_above).mean() / (2 * len(lower)))


def _best_set(separability: NDArray[np.float64], size: int) -> list[int]:
    """Return the set with the highest mean over its pairs; the first of those that are equal."""
    if size == 2:
        sums = separability
    else:
        sums = separability[:, :, None] + separability[:, None, :] + separability[None, :, :]
    rising = np.indices(sums.shape)
    allowed = (np.diff(rising, axis=0) > 0).all(axis=0)
    best = np.unravel_index(np.where(allowed, sums, -1).argmax(), sums.shape)
    chosen = [int(index) for index in best]
    while len(chosen) < size:
        gain = separability[chosen].sum(axis=0)
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
    return sorted(chosen)
