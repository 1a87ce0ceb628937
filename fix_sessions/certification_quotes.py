"""Certification cases of mass quotes: entering, replacing, pulling, refusals, cancels, fills, protection."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from fix_sessions.certification import Case, Message, Stage, Told, expect, tell
from fix_sessions.certification_orders import COUNTERPART, amount
from fix_sessions.certification_sessions import count_of, name, saw
from fix_sessions.client import Pair

GUARDED = frozenset({"counterpart", "protection"})
TRIP_TRADES_MAX = 1000


@dataclass(frozen=True)
class Entry:
    """One line of a mass quote; without a price that side is left out."""

    name: str
    bid: Decimal | None = None
    offer: Decimal | None = None
    lots: int = 5
    symbol: str = ""

    def pairs(self, stage: Stage) -> list[Pair]:
        terms = stage.terms
        found: list[Pair] = [(299, self.name), (55, self.symbol or terms.symbol)]
        prices = ((132, self.bid), (133, self.offer))
        found += [(tag, str(price)) for tag, price in prices if price is not None]
        found += [(tag + 2, str(terms.lots(self.lots))) for tag, price in prices if price is not None]
        return found


def body_of(stage: Stage, quote_id: str, *entries: Entry, **more: str) -> list[Pair]:
    count = str(len(entries))
    body: list[Pair] = [(117, quote_id), (301, "2"), *((int(tag[1:]), value) for tag, value in more.items())]
    body += [(296, "1"), (302, "set"), (304, count), (295, count)]
    return body + [pair for entry in entries for pair in entry.pairs(stage)]


def quote(stage: Stage, *entries: Entry, quote_id: str = "", **more: str) -> Told:
    """Sends a MassQuote(i); its acknowledgement (b)."""
    quote_id = quote_id or name(stage, "q")
    body = body_of(stage, quote_id, *entries, **more)
    broker = stage.broker
    return stage.saying(broker, lambda: broker.send("i", body), "the acknowledgement (b)", t35="b", t117=quote_id)


def pull(stage: Stage, kind: str, *entries: str, symbol: str = "") -> Told:
    """Sends a QuoteCancel(Z) of this QuoteCancelType(298); its acknowledgement (b)."""
    broker, quote_id = stage.broker, name(stage, "z")
    body: list[Pair] = [(117, quote_id), (298, kind), (301, "2")]
    lines: list[list[Pair]] = [[(55, stage.terms.symbol), (299, entry)] for entry in entries]
    lines += [[(55, symbol)]] if symbol else []
    body += [(295, str(len(lines))), *(pair for line in lines for pair in line)] if lines else []
    return stage.saying(broker, lambda: broker.send("Z", body), "the acknowledgement (b)", t35="b", t117=quote_id)


def side(stage: Stage, quote_id: str, entry: str, letter: str = "B") -> Message:
    """What an OrderStatusRequest(H) tells of a side of an entry."""
    broker, clordid = stage.broker, f"~{letter}{quote_id}~{entry}"
    body: list[Pair] = [(11, clordid), (55, stage.terms.symbol), (54, "1" if letter == "B" else "2")]
    return stage.answer(broker, lambda: broker.request("H", body))


def quoting(stage: Stage) -> None:
    terms = stage.terms
    first = quote(stage, Entry("e", terms.bid, terms.offer))
    tell(first, {297: "0"})
    expect(368 not in first, "an entry was refused")
    bid, offer = side(stage, first[117], "e"), side(stage, first[117], "e", "S")
    tell(bid, {39: "0", 117: first[117], 299: "e"})
    tell(offer, {39: "0", 54: "2"})
    expect(amount(bid, 151) == terms.lots(5), "the bid's size is another")
    expect((amount(bid, 44), amount(offer, 44)) == (terms.bid, terms.offer), "a side has another price")
    second = quote(stage, Entry("e", terms.bid + terms.tick, terms.offer))
    moved = side(stage, second[117], "e")
    tell(moved, {39: "0", 37: bid[37]})
    expect(amount(moved, 44) == terms.bid + terms.tick, "the quote that was replaced has the old price")
    third = quote(stage, Entry("e", terms.bid))
    tell(side(stage, second[117], "e", "S"), {39: "4"})
    quote(stage, Entry("e"))
    tell(side(stage, third[117], "e"), {39: "4"})


def refused(stage: Stage) -> None:
    terms, broker = stage.terms, stage.broker
    off_tick = Entry("bad", terms.bid + terms.tick / 2)
    told = quote(stage, Entry("good", terms.bid), off_tick)
    tell(told, {297: "0"})
    entries = {entry[299]: entry for entry in told.group(299)}
    expect("good" not in entries or 368 not in entries["good"], "the good entry was refused")
    expect("bad" in entries, "the entry that cannot be taken is not named")
    tell(entries["bad"], {368: "8"})
    expect(bool(entries["bad"].get(58)), "a refused entry without Text(58)")
    tell(side(stage, told[117], "good"), {39: "0"})
    tell(quote(stage, Entry("e", terms.bid, symbol="NO-SUCH-SYMBOL")), {297: "5", 300: "1", 368: "1"})
    tell(quote(stage, Entry("good", terms.bid + terms.tick), quote_id=told[117]), {368: "6"})
    body = body_of(stage, "x" * 21, Entry("e", terms.bid))
    tell(stage.rejected(broker, lambda: broker.send("i", body)), {371: "117", 372: "i"})


def cancels(stage: Stage) -> None:
    terms = stage.terms
    told = quote(stage, Entry("a", terms.bid), Entry("b", terms.bid))
    tell(pull(stage, "5", "a"), {297: "17"})
    tell(side(stage, told[117], "a"), {39: "4"})
    tell(side(stage, told[117], "b"), {39: "0"})
    tell(pull(stage, "5", "a"), {297: "9"})
    tell(pull(stage, "1", symbol=terms.symbol), {297: "1"})
    tell(side(stage, told[117], "b"), {39: "4"})
    order = stage.order(stage.broker, "buy", 1, terms.bid)
    told = quote(stage, Entry("a", terms.bid, terms.offer), Entry("b", terms.bid))
    ended = pull(stage, "4")
    tell(ended, {297: "4"})
    expect(ended.get(58, "").startswith("3 orders"), f"3 quotes were pulled, it says {ended.get(58)!r}")
    status: list[Pair] = [(11, order[11]), (55, terms.symbol), (54, "1")]
    tell(stage.answer(stage.broker, lambda: stage.broker.request("H", status)), {39: "0"})
    tell(pull(stage, "1", symbol="NO-SUCH-SYMBOL"), {300: "1"})


def hit(stage: Stage, lots: int) -> None:
    """The counterpart sells into our bid."""
    other, terms = stage.other, stage.terms
    stage.answers(other, lambda: other.order(terms.symbol, "sell", terms.lots(lots), terms.price, t59="3"))


def fills(stage: Stage) -> None:
    broker, terms = stage.broker, stage.terms
    told = quote(stage, Entry("e", terms.price, terms.offer), t9773="Y")  # trades of before do not count
    fill = stage.saying(broker, lambda: hit(stage, 2), "the quote's fill", t35="8", t150="F", t117=told[117])
    tell(fill, {299: "e", 11: f"~B{told[117]}~e", 39: "1", 851: "1"})
    expect(amount(fill, 32) == terms.lots(2) and amount(fill, 151) == terms.lots(3), f"quantities of {fill}")
    again = quote(stage, Entry("e", terms.price, terms.offer))
    status = side(stage, again[117], "e")
    tell(status, {39: "1"})
    expect(amount(status, 151) == terms.lots(5), "BidSize(134) is what is to be open; something else is")


def protection(stage: Stage) -> None:
    agreed = stage.agreed.protection
    assert agreed is not None, "the case says that it needs it"
    broker, terms = stage.broker, stage.terms
    lots = int((agreed.quantity / terms.lot).to_integral_value(ROUND_CEILING)) if agreed.quantity else 1
    trades = 1 if agreed.quantity else min(agreed.trades, TRIP_TRADES_MAX)
    order = stage.order(broker, "buy", 1, terms.bid)
    tell(quote(stage, Entry("e", terms.price, terms.offer, lots * trades + 5), t9773="Y"), {297: "0"})
    for _ in range(trades - 1):
        hit(stage, lots)
    pulled = stage.saying(broker, lambda: hit(stage, lots), "the unasked b of the protection", t35="b", t297="6")
    tell(pulled, {9775: "F"})
    expect([entry[299] for entry in pulled.group(299)] == ["e"], "the b does not name the entry that was pulled")
    refusal = quote(stage, Entry("e", terms.bid))
    tell(refusal, {297: "5", 368: "9"})
    status: list[Pair] = [(11, order[11]), (55, terms.symbol), (54, "1")]
    tell(stage.answer(broker, lambda: broker.request("H", status)), {39: "0"})
    tell(quote(stage, Entry("e", terms.bid), t9773="Y"), {297: "0"})


QUOTE_CASES = (
    Case("C43", "Mass quote: entered, replaced, pulled", (41,), quoting, shown=saw(t35="b", t297="0")),
    Case("C44", "Quotes that are refused", (41,), refused, shown=lambda m: any(368 in x for x in m)),
    Case(
        "C45",
        "Quote cancels",
        (41,),
        cancels,
        shown=lambda m: any(count_of(m, t35="b", t297=status) for status in ("1", "4", "17")),
    ),
    Case(
        "C46",
        "A quote's fill",
        (41,),
        fills,
        COUNTERPART,
        shown=lambda m: any(x.get(35) == "8" and x.get(150) == "F" and 299 in x for x in m),
    ),
    Case("C47", "Market-maker protection", (42,), protection, GUARDED, shown=saw(t35="b", t9775="F")),
)
