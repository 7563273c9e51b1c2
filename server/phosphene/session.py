"""A session: the script that takes one subject through the protocol."""

from collections.abc import Callable
from pathlib import Path

from phosphene import guard
from phosphene.dataset.study import SessionFolder
from phosphene.desk import WORKERS, EndedEarlyError, Script
from phosphene.errors import PhospheneError
from phosphene.events import Block
from phosphene.feedback_desk import WARM_UP
from phosphene.journal import Journal
from phosphene.messages import (
    AbortBlock,
    BlockDone,
    Follow,
    Interrupt,
    Phase,
    Prepare,
    Progress,
    Quit,
    Ready,
    Reported,
    Train,
    Trained,
    WriteReport,
)
from phosphene.plan import Plan
from phosphene.recording import check_channels
from phosphene.runs import CLOSE_TIME, Runs
from phosphene.signals import SignalSpec
from phosphene.states import Event, State

START_TIME = 60.0
"""Seconds that amplifier and screen may take to be found and checked."""
KEEP_TIME = 30.0
"""Seconds in which the trainer must file the best decoder so far."""
SHADOW_TIME = 30.0
"""Seconds that shadows get when the driver is ready; who is later misses a run."""


class Session(Runs):
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
        self._beside: tuple[SignalSpec, ...] = ()
        """Streams that are recorded beside the EEG."""
        self._markers: tuple[str, ...] = ()
        """Those without a rate."""
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
                self._spec, self._beside = ready.spec, ready.beside
                self._markers = ready.markers
        check_channels((self._spec, *self._beside), self._markers, self._plan.recording)
        self._check_signal(self._spec)
        left = self._ledger.seconds_left
        if problem := guard.disk_problem(self._folder.path, self._spec, left):
            raise PhospheneError(problem)
        if self._bundle:
            yield from self._load_decoder()
        self._move(Event.CHECKED)

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

    def _after_run(self, phase: Phase, run: int) -> Script[None]:
        feedback = self._plan.feedback
        wanted = feedback is not None and feedback.settings.retrain == "between-runs"
        if phase == "feedback" and wanted and run < self._plan.blocks[phase][-1].run:
            self._assessing = True
            yield from self._retrain(run)
            self._assessing = False

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
        if self._segment and Path(self._segment).exists():
            # Nobody could close it; it is whole up to its last chunk.
            self._export(self._segment)
        yield from self._file_rest()
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
