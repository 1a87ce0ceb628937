"""What a session has agreed with the venue, over real sockets and on both applications."""

from __future__ import annotations

import functools
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from fix_sessions import logon
from fix_sessions.client import Broker, SessionLost
from tests.fix_sessions.rig import Venue, ask, settle, tags, until
from tests.fix_sessions.test_logon import KEY, NEW, PUBLIC

SESSION = 'comp_id = "ALPHA1", username'
Make = Callable[..., Venue]


def with_session(keys: str) -> dict[str, Any]:
    """A venue whose ALPHA1 has these keys too."""
    return {"changes": ((SESSION, f"{keys}, {SESSION}"),)}


def orders(venue: Venue, symbol: int = 0) -> int:
    return int(venue.engine.open_orders(symbol))


def gone(venue: Venue) -> None:
    until(lambda: not any(s["logged_on"] for s in venue.acceptor.sessions()))


# ---- throttle ----


def test_more_than_the_limit_is_refused_and_nothing_is_done(make_venue: Make, application: str):
    venue = make_venue(application, **with_session("messages_per_second = 5"))
    broker = venue.logged_on("ALPHA1")
    names = [broker.order("ACME", "buy", 1, "99") for _ in range(8)]
    broker.wait_for(lambda: len(broker.inbox) == 8)
    answers = [tags(message) for message in broker.inbox]
    refused = [answer for answer in answers if answer[35] == "j"]
    assert 0 < len(refused) <= 3 and len(refused) + orders(venue) == 8
    assert {answer[379] for answer in refused} <= set(names) and {answer[372] for answer in refused} == {"D"}
    assert all("may send 5 messages a second; nothing was done" in answer[58] for answer in refused)
    time.sleep(1.1)
    assert ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))[150] == "0", "a second later it is served again"
    assert venue.acceptor.counters()["throttled"] == len(refused)


def test_a_flood_is_logged_out_and_may_come_back(make_venue: Make, application: str):
    venue = make_venue(application, **with_session("messages_per_second = 5"))
    broker = venue.logged_on("ALPHA1")
    with pytest.raises((SessionLost, OSError)) as lost:
        for _ in range(200):
            broker.order("ACME", "buy", 1, "99")
        broker.wait_for(lambda: False, 5)
    gone(venue)
    if isinstance(lost.value, SessionLost) and broker.logout_text:
        assert "throttled: more than 5 messages a second" in broker.logout_text
    status = venue.acceptor.sessions()[0]
    broker.next_out, broker.next_in = status["target_seq"], status["sender_seq"]
    time.sleep(1.1)
    broker.log_on()
    settle(broker)


def test_going_on_after_refusals_second_after_second_is_logged_out(make_venue: Make, application: str):
    venue = make_venue(application, **with_session("messages_per_second = 3"))
    broker = venue.logged_on("ALPHA1")
    with pytest.raises((SessionLost, OSError)):
        for _ in range(12):
            for _ in range(5):
                broker.order("ACME", "buy", 1, "99")
            broker.poll(0.05)
            time.sleep(1.02)
        broker.wait_for(lambda: False, 3)
    gone(venue)
    assert venue.acceptor.counters()["throttled"] > 5


def test_heartbeats_and_answers_to_a_resend_request_are_not_refused(make_venue: Make, application: str):
    venue = make_venue(application, **with_session("messages_per_second = 8"))
    broker = venue.logged_on("ALPHA1")
    first = broker.next_out
    for number in range(first, first + 6):  # six orders get lost on the way
        body = [(11, f"lost-{number}"), (55, "ACME"), (54, "1"), (38, "1"), (40, "2"), (44, "99")]
        broker.sent[number] = ("D", [*body, (60, "20260101-00:00:00")], "20260101-00:00:00")
    broker.next_out += 6
    broker.send("0", [])
    broker.wait_for(lambda: len(broker.inbox) == 6)
    assert [tags(message)[35] for message in broker.inbox] == ["8"] * 6


# ---- cancel on disconnect ----


def test_a_graceful_logout_may_keep_orders_and_a_lost_connection_does_not(make_venue: Make, application: str):
    venue = make_venue(application, **with_session("cancel_on_logout = false"))
    broker = venue.logged_on("ALPHA1")
    ask(broker, lambda: broker.order("ACME", "buy", 5, "99"))
    broker.log_out()
    gone(venue)
    time.sleep(0.1)
    assert orders(venue) == 1
    broker.log_on()
    settle(broker)
    broker.close()
    gone(venue)
    until(lambda: orders(venue) == 0)


