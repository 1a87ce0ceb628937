"""What holds after every command, whatever the commands: read from events and slots alone, not from the core's check.

CORE_SEED chooses other commands; it is printed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from random import Random
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import CommandKind, EventKind, OrdType, Reason, Side, Tif
from cores.records import EventFlag, Fact, Phase
from tests.cores import auction_model
from tests.cores.auction_model import Outcome, Resting
from tests.cores.fix_cores import (
    PRICE_HIGH,
    PRICE_LOW,
    SMALL,
    TICK_VALUE,
    CompiledCore,
    Play,
    account,
    deposit,
    fees_of,
    funded,
    generate,
    morning_fields,
    new,
    setup_fields,
)

SEED = int(os.environ.get("CORE_SEED", "1"))
RUNS, DAYS, DAY_COMMANDS = 40, 2, 80


class Open(NamedTuple):
    """An open order as its slots have it."""

    order_id: int
    shown: int
    price: int
    account: int
    side: int
    ord_type: int
    tif: int
    facts: int
    hidden: int
    display: int
    stop: int
    expiry_ns: int

    @property
    def leaves(self) -> int:
        return self.shown + self.hidden

    @property
    def in_book(self) -> bool:
        return not self.facts & (Fact.WAITING | Fact.DORMANT)


def open_orders(core: Any, symbol: int) -> list[Open]:
    """In the order of the walk."""
    rows, orders, at = core.walk_symbol(symbol).tolist(), [], 2
    while at < len(rows):
        order_id, shown, price, _, owner, terms, *_ = rows[at]
        facts = terms >> 32
        cold = rows[at + 1][:4] if facts & Fact.COLD else [0, 0, 0, 0]
        owner_account = owner & 0xFFFFFFFF
        orders.append(
            Open(order_id, shown, price, owner_account, terms & 255, terms >> 8 & 255, terms >> 16 & 255, facts, *cold)
        )
        at += 2 if facts & Fact.COLD else 1
    return orders


@dataclass
class Moment:
    """A command, what it was applied to and what it did."""

    core: Any
    record: np.void
    events: np.ndarray
    before: list[Open]
    phase_before: int
    after: list[Open] = field(default_factory=list)

    @property
    def symbol(self) -> int:
        return int(self.record["symbol"])

    def of_kind(self, *kinds: EventKind) -> np.ndarray:
        return self.events[np.isin(self.events["kind"], kinds)]


def moments() -> Iterator[tuple[int, Moment]]:
    """Every command of every run, with the run's number."""
    print(f"CORE_SEED={SEED}")
    for run in range(RUNS):
        rng, core, play = Random(f"{SEED} {run}"), CompiledCore(SMALL), Play()
        for day in range(DAYS):
            morning = setup_fields() if day == 0 else morning_fields(rng)
            for fields in [*morning, *(generate(rng.getrandbits(40)) for _ in range(DAY_COMMANDS))]:
                record = play.record(fields)
                symbol = int(record["symbol"][0])
                before, phase = open_orders(core, symbol), core.phase(symbol)
                events, _ = core.apply(record)
                play.see(events)
                yield run, Moment(core, record[0], events, before, phase, open_orders(core, symbol))


def test_money_is_neither_made_nor_lost() -> None:
    """Per asset: what came in less what went out is what the accounts have, to the unit."""
    came_in: Counter[tuple[int, int]] = Counter()
    trades = 0
    for run, moment in moments():
        for event in moment.of_kind(EventKind.DEPOSITED, EventKind.WITHDRAWN):
            sign = 1 if event["kind"] == EventKind.DEPOSITED else -1
            came_in[run, int(event["asset"])] += sign * int(event["qty_lots"])
        core = moment.core
        for asset in range(SMALL.assets):
            total = sum(core.balance(number, asset)[0] for number in range(core.account_count))
            assert total == came_in[run, asset] == core.supply(asset), moment
        trades += len(moment.of_kind(EventKind.FILL))
    assert trades > 100


