"""What feedback can be expected to get right, found out before a subject is told anything."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from phosphene.analysis import metrics
from phosphene.analysis.forward import forward_of_bundle, forward_of_session
from phosphene.analysis.metrics import Accuracy
from phosphene.analysis.predictions import Predictions
from phosphene.analysis.separability import best_classes
from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError
from phosphene.evidence import Evidence
from phosphene.interfaces import Context
from phosphene.messages import Prospect, Verdict
from phosphene.plan import feedback_blocks
from phosphene.registry import Registry
from phosphene.settings import Settings

Simulated = tuple[str, Verdict]
"""The class of a trial's decodings, and what the evidence came to."""
FEWEST = 6
"""Decided trials below which nothing is claimed. Two classes need as many in any case; of 40
classes two lucky ones would do."""
N_GROUPINGS = 21
"""Random ways of making trials of decodings, of which the middle one is taken; odd."""


@dataclass(frozen=True)
class Rule:
    """What feedback is to be like."""

    candidates: tuple[str, ...]
    """wnids to choose from."""
    n_classes: int | None
    """How many are chosen; None for all of them."""
    threshold: float | None
    """See ``Evidence``."""
    repetitions: int
    """Images of a trial at most."""


def assess(
    folder: SessionFolder, settings: Settings, registry: Registry, context: Context, bundle: Path
) -> Prospect:
    """Return what feedback with a bundle can be expected to get right.

    It rests on decodings of the recording that trained the bundle: see ``forward``. Those of this
    session are made if they are not there; those of an earlier one lie beside its bundle. What
    cannot be known is a refusal, not an error.
    """
    loop = settings.closed_loop
    trials = [t for block in feedback_blocks(settings, context) for t in block.trials]
    planned = tuple(dict.fromkeys(trial.wnid for trial in trials))
    repetitions = max(len(trial.images) for trial in trials)
    own = bundle.resolve().is_relative_to(folder.derivatives.resolve())
    try:
        if own:
            predictions, label = forward_of_session(folder, settings, registry, context)
        else:
            predictions, label = forward_of_bundle(bundle)
    except PhospheneError as error:
        return _unknown(planned, repetitions, str(error))
    known = tuple(wnid for wnid in predictions.classes if wnid in context.stimuli.classes)
    rule = Rule(known if loop.classes else planned, loop.classes, loop.threshold, repetitions)
    return prospect(predictions, rule, context.seed, label)


def prospect(predictions: Predictions, rule: Rule, seed: int, label: str = "") -> Prospect:
    """Return what feedback would have got right on decodings of trials not trained on.

    Trials are simulated: decodings of one class and one fold, which are one decoder's, in random
    order, no decoding used twice, are fed to the evidence as they would be live. Each class of a
    fold gets as many trials. If classes are chosen, those of a fold's trials are chosen on the
    folds before it, which come in the order of the trials, so that no set is tested on what made
    it look separable; the first fold then only chooses. The set for feedback is chosen on all.

    True feedback is refused unless the lower end of the exact 95 % interval of the accuracy among
    decided trials exceeds chance. Chance is one in as many as there are classes, also if the
    decided trials are not of every class as often: whatever does not depend on the EEG, the choice
    of when to decide included, is right that often.

    Which decodings make up a trial is a matter of luck: of ``N_GROUPINGS`` ways the one counts
    that has the middle lower end. A median of tests that depend on each other in whatever way is
    wrong at most twice as often as one of them (Rueger, Metrika 25:171 (1978)), here 5 %; in
    simulations it is wrong less often than one, because extremes do not count.
    """
    if problem := _problem(predictions, rule):
        return _unknown(rule.candidates, rule.repetitions, problem)
    tested = _Tested(predictions, rule, seed)
    classes = tested.choose(tested.folds)
    groupings = tested.groupings()
    if not groupings[0]:
        return _unknown(classes, rule.repetitions, _too_few(rule, tested.folds))
    found = structs.replace(
        _middle(groupings, 1 / len(classes)),
        classes=classes,
        repetitions=rule.repetitions,
        label=label,
        donors=tested.donors(classes),
    )
    return structs.replace(found, refusal=_refusal(found))


def expected(found: Prospect) -> Accuracy | None:
    """Return the accuracy that is to be expected among decided trials; None if none was."""
    if not found.n_decided:
        return None
    return metrics.accuracy(found.n_correct, found.n_decided, found.chance, label=found.label)


