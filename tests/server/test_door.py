"""The door lets in authorised workers, believes little of what they say, and notices their end."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

from phosphene import door as door_module
from phosphene import keys
from phosphene.bus import Bus, Keyring, receive, send
from phosphene.choice import Chosen
from phosphene.clock import RealClock
from phosphene.closed_loop import WorkerSettings
from phosphene.connection import KeyPair, new_keys
from phosphene.door import MOST_TOLD, TURN, Door
from phosphene.errors import PhospheneError
from phosphene.events import Onset
from phosphene.interfaces import GeneratorConfig
from phosphene.messages import (
    Alive,
    DropPicture,
    Failed,
    GetStatus,
    Hello,
    MakePicture,
    Message,
    PictureFailed,
    PictureMade,
    Prepare,
    Quit,
    Ready,
    RejectPicture,
    Reply,
    Samples,
    Serve,
    Stop,
    Trained,
)

CLASSES = {"n01": "cat", "n02": "dog"}
PIXELS = np.full((4, 6, 3), 9, np.uint8)


class Painting(GeneratorConfig, frozen=True):
    shade: int = 7
    model: Path = Path("/weights/of/that/machine")


def settings(bind: str = "tcp://127.0.0.1:*") -> WorkerSettings:
    return WorkerSettings(bind, Chosen("painting", Painting()))


def order(number: int) -> MakePicture:
    return MakePicture(f"picture-{number:04d}", ("n01", "n02"), (1.0, 0.0), seed=number)


def answer(number: int, pixels: np.ndarray = PIXELS, wnid: str = "n01") -> PictureMade:
    return PictureMade(order(number).id, wnid, "?", pixels, {"seed": 1, "worker": "me"}, -5.0, 1e9)


class Caller:
    """Somebody who connects to the door, with one key or another."""

    def __init__(self, door: Door, own: KeyPair) -> None:
        self._bus = Bus(own)
        self.socket = self._bus.connect(zmq.DEALER, door.endpoint, keys.own_pair("server").public)
        self.heard: list[Message] = []

    def say(self, *messages: Message) -> None:
        for message in messages:
            send(self.socket, message)

    def hear(self, kind: type[Message]) -> list[Message]:
        """Return what was said to it so far, of one kind."""
        self.heard += [message for _, _, message in receive(self.socket, pytest.fail)]
        return [message for message in self.heard if isinstance(message, kind)]

    def close(self) -> None:
        self.socket.close(linger=0)
        self._bus.close()


@pytest.fixture(autouse=True)
def _key_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOSPHENE_KEYS", str(tmp_path / "keys"))


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door(settings(), CLASSES, seed=3)
    yield door
    door.close()


@pytest.fixture
def call(door: Door) -> Iterator[Callable[[str], Caller]]:
    """Return what calls at the door with a key of a name, authorised or "unknown"."""
    callers: list[Caller] = []

    def call(name: str) -> Caller:
        pair = new_keys()
        if name != "unknown":
            keys.authorise(pair.public, name)
        callers.append(Caller(door, pair))
        return callers[-1]

    yield call
    for caller in callers:
        caller.close()


@pytest.fixture
def worker(door: Door, call: Callable[[str], Caller]) -> Caller:
    """A worker that serves."""
    worker = call("gpu")
    worker.say(Hello("worker"))
    until(door, lambda: worker.hear(Serve))
    worker.say(Ready("worker"))
    assert until(door, lambda: door.serving) == [Ready("worker")]
    return worker


def until(door: Door, condition: Callable[[], object], timeout: float = 10.0) -> list[Message]:
    """Turn the server's loop until something is the case; return the facts of the meantime."""
    facts: list[Message] = []
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"it did not come to pass; facts: {facts}"
        door.socket.poll(10)
        facts += door.receive()
    return facts


def facts_for(door: Door, seconds: float) -> list[Message]:
    """Return the facts of some time."""
    end = time.monotonic() + seconds
    return until(door, lambda: time.monotonic() > end)


def next_facts(door: Door) -> list[Message]:
    """Return the next facts that there are."""
    end = time.monotonic() + 10
    while not (facts := door.receive()):
        assert time.monotonic() < end, "there were none"
        door.socket.poll(10)
    return facts


