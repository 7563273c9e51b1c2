"""``reference``: what every channel is measured against."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from phosphene import (
    Context,
    PhospheneError,
    Signal,
    SignalSpec,
    StreamStep,
    StreamStepConfig,
    hookimpl,
)


class ReferenceConfig(StreamStepConfig, frozen=True):
    """Subtract the mean of all channels, or of some, from every channel, sample by sample."""

    channels: tuple[str, ...] | None = None
    """The channels that are the reference, e.g. the mastoids; null is the average of all."""
    without: tuple[str, ...] = ()
    """Channels that the average leaves out because they are bad."""

    def __post_init__(self) -> None:
        if self.channels is not None and not self.channels:
            raise ValueError("channels must name one at least; null is the average of all")
        if self.channels is not None and self.without:
            raise ValueError("without is for the average of all channels; leave channels out")

    def build(self, spec: SignalSpec, context: Context) -> StreamStep:
        """Return the step; ``PhospheneError`` names channels that there are not."""
        asked = (*(self.channels or ()), *self.without)
        if unknown := [name for name in asked if name not in spec.channels]:
            raise PhospheneError(
                f"reference: no EEG channel {', '.join(unknown)}; there are "
                f"{', '.join(spec.channels)}"
            )
        names = self.channels or [name for name in spec.channels if name not in self.without]
        return Reference(spec, [spec.channels.index(name) for name in names])


@hookimpl
def preprocessing() -> Mapping[str, type[StreamStepConfig]]:
    """Offer ``reference``."""
    return {"reference": ReferenceConfig}


class Reference:
    """Has no memory and no delay."""

    delay = 0.0

    def __init__(self, spec: SignalSpec, rows: Sequence[int]) -> None:
        self.spec = spec
        self._rows = list(rows)

    def __call__(self, signal: Signal) -> Signal:
        """Return the signal against the new reference."""
        with np.errstate(invalid="ignore"):  # A sample of infinity spoils its moment, no other.
            mean: NDArray[np.float64] = signal.data[self._rows].mean(axis=0, dtype=np.float64)
            data = (signal.data - mean).astype(np.float32)
        return Signal(data, signal.stamps, signal.offset)

    def reset(self) -> None:
        """Do nothing: nothing is remembered."""
