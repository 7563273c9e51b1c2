"""``bad-channels`` and ``reference``: what is wrong with an electrode, and against what it is."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene import Context, Epochs, PhospheneError, Signal, SignalSpec, StimulusSet
from phosphene_plugins.bad_channels import BadChannelsConfig
from phosphene_plugins.reference import ReferenceConfig
from phosphene_plugins.simulated_leadfield import load_head

HEAD = load_head().reduced(32)
SPEC = SignalSpec(HEAD.channels, ("eeg",) * 32, 250.0, HEAD.electrodes())
BARE = SignalSpec(HEAD.channels, ("eeg",) * 32, 250.0)
CONTEXT = Context(StimulusSet.of_names(Path(), {}, ()))


def brain(n: int = 20) -> np.ndarray:
    """Return epochs of dipoles, as the electrodes see them, with little noise of their own."""
    rng = np.random.default_rng(0)
    sources = rng.standard_normal((n, HEAD.leadfield.shape[1], 125))
    seen = HEAD.leadfield @ sources
    noise = 0.05 * seen.std() * rng.standard_normal(seen.shape)
    return (1e-5 / seen.std() * (seen + noise)).astype(np.float32)


def spoilt(kind: str, channel: int = 5) -> np.ndarray:
    data, rng = brain(), np.random.default_rng(1)
    match kind:
        case "flat":
            data[:, channel] = 0
        case "noisy":
            data[:, channel] *= 100
        case "alone":
            data[:, channel] = 1e-5 * rng.standard_normal(data[:, channel].shape)
        case "broken":
            data[:, channel] = np.nan
    return data


def fitted(data: np.ndarray, spec: SignalSpec = SPEC) -> Any:
    step = BadChannelsConfig().build(spec, CONTEXT)
    step.fit(Epochs(data, spec, 0.0))
    return step


@pytest.mark.parametrize("kind", ["flat", "noisy", "alone"])
def test_a_bad_channel_is_put_together_from_its_neighbours(kind: str) -> None:
    found = fitted(spoilt(kind))(Epochs(spoilt(kind), SPEC, 0.0)).data
    good = [channel for channel in range(32) if channel != 5]
    np.testing.assert_allclose(found[:, good], brain()[:, good], rtol=1e-5)
    likeness = np.corrcoef(found[:, 5].ravel(), brain()[:, 5].ravel())[0, 1]
    assert likeness > 0.9


def test_a_clean_recording_is_left_as_it_is() -> None:
    found = fitted(brain())(Epochs(brain(), SPEC, 0.0)).data
    np.testing.assert_allclose(found, brain(), rtol=1e-6)


def test_without_places_a_bad_channel_is_the_mean_of_the_good_ones() -> None:
    data = spoilt("flat")
    found = fitted(data, BARE)(Epochs(data, BARE, 0.0)).data
    good = [channel for channel in range(32) if channel != 5]
    np.testing.assert_allclose(found[:, 5], data[:, good].mean(axis=1), atol=1e-10)


def test_more_bad_channels_than_good_ones_are_refused_by_name() -> None:
    data = brain()
    data[:, :20] = 0
    with pytest.raises(PhospheneError, match=f"more than half .* bad: {SPEC.channels[0]}, "):
        fitted(data)


def test_the_matrix_survives_and_another_one_is_refused() -> None:
    step, again = fitted(spoilt("noisy")), BadChannelsConfig().build(SPEC, CONTEXT)
    again.load(step.state())
    epochs = Epochs(spoilt("noisy"), SPEC, 0.0)
    np.testing.assert_array_equal(again(epochs).data, step(epochs).data)
    with pytest.raises(PhospheneError, match="expected weights of 32 x 32"):
        again.load({"weights": np.eye(3, dtype=np.float32)})


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_a_reference_has_no_memory_whatever_the_chunks(lengths: list[int]) -> None:
    data = brain(1)[0][:, : sum(lengths)]
    stamps = np.arange(data.shape[1]) / 250
    step = ReferenceConfig().build(SPEC, CONTEXT)
    edges = [0, *np.cumsum(lengths).tolist()]
    parts = [
        step(Signal(data[:, a:b], stamps[a:b])).data
        for a, b in pairwise(edges)
        if a < data.shape[1]
    ]
    whole = step(Signal(data, stamps)).data
    np.testing.assert_array_equal(np.hstack(parts), whole)
    np.testing.assert_allclose(whole.mean(axis=0), 0, atol=1e-10)


def test_named_channels_become_zero_and_bad_ones_stay_out_of_the_average() -> None:
    data = brain(1)[0]
    first, second = SPEC.channels[:2]
    signal = Signal(data, np.arange(data.shape[1]) / 250)
    single = ReferenceConfig(channels=(first,)).build(SPEC, CONTEXT)(signal).data
    assert not single[0].any()
    average = ReferenceConfig(without=(second,)).build(SPEC, CONTEXT)(signal).data
    others = [channel for channel in range(32) if channel != 1]
    np.testing.assert_allclose(average[0], data[0] - data[others].mean(axis=0), atol=1e-10)


def test_channels_that_are_not_there_are_named() -> None:
    with pytest.raises(PhospheneError, match="no EEG channel A1; there are"):
        ReferenceConfig(channels=("A1",)).build(SPEC, CONTEXT)
    with pytest.raises(ValueError, match="leave channels out"):
        ReferenceConfig(channels=("Cz",), without=("Pz",))
