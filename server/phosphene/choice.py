"""A plugin chosen by name: ``decoder: power-lr`` or ``decoder: {power-lr: {c: 0.1}}``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from phosphene.conversion import FieldError, convert, to_plain, under
from phosphene.errors import PhospheneError
from phosphene.interfaces import PluginConfig
from phosphene.registry import Registry

C = TypeVar("C", bound=PluginConfig, covariant=True)


class Chosen(msgspec.Struct, Generic[C], frozen=True):
    """A plugin chosen by name, with its validated settings."""

    name: str
    config: C
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
    return Chosen(name, config, registry.provenance(hook, name))


def plain(chosen: Chosen[PluginConfig]) -> dict[str, Any]:
    """Return what ``choose`` makes the choice from, with every setting written out."""
    return {chosen.name: to_plain(chosen.config)}


def _name_and_settings(value: object) -> tuple[str, object]:
    match value:
        case str():
            return value, {}
        case dict() if len(value) == 1:
            name, given = next(iter(value.items()))
            return name, {} if given is None else given
    raise FieldError((), f"expected NAME or {{NAME: {{setting: value}}}}, found {value!r}")
