"""A real window shows what the presenter reports: its pixels are read back from the X server.

PsychoPy runs in a process of its own: this file, started as a script.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from time import perf_counter
from typing import Any

import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageGrab
import pytest

from phosphene import Block, Onset, PhospheneError, StimulusSet, Trial
from phosphene.messages import (
    EndOfBlock,
    Failed,
    Message,
    Missing,
    PictureMade,
    RunBlock,
    ShowPicture,
)
from phosphene.roles.present import Presenter
from phosphene.settings import ScreenSettings
from phosphene.stimulus import Image
from phosphene_paradigms.psychopy_screen import PsychoPyScreen

WIDTH, HEIGHT = 640, 480
RATE = 20.0
"""Slow, so that there is time within a frame to read the screen back."""
COLOURS = {"red": (250, 10, 20), "green": (10, 240, 30), "blue": (30, 20, 230)}
PICTURE = (200, 180, 10)
WNID = "n00000001"


# The child.


def scenario(folder: Path) -> dict[str, Any]:
    """Show a block with feedback on one of its trials; say what was on the screen at onsets."""
    try:
        PsychoPyScreen(ScreenSettings(), folder)
    except PhospheneError as error:
        unmeasurable = str(error)
    screen = PsychoPyScreen(ScreenSettings(refresh_rate=RATE, fullscreen=True, patch=0.1), folder)
    presenter = Presenter(screen, stimuli(folder))
    trials = tuple(
        Trial(f"{name}.png", WNID, duration=0.2, gap=0.2, picture=0.2, rest=0.1) for name in COLOURS
    )
    block = Block(1, 1, trials, cue=0.2)
    presenter.handle(RunBlock("feedback", block, 1, 0.0, 0))
    presenter.handle(picture_made())
    presenter.handle(ShowPicture("feedback", 1, 1, 1, 2, "picture-1"))
    result = {"unmeasurable": unmeasurable, "rate": screen.refresh_rate, **follow(presenter)}
    screen._window.winHandle.dispatch_event("on_key_press", 0xFF1B, 0)  # Escape
    said = [*presenter.poll(perf_counter()), *presenter.poll(perf_counter())]
    presenter.close()
    return {**result, "escape": [m.text for _, m in said if isinstance(m, Failed)]}


def follow(presenter: Presenter) -> dict[str, Any]:
    """Poll until the block is confirmed; read the screen back at every onset."""
    onsets: list[dict[str, Any]] = []
    while not presenter.idle:
        before = perf_counter()
        outgoing = presenter.poll(before)
        after = perf_counter()
        for recipient, message in outgoing:
            if isinstance(message, Onset) and recipient == "acquisition":
                on_time = before <= message.time <= after
                onsets.append({**as_dict(message), **read_back(), "on_lsl_clock": on_time})
            answer(presenter, message)
    return {"onsets": onsets, "black": read_back()}


def answer(presenter: Presenter, message: Message) -> None:
    if isinstance(message, EndOfBlock):
        presenter.handle(Missing((), message.first_seq))


def as_dict(onset: Onset) -> dict[str, Any]:
    return {name: getattr(onset, name) for name in onset.__struct_fields__}


def read_back() -> dict[str, Any]:
    """Return the box that is not black, its colour below, and above on the left; the patch's."""
    grab = PIL.ImageGrab.grab(xdisplay=os.environ["DISPLAY"]).convert("RGB")
    patch = grab.getpixel((5, HEIGHT - 5))
    grab.paste((0, 0, 0), (0, HEIGHT - HEIGHT // 10, HEIGHT // 10, HEIGHT))
    box = grab.getbbox() or (0, 0, 1, 1)
    corner = box[0] + 2, box[1] + 2
    below = (box[0] + box[2]) // 2, box[3] - 2
    colours = {"corner": grab.getpixel(corner), "colour": grab.getpixel(below)}
    return {"box": box, "patch": patch, **colours}


def stimuli(folder: Path) -> StimulusSet:
    """Flat images of 60 x 40 pixels with a white corner above on the left."""
    for name, colour in COLOURS.items():
        image = PIL.Image.new("RGB", (60, 40), colour)
        image.paste((255, 255, 255), (0, 0, 15, 10))
        image.save(folder / f"{name}.png")
    images = tuple(Image(f"{name}.png", WNID, "train", "", "CC0") for name in COLOURS)
    return StimulusSet(folder, {WNID: "colour"}, images)


def picture_made() -> PictureMade:
    pixels = np.full((50, 50, 3), PICTURE, np.uint8)
    return PictureMade("picture-1", WNID, "ab", pixels, {}, 0.0, 0.0)


# The tests.


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    if which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    if find_spec("psychopy") is None:
        pytest.skip("PsychoPy is not installed")
    if not PIL.features.check("xcb"):
        pytest.skip("this Pillow cannot read an X screen")
    read, write = os.pipe()
    server = subprocess.Popen(
        [
            "Xvfb",
            "-displayfd",
            str(write),
            "-screen",
            "0",
            f"{WIDTH}x{HEIGHT}x24",
            "-nolisten",
            "tcp",
        ],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as number:
        yield f":{number.readline().strip()}"
    server.terminate()
    server.wait()


def run_child(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, __file__, str(folder)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.fixture(scope="module")
def child(display: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str, Path]:
    home = tmp_path_factory.mktemp("home")
    folder = tmp_path_factory.mktemp("psychopy")
    done = run_child(folder, {"DISPLAY": display, "HOME": str(home)})
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout), done.stderr, home


@pytest.fixture(scope="module")
def result(child: tuple[Any, str, Path]) -> Any:
    return child[0]


def test_every_image_is_on_the_screen_at_its_onset(result: Any) -> None:
    shown = [onset for onset in result["onsets"] if onset["event"] == "stimulus"]
    assert [onset["image"] for onset in shown] == [f"{name}.png" for name in COLOURS]
    assert [tuple(onset["colour"]) for onset in shown] == list(COLOURS.values())
    assert all(onset["corner"] == [255, 255, 255] for onset in shown)


def test_images_keep_their_shape_in_the_middle_of_the_screen(result: Any) -> None:
    height = round(0.6 * HEIGHT)
    width = round(height * 60 / 40)
    left, top = (WIDTH - width) // 2, (HEIGHT - height) // 2
    boxes = {tuple(o["box"]) for o in result["onsets"] if o["event"] == "stimulus"}
    assert boxes == {(left, top, left + width, top + height)}


def test_a_picture_that_came_is_shown_and_the_cross_where_none_did(
    result: Any,
) -> None:
    pictures = [onset for onset in result["onsets"] if onset["event"] == "picture"]
    assert [onset["wnid"] for onset in pictures] == ["", WNID, ""]
    assert tuple(pictures[1]["colour"]) == PICTURE
    for fallback in (pictures[0], pictures[2]):
        left, top, right, bottom = fallback["box"]
        assert 0 < right - left == bottom - top < HEIGHT / 10


def test_a_patch_for_a_photodiode_flashes_with_what_appears(result: Any) -> None:
    for onset in result["onsets"]:
        crossed = onset["event"] == "picture" and not onset["wnid"]
        assert onset["patch"] == ([0, 0, 0] if crossed else [255, 255, 255])
    assert result["black"]["patch"] == [0, 0, 0]


def test_the_screen_is_black_after_the_block(result: Any) -> None:
    assert result["black"]["colour"] == [0, 0, 0]
    assert result["black"]["box"] == [0, 0, 1, 1]


def test_onsets_are_flips_on_the_lsl_clock_and_on_the_frames_of_the_stated_rate(
    result: Any,
) -> None:
    assert result["rate"] == RATE
    assert all(onset["on_lsl_clock"] for onset in result["onsets"])
    times = np.array([onset["time"] for onset in result["onsets"]])
    planned = np.array([onset["planned"] for onset in result["onsets"]])
    frames = np.diff(times) * RATE
    assert (frames > 0.5).all()
    assert (times[1:] > planned[1:] - 0.5 / RATE).all()
    assert np.median(np.abs(frames - frames.round())) < 0.25


def test_escape_ends_the_session_in_words(result: Any) -> None:
    assert result["escape"] == ["the window was closed"]


def test_a_rate_that_cannot_be_measured_must_be_stated(result: Any) -> None:
    assert "state screen.refresh_rate" in result["unmeasurable"]


def test_psychopy_is_silent_and_leaves_the_home_alone(child: tuple[Any, str, Path]) -> None:
    _, stderr, home = child
    assert stderr == ""
    assert not list(home.glob(".psychopy*"))


def test_without_a_display_the_error_names_the_way_out(tmp_path: Path) -> None:
    if sys.platform != "linux" or find_spec("psychopy") is None:
        pytest.skip("needs Linux and PsychoPy")
    done = run_child(tmp_path, {"DISPLAY": ""})
    assert done.returncode == 1
    assert "no window can be opened" in done.stderr
    assert "set screen.kind to headless" in done.stderr


def test_without_psychopy_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psychopy", None)
    monkeypatch.setenv("PSYCHOPYNOPACKAGES", "1")
    with pytest.raises(PhospheneError, match=r"pip install 'phosphene\[screen\]'"):
        PsychoPyScreen(ScreenSettings(), tmp_path)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(scenario(Path(sys.argv[1]))))
