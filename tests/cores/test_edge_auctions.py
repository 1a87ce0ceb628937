"""The edge cases of auctions and stops, one test each and named by what it shows, on both implementations.

Lines are `KIND order @price xquantity left leaves`, with aux (a fee, a stop price, a phase left) when it is not 0. The
rules of spec/matching_rules.md that a test stands on are named in it. Trading and limits: test_edge_cases.py.
"""

from __future__ import annotations

import pytest

from cores import CommandFlag, CommandKind, OrdType, Phase, Side, Tif
from cores.records import AMOUNT_MAX, Limit
from tests.cores.fix_cores import deposit, instrument
from tests.cores.fix_market import BASE, QUOTE, Make, Market

BUY, SELL = Side.BUY, Side.SELL
MARKET = {"ord_type": OrdType.MARKET}
MARKET_TO_LIMIT = {"ord_type": OrdType.MARKET_TO_LIMIT}
INDICATIVE = {"kind": CommandKind.TIME, "flags": CommandFlag.TIME_INDICATIVE}


def stop(price: int) -> dict[str, int]:
    return {"ord_type": OrdType.STOP, "order_id": price}


def stop_limit(price: int) -> dict[str, int]:
    return {"ord_type": OrdType.STOP_LIMIT, "order_id": price}


def called(make: Make, reference: int = 0) -> Market:
    market = Market(make)
    market.phase(Phase.PRE_OPEN, price_ticks=reference)
    return market


def with_last_price(make: Make, price: int = 120, collar_bp: int = 0) -> Market:
    market = Market(make)
    market.new("s", 3, SELL, price, 1)
    market.new("t", 4, BUY, price, 1)
    market.limit(Limit.COLLAR, collar_bp)
    return market


# ---- the uncross (U1..U6) ----


def test_crossed_opening_trades_by_price_then_time_at_one_price(make: Make) -> None:
    market = called(make)
    market.new("b1", 1, BUY, 121, 3)
    market.new("b2", 1, BUY, 122, 2)
    market.new("b3", 1, BUY, 121, 4)
    market.new("a1", 2, SELL, 119, 4)
    market.new("a2", 2, SELL, 120, 2)
    market.send(**INDICATIVE)
    market.see("""
        INDICATIVE @121 x6 left 3 BUY
        CLOCK @0 x0 left 0 flags 4
    """)
    market.phase(Phase.CONTINUOUS)
    market.see("""
        FILL b2 @121 x2 left 0 aux 3 AUCTION
        FILL a1 @121 x2 left 2 aux 3 AUCTION
        FILL b1 @121 x2 left 1 aux 3 AUCTION
        FILL a1 @121 x2 left 0 aux 3 AUCTION
        FILL b1 @121 x1 left 0 aux 1 AUCTION
        FILL a2 @121 x1 left 1 aux 1 AUCTION
        FILL b3 @121 x1 left 3 aux 1 AUCTION
        FILL a2 @121 x1 left 0 aux 1 AUCTION
        PHASE @121 x6 left 1 aux 2
    """)
    assert market.book() == "b3 3+0"
    assert market.money(1) == "base +60 hold 0, quote -3638 hold 1819"
    assert market.money(2) == "base -60 hold 0, quote +3622 hold 0"
    assert market.money(0) == "base +0 hold 0, quote +16 hold 0"


def test_greatest_volume_counts_before_the_smallest_surplus(make: Make) -> None:
    market = called(make)
    market.new("b1", 1, BUY, 125, 5)
    market.new("b2", 1, BUY, 120, 5)
    market.new("a1", 2, SELL, 118, 6)
    market.new("a2", 2, SELL, 125, 1)
    market.send(**INDICATIVE)
    market.see("""
        INDICATIVE @120 x6 left 4 BUY
        CLOCK @0 x0 left 0 flags 4
    """)


