"""What feedback can be expected to get right, found out before a subject is told anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from phosphene.analysis import metrics
from phosphene.analysis.evaluation import current_evaluation, read_evaluation
from phosphene.analysis.metrics import CONFOUNDED, Accuracy
from phosphene.analysis.predictions import Predictions, read_predictions
from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError
from phosphene.evidence import FLOOR, Evidence
from phosphene.interfaces import Context
from phosphene.messages import Prospect, Verdict
from phosphene.plan import feedback_blocks
from phosphene.registry import Registry
from phosphene.settings import Settings

Simulated = tuple[str, Verdict]
"""The class that was shown, and what the evidence came to."""
EXACT = 3
"""Classes up to which every set of them is compared; larger ones grow from the best of these."""


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

    It rests on the cross-validated decodings of the session that trained the bundle; those of
    this session are made if they are not there. What cannot be known is a refusal, not an error.
    """
    loop = settings.closed_loop
    trials = [t for block in feedback_blocks(settings, context) for t in block.trials]
    planned = tuple(dict.fromkeys(trial.wnid for trial in trials))
    repetitions = max(len(trial.images) for trial in trials)
    try:
        predictions, label = _cross_validated(folder, registry, context, bundle)
    except PhospheneError as error:
        return _nothing_known(planned, repetitions, str(error))
    candidates = predictions.classes if loop.classes else planned
    rule = Rule(candidates, loop.classes, loop.threshold, repetitions)
    return prospect(predictions, rule, context.seed, label)


def prospect(predictions: Predictions, rule: Rule, seed: int, label: str = "") -> Prospect:
    """Return what feedback would have got right on cross-validated decodings.

    Trials are simulated: decodings of one class and one fold, in random order by ``seed``, no
    decoding used twice, are fed to the evidence as they would be live. Each class gets as many
    trials in a fold, so that guessing is right in one of as many as there are classes. If the
    classes are chosen, those of a fold's trials are chosen on the other folds: classes that look
    separable by chance are not tested on the decodings that made them look so. The set for
    feedback is then chosen on all of them. True feedback is refused unless the lower end of the
    95 % interval of the accuracy among decided trials exceeds chance.
    """
    lacking = [wnid for wnid in rule.candidates if wnid not in predictions.classes]
    n_chosen = rule.n_classes or len(rule.candidates)
    if lacking or not 2 <= n_chosen <= len(rule.candidates):
        return _nothing_known(
            rule.candidates,
            rule.repetitions,
            f"{n_chosen} of the classes {', '.join(rule.candidates)} are wanted; the decoder was "
            f"tested on {', '.join(predictions.classes)}",
        )
    tested = _Tested(predictions, rule, seed)
    simulated: list[Simulated] = []
    for fold in tested.folds:
        elsewhere = [other for other in tested.folds if other != fold] or [fold]
        simulated += tested.simulate(fold, tested.choose(elsewhere))
    classes = tested.choose(tested.folds)
    if not simulated:
        return _nothing_known(
            classes,
            rule.repetitions,
            f"no run has {rule.repetitions} decodings of each of its classes",
        )
    donors = [verdict for fold in tested.folds for _, verdict in tested.simulate(fold, classes)]
    return _judged(simulated, classes, rule.repetitions, label, tested.shuffled(donors))


def expected(found: Prospect) -> Accuracy | None:
    """Return the accuracy that is to be expected among decided trials; None if none was."""
    if not found.n_decided:
        return None
    return metrics.accuracy(found.n_correct, found.n_decided, found.chance, label=found.label)