def test_holds_are_what_open_orders_need() -> None:
    """A sell its base units, a buy its notional with the taker's fee, a waiting STOP buy nothing (N8, N15, S1)."""
    compared = 0
    for _, moment in moments():
        core, needed = moment.core, Counter[tuple[int, int]]()
        fees = {}
        for number in range(core.account_count):
            fees[number] = int(core.walk_account(number)[0, 2]) >> 32
        for symbol in range(core.symbol_count):
            _, assets, lot_size, tick_value, *_ = (int(word) for word in core.walk_symbol(symbol)[0])
            for order in open_orders(core, symbol):
                if order.side == Side.SELL:
                    needed[order.account, assets & 0xFFFFFFFF] += order.leaves * lot_size
                elif not (order.ord_type == OrdType.STOP and order.facts & Fact.WAITING):
                    notional = order.leaves * order.price * tick_value
                    needed[order.account, assets >> 32] += notional + notional * fees[order.account] // 10_000
        for number in range(core.account_count):
            for asset in range(SMALL.assets):
                balance, hold, credit = core.balance(number, asset)
                assert hold == needed[number, asset], (number, asset, moment)
                assert balance + credit >= hold, moment
                compared += hold > 0
    assert compared > 1000


def test_no_crossed_book_while_trading_is_continuous() -> None:
    crossed_in_calls = 0
    for _, moment in moments():
        book = [order for order in moment.after if order.in_book]
        bids = [order.price for order in book if order.side == Side.BUY]
        asks = [order.price for order in book if order.side == Side.SELL]
        crossed = bool(bids and asks) and max(bids) >= min(asks)
        if moment.core.phase(moment.symbol) == Phase.CONTINUOUS:
            assert not crossed, moment
            assert not any(order.facts & Fact.UNPRICED or order.tif in (Tif.AT_OPEN, Tif.AT_CLOSE) for order in book)
        crossed_in_calls += crossed
    assert crossed_in_calls > 20


def test_fills_go_by_price_then_time() -> None:
    """A NEW meets the other side in the order of its walk; what it passes over was taken off by self-match only."""
    met = 0
    for _, moment in moments():
        fills = [
            e for e in moment.of_kind(EventKind.FILL) if not e["flags"] & (EventFlag.AGGRESSOR | EventFlag.AUCTION)
        ]
        plain = moment.record["kind"] == CommandKind.NEW and not len(moment.of_kind(EventKind.TRIGGERED))
        if not fills or not plain:
            continue
        side = Side.SELL if moment.record["side"] == Side.BUY else Side.BUY
        walk = [order for order in moment.before if order.in_book and order.side == side]
        prices = [int(event["price_ticks"]) for event in fills]
        assert prices == sorted(prices, reverse=side == Side.BUY), moment
        first_met = list(dict.fromkeys(int(event["order_id"]) for event in fills))
        self_matched = moment.events[moment.events["reason"] == Reason.CANCEL_SELF_MATCH]["order_id"].tolist()
        passed = [order.order_id for order in walk if order.order_id in first_met or order.order_id in self_matched]
        assert [o.order_id for o in walk[: len(passed)]] == passed, moment
        assert [order_id for order_id in passed if order_id in first_met] == first_met, moment
        ends = {int(event["order_id"]): int(event["leaves_lots"]) for event in fills}
        assert all(ends[order_id] == 0 or order_id in self_matched or _is_iceberg(walk, order_id)
                   for order_id in first_met[:-1]), moment  # fmt: skip
        met += len(fills)
    assert met > 100


def _is_iceberg(orders: list[Open], order_id: int) -> bool:
    return any(order.order_id == order_id and order.display for order in orders)


def test_an_iceberg_never_shows_more_than_its_display() -> None:
    """In the book, in the depth and in the fills against it, but for an uncross, where it takes part with all."""
    seen = 0
    for _, moment in moments():
        for order in moment.after:
            if order.display and order.in_book:
                assert 1 <= order.shown <= order.display
                assert order.display * 16 >= order.leaves
                seen += 1
        for side in (Side.BUY, Side.SELL):
            shown: Counter[int] = Counter()
            for order in moment.after:
                if order.in_book and order.side == side:
                    shown[order.price] += order.shown
            assert dict(moment.core.depth(moment.symbol, side, SMALL.levels)) == dict(shown)
        displays = {order.order_id: order.display for order in moment.before if order.display}
        for event in moment.of_kind(EventKind.FILL, EventKind.REFRESHED):
            in_uncross, own_way = event["flags"] & EventFlag.AUCTION, event["flags"] & EventFlag.AGGRESSOR
            if int(event["order_id"]) in displays and not in_uncross and not own_way:
                assert event["qty_lots"] <= displays[int(event["order_id"])], moment
    assert seen > 100