def test_market_pressure_of_buyers_takes_the_highest_price(make: Make) -> None:
    market = called(make, reference=101)
    market.new("b", 1, BUY, 125, 9)
    market.new("a", 2, SELL, 120, 4)
    market.send(**INDICATIVE)
    market.see("""
        INDICATIVE @125 x4 left 5 BUY
        CLOCK @0 x0 left 0 flags 4
    """)


def test_market_pressure_of_sellers_takes_the_lowest_price(make: Make) -> None:
    market = called(make, reference=160)
    market.new("b", 1, BUY, 125, 4)
    market.new("a", 2, SELL, 120, 9)
    market.send(**INDICATIVE)
    market.see("""
        INDICATIVE @120 x4 left 5 SELL
        CLOCK @0 x0 left 0 flags 4
    """)


@pytest.mark.parametrize(
    ("reference", "price"), [(0, 122), (101, 120), (160, 125), (123, 123)], ids=["none", "below", "above", "between"]
)
def test_without_a_surplus_the_middle_or_the_reference_price_held_into_the_range(
    make: Make, reference: int, price: int
) -> None:
    market = called(make, reference)
    market.new("b", 1, BUY, 125, 4)
    market.new("a", 2, SELL, 120, 4)
    market.send(**INDICATIVE)
    assert market.lines[0] == f"INDICATIVE @{price} x4 left 0"
    market.phase(Phase.CONTINUOUS)
    assert market.lines[-1] == f"PHASE @{price} x4 left 1 aux 2"
    assert market.core.last_price(0) == (price, price)


def test_surplus_of_both_signs_ends_at_the_middle(make: Make) -> None:
    """At 120 buyers are more by 2, at 124 sellers by 2, and 4 trade at both."""
    market = called(make)
    market.new("b1", 1, BUY, 124, 4)
    market.new("b2", 1, BUY, 120, 2)
    market.new("a1", 2, SELL, 120, 4)
    market.new("a2", 2, SELL, 124, 2)
    market.send(**INDICATIVE)
    market.see("""
        INDICATIVE @122 x4 left 0
        CLOCK @0 x0 left 0 flags 4
    """)


def test_market_orders_of_one_side_trade_at_the_priced_ones_of_the_other(make: Make) -> None:
    market = called(make)
    market.new("m1", 1, BUY, 0, 3, **MARKET)
    market.new("m2", 3, BUY, 0, 4, **MARKET)
    market.new("a", 2, SELL, 120, 5)
    assert market.money(1) == "base +0 hold 0, quote +0 hold 2451"
    market.phase(Phase.CONTINUOUS)
    market.see("""
        FILL m1 @120 x3 left 0 aux 4 AUCTION
        FILL a @120 x3 left 2 aux 4 AUCTION
        FILL m2 @120 x2 left 2 aux 3 AUCTION
        FILL a @120 x2 left 0 aux 3 AUCTION
        CANCELLED m2 CANCEL_AUCTION @0 x2 left 0
        PHASE @120 x5 left 1 aux 2
    """)
    assert market.money(1) == "base +30 hold 0, quote -1804 hold 0"
    assert market.money(3) == "base +20 hold 0, quote -1203 hold 0"


def test_market_orders_alone_on_both_sides_need_a_reference_price(make: Make) -> None:
    market = called(make)
    market.new("m", 1, BUY, 0, 3, **MARKET)
    market.new("n", 2, SELL, 0, 4, **MARKET)
    market.send(**INDICATIVE)
    market.see("""
        INDICATIVE @0 x0 left 0
        CLOCK @0 x0 left 0 flags 4
    """)
    market.phase(Phase.CONTINUOUS)
    market.see("""
        CANCELLED m CANCEL_AUCTION @0 x3 left 0
        CANCELLED n CANCEL_AUCTION @0 x4 left 0
        PHASE @0 x0 left 1 aux 2
    """)
    market = called(make, reference=130)
    market.new("m", 1, BUY, 0, 3, **MARKET)
    market.new("n", 2, SELL, 0, 4, **MARKET)
    market.phase(Phase.CONTINUOUS)
    market.see("""
        FILL m @130 x3 left 0 aux 4 AUCTION
        FILL n @130 x3 left 1 aux 4 AUCTION
        CANCELLED n CANCEL_AUCTION @0 x1 left 0
        PHASE @130 x3 left 1 aux 2
    """)
    assert market.money(2) == "base -30 hold 0, quote +1946 hold 0"


