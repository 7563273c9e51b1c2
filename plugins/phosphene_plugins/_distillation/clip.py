"""Image features from open_clip: weights from this computer only, features kept on disk."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from phosphene import Context, PhospheneError, StimulusSet
from phosphene_plugins._distillation.settings import ImageFeatures
from phosphene_plugins._distillation.training import find_device, mixed_precision

Values = NDArray[np.float32]
Encoder = Callable[[Sequence[str]], Values]

BATCH = 32
CONFIG = "open_clip_config.json"
FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Names of the weights in repositories for open_clip, the better one first."""


@dataclass(frozen=True)
class Weights:
    """An architecture, and where its weights are."""

    model: str
    """As open_clip names it, ``local-dir:`` included."""
    file: Path
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    """For ``create_model_and_transforms``: how a tag's images are prepared."""


def clip_features(
    source: ImageFeatures, stimuli: StimulusSet, images: Sequence[str], context: Context
) -> tuple[NDArray[np.float64], str]:
    """Return unit-length image embeddings, and the name of the model.

    Only images that the cache does not hold for these very weights are computed. Raises
    ``PhospheneError`` that says what to put where if there are no weights.
    """
    weights = find_weights(source)
    model_sha256 = _hash(weights)
    cache = _Cache(context.cache / "image-features" / f"{model_sha256[:24]}.npz")
    sha256 = {image: stimuli[image].sha256 for image in images}
    new = [image for image in sha256 if sha256[image] not in cache.features]
    if new:
        encode = _encoder(weights, stimuli, context.device)
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            cache.add([sha256[image] for image in batch], encode(batch))
            done = start + len(batch)
            context.progress(done / len(new), f"image features: {done} of {len(new)}")
    found = np.stack([cache.features[sha256[image]] for image in images])
    return found.astype(np.float64), f"{weights.name} (sha256 {model_sha256[:12]})"


def find_weights(source: ImageFeatures) -> Weights:
    """Return the weights on this computer; ``PhospheneError`` says what to put where."""
    if source.checkpoint is None:
        return _cached(source)
    if not source.checkpoint.exists():
        raise PhospheneError(f"features: no weights at {source.checkpoint}")
    if source.checkpoint.is_dir():
        return _in_folder(source.checkpoint)
    if not source.model:
        raise PhospheneError(
            f"features: {source.checkpoint} holds weights only; name their architecture in "
            f"'model', or give a folder that also holds {CONFIG}"
        )
    return Weights(source.model, source.checkpoint, source.model, _preparation(source))


def _in_folder(folder: Path) -> Weights:
    file = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if file is None or not (folder / CONFIG).is_file():
        raise PhospheneError(
            f"features: {folder} must hold {CONFIG} and {' or '.join(FILES)}, as a repository "
            "for open_clip on https://huggingface.co does"
        )
    return Weights(f"local-dir:{folder}", file, folder.resolve().name)


def _cached(source: ImageFeatures) -> Weights:
    """Return a tag's weights from the cache of Hugging Face; nothing is downloaded."""
    from huggingface_hub import try_to_load_from_cache

    repository = _tag(source).get("hf_hub", "").rpartition("/")[0]
    for name in FILES if repository else ():
        file = try_to_load_from_cache(repository, name)
        if isinstance(file, str):
            title = f"{source.model}/{source.pretrained}"
            return Weights(source.model, Path(file), title, _preparation(source))
    where = f"https://huggingface.co/{repository}" if repository else "its authors"
    raise PhospheneError(
        f"features: no weights of {source.model}/{source.pretrained} on this computer, and "
        f"Phosphene downloads none. Download {CONFIG} and {FILES[0]} from {where} into a folder "
        "and set features: {checkpoint: FOLDER}"
        + (f"; or run: hf download {repository}" if repository else "")
        + "; or use precomputed features (npz), or features: descriptor, which is built in"
    )


def _tag(source: ImageFeatures) -> dict[str, Any]:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(source.model)
    if source.model not in open_clip.list_models():
        raise PhospheneError(f"features: open_clip has no model {source.model!r}")
    if source.pretrained not in tags:
        raise PhospheneError(
            f"features: {source.model} has no weights {source.pretrained!r}; "
            f"allowed: {', '.join(tags)}"
        )
    return dict(open_clip.get_pretrained_cfg(source.model, source.pretrained))


def _preparation(source: ImageFeatures) -> dict[str, Any]:
    """Return how the images for a tag's weights are prepared, and which activation they need."""
    if not source.pretrained:
        return {}
    tag = _tag(source)
    names = {
        "mean": "image_mean",
        "std": "image_std",
        "interpolation": "image_interpolation",
        "resize_mode": "image_resize_mode",
        "quick_gelu": "force_quick_gelu",
    }
    return {option: tag[name] for name, option in names.items() if name in tag}


def _encoder(weights: Weights, stimuli: StimulusSet, device_name: str) -> Encoder:
    import open_clip

    device = find_device(device_name)
    local = weights.model.startswith("local-dir:")
    try:
        # Weights as a pickle may come with code; torch's restricted reader refuses that.
        model, _, prepare = open_clip.create_model_and_transforms(
            weights.model,
            None if local else str(weights.file),
            device=device,
            weights_only=True,
            **weights.options,
        )
    except Exception as error:  # Whatever open_clip makes of files that do not fit.
        raise PhospheneError(f"features: {weights.file} cannot be used: {error}") from error
    model.eval()

    def encode(images: Sequence[str]) -> Values:
        pixels = [prepare(Image.fromarray(stimuli.pixels(image))) for image in images]
        with torch.inference_mode(), mixed_precision(device):
            embedding = model.encode_image(torch.stack(pixels).to(device), normalize=True)
        return np.asarray(embedding.float().cpu().numpy())

    return encode


def _hash(weights: Weights) -> str:
    """Return the SHA-256 over the weights and how images are prepared for them."""
    digest = hashlib.sha256(f"{weights.model.split(':')[0]}{weights.options}".encode())
    if (config := weights.file.parent / CONFIG).is_file():
        digest.update(config.read_bytes())
    with weights.file.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


class _Cache:
    """Features by the SHA-256 of their images, in one file for one model."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.features: dict[str, Values] = {}
        if path.is_file():
            with np.load(path, allow_pickle=False) as arrays:
                self.features = dict(
                    zip(arrays["sha256"].tolist(), arrays["features"], strict=True)
                )

    def add(self, sha256: Sequence[str], features: Values) -> None:
        """Keep features, so that an interrupted run goes on where it was."""
        self.features |= zip(sha256, features, strict=True)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Another process may be writing the same.
        part = self._path.with_name(f".{self._path.name}.{os.getpid()}.part.npz")
        np.savez(part, sha256=list(self.features), features=np.stack(list(self.features.values())))
        part.replace(self._path)