def test_a_logout_that_is_rejected_is_no_good_bye(make_venue: Make, application: str):
    venue = make_venue(application, **with_session("cancel_on_logout = false"))
    broker = venue.logged_on("ALPHA1")
    ask(broker, lambda: broker.order("ACME", "buy", 5, "99"))
    broker.send("5", [(9999, "x")])
    broker.wait_for(lambda: any(m.get(35) == b"3" for m in broker.admin))
    broker.close()
    gone(venue)
    until(lambda: orders(venue) == 0)


def test_kept_orders_are_kept_over_a_start(make_venue: Make, application: str, tmp_path: Path):
    venue = make_venue(application, **with_session("cancel_on_logout = false"))
    broker = venue.logged_on("ALPHA1")
    ask(broker, lambda: broker.order("ACME", "buy", 5, "99"))
    broker.log_out()
    gone(venue)
    venue.close()
    again = make_venue(application, **with_session("cancel_on_logout = false"))
    time.sleep(0.3)
    assert orders(again) == 1


def test_good_till_orders_stay(make_venue: Make, application: str):
    venue = make_venue(application, **with_session("cancel_keeps_good_till = true"))
    broker = venue.logged_on("ALPHA1")
    day = ask(broker, lambda: broker.order("ACME", "buy", 5, "99"))
    kept = ask(broker, lambda: broker.order("ACME", "buy", 5, "98", t59="1"))
    dated = ask(broker, lambda: broker.order("BOLT", "buy", 5, "10", t59="6", t432="22000101"))
    assert (day[39], kept[39], dated[39]) == ("0", "0", "0")
    broker.close()
    gone(venue)
    until(lambda: orders(venue) == 1)
    assert orders(venue, 1) == 1
    broker.log_on()
    broker.wait_for(lambda: any(message.get(150) == b"4" for message in broker.inbox))
    cancelled = [tags(message) for message in broker.inbox if message.get(150) == b"4"]
    assert [message[11] for message in cancelled] == [day[11]], "the Day order, unasked, under its own ClOrdID"


# ---- news ----


def test_news_to_those_who_are_logged_on(make_venue: Make, application: str):
    venue = make_venue(application)
    one, other = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    assert venue.acceptor.operate({"verb": "news", "text": "Maintenance at noon"}) == {"told": ["ALPHA1", "BRAVO1"]}
    assert venue.acceptor.operate({"verb": "news", "text": "For you", "session": "BRAVO1"}) == {"told": ["BRAVO1"]}
    settle(one)
    settle(other)
    assert [tags(m)[148] for m in one.inbox if m.get(35) == b"B"] == ["Maintenance at noon"]
    assert [tags(m)[58] for m in other.inbox if m.get(35) == b"B"] == ["Maintenance at noon", "For you"]
    assert venue.acceptor.sessions()[1]["sender_seq"] == 1, "who is not there is told nothing later"


@pytest.mark.parametrize(
    "asked",
    [
        {"verb": "news", "text": ""},
        {"verb": "news", "text": "a\x01b"},
        {"verb": "news", "text": "x" * 513},
        {"verb": "news", "text": "x", "session": "NOBODY"},
        {"verb": "log_out", "text": "x"},
        {"verb": "reset_session", "session": "ALPHA1"},
        {"verb": "dance"},
    ],
)
def test_what_operators_may_not_ask(make_venue: Make, asked: dict[str, str]):
    with pytest.raises(ValueError, match=r"verb|text|unknown|none of"):
        make_venue("native").acceptor.operate(asked)


# ---- generations ----


def test_a_reset_begins_a_new_generation_and_keeps_the_old(make_venue: Make, application: str):
    venue = make_venue(application, changes=(("[fix]", "[schedule]\ngenerations_max = 2\n[fix]"),))
    folder = venue.data_dir / "fix"
    broker = venue.broker("ALPHA2")
    for generation in range(1, 5):
        broker.next_out = broker.next_in = 1
        broker.log_on()
        ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))
        venue.acceptor.operate({"verb": "reset_session", "session": "ALPHA2", "text": "weekly reset"})
        with pytest.raises(SessionLost, match="weekly reset"):
            broker.wait_for(lambda: False, 5)
        gone(venue)
        status = venue.acceptor.sessions()[1]
        assert (status["sender_seq"], status["target_seq"]) == (1, 1)
        kept = sorted(path.name for path in folder.glob("session-4.store.g*"))
        assert kept == [f"session-4.store.g{i}" for i in range(max(1, generation - 1), generation + 1)]
    assert (folder / "session-4.store.g4").stat().st_size < 2 << 20, "an ended one has no spare room"


