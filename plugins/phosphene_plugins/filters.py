"""Causal filters for the running signal: ``notch`` and ``bandpass``."""

import math
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
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

MAX_BLOCK = 32
"""Samples filtered in one product; its cost grows with the square of this."""

Array = NDArray[np.float64]
Kind = Literal["bandpass", "bandstop"]
Align = Literal["power", "waveform"]

RESPONSE = ((0.10, 0.016, 1.0), (0.16, 0.024, -1.5), (0.24, 0.040, 1.0))
"""P1, N1 and P2 of a visual evoked response, whose lag stands for that of all: latency and width in
seconds, relative amplitude. Typical values, those of the simulated subject."""


class _BandConfig(StreamStepConfig, frozen=True):
    low: float
    """Lower cut-off in Hz."""
    high: float
    """Upper cut-off in Hz."""
    order: int
    """Of the Butterworth prototype."""
    align: Align = "power"
    """What is to lie in the epoch where it was in the brain: the power of activity that has no
    fixed phase, or the waveform of an evoked response. No filter delays both by the same time."""

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high:
            raise ValueError(
                f"low must be above 0 Hz and below high; found {self.low} to {self.high} Hz"
            )
        if not 1 <= self.order <= 8:
            raise ValueError(f"order must be 1 to 8; found {self.order}")


class BandpassConfig(_BandConfig, frozen=True):
    """Keep a band: 14-70 Hz, Butterworth of order 4 (arXiv 2309.07149, preprocessing)."""

    low: float = 14.0
    high: float = 70.0
    order: int = 4

    def build(self, spec: SignalSpec, context: Context) -> StreamStep:
        """Return the filter; ``PhospheneError`` for a cut-off at or above half the rate."""
        return _filter(spec, "bandpass", self)


class NotchConfig(_BandConfig, frozen=True):
    """Remove a band: 49-51 Hz, the power line's (arXiv 2309.07149, preprocessing)."""

    low: float = 49.0
    high: float = 51.0
    order: int = 2

    def build(self, spec: SignalSpec, context: Context) -> StreamStep:
        """Return the filter; ``PhospheneError`` for a cut-off at or above half the rate."""
        return _filter(spec, "bandstop", self)


@hookimpl
def preprocessing() -> Mapping[str, type[StreamStepConfig]]:
    """Offer ``notch`` and ``bandpass``."""
    return {"notch": NotchConfig, "bandpass": BandpassConfig}


class Filter:
    """Second-order sections with their state in float64.

    It starts as if the first sample had always been there, so that an electrode's offset does not
    ring. A sample that is not finite is replaced by the channel's last finite one (0 V if there was
    none) before it enters: one NaN in a recursive filter would stay for ever.
    """

    def __init__(self, spec: SignalSpec, recursion: "Recursion", delay: float) -> None:
        self.spec = spec
        self.delay = delay
        self.recursion = recursion
        self._started = False
        self._last: NDArray[np.floating] = np.zeros(spec.n_channels)
        # State above block, a row each: one product makes the next state and the output, and writes
        # them where the next block will be put below the state.
        self._now = np.zeros((recursion.n_state + MAX_BLOCK, spec.n_channels))
        self._next = np.empty_like(self._now)

    def joined(self, following: StreamStep) -> StreamStep | None:
        """Return one filter that does the work of both."""
        if not isinstance(following, Filter):
            return None
        recursion = self.recursion.then(following.recursion)
        return Filter(self.spec, recursion, self.delay + following.delay)

    def reset(self) -> None:
        """Start afresh with the next sample."""
        self._started = False
        self._last = np.zeros(self.spec.n_channels)

    def __call__(self, signal: Signal) -> Signal:
        """Return the filtered signal, same shape."""
        data = signal.data
        # The sum of squares is finite if all are; where it overflows, looking again does no harm.
        if not math.isfinite(np.vdot(data, data)):
            data = data.astype(np.float64)
            _hold_last_finite(data, self._last)
        self._last = data[:, -1]
        n_state = self.recursion.n_state
        if not self._started:
            self._now[:n_state] = np.outer(self.recursion.steady_state, data[:, 0])
            self._started = True
        filtered = np.empty(data.shape, np.float32)
        for start in range(0, data.shape[1], MAX_BLOCK):
            block = data[:, start : start + MAX_BLOCK]
            filtered[:, start : start + MAX_BLOCK] = self._block(block)
        return Signal(filtered, signal.stamps, signal.offset)

    def _block(self, block: NDArray[np.floating]) -> Array:
        """Return a block filtered; the state is the next one."""
        n_state = self.recursion.n_state
        height = n_state + block.shape[1]
        self._now[n_state:height] = block.T
        out = self._next[:height]
        np.dot(self.recursion.matrix(block.shape[1]), self._now[:height], out=out)
        self._now, self._next = self._next, self._now
        return out[n_state:].T


