"""A screen with vertical sync is told from one without, and its rate is measured well."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene.clock import VirtualClock
from phosphene_paradigms._vsync import measure

drawing = st.lists(st.floats(0.0005, 0.003), min_size=1, max_size=30)


def synced(clock: VirtualClock, rate: float, costs: list[float]) -> Callable[[], float]:
    """Return a flip that draws for some time and then waits for the next frame."""
    busy = unsynced(clock, costs)

    def flip() -> float:
        clock.sleep_until(math.floor(busy() * rate + 1) / rate)
        return clock.now()

    return flip


def unsynced(clock: VirtualClock, costs: list[float]) -> Callable[[], float]:
    count = 0

    def flip() -> float:
        nonlocal count
        count += 1
        clock.sleep_until(clock.now() + costs[count % len(costs)])
        return clock.now()

    return flip


@given(rate=st.sampled_from([50.0, 59.94, 60.0, 75.0, 120.0]), costs=drawing)
def test_a_synced_screen_is_recognised_and_its_rate_found(rate: float, costs: list[float]) -> None:
    clock = VirtualClock()
    measured = measure(synced(clock, rate, costs), clock)
    assert measured.waits
    assert measured.rate == pytest.approx(rate, rel=1e-4)


def test_missed_frames_do_not_spoil_the_rate() -> None:
    clock = VirtualClock()
    measured = measure(synced(clock, 60, [0.001] * 9 + [0.03]), clock)
    assert measured.waits
    assert measured.rate == pytest.approx(60, rel=1e-4)


@given(cost=st.floats(0.0002, 0.02))
def test_a_screen_that_flips_as_fast_as_it_draws_is_not_taken_for_synced(cost: float) -> None:
    clock = VirtualClock()
    assert not measure(unsynced(clock, [cost]), clock).waits


def test_what_flips_faster_than_any_display_is_not_synced_however_even_its_flips() -> None:
    clock = VirtualClock()
    assert not measure(synced(clock, 3361, [0.00001]), clock).waits
