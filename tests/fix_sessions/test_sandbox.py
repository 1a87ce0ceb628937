"""`venue sandbox`: a living market, and every scenario as a broker sees it. Real venue, real sessions."""

from __future__ import annotations

import json
import time

import pytest

from fix_sessions.client import Broker, SessionLost
from fix_sessions.sandbox import Sandbox, write
from fix_sessions.sandbox_scenarios import LOTS_MAX, SCENARIOS
from venue.config import load
from venue.demo_brokers import executions


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    running = Sandbox(tmp_path_factory.mktemp("sandbox") / "venue", host="127.0.0.1", port=0, seed=7, rate=20.0)
    try:
        running.open()
        yield running
        assert running.failure == "" and running.scenarios.failure == ""
    finally:
        running.close()


def connect(sandbox, comp_id):
    username = comp_id.rstrip("1").lower()
    broker = Broker("127.0.0.1", sandbox.line.port, comp_id, username, sandbox.passwords[comp_id])
    broker.log_on()
    return broker


@pytest.fixture(scope="module")
def broker(sandbox):
    broker = connect(sandbox, "CAROL1")
    yield broker
    broker.log_out()


def reports(broker, clordid):
    return [m for m in broker.inbox if clordid.encode() in (m.get(11), m.get(41)) and m.get(35) == b"8"]


def wait_report(broker, clordid, tag, value, seconds=15.0):
    broker.wait_for(lambda: any(m.get(tag) == value for m in reports(broker, clordid)), seconds)
    return next(m for m in reports(broker, clordid) if m.get(tag) == value)


def ask(broker, lots, price="100.00"):
    return broker.order("TEST", "buy", lots, price)


def test_the_market_lives(sandbox, broker):
    """Quotes are there to trade with, they move, and others trade."""
    broker.wait_for(lambda: all(maker.fills for maker in sandbox.market.makers.values()), 30)
    for symbol in sandbox.market.makers:
        taken = broker.order(symbol, "buy", 10, None, t59="3")
        wait_report(broker, taken, 150, b"F")
    quoted = {w.ticks for w in sandbox.market.makers["ACME"].working.values()}
    broker.wait_for(lambda: quoted != {w.ticks for w in sandbox.market.makers["ACME"].working.values()}, 30)


def test_filled_at_once(broker):
    assert wait_report(broker, ask(broker, 101), 39, b"2").get(14) == b"101"


def test_filled_in_three_parts(broker):
    order = ask(broker, 102)
    wait_report(broker, order, 39, b"2")
    assert [m.get(32) for m in reports(broker, order) if m.get(150) == b"F"] == [b"34"] * 3


def test_filled_by_half(broker):
    order = ask(broker, 103)
    assert wait_report(broker, order, 150, b"F").get(151) == b"52"
    broker.cancel(order, "TEST", "buy")
    wait_report(broker, order, 39, b"4")


def test_slow_acknowledgement(broker):
    begin = time.monotonic()
    order = ask(broker, 104)
    wait_report(broker, order, 39, b"0")
    assert time.monotonic() - begin > 2.5  # nothing is measured: a line that holds nothing back answers at once
    broker.cancel(order, "TEST", "buy")
    wait_report(broker, order, 39, b"4")


def test_cut_before_the_acknowledgement(sandbox):
    """The order was taken; its report comes with the resend after the next logon. It was then cancelled, as the
    session was lost."""
    bravo = connect(sandbox, "BRAVO1")
    order = ask(bravo, 105)
    with pytest.raises(SessionLost):
        bravo.wait_for(lambda: False, 5)
    assert reports(bravo, order) == []
    bravo.log_on()
    wait_report(bravo, order, 39, b"0")
    wait_report(bravo, order, 39, b"4")
    bravo.log_out()


def test_halted(broker):
    order = ask(broker, 106)
    wait_report(broker, order, 39, b"0")

    def refused():
        other = broker.order("TEST", "buy", 1, "90.00")
        broker.wait_for(lambda: bool(reports(broker, other)), 5)
        return reports(broker, other)[0].get(39) == b"8"

    broker.wait_for(refused, 5)
    broker.wait_for(lambda: not refused(), 15)
    broker.cancel(order, "TEST", "buy")
    wait_report(broker, order, 39, b"4")


