"""Pegged orders' service on a real engine: where they stand, that they come to rest, what a crash leaves of them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import CommandKind, EventKind, OrdType, Side, Tif
from cores.records import Limit, Phase
from tests.venue.engine_flow import accepted, cancel, crash_image, endow, limit, opened, replace
from venue.config import Config, loads
from venue.engine import Engine
from venue.follower import Follower
from venue.pegs import KINDS, NS, PegService, PegTerms, price_of
from venue.records import SubmitStatus

TEXT = """
[pegs]
per_book_max = {per_book_max}
moves_per_turn = {moves_per_turn}
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
scale = 0
[[instruments]]
id = 0
symbol = "ACME"
base = "ACME"
quote = "USD"
tick = "0.01"
lot = "1"
price_min = "1"
price_max = "10"
[[instruments]]
id = 1
symbol = "BOLT"
base = "BOLT"
quote = "USD"
tick = "0.01"
lot = "1"
price_min = "1"
price_max = "10"
[[accounts]]
id = 0
"""
WINDOW = (100, 1000)


def config(folder: Path, per_book_max: int = 256, moves_per_turn: int = 64) -> Config:
    return loads(TEXT.format(per_book_max=per_book_max, moves_per_turn=moves_per_turn), folder / "venue.toml")


def enter(engine: Engine, pegs: PegService, account: int, side: Side, terms: PegTerms, lots: int, name: str) -> int:
    """A pegged order as the FIX sessions enter it; returns its price, 0 when there is none to follow."""
    body = f"35=D\x0111={name}\x0140=P\x0118={terms.kind}\x01211={terms.offset_ticks / 100:.2f}\x01"
    body += f"44={terms.limit_ticks / 100:.2f}\x01" if terms.limit_ticks else ""
    with pegs.lock:
        found = pegs.price(0, side, terms)
        if found == 0:
            return 0
        status, _ = engine.submit(**limit(account, side, found, lots, name, body=body.encode()))
        assert status == SubmitStatus.OK
        order = engine.find_order(account, name)
        if order["status"] in "01":
            assert order["peg"] == ord(terms.kind)
            pegs.watch(0, order["order_id"], side, terms)
    return found


def at_rest(pegs: PegService, now_ns: int, most: int = 200) -> int:
    """Looks until nothing is left to do; returns how many prices were asked for."""
    asked = 0
    for turn in range(most):
        done = pegs.tick(now_ns + turn)
        asked += done
        if done == 0:
            return asked
    raise AssertionError(f"no rest after {most} looks and {asked} moves")


def watched(pegs: PegService) -> dict[int, dict[int, tuple[int, PegTerms]]]:
    return {symbol: {i: (peg.side, peg.terms) for i, peg in book.items()} for symbol, book in pegs._books.items()}


TERMS = st.builds(
    PegTerms, st.sampled_from(KINDS), st.integers(-6, 6), st.one_of(st.just(0), st.integers(485, 515))
)  # fmt: skip


@given(TERMS, st.sampled_from(list(Side)[-2:]), st.integers(0, 1100), st.integers(0, 1100))
def test_a_price_is_within_its_limit_and_the_window(terms: PegTerms, side: Side, bid: int, ask: int):
    found = price_of(terms, side, (bid, ask), WINDOW)
    if found:
        assert WINDOW[0] <= found <= WINDOW[1]
        assert not terms.limit_ticks or (found <= terms.limit_ticks if side == Side.BUY else found >= terms.limit_ticks)
    if terms.kind == "M" and 0 in (bid, ask):
        assert found == 0


@given(st.integers(100, 900), st.integers(0, 99))
def test_opposite_mid_pegs_never_cross_and_meet_when_the_middle_is_a_tick(bid: int, spread: int):
    terms, best = PegTerms("M"), (bid, bid + spread)
    buy, sell = price_of(terms, Side.BUY, best, WINDOW), price_of(terms, Side.SELL, best, WINDOW)
    assert sell - buy == spread % 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_pegs_come_to_rest_where_they_belong_whatever_else_trades(seed: int):
    """After each burst of other orders: few looks, every peg at its price, and a crash image gives the same pegs."""
    random = Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with opened(folder / "data", sync="interval") as engine:
            endow(engine)
            pegs = PegService(engine, config(folder))
            now, others, mine = engine.last_time_ns, ["none"], 0
            for number in range(40):
                for _ in range(random.randint(0, 4)):
                    others.append(burst(engine, random, len(others), others))
                if random.random() < 0.6:
                    side = random.choice((Side.BUY, Side.SELL))
                    terms = PegTerms(random.choice(KINDS), random.randint(-4, 2), random.choice((0, 0, 500)))
                    mine += 1
                    enter(engine, pegs, 3, side, terms, random.randint(1, 9), f"P{mine}")
                elif mine and random.random() < 0.3:
                    orig = f"P{random.randint(1, mine)}"
                    change = (
                        cancel(3, f"C{number}", orig)
                        if random.random() < 0.5
                        else replace(3, 480, 9, f"R{number}", orig)
                    )
                    engine.submit(**change)
                now += 2 * NS
                open_before = len(pegs)
                assert at_rest(pegs, now) <= 4 * open_before + 4, f"seed {seed}"
                engine.check()
                pegs.check()
                in_place(engine, pegs, f"seed {seed}")
            engine.drain()
            image = crash_image(folder / "data", folder / "image")
            with opened(image, sync="none") as again:
                restored = PegService(again, config(folder))
                restored.restore(image / "journal")
                assert again.last_seq == engine.last_seq
                assert watched(restored) == watched(pegs), f"seed {seed}"


def burst(engine: Engine, random: Random, number: int, others: list[str]) -> str:
    """One order, cancel or change of somebody who does not peg; returns its ClOrdID."""
    account, name = random.choice((1, 2)), f"O{number}"
    price, lots = random.randint(485, 515), random.randint(1, 9)
    if random.random() < 0.7:
        engine.submit(**limit(account, random.choice((Side.BUY, Side.SELL)), price, lots, name))
    elif random.random() < 0.8:
        engine.submit(**cancel(account, name, random.choice(others)))
    else:
        engine.submit(**replace(account, price, lots, name, random.choice(others)))
    return name


def in_place(engine: Engine, pegs: PegService, what: str) -> None:
    """Every open peg is watched and stands where it belongs, or there is no price to follow."""
    book = pegs._books.get(0, {})
    assert set(book) == {order_id for _, order_id, _ in engine.open_pegs()}, what
    best, views = engine.pegs(0, sorted(book))
    for view in views:
        assert view is not None
        wanted = price_of(book[view["order_id"]].terms, view["side"], best, WINDOW)
        assert wanted in (0, view["price_ticks"]), (what, view, best)


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    with opened(tmp_path / "data", sync="interval") as found:
        endow(found)
        yield found
        found.check()


def quotes(engine: Engine, bid: int = 490, ask: int = 510) -> None:
    accepted(engine.call(**limit(1, Side.BUY, bid, 5, f"B{bid}")))
    accepted(engine.call(**limit(2, Side.SELL, ask, 5, f"S{ask}")))


def test_pegs_alone_follow_nothing(engine: Engine, tmp_path: Path):
    """When the orders that they followed are gone, they stay; they never follow each other."""
    pegs = PegService(engine, config(tmp_path))
    quotes(engine)
    assert enter(engine, pegs, 3, Side.BUY, PegTerms("R", 1), 2, "P1") == 491
    assert enter(engine, pegs, 4, Side.BUY, PegTerms("R", 1), 2, "P2") == 491, "not 492: the first is pegged"
    assert enter(engine, pegs, 5, Side.SELL, PegTerms("R"), 2, "P3") == 510
    engine.call(**cancel(1, "C1", "B490"))
    assert at_rest(pegs, engine.last_time_ns) == 0
    assert enter(engine, pegs, 4, Side.BUY, PegTerms("R"), 2, "P4") == 0


def test_a_move_loses_its_place_and_keeps_the_order_among_pegs(engine: Engine, tmp_path: Path):
    pegs = PegService(engine, config(tmp_path))
    quotes(engine)
    for number in (1, 2):
        enter(engine, pegs, 3, Side.BUY, PegTerms("R"), 2, f"P{number}")
    accepted(engine.call(**limit(1, Side.BUY, 495, 1, "N")))
    assert at_rest(pegs, engine.last_time_ns) == 2
    _, _, events = engine.call(**limit(4, Side.SELL, 495, 4, "T", tif=Tif.IOC))
    fills = [int(e["order_id"]) for e in events if e["kind"] == EventKind.FILL]
    in_turn = [engine.find_order(session, name)["order_id"] for session, name in ((1, "N"), (3, "P1"), (3, "P2"))]
    assert fills[::2] == in_turn, "first the one that made the price, then the pegs as they came"


def test_a_bounded_number_of_moves_a_look(engine: Engine, tmp_path: Path):
    pegs = PegService(engine, config(tmp_path, per_book_max=10, moves_per_turn=4))
    quotes(engine)
    for number in range(10):
        assert enter(engine, pegs, 3, Side.BUY, PegTerms("R"), 1, f"P{number}")
    assert enter(engine, pegs, 3, Side.BUY, PegTerms("R"), 1, "one too many") == 0
    accepted(engine.call(**limit(1, Side.BUY, 495, 1, "N")))
    now = engine.last_time_ns
    assert [pegs.tick(now + turn) for turn in range(4)] == [4, 4, 2, 0]


def test_what_the_core_refuses_is_tried_again_after_a_second_and_not_before(engine: Engine, tmp_path: Path):
    pegs = PegService(engine, config(tmp_path))
    quotes(engine)
    enter(engine, pegs, 3, Side.BUY, PegTerms("R"), 1, "P1")
    accepted(
        engine.call(kind=CommandKind.LIMIT, ord_type=Limit.KILL_MEMBER, account=3, qty_lots=1, body=b"verb=kill\x01")
    )
    accepted(engine.call(**limit(1, Side.BUY, 495, 1, "N")))
    now = engine.last_time_ns
    assert [pegs.tick(now + turn) for turn in (0, 1, NS - 1, NS, NS + 1)] == [1, 0, 0, 1, 0]
    accepted(
        engine.call(kind=CommandKind.LIMIT, ord_type=Limit.KILL_MEMBER, account=3, qty_lots=0, body=b"verb=kill\x01")
    )
    assert pegs.tick(now + 2 * NS) == 1 and engine.find_order(3, "P1")["price_ticks"] == 495


@pytest.mark.parametrize("phase", [Phase.HALT, Phase.VOLATILITY, Phase.CLOSE_CALL, Phase.PRE_OPEN, Phase.CLOSED])
def test_nothing_moves_outside_continuous_trading(engine: Engine, tmp_path: Path, phase: Phase):
    pegs = PegService(engine, config(tmp_path))
    quotes(engine)
    enter(engine, pegs, 3, Side.BUY, PegTerms("R"), 1, "P1")
    accepted(engine.call(**limit(1, Side.BUY, 495, 1, "N")))
    accepted(engine.call(kind=CommandKind.PHASE, symbol=0, ord_type=phase))
    since = engine.last_seq
    assert pegs.tick(engine.last_time_ns) == 0 and engine.last_seq == since
    assert pegs.price(0, Side.BUY, PegTerms("R")) == 0


def test_a_move_that_comes_too_late_does_nothing(engine: Engine, tmp_path: Path):
    """The member was faster: its cancel, its plain price or its other quantity stands."""
    pegs = PegService(engine, config(tmp_path))
    quotes(engine)
    enter(engine, pegs, 3, Side.BUY, PegTerms("R"), 2, "P1")
    order_id = engine.find_order(3, "P1")["order_id"]
    move = {"symbol": 0, "order_id": order_id, "account": 3, "price_ticks": 480, "body": b"verb=replace\x01"}
    since = engine.last_seq
    assert engine.move_peg(**move, qty_lots=3)[0] == SubmitStatus.KNOWN
    engine.call(**replace(3, 481, 2, "P2", "P1"))
    assert engine.move_peg(**move, qty_lots=2)[0] == SubmitStatus.KNOWN
    engine.call(**cancel(3, "P3", "P2"))
    assert engine.move_peg(**move, qty_lots=2)[0] == SubmitStatus.KNOWN
    assert engine.last_seq == since + 2 and len(engine.open_pegs()) == 0


def test_a_move_is_journaled_with_its_maker_and_the_terms(engine: Engine, tmp_path: Path):
    pegs = PegService(engine, config(tmp_path))
    quotes(engine)
    enter(engine, pegs, 3, Side.BUY, PegTerms("R", -2, 492), 1, "P1")
    accepted(engine.call(**limit(1, Side.BUY, 495, 1, "N")))
    since = engine.last_seq
    at_rest(pegs, engine.last_time_ns)
    engine.drain()
    with Follower(tmp_path / "data" / "journal", since + 1) as follower:
        while not len(moves := follower.poll()):  # the writer may be changing its watermark just now
            assert follower.next_seq == since + 1
    assert [int(c["kind"]) for c in moves.commands] == [CommandKind.REPLACE]
    assert int(moves.commands["session"][0]) == 0 and int(moves.commands["price_ticks"][0]) == 492
    wanted = b"verb=replace\x01actor=pegs\x01ref=price\x0111=P1\x0140=P\x0118=R\x01211=-0.02\x0144=4.92\x01"
    assert moves.annex[16:] == wanted
    assert engine.find_order(3, "P1")["ord_type"] == OrdType.LIMIT
