"""Each rule by example, on both implementations: matching, changing and money. Reject reasons: test_reasons.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cores import CommandFlag, CommandKind, CoreConfig, EventFlag, EventKind, Reason, Side, Tif
from cores.records import AMOUNT_MAX, PRICE_TICKS_MAX
from tests.cores.fix_cores import (
    LOT_SIZE,
    PRICE_HIGH,
    SMALL,
    TICK_VALUE,
    account,
    deposit,
    funded,
    instrument,
    market,
    new,
)

Make = Callable[..., Any]
BUY, SELL = Side.BUY, Side.SELL
BASE, QUOTE = 0, 1


def kinds(events: np.ndarray) -> list[str]:
    return [EventKind(kind).name for kind in events["kind"]]


def order_id(events: np.ndarray) -> int:
    return int(events["order_id"][0])


def place(core: Any, *args: Any, **fields: Any) -> int:
    """Enters an order that must be accepted; its id."""
    events = core.apply_one(**new(*args, **fields))
    assert kinds(events)[0] == "ACCEPTED", events
    return order_id(events)


def target(command: CommandKind, number: int, order: int, **fields: int) -> dict[str, int]:
    return {"kind": command, "account": number, "order_id": order} | fields


FROZEN = account(3, flags=CommandFlag.ACCOUNT_FROZEN)

# ---- matching ----


def test_price_then_time(make: Make) -> None:
    """The best price first, first in first at a price, always at the resting order's price."""
    core = funded(make)
    late_best = [place(core, 1, SELL, price, 3) for price in (121, 120, 121, 120)]
    events = core.apply_one(**new(2, BUY, 125, 10))
    fills = events[1:]
    assert [int(e["order_id"]) for e in fills[::2]] == [late_best[i] for i in (1, 3, 0, 2)]
    assert fills["price_ticks"].tolist() == [120] * 4 + [121] * 4
    assert fills["leaves_lots"].tolist() == [0, 7, 0, 4, 0, 1, 2, 0]
    assert fills["flags"].tolist() == [0, EventFlag.AGGRESSOR] * 4
    assert events["exec_id"].tolist() == [core.last_seq << 24 | i for i in range(len(events))]


def test_ids_are_sequence_and_lowest_free_slot(make: Make) -> None:
    core = funded(make)
    first = [place(core, 1, BUY, 110, 1) for _ in range(4)]
    assert [order & 0xFFFFFF for order in first] == [0, 1, 2, 3]
    core.apply_one(**target(CommandKind.CANCEL, 1, first[2]))
    core.apply_one(**target(CommandKind.CANCEL, 1, first[0]))
    assert place(core, 1, BUY, 110, 1) == core.last_seq << 24
    assert place(core, 1, BUY, 110, 1) == core.last_seq << 24 | 2
    assert order_id(core.apply_one(**new(1, BUY, 109, 1, tif=Tif.IOC))) & 0xFFFFFF == 4
    assert place(core, 1, BUY, 110, 1) & 0xFFFFFF == 4


@pytest.mark.parametrize(
    ("fields", "expected", "reason"),
    [
        (new(2, BUY, 120, 8, tif=Tif.IOC), ["ACCEPTED", "FILL", "FILL", "CANCELLED"], Reason.CANCEL_IOC),
        (new(2, BUY, 119, 8, tif=Tif.IOC), ["ACCEPTED", "CANCELLED"], Reason.CANCEL_IOC),
        (new(2, BUY, 120, 5, tif=Tif.FOK), ["ACCEPTED", "FILL", "FILL"], None),
        (new(2, BUY, 120, 6, tif=Tif.FOK), ["ACCEPTED", "CANCELLED"], Reason.CANCEL_FOK),
        (new(2, BUY, 122, 10, tif=Tif.FOK), ["ACCEPTED", "FILL", "FILL", "FILL", "FILL"], None),
        (market(2, BUY, 11, tif=Tif.FOK), ["ACCEPTED", "CANCELLED"], Reason.CANCEL_FOK),
        (market(2, BUY, 11, tif=Tif.DAY), ["ACCEPTED", *["FILL"] * 4, "CANCELLED"], Reason.CANCEL_IOC),
        (new(2, BUY, 120, 8, aux=6), ["ACCEPTED", "CANCELLED"], Reason.CANCEL_MIN_QTY),
        (new(2, BUY, 120, 8, aux=5), ["ACCEPTED", "FILL", "FILL"], None),
        (new(2, BUY, 119, 8, flags=1), ["ACCEPTED"], None),
        (new(2, BUY, 119, 8, flags=1, aux=1), ["ACCEPTED", "CANCELLED"], Reason.CANCEL_MIN_QTY),
        (new(2, SELL, 120, 8, flags=1), ["ACCEPTED"], None),
    ],
)
def test_time_in_force_and_conditions(
    make: Make, fields: dict[str, int], expected: list[str], reason: Reason | None
) -> None:
    """Against 5 lots at 120 and 5 at 122."""
    core = funded(make)
    place(core, 1, SELL, 120, 5)
    place(core, 1, SELL, 122, 5)
    events = core.apply_one(**fields)
    assert kinds(events) == expected
    if reason:
        last = events[-1]
        filled = sum(int(e["qty_lots"]) for e in events if e["flags"] == EventFlag.AGGRESSOR)
        assert (last["reason"], last["qty_lots"], last["leaves_lots"]) == (reason, fields["qty_lots"] - filled, 0)
    core.check()


