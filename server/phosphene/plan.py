"""A session as it is planned: the blocks of each phase, worked out before anything starts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from zlib import crc32

from phosphene.closed_loop import ClosedLoopSettings
from phosphene.errors import PhospheneError
from phosphene.events import Block, Trial
from phosphene.history import History
from phosphene.interfaces import Context, Uses
from phosphene.messages import Phase, shadow_role
from phosphene.recording import RecordingSettings
from phosphene.settings import PhaseName, Settings


@dataclass(frozen=True)
class FeedbackPlan:
    """How a session closes the loop."""

    settings: ClosedLoopSettings
    uses: Uses
    """What of a decoding the generator answers to."""
    seed: int
    blocks_of: Callable[[Sequence[str]], tuple[Block, ...]]
    """The blocks of feedback with some classes, as many and as long as planned."""


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
    feedback: FeedbackPlan | None = None
    """How decodings become pictures, if they do."""
    recording: RecordingSettings = field(default_factory=RecordingSettings)
    """How much of a block's signal may be lost."""
    history: History = field(default_factory=History)
    """What of it was done before an interruption."""

    def left(self, phase: Phase) -> list[Block]:
        """Return the blocks of a phase that are still to be shown."""
        return self.history.remaining(phase, self.blocks[phase])

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be shown, to be learnt, or to be filed."""
        shown = not any(map(self.left, self.blocks))
        learnt = "train" not in self.protocol or self.history.trained is not None
        filed = self.history.finished and not self.history.unfiled
        return shown and learnt and filed

    @property
    def n_blocks(self) -> int:
        """Number of blocks in all phases."""
        return sum(map(len, self.blocks.values()))


def feedback_blocks(
    settings: Settings, context: Context, classes: Sequence[str] | None = None
) -> tuple[Block, ...]:
    """Return the blocks of feedback with some classes.

    Without them it is a plan of the same length with the first classes of the set, if classes are
    chosen after training, or else that of the paradigm. Raises ``PhospheneError`` if the image
    set cannot fill it.
    """
    paradigm, n_classes = settings.feedback, settings.closed_loop.classes
    if paradigm is None:
        raise PhospheneError("the protocol has a feedback phase, but no paradigm for it")
    if classes is None and n_classes is not None:
        classes = tuple(context.stimuli.classes)[:n_classes]
    if classes is not None:
        context = replace(context, stimuli=context.stimuli.only(classes))
    return _checked(paradigm.name, paradigm.config.blocks(context))


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
        if phase == "feedback":
            blocks[phase] = feedback_blocks(settings, context)
        else:
            blocks[phase] = _checked(paradigm.name, paradigm.config.blocks(context))
        tasks[phase] = "".join(filter(str.isalnum, paradigm.name))
    shadows = tuple(shadow_role(n + 1) for n in range(len(settings.shadows)))
    feedback = _feedback_plan(settings, context) if "feedback" in blocks else None
    return Plan(
        settings.protocol, blocks, tasks, settings.bundle, shadows, feedback, settings.recording
    )


def _feedback_plan(settings: Settings, context: Context) -> FeedbackPlan:
    served = settings.worker.generator if settings.worker else settings.generator
    return FeedbackPlan(
        settings.closed_loop,
        served.config.uses if served else "class",
        # Two sessions with the same seed are not in the same arm for that.
        crc32(f"{settings.seed}/{settings.subject}/{settings.session}".encode()),
        lambda classes: feedback_blocks(settings, context, classes),
    )


def runs_of(blocks: Sequence[Block]) -> Iterator[tuple[int, list[Block]]]:
    """Yield each run with its blocks, in order."""
    for run, each in groupby(blocks, key=lambda block: block.run):
        yield run, list(each)


def block_seconds(block: Block) -> float:
    """Return the seconds of a block with the pause behind it."""
    return block.pause + sum(map(trial_seconds, block.trials))


def trial_seconds(trial: Trial) -> float:
    """Return the seconds of a trial if every image of it is shown."""
    return len(trial.images) * (trial.duration + trial.gap) + trial.picture + trial.rest


def _checked(name: str, blocks: Sequence[Block]) -> tuple[Block, ...]:
    if not blocks or not all(block.trials for block in blocks):
        raise PhospheneError(f"the paradigm {name} planned no block, or a block without a trial")
    runs = [block.run for block in blocks]
    if runs != sorted(runs) or [b.block for b in blocks] != list(range(1, len(blocks) + 1)):
        raise PhospheneError(f"the paradigm {name} must number runs and blocks upwards from 1")
    return tuple(blocks)
