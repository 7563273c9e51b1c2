"""The screen in front of the subject: a PsychoPy window. No other file imports PsychoPy."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import PIL.Image

from phosphene import PhospheneError
from phosphene.clock import RealClock
from phosphene.screen import (
    Black,
    Fixation,
    HeadlessScreen,
    ImageScene,
    PictureScene,
    Pixels,
    Scene,
)
from phosphene.settings import ScreenSettings
from phosphene_paradigms._vsync import measure

CROSS_SIZE = 0.03
"""Arms of the fixation cross as a fraction of the screen's height."""
CROSS_GREY = 160
FLASH = 0.1
"""Seconds that the patch under the photodiode is white when an image or a picture appears."""


class PsychoPyScreen:
    """A window that flips with the screen, or at a stated rate where nothing waits for it.

    ``folder`` is where PsychoPy may put its preferences. Raises ``PhospheneError`` if PsychoPy or a
    display is missing, or if the refresh rate is neither measurable nor stated.
    """

    def __init__(self, settings: ScreenSettings, folder: Path) -> None:
        _import_psychopy(folder)
        self._window = _open(settings)
        from psychopy import logging
        from pyglet import gl, image  # type: ignore[import-untyped]

        self._gl, self._image, self._clock = gl, image, logging.defaultClock
        self._width, self._height = map(int, self._window.size)
        self._image_height = settings.image_size * self._height
        self._closed = False
        self._window.winHandle.push_handlers(on_key_press=self._pressed, on_close=self._leave)
        self._cross = self._upload(_cross(round(CROSS_SIZE * self._height)))
        self._patch = self._upload(_white(round(settings.patch * self._height)))
        self._shown: Scene = Black()
        self._n_frames = 0
        """That the scene has been on the screen."""
        self._images: dict[str, Any] = {}
        self._pictures: dict[str, Any] = {}
        self._metronome: HeadlessScreen | None = None
        try:
            self.refresh_rate = self._settle(settings.refresh_rate)
        except PhospheneError:
            self.close()
            raise

    def prepare(self, images: Iterable[tuple[str, Pixels]]) -> None:
        """Scale the images and put them on the graphics card; let go of the last block's."""
        self._images.clear()
        for image_id, pixels in images:
            height, width, _ = pixels.shape
            size = self._fit(width, height)
            scaled = PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.LANCZOS)
            self._images[image_id] = self._upload(np.asarray(scaled))

    def keep(self, picture: str, pixels: Pixels) -> None:
        """Put a picture on the graphics card."""
        self._pictures[picture] = self._upload(pixels)

    def forget(self, picture: str) -> None:
        """Let go of a picture."""
        self._pictures.pop(picture, None)

    def show(self, scene: Scene) -> None:
        """Draw into the back buffer."""
        match scene:
            case Fixation():
                self._draw(self._cross, (self._cross.width, self._cross.height))
            case ImageScene():
                texture = self._images[scene.id]
                self._draw(texture, (texture.width, texture.height))
            case PictureScene():
                texture = self._pictures[scene.id]
                self._draw(texture, self._fit(texture.width, texture.height))
        self._draw_patch(scene)

    def flip(self) -> float:
        """Return when the buffers were swapped, in seconds on the LSL clock."""
        if self._metronome:
            self._gl.glFinish()
            self._metronome.flip()
        flipped = self._window.flip()
        # PsychoPy's clock has an origin, and perhaps a rate, of its own: only an age carries over.
        return float(perf_counter() - (self._clock.getTime() - flipped))

    def closed(self) -> bool:
        """Whether the window was closed or Escape was pressed."""
        return self._closed

    def close(self) -> None:
        """Close the window."""
        self._images.clear()
        self._pictures.clear()
        self._window.close()

    def _settle(self, stated: float | None) -> float:
        """Return the refresh rate; from now on flips wait for the screen or for the clock."""
        measured = measure(self.flip, RealClock())
        if measured.waits and stated and abs(measured.rate / stated - 1) > 0.01:
            raise PhospheneError(
                f"screen.refresh_rate states {stated:g} Hz, but the screen flips at "
                f"{measured.rate:.2f} Hz"
            )
        if not measured.waits and not stated:
            raise PhospheneError(
                "the refresh rate cannot be measured: flips do not wait for the screen's vertical "
                "sync; switch it on, or state screen.refresh_rate (in Hz)"
            )
        rate = stated or measured.rate
        if not measured.waits:
            self._metronome = HeadlessScreen(RealClock(), rate)
        return rate

    def _fit(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) on the screen; a wide image is limited by the screen's width."""
        scale = min(self._image_height / height, self._width / width)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def _upload(self, pixels: Pixels) -> Any:  # noqa: ANN401
        height, width, _ = pixels.shape
        data = self._image.ImageData(width, height, "RGB", pixels.tobytes(), pitch=-3 * width)
        # A rectangle is no larger than the image: its edge does not blend with what lies beyond.
        return data.get_texture(force_rectangle=True)

    def _draw_patch(self, scene: Scene) -> None:
        """Flash the lower left corner at the onset of what a photodiode is to see."""
        self._n_frames = self._n_frames + 1 if scene == self._shown else 0
        self._shown = scene
        new = isinstance(scene, ImageScene | PictureScene)
        if new and self._n_frames < FLASH * self.refresh_rate and self._patch.width > 1:
            self._blit(self._patch, (0, 0), (self._patch.width, self._patch.height))

    def _draw(self, texture: Any, size: tuple[int, int]) -> None:  # noqa: ANN401
        self._blit(texture, ((self._width - size[0]) // 2, (self._height - size[1]) // 2), size)

    def _blit(self, texture: Any, at: tuple[int, int], size: tuple[int, int]) -> None:  # noqa: ANN401
        # PsychoPy leaves a projection from -1 to 1; whole pixels keep the image as it is.
        left, bottom = at
        self._gl.glColor4f(1, 1, 1, 1)
        texture.blit(
            2 * left / self._width - 1,
            2 * bottom / self._height - 1,
            width=2 * size[0] / self._width,
            height=2 * size[1] / self._height,
        )

    def _pressed(self, symbol: int, _modifiers: int) -> bool:
        from pyglet.window import key  # type: ignore[import-untyped]

        self._closed = self._closed or symbol == key.ESCAPE
        return True

    def _leave(self) -> bool:
        self._closed = True
        return True


def _cross(size: int) -> Pixels:
    arm = max(1, size // 10)
    cross = np.zeros((2 * size + 1, 2 * size + 1, 3), np.uint8)
    cross[size - arm : size + arm + 1] = CROSS_GREY
    cross[:, size - arm : size + arm + 1] = CROSS_GREY
    return cross


def _white(size: int) -> Pixels:
    return np.full((max(1, size), max(1, size), 3), 255, np.uint8)


def _import_psychopy(folder: Path) -> None:
    """Import PsychoPy without traces in the user's home or noise on the terminal."""
    os.environ.setdefault("PSYCHOPYNOPACKAGES", "1")  # or it adds folders to the search path
    try:
        with _home(folder):
            import psychopy.monitors
    except ModuleNotFoundError as error:
        raise PhospheneError(
            f"a window needs PsychoPy ({error}): pip install 'phosphene[screen]', or set "
            "screen.kind to headless"
        ) from error
    psychopy.logging.console.setLevel(psychopy.logging.ERROR)


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    """Let what writes to the user's home when it is imported write into ``folder``."""
    name = "APPDATA" if sys.platform == "win32" else "HOME"
    kept = os.environ.get(name)
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        if kept is None:
            del os.environ[name]
        else:
            os.environ[name] = kept


def _open(settings: ScreenSettings) -> Any:  # noqa: ANN401
    try:
        from psychopy import visual

        window = visual.Window(
            size=settings.size,
            fullscr=settings.fullscreen,
            allowGUI=not settings.fullscreen,
            title="Phosphene",
            color="black",
            units="pix",
            checkTiming=False,
            autoLog=False,
        )
    except Exception as error:  # Window systems refuse in many ways.
        raise PhospheneError(
            f"no window can be opened: {error}; without a display set screen.kind to headless"
        ) from error
    window.mouseVisible = False
    return window
