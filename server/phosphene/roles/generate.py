"""Generation: decodings to pictures, filed with everything needed to make them again."""

import hashlib
import sys
from collections import deque
from pathlib import Path
from traceback import print_exc

import msgspec
import numpy as np
from PIL import Image as PilImage

from phosphene.errors import PhospheneError
from phosphene.interfaces import Context, Decoding, Generator, GeneratorConfig, Picture
from phosphene.messages import (
    DropPicture,
    MakePicture,
    Message,
    PictureFailed,
    PictureMade,
    Prepare,
    Ready,
)
from phosphene.roles import Outgoing
from phosphene.screen import is_picture

MAX_BYTES = 15 * 1024 * 1024
"""Of a picture: more does not fit into a message (16 MiB, reliability.md, section 6.3)."""


class Generation:
    """Owns the generator; makes what a subject waits for first, the newest of it only.

    Pictures are written into the folder ``pictures``; into none if it is None.
    """

    idle = True

    def __init__(self, config: GeneratorConfig, context: Context, pictures: Path | None) -> None:
        self._config = config
        self._context = context
        self._folder = pictures
        self._generator: Generator | None = None
        self._asked: deque[MakePicture] = deque()
        self._unfiled: list[PictureMade] = []

    def handle(self, message: Message) -> Outgoing:
        """Warm up at ``Prepare``; take orders; file what another generator made."""
        match message:
            case Prepare():
                self._generator = self._config.build(self._context)
                return [("server", Ready("generator"))]
            case MakePicture(urgent=True):
                return self._supersede(message)
            case MakePicture():
                self._asked.append(message)
            case DropPicture(id=picture):
                self._asked = deque(order for order in self._asked if order.id != picture)
            case PictureMade():
                self._unfiled.append(message)
            case _:
                pass
        return []

    def poll(self, now: float) -> Outgoing:
        """File one picture, or make one; for the disk no subject waits."""
        waits = self._asked and self._asked[0].urgent
        if self._unfiled and not waits:
            self._file(self._unfiled.pop(0))
        elif self._generator and self._asked:
            return [("server", self._make(self._generator, self._asked.popleft()))]
        return []

    def close(self) -> None:
        """File what is left."""
        while self._unfiled:
            self._file(self._unfiled.pop(0))

    def _supersede(self, order: MakePicture) -> Outgoing:
        """Put an urgent order first; the trials of earlier ones are over."""
        late = [earlier for earlier in self._asked if earlier.urgent]
        self._asked = deque([order, *(earlier for earlier in self._asked if not earlier.urgent)])
        return [("server", PictureFailed(each.id, "a newer trial waits")) for each in late]

    def _make(self, generator: Generator, order: MakePicture) -> Message:
        started = self._context.clock.now()
        try:
            picture = generator.generate(order.classes, _decoding(order), seed=order.seed)
            _check(picture)
        except PhospheneError as error:
            return PictureFailed(order.id, str(error))
        except Exception as error:  # Whatever a plugin raises costs one picture, not the session.
            print_exc(file=sys.stderr)
            return PictureFailed(order.id, f"{type(error).__name__}: {error}")
        made = PictureMade(
            order.id,
            picture.wnid,
            _sha256(picture),
            picture.pixels,
            {"seed": order.seed, **picture.provenance},
            started,
            self._context.clock.now(),
        )
        if self._folder:
            self._unfiled.append(made)
        return made

    def _file(self, picture: PictureMade) -> None:
        if self._folder:
            file_picture(self._folder, picture)


def file_picture(folder: Path, picture: PictureMade) -> None:
    """Write a picture as PNG, and beside it a JSON card of how it came to be."""
    folder.mkdir(parents=True, exist_ok=True)
    PilImage.fromarray(picture.pixels).save(folder / f"{picture.id}.png")
    card = {
        "wnid": picture.wnid,
        "sha256_pixels": picture.sha256,
        "started": picture.started,
        "generated": picture.generated,
        **picture.provenance,
    }
    (folder / f"{picture.id}.json").write_bytes(msgspec.json.format(msgspec.json.encode(card)))


def _decoding(order: MakePicture) -> Decoding:
    embedding = np.array([order.embedding]) if order.embedding else None
    return Decoding(np.array([order.probabilities]), embedding, order.space)


def _check(picture: Picture) -> None:
    if not is_picture(picture.pixels):
        found = f"{picture.pixels.dtype}, shape {picture.pixels.shape}"
        raise PhospheneError(f"expected a picture of (height, width, 3) uint8, found {found}")
    if picture.pixels.nbytes > MAX_BYTES:
        raise PhospheneError(
            f"the picture has {picture.pixels.nbytes} bytes; allowed: {MAX_BYTES}; "
            "let the generator make smaller ones"
        )


def _sha256(picture: Picture) -> str:
    return hashlib.sha256(np.ascontiguousarray(picture.pixels).tobytes()).hexdigest()
