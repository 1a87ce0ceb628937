"""The clock of the engine's process: what happens by time becomes commands, for nothing in the core happens by itself.

It submits, like any operator: TIME for instruments with GTD orders that have expired, TIME for an indicative price each
second while an instrument is in a call, PHASE at the end of a volatility call and at the times of the timetable, TIME
for the end of the day, when Day orders expire. All of it is journaled with actor `clock`, so a replay needs no clock.

Expiries cost nothing while nothing expires: the engine keeps one word, the earliest time at which any GTD order may
expire, lowered by each GTD order that enters; a tick compares it with the time and asks for the instruments only then.
Phases are asked for once a turn of `PHASE_SECONDS`. Must never decide what an expiry or an uncross does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from datetime import time as clock_time
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from cores import CommandFlag, CommandKind, EventKind, Reason
from cores.records import Phase
from venue.config import Config
from venue.log import event

log = logging.getLogger("clock")

TICK_SECONDS = 0.05
PHASE_SECONDS = 0.25
NS = 1_000_000_000
MISSED_NS_MAX = 86_400 * NS
CALLS = (Phase.PRE_OPEN, Phase.VOLATILITY, Phase.CLOSE_CALL)

# What a time of the timetable does: the phases it is good for, and the one it leads to.
STEPS = {
    "pre_open": ((Phase.CLOSED,), Phase.PRE_OPEN),
    "open": ((Phase.CLOSED, Phase.PRE_OPEN), Phase.CONTINUOUS),
    "close_call": ((Phase.CONTINUOUS, Phase.VOLATILITY), Phase.CLOSE_CALL),
    "close": ((Phase.PRE_OPEN, Phase.CONTINUOUS, Phase.VOLATILITY, Phase.CLOSE_CALL), Phase.CLOSED),
}


class TimedEngine(Protocol):
    """What the clock needs of the engine."""

    def call(self, command: Any = None, *, body: bytes = b"", **fields: Any) -> tuple[int, int, Any]: ...
    def phases(self) -> list[int]: ...
    def expiries_due(self, now_ns: int) -> list[int]: ...
    @property
    def expiry_hint(self) -> int: ...
    @property
    def last_time_ns(self) -> int: ...


class Clock:
    """`start` runs it in a thread until `stop`; `tick(now_ns)` does what is due, for tests too."""

    def __init__(self, engine: TimedEngine, config: Config, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._engine, self._config, self._now_ns = engine, config, now_ns
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
        now = now_ns()
        self._done_ns = max(engine.last_time_ns, now - MISSED_NS_MAX) if engine.last_time_ns else now
        self._phases_ns = 0
        self._indicative_ns: dict[int, int] = {}
        self._volatile_ns: dict[int, int] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self) -> None:
        """Asserts that only symbols that exist are remembered."""
        count = len(self._engine.phases())
        assert all(symbol < count for symbol in [*self._indicative_ns, *self._volatile_ns])

    def tick(self, now_ns: int) -> None:
        """Everything that is due by now."""
        if self._engine.expiry_hint <= now_ns:
            for symbol in self._engine.expiries_due(now_ns):
                self._submit(CommandKind.TIME, symbol, "expiry", flags=CommandFlag.TIME_EXPIRE)
            self._engine.expiries_due(now_ns)
        self._scheduled(now_ns)
        if now_ns - self._phases_ns >= PHASE_SECONDS * NS:
            self._phases_ns = now_ns
            self._calls(now_ns)

    def _run(self) -> None:
        while not self._stop.wait(TICK_SECONDS):
            try:
                self.tick(self._now_ns())
            except EngineStopped:
                return
            except Exception as error:  # trading goes on; the operator is told, and the next tick tries again
                event(log, "clock failed", logging.ERROR, alarm="clock", error=f"{type(error).__name__}: {error}")
                self._stop.wait(1.0)

    # ---- calls ----

    def _calls(self, now_ns: int) -> None:
        clock = self._config.clock
        for symbol, phase in enumerate(self._engine.phases()):
            if phase not in CALLS:
                self._indicative_ns.pop(symbol, None)
                self._volatile_ns.pop(symbol, None)
                continue
            if phase != Phase.VOLATILITY:
                self._volatile_ns.pop(symbol, None)
            elif clock.volatility_seconds:
                since = self._volatile_ns.setdefault(symbol, now_ns)
                if now_ns - since >= clock.volatility_seconds * NS:
                    self._volatile_ns.pop(symbol)
                    self._submit(CommandKind.PHASE, symbol, "end of the volatility call", ord_type=Phase.CONTINUOUS)
                    continue
            if (
                clock.indicative_seconds
                and now_ns - self._indicative_ns.get(symbol, 0) >= clock.indicative_seconds * NS
            ):
                self._indicative_ns[symbol] = now_ns
                self._submit(CommandKind.TIME, symbol, "indicative", flags=CommandFlag.TIME_INDICATIVE)

    # ---- times of day ----

    def _scheduled(self, now_ns: int) -> None:
        """Does what was to be done since the last tick; at a start also what was missed, of the last day at most."""
        if now_ns <= self._done_ns:
            return
        for _, what in self.due(self._done_ns, now_ns):
            self._do(what)
        self._done_ns = now_ns

    def due(self, after_ns: int, until_ns: int) -> list[tuple[int, str]]:
        """(time, what) of the times of day in after < time <= until, in order."""
        table = self._config.timetable
        times = [(name, text) for name, text in table.times()]
        times += [("day_end", self._config.clock.day_end)] if self._config.clock.day_end else []
        if not times:
            return []
        zone = ZoneInfo(table.time_zone)
        day = datetime.fromtimestamp(after_ns // NS, zone).date()
        last = datetime.fromtimestamp(until_ns // NS, zone).date()
        found = []
        while day <= last:
            for order, (name, text) in enumerate(times):
                if name != "day_end" and day.isoweekday() not in table.weekdays:
                    continue
                at = datetime.combine(day, clock_time.fromisoformat(text), zone)
                at_ns = int(at.timestamp()) * NS
                if after_ns < at_ns <= until_ns:
                    found.append((at_ns, order, name))
            day += timedelta(days=1)
        return [(at_ns, name) for at_ns, _, name in sorted(found)]

    def _do(self, what: str) -> None:
        phases = self._engine.phases()
        event(log, "time of day", what=what)
        for symbol, phase in enumerate(phases):
            if what == "day_end":
                self._submit(CommandKind.TIME, symbol, what, flags=CommandFlag.TIME_CLOSE)
                continue
            good_for, target = STEPS[what]
            if phase in good_for:  # else an operator has halted it, or moved it already
                self._submit(CommandKind.PHASE, symbol, what, ord_type=target)
            if what == "close" and not self._config.clock.day_end:
                self._submit(CommandKind.TIME, symbol, what, flags=CommandFlag.TIME_CLOSE)

    def _submit(self, kind: CommandKind, symbol: int, what: str, **fields: int) -> None:
        body = f"verb={kind.name.lower()}\x01actor=clock\x01ref={what}\x01".encode()
        status, seq, events = self._engine.call(body=body, kind=kind, symbol=symbol, **fields)
        if status:
            raise EngineStopped
        if int(events["kind"][-1]) == EventKind.COMMAND_REJECTED:
            reason = Reason(int(events["reason"][-1])).name
            event(log, "refused by the core", logging.WARNING, what=what, symbol=symbol, seq=seq, reason=reason)


class EngineStopped(Exception):
    """The engine takes no commands any more."""
