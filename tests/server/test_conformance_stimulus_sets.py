"""Every check of image sets finds the one broken for it, and no other check does."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec import structs

from phosphene import (
    StimulusSet,
    StimulusSetConfig,
)
from phosphene.interfaces import PluginConfig
from phosphene.testing import stimulus_sets
from phosphene.testing.demands import name_of
from phosphene.testing.examination import Outcome
from phosphene.testing.images import stimuli
from phosphene.testing.kinds import examination_of


def outcomes(config: PluginConfig) -> Mapping[str, Outcome]:
    return {check.name: check.result().outcome for check in examination_of(config).checks()}


def failures(config: PluginConfig) -> set[str]:
    return {check for check, outcome in outcomes(config).items() if outcome is Outcome.FAILED}


class Images(StimulusSetConfig, frozen=True):
    """The kit's own images: a set without a fault."""

    def build(self, cache: Path) -> StimulusSet:
        return self.changed(stimuli())

    def changed(self, good: StimulusSet) -> StimulusSet:
        return good


class NoClasses(Images, frozen=True):
    def changed(self, good: StimulusSet) -> StimulusSet:
        return good.only([])


class NothingToShow(Images, frozen=True):
    def changed(self, good: StimulusSet) -> StimulusSet:
        return replace(good, classes={**good.classes, "n99999999": "unicorn"})


class Twins(Images, frozen=True):
    def changed(self, good: StimulusSet) -> StimulusSet:
        return replace(good, images=(*good.images, good.images[0]))


class Forged(Images, frozen=True):
    def changed(self, good: StimulusSet) -> StimulusSet:
        first = structs.replace(good.images[0], sha256="0" * 64)
        return replace(good, images=(first, *good.images[1:]))


class NoLicence(Images, frozen=True):
    def changed(self, good: StimulusSet) -> StimulusSet:
        first = structs.replace(good.images[0], licence=" ")
        return replace(good, images=(first, *good.images[1:]))


class FewerEachTime(Images, frozen=True):
    calls: ClassVar[Any] = count(1)

    def changed(self, good: StimulusSet) -> StimulusSet:
        return replace(good, images=good.images[next(self.calls) :])


STIMULUS_SETS = [
    (NoClasses, "builds"),
    (NothingToShow, "every class has images to show"),
    (Twins, "no image twice"),
    (Forged, "every image can be shown"),
    (NoLicence, "every image has a licence"),
    (FewerEachTime, "the cache may be deleted"),
]


def test_an_image_set_without_a_fault_passes_everything() -> None:
    assert set(outcomes(Images()).values()) == {Outcome.PASSED}


@pytest.mark.parametrize(("broken", "check"), STIMULUS_SETS)
def test_a_broken_image_set_fails_exactly_the_check_meant_for_it(
    broken: type[PluginConfig], check: str
) -> None:
    assert failures(broken()) == {check}


def test_every_check_has_an_image_set_that_fails_it() -> None:
    assert {name_of(demand) for demand in stimulus_sets.demands.needs} == {
        check for _, check in STIMULUS_SETS
    }