def test_a_stop_is_elected_once() -> None:
    """TRIGGERED comes once in the life of an order, only of a stop that is due, and it never waits again."""
    triggered: dict[tuple[int, int], int] = Counter()
    for run, moment in moments():
        stops = {order.order_id: order for order in moment.before if order.facts & Fact.WAITING}
        for event in moment.of_kind(EventKind.TRIGGERED):
            key = run, int(event["order_id"])
            triggered[key] += 1
            assert triggered[key] == 1, moment
            if int(event["order_id"]) in stops and moment.record["kind"] != CommandKind.REPLACE:
                assert event["aux"] == stops[int(event["order_id"])].stop
        for order in moment.after:
            if order.facts & Fact.WAITING:
                assert (run, order.order_id) not in triggered, moment
                last = moment.core.last_price(moment.symbol)[0]
                if moment.core.phase(moment.symbol) == Phase.CONTINUOUS and last:
                    assert last < order.stop if order.side == Side.BUY else last > order.stop
    assert len(triggered) > 20


def test_time_leaves_nothing_that_is_over() -> None:
    """TIME_EXPIRE ends each GTD order that is due and no other; TIME_CLOSE each DAY order and no other."""
    ended = 0
    for _, moment in moments():
        if moment.record["kind"] != CommandKind.TIME or moment.events["kind"][-1] != EventKind.CLOCK:
            continue
        flags, now = int(moment.record["flags"]), int(moment.record["time_ns"])

        def over(order: Open, flags: int = flags, now: int = now) -> bool:
            due = order.tif == Tif.GTD and order.expiry_ns <= now
            return bool((flags & 2 and due) or (flags & 1 and order.tif == Tif.DAY))

        assert not any(over(order) for order in moment.after), moment
        expired = moment.of_kind(EventKind.EXPIRED)["order_id"].tolist()
        assert expired == [order.order_id for order in moment.before if over(order)], moment
        assert moment.events["qty_lots"][-1] == len(expired)
        ended += len(expired)
    assert ended > 10


# ---- the uncross, against brute force ----


