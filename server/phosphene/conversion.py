"""Plain values to typed ones, with errors that a person understands."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from phosphene.errors import PhospheneError, SettingsError
from phosphene.strict_yaml import Keys
from phosphene.suggestions import choices

T = TypeVar("T")

_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "a mapping",
}
"""What msgspec's names of types are called in a session file."""


class FieldError(SettingsError):
    """A value that does not fit, and where it is within the value that was converted."""

    def __init__(self, keys: Keys, text: str) -> None:
        super().__init__(f"{'.'.join(map(str, keys))}: {text}" if keys else text)
        self.keys = keys
        self.text = text


@contextmanager
def under(*keys: str | int) -> Iterator[None]:
    """Let a ``FieldError`` from within know the keys that lead there."""
    try:
        yield
    except FieldError as error:
        raise FieldError((*keys, *error.keys), error.text) from None


def convert(value: object, kind: type[T], path: Callable[[str], Path] = Path) -> T:
    """Return the value as the type that the annotations of ``kind`` ask for.

    ``path`` makes a ``Path`` of a text. Raises ``FieldError`` for an unknown key, a wrong type, or
    what a ``__post_init__`` refuses with ``ValueError`` or ``PhospheneError``.
    """

    def other(wanted: type, found: object) -> Path:
        if wanted is not Path:
            raise TypeError(f"{wanted} cannot be read from a file")
        if not isinstance(found, str):
            raise ValueError(f"expected the path of a file or folder, found {found!r}")
        return path(found)

    try:
        return msgspec.convert(value, kind, str_keys=True, dec_hook=other)
    except (msgspec.ValidationError, PhospheneError) as error:
        raise _field_error(str(error), value, kind) from None


def to_plain(value: object) -> Any:  # noqa: ANN401
    """Return what ``convert`` makes the value from: mappings, lists, numbers and text."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_text)


def _text(value: object) -> str:
    if not isinstance(value, Path):
        raise TypeError(f"{type(value)} cannot be written to a file")
    return str(value)


def _field_error(message: str, value: object, kind: object) -> FieldError:
    """Translate msgspec's message, which ends with the place in the form `$.steps[0].low`."""
    text, *place = re.split(r" - at (?:`key` in )?`\$", message, maxsplit=1)
    keys = tuple(_keys("".join(place).removesuffix("`")))
    found, types = _at(value, keys), _types(kind, keys)
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", text):
        return FieldError((*keys, unknown[1]), f"unknown key{choices(unknown[1], _fields(types))}")
    if missing := re.fullmatch(r"Object missing required field `(.*)`", text):
        return FieldError((*keys, missing[1]), "missing")
    if text.startswith("Invalid enum value"):
        return FieldError(keys, f"found {found!r}{choices(found, _values(types))}")
    if expected := re.fullmatch(r"Expected (`.*?)(, got .*)?", text):
        return FieldError(keys, f"expected {_in_words(expected[1])}, found {found!r}")
    # A config's own complaint often starts with the name of the field, which has a line.
    field = re.split(r"\W", text, maxsplit=1)[0]
    return FieldError((*keys, field) if field in _fields(types) else keys, text)


def _keys(place: str) -> Iterator[str | int]:
    """Yield the keys of ``.steps[0].low``, up to a key that msgspec does not tell (``[...]``)."""
    for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]", place):
        if index == "...":
            return
        yield name or int(index)


def _at(value: Any, keys: Keys) -> object:  # noqa: ANN401
    for key in keys:
        value = value[key]
    return value


def _types(kind: object, keys: Keys) -> list[inspect.Type]:
    """Return the types that a value at ``keys`` may have."""
    types = _members(inspect.type_info(kind))
    for key in keys:
        types = [inner for outer in types for inner in _members(_inside(outer, key))]
    return types


def _members(kind: inspect.Type) -> list[inspect.Type]:
    return list(kind.types) if isinstance(kind, inspect.UnionType) else [kind]


def _inside(kind: inspect.Type, key: str | int) -> inspect.Type:
    match kind:
        case inspect.StructType():
            return next((f.type for f in kind.fields if f.encode_name == key), inspect.AnyType())
        case inspect.ListType() | inspect.VarTupleType():
            return kind.item_type
        case inspect.TupleType() if isinstance(key, int):
            return kind.item_types[key]
        case inspect.DictType():
            return kind.value_type
    return inspect.AnyType()


def _fields(types: list[inspect.Type]) -> list[str]:
    structs = (kind for kind in types if isinstance(kind, inspect.StructType))
    return [field.encode_name for kind in structs for field in kind.fields]


def _values(types: list[inspect.Type]) -> list[object]:
    literals = (kind.values for kind in types if isinstance(kind, inspect.LiteralType))
    enums = (tuple(kind.cls) for kind in types if isinstance(kind, inspect.EnumType))
    return [value for values in (*literals, *enums) for value in values]


def _in_words(expected: str) -> str:
    """Return "a number or null" for "`float | null`"; limits such as ">= 0" stay."""
    return re.sub(r"`([^`]*)`", lambda names: _or(names[1]), expected)


def _or(names: str) -> str:
    return " or ".join(_WORDS.get(name, name) for name in names.split(" | "))
