"""The venue's configuration: what `venue.toml` says, checked whole before anything starts.

One file describes the instruments, members, sessions and the settings of every process. A mistake in it is answered
with the place, what is wrong and how to mend it (`ConfigError`); nothing is guessed and no unknown key is ignored.
Numbers of symbols, accounts, assets and sessions are written in the file because they are part of the records: they
must never change meaning once the venue has traded.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
import typing
from base64 import b64decode
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import time
from decimal import Decimal, InvalidOperation
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cores.records import AMOUNT_MAX, FUTURE_ORDERS_MAX, POSITION_LOTS_MAX, PRICE_TICKS_MAX, QTY_LOTS_MAX
from venue.algorithms import profile_fault
from venue.config_sections import (
    AlgorithmsSection,
    ArchiveSection,
    ClockSection,
    DropCopySection,
    FixSection,
    JournalSection,
    LimitsSection,
    LogonSection,
    MarginSection,
    MarketDataSection,
    MetricsSection,
    PegsSection,
    ProtectionSection,
    ProvingSection,
    ScheduleSection,
    SettlementSection,
    TimetableSection,
    VenueSection,
)

T = TypeVar("T")

SESSION_ID_MAX = 65_535
SCALE_MAX = 12
PEGS_MAX = 1024  # as in engine_internal.h
ALGORITHM_SECONDS_MAX = 86_400
INT_BITS_MAX = 53
DECIMAL_PLACES_MAX = 30
NAME_BYTES_MAX = 64
ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
LEI = re.compile(r"[A-Z0-9]{18}[0-9]{2}")
SELF_MATCH = ("none", "cancel_aggressor", "cancel_resting", "cancel_both", "decrement")  # by number of enum smp
SESSION_KINDS = ("order_entry", "market_data", "drop_copy")
NAME = re.compile(r"[!-~]{1,64}")  # of whom FIX names: printable, without blanks
ARGON2 = re.compile(r"\$argon2(id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}")
INTERVAL_MS_MAX = 60_000
TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")


class ConfigError(ValueError):
    """The configuration cannot be used; the text says where, what and how to mend it."""


@dataclass(frozen=True)
class Asset:
    """Money or a security the venue keeps balances of; amounts are integers of 10**-scale."""

    id: int
    code: str
    scale: int = 2


@dataclass(frozen=True)
class Instrument:
    """An order book. `tick`, `lot`, `price_min` and `price_max` are decimal strings.

    `phase` is the one it is created in. Limits that are left out stay as an operator set them; 0 means none.
    A future (`kind`) is settled in cash: `base` is its contract, an asset of its own with scale 0; `multiplier` is what
    one contract is worth at a price of 1; margins are in basis points of the value, `position_max` in contracts.
    `volume_profile`: how the volume of a day in UTC is spread over equal parts of it, for VWAP; empty: evenly.
    """

    id: int
    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    price_min: Decimal
    price_max: Decimal
    isin: str = ""
    currency: str = ""
    phase: str = "continuous"
    dynamic_bp: int | None = None
    static_bp: int | None = None
    order_qty_max: Decimal | None = None
    order_value_max: Decimal | None = None
    kind: str = "spot"
    multiplier: Decimal = Decimal(1)
    initial_margin_bp: int | None = None
    maintenance_margin_bp: int | None = None
    position_max: int | None = None
    volume_profile: tuple[int, ...] = ()

    @property
    def is_future(self) -> bool:
        return self.kind == "future"

    @property
    def price_scale(self) -> int:
        """Decimals of a price, from the tick."""
        return max(0, -cast(int, self.tick.normalize().as_tuple().exponent))

    @property
    def qty_scale(self) -> int:
        """Decimals of a quantity, from the lot."""
        return max(0, -cast(int, self.lot.normalize().as_tuple().exponent))

    @property
    def min_ticks(self) -> int:
        return int(self.price_min / self.tick)

    @property
    def max_ticks(self) -> int:
        return int(self.price_max / self.tick)


@dataclass(frozen=True)
class Account:
    """A holder of balances. Fees in basis points, a maker's below zero is a rebate; `credit` is a decimal amount of
    `credit_asset`. Limits that are left out stay as an operator set them; 0 or none means no limit."""

    id: int
    name: str = ""
    maker_bp: int = 0
    taker_bp: int = 0
    credit: Decimal = Decimal(0)
    credit_asset: str = ""
    open_orders_max: int | None = None
    duplicate_ms: int | None = None
    restricted: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Session:
    """A FIX session of a member: TargetCompID is the venue's name, SenderCompID is `comp_id`. `kind` says which gateway
    serves it: order_entry, market_data or drop_copy. With `public_key` (Ed25519, 32 bytes in base64) a Logon must be
    signed; a session has this, a password, or both. `networks` (CIDR) are where it may log on from; none: anywhere.
    `messages_per_second` 0: any number. `cancel_on_disconnect` takes in the session's own Logout unless
    `cancel_on_logout` is false, and leaves GTC and GTD orders alone with `cancel_keeps_good_till`. A drop copy is of
    the member's own sessions, or of those of the members that `copies` names (a clearing firm's)."""

    id: int
    comp_id: str
    username: str
    password_hash: str = ""
    cancel_on_disconnect: bool = True
    kind: str = "order_entry"
    copies: tuple[str, ...] = ()
    public_key: str = ""
    networks: tuple[str, ...] = ()
    messages_per_second: int = 0
    cancel_on_logout: bool = True
    cancel_keeps_good_till: bool = False


@dataclass(frozen=True)
class Member:
    """A firm that trades: its accounts and its sessions. The account with the lowest number carries what counts for the
    whole member, and that number is its group in self-match prevention."""

    id: str
    accounts: tuple[int, ...]
    lei: str = ""
    self_match: str = "cancel_resting"
    messages_per_second: int | None = None
    mmp: ProtectionSection = field(default_factory=ProtectionSection)
    sessions: tuple[Session, ...] = ()


@dataclass(frozen=True)
class Config:
    """The whole file. `path` is where it was read from; `data_dir` is absolute."""

    venue: VenueSection = field(default_factory=VenueSection)
    limits: LimitsSection = field(default_factory=LimitsSection)
    journal: JournalSection = field(default_factory=JournalSection)
    fix: FixSection = field(default_factory=FixSection)
    logon: LogonSection = field(default_factory=LogonSection)
    schedule: ScheduleSection = field(default_factory=ScheduleSection)
    archive: ArchiveSection = field(default_factory=ArchiveSection)
    proving: ProvingSection = field(default_factory=ProvingSection)
    settlement: SettlementSection = field(default_factory=SettlementSection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    clock: ClockSection = field(default_factory=ClockSection)
    timetable: TimetableSection = field(default_factory=TimetableSection)
    margin: MarginSection = field(default_factory=MarginSection)
    pegs: PegsSection = field(default_factory=PegsSection)
    algorithms: AlgorithmsSection = field(default_factory=AlgorithmsSection)
    market_data: MarketDataSection = field(default_factory=MarketDataSection)
    drop_copy: DropCopySection = field(default_factory=DropCopySection)
    assets: tuple[Asset, ...] = ()
    instruments: tuple[Instrument, ...] = ()
    accounts: tuple[Account, ...] = ()
    members: tuple[Member, ...] = ()
    path: Path = field(default=Path("venue.toml"))

    @property
    def data_dir(self) -> Path:
        """Where everything the venue writes lies; relative to the configuration file."""
        return (self.path.parent / self.venue.data_dir).resolve()

    @property
    def journal_dir(self) -> Path:
        return self.data_dir / "journal"

    @property
    def archive_dir(self) -> Path:
        return self.data_dir / "archive"

    @property
    def control_path(self) -> Path:
        return self.data_dir / "control.sock"

    def asset(self, code: str) -> Asset:
        return next(asset for asset in self.assets if asset.code == code)

    def lot_size(self, instrument: Instrument) -> int:
        """Base units in one lot (exact; checked at load)."""
        return int(instrument.lot.scaleb(self.asset(instrument.base).scale))

    def tick_value(self, instrument: Instrument) -> int:
        """Quote units for one lot at a price of one tick (exact; checked at load)."""
        return int(self.tick_units(instrument))

    def tick_units(self, instrument: Instrument) -> Decimal:
        """The same before it is known to be whole."""
        worth = instrument.tick * instrument.lot * instrument.multiplier
        return worth.scaleb(self.asset(instrument.quote).scale)

    def position_bound(self, instrument: Instrument) -> int:
        """Most lots that anybody's position in a future can have (matching rule F2)."""
        worth = instrument.max_ticks * self.tick_value(instrument)
        if self.limits.orders > FUTURE_ORDERS_MAX:
            return 0
        return min(POSITION_LOTS_MAX, AMOUNT_MAX // 1024 // self.limits.accounts // worth)

    def member_of(self, account: int) -> Member | None:
        """The first member that has this account."""
        return next((member for member in self.members if account in member.accounts), None)

    def smp_group(self, member: Member) -> int:
        """The group of the member's accounts in self-match prevention, 0 for none."""
        return 0 if member.self_match == "none" or not member.accounts else min(member.accounts)

    def sessions(self, kind: str = "order_entry") -> list[tuple[Member, Session]]:
        """The sessions that one gateway serves."""
        return [(member, session) for member, session in self.all_sessions() if session.kind == kind]

    def all_sessions(self) -> list[tuple[Member, Session]]:
        return [(member, session) for member in self.members for session in member.sessions]

    def check(self) -> None:
        """Raises ConfigError for the first fact that does not fit the others."""
        _check(self)


def load(path: Path | str) -> Config:
    """Reads and checks a configuration file. Raises ConfigError."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        mend = "`venue init DIR` writes a commented one"
        raise ConfigError(f"{path}: cannot be read: {error.strerror}. {mend}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: byte {error.start} is no UTF-8") from error
    return loads(text, path)


def loads(text: str, path: Path = Path("venue.toml")) -> Config:
    """The configuration that `text` (TOML) says. Raises ConfigError."""
    try:
        data = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    if "path" in data:
        raise ConfigError(f"{path}: unknown key 'path'")
    config = _table(Config, data, str(path), "")
    object.__setattr__(config, "path", path.absolute())
    config.check()
    return config


def _table(kind: type[T], data: object, file: str, where: str) -> T:
    """One TOML table as a dataclass of `kind`; every key known, every type right."""
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: [{where}] must be a table")
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(cast(Any, kind)) if f.name != "path"}
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            mend = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(known))}"
            raise ConfigError(f"{file}: [{where or 'top level'}] unknown key '{key}'; {mend}")
    values: dict[str, Any] = {}
    for name, known_field in known.items():
        place = f"{where}.{name}" if where else name
        if name in data:
            values[name] = _value(hints[name], data[name], file, place)
        elif known_field.default is MISSING and known_field.default_factory is MISSING:
            raise ConfigError(f"{file}: [{where}] '{name}' is missing")
    return kind(**values)


def _value(kind: Any, value: object, file: str, place: str) -> Any:
    if is_dataclass(kind):
        return _table(cast(type[Any], kind), value, file, place)
    if typing.get_origin(kind) is types.UnionType:  # X | None: a key that may be left out has no other None
        return _value(typing.get_args(kind)[0], value, file, place)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{file}: {place} must be an array")
        inner = typing.get_args(kind)[0]
        return tuple(_value(inner, item, file, f"{place}[{i}]") for i, item in enumerate(value))
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is Decimal and isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        return _decimal(value, file, place)
    if kind is float and isinstance(value, int | Decimal) and not isinstance(value, bool):
        return float(_decimal(value, file, place))
    if isinstance(kind, type) and not isinstance(kind, types.GenericAlias):
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            if kind is int and abs(cast(int, value)) >> INT_BITS_MAX:
                raise ConfigError(f"{file}: {place} must be below 2^{INT_BITS_MAX}, is {value!r}")
            return value
        raise ConfigError(f"{file}: {place} must be of type {kind.__name__}, is {value!r}")
    raise AssertionError(f"no rule for {kind}")


def _decimal(value: str | int | Decimal, file: str, place: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ConfigError(f"{file}: {place} must be a decimal number, is {value!r}") from error
    if not number.is_finite():
        raise ConfigError(f"{file}: {place} must be a finite number, is {value!r}")
    if number and not -DECIMAL_PLACES_MAX <= number.adjusted() <= DECIMAL_PLACES_MAX:
        raise ConfigError(f"{file}: {place} has more than {DECIMAL_PLACES_MAX} digits or decimals, is {value!r}")
    return number


def _check(config: Config) -> None:
    file = str(config.path)
    _check_bounds(config, file)
    _check_dense("assets", [a.id for a in config.assets], config.limits.assets, file)
    _check_dense("instruments", [i.id for i in config.instruments], config.limits.symbols, file)
    _check_dense("accounts", [a.id for a in config.accounts], config.limits.accounts, file)
    _check_unique("assets.code", [a.code for a in config.assets], file)
    _check_unique("instruments.symbol", [i.symbol for i in config.instruments], file)
    _check_unique("members.id", [m.id for m in config.members], file)
    _check_names(config, file)
    for instrument in config.instruments:
        _check_instrument(config, instrument, f"{file}: instrument {instrument.symbol}")
    for account in config.accounts:
        if not (-10_000 <= account.maker_bp <= account.taker_bp and 0 <= account.taker_bp <= 10_000):
            raise ConfigError(
                f"{file}: account {account.id}: fees must satisfy -10000 <= maker_bp <= taker_bp and "
                "0 <= taker_bp <= 10000"
            )
        _check_account(config, account, f"{file}: account {account.id}")
        if account.credit and account.credit_asset not in {a.code for a in config.assets}:
            raise ConfigError(f"{file}: account {account.id}: credit needs credit_asset, one of the assets' codes")
        scale = config.asset(account.credit_asset).scale if account.credit else 0
        units = account.credit.scaleb(scale)
        if not 0 <= units <= AMOUNT_MAX or units != int(units):
            raise ConfigError(
                f"{file}: account {account.id}: credit must not be negative, nor above {AMOUNT_MAX} units, and have at"
                f" most {scale} decimals, is {account.credit}"
            )
    _check_members(config, file)
    _check_times(config, file)
    _check_schedule(config, file)


def _check_bounds(config: Config, file: str) -> None:
    limits = config.limits
    for name, low, high in (("symbols", 1, 4096), ("accounts", 1, 65536), ("assets", 2, 64)):
        if not low <= getattr(limits, name) <= high:
            raise ConfigError(f"{file}: limits.{name} must be from {low} to {high}")
    for name in ("orders", "levels"):
        value = getattr(limits, name)
        if not 64 <= value <= 262_144 or value & (value - 1):
            raise ConfigError(f"{file}: limits.{name} must be a power of two from 64 to 262144, is {value}")
    choices = (
        ("journal.sync", config.journal.sync, ("commit", "interval", "none")),
        ("fix.application", config.fix.application, ("native", "python")),
        ("proving.backend", config.proving.backend, ("none", "replay", "sp1")),
    )
    for place, value, allowed in choices:
        if value not in allowed:
            raise ConfigError(f"{file}: {place} must be one of {', '.join(allowed)}, is {value!r}")
    for place, value, low in (
        ("journal.interval_ms", config.journal.interval_ms, 1),
        ("journal.segment_bytes", config.journal.segment_bytes, 1 << 16),
        ("journal.snapshot_commands", config.journal.snapshot_commands, 1),
        ("archive.commands_per_batch", config.archive.commands_per_batch, 1),
        ("archive.seconds_per_batch", config.archive.seconds_per_batch, 1),
        ("fix.heartbeat_seconds_min", config.fix.heartbeat_seconds_min, 1),
        ("fix.heartbeat_seconds_max", config.fix.heartbeat_seconds_max, config.fix.heartbeat_seconds_min),
        ("fix.queue_bytes_max", config.fix.queue_bytes_max, 1 << 16),
        ("settlement.range_batches", config.settlement.range_batches, 1),
        ("drop_copy.reports_kept", config.drop_copy.reports_kept, 1_000),
        ("drop_copy.replay_reports_max", config.drop_copy.replay_reports_max, 1),
        ("market_data.conflation_ms_min", config.market_data.conflation_ms_min, 1),
        ("market_data.conflation_ms", config.market_data.conflation_ms, config.market_data.conflation_ms_min),
        ("market_data.slow_bytes", config.market_data.slow_bytes, 1 << 12),
        ("market_data.slow_seconds", config.market_data.slow_seconds, 0),
    ):
        if value < low:
            raise ConfigError(f"{file}: {place} must be at least {low}, is {value}")
    _check_market_data(config, file)
    if not NAME.fullmatch(config.venue.name):
        raise ConfigError(
            f"{file}: venue.name is its CompID and must have 1 to 64 printable ASCII characters without blanks"
        )
    for place, port in (
        ("fix.port", config.fix.port),
        ("market_data.port", config.market_data.port),
        ("drop_copy.port", config.drop_copy.port),
        ("metrics.port", config.metrics.port),
    ):
        if not 0 <= port <= 65_535:
            raise ConfigError(f"{file}: {place} must be a TCP port, is {port}")


def _check_market_data(config: Config, file: str) -> None:
    section = config.market_data
    for name in ("conflation_ms_min", "conflation_ms"):
        if getattr(section, name) > INTERVAL_MS_MAX:
            raise ConfigError(f"{file}: market_data.{name} must be at most {INTERVAL_MS_MAX}, a subscriber's own limit")
    if section.port and section.slow_bytes >= config.fix.queue_bytes_max:
        most = config.fix.queue_bytes_max
        raise ConfigError(
            f"{file}: market_data.slow_bytes must be below fix.queue_bytes_max, {most}, where a session is logged out"
        )


def _check_dense(place: str, numbers: list[int], limit: int, file: str) -> None:
    if numbers != list(range(len(numbers))):
        raise ConfigError(f"{file}: {place}: ids must be 0, 1, 2, ... in order, are {numbers[:8]}")
    if len(numbers) > limit:
        raise ConfigError(f"{file}: {place}: {len(numbers)} are more than limits allows ({limit})")


def _check_unique(place: str, values: list[Any], file: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(f"{file}: {place} {value!r} is used more than once")


def _check_names(config: Config, file: str) -> None:
    """What is sent over FIX and written into archives."""
    names = [("venue.mic", config.venue.mic)]
    names += [(f"assets: code of {asset.id}", asset.code) for asset in config.assets]
    names += [(f"instruments: symbol of {instrument.id}", instrument.symbol) for instrument in config.instruments]
    names += [("members: id", member.id) for member in config.members]
    for place, name in names:
        if not name or len(name) > NAME_BYTES_MAX or not (name.isascii() and name.isprintable()):
            raise ConfigError(f"{file}: {place} must be 1 to {NAME_BYTES_MAX} printable ASCII characters, is {name!r}")
    for instrument in config.instruments:
        if instrument.isin and not ISIN.fullmatch(instrument.isin):
            raise ConfigError(
                f"{file}: instrument {instrument.symbol}: isin {instrument.isin!r} has not the form of one"
            )
    for member in config.members:
        if member.lei and not LEI.fullmatch(member.lei):
            raise ConfigError(f"{file}: member {member.id}: lei {member.lei!r} has not the form of one: 20 characters")
    for asset in config.assets:
        if not 0 <= asset.scale <= SCALE_MAX:
            raise ConfigError(f"{file}: asset {asset.code}: scale must be from 0 to {SCALE_MAX}, is {asset.scale}")


def _check_instrument(config: Config, instrument: Instrument, place: str) -> None:
    codes = {asset.code for asset in config.assets}
    for side in (instrument.base, instrument.quote):
        if side not in codes:
            raise ConfigError(f"{place}: asset {side!r} is not among [[assets]]")
    if instrument.base == instrument.quote:
        raise ConfigError(f"{place}: base and quote are the same asset")
    if instrument.tick <= 0 or instrument.lot <= 0:
        raise ConfigError(f"{place}: tick and lot must be positive")
    most = PRICE_TICKS_MAX * instrument.tick
    for name, price in (("price_min", instrument.price_min), ("price_max", instrument.price_max)):
        if price > most:
            text = f"{place}: {name} must be at most {most}, {PRICE_TICKS_MAX} ticks; or take a larger tick"
            raise ConfigError(text)
        if price <= 0 or price % instrument.tick:
            raise ConfigError(f"{place}: {name} must be a positive multiple of tick {instrument.tick}")
    if instrument.volume_profile and (fault := profile_fault(instrument.volume_profile)):
        raise ConfigError(f"{place}: volume_profile: {fault}")
    if instrument.price_min > instrument.price_max:
        raise ConfigError(f"{place}: price_min {instrument.price_min} is above price_max {instrument.price_max}")
    lot_units = instrument.lot.scaleb(config.asset(instrument.base).scale)
    tick_units = config.tick_units(instrument)
    if lot_units != int(lot_units):
        raise ConfigError(f"{place}: a lot is not a whole number of base units; raise the scale of {instrument.base}")
    if tick_units != int(tick_units):
        raise ConfigError(f"{place}: tick x lot is no whole number of quote units; raise {instrument.quote}'s scale")
    if max(lot_units, tick_units) > AMOUNT_MAX:
        raise ConfigError(f"{place}: lot or tick x lot is more than {AMOUNT_MAX} units; lower a scale, or the lot")
    _check_future(config, instrument, place)
    _check_instrument_limits(config, instrument, place)


def _check_future(config: Config, instrument: Instrument, place: str) -> None:
    """Of a future: its contract, its margins; of anything else: that it has none."""
    initial, maintenance = instrument.initial_margin_bp, instrument.maintenance_margin_bp
    if instrument.kind not in ("spot", "future"):
        raise ConfigError(f"{place}: kind must be spot or future, is {instrument.kind!r}")
    if instrument.kind == "spot":
        if initial is not None or maintenance is not None or instrument.position_max is not None:
            raise ConfigError(f'{place}: margins and position_max are for kind = "future"')
        if instrument.multiplier != 1:
            raise ConfigError(f'{place}: multiplier is for kind = "future"; a spot instrument has its lot')
        return
    if instrument.lot != 1 or config.asset(instrument.base).scale != 0:
        raise ConfigError(
            f'{place}: a future trades whole contracts: lot = "1", and scale = 0 of asset {instrument.base}'
        )
    if instrument.multiplier <= 0:
        raise ConfigError(f"{place}: multiplier must be positive, is {instrument.multiplier}")
    for other in config.instruments:
        if other.id != instrument.id and instrument.base in (other.base, other.quote):
            raise ConfigError(f"{place}: asset {instrument.base} is its contract and can be no asset of {other.symbol}")
    if (initial is None) != (maintenance is None):
        raise ConfigError(f"{place}: initial_margin_bp and maintenance_margin_bp are set together")
    if initial is not None and maintenance is not None and not 1 <= maintenance <= initial <= 10_000:
        raise ConfigError(f"{place}: 1 <= maintenance_margin_bp <= initial_margin_bp <= 10000 must hold")
    if instrument.position_max is not None and not 0 <= instrument.position_max < 1 << 31:
        raise ConfigError(f"{place}: position_max must be from 0 (none) to {(1 << 31) - 1} contracts")
    bound = config.position_bound(instrument)
    if bound < 1:
        raise ConfigError(
            f"{place}: one contract at price_max is too large for limits.accounts = {config.limits.accounts}, or"
            f" limits.orders is above {FUTURE_ORDERS_MAX}, which a venue with futures cannot have"
        )


def _check_instrument_limits(config: Config, instrument: Instrument, place: str) -> None:
    if instrument.phase not in ("continuous", "closed"):
        raise ConfigError(f"{place}: phase must be continuous or closed, is {instrument.phase!r}")
    for name, bp in (("dynamic_bp", instrument.dynamic_bp), ("static_bp", instrument.static_bp)):
        if bp is not None and not 0 <= bp <= 10_000:
            raise ConfigError(f"{place}: {name} must be from 0 to 10000, is {bp}")
    if (instrument.dynamic_bp is None) != (instrument.static_bp is None):
        raise ConfigError(f"{place}: dynamic_bp and static_bp are set together; write both, 0 for none")
    qty, value = instrument.order_qty_max, instrument.order_value_max
    if qty is not None and qty > QTY_LOTS_MAX * instrument.lot:
        raise ConfigError(f"{place}: order_qty_max must be at most {QTY_LOTS_MAX * instrument.lot}, or 0 for none")
    if qty is not None and (qty < 0 or qty % instrument.lot):
        raise ConfigError(f"{place}: order_qty_max must be a multiple of lot {instrument.lot}, or 0 for none")
    units = None if value is None else value.scaleb(config.asset(instrument.quote).scale)
    if units is not None and (not 0 <= units <= AMOUNT_MAX or units != int(units)):
        raise ConfigError(f"{place}: order_value_max must be an amount of {instrument.quote}, or 0 for none")


def _check_account(config: Config, account: Account, place: str) -> None:
    for name, count in (("open_orders_max", account.open_orders_max), ("duplicate_ms", account.duplicate_ms)):
        if count is not None and not 0 <= count < 1 << 40:
            raise ConfigError(f"{place}: {name} must be from 0 to {(1 << 40) - 1}, is {count}")
    if account.credit_asset in {instrument.base for instrument in config.instruments if instrument.is_future}:
        raise ConfigError(
            f"{place}: credit_asset {account.credit_asset} is the contract of a future, which is no money"
        )
    for code in account.restricted or ():
        if code not in {asset.code for asset in config.assets}:
            raise ConfigError(f"{place}: restricted: asset {code!r} is not among [[assets]]")


def _check_times(config: Config, file: str) -> None:
    margin = config.margin
    if margin.check_seconds <= 0 or margin.mark_seconds < 0 or margin.call_seconds < 0:
        raise ConfigError(f"{file}: margin: check_seconds must be positive, the other seconds not negative")
    own = config.algorithms
    if own.parents_max < 0 or not 1 <= own.slice_seconds_min <= own.slice_seconds <= own.duration_seconds_max:
        raise ConfigError(
            f"{file}: algorithms: parents_max must not be negative, and slice_seconds_min, slice_seconds and "
            f"duration_seconds_max must be positive and in this order"
        )
    if own.duration_seconds_max > ALGORITHM_SECONDS_MAX:
        raise ConfigError(f"{file}: algorithms: duration_seconds_max must be at most {ALGORITHM_SECONDS_MAX}, a day")
    pegs = config.pegs
    if pegs.turn_seconds <= 0 or not 1 <= pegs.per_book_max <= PEGS_MAX or pegs.moves_per_turn < 1:
        raise ConfigError(
            f"{file}: pegs: turn_seconds must be positive, per_book_max from 1 to {PEGS_MAX}, moves_per_turn at least 1"
        )
    if config.clock.volatility_seconds < 0 or config.clock.indicative_seconds < 0:
        raise ConfigError(f"{file}: clock: seconds must not be negative; 0 switches it off")
    table = config.timetable
    try:
        ZoneInfo(table.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"{file}: timetable.time_zone {table.time_zone!r} is unknown; write one as Europe/Paris"
        ) from error
    if not all(1 <= day <= 7 for day in table.weekdays):
        raise ConfigError(f"{file}: timetable.weekdays are 1 (Monday) to 7 (Sunday)")
    named = [("clock.day_end", config.clock.day_end)] if config.clock.day_end else []
    for place, text in named + [(f"timetable.{name}", text) for name, text in table.times()]:
        if not TIME_OF_DAY.fullmatch(text):
            raise ConfigError(f"{file}: {place} must be a time of day as 09:00 or 09:00:30, is {text!r}")
    times = [text if len(text) == 8 else f"{text}:00" for _, text in table.times()]
    if any(one >= other for one, other in pairwise(times)):
        raise ConfigError(f"{file}: timetable: pre_open, open, close_call and close must follow one another in a day")
    if times and not (table.open and table.close):
        raise ConfigError(f"{file}: timetable: open and close are needed; leave out all four for no timetable")


def _check_networks(networks: tuple[str, ...], place: str) -> None:
    for text in networks:
        try:
            ip_network(text)
        except ValueError as error:
            raise ConfigError(f"{place}: networks are written as 192.0.2.0/24 or 2001:db8::/32: {error}") from None


def _check_session_policy(session: Session, place: str) -> None:
    if not session.password_hash and not session.public_key:
        raise ConfigError(f"{place}: it needs a password_hash (`venue hash-password` makes one), a public_key, or both")
    if not NAME.fullmatch(session.username):
        raise ConfigError(f"{place}: username must have 1 to 64 printable ASCII characters without blanks")
    if session.password_hash and not ARGON2.fullmatch(session.password_hash):
        raise ConfigError(f"{place}: password_hash must be an argon2 hash, all of it; `venue hash-password` makes one")
    try:
        key = b64decode(session.public_key, validate=True)
    except ValueError:
        key = b"?"
    if session.public_key and len(key) != 32:
        raise ConfigError(f"{place}: public_key must be an Ed25519 key, 32 bytes in base64")
    _check_networks(session.networks, place)
    if not 0 <= session.messages_per_second <= 1_000_000:
        raise ConfigError(f"{place}: messages_per_second must be from 0 (any number) to 1000000")


def _check_schedule(config: Config, file: str) -> None:
    schedule, logon = config.schedule, config.logon
    try:
        ZoneInfo(schedule.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # of a folder of zones
        raise ConfigError(
            f"{file}: schedule.time_zone {schedule.time_zone!r} is unknown; write one as Europe/Paris"
        ) from error
    for name in ("start", "end", "reset"):
        text = getattr(schedule, name)
        if text and not TIME_OF_DAY.fullmatch(text):
            raise ConfigError(f"{file}: schedule.{name} must be a time of day as 09:00 or 09:00:30, is {text!r}")
    hours = {time.fromisoformat(text) for text in (schedule.start, schedule.end) if text}
    if len(hours) == 1 or bool(schedule.start) != bool(schedule.end):
        raise ConfigError(f"{file}: schedule: start and end go together and differ; leave out both for all hours")
    if not schedule.weekdays or not all(1 <= day <= 7 for day in schedule.weekdays):
        raise ConfigError(f"{file}: schedule.weekdays are 1 (Monday) to 7 (Sunday)")
    if not 0 <= schedule.reset_weekday <= 7 or (schedule.reset_weekday and not schedule.reset):
        raise ConfigError(f"{file}: schedule.reset_weekday is 0 (every day) or 1 to 7, and needs a time in reset")
    if not all(1 <= minutes <= 1_440 for minutes in schedule.news_minutes):
        raise ConfigError(f"{file}: schedule.news_minutes are from 1 to 1440")
    for place, value, low, high in (
        ("schedule.generations_max", schedule.generations_max, 0, 1_000),
        ("logon.failures_max", logon.failures_max, 1, 1_000),
        ("logon.address_failures_max", logon.address_failures_max, logon.failures_max, 100_000),
        ("logon.window_seconds", logon.window_seconds, 1, 86_400),
        ("logon.signature_seconds", logon.signature_seconds, 1, 120),
        ("logon.password_length_min", logon.password_length_min, 8, 64),
        ("logon.password_days_max", logon.password_days_max, 0, 3_650),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{file}: {place} must be from {low} to {high}, is {value}")
    _check_networks(config.fix.proxy_networks, f"{file}: fix.proxy_networks")


def _check_protection(member: Member, file: str) -> None:
    place, mmp = f"{file}: member {member.id}: mmp", member.mmp
    if not 0 <= mmp.window_ms <= 3_600_000:
        raise ConfigError(f"{place}.window_ms must be from 1 to 3600000, or 0 for none, is {mmp.window_ms}")
    limits = mmp.quantity, mmp.delta, Decimal(mmp.trades)
    if min(limits) < 0:
        raise ConfigError(f"{place}: quantity, delta and trades must not be negative; 0 for no such limit")
    if (mmp.window_ms > 0) != (max(limits) > 0):
        raise ConfigError(f"{place}: window_ms and at least one of quantity, delta and trades are set together")


def _check_members(config: Config, file: str) -> None:
    accounts = {account.id for account in config.accounts}
    sessions = [session for _, session in config.all_sessions()]
    member_ids = {member.id for member in config.members}
    _check_unique("members.sessions.id", [s.id for s in sessions], file)
    _check_unique("members.sessions.comp_id", [s.comp_id for s in sessions], file)
    for session in sessions:
        if session.kind not in SESSION_KINDS:
            one_of = ", ".join(SESSION_KINDS)
            raise ConfigError(f"{file}: session {session.comp_id}: kind must be one of {one_of}, is {session.kind!r}")
        for copied in session.copies:
            if session.kind != "drop_copy" or copied not in member_ids:
                raise ConfigError(
                    f"{file}: session {session.comp_id}: copies is for a drop_copy session and names members of "
                    f"[[members]]; {copied!r} is not one, or kind is {session.kind!r}"
                )
        if not 1 <= session.id <= SESSION_ID_MAX:
            raise ConfigError(f"{file}: session {session.comp_id}: id must be from 1 to {SESSION_ID_MAX}")
        if not NAME.fullmatch(session.comp_id):
            raise ConfigError(
                f"{file}: session {session.id}: comp_id must have 1 to 64 printable ASCII characters without blanks, "
                f"is {session.comp_id!r}"
            )
        if session.comp_id == config.venue.name:
            raise ConfigError(f"{file}: session {session.comp_id}: CompID is the venue's own")
        _check_session_policy(session, f"{file}: session {session.comp_id}")
    owners: dict[int, str] = {}
    for member in config.members:
        if member.self_match not in SELF_MATCH:
            known = ", ".join(SELF_MATCH)
            raise ConfigError(
                f"{file}: member {member.id}: self_match must be one of {known}, is {member.self_match!r}"
            )
        if member.messages_per_second is not None and not 0 <= member.messages_per_second < 1 << 40:
            raise ConfigError(f"{file}: member {member.id}: messages_per_second must not be negative; 0 for no limit")
        _check_protection(member, file)
        for account_id in member.accounts:
            if account_id not in accounts or account_id == 0:
                raise ConfigError(f"{file}: member {member.id}: account {account_id} is not in [[accounts]] from 1 on")
            if account_id in owners:
                raise ConfigError(
                    f"{file}: member {member.id}: account {account_id} is {owners[account_id]}'s already: an account"
                    " has one member, which its limits and its self-match prevention are of"
                )
            owners[account_id] = member.id
        trades = any(session.kind == "order_entry" for session in member.sessions)
        if trades and not member.accounts:
            raise ConfigError(f"{file}: member {member.id}: a member with order entry sessions needs an account")
