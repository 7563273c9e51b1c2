"""From settings to a painter; torch and diffusers are imported only now."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from phosphene import Context
from phosphene_plugins._diffusion.settings import DiffusionSettings
from phosphene_plugins._distillation.settings import need

if TYPE_CHECKING:
    from phosphene_plugins._diffusion.painter import Painter


def need_diffusion() -> None:
    """Raise ``PhospheneError`` that says what to install if the extra is not."""
    need("diffusion", "accelerate", "diffusers", "safetensors", "torch", "transformers")


def open_painter(
    settings: DiffusionSettings, context: Context, more: Sequence[Path] = ()
) -> "Painter":
    """Return the model on its device, not yet warmed up; ``more`` files will follow it there.

    Raises ``PhospheneError`` that says what is missing, or that memory is too small.
    """
    need_diffusion()
    from phosphene_plugins._diffusion.loading import load

    return load(settings, context, more)
