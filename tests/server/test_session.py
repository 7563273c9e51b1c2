"""A session on the virtual clock, with a plain source: whatever happens, nothing is lost."""

import hashlib
import re
import shutil
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from phosphene import guard
from phosphene.clock import VirtualClock
from phosphene.continuity import Fault
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import read_segment
from phosphene.errors import PhospheneError
from phosphene.events import Block, Onset, Trial
from phosphene.history import settle
from phosphene.journal import Excluded, Journal, StateChanged, read_journal, set_aside
from phosphene.loop import VirtualLoop
from phosphene.messages import (
    BlockDone,
    Exclude,
    Export,
    Exported,
    Failed,
    Message,
    Pause,
    Redo,
    Reply,
    Reported,
    Resume,
    Start,
    Status,
    Stop,
    WriteReport,
)
from phosphene.plan import Plan
from phosphene.recording import RecordingSettings
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
        self.jump = 0.0
        """Seconds by which its clock is wrong."""
        self.slow = 1.0
        """Real seconds of one that it means."""

    def read(self, timeout: float) -> Signal | None:
        due = int(self._clock.now() * SFREQ / self.slow)
        first, self._sent = self._sent, max(due, self._sent)
        if self.silent or self._sent == first:
            return None
        stamps = np.arange(first, self._sent) / SFREQ * self.slow + self.jump
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
        blocks = options.get("blocks", BLOCKS)
        limits = options.get("limits", RecordingSettings())
        plan = Plan(("record", "report"), {"record": blocks}, {"record": "test"}, recording=limits)
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
        aborted = set_aside(self.folder.journal_file)
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
    assert stage.finish().state is State.FINISHED
    assert "block 1 does not count" in stage.session.status.problem
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


