"""A market of two futures beside a spot symbol, and a generator of its commands.

Margins are small against what prices do, and so is the money of some accounts: calls, liquidations, deficits and
take-overs are everyday there. Each command is made from a number of its own, so that a failing run shrinks by leaving
commands out; what it aims at (an open order, a position) is chosen when it is played.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

from cores import COMMAND, CommandKind, CoreConfig, EventKind, OrdType, Side, Tif
from cores.records import AMOUNT_MAX, POSITION_LOTS_MAX, QTY_LOTS_MAX, CommandFlag, Limit, Phase
from tests.cores.fix_cores import CORES
from tests.cores.fix_trades import Tape

CONFIG = CoreConfig(symbols=5, accounts=7, assets=8, orders=64, levels=64)
SPOT, FUTURE, OTHER = 0, 1, 2
BASE, QUOTE, CONTRACT, OTHER_CONTRACT, UNUSED, FRESH = 0, 1, 2, 3, 4, 7
LOW, HIGH, TICK = 100, 163, 50
INITIAL_BP, MAINTENANCE_BP = 500, 400
MONEY = {1: 20_000, 2: 100_000, 3: 30_000, 4: 10_000, 5: 4_000}

Fields = dict[str, Any]


def future(symbol: int = FUTURE, contract: int = CONTRACT, quote: int = QUOTE, **changes: int) -> Fields:
    """Fields of the INSTRUMENT command of a future; the window is 100..163 ticks."""
    fields = {"kind": CommandKind.INSTRUMENT, "symbol": symbol, "account": contract, "session": quote, "order_id": 1}
    flags = CommandFlag.INSTRUMENT_FUTURE
    return fields | {"price_ticks": LOW, "qty_lots": HIGH, "aux": TICK, "flags": flags} | changes


def spot(symbol: int = SPOT, base: int = BASE, quote: int = QUOTE, **changes: int) -> Fields:
    return future(symbol, base, quote, order_id=10, aux=5, flags=0) | changes


def limit(kind: Limit, amount: int, **changes: int) -> Fields:
    return {"kind": CommandKind.LIMIT, "ord_type": kind, "symbol": FUTURE, "qty_lots": amount} | changes


def margins(initial_bp: int, maintenance_bp: int, symbol: int = FUTURE) -> Fields:
    return limit(Limit.MARGIN, initial_bp, aux=maintenance_bp, symbol=symbol)


def order(number: int, side: int, price: int, lots: int, **changes: int) -> Fields:
    """A limit order in the future, Day unless changed."""
    fields = {"kind": CommandKind.NEW, "symbol": FUTURE, "account": number, "session": 1, "side": side}
    return fields | {"ord_type": OrdType.LIMIT, "price_ticks": price, "qty_lots": lots} | changes


def market(number: int, side: int, lots: int, **changes: int) -> Fields:
    return order(number, side, 0, lots, ord_type=OrdType.MARKET, tif=Tif.IOC) | changes


def mark(price: int, symbol: int = FUTURE) -> Fields:
    return {"kind": CommandKind.MARK, "symbol": symbol, "price_ticks": price}


def margin(number: int, **changes: int) -> Fields:
    return {"kind": CommandKind.MARGIN, "symbol": FUTURE, "account": number, "session": 9} | changes


def phase(target: Phase, **changes: int) -> Fields:
    return {"kind": CommandKind.PHASE, "symbol": FUTURE, "ord_type": target} | changes


def deposit(number: int, amount: int, asset: int = QUOTE) -> Fields:
    return {"kind": CommandKind.DEPOSIT, "account": number, "asset": asset, "qty_lots": amount}


def account(number: int, maker_bp: int = 10, taker_bp: int = 25, **changes: int) -> Fields:
    fees = maker_bp & 0xFFFFFFFF | taker_bp << 32
    return {"kind": CommandKind.ACCOUNT, "account": number, "aux": fees} | changes


def setup_fields(money: dict[int, int] | None = None, fees: tuple[int, int] = (10, 25)) -> list[Fields]:
    """The market with accounts 1..5, OTHER still without a mark; without fees where amounts are to be followed."""
    start = [spot(), future(), future(OTHER, OTHER_CONTRACT)]
    start += [margins(INITIAL_BP, MAINTENANCE_BP, symbol) for symbol in (FUTURE, OTHER)]
    start.append(mark(132))
    for number, amount in (money or MONEY).items():
        start += [account(number, *fees), deposit(number, amount), deposit(number, 100_000, BASE)]
    return start


def opened(make: Callable[..., Any], money: dict[int, int] | None = None, fees: tuple[int, int] = (0, 0)) -> Any:
    """A core of either implementation with that market."""
    core = make(CONFIG)
    for fields in setup_fields(money, fees):
        (event,) = core.apply_one(**fields)
        assert event["kind"] not in REFUSALS, (fields, event)
    return core


REFUSALS = (EventKind.REJECTED, EventKind.CANCEL_REJECTED, EventKind.COMMAND_REJECTED)


# ---- generated commands ----


def _price(rng: Random) -> int:
    middle = rng.choice([132, 132, 132, 132, 120, 145])
    return middle + rng.randint(-4, 4) if rng.random() < 0.95 else rng.randint(LOW - 1, HIGH + 1)


def _new(rng: Random) -> Fields:
    fields: Fields = {"kind": CommandKind.NEW, "side": rng.randint(1, 2), "ord_type": OrdType.LIMIT, "flags": 0}
    fields |= {"tif": rng.choice([0, 0, 0, 0, 1, 1, 3, 3, 4, 6, 7, 2]), "price_ticks": _price(rng)}
    fields["qty_lots"] = rng.randint(1, 30) if rng.random() < 0.97 else rng.choice([0, 10**9, 1 << 31, QTY_LOTS_MAX])
    style = rng.random()
    if style < 0.15:
        fields |= {"ord_type": OrdType.MARKET, "tif": rng.choice([0, 0, 3, 3, 3, 7, 2, 4])}
    elif style < 0.27:
        fields |= {"ord_type": rng.choice([OrdType.STOP, OrdType.STOP_LIMIT]), "tif": rng.choice([0, 1, 6])}
        fields["order_id"] = _price(rng)
    elif style < 0.32:
        fields |= {"ord_type": OrdType.MARKET_TO_LIMIT, "tif": rng.choice([0, 1])}
    elif style < 0.42 and fields["qty_lots"] < 100:
        fields["order_id"] = rng.randint(1, 8)
    elif style < 0.5:
        fields["flags"] = rng.choice([1, 1, 3, 4])
    if fields["tif"] == Tif.GTD:
        fields["aux"] = rng.randint(1, 60)  # played: so long after now
    elif rng.random() < 0.06:
        fields["aux"] = rng.randint(1, 8)
    if rng.random() < 0.1:
        fields["flags"] |= rng.randint(1, 4) << 4
    return fields


def _closing(rng: Random) -> Fields:
    """Against a position: part of it, all, or more than it has."""
    return _new(rng) | {"position": rng.randint(0, 15), "part": rng.choice([1, 2, 4, 4, 4, 5])}


def _phase(rng: Random) -> Fields:
    target = rng.choice([0, *[1] * 8, 2, 3, 4, 5])
    return {"kind": CommandKind.PHASE, "ord_type": target, "price_ticks": rng.choice([0, 0, _price(rng)]), "flags": 0}


def _limit(rng: Random) -> Fields:
    initial = rng.choice([300, 500, 500, 1000, 10_000, 0, 10_001])
    choices = [
        margins(initial, rng.choice([0, 1, 100, 300, initial, initial + 1])),
        limit(Limit.POSITION, rng.choice([0, 0, 20, 60, 200, QTY_LOTS_MAX + 1])),
        limit(Limit.CREDIT, rng.choice([0, 1_000, 5_000]), asset=rng.choice([QUOTE, QUOTE, CONTRACT])),
        limit(Limit.GROSS, rng.choice([0, 0, 3_000, 50_000]), asset=rng.choice([QUOTE, BASE, CONTRACT, 5])),
        limit(Limit.OPEN_ORDERS, rng.choice([0, 0, 5])),
        limit(Limit.ORDER_VALUE, rng.choice([0, 0, 100_000])),
        limit(Limit.COLLAR, rng.choice([0, 0, 300, 600]), aux=rng.choice([0, 0, 800])),
    ]
    fields = rng.choice(choices)
    return {name: value for name, value in fields.items() if name != "symbol"}


def _account(rng: Random) -> Fields:
    fees = rng.choice([(0, 0), (10, 25), (-5, 25), (0, 10)])
    return account(rng.randint(0, 6), *fees, order_id=rng.choice([0, 0, 1]), price_ticks=rng.randint(0, 4))


def _instrument(rng: Random) -> Fields:
    symbol = rng.choice([0, 1, 1, 2, 2, 3, 3, 4])
    assets = rng.choice([symbol + 1, symbol + 1, 0, 1, 4, 5, 6, 7]), rng.choice([QUOTE, QUOTE, QUOTE, CONTRACT, 6])
    made = spot(symbol, *assets) if rng.random() < 0.25 else future(symbol, *assets)
    made["order_id"] = rng.choice([made["order_id"]] * 9 + [1, 2])
    made["aux"] = rng.choice([made["aux"]] * 9 + [1 << 50, AMOUNT_MAX, POSITION_LOTS_MAX])
    made["flags"] |= rng.choice([0, 0, 0, 1, 4])
    return made


def _money(kind: CommandKind) -> Callable[[Random], Fields]:
    def make(rng: Random) -> Fields:
        asset = rng.choice([QUOTE, QUOTE, QUOTE, BASE, CONTRACT, 5])
        return {"kind": kind, "asset": asset, "qty_lots": rng.choice([100, 1_000, 10_000])}

    return make


def _bust(rng: Random) -> Fields:
    bps = rng.choice([(0, 0), (10, 25), (25, 10), (25, -5), (0, 10)])
    return {"kind": CommandKind.BUST, "trade": rng.randint(0, 15), "aux": bps[0] | (bps[1] & 0xFFFFFFFF) << 32}


MAKERS: list[tuple[int, Callable[[Random], Fields]]] = [
    (50, _new),
    (10, _closing),
    (5, lambda rng: {"kind": CommandKind.CANCEL, "pick": rng.randint(0, 15)}),
    (
        8,
        lambda rng: {
            "kind": CommandKind.REPLACE,
            "pick": rng.randint(0, 15),
            "price_ticks": rng.choice([0, _price(rng)]),
            "qty_lots": rng.randint(1, 35),
            "aux": rng.choice([0, 0, _price(rng)]),
        },
    ),
    (1, lambda rng: {"kind": CommandKind.MASS_CANCEL, "side": rng.randint(0, 2)}),
    (2, lambda rng: {"kind": CommandKind.TIME, "flags": rng.choice([0, 1, 2, 2, 4])}),
    (6, _phase),
    (6, lambda rng: {"kind": CommandKind.MARK, "price_ticks": rng.choice([_price(rng), rng.randint(102, 162)])}),
    (14, lambda rng: {"kind": CommandKind.MARGIN, "position": rng.choice([0, 0, 0, 0, 1, 2, 3]), "flags": 0}),
    (3, lambda rng: {"kind": CommandKind.MARGIN, "position": rng.randint(0, 9), "flags": 1}),
    (1, lambda rng: {"kind": CommandKind.MARGIN, "flags": rng.choice([0, 1, 2])}),
    (3, _bust),
    (4, _limit),
    (1, _account),
    (2, _money(CommandKind.DEPOSIT)),
    (2, _money(CommandKind.WITHDRAW)),
    (2, _instrument),
]


def generate(number: int) -> Fields:
    """The fields of the command that `number` stands for; `pick`, `position` and `part` are for Play."""
    rng = Random(number)
    make = rng.choices([make for _, make in MAKERS], [weight for weight, _ in MAKERS])[0]
    fields: Fields = {"symbol": rng.choice([1] * 7 + [2, 2, 0]), "account": rng.choice([1, 1, 2, 2, 3, 3, 4, 5, 5, 0])}
    fields["session"] = rng.randint(1, 2)
    return fields | make(rng)


class Play:
    """Turns generated fields into numbered records, pointing them at orders and positions that are there."""

    def __init__(self) -> None:
        self.seq = 0
        self.orders: dict[int, tuple[int, int, int]] = {}  # order id -> symbol, account, price of the open ones
        self.positions: dict[tuple[int, int], tuple[int, int]] = {}  # symbol, account -> lots and cost, as signed
        self.marks: dict[int, int] = {}
        self.tape = Tape()

    def record(self, fields: Fields) -> np.ndarray:
        fields, self.seq = dict(fields), self.seq + 1
        time_ns = self.seq * 1_000_000
        if fields.get("tif") == Tif.GTD:
            fields["aux"] = time_ns + fields["aux"] * 1_000_000
        pick, position, part = (fields.pop(name, None) for name in ("pick", "position", "part"))
        trade = fields.pop("trade", None)
        if trade is not None:
            self.tape.aim(fields, trade)
        if pick is not None and self.orders:
            self._aim_at_order(fields, pick)
        held = sorted((key for key in self.positions if self.positions[key][0] and key[1]), key=self.result)
        if position is not None and held:
            key = held[position % len(held)]  # the worst first
            fields["symbol"], fields["account"] = key
            if part is not None:
                lots, _ = self.positions[key]
                fields |= {"side": Side.SELL if lots > 0 else Side.BUY, "qty_lots": max(1, abs(lots) * part // 4)}
        record = np.zeros(1, COMMAND)
        for name, value in fields.items():
            record[name] = value
        record["seq"], record["time_ns"] = self.seq, time_ns
        return record

    def result(self, key: tuple[int, int]) -> int:
        lots, cost = self.positions[key]
        return lots * TICK * self.marks.get(key[0], 0) - cost

    def _aim_at_order(self, fields: Fields, pick: int) -> None:
        order_id = sorted(self.orders)[-1 - pick % len(self.orders)]
        symbol, owner, price = self.orders[order_id]
        fields |= {"symbol": symbol, "account": owner, "order_id": order_id}
        if fields["kind"] == CommandKind.REPLACE:
            fields["price_ticks"] = fields["price_ticks"] or price

    def see(self, events: np.ndarray) -> None:
        self.tape.see(events)
        for event in events:
            kind, order_id = int(event["kind"]), int(event["order_id"])
            if kind == EventKind.ACCEPTED:
                self.orders[order_id] = int(event["symbol"]), int(event["account"]), int(event["price_ticks"])
            elif kind == EventKind.POSITION:
                lots = int(event["qty_lots"]) * (-1 if event["side"] == Side.SELL else 1)
                self.positions[int(event["symbol"]), int(event["account"])] = lots, int(event["order_id"].astype("i8"))
            elif kind == EventKind.MARKED:
                self.marks[int(event["symbol"])] = int(event["price_ticks"])
            elif order_id in self.orders and event["leaves_lots"] == 0:
                del self.orders[order_id]


def started() -> tuple[dict[str, Any], Play]:
    """Both implementations in the same state, and what plays commands to them."""
    play, cores = Play(), {name: make(CONFIG) for name, make in CORES.items()}
    records = np.concatenate([play.record(fields) for fields in setup_fields()])
    events = [core.apply(records)[0].tobytes() for core in cores.values()]
    assert events[0] == events[1]
    return cores, play
