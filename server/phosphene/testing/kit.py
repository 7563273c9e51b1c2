"""The kit: all demands on one plugin, as checks for pytest or as a report."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from phosphene.choice import choose, plain
from phosphene.conversion import FieldError
from phosphene.errors import PhospheneError, SettingsError
from phosphene.registry import HOOKS, Registry, load_registry
from phosphene.session_file import Section
from phosphene.strict_yaml import read_yaml
from phosphene.suggestions import choices
from phosphene.testing import offers
from phosphene.testing.demands import Demands
from phosphene.testing.examination import Check, Examination, Outcome, Result
from phosphene.testing.kinds import examination_of, package_of
from phosphene.testing.measuring import Measurement, peak_memory


class Report(msgspec.Struct, frozen=True):
    """What came of all checks of one plugin."""

    hook: str
    name: str
    provenance: str
    """Distribution and version."""
    settings: Any
    results: tuple[Result, ...]
    measurements: tuple[Measurement, ...]
    """None if a check failed."""

    @property
    def failed(self) -> tuple[Result, ...]:
        """The checks that it failed."""
        return tuple(each for each in self.results if each.outcome is Outcome.FAILED)


def checks(
    hook: str,
    name: str,
    settings: Mapping[str, object] | None = None,
    registry: Registry | None = None,
) -> list[Check]:
    """Return the checks of an installed plugin, to be called in tests.

    ``settings`` are those of a session file. Raises ``PhospheneError`` if there is no such plugin,
    and ``SettingsError`` if it refuses the settings or needs some.
    """
    return list(_Plugin.found(registry or load_registry(), hook, name, settings).checks())


def examine(
    hook: str,
    name: str,
    settings: Mapping[str, object] | None = None,
    registry: Registry | None = None,
    progress: Callable[[str], None] = lambda _check: None,
) -> Report:
    """Return what comes of all checks of an installed plugin; errors as in ``checks``.

    ``progress`` is told the name of each check before it is made.
    """
    plugin = _Plugin.found(registry or load_registry(), hook, name, settings)
    before = peak_memory()
    # What a plugin prints must not get into what is printed about it.
    with redirect_stdout(sys.stderr):
        results = list(_results(plugin, progress))
    if plugin.measured:
        what = "memory that it added to the process"
        plugin.measured.append(Measurement(what, peak_memory() - before, "MB"))
    chosen = plugin.offer.chosen
    return Report(
        hook,
        name,
        chosen.provenance,
        plain(chosen)[name],
        tuple(results),
        tuple(plugin.measured),
    )


def hook_of(name: str, registry: Registry) -> str:
    """Return the hook for which a name is offered.

    Raises ``PhospheneError`` if there is none, and says why if a plugin of that name is broken; or
    if there are several.
    """
    hooks = [h for h in HOOKS if any(name in info.offers.get(h, ()) for info in registry.plugins)]
    if len(hooks) == 1:
        return hooks[0]
    if hooks:
        raise PhospheneError(f"{name!r} is offered for {' and '.join(hooks)}; give --hook")
    known = sorted({each for hook in HOOKS for each in registry.offers(hook)})
    text = f"no installed plugin offers {name!r}{choices(name, known, 'available')}"
    for info in registry.plugins:
        if info.problem and not info.offers:
            text += f"; plugin {info.name!r} of {info.provenance} is broken: {info.problem}"
    raise PhospheneError(text)


def read_settings(text: str) -> dict[str, object]:
    """Return settings written as YAML; ``SettingsError`` if they are no mapping."""
    value = read_yaml(text.encode(), "settings").value
    if not isinstance(value, dict):
        raise SettingsError(f"settings: expected {{setting: value}}, found {text!r}")
    return value


def works_again_and_again(plugin: "_Plugin") -> None:
    """Work as often as it takes to measure it."""
    plugin.measured.extend(plugin.measurements())


MEASURING: Demands["_Plugin"] = Demands()
MEASURING()(works_again_and_again)


def _results(plugin: "_Plugin", progress: Callable[[str], None]) -> Iterator[Result]:
    """Yield what comes of every check; what fails one is not measured."""
    failed = False
    for check in plugin.checks():
        progress(check.name)
        result = check.result()
        failed |= result.outcome is Outcome.FAILED
        yield result
    if not failed:
        progress("measuring")
        yield Examination(plugin, MEASURING, plugin.package).result(works_again_and_again)


@dataclass(frozen=True)
class _Plugin:
    """One plugin, and all that is asked of it."""

    offer: offers.Offer
    candidate: Any
    examinations: tuple[Examination[Any], ...]
    package: str
    """The top-level package of its code."""
    measured: list[Measurement] = field(default_factory=list)

    @classmethod
    def found(
        cls, registry: Registry, hook: str, name: str, settings: Mapping[str, object] | None
    ) -> "_Plugin":
        if hook not in HOOKS:
            raise PhospheneError(f"there is no hook {hook!r}{choices(hook, HOOKS)}")
        registry.find(hook, name)  # Of what is not there, nothing is said about settings.
        given = Section("settings", {name: dict(settings or {})}, "settings", Path.cwd())
        try:
            chosen = choose(registry, hook, given.value, given.existing_path)
        except FieldError as error:
            raise SettingsError(f"settings of {hook} {error}") from None
        offer, package = offers.Offer(registry, hook, chosen), package_of(chosen.config)
        own = examination_of(chosen.config)
        every = Examination(offer, offers.demands, package)
        return cls(offer, own.candidate, (every, own), package)

    def checks(self) -> Iterator[Check]:
        for examination in self.examinations:
            yield from examination.checks()

    def measurements(self) -> Iterator[Measurement]:
        yield Measurement("importing its module", 1000 * self.offer.discovery.seconds, "ms")
        yield from self.candidate.measurements()
