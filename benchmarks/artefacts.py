"""What rejection and bad-channels are worth: subjects clean and spoilt; a minute on one core."""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from calibration import SMALL, Cell, Scale, recorded
from msgspec.structs import replace as with_settings
from simulation import make_context

from phosphene import Epochs, TrainingSet
from phosphene.analysis.crossvalidation import Evaluation, evaluate
from phosphene.choice import choose
from phosphene.pipeline import Pipeline
from phosphene.processing import read_preprocessing
from phosphene.registry import Registry, load_registry
from phosphene.rejection import RejectSettings

SUBJECTS = 4
SCALE = Scale("", 5, 32, 250.0, SUBJECTS, SMALL.designs, ())
CODE = {"strength": 0.3, "noise": 12e-6, "blinks": 12}
RECORDINGS: Mapping[str, Mapping[str, Any]] = {
    "clean": {"blinks": 0},
    "muscle and pops": {"muscle": 6, "pops": 10},
    "one loose electrode": {"blinks": 0},
}
LOOSE = "one loose electrode"
TREATMENTS: Mapping[str, tuple[RejectSettings | None, bool]] = {
    "as it is": (None, False),
    "reject": (RejectSettings(), False),
    "bad-channels": (None, True),
    "both": (RejectSettings(), True),
}


def main() -> int:
    registry = load_registry()
    print(f"| recording | {' | '.join(TREATMENTS)} |")
    print("|---" * (1 + len(TREATMENTS)) + "|")
    for name, settings in RECORDINGS.items():
        found: dict[str, list[Evaluation]] = {each: [] for each in TREATMENTS}
        for seed in range(SUBJECTS):
            for treatment, evaluation in _treated(registry, name, settings, seed).items():
                found[treatment].append(evaluation)
        print(f"| {name} | {' | '.join(map(_told, found.values()))} |", flush=True)
    return 0


def _treated(
    registry: Registry, name: str, settings: Mapping[str, Any], seed: int
) -> dict[str, Evaluation]:
    with tempfile.TemporaryDirectory() as cache:
        context = make_context(registry, SCALE.classes, seed, Path(cache))
        cell = Cell("genuine", "interleaved", 0, 100, settings={**CODE, **settings})
        data, _ = recorded(registry, context, SCALE, cell)
        data = _loosened(data, seed) if name == LOOSE else data
        _, epochs = read_preprocessing("paper", registry)
        bad = choose(registry, "preprocessing", "bad-channels")
        found = {}
        for treatment, (reject, mends) in TREATMENTS.items():
            steps = (bad, *epochs.steps) if mends else epochs.steps
            treated = with_settings(epochs, reject=reject, steps=steps)
            pipeline = Pipeline((), treated, data.epochs.spec, context)
            decoder = choose(registry, "decoder", "power-lr")
            found[treatment] = evaluate(data, pipeline, decoder, context)[0]
        return found


def _loosened(data: TrainingSet, seed: int) -> TrainingSet:
    """Return epochs in which one electrode measures 200 uV of noise, of another size each time."""
    rng, epochs = np.random.default_rng(seed), data.epochs
    noise = rng.standard_normal((len(epochs), epochs.data.shape[2])) * rng.lognormal(
        0, 1, (len(epochs), 1)
    )
    spoilt = epochs.data.copy()
    spoilt[:, 5] = 2e-4 * noise
    return TrainingSet(Epochs(spoilt, epochs.spec, epochs.tmin), data.trials, data.stimuli)


def _told(found: list[Evaluation]) -> str:
    right, n = sum(each.top[0].n_correct for each in found), sum(each.n_trials for each in found)
    rejected = sum(sum(each.rejected.values()) for each in found)
    lost = f", {rejected / (n + rejected):.0%} rejected" if rejected else ""
    return f"{100 * right / n:.1f} % of {n}{lost}"


if __name__ == "__main__":
    sys.exit(main())
