"""Busted trades (B1..B5): both sides get back exactly what they gave, or nothing happens and the reason says why."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import COMMAND, CommandKind, CoreConfig, EventKind, OrdType, Phase, Reason, Side, Tif
from cores.records import AMOUNT_MAX, QTY_LOTS_MAX, Limit
from tests.cores import fix_futures
from tests.cores.fix_cores import CORES, TICK_VALUE, account, deposit, funded, instrument, new
from tests.cores.fix_futures import CONTRACT, FUTURE, TICK, margin, mark, order
from tests.cores.fix_futures import account as futures_account
from tests.cores.fix_trades import bp_of, bust_of
from tests.cores.test_rules import BASE, BUY, QUOTE, SELL, Make, kinds, target

Fields = dict[str, Any]
RICH = dict.fromkeys(range(1, 6), 1000000)


def money(core: Any, assets: tuple[int, ...] = (BASE, QUOTE)) -> list[Any]:
    return [core.balance(number, asset)[0] for number in range(core.account_count) for asset in assets]


def traded(core: Any, resting: Fields, coming: Fields) -> np.ndarray:
    """The FILLs of the one trade of two orders."""
    core.apply_one(**resting)
    events = core.apply_one(**coming)
    fills: np.ndarray = events[events["kind"] == EventKind.FILL]
    assert len(fills) == 2, events
    return fills


def spot_trade(core: Any, price: int = 120, lots: int = 4) -> Fields:
    """Account 1 sells to account 2; sessions 3 and 4. The BUST that takes it back."""
    fills = traded(core, new(1, SELL, price, lots, session=3), new(2, BUY, price, lots, session=4))
    return bust_of(fills, TICK_VALUE)


def reason_of(core: Any, fields: Fields) -> Reason:
    """Why it is refused; then nothing has changed but number and time."""
    before = core.snapshot()
    (event,) = core.apply_one(**fields)
    assert event["kind"] == EventKind.COMMAND_REJECTED, event
    assert (event["order_id"], event["aux"]) == (fields["order_id"], fields["aux"])
    after = core.snapshot()
    assert before[:64] + before[80:] == after[:64] + after[80:]
    core.check()
    return Reason(event["reason"])


# ---- properties ----

FEES = st.tuples(st.integers(-10_000, 10_000), st.integers(0, 10_000)).filter(lambda fees: fees[0] <= fees[1])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(CORES)), FEES, FEES, st.integers(100, 163), st.integers(1, 50), st.booleans())
def test_a_bust_gives_back_to_the_unit(
    name: str, first: tuple[int, int], second: tuple[int, int], price: int, lots: int, buys: bool
) -> None:
    """Any fees and rebates, whoever came first: every account, the venue's too, has what it had before the trade."""
    core = funded(CORES[name])
    core.apply_one(**account(1, first[0] & 0xFFFFFFFF, first[1]))
    core.apply_one(**account(2, second[0] & 0xFFFFFFFF, second[1]))
    before = money(core)
    sides = (BUY, SELL) if buys else (SELL, BUY)
    fills = traded(core, new(1, sides[0], price, lots), new(2, sides[1], price, lots))
    assert money(core) != before
    assert kinds(core.apply_one(**bust_of(fills, TICK_VALUE))) == ["BUSTED", "BUSTED"]
    assert money(core) == before
    core.check()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(CORES)),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(110, 150), st.integers(1, 40)), max_size=6),
    st.tuples(st.integers(110, 150), st.integers(1, 40)),
)
def test_a_bust_of_a_future_gives_back_lots_and_value(
    name: str, others: list[tuple[int, int, int, int]], trade: tuple[int, int]
) -> None:
    """Whatever positions were there, and whatever was traded since: lots, and balance + collateral - cost, which are
    what a position is worth at any mark, are what they were without the trade."""
    core, spared = fix_futures.opened(CORES[name], RICH, (10, 25)), fix_futures.opened(CORES[name], RICH, (10, 25))
    middle = len(others) // 2
    for at, (buyer, seller, price, lots) in enumerate(others):
        if at == middle:
            fills = traded(core, order(4, SELL, *trade), order(5, BUY, *trade))
        for one in (core, spared) if buyer != seller else ():
            one.apply_one(**order(seller, SELL, price, lots, tif=Tif.GTC))
            one.apply_one(**order(buyer, BUY, price, lots, tif=Tif.IOC))
            one.apply_one(kind=CommandKind.MASS_CANCEL, symbol=FUTURE, account=seller)
    if not others:
        fills = traded(core, order(4, SELL, *trade), order(5, BUY, *trade))
    assert kinds(core.apply_one(**bust_of(fills, TICK))) == ["BUSTED", "POSITION", "BUSTED", "POSITION"]
    for number in range(core.account_count):
        worths = []
        for one in (core, spared):
            view = one.position(number, FUTURE)
            worths.append((view.lots, one.balance(number, QUOTE)[0] + view.collateral - view.cost))
        assert worths[0] == worths[1], number
    core.check()


