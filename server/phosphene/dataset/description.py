"""What a BIDS dataset says about itself: the files at the root of the study and of derivatives."""

import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from phosphene.errors import PhospheneError

BIDS_VERSION = "1.9.0"
"""What mne-bids declares; it warns about datasets that declare another."""
DERIVATIVES = Path("derivatives", "phosphene")
PARTICIPANT_FIELDS = ("participant_id", "age", "sex", "hand")
PARTICIPANTS = {
    "participant_id": {"Description": "Unique participant identifier"},
    "age": {"Description": "Age of the participant at time of testing", "Units": "years"},
    "sex": {
        "Description": "Sex of the participant",
        "Levels": {"F": "female", "M": "male", "O": "other"},
    },
    "hand": {
        "Description": "Handedness of the participant",
        "Levels": {"R": "right", "L": "left", "A": "ambidextrous"},
    },
}
README = """\
{name}
======

EEG recorded with Phosphene while images were shown.

- `sub-*`: the recordings as BIDS runs, unfiltered. A planned run that was interrupted is several
  BIDS runs; `planned_run`, `block`, `attempt` and `trial` in `events.tsv` say what belongs
  together, and `status` which attempts were completed.
- `sourcedata`: the same recordings as they were written, in XDF, with the stamps of the amplifier,
  the settings and the journal of each session.
- `derivatives/phosphene`: trained decoders, decodings, generated pictures, evaluations, reports.

The images themselves are not part of the dataset; `image` and `sha256` in `events.tsv` name them.

References
----------
Appelhoff, S., Sanderson, M., Brooks, T., Vliet, M., Quentin, R., Holdgraf, C., Chaumon, M.,
Mikulan, E., Tavabi, K., Höchenberger, R., Welke, D., Brunner, C., Rockhill, A., Larson, E.,
Gramfort, A. and Jas, M. (2019). MNE-BIDS: Organizing electrophysiological data into the BIDS
format and facilitating their analysis. Journal of Open Source Software 4: (1896).
https://doi.org/10.21105/joss.01896

Pernet, C. R., Appelhoff, S., Gorgolewski, K. J., Flandin, G., Phillips, C., Delorme, A.,
Oostenveld, R. (2019). EEG-BIDS, an extension to the brain imaging data structure for
electroencephalography. Scientific Data, 6, 103. https://doi.org/10.1038/s41597-019-0104-8
"""
DERIVATIVES_README = """\
Phosphene derivatives
=====================

By subject and session: `bundles` (trained decoders with everything needed to use them again),
`decodings.tsv`, `pictures` (each with how it was generated), `evaluation.json`, `report.html`.
`transfer.json`: how well each session's decoder did on the others.
"""


def describe_study(root: Path) -> None:
    """Write what is missing of the dataset's own files; what a person edited stays."""
    name = root.resolve().name
    generated = {"GeneratedBy": [{"Name": "Phosphene", "Version": version("phosphene")}]}
    common = {"Name": name, "BIDSVersion": BIDS_VERSION, **generated}
    raw = {**common, "DatasetType": "raw", "SourceDatasets": [{"URL": "bids::sourcedata"}]}
    derived = {**common, "DatasetType": "derivative", "SourceDatasets": [{"URL": "../.."}]}
    _write_new(root / "dataset_description.json", _json(raw))
    _write_new(root / DERIVATIVES / "dataset_description.json", _json(derived))
    _write_new(root / DERIVATIVES / "README.md", DERIVATIVES_README)
    # BIDS has no names for decoders and generated pictures.
    _write_new(root / DERIVATIVES / ".bidsignore", "sub-*/\ntransfer.json\n")
    _write_new(root / "participants.json", _json(PARTICIPANTS))
    _write_new(root / "participants.tsv", "\t".join(PARTICIPANT_FIELDS) + "\n")
    if not any(root.glob("README*")):
        _write_new(root / "README.md", README.format(name=name))


def add_participant(root: Path, subject: str, said: Mapping[str, str] = {}) -> None:
    """Add a subject's line unless there is one; in it, put what is ``said`` of the columns."""
    file, header, rows = _participants(root)
    names, participant = header.split("\t"), f"sub-{subject}"
    if participant not in map(_participant, rows):
        rows.append("\t".join([participant, *["n/a"] * (len(names) - 1)]))
    here = [_participant(row) for row in rows].index(participant)
    line = dict(zip(names, rows[here].split("\t"), strict=True))
    line |= {name: value for name, value in said.items() if name in line}
    rows[here] = "\t".join(line.values())
    _replace(file, "\n".join([header, *rows]) + "\n")


def write_private(file: Path, content: bytes) -> None:
    """Write a file that only its owner may read."""
    draft = file.with_name(f".{file.name}")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(content)
    os.replace(draft, file)


def remove_participant(root: Path, subject: str) -> None:
    """Remove a subject's line."""
    file, header, rows = _participants(root)
    kept = [row for row in rows if _participant(row) != f"sub-{subject}"]
    _replace(file, "\n".join([header, *kept]) + "\n")


def _participants(root: Path) -> tuple[Path, str, list[str]]:
    file = root / "participants.tsv"
    header, *rows = file.read_text(encoding="utf-8").splitlines()
    first = _participant(header)
    if first != "participant_id":
        raise PhospheneError(f"{file}: the first column must be participant_id; found {first}")
    return file, header, rows


def _participant(row: str) -> str:
    return row.split("\t", maxsplit=1)[0]


def _json(value: object) -> str:
    return json.dumps(value, indent=4, ensure_ascii=False) + "\n"


def _write_new(file: Path, text: str) -> None:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        _replace(file, text)


def _replace(file: Path, text: str) -> None:
    """Write a file such that nobody ever sees half of it."""
    draft = file.with_name(f".{file.name}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, file)
