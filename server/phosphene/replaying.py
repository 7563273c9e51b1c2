"""A recorded session decoded again, as if live: the same decoder must find the same, to 1e-5."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phosphene.clock import RealClock
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import Segment, read_segment
from phosphene.errors import PhospheneError
from phosphene.journal import read_journal
from phosphene.messages import (
    DRIVER,
    Decoded,
    DecoderReady,
    LoadDecoder,
    Retrained,
    Samples,
    Trained,
)
from phosphene.roles.decode import LiveDecoding

TOLERANCE = 1e-5
"""Largest difference of a probability, for any chunking (docs/architecture.md)."""


@dataclass(frozen=True)
class Stretch:
    """Part of a recording that one decoder followed without a break."""

    segment: Path
    joined: int
    """Index of the first sample that it saw."""


@dataclass(frozen=True)
class Parity:
    """How far live decodings and those of a replay are apart."""

    n_live: int
    n_same: int
    """Decoded in both, from the same samples, and rejected in both or in neither."""
    largest: float
    """Largest difference of a probability."""

    @property
    def holds(self) -> bool:
        """Whether they are the same."""
        return self.n_live == self.n_same and self.largest <= TOLERANCE


def replay(stretch: Stretch, decoding: LiveDecoding, bundle: Path) -> Iterator[Decoded]:
    """Yield what a bundle decodes of the feedback trials of a stretch, as if live.

    Raises ``PhospheneError`` if the bundle is damaged or made for another signal.
    """
    recording = read_segment(stretch.segment)
    decoding.load(LoadDecoder(str(bundle), recording.spec))
    waiting = [onset for onset in recording.onsets if onset.phase == "feedback"]
    for samples in _samples(recording, stretch):
        newest = float((samples.stamps + samples.offset)[-1])
        answers = [*decoding.handle(samples)]
        while waiting and waiting[0].time <= newest:
            answers += decoding.handle(waiting.pop(0))
        yield from (each for _, each in answers if isinstance(each, Decoded))


def live_stretches(folder: SessionFolder) -> Iterator[tuple[Stretch, Path, list[Decoded]]]:
    """Yield the stretches that the driver decoded live, its bundle, and what it decoded.

    Raises ``PhospheneError`` if a bundle that it used is not in the session's journal.
    """
    bundles: dict[str, Path] = {}
    ready = ""
    used: dict[Stretch, str] = {}
    decoded: dict[Stretch, list[Decoded]] = {}
    for line in read_journal(folder.journal_file):
        match line.entry:
            case Trained(bundle=path, sha256=sha256) | Retrained(bundle=path, sha256=sha256):
                bundles[sha256] = Path(path)
            case DecoderReady(sha256=ready):
                pass
            case Decoded(role=role) as each if role == DRIVER:
                stretch = Stretch(folder.path / Path(each.segment).name, each.joined)
                used.setdefault(stretch, ready)
                decoded.setdefault(stretch, []).append(each)
            case _:
                pass
    for stretch, sha256 in used.items():
        if sha256 not in bundles:
            raise PhospheneError(
                f"{folder.path}: the decoder {sha256[:12] or 'in use'} was not trained in this "
                "session; name it with --bundle"
            )
        yield stretch, bundles[sha256], decoded[stretch]


def stretches(folder: SessionFolder) -> list[Stretch]:
    """Return the feedback recordings, each as a whole."""
    return [Stretch(path, 0) for path in folder.segments("feedback")]


def compare(live: Sequence[Decoded], again: Sequence[Decoded]) -> Parity:
    """Return how far two decoders' findings on the same trials are apart."""
    found: Mapping[int, Decoded] = {each.onset.seq: each for each in again}
    both = [(one, found[one.onset.seq]) for one in live if one.onset.seq in found]
    same = [
        (one, other)
        for one, other in both
        if (one.first_sample, bool(one.rejected)) == (other.first_sample, bool(other.rejected))
    ]
    apart = [
        float(np.abs(np.subtract(one.probabilities, other.probabilities)).max())
        for one, other in same
        if one.probabilities
    ]
    return Parity(len(live), len(same), max(apart, default=0.0))


def _samples(recording: Segment, stretch: Stretch) -> Iterator[Samples]:
    clock, first = RealClock(), 0
    for signal in recording.signals():
        start = max(0, stretch.joined - first)
        if start < signal.n_times:
            yield Samples(
                str(stretch.segment),
                first + start,
                signal.data[:, start:],
                signal.stamps[start:],
                signal.offset,
                clock.now(),
            )
        first += signal.n_times
