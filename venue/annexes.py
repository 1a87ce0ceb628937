"""FIX fields out of many annexes at once.

An annex is `salt[16] || body`; the body of a FIX command is `35=<MsgType>` and the body fields of the message exactly
as the member sent them, `tag=value` each ended by SOH. The archive needs a dozen of those tags for every order, so
they are found for a whole batch by array operations: no Python per annex. Nothing in here changes an annex, and a
body that is no FIX at all simply has no fields.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SALT_BYTES = 16
SOH = 1
TAG_BYTES_MAX = 7  # with its "=" a tag fits one 8-byte load

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]


def binary_array(blob: U8 | bytes, ends: U64 | I64) -> pa.Array:
    """Annexes as an Arrow binary array over the blob: `ends[i]` is where annex i ends."""
    offsets = np.zeros(len(ends) + 1, np.int32)
    assert len(ends) == 0 or int(ends[-1]) < 2**31, "a batch's annexes fit 32-bit offsets"
    offsets[1:] = ends
    return pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(blob)])


def blob_of(array: pa.Array) -> tuple[U8, I64]:
    """The bytes of an Arrow binary or string array without nulls, and where each value ends."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    assert array.null_count == 0, "every value is there"
    _, offset_buffer, data = array.buffers()
    if len(array) == 0 or offset_buffer is None:
        return np.zeros(0, np.uint8), np.zeros(0, np.int64)
    offsets = np.frombuffer(offset_buffer, np.int32)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    blob = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return blob[offsets[0] : offsets[-1]], offsets[1:] - offsets[0]


@dataclass
class Slices:
    """One value (or none) for each annex: where it starts and ends in the blob."""

    starts: I64
    ends: I64

    @property
    def present(self) -> Bool:
        return self.ends > self.starts


