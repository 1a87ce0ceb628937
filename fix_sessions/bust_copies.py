"""What a process that follows the journal can say again of busted trades: the reports that both sides were told.

A report has what the order table knows; the rest, and all of it when the table has forgotten the order, stands in the
annex of the BUST. It is read of the journal when it is needed, and the last are kept. The message itself is made by
`bust_reports.py`, as for the session: must never say anything else. Of a slice of an execution algorithm, whose
parent's sums are known to the engine's process alone, it says the slice's sums under the parent's name.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cores import EventKind
from fix_sessions import child_names
from fix_sessions.bust_reports import bust_fields
from fix_sessions.codec import Terms
from fix_sessions.messages import SEQ_BITS, Field
from venue.busts import side_fields
from venue.config import Config
from venue.follower import JournalDamaged, Slice
from venue.records import SALT_BYTES
from venue.trades import bodies

BODIES_KEPT = 1024

Reports = npt.NDArray[np.void]
Message = tuple[bytes, list[Field]]


class BustCopies:
    """The messages of reports that a trade was taken back; for any thread."""

    def __init__(self, config: Config, journal_dir: Path) -> None:
        self.terms = Terms(config)
        self.journal_dir = journal_dir
        self._lock = threading.Lock()
        self._bodies: OrderedDict[int, bytes] = OrderedDict()

    def concerns(self, reports: Reports) -> npt.NDArray[np.bool_]:
        """Which of these reports are of busted trades."""
        found: npt.NDArray[np.bool_] = reports["event"]["kind"] == EventKind.BUSTED
        return found

    def note(self, piece: Slice, reports: Reports) -> None:
        """Keeps what the journal says beside the commands of these reports; they are of this slice."""
        with self._lock:
            for seq in sorted(_seqs(reports)):
                row = seq - int(piece.commands["seq"][0])
                start = int(piece.annex_ends[row - 1]) if row else 0
                self._bodies[seq] = piece.annex[start + SALT_BYTES : int(piece.annex_ends[row])]
            self._trim()

    def messages(self, reports: Reports) -> list[Message | None]:
        """What the session was told of each, None: nothing. Raises JournalDamaged."""
        with self._lock:
            wanted = _seqs(reports)
            if missing := wanted - self._bodies.keys():
                self._bodies |= bodies(self.journal_dir, missing)
            if missing := wanted - self._bodies.keys():
                raise JournalDamaged(f"{self.journal_dir}: entry {min(missing)} cannot be read")
            messages = [self._message(report) for report in reports]
            self._trim()
            return messages

    def check(self) -> None:
        """Asserts that no more is kept than is wanted."""
        assert len(self._bodies) <= BODIES_KEPT

    def _message(self, report: np.void) -> Message | None:
        if int(report["session"]) not in self.terms.members:
            return None
        body = self._bodies[int(report["event"]["exec_id"]) >> SEQ_BITS]
        found = bust_fields(report, self.terms, body)
        parent = side_fields(body, int(report["side"])).get(583, b"")
        if parent and bytes(report["clordid"]).startswith(child_names.CHILD_MARK):
            found = [(tag, parent if tag == 11 else value) for tag, value in found]
        return b"8", found

    def _trim(self) -> None:
        while len(self._bodies) > BODIES_KEPT:
            self._bodies.popitem(last=False)


def _seqs(reports: Reports) -> set[int]:
    return {int(exec_id) >> SEQ_BITS for exec_id in reports["event"]["exec_id"]}