def test_market_price_is_ignored(make: Make) -> None:
    core = funded(make)
    place(core, 1, SELL, PRICE_HIGH, 5)
    events = core.apply_one(**market(2, BUY, 5, price_ticks=1))
    assert kinds(events) == ["ACCEPTED", "FILL", "FILL"]
    assert events["price_ticks"].tolist() == [0, PRICE_HIGH, PRICE_HIGH]


def test_market_buy_ends_where_its_funds_end(make: Make) -> None:
    """Pays as it goes; a fill that it cannot pay in full does not happen, not even in part."""
    core = make(SMALL)
    core.apply_one(**instrument())
    for number in (1, 2):
        core.apply_one(**account(number, 0, 100))
        core.apply_one(**deposit(number, BASE, 1_000))
    core.apply_one(**deposit(2, QUOTE, 120 * 5 * 3 + 18 + 5))
    for price in (120, 121):
        place(core, 1, SELL, price, 3)
    events = core.apply_one(**market(2, BUY, 5))
    assert kinds(events) == ["ACCEPTED", "FILL", "FILL", "CANCELLED"]
    assert (events["reason"][-1], events["qty_lots"][-1]) == (Reason.CANCEL_FUNDS, 2)
    assert core.balance(2, QUOTE) == (5, 0, 0)
    for fields, reason in ((market(2, BUY, 3, tif=Tif.FOK), Reason.CANCEL_FOK), (market(2, BUY, 3, aux=1), None)):
        last = core.apply_one(**fields)[-1]
        assert (last["kind"], last["reason"]) == (EventKind.CANCELLED, reason or Reason.CANCEL_MIN_QTY)
    core.check()


def test_market_buy_of_its_own_sell_gets_its_money_back(make: Make) -> None:
    """The check ahead of a FOK counts the proceeds as matching does, fill by fill."""
    core = make(SMALL)
    core.apply_one(**instrument())
    core.apply_one(**account(1, 0, 0))
    core.apply_one(**deposit(1, BASE, 1_000))
    core.apply_one(**deposit(1, QUOTE, 120 * 5))
    for _ in range(4):
        place(core, 1, SELL, 120, 1)
    assert kinds(core.apply_one(**market(1, BUY, 4, tif=Tif.FOK))) == ["ACCEPTED", *["FILL"] * 8]
    core.check()


# ---- REPLACE, MASS_CANCEL, TIME ----


def queue(core: Any, price: int) -> list[int]:
    words = core.walk_symbol(0)[1:]
    return [int(word[0]) for word in words if word[2] == price]


def test_replace_down_keeps_the_place_and_up_loses_it(make: Make) -> None:
    """ROE-32"""
    core = funded(make)
    a, b, c = (place(core, 1, BUY, 110, 5) for _ in range(3))
    (event,) = core.apply_one(**target(CommandKind.REPLACE, 1, a, price_ticks=110, qty_lots=2))
    assert (event["flags"], event["leaves_lots"], queue(core, 110)) == (EventFlag.PRIORITY_KEPT, 2, [a, b, c])
    (event,) = core.apply_one(**target(CommandKind.REPLACE, 1, a, price_ticks=110, qty_lots=3))
    assert (event["flags"], event["leaves_lots"], queue(core, 110)) == (0, 3, [b, c, a])
    core.apply_one(**target(CommandKind.REPLACE, 1, b, price_ticks=111, qty_lots=5))
    assert queue(core, 111) == [b] and queue(core, 110) == [c, a]
    core.check()


