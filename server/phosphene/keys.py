"""Key pairs as files, and the public keys that may come in from another machine."""

import os
import re
from contextlib import suppress
from pathlib import Path

import zmq
from zmq.utils import z85

from phosphene.connection import KeyPair, new_keys
from phosphene.errors import PhospheneError

SERVER = "server"
"""Name of the server's own pair."""
WORKER = "worker"
"""Name of a worker's own pair, unless it is given another."""

_PUBLIC, _SECRET = "phosphene-public", "phosphene-secret"
"""First word of a key file, so that no secret is ever taken for a public key."""
_HEX = re.compile("[0-9a-f]{64}")
"""A key as text: it survives shells and mail, which Z85 does not."""
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]*")


def key_folder() -> Path:
    """Return the folder of the keys, made with mode 0700 if it is not there.

    ``PHOSPHENE_KEYS`` names it; otherwise it is in the user's folder of settings.
    """
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    named = os.environ.get("PHOSPHENE_KEYS")
    folder = Path(named) if named else Path(base).expanduser() / "phosphene" / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(folder)
    return folder


def make_pair(name: str) -> KeyPair:
    """Write a new pair; ``PhospheneError`` if there is one of that name."""
    secret_file = _file(name, ".key")
    keys = new_keys()
    try:
        descriptor = os.open(secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise PhospheneError(f"there is a key {name!r} already: {secret_file}") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{_SECRET} {as_text(keys.secret)}\n")
    _write_public(public_file(name), keys.public)
    return keys


def own_pair(name: str) -> KeyPair:
    """Return a pair that ``make_pair`` wrote; ``PhospheneError`` if others could read it."""
    path = _file(name, ".key")
    if not path.exists():
        raise PhospheneError(f"there is no {path}; make it with: phosphene keys new {name}")
    _check_private(path)
    secret = _read(path, _SECRET)
    return KeyPair(zmq.curve_public(secret), secret)


def server_pair() -> KeyPair:
    """Return the server's own pair, made at the first need."""
    return own_pair(SERVER) if SERVER in own_names() else make_pair(SERVER)


def own_names() -> list[str]:
    """Return the names of the pairs that are here."""
    return sorted(path.stem for path in key_folder().glob("*.key"))


def public_file(name: str) -> Path:
    """Return the file to take to the other machine."""
    return _file(name, ".pub")


def public_key(source: str) -> bytes:
    """Return the public key, Z85, that is written in a file, or as 64 hexadecimal digits."""
    if _HEX.fullmatch(source):
        return z85.encode(bytes.fromhex(source))
    path = Path(source)
    if not path.is_file():
        raise PhospheneError(
            f"{source!r} is neither a file nor a public key, which has 64 hexadecimal digits"
        )
    return _read(path, _PUBLIC)


def as_text(key: bytes) -> str:
    """Return a Z85 key as 64 hexadecimal digits."""
    return z85.decode(key).hex()


def authorise(key: bytes, name: str) -> None:
    """Let in whoever holds a key; a key has one name, so that revoking that is enough."""
    path = _file(name, ".pub", _authorised_folder())
    known = authorised()
    if key in known and known[key] != name:
        raise PhospheneError(f"this key is authorised already, as {known[key]!r}")
    if path.exists() and key not in known:
        raise PhospheneError(
            f"another key is authorised as {name!r}; revoke it, or choose a --name"
        )
    _write_public(path, key)


def revoke(name: str) -> None:
    """Let nobody in under a name any more; ``PhospheneError`` if nobody was."""
    try:
        _file(name, ".pub", _authorised_folder()).unlink()
    except FileNotFoundError:
        names = ", ".join(sorted(authorised().values())) or "nobody"
        raise PhospheneError(f"no key is authorised as {name!r}; authorised: {names}") from None


def authorised() -> dict[bytes, str]:
    """Return name by public key, Z85; ``PhospheneError`` for a file that is none."""
    found = {}
    for path in sorted(_authorised_folder().glob("*.pub")):
        with suppress(FileNotFoundError):  # revoked at this moment
            found[_read(path, _PUBLIC)] = path.stem
    return found


def _authorised_folder() -> Path:
    folder = key_folder() / "authorised"
    folder.mkdir(mode=0o700, exist_ok=True)
    _check_private(folder)
    return folder


def _file(name: str, suffix: str, folder: Path | None = None) -> Path:
    if not _NAME.fullmatch(name):
        raise PhospheneError(f"a key's name has letters, digits, - and _; found {name!r}")
    return (folder or key_folder()) / (name + suffix)


def _write_public(path: Path, key: bytes) -> None:
    """Write whole or not at all: a running server reads these files."""
    temporary = path.with_suffix(".part")
    temporary.write_text(f"{_PUBLIC} {as_text(key)}\n")
    temporary.replace(path)


def _read(path: Path, kind: str) -> bytes:
    """Return the key in a file; what is found there is never told, it may be a secret."""
    with path.open("rb") as file:
        words = file.read(200).decode(errors="replace").split()
    if len(words) != 2 or words[0] != kind or not _HEX.fullmatch(words[1]):
        raise PhospheneError(f"{path} is no file of a {kind.removeprefix('phosphene-')} key")
    return z85.encode(bytes.fromhex(words[1]))


def _check_private(path: Path) -> None:
    """Refuse what another user of the computer owns, could read or could change."""
    if os.name != "posix":
        return
    found = path.stat()
    if found.st_uid != os.getuid():
        raise PhospheneError(f"{path} belongs to somebody else; set PHOSPHENE_KEYS")
    if found.st_mode & 0o077:
        mode = "700" if path.is_dir() else "600"
        raise PhospheneError(f"{path} is open to other users; close it with: chmod {mode} {path}")
