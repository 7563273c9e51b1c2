"""How well a decoder does on trials that it has not seen, told together with what that is worth."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from phosphene.analysis import metrics
from phosphene.analysis.folding import Pipeline, Tested, tested
from phosphene.analysis.metrics import CONFOUNDED, Accuracy
from phosphene.analysis.predictions import Predictions, aligned
from phosphene.analysis.splits import Fold, default_split, is_nested, make_folds
from phosphene.choice import Chosen, plain
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
    interval: Literal["Clopper-Pearson"] = "Clopper-Pearson"


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
    found: list[Tested] = []
    for number, fold in enumerate(folds):
        name = f"testing {fold.name}"
        part = context.part(number / len(folds), (number + 1) / len(folds), name)
        part.progress(0.0, "")
        found.append(tested(training_set, pipeline, decoder, part, fold))
    context.progress(1.0, "tested")
    # A decoder may know classes that no trial showed.
    classes = tuple(sorted({*training_set.classes}.union(*(each.classes for each in found))))
    probabilities = np.full((len(training_set.trials), len(classes)), np.nan)
    tested_in = [""] * len(training_set.trials)
    for fold, each in zip(folds, found, strict=True):
        probabilities[fold.test] = aligned(each.probabilities, each.classes, classes)
        for index in fold.test:
            tested_in[index] = fold.name
    return Predictions(training_set.trials, tested_in, classes, probabilities)


def judge(
    predictions: Predictions,
    decoder: dict[str, Any],
    split: str,
    names: Mapping[str, str],
    nested: bool,
) -> Evaluation:
    """Return what predictions are worth; ``names`` are those of the classes by wnid."""
    label = CONFOUNDED if nested else ""
    wnids, classes = predictions.wnids, predictions.classes
    probabilities = predictions.probabilities
    right = metrics.ranks(wnids, classes, probabilities) == 1
    chance = metrics.chance(wnids)
    return Evaluation(
        decoder=decoder,
        split=split,
        nested=nested,
        label=label,
        n_trials=len(wnids),
        classes={wnid: names.get(wnid, wnid) for wnid in classes},
        top=metrics.top_accuracies(wnids, classes, probabilities, label),
        by_class=metrics.accuracy_by(wnids, right, chance, label),
        by_fold=_in_order(metrics.accuracy_by(predictions.folds, right, chance, label)),
        confusion=tuple(map(tuple, metrics.confusion(wnids, classes, probabilities).tolist())),
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
    lines += [f"top-{accuracy.k}: {accuracy}" for accuracy in evaluation.top]
    return [*lines, *filter(None, [describe_origin(evaluation)])]


def describe_origin(evaluation: Evaluation) -> str:
    """Return a sentence for a decoder that belongs to another subject, or nothing."""
    subject = evaluation.trained_on
    return f"The decoder was trained on another subject: {subject}." if subject else ""


def _in_order(found: dict[str, Accuracy]) -> dict[str, Accuracy]:
    """Return run 9 before run 10."""
    return {name: found[name] for name in sorted(found, key=lambda name: (len(name), name))}
