"""Certification cases of the drop-copy gateway: what is copied, replay from an execution, requests that are refused."""

from __future__ import annotations

from fix_sessions.certification import Case, Message, Stage, Told, expect, message_of, tell
from fix_sessions.certification_orders import cancelled
from fix_sessions.certification_sessions import name
from fix_sessions.client import Pair

COPIES = frozenset({"drop copy"})
ONLY_IN_A_COPY = {8, 9, 10, 34, 35, 43, 49, 52, 56, 97, 115, 116, 122, 797, 1352}
"""Header, trailer, and what says that it is a copy."""


def said(message: Message) -> Message:
    """What a report says, whoever it was sent to."""
    return {tag: value for tag, value in message.items() if tag not in ONLY_IN_A_COPY}


def copy_of(stage: Stage, report: Message) -> Told:
    """The copy of this report; it must say all that the report says."""
    copies, tag = stage.copies, 17 if report[35] == "8" else 11

    def found() -> list[Told]:
        return [m for m in map(message_of, copies.inbox) if m[35] == report[35] and m.get(tag) == report[tag]]

    stage.wait(copies, lambda: bool(found()), f"the copy of the 35={report[35]} with {tag}={report[tag]}")
    expect(len(found()) == 1, f"the copy with {tag}={report[tag]} came {len(found())} times")
    copy = found()[0]
    tell(copy, {797: "Y", 115: stage.party.comp_id} | ({116: stage.agreed.member} if stage.agreed.member else {}))
    expect(said(copy) == said(report), f"the copy says {said(copy)}, the report {said(report)}")
    return copy


def copies(stage: Stage) -> None:
    assert stage.copies.logged_on, "before anything is reported"
    broker, terms = stage.broker, stage.terms
    order = stage.order(broker, "buy", 1, terms.bid)
    copy_of(stage, order)
    copy_of(stage, cancelled(stage, broker, order))
    late = stage.answer(broker, lambda: broker.cancel(order[11], terms.symbol, "buy"))
    tell(late, {35: "9"})
    copy_of(stage, late)
    refused = stage.answer(broker, lambda: broker.order(terms.symbol, "buy", terms.lots(1), terms.bid + terms.tick / 2))
    tell(refused, {150: "8"})
    copy_of(stage, refused)


def replay(stage: Stage) -> None:
    broker, copies, terms = stage.broker, stage.copies, stage.terms
    reports = [stage.order(broker, "buy", 1, terms.bid - terms.tick * step) for step in range(4)]
    originals = [copy_of(stage, report) for report in reports]
    request = name(stage, "replay")
    body: list[Pair] = [(1346, request), (1347, "0"), (17, reports[0][17])]

    def done(message: Told) -> bool:
        return message.get(35) == "BY" and message.get(1346) == request

    found = stage.told(copies, lambda: copies.send("BW", body), done, "the ApplicationMessageReport(BY)")
    acks = [m for m in found if m.get(35) == "BX"]
    expect(bool(acks), "no ApplicationMessageRequestAck(BX) came")
    tell(acks[0], {1346: request, 1348: "0"})
    again = [m for m in found if m.get(1352) == "Y"]
    expect([m[17] for m in again][:3] == [m[17] for m in originals[1:]], "the replay is not what came after ExecID(17)")
    for message, original in zip(again, originals[1:], strict=False):
        tell(message, {797: "Y", 97: "Y", 115: stage.party.comp_id})
        expect(said(message) == said(original), f"replayed as {said(message)}, copied as {said(original)}")
    tell(next(m for m in found if done(m)), {1349: str(len(again)), 1426: "3", 17: again[-1][17]})


def refused(stage: Stage) -> None:
    copies, terms = stage.copies, stage.terms
    for exec_id in ("never", "999999999-0"):
        body: list[Pair] = [(1346, name(stage, "wrong")), (1347, "0"), (17, exec_id)]
        send = lambda body=body: copies.send("BW", body)  # noqa: E731
        ack = stage.saying(copies, send, "an ApplicationMessageRequestAck(BX)", t35="BX", t1346=str(body[0][1]))
        tell(ack, {1348: "1"})
        expect(bool(ack.get(58)), "a refusal without Text(58)")
    order = lambda: copies.order(terms.symbol, "buy", terms.lots(1), terms.bid)  # noqa: E731
    tell(stage.saying(copies, order, "a BusinessMessageReject(j)", t35="j"), {372: "D", 380: "3"})


COPY_CASES = (
    Case("C71", "Copies of reports", (52,), copies, COPIES),
    Case("C72", "Replay from an execution", (53,), replay, COPIES),
    Case("C73", "Replays that are refused", (53,), refused, COPIES),
)
