"""``ip-adapter``: pictures that follow a decoded image embedding."""

from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from phosphene import Decoding, PhospheneError, Picture
from phosphene.registry import load_registry
from phosphene.testing import examine
from phosphene.testing.images import CLASSES
from phosphene.testing.material import DOMAINS, held_out, make_context, training_set
from phosphene_plugins._diffusion.plan import make_plan
from phosphene_plugins.clip_retrieval import ClipRetrievalConfig
from phosphene_plugins.ip_adapter import IpAdapterConfig
from phosphene_plugins.stable_diffusion import StableDiffusionConfig

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
safetensors = pytest.importorskip("safetensors.torch")
pytest.importorskip("transformers")

CONTEXT = make_context()
WNIDS = tuple(sorted(CLASSES))
N_DIMENSIONS = 12
MODELS = pytest.mark.parametrize("model", ["tiny_sd", "tiny_sdxl"])


def seen(number: int, space: str = "ViT-S-14/random") -> Decoding:
    """Return a decoding of the second class with some embedding."""
    embedding = np.random.default_rng(number).standard_normal((1, N_DIMENSIONS))
    return Decoding(np.array([[0.1, 0.6, 0.2, 0.1]]), embedding, space)


def build(model: Path, adapter: Path, **more: Any) -> Any:
    given = {"steps": 2, **more}
    return IpAdapterConfig(model=str(model), adapter=adapter, **given).build(CONTEXT)


def draw(generator: Any, decoding: Decoding, seed: int = 1) -> Picture:
    found: Picture = generator.generate(WNIDS, decoding, seed=seed)
    return found


def same(first: Picture, second: Picture) -> bool:
    return np.array_equal(first.pixels, second.pixels)


def adapter_of(request: pytest.FixtureRequest, model: str) -> tuple[Path, Path]:
    return request.getfixturevalue(model), request.getfixturevalue(f"{model}_adapter")


@MODELS
def test_the_picture_follows_embedding_and_seed(request: pytest.FixtureRequest, model: str) -> None:
    generator = build(*adapter_of(request, model))
    first = draw(generator, seen(1))
    assert same(first, draw(generator, seen(1)))
    assert not same(first, draw(generator, seen(2)))
    assert not same(first, draw(generator, seen(1), seed=2))
    assert first.wnid == WNIDS[1]


@MODELS
def test_a_picture_can_be_made_again_from_its_provenance_alone(
    request: pytest.FixtureRequest, model: str
) -> None:
    folder, adapter = adapter_of(request, model)
    picture = draw(build(folder, adapter, scale=0.7, prompt="a photo of {a_class}"), seen(3))
    card: Any = picture.provenance
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_ip_adapter(
        adapter.parent, subfolder="", weight_name=card["adapter"], image_encoder_folder=None
    )
    pipeline.set_ip_adapter_scale(card["scale"])
    followed = torch.tensor(np.frombuffer(b64decode(card["embedding"]), "<f4")).reshape(1, 1, -1)
    found = pipeline(
        prompt=card["prompt"],
        ip_adapter_image_embeds=[torch.cat([torch.zeros_like(followed), followed])],
        num_inference_steps=card["steps"],
        guidance_scale=card["guidance"],
        generator=torch.Generator("cpu").manual_seed(card["seed"]),
    )
    np.testing.assert_array_equal(picture.pixels, np.asarray(found.images[0]))


@MODELS
def test_at_scale_0_it_is_the_picture_of_the_prompt(
    request: pytest.FixtureRequest, model: str
) -> None:
    folder, adapter = adapter_of(request, model)
    prompt = "an image of {a_class}"
    plain = StableDiffusionConfig(model=str(folder), steps=2, prompt=prompt).build(CONTEXT)
    without = build(folder, adapter, scale=0.0, prompt=prompt)
    expected = plain.generate(WNIDS, seen(1), seed=1)
    difference = draw(without, seen(1)).pixels.astype(int) - expected.pixels
    assert np.abs(difference).max() <= 1  # Attention is computed in another order.


def test_without_guidance_the_embedding_is_all_there_is(
    tiny_sd: Path, tiny_sd_adapter: Path
) -> None:
    generator = build(tiny_sd, tiny_sd_adapter, guidance=0)
    assert not same(draw(generator, seen(1)), draw(generator, seen(2)))


