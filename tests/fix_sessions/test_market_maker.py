"""The sandbox's traders without a venue: Avellaneda and Stoikov's quotes, the fair price, the background flow."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
import simplefix
from hypothesis import given
from hypothesis import strategies as st

from fix_sessions.background_flow import WAITING_MAX, BackgroundFlow
from fix_sessions.market_maker import BUY, SELL, FairPrice, MarketMaker, Parameters, quotes
from tests.fix_sessions.rig import make_config

INSTRUMENT = make_config(Path("nowhere")).instruments[0]
WINDOW = (5_000, 15_000)
fairs = st.floats(4_000, 16_000)
inventories = st.integers(-1_000, 1_000)
parameters = st.builds(
    Parameters,
    risk_aversion=st.floats(0.001, 1),
    volatility_ticks=st.floats(0.1, 20),
    liquidity=st.floats(0.05, 5),
    horizon_seconds=st.floats(0.5, 60),
    levels=st.integers(1, 5),
    level_ticks=st.integers(1, 10),
)


@given(fairs, inventories, parameters)
def test_quotes_never_cross_and_stay_in_the_window(fair, inventory, p):
    shown = quotes(fair, inventory, WINDOW, p)
    bids, asks = ([q.ticks for q in shown if q.side == side] for side in (BUY, SELL))
    assert all(WINDOW[0] <= ticks <= WINDOW[1] for ticks in bids + asks)
    assert bids == sorted(bids, reverse=True) and asks == sorted(asks)
    assert not bids or not asks or bids[0] < asks[0]
    assert (inventory < p.inventory_lots_max) or not bids
    assert (inventory > -p.inventory_lots_max) or not asks


@given(st.floats(9_000, 11_000), st.integers(-300, 300), st.integers(1, 99), parameters)
def test_a_longer_inventory_never_raises_a_quote(fair, inventory, more, p):
    before, after = quotes(fair, inventory, WINDOW, p), quotes(fair, inventory + more, WINDOW, p)
    for side in (BUY, SELL):
        best = [next((q.ticks for q in shown if q.side == side), None) for shown in (before, after)]
        assert None in best or best[1] <= best[0]


def test_the_papers_numbers():
    """gamma 0.1, sigma 2, kappa 1.5, a horizon of one second: the paper's spread is 0.4 + 20 ln(1 + 1/15) = 1.69."""
    p = Parameters(risk_aversion=0.1, volatility_ticks=2, liquidity=1.5, horizon_seconds=1, levels=1, level_lots=1)
    assert [(q.side, q.ticks) for q in quotes(100.0, 0, (1, 999), p)] == [(BUY, 99), (SELL, 101)]
    assert [(q.side, q.ticks) for q in quotes(100.0, 5, (1, 999), p)] == [(BUY, 97), (SELL, 99)]


@pytest.mark.parametrize("field", ["risk_aversion", "volatility_ticks", "liquidity", "horizon_seconds", "levels"])
def test_parameters_that_mean_nothing_are_refused(field):
    with pytest.raises(ValueError, match=field):
        Parameters(**{field: 0})


@given(st.integers(0, 2**32))
def test_the_fair_price_stays_inside_and_comes_again_with_its_seed(seed):
    walks = []
    for _ in range(2):
        fair = FairPrice(INSTRUMENT, Random(seed), volatility_ticks=500)
        walks.append([fair.move(0.5) for _ in range(50)])
    assert walks[0] == walks[1]
    assert all(INSTRUMENT.min_ticks < ticks < INSTRUMENT.max_ticks for ticks in walks[0])


