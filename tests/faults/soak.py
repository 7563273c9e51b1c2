"""Eight hours of a session in accelerated time, on the real roles: ``make soak``.

Memory, descriptors and threads are looked at after every run. Exit status 1 if memory grew by 20 MB
or more within a phase (behind its first runs: what a phase needs it loads once), if descriptors or
threads are left over, or if anything was lost. What training loads and keeps between the phases is
printed: here in the one process that a virtual clock has, else in its own.
"""

import ctypes
import gc
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import structs

from phosphene.clock import VirtualClock
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import read_segment
from phosphene.events import Block
from phosphene.journal import Journal, set_aside
from phosphene.loop import VirtualLoop
from phosphene.messages import Message, Start, Status
from phosphene.plan import Plan, block_seconds, make_plan
from phosphene.registry import load_registry
from phosphene.roles.catalogue import House
from phosphene.session import Session
from phosphene.settings import load_settings
from phosphene.states import State
from phosphene.training import block_of

HOURS = 8.0
TOLERATED = 20.0
"""MB by which memory may grow."""
WARM = 3
"""Runs of a phase in which libraries are loaded and caches fill."""
SESSION = """
format: 1
subject: "01"
session: "01"
protocol: [record, train, feedback]
stimuli: {{standin: {{classes: 4, images: 40, gallery: 2, size: 32}}}}
acquisition: {{simulated: {{channels: 16, sfreq: 250, strength: 0.8}}}}
preprocessing: paper
decoder: power-lr
generator: retrieval
closed_loop: {{override_gate: true}}
paradigm: {{interleaved: {{runs: 2, blocks: 10, duration: 0.5, pause: 5, cue: 1}}}}
feedback: {{feedback: {{runs: 1, blocks: 4, trials: 10, classes: 4, pause: 5, cue: 1}}}}
screen: {{kind: headless, refresh_rate: 60}}
clock: virtual
output: {place}/study
cache: {place}/cache
"""


@dataclass(frozen=True)
class Use:
    """What the process holds at some moment of the session."""

    phase: str
    hours: float
    megabytes: float
    descriptors: int
    threads: int

    @classmethod
    def now(cls, phase: str, seconds: float) -> "Use":
        """Look at what is held, not at what the allocator keeps of memory that is free."""
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        descriptors = len(os.listdir("/proc/self/fd"))
        return cls(phase, seconds / 3600, memory, descriptors, threading.active_count())


def repeated(blocks: Sequence[Block], seconds: float) -> tuple[Block, ...]:
    """Return the blocks again and again, as runs of their own, until they fill some seconds."""
    once = sum(map(block_seconds, blocks))
    runs = max(block.run for block in blocks)
    numbers = count(1)
    return tuple(
        structs.replace(block, run=block.run + again * runs, block=next(numbers))
        for again in range(max(1, round(seconds / once)))
        for block in blocks
    )


def long_plan(plan: Plan, hours: float) -> Plan:
    """Return a plan whose phases last half of the hours each."""
    assert plan.feedback
    half, blocks_of = hours * 1800, plan.feedback.blocks_of
    longer = replace(plan.feedback, blocks_of=lambda classes: repeated(blocks_of(classes), half))
    blocks = {phase: repeated(each, half) for phase, each in plan.blocks.items()}
    return replace(plan, blocks=blocks, feedback=longer)


def run(place: Path, hours: float) -> tuple[list[Use], SessionFolder, Plan, Status]:
    """Go through the session; return what it used after each run."""
    file = place / "session.yaml"
    file.write_text(SESSION.format(place=place))
    registry, clock = load_registry(), VirtualClock()
    settings = load_settings(file, registry)
    folder = SessionFolder.create(settings.output, settings.subject, settings.session)
    house = House(settings, registry, folder, clock)
    plan = long_plan(make_plan(settings, house.context), hours)
    journal = Journal(folder.journal_file)
    session = Session(plan, folder, journal, lambda _spec: None)
    uses: list[Use] = []
    seen = 0

    def watch(message: Message) -> None:
        nonlocal seen
        if isinstance(message, Status):
            if message.state is State.READY:
                session.command(Start())
            if message.run != seen:
                seen = message.run
                uses.append(Use.now(message.phase, clock.now()))

    loop = VirtualLoop(session, clock, house.build, watch)
    loop.run()
    journal.close()
    uses.append(Use.now("feedback", clock.now()))
    return uses, folder, plan, session.status


def uses_of(uses: Sequence[Use], phase: str) -> list[Use]:
    """Return those of a phase."""
    return [use for use in uses if use.phase == phase]


def growth(uses: Sequence[Use]) -> float:
    """Return by how many MB memory grew within a phase."""
    return uses[-1].megabytes - uses[min(WARM, len(uses) - 1)].megabytes


def losses(folder: SessionFolder, plan: Plan) -> list[str]:
    """Return what is missing: trials of blocks, samples within recordings, BIDS runs."""
    segments = [read_segment(path) for path in folder.segments()]
    aside = set_aside(folder.journal_file)
    onsets = [onset for segment in segments for onset in segment.onsets]
    shown = Counter(
        (o.phase, o.block) for o in onsets if o.event == "stimulus" and block_of(o) not in aside
    )
    found = [
        f"{phase} block {block.block} has {shown[phase, block.block]} images"
        for phase, blocks in plan.blocks.items()
        for block in blocks
        if shown[phase, block.block] < len(block.trials)
    ]
    found += [
        f"{segment.path.name}: {segment.faults()}" for segment in segments if segment.faults()
    ]
    n_runs = len(list(folder.bids.glob("eeg/*_eeg.vhdr")))
    return found + ([f"{n_runs} BIDS runs of {len(segments)}"] if n_runs < len(segments) else [])


def main(hours: str = str(HOURS)) -> int:
    """Run the command line."""
    began = time.monotonic()
    with TemporaryDirectory(prefix="soak-") as root:
        uses, folder, plan, status = run(Path(root), float(hours))
        lost = losses(folder, plan)
    for use in uses[:: max(1, len(uses) // 20)]:
        print(  # noqa: T201
            f"{use.hours:6.2f} h {use.megabytes:8.1f} MB {use.descriptors:4d} descriptors "
            f"{use.threads:3d} threads"
        )
    warm, last = uses[WARM], uses[-1]
    record, feedback = uses_of(uses, "record"), uses_of(uses, "feedback")
    grown = max(growth(record), growth(feedback))
    trained = feedback[0].megabytes - record[-1].megabytes
    print(  # noqa: T201
        f"{status.state}: {last.hours:.2f} h in {time.monotonic() - began:.0f} s; memory grew by "
        f"{grown:.1f} MB within a phase, {trained:.1f} MB by training; {len(lost)} losses",
        *lost[:10],
        sep="\n",
    )
    flat = last.descriptors <= warm.descriptors and last.threads <= warm.threads
    return 0 if grown < TOLERATED and flat and not lost and status.state == "finished" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
