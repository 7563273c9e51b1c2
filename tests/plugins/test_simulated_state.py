"""What the simulated subject's EEG depends on besides the last image: rest, the past, the clock."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from phosphene import Context, Onset, StimulusSet
from phosphene.clock import VirtualClock
from phosphene_plugins.simulated import SimulatedConfig

SFREQ = 250.0


def onset(time: float, seq: int, wnid: str = "n00000001", event: str = "stimulus") -> Onset:
    place = ("record", 1, 1, 1, seq + 1, wnid, "", "")
    return msgspec.structs.replace(Onset(seq, "stimulus", time, time, 0.5, *place), event=event)


def record(seconds: float, shown: Sequence[Onset] = (), **changes: object) -> NDArray[np.float32]:
    """Return the EEG of somebody who sees some images, (n_channels, n_times)."""
    given = {"channels": 16, "sfreq": SFREQ, "line": 0.0, "blinks": 0.0} | changes
    clock = VirtualClock(0.0)
    context = Context(StimulusSet(Path(), {}, ()), 0, clock=clock)
    source = msgspec.convert(given, SimulatedConfig).build(context)
    pieces = []
    for each in shown:
        clock.sleep_until(each.time)
        if signal := source.read(0.0):
            pieces.append(signal.data)
        context.onsets.append(each)
    clock.sleep_until(seconds)
    signal = source.read(0.0)
    assert signal is not None
    return np.hstack([*pieces, signal.data])


def power(data: NDArray[np.float32], low: float, high: float) -> NDArray[np.float64]:
    """Return the mean power over channels in a band, by second."""
    sos = butter(4, (low, high), "bandpass", fs=SFREQ, output="sos")
    squares: NDArray[np.float64] = np.mean(sosfiltfilt(sos, data) ** 2, axis=0)
    return squares.reshape(-1, int(SFREQ)).mean(axis=1)


def test_alpha_is_weaker_after_images_and_comes_back_in_the_pause() -> None:
    shown = [onset(30 + n * 0.5, n) for n in range(60)]
    settings = {"code": "none", "alpha": 3.0, "alpha_suppression": 0.7}
    alpha = power(record(90.0, shown, **settings), 8, 12)
    before, during, after = (
        alpha[part].mean() for part in (slice(30), slice(31, 60), slice(63, 90))
    )
    assert during / before == pytest.approx(0.3**2, rel=0.5)
    assert after / before == pytest.approx(1, rel=0.5)


def test_images_in_a_row_suppress_alpha_no_more_than_one() -> None:
    settings = {"code": "none", "alpha": 3.0, "alpha_suppression": 0.7, "noise": 12e-6}
    one = record(4.0, [onset(1.0, 0)], **settings)
    two = record(4.0, [onset(1.0, 0), onset(1.1, 1)], **settings)
    responses = record(4.0, [onset(1.0, 0), onset(1.1, 1)], **settings | {"alpha": 0.0})
    response = record(4.0, [onset(1.0, 0)], **settings | {"alpha": 0.0})
    alpha, of_two = one - response, two - responses
    both = slice(int(1.5 * SFREQ), int(1.75 * SFREQ))
    np.testing.assert_allclose(of_two[:, both], alpha[:, both], atol=1e-9)


def lingering(
    shown: Sequence[Onset], code: str = "power", **changes: object
) -> NDArray[np.float32]:
    """Return what the code in power adds: with it, less without it."""
    settings = {"strength": 0.8} | changes
    with_code = record(12.0, shown, code=code, **settings)
    return with_code - record(12.0, shown, code="none", **settings)


def rms(data: NDArray[np.float32], start: float, end: float) -> float:
    return float(data[:, int(start * SFREQ) : int(end * SFREQ)].std())


def test_without_an_after_effect_the_pause_says_nothing() -> None:
    change = lingering([onset(1.0, 0)])
    assert rms(change, 1.1, 1.5) > 1e-7
    assert rms(change, 1.52, 12.0) == 0


def test_an_after_effect_fades_in_the_pause() -> None:
    change = lingering([onset(1.0, 0)], after_effect=1.0, after_effect_tau=2.0)
    early, later = rms(change, 1.5, 2.5), rms(change, 5.5, 6.5)
    assert later / early == pytest.approx(np.exp(-4 / 2), rel=0.4)
    assert rms(change, 10.0, 12.0) == 0


def test_what_lingers_is_the_code_of_the_last_image_whatever_came_before() -> None:
    settings = {"after_effect": 0.8, "after_effect_tau": 2.0}
    alone = lingering([onset(2.0, 1, "n00000002")], **settings)
    after_another = lingering([onset(1.0, 0), onset(2.0, 1, "n00000002")], **settings)
    pause = slice(int(2.2 * SFREQ), None)
    np.testing.assert_allclose(after_another[:, pause], alone[:, pause], atol=1e-9)
    assert rms(after_another, 1.6, 2.0) > 1e-7


def test_a_code_in_the_waveform_lingers_in_power() -> None:
    with_effect = record(8.0, [onset(1.0, 0)], code="evoked", after_effect=1.0)
    without = record(8.0, [onset(1.0, 0)], code="evoked")
    change = with_effect - without
    assert rms(change, 0.0, 1.0) == 0
    assert rms(change, 2.0, 3.0) > 1e-7


def test_a_picture_ends_what_lingers() -> None:
    shown = [onset(1.0, 0), onset(3.0, 1, "", "picture")]
    change = lingering(shown, after_effect=1.0)
    assert rms(change, 2.0, 3.0) > 1e-7
    assert rms(change, 3.2, 12.0) < 1e-10


def test_gain_drifts_on_the_wall_clock_whether_images_are_shown_or_not() -> None:
    """The power line, far above everything else, shows the gain of each electrode."""
    settings = {"line": 1e-3, "noise": 1e-9, "harmonics": 0.0, "drift": 0.2, "drift_tau": 20.0}
    shown = [onset(100 + n * 0.5, n) for n in range(200)]  # A block, and pauses around it.
    data = record(300.0, shown, **settings, channels=128, code="none")
    gain = np.log(data.reshape(128, 300, -1).std(axis=2))
    gain -= gain.mean(axis=1, keepdims=True)
    assert gain.std() == pytest.approx(0.2, rel=0.25)
    for start in (0, 100, 200):
        part = gain[:, start : start + 100]
        change = np.mean((part[:, 20:] - part[:, :-20]) ** 2)
        # An Ornstein-Uhlenbeck process moves by 2 sigma^2 (1 - exp(-t / tau)) in the mean square.
        assert change == pytest.approx(2 * 0.2**2 * (1 - np.exp(-1)), rel=0.25)
