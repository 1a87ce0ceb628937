"""How a session begins, lives and ends: logon, heartbeats, sequence numbers, resends, disconnects."""

from __future__ import annotations

import time
from typing import Any

import pytest

from fix_sessions.client import SessionLost
from tests.fix_sessions.rig import Venue, ask, last, settle, tags, until

# ---- logon ----


def test_logon_and_logout(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    status = next(s for s in venue.acceptor.sessions() if s["comp_id"] == "ALPHA1")
    assert status["logged_on"] and status["sender_seq"] == 2 and status["target_seq"] == 2
    broker.log_out()
    until(lambda: not next(s for s in venue.acceptor.sessions() if s["comp_id"] == "ALPHA1")["logged_on"])


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"password": "wrong"}, "unknown SenderCompID"),
        ({"username": "bravo"}, "unknown SenderCompID"),
        ({"comp_id": "NOBODY"}, "unknown SenderCompID"),
        ({"venue": "OTHER"}, "TargetCompID(56) must be VENUE"),
        ({"heartbeat_seconds": 0}, "HeartBtInt(108) must be from 1 to 120"),
        ({"heartbeat_seconds": 500}, "HeartBtInt(108) must be from 1 to 120"),
        ({"heartbeat_seconds": "x"}, "HeartBtInt(108) is not of its type"),
    ],
)
def test_logon_refused(venue: Venue, fields: dict[str, object], text: str):
    """ROE-2 ROE-3"""
    broker = venue.broker("ALPHA1")
    for name, value in fields.items():
        setattr(broker, name, value)
    with pytest.raises(SessionLost, match=text.replace("(", r"\(").replace(")", r"\)")):
        broker.log_on()
    assert not any(s["logged_on"] for s in venue.acceptor.sessions())
    assert venue.logged_on("ALPHA1").next_in == 2, "a refused logon takes no sequence number"


def test_an_unknown_user_is_told_the_same_as_a_wrong_password(venue: Venue):
    """ROE-2"""
    known = venue.logged_on("ALPHA1")
    settle(known)
    known.log_out()
    told = set()
    for comp_id, password in (("ALPHA1", "wrong"), ("NOBODY", "correct horse")):
        broker = venue.broker("ALPHA1", password=password)
        broker.comp_id = comp_id
        logouts: list[Any] = []
        broker.on_message = logouts.append  # type: ignore[method-assign]
        with pytest.raises(SessionLost):
            broker.log_on()
        told.add(tuple((tag, value) for tag, value in tags(logouts[0]).items() if tag not in (9, 10, 52, 56)))
    assert len(told) == 1, "neither the text nor the number tells who exists"
    with pytest.raises(SessionLost, match="HeartBtInt"):
        venue.logged_on("ALPHA1", heartbeat_seconds=9999, next_out=known.next_out, next_in=known.next_in)
    assert venue.brokers[-1].next_in == known.next_in + 1, "who has shown who it is gets the session's number"
    venue.logged_on("ALPHA1", next_out=known.next_out, next_in=known.next_in)
    assert venue.brokers[-1].next_in == known.next_in + 1, "which was not taken"


def test_logon_with_a_field_that_is_not_taken(venue: Venue):
    """ROE-6"""
    broker = venue.broker("ALPHA1")
    with pytest.raises(SessionLost, match=r"Symbol.55. is not taken in a Logon"):
        broker.log_on(extra=[(55, "ACME")])


def test_two_clients_with_one_comp_id(venue: Venue):
    """ROE-5"""
    first = venue.logged_on("ALPHA1")
    second = venue.broker("ALPHA1")
    with pytest.raises(SessionLost, match=r"already logged on from 127\.0\.0\.1"):
        second.log_on()
    assert ask(first, lambda: first.order("ACME", "buy", 1, "99"))[150] == "0", "the first is not disturbed"


# ---- sequence numbers ----


def test_number_too_low(venue: Venue):
    """ROE-10"""
    broker = venue.logged_on("ALPHA1")
    settle(broker)
    broker.next_out = 1
    with pytest.raises(SessionLost, match="MsgSeqNum too low, expecting 3 but received 1"):
        broker.order("ACME", "buy", 1, "99")
        broker.wait_for(lambda: False, 3)


