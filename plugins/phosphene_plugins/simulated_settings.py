"""What the simulated subject is like: every number that a session file can choose.

Measured with logistic regression on log power in 14-70 Hz, 20 to 500 ms after the onset, top-1:

- 10 classes, 4 runs of 50 trials, leave-one-run-out, 4 subjects, code in power of strength
  0.3 / 0.4 / 0.5: 48 / 69 / 84 % (128 channels), 37 / 52 / 70 % (32); chance 10 %. A code that
  follows features, 0.3 / 0.4: 33 / 49 %. An evoked code of 0.4, read by a linear discriminant
  from the waveform: 59 %; from power: 9 %.
- 40 classes, 5 runs of 400 trials, one subject, strength 0.1 / 0.2 / 0.3: 6.6 / 23 / 50 %; chance
  2.5 %. No code and a drift of 0.08: 2.8 %.
- 40 classes in the paper's blocks, split by image, no code, drift 0 / 0.01 / 0.02 / 0.08:
  2.2 / 31 / 63 / 99 %. The less noise the electrodes add, the less drift it takes.
"""

from typing import Literal

from phosphene import SourceConfig

MIN_SFREQ = 200.0
"""The code in induced power reaches up to 70 Hz."""
MAX_SFREQ = 5000.0
"""Above it the slow filters would need double precision."""


class SubjectSettings(SourceConfig, frozen=True):
    """Settings of the simulated subject and of the amplifier on its head."""

    channels: int = 128
    """Electrodes, from the maker's cap of 32, 64 or 128."""
    sfreq: float = 1000.0
    """Sampling rate in Hz."""
    code: Literal["none", "evoked", "power"] = "power"
    """How the class of the image shows in the EEG: not at all, in the waveform that follows the
    onset, or in the power of 14-70 Hz while the image is processed."""
    strength: float = 0.4
    """Size of the code. In power: standard deviation over classes of the log amplitude of each
    source. Evoked: 1 is 7 uV rms at the average electrode."""
    geometry: Literal["independent", "features"] = "independent"
    """Whether classes that look alike have similar codes."""
    noise: float = 12e-6
    """Ongoing activity at the average electrode, V rms."""
    drift: float = 0.0
    """Standard deviation of each electrode's slow log gain."""
    drift_tau: float = 200.0
    """Seconds in which the gain drifts away; it drifts through rests as well."""
    line: float = 1e-6
    """Amplitude of the power line at the average electrode, V."""
    line_frequency: float = 50.0
    """In Hz."""
    blinks: float = 12.0
    """Blinks a minute."""
    seed: int | None = None
    """Of this subject; the session's seed by default."""

    def __post_init__(self) -> None:
        _check("channels", self.channels, 16, 128)
        _check("sfreq", self.sfreq, MIN_SFREQ, MAX_SFREQ)
        _check("strength", self.strength, 0, 5)
        _check("noise", self.noise, 1e-9, 1e-3)
        _check("drift", self.drift, 0, 1)
        _check("drift_tau", self.drift_tau, 1, 1e6)
        _check("line", self.line, 0, 1e-2)
        _check("line_frequency", self.line_frequency, 1, self.sfreq / 2)
        _check("blinks", self.blinks, 0, 120)
        _check("seed", self.seed or 0, 0, 2**63 - 1)


def _check(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{field}: found {value:g}; allowed: {low:g} to {high:g}")
