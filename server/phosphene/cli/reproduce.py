"""The paper's table from its published data: ``phosphene reproduce``."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console


def reproduce(
    what: Annotated[Literal["paper"], typer.Argument(help="paper: its Table 1 and Figure 3.")],
    data: Annotated[Path, typer.Option(help="The study that phosphene import wrote.")],
    split: Annotated[
        str,
        typer.Option(help="paper: by image, ten times; published: the one that was imported."),
    ] = "paper",
    decoders: Annotated[
        list[str] | None,
        typer.Option("--decoder", help="By default kd-stft, plain-stft and power-lr."),
    ] = None,
    cluster: Annotated[str, typer.Option(help="As in phosphene evaluate.")] = "local",
    jobs: Annotated[int | None, typer.Option(min=1, help="Local processes.")] = None,
) -> None:
    """Run the paper's decoders on all subjects, beside the published numbers.

    The design is nested: whatever comes out is confounded by design, and labelled so.
    """
    from phosphene.analysis.comparison import compare
    from phosphene.analysis.parallel import workers
    from phosphene.analysis.reproduction import DECODERS, entries, write_reproduction
    from phosphene.cli.show import Display
    from phosphene.messages import Progress

    console = Console()
    found, skipped = entries(data, decoders or DECODERS)
    with workers(cluster, jobs) as at_work, Display(console, what) as display:
        compared = compare(
            found, at_work, split, lambda done, text: display(Progress("reproduce", done, text))
        )
    file = write_reproduction(data, compared, split, skipped)
    for line in [*file.read_text(encoding="utf-8").splitlines(), f"files: {file.parent}"]:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
