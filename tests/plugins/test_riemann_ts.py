"""``riemann-ts`` computes what pyriemann computes, and decodes from disk without it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from phosphene_plugins.riemann_ts import (
    RiemannTSConfig,
    TangentVectors,
    covariances,
    decoder,
    principal_components,
)

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
    seed: int, n: int = 60, size: float = 0.7, wnids: tuple[str, ...] = WNIDS
) -> TrainingSet:
    """Return four runs; a class is a pair of channels that go together, at the same power."""
    rng = np.random.default_rng(seed)
    labels = [wnids[i % len(wnids)] for i in range(n)]
    data = rng.standard_normal((n, N_CHANNELS, N_TIMES))
    for epoch, label in zip(data, labels, strict=True):
        first = 2 * wnids.index(label)
        epoch[first + 1] = size * epoch[first] + np.sqrt(1 - size**2) * epoch[first + 1]
    trials = tuple(make_onset(i, label, 1 + 4 * i // n) for i, label in enumerate(labels))
    epochs = Epochs((1e-5 * data).astype(np.float32), make_spec(), 0.05)
    return TrainingSet(epochs, trials, STIMULI)


def accuracy(found: Decoder, test: TrainingSet) -> float:
    winners = found.decode(test.epochs).probabilities.argmax(axis=1)
    return float(np.mean([found.classes[w] == t for w, t in zip(winners, test.wnids, strict=True)]))


@pytest.fixture(scope="module")
def fitted() -> Decoder:
    return RiemannTSConfig().fit(make_set(0), CONTEXT)


def test_the_plugin_offers_riemann_ts() -> None:
    assert decoder() == {"riemann-ts": RiemannTSConfig}


def test_a_code_in_how_channels_go_together_is_learnt(fitted: Decoder) -> None:
    assert accuracy(fitted, make_set(1)) > 0.95
    assert fitted.classes == tuple(sorted(WNIDS))


def test_it_is_as_sure_as_it_is_right() -> None:
    found, test = RiemannTSConfig().fit(make_set(0, 600, 0.2), CONTEXT), make_set(1, 600, 0.2)
    assert 0.5 < accuracy(found, test) < 0.95
    sure = found.decode(test.epochs).probabilities.max(axis=1).mean()
    assert sure == pytest.approx(accuracy(found, test), abs=0.08)
    assert found.metrics["n_validation"] == 150


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 1e4))
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
    np.testing.assert_allclose(alone, fitted.decode(epochs).probabilities, rtol=1e-7, atol=1e-12)
    assert fitted.decode(epochs[:0]).probabilities.shape == (0, 3)


# Features


@pytest.mark.parametrize("components", [1, 4, 6])
def test_the_features_are_pyriemanns(components: int) -> None:
    from pyriemann.estimation import Covariances
    from pyriemann.tangentspace import TangentSpace

    train, test = make_set(0).epochs.data, make_set(1).epochs.data
    features = TangentVectors.fitted(train, components)
    projected = [features.projection @ data.astype(np.float64) for data in (train, test)]
    seen, unseen = (Covariances("oas").transform(data) for data in projected)
    np.testing.assert_allclose(covariances(test, features.projection), unseen, rtol=1e-9)
    expected = TangentSpace().fit(seen).transform(unseen)
    assert expected.shape == (60, components * (components + 1) // 2)
    np.testing.assert_allclose(features(test), expected, rtol=1e-6, atol=1e-9)


def test_the_components_are_the_strongest_uncorrelated_and_of_variance_1() -> None:
    data = make_set(0).epochs.data
    data[:, 2] *= 10
    projection = principal_components(data, 3)
    assert projection.shape == (3, N_CHANNELS)
    assert np.abs(projection[-1] / np.abs(projection[-1]).max()).argmax() == 2
    total = np.mean([np.cov(projection @ epoch, bias=True) for epoch in data], axis=0)
    np.testing.assert_allclose(total, np.eye(3), atol=1e-5)


def test_fewer_channels_than_components_are_all_kept(fitted: Decoder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    with np.load(tmp_path / "weights.npz") as arrays:
        assert arrays["projection"].shape == (N_CHANNELS, N_CHANNELS)


# Signals that are not as they should be


@pytest.mark.parametrize("value", [0.0, 0.0314])
def test_a_channel_that_was_dead_in_training_does_no_harm_when_it_is_alive(value: float) -> None:
    train = make_set(0)
    train.epochs.data[:, 5] = value
    test = make_set(1)
    shown = np.array(test.wnids) != WNIDS[2]  # Of which that channel has the code.
    found = RiemannTSConfig().fit(train, CONTEXT)
    assert accuracy(found, test.select(np.flatnonzero(shown))) > 0.9


def test_a_channel_that_dies_later_is_decoded_all_the_same(fitted: Decoder) -> None:
    epochs = make_set(1).epochs
    epochs.data[:, 5] = 0
    assert np.isfinite(fitted.decode(epochs).probabilities).all()


def test_channels_that_sum_to_zero_as_with_an_average_reference_are_decoded() -> None:
    train, test = make_set(0), make_set(1)
    for data in (train, test):
        data.epochs.data[:] -= data.epochs.data.mean(axis=1, keepdims=True)
    assert principal_components(train.epochs.data, 30).shape == (N_CHANNELS - 1, N_CHANNELS)
    assert accuracy(RiemannTSConfig().fit(train, CONTEXT), test) > 0.9


@pytest.mark.parametrize("value", [0.0, 5e-5])
def test_an_epoch_that_is_flat_in_all_channels_is_named(fitted: Decoder, value: float) -> None:
    data = make_set(0)
    data.epochs.data[1] = value
    with pytest.raises(PhospheneError, match="epoch 2 of 60 is flat in all channels"):
        fitted.decode(data.epochs)
    with pytest.raises(PhospheneError, match="epoch 2 of 60 is flat in all channels"):
        RiemannTSConfig().fit(data, CONTEXT)


def test_a_dead_amplifier_is_refused() -> None:
    train = make_set(0)
    train.epochs.data[:] = 0
    with pytest.raises(PhospheneError, match="flat"):
        RiemannTSConfig().fit(train, CONTEXT)


def test_two_trials_of_each_class_are_enough_to_decode() -> None:
    found = RiemannTSConfig().fit(make_set(0, 6, size=0.9), CONTEXT)
    assert accuracy(found, make_set(1, size=0.9)) > 0.6


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(PhospheneError, match="riemann-ts needs at least 2 classes; found 1"):
        RiemannTSConfig().fit(make_set(0, wnids=WNIDS[:1]), CONTEXT)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(fitted: Decoder, value: float) -> None:
    data = make_set(0)
    data.epochs.data[1, 2, 3] = value
    with pytest.raises(PhospheneError, match="riemann-ts: epoch 2 of 60 holds samples that are"):
        fitted.decode(data.epochs)
    with pytest.raises(PhospheneError, match="epoch 2 of 60"):
        RiemannTSConfig().fit(data, CONTEXT)


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
    message = f"riemann-ts was trained on 6 channels x 125 samples; found {found}"
    with pytest.raises(PhospheneError, match=message):
        fitted.decode(epochs)


def test_spectrograms_are_refused_with_what_to_do_instead() -> None:
    train = make_set(0)
    epochs = Epochs(train.epochs.data.reshape(60, 6, 5, 25), make_spec(), 0.05, (0, 1, 2, 3, 4))
    with pytest.raises(PhospheneError, match=r"leave out the step 'spectrogram'$"):
        RiemannTSConfig().fit(TrainingSet(epochs, train.trials, STIMULI), CONTEXT)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("components", 0, "components must be at least 1; found 0"),
        ("c", 0.0, "c must be above 0; found 0"),
        ("c", float("nan"), "c must be above 0; found nan"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RiemannTSConfig(**{setting: value})  # type: ignore[arg-type]


# On disk


def test_what_was_saved_decodes_the_same_to_the_bit(fitted: Decoder, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded = RiemannTSConfig().load(tmp_path, CONTEXT)
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
        RiemannTSConfig().fit(make_set(0), CONTEXT).save(tmp_path / name)
        contents.append([file.read_bytes() for file in sorted((tmp_path / name).iterdir())])
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("projection", None, "expected projection and reference, found reference"),
        ("projection", np.ones((5, 6)), r"reference of shape \(6, 6\) for 5 components"),
        ("projection", np.ones((6, 5)), "weights.npz does not fit card.json"),
        ("projection", np.full((6, 6), np.nan), "projection must be finite"),
        ("reference", np.ones(6), r"reference of shape \(6,\)"),
        ("reference", -np.eye(6), "reference must be positive definite"),
        ("mean", np.ones(20), "for 3 classes and 20 features"),
    ],
)
def test_weights_that_do_not_fit_each_other_are_refused(
    fitted: Decoder, tmp_path: Path, name: str, array: np.ndarray | None, message: str
) -> None:
    fitted.save(tmp_path)
    with np.load(tmp_path / "weights.npz") as arrays:
        weights = {**arrays, name: array}
    np.savez(tmp_path / "weights.npz", **{k: v for k, v in weights.items() if v is not None})
    with pytest.raises(PhospheneError, match=message):
        RiemannTSConfig().load(tmp_path, CONTEXT)


def test_a_process_that_decodes_imports_neither_pyriemann_nor_scikit_learn(
    fitted: Decoder, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    code = f"""
import sys
from pathlib import Path
import numpy as np
from phosphene import Context, Epochs, SignalSpec, StimulusSet
from phosphene_plugins.riemann_ts import RiemannTSConfig
decoder = RiemannTSConfig().load(Path({str(tmp_path)!r}), Context(StimulusSet(Path(), {{}}, ())))
spec = SignalSpec(tuple("abcdef"), ("eeg",) * 6, 250.0)
decoder.decode(Epochs(np.random.default_rng(0).random((1, 6, 125), np.float32), spec, 0.05))
print(sorted({{"pyriemann", "sklearn", "scipy", "torch"}} & sys.modules.keys()))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
