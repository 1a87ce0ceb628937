"""What goes wrong with sequence numbers in the field, each as a test named by what it shows.

The cases are those that users of FIX engines report again and again: numbers too low and too high, resets in the middle
of things, gap fills that go back, two connections of one CompID, repetitions with impossible times, clocks that differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import simplefix

from fix_sessions.client import Broker, Pair, SessionLost
from tests.fix_sessions.rig import Venue, ask, settle, tags, until

Make = Callable[..., Venue]


def stamp(seconds: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y%m%d-%H:%M:%S.%f")


def raw(broker: Broker, msg_type: str, number: int, body: list[Pair], sent: str = "", header: list[Pair] = []) -> None:  # noqa: B006
    """One message as given, whatever the session thinks of it."""
    message = simplefix.FixMessage()
    for tag, value in [(8, "FIX.4.4"), (35, msg_type), (49, broker.comp_id), (56, broker.venue), (34, str(number))]:
        message.append_pair(tag, value)
    for tag, value in [(52, sent or stamp()), *header, *body]:
        message.append_pair(tag, value)
    assert broker.socket is not None
    broker.socket.sendall(message.encode())


def order_body(name: str) -> list[Pair]:
    return [(11, name), (55, "ACME"), (54, "1"), (38, "1"), (40, "2"), (44, "99"), (60, "20260101-00:00:00")]


def lost_with(broker: Broker, text: str) -> None:
    with pytest.raises(SessionLost, match=text):
        broker.wait_for(lambda: False, 5)


def status(venue: Venue, comp_id: str = "ALPHA1") -> dict[str, int]:
    return next(s for s in venue.acceptor.sessions() if s["comp_id"] == comp_id)


def heard(broker: Broker) -> list[simplefix.FixMessage]:
    """Every message that comes from now on, repetitions too."""
    seen: list[simplefix.FixMessage] = []
    take = broker.on_message
    broker.on_message = lambda message: (seen.append(message), take(message))[1]  # type: ignore[method-assign,func-returns-value]
    return seen


def away(venue: Venue, comp_id: str = "ALPHA1") -> None:
    until(lambda: not status(venue, comp_id)["logged_on"])


# ---- too low ----


def test_a_logon_that_is_too_low_is_told_the_number_that_is_expected(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    settle(broker)
    broker.close()
    away(venue)
    broker.next_out = 1
    with pytest.raises(SessionLost, match="MsgSeqNum too low, expecting 3 but received 1"):
        broker.log_on()
    away(venue)
    broker.next_out = 3
    broker.log_on()
    assert ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))[150] == "0"


def test_a_number_that_is_too_low_ends_the_session_and_takes_none(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    settle(broker)
    raw(broker, "D", 2, order_body("again"))
    lost_with(broker, "MsgSeqNum too low, expecting 3 but received 2")
    away(venue)
    assert status(venue)["target_seq"] == 3 and venue.engine.open_orders(0) == 0


def test_a_repetition_that_is_too_low_is_ignored(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    ask(broker, lambda: broker.order("ACME", "buy", 1, "99", t11="first"))
    before = venue.engine.last_seq
    raw(broker, "D", 2, order_body("first"), header=[(43, "Y"), (122, stamp(-1))])
    settle(broker)
    assert venue.engine.last_seq == before and len(broker.inbox) == 1 and broker.logged_on


# ---- too high ----


def test_a_logon_that_is_too_high_is_let_in_and_asked_for_the_rest(venue: Venue):
    broker = venue.broker("ALPHA1")
    broker.next_out = 5
    for number in range(1, 5):
        broker.sent[number] = ("D", order_body(f"missed-{number}"), "20260101-00:00:00")
    broker.log_on()
    broker.wait_for(lambda: len(broker.inbox) == 4)
    assert [tags(m)[11] for m in broker.inbox] == [f"missed-{number}" for number in range(1, 5)], "in order"


def test_many_early_messages_are_asked_for_once(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    asked: list[tuple[int, int]] = []
    answer, broker.answer_resend = broker.answer_resend, lambda begin, end: asked.append((begin, end))  # type: ignore[method-assign]
    broker.sent[2] = ("D", order_body("late"), "20260101-00:00:00")
    broker.next_out = 3
    for i in range(50):
        broker.send("D", order_body(f"early-{i}"))
    broker.wait_for(lambda: asked != [])
    time.sleep(0.2)
    broker.poll(0.1)
    assert len(asked) == 1 and asked[0][0] == 2, "no storm of resend requests"
    answer(*asked[0])
    broker.wait_for(lambda: len(broker.inbox) == 51)
    assert [tags(m)[11] for m in broker.inbox] == ["late"] + [f"early-{i}" for i in range(50)]


def test_a_gap_that_is_filled_with_nothing(venue: Venue):
    broker = venue.broker("ALPHA1")
    broker.next_out = 100
    broker.log_on()
    settle(broker)
    assert status(venue)["target_seq"] >= 101 and not broker.inbox


# ---- gap fills and resets ----


def test_a_gap_fill_below_the_expected_number_is_refused(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    settle(broker)
    number = broker.next_out
    raw(broker, "4", number, [(123, "Y"), (36, "1")])
    broker.wait_for(lambda: any(m.get(35) == b"3" for m in broker.admin))
    reject = tags(broker.admin[-1])
    assert (reject[371], reject[373]) == ("36", "5") and f"expected, {number}" in reject[58]
    assert status(venue)["target_seq"] == number, "it was not lowered"


def test_a_reset_to_a_lower_number_is_refused_and_to_a_higher_one_taken(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    settle(broker)
    number = broker.next_out
    raw(broker, "4", number, [(123, "N"), (36, "1")])
    broker.wait_for(lambda: any(m.get(35) == b"3" for m in broker.admin))
    assert status(venue)["target_seq"] == number
    raw(broker, "4", number, [(123, "N"), (36, str(number + 50))])
    until(lambda: status(venue)["target_seq"] == number + 50)
    broker.next_out = number + 50
    settle(broker)


def test_a_reset_flag_with_another_number_than_one_is_refused(venue: Venue):
    broker = venue.broker("ALPHA1")
    broker.next_out = 4
    with pytest.raises(SessionLost, match=r"with ResetSeqNumFlag\(141\)=Y MsgSeqNum\(34\) must be 1"):
        broker.log_on(extra=[(141, "Y")])


def test_an_intraday_reset_while_logged_on(venue: Venue):
    """As those do who are connected for a week: a Logon with ResetSeqNumFlag(141)=Y in the middle of the day."""
    broker = venue.logged_on("ALPHA2")
    ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))
    body: list[Pair] = [(98, "0"), (108, "30"), (553, broker.username), (554, broker.password), (141, "Y")]
    raw(broker, "A", 1, body)
    broker.next_out, broker.next_in, broker.logged_on = 2, 1, False
    broker.early.clear()
    broker.wait_for(lambda: broker.logged_on)
    assert ask(broker, lambda: broker.order("ACME", "buy", 1, "98"))[150] == "0"
    assert venue.engine.open_orders(0) == 2, "a reset is no cancel"
    assert status(venue, "ALPHA2")["target_seq"] == broker.next_out
    assert venue.acceptor.counters()["logons"] == 1, "it was logged on all the time"


FURTHER: list[tuple[int, list[Pair], str]] = [
    (0, [(108, "30")], "may only begin both sides anew"),
    (0, [(108, "30"), (141, "N")], "may only begin both sides anew"),
    (0, [(108, "30"), (141, "Y")], "may only begin both sides anew"),
    (1, [(108, "0"), (141, "Y")], r"HeartBtInt\(108\) must stay 30"),
    (1, [(108, "100000"), (141, "Y")], r"HeartBtInt\(108\) must stay 30"),
    (1, [(108, "30"), (141, "Y"), (925, "another password 77")], r"NewPassword\(925\)"),
]
"""MsgSeqNum(34), 0: the next one; fields; what the venue says."""


@pytest.mark.parametrize(("number", "fields", "text"), FURTHER)
def test_a_further_logon_that_is_no_reset_ends_the_session(venue: Venue, number: int, fields: list[Pair], text: str):
    """The bounds of heartbeats and the change of a password are the first Logon's; without a word nobody is cut off."""
    broker = venue.logged_on("ALPHA2")
    settle(broker)
    raw(broker, "A", number or broker.next_out, [(98, "0"), *fields, (553, broker.username), (554, broker.password)])
    lost_with(broker, text)
    away(venue, "ALPHA2")
    broker.log_on()
    settle(broker)


