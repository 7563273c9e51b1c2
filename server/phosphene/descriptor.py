"""The built-in image descriptor: what an image looks like in 240 numbers, without any model.

It serves where a deep network's features would be better but cannot be had: the simulated subject
whose code follows image features, and the demo's teacher. Results that rest on it must name it.
"""

import numpy as np
import PIL.Image
from numpy.typing import NDArray

Values = NDArray[np.float32]

NAME = "phosphene-descriptor-1"
"""Names this descriptor in results; changes when the numbers change."""
COLOUR_GRID = 4
EDGE_GRID = 4
ORIENTATIONS = 12
LENGTH = 3 * COLOUR_GRID**2 + ORIENTATIONS * EDGE_GRID**2
SIDE = 64
"""Pixels to which an image is scaled first."""


def describe(pixels: NDArray[np.uint8]) -> Values:
    """Return the descriptor of an image of shape (height, width, 3): 240 numbers of unit length.

    48 numbers say how much red, green and blue there is around mid-grey in each of 4 x 4 tiles;
    192 say how strong the edges of 12 orientations are in each of 4 x 4 tiles (the square root
    of a histogram of gradients, Dalal & Triggs 2005). Both parts count the same.
    """
    image = PIL.Image.fromarray(pixels).resize((SIDE, SIDE), PIL.Image.Resampling.BOX)
    scaled: Values = np.asarray(image, dtype=np.float32) / np.float32(255)
    return _unit(np.concatenate([_unit(_colours(scaled)), _unit(_edges(scaled.mean(axis=2)))]))


def _colours(image: Values) -> Values:
    means: Values = _tiles(image - np.float32(0.5), COLOUR_GRID).mean(axis=(1, 3))
    return means.ravel()


def _edges(grey: Values) -> Values:
    dy, dx = np.gradient(grey)
    # Orientation, not direction: light on dark and dark on light are the same edge.
    angle = np.arctan2(dy, dx) % np.pi
    which = np.minimum((angle * (ORIENTATIONS / np.pi)).astype(np.intp), ORIENTATIONS - 1)
    energy = np.eye(ORIENTATIONS, dtype=np.float32)[which] * np.hypot(dx, dy)[..., np.newaxis]
    histogram: Values = _tiles(energy, EDGE_GRID).sum(axis=(1, 3))
    return np.sqrt(histogram).ravel()


def _tiles(image: Values, grid: int) -> Values:
    """Return (tile rows, height, tile columns, width, values) of a (SIDE, SIDE, values) image."""
    return image.reshape(grid, SIDE // grid, grid, SIDE // grid, -1)


def _unit(values: Values) -> Values:
    length = np.float32(np.linalg.norm(values))
    return values / length if length > 0 else values
