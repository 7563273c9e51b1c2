"""Macro F1 and Cohen's kappa, told like accuracies: never without chance, interval and label."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.metrics import CONFIDENCE, Accuracy
from phosphene.analysis.units import Units

Counts = NDArray[np.floating]
"""Trials by shown and decoded class."""


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measure of decoding that is not a fraction of trials; as text it is complete."""

    name: str
    value: float
    n_trials: int
    chance: float
    """What the same decodings would score if they had nothing to do with the classes."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    label: str = ""
    """``CONFOUNDED`` if it is no evidence; part of the text."""

    @property
    def above_chance(self) -> bool:
        """Whether it is evidence of decoding: the whole interval is above chance."""
        return not self.label and self.low > self.chance

    def __str__(self) -> str:
        value, chance, low, high = (
            f"{number:.3f}" for number in (self.value, self.chance, self.low, self.high)
        )
        text = f"{value} of {self.n_trials} trials (chance {chance}, 95 % interval {low} to {high})"
        return f"{text}: {self.label}" if self.label else text


def scores(
    wnids: Sequence[str],
    decoded: Sequence[str],
    classes: Sequence[str],
    units: Units | None,
    top: Accuracy,
) -> tuple[Score, ...]:
    """Return macro F1 and kappa of top-1 decodings, whose accuracy is ``top``."""
    shown, found = (_columns(each, classes) for each in (wnids, decoded))
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (shown, found), 1)
    rows = np.arange(len(shown)) if units is None else units.of
    return _macro_f1(counts, shown, found, rows, top), _kappa(counts, top)


def macro_f1(counts: Counts) -> float:
    """Return the mean over the classes that were shown of 2 TP / (shown + decoded)."""
    shown, decoded = counts.sum(axis=1), counts.sum(axis=0)
    f1 = 2 * counts.diagonal() / np.maximum(shown + decoded, 1)
    return float(f1[shown > 0].mean())


def kappa(counts: Counts) -> float:
    """Return Cohen's kappa, Educ. Psychol. Meas. 20:37 (1960); 0 if everything is one class."""
    agreed = _agreement_by_chance(counts)
    return float((counts.trace() / counts.sum() - agreed) / (1 - agreed)) if agreed < 1 else 0.0


def _macro_f1(
    counts: Counts,
    shown: NDArray[np.intp],
    found: NDArray[np.intp],
    units: NDArray[np.intp],
    top: Accuracy,
) -> Score:
    """Return macro F1 with the interval of the jackknife: one unit left out at a time.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 11. Where it does not
    vary, because everything or nothing is right, the interval is that of the accuracy.
    """
    from scipy.stats import t

    value, n = macro_f1(counts), int(units.max()) + 1
    error = _jackknife_error(counts, shown, found, units)
    reach = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error if n > 1 else 1.0
    low, high = (value - reach, value + reach) if reach else (top.low, top.high)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    ends = max(0.0, low), min(1.0, high)
    return Score("macro F1", value, top.n_trials, macro_f1(expected), *ends, top.label)


def _jackknife_error(
    counts: Counts, shown: NDArray[np.intp], found: NDArray[np.intp], units: NDArray[np.intp]
) -> float:
    n = int(units.max()) + 1
    without = []
    for rows in np.split(np.argsort(units, kind="stable"), np.bincount(units).cumsum()[:-1]):
        left = counts.copy()
        np.subtract.at(left, (shown[rows], found[rows]), 1)
        without.append(macro_f1(left) if left.any() else 0.0)
    return float(np.sqrt((n - 1) * np.var(without)))


def _kappa(counts: Counts, top: Accuracy) -> Score:
    """Return kappa with the ends of the accuracy's interval, as kappas.

    The agreement that is due to chance is taken as known, as Cohen's own standard error does.
    """
    agreed = _agreement_by_chance(counts)
    low, high = (
        (end - agreed) / (1 - agreed) if agreed < 1 else 0.0 for end in (top.low, top.high)
    )
    return Score("Cohen's kappa", kappa(counts), top.n_trials, 0.0, low, high, top.label)


def _agreement_by_chance(counts: Counts) -> float:
    return float(counts.sum(axis=1) @ counts.sum(axis=0) / counts.sum() ** 2)


def _columns(wnids: Sequence[str], classes: Sequence[str]) -> NDArray[np.intp]:
    column = {wnid: index for index, wnid in enumerate(classes)}
    return np.array([column[wnid] for wnid in wnids], np.intp)
