"""Busted trades: an operator's verb finds the trade in the journal and becomes the core's BUST, once.

Why here: the core takes back what it is told (spec/matching_rules.md B1..B5) and remembers no trades. That there was
one, between whom, at which fees and that nobody has busted it before is found from the journal, in the engine's
process and under one lock, so two operators at once bust a trade once. Two persons must want it: who acts and who
approves. Must never bust a trade whose instrument was redefined since: its ticks and lots mean something else now.

The annex of a BUST is an operator's (`verb=bust`, `actor`, `approver`, `ref`: the reason given, `trade`: the trade's
number, as SecondaryExecID(527) of both fills has it) and holds for each side, as `buy.<tag>` and `sell.<tag>`, the FIX
fields of its ExecutionReport (150=H) that the core cannot know. No member's own fields can be taken for them.

| key | |
|---|---|
| `.1` | Account |
| `.6` | AvgPx without this trade |
| `.11` | ClOrdID of the order now; absent when it has none: a liquidation, an operator's order |
| `.14` | CumQty without this trade (and without others that were busted before) |
| `.19` | ExecRefID: ExecID(17) of this side's fill |
| `.37` | OrderID |
| `.38` | OrderQty; of a liquidation the trade's quantity |
| `.39` | OrdStatus: 0 or 1 of an order that is open, by CumQty; else 4 |
| `.151` | LeavesQty: what rests; 0 of an order that is not open |
| `.583` | ClOrdLinkID, when the order was entered with one; of a child of an execution algorithm its parent's ClOrdID |

They are as the verb found them. The order of a side can have traded or been replaced between that look and the command:
while the order table knows an order (every open one, a finished one for a day at least) its facts count, in a report
and in the answer to an order status request; the annex is for those that it has forgotten. CumQty and AvgPx of later
reports of an open order are without the trade, LeavesQty is what rests as before: busted quantity never comes back.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cores import CommandKind, EventKind, Reason, Side
from cores.records import FEE_BP_MAX
from venue.config import Config, Instrument
from venue.fix_values import SEQ_BITS, average, decimal, exec_id_of, identifier
from venue.records import ANNEX_BYTES_MAX, SALT_BYTES, SubmitStatus
from venue.trades import Fills, Trades, bodies

SOH = b"\x01"
SIDES = {Side.BUY: b"buy", Side.SELL: b"sell"}
OPEN = "01"
SLOT_NONE = (1 << SEQ_BITS) - 1
TEXT_BYTES_MAX = 512
BASIS_POINTS = 10_000
BODIES_KEPT = 1024
FOLLOW_SECONDS_MAX = 10.0
POLL_SECONDS = 0.005


class BustedEngine(Protocol):
    """What is needed of the engine."""

    @property
    def data_dir(self) -> Path: ...
    @property
    def trades(self) -> Trades: ...
    @property
    def last_seq(self) -> int: ...
    def find_order(self, session: int, clordid: bytes) -> dict[str, Any] | None: ...
    def call(self, command: Any = None, **options: Any) -> tuple[int, int, Any]: ...


@dataclass(frozen=True)
class Refusal:
    """Why nothing was done: what, where, and how to mend it."""

    text: str


@dataclass(frozen=True)
class Why:
    """Who wants it, and the reason that both brokers are told."""

    actor: str
    approver: str
    reason: str
    peer: str = ""

    def fault(self) -> str:
        """Empty when two persons and a reason are named."""
        for name, text in (("actor", self.actor), ("approver", self.approver), ("reason", self.reason)):
            if not text.strip():
                return f"a bust needs an actor, an approver and a reason; there is no {name}"
            if len(text) > TEXT_BYTES_MAX or not (text.isascii() and text.isprintable()):
                return f"{name}: at most {TEXT_BYTES_MAX} printable ASCII characters"
        if self.actor.strip().casefold() == self.approver.strip().casefold():
            return f"a bust needs two persons: {self.actor!r} acts, so somebody else must approve"
        return ""


@dataclass(frozen=True)
class Bust:
    """A trade as BUST takes it back: the command's fields, and what its annex says of the sides."""

    trade_id: int
    symbol: int
    price_ticks: int
    qty_lots: int
    buyer: tuple[int, int]  # account and session
    seller: tuple[int, int]
    fees: tuple[int, int]  # buyer's and seller's, in quote units, below zero a rebate
    fees_bp: tuple[int, int]
    notional: int
    sides: bytes

    def fields(self) -> dict[str, int]:
        """Of the COMMAND record."""
        bought, sold = (bp & 0xFFFFFFFF for bp in self.fees_bp)
        fields = {"kind": int(CommandKind.BUST), "symbol": self.symbol, "order_id": self.trade_id}
        fields |= {"account": self.buyer[0] | self.buyer[1] << 16, "session": self.seller[0], "asset": self.seller[1]}
        return fields | {"price_ticks": self.price_ticks, "qty_lots": self.qty_lots, "aux": bought | sold << 32}

    def body(self, why: Why) -> bytes:
        """The annex without its salt."""
        words = f"verb=bust\x01actor={why.actor}\x01approver={why.approver}\x01ref={why.reason}\x01".encode()
        return words + b"trade=%s\x01" % identifier(self.trade_id) + self.sides + why.peer.encode()


