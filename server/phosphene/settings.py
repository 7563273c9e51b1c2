"""The settings of a session, validated as a whole before anything starts."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, structs

from phosphene.choice import Chosen, choose, plain
from phosphene.closed_loop import ClosedLoopSettings, WorkerSettings, read_worker
from phosphene.conversion import FieldError, convert, to_plain
from phosphene.errors import SettingsError
from phosphene.interfaces import (
    DecoderConfig,
    GeneratorConfig,
    ParadigmConfig,
    SourceConfig,
    StimulusSetConfig,
)
from phosphene.processing import (
    EpochSettings,
    ShadowSettings,
    Stream,
    read_epochs,
    read_shadows,
    read_stream,
)
from phosphene.recording import RecordingSettings
from phosphene.registry import Registry
from phosphene.session_file import (
    FORMAT,
    OPTIONAL,
    Section,
    Sections,
    defaults,
    filled,
    options,
    read_sections,
)
from phosphene.suggestions import choices
from phosphene.versions import versions

__all__ = [
    "Chosen",
    "EpochSettings",
    "PhaseName",
    "ScreenSettings",
    "Settings",
    "choose",
    "load_settings",
    "plain",
    "read_resolved",
    "resolve",
    "resolved",
    "write_resolved",
]

PhaseName = Literal["record", "train", "feedback", "report"]
PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
_IDENTIFIERS = ("subject", "session")
_IDENTIFIER = re.compile(r"[A-Za-z0-9]{1,32}")


class ScreenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the subject sees the images."""

    kind: Literal["psychopy", "headless"] = "psychopy"
    refresh_rate: Annotated[float, Meta(gt=0)] | None = None
    """Frames per second; stated for a screen without vertical sync, otherwise measured."""
    size: tuple[Annotated[int, Meta(ge=1)], Annotated[int, Meta(ge=1)]] = (1024, 768)
    """Window size in pixels if not full screen."""
    fullscreen: bool = True
    image_size: Annotated[float, Meta(gt=0, le=1)] = 0.6
    """Height of an image as a fraction of the screen's height."""
    patch: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    """Side of a patch in the lower left corner that flashes for 0.1 s with each onset, for a
    photodiode, as a fraction of the screen's height; 0 for none."""
    lag: Annotated[float, Meta(ge=0)] = 0.0
    """Measured seconds from flip to light; 0 says that onsets are flip times, not light."""


class Settings(msgspec.Struct, frozen=True):
    """A resolved session file: every plugin found, every value checked."""

    subject: str
    session: str
    protocol: tuple[PhaseName, ...]
    stimuli: Chosen[StimulusSetConfig]
    acquisition: Chosen[SourceConfig]
    paradigm: Chosen[ParadigmConfig] | None
    """Of the ``record`` phase."""
    feedback: Chosen[ParadigmConfig] | None
    """Of the ``feedback`` phase."""
    stream: Stream
    epochs: EpochSettings
    decoder: Chosen[DecoderConfig]
    """The one that drives feedback."""
    shadows: tuple[ShadowSettings, ...]
    """Decoders that run beside it; what they find is recorded and never shown."""
    generator: Chosen[GeneratorConfig] | None
    worker: WorkerSettings | None
    """Another machine that generates."""
    closed_loop: ClosedLoopSettings
    bundle: Path | None
    """A bundle trained earlier, for feedback without training."""
    other_subject: bool
    """Whether the bundle may be one that was trained on another subject."""
    screen: ScreenSettings
    recording: RecordingSettings
    clock: Literal["real", "virtual"]
    output: Path
    """The study's BIDS dataset."""
    cache: Path
    seed: Annotated[int, Meta(ge=0)]

    def __post_init__(self) -> None:
        _identifier(self.subject)
        _identifier(self.session)

    @property
    def plugins(self) -> tuple[Chosen[Any], ...]:
        """Every plugin that takes part."""
        chosen = (getattr(self, name) for name in _HOOKS)
        own = (*filter(None, chosen), *self.stream, *self.epochs.steps)
        own += (self.worker.generator,) if self.worker else ()
        return own + tuple(plugin for shadow in self.shadows for plugin in shadow.plugins)

    def of_shadow(self, number: int) -> "Settings":
        """Return the settings with which a shadow, counted from 1, is trained."""
        shadow = self.shadows[number - 1]
        return structs.replace(
            self,
            decoder=shadow.decoder,
            stream=self.stream if shadow.stream is None else shadow.stream,
            epochs=shadow.epochs or self.epochs,
        )


