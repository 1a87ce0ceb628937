"""Executes a batch again, natively, through the very sources of the guest.

This is the cheapest check there is and a complete one for whoever has the batch's input: the same C that is proved,
compiled for this machine, over the same bytes. It proves nothing to anybody else. It must give exactly the public
values that the guest gives in the zkVM; the tests compare the two.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

from proving.errors import NotBuilt, ProvingError

PUBLIC_VALUES_BYTES = 264


class ReplayFailed(ProvingError, RuntimeError):
    """The guest could not make sense of the input."""


def run_guest(guest_input: bytes) -> bytes:
    """The public values of the guest's run over this input."""
    public_values = ctypes.create_string_buffer(PUBLIC_VALUES_BYTES)
    code = _library().venue_guest_run(guest_input, len(guest_input), public_values)
    if code != 0:
        raise ReplayFailed(f"the guest refuses this input with code {code}: it is no batch input, or a damaged one")
    return public_values.raw


@cache
def _library() -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(_library_path()))
    loaded.venue_guest_run.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p]
    loaded.venue_guest_run.restype = ctypes.c_int
    return loaded


def _library_path() -> Path:
    try:
        from proving.guest import native
    except ImportError as error:
        raise NotBuilt(f"the native guest is not part of this installation: {error}") from error
    return Path(native.library_path())
