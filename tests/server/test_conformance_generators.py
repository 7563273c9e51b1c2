"""Every check of generators finds the one broken for it, and no other check does."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from phosphene import (
    Context,
    Decoding,
    Generator,
    GeneratorConfig,
    PhospheneError,
    Picture,
)
from phosphene.interfaces import PluginConfig
from phosphene.testing import generators
from phosphene.testing.demands import name_of
from phosphene.testing.examination import Outcome
from phosphene.testing.kinds import examination_of


def outcomes(config: PluginConfig) -> Mapping[str, Outcome]:
    return {check.name: check.result().outcome for check in examination_of(config).checks()}


def failures(config: PluginConfig) -> set[str]:
    return {check for check, outcome in outcomes(config).items() if outcome is Outcome.FAILED}


class Colours:
    """A generator without a fault: a grey picture for each class."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.known = classes

    def generate(self, classes: Sequence[str], decoding: Decoding, *, seed: int) -> Picture:
        wnid = self.choose(classes, decoding)
        if wnid not in self.known:
            raise PhospheneError(f"there is no class {wnid}")
        return self.paint(wnid, seed)

    def choose(self, classes: Sequence[str], decoding: Decoding) -> str:
        return classes[int(decoding.probabilities[0].argmax())]

    def paint(self, wnid: str, seed: int) -> Picture:
        return Picture(np.full((4, 4, 3), seed + int(wnid[-1]), np.uint8), wnid, {"seed": seed})


class Painter(GeneratorConfig, frozen=True):
    generator: ClassVar[type[Colours]] = Colours

    def build(self, context: Context) -> Generator:
        return self.generator(tuple(context.stimuli.classes))


class Followed(Colours):
    """A generator without a fault that follows embeddings of three numbers."""

    n_dimensions, space = 3, "ViT"

    def generate(self, classes: Sequence[str], decoding: Decoding, *, seed: int) -> Picture:
        if decoding.embedding is None:
            raise PhospheneError("an embedding is needed")
        if (decoding.embedding.shape, decoding.space) != ((1, 3), "ViT"):
            raise PhospheneError(f"found {decoding}; allowed: 3 numbers of ViT")
        return super().generate(classes, decoding, seed=seed)


class Follower(Painter, frozen=True):
    uses = "embedding"
    generator = Followed


class FollowsNothing(Colours):
    n_dimensions, space = Followed.n_dimensions, Followed.space


class FollowsAnySpace(Followed):
    def generate(self, classes: Sequence[str], decoding: Decoding, *, seed: int) -> Picture:
        return super().generate(classes, replace(decoding, space="ViT"), seed=seed)


class SilentFollower(Follower, frozen=True):
    generator = Colours


class StumblesOverDoubt(Colours):
    def choose(self, classes: Sequence[str], decoding: Decoding) -> str:
        if decoding.probabilities.max() < 0.5:
            raise ValueError("no winner")
        return super().choose(classes, decoding)


class Floats(Colours):
    def paint(self, wnid: str, seed: int) -> Picture:
        picture = super().paint(wnid, seed)
        return replace(picture, pixels=picture.pixels / 255)  # type: ignore[arg-type]


class ForNobody(Colours):
    def paint(self, wnid: str, seed: int) -> Picture:
        return replace(super().paint(wnid, seed), wnid="")


class SortsClasses(Colours):
    def choose(self, classes: Sequence[str], decoding: Decoding) -> str:
        return super().choose(sorted(classes), decoding)


class ArtistsMood(Colours):
    def paint(self, wnid: str, seed: int) -> Picture:
        return super().paint(wnid, int(np.random.default_rng().integers(200)))


class ArrayAsProvenance(Colours):
    def paint(self, wnid: str, seed: int) -> Picture:
        picture = super().paint(wnid, seed)
        return replace(picture, provenance={"seed": (seed, 1)})  # type: ignore[dict-item]


class PaintsAnything(Colours):
    def generate(self, classes: Sequence[str], decoding: Decoding, *, seed: int) -> Picture:
        return self.paint(self.choose(classes, decoding), seed)


GENERATORS = [
    (StumblesOverDoubt, "builds and generates"),
    (Floats, "shapes and dtypes"),
    (ForNobody, "made for a class"),
    (SortsClasses, "class order"),
    (ArtistsMood, "same picture for the same seed"),
    (ArrayAsProvenance, "provenance can be stored"),
    (PaintsAnything, "unknown class is refused"),
]


FOLLOWERS = [
    (FollowsNothing, "embedding that does not fit is refused"),
    (FollowsAnySpace, "embedding that does not fit is refused"),
]


def test_a_generator_without_a_fault_passes_everything() -> None:
    skipped = {"embedding that does not fit is refused": Outcome.NOT_APPLICABLE}
    found = outcomes(Painter())
    assert {name: each for name, each in found.items() if each != Outcome.PASSED} == skipped
    assert set(outcomes(Follower()).values()) == {Outcome.PASSED}


@pytest.mark.parametrize(
    ("kind", "broken", "check"),
    [(Painter, *each) for each in GENERATORS] + [(Follower, *each) for each in FOLLOWERS],
)
def test_a_broken_generator_fails_exactly_the_check_meant_for_it(
    kind: type[Painter], broken: type[Colours], check: str
) -> None:
    class Config(kind, frozen=True):  # type: ignore[misc, valid-type]
        generator: ClassVar[type[Colours]] = broken

    assert failures(Config()) == {check}


def test_every_check_has_a_generator_that_fails_it() -> None:
    assert {name_of(demand) for demand in generators.demands.needs} == {
        check for _, check in GENERATORS + FOLLOWERS
    }


def test_one_that_does_not_say_which_is_told_what_is_missing() -> None:
    found = next(iter(examination_of(SilentFollower()).checks())).result()
    assert found.outcome is Outcome.FAILED
    assert "has n_dimensions and space" in found.text
