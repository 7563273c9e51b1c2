"""A session judged: its recording cross-validated, its live decodings counted, both on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import structs

from phosphene.analysis.audits.results import Audits, audit_session, warnings
from phosphene.analysis.crossvalidation import Evaluation, describe, evaluate, judge
from phosphene.analysis.predictions import Predictions, read_decodings
from phosphene.bundle import CARD, read_card
from phosphene.choice import plain
from phosphene.dataset.study import SessionFolder
from phosphene.design import is_nested
from phosphene.epochs import Incomplete
from phosphene.errors import PhospheneError
from phosphene.interfaces import Context, TrainingSet
from phosphene.journal import set_aside
from phosphene.messages import shadow_role
from phosphene.pipeline import Pipeline
from phosphene.registry import Registry
from phosphene.settings import Settings, read_resolved
from phosphene.training import COLLECTED, block_of, collect

__all__ = [
    "Evaluation",
    "SessionEvaluation",
    "collect_session",
    "current_evaluation",
    "evaluate",
    "evaluate_feedback",
    "evaluate_session",
    "keep_evaluation",
    "read_evaluation",
    "summary",
]


class SessionEvaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``evaluation.json`` holds."""

    cross_validation: Evaluation | None
    """Of the ``record`` phase; None if nothing was recorded or it cannot be evaluated."""
    feedback: Evaluation | None
    """Of the decodings that the subject saw the answers to."""
    shadows: tuple[Evaluation, ...] = ()
    """Of the decoders that ran beside; one that came late or ended early decoded fewer trials."""
    problem: str = ""
    """Why the recording could not be cross-validated."""
    recordings: Mapping[str, int] = {}
    """What was cross-validated: bytes by file."""
    audits: Audits | None = None
    """Of the ``record`` phase; None if nothing was recorded or it cannot be audited."""
    audits_problem: str = ""
    """Why the recording could not be audited."""
    format: Literal[1] = 1


def evaluate_session(
    folder: SessionFolder,
    registry: Registry,
    context: Context,
    tested: Settings | None = None,
    split: str | None = None,
) -> SessionEvaluation:
    """Evaluate a session, and write ``evaluation.json`` and ``predictions.tsv``.

    ``tested`` has another decoder or preprocessing than the session's own; what comes of it goes
    into files of its own, ``evaluation_DECODER.json``. ``split`` replaces the one that the design
    suggests.
    Raises ``PhospheneError`` if the recording cannot be evaluated; a session without a ``record``
    phase has only its live decodings to show.
    """
    settings = read_resolved(folder.settings_file, registry)
    tested = tested or settings
    suffix = "" if tested == settings else tested.decoder.name
    judged = None
    if folder.segments("record"):
        judged = _cross_validate(folder, tested, context, split)
    return keep_evaluation(folder, settings, context, judged, suffix)


def keep_evaluation(
    folder: SessionFolder,
    settings: Settings,
    context: Context,
    judged: tuple[Evaluation, Predictions] | PhospheneError | None,
    suffix: str = "",
) -> SessionEvaluation:
    """Write a session's cross-validation, and what was decoded live, into its derivatives.

    ``settings`` are the session's own, ``suffix`` what marks the files of another decoder.
    ``judged`` may also be the reason why there is no cross-validation. All evaluations come by
    here, so that each is audited.
    """
    cross_validation, predictions, problem = None, None, ""
    mark = f"_{suffix}" if suffix else ""
    if isinstance(judged, PhospheneError):
        problem = str(judged)
    elif judged is not None:
        cross_validation, predictions = judged
        predictions.write(folder.derivatives / f"predictions{mark}.tsv")
    audits, audits_problem = _audited(folder, settings, context, cross_validation, predictions)
    found = SessionEvaluation(
        cross_validation,
        evaluate_feedback(folder, settings, context),
        evaluate_shadows(folder, settings, context),
        problem,
        _recordings(folder),
        audits,
        audits_problem,
    )
    return _written(found, folder.derivatives / f"evaluation{mark}.json")


def _audited(
    folder: SessionFolder,
    settings: Settings,
    context: Context,
    evaluation: Evaluation | None,
    predictions: Predictions | None,
) -> tuple[Audits | None, str]:
    """Return the audits of a recording, or why there are none; neither if there is none."""
    if not folder.segments("record"):
        return None, ""
    tested = None
    if evaluation and predictions:
        (name,) = evaluation.decoder
        tested = (name, predictions)
    try:
        return audit_session(folder, settings, context, tested), ""
    except PhospheneError as error:
        return None, str(error)


