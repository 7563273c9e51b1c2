"""What is asked of every plugin, whatever its hook: that it is found cheaply and chosen safely."""

# ruff: noqa: D401 (the docstring of a demand states it)

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import msgspec

from phosphene.choice import Chosen, choose, plain
from phosphene.registry import Registry
from phosphene.testing.demands import Demands, expect, expect_refusal

HEAVY = (
    "braindecode", "brainflow", "diffusers", "matplotlib", "mne", "mne_bids", "open_clip", "pandas",
    "psychopy", "pyglet", "pylsl", "pyriemann", "pyxdf", "scipy", "sklearn", "tensorflow", "torch",
    "torchvision", "transformers",
)  # fmt: skip
"""Libraries that no ``phosphene`` command should wait for."""
TIMEOUT = 120.0
"""Seconds that an import may take before it is given up."""

_PROGRAM = """\
import json, sys, time, phosphene.hookspecs
before = set(sys.modules)
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
found = sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})
print(json.dumps({{"seconds": seconds, "found": found}}))
"""


class Discovery(msgspec.Struct, frozen=True):
    """What importing a plugin's module takes."""

    seconds: float
    found: list[str]
    """Top-level packages that it imports."""


@dataclass(frozen=True)
class Offer:
    """A name that a plugin offers, and what was chosen for it."""

    registry: Registry
    hook: str
    chosen: Chosen[Any]

    @cached_property
    def discovery(self) -> Discovery:
        """What it took to import the plugin's module, in a process of its own."""
        return discover(module_of(self.registry, self.hook, self.chosen.name))


demands = Demands[Offer]()


@demands()
def no_heavy_import_at_discovery(offer: Offer) -> None:
    """Importing the plugin's module imports no heavy library."""
    heavy = sorted(set(HEAVY) & set(offer.discovery.found))
    expect(
        not heavy,
        f"importing it imports {', '.join(heavy)}; import them inside the functions that use them",
    )


@demands()
def settings_can_be_stored(offer: Offer) -> None:
    """The settings, written as JSON and read again, are the same."""
    written = json.loads(json.dumps(plain(offer.chosen), allow_nan=False))
    again = choose(offer.registry, offer.hook, written)
    expect(again == offer.chosen, f"written and read again, they are {again.config}")


@demands()
def unknown_setting_is_refused(offer: Offer) -> None:
    """A setting that there is not is refused in words."""
    settings = plain(offer.chosen)[offer.chosen.name] | {"no-such-setting": 1}
    wrong = {offer.chosen.name: settings}
    expect_refusal(lambda: choose(offer.registry, offer.hook, wrong), "the setting no-such-setting")


def module_of(registry: Registry, hook: str, name: str) -> str:
    """Return the module of the plugin that offers a name."""
    [plugin] = [info for info in registry.plugins if name in info.offers.get(hook, ())]
    return plugin.module.partition(":")[0].strip()


@cache
def discover(module: str) -> Discovery:
    """Return what it takes to import a module, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(module=module)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=False, timeout=TIMEOUT,
    )  # fmt: skip
    expect(done.returncode == 0, f"import {module} fails: {done.stderr.strip()[-300:]}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Discovery)
