"""Run a session through a server process of its own, and watch it like any client."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from phosphene.client import Client
from phosphene.errors import PhospheneError
from phosphene.messages import Message, Status
from phosphene.session_file import as_option
from phosphene.states import State

OVER = (State.FINISHED, State.FAILED)
FIRST_WORD = "serving "

Server = subprocess.Popen[str]
Watch = Callable[[Message], None]


def run_served(session_file: str, options: Mapping[str, object], watch: Watch) -> Status:
    """Start a server, begin its session when it is ready, and return how it ended.

    Ctrl-C reaches the server too, which files what was recorded; we watch it do so.
    """
    command = [sys.executable, "-m", "phosphene", "server", session_file, *_arguments(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        line = server.stdout.readline() if server.stdout else ""
        if not line.startswith(FIRST_WORD):
            raise PhospheneError("the server did not start")
        with Client(Path(line.removeprefix(FIRST_WORD).strip())) as client:
            begin = True
            while True:
                try:
                    return _follow(client, server, watch, begin)
                except KeyboardInterrupt:
                    begin = False


def _follow(client: Client, server: Server, watch: Watch, begin: bool) -> Status:
    """Watch the session to its end; once it is ready, begin it if that is still to be done."""
    status = client.status()
    while status.state not in OVER:
        if begin and status.state is State.READY:
            begin = False
            client.start()
        status = _next_status(client, watch) or _asked(client, server, status)
    return status


def _next_status(client: Client, watch: Watch) -> Status | None:
    """Return what is published next; None if nothing is for a while."""
    for fact in client.facts(timeout=0.5):
        watch(fact)
        if isinstance(fact, Status):
            return fact
    return None


def _asked(client: Client, server: Server, before: Status) -> Status:
    """Ask: what was published before we were connected does not come again."""
    if server.poll() is not None:
        raise PhospheneError(
            f"the server ended with status {server.returncode}; "
            f"what was recorded is in {before.folder}; go on with --resume"
        )
    return client.status()


def _arguments(options: Mapping[str, object]) -> list[str]:
    """Return the command line options that say the same."""
    arguments: list[str] = []
    for name, value in options.items():
        option = as_option(name)
        arguments += [option] if value is True else [option, str(value)]
    return arguments
