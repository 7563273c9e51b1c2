"""Image features from open_clip: weights from this computer only, features kept on disk."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from phosphene import Context, PhospheneError, StimulusSet
from phosphene_plugins._distillation.settings import ImageFeatures
from phosphene_plugins._distillation.training import find_device, mixed_precision
from phosphene_plugins._distillation.weights import Weights, find_weights, hash_of

Values = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Encoder = Callable[[Sequence[Pixels]], Values]

BATCH = 32


class ClipModel:
    """A model that puts images of any size where alike ones are close."""

    def __init__(self, source: ImageFeatures, device: str, setting: str) -> None:
        """Find the weights; ``PhospheneError`` begins with ``setting``, says what to put where."""
        self._device, self._setting = device, setting
        with _said_of(setting):
            self._weights = find_weights(source)
        self.sha256 = hash_of(self._weights)
        """Of the weights and of how images are prepared for them."""
        self.space = f"{self._weights.name} (sha256 {self.sha256[:12]})"

    def load(self) -> None:
        """Read the weights now, and not with the first image."""
        _ = self._encode

    def embed(self, images: Sequence[Pixels]) -> Values:
        """Return (n_images, n_dimensions), rows of unit length."""
        found = self.features(images)
        lengths: Values = np.linalg.norm(found, axis=1, keepdims=True)
        return found / lengths

    def features(self, images: Sequence[Pixels]) -> Values:
        """Return (n_images, n_dimensions) as the model gives them, of whatever length."""
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        if not batches:  # Whatever the model, it tells its dimensions with an image.
            return self._encode([np.zeros((1, 1, 3), np.uint8)])[:0]
        return np.concatenate([self._encode(batch) for batch in batches])

    @cached_property
    def _encode(self) -> Encoder:
        with _said_of(self._setting):
            return _encoder(self._weights, self._device)


def clip_features(
    source: ImageFeatures, stimuli: StimulusSet, images: Sequence[str], context: Context
) -> tuple[NDArray[np.float64], str]:
    """Return image embeddings as long as the model makes them, and its name.

    What draws pictures from embeddings was trained on that length.

    Only images that the cache does not hold for these very weights are computed. Raises
    ``PhospheneError`` that says what to put where if there are no weights.
    """
    model = ClipModel(source, context.device, "features")
    cache = _Cache(context.cache / "image-embeddings" / f"{model.sha256[:24]}.npz")
    sha256 = {image: stimuli[image].sha256 for image in images}
    new = [image for image in sha256 if sha256[image] not in cache.features]
    for start in range(0, len(new), BATCH):
        batch = new[start : start + BATCH]
        embedded = model.features([stimuli.pixels(image) for image in batch])
        cache.add([sha256[image] for image in batch], embedded)
        done = start + len(batch)
        context.progress(done / len(new), f"image features: {done} of {len(new)}")
    found = np.stack([cache.features[sha256[image]] for image in images])
    return found.astype(np.float64), model.space


def _encoder(weights: Weights, device_name: str) -> Encoder:
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
        raise PhospheneError(f"{weights.file} cannot be used: {error}") from error
    model.eval()

    def encode(images: Sequence[Pixels]) -> Values:
        pixels = torch.stack([prepare(Image.fromarray(image)) for image in images])
        with torch.inference_mode(), mixed_precision(device):
            embedding = model.encode_image(pixels.to(device))
        return np.asarray(embedding.float().cpu().numpy())

    return encode


@contextmanager
def _said_of(setting: str) -> Iterator[None]:
    """Begin errors with the name of the setting."""
    try:
        yield
    except PhospheneError as error:
        raise PhospheneError(f"{setting}: {error}") from error.__cause__


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