@given(st.integers(1, 1 << 61), st.integers(-10_000, 10_000))
def test_the_bp_of_a_fee_makes_that_fee(notional: int, bp: int) -> None:
    """Of every fee there is a bp that says it, so a BUST needs no amounts of fees."""
    fee = notional * abs(bp) // 10_000 * (1 if bp >= 0 else -1)
    found = bp_of(fee, notional)
    assert abs(found) <= abs(bp)
    assert notional * abs(found) // 10_000 == abs(fee) and found * fee >= 0


# ---- spot ----


def test_both_sides_are_told(make: Make) -> None:
    """The buyer first; account, session, side, trade, price, quantity and the fee that comes back."""
    core = funded(make)
    bust = spot_trade(core)
    bought, sold = core.apply_one(**bust)
    for event, number, session, side, fee in ((bought, 2, 4, BUY, 6), (sold, 1, 3, SELL, 2)):
        assert (event["account"], event["session"], event["side"], event["asset"]) == (number, session, side, 0)
        assert (event["order_id"], event["price_ticks"], event["qty_lots"]) == (bust["order_id"], 120, 4)
        assert (event["aux"], event["leaves_lots"], event["reason"], event["flags"]) == (fee, 0, 0, 0)


def test_orders_take_no_notice(make: Make) -> None:
    """What is left of the order rests where it was with what it had filled, last price and stops stay."""
    core = funded(make)
    fills = traded(core, new(1, SELL, 120, 10, tif=Tif.GTC), new(2, BUY, 120, 4))
    core.apply_one(**new(2, BUY, 0, 1, ord_type=OrdType.STOP, order_id=121))
    symbol, resting = core.walk_symbol(0), int(fills["order_id"][0])
    core.apply_one(**bust_of(fills, TICK_VALUE))
    assert core.walk_symbol(0).tobytes() == symbol.tobytes()
    assert core.last_price(0)[0] == 120
    (event,) = core.apply_one(**target(CommandKind.REPLACE, 1, resting, price_ticks=120, qty_lots=4))
    assert Reason(event["reason"]) == Reason.REJECT_QTY_BELOW_FILLED
    core.check()


@pytest.mark.parametrize("phase", [Phase.CLOSED, Phase.PRE_OPEN, Phase.VOLATILITY, Phase.CLOSE_CALL, Phase.HALT])
def test_in_every_phase(make: Make, phase: Phase) -> None:
    core = funded(make)
    before = money(core)
    bust = spot_trade(core)
    core.apply_one(kind=CommandKind.PHASE, ord_type=phase)
    assert kinds(core.apply_one(**bust)) == ["BUSTED", "BUSTED"]
    assert money(core) == before


def test_of_an_auction(make: Make) -> None:
    """The uncross shows the buyer first."""
    core = funded(make)
    before = money(core)
    core.apply_one(kind=CommandKind.PHASE, ord_type=Phase.PRE_OPEN)
    core.apply_one(**new(1, SELL, 120, 4))
    core.apply_one(**new(2, BUY, 121, 4))
    events = core.apply_one(kind=CommandKind.PHASE, ord_type=Phase.CONTINUOUS)
    core.apply_one(**bust_of(events[events["kind"] == EventKind.FILL], TICK_VALUE))
    assert money(core) == before


def test_with_oneself(make: Make) -> None:
    """Only the fees have moved, and come back."""
    core = funded(make)
    before = money(core)
    fills = traded(core, new(1, SELL, 120, 4), new(1, BUY, 120, 4))
    core.apply_one(**bust_of(fills, TICK_VALUE))
    assert money(core) == before
    core.check()


def test_the_venues_own_trade(make: Make) -> None:
    core = funded(make)
    core.apply_one(**deposit(0, BASE, 1_000))
    before = money(core)
    fills = traded(core, new(0, SELL, 120, 4), new(2, BUY, 120, 4))
    core.apply_one(**bust_of(fills, TICK_VALUE))
    assert money(core) == before
    core.check()


