"""Every reject reason of the core by a named test, and that the first rule broken is the one that counts.

Both implementations. What is refused makes one event and changes nothing but the last number and time. RULES lists the
checks of a command in the order of spec/matching_rules.md, each with a way to break it that leaves the others alone; a
command that breaks any two gets the reason of the earlier one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any

import pytest

from cores import CommandFlag, CommandKind, EventFlag, EventKind, OrdType, Phase, Reason, Side, Tif
from cores.records import (
    AMOUNT_MAX,
    COLLAR_BP_MAX,
    FEE_BP_MAX,
    KILLED_SESSIONS_MAX,
    ORDER_SLOT_NONE,
    PRICE_TICKS_MAX,
    QTY_LOTS_MAX,
    Limit,
)
from tests.cores.fix_cores import (
    PRICE_HIGH,
    PRICE_LOW,
    SMALL,
    account,
    deposit,
    funded,
    instrument,
    market,
    new,
)
from tests.cores.test_rules import BASE, BUY, FROZEN, QUOTE, SELL, Make, place, target

Fields = dict[str, int]


def limit(kind: Limit, amount: int, **fields: int) -> Fields:
    return {"kind": CommandKind.LIMIT, "ord_type": kind, "qty_lots": amount} | fields


def phase(to: int, **fields: int) -> Fields:
    return {"kind": CommandKind.PHASE, "ord_type": to} | fields


# ---- every reject reason, and that nothing changes ----

REJECTS: dict[str, tuple[Reason, Fields]] = {
    "symbol that does not exist": (Reason.REJECT_UNKNOWN_SYMBOL, new(1, BUY, 120, 1, symbol=1)),
    "symbol none": (Reason.REJECT_UNKNOWN_SYMBOL, target(CommandKind.CANCEL, 1, 0, symbol=0xFFFF)),
    "close of an unknown symbol": (Reason.REJECT_UNKNOWN_SYMBOL, {"kind": CommandKind.TIME, "flags": 1, "symbol": 9}),
    "account that does not exist": (Reason.REJECT_UNKNOWN_ACCOUNT, new(5, BUY, 120, 1)),
    "account beyond all": (Reason.REJECT_UNKNOWN_ACCOUNT, deposit(0xFFFFFFFF, BASE, 1)),
    "frozen account": (Reason.REJECT_ACCOUNT_FROZEN, new(3, BUY, 120, 1)),
    "frozen account replaces": (Reason.REJECT_ACCOUNT_FROZEN, target(CommandKind.REPLACE, 3, 1, price_ticks=120)),
    "side none": (Reason.REJECT_BAD_SIDE, new(1, Side.NONE, 120, 1)),
    "side 3": (Reason.REJECT_BAD_SIDE, new(1, 3, 120, 1)),  # type: ignore[arg-type]
    "mass cancel of side 3": (Reason.REJECT_BAD_SIDE, {"kind": CommandKind.MASS_CANCEL, "account": 1, "side": 3}),
    "order type 0": (Reason.REJECT_BAD_ORD_TYPE, new(1, BUY, 120, 1, ord_type=0)),
    "order type 6": (Reason.REJECT_BAD_ORD_TYPE, new(1, BUY, 120, 1, ord_type=6)),
    "tif 5": (Reason.REJECT_BAD_TIF, new(1, BUY, 120, 1, tif=5)),
    "tif 8": (Reason.REJECT_BAD_TIF, new(1, BUY, 120, 1, tif=8)),
    "market good till date": (Reason.REJECT_BAD_TIF, market(1, BUY, 1, tif=Tif.GTD)),
    "stop at once": (Reason.REJECT_BAD_TIF, new(1, BUY, 0, 1, ord_type=OrdType.STOP, order_id=130, tif=Tif.IOC)),
    "market-to-limit at the close": (
        Reason.REJECT_BAD_TIF,
        new(1, BUY, 0, 1, ord_type=OrdType.MARKET_TO_LIMIT, tif=Tif.AT_CLOSE),
    ),
    "tif 255": (Reason.REJECT_BAD_TIF, new(1, BUY, 120, 1, tif=255)),
    "market good till cancel": (Reason.REJECT_BAD_TIF, market(1, BUY, 1, tif=Tif.GTC)),
    "bit 3": (Reason.REJECT_BAD_FLAGS, new(1, BUY, 120, 1, flags=8)),
    "bit 7": (Reason.REJECT_BAD_FLAGS, new(1, BUY, 120, 1, flags=128)),
    "self-match mode 5": (Reason.REJECT_BAD_FLAGS, new(1, BUY, 120, 1, flags=5 << 4)),
    "slide without post-only": (Reason.REJECT_BAD_FLAGS, new(1, BUY, 120, 1, flags=2)),
    "all-or-none post-only": (Reason.REJECT_BAD_FLAGS, new(1, BUY, 120, 1, flags=5)),
    "all-or-none at the close": (Reason.REJECT_BAD_FLAGS, new(1, BUY, 120, 1, flags=4, tif=Tif.AT_CLOSE)),
    "all-or-none at the open": (Reason.REJECT_BAD_FLAGS, new(1, BUY, 120, 1, flags=4, tif=Tif.AT_OPEN)),
    "all-or-none stop": (Reason.REJECT_BAD_FLAGS, new(1, BUY, 0, 1, flags=4, ord_type=OrdType.STOP, order_id=130)),
    "post-only ioc": (Reason.REJECT_BAD_FLAGS, new(1, BUY, 120, 1, flags=1, tif=Tif.IOC)),
    "post-only market": (Reason.REJECT_BAD_FLAGS, market(1, BUY, 1, tif=Tif.DAY, flags=1)),
    "flag on mass cancel": (Reason.REJECT_BAD_FLAGS, {"kind": CommandKind.MASS_CANCEL, "account": 1, "flags": 2}),
    "flag on time": (Reason.REJECT_BAD_FLAGS, {"kind": CommandKind.TIME, "flags": 8}),
    "flag on account": (Reason.REJECT_BAD_FLAGS, account(1, flags=2)),
    "address of 21 bytes": (
        Reason.REJECT_BAD_FLAGS,
        {"kind": CommandKind.WITHDRAW, "account": 1, "qty_lots": 1, "aux": 1 << 32},
    ),
    "no quantity": (Reason.REJECT_BAD_QTY, new(1, BUY, 120, 0)),
    "too much quantity": (Reason.REJECT_BAD_QTY, new(1, BUY, 120, QTY_LOTS_MAX + 1)),
    "quantity of all bits": (Reason.REJECT_BAD_QTY, new(1, BUY, 120, (1 << 64) - 1)),
    "price below the window": (Reason.REJECT_PRICE_OUT_OF_COLLAR, new(1, BUY, PRICE_LOW - 1, 1)),
    "price above the window": (Reason.REJECT_PRICE_OUT_OF_COLLAR, new(1, SELL, PRICE_HIGH + 1, 1)),
    "price of all bits": (Reason.REJECT_PRICE_OUT_OF_COLLAR, new(1, SELL, (1 << 64) - 1, 1)),
    "stop-limit outside the window": (
        Reason.REJECT_PRICE_OUT_OF_COLLAR,
        new(1, BUY, 164, 1, ord_type=OrdType.STOP_LIMIT, order_id=130),
    ),
    "reference price outside the window": (
        Reason.REJECT_PRICE_OUT_OF_COLLAR,
        phase(Phase.HALT, price_ticks=PRICE_HIGH + 1),
    ),
    "stop price below the window": (Reason.REJECT_BAD_STOP, new(1, BUY, 0, 1, ord_type=OrdType.STOP, order_id=99)),
    "stop price above the window": (
        Reason.REJECT_BAD_STOP,
        new(1, BUY, 120, 1, ord_type=OrdType.STOP_LIMIT, order_id=164),
    ),
    "display above qty": (Reason.REJECT_BAD_DISPLAY, new(1, BUY, 120, 5, order_id=6)),
    "more than 16 tranches": (Reason.REJECT_BAD_DISPLAY, new(1, BUY, 120, 33, order_id=2)),
    "display of an ioc": (Reason.REJECT_BAD_DISPLAY, new(1, BUY, 120, 5, order_id=2, tif=Tif.IOC)),
    "display of a market order": (Reason.REJECT_BAD_DISPLAY, market(1, BUY, 5, order_id=5)),
    "gtd that is over": (Reason.REJECT_BAD_EXPIRY, new(1, BUY, 120, 5, tif=Tif.GTD, aux=7, time_ns=7)),
    "min qty above qty": (Reason.REJECT_BAD_MIN_QTY, new(1, BUY, 120, 5, aux=6)),
    "min qty at the close": (Reason.REJECT_BAD_MIN_QTY, new(1, BUY, 120, 5, aux=1, tif=Tif.AT_CLOSE)),
    "min qty of a stop": (
        Reason.REJECT_BAD_MIN_QTY,
        new(1, BUY, 0, 5, aux=1, ord_type=OrdType.STOP, order_id=130),
    ),
    "at the open in continuous trading": (Reason.REJECT_BAD_PHASE, new(1, BUY, 120, 5, tif=Tif.AT_OPEN)),
    "phase 6": (Reason.REJECT_BAD_PHASE, phase(6)),
    "the present phase": (Reason.REJECT_BAD_PHASE, phase(Phase.CONTINUOUS)),
    "phase of an unknown symbol": (Reason.REJECT_UNKNOWN_SYMBOL, phase(Phase.HALT, symbol=1)),
    "phase with flag 2": (Reason.REJECT_BAD_FLAGS, phase(Phase.HALT, flags=2)),
    "no uncross where there is none": (Reason.REJECT_BAD_FLAGS, phase(Phase.CLOSED, flags=1)),
    "flag on instrument": (Reason.REJECT_BAD_FLAGS, instrument(1, flags=4)),
    "funds short by one unit to buy": (Reason.REJECT_INSUFFICIENT_FUNDS, new(4, BUY, 100, 21)),
    "funds short by one lot to sell": (Reason.REJECT_INSUFFICIENT_FUNDS, new(4, SELL, 100, 11)),
    "funds short to sell at market": (Reason.REJECT_INSUFFICIENT_FUNDS, market(4, SELL, 11)),
    "withdraws more than it has": (
        Reason.REJECT_INSUFFICIENT_FUNDS,
        {"kind": CommandKind.WITHDRAW, "account": 4, "asset": BASE, "qty_lots": 101},
    ),
    "post-only at the other side": (Reason.REJECT_POST_ONLY_WOULD_CROSS, new(1, BUY, 130, 1, flags=1)),
    "order that never was": (Reason.REJECT_UNKNOWN_ORDER, target(CommandKind.CANCEL, 1, 1 << 24 | 5)),
    "order slot none": (Reason.REJECT_UNKNOWN_ORDER, target(CommandKind.CANCEL, 1, ORDER_SLOT_NONE)),
    "replace of an order that never was": (Reason.REJECT_UNKNOWN_ORDER, target(CommandKind.REPLACE, 1, 0)),
    "instrument after the next": (Reason.REJECT_BAD_INSTRUMENT, instrument(2)),
    "base is quote": (Reason.REJECT_BAD_INSTRUMENT, instrument(1, 1, 1)),
    "no lot size": (Reason.REJECT_BAD_INSTRUMENT, instrument(1, order_id=0)),
    "lot size too large": (Reason.REJECT_BAD_INSTRUMENT, instrument(1, order_id=AMOUNT_MAX + 1)),
    "no tick value": (Reason.REJECT_BAD_INSTRUMENT, instrument(1, aux=0)),
    "window from zero": (Reason.REJECT_BAD_INSTRUMENT, instrument(1, price_ticks=0)),
    "window upside down": (Reason.REJECT_BAD_INSTRUMENT, instrument(1, price_ticks=163, qty_lots=162)),
    "window too high": (
        Reason.REJECT_BAD_INSTRUMENT,
        instrument(1, price_ticks=PRICE_TICKS_MAX, qty_lots=PRICE_TICKS_MAX + 1),
    ),
    "redefined under orders": (Reason.REJECT_BOOK_NOT_EMPTY, instrument(0, aux=6)),
    "account after the next": (Reason.REJECT_BAD_ACCOUNT, account(6)),
    "account beyond the configuration": (Reason.REJECT_BAD_ACCOUNT, account(5)),
    "maker pays more than taker": (Reason.REJECT_BAD_ACCOUNT, account(1, 26, 25)),
    "fee above all": (Reason.REJECT_BAD_ACCOUNT, account(1, 0, FEE_BP_MAX + 1)),
    "fees changed under open orders": (Reason.REJECT_BAD_ACCOUNT, account(2, 10, 26)),
    "asset that does not exist": (Reason.REJECT_BAD_ASSET, deposit(1, 3, 5)),
    "instrument on no asset": (Reason.REJECT_BAD_ASSET, instrument(1, 3, 1)),
    "self-match mode of an account": (Reason.REJECT_BAD_ACCOUNT, account(1, price_ticks=5)),
    "group of 33 bits": (Reason.REJECT_BAD_ACCOUNT, account(1, order_id=1 << 32)),
    "member that does not exist": (Reason.REJECT_BAD_ACCOUNT, account(1, qty_lots=5)),
    "rebate above all": (Reason.REJECT_BAD_ACCOUNT, account(1, (1 << 32) - FEE_BP_MAX - 1, 25)),
    "limit on no asset": (Reason.REJECT_BAD_ASSET, limit(Limit.GROSS, 1, account=1, asset=3)),
    "limit of no account": (Reason.REJECT_UNKNOWN_ACCOUNT, limit(Limit.CREDIT, 1, account=5)),
    "open orders of no account": (Reason.REJECT_UNKNOWN_ACCOUNT, limit(Limit.OPEN_ORDERS, 1, account=5)),
    "collar of no symbol": (Reason.REJECT_UNKNOWN_SYMBOL, limit(Limit.COLLAR, 1, symbol=1)),
    "gross above all": (Reason.REJECT_BAD_AMOUNT, limit(Limit.GROSS, AMOUNT_MAX + 1, account=1)),
    "open orders above all": (Reason.REJECT_BAD_AMOUNT, limit(Limit.OPEN_ORDERS, QTY_LOTS_MAX + 1, account=1)),
    "messages above all": (Reason.REJECT_BAD_AMOUNT, limit(Limit.MESSAGES, QTY_LOTS_MAX + 1, account=1)),
    "window above all": (Reason.REJECT_BAD_AMOUNT, limit(Limit.DUPLICATE_NS, AMOUNT_MAX + 1, account=1)),
    "order quantity above all": (Reason.REJECT_BAD_AMOUNT, limit(Limit.ORDER_QTY, QTY_LOTS_MAX + 1)),
    "order value above all": (Reason.REJECT_BAD_AMOUNT, limit(Limit.ORDER_VALUE, AMOUNT_MAX + 1)),
    "dynamic collar above all": (Reason.REJECT_BAD_AMOUNT, limit(Limit.COLLAR, COLLAR_BP_MAX + 1)),
    "static collar above all": (Reason.REJECT_BAD_AMOUNT, limit(Limit.COLLAR, 1, aux=COLLAR_BP_MAX + 1)),
    "session killed twice over": (Reason.REJECT_BAD_AMOUNT, limit(Limit.KILL_SESSION, 2)),
    "member killed twice over": (Reason.REJECT_BAD_AMOUNT, limit(Limit.KILL_MEMBER, 2, account=1)),
    "deposit of nothing": (Reason.REJECT_BAD_AMOUNT, deposit(1, BASE, 0)),
    "deposit over the supply": (Reason.REJECT_BAD_AMOUNT, deposit(1, BASE, AMOUNT_MAX)),
    "deposit of all bits": (Reason.REJECT_BAD_AMOUNT, deposit(1, BASE, (1 << 64) - 1)),
    "credit over all": (
        Reason.REJECT_BAD_AMOUNT,
        {"kind": CommandKind.LIMIT, "account": 1, "asset": BASE, "qty_lots": AMOUNT_MAX},
    ),
    "withdrawal of nothing": (Reason.REJECT_BAD_AMOUNT, {"kind": CommandKind.WITHDRAW, "account": 1}),
    "limit 13": (Reason.REJECT_UNSUPPORTED, limit(13, 1)),  # type: ignore[arg-type]
    "kind 0": (Reason.REJECT_UNSUPPORTED, {"kind": 0}),
    "kind 255": (Reason.REJECT_UNSUPPORTED, {"kind": 255}),
    "precheck": (Reason.REJECT_SESSION_DUPLICATE_CLORDID, new(1, BUY, 120, 1, precheck=131)),
    "precheck before all else": (Reason.REJECT_SESSION_STALE, {"kind": 77, "precheck": 138, "symbol": 0xFFFF}),
}


def rejecting_core(make: Make) -> Any:
    """Account 2 sells 5 lots at 130; 3 is frozen; 4 has 10,000 quote units and 100 base units."""
    core = make(SMALL)
    core.apply_one(**instrument())
    for number in (1, 2, 3, 4):
        core.apply_one(**account(number))
        core.apply_one(**deposit(number, BASE, 100 if number == 4 else 10**9))
        core.apply_one(**deposit(number, QUOTE, 10_500 if number == 4 else 10**9))
    core.apply_one(**FROZEN)
    place(core, 2, SELL, 130, 5)
    return core


@pytest.mark.parametrize("name", REJECTS)
def test_reject(make: Make, name: str) -> None:
    """The reason is the rule's, there is one event, and the state is as before but for the number."""
    reason, fields = REJECTS[name]
    core = rejecting_core(make)
    before = core.snapshot()
    (event,) = core.apply_one(**fields)
    assert Reason(event["reason"]) == reason
    new_order, change = fields["kind"] == CommandKind.NEW, fields["kind"] in (CommandKind.CANCEL, CommandKind.REPLACE)
    kind = EventKind.REJECTED if new_order else EventKind.CANCEL_REJECTED if change else EventKind.COMMAND_REJECTED
    assert EventKind(event["kind"]) == kind
    seq = core.last_seq
    assert event["order_id"] == (seq << 24 | ORDER_SLOT_NONE if new_order else fields.get("order_id", 0))
    assert event["exec_id"] == seq << 24
    assert (event["price_ticks"], event["qty_lots"]) == (fields.get("price_ticks", 0), fields.get("qty_lots", 0))
    after = core.snapshot()
    assert before[:64] + before[80:] == after[:64] + after[80:]
    core.check()


