"""Every check of paradigms finds the one broken for it, and no other check does."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, ClassVar

import pytest
from msgspec import structs

from phosphene import (
    Block,
    Context,
    ParadigmConfig,
    PhospheneError,
    Trial,
)
from phosphene.interfaces import PluginConfig
from phosphene.testing import paradigms
from phosphene.testing.demands import name_of
from phosphene.testing.examination import Outcome
from phosphene.testing.kinds import examination_of


def outcomes(config: PluginConfig) -> Mapping[str, Outcome]:
    return {check.name: check.result().outcome for check in examination_of(config).checks()}


def failures(config: PluginConfig) -> set[str]:
    return {check for check, outcome in outcomes(config).items() if outcome is Outcome.FAILED}


class OnePass(ParadigmConfig, frozen=True):
    """Every class once in each of two blocks: a paradigm without a fault."""

    def blocks(self, context: Context) -> Sequence[Block]:
        if len(context.stimuli.classes) < 2:
            raise PhospheneError("expected two classes or more")
        return [self.block(context, number) for number in (1, 2)]

    def block(self, context: Context, number: int) -> Block:
        wnids = context.rng(number).permutation(list(context.stimuli.classes)).tolist()
        images = [context.stimuli.of(wnid, "train")[number].id for wnid in wnids]
        return Block(number, number, tuple(map(Trial, images, wnids)))


class NoTrials(OnePass, frozen=True):
    def block(self, context: Context, number: int) -> Block:
        return Block(number, number, ())


class AnotherPlanByCall(OnePass, frozen=True):
    calls: ClassVar[Any] = count()

    def block(self, context: Context, number: int) -> Block:
        return OnePass.block(self, replace(context, seed=next(self.calls)), number)


class CountsFromZero(OnePass, frozen=True):
    def block(self, context: Context, number: int) -> Block:
        return structs.replace(OnePass.block(self, context, number), block=number - 1)


class ShowsGallery(OnePass, frozen=True):
    def block(self, context: Context, number: int) -> Block:
        [image, *_] = context.stimuli.of("n00000001", "gallery")
        return Block(number, number, (Trial(image.id, image.wnid),))


class ForeignImage(OnePass, frozen=True):
    def block(self, context: Context, number: int) -> Block:
        return Block(number, number, (Trial("cat.png", "n00000001"),))


class Stutters(OnePass, frozen=True):
    def block(self, context: Context, number: int) -> Block:
        block = OnePass.block(self, context, number)
        return structs.replace(block, trials=block.trials * 2)


class CueLongerThanPause(OnePass, frozen=True):
    def block(self, context: Context, number: int) -> Block:
        return structs.replace(OnePass.block(self, context, number), pause=1.0, cue=2.0)


class StumblesOverFewClasses(OnePass, frozen=True):
    def blocks(self, context: Context) -> Sequence[Block]:
        if len(context.stimuli.classes) < 2:
            raise ZeroDivisionError("division by zero")
        return OnePass.blocks(self, context)


PARADIGMS = [
    (NoTrials, "plans blocks of trials"),
    (AnotherPlanByCall, "same plan for the same seed"),
    (CountsFromZero, "runs and blocks are numbered"),
    (ShowsGallery, "every image exists"),
    (ForeignImage, "every image exists"),
    (Stutters, "no image twice in a block"),
    (CueLongerThanPause, "times are possible"),
    (StumblesOverFewClasses, "a small image set is refused or planned"),
]


def test_a_paradigm_without_a_fault_passes_everything() -> None:
    assert set(outcomes(OnePass()).values()) == {Outcome.PASSED}


@pytest.mark.parametrize(("broken", "check"), PARADIGMS)
def test_a_broken_paradigm_fails_exactly_the_check_meant_for_it(
    broken: type[PluginConfig], check: str
) -> None:
    assert failures(broken()) == {check}


def test_every_check_has_a_paradigm_that_fails_it() -> None:
    assert {name_of(demand) for demand in paradigms.demands.needs} == {
        check for _, check in PARADIGMS
    }
