"""The desk of a session: its state, its only writer, and what goes in and out.

The protocol itself is a script: a generator that sends messages and waits for answers, so that the
order of things is the order of the lines (see ``session.py``). Whatever ends it early is thrown
into it, so that an open file is closed on every way out.
"""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

from phosphene.continuity import Fault
from phosphene.dataset.study import SessionFolder
from phosphene.errors import PhospheneError
from phosphene.events import Block
from phosphene.journal import Journal, Noted, StateChanged, one_line
from phosphene.ledger import Ledger
from phosphene.messages import (
    DRIVER,
    AbortBlock,
    BlockDone,
    BlockStarted,
    Channels,
    Command,
    DecoderReady,
    Exclude,
    Exported,
    Failed,
    Following,
    GetPool,
    GetStatus,
    Message,
    Note,
    Pause,
    Prepare,
    Progress,
    Prospect,
    Ready,
    Recording,
    Redo,
    RejectPicture,
    Reply,
    Reported,
    Resume,
    Retrained,
    SegmentClosed,
    SegmentOpen,
    Silence,
    Start,
    Status,
    Stop,
    Trained,
    shadow_number,
)
from phosphene.plan import Plan
from phosphene.roles import Outgoing
from phosphene.states import Event, State, after

M = TypeVar("M", bound=Message)
T = TypeVar("T")
Script = Generator[None, Message | None, T]

JOURNALLED = (
    Fault,
    BlockStarted,
    BlockDone,
    SegmentOpen,
    SegmentClosed,
    Trained,
    DecoderReady,
    Following,
    Exported,
    Prospect,
    Retrained,
    Reported,
    Failed,
)
BACKGROUND = ("exporter", "reporter")
"""Roles whose failure loses nothing: their work can be done again from the recording."""
GENERATOR = "generator"
WORKERS = (DRIVER, GENERATOR)
"""Roles that are started again when they fail: feedback does without them for some trials."""
RESTARTS = 3
"""Failures of a worker after which it is not started again."""


class EndedEarlyError(Exception):
    """Thrown into the script to take it to its closing lines."""


