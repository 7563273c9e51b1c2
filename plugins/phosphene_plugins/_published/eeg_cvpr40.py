"""The files of EEG-CVPR40: a list of segments, the names of classes and of images.

``{"dataset": [{"eeg": (channel, time), "image": int, "label": int, "subject": int}, ...],
"labels": [wnid, ...], "images": [name, ...]}``, in an older release with ``means`` and ``stddevs``.
Labels and images are looked up by name at once: nothing else goes by their numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene import Onset, PhospheneError, Signal, SignalSpec
from phosphene_plugins._published.tensors import load

SFREQ = 1000.0
SHORTEST, LONGEST = 450, 600
"""Samples; the authors' own code leaves out every other segment."""
STEP = 0.5
"""Seconds that an image stays; the next one follows at once."""
PAUSE = 10.0
"""Seconds of black screen behind the block of a class."""
N_RUNS = 4
MICROVOLT = 1e-6
PARTS = ("train", "val", "test")


class EegCvpr40:
    """The segments of all subjects, each subject's in blocks of one class."""

    def __init__(self, file: Path, splits: Path | None) -> None:
        content = _checked(file, load(file))
        self._wnids: list[str] = content["labels"]
        self._names = [f"{wnid_of(name)}/{name}.JPEG" for name in content["images"]]
        self._scale = _scale(file, content)
        self._segments: dict[str, list[Any]] = defaultdict(list)
        lengths = Counter[bool]()
        for number, segment in enumerate(content["dataset"]):
            fits = self._add(file, number, segment)
            lengths[fits] += 1
        self.subjects: Sequence[str] = sorted(self._segments)
        self.images: Mapping[str, str] = {
            self._names[segment["image"]]: self._wnids[segment["label"]]
            for segments in self._segments.values()
            for segment in segments
        }
        self.spec = _spec(file, content["dataset"])
        found = _parts(splits, content["dataset"], self._names) if splits else {}
        self.parts: Mapping[str, str] = found
        self.notes: Sequence[str] = _notes(lengths, "means" in content)

    def trials(self, subject: str) -> Iterator[tuple[Onset, Signal]]:
        """Yield a subject's trials: blocks of a class in the order of the file, 10 s apart."""
        blocks: dict[str, list[Any]] = defaultdict(list)
        for segment in self._segments[subject]:
            blocks[self._wnids[segment["label"]]].append(segment)
        time, seq = PAUSE, 0
        for number, (wnid, segments) in enumerate(blocks.items(), start=1):
            run = 1 + (number - 1) * N_RUNS // len(blocks)
            for place, segment in enumerate(segments, start=1):
                where = ("record", run, number, 1, place, wnid, self._names[segment["image"]], "")
                signal = self._signal(segment["eeg"].numpy(), time)
                yield Onset(seq, "stimulus", time, time, STEP, *where), signal
                time, seq = time + STEP, seq + 1
            time += PAUSE

    def _add(self, file: Path, number: int, segment: Mapping[str, Any]) -> bool:
        """Keep a segment if it has the usual length; ``PhospheneError`` if it names nothing."""
        for field, names in (("label", self._wnids), ("image", self._names)):
            if not 0 <= int(segment[field]) < len(names):
                raise PhospheneError(
                    f"{file}, segment {number}, {field}: found {segment[field]}; allowed: 0 to "
                    f"{len(names) - 1}"
                )
        fits = bool(SHORTEST <= segment["eeg"].shape[1] <= LONGEST)
        if fits:
            self._segments[f"{int(segment['subject']):02}"].append(segment)
        return fits

    def _signal(self, values: NDArray[Any], time: float) -> Signal:
        # What lies beyond the image's own time would overlap with the next segment.
        values = values[:, : round(STEP * SFREQ)].astype(np.float32)
        mean, scale = self._scale
        data = ((values - mean) / scale * MICROVOLT).astype(np.float32)
        return Signal(data, time + np.arange(data.shape[1]) / SFREQ)


def wnid_of(name: str) -> str:
    """Return the wnid in the name of an image.

    >>> wnid_of("n02106662_1451")
    'n02106662'
    """
    return name.partition("_")[0]


def _checked(file: Path, content: object) -> dict[str, Any]:
    expected = "dataset, a list of segments, labels and images, lists of names"
    if not (isinstance(content, dict) and {"dataset", "labels", "images"} <= content.keys()):
        raise PhospheneError(f"{file}: expected {expected}; found {_keys(content)}")
    for number, segment in enumerate(content["dataset"]):
        if not {"eeg", "image", "label", "subject"} <= segment.keys() or segment["eeg"].ndim != 2:
            raise PhospheneError(
                f"{file}, segment {number}: expected eeg (channel, time), image, label and "
                f"subject; found {_keys(segment)}"
            )
    if not content["dataset"]:
        raise PhospheneError(f"{file}: there is no segment in it")
    return content


def _keys(content: object) -> str:
    return ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__


def _scale(file: Path, content: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and deviation by channel that the release says to take out; 0 and 1 if none."""
    if "means" not in content:
        return np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    mean, deviation = (np.asarray(content[key]).reshape(-1, 1) for key in ("means", "stddevs"))
    n_channels = content["dataset"][0]["eeg"].shape[0]
    if not len(mean) == len(deviation) == n_channels or not (deviation > 0).all():
        raise PhospheneError(
            f"{file}, means and stddevs: expected {n_channels} of each, deviations above 0; found "
            f"{len(mean)} and {len(deviation)}"
        )
    return mean.astype(np.float32), deviation.astype(np.float32)


def _spec(file: Path, segments: list[Any]) -> SignalSpec:
    counts = {segment["eeg"].shape[0] for segment in segments}
    if len(counts) > 1:
        raise PhospheneError(
            f"{file}: segments have {', '.join(map(str, sorted(counts)))} channels"
        )
    names = tuple(f"Ch{number}" for number in range(1, counts.pop() + 1))
    return SignalSpec(names, ("eeg",) * len(names), SFREQ)


def _parts(file: Path, segments: list[Any], names: list[str]) -> dict[str, str]:
    """Return the part of each image; a split whose parts share an image is refused."""
    content = load(file)
    try:
        rows = {part: [int(i) for i in content["splits"][0][part]] for part in PARTS}
        found = {part: {names[segments[i]["image"]] for i in rows[part]} for part in PARTS}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PhospheneError(
            f"{file}: expected splits, a list of {', '.join(PARTS)}, lists of segments; {error!r}"
        ) from None
    shared = (found["train"] & found["test"]) | (found["val"] & found["test"])
    if shared:
        raise PhospheneError(f"{file}: {len(shared)} images are in test and in another part")
    return {image: part for part in PARTS for image in found[part]}


def _notes(lengths: Mapping[bool, int], standardised: bool) -> tuple[str, ...]:
    notes = [
        f"{lengths[False]} of {lengths[False] + lengths[True]} segments were left out: they have "
        f"fewer than {SHORTEST} or more than {LONGEST} samples.",
        "Order and times of the trials are not in the files: blocks of one class, as published, "
        "are put in the order of the file.",
        "The unit is not in the files; values are taken for microvolts.",
        "Names and places of the electrodes are not in the files.",
    ]
    if standardised:
        notes.append("Means and deviations that came with the file were taken out.")
    return tuple(notes)
