"""Where a server listens and with which keys one may speak to it: files for the user alone."""

import os
import tempfile
from pathlib import Path

import msgspec
import zmq

from phosphene.errors import PhospheneError
from phosphene.messages import PROTOCOL


class Connection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a peer needs; the key pair decides what it may do."""

    protocol: int
    pid: int
    """Of the server."""
    control: str
    """Endpoint of the server's ROUTER."""
    facts: str
    """Endpoint of the server's PUB."""
    server_key: str
    """The server's public CURVE key, Z85."""
    public_key: str
    """The peer's own."""
    secret_key: str
    folder: str
    """The session's folder in ``sourcedata``."""


class KeyPair(msgspec.Struct, frozen=True):
    """A CURVE key pair, Z85."""

    public: bytes
    secret: bytes


def new_keys() -> KeyPair:
    """Return a fresh key pair."""
    return KeyPair(*zmq.curve_keypair())


def runtime_folder() -> Path:
    """Return the folder of connection files, made with mode 0700 if it is not there.

    ``PHOSPHENE_RUNTIME`` names it; otherwise it is in the user's runtime or temporary folder.
    """
    named = os.environ.get("PHOSPHENE_RUNTIME")
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    folder = Path(named) if named else Path(base) / f"phosphene-{_user()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
        raise PhospheneError(f"{folder} belongs to somebody else; set PHOSPHENE_RUNTIME")
    return folder


def write_connection(connection: Connection, path: Path) -> None:
    """Write the file, readable by its owner alone, whole or not at all."""
    temporary = path.with_suffix(".part")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(connection)))
    temporary.replace(path)


def read_connection(path: Path) -> Connection:
    """Return a connection; ``PhospheneError`` if the file is missing or of another protocol."""
    try:
        connection = msgspec.json.decode(path.read_bytes(), type=Connection)
    except FileNotFoundError:
        raise PhospheneError(f"no server has written {path}") from None
    except msgspec.DecodeError as error:
        raise PhospheneError(f"{path} is not a connection file: {error}") from None
    if connection.protocol != PROTOCOL:
        raise PhospheneError(
            f"{path}: the server speaks protocol {connection.protocol}, this program {PROTOCOL}"
        )
    return connection


def find_connection() -> Path:
    """Return the connection file of the one server that runs; ``PhospheneError`` otherwise.

    Files that a killed server left behind are removed.
    """
    for path in runtime_folder().glob("*-sub-*-ses-*.json"):
        if not _is_alive(_pid(path)):
            path.unlink(missing_ok=True)
    found = sorted(runtime_folder().glob("server-*.json"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise PhospheneError("no server is running; start one with: phosphene server SESSION.yaml")
    names = ", ".join(str(path) for path in found)
    raise PhospheneError(f"{len(found)} servers are running; choose one with --connection: {names}")


def check_alive(connection: Connection) -> None:
    """Raise ``PhospheneError`` if the server's process has ended."""
    if not _is_alive(connection.pid):
        raise PhospheneError(
            f"the server (process {connection.pid}) is gone; "
            f"what it recorded is in {connection.folder}"
        )


def _pid(path: Path) -> int | None:
    """Return the process number at the end of a connection file's name."""
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else None


def _is_alive(pid: int | None) -> bool:
    """Say whether a process lives; True where that is not known."""
    if pid is None or os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
