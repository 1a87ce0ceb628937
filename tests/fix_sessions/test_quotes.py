"""Mass quotes: what the acknowledgements say is what rests, for both applications, whatever happens in between."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cores import CommandKind, Phase
from fix_sessions.client import Broker
from tests.fix_sessions.rig import Venue, ask, rejected, settle, tags, until, written
from tests.fix_sessions.test_applications import everything

MAKER, MAKER_SESSION = "ALPHA2", 4
TAKER = "BRAVO1"
MMP = 'mmp = { window_ms = 60000, quantity = "50", delta = "30", trades = 6 }'
Entry = tuple[str, str, Any, Any, Any, Any]
"""QuoteEntryID, symbol, bid price and size, offer price and size; None: left out."""


class Maker:
    """Quotes over a broker's session and keeps what it was told."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.count = 0

    def fields(self, entries: Iterable[Entry], *, level: str = "2", quote_id: str = "", **more: str) -> list[Any]:
        self.count += 1
        sets = list(entries)
        found: list[Any] = [(117, quote_id or f"q{self.count}"), (301, level)]
        found += [(int(name[1:]), value) for name, value in more.items()]
        found += [(296, "1"), (302, "s"), (304, str(len(sets))), (295, str(len(sets)))]
        for entry_id, symbol, bid, bid_size, offer, offer_size in sets:
            found += [(299, entry_id), (55, symbol)]
            values = ((132, bid), (133, offer), (134, bid_size), (135, offer_size))
            found += [(tag, str(value)) for tag, value in values if value is not None]
        return found

    def quote(self, *entries: Entry, **more: Any) -> dict[int, str]:
        """Sends a MassQuote and returns its acknowledgement."""
        return self.acknowledged("i", self.fields(entries, **more))

    def acknowledged(self, msg_type: str, body: list[Any]) -> dict[int, str]:
        before = len(self.broker.inbox)
        self.broker.send(msg_type, body)
        self.broker.wait_for(lambda: any(m.get(35) == b"b" for m in self.broker.inbox[before:]))
        settle(self.broker)
        told = [tags(m) for m in self.broker.inbox[before:] if m.get(35) == b"b"]
        assert len(told) == 1, f"one acknowledgement, there were {told}"
        return told[0]

    def cancel(self, kind: str, *symbols: str, quote_id: str = "z", entries: Iterable[str] = ()) -> dict[int, str]:
        body: list[Any] = [(117, quote_id), (298, kind)]
        pairs = [(symbol, None) for symbol in symbols] + [("ACME", entry_id) for entry_id in entries]
        body += [(295, str(len(pairs)))] if pairs else []
        for symbol, entry_id in pairs:
            body += [(55, symbol)] + ([(299, entry_id)] if entry_id else [])
        return self.acknowledged("Z", body)

    def told(self, kind: bytes = b"8") -> list[dict[int, str]]:
        return [tags(m) for m in self.broker.inbox if m.get(35) == kind]


def rests(venue: Venue, session: int = MAKER_SESSION) -> dict[tuple[str, str], tuple[str, int, int]]:
    """(entry, side) -> (symbol, price in ticks, open lots) of every live quote, from the engine."""
    found = {}
    for order in venue.engine.session_orders(session):
        if not order["clordid"].startswith("~"):
            continue
        key = (order["clordid"].split("~")[2], order["clordid"][1])
        assert key not in found, f"two orders for {key}"
        symbol = venue.config.instruments[order["symbol"]].symbol
        found[key] = (symbol, order["price_ticks"], order["leaves_lots"])
    return found


def refusals(message: Any) -> dict[str, tuple[str, str]]:
    """Entry -> (reason, text) of what an acknowledgement refuses."""
    found, entry = {}, ""
    for tag, value in message.pairs:
        if int(tag) == 299:
            entry = value.decode()
        elif int(tag) == 368:
            found[entry] = (value.decode(), "")
        elif int(tag) == 58 and entry in found:
            found[entry] = (found[entry][0], value.decode())
    return found


@pytest.fixture
def maker(venue: Venue) -> Maker:
    return Maker(venue.logged_on(MAKER))


@pytest.fixture
def guarded(make_venue: Callable[..., Venue], application: str) -> Venue:
    return make_venue(application, alpha=MMP)


# ---- quoting ----


