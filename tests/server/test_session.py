"""A session on the virtual clock, with a plain source: whatever happens, nothing is lost."""

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from phosphene.clock import VirtualClock
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import read_segment
from phosphene.errors import PhospheneError
from phosphene.events import Block, Onset, Trial
from phosphene.journal import Journal, StateChanged, aborted_blocks, read_journal
from phosphene.loop import VirtualLoop
from phosphene.messages import (
    BlockDone,
    Export,
    Exported,
    Failed,
    Message,
    Pause,
    Reply,
    Reported,
    Resume,
    Start,
    Status,
    Stop,
    WriteReport,
)
from phosphene.plan import Plan
from phosphene.roles import Role
from phosphene.roles.acquire import Acquisition
from phosphene.roles.once import OneShot
from phosphene.roles.present import Presenter
from phosphene.screen import HeadlessScreen
from phosphene.session import Session
from phosphene.signals import Signal, SignalSpec
from phosphene.states import TRANSITIONS, State
from phosphene.stimulus import StimulusSet

SFREQ = 100.0
SPEC = SignalSpec(("Oz", "Pz"), ("eeg", "eeg"), SFREQ)
IMAGES = ("n00000001/a.png", "n00000002/b.png")
BLOCKS = tuple(
    Block(
        run,
        2 * (run - 1) + block,
        tuple(Trial(image, image[:9], duration=0.1) for image in IMAGES * 2),
        pause=3.0,
        cue=0.5,
    )
    for run in (1, 2)
    for block in (1, 2)
)


