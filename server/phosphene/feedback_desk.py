"""The part of a session's desk that closes the loop: gate, arms, pictures, workers that fail."""

from dataclasses import replace
from pathlib import Path

import msgspec
from msgspec import structs

from phosphene.arms import assign
from phosphene.conductor import Conductor
from phosphene.dataset.study import SessionFolder
from phosphene.decodings import append_decoding
from phosphene.desk import GENERATOR, RESTARTS, WORKERS, Desk, Script
from phosphene.errors import PhospheneError
from phosphene.events import Block, Onset
from phosphene.feedback_table import Arm
from phosphene.journal import Journal
from phosphene.messages import (
    DRIVER,
    Assess,
    Command,
    Decoded,
    DecoderReady,
    DropPicture,
    LoadDecoder,
    Message,
    PictureFailed,
    PictureMade,
    Pool,
    Progress,
    Prospect,
    Ready,
    RejectPicture,
    Reply,
    Restart,
    Retrain,
    Retrained,
    Status,
    shadow_number,
)
from phosphene.plan import FeedbackPlan, Plan
from phosphene.roles import Outgoing
from phosphene.signals import SignalSpec
from phosphene.states import Event, State

WARM_UP = 600.0
"""Seconds that a generator may take to load its model, compile it and make a first picture."""
WORKER = "worker"
"""The generator on another machine: it comes and goes as it likes."""
LOAD_TIME = 60.0
"""Seconds in which a decoder must be loaded."""


