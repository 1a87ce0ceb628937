"""What an operator or a broker's developer does from the command line: control verbs, one order over FIX.

Operator verbs go through the engine's control socket, so they are journaled like everything else that changes state.
Amounts are given as decimals and must be exact in the asset's scale; nothing is rounded on the way in.
"""

from __future__ import annotations

import getpass
from decimal import Decimal, InvalidOperation

from venue.config import Asset, Config, ConfigError, Instrument


def asset_named(config: Config, code: str) -> Asset:
    """The asset with this code. Raises ConfigError naming the known ones."""
    for asset in config.assets:
        if asset.code == code:
            return asset
    raise ConfigError(f"asset {code!r} is unknown; this venue has {', '.join(a.code for a in config.assets)}")


def instrument_named(config: Config, symbol: str) -> Instrument:
    """The instrument with this symbol. Raises ConfigError naming the known ones."""
    for instrument in config.instruments:
        if instrument.symbol == symbol:
            return instrument
    raise ConfigError(f"symbol {symbol!r} is unknown; this venue has {', '.join(i.symbol for i in config.instruments)}")


def units(asset: Asset, amount: str) -> int:
    """A decimal amount as an integer of 10**-scale. Raises ConfigError when it is not exact or not positive."""
    try:
        scaled = Decimal(amount).scaleb(asset.scale)
    except InvalidOperation:
        raise ConfigError(f"amount {amount!r} is not a decimal number") from None
    if not scaled.is_finite() or scaled <= 0 or scaled != int(scaled):
        raise ConfigError(f"amount {amount!r} must be positive with at most {asset.scale} decimals for {asset.code}")
    return int(scaled)


def actor() -> str:
    """Who acts, for the annex of the journaled command."""
    return getpass.getuser()
