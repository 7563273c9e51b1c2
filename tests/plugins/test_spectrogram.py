"""The spectrogram is scipy's short-time Fourier transform, and the paper's shape."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from phosphene import Context, Epochs, EpochStep, PhospheneError, SignalSpec, StimulusSet
from phosphene_plugins.spectrogram import SpectrogramConfig, preprocessing

CONTEXT = Context(StimulusSet(Path(), {}, ()))
examples = settings(max_examples=40, deadline=None)


def make_spec(sfreq: float, n_channels: int = 2) -> SignalSpec:
    return SignalSpec(tuple(f"E{i}" for i in range(n_channels)), ("eeg",) * n_channels, sfreq)


def build(config: SpectrogramConfig, sfreq: float = 1000.0) -> EpochStep:
    return config.build(make_spec(sfreq), CONTEXT)


def make_epochs(n_times: int = 480, sfreq: float = 1000.0, seed: int = 0, n: int = 3) -> Epochs:
    data = np.random.default_rng(seed).standard_normal((n, 2, n_times), np.float32)
    return Epochs(data, make_spec(sfreq), 0.02)


def test_the_plugin_offers_spectrogram() -> None:
    assert preprocessing() == {"spectrogram": SpectrogramConfig}


def test_the_papers_epoch_becomes_6_frequencies_by_25_frames() -> None:
    epochs = make_epochs()
    found = build(SpectrogramConfig())(epochs)
    assert found.data.shape == (3, 2, 6, 25)
    assert found.data.dtype == np.float32
    assert found.freqs == (0.0, 25.0, 50.0, 75.0, 100.0, 125.0)
    assert (found.spec, found.tmin) == (epochs.spec, epochs.tmin)


@pytest.mark.parametrize("sfreq", [250.0, 500.0, 2000.0])
def test_another_rate_gives_the_same_frequencies_and_frames(sfreq: float) -> None:
    found = build(SpectrogramConfig(), sfreq)(make_epochs(round(0.48 * sfreq), sfreq))
    assert found.freqs == (0.0, 25.0, 50.0, 75.0, 100.0, 125.0)
    assert found.data.shape == (3, 2, 6, 25)


@examples
@given(st.data())
def test_the_power_is_that_of_scipys_short_time_fourier_transform(data: st.DataObject) -> None:
    sfreq = data.draw(st.sampled_from([250.0, 500.0, 1000.0]))
    window = data.draw(st.integers(2, 64))
    hop = data.draw(st.integers(1, window))
    n_times = data.draw(st.integers(window, 500))
    low, high = sorted(data.draw(st.permutations(range(window // 2 + 1)))[:2])
    unit = sfreq / window
    epochs = make_epochs(n_times, sfreq, seed=data.draw(st.integers(0, 1000)))
    config = SpectrogramConfig(window / sfreq, hop / sfreq, low * unit, high * unit)
    found = build(config, sfreq)(epochs)

    scipys = ShortTimeFFT(
        hann(window, sym=False), hop, sfreq, fft_mode="onesided", scale_to="magnitude"
    )
    rows = slice(low, high + 1)
    expected = scipys.spectrogram(epochs.data, p0=0, p1=found.data.shape[-1])[:, :, rows]
    np.testing.assert_allclose(found.freqs, scipys.f[rows])
    np.testing.assert_allclose(found.data, expected, atol=2e-6 * expected.max())
    # Frames are centred on multiples of the hop; every centre within the epoch has one.
    assert (found.data.shape[-1] - 1) * hop <= n_times < found.data.shape[-1] * hop + window % 2


def test_a_sine_appears_at_its_frequency_with_its_mean_power() -> None:
    times = np.arange(480) / 1000
    data = np.tile(np.sin(2 * np.pi * 75 * times), (1, 2, 1)).astype(np.float32)
    power = build(SpectrogramConfig())(Epochs(data, make_spec(1000.0), 0.0)).data[0, 0]
    assert power[:, 12].argmax() == 3
    assert power[3, 12] == pytest.approx(0.25, rel=1e-3)  # One-sided: half the amplitude, squared.


def test_one_epoch_alone_gives_the_same_as_among_others() -> None:
    epochs, step = make_epochs(), build(SpectrogramConfig())
    np.testing.assert_array_equal(step(epochs[1:2]).data, step(epochs).data[1:2])


def test_log_is_the_natural_logarithm_and_finite_for_silence() -> None:
    epochs = make_epochs()
    epochs.data[0] = 0
    power = build(SpectrogramConfig())(epochs).data
    logs = build(SpectrogramConfig(log=True))(epochs).data
    np.testing.assert_allclose(logs[1:], np.log(power[1:]), rtol=1e-5, atol=1e-5)
    assert np.isfinite(logs).all()


def test_nothing_is_learnt() -> None:
    epochs, step, fresh = make_epochs(), build(SpectrogramConfig()), build(SpectrogramConfig())
    step.fit(make_epochs(seed=1))
    assert dict(step.state()) == {}
    fresh.load(step.state())
    np.testing.assert_array_equal(step(epochs).data, fresh(epochs).data)


def test_a_spectrogram_of_a_spectrogram_is_refused() -> None:
    step = build(SpectrogramConfig())
    with pytest.raises(PhospheneError, match="spectrograms already"):
        step(step(make_epochs()))


# Settings


@examples
@given(st.floats(0.001, 1), st.floats(100, 3000))
def test_a_window_of_no_whole_number_of_samples_is_refused_with_one_that_works(
    window: float, sfreq: float
) -> None:
    def refusal(seconds: float) -> str:
        try:
            build(SpectrogramConfig(seconds, seconds, high=sfreq / 4), sfreq)
        except PhospheneError as error:
            return str(error)
        return ""

    if message := refusal(window):
        assert message.startswith(f"spectrogram: window of {window:g} s is ")
        nearest = float(message.rpartition(" possible is ")[2].removesuffix(" s"))
        assert abs(nearest - window) <= 1 / sfreq
        assert not refusal(nearest)
    else:
        assert window * sfreq == pytest.approx(round(window * sfreq), rel=1e-5)


def test_the_papers_windows_at_256_hz_are_refused_one_after_the_other() -> None:
    with pytest.raises(PhospheneError, match=re.escape("window of 0.04 s is 10.24 samples at 256")):
        build(SpectrogramConfig(), 256.0)
    with pytest.raises(PhospheneError, match=r"hop of 0\.02 s .* possible is 0\.01953125 s"):
        build(SpectrogramConfig(window=0.0390625), 256.0)


def test_a_frequency_that_is_half_the_rate_but_for_rounding_is_accepted() -> None:
    assert 15 * (250 / 30) > 125
    step = build(SpectrogramConfig(30 / 250, 30 / 250, high=15 * (250 / 30)), 250.0)
    assert step(make_epochs(120, 250.0)).freqs[-1] == pytest.approx(125)


def test_frequencies_above_half_the_rate_are_refused() -> None:
    with pytest.raises(PhospheneError, match=r"high of 125 Hz .* nearest possible is 100 Hz"):
        build(SpectrogramConfig(), 200.0)


@pytest.mark.parametrize("window", [0.001, 0.04])
def test_a_band_between_two_frequencies_is_refused(window: float) -> None:
    with pytest.raises(PhospheneError, match="none from 30 to 40 Hz"):
        build(SpectrogramConfig(window, window, 30.0, 40.0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hop": 0.0}, "hop must be above 0 and at most window; found 0.0 and 0.04 s"),
        ({"hop": 0.05}, "hop must be above 0 and at most window"),
        ({"window": float("nan")}, "hop must be above 0 and at most window"),
        ({"low": -1.0}, "low must be 0 Hz or more"),
        ({"low": 125.0}, "low must be 0 Hz or more and below high; found 125.0 Hz"),
    ],
)
def test_settings_that_can_never_work_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpectrogramConfig(**settings)  # type: ignore[arg-type]
