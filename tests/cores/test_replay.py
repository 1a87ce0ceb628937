"""Long runs of random commands on both implementations, and the shrinker that makes a difference readable.

CORE_SEED chooses other commands, CORE_COMMANDS how many the slow test plays; both are printed.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

import numpy as np
import pytest

from cores import CoreConfig, EventKind, OrdType, Reason, Side
from cores.reference import Core as ReferenceCore
from cores.rules import Book
from cores.rules_state import Account, Command, Order, Symbol
from tests.cores import replay
from tests.cores.fix_cores import (
    SMALL,
    CompiledCore,
    Play,
    account,
    deposit,
    generate,
    instrument,
    morning_fields,
    new,
    setup_fields,
)
from tests.cores.replay import Difference, Pair

SEED = int(os.environ.get("CORE_SEED", "1"))
QUICK_COMMANDS, QUICK_CHUNK = 12_000, 1_500
SLOW_COMMANDS, SLOW_CHUNK = int(os.environ.get("CORE_COMMANDS", "10000000")), 4_000
DAY_COMMANDS = 120
LARGER = CoreConfig(symbols=3, accounts=12, assets=5, orders=256, levels=128)


def played(seed: int, count: int, pair: Pair) -> np.ndarray:
    """Plays at least `count` commands: a set-up, then days of random ones; the records, up to a difference."""
    play, rng, records = Play(), Random(seed), []
    fields: list[dict[str, Any]] = setup_fields()
    while len(records) < count:
        for entry in fields:
            records.append(play.record(entry))
            try:
                play.see(pair.apply(records[-1]))
            except Difference:
                return np.concatenate(records)
        fields = [generate(rng.getrandbits(40)) for _ in range(DAY_COMMANDS)] + morning_fields(rng)
    return np.concatenate(records)


def played_in_chunks(seed: int, total: int, chunk: int) -> int:
    """Chunks of commands, each from a seed of its own on fresh cores, half-way on restored ones. How many."""
    done = chunks = 0
    while done < total:
        config = LARGER if seed % 4 == 3 else SMALL
        pair = Pair(config)
        records = played(seed, chunk, pair)
        if pair.applied == len(records):
            pair.compare_whole()
        else:
            found = replay.reduced(records, config, lambda config=config: Pair(config))
            raise AssertionError(f"CORE_SEED={seed}: {found}")
        restored_half_way(records, config, pair)
        done, chunks = done + pair.applied, chunks + 1
        if chunks % 50 == 0:
            print(f"seed {seed}: {done} commands compared", flush=True)
        seed += 1
    return done


def restored_half_way(records: np.ndarray, config: CoreConfig, pair: Pair) -> None:
    """Either implementation, restored from the other's snapshot half-way, ends where the pair did."""
    half = len(records) // 2
    for start, rest in ((CompiledCore, ReferenceCore), (ReferenceCore, CompiledCore)):
        if start is ReferenceCore and half > QUICK_CHUNK:
            continue  # the slow way round is for the short chunks
        core = start(config)
        core.apply(records[:half])
        other = rest.restore(core.snapshot())
        other.apply(records[half:])
        assert other.snapshot() == pair.compiled.snapshot()


def test_long_runs_agree() -> None:
    print(f"CORE_SEED={SEED}")
    assert played_in_chunks(SEED, QUICK_COMMANDS, QUICK_CHUNK) >= QUICK_COMMANDS


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_millions_of_commands_agree() -> None:
    """Ten million by default: every chunk has its own seed, and nothing of it is kept."""
    print(f"CORE_SEED={SEED} CORE_COMMANDS={SLOW_COMMANDS}")
    print(f"{played_in_chunks(SEED, SLOW_COMMANDS, SLOW_CHUNK)} commands compared")


# ---- the shrinker, on faults that are planted in the reference ----


class StuckRefresh(Book):
    """An iceberg keeps its place when it shows a new part."""

    def after_loss(self, symbol: Symbol, account: Account, resting: Order) -> None:
        queue = dict(symbol.levels(resting.side)[resting.price_ticks])
        super().after_loss(symbol, account, resting)
        if resting.leaves and resting.slot in symbol.orders and len(queue) > 1:
            levels = symbol.levels(resting.side)
            levels[resting.price_ticks] = queue


