"""Spectrogram: short windows of an epoch to power by frequency."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from phosphene import (
    Context,
    Epochs,
    EpochStep,
    EpochStepConfig,
    PhospheneError,
    SignalSpec,
    hookimpl,
)

ROUNDING = 1e-6
"""Hz by which a frequency may be off and still be meant."""


class SpectrogramConfig(EpochStepConfig, frozen=True):
    """Power in overlapping Hann windows, centred on multiples of ``hop``, zeros beyond the ends.

    The defaults are the paper's: windows of 40 ms every 20 ms, 6 frequencies from 0 to 125 Hz,
    so that 480 samples at 1 kHz become 6 x 25 (read off Figure 1 of arXiv 2309.07149).
    """

    window: float = 0.040
    """Seconds."""
    hop: float = 0.020
    """Seconds."""
    low: float = 0.0
    """Lowest frequency that is kept, in Hz."""
    high: float = 125.0
    """Highest frequency that is kept, in Hz."""
    log: bool = False
    """Take the natural logarithm of the power."""

    def __post_init__(self) -> None:
        if not 0 < self.hop <= self.window:
            raise ValueError(
                f"hop must be above 0 and at most window; found {self.hop} and {self.window} s"
            )
        if not 0 <= self.low < self.high:
            raise ValueError(f"low must be 0 Hz or more and below high; found {self.low} Hz")

    def build(self, spec: SignalSpec, context: Context) -> EpochStep:
        """Return the step; ``PhospheneError`` if this rate has no such windows or frequencies."""
        return Spectrogram(self, spec)


@hookimpl
def preprocessing() -> Mapping[str, type[EpochStepConfig]]:
    """Offer ``spectrogram``."""
    return {"spectrogram": SpectrogramConfig}


class Spectrogram:
    """(n, n_channels, n_times) to (n, n_channels, n_freqs, n_frames), in V^2 (or its log)."""

    def __init__(self, config: SpectrogramConfig, spec: SignalSpec) -> None:
        from scipy.signal.windows import hann

        self._window = _samples(config.window, spec.sfreq, "window")
        self._hop = _samples(config.hop, spec.sfreq, "hop")
        self._log = config.log
        if config.high > spec.sfreq / 2 + ROUNDING:
            raise PhospheneError(
                f"spectrogram: high of {config.high:g} Hz is above half the sampling rate; "
                f"the nearest possible is {spec.sfreq / 2:.9g} Hz"
            )
        grid = np.arange(self._window // 2 + 1) * spec.sfreq / self._window
        kept = grid[(grid >= config.low - ROUNDING) & (grid <= config.high + ROUNDING)]
        if not len(kept):
            raise PhospheneError(
                f"spectrogram: a window of {config.window:g} s has frequencies "
                f"{spec.sfreq / self._window:g} Hz apart, none from {config.low:g} to "
                f"{config.high:g} Hz"
            )
        self.freqs = tuple(float(f) for f in kept)
        taper = hann(self._window, sym=False)
        phase = 2 * np.pi * np.outer(np.arange(self._window), kept) / spec.sfreq
        fourier = np.concatenate((np.cos(phase), np.sin(phase)), axis=1)
        self._fourier = (taper[:, np.newaxis] / taper.sum() * fourier).astype(np.float32)

    def fit(self, epochs: Epochs) -> None:
        """Learn nothing."""

    def __call__(self, epochs: Epochs) -> Epochs:
        """Return power, one epoch after the other: its windows then stay in the cache."""
        if epochs.data.ndim != 3:
            raise PhospheneError("spectrogram: the epochs are spectrograms already")
        n, n_channels, n_times = epochs.data.shape
        half = self._window // 2
        padded = np.zeros((n_channels, n_times + 2 * half), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self._window, axis=1)
        frames = windows[:, :: self._hop]
        power = np.empty((n, n_channels, len(self.freqs), frames.shape[1]), np.float32)
        for epoch, out in zip(epochs.data, power, strict=True):
            padded[:, half : half + n_times] = epoch
            parts = frames.reshape(-1, self._window) @ self._fourier
            np.square(parts, out=parts)
            real, imaginary = np.split(parts.reshape(*frames.shape[:2], -1), 2, axis=2)
            np.add(real.swapaxes(1, 2), imaginary.swapaxes(1, 2), out=out)
        if self._log:
            np.log(np.maximum(power, np.finfo(np.float32).tiny, out=power), out=power)
        return Epochs(power, epochs.spec, epochs.tmin, self.freqs)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Return nothing: nothing is learnt."""
        return {}

    def load(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restore nothing."""


def _samples(seconds: float, sfreq: float, what: str) -> int:
    exact = seconds * sfreq
    n = max(1, round(exact))
    if abs(exact - n) > 1e-6 * n:
        raise PhospheneError(
            f"spectrogram: {what} of {seconds:g} s is {exact:g} samples at {sfreq:g} Hz; "
            f"the nearest possible is {n / sfreq:.9g} s"
        )
    return n
