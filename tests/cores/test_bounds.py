"""What the bounds of core.h mean for an order that its account could pay for: at the bound taken, above it refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cores import CommandKind, EventKind, Reason, Side
from cores.records import PRICE_TICKS_MAX, QTY_LOTS_MAX
from tests.cores.fix_cores import (
    PRICE_LOW,
    SMALL,
    Play,
    account,
    deposit,
    fees_of,
    funded,
    generate,
    instrument,
    new,
)
from tests.cores.replay import Pair

TICK_VALUE_LARGE = 1 << 43
RICH = [
    account(number) | {"aux": fees_of(*fees)} for number, fees in enumerate([(10, 25), (0, 0), (30, 900), (-7, 7)], 1)
]
RICH += [deposit(number, asset, 1 << 59) for number in range(1, 5) for asset in (0, 1)]


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_quantity_of_an_order_that_can_be_paid(make: Callable[..., Any], side: Side) -> None:
    """Funds bound an order only below QTY_LOTS_MAX: the bound itself holds however rich the account is."""
    core = funded(make)
    for asset in (0, 1):
        core.apply_one(**deposit(1, asset, 1 << 60))
    (taken,) = core.apply_one(**new(1, side, PRICE_LOW, QTY_LOTS_MAX))
    assert taken["kind"] == EventKind.ACCEPTED
    for lots in (QTY_LOTS_MAX + 1, 2 * QTY_LOTS_MAX, 1 << 63, (1 << 64) - 1):
        (refused,) = core.apply_one(**new(1, side, PRICE_LOW, lots))
        assert (refused["kind"], refused["reason"]) == (EventKind.REJECTED, Reason.REJECT_BAD_QTY), lots
    core.check()


@pytest.mark.parametrize(
    ("tick_value", "price", "lots"),
    [
        (1, PRICE_TICKS_MAX, QTY_LOTS_MAX),  # price times quantity is above 2^64
        (1 << 23, PRICE_TICKS_MAX, 1 << 23),  # within the bound, but not once multiplied by the tick's value
        (1 << 61, PRICE_TICKS_MAX, 1),
        (1, PRICE_TICKS_MAX, 1 << 22),  # only the fee passes the bound
    ],
)
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_notional_that_no_word_holds(
    make: Callable[..., Any], side: Side, tick_value: int, price: int, lots: int
) -> None:
    core = funded(make)
    low = PRICE_TICKS_MAX - 63
    core.apply_one(**instrument(1, order_id=1, aux=tick_value, price_ticks=low, qty_lots=PRICE_TICKS_MAX))
    core.apply_one(**account(1, taker_bp=10_000))
    (refused,) = core.apply_one(**new(1, side, price, lots, symbol=1))
    wanted = {Reason.REJECT_NOTIONAL_TOO_LARGE}
    if (tick_value, lots) == (1, 1 << 22):
        wanted = {Reason.REJECT_NOTIONAL_TOO_LARGE, Reason.REJECT_INSUFFICIENT_FUNDS}
    assert refused["kind"] == EventKind.REJECTED
    assert refused["reason"] in wanted
    core.check()


def test_days_of_large_amounts() -> None:
    """Notionals between 2^50 and 2^60, where a fee no longer fits one product: both implementations agree to the unit
    on fees, rebates, holds, auctions and busts."""
    largest = 0
    for run in range(40):
        pair, play = Pair(SMALL), Play()
        for fields in [instrument(aux=TICK_VALUE_LARGE), *RICH]:
            play.see(pair.apply(play.record(fields)))
        for number in range(80):
            fields = generate(run << 20 | number)
            if fields["kind"] not in (CommandKind.INSTRUMENT, CommandKind.LIMIT):
                events = pair.apply(play.record(fields | {"symbol": 0}))
                play.see(events)
                fills = events[events["kind"] == EventKind.FILL]
                largest = max([largest, *(int(fills["price_ticks"] * fills["qty_lots"]) for fills in fills)])
    assert largest * TICK_VALUE_LARGE > 1 << 52
