"""What an operator or a broker's developer does from the command line: control verbs, one order over FIX.

Operator verbs go through the engine's control socket, so they are journaled like everything else that changes state.
Amounts are given as decimals and must be exact in the asset's scale; nothing is rounded on the way in.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from cores.records import AMOUNT_MAX, Reason
from venue.config import Asset, Config, ConfigError, Instrument

MENDS = {
    (
        "phase",
        Reason.REJECT_BAD_PHASE,
    ): "the instrument is in that phase already; or its book is crossed, and it goes to"
    " continuous from a call only (pre-open first)",
    ("phase", Reason.REJECT_BAD_FLAGS): "--no-uncross is for the way from a call to closed",
    ("rearm", Reason.REJECT_BAD_PHASE): "the instrument trades already; or its book is crossed, and it goes to"
    " continuous from a call only (`venue admin phase SYMBOL pre-open` first)",
    ("margin", Reason.REJECT_BAD_PHASE): "a position is liquidated while its future is in continuous only",
    ("settle", Reason.REJECT_BAD_PHASE): "settlement needs the future to be closed: `venue admin phase SYMBOL closed`",
    ("limit", Reason.REJECT_BOOK_NOT_EMPTY): "the initial margin can change only while the future has no open order:"
    " `venue admin mass-cancel`",
    ("", Reason.REJECT_PRICE_OUT_OF_COLLAR): "the price is outside the instrument's price_min and price_max",
    ("", Reason.REJECT_BAD_AMOUNT): "the amount is above what such an amount can be",
    (
        "",
        Reason.REJECT_INSUFFICIENT_FUNDS,
    ): "the account has less available: its balance, less what its open orders hold (mass-cancel)",
    ("", Reason.REJECT_NO_POSITION): "the account has no position in it",
    ("", Reason.REJECT_NO_MARK): "the future has no mark price: `venue admin mark` first",
    ("", Reason.REJECT_MARGIN_KEPT): "the position has what it needs; nothing is to be done",
}
"""What a refusal of the core means for an operator's verb ("": for any), and what to do."""

if TYPE_CHECKING:
    from fix_sessions.client import Broker
    from venue.control import ControlClient


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
        number = Decimal(amount)
    except InvalidOperation:
        raise ConfigError(f"amount {amount!r} is not a decimal number") from None
    unit = Decimal(1).scaleb(-asset.scale)
    if number.is_finite() and number > AMOUNT_MAX * unit:
        raise ConfigError(f"amount {amount!r} is too large: at most {AMOUNT_MAX * unit:f} {asset.code}")
    if not number.is_finite() or number <= 0 or number % unit:
        raise ConfigError(f"amount {amount!r} must be positive with at most {asset.scale} decimals for {asset.code}")
    return int(number / unit)


def account_numbered(config: Config, number: int) -> int:
    """The number, when there is such an account. Raises ConfigError."""
    if number >= len(config.accounts):
        raise ConfigError(f"account {number} is unknown; this venue has 0 to {len(config.accounts) - 1}")
    return number


def admin(config: Config, arguments: argparse.Namespace) -> dict[str, Any]:
    """One operator verb; the answer as JSON fields. Raises ConfigError for bad input and an unreachable engine."""
    from venue.control import CommandRefused, ControlClient, ControlError, ControlLost, ReferenceUsed

    try:
        with ControlClient(config.control_path) as client:
            return {"ok": True, **_verb(config, client, arguments)}
    except ReferenceUsed as error:
        return {"ok": False, "error": str(error), "used_by": error.seq}
    except ControlLost as error:
        return {"ok": False, "error": f"{error}; {_after_loss(arguments)}"}
    except CommandRefused as error:
        mend = MENDS.get((arguments.action, error.reason)) or MENDS.get(("", error.reason))
        return {"ok": False, "error": f"{error}: {mend}" if mend else str(error)}
    except ControlError as error:
        return {"ok": False, "error": str(error)}


def _after_loss(arguments: argparse.Namespace) -> str:
    """What to do when nobody knows whether it was done."""
    if arguments.action not in ("deposit", "withdraw"):
        return "it was done once or not at all: see `venue admin status`, then ask again"
    if arguments.ref:
        return "it was done once or not at all: ask again with the same --ref, which cannot move the money twice"
    return "it was done once or not at all: look at the account's balance before you ask again, or use --ref"


