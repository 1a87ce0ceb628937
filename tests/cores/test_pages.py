"""Wide instruments: windows of more ticks than there are levels, whose ladders lie in pages (W1..W7).

Both implementations are given the same commands and compared byte for byte; a core that was restored, whose pages were
given out in another order, must go on as the others do.
"""

from __future__ import annotations

import dataclasses
import os
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cores import COMMAND, CommandKind, CoreConfig, EventKind, Invariant, OrdType, Reason, Side, StateError, Tif
from cores.records import PAGE_LEVELS, PRICE_TICKS_MAX, Fact, Limit, Phase
from tests.cores.fix_cores import (
    CORES,
    CompiledCore,
    Play,
    ReferenceCore,
    account,
    deposit,
    generate,
    instrument,
    new,
    setup_fields,
)
from tests.cores.test_check import Words, find, memory

EXAMPLES = int(os.environ.get("CORE_EXAMPLES", "1000")) // 8
PLENTY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
PAGED = CoreConfig(symbols=4, accounts=5, assets=3, orders=64, levels=256)
PAGES = PAGED.levels // PAGE_LEVELS
LOW, HIGH = 1_000, 1_000 + (1 << 24)
FAR = 100_000  # ticks between prices that share no page


def replace_levels(levels: int) -> CoreConfig:
    """One page a ladder or more."""
    return dataclasses.replace(PAGED, levels=levels)


# ---- generated commands, with their prices moved apart ----


def wide(price: int, stride: int) -> int:
    """Prices of fix_cores.py, `stride` ticks apart; the edges that are far from all of them stay."""
    return 2_000 + (price - 122) * stride if 90 <= price <= 200 else price


def widened(fields: dict[str, Any], stride: int) -> dict[str, Any]:
    """The same command in a market whose prices are apart and about sixteen times as high."""
    kind, changed = fields["kind"], dict(fields)
    names = ["price_ticks"] if kind in (CommandKind.NEW, CommandKind.REPLACE, CommandKind.PHASE) else []
    if kind == CommandKind.INSTRUMENT:
        names = ["price_ticks", "qty_lots"]
    if kind == CommandKind.NEW and fields.get("ord_type") in (OrdType.STOP, OrdType.STOP_LIMIT):
        names.append("order_id")
    if kind == CommandKind.REPLACE:
        names.append("aux")
    for name in names:
        if fields.get(name):
            changed[name] = wide(fields[name], stride)
    money = kind == CommandKind.LIMIT and fields.get("ord_type") in (Limit.CREDIT, Limit.GROSS, Limit.ORDER_VALUE)
    if (kind == CommandKind.DEPOSIT or money) and 0 < fields.get("qty_lots", 0) < 1 << 40:
        changed["qty_lots"] = 16 * fields["qty_lots"]
    return changed


