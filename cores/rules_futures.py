"""The rules on marks and the margin ladder of futures (F9, F10).

Why: the layer of the oracle where a position is valued and, step by step, called, liquidated, taken over or settled.
"""

from __future__ import annotations

from typing import NamedTuple

from cores.records import (
    ORDER_SLOT_NONE,
    CommandFlag,
    EventKind,
    OrdType,
    Phase,
    Reason,
    Stage,
    Tif,
)
from cores.rules_auction import Auction
from cores.rules_positions import side_of
from cores.rules_state import Account, Command, Order, Symbol, fee, opposite


class Margin(NamedTuple):
    """A position at the mark price."""

    equity: int
    needed: int
    initial: int


def margin_of(symbol: Symbol, account: Account) -> Margin:
    """Equity = collateral + result so far. Without a mark price nothing is known but the collateral."""
    assert symbol.future is not None
    contract, mark = account.contracts[symbol.terms.base], symbol.future.mark_ticks
    if mark == 0:
        return Margin(contract.collateral, 0, 0)
    value = symbol.notional(mark, abs(contract.lots))
    result = value - contract.cost if contract.lots >= 0 else -contract.cost - value
    needed, initial = fee(value, symbol.future.maintenance_bp), fee(value, symbol.future.initial_bp)
    return Margin(contract.collateral + result, needed, initial)


class Futures(Auction):
    """MARK and MARGIN."""

    def mark(self, c: Command) -> int:
        """F9."""
        if c.symbol >= self.symbol_count:
            return Reason.REJECT_UNKNOWN_SYMBOL
        symbol = self.touch_symbol(c.symbol)
        if c.flags:
            return Reason.REJECT_BAD_FLAGS
        if symbol.future is None:
            return Reason.REJECT_BAD_INSTRUMENT
        if not symbol.terms.contains(c.price_ticks):
            return Reason.REJECT_PRICE_OUT_OF_COLLAR
        old, symbol.future.mark_ticks = symbol.future.mark_ticks, c.price_ticks
        self.answer(EventKind.MARKED, price=c.price_ticks, qty=symbol.future.open_interest, aux=old)
        return Reason.NONE

    def margin(self, c: Command) -> int:
        """F10."""
        reason = self.parties_reason(c)
        if reason:
            return reason
        symbol, account = self.symbols[c.symbol], self.accounts[c.account]
        if c.flags not in (0, CommandFlag.MARGIN_SETTLE):
            return Reason.REJECT_BAD_FLAGS
        if symbol.future is None:
            return Reason.REJECT_BAD_INSTRUMENT
        if c.account == 0 or self.contract_of(symbol, account).lots == 0:
            return Reason.REJECT_NO_POSITION
        if symbol.future.mark_ticks == 0:
            return Reason.REJECT_NO_MARK
        return self.settle(symbol, account) if c.flags else self.step(symbol, account)

    def settle(self, symbol: Symbol, account: Account) -> int:
        """F10.1."""
        if symbol.phase != Phase.CLOSED:
            return Reason.REJECT_BAD_PHASE
        self.cancel_all(symbol, account)
        self.report_margin(symbol, account, Stage.SETTLED)
        self.take_over(symbol, account)
        return Reason.NONE

    def step(self, symbol: Symbol, account: Account) -> int:
        """F10.2..F10.6."""
        contract, money = self.contract_of(symbol, account), account.positions[symbol.terms.quote]
        margin = margin_of(symbol, account)
        if margin.equity >= margin.needed and contract.stage == Stage.NONE:
            return Reason.REJECT_MARGIN_KEPT
        top_up = min(max(0, money.available), margin.initial - margin.equity) if margin.equity < margin.needed else 0
        enough = margin.equity + top_up >= margin.needed
        if not enough and contract.stage == Stage.CALLED and symbol.phase != Phase.CONTINUOUS:
            return Reason.REJECT_BAD_PHASE
        contract.collateral += top_up
        money.balance -= top_up
        if enough:
            contract.stage = Stage.NONE
            self.report_margin(symbol, account, Stage.NONE)
        elif contract.stage == Stage.NONE:
            contract.stage = Stage.CALLED
            self.report_margin(symbol, account, Stage.CALLED)
        elif contract.stage == Stage.CALLED:
            self.liquidate(symbol, account)
        else:
            self.cancel_all(symbol, account)
            self.report_margin(symbol, account, Stage.TAKEN_OVER)
            self.take_over(symbol, account)
        return Reason.NONE

    def liquidate(self, symbol: Symbol, account: Account) -> None:
        """F10.5."""
        contract = self.contract_of(symbol, account)
        self.cancel_all(symbol, account)
        contract.stage = Stage.LIQUIDATED
        self.report_margin(symbol, account, Stage.LIQUIDATED)
        order = Order(
            order_id=self.command.seq << 24 | ORDER_SLOT_NONE,
            side=opposite(side_of(contract.lots)),
            price_ticks=0,
            leaves=abs(contract.lots),
            cum=0,
            account=account.number,
            session=self.command.session,
            ord_type=OrdType.MARKET,
            tif=Tif.IOC,
            forced=True,
        )
        self.begin(symbol)
        self.match(symbol, account, order, None)
        self.run_stops(symbol)

    def cancel_all(self, symbol: Symbol, account: Account) -> None:
        """Its orders in the future, in the walk of M1."""
        for order in list(symbol.walk_all()):
            if order.account == account.number:
                self.end(symbol, order, EventKind.CANCELLED, Reason.CANCEL_MARGIN)

    def report_margin(self, symbol: Symbol, account: Account, stage: int) -> None:
        assert symbol.future is not None
        margin, c = margin_of(symbol, account), self.command
        self.emit(EventKind.MARGIN, 0, c.side, c.flags, (c.account, c.session, symbol.terms.base),
                  price=symbol.future.mark_ticks, qty=margin.equity, leaves=stage, aux=margin.needed)  # fmt: skip
