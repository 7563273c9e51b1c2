"""How a running session looks in a terminal."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from phosphene.channels import told
from phosphene.continuity import Fault
from phosphene.messages import Channels, Message, Silence, Status
from phosphene.messages import Progress as TaskProgress
from phosphene.states import State

MILESTONES = (State.READY, State.TRAINING, State.CLOSING, State.FINISHED)
"""What is worth a line in a log file."""


class Display:
    """Progress bars fed with what a server publishes; plain lines where nobody watches."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._state: State | None = None
        self._total_seconds = 0.0
        self._progress = Progress(
            TextColumn("{task.description:<34}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._bad: dict[str, str] = {}
        """What is wrong, by channel."""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, message: Message) -> None:
        """Take in one fact."""
        match message:
            case Status():
                self._status(message)
            case TaskProgress(task=task, fraction=fraction, text=text):
                self._bar(task, fraction, f"{self._title}: {task} {text}".strip())
            case Channels(bad=bad) if bad != self._bad:
                self._bad = bad
                self._say(f"channels: {told(bad) or 'all well again'}", "yellow" if bad else "")
            case Fault():
                self._say(f"the EEG has {message.words}", "yellow")
            case Silence():
                self._say("no EEG arrives", "yellow")

    def _status(self, status: Status) -> None:
        self._total_seconds = max(self._total_seconds, status.seconds_left)
        if status.phase and self._total_seconds:
            done = 1 - status.seconds_left / self._total_seconds
            where = f"{status.phase} run {status.run} block {status.blocks_done}/"
            self._bar("blocks", done, f"{self._title}: {where}{status.blocks_total}")
        if status.state is not self._state:
            self._state = status.state
            self._announce(status)

    def _announce(self, status: Status) -> None:
        if status.state is State.PAUSED:
            why = status.problem or "by the operator"
            self._say(f"paused: {why}; phosphene resume goes on", "yellow")
        elif status.state is State.FAILED:
            self._say(f"failed: {status.problem}", "red")
        elif status.state in MILESTONES and not self._console.is_terminal:
            self._say(f"{self._title}: {status.state}")

    def _say(self, text: str, style: str = "") -> None:
        # Whatever a plugin says is text, and a path is never broken.
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def _bar(self, name: str, fraction: float, description: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(description, total=1.0)
        self._progress.update(self._tasks[name], completed=fraction, description=description)
