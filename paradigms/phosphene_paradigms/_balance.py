"""Orders in which every class follows every other equally often."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def balanced_orders(n: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Yield, without end, orders of ``n`` classes, each class once in each.

    Within the orders, class a is followed by class b equally often for all ordered pairs, after
    every ``n`` orders for an even ``n`` (and the counts never differ by more than 1), after every
    ``2 n`` for an odd one. Each class is also equally often at each position. Every such cycle is
    relabelled and shuffled anew.

    >>> next(balanced_orders(4, np.random.default_rng(0))).shape
    (4,)
    """
    square = _williams(n)
    while True:
        labels = rng.permutation(n)
        yield from labels[rng.permutation(square)]


def _williams(n: int) -> NDArray[np.intp]:
    """Return a balanced Latin square, (n, n), or for an odd ``n`` it and its mirror, (2 n, n).

    Williams, E. J. (1949), Australian Journal of Scientific Research A 2, 149-168: the zigzag
    0, n-1, 1, n-2, ..., shifted by one from row to row.
    """
    zigzag = np.empty(n, np.intp)
    zigzag[::2] = np.arange((n + 1) // 2)
    zigzag[1::2] = n - 1 - np.arange(n // 2)
    square = (zigzag + np.arange(n)[:, None]) % n
    return square if n % 2 == 0 else np.concatenate([square, square[:, ::-1]])
