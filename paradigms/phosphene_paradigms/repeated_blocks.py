"""Blocks of one class, as in the paper, but each class has several of them, far apart in time.

It tells what a block design measures: what the blocks of a class share in spite of the time between
them is the class, what only trials of one block share is drift.
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from phosphene import Block, Context, ParadigmConfig, PhospheneError, Trial, hookimpl
from phosphene_paradigms._balance import balanced_orders
from phosphene_paradigms._choice import (
    Classes,
    check_at_least,
    check_classes,
    check_timing,
    choose_classes,
    train_images,
)


class RepeatedBlocks(ParadigmConfig, frozen=True):
    """Passes through all classes, one block a class; each pass is a run, and has its own order.

    No image is shown twice.
    """

    classes: Classes = None
    """The first so many classes of the set, some by wnid, or all."""
    repeats: int = 2
    """Passes through the classes: blocks, and runs, in which each class is shown."""
    images: int = 25
    """Different images a block, all of one class, in random order."""
    duration: float = 0.5
    """Seconds that an image stays; the next one follows at once."""
    pause: float = 10.0
    """Seconds of black screen after a block."""
    cue: float = 1.0
    """Seconds of fixation cross at the end of the pause."""

    def __post_init__(self) -> None:
        check_classes(self.classes)
        check_at_least(2, repeats=self.repeats)
        check_at_least(1, images=self.images)
        check_timing(self.duration, self.pause, self.cue)

    def blocks(self, context: Context) -> tuple[Block, ...]:
        """Return ``repeats`` blocks a class."""
        classes = choose_classes(context.stimuli, self.classes)
        if len(classes) < 2:
            raise PhospheneError("classes: blocks of one class cannot be apart; needed: at least 2")
        needed = self.repeats * self.images
        images = {wnid: iter(train_images(context, wnid, needed)) for wnid in classes}
        orders = islice(_orders(len(classes), context.rng(*b"repeated-blocks")), self.repeats)
        plan = [(run, classes[i]) for run, order in enumerate(orders, start=1) for i in order]
        return tuple(
            self._block(run, number, wnid, images[wnid])
            for number, (run, wnid) in enumerate(plan, start=1)
        )

    def _block(self, run: int, number: int, wnid: str, images: Iterator[str]) -> Block:
        chosen = islice(images, self.images)
        trials = tuple(Trial(image, wnid, self.duration) for image in chosen)
        return Block(run, number, trials, self.pause, self.cue)


def _orders(n: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Yield, without end, orders of ``n`` classes.

    Between two blocks of a class lie those of a quarter of the others, and one at least. As long as
    there is such an order, no class has a place that it had before: a design in which the time in
    a run tells the class would be no better than the paper's.
    """
    orders = np.stack(list(islice(balanced_orders(n, rng), n + n % 2 * n)))
    places = np.argsort(orders, axis=1)
    had = np.zeros((n, n), bool)
    row = 0
    while True:
        yield orders[row]
        np.put_along_axis(had, places[row, :, np.newaxis], values=True, axis=1)
        steps = (n - places[row] + places).min(axis=1)
        far = np.flatnonzero(steps > max(1, n // 4))
        new = [other for other in far if not had[np.arange(n), places[other]].any()]
        row = int(rng.choice(new or far))


@hookimpl
def paradigm() -> dict[str, type[ParadigmConfig]]:
    """Offer the design of repeated blocks."""
    return {"repeated-blocks": RepeatedBlocks}
