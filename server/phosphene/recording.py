"""What is asked of a recording: channels that tell of onsets, how much of a block may be lost."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from phosphene.errors import PhospheneError
from phosphene.messages import BlockDone
from phosphene.signals import SignalSpec


class RecordingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a block's signal may be lost before the block is shown again."""

    max_gap: Annotated[float, Meta(gt=0)] = 0.5
    """Seconds of the longest gap."""
    max_lost: Annotated[float, Meta(ge=0, le=1)] = 0.1
    """Share of the block's images whose EEG cannot be used."""
    photodiode: str | None = None
    """Channel that sees a light on the screen, to tell when stimuli appeared; or stream of markers
    that tell of it."""
    trigger: str | None = None
    """Channel that shows the triggers that the amplifier received; or stream of markers."""


def check_channels(
    specs: Sequence[SignalSpec], markers: Sequence[str], settings: RecordingSettings
) -> None:
    """Raise ``PhospheneError`` unless what tells of onsets exists, and is no EEG."""
    channels = [each for spec in specs for each in zip(spec.channels, spec.types, strict=True)]
    others = [*(name for name, kind in channels if kind != "eeg"), *markers]
    for field in ("photodiode", "trigger"):
        if (name := getattr(settings, field)) not in (None, *others):
            known = ", ".join(others) or "none"
            raise PhospheneError(
                f"recording.{field}: {name!r} is neither a channel of the amplifier, other than "
                "EEG, nor a stream of markers; "
                f"those are: {known}"
            )


def lost_signal(done: BlockDone, limits: RecordingSettings) -> str:
    """Say whether too much of the signal of a block was lost."""
    if done.gap > limits.max_gap:
        return f"the EEG has a gap of {done.gap:.3f} s"
    if done.lost > limits.max_lost:
        return f"the EEG of {done.lost:.0%} of the images cannot be used"
    return ""
