"""What stands between the signal and a decoder: epochs and their steps; shadows with their own."""

from typing import Any

from msgspec import Struct, structs

from phosphene.choice import Chosen, choose, choose_steps
from phosphene.conversion import FieldError, convert, under
from phosphene.errors import SettingsError
from phosphene.interfaces import DecoderConfig, EpochStepConfig, StreamStepConfig
from phosphene.registry import Registry
from phosphene.rejection import RejectSettings
from phosphene.session_file import Section, preprocessing
from phosphene.suggestions import choices

Stream = tuple[Chosen[StreamStepConfig], ...]


class EpochSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How epochs are cut and what is done to them."""

    tmin: float
    """Seconds from onset to the first sample."""
    tmax: float
    """Seconds from onset to the end of the epoch (exclusive)."""
    steps: tuple[Chosen[EpochStepConfig], ...] = ()
    reject: RejectSettings | None = None
    """Which epochs are neither learnt from nor decoded; None for none."""

    def __post_init__(self) -> None:
        if not self.tmin < self.tmax:
            raise ValueError(f"tmax must be above tmin; found {self.tmin} to {self.tmax} s")


class ShadowSettings(Struct, frozen=True):
    """A decoder that runs beside the one that drives feedback."""

    decoder: Chosen[DecoderConfig]
    stream: Stream | None = None
    """None for the session's own."""
    epochs: EpochSettings | None = None
    """None for the session's own."""

    @property
    def plugins(self) -> tuple[Chosen[Any], ...]:
        """Every plugin that it has for itself."""
        return (self.decoder, *(self.stream or ()), *(self.epochs.steps if self.epochs else ()))


def read_stream(value: object, registry: Registry, at: Section) -> Stream:
    """Return the stream steps that a list chooses."""
    return choose_steps(registry, value, StreamStepConfig, at.existing_path)


def read_epochs(value: object, registry: Registry, at: Section) -> EpochSettings:
    """Return what the section ``epochs`` says."""
    given = dict(value) if isinstance(value, dict) else value
    steps = given.pop("steps", []) if isinstance(given, dict) else []
    epochs = convert(given, EpochSettings)
    with under("steps"):
        return structs.replace(
            epochs, steps=choose_steps(registry, steps, EpochStepConfig, at.existing_path)
        )


def read_preprocessing(name: str, registry: Registry) -> tuple[Stream, EpochSettings]:
    """Return the steps and epochs of a preprocessing preset."""
    sections = preprocessing(name)
    stream, epochs = sections["stream"], sections["epochs"]
    return read_stream(stream.value, registry, stream), read_epochs(epochs.value, registry, epochs)


def read_shadows(value: object, registry: Registry, at: Section) -> tuple[ShadowSettings, ...]:
    """Return the shadows of a list: decoders, or decoders with a preprocessing of their own."""
    if not isinstance(value, list):
        raise FieldError((), f"expected a list of decoders, found {value!r}")
    shadows = []
    for index, each in enumerate(value):
        with under(index):
            shadows.append(_shadow(each, registry, at))
    return tuple(shadows)


def _shadow(value: object, registry: Registry, at: Section) -> ShadowSettings:
    own = {"decoder", "preprocessing", "stream", "epochs"}
    given = value if isinstance(value, dict) and own & value.keys() else {"decoder": value}
    if "decoder" not in given:
        raise FieldError((), "'decoder' is missing; expected {decoder: ..., preprocessing: NAME}")
    given = _preprocessed(given)
    for name in given:
        if name not in ("decoder", "stream", "epochs"):
            known = ("decoder", "preprocessing", "stream", "epochs")
            raise FieldError((name,), f"unknown key{choices(str(name), known)}")
    with under("decoder"):
        decoder = choose(registry, "decoder", given["decoder"], at.existing_path)
    shadow = ShadowSettings(decoder)
    if (stream := given.get("stream")) is not None:
        with under("stream"):
            shadow = structs.replace(shadow, stream=read_stream(stream, registry, at))
    if (epochs := given.get("epochs")) is not None:
        with under("epochs"):
            shadow = structs.replace(shadow, epochs=read_epochs(epochs, registry, at))
    return shadow


def _preprocessed(given: dict[str, Any]) -> dict[str, Any]:
    """Put what ``preprocessing: NAME`` stands for in its place."""
    if "preprocessing" not in given:
        return given
    for name in ("stream", "epochs"):
        if name in given:
            raise FieldError((name,), "give either this or 'preprocessing', not both")
    rest = {name: each for name, each in given.items() if name != "preprocessing"}
    try:
        sections = preprocessing(given["preprocessing"])
    except SettingsError as error:
        raise FieldError(("preprocessing",), str(error)) from None
    return rest | {name: section.value for name, section in sections.items()}
