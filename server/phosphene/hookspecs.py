"""The hooks: each returns what it offers as ``{name: config class}`` and is called once."""

from collections.abc import Mapping

import pluggy

from phosphene.interfaces import (
    DatasetConfig,
    DecoderConfig,
    EpochStepConfig,
    GeneratorConfig,
    ImageEncoderConfig,
    ParadigmConfig,
    SourceConfig,
    StimulusSetConfig,
    StreamStepConfig,
)

hookspec = pluggy.HookspecMarker("phosphene")
hookimpl = pluggy.HookimplMarker("phosphene")


@hookspec
def acquisition() -> Mapping[str, type[SourceConfig]]:  # type: ignore[empty-body]
    """Offer signal sources."""


@hookspec
def preprocessing() -> Mapping[str, type[StreamStepConfig | EpochStepConfig]]:  # type: ignore[empty-body]
    """Offer steps for the running signal or for epochs."""


@hookspec
def decoder() -> Mapping[str, type[DecoderConfig]]:  # type: ignore[empty-body]
    """Offer decoders: epochs to class probabilities."""


@hookspec
def generator() -> Mapping[str, type[GeneratorConfig]]:  # type: ignore[empty-body]
    """Offer generators: a decoding to a picture."""


@hookspec
def image_encoder() -> Mapping[str, type[ImageEncoderConfig]]:  # type: ignore[empty-body]
    """Offer image encoders: pictures to vectors that can be compared."""


@hookspec
def paradigm() -> Mapping[str, type[ParadigmConfig]]:  # type: ignore[empty-body]
    """Offer paradigms: blocks and trials."""


@hookspec
def stimuli() -> Mapping[str, type[StimulusSetConfig]]:  # type: ignore[empty-body]
    """Offer image sets."""


@hookspec
def dataset() -> Mapping[str, type[DatasetConfig]]:  # type: ignore[empty-body]
    """Offer published data sets that can be imported."""