def test_a_quote_is_entered_replaced_and_pulled(venue: Venue, maker: Maker):
    told = maker.quote(("e", "ACME", "99", 10, "101", 12))
    assert told[297] == "0" and told[117] == "q1" and 368 not in told
    assert rests(venue) == {("e", "B"): ("ACME", 9900, 10), ("e", "S"): ("ACME", 10100, 12)}
    ids = {order["order_id"] for order in venue.engine.session_orders(MAKER_SESSION)}
    maker.quote(("e", "ACME", "99.50", 5, "100.50", 6))
    assert rests(venue) == {("e", "B"): ("ACME", 9950, 5), ("e", "S"): ("ACME", 10050, 6)}
    assert {order["order_id"] for order in venue.engine.session_orders(MAKER_SESSION)} == ids, "replaced"
    maker.quote(("e", "ACME", "99.50", 0, "100.50", 6))
    assert rests(venue) == {("e", "S"): ("ACME", 10050, 6)}
    maker.quote(("e", "ACME", None, None, None, None))
    assert rests(venue) == {}
    assert not maker.told(), "the acknowledgement tells, no 8"


def test_fills_name_the_quote(venue: Venue, maker: Maker):
    taker = venue.logged_on(TAKER)
    maker.quote(("e", "ACME", "99", 10, "101", 10))
    ask(taker, lambda: taker.order("ACME", "sell", 4, "99"))
    settle(maker.broker)
    fill = maker.told()[0]
    assert (fill[150], fill[117], fill[299], fill[32], fill[151]) == ("F", "q1", "e", "4", "6")
    assert fill[11] == "~Bq1~e"
    maker.quote(("e", "ACME", "99", 10, "101", 10))
    assert rests(venue)["e", "B"] == ("ACME", 9900, 10), "a size is what is to be open"
    ask(taker, lambda: taker.order("ACME", "sell", 10, "99"))
    assert ("e", "B") not in rests(venue)
    maker.quote(("e", "ACME", "99", 3, "101", 10))
    assert rests(venue)["e", "B"] == ("ACME", 9900, 3), "a filled quote is entered anew"
    assert [fill[117] for fill in maker.told() if fill[150] == "F"] == ["q1", "q2"]


def test_sides_that_move_together_do_not_meet(venue: Venue, maker: Maker):
    for bid, offer in ((99, 101), (103, 105), (95, 97), (100, 102)):
        assert maker.quote(("e", "ACME", bid, 5, offer, 5))[297] == "0"
        assert rests(venue) == {("e", "B"): ("ACME", bid * 100, 5), ("e", "S"): ("ACME", offer * 100, 5)}
    assert not maker.told()


def test_a_quote_that_crosses_itself_is_a_matter_of_self_match_prevention(venue: Venue, maker: Maker):
    """ALPHA's is cancel_resting: the side that came first goes."""
    told = maker.quote(("e", "ACME", "101", 5, "100", 5))
    assert told[297] == "0"
    assert rests(venue) == {("e", "S"): ("ACME", 10000, 5)}
    gone = maker.told()[0]
    assert (gone[150], gone[378], gone[117], gone[54]) == ("4", "17", "q1", "1")


def test_post_only(venue: Venue, maker: Maker):
    taker = venue.logged_on(TAKER)
    ask(taker, lambda: taker.order("ACME", "sell", 5, "100"))
    told = maker.quote(("e", "ACME", "100", 5, "102", 5), t18="6")
    assert told[297] == "5" and told[368] == "8" and "post-only" in told[58]
    assert rests(venue) == {}
    maker.quote(("e", "ACME", "99", 5, "102", 5), t18="6")
    assert len(rests(venue)) == 2
    maker.quote(("e", "ACME", "99", 5, "102", 5))
    flags = {order["order_flags"] & 1 for order in venue.engine.session_orders(MAKER_SESSION)}
    assert flags == {0}, "another choice is another order"


def test_a_refused_entry_rests_nowhere_and_the_others_do(venue: Venue, maker: Maker):
    maker.quote(("a", "ACME", "99", 5, "101", 5), ("b", "BOLT", "10", 5, "11", 5))
    maker.broker.send("i", maker.fields([("a", "ACME", "98.005", 5, "101", 5), ("b", "BOLT", "10.025", 5, "11", 5)]))
    settle(maker.broker)
    message = maker.broker.inbox[-1]
    assert message.get(297) == b"0" and set(refusals(message)) == {"a"}
    assert refusals(message)["a"][0] == "8" and "tick" in refusals(message)["a"][1]
    assert rests(venue) == {("b", "B"): ("BOLT", 401, 10), ("b", "S"): ("BOLT", 440, 10)}


