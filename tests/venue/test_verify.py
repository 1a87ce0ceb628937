"""Verification: an honest archive holds, and every kind of damage or forgery is named."""

from __future__ import annotations

import hashlib
import random
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cores import Core, EventKind, roots
from tests.venue.archive_market import sealed
from venue import archive_file, archive_roots
from venue.archive import Archive, batch_name
from venue.archive_file import BatchFile
from venue.archive_records import Records, from_columns
from venue.batches import BatchRecord
from venue.columns import CARRIED_COLUMNS, PEOPLE_FIELDS, project
from venue.open_orders import Carried, carry
from venue.verify import first_difference, run, verify


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("venue")).archive_dir


@pytest.fixture
def folder(honest: Path, tmp_path: Path) -> Path:
    shutil.copytree(honest, tmp_path / "archive")
    return tmp_path / "archive"


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.arrow"))


def decoded(path: Path) -> BatchFile:
    return archive_file.decode(path.name, path.read_bytes())


def cells(table: pa.Table) -> pa.Table:
    """The table with every cell in place: a dictionary may hold words that no row uses."""
    for number, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(number, field.name, table.column(number).cast(field.type.value_type))
    return table


def carried_before(folder: Path, batch_id: int) -> Carried:
    carried = Carried()
    for path in files(folder)[: batch_id - 1]:
        carried = carry(decoded(path).records(), carried)
    return carried


def forge(folder: Path, batch_id: int, records: Records, record: BatchRecord, with_record: bool = True) -> None:
    """Write a batch as its own sealer would, whatever it says."""
    path = folder / batch_name(batch_id, ".arrow")
    static = decoded(path).static
    data = archive_file.encode(archive_file.table(records, static, carried_before(folder, batch_id), record))
    path.write_bytes(data)
    if with_record:
        values = record.public_values()
        complete = BatchRecord.from_public_values(batch_id, values, hashlib.sha256(data).digest())
        path.with_suffix(".record").write_bytes(complete.to_bytes())


def with_true_roots(record: BatchRecord, records: Records) -> BatchRecord:
    """The record with the roots that these rows really have."""
    digests = archive_roots.annex_digests(records)
    values = {name: getattr(record, name) for name in BatchRecord.__slots__}
    values["command_root"] = roots.tree_root(archive_roots.command_leaves(records, digests))
    values["event_root"] = roots.tree_root(archive_roots.event_leaves(records, digests))
    values["deposit_acc"] = archive_roots.deposit_acc(record.prev_deposit_acc, records)
    values["withdrawal_root"] = archive_roots.withdrawal_root(records)
    return BatchRecord(**values)


