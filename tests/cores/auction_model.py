"""The uncross by brute force, from the page of rules alone (U1..U3, P4): plain orders in, prices and trades out.

Why: the two implementations of the core could share a misreading; this shares nothing with them, not even an import.
It looks at every price of the window and counts lot by lot. It must never be made fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

BUY, SELL = 1, 2


class Resting(NamedTuple):
    """An order of a call, in the order of the book's walk; `lots` is all of it, hidden quantity included."""

    number: int
    side: int
    price: int
    lots: int
    priced: bool


class Outcome(NamedTuple):
    price: int = 0
    volume: int = 0
    surplus: int = 0
    surplus_side: int = 0


def would_trade(orders: Sequence[Resting], price: int) -> tuple[int, int]:
    """Lots that would buy and lots that would sell at a price."""
    buyers = sum(order.lots for order in orders if order.side == BUY and price <= order.price)
    sellers = sum(order.lots for order in orders if order.side == SELL and price >= order.price)
    return buyers, sellers


def outcome(orders: Sequence[Resting], reference: int) -> Outcome:
    """U2: the price by elimination, rule after rule."""
    left = sorted({order.price for order in orders if order.priced})
    if not left and reference:
        left = [reference]
    volumes = {price: min(would_trade(orders, price)) for price in left}
    most = max(volumes.values(), default=0)
    if most == 0:
        return Outcome()
    left = [price for price in left if volumes[price] == most]
    excess = {price: would_trade(orders, price)[0] - would_trade(orders, price)[1] for price in left}
    least = min(abs(excess[price]) for price in left)
    left = [price for price in left if abs(excess[price]) == least]
    if all(excess[price] > 0 for price in left):
        price = left[-1]
    elif all(excess[price] < 0 for price in left):
        price = left[0]
    elif reference:
        price = sorted((left[0], reference, left[-1]))[1]
    else:
        price = (left[0] + left[-1]) // 2
    buyers, sellers = would_trade(orders, price)
    side = BUY if buyers > sellers else SELL if sellers > buyers else 0
    return Outcome(price, min(buyers, sellers), abs(buyers - sellers), side)


def trades(orders: Sequence[Resting], found: Outcome) -> list[tuple[int, int]]:
    """U3, one lot at a time: (buy, sell) of every lot that trades, in order."""
    bids = [order.number for order in orders if order.side == BUY for _ in range(order.lots)]
    asks = [order.number for order in orders if order.side == SELL for _ in range(order.lots)]
    return list(zip(bids, asks, strict=False))[: found.volume]
