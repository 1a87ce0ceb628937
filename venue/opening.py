"""Brings the core's instruments, accounts and credit lines in line with the configuration, at every start.

Only differences are submitted, as commands like all others: journaled, archived, proved. What the core refuses (an
instrument redefined while orders rest in its book, fees changed under open orders) ends the start with the reason,
before any broker is let in.
"""

from __future__ import annotations

from typing import Any, Protocol

from cores import CommandKind, Core, EventKind, Reason
from venue.config import Account, Config, ConfigError, Instrument

REFUSED = {EventKind.COMMAND_REJECTED}


class Writer(Protocol):
    """What is needed of the engine."""

    def call(self, command: Any = None, *, body: bytes = b"", **fields: Any) -> tuple[int, int, Any]: ...

    def state(self) -> tuple[int, bytes]: ...


def apply(engine: Writer, config: Config) -> int:
    """Submits what differs and waits until it is durable; returns how many commands that took. Raises ConfigError."""
    _, state = engine.state()
    core = Core.restore(state)
    commands = [command for instrument in config.instruments for command in _instrument(core, config, instrument)]
    commands += [command for account in config.accounts for command in _account(core, config, account)]
    for what, fields in commands:
        annex = f"verb=configure\x01actor=configuration\x01ref={what}\x01".encode()
        status, seq, events = engine.call(body=annex, **fields)
        if status:
            raise ConfigError(f"{config.path.name}: {what}: the engine takes no commands (status {status})")
        if int(events["kind"][0]) in REFUSED:
            reason = Reason(int(events["reason"][0])).name
            raise ConfigError(f"{config.path.name}: {what}: the core refused the change (command {seq}): {reason}")
    return len(commands)


Command = tuple[str, dict[str, int]]


def _instrument(core: Core, config: Config, instrument: Instrument) -> list[Command]:
    base, quote = config.asset(instrument.base).id, config.asset(instrument.quote).id
    wanted = [instrument.id, base | quote << 32, config.lot_size(instrument), config.tick_value(instrument)]
    wanted += [instrument.min_ticks, instrument.max_ticks]
    if instrument.id < core.symbol_count and core.walk_symbol(instrument.id)[0][:6].tolist() == wanted:
        return []
    fields = {
        "kind": CommandKind.INSTRUMENT,
        "symbol": instrument.id,
        "account": base,
        "session": quote & 0xFFFF,
        "asset": quote >> 16,
        "order_id": wanted[2],
        "price_ticks": wanted[4],
        "qty_lots": wanted[5],
        "aux": wanted[3],
    }
    return [(f"instrument {instrument.symbol}", fields)]


def _account(core: Core, config: Config, account: Account) -> list[Command]:
    commands: list[Command] = []
    fees = account.maker_bp | account.taker_bp << 32
    slots = core.walk_account(account.id).tolist() if account.id < core.account_count else []
    if not slots or slots[0][2] != fees:
        fields = {"kind": CommandKind.ACCOUNT, "account": account.id, "aux": fees}
        commands.append((f"account {account.id}", fields))
    if account.credit_asset:
        asset = config.asset(account.credit_asset)
        credit = int(account.credit.scaleb(asset.scale))
        held = next((slot[3] for slot in slots[1:] if slot[0] == asset.id), 0)
        if held != credit:
            fields = {"kind": CommandKind.LIMIT, "account": account.id, "asset": asset.id, "qty_lots": credit}
            commands.append((f"credit of account {account.id}", fields))
    return commands
