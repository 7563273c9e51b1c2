"""From the last sample of an epoch to its decoding, while everything else runs.

Real processes on the real clock: recorder (128 channels at 1 kHz), presenter without a window,
``kd-stft`` driving, two shadows that decode and one that never stops training, the generator. The
goal: 99 of 100 trials within 50 ms. Run with ``python benchmarks/latency.py`` (eight minutes) or
``--quick`` (three).
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from simulation import pressure

from phosphene.dataset.study import Study
from phosphene.messages import shadow_role

SESSION = """
format: 1
extends: demo
protocol: [record, train, feedback]
paradigm:
  interleaved: {runs: 2, blocks: 2, classes: 10, duration: 0.5, gap: 0.1, pause: 1, cue: 0.5}
feedback:
  feedback:
    {runs: 1, blocks: BLOCKS, trials: 50, classes: 10, duration: 0.5, gap: 0.3, picture: 0.2,
     pause: 1, cue: 0.5}
shadows:
  - power-lr
  - {plain-stft: {epochs: 5}}
  - {plain-stft: {epochs: 100000, patience: 100000}}
screen: {kind: headless, refresh_rate: 60}
clock: real
"""
GOAL = 0.050


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50 trials")
    blocks = 1 if parser.parse_args().quick else 5
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "session.yaml"
        file.write_text(SESSION.replace("BLOCKS", str(blocks)))
        study = Path(folder) / "study"
        command = [sys.executable, "-m", "phosphene", "run", str(file), "--output", str(study)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (session,) = Study(study).sessions()
        print(f"goal: 99 of 100 trials within {GOAL * 1e3:.0f} ms")
        for role in ("", shadow_role(1), shadow_role(2)):
            show(role or "driver", session.decodings_of(role), blocks * 50)
    print(f"busy: {pressure()}")


def show(role: str, path: Path, n_trials: int) -> None:
    """Print the distribution of one decoder's processing times."""
    with path.open(newline="") as file:
        seconds = np.array([float(r["processing"]) for r in csv.DictReader(file, delimiter="\t")])
    p50, p99, worst = (1e3 * np.quantile(seconds, q) for q in (0.5, 0.99, 1.0))
    print(
        f"  {role:<10}{len(seconds):5} of {n_trials} trials   median {p50:6.1f} ms"
        f"   p99 {p99:6.1f} ms   longest {worst:6.1f} ms"
    )


if __name__ == "__main__":
    main()
