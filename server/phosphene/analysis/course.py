"""What happened in a session: planned, shown and recorded, from plan, journal and files."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phosphene.continuity import Fault
from phosphene.dataset.onset_evidence import onset_evidence
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import Segment, read_segment
from phosphene.errors import PhospheneError
from phosphene.events import Block, Onset
from phosphene.interfaces import Context
from phosphene.journal import (
    BlockKey,
    Entry,
    Excluded,
    Noted,
    Resumed,
    StateChanged,
    block_key,
    read_journal,
    set_aside,
)
from phosphene.messages import BlockDone, Phase
from phosphene.plan import Plan, make_plan
from phosphene.recording import RecordingSettings
from phosphene.settings import Settings
from phosphene.signals import SignalSpec
from phosphene.training import block_of


@dataclass(frozen=True)
class PhaseCourse:
    """One phase: what was planned, and what is on disk."""

    phase: str
    task: str
    planned: tuple[Block, ...]
    recordings: tuple[Segment, ...]
    aborted: Collection[BlockKey]
    ended: tuple[BlockDone, ...]

    @property
    def n_planned(self) -> int:
        """Trials of the plan."""
        return sum(len(block.trials) for block in self.planned)

    @cached_property
    def onsets(self) -> tuple[Onset, ...]:
        """Every onset on disk."""
        return tuple(onset for recording in self.recordings for onset in recording.onsets)

    @property
    def n_blocks(self) -> int:
        """Blocks that count."""
        return sum(block_key(done) not in self.aborted for done in self.ended)

    def counts(self, onset: Onset) -> bool:
        """Return whether it is an image of a complete block."""
        return onset.event == "stimulus" and block_of(onset) not in self.aborted

    @cached_property
    def stimuli(self) -> tuple[Onset, ...]:
        """The images of complete blocks: the trials that count."""
        return tuple(filter(self.counts, self.onsets))

    @property
    def n_aborted(self) -> int:
        """Trials of interrupted blocks: on disk, and not used."""
        return self._on_disk.total() - len(self.stimuli)

    @property
    def n_lost(self) -> int:
        """Trials that the screen showed and whose onsets are not on disk."""
        return sum(
            done.n_trials - self._on_disk[(done.phase, done.run, done.block, done.attempt)]
            for done in self.ended
        )

    @cached_property
    def _on_disk(self) -> Counter[BlockKey]:
        """Images by attempt at a block."""
        return Counter(block_of(onset) for onset in self.onsets if onset.event == "stimulus")

    @property
    def seconds(self) -> float:
        """Seconds of EEG on disk."""
        return sum(each.n_samples / each.spec.sfreq for each in self.recordings)

    @property
    def late_frames(self) -> int:
        """Screen frames that were missed."""
        return sum(onset.late_frames for onset in self.onsets)

    @property
    def lateness(self) -> NDArray[np.float64]:
        """Seconds from planned to actual flip, by image of a complete block."""
        return np.array([onset.time - onset.planned for onset in self.stimuli])

    def light_lags(self, photodiode: str) -> NDArray[np.float64]:
        """Return the seconds from flip to light, by image that a photodiode saw."""
        channels = RecordingSettings(photodiode=photodiode)
        seen = [
            evidence
            for recording in self.recordings
            for evidence in onset_evidence(recording, 0.0, channels).by_seq.values()
        ]
        return np.array(
            [
                each.photodiode - each.onset.time
                for each in seen
                if each.photodiode is not None and self.counts(each.onset)
            ]
        )

    @property
    def interval_errors(self) -> NDArray[np.float64]:
        """Seconds by which the time between two images of a block misses the plan."""
        pairs = zip(self.stimuli, self.stimuli[1:], strict=False)
        return np.array(
            [
                (second.time - first.time) - (second.planned - first.planned)
                for first, second in pairs
                if block_of(first) == block_of(second)
            ]
        )


@dataclass(frozen=True)
class Course:
    """A session, as far as it went."""

    phases: tuple[PhaseCourse, ...]
    spec: SignalSpec
    incidents: tuple[str, ...]
    """Why it was paused or failed, in order."""
    notes: tuple[str, ...] = ()
    """The operator's, each with its time."""

    def phase(self, name: str) -> PhaseCourse | None:
        """Return a phase by name; None if nothing of it was recorded."""
        return next((phase for phase in self.phases if phase.phase == name), None)


def read_course(folder: SessionFolder, settings: Settings, context: Context) -> Course:
    """Return what happened; ``PhospheneError`` if nothing was recorded or a file is damaged."""
    plan = make_plan(settings, context)
    phases = [_phase(folder, plan, phase) for phase in plan.blocks]
    recorded = tuple(phase for phase in phases if phase.recordings)
    if not recorded:
        raise PhospheneError(f"{folder.path}: nothing was recorded; there is nothing to report")
    entries = [line.entry for line in read_journal(folder.journal_file)]
    incidents = tuple(dict.fromkeys(filter(None, map(_incident, entries))))
    return Course(recorded, recorded[0].recordings[0].spec, incidents, _notes(folder))


def _notes(folder: SessionFolder) -> tuple[str, ...]:
    return tuple(
        f"{line.written:%H:%M:%S} UTC: {line.entry.text}"
        for line in read_journal(folder.journal_file)
        if isinstance(line.entry, Noted)
    )


def _incident(entry: Entry) -> str:
    match entry:
        case StateChanged(reason=reason):
            return reason
        case Resumed(n_blocks=n_blocks):
            return f"the server ended, and was started again when {n_blocks} blocks were complete"
        case Excluded():
            block = f"block {entry.block} of {entry.phase}, attempt {entry.attempt}"
            return f"{block}, does not count: {entry.reason}"
        case Fault():
            return f"the signal had {entry.words}" if entry.is_break else ""
        case _:
            return ""


def _phase(folder: SessionFolder, plan: Plan, phase: Phase) -> PhaseCourse:
    entries = [line.entry for line in read_journal(folder.journal_file)]
    return PhaseCourse(
        phase,
        plan.tasks[phase],
        plan.blocks[phase],
        tuple(read_segment(path) for path in folder.segments(phase)),
        set_aside(folder.journal_file),
        tuple(each for each in entries if isinstance(each, BlockDone) and each.phase == phase),
    )
