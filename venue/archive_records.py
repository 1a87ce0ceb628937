"""The records of one batch and the canonical columns they are kept in: exact, both ways.

One row an event; the command stands on the first row of its events (every command has at least one), together with
its annex. Integers only, one column for each packed part of a record, so that the 64 bytes can be put together again
by anybody with an Arrow reader: `spec/archive.md` has the layout. Reading back accepts nothing that the writer could
not have written: a value that would not fit its part of a word, or rows out of order, raise ColumnsError with the row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from venue.annexes import binary_array, blob_of
from venue.decimals import packed

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

RECORD_BYTES = 64
SEQ_BITS = 24
_U24 = np.uint64(0xFFFFFF)


class ColumnsError(ValueError):
    """The columns are not those of a batch; `row` says where, when it is known."""

    def __init__(self, text: str, row: int | None = None) -> None:
        super().__init__(text if row is None else f"row {row}: {text}")
        self.row = row


@dataclass(frozen=True)
class Part:
    """One packed part of a record: which word, from which bit, how many bits, kept as which Arrow type."""

    column: str
    word: int
    shift: int
    bits: int
    type: pa.DataType


# The event's exec_id is seq << 24 | event_index; the command's seq and time are columns of every row.
EVENT_PARTS = (
    Part("event_kind", 0, 0, 8, pa.uint8()),
    Part("event_reason", 0, 8, 8, pa.uint8()),
    Part("event_side", 0, 16, 8, pa.uint8()),
    Part("event_flags", 0, 24, 24, pa.uint32()),
    Part("symbol_number", 0, 48, 16, pa.uint16()),
    Part("event_index", 1, 0, 24, pa.uint32()),
    Part("seq", 1, 24, 40, pa.uint64()),
    Part("account", 2, 0, 32, pa.uint32()),
    Part("session", 2, 32, 16, pa.uint16()),
    Part("asset_number", 2, 48, 16, pa.uint16()),
    Part("order_id", 3, 0, 64, pa.uint64()),
    Part("price_ticks", 4, 0, 64, pa.uint64()),
    Part("qty_lots", 5, 0, 64, pa.uint64()),
    Part("leaves_lots", 6, 0, 64, pa.uint64()),
    Part("aux", 7, 0, 64, pa.uint64()),
)
COMMAND_PARTS = (
    Part("command_kind", 0, 0, 8, pa.uint8()),
    Part("command_side", 0, 8, 8, pa.uint8()),
    Part("command_ord_type", 0, 16, 8, pa.uint8()),
    Part("command_tif", 0, 24, 8, pa.uint8()),
    Part("command_flags", 0, 32, 8, pa.uint8()),
    Part("command_precheck", 0, 40, 8, pa.uint8()),
    Part("command_symbol", 0, 48, 16, pa.uint16()),
    Part("command_account", 3, 0, 32, pa.uint32()),
    Part("command_session", 3, 32, 16, pa.uint16()),
    Part("command_asset", 3, 48, 16, pa.uint16()),
    Part("command_order_id", 4, 0, 64, pa.uint64()),
    Part("command_price_ticks", 5, 0, 64, pa.uint64()),
    Part("command_qty_lots", 6, 0, 64, pa.uint64()),
    Part("command_aux", 7, 0, 64, pa.uint64()),
)
TIME_TYPE = pa.timestamp("ns", tz="UTC")
CANONICAL_FIELDS = (
    pa.field("event_time", TIME_TYPE, nullable=False),
    *(pa.field(part.column, part.type, nullable=False) for part in EVENT_PARTS),
    *(pa.field(part.column, part.type) for part in COMMAND_PARTS),
    pa.field("annex", pa.binary()),
)


@dataclass
class Records:
    """Commands, their annexes and their events, in order. Words are (n, 8) views of the 64-byte records."""

    commands: Words
    annex: U8
    annex_ends: I64
    events: Words
    event_ends: I64

    @classmethod
    def of(
        cls,
        commands: npt.NDArray[np.void],
        annex: bytes | U8,
        annex_ends: U64,
        events: npt.NDArray[np.void],
        event_ends: U64,
    ) -> Records:
        """From the structured arrays that the core and the follower give."""
        blob = np.frombuffer(annex, np.uint8) if isinstance(annex, bytes | bytearray | memoryview) else annex
        return cls(words(commands), blob, annex_ends.astype(np.int64), words(events), event_ends.astype(np.int64))

    @property
    def first_seq(self) -> int:
        return int(self.commands[0, 1])

    @property
    def last_seq(self) -> int:
        return int(self.commands[-1, 1])

    def row_commands(self) -> I64:
        """For each event, the index of its command."""
        counts = np.diff(self.event_ends, prepend=0)
        return np.repeat(np.arange(len(self.commands)), counts)

    def first_rows(self) -> I64:
        """For each command, the row of its first event."""
        return np.concatenate([np.zeros(1, np.int64), self.event_ends[:-1]])

    def check(self) -> None:
        """Assert what every batch has: a run of sequence numbers, events that name them, annexes end to end."""
        count = len(self.commands)
        assert count > 0, "a batch has at least one command"
        assert len(self.annex_ends) == len(self.event_ends) == count
        assert np.all(np.diff(self.event_ends, prepend=0) > 0), "every command has at least one event"
        assert int(self.event_ends[-1]) == len(self.events)
        assert np.all(np.diff(self.annex_ends, prepend=0) >= 0) and int(self.annex_ends[-1]) == len(self.annex)
        assert np.array_equal(self.commands[:, 1], np.arange(count, dtype=np.uint64) + self.commands[0, 1])
        index = np.arange(len(self.events)) - self.first_rows()[self.row_commands()]
        exec_ids = (self.commands[self.row_commands(), 1] << np.uint64(SEQ_BITS)) | index.astype(np.uint64)
        assert np.array_equal(self.events[:, 1], exec_ids), "exec_id is seq << 24 | index"
        assert int(self.commands[:, 2].max()) < 2**63, "times fit timestamp[ns]"


def words(records: npt.NDArray[np.void]) -> Words:
    """64-byte records as (n, 8) little-endian words."""
    assert records.dtype.itemsize == RECORD_BYTES
    return np.ascontiguousarray(records).view("<u8").reshape(-1, 8)


def to_columns(records: Records) -> dict[str, pa.Array]:
    """The canonical columns of a batch, in the order of CANONICAL_FIELDS."""
    records.check()
    rows = records.row_commands()
    first = np.zeros(len(rows), np.bool_)
    first[records.first_rows()] = True
    time_ns = records.commands[:, 2].astype(np.int64)[rows]
    columns = {"event_time": pa.Array.from_buffers(TIME_TYPE, len(rows), [None, pa.py_buffer(time_ns)])}
    for part in EVENT_PARTS:
        columns[part.column] = _array(_unpack(records.events, part), part.type, None)
    for part in COMMAND_PARTS:
        values = np.zeros(len(rows), part.type.to_pandas_dtype())
        values[first] = _unpack(records.commands, part)
        columns[part.column] = _array(values, part.type, first)
    indices = np.cumsum(first) - 1
    annexes = binary_array(records.annex, records.annex_ends)
    columns["annex"] = annexes.take(pa.array(indices, mask=~first))
    return columns


def from_columns(table: pa.Table) -> Records:
    """The records behind the canonical columns; raises ColumnsError where they cannot be records."""
    _check_types(table)
    rows = table.num_rows
    if rows == 0:
        raise ColumnsError("the batch has no rows")
    events = np.zeros((rows, 8), np.uint64)
    for part in EVENT_PARTS:
        _pack(events, part, _values(table, part.column))
    first = _values_valid(table["command_kind"])
    _check_first_rows(events, first)
    starts = np.flatnonzero(first)
    commands = np.zeros((len(starts), 8), np.uint64)
    for part in COMMAND_PARTS:
        column = table[part.column]
        if not np.array_equal(_values_valid(column), first):
            row = int(np.flatnonzero(_values_valid(column) != first)[0])
            raise ColumnsError(f"column {part.column} must have a value on a command's first row and nowhere else", row)
        _pack(commands, part, _numpy(column)[first])
    commands[:, 1] = events[starts, 1] >> np.uint64(SEQ_BITS)
    time_ns = _numpy(table["event_time"]).view(np.uint64)
    commands[:, 2] = time_ns[starts]
    owners = np.cumsum(first) - 1
    _check_order(commands, events, time_ns, owners)
    annex, annex_ends = _annexes(table["annex"], first)
    event_ends = np.append(starts[1:], rows).astype(np.int64)
    return Records(commands, annex, annex_ends, events, event_ends)


def _unpack(records: Words, part: Part) -> npt.NDArray[np.uint64]:
    values = records[:, part.word] >> np.uint64(part.shift)
    return values if part.shift + part.bits == 64 else values & np.uint64((1 << part.bits) - 1)


def _pack(records: Words, part: Part, values: npt.NDArray[np.uint64]) -> None:
    values = values.astype(np.uint64)
    if part.bits < part.type.bit_width and (too_large := values >> np.uint64(part.bits)).any():
        row = int(np.flatnonzero(too_large)[0])
        raise ColumnsError(f"column {part.column} holds {int(values[row])}, which is more than {part.bits} bits", row)
    records[:, part.word] |= values << np.uint64(part.shift)


def _array(values: npt.NDArray[np.uint64], kind: pa.DataType, valid: npt.NDArray[np.bool_] | None) -> pa.Array:
    narrow = np.ascontiguousarray(values.astype(kind.to_pandas_dtype()))
    return pa.Array.from_buffers(kind, len(narrow), [None if valid is None else packed(valid), pa.py_buffer(narrow)])


def _check_types(table: pa.Table) -> None:
    for field in CANONICAL_FIELDS:
        if field.name not in table.column_names:
            raise ColumnsError(f"column {field.name} is missing")
        if table.schema.field(field.name).type != field.type:
            found = table.schema.field(field.name).type
            raise ColumnsError(f"column {field.name} must be {field.type}, is {found}")


def _values(table: pa.Table, name: str) -> npt.NDArray[np.uint64]:
    column = table[name]
    if column.null_count:
        raise ColumnsError(f"column {name} must have a value", int(np.flatnonzero(~_values_valid(column))[0]))
    return _numpy(column)


def _numpy(column: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """The values as they lie in the buffers (zero under a null is what the writer wrote), chunks joined."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = np.dtype(np.int64) if pa.types.is_timestamp(array.type) else np.dtype(array.type.to_pandas_dtype())
    values: npt.NDArray[np.uint64] = np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)]
    return values


