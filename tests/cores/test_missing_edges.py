"""What a partial core lacks on the rarer ways: stops, auctions, limits, expiry and changes of every kind of order.

As test_missing.py: each touched symbol and account is left out in turn; both implementations then stop, or do the same.
"""

from __future__ import annotations

from typing import Any

import pytest

from cores import CommandFlag, CommandKind, OrdType, Phase, Side, Smp, Tif
from cores.records import FLAG_SMP_SHIFT, Limit
from tests.cores.fix_cores import account, deposit, instrument, market, new
from tests.cores.test_missing import left_out_one_by_one, opening
from tests.cores.test_reasons import limit, phase

Fields = dict[str, Any]
BUY, SELL = Side.BUY, Side.SELL
LAST_PRICE = [new(3, SELL, 120, 1)]  # against the bid at 120 of account 1
STOPS = [
    new(1, BUY, 0, 2, ord_type=OrdType.STOP, order_id=130),
    new(2, BUY, 131, 2, ord_type=OrdType.STOP_LIMIT, order_id=131),
    new(2, SELL, 0, 2, ord_type=OrdType.STOP, order_id=119),
]
CALL = [
    phase(Phase.PRE_OPEN),
    new(1, BUY, 0, 3, ord_type=OrdType.MARKET_TO_LIMIT),
    new(2, BUY, 0, 3, ord_type=OrdType.MARKET),
    new(2, BUY, 131, 3, tif=Tif.AT_OPEN),
    new(3, SELL, 129, 2),
]
UNCROSS_OF_NOTHING = [
    phase(Phase.PRE_OPEN),
    new(1, BUY, 0, 3, ord_type=OrdType.MARKET_TO_LIMIT),
    new(2, BUY, 0, 3, ord_type=OrdType.MARKET),
    new(3, SELL, 140, 3, tif=Tif.AT_OPEN),
]
GROUP = [account(1, order_id=7), account(3, order_id=7, price_ticks=Smp.CANCEL_AGGRESSOR)]
MEMBER = [account(2, qty_lots=3), limit(Limit.MESSAGES, 9, account=3)]
GTD = [new(1, BUY, 118, 2, tif=Tif.GTD, aux=1_000), new(2, BUY, 117, 2, tif=Tif.GTD, aux=1_000)]
ICEBERG = [new(1, BUY, 118, 9, order_id=3)]
FOURTH = [account(4), deposit(4, 0, 10**6), deposit(4, 1, 10**6)]
BEFORE = [new(2, BUY, 0, 20, ord_type=OrdType.MARKET)]  # takes all that is offered
BEHIND = [new(4, BUY, 0, 3, ord_type=OrdType.MARKET_TO_LIMIT)]
REPLACE: Fields = {"kind": CommandKind.REPLACE, "pick": 0, "price_ticks": 130}

TERMS: Fields = {"price_ticks": 120, "qty_lots": 1}

