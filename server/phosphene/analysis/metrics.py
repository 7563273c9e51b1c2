"""Accuracies, none of which can be written down without its chance level and its interval."""

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

CONFOUNDED = "confounded by design: not evidence of decoding"
"""What stands beside every accuracy of a design in which class and time are one variable."""
CONFIDENCE = 0.95
RANKS = (1, 3, 5)


class Accuracy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many trials were right, and what that means; as text it is complete or not at all."""

    k: int
    """A trial is right if its class is among the ``k`` most probable ones."""
    n_correct: int
    n_trials: int
    chance: float
    """Fraction that the best constant guess gets right: k / number of classes if balanced."""
    low: float
    """Lower end of the 95 % interval: see ``accuracy``."""
    high: float
    label: str = ""
    """``CONFOUNDED`` if it is no evidence; part of the text."""

    @property
    def fraction(self) -> float:
        """Fraction of trials that were right."""
        return self.n_correct / self.n_trials

    @property
    def above_chance(self) -> bool:
        """Whether it is evidence of decoding: the whole interval is above chance."""
        return not self.label and self.low > self.chance

    def __str__(self) -> str:
        fraction, chance, low, high = (
            f"{100 * value:.1f}" for value in (self.fraction, self.chance, self.low, self.high)
        )
        text = (
            f"{fraction} % of {self.n_trials} trials "
            f"(chance {chance} %, 95 % interval {low} to {high} %)"
        )
        return f"{text}: {self.label}" if self.label else text


def accuracy(n_correct: int, n_trials: int, chance: float, k: int = 1, label: str = "") -> Accuracy:
    """Return an accuracy with its exact binomial interval.

    Clopper and Pearson, Biometrika 26:404 (1934): it covers the truth in at least 95 % of the
    cases whatever the truth is, so that what lies above chance does so for once cautiously.
    Trials are taken as independent.
    """
    from scipy.stats import binomtest

    interval = binomtest(n_correct, n_trials).proportion_ci(CONFIDENCE, method="exact")
    low, high = float(interval.low), float(interval.high)
    return Accuracy(k, n_correct, n_trials, chance, low, high, label)


def ranks(
    wnids: Sequence[str], classes: Sequence[str], probabilities: NDArray[np.floating]
) -> NDArray[np.intp]:
    """Return the rank, from 1, of the right class in each row of ``probabilities``.

    A tie counts against the decoder: a constant one is never right by the order of its columns,
    as it would be in scikit-learn's ``top_k_accuracy_score``.
    """
    column = {wnid: index for index, wnid in enumerate(classes)}
    right = probabilities[np.arange(len(wnids)), [column[wnid] for wnid in wnids]]
    return np.asarray((probabilities >= right[:, np.newaxis]).sum(axis=1))


def top_accuracies(
    wnids: Sequence[str],
    classes: Sequence[str],
    probabilities: NDArray[np.floating],
    label: str = "",
) -> tuple[Accuracy, ...]:
    """Return the top-1, top-3 and top-5 accuracy, as far as more classes than that were shown."""
    rank = ranks(wnids, classes, probabilities)
    n_shown = len(set(wnids))
    return tuple(
        accuracy(int((rank <= k).sum()), len(rank), chance(wnids, k), k, label)
        for k in RANKS
        if k < n_shown
    )


def accuracy_by(
    groups: Sequence[str], right: NDArray[np.bool_], chance: float, label: str = ""
) -> dict[str, Accuracy]:
    """Return the top-1 accuracy of each group of trials: of each class, or of each fold."""
    found = np.array(groups)
    return {
        group: accuracy(int(right[found == group].sum()), n, chance, label=label)
        for group, n in Counter(groups).items()
    }


def chance(wnids: Sequence[str], k: int = 1) -> float:
    """Return what guessing the ``k`` most frequent classes every time would score."""
    return sum(count for _, count in Counter(wnids).most_common(k)) / len(wnids)


def confusion(
    wnids: Sequence[str], classes: Sequence[str], probabilities: NDArray[np.floating]
) -> NDArray[np.intp]:
    """Return counts of trials, shape (shown class, decoded class)."""
    from sklearn.metrics import confusion_matrix

    decoded = np.array(classes)[probabilities.argmax(axis=1)]
    return np.asarray(confusion_matrix(wnids, decoded, labels=classes))