class Paper:
    """A session that only writes down what it is asked to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str, Decimal | None, str]] = []

    def _next(self, kind, orig, side, price):
        name = f"p{len(self.sent)}"
        self.sent.append((kind, name, side, price, orig))
        return name

    def order(self, symbol, side, qty, price=None, **fields):
        return self._next("D", "", side, price)

    def cancel(self, orig, symbol, side, **fields):
        return self._next("F", orig, side, None)

    def replace(self, orig, symbol, side, qty, price, **fields):
        return self._next("G", orig, side, price)


def message(*pairs):
    found = simplefix.FixMessage()
    for tag, value in pairs:
        found.append_pair(tag, value)
    return found


OUTCOMES = ("taken", "filled", "part", "refused", "late")


@given(st.lists(st.tuples(st.floats(9_000, 11_000), st.lists(st.sampled_from(OUTCOMES), max_size=6)), max_size=30))
def test_a_maker_never_has_two_orders_a_level_nor_meets_itself(turns):
    """Whatever the venue answers, and in whatever order it fills: the venue here is a dictionary of open orders."""
    paper, open_orders = Paper(), {}
    maker = MarketMaker(paper, INSTRUMENT, Parameters())
    answered = 0
    for fair, outcomes in turns:
        maker.turn(fair)
        wishes = iter(outcomes)
        for kind, name, side, price, orig in paper.sent[answered:]:
            outcome = next(wishes, "taken")
            head = ((55, INSTRUMENT.symbol), (54, "1" if side == BUY else "2"), (11, name))
            if kind != "D" and outcome == "late" and orig in open_orders:
                del open_orders[orig]
                maker.on_message(message((35, "8"), (150, "F"), (39, "2"), (11, orig), *head[:2], (32, "10")))
            if kind != "D" and orig not in open_orders:
                maker.on_message(message((35, "9"), (11, name), (41, orig), (102, "1")))
                continue
            if outcome == "refused":
                answer = ((35, "8"), (150, "8"), (39, "8")) if kind == "D" else ((35, "9"), (102, "2"), (41, orig))
                maker.on_message(message(*answer, *(head if kind == "D" else head[2:])))
                continue
            if kind != "D":
                del open_orders[orig]
            if kind != "F":
                open_orders[name] = (side, price)
                opposite = [p for s, p in open_orders.values() if s != side]
                assert all(p > price if side == BUY else p < price for p in opposite), "met itself"
            state = {"D": ("0", "0"), "G": ("5", "0"), "F": ("4", "4")}[kind]
            maker.on_message(message((35, "8"), (150, state[0]), (39, state[1]), (41, orig), *head))
            if outcome == "filled" and kind != "F":
                del open_orders[name]
                maker.on_message(message((35, "8"), (150, "F"), (39, "2"), *head, (32, "10")))
            elif outcome == "part" and kind != "F":
                maker.on_message(message((35, "8"), (150, "F"), (39, "1"), *head, (32, "1")))
        answered = len(paper.sent)
        maker.check()
        assert {w.clordid for w in maker.working.values()} == set(open_orders)


@given(st.lists(st.tuples(st.sampled_from(("1", "2")), st.integers(1, 50), st.booleans()), max_size=20))
def test_a_busted_trade_leaves_the_inventory_as_if_it_had_not_been(trades):
    maker = MarketMaker(Paper(), INSTRUMENT, Parameters())
    maker.turn(10_000.0)
    (name, working), *_ = [(w.clordid, dict(maker.working)) for w in maker.working.values()]
    kept = 0
    for side, lots, busted in trades:
        facts = ((11, name), (32, str(lots * INSTRUMENT.lot)), (55, INSTRUMENT.symbol), (54, side))
        maker.on_message(message((35, "8"), (150, "F"), (39, "1"), *facts))
        if busted:
            assert maker.on_message(message((35, "8"), (150, "H"), (39, "4"), *facts))
        else:
            kept += lots if side == "1" else -lots
        assert not maker.on_message(message((35, "8"), (150, "H"), (39, "4"), (55, "OTHER"), (54, side), (32, "1")))
    assert maker.inventory_lots == kept and maker.working == working


@given(st.integers(0, 2**32), st.floats(0.5, 50))
def test_the_flow_keeps_its_bounds(seed, rate):
    paper = Paper()
    flow = BackgroundFlow(paper, INSTRUMENT, Random(seed), rate)
    for _ in range(40):
        flow.turn(10_000.0, 0.5)
        flow.check()
    prices = [price for kind, _, _, price, _ in paper.sent if kind == "D"]
    assert all(INSTRUMENT.price_min <= price <= INSTRUMENT.price_max for price in prices)
    assert len(flow.waiting) <= WAITING_MAX


def test_a_rate_that_means_nothing_is_refused():
    with pytest.raises(ValueError, match="orders_per_second"):
        BackgroundFlow(Paper(), INSTRUMENT, Random(1), 0)