class LateStop(Book):
    """A sell stop is elected a tick too late."""

    def elect(self, symbol: Symbol, low: int, high: int) -> list[Order]:
        return super().elect(symbol, low + 1, high)


class StaleHold(Book):
    """A mass cancel of bids keeps a unit of what they held."""

    def mass_cancel(self, c: Command) -> int:
        reason = super().mass_cancel(c)
        if not reason and c.side == Side.BUY and len(self.events) > 1:
            self.accounts[c.account].positions[self.symbols[c.symbol].terms.quote].hold += 1
        return reason


class TakenTwice(Book):
    """No order is a duplicate."""

    def new_limits_reason(self, symbol: Symbol, account: Account, c: Command, price: int | None) -> int:
        reason = super().new_limits_reason(symbol, account, c, price)
        return Reason.NONE if reason == Reason.REJECT_DUPLICATE else reason


def faulty(book: type[Book]) -> type[ReferenceCore]:
    class Faulty(ReferenceCore):
        def __init__(self, config: CoreConfig) -> None:
            super().__init__(config)
            self.book = book(config)

    return Faulty


FAULTS = [StuckRefresh, LateStop, StaleHold, TakenTwice]
SCRIPT_LINES_MAX = 20


@pytest.mark.parametrize("book", FAULTS, ids=lambda book: book.__name__)
def test_a_planted_fault_becomes_a_short_script(book: type[Book]) -> None:
    """Found at random, reduced to a few lines; pasted into Python, these differ with the fault and agree without."""

    def make(config: CoreConfig = SMALL) -> Pair:
        return Pair(config, reference=faulty(book))

    for seed in range(SEED, SEED + 60):
        pair = make()
        records = played(seed, 800, pair)
        if pair.applied < len(records):
            break
    else:
        pytest.fail(f"{book.__doc__} Never found in {60 * 800} commands from CORE_SEED={SEED}")
    found = replay.reduced(records, SMALL, make)
    assert found is not None
    print(f"CORE_SEED={seed}: {found}")
    text = found[found.index("pair = Pair(") :]
    assert len(text.splitlines()) <= SCRIPT_LINES_MAX, text
    names = vars(replay) | {"Pair": make}
    with pytest.raises(Difference):
        exec(text, names)
    exec(text, vars(replay) | {"Pair": Pair})


def test_what_agrees_is_not_reduced() -> None:
    pair = Pair(SMALL)
    records = played(SEED, 50, pair)
    assert pair.applied == len(records)
    assert replay.reduced(records, SMALL, lambda: Pair(SMALL)) is None


def test_steps_name_the_order_they_are_about() -> None:
    """Leaving out a command moves the numbers of those behind it; a cancel still finds its order."""
    pair = Pair(SMALL)
    fields = [instrument(), account(1), deposit(1, 1, 10**6), deposit(1, 0, 7), new(1, Side.BUY, 120, 5)]
    records, play = [], Play()
    for entry in [*fields, {"kind": 2, "pick": 0, "symbol": 0, "account": 1}]:
        records.append(play.record(entry))
        events = pair.apply(records[-1])
        play.see(events)
    assert events["kind"].tolist() == [EventKind.CANCELLED]
    steps = replay.steps_of(np.concatenate(records))
    short = Pair(SMALL)
    replay.play(steps[:3] + steps[4:], short)
    assert short.compiled.open_orders(0) == 0
    assert steps[-1].about is steps[4]


@pytest.mark.parametrize(
    "damage",
    [
        lambda core: setattr(core.book.accounts[1].positions[1], "gross_max", 5),
        lambda core: setattr(core.book, "last_time_ns", 9),
        lambda core: core.book.touched_accounts.add(2),
    ],
)
def test_a_difference_in_the_state_alone_is_seen(damage: Any) -> None:
    """Same events, other slots or touched sets."""

    class Damaged(ReferenceCore):
        def apply(self, commands: np.ndarray) -> Any:
            made = super().apply(commands)
            if int(commands["ord_type"][0]) == OrdType.STOP:
                damage(self)
            return made

    pair = Pair(SMALL, reference=Damaged)
    for fields in setup_fields():
        pair(**fields)
    with pytest.raises(Difference):
        pair(**new(1, Side.BUY, 120, 5, ord_type=OrdType.STOP, order_id=121))
