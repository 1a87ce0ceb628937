"""Drop copies are what members were told: no more, no less, whatever dies when; and a replay is their exact tail."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fix_sessions.client import Broker, SessionLost
from fix_sessions.drop_copy import DropCopy
from tests.fix_sessions.rig import PASSWORD, PASSWORD_HASH, Venue, bust, settle, tags, until
from venue.config import Config, Member, Session
from venue.config_sections import DropCopySection

HEADER = {8, 9, 10, 34, 35, 43, 49, 52, 56, 97, 115, 116, 122}
EXTRA = {797, 1352}
COPIES = {"ACOPY": (31, "ALPHA", ()), "BCOPY": (32, "BRAVO", ()), "CLEAR": (33, "CLEARING", ("ALPHA", "BRAVO"))}
MEMBER_OF = {"ALPHA1": "ALPHA", "ALPHA2": "ALPHA", "BRAVO1": "BRAVO"}
SEEN_BY = {"ACOPY": {"ALPHA1", "ALPHA2"}, "BCOPY": {"BRAVO1"}, "CLEAR": {"ALPHA1", "ALPHA2", "BRAVO1"}}


def with_copies(config: Config, **section: int) -> Config:
    """The same venue with three drop-copy sessions, one of them a clearing firm's."""
    made = {
        owner: Session(n, comp_id, comp_id.lower(), PASSWORD_HASH, kind="drop_copy", copies=copies)
        for comp_id, (n, owner, copies) in COPIES.items()
    }
    members = [replace(m, sessions=(*m.sessions, made[m.id])) for m in config.members]
    members.append(Member("CLEARING", (), sessions=(made["CLEARING"],)))
    venue = replace(config.venue, data_dir=config.path.parent)
    return replace(config, venue=venue, members=tuple(members), drop_copy=DropCopySection(**section))


class Copies:
    """A drop-copy gateway in this process, and its clients."""

    def __init__(self, config: Config) -> None:
        self.gateway = DropCopy(config)
        self.gateway.open()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.gateway.run, args=(self.stop,))
        self.thread.start()
        self.clients: list[Broker] = []

    def client(self, comp_id: str, before: Broker | None = None) -> Broker:
        """A client, logged on; it goes on where `before` ended."""
        numbers = {"next_out": before.next_out, "next_in": before.next_in} if before else {}
        port = self.gateway.listener.port
        client = Broker("127.0.0.1", port, comp_id, comp_id.lower(), PASSWORD, **numbers)
        client.log_on()
        self.clients.append(client)
        return client

    def wait(self, venue: Venue) -> None:
        """Until everything is in the stores; when nothing is synced, reports leave before they are durable."""
        venue.engine.drain()
        seq = venue.engine.last_seq
        until(lambda: self.gateway.reports.seq >= seq)
        self.gateway.listener.settle()

    def close(self) -> None:
        self.stop.set()
        self.thread.join()
        for client in self.clients:
            client.close()
        self.gateway.close()


def body(message: Any) -> dict[int, str]:
    """What a report says, without what only a copy says."""
    return {tag: value for tag, value in tags(message).items() if tag not in HEADER | EXTRA}


def told(venue: Venue) -> dict[str, list[dict[int, str]]]:
    """What every session was told, as 8 and 9, in order."""
    found: dict[str, list[dict[int, str]]] = {name: [] for name in MEMBER_OF}
    for broker in venue.brokers:
        found[broker.comp_id] += [body(m) for m in broker.inbox if m.get(35) in (b"8", b"9")]
    return found


def copied(messages: list[Any]) -> dict[str, list[dict[int, str]]]:
    """The copies by the session they are of; each must say that it is one."""
    found: dict[str, list[dict[int, str]]] = {name: [] for name in MEMBER_OF}
    for message in messages:
        if message.get(35) not in (b"8", b"9"):
            continue
        values = tags(message)
        assert values[797] == "Y" and values[116] == MEMBER_OF[values[115]]
        found[values[115]].append(body(message))
    return found


def flow(brokers: list[Broker], rng: random.Random, count: int) -> None:
    """Orders that trade, are refused, replaced and cancelled, some of them in vain."""
    names: dict[str, list[tuple[str, str]]] = {broker.comp_id: [] for broker in brokers}
    for _ in range(count):
        broker = rng.choice(brokers)
        own, side, price = names[broker.comp_id], rng.choice(["buy", "sell"]), f"{rng.randint(9_990, 10_010) / 100:.2f}"
        kind = rng.random()
        if kind < 0.65 or not own:
            symbol = "ACME" if kind < 0.6 else "NOPE"
            own.append((broker.order(symbol, side, rng.randint(1, 9), price), side))
        elif kind < 0.85:
            broker.cancel(*_named(rng.choice(own)))
        else:
            name, its_side = rng.choice(own)
            own.append((broker.replace(name, "ACME", its_side, rng.randint(1, 9), price), its_side))
        if rng.random() < 0.1:
            settle(broker)
    for broker in brokers:
        settle(broker)


