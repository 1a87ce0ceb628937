"""The sessions of the gateways that follow the journal have the policy that order entry has: hours, resets, throttles.

And none of them can take its gateway down, or be left without an answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fix_sessions.client import Broker, Pair, SessionLost
from fix_sessions.listener import Listener
from fix_sessions.schedule import Schedule
from tests.fix_sessions.market_rig import Gateway, Viewer
from tests.fix_sessions.rig import Venue, ask, settle, tags, until
from tests.fix_sessions.test_drop_copy import Copies, with_copies
from tests.fix_sessions.test_listener import Feed, make
from tests.fix_sessions.test_sequence_pathologies import raw
from venue.config_sections import LogonSection, ScheduleSection


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    found = Venue(tmp_path)
    yield found
    found.close()


@pytest.fixture
def gateway(venue: Venue, tmp_path: Path) -> Iterator[Gateway]:
    found = Gateway(tmp_path)
    yield found
    found.close()


def wanted(request: str, kind: str, symbols: tuple[str, ...] = ("ACME",), types: str = "01", **more: str) -> list[Pair]:
    """A MarketDataRequest(V)."""
    entries: list[Pair] = [(267, str(len(types))), *((269, each) for each in types)]
    names: list[Pair] = [(146, str(len(symbols))), *((55, symbol) for symbol in symbols)]
    extra: list[Pair] = [(int(tag[1:]), value) for tag, value in more.items()]
    return [(262, request), (263, kind), (264, "0"), *extra, *entries, *names]


def answered(viewer: Viewer, body: list[Pair]) -> list[dict[int, str]]:
    before = len(viewer.inbox)
    viewer.send("V", body)
    viewer.wait_for(lambda: len(viewer.inbox) > before)
    return [tags(m) for m in viewer.inbox[before:]]


# ---- market data ----


def test_numbers_that_begin_anew_leave_a_subscription_as_it_is(venue: Venue, gateway: Gateway):
    """A Logon with ResetSeqNumFlag(141)=Y in the middle: the subscriptions stay, end as others do, and harm nobody."""
    broker, viewer, other = venue.logged_on("ALPHA2"), gateway.viewer("FEED1"), gateway.viewer("FEED2")
    viewer.subscribe("r")
    other.subscribe("r")
    raw(viewer, "A", 1, [(98, "0"), (108, "30"), (141, "Y"), (553, viewer.username), (554, viewer.password)])
    viewer.next_out, viewer.next_in, viewer.logged_on = 2, 1, False
    viewer.wait_for(lambda: viewer.logged_on)
    ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))
    viewer.wait_for(lambda: viewer.book.bids[b"r", b"ACME"] != {})
    assert gateway.gateway is not None
    gateway.gateway.desk.check()
    viewer.close()
    until(lambda: gateway.gateway is not None and gateway.gateway.desk.subscriptions == 2)
    ask(broker, lambda: broker.order("ACME", "buy", 1, "98"))
    other.wait_for(lambda: len(other.book.bids[b"r", b"ACME"]) == 2)
    gateway.gateway.desk.check()


@pytest.mark.parametrize(
    ("body", "reason", "text"),
    [
        (wanted("r", "0", ("BOLT",)), "0", "BOLT is not in it"),
        (wanted("r", "0", ("ACME", "BOLT")), "0", "BOLT is not in it"),
        (wanted("r", "0", ()), "0", "no Symbol(55) is not in it"),
        (wanted("new", "1", ()), "0", "NoRelatedSym(146) must be at least 1"),
        (wanted("new", "0", ()), "0", "NoRelatedSym(146) must be at least 1"),
        (wanted("new", "1", types=""), "8", "NoMDEntryTypes(267) must be at least 1"),
    ],
)
def test_no_request_is_left_without_an_answer(gateway: Gateway, body: list[Pair], reason: str, text: str):
    viewer = gateway.viewer("FEED1")
    answered(viewer, wanted("r", "1"))
    (refused,) = answered(viewer, body)
    assert (refused[35], refused[262], refused[281]) == ("Y", body[0][1], reason) and text in refused[58]


def test_a_snapshot_is_of_now_whatever_others_were_told(venue: Venue, gateway: Gateway):
    """A stream of the same terms that is told once a minute is no reason to hear what was a minute ago."""
    broker, slow, other = venue.logged_on("ALPHA2"), gateway.viewer("FEED1"), gateway.viewer("FEED2")
    ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))
    answered(slow, wanted("s", "1", t5265="60000"))
    for price in ("99.01", "99.02"):  # the first of them is told at once
        ask(broker, lambda price=price: broker.order("ACME", "buy", 1, price))
        time.sleep(0.1)
    seq = venue.engine.last_seq
    until(lambda: gateway.gateway is not None and gateway.gateway.feed.last_seq == seq)
    (snapshot,) = answered(other, wanted("o", "0", t5265="60000"))
    assert (snapshot[35], snapshot[268], snapshot[1181], snapshot[83]) == ("W", "3", str(seq), "0")
    assert gateway.gateway is not None and gateway.gateway.desk.subscriptions == 1


def test_what_to_mend_in_a_definition_request(gateway: Gateway):
    viewer = gateway.viewer("FEED1")
    for body, text in (
        ([(320, "1"), (321, "3")], "SecurityRequestType(321) must be 0"),
        ([(320, "2"), (321, "0")], "SecurityRequestType(321) must be 0, with a Symbol(55)"),
        ([(320, "3"), (321, "0"), (55, "NOPE")], "Symbol(55) is not traded here"),
    ):
        ask(viewer, lambda body=body: viewer.send("c", body))
        assert text in tags(viewer.inbox[-1])[58]


# ---- policy ----


def open_now(**more: Any) -> ScheduleSection:
    """Hours that began an hour ago and end in two."""
    start, end = (f"{datetime.now(UTC) + timedelta(hours=hours):%H:%M}" for hours in (-1, 2))
    return ScheduleSection(start=start, end=end, **more)


def ahead(listener: Listener, what: str) -> int:
    """When the schedule's next end or reset is."""
    at = getattr(Schedule(listener.config.schedule), what)(time.time_ns())
    assert at is not None
    return int(at)