def test_reject_limit_below_what_is_held(make: Make) -> None:
    """A credit line that open orders live on cannot be taken away."""
    core = rejecting_core(make)
    line = {"kind": CommandKind.LIMIT, "account": 4, "asset": QUOTE}
    core.apply_one(**line, qty_lots=1_000)
    place(core, 4, BUY, 100, 21)
    (event,) = core.apply_one(**line, qty_lots=20)
    assert Reason(event["reason"]) == Reason.REJECT_BAD_AMOUNT
    (event,) = core.apply_one(**line, qty_lots=26)
    assert EventKind(event["kind"]) == EventKind.LIMIT_SET
    core.check()


def test_reject_notional_too_large(make: Make) -> None:
    """price x lots x tick_value with its fee, or lots x lot_size, beyond 2^62 - 1."""
    core = rejecting_core(make)
    core.apply_one(**instrument(1, 0, 1, order_id=1, aux=1 << 40))
    core.apply_one(**instrument(2, 0, 1, order_id=1 << 40, aux=1))
    for fields in (
        new(1, BUY, 128, 1 << 15, symbol=1),
        new(1, SELL, 128, 1 << 15, symbol=1),
        new(1, BUY, 100, 1 << 22, symbol=2),
        market(1, BUY, 1 << 22, symbol=2),
        market(1, SELL, QTY_LOTS_MAX, symbol=2),
    ):
        (event,) = core.apply_one(**fields)
        assert Reason(event["reason"]) == Reason.REJECT_NOTIONAL_TOO_LARGE, fields
    (event,) = core.apply_one(**new(1, BUY, 128, (1 << 15) - 100, symbol=1))
    assert Reason(event["reason"]) == Reason.REJECT_INSUFFICIENT_FUNDS


