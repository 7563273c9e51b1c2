"""``stable-diffusion``: a picture from the class's name."""

from collections.abc import Mapping, Sequence

import numpy as np

from phosphene import Context, Decoding, Generator, GeneratorConfig, Picture, hookimpl
from phosphene_plugins._diffusion.opening import open_painter
from phosphene_plugins._diffusion.settings import DiffusionSettings


class StableDiffusionConfig(DiffusionSettings, frozen=True, kw_only=True):
    """Draw the likeliest class from a prompt with its name. Needs the extra ``diffusion``."""

    uses = "class"

    def build(self, context: Context) -> Generator:
        """Return the generator, warmed up; ``PhospheneError`` says what to put where."""
        return StableDiffusion(self, context)


@hookimpl
def generator() -> Mapping[str, type[GeneratorConfig]]:
    """Offer ``stable-diffusion``."""
    return {"stable-diffusion": StableDiffusionConfig}


class StableDiffusion:
    """Fresh noise by seed, drawn into a picture of the likeliest class."""

    def __init__(self, config: StableDiffusionConfig, context: Context) -> None:
        self._painter = open_painter(config, context)
        self._prompts = self._painter.class_prompts(config.prompt, context.stimuli)
        self._painter.warm_up(self._prompts.first, context.progress)

    def generate(self, classes: Sequence[str], decoding: Decoding, *, seed: int) -> Picture:
        """Return a picture of the likeliest class from the noise of ``seed``."""
        wnid = classes[int(np.argmax(decoding.probabilities[0]))]
        prompt, conditions = self._prompts[wnid]
        card = {"generator": "stable-diffusion", "prompt": prompt}
        return self._painter.paint(conditions, wnid, seed, card)
