"""Where the files of a model are on this computer, and what they are; nothing is downloaded."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phosphene import PhospheneError

INDEX = "model_index.json"
PIPELINES = {
    "StableDiffusionPipeline": "StableDiffusionPipeline",
    "StableDiffusionXLPipeline": "StableDiffusionXLPipeline",
    "LatentConsistencyModelPipeline": "StableDiffusionPipeline",
}
"""Class of diffusers that a checkpoint names, and the one that draws with it."""
UNLOADED = ("safety_checker", "feature_extractor", "image_encoder")
"""Components that no picture is drawn with; the safety checker is loaded on its own."""
WEIGHTS = re.compile(r"(diffusion_pytorch_model|model)(-\d+-of-\d+)?\.safetensors")
HALF_WEIGHTS = re.compile(r"(diffusion_pytorch_model|model)\.fp16(-\d+-of-\d+)?\.safetensors")
"""The variant ``fp16``, the only one that is common."""


@dataclass(frozen=True)
class Checkpoint:
    """A model in diffusers' format, complete."""

    name: str
    """The repository, or the folder's name."""
    folder: Path
    pipeline: str
    """Class of diffusers."""
    variant: str | None
    files: tuple[Path, ...]
    """The weights that are loaded."""

    def config(self, component: str) -> Mapping[str, Any]:
        """Return the settings that a component was trained with."""
        return _json(self.folder / component / "config.json")

    def has(self, component: str) -> bool:
        """Return whether the model comes with an optional component."""
        kind = _json(self.folder / INDEX).get(component)
        return isinstance(kind, list) and kind[0] is not None

    @property
    def size(self) -> int:
        """Height and width in pixels that the model was trained for."""
        factor: int = 2 ** (len(self.config("vae")["block_out_channels"]) - 1)
        found = self.config("unet").get("sample_size")
        if not isinstance(found, int):
            raise PhospheneError(
                f"size: {self.name} does not tell its own (found {found}); give it"
            )
        return found * factor


def find_checkpoint(model: str, *, half: bool, unneeded: Sequence[str] = ()) -> Checkpoint:
    """Return a model's files; ``PhospheneError`` says what to put where.

    Weights in 16 bits are preferred if ``half``, and taken if there are no others. Components that
    are ``unneeded`` may be missing.
    """
    folder, name = _find_folder(model)
    index = _json(folder / INDEX)
    found = index.get("_class_name")
    if found not in PIPELINES:
        allowed = ", ".join(PIPELINES)
        raise PhospheneError(f"model: {folder / INDEX} is of a {found}; allowed: {allowed}")
    components = [
        component
        for component, kind in index.items()
        if isinstance(kind, list) and kind[0] and component not in (*UNLOADED, *unneeded)
    ]
    variant = "fp16" if _take_half(folder, components, half=half) else None
    files = [file for each in components for file in _component(folder, each, variant, model)]
    return Checkpoint(name, folder, PIPELINES[found], variant, tuple(files))


def find_weights(path: Path, setting: str) -> Path:
    """Return the one safetensors file that is, or is in, ``path``."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if len(files) != 1 or files[0].suffix != ".safetensors" or not files[0].is_file():
        raise PhospheneError(
            f"{setting}: expected a file of type safetensors, or a folder with exactly one; "
            f"found {', '.join(file.name for file in files) or 'none'} at {path}"
        )
    return files[0]


def component_weights(folder: Path, variant: str | None = None) -> list[Path]:
    """Return the weights in a component's folder; of the variant if it has it."""
    files = sorted(folder.glob("*.safetensors"))
    half = [file for file in files if variant and HALF_WEIGHTS.fullmatch(file.name)]
    return half or [file for file in files if WEIGHTS.fullmatch(file.name)]


def sha256(files: Iterable[Path], cache: Path) -> str:
    """Return the SHA-256 over the SHA-256 of files, in the order of their folders and names.

    What is known of a file is kept in the folder ``cache`` until its size or time changes.
    """
    store = cache / "weights-sha256.json"
    known: dict[str, str] = dict(_json(store)) if store.is_file() else {}
    keys = {file: _identity(file) for file in sorted(files)}
    if new := {key: file for file, key in keys.items() if key not in known}:
        known |= {key: _sha256(file) for key, file in new.items()}
        _write(store, known)
    if len(keys) == 1:
        return known[next(iter(keys.values()))]
    return hashlib.sha256("".join(known[key] for key in keys.values()).encode()).hexdigest()


def _find_folder(model: str) -> tuple[Path, str]:
    folder = Path(model).expanduser()
    if (folder / INDEX).is_file():
        return folder, folder.resolve().name
    if folder.is_dir():
        raise PhospheneError(f"model: {folder.resolve()} holds no {INDEX}: {_remedy()}")
    if folder.is_file():
        raise PhospheneError(
            f"model: {folder.resolve()} is a single file, which cannot be read without the "
            f"network: {_remedy()}, or write one with diffusers' from_single_file and "
            "save_pretrained"
        )
    if re.fullmatch(r"[\w.-]+/[\w.-]+", model) and (snapshot := _cached(model)):
        return snapshot, model
    raise PhospheneError(
        f"model: there is neither a folder {folder.absolute()} nor a repository {model!r} in the "
        f"Hugging Face cache, and Phosphene downloads none: {_remedy(model)}"
    )


def _cached(repository: str) -> Path | None:
    """Return the folder of a repository in the cache of Hugging Face."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        index = try_to_load_from_cache(repository, INDEX)
    except HFValidationError:
        return None
    return Path(index).parent if isinstance(index, str) else None


def _remedy(model: str = "") -> str:
    known = re.fullmatch(r"[\w.-]+/[\w.-]+", model) and not Path(model).expanduser().exists()
    repository = model if known else "OWNER/NAME"
    return (
        f"download a model in diffusers' format from https://huggingface.co/{repository} and give "
        f"its folder; or run: hf download {repository}, and give {repository}"
    )


def _take_half(folder: Path, components: Iterable[str], *, half: bool) -> bool:
    names = {each: {file.name for file in (folder / each).glob("*")} for each in components}
    halves = {each for each, found in names.items() if any(map(HALF_WEIGHTS.fullmatch, found))}
    others = {each for each, found in names.items() if any(map(WEIGHTS.fullmatch, found))}
    return bool(halves) if half else bool(halves - others)


def _component(folder: Path, name: str, variant: str | None, model: str) -> list[Path]:
    """Return a component's weights; ``PhospheneError`` if one of its files is missing."""
    own = folder / name
    if name.startswith(("tokenizer", "scheduler")):
        if not (own.is_dir() and any(own.iterdir())):
            raise PhospheneError(f"model: {own} is missing or empty: {_remedy(model)}")
        return []
    if not (own / "config.json").is_file():
        raise PhospheneError(f"model: {own / 'config.json'} is missing: {_remedy(model)}")
    if not (files := component_weights(own, variant)):
        raise PhospheneError(
            f"model: no weights of type safetensors in {own} (pickled ones are not read): "
            f"{_remedy(model)}"
        )
    return files


def _identity(file: Path) -> str:
    found = file.stat()
    return f"{file.resolve()}|{found.st_size}|{found.st_mtime_ns}"


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _json(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PhospheneError(f"{file} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise PhospheneError(f"{file} cannot be read: expected an object")
    return found


def _write(file: Path, content: Mapping[str, str]) -> None:
    """Replace a file; another process may be writing the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    part.write_text(json.dumps(content, indent=1), encoding="utf-8")
    part.replace(file)
