"""What is asked of every image encoder."""

# ruff: noqa: D401 (the docstring of a demand states it)

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phosphene.interfaces import ImageEncoder, ImageEncoderConfig
from phosphene.testing.demands import Demands, expect
from phosphene.testing.images import CLASSES, SIZE, stimuli
from phosphene.testing.material import make_context
from phosphene.testing.measuring import Measurement, durations

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]

TOLERANCE = 1e-3
"""Of a number in a vector of unit length: what 16 bits and another batch may change."""
SIZES = ((SIZE, SIZE), (3 * SIZE, SIZE), (SIZE // 2, 5 * SIZE), (1, 1))
"""Height and width."""


class ImageEncoderCandidate:
    """An image encoder's settings, and the encoder."""

    def __init__(self, config: ImageEncoderConfig) -> None:
        self.config = config

    @cached_property
    def built(self) -> ImageEncoder:
        """The encoder."""
        return self.config.build(make_context())

    @cached_property
    def images(self) -> list[Pixels]:
        """Two of each class, all of one size."""
        shown = [image for wnid in CLASSES for image in stimuli().of(wnid, "train")[:2]]
        return [stimuli().pixels(image.id) for image in shown]

    @cached_property
    def vectors(self) -> Vectors:
        """Those of the images."""
        return self.built.embed(self.images)

    def measurements(self) -> Iterator[Measurement]:
        """Yield how long an image takes."""
        yield from durations("an image", lambda: self.built.embed(self.images[:1]), repeats=20)


demands = Demands[ImageEncoderCandidate]()


@demands()
def builds_and_embeds(candidate: ImageEncoderCandidate) -> None:
    """Images of one size are put into a space."""
    found = candidate.vectors
    expect(isinstance(found, np.ndarray), f"expected an array; found {type(found).__name__}")


@demands()
def space_is_named(candidate: ImageEncoderCandidate) -> None:
    """``space`` is a text, and the same for the same settings."""
    name, again = candidate.built.space, candidate.config.build(make_context()).space
    expect(isinstance(name, str) and name.strip(), f"space must be a name; found {name!r}")
    expect(name == again, f"the same settings call it {name!r} and {again!r}")


@demands(builds_and_embeds)
def shapes_and_dtypes(candidate: ImageEncoderCandidate) -> None:
    """Vectors are float32 of shape (n_images, n_dimensions)."""
    found, n = candidate.vectors, len(candidate.images)
    expect(found.dtype == np.float32, f"vectors must be float32; found {found.dtype}")
    expect(
        found.ndim == 2 and len(found) == n and found.size > 0,
        f"{n} images must give shape ({n}, n_dimensions); found {found.shape}",
    )


@demands(shapes_and_dtypes)
def unit_length(candidate: ImageEncoderCandidate) -> None:
    """Every vector is finite and has length 1."""
    _expect_unit(candidate.vectors, "an image")


@demands(shapes_and_dtypes)
def different_images_differ(candidate: ImageEncoderCandidate) -> None:
    """Images of different classes do not have the same vector."""
    found = candidate.vectors[::2]
    n_different = len(np.unique(found, axis=0))
    expect(n_different == len(found), f"{len(found)} images have {n_different} different vectors")


@demands(shapes_and_dtypes)
def same_vectors_for_the_same_images(candidate: ImageEncoderCandidate) -> None:
    """The same images give the same vectors, also from a new encoder."""
    new = candidate.config.build(make_context(seed=2))
    for encoder in candidate.built, new:
        _expect_same(encoder.embed(candidate.images), candidate.vectors, "the second time")


@demands(same_vectors_for_the_same_images)
def order_of_the_images(candidate: ImageEncoderCandidate) -> None:
    """Vectors come in the order of the images."""
    found = candidate.built.embed(candidate.images[::-1])
    _expect_same(found[::-1], candidate.vectors, "with the images in reverse order")


@demands(order_of_the_images)
def one_by_one_as_in_a_batch(candidate: ImageEncoderCandidate) -> None:
    """An image has the same vector alone and among others."""
    found = np.concatenate([candidate.built.embed([image]) for image in candidate.images])
    _expect_same(found, candidate.vectors, "one by one")


@demands(unit_length)
def images_of_any_size(candidate: ImageEncoderCandidate) -> None:
    """Images of different sizes and formats may be mixed."""
    found = candidate.built.embed([_noise(*size) for size in SIZES])
    wanted = (len(SIZES), candidate.vectors.shape[1])
    expect(found.shape == wanted, f"expected shape {wanted}; found {found.shape}")
    _expect_unit(found, "an image of another size")


@demands(unit_length)
def a_black_picture_has_a_vector(candidate: ImageEncoderCandidate) -> None:
    """A picture of one colour has a vector of length 1: a safety checker paints black."""
    for value in 0, 255:
        grey = np.full((SIZE, SIZE, 3), value, np.uint8)
        _expect_unit(candidate.built.embed([grey]), f"a picture of nothing but {value}")


@demands(shapes_and_dtypes)
def no_images_give_no_vectors(candidate: ImageEncoderCandidate) -> None:
    """No images give an array of shape (0, n_dimensions)."""
    found, wanted = candidate.built.embed([]), (0, candidate.vectors.shape[1])
    expect(np.shape(found) == wanted, f"expected shape {wanted}; found {np.shape(found)}")


def _noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def _expect_unit(vectors: Vectors, what: str) -> None:
    expect(np.isfinite(vectors).all(), f"{what}: the vector is not finite")
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    worst = float(lengths[np.abs(lengths - 1).argmax()])
    expect(abs(worst - 1) < TOLERANCE, f"{what}: the vector has length {worst:.4g}; expected 1")


def _expect_same(found: Sequence[Vectors] | Vectors, wanted: Vectors, when: str) -> None:
    same = np.shape(found) == wanted.shape
    expect(same, f"{when} the shape is {np.shape(found)}; before it was {wanted.shape}")
    difference = float(np.abs(np.asarray(found) - wanted).max())
    expect(difference < TOLERANCE, f"{when} the vectors differ by up to {difference:.2g}")
