"""Positions: RequestForPositions (AN), in a user-defined type UserRequestForPositions (UAN), is answered with
RequestForPositionsAck (AO) and PositionReports (AP).

One report for every asset that an account of the session has, with what is free of it, and for every future that it has
a position in, with its margin. With SubscriptionRequestType(263)=1 every change is reported too, at most five times a
second, until the session logs out; a margin call is such a change. Nothing is told before it is durable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from cores.records import Stage
from fix_sessions.area import Area, Floor, Inbound, Outbound
from fix_sessions.mass_status import account_of
from fix_sessions.messages import Field, decimal
from venue.config import Asset, Instrument

SUBSCRIPTIONS_MAX = 16
SNAPSHOT, SUBSCRIBE, UNSUBSCRIBE = b"0", b"1", b"2"
Key = tuple[int, bytes]
"""Account, and the code of an asset or the symbol of a future."""

STAGES = {
    Stage.NONE: "",
    Stage.CALLED: "; MARGIN CALL: deposit or close, or the position is liquidated",
    Stage.LIQUIDATED: "; the position is being liquidated",
    Stage.TAKEN_OVER: "; the position was taken over by the venue",
    Stage.SETTLED: "; the position was settled",
}


@dataclass(frozen=True)
class Line:
    """What is told of one asset or one future of an account; amounts in units of `scale`."""

    held: int = 0
    amounts: tuple[tuple[bytes, int], ...] = ()
    mark_ticks: int = 0
    text: str = ""


@dataclass
class Subscription:
    """A request whose session wants to hear of changes; `told` is what it knows."""

    session: int
    values: dict[int, bytes]
    accounts: tuple[int, ...]
    told: dict[Key, Line] = field(default_factory=dict)


class Positions(Area):
    """Answers AN and UAN alike, and looks for changes while somebody wants them."""

    serves: ClassVar[tuple[bytes, ...]] = (b"AN", b"UAN")

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor)
        instruments = floor.config.instruments
        self._futures = {i.symbol.encode(): i for i in instruments if i.is_future}
        contracts = {i.base for i in self._futures.values()}
        self._assets = {a.code.encode(): a for a in floor.config.assets if a.code not in contracts}
        self._subscriptions: dict[tuple[int, bytes], Subscription] = {}
        self._seen_seq = 0

    def check(self) -> None:
        """Asserts that subscriptions belong to sessions that are logged on."""
        assert all(session in self.floor.logged_on for session, _ in self._subscriptions)

    def serve(self, message: Inbound) -> None:
        values, session = message.values, message.session
        refusal = self._refusal(message)
        if refusal:
            self._acknowledge(session, values, 0, *refusal)
            return
        key = session, values[710]
        if values.get(263) == UNSUBSCRIBE:
            there = self._subscriptions.pop(key, None) is not None
            self._acknowledge(
                session, values, 0, b"0", b"" if there else b"there was no subscription of this PosReqID(710)"
            )
            self._want_ticks()
            return
        accounts = self.terms.members[session][0].accounts
        subscription = Subscription(session, values, (int(values[1]),) if 1 in values else tuple(accounts))
        subscription.told = self._lines(subscription)
        seq = self.floor.engine.last_seq
        if values.get(263) == SUBSCRIBE:
            self._subscriptions[key] = subscription
            self._want_ticks()
        lines = list(subscription.told.items())

        def answer() -> None:
            self._acknowledge(session, values, len(lines), b"0" if lines else b"2", b"")
            self.floor.pour(session, self._reports(subscription, seq, lines, len(lines)))

        self.floor.when_durable(seq, answer)

    def on_session(self, session: int, logged_on: bool) -> None:
        for key in [key for key in self._subscriptions if key[0] == session]:
            del self._subscriptions[key]
        self._want_ticks()

    def _refusal(self, message: Inbound) -> tuple[bytes, bytes] | None:
        """PosReqResult(728) and why."""
        values, session = message.values, message.session
        if values[724] != b"0":
            return b"4", b"PosReqType(724) must be 0 (positions)"
        if values.get(581, b"1") != b"1":
            return b"4", b"AccountType(581) must be 1 or left out"
        if 1 in values and account_of(self.terms, session, values[1]) is None:
            return b"3", b"Account(1) is not one of this session's; send one of its own or leave it out"
        if 55 in values and values[55] not in self._assets and values[55] not in self._futures:
            return b"99", b"Symbol(55) is no asset and no future of this venue"
        count = sum(1 for key in self._subscriptions if key[0] == session)
        new = (session, values[710]) not in self._subscriptions
        if values.get(263) == SUBSCRIBE and new and count >= SUBSCRIPTIONS_MAX:
            return b"99", b"the session has 16 subscriptions; end one with SubscriptionRequestType(263)=2"
        return None

    # ---- what there is ----

    def _lines(self, subscription: Subscription) -> dict[Key, Line]:
        wanted = subscription.values.get(55)
        found: dict[Key, Line] = {}
        for code, asset in self._assets.items():
            for account in subscription.accounts if wanted in (None, code) else ():
                line = self._asset_line(account, asset)
                if line.held or any(amount for _, amount in line.amounts):
                    found[account, code] = line
        for symbol, future in self._futures.items():
            if wanted in (None, symbol):
                views = self.floor.engine.positions(future.id)
                for account in subscription.accounts:
                    if account in views:
                        found[account, symbol] = self._future_line(future, views[account])
        return found

    def _asset_line(self, account: int, asset: Asset) -> Line:
        balance, hold, credit = self.floor.engine.balance(account, asset.id)
        return Line(balance, ((b"CASH", balance), (b"CRES", max(0, balance + credit - hold))))

    def _future_line(self, future: Instrument, view: Any) -> Line:
        scale = self.floor.config.asset(future.quote).scale
        texts = (amount_text(amount, scale).decode() for amount in (view.equity, view.needed))
        text = "equity {}, margin needed {}".format(*texts) + STAGES[Stage(view.stage)]
        amounts = ((b"CASH", view.collateral), (b"FMTM", view.equity - view.collateral))
        return Line(view.lots, amounts, self.floor.engine.mark_price(future.id), text)

    # ---- changes ----

    def _want_ticks(self) -> None:
        self.floor.tick(self._look, bool(self._subscriptions))

    def _look(self) -> None:
        if self.floor.engine.last_seq == self._seen_seq:
            return
        self._seen_seq = self.floor.engine.last_seq
        for subscription in self._subscriptions.values():
            now = self._lines(subscription)
            seq = self.floor.engine.last_seq
            gone = {key: self._nothing(key) for key in subscription.told if key not in now}
            changed = [(key, line) for key, line in (now | gone).items() if subscription.told.get(key) != line]
            subscription.told = now
            if changed:
                self._tell(subscription, seq, changed)

    def _tell(self, subscription: Subscription, seq: int, changed: list[tuple[Key, Line]]) -> None:
        def answer() -> None:
            self.floor.pour(subscription.session, self._reports(subscription, seq, changed))

        self.floor.when_durable(seq, answer)

    def _nothing(self, key: Key) -> Line:
        is_future = key[1] in self._futures
        return Line(0, ((b"CASH", 0), (b"FMTM" if is_future else b"CRES", 0)), 0, "no position" if is_future else "")

    # ---- messages ----

    def _acknowledge(self, session: int, values: dict[int, bytes], count: int, result: bytes, text: bytes) -> None:
        fields: list[Field] = [(710, values[710]), (721, b"AO-" + values[710]), (728, result)]
        fields += [(727, b"%d" % count), (729, b"2" if result in (b"3", b"4", b"99") else b"0"), (581, b"1")]
        fields += [(1, values[1])] if 1 in values else []
        fields += [(58, text)] if text else []
        self.floor.send(session, b"AO", fields)

    def _reports(
        self, subscription: Subscription, seq: int, lines: list[tuple[Key, Line]], total: int | None = None
    ) -> Iterator[Outbound]:
        """Without a total they are unsolicited."""
        today = datetime.now(UTC).strftime("%Y%m%d").encode()
        for (account, code), line in lines:
            asset, future = self._assets.get(code), self._futures.get(code)
            fields: list[Field] = [(1, b"%d" % account), (55, code), (581, b"1"), (710, subscription.values[710])]
            fields += [(721, b"%d-%d-%s" % (seq, account, code)), (724, b"0"), (728, b"0"), (715, today)]
            fields += [(727, b"%d" % total)] if total is not None else [(325, b"Y")]
            fields += [(58, line.text.encode())] if line.text else []
            fields += [(730, self._mark(future, line)), (731, b"2"), (734, b"0"), (167, b"FUT" if future else b"CASH")]
            scale = asset.scale if asset else 0
            held = (704, decimal(line.held, scale)) if line.held >= 0 else (705, decimal(-line.held, scale))
            money = asset.scale if asset else self.floor.config.asset(future.quote).scale if future else 0
            fields = [*sorted(fields, key=lambda f: f[0]), (702, b"1"), (703, b"TOT"), held]
            fields.append((753, b"%d" % len(line.amounts)))
            for kind, amount in line.amounts:
                fields += [(707, kind), (708, amount_text(amount, money))]
            yield Outbound(b"AP", fields, as_is=True)

    def _mark(self, future: Instrument | None, line: Line) -> bytes:
        book = self.terms.book(future.id) if future else None
        return book.price(line.mark_ticks) if book else b"0"


def amount_text(amount: int, scale: int) -> bytes:
    """A decimal that may be below zero."""
    return decimal(amount, scale) if amount >= 0 else b"-" + decimal(-amount, scale)
