"""Streams archived events out: by time, instrument and member, as Arrow, Parquet or CSV.

One batch is in memory at a time, whatever the range. Every file is checked against its record before a row of it is
used. What is written to a path appears there whole or not at all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from rich.console import Console

from venue.annexes import blob_of
from venue.archive import ArchiveReader
from venue.archive_file import ArchiveError, BatchFile
from venue.columns import FIELDS, member_numbers, names_two
from venue.static_data import StaticData

FORMATS = ("arrow", "parquet", "csv")
EXIT_FAILED = 1
EXIT_USAGE = 2
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?")
_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint8).reshape(256, 2)


class ExportError(ValueError):
    """The export asks for what cannot be: a bad time, an unknown instrument or member."""


def parse_time_ns(text: str) -> int:
    """Nanoseconds since 1970 of an ISO 8601 time, UTC when no zone is given. Raises ExportError."""
    match = _TIME.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError("not ISO 8601")
        day, clock, fraction, zone = match.groups()
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone or ''}")
    except ValueError as error:
        raise ExportError(f"time {text!r} is not like 2026-01-31 or 2026-01-31T09:30:00.5Z") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution * 1_000_000)
    return seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def select(
    archive: ArchiveReader, start_ns: int, end_ns: int, symbol: str | None = None, member: str | None = None
) -> Iterator[pa.Table]:
    """Tables of the rows with start <= event_time < end, batch by batch; at least one, maybe empty.

    `member` is the member's name in the configuration or its LEI. Raises ExportError when no batch of the range knows
    the instrument or member, ArchiveError when a file cannot be used.
    """
    known_symbols: set[str] = set()
    known_members: set[str] = set()
    found = False
    for batch_id in archive.batch_ids[_first_batch(archive, start_ns) :]:
        if archive.first_time_ns(batch_id) >= end_ns:
            break
        batch = archive.batch(batch_id)
        known_symbols |= {instrument.symbol for instrument in batch.static.instruments}
        known_members |= {name for m in batch.static.members for name in (m.member, m.lei) if name}
        found = True
        yield _plain(batch.table.filter(_mask(batch, start_ns, end_ns, symbol, member)))
    if symbol is not None and found and symbol not in known_symbols:
        raise ExportError(f"no instrument {symbol!r} in this range; there are {', '.join(sorted(known_symbols))}")
    if member is not None and found and member not in known_members:
        raise ExportError(f"no member {member!r} in this range; there are {', '.join(sorted(known_members))}")
    if not found:
        yield _plain(pa.schema(FIELDS).empty_table())


def export(
    archive: str | Path,
    start_ns: int,
    end_ns: int,
    sink: BinaryIO,
    format: str = "csv",
    symbol: str | None = None,
    member: str | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> int:
    """Write the selected rows to `sink`; returns how many. Raises ExportError or ArchiveError."""
    if format not in FORMATS:
        raise ExportError(f"format {format!r} is not one of {', '.join(FORMATS)}")
    if start_ns >= end_ns:
        raise ExportError("--from must be before --to")
    rows = 0
    tables = select(ArchiveReader(archive), start_ns, end_ns, symbol, member)
    first = _as_text(next(tables)) if format == "csv" else next(tables)
    with _writer(sink, first.schema, format) as writer:
        while first is not None:
            writer.write_table(first)
            rows += first.num_rows
            if on_rows:
                on_rows(rows)
            following = next(tables, None)
            first = _as_text(following) if following is not None and format == "csv" else following
    return rows


def run(
    archive: str,
    start: str,
    end: str,
    symbol: str | None = None,
    member: str | None = None,
    format: str = "csv",
    output: Path | None = None,
) -> int:
    """The verb `venue export`: 0 written, 1 the archive is damaged, 2 wrong use."""
    console = Console(stderr=True)
    try:
        start_ns, end_ns = parse_time_ns(start), parse_time_ns(end)
        if output is None:
            rows = export(archive, start_ns, end_ns, sys.stdout.buffer, format, symbol, member)
            sys.stdout.buffer.flush()
        else:
            part = output.with_name(output.name + ".part")
            try:
                with console.status("exporting") as status, part.open("wb") as sink:
                    rows = export(
                        *(archive, start_ns, end_ns, sink, format, symbol, member),
                        on_rows=lambda count: status.update(f"exporting: {count:,} rows"),
                    )
                part.replace(output)
            finally:
                part.unlink(missing_ok=True)
    except ExportError as error:
        console.print(f"venue export: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return EXIT_USAGE
    except (ArchiveError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        console.print(f"venue export: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return EXIT_FAILED
    console.print(f"{rows:,} rows" + (f" in {output}" if output else ""), highlight=False, soft_wrap=True)
    return 0


def _first_batch(archive: ArchiveReader, start_ns: int) -> int:
    """Position of the last batch that begins before the start: earlier ones have ended by then."""
    low, high = 0, len(archive.batch_ids)
    while high - low > 1:
        middle = (low + high) // 2
        if archive.first_time_ns(archive.batch_ids[middle]) < start_ns:
            low = middle
        else:
            high = middle
    return low


def _mask(batch: BatchFile, start_ns: int, end_ns: int, symbol: str | None, member: str | None) -> pa.Array:
    time_ns = batch.table["event_time"].combine_chunks().cast(pa.int64()).to_numpy()
    mask = (time_ns >= start_ns) & (time_ns < end_ns)
    if symbol is not None:
        named = pc.equal(batch.table["book"].combine_chunks().dictionary_decode(), symbol)
        mask &= pc.fill_null(named, False).to_numpy(zero_copy_only=False)
    if member is not None:
        mask &= _of_member(batch.static, batch.table, member)
    return pa.array(mask)


def _of_member(static: StaticData, table: pa.Table, member: str) -> np.ndarray:
    wanted = [n for n, m in enumerate(static.members) if member and member in (m.member, m.lei)]
    commands = pc.fill_null(table["command_kind"], 0).to_numpy()
    of_one = ~names_two(table["event_kind"].to_numpy(), commands)
    sessions = table["session"].to_numpy().astype(np.int64) * of_one
    accounts = table["account"].to_numpy().astype(np.int64) * of_one
    return np.isin(member_numbers(static, sessions, accounts), wanted)


def _plain(table: pa.Table) -> pa.Table:
    """Dictionaries become plain strings (they differ from batch to batch) and a batch's own metadata goes."""
    fields = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields)).replace_schema_metadata(None)