_TYPES: dict[str, Any] = get_type_hints(Settings, include_extras=True)
_HOOKS = {
    "stimuli": "stimuli",
    "acquisition": "acquisition",
    "paradigm": "paradigm",
    "feedback": "paradigm",
    "decoder": "decoder",
    "generator": "generator",
}
"""The hook behind each section that chooses one plugin."""
_READERS: dict[str, Callable[[object, Registry, Section], object]] = {
    "stream": read_stream,
    "epochs": read_epochs,
    "shadows": read_shadows,
    "worker": read_worker,
}
"""Sections that choose several."""


def load_settings(
    source: str | Path, registry: Registry, overrides: Mapping[str, object] = MappingProxyType({})
) -> Settings:
    """Return the settings of a preset or session file.

    ``overrides`` are command line options: they replace sections of the same name; None is no
    option; ``headless`` asks for a screen without a window and, where the source allows it, for
    virtual time. Raises ``SettingsError`` with one line for each problem.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    headless = given.pop("headless", False)
    sections = read_sections(source) | options(given)
    return resolve(sections, registry, source, headless=bool(headless))


def resolve(
    sections: Sections, registry: Registry, source: str | Path, *, headless: bool = False
) -> Settings:
    """Return the settings that the sections of ``source`` stand for; errors as above."""
    sections = filled(sections, defaults())
    settings = _settings(sections, registry, source)
    if headless:
        live = settings.acquisition.config.live
        screen = structs.replace(settings.screen, kind="headless")
        settings = structs.replace(settings, screen=screen, clock="real" if live else "virtual")
    if problems := [str(sections[name].error(text)) for name, text in _conflicts(settings)]:
        raise SettingsError("\n".join(problems))
    return settings


def resolved(settings: Settings) -> dict[str, Any]:
    """Return every section with every value written out."""
    return {name: _written(value) for name, value in structs.asdict(settings).items()}


def write_resolved(settings: Settings, path: Path) -> None:
    """Write every value of a session, and the versions of what runs it, as JSON."""
    content = {
        "format": FORMAT,
        "versions": versions(),
        "plugins": [{"name": p.name, "provenance": p.provenance} for p in settings.plugins],
        "settings": resolved(settings),
    }
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def check_unchanged(settings: Settings, path: Path) -> None:
    """Raise ``SettingsError`` that names the keys in which a session was begun otherwise."""
    before = msgspec.json.decode(path.read_bytes(), type=_Resolved).settings
    now = json.loads(json.dumps(resolved(settings)))
    if changed := sorted(key for key in before.keys() | now if before.get(key) != now.get(key)):
        raise SettingsError(
            f"{path}: the session was begun with other settings of {', '.join(changed)}; "
            "go on with the same file and the same options"
        )


def read_resolved(path: Path, registry: Registry) -> Settings:
    """Return what ``write_resolved`` was given; ``SettingsError`` if plugins no longer take it."""
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_Resolved)
    except (OSError, msgspec.MsgspecError) as error:
        raise SettingsError(f"{path}: not a file of resolved settings: {error}") from None
    values = content.settings.items()
    sections = {name: Section(name, value, str(path)) for name, value in values}
    sections = filled(sections, {name: each for name, each in defaults().items() if name in ADDED})
    return _settings(sections, registry, path)


ADDED = ("shadows", "other_subject", "worker", "closed_loop", "recording")
"""Sections that files of early sessions lack; without them everything was as by default."""


class _Resolved(msgspec.Struct):
    format: Literal[1]
    settings: dict[str, Any]


def _identifier(value: object) -> str:
    """Return a subject's or session's id; ``7`` without quotes is meant as text."""
    text = str(value) if type(value) is int else value
    if not (isinstance(text, str) and _IDENTIFIER.fullmatch(text)):
        raise FieldError((), f"expected 1 to 32 letters (a-z, A-Z) and digits, found {value!r}")
    return text


def _settings(sections: Sections, registry: Registry, source: str | Path) -> Settings:
    problems = [f"{source}: {_missing(name)}" for name in _TYPES if name not in sections]
    values: dict[str, Any] = {}
    for section in sections.values():
        try:
            values[section.name] = _value(section, registry)
        except FieldError as error:
            problems.append(str(section.error(error.text, error.keys)))
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(**values)


def _missing(name: str) -> str:
    option = f" or give --{name}" if name in _IDENTIFIERS else ""
    return f"{name}: missing; write it into the file{option}"


def _value(section: Section, registry: Registry) -> object:
    name, value = section.name, section.value
    if name not in _TYPES:
        known = ("format", "extends", "preprocessing", *_TYPES)
        raise FieldError((), f"unknown key{choices(name, known)}")
    if value is None and name in OPTIONAL:
        return None
    if name in _HOOKS:
        return choose(registry, _HOOKS[name], value, section.existing_path)
    if name in _READERS:
        return _READERS[name](value, registry, section)
    if name in _IDENTIFIERS:
        return _identifier(value)
    return convert(value, _TYPES[name], section.existing_path if name == "bundle" else section.path)


def _conflicts(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield section and text for whatever does not go together."""
    phases = settings.protocol
    order = [PHASES.index(phase) for phase in phases]
    if not phases or any(first >= second for first, second in pairwise(order)):
        yield "protocol", f"expected some of {', '.join(PHASES)}, each once and in this order"
    if "record" in phases and settings.paradigm is None:
        yield "protocol", "record needs the section 'paradigm'"
    if "train" in phases and "record" not in phases:
        yield "protocol", "train needs 'record' before it"
    if settings.shadows and not {"train", "feedback"} <= set(phases):
        yield (
            "shadows",
            "shadows are fitted in 'train' and follow 'feedback'; the protocol lacks one",
        )
    if "feedback" in phases:
        yield from _feedback_conflicts(settings)
    yield from _closed_loop_conflicts(settings)
    if settings.other_subject and settings.bundle is None:
        yield "other_subject", "it is said of a bundle trained earlier (--bundle); there is none"
    if settings.clock == "virtual" and settings.acquisition.config.live:
        yield "clock", f"the source {settings.acquisition.name!r} is live: it needs 'clock: real'"
    if settings.clock == "virtual" and settings.screen.kind != "headless":
        yield "clock", "virtual time needs the screen 'kind: headless'"


