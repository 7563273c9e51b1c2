"""The images of a recording made elsewhere: their names, and their files if somebody has them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from phosphene import PhospheneError, StimulusSet, StimulusSetConfig, hookimpl
from phosphene_stimuli.classes import paper_classes
from phosphene_stimuli.manifest import sha256

HEADER = "image\twnid"


class ListedConfig(StimulusSetConfig, frozen=True):
    """Names of images; whoever needs to see one needs its file."""

    file: Path
    """A table of ``image`` and ``wnid``, tab separated."""
    folder: Path | None = None
    """Where the images are, by the names of the table; they stay there, and nothing is written."""

    def build(self, cache: Path) -> StimulusSet:
        """Return the set; ``PhospheneError`` if the table or, of a given folder, an image lacks."""
        root = self.folder.expanduser() if self.folder else self.file.parent
        rows = list(self._rows())
        if self.folder:
            self._check(root, [name for name, _ in rows])
        names = paper_classes()
        images = [(name, wnid, self._hash(root / name)) for name, wnid in rows]
        return StimulusSet.of_names(root, {w: names.get(w, w) for _, w in rows}, images)

    def _rows(self) -> Iterator[tuple[str, str]]:
        try:
            header, *lines = self.file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise PhospheneError(f"{self.file}: cannot be read: {error}") from None
        if header != HEADER:
            raise PhospheneError(f"{self.file}, line 1: expected {HEADER!r}; found {header!r}")
        for number, line in enumerate(lines, start=2):
            name, tab, wnid = line.partition("\t")
            if not (name and tab and wnid):
                raise PhospheneError(f"{self.file}, line {number}: found {line!r}")
            yield name, wnid

    def _check(self, root: Path, names: list[str]) -> None:
        missing = [name for name in names if not (root / name).is_file()]
        if missing:
            raise PhospheneError(
                f"folder: {root} lacks {len(missing)} of {len(names)} images, e.g. {missing[0]}; "
                "it must hold a folder for each class, as ImageNet does"
            )

    def _hash(self, path: Path) -> str:
        return sha256(path.read_bytes()) if self.folder else ""


@hookimpl
def stimuli() -> Mapping[str, type[StimulusSetConfig]]:
    """Offer ``listed``."""
    return {"listed": ListedConfig}