class FeedbackDesk(Desk):
    """Takes in decodings and pictures, and offers the script its steps around feedback."""

    _spec: SignalSpec
    """What the amplifier delivers; known once the checks have passed."""

    def __init__(self, plan: Plan, folder: SessionFolder, journal: Journal, now: float) -> None:
        self._bundle = str(plan.bundle) if plan.bundle else ""
        self._bundle_sha256 = ""
        self._arms: dict[int, Arm] = {}
        """By block of the feedback phase."""
        self._away = ""
        """Why the generator on another machine does not answer; "" while it does."""
        self._conductor = Conductor(plan.feedback, folder) if plan.feedback else None
        super().__init__(plan, folder, journal, now)

    @property
    def status(self) -> Status:
        """Everything an operator asks for."""
        waiting = len(self._conductor.pool.waiting) if self._conductor else 0
        fallbacks = self._conductor.fallbacks if self._conductor else 0
        return structs.replace(super().status, fallbacks=fallbacks, pictures=waiting)

    @property
    def _reason(self) -> str:
        return "; ".join(filter(None, (super()._reason, self._away)))

    # What comes in.

    def handle(self, message: Message, now: float | None = None) -> Outgoing:
        """Take in a fact; that a generator on another machine is back ends the word of its loss."""
        if isinstance(message, Ready) and message.role == WORKER:
            self._away = ""
            self._publish()
        return super().handle(message, now)

    def _take(self, message: Message) -> None:
        match message:
            case Decoded(role=role):
                self._take_decoding(role, message)
            case DecoderReady():
                self._ready.add(DRIVER)
            case PictureMade() if self._conductor:
                self._out += self._conductor.made(message, self._now)
            case PictureFailed(text=text) if self._conductor:
                self._conductor.failed(message)
                self._note(f"a picture could not be made: {text}")
            case Onset() if self._conductor:
                self._out += self._conductor.shown(message)
                self._mind_failures(self._conductor)

    def _take_decoding(self, role: str, message: Decoded) -> None:
        plain = structs.replace(message, embedding=())
        self._journal.append(plain)
        append_decoding(self._folder.decodings_of(role if shadow_number(role) else ""), plain)
        if shadow_number(role) or self._conductor is None:
            return
        self._out += self._conductor.decoded(message, self._now)
        if not self._sealed:
            self._send("watchers", plain)

    def _tend(self) -> None:
        """Have pictures made in free moments, and in a block of a class that has none left."""
        if self._conductor and GENERATOR in self._ready:
            feedback = self._ledger.phase == "feedback"
            if self._state is not State.RUNNING or feedback:
                running = self._state is State.RUNNING
                self._out += self._conductor.order(only_missing=running)

    def _mind_failures(self, conductor: Conductor) -> None:
        """Pause when a worker has failed several trials in a row; end it if it hangs."""
        worker, problem = conductor.problem
        if not problem or self._state is not State.RUNNING or self._pausing:
            return
        conductor.forgive()
        self._pause(f"{worker}: {problem}")
        if conductor.hangs(worker):
            self._send(worker, Restart())

    def _pool_command(self, command: Command) -> Message:
        if self._conductor is None:
            raise PhospheneError("this session shows no pictures")
        pool = self._conductor.pool
        if not isinstance(command, RejectPicture):
            return Pool(pool.waiting, str(self._folder.pictures))
        if not pool.reject(command.id):
            waiting = ", ".join(pool.waiting) or "none"
            raise PhospheneError(f"no picture {command.id!r} waits; there are: {waiting}")
        self._send("presenter", DropPicture(command.id))
        return Reply(ok=True)

    # Workers.

    def _lose(self, role: str, reason: str) -> None:
        """Start a worker again that had been ready; everything else is for the desk."""
        if role == WORKER:
            self._lost.discard(role)
            told = reason.removeprefix(f"{WORKER}: ")
            self._away = f"{told}; the session's own generator makes the pictures until it is back"
            self._publish()
            return
        if role not in WORKERS or role not in self._ready or self._state is State.CLOSING:
            super()._lose(role, reason)
            return
        self._ready.discard(role)
        self._restarts[role] += 1
        if self._restarts[role] > RESTARTS:
            self.fail(f"{reason}; it has failed {RESTARTS} times before")
            return
        self._lost.discard(role)
        self._note(f"{reason}; it was started again")
        if role == DRIVER:
            self._start_decoder()
        else:
            self._start_generator()

    def _start_generator(self) -> None:
        if self._conductor:
            self._conductor.forget_orders()
        self._prepare_role(GENERATOR)

    def _start_decoder(self) -> None:
        self._prepare_role(DRIVER)
        if self._bundle:
            self._send(DRIVER, LoadDecoder(self._bundle, self._spec, self._bundle_sha256))

    def _load_decoder(self) -> Script[None]:
        self._ready.discard(DRIVER)
        self._send(DRIVER, LoadDecoder(self._bundle, self._spec, self._bundle_sha256))
        yield from self._expect(DecoderReady, LOAD_TIME, "the decoder")

    def _wait_for_workers(self) -> Script[None]:
        """Rest until decoder and generator are there; pause if they take too long."""
        deadline = self._now + WARM_UP
        while missing := set(WORKERS) - self._ready:
            if self._now > deadline:
                self._pause(f"waited {WARM_UP:.0f} s for {', '.join(sorted(missing))} in vain")
                return
            yield

    # The script's steps.

    @property
    def _sealed(self) -> bool:
        feedback = self._plan.feedback
        return feedback is not None and feedback.settings.sham != "never"

    def _assess(self, feedback: FeedbackPlan, conductor: Conductor) -> Script[None]:
        """Ask what feedback may claim, and prepare it accordingly."""
        self._send("trainer", Assess(str(self._folder.path), self._bundle))
        prospect = yield from self._expect(Prospect)
        if feedback.settings.classes is not None and prospect.classes:
            blocks = {**self._plan.blocks, "feedback": feedback.blocks_of(prospect.classes)}
            self._plan = replace(self._plan, blocks=blocks)
        blocks_ahead = self._plan.blocks["feedback"]
        classes = _classes(blocks_ahead)
        if set(classes) == set(prospect.classes):  # The donors' posteriors have this order.
            classes = list(prospect.classes)
        self._out += conductor.prepare(classes, prospect.repetitions, prospect.donors)
        rehearsal = bool(prospect.refusal) and not feedback.settings.override_gate
        arms = assign(len(blocks_ahead), feedback.settings.sham, feedback.seed)
        if rehearsal:
            arms = ["rehearsal"] * len(blocks_ahead)
            self._note(f"feedback is a rehearsal, its pictures mean nothing: {prospect.refusal}")
        elif prospect.refusal:
            self._note(f"the gate was overridden: {prospect.refusal}")
        self._arms = {block.block: arm for block, arm in zip(blocks_ahead, arms, strict=True)}
        if self._sealed:
            _write_sealed(self._folder.sealed_arms_file, self._arms)
            text = feedback.settings.debrief
            self._folder.debrief_file.write_text(text + "\n", encoding="utf-8")

    def _fill_pool(self, feedback: FeedbackPlan, conductor: Conductor) -> Script[None]:
        """Wait until a picture of each class is there, and the operator has seen them all."""
        yield from self._wait_for_workers()
        deadline = self._now + WARM_UP
        while not (conductor.pool.full if feedback.settings.review else conductor.pool.stocked):
            if self._now > deadline:
                self._note("the pool was not filled in time; some trials may have no picture")
                break
            yield
        if feedback.settings.review and conductor.pool.waiting:
            self._pause(
                f"look at the pictures in {self._folder.pictures} (phosphene pool list), take out "
                "what must not be shown (phosphene pool reject ID), then: phosphene resume"
            )

    def _retrain(self, run: int) -> Script[None]:
        """Let the decoder learn from the newest run, if that makes it better."""
        self._move(Event.TRAIN)
        self._send("trainer", Retrain(str(self._folder.path), self._bundle, run))
        found = yield from self._expect(Retrained)
        self._send("watchers", Progress("retrain", 1.0, found.text))
        if found.bundle:
            self._bundle, self._bundle_sha256 = found.bundle, found.sha256
            yield from self._load_decoder()
        self._move(Event.TRAINED)


def _classes(blocks: tuple[Block, ...]) -> list[str]:
    return list(dict.fromkeys(trial.wnid for block in blocks for trial in block.trials))


def _write_sealed(path: Path, arms: dict[int, Arm]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(arms)) + b"\n")
