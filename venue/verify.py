"""Checks archive files without trusting who wrote them.

For each file: the records are put together again from the canonical columns, every root is computed from them and
compared with the batch record in the file's metadata and with the `.record` beside it, and every column for people is
made again and compared cell by cell. Files that follow each other must continue each other. Each busted trade is looked
up (bust_checks.py). With `replay` the commands go through the core as well, which decides the events and the state
roots: from the venue's first command when the first batch is given, else from the pre-state in the `.input` beside it.

A check that could not be made is said (a note), never passed over. Damage is reported, never raised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import Progress

from cores import Core, CoreConfig, CoreError, roots
from venue import archive_roots
from venue.archive import FIRST_BATCH_ID, FIRST_SEQ, read_record
from venue.archive_file import MEND, NO_HASH, ArchiveError, BatchFile, decode
from venue.archive_records import I64, ColumnsError, Records, Words, words
from venue.batches import BatchRecord
from venue.bust_checks import BustChecks
from venue.columns import CARRIED_COLUMNS, PEOPLE_FIELDS, project
from venue.open_orders import Carried, carry

EXIT_FAILED = 1
EXIT_USAGE = 2
_MEND_FORGED = "the file was changed after it was sealed, or was not sealed by this program; compare with another copy"
_MEND_BUST = "no proof finds this: ask the venue which trade was meant, and to put right what the bust moved"

Execute = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (file, row) and what, with how to mend it."""

    file: str
    what: str
    row: int | None = None
    mend: str = MEND

    def __str__(self) -> str:
        row = "" if self.row is None else f", row {self.row}"
        return f"{self.file}{row}: {self.what}. To mend: {self.mend}."


@dataclass
class FileReport:
    """What was found in one file."""

    path: Path
    record: BatchRecord | None = None
    checks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def wrong(self, what: str, row: int | None = None, mend: str = _MEND_FORGED) -> None:
        self.problems.append(Problem(self.path.name, what, row, mend))


@dataclass
class Report:
    """What was found in all files, in the order of their batches."""

    files: list[FileReport] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.files) and all(file.ok for file in self.files)

    @property
    def problems(self) -> list[Problem]:
        return [problem for file in self.files for problem in file.problems]

    @property
    def commands(self) -> int:
        return sum(file.record.command_count for file in self.files if file.record)

    @property
    def events(self) -> int:
        return sum(file.record.event_count for file in self.files if file.record)


@dataclass
class _Run:
    """What is carried from a file to the next one that continues it."""

    record: BatchRecord | None = None
    carried: Carried | None = None  # None: the files before were not given
    core: Core | None = None
    busts: BustChecks = field(default_factory=BustChecks)


def verify(
    paths: Sequence[Path | str],
    replay: bool = False,
    execute: Execute | None = None,
    on_file: Callable[[FileReport], None] | None = None,
) -> Report:
    """Verify archive files (or all of a folder's). Never raises for what a file holds.

    `execute` runs the guest natively over a batch's `.input` and returns its public values; it serves `replay` where
    the batches before were not given.
    """
    report, run = Report(), _Run()
    for path in in_batch_order(paths):
        file = FileReport(path)
        report.files.append(file)
        _verify_file(file, run, replay, execute)
        if on_file:
            on_file(file)
    return report


def in_batch_order(paths: Iterable[Path | str]) -> list[Path]:
    """The files, folders opened, in the order of their names, which is that of the batches."""
    found: list[Path] = []
    for path in map(Path, paths):
        found.extend(sorted(path.glob("batch-*.arrow")) if path.is_dir() else [path])
    return sorted(dict.fromkeys(found), key=lambda path: path.name)


def _verify_file(file: FileReport, run: _Run, replay: bool, execute: Execute | None) -> None:
    sidecar = _sidecar(file)
    batch = _decoded(file, sidecar)
    if batch is None:
        run.record = run.carried = run.core = None
        return
    file.record = sidecar or batch.record
    _check_continuity(file, batch.record, run)
    try:
        records = batch.records()
        carried = run.carried
        _check_counts(file, batch.record, records)
        _check_roots(file, batch.record, records)
        _check_columns(file, batch, records, carried or Carried(), complete=carried is not None)
        _check_busts(file, batch, records, run)
        if replay:
            _check_replay(file, batch, records, run, execute)
        run.carried = carry(records, carried) if carried is not None else None
    except (ArchiveError, ColumnsError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, ColumnsError) else error
        row = cause.row if isinstance(cause, ColumnsError) else None
        file.wrong(str(cause).split(": ", 1)[-1] if row is not None else str(cause), row)
        run.carried = run.core = None
    run.record = batch.record


