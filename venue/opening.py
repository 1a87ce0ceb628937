"""Brings the core's instruments, accounts and limits in line with the configuration, at every start.

Only differences are submitted, as commands like all others: journaled, archived, proved. What the core refuses (an
instrument redefined while orders rest in its book, fees changed under open orders) ends the start with the reason,
before any broker is let in. A limit that the configuration leaves out stays as an operator set it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from cores import CommandFlag, CommandKind, Core, EventKind, Reason
from cores.records import Limit
from venue.config import SELF_MATCH, Account, Config, ConfigError, Instrument

REFUSED = {EventKind.COMMAND_REJECTED}
HALF = 0xFFFFFFFF
NS_PER_MS = 1_000_000


class Writer(Protocol):
    """What is needed of the engine."""

    def call(self, command: Any = None, *, body: bytes = b"", **fields: Any) -> tuple[int, int, Any]: ...

    def state(self) -> tuple[int, bytes]: ...


@dataclass(frozen=True)
class InstrumentState:
    """An instrument as the core has it: the names of the words in its first two slots (core.h, canonical state)."""

    terms: tuple[int, ...]  # number, base | quote << 32, lot_size, tick_value, min_ticks, max_ticks
    phase: int
    collars: int
    order_qty_max: int
    order_value_max: int
    margins: int = 0  # of a future
    position_max: int = 0

    @classmethod
    def of(cls, core: Core, number: int) -> InstrumentState | None:
        if number >= core.symbol_count:
            return None
        head, market, *rest = core.walk_symbol(number)[:3].tolist()
        future = rest[0][1:3] if market[6] else (0, 0)
        return cls(tuple(head[:6]), market[0], market[3], market[4], market[5], *future)


@dataclass(frozen=True)
class AccountState:
    """An account as the core has it."""

    fees: int = 0
    member: int = -1
    smp_group: int = 0
    smp: int = 0
    limits: dict[Limit, int] = field(default_factory=dict)
    credit: dict[int, int] = field(default_factory=dict)  # by asset

    @classmethod
    def of(cls, core: Core, number: int) -> AccountState | None:
        if number >= core.account_count:
            return None
        head, counts, *rest = core.walk_account(number).tolist()
        limits = {
            Limit.OPEN_ORDERS: counts[1],
            Limit.MESSAGES: counts[2],
            Limit.RESTRICTED: counts[5],
            Limit.DUPLICATE_NS: counts[6],
        }
        positions = rest[1:] if counts[6] else rest
        return cls(head[2], head[4], head[5], head[6], limits, {slot[0]: slot[3] for slot in positions})


Command = tuple[str, dict[str, int]]


def apply(engine: Writer, config: Config) -> int:
    """Submits what differs and waits until it is durable; returns how many commands that took. Raises ConfigError."""
    _, state = engine.state()
    core = Core.restore(state)
    commands = [command for instrument in config.instruments for command in _instrument(core, config, instrument)]
    commands += [command for account in config.accounts for command in _account(core, config, account)]
    commands += [command for account in config.accounts for command in _limits(core, config, account)]
    for what, fields in commands:
        annex = f"verb=configure\x01actor=configuration\x01ref={what}\x01".encode()
        status, seq, events = engine.call(body=annex, **fields)
        if status:
            raise ConfigError(f"{config.path.name}: {what}: the engine takes no commands (status {status})")
        if int(events["kind"][0]) in REFUSED:
            reason = Reason(int(events["reason"][0])).name
            raise ConfigError(f"{config.path.name}: {what}: the core refused the change (command {seq}): {reason}")
    return len(commands)


def _instrument(core: Core, config: Config, instrument: Instrument) -> list[Command]:
    base, quote = config.asset(instrument.base).id, config.asset(instrument.quote).id
    sizes = config.lot_size(instrument), config.tick_value(instrument), instrument.min_ticks, instrument.max_ticks
    wanted = instrument.id, base | quote << 32, *sizes
    found = InstrumentState.of(core, instrument.id)
    commands: list[Command] = []
    if found is None or found.terms != wanted:
        closed = CommandFlag.INSTRUMENT_CLOSED if instrument.phase == "closed" else 0
        future = CommandFlag.INSTRUMENT_FUTURE if instrument.is_future else 0
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
            "flags": closed | future,
        }
        commands.append((f"instrument {instrument.symbol}", fields))
    for kind, amount, aux, now in _instrument_limits(config, instrument, found):
        if amount | aux << 32 != now:
            what = f"{kind.name.lower()} of instrument {instrument.symbol}"
            commands.append((what, _limit(kind, symbol=instrument.id, qty_lots=amount, aux=aux)))
    return commands


def _instrument_limits(
    config: Config, instrument: Instrument, found: InstrumentState | None
) -> list[tuple[Limit, int, int, int]]:
    """(kind, amount, aux, what the core has) of the limits that the configuration sets."""
    limits = []
    if instrument.dynamic_bp is not None and instrument.static_bp is not None:
        now = found.collars if found else 0
        limits.append((Limit.COLLAR, instrument.dynamic_bp, instrument.static_bp, now))
    if instrument.order_qty_max is not None:
        lots = int(instrument.order_qty_max / instrument.lot)
        limits.append((Limit.ORDER_QTY, lots, 0, found.order_qty_max if found else 0))
    if instrument.order_value_max is not None:
        units = int(instrument.order_value_max.scaleb(config.asset(instrument.quote).scale))
        limits.append((Limit.ORDER_VALUE, units, 0, found.order_value_max if found else 0))
    if instrument.initial_margin_bp is not None and instrument.maintenance_margin_bp is not None:
        margins = instrument.initial_margin_bp, instrument.maintenance_margin_bp
        limits.append((Limit.MARGIN, *margins, found.margins if found else 0))
    if instrument.position_max is not None:
        limits.append((Limit.POSITION, instrument.position_max, 0, found.position_max if found else 0))
    return limits


def account_terms(config: Config, account: Account) -> dict[str, int]:
    """The fields of an ACCOUNT command that says what the configuration says."""
    member = config.member_of(account.id)
    return {
        "kind": CommandKind.ACCOUNT,
        "account": account.id,
        "order_id": config.smp_group(member) if member else 0,
        "price_ticks": SELF_MATCH.index(member.self_match) if member else 0,
        "qty_lots": min(member.accounts) if member else account.id,
        "aux": account.maker_bp & HALF | account.taker_bp << 32,
    }


def _account(core: Core, config: Config, account: Account) -> list[Command]:
    wanted, found = account_terms(config, account), AccountState.of(core, account.id)
    terms = (wanted["aux"], wanted["qty_lots"], wanted["order_id"], wanted["price_ticks"])
    if found is not None and (found.fees, found.member, found.smp_group, found.smp) == terms:
        return []
    return [(f"account {account.id}", wanted)]


def _limits(core: Core, config: Config, account: Account) -> list[Command]:
    found = AccountState.of(core, account.id) or AccountState()
    member = config.member_of(account.id)
    own = member is not None and account.id == min(member.accounts)
    wanted = {
        Limit.OPEN_ORDERS: account.open_orders_max,
        Limit.MESSAGES: member.messages_per_second if member and own else None,
        Limit.DUPLICATE_NS: None if account.duplicate_ms is None else account.duplicate_ms * NS_PER_MS,
        Limit.RESTRICTED: None
        if account.restricted is None
        else sum(1 << config.asset(code).id for code in set(account.restricted)),
    }
    commands = [
        (f"{kind.name.lower()} of account {account.id}", _limit(kind, account=account.id, qty_lots=amount))
        for kind, amount in wanted.items()
        if amount is not None and amount != found.limits.get(kind, 0)
    ]
    if account.credit_asset:
        asset = config.asset(account.credit_asset)
        credit = int(account.credit.scaleb(asset.scale))
        if found.credit.get(asset.id, 0) != credit:
            fields = _limit(Limit.CREDIT, account=account.id, asset=asset.id, qty_lots=credit)
            commands.append((f"credit of account {account.id}", fields))
    return commands


def _limit(kind: Limit, **fields: int) -> dict[str, int]:
    return {"kind": CommandKind.LIMIT, "ord_type": kind, **fields}