def _verb(config: Config, client: ControlClient, arguments: argparse.Namespace) -> dict[str, Any]:
    action = arguments.action
    if action == "status":
        return client.status()
    if action == "snapshot":
        return {"snapshot_seq": client.snapshot()}
    if action == "close-day":
        return {"expired": {i.symbol: client.time(i.id) for i in config.instruments}}
    if action in ("news", "unlock", "locks", "parents", "end-parent", "log-out", "reset-session"):
        return _session_verb(config, client, arguments)
    if action in ("phase", "limit", "kill", "rearm", "mark", "margin", "settle", "bust"):
        return _market_verb(config, client, arguments)
    if action == "mass-cancel":
        chosen = [instrument_named(config, arguments.symbol)] if arguments.symbol else list(config.instruments)
        account = account_numbered(config, arguments.account)
        return {"cancelled": {i.symbol: client.mass_cancel(account, i.id) for i in chosen}}
    account = account_numbered(config, arguments.account)
    asset = asset_named(config, arguments.asset)
    amount = units(asset, arguments.amount)
    if action == "deposit":
        return {"seq": client.deposit(account, asset.id, amount, arguments.ref)}
    return {"seq": client.withdraw(account, asset.id, amount, address(arguments.address), arguments.ref)}


def _session_verb(config: Config, client: ControlClient, arguments: argparse.Namespace) -> dict[str, Any]:
    session = getattr(arguments, "session", None)
    if session is not None and session not in {s.comp_id for _, s in config.sessions()}:
        known = ", ".join(s.comp_id for _, s in config.sessions())
        raise ConfigError(f"session {session!r} is unknown; this venue has {known}")
    if arguments.action == "news":
        return client.operate("news", text=arguments.text, session=session)
    if arguments.action == "unlock":
        return client.operate("unlock", name=arguments.name)
    if arguments.action in ("locks", "parents"):
        return client.operate(arguments.action)
    if arguments.action == "end-parent":
        return client.operate("end_parent", order_id=arguments.order_id, text=arguments.reason)
    return client.operate(arguments.action.replace("-", "_"), session=session, text=arguments.reason)


def _market_verb(config: Config, client: ControlClient, arguments: argparse.Namespace) -> dict[str, Any]:
    from venue.control_market import Market

    market = Market(config, client, approver=arguments.approver, reason=arguments.reason)
    if arguments.action == "phase":
        return market.phase(arguments)
    if arguments.action == "limit":
        return market.limit(arguments)
    if arguments.action == "mark":
        return market.mark(arguments.symbol, arguments.price)
    if arguments.action == "margin":
        return market.margin(arguments.account, arguments.symbol)
    if arguments.action == "bust":
        return market.bust(arguments.trade)
    if arguments.action == "settle":
        return market.settle(arguments.symbol, arguments.price)
    return (market.kill if arguments.action == "kill" else market.rearm)(arguments.what, arguments.name)


def address(text: str) -> bytes:
    """A 20-byte Ethereum address from its hexadecimal form. Raises ConfigError."""
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 20:
        raise ConfigError(f"address {text!r} must be 0x and 40 hexadecimal digits")
    return value


def order(config: Config, arguments: argparse.Namespace) -> int:
    """One order over FIX, as any broker sends it; prints every report as tag=value. Returns 0 when it was accepted.

    The session's sequence numbers are kept beside the configuration, so that the next call goes on where this one ends.
    """
    from fix_sessions.client import Broker, SessionLost

    session = next((s for _, s in config.sessions() if s.comp_id == arguments.session), None)
    if session is None:
        known = ", ".join(s.comp_id for _, s in config.sessions())
        raise ConfigError(f"session {arguments.session!r} is unknown; this venue has {known}")
    address_pair = config.fix.host, config.fix.port
    broker = Broker(*address_pair, session.comp_id, session.username, arguments.password, venue=config.venue.name)
    kept = config.path.parent / f"{session.comp_id}.numbers.json"
    if kept.exists():
        broker.next_out, broker.next_in = json.loads(kept.read_text())
    try:
        broker.log_on()
        clordid = broker.order(arguments.symbol, arguments.side, arguments.quantity, arguments.price)
        _print_reports(broker, clordid, arguments.seconds)
        broker.log_out()
    except (SessionLost, OSError) as error:
        print(f"venue: {config.fix.host}:{config.fix.port}: {error}", file=sys.stderr)
        return 1
    finally:
        if broker.logged_on:
            kept.write_text(json.dumps([broker.next_out, broker.next_in]))
    answers = [message for message in broker.inbox if message.get(11) == clordid.encode()]
    return 0 if answers and all(message.get(39) != b"8" for message in answers) else 1


def _print_reports(broker: Broker, clordid: str, seconds: float) -> None:
    """Prints what comes for this order until it is quiet."""
    shown = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        broker.poll(0.1)
        for message in broker.inbox[shown:]:
            if message.get(11) == clordid.encode():
                print(message.encode().replace(b"\x01", b"|").decode())
        shown = len(broker.inbox)
