"""Pegged orders: limit orders whose prices follow the market, moved by a service in the engine's process.

To the core a pegged order is a limit order; that it is pegged, and to what, stands in the annex of the member's
request (OrdType 40=P, ExecInst 18, PegOffsetValue 211, Price 44), and the engine's order table keeps which orders those
are. So nothing is held here that a restart would not find again: `restore` reads the requests behind the open pegged
orders. The service looks at the best prices many times a second and submits a REPLACE for each order whose price is
another by now, as a client would, with actor `pegs`.

A peg follows the best prices among orders that are not pegged, so pegs never chase each other: without other orders a
second look finds nothing to do. At most `moves_per_turn` prices a book and turn; a price that the core refused (funds,
limits, post-only) is tried again when it is another, or after a second. Must never move an order that its member has
changed, cancelled or made a plain one, never past its limit, and never outside continuous trading.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from cores import Side
from cores.records import Phase
from venue.config import Config, Instrument
from venue.follower import Follower
from venue.log import event
from venue.records import SALT_BYTES, SubmitStatus

log = logging.getLogger("pegs")

NS = 1_000_000_000
RETRY_NS = NS
READ_ON_MAX = 200_000  # entries that are rather read through than found anew
MID, PRIMARY, MARKET = "M", "R", "P"
KINDS = (MID, PRIMARY, MARKET)
"""ExecInst(18): the mid-price, the own side's best price, the other side's best price."""


class PeggedEngine(Protocol):
    """What the service needs of the engine."""

    def phases(self) -> list[int]: ...
    def pegs(self, symbol: int, order_ids: list[int]) -> tuple[tuple[int, int], list[dict[str, Any] | None]]: ...
    def open_pegs(self) -> list[tuple[int, int, int]]: ...
    def move_peg(self, **fields: Any) -> tuple[int, int]: ...
    @property
    def last_seq(self) -> int: ...


@dataclass(frozen=True)
class PegTerms:
    """What a member asked for. `limit_ticks` 0: no limit."""

    kind: str
    offset_ticks: int = 0
    limit_ticks: int = 0

    @classmethod
    def of(cls, body: bytes, instrument: Instrument) -> PegTerms | None:
        """The terms in a request that was accepted; None when it is none of a pegged order."""
        values = dict(part.partition(b"=")[::2] for part in reversed(body.split(b"\x01")))
        kinds = [kind for kind in values.get(b"18", b"").decode().split(" ") if kind in KINDS]
        if values.get(b"40") != b"P" or len(kinds) != 1:
            return None
        offset, limit = (Decimal(values.get(tag, b"0").decode()) / instrument.tick for tag in (b"211", b"44"))
        return cls(kinds[0], int(offset), int(limit))


@dataclass
class Peg:
    """An open pegged order. `tried_ticks` and `tried_ns`: the price that was last asked for, and when."""

    side: int
    terms: PegTerms
    tried_ticks: int = 0
    tried_ns: int = 0


def price_of(terms: PegTerms, side: int, best: tuple[int, int], window: tuple[int, int]) -> int:
    """The price in ticks that the order should have now, 0 when there is none.

    Half a tick of a mid-price is rounded away from the other side. The offset is added as it is signed. A price outside
    the instrument's window is none; one beyond the limit becomes the limit.
    """
    buy, (bid, ask) = side == Side.BUY, best
    if terms.kind == MID:
        reference = 0 if 0 in best else (bid + ask + (0 if buy else 1)) // 2
    else:
        reference = bid if buy == (terms.kind == PRIMARY) else ask
    if reference == 0:
        return 0
    found = reference + terms.offset_ticks
    if terms.limit_ticks:
        found = min(found, terms.limit_ticks) if buy else max(found, terms.limit_ticks)
    return found if window[0] <= found <= window[1] else 0


class PegService:
    """`restore`, then `start` runs it in a thread until `stop`; `tick(now_ns)` is one look, for tests too.

    Whoever enters or changes a pegged order holds `lock` from asking for its price until it is watched.
    """

    def __init__(self, engine: PeggedEngine, config: Config, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.lock = threading.RLock()
        self._engine, self._config, self._now_ns = engine, config, now_ns
        self._books: dict[int, dict[int, Peg]] = {}
        self._seen_seq = -1
        self._pending = False  # some price was not asked for yet, or not taken
        self._wanted = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="pegs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Idempotent."""
        self._stopping = True
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self) -> None:
        """Asserts that books are of the configuration and hold no more than they may."""
        with self.lock:
            assert all(self._config.instruments[symbol].id == symbol for symbol in self._books)
            assert all(peg.terms.kind in KINDS for book in self._books.values() for peg in book.values())

    def __len__(self) -> int:
        """How many orders are watched."""
        with self.lock:
            return sum(len(book) for book in self._books.values())

    def restore(self, journal_dir: Path) -> int:
        """Takes up every open pegged order again, from the requests in the journal; returns how many."""
        found = {seq: (symbol, order_id) for symbol, order_id, seq in self._engine.open_pegs()}
        for seq, body in bodies_at(journal_dir, found):
            symbol, order_id = found[seq]
            terms = PegTerms.of(body, self._config.instruments[symbol])
            view = self._engine.pegs(symbol, [order_id])[1][0]
            if terms is None or view is None:
                event(log, "peg without terms", logging.ERROR, alarm="pegs", order_id=order_id, seq=seq)
            else:
                self.watch(symbol, order_id, view["side"], terms)
        return len(self)

    def watch(self, symbol: int, order_id: int, side: int, terms: PegTerms) -> None:
        """Follows this order from now on, by these terms."""
        with self.lock:
            self._books.setdefault(symbol, {})[order_id] = Peg(side, terms)
            self._pending = True
        self._wanted.set()

    def price(self, symbol: int, side: int, terms: PegTerms) -> int:
        """Where an order with these terms would stand now; 0 when it can stand nowhere, or the book has no room."""
        with self.lock:
            book = self._books.get(symbol, {})
            if self._engine.phases()[symbol] != Phase.CONTINUOUS:
                return 0
            best, views = self._engine.pegs(symbol, list(book))
            self._forget(symbol, list(book), views)
            if len(self._books.get(symbol, {})) >= self._config.pegs.per_book_max:
                return 0
            return price_of(terms, side, best, self._window(symbol))

    def tick(self, now_ns: int) -> int:
        """One look at every book with pegged orders; returns how many prices were asked for."""
        with self.lock:
            seq = self._engine.last_seq
            if seq == self._seen_seq and not self._pending:
                return 0
            self._seen_seq, self._pending = seq, False
            phases = self._engine.phases()
            return sum(self._look_at(symbol, now_ns) for symbol in list(self._books) if phases[symbol] == 1)

    def _run(self) -> None:
        while not self._stopping:
            self._wanted.wait()
            time.sleep(self._config.pegs.turn_seconds)
            try:
                self.tick(self._now_ns())
            except EngineStopped:
                return
            except Exception as error:  # trading goes on; the operator is told, and the next turn tries again
                event(log, "pegs failed", logging.ERROR, alarm="pegs", error=f"{type(error).__name__}: {error}")
                time.sleep(1.0)
            with self.lock:
                if not self._books and not self._stopping:
                    self._wanted.clear()

    def _look_at(self, symbol: int, now_ns: int) -> int:
        book = self._books[symbol]
        order_ids = sorted(book)  # in the order in which they came, which so stays their order at one price
        best, views = self._engine.pegs(symbol, order_ids)
        window, moves = self._window(symbol), 0
        for order_id, view in zip(order_ids, views, strict=True):
            if view is None:
                continue
            peg = book[order_id]
            wanted = price_of(peg.terms, peg.side, best, window)
            if wanted in (0, view["price_ticks"]):
                continue
            self._pending = True
            if wanted == peg.tried_ticks and now_ns - peg.tried_ns < RETRY_NS:
                continue
            if moves == self._config.pegs.moves_per_turn:
                break
            peg.tried_ticks, peg.tried_ns = wanted, now_ns
            moves += self._move(symbol, view, peg.terms, wanted)
        self._forget(symbol, order_ids, views)
        return moves

    def _move(self, symbol: int, view: dict[str, Any], terms: PegTerms, wanted: int) -> int:
        instrument = self._config.instruments[symbol]
        body = f"verb=replace\x01actor=pegs\x01ref=price\x0111={view['clordid']}\x0140=P\x0118={terms.kind}\x01"
        body += f"211={terms.offset_ticks * instrument.tick}\x01"
        if terms.limit_ticks:
            body += f"44={terms.limit_ticks * instrument.tick}\x01"
        status, _ = self._engine.move_peg(
            symbol=symbol,
            order_id=view["order_id"],
            account=view["account"],
            price_ticks=wanted,
            qty_lots=view["qty_lots"],
            body=body.encode(),
        )
        if status == SubmitStatus.STOPPED:
            raise EngineStopped
        assert status in (SubmitStatus.OK, SubmitStatus.KNOWN), status
        return int(status == SubmitStatus.OK)

    def _forget(self, symbol: int, order_ids: list[int], views: list[dict[str, Any] | None]) -> None:
        book = self._books.get(symbol, {})
        for order_id, view in zip(order_ids, views, strict=True):
            if view is None:
                del book[order_id]
        if not book:
            self._books.pop(symbol, None)

    def _window(self, symbol: int) -> tuple[int, int]:
        instrument = self._config.instruments[symbol]
        return instrument.min_ticks, instrument.max_ticks


def bodies_at(journal_dir: Path, numbers: Iterable[int]) -> Iterable[tuple[int, bytes]]:
    """(number, annex body) of these commands, ascending."""
    follower: Follower | None = None
    try:
        for seq in sorted(numbers):
            if follower is None or seq - follower.next_seq > READ_ON_MAX:
                if follower is not None:
                    follower.close()
                follower = Follower(journal_dir, seq)
            while follower.next_seq < seq and len(follower.poll(seq - follower.next_seq)):
                pass
            yield seq, follower.poll(1).annex[SALT_BYTES:]
    finally:
        if follower is not None:
            follower.close()


class EngineStopped(Exception):
    """The engine takes no commands any more."""
