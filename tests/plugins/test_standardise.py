"""Standardise uses the statistics of the training epochs, and of nothing else."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phosphene import Context, Epochs, EpochStep, PhospheneError, Signal, SignalSpec, StimulusSet
from phosphene_plugins.filters import BandpassConfig
from phosphene_plugins.standardise import StandardiseConfig, preprocessing

CONTEXT = Context(StimulusSet(Path(), {}, ()))
examples = settings(max_examples=40, deadline=None)
SPEC = SignalSpec(("Fz", "Cz", "Oz"), ("eeg",) * 3, 1000.0)


def build(spec: SignalSpec = SPEC) -> EpochStep:
    return StandardiseConfig().build(spec, CONTEXT)


def make_epochs(seed: int, shape: tuple[int, ...] = (20, 3, 50), offset: float = 1e-4) -> Epochs:
    rng = np.random.default_rng(seed)
    scale = rng.uniform(1e-6, 1e-4, (3,) + (1,) * (len(shape) - 2))
    freqs = tuple(map(float, range(shape[2]))) if len(shape) == 4 else ()
    data = (offset + scale * rng.standard_normal(shape)).astype(np.float32)
    return Epochs(data, SPEC, 0.02, freqs)


def with_channel(epochs: Epochs, row: int, values: float | NDArray[np.float32]) -> Epochs:
    data = epochs.data.copy()
    data[:, row] = values
    return Epochs(data, SPEC, epochs.tmin)


def test_the_plugin_offers_standardise() -> None:
    assert preprocessing() == {"standardise": StandardiseConfig}


@pytest.mark.parametrize("shape", [(20, 3, 50), (20, 3, 6, 25)], ids=["time", "spectrogram"])
def test_training_epochs_come_out_with_mean_0_and_standard_deviation_1(
    shape: tuple[int, ...],
) -> None:
    train, step = make_epochs(0, shape), build()
    step.fit(train)
    found = step(train)
    assert found.data.dtype == np.float32
    assert found.data.shape == shape
    assert (found.spec, found.tmin, found.freqs) == (train.spec, train.tmin, train.freqs)
    np.testing.assert_allclose(found.data.mean((0, -1), np.float64), 0, atol=1e-5)
    np.testing.assert_allclose(found.data.std((0, -1), np.float64), 1, rtol=1e-5)


@examples
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_other_epochs_are_measured_with_the_training_statistics(one: int, other: int) -> None:
    train, test, step = make_epochs(one), make_epochs(other), build()
    step.fit(train)
    mean = train.data.mean((0, 2), np.float64)[:, np.newaxis]
    std = train.data.std((0, 2), np.float64)[:, np.newaxis]
    np.testing.assert_allclose(step(test).data, (test.data - mean) / std, rtol=1e-4, atol=1e-4)


def test_a_trial_alone_gives_the_same_as_among_others() -> None:
    train, test, step = make_epochs(0), make_epochs(1), build()
    step.fit(train)
    np.testing.assert_array_equal(step(test[3:4]).data, step(test).data[3:4])


def test_the_statistics_of_a_small_signal_on_a_large_offset_are_right() -> None:
    rng = np.random.default_rng(0)
    data = (0.1 + 1e-5 * rng.standard_normal((200, 3, 480))).astype(np.float32)
    step = build()
    step.fit(Epochs(data, SPEC, 0.0))
    scale = np.asarray(step.state()["scale"], np.float64)
    np.testing.assert_allclose(scale[:, 0], data.std((0, 2), np.float64), rtol=1e-6)


def test_a_second_fit_forgets_the_first() -> None:
    twice, once, test = build(), build(), make_epochs(2)
    twice.fit(make_epochs(0))
    twice.fit(make_epochs(1))
    once.fit(make_epochs(1))
    np.testing.assert_array_equal(twice(test).data, once(test).data)


def test_the_state_makes_another_step_the_same() -> None:
    step, loaded, test = build(), build(), make_epochs(1)
    step.fit(make_epochs(0))
    loaded.load(step.state())
    np.testing.assert_array_equal(loaded(test).data, step(test).data)


def test_a_step_that_was_not_fitted_says_so() -> None:
    with pytest.raises(PhospheneError, match="standardise was not fitted"):
        build()(make_epochs(0))


def test_a_state_of_other_channels_is_refused() -> None:
    step = build()
    step.fit(make_epochs(0))
    other = build(SignalSpec(("Fz", "Cz"), ("eeg",) * 2, 1000.0))
    with pytest.raises(PhospheneError, match="statistics of 3 channels; this signal has 2"):
        other.load(step.state())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": np.zeros((3, 50))}, r"shape .*; found \(3, 50\) and \(3, 1\)"),
        ({"scale": np.ones((3, 6, 1))}, r"found \(3, 1\) and \(3, 6, 1\)"),
        ({"mean": np.zeros(3), "scale": np.ones(3)}, r"found \(3,\) and \(3,\)"),
        ({"scale": np.zeros((3, 1))}, "scale above 0"),
        ({"mean": np.full((3, 1), np.nan)}, "must be finite"),
        ({"median": np.zeros((3, 1))}, "expected mean and scale, found mean, median, scale"),
    ],
)
def test_a_state_that_is_no_mean_and_scale_is_refused(
    change: dict[str, NDArray[np.float64]], message: str
) -> None:
    fitted, step = build(), build()
    fitted.fit(make_epochs(0))
    with pytest.raises(PhospheneError, match=message):
        step.load({**fitted.state(), **change})
    with pytest.raises(PhospheneError, match="not fitted"):
        step(make_epochs(0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_epoch_that_is_not_finite_in_any_channel_is_refused(value: float) -> None:
    epochs = make_epochs(0)
    epochs.data[4] = value
    with pytest.raises(PhospheneError, match=r"flat or not finite .*: Fz, Cz, Oz$"):
        build().fit(epochs)


@pytest.mark.parametrize("value", [0.0, 0.1, np.nan])
def test_a_flat_or_broken_channel_is_named(value: float) -> None:
    with pytest.raises(PhospheneError, match=r"flat or not finite .*: Cz$"):
        build().fit(with_channel(make_epochs(0), 1, value))


def test_a_flat_channel_is_named_even_behind_a_filter_that_leaves_rounding_noise() -> None:
    raw = (1e-5 * np.random.default_rng(0).standard_normal((3, 5000))).astype(np.float32)
    raw[2] = 0.0314
    filtered = BandpassConfig().build(SPEC, CONTEXT)(Signal(raw, np.arange(5000) / 1000)).data
    assert filtered[2].std() > 0
    epochs = Epochs(filtered.reshape(3, 10, 500).swapaxes(0, 1), SPEC, 0.0)
    with pytest.raises(PhospheneError, match=r": Oz$"):
        build().fit(epochs)


def test_what_failed_to_fit_is_not_fitted() -> None:
    step = build()
    with pytest.raises(PhospheneError, match="flat"):
        step.fit(with_channel(make_epochs(0), 0, 0.0))
    with pytest.raises(PhospheneError, match="not fitted"):
        step(make_epochs(0))