def _sidecar(file: FileReport) -> BatchRecord | None:
    path = file.path.with_suffix(".record")
    if not path.exists():
        file.notes.append(f"{path.name} is not there: the file's own SHA-256 was not compared with anything")
        return None
    try:
        return read_record(path)
    except ArchiveError as error:
        file.wrong(str(error), mend="take the .record again from another copy of the archive, or from the chain")
        return None


def _decoded(file: FileReport, sidecar: BatchRecord | None) -> BatchFile | None:
    try:
        data = file.path.read_bytes()
    except OSError as error:
        file.wrong(f"cannot be read: {error.strerror}", mend="give the path of an archive file")
        return None
    if sidecar is not None:
        if hashlib.sha256(data).digest() == sidecar.archive_sha256:
            file.checks.append("file hash")
        else:
            file.wrong("its SHA-256 is not the one in its .record", mend=MEND)
    try:
        batch = decode(file.path.name, data)
    except ArchiveError as error:
        file.wrong(str(error).removeprefix(f"{file.path.name}: ").removesuffix(f"; {MEND}"), mend=MEND)
        return None
    if sidecar is not None:
        expected = BatchRecord.from_public_values(sidecar.batch_id, sidecar.public_values(), NO_HASH)
        for name in BatchRecord.__slots__:
            if getattr(expected, name) != getattr(batch.record, name):
                mend = "one of the two belongs to another batch or was changed; compare both with another copy"
                file.wrong(f"{name} in the metadata is not that of the .record beside it", mend=mend)
    return batch


def _check_continuity(file: FileReport, record: BatchRecord, run: _Run) -> None:
    if record.batch_id == FIRST_BATCH_ID:
        if record.first_seq != FIRST_SEQ:
            file.wrong(f"the first batch starts at sequence number {record.first_seq}, not {FIRST_SEQ}")
        run.record, run.carried, run.core = None, Carried(), None
        return
    before = run.record
    if before is None or record.batch_id != before.batch_id + 1:
        given = "" if before is None else f" (given before: batch {before.batch_id})"
        file.notes.append(f"batch {record.batch_id - 1} was not given{given}: where this one begins was not checked")
        run.record = run.carried = run.core = None
        return
    for name, found, expected in (
        ("first_seq", record.first_seq, before.last_seq + 1),
        ("prev_state_root", record.prev_state_root.hex(), before.state_root.hex()),
        ("prev_deposit_acc", record.prev_deposit_acc.hex(), before.deposit_acc.hex()),
    ):
        if found != expected:
            file.wrong(f"does not continue batch {before.batch_id}: {name} is {found}, must be {expected}")
    file.checks.append("continues the batch before")


def _check_counts(file: FileReport, record: BatchRecord, records: Records) -> None:
    for name, found in (
        ("first_seq", records.first_seq),
        ("last_seq", records.last_seq),
        ("command_count", len(records.commands)),
        ("event_count", len(records.events)),
    ):
        if found != getattr(record, name):
            file.wrong(f"{name} of the rows is {found}, the batch record says {getattr(record, name)}")


def _check_roots(file: FileReport, record: BatchRecord, records: Records) -> None:
    digests = archive_roots.annex_digests(records)
    computed = {
        "command_root": roots.tree_root(archive_roots.command_leaves(records, digests)),
        "event_root": roots.tree_root(archive_roots.event_leaves(records, digests)),
        "deposit_acc": archive_roots.deposit_acc(record.prev_deposit_acc, records),
        "withdrawal_root": archive_roots.withdrawal_root(records),
    }
    what = {"command_root": "a command or annex", "event_root": "an event or annex"}
    for name, root in computed.items():
        if root != getattr(record, name):
            changed = what.get(name, "an event")
            file.wrong(f"{name} of the rows is {root.hex()}, the batch record says {getattr(record, name).hex()}: "
                       f"{changed} was changed")  # fmt: skip
    file.checks.append("roots")


def _check_columns(file: FileReport, batch: BatchFile, records: Records, carried: Carried, complete: bool) -> None:
    projection = project(records, batch.static, carried)
    unknown = 0 if complete else int(np.count_nonzero(~projection.known))
    for column in PEOPLE_FIELDS:
        found, expected = _column(batch.table, column.name), projection.columns[column.name]
        rows = None
        if unknown and column.name in CARRIED_COLUMNS:
            rows = np.flatnonzero(projection.known)
            found, expected = found.take(pa.array(rows)), expected.take(pa.array(rows))
        at = first_difference(found, expected)
        if at is not None:
            shown, right = _shown(found[at]), _shown(expected[at])
            row = at if rows is None else int(rows[at])
            file.wrong(f"column {column.name} says {shown}, the records say {right}", row)
    if unknown:
        file.notes.append(
            f"{unknown} rows are of orders from batches that were not given: their order details were taken as written"
        )
    file.checks.append("columns")