def test_what_was_not_delivered_goes_on_in_the_new_generation(make_venue: Make, application: str):
    venue = make_venue(application)
    absent, other = venue.logged_on("ALPHA2"), venue.logged_on("BRAVO1")
    ask(absent, lambda: absent.order("ACME", "buy", 10, "99"))
    absent.close()
    until(lambda: not venue.acceptor.sessions()[1]["logged_on"])
    ask(other, lambda: other.order("ACME", "sell", 4, "99"))
    ask(other, lambda: other.order("ACME", "sell", 6, "99"))
    venue.acceptor.attendance.begin_generations("reset")
    until(lambda: venue.acceptor.sessions()[1]["sender_seq"] == 3)
    absent.next_out = absent.next_in = 1
    absent.log_on()
    absent.wait_for(lambda: len(absent.executions) == 3)
    fills = [tags(m) for m in absent.inbox if m.get(150) == b"F"]
    assert [(fill[32], fill[97]) for fill in fills] == [("4", "Y"), ("6", "Y")] and absent.duplicates == 0
    venue.close()
    again = make_venue(application)
    assert again.acceptor.sessions()[1]["sender_seq"] == absent.next_in, "nothing is reported a second time"


# ---- who connects ----


def v2(address: str, port: int) -> bytes:
    body = socket.inet_aton(address) + socket.inet_aton("10.0.0.1") + struct.pack("!HH", port, 5001)
    return b"\r\n\r\n\x00\r\nQUIT\n" + bytes([0x21, 0x11]) + struct.pack("!H", len(body) + 3) + body + b"\x04\x00\x00"


HEADERS = [b"PROXY TCP4 192.0.2.7 10.0.0.1 4000 5001\r\n", v2("192.0.2.7", 4000)]


class Greeting(Broker):
    """A broker behind a terminator that says so in front of everything."""

    header = b""
    pause = 0.0

    def connect(self, seconds: float) -> socket.socket:
        found = super().connect(seconds)
        for byte in self.header:
            found.sendall(bytes([byte]))
            time.sleep(self.pause)
        return found


def behind(venue: Venue, header: bytes) -> Greeting:
    broker = Greeting("127.0.0.1", venue.acceptor.port, "ALPHA1", username="alpha", password="correct horse")
    broker.header = header
    venue.brokers.append(broker)
    return broker


PROXIED = ("[fix]", '[fix]\nproxy_networks = ["127.0.0.0/8"]')


@pytest.mark.parametrize("header", HEADERS, ids=["v1", "v2"])
def test_a_proxy_header_says_who_connects(make_venue: Make, application: str, header: bytes):
    allowed = (SESSION, f'networks = ["192.0.2.0/24"], {SESSION}')
    venue = make_venue(application, changes=(PROXIED, allowed))
    broker = behind(venue, header)
    broker.pause = 0.002
    broker.log_on()
    second = behind(venue, header)
    with pytest.raises(SessionLost, match=r"already logged on from 192\.0\.2\.7:4000"):
        second.log_on()


def test_the_terminators_own_address_is_not_the_members(make_venue: Make):
    allowed = (SESSION, f'networks = ["127.0.0.1/32"], {SESSION}')
    venue = make_venue("native", changes=(PROXIED, allowed))
    with pytest.raises(SessionLost, match="unknown SenderCompID"):
        behind(venue, HEADERS[0]).log_on()


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"PROXY TCP4 192.0.2.777 10.0.0.1 4000 5001\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4000\r\n",
        b"PROXY " + b"x" * 120 + b"\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\x00",
        b"\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x0c" + bytes(12),
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_no_header_or_a_bad_one(make_venue: Make, header: bytes):
    venue = make_venue("native", changes=(PROXIED,))
    broker = behind(venue, header)
    with pytest.raises((SessionLost, OSError)):
        broker.log_on(seconds=3)
    assert broker.logout_text in ("", "connections come through the venue's terminator, with a PROXY header")
    assert not any(s["logged_on"] for s in venue.acceptor.sessions())
    behind(venue, HEADERS[0]).log_on()


def test_without_configuration_a_header_is_no_fix(make_venue: Make):
    venue = make_venue("native")
    with pytest.raises((SessionLost, OSError)):
        behind(venue, HEADERS[0]).log_on()


# ---- logon, over the wire ----


def test_a_signed_logon_over_the_wire(make_venue: Make, application: str):
    venue = make_venue(application, **with_session(f'public_key = "{PUBLIC}"'))
    broker = venue.broker("ALPHA1", private_key=KEY)
    broker.log_on()
    assert ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))[150] == "0"
    unsigned = venue.broker("ALPHA1")
    with pytest.raises(SessionLost, match="or not signed"):
        unsigned.log_on()


