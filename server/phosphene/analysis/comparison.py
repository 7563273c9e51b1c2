"""Several decoders on several sessions, evaluated alike, and put side by side."""

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

import msgspec
from msgspec import structs

from phosphene.analysis.audits.results import warnings
from phosphene.analysis.crossvalidation import Evaluation, assembled, describe, judge
from phosphene.analysis.evaluation import SessionEvaluation, keep_evaluation
from phosphene.analysis.folding import Tested
from phosphene.analysis.parallel import Workers
from phosphene.analysis.predictions import Predictions
from phosphene.analysis.rounds import (
    CutOrder,
    FoldOrder,
    Result,
    cut_epochs,
    decode_fold,
    read_cut,
)
from phosphene.analysis.splits import (
    PUBLISHED,
    Fold,
    default_split,
    make_folds,
    published_fold,
)
from phosphene.analysis.subjects import OverSubjects, over_subjects
from phosphene.choice import Chosen, plain
from phosphene.dataset.study import SessionFolder
from phosphene.design import is_nested
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.importing import read_parts
from phosphene.interfaces import Context, DecoderConfig
from phosphene.settings import Settings, write_resolved

CUT = 0.2
"""Share of the progress bar that cutting the epochs takes."""
Judged = tuple[Evaluation, Predictions] | PhospheneError


@dataclass(frozen=True, eq=False)
class Entry:
    """One decoder on one session."""

    folder: SessionFolder
    own: Settings
    """Of the session."""
    tested: Settings
    """With another decoder or preprocessing, perhaps."""
    name: str
    """Of the decoder in this comparison."""
    context: Context

    @property
    def suffix(self) -> str:
        """What marks its files; nothing if it is the session's own decoder."""
        return "" if self.tested == self.own else self.name


class SessionComparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One session's evaluations."""

    session: str
    subject: str
    decoders: dict[str, SessionEvaluation]
    """By name, as in ``Comparison.decoders``."""


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``comparison.json`` holds."""

    decoders: dict[str, dict[str, Any]]
    """Settings by name."""
    sessions: tuple[SessionComparison, ...]
    over_subjects: dict[str, tuple[OverSubjects, ...]]
    """By decoder; empty for one subject."""
    format: Literal[1] = 1

    @property
    def only(self) -> SessionEvaluation | None:
        """The evaluation, if there is but one."""
        found = [each for session in self.sessions for each in session.decoders.values()]
        return found[0] if len(found) == 1 else None


def compare(
    entries: Sequence[Entry],
    workers: Workers,
    split: str | None = None,
    progress: Callable[[float, str], None] = lambda _done, _text: None,
) -> Comparison:
    """Evaluate every entry and write its files; what cannot be evaluated says why.

    ``split`` replaces the one that each design suggests. Raises ``PhospheneError`` if there is
    nothing that can be evaluated; no file is changed then.
    """
    recorded = [entry for entry in entries if entry.folder.segments("record")]
    judged = dict(zip(recorded, _judge_all(recorded, workers, split, progress), strict=True))
    problems = [found for found in judged.values() if isinstance(found, PhospheneError)]
    if problems and len(problems) == len(entries):
        raise problems[0]
    sessions: dict[SessionFolder, dict[str, SessionEvaluation]] = defaultdict(dict)
    for entry in entries:
        sessions[entry.folder][entry.name] = _keep(entry, judged.get(entry))
    return Comparison(
        {entry.name: plain(entry.tested.decoder) for entry in entries},
        tuple(SessionComparison(f.title, f.subject, of) for f, of in sessions.items()),
        _over_subjects(sessions),
    )


def names_of(decoders: Sequence[Chosen[DecoderConfig]]) -> list[str]:
    """Return a name for each decoder: its own, with a number if another one has it already."""
    names: list[str] = []
    for decoder in decoders:
        same = sum(each.name == decoder.name for each in decoders[: len(names)])
        names.append(decoder.name + (f"-{same + 1}" if same else ""))
    return names


def describe_comparison(found: Comparison) -> list[str]:
    """Return every accuracy as lines of text."""
    lines = []
    for session in found.sessions:
        for name, evaluation in session.decoders.items():
            lines.append(f"{session.session}, {name}")
            if evaluation.problem:
                lines.append(f"  not evaluated: {evaluation.problem}")
            if evaluation.cross_validation:
                lines += [f"  {line}" for line in describe(evaluation.cross_validation)]
            if evaluation.audits:
                lines += [f"  {line}" for line in warnings(evaluation.audits)]
    for name, measures in found.over_subjects.items():
        lines += [f"over subjects, {name}, {each.name}: {each}" for each in measures]
    return lines


def _keep(entry: Entry, judged: Judged | None) -> SessionEvaluation:
    """Return an evaluation and write its files, unless there is none: an older one stays."""
    if isinstance(judged, PhospheneError):
        return SessionEvaluation(None, None, problem=str(judged))
    return keep_evaluation(entry.folder, entry.own, entry.context, judged, entry.suffix)


def _over_subjects(
    sessions: Mapping[SessionFolder, Mapping[str, SessionEvaluation]],
) -> dict[str, tuple[OverSubjects, ...]]:
    by_decoder: dict[str, list[tuple[str, Evaluation]]] = defaultdict(list)
    for folder, decoders in sessions.items():
        for name, found in decoders.items():
            if found.cross_validation:
                by_decoder[name].append((folder.subject, found.cross_validation))
    every = {name: over_subjects(found) for name, found in by_decoder.items()}
    return {name: found for name, found in every.items() if found}


@dataclass(frozen=True)
class _Prepared:
    """An entry, and the files that its orders name."""

    entry: Entry
    settings: Path
    epochs: Path
    """Folder; entries of one session that cut the same epochs share it."""


@dataclass(frozen=True)
class _Planned:
    """An entry whose epochs were cut."""

    prepared: _Prepared
    split: str
    folds: tuple[Fold, ...]
    orders: list[bytes]


def _judge_all(
    entries: Sequence[Entry],
    workers: Workers,
    split: str | None,
    progress: Callable[[float, str], None],
) -> list[Judged]:
    with ExitStack() as stack:
        prepared = [_prepare(entry, stack.enter_context(_scratch(entry))) for entry in entries]
        prepared = _shared(prepared)
        problems = _cut_all(prepared, workers, progress)
        planned = [_plan(each, problems[each.epochs], split) for each in prepared]
        orders = [o for each in planned if isinstance(each, _Planned) for o in each.orders]
        results = iter(_tested(workers, orders, progress))
        return [
            each if isinstance(each, PhospheneError) else _judged(each, results) for each in planned
        ]


@contextmanager
def _scratch(entry: Entry) -> Iterator[Path]:
    """Yield a folder in the session's cache that is gone afterwards."""
    cache = Path(os.path.abspath(entry.tested.cache))
    cache.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix="evaluation-", dir=cache))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _prepare(entry: Entry, scratch: Path) -> _Prepared:
    file = scratch / "settings.json"
    write_resolved(structs.replace(entry.tested, cache=scratch.parent), file)
    return _Prepared(entry, file, scratch)


