"""Every fault that a session must survive, on real processes: ``make faults``.

Prints what was injected, what survived and what was lost; exit status 1 if a session was lost, a
marker of a block that counts, or more than a second of EEG. ``--quick`` is the part of it that
``make test`` runs.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent))

from rig import Rig

from phosphene.continuity import Fault
from phosphene.errors import PhospheneError
from phosphene.journal import Excluded, read_journal

KILLS = 4
"""In one session, at most."""
MOST_PROBLEMS = 5
TOLERATED = 1.0
"""Seconds of EEG that may be lost when everything is killed."""


@dataclass
class Row:
    """A line of the table."""

    fault: str
    injected: int = 0
    survived: int = 0
    lost: float = 0.0
    """Most seconds of EEG that one injection cost, the time until the restart not counted."""
    holes: int = 0
    """Samples missing within recordings that the fault itself did not take."""
    markers: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing was lost that must not be, and nothing else went wrong."""
        kept = self.injected == self.survived and not self.holes and not self.markers
        return kept and self.lost <= TOLERATED and not self.problems


def entries(rig: Rig, kind: type) -> list[object]:
    """Return the entries of a kind in a session's journal."""
    lines = read_journal(rig.folder.journal_file)
    return [line.entry for line in lines if isinstance(line.entry, kind)]


def examine(rig: Rig, row: Row, holes: bool = True) -> None:
    """Look at what is left of a session that was brought to its end."""
    rig.check()
    row.markers += rig.markers_lost()
    row.holes += rig.holes() if holes else 0
    row.survived = row.injected


def busy() -> str:
    """Say how much the processes of this computer wait for a core and for the disk."""
    found = [Path(f"/proc/pressure/{of}") for of in ("cpu", "io")]
    some = [path.read_text().split("avg60")[0] for path in found if path.exists()]
    return f"load {os.getloadavg()[0]:.1f}, waiting for core and disk: {', '.join(some)}"


def kills(place: Path, row: Row, seed: int, most: int) -> None:
    """Kill whatever runs, at random, again and again, and go on each time."""
    rng = random.Random(seed)  # noqa: S311
    feedback = rng.random() < 0.25
    rig = Rig(place, blocks=2, protocol="[record, train, feedback]" if feedback else "[record]")
    with rig.amplifier():
        for _ in range(most):
            try:
                rig.start(*(["--resume"] if rig.place.joinpath("study").exists() else []))
            except AssertionError as error:
                if "is complete" in str(error):
                    break
                raise
            rig.running()
            time.sleep(rng.uniform(0, 5))
            alive = rig.processes()
            targets = alive if rng.random() < 0.25 else [rng.choice(alive)]
            if rig.server is None or rig.server.poll() is not None:
                break
            recorder = any(rig.is_role(pid, "acquisition") for pid in targets)
            pressure = busy()
            killed = time.perf_counter()
            rig.signal(signal.SIGKILL, targets)
            row.injected += 1
            # Who is told that a child died ends the session in good order.
            rig.until(lambda status: status.state in ("failed", "finished"), 60)
            rig.wait()
            if recorder and (lost := rig.unwritten(killed)) > row.lost:
                row.lost = lost
                if lost > TOLERATED:
                    row.problems.append(f"seed {seed}: {lost:.3f} s lost; {pressure}")
        rig.finish()
        examine(rig, row)


def stopped(place: Path, row: Row, seed: int) -> None:
    """Stop one process of a session for five seconds."""
    rig = Rig(place)
    with rig.amplifier():
        rig.start()
        rig.running()
        alive = rig.processes()
        hold(rig, [alive[seed % len(alive)]], row)


def hold(rig: Rig, pids: list[int], row: Row, seconds: float = 5.0) -> None:
    """Stop processes for a while; then bring the session to its end and look at it."""
    rig.signal(signal.SIGSTOP, pids)
    time.sleep(seconds)
    rig.signal(signal.SIGCONT, pids)
    row.injected += 1
    rig.wait()
    rig.finish()
    examine(rig, row)


def worker_stopped(role: str) -> Callable[[Path, Row, int], None]:
    """Return a fault of feedback: a worker that does nothing for five seconds."""

    def fault(place: Path, row: Row, _seed: int) -> None:
        rig = Rig(place, blocks=2, protocol="[record, train, feedback]")
        with rig.amplifier():
            rig.start()
            rig.until(lambda status: status.phase == "feedback" and status.state == "running")
            target = [pid for pid in rig.processes() if rig.is_role(pid, role)]
            assert target, f"there is no {role}"
            hold(rig, target, row)

    return fault


