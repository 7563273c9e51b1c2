"""Closing the loop: an image, and then the picture that was generated from the brain's answer."""

from collections.abc import Iterator
from itertools import chain, cycle, islice

import msgspec

from phosphene import Block, Context, ParadigmConfig, Trial, hookimpl
from phosphene_paradigms._balance import balanced_orders
from phosphene_paradigms._choice import (
    Classes,
    check_at_least,
    check_classes,
    check_timing,
    choose_classes,
    train_images,
)


class Feedback(ParadigmConfig, frozen=True):
    """Trials in a balanced order, each answered by a picture.

    Images that the session has not shown before come first, if the set has any left.
    """

    classes: Classes = None
    """The first so many classes of the set, some by wnid, or all."""
    runs: int = 1
    blocks_per_run: int = msgspec.field(default=2, name="blocks")
    trials: int = 20
    """Trials a block. A multiple of the number of classes shows each equally often in it."""
    repetitions: int = 1
    """Images of the class that a trial shows at most, until they have decided."""
    duration: float = 0.5
    """Seconds that an image stays."""
    gap: float = 1.0
    """Seconds of black screen after each image: time to decode and generate."""
    picture: float = 1.0
    """Seconds that the picture stays."""
    rest: float = 0.5
    """Seconds of black screen after the picture."""
    pause: float = 5.0
    """Seconds of black screen after a block."""
    cue: float = 1.0
    """Seconds of fixation cross at the end of the pause."""

    def __post_init__(self) -> None:
        check_classes(self.classes)
        check_at_least(1, runs=self.runs, blocks=self.blocks_per_run, trials=self.trials)
        check_at_least(1, repetitions=self.repetitions)
        check_at_least(0.001, picture=self.picture)
        check_at_least(0, gap=self.gap, rest=self.rest)
        check_timing(self.duration, self.pause, self.cue)

    def blocks(self, context: Context) -> tuple[Block, ...]:
        """Return ``runs`` times ``blocks`` blocks of ``trials`` trials."""
        classes = choose_classes(context.stimuli, self.classes)
        images = {wnid: cycle(reversed(train_images(context, wnid))) for wnid in classes}
        orders = balanced_orders(len(classes), context.rng(*b"feedback"))
        order = chain.from_iterable(orders)
        blocks = []
        for number in range(self.runs * self.blocks_per_run):
            wnids = [classes[index] for index in islice(order, self.trials)]
            trials = tuple(self._trial(images[wnid], wnid) for wnid in wnids)
            run = number // self.blocks_per_run + 1
            blocks.append(Block(run, number + 1, trials, self.pause, self.cue))
        return tuple(blocks)

    def _trial(self, images: Iterator[str], wnid: str) -> Trial:
        image, *repeats = islice(images, self.repetitions)
        return Trial(image, wnid, self.duration, self.gap, self.picture, self.rest, tuple(repeats))


@hookimpl
def paradigm() -> dict[str, type[ParadigmConfig]]:
    """Offer the feedback design."""
    return {"feedback": Feedback}
