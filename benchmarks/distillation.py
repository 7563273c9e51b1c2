"""Does distillation help? The same network with a teacher, without one, and with controls.

Every seed is a subject with a decoder of each kind, trained and tested on the same trials. The
equivalence bound was stated before any run: 1 point of accuracy. Run with ``python
benchmarks/distillation.py`` (an hour and a half on one core) or ``--seeds 3 --quick`` (minutes).
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student
from simulation import accuracy, by_run, make_context, pressure, record

from phosphene import Context
from phosphene.choice import choose
from phosphene.registry import Registry, load_registry

BOUND = 0.01
"""Differences smaller than this count as none."""
ARMS: dict[str, dict[str, Any]] = {
    "plain": {"plain-stft": {}},
    "label smoothing": {"plain-stft": {"label_smoothing": 0.1}},
    "kd-stft": {"kd-stft": {}},
    "KD only": {"kd-stft": {"mode": "kd-only"}},
    "class-mean soft labels": {"kd-stft": {"teacher": "class-mean"}},
    "shuffled soft labels": {"kd-stft": {"teacher": "shuffled"}},
}
GEOMETRIES = {
    "features": "the subject's code is a linear map of the features that the teacher sees",
    "independent": "the subject's code has nothing to do with what images look like",
}
LIMITS = (
    "What simulation cannot show: whether the codes of a human brain follow image features closely "
    "enough for a teacher to help. The first geometry is made as favourable as can be, with the "
    "same descriptor in subject and teacher; the second cannot gain from likeness at all. These "
    "figures bound the effect; they say nothing about where people lie between."
)


def main() -> None:
    options = _options()
    registry = load_registry()
    start = time.perf_counter()
    if options.quick:
        print("--quick: a smoke test; its figures mean nothing")
    print(f"equivalence bound, stated beforehand: {BOUND:.0%} of accuracy; {options.seeds} seeds")
    for geometry in [options.geometry] if options.geometry else GEOMETRIES:
        words = GEOMETRIES[geometry]
        print(f"\n{geometry}: {words}")
        found = np.array([_one_seed(registry, geometry, seed, options) for seed in _seeds(options)])
        for arm, accuracies in zip(ARMS, found.T, strict=True):
            print(
                f"  {arm:<24}{accuracies.mean():7.1%}  {_against(accuracies, found[:, 0], arm)}",
                flush=True,
            )
    print(f"\n{LIMITS}\n{time.perf_counter() - start:.0f} s; busy: {pressure()}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--geometry", choices=GEOMETRIES, help="only this one")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--strength", type=float, default=0.35, help="of the subject's code")
    parser.add_argument("--test-runs", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="few trials, two passes: a smoke test")
    return parser.parse_args()


def _seeds(options: argparse.Namespace) -> range:
    return range(options.first_seed, options.first_seed + options.seeds)


def _one_seed(
    registry: Registry, geometry: str, seed: int, options: argparse.Namespace
) -> list[float]:
    """Return the accuracy of each arm."""
    with tempfile.TemporaryDirectory() as folder:
        context = make_context(registry, options.classes, seed, Path(folder))
        accuracies = _arms(registry, context, geometry, options)
    print(f"    seed {seed:>3}:", *(f"{found:.4f}" for found in accuracies), flush=True)
    return accuracies


def _arms(
    registry: Registry, context: Context, geometry: str, options: argparse.Namespace
) -> list[float]:
    subject = {
        "channels": options.channels,
        "sfreq": 1000,
        "code": "power",
        "strength": options.strength,
        "geometry": geometry,
    }
    runs, blocks = (3 + 1, 3) if options.quick else (3 + options.test_runs, 10)
    timing = {"duration": 0.5, "pause": 0.6, "cue": 0.3}
    design = {"classes": options.classes, "runs": runs, "blocks": blocks, **timing}
    seen, new = by_run(*record(registry, context, subject, design), n_test=runs - 3)
    fewer = {"epochs": 2} if options.quick else {}
    accuracies = []
    for arm in ARMS.values():
        ((name, settings),) = arm.items()
        config = choose(registry, "decoder", {name: settings | fewer}).config
        accuracies.append(accuracy(config.fit(seen, context), new))
    return accuracies


def _against(accuracies: np.ndarray, plain: np.ndarray, arm: str) -> str:
    """Return the paired difference to the network without a teacher, and what it means."""
    if arm == "plain":
        return ""
    if len(plain) < 2:
        return "one seed says nothing about a difference"
    difference = accuracies - plain
    mean, error = difference.mean(), difference.std(ddof=1) / np.sqrt(len(difference))
    low, high = mean + error * student.ppf((0.025, 0.975), len(difference) - 1)
    # Two one-sided tests of 5 % each: equivalent if the 90 % interval lies within the bound.
    inner = mean + error * student.ppf((0.05, 0.95), len(difference) - 1)
    if low > 0 or high < 0:
        verdict = "better than plain" if low > 0 else "worse than plain"
    else:
        verdict = "no difference shown"
    if np.abs(inner).max() < BOUND:
        verdict += ", equivalent within the bound"
    return f"difference {mean:+.1%} [{low:+.1%}, {high:+.1%}]: {verdict}"


if __name__ == "__main__":
    main()
