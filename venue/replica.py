"""Where a follower's own state begins: the newest snapshot that is early enough, the engine's or the follower's own.

A follower that must say what the engine said needs the engine's state. It makes that state itself, from a snapshot and
the entries after it, or from the first entry on when no snapshot will do. Must never write to the engine's folders.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterable
from pathlib import Path

from cores import CoreConfig
from venue._engine import JournalDamaged, Replica
from venue.log import event

log = logging.getLogger("replica")

_HEAD = struct.Struct("<8sIIQQ")  # magic, format, epoch, seq, time_ns (snapshot.c)
_MAGIC = b"FVSNAPSH"


def snapshots(folders: Iterable[Path]) -> list[tuple[int, int, Path]]:
    """(seq, time of that command, file) of the snapshots in these folders, the newest first."""
    found = []
    for path in (path for folder in folders for path in folder.glob("*.snapshot")):
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD.size)
        except FileNotFoundError:  # a newer one took its place
            continue
        if len(head) == _HEAD.size and head.startswith(_MAGIC):
            _, _, _, seq, time_ns = _HEAD.unpack(head)
            found.append((seq, time_ns, path))
    return sorted(found, reverse=True)


def open_replica(
    config: CoreConfig, folders: Iterable[Path], last_seq_max: int, time_ns_max: int | None = None
) -> Replica:
    """The latest state that is after no later entry than `last_seq_max` and of no later time than `time_ns_max`."""
    for seq, time_ns, path in snapshots(folders):
        if seq > last_seq_max or (time_ns_max is not None and time_ns > time_ns_max):
            continue
        try:
            replica = Replica(config, path, seq)
        except JournalDamaged as error:
            event(log, "snapshot passed over", logging.WARNING, reason=str(error))
            continue
        event(log, "state taken from a snapshot", seq=seq, path=path.name)
        return replica
    return Replica(config)
