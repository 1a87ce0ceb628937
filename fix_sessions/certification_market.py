"""Certification cases of the market data gateway: books, trades, recovery, refusals, instruments, phases."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from fix_sessions.certification import Case, Recorder, Stage, Told, expect, message_of, tell
from fix_sessions.certification_orders import amount, cancelled, rest_and_take
from fix_sessions.certification_sessions import name
from fix_sessions.client import Pair

MARKET = frozenset({"market data"})
WITH_COUNTERPART = MARKET | {"counterpart"}
WITH_OPERATOR = MARKET | {"operator"}
BID, OFFER, TRADE = "0", "1", "2"
NEW, CHANGE, DELETE = "0", "1", "2"
SLOW_MS = 800
BURST = 10
QUIET_SECONDS = 0.3


@dataclass
class View:
    """What a subscriber holds of one symbol: it applies W and X as they come, and keeps how it was told."""

    viewer: Recorder
    request: str
    levels: dict[tuple[str, Decimal], Decimal] = field(default_factory=dict)
    actions: list[tuple[str, str, Decimal]] = field(default_factory=list)
    trades: list[dict[int, str]] = field(default_factory=list)
    rpt_seq: int = 0
    updates: int = 0
    taken: int = 0

    def look(self) -> None:
        """Takes what has come since the last look."""
        new, self.taken = self.viewer.inbox[self.taken :], len(self.viewer.inbox)
        for message in (message_of(m) for m in new):
            if message.get(262) == self.request and message[35] in "WX":
                self._take(message)

    def _take(self, message: Told) -> None:
        number = int(message[83])
        if self.rpt_seq and message[35] == "X":
            expect(number == self.rpt_seq + 1, f"RptSeq(83) is {number} after {self.rpt_seq}")
        self.rpt_seq = number
        self.updates += 1
        if message[35] == "W":
            self.levels.clear()
        for entry in message.group(269 if message[35] == "W" else 279):
            kind, price = entry[269], Decimal(entry.get(270, "0"))
            if kind == TRADE:
                self.trades.append(entry)
            elif kind in (BID, OFFER) and entry.get(279) == DELETE:
                self.levels.pop((kind, price), None)
            elif kind in (BID, OFFER):
                self.levels[kind, price] = Decimal(entry[271])
            if 279 in entry:
                self.actions.append((entry[279], kind, price))

    def wait(self, stage: Stage, done: Callable[[], bool], what: str) -> None:
        def there() -> bool:
            self.look()
            return done()

        stage.wait(self.viewer, there, what)


def ask_of(
    stage: Stage, request: str, kind: str, types: str = BID + OFFER, depth: str = "0", **more: str
) -> list[Pair]:
    """The body of a MarketDataRequest(V)."""
    body: list[Pair] = [(262, request), (263, kind), (264, depth)]
    body += [(int(tag[1:]), value) for tag, value in more.items() if tag != "t55"]
    body += [(267, str(len(types))), *((269, each) for each in types)]
    return [*body, (146, "1"), (55, more.get("t55", stage.terms.symbol))]


def subscribe(stage: Stage, types: str = BID + OFFER, **more: str) -> View:
    """A subscription and its first W."""
    viewer, request = stage.viewer, name(stage, "md")
    view = View(viewer, request, taken=len(viewer.inbox))
    body = ask_of(stage, request, "1", types, **more)
    first = stage.saying(viewer, lambda: viewer.send("V", body), "the snapshot (W)", t35="W", t262=request)
    tell(first, {55: stage.terms.symbol})
    view.look()
    return view


def end(stage: Stage, view: View) -> None:
    """Ends a subscription, and sees that nothing comes any more."""
    viewer = stage.viewer
    viewer.send("V", ask_of(stage, view.request, "2"))
    stage.settle(viewer)
    view.look()
    count = view.updates
    stage.order(stage.broker, "buy", 1, stage.terms.bid - 5 * stage.terms.tick)
    time.sleep(QUIET_SECONDS)
    stage.settle(viewer)
    view.look()
    expect(view.updates == count, "updates came after the subscription was ended")


def book(stage: Stage) -> None:
    broker, terms = stage.broker, stage.terms
    view = subscribe(stage, t5265="20")
    place = BID, terms.bid
    before = view.levels.get(place, Decimal(0))
    expect(before == 0, "somebody has an order at the price of the case; choose an instrument in which nobody trades")
    first = stage.order(broker, "buy", 3, terms.bid)
    view.wait(stage, lambda: view.levels.get(place) == terms.lots(3), "the new level in an X")
    second = stage.order(broker, "buy", 2, terms.bid)
    view.wait(stage, lambda: view.levels.get(place) == terms.lots(5), "the level's change in an X")
    offer = stage.order(broker, "sell", 1, terms.offer)
    view.wait(stage, lambda: (OFFER, terms.offer) in view.levels, "the new offer in an X")
    for order in (first, second):
        cancelled(stage, broker, order)
    view.wait(stage, lambda: place not in view.levels, "the level's end in an X")
    told = [action for action, kind, price in view.actions if (kind, price) == place]
    expect(told[0] == NEW and told[-1] == DELETE and CHANGE in told, f"MDUpdateAction(279) of the level: {told}")
    snapshot = ask_of(stage, name(stage, "top"), "0", OFFER, "1")
    top = stage.saying(
        stage.viewer, lambda: stage.viewer.send("V", snapshot), "the snapshot (W)", t35="W", t262=str(snapshot[0][1])
    )
    tell(top, {268: "1", 269: OFFER, 290: "1"})
    expect(amount(top, 270) == terms.offer and amount(top, 271) == terms.lots(1), "the best offer is another")
    cancelled(stage, broker, offer, "sell")
    end(stage, view)


def trade(stage: Stage) -> None:
    view = subscribe(stage, TRADE, t5265="20")
    _, fill = rest_and_take(stage, 2, 2)
    view.wait(stage, lambda: any(each.get(278) == fill[527] for each in view.trades), "the trade in an X")
    found = [each for each in view.trades if each.get(278) == fill[527]]
    expect(len(found) == 1, f"the trade came {len(found)} times")
    tell(found[0] | {35: "X"}, {270: fill[31], 271: fill[32], 2446: "2", 55: stage.terms.symbol})
    end(stage, view)


def recovery(stage: Stage) -> None:
    broker, terms, viewer = stage.broker, stage.terms, stage.viewer
    view = subscribe(stage, t5265="20")
    stage.order(broker, "buy", 1, terms.bid)
    view.wait(stage, lambda: (BID, terms.bid) in view.levels, "the new level in an X")
    held, number = dict(view.levels), view.rpt_seq
    body = ask_of(stage, view.request, "0")
    again = stage.saying(viewer, lambda: viewer.send("V", body), "the snapshot (W) again", t35="W", t262=view.request)
    tell(again, {83: str(number), 55: terms.symbol})
    view.look()
    expect(view.levels == held, "the snapshot is not what the subscription held")
    stage.order(broker, "buy", 1, terms.bid)
    view.wait(stage, lambda: view.levels.get((BID, terms.bid)) == terms.lots(2), "the next update after the snapshot")
    end(stage, view)


def refusals(stage: Stage) -> None:
    viewer, view = stage.viewer, subscribe(stage)
    cases: list[tuple[list[Pair], str]] = [
        (ask_of(stage, name(stage, "a"), "1", t55="NO-SUCH-SYMBOL"), "0"),
        (ask_of(stage, view.request, "1"), "1"),
        (ask_of(stage, name(stage, "b"), "1", depth="3"), "5"),
        (ask_of(stage, name(stage, "c"), "1", t5265="600001"), "6"),
        (ask_of(stage, name(stage, "d"), "1", t266="N"), "7"),
        (ask_of(stage, name(stage, "e"), "1", "3"), "8"),
    ]
    for body, reason in cases:
        send = lambda body=body: viewer.send("V", body)  # noqa: E731
        reject = stage.saying(viewer, send, "a MarketDataRequestReject(Y)", t35="Y", t262=str(body[0][1]))
        tell(reject, {281: reason})
        expect(bool(reject.get(58)), "a refusal without Text(58)")
    order = lambda: viewer.order(stage.terms.symbol, "buy", stage.terms.lots(1), stage.terms.bid)  # noqa: E731
    tell(stage.saying(viewer, order, "a BusinessMessageReject(j)", t35="j"), {372: "D", 380: "3"})
    end(stage, view)


def instruments(stage: Stage) -> None:
    viewer, terms = stage.viewer, stage.terms
    request = name(stage, "all")
    last = lambda m: m.get(35) == "y" and m.get(320) == request and m.get(893) == "Y"  # noqa: E731
    parts = stage.told(viewer, lambda: viewer.send("x", [(320, request), (559, "4")]), last, "the last SecurityList(y)")
    lists = [m for m in parts if m.get(35) == "y" and m.get(320) == request]
    lines = [line for part in lists for line in part.group(55)]
    tell(lists[0], {560: "0", 393: str(len(lines))})
    ours = [line for line in lines if line[55] == terms.symbol]
    expect(len(ours) == 1, f"the list has {terms.symbol} {len(ours)} times")
    expect(Decimal(ours[0][969]) == terms.tick, f"MinPriceIncrement(969) is {ours[0][969]}")
    expect(Decimal(ours[0][561]) == terms.lot, f"RoundLot(561) is {ours[0][561]}")
    request = name(stage, "one")
    one: list[Pair] = [(320, request), (559, "0"), (55, "NO-SUCH-SYMBOL")]
    tell(stage.saying(viewer, lambda: viewer.send("x", one), "a SecurityList(y)", t35="y", t320=request), {560: "2"})
    request = name(stage, "what")
    ask: list[Pair] = [(320, request), (321, "0"), (55, terms.symbol)]
    what = stage.saying(viewer, lambda: viewer.send("c", ask), "a SecurityDefinition(d)", t35="d", t320=request)
    tell(what, {323: "1", 55: terms.symbol, 167: ours[0][167], 969: ours[0][969]})
    request = name(stage, "none")
    ask = [(320, request), (321, "0"), (55, "NO-SUCH-SYMBOL")]
    tell(
        stage.saying(viewer, lambda: viewer.send("c", ask), "a SecurityDefinition(d)", t35="d", t320=request),
        {323: "5"},
    )


def status_body(stage: Stage, request: str, kind: str, symbol: str = "") -> list[Pair]:
    return [(324, request), (55, symbol or stage.terms.symbol), (263, kind)]


def statuses(stage: Stage) -> None:
    viewer, request = stage.viewer, name(stage, "status")
    body = status_body(stage, request, "0")
    status = stage.saying(viewer, lambda: viewer.send("e", body), "a SecurityStatus(f)", t35="f", t324=request)
    tell(status, {55: stage.terms.symbol, 326: "17", 625: "3"})
    wrong = status_body(stage, name(stage, "wrong"), "0", "NO-SUCH-SYMBOL")
    reject = stage.saying(viewer, lambda: viewer.send("e", wrong), "a BusinessMessageReject(j)", t35="j")
    tell(reject, {372: "e", 380: "2", 379: str(wrong[0][1])})
    request = name(stage, "day")
    ask: list[Pair] = [(335, request), (336, "DAY"), (263, "0")]
    day = stage.saying(viewer, lambda: viewer.send("g", ask), "a TradingSessionStatus(h)", t35="h", t335=request)
    tell(day, {336: "DAY", 340: "2"})
    request = name(stage, "night")
    ask = [(335, request), (336, "NIGHT"), (263, "0")]
    night = stage.saying(viewer, lambda: viewer.send("g", ask), "a TradingSessionStatus(h)", t35="h", t335=request)
    tell(night, {340: "6"})


def phases(stage: Stage) -> None:
    assert stage.operator is not None
    viewer, terms, operator, request = stage.viewer, stage.terms, stage.operator, name(stage, "phases")
    body = status_body(stage, request, "1")
    stage.saying(viewer, lambda: viewer.send("e", body), "a SecurityStatus(f)", t35="f", t324=request, t326="17")
    halt = lambda: operator.phase(terms.symbol, "HALT")  # noqa: E731
    try:
        told = stage.saying(viewer, halt, "the SecurityStatus(f) of the halt", t35="f", t324=request)
        tell(told, {326: "2", 625: "7"})
    finally:
        operator.phase(terms.symbol, "CONTINUOUS")
    stage.saying(viewer, lambda: None, "the SecurityStatus(f) of the end of the halt", t35="f", t326="17", t625="3")
    viewer.send("e", status_body(stage, request, "2"))
    stage.settle(viewer)


def conflation(stage: Stage) -> None:
    broker, terms = stage.broker, stage.terms
    slow = subscribe(stage, t5265=str(SLOW_MS))
    whole = subscribe(stage, t265="0", t5265="20")
    stage.order(broker, "buy", 1, terms.bid)
    place = BID, terms.bid
    slow.wait(stage, lambda: place in slow.levels, "the first update")
    before, began = slow.updates, time.monotonic()
    for _ in range(BURST):
        stage.order(broker, "buy", 1, terms.bid)
    for view in (slow, whole):
        view.wait(stage, lambda v=view: v.levels.get(place) == terms.lots(1 + BURST), "the newest state")  # type: ignore[misc]
    stage.settle(stage.viewer)
    slow.look()  # at what came after the newest state, too
    allowed = 1 + int((time.monotonic() - began) * 1000 / SLOW_MS)
    expect(slow.updates - before <= allowed, f"{slow.updates - before} updates, conflated to at most {allowed}")
    expect(not whole.actions and whole.updates > 1, "MDUpdateType(265) 0 was asked for, and an update was not a W")
    end(stage, whole)
    end(stage, slow)


MARKET_CASES = (
    Case("C63", "The book: snapshot and updates", (49,), book, MARKET),
    Case("C64", "Trades", (49,), trade, WITH_COUNTERPART),
    Case("C65", "Recovery by snapshot", (50,), recovery, MARKET),
    Case("C66", "Market data requests that are refused", (49,), refusals, MARKET),
    Case("C67", "Instruments: list and definition", (51,), instruments, MARKET),
    Case("C68", "Status of an instrument and of the day", (51,), statuses, MARKET),
    Case("C69", "A halt is told", (51,), phases, WITH_OPERATOR),
    Case("C70", "Conflation and whole snapshots", (49,), conflation, MARKET),
)
