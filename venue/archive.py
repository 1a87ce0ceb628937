"""The archive folder: one sealed batch after the other, each complete or not there.

A batch is three files: `batch-<id>.arrow` (columns and annexes), `.input` (what the prover's guest reads) and
`.record` (the 304 bytes that the chain commits to). Each is written to a temporary name, synced, renamed, and the
folder synced; the record comes last, so a record that can be seen has its file and input complete. A batch id never
gets a second, different file: a published record is never written again.

Writing is to a local folder. Reading goes through `pyarrow.fs`, so any folder or URI will do (`ArchiveReader`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs

from venue.archive_file import MEND, ArchiveError, BatchFile, decode
from venue.batches import BatchRecord, RecordError

FIRST_BATCH_ID = 1
FIRST_SEQ = 1
_RECORD_NAME = re.compile(r"batch-(\d{10})\.record")


def batch_name(batch_id: int, suffix: str) -> str:
    """`batch-0000000007.arrow` and its sisters."""
    assert 0 <= batch_id < 10**10
    return f"batch-{batch_id:010}{suffix}"


def write_durably(path: Path, data: bytes | pa.Buffer) -> None:
    """Put `data` at `path` so that after a crash it is there whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Archive:
    """The folder as its one writer sees it: a lock, held until `close`, keeps a second one out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / "lock").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise ArchiveError(f"{folder}: another process writes this archive; stop it first") from error
        for part in folder.glob("*.part"):  # a crash while writing: never renamed, so never part of the archive
            part.unlink()
        try:
            self.last = self._find_last()
        except ArchiveError:
            self.close()
            raise

    def close(self) -> None:
        """Let another writer in."""
        self._lock.close()

    def path(self, batch_id: int, suffix: str = ".arrow") -> Path:
        return self.folder / batch_name(batch_id, suffix)

    @property
    def next_batch_id(self) -> int:
        return self.last.batch_id + 1 if self.last else FIRST_BATCH_ID

    @property
    def next_seq(self) -> int:
        return self.last.last_seq + 1 if self.last else FIRST_SEQ

    def publish(self, record: BatchRecord, arrow: bytes | pa.Buffer, guest_input: bytes) -> BatchRecord:
        """Write a sealed batch; returns its record with the hash of the file that stands.

        After a crash the file may be there already, without its record: then it stands, if it is the same batch.
        """
        assert record.batch_id == self.next_batch_id and record.first_seq == self.next_seq, "batches follow each other"
        path = self.path(record.batch_id)
        standing = path.read_bytes() if path.exists() else None
        if standing is None or not _same_batch(path.name, standing, arrow):
            write_durably(path, arrow)
            standing = bytes(arrow)
        write_durably(self.path(record.batch_id, ".input"), guest_input)
        values = record.public_values()
        complete = BatchRecord.from_public_values(record.batch_id, values, hashlib.sha256(standing).digest())
        write_durably(self.path(record.batch_id, ".record"), complete.to_bytes())
        self.last = complete
        return complete

    def record(self, batch_id: int) -> BatchRecord:
        """The record of a published batch; raises ArchiveError."""
        return read_record(self.path(batch_id, ".record"))

    def check(self) -> None:
        """Assert that every published batch has its three files and continues the one before."""
        previous: BatchRecord | None = None
        for batch_id in range(FIRST_BATCH_ID, self.next_batch_id):
            record = self.record(batch_id)
            assert all(self.path(batch_id, suffix).exists() for suffix in (".arrow", ".input"))
            assert record.batch_id == batch_id
            if previous is not None:
                assert record.first_seq == previous.last_seq + 1
                assert record.prev_state_root == previous.state_root
                assert record.prev_deposit_acc == previous.deposit_acc
            previous = record

    def _find_last(self) -> BatchRecord | None:
        names = (_RECORD_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        numbers = sorted(int(match[1]) for match in names if match)
        if not numbers:
            return None
        if numbers != list(range(FIRST_BATCH_ID, FIRST_BATCH_ID + len(numbers))):
            missing = next(n for n in range(FIRST_BATCH_ID, numbers[-1]) if n not in set(numbers))
            raise ArchiveError(
                f"{self.folder}: {batch_name(missing, '.record')} is missing, though batch {numbers[-1]} is there; "
                "bring it back from a copy of the archive"
            )
        return self.record(numbers[-1])


def _same_batch(name: str, standing: bytes, arrow: bytes | pa.Buffer) -> bool:
    """Whether an unpublished file from before a crash says the same as the new one; damage means no.

    The bytes may differ where another version of Arrow compressed them; the cells and the metadata may not.
    """
    if standing == bytes(arrow):
        return True
    try:
        found, new = decode(name, standing), decode(name, arrow)
    except ArchiveError:
        return False
    return bool(found.table.equals(new.table, check_metadata=True))


def read_record(path: Path) -> BatchRecord:
    """The record in a `.record` file; raises ArchiveError."""
    try:
        return BatchRecord.from_bytes(path.read_bytes())
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read: {error.strerror}") from error
    except RecordError as error:
        raise ArchiveError(f"{path}: {error}; {MEND}") from error


class ArchiveReader:
    """An archive anywhere `pyarrow.fs` reaches: a folder, or a URI such as `s3://bucket/archive`."""

    def __init__(self, location: str | Path) -> None:
        self.location = str(location)
        try:
            self._filesystem, self._folder = filesystem_of(self.location)
            infos = self._filesystem.get_file_info(pyarrow.fs.FileSelector(self._folder))
        except (OSError, pa.ArrowException) as error:
            raise ArchiveError(f"{self.location}: not a readable archive folder: {error}") from error
        names = (_RECORD_NAME.fullmatch(info.base_name) for info in infos)
        self.batch_ids = sorted(int(match[1]) for match in names if match)
        if not self.batch_ids:
            raise ArchiveError(f"{self.location}: no sealed batch in there (no batch-*.record)")

    def record(self, batch_id: int) -> BatchRecord:
        name = batch_name(batch_id, ".record")
        try:
            return BatchRecord.from_bytes(self._read(name))
        except RecordError as error:
            raise ArchiveError(f"{name}: {error}; {MEND}") from error

    def batch(self, batch_id: int) -> BatchFile:
        """One batch decoded, its file hash checked against its record."""
        record, name = self.record(batch_id), batch_name(batch_id, ".arrow")
        data = self._read(name)
        if hashlib.sha256(data).digest() != record.archive_sha256:
            raise ArchiveError(f"{name}: its SHA-256 is not the one in {batch_name(batch_id, '.record')}; {MEND}")
        return decode(name, data)

    def first_time_ns(self, batch_id: int) -> int:
        """Time of a batch's first event, without reading the rest of the file."""
        name = batch_name(batch_id, ".arrow")
        try:
            with self._filesystem.open_input_file(f"{self._folder}/{name}") as file:
                first = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=[0])).get_batch(0)
            return int(first["event_time"][0].value)
        except (OSError, pa.ArrowException, ValueError, KeyError, IndexError) as error:
            raise ArchiveError(f"{self.location}/{name}: cannot be read: {error}; {MEND}") from error

    def find_seq(self, seq: int) -> int:
        """The batch that holds a sequence number; raises ArchiveError when none does. Reads log2(batches) records."""
        low, high = 0, len(self.batch_ids) - 1
        while low < high:
            middle = (low + high) // 2
            if self.record(self.batch_ids[middle]).last_seq < seq:
                low = middle + 1
            else:
                high = middle
        record = self.record(self.batch_ids[low])
        if not record.first_seq <= seq <= record.last_seq:
            last = self.record(self.batch_ids[-1]).last_seq
            raise ArchiveError(f"{self.location}: no sealed batch has sequence number {seq}; the last sealed is {last}")
        return record.batch_id

    def _read(self, name: str) -> bytes:
        try:
            with self._filesystem.open_input_file(f"{self._folder}/{name}") as file:
                data: bytes = file.read()
                return data
        except (OSError, pa.ArrowException) as error:
            raise ArchiveError(f"{self.location}/{name}: cannot be read: {error}; {MEND}") from error


def filesystem_of(location: str) -> tuple[Any, str]:
    """The filesystem and the folder in it that a path or URI names."""
    if len(urlsplit(location).scheme) > 1:  # a single letter is a drive
        filesystem, folder = pyarrow.fs.FileSystem.from_uri(location)
        return filesystem, folder
    return pyarrow.fs.LocalFileSystem(), str(Path(location).absolute())
