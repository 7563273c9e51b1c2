import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt, welch
from scipy.stats import binom
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from phosphene import Context, Onset, PhospheneError, Signal, StimulusSet
from phosphene.clock import Clock, VirtualClock
from phosphene.manifest import Image
from phosphene_plugins.simulated import SimulatedConfig
from phosphene_plugins.simulated_leadfield import compute_head, load_head

NO_IMAGES = StimulusSet(Path(), {}, ())
QUIET = {"noise": 1e-9, "line": 0.0, "blinks": 0.0}
"""Nearly nothing but the responses."""
EVERYTHING = {
    "eog": True,
    "after_effect": 0.5,
    "saccades": 0.7,
    "eye_code": 0.5,
    "muscle": 60.0,
    "pops": 60.0,
    "jitter": 0.01,
}


def onset(time: float, wnid: str, seq: int = 0, image: str = "") -> Onset:
    return Onset(
        seq=seq,
        event="stimulus",
        time=time,
        planned=time,
        duration=0.5,
        phase="record",
        run=1,
        block=1,
        attempt=1,
        trial=seq + 1,
        wnid=wnid,
        image=image,
        sha256="",
    )


class Session:
    """A subject, a clock that tests move by hand, and somebody who shows images."""

    def __init__(
        self,
        config: SimulatedConfig,
        clock: Clock | None = None,
        stimuli: StimulusSet = NO_IMAGES,
        seed: int = 0,
    ) -> None:
        self.clock = clock or VirtualClock(100.0)
        self.context = Context(stimuli, seed=seed, clock=self.clock)
        self.source = config.build(self.context)

    def read_at(self, time: float) -> Signal | None:
        self.clock.sleep_until(time)
        return self.source.read(0.01)

    def record(self, onsets: Sequence[Onset], times: Iterable[float]) -> Signal:
        """Read at each of the times, having heard of every onset before it."""
        waiting = list(onsets)
        pieces = []
        for time in times:
            while waiting and waiting[0].time <= time:
                self.context.onsets.append(waiting.pop(0))
            if piece := self.read_at(time):
                pieces.append(piece)
        return Signal(
            np.hstack([piece.data for piece in pieces]),
            np.concatenate([piece.stamps for piece in pieces]),
        )


def small(**changes: object) -> SimulatedConfig:
    return msgspec.convert({"channels": 16, "sfreq": 250.0} | changes, SimulatedConfig)


@settings(max_examples=25, deadline=None)
@given(
    reads=st.lists(st.floats(0.001, 0.4), min_size=1, max_size=12),
    shown=st.lists(st.tuples(st.floats(0.0, 0.3), st.integers(0, 3)), max_size=6),
    code=st.sampled_from(["none", "evoked", "power"]),
    artefacts=st.sampled_from([{}, EVERYTHING]),
)
def test_the_samples_do_not_depend_on_when_they_are_read(
    reads: list[float], shown: list[tuple[float, int]], code: str, artefacts: dict[str, Any]
) -> None:
    config = small(code=code, drift=0.1, **artefacts)
    times = 100 + np.cumsum(reads)
    appearances = 100 + np.cumsum([gap for gap, _class in shown])
    onsets = [
        onset(float(time), f"n{number:08}", seq)
        for seq, (time, (_gap, number)) in enumerate(zip(appearances, shown, strict=True))
        if time <= times[-1]
    ]
    whole = Session(config).record(onsets, [times[-1]])
    pieces = Session(config).record(onsets, times)
    np.testing.assert_array_equal(pieces.data, whole.data)
    np.testing.assert_array_equal(pieces.stamps, whole.stamps)


def test_the_same_seed_gives_the_same_subject_and_another_seed_another_one() -> None:
    def samples(config: SimulatedConfig, seed: int) -> NDArray[np.float32]:
        return Session(config, seed=seed).record([onset(100.1, "n00000001")], [101.0]).data

    np.testing.assert_array_equal(samples(small(), 1), samples(small(), 1))
    assert not np.array_equal(samples(small(), 1), samples(small(), 2))
    np.testing.assert_array_equal(samples(small(seed=1), 2), samples(small(), 1))


