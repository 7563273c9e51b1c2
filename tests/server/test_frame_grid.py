"""The frames of a screen are found in flips that return late, at a rate that is not quite right."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene.frame_grid import FrameGrid

PERIOD = 1 / 60


def follow(true_period: float, delays: Sequence[float], skips: Sequence[int]) -> float:
    """Return by how many frames the grid was off at worst, from the tenth flip on."""
    grid = FrameGrid(60)
    frame, worst = 0, 0.0
    for number, (delay, skip) in enumerate(zip(delays, skips, strict=True)):
        frame += 1 + skip
        missed = grid.flipped(frame * true_period + delay * PERIOD)
        if number >= 10:
            assert missed == skip
            worst = max(worst, abs(grid.frame - frame * true_period) / PERIOD)
    return worst


delays = st.lists(st.floats(0, 0.8), min_size=40, max_size=40)


@given(delays=delays, punctual=st.integers(0, 9))
def test_flips_that_return_late_hardly_move_the_grid(delays: list[float], punctual: int) -> None:
    delays[punctual] = 0.0
    assert follow(PERIOD, delays, [0] * 40) < 0.65


@given(skips=st.lists(st.integers(0, 5), min_size=40, max_size=40))
def test_missed_frames_are_counted(skips: list[int]) -> None:
    assert follow(PERIOD, [0.0] * 40, skips) < 1e-6


@pytest.mark.parametrize("error", [-0.001, -0.0001, 0.0001, 0.001])
def test_the_grid_follows_a_rate_that_was_measured_badly(error: float) -> None:
    delays = np.random.default_rng(0).exponential(0.02, 5000).clip(0, 0.5)
    assert follow(PERIOD * (1 + error), list(delays), [0] * 5000) < 0.1


@given(wait=st.floats(0, 10))
def test_the_next_frame_is_on_the_grid_and_not_in_the_past(wait: float) -> None:
    grid = FrameGrid(60)
    grid.flipped(5.0)
    following = grid.next_after(5.0 + wait)
    assert -1e-6 < following - (5.0 + wait) <= PERIOD + 1e-6
    assert (following - 5.0) * 60 == pytest.approx(max(1, round((following - 5.0) * 60)))


def test_before_the_first_flip_a_frame_from_now_is_expected() -> None:
    assert FrameGrid(50).next_after(2.0) == pytest.approx(2.02)