def test_a_prompt_makes_a_difference(tiny_sd: Path, tiny_sd_adapter: Path) -> None:
    alone = draw(build(tiny_sd, tiny_sd_adapter), seen(1))
    mixed = draw(build(tiny_sd, tiny_sd_adapter, prompt="an image of {a_class}"), seen(1))
    assert not same(alone, mixed)
    assert (alone.provenance["prompt"], mixed.provenance["prompt"]) == (
        "",
        "an image of a second",
    )


def test_provenance_names_adapter_and_space(tiny_sd: Path, tiny_sd_adapter: Path) -> None:
    card = draw(build(tiny_sd, tiny_sd_adapter, scale=0.5), seen(1)).provenance
    assert card["generator"] == "ip-adapter"
    assert card["adapter"] == "ip-adapter_tiny-sd.safetensors"
    assert len(str(card["adapter_sha256"])) == 64
    assert (card["scale"], card["space"]) == (0.5, "ViT-S-14/random")


def test_embeddings_of_another_kind_are_refused(tiny_sd: Path, tiny_sd_adapter: Path) -> None:
    generator = build(tiny_sd, tiny_sd_adapter, space="ViT-S-14")
    draw(generator, seen(1))
    with pytest.raises(PhospheneError, match="needs a decoder with an image embedding"):
        draw(generator, Decoding(np.eye(4)[[0]]))
    with pytest.raises(PhospheneError, match=r"of 12 dimensions of ViT-S-14; .* 12 of ViT-L-14"):
        draw(generator, seen(1, "ViT-L-14/openai"))
    short = replace(seen(1), embedding=np.ones((1, 3)))
    with pytest.raises(PhospheneError, match=r"12 dimensions .*; the decoder's are 3 of ViT-S"):
        draw(generator, short)
    for nothing in (np.nan, 0.0):
        with pytest.raises(PhospheneError, match="all zeros, or not finite"):
            draw(generator, replace(seen(1), embedding=np.full((1, N_DIMENSIONS), nothing)))


def test_a_space_of_other_dimensions_is_refused_before_a_session(
    tiny_sd: Path, tiny_sd_adapter: Path
) -> None:
    with pytest.raises(PhospheneError, match=r"space: .* ViT-H-14/laion2b .* 1024 .* of 12$"):
        build(tiny_sd, tiny_sd_adapter, space="ViT-H-14/laion2b")


def test_the_length_of_embeddings_can_be_set(tiny_sd: Path, tiny_sd_adapter: Path) -> None:
    short, long = (replace(seen(1), embedding=seen(1).embedding * by) for by in (0.1, 2.0))
    as_decoded, scaled = (build(tiny_sd, tiny_sd_adapter, norm=norm) for norm in (None, 7.0))
    assert not same(draw(as_decoded, short), draw(as_decoded, long))
    pictures = [draw(scaled, each) for each in (short, long)]
    assert np.abs(pictures[0].pixels.astype(int) - pictures[1].pixels).max() <= 1
    for picture, decoded in zip(pictures, (short, long), strict=True):
        followed = np.frombuffer(b64decode(str(picture.provenance["embedding"])), "<f4")
        assert np.linalg.norm(followed) == pytest.approx(7)
        expected = pytest.approx(np.linalg.norm(np.asarray(decoded.embedding)))
        assert picture.provenance["decoded_norm"] == expected


def test_the_adapter_counts_in_the_memory_that_is_asked_for(
    tiny_sd: Path, tiny_sd_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = IpAdapterConfig(model=str(tiny_sd), adapter=tiny_sd_adapter)
    free = make_plan(config, half=True).needed(bytes_each=2)
    monkeypatch.setattr("phosphene_plugins._diffusion.loading.find_device", torch.device)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (free, free))
    with pytest.raises(PhospheneError, match=r"GiB of free memory; model and picture take"):
        config.build(replace(CONTEXT, device="cuda"))


def test_a_missing_adapter_says_what_to_download(tiny_sd: Path, tmp_path: Path) -> None:
    with pytest.raises(PhospheneError, match=r"adapter: there is no .* download one of") as error:
        build(tiny_sd, tmp_path / "none.safetensors")
    assert "models/ip-adapter_sd15.safetensors" in str(error.value)


