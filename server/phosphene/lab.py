"""What is the same for every session of a lab: asked once (``phosphene lab``), kept in a file."""

import os
from os import environ
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from phosphene.errors import SettingsError

NOT_SAID = "n/a"
Word = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\t\r\n]*$")]


class Lab(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Equipment and place, as BIDS wants them told; ``n/a`` where nobody said."""

    institution: Word = NOT_SAID
    address: Word = NOT_SAID
    department: Word = NOT_SAID
    manufacturer: Word = NOT_SAID
    """Of the amplifier."""
    model: Word = NOT_SAID
    """Of the amplifier."""
    cap_manufacturer: Word = NOT_SAID
    cap_model: Word = NOT_SAID
    reference: Word = NOT_SAID
    """Electrode or electrodes that the amplifier refers to."""
    ground: Word = NOT_SAID
    placement: Word = NOT_SAID
    """Where electrodes are, e.g. ``based on the extended 10/20 system``."""
    hardware_filters: Word = NOT_SAID
    power_line: Literal[50, 60] | None = None
    """In Hz."""

    @property
    def sidecar(self) -> dict[str, str]:
        """What BIDS calls those that it has no other source for."""
        return {
            "InstitutionName": self.institution,
            "InstitutionAddress": self.address,
            "InstitutionalDepartmentName": self.department,
            "ManufacturersModelName": self.model,
            "CapManufacturer": self.cap_manufacturer,
            "CapManufacturersModelName": self.cap_model,
            "HardwareFilters": self.hardware_filters,
        }


def lab_file() -> Path:
    """Return where a lab's settings are kept: ``PHOSPHENE_LAB``, or the user's configuration."""
    configuration = Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    return Path(environ.get("PHOSPHENE_LAB") or configuration / "phosphene" / "lab.json")


def read_lab(file: Path) -> Lab:
    """Return what a file says, or that nothing is known; ``SettingsError`` if it is damaged."""
    if not file.exists():
        return Lab()
    try:
        return msgspec.json.decode(file.read_bytes(), type=Lab)
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"{file}: not the settings of a lab: {error}") from None


def write_lab(lab: Lab, file: Path) -> None:
    """Write a lab's settings such that nobody ever sees half of them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(lab)) + b"\n")
    os.replace(draft, file)
