"""The stand-in set's drawings: ``pictograms.txt``, read into polygons and strokes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Shape:
    """A filled polygon, or a stroke if it has a width; on a canvas of 100 by 100."""

    colour: Colour
    points: Points
    """(n_points, 2), y downwards."""
    width: float = 0.0


@dataclass(frozen=True)
class Pictogram:
    """What one class looks like."""

    texture: str
    """Name of the background's pattern."""
    background: tuple[Colour, Colour]
    shapes: tuple[Shape, ...]
    """From back to front."""


@cache
def pictograms() -> Mapping[str, Pictogram]:
    """Return the pictograms by wnid."""
    text = files("phosphene_stimuli").joinpath("pictograms.txt").read_text("utf-8")
    _legend, *sections = text.strip().split("\n\n")
    return dict(_pictogram(section.splitlines()) for section in sections)


def _pictogram(lines: list[str]) -> tuple[str, Pictogram]:
    wnid, texture, light, dark = lines[0].split()
    shapes = tuple(shape for line in lines[1:] for shape in _shapes(*line.split()))
    return wnid, Pictogram(texture, (_colour(light), _colour(dark)), shapes)


def _shapes(kind: str, colour: str, *numbers: str) -> list[Shape]:
    values = np.array(numbers, dtype=np.float64)
    return [Shape(_colour(colour), points, width) for points, width in _KINDS[kind](values)]


def _colour(text: str) -> Colour:
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def _ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> Points:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    angle = np.deg2rad(degrees)
    along, across = rx * np.cos(turn), ry * np.sin(turn)
    return np.stack(
        [
            x + along * np.cos(angle) - across * np.sin(angle),
            y + along * np.sin(angle) + across * np.cos(angle),
        ],
        axis=1,
    )


def _smooth(points: Points, *, closed: bool) -> Points:
    """Return a Catmull-Rom spline through the points."""
    padded = np.pad(points, ((1, 2), (0, 0)), mode="wrap" if closed else "edge")
    before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, 8, endpoint=False)[:, np.newaxis, np.newaxis]
    curve = start + t / 2 * (
        end
        - before
        + t * (2 * before - 5 * start + 4 * end - after + t * (3 * (start - end) + after - before))
    )
    return curve.swapaxes(0, 1).reshape(-1, 2)


def _petals(values: NDArray[np.float64]) -> list[tuple[Points, float]]:
    count, x, y, inner, outer, half_width = values
    middle, half_length = (inner + outer) / 2, (outer - inner) / 2
    turns = np.arange(int(count)) * 360 / count
    sides = np.deg2rad(turns)
    return [
        (_ellipse(x + middle * c, y + middle * s, half_length, half_width, turn), 0.0)
        for turn, c, s in zip(turns, np.cos(sides), np.sin(sides), strict=True)
    ]


_KINDS: dict[str, Callable[[NDArray[np.float64]], list[tuple[Points, float]]]] = {
    "circle": lambda v: [(_ellipse(v[0], v[1], v[2], v[2]), 0.0)],
    "ellipse": lambda v: [(_ellipse(*v), 0.0)],
    "polygon": lambda v: [(v.reshape(-1, 2), 0.0)],
    "blob": lambda v: [(_smooth(v.reshape(-1, 2), closed=True), 0.0)],
    "line": lambda v: [(v[1:].reshape(-1, 2), v[0])],
    "curve": lambda v: [(_smooth(v[1:].reshape(-1, 2), closed=False), v[0])],
    "ring": lambda v: [(_ellipse(v[1], v[2], v[3], v[3])[[*range(40), 0]], v[0])],
    "petals": _petals,
}
