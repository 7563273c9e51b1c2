"""One block on the screen: which scene is due, and what its flip means."""

from collections.abc import Sequence

from phosphene.events import EventKind, Onset
from phosphene.messages import BlockDone, BlockStarted, Missing, PictureMade, RunBlock, ShowPicture
from phosphene.screen import Black, Fixation, ImageScene, PictureScene, Scene
from phosphene.stimulus import StimulusSet
from phosphene.timeline import Step

EARLY = 1e-6
"""Seconds before its time at which a block may begin: the error of summed floats."""


class Showing:
    """A block from its cue to the frame on which its last trial has left the screen.

    What is due is decided by planned times, so that a missed frame shortens one image and delays
    no other. Only when a whole step was slept through is the rest of the plan moved, so that every
    image is shown.
    """

    def __init__(
        self, run: RunBlock, steps: Sequence[Step], refresh_rate: float, stimuli: StimulusSet
    ) -> None:
        self.run = run
        self.onsets: list[Onset] = []
        self.end: float | None = None
        """When the last trial left the screen, once it has."""
        self._steps = steps
        self._rate = refresh_rate
        self._stimuli = stimuli
        self._start: float | None = None
        """Of the first trial: planned at first, then as it was."""
        self._index = -1
        self._changed = False
        self._aborted = False
        self._scene: Scene = Black()
        self._pictures: dict[int, PictureMade] = {}
        """By trial."""
        self._repetition = 0
        """Images of the current trial that were shown."""
        self._late = 0
        self._late_total = 0

    @property
    def next_seq(self) -> int:
        """Sequence number of the onset that comes next."""
        return self.run.first_seq + len(self.onsets)

    def abort(self) -> None:
        """Stop at the next trial boundary."""
        self._aborted = True

    def asks_for(self, order: ShowPicture) -> bool:
        """Return whether a picture is for a trial of this very attempt that can still show it."""
        run = self.run
        ours = (run.phase, run.block.run, run.block.block, run.attempt)
        for_us = (order.phase, order.run, order.block, order.attempt) == ours
        return for_us and any(
            step.kind == "picture" and step.trial == order.trial
            for step in self._steps[self._index + 1 :]
        )

    def answer(self, trial: int, picture: PictureMade) -> None:
        """Show a picture in a trial, as soon as the image before it has had its gap."""
        self._pictures[trial] = picture

    @property
    def pictures(self) -> list[str]:
        """The ids of the pictures that it was given."""
        return [picture.id for picture in self._pictures.values()]

    def scene(self, due: float) -> Scene:
        """Return what belongs on the screen at the flip expected at ``due``."""
        if self._index < 0:
            self._wait(due)
        elif self.end is None and due >= self._planned(self._index + 1) - 0.5 / self._rate:
            self._enter(self._following())
        return self._scene

    def flipped(self, time: float, frame: float, missed: int) -> Onset | None:
        """Take note of a flip; return the onset if one came with it.

        The flip returned at ``time``, for the frame at ``frame``, after ``missed`` frames.
        """
        if self._index < 0:
            return None
        self._late += missed
        self._late_total += missed
        if not self._changed:
            return None
        self._changed = False
        step, planned = self._steps[self._index], self._planned(self._index)
        self._move_plan(step, frame)
        match step.kind:
            case "end":
                self.end = time
            case "stimulus" | "picture" as event:
                return self._onset(event, step, time, planned)
        return None

    def started(self, onset: Onset) -> BlockStarted:
        """Return the announcement that ``onset`` began the block."""
        run = self.run
        return BlockStarted(run.phase, run.block.run, run.block.block, run.attempt, onset.time)

    def done(self, confirmed: Missing) -> BlockDone:
        """Return the account of the block, once it has ended and acquisition lacks nothing."""
        run = self.run
        n_trials = len({onset.trial for onset in self.onsets if onset.event == "stimulus"})
        return BlockDone(
            phase=run.phase,
            run=run.block.run,
            block=run.block.block,
            attempt=run.attempt,
            end=self.end or 0.0,
            n_trials=n_trials,
            next_seq=self.next_seq,
            late_frames=self._late_total,
            aborted=n_trials < len(run.block.trials),
            gap=confirmed.gap,
            lost=confirmed.lost,
        )

    def _wait(self, due: float) -> None:
        cue = self.run.block.cue
        if self._start is None:
            # A cue is shown in full even if the block comes too late for its time.
            self._start = max(self.run.not_before, due + cue)
        if self._aborted:
            self._enter(len(self._steps) - 1)
        elif due >= self._start - EARLY:
            self._start = due
            self._enter(0)
        elif due >= self._start - cue - EARLY:
            self._scene = Fixation()

    def _following(self) -> int:
        following = self._index + 1
        step = self._steps[following]
        if step.kind != "stimulus":
            return following
        if step.repetition > 1:
            return self._past_repeats(following) if step.trial in self._pictures else following
        return len(self._steps) - 1 if self._aborted else following

    def _past_repeats(self, index: int) -> int:
        """Return the trial's picture instead of its next image, and move the plan to it."""
        picture = next(
            later
            for later in range(index, len(self._steps))
            if self._steps[later].kind == "picture"
        )
        skipped = self._steps[picture].frame - self._steps[index].frame
        self._start = (self._start or 0.0) - skipped / self._rate
        return picture

    def _enter(self, index: int) -> None:
        self._index, self._changed = index, True
        self._scene = self._scene_of(self._steps[index])

    def _scene_of(self, step: Step) -> Scene:
        match step.kind:
            case "stimulus":
                return ImageScene(self._image(step))
            case "picture":
                picture = self._pictures.get(step.trial)
                return PictureScene(picture.id) if picture else Fixation()
            case _:
                return Black()

    def _image(self, step: Step) -> str:
        return self.run.block.trials[step.trial - 1].images[step.repetition - 1]

    def _planned(self, index: int) -> float:
        return (self._start or 0.0) + self._steps[index].frame / self._rate

    def _move_plan(self, step: Step, frame: float) -> None:
        over = self._planned(self._index) + (step.n_frames - 0.5) / self._rate
        if self._index == 0 or (step.kind != "end" and frame > over):
            self._start = frame - step.frame / self._rate

    def _onset(self, event: EventKind, step: Step, time: float, planned: float) -> Onset:
        wnid, image, sha256 = self._identity(step)
        if event == "stimulus":
            self._repetition = step.repetition
        onset = Onset(
            seq=self.next_seq,
            event=event,
            time=time,
            planned=planned,
            duration=step.n_frames / self._rate,
            phase=self.run.phase,
            run=self.run.block.run,
            block=self.run.block.block,
            attempt=self.run.attempt,
            trial=step.trial,
            wnid=wnid,
            image=image,
            sha256=sha256,
            late_frames=self._late,
            repetition=self._repetition,
        )
        self.onsets.append(onset)
        self._late = 0
        return onset

    def _identity(self, step: Step) -> tuple[str, str, str]:
        if step.kind == "stimulus":
            image = self._stimuli[self._image(step)]
            return image.wnid, image.id, image.sha256
        picture = self._pictures.get(step.trial)
        return (picture.wnid, "", picture.sha256) if picture else ("", "", "")
