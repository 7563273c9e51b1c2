"""``stable-diffusion``: what is drawn, what is said of it, and what is refused before loading."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from phosphene import Context, Decoding, PhospheneError, Picture
from phosphene.registry import load_registry
from phosphene.testing import examine
from phosphene.testing.images import CLASSES
from phosphene.testing.material import make_context
from phosphene_plugins._diffusion.checkpoint import find_checkpoint, sha256
from phosphene_plugins._diffusion.memory import activations_bytes, check_memory
from phosphene_plugins._diffusion.plan import make_plan
from phosphene_plugins._diffusion.prompts import prompt
from phosphene_plugins._diffusion.settings import SCHEDULERS, Scheduler
from phosphene_plugins.stable_diffusion import StableDiffusionConfig

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings(
    # Some of diffusers' schedulers hand tensors to NumPy 2.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)

CONTEXT = make_context()
WNIDS = tuple(sorted(CLASSES))
REPOSITORY = Path(__file__).parents[2]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def settings(model: Path, **more: Any) -> StableDiffusionConfig:
    given = {"model": str(model), "steps": 2} | more
    return msgspec.convert(given, StableDiffusionConfig, dec_hook=lambda kind, value: kind(value))


def draw(
    model: Path, seed: int = 1, wnid: str = WNIDS[0], context: Context = CONTEXT, **more: Any
) -> Picture:
    certain = Decoding(np.eye(len(WNIDS))[[WNIDS.index(wnid)]])
    return settings(model, **more).build(context).generate(WNIDS, certain, seed=seed)


def plainly(folder: Path, card: Any, **more: Any) -> Any:
    """Draw with diffusers alone what a picture's provenance says."""
    kind = diffusers.DiffusionPipeline
    pipeline = kind.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    scheduler = getattr(diffusers, card["scheduler"])
    pipeline.scheduler = scheduler.from_config(
        pipeline.scheduler.config, **json.loads(card["scheduler_options"])
    )
    found = pipeline(
        **(more or {"prompt": card["prompt"]}),
        negative_prompt=card["negative_prompt"] or None,
        num_inference_steps=card["steps"],
        guidance_scale=card["guidance"],
        width=card["width"],
        height=card["height"],
        generator=torch.Generator("cpu").manual_seed(card["seed"]),
    )
    return np.asarray(found.images[0])


def copied(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder / "copy")
    return folder / "copy"


# What is drawn


@pytest.mark.parametrize("model", ["tiny_sd", "tiny_sdxl"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"guidance": 0, "scheduler": "euler-trailing"},
        {"scheduler": "euler-a", "negative_prompt": "blur", "size": 48, "steps": 3},
    ],
    ids=["defaults", "few steps", "all settings"],
)
def test_a_picture_can_be_made_again_from_its_provenance_alone(
    request: pytest.FixtureRequest, model: str, more: dict[str, Any]
) -> None:
    folder = request.getfixturevalue(model)
    picture = draw(folder, seed=2**40 + 1, **more)
    assert picture.pixels.std() > 10
    np.testing.assert_array_equal(picture.pixels, plainly(folder, picture.provenance))


@pytest.mark.parametrize("model", ["tiny_sd", "tiny_sdxl"])
def test_the_same_seed_gives_the_same_pixels_and_another_gives_others(
    request: pytest.FixtureRequest, model: str
) -> None:
    generator = settings(request.getfixturevalue(model)).build(CONTEXT)
    certain = Decoding(np.eye(len(WNIDS))[:1])
    first, other, again = (generator.generate(WNIDS, certain, seed=seed) for seed in (1, 2, 1))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.provenance == again.provenance
    assert not np.array_equal(first.pixels, other.pixels)


def test_the_likeliest_class_is_drawn(tiny_sd: Path) -> None:
    generator = settings(tiny_sd).build(CONTEXT)
    pictures = [
        generator.generate(WNIDS, Decoding(np.full((1, 4), 0.2) + 0.2 * row), seed=1)
        for row in np.eye(4)
    ]
    assert [picture.wnid for picture in pictures] == list(WNIDS)
    assert [picture.provenance["prompt"] for picture in pictures] == [
        "an image of a first",
        "an image of a second",
        "an image of a third",
        "an image of a fourth",
    ]
    assert len({picture.pixels.tobytes() for picture in pictures}) == 4


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_draws(tiny_sd: Path, name: Scheduler) -> None:
    picture = draw(tiny_sd, scheduler=name, steps=4)
    assert picture.provenance["scheduler"] == SCHEDULERS[name][0]
    same = np.array_equal(picture.pixels, draw(tiny_sd, steps=4).pixels)
    assert same == (name == "pndm")  # The checkpoint's own.


