"""Another decoder or preprocessing than a session's own, for commands on recorded sessions."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from phosphene.roles.catalogue import House
    from phosphene.settings import Settings

OtherDecoder = Annotated[
    str | None,
    typer.Option(
        "--decoder",
        help="Another decoder than the session's: NAME or '{NAME: {setting: value}}'.",
    ),
]
OtherPreprocessing = Annotated[
    str | None,
    typer.Option("--preprocessing", help="Another preset than the session's preprocessing."),
]


def other_settings(house: "House", decoder: str | None, preprocessing: str | None) -> "Settings":
    """Return a session's settings with another decoder or preprocessing."""
    from msgspec import structs

    from phosphene.choice import choose
    from phosphene.processing import read_preprocessing
    from phosphene.strict_yaml import read_yaml

    settings = house.settings
    if decoder is not None:
        value = read_yaml(decoder.encode(), "--decoder").value
        chosen = choose(house.registry, "decoder", value)
        settings = structs.replace(settings, decoder=chosen)
    if preprocessing is not None:
        stream, epochs = read_preprocessing(preprocessing, house.registry)
        settings = structs.replace(settings, stream=stream, epochs=epochs)
    return settings
