"""Roles: plain objects that answer messages. They own no socket, no thread and no clock."""

from collections.abc import Sequence
from typing import Protocol

from phosphene.messages import Message

Outgoing = Sequence[tuple[str, Message]]
"""(recipient, message) pairs; recipients are role names, or ``decoders`` for all of them."""


class Role(Protocol):
    """What a process shell, or the loop of the virtual clock, drives."""

    def handle(self, message: Message) -> Outgoing:
        """Answer one message."""
        ...

    def poll(self, now: float) -> Outgoing:
        """Do what is due at ``now``, in seconds on the LSL clock."""
        ...

    @property
    def idle(self) -> bool:
        """Whether the role can be left alone without losing data."""
        ...

    def close(self) -> None:
        """Flush and let go of devices."""
        ...
