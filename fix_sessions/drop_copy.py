"""The drop-copy gateway: what a member's order entry sessions are told, told a second time, from the journal.

Every ExecutionReport(8) and OrderCancelReject(9) of the sessions it copies, as those got it and in the order of the
journal, with CopyMsgIndicator(797)=Y and, in the header, OnBehalfOfCompID(115) = the session and OnBehalfOfSubID(116) =
the member it was for. A follower in a process of its own: only what is durable is copied, and neither its death nor a
client that does not read touches trading. A copy is in its session's store before it is sent, and the store knows up to
which execution it is whole: so none is missing and none comes twice, whatever dies when. Must never write to the
journal, and never copy to one member what another's sessions were told, unless `copies` says so.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cores import CoreConfig
from fix_sessions import library
from fix_sessions.bust_copies import BustCopies
from fix_sessions.listener import Listener
from fix_sessions.messages import SEQ_BITS, Field, first_fields, identifier
from fix_sessions.parent_copies import ParentCopies
from venue.config import Config, Member, Session
from venue.follower import Follower, JournalDamaged, Slice
from venue.log import event
from venue.replica import open_replica
from venue.report_log import ReportLog

log = logging.getLogger("drop_copy")

POLL_COMMANDS = 8_192
POLL_SECONDS = 0.002
PORTION_REPORTS = 4_096
REPLAY_TURN_REPORTS = 256
INDEX_MASK = (1 << SEQ_BITS) - 1
DAY_NS = 86_400 * 10**9
SERVED = "BW"
EXEC_ID = re.compile(rb"([0-9]{1,13})-([0-9]{1,8})\Z")
OF_ORDERS, OF_PARENTS, BUSTED = range(3)
DONE, MALFORMED, NOT_AVAILABLE = b"0", b"1", b"2"  # ApplResponseType(1348)


class Incomplete(RuntimeError):
    """A store could not take a copy; the process must begin again from what the stores have."""


@dataclass
class Replay:
    """A request that is being served: copies later than `exec_id` and up to `last_exec_id` are still to be sent."""

    request_id: bytes
    exec_id: int
    last_exec_id: int
    sent: int = 0
    last_sent: int = 0


class DropCopy:
    """All drop-copy sessions: `open`, then `run` until told to stop, then `close`."""

    def __init__(self, config: Config) -> None:
        """Raises ValueError when the configuration has no drop-copy session."""
        self.config = config
        self.folder = config.data_dir / "drop_copy"
        self.sessions = config.sessions("drop_copy")
        if not self.sessions:
            raise ValueError('drop_copy.port is set, but no session has kind = "drop_copy"')
        section = config.drop_copy
        self.sources = {session.id: _sources(config, member, session) for member, session in self.sessions}
        self.listener = Listener(config, "drop_copy", section.host, section.port, self.folder / "fix", self, SERVED)
        self.parents = ParentCopies(config, config.journal_dir)
        self.busts = BustCopies(config, config.journal_dir)
        self.reports: ReportLog
        self.copies = 0
        self._copied = library.load().copied
        self._replays: dict[int, Replay] = {}
        self._oldest_ns = 0
        self._snapshot_seq = 0
        self._follower: Follower
        self._replica: Any = None

    # ---- life ----

    def open(self) -> None:
        """Brings every session's store up to what the report log has, then lets clients in."""
        self.listener.open()
        for member, session in self.config.sessions():
            header = f"115={session.comp_id}\x01116={member.id}\x01"
            self.listener.add_source(session.id, header.encode())
        reached = {session.id: self.listener.last_exec_id(session.id) for _, session in self.sessions}
        day_ns = time.time_ns() // DAY_NS * DAY_NS
        snapshots = self.folder / "snapshot"
        snapshots.mkdir(parents=True, exist_ok=True)
        self.reports = ReportLog(self.folder / "reports", self.config.drop_copy.reports_kept)
        limits = self.config.limits
        core = CoreConfig(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels)
        folders = (snapshots, self.config.data_dir / "snapshot")
        if self.reports.is_empty or not all(self._has_all_after(exec_id, day_ns) for exec_id in reached.values()):
            self.reports.clear()
            needed = min((exec_id >> SEQ_BITS for exec_id in reached.values() if exec_id), default=1 << 40)
            before = day_ns - 1 if 0 in reached.values() else None
            self._replica = open_replica(core, folders, max(0, needed - 1), before)
            self.reports.begin(self._replica.last_seq + 1, self._replica.last_time_ns)
        else:
            self._replica = open_replica(core, folders, self.reports.seq)
        self._snapshot_seq = self._replica.last_seq
        self._follower = Follower(self.config.journal_dir, self._replica.last_seq + 1)
        mark = self._follower.watermark()
        self._old_seq = mark.durable_seq if mark else 0  # what was durable before this start may have been sent before
        self._reached, self._day_ns = reached, day_ns
        for number, exec_id in reached.items():
            self._catch_up(number, exec_id)
        self.listener.start()
        event(
            log,
            "drop copy open",
            port=self.listener.port,
            seq=self._replica.last_seq,
            reports_from=self.reports.from_seq,
        )

    def run(self, stop: threading.Event) -> None:
        """Follows the journal until `stop`. Raises JournalDamaged or Incomplete."""
        while not stop.is_set():
            if not self.step():
                stop.wait(POLL_SECONDS)
        while self.step():  # the engine has stopped before: what it said last is copied too
            pass

    def step(self) -> int:
        """Takes the next durable entries; returns how many."""
        entries = self._follower.poll(POLL_COMMANDS)
        if not len(entries):
            self._oldest_ns = 0
            return 0
        self._oldest_ns = int(entries.commands["time_ns"][0])
        reports = self._replica.apply(entries.commands, entries.annex, entries.annex_ends)
        seq = self._replica.last_seq
        if seq > self.reports.seq:
            kept = reports[reports["event"]["exec_id"] > self.reports.seq << SEQ_BITS | INDEX_MASK]
            kept = kept[self._have_copies(entries, kept)]
            self.reports.append(kept, seq, self._replica.last_time_ns)
            for session in self.sources:
                self._copy(session, kept, seq)
            self._settle()
        if seq >= self._snapshot_seq + self.config.journal.snapshot_commands:
            self._save()
        return len(entries)

    def close(self, reason: str = "the venue is closing") -> None:
        """Logs everybody out and remembers the state, so that the next start is quick."""
        self.listener.stop(reason)
        if self._replica is not None and self._replica.last_seq > self._snapshot_seq:
            self._save()
        if self._replica is not None:
            self._follower.close()
            self.reports.close()

    def check(self) -> None:
        """Asserts that stores and report log are consistent; only while nothing is sent."""
        self.listener.check()
        self.reports.check()
        self.busts.check()
        assert self.reports.seq >= self._replica.last_seq, "an entry was applied and its reports are nowhere"

    # ---- what operators ask ----

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest durable command whose copies are not out yet."""
        oldest_ns = self._oldest_ns
        return max(0.0, (time.time_ns() - oldest_ns) / 1e9) if oldest_ns else 0.0

    @property
    def lag_commands(self) -> int:
        return self._follower.lag

    # ---- copying ----

    def _have_copies(self, entries: Slice, reports: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
        """Which of the reports of a slice their sessions were told, as an order's or as a parent's."""
        found: npt.NDArray[np.bool_] = self._copied(reports)
        makers = self._makers(reports)
        if (of_parents := makers == OF_PARENTS).any():
            self.parents.note(entries, reports[of_parents])
            found[of_parents] = [message is not None for message in self.parents.messages(reports[of_parents])]
        if (busted := makers == BUSTED).any():
            self.busts.note(entries, reports[busted])
            found[busted] = [message is not None for message in self.busts.messages(reports[busted])]
        return found

    def _makers(self, reports: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
        """Who makes the messages of these reports: those of orders are made of the report alone."""
        makers = np.where(self.parents.concerns(reports), OF_PARENTS, OF_ORDERS)
        makers[self.busts.concerns(reports)] = BUSTED
        return makers

    def _has_all_after(self, exec_id: int, day_ns: int) -> bool:
        """Whether the report log has everything later than this execution; of a new session, of today."""
        if exec_id == 0:
            return self.reports.from_seq == 1 or self.reports.from_time_ns < day_ns
        whole = exec_id & INDEX_MASK == INDEX_MASK
        return (exec_id >> SEQ_BITS) + whole >= self.reports.from_seq

    def _catch_up(self, session: int, exec_id: int) -> None:
        """What the log has and the session's store has not. A new session begins with the current UTC day."""
        last = self.reports.seq
        while len(found := self.reports.after(exec_id, PORTION_REPORTS)):
            exec_id = int(found[-1]["event"]["exec_id"])
            self._copy_some(session, found, 0)
        if last >= self.reports.from_seq:
            self.listener.copy(session, found, reached=last << SEQ_BITS | INDEX_MASK)
        if self.listener.incomplete:
            raise Incomplete("a drop-copy store could not be written; is the disk full?")

    def _copy(self, session: int, reports: npt.NDArray[np.void], seq: int) -> None:
        for first in range(0, len(reports), PORTION_REPORTS):
            self._copy_some(session, reports[first : first + PORTION_REPORTS], 0)
        self.listener.copy(session, reports[:0], reached=seq << SEQ_BITS | INDEX_MASK)

    def _copy_some(self, session: int, reports: npt.NDArray[np.void], reached: int) -> None:
        """Those of the reports that the session is to get and does not have."""
        mine = np.isin(reports["session"], self.sources[session])
        mine &= reports["event"]["exec_id"] > self._reached[session]
        if self._reached[session] == 0:
            mine &= reports["time_ns"] >= self._day_ns
        old = reports["event"]["exec_id"] >> np.uint64(SEQ_BITS) <= self._old_seq
        for part, again in ((mine & old, True), (mine & ~old, False)):
            if part.any():
                self._send(session, reports[part], poss_resend=again)
                self.copies += int(part.sum())

    def _send(
        self, session: int, reports: npt.NDArray[np.void], *, poss_resend: bool = False, replay: bool = False
    ) -> None:
        """Copies in order: an order's are made of its report, a parent's or bust's of what the journal says besides."""
        if not len(reports):
            return
        makers = self._makers(reports)
        places = np.flatnonzero(makers[1:] != makers[:-1]) + 1
        for part, number in zip(np.split(reports, places), makers[[0, *places]].tolist(), strict=True):
            if number == OF_ORDERS:
                self.listener.copy(session, part, poss_resend=poss_resend, replay=replay)
                continue
            made = self.busts.messages(part) if number == BUSTED else self.parents.messages(part)
            for report, message in zip(part, made, strict=True):
                if message is not None:
                    origin = int(report["session"]), int(report["event"]["exec_id"])
                    self.listener.copy_message(session, *origin, *message, poss_resend=poss_resend, replay=replay)

    def _settle(self) -> None:
        self.listener.settle()
        if self.listener.incomplete:
            raise Incomplete("a drop-copy store could not be written; is the disk full?")

    def _save(self) -> None:
        try:
            self._replica.save(self.folder / "snapshot")
        except OSError as error:  # it only makes the next start slower
            event(log, "snapshot not written", logging.WARNING, reason=str(error))
        self._snapshot_seq = self._replica.last_seq

    # ---- replay; all on the gateway's thread ----

    def on_message(self, session: int, number: int, body: bytes, poss_dup: bool) -> int:
        """ApplicationMessageRequest(BW): the copies after an execution, once more."""
        values = first_fields(body)
        if values[35] != b"BW":
            text = b"MsgType(35) " + values[35] + b" is not served here; BW is"
            self.listener.business_reject(session, number, values[35], 3, text)
            return 0
        answer = self._begin(session, values)
        if isinstance(answer, Replay):
            self._replays[session] = answer
            self._acknowledge(session, values, DONE, b"")
            self.listener.want_turns(True)
        else:
            self._acknowledge(session, values, *answer)
        return 0

    def _begin(self, session: int, values: dict[int, bytes]) -> Replay | tuple[bytes, bytes]:
        """What is to be replayed, or why nothing is."""
        if session in self._replays:
            return NOT_AVAILABLE, b"a replay is under way on this session; wait for its ApplicationMessageReport(BY)"
        exec_id = _exec_id(values.get(17, b"0"))
        if exec_id is None:
            return MALFORMED, b"ExecID(17) must be the ExecID of a copy of this session, or 0 for all that are kept"
        if exec_id:
            oldest = self.reports.from_seq << SEQ_BITS
            if exec_id < oldest:
                text = b"ExecID(17) is older than what is kept; send 0 for all that is kept"
                return NOT_AVAILABLE, text
            found = self.reports.find(exec_id)
            if found is None or int(found["session"]) not in self.sources[session]:
                return MALFORMED, b"ExecID(17) names no report that is copied to this session"
        return Replay(values[1346], exec_id, self.reports.seq << SEQ_BITS | INDEX_MASK)

    def _acknowledge(self, session: int, values: dict[int, bytes], code: bytes, text: bytes) -> None:
        """ApplicationMessageRequestAck(BX)."""
        fields: list[Field] = [(58, text)] if text else []
        fields += [(1346, values[1346]), (1347, values[1347]), (1348, code)]
        self.listener.send(session, b"BX", fields, kept=False)

    def on_turn(self) -> None:
        """A portion of every replay; a client that does not read gets no more meanwhile."""
        for session, replay in list(self._replays.items()):
            if self.listener.unsent(session) <= self.config.fix.queue_bytes_max // 4:
                self._go_on(session, replay)
        if not self._replays:
            self.listener.want_turns(False)

    def _go_on(self, session: int, replay: Replay) -> None:
        left = self.config.drop_copy.replay_reports_max - replay.sent
        found = self.reports.after(replay.exec_id, PORTION_REPORTS)
        found = found[found["event"]["exec_id"] <= replay.last_exec_id]
        mine = found[np.isin(found["session"], self.sources[session])]
        if len(mine) and not left:
            self._report(session, replay, b"there are more; ask again with this ExecID(17)")
            return
        portion = mine[: min(left, REPLAY_TURN_REPORTS)]
        try:
            self._send(session, portion, replay=True)
        except JournalDamaged as error:
            event(log, "replay ended", logging.ERROR, alarm="drop_copy", reason=str(error))
            self._report(session, replay, b"what follows cannot be read; ask the venue")
            return
        replay.sent += len(portion)
        if len(portion):
            replay.last_sent = int(portion[-1]["event"]["exec_id"])
        if len(portion) < len(mine):
            replay.exec_id = replay.last_sent
        elif len(found):
            replay.exec_id = int(found[-1]["event"]["exec_id"])
        else:
            self._report(session, replay, b"")

    def _report(self, session: int, replay: Replay, text: bytes) -> None:
        """ApplicationMessageReport(BY): the replay has ended."""
        self._replays.pop(session)
        fields: list[Field] = [(17, identifier(replay.last_sent))] if replay.last_sent else []
        fields += [(58, text)] if text else []
        fields += [(1346, replay.request_id), (1349, b"%d" % replay.sent), (1356, replay.request_id), (1426, b"3")]
        self.listener.send(session, b"BY", fields, kept=False)

    def on_session(self, session: int, logged_on: bool, text: str) -> None:
        """A replay ends with its session."""
        self._replays.pop(session, None)

    def on_tick(self) -> None:
        """Nothing is done by the clock."""


def _sources(config: Config, member: Member, session: Session) -> list[int]:
    """Numbers of the order entry sessions whose reports a drop-copy session gets."""
    members = session.copies or (member.id,)
    return [found.id for owner, found in config.sessions() if owner.id in members]


def _exec_id(text: bytes) -> int | None:
    """`seq-index` as a number, 0 for 0; None when it is neither."""
    if text == b"0":
        return 0
    match = EXEC_ID.match(text)
    if match is None:
        return None
    seq, index = int(match[1]), int(match[2])
    return seq << SEQ_BITS | index if 0 < seq < 1 << 40 and index <= INDEX_MASK else None
