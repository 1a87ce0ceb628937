"""What brokers ask about the instruments and the venue's hours: messages y, d, f and h, encoded.

Everything here is from the configuration and from the phases that the journal says; nothing is stored. Fields leave in
the order of the dictionary, because repeating groups are read by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from cores import Phase
from fix_sessions.market_feed import Book
from fix_sessions.messages import timestamp
from venue.config import Config

TRADING_STATUS = {
    Phase.CLOSED: b"18",
    Phase.CONTINUOUS: b"17",
    Phase.PRE_OPEN: b"21",
    Phase.VOLATILITY: b"24",
    Phase.CLOSE_CALL: b"24",
    Phase.HALT: b"2",
}
"""SecurityTradingStatus(326) of a phase."""
SUB_SESSION = {
    Phase.CLOSED: b"5",
    Phase.CONTINUOUS: b"3",
    Phase.PRE_OPEN: b"2",
    Phase.VOLATILITY: b"9",
    Phase.CLOSE_CALL: b"4",
    Phase.HALT: b"7",
}
"""TradingSessionSubID(625) of a phase: post-trading, continuous, opening auction, unscheduled auction, closing auction,
quiescent."""
SESSION_ID = b"DAY"
SESSION_HALTED, SESSION_OPEN, SESSION_CLOSED, SESSION_PRE_OPEN, SESSION_PRE_CLOSE, SESSION_REFUSED = b"123456"
INSTRUMENTS_A_LIST = 100


def plain(number: Decimal) -> bytes:
    """A decimal without exponent and needless zeros."""
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).encode()


def instrument_fields(config: Config, book: Book) -> bytes:
    """Symbol, identifiers, kind and terms of one instrument."""
    i = book.instrument
    parts = [b"55=%s\x01" % book.symbol]
    if i.isin:
        parts.append(b"48=%s\x0122=4\x01" % i.isin.encode())
    parts.append(b"461=%s\x01167=%s\x01" % ((b"FFXCSX", b"FUT") if i.is_future else (b"EXXXXX", b"CS")))
    if i.is_future:
        parts.append(b"231=%s\x01" % plain(i.multiplier))
    parts.append(b"207=%s\x0115=%s\x01" % (config.venue.mic.encode(), (i.currency or i.quote).encode()))
    parts.append(b"561=%s\x01562=%s\x01969=%s\x01" % (plain(i.lot), plain(i.lot), plain(i.tick)))
    if i.order_qty_max:
        parts.append(b"1140=%s\x01" % plain(i.order_qty_max))
    parts.append(b"1148=%s\x011149=%s\x01" % (plain(i.price_min), plain(i.price_max)))
    if i.initial_margin_bp is not None and i.maintenance_margin_bp is not None:
        margins = (plain(Decimal(bp) / 10_000) for bp in (i.initial_margin_bp, i.maintenance_margin_bp))
        parts.append(b"898=%s\x015898=%s\x01" % tuple(margins))
    return b"".join(parts)


def security_lists(config: Config, request: bytes, response: bytes, books: list[Book]) -> Iterable[bytes]:
    """Bodies of y: all the books, so many a message; at least one message."""
    if not books:
        yield b"320=%s\x01322=%s\x01560=2\x01" % (request, response)
    for start in range(0, len(books), INSTRUMENTS_A_LIST):
        part = books[start : start + INSTRUMENTS_A_LIST]
        last = b"Y" if start + len(part) == len(books) else b"N"
        head = b"320=%s\x01322=%s\x01560=0\x01393=%d\x01" % (request, response, len(books))
        group = b"146=%d\x01" % len(part) + b"".join(instrument_fields(config, book) for book in part)
        yield head + group + b"893=%s\x01" % last


def security_list_refused(request: bytes, response: bytes, result: int, text: bytes) -> bytes:
    return b"320=%s\x01322=%s\x01560=%d\x0158=%s\x01" % (request, response, result, text)


def security_definition(config: Config, request: bytes, response: bytes, book: Book) -> bytes:
    """Body of d: the security as it was named."""
    return b"320=%s\x01322=%s\x01323=1\x01" % (request, response) + instrument_fields(config, book)


def security_definition_refused(request: bytes, response: bytes, symbol: bytes, text: bytes) -> bytes:
    name = b"55=%s\x01" % symbol if symbol else b""
    return b"320=%s\x01322=%s\x01323=5\x01" % (request, response) + name + b"58=%s\x01" % text


def security_status(book: Book, request: bytes, phase: int, seq: int, time_ns: int) -> bytes:
    """Body of f: what the instrument's phase lets a broker do."""
    last = b"31=%s\x01" % book.price(book.day.last or book.day.close) if book.day.last or book.day.close else b""
    return (
        (b"324=%s\x01" % request if request else b"")
        + b"55=%s\x01336=%s\x01625=%s\x01326=%s\x01" % (book.symbol, SESSION_ID, *_status(phase))
        + last
        + b"60=%s\x011181=%d\x01" % (timestamp(time_ns), seq)
    )


def session_status(request: bytes, status: int, time_ns: int, text: bytes = b"") -> bytes:
    """Body of h."""
    moment = b"60=%s\x01" % timestamp(time_ns) if time_ns else b""
    head = b"335=%s\x01336=%s\x01339=1\x01340=%c\x01" % (request, SESSION_ID, status)
    return head + moment + (b"58=%s\x01" % text if text else b"")


def session_state(books: Iterable[Book]) -> int:
    """TradSesStatus(340) of the venue: what most lets trade, over all instruments."""
    phases = {book.phase for book in books}
    if phases & {Phase.CONTINUOUS, Phase.VOLATILITY}:
        return SESSION_OPEN
    if Phase.CLOSE_CALL in phases:
        return SESSION_PRE_CLOSE
    if Phase.PRE_OPEN in phases:
        return SESSION_PRE_OPEN
    return SESSION_HALTED if Phase.HALT in phases else SESSION_CLOSED


def _status(phase: int) -> tuple[bytes, bytes]:
    return SUB_SESSION[Phase(phase)], TRADING_STATUS[Phase(phase)]
