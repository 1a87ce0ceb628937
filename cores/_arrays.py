"""What both implementations accept as commands and as slots, and how they say no."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cores.records import COMMAND, StateError

Commands = NDArray[np.void]
Events = NDArray[np.void]
Words = NDArray[np.uint64]


def commands_of(commands: Any) -> Commands:
    """The commands as one contiguous array, or an error that says what was given instead."""
    if not isinstance(commands, np.ndarray):
        raise TypeError(f"commands: expected a numpy array of dtype cores.COMMAND, got {type(commands).__name__}")
    if commands.dtype is not COMMAND and commands.dtype != COMMAND:
        raise TypeError(
            f"commands: expected dtype cores.COMMAND, got {commands.dtype}; make it with np.zeros(n, COMMAND)"
        )
    if commands.ndim != 1:
        raise ValueError(f"commands: expected one dimension, got shape {commands.shape}")
    flags = commands.flags
    return commands if flags.c_contiguous and flags.aligned else np.require(commands, requirements=["C", "A"])


def slots_of(slots: Any) -> Words:
    """State slots as (n, 8) words from an array or from bytes."""
    if isinstance(slots, bytes | bytearray | memoryview):
        if len(slots) % 64:
            raise StateError(f"slots: {len(slots)} bytes, not a multiple of 64: cut off or not a state")
        slots = np.frombuffer(slots, "<u8").reshape(-1, 8)
    if not isinstance(slots, np.ndarray) or slots.dtype != np.dtype("<u8"):
        raise TypeError("slots: expected bytes or a numpy array of dtype u8")
    if slots.ndim != 2 or slots.shape[1] != 8:
        raise ValueError(f"slots: expected shape (n, 8), got {slots.shape}")
    return np.require(slots, requirements=["C", "A"])