def spoilt(command: str) -> Callable[[Path, Row, int], None]:
    """Return a fault of the amplifier: one line on its standard input."""

    def fault(place: Path, row: Row, _seed: int) -> None:
        rig = Rig(place)
        with rig.amplifier() as amplifier:
            rig.start()
            rig.running()
            assert amplifier.stdin
            amplifier.stdin.write(command + "\n")
            amplifier.stdin.flush()
            row.injected += 1
            assert rig.wait() == 0
            examine(rig, row, holes="silent" not in command)
            known = [*entries(rig, Fault), *entries(rig, Excluded)]
            assert known, "the fault was not noticed"

    return fault


def stalled(place: Path, row: Row, _seed: int) -> None:
    """Stop the amplifier's program for three seconds: what it sends then comes all at once."""
    rig = Rig(place)
    with rig.amplifier() as amplifier:
        rig.start()
        rig.running()
        os.kill(amplifier.pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(amplifier.pid, signal.SIGCONT)
        row.injected += 1
        assert rig.wait() == 0
        examine(rig, row)
        assert entries(rig, Excluded)


def cut(place: Path, row: Row, _seed: int) -> None:
    """Kill the amplifier's program, and start it again after three seconds."""
    rig = Rig(place)
    with rig.amplifier() as first:
        rig.start()
        rig.running()
        first.kill()
        first.wait()
        time.sleep(3)
    with rig.amplifier():
        row.injected += 1
        assert rig.wait() == 0
        examine(rig, row, holes=False)
        assert entries(rig, Excluded)


def cable_pulled(place: Path, row: Row, _seed: int) -> None:
    """Pull the network cable between amplifier and session for three seconds: none is lost."""
    rig = Rig(place)
    with rig.network() as network, rig.amplifier(within=network.within):
        rig.start()
        rig.running()
        network.plug("down")
        time.sleep(3)
        network.plug("up")
        row.injected += 1
        assert rig.wait() == 0
        examine(rig, row)
        assert entries(rig, Excluded)


def by_radio(place: Path, row: Row, _seed: int) -> None:
    """Let every packet be stamped when it comes, up to 30 ms late, as the session file says."""
    rig = Rig(place, jitter=0.07)
    with rig.amplifier() as amplifier:
        assert amplifier.stdin
        amplifier.stdin.write("radio 0.03\n")
        amplifier.stdin.flush()
        rig.start()
        row.injected += 1
        assert rig.wait() == 0
        examine(rig, row)
        assert not [*entries(rig, Fault), *entries(rig, Excluded)]


def inexact_rate(place: Path, row: Row, _seed: int) -> None:
    """Let the amplifier be 0.1 % slow: it is told, and nothing stops."""
    rig = Rig(place, blocks=6)
    with rig.amplifier(rate=0.999):
        rig.start()
        row.injected += 1
        rig.until(lambda status: "249.7" in status.problem)
        assert rig.status(), "the rate was not told"
        assert rig.wait() == 0
        examine(rig, row)


def wrong_rate(place: Path, row: Row, _seed: int) -> None:
    """Let the amplifier be 3 % slow."""
    rig = Rig(place, blocks=4)
    with rig.amplifier(rate=0.97):
        rig.start()
        row.injected += 1
        rig.until(lambda status: status.state == "paused")
        status = rig.status()
        assert status, "the session is over"
        assert "says 250 Hz" in status.problem, status.problem
        rig.signal(signal.SIGTERM, rig.processes()[:1])
        rig.wait()
        row.holes += rig.holes()
        row.markers += rig.markers_lost()
        row.survived += 1


def disk_full(place: Path, row: Row, _seed: int) -> None:
    """Let no file become larger than 60 kB, then go on without that limit."""
    rig = Rig(place)
    with rig.amplifier():
        rig.start(file_limit=60_000)
        row.injected += 1
        rig.wait()
        rig.finish()
        examine(rig, row)


def torn_tail(place: Path, row: Row, seed: int) -> None:
    """Kill everything, and damage the end of the recording as a power cut does."""
    rng = random.Random(seed)  # noqa: S311
    rig = Rig(place)
    with rig.amplifier():
        rig.start()
        rig.running()
        time.sleep(rng.uniform(0.5, 3))
        rig.signal(signal.SIGKILL, rig.processes())
        rig.wait()
        newest = rig.newest()
        path = rig.folder.segments()[-1]
        size = path.stat().st_size
        os.truncate(path, size - rng.randrange(1, 200))
        row.injected += 1
        row.lost = max(row.lost, newest - rig.newest())
        rig.finish()
        examine(rig, row)


def asleep(place: Path, row: Row, _seed: int) -> None:
    """Stop the whole computer, amplifier included, for four seconds."""
    rig = Rig(place)
    with rig.amplifier() as amplifier:
        rig.start()
        rig.running()
        hold(rig, [*rig.processes(), amplifier.pid], row, 4.0)


def second_server(place: Path, row: Row, _seed: int) -> None:
    """Start a second server for the same session."""
    rig = Rig(place, blocks=2)
    with rig.amplifier():
        rig.start()
        rig.running()
        other = Rig(place, blocks=2)
        row.injected += 1
        try:
            other.start()
        except AssertionError as error:
            refusal = str(error)
        else:
            raise AssertionError("two servers had one session")
        assert f"process {rig.processes()[0]}" in refusal, refusal
        assert rig.wait() == 0
        examine(rig, row)


FAULTS: dict[str, tuple[Callable[[Path, Row, int], None], int]] = {
    "stream silent for 0.3 s": (spoilt("silent 0.3"), 2),
    "stream silent for 3 s": (spoilt("silent 3"), 2),
    "amplifier killed, back after 3 s": (cut, 3),
    "stream stalls for 3 s, nothing lost": (stalled, 2),
    "network cable pulled for 3 s": (cable_pulled, 2),
    "clock jumps 10 s": (spoilt("jump 10"), 2),
    "clock jumps back 10 s": (spoilt("jump -10"), 2),
    "samples sent twice": (spoilt("twice"), 2),
    "NaN for 0.5 s": (spoilt("nan 0.5"), 2),
    "packets by radio, 30 ms late": (by_radio, 1),
    "rate 0.1 % off": (inexact_rate, 1),
    "rate 3 % off": (wrong_rate, 1),
    "a process stopped for 5 s": (stopped, 4),
    "decoder stopped for 5 s": (worker_stopped("decoder"), 1),
    "generator stopped for 5 s": (worker_stopped("generator"), 1),
    "computer asleep for 4 s": (asleep, 2),
    "disk full": (disk_full, 2),
    "torn end of a recording": (torn_tail, 4),
    "second server": (second_server, 1),
}
QUICK = ("amplifier killed, back after 3 s",)


def tried(row: Row, act: Callable[[], None], seed: int) -> None:
    """Do something to a session; what goes wrong is a problem of the row."""
    try:
        act()
    except (AssertionError, PhospheneError, OSError, subprocess.SubprocessError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        row.problems.append(f"seed {seed}, {where.name}:{where.lineno}: {error or 'assertion'}")


def kill_at_random(root: Path, n_kills: int, seed: int, lanes: int) -> Row:
    """Kill until there were ``n_kills``, in several sessions at once, each with its own seed."""
    total, first = Row("kill -9 of any process, at random"), seed
    with ThreadPoolExecutor(lanes) as pool:
        while total.injected < n_kills and len(total.problems) < MOST_PROBLEMS:
            most = min(KILLS, max(1, (n_kills - total.injected) // lanes))
            parts = [(Row(total.fault), seed + lane) for lane in range(lanes)]
            list(
                pool.map(
                    lambda p, m=most: tried(p[0], lambda: kills(root / f"k{p[1]}", *p, m), p[1]),
                    parts,
                )
            )
            seed += lanes
            for part, _ in parts:
                total = added(total, part)
            say(total, f"seeds {first} to {seed - 1}")
    return total


def run(root: Path, names: list[str], repeat: bool) -> list[Row]:
    """Inject every other fault; return the rows of the table."""
    rows = []
    for name in names:
        fault, times = FAULTS[name]
        row = Row(name)
        for number in range(times if repeat else 1):
            part, place = Row(name), root / f"{len(rows)}-{number}"
            tried(part, lambda p=part, w=place, n=number, f=fault: f(w, p, n), number)
            row = added(row, part)
        rows.append(row)
        say(row)
    return rows


def added(one: Row, other: Row) -> Row:
    """Return two rows as one."""
    return Row(
        one.fault,
        one.injected + other.injected,
        one.survived + other.survived,
        max(one.lost, other.lost),
        one.holes + other.holes,
        one.markers + other.markers,
        one.problems + other.problems,
    )


def say(row: Row, how: str = "") -> None:
    """Print a line of the table."""
    print(  # noqa: T201
        f"{row.fault:<36} {row.injected:>8} {row.survived:>8} {row.lost:>8.3f} s"
        f" {row.holes:>8} {row.markers:>8}   {how}",
        *row.problems,
        sep="\n    ",
        flush=True,
    )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--lanes", type=int, default=3, help="sessions at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=[*FAULTS], default=None)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    names = [*QUICK] if asked.quick else [*FAULTS] if asked.only is None else asked.only
    print(  # noqa: T201
        f"{'fault':<36} {'injected':>8} {'survived':>8} {'EEG lost':>10} "
        f"{'holes':>8} {'markers':>8}"
    )
    with TemporaryDirectory(prefix="faults-") as root:
        os.environ["PHOSPHENE_RUNTIME"] = f"{root}/runtime"
        n_kills, lanes = (2, 1) if asked.quick else (asked.kills, asked.lanes)
        rows = [kill_at_random(Path(root), n_kills, asked.seed, lanes)] if n_kills else []
        rows += run(Path(root), names, repeat=not asked.quick)
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
