"""The gaps of the interleaved design: one for all, or each drawn from a range."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene import Context, StimulusSet
from phosphene.manifest import Image
from phosphene.timeline import timeline
from phosphene_paradigms.interleaved import Interleaved


def context(seed: int = 0) -> Context:
    classes = {f"n{number:08}": f"class {number}" for number in range(4)}
    images = [Image(f"{w}/{n}.png", w, "train", "", "CC0") for w in classes for n in range(3)]
    return Context(StimulusSet(Path("nowhere"), classes, tuple(images)), seed)


def gaps(design: Interleaved, seed: int = 0) -> list[float]:
    return [trial.gap for block in design.blocks(context(seed)) for trial in block.trials]


def interleaved(gap: object, **settings: object) -> Interleaved:
    return msgspec.convert({"gap": gap} | settings, Interleaved)


@pytest.mark.parametrize("gap", [0, 0.25, 1])
def test_a_number_is_the_gap_of_every_trial(gap: float) -> None:
    assert set(gaps(interleaved(gap))) == {gap}


@given(rate=st.sampled_from([60.0, 100.0, 120.0, 144.0]), seed=st.integers(0, 2**32))
def test_a_range_gives_each_trial_a_gap_of_whole_frames(rate: float, seed: int) -> None:
    design = interleaved([0.2, 0.3], gap_rate=rate)
    frames = np.array(gaps(design, seed)) * rate
    np.testing.assert_allclose(frames, np.round(frames), atol=1e-9)
    assert min(gaps(design, seed)) >= 0.2 - 1e-9
    assert max(gaps(design, seed)) <= 0.3 + 1e-9
    for block in design.blocks(context(seed)):
        timeline(block, rate)  # Raises for what such a screen cannot show.


def test_every_length_of_a_range_occurs_about_equally_often() -> None:
    frames = np.round(np.array(gaps(interleaved([0.2, 0.3], runs=20))) * 60).astype(int)
    counts = np.bincount(frames)[12:]
    assert len(counts) == 7
    assert counts.min() > 0.6 * counts.mean()


def test_gaps_are_the_same_for_the_same_seed_and_leave_the_order_alone() -> None:
    drawn = interleaved([0.2, 0.3])
    assert gaps(drawn, 1) == gaps(drawn, 1) != gaps(drawn, 2)
    orders = [
        [trial.image for block in design.blocks(context()) for trial in block.trials]
        for design in (drawn, Interleaved())
    ]
    assert orders[0] == orders[1]


def test_a_range_may_be_a_single_length() -> None:
    assert set(gaps(interleaved([0.25, 0.25]))) == {0.25}


@pytest.mark.parametrize(
    ("gap", "complaint"),
    [
        ([0.3, 0.2], "the shortest first; found 0.3 to 0.2"),
        ([0.201, 0.209], "whole frame of 1/60 s in it"),
        ([-0.1, 0.2], "gap must be at least 0"),
        ([0.1, float("inf")], "gap must be at least 0"),
        ([0.1], "Expected `array` of length 2"),
        ("long", "Expected `float | array`"),
    ],
    ids=str,
)
def test_a_gap_that_cannot_be_is_refused(gap: object, complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        interleaved(gap)


def test_a_gap_rate_that_cannot_be_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="gap_rate must be at least 1"):
        interleaved(0.2, gap_rate=0)
