"""Decoding, measured against what people would use otherwise, side by side in one run.

1. Spectrograms of 2000 trials beside scipy.signal, torch.stft and MNE. Goal: 3 times scipy.
2. Training beside ``plain-stft`` and an eager ResNet-18 to equal validation accuracy, and against
   its own converged accuracy. Goal: at most 5 minutes on 2 CPU cores, within 1 point.
3. One trial from ring to probabilities beside a straightforward script. Goal: 2 times.

Run with ``python benchmarks/decoding.py`` (half an hour) or ``--quick`` (a minute).
"""

import argparse
import copy
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import scipy.signal
import torch
import torchvision
from numpy.typing import NDArray
from simulation import STEPS, accuracy, by_run, make_context, paper_pipeline, pressure, record
from threadpoolctl import threadpool_limits
from torch import nn

from phosphene import (
    Context,
    Decoder,
    DecoderConfig,
    Epochs,
    Onset,
    Signal,
    SignalSpec,
    TrainingSet,
)
from phosphene.choice import choose
from phosphene.pipeline import Pipeline
from phosphene.registry import Registry, load_registry
from phosphene_plugins._distillation import fitting, network

Values = NDArray[np.float32]

REPETITIONS = 5
SFREQ = 1000.0
CHUNK = 10
"""Samples in a chunk of the running signal."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small subject; goals do not apply")
    parser.add_argument("--only", choices=["spectrogram", "training", "trial"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    registry = load_registry()
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        context = make_context(registry, 5 if options.quick else 40, 1, Path(folder))
        if options.only in {None, "spectrogram"}:
            spectrograms(registry, context, 50 if options.quick else 2000)
        if options.only in {None, "training", "trial"}:
            seen, new, pipeline = simulate(registry, context, options.quick)
        if options.only in {None, "training"}:
            training(registry, context, seen, new, options.quick)
        if options.only in {None, "trial"}:
            one_trial(registry, context, seen, pipeline)
    print(f"busy: {pressure()}")


def simulate(
    registry: Registry, context: Context, quick: bool
) -> tuple[TrainingSet, TrainingSet, Pipeline]:
    """Return 2000 training trials, 1000 more to test on, and the fitted pipeline."""
    subject = {"channels": 32 if quick else 128, "sfreq": SFREQ, "strength": 0.27}
    timing = {"duration": 0.5, "pause": 0.6, "cue": 0.3}
    design = {"classes": len(context.stimuli.classes), "runs": 7, "blocks": 2 if quick else 10}
    data, pipeline = record(registry, context, subject, design | timing)
    return *by_run(data, pipeline, n_test=2), pipeline


def spectrograms(registry: Registry, context: Context, n_trials: int) -> None:
    """Time the same spectrogram by four roads."""
    data = np.random.default_rng(0).standard_normal((n_trials, 128, 480), dtype=np.float32)
    spec = SignalSpec(tuple(map(str, range(128))), ("eeg",) * 128, SFREQ)
    step = choose(registry, "preprocessing", STEPS[1]).config.build(spec, context)
    roads: dict[str, Callable[[], object]] = {
        "phosphene": lambda: step(Epochs(data, spec, 0.02)),
        "scipy.signal.spectrogram": lambda: [
            scipy.signal.spectrogram(trial, SFREQ, "hann", 40, 20, detrend=False) for trial in data
        ],
        "torch.stft": lambda: torch_spectrogram(data),
        "mne.time_frequency.stft": lambda: [
            np.abs(mne.time_frequency.stft(trial, 40, 20, verbose="error")) ** 2 for trial in data
        ],
    }
    print(f"\n1. spectrograms of {n_trials} trials of 128 channels, one thread")
    compare(roads, 1 if n_trials > 500 else REPETITIONS)


def torch_spectrogram(data: Values) -> torch.Tensor:
    """Return power; a hundred trials at a time, so that it fits into memory."""
    window = torch.hann_window(40)
    parts = torch.split(torch.from_numpy(data).reshape(-1, data.shape[2]), 12800)
    return torch.cat(
        [
            torch.stft(part, 40, 20, window=window, pad_mode="constant", return_complex=True)[:, :6]
            .abs()
            .square()
            for part in parts
        ]
    )


def training(
    registry: Registry, context: Context, seen: TrainingSet, new: TrainingSet, quick: bool
) -> None:
    """Time training to the validation accuracy that all reach, and to the end.

    In seconds of one CPU, so that other work on the machine does not count.
    """
    print(
        f"\n2. training on {len(seen.trials)} trials of {len(seen.classes)} classes, one thread",
        flush=True,
    )
    many = {"epochs": 4 if quick else 60, "patience": 60}
    candidates: dict[str, tuple[str, dict[str, Any], bool]] = {
        "kd-stft": ("kd-stft", {}, False),
        "kd-stft, 3 times as long": ("kd-stft", many, False),
        "plain-stft": ("plain-stft", {}, False),
        "eager ResNet-18": ("plain-stft", {}, True),
        "power-lr": ("power-lr", {}, False),
    }
    courses: dict[str, list[tuple[float, float]]] = {}
    for label, (name, settings, resnet) in candidates.items():
        start = time.process_time()
        config = choose(registry, "decoder", {name: settings}).config
        decoder, courses[label] = fit(config, context, seen, resnet)
        seconds = time.process_time() - start
        print(
            f"  {label:<26}{seconds:8.0f} s CPU   test accuracy {accuracy(decoder, new):6.1%}",
            flush=True,
        )
    del courses["power-lr"], courses["kd-stft, 3 times as long"]
    target = min(max(value for _, value in course) for course in courses.values())
    print(f"  to the validation accuracy that all reach, {target:.1%}:")
    for label, course in courses.items():
        print(f"  {label:<26}{next(t for t, value in course if value >= target):8.0f} s CPU")


def fit(
    config: DecoderConfig, context: Context, data: TrainingSet, resnet: bool
) -> tuple[Decoder, list[tuple[float, float]]]:
    """Return a decoder, and its validation accuracy after so many seconds, epoch by epoch."""
    course, start, ours = [], time.process_time(), network.ResidualCNN

    def note(_done: float, text: str) -> None:
        if found := re.search(r"validation accuracy ([\d.]+)%", text):
            course.append((time.process_time() - start, float(found[1]) / 100))

    watched = Context(context.stimuli, context.seed, context.cache, context.clock, progress=note)
    if resnet:
        setattr(fitting, "ResidualCNN", ResNet18)  # noqa: B010
    try:
        return config.fit(data, watched), course
    finally:
        setattr(fitting, "ResidualCNN", ours)  # noqa: B010


class ResNet18(nn.Module):
    """torchvision's ResNet-18 behind a first layer for small images, as usual for CIFAR."""

    def __init__(
        self, n_channels: int, _widths: tuple[int, int], n_classes: int, _dropout: float
    ) -> None:
        super().__init__()
        self.network = torchvision.models.resnet18(num_classes=n_classes)
        self.network.conv1 = nn.Conv2d(n_channels, 64, 3, padding=1, bias=False)
        self.network.maxpool = nn.Identity()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.network(inputs)  # type: ignore[no-any-return]


