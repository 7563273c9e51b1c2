"""Messages to ZeroMQ frames and back: version, msgpack, then one raw frame for each array."""

from collections.abc import Sequence

import msgspec
import numpy as np

from phosphene.errors import PhospheneError
from phosphene.messages import PROTOCOL, Message

VERSION = str(PROTOCOL).encode()
MAX_FRAMES = 8
DTYPES = frozenset({"float32", "float64", "uint8"})


class WireError(PhospheneError):
    """Frames that are not a message of this protocol."""


class _Array(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What msgpack says of an array; its bytes are frame number ``frame``."""

    dtype: str
    shape: tuple[int, ...]
    frame: int


def encode(message: Message) -> list[bytes | memoryview]:
    """Return the frames of a message."""
    frames: list[bytes | memoryview] = [VERSION, b""]

    def describe(value: object) -> _Array:
        array = np.ascontiguousarray(value)
        frames.append(array.data.cast("B") if array.size else b"")
        return _Array(array.dtype.name, array.shape, len(frames) - 1)

    frames[1] = msgspec.msgpack.Encoder(enc_hook=describe).encode(message)
    return frames


def decode(frames: Sequence[bytes | memoryview]) -> Message:
    """Return the message; arrays are read-only views of their frames.

    Raises ``WireError`` for another version, an unknown type or field, or a wrong array size.
    """
    if not 2 <= len(frames) <= MAX_FRAMES:
        raise WireError(f"a message has 2 to {MAX_FRAMES} frames; found {len(frames)}")
    if bytes(frames[0]) != VERSION:
        raise WireError(f"protocol version {PROTOCOL} is spoken here; found {bytes(frames[0])!r}")

    def rebuild(_type: type, value: object) -> np.ndarray:
        array = msgspec.convert(value, _Array)
        return _view(array, frames)

    decoder = msgspec.msgpack.Decoder(Message, dec_hook=rebuild)
    try:  # msgspec lets a UnicodeDecodeError through, which is a ValueError.
        message: Message = decoder.decode(frames[1])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(f"not a message: {error}") from None
    return message


def _view(array: _Array, frames: Sequence[bytes | memoryview]) -> np.ndarray:
    if array.dtype not in DTYPES:
        raise ValueError(f"array type {array.dtype!r} is not one of {', '.join(sorted(DTYPES))}")
    if not 2 <= array.frame < len(frames) or any(n < 0 for n in array.shape):
        raise ValueError("an array names a frame or shape that cannot be")
    flat = np.frombuffer(frames[array.frame], dtype=np.uint8)
    itemsize = np.dtype(array.dtype).itemsize
    size = itemsize
    for n in array.shape:
        size *= n
    if size != flat.size:
        raise ValueError(f"an array of {size} bytes came in a frame of {flat.size}")
    return flat.view(array.dtype).reshape(array.shape)
