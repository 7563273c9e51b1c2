"""Epochs that no decoder should see: too large, too steep, flat, or full of muscle.

An epoch is judged by itself, as it leaves the stream steps and before any epoch step: what a
session can do while it runs, and alike in training. Limits are given, or learnt from training
epochs: then they are fitted again in every fold, and travel with the decoder in its bundle.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from phosphene.errors import PhospheneError
from phosphene.signals import Epochs

Limit = Annotated[float, Meta(gt=0)] | Literal["auto"] | None
"""A number, one that is learnt from the training epochs, or none."""
Values = NDArray[np.float64]

OUTLYING = 5.0
"""Robust standard deviations, on a log scale, from the median of the training epochs to a limit
that is learnt: median and 1.4826 times the median absolute deviation (Leys et al., J. Exp. Soc.
Psychol. 49:764, 2013), and far enough out that clean noise is hardly ever lost."""
MAD_TO_SD = 1.4826
TINY = 1e-12
"""Volts; less is as good as nothing."""
WORDS = {
    "amplitude": ("peak to peak of {:.0f} uV", 1e6),
    "gradient": ("a step of {:.0f} uV/ms", 1e3),
    "flat": ("peak to peak of {:.2f} uV only", 1e6),
    "muscle": ("{:.1f} uV rms of fast activity", 1e6),
}
"""What a measure is called, and the unit that it is told in."""


class RejectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits, each for the worst EEG channel of an epoch."""

    amplitude: Limit = "auto"
    """Volts from peak to peak, at most."""
    gradient: Limit = "auto"
    """Volts a second between two samples, at most: electrodes that pop, cables that move."""
    flat: Limit = None
    """Volts from peak to peak, at least: electrodes that have come off."""
    muscle: Limit = "auto"
    """Volts rms above half the highest frequency that passes, at most; over all channels."""


class Rejection:
    """Judges epochs; ``fit`` learns the limits that are ``auto``."""

    def __init__(self, settings: RejectSettings) -> None:
        asked = msgspec.structs.asdict(settings)
        self._asked: Mapping[str, Limit] = {
            name: limit for name, limit in asked.items() if limit is not None
        }
        given = {name: each for name, each in self._asked.items() if isinstance(each, float)}
        self.limits: dict[str, float] = given
        """By measure; complete once the others were learnt."""

    def fit(self, epochs: Epochs) -> None:
        """Learn limits from training epochs; ``PhospheneError`` if none would be left."""
        for name in self._asked.keys() - self.limits.keys():
            self.limits[name] = _outlying(MEASURES[name](epochs), below=name == "flat")
        if not self.kept(epochs).any():
            told = "; ".join(sorted(set(self.reasons(epochs)))[:3])
            raise PhospheneError(
                f"epochs.reject: every one of {len(epochs.data)} training epochs is rejected, for "
                f"example for {told}"
            )

    def kept(self, epochs: Epochs) -> NDArray[np.bool_]:
        """Return which epochs are good, shape (n_epochs,)."""
        return np.array([not reason for reason in self.reasons(epochs)], bool)

    def reasons(self, epochs: Epochs) -> list[str]:
        """Return why each epoch is rejected; "" for a good one."""
        found = [""] * len(epochs.data)
        for name in self._asked:
            values, limit = MEASURES[name](epochs), self.limits[name]
            bad = values < limit if name == "flat" else values > limit
            for row in np.flatnonzero(bad).tolist():
                found[row] = found[row] or _told(name, values[row], limit)
        return found

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Return the limits, as a bundle keeps them."""
        return {name: np.array(limit) for name, limit in self.limits.items()}

    def load(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over limits; ``PhospheneError`` if they are others than the settings ask for."""
        found = {name: float(value) for name, value in state.items()}
        if found.keys() != self._asked.keys() or not all(np.isfinite(list(found.values()))):
            raise PhospheneError(
                f"limits of rejection: expected {_listed(self._asked)}; found {_listed(found)}"
            )
        self.limits = found


def _amplitude(epochs: Epochs) -> Values:
    return np.asarray(np.ptp(epochs.data, axis=2).max(axis=1), np.float64)


def _flat(epochs: Epochs) -> Values:
    return np.asarray(np.ptp(epochs.data, axis=2).min(axis=1), np.float64)


def _gradient(epochs: Epochs) -> Values:
    steps = np.abs(np.diff(epochs.data, axis=2)).max(axis=(1, 2), initial=0.0)
    return np.asarray(steps * epochs.spec.sfreq, np.float64)


def _muscle(epochs: Epochs) -> Values:
    """Return the rms of what two neighbouring steps do not share: it grows with frequency."""
    bends = np.diff(epochs.data, n=2, axis=2) / 4  # An alternating signal keeps its amplitude.
    return np.asarray(np.sqrt(np.mean(bends.astype(np.float64) ** 2, axis=(1, 2))))


MEASURES = {"amplitude": _amplitude, "gradient": _gradient, "flat": _flat, "muscle": _muscle}


def _outlying(values: Values, *, below: bool) -> float:
    """Return the limit beyond which a value is an outlier among these."""
    logs = np.log(np.maximum(values, TINY))
    middle = np.median(logs)
    spread = MAD_TO_SD * np.median(np.abs(logs - middle))
    return float(np.exp(middle - OUTLYING * spread if below else middle + OUTLYING * spread))


def _told(name: str, value: float, limit: float) -> str:
    text, scale = WORDS[name]
    relation = "at least" if name == "flat" else "at most"
    return f"{name}: {text.format(value * scale)}; {relation} {limit * scale:.2f} is allowed"


def _listed(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "none"
