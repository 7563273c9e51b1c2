"""Builds a model of braindecode, untrained, and listens to what it warns of."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mne
import msgspec
import numpy as np
import torch
from torch import nn

from phosphene import PhospheneError, SignalSpec

with warnings.catch_warnings():
    # What braindecode imports complains of other things that it imports.
    warnings.simplefilter("ignore")
    from braindecode import models as library

Positions = dict[str, tuple[float, float, float]]


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model, and the signal that it is made for."""

    model: str
    settings: dict[str, Any]
    """Keyword arguments."""
    sfreq: float
    """In Hz."""
    channels: tuple[str, ...]
    positions: Positions
    """In metres, where known."""

    @classmethod
    def of(cls, model: str, settings: Mapping[str, Any], spec: SignalSpec) -> "Architecture":
        """Return the architecture for signals of ``spec``."""
        positions = {
            name: (float(x), float(y), float(z))
            for name, (x, y, z) in spec.positions.items()
            if np.isfinite((x, y, z)).all()  # JSON has no NaN.
        }
        return cls(model, dict(settings), spec.sfreq, spec.channels, positions)


def build(architecture: Architecture, n_times: int, n_classes: int) -> nn.Module:
    """Return the model with random weights.

    Raises ``PhospheneError`` if it cannot be built, or does not give one logit for each class.
    """
    n_channels = len(architecture.channels)
    signal = {"n_chans": n_channels, "n_times": n_times, "sfreq": architecture.sfreq}
    said = (
        f"braindecode: {architecture.model} for {n_channels} channels x {n_times} samples "
        f"at {architecture.sfreq:g} Hz"
    )
    try:
        with mne.use_log_level("WARNING"):
            network = _make(architecture, **signal, n_outputs=n_classes)
        with torch.inference_mode():
            outputs = network.eval()(torch.zeros(2, n_channels, n_times))
        shape = tuple(outputs.shape)
    except Exception as error:  # Whatever a model makes of a signal that it is not made for.
        raise PhospheneError(f"{said} cannot be built: {error}") from error
    if shape != (2, n_classes) or not outputs.isfinite().all():
        raise PhospheneError(
            f"{said} is no classifier: found outputs of shape {shape} for 2 epochs and "
            f"{n_classes} classes; allowed: one finite number for each"
        )
    return network


@contextmanager
def overheard(notes: list[str]) -> Iterator[None]:
    """Collect what models warn their users of, and show no warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    told = (str(w.message) for w in caught if issubclass(w.category, UserWarning))
    notes.extend(dict.fromkeys(told))


def _make(architecture: Architecture, **signal: float) -> nn.Module:
    needs = {name: arguments for name, arguments, _ in library.models_mandatory_parameters}
    given = dict(architecture.settings)
    if "chs_info" in needs.get(architecture.model, ()):
        given["chs_info"] = [_electrode(name, architecture) for name in architecture.channels]
    made: nn.Module = getattr(library, architecture.model)(**signal, **given)
    return made


def _electrode(name: str, architecture: Architecture) -> dict[str, Any]:
    """Return an electrode as MNE describes it; its place is NaN where unknown."""
    place = np.full(12, np.nan)
    place[:3] = architecture.positions.get(name, (np.nan,) * 3)
    return {"ch_name": name, "kind": "eeg", "loc": place}
