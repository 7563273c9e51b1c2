"""Onsets on the lab streaming layer, so that any LSL tool can record beside us.

No other file here imports pylsl.
"""

import logging
import socket
from time import perf_counter

import msgspec

from phosphene import Onset, PhospheneError

NAME = "Phosphene markers"
SAME_CLOCK = 0.001
"""Seconds by which LSL's clock may seem to differ from ours: the time between two readings."""

logger = logging.getLogger(__name__)


class Markers:
    """An LSL stream of type ``Markers``: one string by onset, the JSON of an ``Onset``.

    Raises ``PhospheneError`` if LSL's clock is not ours.
    """

    def __init__(self) -> None:
        import pylsl

        difference = pylsl.local_clock() - perf_counter()
        if abs(difference) > SAME_CLOCK:
            raise PhospheneError(f"LSL's clock differs from this program's by {difference:g} s")
        info = pylsl.StreamInfo(
            name=NAME,
            type="Markers",
            channel_count=1,
            nominal_srate=pylsl.IRREGULAR_RATE,
            channel_format=pylsl.cf_string,
            # The same after a restart, so that a recorder finds the stream again.
            source_id=f"phosphene-markers-{socket.gethostname()}",
        )
        self._outlet = pylsl.StreamOutlet(info)

    def push(self, onset: Onset) -> None:
        """Send an onset, stamped with its own time."""
        self._outlet.push_sample([msgspec.json.encode(onset).decode()], onset.time)


def open_markers() -> Markers | None:
    """Return the stream; None, and a line in the log, where LSL is not installed."""
    try:
        return Markers()
    except (ImportError, RuntimeError) as error:  # pylsl's own for a missing liblsl
        logger.warning("no LSL markers: %s", error)
        return None
