"""MassQuote (i) as it is read, and MassQuoteAcknowledgement (b) as it is written.

The groups are QuoteSet(296) with entries (295); an entry that is acknowledged carries what it said, and where it was
refused a reason (368) and words (58). Nothing in here knows of orders.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

from cores import Reason, Side
from fix_sessions import messages
from fix_sessions.messages import SOH, Field

ENTRIES_MAX = 100
ENTRY_TAGS = (55, 132, 133, 134, 135)
PARTY_TAGS = (453, 448, 447, 452, 2376)
SIDE_TAGS = {int(Side.BUY): (132, 134), int(Side.SELL): (133, 135)}
OTHER = 99
UNKNOWN_SYMBOL, CLOSED, EXCEEDS_LIMIT, UNKNOWN_QUOTE, DUPLICATE = 1, 2, 3, 5, 6
INVALID_PRICE, NOT_AUTHORIZED = 8, 9
REJECT_REASONS: dict[Reason, int] = {
    Reason.REJECT_UNKNOWN_SYMBOL: UNKNOWN_SYMBOL,
    Reason.REJECT_SESSION_UNKNOWN_SYMBOL: UNKNOWN_SYMBOL,
    Reason.REJECT_BAD_PHASE: CLOSED,
    Reason.REJECT_SESSION_STALE: CLOSED,
    Reason.REJECT_UNKNOWN_ORDER: UNKNOWN_QUOTE,
    Reason.REJECT_SESSION_UNKNOWN_ORIG_CLORDID: UNKNOWN_QUOTE,
    Reason.REJECT_SESSION_DUPLICATE_CLORDID: DUPLICATE,
    Reason.REJECT_DUPLICATE: DUPLICATE,
    Reason.REJECT_PRICE_OUT_OF_COLLAR: INVALID_PRICE,
    Reason.REJECT_SESSION_PRICE_OFF_TICK: INVALID_PRICE,
    Reason.REJECT_SESSION_PRICE_OVERFLOW: INVALID_PRICE,
    Reason.REJECT_POST_ONLY_WOULD_CROSS: INVALID_PRICE,
    Reason.REJECT_NOTIONAL_TOO_LARGE: EXCEEDS_LIMIT,
    Reason.REJECT_INSUFFICIENT_FUNDS: EXCEEDS_LIMIT,
    Reason.REJECT_ORDER_TOO_LARGE: EXCEEDS_LIMIT,
    Reason.REJECT_VALUE_TOO_LARGE: EXCEEDS_LIMIT,
    Reason.REJECT_OPEN_ORDERS: EXCEEDS_LIMIT,
    Reason.REJECT_THROTTLED: EXCEEDS_LIMIT,
    Reason.REJECT_EXPOSURE: EXCEEDS_LIMIT,
    Reason.REJECT_POSITION: EXCEEDS_LIMIT,
    Reason.REJECT_MARGIN_CALLED: EXCEEDS_LIMIT,
    Reason.REJECT_UNKNOWN_ACCOUNT: NOT_AUTHORIZED,
    Reason.REJECT_ACCOUNT_FROZEN: NOT_AUTHORIZED,
    Reason.REJECT_RESTRICTED: NOT_AUTHORIZED,
    Reason.REJECT_KILLED: NOT_AUTHORIZED,
    Reason.REJECT_SESSION_ACCOUNT_NOT_PERMITTED: NOT_AUTHORIZED,
}
"""QuoteEntryRejectReason(368) by reason; any other is 99."""


@dataclass
class Entry:
    """One entry, and what became of it."""

    set_id: bytes
    entry_id: bytes
    values: dict[int, bytes] = field(default_factory=dict)
    refused: bool = False
    code: int = OTHER
    text: bytes = b""

    def wants(self, side: int) -> bool:
        """Whether this side is to be in the book: it has a price, and a size that is not zero."""
        price, size = (self.values.get(tag) for tag in SIDE_TAGS[side])
        if price is None or size is None:
            return False
        return not _is_zero(size)

    def refuse(self, code: int, text: bytes) -> None:
        """The first refusal is the one that is told."""
        if not self.text:
            self.code, self.text = code, text
        self.refused = True

    def fields(self) -> list[Field]:
        """As an entry of b."""
        found: list[Field] = [(299, self.entry_id)]
        found += [(tag, self.values[tag]) for tag in ENTRY_TAGS if tag in self.values]
        return [*found, (368, b"%d" % self.code), (58, self.text)] if self.refused else found


def read_entries(body: bytes) -> list[Entry]:
    """The entries of a MassQuote in order."""
    entries: list[Entry] = []
    set_id = b""
    for tag, value in messages.fields(body):
        if tag == 302:
            set_id = value
        elif tag == 299:
            entries.append(Entry(set_id, value))
        elif entries and tag in ENTRY_TAGS:
            entries[-1].values.setdefault(tag, value)
    return entries


def parties(body: bytes) -> bytes:
    """The party block as it was received."""
    return b"".join(b"%d=%b\x01" % pair for pair in messages.fields(body) if pair[0] in PARTY_TAGS)


def annex(fields: list[Field], party_block: bytes = b"") -> bytes:
    """The annex of one command: what of the message is about it."""
    return b"35=i" + SOH + b"".join(b"%d=%b\x01" % pair for pair in fields) + party_block


def groups(entries: list[Entry]) -> list[Field]:
    """QuoteSets(296) of b: entries that follow one another in one set stay together."""
    runs = [(set_id, list(run)) for set_id, run in groupby(entries, key=lambda entry: entry.set_id)]
    if not runs:
        return []
    found: list[Field] = [(296, b"%d" % len(runs))]
    for set_id, run in runs:
        found += [(302, set_id), (304, b"%d" % len(run)), (295, b"%d" % len(run))]
        found += [pair for entry in run for pair in entry.fields()]
    return found


def quote_codes() -> list[int]:
    """QuoteEntryRejectReason(368) by reason, for the native application."""
    return [REJECT_REASONS.get(Reason(n), OTHER) if n in set(Reason) else OTHER for n in range(256)]


def _is_zero(size: bytes) -> bool:
    match = messages.DECIMAL.match(size)
    return match is not None and bool(match[2] or match[3]) and not any(digit in size for digit in b"123456789")
