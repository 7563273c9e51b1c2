"""``clip-retrieval`` finds classes by what their images look like, also those that it never saw."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

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
from phosphene.manifest import Image
from phosphene.registry import load_registry
from phosphene_plugins._distillation.settings import ImageFeatures
from phosphene_plugins._retrieval.zero_shot import ZeroShot, choose
from phosphene_plugins.clip_retrieval import ClipRetrievalConfig

torch = pytest.importorskip("torch")

from phosphene_plugins._retrieval.network import contrastive_loss  # noqa: E402 (needs torch)

Array = NDArray[np.float64]

WNIDS = tuple(f"n{number:08}" for number in range(12))
N_IMAGES, N_CHANNELS, N_TIMES, N_DIMENSIONS = 6, 8, 50, 6
SPEC = SignalSpec(tuple(f"E{n}" for n in range(N_CHANNELS)), ("eeg",) * N_CHANNELS, 100.0, {})
STIMULI = StimulusSet(
    Path("nowhere"),
    {wnid: wnid for wnid in WNIDS},
    tuple(
        Image(f"{wnid}-{number}.png", wnid, "train", "", "CC0-1.0")
        for wnid in WNIDS
        for number in range(N_IMAGES)
    ),
)
IDS = [image.id for image in STIMULI.images]


def looks(seed: int = 0) -> dict[str, Array]:
    """Features by image: images of a class look alike, and all images have much in common."""
    rng = np.random.default_rng(seed)
    classes = {wnid: rng.standard_normal(N_DIMENSIONS) for wnid in WNIDS}
    return {
        image.id: 5 + classes[image.wnid] + 0.3 * rng.standard_normal(N_DIMENSIONS)
        for image in STIMULI.images
    }


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> ImageFeatures:
    """What images look like, as a file."""
    path = tmp_path_factory.mktemp("features") / "looks.npz"
    np.savez(path, ids=IDS, features=np.stack([looks()[image] for image in IDS]))
    return ImageFeatures(npz=path)


def training_set(
    codes: dict[str, Array] | None = None, seed: int = 0, noise: float = 1.0
) -> TrainingSet:
    """Three runs that show every image; each evokes a linear map of its code, in microvolts."""
    codes = looks() if codes is None else codes
    mixing = np.random.default_rng(99).standard_normal((N_CHANNELS, N_TIMES, N_DIMENSIONS))
    rng = np.random.default_rng((seed, 1))
    shown = [(run, image) for run in (1, 2, 3) for image in rng.permutation(IDS[run - 1 :: 3])] * 2
    shown.sort(key=lambda pair: pair[0])
    trials = tuple(onset(number, run, image) for number, (run, image) in enumerate(shown))
    signal = np.stack([mixing @ codes[trial.image] for trial in trials])
    data = signal + noise * 3 * rng.standard_normal(signal.shape)
    return TrainingSet(Epochs((1e-6 * data).astype(np.float32), SPEC, 0.05), trials, STIMULI)


def onset(number: int, run: int, image: str, wnid: str = "") -> Onset:
    place = ("record", run, 1, 1, number, wnid or image.split("-", maxsplit=1)[0], image, "")
    return Onset(number, "stimulus", float(number), float(number), 0.5, *place)


def only(data: TrainingSet, wnids: tuple[str, ...]) -> TrainingSet:
    return data.select(np.flatnonzero(np.isin(data.wnids, wnids)))


def config(features: ImageFeatures, **changes: object) -> ClipRetrievalConfig:
    small = {"epochs": 30, "batch_size": 32, "dropout": 0.2, "zero_shot": 0}
    made = msgspec.convert(small | changes, ClipRetrievalConfig)
    return msgspec.structs.replace(made, features=features)


def context(seed: int = 0, **changes: Any) -> Context:
    return Context(STIMULI, seed=seed, **changes)


def accuracy(decoder: Decoder, data: TrainingSet) -> float:
    columns = decoder.decode(data.epochs).probabilities.argmax(axis=1)
    return float(np.mean(np.array(decoder.classes)[columns] == np.array(data.wnids)))


def save(decoder: Decoder, folder: Path) -> dict[str, Any]:
    """Save the decoder and return its card."""
    folder.mkdir()
    decoder.save(folder)
    return dict(json.loads((folder / "card.json").read_bytes()))


@pytest.fixture(scope="module")
def fitted(features: ImageFeatures) -> Any:
    """A decoder of all classes of which the last four were not trained."""
    return config(features, classes="all").fit(only(training_set(), WNIDS[:8]), context())


@pytest.fixture
def saved(fitted: Decoder, tmp_path: Path) -> Path:
    save(fitted, tmp_path / "decoder")
    return tmp_path / "decoder"


def test_it_is_offered_by_name() -> None:
    assert load_registry().find("decoder", "clip-retrieval") is ClipRetrievalConfig


def test_it_decodes_the_classes_that_it_was_trained_on(features: ImageFeatures) -> None:
    data = training_set()
    decoder = config(features).fit(only(data, WNIDS[:8]), context())
    assert decoder.classes == WNIDS[:8]
    assert accuracy(decoder, only(training_set(seed=1), WNIDS[:8])) > 0.7


def test_it_decodes_classes_that_no_training_trial_showed(fitted: Decoder) -> None:
    assert fitted.classes == WNIDS
    assert accuracy(fitted, only(training_set(seed=1), WNIDS[8:])) > 0.5


def test_the_zero_shot_figure_is_high_where_the_code_follows_the_looks(
    features: ImageFeatures,
) -> None:
    decoder = config(features, zero_shot=0.4).fit(training_set(), context())
    found = decoder.metrics
    assert found["zero_shot_classes"] == 5
    assert found["zero_shot_trials"] == 5 * N_IMAGES * 2
    assert found["zero_shot_chance"] == pytest.approx(1 / 5)
    assert found["zero_shot_accuracy"] > 0.5
    assert found["zero_shot_p"] < 0.05


def test_the_zero_shot_figure_is_at_chance_where_the_code_is_independent_of_the_looks(
    features: ImageFeatures,
) -> None:
    figures = []
    for seed in range(12):
        subject = training_set(looks(seed=100 + seed), seed)
        decoder = config(features, zero_shot=0.4, epochs=10).fit(subject, context(seed))
        assert decoder.metrics["validation_accuracy"] > 0.2  # The code is there.
        figures.append(decoder.metrics["zero_shot_accuracy"])
    # One figure for a subject: its trials are right or wrong together.
    error = np.std(figures, ddof=1) / np.sqrt(len(figures))
    assert error < 0.05
    assert abs(np.mean(figures) - 1 / 5) < 2.2 * error  # Student's t, 11 degrees of freedom.


def test_the_decoder_itself_is_the_same_with_and_without_the_figure(
    features: ImageFeatures,
) -> None:
    data = training_set()
    with_figure = config(features, zero_shot=0.2, epochs=3).fit(data, context())
    without = config(features, epochs=3).fit(data, context())
    np.testing.assert_array_equal(
        with_figure.decode(data.epochs).probabilities, without.decode(data.epochs).probabilities
    )
    assert set(with_figure.metrics) - set(without.metrics) == {
        f"zero_shot_{name}" for name in ("accuracy", "chance", "classes", "p", "trials")
    }


@pytest.mark.parametrize(
    ("n_classes", "share", "n_held"), [(3, 0.5, 0), (4, 0.1, 2), (10, 0.2, 2), (40, 0.2, 8)]
)
def test_two_classes_or_more_are_left_on_either_side(
    n_classes: int, share: float, n_held: int
) -> None:
    classes = tuple(f"n{number:08}" for number in range(n_classes))
    held = choose(classes, share, np.random.default_rng(0))
    assert len(held) == n_held
    assert held == tuple(sorted(set(held) & set(classes)))
    assert choose(classes, 0.0, np.random.default_rng(0)) == ()


def test_p_counts_assignments_of_classes_not_trials() -> None:
    classes = WNIDS[:3]
    shown = [wnid for wnid in classes for _ in range(100)]
    figure = ZeroShot.of(classes, shown, shown, np.random.default_rng(0))
    assert (figure.accuracy, figure.n_trials) == (1, 300)
    assert figure.p == pytest.approx(1 / 6, abs=0.02)
    always = ZeroShot.of(classes, shown, classes[:1] * 300, np.random.default_rng(0))
    assert always.p == 1


def test_trials_of_one_image_and_images_of_one_class_are_no_negatives() -> None:
    images = torch.eye(4)
    classes = torch.tensor([0, 0, 1, 2])

    def loss(shown: list[int], seen: list[int]) -> float:
        scaled = 20 * images[torch.tensor(seen)]
        return float(contrastive_loss(scaled, images, classes, torch.tensor(shown)))

    assert loss([0, 0, 2, 3], [0, 0, 2, 3]) == pytest.approx(np.log(2) / 6, abs=1e-3)
    # The other image of the class is seen, but it is neither right nor wrong.
    assert loss([1, 2, 0], [0, 2, 1]) < loss([1, 2, 0], [2, 1, 0])
    assert loss([2, 3], [3, 2]) > 10


def test_the_logit_scale_is_learnt(fitted: Decoder, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    save(fitted, tmp_path / "saved")
    scale = load_file(tmp_path / "saved" / "weights.safetensors")["log_scale"]
    assert abs(scale - np.log(1 / 0.07)) > 0.01


def test_probabilities_are_calibrated(features: ImageFeatures) -> None:
    decoder = config(features, epochs=30, patience=30).fit(training_set(noise=4), context())
    new = training_set(seed=1, noise=4)
    probabilities = decoder.decode(new.epochs).probabilities
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert probabilities.dtype == np.float64
    assert probabilities.max(axis=1).mean() == pytest.approx(accuracy(decoder, new), abs=0.15)


def test_the_embedding_lies_where_the_image_is(fitted: Decoder, features: ImageFeatures) -> None:
    new = training_set(seed=1)
    decoding = fitted.decode(new.epochs)
    assert decoding.embedding is not None
    assert decoding.embedding.shape == (len(new.trials), N_DIMENSIONS)
    assert decoding.space == fitted.card.features  # type: ignore[attr-defined]
    assert decoding.space.startswith("looks.npz (sha256 ")
    gallery = np.stack([looks()[image] for image in IDS])
    lengths = np.linalg.norm(decoding.embedding, axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(gallery, axis=1).mean())
    shown = np.stack([looks()[trial.image] for trial in new.trials])
    assert cosines(decoding.embedding, shown) > cosines(
        np.tile(gallery.mean(0), (72 * 2, 1)), shown
    )


def cosines(one: Array, other: Array) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).mean())


def test_a_saved_decoder_needs_no_images_and_decodes_as_before(
    fitted: Decoder, saved: Path, features: ImageFeatures
) -> None:
    epochs = training_set(seed=1).epochs
    elsewhere = ImageFeatures(npz=Path("gone.npz"))
    loaded = config(elsewhere).load(saved, Context(StimulusSet(Path(), {}, ()), seed=9))
    assert loaded.classes == fitted.classes
    assert loaded.metrics == fitted.metrics
    found, expected = loaded.decode(epochs), fitted.decode(epochs)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.embedding, expected.embedding)
    assert found.space == expected.space


def test_the_card_tells_what_it_is(fitted: Decoder, tmp_path: Path) -> None:
    card = save(fitted, tmp_path / "saved")
    assert card["decoder"] == "clip-retrieval"
    assert card["features"].startswith("looks.npz")
    assert tuple(card["classes"]) == WNIDS
    assert tuple(card["trained"]) == WNIDS[:8]
    assert card["settings"]["classes"] == "all"
    assert card["zero_shot"] is None
    assert {"torch", "numpy", "phosphene"} < card["versions"].keys()


def test_trials_one_by_one_decode_as_a_batch(fitted: Decoder) -> None:
    epochs = training_set(seed=1).epochs
    batch = fitted.decode(epochs)
    for number in range(3):
        single = fitted.decode(epochs[number : number + 1])
        np.testing.assert_allclose(single.probabilities[0], batch.probabilities[number], atol=1e-6)
        np.testing.assert_allclose(single.embedding[0], batch.embedding[number], atol=1e-5)


def test_no_epochs_give_nothing(fitted: Decoder) -> None:
    decoding = fitted.decode(training_set().epochs[:0])
    assert decoding.probabilities.shape == (0, len(WNIDS))
    assert decoding.embedding is not None
    assert decoding.embedding.shape == (0, N_DIMENSIONS)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    features: ImageFeatures, tmp_path: Path
) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        decoder = config(features, epochs=2, zero_shot=0.2).fit(training_set(), context(seed))
        save(decoder, tmp_path / name)
    one, two, three = (
        [(tmp_path / name / file).read_bytes() for file in ("weights.safetensors", "card.json")]
        for name in ("one", "two", "three")
    )
    assert one == two
    assert one[0] != three[0]


def test_two_trials_of_each_class_are_enough(features: ImageFeatures) -> None:
    data = training_set()
    few = np.concatenate([np.flatnonzero(np.array(data.wnids) == wnid)[:2] for wnid in WNIDS[:4]])
    decoder = config(features, zero_shot=0.5).fit(data.select(np.sort(few)), context())
    probabilities = decoder.decode(data.epochs).probabilities
    assert np.isfinite(probabilities).all()
    assert 0 <= decoder.metrics["zero_shot_accuracy"] <= 1  # type: ignore[attr-defined]


def test_a_class_alone_cannot_be_learnt(features: ImageFeatures) -> None:
    with pytest.raises(PhospheneError, match="at least 2 classes; found 1"):
        config(features).fit(only(training_set(), WNIDS[:1]), context())


def test_a_dead_channel_tells_nothing(features: ImageFeatures) -> None:
    data = training_set()
    data.epochs.data[:, 3] = 5e-5
    decoder = config(features).fit(data, context())
    expected = decoder.decode(data.epochs).probabilities
    assert accuracy(decoder, data) > 0.5
    data.epochs.data[:, 3] = np.random.default_rng(0).standard_normal((len(data.trials), N_TIMES))
    np.testing.assert_allclose(decoder.decode(data.epochs).probabilities, expected, atol=1e-6)


def test_an_average_reference_does_no_harm(features: ImageFeatures) -> None:
    data, new = training_set(), training_set(seed=1)
    for each in (data, new):
        each.epochs.data[:] -= each.epochs.data.mean(axis=1, keepdims=True)
    assert accuracy(config(features).fit(data, context()), new) > 0.6


def _spectrogram(epochs: Epochs) -> Epochs:
    return Epochs(epochs.data[:, :, np.newaxis], epochs.spec, epochs.tmin, (10.0,))


def _spoilt(epochs: Epochs) -> Epochs:
    data = epochs.data.copy()
    data[2, 0, 5] = np.nan
    return replace(epochs, data=data)


def _fewer_channels(epochs: Epochs) -> Epochs:
    spec = SignalSpec(SPEC.channels[:-1], SPEC.types[:-1], 100.0, {})
    return Epochs(epochs.data[:, :-1], spec, epochs.tmin)


def _faster(epochs: Epochs) -> Epochs:
    return replace(epochs, spec=SignalSpec(SPEC.channels, SPEC.types, 250.0, {}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_spectrogram, "found spectrograms"),
        (_spoilt, "epoch 3 of 144 holds samples that are not finite"),
        (_fewer_channels, "trained on 8 channels x 50 samples; found 7 channels x 50 samples"),
        (lambda e: replace(e, data=e.data[..., :40]), "found 8 channels x 40 samples"),
        (_faster, "100 Hz; found 250 Hz"),
    ],
)
def test_epochs_of_another_kind_are_refused(
    fitted: Decoder, change: Callable[[Epochs], Epochs], message: str
) -> None:
    with pytest.raises(PhospheneError, match=message):
        fitted.decode(change(training_set().epochs))


@pytest.mark.parametrize("change", [_spectrogram, _spoilt])
def test_training_on_them_is_refused_as_well(
    features: ImageFeatures, change: Callable[[Epochs], Epochs]
) -> None:
    data = training_set()
    with pytest.raises(PhospheneError, match=r"spectrograms|not finite"):
        config(features).fit(replace(data, epochs=change(data.epochs)), context())


@pytest.mark.parametrize(
    "changes",
    [{"zero_shot": 0.6}, {"classes": "some"}, {"components": 0}, {"features": "clip"}],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(changes, ClipRetrievalConfig)


def test_damaged_and_foreign_files_are_refused(
    features: ImageFeatures, saved: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(saved, foreign)
    card = json.loads((foreign / "card.json").read_bytes())
    (foreign / "card.json").write_text(json.dumps(card | {"decoder": "kd-stft"}))
    with pytest.raises(PhospheneError, match="found decoder 'kd-stft'"):
        config(features).load(foreign, context())
    (foreign / "card.json").write_text(json.dumps(card | {"n_dimensions": 7}))
    with pytest.raises(PhospheneError, match="does not fit"):
        config(features).load(foreign, context())
    (saved / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(PhospheneError, match="cannot be read"):
        config(features).load(saved, context())


@pytest.mark.parametrize("part", ["epoch 3", "zero-shot: epoch 1"])
def test_ctrl_c_keeps_the_decoder_and_leaves_the_figure_out(
    features: ImageFeatures, part: str
) -> None:
    def progress(_done: float, text: str) -> None:
        if text.startswith(part):
            os.kill(os.getpid(), signal.SIGINT)

    settings = config(features, zero_shot=0.4)
    decoder = settings.fit(training_set(), context(progress=progress))
    assert accuracy(decoder, training_set(seed=1)) > 1.5 / len(WNIDS)
    assert "zero_shot_accuracy" not in decoder.metrics  # type: ignore[attr-defined]


def test_the_built_in_descriptor_is_named_in_every_decoding(tmp_path: Path) -> None:
    standin = load_registry().find("stimuli", "standin")
    made = msgspec.convert({"classes": 4, "images": 3, "gallery": 1, "size": 32}, standin)
    stimuli = made.build(tmp_path)  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    trials = tuple(
        onset(number, 1, image.id, image.wnid)
        for number, image in enumerate(stimuli.images)
        if image.role == "train"
    )
    data = rng.standard_normal((len(trials), N_CHANNELS, N_TIMES), dtype=np.float32)
    shown = TrainingSet(Epochs(data, SPEC, 0.0), trials, stimuli)
    decoder = ClipRetrievalConfig(epochs=2, zero_shot=0.5).fit(shown, Context(stimuli))
    decoding = decoder.decode(shown.epochs)
    assert decoding.space == "built-in descriptor (240 numbers, no neural network)"
    assert decoding.embedding is not None
    np.testing.assert_allclose(np.linalg.norm(decoding.embedding, axis=1), 1)
