"""YAML that means what it says: the 1.2 core types, one value for each key, lines remembered."""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from phosphene.errors import SettingsError

Keys = tuple[str | int, ...]
"""Where a value is in a document: keys of mappings and indices of lists, outermost first."""

MAX_BYTES = 64 * 1024
MAX_DEPTH = 20


class Document(NamedTuple):
    """A YAML document as plain values, and the line (from 1) of each of them."""

    value: object
    lines: Mapping[Keys, int]


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses aliases, anchors and tags, of which no session file has need."""

    # PyYAML's own are those of YAML 1.1, to which `no` is false, 010 is 8 and 1e-3 is text.
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._refuse("anchors (&) and aliases (*) are not allowed here", event)
        if getattr(event, "tag", None):
            self._refuse("tags (!) are not allowed here", event)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._refuse(f"lists and mappings are nested more than {MAX_DEPTH} deep", event)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse(self, problem: str, event: yaml.Event) -> None:
        mark = event.start_mark
        raise yaml.MarkedYAMLError(None, None, problem, mark)  # type: ignore[arg-type]  # stubs


_TAG = "tag:yaml.org,2002:"
for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    # More digits than an int of 64 bits can hold are read as a float.
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)


def read_yaml(content: bytes, name: str) -> Document:
    """Return the document; ``SettingsError`` with ``name`` and line for anything doubtful."""
    if len(content) > MAX_BYTES:
        raise SettingsError(f"{name}: larger than {MAX_BYTES} bytes; no session file is")
    try:
        loader = _Loader(content.decode("utf-8-sig"))
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise SettingsError(_explain(error, name)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: not a text file in UTF-8: {error}") from None
    reader = _Reader(name)
    return Document(reader.plain(node, ()) if node else None, reader.lines)


def _explain(error: yaml.MarkedYAMLError, name: str) -> str:
    mark = error.problem_mark or error.context_mark
    line = f":{mark.line + 1}" if mark else ""
    return f"{name}{line}: " + " ".join(filter(None, [error.context, error.problem]))


class _Reader:
    """Turns nodes into plain values."""

    def __init__(self, name: str) -> None:
        self.lines: dict[Keys, int] = {}
        self._name = name

    def plain(self, node: yaml.Node, keys: Keys) -> object:
        self.lines.setdefault(keys, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, (*keys, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not (isinstance(key_node, yaml.ScalarNode) and isinstance(key, str) and key):
                raise SettingsError(f"{self._name}:{line}: a key must be text")
            if key in found:
                first = self.lines[*keys, key]
                raise SettingsError(
                    f"{self._name}:{line}: {key!r} is written twice; first in line {first}"
                )
            self.lines[*keys, key] = line
            found[key] = self.plain(value, (*keys, key))
        return found

    def _scalar(self, node: yaml.Node) -> object:
        text: str = node.value
        match node.tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text)
            case "float":
                return self._finite(text, node)
        return text

    def _finite(self, text: str, node: yaml.Node) -> float:
        if not math.isfinite(number := float(text)):
            line = node.start_mark.line + 1
            raise SettingsError(f"{self._name}:{line}: {text} is too large a number")
        return number
