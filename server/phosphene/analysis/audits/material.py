"""What an audit works on: trials, the signal around them and in the pauses, the images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.audits.chance import blocks_of
from phosphene.analysis.audits.frames import AFTER, BEFORE, HOP, Frames, Piece, frames_at, join
from phosphene.analysis.audits.reference import Decoded, cross_decode
from phosphene.analysis.predictions import Predictions
from phosphene.analysis.splits import Fold, Shown, default_split, is_nested, make_folds
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.stimulus import StimulusSet

TMIN, TMAX = 0.0, 0.5
"""Seconds from onset: where the reference decoder looks."""
REST = 5.0
"""Seconds at the end of a pause that are looked at."""
RESTED = 0.5
"""Seconds of rest that are decoded at a time, as long as an image stays."""


@dataclass(frozen=True)
class Rests:
    """The last ``REST`` seconds of each pause."""

    frames: Frames
    """A row for each pause, from ``-REST`` to 0 seconds before the next block; NaN where the pause
    is shorter."""
    before: tuple[str, ...]
    """wnid of the last image before each pause; "" before the first block of a recording."""
    after: tuple[str, ...]
    """wnid of the first image after it."""


@dataclass(frozen=True)
class Material:
    """One recording, ready to be audited."""

    trials: tuple[Onset, ...]
    frames: Frames
    """A row for each trial."""
    seed: int = 0
    rests: Rests | None = None
    """None if the recording has no pauses."""
    eyes: Frames | None = None
    """Of the EOG channels; None if there are none."""
    stimuli: StimulusSet | None = None
    predictions: Predictions | None = None
    """Of the decoder under test, each trial decoded by one that was not trained on it; None for the
    reference decoder's own."""
    timed: bool = True
    """Whether times, runs and blocks of the trials are known, and not made up."""

    @property
    def wnids(self) -> list[str]:
        """Class by trial."""
        return [trial.wnid for trial in self.trials]

    @property
    def n_classes(self) -> int:
        """Classes that occur."""
        return len(set(self.wnids))

    @cached_property
    def nested(self) -> bool:
        """Whether class and time are one variable."""
        return is_nested(self.trials)

    @cached_property
    def blocks(self) -> NDArray[np.intp]:
        """Number of each trial's block, from 0."""
        return blocks_of(self.trials)

    @cached_property
    def split(self) -> str:
        """The name of the split that the design allows."""
        return default_split(self.trials)

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """Of that split."""
        return make_folds(self.split, self.trials, self.seed)

    @cached_property
    def reference(self) -> Decoded:
        """What the reference decoder makes of the time in which an image was on the screen."""
        return cross_decode(self.frames.features(TMIN, TMAX), self.wnids, self.folds)

    @property
    def tested(self) -> tuple[list[Onset], list[str]]:
        """The trials that the decoder under test decoded, and as which class."""
        if self.predictions is None:
            rows = self.reference.rows.tolist()
            return [self.trials[row] for row in rows], self.reference.labels.tolist()
        decoded = dict(
            zip(map(_key, self.predictions.trials), self.predictions.decoded, strict=True)
        )
        trials = [trial for trial in self.trials if _key(trial) in decoded]
        return trials, [decoded[_key(trial)] for trial in trials]

    def rng(self, audit: str) -> np.random.Generator:
        """Return the random generator of an audit."""
        return np.random.default_rng((self.seed, *audit.encode()))


def gather(
    pieces: Sequence[Piece],
    types: Sequence[str],
    seed: int = 0,
    stimuli: StimulusSet | None = None,
    predictions: Predictions | None = None,
) -> Material:
    """Return what audits need of a recording; ``types`` are those of the channels.

    Raises ``PhospheneError`` if there is no EEG channel or fewer than two classes.
    """
    eeg = [row for row, kind in enumerate(types) if kind == "eeg"]
    eog = [row for row, kind in enumerate(types) if kind == "eog"]
    trials = tuple(onset for piece in pieces for onset in piece.onsets)
    if not eeg:
        raise PhospheneError(f"no EEG channel; found {', '.join(sorted(set(types))) or 'none'}")
    if len({trial.wnid for trial in trials}) < 2:
        raise PhospheneError("an audit needs trials of at least 2 classes")
    return Material(
        trials,
        _around(pieces, eeg),
        seed,
        _rests(pieces, eeg),
        _around(pieces, eog) if eog else None,
        stimuli,
        predictions,
    )


def _key(trial: Shown) -> tuple[str | int, ...]:
    return (trial.phase, trial.run, trial.block, trial.attempt, trial.trial)


def _around(pieces: Sequence[Piece], picks: Sequence[int]) -> Frames:
    moments = [[onset.time for onset in piece.onsets] for piece in pieces]
    parts = [
        frames_at(piece, each, picks, -BEFORE, AFTER)
        for piece, each in zip(pieces, moments, strict=True)
    ]
    return join(parts)


def _rests(pieces: Sequence[Piece], picks: Sequence[int]) -> Rests | None:
    parts, before, after = [], [], []
    for piece in pieces:
        firsts = _first_of_blocks(piece.onsets)
        moments = [piece.onsets[index].time for index in firsts]
        frames = frames_at(piece, moments, picks, -REST, 0.0)
        for row, index in enumerate(firsts):
            last = piece.onsets[index - 1] if index else None
            before.append(last.wnid if last else "")
            after.append(piece.onsets[index].wnid)
            if last:
                _forget(frames, row, last.time + last.duration - moments[row])
        parts.append(frames)
    rests = Rests(join(parts), tuple(before), tuple(after)) if parts else None
    return rests if rests and rests.frames.covers(-RESTED, 0.0).any() else None


def _first_of_blocks(onsets: Sequence[Onset]) -> list[int]:
    keys = [(onset.phase, onset.run, onset.block, onset.attempt) for onset in onsets]
    return [index for index, key in enumerate(keys) if index == 0 or key != keys[index - 1]]


def _forget(frames: Frames, row: int, pause_began: float) -> None:
    """Remove what lies before ``pause_began`` seconds (below 0) of the next block."""
    times = frames.start + np.arange(frames.power.shape[2]) * HOP
    early = times < pause_began - 1e-6
    frames.power[row][:, early] = np.nan
    frames.waveform[row][:, early] = np.nan
