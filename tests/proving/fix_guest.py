"""Batches for the guest's tests: one that walks through every rule of the core, and random ones."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from cores._core import Core

from cores import CommandKind, OrdType, Side, Tif
from cores.batch import Sealed, seal
from tests.cores.fix_cores import SMALL, Play, account, deposit, generate, instrument, market, new, setup_fields

NO_DEPOSITS = bytes(32)
BUY, SELL = Side.BUY, Side.SELL


def annexes_of(count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    annexes = [hashlib.sha256(struct.pack("<2Q", seed, i)).digest() for i in range(count)]
    return np.frombuffer(b"".join(annexes), "<u8").reshape(count, 4).astype(np.uint64)


class Story:
    """Commands one after the other, applied at once, so that later ones can name the orders of earlier ones."""

    def __init__(self) -> None:
        self.play, self.core = Play(), Core(SMALL)
        self.records: list[np.ndarray[Any, Any]] = []

    def do(self, **fields: Any) -> int:
        """Applies a command; returns the id of the order it made or named."""
        record = self.play.record(fields)
        events, _ = self.core.apply(record)
        self.play.see(events)
        self.records.append(record)
        return int(events["order_id"][0])

    def new(self, *args: Any, **changes: Any) -> int:
        return self.do(**(new(*args) | changes))

    def replace(self, number: int, order_id: int, price: int, lots: int) -> None:
        self.do(kind=CommandKind.REPLACE, account=number, order_id=order_id, price_ticks=price, qty_lots=lots)

    def cancel(self, number: int, order_id: int) -> None:
        self.do(kind=CommandKind.CANCEL, account=number, order_id=order_id)


def story_of_every_rule() -> np.ndarray[Any, Any]:
    """Each rule of matching, money and refusal decides something in here."""
    s = Story()
    s.do(**instrument())
    for number in (1, 2, 3, 4):
        s.do(**account(number, maker_bp=11, taker_bp=27))
        for asset in (0, 1):
            s.do(**deposit(number, asset, 3_000_003 if number < 4 else 900))
    _trading(s)
    _conditions(s)
    _refusals(s)
    _ends(s)
    return np.concatenate(s.records)


def _trading(s: Story) -> None:
    """Price, time, the resting order's price, priority after changes, fees with a remainder."""
    first = s.new(1, SELL, 120, 7)
    s.new(2, SELL, 120, 9)
    s.new(3, SELL, 119, 4)
    s.new(4, BUY, 120, 1)
    s.new(3, BUY, 121, 5)
    s.replace(1, first, 120, 6)
    s.new(3, BUY, 120, 3)
    s.replace(2, s.new(2, SELL, 121, 2), 121, 3)
    s.new(3, BUY, 121, 30)
    s.new(1, BUY, 119, 5)
    s.new(2, BUY, 119, 5)
    s.new(4, SELL, 118, 6)
    s.do(**market(3, SELL, 2))
    s.do(**market(1, BUY, 3))


def _conditions(s: Story) -> None:
    """IOC, FOK, MinQty, post-only, a market buy beyond its money."""
    s.new(1, SELL, 125, 5)
    s.new(2, BUY, 125, 9, tif=Tif.IOC)
    s.new(1, SELL, 126, 5)
    s.new(2, BUY, 126, 6, tif=Tif.FOK)
    s.new(2, BUY, 126, 5, tif=Tif.FOK)
    s.new(1, SELL, 127, 5)
    s.new(2, BUY, 127, 9, aux=6)
    s.new(2, BUY, 127, 4, aux=4)
    s.new(2, BUY, 127, 1, flags=1)
    s.new(1, SELL, 160, 5)
    s.do(**market(4, BUY, 90))


def _refusals(s: Story) -> None:
    """Every limit, just reached and just passed."""
    own = s.new(1, BUY, 110, 4)
    s.cancel(2, own)
    s.new(1, BUY, 100, 1)
    s.new(1, BUY, 99, 1)
    s.new(1, SELL, 163, 1)
    s.new(1, SELL, 164, 1)
    s.new(1, BUY, 110, 0)
    s.new(1, BUY, 110, 1, symbol=3)
    s.new(1, BUY, 110, 1, account=7)
    s.new(1, BUY, 110, 1, side=3)
    s.new(1, BUY, 110, 1, ord_type=7)
    s.new(1, BUY, 110, 1, tif=5)
    s.new(1, BUY, 110, 2, aux=3)
    s.new(1, BUY, 110, 1, precheck=131)
    s.new(4, SELL, 150, 10_000)
    s.do(**account(4, maker_bp=11, taker_bp=27, flags=1))
    s.new(4, BUY, 101, 1)
    s.do(**account(1, maker_bp=1, taker_bp=2))
    partly = s.new(2, BUY, 122, 8)
    s.new(3, SELL, 122, 3)
    s.replace(2, partly, 122, 3)
    s.do(**instrument(aux=9))
    s.do(kind=CommandKind.PHASE)
    s.do(kind=CommandKind.LIMIT, account=3, asset=1, qty_lots=77_000)


def _ends(s: Story) -> None:
    """Mass cancels by account and by session, expiry, money going out, the same slot used again."""
    s.new(3, SELL, 130, 1, session=1)
    s.new(3, SELL, 131, 1, session=2)
    s.new(2, SELL, 131, 1, session=2, tif=Tif.GTC)
    s.do(kind=CommandKind.MASS_CANCEL, account=3, session=2, flags=1)
    s.do(kind=CommandKind.MASS_CANCEL, account=1, session=9, side=BUY)
    s.new(1, BUY, 105, 2, tif=Tif.GTC, ord_type=OrdType.LIMIT)
    s.do(kind=CommandKind.TIME, flags=1)
    address = {"order_id": 0x8877665544332211, "price_ticks": 0xFFEEDDCCBBAA9988, "aux": 0x44332211}
    for amount in (500, 10**9):
        s.do(kind=CommandKind.WITHDRAW, account=1, asset=0, qty_lots=amount, **address)
    s.do(kind=CommandKind.WITHDRAW, account=2, asset=1, qty_lots=7, **address)


def sealed_story() -> Sealed:
    records = story_of_every_rule()
    return seal(Core(SMALL), records, annexes_of(len(records)), NO_DEPOSITS)


@dataclass(frozen=True)
class Example(Sealed):
    """A sealed batch with what it was made from."""

    commands: np.ndarray[Any, Any]
    snapshot_before: bytes

    @property
    def prev_deposit_acc(self) -> bytes:
        return self.public_values[168:200]


def sealed_at_random(seed: int, count: int = 50) -> Example:
    """A batch of `count` random commands, many of them wrong, after a set-up that is no part of it."""
    play, scout = Play(), Core(SMALL)
    setup = np.concatenate([play.record(fields) for fields in setup_fields()])
    play.see(scout.apply(setup)[0])
    snapshot, rng, records = scout.snapshot(), Random(seed), []
    for _ in range(count):
        records.append(play.record(generate(rng.randrange(2**40))))
        play.see(scout.apply(records[-1])[0])
    commands = np.concatenate(records)
    acc = hashlib.sha256(b"%d" % seed).digest()
    sealed = seal(Core.restore(snapshot), commands, annexes_of(count, seed), acc)
    return Example(**vars(sealed), commands=commands, snapshot_before=snapshot)
