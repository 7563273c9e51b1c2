"""What the subject can be shown, and the screens that show it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from phosphene.clock import Clock
from phosphene.errors import PhospheneError

MAX_PIXELS = 50_000_000
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
"""Pillow's modes of 8 bits and less; deeper ones would be clipped without a word."""


@dataclass(frozen=True, slots=True)
class Black:
    """Nothing."""


@dataclass(frozen=True, slots=True)
class Fixation:
    """A fixation cross."""


@dataclass(frozen=True, slots=True)
class ImageScene:
    """An image of the stimulus set."""

    id: str


@dataclass(frozen=True, slots=True, eq=False)
class PictureScene:
    """A generated picture."""

    pixels: NDArray[np.uint8]
    """(height, width, 3), sRGB."""


Scene = Black | Fixation | ImageScene | PictureScene


class Screen(Protocol):
    """Where scenes appear, on the grid of its frames."""

    refresh_rate: float
    """Frames per second."""

    def prepare(self, images: Mapping[str, Path]) -> None:
        """Decode the images of the next block and forget those of the last.

        Raises ``PhospheneError`` that names a file which cannot be shown.
        """
        ...

    def show(self, scene: Scene) -> None:
        """Draw a scene for the next flip; an image must have been prepared."""
        ...

    def flip(self) -> float:
        """Wait until the drawn scene appears; return when, in seconds on the LSL clock."""
        ...

    def closed(self) -> bool:
        """Whether somebody closed the window or pressed Escape."""
        ...

    def close(self) -> None:
        """Let go of the window."""
        ...


def decode(path: Path) -> Image.Image:
    """Return an image file as 8-bit RGB; transparency lies on black.

    Raises ``PhospheneError`` that names the file and says what is wrong with it.
    """
    try:
        with Image.open(path) as image:
            _check(image, path)
            return _to_rgb(image)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise PhospheneError(f"{path}: cannot be shown: {error}") from error


def _check(image: Image.Image, path: Path) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PhospheneError(
            f"{path}: {width} x {height} pixels; at most {MAX_PIXELS} pixels can be shown"
        )
    if image.mode not in MODES:
        raise PhospheneError(
            f"{path}: Pillow mode {image.mode}; possible: {', '.join(sorted(MODES))}"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    black = Image.new("RGBA", image.size, "black")
    return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")


class HeadlessScreen:
    """A screen that nobody sees: it flips on an exact grid of frames.

    It decodes the images all the same, so that a rehearsal finds what a subject would run into.
    """

    def __init__(self, clock: Clock, refresh_rate: float = 60.0) -> None:
        self.refresh_rate = refresh_rate
        self.scene: Scene = Black()
        self._drawn: Scene = self.scene
        self._clock = clock
        self._origin = clock.now()
        self._frame = 0
        self._good: set[Path] = set()
        self._prepared: set[str] = set()

    def prepare(self, images: Mapping[str, Path]) -> None:
        """Decode each file once in a session."""
        for path in images.values():
            if path not in self._good:
                decode(path)
                self._good.add(path)
        self._prepared = set(images)

    def show(self, scene: Scene) -> None:
        """Keep the scene for the next flip."""
        if isinstance(scene, ImageScene) and scene.id not in self._prepared:
            raise PhospheneError(f"image {scene.id} was not prepared")
        self._drawn = scene

    def flip(self) -> float:
        """Sleep to the next frame and return its time; frames slept through are skipped."""
        following = max(self._frame + 1, self._frame_now() + 1)
        self._clock.sleep_until(self._time(following))
        self._frame = max(following, self._frame_now())
        self.scene = self._drawn
        return self._time(self._frame)

    def closed(self) -> bool:
        """There is no window to close."""
        return False

    def close(self) -> None:
        """There is no window."""

    def _frame_now(self) -> int:
        return math.floor((self._clock.now() - self._origin) * self.refresh_rate)

    def _time(self, frame: int) -> float:
        return self._origin + frame / self.refresh_rate
