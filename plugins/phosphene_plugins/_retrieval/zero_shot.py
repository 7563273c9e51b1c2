"""The zero-shot figure: how well classes are decoded that no trial of the training showed."""

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 9999

Counts = NDArray[np.intp]


class ZeroShot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How trials of new classes were decoded among these classes."""

    classes: tuple[str, ...]
    n_trials: int
    accuracy: float
    chance: float
    """What guessing the most frequent class every time would score."""
    p: float
    """Share of assignments of the classes to the prototypes, chosen at random, that score as much:
    trials of one class are right or wrong together, so a test that counts trials would be wrong."""

    @classmethod
    def of(
        cls,
        classes: tuple[str, ...],
        shown: Sequence[str],
        decoded: Sequence[str],
        rng: np.random.Generator,
    ) -> "ZeroShot":
        """Return the figure of some trials, by the classes that were shown and decoded."""
        pairs = Counter(zip(shown, decoded, strict=True))
        counts = np.array([[pairs[s, d] for d in classes] for s in classes], np.intp)
        n_trials = len(shown)
        accuracy, chance = counts.trace() / n_trials, counts.sum(axis=1).max() / n_trials
        return cls(classes, n_trials, float(accuracy), float(chance), permutation_p(counts, rng))


def choose(classes: tuple[str, ...], share: float, rng: np.random.Generator) -> tuple[str, ...]:
    """Return the classes to keep out, sorted; none if 2 would not be left on either side."""
    count = max(2, round(share * len(classes)))
    if not share or len(classes) - count < 2:
        return ()
    return tuple(sorted(rng.permutation(classes)[:count].tolist()))


def permutation_p(counts: Counts, rng: np.random.Generator) -> float:
    """Return the p-value of a confusion matrix under permutation (Phipson & Smyth 2010)."""
    n_classes = len(counts)
    orders = rng.permuted(np.tile(np.arange(n_classes), (PERMUTATIONS, 1)), axis=1)
    hits = counts[np.arange(n_classes), orders].sum(axis=1)
    return float((1 + np.sum(hits >= counts.trace())) / (1 + PERMUTATIONS))
