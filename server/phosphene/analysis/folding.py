"""One round of training and testing: everything that learns, learns from its training trials."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.splits import Fold
from phosphene.interfaces import Context, DecoderConfig, TrainingSet
from phosphene.signals import Epochs
from phosphene.training import Learning, learn


class Pipeline(Learning, Protocol):
    """Rejection and epoch steps of a session, which are fitted again for every fold."""

    def reasons(self, epochs: Epochs) -> list[str]:
        """Return why each raw epoch must not be decoded; "" for a good one."""
        ...

    def transform(self, epochs: Epochs) -> Epochs:
        """Return raw epochs transformed."""
        ...


class Tested(NamedTuple):
    """What a decoder made of a fold's test trials."""

    classes: tuple[str, ...]
    """wnids of the columns: the classes that it was trained on."""
    probabilities: NDArray[np.floating]
    """(n_tested, n_classes); NaN for a trial that was rejected."""


def tested(
    training_set: TrainingSet,
    pipeline: Pipeline,
    decoder: DecoderConfig,
    context: Context,
    fold: Fold,
) -> Tested:
    """Return the decodings of a fold's test trials by a decoder fitted on its training trials."""
    train, test = training_set.select(fold.train), training_set.select(fold.test)
    fitted = learn(train, pipeline, decoder, context)
    found = np.full((len(fold.test), len(fitted.classes)), np.nan)
    if len(good := np.flatnonzero([not reason for reason in pipeline.reasons(test.epochs)])):
        found[good] = fitted.decode(pipeline.transform(test.epochs[good])).probabilities
    return Tested(fitted.classes, found)
