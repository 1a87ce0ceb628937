"""The roots of a batch's records, and the two facts that a contract opens: deposits taken in, withdrawals owed.

Command and event trees come from `cores.roots` (Poseidon2, blinded leaves). The deposit accumulator and the tree of
withdrawals are SHA-256, made here from the events alone. spec/archive.md defines them all.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import numpy.typing as npt

from cores import COMMAND, EVENT, roots
from venue.archive_records import SEQ_BITS, Records, Words
from venue.columns import DEPOSITED, WITHDRAWN

NO_ROOT = bytes(32)


def annex_digests(records: Records) -> npt.NDArray[np.uint64]:
    """SHA-256 of each annex as four little-endian words."""
    digests: npt.NDArray[np.uint64] = roots.annex_digests(records.annex, records.annex_ends.astype(np.uint64))
    return digests


def command_leaves(records: Records, digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One leaf a command, blinded by its annex digest."""
    leaves: npt.NDArray[np.uint64] = roots.command_leaves(commands_of(records), digests)
    return leaves


def event_leaves(records: Records, digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One leaf an event, blinded by a value derived from the annex digest and the event's index."""
    ends = records.event_ends.astype(np.uint64)
    leaves: npt.NDArray[np.uint64] = roots.event_leaves(events_of(records), ends, digests)
    return leaves


def commands_of(records: Records) -> npt.NDArray[np.void]:
    """The commands as the core's structured array."""
    return np.ascontiguousarray(records.commands).view(COMMAND).reshape(-1)


def events_of(records: Records) -> npt.NDArray[np.void]:
    """The events as the core's structured array."""
    return np.ascontiguousarray(records.events).view(EVENT).reshape(-1)


def deposit_acc(previous: bytes, events: Words) -> bytes:
    """SHA-256(previous || seq || account || asset || amount), once for each DEPOSITED event in order."""
    for event in _of_kind(events, DEPOSITED):
        owner = int(event[2])
        facts = struct.pack(">QQQQ", int(event[1]) >> SEQ_BITS, owner & 0xFFFFFFFF, owner >> 48, int(event[5]))
        previous = hashlib.sha256(previous + facts).digest()
    return previous


def withdrawal_root(events: Words) -> bytes:
    """RFC 6962 SHA-256 root over the WITHDRAWN events in order; zeros when there is none."""
    leaves = [withdrawal_leaf(event) for event in _of_kind(events, WITHDRAWN)]
    if not leaves:
        return NO_ROOT
    while len(leaves) > 1:  # the last of an odd level goes up as it is: the shape of RFC 6962
        pairs = [hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(leaves[::2], leaves[1::2], strict=False)]
        leaves = pairs + leaves[len(pairs) * 2 :]
    return leaves[0]


def withdrawal_leaf(event: npt.NDArray[np.uint64]) -> bytes:
    """SHA-256(0x00 || address[20] || asset || amount || seq)."""
    address = np.array([event[3], event[4], event[7]], "<u8").tobytes()[:20]
    facts = struct.pack(">QQQ", int(event[2]) >> 48, int(event[5]), int(event[1]) >> SEQ_BITS)
    return hashlib.sha256(b"\x00" + address + facts).digest()


def _of_kind(events: Words, kind: int) -> Words:
    found: Words = events[(events[:, 0] & np.uint64(0xFF)) == kind]
    return found
