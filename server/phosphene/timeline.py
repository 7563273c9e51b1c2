"""A block's trials as frames: what must be on the screen from which frame on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from phosphene.errors import PhospheneError
from phosphene.events import Block, Trial

TOLERANCE = 0.01
"""Part of a duration by which whole frames may miss it: 0.5 s are 30 frames at 59.94 Hz too."""

StepKind = Literal["stimulus", "blank", "picture", "end"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing on the screen."""

    kind: StepKind
    frame: int
    """First frame, counted from the block's first."""
    n_frames: int
    trial: int
    """Within the block, from 1."""
    repetition: int = 1
    """Which of the trial's images it shows, or follows."""


def timeline(block: Block, refresh_rate: float) -> tuple[Step, ...]:
    """Return the steps of a block in order; the last one is its end.

    Raises ``PhospheneError`` if a duration is no whole number of frames at ``refresh_rate`` Hz.
    """
    if not block.trials:
        raise PhospheneError(f"block {block.block} has no trials")
    steps, frame = [], 0
    for number, trial in enumerate(block.trials, start=1):
        where = f"block {block.block}, trial {number}"
        for kind, n_frames, repetition in _parts(trial, refresh_rate, where):
            steps.append(Step(kind, frame, n_frames, number, repetition))
            frame += n_frames
    return (*steps, Step("end", frame, 0, len(block.trials)))


def whole_frames(seconds: float, refresh_rate: float, name: str) -> int:
    """Return a duration as a number of frames.

    Raises ``PhospheneError`` with the nearest possible duration if the frames miss it by more
    than 1 %.

    >>> whole_frames(0.5, 60, "duration")
    30
    """
    n_frames = round(seconds * refresh_rate)
    if abs(n_frames / refresh_rate - seconds) <= TOLERANCE * seconds:
        return n_frames
    nearest = max(n_frames, 1)
    raise PhospheneError(
        f"{name} of {seconds:g} s is not a whole number of frames at {refresh_rate:.6g} Hz; "
        f"nearest possible: {nearest / refresh_rate:.4g} s (frames: {nearest})"
    )


def _parts(trial: Trial, refresh_rate: float, where: str) -> Iterator[tuple[StepKind, int, int]]:
    """Yield kind, frames and repetition."""
    if trial.duration <= 0:
        raise PhospheneError(f"{where}: duration must be above 0 s; found {trial.duration:g}")
    image: list[tuple[StepKind, str, float]] = [
        ("stimulus", "duration", trial.duration),
        ("blank", "gap", trial.gap),
    ]
    answer: list[tuple[StepKind, str, float]] = [
        ("picture", "picture", trial.picture),
        ("blank", "rest", trial.rest),
    ]
    last = len(trial.images)
    repeated = [(part, number) for number in range(1, last + 1) for part in image]
    for (kind, name, seconds), repetition in [*repeated, *((part, last) for part in answer)]:
        if seconds:
            yield kind, whole_frames(seconds, refresh_rate, f"{where}: {name}"), repetition
