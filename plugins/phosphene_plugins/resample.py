"""``resample``: the running signal at a lower rate, so that a decoder in the time domain is small.

What would fold back from above is filtered out first, by a filter that delays every frequency by
the same known time: a waveform stays as it is, and the epoch is cut where it was in the brain.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from phosphene import (
    Context,
    PhospheneError,
    Signal,
    SignalSpec,
    StreamStep,
    StreamStepConfig,
    hookimpl,
)

REACH = 5
"""Samples of the new rate that the filter reaches to either side, and by which it lags.

With it frequencies up to 0.6 of half the new rate pass unchanged within 0.1 %, and what folds back
onto them is attenuated by 64 dB. ``scipy.signal.decimate`` reaches twice as far: 40 ms later at
250 Hz, of which 20 ms would be spent on frequencies that no decoder of waveforms needs.
"""
BETA = 6.25
"""Of the Kaiser window: ``scipy.signal.kaiser_beta`` of the attenuation that this length allows."""

Array = NDArray[np.float64]


class ResampleConfig(StreamStepConfig, frozen=True):
    """Keep every n-th sample of the signal, its band limited before."""

    sfreq: float = 250.0
    """The new rate in Hz: the old one divided by a whole number."""

    def __post_init__(self) -> None:
        if not self.sfreq > 0:
            raise ValueError(f"sfreq must be above 0 Hz; found {self.sfreq}")

    def build(self, spec: SignalSpec, context: Context) -> StreamStep:
        """Return the step; ``PhospheneError`` for a rate that is no whole fraction of this one."""
        return Decimation(spec, _ratio(spec.sfreq, self.sfreq))


@hookimpl
def preprocessing() -> Mapping[str, type[StreamStepConfig]]:
    """Offer ``resample``."""
    return {"resample": ResampleConfig}


class Decimation:
    """Every ``ratio``-th sample of the low-passed signal, beginning with the first.

    A sample that comes out has the stamp of the newest one that went into it; ``delay`` says how
    much older the signal in it is. It starts as if the first sample had always been there. What is
    not finite spoils the samples within the filter's reach and none after them.
    """

    def __init__(self, spec: SignalSpec, ratio: int) -> None:
        self.spec = structs.replace(spec, sfreq=spec.sfreq / ratio)
        self._ratio = ratio
        self._taps = _lowpass(ratio)
        self.delay = (len(self._taps) - 1) / 2 / spec.sfreq
        self.reset()

    def reset(self) -> None:
        """Start afresh with the next sample."""
        self._past: Array | None = None
        self._next = 0  # Position in the coming chunk of the next sample that is kept.

    def __call__(self, signal: Signal) -> Signal:
        """Return the samples that are complete, (n_channels, any number of them, also 0)."""
        kept = slice(self._next, None, self._ratio)
        windows = np.lib.stride_tricks.sliding_window_view(
            self._extended(signal.data), len(self._taps), axis=1
        )
        with np.errstate(invalid="ignore"):  # An infinite sample: what comes out is not finite.
            data = (windows[:, kept] @ self._taps).astype(np.float32)
        self._next = (self._next - signal.n_times) % self._ratio
        return Signal(data, signal.stamps[kept], signal.offset)

    def _extended(self, data: NDArray[np.float32]) -> Array:
        """Return the chunk behind as much of the past as the filter reaches."""
        n_past = len(self._taps) - 1
        past = np.repeat(data[:, :1], n_past, axis=1) if self._past is None else self._past
        extended = np.concatenate((past, data), axis=1, dtype=np.float64)
        self._past = extended[:, extended.shape[1] - n_past :].copy()
        return extended


def _ratio(old: float, new: float) -> int:
    ratio = round(old / new)
    if ratio and abs(old / new - ratio) <= 1e-6 * ratio:
        return ratio
    if new > old:
        raise PhospheneError(
            f"resample: {new:g} Hz is above the signal's rate; the nearest possible is {old:.9g} Hz"
        )
    above = int(old / new)
    raise PhospheneError(
        f"resample: {new:g} Hz is not {old:g} Hz divided by a whole number; "
        f"the nearest possible are {old / above:.9g} and {old / (above + 1):.9g} Hz"
    )


@lru_cache
def _lowpass(ratio: int) -> Array:
    """Return a symmetric filter of odd length with a gain of 1; its middle is at half the rate."""
    from scipy.signal import firwin

    if ratio == 1:
        return np.ones(1)
    return np.asarray(firwin(2 * REACH * ratio + 1, 1 / ratio, window=("kaiser", BETA)))