def test_a_number_nobody_can_count_with_is_rejected(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    settle(broker)
    for flag in ("N", "Y"):
        raw(broker, "4", broker.next_out, [(123, flag), (36, "18446744073709551615")])
    raw(broker, "4", broker.next_out, [(123, "Y"), (36, str(1 << 31))])
    settle(broker)
    assert [m.get(371) for m in broker.admin if m.get(35) == b"3"] == [b"36"] * 3
    assert status(venue)["target_seq"] == broker.next_out


def test_a_reset_in_the_middle_of_a_resend(venue: Venue):
    broker = venue.logged_on("ALPHA2")
    for _ in range(400):
        broker.order("ACME", "buy", 1, "99.001")
    settle(broker)
    broker.send("2", [(7, "1"), (16, "0")])
    broker.close()
    away(venue, "ALPHA2")
    broker.log_on(reset=True)
    assert ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))[150] == "0"
    assert (status(venue, "ALPHA2")["sender_seq"], status(venue, "ALPHA2")["target_seq"]) == (
        broker.next_in,
        broker.next_out,
    )


@pytest.mark.parametrize(
    ("begin", "end", "tag"),
    [("500", "0", b"7"), ("500", "600", b"7"), ("3", "1", b"16"), ("3", "2", b"16")],
)
def test_a_resend_request_that_cannot_be_answered_is_rejected(venue: Venue, begin: str, end: str, tag: bytes):
    """A gap fill in answer would have a number that was never used, or lead back: its reader would have to hang up."""
    broker = venue.logged_on("ALPHA1")
    ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))
    ask(broker, lambda: broker.order("ACME", "buy", 1, "99.01"))
    seen = heard(broker)
    broker.send("2", [(7, begin), (16, end)])
    settle(broker)
    (reject,) = [tags(m) for m in seen if m.get(35) == b"3"]
    assert (reject[371], reject[372], reject[373]) == (tag.decode(), "2", "5") and reject[58]
    assert not any(m.get(35) == b"4" for m in seen) and status(venue)["target_seq"] == broker.next_out


