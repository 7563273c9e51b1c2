"""A loaded model: conditions and a seed to a picture and how it came to be."""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import PIL.Image
import torch

from phosphene import PhospheneError, Picture, StimulusSet
from phosphene_plugins._diffusion.prompts import prompts
from phosphene_plugins._diffusion.safety import SafetyChecker
from phosphene_plugins._diffusion.settings import DiffusionSettings

Conditions = dict[str, Any]
"""What a picture is to be of: keyword arguments of diffusers' pipeline."""
ENCODED = (
    "prompt_embeds",
    "negative_prompt_embeds",
    "pooled_prompt_embeds",
    "negative_pooled_prompt_embeds",
)
"""What an encoded prompt consists of; the latter two only in SDXL."""
Card = Mapping[str, str | int | float]

TRIES = 4
"""Pictures that are made for one order before the safety checker has the last word."""


class Painter:
    """Draws with a pipeline of diffusers; the noise comes from the CPU, alike on any device."""

    def __init__(
        self,
        pipeline: Any,  # noqa: ANN401
        settings: DiffusionSettings,
        size: int,
        card: Card,
        safety_checker: SafetyChecker | None,
    ) -> None:
        self.pipeline = pipeline
        self.card: Card = {**card, "width": size, "height": size}
        """What is the same for every picture, as provenance."""
        self._safety_checker = safety_checker
        self._negative_prompt = settings.negative_prompt or None
        self.guided = settings.guidance > 1 and not pipeline.unet.config.time_cond_proj_dim
        """Whether every step is drawn twice, with and without what is asked for."""
        if self._negative_prompt and not self.guided:
            raise PhospheneError(
                "negative_prompt has no effect: guidance is an input of this model's U-Net"
            )
        self._options = {
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance,
            "height": size,
            "width": size,
        }

    @torch.no_grad()
    def encode(self, prompt: str) -> Conditions:
        """Return what the text encoders make of a prompt, the negative one beside it."""
        self._check_length(prompt)
        found = self.pipeline.encode_prompt(
            prompt=prompt,
            device=self.pipeline.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=self.guided,
            negative_prompt=self._negative_prompt,
        )
        return {name: each for name, each in zip(ENCODED, found, strict=False) if each is not None}

    def class_prompts(self, template: str, stimuli: StimulusSet) -> "ClassPrompts":
        """Return the prompts of an image set's classes, encoded."""
        return ClassPrompts(self, template, stimuli)

    def mix(self, several: Sequence[Conditions], weights: Sequence[float]) -> Conditions:
        """Return the weighted sum of what encoded prompts ask for; the negative one is shared."""
        mixed = dict(several[0])
        for name in mixed.keys() & {"prompt_embeds", "pooled_prompt_embeds"}:
            parts = [
                weight * each[name].float() for weight, each in zip(weights, several, strict=True)
            ]
            mixed[name] = torch.stack(parts).sum(0).to(mixed[name].dtype)
        return mixed

    def warm_up(self, conditions: Conditions, report: Callable[[float, str], None]) -> None:
        """Draw one picture as all others will be, and report how long it took."""
        report(0.9, "the first picture")
        started = perf_counter()  # It is real work, whatever the session's clock does.
        self._draw(conditions, seed=0)
        report(1.0, f"the first picture took {perf_counter() - started:.2f} s")

    def paint(self, conditions: Conditions, wnid: str, seed: int, card: Card) -> Picture:
        """Return a picture; what is in ``card`` is said of it in its provenance.

        If the safety checker objects, others are made from seeds that follow from this one.
        Raises ``PhospheneError`` if it objects to all of them.
        """
        for flagged in range(TRIES):
            used = _derived(seed, flagged)
            image = self._draw(conditions, used)
            if not (self._safety_checker and self._safety_checker.objects(image)):
                provenance = {**self.card, **card, "seed": used, "flagged": flagged}
                return Picture(np.asarray(image), wnid, provenance)
        raise PhospheneError(f"the safety checker objected to {TRIES} pictures of {wnid} in a row")

    def _draw(self, conditions: Conditions, seed: int) -> PIL.Image.Image:
        noise = torch.Generator("cpu").manual_seed(seed)
        try:
            found = self.pipeline(**conditions, **self._options, generator=noise)
        except torch.OutOfMemoryError as error:
            raise PhospheneError(f"the GPU's memory ran out: {error}") from None
        image: PIL.Image.Image = found.images[0]
        return image

    def _check_length(self, prompt: str) -> None:
        """Refuse what the text encoder would cut off."""
        tokenizer = self.pipeline.tokenizer or self.pipeline.tokenizer_2
        for text in filter(None, (prompt, self._negative_prompt)):
            found, allowed = len(tokenizer(text).input_ids), tokenizer.model_max_length
            if found > allowed:
                raise PhospheneError(f"{text!r} has {found} tokens; the model reads {allowed}")


class ClassPrompts:
    """The prompts of all classes, encoded once."""

    def __init__(self, painter: Painter, template: str, stimuli: StimulusSet) -> None:
        self._prompts = prompts(template, stimuli)
        self._conditions = {wnid: painter.encode(text) for wnid, text in self._prompts.items()}

    def __getitem__(self, wnid: str) -> tuple[str, Conditions]:
        if wnid not in self._prompts:
            raise PhospheneError(f"the image set has no class {wnid}")
        return self._prompts[wnid], self._conditions[wnid]

    @property
    def first(self) -> Conditions:
        """What to warm up with."""
        return next(iter(self._conditions.values()))


def _derived(seed: int, number: int) -> int:
    """Return the seed itself, then others that follow from it and are not its neighbours."""
    if number == 0:
        return seed % 2**63
    sequence = np.random.SeedSequence((seed % 2**63, number))
    return int(sequence.generate_state(1, np.uint64)[0] % 2**63)
