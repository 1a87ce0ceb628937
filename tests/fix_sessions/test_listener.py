"""The listener of a gateway without an engine: who is let in, what is kept, what a client may leave unread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fix_sessions.client import Broker, SessionLost
from fix_sessions.listener import Listener
from fix_sessions.messages import first_fields
from tests.fix_sessions.rig import PASSWORD, PASSWORD_HASH, make_config, settle, tags, until
from venue.config import Config, Session

SERVED = "V and x"
FEEDS = {"FEED1": 21, "FEED2": 22}
NEWS = b"148=%d\x0133=1\x0158=line\x01"


def make(
    folder: Path,
    queue_bytes_max: int = 1 << 20,
    proxy_networks: tuple[str, ...] = (),
    throttles: dict[str, int] | None = None,
    **sections: Any,
) -> Config:
    """`throttles`: messages a second by CompID; `sections`: tables of the configuration."""
    config = make_config(folder, queue_bytes_max=queue_bytes_max)
    config = replace(config, fix=replace(config.fix, proxy_networks=proxy_networks))
    first, *others = config.members
    most = throttles or {}
    feeds = [
        Session(n, c, c.lower(), PASSWORD_HASH, kind="market_data", messages_per_second=most.get(c, 0))
        for c, n in FEEDS.items()
    ]
    return replace(config, members=(replace(first, sessions=(*first.sessions, *feeds)), *others), **sections)


class Recorder:
    """A desk that remembers what it was told, and refuses one tag when asked to."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, int, bytes, bool]] = []
        self.sessions: list[tuple[int, bool]] = []
        self.turns = self.ticks = 0
        self.refused = 0

    def on_message(self, session: int, number: int, body: bytes, poss_dup: bool) -> int:
        self.messages.append((session, number, body, poss_dup))
        return self.refused

    def on_session(self, session: int, logged_on: bool, text: str) -> None:
        self.sessions.append((session, logged_on))

    def on_turn(self) -> None:
        self.turns += 1

    def on_tick(self) -> None:
        self.ticks += 1


