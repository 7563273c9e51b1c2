"""A fitted projector: decodes classes by their likeness to images, and tells where it looks."""

from dataclasses import replace
from pathlib import Path

import msgspec
import torch

from phosphene import Context, Decoding, Epochs, PhospheneError
from phosphene_plugins._distillation.decoder import (
    Card,
    NetworkDecoder,
    numbers,
    read,
    to_device,
)
from phosphene_plugins._distillation.inputs import Inputs
from phosphene_plugins._distillation.training import find_device, predict, use_threads
from phosphene_plugins._retrieval.gallery import Array, unit
from phosphene_plugins._retrieval.inputs import Whitened, n_bins
from phosphene_plugins._retrieval.network import Projector, Retrieval
from phosphene_plugins._retrieval.zero_shot import ZeroShot

NAME = "clip-retrieval"


class RetrievalCard(Card, frozen=True, kw_only=True):
    """The card of ``clip-retrieval``."""

    shape: tuple[int, int]
    """Channels and samples of an epoch."""
    sfreq: float
    """In Hz."""
    trained: tuple[str, ...]
    """Those of ``classes`` that the training trials showed."""
    features: str
    """Name of the image features; ``built-in descriptor`` is no deep network."""
    length: float
    """Of an embedding: the mean of the image features."""
    radius: float
    """Mean distance of training images from their mean, in features of unit length."""
    components: int
    n_dimensions: int
    zero_shot: ZeroShot | None = None

    def metrics(self) -> dict[str, float]:
        """Return what was measured, the zero-shot figure included."""
        found = self.zero_shot
        if found is None:
            return super().metrics()
        return super().metrics() | numbers(
            zero_shot_accuracy=found.accuracy,
            zero_shot_chance=found.chance,
            zero_shot_p=found.p,
            zero_shot_classes=len(found.classes),
            zero_shot_trials=found.n_trials,
        )


class RetrievalDecoder(NetworkDecoder):
    """A fitted projector and the prototypes of its classes."""

    card: RetrievalCard

    def __init__(
        self, card: RetrievalCard, inputs: Inputs, network: Retrieval, device: torch.device
    ) -> None:
        super().__init__(card, inputs, network, device)
        self._projector = network.projector
        self._centre = network.centre.cpu().double().numpy()

    def decode(self, epochs: Epochs) -> Decoding:
        """Return calibrated probabilities and the embedding, in the space of image features.

        The embedding lies in the predicted direction from the mean of the training images, as far
        from it as they do on average; it has the mean length of their features. Raises
        ``PhospheneError`` for epochs of another kind.
        """
        if epochs.spec.sfreq != self.card.sfreq:
            raise PhospheneError(
                f"{NAME} was trained at {self.card.sfreq:g} Hz; found {epochs.spec.sfreq:g} Hz"
            )
        decoding = super().decode(epochs)
        return replace(decoding, embedding=self._embedding(epochs), space=self.card.features)

    def report(self, figure: ZeroShot) -> None:
        """Add the zero-shot figure to card and metrics."""
        self.card = msgspec.structs.replace(self.card, zero_shot=figure)
        self.metrics = self.card.metrics()

    def _embedding(self, epochs: Epochs) -> Array:
        inputs = to_device(self._scaler(epochs.data), self._device)
        with use_threads(1):
            directions = predict(self._projector, inputs)
        return self.card.length * unit(self._centre + self.card.radius * directions)


def load_retrieval(folder: Path, context: Context) -> RetrievalDecoder:
    """Return the decoder that was saved; ``PhospheneError`` if the files do not fit."""
    saved = read(NAME, folder, RetrievalCard, Whitened)
    card = saved.card
    projector = Projector(
        card.shape[0], n_bins(card.shape[1]), card.components, card.n_dimensions, 0.0
    )
    prototypes = torch.zeros(len(card.classes), card.n_dimensions)
    network = Retrieval(projector, prototypes, torch.zeros(card.n_dimensions))
    saved.restore(network)
    return RetrievalDecoder(card, saved.inputs, network, find_device(context.device))
