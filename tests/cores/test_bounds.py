"""What the bounds of core.h mean for an order that its account could pay for: at the bound taken, above it refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cores import EventKind, Reason, Side
from cores.records import PRICE_TICKS_MAX, QTY_LOTS_MAX
from tests.cores.fix_cores import PRICE_LOW, account, deposit, funded, instrument, new


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
