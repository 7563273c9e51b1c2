"""The operator's commands against a running server."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def phosphene(*arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "phosphene", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def wait_for(state: str) -> Any:
    end = time.monotonic() + 60
    while (found := json.loads(phosphene("status", "--json")))["state"] != state:
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found


def test_without_a_server_every_command_says_how_to_start_one() -> None:
    for command in ("status", "start", "pause", "resume", "stop"):
        assert "phosphene server" in phosphene(command, status=1)


def test_a_session_is_started_paused_resumed_and_stopped_from_another_terminal(
    server: Any,
) -> None:
    wait_for("ready")
    refusal = phosphene("resume", status=1)
    assert "ready" in refusal
    assert "start" in refusal
    phosphene("start")
    wait_for("running")
    phosphene("pause")
    paused = wait_for("paused")
    assert paused["blocks_done"] < paused["blocks_total"]
    phosphene("resume")
    wait_for("running")
    phosphene("note", "coughs\ttwice")
    assert "a note needs at least a word" in phosphene("note", " ", status=1)
    assert "no run 99" in phosphene("redo", "99", "--reason", "x", status=1)
    phosphene("redo", "1", "--reason", "the cap slipped")
    phosphene("stop", "--reason", "the subject wants to go home")
    code, printed = server.wait()
    assert code == 0, printed
    folder = printed.split("finished: ")[1].splitlines()[0]
    journal = (Path(folder) / "journal.jsonl").read_text()
    assert "the subject wants to go home" in journal
    assert '"reason":"the cap slipped","again":true' in journal
    events = "".join(path.read_text() for path in Path(folder).parents[2].rglob("*_events.tsv"))
    [note] = [line.split("\t") for line in events.splitlines() if "\tnote\t" in line]
    assert "coughs twice" in note
