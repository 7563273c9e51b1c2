"""Files of torch, read without running what they may hold."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from phosphene import PhospheneError

HARMLESS: tuple[Any, ...] = (
    np.float64(0).__reduce__()[0],  # It makes a number of a type and its bytes.
    np.dtype,
    *{type(np.dtype(code)) for code in ("int64", "int32", "float64", "float32")},
)
"""What numpy's numbers consist of, and nothing else."""


def load(path: Path) -> Any:  # noqa: ANN401
    """Return the content of a file of tensors, plain containers, texts and numbers.

    Raises ``PhospheneError`` if it cannot be read, or holds anything that might be code.
    """
    try:
        with torch.serialization.safe_globals([*HARMLESS, *_old_names()]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise PhospheneError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception as error:  # A damaged or malicious pickle makes torch raise almost anything.
        reason = str(error).strip().splitlines()[0]
        raise PhospheneError(
            f"{path}: it is no file of tensors, texts and numbers, and is not opened: {reason}"
        ) from None


def _old_names() -> list[tuple[Any, str]]:
    """Return how numpy before 2.0 called the same function."""
    return [(HARMLESS[0], "numpy.core.multiarray.scalar")]
