"""Every session's decoder on every other session, to see if it works for another subject.

Rows are what a decoder was trained on, columns what it was tested on. On its own session it is
cross-validated; every other one is tested as a whole.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import structs

from phosphene.analysis import words
from phosphene.analysis.crossvalidation import evaluate
from phosphene.analysis.evaluation import collect_session
from phosphene.analysis.metrics import CONFOUNDED, Accuracy, top_accuracies
from phosphene.analysis.splits import is_nested
from phosphene.bundle import difference
from phosphene.choice import plain
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import read_segment
from phosphene.errors import PhospheneError
from phosphene.interfaces import Context, Decoder, TrainingSet
from phosphene.pipeline import Pipeline, pick_channels
from phosphene.settings import Settings
from phosphene.signals import SignalSpec, eeg_picks
from phosphene.training import learn

LEARNING = 0.9
"""Share of the progress bar that cross-validating and fitting takes."""
WHOLE = "whole recording"
PRIVACY = (
    "The paper (arXiv 2309.07149) takes it for a protection of privacy that a decoder works on its "
    "own subject alone. A cell that is not above chance shows that this decoder did not work on "
    "that recording, not that no decoder could."
)
BY_ACCIDENT = (
    "Two subjects' responses to some classes may be alike by accident, in all trials at once: a "
    "single cell above or below chance is no sign that subjects have something in common. Look at "
    "all pairs; the intervals are not corrected for their number."
)
"""Measured with the 56 ordered pairs of 8 simulated subjects whose codes were drawn independently
(``power-lr``, 10 classes, 100 trials): the interval was above chance in 6, below in 10."""
SAME_ORDER = (
    "Some sessions showed the classes in the same order: whatever changes in the same way in both "
    "may transfer as well. Another seed for each session gives each an order of its own."
)


@dataclass(frozen=True)
class Recorded:
    """A session that takes part."""

    folder: SessionFolder
    settings: Settings
    context: Context

    @property
    def spec(self) -> SignalSpec:
        """Of its EEG; ``PhospheneError`` if nothing was recorded."""
        segments = self.folder.segments("record")
        if not segments:
            raise PhospheneError(f"{self.folder.title} has no recording of the phase 'record'")
        spec = read_segment(segments[0]).spec
        return pick_channels(spec, eeg_picks(spec))


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well the decoder of one session did on another session, or on its own."""

    trained_on: str
    tested_on: str
    same_subject: bool
    tested: str = ""
    """The split by which a session was tested on itself, or ``WHOLE``."""
    accuracy: Accuracy | None = None
    """Top-1 among the classes that both have; None if there is none."""
    n_left_out: int = 0
    """Trials of other classes, and such whose samples are missing."""
    rejected: dict[str, int] = {}
    """Trials that were not decoded because of artefacts, by wnid."""
    same_order: bool = False
    """Whether both, being two, showed the classes in the same order."""
    problem: str = ""
    """Why there is no accuracy."""

    @property
    def verdict(self) -> str:
        """What the accuracy is evidence of, in a word or two."""
        if self.accuracy is None:
            return "-"
        if self.accuracy.label:
            return "confounded"
        return "above chance" if self.accuracy.above_chance else "not above"

    def __str__(self) -> str:
        """Return one line, which is complete."""
        kin = ", the same subject" if self.same_subject else ""
        itself = self.trained_on == self.tested_on
        where = "itself" if itself else f"{self.tested_on}{kin}"
        if self.accuracy is None:
            return f"on {where}: not tested: {self.problem}"
        left_out = f"; {self.n_left_out} trials left out" if self.n_left_out else ""
        if n_rejected := sum(self.rejected.values()):
            left_out += f"; {n_rejected} rejected as artefacts"
        return f"on {where}, {self.tested}{left_out}: {self.accuracy}"


