"""What the journal says beside commands, for whoever makes the messages of their reports again.

Read of the journal when it is needed; the last are kept. Must never answer for an entry that cannot be read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fix_sessions.messages import SEQ_BITS
from venue.follower import JournalDamaged, Slice
from venue.records import SALT_BYTES
from venue.trades import bodies

Reports = npt.NDArray[np.void]


def seqs_of(reports: Reports) -> set[int]:
    """The commands whose reports these are."""
    return {int(exec_id) >> SEQ_BITS for exec_id in reports["event"]["exec_id"]}


class CopiedBodies:
    """Annexes without their salt, by command. Not safe for use by two threads at once."""

    def __init__(self, journal_dir: Path, kept_max: int) -> None:
        self.journal_dir, self.kept_max = journal_dir, kept_max
        self._bodies: OrderedDict[int, bytes] = OrderedDict()

    def check(self) -> None:
        """Asserts that no more is kept than is wanted."""
        assert len(self._bodies) <= self.kept_max

    def __getitem__(self, seq: int) -> bytes:
        return self._bodies[seq]

    def note(self, piece: Slice, seqs: set[int]) -> None:
        """Keeps those of commands of this slice."""
        for seq in sorted(seqs):
            row = seq - int(piece.commands["seq"][0])
            start = int(piece.annex_ends[row - 1]) if row else 0
            self._bodies[seq] = piece.annex[start + SALT_BYTES : int(piece.annex_ends[row])]

    def fetch(self, wanted: Iterable[int]) -> None:
        """Reads what is not here; all of it stays until `trim`. Raises JournalDamaged."""
        missing = {seq for seq in wanted if seq not in self._bodies}
        if not missing:
            return
        found = bodies(self.journal_dir, missing)
        if len(found) < len(missing):
            raise JournalDamaged(f"{self.journal_dir}: entry {min(missing - set(found))} cannot be read")
        self._bodies |= found

    def trim(self) -> None:
        """Forgets the oldest."""
        while len(self._bodies) > self.kept_max:
            self._bodies.popitem(last=False)
