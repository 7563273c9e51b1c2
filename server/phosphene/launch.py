"""From settings to a session that can run: plan, folder, lock, journal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

from phosphene.bundle import CARD, check_subject
from phosphene.clock import Clock, RealClock, VirtualClock
from phosphene.dataset.study import SessionFolder
from phosphene.door import Door
from phosphene.errors import PhospheneError
from phosphene.journal import Journal
from phosphene.loop import VirtualLoop
from phosphene.messages import Message, Start, Status, Stop
from phosphene.plan import Plan, make_plan
from phosphene.registry import Registry
from phosphene.roles.catalogue import House
from phosphene.server import Server
from phosphene.session import Session
from phosphene.settings import Settings, write_resolved
from phosphene.signals import SignalSpec
from phosphene.states import State
from phosphene.training import check_settings

Watch = Callable[[Message], None]


@dataclass(frozen=True)
class Opened:
    """A session about to run."""

    session: Session
    house: House
    plan: Plan


@contextmanager
def open_session(settings: Settings, registry: Registry, clock: Clock) -> Iterator[Opened]:
    """Make the session's folder and hold its lock.

    Raises ``PhospheneError`` if the bundle is another subject's, if the plan cannot be filled, if
    the folder holds a recording already, or if another server has it.
    """
    check_subject(settings)
    folder = SessionFolder.create(settings.output, settings.subject, settings.session)
    house = House(settings, registry, folder, clock)
    house.stimuli.verify()
    plan = make_plan(settings, house.context)

    def check_signal(spec: SignalSpec) -> None:
        check_settings(settings, spec, house.context)
        for number, role in enumerate(plan.shadows, start=1):
            try:
                check_settings(settings.of_shadow(number), spec, house.context)
            except PhospheneError as error:
                raise PhospheneError(f"{role}: {error}") from None

    with folder.lock():
        write_resolved(settings, folder.settings_file)
        if settings.bundle is not None:  # Which may be gone when somebody asks whose it was.
            copyfile(settings.bundle / CARD, folder.path / CARD)
        journal = Journal(folder.journal_file)
        try:
            session = Session(plan, folder, journal, check_signal, clock.now())
            yield Opened(session, house, plan)
        finally:
            journal.close()


def run_virtual(settings: Settings, registry: Registry, watch: Watch) -> Status:
    """Run a whole session in this process on the virtual clock; return how it ended."""
    clock = VirtualClock()
    with open_session(settings, registry, clock) as opened:
        session = opened.session

        def operate(message: Message) -> None:
            watch(message)
            if isinstance(message, Status) and message.state is State.READY:
                session.command(Start())
            if isinstance(message, Status) and message.state is State.PAUSED:
                # Nobody is there to resume it.
                session.command(Stop(message.problem))

        VirtualLoop(session, clock, opened.house.build, operate, opened.plan.shadows).run()
        return session.status


def _open_door(settings: Settings, house: House) -> Door | None:
    """Let in a generator from another machine, if the settings have one."""
    if settings.worker is None or "feedback" not in settings.protocol:
        return None
    return Door(settings.worker, house.stimuli.classes, settings.seed)


def serve(settings: Settings, registry: Registry, announce: Callable[[Path], None]) -> Status:
    """Serve a session with real processes until it is over; return how it ended.

    ``announce`` is told the connection file.
    """
    with open_session(settings, registry, RealClock()) as opened:
        folder = opened.house.folder.path
        door = _open_door(settings, opened.house)
        Server(opened.session, folder, logs=folder / "logs", door=door).run(announce)
        return opened.session.status