def busts(venue: Venue, rng: random.Random, count: int) -> int:
    """Takes trades back that were reported, some of them in vain; returns how many were."""
    fills = [m for broker in venue.brokers for m in broker.inbox if m.get(150) == b"F"]
    trades = sorted({m.get(527).decode() for m in fills})
    done = 0
    for trade in rng.sample(trades, min(count, len(trades))):
        try:
            bust(venue, trade)
            done += 1
        except ValueError as error:
            assert "busted already" in str(error) or "INSUFFICIENT_FUNDS" in str(error)
    for broker in venue.brokers:
        settle(broker)
    return done


def _named(order: tuple[str, str]) -> tuple[str, str, str]:
    return order[0], "ACME", order[1]


def compare(venue: Venue, inboxes: dict[str, list[Any]]) -> None:
    expected = told(venue)
    for name, messages in inboxes.items():
        found = copied(messages)
        for session in MEMBER_OF:
            wanted = expected[session] if session in SEEN_BY[name] else []
            assert found[session] == wanted, (name, session, len(found[session]), len(wanted))


def ordered(messages: list[Any]) -> bool:
    """Whether copies came in the order of the journal."""
    ids = [tuple(map(int, m.get(17).split(b"-"))) for m in messages if m.get(35) == b"8"]
    return ids == sorted(set(ids))


@pytest.fixture
def place(make_venue: Any) -> Iterator[tuple[Venue, Config]]:
    venue = make_venue("native", sync="none")
    yield venue, with_copies(venue.config)