def test_a_password_is_changed_over_the_wire(make_venue: Make, application: str, monkeypatch: pytest.MonkeyPatch):
    cheap = functools.partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(logon, "PasswordHasher", cheap)  # a busy machine takes longer than the rig lets a logon take
    venue = make_venue(application)
    broker = venue.broker("ALPHA1")
    with pytest.raises(SessionLost, match="must have 12 to 128"):
        broker.log_on(extra=[(925, "short")])
    broker.next_out = broker.next_in = 1
    broker.log_on(extra=[(925, NEW)])
    answer = next(message for message in broker.admin if message.get(35) == b"A")
    assert answer.get(1409) == b"1"
    broker.log_out()
    gone(venue)
    with pytest.raises(SessionLost, match="unknown SenderCompID"):
        venue.broker("ALPHA1").log_on()
    broker.password = NEW
    broker.log_on()
    venue.close()
    again = make_venue(application)
    broker.port = again.acceptor.port
    status = again.acceptor.sessions()[0]
    broker.next_out, broker.next_in = status["target_seq"], status["sender_seq"]
    broker.log_on()
    broker.close()


def test_an_operator_ends_a_lock_out(make_venue: Make, application: str):
    venue = make_venue(application)
    for _ in range(5):
        with pytest.raises(SessionLost, match="unknown SenderCompID"):
            venue.broker("ALPHA1", password="guess").log_on()
    locked = venue.broker("ALPHA1")
    with pytest.raises(SessionLost, match=r"too many failed logons from 127\.0\.0\.1"):
        locked.log_on()
    assert [lock["comp_id"] for lock in venue.acceptor.operate({"verb": "locks"})["locks"]] == ["ALPHA1"]
    venue.logged_on("BRAVO1")
    assert venue.acceptor.operate({"verb": "unlock", "name": "ALPHA1"}) == {"unlocked": 1}
    venue.logged_on("ALPHA1")


# ---- what operators read ----


def facts(caplog: pytest.LogCaptureFixture, noun: str) -> list[dict[str, str]]:
    return [record.fields for record in caplog.records if record.getMessage() == noun]  # type: ignore[attr-defined]


def test_whoever_is_not_let_in_is_in_the_log(make_venue: Make, application: str, caplog: pytest.LogCaptureFixture):
    """Whether the doorkeeper, the session layer or the gateway found the reason: one line each, and one count."""
    caplog.set_level("INFO")
    venue = make_venue(application)
    first = venue.logged_on("ALPHA1")
    settle(first)
    first.log_out()
    gone(venue)
    held = venue.logged_on("BRAVO1")
    tries = [
        (venue.broker("ALPHA1", password="wrong"), "unknown SenderCompID"),
        (venue.broker("BRAVO1"), "already logged on"),
        (venue.broker("ALPHA1"), "MsgSeqNum too low"),
        (venue.broker("ALPHA2", heartbeat_seconds=9999), "HeartBtInt"),
    ]
    for broker, text in tries:
        with pytest.raises(SessionLost, match=text):
            broker.log_on()
    with socket.create_connection(("127.0.0.1", venue.acceptor.port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"malformed" in stranger.recv(4096)
    until(lambda: len(facts(caplog, "logon refused")) == len(tries) + 1)
    told = facts(caplog, "logon refused")
    assert [fact["comp_id"] for fact in told] == ["ALPHA1", "BRAVO1", "ALPHA1", "ALPHA2", ""]
    assert all(text in fact["reason"] for (_, text), fact in zip(tries, told, strict=False))
    assert all(fact["peer"].startswith("127.0.0.1:") for fact in told)
    assert venue.acceptor.counters()["logons_refused"] == len(told)
    held.log_out()
    until(lambda: len(facts(caplog, "session logged out")) == 2)
    assert {fact["reason"] for fact in facts(caplog, "session logged out")} == {"its own Logout(5)"}


def test_why_a_session_has_ended_is_in_the_log(make_venue: Make, application: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    venue = make_venue(application)
    cut, silent = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1", heartbeat_seconds=1)
    cut.close()
    until(lambda: len(facts(caplog, "session logged out")) == 2)
    assert {fact["session"]: fact["reason"] for fact in facts(caplog, "session logged out")} == {
        "ALPHA1": "the connection was lost",
        "BRAVO1": "nothing was heard from it, not even at a TestRequest(1)",
    }
    silent.close()
