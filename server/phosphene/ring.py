"""A ring buffer in which every stretch of samples is contiguous, so that nothing is rolled."""

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import PhospheneError


class Ring:
    """The last ``capacity`` columns that were appended, addressed by their absolute index.

    Each column is stored twice, ``capacity`` apart, so that a stretch that wraps around the end of
    one copy is whole in the other.
    """

    def __init__(self, n_rows: int, capacity: int, dtype: type[np.floating]) -> None:
        self._data = np.zeros((n_rows, 2 * capacity), dtype)
        self.capacity = capacity
        self.stop = 0
        """Index after the newest column."""

    @property
    def first(self) -> int:
        """Index of the oldest column that is still there."""
        return max(0, self.stop - self.capacity)

    def append(self, columns: NDArray[np.floating]) -> None:
        """Add at most ``capacity`` columns, shape (n_rows, n)."""
        n = columns.shape[1]
        if n > self.capacity:
            raise PhospheneError(f"a ring of {self.capacity} columns cannot take {n} at once")
        at = self.stop % self.capacity
        head = min(n, self.capacity - at)
        for offset in (0, self.capacity):
            self._data[:, offset + at : offset + at + head] = columns[:, :head]
            if head < n:
                self._data[:, offset : offset + n - head] = columns[:, head:]
        self.stop += n

    def view(self, start: int, stop: int) -> NDArray[np.floating]:
        """Return columns ``start`` to ``stop`` without copying; valid until the next append."""
        if not self.first <= start <= stop <= self.stop:
            raise PhospheneError(
                f"samples {start} to {stop} are not in the ring, which holds {self.first} "
                f"to {self.stop}"
            )
        at = start % self.capacity
        return self._data[:, at : at + stop - start]