def test_the_size_is_the_models_own_unless_another_is_asked_for(tiny_sd: Path) -> None:
    assert draw(tiny_sd).pixels.shape == (32, 32, 3)
    assert draw(tiny_sd, size=64).pixels.shape == (64, 64, 3)


def test_half_precision_is_used_where_asked_for(tiny_sd: Path) -> None:
    half, full = draw(tiny_sd, precision="half"), draw(tiny_sd)
    assert (half.provenance["precision"], full.provenance["precision"]) == ("half", "full")
    assert half.pixels.std() > 10


def test_it_is_warmed_up_when_it_is_built(tiny_sd: Path) -> None:
    told: list[tuple[float, str]] = []
    context = replace(CONTEXT, progress=lambda done, text: told.append((done, text)))
    settings(tiny_sd).build(context)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == 1.0
    assert told[-1][1].startswith("the first picture took ")


# Prompts


def names() -> list[str]:
    file = REPOSITORY / "stimuli" / "phosphene_stimuli" / "classes.tsv"
    with file.open(encoding="utf-8") as lines:
        return [row["name"] for row in csv.DictReader(lines, delimiter="\t")]


AN = {
    "iron",
    "anemone fish",
    "espresso maker",
    "electric guitar",
    "African elephant",
    "airliner",
    "electric locomotive",
    "Egyptian cat",
}


@pytest.mark.parametrize("name", names())
def test_each_of_the_papers_classes_has_its_article(name: str) -> None:
    article = "an" if name in AN else "a"
    assert prompt("an image of {a_class}", name) == f"an image of {article} {name}"
    assert prompt("an image of a {class}", name) == f"an image of a {name}"  # The paper's.


@pytest.mark.parametrize(
    "phrase",
    [
        "an hourglass",
        "a honeycomb",
        "a unicycle",
        "a ukulele",
        "an umbrella",
        "an upright",
        "a utensil",
        "a European gallinule",
        "a one-armed bandit",
        "an onion",
        "an X-ray",
        "a T-shirt",
        "an LCD screen",
        "a CD player",
        "an iPod",
    ],
)
def test_articles_follow_the_sound(phrase: str) -> None:
    name = phrase.split(" ", maxsplit=1)[1]
    assert prompt("{a_class}", name) == phrase


@given(st.lists(st.text(LETTERS, min_size=1), min_size=1, max_size=4))
def test_a_prompt_names_the_first_synonym_and_nothing_else(synonyms: list[str]) -> None:
    listed = ", ".join(synonyms)
    assert prompt("a photo of {class}!", listed) == f"a photo of {synonyms[0]}!"
    assert prompt("{a_class}", listed) in (f"a {synonyms[0]}", f"an {synonyms[0]}")


@pytest.mark.parametrize("template", ["a dog", "{name}", "{class!r}", "{class:>9}", "{class", "{}"])
def test_a_prompt_that_no_class_can_be_filled_into_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"^prompt.*\{class\} and \{a_class\}"):
        StableDiffusionConfig(model="x", prompt=template)


def test_a_prompt_that_the_model_would_cut_off_is_refused(tiny_sd: Path) -> None:
    with pytest.raises(PhospheneError, match=r"has \d+ tokens; the model reads 77"):
        draw(tiny_sd, prompt="{class} " + "a" * 80)


def test_a_class_that_the_image_set_has_not_is_refused(tiny_sd: Path) -> None:
    generator = settings(tiny_sd).build(CONTEXT)
    with pytest.raises(PhospheneError, match="no class n99999999"):
        generator.generate(["n99999999"], Decoding(np.ones((1, 1))), seed=1)


# Settings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 50),
        ("size", 0),
        ("size", 4096),
        ("steps", 0),
        ("guidance", -1),
        ("guidance", 51),
    ],
)
def test_a_value_that_can_never_work_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"^{field} must be"):
        settings(Path("x"), **{field: value})


def test_settings_without_effect_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^negative_prompt takes guidance"):
        StableDiffusionConfig(model="x", negative_prompt="blur", guidance=0)
    with pytest.raises(ValueError, match=r"^safety_checker_folder is of no use"):
        StableDiffusionConfig(model="x", safety_checker=False, safety_checker_folder=Path())


# Weights


@pytest.mark.parametrize("model", ["tiny_sd", "tiny_sdxl"])
def test_it_conforms(request: pytest.FixtureRequest, model: str) -> None:
    given = {"model": str(request.getfixturevalue(model)), "steps": 1}
    report = examine("generator", "stable-diffusion", given, load_registry())
    assert {result.check: result.text for result in report.failed} == {}


