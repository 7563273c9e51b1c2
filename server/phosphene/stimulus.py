"""Image sets: what can be shown, keyed by wnid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec

Role = Literal["train", "gallery"]


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


@dataclass(frozen=True)
class StimulusSet:
    """The images of an experiment and the human names of their classes."""

    root: Path
    classes: Mapping[str, str]
    """wnid -> human name, in the set's order."""
    images: tuple[Image, ...]

    def __getitem__(self, image_id: str) -> Image:
        return self._by_id[image_id]

    def path(self, image_id: str) -> Path:
        """Return the file of an image."""
        return self.root / image_id

    def of(self, wnid: str, role: Role) -> tuple[Image, ...]:
        """Return the images of one class in one role, in the manifest's order."""
        return self._grouped.get((wnid, role), ())

    def only(self, wnids: Iterable[str]) -> "StimulusSet":
        """Return the set reduced to some classes, in the order asked for."""
        classes = {wnid: self.classes[wnid] for wnid in wnids}
        images = tuple(image for image in self.images if image.wnid in classes)
        return StimulusSet(self.root, classes, images)

    @cached_property
    def _by_id(self) -> dict[str, Image]:
        return {image.id: image for image in self.images}

    @cached_property
    def _grouped(self) -> dict[tuple[str, Role], tuple[Image, ...]]:
        groups: dict[tuple[str, Role], list[Image]] = {}
        for image in self.images:
            groups.setdefault((image.wnid, image.role), []).append(image)
        return {key: tuple(images) for key, images in groups.items()}
