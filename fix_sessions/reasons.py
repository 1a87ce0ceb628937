"""Why something was refused, in FIX's codes and in words: what, where, and how to mend it.

One table for both applications: the native one is given it at start, the Python one reads it. A reason without words is
a mistake that a test finds. Must never name another member's order or price.
"""

from __future__ import annotations

from dataclasses import dataclass

from cores import Reason
from venue.config import Config, Instrument

TEXTS = 256


@dataclass(frozen=True)
class Words:
    """OrdRejReason(103), CxlRejReason(102) and Text(58) of a reason. The text may name facts of the instrument."""

    order_code: int
    cancel_code: int
    text: str


OTHER = 99
BROKER = 0
UNKNOWN_SYMBOL = 1
EXCHANGE_CLOSED = 2
EXCEEDS_LIMIT = 3
DUPLICATE_ORDER = 6
UNSUPPORTED = 11
INCORRECT_QUANTITY = 13
UNKNOWN_ACCOUNT = 15
TOO_LATE = 0
UNKNOWN_ORDER = 1
DUPLICATE_CLORDID = 6

WORDS: dict[Reason, Words] = {
    Reason.REJECT_UNKNOWN_SYMBOL: Words(UNKNOWN_SYMBOL, OTHER, "Symbol(55) is not traded here; traded are {symbols}"),
    Reason.REJECT_UNKNOWN_ACCOUNT: Words(UNKNOWN_ACCOUNT, OTHER, "Account(1) does not exist; ask the venue to open it"),
    Reason.REJECT_ACCOUNT_FROZEN: Words(BROKER, OTHER, "Account(1) is frozen; cancels are taken, ask the venue"),
    Reason.REJECT_BAD_SIDE: Words(UNSUPPORTED, OTHER, "Side(54) must be 1 (buy) or 2 (sell)"),
    Reason.REJECT_BAD_ORD_TYPE: Words(UNSUPPORTED, OTHER, "OrdType(40) must be 1, 2, 3, 4, K or P"),
    Reason.REJECT_BAD_TIF: Words(
        UNSUPPORTED,
        OTHER,
        "TimeInForce(59) does not go with OrdType(40): a limit order takes 0 1 2 3 4 6 7, a market order 0 2 3 4 7, a"
        " stop, stop-limit or market-to-limit order 0 1 6",
    ),
    Reason.REJECT_BAD_FLAGS: Words(
        UNSUPPORTED,
        OTHER,
        "ExecInst(18)=6 (post-only) goes with a limit order of TimeInForce(59) 0 1 6 only, DisplayIndicator(9479)=S"
        " with post-only only, ExecInst(18)=G (all-or-none) with a limit or market order that is neither post-only nor"
        " for an auction",
    ),
    Reason.REJECT_BAD_QTY: Words(
        INCORRECT_QUANTITY,
        OTHER,
        "OrderQty(38), or a quote's size, must be positive and not above the largest size; a lot is {lot}",
    ),
    Reason.REJECT_PRICE_OUT_OF_COLLAR: Words(
        EXCEEDS_LIMIT, OTHER, "Price(44) is outside the collar: it must be from {price_min} to {price_max}"
    ),
    Reason.REJECT_BAD_MIN_QTY: Words(
        INCORRECT_QUANTITY,
        OTHER,
        "MinQty(110) must not be above OrderQty(38); it goes with limit and market orders that are not for an auction",
    ),
    Reason.REJECT_NOTIONAL_TOO_LARGE: Words(
        EXCEEDS_LIMIT, OTHER, "price times quantity is larger than the venue can settle; send a smaller order"
    ),
    Reason.REJECT_POST_ONLY_WOULD_CROSS: Words(
        OTHER, OTHER, "the order is post-only, ExecInst(18)=6, and would trade at once; move its price away"
    ),
    Reason.REJECT_INSUFFICIENT_FUNDS: Words(
        EXCEEDS_LIMIT, OTHER, "Account(1) has not enough available for the order and its fee; deposit or send less"
    ),
    Reason.REJECT_BOOK_FULL: Words(BROKER, OTHER, "the book of {symbol} has no room for one more order; try later"),
    Reason.REJECT_UNKNOWN_ORDER: Words(5, TOO_LATE, "the order is not open any more: filled, cancelled or expired"),
    Reason.REJECT_QTY_BELOW_FILLED: Words(
        INCORRECT_QUANTITY, OTHER, "OrderQty(38) must be above what is filled already; send a cancel to stop there"
    ),
    Reason.REJECT_BAD_INSTRUMENT: Words(OTHER, OTHER, "the instrument's terms are not valid"),
    Reason.REJECT_BOOK_NOT_EMPTY: Words(OTHER, OTHER, "orders rest in the book"),
    Reason.REJECT_BAD_ACCOUNT: Words(OTHER, OTHER, "the account's terms are not valid"),
    Reason.REJECT_BAD_ASSET: Words(OTHER, OTHER, "the asset does not exist"),
    Reason.REJECT_BAD_AMOUNT: Words(OTHER, OTHER, "the amount is not valid"),
    Reason.REJECT_UNSUPPORTED: Words(UNSUPPORTED, OTHER, "the venue does not do that"),
    Reason.REJECT_BAD_PHASE: Words(
        EXCHANGE_CLOSED,
        OTHER,
        "{symbol} does not take this in its present phase of trading: closed or halted it takes no order, a call no"
        " TimeInForce(59) 3 4, ExecInst(18) 6 G and MinQty(110), and 59=2 is for the opening's call only; cancels are"
        " always taken",
    ),
    Reason.REJECT_BAD_STOP: Words(
        EXCEEDS_LIMIT, OTHER, "StopPx(99) is outside the collar: it must be from {price_min} to {price_max}"
    ),
    Reason.REJECT_BAD_DISPLAY: Words(
        INCORRECT_QUANTITY,
        OTHER,
        "MaxFloor(111) goes with a limit order that may rest, is at most OrderQty(38) and at least a sixteenth of it",
    ),
    Reason.REJECT_BAD_EXPIRY: Words(OTHER, OTHER, "ExpireTime(126) or ExpireDate(432) is in the past"),
    Reason.REJECT_ORDER_TOO_LARGE: Words(
        EXCEEDS_LIMIT, OTHER, "OrderQty(38) is above the largest size of one order in {symbol}; send a smaller order"
    ),
    Reason.REJECT_VALUE_TOO_LARGE: Words(
        EXCEEDS_LIMIT, OTHER, "price times quantity is above the largest value of one order in {symbol}; send less"
    ),
    Reason.REJECT_OPEN_ORDERS: Words(
        EXCEEDS_LIMIT, OTHER, "Account(1) has as many open orders as it may have; cancel some, or ask the venue"
    ),
    Reason.REJECT_THROTTLED: Words(
        EXCEEDS_LIMIT, OTHER, "more orders and replaces in a second than the member may send; wait for the next second"
    ),
    Reason.REJECT_DUPLICATE: Words(
        DUPLICATE_ORDER, OTHER, "the same symbol, side, price and quantity as the account's last order a moment ago"
    ),
    Reason.REJECT_RESTRICTED: Words(BROKER, OTHER, "Account(1) may not trade {symbol}; ask the venue"),
    Reason.REJECT_KILLED: Words(
        BROKER, OTHER, "the session or the member has been stopped by a kill switch; cancels are taken, ask the venue"
    ),
    Reason.REJECT_EXPOSURE: Words(
        EXCEEDS_LIMIT, OTHER, "Account(1) would have more held for open orders than it may; cancel some or send less"
    ),
    Reason.REJECT_POSITION: Words(
        EXCEEDS_LIMIT, OTHER, "Account(1) could be longer or shorter in {symbol} than it may; cancel some or send less"
    ),
    Reason.REJECT_MARGIN_CALLED: Words(
        EXCEEDS_LIMIT, OTHER, "the position in {symbol} is under a margin call: only orders that close it; or deposit"
    ),
    Reason.REJECT_NO_POSITION: Words(OTHER, OTHER, "the account has no position in {symbol}"),
    Reason.REJECT_MARGIN_KEPT: Words(OTHER, OTHER, "the position in {symbol} has its margin"),
    Reason.REJECT_NO_MARK: Words(OTHER, OTHER, "{symbol} has no mark price yet"),
    Reason.REJECT_PAGES_FULL: Words(
        BROKER, OTHER, "the book of {symbol} has orders at too many distant prices; send a price nearer to the others"
    ),
    Reason.REJECT_UNKNOWN_TRADE: Words(OTHER, OTHER, "no trade can have this number"),
    Reason.CANCEL_IOC: Words(OTHER, OTHER, "cancelled by the venue: the rest of an order that may not rest"),
    Reason.CANCEL_FOK: Words(OTHER, OTHER, "cancelled by the venue: fill-or-kill, could not be filled at once in full"),
    Reason.CANCEL_MIN_QTY: Words(OTHER, OTHER, "cancelled by the venue: less than MinQty(110) could be filled at once"),
    Reason.CANCEL_FUNDS: Words(
        OTHER, OTHER, "cancelled by the venue: the account cannot pay the order's next fill, or its rest in a future"
    ),
    Reason.CANCEL_MARGIN: Words(
        OTHER, OTHER, "cancelled by the venue: the account's position in {symbol} is being liquidated or settled"
    ),
    Reason.CANCEL_PAGES_FULL: Words(
        OTHER, OTHER, "cancelled by the venue: the book of {symbol} has orders at too many distant prices for one more"
    ),
    Reason.CANCEL_SELF_MATCH: Words(OTHER, OTHER, "self-match prevention: the order met another one of its own group"),
    Reason.CANCEL_ALL_OR_NONE: Words(
        OTHER, OTHER, "cancelled by the venue: all-or-none, could not be filled at once in full"
    ),
    Reason.CANCEL_NO_PRICE: Words(
        OTHER, OTHER, "cancelled by the venue: market-to-limit, and nothing stands on the other side"
    ),
    Reason.CANCEL_VOLATILITY: Words(
        OTHER, OTHER, "cancelled by the venue: trading went into a volatility call, for which the rest may not wait"
    ),
    Reason.CANCEL_AUCTION: Words(
        OTHER,
        OTHER,
        "the auction is over: the rest of an order for the auction ended, or a market-to-limit got its price",
    ),
    Reason.CANCEL_MASS: Words(
        OTHER, OTHER, "cancelled with others: mass cancel, disconnect, its list or the venue's operator"
    ),
    Reason.REJECT_SESSION_UNKNOWN_SYMBOL: Words(
        UNKNOWN_SYMBOL, OTHER, "Symbol(55) is not traded here; traded are {symbols}"
    ),
    Reason.REJECT_SESSION_PRICE_OFF_TICK: Words(
        OTHER, OTHER, "Price(44) or StopPx(99) is not a multiple of the tick of {symbol}, {tick}"
    ),
    Reason.REJECT_SESSION_QTY_OFF_LOT: Words(
        INCORRECT_QUANTITY,
        OTHER,
        "OrderQty(38), MinQty(110) or MaxFloor(111) is not a multiple of the lot of {symbol}, {lot}",
    ),
    Reason.REJECT_SESSION_DUPLICATE_CLORDID: Words(
        DUPLICATE_ORDER,
        DUPLICATE_CLORDID,
        "ClOrdID(11), of a quote QuoteID(117) and QuoteEntryID(299), was used before by this session; use each once",
    ),
    Reason.REJECT_SESSION_UNKNOWN_ORIG_CLORDID: Words(
        5, UNKNOWN_ORDER, "OrigClOrdID(41) names no order of this session; send the order's current ClOrdID"
    ),
    Reason.REJECT_SESSION_ACCOUNT_NOT_PERMITTED: Words(
        UNKNOWN_ACCOUNT, OTHER, "Account(1) is not one of this session's; send one of its own or leave it out"
    ),
    Reason.REJECT_SESSION_UNSUPPORTED_VALUE: Words(
        UNSUPPORTED,
        OTHER,
        "missing or not taken: OrdType(40)=2 4 need Price(44), 3 4 StopPx(99); TimeInForce(59) 0 1 2 3 4 6 7,"
        " ExecInst(18) 6 G, pegged M R P, 432 a day, (2362) the member's own, no amount below 0; a replace changes no"
        " 18 40 59 110 111 126 432 2964 9479",
    ),
    Reason.REJECT_SESSION_BAD_COMBINATION: Words(
        UNSUPPORTED,
        OTHER,
        "not together: TimeInForce(59)=6 needs one of 126 and 432, they nothing else, and takes no MinQty(110);"
        " Price(44) goes with 40=2 4 P, StopPx(99) with 40=3 4, PegOffsetValue(211) with 40=P, which takes 59=0 1 6 and"
        " no 99 110 111; a stop takes no 111",
    ),
    Reason.REJECT_SESSION_NO_REFERENCE: Words(
        OTHER,
        OTHER,
        "pegged, and there is no price to follow now: {symbol} is not in continuous trading, nobody but pegged orders"
        " stands on the side it follows, or the price would lie outside {price_min} to {price_max}",
    ),
    Reason.REJECT_SESSION_PRICE_OVERFLOW: Words(
        EXCEEDS_LIMIT, OTHER, "Price(44) or StopPx(99) is larger than any price here: {price_max} is the highest"
    ),
    Reason.REJECT_SESSION_QTY_OVERFLOW: Words(
        INCORRECT_QUANTITY, OTHER, "OrderQty(38), MinQty(110) or MaxFloor(111) is larger than any order here"
    ),
    Reason.REJECT_SESSION_SYMBOL_MISMATCH: Words(
        OTHER, OTHER, "Symbol(55), Side(54) or Account(1) is not that of the order named by OrigClOrdID(41)"
    ),
    Reason.REJECT_SESSION_STALE: Words(OTHER, OTHER, "the session is being closed; nothing was done"),
}


def texts(config: Config, instrument: Instrument | None) -> list[str]:
    """Text(58) by reason, for one instrument or for requests that name none."""
    symbols = [known.symbol for known in config.instruments]
    listed = " ".join(symbols[:20]) + (" and others" if len(symbols) > 20 else "")
    facts = {"symbols": listed, "symbol": "the instrument", "tick": "-", "lot": "-", "price_min": "-", "price_max": "-"}
    if instrument is not None:
        facts["symbol"] = instrument.symbol
        for name in ("tick", "lot", "price_min", "price_max"):
            facts[name] = f"{getattr(instrument, name):f}"
    found = [""] * TEXTS
    for reason, words in WORDS.items():
        found[reason] = words.text.format(**facts)
    return found


def order_codes() -> list[int]:
    """OrdRejReason(103) by reason."""
    return [WORDS[Reason(n)].order_code if n in WORDS else OTHER for n in range(TEXTS)]


def cancel_codes() -> list[int]:
    """CxlRejReason(102) by reason."""
    return [WORDS[Reason(n)].cancel_code if n in WORDS else OTHER for n in range(TEXTS)]
