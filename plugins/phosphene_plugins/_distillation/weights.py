"""Where the weights of an open_clip model are on this computer; nothing is downloaded."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phosphene import PhospheneError
from phosphene_plugins._distillation.settings import ImageFeatures

CONFIG = "open_clip_config.json"
FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Names of the weights in repositories for open_clip, the better one first."""


@dataclass(frozen=True)
class Weights:
    """An architecture, and where its weights are."""

    model: str
    """As open_clip names it, ``local-dir:`` included."""
    file: Path
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    """For ``create_model_and_transforms``: how a tag's images are prepared."""


def find_weights(source: ImageFeatures) -> Weights:
    """Return the weights on this computer; ``PhospheneError`` says what to put where."""
    if source.checkpoint is None:
        return _cached(source)
    if not source.checkpoint.exists():
        raise PhospheneError(f"no weights at {source.checkpoint}")
    if source.checkpoint.is_dir():
        return _in_folder(source.checkpoint)
    if not source.model:
        raise PhospheneError(
            f"{source.checkpoint} holds weights only; name their architecture in "
            f"'model', or give a folder that also holds {CONFIG}"
        )
    return Weights(source.model, source.checkpoint, source.model, _preparation(source))


def _in_folder(folder: Path) -> Weights:
    file = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if file is None or not (folder / CONFIG).is_file():
        raise PhospheneError(
            f"{folder} must hold {CONFIG} and {' or '.join(FILES)}, as a repository "
            "for open_clip on https://huggingface.co does"
        )
    return Weights(f"local-dir:{folder}", file, folder.resolve().name)


def _cached(source: ImageFeatures) -> Weights:
    """Return a tag's weights from the cache of Hugging Face; nothing is downloaded."""
    from huggingface_hub import try_to_load_from_cache

    repository = _tag(source).get("hf_hub", "").rpartition("/")[0]
    for name in FILES if repository else ():
        file = try_to_load_from_cache(repository, name)
        if isinstance(file, str):
            title = f"{source.model}/{source.pretrained}"
            return Weights(source.model, Path(file), title, _preparation(source))
    where = f"https://huggingface.co/{repository}" if repository else "its authors"
    raise PhospheneError(
        f"no weights of {source.model}/{source.pretrained} on this computer, and "
        f"Phosphene downloads none. Download {CONFIG} and {FILES[0]} from {where} into a folder "
        "and give {checkpoint: FOLDER}"
        + (f"; or run: hf download {repository}" if repository else "")
        + "; or do without: 'descriptor' is built in, and decoders take precomputed features (npz)"
    )


def _tag(source: ImageFeatures) -> dict[str, Any]:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(source.model)
    if source.model not in open_clip.list_models():
        raise PhospheneError(f"open_clip has no model {source.model!r}")
    if source.pretrained not in tags:
        raise PhospheneError(
            f"{source.model} has no weights {source.pretrained!r}; allowed: {', '.join(tags)}"
        )
    return dict(open_clip.get_pretrained_cfg(source.model, source.pretrained))


def _preparation(source: ImageFeatures) -> dict[str, Any]:
    """Return how the images for a tag's weights are prepared, and which activation they need."""
    if not source.pretrained:
        return {}
    tag = _tag(source)
    names = {
        "mean": "image_mean",
        "std": "image_std",
        "interpolation": "image_interpolation",
        "resize_mode": "image_resize_mode",
        "quick_gelu": "force_quick_gelu",
    }
    return {option: tag[name] for name, option in names.items() if name in tag}


def hash_of(weights: Weights) -> str:
    """Return the SHA-256 over the weights and how images are prepared for them."""
    digest = hashlib.sha256(f"{weights.model.split(':')[0]}{weights.options}".encode())
    if (config := weights.file.parent / CONFIG).is_file():
        digest.update(config.read_bytes())
    with weights.file.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