def test_number_too_high_is_asked_for_again(venue: Venue):
    """ROE-11"""
    broker = venue.logged_on("ALPHA1")
    lost_number = broker.next_out
    broker.sent[lost_number] = ("D", [(11, "lost"), (55, "ACME"), (54, "1"), (38, "5"), (40, "2"), (44, "99")], "")
    broker.sent[lost_number][1].append((60, "20260101-00:00:00"))
    broker.sent[lost_number] = (*broker.sent[lost_number][:2], "20260101-00:00:00")
    broker.next_out += 1
    broker.order("ACME", "buy", 6, "99", t11="second")
    broker.wait_for(lambda: len(broker.inbox) == 2)
    assert [tags(m)[11] for m in broker.inbox] == ["lost", "second"], "the gap is filled in order"


def test_a_gap_that_is_never_filled_does_not_grow_for_ever(venue: Venue):
    """ROE-11"""
    broker = venue.logged_on("ALPHA1", heartbeat_seconds=60)
    broker.answer_resend = lambda begin, end: None  # type: ignore[method-assign]
    broker.next_out += 1
    with pytest.raises((SessionLost, BrokenPipeError)) as lost:
        for _ in range(10_100):
            broker.send("0", [])
        broker.wait_for(lambda: False, 20)
    assert "never sent" in str(lost.value) or broker.logout_text == ""


def test_numbers_are_kept_when_a_broker_comes_back(venue: Venue):
    """ROE-7 ROE-10"""
    broker = venue.logged_on("ALPHA2")
    ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))
    broker.close()
    until(lambda: not venue.acceptor.sessions()[1]["logged_on"])
    broker.log_on()
    assert ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))[150] == "0"
    assert not broker.duplicates


def test_reports_of_the_absence_come_with_the_resend(venue: Venue):
    """ROE-13"""
    absent, other = venue.logged_on("ALPHA2"), venue.logged_on("BRAVO1")
    ask(absent, lambda: absent.order("ACME", "buy", 10, "99"))
    absent.close()
    until(lambda: not venue.acceptor.sessions()[1]["logged_on"])
    ask(other, lambda: other.order("ACME", "sell", 4, "99"))
    ask(other, lambda: other.order("ACME", "sell", 6, "99"))
    absent.log_on()
    absent.wait_for(lambda: len(absent.executions) == 3)
    fills = [tags(m) for m in absent.inbox if m.get(150) == b"F"]
    assert [(fill[32], fill[43]) for fill in fills] == [("4", "Y"), ("6", "Y")]
    assert fills[1][39] == "2" and absent.duplicates == 0


def test_resend_of_many_messages_in_portions(venue: Venue):
    """ROE-12"""
    broker = venue.logged_on("ALPHA2")
    for _ in range(700):
        broker.order("ACME", "buy", 1, "0.005")
    settle(broker)
    assert len(broker.executions) == 700
    before = broker.next_in
    broker.send("2", [(7, "2"), (16, "0")])
    broker.order("ACME", "buy", 1, "99")
    seen: list[dict[int, str]] = []
    broker.on_message = lambda message: seen.append(tags(message))  # type: ignore[method-assign]
    broker.wait_for(lambda: any(message[34] == str(before) for message in seen))
    numbers = [int(message[34]) for message in seen]
    assert numbers == sorted(numbers), "the new report waits behind the resend"
    assert sum(message.get(43) == "Y" and message[35] == "8" for message in seen) == 700


def test_reset_of_the_numbers(venue: Venue):
    """ROE-14"""
    broker = venue.logged_on("ALPHA2")
    ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))
    broker.log_out()
    broker.log_on(reset=True)
    status = venue.acceptor.sessions()[1]
    assert (status["sender_seq"], status["target_seq"]) == (2, 2)
    assert ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))[150] == "0"


def test_reset_that_would_lose_reports_is_refused(venue: Venue):
    """ROE-14"""
    absent, other = venue.logged_on("ALPHA2"), venue.logged_on("BRAVO1")
    ask(absent, lambda: absent.order("ACME", "buy", 10, "99"))
    absent.log_out()
    ask(other, lambda: other.order("ACME", "sell", 4, "99"))
    numbers = absent.next_out, absent.next_in
    with pytest.raises(SessionLost, match="would lose reports"):
        absent.log_on(reset=True)
    absent.next_out, absent.next_in = numbers
    absent.log_on()
    absent.wait_for(lambda: len(absent.executions) == 2)


