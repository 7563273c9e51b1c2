"""Sockets carry messages for authorised keys only, and survive what is not a message."""

import time

import pytest
import zmq

from phosphene.bus import Bus, Keyring, receive, send
from phosphene.connection import KeyPair, new_keys
from phosphene.errors import PhospheneError
from phosphene.messages import GetStatus, Message, Reply

SERVER, FRIEND, STRANGER = new_keys(), new_keys(), new_keys()


def wait_for(socket: zmq.Socket[bytes], routed: bool = False) -> list[tuple[bytes, bytes, Message]]:
    problems: list[str] = []
    socket.poll(2000)
    found = list(receive(socket, problems.append, routed=routed))
    assert not problems
    return found


def test_an_authorised_peer_is_heard_answered_and_known_by_its_key() -> None:
    with Bus(SERVER, Keyring(FRIEND.public)) as server, Bus(FRIEND) as friend:
        router, endpoint = server.bind(zmq.ROUTER)
        dealer = friend.connect(zmq.DEALER, endpoint, SERVER.public)
        send(dealer, GetStatus())
        [(identity, key, message)] = wait_for(router, routed=True)
        assert (key, message) == (FRIEND.public, GetStatus())
        send(router, Reply(ok=True), identity)
        [(_, _, answer)] = wait_for(dealer)
        assert answer == Reply(ok=True)


@pytest.mark.parametrize("keys", [STRANGER, None], ids=["an unknown key", "no key at all"])
def test_a_stranger_is_not_heard(keys: KeyPair | None) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with Bus(SERVER, Keyring(FRIEND.public)) as server:
        router, endpoint = server.bind(zmq.ROUTER)
        dealer = context.socket(zmq.DEALER)
        dealer.linger = 0
        if keys:
            dealer.curve_serverkey = SERVER.public
            dealer.curve_publickey, dealer.curve_secretkey = keys.public, keys.secret
        dealer.connect(endpoint)
        dealer.send_multipart([b"1", b"\x81\xa4type\xa9GetStatus"])
        assert router.poll(500) == 0
        dealer.close()
    context.term()


def test_junk_from_a_friend_is_reported_and_dropped_and_the_next_message_is_served() -> None:
    problems: list[str] = []
    with Bus(SERVER, Keyring(FRIEND.public)) as server, Bus(FRIEND) as friend:
        router, endpoint = server.bind(zmq.ROUTER)
        dealer = friend.connect(zmq.DEALER, endpoint, SERVER.public)
        dealer.send_multipart([b"junk"])
        dealer.send_multipart([b"1", b"\xff", b"more"])
        send(dealer, GetStatus())
        found: list[Message] = []
        end = time.monotonic() + 5
        while not found and time.monotonic() < end:
            router.poll(100)
            found += [m for _, _, m in receive(router, problems.append, routed=True)]
        assert found == [GetStatus()]
        assert len(problems) == 2


def test_no_socket_is_bound_without_an_authenticator() -> None:
    with Bus(SERVER) as bus, pytest.raises(PhospheneError, match="authenticator"):
        bus.bind(zmq.ROUTER)
