"""What a session file can set of diffusion; imported at discovery, so it imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from phosphene import GeneratorConfig
from phosphene_plugins._diffusion.prompts import check_template
from phosphene_plugins._distillation.settings import between

Scheduler = Literal[
    "ddim", "dpm++", "dpm++-karras", "euler", "euler-a", "euler-trailing", "lcm", "pndm", "unipc"
]
SCHEDULERS: Mapping[Scheduler, tuple[str, Mapping[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {}),
    "dpm++-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "euler-trailing": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "lcm": ("LCMScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
"""Class of diffusers, and what is changed in the checkpoint's own scheduler settings."""

MAX_BYTES = 15 * 1024 * 1024
"""Of a picture: more does not fit into a message of 16 MiB."""


class DiffusionSettings(GeneratorConfig, frozen=True, kw_only=True):
    """A latent diffusion model on this computer, and how pictures are drawn from it."""

    prompt_may_be_empty: ClassVar[bool] = False

    model: str
    """A folder in diffusers' format, or a repository (``OWNER/NAME``) in the Hugging Face cache."""
    prompt: str = "an image of {a_class}"
    """``{a_class}``: the class's name with its article; ``{class}``: the name alone."""
    negative_prompt: str = ""
    """What to keep out of the picture; takes guidance above 1."""
    steps: int = 25
    """Denoising steps; models distilled for few steps take 1 to 8."""
    guidance: float = 7.5
    """Scale of classifier-free guidance; up to 1 there is none, and half the work."""
    scheduler: Scheduler | None = None
    """The sampler; null is the checkpoint's own."""
    size: int | None = None
    """Height and width in pixels, a multiple of 8; null is the model's own."""
    precision: Literal["auto", "half", "full"] = "auto"
    """Numbers of 16 or 32 bits; auto is half on a GPU and full on a CPU."""
    unet: Path | None = None
    """Other weights for the U-Net: a safetensors file for the same architecture, or a folder."""
    lora: Path | None = None
    """A LoRA, added to the U-Net's weights: a safetensors file, or a folder with one."""
    safety_checker: bool = True
    """Make a picture again if the checkpoint's safety checker objects."""
    safety_checker_folder: Path | None = None
    """A safety checker for checkpoints that have none."""

    def __post_init__(self) -> None:
        if self.prompt or not self.prompt_may_be_empty:
            check_template(self.prompt)
        between("steps", self.steps, 1, 1000)
        between("guidance", self.guidance, 0, 50)
        if self.size is not None and (self.size < 8 or self.size % 8):
            raise ValueError(f"size must be a multiple of 8, at least 8; found {self.size}")
        if self.size is not None and 3 * self.size**2 > MAX_BYTES:
            raise ValueError(f"size must be at most {largest_size()}; found {self.size}")
        if self.negative_prompt and self.guidance <= 1:
            raise ValueError(f"negative_prompt takes guidance above 1; found {self.guidance:g}")
        if self.safety_checker_folder and not self.safety_checker:
            raise ValueError("safety_checker_folder is of no use with safety_checker: false")


def largest_size() -> int:
    """Return the side of the largest square picture that fits into a message."""
    return int((MAX_BYTES / 3) ** 0.5) // 8 * 8
