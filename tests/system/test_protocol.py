"""A client made from ``docs/protocol.md`` alone runs a session: pyzmq and msgpack, nothing else."""

import json
import time
from typing import Any

import msgpack
import zmq

Message = dict[str, Any]


class PlainClient:
    """Speaks the documented protocol; imports nothing of phosphene."""

    def __init__(self, connection_file: Any) -> None:
        told = json.loads(connection_file.read_text())
        assert told["protocol"] == 1
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.control = self._connect(zmq.DEALER, told["control"], told)
        self.facts = self._connect(zmq.SUB, told["facts"], told)
        self.facts.subscribe(b"")

    def _connect(self, kind: int, endpoint: str, told: Message) -> "zmq.Socket[bytes]":
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.curve_serverkey = told["server_key"].encode()
        socket.curve_publickey = told["public_key"].encode()
        socket.curve_secretkey = told["secret_key"].encode()
        socket.connect(endpoint)
        return socket

    def ask(self, kind: str, **fields: Any) -> Message:
        self.control.send_multipart([b"1", msgpack.packb({"type": kind, **fields})])
        assert self.control.poll(5000), f"no answer to {kind}"
        version, body = self.control.recv_multipart()
        assert version == b"1"
        answer: Message = msgpack.unpackb(body)
        return answer

    def published(self, timeout: float) -> list[Message]:
        found = []
        while self.facts.poll(timeout * 1000):
            found.append(msgpack.unpackb(self.facts.recv_multipart()[1]))
        return found

    def wait_for(self, state: str, seconds: float = 60) -> Message:
        end = time.monotonic() + seconds
        while (status := self.ask("GetStatus"))["state"] != state:
            assert status["state"] != "failed", status["problem"]
            assert time.monotonic() < end, f"waited for {state} in vain: {status}"
            time.sleep(0.05)
        return status

    def close(self) -> None:
        self._context.destroy(linger=0)


def test_a_whole_session_from_the_documentation_alone(server: Any) -> None:
    client = PlainClient(server.connection_file)
    try:
        client.wait_for("ready")
        early = client.ask("Resume")
        assert early["type"] == "Reply"
        assert early["ok"] is False
        assert "ready" in early["text"]
        assert client.ask("Start") == {"type": "Reply", "ok": True, "text": ""}
        client.wait_for("running")
        assert client.ask("Pause")["ok"] is True
        paused = client.wait_for("paused")
        assert paused["blocks_done"] == 0
        assert client.ask("Resume")["ok"] is True
        states = []
        status: Message = {}
        end = time.monotonic() + 60
        while status.get("state") != "finished":
            assert time.monotonic() < end
            for fact in client.published(0.5):
                if fact["type"] == "Status":
                    status = fact
                    states.append(fact["state"])
        assert {"running", "resting", "closing", "finished"} <= set(states)
        assert status["blocks_done"] == status["blocks_total"] == 3
        assert status["trials_shown"] >= 12
        assert status["n_markers"] == status["trials_shown"]
        assert status["n_samples"] > 0
        assert status["problem"] == ""
    finally:
        client.close()
    code, printed = server.wait()
    assert code == 0, printed
    assert "finished" in printed
    assert not server.connection_file.exists()


def test_a_client_with_the_wrong_key_is_not_answered(server: Any) -> None:
    told = json.loads(server.connection_file.read_text())
    public, secret = zmq.curve_keypair()
    told |= {"public_key": public.decode(), "secret_key": secret.decode()}
    server.connection_file.with_name("stolen.json").write_text(json.dumps(told))
    client = PlainClient(server.connection_file.with_name("stolen.json"))
    try:
        client.control.send_multipart([b"1", msgpack.packb({"type": "Stop"})])
        assert client.control.poll(1000) == 0
    finally:
        client.close()
    friend = PlainClient(server.connection_file)
    try:
        assert friend.ask("GetStatus")["state"] in ("configured", "ready")
        assert friend.ask("Stop", reason="the test is over")["ok"] is True
    finally:
        friend.close()
    code, _ = server.wait()
    assert code == 0


def test_a_message_that_only_children_may_send_is_refused(server: Any) -> None:
    client = PlainClient(server.connection_file)
    try:
        refusal = client.ask("Failed", role="acquisition", text="a lie")
        assert refusal["ok"] is False
        assert "not a command" in refusal["text"]
        assert client.ask("GetStatus")["state"] in ("configured", "ready")
    finally:
        client.close()
