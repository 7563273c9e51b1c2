"""What a session was, in words."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.course import PhaseCourse
from phosphene.analysis.splits import is_nested
from phosphene.choice import Chosen, plain
from phosphene.processing import ShadowSettings
from phosphene.rejection import RejectSettings
from phosphene.settings import ScreenSettings, Settings

MILLISECONDS = 1e3


def plugin(chosen: Chosen[Any]) -> str:
    """Return a plugin with its settings."""
    ((name, values),) = plain(chosen).items()
    given = ", ".join(
        f"{key} {_value(value)}" for key, value in values.items() if value is not None
    )
    return f"{name} ({given})" if given else name


def steps(chosen: Sequence[Chosen[Any]]) -> str:
    """Return steps in order."""
    return ", ".join(map(plugin, chosen)) or "nothing"


def rejection(limits: RejectSettings | None) -> str:
    """Return which epochs are rejected."""
    if limits is None:
        return "none is rejected as an artefact"
    asked = msgspec.structs.asdict(limits)
    given = ", ".join(f"{name} {limit}" for name, limit in asked.items() if limit is not None)
    return f"rejected as artefacts beyond limits: {given}"


def shadow(settings: ShadowSettings) -> str:
    """Return a shadow's decoder, and its preprocessing if it has one of its own."""
    own = settings.stream is not None or settings.epochs is not None
    epochs = settings.epochs.steps if settings.epochs else ()
    given = f"; its own preprocessing: {steps((*(settings.stream or ()), *epochs))}" if own else ""
    return plugin(settings.decoder) + given


def design(phase: PhaseCourse) -> str:
    """Return the plan of a phase as sentences."""
    trials = [trial for block in phase.planned for trial in block.trials]
    n_classes, n_runs = len({trial.wnid for trial in trials}), len({b.run for b in phase.planned})
    trial = trials[0]
    rest = f"then {_s(trial.gap)} of black" if trial.gap else "the next one follows at once"
    answer = f" and {_s(trial.picture)} of the picture that answers it" if trial.picture else ""
    return (
        f"{phase.phase.capitalize()} phase ({phase.task}): "
        f"{plural(len(trials), 'trial')} of {plural(n_classes, 'class', 'classes')} in "
        f"{plural(n_runs, 'run')} of {plural(len(phase.planned) // n_runs, 'block')}. "
        f"An image stays {_s(trial.duration)}, {rest}{answer}; "
        f"{_s(phase.planned[0].pause)} pass between blocks. {_order(phase)}"
    )


def source(settings: Settings) -> str:
    """Return a sentence for a signal that no amplifier measured, or nothing."""
    if settings.acquisition.config.live:
        return ""
    name = settings.acquisition.name
    return f"No amplifier took part: the signal comes from the source '{name}'."


def screen(settings: ScreenSettings) -> str:
    """Return what the images were shown on."""
    if settings.kind == "headless":
        rate = f" at {settings.refresh_rate:g} Hz" if settings.refresh_rate else ""
        return f"none: flips were simulated{rate}"
    size = "full screen" if settings.fullscreen else f"a window of {_value(settings.size)} pixels"
    rate = f"{settings.refresh_rate:g} Hz stated" if settings.refresh_rate else "rate measured"
    return f"{settings.kind}, {size}, {rate}"


def light(settings: ScreenSettings, photodiode: str | None = None) -> str:
    """Return what the onsets are."""
    if photodiode:
        lag = settings.lag * MILLISECONDS
        return (
            f"Light was seen by {photodiode}; epochs begin {lag:g} ms behind the flip, as stated."
        )
    if settings.kind == "headless":
        return "Onsets are simulated flip times, not light."
    if settings.lag:
        lag = settings.lag * MILLISECONDS
        return f"Onsets are flip times, not light; epochs begin {lag:g} ms later, as stated."
    return "Onsets are flip times, not light."


def milliseconds(values: NDArray[np.floating]) -> str:
    """Return median and range of some seconds, in ms."""
    if not len(values):
        return "–"
    low, middle, high = (f"{v * MILLISECONDS:.1f}" for v in np.percentile(values, (0, 50, 100)))
    return f"{middle} ({low} to {high})"


def plural(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> plural(1, "run"), plural(2, "class", "classes")
    ('1 run', '2 classes')
    """
    return f"{n} {one if n == 1 else many or one + 's'}"


def _order(phase: PhaseCourse) -> str:
    if is_nested(phase.stimuli):
        return "Class and time are one variable in it."
    found = [len({trial.wnid for trial in block.trials}) for block in phase.planned]
    each = plural(found[0], "class", "classes")
    return f"Every block shows {each}." if len(set(found)) == 1 else ""


def _s(seconds: float) -> str:
    return f"{seconds:g}\u00a0s"


def _value(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return " x ".join(map(_value, value))
    return str(value)
