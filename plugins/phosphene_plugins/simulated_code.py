"""How an image's class shows in the simulated subject: a pattern over the hind sources."""

from collections.abc import Callable
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from phosphene import Onset, PhospheneError, StimulusSet
from phosphene_plugins.simulated_settings import SubjectSettings

N_WAVES = 5
"""Waves of the evoked response that carry it; a code in power is that of the first."""

Code = Callable[[Onset], NDArray[np.float64]]
"""An image's code: a number for each hind source and wave, with unit variance over classes."""


def make_code(settings: SubjectSettings, n_hind: int, stimuli: StimulusSet, seed: int) -> Code:
    """Return how the images' codes follow from their classes or from their looks."""
    shape = (n_hind, N_WAVES)
    if settings.geometry == "independent":
        return lambda onset: _rng(seed, onset.wnid).standard_normal(shape)
    return _FeatureCode(stimuli, shape, seed)


class _FeatureCode:
    """A random linear map of the image descriptor: what looks alike has similar codes."""

    def __init__(self, stimuli: StimulusSet, shape: tuple[int, int], seed: int) -> None:
        images = [image for image in stimuli.images if image.role == "train"]
        wnids = np.array([image.wnid for image in images])
        if len(set(wnids)) < 2:
            raise PhospheneError("geometry: features needs images of at least 2 classes")
        features = stimuli.features([image.id for image in images]).astype(np.float64)
        means = np.stack([features[wnids == wnid].mean(axis=0) for wnid in np.unique(wnids)])
        centred = features - means.mean(axis=0)
        spread = np.sqrt(np.sum(means.var(axis=0)))
        projection = _rng(seed, "features").standard_normal((centred.shape[1], np.prod(shape)))
        codes = (centred / spread @ projection).reshape(-1, *shape)
        self._codes: dict[str, NDArray[np.float64]] = {
            image.id: code for image, code in zip(images, codes, strict=True)
        }

    def __call__(self, onset: Onset) -> NDArray[np.float64]:
        if onset.image not in self._codes:
            raise PhospheneError(
                f"the simulated subject was shown {onset.image!r}, "
                "which is not among its stimulus set's training images"
            )
        return self._codes[onset.image]


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng((seed, 2, crc32(name.encode())))
