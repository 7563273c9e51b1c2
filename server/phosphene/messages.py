"""Everything that travels between processes: frozen tagged structs.

``docs/protocol.md`` describes them for people who do not read Python. Arrays are fields of type
``numpy.ndarray``; the wire carries them as raw frames.
"""

from math import nan
from typing import Any, Literal

import msgspec
import numpy as np

from phosphene.continuity import Fault
from phosphene.events import Block, Onset
from phosphene.signals import SignalSpec
from phosphene.states import State

PROTOCOL = 1
"""Version of the wire protocol; changes when an old peer would misunderstand a new one."""

Phase = Literal["record", "feedback"]

DRIVER = "decoder"
"""The role whose decodings become pictures."""
_SHADOW = "shadow-"


def shadow_role(number: int) -> str:
    """Return the role of a shadow; they are counted from 1, in the order of the session file."""
    return f"{_SHADOW}{number}"


def shadow_number(role: str) -> int:
    """Return which shadow a role is; 0 if it is none."""
    return int(role.removeprefix(_SHADOW)) if role.startswith(_SHADOW) else 0


SEALED = "sealed"
"""What a picture's class is called where knowing it would tell true feedback from sham."""


def is_decoder(role: str) -> bool:
    """Return whether a role decodes the running signal: the driver or a shadow."""
    return role == DRIVER or shadow_number(role) > 0