def test_a_worker_is_told_its_work_and_serves_when_it_is_ready(
    door: Door, call: Callable[[str], Caller]
) -> None:
    worker = call("gpu")
    worker.say(Hello("worker"))
    until(door, lambda: worker.hear(Serve))
    choice = {"painting": {"shade": 7, "model": "/weights/of/that/machine"}}
    assert worker.hear(Serve) == [Serve(choice, CLASSES, 3)]
    assert not door.serving
    worker.say(Ready("server", endpoints={"onsets": "tcp://evil", "samples": "tcp://evil"}))
    assert until(door, lambda: door.serving) == [Ready("worker")]


def test_a_picture_has_the_servers_times_its_own_hash_and_the_workers_name(
    door: Door, worker: Caller
) -> None:
    before = RealClock().now()
    door.send(order(1))
    until(door, lambda: worker.hear(MakePicture) == [order(1)])
    sent_by = RealClock().now()
    worker.say(answer(1))
    [made] = next_facts(door)
    assert isinstance(made, PictureMade)
    np.testing.assert_array_equal(made.pixels, PIXELS)
    assert before <= made.started <= sent_by <= made.generated <= RealClock().now()
    assert made.provenance == {"seed": 1, "worker": "gpu"}
    assert len(made.sha256) == 64
    assert (made.id, made.wnid) == ("picture-0001", "n01")
    assert door.unanswered() == []


def test_a_failed_picture_is_told_and_not_owed(door: Door, worker: Caller) -> None:
    door.send(order(1))
    worker.say(PictureFailed(order(1).id, "out of memory"))
    assert next_facts(door) == [PictureFailed(order(1).id, "worker 'gpu': out of memory")]
    door.dismiss("enough")
    assert door.unanswered() == []


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (answer(1, PIXELS.astype(np.float32)), "uint8, found float32, shape (4, 6, 3)"),
        (answer(1, PIXELS[..., 0]), "found uint8, shape (4, 6)"),
        (answer(1, PIXELS[:0]), "found uint8, shape (0, 6, 3)"),
        (answer(1, wnid="n99"), "expected one of n01, n02, found 'n99'"),
    ],
    ids=["of floats", "of two dimensions", "empty", "of another class"],
)
def test_a_picture_that_cannot_be_shown_is_a_failed_one(
    door: Door, worker: Caller, bad: PictureMade, text: str
) -> None:
    door.send(order(1))
    worker.say(bad)
    [failed] = next_facts(door)
    assert isinstance(failed, PictureFailed)
    assert text in failed.text
    assert door.serving


def test_a_picture_that_nobody_asked_for_or_that_was_dropped_changes_nothing(
    door: Door, worker: Caller
) -> None:
    door.send(order(1))
    door.send(DropPicture(order(1).id))
    worker.say(answer(1), answer(2), PictureFailed("picture-0003", "?"))
    door.send(order(4))
    worker.say(answer(4))
    [made] = next_facts(door)
    assert isinstance(made, PictureMade)
    assert made.id == "picture-0004"
    assert worker.hear(DropPicture) == [DropPicture(order(1).id)]


def test_an_unknown_key_gets_no_answer_and_is_not_heard(
    door: Door, call: Callable[[str], Caller]
) -> None:
    stranger = call("unknown")
    stranger.say(Hello("worker"), Ready("worker"))
    assert facts_for(door, 1.0) == []
    assert not door.serving
    assert stranger.hear(Message) == []  # type: ignore[arg-type]


def test_a_caller_without_a_key_is_not_heard(door: Door) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.connect(door.endpoint)
    send(stranger, Hello("worker"))
    assert facts_for(door, 0.5) == []
    assert stranger.poll(0) == 0
    context.destroy(linger=0)


def test_a_revoked_worker_is_cut_off_and_what_it_owed_is_handed_back(
    door: Door, worker: Caller
) -> None:
    door.send(order(1))
    until(door, lambda: worker.hear(MakePicture))
    keys.revoke("gpu")
    revoked = time.monotonic()
    worker.say(answer(1), Alive("worker"))
    facts = until(door, lambda: not door.serving)
    assert time.monotonic() - revoked < 1.0
    facts += facts_for(door, 0.1)
    assert facts == [Failed("worker", "worker 'gpu' is lost: its key is no longer authorised")]
    assert door.unanswered() == [order(1)]
    worker.hear(Alive)
    worker.heard.clear()
    worker.say(Hello("worker"), Ready("worker"), Alive("worker"))
    assert facts_for(door, 1.0) == []
    assert worker.hear(Message) == []  # type: ignore[arg-type]


