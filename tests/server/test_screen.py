"""The simulated screen keeps to its frames and shows only what was prepared."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene.clock import RealClock, VirtualClock
from phosphene.errors import PhospheneError
from phosphene.screen import Black, Fixation, HeadlessScreen, ImageScene, PictureScene

PIXELS = np.zeros((2, 2, 3), np.uint8)


@given(rate=st.floats(24, 240), start=st.floats(0, 1e6))
def test_flips_lie_on_the_frames_of_the_virtual_clock(rate: float, start: float) -> None:
    clock = VirtualClock(start)
    screen = HeadlessScreen(clock, rate)
    flips = [screen.flip() for _ in range(50)]
    np.testing.assert_allclose(flips, start + np.arange(1, 51) / rate, rtol=0, atol=1e-6)
    assert clock.now() == flips[-1]


@given(rate=st.floats(24, 240), late=st.floats(0.01, 5))
def test_a_screen_that_wakes_late_skips_the_frames_it_slept_through(
    rate: float, late: float
) -> None:
    clock = VirtualClock()
    screen = HeadlessScreen(clock, rate)
    screen.flip()
    clock.sleep_until(clock.now() + late)
    flip = screen.flip()
    assert late < flip <= late + 2.001 / rate
    assert flip * rate == pytest.approx(round(flip * rate), abs=1e-6)


def test_a_flip_that_returns_late_is_reported_on_the_frame_it_returned_in() -> None:
    class Sluggish(VirtualClock):
        def sleep_until(self, time: float) -> None:
            super().sleep_until(time + 0.035)

    assert HeadlessScreen(Sluggish(), 60).flip() == pytest.approx(3 / 60)


def test_flips_on_the_real_clock_are_never_ahead_of_it() -> None:
    clock = RealClock()
    screen = HeadlessScreen(clock, 240)
    flips = [(screen.flip(), clock.now()) for _ in range(10)]
    assert all(flip <= now for flip, now in flips)
    assert all(later > earlier for (earlier, _), (later, _) in pairwise(flips))


def test_a_scene_appears_with_the_flip_and_not_before() -> None:
    screen = HeadlessScreen(VirtualClock())
    screen.show(Fixation())
    before = screen.scene
    screen.flip()
    assert (before, screen.scene) == (Black(), Fixation())


def test_an_image_that_was_not_prepared_is_refused_by_name() -> None:
    screen = HeadlessScreen(VirtualClock())
    screen.prepare([("cat.png", PIXELS)])
    screen.show(ImageScene("cat.png"))
    screen.keep("picture-1", PIXELS)
    screen.show(PictureScene("picture-1"))
    screen.prepare([("dog.png", PIXELS)])
    with pytest.raises(PhospheneError, match=r"cat\.png was not prepared"):
        screen.show(ImageScene("cat.png"))


def test_a_headless_screen_is_never_closed_by_anybody() -> None:
    screen = HeadlessScreen(VirtualClock())
    screen.close()
    assert not screen.closed()
