"""Pegged orders over FIX, with both applications: entry, repricing, change, cancel, status, refusals, a restart."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cores import CommandKind
from cores.records import Phase
from fix_sessions.client import Broker
from tests.fix_sessions.rig import Venue, ask, settle, tags, until


def reports(broker: Broker, clordid: str) -> list[dict[int, str]]:
    settle(broker)
    return [found for message in broker.inbox if (found := tags(message))[35] == "8" and found.get(11) == clordid]


def peg(broker: Broker, side: str, qty: object, kind: str, **fields: object) -> str:
    return broker.order("ACME", side, qty, None, t40="P", t18=kind, **fields)


def price(venue: Venue, session: int, clordid: str) -> int:
    return int(venue.engine.find_order(session, clordid)["price_ticks"])


def market(venue: Venue) -> Broker:
    """99.00 x 101.00 of another member."""
    bravo = venue.logged_on("BRAVO1")
    bravo.order("ACME", "buy", 10, "99")
    bravo.order("ACME", "sell", 10, "101")
    settle(bravo)
    return bravo


def test_each_kind_enters_at_its_price_and_follows(venue: Venue):
    bravo, alpha = market(venue), venue.logged_on("ALPHA1")
    wanted = {"M": 10_000, "R": 9_900, "P": 10_090}
    names = {
        kind: ask(alpha, lambda kind=kind: peg(alpha, "buy", 1, kind, t211="-0.10" if kind == "P" else "0"))[11]  # type: ignore[misc]
        for kind in wanted
    }
    for kind, name in names.items():
        entered = reports(alpha, name)[0]
        assert (entered[150], entered[39], entered[40], entered[18]) == ("0", "0", "P", kind)
        assert price(venue, 1, name) == wanted[kind], kind
    bravo.order("ACME", "buy", 1, "99.50")
    bravo.order("ACME", "sell", 1, "101")
    settle(bravo)
    until(lambda: price(venue, 1, names["R"]) == 9_950)
    until(lambda: price(venue, 1, names["M"]) == 10_025)
    moved = reports(alpha, names["M"])[-1]
    assert (moved[150], moved[378], moved[39], moved[44], moved[40], moved[18]) == ("D", "3", "0", "100.25", "P", "M")
    assert 41 not in moved and moved[151] == "1"


def test_a_limit_is_never_passed_and_half_a_tick_is_left(venue: Venue):
    bravo, alpha = market(venue), venue.logged_on("ALPHA1")
    buy = peg(alpha, "buy", 1, "R", t44="99.20")
    settle(alpha)
    bravo.order("ACME", "buy", 1, "99.51")
    settle(bravo)
    until(lambda: price(venue, 1, buy) == 9_920)
    sell = peg(alpha, "sell", 1, "M")
    settle(alpha)
    assert price(venue, 1, sell) == 10_026, "10025.5 rounded away from the buyers"


def test_two_mid_pegs_trade_with_each_other(venue: Venue):
    market(venue)
    alpha, other = venue.logged_on("ALPHA1"), venue.brokers[0]
    buy = peg(alpha, "buy", 2, "M")
    settle(alpha)
    sell = peg(other, "sell", 2, "M")
    settle(other)
    assert reports(alpha, buy)[-1][39] == "2" and reports(other, sell)[-1][39] == "2"
    assert reports(alpha, buy)[-1][31] == "100.00"


def test_a_replace_changes_terms_keeps_or_ends_the_peg_and_a_cancel_ends_it(venue: Venue):
    bravo, alpha = market(venue), venue.logged_on("ALPHA1")
    name = peg(alpha, "buy", 1, "R")
    settle(alpha)
    body: list[Any] = [(41, name), (55, "ACME"), (54, "1"), (38, "3"), (40, "P"), (18, "M"), (211, "-0.05")]
    changed = ask(alpha, lambda: alpha.request("G", body))
    assert (changed[150], changed[41], changed[44], changed[40], changed[18]) == ("5", name, "99.95", "P", "M")
    second = changed[11]
    plain = ask(alpha, lambda: alpha.replace(second, "ACME", "buy", 3, "98"))
    assert (plain[150], plain[44], plain[40]) == ("5", "98.00", "2") and 18 not in plain
    bravo.order("ACME", "buy", 1, "99.50")
    settle(bravo)
    time.sleep(0.1)
    assert price(venue, 1, plain[11]) == 9_800, "a plain order stays"
    body = [(41, plain[11]), (55, "ACME"), (54, "1"), (38, "3"), (40, "P"), (18, "R")]
    again = ask(alpha, lambda: alpha.request("G", body))
    assert (again[150], again[44], again[40]) == ("5", "99.50", "P")
    alpha.request("H", [(11, again[11]), (55, "ACME"), (54, "1")])
    alpha.wait_for(lambda: tags(alpha.inbox[-1])[150] == "I")  # answered once the replace is durable
    status = tags(alpha.inbox[-1])
    assert (status[150], status[40], status[18], status[44]) == ("I", "P", "R", "99.50")
    gone = ask(alpha, lambda: alpha.cancel(again[11], "ACME", "buy"))
    assert (gone[150], gone[39], gone[40]) == ("4", "4", "P")


def test_a_replace_that_was_refused_changes_no_terms(venue: Venue):
    bravo, alpha = market(venue), venue.logged_on("ALPHA1")
    name = peg(alpha, "buy", 1, "R")
    settle(alpha)
    body: list[Any] = [(41, name), (55, "ACME"), (54, "1"), (38, "0"), (40, "P"), (18, "P")]
    assert ask(alpha, lambda: alpha.request("G", body))[35] == "9"
    bravo.order("ACME", "buy", 1, "99.50")
    settle(bravo)
    until(lambda: price(venue, 1, name) == 9_950)


@pytest.mark.parametrize(
    "fields",
    [
        {"t18": "M R"},
        {"t18": "6"},
        {"t18": "M G"},
        {"t211": "0.001"},
        {"t211": "-1e5"},
        {"t44": "0"},
        {"t44": "1.005"},
        {"t59": "3"},
        {"t111": "1"},
        {"t110": "1"},
        {"t99": "100"},
        {"t9479": "S", "t18": "6 M"},
    ],
    ids=str,
)
def test_what_does_not_go_with_a_peg_is_refused(venue: Venue, fields: dict[str, str]):
    market(venue)
    alpha = venue.logged_on("ALPHA1")
    before = len(alpha.inbox)
    alpha.order("ACME", "buy", 2, None, **{"t40": "P", "t18": "M", **fields})
    settle(alpha)
    answers = [tags(m) for m in alpha.inbox[before:]]
    rejects = [tags(m) for m in alpha.admin if m.get(35) == b"3"]
    if answers:
        assert (answers[-1][39], answers[-1][40]) == ("8", "P") and answers[-1][58]
    else:
        assert rejects, "not even well formed"


def test_an_offset_without_a_peg_is_refused(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    refused = ask(alpha, lambda: alpha.order("ACME", "buy", 1, "99", t211="1"))
    assert (refused[39], refused[103]) == ("8", "11") and "211" in refused[58]


def test_without_a_price_to_follow_it_is_refused_and_a_resting_one_stays(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    refused = ask(alpha, lambda: peg(alpha, "buy", 1, "M"))
    assert (refused[39], refused[103], refused[40]) == ("8", "99", "P") and "no price to follow" in refused[58]
    bravo = market(venue)
    name = peg(alpha, "buy", 1, "R", t59="1")
    settle(alpha)
    venue.engine.call(kind=CommandKind.PHASE, symbol=0, ord_type=Phase.VOLATILITY, body=b"verb=test\x01")
    assert "no price to follow" in ask(alpha, lambda: peg(alpha, "buy", 1, "R"))[58]
    bravo.order("ACME", "buy", 1, "99.50")
    settle(bravo)
    time.sleep(0.1)
    assert price(venue, 1, name) == 9_900, "nothing moves in a call"
    venue.engine.call(kind=CommandKind.PHASE, symbol=0, ord_type=Phase.CONTINUOUS, body=b"verb=test\x01")
    until(lambda: price(venue, 1, name) == 9_950)


def test_a_restart_follows_again_by_the_terms_in_force(application: str, make_venue: Any):
    venue = make_venue(application)
    bravo, carol = market(venue), venue.logged_on("ALPHA2")
    first = peg(carol, "buy", 1, "R", t59="1", t1="1")
    second = peg(carol, "buy", 1, "R", t59="1", t1="1")
    settle(carol)
    body: list[Any] = [(41, second), (55, "ACME"), (54, "1"), (38, "1"), (40, "P"), (18, "M"), (211, "-0.50")]
    changed = ask(carol, lambda: carol.request("G", [*body, (59, "1")]))[11]
    bravo.order("ACME", "buy", 1, "99.20", t59="1")
    bravo.order("ACME", "sell", 1, "101", t59="1")
    settle(bravo)
    until(lambda: price(venue, 4, first) == 9_920)
    venue.close()
    venue = make_venue(application)
    assert sorted(venue.engine.find_order(4, name)["peg"] for name in (first, changed)) == [ord("M"), ord("R")]
    bravo = venue.broker("BRAVO1")
    status = next(s for s in venue.acceptor.sessions() if s["comp_id"] == "BRAVO1")
    bravo.next_out, bravo.next_in = status["target_seq"], status["sender_seq"]
    bravo.log_on()
    bravo.order("ACME", "buy", 1, "99.60", t59="1")
    settle(bravo)
    until(lambda: price(venue, 4, first) == 9_960)
    until(lambda: price(venue, 4, changed) == 9_980)
