"""How many decodings are right, and how surprising that is in the design at hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.audits.chance import binomial_p
from phosphene.analysis.audits.material import Material
from phosphene.analysis.audits.neighbours import shares, still_to_come
from phosphene.analysis.audits.reference import Decoded
from phosphene.analysis.metrics import Accuracy, accuracy_over, chance
from phosphene.analysis.permutation import permute_labels
from phosphene.analysis.units import units_of
from phosphene.events import Onset

BOTH_WAYS = 2.0
"""A run trains the decoder that is tested on another one, and is tested by what that one trains:
what two runs share by accident counts twice. Hits therefore vary up to twice as much as they would
if all trials were independent; measured without any code: 1.0 to 1.7 times."""


Known = Literal["past", "future", "nothing"]


@dataclass(frozen=True)
class Hits:
    """How many decodings are right."""

    accuracy: Accuracy
    """Its chance is what a guess gets right that knows the design, but not the trial."""
    p: float
    """One-sided."""


def count(material: Material, *windows: Decoded, known: Known = "past") -> Hits:
    """Return the hits of decodings of the same trials in one or several windows, taken together.

    Where blocks mix classes, a decoding is compared with a guess that knows the block, and what it
    showed in the past (or the future), for so much the signal may know. Hits less such guesses are
    a martingale; they are judged by the normal distribution with the variance that guesses have,
    times ``BOTH_WAYS``. Where every block shows one class, the classes of whole blocks are
    permuted. In nested designs trials are taken as if independent.
    """
    if material.nested:
        return _as_if_independent(material, windows[0])
    if blocks_are_pure(material):
        return _permuting_blocks(material, windows[0])
    return _guessing(material, windows, known)


def count_permuted(
    trials: Sequence[Onset], decoded: Sequence[str], rng: np.random.Generator
) -> Hits:
    """Return the hits of trials of a mixed design, and how often permuted labels do as well.

    Labels change places within their block or, where each block shows one class, whole blocks
    within their run.
    """
    labels, units = [trial.wnid for trial in trials], units_of(trials)
    classes = sorted({*labels, *decoded})
    certain = np.array(decoded)[:, np.newaxis] == np.array(classes)
    p = permute_labels(labels, classes, certain.astype(float), units, rng).p
    right = np.array(decoded) == np.array(labels)
    found = accuracy_over(right, None if units.single else units.of, chance(labels))
    return Hits(found, 1.0 if p is None else p)


def blocks_are_pure(material: Material) -> bool:
    """Return whether every block shows one class only."""
    return units_of(material.trials).kind == "block"


def _as_if_independent(material: Material, decoded: Decoded) -> Hits:
    labels = np.array(material.wnids)[decoded.rows]
    found = accuracy_over(decoded.labels == labels, None, chance(labels.tolist()))
    return Hits(found, binomial_p(found.n_correct, found.n_trials, found.chance))


def _permuting_blocks(material: Material, decoded: Decoded) -> Hits:
    trials = [material.trials[row] for row in decoded.rows]
    return count_permuted(trials, decoded.labels.tolist(), material.rng("hits"))


def _guessing(material: Material, windows: Sequence[Decoded], known: Known) -> Hits:
    from scipy.stats import norm

    rows, classes = windows[0].rows, np.array(windows[0].classes)
    right = np.array([window.labels == np.array(material.wnids)[rows] for window in windows])
    # By trial and class: in how many windows it was decoded.
    times = np.sum([window.labels[:, np.newaxis] == classes for window in windows], axis=0)
    guess = _guesses(material.trials, known)[rows]
    expected = (times * guess).sum(axis=1)
    variance = (times**2 * guess).sum(axis=1) - expected**2
    surplus = right.sum() - expected.sum()
    spread = np.sqrt(BOTH_WAYS * variance.sum())
    units = np.tile(np.arange(len(rows)), len(windows))
    found = accuracy_over(right.ravel(), units, expected.sum() / right.size)
    return Hits(found, float(norm.sf(surplus / spread)) if spread else 1.0)


def _guesses(trials: Sequence[Onset], known: Known) -> NDArray[np.float64]:
    """Return the probability of each class by trial, (n_trials, n_classes)."""
    match known:
        case "past":
            return still_to_come(trials)
        case "future":
            return still_to_come(trials[::-1])[::-1]
        case "nothing":
            return shares(trials)