class Busts:
    """The verb, for one engine. Any thread may ask; one trade after the other is dealt with."""

    def __init__(self, engine: BustedEngine, config: Config) -> None:
        self._engine, self._config = engine, config
        self._lock = threading.Lock()
        self._done: dict[int, int] = {}  # trades busted by this process: the command that did it
        self._bodies: OrderedDict[int, bytes] = OrderedDict()

    def check(self) -> None:
        """Asserts the bound on annexes that are kept, and what `Trades` asserts."""
        assert len(self._bodies) <= BODIES_KEPT
        self._engine.trades.check()

    def bust(self, trade: str, why: Why) -> dict[str, Any] | Refusal:
        """Takes a trade back, given ExecID(17) of either side's fill; says what was done once that is durable."""
        if fault := why.fault():
            return Refusal(fault)
        exec_id = exec_id_of(trade.encode("ascii", "replace"))
        if exec_id is None:
            return Refusal(f"trade {trade!r} is no ExecID(17) of this venue: give one as `seq-index`, as reports do")
        with self._lock:
            found = self._find(exec_id)
            return found if isinstance(found, Refusal) else self._submit(found, why)

    def body(self, trade_id: int, seq: int) -> bytes:
        """The annex, without its salt, of the BUST of this trade with this number; any thread."""
        body = self._bodies.get(trade_id)
        return body if body is not None else bodies(self._engine.data_dir / "journal", {seq}).get(seq, b"")

    # ---- finding ----

    def _find(self, exec_id: int) -> Bust | Refusal:
        trades, wanted_seq = self._engine.trades, self._engine.last_seq
        self._follow(trades, wanted_seq)
        if trades.last_seq < wanted_seq:
            return Refusal(
                f"the journal is read up to command {trades.last_seq} of {wanted_seq} by now and nothing was done: ask"
                " again, it goes on from there"
            )
        name, fills = identifier(exec_id).decode(), trades.of_trade(exec_id)
        if len(fills) != 2:
            return Refusal(
                f"trade {name} is unknown: no fill has this ExecID(17); a settlement, or any other event, is no trade"
            )
        trade_id, symbol = int(fills["trade_id"][0]), int(fills["symbol"][0])
        name = identifier(trade_id).decode()
        by = trades.busted.get(trade_id, self._done.get(trade_id))
        if by is not None:
            return Refusal(f"trade {name} is busted already, by command {by >> SEQ_BITS}")
        defined_seq, tick_value = trades.instruments[symbol]
        if defined_seq > trade_id >> SEQ_BITS:
            return Refusal(
                f"trade {name}: {self._config.instruments[symbol].symbol} was redefined by command {defined_seq} since,"
                " its prices and quantities mean something else now; settle it by deposits and withdrawals"
            )
        return self._terms(trades, fills, tick_value)

    def _follow(self, trades: Trades, wanted_seq: int) -> None:
        """Up to this command, or as far as one comes before whoever asks must have an answer."""
        end = time.monotonic() + FOLLOW_SECONDS_MAX
        trades.follow(FOLLOW_SECONDS_MAX)
        while trades.last_seq < wanted_seq and (left := end - time.monotonic()) > 0:
            time.sleep(POLL_SECONDS)
            trades.follow(left)

    def _terms(self, trades: Trades, fills: Fills, tick_value: int) -> Bust | Refusal:
        bought, sold = sorted(fills, key=lambda fill: int(fill["side"]))
        assert (bought["side"], sold["side"]) == (Side.BUY, Side.SELL), "a trade has two sides"
        price_ticks, qty_lots = int(bought["price_ticks"]), int(bought["qty_lots"])
        notional = price_ticks * qty_lots * tick_value
        fees_bp = fee_bp(notional, int(bought["fee"])), fee_bp(notional, int(sold["fee"]))
        assert fees_bp[0] is not None and fees_bp[1] is not None, "every fee is one of whole basis points"
        annexes = self._annexes(trades, fills)
        return Bust(
            int(bought["trade_id"]),
            int(bought["symbol"]),
            price_ticks,
            qty_lots,
            (int(bought["account"]), int(bought["session"])),
            (int(sold["account"]), int(sold["session"])),
            (int(bought["fee"]), int(sold["fee"])),
            (fees_bp[0], fees_bp[1]),
            notional,
            b"".join(self._side(trades, fill, annexes) for fill in (bought, sold)),
        )

    def _annexes(self, trades: Trades, fills: Fills) -> dict[int, dict[bytes, bytes]]:
        """The FIX fields of the commands that entered and named the orders."""
        wanted = {int(seq) for fill in fills for seq in (fill["named_seq"], int(fill["order_id"]) >> SEQ_BITS)}
        found = bodies(trades.journal_dir, wanted)
        return {seq: fields_of(body) for seq, body in found.items()}

    def _side(self, trades: Trades, fill: np.void, annexes: dict[int, dict[bytes, bytes]]) -> bytes:
        order_id, lots, ticks = int(fill["order_id"]), int(fill["qty_lots"]), int(fill["price_ticks"])
        entry, named = annexes.get(order_id >> SEQ_BITS, {}), annexes.get(int(fill["named_seq"]), {})
        clordid = named.get(b"11", b"")
        order = self._engine.find_order(int(fill["session"]), clordid) if clordid else None
        if order is not None and order["order_id"] == order_id:
            done = order["cum_lots"] - lots, order["value"] - lots * ticks
            qty_lots, leaves, is_open = order["order_qty_lots"], order["leaves_lots"], order["status"] in OPEN
            clordid = order["clordid"].encode()
        elif order_id & SLOT_NONE == SLOT_NONE:
            done, qty_lots, leaves, is_open = (0, 0), lots, 0, False
        else:
            cum_lots, value = trades.of_order(order_id)
            done, leaves, is_open = (cum_lots - lots, value - lots * ticks), 0, False
            qty_lots = trades.order_lots(order_id)
        status = b"4" if not is_open else b"1" if done[0] else b"0"
        book = Sizes.of(self._config.instruments[int(fill["symbol"])])
        found = [(b"1", b"%d" % fill["account"]), (b"6", book.average(*done)), (b"11", clordid)]
        found += [(b"14", book.quantity(done[0])), (b"19", identifier(int(fill["exec_id"]))), (b"37", b"%d" % order_id)]
        found += [(b"38", book.quantity(qty_lots)), (b"39", status), (b"151", book.quantity(leaves))]
        found.append((b"583", named.get(b"583", entry.get(b"583", b""))))
        prefix = SIDES[Side(int(fill["side"]))]
        return b"".join(b"%s.%s=%s\x01" % (prefix, tag, value) for tag, value in found if value)

    # ---- doing ----

    def _submit(self, bust: Bust, why: Why) -> dict[str, Any] | Refusal:
        body, name = bust.body(why), identifier(bust.trade_id).decode()
        if len(body) > ANNEX_BYTES_MAX - SALT_BYTES:
            return Refusal(f"the annex has {len(body)} bytes, more than an entry takes: give a shorter reason")
        self._bodies[bust.trade_id] = body  # its reports may leave before the call returns
        while len(self._bodies) > BODIES_KEPT:
            self._bodies.popitem(last=False)
        status, seq, events = self._engine.call(body=body, **bust.fields())
        if status != SubmitStatus.OK:
            del self._bodies[bust.trade_id]
            return Refusal("the venue takes no commands any more: ask again after its next start")
        if int(events["kind"][-1]) == EventKind.COMMAND_REJECTED:
            del self._bodies[bust.trade_id]
            return Refusal(self._words(bust, Reason(int(events["reason"][-1])), seq))
        self._done[bust.trade_id] = seq << SEQ_BITS
        book = Sizes.of(self._config.instruments[bust.symbol])
        return {
            "seq": seq,
            "busted": name,
            "symbol": book.instrument.symbol,
            "price": book.price(bust.price_ticks).decode(),
            "quantity": book.quantity(bust.qty_lots).decode(),
            "buyer": bust.buyer[0],
            "seller": bust.seller[0],
        }

    def _words(self, bust: Bust, reason: Reason, seq: int) -> str:
        """Why the core refused it, and what to do then try again."""
        instrument = self._config.instruments[bust.symbol]
        quote, base = self._config.asset(instrument.quote), self._config.asset(instrument.base)
        lots, money = Sizes.of(instrument).quantity(bust.qty_lots).decode(), bust.notional - bust.fees[1]
        buyer, seller = bust.buyer[0], bust.seller[0]
        said = f"trade {identifier(bust.trade_id).decode()} stands: {reason.name} (command {seq}); "
        again = "then bust it again"
        if reason == Reason.REJECT_INSUFFICIENT_FUNDS and instrument.is_future:
            return said + (
                f"account {buyer} (bought) or {seller} (sold) has not {quote.code} enough available for the margin of"
                " what it would hold then, or account 0 for the fees: cancel the open orders that hold it (mass-cancel)"
                f" or deposit, {again}"
            )
        if reason == Reason.REJECT_INSUFFICIENT_FUNDS:
            amount = decimal(max(money, 0), quote.scale).decode()
            return said + (
                f"account {buyer} (bought) must have {lots} {base.code} available, account {seller} (sold) {amount}"
                f" {quote.code}, account 0 the fees: cancel the open orders that hold it (mass-cancel) or deposit,"
                f" {again}"
            )
        if reason == Reason.REJECT_POSITION:
            return said + (
                f"account {buyer} (bought) or {seller} (sold) has open orders in {instrument.symbol} that would lose"
                " the position they close, or would hold more contracts than anybody may: cancel them (mass-cancel),"
                f" {again}"
            )
        return said + "the core cannot take back what it could not trade now; see spec/matching_rules.md B1..B5"


