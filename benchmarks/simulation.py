"""Labelled epochs of a simulated subject, without the rest of a session: what benchmarks decode."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phosphene import Block, Context, Epochs, Onset, Signal, SignalSpec, Source, TrainingSet
from phosphene.analysis.audits.frames import Piece
from phosphene.analysis.audits.recordings import Recording
from phosphene.choice import choose
from phosphene.clock import VirtualClock
from phosphene.epochs import Cut
from phosphene.pipeline import Pipeline
from phosphene.registry import Registry
from phosphene.settings import EpochSettings

STREAM = ({"notch": {"low": 49, "high": 51}}, {"bandpass": {"low": 14, "high": 70, "order": 4}})
STEPS = ["standardise", "spectrogram"]
"""The preset ``paper``."""
PIECE = 0.25
"""Seconds that are read from the subject at a time."""

AFTERWARDS = 2.0
"""Seconds that are recorded after the last image."""

Plain = Mapping[str, Any]
"""Settings as in a session file."""


def make_context(registry: Registry, classes: int, seed: int, cache: Path) -> Context:
    """Return a context with stand-in images and a virtual clock."""
    images = choose(registry, "stimuli", {"standin": {"classes": classes, "size": 64}})
    return Context(images.config.build(cache), seed, cache, VirtualClock(0.0))


def paper_pipeline(registry: Registry, context: Context, spec: SignalSpec) -> Pipeline:
    """Return the pipeline of the preset ``paper``."""
    stream = [choose(registry, "preprocessing", step) for step in STREAM]
    steps = tuple(choose(registry, "preprocessing", step) for step in STEPS)
    return Pipeline(stream, EpochSettings(0.02, 0.5, steps), spec, context)


def record(
    registry: Registry, context: Context, subject: Plain, design: Plain
) -> tuple[TrainingSet, Pipeline]:
    """Return the raw epochs of an ``interleaved`` experiment, and the pipeline that cut them."""
    source = choose(registry, "acquisition", {"simulated": subject}).config.build(context)
    paradigm = choose(registry, "paradigm", {"interleaved": design}).config
    waiting = list(_onsets(paradigm.blocks(context), context))
    n_onsets = len(waiting)
    pipeline = paper_pipeline(registry, context, source.spec)
    pipeline.open_segment()
    cuts: list[Cut] = []
    while len(cuts) < n_onsets:
        context.clock.sleep_until(context.clock.now() + PIECE)
        while waiting and waiting[0].time <= context.clock.now():
            context.onsets.append(waiting[0])
            pipeline.mark(waiting.pop(0))
        pipeline.feed(source.read(0.0))
        cuts += pipeline.cuts()
    epochs = Epochs(np.stack([cut.data for cut in cuts]), pipeline.spec, pipeline.tmin)
    return TrainingSet(epochs, tuple(cut.onset for cut in cuts), context.stimuli), pipeline


def raw(registry: Registry, context: Context, subject: Plain, design: Plain) -> Recording:
    """Return what a whole experiment leaves: the signal of a subject under a design."""
    source = choose(registry, "acquisition", subject).config.build(context)
    paradigm = choose(registry, "paradigm", design).config
    onsets = tuple(_onsets(paradigm.blocks(context), context))
    signals = []
    for onset in onsets:
        signals += _until(onset.time, source, context)
        context.onsets.append(onset)
    signals += _until(onsets[-1].time + AFTERWARDS, source, context)
    data = np.hstack([signal.data for signal in signals])
    times = np.concatenate([signal.stamps for signal in signals])
    return Recording("simulated", (Piece(data, times, onsets),), source.spec.types)


def by_run(data: TrainingSet, pipeline: Pipeline, n_test: int) -> tuple[TrainingSet, TrainingSet]:
    """Return training and test features; the last ``n_test`` runs test."""
    runs = np.array([trial.run for trial in data.trials])
    tested = runs > runs.max() - n_test
    seen, new = data.select(np.flatnonzero(~tested)), data.select(np.flatnonzero(tested))
    return (
        TrainingSet(pipeline.fit(seen.epochs), seen.trials, seen.stimuli),
        TrainingSet(pipeline.transform(new.epochs), new.trials, new.stimuli),
    )


def accuracy(decoder: Any, data: TrainingSet) -> float:  # noqa: ANN401
    """Return the share of trials whose likeliest class is the one shown."""
    columns = decoder.decode(data.epochs).probabilities.argmax(axis=1)
    return float(
        np.mean([decoder.classes[c] == w for c, w in zip(columns, data.wnids, strict=True)])
    )


def pressure() -> str:
    """Return how busy the machine is, so that a slow figure can be judged."""
    file = Path("/proc/pressure/cpu")
    return file.read_text().split()[1] if file.exists() else "unknown"


def _until(time: float, source: Source, context: Context) -> Iterator[Signal]:
    context.clock.sleep_until(time)
    signal = source.read(0.0)
    if signal is not None:
        yield signal


def _onsets(blocks: Sequence[Block], context: Context) -> Iterator[Onset]:
    time, seq = context.clock.now() + 1.0, 0
    for block in blocks:
        for number, trial in enumerate(block.trials, start=1):
            place = ("record", block.run, block.block, 1, number, trial.wnid, trial.image)
            sha256 = context.stimuli[trial.image].sha256
            yield Onset(seq, "stimulus", time, time, trial.duration, *place, sha256)
            time += trial.duration + trial.gap
            seq += 1
        time += block.pause
