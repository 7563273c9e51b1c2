"""A session as it is planned: the blocks of each phase, worked out before anything starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from phosphene.errors import PhospheneError
from phosphene.events import Block
from phosphene.interfaces import Context
from phosphene.messages import Phase, shadow_role
from phosphene.settings import PhaseName, Settings


@dataclass(frozen=True)
class Plan:
    """Which phases follow each other, and what is shown in them."""

    protocol: tuple[PhaseName, ...]
    blocks: dict[Phase, tuple[Block, ...]] = field(default_factory=dict)
    tasks: dict[Phase, str] = field(default_factory=dict)
    """BIDS task label by phase: letters and digits of the paradigm's name."""
    bundle: Path | None = None
    """A bundle trained earlier, for a protocol without training."""
    shadows: tuple[str, ...] = ()
    """Roles of the decoders that run beside the driver."""

    def runs(self, phase: Phase) -> Iterator[tuple[int, list[Block]]]:
        """Yield each run of a phase with its blocks, in order."""
        for run, blocks in groupby(self.blocks[phase], key=lambda block: block.run):
            yield run, list(blocks)

    @property
    def n_blocks(self) -> int:
        """Number of blocks in all phases."""
        return sum(map(len, self.blocks.values()))

    @property
    def seconds(self) -> float:
        """Seconds of stimulation and pauses in all phases."""
        return sum(block_seconds(block) for blocks in self.blocks.values() for block in blocks)


def make_plan(settings: Settings, context: Context) -> Plan:
    """Return the plan; ``PhospheneError`` if the image set cannot fill it."""
    chosen = {"record": settings.paradigm, "feedback": settings.feedback}
    blocks: dict[Phase, tuple[Block, ...]] = {}
    tasks: dict[Phase, str] = {}
    for phase in settings.protocol:
        if phase not in ("record", "feedback"):
            continue
        paradigm = chosen[phase]
        if paradigm is None:
            raise PhospheneError(f"the protocol has a {phase} phase, but no paradigm for it")
        blocks[phase] = _checked(paradigm.name, paradigm.config.blocks(context))
        tasks[phase] = "".join(filter(str.isalnum, paradigm.name))
    shadows = tuple(shadow_role(n + 1) for n in range(len(settings.shadows)))
    return Plan(settings.protocol, blocks, tasks, settings.bundle, shadows)


def block_seconds(block: Block) -> float:
    """Return the seconds of a block with the pause behind it."""
    return block.pause + sum(t.duration + t.gap + t.picture + t.rest for t in block.trials)


def _checked(name: str, blocks: Sequence[Block]) -> tuple[Block, ...]:
    if not blocks or not all(block.trials for block in blocks):
        raise PhospheneError(f"the paradigm {name} planned no block, or a block without a trial")
    runs = [block.run for block in blocks]
    if runs != sorted(runs) or [b.block for b in blocks] != list(range(1, len(blocks) + 1)):
        raise PhospheneError(f"the paradigm {name} must number runs and blocks upwards from 1")
    return tuple(blocks)
