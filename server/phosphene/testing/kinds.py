"""Which demands are made of which kind of plugin."""

from collections.abc import Callable, Mapping
from typing import Any

from phosphene.interfaces import (
    DatasetConfig,
    DecoderConfig,
    EpochStepConfig,
    GeneratorConfig,
    ImageEncoderConfig,
    ParadigmConfig,
    PluginConfig,
    SourceConfig,
    StimulusSetConfig,
    StreamStepConfig,
)
from phosphene.testing import (
    datasets,
    decoder_faults,
    decoder_files,
    decoders,
    epoch_steps,
    generators,
    image_encoders,
    paradigms,
    sources,
    stimulus_sets,
    stream_steps,
)
from phosphene.testing.demands import Demands
from phosphene.testing.examination import Examination

DECODERS = Demands(decoders.demands, decoder_files.demands, decoder_faults.demands)

KINDS: Mapping[type[PluginConfig], tuple[Callable[[Any], Any], Demands[Any]]] = {
    DecoderConfig: (decoders.DecoderCandidate, DECODERS),
    StreamStepConfig: (stream_steps.StreamStepCandidate, stream_steps.demands),
    EpochStepConfig: (epoch_steps.EpochStepCandidate, epoch_steps.demands),
    SourceConfig: (sources.SourceCandidate, sources.demands),
    GeneratorConfig: (generators.GeneratorCandidate, generators.demands),
    ImageEncoderConfig: (image_encoders.ImageEncoderCandidate, image_encoders.demands),
    ParadigmConfig: (paradigms.ParadigmCandidate, paradigms.demands),
    DatasetConfig: (datasets.DatasetCandidate, datasets.demands),
    StimulusSetConfig: (stimulus_sets.StimulusSetCandidate, stimulus_sets.demands),
}
"""Base of a config -> what makes a candidate of one, and what is asked of it."""


def package_of(config: PluginConfig) -> str:
    """Return the top-level package of a plugin's code."""
    return type(config).__module__.partition(".")[0]


def examination_of(config: PluginConfig) -> Examination[Any]:
    """Return what is asked of a plugin with these settings."""
    [(candidate, demands)] = [KINDS[base] for base in KINDS if isinstance(config, base)]
    return Examination(candidate(config), demands, package_of(config))
