"""What is asked of every decoder that has been given ordinary epochs."""

# ruff: noqa: D401 (the docstring of a demand states it)

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import permutations
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import PhospheneError
from phosphene.interfaces import Decoder, DecoderConfig, Decoding, Measured, TrainingSet
from phosphene.signals import Epochs
from phosphene.testing.demands import ConformanceError, Demands, NotApplicableError, expect
from phosphene.testing.material import DOMAINS, Change, Domain, held_out, make_context, training_set
from phosphene.testing.measuring import Measurement, durations

ROUNDING = 1e-5
"""By which probabilities may differ that should be equal: single precision, summed otherwise."""


class DecoderCandidate:
    """A decoder's settings, and the decoder fitted with them on what it takes."""

    def __init__(self, config: DecoderConfig) -> None:
        self.config = config
        self.progress: list[tuple[float, str]] = []
        self.seconds: list[float] = []
        """That each fit took."""

    @cached_property
    def domain(self) -> Domain:
        """What it takes: the first that it does not refuse."""
        return self._found[0]

    @cached_property
    def fitted(self) -> Decoder:
        """The decoder, fitted on ordinary epochs."""
        return self._found[1]

    @cached_property
    def probabilities(self) -> NDArray[np.floating]:
        """Of the held-out trials."""
        return self.decode(self.epochs()).probabilities

    def epochs(self, change: Change | None = None) -> Epochs:
        """Return the held-out trials, freshly made."""
        return held_out(self.domain, change).epochs

    def fit(self, training_set: TrainingSet) -> Decoder:
        """Return a decoder fitted with the same seed as all others."""
        context = replace(
            make_context(), progress=lambda done, text: self.progress.append((done, text))
        )
        start = perf_counter()
        decoder = self.config.fit(training_set, context)
        self.seconds.append(perf_counter() - start)
        return decoder

    def decode(self, epochs: Epochs) -> Decoding:
        """Return what the fitted decoder makes of epochs."""
        return self.fitted.decode(epochs)

    def measurements(self) -> Iterator[Measurement]:
        """Yield how long a fit and a single trial take."""
        yield Measurement("the longest fit of at most 96 trials", max(self.seconds), "s")
        trial = self.epochs()[:1]
        yield from durations("decoding a trial", lambda: self.decode(trial))

    @cached_property
    def _found(self) -> tuple[Domain, Decoder]:
        refusals = []
        for domain in DOMAINS:
            try:
                return domain, self.fit(training_set(domain))
            except PhospheneError as error:
                refusals.append(f"{domain.name}: {error}")
        raise ConformanceError(
            "expected it to take one of these; it refused " + "; ".join(refusals)
        )


demands = Demands[DecoderCandidate]()


@demands()
def fits(candidate: DecoderCandidate) -> None:
    """Epochs in the time domain or power spectrograms are taken, and a decoder comes back."""
    expect(candidate.fitted is not None, "fit returned None; expected a decoder")


@demands(fits)
def names_its_classes(candidate: DecoderCandidate) -> None:
    """``classes`` is a tuple of wnids, none twice, with all that were trained."""
    found, trained = candidate.fitted.classes, training_set(candidate.domain).classes
    expect(
        isinstance(found, tuple) and all(isinstance(wnid, str) for wnid in found),
        f"classes must be a tuple of text; found {found!r}",
    )
    expect(len(set(found)) == len(found), f"classes must differ; found {', '.join(found)}")
    lacking = sorted(set(trained) - set(found))
    expect(not lacking, f"classes lack {', '.join(lacking)}, which were trained")


@demands(names_its_classes)
def shapes_and_dtypes(candidate: DecoderCandidate) -> None:
    """Probabilities are floating-point numbers of shape (n_epochs, n_classes)."""
    _check_array(candidate.probabilities, candidate, "probabilities")
    n_classes = len(candidate.fitted.classes)
    found = candidate.probabilities.shape[1]
    expect(found == n_classes, f"expected {n_classes} columns, one for each class; found {found}")


@demands(shapes_and_dtypes)
def probabilities_sum_to_1(candidate: DecoderCandidate) -> None:
    """Probabilities are 0 to 1 and each row sums to 1."""
    problem = problem_of(candidate.probabilities)
    expect(not problem, problem)


@demands(probabilities_sum_to_1)
def repeats_itself(candidate: DecoderCandidate) -> None:
    """The same epochs get the same probabilities each time."""
    again = candidate.decode(candidate.epochs()).probabilities
    expect_equal(again, candidate.probabilities, "decoded a second time", tolerance=0)


@demands(shapes_and_dtypes)
def embedding_has_a_space(candidate: DecoderCandidate) -> None:
    """An embedding is finite, of shape (n_epochs, n_dimensions), and its space has a name."""
    decoding = candidate.decode(candidate.epochs())
    if decoding.embedding is None:
        raise NotApplicableError("it has no embedding")
    _check_array(decoding.embedding, candidate, "embedding")
    expect(np.isfinite(decoding.embedding).all(), "an embedding must be finite")
    expect(decoding.space, "an embedding needs the name of its space, e.g. 'ViT-L-14/openai'")


@demands(repeats_itself)
def learns_an_easy_code(candidate: DecoderCandidate) -> None:
    """Half of the held-out trials or more are told apart when every class is easy to tell."""
    best = max(_hits(candidate).values())
    expect(
        best >= 0.5,
        f"it told apart {best:.0%} of the held-out trials of 4 classes that are easy to tell; "
        "expected 50% or more. If its settings make it train too little, check it with others",
    )