def test_a_revoked_key_can_be_authorised_again_while_the_door_is_open(
    door: Door, call: Callable[[str], Caller]
) -> None:
    pair = new_keys()
    first, second = Caller(door, pair), Caller(door, pair)
    first.say(Hello("worker"))
    assert facts_for(door, 0.5) == []
    keys.authorise(pair.public, "late")
    third = Caller(door, pair)
    third.say(Hello("worker"))
    until(door, lambda: third.hear(Serve))
    for caller in (first, second, third):
        caller.close()


def test_a_key_folder_that_cannot_be_read_lets_nobody_in(
    door: Door, call: Callable[[str], Caller]
) -> None:
    worker = call("gpu")
    (keys.key_folder() / "authorised" / "junk.pub").write_text("junk")
    worker.say(Hello("worker"))
    assert facts_for(door, 0.5) == []
    (keys.key_folder() / "authorised" / "junk.pub").unlink()
    again = call("gpu2")
    again.say(Hello("worker"))
    until(door, lambda: again.hear(Serve))


FOREIGN: list[Message] = [
    Stop(),
    GetStatus(),
    RejectPicture("picture-0001"),
    Prepare(),
    Quit(),
    Trained("/somewhere", "00"),
    Serve({}, {}, 1),
    Samples("a", 0, np.zeros((1, 1), np.float32), np.zeros(1), 0.0, 0.0),
    Reply(ok=True),
    Onset(1, "stimulus", 0, 0, 0.5, "feedback", 1, 1, 1, 1, "n01", "", ""),
]


@pytest.mark.parametrize("message", FOREIGN, ids=lambda message: type(message).__name__)
def test_what_no_worker_has_to_say_changes_nothing(
    door: Door, worker: Caller, message: Message, capfd: pytest.CaptureFixture[str]
) -> None:
    worker.say(message)
    door.send(order(1))
    worker.say(answer(1))
    [made] = next_facts(door)
    assert isinstance(made, PictureMade)
    assert f"{type(message).__name__} is nothing that a worker may send" in capfd.readouterr().err


def test_malformed_frames_change_nothing(door: Door, worker: Caller) -> None:
    junk = [[b"junk"], [b""], [b"1", b"\xff"], [b"9", b"\x80"], [b"1", b"\x80", b"x"], [b"x"] * 50]
    for frames in junk:
        worker.socket.send_multipart(frames)
    huge = {"dtype": "uint8", "shape": (2**40, 3, 3), "frame": 2}
    worker.socket.send_multipart([b"1", zmq.utils.jsonapi.dumps(huge), b"0"])
    door.send(order(1))
    worker.say(answer(1))
    [made] = next_facts(door)
    assert isinstance(made, PictureMade)


def test_an_oversized_frame_ends_the_connection_of_its_sender_alone(
    door: Door, worker: Caller, call: Callable[[str], Caller]
) -> None:
    other = call("other")
    other.say(Hello("worker"))
    until(door, lambda: other.hear(Reply))
    door.send(order(1))
    worker.socket.send_multipart([b"1", b"\0" * (17 * 1024 * 1024)])
    facts = until(door, lambda: not door.serving)
    facts += facts_for(door, 0.1)
    assert [type(fact) for fact in facts] == [Failed]
    assert door.unanswered() == [order(1)]
    other.say(Alive("worker"))
    until(door, lambda: other.hear(Serve))


def test_a_talker_does_not_keep_the_server_nor_fill_its_log(
    door: Door, worker: Caller, capfd: pytest.CaptureFixture[str]
) -> None:
    worker.say(*[PictureFailed("x", "y")] * 500)
    time.sleep(0.5)
    door.receive()
    told = capfd.readouterr().err.splitlines()
    assert 0 < len(told) <= TURN
    facts_for(door, 0.5)
    assert len(told) + len(capfd.readouterr().err.splitlines()) == MOST_TOLD


def test_a_second_worker_waits_and_takes_over(
    door: Door, worker: Caller, call: Callable[[str], Caller]
) -> None:
    other = call("other")
    other.say(Hello("worker"))
    until(door, lambda: other.hear(Reply))
    assert other.hear(Reply) == [Reply(ok=False, text="worker 'gpu' serves this session already")]
    other.say(Ready("worker"), answer(1), Failed("worker", "mine"))
    assert facts_for(door, 0.3) == []
    assert door.serving
    worker.say(Failed("worker", "ended by hand"))
    assert next_facts(door) == [Failed("worker", "worker 'gpu' is lost: ended by hand")]
    other.say(Alive("worker"))
    until(door, lambda: other.hear(Serve))
    other.say(Ready("worker"))
    assert next_facts(door) == [Ready("worker")]