@pytest.mark.parametrize(
    ("entry", "code", "text"),
    [
        (("e", "ZZZ", "99", 1, "101", 1), "1", "not traded here"),
        (("e", "ACME", "200", 1, "201", 1), "8", "collar"),
        (("e", "ACME", "99", 10**9, "101", 1), "3", "enough available"),
        (("e", "ACME", "99", "1.5", "101", 1), "99", "lot"),
        (("e" * 17, "ACME", "99", 1, "101", 1), "99", "QuoteEntryID"),
    ],
)
def test_why_an_entry_is_refused(venue: Venue, maker: Maker, entry: Entry, code: str, text: str):
    told = maker.quote(entry)
    assert (told[297], told[300], told[368]) == ("5", code, code) and text in told[58]
    assert rests(venue) == {}


def test_another_account_is_refused(maker: Maker):
    assert maker.quote(("e", "ACME", "99", 1, "101", 1), t1="2")[368] == "9"


def test_a_quote_id_is_used_once(venue: Venue, maker: Maker):
    maker.quote(("e", "ACME", "99", 1, "101", 1), quote_id="same")
    told = maker.quote(("e", "ACME", "98", 1, "102", 1), quote_id="same")
    assert told[368] == "6" and rests(venue) == {}


@pytest.mark.parametrize("quote_id", ["a~b", "x" * 21])
def test_a_quote_id_that_no_name_can_hold(maker: Maker, quote_id: str):
    entry = ("e", "ACME", "99", 1, "101", 1)
    reject = rejected(maker.broker, lambda: maker.broker.send("i", maker.fields([entry], quote_id=quote_id)))
    assert reject[371] == "117"


def test_no_order_is_named_like_a_quote(maker: Maker):
    reject = rejected(maker.broker, lambda: maker.broker.order("ACME", "buy", 1, "99", t11="~Bq1~e"))
    assert (reject[371], reject[373]) == ("11", "5")


def test_response_levels(venue: Venue, maker: Maker):
    good, bad = ("g", "ACME", "99", 1, "101", 1), ("b", "ACME", "99.001", 1, "101", 1)
    for level, expected in (("0", []), ("1", [{"b"}])):
        before = len(maker.broker.inbox)
        maker.broker.send("i", maker.fields([good, bad], level=level))
        maker.broker.send("i", maker.fields([good], level=level))
        settle(maker.broker)
        assert [set(refusals(m)) for m in maker.broker.inbox[before:]] == expected
    assert len(rests(venue)) == 2


def test_too_many_entries(venue: Venue, maker: Maker):
    entries = [(f"e{i}", "ACME", "99", 1, "101", 1) for i in range(101)]
    told = maker.quote(*entries)
    assert told[297] == "5" and told[300] == "3" and 296 not in told and rests(venue) == {}


def test_a_quote_that_comes_again_does_nothing(venue: Venue, maker: Maker):
    entry = ("e", "ACME", "99", 5, "101", 5)
    maker.quote(entry, quote_id="one")
    maker.quote(("e", "ACME", "98", 5, "102", 5), quote_id="two")
    seq = venue.engine.last_seq
    maker.broker.send("i", [(97, "Y"), *maker.fields([entry], quote_id="one")])
    settle(maker.broker)
    assert rests(venue)["e", "B"] == ("ACME", 9800, 5) and venue.engine.last_seq == seq


def test_what_is_refused_while_halted_is_pulled(venue: Venue, maker: Maker):
    maker.quote(("e", "ACME", "99", 5, "101", 5))
    venue.engine.call(body=b"verb=test\x01", symbol=0, kind=CommandKind.PHASE, ord_type=Phase.HALT)
    assert maker.quote(("e", "ACME", "98", 5, "102", 5))[368] == "2"
    assert rests(venue) == {}


# ---- Z ----


