"""The sandbox's scenarios: what a broker wants to see once before it goes live, asked for by an order's quantity.

They play on one instrument where nobody else trades. The venue is not told to behave otherwise: a counterparty trades
with the order, an operator's verb halts or cancels, the line in front of the venue is slow or cut. So what a broker
sees here is what it would see on the day it happens.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cores import Core, CoreConfig, EventKind
from cores.records import OrdType, Phase, Side
from fix_sessions.client import Broker, SessionLost
from venue.config import Instrument
from venue.control import ControlClient, ControlError
from venue.follower import Follower

SLOW_LOTS, CUT_LOTS = 104, 105
SLOW_SECONDS = 3.0
PAUSE_SECONDS = 1.0
HALT_SECONDS = 5.0
POLL_SECONDS = 0.02
LOTS_MAX = 5_000

SCENARIOS = {
    101: "filled at once, in full",
    102: "filled in three parts, a second apart",
    103: "half of it is filled, the rest stays",
    SLOW_LOTS: "everything the venue says comes three seconds late, once",
    CUT_LOTS: "the connection is cut before the order is acknowledged; log on again and ask for what you missed",
    106: "the instrument is halted for five seconds; the order stays",
    107: "a volatility call of three seconds, ended by an auction",
    108: "cancelled by the venue, unasked, with all that its account has in TEST",
    109: "filled at once, in full; a second later the venue takes the trade back",
}
"""By quantity in lots. Any other quantity up to LOTS_MAX rests; above it the order is refused."""


@dataclass(frozen=True)
class Resting:
    """A broker's order that was taken into the book."""

    order_id: int
    account: int
    side: str
    price: Decimal
    lots: int


class Queue:
    """Who stands before whom in the scenarios' book: orders that brokers have left there trade before a later one."""

    def __init__(self, core: Core, symbol: int) -> None:
        self._core, self._symbol = core, symbol
        self._places: dict[int, tuple[int, int, int]] = {}  # by OrderID: when it got its place, price and quantity then

    def note(self, events: npt.NDArray[np.void]) -> None:
        """A new order, a new price and more quantity get a place behind the others."""
        kinds = events["kind"]
        changed = (kinds == EventKind.ACCEPTED) | (kinds == EventKind.REPLACED)
        for event in events[changed & (events["symbol"] == self._symbol)]:
            order_id, price, lots = (int(event[name]) for name in ("order_id", "price_ticks", "qty_lots"))
            place, price_before, lots_before = self._places.get(order_id, (0, 0, 0))
            keeps = place and price == price_before and lots <= lots_before
            self._places[order_id] = (place if keeps else int(event["exec_id"])), price, lots

    def ahead(self, order_id: int) -> int | None:
        """The lots that trade before this order does; None when it does not stand in the book."""
        own = self._core.find_order(self._symbol, order_id)
        if own is None or order_id not in self._places:
            return None
        lots = 0
        for other_id in list(self._places):
            other = self._core.find_order(self._symbol, other_id)
            if other is None:
                del self._places[other_id]
                continue
            if other_id == order_id or other.side != own.side or other.ord_type in (OrdType.STOP, OrdType.STOP_LIMIT):
                continue
            better = (
                other.price_ticks - own.price_ticks if own.side == Side.BUY else own.price_ticks - other.price_ticks
            )
            if better > 0:
                lots += other.leaves_lots
            elif better == 0 and self._places[other_id] < self._places[order_id]:
                lots += other.leaves_lots - other.hidden_lots
        return lots


