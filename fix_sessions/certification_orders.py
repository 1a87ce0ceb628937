"""Certification cases of orders: each type, refusals with their codes, cancels, replaces, fills, the operator."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from cores import Reason
from fix_sessions.certification import Case, Message, Recorder, Stage, expect, tell
from fix_sessions.certification_sessions import count_of, name, saw, status_of
from fix_sessions.client import Pair
from fix_sessions.reasons import WORDS

COUNTERPART, OPERATOR = frozenset({"counterpart"}), frozenset({"operator"})
RACES = 10
REPLACES = 8
THROTTLE = 5


def cancelled(stage: Stage, broker: Recorder, order: Message, side: str = "buy") -> Message:
    """Cancels an order that stands; the report of it."""
    answer = stage.answer(broker, lambda: broker.cancel(order[11], stage.terms.symbol, side))
    tell(answer, {35: "8", 150: "4", 39: "4", 41: order[11], 37: order[37], 151: "0"})
    return answer


def amount(message: Message, tag: int) -> Decimal:
    expect(tag in message, f"tag {tag} is missing in 35={message.get(35)}")
    return Decimal(message[tag])


# ---- order entry, each type ----


def rests(stage: Stage, price: Decimal | None, echoed: dict[int, str], **fields: Any) -> None:
    """An order that stands, says its terms again on its report, and is cancelled."""
    broker = stage.broker
    lots = int(str(fields.pop("lots", 1)))
    order = stage.order(broker, "buy", lots, price, **fields)
    tell(order, echoed)
    expect(amount(order, 151) == stage.terms.lots(lots), f"LeavesQty(151) is {order[151]}")
    cancelled(stage, broker, order)


def limit_day(stage: Stage) -> None:
    rests(stage, stage.terms.bid, {40: "2", 59: "0"})


def limit_gtc(stage: Stage) -> None:
    rests(stage, stage.terms.bid, {59: "1"}, t59="1")


def limit_gtd(stage: Stage) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    rests(stage, stage.terms.bid, {59: "6"}, t59="6", t126=later.strftime("%Y%m%d-%H:%M:%S"))
    rests(stage, stage.terms.bid, {59: "6"}, t59="6", t432=later.strftime("%Y%m%d"))


def at_once_or_not(stage: Stage, time_in_force: str, reason: Reason) -> None:
    broker = stage.broker
    sent = lambda: broker.order(  # noqa: E731
        stage.terms.symbol, "buy", stage.terms.lots(1), stage.terms.bid, t59=time_in_force
    )
    tell(stage.answer(broker, sent), {35: "8", 150: "4", 39: "4", 151: "0", 14: "0", 58: WORDS[reason].text})


def immediate_or_cancel(stage: Stage) -> None:
    at_once_or_not(stage, "3", Reason.CANCEL_IOC)


def fill_or_kill(stage: Stage) -> None:
    at_once_or_not(stage, "4", Reason.CANCEL_FOK)


def stops(stage: Stage) -> None:
    terms = stage.terms
    rests(stage, None, {40: "3"}, t40="3", t99=terms.offer)
    rests(stage, terms.offer, {40: "4"}, t40="4", t99=terms.offer)


def iceberg(stage: Stage) -> None:
    rests(stage, stage.terms.bid, {111: str(stage.terms.lots(2))}, lots=10, t111=stage.terms.lots(2))


def post_only(stage: Stage) -> None:
    rests(stage, stage.terms.bid, {18: "6"}, t18="6")


def all_or_none(stage: Stage) -> None:
    broker, terms = stage.broker, stage.terms
    sent = lambda: broker.order(terms.symbol, "buy", terms.lots(2), terms.bid, t18="G", t59="3")  # noqa: E731
    tell(stage.answer(broker, sent), {35: "8", 150: "4", 14: "0"})


# ---- fills ----


def rest_and_take(stage: Stage, lots: int, taken: int, **fields: Any) -> tuple[Message, Message]:
    """Ours stands, the counterpart takes some of it; (our order, its last report)."""
    broker, other, terms = stage.broker, stage.other, stage.terms
    order = stage.order(broker, "buy", lots, terms.price, **fields)
    take = lambda: other.order(terms.symbol, "sell", terms.lots(taken), terms.price, t59="3")  # noqa: E731
    stage.answers(other, take)
    filled = lambda: stage.reports(broker, order[37])[-1][150] == "F"  # noqa: E731
    stage.wait(broker, filled, "our fill")
    return order, stage.reports(broker, order[37])[-1]


def partial_fill(stage: Stage) -> None:
    order, fill = rest_and_take(stage, 10, 4)
    lots = stage.terms.lots
    expect(amount(fill, 32) == amount(fill, 14) == lots(4) and amount(fill, 151) == lots(6), f"quantities of {fill}")
    expect(amount(fill, 31) == amount(fill, 6) == stage.terms.price, "LastPx(31) and AvgPx(6) are not the price")
    tell(fill, {39: "1", 851: "1"})
    answer = cancelled(stage, stage.broker, order)
    expect(amount(answer, 14) == lots(4), "CumQty(14) after the cancel is not what was filled")


def full_fill(stage: Stage) -> None:
    _, fill = rest_and_take(stage, 3, 3)
    tell(fill, {39: "2", 151: "0"})


def market_order(stage: Stage) -> None:
    broker, other, terms = stage.broker, stage.other, stage.terms
    stage.order(other, "sell", 2, terms.price)
    answers = stage.answers(broker, lambda: broker.order(terms.symbol, "buy", terms.lots(2), None))
    tell(answers[-1], {150: "F", 39: "2", 40: "1", 851: "2"})
    stage.order(other, "sell", 2, terms.price)
    answers = stage.answers(broker, lambda: broker.order(terms.symbol, "buy", terms.lots(3), None, t40="K"))
    expect(any(message[150] == "F" for message in answers), "the market-to-limit order was not filled")
    tell(answers[-1], {39: "1", 151: str(terms.lots(1))})


def replace_below_filled(stage: Stage) -> None:
    order, _ = rest_and_take(stage, 10, 4)
    broker, terms = stage.broker, stage.terms
    send = lambda: broker.replace(order[11], terms.symbol, "buy", terms.lots(4), terms.price)  # noqa: E731
    tell(stage.answer(broker, send), {35: "9", 434: "2", 39: "1"})


def cancel_race(stage: Stage) -> None:
    broker, other, terms = stage.broker, stage.other, stage.terms
    for _ in range(RACES):
        order = stage.order(broker, "buy", 2, terms.price)
        other.order(terms.symbol, "sell", terms.lots(2), terms.price, t59="3")
        of_cancel = stage.answer(broker, lambda order=order: broker.cancel(order[11], terms.symbol, "buy"))  # type: ignore[misc]
        stage.settle(other)
        last = stage.reports(broker, order[37])[-1]
        if last[39] == "2":
            tell(of_cancel, {35: "9", 102: "0", 39: "2"})
        else:
            tell(of_cancel, {35: "8", 150: "4", 151: "0"})
            expect(last[39] == "4", f"the order's last report has OrdStatus(39) {last[39]}")


# ---- refusals ----


def refusals(stage: Stage) -> None:
    """Each with the code that the venue's own table has."""
    broker, terms = stage.broker, stage.terms
    good: dict[int, object] = {55: terms.symbol, 54: "1", 38: terms.lots(1), 40: "2", 44: terms.bid}
    cases: list[tuple[dict[int, object], Reason]] = [
        ({55: "NO-SUCH-SYMBOL"}, Reason.REJECT_SESSION_UNKNOWN_SYMBOL),
        ({44: terms.bid + terms.tick / 2}, Reason.REJECT_SESSION_PRICE_OFF_TICK),
        ({38: terms.lot / 2}, Reason.REJECT_SESSION_QTY_OFF_LOT),
        ({38: "0"}, Reason.REJECT_BAD_QTY),
        ({44: terms.price * 1000}, Reason.REJECT_PRICE_OUT_OF_COLLAR),
        ({44: "9" * 60}, Reason.REJECT_SESSION_PRICE_OVERFLOW),
        ({1: "65000"}, Reason.REJECT_SESSION_ACCOUNT_NOT_PERMITTED),
        ({54: "5"}, Reason.REJECT_SESSION_UNSUPPORTED_VALUE),
        ({59: "5"}, Reason.REJECT_SESSION_UNSUPPORTED_VALUE),
        ({59: "6"}, Reason.REJECT_SESSION_BAD_COMBINATION),
        ({110: terms.lots(2)}, Reason.REJECT_BAD_MIN_QTY),
    ]
    for fields, reason in cases:
        body: list[Pair] = [(tag, str(value)) for tag, value in (good | fields).items()]
        answer = stage.answer(broker, lambda body=body: broker.request("D", body))  # type: ignore[misc]
        tell(answer, {35: "8", 150: "8", 39: "8", 103: str(WORDS[reason].order_code)})
        expect(bool(answer.get(58)), "a refusal without Text(58)")
        expect(answer[37].isdigit(), "a refused order without an OrderID(37) of its own")