def assert_pages(core: Any, levels: int) -> None:
    """W2, W3: seen from outside, no ladder has orders in more ranges than it has pages."""
    for number in range(core.symbol_count):
        rows = core.walk_symbol(number)
        low, high = int(rows[0, 4]), int(rows[0, 5])
        ranges: dict[tuple[int, bool], set[int]] = {}
        at = 2 + int(rows[1, 6])
        while at < len(rows):
            facts, cold = int(rows[at, 5]), int(rows[at, 5]) >> 32 & Fact.COLD
            waiting, side = bool(facts >> 32 & Fact.WAITING), facts & 0xFF
            price = int(rows[at + 1, 2]) if waiting else int(rows[at, 2])
            assert bool(facts >> 32 & Fact.WIDE) == (high - low >= levels)
            if not facts >> 32 & Fact.DORMANT:
                down = (side == Side.BUY) != waiting
                ranges.setdefault((side, waiting), set()).add((high - price if down else price - low) // PAGE_LEVELS)
            at += 2 if cold else 1
        assert all(len(used) <= levels // PAGE_LEVELS for used in ranges.values()), ranges


@PLENTY
@given(
    st.lists(st.integers(0, 2**40), min_size=80, max_size=80),
    st.sampled_from([7, 15, 24, 48]),
    st.sampled_from([64, 128, 256]),
    st.integers(0, 79),
)
def test_events_and_state_agree(numbers: list[int], stride: int, levels: int, cut: int) -> None:
    """The same bytes from both after every command, and from a core restored on the way, whose pages lie elsewhere."""
    config = replace_levels(levels)
    play, compiled, reference = Play(), CompiledCore(config), ReferenceCore(config)
    restored: Any = None
    for place, fields in enumerate(setup_fields() + [generate(number) for number in numbers]):
        record = play.record(widened(fields, stride))
        events, _ = compiled.apply(record)
        assert events.tobytes() == reference.apply(record)[0].tobytes(), fields
        if restored is not None:
            assert events.tobytes() == restored.apply(record)[0].tobytes(), fields
        if place == len(setup_fields()) + cut:
            restored = CompiledCore.restore(compiled.snapshot())
        assert compiled.dirty_accounts().tolist() == reference.dirty_accounts().tolist()
        compiled.check()
        play.see(events)
    reference.check()
    assert_pages(compiled, levels)
    assert compiled.snapshot() == reference.snapshot()
    if restored is not None:
        restored.check()
        assert restored.snapshot() == compiled.snapshot()
    assert ReferenceCore.restore(compiled.snapshot()).snapshot() == compiled.snapshot()


def test_the_generator_reaches_the_pages() -> None:
    """Refused NEW and REPLACE, what comes to rest and finds no page, trades and uncrosses of wide instruments."""
    seen: set[tuple[str, ...]] = set()
    for run in range(300):
        play, core = Play(), CompiledCore(replace_levels(64 << run % 3))
        for fields in setup_fields() + [generate(run << 16 | number) for number in range(80)]:
            events, _ = core.apply(play.record(widened(fields, (7, 15, 24, 48)[run % 4])))
            play.see(events)
            seen |= {(EventKind(e["kind"]).name, Reason(e["reason"]).name) for e in events if e["reason"] < 128}
            seen |= {("uncross",) for e in events if e["kind"] == EventKind.PHASE and e["qty_lots"]}
    full = {("REJECTED", "REJECT_PAGES_FULL"), ("CANCEL_REJECTED", "REJECT_PAGES_FULL")}
    wanted = full | {("CANCELLED", "CANCEL_PAGES_FULL"), ("FILL", "NONE"), ("TRIGGERED", "NONE"), ("uncross",)}
    assert wanted <= seen, wanted - seen


# ---- named ----


class Market:
    """A wide symbol 0 in both implementations and in one that is restored before every command."""

    def __init__(self, config: CoreConfig = PAGED, low: int = LOW, high: int = HIGH, **terms: int) -> None:
        self.compiled, self.reference = CompiledCore(config), ReferenceCore(config)
        self.do(**instrument(price_ticks=low, qty_lots=high, order_id=1, aux=1) | terms)
        for number in (1, 2, 3):
            self.do(**account(number, 0, 0))
            for asset in (0, 1):
                self.do(**deposit(number, asset, 1 << 50))

    def do(self, **fields: int) -> np.ndarray:
        seq = self.compiled.last_seq + 1
        record = np.zeros(1, COMMAND)
        for name, value in ({"time_ns": seq} | fields | {"seq": seq}).items():
            record[name] = value
        again = CompiledCore.restore(self.compiled.snapshot()) if seq > 1 else None
        events, _ = self.compiled.apply(record)
        assert events.tobytes() == self.reference.apply(record)[0].tobytes()
        assert again is None or events.tobytes() == again.apply(record)[0].tobytes()
        self.compiled.check()
        assert self.compiled.snapshot() == self.reference.snapshot()
        return events

    def story(self, **fields: int) -> list[str]:
        """Kinds of the events, with their reasons."""
        events = self.do(**fields)
        return [
            f"{EventKind(e['kind']).name} {Reason(e['reason']).name if e['reason'] else ''}".strip() for e in events
        ]

    def fill_pages(self, side: Side, start: int, step: int = FAR, number: int = 1) -> list[int]:
        """An order in each page of a side; their ids."""
        made = [self.do(**new(number, side, start + step * i, 5)) for i in range(PAGES)]
        assert all(events["kind"][0] == EventKind.ACCEPTED for events in made)
        return [int(events["order_id"][0]) for events in made]


def cancel(number: int, order_id: int) -> dict[str, int]:
    return {"kind": CommandKind.CANCEL, "account": number, "order_id": order_id}


def replace(number: int, order_id: int, price: int, lots: int, **changes: int) -> dict[str, int]:
    fields = {"kind": CommandKind.REPLACE, "account": number, "order_id": order_id, "price_ticks": price}
    return fields | {"qty_lots": lots} | changes


def phase(target: Phase, **changes: int) -> dict[str, int]:
    return {"kind": CommandKind.PHASE, "ord_type": target} | changes


FULL, NO_PAGE = ["REJECTED REJECT_PAGES_FULL"], "CANCELLED CANCEL_PAGES_FULL"
MIDDLE = 8_000_000


@pytest.mark.parametrize("high", [LOW + PAGED.levels, HIGH, PRICE_TICKS_MAX])
def test_any_window_is_taken(high: int) -> None:
    """W1: up to the highest price there is; and both ends can be used."""
    market = Market(high=high)
    for price in (LOW, high):
        assert market.story(**new(1, Side.BUY, price, 1)) == ["ACCEPTED"]
        assert market.story(**new(2, Side.SELL, price, 1))[-1] in ("ACCEPTED", "FILL")
    assert market.story(**new(1, Side.BUY, high + 1, 1)) == ["REJECTED REJECT_PRICE_OUT_OF_COLLAR"]
    assert market.story(**instrument(1, price_ticks=1, qty_lots=PRICE_TICKS_MAX + 1)) == [
        "COMMAND_REJECTED REJECT_BAD_INSTRUMENT"
    ]


def test_a_redefinition_makes_it_wide_and_back() -> None:
    """W1: the levels of one kind are left as the other needs them."""
    market = Market()
    for high in (LOW + PAGED.levels - 1, HIGH, LOW + PAGED.levels, LOW + 10, LOW + PAGED.levels):
        assert market.story(**instrument(price_ticks=LOW, qty_lots=high, order_id=1, aux=1)) == ["INSTRUMENT_SET"]
        is_wide = high - LOW >= PAGED.levels
        made = [market.do(**new(1, Side.BUY, price, 2)) for price in (LOW, LOW + 9, high, high)]
        for events in made:
            view = market.compiled.find_order(0, int(events["order_id"][0]))
            assert bool(view.facts & Fact.WIDE) == is_wide
        assert market.story(**new(2, Side.SELL, LOW, 3)).count("FILL") == 4
        market.do(kind=CommandKind.MASS_CANCEL, account=1)
        assert market.compiled.open_orders(0) == 0


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_new_price_finds_no_page(side: Side) -> None:
    """W4: taken are the same range, what may not rest, the other side; and again anything once a page is free."""
    market = Market()
    ids = market.fill_pages(side, MIDDLE)
    other, distant = Side.SELL if side == Side.BUY else Side.BUY, MIDDLE + 50 * FAR
    quiet = LOW if other == Side.BUY else HIGH
    assert market.story(**new(2, side, distant, 1)) == FULL
    assert market.story(**new(2, side, MIDDLE, 1)) == ["ACCEPTED"]
    assert market.story(**new(2, side, distant, 1, tif=Tif.IOC)) == ["ACCEPTED", "CANCELLED CANCEL_IOC"]
    assert market.story(**new(2, side, distant, 1, tif=Tif.FOK)) == ["ACCEPTED", "CANCELLED CANCEL_FOK"]
    assert market.story(**new(2, other, quiet, 1)) == ["ACCEPTED"]
    assert market.story(**new(2, side, distant, 1, tif=Tif.AT_CLOSE)) == ["ACCEPTED"], "dormant"
    assert market.story(**{**new(2, side, 0, 1), "ord_type": OrdType.MARKET}) == ["ACCEPTED", "FILL", "FILL"]
    assert market.story(**cancel(1, ids[2])) == ["CANCELLED"]
    assert market.story(**new(2, side, distant, 1)) == ["ACCEPTED"]
    assert market.story(**new(2, side, distant + FAR, 1)) == FULL


def test_what_would_trade_is_asked_for_a_page_too() -> None:
    """W4: an order that may rest needs its page whether or not all of it would trade."""
    market = Market()
    market.fill_pages(Side.BUY, MIDDLE)
    market.do(**new(2, Side.SELL, MIDDLE + 10 * FAR, 5))
    assert market.story(**new(3, Side.BUY, MIDDLE + 10 * FAR, 1)) == FULL
    assert market.story(**new(3, Side.BUY, MIDDLE + 10 * FAR, 1, tif=Tif.IOC)) == ["ACCEPTED", "FILL", "FILL"]
    market_to_limit = new(3, Side.BUY, 0, 1, ord_type=OrdType.MARKET_TO_LIMIT)
    assert market.story(**market_to_limit) == FULL
    market.do(**cancel(1, int(market.do(**new(1, Side.BUY, MIDDLE, 1))["order_id"][0])))
    market.do(kind=CommandKind.MASS_CANCEL, account=2)
    assert market.story(**market_to_limit) == ["ACCEPTED", "CANCELLED CANCEL_NO_PRICE"]


def test_the_slot_comes_before_the_page() -> None:
    """N9, W4."""
    market = Market(CoreConfig(symbols=1, accounts=4, assets=2, orders=64, levels=256))
    market.fill_pages(Side.BUY, MIDDLE)
    for _ in range(60):
        market.do(**new(1, Side.BUY, MIDDLE, 1))
    assert market.story(**new(2, Side.BUY, MIDDLE + 50 * FAR, 1)) == ["REJECTED REJECT_BOOK_FULL"]


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_moved_order_leaves_its_page(side: Side) -> None:
    """W5: alone in its page it may go anywhere; with company only where a page is."""
    market = Market()
    ids = market.fill_pages(side, MIDDLE)
    distant = MIDDLE + 50 * FAR
    assert market.story(**replace(1, ids[1], distant, 5)) == ["REPLACED"]
    assert market.story(**replace(1, ids[1], MIDDLE + FAR, 5)) == ["REPLACED"]
    towards = 1 if same_range(side, MIDDLE + FAR, MIDDLE + FAR + 1) else -1
    for beside in (MIDDLE + FAR, MIDDLE + FAR + towards):  # in the same level, and in another one of the same page
        (company,) = market.do(**new(2, side, beside, 1))
        assert market.story(**replace(1, ids[1], distant, 5)) == ["CANCEL_REJECTED REJECT_PAGES_FULL"]
        assert market.story(**replace(1, ids[1], MIDDLE + FAR, 5)) == ["REPLACED"], "where it is"
        market.do(**cancel(2, int(company["order_id"])))
    assert market.story(**replace(1, ids[1], MIDDLE, 5)) == ["REPLACED"]


def same_range(side: Side, one: int, other: int) -> bool:
    return len({(HIGH - price if side == Side.BUY else price - LOW) // PAGE_LEVELS for price in (one, other)}) == 1


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_waiting_stops_have_pages_of_their_own(side: Side) -> None:
    """W4, W5: by stop price; one that is due at once needs none."""
    market = Market()
    sign = 1 if side == Side.BUY else -1

    def stop(at: int) -> dict[str, int]:
        return new(1, side, MIDDLE, 1, ord_type=OrdType.STOP_LIMIT, order_id=MIDDLE + sign * at * FAR)

    ids = [int(market.do(**stop(at))["order_id"][0]) for at in range(1, PAGES + 1)]
    assert market.story(**stop(9)) == FULL
    assert market.story(**stop(2)) == ["ACCEPTED"]
    assert market.story(**replace(1, ids[1], MIDDLE, 1, aux=MIDDLE + sign * 9 * FAR)) == [
        "CANCEL_REJECTED REJECT_PAGES_FULL"
    ]
    assert market.story(**replace(1, ids[2], MIDDLE, 1, aux=MIDDLE + sign * 9 * FAR)) == ["REPLACED"]
    market.do(**new(2, Side.BUY, MIDDLE, 1))
    market.do(**new(3, Side.SELL, MIDDLE, 1))
    due = stop(-9)
    assert market.story(**due) == ["ACCEPTED", "TRIGGERED"]
    assert market.story(**replace(1, ids[1], MIDDLE, 1, aux=due["order_id"]))[:2] == ["REPLACED", "TRIGGERED"]


def test_a_triggered_stop_finds_no_page() -> None:
    """W6: what is left of it is cancelled; a page that is there is used."""
    market = Market()
    for price in (MIDDLE + 20 * FAR, MIDDLE - 20 * FAR):  # the second shares its page with an order of the book
        market.do(**new(1, Side.BUY, price, 3, ord_type=OrdType.STOP_LIMIT, order_id=MIDDLE + FAR))
    market.fill_pages(Side.BUY, MIDDLE - 22 * FAR, FAR, number=2)
    market.do(**new(3, Side.SELL, MIDDLE + FAR, 2))
    story = market.story(**new(3, Side.BUY, MIDDLE + FAR, 1, tif=Tif.IOC))
    assert story == ["ACCEPTED", "FILL", "FILL", "TRIGGERED", "FILL", "FILL", NO_PAGE, "TRIGGERED"]


def test_stops_join_a_call_without_a_page() -> None:
    """W6: the collar interrupts the cascade, and neither the collar's end nor the limit price has a page."""
    market = Market()
    market.do(**new(2, Side.BUY, MIDDLE, 1))
    market.do(**new(3, Side.SELL, MIDDLE, 1))
    market.do(kind=CommandKind.LIMIT, ord_type=Limit.COLLAR, qty_lots=200)
    market.do(**new(1, Side.BUY, 0, 1, ord_type=OrdType.STOP, order_id=MIDDLE + 10))
    market.do(**new(1, Side.BUY, MIDDLE + 30 * FAR, 1, ord_type=OrdType.STOP_LIMIT, order_id=MIDDLE + 10))
    market.do(**new(1, Side.BUY, MIDDLE - 1, 1, ord_type=OrdType.STOP_LIMIT, order_id=MIDDLE + 10))
    market.fill_pages(Side.BUY, MIDDLE - PAGES * FAR - 1, FAR, number=2)
    market.do(**new(2, Side.SELL, MIDDLE + 10, 1))
    market.do(**new(2, Side.SELL, MIDDLE + 20 * FAR, 1))
    story = market.story(**new(3, Side.BUY, MIDDLE + 10, 1, tif=Tif.IOC))
    assert story[:3] == ["ACCEPTED", "FILL", "FILL"] and "PHASE CANCEL_VOLATILITY" in story
    assert story.count(NO_PAGE) == 2, story
    assert market.compiled.phase(0) == Phase.VOLATILITY


def test_the_dormant_find_no_page() -> None:
    """W6: cancelled in their order, before the PHASE event; those that find one are in the book."""
    market = Market()
    for price in (MIDDLE + FAR, MIDDLE + 30 * FAR, MIDDLE + FAR + 1, MIDDLE + 31 * FAR):
        market.do(**new(1, Side.BUY, price, 1, tif=Tif.AT_CLOSE))
    market.fill_pages(Side.BUY, MIDDLE, number=2)
    assert market.story(**phase(Phase.CLOSE_CALL)) == [NO_PAGE, NO_PAGE, "PHASE"]
    assert market.compiled.open_orders(0) == PAGES + 2


@pytest.mark.parametrize("room", [True, False])
def test_a_market_to_limit_order_needs_the_page_of_its_price(room: bool) -> None:
    """W6, P6.3: after the uncross it goes from the collar's end to the price, where a page must be."""
    market = Market()
    market.do(**phase(Phase.PRE_OPEN))
    for _ in range(1 if room else 2):
        market.do(**new(1, Side.BUY, 0, 9, ord_type=OrdType.MARKET_TO_LIMIT))
    for i in range(PAGES - 1):
        market.do(**new(2, Side.BUY, MIDDLE - i * FAR, 1))
    assert market.story(**new(2, Side.BUY, MIDDLE + FAR, 1)) == FULL
    market.do(**new(3, Side.SELL, MIDDLE + 40 * FAR, 5))
    expected = ["FILL", "FILL", "RESTATED CANCEL_AUCTION", "PHASE"]
    if not room:  # the second one keeps the page of the collar's end until the first has gone
        expected[2:2] = ["CANCELLED CANCEL_AUCTION"]
    assert market.story(**phase(Phase.CONTINUOUS)) == expected


def test_counts_sweeps_and_expiries_cross_pages() -> None:
    """N13, T1, M1, M2, depth: in an order book whose levels are all in pages of their own."""
    market = Market(CoreConfig(symbols=1, accounts=4, assets=2, orders=64, levels=1024))
    prices = [MIDDLE + i * FAR + j for i in range(8) for j in (0, 1, 70)]
    for price in prices:
        market.do(**new(1 + price % 2, Side.SELL, price, 2, tif=Tif.DAY if price % 3 else Tif.GTC))
    assert [price for price, _ in market.compiled.depth(0, Side.SELL, 100)] == prices
    for core in (market.compiled, market.reference):
        assert core.depth(0, Side.SELL, 5) == [(price, 2) for price in prices[:5]]
    lots = 2 * len(prices)
    assert market.story(**new(3, Side.BUY, HIGH, lots + 1, tif=Tif.FOK)) == ["ACCEPTED", "CANCELLED CANCEL_FOK"]
    assert market.story(**new(3, Side.BUY, prices[5], 13, tif=Tif.FOK)) == ["ACCEPTED", "CANCELLED CANCEL_FOK"]
    assert market.story(**new(3, Side.BUY, prices[5], 12, tif=Tif.FOK)).count("FILL") == 12
    assert market.story(**new(3, Side.BUY, prices[8], 9, aux=7, tif=Tif.IOC)) == [
        "ACCEPTED",
        "CANCELLED CANCEL_MIN_QTY",
    ]
    paid = market.story(**{**new(3, Side.BUY, 0, 9, tif=Tif.FOK), "ord_type": OrdType.MARKET})
    assert paid.count("FILL") == 10
    expired = market.story(kind=CommandKind.TIME, flags=1)
    assert set(expired) == {"EXPIRED", "CLOCK"}
    market.do(kind=CommandKind.MASS_CANCEL, account=2)
    market.do(kind=CommandKind.MASS_CANCEL, account=1)
    assert market.compiled.open_orders(0) == 0


def test_an_uncross_over_pages() -> None:
    """U1..U6: demand and supply in many pages; the price, the trades and what is left."""
    market = Market(CoreConfig(symbols=1, accounts=4, assets=2, orders=64, levels=1024))
    market.do(**phase(Phase.PRE_OPEN))
    for i in range(12):
        market.do(**new(1, Side.BUY, MIDDLE + i * FAR, 3))
        market.do(**new(2, Side.SELL, MIDDLE + (i - 6) * FAR, 2))
    market.do(**new(1, Side.BUY, 0, 4, ord_type=OrdType.MARKET))
    found = market.compiled.indicative(0)
    assert tuple(found) == tuple(market.reference.indicative(0)) and found[1] > 0
    story = market.story(**phase(Phase.CONTINUOUS))
    assert story[-1] == "PHASE" and story.count("FILL") > 10
    assert market.compiled.last_price(0) == (found[0], found[0])


def test_futures_may_be_wide() -> None:
    """W1: the same ladders; the hold and the position are a future's."""
    market = Market(low=1_000, high=100_000, flags=2, account=2, session=1, asset=0)
    market.do(**deposit(3, 1, 1 << 40))
    ids = market.fill_pages(Side.BUY, 20_000, 5_000)
    view = market.compiled.find_order(0, ids[0])
    assert view.facts & Fact.WIDE and view.facts & Fact.FUTURE
    assert market.story(**new(2, Side.BUY, 60_000, 1)) == FULL
    story = market.story(**new(2, Side.SELL, 1_000, 12, tif=Tif.IOC))
    assert story.count("FILL") == 6 and story.count("POSITION") == 6


@pytest.mark.parametrize("seed", range(3))
def test_many_pages_in_and_out(seed: int) -> None:
    """Orders scattered over the whole window: pages come and go on both sides of the ring, until none is left."""
    rng = random.Random(seed)
    config = CoreConfig(symbols=1, accounts=4, assets=2, orders=1024, levels=4096)
    market = Market.__new__(Market)
    market.compiled, market.reference = CompiledCore(config), ReferenceCore(config)
    records = [instrument(price_ticks=LOW, qty_lots=HIGH, order_id=1, aux=1), account(1, 0, 0), account(2, 0, 0)]
    records += [deposit(number, asset, 1 << 60) for number in (1, 2) for asset in (0, 1)]
    open_ids: list[int] = []
    reasons = set()
    for step in range(900):
        if step >= 7:
            side = rng.choice([Side.BUY, Side.SELL])
            at = rng.randint(LOW, MIDDLE - 1) if side == Side.BUY else rng.randint(MIDDLE, HIGH)
            entry = new(rng.randint(1, 2), side, at, 1)
            if open_ids and rng.random() < (0.35 if step < 600 else 0.6):
                victim = open_ids.pop(rng.randrange(len(open_ids)))
                owner = market.reference.find_order(0, victim)
                if owner is not None:
                    entry = cancel(owner.account, victim)
            elif rng.random() < 0.05:
                entry = {**new(1, side, 0, 4, tif=Tif.IOC), "ord_type": OrdType.MARKET}
            records.append(entry)
        record = np.zeros(1, COMMAND)
        for name, value in (records[step] | {"seq": step + 1, "time_ns": step + 1}).items():
            record[name] = value
        events, _ = market.compiled.apply(record)
        assert events.tobytes() == market.reference.apply(record)[0].tobytes()
        reasons |= {int(reason) for reason in events["reason"]}
        if events["kind"][0] == EventKind.ACCEPTED and events["leaves_lots"][-1]:
            open_ids.append(int(events["order_id"][0]))
        if step % 20 == 0:
            market.compiled.check()
            assert market.compiled.snapshot() == market.reference.snapshot()
            assert CompiledCore.restore(market.compiled.snapshot()).snapshot() == market.compiled.snapshot()
    assert Reason.REJECT_PAGES_FULL in reasons


# ---- check, and states that are none ----

WORDS_A_LADDER = 1 + 1 + 4 + 4  # of PAGED: top, middle and lowest words of the bitmap, then the entries of the pages
BEST, IS_WIDE, PAGE_FIRST, PAGE_COUNT, BIDS = 11, 37, 38, 42, 46


class BrokenPages:
    """A wide symbol with bids in two pages, and its memory."""

    def __init__(self) -> None:
        self.core = CompiledCore(PAGED)
        self.core.apply_one(**instrument(price_ticks=LOW, qty_lots=HIGH, order_id=1, aux=1))
        self.core.apply_one(**account(1))
        self.core.apply_one(**deposit(1, 1, 1 << 40))
        for price in (MIDDLE, MIDDLE + 1, MIDDLE - FAR):
            self.core.apply_one(**new(1, Side.BUY, price, 1))
        self.core.check()
        words: Words = memory(self.core)
        self.symbol = words[find(words, [0, 1, 1, 1, LOW, HIGH]) - 2 :]
        self.entries = self.symbol[BIDS + 6 :]
        self.first = int(self.symbol[PAGE_FIRST])

    def entry(self, place: int) -> int:
        return (self.first + place) % PAGES


def set_entry(place: int, change: Any) -> Any:
    def damage(broken: BrokenPages) -> None:
        at = broken.entry(place)
        broken.entries[at] = np.uint64(change(int(broken.entries[at]), broken))

    return damage


def set_word(index: int, value: int) -> Any:
    def damage(broken: BrokenPages) -> None:
        broken.symbol[index] = np.uint64(value)

    return damage


PAGE_BREAKS: dict[str, tuple[Invariant, Any]] = {
    "is no wide symbol": (Invariant.INSTRUMENT, set_word(IS_WIDE, 0)),
    "first page": (Invariant.BITMAP, set_word(PAGE_FIRST, PAGES)),
    "number of pages": (Invariant.BITMAP, set_word(PAGE_COUNT, PAGES + 1)),
    "one page less": (Invariant.BITMAP, set_word(PAGE_COUNT, 1)),
    "one page more": (Invariant.BITMAP, set_word(PAGE_COUNT, 3)),
    "a page twice": (
        Invariant.BITMAP,
        set_entry(0, lambda old, b: old >> 12 << 12 | int(b.entries[b.entry(1)]) & 0xFFF),
    ),
    "a page that is none": (Invariant.BITMAP, set_entry(0, lambda old, b: old | 0xFFF)),
    "ranges out of order": (Invariant.BITMAP, set_entry(1, lambda old, b: old & 0xFFF)),
    "a free page with a range": (Invariant.BITMAP, set_entry(3, lambda old, b: old | 1 << 12)),
    "another range": (Invariant.BEST, set_entry(0, lambda old, b: old - (1 << 12))),
    "the second range": (Invariant.LINKS, set_entry(1, lambda old, b: old + (1 << 12))),
    "a range outside the window": (Invariant.LINKS, set_entry(1, lambda old, b: old | 1 << 50)),
    "best": (Invariant.BEST, set_word(BEST, HIGH - MIDDLE)),
}


@pytest.mark.parametrize("name", PAGE_BREAKS)
def test_check_finds_broken_pages(name: str) -> None:
    invariant, damage = PAGE_BREAKS[name]
    broken = BrokenPages()
    damage(broken)
    with pytest.raises(AssertionError, match=f"invariant {invariant.name} is broken"):
        broken.core.check()


@pytest.mark.parametrize("make", CORES.values(), ids=CORES)
def test_a_state_with_too_many_ranges_is_none(make: Any) -> None:
    """W3: bids in one range more than there are pages; also orders that say they are in a symbol of the other kind."""
    core = ReferenceCore(PAGED)
    core.apply_one(**instrument(price_ticks=LOW, qty_lots=HIGH, order_id=1, aux=1))
    core.apply_one(**account(1))
    core.apply_one(**deposit(1, 1, 1 << 40))
    for i in range(PAGES):
        core.apply_one(**new(1, Side.BUY, MIDDLE - i * FAR, 1))
    core.apply_one(**new(1, Side.BUY, MIDDLE - i * FAR, 1))
    good = core.snapshot()
    assert make.restore(good).snapshot() == good
    rows = np.frombuffer(good, np.uint64).reshape(-1, 8)
    (last,) = np.flatnonzero(rows[:, 0] == int(core.walk_symbol(0)[-1, 0]))
    bad = rows.copy()
    bad[last, 2] -= 10 * FAR
    with pytest.raises(StateError):
        make.restore(bad.tobytes())
    bad = rows.copy()
    bad[last, 5] &= np.uint64((1 << 32) - 1)
    with pytest.raises(StateError):
        make.restore(bad.tobytes())
