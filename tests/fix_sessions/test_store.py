"""What survives: sequence numbers, messages, and reports that had not reached the store when the process died."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fix_sessions.client import Broker, SessionLost
from tests.fix_sessions.rig import PASSWORD, USERS, Venue, ask, settle, spawn, tags, until, written


def test_numbers_and_messages_survive_a_restart(make_venue: Callable[..., Venue], application: str):
    """ROE-7"""
    first = make_venue(application)
    broker = first.logged_on("ALPHA2")
    ask(broker, lambda: broker.order("ACME", "buy", 5, "99"))
    other = first.logged_on("BRAVO1")
    broker.close()
    until(lambda: not first.acceptor.sessions()[1]["logged_on"])
    ask(other, lambda: other.order("ACME", "sell", 5, "99"))
    first.close()
    second = Venue(first.config.path.parent, application)
    try:
        broker.port = second.acceptor.port
        broker.log_on()
        broker.wait_for(lambda: len(broker.executions) == 2)
        assert [tags(m)[150] for m in broker.inbox] == ["0", "F"]
        assert broker.duplicates == 0
        assert ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))[150] == "0"
    finally:
        broker.close()
        second.close()


def test_unreported_executions_come_once(make_venue: Callable[..., Venue], application: str):
    """ROE-16"""
    first = make_venue(application)
    numbers: dict[str, Broker] = {}
    for name in ("ALPHA2", "BRAVO1"):
        numbers[name] = first.logged_on(name)
        numbers[name].log_out()
    folder = first.config.path.parent
    first.close()
    died = spawn(["-m", "tests.fix_sessions.venue_process", str(folder), "unreported"])
    assert died.wait(60) == -signal.SIGKILL
    for turn in range(2):
        venue = Venue(folder, application)
        try:
            for broker in numbers.values():
                broker.port = venue.acceptor.port
                broker.log_on()
                settle(broker)
            reports = [tags(m) for m in numbers["ALPHA2"].inbox]
            assert [(r[11], r[150], r[39], r[97]) for r in reports] == [
                ("u1", "0", "0", "Y"),
                ("u2", "0", "0", "Y"),
                ("u1", "F", "2", "Y"),
                ("u2", "F", "2", "Y"),
            ], f"turn {turn}: each once, marked as possibly sent before"
            assert [tags(m)[150] for m in numbers["BRAVO1"].inbox] == ["0", "F", "F"]
            assert not any(broker.duplicates for broker in numbers.values())
            for broker in numbers.values():
                broker.log_out()
        finally:
            venue.close()


def test_killed_under_load(tmp_path: Path, application: str):
    """Nothing acknowledged is lost and no ExecID comes twice, whatever moment the process is killed at."""
    brokers = {name: Broker("127.0.0.1", 0, name, USERS[name], PASSWORD) for name in ("ALPHA2", "BRAVO1")}
    for turn in range(3):
        process = spawn(["-m", "tests.fix_sessions.venue_process", str(tmp_path), application, "commit"])
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            for broker in brokers.values():
                broker.port = port
                broker.log_on()
            end = time.monotonic() + 0.4 + 0.3 * turn
            while time.monotonic() < end:
                for side, broker in zip(("buy", "sell"), brokers.values(), strict=True):
                    broker.order("ACME", side, 3, "100")
                    broker.poll()
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        for broker in brokers.values():
            drain(broker)
    venue = Venue(tmp_path, application)
    try:
        for broker in brokers.values():
            broker.port = venue.acceptor.port
            broker.log_on()
        for broker in [*brokers.values(), *brokers.values()]:  # what one sends again may be the other's fill
            settle(broker)
        venue.engine.check()
        reconcile(venue, brokers)
    finally:
        venue.close()


def drain(broker: Broker) -> None:
    try:
        while broker.poll(0.05):
            pass
    except SessionLost:
        pass
    broker.close()


def reconcile(venue: Venue, brokers: dict[str, Broker]) -> None:
    """Every event of the journal is in its broker's ledger, once; the ledger has nothing else."""
    from cores import Core

    follower, core, parts = written(venue), Core(venue.engine.config), []
    while len(commands := follower.poll(100_000).commands):
        parts.append(core.apply(commands)[0])
    events = np.concatenate(parts)
    numbers = {"ALPHA2": 4, "BRAVO1": 2}
    total = 0
    for name, broker in brokers.items():
        own = events[events["session"] == numbers[name]]
        assert broker.duplicates == 0, name
        expected = {f"{int(e) >> 24}-{int(e) & 0xFFFFFF}".encode() for e in own["exec_id"]}
        assert expected == set(broker.executions), name
        total += len(expected)
        answered = {message.get(11) for message in broker.inbox}
        sent = {dict(body)[11].encode() for kind, body, _ in broker.sent.values() if kind == "D"}
        assert sent <= answered, f"{name}: what the venue took to its grave is asked for again"
    assert total > 50, "the brokers were busy"


