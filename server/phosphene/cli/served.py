"""Run a session through a server process of its own, and watch it like any client."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from phosphene.client import Client
from phosphene.errors import PhospheneError
from phosphene.messages import Message, Status
from phosphene.states import State

OVER = (State.FINISHED, State.FAILED)
FIRST_WORD = "serving "


def run_served(
    session_file: str, options: Mapping[str, object], watch: Callable[[Message], None]
) -> Status:
    """Start a server, begin its session when it is ready, and return how it ended.

    Ctrl-C reaches the server too, which files what was recorded; we watch it do so.
    """
    command = [sys.executable, "-m", "phosphene", "server", session_file, *_arguments(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        line = server.stdout.readline() if server.stdout else ""
        if not line.startswith(FIRST_WORD):
            raise PhospheneError("the server did not start")
        with Client(Path(line.removeprefix(FIRST_WORD).strip())) as client:
            while True:
                try:
                    return _follow(client, server, watch)
                except KeyboardInterrupt:
                    continue


def _follow(
    client: Client, server: "subprocess.Popen[str]", watch: Callable[[Message], None]
) -> Status:
    status = client.status()
    while status.state not in OVER:
        if status.state is State.READY:
            client.start()
        for fact in client.facts(timeout=0.5):
            watch(fact)
            if isinstance(fact, Status):
                status = fact
                break
        else:
            if server.poll() is not None:
                raise PhospheneError(
                    f"the server ended with status {server.returncode}; "
                    f"what was recorded is in {status.folder}"
                )
    return status


def _arguments(options: Mapping[str, object]) -> list[str]:
    """Return the command line options that say the same."""
    arguments: list[str] = []
    for name, value in options.items():
        arguments += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return arguments
