"""A seeded market for the archive's tests: real commands through the real core, with annexes as brokers send them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cores import COMMAND, CommandFlag, CommandKind, Core, CoreConfig, EventKind, OrdType, Side, Tif
from cores.records import Limit, Phase, Smp
from venue.batches import BatchRecord
from venue.config import Config, Instrument, loads
from venue.follower import Slice
from venue.sealer import Sealer

CONFIG = """
[venue]
name = "VENUE"
mic = "XDEM"
data_dir = "{data}"
[limits]
symbols = 4
accounts = 8
assets = 4
orders = 256
levels = 1024
[archive]
commands_per_batch = {commands}
seconds_per_batch = 3600
[settlement]
enabled = false
[[assets]]
id = 0
code = "USD"
scale = 4
[[assets]]
id = 1
code = "ACME"
scale = 0
[[assets]]
id = 2
code = "BOLT"
scale = 2
[[instruments]]
id = 0
symbol = "ACME"
isin = "XS0000000009"
base = "ACME"
quote = "USD"
currency = "USD"
tick = "0.01"
lot = "1"
price_min = "98.00"
price_max = "102.00"
[[instruments]]
id = 1
symbol = "BOLT"
base = "BOLT"
quote = "USD"
currency = "USD"
tick = "0.005"
lot = "0.1"
price_min = "9.000"
price_max = "11.000"
[[assets]]
id = 3
code = "ACMEZ6"
scale = 0
[[instruments]]
id = 2
symbol = "ACMEZ6"
base = "ACMEZ6"
quote = "USD"
currency = "USD"
tick = "0.01"
lot = "1"
price_min = "98.00"
price_max = "102.00"
kind = "future"
multiplier = "10"
initial_margin_bp = 100
maintenance_margin_bp = 50
[[accounts]]
id = 0
[[accounts]]
id = 1
taker_bp = 3
[[accounts]]
id = 2
maker_bp = 1
taker_bp = 2
[[members]]
id = "ALPHA"
lei = "5299000ALPHA00000A01"
accounts = [1]
[[members.sessions]]
id = 1
comp_id = "ALPHA1"
username = "a"
password_hash = "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"
[[members]]
id = "BRAVO"
lei = "5299000BRAVO00000B02"
accounts = [2]
[[members.sessions]]
id = 2
comp_id = "BRAVO1"
username = "b"
password_hash = "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"
"""


def config(data: Path, commands_per_batch: int = 100) -> Config:
    return loads(CONFIG.format(data=data, commands=commands_per_batch), data / "venue.toml")


def core_of(config: Config) -> Core:
    limits = config.limits
    return Core(CoreConfig(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels))


@dataclass
class Market:
    """Makes commands in sequence and applies them to a core of its own, so that it knows the orders it entered."""

    config: Config
    seed: int = 7
    seq: int = 0
    time_ns: int = 1_790_000_000_000_000_000
    gtd_ns_max: int = 50_000_000  # how far off an expiry may be
    orders: list[np.void] = field(default_factory=list)  # ACCEPTED events, some of orders that are gone by now
    trades: list[tuple[np.void, np.void]] = field(default_factory=list)  # FILLs of those that were not busted

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.core = core_of(self.config)

    def opening(self) -> list[tuple[np.ndarray, bytes]]:
        """Instruments but the future, accounts and deposits."""
        made = [self._instrument(instrument) for instrument in self.config.instruments if not instrument.is_future]
        for account in self.config.accounts:
            aux = account.maker_bp | account.taker_bp << 32
            group = {"order_id": account.id, "price_ticks": 2}
            made.append(self._command(CommandKind.ACCOUNT, b"verb=account\x01", account=account.id, aux=aux, **group))
        for account in (1, 2):
            for asset in range(3):
                made.append(self._money(CommandKind.DEPOSIT, account, asset, 10**9))
        made.append(self._money(CommandKind.LIMIT, 1, 0, 10**6))
        return made

    def scenes(self) -> list[tuple[np.ndarray, bytes]]:
        """What chance brings too seldom: an iceberg shows more, self-match prevention takes quantity off, a call says
        what it would trade, a Day order expires; the margin ladder of a future, down to what the venue pays; a trade in
        each is busted, and a bust refused."""
        made, spot = self._rare_in_spot(), self.trades[-1]
        made += [self.bust(spot), *self._liquidation(), self._money(CommandKind.DEPOSIT, 0, 0, 10**9)]
        order = {"ord_type": OrdType.LIMIT, "symbol": 2, "price_ticks": 9_900, "qty_lots": 3}
        for account, side in ((1, Side.SELL), (2, Side.BUY)):
            sides = {"account": account, "session": account, "side": side}
            made.append(self._command(CommandKind.NEW, b"35=D\x0111=F\x01", **order, **sides))
        return [*made, self.bust(self.trades[-1]), self.bust(spot, price_ticks=1)]

    def _rare_in_spot(self) -> list[tuple[np.ndarray, bytes]]:
        limit = {"ord_type": OrdType.LIMIT, "symbol": 1, "price_ticks": 2_010}
        iceberg = {**limit, "side": Side.SELL, "account": 1, "session": 1, "qty_lots": 10, "order_id": 2}
        sweep = {**limit, "side": Side.BUY, "account": 2, "session": 2, "qty_lots": 5}
        own = {**limit, "side": Side.BUY, "account": 1, "session": 1, "qty_lots": 8, "flags": Smp.DECREMENT << 4}
        clock = {"symbol": 1, "flags": CommandFlag.TIME_INDICATIVE | CommandFlag.TIME_CLOSE}
        return [
            *(self._command(CommandKind.NEW, b"35=D\x0111=S\x01", **order) for order in (iceberg, sweep, own)),
            self._command(CommandKind.PHASE, b"verb=phase\x01", symbol=1, ord_type=Phase.PRE_OPEN),
            self._command(CommandKind.TIME, b"verb=time\x01", **clock),
            self._command(CommandKind.PHASE, b"verb=phase\x01", symbol=1, ord_type=Phase.CONTINUOUS),
        ]

    def _liquidation(self) -> list[tuple[np.ndarray, bytes]]:
        """Account 3 has money for the margin alone, and the price falls to the end of the window."""
        future = self.config.instruments[2]
        made = [self._instrument(future), self._command(CommandKind.ACCOUNT, b"verb=account\x01", account=3)]
        made.append(self._money(CommandKind.DEPOSIT, 3, 0, 52_000_000))
        margins = {"ord_type": Limit.MARGIN, "qty_lots": future.initial_margin_bp, "aux": future.maintenance_margin_bp}
        made.append(self._command(CommandKind.LIMIT, b"verb=limit\x01", symbol=future.id, **margins))
        order = {"ord_type": OrdType.LIMIT, "symbol": future.id, "price_ticks": 10_000, "qty_lots": 500}
        for account, side in ((2, Side.SELL), (3, Side.BUY)):
            sides = {"account": account, "session": account % 3, "side": side}
            made.append(self._command(CommandKind.NEW, b"35=D\x0111=F\x01", **order, **sides))
        made.append(self._command(CommandKind.MARK, b"verb=mark\x01", symbol=future.id, price_ticks=9_800))
        step = {"symbol": future.id, "account": 3}
        return made + [self._command(CommandKind.MARGIN, b"verb=margin\x01", **step) for _ in range(3)]

    def bust(self, trade: tuple[np.void, np.void], **spoilt: int) -> tuple[np.ndarray, bytes]:
        """The BUST of a trade, or one that says something else."""
        buy, sell = sorted(trade, key=lambda fill: int(fill["side"]))
        self.trades = [other for other in self.trades if other[0]["exec_id"] != trade[0]["exec_id"]]
        fields = [b"verb=bust\x01actor=ops\x01"]
        for side, fill in ((b"buy", buy), (b"sell", sell)):
            exec_id, order_id = int(fill["exec_id"]), int(fill["order_id"])
            named = (side, order_id >> 24, side, order_id, side, exec_id >> 24, exec_id & 0xFFFFFF)
            fields.append(b"%s.11=C%d\x01%s.37=%d\x01%s.19=%d-%d\x01" % named)
        values = {
            "symbol": int(buy["symbol"]),
            "account": int(buy["account"]) | int(buy["session"]) << 16,
            "session": int(sell["account"]),
            "asset": int(sell["session"]),
            "order_id": int(trade[0]["exec_id"]),
            "price_ticks": int(buy["price_ticks"]),
            "qty_lots": int(buy["qty_lots"]),
            "aux": self._bp(buy) | self._bp(sell) << 32,
        }
        return self._command(CommandKind.BUST, b"".join(fields), **{**values, **spoilt})

    def _bp(self, fill: np.void) -> int:
        """Basis points that make the fill's fee, as a BUST has them."""
        instrument = self.config.instruments[int(fill["symbol"])]
        value = int(fill["price_ticks"]) * int(fill["qty_lots"]) * self.config.tick_value(instrument)
        fee = int(fill["aux"].astype(np.int64))
        size = next(bp for bp in range(100) if value * bp // 10_000 == abs(fee))
        return size if fee >= 0 else -size & 0xFFFFFFFF

    def _instrument(self, instrument: Instrument) -> tuple[np.ndarray, bytes]:
        return self._command(
            *(CommandKind.INSTRUMENT, b"verb=instrument\x01actor=ops\x01"),
            symbol=instrument.id,
            account=self.config.asset(instrument.base).id,
            session=self.config.asset(instrument.quote).id,
            order_id=self.config.lot_size(instrument),
            price_ticks=instrument.min_ticks,
            qty_lots=instrument.max_ticks,
            aux=self.config.tick_value(instrument),
            flags=CommandFlag.INSTRUMENT_FUTURE if instrument.is_future else 0,
        )

    def flow(self, count: int) -> list[tuple[np.ndarray, bytes]]:
        """Orders, cancels, replaces, money and a few mistakes."""
        return [self._next() for _ in range(count)]

    def _next(self) -> tuple[np.ndarray, bytes]:
        draw = self.random.random()
        if draw < 0.60 or not self.orders:
            return self._new()
        if draw < 0.78:
            return self._amend(CommandKind.CANCEL)
        if draw < 0.92:
            return self._amend(CommandKind.REPLACE)
        account = self.random.choice((1, 2))
        if draw < 0.94:
            return self._money(CommandKind.DEPOSIT, account, self.random.randrange(3), self.random.randrange(0, 5000))
        if draw < 0.96:
            return self._money(CommandKind.WITHDRAW, account, self.random.randrange(3), self.random.randrange(1, 50))
        if draw < 0.98:
            return self._market()
        if draw < 0.985:
            return self._money(CommandKind.LIMIT, 1, 60, 1)  # there is no asset 60
        if draw < 0.992 and self.trades:
            return self.bust(self.random.choice(self.trades))
        return self._command(
            *(CommandKind.MASS_CANCEL, b"35=q\x0111=M1\x01"),
            symbol=self.random.randrange(2),
            account=account,
            session=account,
        )

    def _market(self) -> tuple[np.ndarray, bytes]:
        """Time, phases and limits of an instrument."""
        symbol, draw = self.random.randrange(2), self.random.random()
        if draw < 0.4:
            flags = self.random.choice(
                (0, CommandFlag.TIME_CLOSE, CommandFlag.TIME_EXPIRE, CommandFlag.TIME_INDICATIVE)
            )
            return self._command(CommandKind.TIME, b"verb=time\x01", flags=int(flags), symbol=symbol)
        if draw < 0.9:
            calls = (Phase.PRE_OPEN, Phase.VOLATILITY, Phase.CLOSE_CALL)
            phase = self.random.choice((*calls, Phase.HALT, Phase.CLOSED, *[Phase.CONTINUOUS] * 8))
            return self._command(CommandKind.PHASE, b"verb=phase\x01", symbol=symbol, ord_type=phase)
        collar = {"ord_type": Limit.COLLAR, "qty_lots": self.random.choice((0, 10, 50))}
        return self._command(CommandKind.LIMIT, b"verb=limit\x01", symbol=symbol, **collar)

    def _terms(self, ord_type: OrdType, side: Side, symbol: int) -> dict[str, int]:
        """Validity, instructions, stop price or displayed quantity, expiry or MinQty: mostly what goes together."""
        tifs = {
            OrdType.LIMIT: (*Tif, Tif.GTC, Tif.GTC, Tif.GTC, Tif.DAY),
            OrdType.MARKET: (Tif.DAY, Tif.IOC, Tif.IOC, Tif.FOK, Tif.AT_OPEN, Tif.AT_CLOSE),
        }
        tif = self.random.choice(tifs.get(ord_type, (Tif.DAY, Tif.GTC, Tif.GTD)))
        terms = {"tif": int(tif), "aux": self.random.choice((0, 0, 0, 1))}
        if tif == Tif.GTD:
            terms["aux"] = self.time_ns + self.random.randrange(1, self.gtd_ns_max)
        if ord_type in (OrdType.STOP, OrdType.STOP_LIMIT):
            terms["aux"] = terms["aux"] if tif == Tif.GTD else 0
            terms["order_id"] = self._price(3 - side, symbol)
        elif ord_type == OrdType.LIMIT and self.random.random() < 0.15:
            terms["order_id"] = self.random.choice((1, 2, 3))
        draw = self.random.random()
        if ord_type == OrdType.LIMIT and draw < 0.1:
            terms["flags"] = self.random.choice((1, 3, 4))
        elif draw > 0.9:
            terms["flags"] = self.random.choice((1, 2, 3, 4)) << 4
        return terms

    def _new(self) -> tuple[np.ndarray, bytes]:
        account, symbol = self.random.choice((1, 2)), self.random.randrange(2)
        side = self.random.choice((Side.BUY, Side.SELL))
        ord_type = self.random.choices(list(OrdType), (1, 12, 2, 2, 1))[0]
        qty = self.random.choice((1, 2, 5, 10, 10, 0))
        precheck = 131 if self.random.random() < 0.03 else 0
        body = f"35=D\x0111=C{self.seq + 1}\x0155=S{symbol}\x0154={int(side)}\x01{self._parties()}"
        return self._command(
            *(CommandKind.NEW, body.encode()),
            side=side,
            ord_type=ord_type,
            precheck=precheck,
            symbol=symbol if self.random.random() < 0.99 else 0xFFFF,
            account=account,
            session=account,
            price_ticks=self._price(side, symbol) if ord_type in (OrdType.LIMIT, OrdType.STOP_LIMIT) else 0,
            qty_lots=qty,
            **self._terms(ord_type, side, symbol),
        )

    def _amend(self, kind: CommandKind) -> tuple[np.ndarray, bytes]:
        order = self.random.choice(self.orders[-30:])
        symbol, account, qty = int(order["symbol"]), int(order["account"]), int(order["qty_lots"])
        letter = "F" if kind == CommandKind.CANCEL else "G"
        return self._command(
            *(kind, f"35={letter}\x0111=C{self.seq + 1}\x0141=C{int(order['exec_id']) >> 24}\x01".encode()),
            symbol=symbol,
            account=account,
            session=account,
            side=int(order["side"]),
            order_id=int(order["order_id"]),
            price_ticks=self._price(int(order["side"]), symbol) if kind == CommandKind.REPLACE else 0,
            qty_lots=self.random.choice((qty, qty + 3, 1)) if kind == CommandKind.REPLACE else 0,
            aux=self.random.choice((0, self._price(1, symbol))) if kind == CommandKind.REPLACE else 0,
        )

    def _parties(self) -> str:
        """Whom the order is for, as RTS 24 asks; not every member says everything."""
        fields = [f"528={self.random.choice('PRA')}"]
        if self.random.random() < 0.3:
            fields.append("1724=5")
        if self.random.random() < 0.3:
            fields.append("529=1 5")
        roles = [role for role in (3, 12, 26, 122) if self.random.random() < 0.6]
        fields.append(f"453={len(roles)}")
        for role in roles:
            fields.append(f"448=P{role}-{self.random.randrange(4)}\x01447=D\x01452={role}")
        if 12 in roles:
            fields.append(f"583=T{len(roles)}")
        return "".join(field + "\x01" for field in fields)

    def _price(self, side: int, symbol: int) -> int:
        """Mostly beside the middle, sometimes across it."""
        away = self.random.randrange(-3, 20)
        return (10_000 if symbol == 0 else 2_000) + (-away if side == Side.BUY else away)

    def _money(self, kind: CommandKind, account: int, asset: int, amount: int) -> tuple[np.ndarray, bytes]:
        address: dict[str, int] = {}
        if kind == CommandKind.WITHDRAW:
            address = {"order_id": self.random.getrandbits(64), "price_ticks": 2**63 + 5, "aux": 2**32 - 1}
        return self._command(kind, b"verb=money\x01", account=account, asset=asset, qty_lots=amount, **address)

    def _command(self, kind: CommandKind, body: bytes, **values: int) -> tuple[np.ndarray, bytes]:
        self.seq += 1
        self.time_ns += self.random.randrange(0, 2_000_000)
        record = np.zeros(1, COMMAND)
        record["kind"], record["seq"], record["time_ns"] = kind, self.seq, self.time_ns
        for name, value in values.items():
            record[name] = value
        events, _ = self.core.apply(record)
        self.orders.extend(events[events["kind"] == EventKind.ACCEPTED])
        fills = events[events["kind"] == EventKind.FILL]
        self.trades.extend(zip(fills[::2], fills[1::2], strict=True))
        return record, self.random.randbytes(16) + body


def joined(made: list[tuple[np.ndarray, bytes]]) -> Slice:
    ends = np.cumsum([len(annex) for _, annex in made], dtype=np.uint64)
    return Slice(np.concatenate([c for c, _ in made]), b"".join(annex for _, annex in made), ends)


class MemoryFollower:
    """A follower over commands at hand."""

    def __init__(self, made: list[tuple[np.ndarray, bytes]], from_seq: int) -> None:
        self.made, self.at = made, from_seq - 1

    @property
    def lag(self) -> int:
        return len(self.made) - self.at

    def poll(self, limit: int) -> Slice:
        part = self.made[self.at : self.at + limit]
        self.at += len(part)
        return joined(part) if part else Slice(np.zeros(0, COMMAND), b"", np.zeros(0, np.uint64))


def sealer(config: Config, made: list[tuple[np.ndarray, bytes]], **options: Any) -> Sealer:
    return Sealer(config, follow=lambda _, from_seq: MemoryFollower(made, from_seq), **options)


def sealed(folder: Path, commands: int = 600, commands_per_batch: int = 150, seed: int = 7) -> Config:
    """A sealed archive of a seeded market."""
    chosen = config(folder, commands_per_batch)
    market = Market(chosen, seed)
    opening, scenes = market.opening(), market.scenes()
    drained(chosen, opening + scenes + market.flow(commands - len(scenes)))
    return chosen


def drained(config: Config, made: list[tuple[np.ndarray, bytes]], **options: Any) -> None:
    """Seals everything, as a process would that then ends."""
    one = sealer(config, made, **options)
    try:
        one.drain()
        one.check()
        one.archive.check()
    finally:
        one.close()


def started(config: Config, made: list[tuple[np.ndarray, bytes]]) -> None:
    """Starts on what is there, checks and ends."""
    one = sealer(config, made)
    one.check()
    one.close()


def published_seq(config: Config) -> int:
    """The last sequence number in a published batch."""
    names = sorted(config.archive_dir.glob("*.record"))
    return BatchRecord.from_bytes(names[-1].read_bytes()).last_seq if names else 0