def test_cancels(venue: Venue, maker: Maker):
    def again() -> None:
        maker.quote(("a", "ACME", "99", 5, "101", 5), ("b", "BOLT", "10", 5, "11", 5))
        maker.quote(("c", "ACME", "98", 5, "102", 5), quote_id=f"c{maker.count}")

    again()
    assert maker.cancel("1", "ACME")[297] == "1"
    assert {key for key, _ in rests(venue)} == {"b"}
    again()
    assert maker.cancel("5", quote_id=f"c{maker.count - 1}")[297] == "17"
    assert {key for key, _ in rests(venue)} == {"a", "b"}
    assert maker.cancel("5", entries=["a"])[297] == "17"
    assert {key for key, _ in rests(venue)} == {"b"}
    assert maker.cancel("5", entries=["a"])[297] == "9"
    assert maker.cancel("1", "ZZZ")[300] == "1"
    assert maker.cancel("1")[297] == "5"
    again()
    told = maker.cancel("4")
    assert told[297] == "4" and told[58].startswith("6 orders") and rests(venue) == {}
    assert not maker.told()


def test_quotes_and_orders_are_kept_apart(venue: Venue, maker: Maker):
    broker = maker.broker
    name = broker.order("ACME", "buy", 1, "98")
    maker.quote(("e", "ACME", "99", 5, "101", 5))
    assert maker.cancel("4")[58].startswith("2 orders")
    assert ask(broker, lambda: broker.cancel(name, "ACME", "buy"))[150] == "4"
    maker.quote(("e", "ACME", "99", 5, "101", 5))
    assert ask(broker, lambda: broker.request("q", [(530, "7")]))[533] == "2", "q is for all orders"
    assert rests(venue) == {}
    assert maker.quote(("e", "ACME", "99", 5, "101", 5))[297] == "0"


def test_a_quote_that_is_cancelled_or_replaced_as_an_order(venue: Venue, maker: Maker):
    broker = maker.broker
    maker.quote(("e", "ACME", "99", 5, "101", 5))
    gone = ask(broker, lambda: broker.cancel("~Bq1~e", "ACME", "buy"))
    assert (gone[150], gone[117], gone[299]) == ("4", "q1", "e")
    moved = ask(broker, lambda: broker.replace("~Sq1~e", "ACME", "sell", 4, "103", t11="mine"))
    assert moved[150] == "5" and rests(venue) == {}, "it is an order like any other now"
    maker.quote(("e", "ACME", "99", 5, "101", 5))
    assert len(rests(venue)) == 2 and maker.cancel("4")[58].startswith("2 orders")
    assert ask(broker, lambda: broker.cancel("mine", "ACME", "sell"))[150] == "4"


def test_the_status_of_a_quote(maker: Maker):
    maker.quote(("e", "ACME", "99", 5, "101", 5))
    body = [(11, "~Sq1~e"), (55, "ACME"), (54, "2")]
    status = ask(maker.broker, lambda: maker.broker.send("H", body))
    assert (status[150], status[117], status[299], status[151]) == ("I", "q1", "e", "5")


# ---- protection ----


def hit(venue: Venue, taker: Broker, lots: int, price: str = "99") -> None:
    ask(taker, lambda: taker.order("ACME", "sell", lots, price))
    venue.engine.drain()


@pytest.mark.parametrize(
    ("sizes", "limit"), [([30], "delta of 30"), ([5] * 6, "delta of 30"), ([1] * 6, "trades of 6")]
)
def test_protection_pulls_everything_of_its_scope(guarded: Venue, sizes: list[int], limit: str):
    maker, taker = Maker(guarded.logged_on(MAKER)), guarded.logged_on(TAKER)
    own = ask(maker.broker, lambda: maker.broker.order("ACME", "buy", 1, "90"))[11]
    maker.quote(("a", "ACME", "99", 90, "101", 5), ("b", "ACME", "98", 5, "102", 5), ("o", "BOLT", "10", 5, "11", 5))
    for index, lots in enumerate(sizes):
        assert len(rests(guarded)) == 6, f"trade {index}"
        hit(guarded, taker, lots)
    settle(maker.broker)
    settle(maker.broker)
    assert {key for key, _ in rests(guarded)} == {"o"}, "the other instrument is not touched"
    told = maker.told(b"b")[-1]
    assert told[297] == "6" and told[9775] == "F" and limit in told[58] and 117 not in told
    entries = [value for tag, value in maker.broker.inbox[-1].pairs if int(tag) == 299]
    assert entries == [b"a", b"b"]
    refused = maker.quote(("a", "ACME", "99", 5, "101", 5))
    assert refused[368] == "9" and "9773" in refused[58]
    assert ask(maker.broker, lambda: maker.broker.cancel(own, "ACME", "buy"))[150] == "4", "an order is no quote"
    assert maker.quote(("a", "ACME", "99", 5, "101", 5), t9773="Y")[297] == "0"
    assert {key for key, _ in rests(guarded)} == {"a", "o"}


