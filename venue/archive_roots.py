"""The roots of a batch's records, as the core's own functions make them, and the leaf behind a receipt.

Command and event trees are Poseidon2 with blinded leaves; the deposit accumulator and the tree of withdrawals, which a
contract opens, are SHA-256. spec/archive.md defines them all. Nothing in here may hash in any other way than the guest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from cores._roots import deposits, permute_many, withdrawals

from cores import COMMAND, EVENT, roots
from venue.archive_records import Records, Words

KEPT_INT = 0x3FFFFFFF3FFFFFFF
KEPT = np.uint64(KEPT_INT)
DOMAIN_BLIND = int.from_bytes(b"bind", "little")
DOMAIN_EVENT = int.from_bytes(b"evt", "little")


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


def deposit_acc(previous: bytes, records: Records) -> bytes:
    """SHA-256(previous || seq || account || asset || amount), once for each DEPOSITED event in order."""
    accumulated: bytes = deposits(previous, events_of(records))
    return accumulated


def withdrawal_root(records: Records) -> bytes:
    """RFC 6962 SHA-256 root over the WITHDRAWN events in order; zeros when there is none."""
    root: bytes = withdrawals(events_of(records))
    return root


def event_blind(annex_digest: Words, index: int) -> bytes:
    """What blinds the index-th event of the command with this annex. It tells nothing about the annex."""
    state = np.zeros((1, 8), np.uint64)
    state[0, :4] = annex_digest & KEPT
    state[0, 4:6] = DOMAIN_BLIND, index
    return roots.digest_bytes(permute_many(state)[0, :4])


def event_leaf(event: bytes, blind: bytes) -> bytes:
    """The leaf of an event from its 64 bytes and its blind; raises ValueError for a blind that cannot be one."""
    words = np.frombuffer(event, "<u8").astype(np.uint64)
    assert len(words) == 8, "an event is eight words"
    tag = 0
    for word in words.tolist():  # two bits a half and word, the first word's lowest
        tag = tag >> 2 | (word & ~KEPT_INT)
    state = np.zeros((1, 8), np.uint64)
    state[0, :4] = roots.digest_words(blind)
    for half in (words[:4], words[4:]):
        state[0, 4:] = half & KEPT
        state = permute_many(state)
    state[0, 4:] = tag >> 2, DOMAIN_EVENT, 0, 0
    return roots.digest_bytes(permute_many(state)[0, :4])
