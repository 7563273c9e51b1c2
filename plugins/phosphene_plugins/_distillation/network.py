"""The paper's student: a small residual CNN on spectrograms (docs/decoders.md has the table)."""

from typing import cast

from torch import Tensor, nn


class ResidualCNN(nn.Module):
    """(n, n_channels, n_freqs, n_frames) to logits, (n, n_classes)."""

    def __init__(
        self, n_channels: int, widths: tuple[int, int], n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        narrow, wide = widths
        self.layers = nn.Sequential(
            _convolution(n_channels, narrow),
            nn.ReLU(),
            _Residual(narrow),
            nn.AvgPool2d((1, 2), ceil_mode=True),
            _convolution(narrow, wide),
            nn.ReLU(),
            _Residual(wide),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(wide, n_classes),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return cast("Tensor", self.layers(inputs))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _convolution(width, width), nn.ReLU(), _convolution(width, width)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.relu(inputs + self.layers(inputs))


def _convolution(n_in: int, n_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out))
