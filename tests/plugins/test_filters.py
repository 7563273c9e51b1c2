"""The filters are scipy's, whatever the chunks; nothing that a bad channel does stays."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt, sosfilt_zi, sosfiltfilt

from phosphene import Context, PhospheneError, Signal, SignalSpec, StimulusSet, StreamStep
from phosphene.interfaces import JoinableStep
from phosphene_plugins.filters import BandpassConfig, NotchConfig, preprocessing

Config = NotchConfig | BandpassConfig
Data = NDArray[np.float32]
CONTEXT = Context(StimulusSet(Path(), {}, ()))
examples = settings(max_examples=40, deadline=None)
BOTH = pytest.mark.parametrize("config", [NotchConfig(), BandpassConfig()], ids=["notch", "band"])


def build(config: Config, n_channels: int = 3, sfreq: float = 1000.0) -> StreamStep:
    names = tuple(f"E{i}" for i in range(n_channels))
    return config.build(SignalSpec(names, ("eeg",) * n_channels, sfreq), CONTEXT)


def noise(seed: int, n_times: int = 400, n_channels: int = 3) -> Data:
    """Volts: 10 µV of noise on an offset that differs by channel."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(0, 1e-3, (n_channels, 1))
    data: Data = (offset + rng.normal(0, 1e-5, (n_channels, n_times))).astype(np.float32)
    return data


def run(step: StreamStep, data: Data, sizes: Sequence[int] = (17,)) -> Data:
    """Feed ``data`` in chunks of the given sizes, over and over."""
    out, start, turn = [], 0, 0
    while start < data.shape[1]:
        chunk = data[:, start : start + sizes[turn % len(sizes)]]
        stamps = np.arange(start, start + chunk.shape[1]) / step.spec.sfreq
        out.append(step(Signal(chunk, stamps)).data)
        start, turn = start + chunk.shape[1], turn + 1
    return np.concatenate(out, axis=1)


def reference(config: Config, data: Data, sfreq: float) -> NDArray[np.float64]:
    """Return what scipy makes of it, primed as if the first sample had always been there."""
    kind: Literal["bandstop", "bandpass"]
    kind = "bandstop" if isinstance(config, NotchConfig) else "bandpass"
    sos = butter(config.order, [config.low, config.high], btype=kind, fs=sfreq, output="sos")
    x = data.astype(np.float64)
    state = sosfilt_zi(sos)[:, np.newaxis] * x[:, :1]
    return np.asarray(sosfilt(sos, x, zi=state)[0])


@st.composite
def any_config(draw: st.DrawFn, sfreq: float) -> Config:
    kinds: list[type[Config]] = [NotchConfig, BandpassConfig]
    kind = draw(st.sampled_from(kinds))
    low = draw(st.floats(1.0, 0.4 * sfreq))
    high = draw(st.floats(1.05 * low, 0.49 * sfreq))
    return kind(low, high, draw(st.integers(1, 4)))


sizes = st.lists(st.integers(1, 100), min_size=1, max_size=8)
seeds = st.integers(0, 2**32 - 1)


def test_the_plugin_offers_notch_and_bandpass() -> None:
    assert preprocessing() == {"notch": NotchConfig, "bandpass": BandpassConfig}


@examples
@given(st.data(), st.sampled_from([250.0, 512.0, 1000.0]), seeds, sizes)
def test_a_filter_is_scipys_cascade_primed_with_the_first_sample(
    data: st.DataObject, sfreq: float, seed: int, chunks: list[int]
) -> None:
    config = data.draw(any_config(sfreq))
    raw = noise(seed)
    expected = reference(config, raw, sfreq)
    found = run(build(config, sfreq=sfreq), raw, chunks)
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max() + 1e-15


@BOTH
@examples
@given(seed=seeds, chunks=sizes)
def test_any_chunking_gives_the_same_output(config: Config, seed: int, chunks: list[int]) -> None:
    raw = noise(seed)
    whole, pieces = run(build(config), raw, [400]), run(build(config), raw, chunks)
    std = whole.std(axis=1, keepdims=True)
    # Beyond that a float32 of the offset, which the notch lets through, cannot tell them apart.
    assert (np.abs(pieces - whole) <= 1e-5 * std + np.spacing(np.abs(whole))).all()


@BOTH
@examples
@given(seed=seeds, chunks=sizes)
def test_the_same_chunks_give_the_same_bits(config: Config, seed: int, chunks: list[int]) -> None:
    raw = noise(seed)
    assert run(build(config), raw, chunks).tobytes() == run(build(config), raw, chunks).tobytes()


@BOTH
def test_a_filter_passes_on_stamps_and_does_not_write_into_its_input(config: Config) -> None:
    raw = noise(0)
    raw[1, 3:9] = np.nan
    before = raw.copy()
    signal = Signal(raw, np.arange(400) / 1000, 0.5)
    out = build(config)(signal)
    assert (out.stamps is signal.stamps, out.offset) == (True, 0.5)
    assert out.data.dtype == np.float32
    np.testing.assert_array_equal(raw, before)


# Samples that are not finite

