"""What is asked of every step on the running signal."""

# ruff: noqa: D401 (the docstring of a demand states it)

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from phosphene.errors import PhospheneError
from phosphene.interfaces import StreamStep, StreamStepConfig
from phosphene.signals import Signal, SignalSpec
from phosphene.testing.demands import ConformanceError, Demands, expect
from phosphene.testing.material import make_context, make_signal, make_spec
from phosphene.testing.measuring import Measurement, durations

RATES = (1000.0, 250.0)
SECONDS = 3.0
SLACK = 0.1
"""Seconds of signal that a step may hold back besides its delay."""
ROUNDING = 1e-5
"""Of the largest sample, by which results may differ that should be equal."""
CHUNKS = (1, 7, 10, 64, 3)
"""Samples of the pieces in which a signal is fed, again and again."""


class StreamStepCandidate:
    """A step's settings, and the first rate that they can be used at."""

    def __init__(self, config: StreamStepConfig) -> None:
        self.config = config

    @cached_property
    def spec(self) -> SignalSpec:
        """Of the signal that goes in."""
        refusals = []
        for spec in map(make_spec, RATES):
            try:
                self.config.build(spec, make_context())
            except PhospheneError as error:
                refusals.append(f"{spec.sfreq:g} Hz: {error}")
            else:
                return spec
        raise ConformanceError(
            "expected a step for one of these rates; found " + "; ".join(refusals)
        )

    @cached_property
    def whole(self) -> Signal:
        """What comes of a signal fed in one piece."""
        return self.build()(self.signal())

    def build(self) -> StreamStep:
        """Return a new step."""
        return self.config.build(self.spec, make_context())

    def signal(self) -> Signal:
        """Return the signal that goes in, freshly made."""
        return make_signal(self.spec, SECONDS)

    def measurements(self) -> Iterator[Measurement]:
        """Yield how long 10 ms of signal take."""
        step = self.build()
        chunk = make_signal(self.spec, 0.01)
        yield from durations(f"10 ms of {self.spec.n_channels} channels", lambda: step(chunk))


demands = Demands[StreamStepCandidate]()


@demands()
def builds(candidate: StreamStepCandidate) -> None:
    """A step is built for EEG of 1000 or 250 Hz."""
    expect(candidate.spec, "unreachable")


@demands(builds)
def shapes_and_dtypes(candidate: StreamStepCandidate) -> None:
    """float32 samples (n_channels, n_times) as ``spec`` says, with a float64 stamp for each."""
    found, spec = candidate.whole, candidate.build().spec
    expect(isinstance(spec, SignalSpec), f"spec must be a SignalSpec; found {spec!r}")
    expect(found.data.dtype == np.float32, f"samples must be float32; found {found.data.dtype}")
    expect(found.stamps.dtype == np.float64, f"stamps must be float64; found {found.stamps.dtype}")
    expected = (spec.n_channels, len(found.stamps))
    expect(
        found.data.shape == expected,
        f"expected {expected} as spec and stamps say; found {found.data.shape}",
    )


@demands(shapes_and_dtypes)
def keeps_time(candidate: StreamStepCandidate) -> None:
    """As many samples as ``spec.sfreq`` says, their stamps among those that went in."""
    step, given, found = candidate.build(), candidate.signal(), candidate.whole
    seconds = found.n_times / step.spec.sfreq
    expect(
        SECONDS - step.delay - SLACK <= seconds <= SECONDS + SLACK,
        f"of {SECONDS:g} s came {seconds:g} s at {step.spec.sfreq:g} Hz",
    )
    expect((np.diff(found.times) > 0).all(), "stamps must increase")
    inside = given.times[0] <= found.times[0] and found.times[-1] <= given.times[-1]
    expect(inside, "a stamp plus offset lies before or behind all that went in")


@demands(builds)
def delay_is_a_time(candidate: StreamStepCandidate) -> None:
    """``delay`` is 0 or more, less than a second."""
    delay = candidate.build().delay
    expect(0 <= delay < 1, f"delay must be seconds from 0 to below 1; found {delay!r}")


