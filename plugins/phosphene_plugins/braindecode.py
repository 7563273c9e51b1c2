"""``braindecode``: any classifier of braindecode on waveforms, e.g. EEGNet or ShallowFBCSPNet.

These are the networks that readers of the field know (Schirrmeister et al. 2017; Lawhern et al.
2018). They are trained here from random weights, by the same loop as ``kd-stft``, so that the two
can be compared; nothing is ever downloaded.
"""

from collections.abc import Mapping
from pathlib import Path

from phosphene import Context, Decoder, DecoderConfig, Epochs, TrainingSet, hookimpl
from phosphene_plugins._braindecode.settings import BraindecodeSettings
from phosphene_plugins._distillation.settings import need
from phosphene_plugins._waveforms import Waveforms

LIBRARIES = ("braindecode", "torch", "torchaudio", "safetensors")


class BraindecodeConfig(BraindecodeSettings, frozen=True, kw_only=True):
    """A network on waveforms. Needs the extra ``braindecode``."""

    def check(self, epochs: Epochs) -> None:
        """Raise ``PhospheneError`` for spectrograms."""
        Waveforms.check(epochs, "braindecode")

    def fit(self, training_set: TrainingSet, context: Context) -> Decoder:
        """Return the fitted decoder; Ctrl-C returns the best so far."""
        need("braindecode", *LIBRARIES)
        from phosphene_plugins._braindecode.fitting import fit_model

        return fit_model(self, training_set, context)

    def load(self, folder: Path, context: Context) -> Decoder:
        """Return the decoder that was saved; ``PhospheneError`` if the files do not fit."""
        need("braindecode", *LIBRARIES)
        from phosphene_plugins._braindecode.fitting import load_model

        return load_model(folder, context)


@hookimpl
def decoder() -> Mapping[str, type[DecoderConfig]]:
    """Offer ``braindecode``."""
    return {"braindecode": BraindecodeConfig}
