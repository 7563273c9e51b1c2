"""The signal around trials and in pauses, boiled down to frames of 50 ms.

A frame holds, by channel, the power of 14-70 Hz and the mean waveform of 0.5-40 Hz: the two ways
in which a class can show (science.md, section D), small enough to keep for every trial. The filters
are causal and their delay is not taken out: a response appears some 20 ms late, and never early, so
that what is seen before an onset was there before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.events import Onset

HOP = 0.05
"""Seconds; length of a frame."""
BEFORE = 0.6
AFTER = 1.0
"""Seconds around an onset."""
BAND = (14.0, 70.0)
"""Hz, the paper's; the upper edge gives way to a low sampling rate."""
WAVEFORM = (0.5, 40.0)
"""Hz."""
STEP = 2
"""Frames of waveform that are averaged into one feature."""
CHANNELS = 16
"""Filtered at a time, to bound the memory."""

Array = NDArray[np.float64]
Features = tuple[Array, ...]
"""Of each kind (n, n_features): power, waveform."""


@dataclass(frozen=True)
class Piece:
    """A stretch of signal without a gap."""

    data: NDArray[np.float32]
    """(n_channels, n_times), V."""
    times: Array
    """Seconds, on the clock of the onsets, (n_times,)."""
    onsets: tuple[Onset, ...]
    """Those within it, in order of time."""

    @property
    def sfreq(self) -> float:
        """Samples a second."""
        return float((len(self.times) - 1) / (self.times[-1] - self.times[0]))


@dataclass(frozen=True)
class Frames:
    """Frames at fixed distances from a moment each, NaN where there was no signal."""

    start: float
    """Seconds from the moment to the first frame."""
    power: NDArray[np.float32]
    """(n, n_channels, n_frames), V²."""
    waveform: NDArray[np.float32]
    """(n, n_channels, n_frames), V."""

    def __len__(self) -> int:
        return len(self.power)

    def __getitem__(self, rows: NDArray[np.generic]) -> "Frames":
        return Frames(self.start, self.power[rows], self.waveform[rows])

    @property
    def complete(self) -> NDArray[np.bool_]:
        """By row: whether every frame is there."""
        return np.asarray(~np.isnan(self.power[:, 0]).any(axis=1))

    def covers(self, tmin: float, tmax: float) -> NDArray[np.bool_]:
        """By row: whether the frames from ``tmin`` to ``tmax`` seconds are there."""
        found = self.power[:, 0, self._within(tmin, tmax)]
        return np.asarray(~np.isnan(found).any(axis=1) & (found.shape[1] > 0))

    def features(self, tmin: float, tmax: float) -> Features:
        """Return log power by channel, and the waveform by channel in steps of 100 ms."""
        within = self._within(tmin, tmax)
        power = self.power[:, :, within].mean(axis=2, dtype=np.float64)
        wave = self.waveform[:, :, within].astype(np.float64)
        n = wave.shape[2] // STEP * STEP
        steps = wave[:, :, :n].reshape(*wave.shape[:2], -1, STEP).mean(axis=3)
        tiny = np.finfo(np.float64).tiny
        return np.log(power + tiny), steps.reshape(len(steps), -1)

    def _within(self, tmin: float, tmax: float) -> slice:
        first, last = round((tmin - self.start) / HOP), round((tmax - self.start) / HOP)
        if first < 0 or last > self.power.shape[2]:
            return slice(0, 0)
        return slice(first, last)


def frames_at(
    piece: Piece, moments: Sequence[float], picks: Sequence[int], start: float, stop: float
) -> Frames:
    """Return the frames of some channels from ``start`` to ``stop`` seconds after each moment."""
    edges = start + HOP * np.arange(round((stop - start) / HOP) + 1)
    wanted = np.asarray(moments)[:, np.newaxis] + edges
    index = np.searchsorted(piece.times, wanted)
    half = 0.5 / piece.sfreq
    outside = (wanted < piece.times[0] - half) | (wanted > piece.times[-1] + 3 * half)
    missing = outside[:, :-1] | outside[:, 1:]
    power, waveform = (np.empty((len(index), len(picks), len(edges) - 1), np.float32) for _ in "pw")
    for rows, band, slow in _filtered(piece, picks):
        power[:, rows] = _means(band**2, index)
        waveform[:, rows] = _means(slow, index)
    for each in (power, waveform):
        each.transpose(0, 2, 1)[missing] = np.nan
    return Frames(start, power, waveform)


def join(parts: Sequence[Frames]) -> Frames:
    """Return the frames of several pieces one after the other."""
    return Frames(
        parts[0].start,
        np.concatenate([part.power for part in parts]),
        np.concatenate([part.waveform for part in parts]),
    )


def _filtered(piece: Piece, picks: Sequence[int]) -> Iterator[tuple[slice, Array, Array]]:
    """Yield rows of ``picks``, their band, and their slow waveform."""
    from scipy.signal import butter, sosfilt, sosfilt_zi

    nyquist = 0.45 * piece.sfreq
    band = butter(4, (BAND[0], min(BAND[1], nyquist)), "bandpass", fs=piece.sfreq, output="sos")
    slow_band = (WAVEFORM[0], min(WAVEFORM[1], nyquist))
    slow = butter(2, slow_band, "bandpass", fs=piece.sfreq, output="sos")
    for first in range(0, len(picks), CHANNELS):
        rows = slice(first, min(first + CHANNELS, len(picks)))
        data = piece.data[list(picks[rows])].astype(np.float64)
        offset = data[:, :1]
        found = [
            sosfilt(sos, data, axis=1, zi=sosfilt_zi(sos)[:, np.newaxis] * offset)[0]
            for sos in (band, slow)
        ]
        yield rows, found[0], found[1]


def _means(values: Array, index: NDArray[np.intp]) -> Array:
    """Return means between neighbouring indices, (n, n_channels, n_frames)."""
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    totals = np.diff(sums[:, index], axis=2)
    lengths = np.maximum(np.diff(index, axis=1), 1)
    means: Array = (totals / lengths).transpose(1, 0, 2)
    return means
