"""An IP-Adapter (Ye et al. 2023, arXiv 2308.06721): a picture that follows an image embedding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import SafetensorError, safe_open

from phosphene import PhospheneError
from phosphene_plugins._diffusion.checkpoint import find_weights
from phosphene_plugins._diffusion.painter import Conditions, Painter

PROJECTION = "image_proj.proj.weight"
"""From an embedding to words for the U-Net: (N_WORDS x n_cross_attention, n_dimensions)."""
N_WORDS = 4
PLAIN = "a plain IP-Adapter, such as ip-adapter_sd15.safetensors or ip-adapter_sdxl.safetensors"
VARIANTS = {
    "image_proj.latents": "'plus' adapter",
    "image_proj.proj.3.weight": "'full face' adapter",
    "image_proj.perceiver_resampler.proj_in.weight": "'face id plus' adapter",
    "image_proj.proj.0.weight": "'face id' adapter",
}
"""By a tensor that only they have; they follow something else than one embedding of an image."""
SPACES = {"ViT-L-14": 768, "ViT-H-14": 1024, "ViT-bigG-14": 1280}
"""Dimensions of an embedding by how the name of its space begins (``embed_dim`` of open_clip)."""
REMEDY = (
    "download one of https://huggingface.co/h94/IP-Adapter: for Stable Diffusion 1.5 "
    "models/ip-adapter_sd15.safetensors (space ViT-H-14), for SDXL "
    "sdxl_models/ip-adapter_sdxl_vit-h.safetensors (ViT-H-14) or "
    "sdxl_models/ip-adapter_sdxl.safetensors (ViT-bigG-14), and give its path"
)


@dataclass(frozen=True)
class AdapterFile:
    """An adapter, before it is loaded."""

    path: Path
    n_dimensions: int
    """Of the embeddings that it follows."""
    n_cross_attention: int
    """Of the U-Net's words."""


def find_adapter(path: Path) -> AdapterFile:
    """Return what the header of a file says; ``PhospheneError`` if it is no plain IP-Adapter."""
    if not path.exists():
        raise PhospheneError(f"adapter: there is no {path}; {REMEDY}")
    if path.suffix in (".bin", ".ckpt", ".pt"):
        raise PhospheneError(
            f"adapter: {path} is a pickle, which may run code; take the file of the same name that "
            "ends with .safetensors"
        )
    file = find_weights(path, "adapter")
    shapes = _shapes(file)
    for name, variant in VARIANTS.items():
        if name in shapes:
            raise PhospheneError(f"adapter: {file} is a {variant}; expected {PLAIN}")
    projection = shapes.get(PROJECTION, ())
    if len(projection) != 2 or not any(name.startswith("ip_adapter.") for name in shapes):
        raise PhospheneError(f"adapter: {file} is no IP-Adapter; {REMEDY}")
    return AdapterFile(file, projection[1], projection[0] // N_WORDS)


def check_space(file: AdapterFile, space: str) -> None:
    """Raise ``PhospheneError`` if embeddings of that space have other dimensions."""
    for name, n_dimensions in SPACES.items():
        if space.startswith(name) and n_dimensions != file.n_dimensions:
            raise PhospheneError(
                f"space: embeddings of {space} have {n_dimensions} dimensions; "
                f"{file.path.name} follows embeddings of {file.n_dimensions}"
            )


class Adapter:
    """A painter's U-Net with an adapter in it."""

    def __init__(self, painter: Painter, file: AdapterFile, scale: float) -> None:
        """Load it; ``PhospheneError`` if it is for another U-Net."""
        self.file = file
        self._painter = painter
        _attach(painter.pipeline, file)
        painter.pipeline.set_ip_adapter_scale(scale)

    def follow(self, embedding: torch.Tensor) -> Conditions:
        """Return what makes a picture follow an embedding, (n_dimensions,)."""
        one = embedding.reshape(1, 1, -1)
        both = torch.cat([torch.zeros_like(one), one]) if self._painter.guided else one
        pipeline = self._painter.pipeline
        return {"ip_adapter_image_embeds": [both.to(pipeline.device, pipeline.dtype)]}


def _attach(pipeline: Any, file: AdapterFile) -> None:  # noqa: ANN401
    wanted = pipeline.unet.config.cross_attention_dim
    if file.n_cross_attention != wanted:
        raise PhospheneError(
            f"adapter: {file.path.name} is for a U-Net whose words have {file.n_cross_attention} "
            f"numbers; those of this model have {wanted} (768 in Stable Diffusion 1.x, 1024 in "
            "2.x, 2048 in XL)"
        )
    verbosity = diffusers.utils.logging.get_verbosity()
    diffusers.utils.logging.set_verbosity_error()  # It warns that images cannot be given.
    try:
        pipeline.load_ip_adapter(
            file.path.parent,
            subfolder="",
            weight_name=file.path.name,
            image_encoder_folder=None,
            local_files_only=True,
        )
    except Exception as error:  # Whatever diffusers makes of tensors that do not fit.
        raise PhospheneError(f"adapter: {file.path} cannot be loaded: {error!r}") from error
    finally:
        diffusers.utils.logging.set_verbosity(verbosity)


def _shapes(file: Path) -> Mapping[str, Sequence[int]]:
    """Return the shape of each tensor in a safetensors file."""
    try:
        with safe_open(file, "pt") as tensors:
            return {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise PhospheneError(f"adapter: {file} is damaged: {error}") from None
