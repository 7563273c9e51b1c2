"""What is asked of every paradigm's plan."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from math import isfinite

from phosphene.errors import PhospheneError
from phosphene.events import Block, Trial
from phosphene.interfaces import ParadigmConfig
from phosphene.testing.demands import ConformanceError, Demands, expect
from phosphene.testing.images import CLASSES, stimuli
from phosphene.testing.material import make_context
from phosphene.testing.measuring import Measurement, durations


class ParadigmCandidate:
    """A paradigm's settings, and its plan."""

    def __init__(self, config: ParadigmConfig) -> None:
        self.config = config

    @cached_property
    def blocks(self) -> Sequence[Block]:
        """The plan for the kit's image set: 4 classes, 50 images of each."""
        return self.plan()

    def plan(self, seed: int = 1) -> Sequence[Block]:
        """Return a plan, freshly made."""
        return self.config.blocks(make_context(seed))

    def trials(self) -> Iterator[Trial]:
        """Yield all trials."""
        for block in self.blocks:
            yield from block.trials

    def measurements(self) -> Iterator[Measurement]:
        """Yield how long the plan takes to make."""
        yield from durations("the plan", self.plan, repeats=20)


demands = Demands[ParadigmCandidate]()


@demands()
def plans_blocks_of_trials(candidate: ParadigmCandidate) -> None:
    """There are blocks, and in each of them trials."""
    expect(len(candidate.blocks), "the plan is empty")
    for number, block in enumerate(candidate.blocks, start=1):
        expect(isinstance(block, Block), f"expected a Block, found {type(block).__name__}")
        expect(block.trials, f"block {number} has no trials")


@demands(plans_blocks_of_trials)
def same_plan_for_the_same_seed(candidate: ParadigmCandidate) -> None:
    """Asked again with the same seed, it plans the same: a session resumes by its plan."""
    expect(list(candidate.plan()) == list(candidate.blocks), "asked again, it plans another one")
    other = candidate.plan(seed=2)
    expect(len(other) == len(candidate.blocks), "another seed gives another number of blocks")
    expect(list(candidate.plan()) == list(candidate.blocks), "another plan between changes it")


@demands(plans_blocks_of_trials)
def runs_and_blocks_are_numbered(candidate: ParadigmCandidate) -> None:
    """Blocks count from 1 over all runs, runs from 1 without a hole."""
    blocks = [block.block for block in candidate.blocks]
    expect(blocks == list(range(1, len(blocks) + 1)), f"expected blocks 1, 2, ...; found {blocks}")
    runs = [block.run for block in candidate.blocks]
    steps = {after - before for before, after in zip([0, *runs], runs, strict=False)}
    expect(steps <= {0, 1} and runs[0] == 1, f"expected runs 1, 1, ..., 2, ...; found {runs}")


@demands(plans_blocks_of_trials)
def every_image_exists(candidate: ParadigmCandidate) -> None:
    """Every image is a train image of the set, of the class that the trial names."""
    images = {image.id: image for image in stimuli().images}
    for trial in candidate.trials():
        image = images.get(trial.image)
        if image is None:
            raise ConformanceError(f"the image set has no image {trial.image!r}")
        expect(trial.wnid == image.wnid, f"{image.id} is of {image.wnid}, not of {trial.wnid}")
        expect(image.role == "train", f"{image.id} is a {image.role} image; those are never shown")


@demands(plans_blocks_of_trials)
def no_image_twice_in_a_block(candidate: ParadigmCandidate) -> None:
    """Within a block an image is shown once, as long as its class has others."""
    for block in candidate.blocks:
        images = [trial.image for trial in block.trials]
        twice = sorted({image for image in images if images.count(image) > 1})
        expect(not twice, f"block {block.block} shows {', '.join(twice[:3])} more than once")


@demands(plans_blocks_of_trials)
def times_are_possible(candidate: ParadigmCandidate) -> None:
    """Images stay longer than 0 s; no time is negative or infinite; a cue ends a pause."""
    for trial in candidate.trials():
        others = (trial.gap, trial.picture, trial.rest)
        expect(trial.duration > 0 and isfinite(trial.duration), f"{trial.duration:g} s of image")
        expect(all(t >= 0 and isfinite(t) for t in others), f"impossible times: {trial}")
    for block in candidate.blocks:
        expect(
            0 <= block.cue <= block.pause and isfinite(block.pause),
            f"block {block.block}: a cue of {block.cue:g} s in a pause of {block.pause:g} s",
        )


@demands(plans_blocks_of_trials)
def a_small_image_set_is_refused_or_planned(candidate: ParadigmCandidate) -> None:
    """One class, or none, is refused in words, or planned for."""
    for n_classes in 0, 1:
        few = stimuli().only(list(CLASSES)[:n_classes])
        try:
            candidate.config.blocks(replace(make_context(), stimuli=few))
        except PhospheneError:
            continue
        except Exception as error:
            raise ConformanceError(
                f"{n_classes} classes: expected a plan or a PhospheneError"
            ) from error
