"""``clip`` and ``descriptor``: what pictures are compared with images by."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene import Context, ImageEncoder, ImageEncoderConfig, StimulusSet, hookimpl
from phosphene_plugins._distillation.features import DESCRIPTOR
from phosphene_plugins._distillation.settings import ImageFeatures, need


class ClipConfig(ImageEncoderConfig, frozen=True):
    """An open_clip model whose weights are on this computer. Needs the extra ``clip``."""

    model: str = ""
    """Architecture in open_clip's words, e.g. ``ViT-L-14``."""
    pretrained: str = ""
    """Weights by open_clip's tag, e.g. ``openai``; looked for in the cache of Hugging Face."""
    checkpoint: Path | None = None
    """Weights in a file, or a folder that also holds ``open_clip_config.json``."""

    def __post_init__(self) -> None:
        if not (self.checkpoint or (self.model and self.pretrained)):
            raise ValueError(
                "model: name the architecture and its pretrained weights, or a checkpoint"
            )

    def build(self, context: Context) -> ImageEncoder:
        """Return the encoder, loaded; ``PhospheneError`` says what to put where."""
        need("clip", "open_clip", "torchvision")
        from phosphene_plugins._distillation.clip import ClipModel

        source = ImageFeatures(self.model, self.pretrained, self.checkpoint)
        model = ClipModel(source, context.device, "clip")
        model.load()
        return model


class DescriptorConfig(ImageEncoderConfig, frozen=True):
    """The built-in descriptor of colours and edges: a stand-in where there are no weights."""

    def build(self, context: Context) -> ImageEncoder:
        """Return the encoder."""
        return Descriptor()


class Descriptor:
    """240 numbers an image; what they are is told by ``StimulusSet.describe``."""

    space = DESCRIPTOR

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return (n_images, 240), rows of unit length."""
        return StimulusSet.describe(images)


@hookimpl
def image_encoder() -> Mapping[str, type[ImageEncoderConfig]]:
    """Offer ``clip`` and ``descriptor``."""
    return {"clip": ClipConfig, "descriptor": DescriptorConfig}
