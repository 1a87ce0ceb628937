"""The edge cases of trading, one test each and named by what it shows: exact events and money, both implementations.

Lines are `KIND order @price xquantity left leaves`, with aux (a fee, a stop price, a phase left) when it is not 0. The
rules of spec/matching_rules.md that a test stands on are named in it. Auctions and stops: test_edge_auctions.py.
"""

from __future__ import annotations

import pytest

from cores import CommandFlag, CommandKind, OrdType, Phase, Side, Smp, Tif
from cores.records import AMOUNT_MAX, FLAG_SMP_SHIFT, QTY_LOTS_MAX, Limit
from tests.cores.fix_cores import PRICE_HIGH, PRICE_LOW, account, deposit, instrument
from tests.cores.fix_market import BASE, QUOTE, Make, Market

BUY, SELL = Side.BUY, Side.SELL


def smp(mode: Smp) -> int:
    return mode << FLAG_SMP_SHIFT


def own_orders_at_two_levels(make: Make) -> Market:
    """Accounts 1 and 2 are one group; own sells a, c and foreign sells b, d alternate over 120, 121 and 122."""
    market = Market(make)
    market.group(1, 2)
    market.new("a", 1, SELL, 120, 2)
    market.new("b", 3, SELL, 120, 3)
    market.new("c", 1, SELL, 121, 2)
    market.new("d", 3, SELL, 122, 4)
    return market


# ---- self-match (T2) ----


def test_self_match_cancels_the_resting_orders_of_several_levels(make: Make) -> None:
    market = own_orders_at_two_levels(make)
    market.new("x", 2, BUY, 122, 8, flags=smp(Smp.CANCEL_RESTING))
    market.see("""
        ACCEPTED x @122 x8 left 8 flags 32
        CANCELLED a CANCEL_SELF_MATCH @120 x2 left 0
        FILL b @120 x3 left 0 aux 1
        FILL x @120 x3 left 5 aux 4 AGGRESSOR
        CANCELLED c CANCEL_SELF_MATCH @121 x2 left 0
        FILL d @122 x4 left 0 aux 2
        FILL x @122 x4 left 1 aux 6 AGGRESSOR
    """)
    assert market.money(1) == "base +0 hold 0, quote +0 hold 0"
    assert market.money(2) == "base +70 hold 0, quote -4250 hold 611"
    assert market.money(0) == "base +0 hold 0, quote +13 hold 0"


def test_self_match_cancels_the_aggressor_at_the_second_level(make: Make) -> None:
    market = own_orders_at_two_levels(make)
    market.cancel("a")
    market.new("x", 2, BUY, 122, 8, flags=smp(Smp.CANCEL_AGGRESSOR))
    market.see("""
        ACCEPTED x @122 x8 left 8 flags 16
        FILL b @120 x3 left 0 aux 1
        FILL x @120 x3 left 5 aux 4 AGGRESSOR
        CANCELLED x CANCEL_SELF_MATCH @122 x5 left 0
    """)
    assert market.book() == "c 2+0, d 4+0"
    assert market.money(2) == "base +30 hold 0, quote -1804 hold 0"


def test_self_match_cancels_both_at_the_second_level(make: Make) -> None:
    market = own_orders_at_two_levels(make)
    market.cancel("a")
    market.new("x", 2, BUY, 122, 8, flags=smp(Smp.CANCEL_BOTH))
    market.see("""
        ACCEPTED x @122 x8 left 8 flags 48
        FILL b @120 x3 left 0 aux 1
        FILL x @120 x3 left 5 aux 4 AGGRESSOR
        CANCELLED c CANCEL_SELF_MATCH @121 x2 left 0
        CANCELLED x CANCEL_SELF_MATCH @122 x5 left 0
    """)
    assert market.book() == "d 4+0"


def test_self_match_decrements_at_several_levels(make: Make) -> None:
    market = own_orders_at_two_levels(make)
    market.new("x", 2, BUY, 122, 8, flags=smp(Smp.DECREMENT))
    market.see("""
        ACCEPTED x @122 x8 left 8 flags 64
        CANCELLED a CANCEL_SELF_MATCH @120 x2 left 0
        RESTATED x CANCEL_SELF_MATCH @122 x6 left 6
        FILL b @120 x3 left 0 aux 1
        FILL x @120 x3 left 3 aux 4 AGGRESSOR
        CANCELLED c CANCEL_SELF_MATCH @121 x2 left 0
        RESTATED x CANCEL_SELF_MATCH @122 x4 left 1
        FILL d @122 x1 left 3
        FILL x @122 x1 left 0 aux 1 AGGRESSOR
    """)
    assert market.book() == "d 3+0"
    assert market.money(1) == "base +0 hold 0, quote +0 hold 0"
    assert market.money(2) == "base +40 hold 0, quote -2415 hold 0"


