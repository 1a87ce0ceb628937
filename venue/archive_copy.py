"""Copies published batches to another place, when the configuration names one (`archive.uri`).

Any URI that `pyarrow.fs` writes to. A batch's record is copied last there too, so a reader of the copy sees whole
batches only. The copy runs beside the sealer in a thread of its own: a slow or absent store delays nobody, is said in
the log and tried again. What is there already is compared, never overwritten with something else.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.fs

from venue.archive import FIRST_BATCH_ID, batch_name, filesystem_of
from venue.archive_file import ArchiveError
from venue.log import event

log = logging.getLogger("archive-copy")

SUFFIXES = (".arrow", ".input", ".record")  # in this order
RETRY_SECONDS_MIN = 1.0
RETRY_SECONDS_MAX = 60.0


class ArchiveCopy:
    """Follows the local folder; `next_batch_id` is the first one not yet copied."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder = folder
        self.uri = uri
        self.next_batch_id = FIRST_BATCH_ID
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin copying in the background."""
        self._thread = threading.Thread(target=self._run, name="archive-copy")
        self._thread.start()

    def notice(self) -> None:
        """A batch was published."""
        self._wake.set()

    def close(self) -> None:
        """Copy what is left, if the store answers, and end."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def step(self) -> int:
        """Copy every batch that is published here and not there; returns how many. Raises ArchiveError."""
        copied = 0
        try:
            filesystem, place = filesystem_of(self.uri)
            filesystem.create_dir(place, recursive=True)
            while (self.folder / batch_name(self.next_batch_id, ".record")).exists():
                copied += self._copy(filesystem, place, self.next_batch_id)
                self.next_batch_id += 1
        except (OSError, pa.ArrowException) as error:
            raise ArchiveError(f"{self.uri}: batch {self.next_batch_id} cannot be copied there: {error}") from error
        return copied

    def _copy(self, filesystem: pyarrow.fs.FileSystem, place: str, batch_id: int) -> int:
        record = batch_name(batch_id, ".record")
        if filesystem.get_file_info(f"{place}/{record}").type == pyarrow.fs.FileType.File:
            with filesystem.open_input_file(f"{place}/{record}") as file:
                if file.read() == (self.folder / record).read_bytes():
                    return 0
            raise ArchiveError(f"{self.uri}/{record}: another batch is there; this archive is not copied over it")
        for suffix in SUFFIXES:
            name = batch_name(batch_id, suffix)
            with filesystem.open_output_stream(f"{place}/{name}") as target:
                target.write((self.folder / name).read_bytes())
        event(log, "batch copied", batch=batch_id, uri=self.uri)
        return 1

    def _run(self) -> None:
        pause = RETRY_SECONDS_MIN
        while True:
            try:
                self.step()
            except ArchiveError as error:
                event(log, "batch not copied", logging.ERROR, alarm="archive-copy", reason=str(error))
                if self._stopping:
                    return
                self._wake.wait(pause)
                pause = min(2 * pause, RETRY_SECONDS_MAX)
            else:
                if self._stopping:
                    return
                pause = RETRY_SECONDS_MIN
                self._wake.wait()
            self._wake.clear()
