"""Decoding: the recorded chunks through the pipeline, each epoch to class probabilities."""

from pathlib import Path

import numpy as np

from phosphene.bundle import Bundle, load_bundle
from phosphene.clock import Clock
from phosphene.epochs import Cut
from phosphene.events import Onset
from phosphene.interfaces import Context
from phosphene.messages import (
    DRIVER,
    Decoded,
    DecoderReady,
    LoadDecoder,
    Message,
    Prepare,
    Ready,
    Samples,
    SegmentClosed,
)
from phosphene.pipeline import Pipeline
from phosphene.registry import Registry
from phosphene.roles import Outgoing
from phosphene.signals import Epochs, Signal


class LiveDecoding:
    """Decodes the stimuli of feedback trials with the bundle it was told to load."""

    idle = True

    def __init__(
        self, registry: Registry, context: Context, lag: float = 0.0, name: str = DRIVER
    ) -> None:
        self._name = name
        self._lag = lag
        self._registry = registry
        self._context = context
        self._loaded: _LoadedBundle | None = None

    def handle(self, message: Message) -> Outgoing:
        """Load a bundle; follow the recording; decode what is complete."""
        match message:
            case Prepare():
                return [("server", Ready(self._name))]
            case LoadDecoder():
                return [("server", self.load(message))]
            case Samples() if self._loaded:
                return self._loaded.feed(message)
            case Onset(event="stimulus", phase="feedback") if self._loaded:
                return self._loaded.mark(message)
            case SegmentClosed() if self._loaded:
                return self._loaded.close_segment()
            case _:
                return []

    def poll(self, now: float) -> Outgoing:
        """Do nothing: decoding is driven by samples, not by the clock."""
        return []

    def close(self) -> None:
        """Do nothing: a decoder holds no device."""

    def load(self, message: LoadDecoder) -> DecoderReady:
        """Load a bundle; ``PhospheneError`` if it is damaged or made for another signal."""
        bundle = load_bundle(
            Path(message.bundle), self._registry, self._context, message.sha256 or None
        )
        pipeline = bundle.pipeline(message.spec, self._lag)
        self._loaded = _LoadedBundle(bundle, pipeline, self._context.clock, self._name)
        return DecoderReady(bundle.sha256, bundle.decoder.classes)


class _LoadedBundle:
    """A bundle at work on the running signal.

    It joins a segment at whatever sample it sees first, and again behind a gap, and says which
    sample that was, so that a replay of the recording finds the same epochs.
    """

    def __init__(self, bundle: Bundle, pipeline: Pipeline, clock: Clock, name: str) -> None:
        self._decoder = bundle.decoder
        self._pipeline = pipeline
        self._clock = clock
        self._name = name
        self._received = 0.0
        self._settled = 0
        """Index of the first sample that an epoch may begin with."""
        self._since = clock.now()
        """What was received earlier waited while this was loaded; to decode it would be no more
        than a replay."""
        self._segment = ""
        self._joined = self._next_sample = 0

    def feed(self, samples: Samples) -> Outgoing:
        if samples.received < self._since:
            return []
        if (samples.segment, samples.first) != (self._segment, self._next_sample):
            self._join(samples)
        self._next_sample = samples.first + samples.data.shape[1]
        self._received = samples.received
        self._pipeline.feed(Signal(samples.data, samples.stamps, samples.offset))
        return self._decode()

    def _join(self, samples: Samples) -> None:
        self._pipeline.open_segment()
        self._segment, self._joined = samples.segment, samples.first
        settling = self._pipeline.settling if samples.first else 0.0
        self._settled = round(settling * self._pipeline.spec.sfreq)

    def mark(self, onset: Onset) -> Outgoing:
        if not self._segment:
            return []
        self._pipeline.mark(onset)
        return self._decode()

    def close_segment(self) -> Outgoing:
        if self._segment:
            self._pipeline.close_segment()
        self._segment = ""
        return []

    def _decode(self) -> Outgoing:
        settled = [cut for cut in self._pipeline.cuts() if cut.first_sample >= self._settled]
        return [("server", self._decoded(cut)) for cut in settled]

    def _decoded(self, cut: Cut) -> Decoded:
        complete = self._clock.now()
        epochs = Epochs(cut.data[np.newaxis], self._pipeline.spec, self._pipeline.tmin)
        [reason] = self._pipeline.reasons(epochs)
        decoding = None if reason else self._decoder.decode(self._pipeline.transform(epochs))
        embedding = decoding.embedding if decoding else None
        return Decoded(
            cut.onset,
            self._decoder.classes,
            tuple(map(float, decoding.probabilities[0])) if decoding else (),
            self._segment,
            cut.first_sample,
            self._clock.now(),
            self._received,
            self._name,
            complete,
            self._joined,
            () if embedding is None else tuple(map(float, embedding[0])),
            decoding.space if decoding else "",
            reason,
        )
