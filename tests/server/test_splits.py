"""Splits: nothing of the tested run, block or image is ever trained on."""

from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from phosphene import Onset, PhospheneError
from phosphene.analysis.splits import default_split, is_nested, make_folds

Plan = list[tuple[int, int, str]]
"""(run, block, wnid) by trial"""


def onsets(plan: Plan, images: int = 1000, phase: str = "record") -> list[Onset]:
    """Every class goes through its images in order and then again."""
    shown: Counter[str] = Counter()
    trials = []
    for seq, (run, block, wnid) in enumerate(plan):
        image = f"{wnid}/{shown[wnid] % images}"
        shown[wnid] += 1
        time = 0.5 * seq
        trials.append(
            Onset(seq, "stimulus", time, time, 0.5, phase, run, block, 1, 1, wnid, image, "")
        )
    return trials


def interleaved(runs: int, blocks: int, classes: int) -> Plan:
    """Every class once in every block."""
    number = count(1)
    return [
        (run, block, f"n{c}")
        for run in range(1, runs + 1)
        for block in [next(number) for _ in range(blocks)]
        for c in range(classes)
    ]


def one_class_a_block(classes: int, images: int, runs: int = 1) -> Plan:
    return [
        (1 + c * runs // classes, c + 1, f"n{c}") for c in range(classes) for _ in range(images)
    ]


def test_the_papers_design_is_nested_and_the_interleaved_one_is_not() -> None:
    assert is_nested(onsets(one_class_a_block(4, 10)))
    assert is_nested(onsets(one_class_a_block(4, 10, runs=2)))
    assert not is_nested(onsets(interleaved(2, 3, 4)))


def test_one_class_confined_to_one_block_is_enough() -> None:
    plan = [*interleaved(2, 2, 4), (2, 5, "n9"), (2, 5, "n9")]
    assert is_nested(onsets(plan))


def test_classes_confined_to_one_run_are_nested_too() -> None:
    first = [(1, block, wnid) for block in (1, 2) for wnid in ("a", "b")]
    second = [(2, block, wnid) for block in (3, 4) for wnid in ("c", "d")]
    assert is_nested(onsets(first + second))


def test_classes_repeated_in_blocks_of_their_own_are_not_nested() -> None:
    plan = [(run, 2 * run + c, f"n{c}") for run in (1, 2) for c in (0, 1) for _ in range(5)]
    assert not is_nested(onsets(plan))


def test_neighbouring_blocks_of_one_class_are_one_stretch_of_time() -> None:
    assert is_nested(onsets([(1, 1, "a"), (1, 2, "a"), (1, 3, "b"), (1, 4, "c"), (1, 5, "b")]))
    assert not is_nested(onsets([(1, 1, "a"), (1, 2, "b"), (1, 3, "a"), (1, 4, "b")]))


def test_classes_that_follow_each_other_are_nested_wherever_blocks_end() -> None:
    assert is_nested(onsets([(1, 1, "a")] * 3 + [(1, 1, "b")] * 2 + [(1, 2, "b")] * 2))
    assert not is_nested(onsets([(1, 1, "a")] * 2 + [(1, 1, "b")] * 2))


def test_a_single_block_nests_nothing_and_neither_does_a_class_shown_once() -> None:
    assert not is_nested(onsets([(1, 1, "a"), (1, 1, "a"), (1, 1, "b")]))
    assert not is_nested(onsets([*interleaved(2, 2, 3), (1, 1, "rare")]))
    assert not is_nested([])


def test_an_interrupted_block_and_its_repetition_are_one_block() -> None:
    trials = onsets([(1, 1, "a")] * 4)
    again = [structs.replace(trial, attempt=2) for trial in trials]
    assert not is_nested(trials + again)


def test_the_default_is_by_run_else_by_block_else_the_papers() -> None:
    assert default_split(onsets(interleaved(2, 2, 3))) == "leave-one-run-out"
    assert default_split(onsets(interleaved(1, 4, 3))) == "leave-one-block-out"
    assert default_split(onsets(one_class_a_block(4, 10, runs=2))) == "paper"


@pytest.mark.parametrize("split", ["leave-one-run-out", "leave-one-block-out"])
def test_nested_designs_are_refused_and_told_why(split: str) -> None:
    with pytest.raises(PhospheneError, match="class and time are one variable"):
        make_folds(split, onsets(one_class_a_block(4, 10, runs=2)))


def test_the_papers_split_is_refused_where_a_better_one_exists() -> None:
    with pytest.raises(PhospheneError, match="this one allows 'leave-one-run-out'"):
        make_folds("paper", onsets(interleaved(2, 2, 3)))


def test_an_unknown_split_is_told_the_known_ones() -> None:
    with pytest.raises(PhospheneError, match=r"'leave-one-run-out'\?\); allowed: .*paper"):
        make_folds("leave-one-run", onsets(interleaved(2, 2, 3)))


@given(data=st.data(), by_run=st.booleans())
def test_no_run_no_block_and_no_image_is_on_both_sides(data: st.DataObject, by_run: bool) -> None:
    runs, blocks = data.draw(st.integers(2, 4)), data.draw(st.integers(1, 3))
    images = data.draw(st.integers(blocks + 1, 20))
    trials = onsets(interleaved(runs, blocks, data.draw(st.integers(2, 5))), images)
    folds = make_folds("leave-one-run-out" if by_run else "leave-one-block-out", trials)
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(trials)))
    for fold in folds:
        train, test = [trials[i] for i in fold.train], [trials[i] for i in fold.test]
        unit = "run" if by_run else "block"
        assert len({getattr(t, unit) for t in test}) == 1
        assert not {getattr(t, unit) for t in train} & {getattr(t, unit) for t in test}
        assert not {t.image for t in train} & {t.image for t in test}
        assert {t.wnid for t in train} == {t.wnid for t in test}
        if images >= runs * blocks:
            assert len(train) + len(test) == len(trials)


