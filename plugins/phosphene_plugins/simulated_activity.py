"""The EEG that the simulated subject has whatever is shown: brain, eyes, mains and electrodes.

It comes in frames of fixed length, so that the same seed gives the same samples however they are
read. Amplitudes are at the average electrode, in units of the setting ``noise``, unless in volts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene_plugins.simulated_leadfield import Head
from phosphene_plugins.simulated_settings import SubjectSettings

FRAME = 0.5
"""Seconds."""
WARM_UP = 6
"""Frames until the slowest filter has forgotten that it started."""
SLOWEST = 0.5
"""Hz below which ongoing activity grows no further."""
EXPONENT = 1.6
"""Ongoing power falls with frequency to this power (Donoghue et al. 2020 found 0.8 to 1.6)."""
ALPHA_FREQUENCY = 10.0
ALPHA_WIDTH = 1.5
"""Hz; the narrower, the longer alpha waxes and wanes."""
ALPHA_SOURCES = 12
ALPHA = 0.6
BAND = (14.0, 70.0)
"""Hz; what the paper's filter passes, and what a code in power modulates."""
BAND_ACTIVITY = 0.22
SENSOR_NOISE = 0.15
BLINK = 150e-6
"""Volts at the electrode that sees most of it."""
BLINK_RISE = 0.07
"""Seconds from start to peak."""
EYES = (0.0, 0.095, 0.01)
"""Metres in the head frame."""
BLINK_REACH = 0.04
"""Metres in which a blink falls to 1/e."""

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """A piece of ongoing activity."""

    signal: Samples
    """Volts at the electrodes, before their gain; (n_channels, n_times)."""
    band: Samples
    """What the hind sources do in ``BAND``, unit variance; (n_hind, n_times)."""
    gain: Samples
    """Of the electrodes; (n_channels, n_times)."""


class Activity:
    """Makes frame after frame."""

    def __init__(self, settings: SubjectSettings, head: Head, rng: np.random.Generator) -> None:
        hind, sfreq = head.hind, settings.sfreq
        self.n_times = round(FRAME * sfreq)
        self.band_field = _scaled(head.leadfield[:, hind], BAND_ACTIVITY * settings.noise)
        """Volts of each hind source's band activity, (n_channels, n_hind)."""
        ongoing = _scaled(head.leadfield, settings.noise)
        alpha = _scaled(head.leadfield[:, hind[:ALPHA_SOURCES]], ALPHA * settings.noise)
        self._sources = (
            _Filtered(ongoing.shape[1], _falling(sfreq), rng),
            _Filtered(alpha.shape[1], _resonance(sfreq), rng),
            _Filtered(len(hind), _passband(sfreq), rng),
            _Blinks(settings, rng),
            _Mains(settings),
        )
        self._mixing = np.hstack(
            [ongoing, alpha, self.band_field, _blink_field(head), _mains_field(settings, head, rng)]
        )
        self._drift = _Drift(settings, len(head.channels), rng)
        self._sensor_noise = np.float32(SENSOR_NOISE * settings.noise)
        self._rng = rng
        for _ in range(WARM_UP):
            self.frame()

    def frame(self) -> Frame:
        """Return the next frame."""
        sources = [source(self.n_times) for source in self._sources]
        signal = self._mixing @ np.vstack(sources)
        signal += self._sensor_noise * _normal(self._rng, signal.shape)
        return Frame(signal, sources[2], self._drift(self.n_times))


class _Filtered:
    """Independent Gaussian noises of unit variance behind one filter."""

    def __init__(self, count: int, sos: NDArray[np.float64], rng: np.random.Generator) -> None:
        from scipy.signal import sosfilt

        impulse = np.zeros(1 << 16)
        impulse[0] = 1
        power = np.sum(sosfilt(sos, impulse) ** 2)
        self._sos = sos.astype(np.float32)
        self._sos[0, :3] /= np.sqrt(power)
        self._state = np.zeros((len(sos), count, 2), dtype=np.float32)
        self._filter, self._rng = sosfilt, rng

    def __call__(self, n_times: int) -> Samples:
        noise = _normal(self._rng, (self._state.shape[1], n_times))
        filtered: Samples
        filtered, self._state = self._filter(self._sos, noise, zi=self._state)
        return filtered


