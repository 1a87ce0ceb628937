"""Lists of orders: one cancels the other, whatever happens to the one; and again after a new start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fix_sessions.area import Inbound
from fix_sessions.client import Broker, Pair
from fix_sessions.order_lists import leg_body, legs_of
from tests.fix_sessions.rig import Venue, settle, tags, until

OF_ORDER = {6, 11, 14, 39, 58, 84, 151}
NOW = "20260101-00:00:00"


def leg(name: str, number: int, side: str, qty: object, price: object, **fields: object) -> list[Pair]:
    body: list[Pair] = [(11, name), (67, str(number)), (55, "ACME"), (54, side), (38, str(qty))]
    body += [(40, "2"), (44, str(price))] if "t40" not in fields else []
    return body + [(int(tag[1:]), str(value)) for tag, value in fields.items()]


def send_list(broker: Broker, name: str, legs: list[list[Pair]], contingency: str | None = "1", **head: str) -> None:
    body: list[Pair] = [(66, name), (394, "3")]
    body += [(1385, contingency)] if contingency is not None else []
    body += [(68, head.get("t68", str(len(legs)))), (73, str(len(legs)))]
    broker.send("E", [*body, *(pair for one in legs for pair in one)])
    settle(broker)


def bracket(broker: Broker, name: str = "L1", qty: int = 10) -> None:
    """Sells at a profit or stops a loss: the usual pair."""
    stop = leg(f"{name}-stop", 2, "2", qty, 0, t40="3", t99="90.00")
    send_list(broker, name, [leg(f"{name}-limit", 1, "2", qty, "110.00"), stop])


def statuses(broker: Broker) -> list[dict[int, Any]]:
    """Every ListStatus: its fields, and under 73 those of its orders by name."""
    found = []
    for message in broker.inbox:
        if message.get(35) != b"N":
            continue
        head: dict[int, Any] = {}
        orders: list[dict[int, str]] = []
        for tag, value in message.pairs:
            if int(tag) == 11:
                orders.append({})
            (orders[-1] if int(tag) in OF_ORDER else head)[int(tag)] = value.decode()
        head[73] = {order[11]: order for order in orders}
        found.append(head)
    return found


def wait_done(broker: Broker, *names: str) -> None:
    """Until these lists are done: the venue cancels on its own, after the answer to what was sent last."""
    broker.wait_for(lambda: {s[66] for s in statuses(broker) if s[429] == "5"} >= set(names))


def wait_status(broker: Broker, name: str, status: str) -> None:
    """Until a report says that the order has come to this."""

    def told() -> bool:
        reports = [tags(m) for m in broker.inbox if m.get(35) == b"8" and m.get(11) == name.encode()]
        return bool(reports) and reports[-1][39] == status

    broker.wait_for(told)


def order_status(broker: Broker, name: str) -> str:
    broker.send("H", [(11, name), (55, "ACME"), (54, "2")])
    settle(broker)
    return next(tags(m)[39] for m in reversed(broker.inbox) if m.get(150) == b"I")


def test_a_list_is_acknowledged_when_its_orders_rest(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    bracket(alpha)
    alpha.wait_for(lambda: len(alpha.inbox) == 3)
    assert sorted(tags(m)[35] for m in alpha.inbox) == ["8", "8", "N"]
    (status,) = statuses(alpha)
    assert (status[66], status[429], status[431], status[68]) == ("L1", "1", "3", "2")
    assert {name: order[39] for name, order in status[73].items()} == {"L1-limit": "0", "L1-stop": "0"}


@pytest.mark.parametrize("lots", [10, 3])
def test_the_first_fill_cancels_the_other(venue: Venue, lots: int):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    bracket(alpha)
    bravo.order("ACME", "buy", lots, "110.00")
    settle(bravo)
    wait_status(alpha, "L1-stop", "4")
    settle(alpha)
    assert order_status(alpha, "L1-limit") == ("2" if lots == 10 else "1")
    if lots == 10:
        wait_done(alpha, "L1")
    done = [s for s in statuses(alpha) if s[429] == "5"]
    assert len(done) == (1 if lots == 10 else 0)
    if done:
        assert done[0][73]["L1-stop"][84] == "10" and done[0][73]["L1-limit"][14] == "10"


def test_a_stop_that_trades_cancels_the_limit(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    bracket(alpha)
    bravo.order("ACME", "buy", 1, "90.00")
    bravo.order("ACME", "buy", 10, "89.00")
    settle(bravo)
    alpha.order("ACME", "sell", 1, "90.00")  # this trade triggers the stop, which the further bid takes
    wait_done(alpha, "L1")
    assert order_status(alpha, "L1-stop") == "2"
    assert order_status(alpha, "L1-limit") == "4"


def test_an_owners_cancel_cancels_the_other_and_so_does_a_mass_cancel(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    bracket(alpha)
    alpha.cancel("L1-stop", "ACME", "sell")
    wait_done(alpha, "L1")
    assert order_status(alpha, "L1-limit") == "4"
    bracket(alpha, "L2")
    alpha.send("q", [(11, "all"), (530, "7"), (60, NOW)])
    wait_done(alpha, "L1", "L2")


def test_a_replaced_order_stays_in_its_list(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    bracket(alpha)
    alpha.replace("L1-limit", "ACME", "sell", 10, "105.00", t11="moved")
    settle(alpha)
    bravo.order("ACME", "buy", 10, "105.00")
    settle(bravo)
    wait_done(alpha, "L1")
    assert order_status(alpha, "moved") == "2" and order_status(alpha, "L1-stop") == "4"


def test_what_trades_at_once_keeps_the_rest_out(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    bravo.order("ACME", "buy", 4, "100.00")
    settle(bravo)
    send_list(alpha, "L", [leg("a", 1, "2", 10, "100.00"), leg("b", 2, "2", 10, "99.00")])
    wait_status(alpha, "a", "1")
    alpha.wait_for(lambda: any(m.get(35) == b"8" and m.get(11) == b"b" for m in alpha.inbox))
    refused = next(tags(m) for m in alpha.inbox if m.get(35) == b"8" and m.get(11) == b"b")
    assert (
        refused[150] == "8"
        and refused[37] != "NONE"
        and refused[17] != "0"
        and refused[58].startswith("not entered: another order of the list")
    )


def test_a_refused_order_takes_the_others_with_it(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    send_list(alpha, "L", [leg("a", 1, "2", 10, "100.00"), leg("b", 2, "2", 10, "1000.00")])
    wait_done(alpha, "L")
    assert order_status(alpha, "a") == "4"
    assert statuses(alpha)[-1][73]["b"][39] == "8"


def test_without_a_contingency_the_orders_are_independent(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    send_list(alpha, "L", [leg("a", 1, "2", 1, "100.00"), leg("b", 2, "2", 1, "101.00")], None)
    alpha.cancel("a", "ACME", "sell")
    settle(alpha)
    assert order_status(alpha, "b") == "0"
    alpha.send("M", [(66, "L")])
    settle(alpha)
    last = statuses(alpha)[-1]
    assert last[429] == "2" and {n: o[39] for n, o in last[73].items()} == {"a": "4", "b": "0"}


def test_a_list_is_cancelled_and_asked_about_by_name(venue: Venue):
    alpha, other = venue.logged_on("ALPHA1"), venue.logged_on("ALPHA2")
    bracket(alpha)
    for kind in ("K", "M"):  # another session's list is none
        other.send(kind, [(66, "L1"), (60, NOW)] if kind == "K" else [(66, "L1")])
        settle(other)
        assert (tags(other.inbox[-1])[35], tags(other.inbox[-1])[380]) == ("j", "1")
    alpha.send("K", [(66, "L1"), (60, NOW)])
    settle(alpha)
    wait_done(alpha, "L1")
    found = statuses(alpha)
    assert [(s[429], s[431]) for s in found] == [("1", "3"), ("2", "4"), ("5", "6")]
    alpha.send("M", [(66, "L1")])
    settle(alpha)
    assert [o[39] for o in statuses(alpha)[-1][73].values()] == ["4", "4"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"contingency": "2"}, "ContingencyType(1385)"),
        ({"t68": "3"}, "TotNoOrders(68)"),
        ({"one": True}, "from 2 to 10"),
        ({"twice": True}, "used twice"),
        ({"order": True}, "ListSeqNo(67)"),
        ({"name": "x" * 40}, "ListID(66) is longer"),
    ],
)
def test_what_is_no_list_is_refused_with_a_reason(venue: Venue, change: dict[str, Any], text: str):
    alpha = venue.logged_on("ALPHA1")
    names = ("a", "a") if change.get("twice") else ("a", "b")
    numbers = (2, 1) if change.get("order") else (1, 2)
    legs = [leg(name, number, "2", 1, "100.00") for name, number in zip(names, numbers, strict=True)]
    before = venue.root()
    head = {"t68": change["t68"]} if "t68" in change else {}
    send_list(
        alpha, change.get("name", "L"), legs[: 1 if change.get("one") else 2], change.get("contingency", "1"), **head
    )
    (status,) = statuses(alpha)
    assert status[431] == "7" and text in status[444]
    assert venue.root() == before


def test_the_same_list_again_changes_nothing(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    bracket(alpha)
    kind, body, _ = next(sent for sent in alpha.sent.values() if sent[0] == "E")
    before = venue.engine.last_seq
    alpha.send(kind, [(97, "Y"), *body])  # PossResend: a new number
    settle(alpha)
    assert venue.engine.last_seq == before and statuses(alpha)[-1][431] == "3"
    bracket(alpha)
    assert "not done" in statuses(alpha)[-1][444]
    assert venue.engine.last_seq == before


def test_lists_survive_a_new_start(make_venue: Callable[..., Venue], application: str):
    first = make_venue(application)
    alpha = first.logged_on("ALPHA2")  # its orders stay when it leaves
    bracket(alpha, "L1")
    bracket(alpha, "L2")
    alpha.replace("L2-limit", "ACME", "sell", 10, "108.00", t11="moved")
    settle(alpha)
    first.close()
    second = make_venue(application)
    bravo = second.logged_on("BRAVO1")
    bravo.order("ACME", "buy", 10, "108.00")
    settle(bravo)
    again = second.broker("ALPHA2")
    again.next_out, again.next_in = alpha.next_out + 1, 1
    again.log_on()
    settle(again)
    wait_done(again, "L2")
    assert order_status(again, "L2-stop") == "4"
    again.send("M", [(66, "L1")])
    settle(again)
    assert {o[39] for o in statuses(again)[-1][73].values()} == {"0"}
    again.send("K", [(66, "L1"), (60, NOW)])
    settle(again)
    until(lambda: second.engine.open_orders(0) == 0)


def test_a_start_cancels_what_a_crash_left(make_venue: Callable[..., Venue], application: str):
    first = make_venue(application)
    alpha = first.logged_on("ALPHA2")
    bracket(alpha)
    lists = next(area for area in first.acceptor._application.areas if type(area).__name__ == "OrderLists")
    lists.on_report = lambda report, poss_resend: None  # as if the process ended before it could look
    alpha.cancel("L1-limit", "ACME", "sell")
    settle(alpha)
    assert first.engine.open_orders(0) + len(first.engine.open_orders_of(4)[1]) >= 1
    first.close()
    second = make_venue(application)
    until(lambda: second.engine.open_orders_of(4)[1] == [])


def test_an_annex_names_its_own_order_first():
    body = b"35=E\x0166=L\x0168=2\x0173=2\x0111=a\x0167=1\x0155=X\x0111=b\x0167=2\x0155=Y\x0158=t\x01"
    legs = legs_of(body)
    assert (
        leg_body(body, legs, 1) == b"35=E\x0166=L\x0168=2\x0173=2\x0158=t\x0111=b\x0167=2\x0155=Y\x0111=a\x0167=1\x01"
    )
    assert Inbound(1, 1, {}, body, False).body == body
