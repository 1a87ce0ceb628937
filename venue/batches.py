"""The record of a sealed batch, and the Merkle tree that the chain keeps over such records.

A batch is a contiguous run of journal sequence numbers. Its record is what the archive writes beside the Arrow file,
what the chain commits to and what a proof speaks of: one layout of 304 bytes, written down once, here and in the
contract. The public values of statement 1 are the 264 bytes in its middle, so that a contract can slice them out.

    batch_id u64 | public values (264) | archive_sha256 (32)

    public values: format u64 (= 1) | first_seq u64 | last_seq u64 | command_count u64 | event_count u64 |
                   prev_state_root | state_root | command_root | event_root | prev_deposit_acc | deposit_acc |
                   withdrawal_root                                        (integers big-endian, roots 32 bytes)

The tree over records is the one of RFC 6962 with SHA-256. Nothing in here reads a file or a clock, and nothing may
accept a record that breaks its own bounds.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields

FORMAT = 1
PUBLIC_VALUES_BYTES = 264
RECORD_BYTES = 304
_INTEGERS = struct.Struct(">QQQQQQ")
_ROOTS = (
    "prev_state_root",
    "state_root",
    "command_root",
    "event_root",
    "prev_deposit_acc",
    "deposit_acc",
    "withdrawal_root",
    "archive_sha256",
)
_U64_MAX = (1 << 64) - 1


class RecordError(ValueError):
    """A batch record that is malformed or breaks its own bounds."""


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """What is committed of one batch; bounds are checked when it is made."""

    batch_id: int
    first_seq: int
    last_seq: int
    command_count: int
    event_count: int
    prev_state_root: bytes
    state_root: bytes
    command_root: bytes
    event_root: bytes
    prev_deposit_acc: bytes
    deposit_acc: bytes
    withdrawal_root: bytes
    archive_sha256: bytes

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise RecordError unless every field is within its bounds and the counts fit the sequence numbers."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _ROOTS:
                if not isinstance(value, bytes) or len(value) != 32:
                    raise RecordError(f"batch record: {field.name} must be 32 bytes, got {value!r}")
            elif type(value) is not int or not 0 <= value <= _U64_MAX:
                raise RecordError(f"batch record: {field.name} must be an integer of 0..2^64-1, got {value!r}")
        if self.first_seq < 1 or self.last_seq < self.first_seq:
            raise RecordError(f"batch record {self.batch_id}: sequence {self.first_seq}..{self.last_seq} is not a run")
        if self.command_count != self.last_seq - self.first_seq + 1:
            raise RecordError(
                f"batch record {self.batch_id}: {self.command_count} commands cannot be "
                f"sequence {self.first_seq}..{self.last_seq}; every sequence number is one command"
            )

    def public_values(self) -> bytes:
        """The 264 bytes that a proof of statement 1 commits to."""
        return self.to_bytes()[8 : 8 + PUBLIC_VALUES_BYTES]

    def to_bytes(self) -> bytes:
        """The 304 bytes that are hashed into the tree of records."""
        head = _INTEGERS.pack(
            self.batch_id, FORMAT, self.first_seq, self.last_seq, self.command_count, self.event_count
        )
        record = head + b"".join(getattr(self, name) for name in _ROOTS)
        assert len(record) == RECORD_BYTES
        return record

    @classmethod
    def from_bytes(cls, record: bytes) -> BatchRecord:
        """Read a record back; raises RecordError for a wrong length, another format or broken bounds."""
        if len(record) != RECORD_BYTES:
            raise RecordError(f"a batch record has {RECORD_BYTES} bytes, got {len(record)}")
        batch_id, version, *integers = _INTEGERS.unpack_from(record)
        if version != FORMAT:
            raise RecordError(f"batch record {batch_id}: format {version} is not known, only {FORMAT}")
        roots = [record[start : start + 32] for start in range(_INTEGERS.size, RECORD_BYTES, 32)]
        return cls(batch_id, *integers, *roots)

    @classmethod
    def from_public_values(cls, batch_id: int, public_values: bytes, archive_sha256: bytes) -> BatchRecord:
        """The record of a batch whose public values were just made."""
        return cls.from_bytes(struct.pack(">Q", batch_id) + public_values + archive_sha256)


def leaf_hash(record: bytes) -> bytes:
    """Leaf of the tree of records."""
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Inner node of the tree of records."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def record_root(records: Sequence[BatchRecord]) -> bytes:
    """Root over one or more records in order."""
    if not records:
        raise RecordError("a tree of records needs at least one record")
    return _root([leaf_hash(record.to_bytes()) for record in records])


def record_path(records: Sequence[BatchRecord], index: int) -> list[bytes]:
    """Sibling hashes of one record, from the leaf upwards."""
    if not 0 <= index < len(records):
        raise RecordError(f"there is no record {index} among {len(records)}")
    return _path([leaf_hash(record.to_bytes()) for record in records], index)


def verify_record_path(record: BatchRecord, index: int, count: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `record` is number `index` of the `count` records behind `root`."""
    if not 0 <= index < count:
        return False
    node, last, digest = index, count - 1, leaf_hash(record.to_bytes())
    for sibling in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            digest = node_hash(sibling, digest)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            digest = node_hash(digest, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and digest == root


def _split(count: int) -> int:
    """Largest power of two below `count`, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    middle = _split(len(leaves))
    return node_hash(_root(leaves[:middle]), _root(leaves[middle:]))


def _path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    if len(leaves) == 1:
        return []
    middle = _split(len(leaves))
    if index < middle:
        return [*_path(leaves[:middle], index), _root(leaves[middle:])]
    return [*_path(leaves[middle:], index - middle), _root(leaves[:middle])]
