"""What a process that follows the journal can say again of busted trades: the reports that both sides were told.

A report has what the order table knows; the rest, and all of it when the table has forgotten the order, stands in the
annex of the BUST. It is read of the journal when it is needed, and the last are kept. The message itself is made by
`bust_reports.py`, as for the session: must never say anything else. Of a slice of an execution algorithm, whose
parent's sums are known to the engine's process alone, it says the slice's sums under the parent's name.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cores import EventKind
from fix_sessions import child_names
from fix_sessions.bust_reports import bust_fields
from fix_sessions.codec import Terms
from fix_sessions.copied_bodies import CopiedBodies, Reports, seqs_of
from fix_sessions.messages import SEQ_BITS, Field
from venue.busts import side_fields
from venue.config import Config
from venue.follower import Slice

BODIES_KEPT = 1024

Message = tuple[bytes, list[Field]]


class BustCopies:
    """The messages of reports that a trade was taken back; for any thread."""

    def __init__(self, config: Config, journal_dir: Path) -> None:
        self.terms = Terms(config)
        self._lock = threading.Lock()
        self._bodies = CopiedBodies(journal_dir, BODIES_KEPT)

    def concerns(self, reports: Reports) -> npt.NDArray[np.bool_]:
        """Which of these reports are of busted trades."""
        found: npt.NDArray[np.bool_] = reports["event"]["kind"] == EventKind.BUSTED
        return found

    def note(self, piece: Slice, reports: Reports) -> None:
        """Keeps what the journal says beside the commands of these reports; they are of this slice."""
        with self._lock:
            self._bodies.note(piece, seqs_of(reports))
            self._bodies.trim()

    def messages(self, reports: Reports) -> list[Message | None]:
        """What the session was told of each, None: nothing. Raises JournalDamaged."""
        with self._lock:
            self._bodies.fetch(seqs_of(reports))
            messages = [self._message(report) for report in reports]
            self._bodies.trim()
            return messages

    def check(self) -> None:
        """Asserts that no more is kept than is wanted."""
        self._bodies.check()

    def _message(self, report: np.void) -> Message | None:
        if int(report["session"]) not in self.terms.members:
            return None
        body = self._bodies[int(report["event"]["exec_id"]) >> SEQ_BITS]
        found = bust_fields(report, self.terms, body)
        parent = side_fields(body, int(report["side"])).get(583, b"")
        if parent and bytes(report["clordid"]).startswith(child_names.CHILD_MARK):
            found = [(tag, parent if tag == 11 else value) for tag, value in found]
        return b"8", found
