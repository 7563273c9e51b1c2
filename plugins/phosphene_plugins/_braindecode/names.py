"""Which models braindecode has and what can be set: read from its source, not imported.

A misspelt model must be refused when the session file is read, before anyone sits in the chair.
Importing braindecode takes seconds, and every command reads session files; its source tells the
same in milliseconds.
"""

import ast
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

SIGNAL = {"n_chans", "n_outputs", "n_times", "sfreq", "chs_info", "input_window_seconds"}
"""What Phosphene sets itself, from the epochs."""
NOT_FOR_CLASSES = {"EEGModuleMixin", "HybridNet", "InterpolatedModel", "SignalJEPA", "TCN"}
"""Among braindecode's models, but none that classifies by itself."""
DOWNLOADS = {"REVE": "a table of electrode positions"}
"""What a model fetches from the network when it is built."""


def check_names(model: str, settings: Iterable[str]) -> None:
    """Raise ``ValueError`` for a model, or for settings of it, that braindecode does not have.

    Nothing is checked if braindecode is not installed.
    """
    files = _models()
    if not files:
        return
    if model in DOWNLOADS:
        raise ValueError(
            f"model {model!r} would download {DOWNLOADS[model]}, and Phosphene downloads nothing; "
            f"choose another one{_choices('', sorted(files))}"
        )
    if model not in files:
        raise ValueError(f"model: found {model!r}{_choices(model, sorted(files))}")
    allowed = _settings(model)
    for name in settings:
        if name in SIGNAL:
            raise ValueError(f"settings: {name!r} is taken from the epochs; leave it out")
        if allowed and name not in allowed:
            raise ValueError(f"settings of {model}: found {name!r}{_choices(name, allowed)}")


@cache
def _models() -> dict[str, Path]:
    """Return the file of each model by name; none if braindecode is not installed."""
    found = find_spec("braindecode")
    if found is None or found.origin is None:
        return {}
    folder = Path(found.origin).parent / "models"
    imports = [node for node in _parsed(folder / "__init__.py") if isinstance(node, ast.ImportFrom)]
    files = {alias.name: folder / f"{node.module}.py" for node in imports for alias in node.names}
    is_model = files.keys() - NOT_FOR_CLASSES
    return {name: files[name] for name in is_model if name[0].isupper()}


@cache
def _settings(model: str) -> tuple[str, ...]:
    """Return the names that can be set; none if the model inherits its constructor."""
    classes = (n for n in _parsed(_models()[model]) if isinstance(n, ast.ClassDef))
    body = next((c.body for c in classes if c.name == model), [])
    makers = (n for n in body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    arguments = [a for made in makers for a in (*made.args.args, *made.args.kwonlyargs)]
    return tuple(a.arg for a in arguments if a.arg not in {"self", *SIGNAL} and not _is_code(a))


def _is_code(argument: ast.arg) -> bool:
    """Return whether an argument is a class or a function, which a session file cannot hold."""
    annotation = "" if argument.annotation is None else ast.unparse(argument.annotation)
    return any(word in annotation for word in ("nn.Module", "Callable"))


def _parsed(file: Path) -> list[ast.stmt]:
    return ast.parse(file.read_text(encoding="utf-8")).body if file.is_file() else []


def _choices(name: str, allowed: Iterable[str]) -> str:
    known = {each.lower(): each for each in allowed}
    alike = get_close_matches(name.lower(), known, n=1)
    hint = f" (did you mean {known[alike[0]]!r}?)" if alike else ""
    return f"{hint}; allowed: {', '.join(known.values())}"