def test_replace_into_the_other_side_trades(make: Make) -> None:
    """REPLACED first, then the fills under the old id; done orders free their slot."""
    core = funded(make)
    sell = place(core, 2, SELL, 120, 4)
    buy = place(core, 1, BUY, 110, 3)
    events = core.apply_one(**target(CommandKind.REPLACE, 1, buy, price_ticks=120, qty_lots=3))
    assert kinds(events) == ["REPLACED", "FILL", "FILL"]
    assert events["order_id"].tolist() == [buy, sell, buy]
    assert core.find_order(0, buy) is None and core.find_order(0, sell).leaves_lots == 1
    core.check()


def test_replace_of_post_only_may_not_trade(make: Make) -> None:
    core = funded(make)
    place(core, 2, SELL, 120, 4)
    buy = place(core, 1, BUY, 110, 3, flags=CommandFlag.POST_ONLY)
    (event,) = core.apply_one(**target(CommandKind.REPLACE, 1, buy, price_ticks=120, qty_lots=3))
    assert Reason(event["reason"]) == Reason.REJECT_POST_ONLY_WOULD_CROSS
    assert core.find_order(0, buy).price_ticks == 110


def test_replace_may_use_the_hold_of_its_order(make: Make) -> None:
    core = make(SMALL)
    core.apply_one(**instrument())
    core.apply_one(**account(1, 0, 0))
    core.apply_one(**deposit(1, QUOTE, 110 * 5 * 10))
    buy = place(core, 1, BUY, 110, 10)
    assert kinds(core.apply_one(**target(CommandKind.REPLACE, 1, buy, price_ticks=100, qty_lots=11))) == ["REPLACED"]
    (event,) = core.apply_one(**target(CommandKind.REPLACE, 1, buy, price_ticks=101, qty_lots=11))
    assert Reason(event["reason"]) == Reason.REJECT_INSUFFICIENT_FUNDS
    core.check()


def test_mass_cancel_scopes(make: Make) -> None:
    """By account always; by side and session when asked; bids before asks, best first, then the count."""
    core = funded(make)
    ids = {
        (side, session, owner): place(core, owner, side, 120 + (5 if side == SELL else -session), 1, session=session)
        for owner in (1, 2)
        for session in (1, 2)
        for side in (BUY, SELL)
    }
    mass = {"kind": CommandKind.MASS_CANCEL, "account": 1, "session": 2}
    events = core.apply_one(**mass, flags=CommandFlag.BY_SESSION, side=BUY)
    assert events["order_id"].tolist() == [ids[BUY, 2, 1], 0]
    events = core.apply_one(**mass)
    assert events["order_id"].tolist() == [ids[BUY, 1, 1], ids[SELL, 1, 1], ids[SELL, 2, 1], 0]
    assert set(events["reason"][:-1].tolist()) == {Reason.CANCEL_MASS}
    assert kinds(events)[-1] == "MASS_CANCELLED" and events["qty_lots"][-1] == 3
    assert core.open_orders(0) == 4
    assert core.balance(1, BASE)[1] == core.balance(1, QUOTE)[1] == 0
    core.check()


def test_day_orders_expire_at_the_close(make: Make) -> None:
    """ROE-9"""
    core = funded(make)
    day = [place(core, 1, BUY, 110, 2), place(core, 2, SELL, 130, 3)]
    kept = place(core, 1, BUY, 111, 2, tif=Tif.GTC)
    assert kinds(core.apply_one(kind=CommandKind.TIME, time_ns=5)) == ["CLOCK"]
    events = core.apply_one(kind=CommandKind.TIME, flags=CommandFlag.TIME_CLOSE, time_ns=9)
    assert kinds(events) == ["EXPIRED", "EXPIRED", "CLOCK"]
    assert events["order_id"].tolist() == [*day, 0] and events["qty_lots"].tolist() == [2, 3, 2]
    assert core.open_orders(0) == 1 and core.find_order(0, kept) is not None
    assert core.last_time_ns == 9
    core.check()


# ---- money ----


def test_fees_round_down_and_go_to_account_0(make: Make) -> None:
    """3 lots at 121 ticks of 5: notional 1,815; 10 bp is 1, 25 bp is 4."""
    core = funded(make)
    place(core, 1, SELL, 121, 3)
    events = core.apply_one(**new(2, BUY, 125, 3))
    assert events["aux"].tolist() == [0, 1, 4]
    assert core.balance(0, QUOTE)[0] == 5
    assert core.balance(1, QUOTE)[0] == 10**9 + 1815 - 1
    assert core.balance(2, QUOTE)[0] == 10**9 - 1815 - 4
    assert core.balance(2, BASE) == (10**9 + 3 * LOT_SIZE, 0, 0)


