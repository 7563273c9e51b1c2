"""One session of real processes with an amplifier beside it, to be mistreated and then examined."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from phosphene.client import Client
from phosphene.dataset.study import SessionFolder
from phosphene.dataset.xdf_reader import Segment, read_segment
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.journal import set_aside
from phosphene.messages import Status
from phosphene.training import block_of

SESSION = """
format: 1
subject: "01"
session: "01"
protocol: {protocol}
stimuli: {{standin: {{classes: {classes}, images: 24, gallery: 2, size: 32}}}}
acquisition: {{lsl: {{name: {name}, jitter: {jitter}}}}}
preprocessing: paper
decoder: power-lr
generator: retrieval
closed_loop: {{override_gate: true}}
paradigm: {{interleaved: {{runs: 2, blocks: {blocks}, duration: 0.5, pause: 0.5, cue: 0.3}}}}
feedback:
  feedback: {{blocks: 2, trials: 2, classes: {classes}, duration: 0.5, gap: 0.6, picture: 0.2,
    pause: 0.5, cue: 0.3}}
screen: {{kind: headless, refresh_rate: 60}}
clock: real
output: {place}/study
cache: {place}/cache
"""
LSL_SETTINGS = """
[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
[lab]
KnownPeers = {{{peer}}}
[log]
level = -2
"""
CLASSES = 4
PATIENCE = 90.0


def ip(*arguments: str) -> None:
    """Change the network of this computer; needs root and iproute2."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@dataclass(frozen=True)
class Network:
    """A network namespace at the other end of a cable."""

    name: str
    address: str = "198.18.78.2"

    @property
    def within(self) -> tuple[str, ...]:
        """What a command needs before it to run there."""
        return ("ip", "netns", "exec", self.name)

    def lay_cable(self) -> None:
        """Connect it with this computer."""
        ip("link", "add", self.name, "type", "veth", "peer", "name", "there", "netns", self.name)
        ip("addr", "add", "198.18.78.1/30", "dev", self.name)
        ip("-n", self.name, "addr", "add", f"{self.address}/30", "dev", "there")
        ip("-n", self.name, "link", "set", "there", "up")
        self.plug("up")

    def plug(self, state: str) -> None:
        """Pull the cable, or put it back: ``down`` or ``up``."""
        ip("link", "set", self.name, state)


class Rig:
    """A place with a session file and an amplifier."""

    def __init__(
        self, place: Path, blocks: int = 3, protocol: str = "[record]", jitter: float = 0.02
    ) -> None:
        self.place, self.n_blocks, self.feedback = place, 2 * blocks, "feedback" in protocol
        self.name = f"rig-{os.getpid()}-{place.name}"
        self.file = place / "session.yaml"
        self.server: subprocess.Popen[str] | None = None
        self.connection = Path()
        self.lsl_settings: Path | None = None
        place.mkdir(parents=True, exist_ok=True)
        text = SESSION.format(
            protocol=protocol,
            classes=CLASSES,
            name=self.name,
            jitter=jitter,
            blocks=blocks,
            place=place,
        )
        self.file.write_text(text)

    @property
    def folder(self) -> SessionFolder:
        """The session's folder."""
        return SessionFolder.at(self.place / "study" / "sourcedata" / "sub-01" / "ses-01")

    @contextmanager
    def amplifier(
        self, rate: float = 1.0, within: Sequence[str] = ()
    ) -> Iterator[subprocess.Popen[str]]:
        """Give an amplifier that streams, and takes commands on its standard input.

        ``within`` is a command that runs it elsewhere.
        """
        script = Path(__file__).with_name("amplifier.py")
        with subprocess.Popen(
            [*within, sys.executable, str(script), self.name, str(rate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stdout
            assert running.stdout.readline() == "streaming\n"
            try:
                yield running
            finally:
                running.kill()

    @contextmanager
    def network(self) -> Iterator["Network"]:
        """Give a network of its own for an amplifier, at the other end of a cable."""
        network = Network(f"ph{os.getpid()}")
        self.lsl_settings = self.place / "lsl_api.cfg"
        self.lsl_settings.write_text(LSL_SETTINGS.format(peer=network.address))
        ip("netns", "add", network.name)
        try:
            network.lay_cable()
            yield network
        finally:
            with suppress(subprocess.CalledProcessError):
                ip("link", "del", network.name)
            ip("netns", "del", network.name)

    def start(self, *options: str, file_limit: int | None = None) -> None:
        """Start the server, and its session once that is ready."""
        settings = {"LSLAPICFG": str(self.lsl_settings)} if self.lsl_settings else {}
        self.server = subprocess.Popen(
            [sys.executable, "-m", "phosphene", "server", str(self.file), *options],
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if file_limit is not None:  # Its children inherit it; Python ignores the signal.
            no_more = (file_limit, resource.RLIM_INFINITY)
            resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, no_more)
        assert self.server.stdout
        line = self.server.stdout.readline()
        assert line.startswith("serving "), line + self.server.stdout.read()
        self.connection = Path(line.removeprefix("serving ").strip())
        self.until(lambda status: status.state in ("ready", "failed"))
        status = self.status()
        assert status, "the server ended before it was ready"
        assert status.state == "ready", status.problem
        with Client(self.connection) as client:
            client.start()

    def status(self) -> Status | None:
        """Return where the session is; None if nobody answers."""
        with suppress(PhospheneError), Client(self.connection, timeout=1.0) as client:
            return client.status()
        return None

    def until(self, reached: Callable[[Status], bool], patience: float = PATIENCE) -> None:
        """Wait for the session to come somewhere, or to be over."""
        deadline = time.monotonic() + patience
        while self.server and self.server.poll() is None:
            if (status := self.status()) and reached(status):
                return
            assert time.monotonic() < deadline, status
            time.sleep(0.05)

    def running(self) -> None:
        """Wait until a block is on the screen."""
        self.until(lambda status: status.state == "running")

    def processes(self) -> list[int]:
        """Return the server and its children."""
        assert self.server
        found = [self.server.pid]
        for task in Path(f"/proc/{self.server.pid}/task").glob("*/children"):
            found += map(int, task.read_text().split())
        return found

    @staticmethod
    def is_role(pid: int, role: str) -> bool:
        """Return whether a process has some role."""
        with suppress(OSError):
            return role.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return False

    def signal(self, number: signal.Signals, pids: list[int]) -> None:
        """Send a signal to processes, those that are still there."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait(self) -> int:
        """Wait for the server to end, and resume as an operator would; return its exit status."""
        assert self.server
        deadline = time.monotonic() + PATIENCE
        while self.server.poll() is None and time.monotonic() < deadline:
            status = self.status()
            if status and status.state == "paused":
                with suppress(PhospheneError), Client(self.connection) as client:
                    client.resume()
            time.sleep(0.2)
        code = self.server.wait(1.0)
        assert self.server.stdout
        self.server.stdout.close()
        return code

    def finish(self) -> None:
        """Go on until nothing is left to be done."""
        for _ in range(4):
            try:
                self.start("--resume")
            except AssertionError as error:
                if "is complete" in str(error):
                    return
                raise
            if self.wait() == 0:
                return
        raise AssertionError("the session did not come to its end")

    # What is left of it.

    def segments(self) -> list[Segment]:
        """Return the recordings that hold anything."""
        return [read_segment(path) for path in self.folder.segments()]

    def holes(self) -> int:
        """Return how many samples are missing within recordings, by the amplifier's own count."""
        missing = 0
        for segment in self.segments():
            row = segment.spec.channels.index("COUNT")
            counts = [signal.data[row] for signal in segment.signals()]
            if counts:
                steps = np.diff(np.concatenate(counts))
                missing += int((steps[steps > 0] - 1).sum())
        return missing

    def newest(self) -> float:
        """Return the stamp of the newest sample on disk, in seconds on the LSL clock."""
        newest = [s.times[-1] for segment in self.segments() for s in segment.signals()]
        return float(max(newest, default=0.0))

    def unwritten(self, killed: float) -> float:
        """Return the seconds of EEG that a killed recorder lost; 0 if no recording was open."""
        newest = self.segments()[-1:]
        return 0.0 if all(segment.complete for segment in newest) else killed - self.newest()

    def markers_lost(self) -> int:
        """Return the onsets of attempts that count which are on the screen's record alone."""
        aside = set_aside(self.folder.journal_file)
        lines = self.folder.onsets_file.read_bytes().splitlines()
        shown = [msgspec.json.decode(line, type=Onset) for line in lines]
        recorded = {onset.seq for segment in self.segments() for onset in segment.onsets}
        return sum(o.seq not in recorded for o in shown if block_of(o) not in aside)

    def check(self) -> None:
        """Every block counts once, with every trial; no onset number is used twice."""
        aside = set_aside(self.folder.journal_file)
        onsets = [onset for segment in self.segments() for onset in segment.onsets]
        seqs = [onset.seq for onset in onsets]
        assert len(seqs) == len(set(seqs))
        counted = [o for o in onsets if o.event == "stimulus" and block_of(o) not in aside]
        shown = Counter(o.block for o in counted if o.phase == "record")
        assert shown == dict.fromkeys(range(1, self.n_blocks + 1), CLASSES), shown
        if self.feedback:
            given = Counter(o.block for o in counted if o.phase == "feedback")
            assert given == {1: 2, 2: 2}, given
        runs = list(self.folder.bids.glob("eeg/*_eeg.vhdr"))
        assert len(runs) == sum(segment.n_samples > 0 for segment in self.segments())
