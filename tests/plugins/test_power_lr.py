"""``power-lr`` learns a power code, says how sure it is, and comes back from disk the same."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
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
from phosphene_plugins.power_lr import LogPower, PowerLRConfig, decoder
from phosphene_plugins.spectrogram import SpectrogramConfig
from phosphene_plugins.standardise import StandardiseConfig

STIMULI = StimulusSet(Path(), {}, ())
CONTEXT = Context(STIMULI)
SFREQ, N_CHANNELS, N_TIMES = 1000.0, 6, 480
WNIDS = ("n00000003", "n00000001", "n00000002")


def make_spec(n_channels: int = N_CHANNELS) -> SignalSpec:
    names = tuple(f"E{i}" for i in range(n_channels))
    return SignalSpec(names, ("eeg",) * n_channels, SFREQ)


def make_onset(trial: int, wnid: str, run: int) -> Onset:
    place = ("record", run, run, 1, trial + 1, wnid, f"{wnid}-{trial}.png", "ab")
    return Onset(trial, "stimulus", 0.0, 0.0, 0.5, *place)


def make_set(
    seed: int, n: int = 60, wnids: tuple[str, ...] = WNIDS, gain: float = 2.0
) -> TrainingSet:
    """Return four runs; each class raises the amplitude of a channel of its own."""
    rng = np.random.default_rng(seed)
    labels = [wnids[i % len(wnids)] for i in range(n)]
    data = 1e-5 * rng.standard_normal((n, N_CHANNELS, N_TIMES), np.float32)
    for epoch, label in zip(data, labels, strict=True):
        epoch[wnids.index(label)] *= gain
    trials = tuple(make_onset(i, label, 1 + 4 * i // n) for i, label in enumerate(labels))
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
def test_the_probabilities_are_scikit_learns_at_the_temperature(wnids: tuple[str, ...]) -> None:
    train, test = make_set(0, wnids=wnids), make_set(1, wnids=wnids)
    log_power = LogPower()
    features = log_power(train.epochs.data)
    mean, std = features.mean(axis=0), features.std(axis=0)
    model = LogisticRegression(C=0.1, max_iter=1000).fit((features - mean) / std, train.wnids)
    log_odds = model.predict_log_proba((log_power(test.epochs.data) - mean) / std)
    found = PowerLRConfig().fit(train, CONTEXT)
    expected = np.exp(log_odds / found.metrics["temperature"])
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.decode(test.epochs).probabilities, expected, rtol=1e-9)


def test_one_epoch_alone_gives_the_same_as_among_others(fitted: Decoder) -> None:
    epochs = make_set(1).epochs
    together = fitted.decode(epochs).probabilities
    alone = [fitted.decode(epochs[i : i + 1]).probabilities[0] for i in range(len(epochs))]
    np.testing.assert_allclose(alone, together, rtol=1e-9)


@pytest.mark.parametrize("c", [10.0, 0.1, 1e-3])
def test_it_is_as_sure_as_it_is_right_whatever_the_penalty(c: float) -> None:
    train, test = make_set(0, 600, gain=1.03), make_set(1, 600, gain=1.03)
    found = PowerLRConfig(c=c).fit(train, CONTEXT)
    sure = found.decode(test.epochs).probabilities.max(axis=1).mean()
    assert 0.5 < accuracy(found, test) < 0.8
    assert sure == pytest.approx(accuracy(found, test), abs=0.1)


@pytest.mark.parametrize("value", [0.0, 0.0314])
def test_a_channel_that_was_dead_in_training_does_no_harm_when_it_is_alive(value: float) -> None:
    train = make_set(0)
    train.epochs.data[:, 5] = value
    assert accuracy(PowerLRConfig().fit(train, CONTEXT), make_set(1)) == 1.0


# Features


def test_log_power_is_the_log_of_the_mean_square() -> None:
    data, log_power = make_set(0, 4).epochs.data, LogPower()
    expected = np.log(np.square(data, dtype=np.float64).mean(axis=2))
    np.testing.assert_allclose(log_power(data), expected)
    spectrogram = np.square(data).reshape(4, N_CHANNELS, 6, 80)
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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "weights.npz"]
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["decoder"] == "power-lr"
    assert card["classes"] == list(fitted.classes)
    assert card["shape"] == [N_CHANNELS, N_TIMES]
    assert card["settings"] == {"c": 0.1}
    assert card["versions"].keys() == {"python", "phosphene", "numpy", "scikit-learn"}
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
    with pytest.raises(PhospheneError, match=r"cannot be read: .*allow_pickle=False"):
        PowerLRConfig().load(tmp_path, CONTEXT)


def test_weights_for_other_classes_are_refused(fitted: Decoder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    edit_card(tmp_path, classes=WNIDS[:2])
    with pytest.raises(PhospheneError, match=r"shape \(3, 6\) for 2 classes and 6 features"):
        PowerLRConfig().load(tmp_path, CONTEXT)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("mean", np.zeros((1, 6)), r"mean of shape \(1, 6\)"),
        ("scale", np.ones(1), r"scale of shape \(1,\) for 3 classes and 6 features"),
        ("scale", np.zeros(6), "scale must be above 0"),
        ("intercept", np.zeros(1), r"intercept of shape \(1,\)"),
        ("intercept", np.full(3, np.nan), "must be finite"),
        ("coefficients", np.full((3, 6), np.inf), "must be finite"),
        ("coefficients", np.ones((3, 6), np.float32), "must be float64; found float32"),
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


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("decoder", "lda", "found decoder 'lda', allowed: power-lr"),
        ("temperature", 0, "temperature must be above 0; found 0"),
        ("shape", [6], "shape must be that of an epoch"),
        ("shape", [5, 480], "does not fit"),
        ("format", 2, "format"),
        ("more", 1, "unknown field `more`"),
    ],
)
def test_a_card_that_cannot_be_is_refused(
    fitted: Decoder, tmp_path: Path, name: str, value: object, message: str
) -> None:
    fitted.save(tmp_path)
    edit_card(tmp_path, **{name: value})
    with pytest.raises(PhospheneError, match=message):
        PowerLRConfig().load(tmp_path, CONTEXT)


@pytest.mark.parametrize("name", ["card.json", "weights.npz"])
def test_a_file_that_is_missing_is_named(fitted: Decoder, tmp_path: Path, name: str) -> None:
    fitted.save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(PhospheneError, match=f"{name} cannot be read"):
        PowerLRConfig().load(tmp_path, CONTEXT)


def edit_card(folder: Path, **changes: object) -> None:
    card = json.loads((folder / "card.json").read_text()) | changes
    (folder / "card.json").write_text(json.dumps(card))


# Calibration


def test_it_tells_how_it_did_on_the_last_run_which_its_first_fit_did_not_see() -> None:
    train = make_set(0)
    last = np.array([trial.run == 4 for trial in train.trials])
    train.epochs.data[last] = train.epochs.data[last][:, ::-1]
    metrics = PowerLRConfig().fit(train, CONTEXT).metrics
    assert metrics["n_validation"] == last.sum()
    assert metrics["validation_accuracy"] < 0.6
    assert metrics["temperature"] > 2


def test_what_was_measured_comes_back_from_disk(fitted: Decoder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    names = {"validation_accuracy", "validation_loss", "n_validation", "temperature"}
    assert fitted.metrics.keys() == names
    assert PowerLRConfig().load(tmp_path, CONTEXT).metrics == fitted.metrics


def test_without_anything_to_hold_out_the_temperature_is_1() -> None:
    train = make_set(0)
    same = tuple(structs.replace(t, run=1, image=t.wnid) for t in train.trials)
    found = PowerLRConfig().fit(TrainingSet(train.epochs, same, STIMULI), CONTEXT)
    assert found.metrics == {"n_validation": 0.0, "temperature": 1.0}
    assert accuracy(found, make_set(1)) == 1.0


def test_two_trials_of_each_class_are_enough() -> None:
    found = PowerLRConfig().fit(make_set(0, 6), CONTEXT)
    assert accuracy(found, make_set(1)) > 0.8


def test_progress_ends_at_1_and_tells_the_validation_accuracy() -> None:
    told: list[tuple[float, str]] = []
    context = Context(STIMULI, progress=lambda done, words: told.append((done, words)))
    PowerLRConfig().fit(make_set(0), context)
    assert [done for done, _ in told] == [0.0, 0.5, 1.0]
    assert told[-1][1] == "validation accuracy 100.0%"


# What cannot be decoded


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(PhospheneError, match="at least 2 classes; found 1"):
        PowerLRConfig().fit(make_set(0, wnids=WNIDS[:1]), CONTEXT)


def test_no_epochs_give_no_probabilities(fitted: Decoder) -> None:
    assert fitted.decode(make_set(0).epochs[:0]).probabilities.shape == (0, 3)


def test_epochs_of_another_kind_are_refused(fitted: Decoder) -> None:
    epochs = Epochs(np.ones((1, 6, 3, 25), np.float32), make_spec(), 0.0, (0.0, 25.0, 50.0))
    with pytest.raises(PhospheneError, match="found 6 channels x 3 frequencies x 25 frames"):
        fitted.decode(epochs)


def test_another_number_of_channels_is_refused(fitted: Decoder) -> None:
    epochs = Epochs(np.ones((1, 5, N_TIMES), np.float32), make_spec(5), 0.02)
    with pytest.raises(PhospheneError, match="trained on 6 channels x 480 samples; found 5 ch"):
        fitted.decode(epochs)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(fitted: Decoder, value: float) -> None:
    data = make_set(0)
    data.epochs.data[1, 2, 3] = value
    with pytest.raises(PhospheneError, match="epoch 2 of 60 holds samples that are not finite"):
        fitted.decode(data.epochs)
    with pytest.raises(PhospheneError, match="not finite"):
        PowerLRConfig().fit(data, CONTEXT)


@pytest.mark.parametrize("log", [True, False])
def test_a_spectrogram_that_is_logarithmic_or_standardised_will_do(
    tmp_path: Path, log: bool
) -> None:
    train, test = make_set(0), make_set(1)
    spectrogram = SpectrogramConfig(log=log).build(make_spec(), CONTEXT)
    standardise = StandardiseConfig().build(make_spec(), CONTEXT)
    seen, unseen = spectrogram(train.epochs), spectrogram(test.epochs)
    standardise.fit(seen)
    seen, unseen = standardise(seen), standardise(unseen)
    found = PowerLRConfig().fit(TrainingSet(seen, train.trials, STIMULI), CONTEXT)
    assert accuracy(found, TrainingSet(unseen, test.trials, STIMULI)) == 1.0
    found.save(tmp_path)
    again = PowerLRConfig().load(tmp_path, CONTEXT)
    assert (again.decode(unseen).probabilities == found.decode(unseen).probabilities).all()


def test_whoever_learnt_power_refuses_what_is_below_zero() -> None:
    train = make_set(0)
    power = SpectrogramConfig().build(make_spec(), CONTEXT)(train.epochs)
    found = PowerLRConfig().fit(TrainingSet(power, train.trials, STIMULI), CONTEXT)
    log = SpectrogramConfig(log=True).build(make_spec(), CONTEXT)(train.epochs)
    with pytest.raises(PhospheneError, match="found a spectrogram below zero"):
        found.decode(log)


@pytest.mark.parametrize("c", [0.0, -1.0, float("nan")])
def test_a_penalty_that_cannot_be_is_refused(c: float) -> None:
    with pytest.raises(ValueError, match="c must be above 0; found"):
        PowerLRConfig(c=c)
