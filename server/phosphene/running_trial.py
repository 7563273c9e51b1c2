"""One feedback trial while it runs: its evidence, what answers it, and when things happened."""

from dataclasses import dataclass, field
from math import nan

import numpy as np

from phosphene.closed_loop import ClosedLoopSettings
from phosphene.events import Onset, Trial
from phosphene.evidence import Evidence
from phosphene.feedback_table import Arm, FeedbackTrial, Outcome
from phosphene.messages import Decoded, PictureMade, Verdict


@dataclass
class RunningTrial:
    """What is known of it so far."""

    plan: Trial
    classes: tuple[str, ...]
    settings: ClosedLoopSettings
    donor: Verdict | None = None
    """The verdict that answers it, if that is not its own."""
    outcome: Outcome = "no decoding"
    own: Verdict | None = None
    answer: Verdict | None = None
    picture: str = ""
    decided: float = nan
    ready: float = nan
    _decoded: list[Decoded] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._evidence = Evidence(self.classes, self.settings.threshold, len(self.plan.images))

    def add(self, message: Decoded, now: float) -> Verdict | None:
        """Add an epoch to the evidence; return what answers the trial once it is known.

        With a donor that is the donor's verdict, after as many images as the donor had.
        """
        self._decoded.append(message)
        if self.own is None:
            self.own = (
                self._evidence.skip()
                if message.rejected
                else self._evidence.add(message.classes, message.probabilities)
            )
        due = self.own
        if self.donor:
            enough = min(self.donor.repetitions, len(self.plan.images))
            due = self.donor if message.onset.repetition >= enough else None
        if due is None or self.answer:
            return None
        self.answer, self.decided = due, now
        return due

    @property
    def embedding(self) -> tuple[tuple[float, ...], str]:
        """Mean embedding of the images so far, and its space; empty if the decoder has none.

        It is as long as they are on average: the mean of vectors that differ is shorter, and what
        draws from embeddings was trained on their length.
        """
        decoded = [each for each in self._decoded if each.embedding]
        space = decoded[-1].space if decoded else ""
        found = np.array([each.embedding for each in decoded])
        if not found.size:
            return (), space
        mean, length = found.mean(axis=0), np.linalg.norm(found, axis=1).mean()
        scaled = mean * (length / (np.linalg.norm(mean) or 1.0))
        return tuple(scaled.tolist()), space

    def deadline(self, fraction: float) -> float:
        """Return when that fraction of the gap behind the last decoded image is over.

        In seconds on the LSL clock; NaN if no image was decoded.
        """
        if not self._decoded:
            return nan
        onset = self._decoded[-1].onset
        return onset.time + onset.duration + fraction * self.plan.gap

    @property
    def decoded_late(self) -> bool:
        """Whether the decoding of the last image missed its budget; an earlier one has time."""
        newest = self._decoded[-1]
        last = newest.onset.repetition == len(self.plan.images)
        return last and newest.decoded > self.deadline(self.settings.decoder_budget)

    def row(self, flip: Onset, arm: Arm, card: PictureMade | None) -> FeedbackTrial:
        """Return the line of the table, once picture or fallback has appeared at ``flip``."""
        last = self._decoded[-1] if self._decoded else None
        of = dict(card.provenance) if card else {}
        return FeedbackTrial(
            phase=flip.phase,  # type: ignore[arg-type]
            run=flip.run,
            block=flip.block,
            attempt=flip.attempt,
            trial=flip.trial,
            wnid=self.plan.wnid,
            image=self.plan.image,
            arm=arm,
            outcome=self.outcome,
            repetitions=flip.repetition,
            decision=self.own.wnid if self.own else "",
            answer=card.wnid if card else "",
            picture=card.id if card else "",
            ahead=bool(card and last and card.generated < last.onset.time),
            generator=str(of.get("generator", "")),
            prompt=str(of.get("prompt", "")),
            seed=str(of.get("seed", "")),
            model=str(of.get("model", "")),
            model_sha256=str(of.get("model_sha256", "")),
            steps=str(of.get("steps", "")),
            onset=last.onset.time if last else nan,
            received=last.received if last else nan,
            cut=last.cut if last and last.cut is not None else nan,
            decoded=last.decoded if last else nan,
            decided=self.decided,
            ready=self.ready,
            flip=flip.time,
            decoder_budget=self.deadline(self.settings.decoder_budget),
            picture_budget=self.deadline(self.settings.picture_budget),
            posterior=dict(zip(self.classes, self._evidence.posterior, strict=True)),
        )
