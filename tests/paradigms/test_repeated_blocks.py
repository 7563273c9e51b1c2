"""Repeated blocks: one class a block, several blocks a class, far apart, in changing order."""

from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene import Block, Context, Onset, PhospheneError, StimulusSet
from phosphene.analysis.splits import default_split, is_nested, make_folds
from phosphene.manifest import Image
from phosphene_paradigms import repeated_blocks
from phosphene_paradigms.repeated_blocks import RepeatedBlocks

seeds = st.integers(0, 2**32)


def context(n_classes: int, n_images: int, seed: int = 0) -> Context:
    classes = {f"n{number:08}": f"class {number}" for number in range(n_classes)}
    images = [
        Image(f"{wnid}/{n}.png", wnid, "train", "", "CC0")
        for wnid in classes
        for n in range(n_images)
    ]
    return Context(StimulusSet(Path("nowhere"), classes, tuple(images)), seed)


def order(blocks: tuple[Block, ...]) -> list[str]:
    """Return the class of each block."""
    classes = [{trial.wnid for trial in block.trials} for block in blocks]
    assert all(len(of) == 1 for of in classes)
    return [min(of) for of in classes]


def passes(blocks: tuple[Block, ...], n_classes: int) -> list[list[str]]:
    wnids = order(blocks)
    return [wnids[start : start + n_classes] for start in range(0, len(wnids), n_classes)]


@given(n=st.integers(2, 12), repeats=st.integers(2, 5), seed=seeds)
def test_each_pass_is_a_run_in_which_every_class_has_one_block(
    n: int, repeats: int, seed: int
) -> None:
    blocks = RepeatedBlocks(repeats=repeats, images=2).blocks(context(n, 2 * repeats, seed))
    assert blocks == RepeatedBlocks(repeats=repeats, images=2).blocks(context(n, 2 * repeats, seed))
    assert [block.block for block in blocks] == list(range(1, n * repeats + 1))
    assert [block.run for block in blocks] == [1 + i // n for i in range(n * repeats)]
    assert all(len(set(each)) == n for each in passes(blocks, n))


@given(n=st.integers(3, 12), repeats=st.integers(2, 3), seed=seeds)
def test_no_class_has_a_place_that_it_had_before(n: int, repeats: int, seed: int) -> None:
    blocks = RepeatedBlocks(repeats=repeats, images=1).blocks(context(n, repeats, seed))
    for one, other in combinations(passes(blocks, n), 2):
        assert all(a != b for a, b in zip(one, other, strict=True))


@given(n=st.integers(2, 16), repeats=st.integers(2, 4), seed=seeds)
def test_the_blocks_of_a_class_are_far_apart(n: int, repeats: int, seed: int) -> None:
    wnids = np.array(
        order(RepeatedBlocks(repeats=repeats, images=1).blocks(context(n, repeats, seed)))
    )
    between = min(int(np.diff(np.flatnonzero(wnids == wnid)).min()) - 1 for wnid in set(wnids))
    assert between >= max(1, n // 4)


@given(n=st.integers(2, 8), repeats=st.integers(2, 4), seed=seeds)
def test_no_image_is_shown_twice(n: int, repeats: int, seed: int) -> None:
    blocks = RepeatedBlocks(repeats=repeats, images=3).blocks(context(n, 3 * repeats, seed))
    shown = [trial.image for block in blocks for trial in block.trials]
    assert len(set(shown)) == len(shown) == n * repeats * 3


@given(n=st.integers(2, 8), repeats=st.integers(2, 4), seed=seeds)
def test_class_and_time_are_two_things_and_a_run_can_be_left_out(
    n: int, repeats: int, seed: int
) -> None:
    borrowed = context(n, 10 * repeats, seed)
    blocks = RepeatedBlocks(repeats=repeats, images=10).blocks(borrowed)
    trials = [
        Onset(0, "stimulus", 0, 0, 0.5, "record", b.run, b.block, 1, number, t.wnid, t.image, "")
        for b in blocks
        for number, t in enumerate(b.trials, start=1)
    ]
    assert not is_nested(trials)
    assert default_split(trials) == "leave-one-run-out"
    assert len(make_folds("leave-one-run-out", trials)) == repeats


def test_the_defaults_are_as_many_trials_as_the_paper() -> None:
    blocks = RepeatedBlocks().blocks(context(40, 50))
    assert sum(len(block.trials) for block in blocks) == 2000
    assert {(block.pause, block.cue) for block in blocks} == {(10.0, 1.0)}


def test_too_few_images_are_refused_with_class_and_numbers() -> None:
    with pytest.raises(PhospheneError, match=r"n\d{8} \(class \d\) .*: 49, needed: 50"):
        RepeatedBlocks().blocks(context(4, 49))


def test_a_set_of_one_class_is_refused() -> None:
    with pytest.raises(PhospheneError, match=r"classes: .* at least 2"):
        RepeatedBlocks().blocks(context(1, 50))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"repeats": 1}, "repeats must be at least 2; found 1"),
        ({"images": 0}, "images must be at least 1"),
        ({"pause": 0.5}, "cue .* at most 0.5 s"),
        ({"classes": 1}, "classes must be at least 2"),
    ],
    ids=str,
)
def test_settings_that_can_never_work_are_refused(
    settings: dict[str, object], complaint: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(settings, RepeatedBlocks)


def test_the_module_offers_its_design_by_name() -> None:
    assert repeated_blocks.paradigm() == {"repeated-blocks": RepeatedBlocks}