def test_both_sides_count_to_the_quantity(guarded: Venue):
    maker, taker = Maker(guarded.logged_on(MAKER)), guarded.logged_on(TAKER)
    maker.quote(("a", "ACME", "99", 90, "101", 90))
    hit(guarded, taker, 25)
    ask(taker, lambda: taker.order("ACME", "buy", 24, "101"))
    assert len(rests(guarded)) == 2
    ask(taker, lambda: taker.order("ACME", "buy", 1, "101"))
    settle(maker.broker)
    settle(maker.broker)
    assert rests(guarded) == {} and "quantity of 50" in maker.told(b"b")[-1][58]


@pytest.mark.parametrize(("kind", "symbols"), [("4", []), ("1", ["ACME"])])
def test_a_cancel_resets_too(guarded: Venue, kind: str, symbols: list[str]):
    maker, taker = Maker(guarded.logged_on(MAKER)), guarded.logged_on(TAKER)
    maker.quote(("a", "ACME", "99", 90, "101", 90))
    hit(guarded, taker, 40)
    settle(maker.broker)
    body: list[Any] = [(117, "z"), (298, kind), (9773, "Y")]
    body += [(295, "1"), (55, "ACME")] if symbols else []
    ask(maker.broker, lambda: maker.broker.send("Z", body))
    assert maker.quote(("a", "ACME", "99", 5, "101", 5))[297] == "0"


def test_without_settings_nothing_trips(venue: Venue, maker: Maker):
    taker = venue.logged_on(TAKER)
    maker.quote(("a", "ACME", "99", 900, "101", 90))
    hit(venue, taker, 800)
    assert rests(venue)["a", "B"] == ("ACME", 9900, 100)


# ---- sessions ----


def test_cancel_on_disconnect_covers_quotes(venue: Venue):
    maker = Maker(venue.logged_on("ALPHA1"))
    maker.quote(("e", "ACME", "99", 5, "101", 5))
    assert len(rests(venue, 1)) == 2
    maker.broker.close()
    until(lambda: not rests(venue, 1))
    maker.broker.log_on()
    assert maker.quote(("e", "ACME", "99", 5, "101", 5))[297] == "0"


def test_a_restart_knows_the_quotes_again(make_venue: Callable[..., Venue], application: str):
    venue = make_venue(application, "commit")
    maker = Maker(venue.logged_on(MAKER))
    maker.quote(("e", "ACME", "99", 5, "101", 5))
    venue.close()
    venue = make_venue(application, "commit")
    status = next(session for session in venue.acceptor.sessions() if session["comp_id"] == MAKER)
    maker.broker = venue.broker(MAKER, next_out=status["target_seq"], next_in=status["sender_seq"])
    maker.broker.log_on()
    before = {order["order_id"] for order in venue.engine.session_orders(MAKER_SESSION)}
    assert maker.quote(("e", "ACME", "98", 5, "102", 5))[297] == "0"
    assert {order["order_id"] for order in venue.engine.session_orders(MAKER_SESSION)} == before
    assert rests(venue) == {("e", "B"): ("ACME", 9800, 5), ("e", "S"): ("ACME", 10200, 5)}
    assert maker.cancel("4")[58].startswith("2 orders")


# ---- any sequence ----

ENTRIES = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["ACME", "ACME", "BOLT", "ZZZ"]),
    st.sampled_from([None, 98, 99, 100, 101, "99.005", 12]),
    st.sampled_from([None, 0, 1, 5, 20, "-1"]),
    st.sampled_from([None, 100, 101, 102, 13]),
    st.sampled_from([None, 0, 1, 5, 20]),
)
STEPS = st.one_of(
    st.tuples(st.just("quote"), st.lists(ENTRIES, min_size=1, max_size=3), st.booleans()),
    st.tuples(st.just("hit"), st.sampled_from(["buy", "sell"]), st.integers(1, 12)),
    st.tuples(st.just("cancel"), st.sampled_from(["1", "4"]), st.just("ACME")),
    st.tuples(st.just("mass"), st.just("7"), st.just("")),
)


