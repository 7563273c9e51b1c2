"""How images change the size of the simulated subject's rhythms.

A rhythm has one state: each image starts from what the last one has left.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from phosphene import Onset
from phosphene_plugins.simulated_code import Code
from phosphene_plugins.simulated_eyes import Samples
from phosphene_plugins.simulated_settings import SubjectSettings

SUPPRESSED = (0.1, 0.3, 0.8, 2.5)
"""Seconds after an image: alpha falls, is least, returns, is back."""
INDUCED = (0.08, 0.13, 0.45, 0.50)
"""Seconds after an image: its code in power begins, is full, fades, is over."""
FORGOTTEN = 4.0
"""Times ``after_effect_tau`` until nothing lingers."""


class Modulation(Protocol):
    """What an image does to a rhythm."""

    n_times: int
    """Samples after which it is over."""

    def __call__(self, onset: Onset, before: Samples, /) -> Samples:
        """Return the log amplitude of each source from the onset on, (n_sources, n_times).

        ``before`` is what it would be without this image.
        """
        ...


class Suppression:
    """Alpha is weaker while one looks at something."""

    def __init__(self, settings: SubjectSettings) -> None:
        self.n_times = round(SUPPRESSED[-1] * settings.sfreq)
        gain = np.interp(
            np.arange(self.n_times) / settings.sfreq,
            SUPPRESSED,
            (1, *(2 * [1 - settings.alpha_suppression]), 1),
        )
        self._level = np.log(gain).astype(np.float32)

    def __call__(self, _onset: Onset, before: Samples, /) -> Samples:
        """Return whatever is less: images in a row suppress no more than one."""
        return np.minimum(before, self._level)


class Induced:
    """The class in power: while its image is processed, and what lingers of it."""

    def __init__(self, settings: SubjectSettings, code: Code) -> None:
        lasts = INDUCED[-1] + FORGOTTEN * settings.after_effect_tau * bool(settings.after_effect)
        self.n_times = round(lasts * settings.sfreq)
        times = np.arange(self.n_times) / settings.sfreq
        starting = np.interp(times, INDUCED[:2], (0, 1))
        processed = np.interp(times, INDUCED, (0, 1, 1, 0)) * (settings.code == "power")
        lingering = starting * _fading(settings, times)
        self._shape = np.maximum(processed, lingering).astype(np.float32)
        self._kept = (1 - starting).astype(np.float32)
        self._strength, self._code = settings.strength, code

    def __call__(self, onset: Onset, before: Samples, /) -> Samples:
        """Return the code of this image, faded in over that of the last."""
        if onset.event != "stimulus":
            return before * self._kept
        code = (self._strength * self._code(onset)[:, :1]).astype(np.float32)
        return before * self._kept + code * self._shape


def _fading(settings: SubjectSettings, times: NDArray[np.float64]) -> NDArray[np.float64]:
    since = np.maximum(times - INDUCED[2], 0)
    return settings.after_effect * np.exp(-since / settings.after_effect_tau)
