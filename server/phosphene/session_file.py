"""A session file or preset as sections: what was written, and where."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import environ
from pathlib import Path

from phosphene.errors import SettingsError
from phosphene.strict_yaml import MAX_BYTES, Keys, read_yaml
from phosphene.suggestions import choices

FORMAT = 1
"""Version of the session file; changes when an old file would be misunderstood."""
OPTIONAL = ("paradigm", "feedback", "generator", "bundle", "worker")
"""Sections that a session can do without."""
PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class Section:
    """A top-level key of a session file and its value."""

    name: str
    value: object
    origin: str
    """What to call the place where it was written: a file, a preset, an option."""
    folder: Path | None = None
    """What relative paths start from; None for paths that are taken as they are."""
    lines: Mapping[Keys, int] = field(default_factory=dict)
    """Line by keys, the section's own name first."""

    def where(self, keys: Keys = ()) -> str:
        """Return origin and line of the value at ``keys``, or of what surrounds it."""
        for end in range(len(keys), -1, -1):
            if line := self.lines.get((self.name, *keys[:end])):
                return f"{self.origin}:{line}"
        return self.origin

    def error(self, text: str, keys: Keys = ()) -> SettingsError:
        """Return an error that says which value of which file it is about."""
        name = ".".join(map(str, (self.name, *keys)))
        return SettingsError(f"{self.where(keys)}: {name}: {text}")

    def path(self, text: str) -> Path:
        """Return the absolute path of something that may not exist yet."""
        return (self.folder / Path(text).expanduser()).resolve() if self.folder else Path(text)

    def existing_path(self, text: str) -> Path:
        """Return the absolute path of something that must exist, else ``ValueError``."""
        path = self.path(text)
        if self.folder and not path.exists():
            raise ValueError(f"there is no file or folder {path}")
        return path


Sections = dict[str, Section]


def presets() -> dict[str, Path]:
    """Return the session presets that ship with the package, by name."""
    return _by_name(PRESETS)


def read_sections(source: str | Path) -> Sections:
    """Return the sections of a preset or file, what it ``extends`` filled in below its own.

    A text that is a preset's name means the preset; everything else is a path. Raises
    ``SettingsError``.
    """
    return _read(_find(source), ())


def defaults() -> Sections:
    """Return what holds where neither file nor option says anything."""
    cache = Path(environ.get("XDG_CACHE_HOME") or "~/.cache") / "phosphene"
    values: dict[str, object] = dict.fromkeys(OPTIONAL)
    values |= {"decoder": "power-lr", "shadows": [], "screen": {}, "clock": "real", "seed": 0}
    values |= {"other_subject": False, "closed_loop": {}, "recording": {}}
    values |= {"output": "phosphene-data", "cache": str(cache)}
    sections = {name: Section(name, each, "default", Path.cwd()) for name, each in values.items()}
    return sections | preprocessing("paper")


def options(given: Mapping[str, object]) -> Sections:
    """Return command line options as sections."""
    here = Path.cwd()
    return {
        name: Section(name, str(each) if isinstance(each, Path) else each, as_option(name), here)
        for name, each in given.items()
    }


def as_option(name: str) -> str:
    """Return how a section is given on the command line."""
    return f"--{name.replace('_', '-')}"


def filled(sections: Sections, others: Sections) -> Sections:
    """Return the sections, and behind them those of ``others`` that they lack.

    Their order is that in which errors are told: what was written comes first.
    """
    return sections | {name: each for name, each in others.items() if name not in sections}


def _by_name(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _find(source: str | Path, folder: Path = Path()) -> Path:
    known = presets()
    if isinstance(source, str) and source in known:
        return known[source]
    path = folder / Path(source).expanduser()
    if not path.is_file():
        hint = choices(source, known, "presets")
        raise SettingsError(f"{path}: there is no such file, and no preset of that name{hint}")
    return path


def _read(path: Path, seen: tuple[Path, ...]) -> Sections:
    sections = _preprocessed(_own_sections(path))
    if (extends := sections.pop("extends", None)) is None:
        return sections
    if path.resolve() in seen:
        raise extends.error("these files extend each other")
    return _read(_extended(extends, path), (*seen, path.resolve())) | sections


def _own_sections(path: Path) -> Sections:
    """Return what is written in one file, its format checked."""
    bundled = PRESETS in path.parents
    origin = f"presets/{path.relative_to(PRESETS)}" if bundled else str(path)
    value, lines = read_yaml(_content(path), origin)
    if not isinstance(value, dict):
        raise SettingsError(f"{origin}: expected keys and values such as 'format: {FORMAT}'")
    folder = Path.cwd() if bundled else path.parent.absolute()
    sections = {name: Section(name, each, origin, folder, lines) for name, each in value.items()}
    _check_format(sections.pop("format", None), origin)
    return sections


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None


def _check_format(section: Section | None, origin: str) -> None:
    if section is None:
        raise SettingsError(f"{origin}: format: missing; write 'format: {FORMAT}'")
    if section.value != FORMAT or isinstance(section.value, bool):
        raise section.error(f"found {section.value!r}; this version reads format {FORMAT}")


def _extended(section: Section, path: Path) -> Path:
    if not isinstance(section.value, str):
        raise section.error(f"expected a preset or a file, found {section.value!r}")
    try:
        return _find(section.value, path.parent)
    except SettingsError as error:
        raise section.error(str(error)) from None


def preprocessing(name: object) -> Sections:
    """Return the sections ``stream`` and ``epochs`` of a preprocessing preset."""
    known = _by_name(PRESETS / "preprocessing")
    if not (isinstance(name, str) and name in known):
        raise SettingsError(f"there is no preprocessing {name!r}{choices(name, known)}")
    return _own_sections(known[name])


def _preprocessed(sections: Sections) -> Sections:
    """Put what ``preprocessing: NAME`` stands for in its place."""
    if (section := sections.pop("preprocessing", None)) is None:
        return sections
    for name in ("stream", "epochs"):
        if name in sections:
            raise sections[name].error("give either this or 'preprocessing', not both")
    try:
        return preprocessing(section.value) | sections
    except SettingsError as error:
        raise section.error(str(error)) from None