bad_values = st.sampled_from([np.nan, np.inf, -np.inf])


@BOTH
@examples
@given(
    chunks=sizes,
    bursts=st.lists(st.tuples(st.integers(0, 399), st.integers(1, 150), bad_values), max_size=4),
)
def test_a_burst_leaves_the_other_channels_alone_and_its_own_finite(
    config: Config, chunks: list[int], bursts: list[tuple[int, int, float]]
) -> None:
    raw = noise(1)
    clean = run(build(config), raw, chunks)
    for start, length, value in bursts:
        raw[1, start : start + length] = value
    found = run(build(config), raw, chunks)
    np.testing.assert_array_equal(found[[0, 2]], clean[[0, 2]])
    assert np.isfinite(found).all()
    whole = run(build(config), raw, [400])
    np.testing.assert_allclose(found, whole, rtol=1e-6, atol=1e-5 * whole[0].std())


@BOTH
def test_a_channel_is_clean_again_1_4_s_after_a_burst(config: Config) -> None:
    raw = noise(2, 5000)
    clean = run(build(config), raw)
    raw[1, 2000:2200] = np.nan
    found = run(build(config), raw)
    settled = slice(2200 + 1400, None)
    assert np.abs(found - clean)[1, settled].max() < 0.01 * clean[1].std()


def test_a_burst_holds_the_offset_so_that_it_does_not_ring() -> None:
    raw = np.full((1, 3000), 0.1, np.float32)
    raw[0, 1000:1100] = np.nan
    assert np.abs(run(build(BandpassConfig(), 1), raw)).max() < 1e-12


def test_a_channel_without_any_finite_sample_is_silent() -> None:
    raw = noise(3)
    raw[2] = np.nan
    assert not run(build(BandpassConfig()), raw)[2].any()


# Start and restart


def test_an_electrodes_offset_of_1e5_uv_does_not_ring() -> None:
    raw = np.full((3, 2000), 0.1, np.float32)
    through = run(build(NotchConfig()), raw)
    np.testing.assert_allclose(through, 0.1, rtol=1e-6)
    assert np.abs(run(build(BandpassConfig()), through)).max() < 1e-12


@BOTH
@pytest.mark.parametrize("last", [1.0, np.nan])
def test_after_a_reset_nothing_of_the_past_is_left(config: Config, last: float) -> None:
    used, past = build(config), noise(4)
    past[:, -1] = last
    run(used, past)
    used.reset()
    raw = noise(5)
    raw[0, 0] = np.nan
    assert run(used, raw).tobytes() == run(build(config), raw).tobytes()


def test_two_filters_of_the_same_settings_share_no_state() -> None:
    raw, other = noise(6), build(BandpassConfig())
    first = build(BandpassConfig())
    begun = first(Signal(raw[:, :50], np.arange(50) / 1000)).data
    run(other, noise(7))
    rest = first(Signal(raw[:, 50:], np.arange(50, 400) / 1000)).data
    np.testing.assert_allclose(
        np.concatenate((begun, rest), axis=1), run(build(BandpassConfig()), raw), atol=1e-10
    )


# Delay


def envelope_lag(filters: Sequence[StreamStep], band: tuple[float, float] | None) -> float:
    """Return by how many seconds the power of 400 bursts of noise comes out later."""
    sfreq, n_bursts = 1000.0, 400
    times = np.arange(2000) / sfreq
    bursts = np.random.default_rng(0).standard_normal((n_bursts, len(times)))
    if band:
        sos = butter(4, band, btype="bandpass", fs=sfreq, output="sos")
        bursts = sosfiltfilt(sos, bursts)
    raw = (bursts * np.exp(-0.5 * ((times - 1) / 0.05) ** 2)).astype(np.float32)
    out = raw
    for step in filters:
        out = run(step, out, [500])
    powers = [np.square(each, dtype=np.float64).sum(axis=0) for each in (raw, out)]
    before, after = (times @ power / power.sum() for power in powers)
    return float(after - before)


@BOTH
def test_the_declared_delay_is_how_much_later_the_power_of_a_burst_comes_out(
    config: Config,
) -> None:
    step = build(config, 400)
    assert envelope_lag([step], None) == pytest.approx(step.delay, abs=0.002)


def test_the_delays_of_the_papers_filters_add_up() -> None:
    steps = [build(NotchConfig(), 400), build(BandpassConfig(), 400)]
    declared = sum(step.delay for step in steps)
    assert declared == pytest.approx(0.0184, abs=0.001)
    assert envelope_lag(steps, (20, 40)) == pytest.approx(declared, abs=0.003)


def best_alignment(filters: Sequence[StreamStep], band: tuple[float, float] | None) -> float:
    """Return the seconds by which the envelope of 400 bursts must be moved to fit best."""
    times, width = np.arange(2000) / 1000, 0.05
    bursts = np.random.default_rng(0).standard_normal((400, len(times)))
    if band:
        sos = butter(4, band, btype="bandpass", fs=1000.0, output="sos")
        bursts = sosfiltfilt(sos, bursts)
    out = (bursts * np.exp(-0.5 * ((times - 1) / width) ** 2)).astype(np.float32)
    for step in filters:
        out = run(step, out, [500])
    power = np.square(out, dtype=np.float64).mean(axis=0)
    lags = np.arange(61) / 1000
    envelopes = np.exp(-(((times - lags[:, np.newaxis] - 1) / width) ** 2))
    return float(lags[np.argmax([np.corrcoef(each, power)[0, 1] for each in envelopes])])


