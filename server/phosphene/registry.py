"""Finds installed plugins, checks each on its own, and knows who offers what."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points, version
from types import ModuleType
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
import pluggy
from msgspec import structs
from packaging.requirements import Requirement

from phosphene import hookspecs
from phosphene.errors import PhospheneError
from phosphene.interfaces import PluginConfig
from phosphene.suggestions import choices

GROUP = "phosphene"
"""The entry point group, the hooks' project name, and the distribution that plugins require."""


Bases = tuple[type[PluginConfig], ...]


def _bases(hook: str) -> Bases:
    """Return what the config classes of a hook may derive from, as its annotation says."""
    mapping = get_type_hints(getattr(hookspecs, hook))["return"]
    _, config_type = get_args(mapping)
    (base,) = get_args(config_type)
    return get_args(base) or (base,)


HOOKS: Mapping[str, Bases] = {
    name: _bases(name) for name, spec in vars(hookspecs).items() if hasattr(spec, f"{GROUP}_spec")
}
"""Every hook, and the bases of the config classes that it offers."""

Offers = Mapping[str, Mapping[str, type[PluginConfig]]]
"""hook -> name -> config class."""


class PluginInfo(msgspec.Struct, frozen=True):
    """One entry point: where it comes from, what it offers, and what is wrong with it."""

    name: str
    module: str
    distribution: str
    version: str
    offers: dict[str, tuple[str, ...]] = {}
    """hook -> names"""
    problem: str = ""
    """Why it, or a name that it offers, cannot be used; empty if all is well."""

    @property
    def provenance(self) -> str:
        """Distribution and version."""
        return f"{self.distribution} {self.version}"


class _Offer(NamedTuple):
    plugin: PluginInfo
    config: type[PluginConfig]


class Registry:
    """What the installed plugins offer; broken ones are listed with their reason and skipped."""

    plugins: tuple[PluginInfo, ...]

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        loaded = [_load(point) for point in points]
        self._found: dict[tuple[str, str], list[_Offer]] = defaultdict(list)
        for info, offers in loaded:
            for hook, configs in offers.items():
                for name, config in configs.items():
                    self._found[hook, name].append(_Offer(info, config))
        self.plugins = tuple(self._with_conflicts(info) for info, _ in loaded)

    def offers(self, hook: str) -> Mapping[str, type[PluginConfig]]:
        """Return what can be chosen for a hook, by name."""
        return {
            name: offers[0].config
            for (its_hook, name), offers in self._found.items()
            if its_hook == hook and len(offers) == 1
        }

    def find(self, hook: str, name: str) -> type[PluginConfig]:
        """Return the config class of that name; ``PhospheneError`` if there is not exactly one."""
        return self._only(hook, name).config

    def provenance(self, hook: str, name: str) -> str:
        """Return the distribution and version that offer a name; errors as in ``find``."""
        return self._only(hook, name).plugin.provenance

    def _only(self, hook: str, name: str) -> _Offer:
        offers = self._found.get((hook, name), [])
        if not offers:
            raise PhospheneError(self._unknown(hook, name))
        if len(offers) > 1:
            raise PhospheneError(_conflict(hook, name, offers))
        return offers[0]

    def _unknown(self, hook: str, name: str) -> str:
        known = sorted(self.offers(hook))
        text = f"no installed plugin offers the {hook} {name!r}{choices(name, known, 'available')}"
        for info in self.plugins:
            if info.problem and not info.offers:
                text += f"; plugin {info.name!r} of {info.provenance} is broken: {info.problem}"
        return text

    def _with_conflicts(self, info: PluginInfo) -> PluginInfo:
        conflicts = [
            _conflict(hook, name, offers)
            for (hook, name), offers in self._found.items()
            if len(offers) > 1 and info in (offer.plugin for offer in offers)
        ]
        return structs.replace(info, problem="; ".join(conflicts)) if conflicts else info


def load_registry() -> Registry:
    """Return what every installed distribution offers."""
    points = entry_points(group=GROUP)
    return Registry(sorted(points, key=lambda point: (_distribution(point), point.name)))


def _conflict(hook: str, name: str, offers: Iterable[_Offer]) -> str:
    who = " and ".join(f"{plugin.provenance} ({plugin.module})" for plugin, _ in offers)
    return f"{hook} {name!r} is offered by {who}: uninstall all but one"


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown"


def _load(point: EntryPoint) -> tuple[PluginInfo, Offers]:
    info = PluginInfo(
        name=point.name,
        module=point.value,
        distribution=_distribution(point),
        version=point.dist.version if point.dist else "unknown",
    )
    try:
        _check_requirement(point)
        offers = _offers(point.load())
    # A plugin that cannot even be imported (or that exits while it is) must not stop the others.
    except (Exception, SystemExit) as error:
        return structs.replace(info, problem=_reason(error)), {}
    names = {hook: tuple(configs) for hook, configs in offers.items()}
    return structs.replace(info, offers=names), offers


def _reason(error: BaseException) -> str:
    own = isinstance(error, PhospheneError)
    return str(error) if own else f"{type(error).__name__}: {error}".strip(": ")


def _check_requirement(point: EntryPoint) -> None:
    """Refuse a plugin whose distribution was made for another version of Phosphene."""
    for line in (point.dist.requires or []) if point.dist else []:
        needs = Requirement(line)
        here = version(GROUP)
        ours = needs.name.lower() == GROUP and needs.marker is None
        if ours and not needs.specifier.contains(here, prereleases=True):
            raise PhospheneError(f"it requires {needs}, but this is {GROUP} {here}")


def _offers(plugin: ModuleType) -> Offers:
    """Return what one plugin offers, every hook and class of it checked.

    A manager of its own lets pluggy say which plugin it was that misspelt a hook.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    callers = manager.get_hookcallers(plugin) or []
    if not callers:
        raise PhospheneError("it offers nothing: no function is marked with @hookimpl")
    for caller in callers:
        if not caller.has_spec():
            raise PhospheneError(f"there is no hook {caller.name!r}{choices(caller.name, HOOKS)}")
    return {caller.name: dict(_checked(caller.name, caller())) for caller in callers}


def _checked(hook: str, results: list[Any]) -> Iterator[tuple[str, type[PluginConfig]]]:
    """Yield name and class of what one plugin's hook returned; pluggy drops a ``None``."""
    offered = results[0] if results else None
    if not isinstance(offered, Mapping):
        raise PhospheneError(f"hook {hook!r} must return {{name: config class}}; found {offered!r}")
    for name, config in offered.items():
        if not (isinstance(name, str) and name):
            raise PhospheneError(f"hook {hook!r}: a name must be text; found {name!r}")
        if not (isinstance(config, type) and issubclass(config, HOOKS[hook])):
            bases = " or ".join(base.__name__ for base in HOOKS[hook])
            raise PhospheneError(
                f"hook {hook!r}: {name!r} must be a subclass of {bases}; found {config!r}"
            )
        msgspec.json.Decoder(config)  # raises if a field has a type that cannot be read
        yield name, config
