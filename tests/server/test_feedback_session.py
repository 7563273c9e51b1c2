"""Feedback on the virtual clock: what is decoded is what is shown, or a neutral screen."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs
from PIL import Image

from phosphene import Context, Decoding, Generator, GeneratorConfig, PhospheneError, Picture
from phosphene.arms import assign
from phosphene.clock import VirtualClock
from phosphene.closed_loop import ClosedLoopSettings
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import read_segment
from phosphene.events import Block, Onset, Trial
from phosphene.feedback_table import FeedbackTrial, read_trials
from phosphene.journal import Journal, read_journal, set_aside
from phosphene.loop import VirtualLoop
from phosphene.messages import (
    Assess,
    Decoded,
    DecoderReady,
    Failed,
    GetPool,
    LoadDecoder,
    Message,
    Pool,
    Prepare,
    Prospect,
    Ready,
    RejectPicture,
    Reply,
    Resume,
    Retrain,
    Retrained,
    Start,
    Status,
    Verdict,
)
from phosphene.plan import FeedbackPlan, Plan
from phosphene.roles import Outgoing, Role
from phosphene.roles.acquire import Acquisition
from phosphene.roles.generate import Generation
from phosphene.roles.present import Presenter
from phosphene.running_trial import RunningTrial
from phosphene.screen import HeadlessScreen
from phosphene.session import Session
from phosphene.signals import Signal, SignalSpec
from phosphene.states import State
from phosphene.stimulus import StimulusSet

SFREQ = 100.0
SPEC = SignalSpec(("Oz", "Pz"), ("eeg", "eeg"), SFREQ)
CLASSES = ("n00000001", "n00000002", "n00000003")
N_IMAGES = 4
MAY = Prospect(CLASSES, 1, 30, 25, 30, 1 / 3, 0.6, 0.9)
"""A prospect that allows true feedback."""


class Steady:
    """Delivers noise up to now."""

    spec = SPEC

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._sent = 0

    def read(self, timeout: float) -> Signal | None:
        first, self._sent = self._sent, int(self._clock.now() * SFREQ)
        if self._sent == first:
            return None
        stamps = np.arange(first, self._sent) / SFREQ
        data = 1e-5 * np.random.default_rng(first).standard_normal((2, len(stamps)))
        return Signal(data.astype(np.float32), stamps)

    def close(self) -> None:
        pass


@dataclass
class Oracle:
    """A decoder process that is right, wrong, slow or dead, as the test wants."""

    clock: VirtualClock
    probabilities: Callable[[Onset], Sequence[float]]
    delay: Callable[[Onset], float] = lambda _onset: 0.01
    dies: Callable[[Onset], bool] = lambda _onset: False
    embedding: tuple[float, ...] = ()
    idle: bool = True
    _due: list[Onset] = field(default_factory=list)
    _loaded: bool = False

    def handle(self, message: Message) -> Outgoing:
        match message:
            case Prepare():
                return [("server", Ready("decoder"))]
            case LoadDecoder():
                self._loaded = True
                return [("server", DecoderReady("hash", CLASSES))]
            case Onset(event="stimulus") if self._loaded:
                if self.dies(message):
                    raise PhospheneError("the decoder broke")
                self._due.append(message)
        return []

    def poll(self, now: float) -> Outgoing:
        due = [o for o in self._due if now >= o.time + 0.5 + self.delay(o)]
        self._due = [o for o in self._due if o not in due]
        return [("server", self._decoded(onset, now)) for onset in due]

    def close(self) -> None:
        pass

    def _decoded(self, onset: Onset, now: float) -> Decoded:
        received = onset.time + 0.5
        return Decoded(
            onset, CLASSES, tuple(self.probabilities(onset)), "segment", 0, now, received,
            cut=received, embedding=self.embedding, space="space" if self.embedding else "",
        )  # fmt: skip


class Painter(GeneratorConfig, frozen=True):
    """Paints the class's number; counts what it was asked for."""

    uses: ClassVar[Any] = "class"

    def build(self, context: Context) -> Generator:
        return _Painter()


class PerTrial(Painter, frozen=True):
    uses: ClassVar[Any] = "embedding"


