"""What the subject can be shown, and the screens that show it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from phosphene.clock import Clock
from phosphene.errors import PhospheneError

Pixels = NDArray[np.uint8]
"""(height, width, 3), sRGB."""


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


@dataclass(frozen=True, slots=True)
class PictureScene:
    """A generated picture that the screen keeps."""

    id: str


def is_picture(pixels: NDArray[np.generic]) -> bool:
    """Return whether an array can be shown: (height, width, 3) of uint8, and not empty."""
    return pixels.dtype == np.uint8 and pixels.shape[2:] == (3,) and pixels.size > 0


Scene = Black | Fixation | ImageScene | PictureScene


class Screen(Protocol):
    """Where scenes appear, on the grid of its frames."""

    refresh_rate: float
    """Frames per second."""

    def prepare(self, images: Iterable[tuple[str, Pixels]]) -> None:
        """Take the images of the next block by id, one at a time; forget those of the last."""
        ...

    def keep(self, picture: str, pixels: Pixels) -> None:
        """Make a picture ready, so that to show it takes one frame."""
        ...

    def forget(self, picture: str) -> None:
        """Let go of a picture."""
        ...

    def show(self, scene: Scene) -> None:
        """Draw a scene for the next flip; image or picture must be ready."""
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


class HeadlessScreen:
    """A screen that nobody sees: it flips on an exact grid of frames."""

    def __init__(self, clock: Clock, refresh_rate: float = 60.0) -> None:
        self.refresh_rate = refresh_rate
        self.scene: Scene = Black()
        """What is on the screen."""
        self._drawn: Scene = self.scene
        self._clock = clock
        self._origin = clock.now()
        self._frame = 0
        self._prepared: set[str] = set()
        self._kept: set[str] = set()

    def prepare(self, images: Iterable[tuple[str, Pixels]]) -> None:
        """Remember the ids; a file that cannot be decoded is found in a rehearsal too."""
        self._prepared = {image_id for image_id, _pixels in images}

    def keep(self, picture: str, pixels: Pixels) -> None:
        """Remember the id."""
        self._kept.add(picture)

    def forget(self, picture: str) -> None:
        """Forget the id."""
        self._kept.discard(picture)

    def show(self, scene: Scene) -> None:
        """Keep the scene for the next flip."""
        if isinstance(scene, PictureScene) and scene.id not in self._kept:
            raise PhospheneError(f"picture {scene.id} was not made ready")
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
