"""``mixture``: a picture from the likeliest classes, weighted."""

from collections.abc import Mapping, Sequence

from phosphene import Context, Decoding, Generator, GeneratorConfig, Picture, hookimpl
from phosphene_plugins._diffusion.opening import open_painter
from phosphene_plugins._diffusion.settings import DiffusionSettings
from phosphene_plugins._distillation.settings import at_least


class MixtureConfig(DiffusionSettings, frozen=True, kw_only=True):
    """Draw the likeliest classes at once: their encoded prompts, weighted by probability.

    Needs the extra ``diffusion``.
    """

    uses = "probabilities"

    top: int = 3
    """How many classes are mixed at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("top", self.top, 1)

    def build(self, context: Context) -> Generator:
        """Return the generator, warmed up; ``PhospheneError`` says what to put where."""
        return Mixture(self, context)


@hookimpl
def generator() -> Mapping[str, type[GeneratorConfig]]:
    """Offer ``mixture``."""
    return {"mixture": MixtureConfig}


class Mixture:
    """Fresh noise by seed, drawn into a picture of several classes."""

    def __init__(self, config: MixtureConfig, context: Context) -> None:
        self._top = config.top
        self._painter = open_painter(config, context)
        self._prompts = self._painter.class_prompts(config.prompt, context.stimuli)
        self._painter.warm_up(self._prompts.first, context.progress)

    def generate(self, classes: Sequence[str], decoding: Decoding, *, seed: int) -> Picture:
        """Return a picture of the likeliest classes from the noise of ``seed``."""
        weights = likeliest(dict(zip(classes, decoding.probabilities[0], strict=True)), self._top)
        found = {wnid: self._prompts[wnid] for wnid in weights}
        mixed = self._painter.mix([each for _, each in found.values()], list(weights.values()))
        parts = [f"{weights[wnid]:.2f} {prompt}" for wnid, (prompt, _) in found.items()]
        card: dict[str, str | float] = {"generator": "mixture", "prompt": " + ".join(parts)}
        for number, (wnid, (prompt, _)) in enumerate(found.items(), 1):
            card[f"class_{number}"] = wnid
            card[f"prompt_{number}"] = prompt
            card[f"weight_{number}"] = weights[wnid]
        return self._painter.paint(mixed, next(iter(weights)), seed, card)


def likeliest(probabilities: Mapping[str, float], top: int) -> dict[str, float]:
    """Return the most probable classes, likeliest first, and weights that sum to 1.

    >>> likeliest({"n1": 0.125, "n2": 0.5, "n3": 0.0, "n4": 0.375}, top=2)
    {'n2': 0.5714285714285714, 'n4': 0.42857142857142855}
    """
    ordered = sorted(probabilities, key=lambda wnid: (-probabilities[wnid], wnid))[:top]
    kept = {wnid: float(probabilities[wnid]) for wnid in ordered if probabilities[wnid] > 0}
    total = sum(kept.values())
    return {wnid: value / total for wnid, value in kept.items()}
