"""What is asked of every image set."""

# ruff: noqa: D401 (the docstring of a demand states it)

from collections import Counter
from collections.abc import Iterator
from functools import cached_property

from phosphene.interfaces import StimulusSetConfig
from phosphene.stimulus import StimulusSet
from phosphene.testing.demands import Demands, expect
from phosphene.testing.measuring import Measurement, durations
from phosphene.testing.workplace import new_folder


class StimulusSetCandidate:
    """An image set's settings, and the set."""

    def __init__(self, config: StimulusSetConfig) -> None:
        self.config = config
        self.cache = new_folder()

    @cached_property
    def built(self) -> StimulusSet:
        """The set."""
        return self.config.build(self.cache)

    def measurements(self) -> Iterator[Measurement]:
        """Yield how long the set takes once it is in the cache."""
        yield from durations("from the cache", lambda: self.config.build(self.cache), repeats=20)


demands = Demands[StimulusSetCandidate]()


@demands()
def builds(candidate: StimulusSetCandidate) -> None:
    """A set with classes comes back."""
    expect(candidate.built.classes, "the set has no class")


@demands(builds)
def every_class_has_images_to_show(candidate: StimulusSetCandidate) -> None:
    """Every class has a name and a train image; every image has a class."""
    stimuli = candidate.built
    lacking = [wnid for wnid in stimuli.classes if not stimuli.of(wnid, "train")]
    expect(not lacking, f"no train image of {', '.join(lacking)}")
    expect(all(stimuli.classes.values()), "a class has no name")
    unknown = sorted({image.wnid for image in stimuli.images} - set(stimuli.classes))
    expect(not unknown, f"images of {', '.join(unknown)}, which are no classes of the set")


@demands(builds)
def no_image_twice(candidate: StimulusSetCandidate) -> None:
    """Ids and contents differ: no picture is in two roles or two classes."""
    images = candidate.built.images
    for what, values in (
        ("id", [image.id for image in images]),
        ("content", [image.sha256 for image in images]),
    ):
        [(value, count)] = Counter(values).most_common(1)
        expect(count == 1, f"{count} images have the {what} {value}")


@demands(builds)
def every_image_can_be_shown(candidate: StimulusSetCandidate) -> None:
    """Every file is there, is what its hash says, and can be decoded."""
    candidate.built.verify()


@demands(builds)
def every_image_has_a_licence(candidate: StimulusSetCandidate) -> None:
    """Every image says under which licence it may be passed on."""
    lacking = [image.id for image in candidate.built.images if not image.licence.strip()]
    expect(not lacking, f"no licence: {', '.join(lacking[:3])}")


@demands(builds)
def the_cache_may_be_deleted(candidate: StimulusSetCandidate) -> None:
    """From the cache, and with an empty one, the same set comes again."""
    for when, cache in ("from the cache", candidate.cache), ("with an empty cache", new_folder()):
        again = candidate.config.build(cache)
        same = (again.classes, again.images) == (candidate.built.classes, candidate.built.images)
        expect(same, f"{when} it is another set")
