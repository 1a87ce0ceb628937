"""Execution algorithms over FIX, with both applications; the clock stands where the test puts it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from cores import CommandKind
from cores.records import Limit, Phase
from fix_sessions import messages
from fix_sessions.area import Floor
from fix_sessions.client import Broker
from tests.fix_sessions.rig import Venue, ask, last, rejected, settle, tags, until

SECOND = 10**9


class Hands:
    """The clock's: `now_ns` is the time until it is moved."""

    def __init__(self) -> None:
        self.now_ns = time.time_ns()

    def forward(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)

    def text(self, seconds: float) -> str:
        return messages.timestamp(self.now_ns + int(seconds * SECOND)).decode()


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    found = Hands()
    monkeypatch.setattr(Floor, "now_ns", lambda floor: found.now_ns)
    return found


def parent(broker: Broker, hands: Hands, qty: object, price: object = "101", side: str = "buy", **fields: Any) -> str:
    """A TWAP over 100 seconds in four slices, unless said otherwise."""
    own = {"t847": "1000", "t126": hands.text(100), "t848": "SliceSeconds=25", **fields}
    return broker.order("ACME", side, qty, price, **{tag: value for tag, value in own.items() if value is not None})


def reports(broker: Broker, clordid: str) -> list[dict[int, str]]:
    settle(broker)
    found = [tags(message) for message in broker.inbox]
    return [report for report in found if report[35] == "8" and clordid in (report.get(11), report.get(41))]


def until_reports(broker: Broker, clordid: str, count: int) -> list[dict[int, str]]:
    until(lambda: len(reports(broker, clordid)) >= count)
    time.sleep(0.05)
    found = reports(broker, clordid)
    assert len(found) == count, found
    return found


def area(venue: Venue) -> Any:
    return venue.acceptor._application.floor.algorithms


def offered(venue: Venue, lots: int = 100, price: str = "100") -> Broker:
    bravo = venue.logged_on("BRAVO1")
    bravo.order("ACME", "sell", lots, price)
    settle(bravo)
    return bravo


def test_a_twap_is_done_in_equal_slices(venue: Venue, hands: Hands):
    offered(venue)
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)
    settle(alpha)
    found = until_reports(alpha, name, 2)
    new, fill = found
    assert (new[150], new[39], new[14], new[151], new[38], new[40], new[44]) == ("0", "0", "0", "40", "40", "2", "101.00")
    assert (new[847], new[848], new[59]) == ("1000", "SliceSeconds=25", "0")
    assert (fill[150], fill[39], fill[32], fill[31], fill[14], fill[151], fill[6]) == ("F", "1", "10", "100.00", "10", "30", "100.00")
    assert fill[37] == new[37] != fill[198]
    for slice_number in (2, 3, 4):
        hands.forward(25)
        final = until_reports(alpha, name, 1 + slice_number)[-1]
        assert final[14] == str(10 * slice_number)
    assert (final[39], final[151], final[150]) == ("2", "0", "F")
    assert len({report[17] for report in found}) == len(found)
    area(venue).check()
    assert not area(venue).live
    settle(alpha)
    assert not [m for m in alpha.inbox if (m.get(11) or b"").startswith(b"~")], "children are not told of"


def test_what_a_slice_could_not_do_is_caught_up(venue: Venue, hands: Hands):
    bravo, alpha = offered(venue, 5), venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)
    settle(alpha)
    assert until_reports(alpha, name, 2)[-1][14] == "5"
    hands.forward(25)
    time.sleep(0.5)
    bravo.order("ACME", "sell", 7, "99.50")
    bravo.order("ACME", "sell", 50, "101.01")  # beyond the limit
    settle(bravo)
    hands.forward(25)
    fill = until_reports(alpha, name, 3)[-1]
    assert (fill[32], fill[31], fill[14], fill[6]) == ("7", "99.50", "12", "99.7083")
    hands.forward(25)
    time.sleep(0.5)
    hands.forward(25)
    end = until_reports(alpha, name, 4)[-1]
    assert (end[150], end[39], end[14], end[151]) == ("C", "C", "12", "0") and "interval is over" in end[58]
    area(venue).check()
