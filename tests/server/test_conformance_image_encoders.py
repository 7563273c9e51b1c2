"""Every check of image encoders finds the one broken for it, and no other check does."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from phosphene import Context, ImageEncoder, ImageEncoderConfig
from phosphene.interfaces import PluginConfig
from phosphene.testing import image_encoders
from phosphene.testing.demands import name_of
from phosphene.testing.examination import Outcome
from phosphene.testing.kinds import examination_of

Images = Sequence[NDArray[np.uint8]]
Vectors = NDArray[np.float32]


def outcomes(config: PluginConfig) -> Mapping[str, Outcome]:
    return {check.name: check.result().outcome for check in examination_of(config).checks()}


def failures(config: PluginConfig) -> set[str]:
    return {check for check, outcome in outcomes(config).items() if outcome is Outcome.FAILED}


class Moments:
    """An encoder without a fault: mean and spread of the colours, and a constant."""

    space = "moments"

    def embed(self, images: Images) -> Vectors:
        return self.unit(np.array([self.vector(image) for image in images]).reshape(-1, 7))

    def vector(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        colours = image.reshape(-1, 3) / 255
        return np.concatenate([colours.mean(axis=0), colours.std(axis=0), [0.1]])

    def unit(self, vectors: NDArray[np.float64]) -> Vectors:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / lengths, np.float32)


class Encoding(ImageEncoderConfig, frozen=True):
    encoder: ClassVar[type[Moments]] = Moments

    def build(self, context: Context) -> ImageEncoder:
        return self.encoder()


class AnswersWithAList(Moments):
    def embed(self, images: Images) -> Vectors:
        return cast(Vectors, super().embed(images).tolist())


class NamesItselfAtRandom(Moments):
    def __init__(self) -> None:
        self.space = f"moments {np.random.default_rng().random()}"


class DoublePrecision(Moments):
    def embed(self, images: Images) -> Vectors:
        return cast(Vectors, super().embed(images).astype(np.float64))


class AsLongAsTheyCome(Moments):
    def unit(self, vectors: NDArray[np.float64]) -> Vectors:
        return vectors.astype(np.float32)


class AllAlike(Moments):
    def vector(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.ones(7)


class DropsOut(Moments):
    def embed(self, images: Images) -> Vectors:
        keep = np.random.default_rng().random(7) + 0.1
        return self.unit(super().embed(images) * keep)


class SortsThem(Moments):
    def embed(self, images: Images) -> Vectors:
        return super().embed(sorted(images, key=np.mean))


class NormalisesByBatch(Moments):
    def embed(self, images: Images) -> Vectors:
        vectors = super().embed(images)
        return self.unit(vectors - 0.5 * vectors[:, :6].mean()) if len(images) else vectors


class OneSizeOnly(Moments):
    def embed(self, images: Images) -> Vectors:
        return super().embed(list(np.stack(images)) if images else images)


class NothingInTheDark(Moments):
    def vector(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        return super().vector(image) if image.max() else np.zeros(7)

    def unit(self, vectors: NDArray[np.float64]) -> Vectors:
        with np.errstate(invalid="ignore"):
            return super().unit(vectors)


class NeedsAnImage(Moments):
    def embed(self, images: Images) -> Vectors:
        return self.unit(np.stack([self.vector(image) for image in images]))


ENCODERS = [
    (AnswersWithAList, "builds and embeds"),
    (NamesItselfAtRandom, "space is named"),
    (DoublePrecision, "shapes and dtypes"),
    (AsLongAsTheyCome, "unit length"),
    (AllAlike, "different images differ"),
    (DropsOut, "same vectors for the same images"),
    (SortsThem, "order of the images"),
    (NormalisesByBatch, "one by one as in a batch"),
    (OneSizeOnly, "images of any size"),
    (NothingInTheDark, "a black picture has a vector"),
    (NeedsAnImage, "no images give no vectors"),
]


def test_an_encoder_without_a_fault_passes_everything() -> None:
    assert set(outcomes(Encoding()).values()) == {Outcome.PASSED}


@pytest.mark.parametrize(("broken", "check"), ENCODERS)
def test_a_broken_encoder_fails_exactly_the_check_meant_for_it(
    broken: type[Moments], check: str
) -> None:
    class Config(Encoding, frozen=True):
        encoder: ClassVar[type[Moments]] = broken

    assert failures(Config()) == {check}


def test_every_check_has_an_encoder_that_fails_it() -> None:
    assert {name_of(demand) for demand in image_encoders.demands.needs} == {
        check for _, check in ENCODERS
    }