def test_decrement_of_equal_quantities_cancels_both(make: Make) -> None:
    market = Market(make)
    market.group(1, mode=Smp.DECREMENT)
    market.new("a", 1, SELL, 120, 5)
    market.new("x", 1, BUY, 120, 5)
    market.see("""
        ACCEPTED x @120 x5 left 5
        CANCELLED a CANCEL_SELF_MATCH @120 x5 left 0
        CANCELLED x CANCEL_SELF_MATCH @120 x5 left 0
    """)
    assert market.money(1) == "base +0 hold 0, quote +0 hold 0"


def test_decrement_takes_only_what_an_iceberg_shows_and_refreshes_it(make: Make) -> None:
    market = Market(make)
    market.group(1, mode=Smp.DECREMENT)
    market.new("a", 1, SELL, 120, 5, order_id=2)
    market.new("x", 1, BUY, 120, 3)
    market.see("""
        ACCEPTED x @120 x3 left 3
        RESTATED a CANCEL_SELF_MATCH @120 x3 left 3
        RESTATED x CANCEL_SELF_MATCH @120 x1 left 1
        REFRESHED a @120 x2 left 3
        RESTATED a CANCEL_SELF_MATCH @120 x2 left 2
        CANCELLED x CANCEL_SELF_MATCH @120 x1 left 0
    """)
    assert market.book() == "a 1+1"


# ---- REPLACE (R1..R4) ----


def test_replace_across_the_book_trades_through_levels_and_rests(make: Make) -> None:
    market = Market(make)
    market.new("a", 2, SELL, 120, 2)
    market.new("b", 2, SELL, 121, 2)
    market.new("x", 1, BUY, 110, 3)
    market.replace("x", 121, 6)
    market.see("""
        REPLACED x @121 x6 left 6
        FILL a @120 x2 left 0 aux 1
        FILL x @120 x2 left 4 aux 3 AGGRESSOR
        FILL b @121 x2 left 0 aux 1
        FILL x @121 x2 left 2 aux 3 AGGRESSOR
    """)
    assert market.book() == "x 2+0"
    assert market.money(1) == "base +40 hold 0, quote -2416 hold 1213"


def test_replace_of_an_iceberg_up_goes_to_the_end_and_shows_its_display(make: Make) -> None:
    market = Market(make)
    market.new("a", 1, BUY, 110, 9, order_id=4)
    market.new("b", 1, BUY, 110, 1)
    market.new("x", 2, SELL, 110, 3, tif=Tif.IOC)
    market.replace("a", 110, 12)
    market.see("""
        REPLACED a @110 x12 left 9
    """)
    assert market.book() == "b 1+0, a 4+5"


def test_replace_of_an_iceberg_down_takes_hidden_lots_first(make: Make) -> None:
    market = Market(make)
    market.new("a", 1, BUY, 110, 9, order_id=4)
    market.new("b", 1, BUY, 110, 1)
    market.replace("a", 110, 5)
    market.see("""
        REPLACED a @110 x5 left 5 PRIORITY_KEPT
    """)
    assert market.book() == "a 4+1, b 1+0"
    market.replace("a", 110, 3)
    assert market.book() == "a 3+0, b 1+0"


# ---- icebergs (T5), what must be filled at once (N13) ----


def test_sweep_of_an_iceberg_at_the_touch_refreshes_behind_the_level(make: Make) -> None:
    market = Market(make)
    market.new("ice", 1, SELL, 120, 7, order_id=3)
    market.new("b", 2, SELL, 120, 2)
    market.new("x", 3, BUY, 121, 12)
    market.see("""
        ACCEPTED x @121 x12 left 12
        FILL ice @120 x3 left 4 aux 1
        FILL x @120 x3 left 9 aux 4 AGGRESSOR
        REFRESHED ice @120 x3 left 4
        FILL b @120 x2 left 0 aux 1
        FILL x @120 x2 left 7 aux 3 AGGRESSOR
        FILL ice @120 x3 left 1 aux 1
        FILL x @120 x3 left 4 aux 4 AGGRESSOR
        REFRESHED ice @120 x1 left 1
        FILL ice @120 x1 left 0
        FILL x @120 x1 left 3 aux 1 AGGRESSOR
    """)
    assert market.money(1) == "base -70 hold 0, quote +4198 hold 0"


