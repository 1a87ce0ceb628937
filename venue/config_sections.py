"""The tables of the configuration that stand alone: one class a table, one field a key, each with its default.

What belongs to assets, instruments, accounts and members, and all checks, is in `venue.config`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path


@dataclass(frozen=True)
class VenueSection:
    name: str = "VENUE"
    mic: str = "XXXX"
    data_dir: Path = Path("data")


@dataclass(frozen=True)
class LimitsSection:
    """Sizes of the core's arena; part of the state, so fixed once the venue has traded."""

    symbols: int = 16
    accounts: int = 256
    assets: int = 16
    orders: int = 16_384
    levels: int = 16_384


@dataclass(frozen=True)
class JournalSection:
    sync: str = "commit"
    interval_ms: int = 5
    segment_bytes: int = 64 << 20
    snapshot_commands: int = 1_000_000


@dataclass(frozen=True)
class FixSection:
    """`proxy_networks`: where TLS terminators connect from (CIDR); when there are any, every connection, to the market
    data and drop-copy gateways too, must come from one of them and begin with a PROXY header, version 1 or 2, that says
    who is behind it."""

    host: str = "127.0.0.1"
    port: int = 5001
    application: str = "native"
    heartbeat_seconds_min: int = 1
    heartbeat_seconds_max: int = 120
    queue_bytes_max: int = 8 << 20
    proxy_networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogonSection:
    """Who is let in. Failures are counted for a CompID from one address (of IPv6, a /64), and for an address over
    all CompIDs, within `window_seconds`; a lock lasts as long. 0 days: passwords do not age."""

    failures_max: int = 5
    address_failures_max: int = 50
    window_seconds: int = 300
    signature_seconds: int = 30
    password_length_min: int = 12
    password_days_max: int = 0


@dataclass(frozen=True)
class ScheduleSection:
    """When sessions may be logged on, and when their numbers begin anew. `start` and `end` empty: at all hours of the
    weekdays. `reset` is a time of day, `reset_weekday` 0 every day or 1 (Monday) to 7; empty: never by itself.
    `news_minutes`: how long before an end or a reset News(B) says so."""

    time_zone: str = "UTC"
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    start: str = ""
    end: str = ""
    reset: str = ""
    reset_weekday: int = 0
    news_minutes: tuple[int, ...] = (15, 5, 1)
    generations_max: int = 4


@dataclass(frozen=True)
class ArchiveSection:
    commands_per_batch: int = 1_000
    seconds_per_batch: int = 30
    uri: str = ""


@dataclass(frozen=True)
class ProvingSection:
    backend: str = "replay"


@dataclass(frozen=True)
class SettlementSection:
    """`chain`: `eth-tester://` (embedded) or a JSON-RPC URL. `simulated_finality_blocks` must be set on a chain that
    has no finality of its own, else batches stop at `mined`. `ledger_url` empty: the embedded PostgreSQL."""

    enabled: bool = True
    chain: str = "eth-tester://"
    simulated_finality_blocks: int = 0
    ledger_url: str = ""
    range_batches: int = 8
    range_seconds: int = 10
    poll_seconds: float = 1.0


@dataclass(frozen=True)
class ClockSection:
    """What the engine's process does by the clock. 0 or an empty time: nothing, an operator does it."""

    volatility_seconds: int = 30
    indicative_seconds: int = 1
    day_end: str = ""


@dataclass(frozen=True)
class MarginSection:
    """The margin service. `mark_seconds`: how often a future is marked at its last price (0: an operator marks);
    `call_seconds`: how long after a margin call the position may wait for money before it is liquidated."""

    check_seconds: float = 1.0
    mark_seconds: float = 0.0
    call_seconds: float = 30.0


@dataclass(frozen=True)
class PegsSection:
    """The service that moves pegged orders. A look every `turn_seconds` at each book that has some; `per_book_max`: how
    many a book takes; `moves_per_turn`: how many prices of a book are moved in one look."""

    turn_seconds: float = 0.01
    per_book_max: int = 256
    moves_per_turn: int = 64


@dataclass(frozen=True)
class AlgorithmsSection:
    """Execution algorithms of the members, TargetStrategy(847). `parents_max`: how many a session may have at work, 0:
    none are served; a parent lasts at most `duration_seconds_max`; `slice_seconds` is for those that name none."""

    parents_max: int = 32
    duration_seconds_max: int = 43_200
    slice_seconds: int = 30
    slice_seconds_min: int = 1


@dataclass(frozen=True)
class TimetableSection:
    """Times of day at which every instrument changes its phase; empty: no timetable, an operator does it."""

    time_zone: str = "UTC"
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5)
    pre_open: str = ""
    open: str = ""
    close_call: str = ""
    close: str = ""

    def times(self) -> list[tuple[str, str]]:
        """(what, time of day) of those that are set, in their order."""
        names = ("pre_open", "open", "close_call", "close")
        return [(name, getattr(self, name)) for name in names if getattr(self, name)]


@dataclass(frozen=True)
class MetricsSection:
    """`/metrics` of the engine process; archive, settlement and market data processes take the next ports. 0: off."""

    host: str = "127.0.0.1"
    port: int = 0


@dataclass(frozen=True)
class MarketDataSection:
    """The market data gateway, a follower with a FIX port of its own. Port 0: not run. `conflation_ms` is the interval
    of a subscriber that names none. A session with more than `slow_bytes` unread gets no updates until it has read;
    after `slow_seconds` of that it is logged out."""

    host: str = "127.0.0.1"
    port: int = 0
    conflation_ms: int = 100
    conflation_ms_min: int = 5
    slow_bytes: int = 256 << 10
    slow_seconds: float = 10.0


@dataclass(frozen=True)
class DropCopySection:
    """The drop-copy gateway, a follower with a FIX port of its own. Port 0: not run. `reports_kept`: how many reports
    of all sessions, at least half of them, can be replayed; `replay_reports_max`: most copies for one request."""

    host: str = "127.0.0.1"
    port: int = 0
    reports_kept: int = 1_000_000
    replay_reports_max: int = 100_000


@dataclass(frozen=True)
class ProtectionSection:
    """Market-maker protection of a member's quotes, for each session and instrument: what they may trade in a window of
    time before all of them are pulled. `window_ms` 0: none; a limit of 0: no such limit."""

    window_ms: int = 0
    quantity: Decimal = Decimal(0)
    delta: Decimal = Decimal(0)
    trades: int = 0