class Failing(PerTrial, frozen=True):
    def build(self, context: Context) -> Generator:
        return _Failing()


class _Painter:
    def generate(self, classes: Sequence[str], decoding: Decoding, *, seed: int) -> Picture:
        wnid = classes[int(np.argmax(decoding.probabilities[0]))]
        pixels = np.full((4, 4, 3), int(wnid[-1]), np.uint8)
        return Picture(pixels, wnid, {"generator": "painter", "prompt": f"a {wnid}"})


class _Failing:
    def generate(self, classes: Sequence[str], decoding: Decoding, *, seed: int) -> Picture:
        raise PhospheneError("out of paint")


@dataclass
class Trainer:
    """Answers what it is asked with what the test wants."""

    prospect: Prospect
    retrained: Retrained | None = None
    asked: list[Message] = field(default_factory=list)
    idle: bool = True

    def handle(self, message: Message) -> Outgoing:
        self.asked.append(message)
        if isinstance(message, Assess):
            return [("server", self.prospect)]
        if isinstance(message, Retrain) and self.retrained:
            return [("server", self.retrained)]
        return []

    def poll(self, now: float) -> Outgoing:
        return []

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory: pytest.TempPathFactory) -> StimulusSet:
    root = tmp_path_factory.mktemp("images")
    rows = ["wnid\tname\trole\tfile\tsha256\tlicence"]
    for wnid in CLASSES:
        (root / wnid).mkdir()
        for number in range(N_IMAGES):
            file = root / wnid / f"{number}.png"
            Image.new("RGB", (8, 8), (number, int(wnid[-1]), 0)).save(file)
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            rows.append(f"{wnid}\tname {wnid}\ttrain\t{wnid}/{number}.png\t{sha256}\tCC0")
    (root / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return StimulusSet.read(root)


def blocks(
    n_blocks: int = 2, repetitions: int = 1, classes: Sequence[str] = CLASSES, runs: int = 1
) -> tuple[Block, ...]:
    def trial(wnid: str) -> Trial:
        image, *repeats = (f"{wnid}/{number}.png" for number in range(repetitions))
        return Trial(image, wnid, 0.5, 0.5, 0.5, 0.25, tuple(repeats))

    trials = tuple(trial(classes[n % len(classes)]) for n in range(6))
    per_run = n_blocks // runs
    return tuple(
        Block(number // per_run + 1, number + 1, trials, pause=3.0, cue=0.5)
        for number in range(n_blocks)
    )


class Stage:
    """A feedback session from a bundle, driven turn by turn."""

    def __init__(
        self,
        root: Path,
        stimuli: StimulusSet,
        *,
        plan: tuple[Block, ...] | None = None,
        generator: GeneratorConfig | None = None,
        prospect: Prospect = MAY,
        retrained: Retrained | None = None,
        seed: int = 1,
        oracle: dict[str, Any] | None = None,
        **closed_loop: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.folder = SessionFolder.create(root, "01", "01")
        self.journal = Journal(self.folder.journal_file)
        self.trainer = Trainer(prospect, retrained)
        self.generator = generator or Painter()
        self.pictures = 0
        self._stimuli = stimuli
        self._oracle = oracle or {}
        settings = ClosedLoopSettings(**closed_loop)
        plan = plan or blocks()
        feedback = FeedbackPlan(
            settings, self.generator.uses, seed, lambda classes: blocks(len(plan), classes=classes)
        )
        self.session = Session(
            Plan(("feedback",), {"feedback": plan}, {"feedback": "f"}, root, feedback=feedback),
            self.folder,
            self.journal,
            lambda spec: None,
        )
        self.published: list[Message] = []
        self.loop = VirtualLoop(self.session, self.clock, self._build, self.published.append)

    def _build(self, name: str, emit: Callable[[Message], None]) -> Role:
        context = Context(self._stimuli, clock=self.clock)
        roles: dict[str, Callable[[], Role]] = {
            "presenter": lambda: Presenter(
                HeadlessScreen(self.clock), self._stimuli, self.folder.onsets_file
            ),
            "acquisition": lambda: Acquisition(Steady(self.clock), deque(), self.clock),
            "decoder": lambda: Oracle(self.clock, **{"probabilities": right, **self._oracle}),
            "generator": lambda: Generation(self.generator, context, self.folder.pictures),
            "trainer": lambda: self.trainer,
            "exporter": lambda: Trainer(MAY),
        }
        return roles[name]()

    def until(self, condition: Callable[[], bool], seconds: float = 300.0) -> None:
        end = self.clock.now() + seconds
        while not condition():
            assert self.clock.now() < end, self.session.status
            self.loop.turn()

    def tell(self, command: Any) -> Message:
        answer, outgoing = self.session.command(command)
        self.loop.deliver(outgoing)
        return answer

    def problems(self, fact: Message) -> set[str]:
        """Take in a fact, and return the problems that are published at that moment."""
        outgoing = self.session.handle(fact)
        self.loop.deliver(outgoing)
        return {m.problem for _, m in outgoing if isinstance(m, Status)}

    def start(self) -> "Stage":
        self.until(lambda: self.session.state is State.READY)
        self.tell(Start())
        return self

    def finish(self) -> Status:
        # The exporter of these tests never answers: all blocks done is all.
        self.until(lambda: self.session.state is State.CLOSING or self.session.over)
        return self.close()

    def close(self) -> Status:
        self.loop.close()
        self.journal.close()
        return self.session.status

    def trials(self, *, sealed: bool = False) -> tuple[FeedbackTrial, ...]:
        file = self.folder.sealed_feedback_file if sealed else self.folder.feedback_file
        return read_trials(file, set_aside(self.folder.journal_file))

    def onsets(self, event: str = "picture") -> list[Onset]:
        found = [o for path in self.folder.segments() for o in read_segment(path).onsets]
        return [onset for onset in found if onset.event == event]


def right(onset: Onset) -> list[float]:
    return [0.8 if wnid == onset.wnid else 0.1 for wnid in CLASSES]


def unsure(onset: Onset) -> list[float]:
    return [0.4 if wnid == onset.wnid else 0.3 for wnid in CLASSES]


def wrong(onset: Onset) -> list[float]:
    following = CLASSES[(CLASSES.index(onset.wnid) + 1) % 3]
    return [0.8 if wnid == following else 0.1 for wnid in CLASSES]


def test_every_trial_is_answered_by_a_picture_of_the_decoded_class(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli, oracle={"probabilities": wrong}).start()
    stage.finish()
    trials = stage.trials()
    assert len(trials) == 12
    assert Counter(t.outcome for t in trials) == {"shown": 12}
    following = dict(zip(CLASSES, (*CLASSES[1:], CLASSES[0]), strict=True))
    assert all(t.answer == t.decision == following[t.wnid] for t in trials)
    assert [o.wnid for o in stage.onsets()] == [t.answer for t in trials]
    assert all(t.arm == "true" and t.ahead for t in trials)


def test_no_picture_is_shown_twice_and_each_is_on_disk_with_its_card(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli).start()
    stage.finish()
    shown = [t.picture for t in stage.trials()]
    assert len(set(shown)) == len(shown) == 12
    for trial in stage.trials():
        with Image.open(stage.folder.pictures / f"{trial.picture}.png") as picture:
            assert picture.getpixel((0, 0)) == (int(trial.answer[-1]),) * 3
        card = json.loads((stage.folder.pictures / f"{trial.picture}.json").read_text())
        assert (card["prompt"], str(card["seed"])) == (trial.prompt, trial.seed)


def test_each_stage_of_a_trial_is_timed_and_within_its_budget(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli).start()
    stage.finish()
    flips = {o.key: o.time for o in stage.onsets()}
    for t in stage.trials():
        assert t.onset < t.received <= t.cut <= t.decoded <= t.decided <= t.ready < t.flip
        assert t.decoded <= t.decoder_budget < t.picture_budget <= t.flip
        assert t.flip == flips[("feedback", t.run, t.block, t.attempt, t.trial)]


def test_evidence_adds_up_until_it_decides_and_ends_the_repetitions(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    plan = blocks(repetitions=4)
    stage = Stage(tmp_path, stimuli, plan=plan, threshold=0.9).start()
    stage.finish()
    # 0.8 against 0.1 twice: 64 : 1 : 1.
    assert {t.repetitions for t in stage.trials()} == {2}
    assert {t.outcome for t in stage.trials()} == {"shown"}
    assert len(stage.onsets("stimulus")) == 24


def test_without_enough_evidence_there_is_no_decision_and_a_neutral_screen(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    plan = blocks(repetitions=3)
    oracle = {"probabilities": unsure}
    stage = Stage(tmp_path, stimuli, plan=plan, threshold=0.9, oracle=oracle).start()
    status = stage.finish()
    assert Counter(t.outcome for t in stage.trials()) == {"no decision": 12}
    assert {(t.repetitions, t.decision, t.answer) for t in stage.trials()} == {(3, "", "")}
    assert {o.wnid for o in stage.onsets()} == {""}
    assert status.fallbacks == 0


def test_a_refused_session_is_a_rehearsal_and_says_so(tmp_path: Path, stimuli: StimulusSet) -> None:
    donors = tuple(Verdict(wnid, 1, (0.5, 0.3, 0.2)) for wnid in (*CLASSES, ""))
    no = Prospect(CLASSES, 1, 30, 10, 30, 1 / 3, 0.2, 0.5, refusal="no better than chance")
    no = Prospect(*(getattr(no, f) for f in no.__struct_fields__[:-1]), donors=donors)
    stage = Stage(tmp_path, stimuli, prospect=no).start()
    status = stage.finish()
    trials = stage.trials()
    assert {t.arm for t in trials} == {"rehearsal"}
    assert "rehearsal" in status.problem
    assert "no better than chance" in status.problem
    assert {t.answer for t in trials} == {*CLASSES, ""}
    assert all(t.decision == t.wnid for t in trials)


def test_an_overridden_gate_gives_true_feedback_and_says_so(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    no = Prospect(CLASSES, 1, 30, 10, 30, 1 / 3, 0.2, 0.5, refusal="no better than chance")
    stage = Stage(tmp_path, stimuli, prospect=no, override_gate=True).start()
    status = stage.finish()
    assert {t.arm for t in stage.trials()} == {"true"}
    assert "the gate was overridden: no better than chance" in status.problem


def test_classes_chosen_after_training_are_the_ones_that_are_shown(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    chosen = Prospect(CLASSES[1:], 1, 30, 25, 30, 0.5, 0.6, 0.9)
    plan = blocks(classes=CLASSES[:2])
    stage = Stage(tmp_path, stimuli, plan=plan, prospect=chosen, classes=2).start()
    status = stage.finish()
    assert {t.wnid for t in stage.trials()} == set(CLASSES[1:])
    assert set(stage.trials()[0].posterior) == set(CLASSES[1:])
    assert status.blocks_done == status.blocks_total


# Failures.


def test_a_late_decoder_is_answered_by_the_fallback_and_counted(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    oracle = {"delay": lambda onset: 0.3 if onset.trial == 2 else 0.01}
    stage = Stage(tmp_path, stimuli, oracle=oracle).start()
    status = stage.finish()
    assert [t.outcome for t in stage.trials()] == ["shown", "late", *["shown"] * 4] * 2
    assert [o.wnid == "" for o in stage.onsets()] == [False, True, *[False] * 4] * 2
    assert status.fallbacks == 2
    lengths = np.diff([o.time for o in stage.onsets("stimulus")][:6])
    np.testing.assert_allclose(lengths, 1.75, atol=1e-6)


def test_a_generator_that_fails_three_times_in_a_row_pauses_the_session(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli, generator=Failing(), oracle={"embedding": (1.0, 2.0)}).start()
    stage.until(lambda: stage.session.state is State.PAUSED)
    status = stage.close()
    assert "3 trials in a row had no picture (failed, failed, failed)" in status.problem
    assert "out of paint" in status.problem
    assert status.fallbacks == 3


def test_an_operator_resumes_after_such_a_pause_and_the_block_is_repeated(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    late = {"delay": lambda onset: 0.3 if (onset.block, onset.attempt) == (1, 1) else 0.01}
    stage = Stage(tmp_path, stimuli, oracle=late).start()
    stage.until(lambda: stage.session.state is State.PAUSED)
    assert stage.tell(Resume()) == Reply(ok=True)
    stage.finish()
    assert Counter((t.block, t.attempt, t.outcome) for t in stage.trials()) == {
        (1, 2, "shown"): 6,
        (2, 1, "shown"): 6,
    }


def test_a_decoder_that_crashes_is_started_again_and_no_block_is_lost(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    oracle = {"dies": lambda onset: (onset.block, onset.trial) == (1, 3)}
    stage = Stage(tmp_path, stimuli, oracle=oracle).start()
    status = stage.finish()
    outcomes = [t.outcome for t in stage.trials()]
    assert outcomes == ["shown", "shown", "no decoding", *["shown"] * 9]
    assert "the decoder broke; it was started again" in status.problem


def test_a_decoder_that_crashes_again_and_again_ends_the_session(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    oracle = {"dies": lambda onset: True}
    stage = Stage(tmp_path, stimuli, oracle=oracle, failures=100).start()
    status = stage.finish()
    assert "it has failed 3 times before" in status.problem


# Pictures that are made for each trial, and for nobody else.


def test_a_lost_worker_is_told_until_it_is_back(tmp_path: Path, stimuli: StimulusSet) -> None:
    stage = Stage(tmp_path, stimuli).start()
    told = (
        "worker 'gpu' is lost: it was ended by hand; "
        "the session's own generator makes the pictures until it is back"
    )
    lost = Failed("worker", "worker 'gpu' is lost: it was ended by hand")
    assert [stage.problems(message) for message in (lost, lost)] == [{told}, {told}]
    assert stage.problems(Ready("worker")) == {""}
    assert stage.finish().problem == ""


def test_a_generator_of_single_trials_gets_the_embedding_and_makes_nothing_ahead(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli, generator=PerTrial(), oracle={"embedding": (1.0,)}).start()
    stage.finish()
    assert Counter((t.outcome, t.ahead) for t in stage.trials()) == {("shown", False): 12}
    assert len(list(stage.folder.pictures.glob("*.png"))) == 12


# The pool.


def test_the_operator_sees_the_pool_before_the_subject_and_can_take_pictures_out(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli, review=True, pool=2).start()
    stage.until(lambda: stage.session.state is State.PAUSED)
    assert not stage.folder.segments()
    pool = stage.tell(GetPool())
    assert isinstance(pool, Pool)
    assert Counter(pool.pictures.values()) == dict.fromkeys(CLASSES, 2)
    files = [Path(pool.folder) / f"{picture}.png" for picture in pool.pictures]
    stage.until(lambda: all(file.exists() for file in files), seconds=1.0)
    first = next(iter(pool.pictures))
    assert stage.tell(RejectPicture(first)) == Reply(ok=True)
    refused = stage.tell(RejectPicture(first))
    assert isinstance(refused, Reply)
    assert not refused.ok
    stage.tell(Resume())
    stage.finish()
    assert first not in {t.picture for t in stage.trials()}


def test_an_empty_pool_leaves_a_neutral_screen_never_another_picture(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    # One picture of each class, none is made in the block: the second of a class finds none.
    stage = Stage(tmp_path, stimuli, pool=1)
    stage.start()
    stage.until(lambda: stage.session.state is State.RUNNING)
    stage.loop._roles["generator"]._asked = _Never()  # type: ignore[attr-defined]
    stage.until(lambda: stage.session.state is not State.RUNNING)
    outcomes = [t.outcome for t in stage.trials()]
    stage.close()
    assert outcomes[:3] == ["shown"] * 3
    assert set(outcomes[3:]) == {"empty pool"}
    assert [o.wnid for o in stage.onsets()][3:6] == [""] * len(outcomes[3:])


class _Never(deque[Any]):
    def append(self, _order: object) -> None:
        pass


# Sham.


def test_sham_needs_consent() -> None:
    with pytest.raises(ValueError, match="consent"):
        ClosedLoopSettings(sham="blocks")


def test_sham_blocks_are_answered_by_the_shuffled_verdicts_of_the_last_true_block(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    plan = blocks(n_blocks=8)
    stage = Stage(tmp_path, stimuli, plan=plan, sham="blocks", consent=True).start()
    stage.finish()
    trials = stage.trials(sealed=True)
    arms = {t.block: t.arm for t in trials}
    assert Counter(arms.values()) == {"true": 4, "sham": 4}
    for block, arm in arms.items():
        answers = Counter(t.answer for t in trials if t.block == block)
        if arm == "sham" and "true" in [arms[b] for b in range(1, block)]:
            assert answers == dict.fromkeys(CLASSES, 2)
    true = [t.answer == t.wnid for t in trials if t.arm == "true"]
    sham = [t.answer == t.wnid for t in trials if t.arm == "sham"]
    assert all(true)
    assert not all(sham)
    assert all(t.decision == t.wnid for t in trials)


def test_nothing_that_an_operator_sees_tells_true_from_sham(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    plan = blocks(n_blocks=4)
    stage = Stage(tmp_path, stimuli, plan=plan, sham="blocks", consent=True).start()
    stage.finish()
    assert not stage.folder.feedback_file.exists()
    assert {(o.wnid, o.sha256) for o in stage.onsets()} == {("sealed", "")}
    assert not any(isinstance(message, Decoded) for message in stage.published)
    open_files = [
        path
        for path in stage.folder.study_root.rglob("*")
        if path.is_file() and "sealed" not in path.parts
    ]
    for word in (b"sham", b'"true"', b"arm"):
        told = [path.name for path in open_files if word in path.read_bytes()]
        assert set(told) <= {"debrief.txt", *(p.name for p in stage.folder.segments())}, word
    assert stage.folder.debrief_file.read_text().startswith("In part of this session")


def test_the_arm_of_a_session_is_a_fair_coin_of_its_seed() -> None:
    arms = [assign(4, "session", seed) for seed in range(400)]
    assert all(len(set(each)) == 1 for each in arms)
    heads = sum(each[0] == "sham" for each in arms)
    assert 150 < heads < 250
    assert assign(4, "session", 3) == assign(4, "session", 3)


# Retraining.


def test_the_decoder_is_asked_to_learn_between_runs_and_the_better_one_is_loaded(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    better = Retrained(1, 0.5, 0.8, 12, "better", "hash2", "it is better")
    plan = blocks(n_blocks=4, runs=2)
    stage = Stage(
        tmp_path, stimuli, plan=plan, retrained=better, retrain="between-runs"
    ).start()  # fmt: skip
    stage.finish()
    asked = [message for message in stage.trainer.asked if isinstance(message, Retrain)]
    assert [(each.run, each.bundle) for each in asked] == [(1, str(tmp_path))]
    journal = [line.entry for line in read_journal(stage.folder.journal_file)]
    order = [type(entry) for entry in journal if isinstance(entry, Retrained | DecoderReady)]
    assert order == [DecoderReady, Retrained, DecoderReady]


# What the images of a trial add up to.


@given(st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=3), min_size=1, max_size=5))
def test_the_mean_embedding_is_as_long_as_the_embeddings_are(found: list[list[float]]) -> None:
    trial = RunningTrial(
        Trial("i", "a", repeats=("i",) * 4), ("a", "b"), ClosedLoopSettings(threshold=None)
    )
    where = ("feedback", 1, 1, 1, 1, "a", "i", "")
    for vector in found:
        onset = Onset(0, "stimulus", 0.0, 0.0, 0.5, *where)
        decoded = Decoded(onset, ("a", "b"), (0.6, 0.4), "/x", 0, 0.6, 0.5)
        trial.add(structs.replace(decoded, embedding=tuple(vector), space="space"), 0.6)
    embedding, space = trial.embedding
    lengths = np.linalg.norm(found, axis=1)
    assume(np.linalg.norm(np.mean(found, axis=0)) > 1e-6)
    assert space == "space"
    assert np.linalg.norm(embedding) == pytest.approx(lengths.mean())
