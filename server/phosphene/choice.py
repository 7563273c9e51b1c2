"""A plugin chosen by name: ``decoder: power-lr`` or ``decoder: {power-lr: {c: 0.1}}``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from phosphene.conversion import FieldError, convert, to_plain, under
from phosphene.errors import PhospheneError
from phosphene.interfaces import EpochStepConfig, PluginConfig, StreamStepConfig
from phosphene.registry import Registry

C_co = TypeVar("C_co", bound=PluginConfig, covariant=True)


class Chosen(msgspec.Struct, Generic[C_co], frozen=True):
    """A plugin chosen by name, with its validated settings."""

    name: str
    config: C_co
    provenance: str = ""
    """Distribution and version that offered it."""


def choose(
    registry: Registry, hook: str, value: object, path: Callable[[str], Path] = Path
) -> Chosen[Any]:
    """Return the plugin that a session file's value chooses.

    ``path`` makes a ``Path`` of a text. Raises ``SettingsError``: no such plugin, or settings
    that it refuses.
    """
    name, given = _name_and_settings(value)
    try:
        kind = registry.find(hook, name)
    except PhospheneError as error:
        raise FieldError((), str(error)) from None
    with under(name):
        config = convert(given, kind, path)
        _check_finite(config)
    return Chosen(name, config, registry.provenance(hook, name))


def choose_steps(
    registry: Registry,
    value: object,
    kind: type[StreamStepConfig | EpochStepConfig],
    path: Callable[[str], Path] = Path,
) -> tuple[Chosen[Any], ...]:
    """Return the steps that a list chooses, all of them of one kind; errors as in ``choose``."""
    if not isinstance(value, list):
        raise FieldError((), f"expected a list of steps, found {value!r}")
    steps = []
    for index, each in enumerate(value):
        with under(index):
            step = choose(registry, "preprocessing", each, path)
            if not isinstance(step.config, kind):
                other = "stream" if kind is EpochStepConfig else "epochs.steps"
                raise FieldError((), f"the step {step.name!r} belongs under {other}")
        steps.append(step)
    return tuple(steps)


def plain(chosen: Chosen[PluginConfig]) -> dict[str, Any]:
    """Return what ``choose`` makes the choice from, with every setting written out."""
    return {chosen.name: to_plain(chosen.config)}


def _check_finite(config: PluginConfig) -> None:
    """Refuse what JSON cannot write: the settings are stored with the data."""
    try:
        json.dumps(to_plain(config), allow_nan=False)
    except ValueError:
        raise FieldError((), f"every number must be finite; found {config}") from None


def _name_and_settings(value: object) -> tuple[str, object]:
    match value:
        case str():
            return value, {}
        case dict() if len(value) == 1:
            name, given = next(iter(value.items()))
            return name, {} if given is None else given
    raise FieldError((), f"expected NAME or {{NAME: {{setting: value}}}}, found {value!r}")
