"""A LoRA is added to the weights for good: no step is slower for it, and no library is needed."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

from phosphene import PhospheneError

PARTS = re.compile(r"(.+)\.(lora_down|lora\.down|lora_A|lora_up|lora\.up|lora_B)(?:\.weight)")
DOWN = ("lora_down", "lora.down", "lora_A")


@torch.no_grad()
def add_lora(unet: torch.nn.Module, file: Path) -> None:
    """Add W += alpha / rank * up @ down (Hu et al. 2021) to each layer that the file names.

    Raises ``PhospheneError`` if the file changes anything that the U-Net has not.
    """
    # Files name a layer as in diffusers or peft, or as kohya's scripts do, with underscores only.
    layers = {_plain(name): layer for name, layer in unet.named_modules()}
    tensors = load_file(file)
    pairs = _pairs(tensors)
    unknown = [name for name in pairs if _plain(name) not in layers]
    if unknown or not pairs:
        raise PhospheneError(
            f"lora: {file} does not fit this model's U-Net: "
            f"{len(unknown)} of {len(pairs)} layers are not in it"
            + (f", among them {unknown[0]}" if unknown else "")
        )
    for name, (down, up) in pairs.items():
        weight = layers[_plain(name)].get_parameter("weight")
        alpha = float(tensors.get(f"{name}.alpha", down.shape[0]))
        change = up.flatten(1).float() @ down.flatten(1).float() * alpha / down.shape[0]
        if change.numel() != weight.numel():
            raise PhospheneError(f"lora: {file} does not fit this model's U-Net: {name} differs")
        weight += change.reshape(weight.shape).to(weight)


def _pairs(
    tensors: Mapping[str, torch.Tensor],
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return (down, up) by layer: (rank, n_in, ...) and (n_out, rank, ...)."""
    downs: dict[str, torch.Tensor] = {}
    ups: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        if part := PARTS.fullmatch(key):
            (downs if part[2] in DOWN else ups)[part[1]] = tensor
    return {name: (downs[name], ups[name]) for name in downs if name in ups}


def _plain(name: str) -> str:
    """Return one spelling of "unet.mid_block.x" and "lora_unet_mid_block_x"."""
    return re.sub(r"^(lora_unet|unet)_", "", name.replace(".", "_"))
