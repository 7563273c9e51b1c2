"""A lab's own images: a folder with a manifest."""

from collections.abc import Mapping
from pathlib import Path

from phosphene import PhospheneError, StimulusSet, StimulusSetConfig, hookimpl
from phosphene_stimuli.manifest import MANIFEST


class FolderConfig(StimulusSetConfig, frozen=True):
    """Settings of an image set on disk."""

    path: Path
    """The folder that holds ``manifest.tsv``."""
    classes: list[str] | None = None
    """wnids of the classes to use, in this order; all of them by default."""

    def build(self, cache: Path) -> StimulusSet:
        """Return the set; ``PhospheneError`` if there is no manifest or a class is not in it."""
        folder = self.path.expanduser()
        if not (folder / MANIFEST).is_file():
            raise PhospheneError(
                f"{folder} has no {MANIFEST}; for images in one folder by wnid (ImageNet's "
                f"layout) this makes it: python -m phosphene_stimuli.manifest {folder}"
            )
        found = StimulusSet.read(folder)
        return found if self.classes is None else self._reduced(found, self.classes)

    def _reduced(self, found: StimulusSet, wnids: list[str]) -> StimulusSet:
        if unknown := [wnid for wnid in wnids if wnid not in found.classes]:
            raise PhospheneError(
                f"stimuli, classes: {', '.join(unknown)} not in {self.path / MANIFEST}; "
                f"it has {', '.join(found.classes)}"
            )
        return found.only(wnids)


@hookimpl
def stimuli() -> Mapping[str, type[StimulusSetConfig]]:
    """Offer ``folder``."""
    return {"folder": FolderConfig}
