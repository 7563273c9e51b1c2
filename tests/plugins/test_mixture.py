"""``mixture``: several classes in one picture, weighted by their probabilities."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene import Decoding, Picture
from phosphene.registry import load_registry
from phosphene.testing import examine
from phosphene.testing.images import CLASSES
from phosphene.testing.material import make_context
from phosphene_plugins.mixture import MixtureConfig, likeliest
from phosphene_plugins.stable_diffusion import StableDiffusionConfig

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")

CONTEXT = make_context()
WNIDS = tuple(sorted(CLASSES))
UNSURE = {WNIDS[0]: 0.1, WNIDS[1]: 0.6, WNIDS[2]: 0.0, WNIDS[3]: 0.3}
MODELS = pytest.mark.parametrize("model", ["tiny_sd", "tiny_sdxl"])


def draw(model: Path, probabilities: dict[str, float], seed: int = 1, **more: Any) -> Picture:
    generator = MixtureConfig(model=str(model), steps=2, **more).build(CONTEXT)
    decoding = Decoding(np.array([list(probabilities.values())]))
    return generator.generate(list(probabilities), decoding, seed=seed)


@MODELS
def test_with_one_certain_class_it_is_the_picture_of_its_prompt(
    request: pytest.FixtureRequest, model: str
) -> None:
    folder = request.getfixturevalue(model)
    certain = dict.fromkeys(WNIDS, 0.0) | {WNIDS[2]: 1.0}
    picture = draw(folder, certain)
    single = StableDiffusionConfig(model=str(folder), steps=2).build(CONTEXT)
    decoding = Decoding(np.array([list(certain.values())]))
    expected = single.generate(list(certain), decoding, seed=1)
    assert picture.wnid == WNIDS[2]
    np.testing.assert_array_equal(picture.pixels, expected.pixels)


@MODELS
def test_a_mixture_can_be_made_again_from_its_provenance_alone(
    request: pytest.FixtureRequest, model: str
) -> None:
    folder = request.getfixturevalue(model)
    picture = draw(folder, UNSURE, top=2)
    card: Any = picture.provenance
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    encoded = [
        pipeline.encode_prompt(
            prompt=card[f"prompt_{number}"],
            device="cpu",
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
        )
        for number in (1, 2)
    ]
    names = ["prompt_embeds", "negative_prompt_embeds"]
    names += ["pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
    conditions = dict(zip(names, encoded[0], strict=False))
    for place in range(0, len(encoded[0]), 2):
        parts = [card[f"weight_{number + 1}"] * encoded[number][place] for number in (0, 1)]
        conditions[names[place]] = torch.stack(parts).sum(0)
    found = pipeline(
        **conditions,
        num_inference_steps=card["steps"],
        guidance_scale=card["guidance"],
        generator=torch.Generator("cpu").manual_seed(card["seed"]),
    )
    np.testing.assert_array_equal(picture.pixels, np.asarray(found.images[0]))


def test_provenance_names_the_classes_and_their_weights(tiny_sd: Path) -> None:
    picture = draw(tiny_sd, UNSURE, top=2)
    card = picture.provenance
    assert picture.wnid == card["class_1"] == WNIDS[1]
    assert card["class_2"] == WNIDS[3]
    assert card["prompt_1"] == "an image of a second"
    assert (card["weight_1"], card["weight_2"]) == pytest.approx((2 / 3, 1 / 3))
    assert card["prompt"] == "0.67 an image of a second + 0.33 an image of a fourth"
    assert "class_3" not in card


def test_the_order_of_the_columns_makes_no_difference(tiny_sd: Path) -> None:
    turned = dict(reversed(UNSURE.items()))
    first, second = draw(tiny_sd, UNSURE), draw(tiny_sd, turned)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.provenance == second.provenance


def test_probabilities_make_a_difference(tiny_sd: Path) -> None:
    surer = UNSURE | {WNIDS[1]: 0.85, WNIDS[3]: 0.05}
    assert not np.array_equal(draw(tiny_sd, UNSURE).pixels, draw(tiny_sd, surer).pixels)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=9).filter(lambda values: sum(values) > 1e-6),
    st.integers(1, 5),
)
def test_weights_are_the_largest_probabilities_and_sum_to_one(
    values: list[float], top: int
) -> None:
    weights = likeliest({f"n{number}": value for number, value in enumerate(values)}, top)
    assert 1 <= len(weights) <= top
    assert sum(weights.values()) == pytest.approx(1)
    assert list(weights.values()) == sorted(weights.values(), reverse=True)
    assert values[int(next(iter(weights))[1:])] == max(values)


def test_no_class_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^top must be at least 1; found 0"):
        MixtureConfig(model="x", top=0)


def test_what_it_uses_decides_when_pictures_are_made() -> None:
    offers = load_registry().offers("generator")
    assert offers["stable-diffusion"] is StableDiffusionConfig
    assert offers["mixture"] is MixtureConfig
    assert (StableDiffusionConfig.uses, MixtureConfig.uses) == ("class", "probabilities")


@MODELS
def test_it_conforms(request: pytest.FixtureRequest, model: str) -> None:
    given = {"model": str(request.getfixturevalue(model)), "steps": 1}
    report = examine("generator", "mixture", given, load_registry())
    assert {result.check: result.text for result in report.failed} == {}
