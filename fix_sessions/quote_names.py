"""What the orders of a quote are called: `~`, B or S, QuoteID(117), `~`, QuoteEntryID(299).

Why a name: a quote is no order of its own kind in the core or the journal. Each of its sides is an ordinary order whose
ClOrdID(11) says whose it is, so that a restart, a report, a status request and a drop copy all know it from the order
itself, and so that a quote that is sent twice is found by its name like any other order. No two quotes have one name:
QuoteID has no `~`, so the name can be taken apart in one way only, and no member can give it to an order of another
kind, for a ClOrdID(11) that begins with `~` is refused in D, F and G.
"""

from __future__ import annotations

from typing import NamedTuple

from cores import Side

MARK = b"~"
QUOTE_ID_BYTES_MAX = 20
ENTRY_ID_BYTES_MAX = 16
LETTERS = {int(Side.BUY): b"B", int(Side.SELL): b"S"}
SIDES = {letter: side for side, letter in LETTERS.items()}


class QuoteName(NamedTuple):
    """A name taken apart."""

    side: int
    quote_id: bytes
    entry_id: bytes


def quote_id_fault(quote_id: bytes) -> str:
    """Why this cannot be a QuoteID(117); empty when it can."""
    if not 1 <= len(quote_id) <= QUOTE_ID_BYTES_MAX or MARK in quote_id:
        return f"QuoteID(117) must have 1 to {QUOTE_ID_BYTES_MAX} characters, none of them ~"
    return ""


def entry_id_fault(entry_id: bytes) -> str:
    """Why this cannot be a QuoteEntryID(299); empty when it can."""
    if not 1 <= len(entry_id) <= ENTRY_ID_BYTES_MAX:
        return f"QuoteEntryID(299) must have 1 to {ENTRY_ID_BYTES_MAX} characters"
    return ""


def compose(side: int, quote_id: bytes, entry_id: bytes) -> bytes:
    """The ClOrdID(11) of one side."""
    assert not quote_id_fault(quote_id) and not entry_id_fault(entry_id), "checked when the message was read"
    return MARK + LETTERS[side] + quote_id + MARK + entry_id


def parse(clordid: bytes) -> QuoteName | None:
    """What a ClOrdID says; None when it is no quote's."""
    if clordid[:1] != MARK:
        return None
    side = SIDES.get(clordid[1:2])
    quote_id, mark, entry_id = clordid[2:].partition(MARK)
    return QuoteName(side, quote_id, entry_id) if side is not None and mark else None


def of_report(clordid: bytes, orig_clordid: bytes) -> QuoteName | None:
    """The quote that an execution is about: its order's name, or the one that F or G named."""
    return parse(clordid) or parse(orig_clordid)
