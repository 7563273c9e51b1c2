"""The presenter's process: the core's role with a real screen and markers for other tools.

It lives here so that the core knows neither PsychoPy nor LSL.
"""

import sys
from pathlib import Path
from typing import Protocol

from phosphene import Onset, StimulusSet
from phosphene.clock import RealClock
from phosphene.messages import Message
from phosphene.roles import Outgoing, Role
from phosphene.roles.present import Presenter
from phosphene.screen import HeadlessScreen, Screen
from phosphene.settings import ScreenSettings, Settings
from phosphene_paradigms.markers import open_markers
from phosphene_paradigms.psychopy_screen import PsychoPyScreen

HEADLESS_RATE = 60.0


class Outlet(Protocol):
    """Where onsets go besides acquisition."""

    def push(self, onset: Onset) -> None:
        """Send an onset."""
        ...


class WithMarkers:
    """A role whose onsets are also pushed to an outlet."""

    def __init__(self, role: Role, outlet: Outlet) -> None:
        self._role = role
        self._outlet = outlet

    @property
    def idle(self) -> bool:
        """Whether the role is."""
        return self._role.idle

    def handle(self, message: Message) -> Outgoing:
        """Pass on; onsets in an answer were only lost on their way and pushed before."""
        return self._role.handle(message)

    def poll(self, now: float) -> Outgoing:
        """Push the onsets that happened with this frame."""
        outgoing = self._role.poll(now)
        for recipient, message in outgoing:
            if isinstance(message, Onset) and recipient == "acquisition":
                self._outlet.push(message)
        return outgoing

    def close(self) -> None:
        """Close the role."""
        self._role.close()


def build(settings: Settings, stimuli: StimulusSet, journal: Path | None) -> Role:
    """Return the presenter with the screen of the settings; closing it closes the screen.

    Raises ``PhospheneError`` if the screen cannot be opened.
    """
    outlet = open_markers()
    screen = open_screen(settings.screen, settings.cache)
    presenter = Presenter(screen, stimuli, journal)
    return WithMarkers(presenter, outlet) if outlet else presenter


def open_screen(settings: ScreenSettings, cache: Path) -> Screen:
    """Return a window, or the headless screen on the real clock."""
    if settings.kind == "psychopy":
        return PsychoPyScreen(settings, cache / "psychopy")
    return HeadlessScreen(RealClock(), settings.refresh_rate or HEADLESS_RATE)


def main(arguments: list[str]) -> int:
    """Run ``python -m phosphene_paradigms.presenter CONNECTION_FILE``."""
    from phosphene.shell import run_child  # brings every role along

    (file,) = arguments
    return run_child(
        "presenter",
        Path(file),
        lambda house, _emit: build(house.settings, house.stimuli, house.folder.onsets_file),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
