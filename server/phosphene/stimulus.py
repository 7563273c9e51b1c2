"""Image sets: what can be shown, keyed by wnid, checked before anybody looks at it."""

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Self

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from phosphene.descriptor import LENGTH, describe
from phosphene.errors import PhospheneError
from phosphene.manifest import Image, Manifest, Role

__all__ = ["Image", "Role", "StimulusSet"]

FORMATS = ("BMP", "JPEG", "PNG", "WEBP")
MAX_PIXELS = 40_000_000
MAX_BYTES = 100_000_000


@dataclass(frozen=True)
class StimulusSet:
    """The images of an experiment and the human names of their classes."""

    root: Path
    classes: Mapping[str, str]
    """wnid -> human name, in the set's order."""
    images: tuple[Image, ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the set that ``manifest.tsv`` in ``folder`` lists; the images are not opened.

        Raises ``PhospheneError`` naming file, line, column, what was found and what is allowed.
        """
        manifest = Manifest(folder)
        return cls(folder, manifest.classes, tuple(manifest.images.values()))

    @classmethod
    def of_names(
        cls, root: Path, classes: Mapping[str, str], images: Iterable[tuple[str, str, str]]
    ) -> Self:
        """Return a set whose files may be elsewhere: what was shown in somebody's recording.

        An image is id, wnid and SHA-256, the latter "" if nobody has the file.
        """
        licence = "unknown: do not redistribute"
        every = (Image(name, wnid, "train", sha256, licence) for name, wnid, sha256 in images)
        return cls(root, classes, tuple(every))

    def verify(self) -> None:
        """Decode and hash every file; one ``PhospheneError`` lists all that cannot be shown."""
        faults = [f"  {image.id}: {text}" for image in self.images if (text := self._fault(image))]
        if faults:
            count = f"{len(faults)} of {len(self.images)} images in {self.root} cannot be shown"
            raise PhospheneError("\n".join([count + ":", *faults]))

    def pixels(self, image_id: str) -> NDArray[np.uint8]:
        """Return an image as sRGB, shape (height, width, 3).

        Raises ``PhospheneError`` if it cannot be decoded.
        """
        path = self.path(image_id)
        try:
            return _decode(_content(path))
        except (OSError, ValueError) as error:
            raise PhospheneError(f"cannot show {path}: {error}") from error

    def features(self, image_ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the built-in descriptor of images: see ``describe``."""
        return self.describe([self.pixels(image_id) for image_id in image_ids])

    @staticmethod
    def describe(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the built-in image descriptor, shape (n_images, 240), rows of unit length.

        An image is (height, width, 3), sRGB. What is measured is described in
        ``phosphene.descriptor``.
        """
        return np.array([describe(each) for each in images], np.float32).reshape(-1, LENGTH)

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

    def _fault(self, image: Image) -> str:
        """Return why an image cannot be shown, or nothing."""
        try:
            content = _content(self.path(image.id))
            if hashlib.sha256(content).hexdigest() != image.sha256:
                return "the file has changed: its sha256 is not the manifest's"
            _decode(content)
        except (OSError, ValueError) as error:
            return str(error)
        return ""

    @cached_property
    def _by_id(self) -> dict[str, Image]:
        return {image.id: image for image in self.images}

    @cached_property
    def _grouped(self) -> dict[tuple[str, Role], tuple[Image, ...]]:
        groups: dict[tuple[str, Role], list[Image]] = {}
        for image in self.images:
            groups.setdefault((image.wnid, image.role), []).append(image)
        return {key: tuple(images) for key, images in groups.items()}


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    if not 0 < size <= MAX_BYTES:
        raise ValueError(f"found {size} bytes; allowed: 1 to {MAX_BYTES}")
    return path.read_bytes()


def _decode(content: bytes) -> NDArray[np.uint8]:
    """Return (height, width, 3) sRGB; ``ValueError`` says why not."""
    try:
        return _rgb(content)
    except PIL.UnidentifiedImageError as error:
        raise ValueError(f"it is no {', '.join(FORMATS)} file") from error
    except Exception as error:  # A damaged file makes decoders raise almost anything.
        raise ValueError(f"it cannot be decoded: {error}") from error


def _rgb(content: bytes) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        # Our own limit speaks first.
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        image = PIL.Image.open(BytesIO(content), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"found {image.width} x {image.height} pixels; allowed: {MAX_PIXELS}")
    return np.asarray(PIL.ImageOps.exif_transpose(image).convert("RGB"))