def _check_busts(file: FileReport, batch: BatchFile, records: Records, run: _Run) -> None:
    found = run.busts.file(file.path, records, batch.static)
    file.notes += found.notes
    for what, row in found.problems:
        file.wrong(what, row, mend=_MEND_BUST)
    if found.right:
        file.checks.append(f"busted trades ({found.right})")


def _shown(cell: pa.Scalar) -> str:
    """A cell as text; nanoseconds stay whole, which a datetime could not hold."""
    if pa.types.is_timestamp(cell.type) and cell.is_valid:
        return str(np.datetime64(cell.value, "ns"))
    return repr(cell.as_py())


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def first_difference(found: pa.Array, expected: pa.Array) -> int | None:
    """The first place where two arrays of one length and type differ; None where they are equal."""
    assert len(found) == len(expected) and found.type == expected.type
    if found.equals(expected):
        return None
    if pa.types.is_dictionary(found.type):
        found, expected = found.dictionary_decode(), expected.dictionary_decode()
        if found.equals(expected):
            return None
    low, high = 0, len(found)
    while high - low > 1:
        middle = (low + high) // 2
        if found.slice(low, middle - low).equals(expected.slice(low, middle - low)):
            low = middle
        else:
            high = middle
    return low


def _check_replay(file: FileReport, batch: BatchFile, records: Records, run: _Run, execute: Execute | None) -> None:
    record = batch.record
    if record.batch_id == FIRST_BATCH_ID:
        try:
            run.core = Core(CoreConfig(*batch.static.limits))
        except (ValueError, MemoryError) as error:
            file.wrong(f"the limits in the metadata are those of no core: {error}")
            return
        if roots.state_root(run.core) != record.prev_state_root:
            file.wrong("prev_state_root is not that of an empty venue with the limits in the metadata")
    if run.core is None:
        _replay_from_input(file, record, execute)
        return
    try:
        events, event_ends = run.core.apply(archive_roots.commands_of(records))
    except CoreError as error:
        file.wrong(f"the core refuses the commands: {error}")
        run.core = None
        return
    _compare_events(file, records, words(events), event_ends.astype(np.int64))
    root = roots.state_root(run.core)
    if root != record.state_root:
        file.wrong(f"replayed, the state root is {root.hex()}, the batch record says {record.state_root.hex()}")
    file.checks.append("replayed from the first command")


def _compare_events(file: FileReport, records: Records, events: Words, event_ends: I64) -> None:
    rows = min(len(events), len(records.events))
    differ = np.flatnonzero(np.any(events[:rows] != records.events[:rows], axis=1))
    if len(differ):
        file.wrong("the core gives another event here", int(differ[0]))
    elif len(events) != len(records.events) or not np.array_equal(event_ends, records.event_ends):
        file.wrong(f"the core gives {len(events)} events, the file has {len(records.events)}", rows)


def _replay_from_input(file: FileReport, record: BatchRecord, execute: Execute | None) -> None:
    """The batch alone: its `.input` opens the pre-state behind prev_state_root, and the guest's own code replays it."""
    path = file.path.with_suffix(".input")
    if execute is None or not path.exists():
        what = f"no {path.name}" if execute else "no guest to run"
        file.notes.append(f"not replayed: the batches before it were not given, and there is {what}")
        return
    try:
        public_values = execute(path.read_bytes())
    except (OSError, ValueError, RuntimeError) as error:
        file.wrong(f"{path.name}: the guest refuses it: {error}", mend="take it again from another copy of the archive")
        return
    if public_values != record.public_values():
        file.wrong(f"replayed from {path.name}, the public values are not those of the batch record")
    file.checks.append(f"replayed from the pre-state in {path.name}")


def run(files: Sequence[Path], replay: bool = False, execute: Execute | None = None) -> int:
    """The verb `venue verify`: 0 all holds, 1 something does not, 2 there is nothing to verify."""
    console = Console()
    paths = in_batch_order(files)
    if not paths:
        console.print("venue verify: no batch-*.arrow there; give archive files or their folder", style="red")
        return EXIT_USAGE
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("verifying", total=len(paths))
        report = verify(paths, replay, execute, on_file=lambda _: progress.advance(task))
    _print(console, report)
    return 0 if report.ok else EXIT_FAILED


def _print(console: Console, report: Report) -> None:
    def line(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    for file in report.files:
        checks = ", ".join(file.checks) or "nothing could be checked"
        line(f"{file.path.name}: {'holds' if file.ok else 'does not hold'} ({checks})", "green" if file.ok else "red")
        for note in file.notes:
            line(f"  note: {note}", "yellow")
        for problem in file.problems:
            line(f"  {problem}", "red")
    held = sum(file.ok for file in report.files)
    line(f"{held} of {len(report.files)} files hold: {report.commands:,} commands, {report.events:,} events")