class _Blinks:
    """One time course: each blink rises and falls like t exp(-t); peaks of 1."""

    def __init__(self, settings: SubjectSettings, rng: np.random.Generator) -> None:
        from scipy.signal import sosfilt

        rise = BLINK_RISE * settings.sfreq
        pole = np.exp(-1 / rise)
        self._sos = np.array([[0, np.e / rise, 0, 1, -2 * pole, pole**2]])
        self._state = np.zeros((1, 1, 2))
        self._rate = settings.blinks / 60 / settings.sfreq
        self._filter, self._rng = sosfilt, rng

    def __call__(self, n_times: int) -> Samples:
        starts = self._rng.poisson(self._rate, (1, n_times)).astype(np.float64)
        blinks: NDArray[np.float64]
        blinks, self._state = self._filter(self._sos, starts, zi=self._state)
        return blinks.astype(np.float32)


class _Mains:
    """Sine and cosine of the power line."""

    def __init__(self, settings: SubjectSettings) -> None:
        self._cycles = settings.line_frequency / settings.sfreq
        self._index = 0

    def __call__(self, n_times: int) -> Samples:
        index = np.arange(self._index, self._index + n_times)
        self._index += n_times
        phase = 2 * np.pi * (self._cycles * index % 1)
        return np.stack([np.sin(phase), np.cos(phase)]).astype(np.float32)


class _Drift:
    """Gains whose logarithms are Ornstein-Uhlenbeck processes, one for each electrode."""

    def __init__(self, settings: SubjectSettings, count: int, rng: np.random.Generator) -> None:
        self._size, self._rng = settings.drift, rng
        self._rate = 1 / (settings.drift_tau * settings.sfreq)
        self._level = rng.standard_normal(count)

    def __call__(self, n_times: int) -> Samples:
        start = self._level
        kept = np.exp(-n_times * self._rate)
        new = self._rng.standard_normal(len(start))
        self._level = kept * start + np.sqrt(1 - kept**2) * new
        edges = np.exp(self._size * np.stack([start, self._level], axis=1)).astype(np.float32)
        along = np.linspace(0, 1, n_times, endpoint=False, dtype=np.float32)
        gain: Samples = edges[:, :1] + (edges[:, 1:] - edges[:, :1]) * along
        return gain


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Samples:
    return rng.standard_normal(shape, dtype=np.float32)


def _scaled(field: Samples, rms: float) -> Samples:
    """Return a lead field through which sources of unit variance give ``rms`` volts."""
    return field * np.float32(rms / np.sqrt(np.mean(np.sum(field**2, axis=1))))


def _falling(sfreq: float) -> NDArray[np.float64]:
    """Return a filter whose power falls with ``EXPONENT``: poles and zeros by turns."""
    from scipy.signal import zpk2sos

    # From a pole to the next zero, power falls with the square of the frequency; then it stays.
    poles = SLOWEST * 4.0 ** np.arange(6)
    zeros = poles * 4.0 ** (EXPONENT / 2)
    low_poles, low_zeros = (np.exp(-2 * np.pi * f[f < sfreq / 2] / sfreq) for f in (poles, zeros))
    return zpk2sos(low_zeros, low_poles, 1.0)


def _resonance(sfreq: float) -> NDArray[np.float64]:
    """Return a filter that rings at the alpha frequency."""
    from scipy.signal import zpk2sos

    turn = 2j * np.pi * ALPHA_FREQUENCY / sfreq
    pole = np.exp(turn - np.pi * ALPHA_WIDTH / sfreq)
    return zpk2sos([1, -1], [pole, pole.conj()], 1.0)


def _passband(sfreq: float) -> NDArray[np.float64]:
    from scipy.signal import butter

    return butter(2, BAND, "bandpass", fs=sfreq, output="sos")


def _blink_field(head: Head) -> Samples:
    distance = np.linalg.norm(head.positions - np.array(EYES), axis=1, keepdims=True)
    field: NDArray[np.float64] = BLINK * np.exp((distance.min() - distance) / BLINK_REACH)
    return field.astype(np.float32)


def _mains_field(settings: SubjectSettings, head: Head, rng: np.random.Generator) -> Samples:
    size = settings.line * rng.lognormal(0, 0.4, len(head.channels))
    phase = rng.normal(0, 0.5, len(head.channels))
    return np.stack([size * np.cos(phase), size * np.sin(phase)], axis=1).astype(np.float32)