def test_reject_book_full(make: Make) -> None:
    """64 slots of the symbol are taken: even an order that would not rest is refused, until one is free."""
    core = funded(make)
    ids = [place(core, 1, BUY, 101 + i % 3, 1) for i in range(64)]
    for fields in (new(2, BUY, 100, 1), new(2, SELL, 101, 1, tif=Tif.IOC)):
        (event,) = core.apply_one(**fields)
        assert Reason(event["reason"]) == Reason.REJECT_BOOK_FULL
    core.apply_one(**target(CommandKind.CANCEL, 1, ids[17]))
    assert place(core, 2, BUY, 100, 1) & 0xFFFFFF == 17
    core.check()


def test_reject_qty_below_filled(make: Make) -> None:
    core = funded(make)
    order = place(core, 1, BUY, 120, 10)
    place(core, 2, SELL, 120, 4, tif=Tif.IOC)
    for lots in (1, 4):
        (event,) = core.apply_one(**target(CommandKind.REPLACE, 1, order, price_ticks=120, qty_lots=lots))
        assert Reason(event["reason"]) == Reason.REJECT_QTY_BELOW_FILLED
    (event,) = core.apply_one(**target(CommandKind.REPLACE, 1, order, price_ticks=120, qty_lots=5))
    assert (event["leaves_lots"], event["flags"]) == (1, EventFlag.PRIORITY_KEPT)


