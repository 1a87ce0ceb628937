"""Busted trades on both brokers' screens: what each side's session is told, and what later reports of its order say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from fix_sessions.client import Broker
from tests.fix_sessions.rig import Venue, settle, tags, until

REASON = "clearly erroneous price"
Fields = dict[int, str]


def bust(venue: Venue, trade: str, **changes: Any) -> dict[str, Any]:
    asked = {"verb": "bust", "actor": "ann", "approver": "bob", "trade": trade, "text": REASON, **changes}
    return venue.acceptor.operate(asked)


def reports(broker: Broker, exec_type: str | None = None) -> list[Fields]:
    """The 8 that it got, of one ExecType or all."""
    found = [tags(m) for m in broker.inbox if m.get(35) == b"8"]
    return [r for r in found if exec_type in (None, r[150])]


def told(broker: Broker, count: int = 1) -> list[Fields]:
    """The 8 with 150=H, once there are so many."""
    broker.wait_for(lambda: len(reports(broker, "H")) >= count)
    return reports(broker, "H")


def answer(broker: Broker, send: Callable[[], Any]) -> Fields:
    """Sends; returns the last 8."""
    send()
    settle(broker)
    return reports(broker)[-1]


def crossed(buyer: Broker, seller: Broker, bought: int, sold: int, price: str = "100.00") -> tuple[str, str, str]:
    """The buyer rests, the seller comes; ClOrdIDs of both and the number of the trade."""
    resting = buyer.order("ACME", "buy", bought, price)
    settle(buyer)
    coming = seller.order("ACME", "sell", sold, price)
    for broker in (seller, buyer):
        settle(broker)
    return resting, coming, reports(seller, "F")[-1][527]


def status(broker: Broker, clordid: str, side: str) -> Fields:
    return answer(broker, lambda: broker.send("H", [(11, clordid), (54, side), (55, "ACME")]))


def facts(report: Fields) -> tuple[str, ...]:
    """OrdStatus, OrderQty, CumQty, LeavesQty and AvgPx."""
    return tuple(report[tag] for tag in (39, 38, 14, 151, 6))


def test_both_sides_are_told_and_the_order_that_rests_has_done_less(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    money = [venue.engine.balance(account, asset) for account in (0, 1, 2) for asset in (0, 1)]
    resting, coming, trade = crossed(alpha, bravo, 10, 4)
    filled = reports(alpha, "F")[-1], reports(bravo, "F")[-1]
    assert bust(venue, trade) | {"seq": 0} == {
        "seq": 0, "busted": trade, "symbol": "ACME", "price": "100.00", "quantity": "4", "buyer": 1, "seller": 2
    }  # fmt: skip
    bought, sold = told(alpha)[0], told(bravo)[0]
    assert facts(bought) == ("0", "10", "0", "6", "0") and facts(sold) == ("4", "4", "0", "0", "0")
    for report, fill, name in ((bought, filled[0], resting), (sold, filled[1], coming)):
        same = (1, 31, 32, 37, 38, 54, 55, 527)
        assert {tag: report[tag] for tag in same} == {tag: fill[tag] for tag in same}
        assert (report[11], report[19], report[58], report[150]) == (name, fill[17], REASON, "H")
        assert report[17] not in {r[17] for r in reports(alpha, "F") + reports(bravo, "F")}
    assert bought[17] != sold[17] and bought[17].split("-")[0] == sold[17].split("-")[0]
    after = [venue.engine.balance(account, asset) for account in (0, 1, 2) for asset in (0, 1)]
    assert [balance for balance, *_ in after] == [balance for balance, *_ in money]
    assert facts(status(alpha, resting, "1")) == ("0", "10", "0", "6", "0")
    assert facts(status(bravo, coming, "2")) == ("4", "4", "0", "0", "0")
    bravo.order("ACME", "sell", 6, "100.00")
    settle(bravo)
    settle(alpha)
    ended = reports(alpha, "F")[-1]
    assert facts(ended) == ("4", "10", "6", "0", "100.00"), "not all of it stands, and nothing rests"
    venue.engine.check()
