"""The rules of positions in futures: what a trade does to one, and what an order in a future holds (F4..F8, F11).

Why: a layer of the oracle between money and matching. It knows accounts and trades, but no book: who trades with whom,
and when a position is margined, is decided elsewhere.
"""

from __future__ import annotations

from cores.records import POSITION_LOTS_MAX, EventKind, Reason, Side, Stage
from cores.rules_ledger import Ledger, position_bound
from cores.rules_state import Account, Contract, Order, Symbol, fee, opposite


def sign_of(side: int) -> int:
    return 1 if side == Side.BUY else -1


def side_of(lots: int) -> int:
    """The side of a position."""
    return Side.NONE if lots == 0 else Side.BUY if lots > 0 else Side.SELL


def share(amount: int, part: int, whole: int) -> int:
    """F7: what `part` of `whole` lots have of an amount, rounded towards zero."""
    sign = 1 if amount >= 0 else -1
    return sign * (abs(amount) * part // whole)


def closes(contract: Contract, side: int, lots: int) -> int:
    """F7: how many of so many lots close."""
    return max(0, min(lots, -sign_of(side) * contract.lots))


class Positions(Ledger):
    """Positions of all accounts, one trade at a time."""

    def contract_of(self, symbol: Symbol, account: Account) -> Contract:
        return account.contracts[symbol.terms.base]

    # ---- what orders hold ----

    def hold(self, symbol: Symbol, account: Account, order: Order) -> None:
        """N15, F4: an order at rest holds, and in a future its lots are open."""
        account.positions[symbol.hold_asset(order.side)].hold += symbol.hold_of(order, account.taker_bp)
        if symbol.future:
            self.contract_of(symbol, account).count_open(order.side, order.leaves)

    def release(self, symbol: Symbol, account: Account, order: Order) -> None:
        account.positions[symbol.hold_asset(order.side)].hold -= symbol.hold_of(order, account.taker_bp)
        if symbol.future:
            self.contract_of(symbol, account).count_open(order.side, -order.leaves)

    def can_hold(self, symbol: Symbol, account: Account, order: Order) -> bool:
        """F6: whether an order in a future that is not held for yet can rest."""
        return account.positions[symbol.terms.quote].affords(symbol.hold_of(order, account.taker_bp))

    # ---- rules on orders ----

    def future_reason(self, symbol: Symbol, account: Account, side: int, lots: int,
                      replaced: Order | None = None) -> tuple[bool, int]:  # fmt: skip
        """F4, F5: whether the order closes, and why it is refused. What it replaces does not count."""
        if symbol.future is None:
            return False, Reason.NONE
        contract = self.contract_of(symbol, account)
        together = contract.open_lots(side) - (replaced.leaves if replaced else 0) + lots
        mine = sign_of(side) * contract.lots  # below zero: a position of the other side
        closing = together <= -mine
        bound = position_bound(symbol.terms, self.config)
        most = min(bound, symbol.future.position_max or bound)
        if mine + together > most or together > POSITION_LOTS_MAX:
            return closing, Reason.REJECT_POSITION
        if contract.stage != Stage.NONE and not closing:
            return closing, Reason.REJECT_MARGIN_CALLED
        return closing, Reason.NONE

    def venue_reason(self, symbol: Symbol) -> int:
        """F5: deficits have a limit."""
        if symbol.future and self.touch_account(0).positions[symbol.terms.quote].balance < -(1 << 60):
            return Reason.REJECT_INSUFFICIENT_FUNDS
        return Reason.NONE

    def can_pay(self, symbol: Symbol, account: Account, order: Order, price: int, lots: int) -> bool:
        """F6: an order without a price and its next fill in a future."""
        assert symbol.future is not None
        opening = lots - closes(self.contract_of(symbol, account), order.side, lots)
        needed = fee(symbol.notional(price, lots), account.taker_bp)
        needed += fee(symbol.notional(price, opening), symbol.future.initial_bp)
        return opening == 0 or account.positions[symbol.terms.quote].affords(needed)

    # ---- trades ----

    def trade(self, symbol: Symbol, account: Account, side: int, lots: int, price: int, paid: int,
              session: int) -> None:  # fmt: skip
        """F7, F8: one account's part of a trade, with its events."""
        contract = self.contract_of(symbol, account)
        before = contract.lots
        closing = closes(contract, side, lots)
        account.positions[symbol.terms.quote].balance -= paid
        realised = self.close(symbol, account, side, closing, price) if closing else 0
        if lots > closing:
            self.add(symbol, account, side, lots - closing, price)
        deficit = self.cover(symbol, account)
        assert symbol.future is not None
        symbol.future.open_interest += max(0, contract.lots) - max(0, before)
        self.emit(EventKind.POSITION, 0, side_of(contract.lots), 0, (account.number, session, symbol.terms.base),
                  order_id=contract.cost, price=price, qty=abs(contract.lots), leaves=contract.collateral,
                  aux=realised)  # fmt: skip
        if deficit:
            self.emit(EventKind.DEFICIT, 0, 0, 0, (account.number, session, symbol.terms.quote), qty=deficit)

    def close(self, symbol: Symbol, account: Account, side: int, lots: int, price: int) -> int:
        """Lots that the position has of the other side: their shares go; returns the result realised."""
        contract = self.contract_of(symbol, account)
        whole = abs(contract.lots)
        cost, collateral = share(contract.cost, lots, whole), share(contract.collateral, lots, whole)
        realised = -sign_of(side) * symbol.notional(price, lots) - cost
        contract.lots += sign_of(side) * lots
        contract.cost -= cost
        contract.collateral -= collateral
        account.positions[symbol.terms.quote].balance += collateral + realised
        if contract.lots == 0:
            contract.stage = Stage.NONE
        return realised

    def add(self, symbol: Symbol, account: Account, side: int, lots: int, price: int) -> None:
        """Lots that open: at cost, with as much of the initial margin as is available."""
        assert symbol.future is not None
        contract, money = self.contract_of(symbol, account), account.positions[symbol.terms.quote]
        value = symbol.notional(price, lots)
        contract.lots += sign_of(side) * lots
        contract.cost += sign_of(side) * value
        if account.number != 0:
            given = min(fee(value, symbol.future.initial_bp), max(0, money.available))
            contract.collateral += given
            money.balance -= given

    def cover(self, symbol: Symbol, account: Account) -> int:
        """What is missing comes out of the collateral, then from the venue; returns what the venue paid."""
        contract, money = self.contract_of(symbol, account), account.positions[symbol.terms.quote]
        missing = max(0, -money.available)
        if account.number == 0 or missing == 0:
            return 0
        given = min(missing, contract.collateral)
        contract.collateral -= given
        deficit = missing - given
        money.balance += missing
        if deficit:
            self.touch_account(0).positions[symbol.terms.quote].balance -= deficit
        return deficit

    def take_over(self, symbol: Symbol, account: Account) -> None:
        """F11: all its lots go to the venue, at the mark price."""
        assert symbol.future is not None
        venue, lots, mark = self.touch_account(0), self.contract_of(symbol, account).lots, symbol.future.mark_ticks
        self.trade(symbol, account, opposite(side_of(lots)), abs(lots), mark, 0, self.command.session)
        self.trade(symbol, venue, side_of(lots), abs(lots), mark, 0, 0)