def test_what_orders_hold_is_not_given_back(make: Make) -> None:
    """The buyer sells on: once that order is cancelled the base units are there again."""
    core = funded(make, amount=10_000)
    bust = spot_trade(core)
    core.apply_one(**new(2, SELL, 163, 998))
    held = core.apply_one(**new(2, SELL, 162, 3))
    assert reason_of(core, bust) == Reason.REJECT_INSUFFICIENT_FUNDS
    core.apply_one(**target(CommandKind.CANCEL, 2, int(held["order_id"][0])))
    assert kinds(core.apply_one(**bust)) == ["BUSTED", "BUSTED"]


def test_on_credit(make: Make) -> None:
    """A credit line lends here as it does for orders."""
    core = funded(make, amount=10_000)
    bust = spot_trade(core)
    core.apply_one(kind=CommandKind.WITHDRAW, account=1, asset=QUOTE, qty_lots=core.balance(1, QUOTE)[0])
    assert reason_of(core, bust) == Reason.REJECT_INSUFFICIENT_FUNDS
    core.apply_one(kind=CommandKind.LIMIT, ord_type=Limit.CREDIT, account=1, asset=QUOTE, qty_lots=2_398)
    assert kinds(core.apply_one(**bust)) == ["BUSTED", "BUSTED"]
    assert core.balance(1, QUOTE)[0] == -2_398  # it had 2,400 for the lots, less the fee of 2 that comes back
    core.check()


def test_fees_that_the_venue_has_withdrawn(make: Make) -> None:
    core = funded(make)
    bust = spot_trade(core)
    core.apply_one(kind=CommandKind.WITHDRAW, account=0, asset=QUOTE, qty_lots=1)
    assert reason_of(core, bust) == Reason.REJECT_INSUFFICIENT_FUNDS
    core.apply_one(**deposit(0, QUOTE, 1))
    assert kinds(core.apply_one(**bust)) == ["BUSTED", "BUSTED"]
    assert core.balance(0, QUOTE)[0] == 0


# ---- refusals ----

RULES: list[tuple[str, Reason, Fields]] = [
    ("no such symbol", Reason.REJECT_UNKNOWN_SYMBOL, {"symbol": 1}),
    ("no such buyer", Reason.REJECT_UNKNOWN_ACCOUNT, {"account": 5 | 4 << 16}),
    ("no such seller", Reason.REJECT_UNKNOWN_ACCOUNT, {"session": 5}),
    ("a flag", Reason.REJECT_BAD_FLAGS, {"flags": 1}),
    ("no trade", Reason.REJECT_UNKNOWN_TRADE, {"order_id": 0xFFFFFF}),
    ("a price outside", Reason.REJECT_PRICE_OUT_OF_COLLAR, {"price_ticks": 99}),
    ("no quantity", Reason.REJECT_BAD_QTY, {"qty_lots": 0}),
    ("too much quantity", Reason.REJECT_BAD_QTY, {"qty_lots": QTY_LOTS_MAX + 1}),
    ("a buyer's fee above all", Reason.REJECT_BAD_AMOUNT, {"aux": 10_001}),
    ("a seller's rebate above all", Reason.REJECT_BAD_AMOUNT, {"aux": (-10_001 & 0xFFFFFFFF) << 32}),
    ("more than there is", Reason.REJECT_INSUFFICIENT_FUNDS, {"qty_lots": 10**8 + 5}),
]


@pytest.mark.parametrize(("reason", "fields"), [pytest.param(*rule[1:], id=rule[0]) for rule in RULES])
def test_reject(make: Make, reason: Reason, fields: Fields) -> None:
    core = funded(make)
    assert reason_of(core, spot_trade(core) | fields) == reason


@pytest.mark.parametrize("number", ["its own", "a later one"])
def test_reject_a_trade_that_cannot_have_been(make: Make, number: str) -> None:
    core = funded(make)
    bust = spot_trade(core)
    bust["order_id"] = core.last_seq + (1 if number == "its own" else 2) << 24
    assert reason_of(core, bust) == Reason.REJECT_UNKNOWN_TRADE


def test_the_first_rule_broken_counts(make: Make) -> None:
    core = funded(make)
    bust = spot_trade(core)
    tried = 0
    for (_, first, one), (_, second, other) in combinations(RULES, 2):
        if first != second and not one.keys() & other.keys():
            assert reason_of(core, bust | one | other) == first
            tried += 1
    assert tried == 50


