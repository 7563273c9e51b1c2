"""A2: what a random split makes of a drift."""

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.material import TMAX, TMIN, Material
from phosphene.analysis.audits.reference import Decoded, cross_decode
from phosphene.analysis.permutation import AT_ONCE, N_PERMUTATIONS
from phosphene.analysis.splits import random_folds
from phosphene.errors import PhospheneError

MIN_BLOCKS = 6
"""Fewer have too few signs to tell anything."""


def random_split(material: Material) -> Measured | Finding:
    """Return A2: accuracy with a random split minus that with the split that the design allows.

    Both have as many folds. Drift lifts the random split where neighbours are of the same class;
    where blocks are balanced it pushes it below chance, because the neighbours are all of other
    classes. The test is two-sided: signs of the differences by block change places. Power alone is
    decoded: the high-pass filter of the waveform makes neighbours unlike each other without any
    drift, by 6 points in blocks of one class that show nothing.
    """
    if material.nested:
        reason = "The design allows no split but one that trains on the blocks that it tests."
        return not_applicable("A2", "random split", "warning", reason)
    try:
        folds = random_folds(material.trials, max(2, len(material.folds)), material.seed)
    except PhospheneError as error:
        return not_applicable("A2", "random split", "warning", f"{error}.")
    power, labels = material.frames.features(TMIN, TMAX)[:1], np.array(material.wnids)
    honest = _right(cross_decode(power, material.wnids, material.folds), labels)
    mixed = _right(cross_decode(power, material.wnids, folds), labels)
    both = ~np.isnan(honest + mixed)
    gains = _by_block((mixed - honest)[both], material.blocks[both])
    if len(gains) < MIN_BLOCKS:
        reason = f"It takes at least {MIN_BLOCKS} blocks; there are {len(gains)}."
        return not_applicable("A2", "random split", "warning", reason)
    gap, n = float((mixed - honest)[both].mean()), int(both.sum())
    reach = _reach(gains, n)
    return Measured(
        "A2",
        "random split",
        "warning",
        f"Trials split at random would have given another accuracy ({100 * gap:+.1f} points): the "
        "recording drifts, and only the split by run or block is to be believed.",
        "Trials split at random give the same accuracy as runs or blocks.",
        "difference of accuracies",
        gap,
        0.0,
        gap - reach,
        gap + reach,
        _sign_flip_p(gains, material.rng("A2")),
    )


def _right(decoded: Decoded, labels: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return 1 for each trial that is decoded rightly, NaN for those that are not decoded."""
    found = np.full(len(labels), np.nan)
    found[decoded.rows] = decoded.labels == labels[decoded.rows]
    return found


def _by_block(values: NDArray[np.float64], blocks: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the sum of each block."""
    _, number = np.unique(blocks, return_inverse=True)
    return np.asarray(np.bincount(number, values), float)


def _reach(gains: NDArray[np.float64], n_trials: int) -> float:
    """Return half the 95 % interval of the difference: Student's t over blocks."""
    from scipy.stats import t

    error = gains.std(ddof=1) * np.sqrt(len(gains)) / n_trials
    return float(t.ppf(0.975, len(gains) - 1) * error)


def _sign_flip_p(gains: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Return the two-sided p of a sum of differences whose signs might be others."""
    observed, as_far = abs(gains.sum()), 0
    for start in range(0, N_PERMUTATIONS, AT_ONCE):
        n = min(AT_ONCE, N_PERMUTATIONS - start)
        signs = rng.choice((-1.0, 1.0), (n, len(gains)))
        as_far += int((abs(signs @ gains) >= observed - 1e-9).sum())
    return (1 + as_far) / (1 + N_PERMUTATIONS)
