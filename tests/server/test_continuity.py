"""What is wrong with a running signal is found, whatever chunks it comes in, and never decoded."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from numpy.typing import NDArray

from phosphene import Context, Onset, Signal, SignalSpec, StimulusSet
from phosphene.choice import Chosen
from phosphene.continuity import DEAD, SETTLING, Continuity, Fault
from phosphene.epochs import Cut, Incomplete
from phosphene.pipeline import Pipeline
from phosphene.settings import EpochSettings
from phosphene.signals import JITTER
from phosphene_plugins.filters import BandpassConfig, NotchConfig

SFREQ, START, SECONDS = 250.0, 100.0, 12.0
N = round(SFREQ * SECONDS)
SPEC = SignalSpec(("Fz", "Oz", "diode"), ("eeg", "eeg", "misc"), SFREQ)
DATA: NDArray[np.float32] = (
    1e-5 * np.random.default_rng(0).standard_normal((3, N))
).astype(np.float32)  # fmt: skip
STAMPS = START + np.arange(N) / SFREQ
AT = 1000
"""Sample at which the signal is disturbed, at 104 s."""
Disturbed = tuple[NDArray[np.float32], NDArray[np.float64]]


def dropped(seconds: float) -> Disturbed:
    kept = np.ones(N, bool)
    kept[AT : AT + round(seconds * SFREQ)] = False
    return DATA[:, kept], STAMPS[kept]


def jumped(seconds: float) -> Disturbed:
    return DATA, np.concatenate((STAMPS[:AT], STAMPS[AT:] + seconds))


def repeated(n_times: int) -> Disturbed:
    order = np.concatenate((np.arange(AT), np.arange(AT - n_times, N)))
    return DATA[:, order], STAMPS[order]


def reordered(n_times: int) -> Disturbed:
    order = np.arange(N)
    order[AT : AT + 2 * n_times] = np.roll(order[AT : AT + 2 * n_times], n_times)
    return DATA[:, order], STAMPS[order]


def unknown(n_times: int, channel: int = 1) -> Disturbed:
    data = DATA.copy()
    data[channel, AT : AT + n_times] = np.nan
    return data, STAMPS


def chunks(disturbed: Disturbed, sizes: Sequence[int]) -> list[Signal]:
    data, stamps = disturbed
    signals: list[Signal] = []
    start = 0
    while start < len(stamps):
        stop = min(start + sizes[len(signals) % len(sizes)], len(stamps))
        signals.append(Signal(data[:, start:stop], stamps[start:stop]))
        start = stop
    return signals


def packets(n_times: int, late: float = 0.0) -> Disturbed:
    """Samples that come several at once, stamped on arrival, up to so many seconds late."""
    n_packets = -(-N // n_times)
    delay = np.random.default_rng(0).uniform(0, late, n_packets)
    arrivals = STAMPS[0] + np.arange(n_packets) * n_times / SFREQ + delay
    return DATA, np.repeat(arrivals, n_times)[:N]


def faults(
    disturbed: Disturbed, sizes: Sequence[int] = (N,), spec: SignalSpec = SPEC
) -> list[Fault]:
    look = Continuity(spec)
    return [fault for signal in chunks(disturbed, sizes) for fault in look(signal)]


@pytest.mark.parametrize(
    ("disturbed", "expected"),
    [
        (dropped(3.0), ("gap", 3.0, AT)),
        (dropped(0.04), ("gap", 0.04, AT)),
        (jumped(10.0), ("gap", 10.0, AT)),
        (jumped(-10.0), ("clock", 10.0 - 1 / SFREQ, AT)),
        (repeated(10), ("repeated", 9 / SFREQ, AT)),
        (repeated(1), ("repeated", 0.0, AT)),
        (unknown(40), ("nan", 39 / SFREQ, AT)),
    ],
)
def test_a_fault_is_found_where_it_is(
    disturbed: Disturbed, expected: tuple[str, float, int]
) -> None:
    (fault,) = faults(disturbed)
    kind, seconds, sample = expected
    assert (fault.kind, fault.sample) == (kind, sample)
    lasted = fault.stop - fault.start - (1 / SFREQ if kind == "gap" else 0.0)
    assert lasted == pytest.approx(seconds, abs=1e-9)


def test_chunks_in_the_wrong_order_are_found() -> None:
    kinds = [fault.kind for fault in faults(reordered(10))]
    assert kinds == ["gap", "clock", "gap"]


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.0074, 0.0074), st.integers(0, 2**31))
def test_jitter_is_no_fault(size: float, seed: int) -> None:
    jitter = np.random.default_rng(seed).uniform(-abs(size), abs(size), N)
    assert faults((DATA, STAMPS + jitter)) == []
    assert size < JITTER


@pytest.mark.parametrize("sizes", [(N,), (1,), (3,), (2, 7)])
def test_samples_of_one_packet_may_have_one_stamp(sizes: Sequence[int]) -> None:
    assert faults(packets(2), sizes) == []


def test_a_packet_that_came_twice_is_found() -> None:
    data, stamps = packets(2)
    twice = np.concatenate((np.arange(AT + 2), np.arange(AT, N)))
    found = faults((data[:, twice], stamps[twice]))
    assert [(f.kind, f.sample) for f in found] == [("repeated", AT + 2), ("repeated", AT + 3)]


def test_stamps_that_are_known_to_be_worse_are_no_fault() -> None:
    late = packets(8, late=0.03)
    assert {fault.kind for fault in faults(late)} >= {"gap"}
    tolerant = structs.replace(SPEC, jitter=0.07)
    assert faults(late, spec=tolerant) == []
    (gap,) = faults(dropped(0.1), spec=tolerant)
    assert gap.kind == "gap"


sizes = st.lists(st.integers(1, 400), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(
    sizes,
    st.sampled_from([dropped(1.0), jumped(-5.0), repeated(30), reordered(25), unknown(700)]),
)
def test_the_same_faults_are_found_in_any_chunks(its_sizes: list[int], its: Disturbed) -> None:
    whole, found = faults(its), faults(its, its_sizes)
    breaks = [fault for fault in whole if fault.is_break]
    assert [fault for fault in found if fault.is_break] == breaks
    # A burst is told chunk by chunk; together they are the same samples.
    covered = [(f.start, f.stop) for f in found if not f.is_break]
    if covered:
        (burst,) = [fault for fault in whole if not fault.is_break]
        assert (covered[0][0], covered[-1][1]) == (burst.start, burst.stop)


def test_a_channel_that_died_is_no_fault_of_the_moment() -> None:
    faulty = faults(unknown(N - AT), [100])
    assert faulty[0].start == STAMPS[AT]
    assert faulty[-1].stop == pytest.approx(STAMPS[AT] + DEAD, abs=0.01)


def test_a_trigger_channel_may_hold_anything() -> None:
    assert faults(unknown(40, channel=2)) == []


# In the pipeline


def onsets() -> list[Onset]:
    times = START + 0.5 + 0.25 * np.arange(40)
    return [
        Onset(i, "stimulus", float(t), float(t), 0.2, "record", 1, 1, 1, i + 1, "n1", "a.png", "ab")
        for i, t in enumerate(times)
    ]


def process(
    disturbed: Disturbed, its_sizes: Sequence[int] = (25,)
) -> tuple[dict[int, Cut], list[Incomplete]]:
    stream = (Chosen("notch", NotchConfig()), Chosen("bandpass", BandpassConfig()))
    context = Context(StimulusSet(Path(), {}, ()))
    pipeline = Pipeline(stream, EpochSettings(0.0, 0.2), SPEC, context)
    for onset in onsets():
        pipeline.mark(onset)
    cuts: list[Cut] = []
    for signal in chunks(disturbed, its_sizes):
        pipeline.feed(signal)
        cuts += pipeline.cuts()
    return {cut.onset.seq: cut for cut in cuts}, pipeline.close_segment()


SOUND, _ = process((DATA, STAMPS))


@pytest.mark.parametrize(
    ("disturbed", "stop"),
    [
        (dropped(2.0), STAMPS[AT] + 2.0),
        (jumped(-1.0), STAMPS[AT]),
        (repeated(25), STAMPS[AT]),
        (unknown(100), STAMPS[AT + 99]),
    ],
)
def test_no_epoch_is_cut_until_the_filters_have_settled_behind_a_fault(
    disturbed: Disturbed, stop: float
) -> None:
    cuts, incomplete = process(disturbed)
    lost = {each.onset.seq: each.reason for each in incomplete}
    for onset in onsets():
        if STAMPS[AT] < onset.time < stop + SETTLING - 0.05:
            assert onset.seq in lost
        if onset.time < STAMPS[AT] - 0.3:
            assert cuts[onset.seq].data.tobytes() == SOUND[onset.seq].data.tobytes()
    assert len(cuts) + len(lost) == 40
    assert any("settled after" in reason for reason in lost.values())


@pytest.mark.parametrize("disturb", [lambda: dropped(2.0), lambda: unknown(100)])
def test_epochs_are_again_what_they_would_have_been(disturb: Callable[[], Disturbed]) -> None:
    cuts, _ = process(disturb())
    later = [seq for seq in cuts if onsets()[seq].time > STAMPS[AT] + 2.0 + SETTLING]
    assert len(later) > 5
    for seq in later:
        scale = SOUND[seq].data.std()
        np.testing.assert_allclose(cuts[seq].data, SOUND[seq].data, atol=1e-3 * scale)


def test_other_channels_do_not_notice_that_one_has_no_numbers() -> None:
    cuts, _ = process(unknown(100))
    for seq, cut in cuts.items():
        assert cut.data[0].tobytes() == SOUND[seq].data[0].tobytes()
    assert all(np.isfinite(cut.data).all() for cut in cuts.values())


@settings(max_examples=30, deadline=None)
@given(sizes, st.sampled_from([dropped(1.0), jumped(-0.5), repeated(30), unknown(300)]))
def test_the_same_epochs_are_cut_in_any_chunks(its_sizes: list[int], its: Disturbed) -> None:
    cuts, incomplete = process(its, its_sizes)
    whole, missing = process(its, [N])
    assert {s: c.first_sample for s, c in cuts.items()} == {
        s: c.first_sample for s, c in whole.items()
    }
    assert {each.onset.seq for each in incomplete} == {each.onset.seq for each in missing}
