"""Seeded trading days in small: every order type through every phase, in batches with a set-up that is no part of them.

Why: the story of every rule shows each rule once; these days mix them. Prices are close together and collars narrow, so
that uncrosses, cascades of stops, refreshes, self-matches and volatility calls happen in most batches.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from cores import Core, EventKind, OrdType, Side, Tif
from cores.batch import seal
from cores.records import Limit, Phase, Smp
from tests.cores.fix_cores import SMALL, account, deposit, instrument
from tests.proving.fix_guest import Example, annexes_of
from tests.proving.fix_story import Story

NO_DEPOSITS = bytes(32)
CALLS = (Phase.PRE_OPEN, Phase.VOLATILITY, Phase.CLOSE_CALL)
RESTING = (Tif.DAY, Tif.GTC, Tif.GTD)


class Day(Story):
    """A story that a seed writes."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.open: dict[int, tuple[int, int]] = {}  # symbol, account
        self.random = Random(seed)
        for number in range(3):
            self.do(**instrument(number))
        for number in range(1, SMALL.accounts):
            maker_bp = self.random.choice((11, 0, -9, -40)) & 0xFFFFFFFF
            member = self.random.randint(0, number)
            fields = {
                "order_id": self.random.choice((0, 5)),
                "price_ticks": self.random.choice(list(Smp)),
                "qty_lots": member,
            }
            self.do(**(account(number) | fields | {"aux": maker_bp | 27 << 32}))
            for asset in (0, 1):
                self.do(**deposit(number, asset, 400_000))
        for self.symbol in range(2):
            self.limit(Limit.COLLAR, self.random.choice((0, 150, 400)), aux=self.random.choice((0, 300, 600)))

    def step(self) -> None:
        """One random command, and the list of open orders after it."""
        self.symbol = self.random.choice((0, 0, 0, 1))
        number, side = self.random.randint(1, 4), self.random.choice((Side.BUY, Side.SELL))
        draw = self.random.random()
        if draw < (0.08 if self.phase_now() in (Phase.CONTINUOUS, *CALLS) else 0.5):
            self.change_phase()
        elif draw < 0.13:
            self.time(self.random.randint(0, 7))
        elif draw < 0.28 and self.open:
            self.on_open()
        elif draw < 0.30:
            self.limit(
                self.random.choice((Limit.OPEN_ORDERS, Limit.MESSAGES)), self.random.choice((0, 3, 9)), account=number
            )
        else:
            self.order(number, side)
        self.time_ns += self.random.randrange(3)

    def phase_now(self) -> int:
        return int(self.core.walk_symbol(self.symbol)[1][0])

    def change_phase(self) -> None:
        """Mostly the way of a day: into a call, and out of it into trading."""
        target = Phase.CONTINUOUS if self.phase_now() != Phase.CONTINUOUS else self.random.choice(CALLS)
        if self.random.random() < 0.15:
            target = self.random.choice(list(Phase))
        reference = self.random.choice((0, 0, self.random.randint(115, 125)))
        self.phase(target, price_ticks=reference, flags=int(self.random.random() < 0.1))

    def on_open(self) -> None:
        order_id = self.random.choice(list(self.open))
        self.symbol, number = self.open[order_id]
        if self.random.random() < 0.4:
            self.cancel(number, order_id)
        else:
            stop = self.random.choice((0, 0, self.price()))
            self.replace(number, order_id, self.price(), self.random.randint(1, 25), aux=stop)

    def price(self) -> int:
        return self.random.randint(114, 126)

    def order(self, number: int, side: Side) -> None:
        kind = self.random.choice([*OrdType, OrdType.LIMIT, OrdType.LIMIT, OrdType.LIMIT])
        lots = self.random.randint(1, 20)
        fields = {
            "ord_type": kind,
            "flags": self.random.choice((0, 0, 0, *Smp)) << 4,
            "tif": self.random.choice(RESTING),
        }
        if kind in (OrdType.LIMIT, OrdType.MARKET):
            fields["tif"] = (
                self.random.choice(list(Tif)) if kind == OrdType.LIMIT else self.random.choice((0, 2, 3, 4, 7))
            )
            fields["flags"] |= self.random.choice((0, 0, 0, 0, 4))
        if kind in (OrdType.STOP, OrdType.STOP_LIMIT):
            fields["order_id"] = self.price()
        elif kind == OrdType.LIMIT and fields["tif"] in RESTING:
            fields["order_id"] = self.random.choice((0, 0, min(lots, 2 + lots // 8)))
            fields["flags"] |= self.random.choice((0, 0, 0, 1, 3)) if not fields["flags"] & 4 else 0
        if fields["tif"] == Tif.GTD:
            fields["aux"] = self.time_ns + self.random.randrange(1, 60)
        elif fields["tif"] not in (Tif.AT_OPEN, Tif.AT_CLOSE) and kind in (OrdType.LIMIT, OrdType.MARKET):
            fields["aux"] = self.random.choice((0, 0, 0, min(lots, 3)))
        self.new(number, side, self.price(), lots, **fields)

    def see(self, events: np.ndarray[Any, Any]) -> None:
        """Keeps the list of open orders as the events say."""
        for event in events:
            order_id = int(event["order_id"])
            if event["kind"] == EventKind.ACCEPTED:
                self.open[order_id] = int(event["symbol"]), int(event["account"])
            elif event["leaves_lots"] == 0:
                self.open.pop(order_id, None)


def sealed_day(seed: int, count: int = 60) -> Example:
    """A batch of `count` commands out of the middle of a day."""
    day = Day(seed)
    for _ in range(30):
        day.step()
    snapshot, done = day.core.snapshot(), len(day.records)
    for _ in range(count):
        day.step()
    commands = np.concatenate(day.records[done:])
    sealed = seal(Core.restore(snapshot), commands, annexes_of(len(commands), seed), NO_DEPOSITS)
    return Example(**vars(sealed), commands=commands, snapshot_before=snapshot)
