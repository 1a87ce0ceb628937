"""What a reader needs beside the records to read a batch: codes, scales, ticks, lots, members.

The records hold numbers (symbol 2, account 7, 10025 ticks). The names and sizes behind them are written into every
archive file's metadata as they were when the batch began, so that a file can be read, and its columns checked, with
nothing else at hand. The sizes are the core's own (lot_size, tick_value); names come from the configuration. An
instrument that is set within a batch changes the sizes from that row on: see columns.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from venue.config import Config


class StaticDataError(ValueError):
    """The static data of an archive file cannot be read; the text says why."""


@dataclass(frozen=True)
class AssetData:
    """An asset's code and the decimals of its base unit."""

    number: int
    code: str
    scale: int


@dataclass(frozen=True)
class InstrumentData:
    """Names of an instrument and, once the core knows it, its sizes (all 0 before)."""

    number: int
    symbol: str
    isin: str
    currency: str
    base: int = 0
    quote: int = 0
    lot_size: int = 0
    tick_value: int = 0
    phase: int = 0  # as the batch began
    multiplier: str = "1"  # of a future: quote currency of one contract at a price of 1


@dataclass(frozen=True)
class MemberData:
    """A member's legal entity identifier and what belongs to it."""

    member: str
    lei: str
    accounts: tuple[int, ...]
    sessions: tuple[int, ...]


@dataclass(frozen=True)
class StaticData:
    """Everything a batch's columns were made with, besides its records."""

    venue: str
    mic: str
    limits: tuple[int, ...] = (0, 0, 0, 0, 0)  # of the core: symbols, accounts, assets, orders, levels
    assets: tuple[AssetData, ...] = ()
    instruments: tuple[InstrumentData, ...] = ()
    members: tuple[MemberData, ...] = field(default=())

    @classmethod
    def of(cls, config: Config, symbol_heads: Sequence[npt.NDArray[np.uint64]]) -> StaticData:
        """Names from the configuration; sizes and phase from slots 0 and 1 of each symbol of the core, in order."""
        limits = config.limits
        names = {instrument.id: instrument for instrument in config.instruments}
        instruments = []
        for number in range(max(len(symbol_heads), max(names, default=-1) + 1)):
            known = names.get(number)
            known_here = number < len(symbol_heads)
            sizes = [int(word) for word in symbol_heads[number][0]] if known_here else [0] * 8
            phase = int(symbol_heads[number][1][0]) if known_here else 0
            assert not known_here or sizes[0] == number, "symbols are walked in number order"
            symbol = known.symbol if known else f"SYMBOL{number}"
            isin, currency = (known.isin, known.currency) if known else ("", "")
            base, quote = sizes[1] & 0xFFFFFFFF, sizes[1] >> 32
            terms = base, quote, sizes[2], sizes[3], phase, f"{known.multiplier:f}" if known else "1"
            instruments.append(InstrumentData(number, symbol, isin, currency, *terms))
        return cls(
            venue=config.venue.name,
            mic=config.venue.mic,
            limits=(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels),
            assets=tuple(AssetData(asset.id, asset.code, asset.scale) for asset in config.assets),
            instruments=tuple(instruments),
            members=tuple(
                MemberData(m.id, m.lei, tuple(m.accounts), tuple(s.id for s in m.sessions)) for m in config.members
            ),
        )

    def to_json(self) -> str:
        """Canonical text: the same data gives the same bytes."""
        return _json_of(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> StaticData:
        """Read it back; raises StaticDataError for anything but what `to_json` writes."""
        try:
            data = json.loads(text)
            static = cls(
                venue=data["venue"],
                mic=data["mic"],
                limits=tuple(data["limits"]),
                assets=tuple(AssetData(**asset) for asset in data["assets"]),
                instruments=tuple(InstrumentData(**instrument) for instrument in data["instruments"]),
                members=tuple(
                    MemberData(m["member"], m["lei"], tuple(m["accounts"]), tuple(m["sessions"]))
                    for m in data["members"]
                ),
            )
            static.check()
        except (ValueError, KeyError, TypeError) as error:
            raise StaticDataError(f"static data is not what an archive writes: {error!r}") from error
        return static

    def check(self) -> None:
        """Raise StaticDataError unless types and bounds hold and numbers are dense from 0."""
        _require(isinstance(self.venue, str) and isinstance(self.mic, str), "venue and mic must be text")
        limits_are_sizes = all(type(n) is int and 0 <= n < 2**32 for n in self.limits)
        _require(len(self.limits) == 5 and limits_are_sizes, "limits must be five sizes")
        for number, asset in enumerate(self.assets):
            _require(asset.number == number and isinstance(asset.code, str), f"asset {number}: number or code")
            _require(type(asset.scale) is int and 0 <= asset.scale <= 30, f"asset {number}: scale must be 0..30")
        for number, instrument in enumerate(self.instruments):
            texts = (instrument.symbol, instrument.isin, instrument.currency)
            sizes = (instrument.base, instrument.quote, instrument.lot_size, instrument.tick_value, instrument.phase)
            _require(instrument.number == number, f"instrument {number}: numbers must be 0, 1, 2, ...")
            _require(
                _is_multiplier(instrument.multiplier), f"instrument {number}: multiplier must be a positive decimal"
            )
            _require(all(isinstance(text, str) for text in texts), f"instrument {number}: names must be text")
            _require(all(type(s) is int and 0 <= s < 2**64 for s in sizes), f"instrument {number}: sizes must be u64")
        for member in self.members:
            _require(isinstance(member.lei, str) and isinstance(member.member, str), "member names must be text")
            _require(all(type(n) is int and 0 <= n < 2**32 for n in member.accounts), f"accounts of {member.member}")
            _require(all(type(n) is int and 0 <= n < 2**16 for n in member.sessions), f"sessions of {member.member}")


@lru_cache(maxsize=4)  # the same from batch to batch, and slow to write down
def _json_of(static: StaticData) -> str:
    return json.dumps(asdict(static), sort_keys=True, separators=(",", ":"))


def _is_multiplier(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"\d{1,20}(\.\d{1,20})?", text) is not None and Fraction(text) > 0


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise StaticDataError(text)


def instrument_sizes(
    static: StaticData, base: int, quote: int, lot_size: int, tick_value: int, symbol: int = -1
) -> tuple[Fraction | None, Fraction | None, Fraction | None]:
    """Tick (price step), lot (quantity step) and quote unit of an instrument with these numbers; None when unknown.
    `symbol` says whose multiplier it is, if anybody's."""
    if base >= len(static.assets) or quote >= len(static.assets) or lot_size == 0:
        return None, None, None
    lot = Fraction(lot_size, 10 ** static.assets[base].scale)
    unit = Fraction(1, 10 ** static.assets[quote].scale)
    multiplier = Fraction(static.instruments[symbol].multiplier) if 0 <= symbol < len(static.instruments) else 1
    return tick_value * unit / lot / multiplier, lot, unit
