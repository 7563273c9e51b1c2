"""The simulated subject's EEG as far as it exists: made ahead, changed by images, then played."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from phosphene import Onset
from phosphene_plugins.simulated_activity import Activity, Frame
from phosphene_plugins.simulated_eyes import Samples
from phosphene_plugins.simulated_modulation import Modulation


@dataclass(frozen=True)
class Reactions:
    """What an image does to the EEG."""

    added: Sequence[Callable[[Onset], Samples]]
    """Each gives volts from the onset on, (n_channels, n_times)."""
    modulations: tuple[Sequence[Modulation], ...]
    """By rhythm."""


class Tape:
    """The frames that exist: made ahead of what is played, kept a little longer."""

    def __init__(self, activity: Activity, reactions: Reactions, history: int) -> None:
        self._activity, self._reactions, self._history = activity, reactions, history
        self._frames: dict[int, Frame] = {}
        self._made = 0

    def play(self, start: int, end: int) -> Samples:
        """Return samples as the electrodes give them; what is older may be forgotten."""
        n_channels = len(self._frame(start // self._activity.n_times).signal)
        played = np.empty((n_channels, end - start), dtype=np.float32)
        for frame, source, target in self._overlaps(start, end):
            np.multiply(frame.signal[:, source], frame.gain[:, source], out=played[:, target])
        self._forget(end - self._history)
        return played

    def react(self, start: int, onset: Onset) -> None:
        """Do what an image does from sample ``start`` on, unless that is too long ago."""
        if start < min(self._frames, default=0) * self._activity.n_times:
            return
        for addition in self._reactions.added:
            self._add(start, addition(onset))
        for rhythm, modulations in enumerate(self._reactions.modulations):
            for modulation in modulations:
                self._modulate(start, onset, rhythm, modulation)

    def _add(self, start: int, volts: Samples) -> None:
        for frame, source, target in self._overlaps(start, start + volts.shape[1]):
            frame.signal[:, source] += volts[:, target]

    def _modulate(self, start: int, onset: Onset, rhythm: int, modulation: Modulation) -> None:
        """Bring a rhythm to another level: what changes of it is added to the signal."""
        field = self._activity.fields[rhythm]
        overlaps = list(self._overlaps(start, start + modulation.n_times))
        before = np.hstack([f.rhythms[rhythm].level[:, source] for f, source, _ in overlaps])
        after = modulation(onset, before)
        change = np.exp(after) - np.exp(before)
        for frame, source, target in overlaps:
            activity, level = frame.rhythms[rhythm].activity, frame.rhythms[rhythm].level
            frame.signal[:, source] += field @ (activity[:, source] * change[:, target])
            level[:, source] = after[:, target]

    def _overlaps(self, start: int, end: int) -> Iterator[tuple[Frame, slice, slice]]:
        """Yield each frame that overlaps, the overlap within it, and within start to end."""
        size = self._activity.n_times
        for number in range(start // size, -(-end // size)):
            first = number * size
            low, high = max(start, first), min(end, first + size)
            yield (
                self._frame(number),
                slice(low - first, high - first),
                slice(low - start, high - start),
            )

    def _frame(self, number: int) -> Frame:
        while self._made <= number:
            self._frames[self._made] = self._activity.frame()
            self._made += 1
        return self._frames[number]

    def _forget(self, before: int) -> None:
        size = self._activity.n_times
        for number in [n for n in self._frames if (n + 1) * size <= before]:
            del self._frames[number]
