"""The records of the core as Python and numpy see them: codes, reasons and the 64-byte layouts.

Why: `core.h` is the contract; this is its other spelling, kept equal by a test that parses the header. Byte order is
little-endian everywhere. It must never define a code that the header does not have.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from enum import IntEnum, IntFlag

import numpy as np


class CommandKind(IntEnum):
    NEW = 1
    CANCEL = 2
    REPLACE = 3
    MASS_CANCEL = 4
    TIME = 5
    PHASE = 6
    INSTRUMENT = 7
    ACCOUNT = 8
    LIMIT = 9
    DEPOSIT = 10
    WITHDRAW = 11
    MARK = 12
    MARGIN = 13
    BUST = 14


class Side(IntEnum):
    NONE = 0
    BUY = 1
    SELL = 2


class OrdType(IntEnum):
    MARKET = 1
    LIMIT = 2
    STOP = 3
    STOP_LIMIT = 4
    MARKET_TO_LIMIT = 5


class Tif(IntEnum):
    DAY = 0
    GTC = 1
    AT_OPEN = 2
    IOC = 3
    FOK = 4
    GTD = 6
    AT_CLOSE = 7


class Phase(IntEnum):
    CLOSED = 0
    CONTINUOUS = 1
    PRE_OPEN = 2
    VOLATILITY = 3
    CLOSE_CALL = 4
    HALT = 5


class Smp(IntEnum):
    NONE = 0
    CANCEL_AGGRESSOR = 1
    CANCEL_RESTING = 2
    CANCEL_BOTH = 3
    DECREMENT = 4


class Limit(IntEnum):
    CREDIT = 0
    GROSS = 1
    OPEN_ORDERS = 2
    MESSAGES = 3
    DUPLICATE_NS = 4
    RESTRICTED = 5
    ORDER_QTY = 6
    ORDER_VALUE = 7
    COLLAR = 8
    KILL_SESSION = 9
    KILL_MEMBER = 10
    MARGIN = 11
    POSITION = 12


class Fact(IntFlag):
    COLD = 1
    WAITING = 2
    DORMANT = 4
    UNPRICED = 8
    FUTURE = 16
    CLOSING = 32
    WIDE = 64


class AssetUse(IntEnum):
    """What an asset is for; from CONTRACT on the contract of the future with number use - CONTRACT."""

    UNUSED = 0
    CASH = 1
    CONTRACT = 2


class Stage(IntEnum):
    """How far down the margin ladder a position is; the last two are said by events only."""

    NONE = 0
    CALLED = 1
    LIQUIDATED = 2
    TAKEN_OVER = 3
    SETTLED = 4


class CommandFlag(IntFlag):
    """One bit, read by the kind of command that carries it."""

    POST_ONLY = 1
    SLIDE = 2
    ALL_OR_NONE = 4
    BY_SESSION = 1
    TIME_CLOSE = 1
    TIME_EXPIRE = 2
    TIME_INDICATIVE = 4
    ACCOUNT_FROZEN = 1
    INSTRUMENT_CLOSED = 1
    INSTRUMENT_FUTURE = 2
    MARGIN_SETTLE = 1
    NO_UNCROSS = 1


class EventFlag(IntFlag):
    AGGRESSOR = 2
    PRIORITY_KEPT = 4
    AUCTION = 8


class EventKind(IntEnum):
    ACCEPTED = 1
    REJECTED = 2
    FILL = 3
    CANCELLED = 4
    REPLACED = 5
    CANCEL_REJECTED = 6
    EXPIRED = 7
    DEPOSITED = 8
    WITHDRAWN = 9
    INSTRUMENT_SET = 10
    ACCOUNT_SET = 11
    LIMIT_SET = 12
    CLOCK = 13
    MASS_CANCELLED = 14
    COMMAND_REJECTED = 15
    TRIGGERED = 16
    REFRESHED = 17
    RESTATED = 18
    PHASE = 19
    INDICATIVE = 20
    MARKED = 21
    POSITION = 22
    DEFICIT = 23
    MARGIN = 24
    BUSTED = 25


class Reason(IntEnum):
    """Why something was refused or taken off; names of the header with their REJECT_ or CANCEL_ prefix."""

    NONE = 0
    REJECT_UNKNOWN_SYMBOL = 1
    REJECT_UNKNOWN_ACCOUNT = 2
    REJECT_ACCOUNT_FROZEN = 3
    REJECT_BAD_SIDE = 4
    REJECT_BAD_ORD_TYPE = 5
    REJECT_BAD_TIF = 6
    REJECT_BAD_FLAGS = 7
    REJECT_BAD_QTY = 8
    REJECT_PRICE_OUT_OF_COLLAR = 9
    REJECT_BAD_MIN_QTY = 10
    REJECT_NOTIONAL_TOO_LARGE = 11
    REJECT_POST_ONLY_WOULD_CROSS = 12
    REJECT_INSUFFICIENT_FUNDS = 13
    REJECT_BOOK_FULL = 14
    REJECT_UNKNOWN_ORDER = 15
    REJECT_QTY_BELOW_FILLED = 16
    REJECT_BAD_INSTRUMENT = 17
    REJECT_BOOK_NOT_EMPTY = 18
    REJECT_BAD_ACCOUNT = 19
    REJECT_BAD_ASSET = 20
    REJECT_BAD_AMOUNT = 21
    REJECT_UNSUPPORTED = 22
    REJECT_BAD_PHASE = 23
    REJECT_BAD_STOP = 24
    REJECT_BAD_DISPLAY = 25
    REJECT_BAD_EXPIRY = 26
    REJECT_ORDER_TOO_LARGE = 27
    REJECT_VALUE_TOO_LARGE = 28
    REJECT_OPEN_ORDERS = 29
    REJECT_THROTTLED = 30
    REJECT_DUPLICATE = 31
    REJECT_RESTRICTED = 32
    REJECT_KILLED = 33
    REJECT_EXPOSURE = 34
    REJECT_POSITION = 35
    REJECT_MARGIN_CALLED = 36
    REJECT_NO_POSITION = 37
    REJECT_MARGIN_KEPT = 38
    REJECT_NO_MARK = 39
    REJECT_PAGES_FULL = 40
    REJECT_UNKNOWN_TRADE = 41
    CANCEL_IOC = 64
    CANCEL_FOK = 65
    CANCEL_MIN_QTY = 66
    CANCEL_FUNDS = 67
    CANCEL_MASS = 68
    CANCEL_SELF_MATCH = 69
    CANCEL_ALL_OR_NONE = 70
    CANCEL_NO_PRICE = 71
    CANCEL_VOLATILITY = 72
    CANCEL_AUCTION = 73
    CANCEL_MARGIN = 74
    CANCEL_PAGES_FULL = 75
    REJECT_SESSION_UNKNOWN_SYMBOL = 128
    REJECT_SESSION_PRICE_OFF_TICK = 129
    REJECT_SESSION_QTY_OFF_LOT = 130
    REJECT_SESSION_DUPLICATE_CLORDID = 131
    REJECT_SESSION_UNKNOWN_ORIG_CLORDID = 132
    REJECT_SESSION_ACCOUNT_NOT_PERMITTED = 133
    REJECT_SESSION_UNSUPPORTED_VALUE = 134
    REJECT_SESSION_PRICE_OVERFLOW = 135
    REJECT_SESSION_QTY_OVERFLOW = 136
    REJECT_SESSION_SYMBOL_MISMATCH = 137
    REJECT_SESSION_STALE = 138
    REJECT_SESSION_BAD_COMBINATION = 139
    REJECT_SESSION_NO_REFERENCE = 140


class CoreStatus(IntEnum):
    OK = 0
    BAD_CONFIG = 1
    BAD_SEQUENCE = 2
    BAD_STATE = 3
    MISSING = 4


class Invariant(IntEnum):
    """What `check` found broken first; each is explained in core.h."""

    COUNTS = 1
    INSTRUMENT = 2
    BITMAP = 3
    BEST = 4
    LINKS = 5
    AGGREGATE = 6
    ORDER = 7
    SLOTS = 8
    CROSSED = 9
    ACCOUNT = 10
    FUNDS = 11
    HOLDS = 12
    MONEY = 13
    CREDIT = 14
    LIMITS = 15
    POSITIONS = 16


REJECT_SESSION_FIRST = 128
SYMBOL_NONE = 0xFFFF
ORDER_SLOT_NONE = 0xFFFFFF
SYMBOLS_MAX = 4096
ACCOUNTS_MAX = 65536
ASSETS_MAX = 64
ORDERS_MAX = 262144
LEVELS_MAX = 262144
PAGE_LEVELS = 64
QTY_LOTS_MAX = (1 << 40) - 1
PRICE_TICKS_MAX = (1 << 40) - 1
AMOUNT_MAX = (1 << 62) - 1
FEE_BP_MAX = 10000
SEQ_MAX = (1 << 40) - 1
COLLAR_BP_MAX = 10000
ICEBERG_TRANCHES_MAX = 16
KILLED_SESSIONS_MAX = 256
POSITION_LOTS_MAX = (1 << 31) - 1
FUTURE_ORDERS_MAX = 131072
MARGIN_BP_MAX = 10000
FLAG_SMP_SHIFT = 4
ACCOUNT_KILLED = 2
MESSAGES_SECOND_NS = 1_000_000_000
STATE_VERSION = 2

COMMAND = np.dtype(
    [
        ("kind", "u1"),
        ("side", "u1"),
        ("ord_type", "u1"),
        ("tif", "u1"),
        ("flags", "u1"),
        ("precheck", "u1"),
        ("symbol", "<u2"),
        ("seq", "<u8"),
        ("time_ns", "<u8"),
        ("account", "<u4"),
        ("session", "<u2"),
        ("asset", "<u2"),
        ("order_id", "<u8"),
        ("price_ticks", "<u8"),
        ("qty_lots", "<u8"),
        ("aux", "<u8"),
    ]
)

EVENT = np.dtype(
    [
        ("kind", "u1"),
        ("reason", "u1"),
        ("side", "u1"),
        ("flags", "u1"),
        ("reserved", "<u2"),
        ("symbol", "<u2"),
        ("exec_id", "<u8"),
        ("account", "<u4"),
        ("session", "<u2"),
        ("asset", "<u2"),
        ("order_id", "<u8"),
        ("price_ticks", "<u8"),
        ("qty_lots", "<u8"),
        ("leaves_lots", "<u8"),
        ("aux", "<u8"),
    ]
)

SLOT = np.dtype((np.void, 64))
"""A 64-byte state slot as an opaque value; `walk_*` return (n, 8) arrays of its little-endian words."""


@dataclass(frozen=True)
class CoreConfig:
    """Capacities of a core: fixed for its life, part of its state and of every root over it."""

    symbols: int = 64
    accounts: int = 1024
    assets: int = 16
    orders: int = 4096
    levels: int = 4096

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("symbols", self.symbols, 1, SYMBOLS_MAX),
            ("accounts", self.accounts, 1, ACCOUNTS_MAX),
            ("assets", self.assets, 2, ASSETS_MAX),
            ("orders", self.orders, 64, ORDERS_MAX),
            ("levels", self.levels, 64, LEVELS_MAX),
        ):
            if not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"core configuration: {name} is {value!r}, must be a whole number in {low}..{high}")
            if name in ("orders", "levels") and value & (value - 1):
                raise ValueError(f"core configuration: {name} is {value}, must be a power of two")

    def words(self) -> tuple[int, ...]:
        """The five capacities in the order of `struct core_config`."""
        return astuple(self)


@dataclass(frozen=True)
class OrderView:
    """An open order as `find_order` shows it."""

    order_id: int
    leaves_lots: int
    price_ticks: int
    cum_lots: int
    account: int
    session: int
    side: int
    ord_type: int
    tif: int
    flags: int
    facts: int = 0
    hidden_lots: int = 0
    display_lots: int = 0
    stop_ticks: int = 0
    expiry_ns: int = 0


@dataclass(frozen=True)
class PositionView:
    """A position in a future as `position` shows it: lots and cost of a short one are below zero. Without a mark price
    its equity is its collateral and nothing is needed."""

    lots: int
    cost: int
    collateral: int
    equity: int
    needed: int
    stage: int
    open_buys: int
    open_sells: int


class CoreError(Exception):
    """Base of the core's errors. A refused command is not one: it is an event with a reason."""


class SequenceError(CoreError, ValueError):
    """A command's number is not the last one plus one, or its time goes backwards: nothing was changed."""


class StateError(CoreError, ValueError):
    """A snapshot or slots that are no state of this core."""


class MissingError(CoreError, KeyError):
    """A partial core was asked for a symbol or account that was left out of it; it cannot be used any more."""
