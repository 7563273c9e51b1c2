"""The block design of the Brain2Image paper: one class a block, so that class and time are one."""

from phosphene import Block, Context, ParadigmConfig, PhospheneError, Trial, hookimpl
from phosphene_paradigms._choice import (
    Classes,
    check_at_least,
    check_classes,
    check_timing,
    choose_classes,
    train_images,
)


class Brain2Image(ParadigmConfig, frozen=True):
    """The paper: 40 classes x 50 images x 0.5 s, 10 s pauses, 4 runs of 350 s.

    Whatever is decoded from it is confounded with time by design: any slow drift tells the class.
    """

    classes: Classes = None
    """The first so many classes of the set, some by wnid, or all."""
    images: int = 50
    """Different images a block, all of one class, in random order."""
    duration: float = 0.5
    """Seconds that an image stays; the next one follows at once."""
    pause: float = 10.0
    """Seconds of black screen after a block."""
    cue: float = 1.0
    """Seconds of fixation cross at the end of the pause."""
    runs: int = 4
    """The blocks, one a class in random order, are divided equally over so many runs."""

    def __post_init__(self) -> None:
        check_classes(self.classes)
        check_at_least(1, images=self.images, runs=self.runs)
        check_timing(self.duration, self.pause, self.cue)

    def blocks(self, context: Context) -> tuple[Block, ...]:
        """Return one block a class."""
        classes = choose_classes(context.stimuli, self.classes)
        if len(classes) % self.runs:
            possible = [str(n) for n in range(1, len(classes) + 1) if len(classes) % n == 0]
            raise PhospheneError(
                f"runs: {len(classes)} blocks (one a class) cannot be divided equally over "
                f"{self.runs}; possible: {', '.join(possible)}"
            )
        order = context.rng(*b"brain2image").permutation(len(classes))
        run_length = len(classes) // self.runs
        return tuple(
            self._block(context, classes[index], number // run_length + 1, number + 1)
            for number, index in enumerate(order)
        )

    def _block(self, context: Context, wnid: str, run: int, block: int) -> Block:
        images = train_images(context, wnid, at_least=self.images)[: self.images]
        trials = tuple(Trial(image, wnid, self.duration) for image in images)
        return Block(run, block, trials, self.pause, self.cue)


@hookimpl
def paradigm() -> dict[str, type[ParadigmConfig]]:
    """Offer the paper's design."""
    return {"brain2image": Brain2Image}
