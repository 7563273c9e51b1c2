"""The one pipeline: steps in order and epochs cut, the same in training and online."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from phosphene.choice import Chosen
from phosphene.continuity import SETTLING, Continuity, pieces
from phosphene.epochs import Cut, EpochCutter, Incomplete
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.interfaces import Context, JoinableStep, StreamStep, StreamStepConfig, TrainingSet
from phosphene.rejection import Rejection
from phosphene.settings import EpochSettings
from phosphene.signals import Epochs, Signal, SignalSpec, eeg_picks

State = Mapping[str, NDArray[np.generic]]
REJECT = "reject"
"""Name of the limits of rejection among the states."""


class Pipeline:
    """Raw chunks in, epochs out; then epochs through the epoch steps.

    Only EEG channels take part: a trigger or photodiode channel would tell the decoder what was
    shown. ``lag`` is the measured time from flip to light. Raises ``PhospheneError`` if the signal
    cannot carry a step's settings.
    """

    def __init__(
        self,
        stream: Sequence[Chosen[StreamStepConfig]],
        epochs: EpochSettings,
        spec: SignalSpec,
        context: Context,
        lag: float = 0.0,
    ) -> None:
        self._picks = eeg_picks(spec)
        if not self._picks:
            raise PhospheneError(f"no EEG channel; found {', '.join(sorted(set(spec.types)))}")
        self._all = len(self._picks) == spec.n_channels
        self._raw = self.spec = pick_channels(spec, self._picks)
        self.settling = SETTLING if stream else 0.0
        """Seconds behind a fresh start in which no epoch is cut."""
        self._continuity = Continuity(self._raw)
        self._stream: list[StreamStep] = []
        for chosen in stream:
            step = chosen.config.build(self.spec, context)
            self._add_step(step)
            self.spec = step.spec
        self.tmin, self._tmax = epochs.tmin, epochs.tmax
        self.delay = lag + sum(step.delay for step in self._stream)
        self._names = [f"{i}-{chosen.name}" for i, chosen in enumerate(epochs.steps)]
        self._steps = [chosen.config.build(self.spec, context) for chosen in epochs.steps]
        self._rejection = Rejection(epochs.reject) if epochs.reject else None
        self._cutter = self._new_cutter()

    @property
    def n_times(self) -> int:
        """Samples of an epoch."""
        return self._cutter.n_times

    def open_segment(self) -> None:
        """Begin a recording: filters and buffers start afresh."""
        self._reset_steps()
        self._cutter = self._new_cutter()
        self._continuity = Continuity(self._raw)

    def feed(self, signal: Signal) -> None:
        """Take in the next chunk of the recording.

        Behind a break of the signal the filters start afresh; no epoch is cut that spans a fault
        or begins before they have settled.
        """
        if not self._all:
            signal = Signal(signal.data[self._picks], signal.stamps, signal.offset)
        first = self._continuity.n_samples
        faults = self._continuity(signal)
        breaks = [fault for fault in faults if fault.is_break]
        for fault in faults:
            if not fault.is_break:
                self._cutter.exclude(fault)
        # What was complete before a break is cut before the break is known, in whatever chunks.
        head, *others = pieces(signal, [fault.sample - first for fault in breaks])
        self._process(head)
        for fault, piece in zip(breaks, others, strict=True):
            self._cutter.exclude(fault)
            self._reset_steps()
            self._process(piece)

    def _process(self, signal: Signal) -> None:
        for step in self._stream:
            if not signal.n_times:  # A step that lowers the rate waits for more.
                return
            signal = step(signal)
        if signal.n_times:
            self._cutter.feed(signal)

    def mark(self, onset: Onset) -> None:
        """Ask for the epoch of an onset, before or after its samples."""
        self._cutter.mark(onset)

    def cuts(self) -> list[Cut]:
        """Return newly completed epochs; the epoch steps are still to come."""
        return self._cutter.cuts()

    def close_segment(self) -> list[Incomplete]:
        """End a recording; return the onsets whose epochs could not be cut."""
        return self._cutter.close()

    def learn_rejection(self, epochs: Epochs) -> NDArray[np.bool_]:
        """Learn from raw training epochs what an artefact is; return which epochs are none."""
        if self._rejection is None:
            return np.ones(len(epochs.data), bool)
        self._rejection.fit(epochs)
        return self._rejection.kept(epochs)

    def reasons(self, epochs: Epochs) -> list[str]:
        """Return why each raw epoch must not be decoded; "" for a good one."""
        return self._rejection.reasons(epochs) if self._rejection else [""] * len(epochs.data)

    def good(self, data: TrainingSet) -> TrainingSet:
        """Return raw epochs without those that must not be decoded."""
        return data.select(np.flatnonzero([not reason for reason in self.reasons(data.epochs)]))

    def rejected(self, data: TrainingSet) -> Counter[str]:
        """Return how many raw epochs of each class must not be decoded."""
        return Counter(data.wnids) - Counter(self.good(data).wnids)

    def fit(self, epochs: Epochs) -> Epochs:
        """Fit the epoch steps in order on training epochs; return them transformed."""
        for step in self._steps:
            step.fit(epochs)
            epochs = step(epochs)
        return epochs

    def transform(self, epochs: Epochs) -> Epochs:
        """Return epochs after all epoch steps."""
        for step in self._steps:
            epochs = step(epochs)
        return epochs

    def states(self) -> list[tuple[str, State]]:
        """Return number, name and fitted state of each epoch step, and limits of rejection."""
        found = [(n, step.state()) for n, step in zip(self._names, self._steps, strict=True)]
        return [*found, (REJECT, self._rejection.state())] if self._rejection else found

    def load_states(self, states: Sequence[State]) -> None:
        """Restore the fitted states, in order."""
        left = list(states)
        if self._rejection:
            self._rejection.load(left.pop())
        for step, state in zip(self._steps, left, strict=True):
            step.load(state)

    def _add_step(self, step: StreamStep) -> None:
        """Put a step behind the others, or one that does the last one's work as well."""
        last = self._stream[-1] if self._stream else None
        if isinstance(last, JoinableStep) and (joined := last.joined(step)):
            self._stream[-1] = joined
        else:
            self._stream.append(step)

    def _reset_steps(self) -> None:
        for step in self._stream:
            step.reset()

    def _new_cutter(self) -> EpochCutter:
        return EpochCutter(self.spec, self.tmin, self._tmax, self.delay, self.settling)


def pick_channels(spec: SignalSpec, picks: Sequence[int]) -> SignalSpec:
    """Return the specification of some of the channels."""
    channels = tuple(spec.channels[i] for i in picks)
    return structs.replace(
        spec,
        channels=channels,
        types=tuple(spec.types[i] for i in picks),
        positions={name: spec.positions[name] for name in channels if name in spec.positions},
    )
