"""Connection files: for their owner alone, and gone when their server is."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from phosphene.client import Client
from phosphene.connection import Connection, find_connection, write_connection
from phosphene.errors import PhospheneError
from phosphene.messages import PROTOCOL

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs process numbers and modes")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runtime"
    monkeypatch.setenv("PHOSPHENE_RUNTIME", str(folder))
    return folder


@pytest.fixture
def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def connection(pid: int) -> Connection:
    return Connection(PROTOCOL, pid, "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "", "", "", "/data")


def write(runtime: Path, pid: int, session: str = "01") -> Path:
    runtime.mkdir(mode=0o700, exist_ok=True)
    path = runtime / f"server-sub-01-ses-{session}-{pid}.json"
    write_connection(connection(pid), path)
    return path


def test_a_connection_file_is_readable_by_its_owner_alone(runtime: Path) -> None:
    planted = runtime / f"server-sub-01-ses-01-{os.getpid()}.part"
    runtime.mkdir()
    planted.touch(0o666)
    path = write(runtime, os.getpid())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_runtime_folder_is_made_private(runtime: Path) -> None:
    with pytest.raises(PhospheneError, match="no server is running"):
        find_connection()
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700


def test_a_folder_that_the_user_named_keeps_its_mode(runtime: Path) -> None:
    runtime.mkdir(mode=0o755)
    runtime.chmod(0o755)
    with pytest.raises(PhospheneError, match="no server is running"):
        find_connection()
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o755


def test_the_files_of_a_killed_server_are_removed_and_nothing_else(
    runtime: Path, ended: int
) -> None:
    alive, dead = write(runtime, os.getpid()), write(runtime, ended)
    other = runtime / f"results-{ended}.json"
    other.touch()
    assert find_connection() == alive
    assert not dead.exists()
    assert other.exists()


def test_two_servers_have_to_be_told_apart(runtime: Path) -> None:
    write(runtime, os.getpid(), "01")
    write(runtime, os.getpid(), "02")
    with pytest.raises(PhospheneError, match="2 servers are running"):
        find_connection()


def test_a_client_of_a_killed_server_is_told_at_once_where_the_recording_is(
    runtime: Path, ended: int
) -> None:
    with pytest.raises(PhospheneError, match="is gone; what it recorded is in /data"):
        Client(write(runtime, ended))