class Model:
    """What the acknowledgements and executions say is in the book."""

    def __init__(self) -> None:
        self.live: dict[tuple[str, str], tuple[str, str, Decimal]] = {}  # (entry, side): symbol, name, size
        self.left: dict[str, Decimal] = {}  # by ClOrdID, as executions say
        self.read = 0

    def hear(self, broker: Broker) -> None:
        """Everything that was said since the last time, in order."""
        for message in broker.inbox[self.read :]:
            if message.get(35) == b"b":
                self.acknowledged(message)
            elif message.get(35) == b"8" and message.get(299):
                self.left[message.get(11).decode()] = Decimal(message.get(151).decode())
        self.read = len(broker.inbox)

    def acknowledged(self, message: Any) -> None:
        status = message.get(297)
        if status in (b"1", b"4"):  # of ACME, of all
            self.live = {key: quote for key, quote in self.live.items() if status == b"1" and quote[0] != "ACME"}
        for entry in entries_of(message):
            for side, price, size in (("B", entry.get(132), entry.get(134)), ("S", entry.get(133), entry.get(135))):
                self.live.pop((entry[299], side), None)
                if status != b"6" and 368 not in entry and price and size and Decimal(size) != 0:
                    name = f"~{side}{message.get(117).decode()}~{entry[299]}"
                    self.live[entry[299], side] = (entry[55], name, Decimal(size))

    def rests(self) -> dict[tuple[str, str], tuple[str, Decimal]]:
        found = {key: (symbol, self.left.get(name, size)) for key, (symbol, name, size) in self.live.items()}
        return {key: quote for key, quote in found.items() if quote[1]}


def in_units(venue: Venue) -> dict[tuple[str, str], tuple[str, Decimal]]:
    """The live quotes with their open quantities."""
    lots = {i.symbol: i.lot for i in venue.config.instruments}
    return {key: (symbol, open_lots * lots[symbol]) for key, (symbol, _, open_lots) in rests(venue).items()}


def play(step: Any, maker: Maker, taker: Broker) -> None:
    """One step, and all that follows from it."""
    kind, first, second = step
    if kind == "quote":
        more = {"t9773": "Y"} if second else {}
        maker.broker.send("i", maker.fields([tuple(entry) for entry in first], **more))
    elif kind == "hit":
        price = "90" if first == "sell" else "110"
        taker.order("ACME", first, second, price, t59="3")
    elif kind == "cancel":
        body: list[Any] = [(117, "z"), (298, first)]
        maker.broker.send("Z", body + ([(295, "1"), (55, second)] if first == "1" else []))
    else:
        maker.broker.request("q", [(530, first)])
    for broker in (taker, maker.broker, maker.broker):
        settle(broker)


@pytest.mark.parametrize("protected", [False, True])
def test_what_is_acknowledged_is_what_rests(make_venue: Callable[..., Venue], application: str, protected: bool):
    venue = make_venue(application, alpha=MMP if protected else "")
    maker, taker, model = Maker(venue.logged_on(MAKER)), venue.logged_on(TAKER), Model()

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(STEPS, min_size=3, max_size=10))
    def check(steps: list[Any]) -> None:
        for step in [("cancel", "4", ""), *steps]:
            play(step, maker, taker)
            model.hear(maker.broker)
            assert in_units(venue) == model.rests(), f"after {step}"
        for area in venue.acceptor._application.areas:
            area.check()

    check()
    venue.engine.check()


def entries_of(message: Any) -> list[dict[int, str]]:
    found: list[dict[int, str]] = []
    for tag, value in message.pairs:
        if int(tag) == 299:
            found.append({})
        if found:
            found[-1].setdefault(int(tag), value.decode())
    return found


# ---- both applications ----


def random_entry(chance: random.Random) -> Entry:
    symbol = chance.choices(["ACME", "BOLT", "ZZZ"], [8, 2, 0.3])[0]
    bid, offer = (10, 12) if symbol == "BOLT" else (chance.randint(97, 101), chance.randint(99, 103))
    prices: list[Any] = [None, "99.005", "1000", *[bid] * 20], [None, "0", *[offer] * 20]
    sizes: list[Any] = [None, 0, "0.0", "-1", 10**9, 1, 2, 5, 5, 20, 20, 20]
    entry_id = chance.choice(["a", "b", "c", "c", "d" * 16] + ["d" * 17] * (chance.random() < 0.05))
    return (
        entry_id,
        symbol,
        chance.choice(prices[0]),
        chance.choice(sizes),
        chance.choice(prices[1]),
        chance.choice(sizes),
    )


