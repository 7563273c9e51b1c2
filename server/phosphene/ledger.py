"""What the session has done so far, in numbers."""

from phosphene.dataset.study import SessionFolder
from phosphene.events import Block
from phosphene.messages import BlockDone, Recording, SegmentClosed, Status
from phosphene.plan import Plan, block_seconds
from phosphene.states import State


class Ledger:
    """Counts blocks, trials, samples and markers."""

    def __init__(self, plan: Plan) -> None:
        self.phase, self.run, self.block = "", 0, 0
        self.recording: Recording | None = None
        """Of the open segment, as acquisition last said."""
        history = plan.history
        self.next_seq = history.next_seq
        left = [block for phase in plan.blocks for block in plan.left(phase)]
        self.seconds_left = sum(map(block_seconds, left))
        self._blocks_total = plan.n_blocks
        self._blocks_done = plan.n_blocks - len(left)
        self._trials_shown = sum(done.n_trials for done in history.completed.values())
        self._filed_samples, self._filed_markers = history.n_samples, history.n_markers

    @property
    def recorded(self) -> bool:
        """Whether there is anything to report on."""
        return self._filed_markers > 0 or bool(self.recording and self.recording.n_markers)

    def begin(self, phase: str, block: Block) -> None:
        """Take note of the block that comes next."""
        self.phase, self.run, self.block = phase, block.run, block.block

    def end(self, done: BlockDone) -> None:
        """Take note of an attempt at a block."""
        self.next_seq = done.next_seq
        self._trials_shown += done.n_trials

    def count(self, block: Block, *, done: bool) -> None:
        """Take note that a block is settled, or that it is to be shown after all."""
        self._blocks_done += 1 if done else -1
        self.seconds_left += block_seconds(block) * (-1 if done else 1)

    def file(self, segment: SegmentClosed) -> None:
        """Take note of a complete file."""
        self.recording = None
        self._filed_samples += segment.n_samples
        self._filed_markers += segment.n_markers

    def status(self, state: State, folder: SessionFolder, problem: str) -> Status:
        """Return the numbers with the rest of what an operator asks for."""
        return Status(
            state=state,
            subject=folder.subject,
            session=folder.session,
            phase=self.phase,
            run=self.run,
            block=self.block,
            blocks_done=self._blocks_done,
            blocks_total=self._blocks_total,
            trials_shown=self._trials_shown,
            n_samples=self._filed_samples + (self.recording.n_samples if self.recording else 0),
            n_markers=self._filed_markers + (self.recording.n_markers if self.recording else 0),
            seconds_left=max(0.0, self.seconds_left),
            problem=problem,
            folder=str(folder.path),
        )
