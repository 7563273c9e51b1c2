"""``lda`` reads a class from the waveform, whatever the channels do, and survives the disk."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf

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
from phosphene_plugins.lda import LDAConfig, WindowMeans, decoder, discriminants

STIMULI = StimulusSet(Path(), {}, ())
CONTEXT = Context(STIMULI)
N_CHANNELS, N_TIMES = 6, 125
WNIDS = ("n00000003", "n00000001", "n00000002")


def make_spec(n_channels: int = N_CHANNELS) -> SignalSpec:
    names = tuple(f"E{i}" for i in range(n_channels))
    return SignalSpec(names, ("eeg",) * n_channels, 250.0)


def make_onset(trial: int, wnid: str, run: int) -> Onset:
    place = ("record", run, run, 1, trial + 1, wnid, f"{wnid}-{trial}.png", "ab")
    return Onset(trial, "stimulus", 0.0, 0.0, 0.5, *place)


def make_set(
    seed: int, n: int = 60, size: float = 1.0, wnids: tuple[str, ...] = WNIDS
) -> TrainingSet:
    """Return four runs of noise that all channels share, and a bump of 100 ms for each class."""
    rng = np.random.default_rng(seed)
    labels = [wnids[i % len(wnids)] for i in range(n)]
    data = rng.standard_normal((n, N_CHANNELS, N_TIMES)) + 2 * rng.standard_normal((n, 1, N_TIMES))
    for epoch, label in zip(data, labels, strict=True):
        place = wnids.index(label)
        epoch[place, 25 * place : 25 * (place + 1)] += size
    trials = tuple(make_onset(i, label, 1 + 4 * i // n) for i, label in enumerate(labels))
    epochs = Epochs((1e-5 * data).astype(np.float32), make_spec(), 0.05)
    return TrainingSet(epochs, trials, STIMULI)


def accuracy(found: Decoder, test: TrainingSet) -> float:
    winners = found.decode(test.epochs).probabilities.argmax(axis=1)
    return float(np.mean([found.classes[w] == t for w, t in zip(winners, test.wnids, strict=True)]))


@pytest.fixture(scope="module")
def fitted() -> Decoder:
    return LDAConfig().fit(make_set(0), CONTEXT)


def test_the_plugin_offers_lda() -> None:
    assert decoder() == {"lda": LDAConfig}


def test_a_code_in_the_waveform_is_learnt(fitted: Decoder) -> None:
    assert accuracy(fitted, make_set(1)) > 0.95
    assert fitted.classes == tuple(sorted(WNIDS))


def test_a_code_in_power_alone_is_invisible_to_it() -> None:
    train, test = make_set(0, 120), make_set(1, 120)
    for data in (train, test):
        signs = np.random.default_rng(2).choice([-1, 1], len(data.trials))
        data.epochs.data[:] *= signs[:, np.newaxis, np.newaxis]
    assert accuracy(LDAConfig().fit(train, CONTEXT), test) < 0.5


def test_it_is_as_sure_as_it_is_right() -> None:
    found, test = LDAConfig().fit(make_set(0, 900, 0.3), CONTEXT), make_set(1, 900, 0.3)
    assert 0.5 < accuracy(found, test) < 0.9
    sure = found.decode(test.epochs).probabilities.max(axis=1).mean()
    assert sure == pytest.approx(accuracy(found, test), abs=0.06)
    assert found.metrics["validation_accuracy"] == pytest.approx(accuracy(found, test), abs=0.1)
    assert found.metrics["n_validation"] == 225


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-9, 1e9))
def test_probabilities_are_not_negative_and_sum_to_1(
    fitted: Decoder, seed: int, gain: float
) -> None:
    epochs = make_set(seed, 5).epochs
    found = fitted.decode(Epochs(np.float32(gain) * epochs.data, epochs.spec, epochs.tmin))
    assert found.probabilities.shape == (5, 3)
    assert (found.probabilities >= 0).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)


def test_one_epoch_alone_gives_the_same_as_among_others(fitted: Decoder) -> None:
    epochs = make_set(1).epochs
    alone = [fitted.decode(epochs[i : i + 1]).probabilities[0] for i in range(len(epochs))]
    np.testing.assert_allclose(alone, fitted.decode(epochs).probabilities, rtol=1e-9)
    assert fitted.decode(epochs[:0]).probabilities.shape == (0, 3)


# Features and discriminants


@pytest.mark.parametrize("windows", [1, 7, 125])
def test_features_are_means_of_all_samples_in_equal_parts(windows: int) -> None:
    data = make_set(0, 4).epochs.data
    found = WindowMeans(windows)(data).reshape(4, N_CHANNELS, windows)
    edges = [N_TIMES * i // windows for i in range(windows + 1)]
    for window, (start, end) in enumerate(pairwise(edges)):
        expected = data[..., start:end].mean(axis=2, dtype=np.float64)
        np.testing.assert_allclose(found[..., window], expected)


def test_the_discriminants_are_those_of_gaussian_classes_with_one_covariance() -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2], [10, 20, 30]))
    features = rng.standard_normal((60, 5)) @ rng.standard_normal((5, 5))
    features[:, 0] += labels
    means = np.stack([features[labels == label].mean(axis=0) for label in range(3)])
    covariance = LedoitWolf(assume_centered=True).fit(features - means[labels]).covariance_
    densities = [multivariate_normal(mean, covariance).logpdf(features) for mean in means]
    joint = np.stack(densities, axis=1) + np.log([1 / 6, 2 / 6, 3 / 6])

    coefficients, intercept = discriminants(features, labels)
    found = features @ coefficients.T + intercept
    np.testing.assert_allclose(log_softmax(found, axis=1), log_softmax(joint, axis=1), rtol=1e-9)


def test_more_features_than_components_are_reduced_to_the_strongest() -> None:
    train, test = make_set(0), make_set(1)
    few = LDAConfig(components=59).fit(train, CONTEXT)
    assert accuracy(few, test) > 0.9
    all_of_them = LDAConfig(components=60).fit(train, CONTEXT)
    differences = (
        few.decode(test.epochs).probabilities - all_of_them.decode(test.epochs).probabilities
    )
    assert 0 < np.abs(differences).max() < 0.2


# Signals that are not as they should be


@pytest.mark.parametrize("value", [0.0, 0.0314])
def test_a_channel_that_was_dead_in_training_does_no_harm_when_it_is_alive(value: float) -> None:
    train = make_set(0)
    train.epochs.data[:, 5] = value
    assert accuracy(LDAConfig().fit(train, CONTEXT), make_set(1)) > 0.9


def test_channels_that_sum_to_zero_as_with_an_average_reference_are_decoded() -> None:
    train, test = make_set(0), make_set(1)
    for data in (train, test):
        data.epochs.data[:] -= data.epochs.data.mean(axis=1, keepdims=True)
    assert accuracy(LDAConfig().fit(train, CONTEXT), test) > 0.9


def test_two_trials_of_each_class_are_enough_to_decode() -> None:
    found = LDAConfig(windows=5).fit(make_set(0, 6, size=10.0), CONTEXT)
    assert accuracy(found, make_set(1, size=10.0)) > 0.5


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(PhospheneError, match="lda needs at least 2 classes; found 1"):
        LDAConfig().fit(make_set(0, wnids=WNIDS[:1]), CONTEXT)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(fitted: Decoder, value: float) -> None:
    data = make_set(0)
    data.epochs.data[1, 2, 3] = value
    with pytest.raises(PhospheneError, match="lda: epoch 2 of 60 holds samples that are not fin"):
        fitted.decode(data.epochs)
    with pytest.raises(PhospheneError, match="epoch 2 of 60"):
        LDAConfig().fit(data, CONTEXT)


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((5, N_TIMES), "5 channels x 125 samples"),
        ((N_CHANNELS, 120), "6 channels x 120 samples"),
        ((N_CHANNELS, 6, 25), "6 channels x 6 frequencies x 25 frames"),
    ],
)
def test_epochs_of_another_shape_are_refused(
    fitted: Decoder, shape: tuple[int, ...], found: str
) -> None:
    epochs = Epochs(np.ones((1, *shape), np.float32), make_spec(shape[0]), 0.05)
    message = f"lda was trained on 6 channels x 125 samples; found {found}"
    with pytest.raises(PhospheneError, match=message):
        fitted.decode(epochs)


def test_spectrograms_are_refused_with_what_to_choose_instead() -> None:
    train = make_set(0)
    epochs = Epochs(train.epochs.data.reshape(60, 6, 5, 25), make_spec(), 0.05, (0, 1, 2, 3, 4))
    with pytest.raises(PhospheneError, match="leave out the step 'spectrogram', or choose prepro"):
        LDAConfig().fit(TrainingSet(epochs, train.trials, STIMULI), CONTEXT)


def test_more_windows_than_samples_are_refused() -> None:
    with pytest.raises(PhospheneError, match="at most the 125 samples of an epoch; found 126"):
        LDAConfig(windows=126).fit(make_set(0), CONTEXT)


@pytest.mark.parametrize("setting", ["windows", "components"])
def test_settings_that_cannot_be_are_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting} must be at least 1; found 0"):
        LDAConfig(**{setting: 0})


# On disk


def test_what_was_saved_decodes_the_same_to_the_bit_whatever_the_settings_are_now(
    tmp_path: Path,
) -> None:
    fitted = LDAConfig(windows=7).fit(make_set(0), CONTEXT)
    fitted.save(tmp_path)
    loaded = LDAConfig().load(tmp_path, CONTEXT)
    epochs = make_set(1).epochs
    assert loaded.classes == fitted.classes
    assert loaded.metrics == fitted.metrics
    np.testing.assert_array_equal(
        loaded.decode(epochs).probabilities, fitted.decode(epochs).probabilities
    )


def test_the_same_training_writes_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        LDAConfig().fit(make_set(0), CONTEXT).save(tmp_path / name)
        contents.append([file.read_bytes() for file in sorted((tmp_path / name).iterdir())])
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"windows": 7}, "weights.npz does not fit card.json"),
        ({"windows": "7"}, "Expected `int`"),
        ({"windows": 0}, "windows must be at least 1"),
    ],
)
def test_a_card_that_does_not_fit_the_weights_is_refused(
    fitted: Decoder, tmp_path: Path, found: dict[str, object], message: str
) -> None:
    fitted.save(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(card | {"settings": found}))
    with pytest.raises(PhospheneError, match=message):
        LDAConfig().load(tmp_path, CONTEXT)


def test_importing_it_imports_no_heavy_library() -> None:
    code = "import sys, phosphene_plugins.lda; print({'sklearn', 'scipy'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
