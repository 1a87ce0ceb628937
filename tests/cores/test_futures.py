"""Futures by example, on both implementations: holds, positions, the margin ladder, every reason, exact to the unit.

Amounts are without fees unless a test says otherwise: a lot at 132 is worth 132 * 50 = 6,600, its initial margin of 5%
is 330 and its maintenance margin of 4% is 264.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cores import CommandFlag, CommandKind, EventFlag, EventKind, OrdType, Reason, Side, Tif
from cores.records import (
    AMOUNT_MAX,
    MARGIN_BP_MAX,
    ORDER_SLOT_NONE,
    POSITION_LOTS_MAX,
    QTY_LOTS_MAX,
    Fact,
    Limit,
    Phase,
    PositionView,
    Stage,
)
from tests.cores.fix_futures import (
    BASE,
    CONFIG,
    CONTRACT,
    FRESH,
    FUTURE,
    HIGH,
    LOW,
    OTHER,
    OTHER_CONTRACT,
    QUOTE,
    REFUSALS,
    SPOT,
    TICK,
    UNUSED,
    Fields,
    account,
    deposit,
    future,
    limit,
    margin,
    margins,
    mark,
    market,
    opened,
    order,
    phase,
    spot,
)

Make = Callable[..., Any]
BUY, SELL = Side.BUY, Side.SELL
RICH = dict.fromkeys((1, 2, 3, 4, 5), 1_000_000)


def signed(word: Any) -> int:
    return int(np.uint64(word).astype(np.int64))


def kinds(events: np.ndarray) -> list[str]:
    return [EventKind(kind).name for kind in events["kind"]]


def of_kind(events: np.ndarray, kind: EventKind) -> np.ndarray:
    return events[events["kind"] == kind]


def apply(core: Any, fields: Fields) -> np.ndarray:
    """Applies a command that must be accepted."""
    events = core.apply_one(**fields)
    assert events["kind"][0] not in REFUSALS, (fields, Reason(events["reason"][0]))
    core.check()
    return events


def place(core: Any, *args: Any, **changes: int) -> int:
    return int(apply(core, order(*args, **changes))["order_id"][0])


def trade(core: Any, buyer: int, seller: int, lots: int, price: int) -> np.ndarray:
    """The seller rests, the buyer takes; the events of the buyer's order."""
    place(core, seller, SELL, price, lots)
    return apply(core, order(buyer, BUY, price, lots))


def reason_of(core: Any, fields: Fields) -> Reason:
    """Of a command that must be refused, with one event and nothing changed but the number."""
    before = core.snapshot()
    (event,) = core.apply_one(**fields)
    assert event["kind"] in REFUSALS, (fields, event)
    after = core.snapshot()
    assert after[:64] + after[80:] == before[:64] + before[80:], fields
    return Reason(event["reason"])


def position(core: Any, number: int, symbol: int = FUTURE) -> tuple[int, int, int, Stage]:
    """Lots, cost, collateral, stage."""
    view = core.position(number, symbol)
    return view.lots, view.cost, view.collateral, Stage(view.stage)


def facts(core: Any, order_id: int) -> Fact:
    return Fact(core.find_order(FUTURE, order_id).facts)


# ---- what orders hold (F4) ----


def test_an_order_holds_its_fee_and_margin_on_both_sides(make: Make) -> None:
    core = opened(make, fees=(10, 25))
    ids = [place(core, 1, BUY, 130, 3), place(core, 1, SELL, 140, 4)]
    buy, sell = 130 * 3 * TICK, 140 * 4 * TICK
    held = buy * 25 // 10000 + buy * 500 // 10000 + sell * 25 // 10000 + sell * 500 // 10000
    assert core.balance(1, QUOTE) == (20_000, held, 0)
    view = core.position(1, FUTURE)
    assert (view.lots, view.open_buys, view.open_sells) == (0, 3, 4)
    assert [facts(core, order_id) for order_id in ids] == [Fact.FUTURE, Fact.FUTURE]
    for order_id in ids:
        apply(core, {"kind": CommandKind.CANCEL, "symbol": FUTURE, "account": 1, "order_id": order_id})
    assert core.balance(1, QUOTE) == (20_000, 0, 0)
    assert core.position(1, FUTURE) == PositionView(0, 0, 0, 0, 0, 0, 0, 0)


def test_stops_hold_nothing_but_count_as_open(make: Make) -> None:
    core = opened(make)
    for side, ord_type, price in ((BUY, OrdType.STOP, 0), (SELL, OrdType.STOP, 0), (SELL, OrdType.STOP_LIMIT, 120)):
        stop = 150 if side == BUY else 110
        place(core, 1, side, price, 2, ord_type=ord_type, order_id=stop)
    assert core.balance(1, QUOTE)[1] == 120 * 2 * TICK * 500 // 10000
    assert (core.position(1, FUTURE).open_buys, core.position(1, FUTURE).open_sells) == (2, 4)


