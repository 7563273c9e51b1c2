"""A lower rate: the same signal, without what would fold back, and at the right time."""

import re
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import upfirdn

from phosphene import (
    Context,
    Onset,
    PhospheneError,
    Signal,
    SignalSpec,
    StimulusSet,
    StreamStep,
)
from phosphene.choice import Chosen
from phosphene.pipeline import Pipeline
from phosphene.settings import EpochSettings
from phosphene_plugins.filters import BandpassConfig
from phosphene_plugins.resample import REACH, ResampleConfig, preprocessing

Data = NDArray[np.float32]
CONTEXT = Context(StimulusSet(Path(), {}, ()))
examples = settings(max_examples=40, deadline=None)
sizes = st.lists(st.integers(1, 60), min_size=1, max_size=8)
RATES = [(1000.0, 250.0), (500.0, 250.0), (512.0, 256.0), (5000.0, 250.0), (300.0, 100.0)]


def make_spec(sfreq: float, n_channels: int = 2) -> SignalSpec:
    names = tuple(f"E{i}" for i in range(n_channels))
    return SignalSpec(names, ("eeg",) * n_channels, sfreq, {"E0": (0.0, 0.1, 0.05)})


def build(old: float = 1000.0, new: float = 250.0, n_channels: int = 2) -> StreamStep:
    return ResampleConfig(new).build(make_spec(old, n_channels), CONTEXT)


