"""A LoRA is added to the weights for good: no step is slower for it, and no library is needed."""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file

from phosphene import PhospheneError

UP = {"lora_down": "lora_up", "lora.down": "lora.up", "lora_A": "lora_B"}
"""What kohya's scripts, diffusers and peft call a layer's two matrices: the first, the second."""
DOWN = re.compile(rf"(.+)\.({'|'.join(map(re.escape, UP))})\.weight")


@torch.no_grad()
def add_lora(unet: torch.nn.Module, file: Path) -> None:
    """Add W += alpha / rank * up @ down (Hu et al. 2021) to each layer that the file names.

    Raises ``PhospheneError`` if the file changes anything that the U-Net has not.
    """
    layers = {
        _plain(name.removesuffix(".weight")): weight
        for name, weight in unet.named_parameters()
        if name.endswith(".weight")
    }
    for name, change in _changes(file).items():
        weight = layers.get(_plain(name))
        if weight is None:
            raise _misfit(file, f"the U-Net has no {name}")
        if change.numel() != weight.numel():
            raise _misfit(file, f"{name} has {weight.numel()} weights, not {change.numel()}")
        weight.add_(change.reshape(weight.shape).to(weight))


def _changes(file: Path) -> dict[str, torch.Tensor]:
    """Return what is to be added, (n_out, n_in x height x width), by layer."""
    tensors: dict[str, torch.Tensor] = load_file(file)
    changes: dict[str, torch.Tensor] = {}
    for key, found in [(key, DOWN.fullmatch(key)) for key in tensors]:
        if found and (up := f"{found[1]}.{UP[found[2]]}.weight") in tensors:
            second, first = (tensors.pop(part).flatten(1).float() for part in (up, key))
            rank = len(first)
            alpha = tensors.pop(f"{found[1]}.alpha", torch.tensor(rank))
            changes[found[1]] = float(alpha) / rank * second @ first
    if tensors or not changes:
        raise _misfit(file, f"it holds {next(iter(tensors), 'nothing')}, which is no LoRA's")
    return changes


def _plain(name: str) -> str:
    """Return one spelling: peft writes ``unet.mid_block.x``, kohya ``lora_unet_mid_block_x``."""
    return re.sub(r"^(lora_unet|unet)_", "", name.replace(".", "_"))


def _misfit(file: Path, text: str) -> PhospheneError:
    return PhospheneError(f"lora: {file} does not fit this model's U-Net: {text}")