def test_unpriced_order_stands_behind_a_limit_order_at_the_collars_end(make: Make) -> None:
    market = called(make)
    market.new("limit", 1, BUY, 163, 2)
    market.new("market", 3, BUY, 0, 2, **MARKET)
    market.new("a", 2, SELL, 120, 3)
    market.phase(Phase.CONTINUOUS)
    market.see("""
        FILL limit @163 x2 left 0 aux 4 AUCTION
        FILL a @163 x2 left 1 aux 4 AUCTION
        FILL market @163 x1 left 1 aux 2 AUCTION
        FILL a @163 x1 left 0 aux 2 AUCTION
        CANCELLED market CANCEL_AUCTION @0 x1 left 0
        PHASE @163 x3 left 1 aux 2
    """)


def test_market_to_limit_becomes_priced_at_the_uncross(make: Make) -> None:
    market = called(make)
    market.new("m", 1, BUY, 0, 5, **MARKET_TO_LIMIT)
    market.new("b", 3, BUY, 120, 1)
    market.new("a", 2, SELL, 120, 3)
    market.phase(Phase.CONTINUOUS)
    market.see("""
        FILL m @120 x3 left 2 aux 4 AUCTION
        FILL a @120 x3 left 0 aux 4 AUCTION
        RESTATED m CANCEL_AUCTION @120 x5 left 2
        PHASE @120 x3 left 1 aux 2
    """)
    assert market.book() == "b 1+0, m 2+0"
    assert market.money(1) == "base +30 hold 0, quote -1804 hold 1203"


def test_market_to_limit_without_a_trade_ends_with_its_call(make: Make) -> None:
    market = called(make)
    market.new("m", 1, BUY, 0, 5, **MARKET_TO_LIMIT)
    market.phase(Phase.CONTINUOUS)
    market.see("""
        CANCELLED m CANCEL_AUCTION @0 x5 left 0
        PHASE @0 x0 left 1 aux 2
    """)
    assert market.money(1) == "base +0 hold 0, quote +0 hold 0"


