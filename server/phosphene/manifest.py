"""The manifest of an image set: what may be shown, in which role, under which licence."""

import re
from pathlib import Path, PurePosixPath
from typing import Literal, NoReturn

import msgspec

from phosphene.errors import PhospheneError

Role = Literal["train", "gallery"]

MANIFEST = "manifest.tsv"
COLUMNS = ("wnid", "name", "role", "file", "sha256", "licence")

_TEXT = re.compile(r"\S(.*\S)?"), "printable text without blanks around it"
_ALLOWED = {
    "wnid": (re.compile(r"n\d{8}"), "n and eight digits, e.g. n02389026"),
    "name": _TEXT,
    "role": (re.compile("train|gallery"), "train, gallery"),
    "file": (
        re.compile(r"(?!\.\.?(/|$))[^/\\:]+(/(?!\.\.?(/|$))[^/\\:]+)*"),
        "a relative path inside the folder, with forward slashes",
    ),
    "sha256": (re.compile("[0-9a-f]{64}"), "64 hexadecimal digits in lower case"),
    "licence": _TEXT,
}


class Image(msgspec.Struct, frozen=True):
    """One row of a manifest."""

    id: str
    """File path relative to the set's folder, with forward slashes; unique in the set."""
    wnid: str
    """WordNet id of the class, e.g. ``n02389026``."""
    role: Role
    """``train`` images are shown as stimuli; ``gallery`` images never are."""
    sha256: str
    licence: str


class Manifest:
    """The rows of ``manifest.tsv`` in a folder, read strictly; the images are not opened.

    Raises ``PhospheneError`` naming file, line, column, what was found and what is allowed.
    """

    def __init__(self, folder: Path) -> None:
        self.classes: dict[str, str] = {}
        """wnid -> human name, in the order of their first rows."""
        self.images: dict[str, Image] = {}
        """By id, in the order of the rows."""
        self._path = folder / MANIFEST
        self._lines: dict[str, int] = {}
        self._contents: dict[str, Image] = {}
        header, *rows = self._text().removesuffix("\n").split("\n")
        if tuple(header.split("\t")) != COLUMNS:
            self._refuse(1, "(header)", repr(header), f"{', '.join(COLUMNS)}, tab separated")
        for line, row in enumerate(rows, start=2):
            self._add(line, row.split("\t"))
        if not self.images:
            raise PhospheneError(f"{self._path} lists no images; at least one row is needed")

    def _text(self) -> str:
        try:
            return self._path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise PhospheneError(f"{self._path} is not UTF-8 text: {error}") from error
        except OSError as error:
            raise PhospheneError(f"cannot read {self._path}: {error.strerror}") from error

    def _add(self, line: int, values: list[str]) -> None:
        if len(values) != len(COLUMNS):
            self._refuse(line, "(all)", f"{len(values)} columns", f"{len(COLUMNS)} columns")
        for column, value in zip(COLUMNS, values, strict=True):
            pattern, allowed = _ALLOWED[column]
            if not (pattern.fullmatch(value) and value.isprintable()):
                self._refuse(line, column, repr(value), allowed)
        wnid, name, role, file, sha256, licence = values
        image = Image(file, wnid, "train" if role == "train" else "gallery", sha256, licence)
        self._check_unique(line, name, image)
        self._check_file(line, file)
        self.classes[wnid] = name
        self.images[file] = self._contents[sha256] = image
        self._lines[file] = line

    def _check_unique(self, line: int, name: str, image: Image) -> None:
        known = self.classes.get(image.wnid, name)
        if name != known:
            self._refuse(line, "name", repr(name), f"{known!r}, as above for {image.wnid}")
        if image.id in self.images:
            where = self._lines[image.id]
            self._refuse(line, "file", repr(image.id), f"each file once; line {where} lists it too")
        # One picture under two names would leak from training into testing, or from the
        # gallery onto the screen.
        if same := self._contents.get(image.sha256):
            first = f"line {self._lines[same.id]} lists it as {same.role} {same.id}"
            self._refuse(line, "sha256", image.sha256, f"each picture once, in one role; {first}")

    def _check_file(self, line: int, file: str) -> None:
        folder = self._path.parent
        parts = PurePosixPath(file)
        for part in [*parts.parents, parts]:
            if str(part) != "." and (folder / part).is_symlink():
                self._refuse(
                    line, "file", f"{str(part)!r}, a symbolic link", "real files and folders"
                )
        if not (folder / file).is_file():
            self._refuse(line, "file", f"no file {file!r}", f"a file in {folder}")

    def _refuse(self, line: int, column: str, found: str, allowed: str) -> NoReturn:
        raise PhospheneError(
            f"{self._path}, line {line}, column {column}: found {found}; allowed: {allowed}"
        )
