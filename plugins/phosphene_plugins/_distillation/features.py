"""Image features for the teacher: the built-in descriptor, a file, or an open_clip model."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene import Context, PhospheneError, StimulusSet
from phosphene_plugins._distillation.settings import ImageFeatures, need

Array = NDArray[np.float64]

DESCRIPTOR = "built-in descriptor (240 numbers, no neural network)"


def image_features(
    source: str | ImageFeatures, stimuli: StimulusSet, images: Sequence[str], context: Context
) -> tuple[Array, str]:
    """Return features, shape (n_images, n_dimensions), and their name in results."""
    if isinstance(source, str):
        return stimuli.features(images).astype(np.float64), DESCRIPTOR
    if source.npz:
        return _precomputed(source.npz, images)
    need("clip", "open_clip", "torchvision")
    from phosphene_plugins._distillation.clip import clip_features

    return clip_features(source, stimuli, images, context)


def _precomputed(path: Path, images: Sequence[str]) -> tuple[Array, str]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ids, features = arrays["ids"].tolist(), arrays["features"].astype(np.float64)
    except Exception as error:  # A damaged archive makes zipfile and numpy raise almost anything.
        raise PhospheneError(
            f"features: {path} cannot be read: {error}; it must hold ids (n_images,) and features "
            "(n_images, n_dimensions)"
        ) from error
    if features.ndim != 2 or len(features) != len(ids) or not np.isfinite(features).all():
        raise PhospheneError(
            f"features: {path} holds {len(ids)} ids and features of shape {features.shape}; "
            "allowed: one row of finite numbers for each id"
        )
    rows = {image: row for row, image in enumerate(ids)}
    if missing := [image for image in images if image not in rows]:
        raise PhospheneError(
            f"features: {path} lacks {len(missing)} of {len(images)} images, e.g. {missing[0]}"
        )
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return features[[rows[image] for image in images]], f"{path.name} (sha256 {sha256[:12]})"