def test_an_honest_archive_holds(honest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = verify([honest], replay=True)
    assert report.ok, report.problems
    assert [len(file.notes) for file in report.files] == [0] * len(report.files)
    assert report.commands == 612 and len(report.files) == 5
    for file in report.files:
        expected = {"file hash", "roots", "columns", "replayed from the first command"}
        assert expected <= set(file.checks)
    Archive(honest).check()
    assert run([honest], replay=True) == 0
    assert "5 of 5 files hold: 612 commands" in capsys.readouterr().out


def test_one_file_alone_holds_and_says_what_was_not_checked(honest: Path) -> None:
    report = verify([files(honest)[2]], replay=True)
    assert report.ok
    notes = " ".join(report.files[0].notes)
    assert "batch 2 was not given" in notes and "taken as written" in notes and "not replayed" in notes


def test_one_file_alone_is_replayed_by_the_guest(honest: Path) -> None:
    replay = pytest.importorskip("proving.replay")
    report = verify([files(honest)[2]], replay=True, execute=replay.run_guest)
    assert report.ok, report.problems
    assert any("replayed from the pre-state" in check for check in report.files[0].checks)


def test_a_damaged_input_is_named(folder: Path) -> None:
    replay = pytest.importorskip("proving.replay")
    path = files(folder)[2].with_suffix(".input")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    report = verify([files(folder)[2]], replay=True, execute=replay.run_guest)
    assert not report.ok and path.name in str(report.problems[0])


def test_nothing_to_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([tmp_path]) == 2
    assert "no batch-*.arrow" in capsys.readouterr().out
    assert run([tmp_path / "absent.arrow"]) == 1
    assert "cannot be read" in capsys.readouterr().out


def test_every_flipped_byte_is_found(folder: Path) -> None:
    """With its .record beside it no byte of a file can change; without, none that means anything."""
    path = files(folder)[0]
    record_path = path.with_suffix(".record")
    data, record = path.read_bytes(), record_path.read_bytes()
    original = cells(decoded(path).table)
    chosen = random.Random(11)
    offsets = sorted({*range(48), *chosen.sample(range(len(data)), 90), *range(len(data) - 32, len(data))})
    for offset in offsets:
        damaged = bytearray(data)
        damaged[offset] ^= 1 << chosen.randrange(8)
        path.write_bytes(damaged)
        record_path.write_bytes(record)
        report = verify([path])
        assert not report.ok and "SHA-256" in str(report.problems[0]), offset
        record_path.unlink()
        alone = verify([path])
        assert not alone.ok or cells(decoded(path).table).equals(original), f"byte {offset} changed a cell unnoticed"


def test_any_damage_is_answered_not_raised(folder: Path) -> None:
    """A few bytes anywhere, with everything switched on: a verdict, whatever it is."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chosen = random.Random(seed)
    path = files(folder)[0]
    data = path.read_bytes()
    path.with_suffix(".record").unlink()
    for _ in range(120):
        damaged = bytearray(data)
        for _ in range(chosen.randrange(1, 6)):
            damaged[chosen.randrange(len(damaged))] = chosen.choice((0, 1, 127, 255, chosen.randrange(256)))
        if chosen.random() < 0.2:
            start = chosen.randrange(len(damaged))
            del damaged[start : start + chosen.randrange(1, 2000)]
        path.write_bytes(damaged)
        report = verify(files(folder)[:2], replay=True)
        assert report.ok or all(problem.what for problem in report.problems)


def test_impossible_limits_are_named(folder: Path) -> None:
    path = files(folder)[0]
    path.with_suffix(".record").unlink()
    batch = decoded(path)
    for limits in (b"[0,0,0,0,0]", b"[4096,65536,64,262144,262143]", b"[4,8,4,256,2048]"):
        metadata = dict(batch.table.schema.metadata)
        static = metadata[archive_file.KEY_STATIC]
        assert b'"limits":[4,8,4,256,1024]' in static
        metadata[archive_file.KEY_STATIC] = static.replace(b"[4,8,4,256,1024]", limits)
        path.write_bytes(archive_file.encode(batch.table.replace_schema_metadata(metadata)))
        (problem,) = verify([path], replay=True).problems[:1]
        assert "limits in the metadata" in problem.what


@pytest.mark.parametrize("part", [0, 1, 7, 100, 0.3, 0.9, -1])
def test_a_truncated_file_is_named(folder: Path, part: float) -> None:
    path = files(folder)[0]
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data)) if isinstance(part, float) else part])
    path.with_suffix(".record").unlink()
    (problem,) = verify([path]).problems
    assert "not a readable Arrow IPC file" in str(problem) and "To mend" in str(problem)


def test_a_swapped_record_is_named(folder: Path) -> None:
    first, second = files(folder)[:2]
    first.with_suffix(".record").write_bytes(second.with_suffix(".record").read_bytes())
    text = " ".join(map(str, verify([first]).problems))
    assert "SHA-256 is not the one in its .record" in text and "batch_id in the metadata" in text
    first.with_suffix(".record").write_bytes(b"short")
    assert "304 bytes" in str(verify([first]).problems[0])


@pytest.mark.parametrize("name", [n for n in BatchRecord.__slots__ if n != "archive_sha256"])
def test_a_changed_record_is_named(folder: Path, name: str) -> None:
    """Metadata and .record agree with each other, but one field of both was changed."""
    path = files(folder)[1]
    batch = decoded(path)
    values = {field: getattr(batch.record, field) for field in BatchRecord.__slots__}
    value = values[name]
    values[name] = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
    if name in ("first_seq", "last_seq"):
        values["command_count"] = values["last_seq"] - values["first_seq"] + 1
    if name == "command_count":
        values["last_seq"] += 1
    forge(folder, 2, batch.records(), BatchRecord(**values))
    replay = name == "state_root"
    report = verify(files(folder)[:3], replay=replay)
    text = " ".join(map(str, report.problems))
    assert not report.ok
    if name != "batch_id":  # then it is no longer the second batch: the third does not continue it
        assert name in text or name.removeprefix("prev_") in text or "command_count" in text, text
    else:
        assert "batch_id" in text


def test_changed_static_data_is_named(folder: Path) -> None:
    path = files(folder)[0]
    batch = decoded(path)
    metadata = dict(batch.table.schema.metadata)
    metadata[archive_file.KEY_STATIC] = metadata[archive_file.KEY_STATIC].replace(b"ALPHA00000A01", b"OMEGA00000A01")
    path.write_bytes(archive_file.encode(batch.table.replace_schema_metadata(metadata)))
    path.with_suffix(".record").unlink()
    (problem,) = verify([path]).problems
    assert "column member_lei says '5299000ALPHA00000A01', the records say '5299000OMEGA00000A01'" in str(problem)
    renumbered = metadata[archive_file.KEY_STATIC].replace(b'"number":0', b'"number":9')
    for broken in (b"{", b"[]", b'{"venue":1}', renumbered):
        metadata[archive_file.KEY_STATIC] = broken
        path.write_bytes(archive_file.encode(batch.table.replace_schema_metadata(metadata)))
        assert "metadata is damaged" in str(verify([path]).problems[0])


@pytest.mark.parametrize("key", [archive_file.KEY_FORMAT, archive_file.KEY_BATCH, archive_file.KEY_PUBLIC_VALUES])
@pytest.mark.parametrize("value", [None, b"", b"\xff", b"9", b"{}", b"null", b"ab" * 264])
def test_damaged_metadata_is_named(folder: Path, key: bytes, value: bytes | None) -> None:
    path = files(folder)[0]
    batch = decoded(path)
    metadata = {k: v for k, v in batch.table.schema.metadata.items() if k != key}
    if value is not None:
        metadata[key] = value
    path.write_bytes(archive_file.encode(batch.table.replace_schema_metadata(metadata)))
    path.with_suffix(".record").unlink()
    (problem,) = verify([path]).problems
    assert any(word in str(problem) for word in ("metadata", "format", "no batch of a venue", "public values"))


def kinds_in(folder: Path) -> dict[int, tuple[int, int]]:
    """For each kind of event, a batch and row that has it."""
    found: dict[int, tuple[int, int]] = {}
    for batch_id, path in enumerate(files(folder), 1):
        for row, kind in enumerate(decoded(path).table["event_kind"].to_pylist()):
            found.setdefault(kind, (batch_id, row))
    return found


@pytest.mark.parametrize("kind", EventKind, ids=lambda kind: kind.name)
@pytest.mark.parametrize("word", [0, 2, 3, 4, 5, 6, 7])
def test_one_changed_event_is_found(folder: Path, kind: EventKind, word: int) -> None:
    """A bit of one event, all columns made to fit: the roots tell. With the roots forged too: replaying tells."""
    batch_id, row = kinds_in(folder)[kind]
    path = folder / batch_name(batch_id, ".arrow")
    batch, records = decoded(path), decoded(path).records()
    records.events[row, word] ^= np.uint64(1 << 24)  # in word 0: an unused flag
    forge(folder, batch_id, records, batch.record)
    text = " ".join(map(str, verify([folder]).problems))
    assert "event_root of the rows" in text
    forge(folder, batch_id, records, with_true_roots(batch.record, records))
    replayed = verify([folder], replay=True)
    assert any(problem.row == row and "the core gives another event" in str(problem) for problem in replayed.problems)


@pytest.mark.parametrize("word", range(8))
def test_one_changed_command_is_found(folder: Path, word: int) -> None:
    path = files(folder)[0]
    batch, records = decoded(path), decoded(path).records()
    if word == 1:
        records.commands[:, 1] += np.uint64(1)
        records.events[:, 1] += np.uint64(1 << 24)
    else:
        records.commands[5:, word] ^= np.uint64(4)
    if word == 2:
        records.commands[:, 2] = np.maximum.accumulate(records.commands[:, 2])
    forge(folder, 1, records, batch.record)
    assert "command_root of the rows" in " ".join(map(str, verify([folder]).problems))


def test_a_changed_annex_is_found(folder: Path) -> None:
    path = files(folder)[0]
    batch, records = decoded(path), decoded(path).records()
    records.annex = records.annex.copy()
    records.annex[40] ^= 1
    forge(folder, 1, records, batch.record)
    text = " ".join(map(str, verify([folder]).problems))
    assert "command_root" in text and "event_root" in text


def changed_cell(column: pa.ChunkedArray, row: int) -> pa.Array:
    """The column with one cell replaced by another cell's value, or by null."""
    array = column.combine_chunks()
    plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    other = next((i for i in range(len(plain)) if not plain[i].equals(plain[row])), None)
    indices = np.arange(len(plain))
    mask = np.zeros(len(plain), np.bool_)
    if other is None:
        mask[row] = plain[row].is_valid
        if not mask[row]:
            pytest.skip("a column without any value")
    else:
        indices[row] = other
    return array.take(pa.array(indices, mask=mask))


@pytest.mark.parametrize("field", PEOPLE_FIELDS, ids=lambda field: field.name)
def test_one_changed_cell_for_people_is_found(folder: Path, field: pa.Field) -> None:
    path, row = files(folder)[1], 77
    batch = decoded(path)
    position = batch.table.schema.get_field_index(field.name)
    changed = changed_cell(batch.table.column(position), row)
    if changed.equals(batch.table.column(position).combine_chunks()):
        pytest.skip("nothing to change it to")
    path.write_bytes(archive_file.encode(batch.table.set_column(position, batch.table.schema.field(position), changed)))
    path.with_suffix(".record").unlink()
    (problem,) = verify(files(folder)[:2]).problems
    assert problem.row == row and f"column {field.name} says" in problem.what


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("event_index", "event_index"),
        ("seq", "seq"),
        ("event_time", "event_time"),
        ("event_flags", "event_flags"),
        ("command_kind", "carries"),
        ("annex", "annex"),
        ("command_aux", "first row"),
    ],
)
def test_impossible_canonical_columns_are_named(folder: Path, column: str, text: str) -> None:
    path = files(folder)[0]
    table = decoded(path).table
    position = table.schema.get_field_index(column)
    array = table.column(position).combine_chunks()
    row = next(r for r, index in enumerate(table["event_index"].to_pylist()) if index == 1)
    if array.null_count:
        indices, mask = np.arange(len(array)), array.is_null().to_numpy(zero_copy_only=False)
        mask[row] = False
        indices[row] = 0
        changed = array.take(pa.array(indices, mask=mask))
    else:
        values = array.cast(pa.int64()).to_numpy().copy()
        values[row] += 1 << 24
        changed = pa.array(values).cast(array.type)
    path.write_bytes(archive_file.encode(table.set_column(position, table.schema.field(position), changed)))
    path.with_suffix(".record").unlink()
    (problem,) = verify([path]).problems
    assert text in problem.what and problem.row is not None