class _Tested:
    """Decodings of trials not trained on, by fold and class."""

    def __init__(self, predictions: Predictions, rule: Rule, seed: int) -> None:
        self._predictions = predictions
        self._rule = rule
        self._rng = np.random.default_rng((seed, *b"prospect"))
        self.folds = list(dict.fromkeys(predictions.folds))
        self._rows: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row, key in enumerate(zip(predictions.folds, predictions.wnids, strict=True)):
            self._rows[key].append(row)

    def choose(self, folds: Sequence[str]) -> tuple[str, ...]:
        """Return the classes that are told apart best in some folds, or all if none are chosen."""
        rule = self._rule
        if rule.n_classes is None:
            return rule.candidates
        return best_classes(self._predictions, folds, rule.candidates, rule.n_classes)

    def groupings(self) -> list[list[Simulated]]:
        """Return the trials that test the rule, made of the decodings in several ways."""
        first = 0 if self._rule.n_classes is None else 1
        sets = {
            fold: self.choose(self.folds[:number])
            for number, fold in enumerate(self.folds)
            if number >= first
        }
        # Every way is the same where a decoding is a trial.
        n_ways = N_GROUPINGS if self._rule.repetitions > 1 else 1
        return [
            list(chain.from_iterable(self._simulate(fold, of) for fold, of in sets.items()))
            for _ in range(n_ways)
        ]

    def donors(self, classes: tuple[str, ...]) -> tuple[Verdict, ...]:
        """Return the verdicts of trials of every fold, in random order."""
        found = [of for fold in self.folds for _, of in self._simulate(fold, classes)]
        return tuple(found[index] for index in self._rng.permutation(len(found)))

    def _simulate(self, fold: str, classes: tuple[str, ...]) -> list[Simulated]:
        """Return the trials that the decodings of a fold suffice for, as many of each class."""
        length = self._rule.repetitions
        n_trials = min(len(self._rows[fold, wnid]) for wnid in classes) // length
        return [
            (wnid, self._verdict(part, classes))
            for wnid in classes
            for part in self._drawn(fold, wnid)[: n_trials * length].reshape(n_trials, length)
        ]

    def _drawn(self, fold: str, wnid: str) -> NDArray[np.intp]:
        return self._rng.permutation(np.array(self._rows[fold, wnid], np.intp))

    def _verdict(self, rows: NDArray[np.intp], classes: tuple[str, ...]) -> Verdict:
        evidence = Evidence(classes, self._rule.threshold, self._rule.repetitions)
        known, probabilities = self._predictions.classes, self._predictions.probabilities
        verdicts = (evidence.add(known, probabilities[row].tolist()) for row in rows)
        return next(verdict for verdict in verdicts if verdict)


def _middle(groupings: Sequence[Sequence[Simulated]], chance: float) -> Prospect:
    """Return the numbers of the grouping that has the middle lower end."""
    counts = [_count(simulated) for simulated in groupings]
    ends = {each: _interval(*each, chance) for each in set(counts)}
    n_correct, n_decided = middle = sorted(counts, key=lambda each: ends[each])[len(counts) // 2]
    low, high = ends[middle]
    return Prospect((), 0, n_decided, n_correct, len(groupings[0]), chance, low, high)


def _count(simulated: Sequence[Simulated]) -> tuple[int, int]:
    """Return how many trials were decided rightly, and how many at all."""
    decided = [wnid == verdict.wnid for wnid, verdict in simulated if verdict.wnid]
    return sum(decided), len(decided)


def _interval(n_correct: int, n_decided: int, chance: float) -> tuple[float, float]:
    if not n_decided:
        return 0.0, 1.0
    found = metrics.accuracy(n_correct, n_decided, chance)
    return found.low, found.high


def _problem(predictions: Predictions, rule: Rule) -> str:
    """Return why nothing can be known, in words."""
    lacking = [wnid for wnid in rule.candidates if wnid not in predictions.classes]
    if lacking:
        return (
            f"feedback is to show {', '.join(lacking)}; the decoder was tested on "
            f"{', '.join(predictions.classes)}"
        )
    wanted = len(rule.candidates) if rule.n_classes is None else rule.n_classes
    if not 2 <= wanted <= len(rule.candidates):
        return (
            f"feedback is to have {wanted} of {len(rule.candidates)} classes; it needs two or "
            "more, and no more than there are"
        )
    return ""


def _too_few(rule: Rule, folds: Sequence[str]) -> str:
    if rule.n_classes is not None and len(folds) < 2:
        return (
            "classes are chosen on one part of the recording and tested on a later one, and only "
            "one could be decoded; record more runs or blocks, or let the paradigm name the classes"
        )
    return (
        f"no tested part of the recording has {rule.repetitions} decodings of each class to make a "
        "trial of; record more, or plan fewer repetitions"
    )


def _refusal(found: Prospect) -> str:
    accuracy = expected(found)
    shown = f"{found.n_decided} of {found.n_trials} simulated trials were decided"
    if accuracy is None:
        return f"none of {found.n_trials} simulated trials was decided; lower the threshold"
    if found.label:
        return f"{shown}, {accuracy}"
    if found.n_decided < FEWEST:
        return f"{shown}, {accuracy}: nothing is claimed on fewer than {FEWEST}; record more"
    if accuracy.above_chance:
        return ""
    return (
        f"{shown}, {accuracy}: chance is not ruled out; more repetitions, fewer classes or a "
        "longer recording may help"
    )


def _unknown(classes: Sequence[str], repetitions: int, why: str) -> Prospect:
    return Prospect(
        tuple(classes), repetitions, 0, 0, 0, 1 / max(1, len(classes)), 0.0, 1.0, refusal=why
    )
