"""The images as points in the space that EEG is projected to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene import Context, StimulusSet
from phosphene_plugins._distillation.features import image_features
from phosphene_plugins._distillation.settings import ImageFeatures

Array = NDArray[np.float64]

TINY = 1e-12
"""A shorter vector has no direction but that of rounding."""


@dataclass(frozen=True)
class Gallery:
    """Features of images, scaled to unit length."""

    name: str
    """Of the features."""
    length: float
    """Mean length of the features before they were scaled."""
    features: dict[str, Array]
    """By image, (n_dimensions,)."""

    @classmethod
    def of(
        cls,
        source: str | ImageFeatures,
        stimuli: StimulusSet,
        images: Sequence[str],
        context: Context,
    ) -> "Gallery":
        """Return the features of some images; ``PhospheneError`` if they cannot be had."""
        found, name = image_features(source, stimuli, images, context)
        length = float(np.linalg.norm(found, axis=1).mean())
        return cls(name, length, dict(zip(images, unit(found), strict=True)))

    def centre(self, images: Sequence[str]) -> Array:
        """Return the mean feature of images, shape (n_dimensions,)."""
        return np.asarray(self._stacked(images).mean(axis=0))

    def directions(self, images: Sequence[str], centre: Array) -> Array:
        """Return where each image lies from the centre: unit vectors, (n_images, n_dimensions).

        Features of one model are alike in most of what they hold; what tells images apart is left.
        """
        return unit(self._stacked(images) - centre)

    def radius(self, images: Sequence[str], centre: Array) -> float:
        """Return the mean distance of images from the centre."""
        return float(np.linalg.norm(self._stacked(images) - centre, axis=1).mean())

    def prototypes(self, groups: Sequence[Sequence[str]], centre: Array) -> Array:
        """Return the direction of the mean of each group, shape (n_groups, n_dimensions)."""
        return unit(np.stack([self.centre(group) for group in groups]) - centre)

    def _stacked(self, images: Sequence[str]) -> Array:
        return np.stack([self.features[image] for image in images])


def images_of(stimuli: StimulusSet, wnid: str) -> list[str]:
    """Return all images of a class."""
    return [image.id for image in stimuli.images if image.wnid == wnid]


def unit(vectors: Array) -> Array:
    """Return rows of length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths < TINY, 1, lengths))
