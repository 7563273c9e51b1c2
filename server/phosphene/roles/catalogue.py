"""Every role by name, built from one session's settings."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from phosphene import tasks
from phosphene.clock import Clock, RealClock
from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.interfaces import Context
from phosphene.messages import (
    Assess,
    Export,
    Message,
    Progress,
    Retrain,
    Train,
    WriteReport,
    shadow_number,
    shadow_role,
)
from phosphene.registry import Registry, load_registry
from phosphene.roles import Role
from phosphene.roles.acquire import Acquisition
from phosphene.roles.decode import LiveDecoding
from phosphene.roles.generate import Generation
from phosphene.roles.once import OneShot, cancellable, interruptible
from phosphene.roles.present import Presenter
from phosphene.roles.shadow import Shadow
from phosphene.screen import HeadlessScreen
from phosphene.settings import Settings, read_resolved
from phosphene.stimulus import StimulusSet

DEFAULT_REFRESH_RATE = 60.0


@dataclass(frozen=True)
class House:
    """What the roles of one session have in common."""

    settings: Settings
    registry: Registry
    folder: SessionFolder
    clock: Clock

    @classmethod
    def of(cls, session: Path) -> "House":
        """Return the house of a session that has been recorded, or is being recorded."""
        registry = load_registry()
        folder = SessionFolder.at(session)
        return cls(read_resolved(folder.settings_file, registry), registry, folder, RealClock())

    @cached_property
    def stimuli(self) -> StimulusSet:
        """The session's image set."""
        return self.settings.stimuli.config.build(self.settings.cache)

    @cached_property
    def context(self) -> Context:
        """What plugin objects are lent."""
        settings = self.settings
        return Context(self.stimuli, settings.seed, settings.cache, self.clock)

    def build(self, name: str, emit: Callable[[Message], None]) -> Role:
        """Return the role called ``name``; ``emit`` sends to the server while it is busy."""
        if number := shadow_number(name):
            return _shadow(self, number, emit)
        if name not in ROLES:
            raise PhospheneError(f"there is no role {name!r}; there are {', '.join(ROLES)}")
        return ROLES[name](self, emit)

    def reporting(self, task: str, emit: Callable[[Message], None]) -> Context:
        """Return the context of a long task, whose progress is told to the server."""
        return replace(self.context, progress=lambda done, text: emit(Progress(task, done, text)))


Emit = Callable[[Message], None]


def _acquisition(house: House, _emit: Emit) -> Role:
    onsets: deque[Onset] = deque()
    context = replace(house.context, onsets=onsets)
    return Acquisition(house.settings.acquisition.config.build(context), onsets, house.clock)


def _presenter(house: House, _emit: Emit) -> Role:
    rate = house.settings.screen.refresh_rate or DEFAULT_REFRESH_RATE
    return Presenter(HeadlessScreen(house.clock, rate), house.stimuli, house.folder.onsets_file)


def _decoder(house: House, _emit: Emit) -> Role:
    return LiveDecoding(house.registry, house.context, house.settings.screen.lag)


def _shadow(house: House, number: int, emit: Emit) -> Role:
    settings = house.settings.of_shadow(number)
    name = shadow_role(number)
    context = house.reporting(f"train {name}", emit)
    live = LiveDecoding(house.registry, house.context, settings.screen.lag, name)
    return Shadow(name, live, lambda session: tasks.fit(settings, context, session, name))


def _generator(house: House, _emit: Emit) -> Role:
    chosen = house.settings.generator
    if chosen is None:
        raise PhospheneError("the session file names no generator")
    return Generation(chosen.config, house.context, house.folder.pictures)


def _trainer(house: House, emit: Emit) -> Role:
    settings, registry = house.settings, house.registry

    def train(order: Train) -> Message:
        with interruptible():
            return tasks.train(settings, house.reporting("train", emit), order)

    def assess(order: Assess) -> Message:
        with cancellable():
            return tasks.assess(settings, registry, house.reporting("assess", emit), order)

    def retrain(order: Retrain) -> Message:
        with cancellable():
            return tasks.retrain(settings, registry, house.reporting("retrain", emit), order)

    return OneShot(Train, train).also(Assess, assess).also(Retrain, retrain)


def _exporter(house: House, _emit: Emit) -> Role:
    return OneShot(Export, lambda order: tasks.export(house.settings, house.folder, order))


def _reporter(house: House, emit: Emit) -> Role:
    context = house.reporting("report", emit)
    return OneShot(WriteReport, lambda order: tasks.report(house.registry, context, order))


ROLES: dict[str, Callable[[House, Emit], Role]] = {
    "acquisition": _acquisition,
    "presenter": _presenter,
    "decoder": _decoder,
    "generator": _generator,
    "trainer": _trainer,
    "exporter": _exporter,
    "reporter": _reporter,
}