def random_step(chance: random.Random, maker: Maker, taker: Broker, index: int) -> None:
    """One message of the maker or of the taker; every choice is drawn in the same order for both applications."""
    kind = chance.choices(["i", "taker", "Z", "q", "F", "G", "H", "again"], [10, 8, 1.5, 0.3, 1, 0.5, 1, 0.5])[0]
    entries = [random_entry(chance) for _ in range(chance.randint(1, 4))]
    more = {"t9773": chance.choice("YN")} if chance.random() < 0.3 else {}
    more |= {"t18": chance.choice(["6", "6", "G", "1"])} if chance.random() < 0.2 else {}
    more |= {"t1": chance.choice(["1", "3", "2"])} if chance.random() < 0.1 else {}
    level, side = chance.choice("12222220"), chance.choice("BS")
    name = f"~{side}q{chance.randint(max(1, maker.count - 3), maker.count + 1)}~{chance.choice('abc')}"
    fix_side = "1" if side == "B" else "2"
    send = maker.broker.send
    if kind == "i":
        send("i", maker.fields(entries, level=level, **more))
    elif kind == "again":
        send("i", [(97, "Y"), *maker.fields(entries, level=level, quote_id=f"q{max(1, maker.count - 1)}")])
    elif kind == "taker":
        price = "90" if side == "S" else "110"
        tif = chance.choice("33331")
        taker.order("ACME", "buy" if side == "B" else "sell", chance.randint(1, 15), price, t59=tif, t11=f"t{index}")
    elif kind == "Z":
        body: list[Any] = [(117, f"q{maker.count}"), (298, chance.choice("145"))]
        body += [(9773, more["t9773"])] if "t9773" in more else []
        named = chance.choice([[], [(55, "ACME")], [(55, "ACME"), (299, "a")], [(55, "ZZZ")]])
        send("Z", body + ([(295, "1"), *named] if named else []))
    elif kind == "q":
        maker.broker.request("q", [(530, "7")], t11=f"m{index}")
    elif kind == "F":
        maker.broker.request("F", [(41, name), (55, "ACME"), (54, fix_side)], t11=f"m{index}")
    elif kind == "G":
        body = [(41, name), (55, "ACME"), (54, fix_side), (38, "7"), (40, "2"), (44, "100")]
        maker.broker.request("G", body, t11=f"m{index}")
    else:
        send("H", [(11, name), (55, "ACME"), (54, fix_side)])
    for broker in (taker, maker.broker, maker.broker):
        settle(broker)


@pytest.mark.parametrize("seed", range(3))
def test_both_applications_say_and_journal_the_same(make_venue: Callable[..., Venue], seed: int):
    told, journals = [], []
    for application in ("native", "python"):
        venue = make_venue(application, folder=application, alpha=MMP)
        chance = random.Random(seed)
        maker, taker = Maker(venue.logged_on(MAKER)), venue.logged_on(TAKER)
        for index in range(150):
            random_step(chance, maker, taker, index)
        told.append((everything(maker.broker), everything(taker)))
        for area in venue.acceptor._application.areas:
            area.check()
        found = written(venue).poll(100_000)
        venue.engine.check()
        ends = [0, *found.annex_ends.tolist()]
        bodies = [bytes(found.annex[a + 16 : b]) for a, b in pairwise(ends)]
        journals.append([re.sub(rb"\x0160=[^\x01]*", b"", body) for body in bodies])
    for one, other in zip(told[0], told[1], strict=True):
        for index, (native, python) in enumerate(zip(one, other, strict=False)):
            assert native == python, f"seed {seed}, message {index}"
        assert len(one) == len(other), f"seed {seed}"
    assert journals[0] == journals[1], f"seed {seed}"
    kinds = {dict(message)[35] for message in told[0][0]}
    statuses = {dict(message).get(297) for message in told[0][0]}
    assert {b"8", b"b"} <= kinds and {b"0", b"5"} <= statuses, f"seed {seed}: {kinds}, {statuses}"