class Desk(ABC):
    """Takes in commands and facts, and moves the script on."""

    def __init__(self, plan: Plan, folder: SessionFolder, journal: Journal, now: float) -> None:
        self._plan = plan
        self._folder = folder
        self._journal = journal
        self._ledger = Ledger(plan)
        self._state = State.CONFIGURED
        self._problem = ""
        """Why it pauses."""
        self._notes: list[str] = []
        """What went wrong and stays so."""
        self._failed = False
        self._lost: set[str] = set()
        """Roles that cannot go on."""
        self._following: set[str] = set()
        """Shadows that decode."""
        self._ready: set[str] = set()
        """Roles that have said so and have not failed since."""
        self._restarts: Counter[str] = Counter()
        self._now = now
        self._out: list[tuple[str, Message]] = []
        self._block: Block | None = None
        """The one that the presenter was told to show and has not ended."""
        self._pausing = False
        self._exports: deque[str] = deque()
        """Recordings that the exporter was given, in order."""
        self._unfiled: list[str] = []
        """Those that it failed to file, or left behind when it failed."""
        self._script = self._protocol()
        next(self._script)

    @abstractmethod
    def _protocol(self) -> Script[None]:
        """Go through the session."""

    @property
    def state(self) -> State:
        """Where the session is."""
        return self._state

    @property
    def over(self) -> bool:
        """Whether the session has ended, well or not."""
        return self._state in (State.FINISHED, State.FAILED)

    @property
    def status(self) -> Status:
        """Everything an operator asks for."""
        return self._ledger.status(self._state, self._folder, self._reason)

    # What comes in.

    def command(self, command: Command) -> tuple[Message, Outgoing]:
        """Carry out an operator's command; return the answer and what is to be sent."""
        try:
            answer = self._obey(command)
        except PhospheneError as error:
            answer = Reply(ok=False, text=str(error))
        return answer, self._flush()

    def handle(self, message: Message, now: float | None = None) -> Outgoing:
        """Take in a fact from a child, which came at ``now``."""
        self._now = self._now if now is None else now
        if isinstance(message, JOURNALLED):
            self._journal.append(message)
        match message:
            case Failed(role=role, text=text):
                self._lost.add(role)
                self._lose(role, f"{role}: {text}")
            case Exported(path=path, remarks=remarks):
                if self._exports:
                    self._exports.popleft()
                for remark in remarks:
                    self._note(f"{Path(path).name.removesuffix('_eeg.vhdr')}: {remark}")
            case Recording():
                self._ledger.recording = message
                self._publish()
            case BlockStarted():
                self._move(Event.BLOCK_STARTED)
            case Ready(role=role, problem=problem):
                self._ready.add(role)
                self._note(problem)
            case Following(role=role):
                self._following.add(role)
            case Progress() | Channels() | Fault() | Silence():
                self._send("watchers", message)
            case _:
                self._take(message)
        self._advance(message)
        return self._flush()

    @abstractmethod
    def _take(self, message: Message) -> None:
        """Take in any other fact."""

    @abstractmethod
    def _tend(self) -> None:
        """Do what is never the script's turn."""

    @abstractmethod
    def _set_aside(self, command: Redo | Exclude) -> None:
        """Let a run not count; raise ``PhospheneError`` if that is not possible."""

    @abstractmethod
    def _pool_command(self, command: Command) -> Message:
        """Answer a command that is about pictures."""

    def poll(self, now: float) -> Outgoing:
        """Do what is due at ``now``."""
        self._now = now
        self._tend()
        self._advance(None)
        return self._flush()

    def fail(self, reason: str) -> None:
        """End the session because something cannot go on; what was recorded is filed."""
        if self.over or self._failed:
            return
        self._failed = True
        self._note(reason)
        if self._state is not State.CLOSING:
            self._step(lambda: self._script.throw(EndedEarlyError()))

    # How it moves on.

    def _obey(self, command: Command) -> Message:
        match command:
            case GetStatus():
                return self.status
            case GetPool() | RejectPicture():
                return self._pool_command(command)
            case Start():
                self._move(Event.START)
            case Pause():
                self._pause()
            case Resume():
                after(self._state, Event.RESUME)
                self._pausing, self._problem = False, ""
                self._move(Event.RESUME)
            case Note(text=text):
                self._take_note(one_line(text, "a note needs at least a word"))
            case Redo() | Exclude():
                self._set_aside(command)
            case Stop(reason=reason):
                after(self._state, Event.STOP)
                self._note(self._problem or reason)
                self._problem = ""
                self._step(lambda: self._script.throw(EndedEarlyError()))
        return Reply(ok=True)

    def _take_note(self, text: str) -> None:
        self._journal.append(Noted(self._now, text))
        self._journal.sync()

    def _prepare_role(self, role: str) -> None:
        self._ready.discard(role)
        self._send(role, Prepare())

    def _lose(self, role: str, reason: str) -> None:
        stopped = role == "trainer" and self._state is State.CLOSING
        if not (role in BACKGROUND or shadow_number(role) or stopped):
            self.fail(reason)
            return
        self._note(reason)
        if role == "exporter":
            # Those that waited behind the one that failed are lost with it.
            self._unfiled += self._exports
            self._exports.clear()

    def _note(self, problem: str) -> None:
        if problem and problem not in self._notes:
            self._notes.append(problem)

    @property
    def _reason(self) -> str:
        return "; ".join(filter(None, (*self._notes, self._problem)))

    def _pause(self, problem: str = "") -> None:
        if self._state is not State.RUNNING:
            after(self._state, Event.PAUSE)
        self._pausing = True
        if problem:
            self._problem = problem
        if self._block:
            self._send("presenter", AbortBlock())

    def _move(self, event: Event) -> None:
        self._state = after(self._state, event)
        self._journal.append(StateChanged(self._now, self._state, self._reason))
        self._journal.sync()
        self._publish()

    def _publish(self) -> None:
        self._send("watchers", self.status)

    def _send(self, recipient: str, message: Message) -> None:
        self._out.append((recipient, message))

    def _flush(self) -> Outgoing:
        out, self._out = self._out, []
        return out

    def _advance(self, message: Message | None) -> None:
        self._step(lambda: self._script.send(message))

    def _step(self, resume: Callable[[], None]) -> None:
        if self.over:
            return
        try:
            resume()
        except StopIteration:
            self._move(Event.FAIL if self._failed else Event.DONE)

    # Waiting.

    def _until(self, time: float) -> Script[None]:
        while self._now < time:
            yield

    def _expect_state(self, state: State) -> Script[None]:
        while self._state is not state:
            yield

    def _await(self, kind: type[M] | tuple[type[M], ...], within: float) -> Script[M | None]:
        """Wait for a message; None if it does not come in time."""
        deadline = self._now + within
        while self._now <= deadline:
            message = yield
            if isinstance(message, kind):
                return message
        return None

    def _expect(
        self, kind: type[M] | tuple[type[M], ...], within: float = float("inf"), what: str = ""
    ) -> Script[M]:
        """Wait for a message; ``PhospheneError`` if it does not come in time."""
        message = yield from self._await(kind, within)
        if message is None:
            raise PhospheneError(f"waited {within:.0f} s for {what} in vain")
        return message
