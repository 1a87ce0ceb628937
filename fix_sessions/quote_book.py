"""Which orders are the live quotes of one session: an index by entry and side over what the engine knows.

The engine is the truth: an order is a live quote when it is open and its present ClOrdID is a quote's (quote_names).
The index only remembers which name to ask for; after a restart it is made anew from the open orders. It must never hold
two orders for one side of an entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fix_sessions import quote_names

Key = tuple[bytes, int]
"""QuoteEntryID(299) and side."""
OPEN = (b"0", b"1")


@dataclass(frozen=True)
class Quote:
    """One side of an entry in the book, as its order is now."""

    entry_id: bytes
    side: int
    name: bytes
    symbol: int
    account: int
    price_ticks: int
    leaves_lots: int
    filled_lots: int  # and busted later or not
    flags: int


@dataclass
class QuoteBook:
    """The names of one session's quotes. `find_order` asks the engine."""

    session: int
    find_order: Callable[[int, bytes], dict[str, Any] | None]
    _names: dict[Key, bytes] = field(default_factory=dict)

    def add(self, name: bytes) -> Quote | None:
        """Takes up an order that was entered or found under this name; None, and no entry, when it is not open."""
        parsed = quote_names.parse(name)
        assert parsed is not None, "only quotes are added"
        self._names[parsed.entry_id, parsed.side] = name
        return self.find(parsed.entry_id, parsed.side)

    def find(self, entry_id: bytes, side: int) -> Quote | None:
        """The side of an entry that rests in the book now."""
        name = self._names.get((entry_id, side))
        if name is None:
            return None
        order = self.find_order(self.session, name)
        if order is None or order["clordid"] != name or order["status"] not in OPEN:
            del self._names[entry_id, side]
            return None
        leaves_lots = order["leaves_lots"]
        amounts = order["price_ticks"], leaves_lots, order["order_qty_lots"] - leaves_lots
        return Quote(entry_id, side, name, order["symbol"], order["account"], *amounts, order["order_flags"])

    def drop(self, name: bytes) -> None:
        """Its order is done, or is no quote any more."""
        parsed = quote_names.parse(name)
        if parsed is not None and self._names.get((parsed.entry_id, parsed.side)) == name:
            del self._names[parsed.entry_id, parsed.side]

    def all(self) -> Iterator[Quote]:
        """Every live quote, in the order in which they came first."""
        for entry_id, side in tuple(self._names):
            found = self.find(entry_id, side)
            if found is not None:
                yield found

    def check(self) -> None:
        """Asserts that each name is of its entry and side."""
        for (entry_id, side), name in self._names.items():
            parsed = quote_names.parse(name)
            assert parsed is not None and (parsed.entry_id, parsed.side) == (entry_id, side), name
