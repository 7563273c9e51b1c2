"""``power-lr`` learns a power code, says how sure it is, and comes back from disk the same."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from phosphene import (
    Context,
    Decoder,
    Epochs,
    Onset,
    PhospheneError,
    SignalSpec,
    StimulusSet,
    TrainingSet,
)
from phosphene_plugins.power_lr import PowerLRConfig, decoder, log_power
from phosphene_plugins.spectrogram import SpectrogramConfig
from phosphene_plugins.standardise import StandardiseConfig

STIMULI = StimulusSet(Path(), {}, ())
CONTEXT = Context(STIMULI)
SFREQ, N_CHANNELS, N_TIMES = 1000.0, 6, 480
WNIDS = ("n00000003", "n00000001", "n00000002")


def make_spec(n_channels: int = N_CHANNELS) -> SignalSpec:
    names = tuple(f"E{i}" for i in range(n_channels))
    return SignalSpec(names, ("eeg",) * n_channels, SFREQ)


def make_onset(trial: int, wnid: str) -> Onset:
    return Onset(
        trial, "stimulus", 0.0, 0.0, 0.5, "record", 1, 1, 1, trial + 1, wnid, f"{wnid}.png", "ab"
    )


def make_set(seed: int, n: int = 60, wnids: tuple[str, ...] = WNIDS) -> TrainingSet:
    """Each class doubles the amplitude of a channel of its own."""
    rng = np.random.default_rng(seed)
    labels = [wnids[i % len(wnids)] for i in range(n)]
    data = 1e-5 * rng.standard_normal((n, N_CHANNELS, N_TIMES), np.float32)
    for epoch, label in zip(data, labels, strict=True):
        epoch[wnids.index(label)] *= 2
    trials = tuple(make_onset(i, label) for i, label in enumerate(labels))
    return TrainingSet(Epochs(data, make_spec(), 0.02), trials, STIMULI)


def accuracy(found: Decoder, test: TrainingSet) -> float:
    winners = found.decode(test.epochs).probabilities.argmax(axis=1)
    return float(np.mean([found.classes[w] == t for w, t in zip(winners, test.wnids, strict=True)]))


@pytest.fixture(scope="module")
def fitted() -> Decoder:
    return PowerLRConfig().fit(make_set(0), CONTEXT)


def test_the_plugin_offers_power_lr() -> None:
    assert decoder() == {"power-lr": PowerLRConfig}


def test_a_planted_power_code_is_learnt(fitted: Decoder) -> None:
    assert accuracy(fitted, make_set(1)) == 1.0


def test_a_code_in_the_sign_alone_is_invisible_to_it() -> None:
    train, test = make_set(0), make_set(1)
    for data in (train, test):
        data.epochs.data[:] /= data.epochs.data.std(axis=2, keepdims=True)
        for epoch, wnid in zip(data.epochs.data, data.wnids, strict=True):
            epoch[WNIDS.index(wnid)] *= -1
    assert accuracy(PowerLRConfig().fit(train, CONTEXT), test) < 0.6


def test_a_spectrogram_carries_the_code_as_well() -> None:
    steps = (
        StandardiseConfig().build(make_spec(), CONTEXT),
        SpectrogramConfig().build(make_spec(), CONTEXT),
    )
    train, test = make_set(0), make_set(1)
    seen, unseen = train.epochs, test.epochs
    for step in steps:
        step.fit(seen)
        seen, unseen = step(seen), step(unseen)
    found = PowerLRConfig().fit(TrainingSet(seen, train.trials, STIMULI), CONTEXT)
    assert accuracy(found, TrainingSet(unseen, test.trials, STIMULI)) == 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-9, 1e3))
def test_probabilities_are_not_negative_and_sum_to_1(
    fitted: Decoder, seed: int, gain: float
) -> None:
    epochs = make_set(seed, 5).epochs
    found = fitted.decode(Epochs(np.float32(gain) * epochs.data, epochs.spec, epochs.tmin))
    assert found.probabilities.shape == (5, 3)
    assert (found.probabilities >= 0).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert found.embedding is None


def test_the_columns_are_the_sorted_classes(fitted: Decoder) -> None:
    assert fitted.classes == tuple(sorted(WNIDS))
    assert all(type(wnid) is str for wnid in fitted.classes)


@pytest.mark.parametrize("wnids", [WNIDS, WNIDS[:2]], ids=["three", "two"])
def test_the_probabilities_are_scikit_learns_for_three_classes_and_for_two(
    wnids: tuple[str, ...],
) -> None:
    train, test = make_set(0, wnids=wnids), make_set(1, wnids=wnids)
    features = log_power(train.epochs)
    mean, std = features.mean(axis=0), features.std(axis=0)
    model = LogisticRegression(C=0.1, max_iter=1000).fit((features - mean) / std, train.wnids)
    expected = model.predict_proba((log_power(test.epochs) - mean) / std)
    found = PowerLRConfig().fit(train, CONTEXT).decode(test.epochs).probabilities
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_one_epoch_alone_gives_the_same_as_among_others(fitted: Decoder) -> None:
    epochs = make_set(1).epochs
    together = fitted.decode(epochs).probabilities
    alone = [fitted.decode(epochs[i : i + 1]).probabilities[0] for i in range(len(epochs))]
    np.testing.assert_allclose(alone, together, rtol=1e-9)


def test_a_stronger_penalty_makes_it_less_sure() -> None:
    train, test = make_set(0), make_set(1)
    sure, unsure = (
        PowerLRConfig(c=c).fit(train, CONTEXT).decode(test.epochs).probabilities.max(axis=1).mean()
        for c in (10.0, 1e-4)
    )
    assert sure > 0.9
    assert unsure < 0.5


@pytest.mark.parametrize("value", [0.0, 0.0314])
def test_a_channel_that_was_dead_in_training_does_no_harm_when_it_is_alive(value: float) -> None:
    train = make_set(0)
    train.epochs.data[:, 5] = value
    assert accuracy(PowerLRConfig().fit(train, CONTEXT), make_set(1)) == 1.0


# Features


def test_log_power_is_the_log_of_the_mean_square() -> None:
    epochs = make_set(0, 4).epochs
    expected = np.log(np.square(epochs.data, dtype=np.float64).mean(axis=2))
    np.testing.assert_allclose(log_power(epochs), expected)
    spectrogram = Epochs(np.square(epochs.data).reshape(4, N_CHANNELS, 6, 80), epochs.spec, 0.0)
    np.testing.assert_allclose(log_power(spectrogram), expected, rtol=1e-6)


# On disk


def test_what_was_saved_decodes_the_same_to_the_bit(fitted: Decoder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded = PowerLRConfig().load(tmp_path, CONTEXT)
    epochs = make_set(1).epochs
    assert loaded.classes == fitted.classes
    np.testing.assert_array_equal(
        loaded.decode(epochs).probabilities, fitted.decode(epochs).probabilities
    )


def test_what_is_saved_is_numbers_and_json(fitted: Decoder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classes.json", "weights.npz"]
    assert json.loads((tmp_path / "classes.json").read_text()) == list(fitted.classes)
    with zipfile.ZipFile(tmp_path / "weights.npz") as archive:
        for name in archive.namelist():
            array = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
            assert array.dtype == np.float64


def test_the_same_training_writes_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        PowerLRConfig().fit(make_set(0), CONTEXT).save(tmp_path / name)
        contents.append([file.read_bytes() for file in sorted((tmp_path / name).iterdir())])
    assert contents[0] == contents[1]


def test_weights_that_are_pickled_are_refused(fitted: Decoder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    pickled = np.array([{}])
    np.savez(
        tmp_path / "weights.npz",
        mean=pickled,
        scale=pickled,
        coefficients=pickled,
        intercept=pickled,
    )
    with pytest.raises(ValueError, match="allow_pickle=False"):
        PowerLRConfig().load(tmp_path, CONTEXT)


def test_weights_for_other_classes_are_refused(fitted: Decoder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    (tmp_path / "classes.json").write_text(json.dumps(WNIDS[:2]))
    with pytest.raises(PhospheneError, match=r"shape \(3, 6\) for 2 classes and 6 channels"):
        PowerLRConfig().load(tmp_path, CONTEXT)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("mean", np.zeros((1, 6)), r"mean of shape \(1, 6\)"),
        ("scale", np.ones(1), r"scale of shape \(1,\) for 3 classes and 6 channels"),
        ("scale", np.zeros(6), "scale must be above 0"),
        ("intercept", np.zeros(1), r"intercept of shape \(1,\)"),
        ("intercept", np.full(3, np.nan), "must be finite"),
        ("coefficients", np.full((3, 6), np.inf), "must be finite"),
    ],
)
def test_weights_that_do_not_fit_each_other_are_refused(
    fitted: Decoder, tmp_path: Path, name: str, array: np.ndarray, message: str
) -> None:
    fitted.save(tmp_path)
    with np.load(tmp_path / "weights.npz") as arrays:
        weights = {**arrays, name: array}
    np.savez(tmp_path / "weights.npz", **weights)
    with pytest.raises(PhospheneError, match=message):
        PowerLRConfig().load(tmp_path, CONTEXT)


# What cannot be decoded


def test_another_number_of_channels_is_refused(fitted: Decoder) -> None:
    epochs = Epochs(np.ones((1, 5, N_TIMES), np.float32), make_spec(5), 0.02)
    with pytest.raises(PhospheneError, match="trained on 6 channels; found 5"):
        fitted.decode(epochs)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(fitted: Decoder, value: float) -> None:
    data = make_set(0)
    data.epochs.data[1, 2, 3] = value
    with pytest.raises(PhospheneError, match="not finite"):
        fitted.decode(data.epochs)
    with pytest.raises(PhospheneError, match="not finite"):
        PowerLRConfig().fit(data, CONTEXT)


@pytest.mark.parametrize("log", [True, False], ids=["log", "standardised"])
def test_a_spectrogram_that_is_no_power_is_refused(log: bool) -> None:
    train = make_set(0)
    epochs = SpectrogramConfig(log=log).build(make_spec(), CONTEXT)(train.epochs)
    if not log:
        standardise = StandardiseConfig().build(make_spec(), CONTEXT)
        standardise.fit(epochs)
        epochs = standardise(epochs)
    with pytest.raises(PhospheneError, match="below zero is no power"):
        PowerLRConfig().fit(TrainingSet(epochs, train.trials, STIMULI), CONTEXT)


@pytest.mark.parametrize("c", [0.0, -1.0, float("nan")])
def test_a_penalty_that_cannot_be_is_refused(c: float) -> None:
    with pytest.raises(ValueError, match="c must be above 0; found"):
        PowerLRConfig(c=c)
