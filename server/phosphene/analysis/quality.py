"""The recorded signal as it is, before any filter: noise by channel, spectrum, evoked response."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.course import PhaseCourse
from phosphene.dataset.xdf_reader import Segment
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.interfaces import Context
from phosphene.pipeline import Pipeline
from phosphene.settings import EpochSettings, Settings
from phosphene.signals import SignalSpec

BASELINE = 0.1
"""Seconds before onset."""
LENGTH = 0.7
"""Seconds of signal that are looked at around each onset."""
BATCH = 50
"""Epochs that are looked at together, to bound the memory."""
FLAT = 0.1e-6
"""V rms below which a channel carries nothing: amplifiers alone are noisier."""
OUTLIER = 4.0
"""A channel this many times noisier, or quieter, than the median one is worth a look."""
SMOOTHING = 30.0
"""Low-pass of the evoked response, Hz."""


@dataclass
class Quality:
    """What the signal around the onsets looks like; arrays are by channel."""

    spec: SignalSpec
    rms: NDArray[np.float64]
    """V, median over trials, linear trend removed."""
    freqs: NDArray[np.float64]
    power: NDArray[np.float64]
    """(n_channels, n_freqs), V²/Hz."""
    times: NDArray[np.float64]
    """Seconds from onset."""
    evoked: NDArray[np.float64]
    """(n_channels, n_times), V: average over trials, baseline removed, smoothed."""
    n_trials: int

    @property
    def suspects(self) -> dict[str, str]:
        """Channels that are worth a look, and why."""
        median = float(np.median(self.rms))
        found = {}
        for channel, rms in zip(self.spec.channels, self.rms, strict=True):
            if rms < FLAT:
                found[channel] = "flat"
            elif rms > OUTLIER * median:
                found[channel] = f"{rms / median:.0f} times noisier than the median channel"
            elif rms < median / OUTLIER:
                found[channel] = f"{median / rms:.0f} times quieter than the median channel"
        return found

    @property
    def posterior(self) -> list[int]:
        """Indices of the channels over the visual cortex, by name; all if the names say nothing."""
        wanted = ("O", "PO", "I")
        names = [channel.rstrip("0123456789zhZ") for channel in self.spec.channels]
        return [i for i, name in enumerate(names) if name in wanted] or list(range(len(names)))


@dataclass
class _Sums:
    rms: list[NDArray[np.float64]] = field(default_factory=list)
    power: NDArray[np.float64] | float = 0.0
    evoked: NDArray[np.float64] | float = 0.0
    n_trials: int = 0


def measure_quality(phase: PhaseCourse, settings: Settings, context: Context) -> Quality:
    """Return the quality of a phase's recordings; few epochs are in memory at a time.

    Raises ``PhospheneError`` if there is no epoch in any of them.
    """
    spec = phase.recordings[0].spec
    pipeline = Pipeline((), _window(spec.sfreq), spec, context, settings.screen.lag)
    sums = _Sums()
    for recording in phase.recordings:
        for batch in _batches(recording, filter(phase.counts, recording.onsets), pipeline):
            _add(sums, batch, pipeline)
    if not sums.n_trials:
        raise PhospheneError("no trial has all its samples; there is no signal to look at")
    return _quality(sums, pipeline)


def _batches(
    recording: Segment, onsets: Iterable[Onset], pipeline: Pipeline
) -> Iterator[NDArray[np.float64]]:
    """Yield epochs, (n_epochs, n_channels, n_times)."""
    pipeline.open_segment()
    for onset in onsets:
        pipeline.mark(onset)
    found: list[NDArray[np.float32]] = []
    for signal in recording.signals():
        pipeline.feed(signal)
        found += [cut.data for cut in pipeline.cuts()]
        if len(found) >= BATCH:
            yield np.stack(found).astype(np.float64)
            found = []
    if found:
        yield np.stack(found).astype(np.float64)


def _window(sfreq: float) -> EpochSettings:
    """Return about -0.1 to 0.6 s as whole samples."""
    before, length = round(BASELINE * sfreq), round(LENGTH * sfreq)
    return EpochSettings(-before / sfreq, (length - before) / sfreq)


def _add(sums: _Sums, data: NDArray[np.float64], pipeline: Pipeline) -> None:
    from scipy.signal import detrend, periodogram

    sfreq = pipeline.spec.sfreq
    before = max(1, round(-pipeline.tmin * sfreq))
    sums.evoked += (data - data[..., :before].mean(axis=-1, keepdims=True)).sum(axis=0)
    straight = detrend(data)
    sums.rms.append(straight.std(axis=-1))
    sums.power += periodogram(straight, sfreq, "hann", detrend=False)[1].sum(axis=0)
    sums.n_trials += len(data)


def _quality(sums: _Sums, pipeline: Pipeline) -> Quality:
    from scipy.signal import butter, sosfiltfilt

    n_times, sfreq = pipeline.n_times, pipeline.spec.sfreq
    evoked = np.asarray(sums.evoked) / sums.n_trials
    # Averaging and filtering may change places: both are linear.
    if sfreq / 2 > SMOOTHING:
        evoked = sosfiltfilt(butter(2, SMOOTHING, fs=sfreq, output="sos"), evoked)
    return Quality(
        pipeline.spec,
        np.asarray(np.median(np.concatenate(sums.rms), axis=0), np.float64),
        np.asarray(np.fft.rfftfreq(n_times, 1 / sfreq), np.float64),
        np.asarray(sums.power) / sums.n_trials,
        pipeline.tmin + np.arange(n_times) / sfreq,
        np.asarray(evoked),
        sums.n_trials,
    )
