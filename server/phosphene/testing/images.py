"""A small image set that no plugin has seen: four classes of striped pictures."""

from functools import cache
from hashlib import sha256
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from phosphene.manifest import COLUMNS, MANIFEST
from phosphene.stimulus import StimulusSet
from phosphene.testing.workplace import new_folder

CLASSES = {"n00000003": "third", "n00000001": "first", "n00000004": "fourth", "n00000002": "second"}
"""wnid -> name; not sorted, so that it matters what a plugin takes for their order."""
TRAIN, GALLERY = 50, 3
"""Images by class: enough for a paradigm that shows the paper's 50."""
SIZE = 32
"""Side of an image in pixels."""


@cache
def stimuli() -> StimulusSet:
    """Return the set, drawn once in each process."""
    folder = new_folder()
    rows = ["\t".join(COLUMNS)]
    for number, (wnid, name) in enumerate(CLASSES.items()):
        (folder / wnid).mkdir()
        for index in range(TRAIN + GALLERY):
            role = "train" if index < TRAIN else "gallery"
            content = _png(_stripes(number, index))
            file = f"{wnid}/{index:02}.png"
            (folder / file).write_bytes(content)
            rows.append("\t".join([wnid, name, role, file, sha256(content).hexdigest(), "CC0-1.0"]))
    (folder / MANIFEST).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return StimulusSet.read(folder)


def _stripes(number: int, index: int) -> NDArray[np.uint8]:
    """Return a picture whose colour and direction tell the class, with noise of its own."""
    rng = np.random.default_rng((number, index))
    along = np.arange(SIZE) * np.cos(number) + np.arange(SIZE)[:, None] * np.sin(number)
    waves = 0.5 + 0.3 * np.sin(along[..., None] + rng.uniform(0, 6.3))
    colour = np.where(np.arange(3) == number, 1.0, 0.4)
    noise = rng.normal(0, 0.05, (SIZE, SIZE, 3))
    return np.asarray(np.clip(255 * (waves * colour + noise), 0, 255), np.uint8)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    PilImage.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