@pytest.mark.parametrize("band", [None, (14.0, 70.0), (20.0, 40.0)])
def test_the_declared_delay_aligns_the_power_of_broad_and_narrow_bursts(
    band: tuple[float, float] | None,
) -> None:
    # The centre of a broadband burst's power comes out 8 ms later still: the notch rings, weakly
    # and for long, but that does not move the burst itself.
    steps = [build(NotchConfig(), 400), build(BandpassConfig(), 400)]
    declared = sum(step.delay for step in steps)
    assert best_alignment(steps, band) == pytest.approx(declared, abs=0.003)


def response(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P1, N1 and P2, which peak at 100, 160 and 240 ms when they stand alone."""
    waves = [(0.1, 0.016, 1.0), (0.16, 0.024, -1.5), (0.24, 0.04, 1.0)]
    each = [size * np.exp(-0.5 * ((times - at) / width) ** 2) for at, width, size in waves]
    return np.sum(each, axis=0)


EVOKED = BandpassConfig(0.5, 40.0, 2, "waveform")


@pytest.mark.parametrize("sfreq", [250.0, 500.0, 1000.0, 5000.0])
def test_aligned_to_the_waveform_an_evoked_response_is_most_like_itself(sfreq: float) -> None:
    step, times = build(EVOKED, 1, sfreq), np.arange(0, 1, 1 / sfreq)
    out = run(step, 1e-5 * response(times)[np.newaxis].astype(np.float32))[0]
    lags = step.delay + np.arange(-20, 21) / 1000
    shifted = [np.interp(times + lag, times, out) for lag in lags]
    likeness = [np.corrcoef(each, response(times))[0, 1] for each in shifted]
    assert lags[np.argmax(likeness)] == pytest.approx(step.delay, abs=0.001)
    assert max(likeness) > 0.97


def test_a_filters_power_lags_by_another_time_than_the_waveform() -> None:
    assert build(EVOKED).delay == pytest.approx(0.0029, abs=0.0002)
    assert build(BandpassConfig(0.5, 40.0, 2)).delay == pytest.approx(0.0115, abs=0.0002)
    assert build(NotchConfig(align="waveform")).delay < build(NotchConfig()).delay


# Settings


@examples
@given(st.floats(20, 2000), st.floats(0.5, 10))
def test_a_cut_off_at_or_above_half_the_rate_is_refused_with_one_that_works(
    sfreq: float, factor: float
) -> None:
    high = max(0.5, factor) * sfreq
    with pytest.raises(PhospheneError, match=re.escape(f"high of {high:g} Hz")) as refusal:
        build(BandpassConfig(low=1.0, high=high), sfreq=sfreq)
    nearest = float(str(refusal.value).rpartition(" possible is ")[2].removesuffix(" Hz"))
    assert nearest > 0.98 * sfreq / 2
    build(BandpassConfig(low=1.0, high=nearest), sfreq=sfreq)


def test_exactly_half_the_rate_is_too_much() -> None:
    with pytest.raises(PhospheneError, match=r"bandpass: high of 70 Hz .* of 140 Hz; .* 69\.3 Hz"):
        build(BandpassConfig(), sfreq=140.0)


def test_a_band_that_lies_above_half_the_rate_is_refused_as_a_whole() -> None:
    with pytest.raises(
        PhospheneError, match=r"bandstop: a band from 49 Hz needs .* 102 Hz; found 9"
    ):
        build(NotchConfig(), sfreq=90.0)


@pytest.mark.parametrize("kind", [NotchConfig, BandpassConfig])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low": 0.0}, "low must be above 0 Hz"),
        ({"low": 80.0, "high": 80.0}, "below high; found 80.0 to 80.0 Hz"),
        ({"high": float("nan")}, "found .* to nan Hz"),
        ({"order": 0}, "order must be 1 to 8; found 0"),
        ({"order": 9}, "order must be 1 to 8; found 9"),
    ],
)
def test_settings_that_can_never_work_are_refused(
    kind: type[Config], settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**settings)  # type: ignore[arg-type]


@examples
@given(st.lists(st.integers(1, 90), min_size=1, max_size=6))
def test_two_filters_joined_are_one_that_does_the_same(sizes: list[int]) -> None:
    first, second = build(NotchConfig()), build(BandpassConfig())
    again = build(NotchConfig())
    assert isinstance(again, JoinableStep)
    joined = again.joined(build(BandpassConfig()))
    assert joined is not None
    assert joined.delay == first.delay + second.delay
    data = noise(1)
    data[0, 200:230] = np.nan
    one, other = run(second, run(first, data, sizes), sizes), run(joined, data, sizes)
    np.testing.assert_allclose(one, other, atol=2e-9)
