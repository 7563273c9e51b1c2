"""What a session did before it was interrupted, so that it can go on where it was.

Journal and recordings are all there is to go by: whoever wrote them may have been killed at any
moment. A block counts if it was shown whole and its onsets and samples are on disk, whether or not
the server lived to hear of it.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import msgspec

from phosphene.continuity import longest_break, without_signal
from phosphene.dataset.bids import bids_run
from phosphene.dataset.study import SegmentName, SessionFolder
from phosphene.dataset.xdf_reader import Segment, read_segment
from phosphene.errors import PhospheneError
from phosphene.events import Block, Onset
from phosphene.journal import (
    Excluded,
    Journal,
    StateChanged,
    block_key,
    one_line,
    read_journal,
    set_aside,
    whole_lines,
)
from phosphene.messages import (
    BlockDone,
    BlockStarted,
    Exported,
    Phase,
    Retrained,
    Trained,
)
from phosphene.recording import RecordingSettings, lost_signal
from phosphene.states import State

BlockName = tuple[str, int]
"""Phase and number of a block."""


@dataclass(frozen=True)
class History:
    """How far a session came."""

    completed: Mapping[BlockName, BlockDone] = field(default_factory=dict)
    skipped: frozenset[BlockName] = frozenset()
    """Blocks that the operator left out."""
    attempts: Mapping[BlockName, int] = field(default_factory=dict)
    """Attempts at a block that showed something."""
    next_seq: int = 0
    """Number of the onset that comes next."""
    trained: Trained | None = None
    """The decoder in use, if one was trained."""
    n_samples: int = 0
    n_markers: int = 0
    unfiled: tuple[str, ...] = ()
    """Recordings of which there is no BIDS run."""
    finished: bool = False
    """Whether it came to its planned end, everything filed."""
    end: float = 0.0
    """Seconds on the session's clock of the last onset."""

    def remaining(self, phase: Phase, blocks: Sequence[Block]) -> list[Block]:
        """Return the blocks that are still to be shown."""
        return [block for block in blocks if (phase, block.block) not in self.settled]

    @property
    def settled(self) -> frozenset[BlockName]:
        """Blocks that are not shown again."""
        return self.skipped.union(self.completed)


def settle(
    folder: SessionFolder,
    journal: Journal,
    blocks: Mapping[Phase, Sequence[Block]],
    limits: RecordingSettings,
) -> History:
    """Return how far a session came, and put into its journal what the server did not hear of.

    Raises ``PhospheneError`` if its files cannot be read.
    """
    segments = [read_segment(path) for path in folder.segments()]
    history = _read(folder, segments)
    completed = dict(history.completed)
    excluded = {key for key, why in set_aside(folder.journal_file).items() if why == "excluded"}
    for done in _unheard(segments, blocks, completed):
        if lost_signal(done, limits) or block_key(done) in excluded:
            continue
        completed[done.phase, done.block] = done
        journal.append(done)
    return replace(history, completed=completed)


def set_run_aside(
    folder: SessionFolder, phase: Phase, run: int, reason: str, *, again: bool
) -> int:
    """Let the attempts at a run's blocks not count that do so far; return how many these are.

    ``again`` lets a session that goes on show them again. Raises ``PhospheneError`` if there is no
    reason, or no block that counts.
    """
    words = one_line(reason, "to set a run aside needs a reason")
    aside = set_aside(folder.journal_file)
    counting = [
        line.entry
        for line in read_journal(folder.journal_file)
        if isinstance(line.entry, BlockDone)
        and (line.entry.phase, line.entry.run) == (phase, run)
        and block_key(line.entry) not in aside
    ]
    if not counting:
        raise PhospheneError(f"{folder.path}: no block of run {run} of {phase} counts")
    journal = Journal(folder.journal_file)
    for done in counting:
        journal.append(Excluded(phase, run, done.block, done.attempt, words, again))
    journal.close()
    return len(counting)