CASES: dict[str, tuple[list[Fields], list[Fields]]] = {
    "a bust": ([], [{"kind": CommandKind.BUST, "account": 2, "session": 3, "order_id": 1 << 24, **TERMS}]),
    "stops of a cascade": ([*LAST_PRICE, *STOPS], [new(2, BUY, 130, 1)]),
    "a stop that is due at once": (
        [*LAST_PRICE, new(1, BUY, 140, 1)],
        [new(2, BUY, 130, 1, ord_type=OrdType.STOP_LIMIT, order_id=115)],
    ),
    "a due stop that trades": (LAST_PRICE, [new(1, BUY, 130, 2, ord_type=OrdType.STOP_LIMIT, order_id=115)]),
    "a triggered stop that meets an order": (
        [*FOURTH, new(4, SELL, 131, 4), *LAST_PRICE, new(1, BUY, 131, 9, ord_type=OrdType.STOP_LIMIT, order_id=130)],
        [new(2, BUY, 130, 5)],
    ),
    "a market-to-limit order behind the uncross": ([*FOURTH, *CALL, *BEFORE, *BEHIND], [phase(Phase.CONTINUOUS)]),
    "a count of a market order at any price": (GROUP, [market(1, SELL, 3, aux=2)]),
    "stops after an uncross": ([*STOPS, *CALL], [phase(Phase.CONTINUOUS)]),
    "an uncross": (CALL, [phase(Phase.CONTINUOUS)]),
    "an uncross into the night": (CALL, [phase(Phase.CLOSED)]),
    "an auction of nothing": (UNCROSS_OF_NOTHING, [phase(Phase.CONTINUOUS)]),
    "dormant orders that expire": ([new(2, BUY, 100, 1, tif=Tif.AT_CLOSE)], [phase(Phase.CLOSED)]),
    "dormant orders that enter": ([new(2, BUY, 100, 1, tif=Tif.AT_CLOSE)], [phase(Phase.CLOSE_CALL)]),
    "good till a date": (GTD, [{"kind": CommandKind.TIME, "flags": CommandFlag.TIME_EXPIRE, "time_ns": 2_000}]),
    "an indicative price": (CALL, [{"kind": CommandKind.TIME, "flags": CommandFlag.TIME_INDICATIVE}]),
    "a trip": ([*LAST_PRICE, limit(Limit.COLLAR, 1)], [new(1, BUY, 130, 2)]),
    "an iceberg that is swept": (ICEBERG, [new(3, SELL, 118, 20)]),
    "a count within a group": (GROUP, [new(3, SELL, 119, 6, tif=Tif.FOK)]),
    "a count that meets its own group": (GROUP, [new(3, SELL, 119, 9, aux=4)]),
    "a count of a market order in a group": (GROUP, [market(1, BUY, 3, aux=2)]),
    "a self-match": (GROUP, [new(3, SELL, 119, 6, flags=Smp.CANCEL_BOTH << FLAG_SMP_SHIFT)]),
    "min qty": ([], [new(3, SELL, 119, 9, aux=4)]),
    "a slide": ([], [new(3, SELL, 119, 9, flags=CommandFlag.POST_ONLY | CommandFlag.SLIDE)]),
    "a message of a member": (MEMBER, [new(2, BUY, 110, 1)]),
    "a replace of a member": (MEMBER, [REPLACE | {"pick": 1, "qty_lots": 7}]),
    "a replace of an iceberg that trades": (ICEBERG, [REPLACE | {"qty_lots": 9}]),
    "a replace of a stop that is then due": ([*LAST_PRICE, STOPS[1]], [REPLACE | {"qty_lots": 2, "aux": 110}]),
    "a cancel of a stop": (STOPS[:1], [{"kind": CommandKind.CANCEL, "pick": 0}]),
    **{f"limit {kind.name.lower()}": ([], [limit(kind, 1, account=2)]) for kind in Limit if kind != Limit.KILL_SESSION},
    "a phase": ([], [phase(Phase.HALT)]),
    "an account of a group": ([], [account(2, order_id=7)]),
}


@pytest.mark.parametrize("name", CASES)
def test_each_way(name: str) -> None:
    before, batch = CASES[name]
    assert left_out_one_by_one([*opening(), *before], batch) >= 1


WIDE = [instrument(qty_lots=141 + 64 * 1_000), *opening()[1:]]  # one page has all prices of these cases but the ends


@pytest.mark.parametrize("name", CASES)
def test_each_way_in_a_wide_instrument(name: str) -> None:
    before, batch = CASES[name]
    assert left_out_one_by_one([*WIDE, *before], batch) >= 1


def test_a_dormant_order_without_a_page() -> None:
    """It ends, and so its account is needed: beside the symbol."""
    distant = new(2, BUY, 1_000, 1, tif=Tif.AT_CLOSE)
    assert left_out_one_by_one([*WIDE, distant], [phase(Phase.CLOSE_CALL)]) == 2


def test_killed_session_needs_no_account() -> None:
    assert left_out_one_by_one(opening(), [limit(Limit.KILL_SESSION, 1, session=1)]) == 0