def test_a_pickle_is_not_opened(tiny_sd: Path, tmp_path: Path) -> None:
    file = tmp_path / "ip-adapter_sd15.bin"
    file.write_bytes(b"anything")
    with pytest.raises(PhospheneError, match="is a pickle, which may run code"):
        build(tiny_sd, file)


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        ("image_proj.latents", "'plus' adapter"),
        ("image_proj.proj.3.weight", "'full face' adapter"),
        ("image_proj.proj.0.weight", "'face id' adapter"),
        ("image_proj.perceiver_resampler.proj_in.weight", "'face id plus' adapter"),
        ("image_proj.proj.weight", "is no IP-Adapter"),
        ("something.else", "is no IP-Adapter"),
    ],
)
def test_other_kinds_of_adapters_are_told_by_their_tensors(
    tiny_sd: Path, tmp_path: Path, tensor: str, says: str
) -> None:
    file = tmp_path / "adapter.safetensors"
    safetensors.save_file({tensor: torch.zeros(2, 2)}, file)
    with pytest.raises(PhospheneError, match=says):
        build(tiny_sd, file)


@pytest.mark.parametrize("damage", [lambda _: b"nothing", lambda content: content[:-1]])
def test_a_damaged_file_is_refused(
    tiny_sd: Path, tiny_sd_adapter: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "adapter.safetensors"
    file.write_bytes(damage(tiny_sd_adapter.read_bytes()))
    with pytest.raises(PhospheneError, match="damaged"):
        build(tiny_sd, file)


def test_an_adapter_of_another_model_is_refused(tiny_sd: Path, tiny_sdxl_adapter: Path) -> None:
    with pytest.raises(PhospheneError, match=r"words have 32 numbers; those of this model have 16"):
        build(tiny_sd, tiny_sdxl_adapter)


def test_one_with_layers_missing_is_refused(
    tiny_sd: Path, tiny_sd_adapter: Path, tmp_path: Path
) -> None:
    tensors = safetensors.load_file(tiny_sd_adapter)
    del tensors["ip_adapter.1.to_k_ip.weight"]
    file = tmp_path / "short.safetensors"
    safetensors.save_file(tensors, file)
    with pytest.raises(PhospheneError, match=r"short\.safetensors cannot be loaded"):
        build(tiny_sd, file)


@pytest.mark.parametrize("wrong", [{"scale": 1.5}, {"prompt": "an image"}, {"norm": 0.0}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        IpAdapterConfig(model="x", adapter=Path("y"), **wrong)


def test_it_draws_what_clip_retrieval_decodes(
    tiny_sd: Path, tiny_sd_adapter: Path, tmp_path: Path
) -> None:
    data, new = training_set(DOMAINS[0]), held_out(DOMAINS[0])
    images = [image.id for image in data.stimuli.images]
    rng = np.random.default_rng(0)
    looks = {wnid: 5 * rng.standard_normal(N_DIMENSIONS) for wnid in WNIDS}
    features = [looks[data.stimuli[i].wnid] + rng.standard_normal(N_DIMENSIONS) for i in images]
    np.savez(tmp_path / "looks.npz", ids=images, features=features)
    settings = {"features": {"npz": tmp_path / "looks.npz"}, "epochs": 5, "zero_shot": 0}
    decoder = msgspec.convert(settings, ClipRetrievalConfig).fit(data, CONTEXT)
    generator = build(tiny_sd, tiny_sd_adapter, space="looks.npz")
    decodings = [decoder.decode(new.epochs[[row]]) for row in (0, 1)]
    pictures = [generator.generate(decoder.classes, each, seed=1) for each in decodings]
    likeliest = [decoder.classes[int(each.probabilities.argmax())] for each in decodings]
    assert [picture.wnid for picture in pictures] == likeliest
    assert not same(*pictures)
    followed = np.frombuffer(b64decode(str(pictures[0].provenance["embedding"])), "<f4")
    length = np.linalg.norm(features, axis=1).mean()
    assert np.linalg.norm(followed) == pytest.approx(length, rel=0.02)


def test_it_asks_for_an_embedding() -> None:
    assert load_registry().offers("generator")["ip-adapter"] is IpAdapterConfig
    assert IpAdapterConfig.uses == "embedding"


@MODELS
def test_it_conforms(request: pytest.FixtureRequest, model: str) -> None:
    folder, adapter = adapter_of(request, model)
    given = {"model": str(folder), "adapter": str(adapter), "steps": 1}
    report = examine("generator", "ip-adapter", given, load_registry())
    assert {result.check: result.text for result in report.failed} == {}