def one_trial(registry: Registry, context: Context, seen: TrainingSet, fitted: Pipeline) -> None:
    """Time from the last sample of an epoch to probabilities."""
    config = choose(registry, "decoder", {"plain-stft": {"epochs": 1}}).config
    decoder = config.fit(seen, context)
    spec = seen.epochs.spec
    signal = np.random.default_rng(0).standard_normal((spec.n_channels, 60_000), dtype=np.float32)
    pipeline = paper_pipeline(registry, context, spec)
    pipeline.load_states([state for _, state in fitted.states()])
    script = Script(spec.n_channels, decoder)
    ours, theirs = [], []
    onset = seen.trials[0]
    pipeline.open_segment()
    for first in range(0, signal.shape[1], CHUNK):
        if first % 700 == 0:
            pipeline.mark(at(onset, first / SFREQ))
        chunk = signal[:, first : first + CHUNK]
        stamps = np.arange(first, first + CHUNK) / SFREQ
        start = time.perf_counter()
        pipeline.feed(Signal(chunk, stamps))
        cuts = pipeline.cuts()
        for cut in cuts:
            epochs = Epochs(cut.data[np.newaxis], spec, pipeline.tmin)
            decoder.decode(pipeline.transform(epochs))
            ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        script.feed(chunk)
        if cuts:
            script.decode()
            theirs.append(time.perf_counter() - start)
    print(f"\n3. one trial of {spec.n_channels} channels, last chunk to probabilities")
    show({"phosphene": ours[3:], "straightforward script": theirs[3:]}, "ms", 1e3)


