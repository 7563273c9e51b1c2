"""What decoders ask of the epochs and trials that they are given."""

import numpy as np
from numpy.typing import NDArray

from phosphene import Epochs, PhospheneError, TrainingSet

Values = NDArray[np.float32]

EVOKED = ", or choose preprocessing: evoked"


def check_spectrogram(epochs: Epochs, name: str) -> Values:
    """Return the data of spectrograms; ``PhospheneError`` if they are none, or not finite."""
    if epochs.data.ndim != 4:
        raise PhospheneError(
            f"{name} decodes spectrograms, found epochs in the time domain; add the step "
            "'spectrogram' to epochs.steps, or choose preprocessing: paper"
        )
    return finite(epochs.data, name)


def check_time_domain(epochs: Epochs, name: str, hint: str = EVOKED) -> None:
    """Raise ``PhospheneError`` for spectrograms; ``hint`` says what to do besides."""
    if epochs.data.ndim != 3:
        raise PhospheneError(
            f"{name} decodes epochs in the time domain, found spectrograms; leave out the step "
            f"'spectrogram'{hint}"
        )


def finite(data: Values, name: str) -> Values:
    """Return the data of epochs; ``PhospheneError`` names the first that is not finite."""
    good = np.isfinite(data).all(axis=tuple(range(1, data.ndim)))
    if not good.all():
        number = int(np.argmin(good)) + 1
        raise PhospheneError(
            f"{name}: epoch {number} of {len(data)} holds samples that are not finite"
        )
    return data


def class_columns(training_set: TrainingSet, name: str) -> NDArray[np.intp]:
    """Return the column of each trial's class; ``PhospheneError`` for fewer than two classes."""
    classes = training_set.classes
    if len(classes) < 2:
        raise PhospheneError(f"{name} needs at least 2 classes; found {len(classes)}")
    return np.searchsorted(np.array(classes), np.array(training_set.wnids))