class _Message(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    pass


# Commands: a client asks, the server answers each with a Reply.


class Start(_Message, frozen=True):
    """Begin the session."""


class Pause(_Message, frozen=True):
    """Stop at the next trial boundary; the interrupted block will be repeated."""


class Resume(_Message, frozen=True):
    """Go on after a pause."""


class Stop(_Message, frozen=True):
    """End the session now; everything recorded so far is filed."""

    reason: str = "stopped by the operator"


class Note(_Message, frozen=True):
    """Write into the data, at this moment, what the operator saw."""

    text: str


class Redo(_Message, frozen=True):
    """Let a run of the phase that is being recorded not count, and record it again."""

    run: int
    reason: str


class Exclude(_Message, frozen=True):
    """Let a run of the phase that is being recorded not count; what is left of it is not shown."""

    run: int
    reason: str


class GetStatus(_Message, frozen=True):
    """Ask where the session is."""


class Reply(_Message, frozen=True):
    """The answer to a command."""

    ok: bool
    text: str = ""
    """Why not, if not ``ok``."""


class Status(_Message, frozen=True):
    """The answer to ``GetStatus``, and published whenever something in it changes."""

    state: State
    subject: str
    session: str
    phase: str = ""
    run: int = 0
    block: int = 0
    blocks_done: int = 0
    blocks_total: int = 0
    trials_shown: int = 0
    n_samples: int = 0
    """EEG samples on disk."""
    n_markers: int = 0
    """Onsets on disk."""
    seconds_left: float = 0.0
    """Planned stimulation and pauses still to come; training is not in it."""
    problem: str = ""
    """Why the session failed, or what the operator should look at."""
    folder: str = ""
    """The session's folder in ``sourcedata``."""
    fallbacks: int = 0
    """Feedback trials that ended without a picture because decoder or generator failed them."""
    pictures: int = 0
    """Pictures that wait to be shown."""


# Between the server and its children.


class Hello(_Message, frozen=True):
    """A child has started."""

    role: str


class Prepare(_Message, frozen=True):
    """The first message to a child: check the device or screen, then say ``Ready``."""


class Peers(_Message, frozen=True):
    """Where acquisition listens; for the shells of its neighbours, never seen by a role."""

    endpoints: dict[str, str]
    """``onsets`` (ROUTER) and ``samples`` (PUB)."""


class Ready(_Message, frozen=True):
    """A child has checked its device or screen."""

    role: str
    spec: SignalSpec | None = None
    """From acquisition: what the source delivers."""
    beside: tuple[SignalSpec, ...] = ()
    """From acquisition: what it delivers beside the EEG."""
    markers: tuple[str, ...] = ()
    """From acquisition: streams without a rate, by name."""
    refresh_rate: float = 0.0
    """From the presenter: in Hz."""
    endpoints: dict[str, str] = {}
    """From acquisition's shell: see ``Peers``."""
    problem: str = ""
    """What is wrong, and does not keep it from working."""


class Alive(_Message, frozen=True):
    """Heartbeat of a child, twice a second."""

    role: str


class Failed(_Message, frozen=True):
    """A child cannot go on; the text is for the operator."""

    role: str
    text: str


class Channels(_Message, frozen=True):
    """How the channels of the running signal are, once a second."""

    time: float
    """Seconds on the LSL clock of the newest sample."""
    bad: dict[str, str]
    """What is wrong, by name of the channel; the others are well."""
    impedances: dict[str, float] = {}
    """In ohms, by electrode, where the amplifier measures them."""


class Progress(_Message, frozen=True):
    """How far a long task is."""

    task: str
    fraction: float
    text: str = ""


class Quit(_Message, frozen=True):
    """Tell a child to flush and exit."""


class OpenSegment(_Message, frozen=True):
    """Tell acquisition to record into a new file."""

    phase: Phase
    run: int
    path: str


class SegmentOpen(_Message, frozen=True):
    """The file exists and samples arrive in it."""

    path: str


class CloseSegment(_Message, frozen=True):
    """Tell acquisition to finish the file."""


class SegmentClosed(_Message, frozen=True):
    """The file is complete."""

    phase: Phase
    run: int
    path: str
    n_samples: int
    n_markers: int
    rate: float = 0.0
    """Measured, in Hz; 0 if the recording is too short for that."""


class Recording(_Message, frozen=True):
    """From acquisition twice a second: what is on disk."""

    n_samples: int
    n_markers: int
    n_bytes: int
    last_sample: float
    """Seconds on the LSL clock of the newest sample; the signal is alive while this moves."""
    rate: float = 0.0
    """Measured, in Hz; 0 before that is possible."""


class Silence(_Message, frozen=True):
    """From acquisition: samples have ceased to come."""

    since: float
    """Seconds on the LSL clock when the newest one came, whatever its stamp."""
    n_samples: int
    """On disk: the silence is over when there are more."""


class RunBlock(_Message, frozen=True):
    """Tell the presenter what to show."""

    phase: Phase
    block: Block
    attempt: int
    not_before: float
    """Seconds on the LSL clock of the first trial; as soon as possible if that has passed."""
    first_seq: int
    """Sequence number of the block's first onset."""


class AbortBlock(_Message, frozen=True):
    """Tell the presenter to stop at the next trial boundary."""


class BlockStarted(_Message, frozen=True):
    """The first trial is on the screen."""

    phase: Phase
    run: int
    block: int
    attempt: int
    time: float


class BlockDone(_Message, frozen=True):
    """A block ended, and acquisition has confirmed every onset of it on disk."""

    phase: Phase
    run: int
    block: int
    attempt: int
    end: float
    """Seconds on the LSL clock when the last trial left the screen."""
    n_trials: int
    """Trials shown; all of them unless ``aborted``."""
    next_seq: int
    late_frames: int
    aborted: bool
    gap: float = 0.0
    """Seconds of the longest break of its signal."""
    lost: float = 0.0
    """Share of its images whose EEG cannot be used."""


# Between presenter and acquisition (onsets also go on to the decoders, behind the samples).


class EndOfBlock(_Message, frozen=True):
    """Ask acquisition which of the block's onsets it lacks."""

    first_seq: int
    next_seq: int


class Missing(_Message, frozen=True):
    """Onsets to send again; empty when the block is complete on disk."""

    seqs: tuple[int, ...]
    first_seq: int
    gap: float = 0.0
    lost: float = 0.0
    """What was lost of the block's signal: see ``BlockDone``."""


# From acquisition to decoders.


class Samples(_Message, frozen=True):
    """One chunk of a segment."""

    segment: str
    """Path of the file it was recorded in."""
    first: int
    """Index of the first sample in the segment; a jump is a gap."""
    data: np.ndarray
    """(n_channels, n_times) float32 V."""
    stamps: np.ndarray
    """(n_times,) float64 seconds on the amplifier's clock."""
    offset: float
    """Added to the stamps gives seconds on the LSL clock."""
    received: float
    """Seconds on the LSL clock when acquisition had them."""


# Decoding and feedback.


class Train(_Message, frozen=True):
    """Tell the trainer to fit the session's decoder."""

    session: str
    """The session's folder."""


class Interrupt(_Message, frozen=True):
    """Tell the trainer to end with the best so far; it travels as SIGINT, because it is busy."""


class Trained(_Message, frozen=True):
    """A bundle is on disk."""

    bundle: str
    sha256: str
    audits: tuple[str, ...] = ()
    """What the audits of the recording say, in words; empty if another decoder was audited."""


class Follow(_Message, frozen=True):
    """Tell a shadow to fit its own decoder, and then to decode what the driver decodes."""

    session: str
    """The session's folder."""
    spec: SignalSpec


class Following(_Message, frozen=True):
    """A shadow's decoder is fitted, loaded and fits the signal."""

    role: str
    bundle: str
    sha256: str
    classes: tuple[str, ...]


class LoadDecoder(_Message, frozen=True):
    """Tell a decoder which bundle to use, and on what signal."""

    bundle: str
    spec: SignalSpec
    sha256: str = ""
    """What the bundle's files must hash to; "" for a bundle that the operator named."""


class DecoderReady(_Message, frozen=True):
    """The bundle is loaded and fits the signal."""

    sha256: str
    classes: tuple[str, ...]


class Decoded(_Message, frozen=True):
    """One trial decoded, or rejected because of an artefact."""

    onset: Onset
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    """By class; empty if the epoch was rejected."""
    segment: str
    first_sample: int
    """Index of the epoch's first sample, counted from ``joined`` in samples that have passed the
    stream steps, so that a replay cuts the same."""
    decoded: float
    """Seconds on the LSL clock when the probabilities were known."""
    received: float = nan
    """Seconds on the LSL clock when acquisition had the newest sample that was known: the last
    one of the epoch, unless its onset came even later."""
    role: str = DRIVER
    """Who decoded it: only the driver's decodings become pictures."""
    cut: float | None = None
    """Seconds on the LSL clock when the epoch was complete; None in early journals."""
    joined: int = 0
    """Index in the segment of the first raw sample that the decoder saw: a replay begins there."""
    embedding: tuple[float, ...] = ()
    """Of the epoch, if the decoder has one; not journalled."""
    space: str = ""
    """Name of the embedding's space."""
    rejected: str = ""
    """Why the epoch was rejected, if it was."""


class MakePicture(_Message, frozen=True):
    """Tell the generator to make a picture: for a trial, or of a class ahead of time."""

    id: str
    """Names the picture from now on; the file name of its PNG."""
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    seed: int
    urgent: bool = False
    """Whether a subject waits for it; of several such only the newest is made."""
    embedding: tuple[float, ...] = ()
    space: str = ""


class PictureMade(_Message, frozen=True):
    """A picture: from the generator to the server, and on to the presenter, which keeps it."""

    id: str
    wnid: str
    """The class it was made for; ``SEALED`` where the operator must not know."""
    sha256: str
    """Of the pixels."""
    pixels: np.ndarray
    """(height, width, 3) uint8 sRGB."""
    provenance: dict[str, str | int | float]
    """Prompt, seed, model, steps: whatever is needed to make it again."""
    started: float
    generated: float
    """Seconds on the LSL clock when its making began and ended."""


class PictureFailed(_Message, frozen=True):
    """The generator could not make a picture, and goes on."""

    id: str
    text: str


class DropPicture(_Message, frozen=True):
    """Tell the presenter to forget a picture that will never be shown."""

    id: str


class Serve(_Message, frozen=True):
    """Tell a generator on another machine what to build; it answers ``Ready``."""

    generator: dict[str, Any]
    """What the session file chooses, with every setting: ``{name: {setting: value}}``."""
    classes: dict[str, str]
    """wnid -> human name; images do not travel."""
    seed: int


class ShowPicture(_Message, frozen=True):
    """The answer to one trial: a picture that the presenter keeps. It ends the repetitions."""

    phase: Phase
    run: int
    block: int
    attempt: int
    trial: int
    id: str


class Restart(_Message, frozen=True):
    """Tell the server to end a worker that hangs; its failure is then told as any other."""


# What feedback may claim.


class Verdict(_Message, frozen=True):
    """What the evidence of one trial came to."""

    wnid: str
    """The class decided for; "" for no decision."""
    repetitions: int
    """Images whose decodings it rests on."""
    posterior: tuple[float, ...]
    """By class, in the order of the feedback's classes."""


class Assess(_Message, frozen=True):
    """Ask the trainer what feedback with a bundle can be expected to get right."""

    session: str
    """The session's folder."""
    bundle: str


class Prospect(_Message, frozen=True):
    """What feedback can be expected to get right, from decodings of trials not trained on."""

    classes: tuple[str, ...]
    """wnids that feedback should use."""
    repetitions: int
    n_decided: int
    """Simulated trials in which there was a decision."""
    n_correct: int
    n_trials: int
    """Simulated trials, none of which shares a decoding with another."""
    chance: float
    low: float
    """Lower end of the interval of the accuracy among decided trials."""
    high: float
    refusal: str = ""
    """Why true feedback must not be given, in words; "" if it may."""
    label: str = ""
    """What must stand beside the accuracy: a design that confounds it."""
    donors: tuple[Verdict, ...] = ()
    """Verdicts of the simulated trials, for trials that are answered by another one's."""


class Retrain(_Message, frozen=True):
    """Ask the trainer for a decoder that has also seen the feedback runs."""

    session: str
    """The session's folder."""
    bundle: str
    """The one in use."""
    run: int
    """The newest feedback run: old and new are compared on it."""


class Retrained(_Message, frozen=True):
    """The comparison of the old decoder and the new one on a run that neither had seen."""

    run: int
    old: float
    """Accuracy of the bundle in use."""
    new: float
    """Accuracy of the same settings fitted on everything but the newest run."""
    n_trials: int
    bundle: str = ""
    """The one to use from now on, fitted on the newest run too; "" to keep the old one."""
    sha256: str = ""
    text: str = ""
    """What was found, in words."""


# The pictures that wait to be shown.


class GetPool(_Message, frozen=True):
    """Ask which pictures wait to be shown."""


class Pool(_Message, frozen=True):
    """The answer to ``GetPool``: wnid by picture id, in the order in which they were made."""

    pictures: dict[str, str]
    folder: str
    """Where their PNG files are, each named after its id."""


class RejectPicture(_Message, frozen=True):
    """Take a picture out of the pool; another one is made in its place."""

    id: str


# One-shot tasks.


class Export(_Message, frozen=True):
    """Tell the exporter to make a BIDS run of a recorded segment."""

    path: str


class Exported(_Message, frozen=True):
    """The BIDS run is written."""

    path: str
    remarks: tuple[str, ...] = ()
    """What somebody should look at: triggers that are missing, light that is late."""


class WriteReport(_Message, frozen=True):
    """Tell the reporter to evaluate the session and write its report."""

    session: str


class Reported(_Message, frozen=True):
    """The report is written."""

    path: str


Order = Start | Pause | Resume | Stop | Note | Redo | Exclude
Command = Order | GetStatus | GetPool | RejectPicture

Message = (
    Command
    | Reply
    | Status
    | Hello
    | Prepare
    | Peers
    | Ready
    | Alive
    | Failed
    | Progress
    | Channels
    | Fault
    | Silence
    | Quit
    | OpenSegment
    | SegmentOpen
    | CloseSegment
    | SegmentClosed
    | Recording
    | RunBlock
    | AbortBlock
    | BlockStarted
    | BlockDone
    | Onset
    | EndOfBlock
    | Missing
    | Samples
    | Train
    | Interrupt
    | Trained
    | Follow
    | Following
    | LoadDecoder
    | DecoderReady
    | Decoded
    | MakePicture
    | PictureMade
    | PictureFailed
    | DropPicture
    | Serve
    | ShowPicture
    | Restart
    | Verdict
    | Assess
    | Prospect
    | Retrain
    | Retrained
    | Pool
    | Export
    | Exported
    | WriteReport
    | Reported
)
