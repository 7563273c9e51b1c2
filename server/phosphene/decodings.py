"""The table of decoded trials, one line a trial, written as they come."""

import csv
from pathlib import Path

from phosphene.messages import Decoded

NOTHING = "n/a"
"""What stands in a table, as BIDS wants it, for the decoding of a trial that was rejected."""
FIELDS = ("phase", "run", "block", "attempt", "trial", "repetition", "wnid", "image")


def append_decoding(path: Path, decoded: Decoded) -> None:
    """Add one trial to a TSV file; the first one writes the header.

    Columns: the trial, ``onset``, ``decoded`` and ``latency`` (both since onset) in
    seconds, ``processing`` (seconds since the epoch's last sample was received), ``segment``,
    ``joined`` and ``first_sample`` (so that a replay cuts the same epoch), why it was ``rejected``,
    and a probability for each wnid; ``n/a`` where it was rejected.
    """
    onset = decoded.onset
    row = {name: getattr(onset, name) for name in FIELDS} | {
        "onset": onset.time,
        "decoded": decoded.decoded,
        "latency": decoded.decoded - onset.time,
        "processing": decoded.decoded - decoded.received,
        "segment": Path(decoded.segment).name,
        "joined": decoded.joined,
        "first_sample": decoded.first_sample,
        "rejected": decoded.rejected or NOTHING,
        **dict.fromkeys(decoded.classes, NOTHING),
        **dict(zip(decoded.classes, decoded.probabilities, strict=not decoded.rejected)),
    }
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row, delimiter="\t", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
