"""How well a decoder does on trials that it has not seen, told together with what that is worth."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from phosphene.analysis import metrics
from phosphene.analysis.folding import Pipeline, Tested, tested
from phosphene.analysis.metrics import Accuracy
from phosphene.analysis.permutation import Permutation, permute_labels
from phosphene.analysis.predictions import Predictions, aligned
from phosphene.analysis.scores import Score, scores
from phosphene.analysis.splits import Fold, default_split, make_folds
from phosphene.analysis.units import units_of
from phosphene.choice import Chosen, plain
from phosphene.design import CONFOUNDED, Shown, is_nested
from phosphene.errors import PhospheneError
from phosphene.interfaces import Context, DecoderConfig, TrainingSet


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well some trials were decoded; every accuracy in it carries its label."""

    decoder: dict[str, Any]
    """Name and settings."""
    split: str
    """``live`` or ``live, shadow-1`` for what was decoded while the session ran."""
    nested: bool
    """Whether class and time are one variable in the trials."""
    label: str
    """``CONFOUNDED`` if nested, or empty."""
    n_trials: int
    classes: dict[str, str]
    """wnid -> name, in the order of ``confusion``."""
    top: tuple[Accuracy, ...]
    """Top-1, top-3, top-5; fewer with few classes."""
    by_class: dict[str, Accuracy]
    by_fold: dict[str, Accuracy]
    confusion: tuple[tuple[int, ...], ...]
    """Trials by shown (outer) and decoded (inner) class."""
    n_incomplete: int = 0
    """Trials left out because samples of their epoch are missing."""
    trained_on: str = ""
    """Subject whose recording the decoder was fitted on, if it is another than the one tested."""
    interval: Literal["Clopper-Pearson", "Korn-Graubard"] = "Clopper-Pearson"
    """The second where trials are independent only if they are of different blocks."""
    scores: tuple[Score, ...] = ()
    """Macro F1 and Cohen's kappa, of top-1."""
    permutation: Permutation | None = None
    """Of top-1; None in evaluations of an early version."""
    rejected: dict[str, int] = {}
    """Trials that were not decoded because of artefacts, by wnid."""


def evaluate(
    training_set: TrainingSet,
    pipeline: Pipeline,
    decoder: Chosen[DecoderConfig],
    context: Context,
    split: str | None = None,
) -> tuple[Evaluation, Predictions]:
    """Return the cross-validated accuracy of a decoder on raw epochs, and what it rests on.

    Raises ``PhospheneError`` if the trials do not allow the split, or show fewer than 2 classes.
    """
    trials = training_set.trials
    if len(training_set.classes) < 2:
        raise PhospheneError(f"decoding needs at least 2 classes; found {training_set.classes}")
    split = split or default_split(trials)
    folds = make_folds(split, trials, context.seed)
    predictions = predict(training_set, pipeline, decoder.config, context, folds)
    names = training_set.stimuli.classes
    return judge(predictions, plain(decoder), split, names, is_nested(trials)), predictions


def describe_classes(evaluation: Evaluation) -> list[str]:
    """Return the top-1 accuracy of each class as lines of text."""
    accuracies = evaluation.by_class
    return [f"{name}: {accuracies[w]}" for w, name in evaluation.classes.items() if w in accuracies]


def predict(
    training_set: TrainingSet,
    pipeline: Pipeline,
    decoder: DecoderConfig,
    context: Context,
    folds: Sequence[Fold],
) -> Predictions:
    """Return the probabilities of every tested trial, in the order of the trials."""
    label = training_set.label
    found: list[Tested] = []
    for number, fold in enumerate(folds):
        # A decoder may tell how well it does on what it holds out.
        name = f"testing {fold.name}" + (f" ({label})" if label else "")
        part = context.part(number / len(folds), (number + 1) / len(folds), name)
        part.progress(0.0, "")
        found.append(tested(training_set, pipeline, decoder, part, fold))
    context.progress(1.0, "tested")
    return assembled(training_set.trials, folds, found)