def noise(seed: int, n_times: int = 700) -> Data:
    """Volts: 10 µV of noise on an offset that differs by channel."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(0, 1e-3, (2, 1))
    data: Data = (offset + rng.normal(0, 1e-5, (2, n_times))).astype(np.float32)
    return data


def split(data: Data, chunks: Sequence[int], sfreq: float, offset: float) -> Iterator[Signal]:
    """Yield ``data`` in chunks of the given sizes, over and over."""
    start, its_sizes = 0, cycle(chunks)
    while start < data.shape[1]:
        stop = min(start + next(its_sizes), data.shape[1])
        yield Signal(data[:, start:stop], np.arange(start, stop) / sfreq, offset)
        start = stop


def run(
    step: StreamStep, data: Data, chunks: Sequence[int] = (17,), sfreq: float = 1000.0
) -> tuple[Data, NDArray[np.float64]]:
    """Return samples and stamps of what the step makes of ``data``, fed in chunks."""
    out = [step(signal) for signal in split(data, chunks, sfreq, 0.5)]
    assert {each.offset for each in out} == {0.5}
    stamps = np.concatenate([each.stamps for each in out])
    return np.concatenate([each.data for each in out], axis=1), stamps


def sine(freq: float, sfreq: float = 1000.0, n_times: int = 4000) -> Data:
    wave: Data = np.sin(2 * np.pi * freq * np.arange(n_times) / sfreq).astype(np.float32)
    return np.stack((wave, -wave))


def settled(data: Data) -> Data:
    return data[:, 3 * REACH :]


def test_the_plugin_offers_resample() -> None:
    assert preprocessing() == {"resample": ResampleConfig}


# What comes out


@pytest.mark.parametrize(("old", "new"), RATES)
def test_the_signal_has_the_new_rate_and_is_otherwise_the_same(old: float, new: float) -> None:
    spec, step = make_spec(old), build(old, new)
    assert step.spec == SignalSpec(spec.channels, spec.types, new, spec.positions)
    data, stamps = run(step, noise(0), sfreq=old)
    assert data.dtype == np.float32
    assert data.shape == (2, len(stamps)) == (2, -(-700 // round(old / new)))
    np.testing.assert_allclose(np.diff(stamps), 1 / new)
    assert stamps[0] == 0


@examples
@given(st.sampled_from(RATES), st.integers(0, 1000), sizes)
def test_any_chunking_gives_the_same_output(
    rates: tuple[float, float], seed: int, chunks: list[int]
) -> None:
    raw = noise(seed)
    whole, its_stamps = run(build(*rates), raw, [700])
    pieces, stamps = run(build(*rates), raw, chunks)
    np.testing.assert_array_equal(stamps, its_stamps)
    np.testing.assert_allclose(pieces, whole, rtol=1e-6, atol=1e-6 * 1e-5)


def test_sample_by_sample_gives_the_same_output() -> None:
    raw = noise(1)
    np.testing.assert_allclose(run(build(), raw, [1])[0], run(build(), raw, [700])[0], rtol=1e-6)


@examples
@given(seed=st.integers(0, 1000), chunks=sizes)
def test_the_same_chunks_give_the_same_bits(seed: int, chunks: list[int]) -> None:
    raw = noise(seed)
    assert run(build(), raw, chunks)[0].tobytes() == run(build(), raw, chunks)[0].tobytes()


@examples
@given(st.sampled_from([2, 3, 4, 20]), sizes)
def test_it_is_scipys_polyphase_filter_with_the_impulse_response_of_the_step(
    ratio: int, chunks: list[int]
) -> None:
    n_taps, old = 2 * REACH * ratio + 1, 250.0 * ratio
    taps = np.zeros(n_taps)
    for first in range(ratio):  # The impulse at each place between two samples that are kept.
        impulse = np.zeros((2, 2 * n_taps), np.float32)
        impulse[:, ratio - first] = 1
        out, _ = run(build(old, 250.0), impulse, [n_taps])
        response = out[0, 1:][: len(taps[first::ratio])]
        taps[first::ratio] = response
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-8)
    assert taps.sum() == pytest.approx(1, abs=1e-6)

    raw = noise(2) - noise(2)[:, :1]  # From 0 V on, as upfirdn assumes.
    expected = upfirdn(taps, raw.astype(np.float64), down=ratio, axis=1)
    found, _ = run(build(old, 250.0), raw, chunks)
    np.testing.assert_allclose(found, expected[:, : found.shape[1]], atol=1e-5 * 1e-5)


@pytest.mark.parametrize("freq", [1.0, 10.0, 40.0, 75.0])
def test_what_a_decoder_of_waveforms_needs_passes_unchanged_but_for_the_delay(freq: float) -> None:
    step = build()
    out, stamps = run(step, sine(freq))
    expected = np.sin(2 * np.pi * freq * (stamps - step.delay))
    np.testing.assert_allclose(settled(out)[0], expected[3 * REACH :], atol=1e-3)


@pytest.mark.parametrize("freq", [175.0, 210.0, 249.0, 260.0, 400.0])
def test_what_would_fold_back_onto_it_is_gone(freq: float) -> None:
    assert np.abs(settled(run(build(), sine(freq))[0])).max() < 1e-3


@pytest.mark.parametrize("sfreq", [250.0, 1000.0])
def test_a_signal_that_has_the_rate_already_passes_through(sfreq: float) -> None:
    step, raw = build(sfreq, sfreq), noise(3)
    raw[0, 5] = np.nan
    out, stamps = run(step, raw, [1, 30], sfreq)
    assert (step.spec, step.delay) == (make_spec(sfreq), 0)
    np.testing.assert_array_equal(out, raw)
    np.testing.assert_array_equal(stamps, np.arange(700) / sfreq)


def test_the_input_is_not_written_to() -> None:
    raw = noise(0)
    before = raw.copy()
    run(build(), raw)
    np.testing.assert_array_equal(raw, before)


# Start, restart, bad samples


def test_an_electrodes_offset_does_not_ring() -> None:
    out, _ = run(build(), np.full((2, 400), 0.1, np.float32))
    np.testing.assert_allclose(out, 0.1, rtol=1e-6)


@pytest.mark.parametrize("n_past", [3, 700])
def test_after_a_reset_nothing_of_the_past_is_left(n_past: int) -> None:
    used, raw = build(), noise(5)
    run(used, noise(4)[:, :n_past])
    used.reset()
    out, stamps = run(used, raw)
    fresh, its_stamps = run(build(), raw)
    assert (out.tobytes(), stamps.tobytes()) == (fresh.tobytes(), its_stamps.tobytes())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_bad_sample_spoils_what_it_is_part_of_and_nothing_else(value: float) -> None:
    raw = noise(6)
    clean, stamps = run(build(), raw)
    raw[1, 301] = value
    found, _ = run(build(), raw)
    spoilt = (stamps > 0.3005) & (stamps <= 0.301 + 2 * REACH / 250 + 1e-9)
    np.testing.assert_array_equal(np.isfinite(found[1]), ~spoilt)
    np.testing.assert_array_equal(found[0], clean[0])
    np.testing.assert_array_equal(found[1, ~spoilt], clean[1, ~spoilt])


# Time


@pytest.mark.parametrize(("old", "new"), RATES)
def test_the_declared_delay_is_that_of_a_pulse(old: float, new: float) -> None:
    step, at = build(old, new), 0.7
    times = np.arange(round(2 * old)) / old
    pulse = np.exp(-0.5 * ((times - at) * new / 2) ** 2)
    out, stamps = run(step, np.tile(pulse, (2, 1)).astype(np.float32), sfreq=old)
    assert step.delay == REACH / new
    assert stamps @ out[0] / out[0].sum() == pytest.approx(at + step.delay, abs=1e-4)


def make_onset(time: float, seq: int = 0) -> Onset:
    return Onset(seq, "stimulus", time, time, 0.5, "record", 1, 1, 1, seq + 1, "n1", "a.png", "ab")


@examples
@given(st.sampled_from(RATES), st.floats(1.0, 1.1), st.floats(0.1, 0.4), st.floats(-5, 5), sizes)
def test_a_step_lies_in_the_epoch_where_it_was_in_the_brain(
    rates: tuple[float, float], onset: float, after: float, offset: float, chunks: list[int]
) -> None:
    old, new = rates
    stream = [Chosen("resample", ResampleConfig(new))]
    pipeline = Pipeline(stream, EpochSettings(0.05, 0.55), make_spec(old, 1), CONTEXT)
    pipeline.mark(make_onset(onset + offset))
    stamps = np.arange(round(2 * old)) / old
    raw = (stamps >= onset + after)[np.newaxis].astype(np.float32)
    for signal in split(raw, chunks, old, offset):
        pipeline.feed(signal)
    (cut,) = pipeline.cuts()
    times = 0.05 + np.arange(pipeline.n_times) / new
    crossing = np.interp(0.5, cut.data[0], times)
    # Half a sample of the new rate for the epoch's first sample, half of the old one for the step.
    assert abs(crossing - after) <= 0.5 / new + 1 / old


def test_steps_behind_it_bear_chunks_in_which_no_sample_is_complete() -> None:
    stream = [Chosen("resample", ResampleConfig()), Chosen("band", BandpassConfig(0.5, 40.0))]
    onset, raw = make_onset(0.2), noise(7, 1500)
    cuts = []
    for size in ([1], [1500]):
        pipeline = Pipeline(stream, EpochSettings(0.0, 0.5), make_spec(1000.0), CONTEXT)
        pipeline.mark(onset)
        for signal in split(raw, size, 1000.0, 0.0):
            pipeline.feed(signal)
        cuts += pipeline.cuts()
    assert cuts[0].first_sample == cuts[1].first_sample
    np.testing.assert_allclose(cuts[0].data, cuts[1].data, atol=1e-5 * 1e-5)


# Settings


@examples
@given(st.floats(20, 3000), st.floats(20, 3000))
def test_a_rate_that_is_no_whole_fraction_is_refused_with_those_that_are(
    old: float, new: float
) -> None:
    assume(abs(old / new - round(old / new)) > 1e-5)
    with pytest.raises(PhospheneError, match=f"^resample: {new:g} Hz is ") as refusal:
        build(old, new)
    allowed = re.findall(r"[\d.]+", str(refusal.value).rpartition(" possible ")[2])
    nearest = [float(each) for each in allowed]
    for each in nearest:
        assert build(old, each).spec.sfreq == pytest.approx(each)
    assert nearest == [pytest.approx(old)] if new > old else nearest[0] > new > nearest[1]


@pytest.mark.parametrize(
    ("old", "message"),
    [
        (512.0, "250 Hz is not 512 Hz divided by a whole number; the nearest possible are 256 and"),
        (300.0, "the nearest possible are 300 and 150 Hz"),
        (200.0, "250 Hz is above the signal's rate; the nearest possible is 200 Hz"),
    ],
)
def test_usual_rates_that_are_no_multiple_of_250_hz_are_refused(old: float, message: str) -> None:
    with pytest.raises(PhospheneError, match=message):
        build(old)


@pytest.mark.parametrize("sfreq", [0.0, -250.0, float("nan")])
def test_settings_that_can_never_work_are_refused(sfreq: float) -> None:
    with pytest.raises(ValueError, match="sfreq must be above 0 Hz; found"):
        ResampleConfig(sfreq)
