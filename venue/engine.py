"""The engine for its host process: the compiled writer, with its log lines, its state roots and its exit codes.

Why: the order path is C and stays C (`engine.h`); what is left for Python is to open and close it, to tell the operator
what recovery did, and to write the state root beside every snapshot, so that a follower can compare its own state. It
must never stand between a FIX message and the journal.

The host opens the engine, claims `pending` for every session (reports that became durable but never reached the
session's store), sets the sink, and only then starts the acceptor and the control socket.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from cores import Core, CoreConfig
from cores.roots import state_root
from venue._engine import Engine as NativeEngine
from venue._engine import JournalConfigError, JournalDamaged, JournalError, JournalLocked
from venue.log import event
from venue.trades import Trades

log = logging.getLogger("engine")

EXIT_DAMAGED = 3
"""Exit code of a start that found acknowledged entries missing or changed."""
EXIT_JOURNAL_FAILED = 4
"""Exit code after the first failing write or sync of the journal; it is never retried."""

SNAPSHOT_HEAD_BYTES = 96
ROOT_POLL_SECONDS = 0.2

__all__ = [
    "EXIT_DAMAGED",
    "EXIT_JOURNAL_FAILED",
    "Engine",
    "JournalConfigError",
    "JournalDamaged",
    "JournalError",
    "JournalLocked",
    "roots",
]


class Engine(NativeEngine):  # type: ignore[misc]
    """The one writer of a data directory; `Engine.open` recovers and starts it."""

    data_dir: Path
    trades: Trades
    """What was traded since the journal began, for any thread that asks."""
    _closing: threading.Event
    _roots_thread: threading.Thread

    @classmethod
    def open(
        cls,
        data_dir: Path | str,
        config: CoreConfig,
        *,
        sync: str = "commit",
        interval_ms: float = 5,
        segment_bytes: int = 64 << 20,
        snapshot_commands: int = 1_000_000,
        on_fatal: Callable[[str], None] | None = None,
    ) -> Engine:
        """Recovers the journal under `data_dir` and begins a new segment of it.

        `on_fatal(reason)` is called once, from a thread of the engine, after the first failing write or sync: the host
        logs its sessions out and exits with EXIT_JOURNAL_FAILED; it does not close the engine from there. Raises
        JournalDamaged (exit with EXIT_DAMAGED), JournalLocked, JournalConfigError or JournalError.
        """
        engine = cls(
            data_dir,
            config,
            sync=sync,
            interval_ms=interval_ms,
            segment_bytes=segment_bytes,
            snapshot_commands=snapshot_commands,
            on_fatal=on_fatal,
        )
        engine.data_dir = Path(data_dir)
        engine.trades = Trades(engine.data_dir / "journal", config)
        for note in engine.notes:
            event(log, "recovery mended", logging.WARNING, what=note)
        event(log, "engine opened", seq=engine.last_seq, epoch=engine.epoch, snapshot=engine.snapshot_seq, sync=sync)
        engine._closing = threading.Event()
        engine._roots_thread = threading.Thread(target=engine._write_roots, name="roots", daemon=True)
        engine._roots_thread.start()
        return engine

    def roots(self) -> list[tuple[int, bytes]]:
        """(seq, state root) of the snapshots taken so far, ascending; those of the last moments may be missing."""
        return roots(self.data_dir)

    def state_root(self) -> tuple[int, bytes]:
        """(seq, state root) of the state as it is now."""
        seq, slots = self.state()
        return seq, state_root(Core.restore(slots))

    def close(self) -> None:
        """Stops intake, makes everything durable and reported, writes a last snapshot and its root. Idempotent."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._roots_thread.join()
        self.trades.close()
        super().close()
        write_missing_roots(self.data_dir)
        event(log, "engine closed")

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_roots(self) -> None:
        seen = 0
        while not self._closing.wait(ROOT_POLL_SECONDS):
            seq = self.snapshot_seq
            if seq == seen:
                continue
            seen = seq
            try:
                write_missing_roots(self.data_dir)
            except (OSError, ValueError) as error:
                event(log, "state root not written", logging.ERROR, error=str(error))


def roots(data_dir: Path) -> list[tuple[int, bytes]]:
    """The state roots that a writer left beside its snapshots: (seq, 32 bytes), ascending."""
    paths = sorted((data_dir / "snapshot").glob("*.root"))
    return [(int(path.stem), path.read_bytes()) for path in paths]


def snapshot_state(path: Path) -> bytes:
    """The canonical state bytes of a snapshot file, as `cores.Core.restore` takes them."""
    with path.open("rb") as file:
        head = file.read(SNAPSHOT_HEAD_BYTES)
        count = int.from_bytes(head[40:48], "little")
        return file.read(64 * count)


def write_missing_roots(data_dir: Path) -> None:
    """Computes the root of every snapshot that has none and writes it as `<seq>.root`, 32 bytes.

    Roots outlive their snapshots: they are small, and a follower may be far behind.
    """
    folder = data_dir / "snapshot"
    for path in sorted(folder.glob("*.snapshot")):
        target = path.with_suffix(".root")
        if target.exists():
            continue
        try:
            state = snapshot_state(path)
        except FileNotFoundError:
            continue  # pruned meanwhile
        root = state_root(Core.restore(state))
        temporary = target.with_suffix(".root.tmp")
        temporary.write_bytes(root)
        temporary.rename(target)


def exit_code(error: Exception) -> int:
    """The exit code of a host whose engine could not be opened."""
    return EXIT_DAMAGED if isinstance(error, JournalDamaged) else 2