def test_hold_of_an_open_order(make: Make) -> None:
    core = funded(make)
    place(core, 1, BUY, 110, 7)
    assert core.balance(1, QUOTE)[1] == 110 * 7 * TICK_VALUE + 110 * 7 * TICK_VALUE * 25 // 10000
    place(core, 2, SELL, 130, 7)
    assert core.balance(2, BASE)[1] == 7 * LOT_SIZE


def test_credit_lets_a_balance_go_below_zero(make: Make) -> None:
    core = make(SMALL)
    core.apply_one(**instrument())
    for number in (1, 2):
        core.apply_one(**account(number, 0, 0))
    core.apply_one(**deposit(1, BASE, 100))
    core.apply_one(kind=CommandKind.LIMIT, account=2, asset=QUOTE, qty_lots=5_000)
    place(core, 1, SELL, 100, 10)
    place(core, 2, BUY, 100, 10)
    assert core.balance(2, QUOTE) == (-5_000, 0, 5_000)
    core.check()
    withdraw = {"kind": CommandKind.WITHDRAW, "account": 1, "asset": QUOTE, "qty_lots": 1}
    (event,) = core.apply_one(**withdraw)
    assert Reason(event["reason"]) == Reason.REJECT_INSUFFICIENT_FUNDS, "the venue has no quote unit to pay out"
    core.apply_one(**deposit(2, QUOTE, 5_000))
    (event,) = core.apply_one(**withdraw | {"qty_lots": 5_000})
    assert event["leaves_lots"] == 0 and core.supply(QUOTE) == 0
    core.check()


def test_withdrawal_cannot_touch_holds_or_credit(make: Make) -> None:
    core = funded(make, amount=1_000)
    place(core, 1, SELL, 130, 60)
    core.apply_one(kind=CommandKind.LIMIT, account=1, asset=BASE, qty_lots=10_000)
    withdraw = {"kind": CommandKind.WITHDRAW, "account": 1, "asset": BASE, "order_id": 7, "price_ticks": 8, "aux": 9}
    (event,) = core.apply_one(**withdraw, qty_lots=1_001)
    assert Reason(event["reason"]) == Reason.REJECT_INSUFFICIENT_FUNDS
    (event,) = core.apply_one(**withdraw, qty_lots=1_000)
    assert [int(event[name]) for name in ("order_id", "price_ticks", "aux", "leaves_lots")] == [7, 8, 9, 0]
    core.check()


def test_deposit_reports_the_balance(make: Make) -> None:
    core = funded(make, amount=1_000)
    (event,) = core.apply_one(**deposit(1, 2, 7))
    fields = ("kind", "account", "asset", "qty_lots", "leaves_lots")
    assert [int(event[name]) for name in fields] == [EventKind.DEPOSITED, 1, 2, 7, 1_007]


def test_frozen_account_may_cancel(make: Make) -> None:
    core = funded(make)
    order = place(core, 3, BUY, 110, 1)
    core.apply_one(**FROZEN)
    assert kinds(core.apply_one(**target(CommandKind.CANCEL, 3, order))) == ["CANCELLED"]


def test_largest_amounts_do_not_overflow(make: Make) -> None:
    """One trade of nearly 2^62 quote units with its fees, to the unit."""
    core = make(CoreConfig(symbols=1, accounts=3, assets=2, orders=64, levels=64))
    price, lots = PRICE_TICKS_MAX, (1 << 22) - 1050
    core.apply_one(**instrument(0, 0, 1, order_id=1, aux=1, price_ticks=price - 63, qty_lots=price))
    for number in (1, 2):
        core.apply_one(**account(number, 2, 2))
    core.apply_one(**deposit(1, BASE, lots))
    core.apply_one(**deposit(2, QUOTE, AMOUNT_MAX))
    place(core, 1, SELL, price, lots)
    events = core.apply_one(**new(2, BUY, price, lots))
    fee = price * lots * 2 // 10000
    assert events["aux"].tolist() == [0, fee, fee]
    assert core.balance(2, QUOTE)[0] == AMOUNT_MAX - price * lots - fee
    assert core.balance(1, QUOTE)[0] == price * lots - fee and core.balance(0, QUOTE)[0] == 2 * fee
    core.check()