def _shared(prepared: Sequence[_Prepared]) -> list[_Prepared]:
    """Let entries of one session share the epochs if they differ in nothing but the decoder."""
    cut: list[_Prepared] = []
    for each in prepared:
        same = (other for other in cut if _same_epochs(each.entry, other.entry))
        epochs = next(same, each).epochs
        cut.append(_Prepared(each.entry, each.settings, epochs))
    return cut


def _same_epochs(one: Entry, other: Entry) -> bool:
    changed = structs.replace(one.tested, decoder=other.tested.decoder)
    return one.folder == other.folder and changed == other.tested


def _cut_all(
    prepared: Sequence[_Prepared], workers: Workers, progress: Callable[[float, str], None]
) -> dict[Path, str]:
    """Return the problem, or "", by folder of epochs."""
    first = {each.epochs: each for each in reversed(prepared)}
    orders = [
        msgspec.json.encode(CutOrder(str(each.entry.folder.path), str(each.settings), str(folder)))
        for folder, each in first.items()
    ]
    results = workers.run(
        cut_epochs,
        orders,
        lambda done: progress(CUT * done / len(orders), f"cut the epochs of {done} sessions"),
    )
    return {f: result.get("problem", "") for f, result in zip(first, results, strict=True)}


def _plan(prepared: _Prepared, problem: str, split: str | None) -> _Planned | PhospheneError:
    try:
        if problem:
            raise PhospheneError(problem)
        trials = read_cut(prepared.epochs).trials
        if len({trial.wnid for trial in trials}) < 2:
            raise PhospheneError("decoding needs at least 2 classes")
        name = split or default_split(trials)
        folds = _folds(name, trials, prepared.entry)
    except PhospheneError as error:
        return error
    return _Planned(prepared, name, folds, [_order(prepared, fold) for fold in folds])


def _folds(name: str, trials: Sequence[Onset], entry: Entry) -> tuple[Fold, ...]:
    if name == PUBLISHED:
        return (published_fold(trials, read_parts(entry.folder)),)
    return make_folds(name, trials, entry.context.seed)


def _order(prepared: _Prepared, fold: Fold) -> bytes:
    train, test = fold.train.tolist(), fold.test.tolist()
    order = FoldOrder(str(prepared.settings), str(prepared.epochs), train, test, fold.name)
    return msgspec.json.encode(order)


def _tested(
    workers: Workers, orders: Sequence[bytes], progress: Callable[[float, str], None]
) -> list[Result]:
    def tell(done: int) -> None:
        progress(CUT + (1 - CUT) * done / len(orders), f"{done} of {len(orders)} folds tested")

    return workers.run(decode_fold, orders, tell)


def _judged(planned: _Planned, results: Iterator[Result]) -> Judged:
    """Return what the results of an entry's folds, which come next, are worth."""
    of_folds = [next(results) for _ in planned.folds]
    entry, cut = planned.prepared.entry, read_cut(planned.prepared.epochs)
    try:
        for fold, result in zip(planned.folds, of_folds, strict=True):
            if "problem" in result:
                raise PhospheneError(f"{fold.name}: {result['problem']}")
        found = [Tested(**result) for result in of_folds]
        predictions = assembled(cut.trials, planned.folds, found)
        names = entry.context.stimuli.classes
        nested = is_nested(cut.trials)
        evaluation = judge(predictions, plain(entry.tested.decoder), planned.split, names, nested)
    except PhospheneError as error:
        return error
    return structs.replace(evaluation, n_incomplete=cut.n_incomplete), predictions