@dataclass(frozen=True)
class Sizes:
    """Ticks and lots of an instrument as FIX values."""

    instrument: Instrument
    tick_units: int
    lot_units: int

    @classmethod
    def of(cls, instrument: Instrument) -> Sizes:
        tick, lot = instrument.tick.scaleb(instrument.price_scale), instrument.lot.scaleb(instrument.qty_scale)
        return cls(instrument, int(tick), int(lot))

    def price(self, ticks: int) -> bytes:
        return decimal(ticks * self.tick_units, self.instrument.price_scale)

    def quantity(self, lots: int) -> bytes:
        return decimal(lots * self.lot_units, self.instrument.qty_scale)

    def average(self, lots: int, value: int) -> bytes:
        return average(value, lots, self.tick_units, self.instrument.price_scale)


def fee_paid(notional: int, bp: int) -> int:
    """As B1 has it: rounded towards zero, below zero a rebate."""
    return -(notional * -bp // BASIS_POINTS) if bp < 0 else notional * bp // BASIS_POINTS


def fee_bp(notional: int, fee: int) -> int | None:
    """The basis points nearest to zero whose fee on this notional is exactly this one; None when there are none."""
    low, high, sign = 0, FEE_BP_MAX, -1 if fee < 0 else 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fee_paid(notional, middle) >= abs(fee) else (middle + 1, high)
    return sign * low if fee_paid(notional, sign * low) == fee else None


def fields_of(body: bytes) -> dict[bytes, bytes]:
    """The first value of every field of a member's message; none of an operator's."""
    found: dict[bytes, bytes] = {}
    if body.startswith(b"35="):
        for part in body.split(SOH):
            tag, _, value = part.partition(b"=")
            found.setdefault(tag, value)
    return found


def side_fields(body: bytes, side: int) -> dict[int, bytes]:
    """What the annex of a BUST says of one side, by FIX tag."""
    prefix = SIDES[Side(side)] + b"."
    words = (part[len(prefix) :].partition(b"=") for part in body.split(SOH) if part.startswith(prefix))
    return {int(tag): value for tag, _, value in words if tag.isdigit()}


def reason_given(body: bytes) -> bytes:
    """The operator's reason, Text(58) of both reports."""
    return next((part[4:] for part in body.split(SOH) if part.startswith(b"ref=")), b"")
