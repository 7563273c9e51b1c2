"""Diffusion models of random weights, tiny, saved as diffusers saves the real ones."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ALPHABET = "abcdefghijklmnopqrstuvwxyz'-"
N_WORDS = 2 * len(ALPHABET) + 2
"""Each character within and at the end of a word, and the two marks of a text's ends."""


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion 1.x with its safety checker, pictures of 32 x 32 pixels."""
    import diffusers

    folder = tmp_path_factory.mktemp("models") / "tiny-sd"
    with _seeded():
        pipeline = diffusers.StableDiffusionPipeline(
            unet=_unet(cross_attention_dim=16),
            safety_checker=_safety_checker(),
            feature_extractor=_image_processor(),
            text_encoder=_text_encoder(),
            tokenizer=_tokenizer(folder.parent / "words"),
            vae=_vae(),
            scheduler=diffusers.PNDMScheduler(**SCHEDULE, skip_prk_steps=True),
        )
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion XL, which has two text encoders and no safety checker."""
    import diffusers

    folder = tmp_path_factory.mktemp("models") / "tiny-sdxl"
    added = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 16,
    }
    with _seeded():
        tokenizer = _tokenizer(folder.parent / "words")
        pipeline = diffusers.StableDiffusionXLPipeline(
            unet=_unet(cross_attention_dim=32, **added),
            text_encoder=_text_encoder(),
            text_encoder_2=_text_encoder(projected=True),
            tokenizer=tokenizer,
            tokenizer_2=tokenizer,
            vae=_vae(),
            scheduler=diffusers.DDIMScheduler(**SCHEDULE, clip_sample=False),
        )
    pipeline.save_pretrained(folder)
    return folder


N_DIMENSIONS = 12
"""Of the embeddings that tiny adapters follow."""


@pytest.fixture(scope="session")
def tiny_sd_adapter(tiny_sd: Path) -> Path:
    """An IP-Adapter for it, named and laid out as the published ones."""
    return _save_adapter(tiny_sd)


@pytest.fixture(scope="session")
def tiny_sdxl_adapter(tiny_sdxl: Path) -> Path:
    """The same for the other."""
    return _save_adapter(tiny_sdxl)


def _save_adapter(model: Path) -> Path:
    import diffusers
    import torch
    from safetensors.torch import save_file

    unet = diffusers.UNet2DConditionModel.from_pretrained(model / "unet")
    words = unet.config.cross_attention_dim
    with _seeded():
        tensors = {
            "image_proj.proj.weight": torch.randn(4 * words, N_DIMENSIONS),
            "image_proj.proj.bias": torch.randn(4 * words),
            "image_proj.norm.weight": torch.ones(words),
            "image_proj.norm.bias": torch.zeros(words),
        }
        keys = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
        for number, name in enumerate(keys):
            attention = unet.get_submodule(name.removesuffix(".processor"))
            for part in ("to_k_ip", "to_v_ip"):
                shape = attention.to_k.weight.shape
                tensors[f"ip_adapter.{2 * number + 1}.{part}.weight"] = torch.randn(shape)
    file = model.parent / f"ip-adapter_{model.name}.safetensors"
    save_file(tensors, file)
    return file


SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
"""Stable Diffusion's own."""


@contextmanager
def _seeded() -> Iterator[None]:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def _unet(**more: Any) -> Any:
    import diffusers

    return diffusers.UNet2DConditionModel(
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **more,
    )


def _vae() -> Any:
    import diffusers

    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        sample_size=32,
    )


def _text_encoder(*, projected: bool = False) -> Any:
    import transformers

    config = transformers.CLIPTextConfig(
        vocab_size=N_WORDS,
        hidden_size=16,
        projection_dim=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=N_WORDS - 2,
        eos_token_id=N_WORDS - 1,
        pad_token_id=N_WORDS - 1,
    )
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return kind(config).eval()


def _tokenizer(folder: Path) -> Any:
    """Return a tokenizer that spells."""
    import transformers

    folder.mkdir()
    words = [*ALPHABET, *(f"{letter}</w>" for letter in ALPHABET)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def _image_processor() -> Any:
    import transformers

    return transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30}
    )


def _safety_checker() -> Any:
    """Return a checker that objects to nothing: no picture is that much like a concept."""
    import diffusers.pipelines.stable_diffusion.safety_checker as safety
    import transformers

    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 30,
        "patch_size": 15,
    }
    config = transformers.CLIPConfig(vision_config=vision, projection_dim=16)
    checker = safety.StableDiffusionSafetyChecker(config)
    checker.concept_embeds_weights.data.fill_(2.0)
    checker.special_care_embeds_weights.data.fill_(2.0)
    return checker.eval()
