"""Hours of the sessions: when somebody may be logged on, and when all numbers begin anew.

`Schedule` answers questions about times and nothing else. `Timekeeper` is the thread that does what they say: News(B)
before an end or a reset, a Logout with a text at the end, a new generation of every store at a reset, which waits for
nobody and loses nothing (what was not delivered goes on in the new one). A reset that was missed while the venue was
down is made up for before anybody is let in.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from fix_sessions.messages import timestamp
from venue.config_sections import ScheduleSection
from venue.log import event

log = logging.getLogger("schedule")

NS = 10**9
TICK_SECONDS = 0.25
CLOCK_BACK_NS = 60 * NS
DAYS_AHEAD = 9
"""A week and what daylight saving and an overnight session add."""


class Schedule:
    """Pure: every answer is about the moment that is asked for, in ns since 1970."""

    def __init__(self, section: ScheduleSection) -> None:
        self._section = section
        self._zone = ZoneInfo(section.time_zone)
        self.always_open = not section.start and len(set(section.weekdays)) == 7

    def is_open(self, now_ns: int) -> bool:
        return self.always_open or any(start <= now_ns < end for start, end in self._intervals(now_ns))

    def closed_text(self, now_ns: int) -> str:
        """Why nobody is let in now; empty when the session is open."""
        if self.is_open(now_ns):
            return ""
        starts = [start for start, _ in self._intervals(now_ns) if start > now_ns]
        return f"outside the session's hours; it opens at {self.text_of(min(starts))}"

    def next_end(self, now_ns: int) -> int | None:
        """When the session that is open now ends."""
        if self.always_open:
            return None
        return next((end for start, end in self._intervals(now_ns) if start <= now_ns < end), None)

    def last_reset(self, now_ns: int) -> int | None:
        """The latest reset at or before now; None when there is never one."""
        return max((at for at in self._resets(now_ns) if at <= now_ns), default=None)

    def next_reset(self, now_ns: int) -> int | None:
        return min((at for at in self._resets(now_ns) if at > now_ns), default=None)

    def text_of(self, at_ns: int) -> str:
        """A moment as a broker reads it."""
        at = datetime.fromtimestamp(at_ns // NS, self._zone)
        return f"{at:%A %Y-%m-%d %H:%M:%S} {self._section.time_zone}"

    def _at(self, day: date, text: str) -> int:
        moment = clock_time.fromisoformat(text) if text else clock_time()
        return int(datetime.combine(day, moment, self._zone).timestamp()) * NS

    def _days(self, now_ns: int) -> list[date]:
        today = datetime.fromtimestamp(now_ns // NS, self._zone).date()
        return [today + timedelta(days=days) for days in range(-DAYS_AHEAD, DAYS_AHEAD + 1)]

    def _intervals(self, now_ns: int) -> list[tuple[int, int]]:
        """Open times around now in order; those that touch are one."""
        section, found = self._section, list[tuple[int, int]]()
        overnight = not section.start or section.end <= section.start
        for day in self._days(now_ns):
            if day.isoweekday() not in section.weekdays:
                continue
            start = self._at(day, section.start)
            end = self._at(day + timedelta(days=1) if overnight else day, section.end)
            if start >= end:  # all of it lies in the hour that daylight saving skips
                continue
            if found and found[-1][1] >= start:
                found[-1] = (found[-1][0], max(end, found[-1][1]))
            else:
                found.append((start, end))
        return found

    def _resets(self, now_ns: int) -> list[int]:
        section = self._section
        if not section.reset:
            return []
        days = [d for d in self._days(now_ns) if section.reset_weekday in (0, d.isoweekday())]
        return [self._at(day, section.reset) for day in days]


class Attended(Protocol):
    """What the timekeeper does to the sessions."""

    def end_hours(self, text: str) -> None: ...
    def begin_generations(self, text: str) -> None: ...
    def tell(self, headline: str) -> object: ...


class Attendance:
    """The sessions of one gateway, order entry, market data or drop copy, as their schedule and operators see them."""

    def __init__(self, gateway: Any, names: dict[int, str]) -> None:
        """`names`: CompIDs by the session's number."""
        self._gateway, self._names = gateway, names

    def end_hours(self, text: str) -> None:
        for number in self._names:
            self._gateway.log_out(number, text)

    def begin_generations(self, text: str) -> None:
        for number in self._names:
            self._gateway.begin_generation(number, text)

    def tell(self, headline: str, session: int | None = None, *, urgent: bool = True) -> list[str]:
        """News(B) to everybody who is logged on, or to one session; returns who was told."""
        there = [number for number in self._names if session in (None, number)]
        there = [number for number in there if self._gateway.session_status(number)["logged_on"]]
        text = headline.encode("ascii", "replace")
        fields = [(42, timestamp(time.time_ns())[:21]), (61, b"1" if urgent else b"0"), (148, text), (33, b"1")]
        for number in there:
            self._gateway.send(number, b"B", [*fields, (58, text)])
        return [self._names[number] for number in there]

    def make_up_for_reset(self, schedule: Schedule) -> None:
        """Resets that were due while the venue was down, before anybody is let in; and what a loss of power did."""
        due = schedule.last_reset(time.time_ns())
        for number, name in self._names.items():
            _, created_ns, leapt = self._gateway.store_facts(number)
            if leapt:
                event(log, "numbers skipped after a loss of power", logging.WARNING, session=name)
            if due is not None and created_ns < due:
                self._gateway.begin_generation(number, "")