def at(onset: Onset, seconds: float) -> Onset:
    """Return the onset at another time."""
    return Onset(**({f: getattr(onset, f) for f in onset.__struct_fields__} | {"time": seconds}))


class Script:
    """What one would write first: np.roll, sosfilt, scipy's spectrogram, an eager network."""

    def __init__(self, n_channels: int, decoder: Decoder) -> None:
        sos = scipy.signal.butter(2, (49, 51), "bandstop", fs=SFREQ, output="sos")
        band = scipy.signal.butter(4, (14, 70), "bandpass", fs=SFREQ, output="sos")
        self.sos = np.concatenate((sos, band))
        self.state = np.zeros((len(self.sos), n_channels, 2))
        self.buffer = np.zeros((n_channels, 8000))
        self.decoder = decoder
        # The same weights, without Phosphene's memory layout.
        layers = copy.deepcopy(decoder._network)  # type: ignore[attr-defined]  # noqa: SLF001
        self.network = layers.to(memory_format=torch.contiguous_format)
        self.scaler = decoder._scaler  # type: ignore[attr-defined]  # noqa: SLF001

    def feed(self, chunk: Values) -> None:
        """Take in the next samples."""
        filtered, self.state = scipy.signal.sosfilt(self.sos, chunk, zi=self.state)
        self.buffer = np.roll(self.buffer, -chunk.shape[1], axis=1)
        self.buffer[:, -chunk.shape[1] :] = filtered

    def decode(self) -> torch.Tensor:
        """Return probabilities of the last 480 samples."""
        epoch = self.buffer[:, -480:]
        epoch = (epoch - epoch.mean(axis=1, keepdims=True)) / epoch.std(axis=1, keepdims=True)
        padded = np.pad(epoch, ((0, 0), (20, 20)))
        _, _, power = scipy.signal.spectrogram(padded, SFREQ, "hann", 40, 20, detrend=False)
        inputs = self.scaler(power[np.newaxis, :, :6].astype(np.float32))
        with torch.no_grad():
            return torch.softmax(self.network(torch.from_numpy(inputs)), dim=1)


def compare(roads: dict[str, Callable[[], object]], repetitions: int) -> None:
    """Time roads by turns."""
    seconds: dict[str, list[float]] = {name: [] for name in roads}
    for _ in range(repetitions):
        for name, road in roads.items():
            start = time.perf_counter()
            road()
            seconds[name].append(time.perf_counter() - start)
    show(seconds, "s", 1.0)


def show(seconds: dict[str, list[float]], unit: str, scale: float) -> None:
    """Print medians, and how many times the first one each takes."""
    first = np.median(next(iter(seconds.values())))
    for name, values in seconds.items():
        median, p99 = np.median(values) * scale, np.quantile(values, 0.99) * scale
        ratio = np.median(values) / first
        print(f"  {name:<26}{median:8.2f} {unit}  p99 {p99:8.2f} {unit}  {ratio:5.1f} times")


if __name__ == "__main__":
    main()
