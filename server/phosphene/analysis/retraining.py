"""Retraining between feedback runs: the decoder in use against one that has learnt from more runs.

They are compared on the newest run, which neither has seen, and the better of the two is used: what
decodes next is what was compared. Fitted on the newest run as well the new one would know more, but
nobody would have tested it, and the run after that could not compare the two. Every image of a
complete block is an epoch of the class that was shown, whatever picture answered it: true or sham
makes no difference here, and nothing that is sealed is opened.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from phosphene.analysis import metrics
from phosphene.analysis.metrics import CONFOUNDED, Accuracy
from phosphene.analysis.splits import is_nested
from phosphene.bundle import Bundle, load_bundle, make_card, save_bundle
from phosphene.dataset.study import SegmentName, SessionFolder
from phosphene.dataset.xdf_reader import read_segment
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.evidence import FLOOR
from phosphene.interfaces import Context, Decoder, TrainingSet
from phosphene.journal import BlockKey, set_aside
from phosphene.messages import Retrain, Retrained
from phosphene.pipeline import Pipeline
from phosphene.registry import Registry
from phosphene.settings import Settings
from phosphene.training import block_of, collect, cut, fit, hash_data

TAKEN = "the new one is taken"
KEPT = "the decoder in use stays"
READ = 0.2
"""Share of the progress bar that reading takes; the rest is the fit."""


Fitted = tuple[Pipeline, Decoder]


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

    def only(self, seqs: Collection[int]) -> "Judged":
        """Return it for some images, by the number of their onset."""
        rows = [row for row, trial in enumerate(self.trials) if trial.seq in seqs]
        trials = tuple(self.trials[row] for row in rows)
        return Judged(trials, self.classes, self.probabilities[rows])

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

    def __str__(self) -> str:
        """Return it with its standard error."""
        return f"{self.mean:+.3f} (standard error {self.error:.3f}, {self.n_trials} trials)"

    @property
    def better(self) -> bool:
        """Whether the new decoder is to be taken: its log score is higher.

        The log score is proper: nobody gains by being surer than right, and a closed loop adds up
        probabilities, not hits. A run has some 20 to 60 trials, too few to show at 5 % what
        another run is worth; a test would keep the old decoder nearly always. Between two that may
        each be the better one, the sign of the mean is wrong least often, and what it costs when it
        is wrong is small, because then they hardly differ. A draw keeps the old one.

        How many images a trial has, the old decoder decides while it runs. A sum over them is, by
        Wald's identity, on average that of as many single images, whoever did the stopping; a mean
        over the images of each trial, or the accuracy of whole trials, would favour the old one.
        """
        return self.mean > 0


def retrain(
    folder: SessionFolder, settings: Settings, registry: Registry, context: Context, order: Retrain
) -> Retrained:
    """Compare the decoder in use with a new one; write a bundle of the new one if it is better.

    The new one is fitted with the session's settings on all runs but the newest. Raises
    ``PhospheneError`` if recordings or bundle cannot be used.
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
    draft = path.with_suffix(".part")
    content = msgspec.json.format(msgspec.json.encode([*read_retrained(path), found]), indent=2)
    draft.write_bytes(content + b"\n")
    os.replace(draft, path)


