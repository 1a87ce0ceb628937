"""Certification cases of a session's life: logon, heartbeats, sequence numbers, resends, malformed messages, drops."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import simplefix

from fix_sessions.certification import Case, Failed, Message, Recorder, Stage, expect, message_of, tell
from fix_sessions.client import Pair, SessionLost

OLD = "20200101-00:00:00"
UNSERVED = "AH"
"""A type of FIX that no venue of this kind serves: a request for a quote request."""


def wire(broker: Recorder, msg_type: str, body: list[Pair], sending_time: str = "", spoil: bool = False) -> bytes:
    """A message of our own making; `spoil` gives it a wrong CheckSum(10)."""
    message = simplefix.FixMessage()
    now = sending_time or datetime.now(UTC).strftime("%Y%m%d-%H:%M:%S.%f")
    header: list[Pair] = [(8, "FIX.4.4"), (35, msg_type), (49, broker.comp_id), (56, broker.venue)]
    for tag, value in [*header, (34, str(broker.next_out)), (52, now), *body]:
        message.append_pair(tag, value)
    broker.next_out += 1
    data = bytes(message.encode())
    return data[:-4] + b"%03d\x01" % ((int(data[-4:-1]) + 1) % 256) if spoil else data


def body_of_an_order(stage: Stage, clordid: str) -> list[Pair]:
    terms = stage.terms
    body: list[Pair] = [(11, clordid), (55, terms.symbol), (54, "1"), (38, str(terms.lots(1))), (40, "2")]
    return [*body, (44, str(terms.bid)), (60, OLD)]


def name(stage: Stage, what: str) -> str:
    return f"{what}-{time.time_ns() % 10**12}"


def refused(stage: Stage, text: str, extra: tuple[Pair, ...] = (), **settings: object) -> None:
    """A second client's logon must be refused with these words."""
    stranger = stage.stranger(**settings)
    try:
        stranger.log_on(extra=extra)
    except SessionLost as lost:
        expect(text in str(lost), f"the Logon was refused with {str(lost)!r}, expected {text!r}")
        return
    finally:
        stranger.close()
    raise Failed("the Logon was accepted")


# ---- logon ----


def log_on_and_out(stage: Stage) -> None:
    broker = stage.broker
    before = len(broker.record)
    stage.leave(broker)
    logouts = [m for m in broker.record[before:] if "|35=5|" in m and m.startswith("<")]
    expect(bool(logouts), "our Logout(35=5) was not answered with one")
    stage.back(broker)


def wrong_password(stage: Stage) -> None:
    stage.leave(stage.broker)
    before = stage.brokers[stage.party.comp_id].next_in
    refused(stage, "unknown SenderCompID", password="not the password")
    refused(stage, "unknown SenderCompID", comp_id="NOBODY-AT-ALL")
    broker = stage.broker
    expect(broker.next_in == before + 1, "the refused Logon took a sequence number")


def heartbeat_out_of_bounds(stage: Stage) -> None:
    stage.leave(stage.broker)
    refused(stage, "HeartBtInt(108) must be from", heartbeat_seconds=0)
    refused(stage, "HeartBtInt(108) must be from", heartbeat_seconds=100_000)


def logged_on_twice(stage: Stage) -> None:
    broker = stage.broker
    refused(stage, "already logged on")
    stage.order(broker, "buy", 1, stage.terms.bid)


def field_that_is_not_taken(stage: Stage) -> None:
    stage.leave(stage.broker)
    refused(stage, "is not taken in a Logon", extra=((55, stage.terms.symbol),))


# ---- heartbeats ----


def test_request(stage: Stage) -> None:
    broker = stage.broker
    broker.send("1", [(112, "are you there")])
    stage.wait(broker, lambda: any(m.get(112) == b"are you there" for m in broker.admin[-20:]), "Heartbeat(35=0)")


def with_heartbeat(stage: Stage, seconds: int) -> Recorder:
    """The session under test, logged on anew with this interval."""
    broker = stage.broker
    stage.leave(broker)
    broker.heartbeat_seconds = seconds
    stage.back(broker)
    return broker


def silence(stage: Stage) -> None:
    broker = with_heartbeat(stage, 1)
    try:
        before = len(broker.admin)
        stage.wait(broker, lambda: any(m.get(35) == b"0" for m in broker.admin[before:]), "a Heartbeat(35=0)")
        broker.mute = True
        try:
            broker.wait_for(lambda: False, 8.0)
        except SessionLost:
            expect(
                any(m.get(35) == b"1" for m in broker.admin[before:]),
                "the venue ended the session without a TestRequest(35=1)",
            )
        except TimeoutError:
            raise Failed("a session that says nothing for 8 seconds at HeartBtInt(108)=1 was not ended") from None
    finally:
        broker.heartbeat_seconds = 30
        stage.drop(broker)
        broker.mute = False