def test_a_repository_is_found_in_the_cache_without_the_network(
    tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models--lab--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(tiny_sd, repository / "snapshots" / ("0" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    asked: list[object] = []
    for name in ("socket.socket.connect", "socket.getaddrinfo"):
        monkeypatch.setattr(name, lambda *address, **_: asked.append(address))
    picture = draw(Path("lab/tiny"))
    assert asked == []
    assert picture.provenance["model"] == "lab/tiny"
    np.testing.assert_array_equal(picture.pixels, draw(tiny_sd).pixels)


@pytest.mark.parametrize("half", [True, False])
def test_weights_of_16_bits_are_taken_if_there_are_no_others(
    tiny_sd: Path, tmp_path: Path, half: bool
) -> None:
    folder = copied(tiny_sd, tmp_path)
    for file in folder.glob("*/*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    assert find_checkpoint(str(folder), half=half).variant == "fp16"
    np.testing.assert_array_equal(draw(folder).pixels, draw(tiny_sd).pixels)


def test_the_hash_is_that_of_the_weights_and_is_remembered(tiny_sd: Path, tmp_path: Path) -> None:
    folder = copied(tiny_sd, tmp_path)
    cache = tmp_path / "cache"
    before = find_checkpoint(str(folder), half=False).files
    first = sha256(before, cache)
    assert first == draw(tiny_sd).provenance["model_sha256"] == sha256(before, cache)
    remembered = json.loads((cache / "weights-sha256.json").read_text())
    assert len(remembered) == len(before) == 3

    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["conv_in.bias"] += 1
    save_file(tensors, file, {"format": "pt"})
    assert sha256(before, cache) != first


def test_other_weights_for_the_unet_come_from_a_file_or_a_folder(
    tiny_sd: Path, tmp_path: Path
) -> None:
    bare = copied(tiny_sd, tmp_path)
    unet = bare / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(unet)
    tensors["conv_in.bias"] += 1
    changed = tmp_path / "lightning_4step_unet.safetensors"
    save_file(tensors, changed, {"format": "pt"})
    from_file = draw(tiny_sd, unet=str(changed))
    assert from_file.provenance["unet"] == changed.name
    (tmp_path / "one").mkdir()
    shutil.copy(changed, tmp_path / "one")
    np.testing.assert_array_equal(
        draw(tiny_sd, unet=str(tmp_path / "one")).pixels, from_file.pixels
    )
    assert not np.array_equal(from_file.pixels, draw(tiny_sd).pixels)

    whole = tmp_path / "unet"
    shutil.copytree(bare / "unet", whole)
    shutil.copy(changed, whole / "diffusion_pytorch_model.safetensors")
    unet.unlink()  # Those of the checkpoint are not needed any more.
    np.testing.assert_array_equal(draw(bare, unet=str(whole)).pixels, from_file.pixels)


def test_a_consistency_model_takes_guidance_as_an_input(tiny_sd: Path, tmp_path: Path) -> None:
    kind = diffusers.UNet2DConditionModel
    unet = kind.from_config(kind.load_config(tiny_sd / "unet"), time_cond_proj_dim=8)
    folder = copied(tiny_sd, tmp_path)
    edit(folder / "model_index.json", _class_name="LatentConsistencyModelPipeline")
    unet.save_pretrained(folder / "unet")
    weak, strong = (draw(folder, scheduler="lcm", guidance=guidance) for guidance in (2, 8))
    assert not np.array_equal(weak.pixels, strong.pixels)
    with pytest.raises(PhospheneError, match="negative_prompt has no effect"):
        draw(folder, scheduler="lcm", negative_prompt="blur")


KOHYA = ("lora_unet_{}.lora_down.weight", "lora_unet_{}.lora_up.weight", "lora_unet_{}.alpha")
PEFT = ("unet.{}.lora_A.weight", "unet.{}.lora_B.weight", "unet.{}.alpha")


@pytest.mark.parametrize("keys", [KOHYA, PEFT], ids=["kohya", "peft"])
def test_a_lora_is_added_to_the_weights(
    tiny_sd: Path, tmp_path: Path, keys: tuple[str, str, str]
) -> None:
    folder = copied(tiny_sd, tmp_path)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    parts: dict[str, Any] = {}
    rng = np.random.default_rng(1)
    for layer in ("conv_in", "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"):
        shape = tensors[f"{layer}.weight"].shape
        down = rng.normal(size=(2, *shape[1:])).astype(np.float32)
        up = rng.normal(size=(shape[0], 2, *(1 for _ in shape[2:]))).astype(np.float32)
        change = np.tensordot(up.reshape(shape[0], 2), down, 1)
        tensors[f"{layer}.weight"] += 0.25 * change  # alpha / rank
        name = layer.replace(".", "_") if keys is KOHYA else layer
        values = (down, up, np.array(0.5, np.float32))
        parts |= {key.format(name): value for key, value in zip(keys, values, strict=True)}
    save_file(tensors, file, {"format": "pt"})
    save_file(parts, tmp_path / "lora.safetensors")
    picture = draw(tiny_sd, lora=str(tmp_path / "lora.safetensors"))
    np.testing.assert_allclose(picture.pixels.astype(int), draw(folder).pixels, atol=1)
    assert not np.array_equal(picture.pixels, draw(tiny_sd).pixels)
    assert picture.provenance["lora"] == "lora.safetensors"


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        ({"lora_unet_x.lora_down.weight": (2, 8), "lora_unet_x.lora_up.weight": (8, 2)}, "no lora"),
        ({"unet.conv_in.lora_A.weight": (2, 3), "unet.conv_in.lora_B.weight": (8, 2)}, "288"),
        ({"unet.conv_in.lora_A.weight": (2, 3)}, "no LoRA's"),
        ({"unet.conv_in.weight": (2, 3)}, "no LoRA's"),
    ],
)
def test_a_lora_for_another_model_is_refused(
    tiny_sd: Path, tmp_path: Path, tensors: dict[str, tuple[int, ...]], text: str
) -> None:
    file = tmp_path / "lora.safetensors"
    save_file({key: np.zeros(shape, np.float32) for key, shape in tensors.items()}, file)
    with pytest.raises(PhospheneError, match=rf"^lora: .*does not fit.*{text}"):
        draw(tiny_sd, lora=str(file))


def test_a_unet_for_another_model_is_refused(tiny_sd: Path, tmp_path: Path) -> None:
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "unet.safetensors")
    with pytest.raises(PhospheneError, match=r"^unet: .*does not fit"):
        draw(tiny_sd, unet=str(tmp_path / "unet.safetensors"))


# What is missing


def test_a_model_that_is_nowhere_says_what_to_download_and_where_from(tmp_path: Path) -> None:
    with pytest.raises(PhospheneError, match=r"https://huggingface.co/lab/none .*hf download lab/"):
        draw(Path("lab/none"))
    with pytest.raises(PhospheneError, match=r"neither a folder .*nowhere.* nor a repository"):
        draw(tmp_path / "nowhere")
    with pytest.raises(PhospheneError, match=r"holds no model_index.json: download"):
        draw(tmp_path)
    (tmp_path / "all.safetensors").touch()
    with pytest.raises(PhospheneError, match=r"is a single file, .*from_single_file"):
        draw(tmp_path / "all.safetensors")


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("unet/diffusion_pytorch_model.safetensors", "no weights of type safetensors in .*unet"),
        ("text_encoder/model.safetensors", "no weights of type safetensors in .*text_encoder"),
        ("vae/config.json", "vae/config.json is missing"),
        ("scheduler/scheduler_config.json", "scheduler is missing or empty"),
        ("safety_checker/model.safetensors", "safety_checker must hold config.json"),
        ("feature_extractor/preprocessor_config.json", "must hold .*preprocessor_config.json"),
    ],
)
def test_a_model_that_lacks_a_part_says_which(
    tiny_sd: Path, tmp_path: Path, missing: str, text: str
) -> None:
    folder = copied(tiny_sd, tmp_path)
    (folder / missing).unlink()
    with pytest.raises(PhospheneError, match=rf"{text}.*https://huggingface.co/"):
        draw(folder)


