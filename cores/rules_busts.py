"""The rules on busted trades (B1..B5).

Why: the last layer of the oracle. It takes a trade back as its terms say; that there was such a trade is known to
whoever has the archive, not to the core, which remembers none.
"""

from __future__ import annotations

from dataclasses import dataclass

from cores.records import AMOUNT_MAX, FEE_BP_MAX, QTY_LOTS_MAX, EventKind, Reason, Side
from cores.rules_futures import Futures
from cores.rules_ledger import position_bound, signed32
from cores.rules_positions import closes, sign_of
from cores.rules_state import Account, Command, Position, Symbol, fee, opposite


def fee_paid(notional: int, bp: int) -> int:
    return -fee(notional, -bp) if bp < 0 else fee(notional, bp)


def lacks(position: Position, needed: int) -> bool:
    """The venue may be below zero and need nothing."""
    return needed > 0 and needed > position.available


@dataclass
class Undone:
    """One side of the trade."""

    account: Account
    session: int
    side: int
    fee: int


class Busts(Futures):
    """BUST."""

    def bust(self, c: Command) -> int:
        """B1..B5."""
        if c.symbol >= self.symbol_count:
            return Reason.REJECT_UNKNOWN_SYMBOL
        symbol = self.touch_symbol(c.symbol)
        buyer, seller = c.account & 0xFFFF, c.session
        for number in (buyer, seller):
            if number >= self.account_count:
                return Reason.REJECT_UNKNOWN_ACCOUNT
            self.touch_account(number)
        venue = self.touch_account(0)
        reason = self.bust_form_reason(symbol, c)
        if reason:
            return reason
        notional = symbol.notional(c.price_ticks, c.qty_lots)
        fees = [fee_paid(notional, signed32(word)) for word in (c.aux & 0xFFFFFFFF, c.aux >> 32)]
        bought = Undone(self.accounts[buyer], c.account >> 16, Side.BUY, fees[0])
        sold = Undone(self.accounts[seller], c.asset, Side.SELL, fees[1])
        of_side = self.future_side_reason if symbol.future else self.spot_side_reason
        reason = of_side(symbol, c, bought) or of_side(symbol, c, sold)
        reason = reason or self.venue_reason(symbol)
        money = venue.positions[symbol.terms.quote]
        if not reason and lacks(money, bought.fee + sold.fee):
            reason = Reason.REJECT_INSUFFICIENT_FUNDS
        if reason:
            return reason
        money.balance -= bought.fee + sold.fee
        self.undo(symbol, c, bought)
        self.undo(symbol, c, sold)
        return Reason.NONE

    def bust_form_reason(self, symbol: Symbol, c: Command) -> int:
        """B1."""
        if c.flags:
            return Reason.REJECT_BAD_FLAGS
        if not 1 <= c.order_id >> 24 < c.seq:
            return Reason.REJECT_UNKNOWN_TRADE
        if not symbol.terms.contains(c.price_ticks):
            return Reason.REJECT_PRICE_OUT_OF_COLLAR
        if not 1 <= c.qty_lots <= QTY_LOTS_MAX:
            return Reason.REJECT_BAD_QTY
        bp = max(abs(signed32(c.aux & 0xFFFFFFFF)), abs(signed32(c.aux >> 32)))
        if bp > FEE_BP_MAX:
            return Reason.REJECT_BAD_AMOUNT
        notional = symbol.notional(c.price_ticks, c.qty_lots)
        if notional + fee(notional, bp) > AMOUNT_MAX or c.qty_lots * symbol.terms.lot_size > AMOUNT_MAX:
            return Reason.REJECT_NOTIONAL_TOO_LARGE
        return Reason.NONE

    def spot_side_reason(self, symbol: Symbol, c: Command, undone: Undone) -> int:
        """B2."""
        positions = undone.account.positions
        if undone.side == Side.BUY:
            short = lacks(positions[symbol.terms.base], c.qty_lots * symbol.terms.lot_size)
        else:
            short = lacks(positions[symbol.terms.quote], symbol.notional(c.price_ticks, c.qty_lots) - undone.fee)
        return Reason.REJECT_INSUFFICIENT_FUNDS if short else Reason.NONE

    def future_side_reason(self, symbol: Symbol, c: Command, undone: Undone) -> int:
        """B3."""
        assert symbol.future is not None
        contract, side = self.contract_of(symbol, undone.account), opposite(undone.side)
        closing, resting = closes(contract, side, c.qty_lots), contract.open_lots(side)
        if closing and resting > abs(contract.lots) - closing:
            return Reason.REJECT_POSITION
        if undone.account.number == 0:
            return Reason.NONE
        after = sign_of(side) * contract.lots + c.qty_lots + resting
        if c.qty_lots > closing and after > position_bound(symbol.terms, self.config):
            return Reason.REJECT_POSITION
        margin = fee(symbol.notional(c.price_ticks, c.qty_lots - closing), symbol.future.initial_bp)
        short = lacks(undone.account.positions[symbol.terms.quote], margin - undone.fee)
        return Reason.REJECT_INSUFFICIENT_FUNDS if short else Reason.NONE

    def undo(self, symbol: Symbol, c: Command, undone: Undone) -> None:
        """B5."""
        account, side = undone.account, undone.side
        owner = (account.number, undone.session, 0)
        self.emit(EventKind.BUSTED, 0, side, 0, owner, order_id=c.order_id, price=c.price_ticks, qty=c.qty_lots,
                  aux=undone.fee)  # fmt: skip
        if symbol.future:
            self.trade(symbol, account, opposite(side), c.qty_lots, c.price_ticks, -undone.fee, undone.session)
            return
        account.positions[symbol.terms.base].balance -= sign_of(side) * c.qty_lots * symbol.terms.lot_size
        notional = symbol.notional(c.price_ticks, c.qty_lots)
        account.positions[symbol.terms.quote].balance += undone.fee + sign_of(side) * notional