def test_fok_is_filled_out_of_hidden_lots(make: Make) -> None:
    market = Market(make)
    market.new("ice", 1, SELL, 120, 7, order_id=3)
    market.new("x", 2, BUY, 120, 7, tif=Tif.FOK)
    market.see("""
        ACCEPTED x @120 x7 left 7
        FILL ice @120 x3 left 4 aux 1
        FILL x @120 x3 left 4 aux 4 AGGRESSOR
        REFRESHED ice @120 x3 left 4
        FILL ice @120 x3 left 1 aux 1
        FILL x @120 x3 left 1 aux 4 AGGRESSOR
        REFRESHED ice @120 x1 left 1
        FILL ice @120 x1 left 0
        FILL x @120 x1 left 0 aux 1 AGGRESSOR
    """)


def test_fok_one_lot_above_shown_and_hidden_is_cancelled(make: Make) -> None:
    market = Market(make)
    market.new("ice", 1, SELL, 120, 7, order_id=3)
    market.new("x", 2, BUY, 120, 8, tif=Tif.FOK)
    market.see("""
        ACCEPTED x @120 x8 left 8
        CANCELLED x CANCEL_FOK @120 x8 left 0
    """)
    assert market.book() == "ice 3+4"


def test_min_qty_counts_hidden_lots(make: Make) -> None:
    market = Market(make)
    market.new("ice", 1, SELL, 120, 7, order_id=3)
    market.new("x", 2, BUY, 120, 9, aux=8)
    market.see("""
        ACCEPTED x @120 x9 left 9 aux 8
        CANCELLED x CANCEL_MIN_QTY @120 x9 left 0
    """)
    market.new("y", 2, BUY, 120, 9, aux=7, tif=Tif.IOC)
    market.see("""
        ACCEPTED y @120 x9 left 9 aux 7
        FILL ice @120 x3 left 4 aux 1
        FILL y @120 x3 left 6 aux 4 AGGRESSOR
        REFRESHED ice @120 x3 left 4
        FILL ice @120 x3 left 1 aux 1
        FILL y @120 x3 left 3 aux 4 AGGRESSOR
        REFRESHED ice @120 x1 left 1
        FILL ice @120 x1 left 0
        FILL y @120 x1 left 2 aux 1 AGGRESSOR
        CANCELLED y CANCEL_IOC @120 x2 left 0
    """)


def test_market_fok_counts_what_its_money_pays_fill_by_fill(make: Make) -> None:
    """Funds for 5 lots at 120 with their fee, and not one unit more: shown lots, then hidden ones."""
    market = Market(make, funds=3_000 + 4 + 3)  # fees floor(1800 * 25 bp) = 4 and floor(1200 * 25 bp) = 3
    market.new("ice", 1, SELL, 120, 5, order_id=3)
    market.new("x", 2, BUY, 0, 5, ord_type=OrdType.MARKET, tif=Tif.FOK)
    market.see("""
        ACCEPTED x @0 x5 left 5
        FILL ice @120 x3 left 2 aux 1
        FILL x @120 x3 left 2 aux 4 AGGRESSOR
        REFRESHED ice @120 x2 left 2
        FILL ice @120 x2 left 0 aux 1
        FILL x @120 x2 left 0 aux 3 AGGRESSOR
    """)
    assert market.money(2) == "base +50 hold 0, quote -3007 hold 0"


def test_fok_stops_counting_at_an_own_order(make: Make) -> None:
    market = own_orders_at_two_levels(make)
    market.new("x", 2, BUY, 122, 7, tif=Tif.FOK, flags=smp(Smp.CANCEL_RESTING))
    market.see("""
        ACCEPTED x @122 x7 left 7 flags 32
        CANCELLED a CANCEL_SELF_MATCH @120 x2 left 0
        FILL b @120 x3 left 0 aux 1
        FILL x @120 x3 left 4 aux 4 AGGRESSOR
        CANCELLED c CANCEL_SELF_MATCH @121 x2 left 0
        FILL d @122 x4 left 0 aux 2
        FILL x @122 x4 left 0 aux 6 AGGRESSOR
    """)
    market = own_orders_at_two_levels(make)
    market.new("x", 2, BUY, 122, 1, tif=Tif.FOK, flags=smp(Smp.CANCEL_AGGRESSOR))
    market.see("""
        ACCEPTED x @122 x1 left 1 flags 16
        CANCELLED x CANCEL_FOK @122 x1 left 0
    """)