def test_pickled_weights_are_not_read(tiny_sd: Path, tmp_path: Path) -> None:
    folder = copied(tiny_sd, tmp_path)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(PhospheneError, match="pickled ones are not read"):
        draw(folder)


def test_a_model_of_another_kind_is_refused(tiny_sd: Path, tmp_path: Path) -> None:
    folder = copied(tiny_sd, tmp_path)
    edit(folder / "model_index.json", _class_name="FluxPipeline")
    with pytest.raises(PhospheneError, match="is of a FluxPipeline; allowed: StableDiffusionPi"):
        draw(folder)


def test_damaged_weights_are_refused_in_words(tiny_sd: Path, tmp_path: Path) -> None:
    folder = copied(tiny_sd, tmp_path)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(PhospheneError, match="cannot be loaded"):
        draw(folder)


def edit(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_missing_library_says_what_to_install(
    tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phosphene_plugins._distillation.settings.find_spec", lambda _: None)
    with pytest.raises(PhospheneError, match=r"diffusers.*pip install 'phosphene\[diffusion\]'"):
        draw(tiny_sd)


def test_a_device_that_there_is_not_is_refused(tiny_sd: Path) -> None:
    with pytest.raises(PhospheneError, match="device 'quantum' cannot be used"):
        draw(tiny_sd, context=replace(CONTEXT, device="quantum"))


# Size and memory


def test_a_model_with_pictures_too_large_for_a_message_is_refused(
    tiny_sd: Path, tmp_path: Path
) -> None:
    folder = copied(tiny_sd, tmp_path)
    edit(folder / "unet" / "config.json", sample_size=2048)
    with pytest.raises(PhospheneError, match=r"^size: .*4096 x 4096 pixels.*a size of 2288"):
        draw(folder)


def test_too_little_memory_is_told_in_numbers() -> None:
    check_memory(free=3 * 2**30, needed=3 * 2**30)
    with pytest.raises(PhospheneError, match=r"has 2.5 GiB .* take about 3.0 GiB.*half"):
        check_memory(free=5 * 2**29, needed=3 * 2**30)


def test_what_is_needed_are_the_weights_and_an_allowance_for_drawing(tiny_sd: Path) -> None:
    plan = make_plan(settings(tiny_sd), half=False)
    files = [*tiny_sd.glob("*/*.safetensors")]
    weights = sum(tensor.size for file in files for tensor in load_file(file).values())
    drawing = activations_bytes(plan.checkpoint, plan.size, 2)
    assert plan.needed(2) == 2 * weights + drawing
    assert plan.needed(4) - plan.needed(2) == 2 * weights + 4 * 8 * 32 * 32 * 2
    unchecked = make_plan(settings(tiny_sd, safety_checker=False), half=False)
    assert unchecked.needed(2) < plan.needed(2)
    assert plan.needed(2, files) == plan.needed(2) + 2 * weights


def test_memory_is_checked_before_anything_is_loaded(
    tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phosphene_plugins._diffusion.loading.find_device", torch.device)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (2**20, 2**30))
    monkeypatch.setattr("diffusers.StableDiffusionPipeline.from_pretrained", not_loaded)
    with pytest.raises(PhospheneError, match=r"the GPU has 0\.0 GiB"):
        draw(tiny_sd, context=replace(CONTEXT, device="cuda"))


def not_loaded(*_: object, **__: object) -> None:
    raise AssertionError("it was loaded")


# Safety


Flagging = Callable[[Path], Path]


@pytest.fixture
def flagging(tmp_path: Path) -> Flagging:
    """Return a copy of a model whose safety checker objects to everything."""

    def flag(model: Path) -> Path:
        folder = copied(model, tmp_path)
        file = folder / "safety_checker" / "model.safetensors"
        save_file(load_file(file) | {"concept_embeds_weights": np.full(17, -2.0, np.float32)}, file)
        return folder

    return flag


def test_a_picture_that_the_safety_checker_objects_to_is_never_shown(
    tiny_sd: Path, flagging: Flagging
) -> None:
    folder = flagging(tiny_sd)
    with pytest.raises(PhospheneError, match=f"objected to 4 pictures of {WNIDS[0]}"):
        draw(folder)
    free = draw(folder, safety_checker=False)
    np.testing.assert_array_equal(free.pixels, draw(tiny_sd).pixels)
    assert free.provenance["safety_checker"] == "off"


def test_a_picture_that_is_objected_to_is_made_again_from_another_seed(
    tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = iter([True, True, False, True, True, False])
    monkeypatch.setattr(
        "phosphene_plugins._diffusion.safety.SafetyChecker.objects", lambda *_: next(verdicts)
    )
    first, again = draw(tiny_sd, seed=5), draw(tiny_sd, seed=5)
    assert first.provenance["flagged"] == 2
    assert first.provenance["seed"] not in (5, 6, 7)
    assert first.provenance == again.provenance
    np.testing.assert_array_equal(first.pixels, plainly(tiny_sd, first.provenance))


def test_a_model_without_a_safety_checker_says_so_or_is_given_one(
    tiny_sd: Path, tiny_sdxl: Path, flagging: Flagging
) -> None:
    assert draw(tiny_sd).provenance["safety_checker"] == "of the checkpoint"
    assert draw(tiny_sdxl).provenance["safety_checker"] == "none in the checkpoint"
    given = tiny_sd / "safety_checker"
    assert draw(tiny_sdxl, safety_checker_folder=str(given)).provenance["flagged"] == 0
    with pytest.raises(PhospheneError, match="objected"):
        draw(tiny_sdxl, safety_checker_folder=str(flagging(tiny_sd) / "safety_checker"))