def test_a_missing_or_foreign_column_is_named(folder: Path, tmp_path: Path) -> None:
    path = files(folder)[0]
    path.with_suffix(".record").unlink()
    table = decoded(path).table
    path.write_bytes(archive_file.encode(table.drop_columns(["qty_lots"])))
    assert "qty_lots" in str(verify([path]).problems[0])
    path.write_bytes(archive_file.encode(table.append_column("extra", pa.nulls(table.num_rows))))
    assert "extra" in str(verify([path]).problems[0])
    path.write_bytes(archive_file.encode(pa.table({"a": [1]})))
    assert "no batch of a venue" in str(verify([path]).problems[0])


def test_a_missing_batch_in_between_is_said(folder: Path) -> None:
    files(folder)[1].unlink()
    report = verify([folder], replay=True)
    assert report.ok
    assert "batch 2 was not given (given before: batch 1)" in " ".join(report.files[1].notes)


def test_batches_that_do_not_continue_each_other(folder: Path, tmp_path: Path) -> None:
    other = sealed(tmp_path / "other", seed=8).archive_dir
    for suffix in (".arrow", ".record", ".input"):
        shutil.copy(other / batch_name(2, suffix), folder)
    text = " ".join(map(str, verify([folder]).problems))
    assert "does not continue batch 1: prev_state_root" in text


