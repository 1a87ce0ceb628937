"""The market data gateway's sessions: what they asked for, what they are told, who reads too slowly.

Requests come on the listener's thread and wait in a bounded queue; all else happens on the thread that follows the
journal, so that books, streams and messages have one order and no lock. A session that does not read is told less, not
later: nothing is made for it while its queue is above a mark, then it gets one update that leads to the newest state.
When that does not come to pass it is logged out. Must never make one session wait for another.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from fix_sessions import market_reference as reference
from fix_sessions.market_feed import Book, Feed, PhaseChange
from fix_sessions.market_stream import BID, OFFER, Stream, Subscriber, Terms, look, whole
from fix_sessions.messages import fields, first_fields
from venue.config import INTERVAL_MS_MAX, Config

SNAPSHOT, SUBSCRIBE, UNSUBSCRIBE = b"0", b"1", b"2"
DEPTHS = (0, 1, 5, 10)
ENTRY_TYPES = frozenset(b"0 1 2 4 5 6 7 8 Q".split())
INTERVAL_TAG = 5265
STREAMS_A_SESSION_MAX = 4096
REQUESTS_WAITING_MAX = 256
SETTLE_MESSAGES = 256
SERVED = "V, x, c, e and g"
UNKNOWN_SYMBOL, DUPLICATE_ID, BANDWIDTH, BAD_KIND, BAD_DEPTH, BAD_UPDATE, BAD_AGGREGATION, BAD_ENTRY = b"01245678"
NOT_AVAILABLE = 4


class Sender(Protocol):
    """What is needed of the listener."""

    def send_body(self, sessions: int, msg_type: bytes, body: bytes, *, kept: bool) -> None: ...
    def business_reject(
        self, session: int, number: int, msg_type: bytes, code: int, text: bytes, reference: bytes = b""
    ) -> None: ...
    def unsent(self, session: int) -> int: ...
    def log_out(self, session: int, reason: str) -> None: ...
    def settle(self) -> None: ...


class Refused(Exception):
    """Why a MarketDataRequest is answered with Y; `reason` is MDReqRejReason(281), 0 when FIX has none that fits."""

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass
class Client:
    """What a session that is logged on has asked for. `slow_since`: when its queue of `unsent` bytes became long."""

    session: int
    requests: dict[bytes, list[tuple[Stream, Subscriber]]] = field(default_factory=dict)
    statuses: dict[bytes, set[int]] = field(default_factory=dict)
    sessions: set[bytes] = field(default_factory=set)
    unsent: int = 0
    slow_since: float = 0.0
    told_to_go: bool = False

    @property
    def stream_count(self) -> int:
        return sum(len(parts) for parts in self.requests.values())


class Desk:
    """`on_*` on the listener's thread; everything else on the one thread that follows the journal."""

    def __init__(self, config: Config, feed: Feed, clock: Callable[[], float]) -> None:
        self.config = config
        self.settings = config.market_data
        self.feed = feed
        self.clock = clock
        self.sender: Sender | None = None
        self.wake = threading.Event()
        self.clients: dict[int, Client] = {}
        self.streams: dict[Terms, Stream] = {}
        self.by_symbol: defaultdict[int, list[Stream]] = defaultdict(list)
        self.changed: dict[Stream, None] = {}
        self.updates = 0
        self.catch_ups = 0
        self.slow_log_outs = 0
        self.subscriptions = 0
        self._waiting: deque[tuple[str, int, int, bytes]] = deque()
        self._waiting_by_session: defaultdict[int, int] = defaultdict(int)
        self._count = threading.Lock()
        self._state = reference.session_state(feed.books)
        self._responses = itertools.count(1)
        self._unsettled = 0

    # ---- the listener's thread ----

    def on_message(self, session: int, number: int, body: bytes, poss_dup: bool) -> int:
        if self._waiting_by_session[session] >= REQUESTS_WAITING_MAX:
            text = b"%d requests are waiting already; ask again when they are answered" % REQUESTS_WAITING_MAX
            assert self.sender is not None
            self.sender.business_reject(session, number, first_fields(body)[35], NOT_AVAILABLE, text)
            return 0
        with self._count:
            self._waiting_by_session[session] += 1
        self._put("message", session, number, body)
        return 0

    def on_session(self, session: int, logged_on: bool, text: str) -> None:
        self._put("on" if logged_on else "out", session, 0, b"")

    def on_turn(self) -> None:
        """Never asked for."""

    def on_tick(self) -> None:
        """Never asked for."""

    def _put(self, what: str, session: int, number: int, body: bytes) -> None:
        self._waiting.append((what, session, number, body))
        self.wake.set()

    # ---- the journal's thread ----

    def applied(self, books: list[Book], changes: list[PhaseChange]) -> None:
        """These books may look different; these instruments changed their phase."""
        for book in books:
            for stream in self.by_symbol[book.number]:
                self.changed[stream] = None
        for change in changes:
            self._tell_status(change)
        if changes and (state := reference.session_state(self.feed.books)) != self._state:
            self._state = state
            for client in self.clients.values():
                for request in client.sessions:
                    self._send(client.session, b"h", reference.session_status(request, state, self.feed.last_time_ns))

    def serve(self) -> bool:
        """Answers what waits; whether there was anything."""
        self.wake.clear()
        found = False
        while self._waiting:
            what, session, number, body = self._waiting.popleft()
            found = True
            if what == "on":
                self._drop(session)  # whatever it had before, it asks for anew
                self.clients[session] = Client(session)
            elif what == "out":
                self._drop(session)
            else:
                with self._count:
                    self._waiting_by_session[session] -= 1
                if session in self.clients:
                    self._answer(self.clients[session], number, body)
        return found

    def publish(self) -> None:
        """Sends what is due to those who keep up; looks after those who do not."""
        now = self.clock()
        for client in self.clients.values():
            self._watch(client, now)
        due = [stream for stream in self.changed if stream.due <= now]
        for stream in due:
            del self.changed[stream]
            self._publish(stream, now)
        for client in self.clients.values():
            if client.slow_since and client.unsent <= self.settings.slow_bytes // 2:
                self._catch_up(client)
        for symbol in {stream.terms.symbol for stream in due}:
            self._trim(symbol)
        self._settle(0)

    def next_due(self) -> float | None:
        """When the next update is to be made; None: nothing waits."""
        return min((stream.due for stream in self.changed), default=None)

    def check(self) -> None:
        """Asserts that streams and clients know of one another."""
        held = [subscriber for stream in self.streams.values() for subscriber in stream.subscribers]
        asked = [s for client in self.clients.values() for parts in client.requests.values() for _, s in parts]
        assert self.subscriptions == len(held)
        assert {id(s) for s in held} == {id(s) for s in asked} and len(held) == len(asked)
        for stream in self.streams.values():
            assert stream.subscribers and stream in self.by_symbol[stream.terms.symbol]
            stream.check()

    # ---- publishing ----

    def _publish(self, stream: Stream, now: float) -> None:
        stream.due = now + stream.terms.interval_ms / 1000
        for subscriber in stream.subscribers:
            if self.clients[subscriber.session].slow_since and subscriber.own is None:
                subscriber.own = stream.shown
        body = stream.step()
        if body is None:
            return
        for subscriber in stream.subscribers:
            if subscriber.own is None:
                self._update(stream, subscriber, body)

    def _update(self, stream: Stream, subscriber: Subscriber, body: bytes) -> None:
        subscriber.rpt_seq += 1
        self.updates += 1
        if stream.terms.full:
            self._send(subscriber.session, b"W", self._head(stream, subscriber) + body)
        else:
            head = b"262=%s\x0183=%d\x01" % (subscriber.request, subscriber.rpt_seq)
            self._send(subscriber.session, b"X", head + body)

    def _head(self, stream: Stream, subscriber: Subscriber) -> bytes:
        return b"262=%s\x0155=%s\x0183=%d\x01" % (subscriber.request, stream.book.symbol, subscriber.rpt_seq)

    def _watch(self, client: Client, now: float) -> None:
        """Whether a session reads; when it does not for too long, it has to go."""
        assert self.sender is not None
        client.unsent = self.sender.unsent(client.session)
        if not client.slow_since:
            client.slow_since = now if client.unsent > self.settings.slow_bytes else 0.0
        elif client.unsent > self.settings.slow_bytes // 2 and now - client.slow_since > self.settings.slow_seconds:
            self._show_out(client)

    def _catch_up(self, client: Client) -> None:
        """It reads again: one update for each of its streams leads to what the others hold."""
        client.slow_since = 0.0
        self.catch_ups += 1
        for stream, subscriber in (part for parts in client.requests.values() for part in parts):
            if subscriber.own is not None and (body := stream.catch_up(subscriber)) is not None:
                self._update(stream, subscriber, body)

    def _show_out(self, client: Client) -> None:
        if client.told_to_go:
            return
        client.told_to_go = True
        self.slow_log_outs += 1
        allowed = f"more than is allowed for over {self.settings.slow_seconds:g} seconds"
        text = f"slow consumer: {client.unsent} bytes were waiting unread, {allowed}"
        assert self.sender is not None
        self.sender.log_out(client.session, f"{text}; log on again and ask for fewer updates (5265) or less depth")

    def _trim(self, symbol: int) -> None:
        streams, book = self.by_symbol[symbol], self.feed.books[symbol]
        needed = min((stream.trade_needed for stream in streams), default=book.trade_end)
        book.forget(needed - 1)

    def _send(self, session: int, msg_type: bytes, body: bytes) -> None:
        assert self.sender is not None
        self.sender.send_body(session, msg_type, body, kept=False)
        self._unsettled += 1
        self._settle(SETTLE_MESSAGES)

    def _settle(self, above: int) -> None:
        """Lets the listener's thread come after, so that what it has not sent yet is bounded and counted."""
        if self._unsettled > above:
            self._unsettled = 0
            assert self.sender is not None
            self.sender.settle()

    # ---- requests ----

    def _answer(self, client: Client, number: int, body: bytes) -> None:
        values = first_fields(body)
        kind = values[35]
        if kind == b"V":
            try:
                self._market_data(client, values, body)
            except Refused as refused:
                reason = b"281=%c\x01" % refused.reason if refused.reason else b""
                text = str(refused).encode("ascii", "replace")
                self._send(client.session, b"Y", b"262=%s\x01%s58=%s\x01" % (values[262], reason, text))
        elif kind == b"x":
            self._security_list(client, values)
        elif kind == b"c":
            self._security_definition(client, values)
        elif kind == b"e":
            self._security_status(client, number, values)
        elif kind == b"g":
            self._session_status(client, values)
        else:
            assert self.sender is not None
            text = b"MsgType(35) " + kind + b" is not served here; " + SERVED.encode() + b" are"
            self.sender.business_reject(client.session, number, kind, 3, text)

    def _market_data(self, client: Client, values: dict[int, bytes], body: bytes) -> None:
        request, kind = values[262], values[263]
        if kind == UNSUBSCRIBE:
            if request not in client.requests:
                raise Refused(0, f"MDReqID(262) {_said(request)} names no subscription of this session")
            self._unsubscribe(client, request)
            return
        if kind == SNAPSHOT and request in client.requests:
            self._recover(client, request, body)
            return
        if kind not in (SNAPSHOT, SUBSCRIBE):
            raise Refused(BAD_KIND, "SubscriptionRequestType(263) must be 0, 1 or 2")
        if request in client.requests:
            raise Refused(DUPLICATE_ID, f"MDReqID(262) {_said(request)} is in use; unsubscribe (263=2) first")
        wanted = [self._terms(symbol, values, body) for symbol in self._symbols(body)]
        if not wanted:
            raise Refused(UNKNOWN_SYMBOL, "NoRelatedSym(146) must be at least 1: name the Symbol(55) that is wanted")
        if client.stream_count + len(wanted) > STREAMS_A_SESSION_MAX:
            raise Refused(BANDWIDTH, f"more than {STREAMS_A_SESSION_MAX} instruments in one session's subscriptions")
        if kind == SNAPSHOT:
            for terms in wanted:  # the market now: what others were told last may be a minute old
                book = self.feed.books[terms.symbol]
                head = b"262=%s\x0155=%s\x0183=0\x01" % (request, book.symbol)
                self._send(client.session, b"W", head + whole(book, terms, look(self.feed, book, terms)))
            return
        parts = [(self._stream(terms), Subscriber(client.session, request)) for terms in wanted]
        for stream, subscriber in parts:
            self._send(client.session, b"W", self._head(stream, subscriber) + stream.snapshot(subscriber))
            stream.subscribers.append(subscriber)
        client.requests[request] = parts
        self.subscriptions += len(parts)

    def _recover(self, client: Client, request: bytes, body: bytes) -> None:
        """The state that a subscription holds, with the RptSeq after which the next update comes."""
        books = self._symbols(body)
        symbols = {book.number for book in books}
        parts = client.requests[request]
        others = symbols - {stream.terms.symbol for stream, _ in parts}
        if others or not symbols:
            names = ", ".join(_said(book.symbol) for book in books if book.number in others) or "no Symbol(55)"
            text = f"MDReqID(262) {_said(request)} is a subscription, and {names} is not in it; use another MDReqID"
            raise Refused(UNKNOWN_SYMBOL, text)
        for stream, subscriber in parts:
            if stream.terms.symbol in symbols:
                self._send(client.session, b"W", self._head(stream, subscriber) + stream.snapshot(subscriber))

    def _symbols(self, body: bytes) -> list[Book]:
        names = list(dict.fromkeys(value for tag, value in fields(body) if tag == 55))
        for name in names:
            if name not in self.feed.by_symbol:
                raise Refused(UNKNOWN_SYMBOL, f"Symbol(55) {_said(name)} is not traded here")
        return [self.feed.by_symbol[name] for name in names]

    def _terms(self, book: Book, values: dict[int, bytes], body: bytes) -> Terms:
        depth = _number(values[264])
        if depth not in DEPTHS:
            raise Refused(BAD_DEPTH, "MarketDepth(264) must be 0 (all levels), 1, 5 or 10")
        if values.get(265, b"1") not in (b"0", b"1"):
            raise Refused(BAD_UPDATE, "MDUpdateType(265) must be 0 (whole snapshots) or 1 (what changed)")
        if values.get(266, b"Y") != b"Y":
            raise Refused(BAD_AGGREGATION, "AggregatedBook(266) must be Y: levels are sums, orders are not shown")
        types = frozenset(value for tag, value in fields(body) if tag == 269)
        if not types:
            raise Refused(BAD_ENTRY, "NoMDEntryTypes(267) must be at least 1: name the MDEntryType(269) that is wanted")
        if not types <= ENTRY_TYPES:
            bad, known = (_said(b", ".join(sorted(kinds))) for kinds in (types - ENTRY_TYPES, ENTRY_TYPES))
            raise Refused(BAD_ENTRY, f"MDEntryType(269) {bad} is not served here; {known} are")
        interval = _number(values.get(INTERVAL_TAG, b"%d" % self.settings.conflation_ms))
        if not self.settings.conflation_ms_min <= interval <= INTERVAL_MS_MAX:
            low = self.settings.conflation_ms_min
            raise Refused(BAD_UPDATE, f"ConflationInterval(5265) must be from {low} to {INTERVAL_MS_MAX} milliseconds")
        shown = depth if types & {BID, OFFER} else 1
        return Terms(book.number, shown, types, interval, values.get(265) == b"0")

    def _stream(self, terms: Terms) -> Stream:
        found = self.streams.get(terms)
        if found is None:
            found = self.streams[terms] = Stream(self.feed, terms)
            self.by_symbol[terms.symbol].append(found)
            found.book.listened = True
        return found

    def _release(self, stream: Stream) -> None:
        """Forgets a stream that nobody holds any more."""
        if stream.subscribers or self.streams.get(stream.terms) is not stream:
            return
        del self.streams[stream.terms]
        self.changed.pop(stream, None)
        symbol = stream.terms.symbol
        self.by_symbol[symbol].remove(stream)
        self.feed.books[symbol].listened = bool(self.by_symbol[symbol])
        self._trim(symbol)

    def _unsubscribe(self, client: Client, request: bytes) -> None:
        for stream, subscriber in client.requests.pop(request):
            stream.subscribers.remove(subscriber)
            self.subscriptions -= 1
            self._release(stream)

    def _drop(self, session: int) -> None:
        client = self.clients.get(session)
        if client is not None:
            for request in list(client.requests):
                self._unsubscribe(client, request)
            del self.clients[session]

    # ---- instruments and hours ----

    def _response(self) -> bytes:
        return b"%d-%d" % (self.feed.last_seq, next(self._responses))

    def _security_list(self, client: Client, values: dict[int, bytes]) -> None:
        request, kind = values[320], values[559]
        books: Iterable[Book]
        if kind == b"4":
            books = self.feed.books
        elif kind == b"0":
            book = self.feed.by_symbol.get(values.get(55, b""))
            books = [] if book is None else [book]
        else:
            text = b"SecurityListRequestType(559) must be 0 (one Symbol(55)) or 4 (all)"
            body = reference.security_list_refused(request, self._response(), 1, text)
            self._send(client.session, b"y", body)
            return
        for body in reference.security_lists(self.config, request, self._response(), list(books)):
            self._send(client.session, b"y", body)

    def _security_definition(self, client: Client, values: dict[int, bytes]) -> None:
        request, symbol = values[320], values.get(55, b"")
        book = self.feed.by_symbol.get(symbol)
        if values[321] != b"0" or book is None:
            text = b"SecurityRequestType(321) must be 0, with a Symbol(55)"
            text = text if values[321] != b"0" or not symbol else b"Symbol(55) is not traded here"
            body = reference.security_definition_refused(request, self._response(), symbol, text)
        else:
            body = reference.security_definition(self.config, request, self._response(), book)
        self._send(client.session, b"d", body)

    def _security_status(self, client: Client, number: int, values: dict[int, bytes]) -> None:
        request, kind = values[324], values[263]
        if kind == UNSUBSCRIBE:
            client.statuses.pop(request, None)
            return
        book = self.feed.by_symbol.get(values[55])
        if book is None or kind not in (SNAPSHOT, SUBSCRIBE):
            code, text = (2, b"Symbol(55) is not traded here")
            if book is not None:
                code, text = (0, b"SubscriptionRequestType(263) must be 0, 1 or 2")
            assert self.sender is not None
            self.sender.business_reject(client.session, number, b"e", code, text, request)
            return
        if kind == SUBSCRIBE:
            client.statuses.setdefault(request, set()).add(book.number)
        body = reference.security_status(book, request, book.phase, self.feed.last_seq, self.feed.last_time_ns)
        self._send(client.session, b"f", body)

    def _tell_status(self, change: PhaseChange) -> None:
        book = self.feed.books[change.symbol]
        for client in self.clients.values():
            for request, symbols in client.statuses.items():
                if change.symbol in symbols:
                    body = reference.security_status(book, request, change.phase, change.seq, change.time_ns)
                    self._send(client.session, b"f", body)

    def _session_status(self, client: Client, values: dict[int, bytes]) -> None:
        request, kind = values[335], values[263]
        if kind == UNSUBSCRIBE:
            client.sessions.discard(request)
            return
        if values.get(336, reference.SESSION_ID) != reference.SESSION_ID or kind not in (SNAPSHOT, SUBSCRIBE):
            text = b"TradingSessionID(336) is DAY, SubscriptionRequestType(263) 0, 1 or 2"
            body = reference.session_status(request, reference.SESSION_REFUSED, 0, text)
            self._send(client.session, b"h", body)
            return
        if kind == SUBSCRIBE:
            client.sessions.add(request)
        self._send(client.session, b"h", reference.session_status(request, self._state, self.feed.last_time_ns))


def _number(text: bytes) -> int:
    """A number that is small, else -1."""
    return int(text) if text.isdigit() and len(text) < 10 else -1


def _said(value: bytes) -> str:
    """What a broker wrote, for a text."""
    return value.decode("ascii", "replace")
