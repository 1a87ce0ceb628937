"""Fixtures and a generator of commands for the core's tests: both implementations behind one parameter."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from cores._core import Core as CompiledCore
from hypothesis import strategies as st

from cores import COMMAND, CommandKind, CoreConfig, EventKind, OrdType, Side, Tif
from cores.records import AMOUNT_MAX, PRICE_TICKS_MAX, QTY_LOTS_MAX
from cores.reference import Core as ReferenceCore

CORES: dict[str, Callable[..., Any]] = {"c": CompiledCore, "reference": ReferenceCore}
SMALL = CoreConfig(symbols=4, accounts=5, assets=3, orders=64, levels=64)
LOT_SIZE, TICK_VALUE, PRICE_LOW, PRICE_HIGH = 10, 5, 100, 163


def instrument(symbol: int = 0, base: int = 0, quote: int = 1, **changes: int) -> dict[str, int]:
    """Fields of an INSTRUMENT command; the window is 100..163 ticks."""
    terms = {"order_id": LOT_SIZE, "price_ticks": PRICE_LOW, "qty_lots": PRICE_HIGH, "aux": TICK_VALUE}
    fields = {"kind": CommandKind.INSTRUMENT, "symbol": symbol, "account": base, "session": quote}
    return fields | terms | changes


def account(number: int, maker_bp: int = 10, taker_bp: int = 25, **changes: int) -> dict[str, int]:
    return {"kind": CommandKind.ACCOUNT, "account": number, "aux": maker_bp | taker_bp << 32} | changes


def deposit(number: int, asset: int, amount: int) -> dict[str, int]:
    return {"kind": CommandKind.DEPOSIT, "account": number, "asset": asset, "qty_lots": amount}


def new(number: int, side: Side, price: int, lots: int, **changes: int) -> dict[str, int]:
    """Fields of a limit order of account `number` in symbol 0, Day unless changed."""
    fields = {"kind": CommandKind.NEW, "account": number, "session": 1, "side": side, "ord_type": OrdType.LIMIT}
    return fields | {"tif": Tif.DAY, "price_ticks": price, "qty_lots": lots} | changes


def market(number: int, side: Side, lots: int, **changes: int) -> dict[str, int]:
    return new(number, side, 0, lots, ord_type=OrdType.MARKET, tif=Tif.IOC) | changes


def funded(make: Callable[..., Any], config: CoreConfig = SMALL, amount: int = 10**9) -> Any:
    """A core with one symbol and accounts 1..4 that have `amount` of every asset."""
    core = make(config)
    core.apply_one(**instrument())
    for number in range(1, config.accounts):
        core.apply_one(**account(number))
        for asset in range(config.assets):
            core.apply_one(**deposit(number, asset, amount))
    return core


# ---- generated commands: mostly sound, so that books fill and trade, and now and then wrong in any field ----
# Each command is made from a number of its own: hypothesis then shrinks a failing run by leaving commands out.

EDGES = [
    0,
    1,
    2,
    QTY_LOTS_MAX,
    QTY_LOTS_MAX + 1,
    PRICE_TICKS_MAX + 1,
    AMOUNT_MAX,
    AMOUNT_MAX + 1,
    1 << 63,
    (1 << 64) - 1,
]
WRONG: dict[str, list[int]] = {
    "side": [0, 1, 2, 3],
    "ord_type": [0, 1, 2, 3],
    "tif": [1, 2, 3, 4, 5, 8, 255],
    "flags": [0, 1, 2, 255],
    "precheck": [1, 2, 128, 131, 255],
    "symbol": [0, 1, 2, 3, 0xFFFF],
    "account": [0, 4, 5, 6, 0xFFFFFFFF],
    "asset": [0, 3, 63, 0xFFFF],
    "order_id": EDGES,
    "price_ticks": [98, 99, 100, 163, 164, *EDGES],
    "qty_lots": [0, 90, 200, *EDGES],
    "aux": [1, 90, 200, *EDGES],
}
"""Values for one field that make a command wrong, or at least unusual."""


def _new(rng: Random) -> dict[str, Any]:
    fields = {"side": rng.randint(1, 2), "ord_type": OrdType.LIMIT, "tif": rng.choice([0, 0, 0, 1, 1, 1, 3, 4])}
    fields |= {"price_ticks": rng.randint(118, 126), "qty_lots": rng.randint(1, 12), "flags": 0}
    style = rng.random()
    if style < 0.15:
        fields |= {"ord_type": OrdType.MARKET, "tif": rng.choice([0, 3, 4]), "qty_lots": rng.randint(1, 40)}
    elif style < 0.25:
        fields |= {"flags": 1, "tif": rng.choice([0, 1])}
    if rng.random() < 0.15:
        fields["aux"] = rng.randint(1, 8)
    return fields | {"kind": CommandKind.NEW}


def _instrument(rng: Random) -> dict[str, Any]:
    low = rng.choice([100, 100, 100, 1, 0, PRICE_TICKS_MAX - 10, PRICE_TICKS_MAX])
    return instrument(
        rng.choice([0, 0, 1, 2, 3, 3, 4]),
        rng.choice([0, 0, 0, 0, 2, 3]),
        rng.choice([1, 1, 1, 1, 0, 2]),
        order_id=rng.choice([10, 10, 10, 10, 10, 1, 0, AMOUNT_MAX, AMOUNT_MAX + 1]),
        aux=rng.choice([5, 5, 5, 5, 5, 1, 0, AMOUNT_MAX, AMOUNT_MAX + 1, 1 << 20]),
        price_ticks=low,
        qty_lots=low + rng.choice([63, 63, 63, 30, 0, 64, -1 if low else 0]),
    )


def _account(rng: Random) -> dict[str, Any]:
    fees = [0, 10 | 25 << 32, 10 | 25 << 32, 25 | 25 << 32, 26 | 25 << 32, 10000 << 32, 1 | 10001 << 32, 30 | 900 << 32]
    return account(rng.randint(0, 5), flags=rng.choice([0, 0, 0, 1])) | {"aux": rng.choice(fees)}


def _money(kind: CommandKind) -> Callable[[Random], dict[str, Any]]:
    def make(rng: Random) -> dict[str, Any]:
        fields = {"kind": kind, "asset": rng.choice([0, 1, 1, 2]), "qty_lots": rng.choice([0, 7, 800, 9_000, 60_000])}
        if kind == CommandKind.WITHDRAW:
            fields |= {"order_id": 0x1122334455667788, "price_ticks": 0x99AABBCCDDEEFF00, "aux": 0x12345678}
        return fields

    return make


MAKERS: list[tuple[int, Callable[[Random], dict[str, Any]]]] = [
    (60, _new),
    (9, lambda rng: {"kind": CommandKind.CANCEL, "pick": rng.randint(0, 15)}),
    (
        16,
        lambda rng: {
            "kind": CommandKind.REPLACE,
            "pick": rng.randint(0, 12),
            "price_ticks": rng.choice([0, 0, 0, rng.randint(118, 126)]),
            "qty_lots": rng.randint(1, 13),
        },
    ),
    (2, lambda rng: {"kind": CommandKind.MASS_CANCEL, "side": rng.randint(0, 2), "flags": rng.randint(0, 1)}),
    (1, lambda rng: {"kind": CommandKind.TIME, "flags": rng.randint(0, 1)}),
    (3, _instrument),
    (2, _account),
    (2, _money(CommandKind.LIMIT)),
    (2, _money(CommandKind.DEPOSIT)),
    (2, _money(CommandKind.WITHDRAW)),
    (1, lambda rng: {"kind": rng.choice([0, 6, 12, 255])}),
]


def generate(number: int) -> dict[str, Any]:
    """The fields of the command that `number` stands for."""
    rng = Random(number)
    make = rng.choices([make for _, make in MAKERS], [weight for weight, _ in MAKERS])[0]
    fields = {
        "symbol": rng.choice([0, 0, 0, 0, 0, 0, 1, 1, 1, 2]),
        "account": rng.choice([1, 1, 2, 2, 3, 4, 0]),
        "session": 1,
    }
    fields |= make(rng)
    if fields["kind"] != CommandKind.INSTRUMENT:
        fields["session"] = rng.randint(1, 2)
    if rng.random() < 0.12:
        name = rng.choice(list(WRONG))
        fields[name] = rng.choice(WRONG[name])
    return fields


commands = st.integers(0, 2**40).map(generate)


class Play:
    """Turns generated fields into numbered records, pointing CANCEL and REPLACE at orders that are or were open."""

    def __init__(self) -> None:
        self.seq = 0
        self.orders: dict[int, tuple[int, int, int]] = {}  # order_id -> symbol, account, price_ticks
        self.gone: list[int] = []

    def record(self, fields: dict[str, Any]) -> np.ndarray:
        fields = dict(fields)
        self.seq += 1
        choice = fields.pop("pick", None)
        if choice is not None:
            self._point(fields, choice)
        record = np.zeros(1, COMMAND)
        for name, value in fields.items():
            record[name] = value
        record["seq"] = self.seq
        record["time_ns"] = self.seq // 2
        return record

    def _point(self, fields: dict[str, Any], choice: int) -> None:
        open_orders = [order_id for order_id in self.orders if order_id not in self.gone]
        candidates = self.gone if choice == 1 else open_orders
        if not candidates:
            fields.setdefault("order_id", choice << 24 | choice)
            return
        order_id = candidates[-1 - choice % len(candidates)]
        symbol, owner, price = self.orders[order_id]
        fields.setdefault("order_id", order_id)
        fields["price_ticks"] = fields.get("price_ticks") or price
        if choice % 8:  # else whatever symbol and account were generated: mostly somebody else's order
            fields["symbol"], fields["account"] = symbol, owner

    def see(self, events: np.ndarray) -> None:
        for event in events:
            order_id = int(event["order_id"])
            if event["kind"] == EventKind.ACCEPTED:
                self.orders[order_id] = int(event["symbol"]), int(event["account"]), int(event["price_ticks"])
            elif order_id in self.orders and event["leaves_lots"] == 0:
                self.gone.append(order_id)


def setup_fields() -> list[dict[str, Any]]:
    """Symbols sharing assets, one too dear to trade; accounts with so little that funds run out, one on credit."""
    start = [instrument(0), instrument(1, 2, 1, order_id=1, aux=1000), instrument(2, 0, 1, order_id=1, aux=1 << 58)]
    for number, fees in ((1, (10, 25)), (2, (0, 0)), (3, (30, 900)), (4, (7, 7))):
        start.append(account(number, *fees))
        start += [deposit(number, asset, 60_000 if asset == 1 else 900) for asset in range(3)]
    start.append({"kind": CommandKind.LIMIT, "account": 2, "asset": 1, "qty_lots": 50_000})
    start.append({"kind": CommandKind.LIMIT, "account": 2, "asset": 0, "qty_lots": 500})
    return start