def test_all_or_none_that_cannot_be_filled_is_cancelled_and_rests_where_nothing_trades(make: Make) -> None:
    market = Market(make)
    market.new("a", 1, SELL, 120, 3)
    market.new("x", 2, BUY, 120, 4, flags=CommandFlag.ALL_OR_NONE)
    market.see("""
        ACCEPTED x @120 x4 left 4 flags 4
        CANCELLED x CANCEL_ALL_OR_NONE @120 x4 left 0
    """)
    market.new("y", 2, BUY, 119, 4, flags=CommandFlag.ALL_OR_NONE)
    market.see("""
        ACCEPTED y @119 x4 left 4 flags 4
    """)


# ---- collars (C1, C2) ----


def with_a_collar(make: Make) -> Market:
    """Last price 120, dynamic collar 100 bp: the band is 119..121."""
    market = Market(make)
    market.new("s", 3, SELL, 120, 1)
    market.new("t", 4, BUY, 120, 1)
    market.limit(Limit.COLLAR, 100)
    return market


def test_all_or_none_outside_the_band_trips_nothing(make: Make) -> None:
    market = with_a_collar(make)
    market.new("a", 1, SELL, 122, 5)
    market.new("x", 2, BUY, 122, 5, flags=CommandFlag.ALL_OR_NONE)
    market.see("""
        ACCEPTED x @122 x5 left 5 flags 4
        CANCELLED x CANCEL_ALL_OR_NONE @122 x5 left 0
    """)
    assert market.core.phase(0) == Phase.CONTINUOUS


def test_order_beyond_the_band_trades_up_to_it_and_its_rest_waits_in_the_call(make: Make) -> None:
    market = with_a_collar(make)
    market.new("a", 1, SELL, 121, 2)
    market.new("b", 1, SELL, 122, 5)
    market.new("x", 2, BUY, 123, 5)
    market.see("""
        ACCEPTED x @123 x5 left 5
        FILL a @121 x2 left 0 aux 1
        FILL x @121 x2 left 3 aux 3 AGGRESSOR
        PHASE CANCEL_VOLATILITY @0 x0 left 3 aux 1
    """)
    assert market.book() == "x 3+0, b 5+0"
    market.phase(Phase.CONTINUOUS)
    market.see("""
        FILL x @122 x3 left 0 aux 4 AUCTION
        FILL b @122 x3 left 2 aux 4 AUCTION
        PHASE @122 x3 left 1 aux 3
    """)


@pytest.mark.parametrize("fields", [{"tif": Tif.IOC}, {"ord_type": OrdType.MARKET}], ids=["ioc", "market"])
def test_rest_of_an_order_that_may_not_wait_is_cancelled_after_the_trip(make: Make, fields: dict[str, int]) -> None:
    market = with_a_collar(make)
    market.new("a", 1, SELL, 122, 5)
    market.new("x", 2, BUY, 123, 5, **fields)
    assert market.lines[1] == "PHASE CANCEL_VOLATILITY @0 x0 left 3 aux 1"
    assert market.lines[2] == f"CANCELLED x CANCEL_VOLATILITY @{0 if 'ord_type' in fields else 123} x5 left 0"
    assert len(market.lines) == 3


def test_ioc_fok_post_only_and_min_qty_are_not_taken_in_a_call(make: Make) -> None:
    market = Market(make)
    market.phase(Phase.PRE_OPEN)
    for fields in ({"tif": Tif.IOC}, {"tif": Tif.FOK}, {"flags": CommandFlag.POST_ONLY}, {"aux": 1}, {"flags": 4}):
        market.new("x", 1, BUY, 120, 1, **fields)
        assert market.lines[0].startswith("REJECTED x REJECT_BAD_PHASE"), fields


# ---- post-only (N8), market-to-limit (N12) ----


