"""What holds for every test: local LSL traffic, a private run-time folder, nothing left behind."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Speed is measured in benchmarks; a busy machine fails no test.
settings.register_profile("phosphene", deadline=None)
settings.load_profile("phosphene")

os.environ.setdefault("LSLAPICFG", str(Path(__file__).parent / "lsl_api.cfg"))
GRACE = 5.0


@pytest.fixture(autouse=True)
def _private_runtime(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connection files of tests never meet those of a running server."""
    monkeypatch.setenv("PHOSPHENE_RUNTIME", str(tmp_path_factory.mktemp("runtime")))


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a process, a thread or a socket open."""
    before = _open_things()
    yield
    end = time.monotonic() + GRACE
    while (left := _open_things() - before) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left, f"left behind: {', '.join(sorted(left))}"


def _open_things() -> set[str]:
    threads = {f"thread {thread.name}" for thread in threading.enumerate() if not thread.daemon}
    return threads | _children() | _sockets()


def _children() -> set[str]:
    if not sys.platform.startswith("linux"):
        return set()
    tasks = Path("/proc/self/task").glob("*/children")
    return {f"process {pid}" for task in tasks for pid in task.read_text().split()}


def _sockets() -> set[str]:
    if not sys.platform.startswith("linux"):
        return set()
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found
