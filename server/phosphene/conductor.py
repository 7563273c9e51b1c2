"""The conductor of feedback: from decodings to a verdict, from a verdict to a picture in time."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from msgspec import structs

from phosphene.arms import Donors
from phosphene.dataset.study import SessionFolder
from phosphene.events import Block, Onset
from phosphene.feedback_table import FAILURES, Arm, FeedbackTrial, append_trial
from phosphene.messages import (
    DRIVER,
    SEALED,
    Decoded,
    DropPicture,
    MakePicture,
    PictureFailed,
    PictureMade,
    ShowPicture,
    Verdict,
)
from phosphene.plan import FeedbackPlan
from phosphene.pool import Pool
from phosphene.roles import Outgoing
from phosphene.running_trial import RunningTrial

GENERATOR = "generator"
NOTHING = np.empty((0, 0, 3), np.uint8)
"""Instead of pixels that are not needed any more."""


class Conductor:
    """Answers the trials of a feedback phase and keeps the account.

    Its messages go to ``presenter`` and ``generator``; the table of feedback gets a line for each
    trial. In a session with sham, which is sealed, the presenter, whose markers everybody sees, is
    not told what it shows.
    """

    def __init__(self, feedback: FeedbackPlan, folder: SessionFolder) -> None:
        self._settings = settings = feedback.settings
        self._uses = feedback.uses
        self._seed = seed = feedback.seed
        self._sealed = settings.sham != "never"
        self._table = folder.sealed_feedback_file if self._sealed else folder.feedback_file
        self._ahead = feedback.uses == "class" and settings.pool > 0
        self.pool = Pool(settings.pool if self._ahead else 0, seed, folder.last_picture)
        self._cards: dict[str, PictureMade] = {}
        """Pictures by id, without their pixels."""
        self._classes: tuple[str, ...] = ()
        self._donors = Donors((), 1, seed)
        self._block: Block | None = None
        self._attempt = 0
        self._arm: Arm = "true"
        self._trials: dict[int, RunningTrial] = {}
        self._awaited: dict[str, int] = {}
        """Trial by picture that is being made for it."""
        self._streak: list[tuple[str, str]] = []
        """Worker and reason, of the last trials in a row that it failed."""
        self.fallbacks = 0
        """Trials without a picture because decoder or generator failed them."""

    def prepare(
        self, classes: Sequence[str], repetitions: int, donors: Sequence[Verdict] = ()
    ) -> Outgoing:
        """Set the classes and the most images of a trial; drop pictures of other classes."""
        self._classes = tuple(classes)
        self._donors = Donors(self._classes, repetitions, self._seed)
        self._donors.simulated(donors)
        return [("presenter", DropPicture(each)) for each in self.pool.restrict(classes)]

    def order(self, *, only_missing: bool) -> Outgoing:
        """Ask for a picture of the pool, if one is wanting and none is being made."""
        order = None if self._awaited else self.pool.order(only_missing=only_missing)
        return [(GENERATOR, order)] if order else []

    def begin(self, block: Block, attempt: int, arm: Arm) -> None:
        """Take note of the block that comes next."""
        self._block, self._attempt, self._arm = block, attempt, arm
        self._awaited.clear()
        n_trials = len(block.trials)
        donors = deque[Verdict]() if arm == "true" else self._donors.shuffled(n_trials)
        self._trials = {
            number: RunningTrial(
                trial, self._classes, self._settings, donors.popleft() if donors else None
            )
            for number, trial in enumerate(block.trials, start=1)
        }

    def end(self) -> None:
        """Take note that the block was shown whole."""
        if self._arm == "true":
            self._donors.block([each.own for each in self._trials.values() if each.own])

    # From decoding to picture.

    def decoded(self, message: Decoded, now: float) -> Outgoing:
        """Add a decoding to its trial's evidence; answer the trial once it is decided."""
        trial = self._trial_of(message.onset)
        verdict = trial.add(message, now) if trial else None
        if trial is None or verdict is None:
            return []
        if trial.decoded_late:
            trial.outcome = "late"
            return []
        if not verdict.wnid or (trial.donor and self._uses == "embedding"):
            # Another trial's embedding is not known: such a generator has nothing to go by.
            trial.outcome = "no decision"
            return []
        if self._ahead:
            return self._show_from_pool(trial, verdict.wnid, message.onset.trial, now)
        return [(GENERATOR, self._order_for(trial, verdict, message.onset.trial))]

    def made(self, picture: PictureMade, now: float) -> Outgoing:
        """Hand a picture to the presenter; show it if a trial waits for it and it is in time."""
        self._cards[picture.id] = structs.replace(picture, pixels=NOTHING)
        if self.pool.made(picture.id):
            return [self._keep(picture)]
        number = self._awaited.pop(picture.id, None)
        if number is None:
            return []
        trial = self._trials[number]
        if now > trial.deadline(self._settings.picture_budget):
            trial.outcome = "late"
            return []
        return [self._keep(picture), self._show(trial, number, picture.id, now)]

    def failed(self, message: PictureFailed) -> None:
        """Take note that a picture will not come."""
        self.pool.failed(message.id)
        if (number := self._awaited.pop(message.id, None)) is not None:
            self._trials[number].outcome = "failed"

    def forget_orders(self) -> None:
        """Expect no picture any more: the generator has died."""
        self.pool.give_up()
        for number in self._awaited.values():
            self._trials[number].outcome = "failed"
        self._awaited.clear()

    def shown(self, onset: Onset) -> Outgoing:
        """File the trial whose picture, or fallback, has appeared."""
        trial = self._trial_of(onset)
        if trial is None:
            return []
        if onset.trial in self._awaited.values() or (trial.outcome == "shown" and not onset.wnid):
            trial.outcome = "late"
        card = self._cards.get(trial.picture) if trial.outcome == "shown" else None
        row = trial.row(onset, self._arm, card)
        append_trial(self._table, row)
        self._account(row)
        unseen = trial.picture and not card
        return [("presenter", DropPicture(trial.picture))] if unseen else []

    @property
    def problem(self) -> tuple[str, str]:
        """The worker that has failed too many trials in a row, and what to tell the operator."""
        if len(self._streak) < self._settings.failures:
            return "", ""
        worker, _ = self._streak[-1]
        reasons = ", ".join(reason for _, reason in self._streak)
        return worker, f"{len(self._streak)} trials in a row had no picture ({reasons})"

    def hangs(self, worker: str) -> bool:
        """Return whether a worker owes an answer, so that it is better started again."""
        return worker == DRIVER or bool(self._awaited) or self.pool.busy

    def forgive(self) -> None:
        """Begin to count failures in a row anew."""
        self._streak.clear()

    def _account(self, row: FeedbackTrial) -> None:
        if row.outcome not in FAILURES:
            self._streak.clear()
            return
        self.fallbacks += 1
        slow_decoder = row.outcome == "late" and row.decoded > row.decoder_budget
        decoder = row.outcome == "no decoding" or slow_decoder
        self._streak.append((DRIVER if decoder else GENERATOR, row.outcome))

    def _show_from_pool(self, trial: RunningTrial, wnid: str, number: int, now: float) -> Outgoing:
        picture = self.pool.take(wnid)
        if picture is None:
            trial.outcome = "empty pool"
            return []
        return [self._show(trial, number, picture, now)]

    def _order_for(self, trial: RunningTrial, verdict: Verdict, number: int) -> MakePicture:
        picture, seed = self.pool.name()
        self._awaited[picture] = number
        embedding, space = trial.embedding
        return MakePicture(
            picture,
            self._classes,
            verdict.posterior,
            seed,
            urgent=True,
            embedding=embedding,
            space=space,
        )

    def _show(
        self, trial: RunningTrial, number: int, picture: str, now: float
    ) -> tuple[str, ShowPicture]:
        block = self._block
        assert block is not None  # noqa: S101  There is no trial without it.
        trial.outcome, trial.picture, trial.ready = "shown", picture, now
        order = ShowPicture("feedback", block.run, block.block, self._attempt, number, picture)
        return "presenter", order

    def _keep(self, picture: PictureMade) -> tuple[str, PictureMade]:
        if self._sealed:
            picture = structs.replace(picture, wnid=SEALED, sha256="", provenance={})
        return "presenter", picture

    def _trial_of(self, onset: Onset) -> RunningTrial | None:
        block = self._block
        if block is None or onset.key[:4] != ("feedback", block.run, block.block, self._attempt):
            return None
        return self._trials.get(onset.trial)
