"""Retraining between feedback runs: the decoder in use against one that has learnt from more runs.

They are compared on the newest run, which neither has seen. Every image of a complete block is an
epoch of the class that was shown, whatever picture answered it: true or sham makes no difference
here, and nothing that is sealed is opened.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from phosphene.analysis import metrics
from phosphene.analysis.metrics import CONFOUNDED, Accuracy
from phosphene.analysis.predictions import aligned
from phosphene.analysis.splits import is_nested
from phosphene.bundle import load_bundle
from phosphene.dataset.study import SegmentName, SessionFolder
from phosphene.dataset.xdf_reader import read_segment
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.evidence import FLOOR
from phosphene.interfaces import Context, TrainingSet
from phosphene.journal import aborted_blocks
from phosphene.messages import Retrain, Retrained
from phosphene.registry import Registry
from phosphene.settings import Settings
from phosphene.training import block_of, collect, cut, fit, hash_data, train_session

READ, COMPARED = 0.2, 0.6
"""Shares of the progress bar: reading ends at the first, the comparison at the second."""


@dataclass(frozen=True)
class Judged:
    """What a decoder made of the newest run, among the classes that were shown in it."""

    trials: tuple[Onset, ...]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    """(n_images, n_classes); rows sum to 1."""

    def accuracy(self, label: str) -> Accuracy:
        """Return how many single images were decoded as what they were."""
        wnids = [trial.wnid for trial in self.trials]
        return metrics.top_accuracies(wnids, self.classes, self.probabilities, label)[0]

    @property
    def log_scores(self) -> NDArray[np.float64]:
        """Log probability of the shown class by image."""
        columns = [self.classes.index(trial.wnid) for trial in self.trials]
        return np.asarray(np.log(self.probabilities[np.arange(len(columns)), columns]))


@dataclass(frozen=True)
class Difference:
    """By how much the new decoder is better, paired by trial."""

    mean: float
    """Log score of a trial: the sum over its images, as evidence adds up."""
    error: float
    """Standard error over trials: images of one trial are not independent."""
    n_trials: int

    @property
    def better(self) -> bool:
        """Whether the new decoder is to be taken: its log score is higher.

        The log score is proper: nobody gains by being surer than right, and a closed loop adds up
        probabilities, not hits. A run has some 20 to 60 trials, too few to show at 5 % what
        another run is worth; a test would keep the old decoder nearly always. Between two that may
        each be the better one, the sign of the mean is wrong least often, and what it costs when it
        is wrong is small, because then they hardly differ. A draw keeps the old one.

        How many images a trial has, the old decoder decides while it runs. The mean over trials
        of a sum over images keeps its sign under such stopping (Wald's identity); a mean over
        images of each trial, or the accuracy of whole trials, would favour who did the stopping.
        """
        return self.mean > 0


def retrain(
    folder: SessionFolder, settings: Settings, registry: Registry, context: Context, order: Retrain
) -> Retrained:
    """Compare the decoder in use with a new one; write a bundle of the new one if it is better.

    The new one is fitted with the session's settings on all runs but the newest, and, if it is
    better, again with the newest; in that form it is untested. Raises ``PhospheneError`` if
    recordings or bundle cannot be used.
    """
    record, feedback = folder.segments("record"), _feedback_until(folder, order.run)
    newest = [path for path in feedback if SegmentName.of(path).run == order.run]
    if not record:
        return kept(order, "the session recorded nothing that the decoder could be fitted on again")
    if not newest:
        return kept(order, "there is no recording of this run")
    return _Retraining(folder, settings, registry, context).run(
        order, [*record, *(path for path in feedback if path not in newest)], newest
    )


def kept(order: Retrain, reason: str) -> Retrained:
    """Return that nothing was compared, and the decoder in use stays."""
    text = f"after feedback run {order.run} the decoder stays: {reason}"
    return Retrained(order.run, 0.0, 0.0, 0, text=text)


def append_retrained(path: Path, found: Retrained) -> None:
    """Add to a JSON list, which is replaced as a whole; ``PhospheneError`` if it is none."""
    try:
        before = msgspec.json.decode(path.read_bytes(), type=list[Retrained])
    except FileNotFoundError:
        before = []
    except msgspec.MsgspecError as error:
        raise PhospheneError(f"{path}: {error}") from None
    draft = path.with_suffix(".part")
    content = msgspec.json.format(msgspec.json.encode([*before, found]), indent=2)
    draft.write_bytes(content + b"\n")
    os.replace(draft, path)


def compare(old: Judged, new: Judged) -> Difference:
    """Return the paired difference of two decoders' log scores by trial."""
    gains: dict[object, float] = {}
    for trial, gain in zip(old.trials, new.log_scores - old.log_scores, strict=True):
        gains[trial.key] = gains.get(trial.key, 0.0) + float(gain)
    values = np.array(list(gains.values()))
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.inf
    return Difference(float(values.mean()), float(error), len(values))


@dataclass(frozen=True)
class _Retraining:
    folder: SessionFolder
    settings: Settings
    registry: Registry
    context: Context

    def run(self, order: Retrain, earlier: Sequence[Path], newest: Sequence[Path]) -> Retrained:
        data, _ = collect(
            earlier, self.settings, self.context.part(0.0, READ, "earlier runs"), self._counts
        )
        bundle = load_bundle(Path(order.bundle), self.registry, self.context)
        if bundle.card.data_sha256 == hash_data(data):
            return kept(order, "it has learnt from all earlier runs, so there is nothing new yet")
        old, new = self._judge_old(order, newest), self._judge_new(data, newest)
        old, new = _common(old, new)
        if len(old.classes) < 2:
            return kept(order, "fewer than two classes were shown")
        label = CONFOUNDED if _confounded(data.trials, old.trials) else ""
        difference = compare(old, new)
        found = _found(order, old.accuracy(label), new.accuracy(label), difference, data.trials)
        return self._take(found, [*earlier, *newest]) if difference.better else found
