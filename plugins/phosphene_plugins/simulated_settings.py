"""What the simulated subject is like: every number that a session file can choose."""

from collections.abc import Mapping
from typing import Literal

from phosphene import SourceConfig

CodeKind = Literal["none", "evoked", "power"]

ALLOWED: Mapping[str, tuple[float, float]] = {
    "channels": (8, 128),
    # The code in power reaches up to 70 Hz; above 5 kHz the slow filters would need doubles.
    "sfreq": (200, 5000),
    "strength": (0, 5),
    "after_effect": (0, 1),
    "after_effect_tau": (0.1, 5),
    "noise": (1e-9, 1e-3),
    "alpha": (0, 10),
    "alpha_suppression": (0, 0.95),
    "drift": (0, 1),
    "drift_tau": (1, 1e6),
    "line": (0, 1e-2),
    "harmonics": (0, 1),
    "blinks": (0, 120),
    "saccades": (0, 1),
    "eye_code": (0, 1),
    "muscle": (0, 120),
    "pops": (0, 120),
    "jitter": (0, 0.1),
    "photodiode": (0, 0.2),
    "seed": (0, 2**63 - 1),
}
"""Lowest and highest value by field."""


class SubjectSettings(SourceConfig, frozen=True):
    """Settings of the simulated subject and of the amplifier on its head."""

    channels: int = 128
    """Electrodes, from the maker's cap of 32, 64 or 128."""
    sfreq: float = 1000.0
    """Sampling rate in Hz."""
    eog: bool = False
    """Whether there are the bipolar channels HEOG and VEOG as well, of type ``eog``."""
    code: CodeKind = "power"
    """How the class of the image shows in the EEG: not at all, in the waveform that follows the
    onset, or in the power of 14-70 Hz while the image is processed."""
    strength: float = 0.4
    """Size of the code. In power: standard deviation over classes of the log amplitude of each
    source. Evoked: 1 is 7 uV rms at the average electrode."""
    geometry: Literal["independent", "features"] = "independent"
    """Whether classes that look alike have similar codes."""
    after_effect: float = 0.0
    """How much of the last image's code, 0 to 1, lingers in the power of 14-70 Hz until the next
    image is processed."""
    after_effect_tau: float = 2.0
    """Seconds in which it falls to 1/e."""
    noise: float = 12e-6
    """Ongoing activity at the average electrode, V rms."""
    alpha: float = 0.6
    """Alpha at rest, 8-12 Hz in bursts, at the average electrode: rms as a part of ``noise``."""
    alpha_suppression: float = 0.4
    """Part of alpha, 0 to 0.95, that is gone for 0.8 s after an image; it is back after 2.5 s."""
    drift: float = 0.0
    """Standard deviation of each electrode's slow log gain."""
    drift_tau: float = 200.0
    """Seconds in which the gain drifts away; it drifts through rests as well."""
    line: float = 1e-6
    """Amplitude of the power line at the average electrode, V."""
    line_frequency: float = 50.0
    """In Hz."""
    harmonics: float = 0.2
    """Amplitude of each harmonic of the power line, up to the fifth, as a part of the one below."""
    blinks: float = 12.0
    """Blinks a minute, whatever is shown."""
    saccades: float = 0.0
    """Chance, 0 to 1, that the eyes glance aside and back after an image, each time with a
    saccadic spike."""
    eye_code: float = 0.0
    """How far, 0 to 1, the class decides where they glance; and how often they blink after it."""
    muscle: float = 0.0
    """Muscle bursts a minute, above 20 Hz, at temples and neck."""
    pops: float = 0.0
    """Electrode pops a minute, over all electrodes."""
    jitter: float = 0.0
    """Seconds by which an image comes up to later than its onset says, evenly drawn by trial."""
    photodiode: float | None = None
    """Seconds from flip to light that a channel ``Photodiode`` sees; None for no such channel."""
    trigger: bool = False
    """Whether a channel ``Trigger`` shows each onset."""
    seed: int | None = None
    """Of this subject; the session's seed by default."""

    def __post_init__(self) -> None:
        for field, (low, high) in ALLOWED.items():
            _check(field, getattr(self, field) or 0, low, high)
        _check("line_frequency", self.line_frequency, 1, self.sfreq / 2)
        if self.eye_code and not self.saccades:
            raise ValueError("eye_code: eyes that follow the class need saccades above 0")


def _check(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{field}: found {value:g}; allowed: {low:g} to {high:g}")
