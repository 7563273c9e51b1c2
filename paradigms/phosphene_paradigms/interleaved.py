"""The design we recommend: every class once in every block, in a balanced order."""

from itertools import cycle, islice

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


class Interleaved(ParadigmConfig, frozen=True):
    """As many trials as the paper, but class tells nothing about time, nor about the class before.

    No image is shown twice before all images of its class were shown once.
    """

    classes: Classes = None
    """The first so many classes of the set, some by wnid, or all."""
    runs: int = 5
    blocks_per_run: int = msgspec.field(default=10, name="blocks")
    """In each block every class is shown once."""
    duration: float = 0.5
    """Seconds that an image stays."""
    gap: float = 0.0
    """Seconds of black screen after each image."""
    pause: float = 10.0
    """Seconds of black screen after a block."""
    cue: float = 1.0
    """Seconds of fixation cross at the end of the pause."""

    def __post_init__(self) -> None:
        check_classes(self.classes)
        check_at_least(1, runs=self.runs, blocks=self.blocks_per_run)
        check_at_least(0, gap=self.gap)
        check_timing(self.duration, self.pause, self.cue)

    def blocks(self, context: Context) -> tuple[Block, ...]:
        """Return ``runs`` times ``blocks`` blocks."""
        classes = choose_classes(context.stimuli, self.classes)
        images = {wnid: cycle(train_images(context, wnid)) for wnid in classes}
        orders = balanced_orders(len(classes), context.rng(*b"interleaved"))
        blocks = []
        for number, order in enumerate(islice(orders, self.runs * self.blocks_per_run)):
            wnids = [classes[index] for index in order]
            trials = tuple(Trial(next(images[w]), w, self.duration, self.gap) for w in wnids)
            run = number // self.blocks_per_run + 1
            blocks.append(Block(run, number + 1, trials, self.pause, self.cue))
        return tuple(blocks)


@hookimpl
def paradigm() -> dict[str, type[ParadigmConfig]]:
    """Offer the interleaved design."""
    return {"interleaved": Interleaved}
