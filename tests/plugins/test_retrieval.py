"""``retrieval`` answers with a gallery image of the likeliest class, never with a stimulus."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene import Context, Decoding, Generator, PhospheneError, Picture, StimulusSet
from phosphene.manifest import Image, Role
from phosphene_plugins.retrieval import RetrievalConfig, generator

DOG, CUP = "n02106662", "n03063599"
NAMES = {DOG: "German shepherd", CUP: "coffee mug"}


def make_stimuli(root: Path, galleries: Mapping[str, int]) -> StimulusSet:
    """Return a set with one stimulus of each class and as many gallery images as asked for."""
    images: list[Image] = []

    def add(wnid: str, role: Role) -> None:
        number = len(images)
        name = f"{wnid}-{role}-{number}.png"
        PIL.Image.new("RGB", (4, 3), (number, 2 * number, 3)).save(root / name)
        images.append(Image(name, wnid, role, f"{number:064x}", "CC0-1.0"))

    for wnid, n_gallery in galleries.items():
        add(wnid, "train")
        for _ in range(n_gallery):
            add(wnid, "gallery")
    return StimulusSet(root, {wnid: NAMES[wnid] for wnid in galleries}, tuple(images))


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory: pytest.TempPathFactory) -> StimulusSet:
    return make_stimuli(tmp_path_factory.mktemp("images"), {DOG: 3, CUP: 5})


@pytest.fixture(scope="module")
def retrieval(stimuli: StimulusSet) -> Generator:
    return RetrievalConfig().build(Context(stimuli))


def ask(generator: Generator, dog: float, seed: int = 0) -> Picture:
    decoding = Decoding(np.array([[1 - dog, dog]]))
    return generator.generate((CUP, DOG), decoding, seed=seed)


def test_the_plugin_offers_retrieval() -> None:
    assert generator() == {"retrieval": RetrievalConfig}


@pytest.mark.parametrize(("dog", "wnid"), [(0.6, DOG), (0.4, CUP)])
def test_the_picture_is_a_gallery_image_of_the_likeliest_class(
    retrieval: Generator, stimuli: StimulusSet, dog: float, wnid: str
) -> None:
    for seed in range(10):
        picture = ask(retrieval, dog, seed)
        image = stimuli[str(picture.provenance["image"])]
        assert picture.wnid == wnid
        assert (image.wnid, image.role) == (wnid, "gallery")
        assert picture.provenance == {
            "generator": "retrieval",
            "image": image.id,
            "sha256": image.sha256,
        }
        np.testing.assert_array_equal(picture.pixels, stimuli.pixels(image.id))
        assert picture.pixels.shape == (3, 4, 3)
        assert picture.pixels.dtype == np.uint8


@given(st.integers(0, 2**63))
def test_a_seed_chooses_one_image_whatever_was_asked_before(
    retrieval: Generator, stimuli: StimulusSet, seed: int
) -> None:
    first = ask(retrieval, 0.9, seed)
    ask(retrieval, 0.1, seed + 1)
    fresh = RetrievalConfig().build(Context(stimuli, seed=7))
    assert ask(fresh, 0.8, seed).provenance == ask(retrieval, 0.9, seed).provenance
    assert ask(retrieval, 0.9, seed).provenance == first.provenance


def test_every_gallery_image_of_a_class_has_its_turn(
    retrieval: Generator, stimuli: StimulusSet
) -> None:
    shown = {ask(retrieval, 0.9, seed).provenance["image"] for seed in range(3)}
    assert shown == {image.id for image in stimuli.of(DOG, "gallery")}


def test_classes_without_a_gallery_image_are_named_at_once(tmp_path: Path) -> None:
    lacking = make_stimuli(tmp_path, {DOG: 0, CUP: 1})
    with pytest.raises(PhospheneError, match=r"no gallery image for German shepherd$"):
        RetrievalConfig().build(Context(lacking))


def test_a_class_that_the_image_set_does_not_have_is_named(retrieval: Generator) -> None:
    with pytest.raises(PhospheneError, match="the image set has no class n00000001"):
        retrieval.generate(("n00000001",), Decoding(np.ones((1, 1))), seed=0)
