"""The margin service of the engine's process: marks futures, calls for margin, and goes down the ladder step by step.

Nothing in the core happens by itself, so a position that has lost its margin stays as it is until a MARGIN command
looks at it. This service looks at all positions once a turn and submits what is due, with actor `margin`: the call at
once, the liquidation when the member has had `call_seconds` to bring money, the take-over by the venue when the market
could not take the position. Whether a step is right is the core's to decide: it refuses what the rules (F9..F11) do not
allow, so a service gone wrong can be late but never unjust. Must never keep anything that a restart would lose but the
time of a call, which then starts anew, in the member's favour.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from cores import CommandKind, EventKind, Reason
from cores.records import Phase, PositionView, Stage
from venue.config import Config
from venue.log import event

log = logging.getLogger("margin")

NS = 1_000_000_000


class MarginedEngine(Protocol):
    """What the service needs of the engine."""

    def call(self, command: Any = None, *, body: bytes = b"", **fields: Any) -> tuple[int, int, Any]: ...
    def phases(self) -> list[int]: ...
    def prices(self, symbol: int) -> tuple[int, int]: ...
    def mark_price(self, symbol: int) -> int: ...
    def positions(self, symbol: int) -> dict[int, PositionView]: ...
    def balance(self, account: int, asset: int) -> tuple[int, int, int]: ...


class MarginService:
    """`start` runs it in a thread until `stop`; `tick(now_ns)` does what is due, for tests too."""

    def __init__(self, engine: MarginedEngine, config: Config, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._engine, self._config, self._now_ns = engine, config, now_ns
        self._futures = {i.id: config.asset(i.quote).id for i in config.instruments if i.is_future}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="margin", daemon=True)
        self._marked_ns = 0
        self._called_ns: dict[tuple[int, int], int] = {}  # (symbol, account): when it was first seen under a call

    def start(self) -> None:
        """Without a future there is nothing to look at, and no thread."""
        if self._futures:
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self) -> None:
        """Asserts that only futures of the configuration are remembered."""
        assert all(symbol in self._futures for symbol, _ in self._called_ns)

    def tick(self, now_ns: int) -> None:
        """Everything that is due by now."""
        every_ns = int(self._config.margin.mark_seconds * NS)
        if every_ns and now_ns - self._marked_ns >= every_ns:
            self._marked_ns = now_ns
            self._mark_at_last()
        phases = self._engine.phases()
        for symbol in self._futures:
            if symbol < len(phases):
                self._look_at(symbol, Phase(phases[symbol]), now_ns)

    def _run(self) -> None:
        while not self._stop.wait(self._config.margin.check_seconds):
            try:
                self.tick(self._now_ns())
            except EngineStopped:
                return
            except Exception as error:  # trading goes on; the operator is told, and the next turn tries again
                event(log, "margin failed", logging.ERROR, alarm="margin", error=f"{type(error).__name__}: {error}")

    def _mark_at_last(self) -> None:
        for symbol in self._futures:
            last, mark = self._engine.prices(symbol)[0], self._engine.mark_price(symbol)
            if last not in (0, mark):
                self._submit(CommandKind.MARK, "last price", symbol=symbol, price_ticks=last)

    def _look_at(self, symbol: int, phase: Phase, now_ns: int) -> None:
        positions = self._engine.positions(symbol)
        self._forget(symbol, positions)
        if self._engine.mark_price(symbol) == 0:
            return
        for account, position in positions.items():
            if account != 0 and self._is_due(symbol, account, position, phase, now_ns):
                fields = {"symbol": symbol, "account": account, "session": self._session(account)}
                self._submit(CommandKind.MARGIN, Stage(position.stage).name.lower(), **fields)

    def _is_due(self, symbol: int, account: int, position: PositionView, phase: Phase, now_ns: int) -> bool:
        if position.equity >= position.needed:
            return position.stage != Stage.NONE  # the step takes it off the ladder
        since = self._called_ns.setdefault((symbol, account), now_ns)
        if position.stage != Stage.CALLED or position.equity + self._free(symbol, account) >= position.needed:
            return True
        return phase == Phase.CONTINUOUS and now_ns - since >= self._config.margin.call_seconds * NS

    def _free(self, symbol: int, account: int) -> int:
        """Funds that a step would set aside for the position."""
        balance, hold, credit = self._engine.balance(account, self._futures[symbol])
        return max(0, balance + credit - hold)

    def _forget(self, symbol: int, positions: dict[int, PositionView]) -> None:
        lacking = {account for account, position in positions.items() if position.equity < position.needed}
        for key in [key for key in self._called_ns if key[0] == symbol and key[1] not in lacking]:
            del self._called_ns[key]

    def _session(self, account: int) -> int:
        """Whom the reports of a liquidation go to: the first session of the account's member, 0 without one."""
        member = self._config.member_of(account)
        return min((session.id for session in member.sessions), default=0) if member else 0

    def _submit(self, kind: CommandKind, what: str, **fields: int) -> None:
        body = f"verb={kind.name.lower()}\x01actor=margin\x01ref={what}\x01".encode()
        status, seq, events = self._engine.call(body=body, kind=kind, **fields)
        if status:
            raise EngineStopped
        if int(events["kind"][-1]) == EventKind.COMMAND_REJECTED:
            reason = Reason(int(events["reason"][-1])).name
            event(log, "refused by the core", logging.WARNING, what=what, seq=seq, reason=reason, **fields)
        elif kind == CommandKind.MARGIN:
            stages = [Stage(int(stage)).name for stage in events["leaves_lots"][events["kind"] == EventKind.MARGIN]]
            event(log, "margin step", logging.WARNING, seq=seq, stages=stages, **fields)


class EngineStopped(Exception):
    """The engine takes no commands any more."""
