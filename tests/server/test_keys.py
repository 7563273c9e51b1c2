"""Key files: secrets stay secret, a key has one name, and doubtful files are refused."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phosphene import keys
from phosphene.connection import new_keys
from phosphene.errors import PhospheneError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="checks modes of files")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the keys, which nobody has made yet."""
    folder = tmp_path / "settings" / "keys"
    monkeypatch.setenv("PHOSPHENE_KEYS", str(folder))
    return folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def phosphene(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "phosphene", "keys", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_pair_is_read_as_it_was_made_and_is_for_its_user_alone(folder: Path) -> None:
    made = keys.make_pair("worker")
    assert keys.own_pair("worker") == made
    assert keys.own_names() == ["worker"]
    assert (mode(folder), mode(folder / "worker.key")) == (0o700, 0o600)
    assert keys.public_key(str(folder / "worker.pub")) == made.public


def test_a_pair_is_never_overwritten(folder: Path) -> None:
    made = keys.make_pair("worker")
    with pytest.raises(PhospheneError, match="already"):
        keys.make_pair("worker")
    assert keys.own_pair("worker") == made


def test_the_servers_pair_is_made_once(folder: Path) -> None:
    assert keys.server_pair() == keys.server_pair()
    assert keys.own_names() == ["server"]


@pytest.mark.usefixtures("folder")
def test_a_public_key_survives_being_written_as_text() -> None:
    for _ in range(20):
        public = new_keys().public
        assert keys.public_key(keys.as_text(public)) == public


@pytest.mark.usefixtures("folder")
def test_who_is_authorised_is_known_by_name_until_revoked() -> None:
    one, two = new_keys().public, new_keys().public
    keys.authorise(one, "one")
    keys.authorise(two, "two")
    assert keys.authorised() == {one: "one", two: "two"}
    keys.revoke("one")
    assert keys.authorised() == {two: "two"}
    with pytest.raises(PhospheneError, match="authorised: two"):
        keys.revoke("one")


@pytest.mark.usefixtures("folder")
def test_a_key_has_one_name_and_a_name_one_key() -> None:
    one, two = new_keys().public, new_keys().public
    keys.authorise(one, "one")
    keys.authorise(one, "one")
    with pytest.raises(PhospheneError, match="already, as 'one'"):
        keys.authorise(one, "other")
    with pytest.raises(PhospheneError, match="another key"):
        keys.authorise(two, "one")
    assert keys.authorised() == {one: "one"}


@pytest.mark.parametrize("name", ["", "../server", "a/b", ".hidden", "-x", "a b"])
@pytest.mark.usefixtures("folder")
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    acts: list[Callable[[], object]] = [
        lambda: keys.make_pair(name),
        lambda: keys.own_pair(name),
        lambda: keys.authorise(new_keys().public, name),
        lambda: keys.revoke(name),
    ]
    for act in acts:
        with pytest.raises(PhospheneError, match="name has letters"):
            act()


def test_a_secret_is_never_taken_for_a_public_key_nor_told(folder: Path) -> None:
    secret = keys.as_text(keys.make_pair("worker").secret)
    with pytest.raises(PhospheneError, match="no file of a public key") as error:
        keys.public_key(str(folder / "worker.key"))
    assert secret not in str(error.value)


def test_a_file_that_is_no_key_is_named(folder: Path) -> None:
    keys.authorise(new_keys().public, "one")
    (folder / "authorised" / "junk.pub").write_bytes(b"\xff" * 300)
    with pytest.raises(PhospheneError, match=r"junk\.pub"):
        keys.authorised()


@pytest.mark.parametrize("what", ["worker.key", "", "authorised"])
def test_what_others_could_read_or_change_is_refused_with_the_remedy(
    folder: Path, what: str
) -> None:
    keys.make_pair("worker")
    assert keys.authorised() == {}
    (folder / what).chmod(0o750)
    with pytest.raises(PhospheneError, match="chmod"):
        keys.own_pair("worker") if what != "authorised" else keys.authorised()


@pytest.mark.usefixtures("folder")
def test_a_missing_pair_is_told_with_the_command_that_makes_it() -> None:
    with pytest.raises(PhospheneError, match="phosphene keys new worker"):
        keys.own_pair("worker")


def test_the_commands_never_print_a_secret(folder: Path) -> None:
    said = phosphene("new", "server") + phosphene("new", "gpu")
    said += phosphene("authorise", str(folder / "gpu.pub")) + phosphene("list")
    said += phosphene("authorise", str(folder / "gpu.key"), "--name", "x")
    public = keys.own_pair("gpu").public
    assert keys.authorised() == {public: "gpu"}
    assert f"authorised  gpu          {keys.as_text(public)}" in said
    for name in ("server", "gpu"):
        secret = keys.own_pair(name).secret
        assert keys.as_text(secret) not in said
        assert secret.decode() not in said
    assert "not authorised any more" in phosphene("revoke", "gpu")
    assert keys.authorised() == {}