def _unheard(
    segments: Sequence[Segment],
    blocks: Mapping[Phase, Sequence[Block]],
    known: Mapping[BlockName, BlockDone],
) -> Iterator[BlockDone]:
    """Yield the blocks that are whole on disk and not yet ``known``.

    Of ``record`` alone: how many images a trial of feedback has is decided while it runs.
    """
    planned = {block.block: block for block in blocks.get("record", ())}
    for segment in segments:
        attempts = groupby(
            segment.onsets, key=lambda onset: (onset.phase, onset.block, onset.attempt)
        )
        for (phase, number, _attempt), each in attempts:
            shown, block = list(each), planned.get(number)
            new = phase == "record" and (phase, number) not in known
            if new and block and _is_whole(shown, block, segment):
                yield _done(shown, block, segment)


def _is_whole(shown: Sequence[Onset], block: Block, segment: Segment) -> bool:
    if len(shown) < sum(len(trial.images) for trial in block.trials):
        return False
    last = deque(segment.signals(), maxlen=1)
    return bool(last and last[0].times[-1] >= shown[-1].time + shown[-1].duration)


def _done(shown: Sequence[Onset], block: Block, segment: Segment) -> BlockDone:
    last, faults = shown[-1], segment.faults()
    return BlockDone(
        phase="record",
        run=block.run,
        block=block.block,
        attempt=last.attempt,
        end=last.time + last.duration,
        n_trials=len(block.trials),
        next_seq=last.seq + 1,
        late_frames=sum(onset.late_frames for onset in shown),
        aborted=False,
        gap=longest_break(shown, faults),
        lost=len(without_signal(shown, faults)) / len(shown),
    )


def _read(folder: SessionFolder, segments: Sequence[Segment]) -> History:
    completed: dict[BlockName, BlockDone] = {}
    attempts: Counter[BlockName] = Counter()
    skipped: set[BlockName] = set()
    exported: set[str] = set()
    trained: Trained | None = None
    state = State.CONFIGURED
    for line in read_journal(folder.journal_file):
        match line.entry:
            case BlockStarted(phase=phase, block=block, attempt=attempt):
                attempts[phase, block] = max(attempts[phase, block], attempt)
            case BlockDone(aborted=False) as done:
                completed[done.phase, done.block] = done
            case StateChanged(state=state):
                pass
            case Excluded(again=again) as left_out:
                name = (left_out.phase, left_out.block)
                (skipped.discard if again else skipped.add)(name)
                if again:
                    completed.pop(name, None)
            case Exported(path=path):
                exported.add(Path(path).name)
            case Trained() as trained:
                pass
            case Retrained(bundle=bundle, sha256=sha256) if bundle:
                trained = Trained(bundle, sha256)
            case _:
                pass
    onsets = [*_shown(folder.onsets_file), *(o for each in segments for o in each.onsets)]
    for onset in onsets:
        name = (onset.phase, onset.block)
        attempts[name] = max(attempts[name], onset.attempt)
    return History(
        completed,
        frozenset(skipped),
        attempts,
        max((onset.seq + 1 for onset in onsets), default=0),
        trained,
        sum(segment.n_samples for segment in segments),
        sum(len(segment.onsets) for segment in segments),
        tuple(_unfiled(folder, segments, exported)),
        state is State.FINISHED,
        max((onset.time for onset in onsets), default=0.0),
    )


def _unfiled(
    folder: SessionFolder, segments: Sequence[Segment], exported: Collection[str]
) -> Iterator[str]:
    for segment in segments:
        task, number = SegmentName.of(segment.path).task, bids_run(folder, segment.path)
        run = f"_task-{task}_run-{number:02d}_"
        if segment.n_samples and not any(run in name for name in exported):
            yield str(segment.path)


def _shown(path: Path) -> list[Onset]:
    """Return what the presenter wrote down, without a last line that a crash cut off."""
    if not path.exists():
        return []
    try:
        return [msgspec.json.decode(line, type=Onset) for line in whole_lines(path).splitlines()]
    except msgspec.DecodeError as error:
        raise PhospheneError(f"{path}: {error}") from None
