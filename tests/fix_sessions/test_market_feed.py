"""Streams of market data without a socket: who applies W and then X holds the core's book; every trade comes once."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import COMMAND, CommandKind, Core, CoreConfig, EventKind, OrdType, Phase, Side, Tif
from cores.records import CommandFlag
from fix_sessions.market_desk import Desk
from fix_sessions.market_feed import Feed
from fix_sessions.messages import fields
from tests.fix_sessions.rig import make_config
from venue.config import Config, MarketDataSection

FEEDS = (21, 22, 23)
TYPES = ("0", "1", "2", "4", "5", "7", "8", "Q")
START_NS = 1_700_000_000 * 10**9


class Client:
    """What a session was sent, applied as the rules of engagement say: levels by price, prices by type, trades."""

    def __init__(self) -> None:
        self.bids: dict[tuple[bytes, bytes], dict[bytes, bytes]] = defaultdict(dict)
        self.offers: dict[tuple[bytes, bytes], dict[bytes, bytes]] = defaultdict(dict)
        self.prices: dict[tuple[bytes, bytes], dict[bytes, tuple[bytes, bytes]]] = defaultdict(dict)
        self.trades: dict[tuple[bytes, bytes], list[bytes]] = defaultdict(list)
        self.told: dict[tuple[bytes, bytes], list[tuple[bool, bytes]]] = defaultdict(list)  # busts too, in order
        self.snapshot_trade: dict[tuple[bytes, bytes], bytes | None] = {}
        self.rpt: dict[tuple[bytes, bytes], int] = {}
        self.first_seq: dict[tuple[bytes, bytes], int] = {}
        self.last_trade: dict[tuple[bytes, bytes], bytes] = {}
        self.messages: list[tuple[bytes, list[tuple[int, bytes]]]] = []

    def take(self, kind: bytes, body: bytes, full_ones: set[bytes]) -> None:
        found = list(fields(body))
        self.messages.append((kind, found))
        if kind not in (b"W", b"X"):
            return
        values = dict(found)
        request = values[262]
        key = (request, values[55])
        if kind == b"W":
            self.bids[key], self.offers[key], self.prices[key] = {}, {}, {}
            self.first_seq.setdefault(key, int(values[1181]))
            self.snapshot_trade[key] = None
        full = request in full_ones and key in self.rpt
        if key in self.rpt:
            assert int(values[83]) in (self.rpt[key], self.rpt[key] + 1), "RptSeq has no gap"
        self.rpt[key] = int(values[83])
        entries = split(found, 269 if kind == b"W" else 279)
        assert len(entries) == int(values[268])
        for entry in entries:
            self.entry(key, kind, entry, full)

    def entry(self, key: tuple[bytes, bytes], message: bytes, entry: dict[int, bytes], full: bool) -> None:
        kind, action = entry[269], entry.get(279, b"0")
        if kind == b"2":
            busted = action == b"2" if message == b"X" else entry.get(277) == b"0"
            assert 277 not in entry or message == b"W"
            assert not busted or 2446 not in entry, "a bust has no aggressor"
            if message == b"X" or full:
                self.told[key].append((busted, entry[278]))
            if message == b"W" and not busted:
                self.snapshot_trade[key] = entry[278]
            if busted:
                return
            if message == b"X" or full:
                self.trades[key].append(entry[278])
            self.last_trade[key] = entry[278]
        elif kind in b"01":
            levels = (self.bids if kind == b"0" else self.offers)[key]
            assert (entry[270] in levels) == (action != b"0"), "New is new, Change and Delete are known"
            if action == b"2":
                del levels[entry[270]]
            else:
                levels[entry[270]] = entry[271]
        elif action == b"2":
            del self.prices[key][kind]
        elif kind != b"J":
            self.prices[key][kind] = (entry[270], entry.get(271, b""))


def split(found: list[tuple[int, bytes]], delimiter: int) -> list[dict[int, bytes]]:
    """The entries of the group of a W or X."""
    entries: list[dict[int, bytes]] = []
    for tag, value in found:
        if tag == delimiter:
            entries.append({})
        if entries and tag != 1181:
            entries[-1][tag] = value
    return entries


class Room:
    """A listener that hands every message to its client at once; `unsent` is what a test says."""

    def __init__(self) -> None:
        self.clients: dict[int, Client] = defaultdict(Client)
        self.unread: dict[int, int] = defaultdict(int)
        self.full: set[bytes] = set()
        self.gone: dict[int, str] = {}
        self.settled = 0

    def send_body(self, sessions: int, msg_type: bytes, body: bytes, *, kept: bool) -> None:
        assert not kept
        self.clients[sessions].take(msg_type, body, self.full)

    def business_reject(self, session: int, number: int, kind: bytes, code: int, text: bytes, ref: bytes = b"") -> None:
        self.clients[session].messages.append((b"j", [(380, b"%d" % code), (58, text)]))

    def unsent(self, session: int) -> int:
        return self.unread[session]

    def log_out(self, session: int, reason: str) -> None:
        self.gone[session] = reason

    def settle(self) -> None:
        self.settled += 1


class Market:
    """A core, its feed and a desk, driven by hand."""

    def __init__(self, folder: Path, seed: int = 1, **section: Any) -> None:
        self.config: Config = replace(
            make_config(folder), market_data=MarketDataSection(conflation_ms_min=1, **section)
        )
        sizes = self.config.limits
        core = Core(CoreConfig(sizes.symbols, sizes.accounts, sizes.assets, sizes.orders, sizes.levels))
        self.feed = Feed(self.config, core)
        self.now = 1000.0
        self.desk = Desk(self.config, self.feed, lambda: self.now)
        self.room = Room()
        self.desk.sender = self.room
        self.random = Random(seed)
        self.time_ns = START_NS
        self.fills: dict[int, list[int]] = defaultdict(list)
        self.events: dict[int, list[tuple[bool, int, int]]] = defaultdict(list)  # busted, trade, seq
        self.pairs: list[tuple[np.void, np.void]] = []  # trades that stand
        self.orders: list[tuple[int, int, int]] = []
        self.begin()

    def begin(self) -> None:
        for i in self.config.instruments:
            self.apply(
                kind=CommandKind.INSTRUMENT,
                symbol=i.id,
                account=self.config.asset(i.base).id,
                asset=0,
                order_id=self.config.lot_size(i),
                aux=self.config.tick_value(i),
                price_ticks=i.min_ticks,
                qty_lots=i.max_ticks,
                session=self.config.asset(i.quote).id,
            )
        for account in range(4):
            self.apply(kind=CommandKind.ACCOUNT, account=account)
            for asset in range(3):
                if account:
                    self.apply(kind=CommandKind.DEPOSIT, account=account, asset=asset, qty_lots=10**12)

    def apply(self, *, publish: bool = True, **values: int) -> np.ndarray:
        self.time_ns += 1_000_000
        command = np.zeros(1, COMMAND)
        command["seq"], command["time_ns"] = self.feed.last_seq + 1, self.time_ns
        for name, value in values.items():
            command[name] = value
        twin = Core.restore(self.feed.core.snapshot())
        events, _ = twin.apply(command)
        self.desk.applied(*self.feed.apply(command))
        fills = events[events["kind"] == EventKind.FILL]
        for fill, other in zip(fills[::2], fills[1::2], strict=True):
            self.fills[int(fill["symbol"])].append(int(fill["exec_id"]))
            self.pairs.append((fill, other))
        for event in [*fills[::2], *events[events["kind"] == EventKind.BUSTED][::2]]:
            busted = int(event["kind"]) == EventKind.BUSTED
            trade = int(event["order_id" if busted else "exec_id"])
            self.events[int(event["symbol"])].append((busted, trade, int(event["exec_id"]) >> 24))
        for event in events[events["kind"] == EventKind.ACCEPTED]:
            self.orders.append((int(event["symbol"]), int(event["account"]), int(event["order_id"])))
        if publish:
            self.serve()
        return events

    def serve(self) -> None:
        self.desk.serve()
        self.desk.publish()

    def order(self, symbol: int, side: Side, ticks: int, lots: int, account: int = 1, **more: int) -> np.ndarray:
        base = {"kind": CommandKind.NEW, "symbol": symbol, "side": side, "ord_type": OrdType.LIMIT, "tif": Tif.GTC}
        return self.apply(**{**base, "account": account, "session": 1, "price_ticks": ticks, "qty_lots": lots, **more})

    def bust(self, trade: tuple[np.void, np.void]) -> None:
        """Takes a trade back; nobody pays fees here."""
        buy, sell = sorted(trade, key=lambda fill: int(fill["side"]))
        self.pairs = [other for other in self.pairs if other[0]["exec_id"] != trade[0]["exec_id"]]
        terms = {name: int(buy[name]) for name in ("symbol", "price_ticks", "qty_lots")}
        owner = int(buy["account"]) | int(buy["session"]) << 16
        parties = {"account": owner, "session": int(sell["account"]), "asset": int(sell["session"])}
        events = self.apply(kind=CommandKind.BUST, order_id=int(trade[0]["exec_id"]), **parties, **terms)
        assert events["kind"].tolist() == [EventKind.BUSTED] * 2

    def phase(self, symbol: int, to: Phase) -> None:
        self.apply(kind=CommandKind.PHASE, symbol=symbol, ord_type=to)

    def any(self) -> None:
        """One command as it may come."""
        random, symbol = self.random, self.random.randrange(2)
        what = random.random()
        middle = 10_000 if symbol == 0 else 800
        if what < 0.70 or not self.orders:
            side = random.choice((Side.BUY, Side.SELL))
            ticks = middle + random.randint(-12, 12)
            kind = {"ord_type": OrdType.MARKET, "price_ticks": 0, "tif": Tif.IOC} if random.random() < 0.1 else {}
            self.order(symbol, side, ticks, random.randint(1, 9), random.randint(1, 3), **kind)
        elif what < 0.92:
            number, account, order = self.orders.pop(random.randrange(len(self.orders)))
            self.apply(kind=CommandKind.CANCEL, symbol=number, account=account, session=1, order_id=order)
        elif what < 0.95 and self.pairs:
            self.bust(random.choice(self.pairs))
        elif what < 0.98:
            self.phase(symbol, random.choice(list(Phase)))
        else:
            self.apply(kind=CommandKind.TIME, symbol=symbol, flags=CommandFlag.TIME_CLOSE)

    def ask(self, session: int, kind: str, *pairs: tuple[int, str]) -> list[tuple[bytes, dict[int, bytes]]]:
        """Sends a request; returns what came in answer."""
        if session not in self.desk.clients:
            self.desk.on_session(session, True, "")
        before = len(self.room.clients[session].messages)
        body = b"35=%s\x01" % kind.encode() + b"".join(b"%d=%s\x01" % (t, v.encode()) for t, v in pairs)
        self.desk.on_message(session, 1, body, False)
        self.desk.serve()
        return [(kind_of, dict(found)) for kind_of, found in self.room.clients[session].messages[before:]]

    def subscribe(self, session: int, request: str, depth: int = 0, interval: int = 1, full: bool = False, **more: Any):
        if full:
            self.room.full.add(request.encode())
        types, symbols = more.pop("types", TYPES), more.pop("symbols", ("ACME", "BOLT"))
        return self.ask(
            session,
            "V",
            *((262, request), (263, "1"), (264, str(depth)), (265, "0" if full else "1"), (5265, str(interval))),
            *((267, str(len(types))), *((269, t) for t in types)),
            *((146, str(len(symbols))), *((55, s) for s in symbols)),
        )

    def expected(self, symbol: int, side: int, depth: int) -> dict[bytes, bytes]:
        book = self.feed.books[symbol]
        levels = self.feed.core.depth(symbol, side, depth or 10_000)
        return {book.price(ticks): book.quantity(lots) for ticks, lots in levels}

    def agrees(self, session: int, request: str, depth: int) -> None:
        """The client holds what the core has, at the sequence number that its last message names or later."""
        client = self.room.clients[session]
        for book in self.feed.books:
            key = (request.encode(), book.symbol)
            assert client.bids[key] == self.expected(book.number, 1, depth)
            assert client.offers[key] == self.expected(book.number, 2, depth)
            wanted = {
                k: (book.price(p), b"" if v is None else book.quantity(v))
                for k, (p, v) in self.feed.statistics(book).items()
            }
            assert client.prices[key] == wanted


def named(exec_ids: list[int]) -> list[bytes]:
    return [b"%d-%d" % (e >> 24, e & 0xFFFFFF) for e in exec_ids]


DEPTHS, INTERVALS = st.sampled_from((0, 1, 5, 10)), st.sampled_from((1, 3, 20))
asks = st.tuples(
    st.sampled_from(FEEDS),
    st.sampled_from((0, 1, 5, 10)),
    st.sampled_from((1, 3, 20)),
    st.booleans(),
    st.integers(0, 60),
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), plan=st.lists(asks, min_size=1, max_size=5), slow=st.booleans(), count=st.just(90))
def test_who_applies_what_comes_holds_the_cores_book(
    seed: int, plan: list[tuple[int, int, int, bool, int]], slow: bool, count: int
) -> None:
    market = Market(Path(), seed)
    begun: dict[int, tuple[int, int]] = {}
    for step in range(count):
        for number, (session, depth, interval, full, start) in enumerate(plan):
            if start == step:
                assert {kind for kind, _ in market.subscribe(session, f"r{number}", depth, interval, full)} == {b"W"}
                begun[number] = (session, depth)
        if slow:
            market.room.unread[FEEDS[0]] = market.random.choice((0, 1 << 20))
        market.now += market.random.choice((0.0, 0.001, 0.004))
        market.any()
        market.desk.check()
        for number, (session, depth) in begun.items():
            if plan[number][2] == 1 and not slow and step % 7 == 0:
                market.now += 0.002
                market.serve()
                market.agrees(session, f"r{number}", depth)
    market.feed.check()
    market.room.unread.clear()
    for _ in range(3):
        market.now += 1.0
        market.serve()
    for number, (session, depth) in begun.items():
        market.agrees(session, f"r{number}", depth)
        for book in market.feed.books:
            key = (f"r{number}".encode(), book.symbol)
            client = market.room.clients[session]
            later = [fill for fill in market.fills[book.number] if fill >> 24 > client.first_seq[key]]
            assert client.trades[key] == named(later), "every trade, once, in order"
            told = [(busted, trade) for busted, trade, seq in market.events[book.number] if seq > client.first_seq[key]]
            assert [trade for _, trade in client.told[key]] == named([trade for _, trade in told])
            assert [busted for busted, _ in client.told[key]] == [busted for busted, _ in told], "busts among them"


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), busts=st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True))
def test_a_snapshot_shows_the_last_trade_when_it_stands(seed: int, busts: list[int]) -> None:
    """Before anybody subscribes, after, and after a restart from what the gateway keeps."""
    market = Market(Path(), seed)
    market.subscribe(FEEDS[0], "sub", types=("2",))
    for lots in range(1, 11):
        market.order(0, Side.BUY, 10_000, lots, 1)
        market.order(0, Side.SELL, 10_000, lots, 2)
    day, statistics = replace(market.feed.books[0].day), market.feed.statistics(market.feed.books[0])
    made = list(market.pairs)
    for number in busts:
        market.now += 1
        market.bust(made[number])
    last = None if 9 in busts else named([int(made[9][0]["exec_id"])])[0]
    key = (b"new", b"ACME")
    market.subscribe(FEEDS[1], "new", types=("2",), symbols=("ACME",))
    assert market.room.clients[FEEDS[1]].snapshot_trade[key] == last
    assert market.feed.books[0].day == day, "prices of the day stay as they were"
    assert market.feed.statistics(market.feed.books[0]) == statistics
    again = Feed(market.config, Core.restore(market.feed.core.snapshot()))
    again.restore_days(json.loads(json.dumps(market.feed.days())))
    book = again.books[0]
    found = book.last_trade(book.trade_end)
    assert (None if found is None else named([found.trade_id])[0]) == last
    told = market.room.clients[FEEDS[0]].told[b"sub", b"ACME"]
    assert [trade for busted, trade in told if busted] == named([int(made[n][0]["exec_id"]) for n in busts])


def test_a_bust_deletes_the_trade_by_its_id() -> None:
    market = Market(Path())
    market.subscribe(FEEDS[0], "inc", types=("2",), symbols=("ACME",))
    market.subscribe(FEEDS[1], "full", full=True, types=("2",), symbols=("ACME",))
    market.order(0, Side.BUY, 10_000, 7, 1)
    market.now += 1
    market.order(0, Side.SELL, 10_000, 7, 2)
    market.now += 1
    market.bust(market.pairs[0])
    trade = named(market.fills[0])[0]
    for session, kind, delimiter in ((FEEDS[0], b"X", 279), (FEEDS[1], b"W", 269)):
        (last_kind, found) = market.room.clients[session].messages[-1]
        (entry,) = split(found, delimiter)
        assert (last_kind, entry[269], entry[278]) == (kind, b"2", trade)
        assert (float(entry[270]), entry[271]) == (100, b"7") and 2446 not in entry
        assert (entry.get(279), entry.get(277)) == ((b"2", None) if kind == b"X" else (None, b"0"))


def test_a_slow_reader_is_told_less_then_everything_then_logged_out() -> None:
    market = Market(Path(), slow_bytes=4096, slow_seconds=2.0)
    for session in FEEDS[:2]:
        market.subscribe(session, "r", 10)
    slow, quick = (market.room.clients[session] for session in FEEDS[:2])
    market.room.unread[FEEDS[0]] = 5000
    before = len(slow.messages)
    for lots in range(1, 40):
        market.now += 0.01
        market.order(0, Side.BUY, 10_000, lots)
        market.order(0, Side.SELL, 10_000, 1, 2)
    assert len(slow.messages) == before and len(quick.messages) > before + 30
    market.room.unread[FEEDS[0]] = 0
    market.now += 0.01
    market.serve()
    assert len(slow.messages) == before + 1, "one update leads to the newest state"
    market.agrees(FEEDS[0], "r", 10)
    key = (b"r", b"ACME")
    assert slow.trades[key] == quick.trades[key] == named(market.fills[0])
    assert market.desk.catch_ups == 1
    market.room.unread[FEEDS[0]] = 5000
    market.serve()
    market.now += 2.1
    market.serve()
    market.serve()
    assert list(market.room.gone) == [FEEDS[0]] and "slow consumer" in market.room.gone[FEEDS[0]]
    assert market.desk.slow_log_outs == 1
    market.desk.on_session(FEEDS[0], False, "")
    market.serve()
    market.desk.check()
    assert market.desk.subscriptions == 2


def test_a_snapshot_of_a_subscription_joins_its_updates() -> None:
    market = Market(Path())
    market.subscribe(21, "r", 0, 50)
    market.order(0, Side.BUY, 9_990, 5)
    market.order(0, Side.BUY, 9_991, 7)
    client = market.room.clients[21]
    ((kind, found),) = market.ask(21, "V", (262, "r"), (263, "0"), (264, "0"), (267, "0"), (146, "1"), (55, "ACME"))
    assert (kind, found[83]) == (b"W", b"1"), "what the subscriber holds, after its first update"
    assert list(client.bids[(b"r", b"ACME")]) == [b"99.90"]
    market.now += 1
    market.serve()
    market.agrees(21, "r", 0)
    assert client.rpt[(b"r", b"ACME")] == 2


@pytest.mark.parametrize(
    ("pairs", "reason", "words"),
    [
        (((264, "1"), (55, "NONE")), b"0", "NONE"),
        (((262, "r"), (264, "1"), (55, "ACME")), b"1", "in use"),
        (((263, "7"), (264, "1"), (55, "ACME")), b"4", "263"),
        (((264, "3"), (55, "ACME")), b"5", "264"),
        (((264, "1"), (265, "2"), (55, "ACME")), b"6", "265"),
        (((264, "1"), (5265, "0"), (55, "ACME")), b"6", "5265"),
        (((264, "1"), (266, "N"), (55, "ACME")), b"7", "266"),
        (((264, "1"), (269, "3"), (55, "ACME")), b"8", "269"),
        (((263, "2"), (262, "never"), (264, "1")), None, "never"),
    ],
)
def test_a_request_that_is_refused_says_why(pairs: Any, reason: bytes | None, words: str) -> None:
    market = Market(Path())
    market.subscribe(21, "r", 1)
    base = {262: "x", 263: "1"} | dict(pairs)
    ((kind, found),) = market.ask(21, "V", *base.items(), (269, "0"))
    assert kind == b"Y" and found.get(281) == reason and words in found[58].decode()
    assert found[262] == base[262].encode()
    market.desk.check()
    assert market.desk.subscriptions == 2


def test_unsubscribing_ends_a_subscription_and_frees_its_name() -> None:
    market = Market(Path())
    market.subscribe(21, "r", 1)
    assert market.ask(21, "V", (262, "r"), (263, "2"), (264, "1")) == []
    before = len(market.room.clients[21].messages)
    market.order(0, Side.BUY, 9_990, 5)
    assert len(market.room.clients[21].messages) == before and not market.desk.streams
    market.room.clients[21].rpt.clear()
    assert [kind for kind, _ in market.subscribe(21, "r", 1)] == [b"W", b"W"]


def test_two_who_ask_for_the_same_share_one_stream() -> None:
    market = Market(Path())
    market.subscribe(21, "a", 5)
    market.subscribe(22, "b", 5)
    market.subscribe(23, "c", 10)
    assert len(market.desk.streams) == 4, "two instruments, two depths"


def test_an_auction_shows_its_price_and_its_trades_have_no_aggressor() -> None:
    market = Market(Path())
    market.subscribe(21, "r")
    client, key = market.room.clients[21], (b"r", b"ACME")
    market.phase(0, Phase.PRE_OPEN)
    market.order(0, Side.BUY, 10_010, 5)
    market.order(0, Side.SELL, 9_990, 3, 2)
    market.now += 1
    market.serve()
    assert client.prices[key][b"Q"][1] == b"3"
    market.phase(0, Phase.CONTINUOUS)
    market.now += 1
    market.serve()
    trade = [e for kind, found in client.messages if kind == b"X" for e in split(found, 279) if e[269] == b"2"][-1]
    assert 2446 not in trade and trade[278] == named(market.fills[0])[-1]
    assert b"Q" not in client.prices[key] and b"4" in client.prices[key]
    market.order(0, Side.SELL, 9_000, 2, 3)
    market.now += 1
    market.serve()
    trade = [e for kind, found in client.messages if kind == b"X" for e in split(found, 279) if e[269] == b"2"][-1]
    assert trade[2446] == b"2"
    market.phase(0, Phase.CLOSED)
    market.now += 1
    market.serve()
    assert client.prices[key][b"5"] == (trade[270], b"")
    market.agrees(21, "r", 0)


def test_instruments_statuses_and_hours() -> None:
    market = Market(Path())
    ((kind, found),) = market.ask(21, "x", (320, "l"), (559, "4"))
    assert kind == b"y" and (found[560], found[393], found[146], found[893]) == (b"0", b"2", b"2", b"Y")
    ((kind, found),) = market.ask(21, "x", (320, "l"), (559, "0"), (55, "BOLT"))
    terms = (found[55], found[969], found[561], found[1148], found[1149], found[15])
    assert terms == (b"BOLT", b"0.025", b"0.5", b"5", b"40", b"USD")
    assert market.ask(21, "x", (320, "l"), (559, "0"), (55, "NONE"))[0][1][560] == b"2"
    assert market.ask(21, "x", (320, "l"), (559, "3"))[0][1][560] == b"1"
    assert market.ask(21, "c", (320, "d"), (321, "0"), (55, "ACME"))[0][1][323] == b"1"
    assert market.ask(21, "c", (320, "d"), (321, "0"), (55, "NONE"))[0][1][323] == b"5"
    ((kind, found),) = market.ask(21, "e", (324, "s"), (263, "1"), (55, "ACME"))
    assert kind == b"f" and (found[326], found[625]) == (b"17", b"3")
    assert market.ask(21, "e", (324, "s"), (263, "1"), (55, "NONE"))[0][0] == b"j"
    assert market.ask(21, "g", (335, "h"), (263, "1"))[0][1][340] == b"2"
    assert market.ask(21, "g", (335, "h"), (336, "NIGHT"), (263, "1"))[0][1][340] == b"6"
    told = len(market.room.clients[21].messages)
    for symbol in (0, 1):
        market.phase(symbol, Phase.HALT)
    news = [(kind, dict(found)) for kind, found in market.room.clients[21].messages[told:]]
    assert [kind for kind, _ in news] == [b"f", b"h"] and (news[0][1][326], news[1][1][340]) == (b"2", b"1")


def test_a_flood_of_requests_is_refused_and_does_not_pile_up() -> None:
    market = Market(Path())
    market.desk.on_session(21, True, "")
    for _ in range(300):
        market.desk.on_message(21, 1, b"35=g\x01335=h\x01263=0\x01", False)
    refused = [found for kind, found in market.room.clients[21].messages if kind == b"j"]
    assert len(refused) == 300 - 256
    market.serve()
    assert len([1 for kind, _ in market.room.clients[21].messages if kind == b"h"]) == 256
