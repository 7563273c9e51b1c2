"""Fitting a linear decoder, and its temperature on trials that a first fit did not see."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import msgspec
import numpy as np

from phosphene import Context, DecoderConfig, TrainingSet
from phosphene_plugins._calibration import fit_temperature
from phosphene_plugins._epochs import class_columns, finite
from phosphene_plugins._holdout import Index, hold_out
from phosphene_plugins._linear.decoder import Card, LinearDecoder, Validation
from phosphene_plugins._linear.model import Array, Classifier, Features, Labels, Linear, Samples


@dataclass(frozen=True)
class Method:
    """What makes one linear decoder different from another."""

    name: str
    features: Callable[[Samples], Features]
    """Learns the features from training epochs."""
    classifier: Classifier
    libraries: tuple[str, ...] = ("phosphene", "numpy", "scikit-learn")
    """Whose versions the card tells."""


def fit_linear(
    method: Method, settings: DecoderConfig, training_set: TrainingSet, context: Context
) -> LinearDecoder:
    """Return the decoder fitted on all trials, with the temperature of a fit on a part of them.

    That first fit leaves out the last run, or some images (``hold_out``); the temperature that
    calibrates it on those is the final decoder's too. Where nothing can be held out it is 1.
    """
    data = finite(training_set.epochs.data, method.name)
    labels = class_columns(training_set, method.name)
    trained, held, held_out = hold_out(training_set, context.rng(*b"hold out"))
    context.progress(0.0, f"fitting {len(trained)} trials, {len(held)} held out")
    temperature, validation = _validate(method, data, labels, (trained, held), held_out)
    context.progress(0.5, f"fitting all {len(labels)} trials; {_words(validation)}")
    features, linear = _learn(method, data, labels)
    card = Card(
        decoder=method.name,
        classes=training_set.classes,
        shape=data.shape[1:],
        temperature=temperature,
        validation=validation,
        label=training_set.label,
        settings=msgspec.to_builtins(settings),
        versions={"python": platform.python_version()} | {n: version(n) for n in method.libraries},
    )
    context.progress(1.0, _words(validation))
    return LinearDecoder(card, features, linear)


def logistic_regression(c: float) -> Classifier:
    """Return multinomial logistic regression with L2 penalty; ``c`` is its inverse strength."""

    def classify(features: Array, labels: Labels) -> tuple[Array, Array]:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=c, max_iter=1000).fit(features, labels)
        return _for_each_class(model.coef_, model.intercept_)

    return classify


def _validate(
    method: Method, data: Samples, labels: Labels, split: tuple[Index, Index], held_out: str
) -> tuple[float, Validation]:
    """Return the temperature for a fit on some trials, and how well it decodes the others."""
    trained, held = split
    if not len(held):
        return 1.0, Validation(len(trained), 0, held_out, None, None)
    features, linear = _learn(method, data[trained], labels[trained])
    scores = linear(features(data[held]))
    temperature, loss = fit_temperature(scores, labels[held])
    accuracy = float((scores.argmax(axis=1) == labels[held]).mean())
    return temperature, Validation(len(trained), len(held), held_out, accuracy, loss)


def _learn(method: Method, data: Samples, labels: Labels) -> tuple[Features, Linear]:
    features = method.features(data)
    return features, Linear.fitted(features(data), labels, method.classifier)


def _words(validation: Validation) -> str:
    if validation.accuracy is None:
        return "too few trials to hold any out"
    return f"validation accuracy {validation.accuracy:.1%}"


def _for_each_class(coefficients: Array, intercept: Array) -> tuple[Array, Array]:
    """Return weights by class also for two classes, where scikit-learn has one row."""
    if len(coefficients) > 1:
        return coefficients, intercept
    return np.concatenate((-coefficients, coefficients)) / 2, np.append(-intercept, intercept) / 2
