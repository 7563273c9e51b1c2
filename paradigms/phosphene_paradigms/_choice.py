"""Which classes and which images a paradigm shows, and checks that the paradigms share."""

from math import inf

from phosphene import Context, PhospheneError, StimulusSet

Classes = int | tuple[str, ...] | None
"""The first so many classes of the set, some by wnid, or all of them."""


def check_at_least(minimum: float, **settings: float) -> None:
    """Raise ``ValueError`` for a setting below ``minimum``, or one that is no finite number."""
    for name, value in settings.items():
        if not minimum <= value < inf:
            raise ValueError(f"{name} must be at least {minimum:g}; found {value:g}")


def check_timing(duration: float, pause: float, cue: float) -> None:
    """Raise ``ValueError`` for times, in seconds, that cannot be."""
    check_at_least(0.001, duration=duration)
    check_at_least(0, pause=pause, cue=cue)
    if cue > pause:
        raise ValueError(f"cue is the end of the pause: at most {pause:g} s; found {cue:g}")


def check_classes(classes: Classes) -> None:
    """Raise ``ValueError`` for fewer than two classes, or one that is named twice."""
    if isinstance(classes, int):
        check_at_least(2, classes=classes)
    elif classes is not None:
        check_at_least(2, classes=len(classes))
        twice = sorted({wnid for wnid in classes if classes.count(wnid) > 1})
        if twice:
            raise ValueError(f"classes must differ; found twice: {', '.join(twice)}")


def choose_classes(stimuli: StimulusSet, classes: Classes) -> tuple[str, ...]:
    """Return wnids; ``PhospheneError`` if the set does not have them."""
    known = tuple(stimuli.classes)
    if not known:
        raise PhospheneError("classes: the stimulus set has none")
    if classes is None:
        return known
    if isinstance(classes, int):
        if classes > len(known):
            raise PhospheneError(
                f"classes: {classes} asked for, but the stimulus set has {len(known)}"
            )
        return known[:classes]
    unknown = [wnid for wnid in classes if wnid not in stimuli.classes]
    if unknown:
        raise PhospheneError(
            f"classes: not in the stimulus set: {', '.join(unknown)}; it has {', '.join(known)}"
        )
    return classes


def train_images(context: Context, wnid: str, at_least: int = 1) -> list[str]:
    """Return the ids of a class's train images in this session's random order.

    All paradigms of a session get the same order: what is recorded first takes from its front,
    feedback from its back, so that feedback shows images that are new while there are any.
    ``PhospheneError`` if there are fewer than ``at_least``.
    """
    images = context.stimuli.of(wnid, "train")
    if len(images) < at_least:
        name = context.stimuli.classes[wnid]
        raise PhospheneError(
            f"class {wnid} ({name}) has too few train images: {len(images)}, needed: {at_least}"
        )
    order = context.rng(*b"images", *wnid.encode()).permutation(len(images))
    return [images[i].id for i in order]