class SteadySource:
    """Delivers noise up to now; can be silenced."""

    spec = SPEC

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._sent = 0
        self.silent = False

    def read(self, timeout: float) -> Signal | None:
        due = int(self._clock.now() * SFREQ)
        first, self._sent = self._sent, max(due, self._sent)
        if self.silent or self._sent == first:
            return None
        stamps = np.arange(first, self._sent) / SFREQ
        data = 1e-5 * np.random.default_rng(first).standard_normal((2, len(stamps)))
        return Signal(data.astype(np.float32), stamps)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory: pytest.TempPathFactory) -> StimulusSet:
    root = tmp_path_factory.mktemp("images")
    rows = ["wnid\tname\trole\tfile\tsha256\tlicence"]
    for shade, image in enumerate(IMAGES):
        file = root / image
        file.parent.mkdir()
        Image.new("RGB", (8, 8), (shade, 0, 0)).save(file)
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        rows.append(f"{image[:9]}\tname {shade}\ttrain\t{image}\t{sha256}\tCC0")
    (root / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return StimulusSet.read(root)


class Stage:
    """A session with everything it needs, driven turn by turn."""

    def __init__(self, root: Path, stimuli: StimulusSet, **options: Any) -> None:
        self.clock = VirtualClock()
        self.folder = SessionFolder.create(root, "01", "01")
        self.journal = Journal(self.folder.journal_file)
        plan = Plan(("record", "report"), {"record": BLOCKS}, {"record": "test"})
        check: Callable[[SignalSpec], object] = options.get("check", lambda spec: None)
        self.session = Session(plan, self.folder, self.journal, check)
        self.source = SteadySource(self.clock)
        self.published: list[Message] = []
        self._stimuli = stimuli
        self._export = options.get("export", lambda order: Exported(order.path))
        self.loop = VirtualLoop(self.session, self.clock, self._build, self.published.append)

    def _build(self, name: str, emit: Callable[[Message], None]) -> Role:
        roles: dict[str, Callable[[], Role]] = {
            "presenter": lambda: Presenter(HeadlessScreen(self.clock), self._stimuli),
            "acquisition": lambda: Acquisition(self.source, deque(), self.clock),
            "exporter": lambda: OneShot(Export, self._export),
            "reporter": lambda: OneShot(WriteReport, lambda order: Reported(order.session)),
        }
        return roles[name]()

    def until(self, condition: Callable[[], bool], seconds: float = 120.0) -> None:
        end = self.clock.now() + seconds
        while not condition():
            assert self.clock.now() < end, self.session.status
            self.loop.turn()

    def tell(self, command: Any) -> Reply:
        answer, outgoing = self.session.command(command)
        self.loop.deliver(outgoing)
        assert isinstance(answer, Reply)
        return answer

    def finish(self) -> Status:
        self.until(lambda: self.session.over)
        self.loop.close()
        self.journal.close()
        return self.session.status

    def complete_trials(self) -> Counter[tuple[int, int]]:
        """Count (block, trial) over the complete attempts on disk."""
        aborted = aborted_blocks(self.folder.journal_file)
        return Counter(
            (onset.block, onset.trial)
            for onset in self.onsets()
            if (onset.phase, onset.run, onset.block, onset.attempt) not in aborted
        )

    def onsets(self) -> list[Onset]:
        return [onset for path in self.folder.segments() for onset in read_segment(path).onsets]


EACH_ONCE = Counter({(block.block, trial): 1 for block in BLOCKS for trial in (1, 2, 3, 4)})


def test_an_undisturbed_session_shows_every_trial_once_and_finishes(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli)
    stage.until(lambda: stage.session.state is State.READY)
    assert stage.tell(Start()).ok
    status = stage.finish()
    assert status.state is State.FINISHED
    assert (status.blocks_done, status.trials_shown, status.n_markers) == (4, 16, 16)
    assert status.seconds_left == pytest.approx(0, abs=1e-9)
    assert stage.complete_trials() == EACH_ONCE
    assert len(stage.folder.segments()) == 2
    assert [onset.seq for onset in stage.onsets()] == list(range(16))


def test_onsets_keep_the_planned_rhythm_through_blocks_and_pauses(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli)
    stage.until(lambda: stage.session.state is State.READY)
    stage.tell(Start())
    stage.finish()
    times = np.array([onset.time for onset in stage.onsets()]).reshape(4, 4)
    np.testing.assert_allclose(np.diff(times, axis=1), 0.1, atol=1e-6)
    pauses = times[1:, 0] - times[:-1, -1] - 0.1
    np.testing.assert_allclose(pauses[[0, 2]], 3.0, atol=1 / 60 + 1e-6)


COMMANDS = st.sampled_from([Start(), Pause(), Resume()])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(1, 60), COMMANDS), max_size=12), st.booleans())
def test_whatever_the_operator_presses_every_trial_counts_exactly_once(
    tmp_path_factory: pytest.TempPathFactory,
    stimuli: StimulusSet,
    presses: list[tuple[int, Any]],
    stop: bool,
) -> None:
    stage = Stage(tmp_path_factory.mktemp("study"), stimuli)
    stage.until(lambda: stage.session.state is State.READY)
    for turns, command in presses:
        for _ in range(turns):
            if not stage.session.over:
                stage.loop.turn()
        before = stage.session.state
        answer = stage.tell(command)
        assert answer.ok or str(before) in answer.text
    if stop:
        stage.tell(Stop("enough"))
    else:
        stage.tell(Start())
        while not stage.session.over:
            stage.tell(Resume())
            stage.loop.turn()
    status = stage.finish()

    counted = stage.complete_trials()
    assert status.n_markers == len(stage.onsets()) == status.trials_shown
    if stop and status.problem:
        assert status.problem == "enough"
        assert all(n == 1 for n in counted.values())
    else:
        assert counted == EACH_ONCE
    seqs = [onset.seq for onset in stage.onsets()]
    assert seqs == list(range(len(seqs)))
    walk = [line.entry.state for line in read_journal(stage.folder.journal_file)
            if isinstance(line.entry, StateChanged)]  # fmt: skip
    for state, following in zip([State.CONFIGURED, *walk], walk, strict=False):
        assert following in TRANSITIONS[state].values()


def test_the_session_pauses_by_itself_when_the_eeg_stops_and_goes_on_when_it_is_back(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli)
    stage.until(lambda: stage.session.state is State.READY)
    stage.tell(Start())
    stage.until(lambda: stage.session.state is State.RUNNING)
    stage.source.silent = True
    stage.until(lambda: stage.session.state is State.PAUSED)
    assert "the EEG stopped" in stage.session.status.problem
    stage.source.silent = False
    assert stage.tell(Resume()).ok
    assert stage.session.status.problem == ""
    assert stage.finish().state is State.FINISHED
    assert stage.complete_trials() == EACH_ONCE


def test_a_run_whose_eeg_never_arrives_waits_for_the_operator(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli)
    stage.until(lambda: stage.session.state is State.READY)
    stage.source.silent = True
    stage.tell(Start())
    stage.until(lambda: stage.session.state is State.PAUSED)
    assert "no EEG arrives" in stage.session.status.problem
    stage.source.silent = False
    stage.tell(Resume())
    assert stage.finish().state is State.FINISHED
    assert stage.complete_trials() == EACH_ONCE