def _values_valid(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    valid: npt.NDArray[np.bool_] = pc.is_valid(column).to_numpy(zero_copy_only=False)
    return valid


def _check_first_rows(events: Words, first: npt.NDArray[np.bool_]) -> None:
    """A command's rows are its events 0, 1, 2, ...; its first row is the one that carries it."""
    index = events[:, 1] & _U24
    if not first[0]:
        raise ColumnsError("the first row must carry its command", 0)
    if not np.array_equal(index == 0, first):
        row = int(np.flatnonzero((index == 0) != first)[0])
        raise ColumnsError("event_index is 0 on the row that carries the command, and only there", row)
    starts = np.flatnonzero(first)
    expected = np.arange(len(events)) - starts[np.cumsum(first) - 1]
    if not np.array_equal(index, expected.astype(np.uint64)):
        row = int(np.flatnonzero(index != expected.astype(np.uint64))[0])
        raise ColumnsError(f"event_index must be {int(expected[row])}, is {int(index[row])}", row)


def _check_order(commands: Words, events: Words, time_ns: U64, owners: I64) -> None:
    expected = np.arange(len(commands), dtype=np.uint64) + commands[0, 1]
    if not np.array_equal(commands[:, 1], expected):
        wrong = int(np.flatnonzero(commands[:, 1] != expected)[0])
        row = int(np.searchsorted(owners, wrong))
        raise ColumnsError(f"seq must be {int(expected[wrong])}, is {int(commands[wrong, 1])}", row)
    same_seq = events[:, 1] >> np.uint64(SEQ_BITS) == commands[owners, 1]
    if not same_seq.all():
        raise ColumnsError("seq differs from that of the command's first row", int(np.flatnonzero(~same_seq)[0]))
    same_time = time_ns == commands[owners, 2]
    if not same_time.all():
        row = int(np.flatnonzero(~same_time)[0])
        raise ColumnsError("event_time differs from that of the command's first row", row)


def _annexes(column: pa.ChunkedArray, first: npt.NDArray[np.bool_]) -> tuple[U8, I64]:
    valid = _values_valid(column)
    if not np.array_equal(valid, first):
        row = int(np.flatnonzero(valid != first)[0])
        raise ColumnsError("annex must have a value on a command's first row and nowhere else", row)
    return blob_of(column.drop_null())
