"""``kd-stft``: the paper's decoder, a CNN on spectrograms taught by what sees the images.

Ferrante, Boccato, Toschi, arXiv 2309.07149; docs/decoders.md says what was decided where the paper
is silent. Whether the teacher helps is shown by ``plain-stft``, the same network without one.
"""

from collections.abc import Mapping
from pathlib import Path

from phosphene import Context, Decoder, DecoderConfig, Epochs, TrainingSet, hookimpl
from phosphene_plugins._distillation.settings import DistillationSettings, need
from phosphene_plugins._epochs import check_spectrogram


class KdStftConfig(DistillationSettings, frozen=True):
    """A residual CNN with a teacher. Needs the extra ``torch``; open_clip teachers ``clip``."""

    def check(self, epochs: Epochs) -> None:
        """Raise ``PhospheneError`` unless these are spectrograms."""
        check_spectrogram(epochs, "kd-stft")

    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        """Return the fitted decoder; Ctrl-C returns the best so far."""
        need("torch", "torch", "safetensors")
        from phosphene_plugins._distillation.fitting import fit_network
        from phosphene_plugins._distillation.objectives import distilled

        objective = distilled(self, context)
        return fit_network("kd-stft", self, training_set, context, objective)

    def load(self, folder: Path, context: Context) -> Decoder:
        """Return the decoder that was saved; ``PhospheneError`` if the files do not fit."""
        need("torch", "torch", "safetensors")
        from phosphene_plugins._distillation.decoder import load_decoder

        return load_decoder("kd-stft", folder, context)


@hookimpl
def decoder() -> Mapping[str, type[DecoderConfig]]:
    """Offer ``kd-stft``."""
    return {"kd-stft": KdStftConfig}
