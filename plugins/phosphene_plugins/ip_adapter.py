"""``ip-adapter``: a picture from an image embedding."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from phosphene import (
    Context,
    Decoding,
    Generator,
    GeneratorConfig,
    PhospheneError,
    Picture,
    hookimpl,
)
from phosphene_plugins._diffusion.opening import need_diffusion, open_painter
from phosphene_plugins._diffusion.settings import DiffusionSettings
from phosphene_plugins._distillation.settings import between


class IpAdapterConfig(DiffusionSettings, frozen=True, kw_only=True):
    """Draw what a decoded image embedding looks like. Needs the extra ``diffusion``.

    The decoder must have an embedding in the space that the adapter was trained for, as
    ``clip-retrieval`` has with ``features: {model: ViT-H-14, pretrained: laion2b_s32b_b79k}``.
    """

    uses = "embedding"
    prompt_may_be_empty: ClassVar[bool] = True

    adapter: Path
    """A plain IP-Adapter for the model: a safetensors file."""
    prompt: str = ""
    """What else is asked for: the likeliest class, as in ``stable-diffusion``; or nothing."""
    scale: float = 1.0
    """How much the embedding counts: 0 is not at all; with a prompt 0.5 to 0.8 is usual."""
    space: str = ""
    """How the name of the embedding's space must begin, e.g. ``ViT-H-14``; "" asks for the right
    number of dimensions only."""
    norm: float | None = None
    """Length that embeddings are scaled to, for a decoder that does not give them that of real
    images' embeddings; null takes them as they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        between("scale", self.scale, 0, 1)
        if self.norm is not None:
            between("norm", self.norm, 0.001, 1000)

    def build(self, context: Context) -> Generator:
        """Return the generator, warmed up; ``PhospheneError`` says what to put where."""
        return IpAdapter(self, context)


@hookimpl
def generator() -> Mapping[str, type[GeneratorConfig]]:
    """Offer ``ip-adapter``."""
    return {"ip-adapter": IpAdapterConfig}


class IpAdapter:
    """Fresh noise by seed, drawn into a picture that follows an embedding."""

    def __init__(self, config: IpAdapterConfig, context: Context) -> None:
        need_diffusion()
        from phosphene_plugins._diffusion.adapter import Adapter, check_space, find_adapter
        from phosphene_plugins._diffusion.checkpoint import sha256

        file = find_adapter(config.adapter)
        check_space(file, config.space)
        self._painter = open_painter(config, context, [file.path])
        self._adapter = Adapter(self._painter, file, config.scale)
        self._prompts = self._painter.class_prompts(config.prompt, context.stimuli)
        self.n_dimensions, self.space, self._norm = file.n_dimensions, config.space, config.norm
        self._card: dict[str, str | float] = {
            "generator": "ip-adapter",
            "adapter": file.path.name,
            "adapter_sha256": sha256([file.path], context.cache),
            "scale": config.scale,
        }
        nothing = self._follow(np.zeros(file.n_dimensions))
        self._painter.warm_up({**self._prompts.first, **nothing}, context.progress)

    def generate(self, classes: Sequence[str], decoding: Decoding, *, seed: int) -> Picture:
        """Return a picture of the decoded embedding from the noise of ``seed``.

        It is filed under the likeliest class. Raises ``PhospheneError`` if there is no embedding,
        or it is from another space.
        """
        decoded = self._embedding(decoding)
        length = float(np.linalg.norm(decoded))
        followed = decoded * ((self._norm or length) / length)
        wnid = classes[int(np.argmax(decoding.probabilities[0]))]
        prompt, conditions = self._prompts[wnid]
        card = self._card | {
            "prompt": prompt,
            "space": decoding.space,
            "embedding": b64encode(followed.astype("<f4").tobytes()).decode(),
            "decoded_norm": length,
        }
        conditions = {**conditions, **self._follow(followed)}
        return self._painter.paint(conditions, wnid, seed, card)

    def _embedding(self, decoding: Decoding) -> NDArray[np.floating]:
        wanted = self.n_dimensions
        if decoding.embedding is None:
            raise PhospheneError(
                "ip-adapter needs a decoder with an image embedding, such as clip-retrieval"
            )
        embedding: NDArray[np.floating] = decoding.embedding[0]
        if embedding.shape != (wanted,) or not decoding.space.startswith(self.space):
            raise PhospheneError(
                f"ip-adapter: {self._adapter.file.path.name} follows embeddings of {wanted} "
                f"dimensions{f' of {self.space}' * bool(self.space)}; the decoder's are "
                f"{len(embedding)} of {decoding.space or 'an unnamed space'}"
            )
        if not (np.isfinite(embedding).all() and embedding.any()):
            raise PhospheneError("ip-adapter: the embedding is all zeros, or not finite")
        return embedding

    def _follow(self, embedding: NDArray[np.floating]) -> Mapping[str, Any]:
        import torch

        return self._adapter.follow(torch.from_numpy(embedding.astype(np.float32)))