def test_a_repeated_order_is_done_once(venue: Venue):
    """ROE-15"""
    broker = venue.logged_on("ALPHA1")
    body = [(11, "once"), (55, "ACME"), (54, "1"), (38, "5"), (40, "2"), (44, "99"), (60, "20260101-00:00:00")]
    broker.send("D", list(body))
    settle(broker)
    assert last(broker)[150] == "0"
    before, seq = len(broker.inbox), venue.engine.last_seq
    broker.send("D", list(body), broker.next_out, "20260101-00:00:00")
    broker.next_out += 1
    settle(broker)
    assert len(broker.inbox) == before and venue.engine.last_seq == seq, "PossDup and known: nothing is done"
    answer = ask(broker, lambda: broker.send("D", list(body)))
    assert (answer[150], answer[103]) == ("8", "6"), "not marked as a repetition: refused as a duplicate"


# ---- time ----


def test_heartbeats_and_test_requests(venue: Venue):
    """ROE-18"""
    broker = venue.logged_on("ALPHA1", heartbeat_seconds=1)
    broker.wait_for(lambda: any(m.get(35) == b"0" for m in broker.admin), 5)
    broker.wait_for(lambda: any(m.get(35) == b"1" for m in broker.admin), 5)


def test_a_silent_client_is_disconnected(venue: Venue):
    """ROE-18 ROE-20"""
    broker = venue.logged_on("ALPHA1", heartbeat_seconds=1)
    order = ask(broker, lambda: broker.order("ACME", "buy", 5, "99"))
    assert order[39] == "0"
    until(lambda: not venue.acceptor.sessions()[0]["logged_on"], 8)
    until(lambda: venue.engine.open_orders(0) == 0)


# ---- the end ----


def test_cancel_on_disconnect(venue: Venue):
    """ROE-20"""
    leaver, stayer, other = venue.logged_on("ALPHA1"), venue.logged_on("ALPHA2"), venue.logged_on("BRAVO1")
    for broker in (leaver, stayer, other):
        ask(broker, lambda broker=broker: broker.order("ACME", "buy", 5, "99"))
    ask(leaver, lambda: leaver.order("BOLT", "buy", 5, "10", t1="3"))
    assert (venue.engine.open_orders(0), venue.engine.open_orders(1)) == (3, 1)
    for broker in (leaver, stayer, other):
        broker.close()
    until(lambda: not any(s["logged_on"] for s in venue.acceptor.sessions()))
    until(lambda: (venue.engine.open_orders(0), venue.engine.open_orders(1)) == (2, 0))
    leaver.log_on()
    leaver.wait_for(lambda: sum(m.get(150) == b"4" for m in leaver.inbox) == 2)
    assert sorted(tags(m)[55] for m in leaver.inbox if m.get(150) == b"4") == ["ACME", "BOLT"]


def test_an_order_sent_with_the_last_breath_is_cancelled_too(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    settle(broker)
    before = venue.engine.last_seq
    broker.order("ACME", "buy", 5, "99")
    broker.close()
    until(lambda: venue.engine.last_seq >= before + 2)  # the order and its mass cancel
    until(lambda: venue.engine.open_orders(0) == 0)


def test_stop_says_why(make_venue, application: str):
    """ROE-22"""
    venue = make_venue(application)
    broker = venue.logged_on("ALPHA1")
    ask(broker, lambda: broker.order("ACME", "buy", 5, "99"))
    started = time.monotonic()
    with pytest.raises(SessionLost, match="maintenance until noon"):
        import threading

        stopper = threading.Thread(target=venue.acceptor.stop, args=("maintenance until noon",))
        stopper.start()
        try:
            broker.wait_for(lambda: False, 10)
        finally:
            broker.close()
            stopper.join()
    assert time.monotonic() - started < 10
    assert venue.engine.open_orders(0) == 0, "cancelled on disconnect before the engine is closed"


def test_operator_logs_a_session_out(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    venue.acceptor.log_out(1, "limit breached")
    with pytest.raises(SessionLost, match="limit breached"):
        broker.wait_for(lambda: False, 5)
    broker.log_on()
