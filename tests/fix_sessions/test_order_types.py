"""Every order type, validity and instruction over FIX, with both applications: what is sent, what comes back."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cores import CommandFlag, CommandKind
from cores.records import Limit, Phase
from fix_sessions.client import Broker
from tests.fix_sessions.rig import Venue, ask, last, settle, tags


def operate(venue: Venue, **fields: Any) -> Any:
    status, _, events = venue.engine.call(body=b"verb=test\x01", **fields)
    assert status == 0 and events["kind"][-1] != 15, events
    return events


def phase(venue: Venue, target: Phase, symbol: int = 0) -> None:
    operate(venue, kind=CommandKind.PHASE, symbol=symbol, ord_type=target)


def reports(broker: Broker, clordid: str) -> list[dict[int, str]]:
    """All execution reports of an order so far, in order."""
    settle(broker)
    return [found for message in broker.inbox if (found := tags(message))[35] == "8" and found.get(11) == clordid]


def kinds(broker: Broker, clordid: str) -> str:
    return "".join(report[150] for report in reports(broker, clordid))


def test_a_stop_waits_is_triggered_and_trades(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    stop = alpha.order("ACME", "buy", 5, None, t40="3", t99="101")
    accepted = reports(alpha, stop)[0]
    assert (accepted[40], accepted[99], accepted[150]) == ("3", "101.00", "0") and 44 not in accepted
    maker = venue.logged_on("ALPHA2")
    maker.order("ACME", "sell", 6, "101", t1="1")
    settle(maker)
    bravo.order("ACME", "buy", 1, "101")
    settle(bravo)
    assert kinds(alpha, stop)[:2] == "0L"
    triggered = reports(alpha, stop)[1]
    assert (triggered[39], triggered[99], triggered[151]) == ("0", "101.00", "5")


def test_a_stop_limit_rests_after_its_trigger_and_a_replace_moves_a_waiting_stop(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    stop = alpha.order("ACME", "sell", 5, "98", t40="4", t99="99")
    moved = ask(alpha, lambda: alpha.request("G", [
        (41, stop), (55, "ACME"), (54, "2"), (38, "5"), (40, "4"), (44, "98.5"), (99, "98.75")]))  # fmt: skip
    assert (moved[150], moved[99], moved[44]) == ("5", "98.75", "98.50")
    bravo.order("ACME", "buy", 1, "98.75")
    settle(bravo)
    carol = venue.logged_on("ALPHA2")
    carol.order("ACME", "sell", 1, "98.75", t1="1", t2964="1")
    settle(carol)
    found = reports(alpha, moved[11])
    assert "".join(r[150] for r in found) == "5L"
    assert (found[-1][44], found[-1][151], found[-1][40]) == ("98.50", "5", "4")
    again = ask(alpha, lambda: alpha.replace(moved[11], "ACME", "sell", 4, "98.5"))
    assert again[150] == "5", "a triggered stop-limit may be called a limit order"


def test_an_iceberg_shows_its_part_and_says_when_it_refreshes(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    iceberg = alpha.order("ACME", "sell", 50, "100", t111="10")
    assert reports(alpha, iceberg)[0][111] == "10"
    assert venue.engine.best(0, 2) == (10_000, 10)
    bravo.order("ACME", "buy", 15, "100")
    settle(bravo)
    found = reports(alpha, iceberg)
    assert "".join(r[150] for r in found) in ("0FDF", "0FFD")
    refreshed = next(r for r in found if r[150] == "D")
    assert (refreshed[378], refreshed[1138], refreshed[39], refreshed[151]) == ("8", "10", "1", "40")
    answer = ask(alpha, lambda: alpha.replace(iceberg, "ACME", "sell", 30, "100", t111="10"))
    assert answer[150] == "5" and answer[111] == "10"
    answer = ask(alpha, lambda: alpha.replace(answer[11], "ACME", "sell", 30, "100", t111="5"))
    assert (answer[35], answer[102]) == ("9", "99") and "a replace changes no 18 40 59 110 111" in answer[58]


@pytest.mark.parametrize("shown", ["0", "50"])
def test_all_of_it_shown_is_no_iceberg(venue: Venue, shown: str):
    alpha = venue.logged_on("ALPHA1")
    answer = ask(alpha, lambda: alpha.order("ACME", "sell", 50, "100", t111=shown))
    assert answer[150] == "0" and 111 not in answer
    assert venue.engine.best(0, 2) == (10_000, 50)


def test_market_to_limit_takes_the_other_sides_price(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    alpha.order("ACME", "sell", 5, "100")
    settle(alpha)
    order = bravo.order("ACME", "buy", 8, None, t40="K", t59="1")
    found = reports(bravo, order)
    assert [r[150] for r in found] == ["0", "F"]
    assert (found[0][40], found[0][44], found[1][151]) == ("K", "100.00", "3")
    assert venue.engine.best(0, 1) == (10_000, 3)
    answer = ask(bravo, lambda: bravo.order("BOLT", "buy", 5, None, t40="K"))
    assert answer[150] == "4" and "nothing stands on the other side" in answer[58]


def test_an_order_good_till_a_time_expires(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    until = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(time.time() + 2))
    order = alpha.order("ACME", "sell", 5, "100", t59="6", t126=until)
    accepted = reports(alpha, order)[0]
    assert (accepted[59], accepted[126]) == ("6", f"{until}.000000000")
    by_day = ask(alpha, lambda: alpha.order("ACME", "sell", 5, "100", t59="6", t432="20991231"))
    assert by_day[126] == "21000101-00:00:00.000000000"
    assert venue.engine.expiries_due(0) == []
    until_ns = venue.engine.expiry_hint
    assert until_ns <= time.time_ns() + 2 * 10**9
    while time.time_ns() < until_ns + 10**9:
        time.sleep(0.05)
    assert venue.engine.expiries_due(time.time_ns()) == [0]
    operate(venue, kind=CommandKind.TIME, symbol=0, flags=CommandFlag.TIME_EXPIRE)
    assert kinds(alpha, order) == "0C"
    assert reports(alpha, order)[-1][39] == "C"
    assert venue.engine.expiries_due(time.time_ns()) == []
    past = ask(alpha, lambda: alpha.order("ACME", "sell", 5, "100", t59="6", t126="20200101-00:00:00"))
    assert past[150] == "8" and "in the past" in past[58]


def test_an_auction(venue: Venue):
    """ROE-8"""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    phase(venue, Phase.PRE_OPEN)
    buy = alpha.order("ACME", "buy", 10, "101", t59="2")
    late = alpha.order("ACME", "buy", 5, "99", t59="2")
    market = bravo.order("ACME", "sell", 4, None, t59="2")
    sell = bravo.order("ACME", "sell", 6, "100")
    refused = ask(bravo, lambda: bravo.order("ACME", "sell", 6, "100", t59="3"))
    assert (refused[150], refused[103]) == ("8", "2") and "present phase" in refused[58]
    settle(alpha)
    phase(venue, Phase.CONTINUOUS)
    fills = [r for r in reports(alpha, buy) if r[150] == "F"]
    other = [r for name in (market, sell) for r in reports(bravo, name) if r[150] == "F"]
    assert [r[851] for r in fills + other] == ["4"] * 4
    assert {r[527] for r in fills} == {r[527] for r in other} == {r[17] for r in fills}, (
        "the buy's ExecID is the trade's"
    )
    expired = reports(alpha, late)[-1]
    assert expired[150] == "C" and "auction is over" in expired[58]


def test_instructions(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    ask(alpha, lambda: alpha.order("ACME", "sell", 5, "100"))
    all_or_none = bravo.order("ACME", "buy", 8, "100", t18="G")
    found = reports(bravo, all_or_none)
    assert [r[150] for r in found] == ["0", "4"] and found[0][18] == "G" and "all-or-none" in found[1][58]
    slid = ask(bravo, lambda: bravo.order("ACME", "buy", 5, "100", t18="6", t9479="S"))
    assert (slid[150], slid[44], slid[18]) == ("0", "99.99", "6")
    refused = ask(bravo, lambda: bravo.order("ACME", "buy", 5, "100", t18="6", t9479="R"))
    assert refused[150] == "8" and "post-only" in refused[58]
    both = ask(bravo, lambda: bravo.order("ACME", "buy", 5, "98", t18="6 G"))
    assert both[150] == "8" and both[18] == "6 G"


@pytest.mark.parametrize(
    ("mode", "resting", "aggressor"),
    [("", "04", "0F"), ("2", "04", "0F"), ("1", "0", "04"), ("3", "04", "04"), ("100", "04", "0D")],
)
def test_self_match_prevention(venue: Venue, mode: str, resting: str, aggressor: str):
    """ROE-36: ALPHA meets itself; by default its resting order goes."""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    own = alpha.order("ACME", "sell", 3, "99")
    settle(alpha)
    bravo.order("ACME", "sell", 5, "99")
    settle(bravo)
    fields = {"t2964": mode} if mode else {}
    order = alpha.order("ACME", "buy", 5, "99", t2362="1", **fields)
    assert kinds(alpha, own) == resting
    assert kinds(alpha, order)[: len(aggressor)] == aggressor
    for report in [*reports(alpha, own)[1:], *(r for r in reports(alpha, order)[1:] if r[150] in "4D")]:
        assert "self-match prevention" in report[58]
        assert report[378] == ("5" if report[150] == "D" else "17")
    other = ask(alpha, lambda: alpha.order("ACME", "buy", 5, "98", t2362="7"))
    assert other[150] == "8" and "(2362) the member's own" in other[58]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"t59": "6"}, "not together"),
        ({"t59": "6", "t126": "20991231-00:00:00", "t432": "20991231"}, "not together"),
        ({"t59": "6", "t432": "20991231", "t110": "2"}, "not together"),
        ({"t126": "20991231-00:00:00"}, "not together"),
        ({"t99": "99"}, "not together"),
        ({"t40": "3", "t99": "101", "t111": "2"}, "not together"),
        ({"t40": "3", "t44": "0"}, "3 4 StopPx(99)"),
        ({"t40": "4", "t99": "99.005"}, "StopPx(99) is not a multiple of the tick of ACME"),
        ({"t40": "3", "t99": "200", "t44": "0"}, "StopPx(99) is outside the collar"),
        ({"t40": "3", "t99": "101", "t59": "3", "t44": "0"}, "does not go with OrdType(40)"),
        ({"t111": "11"}, "MaxFloor(111)"),
        ({"t111": "-1"}, "not taken"),
        ({"t110": "-1"}, "not taken"),
        ({"t9479": "S"}, "DisplayIndicator(9479)=S with post-only only"),
        ({"t59": "2"}, "present phase"),
        ({"t40": "P"}, "pegged M R P"),
        ({"t59": "5"}, "TimeInForce(59) 0 1 2 3 4 6 7"),
        ({"t18": "M"}, "ExecInst(18) 6 G"),
        ({"t432": "20991301", "t59": "6"}, "not taken"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(shared_venue: Venue, fields: dict[str, str], text: str):
    broker = shared_venue.fresh("ALPHA1")
    before = shared_venue.engine.open_orders(0)
    broker.order("ACME", "buy", 10, "99", **fields)
    settle(broker)
    answer = last(broker)
    assert (answer[35], answer[150]) == ("8", "8") and text in answer[58], answer
    assert shared_venue.engine.open_orders(0) == before


def test_limits_speak_for_themselves(venue: Venue):
    """ROE-38 ROE-39 ROE-40"""
    alpha = venue.logged_on("ALPHA1")
    for kind, amount, fields, text in (
        (Limit.ORDER_QTY, 4, {"symbol": 0}, "largest size"),
        (Limit.ORDER_VALUE, 100, {"symbol": 0}, "largest value"),
        (Limit.MESSAGES, 1, {"account": 1}, "in a second"),
        (Limit.RESTRICTED, 2, {"account": 1}, "may not trade ACME"),
        (Limit.KILL_MEMBER, 1, {"account": 1}, "kill switch"),
        (Limit.KILL_SESSION, 1, {"session": 1}, "kill switch"),
        (Limit.GROSS, 1, {"account": 1, "asset": 0}, "more held"),
    ):
        operate(venue, kind=CommandKind.LIMIT, ord_type=kind, qty_lots=amount, **fields)
        if kind == Limit.MESSAGES:
            ask(alpha, lambda: alpha.order("ACME", "buy", 1, "60"))
        answer = ask(alpha, lambda: alpha.order("ACME", "buy", 5, "99"))
        assert answer[150] == "8" and text in answer[58], (kind, answer)
        operate(venue, kind=CommandKind.LIMIT, ord_type=kind, qty_lots=0, **fields)
    assert ask(alpha, lambda: alpha.order("ACME", "buy", 5, "99"))[150] == "0"


def test_a_volatility_call_instead_of_a_bad_trade(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    alpha.order("ACME", "sell", 1, "100")
    settle(alpha)
    ask(bravo, lambda: bravo.order("ACME", "buy", 1, "100"))
    operate(venue, kind=CommandKind.LIMIT, ord_type=Limit.COLLAR, symbol=0, qty_lots=100, aux=0)
    ask(alpha, lambda: alpha.order("ACME", "sell", 5, "110"))
    answer = ask(bravo, lambda: bravo.order("ACME", "buy", 5, None, t59="3"))
    assert answer[150] == "4" and "volatility call" in answer[58]
    assert venue.engine.phases()[0] == Phase.VOLATILITY
    resting = bravo.order("ACME", "buy", 5, "110")
    assert kinds(bravo, resting) == "0"
    phase(venue, Phase.CONTINUOUS)
    assert kinds(bravo, resting) == "0F"
    assert reports(bravo, resting)[-1][851] == "4"


def test_the_status_of_a_stop_shows_its_terms(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    order = alpha.order("ACME", "buy", 5, "102", t40="4", t99="101", t59="6", t432="20991231")
    settle(alpha)
    answer = ask(alpha, lambda: alpha.request("H", [(11, order), (55, "ACME"), (54, "1")]))
    assert (answer[150], answer[40], answer[44], answer[99]) == ("I", "4", "102.00", "101.00")
    assert (answer[59], answer[126]) == ("6", "21000101-00:00:00.000000000")
