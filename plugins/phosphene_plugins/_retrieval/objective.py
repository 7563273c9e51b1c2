"""What one fit aims at: trials beside their own images, in the space of the image features."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from phosphene import StimulusSet
from phosphene_plugins._distillation.fitting import Fitting
from phosphene_plugins._distillation.soft_labels import of_trials
from phosphene_plugins._distillation.training import Loss
from phosphene_plugins._retrieval.gallery import Array, Gallery, images_of
from phosphene_plugins._retrieval.inputs import n_bins
from phosphene_plugins._retrieval.network import Projector, Retrieval, contrastive_loss
from phosphene_plugins._retrieval.settings import RetrievalSettings


@dataclass
class Alignment:
    """Loss and network of one fit; ``learn`` asks for the loss first."""

    gallery: Gallery
    settings: RetrievalSettings
    stimuli: StimulusSet
    trained: Sequence[str]
    """Classes of the training trials."""
    shown: dict[str, str] = field(default_factory=dict)
    """Class by training image; those held out for validation are not among them."""

    @property
    def images(self) -> list[str]:
        """The training images."""
        return list(self.shown)

    @property
    def centre(self) -> Array:
        """Mean feature of the training images."""
        return self.gallery.centre(self.images)

    def objective(self, fitting: Fitting) -> tuple[Loss, None]:
        """Return the contrastive loss of the training trials."""
        self.shown = dict(sorted((trial.image, trial.wnid) for trial in fitting.trials))
        directions = self.gallery.directions(self.images, self.centre)
        numbers = [self.trained.index(wnid) for wnid in self.shown.values()]
        rows = of_trials(self.images, [trial.image for trial in fitting.trials])
        images, classes, row_of = (
            tensor.to(fitting.device)
            for tensor in (to_tensor(directions), torch.tensor(numbers), torch.from_numpy(rows))
        )

        def loss(scaled: Tensor, batch: Tensor) -> Tensor:
            return contrastive_loss(scaled, images, classes, row_of[batch])

        return loss, None

    def build(self, shape: tuple[int, ...], _n_classes: int) -> Retrieval:
        """Return the untrained network, with prototypes of the trained classes."""
        prototypes, centre = to_tensor(self.prototypes(self.trained)), to_tensor(self.centre)
        projector = Projector(
            shape[0], n_bins(shape[1]), self.settings.components, len(centre), self.settings.dropout
        )
        return Retrieval(projector, prototypes, centre)

    def prototypes(self, wnids: Sequence[str]) -> Array:
        """Return prototypes, from the training images of a class or, if it has none, from all."""
        training = defaultdict(list)
        for image, wnid in self.shown.items():
            training[wnid].append(image)
        groups = [training.get(wnid) or images_of(self.stimuli, wnid) for wnid in wnids]
        return self.gallery.prototypes(groups, self.centre)


def to_tensor(values: Array) -> Tensor:
    """Return values in single precision."""
    return torch.from_numpy(values.astype(np.float32))