def read_retrained(path: Path) -> list[Retrained]:
    """Return the comparisons of a session; none if it made none, ``PhospheneError`` if damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Retrained])
    except FileNotFoundError:
        return []
    except msgspec.MsgspecError as error:
        raise PhospheneError(f"{path}: {error}") from None


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
    """One comparison, and what it needs from the session."""

    folder: SessionFolder
    settings: Settings
    registry: Registry
    context: Context

    def run(self, order: Retrain, earlier: Sequence[Path], newest: Sequence[Path]) -> Retrained:
        data, _ = collect(earlier, self.settings, self.context.part(0.0, READ), self._counts)
        bundle = load_bundle(Path(order.bundle), self.registry, self.context)
        if bundle.card.data_sha256 == hash_data(data):
            return kept(order, "it knows every run before that one; there is no other to compare")
        fitted = fit(data, self.settings, self.context.part(READ, 1.0))
        old, new = in_common(self._judge_old(bundle, newest), self._judge_new(fitted, newest))
        if len({trial.wnid for trial in old.trials}) < 2:
            return kept(order, "fewer than two classes were decoded in it")
        found = _found(order, old, new, data.trials)
        return self._take(found, data, fitted) if compare(old, new).better else found

    @cached_property
    def _aborted(self) -> Collection[BlockKey]:
        return set_aside(self.folder.journal_file)

    def _counts(self, onset: Onset) -> bool:
        return block_of(onset) not in self._aborted

    def _judge_old(self, bundle: Bundle, newest: Sequence[Path]) -> Judged:
        lag = self.settings.screen.lag
        pipeline = bundle.pipeline(read_segment(newest[0]).spec, lag)
        silent = self.context.part(1.0, 1.0)
        data, _ = cut(newest, lambda _spec: pipeline, silent, self._counts)
        return judge(data, pipeline, bundle.decoder)

    def _judge_new(self, fitted: Fitted, newest: Sequence[Path]) -> Judged:
        silent = self.context.part(1.0, 1.0)
        unseen, _ = collect(newest, self.settings, silent, self._counts)
        return judge(unseen, *fitted)

    def _take(self, found: Retrained, data: TrainingSet, fitted: Fitted) -> Retrained:
        """Write the bundle of the very decoder that was compared."""
        pipeline, decoder = fitted
        spec = read_segment(self.folder.segments("record")[0]).spec
        rejected = pipeline.rejected(data)
        card = make_card(self.settings, spec, decoder, data.trials, hash_data(data), rejected)
        bundle = self.folder.new_bundle()
        sha256 = save_bundle(bundle, card, pipeline.states(), decoder)
        return structs.replace(found, bundle=str(bundle), sha256=sha256)


def judge(data: TrainingSet, pipeline: Pipeline, decoder: Decoder) -> Judged:
    """Return what a decoder makes of raw epochs, among the classes that are in them.

    Probabilities are those that evidence adds up: no smaller than its floor. Raises
    ``PhospheneError`` if the decoder does not know one of the classes.
    """
    if unknown := [wnid for wnid in data.classes if wnid not in decoder.classes]:
        raise PhospheneError(f"a decoder does not know the classes {', '.join(unknown)}")
    data = pipeline.good(data)
    found = decoder.decode(pipeline.transform(data.epochs)).probabilities
    columns = [decoder.classes.index(wnid) for wnid in data.classes]
    shown = np.maximum(np.asarray(found, np.float64)[:, columns], FLOOR)
    return Judged(data.trials, data.classes, shown / shown.sum(axis=1, keepdims=True))


def in_common(one: Judged, other: Judged) -> tuple[Judged, Judged]:
    """Return both reduced to images of which both had an epoch."""
    seqs = {t.seq for t in one.trials} & {t.seq for t in other.trials}
    return one.only(seqs), other.only(seqs)


def _feedback_until(folder: SessionFolder, run: int) -> list[Path]:
    return [path for path in folder.segments("feedback") if SegmentName.of(path).run <= run]


def _found(order: Retrain, old: Judged, new: Judged, seen: Sequence[Onset]) -> Retrained:
    """Return the comparison, every accuracy with all that belongs to it."""
    label = _label(seen, new.trials)
    before, after = old.accuracy(label), new.accuracy(label)
    difference = compare(old, new)
    text = (
        f"single images of feedback run {order.run}, which neither decoder had seen"
        f"{_repeated(seen, new.trials)}: the decoder in use {before}; a new one, fitted on every "
        f"earlier run, {after}; difference of the log score per trial {difference}: "
        f"{TAKEN if difference.better else KEPT}"
    )
    return Retrained(order.run, before.fraction, after.fraction, before.n_trials, text=text)


def _repeated(seen: Sequence[Onset], tested: Sequence[Onset]) -> str:
    """Return how many of the images themselves were known, if any."""
    images = {trial.image for trial in seen}
    known = sum(trial.image in images for trial in tested)
    return f" ({known} of the {len(tested)} had been shown in an earlier run)" if known else ""


def _label(seen: Sequence[Onset], tested: Sequence[Onset]) -> str:
    """Return what must stand beside an accuracy if recording or test confound class and time."""
    recorded = [trial for trial in seen if trial.phase == "record"]
    # A class that comes twice may do so in one block by chance; repetitions are no more trials.
    first = [trial for trial in tested if trial.repetition == 1]
    return CONFOUNDED if is_nested(recorded) or is_nested(first, at_least=3) else ""
