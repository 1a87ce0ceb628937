"""One batch as one Arrow IPC file: written whole, read back with every doubt answered.

The schema is in columns.py; the metadata says which batch this is, its public values and the static data its columns
were made with. Writing the same batch twice gives the same bytes (one library version). Reading never trusts: any
damage that keeps the file from being a batch raises ArchiveError with the place and what to do, never anything else.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

import pyarrow as pa

from venue.archive_records import ColumnsError, Records, from_columns, to_columns
from venue.batches import PUBLIC_VALUES_BYTES, BatchRecord, RecordError
from venue.columns import FIELDS, project
from venue.open_orders import Carried
from venue.static_data import StaticData, StaticDataError

FORMAT = b"2"
CHUNK_ROWS = 65_536
COMPRESSION_LEVEL = 1
KEY_FORMAT = b"fix_venue.format"
KEY_BATCH = b"fix_venue.batch"
KEY_PUBLIC_VALUES = b"fix_venue.public_values"
KEY_STATIC = b"fix_venue.static"
NO_HASH = bytes(32)  # the file cannot hold its own hash: the .record beside it does
MEND = "take the file again from another copy of the archive, or seal the batch again from the journal"


class ArchiveError(ValueError):
    """A file of the archive cannot be used. The text names the file, the place and how to mend it."""


@dataclass
class BatchFile:
    """What one archive file says, decoded but not yet verified. `record` has no archive_sha256."""

    name: str
    table: pa.Table
    record: BatchRecord
    static: StaticData

    def records(self) -> Records:
        """The canonical records; raises ArchiveError naming the row where the columns cannot be records."""
        try:
            return from_columns(self.table)
        except ColumnsError as error:
            raise ArchiveError(f"{self.name}: {error}; {MEND}") from error


def schema(record: BatchRecord, static: StaticData) -> pa.Schema:
    """The schema of a batch's file."""
    about = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in ((name, getattr(record, name)) for name in BatchRecord.__slots__)
        if name != "archive_sha256"
    }
    return pa.schema(
        FIELDS,
        metadata={
            KEY_FORMAT: FORMAT,
            KEY_BATCH: json.dumps(about, separators=(",", ":")).encode(),
            KEY_PUBLIC_VALUES: record.public_values().hex().encode(),
            KEY_STATIC: static.to_json().encode(),
        },
    )


def table(records: Records, static: StaticData, carried: Carried, record: BatchRecord) -> pa.Table:
    """All columns of a batch."""
    columns = {**to_columns(records), **project(records, static, carried).columns}
    return pa.table([columns[field.name] for field in FIELDS], schema=schema(record, static))


def encode(batch: pa.Table) -> pa.Buffer:
    """The bytes of the file."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", COMPRESSION_LEVEL))
    with pa.ipc.new_file(sink, batch.schema, options=options) as writer:
        writer.write_table(batch, max_chunksize=CHUNK_ROWS)
    return sink.getvalue()


def decode(name: str, data: pa.Buffer | bytes) -> BatchFile:
    """Read the bytes of a file; raises ArchiveError for anything that is not a whole batch of this format."""
    try:
        with pa.ipc.open_file(pa.BufferReader(data)) as reader:
            found = reader.schema
            _check_schema(name, found)
            read = reader.read_all()
        read.validate(full=True)
    except ArchiveError:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, KeyError, TypeError) as error:
        raise ArchiveError(f"{name}: not a readable Arrow IPC file: {_first_line(error)}; {MEND}") from error
    record, static = _metadata(name, found.metadata)
    return BatchFile(name, read.combine_chunks(), record, static)


def _check_schema(name: str, found: pa.Schema) -> None:
    version = (found.metadata or {}).get(KEY_FORMAT)
    if version is None:
        raise ArchiveError(f"{name}: an Arrow file, but no batch of a venue: there is no {KEY_FORMAT.decode()}")
    if version != FORMAT:
        shown = version.decode(errors="replace")
        raise ArchiveError(
            f"{name}: format {shown} is not known, only {FORMAT.decode()}; use the version that wrote it"
        )
    expected = pa.schema(FIELDS)
    if not found.equals(expected, check_metadata=False):
        differ = [f.name for f in expected if f.name not in found.names or not found.field(f.name).equals(f)]
        extra = [column for column in found.names if column not in expected.names]
        what = ", ".join(differ[:5] + extra[:5]) or "their order"
        raise ArchiveError(f"{name}: the columns are not those of format {FORMAT.decode()}: {what}; {MEND}")


def _metadata(name: str, metadata: dict[bytes, bytes]) -> tuple[BatchRecord, StaticData]:
    try:
        about = json.loads(metadata[KEY_BATCH])
        public_values = bytes.fromhex(metadata[KEY_PUBLIC_VALUES].decode())
        if len(public_values) != PUBLIC_VALUES_BYTES:
            length = len(public_values)
            raise ArchiveError(f"{name}: public values have {length} bytes, not {PUBLIC_VALUES_BYTES}; {MEND}")
        record = BatchRecord.from_public_values(about["batch_id"], public_values, NO_HASH)
        static = StaticData.from_json(metadata[KEY_STATIC])
        expected = schema(record, static).metadata
    except ArchiveError:
        raise
    except (RecordError, StaticDataError, ValueError, KeyError, TypeError, struct.error) as error:
        raise ArchiveError(f"{name}: its metadata is damaged: {_first_line(error)}; {MEND}") from error
    if metadata[KEY_BATCH] != expected[KEY_BATCH]:
        raise ArchiveError(f"{name}: metadata {KEY_BATCH.decode()} and {KEY_PUBLIC_VALUES.decode()} differ; {MEND}")
    return record, static


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
