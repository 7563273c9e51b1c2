"""The presenter shows what the plan says, on whole frames, and accounts for every onset."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene.clock import VirtualClock
from phosphene.events import Block, Onset, Trial
from phosphene.messages import (
    AbortBlock,
    BlockDone,
    BlockStarted,
    DropPicture,
    EndOfBlock,
    Failed,
    Message,
    Missing,
    PictureMade,
    Prepare,
    Ready,
    RunBlock,
    ShowPicture,
)
from phosphene.roles.present import Presenter
from phosphene.screen import Black, Fixation, HeadlessScreen, ImageScene, PictureScene, Scene
from phosphene.stimulus import Image, StimulusSet

FRAME = 1 / 60
CLASSES = {"n00000001": "cat", "n00000002": "dog"}
PIXELS = np.full((4, 4, 3), 7, np.uint8)


@pytest.fixture(scope="session")
def stimuli(tmp_path_factory: pytest.TempPathFactory) -> StimulusSet:
    root = tmp_path_factory.mktemp("stimuli")
    images = [_image(root, wnid, n) for wnid in CLASSES for n in range(4)]
    return StimulusSet(root, CLASSES, tuple(images))


def _image(root: Path, wnid: str, number: int) -> Image:
    path = root / f"{wnid}_{number}.png"
    PIL.Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Image(path.name, wnid, "train", digest, "CC0")


class Rig:
    """A presenter on a virtual screen, with an acquisition that may lose what it is sent."""

    def __init__(
        self,
        stimuli: StimulusSet,
        *,
        rate: float = 60,
        lose: Iterable[int] = (),
        journal: Path | None = None,
        screen: type[HeadlessScreen] = HeadlessScreen,
    ) -> None:
        self.clock = VirtualClock(100.0)
        self.screen = screen(self.clock, rate)
        self.presenter = Presenter(self.screen, stimuli, journal)
        self.to_server: list[Message] = []
        self.received: list[Onset] = []
        self.frames: list[tuple[float, Scene]] = []
        self.asked = 0
        self.answers = True
        self._lose = set(lose)

    def handle(self, message: Message) -> None:
        self._deliver(self.presenter.handle(message))

    def poll(self, times: int = 1) -> None:
        for _ in range(times):
            self._deliver(self.presenter.poll(self.clock.now()))
            self.frames.append((self.clock.now(), self.screen.scene))

    def until(self, kind: type[Message], limit: int = 20_000) -> Message:
        for _ in range(limit):
            found = [message for message in self.to_server if isinstance(message, kind)]
            if found:
                return found[-1]
            self.poll()
        raise AssertionError(f"no {kind.__name__} after {limit} frames")

    def run(self, run: RunBlock) -> BlockDone:
        self.handle(run)
        done = self.until(BlockDone)
        assert isinstance(done, BlockDone)
        return done

    def seconds(self, wanted: Scene | type[Scene]) -> float:
        shown = [scene for _, scene in self.frames if wanted in (scene, type(scene))]
        return len(shown) / self.screen.refresh_rate

    def _deliver(self, outgoing: Iterable[tuple[str, Message]]) -> None:
        for recipient, message in outgoing:
            if recipient == "server":
                self.to_server.append(message)
                continue
            assert recipient == "acquisition"
            if isinstance(message, Onset):
                self._record(message)
            elif isinstance(message, EndOfBlock):
                self._reconcile(message)

    def _record(self, onset: Onset) -> None:
        if onset.seq in self._lose:
            self._lose.remove(onset.seq)
        else:
            self.received.append(onset)

    def _reconcile(self, block: EndOfBlock) -> None:
        self.asked += 1
        have = {onset.seq for onset in self.received}
        lacking = tuple(s for s in range(block.first_seq, block.next_seq) if s not in have)
        if self.answers:
            self.handle(Missing(lacking, block.first_seq))


def order(
    block: Block, *, attempt: int = 1, not_before: float = 103.0, first_seq: int = 0
) -> RunBlock:
    return RunBlock("feedback", block, attempt, not_before, first_seq)


def block(n_trials: int = 4, cue: float = 1.0, **timing: float) -> Block:
    trials = tuple(
        Trial(f"{wnid}_{number}.png", wnid, **timing)
        for number in range(n_trials)
        for wnid in [list(CLASSES)[number % 2]]
    )
    return Block(run=2, block=3, trials=trials, cue=cue)


def made(pixels: np.ndarray = PIXELS, picture: str = "picture-0001") -> PictureMade:
    return PictureMade(picture, "n00000002", "ab", pixels, {}, 0.0, 0.0)


def show(picture: str = "picture-0001", **changes: object) -> ShowPicture:
    fitting = ShowPicture("feedback", run=2, block=3, attempt=1, trial=1, id=picture)
    return msgspec.structs.replace(fitting, **changes)


FEEDBACK = {"gap": 0.5, "picture": 1.0, "rest": 0.25}


def test_a_prepared_presenter_tells_its_refresh_rate(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli, rate=75)
    rig.handle(Prepare())
    assert rig.to_server == [Ready("presenter", refresh_rate=75)]


def test_every_image_is_on_screen_from_its_onset_for_its_duration(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    done = rig.run(order(block(4, duration=0.5, gap=0.1)))
    onsets = rig.received
    assert [onset.image for onset in onsets] == [trial.image for trial in block(4).trials]
    assert [onset.seq for onset in onsets] == [0, 1, 2, 3]
    np.testing.assert_allclose([o.time for o in onsets], 103 + 0.6 * np.arange(4), atol=1e-6)
    on_screen = dict(rig.frames)
    for onset in onsets:
        assert on_screen[onset.time] == ImageScene(onset.image)
        assert rig.seconds(ImageScene(onset.image)) == pytest.approx(0.5)
    assert done.end == pytest.approx(103 + 4 * 0.6)
    assert (done.n_trials, done.next_seq, done.late_frames, done.aborted) == (4, 4, 0, False)


def test_an_onset_says_which_image_of_which_class_was_shown_in_which_trial(
    stimuli: StimulusSet,
) -> None:
    rig = Rig(stimuli)
    rig.run(order(block(2), attempt=5, first_seq=17))
    second = rig.received[1]
    image = stimuli["n00000002_1.png"]
    assert second.key == ("feedback", 2, 3, 5, 2)
    assert (second.event, second.seq, second.duration) == ("stimulus", 18, 0.5)
    assert (second.wnid, second.image, second.sha256) == (image.wnid, image.id, image.sha256)
    assert second.planned == pytest.approx(second.time)


def test_the_cross_is_shown_for_the_cue_before_the_first_image_and_black_before_that(
    stimuli: StimulusSet,
) -> None:
    rig = Rig(stimuli)
    rig.run(order(block(1, cue=1.0)))
    before = [scene for time, scene in rig.frames if time < 103 - FRAME / 2]
    assert before[:-60] == [Black()] * (len(before) - 60)
    assert before[-60:] == [Fixation()] * 60


def test_a_block_that_comes_too_late_begins_after_its_cue(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    rig.run(order(block(1, cue=0.5), not_before=0.0))
    assert rig.received[0].time == pytest.approx(100.5, abs=1.1 * FRAME)
    assert rig.seconds(Fixation()) == pytest.approx(0.5)


def test_the_server_hears_of_the_start_with_the_first_image(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    rig.handle(order(block(2)))
    started = rig.until(BlockStarted)
    assert started == BlockStarted("feedback", 2, 3, 1, rig.received[0].time)
    rig.until(BlockDone)
    assert len(rig.to_server) == 2


@pytest.mark.parametrize("rate", [59.94, 60, 75, 100, 120, 144, 240])
def test_onsets_lie_on_frames_at_any_refresh_rate(stimuli: StimulusSet, rate: float) -> None:
    rig = Rig(stimuli, rate=rate)
    rig.run(order(block(4, duration=0.5 if rate != 75 else 0.48)))
    frames = (np.diff([onset.time for onset in rig.received])) * rate
    np.testing.assert_allclose(frames, round((0.5 if rate != 75 else 0.48) * rate), atol=1e-6)


def test_a_duration_that_is_no_whole_number_of_frames_is_refused_with_the_nearest(
    stimuli: StimulusSet,
) -> None:
    rig = Rig(stimuli, rate=75)
    rig.handle(order(block(4, duration=0.5)))
    (failed,) = rig.to_server
    assert isinstance(failed, Failed)
    assert "block 3, trial 1: duration of 0.5 s" in failed.text
    assert "75 Hz" in failed.text
    assert "0.5067 s (frames: 38)" in failed.text
    assert rig.presenter.idle


@pytest.mark.parametrize(
    ("trial", "complaint"),
    [
        (Trial("n00000001_0.png", "n00000002"), "n00000001_0.png as class n00000002"),
        (Trial("absent.png", "n00000001"), "absent.png"),
        (Trial("n00000001_0.png", "n00000001", duration=0), "above 0 s"),
        (Trial("n00000001_0.png", "n00000001", gap=-1), "gap of -1 s"),
    ],
)
def test_a_block_that_cannot_be_shown_fails_in_words(
    stimuli: StimulusSet, trial: Trial, complaint: str
) -> None:
    rig = Rig(stimuli)
    rig.handle(order(Block(1, 1, (trial,))))
    (failed,) = rig.to_server
    assert isinstance(failed, Failed)
    assert complaint in failed.text


def test_a_broken_image_file_is_named_before_the_cue(stimuli: StimulusSet, tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG and no more")
    torn = Image("torn.png", "n00000001", "train", "", "CC0")
    rig = Rig(StimulusSet(tmp_path, CLASSES, (torn,)))
    rig.handle(order(Block(1, 1, (Trial("torn.png", "n00000001"),))))
    (failed,) = rig.to_server
    assert isinstance(failed, Failed)
    assert "torn.png" in failed.text


def test_a_second_block_is_refused_while_one_is_running(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    rig.handle(order(block(2)))
    rig.handle(order(block(2)))
    assert rig.to_server == [Failed("presenter", "block 3 is still running")]
    assert isinstance(rig.until(BlockDone), BlockDone)


class Stalling(HeadlessScreen):
    """Misses the frames that it is told to."""

    stalls: dict[int, int] = {}  # noqa: RUF012 - read only

    def flip(self) -> float:
        self._clock.sleep_until(self._clock.now() + self.stalls.get(self._frame, 0) / 60)
        return super().flip()


def _stalling(stalls: dict[int, int]) -> type[HeadlessScreen]:
    return type("Stalling", (Stalling,), {"stalls": stalls})


@given(stalls=st.dictionaries(st.integers(181, 280), st.integers(1, 10), max_size=8))
def test_missed_frames_delay_no_later_image_and_are_counted(
    stimuli: StimulusSet, stalls: dict[int, int]
) -> None:
    rig = Rig(stimuli, screen=_stalling(stalls))
    done = rig.run(order(block(4, duration=0.5)))
    start = rig.received[0].time
    times = [time for time, _ in rig.frames if time > start - FRAME / 2]
    missed = np.diff([time for time in times if time < done.end + FRAME / 2]) * 60 - 1
    assert done.late_frames == round(missed.sum())
    for number, onset in enumerate(rig.received):
        assert onset.planned == pytest.approx(start + 0.5 * number)
        # An image is late only by what was missed since the one before.
        late = round((onset.time - onset.planned) * 60)
        assert 0 <= late <= onset.late_frames


def test_every_image_is_shown_even_after_a_stall_of_several_trials(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli, screen=_stalling({190: 130}))
    done = rig.run(order(block(4, duration=0.5)))
    assert (done.n_trials, done.late_frames) == (4, 130)
    assert [onset.trial for onset in rig.received] == [1, 2, 3, 4]
    assert [onset.late_frames for onset in rig.received] == [0, 130, 0, 0]
    gaps = np.diff([onset.time for onset in rig.received])[1:]
    np.testing.assert_allclose(gaps, 0.5, atol=1e-6)


def test_a_picture_in_time_is_shown_and_marked_with_its_class(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    rig.handle(order(block(2, **FEEDBACK)))
    while not rig.received:
        rig.poll()
    rig.handle(made())
    rig.handle(show())
    rig.until(BlockDone)
    shown = rig.received[1]
    assert (shown.event, shown.trial, shown.wnid) == ("picture", 1, "n00000002")
    assert (shown.image, shown.sha256, shown.duration) == ("", "ab", 1.0)
    assert shown.time == pytest.approx(103 + 1.0)
    assert shown in rig.to_server
    assert dict(rig.frames)[shown.time] == PictureScene("picture-0001")
    assert rig.seconds(PictureScene) == pytest.approx(1.0)


def test_without_a_picture_the_cross_is_shown_and_marked_as_the_fallback(
    stimuli: StimulusSet,
) -> None:
    rig = Rig(stimuli)
    rig.run(order(block(1, cue=0.0, **FEEDBACK)))
    fallback = rig.received[1]
    assert (fallback.event, fallback.wnid, fallback.sha256) == ("picture", "", "")
    assert dict(rig.frames)[fallback.time] == Fixation()
    assert rig.seconds(Fixation()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "other",
    [{"phase": "record"}, {"run": 1}, {"block": 2}, {"attempt": 2}, {"trial": 2}],
    ids=str,
)
def test_a_picture_for_another_trial_is_never_shown_in_this_one(
    stimuli: StimulusSet, other: dict[str, object]
) -> None:
    rig = Rig(stimuli)
    rig.handle(order(block(1, **FEEDBACK)))
    rig.handle(made())
    rig.handle(show(**other))
    rig.until(BlockDone)
    assert rig.received[1].wnid == ""
    assert not any(isinstance(scene, PictureScene) for _, scene in rig.frames)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)],
    ids=["grey", "with alpha", "float"],
)
def test_what_is_no_picture_is_answered_by_the_fallback(
    stimuli: StimulusSet, pixels: np.ndarray
) -> None:
    rig = Rig(stimuli)
    rig.handle(order(block(1, **FEEDBACK)))
    rig.handle(made(pixels))
    rig.handle(show())
    rig.until(BlockDone)
    assert rig.received[1].wnid == ""


def test_a_picture_that_comes_after_its_frame_is_dropped(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    rig.handle(order(block(2, **FEEDBACK)))
    rig.handle(made())
    while len(rig.received) < 2:
        rig.poll()
    rig.handle(show())
    rig.until(BlockDone)
    assert [onset.wnid for onset in rig.received if onset.event == "picture"] == ["", ""]


def test_a_picture_that_waits_is_shown_one_frame_after_it_was_asked_for(
    stimuli: StimulusSet,
) -> None:
    rig = Rig(stimuli)
    rig.handle(made())
    rig.handle(order(block(1, duration=0.5, gap=FRAME, picture=1.0)))
    while rig.clock.now() < 103.5 - FRAME / 2:
        rig.poll()
    rig.handle(show())
    rig.until(BlockDone)
    assert rig.received[1].wnid == "n00000002"


def test_a_picture_is_never_shown_twice(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    rig.handle(made())
    rig.handle(order(block(2, **FEEDBACK)))
    rig.handle(show())
    rig.handle(show(trial=2))
    rig.until(BlockDone)
    assert [o.wnid for o in rig.received if o.event == "picture"] == ["n00000002", ""]


@pytest.mark.parametrize("dropped", [False, True])
def test_a_picture_that_is_not_there_is_answered_by_the_fallback(
    stimuli: StimulusSet, dropped: bool
) -> None:
    rig = Rig(stimuli)
    if dropped:
        rig.handle(made())
        rig.handle(DropPicture("picture-0001"))
    rig.handle(order(block(1, **FEEDBACK)))
    rig.handle(show())
    rig.until(BlockDone)
    assert rig.received[1].wnid == ""


def repeated(n_trials: int, repetitions: int) -> Block:
    trials = block(n_trials, duration=0.5, gap=0.25, picture=1.0).trials
    others = {wnid: tuple(f"{wnid}_{n}.png" for n in range(1, repetitions)) for wnid in CLASSES}
    repeats = (msgspec.structs.replace(t, repeats=others[t.wnid]) for t in trials)
    return msgspec.structs.replace(block(1), trials=tuple(repeats))


def test_without_a_picture_every_repetition_is_shown(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    done = rig.run(order(repeated(2, 3)))
    shown = [(o.event, o.trial, o.repetition) for o in rig.received]
    first = [("stimulus", 1, 1), ("stimulus", 1, 2), ("stimulus", 1, 3), ("picture", 1, 3)]
    assert shown == [*first, *((event, 2, repetition) for event, _, repetition in first)]
    assert (done.n_trials, done.aborted) == (2, False)
    images = [o.image for o in rig.received if o.event == "stimulus"]
    assert images[:3] == [f"n00000001_{n}.png" for n in range(3)]


@given(frame=st.integers(0, 400), repetitions=st.integers(1, 4))
def test_a_picture_ends_the_repetitions_and_no_image_or_gap_is_cut_short(
    stimuli: StimulusSet, frame: int, repetitions: int
) -> None:
    rig = Rig(stimuli)
    rig.handle(made())
    rig.handle(order(repeated(2, repetitions), not_before=101.0))
    rig.poll(frame)
    begun = [o.event for o in rig.received]
    rig.handle(show())
    done = rig.until(BlockDone)
    assert isinstance(done, BlockDone)
    first = [o for o in rig.received if o.trial == 1]
    *images, answer = first
    steps = np.diff([o.time for o in first])
    np.testing.assert_allclose(steps, 0.75, atol=1e-6)
    assert answer.repetition == len(images) == images[-1].repetition
    in_time = "picture" not in begun
    assert bool(answer.wnid) == in_time
    assert len(images) == (max(1, len(begun)) if in_time else repetitions)
    second = [o for o in rig.received if o.trial == 2]
    assert second[0].time - answer.time == pytest.approx(1.0, abs=1e-6)
    assert [o.late_frames for o in rig.received] == [0] * len(rig.received)
    assert (done.n_trials, done.late_frames, done.aborted) == (2, 0, False)


def test_an_abort_in_a_repetition_waits_for_the_end_of_the_trial(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    rig.handle(order(repeated(2, 3)))
    while len(rig.received) < 2:
        rig.poll()
    rig.handle(AbortBlock())
    done = rig.until(BlockDone)
    assert isinstance(done, BlockDone)
    assert [o.trial for o in rig.received] == [1, 1, 1, 1]
    assert (done.n_trials, done.aborted) == (1, True)


def test_pictures_of_one_attempt_are_not_kept_for_the_next(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    rig.handle(made())
    rig.handle(order(block(1, **FEEDBACK)))
    rig.handle(show())
    rig.until(BlockDone)
    rig.to_server.clear()
    rig.handle(order(block(1, **FEEDBACK), attempt=2, first_seq=2, not_before=0))
    rig.handle(show(attempt=2))
    rig.until(BlockDone)
    assert [onset.wnid for onset in rig.received if onset.event == "picture"] == ["n00000002", ""]


@given(frame=st.integers(1, 500))
def test_an_abort_takes_effect_at_the_next_trial_boundary(stimuli: StimulusSet, frame: int) -> None:
    rig = Rig(stimuli)
    rig.handle(order(block(4, duration=0.5, gap=0.5)))
    rig.poll(frame)
    begun = len(rig.received)
    rig.handle(AbortBlock())
    done = rig.until(BlockDone)
    assert isinstance(done, BlockDone)
    assert len(rig.received) == done.n_trials == done.next_seq == begun
    assert done.aborted == (begun < 4)
    if begun:
        assert done.end == pytest.approx(rig.received[-1].time + 1.0)


@given(lost=st.sets(st.integers(10, 13)))
def test_onsets_that_acquisition_lacks_are_sent_again(stimuli: StimulusSet, lost: set[int]) -> None:
    rig = Rig(stimuli, lose=lost)
    done = rig.run(order(block(4), first_seq=10))
    assert sorted(onset.seq for onset in rig.received) == [10, 11, 12, 13]
    assert done.next_seq == 14
    assert rig.asked == 1 + bool(lost)
    assert rig.presenter.idle


def test_acquisition_is_asked_once_a_second_until_it_answers(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    rig.answers = False
    rig.handle(order(block(1)))
    while not rig.asked:
        rig.poll()
    rig.poll(3 * 60)
    assert rig.asked == 4
    assert not rig.presenter.idle
    rig.answers = True
    assert isinstance(rig.until(BlockDone), BlockDone)


def test_an_answer_about_another_block_confirms_nothing(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    rig.answers = False
    rig.handle(order(block(1), first_seq=5))
    while not rig.asked:
        rig.poll()
    rig.handle(Missing((), first_seq=4))
    assert not rig.presenter.idle
    rig.handle(Missing((), first_seq=5))
    assert rig.presenter.idle


def test_the_journal_holds_each_onset_before_it_is_sent(
    stimuli: StimulusSet, tmp_path: Path
) -> None:
    journal = tmp_path / "onsets.jsonl"
    presenter = Presenter(HeadlessScreen(clock := VirtualClock(), 60), stimuli, journal)
    presenter.handle(order(block(2), not_before=0))
    sent: list[Onset] = []
    for _ in range(200):
        for recipient, message in presenter.poll(clock.now()):
            if recipient == "acquisition" and isinstance(message, Onset):
                sent.append(message)
                assert _read(journal) == sent
    presenter.close()
    assert len(sent) == 2


def test_a_restarted_presenter_appends_to_the_journal(stimuli: StimulusSet, tmp_path: Path) -> None:
    journal = tmp_path / "onsets.jsonl"
    for attempt in (1, 2):
        rig = Rig(stimuli, journal=journal)
        rig.run(order(block(2), attempt=attempt, first_seq=2 * attempt))
        rig.presenter.close()
    assert [onset.seq for onset in _read(journal)] == [2, 3, 4, 5]


def _read(journal: Path) -> list[Onset]:
    return [msgspec.json.decode(line, type=Onset) for line in journal.read_bytes().splitlines()]


def test_closing_the_window_fails_in_words_and_once(stimuli: StimulusSet) -> None:
    class Closable(HeadlessScreen):
        gone = False

        def closed(self) -> bool:
            return self.gone

    rig = Rig(stimuli, screen=Closable)
    rig.handle(order(block(4)))
    rig.poll(250)
    Closable.gone = True
    rig.poll(100)
    failures = [message for message in rig.to_server if isinstance(message, Failed)]
    assert failures == [Failed("presenter", "the window was closed")]
    assert rig.screen.scene == Black()
    assert rig.presenter.idle


def test_the_screen_keeps_flipping_black_while_no_block_runs(stimuli: StimulusSet) -> None:
    rig = Rig(stimuli)
    rig.poll(30)
    assert [scene for _, scene in rig.frames] == [Black()] * 30
    assert rig.clock.now() == pytest.approx(100.5)


def test_the_same_block_gives_the_same_messages_twice(stimuli: StimulusSet) -> None:
    rigs = [Rig(stimuli), Rig(stimuli)]
    assert rigs[0].run(order(block(4))) == rigs[1].run(order(block(4)))
    assert rigs[0].received == rigs[1].received