@demands(learns_an_easy_code)
def class_order(candidate: DecoderCandidate) -> None:
    """The columns of the probabilities are in the order of ``classes``."""
    hits, trained = _hits(candidate), training_set(candidate.domain).classes
    best = max(hits, key=lambda order: hits[order])
    expect(
        hits[trained] == hits[best],
        f"the columns named {', '.join(trained)} are those of {', '.join(best)}",
    )


@demands(repeats_itself)
def batch_equals_single(candidate: DecoderCandidate) -> None:
    """An epoch gets the same probabilities alone and among others."""
    epochs = candidate.epochs()
    one_by_one = [candidate.decode(epochs[i : i + 1]).probabilities for i in range(len(epochs))]
    expect_equal(np.concatenate(one_by_one), candidate.probabilities, "decoded one by one")


@demands(shapes_and_dtypes)
def empty_batch(candidate: DecoderCandidate) -> None:
    """No epochs give probabilities of shape (0, n_classes)."""
    expected, found = (0, len(candidate.fitted.classes)), candidate.decode(candidate.epochs()[:0])
    expect(
        found.probabilities.shape == expected,
        f"expected shape {expected}, found {found.probabilities.shape}",
    )


@demands(fits)
def leaves_its_input_alone(candidate: DecoderCandidate) -> None:
    """Neither fit nor decode changes the epochs that it is given."""
    given, fresh = training_set(candidate.domain), training_set(candidate.domain)
    candidate.fit(given)
    expect(np.array_equal(given.epochs.data, fresh.epochs.data), "fit changed the training epochs")
    epochs = candidate.epochs()
    candidate.decode(epochs)
    unchanged = np.array_equal(epochs.data, candidate.epochs().data)
    expect(unchanged, "decode changed the epochs that it was given")


@demands(repeats_itself)
def deterministic_by_seed(candidate: DecoderCandidate) -> None:
    """Two fits on the same trials with the same seed give the same probabilities."""
    again = candidate.fit(training_set(candidate.domain)).decode(candidate.epochs())
    expect_equal(again.probabilities, candidate.probabilities, "fitted a second time", tolerance=0)


@demands(fits)
def metrics_are_finite(candidate: DecoderCandidate) -> None:
    """``metrics``, if there are any, are finite numbers by name."""
    decoder = candidate.fitted
    if not isinstance(decoder, Measured):
        raise NotApplicableError("it has no metrics")
    wrong = {
        name: value
        for name, value in decoder.metrics.items()
        if not (isinstance(name, str) and isinstance(value, int | float) and np.isfinite(value))
    }
    expect(not wrong, f"metrics must be finite numbers by name; found {wrong}")


@demands(fits)
def progress_is_a_fraction(candidate: DecoderCandidate) -> None:
    """Progress is told as a fraction from 0 to 1, and in words."""
    if not candidate.progress:
        raise NotApplicableError("it tells no progress")
    wrong = [(f, w) for f, w in candidate.progress if not (0 <= f <= 1 and isinstance(w, str))]
    expect(not wrong, f"expected a fraction from 0 to 1 and words; found {wrong[:3]}")


def problem_of(probabilities: NDArray[np.floating]) -> str:
    """Return what is wrong with rows of probabilities, or nothing."""
    if not np.isfinite(probabilities).all():
        return "found probabilities that are not finite"
    if (probabilities < 0).any():
        return f"found a probability of {probabilities.min():g}; allowed: 0 to 1"
    sums = probabilities.sum(axis=1)
    worst = sums[np.abs(sums - 1).argmax()] if len(sums) else 1.0
    return "" if abs(worst - 1) <= ROUNDING else f"expected rows that sum to 1, found {worst:g}"


def expect_equal(
    found: NDArray[np.floating],
    expected: NDArray[np.floating],
    when: str,
    tolerance: float = ROUNDING,
) -> None:
    """Raise ``ConformanceError`` unless probabilities are equal within rounding."""
    expect(
        found.shape == expected.shape, f"{when}: expected shape {expected.shape}, not {found.shape}"
    )
    difference = float(np.abs(found - expected).max(initial=0))
    expect(difference <= tolerance, f"{when}, probabilities differ by up to {difference:.2g}")


def _check_array(found: object, candidate: DecoderCandidate, what: str) -> None:
    n_epochs = len(candidate.epochs())
    if not isinstance(found, np.ndarray):
        raise ConformanceError(f"{what} must be a NumPy array; found {type(found).__name__}")
    expect(np.issubdtype(found.dtype, np.floating), f"{what} must be floats; found {found.dtype}")
    expect(
        found.ndim == 2 and len(found) == n_epochs,
        f"{what} of {n_epochs} epochs must have as many rows; found shape {found.shape}",
    )


def _hits(candidate: DecoderCandidate) -> dict[tuple[str, ...], float]:
    """Return the share of right answers for each order that the columns might be in."""
    trials, classes = held_out(candidate.domain), candidate.fitted.classes
    trained = training_set(candidate.domain).classes
    columns = [classes.index(wnid) for wnid in trained]
    winners = candidate.probabilities[:, columns].argmax(axis=1)
    shown = np.array(trials.wnids)
    return {
        order: float((np.array(order)[winners] == shown).mean()) for order in permutations(trained)
    }
