"""What a process that follows the journal can say again of parent orders: the messages that their members were told.

A report has no more than the engine knows, and to the engine a parent is a TIME command and a child an order like any
other. What they mean stands in the annexes of the journal: of the entry itself, or of the child and of the two entries
that set its parent's terms. They are read when they are needed and the last of them are kept, so nothing is lost with
the process, and a message is the same however often it is made. Must never say anything that parent_reports.py does
not.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cores import EventKind
from fix_sessions import child_names, parent_reports
from fix_sessions.codec import Terms
from fix_sessions.copied_bodies import CopiedBodies, Reports, seqs_of
from fix_sessions.messages import SEQ_BITS
from fix_sessions.parent_orders import END, PARENT, REPLACE, Child, Entry, Version
from fix_sessions.parent_reports import Message
from venue.config import Config
from venue.follower import JournalDamaged, Slice

BODIES_KEPT = 16_384
VERSIONS_KEPT = 4_096


class ParentCopies:
    """The messages of reports that are about parents; for any thread."""

    def __init__(self, config: Config, journal_dir: Path) -> None:
        self.terms = Terms(config)
        self.journal_dir = journal_dir
        self._lock = threading.Lock()
        self._bodies = CopiedBodies(journal_dir, BODIES_KEPT)
        self._versions: OrderedDict[tuple[int, int], Version] = OrderedDict()

    def concerns(self, reports: Reports) -> npt.NDArray[np.bool_]:
        """Which of these reports may be about a parent: those of children and of TIME commands."""
        first = reports["clordid"].astype(f"S{len(child_names.CHILD_MARK)}")
        found: npt.NDArray[np.bool_] = first == child_names.CHILD_MARK
        found |= reports["event"]["kind"] == EventKind.CLOCK
        return found

    def note(self, piece: Slice, reports: Reports) -> None:
        """Keeps what the journal says beside the commands of these reports; they are of this slice."""
        with self._lock:
            self._bodies.note(piece, seqs_of(reports))

    def messages(self, reports: Reports) -> list[Message | None]:
        """What the member was told of each, None: nothing. Raises JournalDamaged."""
        with self._lock:
            self._bodies.fetch(seqs_of(reports))
            read = [self._read(report) for report in reports]
            self._bodies.fetch({seq for found in read if found is not None for seq in _sources(found)})
            messages = [
                None if found is None else self._message(found, report)
                for found, report in zip(read, reports, strict=True)
            ]
            self._bodies.trim()
            return messages

    def check(self) -> None:
        """Asserts that no more is kept than is wanted."""
        self._bodies.check()
        assert len(self._versions) <= VERSIONS_KEPT

    def _read(self, report: np.void) -> Entry | Child | None:
        seq, session = int(report["event"]["exec_id"]) >> SEQ_BITS, int(report["session"])
        if session not in self.terms.members:
            return None
        body = self._bodies[seq]
        if int(report["event"]["kind"]) == EventKind.CLOCK:
            return Entry.of(seq, session, int(report["account"]), int(report["symbol"]), body)
        return Child.of(seq, body)

    def _message(self, found: Entry | Child, report: np.void) -> Message | None:
        if isinstance(found, Child):
            version = self._version(found.parent_seq, found.version_seq, report)
            return parent_reports.of_child(version, found, report, self.terms, found.busted)
        named = _sources(found)
        version_or_none = self._version(*named, report) if named else None
        return parent_reports.of_entry(found, version_or_none, report, found.busted)

    def _version(self, parent_seq: int, seq: int, report: np.void) -> Version:
        known = self._versions.get((parent_seq, seq))
        if known is None:
            owner = int(report["session"]), int(report["account"]), int(report["symbol"])
            parent = Entry.of(parent_seq, *owner, self._bodies[parent_seq])
            entry = Entry.of(seq, *owner, self._bodies[seq])
            if parent is None or parent.verb != PARENT or entry is None:
                raise JournalDamaged(f"{self.journal_dir}: entry {parent_seq} is no parent order, and a child names it")
            known = Version.of(self.terms, parent, entry if seq != parent_seq else None)
            self._versions[parent_seq, seq] = known
            if len(self._versions) > VERSIONS_KEPT:
                self._versions.popitem(last=False)
        return known


def _sources(found: Entry | Child) -> tuple[int, int] | tuple[()]:
    """The entries that set the terms which a message tells of: that of the parent, and the one in force."""
    if isinstance(found, Child):
        return found.parent_seq, found.version_seq
    if found.verb == PARENT:
        return found.seq, found.seq
    if found.verb == REPLACE:
        return found.number(b"parent"), found.seq
    if found.verb == END:
        return found.number(b"parent"), found.number(b"version") or found.number(b"parent")
    return ()
