"""Certification cases of order lists and of orders with more behind them: one cancels the other, parties, pegs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from cores import Reason
from fix_sessions.certification import Case, Message, Recorder, Stage, Told, expect, message_of, tell
from fix_sessions.certification_orders import COUNTERPART, accepted, amount
from fix_sessions.certification_sessions import count_of, name, saw, status_of
from fix_sessions.client import Pair
from fix_sessions.reasons import WORDS

NOW = "20260101-00:00:00"
LEI = "5493001KJTIIGC8Y1R12"
PARTIES: tuple[Pair, ...] = (
    (453, "3"),
    *((448, LEI), (447, "N"), (452, "3"), (2376, "23")),
    *((448, "ALGO7"), (447, "D"), (452, "122"), (2376, "22")),
    *((448, "42"), (447, "P"), (452, "12"), (2376, "24")),
    (528, "A"),
    (529, "5"),
    (1724, "5"),
    *((2593, "1"), (2594, "2"), (2595, "Y")),
)
PARTY_FAULTS: tuple[tuple[tuple[Pair, ...], str], ...] = (
    (((453, "1"), (448, "5493001KJTIIGC8Y1R13"), (447, "N"), (452, "3")), "is no LEI"),
    (((453, "1"), (448, "x"), (447, "D"), (452, "3"), (2376, "22")), "PartyRoleQualifier(2376)"),
    (((453, "2"), (448, "x"), (452, "3"), (448, "y"), (452, "3")), "is there twice"),
    (((2593, "2"), (2594, "0"), (2595, "Y"), (2594, "1"), (2595, "Y")), "exclude each other"),
)


# ---- lists ----


def leg(stage: Stage, number: int, side: str, price: Decimal, lots: int = 2) -> list[Pair]:
    """One order of a list."""
    terms = stage.terms
    body: list[Pair] = [(11, name(stage, f"leg{number}")), (67, str(number)), (55, terms.symbol), (54, side)]
    return [*body, (38, str(terms.lots(lots))), (40, "2"), (44, str(price))]


def enter(
    stage: Stage, legs: list[list[Pair]], *, list_id: str = "", one_cancels: bool = False, count: int = 0
) -> Told:
    """Sends a NewOrderList(E); its first ListStatus(N)."""
    broker, list_id = stage.broker, list_id or name(stage, "list")
    body: list[Pair] = [(66, list_id), (394, "3"), (1385, "1" if one_cancels else "0"), (68, str(count or len(legs)))]
    body += [(73, str(len(legs))), *(pair for each in legs for pair in each)]
    return stage.saying(broker, lambda: broker.send("E", body), "the ListStatus(N)", t35="N", t66=list_id, t429="1")


def of_order(status: Told, clordid: str) -> Message:
    """What a ListStatus(N) says of one order."""
    found = [entry for entry in status.group(11) if entry[11] == clordid]
    expect(len(found) == 1, f"the ListStatus(N) has {len(found)} orders called {clordid}")
    return found[0]


def reports_of(stage: Stage, clordid: str) -> list[Told]:
    """All ExecutionReports of an order, by its name."""
    found = [m for m in map(message_of, stage.broker.inbox) if m[35] == "8" and m.get(150) != "I"]
    own = [message for message in found if message.get(11) == clordid]
    expect(bool(own), f"no report of {clordid}")
    return own


def lists(stage: Stage) -> None:
    broker, terms = stage.broker, stage.terms
    legs = [leg(stage, 1, "1", terms.bid), leg(stage, 2, "1", terms.bid - terms.tick)]
    names = [str(dict(each)[11]) for each in legs]
    entered = enter(stage, legs)
    tell(entered, {431: "3", 68: "2"})
    for each in names:
        expect(of_order(entered, each).get(39) == "0", "an order of the list does not stand")
        tell(reports_of(stage, each)[0], {150: "0", 39: "0"})
    ask = lambda: broker.send("M", [(66, entered[66])])  # noqa: E731
    status = stage.saying(broker, ask, "the ListStatus(N) that was asked for", t35="N", t66=entered[66], t429="2")
    tell(status, {431: "3"})
    expect(int(status[83]) > int(entered[83]), "RptSeq(83) does not go on")
    end = lambda: broker.send("K", [(66, entered[66]), (60, NOW)])  # noqa: E731
    found = stage.told(broker, end, lambda m: m.get(35) == "N" and m.get(429) == "5", "the last ListStatus(N)")
    expect(bool(count_of(list(found), t35="N", t429="2", t431="4")), "the ListCancelRequest(K) was not acknowledged")
    done = next(m for m in found if m.get(35) == "N" and m[429] == "5")
    tell(done, {66: entered[66], 431: "6"})
    for each in names:
        expect(Decimal(of_order(done, each)[84]) == terms.lots(2), "CxlQty(84) is not all of the order")
        tell(reports_of(stage, each)[-1], {150: "4", 39: "4"})
    again = stage.saying(broker, end, "a refusal of the second ListCancelRequest(K)", t35="j")
    tell(again, {372: "K", 380: "1", 379: entered[66]})


def one_cancels_the_other(stage: Stage) -> None:
    broker, terms = stage.broker, stage.terms
    legs = [leg(stage, 1, "2", terms.offer), leg(stage, 2, "2", terms.offer + terms.tick)]
    first, second = (str(dict(each)[11]) for each in legs)
    entered = enter(stage, legs, one_cancels=True)
    cancel = lambda: broker.cancel(first, terms.symbol, "sell")  # noqa: E731
    done = stage.saying(broker, cancel, "the end of the list", t35="N", t66=entered[66], t429="5")
    for entry in done.group(11):
        tell(entry, {39: "4", 151: "0"})
        expect(Decimal(entry[84]) == terms.lots(2), "CxlQty(84) is not all of the order")
    tell(reports_of(stage, second)[-1], {150: "4", 39: "4"})


def one_trades(stage: Stage) -> None:
    broker, other, terms = stage.broker, stage.other, stage.terms
    legs = [leg(stage, 1, "2", terms.price), leg(stage, 2, "2", terms.offer)]
    first, second = (str(dict(each)[11]) for each in legs)
    entered = enter(stage, legs, one_cancels=True)
    take = lambda: other.order(terms.symbol, "buy", terms.lots(2), terms.price, t59="3")  # noqa: E731
    done = stage.saying(broker, take, "the end of the list", t35="N", t66=entered[66], t429="5")
    tell(of_order(done, first), {39: "2", 84: "0"})
    expect(Decimal(of_order(done, first)[14]) == terms.lots(2), "CumQty(14) is not what was traded")
    tell(of_order(done, second), {39: "4", 151: "0"})
    tell(reports_of(stage, first)[-1], {150: "F", 39: "2"})
    tell(reports_of(stage, second)[-1], {150: "4", 39: "4"})


def lists_refused(stage: Stage) -> None:
    terms = stage.terms

    def legs() -> list[list[Pair]]:
        return [leg(stage, 1, "1", terms.bid), leg(stage, 2, "1", terms.bid - terms.tick)]

    entered = enter(stage, legs())
    twice = enter(stage, legs(), list_id=entered[66])
    tell(twice, {431: "7"})
    expect("66" in twice.get(444, ""), f"ListStatusText(444) does not name ListID(66): {twice.get(444)!r}")
    tell(enter(stage, legs(), count=3), {431: "7"})
    tell(enter(stage, legs()[:1]), {431: "7"})
    body: list[Pair] = [(66, name(stage, "no-such-list"))]
    unknown = stage.saying(stage.broker, lambda: stage.broker.send("M", body), "a refusal", t35="j")
    tell(unknown, {372: "M", 380: "1"})


# ---- parties ----


def with_parties(stage: Stage, block: tuple[Pair, ...]) -> list[Pair]:
    terms = stage.terms
    body: list[Pair] = [(11, name(stage, "for")), *block, (55, terms.symbol), (54, "1"), (60, NOW)]
    return [*body, (38, str(terms.lots(1))), (40, "2"), (44, str(terms.bid))]


def parties(stage: Stage) -> None:
    broker = stage.broker
    answer = stage.answer(broker, lambda: broker.send("D", with_parties(stage, PARTIES)))
    tell(answer, {35: "8", 150: "0", 39: "0"})


def parties_refused(stage: Stage) -> None:
    broker = stage.broker
    for block, text in PARTY_FAULTS:
        body = with_parties(stage, block)
        reject = stage.saying(broker, lambda body=body: broker.send("D", body), "a BusinessMessageReject(j)", t35="j")  # type: ignore[misc]
        tell(reject, {372: "D", 380: "0", 379: str(body[0][1])})
        expect(text in reject.get(58, ""), f"Text(58) is {reject.get(58)!r}, expected {text!r}")
    stage.order(broker, "buy", 1, stage.terms.bid)


# ---- pegs ----


def market(stage: Stage) -> None:
    """A bid and an offer of ours, which pegged orders follow."""
    stage.order(stage.broker, "buy", 1, stage.terms.bid)
    stage.order(stage.broker, "sell", 1, stage.terms.offer)


def peg(stage: Stage, kind: str, *, status: str = "0", **fields: Any) -> Message:
    """A pegged buy of one lot; its first report."""
    return stage.order(stage.broker, "buy", 1, None, status=status, t40="P", t18=kind, **fields)


def wait_for_price(stage: Stage, broker: Recorder, order: Message, price: Decimal) -> Message:
    """The report of the move to this price."""
    there = lambda: Decimal(stage.reports(broker, order[37])[-1].get(44, "0")) == price  # noqa: E731
    stage.wait(broker, there, f"the move of the pegged order to {price}")
    return stage.reports(broker, order[37])[-1]


def pegged(stage: Stage) -> None:
    broker, terms = stage.broker, stage.terms
    market(stage)
    primary, middle = peg(stage, "R"), peg(stage, "M")
    tell(primary, {40: "P", 18: "R"})
    half = (terms.bid + terms.offer) / 2 // terms.tick * terms.tick
    expect(amount(primary, 44) == terms.bid, f"pegged to the bid, and Price(44) is {primary[44]}")
    expect(amount(middle, 44) == half, f"pegged to the middle, and Price(44) is {middle[44]}")
    limited = peg(stage, "R", t44=terms.bid + terms.tick)
    better = terms.bid + 4 * terms.tick
    stage.order(broker, "buy", 1, better)
    moved = wait_for_price(stage, broker, primary, better)
    tell(moved, {150: "D", 378: "3", 39: "0", 11: primary[11]})
    wait_for_price(stage, broker, middle, (better + terms.offer) / 2 // terms.tick * terms.tick)
    wait_for_price(stage, broker, limited, terms.bid + terms.tick)
    send = lambda: broker.replace(primary[11], terms.symbol, "buy", terms.lots(1), terms.bid - terms.tick)  # noqa: E731
    plain = stage.answer(broker, send)
    tell(plain, {35: "8", 150: "5", 40: "2", 37: primary[37]})
    expect(amount(plain, 44) == terms.bid - terms.tick, "a replace with OrdType(40) 2 did not make it a plain order")


def pegs_refused(stage: Stage) -> None:
    code = str(WORDS[Reason.REJECT_SESSION_NO_REFERENCE].order_code)
    tell(peg(stage, "M", status="8"), {103: code})
    market(stage)
    two = peg(stage, "M R", status="8")
    tell(two, {103: str(WORDS[Reason.REJECT_SESSION_UNSUPPORTED_VALUE].order_code)})
    order = stage.order(stage.broker, "buy", 1, None, t40="P", t18="R", t211=-stage.terms.tick)
    expect(amount(order, 44) == stage.terms.bid - stage.terms.tick, f"with an offset Price(44) is {order[44]}")
    tell(stage.answer(stage.broker, lambda: stage.broker.request("H", status_of(stage, order[11]))), {40: "P", 18: "R"})


LIST_CASES = (
    Case("C48", "An order list: entered, asked for, cancelled", (43,), lists, shown=saw(t35="N", t431="3")),
    Case("C49", "One cancels the other: a cancel", (43,), one_cancels_the_other),
    Case("C50", "One cancels the other: a trade", (43,), one_trades, COUNTERPART),
    Case("C51", "Lists that are refused", (43,), lists_refused, shown=saw(t35="N", t431="7")),
)
PARTY_CASES = (
    Case("C52", "The party block and order attributes", (44,), parties),
    Case("C53", "A party block that is refused", (44,), parties_refused, shown=saw(t35="j", t372="D", t380="0")),
)
PEG_CASES = (
    Case("C54", "Pegged orders follow the market", (45,), pegged, shown=lambda m: accepted(m, t40="P")),
    Case("C55", "Pegged orders that are refused, and offsets", (45,), pegs_refused),
)
