"""What is installed, and whether it does what it must: ``phosphene plugins``."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from phosphene.testing import Report

app = typer.Typer(no_args_is_help=True, help="See what is installed, and check it.")

STYLES = {"passed": "green", "failed": "red", "not applicable": "dim"}


@app.command("list")
def list_plugins(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list with one object a plugin.")
    ] = False,
) -> None:
    """List what a session file can choose, who offers it, and which plugins are broken."""
    import msgspec

    from phosphene.registry import HOOKS, load_registry

    plugins = load_registry().plugins
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(plugins)))
        return
    table = Table("hook", "name", "distribution", "version", box=None, pad_edge=False)
    for hook in HOOKS:
        for plugin in plugins:
            for name in plugin.offers.get(hook, ()):
                table.add_row(hook, name, plugin.distribution, plugin.version)
    console = Console()
    console.print(table)
    for plugin in plugins:
        if plugin.problem:
            text = f"{plugin.name} of {plugin.provenance}: {plugin.problem}"
            console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A name as in a session file, e.g. power-lr.")],
    hook: Annotated[
        str | None, typer.Option(help="Which hook, if several offer the name, e.g. decoder.")
    ] = None,
    settings: Annotated[
        str, typer.Option(help="Settings as in a session file, e.g. '{model: EEGNet, epochs: 2}'.")
    ] = "{}",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check that a plugin does what its hook promises, and measure its time and memory.

    The exit status is 1 if a check failed.
    """
    import msgspec

    from phosphene.registry import load_registry
    from phosphene.testing import examine
    from phosphene.testing.kit import hook_of, read_settings

    registry = load_registry()
    given = read_settings(settings)
    with Console(stderr=True).status("") as status:
        report = examine(hook or hook_of(name, registry), name, given, registry, status.update)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)))
    else:
        _show(report)
    if report.failed:
        raise typer.Exit(1)


def _show(report: "Report") -> None:
    console = Console()
    table = Table("check", "result", "", box=None, pad_edge=False)
    for result in report.results:
        # A plugin's words are words, not markup.
        cells = (result.check, result.outcome, result.text)
        table.add_row(*map(Text, cells), style=STYLES[result.outcome])
    console.print(table)
    for each in report.measurements:
        console.print(f"{each.what}: {each.value:.3g} {each.unit}", markup=False, highlight=False)
    n_failed = len(report.failed)
    console.print(
        f"{report.hook} {report.name} ({report.provenance}): "
        + (f"{n_failed} of {len(report.results)} checks failed" if n_failed else "conforms"),
        style="red" if n_failed else "green",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