def assembled(
    trials: Sequence[Shown], folds: Sequence[Fold], found: Sequence[Tested]
) -> Predictions:
    """Return what was made of the test trials of all folds, in the order of the trials."""
    # A decoder may know classes that no trial showed.
    shown = {trial.wnid for trial in trials}
    classes = tuple(sorted(shown.union(*(each.classes for each in found))))
    probabilities = np.full((len(trials), len(classes)), np.nan)
    tested_in = [""] * len(trials)
    for fold, each in zip(folds, found, strict=True):
        probabilities[fold.test] = aligned(each.probabilities, each.classes, classes)
        for index in fold.test:
            tested_in[index] = fold.name
    nothing = np.isnan(probabilities).any(axis=1)
    tested_rows = [row for row in range(len(trials)) if tested_in[row]]
    rejected = [row for row in tested_rows if nothing[row]]
    kept = [row for row in tested_rows if not nothing[row]]
    return Predictions(
        [trials[row] for row in kept],
        [tested_in[row] for row in kept],
        classes,
        probabilities[kept],
        tuple((trials[row], tested_in[row]) for row in rejected),
    )


def judge(
    predictions: Predictions,
    decoder: dict[str, Any],
    split: str,
    names: Mapping[str, str],
    nested: bool,
) -> Evaluation:
    """Return what predictions are worth; ``names`` are those of the classes by wnid.

    Raises ``PhospheneError`` if every trial was rejected.
    """
    label = CONFOUNDED if nested else ""
    wnids, classes = predictions.wnids, predictions.classes
    if not wnids:
        raise PhospheneError(f"all {len(predictions.rejected)} trials were rejected as artefacts")
    probabilities = predictions.probabilities
    right = metrics.ranks(wnids, classes, probabilities) == 1
    chance = metrics.chance(wnids)
    units = None if nested else units_of(predictions.trials)
    of = units.of if units else None
    top = metrics.top_accuracies(wnids, classes, probabilities, label, of)
    return Evaluation(
        decoder=decoder,
        split=split,
        nested=nested,
        label=label,
        n_trials=len(wnids),
        classes={wnid: names.get(wnid, wnid) for wnid in classes},
        top=top,
        by_class=metrics.accuracy_by(wnids, right, chance, label, of),
        by_fold=_in_order(metrics.accuracy_by(predictions.folds, right, chance, label, of)),
        confusion=tuple(map(tuple, metrics.confusion(wnids, classes, probabilities).tolist())),
        interval="Clopper-Pearson" if units is None or units.single else "Korn-Graubard",
        scores=scores(wnids, predictions.decoded, classes, units, top[0]) if top else (),
        permutation=permute_labels(wnids, classes, probabilities, units, _rng()),
        rejected=dict(sorted(Counter(trial.wnid for trial, _ in predictions.rejected).items())),
    )


def describe(evaluation: Evaluation) -> list[str]:
    """Return an evaluation as lines of text."""
    (decoder,) = evaluation.decoder or [""]
    kind, _, role = evaluation.split.partition(", ")
    how = f"decoded live {role and 'as'} {role}".strip() if kind == "live" else f"split {kind}"
    lines = [
        f"{decoder}, {how}: {evaluation.n_trials} trials of {len(evaluation.by_class)} classes"
    ]
    if evaluation.n_incomplete:
        lines.append(f"{evaluation.n_incomplete} trials were left out: samples are missing")
    if evaluation.rejected:
        lines.append(describe_rejected(evaluation))
    lines += [f"top-{accuracy.k}: {accuracy}" for accuracy in evaluation.top]
    lines += [f"{score.name}: {score}" for score in evaluation.scores]
    if evaluation.permutation:
        lines.append(f"permutation test, top-1: {evaluation.permutation}")
    return [*lines, *filter(None, [describe_origin(evaluation)])]


def describe_rejected(evaluation: Evaluation) -> str:
    """Return how many trials were not decoded because of artefacts, by class."""
    counts = evaluation.rejected
    if not counts:
        return "No trial was rejected as an artefact"
    by_class = ", ".join(f"{evaluation.classes.get(wnid, wnid)} {n}" for wnid, n in counts.items())
    return f"{sum(counts.values())} trials were rejected as artefacts, by class: {by_class}"


def describe_origin(evaluation: Evaluation) -> str:
    """Return a sentence for a decoder that belongs to another subject, or nothing."""
    subject = evaluation.trained_on
    return f"The decoder was trained on another subject: {subject}." if subject else ""


def _rng() -> np.random.Generator:
    """Return the generator of permutations: the same decodings have the same p."""
    return np.random.default_rng([*b"permutation"])


def _in_order(found: dict[str, Accuracy]) -> dict[str, Accuracy]:
    """Return run 9 before run 10."""
    return {name: found[name] for name in sorted(found, key=lambda name: (len(name), name))}
