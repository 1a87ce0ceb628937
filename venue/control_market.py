"""The operator's verbs on the market: phases of instruments, limits, kill switches; by name and in decimals.

Each becomes commands of the control socket, so it is journaled with who acted, who approved and why. A kill first stops
what comes in, then cancels what is open; it says how much, and it can be repeated: nothing in it depends on the first
try. Must never leave the order of those two steps, else orders slip in between.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from cores.records import AMOUNT_MAX, EventKind, Limit, Phase, Reason, Stage
from venue.config import Account, Config, ConfigError, Instrument, Member, Session
from venue.opening import account_terms

if TYPE_CHECKING:
    from venue.control import ControlClient

NS_PER_MS = 1_000_000
COUNTS = {"open-orders": Limit.OPEN_ORDERS, "messages": Limit.MESSAGES, "duplicate": Limit.DUPLICATE_NS}
MONEY = {"credit": Limit.CREDIT, "gross": Limit.GROSS}


class Market:
    """The verbs, for one configuration and one connection."""

    def __init__(self, config: Config, client: ControlClient, *, approver: str = "", reason: str = "") -> None:
        self.config, self.client = config, client
        self.approver, self.reason = approver, reason

    # ---- verbs ----

    def phase(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """Moves an instrument; says at which price and volume it uncrossed."""
        instrument = self.instrument(arguments.symbol)
        reference = 0 if arguments.reference is None else count(arguments.reference, instrument.tick, "--reference")
        target = Phase[arguments.phase.upper().replace("-", "_")]
        seq, ticks, lots = self.client.phase(
            instrument.id,
            target,
            reference_ticks=reference,
            uncross=not arguments.no_uncross,
            ref=self.reason,
            approver=self.approver,
        )
        traded = {"price": f"{ticks * instrument.tick:f}", "quantity": f"{lots * instrument.lot:f}"} if lots else None
        return {"seq": seq, "phase": target.name, "uncross": traded}

    def limit(self, arguments: argparse.Namespace) -> dict[str, Any]:
        """Sets one limit."""
        kind, amount = arguments.kind, arguments.amount
        if kind in MONEY:
            asset = self.asset(arguments.asset)
            units = count(amount, Decimal(1).scaleb(-asset.scale), "amount")
            return self._set(MONEY[kind], units, account=self.account(arguments.target).id, asset=asset.id)
        if kind == "messages":
            return self._set(Limit.MESSAGES, whole(amount), account=min(self.member(arguments.target).accounts))
        if kind in COUNTS:
            scale = NS_PER_MS if kind == "duplicate" else 1
            return self._set(COUNTS[kind], whole(amount) * scale, account=self.account(arguments.target).id)
        if kind == "restricted":
            codes = [] if amount == "0" else amount.split(",")
            mask = sum(1 << number for number in {self.asset(code).id for code in codes})
            return self._set(Limit.RESTRICTED, mask, account=self.account(arguments.target).id)
        instrument = self.instrument(arguments.target)
        if kind == "collar":
            static_bp = whole(arguments.static_bp)
            return self._set(Limit.COLLAR, whole(amount), symbol=instrument.id, aux=static_bp)
        if kind == "margin":
            return self._set(
                Limit.MARGIN,
                whole(amount),
                symbol=self.future(arguments.target).id,
                aux=whole(arguments.maintenance_bp),
            )
        if kind == "position":
            return self._set(Limit.POSITION, whole(amount), symbol=self.future(arguments.target).id)
        if kind == "order-qty":
            return self._set(Limit.ORDER_QTY, count(amount, instrument.lot, "amount"), symbol=instrument.id)
        units = count(amount, Decimal(1).scaleb(-self.config.asset(instrument.quote).scale), "amount")
        return self._set(Limit.ORDER_VALUE, units, symbol=instrument.id)

    def kill(self, what: str, name: str) -> dict[str, Any]:
        """Stops a session, member, account or instrument and cancels what is open; says how many orders that were."""
        seq = self._switch(what, name, on=True)
        cancelled = sum(
            self.client.mass_cancel(account, symbol, session=session, ref=self.reason, approver=self.approver)
            for account, symbol, session in self._books(what, name)
        )
        return {"seq": seq, "killed": f"{what} {name}", "cancelled": cancelled}

    def rearm(self, what: str, name: str) -> dict[str, Any]:
        """The opposite of `kill`; what was cancelled stays cancelled."""
        return {"seq": self._switch(what, name, on=False), "rearmed": f"{what} {name}"}

    def mark(self, symbol: str, price: str) -> dict[str, Any]:
        """Marks a future."""
        instrument = self.future(symbol)
        ticks = count(price, instrument.tick, "price")
        return {"seq": self.client.mark(instrument.id, ticks, ref=self.reason, approver=self.approver), "mark": price}

    def margin(self, account: str, symbol: str) -> dict[str, Any]:
        """One step of the ladder for one position; says which stage that led to."""
        found, instrument = self.account(account), self.future(symbol)
        events = self.client.margin(
            found.id, instrument.id, session=self._told(found), ref=self.reason, approver=self.approver
        )
        return {"stages": self._stages(events)}

    def settle(self, symbol: str, price: str | None) -> dict[str, Any]:
        """Cash settlement of a closed future: marks it at `price`, then settles every account's position, one by one.
        May be repeated: an account without a position has nothing to settle."""
        from venue.control import CommandRefused

        instrument, settled = self.future(symbol), []
        if price is not None:
            self.mark(symbol, price)
        for account in self.config.accounts:
            if account.id == 0:
                continue  # the venue's own takes the other side, and ends flat
            try:
                self.client.margin(
                    account.id,
                    instrument.id,
                    settle=True,
                    session=self._told(account),
                    ref=self.reason,
                    approver=self.approver,
                )
            except CommandRefused as refused:
                if refused.reason != Reason.REJECT_NO_POSITION:
                    raise
                continue
            settled.append(account.id)
        return {"settled": settled}

    def bust(self, trade: str) -> dict[str, Any]:
        """Takes back a trade, both sides of it; who acts and who approves are two persons."""
        return self.client.bust(trade, ref=self.reason, approver=self.approver)

    # ---- names ----

    def instrument(self, symbol: str) -> Instrument:
        found: Instrument = named(self.config.instruments, "symbol", symbol)
        return found

    def future(self, symbol: str) -> Instrument:
        found = self.instrument(symbol)
        if not found.is_future:
            raise ConfigError(f"{symbol} is no future: it has no mark price, no margin and no settlement")
        return found

    def asset(self, code: str) -> Any:
        return named(self.config.assets, "code", code)

    def member(self, name: str) -> Member:
        found: Member = named(self.config.members, "id", name)
        if not found.accounts:
            raise ConfigError(f"member {name} has no account that could carry a limit")
        return found

    def session(self, comp_id: str) -> tuple[Member, Session]:
        session: Session = named([s for _, s in self.config.sessions()], "comp_id", comp_id)
        return next(pair for pair in self.config.sessions() if pair[1] is session)

    def account(self, number: str) -> Account:
        found = [account for account in self.config.accounts if str(account.id) == number]
        if not found:
            raise ConfigError(f"account {number!r} is unknown; this venue has 0 to {len(self.config.accounts) - 1}")
        return found[0]

    # ---- parts ----

    def _told(self, account: Account) -> int:
        """The session that is told of what happens to the account's position: its member's first, 0 without one."""
        member = self.config.member_of(account.id)
        return min((session.id for session in member.sessions), default=0) if member else 0

    @staticmethod
    def _stages(events: Any) -> list[str]:
        return [Stage(int(stage)).name for stage in events["leaves_lots"][events["kind"] == EventKind.MARGIN]]

    def _set(
        self, kind: Limit, amount: int, *, account: int = 0, asset: int = 0, symbol: int = 0, aux: int = 0
    ) -> dict[str, Any]:
        if amount >= 1 << 64:
            raise ConfigError("the amount is too large for a record")
        seq = self.client.set_limit(
            kind,
            amount,
            account=account,
            asset=asset,
            symbol=symbol,
            aux=aux,
            ref=self.reason,
            approver=self.approver,
        )
        return {"seq": seq, "limit": kind.name, "amount": amount}

    def _switch(self, what: str, name: str, *, on: bool) -> int:
        if what == "session":
            session = self.session(name)[1].id
            return self.client.set_limit(
                Limit.KILL_SESSION, int(on), session=session, ref=self.reason, approver=self.approver
            )
        if what == "member":
            account = min(self.member(name).accounts)
            return self.client.set_limit(
                Limit.KILL_MEMBER, int(on), account=account, ref=self.reason, approver=self.approver
            )
        if what == "instrument":
            return self._halt(self.instrument(name).id) if on else self._resume(self.instrument(name).id)
        account_found = self.account(name)
        terms = account_terms(self.config, account_found)
        return self.client.account(
            account_found.id,
            maker_bp=account_found.maker_bp,
            taker_bp=account_found.taker_bp,
            frozen=on,
            member=terms["qty_lots"],
            smp_group=terms["order_id"],
            smp=terms["price_ticks"],
            ref=self.reason,
            approver=self.approver,
        )

    def _halt(self, symbol: int) -> int:
        from venue.control import CommandRefused

        try:
            return self.client.phase(symbol, Phase.HALT, ref=self.reason, approver=self.approver)[0]
        except CommandRefused as refused:
            if refused.reason != Reason.REJECT_BAD_PHASE:
                raise
            return refused.seq  # halted already: what is open is cancelled all the same

    def _resume(self, symbol: int) -> int:
        return self.client.phase(symbol, Phase.CONTINUOUS, ref=self.reason, approver=self.approver)[0]

    def _books(self, what: str, name: str) -> list[tuple[int, int, int]]:
        """(account, symbol, session or 0) of every book where the party may have open orders."""
        symbols = [instrument.id for instrument in self.config.instruments]
        session, accounts = 0, [account.id for account in self.config.accounts]
        if what == "session":
            member, found = self.session(name)
            session, accounts = found.id, list(member.accounts)
        elif what == "member":
            accounts = list(self.member(name).accounts)
        elif what == "account":
            accounts = [self.account(name).id]
        else:
            symbols = [self.instrument(name).id]
        return [(account, symbol, session) for symbol in symbols for account in accounts]


KINDS = {"symbol": "symbol", "code": "asset", "id": "member", "comp_id": "session"}


def named(things: Iterable[Any], key: str, name: str) -> Any:
    """The one whose `key` is this name. Raises ConfigError naming the known ones."""
    found = {getattr(thing, key): thing for thing in things}
    if name not in found:
        raise ConfigError(f"{KINDS[key]} {name!r} is unknown; this venue has {', '.join(found)}")
    return found[name]


def whole(text: str) -> int:
    """A whole number, not negative. Raises ConfigError."""
    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"{text!r} must be a whole number, 0 for no limit")
    return int(text)


def count(text: str, unit: Decimal, what: str) -> int:
    """How many units a decimal amount is, exactly. Raises ConfigError."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ConfigError(f"{what} {text!r} is not a decimal number") from None
    if number.is_finite() and number > AMOUNT_MAX * unit:
        raise ConfigError(f"{what} {text!r} is too large: at most {AMOUNT_MAX * unit:f}")
    if not number.is_finite() or number < 0 or number % unit:
        raise ConfigError(f"{what} {text!r} must not be negative, and a multiple of {unit:f}")
    return int(number / unit)