class Feed:
    """A listener and its clients."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.desk = Recorder()
        self.listener = Listener(
            make(folder, **limits), "market_data", "127.0.0.1", 0, folder / "feed", self.desk, SERVED
        )
        self.clients: list[Broker] = []
        self.listener.start()

    def client(self, comp_id: str, **fields: Any) -> Broker:
        username = fields.pop("username", comp_id.lower())
        client = Broker("127.0.0.1", self.listener.port, comp_id, username, PASSWORD, **fields)
        self.clients.append(client)
        return client

    def logged_on(self, comp_id: str, **fields: Any) -> Broker:
        client = self.client(comp_id, **fields)
        client.log_on()
        return client

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.listener.stop()
        self.listener.check()


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    found = Feed(tmp_path)
    yield found
    found.close()


def numbers(client: Broker) -> list[int]:
    """What came of NEWS, in order."""
    return [int(tags(message)[148]) for message in client.inbox if message.get(35) == b"B"]


def test_only_sessions_of_its_kind_are_served(feed: Feed) -> None:
    feed.logged_on("FEED1")
    with pytest.raises(SessionLost, match="unknown SenderCompID"):
        feed.client("ALPHA1", username="alpha").log_on()
    assert [session["comp_id"] for session in feed.listener.sessions()] == list(FEEDS)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(st.tuples(st.sampled_from([(21,), (22,), (21, 22)]), st.booleans()), min_size=1, max_size=30))
def test_what_is_sent_arrives_in_order_and_what_is_kept_waits(
    plan: list[tuple[tuple[int, ...], bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    feed = Feed(tmp_path_factory.mktemp("feed"))
    try:
        there = feed.logged_on("FEED1")
        for number, (sessions, kept) in enumerate(plan):
            feed.listener.send_body(sessions, b"B", NEWS % number, kept=kept)
        feed.listener.settle()
        settle(there)
        assert numbers(there) == [i for i, (sessions, _) in enumerate(plan) if 21 in sessions]
        late = feed.logged_on("FEED2")
        settle(late)
        assert numbers(late) == [i for i, (sessions, kept) in enumerate(plan) if 22 in sessions and kept]
    finally:
        feed.close()


class Terminated(Broker):
    """A client behind a terminator, which says whom it brings."""

    def connect(self, seconds: float) -> socket.socket:
        found = super().connect(seconds)
        found.sendall(b"PROXY TCP4 192.0.2.7 10.0.0.1 4000 5001\r\n")
        return found


def test_behind_terminators_every_connection_must_say_whom_it_brings(tmp_path: Path) -> None:
    feed = Feed(tmp_path, proxy_networks=("127.0.0.0/8",))
    try:
        bare = feed.client("FEED1")
        with pytest.raises((SessionLost, OSError)):
            bare.log_on()
        terminated = Terminated("127.0.0.1", feed.listener.port, "FEED1", "feed1", PASSWORD)
        feed.clients.append(terminated)
        terminated.log_on()
        assert feed.desk.sessions == [(21, True)]
    finally:
        feed.close()


def test_a_resend_skips_what_is_not_kept(feed: Feed) -> None:
    client = feed.logged_on("FEED1")
    for number in range(200):
        feed.listener.send_body(21, b"B", NEWS % number, kept=number % 3 == 0)
    feed.listener.settle()
    settle(client)
    assert numbers(client) == list(range(200))
    client.inbox.clear()
    client.next_in = 2
    client.send("2", [(7, "2"), (16, "0")])
    settle(client)
    assert numbers(client) == list(range(0, 200, 3))
    assert all(message.get(43) == b"Y" for message in client.inbox)


@pytest.mark.parametrize("back", [1, 5, 6, 7, 20, 63, 100])
def test_a_gap_fill_begins_where_the_gap_does(feed: Feed, back: int) -> None:
    """Also at the end of what is asked for: else the client takes it for an old one, and waits for what never comes."""
    client = feed.logged_on("FEED1")
    for number in range(200):
        feed.listener.send_body(21, b"B", NEWS % number, kept=number % 7 == 0)
    feed.listener.settle()
    settle(client)  # the last message that is kept is the session's own
    for number in range(200, 205):
        feed.listener.send_body(21, b"B", NEWS % number, kept=False)
    client.wait_for(lambda: len(numbers(client)) == 205)
    after = client.next_in
    client.admin.clear()
    client.next_in = first = after - back
    client.send("2", [(7, str(first)), (16, "0")])
    client.wait_for(lambda: client.next_in == after)
    fills = [(int(m.get(34)), int(m.get(36))) for m in client.admin if m.get(35) == b"4"]
    kept = [int(m.get(34)) for m in client.inbox[-back:] if m.get(43) == b"Y"]
    covered = sorted([*(n for begin, end in fills for n in range(begin, end)), *kept])
    assert covered == list(range(first, after))


def test_requests_come_to_the_desk_and_answers_leave_at_once(feed: Feed) -> None:
    client = feed.logged_on("FEED1")
    order = client.order("ACME", "buy", 1, "100.00")
    until(lambda: bool(feed.desk.messages))
    session, number, body, _ = feed.desk.messages[0]
    assert (session, number, first_fields(body)[11]) == (21, 2, order.encode())
    feed.listener.business_reject(session, number, b"D", 3, b"not here", order.encode())
    client.wait_for(lambda: bool(client.inbox))
    found = tags(client.inbox[0])
    assert (found[45], found[372], found[379], found[380], found[58]) == ("2", "D", order, "3", "not here")
    feed.desk.refused = 55
    client.order("ACME", "buy", 1, "100.00")
    settle(client)
    assert [m.get(371) for m in client.admin if m.get(35) == b"3"] == [b"55"]


def test_a_client_that_does_not_read_is_logged_out_and_the_other_is_not(tmp_path: Path) -> None:
    feed = Feed(tmp_path, queue_bytes_max=1 << 16)
    try:
        slow, quick = feed.logged_on("FEED1"), feed.logged_on("FEED2")
        line = b"33=1\x0158=" + b"x" * 4000 + b"\x01"
        sent = 0
        while feed.listener.counters()["slow_consumers"] == 0 and sent < 20_000:
            for _ in range(20):
                feed.listener.send_body([21, 22], b"B", b"148=%d\x01" % sent + line, kept=False)
                sent += 1
            feed.listener.settle()
            quick.wait_for(lambda want=sent: len(numbers(quick)) == want)  # type: ignore[misc]
        assert feed.listener.unsent(22) == 0
        with pytest.raises(SessionLost, match="slow consumer"):
            while True:
                slow.poll(1.0)
        assert numbers(quick) == list(range(sent))
        assert numbers(slow) == list(range(len(numbers(slow))))
    finally:
        feed.close()


def test_any_thread_may_send_and_each_ones_order_stays(feed: Feed) -> None:
    client = feed.logged_on("FEED1")

    def send(first: int) -> None:
        for number in range(first, first + 500):
            feed.listener.send_body(21, b"B", NEWS % number, kept=False)

    threads = [threading.Thread(target=send, args=(1000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    feed.listener.settle()
    settle(client)
    found = numbers(client)
    assert len(found) == 2000
    for i in range(4):
        assert [n for n in found if n // 1000 == i] == list(range(1000 * i, 1000 * i + 500))


def test_turns_and_ticks_come_while_they_are_wanted(feed: Feed) -> None:
    assert feed.desk.turns == 0
    feed.listener.stop()
    config, folder = feed.listener.config, feed.listener.store_dir
    feed.listener = Listener(config, "market_data", "127.0.0.1", 0, folder, feed.desk, SERVED)
    feed.listener.open()
    feed.listener.want_turns(True)
    feed.listener.want_ticks(True)
    feed.listener.start()
    until(lambda: feed.desk.turns > 3 and feed.desk.ticks > 1)


def test_sequence_numbers_and_kept_messages_survive_a_restart(tmp_path: Path) -> None:
    feed = Feed(tmp_path)
    client = feed.logged_on("FEED1")
    feed.listener.send_body(21, b"B", NEWS % 1, kept=False)
    feed.listener.settle()
    settle(client)
    client.close()
    until(lambda: not any(s["logged_on"] for s in feed.listener.sessions()))
    feed.listener.send_body([21, 22], b"B", NEWS % 2)
    feed.listener.settle()
    feed.close()
    again = Feed(tmp_path)
    try:
        back = again.client("FEED1", next_out=client.next_out, next_in=client.next_in)
        back.log_on()
        back.wait_for(lambda: numbers(back) == [2])
        time.sleep(0.05)
        assert numbers(back) == [2]
    finally:
        again.close()
