"""``clip-retrieval``: EEG projected to where the images are, so that new classes can be decoded.

The projector and the contrastive loss are those of NICE (Song et al., ICLR 2024) and UBP (Wu et
al., CVPR 2025); a class is decoded by its likeness to the mean of its images, which needs no trial
of it. What was decided besides is in docs/decoders.md.
"""

from collections.abc import Mapping
from pathlib import Path

from phosphene import Context, Decoder, DecoderConfig, Epochs, TrainingSet, hookimpl
from phosphene_plugins._distillation.settings import need
from phosphene_plugins._retrieval.settings import RetrievalSettings
from phosphene_plugins._waveforms import Waveforms


class ClipRetrievalConfig(RetrievalSettings, frozen=True):
    """EEG in a space of images. Needs the extra ``torch``; open_clip features ``clip``."""

    def check(self, epochs: Epochs) -> None:
        """Raise ``PhospheneError`` for spectrograms."""
        Waveforms.check(epochs, "clip-retrieval")

    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        """Return the fitted decoder; Ctrl-C returns the best so far."""
        need("torch", "torch", "safetensors")
        from phosphene_plugins._retrieval.fitting import fit_retrieval

        return fit_retrieval(self, training_set, context)

    def load(self, folder: Path, context: Context) -> Decoder:
        """Return the decoder that was saved; ``PhospheneError`` if the files do not fit."""
        need("torch", "torch", "safetensors")
        from phosphene_plugins._retrieval.decoder import load_retrieval

        return load_retrieval(folder, context)


@hookimpl
def decoder() -> Mapping[str, type[DecoderConfig]]:
    """Offer ``clip-retrieval``."""
    return {"clip-retrieval": ClipRetrievalConfig}
