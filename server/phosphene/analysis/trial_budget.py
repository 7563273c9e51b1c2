"""What a number of test trials means for a session, by design."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from phosphene.analysis.power import Question
from phosphene.choice import choose
from phosphene.interfaces import Context
from phosphene.manifest import Image
from phosphene.plan import block_seconds
from phosphene.registry import load_registry
from phosphene.stimulus import StimulusSet

RUN = 350.0
"""Seconds: the paper's length of a run."""
MIN_RUNS = 2
"""One must be left out."""
MIXED = "decoding: class and time are told apart, whatever drifts"
PURE = (
    "decoding, if blocks suffice: trials of a block share its drift, so at worst a whole block "
    "counts as one trial"
)
NESTED = "nothing, with any number of trials: class and time are one variable"


@dataclass(frozen=True)
class Budget:
    """A session of one design."""

    design: str
    verdict: str
    """What it can show."""
    blocks: int = 0
    runs: int = 0
    trials: int = 0
    minutes: float = 0.0
    """Of images and pauses; nothing else is counted."""


def budgets(question: Question, n_trials: int) -> list[Budget]:
    """Return sessions with at least so many trials, the recommended design first."""
    per_class = max(2, ceil(n_trials / question.classes / MIN_RUNS))
    repeated = {"repeats": MIN_RUNS, "images": per_class}
    return [
        _interleaved(question, n_trials, {}, "interleaved"),
        _interleaved(question, n_trials, {"gap": 0.25}, "interleaved, gap of 250 ms"),
        _planned("repeated-blocks", repeated, question.classes, "repeated-blocks", PURE),
        Budget("brain2image", NESTED),
    ]


def usual(classes: int) -> Budget:
    """Return the recommended design as it is by default."""
    return _planned("interleaved", {}, classes, "interleaved", MIXED)


def _interleaved(question: Question, n_trials: int, more: dict[str, Any], name: str) -> Budget:
    """Return as many blocks as it takes, in runs that are about as long as the paper's."""
    n_blocks = ceil(n_trials / question.classes)
    one = _planned("interleaved", {"runs": 1, "blocks": 1, **more}, question.classes, name, MIXED)
    runs = max(MIN_RUNS, ceil(n_blocks * 60 * one.minutes / RUN))
    settings = {"runs": runs, "blocks": ceil(n_blocks / runs), **more}
    return _planned("interleaved", settings, question.classes, name, MIXED)


def _planned(
    paradigm: str, settings: dict[str, Any], classes: int, name: str, verdict: str
) -> Budget:
    """Return what the paradigm itself makes of its settings."""
    config = choose(load_registry(), "paradigm", {paradigm: settings}).config
    images = max(1, settings.get("images", 1) * settings.get("repeats", 1))
    blocks = config.blocks(Context(_stimuli(classes, images)))
    return Budget(
        name,
        verdict,
        len(blocks),
        len({block.run for block in blocks}),
        sum(len(block.trials) for block in blocks),
        sum(map(block_seconds, blocks)) / 60,
    )


def _stimuli(classes: int, images: int) -> StimulusSet:
    """Return names without files: nothing is shown."""
    wnids = [f"n{number:08}" for number in range(1, classes + 1)]
    every = (
        Image(f"{wnid}-{number}", wnid, "train", "", "")
        for wnid in wnids
        for number in range(images)
    )
    return StimulusSet(Path(), {wnid: wnid for wnid in wnids}, tuple(every))