def test_a_slow_consumer_is_shown_out_and_delays_nobody(make_venue: Callable[..., Venue], application: str):
    """ROE-19"""
    venue = make_venue(application, queue_bytes_max=1 << 17)
    slow, quick = venue.logged_on("ALPHA2"), venue.logged_on("BRAVO1")
    assert slow.socket is not None
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)  # else the system may keep megabytes for it
    name = slow.order("ACME", "sell", 20_000, "100")
    slow.wait_for(lambda: len(slow.executions) == 1)
    fills = 0
    while fills < 20_000 and not venue.acceptor.counters()["slow_consumers"]:
        quick.order("ACME", "buy", 1, "100")
        quick.poll()
        fills += 1
    until(lambda: venue.acceptor.counters()["slow_consumers"] == 1)
    assert ask(quick, lambda: quick.order("ACME", "buy", 1, "99"))[150] == "0"
    settle(quick)
    with pytest.raises(SessionLost, match=r"slow consumer: \d+ bytes were waiting unread"):
        slow.wait_for(lambda: False, 10)
    slow.log_on()
    settle(slow)
    assert fills > 100
    assert [m.get(14) for m in slow.inbox] == [str(cum).encode() for cum in range(fills + 1)]
    assert {m.get(11) for m in slow.inbox} == {name.encode()}
    assert len(slow.executions) == len(slow.inbox)
    assert slow.duplicates == 0


def test_who_cancels_all_at_once_and_reads_is_not_slow(make_venue: Callable[..., Venue], application: str):
    """A burst that one request brings about is more than the queue takes, and leaves while it comes about."""
    venue = make_venue(application, queue_bytes_max=1 << 18)
    broker = venue.logged_on("ALPHA2")
    for sent in range(1_000):
        broker.order("ACME", "sell", 1, "101")
        if sent % 100 == 0:
            broker.poll()
    settle(broker)
    assert len(broker.executions) == 1_000
    broker.request("q", [(530, "7")])
    broker.wait_for(lambda: any(m.get(35) == b"r" for m in broker.inbox))
    settle(broker)
    assert sum(m.get(150) == b"4" for m in broker.executions.values()) == 1_000
    assert venue.acceptor.counters()["slow_consumers"] == 0


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 5000])
def test_a_store_that_is_none(make_venue: Callable[..., Venue], tmp_path: Path, size: int):
    folder = tmp_path / "other" / "fix"
    folder.mkdir(parents=True)
    (folder / "session-1.store").write_bytes(b"\xff" * size)
    if size == 0:
        make_venue("native", folder="other").logged_on("ALPHA1")
        return
    with pytest.raises(Exception, match=r"session-1\.store: is no store of this version; move the file away"):
        make_venue("native", folder="other")


def test_a_torn_record_is_forgotten(make_venue: Callable[..., Venue]):
    """As after a loss of power: the last record is damaged, the ones before it count."""
    first = make_venue("native")
    broker = first.logged_on("ALPHA2")
    for _ in range(3):
        ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))
    first.close()
    path = first.config.path.parent / "fix" / "session-4.store"
    data = bytearray(path.read_bytes())
    used = int.from_bytes(data[8:16], "little")
    data[used - 20] ^= 0xFF
    path.write_bytes(data)
    second = Venue(first.config.path.parent, "native")
    second.acceptor.check()
    second.close()


BOOT, CLOSED, NEXT_SENDER = 72, 88, 16
LEAP = 1 << 24


def test_after_a_loss_of_power_numbers_leap_and_nothing_is_lost(make_venue: Callable[..., Venue], application: str):
    """The store's pages are as they were a while ago, and the system was started anew: a broker has seen more."""
    first = make_venue(application, sync="commit")
    broker = first.logged_on("ALPHA2")
    for _ in range(3):
        ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))
    path = first.config.path.parent / "fix" / "session-4.store"
    old = bytearray(path.read_bytes())
    for _ in range(5):
        ask(broker, lambda: broker.order("ACME", "buy", 1, "98"))
    seen = broker.next_in
    first.close()
    old[BOOT] ^= 0xFF
    assert old[CLOSED] == 0, "the venue was running"
    path.write_bytes(old)
    second = Venue(first.config.path.parent, application, sync="commit")
    try:
        broker.port = second.acceptor.port
        broker.log_on()
        settle(broker)
        settle(broker)
        assert broker.next_in > LEAP > seen
        assert ask(broker, lambda: broker.order("ACME", "buy", 1, "97"))[150] == "0"
        assert len(broker.executions) == 9, "each order's report, those twice reported under the same ExecID"
        assert second.engine.open_orders(0) == 9, "orders that were asked for again are known"
        second.acceptor.check()
    finally:
        second.close()


def test_a_clean_stop_or_a_killed_process_skips_nothing(make_venue: Callable[..., Venue]):
    first = make_venue("native")
    broker = first.logged_on("ALPHA2")
    ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))
    broker.log_out()
    path = first.config.path.parent / "fix" / "session-4.store"
    first.close()
    for closed, other_boot in (
        (1, True),
        (0, False),
    ):  # a clean end; a kill
        data = bytearray(path.read_bytes())
        data[CLOSED] = closed
        data[BOOT] ^= 0xFF if other_boot else 0
        before = data[NEXT_SENDER : NEXT_SENDER + 8]
        path.write_bytes(data)
        Venue(first.config.path.parent, "native").close()
        assert path.read_bytes()[NEXT_SENDER : NEXT_SENDER + 8] == before
