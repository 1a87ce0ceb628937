"""Execution algorithms over FIX, with both applications; the clock stands where the test puts it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cores import CommandKind
from cores.records import Limit, Phase
from fix_sessions import messages
from fix_sessions.area import Floor
from fix_sessions.client import Broker
from tests.fix_sessions.rig import PASSWORD, USERS, Venue, ask, rejected, settle, spawn, tags, until
from tests.fix_sessions.test_drop_copy import Copies, with_copies
from tests.fix_sessions.test_store import drain

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
    name = broker.order("ACME", side, qty, price, **{tag: value for tag, value in own.items() if value is not None})
    settle(broker)
    return name


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


def worked(venue: Venue, hands: Hands) -> None:
    """Waits until everything that is due has been looked at."""
    until(lambda: all(parent.next_ns > hands.now_ns for parent in area(venue).live))


def offered(venue: Venue, lots: int = 100, price: str = "100") -> Broker:
    bravo = venue.logged_on("BRAVO1")
    bravo.order("ACME", "sell", lots, price)
    settle(bravo)
    return bravo


def test_a_twap_is_done_in_equal_slices(venue: Venue, hands: Hands):
    """ROE-55"""
    offered(venue)
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)
    settle(alpha)
    found = until_reports(alpha, name, 2)
    new, fill = found
    assert (new[150], new[39], new[14], new[151], new[38], new[40], new[44]) == (
        "0",
        "0",
        "0",
        "40",
        "40",
        "2",
        "101.00",
    )
    assert (new[847], new[848], new[59]) == ("1000", "SliceSeconds=25", "0")
    assert (fill[150], fill[39], fill[32], fill[31], fill[14], fill[151], fill[6]) == (
        "F",
        "1",
        "10",
        "100.00",
        "10",
        "30",
        "100.00",
    )
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
    worked(venue, hands)
    bravo.order("ACME", "sell", 7, "99.50")
    bravo.order("ACME", "sell", 50, "101.01")  # beyond the limit
    settle(bravo)
    hands.forward(25)
    fill = until_reports(alpha, name, 3)[-1]
    assert (fill[32], fill[31], fill[14], fill[6]) == ("7", "99.50", "12", "99.708333")
    hands.forward(25)
    worked(venue, hands)
    hands.forward(25)
    end = until_reports(alpha, name, 4)[-1]
    assert (end[150], end[39], end[14], end[151]) == ("C", "C", "12", "0") and "interval is over" in end[58]
    area(venue).check()


def test_a_market_parent_sells_and_a_later_start_is_waited_for(venue: Venue, hands: Hands):
    bravo, alpha = venue.logged_on("BRAVO1"), venue.logged_on("ALPHA1")
    bravo.order("ACME", "buy", 50, "99")
    settle(bravo)
    name = parent(
        alpha, hands, 3, None, "sell", t168=hands.text(10), t126=hands.text(30), t848="SliceSeconds=10", t59="6"
    )
    assert [report[150] for report in until_reports(alpha, name, 1)] == ["0"]
    hands.forward(9.9)
    time.sleep(0.3)
    assert len(reports(alpha, name)) == 1
    hands.forward(0.1)
    fill = until_reports(alpha, name, 2)[-1]
    assert (fill[14], fill[40], fill[54], fill[59], fill[168]) == ("1", "1", "2", "6", tags(alpha.inbox[-1])[168])
    assert 44 not in fill
    hands.forward(3600)
    assert until_reports(alpha, name, 3)[-1][39] == "2", "what is left is done at once when it is late"


def test_a_cancel_ends_the_parent_and_a_second_one_is_too_late(venue: Venue, hands: Hands):
    """ROE-56"""
    offered(venue)
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)
    until_reports(alpha, name, 2)
    wrong = ask(alpha, lambda: alpha.cancel(name, "ACME", "sell"))
    assert (wrong[35], wrong[102], wrong[41], wrong[39], wrong[434]) == ("9", "99", name, "1", "1")
    cancelled = ask(alpha, lambda: alpha.cancel(name, "ACME", "buy"))
    assert (cancelled[150], cancelled[39], cancelled[14], cancelled[151]) == ("4", "4", "10", "0")
    assert cancelled[41] == name != cancelled[11]
    late = ask(alpha, lambda: alpha.cancel(name, "ACME", "buy"))
    assert (late[35], late[102], late[39], late[37]) == ("9", "0", "4", cancelled[37])
    again = ask(alpha, lambda: alpha.cancel(name, "ACME", "buy", t11=cancelled[11]))
    assert (again[35], again[102]) == ("9", "6"), "its ClOrdID was used"
    hands.forward(200)
    time.sleep(0.3)
    settle(alpha)
    assert tags(alpha.inbox[-1]) == again, "nothing is sliced any more"
    area(venue).check()


def test_status_requests_show_parents(venue: Venue, hands: Hands):
    offered(venue)
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)
    until_reports(alpha, name, 2)
    plain = alpha.order("ACME", "buy", 1, "60")
    settle(alpha)
    shown = ask(alpha, lambda: alpha.request("H", [(11, name), (55, "ACME"), (54, "1"), (790, "q1")]))
    assert (shown[150], shown[39], shown[14], shown[151], shown[17], shown[790]) == ("I", "1", "10", "30", "0", "q1")
    alpha.send("AF", [(584, "all"), (585, "7")])
    until(lambda: (settle(alpha), tags(alpha.inbox[-1]).get(912) == "Y")[1])
    found = [report for message in alpha.inbox if (report := tags(message)).get(584) == "all"]
    assert [report[11] for report in found] == [plain, name] and {report[911] for report in found} == {"2"}
    alpha.send("AF", [(584, "sells"), (585, "7"), (54, "2")])
    until(lambda: (settle(alpha), tags(alpha.inbox[-1]).get(584) == "sells")[1])
    assert tags(alpha.inbox[-1])[911] == "0"


def test_a_mass_cancel_ends_parents_too(venue: Venue, hands: Hands):
    offered(venue)
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)
    bolt = alpha.order("BOLT", "buy", 5, "5", t847="1000", t126=hands.text(100))
    until_reports(alpha, name, 2)
    alpha.request("q", [(530, "1"), (55, "ACME")])
    end = until_reports(alpha, name, 3)[-1]
    assert (end[150], end[39], end[11]) == ("4", "4", name) and "mass cancel" in end[58]
    assert [p.clordid.decode() for p in area(venue).live] == [bolt]


def test_a_session_that_ends_takes_its_parents_along(venue: Venue, hands: Hands):
    offered(venue)
    alpha, other = venue.logged_on("ALPHA1"), venue.logged_on("ALPHA2")
    name, kept = parent(alpha, hands, 40), parent(other, hands, 8)
    until_reports(alpha, name, 2)
    until_reports(other, kept, 2)
    other.close()  # without cancel on disconnect
    alpha.close()
    until(lambda: [p.clordid.decode() for p in area(venue).live] == [kept])


def test_only_day_parents_end_where_good_till_orders_stay(
    make_venue: Callable[..., Venue], application: str, hands: Hands
):
    change = ("cancel_on_disconnect = true", "cancel_on_disconnect = true, cancel_keeps_good_till = true")
    venue = make_venue(application, changes=(change,))
    alpha = venue.logged_on("ALPHA1")
    parent(alpha, hands, 40)
    kept = parent(alpha, hands, 40, t59="6")
    settle(alpha)
    alpha.close()
    until(lambda: [p.clordid.decode() for p in area(venue).live] == [kept])


@pytest.mark.parametrize("kind", [Limit.KILL_SESSION, Limit.KILL_MEMBER])
def test_a_kill_switch_ends_parents(venue: Venue, hands: Hands, kind: Limit):
    offered(venue)
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)
    until_reports(alpha, name, 2)
    session, account = (1, 0) if kind == Limit.KILL_SESSION else (0, 1)
    fields = {"kind": CommandKind.LIMIT, "ord_type": kind, "qty_lots": 1, "session": session, "account": account}
    venue.engine.call(body=b"verb=limit\x01", **fields)
    if kind == Limit.KILL_MEMBER:
        hands.forward(25)  # the next slice finds it
    end = until_reports(alpha, name, 3)[-1]
    assert (end[150], end[39], end[14]) == ("4", "4", "10") and "kill switch" in end[58]
    assert not area(venue).live


def test_a_slice_that_is_refused_is_told_once_and_tried_again(venue: Venue, hands: Hands):
    offered(venue)
    alpha = venue.logged_on("ALPHA1")
    fields = {"kind": CommandKind.LIMIT, "ord_type": Limit.ORDER_QTY, "symbol": 0, "qty_lots": 15}
    venue.engine.call(body=b"verb=limit\x01", **fields)
    name = parent(alpha, hands, 80)  # slices of 20
    told = until_reports(alpha, name, 2)[-1]
    assert (told[150], told[39], told[14], told[151]) == ("D", "0", "0", "80") and "largest size" in told[58]
    hands.forward(25)
    worked(venue, hands)
    venue.engine.call(body=b"verb=limit\x01", **{**fields, "qty_lots": 1000})
    hands.forward(25)
    assert until_reports(alpha, name, 3)[-1][14] == "60", "all that was due by now"


def test_nothing_is_sent_outside_continuous_trading(venue: Venue, hands: Hands):
    offered(venue)
    venue.engine.call(body=b"verb=phase\x01", kind=CommandKind.PHASE, symbol=0, ord_type=Phase.HALT)
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)
    hands.forward(25)
    worked(venue, hands)
    assert len(reports(alpha, name)) == 1
    venue.engine.call(body=b"verb=phase\x01", kind=CommandKind.PHASE, symbol=0, ord_type=Phase.CONTINUOUS)
    hands.forward(25)
    assert until_reports(alpha, name, 2)[-1][14] == "30"


def test_a_share_of_the_trading_is_not_passed(venue: Venue, hands: Hands):
    bravo, alpha, other = offered(venue), venue.logged_on("ALPHA1"), venue.logged_on("ALPHA2")
    name = parent(alpha, hands, 40, t849="0.25")
    hands.forward(25)
    worked(venue, hands)
    assert len(reports(alpha, name)) == 1, "nobody else has traded"
    for _ in range(3):
        other.order("ACME", "buy", 5, "100")
    settle(other)
    hands.forward(25)
    assert until_reports(alpha, name, 2)[-1][14] == "5", "5 of 20"
    hands.forward(25)
    worked(venue, hands)
    hands.forward(25)
    assert until_reports(alpha, name, 3)[-1][39] == "C"
    bravo.order("ACME", "sell", 1, "100")


def test_a_vwap_follows_the_profile(make_venue: Callable[..., Venue], application: str, hands: Hands):
    weights = [0] * 24
    hands.now_ns = (hands.now_ns // (86_400 * SECOND) + 1) * 86_400 * SECOND + 3600 * SECOND - 50 * SECOND  # 00:59:10
    weights[0], weights[1] = 3, 1
    change = ('price_max = "150.00"', f'price_max = "150.00"\nvolume_profile = {weights}')
    venue = make_venue(application, changes=(change,))
    offered(venue)
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40, t847="1")
    done = [int(until_reports(alpha, name, 2)[-1][14])]
    for count in (3, 4, 5):
        hands.forward(25)
        done.append(int(until_reports(alpha, name, count)[-1][14]))
    assert done == [15, 30, 35, 40]


def test_trade_captures_and_drop_copies_have_the_same_executions(tmp_path: Path, application: str, hands: Hands):
    venue = Venue(tmp_path, application)
    copies = Copies(with_copies(venue.config))
    try:
        offered(venue)
        other = venue.logged_on("ALPHA2")
        name = parent(other, hands, 40)
        fill = until_reports(other, name, 2)[-1]
        other.send("AD", [(568, "t"), (569, "0")])
        until(lambda: (settle(other), tags(other.inbox[-1])[35] == "AE")[1])
        captured = tags(other.inbox[-1])
        assert (captured[17], captured[11], captured[37], captured[32]) == (fill[17], name, fill[198], "10")
        copies.wait(venue)
        client = copies.client("ACOPY")
        settle(client)
        own = [report for message in client.inbox if (report := tags(message))[115] == "ALPHA2"]
        assert [(report[150], report[17], report[11], report[14], report[39]) for report in own] == [
            ("0", reports(other, name)[0][17], name, "0", "0"),
            ("F", fill[17], name, "10", "1"),
        ]
    finally:
        copies.close()
        venue.close()


# ---- refusals and names ----


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"t847": "2"}, "11", "1 (VWAP) or 1000 (TWAP)"),
        ({"t847": None, "t848": None, "t849": "0.1"}, "11", "1 (VWAP) or 1000 (TWAP)"),
        ({"t847": None}, "11", "1 (VWAP) or 1000 (TWAP)"),
        ({"t110": "1"}, "11", "leave them out"),
        ({"t18": "6"}, "11", "leave them out"),
        ({"t40": "3", "t99": "100"}, "11", "leave them out"),
        ({"t40": "K"}, "11", "OrdType(40) is 1 or 2"),
        ({"t59": "3"}, "11", "TimeInForce(59) 0 or 6"),
        ({"t126": None}, "11", "ExpireTime(126)"),
        ({"t126": "20200101-00:00:00"}, "99", "later than now"),
        ({"t168": "20400101-00:00:00"}, "99", "later than now"),
        ({"t126": "20400101-00:00:00"}, "99", "more than 43200 seconds"),
        ({"t848": "slices=3"}, "11", "SliceSeconds=n"),
        ({"t848": "SliceSeconds=0"}, "11", "SliceSeconds=n"),
        ({"t849": "0"}, "11", "ParticipationRate(849)"),
        ({"t849": "1.1"}, "11", "ParticipationRate(849)"),
        ({"t849": "-0.1"}, "11", "ParticipationRate(849)"),
        ({"t44": "100.005"}, "99", "multiple of the tick"),
        ({"t44": "200"}, "3", "collar"),
        ({"t38": "0"}, "13", "OrderQty(38)"),
        ({"t38": "1.5"}, "13", "multiple of the lot"),
        ({"t1": "2"}, "15", "Account(1)"),
        ({"t55": "NONE"}, "1", "Symbol(55)"),
        ({"t54": "5"}, "11", "Side(54)"),
    ],
)
def test_what_is_refused_says_why_and_is_journaled(
    shared_venue: Venue, hands: Hands, change: dict[str, Any], code: str, text: str
):
    alpha = shared_venue.fresh("ALPHA1")
    before = shared_venue.engine.last_seq
    answer = ask(alpha, lambda: parent(alpha, hands, 40, **change))
    assert (answer[35], answer[150], answer[39], answer[103]) == ("8", "8", "8", code), answer
    assert text in answer[58] and answer[37] != "NONE" and answer[151] == "0"
    assert shared_venue.engine.last_seq == before + 1 and not area(shared_venue).live


def test_no_name_is_used_twice(venue: Venue, hands: Hands):
    alpha = venue.logged_on("ALPHA1")
    plain = alpha.order("ACME", "buy", 1, "60")
    settle(alpha)
    assert ask(alpha, lambda: parent(alpha, hands, 40, t11=plain))[103] == "6"
    name = ask(alpha, lambda: parent(alpha, hands, 40))[11]
    for send in (
        lambda: parent(alpha, hands, 40, t11=name),
        lambda: alpha.order("ACME", "buy", 1, "60", t11=name),
    ):
        refused = ask(alpha, send)
        assert (refused[150], refused[103], refused[11]) == ("8", "6", name)
    cancel = ask(alpha, lambda: alpha.cancel(plain, "ACME", "buy", t11=name))
    assert (cancel[35], cancel[102]) == ("9", "6")
    assert venue.engine.find_order(1, plain)["status"] == "0"
    assert ask(alpha, lambda: alpha.cancel(name, "ACME", "sell", t11="asked"))[102] == "99"
    assert ask(alpha, lambda: alpha.order("ACME", "buy", 1, "60", t11="asked"))[103] == "6"
    assert ask(alpha, lambda: alpha.cancel(plain, "ACME", "buy", t11="asked"))[102] == "6"
    assert ask(alpha, lambda: alpha.cancel(plain, "ACME", "buy", t11="other"))[39] == "4"
    rejected(alpha, lambda: parent(alpha, hands, 40, t11="~A1-0"))
    rejected(alpha, lambda: parent(alpha, hands, 40, t11="x" * 40))
    before = len(alpha.inbox)
    body = [(11, name), (55, "ACME"), (54, "1"), (38, "40"), (40, "2"), (44, "101"), (847, "1000")]
    alpha.send("D", [*body, (126, hands.text(90)), (60, hands.text(0)[:21])], orig_time="20260101-00:00:00")
    settle(alpha)
    assert len(alpha.inbox) == before and len(area(venue).live) == 1, "what is sent again is there already"


def test_a_session_has_so_many_parents(make_venue: Callable[..., Venue], application: str, hands: Hands):
    venue = make_venue(application, changes=(("[fix]", "[algorithms]\nparents_max = 2\n[fix]"),))
    alpha, other = venue.logged_on("ALPHA1"), venue.logged_on("ALPHA2")
    for _ in range(2):
        assert ask(alpha, lambda: parent(alpha, hands, 4))[39] == "0"
    assert ask(alpha, lambda: parent(alpha, hands, 4))[103] == "3"
    assert ask(other, lambda: parent(other, hands, 4))[39] == "0"


def test_they_can_be_left_out(make_venue: Callable[..., Venue], application: str, hands: Hands):
    venue = make_venue(application, changes=(("[fix]", "[algorithms]\nparents_max = 0\n[fix]"),))
    alpha = venue.logged_on("ALPHA1")
    assert "not served here" in ask(alpha, lambda: parent(alpha, hands, 4))[58]


def test_an_operator_sees_parents_and_ends_one(venue: Venue, hands: Hands):
    offered(venue)
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)
    order_id = int(until_reports(alpha, name, 2)[0][37])
    (shown,) = venue.acceptor.operate({"verb": "parents"})["parents"]
    told = {key: shown[key] for key in ("order_id", "clordid", "session", "strategy", "symbol", "side", "qty", "done")}
    assert list(told.values()) == [order_id, name, "ALPHA1", "TWAP", "ACME", "buy", "40", "10"]
    with pytest.raises(ValueError, match="no parent order"):
        venue.acceptor.operate({"verb": "end_parent", "order_id": order_id + 1_000_000_000, "text": "x"})
    assert venue.acceptor.operate({"verb": "end_parent", "order_id": order_id, "text": "fat finger"}) == {
        "ending": name
    }
    end = until_reports(alpha, name, 3)[-1]
    assert (end[150], end[14], end[58]) == ("4", "10", "ended by the venue's operator: fat finger")
    assert venue.acceptor.operate({"verb": "parents"}) == {"parents": []}


# ---- a new start ----


def on_again(venue: Venue, comp_id: str, expected: int = 0) -> Broker:
    """A broker that goes on with the numbers that the venue has for it, or expects an older one."""
    broker = venue.broker(comp_id)
    status = next(s for s in venue.acceptor.sessions() if s["comp_id"] == comp_id)
    broker.next_out, broker.next_in = status["target_seq"], expected or status["sender_seq"]
    broker.log_on()
    return broker


def seller(venue: Venue) -> None:
    """An offer that outlives its session: of an account of nobody who is logged on."""
    fields = {"kind": CommandKind.NEW, "symbol": 0, "account": 1, "side": 2, "ord_type": 2, "tif": 1}
    venue.engine.call(body=b"verb=new\x01", price_ticks=10_000, qty_lots=100, **fields)


def test_parents_survive_a_new_start(make_venue: Callable[..., Venue], application: str, hands: Hands):
    first = make_venue(application)
    seller(first)
    bravo = first.logged_on("BRAVO1")  # without cancel on disconnect
    change = {"t848": "SliceSeconds=10"}
    name, ended = parent(bravo, hands, 40, **change), parent(bravo, hands, 40, "60", **change)
    refused = parent(bravo, hands, 40, **{**change, "t849": "7"})
    until_reports(bravo, name, 2)
    ask(bravo, lambda: bravo.cancel(ended, "ACME", "buy"))
    hands.forward(10)
    assert until_reports(bravo, name, 3)[-1][14] == "8"
    before = area(first).live[0]
    first.close()
    hands.forward(20)
    second = make_venue(application)
    (after,) = area(second).live
    assert (after.seq, after.children, after.schedule, after.rate_bp) == (
        before.seq,
        before.children + after.children - 2,
        before.schedule,
        before.rate_bp,
    )
    bravo = on_again(second, "BRAVO1")
    until(lambda: area(second).live[0].cum_lots == 16)
    shown = ask(bravo, lambda: bravo.request("H", [(11, name), (55, "ACME"), (54, "1")]))
    assert (shown[39], shown[14], shown[151], shown[6]) == ("1", "16", "24", "100.00")
    gone = ask(bravo, lambda: bravo.request("H", [(11, ended), (55, "ACME"), (54, "1")]))
    assert (gone[39], gone[14]) == ("4", "0")
    assert ask(bravo, lambda: bravo.order("ACME", "buy", 1, "60", t11=name))[103] == "6"
    assert ask(bravo, lambda: bravo.request("H", [(11, refused), (55, "ACME"), (54, "1")]))[39] == "8"
    cancelled = ask(bravo, lambda: bravo.cancel(name, "ACME", "buy"))
    assert (cancelled[150], cancelled[14]) == ("4", "16")
    area(second).check()


def test_a_crash_loses_nothing_and_doubles_nothing(make_venue: Callable[..., Venue], application: str, hands: Hands):
    """ROE-57: a child whose report no store has: the parent's report comes after the crash, and counts it once."""
    first = make_venue(application)
    seller(first)
    bravo = first.logged_on("BRAVO1")
    name = parent(bravo, hands, 40)
    until_reports(bravo, name, 2)
    kept, expected = {path: path.read_bytes() for path in (first.data_dir / "fix").iterdir()}, bravo.next_in
    hands.forward(25)
    until_reports(bravo, name, 3)
    first.close()
    for path, content in kept.items():
        path.write_bytes(content)
    for path in (first.data_dir / "snapshot").iterdir():  # a crash leaves none of the last moment
        path.unlink()
    second = make_venue(application)
    (after,) = area(second).live
    assert (after.cum_lots, after.children) == (20, 2)
    bravo = on_again(second, "BRAVO1", expected)
    until(lambda: [r[14] for r in reports(bravo, name) if r[150] == "F"] == ["20"])
    again = reports(bravo, name)[-1]
    assert (again[97], again[32], again[151]) == ("Y", "10", "20")
    hands.forward(25)
    until(lambda: reports(bravo, name)[-1][14] == "30")
    hands.forward(25)
    until(lambda: reports(bravo, name)[-1][39] == "2")
    assert sum(lots for _, lots in second.engine.depth(0, 2)) == 60