def test_post_only_slides_one_tick_behind_the_touch_and_shows_that_price(make: Make) -> None:
    market = Market(make)
    market.new("a", 1, SELL, 120, 5)
    market.new("x", 2, BUY, 125, 2, flags=CommandFlag.POST_ONLY | CommandFlag.SLIDE)
    market.see("""
        ACCEPTED x @119 x2 left 2 flags 3
    """)
    assert market.money(2) == "base +0 hold 0, quote +0 hold 1192"


def test_post_only_cannot_slide_out_of_the_window(make: Make) -> None:
    market = Market(make)
    market.new("a", 1, SELL, PRICE_LOW, 5)
    market.new("x", 2, BUY, 125, 2, flags=CommandFlag.POST_ONLY | CommandFlag.SLIDE)
    market.see("""
        REJECTED x REJECT_POST_ONLY_WOULD_CROSS @125 x2 left 0 flags 3
    """)
    market.cancel("a")
    market.new("b", 1, BUY, PRICE_HIGH, 5)
    market.new("y", 2, SELL, 125, 2, flags=CommandFlag.POST_ONLY | CommandFlag.SLIDE)
    market.see("""
        REJECTED y REJECT_POST_ONLY_WOULD_CROSS @125 x2 left 0 flags 3
    """)


def test_market_to_limit_without_another_side_has_no_price(make: Make) -> None:
    market = Market(make)
    market.new("x", 1, BUY, 0, 4, ord_type=OrdType.MARKET_TO_LIMIT)
    market.see("""
        ACCEPTED x @0 x4 left 4
        CANCELLED x CANCEL_NO_PRICE @0 x4 left 0
    """)


def test_market_to_limit_rests_at_the_price_it_found(make: Make) -> None:
    market = Market(make)
    market.new("a", 1, SELL, 120, 3)
    market.new("b", 1, SELL, 121, 3)
    market.new("x", 2, BUY, 0, 5, ord_type=OrdType.MARKET_TO_LIMIT)
    market.see("""
        ACCEPTED x @120 x5 left 5
        FILL a @120 x3 left 0 aux 1
        FILL x @120 x3 left 2 aux 4 AGGRESSOR
    """)
    assert market.book() == "x 2+0, b 3+0"
    assert market.money(2) == "base +30 hold 0, quote -1804 hold 1203"


# ---- time (G7, M1, M2) ----


def test_gtd_order_trades_in_the_nanosecond_of_its_expiry_until_time_ends_it(make: Make) -> None:
    market = Market(make)
    market.new("a", 1, SELL, 120, 5, tif=Tif.GTD, aux=1_000)
    market.new("x", 2, BUY, 120, 2, time_ns=1_000)
    market.see("""
        ACCEPTED x @120 x2 left 2
        FILL a @120 x2 left 3 aux 1
        FILL x @120 x2 left 0 aux 3 AGGRESSOR
    """)
    market.send(kind=CommandKind.TIME, flags=CommandFlag.TIME_EXPIRE, time_ns=1_000)
    market.see("""
        EXPIRED a @120 x3 left 0
        CLOCK @0 x1 left 0 flags 2
    """)
    assert market.money(1) == "base -20 hold 0, quote +1199 hold 0"


def test_gtd_order_of_the_next_nanosecond_stays(make: Make) -> None:
    market = Market(make)
    market.new("a", 1, SELL, 120, 5, tif=Tif.GTD, aux=1_001)
    market.send(kind=CommandKind.TIME, flags=CommandFlag.TIME_EXPIRE, time_ns=1_000)
    market.see("""
        CLOCK @0 x0 left 0 flags 2
    """)


def test_mass_cancel_walks_bids_asks_waiting_stops_and_dormant_orders(make: Make) -> None:
    market = Market(make)
    market.new("dormant", 1, SELL, 110, 1, tif=Tif.AT_CLOSE)
    market.new("stop sell", 1, SELL, 0, 1, ord_type=OrdType.STOP, order_id=101)
    market.new("stop buy", 1, BUY, 140, 1, ord_type=OrdType.STOP_LIMIT, order_id=140)
    market.new("ask", 1, SELL, 130, 1)
    market.new("bid low", 1, BUY, 109, 1)
    market.new("bid high", 1, BUY, 110, 1)
    market.new("foreign", 2, BUY, 110, 1)
    market.send(kind=CommandKind.MASS_CANCEL, account=1)
    market.see("""
        CANCELLED bid high CANCEL_MASS @110 x1 left 0
        CANCELLED bid low CANCEL_MASS @109 x1 left 0
        CANCELLED ask CANCEL_MASS @130 x1 left 0
        CANCELLED stop buy CANCEL_MASS @140 x1 left 0
        CANCELLED stop sell CANCEL_MASS @0 x1 left 0
        CANCELLED dormant CANCEL_MASS @110 x1 left 0
        MASS_CANCELLED @0 x6 left 0
    """)
    assert market.book() == "foreign 1+0"
    assert market.money(1) == "base +0 hold 0, quote +0 hold 0"