def _feedback_conflicts(settings: Settings) -> Iterator[tuple[str, str]]:
    for name in ("feedback", "generator"):
        if getattr(settings, name) is None:
            yield "protocol", f"feedback needs the section {name!r}"
    if "train" in settings.protocol and settings.bundle is not None:
        yield "bundle", "give either this or 'train' in the protocol, not both"
    if "train" not in settings.protocol and settings.bundle is None:
        yield "protocol", "feedback needs 'train' before it, or a bundle trained earlier (--bundle)"


def _closed_loop_conflicts(settings: Settings) -> Iterator[tuple[str, str]]:
    served = settings.worker.generator if settings.worker else settings.generator
    if settings.closed_loop.sham != "never" and served and served.config.uses == "embedding":
        yield (
            "closed_loop",
            f"sham feedback cannot be given with {served.name!r}: the embedding of another trial "
            "would be needed; choose a generator that answers to classes or probabilities",
        )
    if settings.closed_loop.retrain != "never" and "record" not in settings.protocol:
        yield "closed_loop", "'retrain' needs 'record' in the protocol: what it would add to"
    if settings.clock == "virtual" and settings.closed_loop.review:
        yield "closed_loop", "'review' waits for an operator: it needs 'clock: real'"
    if settings.clock == "virtual" and settings.worker:
        yield "worker", "another machine keeps real time: it needs 'clock: real'"


def _written(value: object) -> object:
    match value:
        case Chosen():
            return plain(value)
        case EpochSettings() | ShadowSettings() | WorkerSettings():
            return {name: _written(each) for name, each in structs.asdict(value).items()}
        case tuple():
            return [_written(each) for each in value]
    return to_plain(value)