def cancels_refused(stage: Stage) -> None:
    broker, terms = stage.broker, stage.terms
    unknown = stage.answer(broker, lambda: broker.cancel("no-such-order", terms.symbol, "buy"))
    tell(unknown, {35: "9", 102: "1", 434: "1", 37: "NONE"})
    order = stage.order(broker, "buy", 1, terms.bid)
    wrong = stage.answer(broker, lambda: broker.cancel(order[11], terms.symbol, "sell"))
    tell(wrong, {35: "9", 102: str(WORDS[Reason.REJECT_SESSION_SYMBOL_MISMATCH].cancel_code)})
    cancelled(stage, broker, order)
    tell(stage.answer(broker, lambda: broker.cancel(order[11], terms.symbol, "buy")), {35: "9", 102: "0", 39: "4"})


# ---- replaces, status, mass cancels ----


def replace_chain(stage: Stage) -> None:
    broker, terms = stage.broker, stage.terms
    order = stage.order(broker, "buy", 1, terms.bid)
    current = order[11]
    for step in range(REPLACES):
        price, lots = terms.bid - terms.tick * (step + 1), terms.lots(2 + step)
        send = lambda c=current, p=price, q=lots: broker.replace(c, terms.symbol, "buy", q, p)  # noqa: E731
        answer = stage.answer(broker, send)
        tell(answer, {35: "8", 150: "5", 39: "0", 41: current, 37: order[37]})
        expect(amount(answer, 44) == price and amount(answer, 38) == lots, "the report has not the new terms")
        current = answer[11]
    earlier = stage.answer(broker, lambda: broker.replace(order[11], terms.symbol, "buy", terms.lots(1), terms.bid))
    tell(earlier, {35: "8", 150: "5", 37: order[37]})
    current = earlier[11]
    again = stage.answer(
        broker, lambda: broker.replace(current, terms.symbol, "buy", terms.lots(1), terms.bid, t11=current)
    )
    tell(again, {35: "9", 102: "6"})
    cancelled(stage, broker, {11: current, 37: order[37]})


