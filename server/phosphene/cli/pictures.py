"""How alike pictures and images are: ``phosphene evaluate-pictures``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def evaluate_pictures(
    session: Annotated[Path, typer.Argument(help="The session's folder in sourcedata.")],
    encoder: Annotated[
        str,
        typer.Option(
            help="Compares images: '{clip: {checkpoint: FOLDER}}', '{clip: {model: ViT-L-14, "
            "pretrained: openai}}', or the built-in stand-in for CLIP."
        ),
    ] = "descriptor",
    unblind: Annotated[
        bool,
        typer.Option(
            "--unblind", help="Open the seal of a session with sham feedback; kept on record."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the pictures that a session showed with the images that were seen.

    What is found is kept beside the session's table of trials, and in its report from the next
    time that it is drawn.
    This is not decoding accuracy: pictures of the decoded class measure the classifier and the
    generator together.
    """
    import msgspec

    from phosphene.analysis import picture_evaluation
    from phosphene.analysis.feedback import record_unblinding
    from phosphene.choice import choose
    from phosphene.cli.show import Display
    from phosphene.roles.catalogue import House
    from phosphene.strict_yaml import read_yaml

    house = House.of(session)
    given = read_yaml(encoder.encode(), "--encoder").value
    chosen = choose(house.registry, "image_encoder", given)
    if unblind:
        record_unblinding(house.folder, "phosphene evaluate-pictures")
    console = Console(stderr=as_json)
    with Display(console, house.folder.title) as display:
        context = house.reporting("evaluate-pictures", display)
        found = picture_evaluation.evaluate_pictures(house.folder, chosen, context, unblind=unblind)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    again = f"phosphene report {session}{' --unblind' * unblind}"
    for line in [*picture_evaluation.describe(found), f"to have it in the report: {again}"]:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
