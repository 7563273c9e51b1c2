"""The network: from an epoch to a direction in the space of image features."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

FIRST_SCALE = math.log(1 / 0.07)
LARGEST_SCALE = math.log(100)
"""CLIP's (Radford et al. 2021, section 2.5)."""
NEVER = -1e4
"""A similarity that no softmax sees; infinity would make NaN of targets of 0."""


class Projector(nn.Module):
    """Spatial filters, a linear map and a residual block; what comes out has length 1.

    Map and block are NICE's projector (Song et al., ICLR 2024) and nearly all of UBP's (Wu et al.,
    CVPR 2025): mostly linear, as a few hundred trials carry no more.
    """

    def __init__(
        self, n_channels: int, n_bins: int, components: int, n_dimensions: int, dropout: float
    ) -> None:
        super().__init__()
        self.spatial = nn.Conv1d(n_channels, components, 1)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(components * n_bins, n_dimensions)
        self.residual = nn.Sequential(
            nn.GELU(), nn.Linear(n_dimensions, n_dimensions), nn.Dropout(dropout)
        )
        self.norm = nn.LayerNorm(n_dimensions)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return unit vectors, (n, n_dimensions), of inputs, (n, n_channels, n_bins)."""
        first = self.linear(self.dropout(self.spatial(inputs).flatten(1)))
        return normalize(self.norm(first + self.residual(first)).float())


class Retrieval(nn.Module):
    """A projector that is compared with images while it learns, and with classes afterwards."""

    prototypes: Tensor
    """(n_classes, n_dimensions), unit vectors from the centre."""
    centre: Tensor
    """(n_dimensions,): the mean feature of the training images."""

    def __init__(self, projector: Projector, prototypes: Tensor, centre: Tensor) -> None:
        super().__init__()
        self.projector = projector
        self.log_scale = nn.Parameter(torch.tensor(FIRST_SCALE))
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("centre", centre)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scaled directions, (n, n_dimensions), in training; otherwise logits."""
        scaled: Tensor = self.log_scale.clamp(max=LARGEST_SCALE).exp() * self.projector(inputs)
        return scaled if self.training else scaled @ self.prototypes.T


def contrastive_loss(scaled: Tensor, images: Tensor, classes: Tensor, shown: Tensor) -> Tensor:
    """Return the symmetric InfoNCE loss of trials and what was shown in them.

    ``images`` are the directions of all images, ``classes`` are theirs, and ``shown`` is the row
    of each trial's image. An image has to find all its trials. Other images of the trial's class
    count neither for nor against it: pushing them away costs accuracy.
    """
    rows, own = torch.unique(shown, return_inverse=True)
    similarity = (scaled @ images[rows].T).float()
    found = own[:, None] == torch.arange(len(rows), device=own.device)
    alike = classes[shown][:, None] == classes[rows]
    similarity = similarity.masked_fill(alike & ~found, NEVER)
    trials = found.T / found.sum(dim=0)[:, None]
    return (cross_entropy(similarity, own) + cross_entropy(similarity.T, trials)) / 2