def test_a_closing_order_holds_its_fee_alone(make: Make) -> None:
    """Of 10 lots long: sells of 6 and 4 close, another lot does not, and what was closing stays so."""
    core = opened(make, fees=(0, 25))
    trade(core, 1, 2, 10, 132)
    free = core.balance(1, QUOTE)[0]
    first, second, third = (place(core, 1, SELL, 140, lots) for lots in (6, 4, 1))
    assert [bool(facts(core, order_id) & Fact.CLOSING) for order_id in (first, second, third)] == [True, True, False]
    fee, margin_of_one = 140 * 25 * TICK // 10000, 140 * TICK * 500 // 10000
    held = 140 * 6 * TICK * 25 // 10000 + 140 * 4 * TICK * 25 // 10000 + fee + margin_of_one
    assert core.balance(1, QUOTE) == (free, held, 0)
    apply(core, {"kind": CommandKind.CANCEL, "symbol": FUTURE, "account": 1, "order_id": second})
    assert facts(core, third) == Fact.FUTURE, "decided when it came"
    replaced = {"kind": CommandKind.REPLACE, "symbol": FUTURE, "account": 1, "order_id": third, "price_ticks": 140}
    (event,) = apply(core, replaced | {"qty_lots": 1})
    assert event["flags"] == EventFlag.PRIORITY_KEPT
    assert facts(core, third) == Fact.FUTURE | Fact.CLOSING, "and when it is replaced"
    apply(core, replaced | {"qty_lots": 5})
    assert facts(core, third) == Fact.FUTURE
    assert core.balance(1, QUOTE)[1] == sum(140 * x * TICK * 25 // 10000 for x in (6, 5)) + 5 * 350


def test_a_closing_order_needs_no_margin_at_all(make: Make) -> None:
    """With nothing left, the position can be closed in any way, but not one lot opened."""
    core = opened(make, {1: 3_300, 2: 1_000_000, 3: 1_000_000})
    trade(core, 1, 2, 10, 132)
    assert core.balance(1, QUOTE) == (0, 0, 0)
    assert reason_of(core, order(1, BUY, 120, 1)) == Reason.REJECT_INSUFFICIENT_FUNDS
    assert reason_of(core, order(1, SELL, 120, 11)) == Reason.REJECT_INSUFFICIENT_FUNDS
    place(core, 3, BUY, 131, 10)
    apply(core, order(1, SELL, 120, 3))
    apply(core, market(1, SELL, 3))
    apply(core, order(1, SELL, 131, 4, tif=Tif.IOC))
    assert position(core, 1) == (0, 0, 0, Stage.NONE)
    assert core.balance(1, QUOTE) == (3_300 - 10 * TICK, 0, 0)


# ---- trades (F7, F8) ----


def test_a_position_opens_grows_shrinks_and_turns(make: Make) -> None:
    """Every amount of a long position of account 1, and its events."""
    core = opened(make, RICH)
    events = trade(core, 1, 2, 10, 132)
    assert kinds(events) == ["ACCEPTED", "FILL", "FILL", "POSITION", "POSITION"]
    short, long = events[3:]
    assert (long["account"], long["session"], long["asset"], long["side"]) == (1, 1, CONTRACT, BUY)
    assert (long["order_id"], long["price_ticks"], long["qty_lots"], long["leaves_lots"]) == (66_000, 132, 10, 3_300)
    assert (short["account"], short["side"], signed(short["order_id"])) == (2, SELL, -66_000)
    assert (short["qty_lots"], short["leaves_lots"], short["aux"]) == (10, 3_300, 0)

    trade(core, 1, 2, 5, 135)  # cost 66,000 + 33,750, margin 3,300 + 1,687
    assert position(core, 1) == (15, 99_750, 4_987, Stage.NONE)
    assert core.balance(1, QUOTE) == (1_000_000 - 4_987, 0, 0)

    events = trade(core, 2, 1, 4, 140)  # 4/15: cost 26,600, collateral 1,329; result 28,000 - 26,600
    last = of_kind(events, EventKind.POSITION)[0]
    assert (last["account"], signed(last["aux"]), last["order_id"]) == (1, 1_400, 73_150)
    assert position(core, 1) == (11, 73_150, 3_658, Stage.NONE)
    assert core.balance(1, QUOTE) == (1_000_000 - 4_987 + 1_329 + 1_400, 0, 0)

    events = trade(core, 2, 1, 14, 130)  # 11 close at 71,500, 3 open short at 19,500 with 975
    last = of_kind(events, EventKind.POSITION)[0]
    assert (last["side"], last["qty_lots"], signed(last["order_id"])) == (SELL, 3, -19_500)
    assert signed(last["aux"]) == 71_500 - 73_150
    assert position(core, 1) == (-3, -19_500, 975, Stage.NONE)
    assert core.balance(1, QUOTE) == (1_000_000 + 1_400 - 1_650 - 975, 0, 0)

    events = trade(core, 1, 2, 3, 120)
    last = of_kind(events, EventKind.POSITION)[1]
    assert (last["side"], last["qty_lots"], last["order_id"], last["leaves_lots"]) == (Side.NONE, 0, 0, 0)
    assert core.balance(1, QUOTE) == (1_000_000 + 1_400 - 1_650 + 1_500, 0, 0)
    assert core.balance(2, QUOTE) == (1_000_000 - 1_400 + 1_650 - 1_500, 0, 0)


def test_fees_come_out_of_the_balance(make: Make) -> None:
    """The resting order pays the maker's fee, the aggressor the taker's; both go to the venue."""
    core = opened(make, RICH, fees=(10, 25))
    events = trade(core, 1, 2, 10, 132)
    maker, taker = of_kind(events, EventKind.FILL)
    assert (maker["aux"], taker["aux"]) == (66, 165)
    assert [core.balance(number, QUOTE)[0] for number in (0, 1, 2)] == [231, 1_000_000 - 3_465, 1_000_000 - 3_366]


def test_a_rebate_is_part_of_the_takers_fee(make: Make) -> None:
    core = opened(make, RICH, fees=(-10, 25))
    trade(core, 1, 2, 10, 132)
    assert [core.balance(number, QUOTE)[0] for number in (0, 1, 2)] == [99, 1_000_000 - 3_465, 1_000_000 - 3_234]


def test_an_account_trades_with_itself(make: Make) -> None:
    """First as the resting one, then as the aggressor: its two events show both."""
    core = opened(make, RICH)
    first, second = of_kind(trade(core, 1, 1, 10, 132), EventKind.POSITION)
    assert (first["side"], first["qty_lots"], first["leaves_lots"]) == (SELL, 10, 3_300)
    assert (second["side"], second["qty_lots"], second["aux"]) == (Side.NONE, 0, 0)
    assert core.balance(1, QUOTE) == (1_000_000, 0, 0)


def test_the_order_of_events_with_icebergs_and_deficits(make: Make) -> None:
    """FILL, FILL, POSITION of the resting, of the aggressor with its DEFICIT, then REFRESHED."""
    core = opened(make, {1: 3_300, 2: 1_000_000, 3: 1_000_000})
    trade(core, 1, 2, 10, 132)
    place(core, 3, BUY, 100, 12, order_id=5)
    events = apply(core, market(1, SELL, 6))
    parts = ["FILL", "FILL", "POSITION", "POSITION", "DEFICIT", "REFRESHED"]
    assert kinds(events) == ["ACCEPTED", *parts, "FILL", "FILL", "POSITION", "POSITION", "DEFICIT"]
    deficit = events[5]  # 5 of 10 lots: 1,600 a lot lost, 1,650 of collateral back, and the rest of it covers
    assert (deficit["account"], deficit["asset"], deficit["qty_lots"]) == (1, QUOTE, 8_000 - 3_300)
    assert events["leaves_lots"][4] == 0
    assert position(core, 1) == (4, 26_400, 0, Stage.NONE)
    assert core.balance(0, QUOTE)[0] == -(4_700 + 1_600)
    assert core.balance(1, QUOTE) == (0, 0, 0)


def test_the_venue_gives_no_collateral_and_has_no_deficit(make: Make) -> None:
    core = opened(make, RICH)
    apply(core, deposit(0, 3_300))
    trade(core, 0, 2, 10, 132)
    assert position(core, 0) == (10, 66_000, 0, Stage.NONE)
    assert core.balance(0, QUOTE) == (3_300, 0, 0)
    events = trade(core, 2, 0, 10, 100)
    assert kinds(events) == ["ACCEPTED", "FILL", "FILL", "POSITION", "POSITION"]
    assert core.balance(0, QUOTE) == (3_300 - 16_000, 0, 0)
    for fields in (order(0, BUY, 130, 1), spot_order(0, BUY, 130, 1)):
        assert reason_of(core, fields) == Reason.REJECT_INSUFFICIENT_FUNDS
    withdraw = {"kind": CommandKind.WITHDRAW, "account": 0, "asset": QUOTE, "qty_lots": 1}
    assert reason_of(core, withdraw) == Reason.REJECT_INSUFFICIENT_FUNDS


def spot_order(number: int, side: Side, price: int, lots: int, **changes: int) -> Fields:
    return order(number, side, price, lots, symbol=SPOT) | changes


def test_an_uncross_makes_positions(make: Make) -> None:
    """Buyer first; orders' holds go back at their own prices, margin is taken at the one price."""
    core = opened(make, RICH)
    apply(core, phase(Phase.PRE_OPEN))
    place(core, 1, BUY, 140, 10)
    place(core, 2, SELL, 130, 6)
    place(core, 3, SELL, 135, 4)
    events = apply(core, phase(Phase.CONTINUOUS))
    one = ["FILL", "FILL", "POSITION", "POSITION"]
    assert kinds(events) == [*one, *one, "PHASE"]
    price = int(events["price_ticks"][-1])
    assert events["account"][:8].tolist() == [1, 2, 1, 2, 1, 3, 1, 3]
    assert set(events["price_ticks"][:8].tolist()) == {price}
    assert position(core, 1) == (10, price * 10 * TICK, sum(price * n * TICK * 500 // 10000 for n in (6, 4)), 0)
    for number in (1, 2, 3):
        balance, hold, _ = core.balance(number, QUOTE)
        assert (balance, hold) == (1_000_000 - position(core, number)[2], 0)


# ---- what may not trade or rest for want of funds (F6) ----


@pytest.mark.parametrize(("side", "second"), [(BUY, 133), (SELL, 131)])
def test_a_market_order_stops_where_its_margin_ends(make: Make, side: Side, second: int) -> None:
    """Of either side; a fill that it cannot margin in full does not happen, not even in part."""
    for missing in (1, 0):
        core = opened(make, {1: 330 * 3 + second * 2 * TICK * 500 // 10000 - missing, 2: 1_000_000})
        for price in (132, second):
            place(core, 2, BUY if side == SELL else SELL, price, 3)
        events = apply(core, market(1, side, 5))
        fills = ["FILL", "FILL", "POSITION", "POSITION"]
        assert kinds(events) == ["ACCEPTED", *fills, *(["CANCELLED"] if missing else fills)]
        if missing:
            assert (events["reason"][-1], events["qty_lots"][-1]) == (Reason.CANCEL_FUNDS, 2)
        assert abs(position(core, 1)[0]) == 5 - 2 * missing


def test_a_market_order_that_closes_never_stops_for_funds(make: Make) -> None:
    """Only lots that open need margin: turning round, it stops at the fill that opens too much."""
    core = opened(make, {1: 3_300, 2: 1_000_000, 3: 1_000_000})
    trade(core, 1, 2, 10, 132)
    place(core, 3, BUY, 131, 10)
    place(core, 3, BUY, 130, 20)
    events = apply(core, market(1, SELL, 10 + 9))
    fills = of_kind(events, EventKind.FILL)
    assert [int(e["qty_lots"]) for e in fills] == [10, 10]
    assert (events["reason"][-1], events["qty_lots"][-1]) == (Reason.CANCEL_FUNDS, 9)
    assert position(core, 1) == (0, 0, 0, Stage.NONE)


def test_what_is_left_rests_only_with_its_margin(make: Make) -> None:
    """Trading away from its own price, the order has lost what it would have to hold for the rest."""
    core = opened(make, {1: 6_400, 2: 1_000_000, 3: 1_000_000})
    trade(core, 1, 2, 10, 132)  # 3,100 left, of which the order holds 3,000
    place(core, 3, BUY, 102, 10)
    events = apply(core, order(1, SELL, 100, 12))
    assert kinds(events)[-1] == "CANCELLED"
    assert (events["reason"][-1], events["qty_lots"][-1], events["price_ticks"][-1]) == (Reason.CANCEL_FUNDS, 2, 100)
    assert core.open_orders(FUTURE) == 0
    assert core.balance(1, QUOTE) == (0, 0, 0)


def test_a_stop_in_a_call_rests_only_with_its_margin(make: Make) -> None:
    """S5: the cascade trips the collar, and the stops after it join the call if they can."""
    core = opened(make, RICH | {4: 100})
    apply(core, limit(Limit.COLLAR, 100))
    trade(core, 1, 2, 1, 130)
    poor = place(core, 4, SELL, 0, 1, ord_type=OrdType.STOP, order_id=129)
    rich = place(core, 5, SELL, 0, 1, ord_type=OrdType.STOP, order_id=129)
    place(core, 3, BUY, 129, 1)
    place(core, 3, BUY, 110, 5)
    events = apply(core, order(1, SELL, 110, 2))
    assert core.phase(FUTURE) == Phase.VOLATILITY
    gone = of_kind(events, EventKind.CANCELLED)
    assert [(int(e["order_id"]), Reason(e["reason"])) for e in gone] == [(poor, Reason.CANCEL_FUNDS)]
    assert facts(core, rich) & Fact.UNPRICED


def test_a_market_to_limit_order_becomes_priced_only_with_its_margin(make: Make) -> None:
    """P6.3: a sell without a price holds for the collar's low end; at the uncross it would need more."""
    core = opened(make, RICH | {4: 600, 5: 10_000})
    apply(core, phase(Phase.PRE_OPEN))
    for number in (4, 5):
        place(core, number, SELL, 0, 2, ord_type=OrdType.MARKET_TO_LIMIT)
    place(core, 1, BUY, 150, 1)
    events = apply(core, phase(Phase.CONTINUOUS))
    last = {int(e["account"]): (kinds(events[i : i + 1])[0], Reason(e["reason"])) for i, e in enumerate(events)}
    assert last[4] == ("CANCELLED", Reason.CANCEL_AUCTION)
    assert last[5] == ("RESTATED", Reason.CANCEL_AUCTION)
    assert core.balance(5, QUOTE)[1] == 150 * 2 * TICK * 500 // 10000


# ---- marks and the margin ladder (F9..F11) ----


def test_mark(make: Make) -> None:
    """In every phase; it says the open interest and the mark before."""
    core = opened(make, RICH)
    trade(core, 1, 2, 7, 132)
    for old, price in ((132, 140), (140, LOW), (LOW, HIGH)):
        (event,) = apply(core, mark(price) | {"account": 4, "session": 3})
        assert EventKind(event["kind"]) == EventKind.MARKED
        assert (event["price_ticks"], event["qty_lots"], event["aux"]) == (price, 7, old)
        assert core.mark_price(FUTURE) == price
        apply(core, phase(Phase.HALT if price == 140 else Phase.CLOSED if price == LOW else Phase.PRE_OPEN))
    assert core.mark_price(SPOT) == core.mark_price(77) == 0


def test_equity_and_what_is_needed(make: Make) -> None:
    """Equity = collateral + value - cost of a long position, the reverse of a short one."""
    core = opened(make, RICH)
    trade(core, 1, 2, 10, 132)
    apply(core, mark(125))
    value = 125 * 10 * TICK
    assert core.position(1, FUTURE) == PositionView(
        10, 66_000, 3_300, 3_300 + value - 66_000, value * 400 // 10000, 0, 0, 0
    )
    assert core.position(2, FUTURE) == PositionView(
        -10, -66_000, 3_300, 3_300 + 66_000 - value, value * 400 // 10000, 0, 0, 0
    )
    assert core.position(1, SPOT) is None
    assert core.position(77, FUTURE) is None


def called(make: Make, money: int = 3_400) -> Any:
    """Account 1 is long 10 lots bought at 132 with 3,300 of collateral and 100 left; account 3 bids."""
    core = opened(make, {1: money, 2: 1_000_000, 3: 1_000_000, 4: 1_000_000})
    trade(core, 1, 2, 10, 132)
    return core


def step(core: Any, **changes: int) -> np.ndarray:
    return apply(core, margin(1, **changes))


def test_the_ladder_from_top_to_bottom(make: Make) -> None:
    """Kept, topped up, called, liquidated in part, taken over: each step and its money."""
    core = called(make)
    assert reason_of(core, margin(1)) == Reason.REJECT_MARGIN_KEPT
    apply(core, mark(131))  # equity 2,800, needed 2,620
    assert reason_of(core, margin(1)) == Reason.REJECT_MARGIN_KEPT

    apply(core, deposit(1, 50))
    apply(core, mark(130))  # equity 2,300 < 2,600, initial 3,250: 950 wanted, 150 there
    (event,) = step(core)
    assert EventKind(event["kind"]) == EventKind.MARGIN
    assert (event["account"], event["session"], event["asset"], event["price_ticks"]) == (1, 9, CONTRACT, 130)
    assert (event["qty_lots"], event["aux"], Stage(event["leaves_lots"])) == (2_450, 2_600, Stage.CALLED)
    assert position(core, 1) == (10, 66_000, 3_450, Stage.CALLED)
    assert core.balance(1, QUOTE) == (0, 0, 0)

    place(core, 3, BUY, 129, 4)
    closing = place(core, 1, SELL, 140, 2)
    events = step(core)
    assert kinds(events) == ["CANCELLED", "MARGIN", "FILL", "FILL", "POSITION", "POSITION"]
    assert (events["order_id"][0], Reason(events["reason"][0])) == (closing, Reason.CANCEL_MARGIN)
    assert Stage(events["leaves_lots"][1]) == Stage.LIQUIDATED
    fill = events[3]
    assert (fill["order_id"], fill["flags"]) == (core.last_seq << 24 | ORDER_SLOT_NONE, EventFlag.AGGRESSOR)
    assert (fill["account"], fill["session"], fill["leaves_lots"]) == (1, 9, 6)
    assert position(core, 1) == (6, 39_600, 2_070, Stage.LIQUIDATED)
    assert core.balance(1, QUOTE) == (1_380 - 600, 0, 0)

    apply(core, mark(110))
    closing = place(core, 1, SELL, 140, 2)
    events = step(core)
    assert kinds(events) == ["CANCELLED", "MARGIN", "POSITION", "DEFICIT", "POSITION"]
    assert (signed(events["qty_lots"][1]), events["leaves_lots"][1]) == (2_850 + 33_000 - 39_600, Stage.TAKEN_OVER)
    assert events["price_ticks"][2] == events["price_ticks"][4] == 110
    assert (events["account"][3], events["qty_lots"][3]) == (1, 6_600 - 2_850)
    assert (events["account"][4], events["session"][4], events["side"][4]) == (0, 0, BUY)
    assert position(core, 1) == (0, 0, 0, Stage.NONE)
    assert position(core, 0) == (6, 33_000, 0, Stage.NONE)
    assert (core.balance(0, QUOTE)[0], core.balance(1, QUOTE)[0]) == (-3_750, 0)
    assert core.last_price(FUTURE)[0] == 129, "a take-over is no trade of the market"
    assert reason_of(core, margin(1)) == Reason.REJECT_NO_POSITION


def test_money_on_time_lifts_the_call(make: Make) -> None:
    core = called(make, 3_300)
    apply(core, mark(130))
    step(core)
    apply(core, deposit(1, 10_000))
    (event,) = step(core)
    assert (event["leaves_lots"], event["qty_lots"]) == (Stage.NONE, 3_250), "up to the initial margin"
    assert core.balance(1, QUOTE) == (10_000 - 950, 0, 0)
    assert reason_of(core, margin(1)) == Reason.REJECT_MARGIN_KEPT


def test_the_market_coming_back_lifts_the_call(make: Make) -> None:
    core = called(make, 3_300)
    apply(core, mark(130))
    step(core)
    apply(core, mark(132))
    (event,) = step(core)
    assert (event["leaves_lots"], event["qty_lots"], event["aux"]) == (Stage.NONE, 3_300, 2_640)
    assert position(core, 1)[3] == Stage.NONE


def test_under_a_call_only_what_closes_is_taken(make: Make) -> None:
    core = called(make)
    apply(core, mark(120))
    step(core)
    apply(core, deposit(1, 100_000))
    assert reason_of(core, order(1, BUY, 120, 1)) == Reason.REJECT_MARGIN_CALLED
    assert reason_of(core, order(1, SELL, 120, 11)) == Reason.REJECT_MARGIN_CALLED
    closing = place(core, 1, SELL, 150, 6)
    assert reason_of(core, order(1, SELL, 120, 5)) == Reason.REJECT_MARGIN_CALLED
    replaced = {"kind": CommandKind.REPLACE, "symbol": FUTURE, "account": 1, "order_id": closing, "price_ticks": 150}
    assert reason_of(core, replaced | {"qty_lots": 11}) == Reason.REJECT_MARGIN_CALLED
    apply(core, replaced | {"qty_lots": 10})
    place(core, 1, BUY, 120, 1, symbol=OTHER)


def test_closing_in_full_ends_the_call(make: Make) -> None:
    """Also when the same trade turns the position round: what is new was not called."""
    core = called(make, 8_000)
    rest = place(core, 1, SELL, 121, 15)
    assert not facts(core, rest) & Fact.CLOSING
    apply(core, mark(120))
    step(core)
    apply(core, order(2, BUY, 121, 15))
    lots, _, _, stage = position(core, 1)
    assert (lots, stage) == (-5, Stage.NONE)


def test_a_liquidation_keeps_within_the_band_and_triggers_stops(make: Make) -> None:
    """It trips no collar, says nothing of what is left, meets its own group, and elects stops like any trade."""
    core = called(make)
    for number in (1, 3):
        apply(core, account(number, 0, 0, order_id=7, price_ticks=1))
    apply(core, limit(Limit.COLLAR, 300))
    place(core, 3, BUY, 130, 4)
    place(core, 3, BUY, 120, 4)
    stop = place(core, 4, SELL, 0, 1, ord_type=OrdType.STOP, order_id=130)
    apply(core, mark(120))
    step(core)
    events = step(core)
    assert kinds(events) == ["MARGIN", "FILL", "FILL", "POSITION", "POSITION", "TRIGGERED", "PHASE", "CANCELLED"]
    assert events["order_id"][5] == events["order_id"][7] == stop
    assert Reason(events["reason"][7]) == Reason.CANCEL_VOLATILITY
    assert position(core, 1)[0] == 6
    assert core.phase(FUTURE) == Phase.VOLATILITY


def test_a_liquidation_waits_for_continuous_trading(make: Make) -> None:
    """BAD_PHASE, and not a unit moves; a top-up that is enough needs no market."""
    core = called(make)
    apply(core, mark(120))
    step(core)
    apply(core, deposit(1, 10))
    apply(core, phase(Phase.HALT))
    assert reason_of(core, margin(1)) == Reason.REJECT_BAD_PHASE
    apply(core, deposit(1, 10_000))
    (event,) = step(core)
    assert event["leaves_lots"] == Stage.NONE


def test_settlement(make: Make) -> None:
    """In CLOSED all positions go to the venue at the mark price; it is flat when all have."""
    core = called(make)
    trade(core, 3, 2, 5, 135)
    waiting = place(core, 2, SELL, 150, 1, tif=Tif.GTC)
    apply(core, mark(131))
    assert reason_of(core, margin(2, flags=CommandFlag.MARGIN_SETTLE)) == Reason.REJECT_BAD_PHASE
    apply(core, phase(Phase.CLOSED))
    events = apply(core, margin(2, flags=CommandFlag.MARGIN_SETTLE))
    assert kinds(events) == ["CANCELLED", "MARGIN", "POSITION", "POSITION"]
    assert (events["order_id"][0], Reason(events["reason"][0])) == (waiting, Reason.CANCEL_MARGIN)
    assert (events["leaves_lots"][1], events["flags"][1]) == (Stage.SETTLED, CommandFlag.MARGIN_SETTLE)
    assert signed(events["aux"][2]) == 66_000 + 33_750 - 131 * 15 * TICK
    for number in (1, 3):
        apply(core, margin(number, flags=CommandFlag.MARGIN_SETTLE))
    assert [position(core, number)[0] for number in range(5)] == [0] * 5
    gains = {1: -500, 2: 1_500, 3: -1_000}
    for number, gain in gains.items():
        assert core.balance(number, QUOTE) == ((3_400 if number == 1 else 1_000_000) + gain, 0, 0)
    assert core.balance(0, QUOTE) == (0, 0, 0)
    apply(core, future(aux=TICK * 2, flags=CommandFlag.INSTRUMENT_FUTURE))
    assert core.mark_price(FUTURE) == 0, "other terms forget the mark"


# ---- instruments and limits (F1..F3, F5) ----


def test_reject_position_by_limit(make: Make) -> None:
    """Counted as if all open orders of the side traded; the limit may be set below what is there."""
    core = opened(make, RICH)
    trade(core, 1, 2, 6, 132)
    apply(core, limit(Limit.POSITION, 10))
    place(core, 1, BUY, 120, 2)
    place(core, 1, BUY, 0, 1, ord_type=OrdType.STOP, order_id=150)
    assert reason_of(core, order(1, BUY, 120, 2)) == Reason.REJECT_POSITION
    grown = place(core, 1, BUY, 120, 1)
    replaced = {"kind": CommandKind.REPLACE, "symbol": FUTURE, "account": 1, "order_id": grown, "price_ticks": 120}
    assert reason_of(core, replaced | {"qty_lots": 2}) == Reason.REJECT_POSITION
    apply(core, replaced | {"qty_lots": 1})
    assert reason_of(core, order(1, SELL, 150, 17)) == Reason.REJECT_POSITION
    place(core, 1, SELL, 150, 16)
    apply(core, limit(Limit.POSITION, 1))
    assert reason_of(core, order(2, SELL, 140, 1)) == Reason.REJECT_POSITION
    place(core, 2, BUY, 120, 7)


def test_reject_position_by_the_bound(make: Make) -> None:
    """F2: all positions of all accounts together stay far below AMOUNT_MAX."""
    core = opened(make, RICH)
    apply(core, future(3, UNUSED, aux=1 << 30))
    apply(core, margins(1, 1, symbol=3))
    bound = AMOUNT_MAX // 1024 // CONFIG.accounts // (HIGH << 30)
    assert 1 < bound < POSITION_LOTS_MAX
    assert reason_of(core, order(1, BUY, 120, bound + 1, symbol=3)) == Reason.REJECT_POSITION
    assert reason_of(core, order(1, BUY, 120, bound, symbol=3)) == Reason.REJECT_INSUFFICIENT_FUNDS
    assert reason_of(core, order(1, BUY, 120, QTY_LOTS_MAX)) == Reason.REJECT_POSITION


def test_reject_position_by_open_orders(make: Make) -> None:
    """A short position leaves room for twice the bound in buys, but open lots have 31 bits in the state."""
    core = make(CONFIG)
    for fields in (future(0), margins(1, 1, symbol=0), account(1, 0, 0), account(2, 0, 0)):
        apply(core, fields)
    apply(core, future(0, price_ticks=1, qty_lots=10, aux=1, flags=CommandFlag.INSTRUMENT_FUTURE))
    for number in (1, 2):
        apply(core, deposit(number, 1 << 60))
    most = POSITION_LOTS_MAX
    place(core, 2, BUY, 5, most, symbol=0)
    apply(core, order(1, SELL, 5, most, symbol=0))
    place(core, 1, BUY, 3, most, symbol=0)
    assert reason_of(core, order(1, BUY, 3, 1, symbol=0)) == Reason.REJECT_POSITION
    assert (position(core, 1, 0)[0], core.position(1, 0).open_buys) == (-most, most)


def test_reject_what_a_market_order_in_a_future_cannot_be(make: Make) -> None:
    core = opened(make, RICH)
    flags = CommandFlag.ALL_OR_NONE
    assert reason_of(core, market(1, BUY, 5, flags=flags)) == Reason.REJECT_BAD_FLAGS
    assert reason_of(core, market(1, BUY, 5, tif=Tif.FOK)) == Reason.REJECT_BAD_TIF
    assert reason_of(core, market(1, BUY, 5, tif=Tif.FOK, flags=flags)) == Reason.REJECT_BAD_TIF
    assert reason_of(core, market(1, BUY, 5, aux=1)) == Reason.REJECT_BAD_MIN_QTY
    for taken in ({"flags": int(flags)}, {"tif": Tif.FOK}, {"aux": 1}):
        apply(core, order(1, BUY, 120, 5, **taken))


def owing(core: Any, make: Make) -> Any:
    """The same core with account 0 below -2^60, where no test can bring it, and account 1 with what it lacks."""
    slots = np.frombuffer(core.snapshot(), np.uint64).reshape(-1, 8).copy()
    start = [index for index in range(len(slots)) if slots[index, 0] == 1 and slots[index, 1] == 1_000_000]
    debt = (1 << 60) + 1
    venue = [QUOTE, (1 << 64) - debt, 0, 0, 0, 0, 0, 0]
    slots[start[0], 1] = 1_000_000 + debt
    head = start[0] - 5  # account 0 has two slots, account 1 three before this one
    assert (slots[head, 0], slots[head, 3]) == (0, 1)
    slots[head, 3] = 2
    slots = np.insert(slots, head + 2, np.array(venue, np.uint64), axis=0)
    restored = make.restore(slots.tobytes())  # type: ignore[attr-defined]
    restored.check()
    return restored


def test_reject_when_the_venue_owes_too_much(make: Make) -> None:
    """Deficits end at 2^60: below that no order in a future is taken, and any other is."""
    core = owing(opened(make, RICH), make)
    assert reason_of(core, order(1, BUY, 120, 1)) == Reason.REJECT_INSUFFICIENT_FUNDS
    assert 0 in core.dirty_accounts().tolist()
    apply(core, spot_order(1, BUY, 120, 1))
    apply(core, deposit(0, 1))
    apply(core, order(1, BUY, 120, 1))


def test_reject_a_bust_when_the_venue_owes_too_much(make: Make) -> None:
    """It is a trade in the future like any other; in spot the venue gives the fees alone, and there are none."""
    core = owing(opened(make, RICH), make)
    trade = {"kind": CommandKind.BUST, "account": 2, "session": 3, "order_id": 1 << 24, "price_ticks": 120}
    trade |= {"qty_lots": 1, "aux": 0, "symbol": FUTURE}
    assert reason_of(core, trade) == Reason.REJECT_INSUFFICIENT_FUNDS
    assert kinds(apply(core, trade | {"symbol": SPOT})) == ["BUSTED", "BUSTED"]
    apply(core, deposit(0, 1))
    assert kinds(apply(core, trade)) == ["BUSTED", "POSITION"] * 2


REJECTS: dict[str, tuple[Reason, Fields]] = {
    "flags above 3": (Reason.REJECT_BAD_FLAGS, future(4, FRESH, flags=4)),
    "an asset with supply": (Reason.REJECT_BAD_ASSET, future(4, 5)),
    "another's base": (Reason.REJECT_BAD_ASSET, future(4, BASE)),
    "another's quote": (Reason.REJECT_BAD_ASSET, future(4, QUOTE, FRESH)),
    "another's contract": (Reason.REJECT_BAD_ASSET, future(4, CONTRACT)),
    "a contract for quote": (Reason.REJECT_BAD_ASSET, future(4, FRESH, CONTRACT)),
    "spot in a contract": (Reason.REJECT_BAD_ASSET, spot(4, CONTRACT)),
    "spot quoted in a contract": (Reason.REJECT_BAD_ASSET, spot(4, FRESH, CONTRACT)),
    "an asset with a gross limit": (Reason.REJECT_BAD_ASSET, future(4, 6)),
    "lots of two": (Reason.REJECT_BAD_INSTRUMENT, future(4, FRESH, order_id=2)),
    "no lot is small enough": (Reason.REJECT_BAD_INSTRUMENT, future(4, FRESH, aux=AMOUNT_MAX >> 9)),
    "spot becomes a future": (Reason.REJECT_BAD_INSTRUMENT, future(SPOT, FRESH)),
    "a future becomes spot": (Reason.REJECT_BAD_INSTRUMENT, spot(FUTURE, BASE)),
    "another contract": (Reason.REJECT_BAD_INSTRUMENT, future(FUTURE, FRESH)),
    "an order is open": (Reason.REJECT_BOOK_NOT_EMPTY, future(OTHER, OTHER_CONTRACT)),
    "a position is open": (Reason.REJECT_BOOK_NOT_EMPTY, future(FUTURE)),
    "deposit of a contract": (Reason.REJECT_BAD_ASSET, deposit(1, 5, CONTRACT)),
    "withdrawal of a contract": (
        Reason.REJECT_BAD_ASSET,
        {"kind": CommandKind.WITHDRAW, "account": 1, "asset": CONTRACT, "qty_lots": 1},
    ),
    "credit in a contract": (Reason.REJECT_BAD_ASSET, limit(Limit.CREDIT, 5, account=1, asset=CONTRACT)),
    "gross limit on a contract": (Reason.REJECT_BAD_ASSET, limit(Limit.GROSS, 5, account=1, asset=CONTRACT)),
    "deposit of a contract to nobody": (Reason.REJECT_UNKNOWN_ACCOUNT, deposit(77, 5, CONTRACT)),
    "margin of spot": (Reason.REJECT_BAD_INSTRUMENT, margins(500, 400, symbol=SPOT)),
    "margin of nothing": (Reason.REJECT_UNKNOWN_SYMBOL, margins(500, 400, symbol=9)),
    "no maintenance": (Reason.REJECT_BAD_AMOUNT, margins(500, 0)),
    "maintenance above initial": (Reason.REJECT_BAD_AMOUNT, margins(500, 501)),
    "initial above all": (Reason.REJECT_BAD_AMOUNT, margins(MARGIN_BP_MAX + 1, 400)),
    "initial under open orders": (Reason.REJECT_BOOK_NOT_EMPTY, margins(501, 400, symbol=OTHER)),
    "position limit of spot": (Reason.REJECT_BAD_INSTRUMENT, limit(Limit.POSITION, 5, symbol=SPOT)),
    "position limit of nothing": (Reason.REJECT_UNKNOWN_SYMBOL, limit(Limit.POSITION, 5, symbol=9)),
    "position limit above all": (Reason.REJECT_BAD_AMOUNT, limit(Limit.POSITION, QTY_LOTS_MAX + 1)),
    "limit of no kind": (Reason.REJECT_UNSUPPORTED, limit(13, 5)),  # type: ignore[arg-type]
    "fees under an order that holds nothing": (Reason.REJECT_BAD_ACCOUNT, account(3, 0, 25)),
    "mark of nothing": (Reason.REJECT_UNKNOWN_SYMBOL, mark(132, 9)),
    "mark with a flag": (Reason.REJECT_BAD_FLAGS, mark(132) | {"flags": 1}),
    "mark of spot": (Reason.REJECT_BAD_INSTRUMENT, mark(132, SPOT)),
    "mark below the window": (Reason.REJECT_PRICE_OUT_OF_COLLAR, mark(LOW - 1)),
    "mark above the window": (Reason.REJECT_PRICE_OUT_OF_COLLAR, mark(HIGH + 1)),
    "margin step in nothing": (Reason.REJECT_UNKNOWN_SYMBOL, margin(1, symbol=9)),
    "margin step of nobody": (Reason.REJECT_UNKNOWN_ACCOUNT, margin(77)),
    "margin step with a flag": (Reason.REJECT_BAD_FLAGS, margin(1, flags=2)),
    "margin step in spot": (Reason.REJECT_BAD_INSTRUMENT, margin(1, symbol=SPOT)),
    "margin step of the venue": (Reason.REJECT_NO_POSITION, margin(0)),
    "margin step of a flat account": (Reason.REJECT_NO_POSITION, margin(4)),
    "margin step without a mark": (Reason.REJECT_NO_MARK, margin(1, symbol=3)),
    "margin step of what is margined": (Reason.REJECT_MARGIN_KEPT, margin(1)),
    "settled too early": (Reason.REJECT_BAD_PHASE, margin(1, flags=CommandFlag.MARGIN_SETTLE)),
    "over the position limit": (Reason.REJECT_POSITION, order(1, BUY, 120, 95)),
    "called": (Reason.REJECT_MARGIN_CALLED, order(5, BUY, 120, 1)),
}
"""Reasons by command, in the state of `rejecting_core`; 35..39 are all here."""


def rejecting_core(make: Make) -> Any:
    """Symbol 3 is a future of asset 4 without a mark, with positions; 5 is a called account; asset 5 has a supply and
    6 a gross limit; account 3 has an order in OTHER that holds nothing."""
    core = opened(make, RICH | {5: 3_300})
    trade(core, 1, 2, 10, 132)
    trade(core, 5, 2, 10, 132)
    apply(core, mark(130))
    apply(core, margin(5))
    apply(core, mark(132))
    place(core, 3, BUY, 0, 1, ord_type=OrdType.STOP, order_id=150, symbol=OTHER)
    apply(core, future(3, UNUSED))
    place(core, 1, BUY, 120, 1, symbol=3)
    apply(core, order(2, SELL, 120, 1, symbol=3))
    apply(core, limit(Limit.POSITION, 100))
    apply(core, deposit(1, 5, 5))
    apply(core, limit(Limit.GROSS, 0, account=1, asset=6))
    return core


@pytest.mark.parametrize("name", REJECTS)
def test_reject(make: Make, name: str) -> None:
    reason, fields = REJECTS[name]
    assert reason_of(rejecting_core(make), fields) == reason


TESTED_REASONS = {reason for reason, _ in REJECTS.values()}
"""What a test that every reason of the core is tested may add to its own."""


def test_every_reason_of_futures_is_tested() -> None:
    ours = {Reason.REJECT_POSITION, Reason.REJECT_MARGIN_CALLED, Reason.REJECT_NO_POSITION, Reason.REJECT_MARGIN_KEPT}
    assert ours | {Reason.REJECT_NO_MARK} <= TESTED_REASONS


def test_a_future_is_redefined_only_flat(make: Make) -> None:
    """It keeps its margins and its limit; a future may be created closed."""
    core = opened(make, RICH)
    apply(core, limit(Limit.POSITION, 7))
    apply(core, future(qty_lots=HIGH - 1))
    assert core.mark_price(FUTURE) == 0
    assert core.walk_symbol(FUTURE)[2].tolist() == [0, 500 | 400 << 32, 7, 0, 0, 0, 0, 0]
    apply(core, future(3, UNUSED, flags=CommandFlag.INSTRUMENT_FUTURE | CommandFlag.INSTRUMENT_CLOSED))
    assert core.phase(3) == Phase.CLOSED
    assert core.walk_symbol(3)[2].tolist() == [0, 10_000 | 10_000 << 32, 0, 0, 0, 0, 0, 0]


def test_the_state_of_a_future(make: Make) -> None:
    """Uses of the assets, the future's slot, and the contract's slot in an account."""
    core = opened(make, RICH)
    trade(core, 1, 2, 10, 132)
    place(core, 2, SELL, 150, 3)
    place(core, 2, BUY, 110, 4)
    uses = core.walk_config()[2 : 2 + CONFIG.assets, 3].tolist()
    assert uses == [1, 1, 2 + FUTURE, 2 + OTHER, 0, 0, 0, 0]
    assert core.walk_symbol(FUTURE)[1, 6] == 1 and core.walk_symbol(SPOT)[1, 6] == 0
    assert core.walk_symbol(FUTURE)[2].tolist() == [132, 500 | 400 << 32, 0, 10, 0, 0, 0, 0]
    slot = core.walk_account(2)[-1]
    assert [signed(word) for word in slot[:5]] == [CONTRACT, -10, 4 | 3 << 31, -66_000, 3_300]
    assert core.balance(2, CONTRACT) == (-10, 0, 0)
