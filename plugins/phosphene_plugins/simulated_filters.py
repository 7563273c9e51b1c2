"""Filters that colour the simulated subject's noises."""

import numpy as np
from numpy.typing import NDArray

from phosphene_plugins.simulated_eyes import Samples

SLOWEST = 0.5
"""Hz below which ongoing activity grows no further."""
EXPONENT = 1.6
"""Ongoing power falls with frequency to this power (Donoghue et al. 2020 found 0.8 to 1.6)."""
ALPHA_FREQUENCY = 10.0
ALPHA_WIDTH = 1.5
"""Hz; the narrower, the longer alpha waxes and wanes."""

Sections = NDArray[np.float64]


class Filtered:
    """Independent Gaussian noises of unit variance behind one filter."""

    def __init__(self, count: int, sos: Sections, rng: np.random.Generator) -> None:
        from scipy.signal import sosfilt

        impulse = np.zeros(1 << 16)
        impulse[0] = 1
        power = np.sum(sosfilt(sos, impulse) ** 2)
        self._sos = sos.astype(np.float32)
        self._sos[0, :3] /= np.sqrt(power)
        self._state = np.zeros((len(sos), count, 2), dtype=np.float32)
        self._filter, self._rng = sosfilt, rng

    def __call__(self, n_times: int) -> Samples:
        """Return the next samples, (count, n_times)."""
        noise = normal(self._rng, (self._state.shape[1], n_times))
        filtered: Samples
        filtered, self._state = self._filter(self._sos, noise, zi=self._state)
        return filtered


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Samples:
    """Return white noise."""
    return rng.standard_normal(shape, dtype=np.float32)


def falling(sfreq: float) -> Sections:
    """Return a filter whose power falls with ``EXPONENT``: poles and zeros by turns."""
    from scipy.signal import zpk2sos

    # From a pole to the next zero, power falls with the square of the frequency; then it stays.
    poles = SLOWEST * 4.0 ** np.arange(6)
    zeros = poles * 4.0 ** (EXPONENT / 2)
    low_poles, low_zeros = (np.exp(-2 * np.pi * f[f < sfreq / 2] / sfreq) for f in (poles, zeros))
    return zpk2sos(low_zeros, low_poles, 1.0)


def resonance(sfreq: float) -> Sections:
    """Return a filter that rings at the alpha frequency."""
    from scipy.signal import zpk2sos

    turn = 2j * np.pi * ALPHA_FREQUENCY / sfreq
    pole = np.exp(turn - np.pi * ALPHA_WIDTH / sfreq)
    return zpk2sos([1, -1], [pole, pole.conj()], 1.0)


def band_pass(sfreq: float, low: float, high: float) -> Sections:
    """Return a Butterworth filter."""
    from scipy.signal import butter

    return butter(2, (low, high), "bandpass", fs=sfreq, output="sos")
