"""The command ``phosphene``.

A command is a module of its own here and one line below. These modules import nothing heavy at
the top, so that ``phosphene --help`` answers at once.
"""

from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from phosphene.cli import config, control, keys, plugins, pool, worker
from phosphene.cli.aside import exclude, redo
from phosphene.cli.audit import audit
from phosphene.cli.demo import demo
from phosphene.cli.evaluate import evaluate
from phosphene.cli.gallery import gallery
from phosphene.cli.importing import import_dataset
from phosphene.cli.lab import lab
from phosphene.cli.participant import participant
from phosphene.cli.pictures import evaluate_pictures
from phosphene.cli.plan import plan
from phosphene.cli.prospect import prospect
from phosphene.cli.recover import recover
from phosphene.cli.replay import replay
from phosphene.cli.report import report
from phosphene.cli.reproduce import reproduce
from phosphene.cli.run import run
from phosphene.cli.server import server
from phosphene.cli.train import train
from phosphene.cli.withdraw import withdraw
from phosphene.errors import PhospheneError, SettingsError

BAD_INPUT = 2
"""Exit status for what the person at the keyboard can put right; typer's own is the same."""
FAILURE = 1
"""Exit status for what went wrong on the way."""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(demo)
app.command()(run)
app.command()(server)
app.command()(control.status)
app.command()(control.start)
app.command()(control.pause)
app.command()(control.resume)
app.command()(control.stop)
app.command()(control.note)
app.command()(redo)
app.command()(exclude)
app.command()(lab)
app.command()(participant)
app.command("import")(import_dataset)
app.command()(reproduce)
app.command()(train)
app.command()(evaluate)
app.command()(audit)
app.command()(evaluate_pictures)
app.command()(plan)
app.command()(prospect)
app.command()(replay)
app.command()(report)
app.command()(gallery)
app.command()(recover)
app.command()(withdraw)
app.add_typer(config.app, name="config")
app.add_typer(pool.app, name="pool")
app.add_typer(plugins.app, name="plugins")
app.add_typer(keys.app, name="keys")
app.add_typer(worker.app, name="worker")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"phosphene {version('phosphene')}")
        raise typer.Exit


@app.callback()
def phosphene(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Say which it is."),
    ] = False,
) -> None:
    """Run closed-loop visual EEG experiments: record, train a decoder, close the loop."""


def main() -> None:
    """Run the command line; errors that a person can put right are shown without a traceback."""
    try:
        app()
    except (PhospheneError, OSError) as error:
        console = Console(stderr=True)
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(BAD_INPUT if isinstance(error, SettingsError) else FAILURE) from None
