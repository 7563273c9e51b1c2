"""Draws a pictogram as if photographed: each time elsewhere, turned, lit and coloured anew."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
from numpy.typing import NDArray

from phosphene_stimuli.pictograms import Colour, Pictogram, Points

OVERSAMPLING = 2
Field = NDArray[np.floating]


@dataclass(frozen=True)
class View:
    """From where a pictogram is seen: canvas of 100 by 100 to pixels."""

    matrix: Points
    offset: Points
    bend: Points
    """(2, 3): amplitude, frequency and phase of a slow wave along y and along x."""

    @classmethod
    def random(cls, rng: np.random.Generator, pixels: int) -> "View":
        """Return a view onto ``pixels`` by ``pixels``; one in two is mirrored."""
        scale = rng.uniform(0.62, 0.92) * pixels / 100
        angle = rng.normal(0, np.deg2rad(11))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        stretch = np.diag([rng.choice([-1.0, 1.0]) * rng.uniform(0.9, 1.1), 1.0])
        room = (pixels - 100 * scale) / 2
        offset = pixels / 2 + rng.uniform(-1, 1, 2) * room
        bend = np.stack(
            [rng.uniform(0, 1.8, 2), rng.uniform(0.03, 0.07, 2), rng.uniform(0, 6.3, 2)], axis=1
        )
        return cls(scale * turn @ stretch, offset, bend)

    def place(self, points: Points) -> Points:
        """Return canvas points as pixels."""
        amplitude, frequency, phase = self.bend.T
        bent = points + amplitude * np.sin(frequency * points[:, ::-1] + phase)
        placed: Points = (bent - 50) @ self.matrix.T + self.offset
        return placed

    @property
    def scale(self) -> float:
        """Pixels to a canvas unit."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))


def draw(pictogram: Pictogram, rng: np.random.Generator, size: int) -> PIL.Image.Image:
    """Return an image of ``size`` by ``size`` pixels, RGB."""
    thing = _thing(pictogram, rng, size)
    canvas = _background(pictogram, rng, size)
    shadow = thing.getchannel("A").filter(PIL.ImageFilter.GaussianBlur(size / 40))
    shift = rng.uniform(-0.04, 0.04) * size, 0.03 * size
    canvas.paste(
        (30, 30, 40), (round(shift[0]), round(shift[1])), shadow.point(lambda value: value * 0.45)
    )
    canvas.paste(thing, (0, 0), thing)
    return _lit(canvas, rng)


def _thing(pictogram: Pictogram, rng: np.random.Generator, size: int) -> PIL.Image.Image:
    """Return the pictogram without background, RGBA."""
    pixels = size * OVERSAMPLING
    view = View.random(rng, pixels)
    tint = (rng.normal(1, 0.05, 3) * rng.normal(1, 0.06)).tolist()
    layer = PIL.Image.new("RGBA", (pixels, pixels))
    pen = PIL.ImageDraw.Draw(layer)
    for shape in pictogram.shapes:
        corners = view.place(shape.points).ravel().tolist()
        if shape.width:
            _stroke(pen, corners, _tinted(shape.colour, tint), shape.width * view.scale)
        else:
            pen.polygon(corners, fill=_tinted(shape.colour, tint))
    return layer.reduce(OVERSAMPLING)


def _stroke(
    pen: PIL.ImageDraw.ImageDraw, points: list[float], colour: Colour, width: float
) -> None:
    pen.line(points, fill=colour, width=max(1, round(width)), joint="curve")
    for x, y in (points[:2], points[-2:]):
        pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=colour)


def _tinted(colour: Colour, tint: list[float]) -> Colour:
    red, green, blue = (min(255, int(c * t)) for c, t in zip(colour, tint, strict=True))
    return red, green, blue


def _background(pictogram: Pictogram, rng: np.random.Generator, size: int) -> PIL.Image.Image:
    x = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    y = x[:, np.newaxis]
    angle = rng.normal(0, 0.25)
    across, along = rng.uniform(0.85, 1.2) * np.array([np.cos(angle), np.sin(angle)], np.float32)
    u = x * across - y * along + np.float32(rng.uniform(-0.5, 0.5))
    v = x * along + y * across + np.float32(rng.uniform(-0.15, 0.15))
    pattern = np.clip(_TEXTURES[pictogram.texture](u, v), 0, 1)[..., np.newaxis]
    colours = np.array(pictogram.background) * rng.normal(1, 0.04, (2, 3))
    light, dark = colours.astype(np.float32)
    return _image(light + (dark - light) * pattern)


def _lit(image: PIL.Image.Image, rng: np.random.Generator) -> PIL.Image.Image:
    """Return the image under light from one side, with the grain of a sensor."""
    size = image.width
    side = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    fall_x, fall_y = rng.uniform(-0.18, 0.18, 2).astype(np.float32)
    light = 1 + fall_x * side + fall_y * side[:, np.newaxis]
    grain = 2.5 * rng.standard_normal((size, size, 1), dtype=np.float32)
    return _image(np.asarray(image) * light[..., np.newaxis] + grain)


def _image(values: NDArray[np.floating]) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _soft(wave: Field) -> Field:
    """Return a wave of -1 to 1 as a pattern with soft edges."""
    return np.clip(0.5 + 3 * wave, 0, 1)


_TEXTURES: dict[str, Callable[[Field, Field], Field]] = {
    "plain": lambda _u, v: 0.5 + v,
    "stripes": lambda u, v: _soft(np.sin(28 * (u + 0.6 * v))),
    "dots": lambda u, v: _soft(np.sin(34 * u) * np.sin(34 * v) - 0.35),
    "checks": lambda u, v: _soft(2 * np.sin(22 * u) * np.sin(22 * v)),
    "grid": lambda u, v: _soft(np.maximum(np.cos(36 * u), np.cos(36 * v)) - 0.8),
    "crosses": lambda u, v: _soft(np.maximum(np.cos(26 * (u + v)), np.cos(26 * (u - v))) - 0.9),
    "waves": lambda u, v: _soft(np.sin(44 * v + 1.6 * np.sin(14 * u))),
    "rays": lambda u, v: _soft(np.sin(14 * np.arctan2(v + np.float32(0.6), u))),
    "leaves": lambda u, v: 0.5 + 0.5 * np.sin(19 * u + 3 * np.sin(11 * v)) * np.sin(17 * v + u),
    "hills": lambda u, v: _soft((v - 0.12 - 0.05 * np.sin(9 * u)) * 12),
}
