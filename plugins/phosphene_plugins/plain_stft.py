"""``plain-stft``: the network of ``kd-stft`` on labels alone, which distillation must beat."""

from collections.abc import Mapping
from pathlib import Path

from phosphene import Context, Decoder, DecoderConfig, Epochs, TrainingSet, hookimpl
from phosphene_plugins._distillation.settings import NetworkSettings, between, need
from phosphene_plugins._epochs import check_spectrogram


class PlainStftConfig(NetworkSettings, frozen=True):
    """A residual CNN on labels. Needs the extra ``torch``."""

    label_smoothing: float = 0.0
    """Probability that is spread over all classes; 0.1 is the usual control of distillation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        between("label_smoothing", self.label_smoothing, 0, 0.9)

    def check(self, epochs: Epochs) -> None:
        """Raise ``PhospheneError`` unless these are spectrograms."""
        check_spectrogram(epochs, "plain-stft")

    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        """Return the fitted decoder; Ctrl-C returns the best so far."""
        need("torch", "torch", "safetensors")
        from phosphene_plugins._distillation.fitting import fit_network
        from phosphene_plugins._distillation.objectives import labels_alone

        objective = labels_alone(self.label_smoothing)
        return fit_network("plain-stft", self, training_set, context, objective)

    def load(self, folder: Path, context: Context) -> Decoder:
        """Return the decoder that was saved; ``PhospheneError`` if the files do not fit."""
        need("torch", "torch", "safetensors")
        from phosphene_plugins._distillation.decoder import load_decoder

        return load_decoder("plain-stft", folder, context)


@hookimpl
def decoder() -> Mapping[str, type[DecoderConfig]]:
    """Offer ``plain-stft``."""
    return {"plain-stft": PlainStftConfig}