def order_status(stage: Stage) -> None:
    broker = stage.broker
    order = stage.order(broker, "buy", 1, stage.terms.bid)
    body = [*status_of(stage, order[11]), (790, "query")]
    answer = stage.answer(broker, lambda: broker.request("H", list(body)))
    tell(answer, {150: "I", 39: "0", 37: order[37], 790: "query"})
    unknown = stage.answer(broker, lambda: broker.request("H", status_of(stage, name(stage, "unknown"))))
    tell(unknown, {150: "I", 37: "NONE", 103: "5"})


def mass_cancel(stage: Stage) -> None:
    broker, terms = stage.broker, stage.terms
    for kind in ("1", "7"):
        orders = [stage.order(broker, "buy", 1, terms.bid) for _ in range(3)]
        body: list[Pair] = [(530, kind), *([(55, terms.symbol)] if kind == "1" else [])]
        answers = stage.answers(broker, lambda body=body: broker.request("q", body))  # type: ignore[misc]
        tell(answers[-1], {35: "r", 530: kind, 531: kind, 533: "3"})
        ended = {message[37] for message in answers if message[35] == "8" and message[150] == "4"}
        expect(ended == {order[37] for order in orders}, "not each order has its own report of the cancel")
    wrong = stage.answer(broker, lambda: broker.request("q", [(530, "6")]))
    tell(wrong, {35: "r", 531: "0"})


def self_match(stage: Stage) -> None:
    broker, terms = stage.broker, stage.terms
    for instruction, resting_ends, incoming_ends in (("1", False, True), ("2", True, False), ("3", True, True)):
        resting = stage.order(broker, "sell", 1, terms.price)
        incoming = stage.order(broker, "buy", 1, terms.price, t2964=instruction)
        stage.settle(broker)
        found = [stage.reports(broker, order[37])[-1] for order in (resting, incoming)]
        expect(all(m[150] != "F" for m in found), "two orders of one group traded with each other")
        for message, ends in zip(found, (resting_ends, incoming_ends), strict=True):
            tell(message, {150: "4" if ends else "0"})
        stage.clean()


# ---- the operator ----


def throttle(stage: Stage) -> None:
    assert stage.operator is not None
    broker, terms = stage.broker, stage.terms
    order = stage.order(broker, "buy", 1, terms.bid)
    stage.operator.throttle(stage.party.comp_id, THROTTLE)
    try:
        send: Callable[[], list[str]] = lambda: [  # noqa: E731
            broker.order(terms.symbol, "buy", terms.lots(1), terms.bid) for _ in range(4 * THROTTLE)
        ]
        answers = stage.answers(broker, send)
        over = [message for message in answers if message.get(150) == "8"]
        expect(bool(over), f"{4 * THROTTLE} orders at once, {THROTTLE} a second allowed, and none was refused")
        tell(over[0], {103: "3", 58: WORDS[Reason.REJECT_THROTTLED].text})
        expect(len(over) <= 3 * THROTTLE, "fewer orders were taken than are allowed in a second")
        cancelled(stage, broker, order)
        time.sleep(1.1)
        stage.order(broker, "buy", 1, terms.bid)
    finally:
        stage.operator.throttle(stage.party.comp_id, 0)


