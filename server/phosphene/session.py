"""A session: the script that takes one subject through the protocol."""

from collections.abc import Callable

from phosphene import guard
from phosphene.dataset.study import SessionFolder
from phosphene.desk import WORKERS, EndedEarlyError, Script
from phosphene.errors import PhospheneError
from phosphene.events import Block
from phosphene.feedback_desk import WARM_UP, FeedbackDesk
from phosphene.journal import Journal
from phosphene.messages import (
    AbortBlock,
    BlockDone,
    CloseSegment,
    Export,
    Follow,
    Interrupt,
    OpenSegment,
    Phase,
    Prepare,
    Progress,
    Quit,
    Ready,
    Reported,
    RunBlock,
    SegmentClosed,
    Train,
    Trained,
    WriteReport,
)
from phosphene.plan import Plan, runs_of
from phosphene.signals import SignalSpec
from phosphene.states import Event, State

START_TIME = 60.0
"""Seconds that amplifier and screen may take to be found and checked."""
CLOSE_TIME = 10.0
KEEP_TIME = 30.0
"""Seconds in which the trainer must file the best decoder so far."""
SHADOW_TIME = 30.0
"""Seconds that shadows get when the driver is ready; who is later misses a run."""
PREPARATION = 1.0
"""Seconds before its cue at which a block is ordered: its images are decoded in them."""


