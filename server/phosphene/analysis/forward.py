"""Forward chaining: every trial decoded by a decoder that had seen nothing but the past.

Cross-validation is not good enough a witness to choose classes by. Its decoders have learnt from
each other's test trials: two parts that look alike by chance make each other look decodable, and
leaving one of them out of the choice does not undo that, since it trained the decoder of the other.
Forward in time nothing of that kind can happen: given all that came before, the classes of a part
that carries no signal are as good as drawn at random (Dawid, J. R. Stat. Soc. A 147:278 (1984)).
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.crossvalidation import predict
from phosphene.analysis.evaluation import collect_session, current_evaluation
from phosphene.analysis.metrics import CONFOUNDED
from phosphene.analysis.predictions import Predictions, read_predictions
from phosphene.analysis.splits import Fold, is_nested
from phosphene.bundle import EpochCard, epoch_card, read_card
from phosphene.choice import plain
from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.interfaces import Context
from phosphene.pipeline import Pipeline
from phosphene.registry import Registry
from phosphene.settings import Settings
from phosphene.training import COLLECTED

PARTS = 6
"""Parts of a recording at most: enough to learn from all but the last, few decoders to fit."""
RUNS = 4
"""Planned runs from which on a part is made of runs; of blocks if there are fewer."""
TABLE, CARD = "forward.tsv", "forward.json"


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a decoder is made, as a bundle's card has it."""

    stream: list[dict[str, Any]]
    epochs: EpochCard
    decoder: dict[str, Any]


class Forward(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``forward.json`` holds: what the decodings in ``forward.tsv`` are."""

    recipe: Recipe
    label: str
    """``CONFOUNDED`` if class and time are one variable; it is plain cross-validation then."""
    recordings: dict[str, int]
    """What they were made from: bytes by file."""
    format: Literal[1] = 1


def forward_of_session(
    folder: SessionFolder, settings: Settings, registry: Registry, context: Context
) -> tuple[Predictions, str]:
    """Return the decodings of a session's recording, and their label; made if they are not there.

    Raises ``PhospheneError`` if the recording does not allow it.
    """
    recordings = {path.name: path.stat().st_size for path in folder.segments("record")}
    if not recordings:
        raise PhospheneError(f"{folder.path} has no recording to test a decoder on")
    recipe = _recipe(settings)
    try:
        found, predictions = _read(folder.derivatives)
    except PhospheneError:
        pass  # They are made anew.
    else:
        if (found.recipe, found.recordings) == (recipe, recordings):
            return predictions, found.label
    predictions, label = _decode(folder, settings, registry, context)
    predictions.write(folder.derivatives / TABLE)
    content = msgspec.json.format(msgspec.json.encode(Forward(recipe, label, recordings)))
    (folder.derivatives / CARD).write_bytes(content + b"\n")
    return predictions, label


def forward_of_bundle(bundle: Path) -> tuple[Predictions, str]:
    """Return the decodings that were left beside a bundle, and their label.

    Raises ``PhospheneError`` if there are none, or if they are another decoder's.
    """
    home = bundle.resolve().parents[1]
    card = read_card(bundle)
    found, predictions = _read(home)
    if found.recipe != Recipe(card.stream, card.epochs, card.decoder):
        raise PhospheneError(
            f"the decodings in {home / TABLE} are those of another decoder or preprocessing than "
            f"{bundle}"
        )
    return predictions, found.label


def forward_folds(trials: Sequence[Onset]) -> tuple[Fold, ...]:
    """Return the folds of forward chaining: each part is tested, the parts before it train.

    Parts are made of whole planned runs, or blocks, in the order in which they were shown. Images
    of the tested part do not train. Parts before there are two training trials of every class are
    not tested. Raises ``PhospheneError`` if no part can be.
    """
    part = _parts(trials)
    folds = [_fold(trials, part, number) for number in range(1, int(part.max()) + 1)]
    classes = {trial.wnid for trial in trials}
    tested = tuple(fold for fold in folds if _teaches(trials, fold, classes))
    if not tested:
        raise PhospheneError(
            "no part of the recording can be tested on what came before it: every class must have "
            "been shown twice by then, with other images; record more runs or blocks"
        )
    return tested


def _decode(
    folder: SessionFolder, settings: Settings, registry: Registry, context: Context
) -> tuple[Predictions, str]:
    data, _ = collect_session(folder, settings, context.part(0.0, COLLECTED))
    testing = context.part(COLLECTED, 1.0)
    if is_nested(data.trials):
        return _cross_validated(folder, registry, testing), CONFOUNDED
    # What was collected has passed the stream steps.
    pipeline = Pipeline((), settings.epochs, data.epochs.spec, context)
    folds = forward_folds(data.trials)
    return _tested(predict(data, pipeline, settings.decoder.config, testing, folds)), ""


def _cross_validated(folder: SessionFolder, registry: Registry, context: Context) -> Predictions:
    """Return what there is of a nested design, in which no class comes before and after."""
    evaluation = current_evaluation(folder, registry, context)
    predictions = read_predictions(folder.derivatives / "predictions.tsv")
    if evaluation.cross_validation is None or predictions is None:
        raise PhospheneError(f"the recording was not cross-validated: {evaluation.problem}")
    return predictions


def _tested(predictions: Predictions) -> Predictions:
    """Return them without the trials that only trained."""
    rows = [row for row, fold in enumerate(predictions.folds) if fold]
    return Predictions(
        [predictions.trials[row] for row in rows],
        [predictions.folds[row] for row in rows],
        predictions.classes,
        predictions.probabilities[rows],
    )


def _parts(trials: Sequence[Onset]) -> NDArray[np.intp]:
    """Return the part of each trial, from 0."""
    runs = [(trial.run, 0) for trial in trials]
    blocks = [(trial.run, trial.block) for trial in trials]
    units = runs if len(set(runs)) >= RUNS else blocks
    in_order = list(dict.fromkeys(units))
    n_parts = min(PARTS, len(in_order))
    number = {unit: index * n_parts // len(in_order) for index, unit in enumerate(in_order)}
    return np.array([number[unit] for unit in units], np.intp)


def _fold(trials: Sequence[Onset], part: NDArray[np.intp], number: int) -> Fold:
    test = np.flatnonzero(part == number)
    images = {trials[index].image for index in test}
    train = [i for i in np.flatnonzero(part < number) if trials[i].image not in images]
    return Fold(np.array(train, np.intp), test, f"part {number + 1}")


def _teaches(trials: Sequence[Onset], fold: Fold, classes: set[str]) -> bool:
    counts = Counter(trials[index].wnid for index in fold.train)
    return all(counts[wnid] >= 2 for wnid in classes)


def _recipe(settings: Settings) -> Recipe:
    return Recipe(
        [plain(step) for step in settings.stream],
        epoch_card(settings.epochs),
        plain(settings.decoder),
    )


def _read(home: Path) -> tuple[Forward, Predictions]:
    try:
        found = msgspec.json.decode((home / CARD).read_bytes(), type=Forward)
    except FileNotFoundError:
        found = None
    except msgspec.MsgspecError as error:
        raise PhospheneError(f"{home / CARD}: {error}") from None
    predictions = read_predictions(home / TABLE)
    if found is None or predictions is None:
        raise PhospheneError(
            f"there are no decodings in {home} to judge feedback by; phosphene prospect SESSION "
            "makes them, of the session that trained the bundle"
        )
    return found, predictions
