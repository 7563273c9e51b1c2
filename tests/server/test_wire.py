"""What goes into the wire comes out of it, and nothing else gets through."""

import typing

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from phosphene import messages, wire
from phosphene.messages import Message, Pause, PictureMade, Reply, Samples, Status
from phosphene.states import State

MESSAGE_TYPES = typing.get_args(Message)
SAMPLES = st_numpy.arrays(np.float32, st_numpy.array_shapes(min_dims=2, max_dims=2, min_side=0))


def sent(message: Message) -> Message:
    return wire.decode([bytes(frame) for frame in wire.encode(message)])


@given(SAMPLES, st.integers(0, 2**40), st.floats(allow_nan=False))
def test_samples_arrive_bit_for_bit(data: np.ndarray, first: int, offset: float) -> None:
    stamps = np.arange(data.shape[1], dtype=np.float64)
    arrived = sent(Samples("a.xdf", first, data, stamps, offset, 12.5))
    assert isinstance(arrived, Samples)
    assert arrived.data.dtype == np.float32
    assert arrived.data.tobytes() == np.ascontiguousarray(data).tobytes()
    assert arrived.data.shape == data.shape
    np.testing.assert_array_equal(arrived.stamps, stamps)
    assert (arrived.segment, arrived.first, arrived.offset) == ("a.xdf", first, offset)


@pytest.mark.parametrize("kind", MESSAGE_TYPES, ids=lambda kind: kind.__name__)
def test_every_message_has_a_tag_of_its_own_name(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.tag == kind.__name__
    assert kind.__struct_config__.frozen


def test_plain_messages_survive() -> None:
    status = Status(State.RUNNING, "01", "02", problem="the EEG stopped")
    assert sent(status) == status
    assert sent(Reply(ok=False, text="no")) == Reply(ok=False, text="no")


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_junk_is_refused_in_words(frames: list[bytes]) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(frames)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_flipped_byte_gives_a_message_or_a_refusal_but_never_a_crash(at: int, value: int) -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    frames = [
        bytearray(frame)
        for frame in wire.encode(
            PictureMade("picture-1", "n01", "00", picture, {"seed": 1}, 1.0, 2.0)
        )
    ]
    frames[1][at % len(frames[1])] = value
    try:
        message = wire.decode([bytes(frame) for frame in frames])
    except wire.WireError:
        return
    assert isinstance(message, MESSAGE_TYPES)


def test_another_version_is_refused_by_its_number() -> None:
    frames = wire.encode(Pause())
    with pytest.raises(wire.WireError, match=f"version {messages.PROTOCOL} is spoken here"):
        wire.decode([b"99", bytes(frames[1])])


@pytest.mark.parametrize(
    ("dtype", "shape", "frame"),
    [("object", (1,), 2), ("float32", (3,), 2), ("float32", (-1,), 2), ("float32", (1,), 1),
     ("float32", (2**40, 2**40), 2)],
)  # fmt: skip
def test_an_array_that_does_not_fit_its_frame_is_refused(
    dtype: str, shape: tuple[int, ...], frame: int
) -> None:
    array = {"dtype": dtype, "shape": shape, "frame": frame}
    body = {
        "type": "Samples", "segment": "", "first": 0, "data": array, "stamps": array, "offset": 0.0
    }  # fmt: skip
    with pytest.raises(wire.WireError):
        wire.decode([wire.VERSION, msgspec.msgpack.encode(body), b"\0" * 4])
