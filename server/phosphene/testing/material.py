"""Signals and labelled epochs for the checks, the classes as easy to tell as can be."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from phosphene.clock import VirtualClock
from phosphene.events import Onset
from phosphene.interfaces import Context, TrainingSet
from phosphene.signals import Epochs, Signal, SignalSpec
from phosphene.testing.images import CLASSES, stimuli
from phosphene.testing.workplace import new_folder

CHANNELS = ("Fp1", "Fp2", "C3", "C4", "P3", "P4", "O1", "O2")
SEED = 1
NOISE = 10e-6
"""V rms."""
TMIN, TMAX = 0.02, 0.5
"""Seconds, as in the preset ``paper``."""
BLOCKS = 8
"""Blocks a run; each shows every class once."""
RUNS = 4
"""The last is held out."""

Samples: TypeAlias = NDArray[np.float32]
Change = Callable[[Samples], None]
"""Alters time-domain epochs (n_epochs, n_channels, n_times) in place."""


@dataclass(frozen=True)
class Domain:
    """What a decoder or an epoch step is given."""

    name: str
    sfreq: float
    spectrogram: bool = False


DOMAINS = (
    Domain("epochs in the time domain at 250 Hz", 250.0),
    Domain("epochs in the time domain at 1000 Hz", 1000.0),
    Domain("power spectrograms", 1000.0, spectrogram=True),
)


def make_context(seed: int = SEED) -> Context:
    """Return a context on a virtual clock, with a cache of its own."""
    return Context(stimuli(), seed, new_folder(), VirtualClock(100.0))


def make_spec(sfreq: float, n_channels: int = len(CHANNELS)) -> SignalSpec:
    """Return the specification of an EEG signal."""
    return SignalSpec(CHANNELS[:n_channels], ("eeg",) * n_channels, sfreq)


def make_signal(spec: SignalSpec, seconds: float, seed: int = SEED) -> Signal:
    """Return noise on a slow drift and an electrode's offset of 1 mV."""
    n_times = round(seconds * spec.sfreq)
    rng = np.random.default_rng((seed, n_times))
    data = rng.normal(1e-3, NOISE, (spec.n_channels, n_times))
    data += 5 * NOISE * np.sin(np.linspace(0, 7, n_times))
    return Signal(data.astype(np.float32), 100.0 + np.arange(n_times) / spec.sfreq, 0.25)


def training_set(domain: Domain, change: Change | None = None) -> TrainingSet:
    """Return the trials of all runs but the last, freshly made."""
    return _set(domain, [trial for trial in onsets() if trial.run < RUNS], change)


def held_out(domain: Domain, change: Change | None = None) -> TrainingSet:
    """Return the trials of the last run, freshly made."""
    return _set(domain, [trial for trial in onsets() if trial.run == RUNS], change)


def onsets() -> Iterator[Onset]:
    """Yield every class once in each block, in random order, each image once."""
    wnids, rng, time = list(CLASSES), np.random.default_rng(SEED), 100.0
    for number in range(RUNS * BLOCKS):
        for place, column in enumerate(rng.permutation(len(wnids))):
            wnid = wnids[column]
            image = stimuli().of(wnid, "train")[number]
            where = ("record", number // BLOCKS + 1, number + 1, 1, place + 1)
            seq = number * len(wnids) + place
            yield Onset(seq, "stimulus", time, time, TMAX, *where, wnid, image.id, image.sha256)
            time += TMAX
        time += 10.0


def _set(domain: Domain, trials: list[Onset], change: Change | None) -> TrainingSet:
    data = np.stack([_response(trial, domain.sfreq) for trial in trials])
    if change:
        change(data)
    epochs = Epochs(data, make_spec(domain.sfreq), TMIN)
    return TrainingSet(
        _spectrogram(epochs) if domain.spectrogram else epochs, tuple(trials), stimuli()
    )


def _response(trial: Onset, sfreq: float) -> Samples:
    """Return one epoch: the class has two channels of its own, louder and with a waveform."""
    n_times = round((TMAX - TMIN) * sfreq)
    rng = np.random.default_rng((SEED, trial.seq))
    data = rng.normal(0, NOISE, (len(CHANNELS), n_times))
    data += 0.5 * np.roll(data, 1, axis=0)  # Neighbours share noise: it is not quite independent.
    times = TMIN + np.arange(n_times) / sfreq
    first = 2 * list(CLASSES).index(trial.wnid)
    data[first : first + 2] *= 2.5
    data[first : first + 2] += 2 * NOISE * np.exp(-(((times - 0.2) / 0.05) ** 2))
    return data.astype(np.float32)


def _spectrogram(epochs: Epochs) -> Epochs:
    """Return power in Hann windows of 40 ms every 20 ms, 0 to 125 Hz, as the paper has it."""
    sfreq = epochs.spec.sfreq
    window, hop = round(0.04 * sfreq), round(0.02 * sfreq)
    padded = np.pad(epochs.data, ((0, 0), (0, 0), (window // 2, window // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=2)[:, :, ::hop]
    with np.errstate(invalid="ignore"):  # Some checks put infinity in.
        power = np.abs(np.fft.rfft(frames * np.hanning(window), axis=3)) ** 2
    freqs = np.fft.rfftfreq(window, 1 / sfreq)
    kept = freqs <= 125.0
    data = np.ascontiguousarray(power[..., kept].swapaxes(2, 3), np.float32)
    return Epochs(data, epochs.spec, epochs.tmin, tuple(freqs[kept].tolist()))
