"""A0: whether the clock alone tells the class, without any EEG."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.audits.chance import binomial_p
from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.hits import Hits, count_permuted
from phosphene.analysis.audits.material import Material
from phosphene.analysis.metrics import accuracy, chance

NEIGHBOURS = 5
CLOCKS = 3
"""Three clocks are tried, so that p is multiplied by three (Bonferroni)."""


def clock(material: Material) -> Measured | Finding:
    """Return A0: the class from trial time, time in the run, or place in the block.

    The nearest ``NEIGHBOURS`` training trials vote, in the folds that the decoder is tested in; the
    best of the three clocks counts. In mixed designs labels change places under fixed votes, for
    votes of neighbouring trials are alike.
    """
    if not material.timed:
        return not_applicable("A0", "clock", "warning", "The times of the trials are not known.")
    every = [_judged(material, each) for each in (_time, _in_run, _in_block)]
    found = min(every, key=lambda hits: (hits.p, -hits.accuracy.fraction))
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
        found.accuracy.fraction,
        found.accuracy.chance,
        found.accuracy.low,
        found.accuracy.high,
        min(1.0, CLOCKS * found.p),
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


def _judged(material: Material, measure: Clock) -> Hits:
    """Return how often the nearest training trials name the class of a tested one."""
    times, wnids = measure(material), np.array(material.wnids)
    rows, votes = [], []
    for fold in material.folds:
        rows += fold.test.tolist()
        votes += _votes(times[fold.train], wnids[fold.train], times[fold.test]).tolist()
    if not material.nested:
        return count_permuted([material.trials[row] for row in rows], votes, material.rng("A0"))
    null = chance(material.wnids)
    found = accuracy(int(np.count_nonzero(wnids[rows] == votes)), len(rows), null)
    return Hits(found, binomial_p(found.n_correct, found.n_trials, null))


def _votes(
    train: NDArray[np.float64], wnids: NDArray[np.str_], test: NDArray[np.float64]
) -> NDArray[np.str_]:
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(NEIGHBOURS, len(train)))
    return np.asarray(model.fit(train[:, np.newaxis], wnids).predict(test[:, np.newaxis]))
