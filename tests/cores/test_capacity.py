"""The largest configuration there may be: every number is usable, and one more is refused clearly."""

from __future__ import annotations

import numpy as np
import pytest

from cores import COMMAND, CommandKind, Core, CoreConfig, EventKind, OrdType, Reason, Side, Tif
from cores.records import ACCOUNTS_MAX, ASSETS_MAX, SYMBOLS_MAX

LARGEST = CoreConfig(symbols=SYMBOLS_MAX, accounts=ACCOUNTS_MAX, assets=ASSETS_MAX, orders=64, levels=64)
AMOUNT = 10**9


def commands(count: int, **fields: object) -> np.ndarray:
    """So many commands; a field is one value or an array."""
    made = np.zeros(count, COMMAND)
    for name, value in fields.items():
        made[name] = value
    return made


def numbered(parts: list[np.ndarray], first_seq: int = 1) -> np.ndarray:
    made = np.concatenate(parts)
    made["seq"] = np.arange(first_seq, first_seq + len(made))
    made["time_ns"] = made["seq"]
    return made


@pytest.fixture(scope="module")
def full() -> Core:
    """A core with all its symbols and accounts. Base and quote of symbol n are two assets of all 64."""
    core = Core(LARGEST)
    symbol, account = np.arange(SYMBOLS_MAX), np.arange(1, ACCOUNTS_MAX)
    terms = {"order_id": 1, "price_ticks": 100, "qty_lots": 163, "aux": 1}
    assets = {"account": symbol % ASSETS_MAX, "session": (symbol + 1) % ASSETS_MAX}
    made = [commands(SYMBOLS_MAX, kind=CommandKind.INSTRUMENT, symbol=symbol, **assets, **terms)]
    made.append(commands(ACCOUNTS_MAX - 1, kind=CommandKind.ACCOUNT, account=account, aux=1 << 32))
    events, _ = core.apply(numbered(made))
    assert not np.isin(events["kind"], [EventKind.REJECTED, EventKind.COMMAND_REJECTED]).any()
    assert (core.symbol_count, core.account_count) == (SYMBOLS_MAX, ACCOUNTS_MAX)
    return core


def test_one_more_is_refused(full: Core) -> None:
    one_more = [
        commands(
            1, kind=CommandKind.INSTRUMENT, symbol=SYMBOLS_MAX, session=1, order_id=1, price_ticks=1, qty_lots=9, aux=1
        ),
        commands(1, kind=CommandKind.ACCOUNT, account=ACCOUNTS_MAX),
        commands(1, kind=CommandKind.DEPOSIT, account=1, asset=ASSETS_MAX, qty_lots=1),
    ]
    events, _ = full.apply(numbered(one_more, full.last_seq + 1))
    reasons = [Reason.REJECT_BAD_INSTRUMENT, Reason.REJECT_BAD_ACCOUNT, Reason.REJECT_BAD_ASSET]
    assert events["reason"].tolist() == reasons
    for name in ("symbols", "accounts", "assets"):
        with pytest.raises(ValueError, match=name):
            CoreConfig(**{name: getattr(LARGEST, name) + 1})


def test_the_first_and_the_last_of_everything_trade(full: Core) -> None:
    """The last account sells to the first in the first symbol and in the last; a snapshot is the same core."""
    first, last, made = 1, ACCOUNTS_MAX - 1, []
    for symbol in (0, SYMBOLS_MAX - 1):
        base, quote = symbol % ASSETS_MAX, (symbol + 1) % ASSETS_MAX
        made.append(commands(1, kind=CommandKind.DEPOSIT, account=last, asset=base, qty_lots=AMOUNT))
        made.append(commands(1, kind=CommandKind.DEPOSIT, account=first, asset=quote, qty_lots=AMOUNT))
        order = {"kind": CommandKind.NEW, "symbol": symbol, "ord_type": OrdType.LIMIT, "tif": Tif.GTC}
        made.append(commands(1, **order, side=Side.SELL, account=last, price_ticks=163, qty_lots=5))
        made.append(commands(1, **order, side=Side.BUY, account=first, price_ticks=163, qty_lots=9))
    events, _ = full.apply(numbered(made, full.last_seq + 1))
    fills = events[events["kind"] == EventKind.FILL]
    assert fills["qty_lots"].tolist() == [5, 5, 5, 5] and fills["symbol"].tolist() == [0, 0, 4095, 4095]
    assert [full.open_orders(symbol) for symbol in (0, 1, SYMBOLS_MAX - 1)] == [1, 0, 1]
    assert full.check() is None
    again = Core.restore(full.snapshot())
    assert again.snapshot() == full.snapshot() and again.check() is None