class Scenarios:
    """Follows the journal in a thread and plays what an order asks for."""

    def __init__(
        self,
        instrument: Instrument,
        counterparty: Broker,
        accounts: frozenset[int],
        *,
        journal_dir: Path,
        control_path: Path,
        core: CoreConfig,
        log_on: Callable[[Broker], None],
    ) -> None:
        self.instrument, self.counterparty, self.accounts = instrument, counterparty, accounts
        self.control_path = control_path
        self.failure = ""
        self.played: list[int] = []
        self._core, self._follower, self._log_on = Core(core), Follower(journal_dir), log_on
        self._queue = Queue(self._core, instrument.id)
        self._waiting: deque[Resting] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scenarios", daemon=True)

    def start(self) -> None:
        """What is in the journal already is not played again."""
        while self._follow():
            pass
        self._waiting.clear()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._follower.close()

    def check(self) -> None:
        """Asserts that only scenarios that exist were played."""
        assert set(self.played) <= set(SCENARIOS)

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                self.counterparty.poll()
                self._follow()
                while self._waiting:
                    self._play(self._waiting.popleft())
            except (SessionLost, OSError):
                self._log_on(self.counterparty)
            except ControlError as error:
                self.failure = str(error)

    def _follow(self) -> bool:
        """Whether the journal went on; brokers' limit orders that came into this book wait to be played."""
        piece = self._follower.poll(4_096)
        if not len(piece):
            return False
        events, _ = self._core.apply(piece.commands)
        self._queue.note(events)
        commands = {int(command["seq"]): command for command in piece.commands}
        taken = events[(events["kind"] == EventKind.ACCEPTED) & (events["symbol"] == self.instrument.id)]
        orders = (self._resting(event, commands[int(event["exec_id"]) >> 24]) for event in taken)
        self._waiting.extend(order for order in orders if order is not None)
        return True

    def _resting(self, event: np.void, command: np.void) -> Resting | None:
        if int(event["account"]) not in self.accounts or command["ord_type"] != OrdType.LIMIT:
            return None
        side = "buy" if command["side"] == 1 else "sell"
        price = int(command["price_ticks"]) * self.instrument.tick
        return Resting(int(event["order_id"]), int(event["account"]), side, price, int(command["qty_lots"]))

    def _play(self, order: Resting) -> None:
        if order.lots not in SCENARIOS:
            return
        self.played.append(order.lots)
        if order.lots == 101:
            self._trade(order, order.lots)
        elif order.lots == 102:
            for part in (34, 34, 34):
                self._pause(PAUSE_SECONDS)
                self._trade(order, part)
        elif order.lots == 103:
            self._trade(order, order.lots // 2)
        elif order.lots == 106:
            self._phases(Phase.HALT, HALT_SECONDS)
        elif order.lots == 107:
            self._phases(Phase.VOLATILITY, 3.0)
        elif order.lots == 108:
            with self._control() as client:
                client.mass_cancel(order.account, self.instrument.id, ref="scenario: cancelled by the venue")
        elif order.lots == 109:
            self._bust(self._trade(order, order.lots), order.lots)

    def _trade(self, order: Resting, lots: int) -> str:
        """The counterparty's order, large enough for what stands before this one; returns its ClOrdID, none when the
        order is not open any more."""
        while self._follow():
            pass
        ahead = self._queue.ahead(order.order_id)
        if ahead is None:
            return ""
        side, qty = "sell" if order.side == "buy" else "buy", (lots + ahead) * self.instrument.lot
        return self.counterparty.order(self.instrument.symbol, side, qty, order.price, t59="3")

    def _bust(self, clordid: str, lots: int) -> None:
        """Takes back what the counterparty traded with the broker's order, last of all, as two operators do."""
        self._pause(PAUSE_SECONDS)
        fills = [m for m in self.counterparty.inbox if m.get(11) == clordid.encode() and m.get(150) == b"F"]
        left = lots * self.instrument.lot
        with self._control() as client:
            for fill in reversed(fills):
                if left <= 0:
                    break
                left -= Decimal(fill.get(32).decode())
                client.bust(
                    fill.get(17).decode(), ref="scenario: clearly erroneous price", approver="the sandbox's other"
                )

    def _phases(self, phase: Phase, seconds: float) -> None:
        with self._control() as client:
            client.phase(self.instrument.id, phase, ref="scenario")
            self._pause(seconds)
            client.phase(self.instrument.id, Phase.CONTINUOUS, ref="scenario: resumed")

    def _control(self) -> ControlClient:
        return ControlClient(self.control_path, actor="sandbox")

    def _pause(self, seconds: float) -> None:
        """Waits, and reads the counterparty's reports meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._stop.is_set():
            self.counterparty.poll(min(left, 0.1))
