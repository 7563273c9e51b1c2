"""The runs of a session: blocks shown until each was shown whole with its signal on disk."""

from abc import abstractmethod
from collections.abc import Sequence

from phosphene import guard
from phosphene.continuity import Fault
from phosphene.dataset.study import SessionFolder
from phosphene.desk import Script
from phosphene.errors import PhospheneError
from phosphene.events import Block
from phosphene.feedback_desk import FeedbackDesk
from phosphene.journal import Excluded, Journal, one_line
from phosphene.messages import (
    AbortBlock,
    BlockDone,
    CloseSegment,
    Exclude,
    Export,
    Message,
    OpenSegment,
    Phase,
    Recording,
    Redo,
    RunBlock,
    SegmentClosed,
    Silence,
)
from phosphene.plan import Plan, block_seconds, runs_of
from phosphene.recording import lost_signal
from phosphene.roles import Outgoing
from phosphene.states import Event, State

CLOSE_TIME = 10.0
"""Seconds in which a signal that went away must be back, and a file be closed."""
REPETITIONS = 3
"""Attempts in a row that did not count, after which the operator is asked."""
PREPARATION = 1.0
"""Seconds before its cue at which a block is ordered: its images are decoded in them."""


class Runs(FeedbackDesk):
    """Records the runs of a phase into files, one for each contiguous stretch of signal."""

    def __init__(
        self, plan: Plan, folder: SessionFolder, journal: Journal, now: float = 0.0
    ) -> None:
        self._clear_at = 0.0
        self._segment = ""
        """Path of the recording that is open."""
        self._phase: Phase | None = None
        """What is being recorded."""
        self._completed = set(plan.history.settled)
        """Blocks that are not shown again."""
        self._attempts = dict(plan.history.attempts)
        """The last attempt at each block that showed something."""
        self._silence: Silence | None = None
        self._spoilt = ""
        """Why the running attempt will not count."""
        self._n_spoilt = 0
        """Attempts in a row that did not count."""
        self._broken = False
        """Whether what comes next does not continue the open recording."""
        self._leave_run = False
        super().__init__(plan, folder, journal, now)

    @abstractmethod
    def _after_run(self, phase: Phase, run: int) -> Script[None]:
        """Do what follows a run."""

    # What comes in.

    def handle(self, message: Message, now: float | None = None) -> Outgoing:
        """Take in a fact; those about the signal may end a block."""
        match message:
            case Silence():
                self._silence = message
            case Recording(n_samples=n_samples):
                if self._silence and n_samples > self._silence.n_samples:
                    self._silence = None
                self._mind_disk()
            case Fault() if message.is_break and message.stop - message.start > self._max_gap:
                self._spoil(f"the EEG has {message.words}")
                self._broken = True
            case _:
                pass
        return super().handle(message, now)

    def _tend(self) -> None:
        super()._tend()
        if self._silence and self._now - self._silence.since > self._max_gap:
            self._spoil("the EEG stopped")
            self._broken = True

    def _mind_disk(self) -> None:
        """End a block at once that the disk has no room for."""
        if not self._block or self._spoilt:
            return
        if guard.disk_is_short(self._folder.path, self._spec, block_seconds(self._block)):
            self._spoil(problem := "the disk is all but full")
            self._pause(problem)

    def _spoil(self, reason: str) -> None:
        """End the running attempt at a block; it will not count."""
        if self._block and not self._spoilt:
            self._spoilt = reason
            self._send("presenter", AbortBlock())

    @property
    def _max_gap(self) -> float:
        return self._plan.recording.max_gap

    # The operator's second thoughts about a run.

    def _set_aside(self, command: Redo | Exclude) -> None:
        """Let the attempts at a run's blocks not count; to ``Redo`` is to show them again.

        Of the run that is being recorded the block on the screen is broken off.
        """
        phase, again = self._phase, isinstance(command, Redo)
        blocks = [b for b in self._plan.blocks[phase] if b.run == command.run] if phase else []
        if phase is None or not blocks:
            raise PhospheneError(f"no run {command.run} of a phase that is being recorded")
        reason = one_line(command.reason, "to set a run aside needs a reason")
        for block in blocks:
            attempt = self._attempts.get((phase, block.block), 0)
            self._exclude(phase, block, attempt, reason, again=again)
            self._count(phase, block, done=not again)
        self._journal.sync()
        for segment in self._folder.segments(phase, command.run):
            if str(segment) != self._segment:
                self._export(str(segment))  # Its events say so from now on.
        self._leave_run = self._ledger.run == command.run
        if self._leave_run:
            self._spoil(reason)

    def _count(self, phase: Phase, block: Block, *, done: bool) -> None:
        """Take note that a block is settled, or that it is to be shown again."""
        name = (phase, block.block)
        if done != (name in self._completed):
            self._ledger.count(block, done=done)
        (self._completed.add if done else self._completed.discard)(name)

    def _exclude(
        self, phase: Phase, block: Block, attempt: int, reason: str, *, again: bool
    ) -> None:
        self._journal.append(Excluded(phase, block.run, block.block, attempt, reason, again))

    # The script.

    def _present(self, phase: Phase) -> Script[None]:
        """Show the runs of a phase until every block counts."""
        self._phase = phase
        if left := self._left(phase):
            self._clear_at = self._now + PREPARATION + left[0].cue
        while left := self._left(phase):
            run, blocks = next(runs_of(left))
            yield from self._record_run(phase, run, blocks)
            yield from self._after_run(phase, run)
        self._phase = None

    def _left(self, phase: Phase) -> list[Block]:
        return [b for b in self._plan.blocks[phase] if (phase, b.block) not in self._completed]

    def _record_run(self, phase: Phase, run: int, blocks: Sequence[Block]) -> Script[None]:
        self._leave_run = False
        yield from self._open_segment(phase, run)
        for block in blocks:
            self._ledger.begin(phase, block)
            yield from self._show(phase, block)
            if self._leave_run:
                break
        # The last pause belongs to the recording.
        yield from self._until(self._clear_at)
        yield from self._close_segment()

    def _show(self, phase: Phase, block: Block) -> Script[None]:
        """Show a block until it counts, or the run is left; every attempt is kept and marked."""
        while not (self._leave_run or (phase, block.block) in self._completed):
            yield from self._hold()
            if self._broken:
                yield from self._close_segment()
                yield from self._open_segment(phase, block.run)
            if phase == "feedback":
                yield from self._wait_for_workers()
            yield from self._until(self._clear_at - block.cue - PREPARATION)
            yield from self._guard()
            if not (self._pausing or self._broken or self._leave_run):
                yield from self._attempt(phase, block)

    def _attempt(self, phase: Phase, block: Block) -> Script[None]:
        attempt = self._attempts.get((phase, block.block), 0) + 1
        not_before = max(self._clear_at, self._now + block.cue)
        if phase == "feedback" and self._conductor:
            self._conductor.begin(block, attempt, self._arms[block.block])
        order = RunBlock(phase, block, attempt, not_before, self._ledger.next_seq)
        self._send("presenter", order)
        self._block, self._spoilt = block, ""
        done = yield from self._expect(BlockDone)
        self._block_ended(done, block)
        if phase == "feedback" and self._conductor and not done.aborted:
            self._conductor.end()

    def _block_ended(self, done: BlockDone, block: Block) -> None:
        self._block = None
        self._clear_at = done.end + block.pause
        self._ledger.end(done)
        if done.n_trials:
            self._attempts[done.phase, done.block] = done.attempt
        reason = self._spoilt or lost_signal(done, self._plan.recording)
        if reason and done.n_trials:
            again = (done.phase, block.block) not in self._completed
            self._exclude(done.phase, block, done.attempt, reason, again=again)
            self._mind_repetitions(block, reason)
        elif not (reason or done.aborted):
            self._n_spoilt = 0
            self._count(done.phase, block, done=True)
        if self._state is State.RUNNING:
            self._move(Event.BLOCK_DONE)

    def _mind_repetitions(self, block: Block, reason: str) -> None:
        """Tell that a block is repeated; pause if that does not help."""
        self._note(f"block {block.block} does not count: {reason}")
        self._n_spoilt += not self._leave_run
        if self._n_spoilt == REPETITIONS:
            self._n_spoilt = 0
            self._pausing, self._problem = True, f"{REPETITIONS} times in a row: {reason}"

    def _hold(self) -> Script[None]:
        """Wait while the operator has paused."""
        if self._pausing:
            self._move(Event.PAUSE)
            yield from self._expect_state(State.RESTING)
            self._clear_at = max(self._clear_at, self._now + PREPARATION)

    def _guard(self) -> Script[None]:
        """Pause, and say why, unless the EEG arrives, is on disk, and the disk has room."""
        deadline = self._now + CLOSE_TIME
        while problem := (yield from self._signal_problem()):
            if self._now > deadline:
                break
        if not problem:
            left = self._ledger.seconds_left
            problem = guard.disk_problem(self._folder.path, self._spec, left)
        if problem:
            self._pause(problem)

    def _signal_problem(self) -> Script[str]:
        before = self._ledger.recording
        while self._ledger.recording is before:
            yield
        return guard.signal_problem(self._ledger.recording, before, self._now, self._spec.sfreq)

    def _open_segment(self, phase: Phase, run: int) -> Script[None]:
        self._silence, self._broken = None, False
        self._segment = str(self._folder.new_segment(phase, self._plan.tasks[phase], run))
        self._send("acquisition", OpenSegment(phase, run, self._segment))
        while not (yield from self._grows(CLOSE_TIME)):
            self._pause("no EEG arrives; check the amplifier and its stream")
            yield from self._hold()

    def _grows(self, within: float) -> Script[bool]:
        """Wait for samples in the open recording; False if none come in time."""
        deadline = self._now + within
        while not (self._ledger.recording and self._ledger.recording.n_samples):
            if self._now > deadline:
                return False
            yield
        return True

    def _close_segment(self) -> Script[None]:
        if "acquisition" in self._lost:
            return
        self._send("acquisition", CloseSegment())
        closed = yield from self._expect(SegmentClosed, CLOSE_TIME, "the recording to be closed")
        self._note(guard.rate_remark(closed, self._spec.sfreq))
        self._ledger.file(closed)
        if closed.n_samples:
            self._export(self._segment)
        self._segment = ""

    def _file_rest(self) -> Script[None]:
        """Wait for the exporter; what it failed to file it is given once more."""
        while self._exports:
            yield
        again, self._unfiled = self._unfiled, []
        for path in again:
            self._export(path)
        while self._exports:
            yield

    def _export(self, path: str) -> None:
        self._exports.append(path)
        self._send("exporter", Export(path))