def test_forged_events_survive_everything_but_replay(folder: Path) -> None:
    """A venue that seals what its program did not do: only re-execution (or the proof) can tell, and it does."""
    path = files(folder)[4]
    batch, records = decoded(path), decoded(path).records()
    row = int(np.flatnonzero((records.events[:, 0] & np.uint64(255)) == EventKind.ACCEPTED)[0])
    records.events[row, 4] += np.uint64(1)
    forge(folder, 5, records, with_true_roots(batch.record, records))
    assert verify([folder]).ok
    assert not verify([folder], replay=True).ok


def test_commands_that_no_core_takes(folder: Path) -> None:
    path = files(folder)[0]
    batch, records = decoded(path), decoded(path).records()
    records.commands[10:, 2] = np.uint64(1)
    forge(folder, 1, records, with_true_roots(batch.record, records))
    assert "the core refuses the commands" in " ".join(map(str, verify([folder], replay=True).problems))


def test_first_difference_is_the_first() -> None:
    chosen = random.Random(3)
    for _ in range(50):
        size = chosen.randrange(1, 200)
        values = [chosen.choice([None, 1, 2]) for _ in range(size)]
        other = list(values)
        for _ in range(chosen.randrange(1, 4)):
            row = chosen.randrange(size)
            other[row] = 3
        expected = next(i for i, (a, b) in enumerate(zip(values, other, strict=True)) if a != b)
        assert first_difference(pa.array(values, pa.int64()), pa.array(other, pa.int64())) == expected
        assert first_difference(pa.array(values, pa.int64()), pa.array(values, pa.int64())) is None


def test_carried_columns_are_columns() -> None:
    assert set(CARRIED_COLUMNS) <= {field.name for field in PEOPLE_FIELDS}


def test_projection_from_the_files_alone(honest: Path) -> None:
    """What is carried from file to file is all that a reader needs: the core is not."""
    carried = Carried()
    for path in files(honest):
        batch = decoded(path)
        records = from_columns(batch.table)
        projection = project(records, batch.static, carried)
        assert projection.known.all()
        carried = carry(records, carried)
        carried.check()
    core = Core.restore(sorted_last_state(honest))
    open_orders = sum(core.open_orders(symbol) for symbol in range(core.symbol_count))
    assert len(carried.order_ids) == open_orders > 10


def sorted_last_state(folder: Path) -> bytes:
    from venue import checkpoint

    return next(checkpoint.candidates(folder, 10**6)).core.snapshot()