class Session(FeedbackDesk):
    """One session of one subject."""

    def __init__(
        self,
        plan: Plan,
        folder: SessionFolder,
        journal: Journal,
        check_signal: Callable[[SignalSpec], object],
        now: float = 0.0,
    ) -> None:
        self._check_signal = check_signal
        self._clear_at = 0.0
        self._segment = ""
        """Path of the recording that is open."""
        self._training = self._assessing = False
        super().__init__(plan, folder, journal, now)

    def _protocol(self) -> Script[None]:
        try:
            yield from self._check()
            yield from self._expect_state(State.RESTING)
            for path in self._plan.history.unfiled:
                self._export(path)
            for phase in self._plan.protocol:
                if phase == "train":
                    yield from self._train()
                elif phase == "feedback":
                    yield from self._feedback()
                elif phase == "record":
                    yield from self._present(phase)
            self._move(Event.CLOSE)
        except EndedEarlyError:
            self._move(Event.STOP)
        except PhospheneError as error:
            self._failed = True
            self._note(str(error))
            self._move(Event.STOP)
        yield from self._close()

    def _check(self) -> Script[None]:
        """Start amplifier and screen, and whatever feedback will need; all must be well."""
        waiting = {"acquisition", "presenter"}
        if "feedback" in self._plan.protocol:
            waiting |= {*WORKERS}
        for role in [*sorted(waiting), *self._plan.shadows]:
            self._send(role, Prepare())
        while waiting:
            # Who loads a large model takes longer than who opens a window.
            within = START_TIME if waiting - {*WORKERS} else WARM_UP
            ready = yield from self._expect(Ready, within, f"ready: {', '.join(waiting)}")
            waiting.discard(ready.role)
            if ready.spec:
                self._spec = ready.spec
        self._check_signal(self._spec)
        if self._bundle:
            yield from self._load_decoder()
        self._move(Event.CHECKED)

    def _present(self, phase: Phase) -> Script[None]:
        """Show the runs of a phase, each recorded into a file of its own."""
        left = self._plan.left(phase)
        if left:
            self._clear_at = self._now + PREPARATION + left[0].cue
        for run, blocks in runs_of(left):
            yield from self._open_segment(phase, run)
            for block in blocks:
                self._ledger.begin(phase, block)
                yield from self._show(phase, block)
            # The last pause belongs to the recording.
            yield from self._until(self._clear_at)
            yield from self._close_segment()
            if phase == "feedback":
                yield from self._learn_from(run)

    def _feedback(self) -> Script[None]:
        """Find out what feedback may claim, get its pictures ready, and give it."""
        feedback, conductor = self._plan.feedback, self._conductor
        assert feedback is not None  # noqa: S101  Both come with the phase.
        assert conductor is not None  # noqa: S101
        self._move(Event.TRAIN)
        self._assessing = True
        yield from self._assess(feedback, conductor)
        self._assessing = False
        if feedback.settings.retrain == "never":
            self._send("trainer", Quit())
        self._move(Event.TRAINED)
        yield from self._fill_pool(feedback, conductor)
        yield from self._hold()
        yield from self._present("feedback")

    def _learn_from(self, run: int) -> Script[None]:
        feedback = self._plan.feedback
        last = self._plan.blocks["feedback"][-1].run
        if feedback and feedback.settings.retrain == "between-runs" and run < last:
            self._assessing = True
            yield from self._retrain(run)
            self._assessing = False

    def _show(self, phase: Phase, block: Block) -> Script[None]:
        """Show a block until it was shown whole; an interrupted attempt is kept and marked."""
        attempt = self._plan.history.attempt(phase, block)
        while True:
            yield from self._hold()
            if phase == "feedback":
                yield from self._wait_for_workers()
            yield from self._until(self._clear_at - block.cue - PREPARATION)
            yield from self._guard()
            if self._pausing:
                continue
            not_before = max(self._clear_at, self._now + block.cue)
            if phase == "feedback" and self._conductor:
                self._conductor.begin(block, attempt, self._arms[block.block])
            order = RunBlock(phase, block, attempt, not_before, self._ledger.next_seq)
            self._send("presenter", order)
            self._block = block
            done = yield from self._expect(BlockDone)
            self._block_ended(done, block)
            if not done.aborted:
                if phase == "feedback" and self._conductor:
                    self._conductor.end()
                return
            attempt += done.n_trials > 0

    def _block_ended(self, done: BlockDone, block: Block) -> None:
        self._block = None
        self._clear_at = done.end + block.pause
        self._ledger.end(block, done)
        if self._state is State.RUNNING:
            self._move(Event.BLOCK_DONE)

    def _hold(self) -> Script[None]:
        """Wait while the operator has paused."""
        if self._pausing:
            self._move(Event.PAUSE)
            yield from self._expect_state(State.RESTING)
            self._clear_at = max(self._clear_at, self._now + PREPARATION)

    def _guard(self) -> Script[None]:
        """Pause, and say why, unless the EEG arrives and is on disk."""
        before = self._ledger.recording
        while self._ledger.recording is before:
            yield
        problem = guard.signal_problem(self._ledger.recording, before, self._now)
        if not problem:
            problem = guard.disk_problem(self._folder.path, self._spec, self._ledger.seconds_left)
        if problem:
            self._pause(problem)

    def _open_segment(self, phase: Phase, run: int) -> Script[None]:
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
        self._ledger.file(closed)
        self._file_segment()

    def _file_segment(self) -> None:
        self._export(self._segment)
        self._segment = ""

    def _export(self, path: str) -> None:
        self._exports += 1
        self._send("exporter", Export(path))

    def _train(self) -> Script[None]:
        self._move(Event.TRAIN)
        for shadow in self._plan.shadows:
            self._send(shadow, Follow(str(self._folder.path), self._spec))
        trained = self._plan.history.trained or (yield from self._fit())
        self._bundle, self._bundle_sha256 = trained.bundle, trained.sha256
        self._send("watchers", Progress("train", 1.0, "; ".join(trained.audits)))
        if "feedback" in self._plan.protocol:
            yield from self._load_decoder()
        else:
            self._send("trainer", Quit())
        yield from self._wait_for_shadows()
        self._move(Event.TRAINED)

    def _fit(self) -> Script[Trained]:
        self._send("trainer", Train(str(self._folder.path)))
        self._training = True
        trained = yield from self._expect(Trained)
        self._training = False
        return trained

    def _wait_for_shadows(self) -> Script[None]:
        """Let slower decoders catch up, for a while; a subject is waiting."""
        deadline, shadows = self._now + SHADOW_TIME, set(self._plan.shadows)
        while (late := shadows - self._following - self._lost) and self._now < deadline:
            yield
        for shadow in sorted(late):
            self._note(f"{shadow} is still being fitted; it misses a run or more")

    def _close(self) -> Script[None]:
        """File what there is, whatever came before; a problem here is added to the others."""
        try:
            if self._training:
                yield from self._keep_best()
            if self._assessing:
                self._send("trainer", Interrupt())
            if self._block:
                yield from self._abort_block(self._block)
            if self._segment:
                yield from self._close_segment()
        except PhospheneError as error:
            self.fail(str(error))
        if self._segment:
            # Nobody could close it; it is whole up to its last chunk.
            self._file_segment()
        while self._exports:
            yield
        if "report" in self._plan.protocol and self._ledger.recorded:
            yield from self._report()

    def _abort_block(self, block: Block) -> Script[None]:
        """Clear the screen; if presenter and acquisition live, they agree on what was shown."""
        self._send("presenter", AbortBlock())
        if not self._lost & {"presenter", "acquisition"}:
            done = yield from self._expect(BlockDone, CLOSE_TIME, "the presenter to stop")
            self._block_ended(done, block)

    def _keep_best(self) -> Script[None]:
        """Let the trainer file what it has."""
        if "trainer" in self._lost:
            return
        self._send("trainer", Interrupt())
        deadline = self._now + KEEP_TIME
        while "trainer" not in self._lost:
            if isinstance((yield), Trained):
                return
            if self._now > deadline:
                self._note(f"the trainer filed no decoder within {KEEP_TIME:.0f} s")
                return

    def _report(self) -> Script[None]:
        self._send("reporter", WriteReport(str(self._folder.path)))
        while "reporter" not in self._lost:
            if isinstance((yield), Reported):
                return
