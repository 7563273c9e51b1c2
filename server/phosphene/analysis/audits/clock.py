"""A0: whether the clock alone tells the class, without any EEG."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.audits.chance import binomial_p
from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.material import Material
from phosphene.analysis.metrics import accuracy, chance

NEIGHBOURS = 5
CLOCKS = 3
"""Three clocks are tried, so that p is multiplied by three (Bonferroni)."""


def clock(material: Material) -> Measured | Finding:
    """Return A0: the class from trial time, time in the run, or place in the block.

    The nearest ``NEIGHBOURS`` training trials vote, in the folds that the decoder is tested in; the
    best of the three clocks counts.
    """
    if not material.timed:
        return not_applicable("A0", "clock", "warning", "The times of the trials are not known.")
    hits, n_tested = max(_hits(material, each) for each in (_time, _in_run, _in_block))
    null = chance(material.wnids)
    found = accuracy(hits, n_tested, null)
    return Measured(
        "A0",
        "clock",
        "warning",
        "The clock alone, without any EEG, tells the class: not identifiable, confounded by design."
        if material.nested
        else "The clock alone, without any EEG, tells the class: the order of the trials is not "
        "balanced over time.",
        "The clock alone does not tell the class.",
        "accuracy",
        found.fraction,
        null,
        found.low,
        found.high,
        min(1.0, CLOCKS * binomial_p(hits, n_tested, null)),
    )


Clock = Callable[[Material], NDArray[np.float64]]


def _time(material: Material) -> NDArray[np.float64]:
    return np.array([trial.time for trial in material.trials])


def _in_run(material: Material) -> NDArray[np.float64]:
    first: dict[int, float] = {}
    for trial in material.trials:
        first.setdefault(trial.run, trial.time)
    return np.array([trial.time - first[trial.run] for trial in material.trials])


def _in_block(material: Material) -> NDArray[np.float64]:
    return np.array([trial.trial for trial in material.trials], np.float64)


def _hits(material: Material, measure: Clock) -> tuple[int, int]:
    """Return how many tested trials the nearest training trials name, and of how many."""
    times, wnids = measure(material), np.array(material.wnids)
    hits = n_tested = 0
    for fold in material.folds:
        votes = _votes(times[fold.train], wnids[fold.train], times[fold.test])
        hits += int(np.count_nonzero(votes == wnids[fold.test]))
        n_tested += len(fold.test)
    return hits, n_tested


def _votes(
    train: NDArray[np.float64], wnids: NDArray[np.str_], test: NDArray[np.float64]
) -> NDArray[np.str_]:
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(NEIGHBOURS, len(train)))
    return np.asarray(model.fit(train[:, np.newaxis], wnids).predict(test[:, np.newaxis]))