def test_volatility_call(broker):
    """In the call what could trade waits; the auction at its end trades it."""
    order = ask(broker, 107)
    time.sleep(0.5)
    crossing = broker.order("TEST", "sell", 7, "100.00")
    wait_report(broker, crossing, 39, b"0")
    broker.cancel(crossing, "TEST", "sell")
    wait_report(broker, crossing, 39, b"4")
    time.sleep(3.5)
    broker.cancel(order, "TEST", "buy")
    wait_report(broker, order, 39, b"4")


def test_cancelled_by_the_venue(broker):
    assert wait_report(broker, ask(broker, 108), 39, b"4").get(41) is None


def test_the_trade_is_taken_back(sandbox, broker):
    """Both sides are told; nothing of the order is left."""
    order = ask(broker, 109)
    fill = wait_report(broker, order, 150, b"F")
    report = wait_report(broker, order, 150, b"H")
    assert (report.get(19), report.get(527), report.get(32)) == (fill.get(17), fill.get(527), b"109")
    assert [report.get(tag) for tag in (39, 14, 151)] == [b"4", b"0", b"0"]
    assert b"clearly erroneous" in report.get(58)
    again = wait_report(broker, ask(broker, 101), 39, b"2")
    assert again.get(14) == b"101", "the market goes on"
    partner = sandbox.scenarios.counterparty
    assert [m.get(527) for m in partner.inbox if m.get(150) == b"H"] == [fill.get(527)]


def test_what_a_broker_has_left_in_the_book_does_not_take_the_scenario_from_a_later_order(broker):
    """It trades first, as in any book; the later order has its scenario all the same, and only its trade is busted."""
    level, better = ask(broker, 50), ask(broker, 51, "100.01")
    wait_report(broker, better, 39, b"0")
    assert wait_report(broker, ask(broker, 101), 39, b"2").get(14) == b"101"
    assert [wait_report(broker, name, 39, b"2").get(14) for name in (level, better)] == [b"50", b"51"]
    moved = broker.replace(ask(broker, 60, "99.99"), "TEST", "buy", 60, "100.00")
    wait_report(broker, moved, 150, b"5")
    order = ask(broker, 109)
    behind = ask(broker, 7)
    wait_report(broker, order, 150, b"H")
    assert [m.get(150) for m in reports(broker, moved) if m.get(150) in (b"F", b"H")] == [b"F"]
    assert not any(m.get(150) == b"F" for m in reports(broker, behind))
    broker.cancel(behind, "TEST", "buy")
    wait_report(broker, behind, 39, b"4")


def test_an_order_that_does_not_rest_has_no_scenario(broker):
    """Nobody trades with those that do, in its place."""
    left = ask(broker, 52)
    wait_report(broker, broker.order("TEST", "buy", 101, "100.00", t59="3"), 39, b"4")
    wait_report(broker, ask(broker, 108), 39, b"4")
    assert [m.get(150) for m in reports(broker, left)] == [b"0", b"4"]


def test_above_the_limit_it_is_refused(broker):
    assert b"OrderQty" in wait_report(broker, ask(broker, LOTS_MAX + 1), 39, b"8").get(58)


def test_every_scenario_was_played(sandbox, broker):
    assert set(sandbox.scenarios.played) == set(SCENARIOS)
    sandbox.check()


def test_nobody_was_told_what_did_not_happen(sandbox, broker):
    told = executions(sandbox.config, 1 << 40)
    session = next(s.id for _, s in sandbox.config.sessions() if s.comp_id == "CAROL1")
    assert {e.decode() for e in broker.executions} <= told[session]


def test_written_once(tmp_path):
    passwords = write(tmp_path / "venue", 5001)
    config = load(tmp_path / "venue" / "venue.toml")
    assert set(passwords) == {session.comp_id for _, session in config.sessions()}
    kept = tmp_path / "venue" / "sandbox.json"
    assert json.loads(kept.read_text()) == passwords and kept.stat().st_mode & 0o077 == 0
    with pytest.raises(FileExistsError):
        write(tmp_path / "venue", 5001)
