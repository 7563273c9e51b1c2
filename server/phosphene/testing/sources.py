"""What is asked of every signal source that can run on a virtual clock."""

# ruff: noqa: D401 (the docstring of a demand states it)

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from phosphene.interfaces import Context, Source, SourceConfig
from phosphene.signals import Signal, SignalSpec
from phosphene.testing.demands import ConformanceError, Demands, NotApplicableError, expect
from phosphene.testing.material import make_context, onsets
from phosphene.testing.measuring import Measurement, durations

SECONDS = 2.0
STEP = 0.1
"""Seconds that pass between two looks."""
LARGEST = 0.1
"""Volts; more than an EEG amplifier can have at its input, so that the unit is another one."""


@dataclass(frozen=True)
class Recorded:
    """What a source gave, and the time after each read."""

    spec: SignalSpec
    signals: list[Signal]
    now: list[float]
    extra: Signal | None
    """What came when it was read again at once."""


class SourceCandidate:
    """A source's settings, and what it gives in the first two seconds."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config

    @cached_property
    def recorded(self) -> Recorded:
        """The first two seconds, with images shown."""
        return self.record(STEP)

    def record(self, step: float) -> Recorded:
        """Return what a new source gives if it is read every ``step`` seconds."""
        if self.config.live:
            raise NotApplicableError("it needs its device")
        context = make_context()
        source = self.config.build(context)
        try:
            return _record(source, context, step)
        finally:
            source.close()

    def measurements(self) -> Iterator[Measurement]:
        """Yield how long it takes to make 10 ms of signal."""
        if self.config.live:
            return
        context = make_context()
        source = self.config.build(context)

        def read() -> None:
            context.clock.sleep_until(context.clock.now() + 0.01)
            source.read(0.0)

        yield from durations(f"10 ms of {source.spec.n_channels} channels", read)
        source.close()


demands = Demands[SourceCandidate]()


@demands()
def runs_on_a_virtual_clock(candidate: SourceCandidate) -> None:
    """With ``live = False`` a source is built, read and closed on a clock that jumps."""
    expect(isinstance(candidate.recorded.spec, SignalSpec), "spec must be a SignalSpec")
    expect(candidate.recorded.signals, f"nothing came in {SECONDS:g} s")


@demands(runs_on_a_virtual_clock)
def shapes_and_dtypes(candidate: SourceCandidate) -> None:
    """float32 samples (n_channels, n_times) with a float64 stamp for each; never none."""
    for signal in candidate.recorded.signals:
        data, stamps = signal.data.dtype, signal.stamps.dtype
        expect(data == np.float32, f"samples must be float32; found {data}")
        expect(stamps == np.float64, f"stamps must be float64; found {stamps}")
        expected = (candidate.recorded.spec.n_channels, len(signal.stamps))
        expect(signal.data.shape == expected, f"expected {expected}, found {signal.data.shape}")
        expect(signal.n_times, "a signal without samples; expected None")


@demands(runs_on_a_virtual_clock)
def read_again_at_once_it_has_nothing(candidate: SourceCandidate) -> None:
    """When no time has passed, ``read`` returns None."""
    expect(candidate.recorded.extra is None, "found a signal though no time had passed")


@demands(shapes_and_dtypes)
def stamps_are_true(candidate: SourceCandidate) -> None:
    """Stamps increase from read to read and never lie in the future."""
    recorded = candidate.recorded
    times = np.concatenate([signal.times for signal in recorded.signals])
    expect((np.diff(times) >= 0).all(), "a stamp lies before the one that precedes it")
    for signal, now in zip(recorded.signals, recorded.now, strict=True):
        ahead = signal.times[-1] - now
        expect(ahead <= 1e-6, f"a stamp lies {ahead:g} s in the future")


@demands(shapes_and_dtypes)
def rate_is_that_of_its_spec(candidate: SourceCandidate) -> None:
    """As many samples come as ``spec.sfreq`` says."""
    recorded = candidate.recorded
    n_times = sum(signal.n_times for signal in recorded.signals)
    expected = SECONDS * recorded.spec.sfreq
    expect(
        abs(n_times - expected) <= 0.1 * expected,
        f"expected about {expected:g} samples in {SECONDS:g} s, found {n_times}",
    )


@demands(shapes_and_dtypes)
def unit_is_volts(candidate: SourceCandidate) -> None:
    """EEG is finite and below 0.1 V: it is not in microvolts."""
    recorded = candidate.recorded
    eeg = [row for row, kind in enumerate(recorded.spec.types) if kind == "eeg"]
    data = np.concatenate([signal.data[eeg] for signal in recorded.signals], axis=1)
    if not data.size:
        raise NotApplicableError("it has no EEG channel")
    expect(np.isfinite(data).all(), "found samples that are not finite")
    largest = float(np.abs(data).max())
    expect(largest < LARGEST, f"found {largest:g} V; are these microvolts?")


@demands(shapes_and_dtypes)
def same_signal_for_the_same_seed(candidate: SourceCandidate) -> None:
    """The same seed and the same onsets give the same signal."""
    _expect_equal(candidate.record(STEP), candidate.recorded, "built again")


def _record(source: Source, context: Context, step: float) -> Recorded:
    found = Recorded(source.spec, [], [], None)
    waiting, clock = list(onsets()), context.clock
    end = clock.now() + SECONDS
    while clock.now() < end - 1e-9:
        clock.sleep_until(clock.now() + step)
        while waiting and waiting[0].time <= clock.now():
            context.onsets.append(waiting.pop(0))
        if (signal := source.read(0.0)) is not None:
            found.signals.append(signal)
            found.now.append(clock.now())
    return Recorded(found.spec, found.signals, found.now, source.read(0.0))


def _expect_equal(found: Recorded, expected: Recorded, when: str) -> None:
    one, other = (
        np.concatenate([signal.data for signal in recorded.signals], axis=1)
        for recorded in (found, expected)
    )
    if one.shape != other.shape:
        raise ConformanceError(f"{when}, {one.shape[1]} samples came, not {other.shape[1]}")
    expect(np.array_equal(one, other, equal_nan=True), f"{when}, it gave other samples")
