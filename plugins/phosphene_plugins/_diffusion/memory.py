"""How much GPU memory a model takes, told before it is loaded."""

import json
from collections.abc import Iterable
from math import prod
from pathlib import Path

from phosphene import PhospheneError
from phosphene_plugins._diffusion.checkpoint import Checkpoint

OVERHEAD = 512 * 2**20
"""Bytes for the U-Net's activations and the workspace of the kernels."""
LIVE = 4
"""Tensors that the decoder of the pictures holds at once at full size; those of its widest layer
there are most of what is needed beside the weights."""


def weights_bytes(files: Iterable[Path], bytes_each: int) -> int:
    """Return what weights take in a precision of so many bytes a number."""
    return sum(_count(file) for file in files) * bytes_each


def activations_bytes(checkpoint: Checkpoint, size: int, bytes_each: int) -> int:
    """Return an allowance for drawing a picture of ``size`` x ``size`` pixels."""
    decoder = checkpoint.config("vae")
    if decoder.get("force_upcast", True) and "XL" in checkpoint.pipeline:
        bytes_each = 4  # It overflows in 16 bits, so diffusers decodes in 32.
    widest = max(decoder["block_out_channels"][:2])
    return LIVE * int(widest) * size**2 * bytes_each + OVERHEAD


def check_memory(free: int, needed: int) -> None:
    """Raise ``PhospheneError`` with both numbers if there is less than is needed, in bytes."""
    if free < needed:
        raise PhospheneError(
            f"the GPU has {free / 2**30:.1f} GiB of free memory; model and picture take about "
            f"{needed / 2**30:.1f} GiB. What helps: precision: half, a smaller size, a smaller "
            "model, ending other programs on this GPU, another device"
        )


def _count(file: Path) -> int:
    """Return how many numbers a safetensors file holds, from its header."""
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        header = json.loads(content.read(min(length, 100_000_000)))
    return sum(prod(each["shape"]) for name, each in header.items() if name != "__metadata__")
