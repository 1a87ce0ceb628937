"""Runs the guest's program on this machine: the `replay` backend, and the other half of every comparison.

Why: re-execution is the cheap, complete check for whoever has the archive. It is the same C main that is proved, over
the same sources. It must never be called a proof.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

from proving.guest._native import __file__ as _LIBRARY
from proving.guest._native import run as _run


class GuestStatus(IntEnum):
    """enum guest_status of guest.h."""

    OK = 0
    BAD_INPUT = 1
    BAD_CONFIG = 2
    BAD_STATE = 3
    BAD_COMMAND = 4
    MISSING = 5
    NO_MEMORY = 6


REASONS = {
    GuestStatus.BAD_INPUT: "it is not a guest input of this format, or it was cut or damaged",
    GuestStatus.BAD_CONFIG: "its configuration is none of a core",
    GuestStatus.BAD_STATE: "the shown symbols and accounts are no state of a core, or their order or blocks are wrong",
    GuestStatus.BAD_COMMAND: "sequence or time of its commands do not continue the state's",
    GuestStatus.MISSING: "a command needs a symbol or account that the input leaves out",
    GuestStatus.NO_MEMORY: "the batch needs more memory than the guest has",
}


class GuestError(ValueError):
    """The program refused its input: there is nothing to prove."""

    def __init__(self, status: GuestStatus) -> None:
        super().__init__(f"guest input refused ({status.name}): {REASONS[status]}")
        self.status = status


def run(guest_input: bytes) -> bytes:
    """The 264 public values that this input leads to; GuestError when it leads to none."""
    status, public_values = _run(guest_input)
    if status != GuestStatus.OK:
        raise GuestError(GuestStatus(status))
    return bytes(public_values)


def library_path() -> Path:
    """The compiled program; it exports `int venue_guest_run(const uint8_t *input, size_t size, uint8_t out[264])`."""
    return Path(_LIBRARY)
