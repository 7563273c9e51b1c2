"""Onsets are read back from what the amplifier saw of the screen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phosphene.events import Onset
from phosphene.readback import Evidence, ReadBack, find_pulses, read_back

SFREQ, SECONDS = 1000.0, 12.0
TIMES = 50.0 + np.arange(round(SFREQ * SECONDS)) / SFREQ
Array = NDArray[np.float64]


def onset(time: float, seq: int) -> Onset:
    place = ("record", 1, 1, 1, seq + 1)
    return Onset(seq, "stimulus", time, time, 0.5, *place, "n1", "a.png", "ab")


ONSETS = [onset(51.0 + 0.5 * n, n) for n in range(20)]


def look(values: Array) -> ReadBack:
    return read_back(ONSETS, find_pulses(ONSETS, TIMES, values))


def channel(lags: Array, height: float = 1.0, noise: float = 0.01, rise: float = 0.0) -> Array:
    """Return what a photodiode sees; NaN is no flash."""
    values = np.random.default_rng(0).standard_normal(len(TIMES)) * noise * abs(height)
    for each, lag in zip(ONSETS, lags, strict=True):
        since = TIMES - (each.time + lag)
        part = np.clip(since / rise, 0, 1) if rise else (since >= 0).astype(float)
        values += height * np.where(since < 0.1, part, 0) if np.isfinite(lag) else 0
    return values + 3.0


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-0.04, 0.15),
    st.floats(0, 0.003),
    st.sampled_from([1.0, -1.0, 1e-4, 300.0]),
    st.sampled_from([0.0, 0.01, 0.05]),
)
def test_every_onset_finds_its_flash(
    lag: float, jitter: float, height: float, noise: float
) -> None:
    lags = lag + np.random.default_rng(1).uniform(-jitter, jitter, len(ONSETS))
    found = look(channel(lags, height, noise))
    assert (found.n_missing, found.n_unmatched) == (0, 0)
    np.testing.assert_allclose(found.lags, lags, atol=1.1 / SFREQ)
    assert found.lag == pytest.approx(lag, abs=jitter + 1.1 / SFREQ)


def test_a_slow_flash_is_timed_between_samples() -> None:
    lags = np.full(len(ONSETS), 0.03)
    found = look(channel(lags, rise=0.004, noise=0.0))
    np.testing.assert_allclose(found.lags, 0.032, atol=1e-4)


def test_what_is_missing_and_what_is_too_much_is_told() -> None:
    lags = np.full(len(ONSETS), 0.03)
    lags[[3, 7]] = np.nan
    values = channel(lags)
    values[(TIMES > 54.75) & (TIMES < 54.85)] += 1.0  # A flash that nobody announced.
    found = look(values)
    assert set(range(20)) - found.times.keys() == {3, 7}
    assert found.remarks("AUX1", 0.03) == [
        "2 of 20 images have no pulse on AUX1",
        "1 pulses on AUX1 belong to no image",
    ]
    [*_, advice] = found.remarks("AUX1", 0.0)
    assert "sees the light 29.5 ms behind the flip" in advice
    assert "screen: {lag: 0.0295}" in advice


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_channel_without_flashes_has_none(noise: float) -> None:
    values = channel(np.full(len(ONSETS), np.nan), noise=noise)
    found = look(values)
    assert (len(found.times), found.n_missing) == (0, 20)


def test_light_is_better_evidence_than_a_trigger_and_that_than_a_flip() -> None:
    flip = onset(51.0, 0)
    assert (Evidence(flip, 0.02).source, Evidence(flip, 0.02).time) == ("flip", 51.02)
    trigger = Evidence(flip, 0.02, trigger=51.001)
    assert (trigger.source, trigger.time) == ("trigger", pytest.approx(51.021))
    light = Evidence(flip, 0.02, photodiode=51.035, trigger=51.001)
    assert (light.source, light.time) == ("photodiode", 51.035)
