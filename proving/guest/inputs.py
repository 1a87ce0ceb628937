"""Seeded batches in the shape of real order flow, and the guest inputs they lead to.

Why: the cost of a proof depends on the mix of commands and on the open orders, so measurements and tests name both.
The mix is 48% limit orders, 41% cancels, 5% moves, 2% reductions, 4% IOC and market orders, on one symbol, with
accounts, fees and holds. It goes through the real core; nothing here may make an input by another way.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt

from cores import COMMAND, CommandKind, Core, CoreConfig, EventKind, OrdType, Side, Tif
from cores.batch import Sealed, seal
from cores.roots import annex_digests

Records = npt.NDArray[Any]

ACCOUNTS = 16
MID_TICKS = 2048
CASH, STOCK = 0, 1
AMOUNT = 1 << 50
DEPTH_TICKS = 12  # mean distance of a resting order from the middle
LIVE_KINDS = {int(EventKind.ACCEPTED), int(EventKind.REPLACED)}


class Workload:
    """One symbol, sixteen accounts with cash and stock, and a stream of commands that a seed determines."""

    def __init__(self, open_orders: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.core = Core(CoreConfig(symbols=4, accounts=64, assets=4, orders=_slots_for(open_orders), levels=4096))
        self._live: list[int] = []
        self._leaves: dict[int, tuple[int, int, int]] = {}  # order id: side, account, leaves
        self._set_up()
        while len(self._live) < open_orders:
            self._apply(self._limit())

    def batch(self, count: int) -> Records:
        """The next `count` commands. The workload's own core applies them too: it has to know what is open."""
        return np.concatenate([self._apply(self._next()) for _ in range(count)])

    def _set_up(self) -> None:
        fees = 1 | 2 << 32
        self._apply(_record(CommandKind.INSTRUMENT, account=STOCK, session=CASH, order_id=100, price_ticks=1,
                            qty_lots=4095, aux=50))  # fmt: skip
        for account in range(ACCOUNTS):
            self._apply(_record(CommandKind.ACCOUNT, account=account, aux=fees))
            for asset in (CASH, STOCK):
                self._apply(_record(CommandKind.DEPOSIT, account=account, asset=asset, qty_lots=AMOUNT))

    def _next(self) -> Records:
        draw = self.random.random()
        if not self._live or draw < 0.48:
            return self._limit()
        if draw < 0.89:
            return self._on_open(CommandKind.CANCEL)
        if draw < 0.96:
            return self._replace(move=draw < 0.94)
        return self._aggressive(market=draw < 0.98)

    def _limit(self) -> Records:
        side = self.random.choice((Side.BUY, Side.SELL))
        return self._order(side, self._passive_ticks(side), OrdType.LIMIT, Tif.DAY)

    def _aggressive(self, market: bool) -> Records:
        side = self.random.choice((Side.BUY, Side.SELL))
        price = MID_TICKS + 40 if side == Side.BUY else MID_TICKS - 40
        if market:
            return self._order(side, 0, OrdType.MARKET, Tif.DAY)
        return self._order(side, price, OrdType.LIMIT, Tif.IOC)

    def _order(self, side: Side, price: int, ord_type: OrdType, tif: Tif) -> Records:
        account = self.random.randrange(1, ACCOUNTS)
        return _record(CommandKind.NEW, side=side, ord_type=ord_type, tif=tif, account=account, session=account,
                       price_ticks=price, qty_lots=self.random.randint(1, 100))  # fmt: skip

    def _on_open(self, kind: CommandKind, **fields: int) -> Records:
        index = self.random.randrange(len(self._live))
        order_id = self._live[index]
        side, account, _ = self._leaves[order_id]
        return _record(kind, side=side, ord_type=OrdType.LIMIT, account=account, session=account, order_id=order_id,
                       **fields)  # fmt: skip

    def _replace(self, move: bool) -> Records:
        record = self._on_open(CommandKind.REPLACE)
        order = self.core.find_order(0, int(record["order_id"][0]))
        assert order is not None, "workload: it thinks an order open that is not"
        total = order.cum_lots + order.leaves_lots
        record["price_ticks"] = self._passive_ticks(Side(order.side)) if move else order.price_ticks
        record["qty_lots"] = total if move or order.leaves_lots == 1 else total - 1
        return record

    def _passive_ticks(self, side: Side) -> int:
        distance = 1 + min(1500, int(self.random.expovariate(1 / DEPTH_TICKS)))
        return MID_TICKS - distance if side == Side.BUY else MID_TICKS + distance

    def _apply(self, record: Records) -> Records:
        record["seq"] = self.core.last_seq + 1
        record["time_ns"] = 1_700_000_000_000_000_000 + 1000 * (self.core.last_seq + 1)
        events, _ = self.core.apply(record)
        for event in events:
            self._follow(int(event["kind"]), event)
        return record

    def _follow(self, kind: int, event: Any) -> None:
        """Keeps the list of open orders as the events say."""
        order_id, leaves = int(event["order_id"]), int(event["leaves_lots"])
        if kind == EventKind.ACCEPTED:
            self._live.append(order_id)
        elif kind not in (EventKind.FILL, EventKind.CANCELLED, EventKind.REPLACED):
            return
        self._leaves[order_id] = (int(event["side"]), int(event["account"]), leaves)
        if leaves == 0:
            index = self._live.index(order_id)
            self._live[index] = self._live[-1]
            self._live.pop()
            del self._leaves[order_id]


def _slots_for(open_orders: int) -> int:
    slots = 64
    while slots < 2 * open_orders:
        slots *= 2
    return slots


def _record(kind: CommandKind, **fields: int) -> Records:
    record = np.zeros(1, COMMAND)
    record["kind"] = kind
    for name, value in fields.items():
        record[name] = value
    return record


def annexes_for(commands: Records, seed: int) -> npt.NDArray[np.uint64]:
    """Digests of made-up annexes, one a command: a random salt and a little text, as the venue's have."""
    source = random.Random(seed)
    annexes = [source.randbytes(16) + b"11=%d\x01" % int(seq) for seq in commands["seq"]]
    ends = np.cumsum([len(annex) for annex in annexes], dtype=np.uint64)
    digests: npt.NDArray[np.uint64] = annex_digests(b"".join(annexes), ends)
    return digests


def sealed_workload(commands: int, open_orders: int, seed: int) -> Sealed:
    """A batch of so many commands over a book of so many open orders."""
    workload = Workload(open_orders, seed)
    core = Core.restore(workload.core.snapshot())
    batch = workload.batch(commands)
    return seal(core, batch, annexes_for(batch, seed), bytes(32))


def workload_input(commands: int, open_orders: int, seed: int) -> bytes:
    """The guest input of such a batch."""
    return sealed_workload(commands, open_orders, seed).guest_input