class Transfer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``transfer.json`` holds."""

    decoders: dict[str, dict[str, Any]]
    """Name and settings by the session that it was trained on."""
    cells: tuple[tuple[Cell, ...], ...]
    """One row for each session that a decoder was trained on; columns in the same order."""
    notes: tuple[str, ...]
    interval: Literal["Clopper-Pearson"] = "Clopper-Pearson"
    format: Literal[1] = 1


def evaluate_transfer(sessions: Sequence[Recorded]) -> Transfer:
    """Test the decoder of each session on all of them, and write ``transfer.json``.

    What cannot be tested leaves its cells empty, with the reason. Raises ``PhospheneError`` for
    fewer than two sessions, or for sessions of several studies: there the same id may be another
    person's.
    """
    _check(sessions)
    learnt = [_learn(s, part) for s, part in _parts(sessions, 0.0, LEARNING)]
    columns = [_column(s, part, learnt) for s, part in _parts(sessions, LEARNING, 1.0)]
    cells = tuple(zip(*columns, strict=True))
    decoders = {s.folder.title: plain(s.settings.decoder) for s in sessions}
    found = Transfer(decoders, cells, _notes(sessions, cells))
    content = msgspec.json.format(msgspec.json.encode(found), indent=2)
    sessions[0].folder.study.transfer_file.write_bytes(content + b"\n")
    return found


def describe(found: Transfer) -> list[str]:
    """Return every cell, and what they can show, as lines of text."""
    lines = []
    for row, (session, decoder) in zip(found.cells, found.decoders.items(), strict=True):
        lines.append(f"{next(iter(decoder))} trained on {session}, tested")
        lines += [f"  {cell}" for cell in row]
    return [*lines, *found.notes]


@dataclass(frozen=True)
class _Fitted:
    """A decoder, with all that it takes to use it elsewhere."""

    spec: SignalSpec
    pipeline: Pipeline
    decoder: Decoder
    shown: tuple[str, ...]
    """Class by trial, in order."""
    nested: bool


@dataclass(frozen=True)
class _Learnt:
    """What came of a session."""

    session: Recorded
    own: Cell
    """Tested on itself."""
    fitted: _Fitted | PhospheneError


class _Tested:
    """A session as those who are tested on it want its raw epochs; the last ones are kept."""

    def __init__(self, session: Recorded, context: Context) -> None:
        self.session = session
        self._context = context
        self._settings: Settings | None = None
        self._found: tuple[TrainingSet, int] | None = None

    def epochs(self, learnt: Settings) -> tuple[TrainingSet, int]:
        """Return them as cut for the decoder of these settings, and how many could not be cut."""
        raw = structs.replace(learnt.epochs, steps=())
        # The screen's lag is that of this session.
        wanted = structs.replace(self.session.settings, stream=learnt.stream, epochs=raw)
        if self._found is None or wanted != self._settings:
            self._found = None  # Two of them would be twice the memory.
            data, lost = collect_session(self.session.folder, wanted, self._context)
            self._settings, self._found = wanted, (data, len(lost))
        return self._found


def _check(sessions: Sequence[Recorded]) -> None:
    if len(sessions) < 2:
        raise PhospheneError(f"transfer needs at least 2 sessions; found {len(sessions)}")
    studies = sorted({str(session.folder.study_root) for session in sessions})
    if len(studies) > 1:
        raise PhospheneError(f"the sessions must be of one study; found {', '.join(studies)}")


def _parts(
    sessions: Sequence[Recorded], start: float, end: float
) -> Iterator[tuple[Recorded, Context]]:
    """Yield each session with the context for its part of the task."""
    length = (end - start) / len(sessions)
    for number, session in enumerate(sessions):
        first = start + number * length
        yield session, session.context.part(first, first + length, session.folder.title)


def _empty(trained: SessionFolder, tested: SessionFolder) -> Cell:
    return Cell(trained.title, tested.title, trained.subject == tested.subject)


def _filled(cell: Cell, fill: Callable[[Cell], Cell]) -> Cell:
    """Return the cell filled, or with the reason why it cannot be."""
    try:
        return fill(cell)
    except PhospheneError as error:
        return structs.replace(cell, problem=str(error))


def _learn(session: Recorded, context: Context) -> _Learnt:
    """Test a session on itself, and fit its decoder on all of it."""
    own = _empty(session.folder, session.folder)
    try:
        data, lost = collect_session(session.folder, session.settings, context.part(0.0, 0.1))
    except PhospheneError as error:
        return _Learnt(session, structs.replace(own, problem=str(error)), error)
    own = structs.replace(own, n_left_out=len(lost))
    own = _filled(own, lambda cell: _cross_validated(cell, session, data, context.part(0.1, 0.8)))
    try:
        return _Learnt(session, own, _fit(session, data, context.part(0.8, 1.0)))
    except PhospheneError as error:
        return _Learnt(session, own, error)


def _cross_validated(cell: Cell, session: Recorded, data: TrainingSet, context: Context) -> Cell:
    pipeline = _pipeline(session, data, context)
    found, _ = evaluate(data, pipeline, session.settings.decoder, context)
    return structs.replace(
        cell, tested=f"split {found.split}", accuracy=found.top[0], rejected=found.rejected
    )


def _fit(session: Recorded, data: TrainingSet, context: Context) -> _Fitted:
    pipeline = _pipeline(session, data, context)
    decoder = learn(data, pipeline, session.settings.decoder.config, context)
    return _Fitted(session.spec, pipeline, decoder, data.wnids, is_nested(data.trials))


def _pipeline(session: Recorded, data: TrainingSet, context: Context) -> Pipeline:
    """Return the epoch steps; what was collected has passed the stream steps."""
    return Pipeline((), session.settings.epochs, data.epochs.spec, context)


def _column(session: Recorded, context: Context, learnt: Sequence[_Learnt]) -> tuple[Cell, ...]:
    """Return how every decoder does on one session."""
    tested = _Tested(session, context)
    return tuple(each.own if each.session is session else _cell(each, tested) for each in learnt)


def _cell(learnt: _Learnt, tested: _Tested) -> Cell:
    empty = _empty(learnt.session.folder, tested.session.folder)
    return _filled(empty, lambda cell: _tested_elsewhere(cell, learnt, tested))


def _tested_elsewhere(cell: Cell, learnt: _Learnt, tested: _Tested) -> Cell:
    fitted = learnt.fitted
    if isinstance(fitted, PhospheneError):
        raise fitted
    if problem := difference(fitted.spec, tested.session.spec):
        raise PhospheneError(f"it is another EEG signal: {problem}")
    data, n_lost = tested.epochs(learnt.session.settings)
    known = np.flatnonzero([wnid in fitted.decoder.classes for wnid in data.wnids])
    shown = data.select(known)
    return structs.replace(
        cell,
        tested=WHOLE,
        accuracy=_accuracy(fitted, fitted.pipeline.good(shown), is_nested(data.trials)),
        rejected=dict(fitted.pipeline.rejected(shown)),
        n_left_out=n_lost + len(data.trials) - len(known),
        same_order=fitted.shown == data.wnids,
    )


def _accuracy(fitted: _Fitted, data: TrainingSet, nested: bool) -> Accuracy:
    """Return the top-1 accuracy; the decoder chooses among the classes that were shown."""
    if len(data.classes) < 2:
        raise PhospheneError(
            f"a test needs 2 classes that the decoder knows; found {len(data.classes)}"
        )
    decoding = fitted.decoder.decode(fitted.pipeline.transform(data.epochs))
    columns = [fitted.decoder.classes.index(wnid) for wnid in data.classes]
    label = CONFOUNDED if nested or fitted.nested else ""
    return top_accuracies(data.wnids, data.classes, decoding.probabilities[:, columns], label)[0]


def _notes(sessions: Sequence[Recorded], cells: Sequence[Sequence[Cell]]) -> tuple[str, ...]:
    """Return what must be said of the cells."""
    sources = dict.fromkeys(words.source(session.settings) for session in sessions)
    alike = any(cell.same_order for row in cells for cell in row)
    return (PRIVACY, BY_ACCIDENT, *[SAME_ORDER] * alike, *filter(None, sources))