def test_reject_another_accounts_order(make: Make) -> None:
    core = funded(make)
    order = place(core, 1, BUY, 120, 10)
    for command in (CommandKind.CANCEL, CommandKind.REPLACE):
        (event,) = core.apply_one(**target(command, 2, order, price_ticks=120, qty_lots=5))
        assert Reason(event["reason"]) == Reason.REJECT_UNKNOWN_ORDER
    assert core.find_order(0, order).leaves_lots == 10


def test_reject_the_257th_killed_session(make: Make) -> None:
    """256 at most at once; killing one again or re-arming what is armed is no error."""
    core = funded(make)
    for session in range(KILLED_SESSIONS_MAX):
        core.apply_one(**limit(Limit.KILL_SESSION, 1, session=1000 - 2 * session))
    (event,) = core.apply_one(**limit(Limit.KILL_SESSION, 1, session=3))
    assert Reason(event["reason"]) == Reason.REJECT_BAD_AMOUNT
    for fields in ({"session": 1000}, {"session": 490}, {"session": 490}):
        (event,) = core.apply_one(**limit(Limit.KILL_SESSION, int(fields["session"] == 1000), **fields))
        assert EventKind(event["kind"]) == EventKind.LIMIT_SET
    (event,) = core.apply_one(**limit(Limit.KILL_SESSION, 1, session=3))
    assert EventKind(event["kind"]) == EventKind.LIMIT_SET
    core.check()