def test_samples_come_up_to_now_stamped_by_their_index() -> None:
    session = Session(small())
    assert session.source.read(0.01) is None
    signal = session.read_at(100.5)
    assert signal is not None
    np.testing.assert_allclose(signal.times, 100 + np.arange(125) / 250, rtol=0, atol=1e-9)
    assert session.source.read(0.01) is None
    assert session.clock.now() == 100.5


def test_an_onset_changes_nothing_before_it_and_something_after_it() -> None:
    without = Session(small()).record([], [105.0])
    with_image = Session(small()).record([onset(101.0, "n00000001")], [105.0])
    change = np.abs(with_image.data - without.data).max(axis=0)
    assert not change[with_image.times < 101.0].any()
    assert change[with_image.times > 101.08].max() > 1e-6
    assert not change[with_image.times > 103.6].any()


def test_an_onset_that_comes_late_still_shows_in_what_is_not_yet_read() -> None:
    session = Session(small(code="evoked", **QUIET))
    session.record([], [100.3])
    rest = session.record([onset(100.2, "n00000001")], [101.0])
    in_time = Session(small(code="evoked", **QUIET)).record([onset(100.2, "n00000001")], [101.0])
    np.testing.assert_array_equal(rest.data, in_time.data[:, -rest.n_times :])
    assert np.abs(rest.data).max() > 1e-6


def test_an_onset_from_another_clock_is_an_error() -> None:
    session = Session(small())
    session.context.onsets.append(onset(1e6, "n00000001"))
    with pytest.raises(PhospheneError, match="in the future"):
        session.read_at(100.1)


@dataclass
class LiveClock:
    """A clock that passes by itself, here only while somebody sleeps."""

    live: ClassVar[bool] = True
    time: float = 100.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def sleep_until(self, time: float) -> None:
        self.slept.append(time - self.time)
        self.time = max(self.time, time)


def test_on_a_live_clock_samples_wait_for_the_onsets_that_belong_to_them() -> None:
    clock = LiveClock()
    session = Session(small(), clock)
    assert session.source.read(0.01) is None
    assert clock.slept == [pytest.approx(0.01)]
    clock.time = 100.5
    signal = session.source.read(0.01)
    assert signal is not None
    assert signal.times[-1] == pytest.approx(100.44, abs=0.005)
    following = session.source.read(1.0)
    assert following is not None
    assert 2 <= following.n_times <= 4
    assert clock.now() < 100.52


def test_the_eeg_has_the_size_and_the_rhythms_of_eeg() -> None:
    config = msgspec.convert({"channels": 128, "sfreq": 500.0, "line": 5e-6}, SimulatedConfig)
    session = Session(config)
    signal = session.record([], [140.0])
    assert signal.data.dtype == np.float32
    assert signal.data.shape == (session.source.spec.n_channels, 40 * 500) == (128, 20000)
    size = signal.data.std(axis=1)
    assert 8e-6 < np.median(size) < 25e-6
    assert size.min() > 2e-6
    assert size.max() < 60e-6
    frequencies, power = welch(signal.data, 500, nperseg=1000)
    at = {hz: power[:, np.argmin(np.abs(frequencies - hz))] for hz in (2, 6, 10, 30, 47, 50)}
    rows = {name: row for row, name in enumerate(session.source.spec.channels)}
    assert at[10][rows["Oz"]] > 4 * at[6][rows["Oz"]]
    assert at[10][rows["Oz"]] > 4 * at[10][rows["Fz"]]
    assert np.median(at[2] / at[30]) > 10
    assert np.median(at[50] / at[47]) > 10


@pytest.mark.parametrize("n_channels", [8, 16, 32, 50, 64, 128])
def test_fewer_electrodes_are_spread_over_head_and_hemispheres(n_channels: int) -> None:
    spec = Session(small(channels=n_channels)).source.spec
    assert spec.n_channels == n_channels
    assert set(spec.types) == {"eeg"}
    positions = np.array([spec.positions[name] for name in spec.channels])
    assert np.ptp(positions[:, 1]) > 0.15
    assert abs(np.sum(np.sign(np.round(positions[:, 0], 2)))) <= 3
    assert {"Oz"} <= set(spec.channels)


# What a decoder finds in it.

CLASSES = 5
TRIALS = 24