def test_a_silent_worker_is_lost_and_taken_again_when_it_speaks(door: Door, worker: Caller) -> None:
    door.send(order(1))
    door.send(order(2))
    [lost] = next_facts(door)
    assert lost == Failed("worker", "worker 'gpu' is lost: nothing was heard of it for 2 s")
    assert not door.serving
    assert door.unanswered() == [order(1), order(2)]
    assert door.unanswered() == []
    worker.heard.clear()
    worker.say(answer(1), Alive("worker"))
    until(door, lambda: worker.hear(Serve))
    worker.say(Ready("worker"))
    assert next_facts(door) == [Ready("worker")]
    worker.say(answer(2))
    assert facts_for(door, 0.2) == []


def test_a_worker_is_heard_twice_a_second_and_so_is_the_server(door: Door, worker: Caller) -> None:
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        worker.say(Alive("worker"))
        assert facts_for(door, 0.3) == []
    assert door.serving
    assert len(worker.hear(Alive)) >= 4


def test_a_worker_that_hangs_up_is_lost_at_the_next_heartbeat(door: Door, worker: Caller) -> None:
    worker.socket.close(linger=0)
    [lost] = next_facts(door)
    assert lost == Failed("worker", "worker 'gpu' is lost: it has closed the connection")


def test_a_dismissed_worker_serves_again_when_it_says_that_it_is_ready(
    door: Door, worker: Caller
) -> None:
    door.send(order(1))
    door.dismiss("it hangs")
    assert door.receive() == [Failed("worker", "worker 'gpu' is lost: it hangs")]
    assert door.unanswered() == [order(1)]
    worker.hear(Serve)
    worker.heard.clear()
    worker.say(Alive("worker"))
    until(door, lambda: worker.hear(Serve))
    assert not door.serving
    worker.say(Ready("worker"))
    assert next_facts(door) == [Ready("worker")]


def test_a_door_through_which_nobody_comes_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door_module, "UNATTENDED", 0.05)
    door = Door(settings(), CLASSES, seed=3)
    assert facts_for(door, 0.5) == [Failed("worker", f"no worker has come to {door.endpoint}")]
    door.close()


def test_without_a_worker_there_is_nobody_to_send_to(door: Door) -> None:
    with pytest.raises(PhospheneError, match="no worker"):
        door.send(order(1))


def test_a_worker_is_told_when_the_session_is_over() -> None:
    door = Door(settings(), CLASSES, seed=3)
    pair = new_keys()
    keys.authorise(pair.public, "gpu")
    worker = Caller(door, pair)
    worker.say(Hello("worker"))
    until(door, lambda: worker.hear(Serve))
    door.close()
    assert worker.socket.poll(2000)
    assert worker.hear(Quit) == [Quit()]
    worker.close()


@pytest.mark.parametrize("address", ["tcp://192.0.2.7:5700", "tcp://nowhere", "127.0.0.1:5700"])
def test_an_address_that_cannot_be_used_is_told(address: str) -> None:
    with pytest.raises(PhospheneError, match=r"worker\.bind: cannot listen at"):
        Door(settings(address), CLASSES, seed=3)


def test_an_address_that_is_taken_is_told(door: Door) -> None:
    with pytest.raises(PhospheneError, match="in use"):
        Door(settings(door.endpoint), CLASSES, seed=3)


def test_the_door_can_face_every_network() -> None:
    Door(settings("tcp://0.0.0.0:*"), CLASSES, seed=3).close()


def test_a_door_that_would_let_in_strangers_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "REFUSAL_TIME", 500)
    monkeypatch.setattr(door_module._Authorised, "callback", lambda *_: True)
    with pytest.raises(PhospheneError, match="does not refuse an unknown key"):
        Door(settings(), CLASSES, seed=3)


def test_without_its_authenticator_a_bound_socket_lets_in_nobody() -> None:
    server, friend = new_keys(), new_keys()
    with Bus(server, Keyring(friend.public)) as bus, Bus(friend) as caller:
        router, endpoint = bus.bind(zmq.ROUTER)
        assert bus._authenticator
        bus._authenticator.stop()
        dealer = caller.connect(zmq.DEALER, endpoint, server.public)
        send(dealer, Hello("worker"))
        assert router.poll(1000) == 0
        dealer.close(linger=0)