def in_a_call(rng: Random) -> Any:
    """A core with a call full of orders of every kind that a call takes."""
    core = funded(CompiledCore, amount=10**12)
    for number in (1, 2, 3, 4):
        core.apply_one(**account(number) | {"aux": fees_of(rng.choice([-5, 0, 5]), rng.choice([10, 25]))})
        core.apply_one(**deposit(number, 1, 10**12))
    phase = rng.choice([Phase.PRE_OPEN, Phase.PRE_OPEN, Phase.VOLATILITY, Phase.CLOSE_CALL])
    reference = rng.choice([0, rng.randint(PRICE_LOW, PRICE_HIGH), rng.randint(118, 126)])
    core.apply_one(kind=CommandKind.PHASE, ord_type=phase, price_ticks=reference)
    low, high = rng.choice([(119, 121), (116, 124), (100, 163)])
    for _ in range(rng.randint(0, 24)):
        number, side, lots = rng.randint(1, 4), rng.choice([Side.BUY, Side.SELL]), rng.choice([1, 2, 3, 5, 5, 9, 20])
        changes: dict[str, int] = {"tif": rng.choice([Tif.DAY, Tif.GTC, Tif.AT_CLOSE])}
        style = rng.random()
        if style < 0.2:
            changes["order_id"] = max(1, lots // 3)
        elif style < 0.4:
            changes |= {"ord_type": rng.choice([OrdType.MARKET, OrdType.MARKET_TO_LIMIT]), "tif": Tif.DAY}
        if phase == Phase.PRE_OPEN and rng.random() < 0.2 and changes.get("ord_type") != OrdType.MARKET_TO_LIMIT:
            changes["tif"] = Tif.AT_OPEN
        (accepted,) = core.apply_one(**new(number, side, rng.randint(low, high), lots, **changes))
        assert accepted["kind"] == EventKind.ACCEPTED, (accepted, changes)
    return core


def resting(core: Any) -> list[Resting]:
    orders = [order for order in open_orders(core, 0) if order.in_book]
    return [Resting(o.order_id, o.side, o.price, o.leaves, not o.facts & Fact.UNPRICED) for o in orders]


@settings(max_examples=400, deadline=None, print_blob=True)
@given(st.integers(0, 2**40), st.sampled_from([Phase.CONTINUOUS, Phase.CLOSED]))
def test_the_uncross_is_the_one_of_brute_force(seed: int, target: Phase) -> None:
    """Price, volume, surplus, every trade in its order; INDICATIVE says the same just before; fees and shown parts."""
    core = in_a_call(Random(seed))
    before, orders = open_orders(core, 0), resting(core)
    expected = auction_model.outcome(orders, core.last_price(0)[1])
    indicative, _ = core.apply_one(kind=CommandKind.TIME, flags=4)
    said = [int(indicative[name]) for name in ("price_ticks", "qty_lots", "leaves_lots", "side")]
    assert Outcome(*said) == expected
    answer = core.indicative(0)
    assert (Outcome() if answer is None else Outcome(*map(int, answer))) == expected and answer != (0, 0, 0, 0)
    events = core.apply_one(kind=CommandKind.PHASE, ord_type=target)
    (phase,) = events[events["kind"] == EventKind.PHASE]
    assert (phase["price_ticks"], phase["qty_lots"]) == (expected.price, expected.volume)
    fills = events[events["kind"] == EventKind.FILL]
    assert (fills["flags"] == EventFlag.AUCTION).all() and (fills["price_ticks"] == expected.price).all()
    assert lots_of(fills) == auction_model.trades(orders, expected)
    takers = {number: int(core.walk_account(number)[0, 2]) >> 32 for number in range(5)}
    for fill in fills:
        notional = int(fill["price_ticks"]) * int(fill["qty_lots"]) * TICK_VALUE
        assert fill["aux"] == notional * takers[int(fill["account"])] // 10_000
    if expected.volume:
        assert core.last_price(0) == (expected.price, expected.price)
    for order in open_orders(core, 0):
        then = next(old for old in before if old.order_id == order.order_id)
        if order.display and order.leaves < then.leaves:
            assert order.shown == min(order.display, order.leaves)
    core.check()


def lots_of(fills: np.ndarray) -> list[tuple[int, int]]:
    """(buy, sell) of each lot; a trade's two fills come in that order, and no trade could be joined with its next."""
    trades: list[tuple[int, int]] = []
    for buy, sell in zip(fills[::2], fills[1::2], strict=True):
        assert (buy["side"], sell["side"], buy["qty_lots"]) == (Side.BUY, Side.SELL, sell["qty_lots"])
        trades += [(int(buy["order_id"]), int(sell["order_id"]))] * int(buy["qty_lots"])
    assert len(list(groupby(trades))) == len(fills) // 2
    return trades


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**40))
def test_no_price_would_trade_more_or_leave_less(seed: int) -> None:
    """At no price of the window more lots trade; at no order's price as many with a smaller surplus."""
    core = in_a_call(Random(seed))
    orders, found = resting(core), Outcome(*(int(part) for part in core.indicative(0) or (0, 0, 0, 0)))
    if not any(order.priced for order in orders):
        return  # U2: the reference price alone counts then, or nothing trades
    for price in range(PRICE_LOW, PRICE_HIGH + 1):
        buyers, sellers = auction_model.would_trade(orders, price)
        assert min(buyers, sellers) <= found.volume
        if found.volume and min(buyers, sellers) == found.volume and any(o.price == price and o.priced for o in orders):
            assert abs(buyers - sellers) >= found.surplus
