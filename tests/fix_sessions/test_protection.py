"""Market-maker protection: the rolling window against a plain sum, and the names of quotes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cores import Side
from fix_sessions import quote_names
from fix_sessions.protection import Limits, Protection
from venue.config import ConfigError
from venue.config_sections import ProtectionSection

TRADES = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20), st.booleans()), max_size=60)
LIMITS = st.builds(Limits, st.integers(0, 100), st.integers(0, 80), st.integers(0, 40), st.integers(0, 12))
TEXTS = st.binary(min_size=1, max_size=24).filter(lambda text: not set(text) & {0, 1})


@given(limits=LIMITS, trades=TRADES, resets=st.sets(st.integers(0, 60)))
def test_it_trips_when_the_window_reaches_a_limit_and_not_before(limits, trades, resets):
    """Against the sums over all trades since the last reset that are less than a window old."""
    protection, seen, now = Protection(limits), [], 0
    for index, (later, lots, buy) in enumerate(trades):
        if index in resets:
            protection.reset()
            seen.clear()
        now += later
        seen.append((now, lots if buy else -lots))
        before = protection.tripped
        tripped = protection.trade(now, lots, buy=buy)
        window = [lots for time, lots in seen if time > now - limits.window_ns]
        over = limits.window_ns > 0 and (
            0 < limits.quantity_lots <= sum(map(abs, window))
            or 0 < limits.delta_lots <= abs(sum(window))
            or 0 < limits.trades <= len(window)
        )
        assert tripped == (over and not before)
        assert protection.tripped == (before or over)
        protection.check()


def test_a_trade_as_old_as_the_window_counts_no_more():
    protection = Protection(Limits(window_ns=10, trades=2))
    assert not protection.trade(100, 1, buy=True)
    assert not protection.trade(110, 1, buy=True)
    assert protection.trade(119, 1, buy=True)
    assert protection.breach() == "trades"


def test_what_is_bought_and_sold_again_has_no_delta():
    protection = Protection(Limits(window_ns=10, delta_lots=5))
    assert not protection.trade(1, 4, buy=True)
    assert not protection.trade(1, 4, buy=False)
    assert not protection.trade(1, 4, buy=False)
    assert protection.trade(1, 1, buy=False)
    assert protection.breach() == "delta" and protection.net_lots == -5


def test_part_of_a_lot_counts_as_a_whole_one():
    section = ProtectionSection(window_ms=5, quantity=Decimal("10.1"), delta=Decimal(0), trades=3)
    assert Limits.of(section, Decimal("0.5")) == Limits(5_000_000, 21, 0, 3)


@given(side=st.sampled_from([Side.BUY, Side.SELL]), quote_id=TEXTS, entry_id=TEXTS)
def test_a_name_says_what_it_was_made_of(side, quote_id, entry_id):
    if quote_names.quote_id_fault(quote_id) or quote_names.entry_id_fault(entry_id):
        return
    name = quote_names.compose(int(side), quote_id, entry_id)
    assert len(name) < 40 and quote_names.parse(name) == (side, quote_id, entry_id)


@pytest.mark.parametrize("name", [b"", b"~", b"~B", b"~Bq", b"~Xq~e", b"B~q~e", b"order"])
def test_what_is_no_quote(name: bytes):
    assert quote_names.parse(name) is None


@pytest.mark.parametrize(
    ("mmp", "text"),
    [
        ("{ window_ms = 100 }", "set together"),
        ("{ trades = 3 }", "set together"),
        ("{ window_ms = 100, trades = -1, delta = 1 }", "not be negative"),
        ("{ window_ms = 3600001, trades = 1 }", "from 1 to 3600000"),
        ("{ window = 1 }", "unknown key 'window'; did you mean 'window_ms'"),
    ],
)
def test_settings_that_do_not_fit(tmp_path, mmp: str, text: str):
    from tests.fix_sessions.rig import make_config

    with pytest.raises(ConfigError, match=text):
        make_config(tmp_path, alpha=f"mmp = {mmp}")
