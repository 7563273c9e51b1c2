"""What a session file can set for a model of braindecode; imported at discovery."""

import msgspec

from phosphene_plugins._braindecode.names import check_names
from phosphene_plugins._distillation.settings import TrainingSettings, between

Setting = bool | int | float | str | list[int | float] | None


class BraindecodeSettings(TrainingSettings, frozen=True, kw_only=True):
    """A model of braindecode and its training."""

    model: str
    """As ``braindecode.models`` names it, e.g. ``EEGNet``."""
    settings: dict[str, Setting] = msgspec.field(default_factory=dict)
    """Keyword arguments of the model, e.g. ``F1: 8``."""
    label_smoothing: float = 0.0
    """Probability that is spread over all classes."""
    epochs: int = 40
    patience: int = 15
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        between("label_smoothing", self.label_smoothing, 0, 0.9)
        check_names(self.model, self.settings)
