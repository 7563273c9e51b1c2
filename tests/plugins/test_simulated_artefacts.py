"""Each artefact of the simulated subject, by what it adds to the same EEG."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import welch

from phosphene import Context, Onset, StimulusSet
from phosphene.clock import VirtualClock
from phosphene_plugins.simulated import SimulatedConfig

SFREQ = 500.0
CLASSES = ("n00000001", "n00000002", "n00000003")


def onset(time: float, seq: int, wnid: str) -> Onset:
    place = ("record", 1, 1, 1, seq + 1, wnid, "", "")
    return Onset(seq, "stimulus", time, time, 0.5, *place)


def record(
    seconds: float, shown: Sequence[Onset] = (), seed: int = 0, **changes: object
) -> tuple[dict[str, int], NDArray[np.float32]]:
    """Return the row of each channel, and the EEG of somebody who sees some images."""
    given = {"channels": 32, "sfreq": SFREQ, "eog": True} | changes
    clock = VirtualClock(0.0)
    context = Context(StimulusSet(Path(), {}, ()), seed, clock=clock)
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
    rows = {name: row for row, name in enumerate(source.spec.channels)}
    return rows, np.hstack([*pieces, signal.data])


def added(
    seconds: float, shown: Sequence[Onset] = (), seed: int = 0, **changes: object
) -> tuple[dict[str, int], NDArray[np.float32]]:
    """Return what some settings add to the EEG."""
    without = dict.fromkeys(changes, 0.0)
    rows, data = record(seconds, shown, seed, **changes)
    return rows, data - record(seconds, shown, seed, **without)[1]


def every(seconds: float, count: int) -> list[Onset]:
    return [onset(1 + n * seconds, n, CLASSES[n % len(CLASSES)]) for n in range(count)]


def test_blinks_are_large_at_the_eyes_and_small_behind() -> None:
    rows, blinks = added(60.0, blinks=20.0)
    peaks = {name: float(blinks[row].max()) for name, row in rows.items()}
    assert peaks["VEOG"] > peaks["Fp1"] > 100e-6
    assert abs(peaks["HEOG"]) < 1e-6
    assert peaks["Oz"] < 0.1 * peaks["Fp1"]


def test_a_glance_moves_the_two_sides_of_the_head_against_each_other() -> None:
    rows, glances = added(30.0, every(1.5, 18), saccades=1.0)
    left, right, heog = (glances[rows[name]] for name in ("F9", "F10", "HEOG"))
    slow = np.ones(25) / 25  # Spikes are alike on both sides.
    left, right = (np.convolve(side, slow) for side in (left - right, right - left))
    assert np.corrcoef(np.convolve(heog, slow), right)[0, 1] > 0.95
    assert np.abs(heog).max() > 20e-6
    assert np.abs(glances[rows["Oz"]]).max() < 2e-6
    np.testing.assert_array_equal(left, -right)


def test_each_glance_has_two_saccadic_spikes_in_the_gamma_band() -> None:
    rows, glance = added(3.0, every(2.0, 1), saccades=1.0)
    jumps = np.abs(np.diff(glance[rows["VEOG"]])) > 1e-6
    bursts = np.flatnonzero(np.diff(np.flatnonzero(jumps)) > 0.1 * SFREQ)
    assert len(bursts) == 1  # One long break, between the spikes of going and of coming back.


def test_the_eyes_tell_the_class_if_they_are_asked_to() -> None:
    def agreement(**settings: float) -> float:
        """Return how alike the glances at images of one class are, beyond those of others."""
        shown = every(1.5, 60)
        rows, glances = added(95.0, shown, **settings)
        heog = glances[rows["HEOG"]]
        sides = np.array([heog[int(each.time * SFREQ) :][: int(SFREQ)].mean() for each in shown])
        by_class = sides.reshape(-1, len(CLASSES))
        return float(by_class.mean(axis=0).var() / sides.var())

    assert agreement(saccades=1.0, eye_code=0.9) > 0.5
    assert agreement(saccades=1.0) < 0.15


def test_an_eye_code_provokes_blinks_after_images_of_some_classes() -> None:
    shown = every(1.5, 60)
    rows, eyes = added(95.0, shown, blinks=0.0, saccades=0.01, eye_code=1.0)
    veog = eyes[rows["VEOG"]]
    blinked = [veog[int(each.time * SFREQ) :][: int(1.4 * SFREQ)].max() > 2e-4 for each in shown]
    by_class = np.array(blinked).reshape(-1, len(CLASSES)).sum(axis=0)
    assert 2 < by_class.max() < 15
    assert by_class.min() < by_class.max()


def test_muscle_bursts_are_fast_and_sit_at_temples_and_neck() -> None:
    rows, muscle = added(60.0, muscle=30.0)
    frequencies, power = welch(muscle, SFREQ, nperseg=500)
    total = power.sum(axis=1)
    assert power[:, frequencies > 18].sum() > 0.95 * power.sum()
    assert total[rows["FT9" if "FT9" in rows else "T7"]] > 10 * total[rows["Cz"]]
    strength = muscle[rows["T7"]].reshape(-1, 250).std(axis=1)
    assert strength.max() > 5 * np.median(strength)


def test_the_power_line_has_harmonics_below_half_the_sampling_rate() -> None:
    _rows, line = added(10.0, line=10e-6)
    frequencies, power = welch(line, SFREQ, nperseg=500)
    peaks = {hz: np.sqrt(power[:, frequencies == hz].mean()) for hz in (50, 100, 150, 200)}
    for hz in (50, 100, 150):
        assert peaks[hz + 50] / peaks[hz] == pytest.approx(0.2, abs=0.1)
    _rows, pure = record(10.0, line=10e-6, harmonics=0.0)
    _rows, silent = record(10.0, line=0.0, harmonics=0.0)
    _, power = welch(pure - silent, SFREQ, nperseg=500)
    assert power[:, frequencies == 100].mean() < 1e-6 * power[:, frequencies == 50].mean()


def test_a_pop_is_a_step_of_one_electrode_that_fades() -> None:
    _rows, pops = added(60.0, pops=10.0)
    steps = np.abs(np.diff(pops, axis=1)) > 20e-6
    assert 3 <= steps.sum() <= 25
    assert steps.sum(axis=0).max() == 1
    row, sample = (int(index[0]) for index in np.nonzero(steps[:, : int(58 * SFREQ)]))
    after = np.abs(pops[row, sample + 1 :][: int(SFREQ)])
    if steps[row].sum() == 1:
        assert after[int(0.3 * SFREQ)] == pytest.approx(after[0] / np.e, rel=0.05)


def test_an_image_comes_up_to_so_much_later_than_its_onset_says() -> None:
    quiet = {"noise": 1e-9, "line": 0.0, "blinks": 0.0, "code": "none"}
    shown = every(1.0, 40)

    def latencies(jitter: float) -> NDArray[np.float64]:
        rows, data = record(45.0, shown, jitter=jitter, **quiet)
        oz = np.abs(data[rows["Oz"]])
        peaks = [int(np.argmax(oz[int(each.time * SFREQ) :][:400])) for each in shown]
        return np.array(peaks) / SFREQ

    exact, jittered = latencies(0.0), latencies(0.02)
    assert np.ptp(exact) <= 2 / SFREQ
    late = jittered - exact
    assert late.min() >= -1 / SFREQ
    assert late.max() <= 0.02 + 1 / SFREQ
    assert late.std() > 0.003


def test_eog_channels_are_of_their_own_type_and_have_no_place_on_the_scalp() -> None:
    config = msgspec.convert({"channels": 8, "eog": True}, SimulatedConfig)
    spec = config.build(Context(StimulusSet(Path(), {}, ()), clock=VirtualClock())).spec
    assert spec.channels[8:] == ("HEOG", "VEOG")
    assert spec.types == ("eeg",) * 8 + ("eog",) * 2
    assert set(spec.positions) == set(spec.channels[:8])


def test_eog_channels_leave_the_others_as_they_are_and_see_no_visual_cortex() -> None:
    quiet = {"noise": 1e-9, "line": 0.0, "blinks": 0.0}
    _rows, alone = record(3.0, every(1.0, 2), eog=False, **quiet)
    _rows, both = record(3.0, every(1.0, 2), **quiet)
    np.testing.assert_allclose(both[:32], alone, atol=1e-8)
    assert np.abs(both[32:]).max() < 1e-8 < np.abs(both[:32]).max()
