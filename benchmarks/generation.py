"""How long a picture takes: our generator beside plain diffusers, the same model in one folder.

Full-size models with random weights, for latency does not depend on what weights say; half
precision; steps, guidance, scheduler and size the same. Ours and diffusers' take turns. The goals:
never slower, and SD-Turbo at 512 x 512 within 100 ms on a datacentre GPU. Run with ``python
benchmarks/generation.py`` on a machine with a GPU; without one, ``--tiny`` runs the same comparison
on tiny models, whose figures mean nothing.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import diffusers
import numpy as np
import torch
import transformers
from architectures import ARCHITECTURES, Architecture, count, tiny, write
from rich.console import Console
from rich.table import Table
from simulation import make_context, pressure

from phosphene import Context, Decoding, Generator, PhospheneError
from phosphene.choice import choose
from phosphene.registry import load_registry

GOAL = 0.100
"""Seconds for SD-Turbo at 512 x 512, all its one step."""
SETTLE = 2
"""Pictures before the first one that counts, on either side."""
WIDTH = 130
"""Columns of the table, also where it is written into a file."""


@dataclass(frozen=True)
class Case:
    """A model, and how it is asked for a picture."""

    model: str
    steps: int
    guidance: float
    size: int


@dataclass(frozen=True)
class Result:
    """Seconds by picture; ours and diffusers' with the same index followed each other."""

    case: Case
    ours: tuple[float, ...]
    diffusers: tuple[float, ...]
    same: bool
    """Whether both made the same picture from the same seed: they did the same work."""

    @property
    def ratios(self) -> tuple[float, float, float]:
        """Quartiles of ours divided by diffusers'; below 1, ours is faster."""
        return quartiles(np.divide(self.ours, self.diffusers))

    @property
    def verdict(self) -> str:
        """What the ratios say; slower is what is slower in three of four pairs."""
        low, _, high = self.ratios
        if low > 1:
            return "slower"
        return "faster" if high < 1 else "no slower"


