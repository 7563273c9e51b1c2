"""The bundled image encoders: CLIP from weights on this computer, and the built-in descriptor."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from phosphene import Context, PhospheneError, StimulusSet
from phosphene.registry import load_registry
from phosphene_plugins._distillation.clip import clip_features
from phosphene_plugins._distillation.settings import ImageFeatures
from phosphene_plugins.image_encoders import ClipConfig, DescriptorConfig

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 4, "vocab_size": 16, "width": 8, "heads": 1, "layers": 1},
}
"""A CLIP of 12 000 weights."""
CONTEXT = Context(StimulusSet(Path(), {}, ()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights, as a downloaded repository holds it."""
    from safetensors.torch import save_model

    folder = tmp_path_factory.mktemp("models") / "tiny-clip"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_model(open_clip.model.CLIP(**TINY), str(folder / "open_clip_model.safetensors"))
    return folder


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


IMAGES = [noise(40, 32), noise(32, 80, 1), noise(7, 7, 2), np.zeros((32, 32, 3), np.uint8)]


def test_both_are_offered_by_name() -> None:
    offered = load_registry().offers("image_encoder")
    assert offered["clip"] is ClipConfig
    assert offered["descriptor"] is DescriptorConfig


def test_clip_is_the_model_that_open_clip_loads(folder: Path) -> None:
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    with torch.inference_mode():
        pixels = torch.stack([prepare(PIL.Image.fromarray(image)) for image in IMAGES])
        expected = model.encode_image(pixels, normalize=True).numpy()
    encoder = ClipConfig(checkpoint=folder).build(CONTEXT)
    found = encoder.embed(IMAGES)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32
    assert encoder.embed([]).shape == (0, 8)


def test_a_file_of_weights_needs_the_name_of_its_architecture(folder: Path) -> None:
    file = folder / "open_clip_model.safetensors"
    with pytest.raises(PhospheneError, match=r"^clip: .* name their architecture in 'model'"):
        ClipConfig(checkpoint=file).build(CONTEXT)
    config = folder.parent / "tiny-for-encoders.json"
    config.write_text(json.dumps(TINY))
    open_clip.add_model_config(config)
    named = ClipConfig(model="tiny-for-encoders", checkpoint=file).build(CONTEXT)
    expected = ClipConfig(checkpoint=folder).build(CONTEXT)
    np.testing.assert_allclose(named.embed(IMAGES), expected.embed(IMAGES), atol=1e-6)
    assert named.space.startswith("tiny-for-encoders (sha256 ")


def test_encoder_and_decoders_share_space_and_vectors(folder: Path, tmp_path: Path) -> None:
    standin = load_registry().find("stimuli", "standin")
    made = msgspec.convert({"classes": 2, "images": 3, "gallery": 1, "size": 32}, standin)
    stimuli: StimulusSet = made.build(tmp_path / "images")  # type: ignore[attr-defined]
    ids = [image.id for image in stimuli.images]
    context = Context(stimuli, cache=tmp_path)
    features, space = clip_features(ImageFeatures(checkpoint=folder), stimuli, ids, context)
    encoder = ClipConfig(checkpoint=folder).build(context)
    assert encoder.space == space
    found = encoder.embed([stimuli.pixels(image) for image in ids])
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(found, features / lengths, atol=1e-6)
    assert abs(lengths - 1).min() > 0.01  # It is the model's own that is kept.


def test_missing_weights_say_what_to_put_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PhospheneError) as error:
        ClipConfig(model="ViT-L-14", pretrained="openai").build(CONTEXT)
    assert str(error.value).startswith("clip: no weights of ViT-L-14/openai on this computer")
    for word in ("https://huggingface.co/timm/", "checkpoint: FOLDER", "'descriptor' is built in"):
        assert word in str(error.value)


def test_weights_that_do_not_fit_are_refused_when_it_is_built() -> None:
    with pytest.raises(PhospheneError, match=r"^clip: .*test_image_encoders\.py cannot be used"):
        ClipConfig(model="ViT-B-32", checkpoint=Path(__file__)).build(CONTEXT)


@pytest.mark.parametrize("settings", [{}, {"model": "ViT-L-14"}, {"features": "descriptor"}])
def test_settings_that_name_no_model_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, ClipConfig)


def test_the_descriptor_says_that_it_is_no_neural_network(tmp_path: Path) -> None:
    encoder = DescriptorConfig().build(CONTEXT)
    assert "no neural network" in encoder.space
    np.testing.assert_allclose(np.linalg.norm(encoder.embed(IMAGES), axis=1), 1, rtol=1e-6)
    assert encoder.embed([]).shape == (0, 240)
    np.testing.assert_array_equal(encoder.embed(IMAGES), StimulusSet.describe(IMAGES))