def test_what_was_cancelled_before_a_stop_is_ended_after_it(
    make_venue: Callable[..., Venue], application: str, hands: Hands
):
    first = make_venue(application)
    alpha = first.logged_on("ALPHA1")  # with cancel on disconnect
    name = parent(alpha, hands, 40)
    first.acceptor._application.floor.algorithms.on_report = lambda report, poss_resend: None
    first.close()
    second = make_venue(application)
    until(lambda: not area(second).live)
    alpha = on_again(second, "ALPHA1")
    alpha.request("H", [(11, name), (55, "ACME"), (54, "1")])
    alpha.wait_for(lambda: bool(alpha.inbox) and alpha.inbox[-1].get(150) == b"I")  # once its end is durable
    shown = tags(alpha.inbox[-1])
    assert (shown[39], shown[14]) == ("4", "0")


def test_a_kill_in_the_middle(tmp_path: Path, application: str):
    """ROE-57: the process dies between two slices or within one; by the clock of the wall, so of no exact moment."""
    process = spawn(["-m", "tests.fix_sessions.venue_process", str(tmp_path), application, "commit"])
    bravo, alpha = (Broker("127.0.0.1", 0, name, USERS[name], PASSWORD) for name in ("BRAVO1", "ALPHA2"))
    try:
        assert process.stdout is not None
        bravo.port = alpha.port = int(process.stdout.readline())
        alpha.log_on()
        bravo.log_on()
        alpha.order("ACME", "sell", 100, "100")
        settle(alpha)
        name = parent(bravo, Hands(), 40, t126=Hands().text(5), t848="SliceSeconds=1")
        bravo.wait_for(lambda: len(reports(bravo, name)) >= 3)
    finally:
        process.kill()
        process.wait()
    drain(bravo)
    alpha.close()
    venue = Venue(tmp_path, application, "commit")
    try:
        bravo.port = venue.acceptor.port
        bravo.log_on()
        until(lambda: reports(bravo, name)[-1][39] == "2")
        fills = {report[17]: report for report in reports(bravo, name) if report[150] == "F"}
        assert sum(int(report[32]) for report in fills.values()) == 40
        assert sorted(int(report[14]) for report in fills.values())[-1] == 40
        assert venue.engine.depth(0, 2) == [(10_000, 60)]
        area(venue).check()
    finally:
        bravo.close()
        venue.close()