def told(client: Broker) -> list[str]:
    """Headlines of News(B)."""
    return [tags(m)[148] for m in client.inbox if m.get(35) == b"B"]


def numbers(listener: Listener) -> tuple[int, int]:
    (status, *_) = listener.sessions()
    return status["sender_seq"], status["target_seq"]


def test_hours_end_with_news_and_a_text(tmp_path: Path):
    feed = Feed(tmp_path, schedule=open_now())
    try:
        client = feed.logged_on("FEED1")
        end = ahead(feed.listener, "next_end")
        feed.listener.timekeeper.tick(end - 60 * 10**9)
        client.wait_for(lambda: bool(told(client)))
        assert told(client)[0].startswith("The session ends in 1 minute, at")
        feed.listener.timekeeper.tick(end)
        with pytest.raises(SessionLost, match=r"the session's hours have ended; .* it opens at"):
            client.wait_for(lambda: False)
    finally:
        feed.close()


def test_a_reset_begins_a_new_generation(tmp_path: Path):
    feed = Feed(tmp_path, schedule=ScheduleSection(reset="12:00", generations_max=1))
    try:
        for generation in (1, 2):
            client = feed.logged_on("FEED1")
            feed.listener.timekeeper.tick(ahead(feed.listener, "next_reset") + (generation - 1) * 86_400 * 10**9)
            with pytest.raises(SessionLost, match="scheduled reset"):
                client.wait_for(lambda: False)
            assert numbers(feed.listener) == (1, 1)
            kept = [path.name for path in (tmp_path / "feed").glob("session-21.store.g*")]
            assert kept == [f"session-21.store.g{generation}"]
    finally:
        feed.close()


def test_a_reset_that_was_missed_is_made_up_for(tmp_path: Path):
    feed = Feed(tmp_path)
    settle(feed.logged_on("FEED1"))
    feed.close()
    assert numbers(feed.listener) != (1, 1)
    time.sleep(1.1)  # a store knows the second in which it was begun
    feed = Feed(tmp_path, schedule=ScheduleSection(reset=f"{datetime.now(UTC):%H:%M:%S}"))
    try:
        assert numbers(feed.listener) == (1, 1)
    finally:
        feed.close()


def test_a_throttle_that_was_agreed_holds(tmp_path: Path):
    feed = Feed(tmp_path, throttles={"FEED1": 5})
    try:
        client, free = feed.logged_on("FEED1"), feed.logged_on("FEED2")
        for broker in (client, free):
            for count in range(12):
                broker.send("V", wanted(f"v{count}", "0"))
        client.wait_for(lambda: bool(client.inbox))
        assert (tags(client.inbox[0])[35], tags(client.inbox[0])[380]) == ("j", "0")
        settle(free)
        assert not free.inbox
        with pytest.raises(SessionLost, match="throttled: more than 5 messages a second"):
            for count in range(50):
                client.send("V", wanted(f"w{count}", "0"))
            client.wait_for(lambda: False)
    finally:
        feed.close()


def test_passwords_age_over_restarts(tmp_path: Path):
    """Since when a configured password is in use is on disk from the first start on."""
    path = make(tmp_path).data_dir / "credentials-market_data.json"
    Feed(tmp_path, logon=LogonSection(password_days_max=30)).close()
    known = json.loads(path.read_text())
    for entry in known.values():
        entry["since"] -= 31 * 86_400
    path.write_text(json.dumps(known))
    feed = Feed(tmp_path, logon=LogonSection(password_days_max=30))
    try:
        with pytest.raises(SessionLost, match="the password is older than 30 days"):
            feed.logged_on("FEED1")
    finally:
        feed.close()


# ---- drop copies over a reset ----


def test_copies_that_wait_are_whole_after_a_reset(venue: Venue):
    """Each says whose report it is; none comes twice; a resend brings the same."""
    config = replace(with_copies(venue.config), schedule=ScheduleSection(reset="12:00"))
    copies = Copies(config)
    try:
        broker = venue.logged_on("ALPHA1")
        names = [ask(broker, lambda price=price: broker.order("ACME", "buy", 1, price))[11] for price in ("99", "98")]
        copies.wait(venue)
        copies.gateway.listener.timekeeper.tick(ahead(copies.gateway.listener, "next_reset"))
        copies.gateway.listener.settle()
        client = copies.client("ACOPY")
        client.wait_for(lambda: len(client.inbox) == 2)
        found = [tags(m) for m in client.inbox]
        assert [(m[11], m[115], m[116], m[97], m[797]) for m in found] == [
            (name, "ALPHA1", "ALPHA", "Y", "Y") for name in names
        ]
        assert client.duplicates == 0 and found[0][34] == "1"
    finally:
        copies.close()