def main() -> None:
    options = _options()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    console = Console(markup=False, soft_wrap=True, width=WIDTH)
    report: dict[str, Any] = {"machine": machine(), "parameters": counted(options, console)}
    results = []
    if torch.cuda.is_available() or options.tiny:
        console.print(f"{machine()}; median of {options.n} [quartiles] in ms")
        results = [each for name in options.models for each in measured(name, options, console)]
        console.print(table(results), *goals(results, options), f"busy: {pressure()}", sep="\n")
    else:
        console.print(f"No GPU here ({machine()}): no latency was measured. --tiny tries the code.")
    if options.json:
        report["results"] = [asdict(each) | {"verdict": each.verdict} for each in results]
        options.json.write_text(json.dumps(report | versions(), indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=ARCHITECTURES, default=list(ARCHITECTURES))
    parser.add_argument("--steps", nargs="+", type=int, help="the model's own if left out")
    parser.add_argument("--sizes", nargs="+", type=int, help="the model's own if left out")
    parser.add_argument("--n", type=int, default=20, help="pictures on each side")
    parser.add_argument("--tiny", action="store_true", help="tiny models: a smoke test")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser.parse_args()


def counted(options: argparse.Namespace, console: Console) -> dict[str, dict[str, int]]:
    """Return the parameters of the models by component, and say whether they are as known."""
    found = {name: count(ARCHITECTURES[name]) for name in options.models}
    for name, numbers in found.items():
        assert numbers == ARCHITECTURES[name].parameters, f"{name} is another model: {numbers}"
        words = ", ".join(f"{part} {number / 1e6:.1f}" for part, number in numbers.items())
        console.print(f"{name}: {words} million parameters, as published")
    return found


def measured(name: str, options: argparse.Namespace, console: Console) -> Iterator[Result]:
    """Yield the results of one model; what does not fit into this machine is said and left out."""
    architecture = tiny(ARCHITECTURES[name]) if options.tiny else ARCHITECTURES[name]
    device, dtype = ("cuda", torch.float16) if torch.cuda.is_available() else ("cpu", torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        write(architecture, Path(folder) / name, device, dtype)
        for case in cases(name, architecture, options):
            try:
                yield compared(case, Path(folder), device, dtype, options.n)
            except (PhospheneError, torch.OutOfMemoryError) as error:
                console.print(f"{name}: not measured: {error}")


def cases(name: str, architecture: Architecture, options: argparse.Namespace) -> Iterator[Case]:
    for steps in options.steps or [architecture.steps]:
        for size in options.sizes or [architecture.size]:
            yield Case(name, steps, architecture.guidance, size)


def compared(case: Case, folder: Path, device: str, dtype: torch.dtype, n: int) -> Result:
    """Let both sides draw the same pictures in turns; who begins changes."""
    ours, prompt = our_side(case, folder, device)
    theirs = their_side(case, folder, device, dtype, prompt)
    same = all(np.array_equal(ours(seed), theirs(seed)) for seed in range(SETTLE))
    seconds: dict[Callable[[int], np.ndarray], list[float]] = {ours: [], theirs: []}
    for seed in range(n):
        for side in (ours, theirs) if seed % 2 else (theirs, ours):
            seconds[side].append(timed(side, seed))
    return Result(case, tuple(seconds[ours]), tuple(seconds[theirs]), same)


def our_side(case: Case, folder: Path, device: str) -> tuple[Callable[[int], np.ndarray], str]:
    """Return the generator ``stable-diffusion`` as a function of the seed, and its prompt."""
    registry = load_registry()
    lent = make_context(registry, classes=2, seed=0, cache=folder / "cache")
    context = Context(lent.stimuli, cache=folder / "cache", device=device)
    settings = {
        "model": str(folder / case.model),
        "steps": case.steps,
        "guidance": case.guidance,
        "size": case.size,
    }
    config = choose(registry, "generator", {"stable-diffusion": settings}).config
    generator: Generator = config.build(context)
    classes, decoding = list(lent.stimuli.classes), Decoding(np.array([[0.9, 0.1]]))

    def draw(seed: int) -> np.ndarray:
        return generator.generate(classes, decoding, seed=seed).pixels

    made = generator.generate(classes, decoding, seed=0)
    return draw, str(made.provenance["prompt"])


def their_side(
    case: Case, folder: Path, device: str, dtype: torch.dtype, prompt: str
) -> Callable[[int], np.ndarray]:
    """Return plain diffusers as a function of the seed."""
    loaded = diffusers.DiffusionPipeline.from_pretrained(
        folder / case.model, dtype=dtype, local_files_only=True
    )
    pipeline = loaded.to(device)
    pipeline.set_progress_bar_config(disable=True)

    def draw(seed: int) -> np.ndarray:
        found = pipeline(
            prompt,
            num_inference_steps=case.steps,
            guidance_scale=case.guidance,
            height=case.size,
            width=case.size,
            generator=torch.Generator("cpu").manual_seed(seed),
        )
        return np.asarray(found.images[0])

    return draw


def timed(draw: Callable[[int], np.ndarray], seed: int) -> float:
    """Return the seconds from the order to pixels in memory."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    start = time.perf_counter()
    draw(seed)
    wait()
    return time.perf_counter() - start


def quartiles(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    low, median, high = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
    return low, median, high


def table(results: Sequence[Result]) -> Table:
    found = Table("model", "steps", "guidance", "size", "ours", "diffusers", "ratio", "", "pixels")
    for each in results:
        case, (low, ratio, high) = each.case, each.ratios
        found.add_row(
            case.model,
            str(case.steps),
            f"{case.guidance:g}",
            str(case.size),
            spread(each.ours),
            spread(each.diffusers),
            f"{ratio:.2f} [{low:.2f}, {high:.2f}]",
            each.verdict,
            "the same" if each.same else "differ",
        )
    return found


def spread(seconds: Sequence[float]) -> str:
    low, median, high = (1e3 * each for each in quartiles(seconds))
    return f"{median:.1f} [{low:.1f}, {high:.1f}]"


def goals(results: Sequence[Result], options: argparse.Namespace) -> Iterator[str]:
    """Yield what was asked for, and whether it is so."""
    if options.tiny:
        yield "--tiny: a smoke test; its figures mean nothing"
        return
    slower = [each.case.model for each in results if each.verdict == "slower"]
    yield f"never slower than diffusers: {'no: ' + ', '.join(slower) if slower else 'yes'}"
    for each in results:
        if (each.case.model, each.case.steps, each.case.size) == ("sd-turbo", 1, 512):
            median = quartiles(each.ours)[1]
            word = "yes" if median <= GOAL else "no"
            yield f"sd-turbo within {GOAL * 1e3:.0f} ms: {word}, {median * 1e3:.1f} ms"


def machine() -> str:
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name(0))
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


def versions() -> Mapping[str, Mapping[str, str]]:
    libraries = (torch, diffusers, transformers)
    return {"versions": {each.__name__: str(each.__version__) for each in libraries}}


if __name__ == "__main__":
    main()
