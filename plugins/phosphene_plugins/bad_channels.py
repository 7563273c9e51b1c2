"""``bad-channels``: electrodes that measure nothing, or themselves, are put together from others.

Which they are is learnt from training epochs, with two of the criteria of PREP (Bigdely-Shamlo et
al., Frontiers in Neuroinformatics 9:16, 2015): amplitude and correlation; and flat ones.
"""

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

MAD_TO_SD = 1.4826
FLAT = 1e-3
"""Share of the median channel's amplitude below which a channel is flat."""
MOST = 0.5
"""Share of the channels that may be bad; with more of them nothing is known of any."""
ENOUGH = 4
"""Good channels of known place that spherical splines need."""

Array = NDArray[np.float64]


class BadChannelsConfig(EpochStepConfig, frozen=True):
    """Find bad channels in the training epochs, and interpolate them in every epoch.

    Where places are known by spherical splines (Perrin et al. 1989, as MNE has it), elsewhere by
    the mean of all good channels.
    """

    deviation: float = 5.0
    """Robust standard deviations of log amplitude from the median channel; PREP's 5."""
    correlation: float = 0.4
    """The largest correlation with another channel is at least this; PREP's 0.4. Not asked for
    where most channels have less."""

    def __post_init__(self) -> None:
        if not self.deviation > 0:
            raise ValueError(f"deviation must be above 0; found {self.deviation}")
        if not 0 <= self.correlation < 1:
            raise ValueError(f"correlation must be from 0 to below 1; found {self.correlation}")

    def build(self, spec: SignalSpec, context: Context) -> EpochStep:
        """Return the step, not fitted."""
        return BadChannels(self, spec)


@hookimpl
def preprocessing() -> Mapping[str, type[EpochStepConfig]]:
    """Offer ``bad-channels``."""
    return {"bad-channels": BadChannelsConfig}


class BadChannels:
    """Multiplies each sample by a matrix that leaves good channels as they are."""

    def __init__(self, config: BadChannelsConfig, spec: SignalSpec) -> None:
        self._config, self._spec = config, spec
        self._weights = np.zeros((0, 0), np.float32)

    def fit(self, epochs: Epochs) -> None:
        """Find the bad channels; ``PhospheneError`` names them if they are too many."""
        if epochs.data.ndim != 3:
            raise PhospheneError("bad-channels works in the time domain; put it before spectrogram")
        bad = self._find(epochs.data)
        if bad.sum() > MOST * len(bad):
            names = ", ".join(name for name, b in zip(self._spec.channels, bad, strict=True) if b)
            raise PhospheneError(f"bad-channels: more than half of the channels are bad: {names}")
        self._weights = _weights(self._spec, bad).astype(np.float32)

    def __call__(self, epochs: Epochs) -> Epochs:
        """Return epochs with every channel, same shape."""
        if not self._weights.size:
            raise PhospheneError("bad-channels was not fitted")
        data = np.matmul(self._weights, epochs.data)
        return Epochs(data, epochs.spec, epochs.tmin, epochs.freqs)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Return the matrix."""
        return {"weights": self._weights}

    def load(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restore the matrix; ``PhospheneError`` if it is not one for such a signal."""
        n = self._spec.n_channels
        found = state.get("weights")
        if state.keys() != {"weights"} or found is None or found.shape != (n, n):
            shape = "nothing" if found is None else found.shape
            raise PhospheneError(f"bad-channels: expected weights of {n} x {n}; found {shape}")
        if not np.isfinite(found).all():
            raise PhospheneError("bad-channels: weights must be finite")
        self._weights = found.astype(np.float32)

    def _find(self, data: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return which channels are bad, (n_channels,)."""
        centred = data.astype(np.float64) - data.mean(axis=2, keepdims=True, dtype=np.float64)
        amplitude = np.sqrt(np.mean(centred**2, axis=(0, 2)))
        amplitude[~np.isfinite(amplitude)] = 0
        bad = amplitude <= FLAT * np.median(amplitude)
        known = ~bad
        # As in PREP against the others: by itself an electrode near the reference is small.
        against = centred[:, known] - np.median(centred[:, known], axis=1, keepdims=True)
        bad[known] = self._deviates(against) | self._alone(against)
        return np.asarray(bad, bool)

    def _deviates(self, centred: Array) -> NDArray[np.bool_]:
        logs = np.log(np.sqrt(np.mean(centred**2, axis=(0, 2))))
        apart = logs - np.median(logs)
        spread = MAD_TO_SD * np.median(np.abs(apart))
        return np.asarray(np.abs(apart) > self._config.deviation * spread)

    def _alone(self, centred: Array) -> NDArray[np.bool_]:
        """Return which channels go along with no other one, if that is unusual here."""
        if centred.shape[1] < 2:
            return np.zeros(centred.shape[1], bool)
        together = np.abs(np.corrcoef(centred.swapaxes(0, 1).reshape(centred.shape[1], -1)))
        np.fill_diagonal(together, 0)
        nearest = together.max(axis=1)
        if np.median(nearest) < self._config.correlation:  # A few electrodes, far apart.
            return np.zeros(len(nearest), bool)
        return np.asarray(nearest < self._config.correlation)


def _weights(spec: SignalSpec, bad: NDArray[np.bool_]) -> Array:
    """Return the matrix from all channels to good ones, (n_channels, n_channels)."""
    weights: Array = np.eye(len(bad))
    if not bad.any():
        return weights
    placed = np.array([name in spec.positions for name in spec.channels])
    weights[bad] = ~bad / (~bad).sum()
    splined = bad & placed
    if splined.any() and (~bad & placed).sum() >= ENOUGH:
        weights[np.ix_(splined, placed)] = _splines(spec, placed, bad)
        weights[np.ix_(splined, ~placed)] = 0
    return weights


def _splines(spec: SignalSpec, placed: NDArray[np.bool_], bad: NDArray[np.bool_]) -> Array:
    """Return what MNE makes of each channel alone: rows of the bad ones, (n_bad, n_placed)."""
    import mne

    names = [name for name, known in zip(spec.channels, placed, strict=True) if known]
    info = mne.create_info(names, spec.sfreq, "eeg")
    positions = {name: spec.positions[name] for name in names}
    info.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"))
    info["bads"] = [name for name, b in zip(spec.channels, bad, strict=True) if b and name in names]
    # A channel's weight is what becomes of 1 in it and 0 in all others.
    units = mne.EvokedArray(np.eye(len(names)), info, verbose="error")
    interpolated = units.interpolate_bads(reset_bads=False, verbose="error")
    return np.asarray(interpolated.data[bad[placed]])
