"""Record the paper's whole session on the virtual clock, and turn it into features.

40 classes x 50 images, 128 channels at 1 kHz, 1400 s. The goal is 20 times real time on 2 cores.
Run with: ``make benchmark``.
"""

import tempfile
import time
from pathlib import Path

from phosphene.launch import run_virtual
from phosphene.pipeline import Pipeline
from phosphene.registry import load_registry
from phosphene.roles.catalogue import House
from phosphene.settings import load_settings
from phosphene.training import collect

SESSION = """
format: 1
extends: brain2image
protocol: [record]
stimuli: {standin: {size: 64}}
acquisition: {simulated: {channels: 128, sfreq: 1000}}
screen: {kind: headless, refresh_rate: 60}
clock: virtual
"""
GOAL = 20.0


def pressure() -> str:
    """Return how busy the machine is, so that a slow figure can be judged."""
    file = Path("/proc/pressure/cpu")
    return file.read_text().split()[1] if file.exists() else "unknown"


def main() -> None:
    registry = load_registry()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "session.yaml"
        file.write_text(SESSION)
        given = {"subject": "01", "session": "01", "output": Path(folder) / "study", "seed": 1}
        settings = load_settings(file, registry, given)
        settings.stimuli.config.build(settings.cache)  # Images are made once, not every session.
        start = time.perf_counter()
        status = run_virtual(settings, registry, lambda _message: None)
        recorded = time.perf_counter()
        house = House.of(Path(status.folder))
        data, incomplete = collect(house.folder.segments("record"), settings, house.context)
        cut = time.perf_counter()
        pipeline = Pipeline(settings.stream, settings.epochs, data.epochs.spec, house.context)
        features = pipeline.fit(data.epochs)
        done = time.perf_counter()
    seconds = status.n_samples / 1000
    total = done - start
    print(f"state {status.state}; {len(data.trials)} epochs, {len(incomplete)} incomplete")
    print(f"features {features.data.shape} {features.data.dtype}")
    print(f"{'session (virtual)':<24}{seconds:9.1f} s")
    print(f"{'record, with export':<24}{recorded - start:9.1f} s")
    print(f"{'filter and cut':<24}{cut - recorded:9.1f} s")
    print(f"{'features':<24}{done - cut:9.1f} s")
    print(f"{'times real time':<24}{seconds / total:9.1f}   (goal {GOAL:.0f}; busy: {pressure()})")


if __name__ == "__main__":
    main()