def test_an_unsuitable_signal_fails_before_anything_is_shown(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    def refuse(spec: SignalSpec) -> None:
        raise PhospheneError(f"bandpass: 70 Hz is above half of {spec.sfreq} Hz")

    stage = Stage(tmp_path, stimuli, check=refuse)
    status = stage.finish()
    assert status.state is State.FAILED
    assert "bandpass: 70 Hz" in status.problem
    assert stage.folder.segments() == []


def test_a_failing_export_does_not_stop_the_session(tmp_path: Path, stimuli: StimulusSet) -> None:
    def fail(order: Export) -> Exported:
        raise PhospheneError(f"no room for {Path(order.path).name}")

    stage = Stage(tmp_path, stimuli, export=fail)
    stage.until(lambda: stage.session.state is State.READY)
    stage.tell(Start())
    status = stage.finish()
    assert status.state is State.FINISHED
    assert "no room for" in status.problem
    assert stage.complete_trials() == EACH_ONCE


def test_aborted_attempts_are_kept_and_marked(tmp_path: Path, stimuli: StimulusSet) -> None:
    stage = Stage(tmp_path, stimuli)
    stage.until(lambda: stage.session.state is State.READY)
    stage.tell(Start())
    stage.until(lambda: stage.session.state is State.RUNNING)
    stage.tell(Pause())
    stage.until(lambda: stage.session.state is State.PAUSED)
    stage.tell(Resume())
    stage.finish()
    done = [line.entry for line in read_journal(stage.folder.journal_file)
            if isinstance(line.entry, BlockDone)]  # fmt: skip
    assert [(block.block, block.attempt, block.aborted) for block in done[:2]] == [
        (1, 1, True),
        (1, 2, False),
    ]
    assert len(stage.onsets()) == 16 + done[0].n_trials


def test_eeg_that_comes_back_while_paused_is_not_waited_for_again(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli)
    stage.until(lambda: stage.session.state is State.READY)
    stage.source.silent = True
    stage.tell(Start())
    stage.until(lambda: stage.session.state is State.PAUSED)
    stage.source.silent = False
    back = stage.clock.now() + 5
    stage.until(lambda: stage.clock.now() > back)
    stage.tell(Resume())
    stage.until(lambda: stage.session.state is State.RUNNING, seconds=9)
    assert stage.finish().state is State.FINISHED


def test_a_refused_resume_leaves_a_pause_that_is_due(tmp_path: Path, stimuli: StimulusSet) -> None:
    stage = Stage(tmp_path, stimuli)
    stage.until(lambda: stage.session.state is State.READY)
    stage.tell(Start())
    stage.until(lambda: stage.session.state is State.RUNNING)
    assert stage.tell(Pause()).ok
    assert not stage.tell(Resume()).ok
    stage.until(lambda: stage.session.state is State.PAUSED)


def test_a_role_that_fails_twice_over_does_not_cut_the_filing_short(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli)
    stage.until(lambda: stage.session.state is State.READY)
    stage.tell(Start())
    stage.until(lambda: stage.session.state is State.RUNNING)
    for text in ("no picture", "the process ended with status 1"):
        stage.loop.deliver(stage.session.handle(Failed("generator", text)))
    status = stage.finish()
    assert status.state is State.FAILED
    assert status.problem == "generator: no picture"
    assert Exported(str(stage.folder.segments()[0])) in entries(stage)
    assert status.n_markers == len(stage.onsets()) == status.trials_shown > 0


def test_an_exporter_that_fails_and_then_dies_is_not_waited_for(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli)
    stage.until(lambda: stage.session.state is State.READY)
    stage.tell(Start())
    stage.until(lambda: len(stage.folder.segments()) == 2)
    for text in ("no room", "the process ended with status 1"):
        stage.loop.deliver(stage.session.handle(Failed("exporter", text)))
    assert stage.finish().state is State.FINISHED


def test_what_a_broken_amplifier_plugin_recorded_is_exported_and_its_traceback_kept(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli)
    stage.until(lambda: stage.session.state is State.READY)
    stage.tell(Start())
    stage.until(lambda: stage.session.state is State.RUNNING)

    def read(timeout: float) -> Signal | None:
        raise IndexError("a mistake in a plugin")

    stage.source.read = read  # type: ignore[method-assign]
    status = stage.finish()
    assert status.state is State.FAILED
    assert "acquisition: IndexError: a mistake in a plugin" in status.problem
    log = stage.folder.path / "logs" / "acquisition.log"
    assert str(log) in status.problem
    assert "Traceback" in log.read_text()
    [segment] = stage.folder.segments()
    assert Exported(str(segment)) in entries(stage)
    assert read_segment(segment).n_samples > 0


def entries(stage: Stage) -> list[object]:
    return [line.entry for line in read_journal(stage.folder.journal_file)]