# ---- sequence numbers ----


def resend(stage: Stage) -> None:
    broker = stage.broker
    order = stage.order(broker, "buy", 1, stage.terms.bid)
    first = int(order[34])
    before = len(broker.record)
    broker.send("2", [(7, str(first)), (16, str(first))])
    stage.settle(broker)
    came = [line[2:].split("|") for line in broker.record[before:] if line.startswith("< ")]
    seen = [{int(tag): value for tag, _, value in (part.partition("=") for part in line if part)} for line in came]
    again = [message for message in seen if message.get(34) == str(first)]
    expect(bool(again), f"the report with MsgSeqNum(34) {first} did not come again")
    tell(again[0], {35: "8", 43: "Y", 17: order[17], 11: order[11], 150: "0"})
    expect(122 in again[0], "the repeated report has no OrigSendingTime(122)")


def gap(stage: Stage) -> None:
    broker = stage.broker
    early, late = name(stage, "first"), name(stage, "second")
    broker.sent[broker.next_out] = ("D", body_of_an_order(stage, early), OLD)
    broker.next_out += 1
    before = len(broker.inbox)
    broker.send("D", body_of_an_order(stage, late))
    stage.wait(broker, lambda: len(broker.inbox) >= before + 2, "reports of both orders after the gap was filled")
    found = [message_of(m).get(11) for m in broker.inbox[before:]]
    expect(found == [early, late], f"the orders were done in another order: {found}")


def number_too_low(stage: Stage) -> None:
    broker = stage.broker
    number, broker.next_out = broker.next_out, 1
    broker.send("0", [])
    text = stage.lost(broker)
    broker.next_out = number
    expect("too low" in text, f"the session was ended with {text!r}")


def reset(stage: Stage) -> None:
    broker = stage.broker
    stage.leave(broker)
    broker.log_on(reset=True)
    order = stage.order(broker, "buy", 1, stage.terms.bid)
    expect(int(order[34]) <= 3, f"after the reset a report has MsgSeqNum(34) {order[34]}")


def repeated_order(stage: Stage) -> None:
    broker = stage.broker
    body = body_of_an_order(stage, name(stage, "once"))
    tell(stage.answer(broker, lambda: broker.send("D", list(body))), {35: "8", 150: "0"})
    number, broker.next_out = broker.next_out, broker.next_out + 1
    found = stage.answers(broker, lambda: broker.send("D", list(body), number, OLD), awaited=False)
    expect(not found, "an order that was done was done again on its repetition with PossDupFlag(43)=Y")
    tell(stage.answer(broker, lambda: broker.send("D", list(body))), {35: "8", 150: "8", 103: "6"})


# ---- what is wrong ----


def bad_checksum(stage: Stage) -> None:
    broker = stage.broker
    data = wire(broker, "D", body_of_an_order(stage, name(stage, "spoilt")), spoil=True)
    before = len(broker.inbox)
    tell(stage.rejected(broker, lambda: broker.transmit(data)), {372: "D", 373: "99"})
    expect(len(broker.inbox) == before, "the malformed order was answered with a report")


def missing_field(stage: Stage) -> None:
    broker = stage.broker
    body = [pair for pair in body_of_an_order(stage, name(stage, "without")) if pair[0] != 38]
    tell(stage.rejected(broker, lambda: broker.send("D", body)), {371: "38", 372: "D", 373: "1"})
    body = [*body_of_an_order(stage, name(stage, "with")), (9999, "x")]
    tell(stage.rejected(broker, lambda: broker.send("D", body)), {371: "9999", 373: "0"})
    stage.order(broker, "buy", 1, stage.terms.bid)


def unserved_type(stage: Stage) -> None:
    broker = stage.broker
    tell(stage.answer(broker, lambda: broker.send(UNSERVED, [(644, "x")])), {35: "j", 372: UNSERVED, 380: "3"})


def old_sending_time(stage: Stage) -> None:
    broker = stage.broker
    before = len(broker.admin)
    broker.transmit(wire(broker, "0", [], sending_time=OLD))
    stage.lost(broker)
    found = [message_of(m) for m in broker.admin[before:] if m.get(35) == b"3"]
    expect(bool(found), "no Reject(35=3) came")
    tell(found[-1], {373: "10"})


# ---- drops ----