def current_evaluation(
    folder: SessionFolder, registry: Registry, context: Context
) -> SessionEvaluation:
    """Return the evaluation on disk if it is one of these recordings, or else a new one.

    It never fails: why a recording could not be evaluated is part of what it says.
    """
    settings = read_resolved(folder.settings_file, registry)
    if folder.evaluation_file.exists():
        found = read_evaluation(folder)
        if found.cross_validation and found.recordings == _recordings(folder):
            feedback = evaluate_feedback(folder, settings, context)
            shadows = evaluate_shadows(folder, settings, context)
            found = structs.replace(found, feedback=feedback, shadows=shadows)
            return _written(found, folder.evaluation_file)
    try:
        return evaluate_session(folder, registry, context)
    except PhospheneError as error:
        return keep_evaluation(folder, settings, context, error)


def evaluate_feedback(
    folder: SessionFolder, settings: Settings, context: Context
) -> Evaluation | None:
    """Return how well the ``feedback`` phase was decoded live; None if nothing was."""
    decoder = {settings.bundle.name: {}} if settings.bundle else plain(settings.decoder)
    found = _judge_live(folder, folder.decodings_file, decoder, "live", context)
    return found and structs.replace(found, trained_on=_other_subject(folder))


def evaluate_shadows(
    folder: SessionFolder, settings: Settings, context: Context
) -> tuple[Evaluation, ...]:
    """Return how well each shadow decoded live; one that never did is left out."""
    found = []
    for number, shadow in enumerate(settings.shadows, start=1):
        role = shadow_role(number)
        decoder, file = plain(shadow.decoder), folder.decodings_of(role)
        found.append(_judge_live(folder, file, decoder, f"live, {role}", context))
    return tuple(filter(None, found))


def _judge_live(
    folder: SessionFolder, file: Path, decoder: dict[str, Any], split: str, context: Context
) -> Evaluation | None:
    live = read_decodings(file, set_aside(folder.journal_file))
    if live is None:
        return None
    # The decoder was not trained on these blocks, so that it takes a design made of blocks of
    # one class to deceive; that a class comes twice in one block can happen in any order. A trial
    # counts once, however many images it took.
    first = [trial for trial in live.trials if getattr(trial, "repetition", 1) == 1]
    nested = is_nested(first, at_least=3)
    return judge(live, decoder, split, context.stimuli.classes, nested)


def collect_session(
    folder: SessionFolder, settings: Settings, context: Context
) -> tuple[TrainingSet, list[Incomplete]]:
    """Return the raw epochs of the complete blocks of a ``record`` phase: see ``collect``."""
    aborted = set_aside(folder.journal_file)
    segments = folder.segments("record")
    return collect(segments, settings, context, lambda onset: block_of(onset) not in aborted)


def read_evaluation(place: SessionFolder | Path) -> SessionEvaluation:
    """Return what ``evaluate_session`` wrote for a session, or into a file.

    Raises ``PhospheneError`` if there is nothing to read.
    """
    file = place if isinstance(place, Path) else place.evaluation_file
    try:
        return msgspec.json.decode(file.read_bytes(), type=SessionEvaluation)
    except (OSError, msgspec.MsgspecError) as error:
        raise PhospheneError(
            f"{file}: no evaluation ({error}); phosphene evaluate makes it"
        ) from None


def summary(found: SessionEvaluation) -> list[str]:
    """Return a session's evaluation as lines of text."""
    lines = [f"not evaluated: {found.problem}"] if found.problem else []
    for evaluation in filter(None, (found.cross_validation, found.feedback, *found.shadows)):
        lines += describe(evaluation)
    if found.audits:
        lines += warnings(found.audits)
    if found.audits_problem:
        lines.append(f"not audited: {found.audits_problem}")
    return lines or ["nothing was decoded in this session"]


def _other_subject(folder: SessionFolder) -> str:
    """Return whose decoder drove feedback if it was another subject's, or nothing."""
    if not (folder.path / CARD).exists():  # It was trained in this session.
        return ""
    subject = read_card(folder.path).subject
    return subject if subject != folder.subject else ""


def _cross_validate(
    folder: SessionFolder, settings: Settings, context: Context, split: str | None
) -> tuple[Evaluation, Predictions]:
    data, incomplete = collect_session(folder, settings, context.part(0.0, COLLECTED))
    # What was collected has passed the stream steps.
    pipeline = Pipeline((), settings.epochs, data.epochs.spec, context)
    testing = context.part(COLLECTED, 1.0)
    found, predictions = evaluate(data, pipeline, settings.decoder, testing, split)
    return structs.replace(found, n_incomplete=len(incomplete)), predictions


def _recordings(folder: SessionFolder) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.segments("record")}


def _written(found: SessionEvaluation, path: Path) -> SessionEvaluation:
    content = msgspec.json.format(msgspec.json.encode(found), indent=2)
    path.write_bytes(content + b"\n")
    return found
