"""The teacher of kd-stft: image features, cross-fitted soft labels, and their controls."""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phosphene import Context, PhospheneError, StimulusSet
from phosphene.manifest import Image
from phosphene_plugins._calibration import fit_temperature, softmax
from phosphene_plugins._distillation.features import DESCRIPTOR, image_features
from phosphene_plugins._distillation.settings import DistillationSettings, ImageFeatures
from phosphene_plugins._distillation.soft_labels import (
    cross_fitted_logits,
    find_temperature,
    make_soft_labels,
    mean_entropy,
)

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 4, "vocab_size": 16, "width": 8, "heads": 1, "layers": 1},
}
"""A CLIP of 12 000 weights."""

Array = NDArray[np.float64]


@pytest.fixture
def stimuli(tmp_path: Path) -> StimulusSet:
    """Images of three colours, four of each."""
    images = []
    for number in range(12):
        wnid = f"n{number % 3:08}"
        pixels = np.random.default_rng(number).integers(0, 80, (40, 32, 3), dtype=np.uint8)
        pixels[..., number % 3] += 150
        path = tmp_path / f"{wnid}-{number}.png"
        PIL.Image.fromarray(pixels).save(path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        images.append(Image(path.name, wnid, "train", sha256, "CC0-1.0"))
    return StimulusSet(tmp_path, {f"n{k:08}": "rgb"[k] for k in range(3)}, tuple(images))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Random weights of the tiny architecture, which open_clip then knows as ``tiny-for-tests``."""
    config = tmp_path_factory.mktemp("config") / "tiny-for-tests.json"
    config.write_text(json.dumps(TINY))
    open_clip.add_model_config(config)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return dict(open_clip.create_model("tiny-for-tests").state_dict())


@pytest.fixture
def folder(tmp_path: Path, weights: dict[str, Any]) -> Path:
    """A checkpoint as a downloaded repository holds it."""
    from safetensors.torch import save_file

    folder = tmp_path / "tiny-clip"
    folder.mkdir()
    save_file(weights, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    return folder


def ids(stimuli: StimulusSet) -> list[str]:
    return [image.id for image in stimuli.images]


def context(stimuli: StimulusSet, said: list[str] | None = None) -> Context:
    progress = (lambda _done, text: said.append(text)) if said is not None else lambda *_: None
    return Context(stimuli, cache=stimuli.root / "cache", progress=progress)


def given_settings(**changes: object) -> DistillationSettings:
    return msgspec.convert(changes, DistillationSettings)


def clusters(n_classes: int = 4, n_images: int = 10) -> tuple[Array, NDArray[np.intp]]:
    """Features of images whose classes are told apart, some of them with effort."""
    labels = np.repeat(np.arange(n_classes), n_images)
    features = np.random.default_rng(0).standard_normal((len(labels), 6))
    features[np.arange(len(labels)), labels] += 3
    return features, labels


def test_the_descriptor_is_named_as_what_it_is(stimuli: StimulusSet) -> None:
    features, name = image_features("descriptor", stimuli, ids(stimuli), context(stimuli))
    np.testing.assert_allclose(features, stimuli.features(ids(stimuli)))
    assert name == DESCRIPTOR
    assert "no neural network" in name


def test_clip_features_of_a_folder_are_those_of_the_model(
    stimuli: StimulusSet, folder: Path
) -> None:
    said: list[str] = []
    source = ImageFeatures(checkpoint=folder)
    features, name = image_features(source, stimuli, ids(stimuli), context(stimuli, said))
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    pixels = torch.stack([prepare(PIL.Image.open(stimuli.path(image))) for image in ids(stimuli)])
    with torch.inference_mode():
        expected = model.encode_image(pixels).numpy()
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert name.startswith("tiny-clip (sha256 ")
    assert said == ["image features: 12 of 12"]


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_file_of_weights_gives_what_the_folder_gives(
    stimuli: StimulusSet, folder: Path, weights: dict[str, Any], suffix: str
) -> None:
    file = folder / "open_clip_model.safetensors"
    if suffix == "pt":
        file = stimuli.root / "tiny.pt"
        torch.save(weights, file)
    source = ImageFeatures(model="tiny-for-tests", checkpoint=file)
    features, name = image_features(source, stimuli, ids(stimuli), context(stimuli))
    expected, _ = image_features(
        ImageFeatures(checkpoint=folder), stimuli, ids(stimuli), context(stimuli)
    )
    np.testing.assert_allclose(features, expected, atol=1e-6)
    assert name.startswith("tiny-for-tests (sha256 ")


def test_only_new_images_are_computed_and_other_weights_start_afresh(
    stimuli: StimulusSet, folder: Path, weights: dict[str, Any]
) -> None:
    from safetensors.torch import save_file

    def computed(source: ImageFeatures, images: list[str]) -> list[str]:
        said: list[str] = []
        image_features(source, stimuli, images, context(stimuli, said))
        return said

    source = ImageFeatures(checkpoint=folder)
    assert computed(source, ids(stimuli)[:5]) == ["image features: 5 of 5"]
    assert computed(source, ids(stimuli)[::-1]) == ["image features: 7 of 7"]
    assert computed(source, ids(stimuli)) == []
    other = {name: value * 1.5 for name, value in weights.items()}
    save_file(other, folder / "open_clip_model.safetensors")
    assert computed(source, ids(stimuli)) == ["image features: 12 of 12"]


def test_missing_weights_say_what_to_put_where(
    stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(stimuli.root / "hub"))
    source = ImageFeatures(model="ViT-L-14", pretrained="openai")
    with pytest.raises(PhospheneError) as error:
        image_features(source, stimuli, ids(stimuli), context(stimuli))
    for word in ("ViT-L-14/openai", "https://huggingface.co/timm/", "checkpoint: FOLDER", "npz"):
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (ImageFeatures(model="ViT-Z", pretrained="openai"), "no model 'ViT-Z'"),
        (ImageFeatures(model="ViT-L-14", pretrained="mine"), "allowed: .*openai"),
        (ImageFeatures(checkpoint=Path("/nowhere")), "no weights at /nowhere"),
        (ImageFeatures(checkpoint=Path(__file__)), "name their architecture"),
        (ImageFeatures(checkpoint=Path(__file__).parent), "must hold open_clip_config.json"),
        (ImageFeatures(model="ViT-B-32", checkpoint=Path(__file__)), "cannot be used"),
        (ImageFeatures(npz=Path(__file__)), "cannot be read"),
    ],
)
def test_features_that_cannot_be_had_are_refused_with_the_reason(
    stimuli: StimulusSet, source: ImageFeatures, message: str
) -> None:
    with pytest.raises(PhospheneError, match=message):
        image_features(source, stimuli, ids(stimuli), context(stimuli))


@pytest.mark.parametrize(
    "features",
    [{}, {"model": "ViT-L-14"}, {"model": "a", "pretrained": "b", "npz": __file__}],
)
def test_features_are_either_a_model_or_a_file(features: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"features": features}, DistillationSettings, dec_hook=lambda t, v: t(v))


def test_precomputed_features_are_found_by_image(stimuli: StimulusSet) -> None:
    path, wanted = stimuli.root / "mine.npz", ids(stimuli)
    values = np.arange(24.0).reshape(12, 2)
    np.savez(path, ids=wanted[::-1], features=values[::-1])
    source = ImageFeatures(npz=path)
    features, name = image_features(source, stimuli, wanted, context(stimuli))
    np.testing.assert_array_equal(features, values)
    assert name.startswith("mine.npz (sha256 ")
    with pytest.raises(PhospheneError, match=r"lacks 1 of 13 images, e\.g\. other\.png"):
        image_features(source, stimuli, [*wanted, "other.png"], context(stimuli))
    np.savez(path, ids=wanted, features=values[:5])
    with pytest.raises(PhospheneError, match="one row of finite numbers"):
        image_features(source, stimuli, wanted, context(stimuli))


def test_an_images_soft_label_does_not_depend_on_its_own_label() -> None:
    features, labels = clusters()
    honest = cross_fitted_logits(features, labels, np.random.default_rng(0))
    # The images of classes 0 and 1 that were dealt first, swapped: same folds, other labels.
    outlier = features.copy()
    outlier[0] = features[15]
    moved = cross_fitted_logits(outlier, labels, np.random.default_rng(0))
    assert honest[0].argmax() == 0
    assert moved[0].argmax() == 1


def test_a_teacher_is_at_chance_where_images_tell_nothing() -> None:
    _, labels = clusters(n_classes=4, n_images=60)
    noise = np.random.default_rng(1).standard_normal((len(labels), 40))
    made = make_soft_labels(noise, labels, given_settings(), np.random.default_rng(0))
    assert made.accuracy < 0.35


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_teacher_knows_clear_classes(n_classes: int) -> None:
    features, labels = clusters(n_classes)
    made = make_soft_labels(features, labels, given_settings(), np.random.default_rng(0))
    assert made.accuracy > 0.85
    assert made.probabilities.shape == (len(labels), n_classes)
    np.testing.assert_allclose(made.probabilities.sum(axis=1), 1)


def test_a_class_of_a_single_image_cannot_be_taught() -> None:
    features, labels = clusters(n_classes=2, n_images=3)
    with pytest.raises(PhospheneError, match="found 1 of one"):
        cross_fitted_logits(features[:4], labels[:4], np.random.default_rng(0))


@settings(deadline=None)
@given(share=st.floats(0.05, 0.95), scale=st.floats(0.1, 30), seed=st.integers(0, 5))
def test_the_temperature_gives_the_entropy_that_is_asked_for(
    share: float, scale: float, seed: int
) -> None:
    logits = scale * np.random.default_rng(seed).standard_normal((20, 10))
    wanted = share * np.log(10)
    found = mean_entropy(softmax(logits / find_temperature(logits, wanted)))
    assert found == pytest.approx(wanted, abs=1e-3)


def test_auto_is_half_of_the_greatest_entropy_and_a_number_is_taken_as_it_is() -> None:
    features, labels = clusters()
    auto = make_soft_labels(features, labels, given_settings(), np.random.default_rng(0))
    assert auto.entropy == pytest.approx(np.log(4) / 2, abs=1e-3)
    fixed = given_settings(temperature=auto.temperature * 2)
    softer = make_soft_labels(features, labels, fixed, np.random.default_rng(0))
    assert softer.temperature == 2 * auto.temperature
    assert softer.entropy > auto.entropy


def test_class_means_are_the_same_for_all_images_of_a_class() -> None:
    features, labels = clusters()
    made, means = (
        make_soft_labels(features, labels, given_settings(teacher=t), np.random.default_rng(0))
        for t in ("cross-fitted", "class-mean")
    )
    for label in range(4):
        rows = means.probabilities[labels == label]
        np.testing.assert_allclose(rows, rows[:1].repeat(10, axis=0))
        np.testing.assert_allclose(rows[0], made.probabilities[labels == label].mean(axis=0))


def test_shuffling_keeps_entropy_and_confidence_but_not_the_order_of_wrong_classes() -> None:
    features, labels = clusters()
    made, control = (
        make_soft_labels(features, labels, given_settings(teacher=t), np.random.default_rng(0))
        for t in ("cross-fitted", "shuffled")
    )
    rows = np.arange(len(labels))
    np.testing.assert_array_equal(
        made.probabilities[rows, labels], control.probabilities[rows, labels]
    )
    np.testing.assert_allclose(np.sort(made.probabilities), np.sort(control.probabilities))
    assert control.entropy == pytest.approx(made.entropy)
    assert not np.allclose(made.probabilities, control.probabilities)


@settings(deadline=None, max_examples=20)
@given(temperature=st.floats(0.3, 20), seed=st.integers(0, 5))
def test_calibration_finds_the_temperature_that_labels_were_drawn_with(
    temperature: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    true = 2 * rng.standard_normal((4000, 5))
    labels = (rng.random((4000, 1)) > softmax(true).cumsum(axis=1)).sum(axis=1)
    found, _ = fit_temperature(temperature * true, labels)
    assert found == pytest.approx(temperature, rel=0.15)
