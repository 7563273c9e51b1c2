"""Accuracies, none of which can be written down without its chance level and its interval."""

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.design import CONFOUNDED

__all__ = [
    "CONFIDENCE",
    "CONFOUNDED",
    "Accuracy",
    "accuracy",
    "accuracy_by",
    "accuracy_over",
    "chance",
    "confusion",
    "ranks",
    "top_accuracies",
]

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
    n_units: int = 0
    """Units, such as blocks, whose trials the interval does not take as independent; 0 if none."""

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
        over = f" over {self.n_units} units" if self.n_units else ""
        text = (
            f"{fraction} % of {self.n_trials} trials "
            f"(chance {chance} %, 95 % interval{over} {low} to {high} %)"
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


def accuracy_over(
    right: NDArray[np.bool_],
    units: NDArray[np.intp] | None,
    chance: float,
    k: int = 1,
    label: str = "",
) -> Accuracy:
    """Return the accuracy of trials of which those of a unit may not be independent.

    ``units`` numbers the unit of each trial; without it, and where a unit is a trial, this is
    ``accuracy``. Otherwise the interval is that of Korn and Graubard, Survey Methodology 24:193
    (1998): Clopper and Pearson's for as many independent trials as would vary as the units do, made
    wider for their being few. One unit alone says nothing: the interval is 0 to 1.
    """
    from scipy.stats import beta

    n, n_correct = len(right), int(right.sum())
    n_units = n if units is None else len(np.unique(units))
    if units is None or n_units == n:
        return accuracy(n_correct, n, chance, k, label)
    effective = _effective_trials(right, units, n_units)
    hits, tail = effective * n_correct / n, (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, hits, effective - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, effective - hits)) if hits < effective else 1.0
    return Accuracy(k, n_correct, n, chance, low, high, label, n_units)


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
    units: NDArray[np.intp] | None = None,
) -> tuple[Accuracy, ...]:
    """Return the top-1, top-3 and top-5 accuracy, as far as more classes than that were shown."""
    rank = ranks(wnids, classes, probabilities)
    n_shown = len(set(wnids))
    return tuple(
        accuracy_over(rank <= k, units, chance(wnids, k), k, label) for k in RANKS if k < n_shown
    )


def accuracy_by(
    groups: Sequence[str],
    right: NDArray[np.bool_],
    chance: float,
    label: str = "",
    units: NDArray[np.intp] | None = None,
) -> dict[str, Accuracy]:
    """Return the top-1 accuracy of each group of trials: of each class, or of each fold."""
    found = np.array(groups)
    return {
        group: accuracy_over(
            right[found == group],
            None if units is None else units[found == group],
            chance,
            label=label,
        )
        for group in dict.fromkeys(groups)
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


def _effective_trials(right: NDArray[np.bool_], units: NDArray[np.intp], n_units: int) -> float:
    """Return how many independent trials the units are worth."""
    from scipy.stats import t

    if n_units < 2:
        return 0.0
    n, fraction = len(right), right.mean()
    number = np.unique(units, return_inverse=True)[1]
    apart = np.bincount(number, right - fraction)
    variance = n_units / (n_units - 1) * (apart**2).sum() / n**2
    # Where nothing varies, because everything or nothing is right, a unit counts once.
    worth = fraction * (1 - fraction) / variance if variance else float(n_units)
    tail = (1 + CONFIDENCE) / 2
    few = (t.ppf(tail, n - 1) / t.ppf(tail, n_units - 1)) ** 2
    return float(min(n, worth * few))
