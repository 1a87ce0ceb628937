"""Fixtures and a generator of commands for the core's tests: both implementations behind one parameter."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from cores._core import Core as CompiledCore
from hypothesis import strategies as st

from cores import COMMAND, CommandKind, CoreConfig, EventKind, OrdType, Side, Tif
from cores.records import AMOUNT_MAX, FLAG_SMP_SHIFT, PRICE_TICKS_MAX, QTY_LOTS_MAX, Limit, Phase
from cores.reference import Core as ReferenceCore
from tests.cores.fix_trades import Tape

CORES: dict[str, Callable[..., Any]] = {"c": CompiledCore, "reference": ReferenceCore}
SMALL = CoreConfig(symbols=4, accounts=5, assets=3, orders=64, levels=64)
GONE_MAX = 64
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
    "ord_type": [0, 1, 2, 3, 4, 5, 6, 11, 255],
    "tif": [0, 1, 2, 3, 4, 5, 6, 7, 8, 255],
    "flags": [0, 1, 2, 3, 4, 5, 8, 80, 128, 255],
    "precheck": [1, 2, 128, 131, 255],
    "symbol": [0, 1, 2, 3, 0xFFFF],
    "account": [0, 4, 5, 6, 0xFFFFFFFF],
    "asset": [0, 3, 63, 0xFFFF],
    "order_id": [98, 99, 100, 163, 164, *EDGES],
    "price_ticks": [98, 99, 100, 163, 164, *EDGES],
    "qty_lots": [0, 90, 200, *EDGES],
    "aux": [1, 90, 200, *EDGES],
}
"""Values for one field that make a command wrong, or at least unusual."""

RESTING = [Tif.DAY, Tif.DAY, Tif.GTC, Tif.GTC, Tif.GTD]
AT_ONCE = [Tif.IOC, Tif.FOK]


def _price(rng: Random) -> int:
    return rng.randint(118, 126) if rng.random() < 0.95 else rng.randint(PRICE_LOW, PRICE_HIGH)


def _limit_order(rng: Random) -> dict[str, Any]:
    return {"tif": rng.choice([*RESTING, *RESTING, *AT_ONCE, *AT_ONCE])}


def _market_order(rng: Random) -> dict[str, Any]:
    tif = rng.choice([Tif.DAY, Tif.AT_OPEN, Tif.AT_CLOSE, *AT_ONCE, *AT_ONCE])
    return {"ord_type": OrdType.MARKET, "tif": tif, "qty_lots": rng.randint(1, 40)}


def _post_only(rng: Random) -> dict[str, Any]:
    return {"tif": rng.choice(RESTING), "flags": rng.choice([1, 1, 3])}


def _iceberg(rng: Random) -> dict[str, Any]:
    display = rng.randint(1, 4)
    tif = rng.choice([*RESTING, *RESTING, Tif.AT_OPEN, Tif.AT_CLOSE])
    return {"tif": tif, "order_id": display, "qty_lots": display * rng.randint(1, 17) + rng.randint(0, 2)}


def _stop(rng: Random) -> dict[str, Any]:
    ord_type = rng.choice([OrdType.STOP, OrdType.STOP_LIMIT])
    return {"ord_type": ord_type, "tif": rng.choice(RESTING), "order_id": rng.randint(117, 127)}


def _market_to_limit(rng: Random) -> dict[str, Any]:
    return {"ord_type": OrdType.MARKET_TO_LIMIT, "tif": rng.choice(RESTING)}


def _for_an_auction(rng: Random) -> dict[str, Any]:
    return {"tif": rng.choice([Tif.AT_OPEN, Tif.AT_CLOSE])}


def _all_or_none(rng: Random) -> dict[str, Any]:
    ord_type = rng.choice([OrdType.LIMIT, OrdType.LIMIT, OrdType.MARKET])
    return {"ord_type": ord_type, "flags": 4, "tif": rng.choice([Tif.DAY, Tif.IOC]), "qty_lots": rng.randint(1, 25)}


def _of_a_crowd(rng: Random) -> dict[str, Any]:
    """Small and far away: what fills the slots of a book."""
    side = rng.choice([Side.BUY, Side.SELL])
    price = rng.randint(PRICE_LOW, 110) if side == Side.BUY else rng.randint(140, PRICE_HIGH)
    return {"tif": Tif.GTC, "side": side, "price_ticks": price, "qty_lots": 1}


STYLES: list[tuple[int, Callable[[Random], dict[str, Any]]]] = [
    (42, _limit_order),
    (12, _market_order),
    (8, _post_only),
    (8, _iceberg),
    (12, _stop),
    (6, _market_to_limit),
    (5, _for_an_auction),
    (4, _all_or_none),
    (3, _of_a_crowd),
]


def _new(rng: Random) -> dict[str, Any]:
    fields = {"kind": CommandKind.NEW, "side": rng.randint(1, 2), "ord_type": OrdType.LIMIT, "flags": 0}
    fields |= {"price_ticks": _price(rng), "qty_lots": rng.randint(1, 12)}
    fields |= rng.choices([style for _, style in STYLES], [weight for weight, _ in STYLES])[0](rng)
    if fields["tif"] == Tif.GTD:
        fields["expires_in_ns"] = rng.choice([0, 1, 2, 5, 20, 100, 10**9])
    elif rng.random() < 0.12:
        fields["aux"] = rng.randint(1, 8)
    if rng.random() < 0.25:
        fields["flags"] |= rng.randint(1, 4) << FLAG_SMP_SHIFT
    return fields


def _replace(rng: Random) -> dict[str, Any]:
    fields = {"kind": CommandKind.REPLACE, "pick": rng.randint(0, 12), "qty_lots": rng.randint(1, 20)}
    fields["price_ticks"] = rng.choice([0, 0, 0, _price(rng)])
    if rng.random() < 0.2:
        fields["aux"] = rng.randint(117, 127)
    return fields


def _phase(rng: Random) -> dict[str, Any]:
    targets = [Phase.CONTINUOUS] * 6 + [Phase.PRE_OPEN, Phase.CLOSE_CALL] * 2
    target = rng.choice([*targets, Phase.VOLATILITY, Phase.CLOSED, Phase.HALT])
    reference = _price(rng) if rng.random() < 0.15 else 0
    flags = 1 if rng.random() < (0.4 if target == Phase.CLOSED else 0.03) else 0
    return {"kind": CommandKind.PHASE, "ord_type": target, "price_ticks": reference, "flags": flags}


AMOUNTS: dict[Limit, list[int]] = {
    Limit.CREDIT: [0, 7, 800, 9_000, 60_000],
    Limit.GROSS: [0, 0, 0, 40, 5_000],
    Limit.OPEN_ORDERS: [0, 0, 2, 5],
    Limit.MESSAGES: [0, 0, 1, 4],
    Limit.DUPLICATE_NS: [0, 0, 50, 2 * 10**9],
    Limit.RESTRICTED: [0, 0, 0, 1, 4],
    Limit.ORDER_QTY: [0, 0, 8, 25],
    Limit.ORDER_VALUE: [0, 0, 4_000, 20_000],
    Limit.COLLAR: [0, 100, 200, 400],
    Limit.KILL_SESSION: [0, 0, 0, 1],
    Limit.KILL_MEMBER: [0, 0, 0, 1],
    Limit.MARGIN: [0, 400],  # of no future here: fix_futures.py has those
    Limit.POSITION: [0, 5],
}


def _limit(rng: Random) -> dict[str, Any]:
    kind = rng.choice([*Limit, Limit.COLLAR, Limit.COLLAR])
    fields = {"kind": CommandKind.LIMIT, "ord_type": kind, "asset": rng.choice([0, 1, 1, 2])}
    return fields | {"qty_lots": rng.choice(AMOUNTS[kind]), "aux": rng.choice([0, 0, 200, 400])}


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
        flags=rng.choice([0, 0, 0, 1]),
    )


def fees_of(maker_bp: int, taker_bp: int) -> int:
    return maker_bp & 0xFFFFFFFF | taker_bp << 32


FEES = [(0, 0), (10, 25), (10, 25), (-5, 25), (-25, 10), (25, 25), (26, 25), (0, 10_000), (1, 10_001), (30, 900)]


def _account(rng: Random) -> dict[str, Any]:
    fields = account(rng.randint(0, 5), flags=rng.choice([0, 0, 0, 1])) | {"aux": fees_of(*rng.choice(FEES))}
    fields |= {"order_id": rng.choice([0, 1, 1, 2]), "price_ticks": rng.choice([0, 0, 1, 2, 3, 4])}
    return fields | {"qty_lots": rng.choice([0, 0, 1, 2])}


def _money(kind: CommandKind) -> Callable[[Random], dict[str, Any]]:
    def make(rng: Random) -> dict[str, Any]:
        fields = {"kind": kind, "asset": rng.choice([0, 1, 1, 2]), "qty_lots": rng.choice([0, 7, 800, 9_000, 60_000])}
        if kind == CommandKind.WITHDRAW:
            fields |= {"order_id": 0x1122334455667788, "price_ticks": 0x99AABBCCDDEEFF00, "aux": 0x12345678}
        return fields

    return make


def _bust(rng: Random) -> dict[str, Any]:
    return {"kind": CommandKind.BUST, "trade": rng.randint(0, 15), "aux": fees_of(*rng.choice(FEES))}


MAKERS: list[tuple[int, Callable[[Random], dict[str, Any]]]] = [
    (64, _new),
    (8, lambda rng: {"kind": CommandKind.CANCEL, "pick": rng.randint(0, 15)}),
    (14, _replace),
    (2, lambda rng: {"kind": CommandKind.MASS_CANCEL, "side": rng.randint(0, 2), "flags": rng.randint(0, 1)}),
    (3, lambda rng: {"kind": CommandKind.TIME, "flags": rng.choice([0, 1, 2, 2, 2, 4, 4, 4, 6, 7, 8])}),
    (7, _phase),
    (2, _instrument),
    (2, _account),
    (5, _limit),
    (2, _money(CommandKind.DEPOSIT)),
    (2, _money(CommandKind.WITHDRAW)),
    (2, lambda rng: {"kind": CommandKind.NEW, "again": 1}),
    (3, _bust),
    (1, lambda rng: {"kind": rng.choice([0, 12, 255])}),
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
    if rng.random() < 0.1:
        name = rng.choice(list(WRONG))
        fields[name] = rng.choice(WRONG[name])
    if rng.random() < 0.05:
        fields["after_ns"] = rng.choice([10, 100, 10**9])
    return fields


commands = st.integers(0, 2**40).map(generate)


class Play:
    """Turns generated fields into numbered records, pointing CANCEL and REPLACE at orders that are or were open."""

    def __init__(self) -> None:
        self.seq = 0
        self.time_ns = 0
        self.orders: dict[int, tuple[int, int, int]] = {}  # of open orders: symbol, account, price_ticks
        self.gone: dict[int, tuple[int, int, int]] = {}  # the last of those that were
        self.last_new: dict[str, Any] = {}
        self.tape = Tape()

    def record(self, fields: dict[str, Any]) -> np.ndarray:
        fields = dict(fields)
        self.seq += 1
        if fields.pop("again", 0):
            fields = dict(self.last_new or fields)
        elif fields["kind"] == CommandKind.NEW:
            self.last_new = dict(fields)
        self.time_ns += fields.pop("after_ns", 0) + (self.seq + 1) % 2
        choice, expires_in_ns = fields.pop("pick", None), fields.pop("expires_in_ns", None)
        trade = fields.pop("trade", None)
        if trade is not None:
            self.tape.aim(fields, trade)
        if choice is not None:
            self._point(fields, choice)
        if expires_in_ns is not None:
            fields.setdefault("aux", self.time_ns + expires_in_ns)
        record = np.zeros(1, COMMAND)
        for name, value in fields.items():
            record[name] = value
        record["seq"] = self.seq
        record["time_ns"] = self.time_ns
        return record

    def _point(self, fields: dict[str, Any], choice: int) -> None:
        candidates = self.gone if choice == 1 else self.orders
        if not candidates:
            fields.setdefault("order_id", choice << 24 | choice)
            return
        order_id = list(candidates)[-1 - choice % len(candidates)]
        symbol, owner, price = candidates[order_id]
        fields.setdefault("order_id", order_id)
        fields["price_ticks"] = fields.get("price_ticks") or price
        if choice % 8:  # else whatever symbol and account were generated: mostly somebody else's order
            fields["symbol"], fields["account"] = symbol, owner

    def see(self, events: np.ndarray) -> None:
        self.tape.see(events)
        for event in events:
            order_id, leaves = int(event["order_id"]), int(event["leaves_lots"])
            if event["kind"] == EventKind.ACCEPTED:
                self.orders[order_id] = int(event["symbol"]), int(event["account"]), int(event["price_ticks"])
            elif order_id in self.orders and leaves == 0:
                self.gone[order_id] = self.orders.pop(order_id)
                if len(self.gone) > GONE_MAX:
                    del self.gone[next(iter(self.gone))]


def setup_fields() -> list[dict[str, Any]]:
    """Symbols sharing assets, one too dear to trade, one with narrow collars; accounts with so little that funds run
    out, one on credit, one that gets rebates, two of one group that may not trade with each other."""
    start = [instrument(0), instrument(1, 2, 1, order_id=1, aux=1000), instrument(2, 0, 1, order_id=1, aux=1 << 58)]
    for number, fees, group in ((1, (10, 25), 1), (2, (0, 0), 0), (3, (30, 900), 2), (4, (-7, 7), 1)):
        start.append(account(number, order_id=group) | {"aux": fees_of(*fees)})
        start += [deposit(number, asset, 60_000 if asset == 1 else 900) for asset in range(3)]
    start.append({"kind": CommandKind.LIMIT, "account": 2, "asset": 1, "qty_lots": 50_000})
    start.append({"kind": CommandKind.LIMIT, "account": 2, "asset": 0, "qty_lots": 500})
    start.append({"kind": CommandKind.LIMIT, "ord_type": Limit.DUPLICATE_NS, "account": 3, "qty_lots": 50})
    start.append({"kind": CommandKind.LIMIT, "ord_type": Limit.COLLAR, "symbol": 1, "qty_lots": 300, "aux": 400})
    return start


def morning_fields(rng: Random) -> list[dict[str, Any]]:
    """What brings a market that random commands have closed, killed or impoverished back to life: most of the set-up
    again, every limit and switch off, every phase CONTINUOUS. Long runs have one now and then."""
    fields = [entry for entry in setup_fields() if entry["kind"] != CommandKind.DEPOSIT or rng.random() < 0.4]
    off: list[dict[str, Any]] = [{"ord_type": Limit.KILL_SESSION, "session": session} for session in (1, 2)]
    for number in range(1, 5):
        kinds = (Limit.KILL_MEMBER, Limit.OPEN_ORDERS, Limit.MESSAGES, Limit.DUPLICATE_NS, Limit.RESTRICTED)
        off += [{"ord_type": kind, "account": number} for kind in kinds]
        off += [{"ord_type": Limit.GROSS, "account": number, "asset": asset} for asset in range(3)]
    for symbol in range(3):
        off += [{"ord_type": kind, "symbol": symbol} for kind in (Limit.ORDER_QTY, Limit.ORDER_VALUE, Limit.COLLAR)]
        fields.append({"kind": CommandKind.PHASE, "symbol": symbol, "ord_type": Phase.CONTINUOUS})
    return [{"kind": CommandKind.LIMIT} | entry for entry in off if rng.random() < 0.9] + fields
