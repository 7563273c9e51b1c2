"""What will be loaded: every file, found and measured before torch touches one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phosphene import PhospheneError
from phosphene_plugins._diffusion.checkpoint import (
    Checkpoint,
    component_weights,
    find_checkpoint,
    find_weights,
    sha256,
)
from phosphene_plugins._diffusion.memory import activations_bytes, weights_bytes
from phosphene_plugins._diffusion.settings import MAX_BYTES, DiffusionSettings, largest_size

SAFETY_CHECKER = "safety_checker"
PREPARATION = "preprocessor_config.json"


@dataclass(frozen=True)
class Plan:
    """Files of a model, and the size of its pictures."""

    checkpoint: Checkpoint
    size: int
    """Height and width in pixels."""
    unet: tuple[Path, ...] = ()
    """Weights that take the place of the checkpoint's."""
    lora: Path | None = None
    checker: tuple[Path, ...] = ()
    """Weights of the safety checker."""
    checker_name: str = "off"

    def needed(self, bytes_each: int, more: Sequence[Path] = ()) -> int:
        """Return bytes of memory for all weights, ``more`` too, and for drawing."""
        files = (*self.checkpoint.files, *self.unet, *self.checker, *more)
        return weights_bytes(files, bytes_each) + activations_bytes(
            self.checkpoint, self.size, bytes_each
        )

    def card(self, cache: Path) -> dict[str, str]:
        """Return which files these are, as provenance."""
        card = {"model": self.checkpoint.name, "variant": self.checkpoint.variant or ""}
        card["model_sha256"] = sha256(self.checkpoint.files, cache)
        if self.unet:
            card |= {"unet": self.unet[0].name, "unet_sha256": sha256(self.unet, cache)}
        if self.lora:
            card |= {"lora": self.lora.name, "lora_sha256": sha256([self.lora], cache)}
        return card | {"safety_checker": self.checker_name}


def make_plan(settings: DiffusionSettings, *, half: bool) -> Plan:
    """Return what these settings load; ``PhospheneError`` says what is missing."""
    unneeded = ("unet",) if settings.unet else ()
    checkpoint = find_checkpoint(settings.model, half=half, unneeded=unneeded)
    checker, name = _checker(settings, checkpoint)
    return Plan(
        checkpoint,
        _size(settings, checkpoint),
        _unet(settings.unet) if settings.unet else (),
        find_weights(settings.lora, "lora") if settings.lora else None,
        checker,
        name,
    )


def _size(settings: DiffusionSettings, checkpoint: Checkpoint) -> int:
    size = settings.size or checkpoint.size
    if 3 * size**2 > MAX_BYTES:
        raise PhospheneError(
            f"size: pictures of {checkpoint.name} have {size} x {size} pixels, {3 * size**2} "
            f"bytes; allowed: {MAX_BYTES}, a size of {largest_size()}"
        )
    return size


def _unet(path: Path) -> tuple[Path, ...]:
    if (path / "config.json").is_file() and (files := component_weights(path)):
        return tuple(files)
    return (find_weights(path, "unet"),)


def _checker(settings: DiffusionSettings, checkpoint: Checkpoint) -> tuple[tuple[Path, ...], str]:
    """Return the safety checker's weights, and what provenance says of it."""
    if not settings.safety_checker:
        return (), "off"
    if folder := settings.safety_checker_folder:
        return _checker_files(folder), folder.resolve().name
    if not checkpoint.has(SAFETY_CHECKER):
        return (), "none in the checkpoint"
    return _checker_files(checkpoint.folder / SAFETY_CHECKER), "of the checkpoint"


def _checker_files(folder: Path) -> tuple[Path, ...]:
    files = component_weights(folder) or component_weights(folder, "fp16")
    if not (files and (folder / "config.json").is_file() and find_preparation(folder)):
        raise PhospheneError(
            f"safety_checker: {folder} must hold config.json, model.safetensors and "
            f"{PREPARATION}, as https://huggingface.co/CompVis/stable-diffusion-safety-checker "
            "does; download it and give its folder as safety_checker_folder"
        )
    return tuple(files)


def find_preparation(folder: Path) -> Path | None:
    """Return where it is told how images are prepared for a safety checker.

    As diffusers saves it, that is in a sibling; repositories of checkers hold both.
    """
    places = (folder, folder.parent / "feature_extractor")
    return next((place for place in places if (place / PREPARATION).is_file()), None)
