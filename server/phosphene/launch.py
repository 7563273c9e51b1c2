"""From settings to a session that can run: plan, folder, lock, journal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile

from phosphene.bundle import CARD, check_subject
from phosphene.clock import Clock, RealClock, VirtualClock
from phosphene.dataset.study import SessionFolder
from phosphene.door import Door
from phosphene.errors import PhospheneError
from phosphene.history import settle
from phosphene.journal import Journal, Resumed
from phosphene.lab import lab_file, read_lab, write_lab
from phosphene.loop import VirtualLoop
from phosphene.messages import Message, Start, Status, Stop
from phosphene.plan import Plan, make_plan
from phosphene.registry import Registry
from phosphene.roles.catalogue import House
from phosphene.server import Server
from phosphene.session import Session
from phosphene.settings import Settings, check_unchanged, write_resolved
from phosphene.signals import SignalSpec
from phosphene.states import State
from phosphene.training import check_settings

ORPHANED = 60.0
"""Seconds in which recorder and screen of a server that was killed end their block."""
Watch = Callable[[Message], None]


@dataclass(frozen=True)
class Opened:
    """A session about to run."""

    session: Session
    house: House
    plan: Plan
    lock: int
    """Descriptor; who inherits it keeps others out of the session's folder."""


@contextmanager
def open_session(
    settings: Settings, registry: Registry, clock: Clock, *, resume: bool = False
) -> Iterator[Opened]:
    """Make the session's folder, or go on with one that was interrupted, and hold its lock.

    Raises ``PhospheneError`` if the bundle is another subject's, if the plan cannot be filled, if
    the folder holds a recording already, or if another server has it; and, to ``resume``, if there
    is no such session, if it had other settings, or if nothing of it is left.
    """
    check_subject(settings)
    find = SessionFolder.existing if resume else SessionFolder.create
    folder = find(settings.output, settings.subject, settings.session)
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

    with folder.lock(ORPHANED if resume else 0.0) as lock:
        if resume:
            check_unchanged(settings, folder.settings_file)
        else:
            _file_settings(settings, folder)
        journal = Journal(folder.journal_file)
        try:
            if resume:
                plan = _go_on(plan, folder, journal, clock)
            session = Session(plan, folder, journal, check_signal, clock.now())
            yield Opened(session, house, plan, lock)
        finally:
            journal.close()


def _go_on(plan: Plan, folder: SessionFolder, journal: Journal, clock: Clock) -> Plan:
    plan = replace(plan, history=settle(folder, journal, plan.blocks, plan.recording))
    if plan.is_done:
        raise PhospheneError(f"{folder.path} is complete: nothing of it is left to be done")
    journal.append(Resumed(len(plan.history.completed), plan.history.next_seq))
    if not clock.live:  # Time went on.
        clock.sleep_until(plan.history.end)
    return plan


def _file_settings(settings: Settings, folder: SessionFolder) -> None:
    write_resolved(settings, folder.settings_file)
    write_lab(read_lab(lab_file()), folder.lab_file)
    if settings.bundle is not None:  # Which may be gone when somebody asks whose it was.
        copyfile(settings.bundle / CARD, folder.path / CARD)


def run_virtual(
    settings: Settings, registry: Registry, watch: Watch, *, resume: bool = False
) -> Status:
    """Run a whole session in this process on the virtual clock; return how it ended."""
    clock = VirtualClock()
    with open_session(settings, registry, clock, resume=resume) as opened:
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


def serve(
    settings: Settings,
    registry: Registry,
    announce: Callable[[Path], None],
    *,
    resume: bool = False,
) -> Status:
    """Serve a session with real processes until it is over; return how it ended.

    ``announce`` is told the connection file.
    """
    with open_session(settings, registry, RealClock(), resume=resume) as opened:
        folder = opened.house.folder.path
        door = _open_door(settings, opened.house)
        server = Server(opened.session, folder, logs=folder / "logs", lock=opened.lock, door=door)
        server.run(announce)
        return opened.session.status
