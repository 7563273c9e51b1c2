"""One round of training and testing: everything that learns, learns from its training trials."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.splits import Fold
from phosphene.interfaces import Context, DecoderConfig, TrainingSet
from phosphene.signals import Epochs


class Pipeline(Protocol):
    """The epoch steps of a session, which are fitted again for every fold."""

    def fit(self, epochs: Epochs) -> Epochs:
        """Fit on raw training epochs; return them transformed."""
        ...

    def transform(self, epochs: Epochs) -> Epochs:
        """Return raw epochs transformed."""
        ...


class Tested(NamedTuple):
    """What a decoder made of a fold's test trials."""

    classes: tuple[str, ...]
    """wnids of the columns: the classes that it was trained on."""
    probabilities: NDArray[np.floating]
    """(n_tested, n_classes)"""


def tested(
    training_set: TrainingSet,
    pipeline: Pipeline,
    decoder: DecoderConfig,
    context: Context,
    fold: Fold,
) -> Tested:
    """Return the decodings of a fold's test trials by a decoder fitted on its training trials."""
    train, test = training_set.select(fold.train), training_set.select(fold.test)
    seen = TrainingSet(pipeline.fit(train.epochs), train.trials, train.stimuli)
    fitted = decoder.fit(seen, context)
    return Tested(fitted.classes, fitted.decode(pipeline.transform(test.epochs)).probabilities)
