"""From recordings to a decoder: the chunks of the files through the pipeline, then the fit."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from signal import SIG_IGN
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from phosphene.bundle import difference, make_card, save_bundle
from phosphene.dataset.xdf_reader import Segment, read_segment
from phosphene.epochs import Cut, Incomplete
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.interfaces import Context, Decoder, DecoderConfig, TrainingSet
from phosphene.journal import BlockKey
from phosphene.pipeline import Pipeline
from phosphene.processes import on_interrupt
from phosphene.settings import Settings
from phosphene.signals import Epochs, SignalSpec

COLLECTED = 0.2
"""Share of the progress bar that reading the recordings takes."""


class Learning(Protocol):
    """What learns before the decoder does."""

    def learn_rejection(self, epochs: Epochs) -> NDArray[np.bool_]:
        """Learn from raw training epochs what an artefact is; return which epochs are none."""
        ...

    def fit(self, epochs: Epochs) -> Epochs:
        """Fit on raw training epochs; return them transformed."""
        ...


def collect(
    segments: Sequence[Path],
    settings: Settings,
    context: Context,
    counts: Callable[[Onset], bool] = lambda _onset: True,
) -> tuple[TrainingSet, list[Incomplete]]:
    """Return the epochs of every stimulus that ``counts``, before the epoch steps.

    Stimuli whose epoch could not be cut come second. Raises ``PhospheneError`` if the recordings
    are unreadable, are of different signals, or hold no stimulus with its samples.
    """

    def pipeline(spec: SignalSpec) -> Pipeline:
        return Pipeline(settings.stream, settings.epochs, spec, context, settings.screen.lag)

    return cut(segments, pipeline, context, counts)


def cut(
    segments: Sequence[Path],
    build: Callable[[SignalSpec], Pipeline],
    context: Context,
    counts: Callable[[Onset], bool],
) -> tuple[TrainingSet, list[Incomplete]]:
    """Return what ``collect`` does, of the pipeline that ``build`` makes for the signal."""
    recordings = [read_segment(path) for path in segments]
    wanted = [[o for o in r.onsets if o.event == "stimulus" and counts(o)] for r in recordings]
    n_wanted = sum(map(len, wanted))
    if not n_wanted:
        raise PhospheneError("no stimulus was recorded; there is nothing to learn from")
    _check_same_signal(recordings)
    pipeline = build(recordings[0].spec)
    shape = (n_wanted, pipeline.spec.n_channels, pipeline.n_times)
    data = np.empty(shape, np.float32)  # Filled in place: it may be most of the memory.
    trials: list[Onset] = []
    incomplete: list[Incomplete] = []
    for number, (recording, onsets) in enumerate(zip(recordings, wanted, strict=True)):
        for epoch in _replay(recording, onsets, pipeline):
            data[len(trials)] = epoch.data
            trials.append(epoch.onset)
        incomplete += pipeline.close_segment()
        context.progress((number + 1) / len(recordings), "reading recordings")
    if not trials:
        lost = incomplete[0]
        raise PhospheneError(
            f"no epoch of {n_wanted} stimuli could be cut; of the first: {lost.reason}"
        )
    epochs = Epochs(data[: len(trials)], pipeline.spec, pipeline.tmin)
    return TrainingSet(epochs, tuple(trials), context.stimuli), incomplete


def train_session(
    segments: Sequence[Path],
    settings: Settings,
    context: Context,
    folder: Path,
    aborted: Collection[BlockKey] = frozenset(),
) -> str:
    """Fit the decoder of the settings on complete blocks, write a bundle, return its hash.

    Raises ``PhospheneError`` if there are fewer than two classes, or a class with one epoch.
    """
    reading = context.part(0.0, COLLECTED)
    data, _ = collect(segments, settings, reading, lambda onset: block_of(onset) not in aborted)
    data_sha256, spec = hash_data(data), read_segment(segments[0]).spec
    pipeline, decoder = fit(data, settings, context.part(COLLECTED, 1.0))
    # Whoever has waited so long for a decoder shall have it.
    with on_interrupt(SIG_IGN):
        rejected = pipeline.rejected(data)
        card = make_card(settings, spec, decoder, data.trials, data_sha256, rejected)
        sha256 = save_bundle(folder, card, pipeline.states(), decoder)
    context.progress(1.0, "")
    return sha256


def fit(data: TrainingSet, settings: Settings, context: Context) -> tuple[Pipeline, Decoder]:
    """Return epoch steps and decoder fitted on what ``collect`` returned.

    Raises ``PhospheneError`` if there are fewer than two classes, or a class with one epoch.
    """
    # What was collected has passed the stream steps.
    pipeline = Pipeline((), settings.epochs, data.epochs.spec, context)
    label = f" ({data.label})" if data.label else ""
    fitting = context.part(0.0, 1.0, f"fitting {settings.decoder.name}{label}")
    fitting.progress(0.0, "")
    return pipeline, learn(data, pipeline, settings.decoder.config, fitting)


def learn(
    data: TrainingSet, pipeline: Learning, decoder: DecoderConfig, context: Context
) -> Decoder:
    """Fit rejection, epoch steps and decoder, one after the other, on raw epochs.

    Raises ``PhospheneError`` if of the epochs that are not rejected there are fewer than two
    classes, or a class has one.
    """
    kept = data.select(np.flatnonzero(pipeline.learn_rejection(data.epochs)))
    check_enough(kept)
    return decoder.fit(TrainingSet(pipeline.fit(kept.epochs), kept.trials, kept.stimuli), context)


def check_settings(settings: Settings, spec: SignalSpec, context: Context) -> None:
    """Raise ``PhospheneError`` if steps or decoder cannot take a signal: tried with some noise.

    Where a bundle decodes and nothing is fitted there is nothing to try: it is checked when it is
    loaded.
    """
    fitted = "train" in settings.protocol or settings.closed_loop.retrain != "never"
    if settings.bundle is not None and not fitted:
        return
    pipeline = Pipeline(settings.stream, settings.epochs, spec, context, settings.screen.lag)
    shape = (4, pipeline.spec.n_channels, pipeline.n_times)
    noise = context.rng(*b"noise").normal(0, 1e-5, shape).astype(np.float32)
    settings.decoder.config.check(pipeline.fit(Epochs(noise, pipeline.spec, pipeline.tmin)))


def block_of(onset: Onset) -> BlockKey:
    """Return the attempt at a block that an onset belongs to."""
    return (onset.phase, onset.run, onset.block, onset.attempt)


def check_enough(data: TrainingSet) -> None:
    """Raise ``PhospheneError`` if nothing can be learnt from so few trials."""
    counts = Counter(data.wnids)
    if len(counts) < 2:
        raise PhospheneError(
            f"a decoder needs two classes or more; recorded: {', '.join(counts)} only"
        )
    lone = [wnid for wnid, n in counts.items() if n < 2]
    if lone:
        raise PhospheneError(
            f"a decoder needs two trials or more of each class; recorded one of {', '.join(lone)}"
        )


def hash_data(data: TrainingSet) -> str:
    """Return the SHA-256 of epochs and trials: the same data, the same hash."""
    digest = hashlib.sha256(msgspec.json.encode(data.trials))
    for epoch in data.epochs.data:
        digest.update(np.ascontiguousarray(epoch).data)
    return digest.hexdigest()


def _replay(recording: Segment, onsets: Sequence[Onset], pipeline: Pipeline) -> Iterator[Cut]:
    pipeline.open_segment()
    for onset in onsets:
        pipeline.mark(onset)
    for signal in recording.signals():
        pipeline.feed(signal)
        yield from pipeline.cuts()


def _check_same_signal(recordings: Sequence[Segment]) -> None:
    first = recordings[0]
    for other in recordings[1:]:
        if problem := difference(first.spec, other.spec):
            raise PhospheneError(
                f"{other.path} is a recording of another signal than {first.path}: {problem}"
            )