def test_market_to_limit_sell_too_large_at_the_uncross_ends(make: Make) -> None:
    """Its notional at the collar's end is within the bound, at the uncross it is not (P6.3)."""
    market = Market(make, funds=1)
    market.send(**instrument(1, order_id=1, aux=AMOUNT_MAX // 1_000, price_ticks=100, qty_lots=163))
    market.send(**deposit(2, BASE, 100))
    market.send(**deposit(1, QUOTE, AMOUNT_MAX - 4))
    market.phase(Phase.PRE_OPEN, symbol=1)
    market.new("m", 2, SELL, 0, 9, symbol=1, **MARKET_TO_LIMIT)
    assert market.lines[0].startswith("ACCEPTED m")
    market.new("b", 1, BUY, 140, 1, symbol=1)
    market.phase(Phase.CONTINUOUS, symbol=1)
    market.see("""
        FILL b @140 x1 left 0 aux 1614090106449585 AUCTION
        FILL m @140 x1 left 8 aux 1614090106449585 AUCTION
        CANCELLED m CANCEL_AUCTION @0 x8 left 0
        PHASE @140 x1 left 1 aux 2
    """)


def test_replace_of_an_unpriced_order_keeps_it_unpriced(make: Make) -> None:
    market = called(make)
    market.new("m", 1, BUY, 0, 3, **MARKET)
    market.new("n", 3, BUY, 0, 3, **MARKET)
    market.replace("m", 7, 4)
    market.see("""
        REPLACED m @0 x4 left 4
    """)
    assert market.book() == "n 3+0, m 4+0"


def test_iceberg_takes_part_with_all_its_leaves_and_keeps_its_place(make: Make) -> None:
    market = called(make)
    market.new("ice", 1, SELL, 120, 9, order_id=2)
    market.new("b", 1, SELL, 120, 3)
    market.new("x", 2, BUY, 120, 6)
    market.phase(Phase.CONTINUOUS)
    market.see("""
        FILL x @120 x6 left 0 aux 9 AUCTION
        FILL ice @120 x6 left 3 aux 9 AUCTION
        PHASE @120 x6 left 1 aux 2
    """)
    assert market.book() == "ice 2+1, b 3+0"


def test_iceberg_that_expires_after_an_uncross_gives_up_its_hidden_lots(make: Make) -> None:
    market = called(make)
    market.new("ice", 1, SELL, 120, 9, order_id=2, tif=Tif.GTD, aux=50)
    market.new("x", 2, BUY, 120, 4)
    market.phase(Phase.CONTINUOUS, time_ns=50)
    market.see("""
        FILL x @120 x4 left 0 aux 6 AUCTION
        FILL ice @120 x4 left 5 aux 6 AUCTION
        PHASE @120 x4 left 1 aux 2
    """)
    market.send(kind=CommandKind.TIME, flags=CommandFlag.TIME_EXPIRE, time_ns=50)
    market.see("""
        EXPIRED ice @120 x5 left 0
        CLOCK @0 x1 left 0 flags 2
    """)
    assert market.money(1) == "base -40 hold 0, quote +2394 hold 0"


def test_self_match_prevention_sleeps_in_an_uncross(make: Make) -> None:
    market = Market(make)
    market.group(1, mode=1)
    market.phase(Phase.PRE_OPEN)
    market.new("a", 1, SELL, 120, 3)
    market.new("b", 1, BUY, 120, 3)
    market.phase(Phase.CONTINUOUS)
    market.see("""
        FILL b @120 x3 left 0 aux 4 AUCTION
        FILL a @120 x3 left 0 aux 4 AUCTION
        PHASE @120 x3 left 1 aux 2
    """)
    assert market.money(1) == "base +0 hold 0, quote -8 hold 0"


def test_close_without_an_uncross_leaves_a_crossed_book_that_cannot_open_to_trading(make: Make) -> None:
    market = called(make)
    market.new("b", 1, BUY, 130, 3)
    market.new("a", 2, SELL, 120, 3)
    market.new("o", 2, SELL, 120, 1, tif=Tif.AT_OPEN)
    market.phase(Phase.CLOSED, flags=CommandFlag.NO_UNCROSS)
    market.see("""
        EXPIRED o CANCEL_AUCTION @120 x1 left 0
        PHASE @0 x0 left 0 aux 2
    """)
    market.phase(Phase.CONTINUOUS)
    market.see("""
        COMMAND_REJECTED REJECT_BAD_PHASE @0 x0 left 0
    """)
    market.phase(Phase.PRE_OPEN)
    market.phase(Phase.CONTINUOUS)
    market.see("""
        FILL b @125 x3 left 0 aux 4 AUCTION
        FILL a @125 x3 left 0 aux 4 AUCTION
        PHASE @125 x3 left 1 aux 2
    """)


# ---- at the open, at the close (P3, P6.3, P6.4) ----


def test_at_open_rest_expires_when_trading_begins(make: Make) -> None:
    market = called(make)
    market.new("o", 1, BUY, 121, 5, tif=Tif.AT_OPEN)
    market.new("a", 2, SELL, 120, 2)
    market.phase(Phase.CONTINUOUS)
    market.see("""
        FILL o @121 x2 left 3 aux 3 AUCTION
        FILL a @121 x2 left 0 aux 3 AUCTION
        EXPIRED o CANCEL_AUCTION @121 x3 left 0
        PHASE @121 x2 left 1 aux 2
    """)
    market.new("p", 1, BUY, 121, 5, tif=Tif.AT_OPEN)
    market.see("""
        REJECTED p REJECT_BAD_PHASE @121 x5 left 0
    """)


def test_dormant_orders_enter_the_closing_call_in_their_order_and_trade_in_its_uncross(make: Make) -> None:
    market = with_last_price(make)
    market.new("c1", 1, SELL, 118, 3, tif=Tif.AT_CLOSE)
    market.new("c2", 2, SELL, 0, 2, tif=Tif.AT_CLOSE, **MARKET)
    market.new("b", 3, BUY, 119, 4)
    market.see("""
        ACCEPTED b @119 x4 left 4
    """)
    assert market.book() == "b 4+0, c1 3+0, c2 2+0"
    market.phase(Phase.CLOSE_CALL)
    market.see("""
        PHASE @0 x0 left 4 aux 1
    """)
    assert market.book() == "b 4+0, c2 2+0, c1 3+0"
    market.phase(Phase.CLOSED)
    market.see("""
        FILL b @118 x2 left 2 aux 2 AUCTION
        FILL c2 @118 x2 left 0 aux 2 AUCTION
        FILL b @118 x2 left 0 aux 2 AUCTION
        FILL c1 @118 x2 left 1 aux 2 AUCTION
        EXPIRED c1 CANCEL_AUCTION @118 x1 left 0
        PHASE @118 x4 left 0 aux 4
    """)
    assert market.money(1) == "base -20 hold 0, quote +1178 hold 0"
    assert market.money(2) == "base -20 hold 0, quote +1178 hold 0"


def test_dormant_orders_expire_when_the_day_closes_without_a_call(make: Make) -> None:
    market = Market(make)
    market.new("c1", 1, SELL, 118, 3, tif=Tif.AT_CLOSE)
    market.new("c2", 2, BUY, 0, 2, tif=Tif.AT_CLOSE, **MARKET)
    market.phase(Phase.HALT)
    market.see("""
        PHASE @0 x0 left 5 aux 1
    """)
    market.phase(Phase.CLOSED)
    market.see("""
        EXPIRED c1 CANCEL_AUCTION @118 x3 left 0
        EXPIRED c2 CANCEL_AUCTION @0 x2 left 0
        PHASE @0 x0 left 0 aux 5
    """)


def test_dormant_iceberg_shows_its_display_from_the_closing_call_on(make: Make) -> None:
    market = Market(make)
    market.new("ice", 1, SELL, 130, 9, order_id=3, tif=Tif.AT_CLOSE)
    assert market.book() == "ice 9+0"
    market.replace("ice", 131, 8)
    market.see("""
        REPLACED ice @131 x8 left 8
    """)
    market.phase(Phase.CLOSE_CALL)
    assert market.book() == "ice 3+5"


# ---- stops (S1..S5) ----


def test_stops_are_elected_buys_rising_then_sells_falling_first_in_first(make: Make) -> None:
    market = with_last_price(make)
    market.new("a1", 3, SELL, 123, 1)
    market.new("b1", 4, BUY, 117, 1)
    for name, side, price in (
        ("B3", BUY, 123),
        ("B1", BUY, 121),
        ("B2", BUY, 121),
        ("S2", SELL, 117),
        ("S1", SELL, 118),
    ):
        market.new(name, 1, side, price, 1, **stop_limit(price))
    assert market.book() == "b1 1+0, a1 1+0, B1 1+0, B2 1+0, B3 1+0, S1 1+0, S2 1+0"
    market.new("x", 2, BUY, 123, 1)
    market.see("""
        ACCEPTED x @123 x1 left 1
        FILL a1 @123 x1 left 0
        FILL x @123 x1 left 0 aux 1 AGGRESSOR
        TRIGGERED B1 @121 x1 left 1 aux 121
        TRIGGERED B2 @121 x1 left 1 aux 121
        TRIGGERED B3 @123 x1 left 1 aux 123
    """)
    market.new("y", 2, SELL, 117, 4)
    market.see("""
        ACCEPTED y @117 x4 left 4
        FILL B3 @123 x1 left 0
        FILL y @123 x1 left 3 aux 1 AGGRESSOR
        FILL B1 @121 x1 left 0
        FILL y @121 x1 left 2 aux 1 AGGRESSOR
        FILL B2 @121 x1 left 0
        FILL y @121 x1 left 1 aux 1 AGGRESSOR
        FILL b1 @117 x1 left 0
        FILL y @117 x1 left 0 aux 1 AGGRESSOR
        TRIGGERED S1 @118 x1 left 1 aux 118
        TRIGGERED S2 @117 x1 left 1 aux 117
    """)


def test_stop_cascade_triggers_by_the_prices_its_own_trades_make(make: Make) -> None:
    market = with_last_price(make)
    for price in (121, 122, 123):
        market.new(f"a{price}", 3, SELL, price, 1)
        market.new(f"s{price}", 1, BUY, 0, 1, **stop(price))
    market.new("x", 2, BUY, 121, 1)
    market.see("""
        ACCEPTED x @121 x1 left 1
        FILL a121 @121 x1 left 0
        FILL x @121 x1 left 0 aux 1 AGGRESSOR
        TRIGGERED s121 @0 x1 left 1 aux 121
        FILL a122 @122 x1 left 0
        FILL s121 @122 x1 left 0 aux 1 AGGRESSOR
        TRIGGERED s122 @0 x1 left 1 aux 122
        FILL a123 @123 x1 left 0
        FILL s122 @123 x1 left 0 aux 1 AGGRESSOR
        TRIGGERED s123 @0 x1 left 1 aux 123
        CANCELLED s123 CANCEL_IOC @0 x1 left 0
    """)
    assert market.money(1) == "base +20 hold 0, quote -1227 hold 0"


def test_stop_cascade_into_a_volatility_call(make: Make) -> None:
    """Band 119..121: the first stop trades at 121, the second finds 122 only and trips, the third joins the call."""
    market = with_last_price(make, collar_bp=100)
    market.new("a1", 3, SELL, 121, 2)
    market.new("a2", 3, SELL, 122, 2)
    market.new("s1", 1, BUY, 0, 1, **stop(121))
    market.new("s2", 1, BUY, 122, 2, **stop_limit(121))
    market.new("s3", 1, BUY, 0, 1, **stop(121))
    market.new("s4", 1, BUY, 125, 1, **stop_limit(121))
    market.new("x", 2, BUY, 121, 1)
    market.see("""
        ACCEPTED x @121 x1 left 1
        FILL a1 @121 x1 left 1
        FILL x @121 x1 left 0 aux 1 AGGRESSOR
        TRIGGERED s1 @0 x1 left 1 aux 121
        FILL a1 @121 x1 left 0
        FILL s1 @121 x1 left 0 aux 1 AGGRESSOR
        TRIGGERED s2 @122 x2 left 2 aux 121
        PHASE CANCEL_VOLATILITY @0 x0 left 3 aux 1
        TRIGGERED s3 @0 x1 left 1 aux 121
        TRIGGERED s4 @125 x1 left 1 aux 121
    """)
    assert market.book() == "s3 1+0, s4 1+0, s2 2+0, a2 2+0"
    assert market.money(1) == "base +10 hold 0, quote -606 hold 2666"
    market.phase(Phase.CONTINUOUS)
    market.see("""
        FILL s3 @125 x1 left 0 aux 1 AUCTION
        FILL a2 @125 x1 left 1 aux 1 AUCTION
        FILL s4 @125 x1 left 0 aux 1 AUCTION
        FILL a2 @125 x1 left 0 aux 1 AUCTION
        PHASE @125 x2 left 1 aux 3
    """)


def test_stop_without_the_funds_for_the_call_it_meets_is_cancelled(make: Make) -> None:
    market = with_last_price(make, collar_bp=100)
    market.new("a1", 3, SELL, 121, 1)
    market.new("a2", 3, SELL, 122, 2)
    market.new("s1", 2, BUY, 0, 1, **stop(121))
    market.new("s2", 1, BUY, 0, 2_000_000, **stop(121))
    market.new("x", 2, BUY, 121, 1)
    market.see("""
        ACCEPTED x @121 x1 left 1
        FILL a1 @121 x1 left 0
        FILL x @121 x1 left 0 aux 1 AGGRESSOR
        TRIGGERED s1 @0 x1 left 1 aux 121
        PHASE CANCEL_VOLATILITY @0 x0 left 3 aux 1
        CANCELLED s1 CANCEL_VOLATILITY @0 x1 left 0
        TRIGGERED s2 @0 x2000000 left 2000000 aux 121
        CANCELLED s2 CANCEL_FUNDS @0 x2000000 left 0
    """)
    assert market.money(1) == "base +0 hold 0, quote +0 hold 0"


def test_stops_wait_through_a_halt_and_are_triggered_when_trading_goes_on(make: Make) -> None:
    market = with_last_price(make, collar_bp=100)
    market.new("a", 3, SELL, 122, 5)
    market.new("s", 1, BUY, 0, 2, **stop(122))
    market.new("x", 2, BUY, 122, 1)
    market.see("""
        ACCEPTED x @122 x1 left 1
        PHASE CANCEL_VOLATILITY @0 x0 left 3 aux 1
    """)
    market.phase(Phase.HALT)
    market.see("""
        PHASE @0 x0 left 5 aux 3
    """)
    market.new("y", 2, BUY, 120, 1)
    market.see("""
        REJECTED y REJECT_BAD_PHASE @120 x1 left 0
    """)
    market.cancel("x")
    market.phase(Phase.CONTINUOUS, price_ticks=121)
    market.see("""
        PHASE @0 x0 left 1 aux 5
    """)
    market.limit(Limit.COLLAR, 0)
    market.new("z", 2, BUY, 122, 1)
    market.see("""
        ACCEPTED z @122 x1 left 1
        FILL a @122 x1 left 4
        FILL z @122 x1 left 0 aux 1 AGGRESSOR
        TRIGGERED s @0 x2 left 2 aux 122
        FILL a @122 x2 left 2 aux 1
        FILL s @122 x2 left 0 aux 3 AGGRESSOR
    """)


def test_stop_due_at_the_uncross_price_is_triggered_after_it(make: Make) -> None:
    market = called(make)
    market.new("s", 1, BUY, 0, 2, **stop(125))
    market.new("a", 2, SELL, 125, 4)
    market.new("b", 3, BUY, 125, 1)
    market.phase(Phase.CONTINUOUS)
    market.see("""
        FILL b @125 x1 left 0 aux 1 AUCTION
        FILL a @125 x1 left 3 aux 1 AUCTION
        PHASE @125 x1 left 1 aux 2
        TRIGGERED s @0 x2 left 2 aux 125
        FILL a @125 x2 left 1 aux 1
        FILL s @125 x2 left 0 aux 3 AGGRESSOR
    """)
    assert market.money(1) == "base +20 hold 0, quote -1253 hold 0"


def test_stop_due_at_the_last_price_is_triggered_at_once_and_not_again(make: Make) -> None:
    market = with_last_price(make)
    market.new("s", 1, BUY, 119, 2, **stop_limit(120))
    market.see("""
        ACCEPTED s @119 x2 left 2
        TRIGGERED s @119 x2 left 2 aux 120
    """)
    market.new("x", 2, SELL, 119, 1)
    market.see("""
        ACCEPTED x @119 x1 left 1
        FILL s @119 x1 left 1
        FILL x @119 x1 left 0 aux 1 AGGRESSOR
    """)
    market.replace("s", 119, 2, aux=110)
    market.see("""
        REPLACED s @119 x2 left 1 PRIORITY_KEPT
    """)


def test_replace_moves_a_waiting_stop_to_the_end_of_its_new_price_or_triggers_it(make: Make) -> None:
    market = with_last_price(make)
    market.new("s1", 1, BUY, 130, 2, **stop_limit(130))
    market.new("s2", 1, BUY, 130, 2, **stop_limit(131))
    market.replace("s1", 130, 2, aux=131)
    market.see("""
        REPLACED s1 @130 x2 left 2
    """)
    assert market.book() == "s2 2+0, s1 2+0"
    market.replace("s2", 131, 1, aux=119)
    market.see("""
        REPLACED s2 @131 x1 left 1
        TRIGGERED s2 @131 x1 left 1 aux 119
    """)
    market.replace("s1", 130, 1)
    market.see("""
        REPLACED s1 @130 x1 left 1 PRIORITY_KEPT
    """)


def test_triggered_stop_that_finds_no_other_side_is_cancelled(make: Make) -> None:
    market = with_last_price(make)
    market.new("s", 1, BUY, 0, 2, **stop(120))
    market.see("""
        ACCEPTED s @0 x2 left 2
        TRIGGERED s @0 x2 left 2 aux 120
        CANCELLED s CANCEL_IOC @0 x2 left 0
    """)
    assert market.money(1) == "base +0 hold 0, quote +0 hold 0"


def test_stop_sell_holds_its_base_units_while_it_waits(make: Make) -> None:
    market = with_last_price(make)
    market.new("s", 1, SELL, 0, 3, **stop(119))
    assert market.money(1) == "base +0 hold 30, quote +0 hold 0"
    market.new("b", 2, BUY, 119, 2)
    market.new("x", 3, SELL, 119, 1)
    market.see("""
        ACCEPTED x @119 x1 left 1
        FILL b @119 x1 left 1
        FILL x @119 x1 left 0 aux 1 AGGRESSOR
        TRIGGERED s @0 x3 left 3 aux 119
        FILL b @119 x1 left 0
        FILL s @119 x1 left 2 aux 1 AGGRESSOR
        CANCELLED s CANCEL_IOC @0 x2 left 0
    """)
    assert market.money(1) == "base -10 hold 0, quote +594 hold 0"


def test_opening_in_closed_begins_without_trading(make: Make) -> None:
    market = Market(make)
    market.send(**instrument(1, flags=CommandFlag.INSTRUMENT_CLOSED))
    market.new("x", 1, BUY, 120, 1, symbol=1)
    market.see("""
        REJECTED x REJECT_BAD_PHASE @120 x1 left 0
    """)
    market.phase(Phase.CONTINUOUS, symbol=1, price_ticks=120)
    market.see("""
        PHASE @0 x0 left 1
    """)
    market.new("x", 1, BUY, 120, 1, symbol=1)
    market.see("""
        ACCEPTED x @120 x1 left 1
    """)


def test_static_collar_stands_on_the_reference_price_alone(make: Make) -> None:
    market = Market(make)
    market.send(kind=CommandKind.LIMIT, ord_type=Limit.COLLAR, qty_lots=0, aux=500)
    market.phase(Phase.PRE_OPEN, price_ticks=120)
    market.phase(Phase.CONTINUOUS)
    market.new("a", 1, SELL, 126, 1)
    market.new("x", 2, BUY, 126, 1)
    market.see("""
        ACCEPTED x @126 x1 left 1
        FILL a @126 x1 left 0
        FILL x @126 x1 left 0 aux 1 AGGRESSOR
    """)
    market.new("b", 1, SELL, 127, 1)
    market.new("y", 2, BUY, 127, 1)
    market.see("""
        ACCEPTED y @127 x1 left 1
        PHASE CANCEL_VOLATILITY @0 x0 left 3 aux 1
    """)
    assert market.core.phase(0) == Phase.VOLATILITY
