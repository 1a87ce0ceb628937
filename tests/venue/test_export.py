"""Exports: the rows a naive filter finds, in every format, and clear answers to what cannot be."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cores import CommandKind
from tests.venue.archive_market import sealed
from venue.archive import ArchiveReader
from venue.archive_file import ArchiveError
from venue.export import ExportError, export, parse_time_ns, run, select

START = 1_790_000_000_000_000_000


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("venue"), commands=400, commands_per_batch=60).archive_dir


@pytest.fixture(scope="module")
def rows(archive: Path) -> list[dict[str, Any]]:
    """Every archived row as plain values, times as integers."""
    reader = ArchiveReader(archive)
    found: list[dict[str, Any]] = []
    for batch_id in reader.batch_ids:
        found += plain(reader.batch(batch_id).table)
    return found


def plain(table: pa.Table) -> list[dict[str, Any]]:
    for name in ("event_time", "priority_time", "expiry_time"):
        position = table.schema.get_field_index(name)
        table = table.set_column(position, name, table[name].cast(pa.int64()))
    result: list[dict[str, Any]] = table.to_pylist()
    return result


MEMBERS = {"ALPHA": 1, "5299000ALPHA00000A01": 1, "BRAVO": 2, "5299000BRAVO00000B02": 2}


def owner(row: dict[str, Any]) -> int:
    """Session or account whose row it is: a refused BUST is about two, and so nobody's."""
    of_two = row["kind"] == "COMMAND_REJECTED" and row["command_kind"] == CommandKind.BUST
    return 0 if of_two else row["session"] or row["account"]


@settings(max_examples=60)
@given(data=st.data())
def test_selected_rows_are_those_of_a_naive_filter(
    archive: Path, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    times = sorted({row["event_time"] for row in rows})
    edges = st.sampled_from(times) | st.sampled_from(times).map(lambda t: t + 1) | st.sampled_from([0, 2**62])
    start, end = sorted((data.draw(edges), data.draw(edges)))
    symbol = data.draw(st.sampled_from([None, "ACME", "BOLT"]))
    member = data.draw(st.sampled_from([None, *MEMBERS]))
    found = [row for table in select(ArchiveReader(archive), start, end, symbol, member) for row in plain(table)]
    expected = [
        row
        for row in rows
        if start <= row["event_time"] < end
        and (symbol is None or row["book"] == symbol)
        and (member is None or owner(row) == MEMBERS[member])
    ]
    assert found == expected


@pytest.mark.parametrize("format", ["arrow", "parquet", "csv"])
@pytest.mark.parametrize(
    "filters", [{}, {"symbol": "BOLT"}, {"member": "ALPHA"}, {"symbol": "ACME", "member": "BRAVO"}]
)
def test_every_format_holds_the_same_rows(
    archive: Path, rows: list[dict[str, Any]], tmp_path: Path, format: str, filters: dict[str, str]
) -> None:
    path, exact = tmp_path / "out", pyarrow.csv.ConvertOptions(column_types={"order_id": pa.uint64()})
    assert run(str(archive), "2026-09-01", "2026-10-01", format=format, output=path, **filters) == 0
    read: dict[str, Callable[[Path], pa.Table]] = {
        "arrow": lambda p: pa.ipc.open_file(p).read_all(),
        "parquet": pyarrow.parquet.read_table,
        "csv": lambda p: pyarrow.csv.read_csv(p, convert_options=exact),
    }
    table = read[format](path)
    expected = [
        row
        for row in rows
        if filters.get("symbol") in (None, row["book"])
        and ("member" not in filters or owner(row) == MEMBERS[filters["member"]])
    ]
    assert table.num_rows == len(expected) > 20
    assert table["order_id"].to_pylist() == [row["order_id"] for row in expected]
    assert table["kind"].to_pylist() == [row["kind"] for row in expected]
    if format == "csv":
        prices = [None if row["limit_price"] is None else float(row["limit_price"]) for row in expected]
        assert table["limit_price"].to_pylist() == prices
        annexes = [row["annex"].hex() if row["annex"] is not None else "" for row in expected]
        assert table["annex"].to_pylist() == annexes
    else:
        assert table["limit_price"].to_pylist() == [row["limit_price"] for row in expected]
        assert table["annex"].to_pylist() == [row["annex"] for row in expected]
    assert not path.with_name("out.part").exists()


def test_csv_times_are_as_rts_24_writes_them(archive: Path) -> None:
    sink = io.BytesIO()
    export(archive, 0, 2**62, sink, "csv")
    line = sink.getvalue().decode().splitlines()[1]
    assert line.startswith('"2026-09-21T14:13:20.') and line.split(",")[0].endswith('Z"')


def test_a_range_without_rows_gives_an_empty_table(archive: Path) -> None:
    for format in ("arrow", "parquet", "csv"):
        sink = io.BytesIO()
        assert export(archive, 0, 5, sink, format) == 0
        assert sink.getvalue()


def test_an_archive_is_read_through_a_uri(archive: Path) -> None:
    by_path, by_uri = io.BytesIO(), io.BytesIO()
    assert export(archive, 0, 2**62, by_path) == export(archive.as_uri(), 0, 2**62, by_uri)
    assert by_path.getvalue() == by_uri.getvalue()


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        ({"symbol": "acme"}, "there are ACME, ACMEZ6, BOLT"),
        ({"member": "OMEGA"}, "ALPHA"),
        ({"format": "xml"}, "arrow, parquet"),
    ],
)
def test_what_cannot_be_is_answered(archive: Path, filters: dict[str, str], text: str) -> None:
    with pytest.raises(ExportError, match=text):
        export(archive, 0, 2**62, io.BytesIO(), **filters)
    with pytest.raises(ExportError, match="before"):
        export(archive, 5, 5, io.BytesIO())


def test_a_damaged_file_stops_the_export_and_leaves_nothing(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = tmp_path / "copy", tmp_path / "out.csv"
    shutil.copytree(archive, folder)
    path = sorted(folder.glob("*.arrow"))[3]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert run(str(folder), "2026-01-01", "2027-01-01", output=output) == 1
    told = capsys.readouterr().err
    assert "SHA-256" in told or "cannot be read" in told, "the byte may lie in the file's own directory"
    assert list(tmp_path.glob("out*")) == []
    with pytest.raises(ArchiveError):
        export(folder, 0, 2**62, io.BytesIO())


@pytest.mark.parametrize(
    "text", ["", "now", "2026", "2026-13-01", "2026-01-01T25:00", "2026-01-01T00:00.1234567890", "1"]
)
def test_a_bad_time_is_refused(text: str, archive: Path) -> None:
    with pytest.raises(ExportError, match="is not like"):
        parse_time_ns(text)
    assert run(str(archive), text, "2027-01-01") == 2


@given(st.integers(0, 4_000_000_000 * 10**9))
@example(1)
def test_times_are_read_to_the_nanosecond(time_ns: int) -> None:
    import numpy as np

    text = str(np.datetime64(time_ns, "ns"))
    assert parse_time_ns(text) == parse_time_ns(text + "Z") == time_ns
    assert parse_time_ns("2026-01-31") == parse_time_ns("2026-01-31T01:00:00+01:00")