def test_reject_notional_too_large(make: Make) -> None:
    """Value with the larger fee, or base units, above AMOUNT_MAX: found before anything is multiplied further."""
    core = funded(make)
    bust = spot_trade(core)
    core.apply_one(**instrument(1, 0, 1, order_id=1, aux=1 << 40))
    core.apply_one(**instrument(2, 0, 1, order_id=1 << 40, aux=1))
    core.apply_one(**instrument(3, 0, 1, order_id=1, aux=AMOUNT_MAX // 2 // 100))
    for symbol, price, lots, aux in (
        (1, 128, 1 << 15, 0),
        (1, 128, QTY_LOTS_MAX, 0),
        (2, 100, 1 << 22, 0),
        (2, 100, QTY_LOTS_MAX, 0),
        (3, 100, 2, 1),
        (3, 100, 2, 1 << 32),
        (3, 100, 2, (-1 & 0xFFFFFFFF) << 32),
    ):
        large = {"symbol": symbol, "price_ticks": price, "qty_lots": lots, "aux": aux}
        assert reason_of(core, bust | large) == Reason.REJECT_NOTIONAL_TOO_LARGE, large
    fits = {"symbol": 3, "price_ticks": 100, "qty_lots": 1, "aux": 10_000}
    assert reason_of(core, bust | fits) == Reason.REJECT_INSUFFICIENT_FUNDS


# ---- futures ----


def apply(core: Any, fields: Fields) -> np.ndarray:
    events: np.ndarray = core.apply_one(**fields)
    core.check()
    return events


def futures_trade(core: Any, seller: int, buyer: int, lots: int, price: int = 132) -> Fields:
    return bust_of(traded(core, order(seller, SELL, price, lots), order(buyer, BUY, price, lots)), TICK)


def test_each_side_is_told_its_position(make: Make) -> None:
    """BUSTED and POSITION of the buyer, then of the seller, who sold on at a profit since."""
    core = fix_futures.opened(make, RICH, (10, 25))
    bust = futures_trade(core, 1, 2, 10)
    futures_trade(core, 2, 3, 10, price=140)
    events = apply(core, bust)
    assert kinds(events) == ["BUSTED", "POSITION", "BUSTED", "POSITION"]
    assert events["account"].tolist() == [2, 2, 1, 1]
    assert (events["side"][1], events["qty_lots"][1]) == (Side.SELL, 10)
    assert (events["side"][3], events["qty_lots"][3]) == (Side.NONE, 0)
    assert (events["session"].tolist(), events["asset"][1]) == ([1] * 4, CONTRACT)


def test_reject_a_position_without_margin(make: Make) -> None:
    """The seller has bought back and taken the money out: it cannot be long again for nothing."""
    core = fix_futures.opened(make, RICH)
    bust = futures_trade(core, 1, 2, 10)
    futures_trade(core, 3, 1, 10)
    free = core.balance(1, QUOTE)[0]
    apply(core, {"kind": CommandKind.WITHDRAW, "account": 1, "asset": QUOTE, "qty_lots": free - 3_299})
    assert reason_of(core, bust) == Reason.REJECT_INSUFFICIENT_FUNDS
    apply(core, fix_futures.deposit(1, 1))
    assert kinds(apply(core, bust)) == ["BUSTED", "POSITION"] * 2
    assert core.position(1, FUTURE).collateral == 3_300


def test_reject_under_orders_that_close(make: Make) -> None:
    """An order that holds no margin for the lots it closes does not lose them. Cancelled, it is no matter."""
    core = fix_futures.opened(make, RICH)
    bust = futures_trade(core, 1, 2, 10)
    futures_trade(core, 1, 2, 3)
    resting = int(apply(core, order(2, SELL, 150, 4))["order_id"][0])
    assert reason_of(core, bust) == Reason.REJECT_POSITION
    replaced = target(CommandKind.REPLACE, 2, resting, symbol=FUTURE, price_ticks=150, qty_lots=3)
    apply(core, replaced)
    assert kinds(apply(core, bust)) == ["BUSTED", "POSITION"] * 2
    assert core.position(2, FUTURE).lots == 3


def test_reject_beyond_the_bound(make: Make) -> None:
    """LIMIT_POSITION is for orders; the bound of the arithmetic is for everybody, the open orders counted."""
    config = CoreConfig(symbols=2, accounts=5, assets=4, orders=64, levels=64)
    core = make(config)
    bound = 40
    tick_value = AMOUNT_MAX // 1024 // config.accounts // fix_futures.HIGH // bound
    apply(core, fix_futures.future(0, 2, 1, aux=tick_value))
    apply(core, fix_futures.limit(Limit.MARGIN, 1, symbol=0, aux=1))
    for number in range(1, 5):
        apply(core, futures_account(number, 0, 0))
        apply(core, fix_futures.deposit(number, AMOUNT_MAX // 8, 1))
    apply(core, fix_futures.limit(Limit.POSITION, 5, symbol=0))
    fills = traded(core, order(1, SELL, 132, 5, symbol=0), order(2, BUY, 132, 5, symbol=0))
    bust = bust_of(fills, tick_value)
    apply(core, fix_futures.limit(Limit.POSITION, 0, symbol=0))
    traded(core, order(3, SELL, 132, 36, symbol=0), order(1, BUY, 132, 36, symbol=0))
    apply(core, order(1, BUY, 120, 5, symbol=0))
    assert reason_of(core, bust) == Reason.REJECT_POSITION  # 31 + 5 at rest + 5
    apply(core, {"kind": CommandKind.MASS_CANCEL, "symbol": 0, "account": 1})
    assert kinds(apply(core, bust)) == ["BUSTED", "POSITION"] * 2
    assert core.position(1, 0).lots == 36


def test_a_loss_beyond_the_collateral_is_the_venues(make: Make) -> None:
    """As in any trade: what the account lacks at the busted price is a DEFICIT, told beside its POSITION."""
    core = fix_futures.opened(make, RICH | {4: 10_000})
    bust = futures_trade(core, 4, 1, 10, price=150)
    futures_trade(core, 2, 4, 10, price=110)
    futures_trade(core, 4, 3, 10, price=110)
    apply(core, {"kind": CommandKind.WITHDRAW, "account": 4, "asset": QUOTE, "qty_lots": core.balance(4, QUOTE)[0]})
    collateral = core.position(4, FUTURE).collateral
    events = apply(core, bust)
    assert kinds(events) == ["BUSTED", "POSITION", "BUSTED", "POSITION", "DEFICIT"]
    assert (events["account"][4], events["qty_lots"][4]) == (4, 10 * 40 * TICK - collateral)
    assert core.balance(0, QUOTE)[0] == collateral - 10 * 40 * TICK


def test_of_what_the_venue_took_over(make: Make) -> None:
    """Account 0 needs no margin: it takes the other side of what it is asked for."""
    core = fix_futures.opened(make, RICH | {4: 4_000})
    bust = futures_trade(core, 1, 4, 10)
    apply(core, mark(124))
    apply(core, margin(4))
    apply(core, margin(4))
    apply(core, margin(4))
    assert core.position(0, FUTURE).lots == 10
    as_venue = bust | {"account": 0}
    assert kinds(apply(core, as_venue)) == ["BUSTED", "POSITION"] * 2
    assert core.position(0, FUTURE).lots == 0


def test_the_margin_stage_ends_with_the_position(make: Make) -> None:
    """A called position that a bust closes is called no more."""
    core = fix_futures.opened(make, RICH | {4: 4_000})
    bust = futures_trade(core, 1, 4, 10)
    apply(core, mark(124))
    apply(core, margin(4))
    assert core.position(4, FUTURE).stage != 0
    apply(core, bust)
    assert (core.position(4, FUTURE).lots, core.position(4, FUTURE).stage) == (0, 0)
    assert core.balance(4, QUOTE)[0] == 4_000


# ---- in a batch, and in a partial core ----


def test_in_a_batch_with_little_room(make: Make) -> None:
    """More events than there is room for at once: none is lost, and each bust has all of its own."""
    core = fix_futures.opened(make, RICH)
    bust = futures_trade(core, 1, 2, 4) | {"qty_lots": 1}
    other = bust | {"account": bust["session"] | 1 << 16, "session": bust["account"] & 0xFFFF}
    records = np.zeros(20_000, COMMAND)
    for name in bust:
        records[name] = np.where(np.arange(len(records)) % 2, other[name], bust[name])
    records["seq"] = core.last_seq + 1 + np.arange(len(records))
    records["time_ns"] = core.last_time_ns
    events, ends = core.apply(records)
    assert ends.tolist() == list(range(4, 80_001, 4))
    assert events["kind"].tolist() == [EventKind.BUSTED, EventKind.POSITION] * 40_000
    assert core.position(1, FUTURE).lots == -4
    core.check()