def test_a_range_that_ends_beyond_the_last_message_is_all_there_is(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))
    seen = heard(broker)
    broker.send("2", [(7, "0"), (16, "999999")])
    settle(broker)
    again = [(int(m.get(34)), m.get(35)) for m in seen if m.get(43) == b"Y"]
    assert again[:2] == [(1, b"4"), (2, b"8")] and again[-1][0] < broker.next_in


def test_the_same_resend_request_ten_times(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))
    seen: list[str] = []
    take = broker.on_message
    broker.on_message = lambda message: (seen.append(str(message.get(35))), take(message))[1]  # type: ignore[method-assign,func-returns-value]
    for _ in range(10):
        broker.send("2", [(7, "2"), (16, "2")])
    settle(broker)
    assert seen.count("b'8'") == 10 and broker.duplicates == 0 and len(broker.executions) == 1


# ---- two of one name ----


def test_a_second_connection_of_one_comp_id_is_refused_and_takes_no_number(venue: Venue):
    first, second = venue.logged_on("ALPHA1"), venue.broker("ALPHA1")
    second.next_out = 7
    with pytest.raises(SessionLost, match="already logged on"):
        second.log_on()
    assert ask(first, lambda: first.order("ACME", "buy", 1, "99"))[150] == "0"
    assert status(venue)["target_seq"] == first.next_out


# ---- times ----


def test_a_repetition_that_was_first_sent_after_it_was_sent(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    settle(broker)
    raw(broker, "D", 2, order_body("x"), header=[(43, "Y"), (122, stamp(60))])
    with pytest.raises(SessionLost):
        broker.wait_for(lambda: False, 5)
    assert any(m.get(373) == b"10" for m in broker.admin) or "OrigSendingTime" in broker.logout_text
    assert venue.engine.open_orders(0) == 0


def test_a_repetition_without_the_time_of_the_first(venue: Venue):
    """Under a number that was used it is rejected; under the next one it is a message like any other."""
    broker = venue.logged_on("ALPHA1")
    settle(broker)
    raw(broker, "D", broker.next_out - 1, order_body("x"), header=[(43, "Y")])
    settle(broker)
    assert [m.get(371) for m in broker.admin if m.get(35) == b"3"] == [b"122"] and venue.engine.open_orders(0) == 0
    raw(broker, "D", broker.next_out, order_body("x"), header=[(43, "Y")])
    broker.next_out += 1
    settle(broker)
    assert venue.engine.open_orders(0) == 1


@pytest.mark.parametrize(("skew", "good"), [(-100, True), (100, True), (-150, False), (150, False)])
def test_clocks_that_differ(venue: Venue, skew: float, good: bool):
    broker = venue.logged_on("ALPHA1")
    settle(broker)
    raw(broker, "D", broker.next_out, order_body("x"), sent=stamp(skew))
    if good:
        broker.next_out += 1
        settle(broker)
        assert tags(broker.inbox[-1])[150] == "0"
    else:
        with pytest.raises(SessionLost):
            broker.wait_for(lambda: False, 5)
        assert any(m.get(373) == b"10" for m in broker.admin) and "120 seconds" in broker.logout_text
        assert venue.engine.open_orders(0) == 0


def test_a_message_sent_twice_as_possibly_sent_before_is_done_once(venue: Venue):
    """PossResend(97) under a new number, the ClOrdID known: nothing is done; unknown: it is an order like any other."""
    broker = venue.logged_on("ALPHA1")
    ask(broker, lambda: broker.order("ACME", "buy", 1, "99", t11="once"))
    before = venue.engine.last_seq
    raw(broker, "D", broker.next_out, order_body("once"), header=[(97, "Y")])
    broker.next_out += 1
    settle(broker)
    assert venue.engine.last_seq == before and len(broker.inbox) == 1
    raw(broker, "D", broker.next_out, order_body("never seen"), header=[(97, "Y")])
    broker.next_out += 1
    settle(broker)
    assert tags(broker.inbox[-1])[150] == "0"
