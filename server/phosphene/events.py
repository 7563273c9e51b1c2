"""What is planned to be shown, and what was shown when."""

from typing import Literal

import msgspec


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image and, in feedback, the picture that answers it."""

    image: str
    """Id of the image in the stimulus set."""
    wnid: str
    duration: float = 0.5
    """Seconds that the image stays."""
    gap: float = 0.0
    """Seconds of blank screen after the image."""
    picture: float = 0.0
    """Seconds that the generated picture stays after the gap; 0 for no feedback."""
    rest: float = 0.0
    """Seconds of blank screen after the picture."""
    repeats: tuple[str, ...] = ()
    """Ids of further images of the class, shown one by one, each with its gap, as long as the
    trial has no picture."""

    @property
    def images(self) -> tuple[str, ...]:
        """Every image that the trial may show, in order."""
        return (self.image, *self.repeats)


class Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Trials shown without a break; the unit that is repeated when something goes wrong."""

    run: int
    """Planned run, from 1."""
    block: int
    """Block within the session's phase, from 1; unique over all runs of the phase."""
    trials: tuple[Trial, ...]
    pause: float = 10.0
    """Seconds of black screen after the last trial."""
    cue: float = 0.0
    """Seconds of fixation cross at the end of the pause before the block."""


EventKind = Literal["stimulus", "picture"]


class Onset(msgspec.Struct, frozen=True, tag=True):
    """Something appeared on the screen: the marker of the whole system."""

    seq: int
    """Counts all onsets of a session from 0, across blocks and restarts."""
    event: EventKind
    time: float
    """Seconds on the LSL clock: when the flip returned."""
    planned: float
    """Seconds on the LSL clock: when the plan wanted it."""
    duration: float
    """Planned seconds on screen."""
    phase: str
    """``record`` or ``feedback``."""
    run: int
    block: int
    attempt: int
    """From 1; a repeated block counts up."""
    trial: int
    """Within the block, from 1."""
    wnid: str
    """Class of the image; for a picture the class it was made for, or "" for the fallback."""
    image: str
    """Id of the image; for a picture "" ."""
    sha256: str
    """Of the image file; for a picture of its pixels."""
    late_frames: int = 0
    """Frames missed since the last onset of this block."""
    repetition: int = 1
    """Which of the trial's images this is, from 1; for a picture how many were shown."""

    @property
    def key(self) -> tuple[str, int, int, int, int]:
        """Identify the trial: (phase, run, block, attempt, trial)."""
        return (self.phase, self.run, self.block, self.attempt, self.trial)
