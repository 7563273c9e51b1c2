"""The published latent diffusion models with random weights: as fast as the real ones, no download.

The settings are those of the checkpoints' ``config.json`` files. What diffusers and transformers
build from them is compared with the known numbers of parameters.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import accelerate
import diffusers
import torch
import transformers
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tokenizers.pre_tokenizers import ByteLevel

Plain = Mapping[str, Any]

SCHEDULE: Plain = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
UNET_1: Plain = {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64}
"""Stable Diffusion 1; whatever is not said is the default of ``UNet2DConditionModel``."""
UNET_2: Plain = {
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
    "sample_size": 64,
}
UNET_XL: Plain = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
}
VAE: Plain = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
}
VAE_XL: Plain = {**VAE, "sample_size": 1024, "scaling_factor": 0.13025}


def _text(width: int, layers: int, heads: int, act: str, projection: int) -> Plain:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_act": act,
        "projection_dim": projection,
        "vocab_size": 49408,
    }


VIT_L = _text(768, 12, 12, "quick_gelu", 768)
VIT_H = _text(1024, 23, 16, "gelu", 512)
"""Without its last layer, as Stable Diffusion 2 uses it."""
BIG_G = _text(1280, 32, 20, "gelu", 1280)
CHECKER: Plain = {
    "projection_dim": 768,
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
        "image_size": 224,
    },
}


@dataclass(frozen=True)
class Architecture:
    """What a checkpoint is made of, and how its authors use it."""

    unet: Plain
    vae: Plain
    texts: tuple[Plain, ...]
    """Settings of the text encoders; with two of them it is an SDXL."""
    parameters: Mapping[str, int]
    """Known numbers by component."""
    scheduler: tuple[str, Plain]
    steps: int
    guidance: float
    size: int
    """Height and width in pixels."""
    checker: Plain = field(default_factory=dict)
    """Of the safety checker; empty if the checkpoint has none."""


SD_1_5 = Architecture(
    UNET_1,
    VAE,
    (VIT_L,),
    {
        "unet": 859_520_964,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "safety_checker": 303_981_588,
    },
    ("PNDMScheduler", {"skip_prk_steps": True}),
    25,
    7.5,
    512,
    CHECKER,
)
SD_2_1 = Architecture(
    {**UNET_2, "sample_size": 96},
    VAE,
    (VIT_H,),
    {"unet": 865_910_724, "vae": 83_653_863, "text_encoder": 340_387_840},
    ("DDIMScheduler", {"prediction_type": "v_prediction", "clip_sample": False}),
    25,
    7.5,
    768,
)
TURBO = ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"})
TURBO_XL = ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"})
SDXL = Architecture(
    UNET_XL,
    VAE_XL,
    (VIT_L, BIG_G),
    {
        "unet": 2_567_463_684,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
    },
    ("EulerDiscreteScheduler", {"timestep_spacing": "leading"}),
    25,
    7.5,
    1024,
)
ARCHITECTURES: Mapping[str, Architecture] = {
    "sd-1.5": SD_1_5,
    "sd-2.1": SD_2_1,
    "sd-turbo": replace(SD_2_1, unet=UNET_2, scheduler=TURBO, steps=1, guidance=0.0, size=512),
    "sdxl": SDXL,
    "sdxl-turbo": replace(
        SDXL,
        unet={**UNET_XL, "sample_size": 64},
        scheduler=TURBO_XL,
        steps=1,
        guidance=0.0,
        size=512,
    ),
}


def tiny(architecture: Architecture) -> Architecture:
    """Return the same parts in a size that a CPU runs in a moment; two blocks, 64 pixels."""
    many = len(architecture.texts) > 1
    unet = {
        **architecture.unet,
        "block_out_channels": [32, 64],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "layers_per_block": 1,
        "attention_head_dim": 8,
        "cross_attention_dim": 32 * len(architecture.texts),
        "sample_size": 32,
    }
    if many:
        unet |= {
            "transformer_layers_per_block": [1, 2],
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + 32,
        }
    vae = {
        **architecture.vae,
        "block_out_channels": [32, 64],
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "layers_per_block": 1,
    }
    texts = (_text(32, 2, 4, "gelu", 32),) * len(architecture.texts)
    vision = {**_text(32, 2, 4, "gelu", 32), "patch_size": 14, "image_size": 28}
    checker = {"projection_dim": 32, "vision_config": vision} if architecture.checker else {}
    return replace(
        architecture, unet=unet, vae=vae, texts=texts, checker=checker, size=64, parameters={}
    )


def components(architecture: Architecture) -> dict[str, torch.nn.Module]:
    """Return what has weights, on the present device, by name in a checkpoint's folder."""
    texts = [transformers.CLIPTextConfig(**text) for text in architecture.texts]
    found: dict[str, torch.nn.Module] = {
        "unet": diffusers.UNet2DConditionModel(**architecture.unet),
        "vae": diffusers.AutoencoderKL(**architecture.vae),
        "text_encoder": transformers.CLIPTextModel(texts[0]),
    }
    if len(texts) > 1:
        found["text_encoder_2"] = transformers.CLIPTextModelWithProjection(texts[1])
    if architecture.checker:
        checker = transformers.CLIPConfig(**architecture.checker)
        found["safety_checker"] = StableDiffusionSafetyChecker(checker)
    return found


def count(architecture: Architecture) -> dict[str, int]:
    """Return the number of parameters by component; takes no memory for them."""
    with accelerate.init_empty_weights(include_buffers=False):
        found = components(architecture)
    return {name: sum(each.numel() for each in found[name].parameters()) for name in found}


def write(architecture: Architecture, folder: Path, device: str, dtype: torch.dtype) -> None:
    """Save the model with random weights in the format of diffusers."""
    with _made(device, dtype):
        parts: dict[str, Any] = {**components(architecture)}
    name, settings = architecture.scheduler
    parts["scheduler"] = getattr(diffusers, name)(**SCHEDULE, **settings)
    parts["tokenizer"] = _tokenizer()
    if len(architecture.texts) > 1:
        pipeline = diffusers.StableDiffusionXLPipeline(**parts, tokenizer_2=_tokenizer())
    else:
        parts.setdefault("safety_checker", None)
        extractor = transformers.CLIPImageProcessor(**_crop(architecture))
        pipeline = diffusers.StableDiffusionPipeline(
            **parts,
            feature_extractor=extractor,
            requires_safety_checker=bool(architecture.checker),
        )
    pipeline.save_pretrained(folder)


@contextmanager
def _made(device: str, dtype: torch.dtype) -> Iterator[None]:
    """Make weights on ``device``, in ``dtype``, from a fixed seed."""
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def _crop(architecture: Architecture) -> dict[str, int]:
    """Return the side of the images that the safety checker looks at."""
    if not architecture.checker:
        return {}
    side = architecture.checker["vision_config"]["image_size"]
    return {"size": side, "crop_size": side}


def _tokenizer() -> transformers.CLIPTokenizer:
    """Return a tokenizer that spells; as many entries as CLIP's, so that all numbers fit."""
    letters = sorted(ByteLevel.alphabet())
    words = letters + [f"{letter}</w>" for letter in letters]
    words += [f"<unused {number}>" for number in range(49406 - len(words))]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
