"""Executes a batch again, natively, through the very sources of the guest.

This is the cheapest check there is and a complete one for whoever has the batch's input: the same C that is proved,
compiled for this machine, over the same bytes. It proves nothing to anybody else. It must give exactly the public
values that the guest gives in the zkVM; the tests compare the two.
"""

from __future__ import annotations

from proving.errors import NotBuilt, ProvingError


class ReplayFailed(ProvingError, ValueError):
    """The guest refuses the input."""


def run_guest(guest_input: bytes) -> bytes:
    """The public values of the guest's run over this input."""
    try:
        from proving.guest import native
    except ImportError as error:
        raise NotBuilt(
            f"the native guest is not built; build it with: python setup.py build_ext --inplace ({error})"
        ) from error
    try:
        return native.run(guest_input)
    except native.GuestError as error:
        raise ReplayFailed(str(error)) from error
