"""From settings to a model on its device; what is missing is told before anything is loaded."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors.torch import load_file

from phosphene import Context, PhospheneError
from phosphene_plugins._diffusion.lora import add_lora
from phosphene_plugins._diffusion.memory import check_memory
from phosphene_plugins._diffusion.painter import Painter
from phosphene_plugins._diffusion.plan import Plan, make_plan
from phosphene_plugins._diffusion.safety import SafetyChecker
from phosphene_plugins._diffusion.settings import SCHEDULERS, DiffusionSettings
from phosphene_plugins._distillation.training import find_device

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "StableDiffusionPipeline": {"safety_checker": None, "requires_safety_checker": False},
    "StableDiffusionXLPipeline": {"add_watermarker": False},
}
"""Of diffusers' pipelines. Safety is a part of its own, the same for all models; a watermark would
depend on which libraries are installed."""


def load(settings: DiffusionSettings, context: Context, more: Sequence[Path]) -> Painter:
    """Return the model on the context's device; ``more`` files are counted with its weights."""
    device = find_device(context.device)
    dtype = _dtype(settings, device)
    plan = make_plan(settings, half=dtype == torch.float16)
    if device.type == "cuda":
        check_memory(torch.cuda.mem_get_info(device)[0], plan.needed(dtype.itemsize, more))
    context.progress(0.1, f"loading {plan.checkpoint.name}")
    with _said_of(plan.checkpoint.folder):
        pipeline = _pipeline(settings, plan, dtype).to(device)
        checker = SafetyChecker(plan.checker, device, dtype) if plan.checker else None
    context.progress(0.6, "hashing the weights")
    card = plan.card(context.cache) | _card(settings, pipeline)
    return Painter(pipeline, settings, plan.size, card, checker)


def _dtype(settings: DiffusionSettings, device: torch.device) -> torch.dtype:
    half = settings.precision == "half" or (settings.precision == "auto" and device.type != "cpu")
    return torch.float16 if half else torch.float32


def _pipeline(settings: DiffusionSettings, plan: Plan, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """Return diffusers' pipeline, its parts replaced as the settings ask for."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    replaced = {"unet": _unet(settings.unet, plan, dtype)} if settings.unet else {}
    pipeline = getattr(diffusers, plan.checkpoint.pipeline).from_pretrained(
        plan.checkpoint.folder,
        dtype=dtype,
        variant=plan.checkpoint.variant,
        use_safetensors=True,
        local_files_only=True,
        feature_extractor=None,
        image_encoder=None,
        **OPTIONS[plan.checkpoint.pipeline],
        **replaced,
    )
    pipeline.set_progress_bar_config(disable=True)
    if plan.lora:
        add_lora(pipeline.unet, plan.lora)
    if settings.scheduler:
        name, options = SCHEDULERS[settings.scheduler]
        scheduler = getattr(diffusers, name)
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **options)
    return pipeline


def _unet(path: Path, plan: Plan, dtype: torch.dtype) -> torch.nn.Module:
    """Return a U-Net with other weights; a file's are for the checkpoint's own architecture."""
    kind = diffusers.UNet2DConditionModel
    folder = path if (path / "config.json").is_file() else plan.checkpoint.folder / "unet"
    unet: torch.nn.Module = kind.from_config(kind.load_config(folder, local_files_only=True))
    tensors = {name: each for file in plan.unet for name, each in load_file(file).items()}
    try:
        unet.load_state_dict(tensors)
    except RuntimeError as error:
        found = str(error)[:300]  # It lists every weight.
        raise PhospheneError(f"unet: {path} does not fit {folder}: {found}") from None
    return unet.to(dtype).eval()


def _card(settings: DiffusionSettings, pipeline: Any) -> dict[str, str | int | float]:  # noqa: ANN401
    """Return how pictures are drawn, as provenance."""
    options = SCHEDULERS[settings.scheduler][1] if settings.scheduler else {}
    return {
        "negative_prompt": settings.negative_prompt,
        "scheduler": type(pipeline.scheduler).__name__,
        "scheduler_options": json.dumps(dict(options)),
        "steps": settings.steps,
        "guidance": settings.guidance,
        "precision": "half" if pipeline.dtype == torch.float16 else "full",
        "device": pipeline.device.type,
        "diffusers": diffusers.__version__,
        "torch": str(torch.__version__),
    }


@contextmanager
def _said_of(folder: Path) -> Iterator[None]:
    """Turn whatever diffusers makes of files that do not fit into words."""
    try:
        yield
    except PhospheneError:
        raise
    except torch.OutOfMemoryError as error:
        raise PhospheneError(f"the GPU's memory ran out while loading {folder}: {error}") from None
    except Exception as error:
        raise PhospheneError(f"model: {folder} cannot be loaded: {error}") from error