def test_what_an_exporter_that_died_left_behind_is_filed_at_the_end(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    failures = iter([PhospheneError("killed")])

    def export(order: Export) -> Exported:
        for failure in failures:
            raise failure
        return Exported(order.path)

    stage = Stage(tmp_path, stimuli, export=export)
    stage.until(lambda: stage.session.state is State.READY)
    stage.tell(Start())
    stage.finish()
    filed = {entry.path for entry in entries(stage) if isinstance(entry, Exported)}
    assert filed == set(map(str, stage.folder.segments()))


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


# A signal that is lost

LONG = tuple(
    Block(block, block, tuple(Trial(IMAGES[n % 2], IMAGES[n % 2][:9], 0.5) for n in range(20)), 3.0)
    for block in (1, 2)
)


def in_a_block(tmp_path: Path, stimuli: StimulusSet, **options: Any) -> Stage:
    """Return a session of two runs of a long block each, some images into the first."""
    stage = Stage(tmp_path, stimuli, blocks=LONG, **options)
    stage.until(lambda: stage.session.state is State.READY)
    stage.tell(Start())
    stage.until(lambda: stage.session.status.n_markers >= 6)
    return stage


def wait(stage: Stage, seconds: float) -> None:
    end = stage.clock.now() + seconds
    stage.until(lambda: stage.clock.now() >= end)


def finished_whole(stage: Stage) -> list[object]:
    """Finish; every trial of every block must count once. Return the journal."""
    assert stage.finish().state is State.FINISHED
    assert stage.complete_trials() == Counter((b, t + 1) for b in (1, 2) for t in range(20))
    return entries(stage)


def test_a_block_whose_eeg_drops_out_is_shown_again_by_itself(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = in_a_block(tmp_path, stimuli)
    stage.source.silent = True
    wait(stage, 3.0)
    stage.source.silent = False
    back = stage.clock.now()
    stage.until(lambda: stage.session.state is State.RUNNING)
    assert stage.clock.now() - back < 5.0  # The pause behind a block.
    journal = finished_whole(stage)
    assert Excluded("record", 1, 1, 1, "the EEG stopped", again=True) in journal
    paused = [e for e in journal if isinstance(e, StateChanged) and e.state is State.PAUSED]
    assert not paused
    first, second, _ = map(read_segment, stage.folder.segments())
    assert first.faults() == second.faults() == []  # The gap lies between two files.


def test_a_short_gap_costs_its_images_and_not_the_block(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = in_a_block(tmp_path, stimuli, limits=RecordingSettings(max_lost=0.25))
    stage.source.silent = True
    wait(stage, 0.1)
    stage.source.silent = False
    journal = finished_whole(stage)
    [fault] = [each for each in journal if isinstance(each, Fault)]
    [done, _] = [each for each in journal if isinstance(each, BlockDone)]
    assert done.gap == pytest.approx(fault.stop - fault.start, abs=1e-9)
    assert 0 < done.lost <= 0.25
    assert not any(isinstance(each, Excluded) for each in journal)


def test_too_many_lost_images_cost_the_block(tmp_path: Path, stimuli: StimulusSet) -> None:
    stage = in_a_block(tmp_path, stimuli)
    stage.source.silent = True
    wait(stage, 0.1)
    stage.source.silent = False
    [excluded] = [e for e in finished_whole(stage) if isinstance(e, Excluded)]
    assert re.fullmatch(r"the EEG of 2\d% of the images cannot be used", excluded.reason)


@pytest.mark.parametrize("seconds", [10.0, -10.0])
def test_a_clock_that_jumps_costs_the_block_and_nothing_else(
    tmp_path: Path, stimuli: StimulusSet, seconds: float
) -> None:
    stage = in_a_block(tmp_path, stimuli)
    stage.source.jump = seconds
    wait(stage, 2.0)
    stage.source.jump = 0.0  # LSL has measured the offset anew.
    journal = finished_whole(stage)
    kinds = [fault.kind for fault in journal if isinstance(fault, Fault)]
    assert kinds[0] == ("gap" if seconds > 0 else "clock")
    assert [e.attempt for e in journal if isinstance(e, Excluded)] == [1]


def test_a_clock_that_stays_wrong_pauses_the_session(tmp_path: Path, stimuli: StimulusSet) -> None:
    stage = in_a_block(tmp_path, stimuli)
    stage.source.jump = 3600.0
    stage.until(lambda: stage.session.state is State.PAUSED)
    assert "in the future; check the amplifier's clock" in stage.session.status.problem


def test_a_block_that_loses_its_signal_again_and_again_pauses_the_session(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = in_a_block(tmp_path, stimuli)

    def flicker() -> bool:
        running = stage.session.state is State.RUNNING
        stage.source.silent = running and int(stage.clock.now() * 2) % 4 == 0
        return stage.session.state is State.PAUSED

    stage.until(flicker)
    assert "3 times in a row: the EEG" in stage.session.status.problem


@pytest.mark.parametrize(
    ("slow", "told"), [(1.001, "has 99.90 samples a second instead of 100"), (1.03, "says 100 Hz")]
)
def test_a_rate_that_is_not_the_nominal_one_is_told(
    tmp_path: Path, stimuli: StimulusSet, slow: float, told: str
) -> None:
    stage = Stage(tmp_path, stimuli, blocks=LONG)
    stage.source.slow = slow
    stage.until(lambda: stage.session.state is State.READY)
    stage.tell(Start())
    stage.until(lambda: told in stage.session.status.problem)


# A run that must not count


def test_a_run_is_recorded_again_when_the_operator_says_so(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = in_a_block(tmp_path, stimuli)
    assert stage.tell(Redo(1, "the cap slipped")).ok
    stage.until(lambda: stage.session.status.run == 2)
    stage.until(lambda: stage.session.state is State.RUNNING)
    assert stage.tell(Redo(1, "the cap had slipped all the time")).ok
    journal = finished_whole(stage)
    reasons = [(e.run, e.attempt, e.reason) for e in journal if isinstance(e, Excluded)]
    assert (1, 1, "the cap slipped") in reasons
    assert (1, 2, "the cap had slipped all the time") in reasons
    runs = [each.session["run"] for each in map(read_segment, stage.folder.segments())]
    assert runs == ["1", "1", "2", "1"]


def test_a_run_that_is_excluded_is_left(tmp_path: Path, stimuli: StimulusSet) -> None:
    stage = in_a_block(tmp_path, stimuli)
    assert stage.tell(Exclude(1, "the subject fell asleep")).ok
    status = stage.finish()
    assert (status.state, status.blocks_done, status.seconds_left) == (State.FINISHED, 2, 0)
    assert stage.complete_trials() == Counter((2, t + 1) for t in range(20))


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (Redo(3, "x"), "no run 3 of a phase that is being recorded"),
        (Exclude(1, " "), "to set a run aside needs a reason"),
    ],
)
def test_setting_a_run_aside_is_refused_with_a_reason(
    tmp_path: Path, stimuli: StimulusSet, command: Redo | Exclude, problem: str
) -> None:
    stage = in_a_block(tmp_path, stimuli)
    assert stage.tell(command) == Reply(ok=False, text=problem)


def test_an_excluded_run_stays_excluded_when_the_session_goes_on(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = in_a_block(tmp_path, stimuli)
    stage.tell(Exclude(1, "the subject fell asleep"))
    stage.finish()
    journal = Journal(stage.folder.journal_file)
    history = settle(stage.folder, journal, {"record": LONG}, RecordingSettings())
    journal.close()
    assert history.remaining("record", LONG) == []


def test_an_attempt_that_showed_nothing_sets_no_later_one_aside(
    tmp_path: Path, stimuli: StimulusSet
) -> None:
    stage = Stage(tmp_path, stimuli, blocks=LONG)
    stage.until(lambda: stage.session.state is State.READY)
    stage.tell(Start())
    stage.until(lambda: stage.session.status.block == 1)
    wait(stage, 0.8)  # The block is ordered, and not on the screen yet.
    stage.source.silent = True
    wait(stage, 0.7)
    stage.source.silent = False
    finished_whole(stage)


# The disk


def filled(monkeypatch: pytest.MonkeyPatch, free: float) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(guard.shutil, "disk_usage", lambda _folder: usage._replace(free=int(free)))


def test_a_session_that_the_disk_cannot_take_does_not_begin(
    tmp_path: Path, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, stimuli)
    filled(monkeypatch, 50e6)
    status = stage.finish()
    assert status.state is State.FAILED
    assert "GB free, but the rest of the session needs" in status.problem
    assert stage.folder.segments() == []


def test_a_disk_that_fills_up_stops_the_session_at_the_blocks_end(
    tmp_path: Path, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = in_a_block(tmp_path, stimuli)
    filled(monkeypatch, guard.RESERVE + 30_000)  # Enough for this block, not for the rest.
    stage.until(lambda: stage.session.state is State.PAUSED)
    assert stage.session.status.blocks_done == 1
    assert "the rest of the session needs" in stage.session.status.problem
    filled(monkeypatch, 1e12)
    stage.tell(Resume())
    finished_whole(stage)


def test_a_disk_that_is_full_stops_the_session_at_once(
    tmp_path: Path, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = in_a_block(tmp_path, stimuli)
    filled(monkeypatch, 1e6)
    stage.until(lambda: stage.session.state is State.PAUSED)
    assert stage.session.status.blocks_done == 0
    assert stage.session.status.trials_shown < 20
    assert "the disk is all but full" in stage.session.status.problem
    filled(monkeypatch, 1e12)
    stage.tell(Resume())
    finished_whole(stage)
