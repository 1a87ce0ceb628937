"""Certification cases of what the venue does to a session: throttle, news, logouts, new generations, hours."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from fix_sessions.certification import HOURS_SECONDS_MAX, Case, Failed, Recorder, Stage, Told, expect, message_of, tell
from fix_sessions.certification_sessions import count_of, name, saw, status_of, wire
from fix_sessions.client import SessionLost

OPERATOR = frozenset({"operator"})
NEWS = "Certification: this is a test"
REASON = "Certification: log on again"
WINDOW_SECONDS = 1.1


def burst(stage: Stage, broker: Recorder, count: int) -> None:
    """So many status requests in one piece."""
    body = status_of(stage, name(stage, "nothing"))
    broker.transmit(b"".join(wire(broker, "H", body) for _ in range(count)))


def throttled(stage: Stage) -> None:
    """After a pause a burst may be up to twice the limit, and more than twice as many in a second end the session."""
    limit, broker = stage.agreed.messages_per_second, stage.broker
    order = stage.order(broker, "buy", 1, stage.terms.bid)
    piece, before = max(1, limit // 4), len(broker.inbox)

    def refused() -> list[Told]:
        return [m for m in map(message_of, broker.inbox[before:]) if m[35] == "j"]

    for number in range(1, 4 * 3):
        burst(stage, broker, piece)
        answered = lambda n=number: len(broker.inbox) >= before + n * piece  # noqa: E731
        stage.wait(broker, answered, f"an answer to each of {number * piece} requests")
        if refused():
            break
    expect(bool(refused()), f"{3 * limit} messages at once, {limit} a second agreed, and none was refused")
    tell(refused()[0], {372: "H", 380: "0"})
    expect("throttled" in refused()[0].get(58, ""), f"Text(58) is {refused()[0].get(58)!r}")
    time.sleep(WINDOW_SECONDS)
    stage.order(broker, "buy", 1, stage.terms.bid)  # a window begins
    with contextlib.suppress(SessionLost):
        burst(stage, broker, 2 * limit + limit // 20 + 10)
    text = stage.lost(broker)
    expect("throttled" in text, f"the session was ended with {text!r}")
    time.sleep(WINDOW_SECONDS)
    stage.back(broker)
    status = stage.answer(broker, lambda: broker.request("H", status_of(stage, order[11])))
    tell(status, {150: "I", 39: "4" if stage.cancels_on_disconnect else "0"})


def news(stage: Stage) -> None:
    assert stage.operator is not None
    operator, broker = stage.operator, stage.broker
    told = stage.saying(broker, lambda: operator.news(stage.party.comp_id, NEWS), "the News(B)", t35="B")
    tell(told, {148: NEWS, 58: NEWS, 33: "1"})


def put_out(stage: Stage, act: Callable[[str, str], object]) -> Recorder:
    """The session under test, after the operator ended it with a reason."""
    broker = stage.broker
    stage.order(broker, "buy", 1, stage.terms.bid)
    act(stage.party.comp_id, REASON)
    text = stage.lost(broker)
    expect(text == REASON, f"the session was ended with {text!r}")
    return broker


def logged_out(stage: Stage) -> None:
    assert stage.operator is not None
    broker = put_out(stage, stage.operator.log_out)
    before = len(broker.admin)
    stage.back(broker)
    stage.order(broker, "buy", 1, stage.terms.bid)
    logons = [message for message in broker.admin[before:] if message.get(35) == b"A"]
    expect(bool(logons), "the numbers do not go on: that of the answer to the Logon(A) was used before")


def new_generation(stage: Stage) -> None:
    assert stage.operator is not None
    broker = put_out(stage, stage.operator.reset)
    broker.next_out = broker.next_in = 1
    broker.sent.clear()
    broker.early.clear()
    before = len(broker.admin)
    stage.back(broker)
    stage.settle(broker)
    logons = [message_of(m) for m in broker.admin[before:] if m.get(35) == b"A"]
    expect(bool(logons), "the Logon(A) with MsgSeqNum(34) 1 was not answered in its turn")
    order = stage.order(broker, "buy", 1, stage.terms.bid)
    expect(int(order[34]) < 20, f"in the new generation a report has MsgSeqNum(34) {order[34]}")


def hours(stage: Stage) -> None:
    schedule, broker = stage.agreed.schedule, stage.broker
    assert schedule is not None, "the case says that it needs it"
    text = stage.lost(broker, HOURS_SECONDS_MAX + 10)
    expect("hours have ended" in text, f"the session was ended with {text!r}")
    now = time.time_ns()
    expect(not schedule.is_open(now), "the session was ended before the end of its hours")
    number = broker.next_out
    try:
        broker.log_on()
    except SessionLost as lost:
        expect(schedule.closed_text(now) in str(lost), f"the Logon was refused with {str(lost)!r}")
        return
    finally:
        broker.next_out = number
        stage.drop(broker)
    raise Failed("a Logon outside the hours was accepted")


POLICY_CASES = (
    Case(
        "C74",
        "Too many messages a second",
        (38,),
        throttled,
        frozenset({"throttle"}),
        shown=lambda m: any(x.get(35) == "j" and x.get(58, "").startswith("throttled") for x in m),
    ),
    Case("C75", "News", (7,), news, OPERATOR, shown=saw(t35="B")),
    Case("C76", "Logged out by the operator", (54,), logged_out, OPERATOR),
    Case(
        "C77",
        "A new generation of numbers",
        (7, 54),
        new_generation,
        OPERATOR,
        shown=lambda m: count_of(m, t35="A", t34="1") > 1,
    ),
)
HOURS_CASES = (Case("C78", "The end of the hours", (7,), hours, frozenset({"hours"})),)