def halted(stage: Stage) -> None:
    assert stage.operator is not None
    broker, terms = stage.broker, stage.terms
    order = stage.order(broker, "buy", 1, terms.bid)
    stage.operator.phase(terms.symbol, "HALT")
    try:
        refused = stage.answer(broker, lambda: broker.order(terms.symbol, "buy", terms.lots(1), terms.bid))
        tell(refused, {35: "8", 150: "8", 103: "2"})
        cancelled(stage, broker, order)
    finally:
        stage.operator.phase(terms.symbol, "CONTINUOUS")
    stage.order(broker, "buy", 1, terms.bid)


def killed(stage: Stage) -> None:
    assert stage.operator is not None
    broker, terms = stage.broker, stage.terms
    order = stage.order(broker, "buy", 1, terms.bid)
    stage.operator.kill(stage.party.comp_id, True)
    try:
        stage.settle(broker)
        stage.wait(broker, lambda: stage.reports(broker, order[37])[-1][150] == "4", "the cancel by the kill switch")
        refused = stage.answer(broker, lambda: broker.order(terms.symbol, "buy", terms.lots(1), terms.bid))
        tell(refused, {35: "8", 150: "8", 103: "0", 58: WORDS[Reason.REJECT_KILLED].text})
    finally:
        stage.operator.kill(stage.party.comp_id, False)
    stage.order(broker, "buy", 1, terms.bid)


def accepted(messages: list[Message], **fields: str) -> bool:
    return bool(count_of(messages, t35="8", t150="0", **fields))


ORDER_CASES = (
    Case("C20", "Limit order, Day", (25, 29), limit_day, shown=saw(t35="8", t150="0", t40="2", t59="0")),
    Case("C21", "Good till cancel", (), limit_gtc, shown=saw(t35="8", t150="0", t59="1")),
    Case("C22", "Good till a time, a day", (), limit_gtd, shown=saw(t35="8", t150="0", t59="6")),
    Case("C23", "Immediate or cancel", (), immediate_or_cancel, shown=saw(t35="8", t150="0", t59="3")),
    Case("C24", "Fill or kill", (), fill_or_kill, shown=saw(t35="8", t150="0", t59="4")),
    Case(
        "C25",
        "Stop and stop limit",
        (),
        stops,
        shown=lambda m: accepted(m, t40="3") and accepted(m, t40="4"),
    ),
    Case(
        "C26",
        "Iceberg",
        (),
        iceberg,
        shown=lambda m: any(x.get(35) == "8" and x.get(150) == "0" and 111 in x for x in m),
    ),
    Case("C27", "Post-only", (), post_only, shown=saw(t35="8", t150="0", t18="6")),
    Case("C28", "All or none", (), all_or_none, shown=saw(t35="8", t150="0", t18="G")),
    Case("C29", "Refusals and their codes", (25, 29, 30, 39), refusals, shown=saw(t150="8")),
    Case(
        "C30",
        "Cancels that are refused",
        (27, 33),
        cancels_refused,
        shown=saw(t35="9", t434="1"),
    ),
    Case("C31", "A chain of replaces", (28, 31), replace_chain, shown=lambda m: count_of(m, t150="5") > 1),
    Case("C32", "Order status", (34,), order_status, shown=saw(t150="I")),
    Case(
        "C33", "Mass cancel", (35,), mass_cancel, shown=lambda m: saw(t35="r", t531="1")(m) or saw(t35="r", t531="7")(m)
    ),
    Case(
        "C34",
        "Self-match prevention",
        (36,),
        self_match,
        shown=lambda m: any(x.get(378) in ("5", "17") for x in m),
    ),
    Case("C35", "Partial fill", (), partial_fill, COUNTERPART, shown=saw(t150="F", t39="1")),
    Case("C36", "Fill", (), full_fill, COUNTERPART, shown=saw(t150="F", t39="2")),
    Case(
        "C37",
        "Market and market-to-limit",
        (),
        market_order,
        COUNTERPART,
        shown=saw(t150="F", t40="1"),
    ),
    Case("C38", "Replace to less than is filled", (31,), replace_below_filled, COUNTERPART),
    Case("C39", "Cancel against fill", (33,), cancel_race, COUNTERPART),
    Case("C40", "Throttle", (38,), throttle, OPERATOR),
    Case("C41", "A halted instrument", (8,), halted, OPERATOR, shown=saw(t150="8", t103="2")),
    Case("C42", "Kill switch", (40,), killed, OPERATOR),
)
