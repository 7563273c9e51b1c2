"""What is asked of every generator of pictures."""

# ruff: noqa: D401 (the docstring of a demand states it)

import json
from collections.abc import Iterator, Sequence
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import PhospheneError
from phosphene.interfaces import Decoding, Generator, GeneratorConfig, Picture
from phosphene.testing.demands import Demands, NotApplicableError, expect, expect_refusal
from phosphene.testing.images import CLASSES
from phosphene.testing.material import make_context
from phosphene.testing.measuring import Measurement, durations

WNIDS = tuple(sorted(CLASSES))
SEED = 7


class GeneratorCandidate:
    """A generator's settings, and the generator."""

    def __init__(self, config: GeneratorConfig) -> None:
        self.config = config

    @cached_property
    def built(self) -> Generator:
        """The generator, warmed up."""
        return self.config.build(make_context())

    @cached_property
    def pictures(self) -> list[Picture]:
        """One for each class, decoded with certainty, and one for no idea at all."""
        certain = [self.generate(likeliest=column) for column in range(len(WNIDS))]
        return [*certain, self.generate(likeliest=None)]

    def generate(
        self, likeliest: int | None, classes: Sequence[str] = WNIDS, seed: int = SEED
    ) -> Picture:
        """Return the picture for a decoding that is sure of a column, or of none."""
        probabilities = np.full((1, len(classes)), 1 / len(classes))
        if likeliest is not None:
            probabilities = np.eye(len(classes))[[likeliest]]
        follow = self._embedding(likeliest) if self.uses_embeddings else ()
        return self.built.generate(classes, Decoding(probabilities, *follow), seed=seed)

    @property
    def uses_embeddings(self) -> bool:
        """Whether its pictures follow an embedding."""
        return self.config.uses == "embedding"

    def misfits(self) -> Iterator[tuple[str, Decoding]]:
        """Yield what an embedding can be wrong in, and a decoding with such a one."""
        probabilities = np.eye(len(WNIDS))[[0]]
        embedding, space = self._embedding(0)
        yield "no embedding", Decoding(probabilities)
        longer = np.append(embedding, [[1.0]], axis=1)
        yield "an embedding with a number too many", Decoding(probabilities, longer, space)
        if space:
            yield (
                "an embedding of another space",
                Decoding(probabilities, embedding, f"not {space}"),
            )

    def _embedding(self, likeliest: int | None) -> tuple[NDArray[np.float32], str]:
        """Return a direction for each class, and one for none, and the name of their space."""
        n_dimensions = getattr(self.built, "n_dimensions", None)
        if not isinstance(n_dimensions, int) or not hasattr(self.built, "space"):
            raise PhospheneError("a generator that uses embeddings has n_dimensions and space")
        rng = np.random.default_rng(0 if likeliest is None else likeliest + 1)
        return rng.standard_normal((1, n_dimensions), np.float32), str(self.built.space)

    def measurements(self) -> Iterator[Measurement]:
        """Yield how long a picture takes."""
        yield from durations("a picture", lambda: self.generate(likeliest=0), repeats=20)


demands = Demands[GeneratorCandidate]()


@demands()
def builds_and_generates(candidate: GeneratorCandidate) -> None:
    """Every class, and a decoding that tells nothing, gives a picture."""
    expect(all(isinstance(each, Picture) for each in candidate.pictures), "expected a Picture")


@demands(builds_and_generates)
def shapes_and_dtypes(candidate: GeneratorCandidate) -> None:
    """Pixels are uint8 of shape (height, width, 3)."""
    for picture in candidate.pictures:
        pixels = picture.pixels
        expect(pixels.dtype == np.uint8, f"pixels must be uint8; found {pixels.dtype}")
        expect(
            pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size > 0,
            f"pixels must have shape (height, width, 3); found {pixels.shape}",
        )


@demands(builds_and_generates)
def made_for_a_class(candidate: GeneratorCandidate) -> None:
    """A picture's ``wnid`` is one of the classes; the likeliest, where there is no doubt."""
    for wnid, picture in zip([*WNIDS, None], candidate.pictures, strict=True):
        expect(picture.wnid in WNIDS, f"found wnid {picture.wnid!r}; allowed: {', '.join(WNIDS)}")
        certain = wnid is None or picture.wnid == wnid
        expect(certain, f"made for {picture.wnid}, but {wnid} was decoded with certainty")


@demands(made_for_a_class)
def class_order(candidate: GeneratorCandidate) -> None:
    """Columns mean what ``classes`` says, in whatever order, and not what the image set says."""
    classes = WNIDS[::-1]
    found = candidate.generate(0, classes).wnid
    expect(found == classes[0], f"made for {found}, but column 1 was named {classes[0]}")


@demands(builds_and_generates)
def same_picture_for_the_same_seed(candidate: GeneratorCandidate) -> None:
    """The same decoding with the same seed gives the same picture, also from a new generator."""
    first = candidate.pictures[0]
    other = GeneratorCandidate(candidate.config)
    other.generate(likeliest=1)
    for again in candidate.generate(likeliest=0), other.generate(likeliest=0):
        expect(np.array_equal(first.pixels, again.pixels), "the pixels differ")
        expect(first.provenance == again.provenance, "the provenance differs")


@demands(builds_and_generates)
def provenance_can_be_stored(candidate: GeneratorCandidate) -> None:
    """``provenance`` holds text and finite numbers by name, and is not empty."""
    for picture in candidate.pictures:
        expect(picture.provenance, "provenance is empty: how was the picture made?")
        kinds = {type(value) for value in picture.provenance.values()}
        expect(kinds <= {str, int, float}, f"allowed: text and numbers; found {kinds}")
        json.dumps(dict(picture.provenance), allow_nan=False)


@demands(builds_and_generates)
def unknown_class_is_refused(candidate: GeneratorCandidate) -> None:
    """A class that the image set has not is refused in words."""
    classes = ("n99999998", "n99999999")
    expect_refusal(lambda: candidate.generate(0, classes), "a class that is not in the image set")


@demands(builds_and_generates)
def embedding_that_does_not_fit_is_refused(candidate: GeneratorCandidate) -> None:
    """No embedding, or one of another length or space, is refused in words."""
    if not candidate.uses_embeddings:
        raise NotApplicableError("its pictures do not follow an embedding")
    for what, decoding in candidate.misfits():
        draw = partial(candidate.built.generate, WNIDS, decoding, seed=SEED)
        expect_refusal(draw, f"a decoding with {what}")