def test_images_that_come_again_are_dropped_from_training() -> None:
    trials = onsets(interleaved(3, 2, 2), images=4)
    folds = {fold.name: fold for fold in make_folds("leave-one-run-out", trials)}
    assert len(folds["run 2"].train) == 8  # run 2 shows images 2 and 3, runs 1 and 3 images 0 and 1
    assert len(folds["run 1"].train) == 4  # run 3 shows what run 1 showed


def test_runs_that_all_show_the_same_images_are_refused() -> None:
    with pytest.raises(PhospheneError, match=r"run 1 cannot be left out.*n0, n1.*different images"):
        make_folds("leave-one-run-out", onsets(interleaved(2, 2, 2), images=2))


def test_a_single_run_or_block_cannot_be_left_out() -> None:
    with pytest.raises(PhospheneError, match="at least 2 runs; found 1"):
        make_folds("leave-one-run-out", onsets(interleaved(1, 3, 2)))
    with pytest.raises(PhospheneError, match="at least 2 blocks; found 1"):
        make_folds("leave-one-block-out", onsets(interleaved(1, 1, 2)))


@given(classes=st.integers(2, 5), images=st.integers(3, 30), seed=st.integers(0, 3))
def test_the_papers_split_tests_every_image_once_and_trains_on_others(
    classes: int, images: int, seed: int
) -> None:
    trials = onsets(one_class_a_block(classes, 2 * images), images)
    folds = make_folds("paper", trials, seed)
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(trials)))
    for fold in folds:
        tested = {trials[i].image for i in fold.test}
        trained = {trials[i].image for i in fold.train}
        assert not trained & tested
        assert {trials[i].wnid for i in fold.train} == {t.wnid for t in trials}


def test_the_papers_split_is_80_10_10_by_image_and_follows_its_seed() -> None:
    trials = onsets(one_class_a_block(4, 50))
    folds = make_folds("paper", trials, seed=3)
    assert [(len(fold.train), len(fold.test)) for fold in folds] == [(160, 20)] * 10
    again, other = make_folds("paper", trials, seed=3), make_folds("paper", trials, seed=4)
    assert [f.test.tolist() for f in again] == [f.test.tolist() for f in folds]
    assert [f.test.tolist() for f in other] != [f.test.tolist() for f in folds]


def test_the_papers_split_needs_three_images_of_a_class() -> None:
    with pytest.raises(PhospheneError, match="at least 3 images of every class; found 2 of n0"):
        make_folds("paper", onsets(one_class_a_block(3, 6), images=2))