def _as_text(table: pa.Table) -> pa.Table:
    """For CSV: decimals without their zeros at the end, times as RTS 24 writes them, bytes in hexadecimal."""
    for number, field in enumerate(table.schema):
        column = table.column(number)
        if pa.types.is_decimal(field.type):
            text = pc.utf8_rtrim(pc.utf8_rtrim(column.cast(pa.string()), "0"), ".")
        elif pa.types.is_timestamp(field.type):
            text = pc.replace_substring(column.cast(pa.string()), " ", "T")
        elif pa.types.is_binary(field.type) or pa.types.is_fixed_size_binary(field.type):
            text = _hexadecimal(column.cast(pa.binary()))
        else:
            continue
        table = table.set_column(number, field.name, text)
    return table


def _hexadecimal(column: pa.ChunkedArray) -> pa.Array:
    blob, ends = blob_of(column.drop_null())
    offsets = np.zeros(len(ends) + 1, np.int32)
    offsets[1:] = 2 * ends
    text = np.ascontiguousarray(_HEX[blob])
    values = pa.Array.from_buffers(pa.string(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(text)])
    valid = pc.is_valid(column).to_numpy(zero_copy_only=False)
    return values.take(pa.array(np.cumsum(valid) - 1, mask=~valid))


def _writer(
    sink: BinaryIO, schema: pa.Schema, format: str
) -> pa.ipc.RecordBatchFileWriter | pa.csv.CSVWriter | pa.parquet.ParquetWriter:
    if format == "arrow":
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        opened = pa.ipc.new_file if sink.seekable() else pa.ipc.new_stream
        return opened(sink, schema, options=options)
    if format == "parquet":
        return pa.parquet.ParquetWriter(sink, schema, compression="zstd")
    return pa.csv.CSVWriter(sink, schema)