def test_waiting_and_dormant_orders_are_cancelled_and_give_back_their_holds(make: Make) -> None:
    market = Market(make)
    market.new("dormant", 1, BUY, 0, 2, ord_type=OrdType.MARKET, tif=Tif.AT_CLOSE)
    market.new("stop", 1, SELL, 0, 3, ord_type=OrdType.STOP, order_id=101)
    assert market.money(1) == "base +0 hold 30, quote +0 hold 1634"
    market.cancel("dormant")
    market.see("""
        CANCELLED dormant @0 x2 left 0
    """)
    market.cancel("stop")
    market.see("""
        CANCELLED stop @0 x3 left 0
    """)
    assert market.money(1) == "base +0 hold 0, quote +0 hold 0"


# ---- limits (N1, N7, L2..L4) ----


def test_killed_session_may_cancel_and_works_again_when_re_armed(make: Make) -> None:
    """ROE-40"""
    market = Market(make)
    market.new("a", 1, BUY, 110, 1)
    market.limit(Limit.KILL_SESSION, 1, session=1)
    market.new("b", 1, BUY, 110, 1)
    market.see("""
        REJECTED b REJECT_KILLED @110 x1 left 0
    """)
    market.replace("a", 110, 2)
    assert market.lines[0].startswith("CANCEL_REJECTED a REJECT_KILLED")
    market.cancel("a")
    market.see("""
        CANCELLED a @110 x1 left 0
    """)
    market.limit(Limit.KILL_SESSION, 0, session=1)
    market.new("c", 1, BUY, 110, 1)
    market.see("""
        ACCEPTED c @110 x1 left 1
    """)


def test_killed_member_stops_all_its_accounts_and_no_other(make: Make) -> None:
    market = Market(make)
    market.send(**account(1, qty_lots=3))
    market.limit(Limit.KILL_MEMBER, 1, account=3)
    for number, taken in ((1, False), (2, True), (3, False)):
        market.new("x", number, BUY, 110, 1)
        assert market.lines[0].startswith("ACCEPTED" if taken else "REJECTED x REJECT_KILLED")
    market.send(**account(3, flags=0))
    market.new("x", 1, BUY, 110, 1)
    assert market.lines[0].startswith("REJECTED x REJECT_KILLED"), "ACCOUNT keeps it"


def test_a_second_of_messages_ends_exactly_a_second_after_its_first(make: Make) -> None:
    market = Market(make)
    market.limit(Limit.MESSAGES, 2, account=1)
    start, second = 5_000_000_000, 1_000_000_000
    for time_ns, taken in ((start, 1), (start + 7, 1), (start + second - 1, 0), (start + second, 1)):
        market.new("x", 1, BUY, 110, 1, time_ns=time_ns)
        assert market.lines[0].startswith("ACCEPTED" if taken else "REJECTED x REJECT_THROTTLED"), time_ns


def test_a_duplicate_is_refused_until_exactly_the_window_has_passed(make: Make) -> None:
    market = Market(make)
    market.limit(Limit.DUPLICATE_NS, 100, account=1)
    for time_ns, lots, taken in ((1_000, 1, 1), (1_099, 1, 0), (1_099, 2, 1), (1_100, 1, 1), (1_200, 1, 1)):
        market.new("x", 1, BUY, 110, lots, time_ns=time_ns)
        assert market.lines[0].startswith("ACCEPTED" if taken else "REJECTED x REJECT_DUPLICATE"), time_ns


# ---- money (T4), and the edges of the numbers ----


def test_market_buy_that_runs_out_of_funds_stops_before_the_fill_it_cannot_pay(make: Make) -> None:
    market = Market(make, funds=120 * 5 * 3 + 4 + 100)
    market.new("a", 1, SELL, 120, 3)
    market.new("b", 1, SELL, 121, 3)
    market.new("x", 2, BUY, 0, 5, ord_type=OrdType.MARKET)
    market.see("""
        ACCEPTED x @0 x5 left 5
        FILL a @120 x3 left 0 aux 1
        FILL x @120 x3 left 2 aux 4 AGGRESSOR
        CANCELLED x CANCEL_FUNDS @0 x2 left 0
    """)
    assert market.money(2) == "base +30 hold 0, quote -1804 hold 0"