class Annexes:
    """The fields of a run of annexes, found once; `values` answers for one tag."""

    def __init__(self, blob: U8, ends: I64) -> None:
        self.count = len(ends)
        self.blob = np.concatenate([blob, np.zeros(8, np.uint8)])
        self._bodies = np.concatenate([np.zeros(1, np.int64), ends[:-1]]) + SALT_BYTES if self.count else ends
        self._find_fields(ends)
        self._parties: tuple[I64, U64] | None = None

    def check(self) -> None:
        """Assert that fields are in order and inside their annexes."""
        assert np.all(self._starts <= self._ends)
        assert np.all(self._starts[1:] > self._ends[:-1])
        assert len(self._starts) == len(self._owners) == len(self._words)

    def from_member(self) -> Bool:
        """Which annexes came over FIX (a member's own request) and not from an operator's verb."""
        return self.values(b"35").present

    def values(self, tag: bytes) -> Slices:
        """Where the first value of `tag` lies in each annex."""
        return self._slices(np.flatnonzero(self._is(tag)), len(tag) + 1)

    def party(self, role: int) -> Slices:
        """PartyID(448) of the party whose PartyRole(452) is `role`: the group's order is 448, [447,] 452."""
        if self._parties is None:
            self._parties = self._find_parties()
        ids, roles = self._parties
        text = str(role).encode()
        return self._slices(ids[(roles & _mask(len(text) + 1)) == _word(text + b"\x01")], 4)

    def attribute(self, kind: bytes) -> Bool:
        """Which annexes say Y to an order attribute: OrderAttributeType(2594), then OrderAttributeValue(2595)."""
        found = np.zeros(self.count, np.bool_)
        kinds = np.flatnonzero(self._is(b"2594"))
        kinds = kinds[self._load(self._starts[kinds] + 5) & _mask(2) == _word(kind + b"\x01")]
        kinds = kinds[kinds + 1 < len(self._starts)]
        words = self._words[kinds + 1] & _mask(5)
        said = (words == _word(b"2595=")) & (self._load(self._starts[kinds + 1] + 5) & _mask(2) == _word(b"Y\x01"))
        said &= self._owners[kinds + 1] == self._owners[kinds]
        found[self._owners[kinds[said]]] = True
        return found

    def _slices(self, fields: I64, skip: int) -> Slices:
        """The values of these fields (ascending), which start `skip` bytes after their tag."""
        slices = Slices(np.zeros(self.count, np.int64), np.zeros(self.count, np.int64))
        first_last = fields[::-1]  # the first of a repeated tag is written last, so it stays
        owners = self._owners[first_last]
        slices.starts[owners] = self._starts[first_last] + skip
        slices.ends[owners] = self._ends[first_last]
        return slices

    def _find_parties(self) -> tuple[I64, U64]:
        """Every PartyID field that has a PartyRole, and the first eight bytes of that role (its SOH among them)."""
        is_id = self._is(b"448")
        roles = np.flatnonzero(self._is(b"452"))
        ids = np.full(len(roles), -1, np.int64)
        for distance in (2, 1):
            before = np.maximum(roles - distance, 0)
            found = (roles >= distance) & is_id[before] & (self._owners[before] == self._owners[roles])
            ids[found] = before[found]
        with_id = ids >= 0
        return ids[with_id], self._load(self._starts[roles[with_id]] + 4)

    def first_bytes(self, slices: Slices) -> U8:
        """First byte of each value; 0 where there is none."""
        return np.where(slices.present, self.blob[slices.starts], 0).astype(np.uint8)

    def equals(self, slices: Slices, text: bytes) -> Bool:
        """Which values are exactly `text` (at most 8 bytes)."""
        found: Bool = (slices.ends - slices.starts) == len(text)
        rows = np.flatnonzero(found)  # few values are looked at where few annexes have the tag
        found[rows] = self._load(slices.starts[rows]) & _mask(len(text)) == _word(text)
        return found

    def contains_word(self, slices: Slices, character: bytes) -> Bool:
        """Which space-separated lists of one-character codes (FIX MultipleValueString) hold `character`."""
        lists = slices.ends - slices.starts
        found = np.zeros(self.count, np.bool_)
        for offset in range(0, int(lists.max(initial=0)), 2):
            inside = offset < lists
            found |= inside & (self.blob[np.where(inside, slices.starts + offset, 0)] == character[0])
        return found

    def strings(self, slices: Slices) -> pa.Array:
        """The values as Arrow strings; null where there is none or where it is not printable ASCII."""
        present = slices.present
        starts, ends = slices.starts[present], slices.ends[present]
        offsets = np.empty(2 * len(starts) + 1, np.int32)  # value, gap, value, gap: then only the values are taken
        offsets[0:-1:2], offsets[1::2] = starts, ends
        offsets[-1] = ends[-1] if len(ends) else 0
        spaced = pa.Array.from_buffers(
            pa.binary(), 2 * len(starts), [None, pa.py_buffer(offsets), pa.py_buffer(self.blob)]
        )
        compact = spaced.take(pa.array(np.arange(0, 2 * len(starts), 2)))
        indices = np.cumsum(present) - 1
        present = present.copy()
        present[present] = ~self._unprintable(compact)
        return compact.take(pa.array(indices, mask=~present)).cast(pa.string())

    def _find_fields(self, ends: I64) -> None:
        """Every `tag=value` of every body: SOH by SOH, leaving out the salts, whose bytes mean nothing."""
        soh = np.flatnonzero(self.blob[: len(self.blob) - 8] == SOH)
        counts = np.diff(np.searchsorted(soh, ends), prepend=0)
        owners = np.repeat(np.arange(self.count), counts)
        in_body = soh >= self._bodies[owners] if len(soh) else np.zeros(0, np.bool_)
        soh, owners = soh[in_body], owners[in_body]
        self._ends, self._owners = soh, owners
        self._starts = np.empty(len(soh), np.int64)
        if len(soh):
            first = np.diff(owners, prepend=-1) != 0
            self._starts[1:] = soh[:-1] + 1
            self._starts[first] = self._bodies[owners[first]]
        self._words = self._load(self._starts)

    def _load(self, starts: I64) -> U64:
        """Eight bytes from each start as one little-endian word; the blob is padded."""
        windows = np.lib.stride_tricks.as_strided(self.blob[:8].view("<u8"), (len(self.blob) - 7,), (1,))
        return windows[np.minimum(starts, len(self.blob) - 8)]

    def _is(self, tag: bytes) -> Bool:
        assert len(tag) <= TAG_BYTES_MAX
        found: Bool = (self._words & _mask(len(tag) + 1)) == _word(tag + b"=")
        return found

    @staticmethod
    def _unprintable(values: pa.Array) -> Bool:
        blob, ends = blob_of(values)
        bad = (blob < 0x20) | (blob > 0x7E)
        if not bad.any():
            return np.zeros(len(values), np.bool_)
        running = np.concatenate([[0], np.cumsum(bad)])
        starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        return np.asarray(running[ends] > running[starts])


def _mask(length: int) -> np.uint64:
    return np.uint64((1 << (8 * length)) - 1)


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))
