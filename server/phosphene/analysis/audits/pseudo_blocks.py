"""A1: what a block design would have gained on this recording."""

from msgspec import structs

from phosphene.analysis.audits.chance import binomial_p
from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.material import TMAX, TMIN, Material
from phosphene.analysis.audits.reference import cross_decode
from phosphene.analysis.metrics import accuracy, chance
from phosphene.analysis.splits import random_folds
from phosphene.analysis.units import units_of
from phosphene.events import Onset

N_FOLDS = 5


def pseudo_blocks(material: Material) -> Measured | Finding:
    """Return A1: stretches of time decoded as if each were the block of a class.

    There are as many stretches as classes, and trials are split at random, as block designs have
    it. It is no fault of this recording: in a mixed design no class gains from it.
    """
    if material.nested or units_of(material.trials).kind == "block":
        reason = "The classes have blocks of their own: there is no need to make some up."
        return not_applicable("A1", "pseudo-blocks", "information", reason)
    trials = _relabelled(material)
    labels = [trial.wnid for trial in trials]
    folds = random_folds(trials, N_FOLDS, material.seed)
    decoded = cross_decode(material.frames.features(TMIN, TMAX), labels, folds)
    hits = sum(decoded.labels[i] == labels[row] for i, row in enumerate(decoded.rows.tolist()))
    found = accuracy(hits, len(decoded.rows), chance(labels))
    return Measured(
        "A1",
        "pseudo-blocks",
        "information",
        "Stretches of time are told from each other here: had each been the block of a class, that "
        "much would have been decoded without any class in the EEG.",
        "Stretches of time are not told from each other here: a block design would have gained "
        "nothing from them.",
        "accuracy of the stretch",
        found.fraction,
        found.chance,
        found.low,
        found.high,
        binomial_p(found.n_correct, found.n_trials, found.chance),
    )


def _relabelled(material: Material) -> list[Onset]:
    """Return the trials with the number of their stretch of time for a class."""
    length = -(-len(material.trials) // material.n_classes)
    return [
        structs.replace(trial, wnid=f"stretch {index // length}")
        for index, trial in enumerate(material.trials)
    ]
