"""What is wrong with the channels of a signal, by name: before it is recorded, and every second."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import PhospheneError
from phosphene.signals import SignalSpec

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
    found: dict[str, str] = {}
    for row in _eeg(spec):
        values = data[row].astype(np.float64)
        if problem := _problem(values, spec.sfreq):
            found[spec.channels[row]] = problem
    return found


def examine(data: NDArray[np.floating], spec: SignalSpec) -> dict[str, str]:
    """Return what is wrong with single channels before anything is recorded.

    Raises ``PhospheneError`` if the unit cannot be right, or if most channels are bad.
    """
    found = bad_channels(data, spec)
    rows = [row for row in _eeg(spec) if "flat" not in found.get(spec.channels[row], "")]
    sizes = [_rms(data[row].astype(np.float64)) for row in rows if np.isfinite(data[row]).all()]
    if sizes and not TOO_SMALL <= (size := float(np.median(sizes))) <= TOO_LARGE:
        raise PhospheneError(
            f"the median EEG channel has {size:.2g} V rms, which no brain makes: is the unit wrong "
            "by a factor of 1000? Expected is 1e-6 to 1e-4 V"
        )
    if len(found) > MOST * len(_eeg(spec)):
        raise PhospheneError(f"most EEG channels are bad: {told(found)}")
    return found


def told(found: Mapping[str, str]) -> str:
    """Return problems in a line, channels of the same one together."""
    names: dict[str, list[str]] = {}
    for name, problem in found.items():
        names.setdefault(problem, []).append(name)
    return "; ".join(f"{problem}: {', '.join(each)}" for problem, each in names.items())


def _eeg(spec: SignalSpec) -> list[int]:
    return [row for row, kind in enumerate(spec.types) if kind == "eeg"]


def _problem(values: Array, sfreq: float) -> str:
    if not np.isfinite(values).all():
        return "samples that are no numbers"
    if _rms(values) < FLAT:
        return "flat"
    if max(np.mean(values == values.max()), np.mean(values == values.min())) > SATURATED:
        return "saturated"
    if _line(values, sfreq) > DROWNED:
        return "nothing but the power line"
    return ""


def _rms(values: Array) -> float:
    """Return the size of what is left without mean and trend."""
    times = np.linspace(-1, 1, len(values))
    centred = values - values.mean()
    return float(np.std(centred - times * (centred @ times) / (times @ times)))


def _line(values: Array, sfreq: float) -> float:
    """Return which share of the variance the power line has."""
    power = np.abs(np.fft.rfft((values - values.mean()) * np.hanning(len(values)))) ** 2
    freqs = np.fft.rfftfreq(len(values), 1 / sfreq)
    total = power[freqs >= 1].sum()
    shares = [
        sum(power[np.abs(freqs - k * line) <= 1].sum() for k in range(1, int(sfreq / 2 / line) + 1))
        for line in (50.0, 60.0)
    ]
    return float(max(shares) / total) if total > 0 else 0.0
