"""Writes the manifest of a folder of images: ``python -m phosphene_stimuli.manifest FOLDER``."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from phosphene import PhospheneError
from phosphene_stimuli.classes import paper_classes

MANIFEST = "manifest.tsv"
SUFFIXES = (".jpeg", ".jpg", ".png")
UNKNOWN = "unknown: do not redistribute"

Row = tuple[str, str, str, str, str, str]
"""wnid, name, role, file, sha256, licence."""


def write_manifest(
    folder: Path,
    gallery: int = 5,
    licence: str = UNKNOWN,
    names: Mapping[str, str] | None = None,
) -> Path:
    """Return the manifest written for ``folder``, which holds one folder of images by wnid.

    That is ImageNet's layout: ``n02389026/n02389026_1.JPEG``. The last ``gallery`` images of each
    class, sorted by name, are never shown as stimuli. ``names`` (wnid -> human name) adds to
    the names of the paper's classes. Raises ``PhospheneError`` if a name or images are missing or
    a manifest exists.
    """
    if (folder / MANIFEST).exists():
        raise PhospheneError(f"{folder / MANIFEST} exists; remove it to make a new one")
    known = {**paper_classes(), **(names or {})}
    rows: list[Row] = []
    for wnid in _wnids(folder, known):
        files = _images(folder / wnid, gallery)
        for number, file in enumerate(files):
            role = "train" if number < len(files) - gallery else "gallery"
            rows.append(
                (wnid, known[wnid], role, f"{wnid}/{file.name}", sha256(file.read_bytes()), licence)
            )
    return save_manifest(folder, rows)


def save_manifest(folder: Path, rows: Iterable[Row]) -> Path:
    """Return the manifest of ``folder`` after writing it in one step."""
    table = [("wnid", "name", "role", "file", "sha256", "licence"), *rows]
    text = "".join("\t".join(row) + "\n" for row in table)
    unfinished = folder / f"{MANIFEST}.{os.getpid()}"
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    return unfinished.replace(folder / MANIFEST)


def read_names(file: Path) -> dict[str, str]:
    """Return wnid -> human name from lines of ``wnid<TAB>name``."""
    names = {}
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        wnid, tab, name = line.partition("\t")
        if not (tab and name.strip()):
            raise PhospheneError(
                f"{file}, line {number}: found {line!r}; allowed: a wnid, a tab and a name"
            )
        names[wnid] = name.strip()
    return names


def sha256(content: bytes) -> str:
    """Return the SHA-256 of a file's content as a manifest writes it."""
    return hashlib.sha256(content).hexdigest()


def _wnids(folder: Path, names: Mapping[str, str]) -> list[str]:
    if not folder.is_dir():
        raise PhospheneError(f"no folder {folder}")
    wnids = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if not wnids:
        raise PhospheneError(f"{folder} has no folders; one for each class is needed: n02389026/")
    if unnamed := [wnid for wnid in wnids if wnid not in names]:
        raise PhospheneError(
            f"no human names known for {', '.join(unnamed)} in {folder}; "
            "give a file with lines of wnid, tab, name: --names FILE"
        )
    return wnids


def _images(folder: Path, gallery: int) -> list[Path]:
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if len(images) <= gallery:
        raise PhospheneError(
            f"{folder} holds {len(images)} images ({', '.join(SUFFIXES)}); "
            f"more than {gallery} are needed: {gallery} for the gallery, the others to be shown"
        )
    return images


def main() -> None:
    """Run the command line."""
    import typer
    from rich.console import Console

    def make(
        folder: Annotated[Path, typer.Argument(help="Holds one folder of images by wnid.")],
        gallery: Annotated[int, typer.Option(min=0, help="Images by class never shown.")] = 5,
        licence: Annotated[str, typer.Option(help="Licence of the images.")] = UNKNOWN,
        names: Annotated[
            Path | None, typer.Option(exists=True, help="Lines of wnid, tab, human name.")
        ] = None,
    ) -> None:
        """Write FOLDER/manifest.tsv, so that a session can show the images."""
        try:
            written = write_manifest(folder, gallery, licence, read_names(names) if names else {})
        except PhospheneError as error:
            Console(stderr=True).print(str(error), style="red")
            raise typer.Exit(1) from error
        Console().print(f"wrote {written}")

    typer.run(make)


if __name__ == "__main__":
    main()
