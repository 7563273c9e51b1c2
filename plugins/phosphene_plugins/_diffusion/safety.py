"""The safety checker: pictures that it objects to are not shown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPImageProcessorPil

from phosphene_plugins._diffusion.plan import find_preparation


class SafetyChecker:
    """Stable Diffusion's own, which compares a picture with concepts in the space of CLIP."""

    def __init__(self, files: Sequence[Path], device: torch.device, dtype: torch.dtype) -> None:
        folder = files[0].parent
        self._prepare: Any = CLIPImageProcessorPil.from_pretrained(
            find_preparation(folder), local_files_only=True
        )
        self._model: Any = StableDiffusionSafetyChecker.from_pretrained(
            folder,
            dtype=dtype,
            variant="fp16" if ".fp16" in files[0].name else None,
            use_safetensors=True,
            local_files_only=True,
        ).to(device)
        self._device, self._dtype = device, dtype

    def objects(self, image: PIL.Image.Image) -> bool:
        """Return whether the picture should not be shown."""
        pixels = self._prepare([image], return_tensors="pt").pixel_values
        blackened = [np.asarray(image)]  # What it objects to, it blackens: it gets a list to do so.
        _, flags = self._model(clip_input=pixels.to(self._device, self._dtype), images=blackened)
        return bool(flags[0])
