"""Decode a recorded session again, as if live: ``phosphene replay``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from phosphene.cli.other import OtherDecoder, OtherPreprocessing, other_settings
from phosphene.errors import PhospheneError

if TYPE_CHECKING:
    from phosphene.messages import Decoded
    from phosphene.roles.catalogue import House
    from phosphene.settings import Settings


def replay(
    session: Annotated[Path, typer.Argument(help="The session's folder in sourcedata.")],
    decoder: OtherDecoder = None,
    preprocessing: OtherPreprocessing = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="A bundle that is there already.")
    ] = None,
) -> None:
    """Run a decoder over a session's feedback as if live.

    Without options it is the session's own, and what it decodes must be what was decoded live.
    """
    from phosphene.roles.catalogue import House

    house = House.of(session)
    if decoder is None and preprocessing is None and bundle is None:
        _check_parity(house)
        return
    settings = other_settings(house, decoder, preprocessing)
    _replay_other(house, settings, bundle)


def _check_parity(house: "House") -> None:
    from phosphene.replaying import TOLERANCE, compare, live_stretches, replay
    from phosphene.roles.decode import LiveDecoding

    console = Console()
    live: list[Decoded] = []
    again: list[Decoded] = []
    for stretch, bundle, decoded in live_stretches(house.folder):
        decoding = LiveDecoding(house.registry, house.context, house.settings.screen.lag)
        live += decoded
        again += replay(stretch, decoding, bundle)
    if not live:
        raise PhospheneError(f"{house.folder.path}: nothing was decoded live")
    found = compare(live, again)
    console.print(
        f"{found.n_same} of {found.n_live} decodings have the same epoch; "
        f"their probabilities differ by {found.largest:.2g} at most",
        highlight=False,
    )
    if not found.holds:
        raise PhospheneError(
            f"a replay must find what was found live, within {TOLERANCE:g}: other versions of "
            "plugins or libraries, or a damaged bundle?"
        )


def _replay_other(house: "House", settings: "Settings", bundle: Path | None) -> None:
    from phosphene import tasks
    from phosphene.cli.show import Display
    from phosphene.decodings import append_decoding
    from phosphene.replaying import replay, stretches
    from phosphene.roles.decode import LiveDecoding

    folder, console = house.folder, Console()
    wanted = stretches(folder)
    if not wanted:
        raise PhospheneError(f"{folder.path} has no feedback: nothing was decoded live")
    name = f"replay-{bundle.name if bundle else settings.decoder.name}"
    if bundle is None:
        with Display(console, folder.title) as display:
            context = house.reporting("train", display)
            bundle = Path(tasks.fit(settings, context, str(folder.path), name).bundle)
    table = folder.decodings_of(name)
    table.unlink(missing_ok=True)
    found: list[Decoded] = []
    for stretch in wanted:
        decoding = LiveDecoding(house.registry, house.context, settings.screen.lag, name)
        for each in replay(stretch, decoding, bundle):
            append_decoding(table, each)
            found.append(each)
    console.print(_told(found), highlight=False)
    console.print(f"decodings: {table}", soft_wrap=True, highlight=False)


def _told(found: "list[Decoded]") -> str:
    decoded = [each for each in found if each.probabilities]
    right = sum(
        each.classes[each.probabilities.index(max(each.probabilities))] == each.onset.wnid
        for each in decoded
    )
    classes = {each.onset.wnid for each in decoded}
    return (
        f"{right} of {len(decoded)} images of {len(classes)} classes decoded correctly, attempts "
        f"that do not count included; {len(found) - len(decoded)} rejected"
    )
