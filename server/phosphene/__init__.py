"""Phosphene: closed-loop visual EEG experiments. These names are what a plugin author imports."""

from phosphene.errors import PhospheneError
from phosphene.events import Block, Onset, Trial
from phosphene.hookspecs import hookimpl
from phosphene.interfaces import (
    Context,
    Dataset,
    DatasetConfig,
    Decoder,
    DecoderConfig,
    Decoding,
    EpochStep,
    EpochStepConfig,
    Generator,
    GeneratorConfig,
    ImageEncoder,
    ImageEncoderConfig,
    ParadigmConfig,
    Picture,
    Source,
    SourceConfig,
    StimulusSetConfig,
    StreamStep,
    StreamStepConfig,
    TrainingSet,
)
from phosphene.signals import Epochs, Markers, Signal, SignalSpec
from phosphene.stimulus import StimulusSet

__all__ = [
    "Block",
    "Context",
    "Dataset",
    "DatasetConfig",
    "Decoder",
    "DecoderConfig",
    "Decoding",
    "EpochStep",
    "EpochStepConfig",
    "Epochs",
    "Generator",
    "GeneratorConfig",
    "ImageEncoder",
    "ImageEncoderConfig",
    "Markers",
    "Onset",
    "ParadigmConfig",
    "PhospheneError",
    "Picture",
    "Signal",
    "SignalSpec",
    "Source",
    "SourceConfig",
    "StimulusSet",
    "StimulusSetConfig",
    "StreamStep",
    "StreamStepConfig",
    "TrainingSet",
    "Trial",
    "hookimpl",
]
