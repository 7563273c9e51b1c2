"""Does each audit say what it must? Subject x design x audit, many seeds a cell: ``make proof``.

What every cell must say was written down before the first run (``proof_expected.py``); it follows
from the rules of the audits. A cell fails if chance cannot explain how far it is from that.
``--write`` puts the table into docs/proof.md, ``--quick`` runs a few seeds of a few cells.
"""

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from proof_expected import CHANGED, DESIGNS, EXPECTED, QUICK, SUBJECTS
from proof_table import Cell, page, summary
from simulation import make_context, raw

from phosphene.analysis.audits.results import audit_material
from phosphene.registry import load_registry

N_CLASSES = 5
SMALL: Mapping[str, Any] = {"channels": 8, "sfreq": 250.0, "eog": True}
"""What every subject is, so that a recording takes a second."""
SEEDS, QUICK_SEEDS = 60, 3
DOCS = Path(__file__).parents[1] / "docs" / "proof.md"

Order = tuple[str, str, int]
"""Subject, design, seed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seeds of a few cells")
    parser.add_argument("--seeds", type=int, help=f"recordings a cell; by default {SEEDS}")
    parser.add_argument("--write", action="store_true", help="write the table into docs/proof.md")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    seeds = options.seeds or (QUICK_SEEDS if options.quick else SEEDS)
    pairs = QUICK if options.quick else list(product(SUBJECTS, DESIGNS))
    orders = [(subject, design, seed) for subject, design in pairs for seed in range(seeds)]
    cells = tabulate(carried_out(orders, options.jobs))
    print(summary(cells))
    if options.write:
        DOCS.write_text(page(cells, seeds, CHANGED), encoding="utf-8")
    return int(any(cell.failed for cell in cells))


def carried_out(orders: list[Order], jobs: int) -> Iterator[tuple[Order, dict[str, str]]]:
    """Yield the verdict by audit of each recording."""
    with ProcessPoolExecutor(jobs) as pool:
        for number, (order, verdicts) in enumerate(
            zip(orders, pool.map(audited, orders, chunksize=4), strict=True), start=1
        ):
            if sys.stderr.isatty() or number % 100 == 0:
                print(f"{number} of {len(orders)} recordings", file=sys.stderr)
            yield order, verdicts


registry = cache(load_registry)


@cache
def images() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of the stand-in images, drawn once in each process."""
    return tempfile.TemporaryDirectory()


def audited(order: Order) -> dict[str, str]:
    """Simulate a recording, and return the verdict by audit."""
    subject, design, seed = order
    ((source, settings),) = SUBJECTS[subject].items()
    context = make_context(registry(), N_CLASSES, seed, Path(images().name))
    recording = raw(registry(), context, {source: {**SMALL, **settings}}, DESIGNS[design])
    found = audit_material(recording.material(seed, context.stimuli), recording.name)
    doubts = {"any": "fires" if found.firing else "silent"}
    return {finding.audit: finding.verdict for finding in found.findings} | doubts


def tabulate(found: Iterator[tuple[Order, dict[str, str]]]) -> list[Cell]:
    """Return the cells of the table, as many verdicts of each kind as were found."""
    counts: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for (subject, design, _), verdicts in found:
        for audit, verdict in verdicts.items():
            counts[subject, design, audit][verdict] += 1
    return [
        Cell(*key, EXPECTED[key[2]][key[1]].get(key[0], "any"), dict(count))
        for key, count in counts.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
