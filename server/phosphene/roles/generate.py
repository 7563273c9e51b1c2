"""Generation: a decoded trial to a picture, filed with everything needed to make it again."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image as PilImage

from phosphene.interfaces import Context, Decoding, Generator, GeneratorConfig, Picture
from phosphene.messages import Decoded, Message, Prepare, Ready, ShowPicture
from phosphene.roles import Outgoing


class Generation:
    """Owns the generator and writes the pictures of the session."""

    idle = True

    def __init__(self, config: GeneratorConfig, context: Context, pictures: Path) -> None:
        self._config = config
        self._context = context
        self._folder = pictures
        self._generator: Generator | None = None
        self._unfiled: list[ShowPicture] = []

    def handle(self, message: Message) -> Outgoing:
        """Warm up at ``Prepare``; answer each decoded trial with a picture."""
        match message:
            case Prepare():
                self._generator = self._config.build(self._context)
                return [("server", Ready("generator"))]
            case Decoded() if self._generator:
                return [("server", self._show(self._generator, message))]
            case _:
                return []

    def poll(self, now: float) -> Outgoing:
        """File what has been sent; the subject does not wait for the disk."""
        while self._unfiled:
            self._file(self._unfiled.pop(0))
        return []

    def close(self) -> None:
        """File what is left."""
        self.poll(0.0)

    def _show(self, generator: Generator, decoded: Decoded) -> ShowPicture:
        onset = decoded.onset
        seed = picture_seed(self._context.seed, onset.seq)
        decoding = Decoding(np.array([decoded.probabilities]))
        picture = generator.generate(decoded.classes, decoding, seed=seed)
        message = ShowPicture(
            onset.phase,  # type: ignore[arg-type]
            onset.run,
            onset.block,
            onset.attempt,
            onset.trial,
            picture.wnid,
            _sha256(picture),
            picture.pixels,
            {"seed": seed, **picture.provenance},
            self._context.clock.now(),
        )
        self._unfiled.append(message)
        return message

    def _file(self, picture: ShowPicture) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        stem = picture_stem(picture)
        PilImage.fromarray(picture.pixels).save(self._folder / f"{stem}.png")
        card = {
            "wnid": picture.wnid,
            "sha256_pixels": picture.sha256,
            "generated": picture.generated,
            **picture.provenance,
        }
        (self._folder / f"{stem}.json").write_bytes(msgspec.json.format(msgspec.json.encode(card)))


def picture_seed(session_seed: int, seq: int) -> int:
    """Return the seed of one picture, 32 bits: different for every trial of every session."""
    return int(np.random.SeedSequence((session_seed, seq)).generate_state(1)[0])


def picture_stem(picture: ShowPicture) -> str:
    """Return the file name, without suffix, of one trial's picture."""
    return (
        f"run-{picture.run:02d}_block-{picture.block:02d}"
        f"_attempt-{picture.attempt:02d}_trial-{picture.trial:03d}"
    )


def _sha256(picture: Picture) -> str:
    return hashlib.sha256(np.ascontiguousarray(picture.pixels).tobytes()).hexdigest()