@demands(shapes_and_dtypes)
def any_chunking_gives_the_same(candidate: StreamStepCandidate) -> None:
    """A signal in pieces of 1 to 64 samples gives what it gives whole: the step looks not ahead."""
    pieces = list(_pieces(candidate.signal()))
    _expect_equal(_fed(candidate.build(), pieces), candidate.whole, "fed in pieces")


@demands(shapes_and_dtypes)
def reset_forgets(candidate: StreamStepCandidate) -> None:
    """After ``reset`` a step is like new."""
    step = candidate.build()
    step(make_signal(candidate.spec, 1.0, seed=2))
    step.reset()
    _expect_equal(step(candidate.signal()), candidate.whole, "after reset")


@demands(any_chunking_gives_the_same)
def steps_share_nothing(candidate: StreamStepCandidate) -> None:
    """Two steps of the same settings do not disturb each other."""
    one, other = candidate.build(), candidate.build()
    found = []
    for number, piece in enumerate(_pieces(candidate.signal())):
        found.append(one(piece))
        other(make_signal(candidate.spec, 0.01, seed=number))
    _expect_equal(_joined(found), candidate.whole, "with another step at work")


@demands(shapes_and_dtypes)
def recovers_from_not_finite_samples(candidate: StreamStepCandidate) -> None:
    """One second after a sample of NaN or infinity all is finite again."""
    for value in np.nan, np.inf:
        signal = candidate.signal()
        place = signal.n_times // 3
        signal.data[1, place] = value
        found = candidate.build()(signal)
        later = found.data[:, found.times > signal.times[place] + 1.0]
        expect(np.isfinite(later).all(), f"not finite more than 1 s after a sample of {value}")


@demands(shapes_and_dtypes)
def takes_a_flat_channel(candidate: StreamStepCandidate) -> None:
    """A dead channel gives finite samples."""
    signal = candidate.signal()
    signal.data[1] = 0
    found = candidate.build()(signal)
    expect(np.isfinite(found.data).all(), "samples that are not finite from a channel of zeros")


@demands(builds)
def leaves_its_input_alone(candidate: StreamStepCandidate) -> None:
    """The chunk that goes in is not changed."""
    given, fresh = candidate.signal(), candidate.signal()
    candidate.build()(given)
    same = np.array_equal(given.data, fresh.data) and np.array_equal(given.stamps, fresh.stamps)
    expect(same, "the chunk that was given has changed")


@demands(builds)
def another_signal_is_refused_or_carried(candidate: StreamStepCandidate) -> None:
    """EEG of 20 Hz, or of a single channel, is refused by ``build`` in words, or works."""
    for spec in make_spec(20.0), make_spec(candidate.spec.sfreq, n_channels=1):
        what = f"{spec.n_channels} channels at {spec.sfreq:g} Hz"
        try:
            step = candidate.config.build(spec, make_context())
        except PhospheneError:
            continue
        except Exception as error:
            raise ConformanceError(f"{what}: expected a step or a PhospheneError") from error
        step(make_signal(spec, SECONDS))


def _pieces(signal: Signal) -> Iterator[Signal]:
    start = number = 0
    while start < signal.n_times:
        stop = start + CHUNKS[number % len(CHUNKS)]
        yield _part(signal, start, stop)
        start, number = stop, number + 1


def _part(signal: Signal, start: int, stop: int) -> Signal:
    return Signal(signal.data[:, start:stop], signal.stamps[start:stop], signal.offset)


def _fed(step: StreamStep, pieces: Sequence[Signal]) -> Signal:
    return _joined([step(piece) for piece in pieces])


def _joined(signals: Sequence[Signal]) -> Signal:
    data = np.concatenate([signal.data for signal in signals], axis=1)
    times = np.concatenate([signal.times for signal in signals])
    return Signal(data, times)


def _expect_equal(found: Signal, expected: Signal, when: str) -> None:
    n, n_expected = found.n_times, expected.n_times
    expect(n == n_expected, f"{when}, {n} samples come out, not {n_expected}")
    difference = float(np.abs(found.data - expected.data).max(initial=0))
    largest = float(np.abs(expected.data).max(initial=0))
    expect(
        difference <= ROUNDING * largest,
        f"{when}, samples differ by up to {difference:.2g} V of {largest:.2g} V",
    )
    expect(np.allclose(found.times, expected.times, 0, 1e-6), f"{when}, the stamps differ")
