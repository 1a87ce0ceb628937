"""Sessions over a bad network: nothing that was accepted is lost, nothing comes twice, everything reconciles."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from fix_sessions.client import Broker, SessionLost
from tests.fix_sessions.fault_proxy import FaultProxy, Plan
from tests.fix_sessions.rig import Venue, ask, settle, until
from tests.fix_sessions.test_store import reconcile

Make = Callable[..., Venue]


def through(proxy: FaultProxy, venue: Venue, comp_id: str) -> Broker:
    broker = venue.broker(comp_id)
    broker.port = proxy.port
    return broker


def reconnect(venue: Venue, broker: Broker) -> None:
    """Goes on where it was cut off; what it sent into the cut is asked for by the venue."""
    broker.close()
    until(lambda: not next(s for s in venue.acceptor.sessions() if s["comp_id"] == broker.comp_id)["logged_on"])
    broker.log_on()


@pytest.mark.parametrize("seed", [1, 2])
def test_cuts_at_any_byte(make_venue: Make, application: str, seed: int):
    print(f"seed {seed}")
    rng = random.Random(seed)
    venue = make_venue(application, sync="commit")
    brokers = {"ALPHA2": venue.broker("ALPHA2"), "BRAVO1": venue.logged_on("BRAVO1")}
    steady = brokers["BRAVO1"]
    with FaultProxy(venue.acceptor.port) as proxy:
        broker = brokers["ALPHA2"]
        broker.port = proxy.port
        for turn in range(14):
            at = rng.randrange(170, 3000)
            proxy.plan = Plan(cut_to_venue=at) if turn % 2 else Plan(cut_to_broker=at)
            try:
                reconnect(venue, broker)
                for _ in range(40):
                    broker.order("ACME", "buy", rng.randint(1, 5), "100")
                    broker.poll()
                    if rng.random() < 0.4:
                        steady.order("ACME", "sell", rng.randint(1, 5), "100")
                        steady.poll()
                broker.wait_for(lambda: False, 0.3)
            except (SessionLost, OSError, TimeoutError):
                pass
        assert proxy.cuts > 5
        proxy.plan = Plan()
        reconnect(venue, broker)
        for _ in range(3):  # what one sends again may be the other's fill; reports come once they are durable
            for one in (broker, steady):
                settle(one)
            venue.engine.drain()
        venue.engine.check()
        reconcile(venue, brokers)


def test_one_byte_at_a_time(make_venue: Make, application: str):
    venue = make_venue(application)
    with FaultProxy(venue.acceptor.port, Plan(piece_bytes=1)) as proxy:
        broker = through(proxy, venue, "ALPHA2")
        broker.log_on()
        for _ in range(20):
            assert ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))[150] == "0"
        broker.log_out()


def test_a_slow_line(make_venue: Make, application: str):
    venue = make_venue(application)
    quick = venue.logged_on("BRAVO1")
    with FaultProxy(venue.acceptor.port, Plan(delay_seconds=0.05, piece_bytes=64)) as proxy:
        slow = through(proxy, venue, "ALPHA2")
        slow.log_on()
        slow.order("ACME", "buy", 1, "99")
        assert ask(quick, lambda: quick.order("ACME", "buy", 1, "99"))[150] == "0", "others do not wait"
        slow.wait_for(lambda: len(slow.inbox) == 1)


@pytest.mark.parametrize("at", [120, 300, 900])
def test_a_half_closed_connection_loses_nothing(make_venue: Make, application: str, at: int):
    venue = make_venue(application)
    with FaultProxy(venue.acceptor.port, Plan(half_close_at=at)) as proxy:
        broker = through(proxy, venue, "ALPHA2")
        with pytest.raises((SessionLost, OSError)):
            broker.log_on()
            for _ in range(10):
                broker.order("ACME", "buy", 1, "99")
                broker.poll(0.05)
            broker.wait_for(lambda: False, 3)
        proxy.plan = Plan()
        proxy.cut_all()
        reconnect(venue, broker)
        settle(broker)
        settle(broker)
        names = [dict(body)[11] for kind, body, _ in broker.sent.values() if kind == "D"]
        assert sorted(m.get(11).decode() for m in broker.inbox if m.get(150) == b"0") == sorted(map(str, names))
        assert broker.duplicates == 0


def test_a_duplicate_connect_by_the_network_is_refused_and_disturbs_nobody(make_venue: Make, application: str):
    venue = make_venue(application)
    with FaultProxy(venue.acceptor.port, Plan(twice=True)) as proxy:
        broker = through(proxy, venue, "ALPHA2")
        try:
            broker.log_on()
        except SessionLost as error:  # the copy was first
            assert "already logged on" in str(error)
            return
        until(lambda: len(proxy.second_answers) == 1)
        assert b"already logged on" in proxy.second_answers[0]
        assert ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))[150] == "0"


def test_a_connection_that_is_reset_in_the_middle_of_a_resend(make_venue: Make, application: str):
    venue = make_venue(application)
    broker = venue.logged_on("ALPHA2")
    for _ in range(300):
        broker.order("ACME", "buy", 1, "99.001")
    settle(broker)
    got = len(broker.executions)
    broker.close()
    broker.next_in = 2  # it has lost what it had
    broker.inbox.clear()
    broker.executions.clear()
    with FaultProxy(venue.acceptor.port, Plan(cut_to_broker=9_000)) as proxy:
        broker.port = proxy.port
        with pytest.raises((SessionLost, OSError)):
            reconnect(venue, broker)
            broker.wait_for(lambda: False, 3)
        proxy.plan = Plan()
        reconnect(venue, broker)
        broker.wait_for(lambda: len(broker.executions) == got)
        settle(broker)
        assert broker.duplicates == 0
