"""A market told in short words: named orders, and what a command makes as lines of text that a reader can check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cores import CommandKind, CoreConfig, EventFlag, EventKind, Phase, Reason, Side
from cores.records import Limit
from tests.cores.fix_cores import SMALL, account, deposit, instrument, new

Make = Callable[..., Any]
BASE, QUOTE = 0, 1
FUNDS = 10**9


class Market:
    """One symbol (window 100..163, tick of 5, lot of 10), accounts 1..4 with plenty; checked after every command."""

    def __init__(self, make: Make, config: CoreConfig = SMALL, funds: int = FUNDS, **terms: int) -> None:
        self.core = make(config)
        self.funds = funds
        self.names: dict[int, str] = {}
        self.ids: dict[str, int] = {}
        self.lines: list[str] = []
        self.send(**instrument(**terms))
        for number in range(1, config.accounts):
            self.send(**account(number))
            for asset in (BASE, QUOTE):
                self.send(**deposit(number, asset, funds))

    def send(self, **fields: int) -> np.ndarray:
        events: np.ndarray = self.core.apply_one(**fields)
        self.lines = [self.line(event) for event in events]
        self.core.check()
        return events

    def new(self, name: str, number: int, side: Side, price: int, lots: int, **fields: int) -> None:
        events = self.core.apply_one(**new(number, side, price, lots, **fields))
        order = int(events["order_id"][0])
        self.names[order], self.ids[name] = name, order
        self.lines = [self.line(event) for event in events]
        self.core.check()

    def replace(self, name: str, price: int, lots: int, **fields: int) -> None:
        order = self.core.find_order(0, self.ids[name])
        self.send(
            **self.of(CommandKind.REPLACE, name, order.account) | {"price_ticks": price, "qty_lots": lots} | fields
        )

    def cancel(self, name: str) -> None:
        self.send(**self.of(CommandKind.CANCEL, name, self.core.find_order(0, self.ids[name]).account))

    def of(self, kind: CommandKind, name: str, number: int) -> dict[str, int]:
        return {"kind": kind, "account": number, "session": 1, "order_id": self.ids[name]}

    def phase(self, to: Phase, **fields: int) -> None:
        self.send(**{"kind": CommandKind.PHASE, "ord_type": to} | fields)

    def limit(self, kind: Limit, amount: int, **fields: int) -> None:
        self.send(**{"kind": CommandKind.LIMIT, "ord_type": kind, "qty_lots": amount} | fields)

    def group(self, *numbers: int, mode: int = 0) -> None:
        for number in numbers:
            self.send(**account(number, order_id=7, price_ticks=mode))

    def line(self, event: Any) -> str:
        kind, flags = EventKind(event["kind"]), int(event["flags"])
        words = [kind.name, self.names.get(int(event["order_id"]), "")]
        if event["reason"]:
            words.append(Reason(event["reason"]).name)
        words.append(f"@{event['price_ticks']} x{event['qty_lots']} left {event['leaves_lots']}")
        if event["aux"]:
            words.append(f"aux {int(np.int64(event['aux']))}")
        if kind == EventKind.INDICATIVE and event["side"]:
            words.append(Side(event["side"]).name)
        if flags and kind in (EventKind.FILL, EventKind.REPLACED):
            words.append(EventFlag(flags).name or "")
        elif flags:
            words.append(f"flags {flags}")
        return " ".join(word for word in words if word)

    def money(self, number: int) -> str:
        """What an account gained and holds."""
        start = self.funds if number else 0
        (base, base_hold, _), (quote, quote_hold, _) = (self.core.balance(number, asset) for asset in (BASE, QUOTE))
        return f"base {base - start:+} hold {base_hold}, quote {quote - start:+} hold {quote_hold}"

    def see(self, text: str) -> None:
        """The last command made just these events."""
        assert self.lines == [line.strip() for line in text.strip().splitlines()], "\n" + "\n".join(self.lines)

    def book(self) -> str:
        """Orders in the order of the walk: name, shown+hidden."""
        names = []
        for word in self.core.walk_symbol(0)[2:]:
            order = self.core.find_order(0, int(word[0])) if int(word[0]) in self.names else None
            if order is not None:
                names.append(f"{self.names[int(word[0])]} {order.leaves_lots - order.hidden_lots}+{order.hidden_lots}")
        return ", ".join(names)


__all__ = ["BASE", "FUNDS", "QUOTE", "Make", "Market"]
