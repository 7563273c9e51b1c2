"""What is installed: ``phosphene plugins``."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(no_args_is_help=True, help="See what is installed.")


@app.callback()
def _plugins() -> None:
    """Keep ``list`` a word of its own while it is the only one."""


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
