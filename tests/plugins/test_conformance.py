"""Every bundled plugin of every hook conforms; one that is added is checked by itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mne
import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_model

from phosphene.registry import HOOKS, load_registry
from phosphene.testing import examine
from phosphene.testing.images import stimuli

REGISTRY = load_registry()
BUNDLED = [
    (hook, name)
    for plugin in REGISTRY.plugins
    if plugin.distribution == "phosphene"
    for hook, names in plugin.offers.items()
    for name in names
]

QUICK: Mapping[str, Mapping[str, Any]] = {
    "braindecode": {"model": "EEGNet", "epochs": 10},
    "kd-stft": {"epochs": 8, "widths": [16, 16]},
    "plain-stft": {"epochs": 8, "widths": [16, 16]},
    "standin": {"classes": 4, "images": 2, "gallery": 1, "size": 32},
}
"""Settings for what would take long; all others are checked with their defaults."""


@pytest.fixture(scope="module")
def needed(
    tmp_path_factory: pytest.TempPathFactory, tiny_sd: Path, tiny_sd_adapter: Path
) -> Mapping[str, Mapping[str, Any]]:
    """Return the settings of plugins that cannot do without."""
    file = tmp_path_factory.mktemp("recording") / "recording_raw.fif"
    info = mne.create_info(["Cz", "Pz"], 250.0, "eeg")
    data = np.random.default_rng(1).normal(0, 1e-5, (2, 1000))
    mne.io.RawArray(data, info, verbose="ERROR").save(file, verbose="ERROR")
    return {
        "brainflow": {"board": "synthetic"},
        "replay": {"file": str(file)},
        "folder": {"path": str(stimuli().root)},
        "stable-diffusion": {"model": str(tiny_sd), "steps": 1},
        "mixture": {"model": str(tiny_sd), "steps": 1},
        "ip-adapter": {"model": str(tiny_sd), "adapter": str(tiny_sd_adapter), "steps": 1},
        "listed": {"file": str(image_list(file.parent)), "folder": str(stimuli().root)},
        "eeg-cvpr40": {"file": str(published(file.parent))},
        "clip": {"checkpoint": str(tiny_clip(tmp_path_factory.mktemp("clip")))},
    }


def image_list(folder: Path) -> Path:
    """Write a table of the images of a set."""
    file = folder / "images.tsv"
    rows = [f"{image.id}\t{image.wnid}" for image in stimuli().images]
    file.write_text("\n".join(["image\twnid", *rows]) + "\n", encoding="utf-8")
    return file


def published(folder: Path) -> Path:
    """Write two segments as the authors of EEG-CVPR40 do."""
    named = [{"eeg": torch.zeros(2, 500), "image": n, "label": n, "subject": 1} for n in (0, 1)]
    wnids = ["n02389026", "n03888257"]
    content = {"dataset": named, "labels": wnids, "images": [f"{wnid}_1" for wnid in wnids]}
    torch.save(content, folder / "published.pth")
    return folder / "published.pth"


def tiny_clip(folder: Path) -> Path:
    """Write a CLIP of random weights as a downloaded repository holds it."""
    tower = {"layers": 1, "width": 8}
    vision = tower | {"image_size": 16, "patch_size": 8, "head_width": 8}
    text = tower | {"context_length": 4, "vocab_size": 16, "heads": 1}
    model = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
    save_model(open_clip.model.CLIP(**model), str(folder / "open_clip_model.safetensors"))
    return folder


def test_every_hook_has_a_bundled_plugin() -> None:
    assert {hook for hook, _ in BUNDLED} == set(HOOKS)


@pytest.mark.parametrize(("hook", "name"), BUNDLED)
def test_a_bundled_plugin_conforms(
    hook: str, name: str, needed: Mapping[str, Mapping[str, Any]]
) -> None:
    settings = needed.get(name) or QUICK.get(name) or {}
    report = examine(hook, name, settings, REGISTRY)
    assert {result.check: result.text for result in report.failed} == {}


def test_quick_settings_are_given_for_plugins_that_there_are(
    needed: Mapping[str, Mapping[str, Any]],
) -> None:
    assert {*QUICK, *needed} <= {name for _, name in BUNDLED}
