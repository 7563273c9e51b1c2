"""Labelled epochs of a simulated subject, without the rest of a session: what benchmarks decode."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from phosphene import Block, Context, Onset, TrainingSet
from phosphene.choice import choose
from phosphene.clock import VirtualClock
from phosphene.pipeline import Pipeline
from phosphene.registry import Registry
from phosphene.settings import EpochSettings
from phosphene.signals import Epochs

STREAM = ({"notch": {"low": 49, "high": 51}}, {"bandpass": {"low": 14, "high": 70, "order": 4}})
STEPS = ("standardise", "spectrogram")
"""The preset ``paper``."""
PIECE = 0.25
"""Seconds that are read from the subject at a time."""


def paper_pipeline(registry: Registry, context: Context, source: Any) -> Pipeline:  # noqa: ANN401
    """Return the pipeline of the preset ``paper`` for a source."""
    stream = [choose(registry, "preprocessing", step) for step in STREAM]
    steps = tuple(choose(registry, "preprocessing", step) for step in STEPS)
    return Pipeline(stream, EpochSettings(0.02, 0.5, steps), source.spec, context)


def record(
    registry: Registry, context: Context, subject: dict[str, Any], design: dict[str, Any]
) -> tuple[TrainingSet, Pipeline]:
    """Return the raw epochs of a whole ``interleaved`` experiment, and the pipeline to fit.

    ``context`` needs a virtual clock; ``subject`` and ``design`` are settings as in a session file.
    """
    source = choose(registry, "acquisition", {"simulated": subject}).config.build(context)
    paradigm = choose(registry, "paradigm", {"interleaved": design}).config
    onsets = list(_onsets(paradigm.blocks(context), context))
    pipeline = paper_pipeline(registry, context, source)
    pipeline.open_segment()
    cuts, waiting = [], list(reversed(onsets))
    while len(cuts) < len(onsets):
        context.clock.sleep_until(context.clock.now() + PIECE)
        while waiting and waiting[-1].time <= context.clock.now():
            onset = waiting.pop()
            context.onsets.append(onset)
            pipeline.mark(onset)
        pipeline.feed(source.read(0.0))
        cuts += pipeline.cuts()
    data = np.stack([cut.data for cut in cuts])
    trials = tuple(cut.onset for cut in cuts)
    return TrainingSet(
        Epochs(data, pipeline.spec, pipeline.tmin), trials, context.stimuli
    ), pipeline


def virtual(context: Context) -> Context:
    """Return the context on a virtual clock of its own."""
    return Context(context.stimuli, context.seed, context.cache, VirtualClock(0.0))


def _onsets(blocks: tuple[Block, ...], context: Context) -> Iterator[Onset]:
    time, seq = context.clock.now() + 1.0, 0
    for block in blocks:
        for number, trial in enumerate(block.trials, start=1):
            sha256 = context.stimuli[trial.image].sha256
            yield Onset(
                seq,
                "stimulus",
                time,
                time,
                trial.duration,
                "record",
                block.run,
                block.block,
                1,
                number,
                trial.wnid,
                trial.image,
                sha256,
            )
            time += trial.duration + trial.gap
            seq += 1
        time += block.pause