# ---- the first rule broken counts ----


@dataclass(frozen=True)
class Rule:
    """A check: its reason, and what breaks it: commands before, and fields of the command itself."""

    reason: Reason
    before: tuple[Any, ...] = ()
    fields: Fields = field(default_factory=dict)
    name: str = ""

    @property
    def label(self) -> str:
        return self.name or self.reason.name.removeprefix("REJECT_").lower()


DRAIN = "account 1 withdraws every quote unit it can"
LARGE_TICK = AMOUNT_MAX // 2400  # of 2,200 lots times ticks the notional is within the bound, of 2,520 not
ALIKE = new(1, BUY, 120, 5, tif=Tif.IOC)
RESTING = new(1, SELL, 163, 1)
ASK_AT_120 = new(2, SELL, 120, 1, session=999)
FULL = tuple(new(2, SELL, 125, 1, session=1000 + i) for i in range(63))
KILLED_MEMBER = (account(1, qty_lots=4), limit(Limit.KILL_MEMBER, 1, account=4))

PARTIES = [
    Rule(Reason.REJECT_UNKNOWN_SYMBOL, (), {"symbol": 1}),
    Rule(Reason.REJECT_UNKNOWN_ACCOUNT, (), {"account": 5}),
    Rule(Reason.REJECT_ACCOUNT_FROZEN, (account(1, flags=CommandFlag.ACCOUNT_FROZEN, qty_lots=4),)),
    Rule(Reason.REJECT_KILLED, (limit(Limit.KILL_SESSION, 1, session=1),), name="killed session"),
]
SIZES = [
    Rule(Reason.REJECT_ORDER_TOO_LARGE, (limit(Limit.ORDER_QTY, 4),)),
    Rule(Reason.REJECT_VALUE_TOO_LARGE, (limit(Limit.ORDER_VALUE, 1),)),
    Rule(Reason.REJECT_RESTRICTED, (limit(Limit.RESTRICTED, 1 << BASE, account=1),)),
]
NEW_RULES = [
    *PARTIES,
    Rule(Reason.REJECT_KILLED, KILLED_MEMBER, name="killed member"),
    Rule(Reason.REJECT_BAD_SIDE, (), {"side": 0}),
    Rule(Reason.REJECT_BAD_ORD_TYPE, (), {"ord_type": 6}),
    Rule(Reason.REJECT_BAD_TIF, (), {"tif": 5}),
    Rule(Reason.REJECT_BAD_FLAGS, (), {"flags": 8}),
    Rule(Reason.REJECT_BAD_QTY, (), {"qty_lots": QTY_LOTS_MAX + 1}),
    Rule(Reason.REJECT_PRICE_OUT_OF_COLLAR, (), {"price_ticks": 99}),
    Rule(Reason.REJECT_BAD_STOP, (), {"ord_type": OrdType.STOP_LIMIT, "order_id": 99}),
    Rule(Reason.REJECT_BAD_DISPLAY, (), {"order_id": QTY_LOTS_MAX + 2}),
    Rule(Reason.REJECT_BAD_EXPIRY, (), {"tif": Tif.GTD}),
    Rule(Reason.REJECT_BAD_MIN_QTY, (), {"aux": QTY_LOTS_MAX + 2}),
    Rule(Reason.REJECT_BAD_PHASE, (phase(Phase.HALT),)),
    *SIZES,
    Rule(Reason.REJECT_OPEN_ORDERS, (RESTING, limit(Limit.OPEN_ORDERS, 1, account=1))),
    Rule(Reason.REJECT_THROTTLED, (limit(Limit.MESSAGES, 1, account=1), limit(Limit.MESSAGES, 1, account=4), ALIKE)),
    Rule(Reason.REJECT_DUPLICATE, (limit(Limit.DUPLICATE_NS, 1, account=1), ALIKE)),
    Rule(Reason.REJECT_NOTIONAL_TOO_LARGE, (instrument(aux=AMOUNT_MAX // 400),)),
    Rule(Reason.REJECT_POST_ONLY_WOULD_CROSS, (ASK_AT_120,), {"flags": CommandFlag.POST_ONLY}),
    Rule(Reason.REJECT_INSUFFICIENT_FUNDS, (DRAIN,)),
    Rule(Reason.REJECT_EXPOSURE, (limit(Limit.GROSS, 1, account=1, asset=QUOTE),)),
    Rule(Reason.REJECT_BOOK_FULL, (ASK_AT_120, *FULL)),
]
REPLACE_RULES = [
    *PARTIES,
    Rule(Reason.REJECT_UNKNOWN_ORDER, (), {"order_id": 77}),
    Rule(Reason.REJECT_BAD_PHASE, (phase(Phase.HALT),)),
    Rule(Reason.REJECT_BAD_QTY, (), {"qty_lots": 0}),
    Rule(Reason.REJECT_QTY_BELOW_FILLED, (), {"qty_lots": 4}),
    Rule(Reason.REJECT_PRICE_OUT_OF_COLLAR, (), {"price_ticks": 164}),
    Rule(Reason.REJECT_BAD_DISPLAY, (), {"qty_lots": 85}),
    *SIZES,
    Rule(Reason.REJECT_THROTTLED, (limit(Limit.MESSAGES, 1, account=1), new(1, SELL, 163, 1, tif=Tif.IOC))),
    Rule(Reason.REJECT_NOTIONAL_TOO_LARGE, (instrument(aux=LARGE_TICK),)),
    Rule(Reason.REJECT_POST_ONLY_WOULD_CROSS, (ASK_AT_120,)),
    Rule(Reason.REJECT_INSUFFICIENT_FUNDS, (DRAIN,)),
    Rule(Reason.REJECT_EXPOSURE, (limit(Limit.GROSS, 1, account=1, asset=QUOTE),)),
]
STOP_RULES = [  # REPLACE of a waiting stop-limit
    Rule(Reason.REJECT_BAD_QTY, (), {"qty_lots": 0}),
    Rule(Reason.REJECT_PRICE_OUT_OF_COLLAR, (), {"price_ticks": 164}),
    Rule(Reason.REJECT_BAD_STOP, (), {"aux": 99}),
    *SIZES,
    Rule(Reason.REJECT_INSUFFICIENT_FUNDS, (DRAIN,)),
]
PHASE_RULES = [
    Rule(Reason.REJECT_UNKNOWN_SYMBOL, (), {"symbol": 1}),
    Rule(Reason.REJECT_BAD_FLAGS, (), {"flags": 2}),
    Rule(Reason.REJECT_BAD_PHASE, (), {"ord_type": 6}),
    Rule(Reason.REJECT_PRICE_OUT_OF_COLLAR, (), {"price_ticks": 164}),
    Rule(Reason.REJECT_BAD_FLAGS, (), {"flags": CommandFlag.NO_UNCROSS}, name="no uncross"),
    Rule(
        Reason.REJECT_BAD_PHASE,
        (phase(Phase.PRE_OPEN), new(1, BUY, 130, 1), new(2, SELL, 120, 1), phase(Phase.CLOSED, flags=1)),
        name="crossed",
    ),
]
LIMIT_RULES = {
    kind: [Rule(Reason.REJECT_UNSUPPORTED, (), {"ord_type": 13}), *rules]
    for kinds_of, rules in (
        (
            (Limit.CREDIT, Limit.GROSS),
            [Rule(Reason.REJECT_UNKNOWN_ACCOUNT, (), {"account": 5}), Rule(Reason.REJECT_BAD_ASSET, (), {"asset": 3})],
        ),
        (
            (Limit.OPEN_ORDERS, Limit.MESSAGES, Limit.DUPLICATE_NS, Limit.KILL_MEMBER),
            [Rule(Reason.REJECT_UNKNOWN_ACCOUNT, (), {"account": 5})],
        ),
        ((Limit.ORDER_QTY, Limit.ORDER_VALUE, Limit.COLLAR), [Rule(Reason.REJECT_UNKNOWN_SYMBOL, (), {"symbol": 1})]),
        ((Limit.KILL_SESSION,), []),
    )
    for kind in kinds_of
}
for _rules in LIMIT_RULES.values():
    _rules.append(Rule(Reason.REJECT_BAD_AMOUNT, (), {"qty_lots": AMOUNT_MAX + 1}))

ORDER_OF_BEFORE: list[Callable[[Any], bool]] = [  # what must come before what, when two rules are broken at once
    lambda c: c in (limit(Limit.DUPLICATE_NS, 1, account=1),) or c["ord_type"] == Limit.MESSAGES,
    lambda c: c["kind"] == CommandKind.NEW and c["account"] == 1,
    lambda c: c["kind"] == CommandKind.NEW,
    lambda c: c["kind"] == CommandKind.LIMIT,
    lambda c: c["kind"] == CommandKind.ACCOUNT and not c.get("flags"),
    lambda c: c["kind"] == CommandKind.ACCOUNT,
    lambda c: c["kind"] == CommandKind.PHASE,
]


def rank(command: Any) -> int:
    return next(i for i, matches in enumerate(ORDER_OF_BEFORE) if matches({"ord_type": None} | command))


def drain(core: Any) -> None:
    balance, hold, _ = core.balance(1, QUOTE)
    core.apply_one(kind=CommandKind.WITHDRAW, account=1, asset=QUOTE, qty_lots=balance - hold)


def prepared(make: Make, rules: tuple[Rule, ...], orders: list[Fields]) -> tuple[Any, list[int]]:
    """A core in which everything about the rules but the command itself is broken; ids of the orders of account 1."""
    before = [command for rule in rules for command in rule.before]
    commands = [command for i, command in enumerate(before) if command not in before[:i]]
    terms = [command for command in commands if command != DRAIN and command["kind"] == CommandKind.INSTRUMENT]
    core = make(SMALL)
    core.apply_one(**instrument())
    for number in (1, 2, 3, 4):
        core.apply_one(**account(number))
        core.apply_one(**deposit(number, BASE, 10**9))
    core.apply_one(**deposit(1, QUOTE, AMOUNT_MAX))
    early = [RESTING] if RESTING in commands and not terms else []  # before any count of messages
    if ALIKE in commands:  # an IOC without another side: the book is as it was
        early += [command for command in commands if command != DRAIN and is_about_alike(command)]
    for command in early:
        core.apply_one(**command)
    commands = [command for command in commands if command not in early]
    for command in terms:
        core.apply_one(**command)
    ids = []
    for fields in orders:
        ids.append(place(core, 1, **fields))
    if orders:
        core.apply_one(**new(2, SELL, 110, 4, tif=Tif.IOC))
    rest = [command for command in commands if command != DRAIN and command not in terms]
    for command in rest if any(c["kind"] == CommandKind.PHASE for c in rest[:1]) else sorted(rest, key=rank):
        core.apply_one(**command)
    if DRAIN in commands:
        drain(core)
    return core, ids


def is_about_alike(command: Any) -> bool:
    return command == ALIKE or (
        command["kind"] == CommandKind.LIMIT and command["ord_type"] in (Limit.MESSAGES, Limit.DUPLICATE_NS)
    )


def broken(base: Fields, *rules: Rule) -> Fields | None:
    """The command with all of the rules broken; None when they ask for different values of one field."""
    merged: Fields = {}
    for rule in rules:
        for name, value in rule.fields.items():
            if name == "flags":
                merged["flags"] = merged.get("flags", 0) | value
            elif merged.setdefault(name, value) != value:
                return None
    return base | merged


ICEBERG = {"side": BUY, "price": 110, "lots": 20, "order_id": 5, "flags": CommandFlag.POST_ONLY}
STOP_LIMIT = {"side": BUY, "price": 121, "lots": 20, "ord_type": OrdType.STOP_LIMIT, "order_id": 140}
TABLES: dict[str, tuple[list[Rule], Fields, list[Fields]]] = {
    "new": (NEW_RULES, new(1, BUY, 120, 5), []),
    "replace": (REPLACE_RULES, target(CommandKind.REPLACE, 1, 0, price_ticks=120, qty_lots=25, session=1), [ICEBERG]),
    "replace of a stop": (
        STOP_RULES,
        target(CommandKind.REPLACE, 1, 0, price_ticks=122, qty_lots=25, session=1),
        [STOP_LIMIT],
    ),
    "phase": (PHASE_RULES, phase(Phase.CONTINUOUS), []),
    **{f"limit {kind.name.lower()}": (rules, limit(kind, 1, account=1), []) for kind, rules in LIMIT_RULES.items()},
}
EXCLUSIVE = {  # breaking one of them mends the other, or breaks a third
    ("bad_expiry", "bad_min_qty"),
    ("bad_stop", "post_only_would_cross"),
}
SINGLES = [(name, rule) for name, (rules, _, _) in TABLES.items() for rule in rules]
PAIRS = [
    (name, first, second)
    for name, (rules, base, _) in TABLES.items()
    for first, second in combinations(rules, 2)
    if broken(base, first, second) is not None and (first.label, second.label) not in EXCLUSIVE
]


def refused_with(make: Make, name: str, *rules: Rule) -> Reason:
    _, base, orders = TABLES[name]
    core, ids = prepared(make, rules, orders)
    fields = broken(base | ({"order_id": ids[0]} if ids else {}), *rules)
    if name == "phase" and not any(rule.label == "crossed" for rule in rules):
        core.apply_one(**phase(Phase.HALT))
    assert fields is not None
    events = core.apply_one(**fields)
    core.check()
    return Reason(events["reason"][0]) if len(events) == 1 else Reason.NONE


@pytest.mark.parametrize(("name", "rule"), SINGLES, ids=lambda value: getattr(value, "label", value))
def test_a_rule_alone(make: Make, name: str, rule: Rule) -> None:
    assert refused_with(make, name) == Reason.NONE, "nothing broken, nothing refused"
    assert refused_with(make, name, rule) == rule.reason


@pytest.mark.parametrize("name", TABLES)
def test_of_two_rules_the_first_counts(make: Make, name: str) -> None:
    """Every two rules of the table that one command can break."""
    for table, first, second in PAIRS:
        if table == name:
            reason = refused_with(make, name, first, second)
            assert reason == first.reason, f"{first.label} and {second.label}: {reason.name}"


@pytest.mark.parametrize("name", TABLES)
def test_neighbours_are_compared_unless_they_exclude_each_other(name: str) -> None:
    """Which neighbours in the order of the page no single command can break."""
    rules = TABLES[name][0]
    compared = {(first.label, second.label) for table, first, second in PAIRS if table == name}
    missing = {(a.label, b.label) for a, b in pairwise(rules)} - compared
    known = {
        "new": {("bad_stop", "bad_display"), ("bad_expiry", "bad_min_qty")},
        "replace": {("bad_qty", "qty_below_filled")},
    }
    assert missing <= known.get(name, set()), missing


def test_every_core_reason_has_a_test_above() -> None:
    tested = {reason for reason, _ in REJECTS.values()} | {rule.reason for _, rule in SINGLES}
    of_spot = {reason for reason in Reason if 0 < reason < Reason.REJECT_POSITION}  # the others: test_futures.py
    assert of_spot <= tested
