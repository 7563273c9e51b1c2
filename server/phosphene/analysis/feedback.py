"""How feedback went: what became of its trials, how fast each stage was, and the arms."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.analysis import metrics
from phosphene.analysis.metrics import Accuracy
from phosphene.analysis.predictions import Predictions
from phosphene.dataset.study import SessionFolder
from phosphene.feedback_table import FeedbackTrial, Outcome, read_trials
from phosphene.journal import set_aside
from phosphene.messages import Prospect
from phosphene.settings import Settings

OUTCOMES: Mapping[Outcome, str] = {
    "shown": "answered by a picture",
    "no decision": "no decision: the evidence did not suffice, a neutral screen was shown",
    "no decoding": "no decoding: the decoder did not answer, or not for every image",
    "late": "too late: decoder or generator missed its budget",
    "failed": "failed: the generator could not make the picture",
    "empty pool": "empty pool: no picture of the class was ready",
}
"""What an outcome means, for who reads it for the first time."""
STAGES: Mapping[str, str] = {
    "received": "last sample received",
    "cut": "epoch complete",
    "decoded": "decoded",
    "decided": "decided",
    "ready": "picture ready, and ordered to be shown",
    "flip": "picture, or fallback, on the screen",
}
"""Of a trial, in order."""
BUDGETS: Mapping[str, str] = {"decoded": "decoder_budget", "ready": "picture_budget"}


@dataclass(frozen=True)
class Feedback:
    """The trials of a session's feedback, and what it might claim."""

    trials: tuple[FeedbackTrial, ...]
    prospect: Prospect | None
    sealed: bool
    """Whether the reader must not learn which trials were sham."""
    overridden: bool
    """Whether true feedback was given although the gate refused it."""


@dataclass(frozen=True)
class Stage:
    """How long after the onset of the last image a stage was done, in seconds."""

    name: str
    seconds: NDArray[np.float64]
    budget: float | None
    """The longest that was allowed; None if nothing was."""
    n_over: int


def read_feedback(folder: SessionFolder, settings: Settings, *, unblind: bool) -> Feedback:
    """Return the feedback of a session; without trials if it had none, or in an early version."""
    sham = settings.closed_loop.sham != "never"
    file = folder.sealed_feedback_file if sham else folder.feedback_file
    prospect = read_prospect(folder)
    refused = bool(prospect and prospect.refusal)
    return Feedback(
        read_trials(file, set_aside(folder.journal_file)),
        prospect,
        sham and not unblind,
        refused and settings.closed_loop.override_gate,
    )


def read_prospect(folder: SessionFolder) -> Prospect | None:
    """Return what feedback could be expected to get right; None if nobody asked."""
    if not folder.prospect_file.exists():
        return None
    return msgspec.json.decode(folder.prospect_file.read_bytes(), type=Prospect)


def record_unblinding(folder: SessionFolder, reason: str) -> None:
    """Put on record that somebody learns the arms; ``PhospheneError`` while the session runs."""
    line = {"time": datetime.now(UTC).isoformat(), "reason": reason}
    with folder.lock():
        folder.unblinded_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with folder.unblinded_file.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")


def gate(found: Feedback) -> str:
    """Return in a sentence whether feedback was what it seems; nothing if nobody asked."""
    if found.prospect is None:
        return ""
    refusal = found.prospect.refusal
    if found.overridden:
        return f"The gate was overridden: true feedback was refused ({refusal}) and given."
    if refusal:
        return f"Feedback was a rehearsal: its pictures were not decoded from the EEG ({refusal})."
    return "True feedback was allowed: its accuracy could be expected to exceed chance."


def outcomes(trials: Sequence[FeedbackTrial]) -> dict[str, int]:
    """Return how many trials ended how, in words."""
    counts = Counter(trial.outcome for trial in trials)
    return {words: counts[outcome] for outcome, words in OUTCOMES.items() if counts[outcome]}


def decisions(trials: Sequence[FeedbackTrial], label: str) -> Accuracy | None:
    """Return how often a decision was right, among trials with one; None if there is none."""
    decided = [trial for trial in trials if trial.decision]
    if not decided:
        return None
    n_right = sum(trial.decision == trial.wnid for trial in decided)
    chance = metrics.chance([trial.wnid for trial in decided])
    return metrics.accuracy(n_right, len(decided), chance, label=label)


def stages(trials: Sequence[FeedbackTrial]) -> list[Stage]:
    """Return when each stage was done, over the trials in which it was."""
    return [_stage(name, words, trials) for name, words in STAGES.items()]


def learning_curve(
    trials: Sequence[FeedbackTrial], live: Predictions, label: str
) -> dict[str, Accuracy]:
    """Return the decoder's top-1 accuracy on single images, by feedback run and arm.

    Of images, not of decisions: a sham trial ends when another one's decision did, so that the
    number of its images says nothing of its own.
    """
    arms = {(trial.run, trial.block, trial.attempt): trial.arm for trial in trials}
    kept = [i for i, t in enumerate(live.trials) if (t.run, t.block, t.attempt) in arms]
    shown = [live.trials[index] for index in kept]
    wnids = [trial.wnid for trial in shown]
    if not kept:
        return {}
    right = metrics.ranks(wnids, live.classes, live.probabilities[kept]) == 1
    groups = [f"run {trial.run}, {arms[trial.run, trial.block, trial.attempt]}" for trial in shown]
    found = metrics.accuracy_by(groups, right, metrics.chance(wnids), label)
    return {name: found[name] for name in sorted(found)}


def _stage(name: str, words: str, trials: Sequence[FeedbackTrial]) -> Stage:
    done = np.array([getattr(trial, name) - trial.onset for trial in trials])
    known = np.isfinite(done)
    if name not in BUDGETS:
        return Stage(words, done[known], None, 0)
    allowed = np.array([getattr(trial, BUDGETS[name]) - trial.onset for trial in trials])
    longest = float(np.nanmax(allowed)) if np.isfinite(allowed).any() else None
    return Stage(words, done[known], longest, int((done[known] > allowed[known]).sum()))
