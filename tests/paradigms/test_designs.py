"""Paradigms plan what their settings say: every trial, in balanced order, the same for a seed."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene import Block, Context, ParadigmConfig, PhospheneError, StimulusSet
from phosphene.stimulus import Image
from phosphene_paradigms import brain2image, feedback, interleaved
from phosphene_paradigms.brain2image import Brain2Image
from phosphene_paradigms.feedback import Feedback
from phosphene_paradigms.interleaved import Interleaved


def stimuli(n_classes: int, n_images: int) -> StimulusSet:
    classes = {f"n{number:08}": f"class {number}" for number in range(n_classes)}
    images = [
        Image(f"{wnid}/{role}{n}.png", wnid, role, "", "CC0")
        for wnid in classes
        for role in ("train", "gallery")
        for n in range(n_images)
    ]
    return StimulusSet(Path("nowhere"), classes, tuple(images))


def context(n_classes: int = 4, n_images: int = 6, seed: int = 0) -> Context:
    return Context(stimuli(n_classes, n_images), seed)


def shown(blocks: tuple[Block, ...]) -> list[str]:
    return [trial.image for block in blocks for trial in block.trials]


def successions(blocks: tuple[Block, ...]) -> Counter[tuple[str, str]]:
    """Count the ordered pairs of classes that follow each other within a block."""
    wnids = [[trial.wnid for trial in block.trials] for block in blocks]
    return Counter(pair for block in wnids for pair in pairwise(block))


DESIGNS: list[ParadigmConfig] = [
    Brain2Image(images=5, runs=2),
    Interleaved(runs=2, blocks_per_run=3),
    Feedback(runs=2, trials=8),
]
seeds = st.integers(0, 2**32)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: type(design).__name__)
@given(seed=seeds)
def test_every_design_is_sound(design: ParadigmConfig, seed: int) -> None:
    borrowed = context(seed=seed)
    blocks = design.blocks(borrowed)
    assert blocks == design.blocks(context(seed=seed))
    assert blocks != design.blocks(context(seed=seed + 1))
    assert [block.block for block in blocks] == list(range(1, len(blocks) + 1))
    runs = [block.run for block in blocks]
    assert runs == sorted(runs)
    assert len(set(Counter(runs).values())) == 1
    for block in blocks:
        for trial in block.trials:
            image = borrowed.stimuli[trial.image]
            assert (image.wnid, image.role) == (trial.wnid, "train")


def test_each_module_offers_its_design_by_name() -> None:
    assert brain2image.paradigm() == {"brain2image": Brain2Image}
    assert interleaved.paradigm() == {"interleaved": Interleaved}
    assert feedback.paradigm() == {"feedback": Feedback}


# brain2image


def test_the_paper_is_four_runs_of_350_s_with_2000_images() -> None:
    blocks = tuple(Brain2Image().blocks(context(40, 50)))
    assert len(set(shown(blocks))) == 2000
    for run in (1, 2, 3, 4):
        of_run = [block for block in blocks if block.run == run]
        assert len(of_run) == 10
        seconds = [sum(t.duration for t in block.trials) + block.pause for block in of_run]
        assert sum(seconds) == 350


@given(seed=seeds)
def test_a_block_of_the_paper_shows_one_class_and_every_class_has_one_block(seed: int) -> None:
    blocks = Brain2Image(images=5, runs=3).blocks(context(6, 8, seed))
    classes = [{trial.wnid for trial in block.trials} for block in blocks]
    assert all(len(block) == 1 for block in classes)
    assert len(set.union(*classes)) == len(blocks) == 6
    assert all(len({trial.image for trial in block.trials}) == 5 for block in blocks)


def test_classes_that_do_not_divide_over_the_runs_are_refused_with_what_would() -> None:
    with pytest.raises(PhospheneError, match=r"6 blocks .* over 4; possible: 1, 2, 3, 6"):
        Brain2Image(images=2, runs=4).blocks(context(6))


def test_too_few_images_are_refused_with_class_and_numbers() -> None:
    with pytest.raises(PhospheneError, match=r"n\d{8} \(class \d\) .*: 6, needed: 50"):
        Brain2Image(runs=2).blocks(context())


# interleaved


def test_the_recommended_session_shows_each_of_2000_images_once() -> None:
    blocks = Interleaved().blocks(context(40, 50))
    assert len(blocks) == 50
    assert Counter(shown(blocks)).most_common(1)[0][1] == 1
    assert len(shown(blocks)) == 2000


def test_the_recommended_session_has_every_succession_once_or_twice() -> None:
    counts = successions(Interleaved().blocks(context(40, 50)))
    assert len(counts) == 40 * 39
    assert set(counts.values()) == {1, 2}


@given(half=st.integers(1, 6), blocks=st.integers(1, 30), seed=seeds)
def test_successions_of_an_even_number_of_classes_differ_by_one_at_most(
    half: int, blocks: int, seed: int
) -> None:
    n = 2 * half
    counts = successions(Interleaved(runs=1, blocks_per_run=blocks).blocks(context(n, 2, seed)))
    fewest = min(counts.values()) if len(counts) == n * (n - 1) else 0
    assert max(counts.values()) - fewest <= 1


@given(n=st.sampled_from([3, 5, 7, 9]), cycles=st.integers(1, 2), seed=seeds)
def test_successions_of_an_odd_number_of_classes_are_equal_after_two_n_blocks(
    n: int, cycles: int, seed: int
) -> None:
    design = Interleaved(runs=cycles, blocks_per_run=2 * n)
    counts = successions(design.blocks(context(n, 2, seed)))
    assert len(counts) == n * (n - 1)
    assert set(counts.values()) == {2 * cycles}


@given(n=st.integers(2, 9), blocks=st.integers(1, 12), seed=seeds)
def test_every_class_is_in_every_block_once(n: int, blocks: int, seed: int) -> None:
    for block in Interleaved(runs=1, blocks_per_run=blocks).blocks(context(n, 3, seed)):
        assert len({trial.wnid for trial in block.trials}) == len(block.trials) == n


@given(n=st.sampled_from([2, 4, 6, 8]), seed=seeds)
def test_every_class_is_at_every_position_once_in_n_blocks(n: int, seed: int) -> None:
    blocks = Interleaved(runs=1, blocks_per_run=n).blocks(context(n, 3, seed))
    for position in range(n):
        assert len({block.trials[position].wnid for block in blocks}) == n


@given(blocks=st.integers(1, 20), seed=seeds)
def test_no_image_comes_again_before_all_of_its_class_were_shown(blocks: int, seed: int) -> None:
    times = Counter(shown(Interleaved(runs=1, blocks_per_run=blocks).blocks(context(seed=seed))))
    assert set(times.values()) <= {blocks // 6, blocks // 6 + 1}


def test_the_gap_follows_every_image() -> None:
    (block,) = Interleaved(runs=1, blocks_per_run=1, gap=0.25).blocks(context())
    assert {trial.gap for trial in block.trials} == {0.25}


# feedback


def test_feedback_answers_every_image_with_a_picture() -> None:
    blocks = Feedback(trials=8).blocks(context())
    timing = {(t.duration, t.gap, t.picture, t.rest) for block in blocks for t in block.trials}
    assert timing == {(0.5, 1.0, 1.0, 0.5)}
    assert [len(block.trials) for block in blocks] == [8, 8]


@given(trials=st.integers(1, 30), seed=seeds)
def test_feedback_shows_the_classes_equally_often(trials: int, seed: int) -> None:
    blocks = Feedback(trials=trials).blocks(context(seed=seed))
    times = np.array(list(Counter(t.wnid for b in blocks for t in b.trials).values()))
    assert times.sum() == 2 * trials
    assert np.ptp(times) <= 1


@given(
    seed=seeds,
    record=st.sampled_from([Interleaved(runs=1, blocks_per_run=4), Brain2Image(images=4, runs=1)]),
)
def test_feedback_shows_images_that_were_not_recorded_while_there_are_any(
    seed: int, record: Interleaved | Brain2Image
) -> None:
    borrowed = context(n_classes=4, n_images=6, seed=seed)
    new = Feedback(blocks_per_run=1, trials=8).blocks(borrowed)
    assert not set(shown(record.blocks(borrowed))) & set(shown(new))


# settings


def test_classes_are_the_first_of_the_set_or_those_named() -> None:
    three = Interleaved(classes=3).blocks(context())
    assert {t.wnid for t in three[0].trials} == {"n00000000", "n00000001", "n00000002"}
    named = Interleaved(classes=("n00000003", "n00000001")).blocks(context())
    assert {t.wnid for t in named[0].trials} == {"n00000001", "n00000003"}


@pytest.mark.parametrize(
    ("classes", "complaint"),
    [(9, "9 asked for, but the stimulus set has 4"), (("n00000001", "cat"), "set: cat; it has n0")],
)
def test_classes_that_the_set_lacks_are_refused(
    classes: int | tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(PhospheneError, match=complaint):
        Interleaved(classes=classes).blocks(context())


def test_a_class_without_train_images_is_refused_by_name() -> None:
    gallery = StimulusSet(
        Path("nowhere"),
        {"n00000000": "cat", "n00000001": "dog"},
        tuple(image for image in stimuli(2, 3).images if image.role == "gallery"),
    )
    with pytest.raises(PhospheneError, match=r"n00000000 \(cat\) .*: 0, needed: 1"):
        Interleaved().blocks(Context(gallery))


@pytest.mark.parametrize(
    ("config", "settings", "complaint"),
    [
        (Brain2Image, {"images": 0}, "images must be at least 1; found 0"),
        (Brain2Image, {"runs": 0}, "runs must be at least 1"),
        (Brain2Image, {"duration": 0}, "duration must be at least"),
        (Brain2Image, {"pause": 0.5}, "cue .* at most 0.5 s; found 1"),
        (Interleaved, {"blocks": 0}, "blocks must be at least 1"),
        (Interleaved, {"gap": -0.1}, "gap must be at least 0"),
        (Interleaved, {"pause": float("inf")}, "pause must be"),
        (Interleaved, {"classes": 1}, "classes must be at least 2"),
        (Interleaved, {"classes": ["n1", "n2", "n1"]}, "found twice: n1"),
        (Feedback, {"trials": 0}, "trials must be at least 1"),
        (Feedback, {"picture": 0}, "picture must be at least"),
        (Feedback, {"rest": float("nan")}, "rest must be"),
        (Feedback, {"blcks": 3}, "unknown field `blcks`"),
    ],
    ids=str,
)
def test_settings_that_can_never_work_are_refused(
    config: type[ParadigmConfig], settings: dict[str, object], complaint: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(settings, config)
