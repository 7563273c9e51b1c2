"""A free stand-in for the paper's images: drawn by code, so that nothing has to be downloaded."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from phosphene import StimulusSet, StimulusSetConfig, hookimpl
from phosphene_stimuli.classes import paper_classes
from phosphene_stimuli.drawing import draw
from phosphene_stimuli.manifest import Row, save_manifest, sha256
from phosphene_stimuli.pictograms import pictograms

VERSION = 1
"""Changes when the same settings give other images."""
LICENCE = "CC0-1.0"


class StandinConfig(StimulusSetConfig, frozen=True):
    """Settings of the stand-in set."""

    classes: int = 40
    """How many of the paper's classes, from the first."""
    images: int = 50
    """Images by class that are shown."""
    gallery: int = 5
    """Further images by class that are never shown."""
    size: int = 128
    """Side of an image in pixels."""

    def __post_init__(self) -> None:
        _check("classes", self.classes, 1, len(paper_classes()))
        _check("images", self.images, 1, 1000)
        _check("gallery", self.gallery, 1, 1000)
        _check("size", self.size, 32, 1024)

    def build(self, cache: Path) -> StimulusSet:
        """Return the set; it is drawn on first use and kept in ``cache``."""
        settings = msgspec.json.encode((VERSION, self))
        folder = cache / f"standin-{hashlib.sha256(settings).hexdigest()[:12]}"
        if not folder.exists():
            self._draw_once(folder)
        return StimulusSet.read(folder)

    def _draw_once(self, folder: Path) -> None:
        """Make the folder in one step: another process may be doing the same."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
        try:
            save_manifest(unfinished, self._draw_all(unfinished))
            unfinished.rename(folder)
        except OSError:
            if not folder.exists():
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _draw_all(self, folder: Path) -> Iterator[Row]:
        for wnid, name in islice(paper_classes().items(), self.classes):
            (folder / wnid).mkdir()
            for role, count in ("train", self.images), ("gallery", self.gallery):
                for number in range(count):
                    file = f"{wnid}/{role}-{number + 1:03}.jpg"
                    content = standin_image(wnid, role, number, self.size)
                    (folder / file).write_bytes(content)
                    yield wnid, name, role, file, sha256(content), LICENCE


def standin_image(wnid: str, role: str, number: int, size: int) -> bytes:
    """Return a JPEG of one class; the same for the same arguments."""
    rng = np.random.default_rng((int(wnid[1:]), role == "gallery", number))
    buffer = BytesIO()
    draw(pictograms()[wnid], rng, size).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def _check(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{field}: found {value}; allowed: {low} to {high}")


@hookimpl
def stimuli() -> Mapping[str, type[StimulusSetConfig]]:
    """Offer ``standin``."""
    return {"standin": StandinConfig}
