"""The table of feedback trials: what was decided, what was shown, and when; a line a trial."""

import csv
from collections.abc import Collection, Mapping
from io import StringIO
from math import nan
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from phosphene.errors import PhospheneError
from phosphene.messages import Phase

Arm = Literal["true", "sham", "rehearsal"]
"""Whose decodings answer a trial: its own, another trial's without the subject's knowing, or
another trial's as everybody knows."""
Outcome = Literal["shown", "no decision", "no decoding", "late", "failed", "empty pool"]
FAILURES: tuple[Outcome, ...] = ("no decoding", "late", "failed", "empty pool")
"""Outcomes that are nobody's decision: decoder or generator were not up to it."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class FeedbackTrial(msgspec.Struct, frozen=True):
    """One line. Times are seconds on the LSL clock, NaN for what did not happen."""

    phase: Phase
    run: int
    block: int
    attempt: int
    trial: int
    wnid: str
    """Class of the images that were shown."""
    image: str
    """Id of the first of them."""
    arm: Arm
    outcome: Outcome
    repetitions: int
    """Images that were shown."""
    decision: str
    """What the trial's own decodings came to: a wnid; "" for no decision."""
    answer: str
    """Class of the picture that was shown; "" for the fallback."""
    picture: str
    """Id of the picture, and the name of its PNG without suffix."""
    ahead: bool
    """Whether it was made before the trial."""
    generator: str
    prompt: str
    seed: str
    model: str
    model_sha256: str
    steps: str
    onset: float
    """Of the last image."""
    received: float
    """When acquisition had the last sample of the last epoch."""
    cut: float
    """When that epoch was complete."""
    decoded: float
    decided: float
    """When the verdict was there."""
    ready: float
    """When the picture was there."""
    flip: float
    """When it, or the fallback, appeared."""
    decoder_budget: float
    """Latest ``decoded`` that is in time."""
    picture_budget: float
    """Latest ``ready`` that is in time."""
    posterior: Mapping[str, float] = {}
    """Probability by class, as columns named after the wnids; of the trial's own decodings."""


FIELDS = tuple(name for name in FeedbackTrial.__struct_fields__ if name != "posterior")


def append_trial(path: Path, trial: FeedbackTrial) -> None:
    """Add a line to a TSV file; the first one writes the header."""
    row = {name: getattr(trial, name) for name in FIELDS} | dict(trial.posterior)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row, delimiter="\t", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def read_trials(
    path: Path, aborted: Collection[tuple[str, int, int, int]] = ()
) -> tuple[FeedbackTrial, ...]:
    """Return the trials that count; none if there is no file.

    A last line that a crash cut off is left out. Raises ``PhospheneError`` for another damage.
    """
    if not path.exists():
        return ()
    text = path.read_text(encoding="utf-8")
    reader = csv.DictReader(StringIO(text[: text.rfind("\n") + 1]), delimiter="\t")
    try:
        trials = [_trial(row) for row in reader]
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise PhospheneError(f"{path}, line {reader.line_num}: {error!r}") from None
    return tuple(t for t in trials if (t.phase, t.run, t.block, t.attempt) not in aborted)


def _trial(row: dict[str, str]) -> FeedbackTrial:
    values: dict[str, Any] = {name: row[name] for name in FIELDS}
    values["ahead"] = values["ahead"] == "True"
    values |= {name: float(values[name] or nan) for name in _FLOATS}
    posterior = {name: float(row[name] or nan) for name in row if name not in FIELDS}
    return msgspec.convert(values | {"posterior": posterior}, FeedbackTrial, strict=False)


_FLOATS = tuple(
    field.name for field in msgspec.structs.fields(FeedbackTrial) if field.type is float
)
