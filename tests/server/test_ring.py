"""The ring is the end of an endless array, whatever was appended how."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phosphene.errors import PhospheneError
from phosphene.ring import Ring

N_ROWS = 2


def columns(start: int, stop: int) -> NDArray[np.float64]:
    """Return columns that say which they are."""
    number = np.arange(start, stop) / 1.0
    return np.stack((number, number + 0.25))


@settings(deadline=None)
@given(st.data())
def test_a_ring_holds_the_last_columns_of_an_endless_array(data: st.DataObject) -> None:
    capacity = data.draw(st.integers(1, 12))
    ring, stop = Ring(N_ROWS, capacity, np.float64), 0
    for size in data.draw(st.lists(st.integers(0, capacity), max_size=15)):
        ring.append(columns(stop, stop + size))
        stop += size
        first = max(0, stop - capacity)
        assert (ring.stop, ring.first, ring.capacity) == (stop, first, capacity)
        for start in range(first, stop + 1):
            for end in range(start, stop + 1):
                np.testing.assert_array_equal(ring.view(start, end), columns(start, end))


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 30), st.integers(-3, 35), st.integers(-3, 35))
def test_columns_that_are_not_there_are_refused(
    capacity: int, stop: int, start: int, end: int
) -> None:
    ring = Ring(N_ROWS, capacity, np.float64)
    for at in range(stop):
        ring.append(columns(at, at + 1))
    if max(0, stop - capacity) <= start <= end <= stop:
        assert ring.view(start, end).shape == (N_ROWS, end - start)
    else:
        with pytest.raises(PhospheneError, match=f"samples {start} to {end} are not in the ring"):
            ring.view(start, end)


def test_a_view_is_no_copy_and_contiguous_along_time_even_where_the_ring_wraps() -> None:
    ring = Ring(N_ROWS, 8, np.float64)
    for at in range(0, 15, 5):
        ring.append(columns(at, at + 5))
    view = ring.view(7, 15)
    assert view.strides[1] == view.itemsize
    assert np.shares_memory(view, ring.view(7, 8))


def test_more_than_the_capacity_at_once_is_refused_and_changes_nothing() -> None:
    ring = Ring(N_ROWS, 4, np.float32)
    ring.append(columns(0, 3))
    with pytest.raises(PhospheneError, match="a ring of 4 columns cannot take 5 at once"):
        ring.append(columns(3, 8))
    np.testing.assert_array_equal(ring.view(0, 3), columns(0, 3))


def test_what_is_appended_is_copied() -> None:
    ring, piece = Ring(N_ROWS, 4, np.float64), columns(0, 3)
    ring.append(piece)
    piece[:] = -1
    np.testing.assert_array_equal(ring.view(0, 3), columns(0, 3))
