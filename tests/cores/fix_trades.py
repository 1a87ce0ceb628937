"""The trades of a run, so that a generated BUST can name one that was made."""

from __future__ import annotations

from typing import Any

import numpy as np

from cores import CommandKind, EventFlag, EventKind, Side

KEPT_MAX = 32
Fields = dict[str, Any]


def bp_of(fee: int, notional: int) -> int:
    """The least bp whose fee on the notional is this one, and below zero of a rebate."""
    bp = -(-abs(fee) * 10_000 // notional)
    return bp if fee >= 0 else -bp


def bust_of(fills: np.ndarray, tick_value: int) -> Fields:
    """The BUST of a trade: its two FILL events, and what a lot is worth at a tick."""
    first, second = fills
    assert first["kind"] == second["kind"] == EventKind.FILL
    bought, sold = (first, second) if first["side"] == Side.BUY else (second, first)
    price, qty = int(first["price_ticks"]), int(first["qty_lots"])
    bps = [bp_of(int(side["aux"].astype("i8")), price * qty * tick_value) & 0xFFFFFFFF for side in (bought, sold)]
    return _named(bought, sold, int(first["exec_id"])) | {"aux": bps[0] | bps[1] << 32}


def _named(bought: Any, sold: Any, trade: int) -> Fields:
    fields = {"kind": CommandKind.BUST, "symbol": int(bought["symbol"]), "order_id": trade}
    fields |= {"price_ticks": int(bought["price_ticks"]), "qty_lots": int(bought["qty_lots"])}
    fields["account"] = int(bought["account"]) | int(bought["session"]) << 16
    return fields | {"session": int(sold["account"]), "asset": int(sold["session"])}


class Tape:
    """The last trades, newest last."""

    def __init__(self) -> None:
        self.trades: list[Fields] = []

    def see(self, events: np.ndarray) -> None:
        fills = events[events["kind"] == EventKind.FILL]
        for first, second in zip(fills[::2], fills[1::2], strict=True):
            auction = first["flags"] & EventFlag.AUCTION
            assert auction or second["flags"] & EventFlag.AGGRESSOR, "fills come in pairs"
            bought, sold = (first, second) if first["side"] == Side.BUY else (second, first)
            self.trades.append(_named(bought, sold, int(first["exec_id"])))
        del self.trades[:-KEPT_MAX]

    def aim(self, fields: Fields, choice: int) -> None:
        """Makes the BUST one of a trade that was, but for what the fields already say."""
        if not self.trades:
            return
        trade = self.trades[-1 - choice % len(self.trades)]
        fields |= {name: trade[name] for name in ("symbol", "account", "session", "asset")}
        for name in ("order_id", "price_ticks", "qty_lots"):
            fields.setdefault(name, trade[name])
