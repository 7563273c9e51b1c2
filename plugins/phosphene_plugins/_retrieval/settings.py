"""What a session file can set for ``clip-retrieval``; imported at discovery."""

from typing import Literal

from phosphene_plugins._distillation.settings import (
    ImageFeatures,
    TrainingSettings,
    at_least,
    between,
)


class RetrievalSettings(TrainingSettings, frozen=True):
    """The projection from EEG to image features, its training, and what it decodes."""

    features: Literal["descriptor"] | ImageFeatures = "descriptor"
    """The space that the EEG is projected to; ``descriptor`` is built in and needs no weights."""
    classes: Literal["trained", "all"] = "trained"
    """Which classes have probabilities: those of the training trials, or the whole image set's."""
    zero_shot: float = 0.2
    """Share of the classes kept out of a second fit, to see how well new ones are decoded; 0
    leaves that out, and halves the time."""
    components: int = 40
    """Spatial filters, as in NICE (Song et al. 2024)."""
    dropout: float = 0.7
    epochs: int = 60
    patience: int = 15
    batch_size: int = 128
    """A trial is compared with the images of its batch."""
    learning_rate: float = 5e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        between("zero_shot", self.zero_shot, 0, 0.5)
        at_least("components", self.components, 1)
        between("dropout", self.dropout, 0, 0.95)