def cancel_on_disconnect(stage: Stage) -> None:
    broker = stage.broker
    order = stage.order(broker, "buy", 1, stage.terms.bid)
    stage.drop(broker)
    time.sleep(0.3)
    stage.back(broker)
    stage.settle(broker)
    if not stage.cancels_on_disconnect:
        status = stage.answer(broker, lambda: broker.request("H", status_of(stage, order[11])))
        return tell(status, {150: "I", 39: "0"})
    done = lambda: stage.reports(broker, order[37])[-1].get(150) == "4"  # noqa: E731
    stage.wait(broker, done, "the cancel of the order of the session that was cut")
    return None


def status_of(stage: Stage, clordid: str) -> list[Pair]:
    return [(11, clordid), (55, stage.terms.symbol), (54, "1")]


def recovery(stage: Stage) -> None:
    broker = stage.broker
    names = [broker.order(stage.terms.symbol, "buy", stage.terms.lots(1), stage.terms.bid) for _ in range(20)]
    stage.drop(broker)
    time.sleep(0.2)
    stage.back(broker)
    stage.settle(broker)

    def told() -> bool:
        accepted = [message_of(m)[11] for m in broker.executions.values() if m.get(150) == b"0"]
        return all(accepted.count(clordid) == 1 for clordid in names)

    stage.wait(broker, told, "one report for each of the 20 orders sent before the line was cut")


def resumption(stage: Stage) -> None:
    broker = stage.broker
    stage.order(broker, "buy", 1, stage.terms.bid)
    stage.leave(broker)
    before = len(broker.admin)
    stage.back(broker)
    stage.order(broker, "buy", 1, stage.terms.bid)
    logons = [message for message in broker.admin[before:] if message.get(35) == b"A"]
    expect(bool(logons), "the numbers do not go on: that of the answer to the Logon(A) was used before")
    expect(broker.duplicates == 0, "an execution was reported twice")


# ---- what a broker's own traffic shows ----


def has(**fields: str) -> list[tuple[int, str]]:
    return [(int(key[1:]), value) for key, value in fields.items()]


def sent(message: Message, wanted: list[tuple[int, str]]) -> bool:
    return all(message.get(tag) == value for tag, value in wanted)


def count_of(messages: list[Message], **fields: str) -> int:
    wanted = has(**fields)
    return sum(sent(message, wanted) for message in messages)


def saw(**fields: str) -> Callable[[list[Message]], bool]:
    """Whether a message with these values was sent."""
    return lambda messages: count_of(messages, **fields) > 0


SESSION_CASES = (
    Case("C01", "Logon and Logout", (1, 2), log_on_and_out, shown=saw(t35="5")),
    Case("C02", "Wrong password, unknown name", (2,), wrong_password),
    Case("C03", "Heartbeat interval out of bounds", (3,), heartbeat_out_of_bounds),
    Case("C04", "A second client with the session's name", (5,), logged_on_twice),
    Case("C05", "A field that is not of a Logon", (6,), field_that_is_not_taken),
    Case(
        "C06",
        "TestRequest answered",
        (18,),
        test_request,
        shown=lambda m: any(x.get(35) == "0" and 112 in x for x in m),
    ),
    Case("C07", "Silence ends the session", (18,), silence, shown=saw(t35="1")),
    Case("C08", "ResendRequest answered", (12,), resend),
    Case("C09", "A gap is asked for and filled", (11,), gap, shown=saw(t35="2")),
    Case(
        "C10",
        "A sequence number too low",
        (10,),
        number_too_low,
        shown=lambda m: any(x.get(35) == "5" and "too low" in x.get(58, "") for x in m),
    ),
    Case("C11", "Reset of the numbers", (14,), reset, shown=saw(t35="A", t141="Y")),
    Case(
        "C12",
        "A repeated order is done once",
        (15,),
        repeated_order,
        shown=saw(t35="8", t103="6"),
    ),
    Case("C13", "A wrong CheckSum", (23,), bad_checksum, shown=saw(t35="3", t373="99")),
    Case(
        "C14",
        "A missing and an unknown field",
        (24,),
        missing_field,
        shown=saw(t35="3", t373="1"),
    ),
    Case("C15", "A type that is not served", (26,), unserved_type, shown=saw(t35="j", t380="3")),
    Case("C16", "SendingTime too old", (21,), old_sending_time, shown=saw(t35="3", t373="10")),
    Case("C17", "Cancel on disconnect", (20,), cancel_on_disconnect),
    Case("C18", "Recovery after a drop", (12, 13, 17), recovery),
    Case("C19", "Resumption in the day", (7, 10), resumption, shown=lambda m: count_of(m, t35="A") > 1),
)