PARTS = st.lists(st.sampled_from(["stay", "leave", "restart"]), min_size=2, max_size=4)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), parts=PARTS)
def test_copies_are_what_the_members_were_told(
    seed: int, parts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    venue = Venue(tmp_path_factory.mktemp("venue"), "native", "none")
    config = with_copies(venue.config)
    copies = Copies(config)
    try:
        inboxes: dict[str, list[Any]] = {name: [] for name in COPIES}
        clients = {name: copies.client(name) for name in COPIES}
        brokers = [venue.logged_on(name) for name in MEMBER_OF]
        for part in parts:
            if part == "leave":
                for client in clients.values():
                    client.close()
            elif part == "restart":
                copies.close()
            flow(brokers, rng, 40)
            busts(venue, rng, 4)
            if part == "restart":
                copies = Copies(config)
            copies.wait(venue)
            if part != "stay":
                for name, client in clients.items():
                    inboxes[name] += client.inbox
                clients = {name: copies.client(name, client) for name, client in clients.items()}
            for client in clients.values():
                settle(client)
        for name, client in clients.items():
            inboxes[name] += client.inbox
            assert ordered(inboxes[name]), name
        compare(venue, inboxes)
    finally:
        copies.close()
        copies.gateway.reports.check()
        venue.close()


def test_a_replay_from_each_execution_is_the_exact_tail(place: tuple[Venue, Config]) -> None:
    venue, config = place
    copies = Copies(config)
    try:
        flow([venue.logged_on(name) for name in MEMBER_OF], random.Random(7), 60)
        assert busts(venue, random.Random(7), 5) > 1
        flow(venue.brokers, random.Random(8), 20)
        copies.wait(venue)
        client = copies.client("CLEAR")
        settle(client)
        whole = [m for m in client.inbox if m.get(35) in (b"8", b"9")]
        places = [(m.get(17), i + 1) for i, m in enumerate(whole) if m.get(35) == b"8"]
        for exec_id, first in [(b"0", 0), *places[:: max(1, len(places) // 12)], places[-1]]:
            client.inbox.clear()
            client.send("BW", [(1346, "r1"), (1347, "0"), (17, exec_id)])
            client.wait_for(lambda: bool(client.inbox) and client.inbox[-1].get(35) == b"BY")
            ack, *again, done = client.inbox
            assert (ack.get(35), ack.get(1348), ack.get(1346)) == (b"BX", b"0", b"r1")
            assert [body(m) for m in again] == [body(m) for m in whole[first:]]
            assert all(m.get(1352) == b"Y" and m.get(97) == b"Y" and m.get(797) == b"Y" for m in again)
            assert done.get(1349) == b"%d" % len(again)
        client.inbox.clear()
    finally:
        copies.close()


def test_a_long_replay_is_asked_for_in_pieces_and_others_go_on(make_venue: Any) -> None:
    venue = make_venue("native", sync="none")
    copies = Copies(with_copies(venue.config, replay_reports_max=25))
    try:
        flow([venue.logged_on(name) for name in MEMBER_OF], random.Random(8), 80)
        copies.wait(venue)
        client = copies.client("ACOPY")
        settle(client)
        whole = [body(m) for m in client.inbox if m.get(35) in (b"8", b"9")]
        exec_id, found, rounds = b"0", [], 0
        while True:
            client.inbox.clear()
            client.send("BW", [(1346, "r"), (1347, "0"), (17, exec_id)])
            client.wait_for(lambda: bool(client.inbox) and client.inbox[-1].get(35) == b"BY")
            found += [body(m) for m in client.inbox if m.get(35) in (b"8", b"9")]
            rounds += 1
            if client.inbox[-1].get(58) is None:
                break
            exec_id = client.inbox[-1].get(17)
        assert found == whole and rounds > 1
    finally:
        copies.close()


@pytest.mark.parametrize(
    ("exec_id", "code", "text"),
    [
        ("1-0", "1", "names no report"),
        ("999999-0", "1", "names no report"),
        ("abc", "1", "must be the ExecID"),
        ("0-1", "1", "must be the ExecID"),
        ("-1-1", "1", "must be the ExecID"),
        ("1-16777216", "1", "must be the ExecID"),
    ],
)
def test_wrong_requests_are_refused_and_the_session_goes_on(
    place: tuple[Venue, Config], exec_id: str, code: str, text: str
) -> None:
    venue, config = place
    copies = Copies(config)
    try:
        client = copies.client("ACOPY")
        client.send("BW", [(1346, "r"), (1347, "0"), (17, exec_id)])
        client.wait_for(lambda: bool(client.inbox))
        found = tags(client.inbox[-1])
        assert (found[35], found[1348], found[1346]) == ("BX", code, "r") and text in found[58]
        broker = venue.logged_on("ALPHA1")
        broker.order("ACME", "buy", 1, "100.00")
        client.wait_for(lambda: client.inbox[-1].get(35) == b"8")
        client.order("ACME", "buy", 1, "100.00")
        client.wait_for(lambda: client.inbox[-1].get(35) == b"j")
        assert "BW is" in tags(client.inbox[-1])[58]
    finally:
        copies.close()


def test_another_members_execution_is_no_place_to_begin(place: tuple[Venue, Config]) -> None:
    venue, config = place
    copies = Copies(config)
    try:
        broker = venue.logged_on("BRAVO1")
        broker.order("ACME", "buy", 1, "100.00")
        broker.wait_for(lambda: bool(broker.inbox))
        copies.wait(venue)
        client = copies.client("ACOPY")
        client.send("BW", [(1346, "r"), (1347, "0"), (17, broker.inbox[0].get(17))])
        client.wait_for(lambda: bool(client.inbox))
        assert "names no report" in tags(client.inbox[-1])[58]
    finally:
        copies.close()


def test_only_drop_copy_sessions_may_log_on(place: tuple[Venue, Config]) -> None:
    venue, config = place
    copies = Copies(config)
    try:
        intruder = Broker("127.0.0.1", copies.gateway.listener.port, "ALPHA1", "alpha", PASSWORD)
        with pytest.raises(SessionLost, match="unknown SenderCompID"):
            intruder.log_on()
        with pytest.raises(SessionLost, match="unknown SenderCompID"):
            Broker("127.0.0.1", venue.acceptor.port, "ACOPY", "acopy", PASSWORD).log_on()
    finally:
        copies.close()


@contextmanager
def killed_gateway(venue: Venue) -> Iterator[None]:
    """A drop-copy gateway in a process of its own, which is killed at the end."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.fix_sessions.test_drop_copy", str(venue.data_dir)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline().strip() == b"open"
        yield
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()


def test_killed_at_any_moment_nothing_is_missing_and_nothing_comes_twice(place: tuple[Venue, Config]) -> None:
    venue, config = place
    brokers = [venue.logged_on(name) for name in MEMBER_OF]
    rng = random.Random(9)
    for _ in range(3):
        with killed_gateway(venue):
            flow(brokers, rng, 40)
            busts(venue, rng, 4)
    copies = Copies(config)
    try:
        copies.wait(venue)
        inboxes = {}
        for name in COPIES:
            client = copies.client(name)
            settle(client)
            inboxes[name] = client.inbox
            assert ordered(client.inbox) and client.duplicates == 0
        compare(venue, inboxes)
    finally:
        copies.close()


def test_without_its_own_files_the_log_is_made_again_from_the_journal(place: tuple[Venue, Config]) -> None:
    venue, config = place
    brokers = [venue.logged_on(name) for name in MEMBER_OF]
    copies = Copies(config)
    flow(brokers, random.Random(10), 40)
    busts(venue, random.Random(10), 4)
    copies.wait(venue)
    copies.close()
    venue.engine.snapshot()
    for path in (copies.gateway.folder / "reports").iterdir():
        path.write_bytes(b"damaged")
    flow(brokers, random.Random(11), 40)
    assert busts(venue, random.Random(11), 4)
    copies = Copies(config)
    try:
        copies.wait(venue)
        client = copies.client("CLEAR")
        settle(client)
        assert ordered(client.inbox)
        compare(venue, {"CLEAR": client.inbox})
    finally:
        copies.close()


if __name__ == "__main__":
    from tests.fix_sessions.rig import make_config

    gateway = DropCopy(with_copies(make_config(Path(sys.argv[1]))))
    gateway.open()
    print("open", flush=True)
    gateway.run(threading.Event())