@dataclass(frozen=True)
class Trials:
    epochs: NDArray[np.float64]
    labels: NDArray[np.intp]

    def accuracy_of_power(self, splits: NDArray[np.intp]) -> float:
        """Of logistic regression on log power, cross-validated."""
        power = np.log(np.mean(self.epochs**2, axis=2))
        return self._accuracy(power, LogisticRegression(max_iter=1000), splits)

    def accuracy_of_waveform(self, splits: NDArray[np.intp]) -> float:
        """Of a shrunken linear discriminant on averages over 40 ms."""
        length = self.epochs.shape[2] // 10 * 10
        steps = self.epochs[:, :, :length].reshape(*self.epochs.shape[:2], -1, 10).mean(axis=3)
        lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        return self._accuracy(steps.reshape(len(steps), -1), lda, splits)

    def _accuracy(self, x: NDArray[np.float64], model: object, splits: NDArray[np.intp]) -> float:
        folds = [(np.flatnonzero(splits != s), np.flatnonzero(splits == s)) for s in set(splits)]
        guesses = cross_val_predict(
            make_pipeline(StandardScaler(), model), x, self.labels, cv=folds
        )
        return float(np.mean(guesses == self.labels))


def trials(
    order: NDArray[np.intp],
    band: tuple[float, float],
    stimuli: StimulusSet = NO_IMAGES,
    **changes: object,
) -> Trials:
    """Record images in the given order, 0.5 s each, and a pause after every TRIALS of them."""
    starts = 101 + np.arange(len(order)) * 0.5 + np.arange(len(order)) // TRIALS * 10.0
    onsets = [
        onset(float(time), f"n{label:08}", seq)
        for seq, (time, label) in enumerate(zip(starts, order, strict=True))
    ]
    session = Session(small(channels=32, **changes), stimuli=stimuli)
    signal = session.record(onsets, [*starts, starts[-1] + 2])
    filtered = sosfiltfilt(butter(4, band, "bandpass", fs=250, output="sos"), signal.data)
    first = np.round((starts - 100 + 0.02) * 250).astype(int)
    return Trials(np.stack([filtered[:, i : i + 120] for i in first]), order)


INTERLEAVED = np.concatenate(
    [np.random.default_rng(seed).permutation(CLASSES) for seed in range(TRIALS)]
)
BLOCKS = np.repeat(np.arange(CLASSES), TRIALS)
BY_RUN = np.repeat(np.arange(CLASSES), TRIALS)
BY_IMAGE = np.tile(np.arange(TRIALS) % 4, CLASSES)
PAPER = (14.0, 70.0)
SLOW = (0.5, 30.0)


def chance_at_most(probability: float = 0.999) -> float:
    return float(binom.ppf(probability, CLASSES * TRIALS, 1 / CLASSES)) / (CLASSES * TRIALS)


def test_a_code_in_power_is_decoded_from_power() -> None:
    assert trials(INTERLEAVED, PAPER, code="power").accuracy_of_power(BY_RUN) > 0.5


def test_a_subject_without_code_is_at_chance_even_if_the_gain_drifts() -> None:
    null = trials(INTERLEAVED, PAPER, code="none", drift=0.1)
    assert null.accuracy_of_power(BY_RUN) <= chance_at_most()


def test_in_a_block_design_drift_alone_is_decoded_as_if_it_were_class() -> None:
    still = trials(BLOCKS, PAPER, code="none")
    assert still.accuracy_of_power(BY_IMAGE) <= chance_at_most()
    drifting = trials(BLOCKS, PAPER, code="none", drift=0.1)
    assert drifting.accuracy_of_power(BY_IMAGE) > 0.5


def test_a_code_in_the_evoked_response_is_decoded_from_the_waveform_only() -> None:
    assert trials(INTERLEAVED, SLOW, code="evoked").accuracy_of_waveform(BY_RUN) > 0.5
    seen_by_power = trials(INTERLEAVED, PAPER, code="evoked")
    assert seen_by_power.accuracy_of_power(BY_RUN) <= chance_at_most()


def response(
    wnid: str, image: str = "", stimuli: StimulusSet = NO_IMAGES, **changes: object
) -> NDArray[np.float32]:
    """Return a response without the EEG around it, less what all classes have in common."""

    def shown(code: str) -> NDArray[np.float32]:
        config = small(code=code, strength=1.0, **QUIET, **changes)
        session = Session(config, stimuli=stimuli)
        return session.record([onset(100.0, wnid, image=image)], [100.6]).data

    return shown("evoked") - shown("none")


def likeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_an_independent_code_belongs_to_the_class_whatever_the_image() -> None:
    sorrel = response("n02389026", "one.png")
    assert likeness(sorrel, response("n02389026", "two.png")) > 0.99
    assert abs(likeness(sorrel, response("n03888257", "one.png"))) < 0.7


@pytest.fixture
def colours(tmp_path: Path) -> StimulusSet:
    """Three classes: two look alike."""
    looks = {"n00000001": (200, 40, 40), "n00000002": (210, 60, 30), "n00000003": (30, 60, 220)}
    noise = np.random.default_rng(0).integers(-10, 10, (32, 32, 3))
    for wnid, colour in looks.items():
        pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / f"{wnid}.png")
    images = tuple(Image(f"{wnid}.png", wnid, "train", "", "CC0-1.0") for wnid in looks)
    return StimulusSet(tmp_path, {wnid: wnid for wnid in looks}, images)


def test_a_code_that_follows_features_is_alike_for_images_that_look_alike(
    colours: StimulusSet,
) -> None:
    red, orange, blue = (
        response(image.wnid, image.id, colours, geometry="features") for image in colours.images
    )
    assert likeness(red, orange) > 0.8
    assert likeness(red, blue) < 0


def test_an_image_that_the_subject_cannot_know_is_named(colours: StimulusSet) -> None:
    with pytest.raises(PhospheneError, match=r"other\.png.*not among its stimulus set"):
        response("n00000001", "other.png", colours, geometry="features")


def test_features_of_a_single_class_are_refused(colours: StimulusSet) -> None:
    with pytest.raises(PhospheneError, match="at least 2 classes"):
        Session(small(geometry="features"), stimuli=colours.only(["n00000001"]))


def test_a_picture_evokes_what_all_images_evoke_and_no_class() -> None:
    def seen(wnid: str) -> NDArray[np.float32]:
        picture = msgspec.structs.replace(onset(100.0, wnid), event="picture")
        return Session(small(code="evoked", **QUIET)).record([picture], [100.6]).data

    np.testing.assert_array_equal(seen("n02389026"), seen("n03888257"))
    assert np.abs(seen("n02389026")).max() > 1e-6


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("channels", 7, "8 to 128"),
        ("channels", 256, "8 to 128"),
        ("sfreq", 100.0, "200 to 5000"),
        ("sfreq", float("nan"), "200 to 5000"),
        ("strength", -1.0, "0 to 5"),
        ("noise", 0.0, "1e-09 to 0.001"),
        ("drift", 2.0, "0 to 1"),
        ("drift_tau", 0.0, "1 to"),
        ("line", -1e-6, "0 to 0.01"),
        ("line_frequency", 125.0001, "1 to 125"),
        ("blinks", 200.0, "0 to 120"),
        ("after_effect", 1.1, "0 to 1"),
        ("after_effect_tau", 0.0, "0.1 to 5"),
        ("alpha", -0.1, "0 to 10"),
        ("alpha_suppression", 1.0, "0 to 0.95"),
        ("harmonics", 1.5, "0 to 1"),
        ("saccades", 2.0, "0 to 1"),
        ("eye_code", 0.5, "need saccades"),
        ("muscle", -1.0, "0 to 120"),
        ("pops", float("inf"), "0 to 120"),
        ("jitter", 0.2, "0 to 0.1"),
        ("eog", 1, "Expected `bool`"),
        ("seed", -1, "0 to"),
        ("code", "gamma", "Invalid enum value"),
        ("colour", "red", "unknown field"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(field: str, value: object, allowed: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=allowed):
        small(**{field: value})


def test_the_head_that_ships_is_the_head_that_mne_computes() -> None:
    computed, shipped = compute_head(), load_head()
    assert computed.channels == shipped.channels
    np.testing.assert_allclose(computed.positions, shipped.positions, atol=1e-6)
    np.testing.assert_allclose(computed.leadfield, shipped.leadfield, rtol=1e-3, atol=1e-9)


def test_finding_the_plugin_loads_nothing_heavy() -> None:
    heavy = "{'scipy', 'mne', 'sklearn', 'pylsl', 'PIL.ImageDraw'}"
    program = f"import sys, phosphene_plugins.simulated; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.decode().strip() == "set()"
