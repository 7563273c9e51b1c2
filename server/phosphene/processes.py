"""Children: started as command lines (spawned, never forked), watched, and stopped."""

import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

COMMANDS = {"presenter": ("-m", "phosphene_paradigms.presenter")}
"""The presenter lives outside the core; every other role runs in the core's shell."""
STOP_TIME = 10.0
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""For roles that live beside the recorder: a second thread takes the core it needs, and gains
nothing (the spectrogram of one trial: 0.2 ms with one, 0.5 to 8 ms with two)."""
ALONE = ("trainer", "exporter", "reporter", "generator")
"""Roles whose work is long; they may use every core."""


class Child:
    """One running role."""

    def __init__(
        self, role: str, connection_file: Path, log: Path, inherited: Sequence[int] = ()
    ) -> None:
        module = COMMANDS.get(role, ("-m", "phosphene.shell", role))
        self.role = role
        self.log = log
        self.heard = math.inf
        """When it last gave a sign of life; how long it may take to start is up to the session."""
        self._ended = float("inf")
        threads = {} if role in ALONE else ONE_THREAD
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, *module, str(connection_file)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **threads, "PYTHONUNBUFFERED": "1"},
                # Ctrl-C and the end of a terminal are for the server, which tells its children.
                start_new_session=True,
                pass_fds=inherited,
            )

    def ended_since(self, now: float) -> float:
        """Return for how many seconds it is known to have ended; 0 while it lives."""
        if self._process.poll() is None:
            return 0.0
        self._ended = min(self._ended, now)
        return now - self._ended

    @property
    def epitaph(self) -> str:
        """How it ended, for the operator."""
        code = self._process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        return f"the process {how}; its last words are in {self.log}"

    def interrupt(self) -> None:
        """Ask the process to end its task with what it has."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the process, which does not listen any more."""
        self._process.kill()

    def terminate(self) -> None:
        """Ask the process to end."""
        self._process.terminate()

    def stop(self, patience: float = STOP_TIME) -> None:
        """Wait for the process to end; make it, if it does not within some seconds."""
        for insist in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                insist()
        self._process.wait()


@contextmanager
def on_interrupt(handler: Callable[..., object] | signal.Handlers) -> Iterator[None]:
    """Handle SIGINT otherwise for a while; only the main thread can, elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