def test_a_rebate_is_never_more_than_the_fee_it_is_part_of(make: Make) -> None:
    """Maker -50 bp: 9 of 1,800, but the taker of this fill pays only 4; of the next, at 100 bp, 18."""
    market = Market(make)
    market.send(**account(1, (1 << 32) - 50, 0))
    market.send(**account(3, 0, 100))
    market.new("a", 1, SELL, 120, 6)
    market.new("x", 2, BUY, 120, 3)
    market.see("""
        ACCEPTED x @120 x3 left 3
        FILL a @120 x3 left 3 aux -4
        FILL x @120 x3 left 0 aux 4 AGGRESSOR
    """)
    market.new("y", 3, BUY, 120, 3)
    market.see("""
        ACCEPTED y @120 x3 left 3
        FILL a @120 x3 left 0 aux -9
        FILL y @120 x3 left 0 aux 18 AGGRESSOR
    """)
    assert market.money(0) == "base +0 hold 0, quote +9 hold 0"


def test_notional_with_its_fee_may_be_exactly_amount_max(make: Make) -> None:
    """2^62 - 1 = 3 ticks of (2^62 - 1) / 3; at 4 ticks, of 2 lots, or with any fee it is above."""
    market = Market(make, funds=1)
    market.send(**account(1, 0, 0))
    market.send(**account(2, 0, 1))
    market.send(**instrument(1, order_id=1, aux=AMOUNT_MAX // 3, price_ticks=1, qty_lots=64))
    for number in (2, 3, 4):
        market.send(kind=CommandKind.WITHDRAW, account=number, asset=QUOTE, qty_lots=1)
    market.send(**deposit(1, QUOTE, AMOUNT_MAX - 1))
    for number, price, lots in ((1, 4, 1), (1, 3, 2), (2, 3, 1), (1, 64, QTY_LOTS_MAX)):
        market.new("x", number, BUY, price, lots, symbol=1)
        assert market.lines[0].startswith("REJECTED x REJECT_NOTIONAL_TOO_LARGE"), (number, price, lots)
    market.new("x", 1, BUY, 3, 1, symbol=1)
    assert market.lines[0].startswith("ACCEPTED")
    assert market.core.balance(1, QUOTE)[:2] == (AMOUNT_MAX, AMOUNT_MAX)
    market.new("a", 2, SELL, 1, 1, symbol=1)
    assert market.lines[0].startswith("ACCEPTED"), "a sell of little is no sell of too much"
    assert market.core.balance(1, QUOTE)[:2] == (0, 0)


def test_base_units_may_be_exactly_amount_max(make: Make) -> None:
    """2^62 - 1 = 3 lots of (2^62 - 1) / 3."""
    market = Market(make, funds=1, order_id=1, aux=1)
    market.send(**instrument(1, order_id=AMOUNT_MAX // 3, aux=1))
    market.send(**deposit(1, BASE, AMOUNT_MAX - 4))
    for number in (2, 3, 4):
        market.send(kind=CommandKind.WITHDRAW, account=number, asset=BASE, qty_lots=1)
    market.send(**deposit(1, BASE, 3))
    assert market.core.balance(1, BASE)[0] == AMOUNT_MAX and AMOUNT_MAX % 3 == 0
    market.new("x", 1, SELL, 120, 4, symbol=1)
    assert market.lines[0].startswith("REJECTED x REJECT_NOTIONAL_TOO_LARGE")
    market.new("x", 1, SELL, 120, 3, symbol=1)
    assert market.lines[0].startswith("ACCEPTED")
    assert market.core.balance(1, BASE)[1] == AMOUNT_MAX


def test_supply_and_credit_lines_may_be_exactly_amount_max(make: Make) -> None:
    market = Market(make, funds=1)
    market.limit(Limit.CREDIT, 10, account=2, asset=QUOTE)
    market.send(**deposit(1, QUOTE, AMOUNT_MAX - 13))
    assert market.lines[0].startswith("COMMAND_REJECTED REJECT_BAD_AMOUNT")
    market.send(**deposit(1, QUOTE, AMOUNT_MAX - 14))
    market.see("""
        DEPOSITED @0 x4611686018427387889 left 4611686018427387890
    """)
    market.limit(Limit.CREDIT, 11, account=2, asset=QUOTE)
    assert market.lines[0].startswith("COMMAND_REJECTED REJECT_BAD_AMOUNT")
    market.send(kind=CommandKind.WITHDRAW, account=1, asset=QUOTE, qty_lots=AMOUNT_MAX - 13)
    market.see("""
        WITHDRAWN @0 x4611686018427387890 left 0
    """)


def test_exposure_may_be_exactly_the_gross_limit(make: Make) -> None:
    market = Market(make)
    market.new("a", 1, SELL, 130, 2)
    market.limit(Limit.GROSS, 50, account=1, asset=BASE)
    market.new("x", 1, SELL, 130, 4)
    assert market.lines[0].startswith("REJECTED x REJECT_EXPOSURE")
    market.new("b", 1, SELL, 130, 3)
    assert market.lines[0].startswith("ACCEPTED b")
    market.replace("a", 130, 3)
    assert market.lines[0].startswith("CANCEL_REJECTED a REJECT_EXPOSURE")
    market.replace("a", 131, 2)
    assert market.lines[0].startswith("REPLACED a"), "its own hold is released"


def test_the_last_nanosecond_of_64_bits(make: Make) -> None:
    market = Market(make)
    market.limit(Limit.MESSAGES, 1, account=1)
    market.limit(Limit.DUPLICATE_NS, AMOUNT_MAX, account=1)
    last = (1 << 64) - 1
    market.new("a", 1, BUY, 110, 1, tif=Tif.GTD, aux=last, time_ns=1 << 62)
    assert market.lines[0].startswith("ACCEPTED")
    market.new("b", 1, BUY, 110, 1, time_ns=(1 << 62) + 999_999_999)
    assert market.lines[0].startswith("REJECTED b REJECT_THROTTLED")
    market.new("b", 1, BUY, 110, 1, time_ns=(1 << 63) - 2)
    assert market.lines[0].startswith("REJECTED b REJECT_DUPLICATE")
    market.new("b", 1, BUY, 110, 1, time_ns=(1 << 63) - 1)
    assert market.lines[0].startswith("ACCEPTED b")
    market.send(kind=CommandKind.TIME, flags=CommandFlag.TIME_EXPIRE, time_ns=last - 1)
    market.see("""
        CLOCK @0 x0 left 0 flags 2
    """)
    market.send(kind=CommandKind.TIME, flags=CommandFlag.TIME_EXPIRE, time_ns=last)
    market.see("""
        EXPIRED a @110 x1 left 0
        CLOCK @0 x1 left 0 flags 2
    """)


def test_full_book_takes_an_order_again_in_the_slot_that_a_cancel_frees(make: Make) -> None:
    market = Market(make)
    for i in range(64):
        market.new(f"a{i}", 1, SELL, 120 + i % 2, 1)
    market.new("x", 2, BUY, 120, 1)
    market.see("""
        REJECTED x REJECT_BOOK_FULL @120 x1 left 0
    """)
    market.cancel("a9")
    market.new("x", 2, BUY, 120, 2, tif=Tif.IOC)
    market.see("""
        ACCEPTED x @120 x2 left 2
        FILL a0 @120 x1 left 0
        FILL x @120 x1 left 1 aux 1 AGGRESSOR
        FILL a2 @120 x1 left 0
        FILL x @120 x1 left 0 aux 1 AGGRESSOR
    """)
    assert market.ids["x"] & 0xFFFFFF == 9


def test_largest_quantity_trades_in_sixteen_tranches(make: Make) -> None:
    market = Market(make, funds=AMOUNT_MAX // 4 - 1, order_id=1, aux=1)
    market.new("a", 1, SELL, 120, QTY_LOTS_MAX, order_id=(1 << 40) // 16)
    market.see("""
        ACCEPTED a @120 x1099511627775 left 1099511627775
    """)
    market.replace("a", 120, QTY_LOTS_MAX + 1)
    assert market.lines[0].startswith("CANCEL_REJECTED a REJECT_BAD_QTY")
    market.new("x", 2, BUY, 120, QTY_LOTS_MAX)
    assert len(market.lines) == 1 + 2 * 16 + 15
    assert market.lines[-1].endswith("AGGRESSOR") and market.core.open_orders(0) == 0