class Recursion:
    """A cascade of second-order sections, a block of samples in one matrix product.

    A linear filter maps (samples, state) to (filtered samples, next state) linearly; the matrix
    of that map is what the filter makes of the unit vectors. One product replaces a recursion over
    samples, sections and channels: for 128 channels x 10 samples of the default band-pass 9 us
    against 63 us for ``scipy.signal.sosfilt``, with the same result to 4e-14 of the largest input
    (all measured).
    """

    def __init__(self, sos: Array) -> None:
        from scipy.signal import sosfilt_zi

        self.sos = sos
        self._matrices: dict[int, Array] = {}
        self.n_state = 2 * len(sos)
        self.steady_state: Array = sosfilt_zi(sos).ravel()
        """The state after a constant input of 1."""

    def then(self, following: "Recursion") -> "Recursion":
        """Return this cascade with another one behind it."""
        return Recursion(np.concatenate((self.sos, following.sos)))

    def matrix(self, n_times: int) -> Array:
        """Return what makes (next state, output) of (state, input): 2 x sections + n_times rows."""
        if n_times not in self._matrices:
            self._matrices[n_times] = self._matrix(n_times)
        return self._matrices[n_times]

    @cached_property
    def envelope_lag(self) -> float:
        """Samples by which the power of the output lags: the centre of the squared response.

        For white noise whose power changes, the expected output power is the input power convolved
        with the squared impulse response; its centre of mass is therefore the lag of the envelope.
        The lags of the default notch and band-pass add up to the shift that aligns a burst of flat
        spectrum best (within 1 ms, measured). The long faint ringing of the notch, which moves the
        centre behind both by 8 ms more, is not in it.
        """
        from scipy.signal import sosfilt

        impulse = np.zeros(100_000)
        impulse[0] = 1
        energy = sosfilt(self.sos, impulse) ** 2
        return float(np.arange(len(energy)) @ energy / energy.sum())

    def waveform_lag(self, sfreq: float) -> float:
        """Seconds by which an evoked response lags: where the output is most like the input.

        For 0.5-40 Hz of order 2 that is 2.9 ms, although the centre of its power lags by 11.5 ms:
        the slow ringing of the lower edge holds power, but moves no peak. P1, N1 and P2 come out 5,
        3 and 0 ms late; with order 4, whose lag is 5.4 ms, 9, 6 and 0 ms (measured at 1 kHz).
        A causal high-pass makes what is slow run ahead: there is no one lag for every waveform.
        """
        from scipy.signal import correlate, correlation_lags, sosfilt

        response = _response(sfreq)
        similarity = correlate(sosfilt(self.sos, response), response)
        lags = correlation_lags(len(response), len(response)) / sfreq
        peak = int(similarity.argmax())
        before, at, after = similarity[peak - 1 : peak + 2]
        # The vertex of the parabola through the three: finer than a sample.
        return float(lags[peak] + (before - after) / (before - 2 * at + after) / 2 / sfreq)

    def _matrix(self, n_times: int) -> Array:
        from scipy.signal import sosfilt

        n_sections = len(self.sos)
        basis = np.eye(self.n_state + n_times)
        states = basis[:, : self.n_state].reshape(-1, n_sections, 2).swapaxes(0, 1)
        filtered, states = sosfilt(self.sos, basis[:, self.n_state :], zi=states)
        made = np.concatenate((states.swapaxes(0, 1).reshape(len(basis), -1), filtered), axis=1)
        return np.ascontiguousarray(made.T)


def _filter(spec: SignalSpec, kind: Kind, config: _BandConfig) -> Filter:
    """Return a Butterworth filter; ``PhospheneError`` for a band that the rate cannot carry."""
    _check_rate(kind, config, spec.sfreq)
    recursion = _recursion(kind, config.low, config.high, config.order, spec.sfreq)
    if config.align == "waveform":
        return Filter(spec, recursion, recursion.waveform_lag(spec.sfreq))
    return Filter(spec, recursion, recursion.envelope_lag / spec.sfreq)


@lru_cache
def _recursion(kind: Kind, low: float, high: float, order: int, sfreq: float) -> Recursion:
    from scipy.signal import butter

    return Recursion(butter(order, (low, high), btype=kind, fs=sfreq, output="sos"))


def _response(sfreq: float) -> Array:
    times = np.arange(0, 1, 1 / sfreq)[:, np.newaxis]
    latency, width, amplitude = np.array(RESPONSE).T
    return np.asarray(np.exp(-(((times - latency) / width) ** 2) / 2) @ amplitude)


def _check_rate(kind: Kind, config: _BandConfig, sfreq: float) -> None:
    nearest = 0.99 * sfreq / 2
    if config.low >= nearest:
        raise PhospheneError(
            f"{kind}: a band from {config.low:g} Hz needs a sampling rate above "
            f"{2 * config.high:g} Hz; found {sfreq:g} Hz"
        )
    if config.high >= sfreq / 2:
        raise PhospheneError(
            f"{kind}: high of {config.high:g} Hz must be below half the sampling rate of "
            f"{sfreq:g} Hz; the nearest possible is {nearest:g} Hz"
        )


def _hold_last_finite(data: NDArray[np.floating], last: NDArray[np.floating]) -> None:
    """Replace, in place, what is not finite by the sample before it; ``last`` precedes all."""
    for channel in np.flatnonzero(~np.isfinite(data).all(axis=1)):
        finite = np.isfinite(data[channel])
        previous = np.maximum.accumulate(np.where(finite, np.arange(len(finite)), -1))
        data[channel] = np.where(previous >= 0, data[channel, previous], last[channel])
