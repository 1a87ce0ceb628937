"""The archive follower: seals what the writer journaled into batches, with its own core.

It follows the journal and nothing else. A batch is cut at a number of commands, after a time, or where the writer's
snapshots left a state root; the cut is written down before anything of the batch is, so a sealer that was killed
anywhere makes the very same batch again. Each state root that the writer left is compared with this core's at the same
sequence number. A difference means that two runs of one pure function disagree: nothing is published any more, the
alarm is raised and the process ends. The sealer never blocks the writer and never changes a published batch.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cores import Core, CoreConfig, roots
from cores.batch import seal
from venue import archive_file, archive_roots, checkpoint
from venue.archive import Archive, write_durably
from venue.archive_copy import ArchiveCopy
from venue.archive_file import ArchiveError
from venue.archive_records import Records
from venue.batches import BatchRecord
from venue.config import Config
from venue.follower import Follower, JournalDamaged, Slice
from venue.log import event
from venue.open_orders import Carried, carry
from venue.static_data import StaticData

log = logging.getLogger("sealer")

EXIT_DIVERGED = 5
EXIT_ARCHIVE = 1
IDLE_SECONDS = 0.05
CHECKPOINT_COMMANDS = 50_000
COMMANDS_MAX = 262_144  # a batch's annexes fit 32-bit offsets: so many times 4,112 bytes
NO_DEPOSITS = bytes(32)


class DivergenceError(Exception):
    """This core's state is not the writer's: the alarm that stops sealing."""


class JournalFollower(Protocol):
    """What the sealer needs of the journal."""

    @property
    def lag(self) -> int: ...

    def poll(self, limit: int) -> Slice: ...


@dataclass
class _Pending:
    """Commands read from the journal and not yet sealed."""

    commands: list[npt.NDArray[Any]] = field(default_factory=list)
    annexes: list[bytes] = field(default_factory=list)
    annex_ends: list[npt.NDArray[Any]] = field(default_factory=list)
    count: int = 0
    annex_bytes: int = 0
    since: float = 0.0

    def add(self, commands: npt.NDArray[Any], annex: bytes, annex_ends: npt.NDArray[Any], now: float) -> None:
        if self.count == 0:
            self.since = now
        self.commands.append(commands)
        self.annexes.append(annex)
        self.annex_ends.append(annex_ends.astype(np.uint64) + np.uint64(self.annex_bytes))
        self.count += len(commands)
        self.annex_bytes += len(annex)

    def take(self, count: int, now: float) -> tuple[npt.NDArray[Any], bytes, npt.NDArray[Any]]:
        """The first `count` commands with their annexes; the rest stays."""
        commands, ends = np.concatenate(self.commands), np.concatenate(self.annex_ends)
        annex = b"".join(self.annexes)
        cut = int(ends[count - 1])
        taken = commands[:count], annex[:cut], ends[:count]
        self.commands, self.annexes, self.annex_ends, self.count, self.annex_bytes = [], [], [], 0, 0
        if count < len(commands):
            self.add(commands[count:], annex[cut:], ends[count:] - np.uint64(cut), now)
        return taken


class Sealer:
    """One archive's writer. `step` does what can be done now; `drain` seals what is left."""

    def __init__(
        self,
        config: Config,
        on_sealed: Callable[[BatchRecord], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        follow: Callable[[Path, int], JournalFollower] = Follower,
    ) -> None:
        self.config = config
        self.archive = Archive(config.archive_dir)
        self._commands_per_batch = min(config.archive.commands_per_batch, COMMANDS_MAX)
        self._on_sealed = on_sealed
        self._clock = clock
        self._boundary_path = config.archive_dir / "boundary.json"
        self._roots_dir = config.data_dir / "snapshot"
        self._compared_path = config.archive_dir / "roots-compared"
        self._roots_compared = self._read_compared()
        self._pending = _Pending()
        try:
            self.core, self.carried, self._checkpoint_seq = self._recover()
            self._boundary = self._read_boundary()
            self._compare_published_roots()
        except BaseException:
            self.close()
            raise
        self._follower = follow(config.journal_dir, self.archive.next_seq)

    @property
    def sealed_seq(self) -> int:
        """Sequence number of the last command in a published batch."""
        return self.archive.next_seq - 1

    @property
    def lag_commands(self) -> int:
        """Durable commands that are not in a published batch."""
        return self._follower.lag + self._pending.count

    def check(self) -> None:
        """Assert that the core stands where the archive ends, and that both are sound."""
        assert self.core.last_seq == self.sealed_seq
        if self.archive.last is not None:
            assert roots.state_root(self.core) == self.archive.last.state_root
        self.core.check()
        self.carried.check()

    def step(self) -> bool:
        """Read what is durable and seal a batch if one is due; whether anything was done."""
        read = self._read()
        due = self._due()
        if due:
            self._seal(due)
        self._compare_published_roots()
        return bool(read or due)

    def drain(self) -> None:
        """Seal everything that is durable now, then remember the state."""
        while self.step():
            pass
        if self._pending.count and not self._boundary:  # a cut that was written down is never moved
            self._seal(self._pending.count)
        self._save_checkpoint()

    def close(self) -> None:
        """Leave the archive to another writer."""
        self.archive.close()

    # ---- reading and cutting ----

    def _read(self) -> int:
        wanted = max(self._commands_per_batch, self._boundary_commands()) - self._pending.count
        if wanted <= 0:
            return 0
        piece = self._follower.poll(wanted)
        if len(piece.commands):
            assert int(piece.commands["seq"][0]) == self.sealed_seq + self._pending.count + 1, "the journal has no gaps"
            self._pending.add(piece.commands, bytes(piece.annex), piece.annex_ends, self._clock())
        return len(piece.commands)

    def _boundary_commands(self) -> int:
        return self._boundary - self.sealed_seq if self._boundary else 0

    def _due(self) -> int:
        """How many of the pending commands are a batch now; 0 when none is due."""
        pending = self._pending.count
        if self._boundary:
            return self._boundary_commands() if pending >= self._boundary_commands() else 0
        at_root = self._first_root(self.sealed_seq + 1, self.sealed_seq + pending)
        full = pending >= self._commands_per_batch
        late = pending > 0 and self._clock() - self._pending.since >= self.config.archive.seconds_per_batch
        if not full and not late and at_root is None:
            return 0
        count = min(pending, self._commands_per_batch)
        return count if at_root is None else min(count, at_root - self.sealed_seq)

    def _read_boundary(self) -> int:
        """The last sequence number of the batch that was being sealed, when it was not published; else 0."""
        try:
            found = json.loads(self._boundary_path.read_bytes())
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise ArchiveError(
                f"{self._boundary_path}: damaged ({error}); remove it if no batch-*.arrow lacks its .record"
            ) from error
        return int(found["last_seq"]) if found["batch_id"] == self.archive.next_batch_id else 0

    def _write_boundary(self, last_seq: int) -> None:
        boundary = {"batch_id": self.archive.next_batch_id, "last_seq": last_seq}
        write_durably(self._boundary_path, json.dumps(boundary).encode())

    # ---- sealing ----

    def _seal(self, count: int) -> None:
        commands, annex, annex_ends = self._pending.take(count, self._clock())
        if not self._boundary:
            self._write_boundary(int(commands["seq"][-1]))
        before = roots.StateTree.of(self.core)
        before.refresh()
        static = StaticData.of(self.config, [slots[:2] for slots in before.symbol_slots])
        previous = self.archive.last.deposit_acc if self.archive.last else NO_DEPOSITS
        digests = roots.annex_digests(annex, annex_ends)
        sealed = seal(self.core, commands, digests, previous)
        record = BatchRecord.from_public_values(self.archive.next_batch_id, sealed.public_values, archive_file.NO_HASH)
        if record.last_seq in self._writer_roots():
            self._compare_root(record.last_seq, record.state_root)
        records = Records.of(commands, annex, annex_ends, sealed.events, sealed.event_ends)
        data = archive_file.encode(archive_file.table(records, static, self.carried, record))
        published = self.archive.publish(record, data, sealed.guest_input)
        self.carried = carry(records, self.carried)
        self._boundary = 0
        event(
            *(log, "batch sealed"),
            batch=published.batch_id,
            first_seq=published.first_seq,
            last_seq=published.last_seq,
            events=published.event_count,
        )
        if published.last_seq - self._checkpoint_seq >= CHECKPOINT_COMMANDS:
            self._save_checkpoint()
        if self._on_sealed:
            self._on_sealed(published)

    # ---- the writer's state roots ----

    def _writer_roots(self) -> list[int]:
        """Sequence numbers of the state roots that the writer left and that were not compared yet, ascending."""
        if not self._roots_dir.exists():
            return []
        numbers = (int(path.stem) for path in self._roots_dir.glob("*.root") if path.stem.isdecimal())
        return sorted(seq for seq in numbers if seq > self._roots_compared)

    def _first_root(self, first: int, last: int) -> int | None:
        return next((seq for seq in self._writer_roots() if first <= seq <= last), None)

    def _compare_root(self, seq: int, state_root: bytes) -> None:
        """Compare with the 32 bytes that the writer left for this sequence number."""
        path = self._roots_dir / f"{seq:020}.root"
        theirs = path.read_bytes()
        if theirs != state_root:
            raise DivergenceError(
                f"after sequence number {seq} the writer's state root is {theirs.hex() or 'missing'} ({path.name}), "
                f"this core's is {state_root.hex()}: keep both folders as they are and find out which of the two "
                "computed wrongly"
            )

    def _compare_published_roots(self) -> None:
        """Roots for what is sealed already; which ones were compared is remembered."""
        roots_sealed = [seq for seq in self._writer_roots() if seq <= self.sealed_seq]
        for seq in roots_sealed:
            self._compare_root(seq, self._state_root_at(seq))
            event(log, "state root compared", seq=seq)
        if roots_sealed:
            self._roots_compared = roots_sealed[-1]
            write_durably(self._compared_path, b"%d\n" % self._roots_compared)

    def _read_compared(self) -> int:
        """The last root that was compared; a file that cannot be read only means comparing again."""
        try:
            return int(self._compared_path.read_text())
        except (FileNotFoundError, ValueError):
            return -1

    def _state_root_at(self, seq: int) -> bytes:
        """This archive's state root after a command inside it, replayed from the batch before when it is no cut."""
        low, high = 0, self.archive.next_batch_id - 1
        while low < high:  # the last batch that ends at or before seq, 0 for none
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.archive.record(middle).last_seq <= seq else (low, middle - 1)
        if low and self.archive.record(low).last_seq == seq:
            return self.archive.record(low).state_root
        core, _ = self._state_after(low)
        if core.last_seq < seq:
            core.apply(archive_roots.commands_of(self._batch_records(low + 1))[: seq - core.last_seq])
        root: bytes = roots.state_root(core)
        return root

    # ---- recovery ----

    def _recover(self) -> tuple[Core, Carried, int]:
        last = self.archive.last
        core, carried = self._state_after(last.batch_id if last else 0)
        if last is not None and roots.state_root(core) != last.state_root:
            raise DivergenceError(
                f"replaying the archive gives another state root after batch {last.batch_id} than its record has: "
                "run `venue verify --replay` on the archive to find the batch"
            )
        return core, carried, last.last_seq if last else 0

    def _state_after(self, batch_id: int) -> tuple[Core, Carried]:
        """State after a batch: from the newest sound checkpoint, else from the venue's first command."""
        limits = self.config.limits
        config = CoreConfig(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels)
        core, carried, start = Core(config), Carried(), 0
        for found in checkpoint.candidates(self.archive.folder, batch_id):
            if roots.state_root(found.core) == self.archive.record(found.batch_id).state_root:
                core, carried, start = found.core, found.carried, found.batch_id
                break
        for number in range(start + 1, batch_id + 1):
            records = self._batch_records(number)
            core.apply(archive_roots.commands_of(records))
            carried = carry(records, carried)
        return core, carried

    def _batch_records(self, batch_id: int) -> Records:
        path = self.archive.path(batch_id)
        try:
            return archive_file.decode(path.name, path.read_bytes()).records()
        except OSError as error:
            raise ArchiveError(f"{path}: cannot be read: {error.strerror}; {archive_file.MEND}") from error

    def _save_checkpoint(self) -> None:
        last = self.archive.last
        if last is not None and last.last_seq != self._checkpoint_seq:
            checkpoint.save(self.archive.folder, checkpoint.Checkpoint(last.batch_id, self.core, self.carried))
            self._checkpoint_seq = last.last_seq


def run(
    config: Config,
    stop: threading.Event,
    on_sealed: Callable[[BatchRecord], None] | None = None,
    on_start: Callable[[Sealer], None] | None = None,
) -> int:
    """Follow the journal until `stop` is set, then seal what is left. Returns the process's exit code.

    `on_start` gets the sealer once it is open, for instance to read `lag_commands` from another thread.
    """
    try:
        with ExitStack() as resources:
            copy = ArchiveCopy(config.archive_dir, config.archive.uri) if config.archive.uri else None

            def sealed(record: BatchRecord) -> None:
                if copy:
                    copy.notice()
                if on_sealed:
                    on_sealed(record)

            if copy:
                copy.start()
                resources.callback(copy.close)
            _follow(resources.enter_context(closing(Sealer(config, sealed))), stop, on_start)
    except DivergenceError as error:
        event(log, "state root differs", logging.CRITICAL, alarm="divergence", reason=str(error))
        return EXIT_DIVERGED
    except ArchiveError as error:
        event(log, "archive damaged", logging.CRITICAL, alarm="archive", reason=str(error))
        return EXIT_ARCHIVE
    except JournalDamaged as error:
        event(log, "journal damaged", logging.CRITICAL, alarm="journal", reason=str(error))
        return EXIT_ARCHIVE
    except OSError as error:
        event(log, "archive cannot be written", logging.CRITICAL, alarm="archive", reason=str(error))
        return EXIT_ARCHIVE
    return 0


def _follow(sealer: Sealer, stop: threading.Event, on_start: Callable[[Sealer], None] | None) -> None:
    event(log, "archive follows the journal", next_seq=sealer.sealed_seq + 1)
    if on_start:
        on_start(sealer)
    while not stop.is_set():
        if not sealer.step():
            stop.wait(IDLE_SECONDS)
    sealer.drain()
    event(log, "archive stopped", sealed_seq=sealer.sealed_seq)
