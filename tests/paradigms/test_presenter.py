"""The presenter's process is the core's role, a screen, and markers for other tools."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from phosphene import Onset
from phosphene.messages import BlockStarted, Message, Missing
from phosphene.screen import HeadlessScreen
from phosphene.settings import ScreenSettings
from phosphene_paradigms.presenter import WithMarkers, open_screen

ONSET = Onset(
    seq=3,
    event="stimulus",
    time=1.0,
    planned=1.0,
    duration=0.5,
    phase="record",
    run=1,
    block=1,
    attempt=1,
    trial=1,
    wnid="n00000001",
    image="cat.png",
    sha256="ab",
)


class Scripted:
    """A role that shows one image, and sends its onset again when asked."""

    idle = False
    closed = False

    def handle(self, message: Message) -> Sequence[tuple[str, Message]]:
        return [("acquisition", ONSET)] if isinstance(message, Missing) else []

    def poll(self, now: float) -> Sequence[tuple[str, Message]]:
        started = BlockStarted("record", 1, 1, 1, now)
        return [("acquisition", msgspec.structs.replace(ONSET, time=now)), ("server", started)]

    def close(self) -> None:
        self.closed = True


class Pushed(list[Onset]):
    def push(self, onset: Onset) -> None:
        self.append(onset)


def test_every_onset_is_pushed_when_it_happens_and_never_again() -> None:
    role, outlet = Scripted(), Pushed()
    marked = WithMarkers(role, outlet)
    assert marked.poll(7.0) == role.poll(7.0)
    assert marked.handle(Missing((3,), 3)) == [("acquisition", ONSET)]
    assert [onset.time for onset in outlet] == [7.0]


def test_markers_change_nothing_else_about_the_role() -> None:
    role = Scripted()
    marked = WithMarkers(role, Pushed())
    assert not marked.idle
    role.idle = True
    assert marked.idle
    marked.close()
    assert role.closed


def test_a_headless_screen_needs_no_window(tmp_path: Path) -> None:
    screen = open_screen(ScreenSettings(kind="headless"), tmp_path)
    assert isinstance(screen, HeadlessScreen)
    assert screen.refresh_rate == 60
    stated = open_screen(ScreenSettings(kind="headless", refresh_rate=75), tmp_path)
    assert stated.refresh_rate == 75


def test_importing_the_paradigms_imports_neither_psychopy_nor_lsl() -> None:
    modules = "brain2image, interleaved, feedback, psychopy_screen, markers, presenter"
    heavy = "{'psychopy', 'pyglet', 'pylsl', 'mne', 'sklearn', 'torch'}"
    code = f"from phosphene_paradigms import {modules}; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"import sys; {code}"], check=True, timeout=60)
