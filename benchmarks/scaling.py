"""Evaluation in parallel: time against workers, and against work, as ratios within one run.

Sessions of a simulated subject are recorded into a scratch folder; one decoder is cross-validated
on them in this process, and by 1, 2, ... local processes. Run with ``make scaling`` (minutes), or
``--quick`` (one minute; goals do not apply).
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from phosphene.analysis.comparison import Entry, compare
from phosphene.analysis.parallel import workers
from phosphene.choice import choose
from phosphene.dataset.study import SessionFolder
from phosphene.launch import run_virtual
from phosphene.registry import Registry, load_registry
from phosphene.roles.catalogue import House
from phosphene.settings import load_settings

SESSION = """
format: 1
protocol: [record]
stimuli: {{standin: {{classes: {classes}, images: 20, gallery: 1, size: 32}}}}
acquisition: {{simulated: {{channels: 32, sfreq: 250}}}}
preprocessing: power
decoder: power-lr
paradigm: {{interleaved: {{runs: 4, blocks: 5, pause: 1, cue: 0.5}}}}
screen: {{kind: headless, refresh_rate: 60}}
clock: virtual
output: {place}/study
cache: {place}/cache
"""
DECODER = {"plain-stft": {"epochs": 4, "patience": 4}}
"""Heavy enough that there is something to share."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small study")
    options = parser.parse_args()
    registry = load_registry()
    cores = len(os.sched_getaffinity(0))
    classes, n_sessions = (4, 2) if options.quick else (10, 4)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        sessions = [record(place, f"{n:02}", classes, registry) for n in range(1, n_sessions + 1)]
        entries = [entry(each, registry) for each in sessions]
        print(f"{cores} cores; {n_sessions} sessions of {classes * 20} trials, 4 folds each\n")
        alone = seconds(entries, "none", 1)
        print("| workers | s, start included | times as fast as one process |")
        print("|---|---|---|")
        print(f"| this process | {alone:.1f} | 1.00 |")
        for n in range(2, cores + 1):
            taken = seconds(entries, "local", n)
            print(f"| {n} | {taken:.1f} | {alone / taken:.2f} |")
        print("\n| sessions | s by work in one process | relative to one session |")
        print("|---|---|---|")
        first = 0.0
        for n in range(1, n_sessions + 1):
            taken = seconds(entries[:n], "none", 1)
            first = first or taken
            print(f"| {n} | {taken:.1f} | {taken / first:.2f} |")


def record(place: Path, subject: str, classes: int, registry: Registry) -> SessionFolder:
    file = place / "session.yaml"
    file.write_text(SESSION.format(place=place, classes=classes))
    settings = load_settings(file, registry, {"subject": subject, "session": "01"})
    return SessionFolder.at(Path(run_virtual(settings, registry, lambda _message: None).folder))


def entry(folder: SessionFolder, registry: Registry) -> Entry:
    from msgspec import structs

    house = House.of(folder.path)
    tested = structs.replace(house.settings, decoder=choose(registry, "decoder", DECODER))
    return Entry(folder, house.settings, tested, "plain-stft", house.context)


def seconds(entries: list[Entry], cluster: str, n: int) -> float:
    start = time.perf_counter()
    with workers(cluster, n) as at_work:
        compare(entries, at_work)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
