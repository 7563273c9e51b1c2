"""What is wrong with the channels of a signal, by name: before it is recorded, and every second."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import PhospheneError
from phosphene.signals import SignalSpec, eeg_picks

SECONDS = 1.0
"""That are looked at together."""
FLAT = 1e-8
"""V rms; below it an electrode measures nothing: amplifiers themselves make 0.1 to 0.5 uV."""
TOO_SMALL, TOO_LARGE = 1e-7, 5e-3
"""V rms of the median electrode: EEG has 5 to 100 uV, and a unit mistaken is a factor of 1000."""
SATURATED = 0.1
"""Share of samples at the very largest or smallest value."""
DROWNED = 0.9
"""Share of the variance within 1 Hz of 50 or 60 Hz and their harmonics."""
MOST = 0.5
"""Share of EEG channels that may be bad."""

Array = NDArray[np.float64]


def bad_channels(data: NDArray[np.floating], spec: SignalSpec) -> dict[str, str]:
    """Return what is wrong with each EEG channel of some second; data (channel, time) in V."""
    values = _eeg(data, spec)
    known = np.asarray(np.isfinite(values).all(axis=1))
    sound = np.where(known[:, np.newaxis], values, 0.0)
    # What is said of a channel is the first that is true of it.
    problems = {
        "samples that are no numbers": ~known,
        "flat": _rms(sound) < FLAT,
        "saturated": _at_extremes(sound) > SATURATED,
        "nothing but the power line": _line(sound, spec.sfreq) > DROWNED,
    }
    found: dict[str, str] = {}
    for number, row in enumerate(eeg_picks(spec)):
        if problem := next((each for each, bad in problems.items() if bad[number]), ""):
            found[spec.channels[row]] = problem
    return found


def examine(data: NDArray[np.floating], spec: SignalSpec) -> dict[str, str]:
    """Return what is wrong with single channels before anything is recorded.

    Raises ``PhospheneError`` if the unit cannot be right, or if most channels are bad.
    """
    found, values = bad_channels(data, spec), _eeg(data, spec)
    sizes = _rms(values[np.asarray(np.isfinite(values).all(axis=1))])
    sizes = sizes[sizes >= FLAT]
    if len(sizes) and not TOO_SMALL <= (size := float(np.median(sizes))) <= TOO_LARGE:
        raise PhospheneError(
            f"the median EEG channel has {size:.2g} V rms, which no brain makes: is the unit wrong "
            "by a factor of 1000? Expected is 1e-6 to 1e-4 V"
        )
    if len(found) > MOST * len(values):
        raise PhospheneError(f"most EEG channels are bad: {told(found)}")
    return found


def unplaced(spec: SignalSpec) -> str:
    """Return which electrodes have no known position, in words; "" if all have, or none."""
    eeg = [spec.channels[row] for row in eeg_picks(spec)]
    missing = [name for name in eeg if name not in spec.positions]
    if not missing or len(missing) == len(eeg):
        return ""
    return f"no position is known of {', '.join(missing)} (see 'mapping' and 'cap' of the source)"


def told(found: Mapping[str, str]) -> str:
    """Return problems in a line, channels of the same one together."""
    names: dict[str, list[str]] = {}
    for name, problem in found.items():
        names.setdefault(problem, []).append(name)
    return "; ".join(f"{problem}: {', '.join(each)}" for problem, each in names.items())


def _eeg(data: NDArray[np.floating], spec: SignalSpec) -> Array:
    return data[eeg_picks(spec)].astype(np.float64)


def _rms(values: Array) -> Array:
    """Return the size of what is left of each channel without mean and trend."""
    times = np.linspace(-1, 1, values.shape[1])
    centred = values - values.mean(axis=1, keepdims=True)
    slopes = centred @ times / (times @ times)
    return np.asarray(np.std(centred - slopes[:, np.newaxis] * times, axis=1))


def _at_extremes(values: Array) -> Array:
    """Return the larger share of each channel's samples that are its largest, or its smallest."""
    highest, lowest = (f(values, axis=1, keepdims=True) for f in (np.max, np.min))
    shares = [(values == extreme).mean(axis=1) for extreme in (highest, lowest)]
    return np.asarray(np.maximum(*shares))


def _line(values: Array, sfreq: float) -> Array:
    """Return which share of each channel's variance the power line has."""
    n = values.shape[1]
    centred = values - values.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(centred * np.hanning(n))) ** 2
    freqs = np.fft.rfftfreq(n, 1 / sfreq)
    total = power[:, freqs >= 1].sum(axis=1)
    shares = [
        sum(
            power[:, np.abs(freqs - k * line) <= 1].sum(axis=1)
            for k in range(1, int(sfreq / 2 / line) + 1)
        )
        for line in (50.0, 60.0)
    ]
    tiny = np.finfo(np.float64).tiny
    return np.asarray(np.maximum(*shares) / np.maximum(total, tiny))
