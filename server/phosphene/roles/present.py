"""Presentation: the plan of a block on the frames of a screen, and an onset for each change.

Nothing here waits for anybody: a picture that is not there when its frame is drawn is not shown.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from phosphene.errors import PhospheneError
from phosphene.events import Block, Onset
from phosphene.frame_grid import FrameGrid
from phosphene.messages import (
    AbortBlock,
    EndOfBlock,
    Failed,
    Message,
    Missing,
    Prepare,
    Ready,
    RunBlock,
    ShowPicture,
)
from phosphene.roles import Outgoing
from phosphene.screen import Black, Pixels, Screen
from phosphene.showing import Showing
from phosphene.stimulus import StimulusSet
from phosphene.timeline import timeline

ASK_AGAIN = 1.0
"""Seconds after which acquisition is asked again what it lacks."""
MANY = 10
"""Questions without an answer after which acquisition is taken for dead."""


class Presenter:
    """Shows blocks; each poll is one frame.

    Onsets are appended to the JSON lines file ``journal`` before they are sent.
    """

    def __init__(self, screen: Screen, stimuli: StimulusSet, journal: Path | None = None) -> None:
        self._screen = screen
        self._stimuli = stimuli
        self._wnids = {image.id: image.wnid for image in stimuli.images}
        self._journal = journal.open("ab", buffering=0) if journal else None
        self._showing: Showing | None = None
        self._grid = FrameGrid(screen.refresh_rate)
        self._ask_at = 0.0
        self._unanswered = 0
        self._failed = False

    @property
    def idle(self) -> bool:
        """False from a block's cue until acquisition has confirmed its onsets, or is dead."""
        return self._showing is None or self._unanswered > MANY

    def handle(self, message: Message) -> Outgoing:
        """Answer ``Prepare`` and blocks; keep pictures; send again what acquisition lacks."""
        match message:
            case Prepare():
                return [("server", Ready("presenter", refresh_rate=self._screen.refresh_rate))]
            case RunBlock():
                return self._run(message)
            case AbortBlock() if self._showing:
                self._showing.abort()
            case ShowPicture() if self._showing:
                self._showing.offer(message)
            case Missing() if self._showing:
                return self._reconcile(message, self._showing)
            case _:
                pass
        return []

    def poll(self, now: float) -> Outgoing:
        """Draw and flip one frame; return the onset of what appeared with it."""
        if self._screen.closed() and not self._failed:
            return self._window_closed()
        showing = self._showing
        self._screen.show(showing.scene(self._grid.next_after(now)) if showing else Black())
        flipped = self._screen.flip()
        missed = self._grid.flipped(flipped)
        return self._after_flip(showing, flipped, missed) if showing else []

    def close(self) -> None:
        """Close the window and the journal."""
        self._screen.close()
        if self._journal:
            self._journal.close()

    def _run(self, run: RunBlock) -> Outgoing:
        try:
            if self._showing:
                raise PhospheneError(f"block {self._showing.run.block.block} is still running")
            steps = timeline(run.block, self._screen.refresh_rate)
            self._screen.prepare(self._images(run.block))
        except PhospheneError as error:
            return [("server", Failed("presenter", str(error)))]
        self._ask_at = -math.inf
        self._showing = Showing(run, steps, self._screen.refresh_rate, self._stimuli)
        return []

    def _images(self, block: Block) -> Iterator[tuple[str, Pixels]]:
        for trial in block.trials:
            wnid = self._wnids.get(trial.image, "no class")
            if wnid != trial.wnid:
                raise PhospheneError(
                    f"block {block.block} shows {trial.image} as class {trial.wnid}; "
                    f"in the stimulus set it is of {wnid}"
                )
        for image_id in dict.fromkeys(trial.image for trial in block.trials):
            yield image_id, self._stimuli.pixels(image_id)

    def _after_flip(self, showing: Showing, flipped: float, missed: int) -> Outgoing:
        onset = showing.flipped(flipped, self._grid.frame, missed)
        if onset:
            return self._send(showing, onset)
        if showing.end is not None and flipped >= self._ask_at:
            return self._ask(showing, flipped)
        return []

    def _send(self, showing: Showing, onset: Onset) -> Outgoing:
        if self._journal:
            self._journal.write(msgspec.json.encode(onset) + b"\n")
        out: list[tuple[str, Message]] = [("acquisition", onset)]
        if onset is showing.onsets[0]:
            out.append(("server", showing.started(onset)))
        return out

    def _ask(self, showing: Showing, now: float) -> Outgoing:
        if self._journal:
            os.fsync(self._journal.fileno())
        self._ask_at = now + ASK_AGAIN
        self._unanswered += 1
        return [("acquisition", EndOfBlock(showing.run.first_seq, showing.next_seq))]

    def _reconcile(self, missing: Missing, showing: Showing) -> Outgoing:
        if showing.end is None or missing.first_seq != showing.run.first_seq:
            return []  # an answer to a question asked twice
        self._unanswered = 0
        if missing.seqs:
            # Asked again a frame later, never in a circle of messages within one instant.
            self._ask_at = showing.end
            return [("acquisition", onset) for onset in showing.onsets if onset.seq in missing.seqs]
        self._showing = None
        return [("server", showing.done())]

    def _window_closed(self) -> Outgoing:
        self._failed, self._showing = True, None
        return [("server", Failed("presenter", "the window was closed"))]
