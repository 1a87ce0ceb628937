"""Trade captures: TradeCaptureReportRequest (AD) is answered with its Ack (AQ) and TradeCaptureReports (AE).

Each report tells one side of one trade, that of the asker's own account, never the other; a busted trade is told a
second time, as cancelled. Trades are found again in the journal (`venue/trades.py`), on a thread of its own, so they
are there after any restart and are durable when told. With SubscriptionRequestType(263)=1 later ones follow until the
session logs out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar

import numpy as np

from cores import EventFlag
from fix_sessions import child_names, messages
from fix_sessions.area import Area, Floor, Inbound, Outbound
from fix_sessions.mass_status import account_of
from fix_sessions.messages import Field
from venue.fix_values import exec_id_of
from venue.trades import Fills, Trades, bodies

SUBSCRIPTIONS_MAX = 16
SUBSCRIBE, UNSUBSCRIBE = b"1", b"2"
ACCEPTED, COMPLETED, REJECTED = b"0", b"1", b"2"
CLERK = "trades"


@dataclass(frozen=True)
class Criteria:
    """Which trades a request is about: the fields of a request, read."""

    session: int
    values: dict[int, bytes]
    accounts: tuple[int, ...]
    symbol: int | None
    from_ns: int
    until_ns: int
    after_exec_id: int

    def meant(self, fills: Fills) -> Fills:
        """Those of these fills that the request is about."""
        found = np.isin(fills["account"], self.accounts) & (fills["exec_id"] > self.after_exec_id)
        found &= (fills["time_ns"] >= self.from_ns) & (fills["time_ns"] <= self.until_ns)
        if self.symbol is not None:
            found &= fills["symbol"] == self.symbol
        if 37 in self.values:
            found &= fills["order_id"] == int(self.values[37])
        if 54 in self.values:
            found &= fills["side"] == int(self.values[54])
        return fills[found]


@dataclass(frozen=True)
class Found:
    """What was read aside: fills, ClOrdID by the command that gave it, and the newest ExecID that was looked at."""

    fills: Fills
    names: dict[int, bytes]
    last_exec_id: int


class TradeCaptures(Area):
    """Answers AD; the fills of the journal are read from the first request on."""

    serves: ClassVar[tuple[bytes, ...]] = (b"AD",)

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor)
        self._subscriptions: dict[tuple[int, bytes], Criteria] = {}
        self._looking = False
        self._told_seq = 0  # up to which command those who subscribe were told

    def check(self) -> None:
        """Asserts that subscriptions belong to sessions that are logged on."""
        assert all(session in self.floor.logged_on for session, _ in self._subscriptions)

    def serve(self, message: Inbound) -> None:
        values, session = message.values, message.session
        read = self._read(message)
        if isinstance(read, tuple):
            self._acknowledge(session, values, None, REJECTED, *read)
            return
        if values.get(263) == UNSUBSCRIBE:
            there = self._subscriptions.pop((session, values[568]), None) is not None
            text = b"" if there else b"there was no subscription of this TradeRequestID(568)"
            self._acknowledge(session, values, 0, COMPLETED, b"0", text)
            self._want_ticks()
            return
        self.floor.aside(lambda: self._answer(read), lambda found: self._found(read, found), CLERK)

    def on_session(self, session: int, logged_on: bool) -> None:
        for key in [key for key in self._subscriptions if key[0] == session]:
            del self._subscriptions[key]
        self._want_ticks()

    # ---- the request ----

    def _read(self, message: Inbound) -> Criteria | tuple[bytes, bytes]:
        """What is asked for, or TradeRequestResult(749) and why it is not answered."""
        values, session = message.values, message.session
        accounts = tuple(self.terms.members[session][0].accounts)
        times = [messages.time(value) for tag, value in messages.fields(message.body) if tag == 60]
        book = self.terms.by_symbol.get(values.get(55, b""))
        after = exec_id_of(values[17]) if 17 in values else 0
        count = sum(1 for key in self._subscriptions if key[0] == session)
        new = (session, values[568]) not in self._subscriptions
        if values[569] not in (b"0", b"1"):
            return b"8", b"TradeRequestType(569) must be 0 (all trades) or 1 (those that match)"
        if 55 in values and book is None:
            return b"1", b"Symbol(55) is not traded here"
        if 1 in values and account_of(self.terms, session, values[1]) is None:
            return b"9", b"Account(1) is not one of this session's; send one of its own or leave it out"
        if after is None:
            return b"99", b"ExecID(17) is none of this venue's: seq-index, as its ExecutionReports say"
        if 37 in values and not (values[37].isdigit() and len(values[37]) <= 20 and int(values[37]) < 1 << 64):
            return b"99", b"OrderID(37) is none of this venue's"
        if 54 in values and values[54] not in (b"1", b"2"):
            return b"99", b"Side(54) must be 1 (buy) or 2 (sell)"
        if len(times) > 2 or None in times or times != sorted(t for t in times if t is not None):
            return b"99", b"NoDates(580) takes one TransactTime(60), the first, or two, the first and the last"
        if values.get(263) == SUBSCRIBE and new and count >= SUBSCRIPTIONS_MAX:
            return b"99", b"the session has 16 subscriptions; end one with SubscriptionRequestType(263)=2"
        low, high = int(times[0] or 0) if times else 0, int(times[1] or 0) if len(times) > 1 else (1 << 63) - 1
        meant = (int(values[1]),) if 1 in values else accounts
        return Criteria(session, values, meant, None if book is None else book.number, low, high, after)

    # ---- aside: on the clerk's thread ----

    def _answer(self, criteria: Criteria) -> Found:
        last_exec_id, fills = self._after(criteria.after_exec_id)
        return self._found_of(criteria.meant(fills), last_exec_id)

    def _news(self, criteria: list[Criteria]) -> Found:
        last_exec_id, fills = self._after(min(each.after_exec_id for each in criteria))
        concerned = np.unique([account for each in criteria for account in each.accounts])
        return self._found_of(fills[np.isin(fills["account"], concerned)], last_exec_id)

    def _after(self, exec_id: int) -> tuple[int, Fills]:
        """The newest ExecID that is known, and the fills after one."""
        trades: Trades = self.floor.engine.trades
        trades.follow()
        fills = trades.fills(exec_id)
        return (int(fills["exec_id"][-1]) if len(fills) else exec_id), fills

    def _found_of(self, fills: Fills, last_exec_id: int) -> Found:
        wanted = set(np.unique(fills["named_seq"]).tolist())
        found = bodies(self.floor.engine.trades.journal_dir, wanted)
        return Found(fills, {seq: name_of(messages.first_fields(body)) for seq, body in found.items()}, last_exec_id)

    # ---- answers: on the gateway's thread ----

    def _found(self, criteria: Criteria, found: Found | Exception) -> None:
        session, values = criteria.session, criteria.values
        if isinstance(found, Exception):
            text = b"the trades could not be read; ask the venue"
            self._acknowledge(session, values, None, REJECTED, b"99", text)
            return
        fills = found.fills
        subscribes = values.get(263) == SUBSCRIBE and session in self.floor.logged_on
        self._acknowledge(session, values, len(fills), ACCEPTED if len(fills) or subscribes else COMPLETED, b"0", b"")
        self.floor.pour(session, self._reports(criteria, fills, found.names, len(fills)))
        if subscribes:
            self._subscriptions[session, values[568]] = replace(criteria, after_exec_id=found.last_exec_id)
            self._want_ticks()

    def _want_ticks(self) -> None:
        self.floor.tick(self._look, bool(self._subscriptions))

    def _look(self) -> None:
        durable_seq = self.floor.gateway.durable_seq()
        if self._looking or durable_seq <= self._told_seq or not self._subscriptions:
            return
        self._looking, self._told_seq = True, durable_seq
        criteria = list(self._subscriptions.values())
        self.floor.aside(lambda: self._news(criteria), self._tell, CLERK)

    def _tell(self, found: Found | Exception) -> None:
        self._looking = False
        if isinstance(found, Exception):
            self._told_seq = 0
            return
        for key, criteria in self._subscriptions.items():
            own = criteria.meant(found.fills)
            if len(own):
                self.floor.pour(criteria.session, self._reports(criteria, own, found.names))
            last_exec_id = max(criteria.after_exec_id, found.last_exec_id)
            self._subscriptions[key] = replace(criteria, after_exec_id=last_exec_id)

    # ---- messages ----

    def _acknowledge(
        self, session: int, values: dict[int, bytes], total: int | None, status: bytes, result: bytes, text: bytes
    ) -> None:
        fields: list[Field] = [(tag, values[tag]) for tag in (55, 263, 568, 569) if tag in values]
        fields += [(58, text)] if text else []
        fields += [(748, b"%d" % total)] if total is not None else []
        self.floor.send(session, b"AQ", [*fields, (749, result), (750, status)])

    def _reports(
        self, criteria: Criteria, fills: Fills, names: dict[int, bytes], total: int | None = None
    ) -> Iterator[Outbound]:
        """Without a total they are unsolicited."""
        for number, fill in enumerate(fills, 1):
            fields = [*self._trade_fields(fill), (568, criteria.values[568])]
            if total is None:
                fields.append((325, b"Y"))
            else:
                fields += [(748, b"%d" % total), (912, b"Y" if number == total else b"N")]
            fields.sort(key=lambda f: f[0])
            fields += [(552, b"1"), (54, b"%d" % fill["side"]), (37, b"%d" % fill["order_id"])]
            name = names.get(int(fill["named_seq"]), b"")
            fields += [(11, name)] if name else []
            yield Outbound(b"AE", [*fields, (1, b"%d" % fill["account"])], as_is=True)

    def _trade_fields(self, fill: np.void) -> list[Field]:
        book = self.terms.book(int(fill["symbol"]))
        assert book is not None, "the journal's instruments are those of the configuration"
        exec_id, trade_id = (messages.identifier(int(fill[name])) for name in ("exec_id", "trade_id"))
        time_ns, flags, busted = int(fill["time_ns"]), int(fill["flags"]), int(fill["busted_exec_id"])
        liquidity = b"4" if flags & EventFlag.AUCTION else b"2" if flags & EventFlag.AGGRESSOR else b"1"
        cancelled: list[Field] = [(572, messages.identifier(busted))] if busted else []
        return [
            *cancelled,
            (17, exec_id),
            (31, book.price(int(fill["price_ticks"]))),
            (32, book.quantity(int(fill["qty_lots"]))),
            (55, book.symbol),
            (60, messages.timestamp(time_ns)),
            (75, datetime.fromtimestamp(int(fill["trade_time_ns"]) // 10**9, UTC).strftime("%Y%m%d").encode()),
            (150, b"H" if busted else b"F"),
            (487, b"1" if busted else b"0"),
            (527, trade_id),
            (570, b"N"),
            (571, exec_id),
            (851, liquidity),
            (1003, trade_id),
        ]


def name_of(values: dict[int, bytes]) -> bytes:
    """The ClOrdID(11) that the member knows an execution by: of a child of an execution algorithm its parent's."""
    clordid = values.get(11, b"")
    return values.get(583, clordid) if child_names.parse(clordid) else clordid