class Timekeeper:
    """`start` runs it in a thread until `stop`; `tick(now_ns)` does what is due, for tests too."""

    def __init__(
        self,
        schedule: Schedule,
        section: ScheduleSection,
        sessions: Attended,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._schedule, self._section, self._sessions, self._now_ns = schedule, section, sessions, now_ns
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedule", daemon=True)
        self._last_ns = now_ns()
        self._was_open = schedule.is_open(self._last_ns)
        self._clock_told = False

    def start(self) -> None:
        """Nothing is to be done by time when the sessions are always open and never reset."""
        if not self._schedule.always_open or self._section.reset:
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Idempotent."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def tick(self, now_ns: int) -> None:
        """Everything that is due since the last tick."""
        last, self._last_ns = self._last_ns, max(now_ns, self._last_ns)
        if now_ns <= last:
            self._notice_clock(last - now_ns)
            return
        self._clock_told = False
        self._announce(last, now_ns)
        open_now = self._schedule.is_open(now_ns)
        if self._was_open and not open_now:
            event(log, "hours ended")
            self._sessions.end_hours(f"the session's hours have ended; {self._schedule.closed_text(now_ns)}")
        self._was_open = open_now
        reset = self._schedule.last_reset(now_ns)
        if reset is not None and last < reset <= now_ns:
            event(log, "reset", at=self._schedule.text_of(reset))
            self._sessions.begin_generations("scheduled reset; log on again, both sides begin with MsgSeqNum(34) 1")

    def _notice_clock(self, behind_ns: int) -> None:
        """Nothing is due twice, so nothing is due until the clock is again where it was: that is told, once."""
        if behind_ns > CLOCK_BACK_NS and not self._clock_told:
            self._clock_told = True
            text = "no hours end and no reset is made until it is again where it was; restart the venue if that is long"
            event(log, "clock went back", logging.ERROR, alarm="schedule", seconds=behind_ns // NS, meaning=text)

    def _announce(self, last_ns: int, now_ns: int) -> None:
        moments = (
            (self._schedule.next_end(last_ns), "The session ends"),
            (self._schedule.next_reset(last_ns), "All sequence numbers are reset"),
        )
        for at, what in moments:
            due = [m for m in self._section.news_minutes if at is not None and last_ns < at - m * 60 * NS <= now_ns]
            if at is not None and due and at > now_ns:
                minutes = min(due)
                plural = "" if minutes == 1 else "s"
                self._sessions.tell(f"{what} in {minutes} minute{plural}, at {self._schedule.text_of(at)}")

    def _run(self) -> None:
        while not self._stop.wait(TICK_SECONDS):
            try:
                self.tick(self._now_ns())
            except Exception as error:  # trading goes on, the operator is told
                event(log, "schedule failed", logging.ERROR, alarm="schedule", error=f"{type(error).__name__}: {error}")
