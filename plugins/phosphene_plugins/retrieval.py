"""``retrieval``: a gallery image of the likeliest class. Honest, instant, and needs no GPU."""

from collections.abc import Mapping, Sequence

import numpy as np

from phosphene import (
    Context,
    Decoding,
    Generator,
    GeneratorConfig,
    PhospheneError,
    Picture,
    StimulusSet,
    hookimpl,
)


class RetrievalConfig(GeneratorConfig, frozen=True):
    """Show an image of the decoded class that is never shown as a stimulus."""

    uses = "class"

    def build(self, context: Context) -> Generator:
        """Return the generator; ``PhospheneError`` names classes without a gallery image."""
        return Retrieval(context.stimuli)


@hookimpl
def generator() -> Mapping[str, type[GeneratorConfig]]:
    """Offer ``retrieval``."""
    return {"retrieval": RetrievalConfig}


class Retrieval:
    """Chooses among the gallery images of a class by seed."""

    def __init__(self, stimuli: StimulusSet) -> None:
        lacking = [
            name for wnid, name in stimuli.classes.items() if not stimuli.of(wnid, "gallery")
        ]
        if lacking:
            raise PhospheneError(f"retrieval: no gallery image for {', '.join(lacking)}")
        self._stimuli = stimuli

    def generate(self, classes: Sequence[str], decoding: Decoding, *, seed: int) -> Picture:
        """Return an image of the likeliest class, chosen by ``seed``."""
        wnid = classes[int(np.argmax(decoding.probabilities[0]))]
        gallery = self._stimuli.of(wnid, "gallery")
        if not gallery:
            raise PhospheneError(f"retrieval: the image set has no class {wnid}")
        image = gallery[seed % len(gallery)]
        provenance = {"generator": "retrieval", "image": image.id, "sha256": image.sha256}
        return Picture(self._stimuli.pixels(image.id), wnid, provenance)