class _Tested:
    """Cross-validated decodings, by fold and class."""

    def __init__(self, predictions: Predictions, rule: Rule, seed: int) -> None:
        self._known = predictions.classes
        self._probabilities = predictions.probabilities
        self._logs = np.log(np.maximum(predictions.probabilities, FLOOR))
        self._wnids = np.array(predictions.wnids)
        self._fold = np.array(predictions.folds)
        self._rule = rule
        self._rng = np.random.default_rng((seed, *b"prospect"))
        self.folds = list(dict.fromkeys(predictions.folds))

    def choose(self, folds: Sequence[str]) -> tuple[str, ...]:
        """Return the classes that are told apart best in some folds, or all if none are chosen.

        That is the set with the highest mean area under the ROC curve over its pairs, of the log
        odds between the two classes of a pair.
        """
        if self._rule.n_classes is None:
            return self._rule.candidates
        names = sorted(self._rule.candidates)
        separability = self._separability(names, np.isin(self._fold, folds))
        return tuple(names[index] for index in _best_set(separability, self._rule.n_classes))

    def shuffled(self, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
        """Return verdicts in random order."""
        return tuple(verdicts[index] for index in self._rng.permutation(len(verdicts)))

    def simulate(self, fold: str, classes: Sequence[str]) -> list[Simulated]:
        """Return the trials that the decodings of a fold suffice for."""
        rows = {wnid: self._rows(fold, wnid) for wnid in classes}
        n_trials = min(len(each) for each in rows.values()) // self._rule.repetitions
        return [
            (wnid, self._verdict(part, classes))
            for wnid in classes
            for part in np.split(rows[wnid][: n_trials * self._rule.repetitions], n_trials or 1)
            if len(part)
        ]

    def _rows(self, fold: str, wnid: str) -> NDArray[np.intp]:
        return self._rng.permutation(np.flatnonzero((self._fold == fold) & (self._wnids == wnid)))

    def _verdict(self, rows: NDArray[np.intp], classes: Sequence[str]) -> Verdict:
        evidence = Evidence(classes, self._rule.threshold, self._rule.repetitions)
        verdicts = (evidence.add(self._known, self._probabilities[row].tolist()) for row in rows)
        return next(verdict for verdict in verdicts if verdict)

    def _separability(self, names: Sequence[str], used: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the area under the ROC curve for each pair of classes, symmetric."""
        found = np.full((len(names), len(names)), 0.5)
        rows = [np.flatnonzero(used & (self._wnids == wnid)) for wnid in names]
        column = [self._known.index(wnid) for wnid in names]
        for one, other in combinations(range(len(names)), 2):
            odds = self._logs[:, column[one]] - self._logs[:, column[other]]
            found[one, other] = found[other, one] = _area(odds[rows[one]], odds[rows[other]])
        return found


def _area(higher: NDArray[np.float64], lower: NDArray[np.float64]) -> float:
    """Return how often the first exceeds the second: the area under the ROC curve."""
    if not (len(higher) and len(lower)):
        return 0.5
    below = np.searchsorted(np.sort(lower), higher, side="left")
    not_above = np.searchsorted(np.sort(lower), higher, side="right")
    return float((below + not_above).mean() / (2 * len(lower)))


def _best_set(separability: NDArray[np.float64], size: int) -> tuple[int, ...]:
    """Return the set of classes with the highest mean separability over its pairs."""

    def mean(chosen: tuple[int, ...]) -> float:
        inner = separability[np.ix_(chosen, chosen)]
        return float(inner[np.triu_indices(len(chosen), 1)].mean())

    n = len(separability)
    best = max(combinations(range(n), min(size, EXACT)), key=mean)
    while len(best) < size:
        grown = (tuple(sorted((*best, each))) for each in range(n) if each not in best)
        best = max(grown, key=mean)
    return best


def _judged(
    simulated: Sequence[Simulated],
    classes: tuple[str, ...],
    repetitions: int,
    label: str,
    donors: tuple[Verdict, ...],
) -> Prospect:
    decided = [(wnid, verdict) for wnid, verdict in simulated if verdict.wnid]
    n_correct = sum(wnid == verdict.wnid for wnid, verdict in decided)
    chance = 1 / len(classes)
    low, high = 0.0, 1.0
    if decided:
        accuracy = metrics.accuracy(n_correct, len(decided), chance)
        low, high = accuracy.low, accuracy.high
    found = Prospect(
        classes,
        repetitions,
        len(decided),
        n_correct,
        len(simulated),
        chance,
        low,
        high,
        label=label,
        donors=donors,
    )
    return structs.replace(found, refusal=_refusal(found))


def _refusal(found: Prospect) -> str:
    accuracy = expected(found)
    shown = f"{found.n_decided} of {found.n_trials} simulated trials were decided"
    if accuracy is None:
        return f"none of {found.n_trials} simulated trials was decided"
    if found.label:
        return f"{shown}, {accuracy}"
    if found.low > found.chance:
        return ""
    return (
        f"{shown}, {accuracy}: chance is not ruled out; more repetitions, fewer classes or a "
        "longer recording may help"
    )


def _nothing_known(classes: Sequence[str], repetitions: int, why: str) -> Prospect:
    return Prospect(
        tuple(classes), repetitions, 0, 0, 0, 1 / max(1, len(classes)), 0.0, 1.0, refusal=why
    )


def _cross_validated(
    folder: SessionFolder, registry: Registry, context: Context, bundle: Path
) -> tuple[Predictions, str]:
    """Return the decodings that a bundle is judged by, and the label of their design."""
    if folder.segments("record"):
        found = current_evaluation(folder, registry, context)
        home = folder.derivatives
    else:
        home = bundle.resolve().parents[1]
        found = read_evaluation(home / folder.evaluation_file.name)
    if found.cross_validation is None:
        raise PhospheneError(f"the recording was not cross-validated: {found.problem}")
    predictions = read_predictions(home / "predictions.tsv")
    if predictions is None:
        raise PhospheneError(
            f"no cross-validated decodings in {home}; phosphene evaluate SESSION makes them"
        )
    nested = found.cross_validation.nested
    return predictions, CONFOUNDED if nested else found.cross_validation.label
