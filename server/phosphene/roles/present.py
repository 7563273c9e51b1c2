"""Presentation: the plan of a block on the frames of a screen, and an onset for each change.

Nothing here waits for anybody: a picture that is not there when its frame is drawn is not shown.
"""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import structs

from phosphene.errors import PhospheneError
from phosphene.events import Block, Onset
from phosphene.frame_grid import FrameGrid
from phosphene.journal import open_lines
from phosphene.messages import (
    AbortBlock,
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
from phosphene.roles import Outgoing
from phosphene.screen import Black, Pixels, Screen, is_picture
from phosphene.showing import Showing
from phosphene.stimulus import StimulusSet
from phosphene.timeline import timeline

ASK_AGAIN = 1.0
"""Seconds after which acquisition is asked again what it lacks."""
NOTHING = np.empty((0, 0, 3), np.uint8)
"""Instead of pixels that the screen keeps."""
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
        self._journal = os.fdopen(open_lines(journal), "ab", buffering=0) if journal else None
        self._showing: Showing | None = None
        self._kept: dict[str, PictureMade] = {}
        """Pictures that wait to be shown, by id."""
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
            case PictureMade():
                self._keep(message)
            case DropPicture(id=picture):
                self._forget([picture])
            case ShowPicture(id=picture) if self._showing and self._showing.asks_for(message):
                # Not there, or shown before: the fallback answers, and the onset tells so.
                if kept := self._kept.pop(picture, None):
                    self._showing.answer(message.trial, kept)
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
        shown = {image: trial.wnid for trial in block.trials for image in trial.images}
        for image, wnid in shown.items():
            if wnid != (known := self._wnids.get(image, "no class")):
                raise PhospheneError(
                    f"block {block.block} shows {image} as class {wnid}; "
                    f"in the stimulus set it is of {known}"
                )
        for image in shown:
            yield image, self._stimuli.pixels(image)

    def _keep(self, picture: PictureMade) -> None:
        if is_picture(picture.pixels):
            self._screen.keep(picture.id, picture.pixels)
            self._kept[picture.id] = structs.replace(picture, pixels=NOTHING)

    def _forget(self, pictures: Sequence[str]) -> None:
        for picture in pictures:
            self._kept.pop(picture, None)
            self._screen.forget(picture)

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
        if onset.event == "picture":
            out.append(("server", onset))
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
        self._forget(showing.pictures)
        return [("server", showing.done(missing))]

    def _window_closed(self) -> Outgoing:
        self._failed, self._showing = True, None
        return [("server", Failed("presenter", "the window was closed"))]
