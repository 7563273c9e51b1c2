"""The settings of closed-loop feedback: what may be claimed, what is prepared, how fast it is."""

import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from phosphene.choice import Chosen, choose
from phosphene.conversion import FieldError, under
from phosphene.interfaces import GeneratorConfig
from phosphene.registry import Registry
from phosphene.session_file import Section

Fraction = Annotated[float, Meta(gt=0, le=1)]

_ENDPOINT = re.compile(r"tcp://(?P<host>\*|[A-Za-z0-9._-]+):(?P<port>\d+)")
MAX_PORT = 65535

DEBRIEF = (
    "In part of this session the pictures you saw were not answers to your own brain activity but "
    "to that recorded at another time, in a shuffled order. You had agreed that this may happen. "
    "It lets us tell what true feedback changes from what the pictures alone change. If you have "
    "questions, or want your data withdrawn, tell the experimenter."
)


class ClosedLoopSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How decodings become pictures.

    Budgets are fractions of the time from the last image's end to the picture.
    """

    classes: Annotated[int, Meta(ge=2)] | None = None
    """How many classes are chosen after training, by how well they were told apart; None for
    those that the paradigm names."""
    threshold: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Posterior probability that decides a trial, as soon as it is reached; without it there is
    no decision. None decides for the likeliest class after the last repetition."""
    override_gate: bool = False
    """Whether true feedback is given although it may not exceed chance; told on every page."""
    pool: Annotated[int, Meta(ge=0, le=50)] = 3
    """Pictures kept ready for each class."""
    review: bool = False
    """Whether the session waits for the operator to look at the pool before it is shown."""
    decoder_budget: Fraction = 0.4
    picture_budget: Fraction = 0.8
    failures: Annotated[int, Meta(ge=1)] = 3
    """Trials in a row without a picture, because decoder or generator failed, that pause it."""
    sham: Literal["never", "blocks", "session"] = "never"
    """Whether some blocks, or by the toss of a coin the session, are answered by the decodings of
    other trials."""
    consent: bool = False
    """Whether the subject has agreed to sham feedback."""
    debrief: str = DEBRIEF
    """What the subject is told after sham feedback."""
    retrain: Literal["never", "between-runs"] = "never"
    """Whether the decoder also learns from feedback runs."""

    def __post_init__(self) -> None:
        if self.sham != "never" and not self.consent:
            raise ValueError(
                "sham feedback needs the subject's consent; once it is given write 'consent: true'"
            )
        if self.decoder_budget > self.picture_budget:
            raise ValueError(
                f"decoder_budget is part of picture_budget: at most {self.picture_budget:g}; "
                f"found {self.decoder_budget:g}"
            )


class WorkerSettings(Struct, frozen=True):
    """A generator on another machine, and the door through which it comes in."""

    bind: str
    """Endpoint at which the server waits for it, e.g. ``tcp://192.168.0.2:5700``."""
    generator: Chosen[GeneratorConfig]
    """What it serves; its paths are those of that machine. While it is away, the session's own
    ``generator`` answers."""


def read_worker(value: object, registry: Registry, at: Section) -> WorkerSettings:
    """Return what the section ``worker`` says."""
    if not (isinstance(value, dict) and value.keys() == {"bind", "generator"}):
        raise FieldError((), f"expected 'bind' and 'generator', found {value!r}")
    try:
        bind = checked_endpoint(value["bind"])
    except ValueError as error:
        raise FieldError(("bind",), str(error)) from None
    with under("generator"):
        return WorkerSettings(bind, choose(registry, "generator", value["generator"], _elsewhere))


def checked_endpoint(value: object) -> str:
    """Return ``tcp://ADDRESS:PORT``; ``ValueError`` for anything else."""
    found = _ENDPOINT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"expected tcp://ADDRESS:PORT, found {value!r}")
    if not 1 <= int(found["port"]) <= MAX_PORT:
        raise ValueError(f"expected a port from 1 to {MAX_PORT}, found {found['port']}")
    if re.fullmatch(r"[\d.]+", found["host"]):
        IPv4Address(found["host"])  # Says itself what is wrong.
    return found[0]


def _elsewhere(text: str) -> Path:
    """Return a path of another machine, where nobody knows the folder of the session file."""
    path = Path(text)
    if not path.is_absolute():
        raise ValueError(f"a path on the worker's machine is absolute; found {text!r}")
    return path
