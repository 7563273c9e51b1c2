"""An onset has one epoch, or one reason why not, in whatever order things arrive."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phosphene import Onset, PhospheneError, Signal, SignalSpec
from phosphene.continuity import SETTLING
from phosphene.epochs import HISTORY, EpochCutter, whole_samples
from phosphene.signals import JITTER

SFREQ = 100.0
SPEC = SignalSpec(("Fz", "Cz"), ("eeg", "eeg"), SFREQ)
examples = settings(max_examples=60, deadline=None)


def make_onset(time: float, seq: int = 0) -> Onset:
    return Onset(seq, "stimulus", time, time, 0.5, "record", 1, 1, 1, seq + 1, "n1", "a.png", "ab")


def make_signal(stamps: NDArray[np.float64], offset: float = 0.0) -> Signal:
    """Return samples that say which they are."""
    number = np.arange(len(stamps), dtype=np.float32)
    return Signal(np.stack((number, -number)), stamps, offset)


def regular(n_times: int, start: float = 50.0) -> Signal:
    return make_signal(start + np.arange(n_times) / SFREQ)


def split(signal: Signal, cuts: Sequence[int]) -> list[Signal]:
    """Return the signal in pieces that end at the given samples."""
    edges = sorted({0, signal.n_times, *(cut for cut in cuts if 0 < cut < signal.n_times)})
    return [
        Signal(signal.data[:, start:stop], signal.stamps[start:stop], signal.offset)
        for start, stop in pairwise(edges)
    ]


def cutter(tmin: float = 0.1, tmax: float = 0.4, delay: float = 0.02) -> EpochCutter:
    return EpochCutter(SPEC, tmin, tmax, delay, SETTLING)


@dataclass
class Outcome:
    """What became of each onset, by seq."""

    cut: dict[int, tuple[int, bytes]]
    lost: dict[int, str]


def run(its: EpochCutter, script: Sequence[Signal | Onset]) -> Outcome:
    outcome = Outcome({}, {})
    for each in script:
        if isinstance(each, Signal):
            its.feed(each)
        else:
            its.mark(each)
        for cut in its.cuts():
            assert cut.onset.seq not in outcome.cut
            outcome.cut[cut.onset.seq] = (cut.first_sample, cut.data.tobytes())
    for lost in its.close():
        assert lost.onset.seq not in outcome.lost
        outcome.lost[lost.onset.seq] = lost.reason
    return outcome


def reason(onset: Onset, signal: Signal) -> str:
    """Return why the only onset of a recording has no epoch."""
    outcome = run(cutter(), [onset, signal])
    assert not outcome.cut
    return outcome.lost[onset.seq]


# Any order, any pieces


@st.composite
def recordings(draw: st.DrawFn) -> Signal:
    """Up to 6 s with jitter (also backwards), gaps and jumps of the clock."""
    n_times = draw(st.integers(1, 600))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    jitter = draw(st.sampled_from([0.0, 0.002, 0.02]))
    stamps = 50.0 + np.arange(n_times) / SFREQ + rng.uniform(-jitter, jitter, n_times)
    jumps = st.tuples(st.integers(0, n_times), st.sampled_from([0.015, 0.03, 1.0, -0.03, -1.0]))
    for at, seconds in draw(st.lists(jumps, max_size=3)):
        stamps[at:] += seconds
    return make_signal(stamps, draw(st.sampled_from([0.0, -3.25])))


@examples
@given(
    recordings(),
    st.lists(st.floats(45.0, 58.0), min_size=1, max_size=8),
    st.lists(st.integers(1, 599), max_size=30),
    st.randoms(use_true_random=False),
)
def test_any_order_and_any_pieces_give_the_same_epochs(
    signal: Signal, times: list[float], cuts: list[int], order: random.Random
) -> None:
    onsets = [make_onset(time + signal.offset, seq) for seq, time in enumerate(times)]
    expected = run(cutter(), [*onsets, signal])
    assert len(expected.cut) + len(expected.lost) == len(onsets)

    script: list[Signal | Onset] = [*split(signal, cuts)]
    for onset in order.sample(onsets, len(onsets)):
        script.insert(order.randint(0, len(script)), onset)
    assert run(cutter(), script) == expected


@examples
@given(st.integers(0, 2**32 - 1), st.integers(1, 3000))
def test_a_long_recording_at_once_gives_the_same_epochs_as_chunk_by_chunk(
    seed: int, size: int
) -> None:
    signal = regular(6000)  # 60 s: much more than is kept.
    times = np.random.default_rng(seed).uniform(45, 115, 30)
    onsets = [make_onset(float(time), seq) for seq, time in enumerate(times)]
    whole = run(cutter(), [*onsets, signal])
    assert len(whole.cut) > 10
    assert run(cutter(), [*onsets, *split(signal, range(0, 6000, size))]) == whole


def test_onsets_may_come_behind_their_samples() -> None:
    onset = make_onset(51.0)
    before = run(cutter(), [onset, regular(300)])
    after = run(cutter(), [regular(300), onset])
    assert before.cut == after.cut
    assert len(before.cut) == 1


def test_an_onset_that_waits_for_its_samples_holds_up_no_earlier_one() -> None:
    its = cutter()
    its.mark(make_onset(55.0, seq=1))
    its.feed(regular(300))
    its.mark(make_onset(51.0, seq=0))
    assert [cut.onset.seq for cut in its.cuts()] == [0]


def test_an_epoch_is_there_with_its_last_sample_and_not_before() -> None:
    its, signal = cutter(0.0, 0.3, 0.0), regular(300)
    its.mark(make_onset(51.0))  # Samples 100 to 129.
    head, last, _ = split(signal, [129, 130])
    its.feed(head)
    assert its.cuts() == []
    its.feed(last)
    assert [cut.first_sample for cut in its.cuts()] == [100]
    assert its.cuts() == []


def test_a_cut_stays_what_it_was_when_the_signal_goes_on() -> None:
    its = cutter()
    its.mark(make_onset(51.0))
    its.feed(regular(300))
    (cut,) = its.cuts()
    before = cut.data.copy()
    its.feed(regular(3000, start=53.0))
    np.testing.assert_array_equal(cut.data, before)
    assert cut.data.dtype == np.float32


# Which samples


@examples
@given(
    st.floats(50.5, 54.0),
    st.floats(-0.4, 0.5),
    st.floats(0.0, 0.2),
    st.integers(1, 60),
    st.floats(-5, 5),
)
def test_an_epoch_begins_with_the_sample_nearest_to_its_start(
    time: float, tmin: float, delay: float, n_times: int, offset: float
) -> None:
    signal = regular(600)
    signal = Signal(signal.data, signal.stamps, offset)
    its = EpochCutter(SPEC, tmin, tmin + n_times / SFREQ, delay, SETTLING)
    assert its.n_times == n_times
    its.mark(make_onset(time + offset))
    its.feed(signal)
    (cut,) = its.cuts()
    target = time + offset + tmin + delay
    distance = np.abs(signal.times - target)
    assert distance[cut.first_sample] <= distance.min() + 1e-9
    stop = cut.first_sample + n_times
    np.testing.assert_array_equal(cut.data, signal.data[:, cut.first_sample : stop])


def test_it_is_the_samples_own_times_that_count() -> None:
    # The amplifier is 1 % slow: after 4 s its samples are 4 behind the nominal rate.
    signal = make_signal(50.0 + np.arange(600) / (SFREQ / 1.01))
    its = cutter(0.0, 0.3, 0.0)
    its.mark(make_onset(54.04))
    its.feed(signal)
    assert [cut.first_sample for cut in its.cuts()] == [400]


# What cannot be cut


@pytest.mark.parametrize(
    ("time", "missing"), [(49.0, "0.880"), (49.85, "0.030"), (49.874, "0.006")]
)
def test_an_epoch_that_begins_before_the_recording_is_incomplete(time: float, missing: str) -> None:
    found = reason(make_onset(time), regular(300))
    assert found == f"its first {missing} s are not in the recording"


def test_half_a_sample_before_the_recording_is_still_the_first_sample() -> None:
    outcome = run(cutter(), [make_onset(49.8751), regular(300)])
    assert outcome.cut[0][0] == 0


@pytest.mark.parametrize("time", [52.5, 52.6, 53.0, 500.0])
def test_an_epoch_that_the_recording_does_not_reach_is_incomplete(time: float) -> None:
    assert reason(make_onset(time), regular(279)) == "the recording ended before it did"


def test_nothing_is_cut_from_an_empty_recording() -> None:
    assert run(cutter(), [make_onset(50.0)]).lost == {0: "the recording ended before it did"}


def with_gap(seconds: float) -> Signal:
    """Return 4 s in which ``seconds`` are missing after sample 200, at 52 s."""
    stamps = 50.0 + np.arange(400) / SFREQ
    stamps[200:] += seconds
    return make_signal(stamps)


@pytest.mark.parametrize("seconds", [0.03, 0.5, 3.0])
@pytest.mark.parametrize("before", [0.01, 0.1, 0.29])
def test_an_epoch_with_a_gap_in_it_is_incomplete(seconds: float, before: float) -> None:
    onset = make_onset(52.0 - before - 0.12)
    assert reason(onset, with_gap(seconds)) == f"a gap of {seconds:.3f} s lies in it"


def test_an_epoch_that_begins_in_a_gap_is_incomplete() -> None:
    early, late = make_onset(52.2 - 0.12), make_onset(54.8 - 0.12)
    assert reason(early, with_gap(3.0)) == "a gap of 3.000 s lies in it"
    assert reason(late, with_gap(3.0)) == "its first 0.200 s are not in the recording"


@pytest.mark.parametrize(("time", "first"), [(51.5, 162), (55.2, 232)])
def test_epochs_on_either_side_of_a_gap_are_cut(time: float, first: int) -> None:
    outcome = run(cutter(), [make_onset(time), with_gap(3.0)])
    assert {seq: cut[0] for seq, cut in outcome.cut.items()} == {0: first}


@pytest.mark.parametrize("jump", [JITTER - 0.001, -JITTER + 0.001])
def test_jitter_is_no_gap(jump: float) -> None:
    assert run(cutter(), [make_onset(51.8), with_gap(jump)]).cut


def test_a_clock_that_jumps_back_makes_the_epoch_incomplete() -> None:
    assert reason(make_onset(51.8), with_gap(-1.0)) == "its time stamps are 0.220 s short"


def test_an_onset_that_comes_too_late_is_told_from_one_before_the_recording() -> None:
    signal, onset = regular(3000), make_onset(51.0)
    assert run(cutter(), [onset, signal]).cut
    late = run(cutter(), [signal, onset])
    assert late.lost == {0: f"its onset came more than {HISTORY:g} s behind its samples"}


def test_an_onset_may_come_as_late_as_is_promised() -> None:
    signal = regular(3000)
    end = float(signal.times[-1])
    assert run(cutter(), [signal, make_onset(end - HISTORY)]).cut


# Length


@settings(deadline=None)
@given(st.floats(0.001, 5), st.floats(100, 3000))
def test_a_length_of_no_whole_number_of_samples_is_refused_with_one_that_works(
    seconds: float, sfreq: float
) -> None:
    try:
        n = whole_samples(seconds, sfreq, "epoch")
    except PhospheneError as error:
        nearest = float(str(error).rpartition(" possible is ")[2].removesuffix(" s"))
        assert abs(nearest - seconds) <= 1 / sfreq
        n = whole_samples(nearest, sfreq, "epoch")
        assert nearest * sfreq == pytest.approx(n, rel=1e-6)
    else:
        assert seconds * sfreq == pytest.approx(n, rel=1e-6)


def test_the_papers_epoch_at_512_hz_is_refused() -> None:
    with pytest.raises(PhospheneError) as refusal:
        EpochCutter(SignalSpec(("Cz",), ("eeg",), 512.0), 0.02, 0.5, 0.0, SETTLING)
    assert str(refusal.value) == (
        "epoch (tmax - tmin) of 0.48 s is 245.76 samples at 512 Hz; "
        "the nearest possible is 0.48046875 s"
    )
