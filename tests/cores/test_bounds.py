"""What the bounds of core.h mean for an order that its account could pay for: at the bound taken, above it refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cores import EventKind, Reason, Side
from cores.records import QTY_LOTS_MAX
from tests.cores.fix_cores import PRICE_LOW, deposit, funded, new


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
