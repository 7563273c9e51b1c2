"""A block becomes steps on whole frames, or is refused with the nearest that is possible."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene.errors import PhospheneError
from phosphene.events import Block, Trial
from phosphene.timeline import timeline, whole_frames


def test_a_timeline_without_trials_is_refused() -> None:
    with pytest.raises(PhospheneError, match="block 1 has no trials"):
        timeline(Block(1, 1, ()), 60)


@given(
    rate=st.sampled_from([50.0, 59.94, 60.0, 120.0]),
    durations=st.lists(st.sampled_from([0.5, 1.0, 1.5]), min_size=1, max_size=8),
    gap=st.sampled_from([0.0, 0.5]),
)
def test_the_steps_of_a_timeline_follow_each_other_without_a_hole(
    rate: float, durations: list[float], gap: float
) -> None:
    trials = tuple(Trial("x", "n00000001", duration=d, gap=gap) for d in durations)
    steps = timeline(Block(1, 1, trials), rate)
    assert steps[0].frame == 0
    for step, following in pairwise(steps):
        assert step.frame + step.n_frames == following.frame
        assert step.n_frames > 0
    seconds = sum(durations) + gap * len(durations)
    assert steps[-1].frame / rate == pytest.approx(seconds, rel=0.01)


@given(seconds=st.floats(0.001, 5), rate=st.floats(24, 360))
def test_whole_frames_are_within_one_percent_or_refused(seconds: float, rate: float) -> None:
    try:
        assert whole_frames(seconds, rate, "gap") / rate == pytest.approx(seconds, rel=0.01)
    except PhospheneError as error:
        nearest = float(str(error).rsplit("nearest possible: ")[1].split(" s")[0])
        assert whole_frames(nearest, rate, "gap") == max(1, round(seconds * rate))
