"""The design we recommend: every class once in every block, in a balanced order."""

import math
from collections.abc import Iterator
from itertools import cycle, islice, repeat

import msgspec
import numpy as np

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
    gap: float | tuple[float, float] = 0.0
    """Seconds of black screen after each image: a number, or the shortest and the longest, between
    which each trial's is drawn, so that the next image cannot be foreseen."""
    gap_rate: float = 60.0
    """Frames a second; a gap that is drawn is a whole number of them. That of the screen, or one
    that divides it."""
    pause: float = 10.0
    """Seconds of black screen after a block."""
    cue: float = 1.0
    """Seconds of fixation cross at the end of the pause."""

    def __post_init__(self) -> None:
        check_classes(self.classes)
        check_at_least(1, runs=self.runs, blocks=self.blocks_per_run)
        check_at_least(1, gap_rate=self.gap_rate)
        self._check_gap()
        check_timing(self.duration, self.pause, self.cue)

    def blocks(self, context: Context) -> tuple[Block, ...]:
        """Return ``runs`` times ``blocks`` blocks."""
        classes = choose_classes(context.stimuli, self.classes)
        images = {wnid: cycle(train_images(context, wnid)) for wnid in classes}
        orders = balanced_orders(len(classes), context.rng(*b"interleaved"))
        gaps = self._gaps(context.rng(*b"gaps"))
        blocks = []
        for number, order in enumerate(islice(orders, self.runs * self.blocks_per_run)):
            wnids = [classes[index] for index in order]
            trials = tuple(Trial(next(images[w]), w, self.duration, next(gaps)) for w in wnids)
            run = number // self.blocks_per_run + 1
            blocks.append(Block(run, number + 1, trials, self.pause, self.cue))
        return tuple(blocks)

    def _gaps(self, rng: np.random.Generator) -> Iterator[float]:
        """Yield the gap of each trial."""
        if isinstance(self.gap, float):
            return repeat(self.gap)
        low, high = self._frames(self.gap)
        return (int(rng.integers(low, high + 1)) / self.gap_rate for _ in repeat(None))

    def _frames(self, gap: tuple[float, float]) -> tuple[int, int]:
        """Return the fewest and the most whole frames within a range of seconds."""
        shortest, longest = (seconds * self.gap_rate for seconds in gap)
        # What is a frame but for rounding is a frame.
        return math.ceil(shortest - 1e-6), math.floor(longest + 1e-6)

    def _check_gap(self) -> None:
        """Raise ``ValueError`` for a gap that cannot be."""
        if isinstance(self.gap, float):
            check_at_least(0, gap=self.gap)
            return
        for seconds in self.gap:
            check_at_least(0, gap=seconds)
        low, high = self._frames(self.gap)
        if low > high:
            raise ValueError(
                f"gap must be a range with a whole frame of 1/{self.gap_rate:g} s in it, the "
                f"shortest first; found {self.gap[0]:g} to {self.gap[1]:g} s"
            )


@hookimpl
def paradigm() -> dict[str, type[ParadigmConfig]]:
    """Offer the interleaved design."""
    return {"interleaved": Interleaved}
