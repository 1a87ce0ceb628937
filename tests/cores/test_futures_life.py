"""The worked example of the page: each row of its table is played, and each number in it is what the core says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cores import EventKind, Reason, Side
from cores.records import Stage
from tests.cores.fix_futures import FUTURE, QUOTE, REFUSALS, Fields, account, margin, mark, opened, order

PAGE = (Path(__file__).parents[2] / "spec" / "matching_rules.md").read_text()
MEMBER, OTHER, VENUE = 1, 2, 0


def rows() -> list[tuple[str, list[int]]]:
    """(step, [lots, cost, collateral, balance])"""
    section = PAGE.split("### The life of a position in numbers")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][2:]
    return [(step, [int(cell.replace(",", "")) for cell in numbers]) for step, *numbers in cells]


def numbers_in(step: str, *words: str) -> list[int]:
    """What the step says behind each of these words, 0 where it says nothing."""
    found = [re.search(rf"\b{word} (?:by )?(-?[\d,]*\d)", step) for word in words]
    return [int(match.group(1).replace(",", "")) if match else 0 for match in found]


class Member:
    """Plays the steps for account 1 against account 2."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.core = opened(make, {MEMBER: 5_000, OTHER: 10**7}, fees=(0, 25))
        self.core.apply_one(**account(OTHER, 0, 0))

    def apply(self, fields: Fields) -> np.ndarray:
        events: np.ndarray = self.core.apply_one(**fields)
        self.core.check()
        return events

    def trade(self, side: Side, lots: int, price: int) -> np.ndarray:
        self.apply(order(OTHER, Side.SELL if side == Side.BUY else Side.BUY, price, lots))
        return self.apply(order(MEMBER, side, price, lots))

    def step(self, step: str) -> np.ndarray:
        """The events of the step's last command."""
        traded = re.search(r"(buys|sells) (\d+) at (\d+)", step)
        if "MARGIN" in step:
            (price,) = numbers_in(step, "mark")
            if price:
                self.apply(mark(price))
            if traded:
                self.apply(order(OTHER, Side.BUY, int(traded[3]), int(traded[2])))
            return self.apply(margin(MEMBER))
        if traded:
            side = Side.BUY if traded[1] == "buys" else Side.SELL
            return self.trade(side, int(traded[2]), int(traded[3]))
        return np.zeros(0)


def signed(word: Any) -> int:
    return int(np.uint64(word).astype(np.int64))


def assert_says(step: str, events: np.ndarray, before: int, after: int) -> None:
    """The brackets, the stage and the top-up of a step."""
    mine = events[events["account"] == MEMBER]
    result, fee, deficit, topped_up = numbers_in(step, "result", "fee", "deficit", "topped up")
    assert sum(signed(e["aux"]) for e in mine[mine["kind"] == EventKind.POSITION]) == result
    assert sum(signed(e["aux"]) for e in mine[mine["kind"] == EventKind.FILL]) == fee
    assert sum(int(e["qty_lots"]) for e in mine[mine["kind"] == EventKind.DEFICIT]) == deficit
    assert topped_up in (0, after - before)
    said = re.search(r"MARGIN: (\w+)", step)
    if said and said[1] == "MARGIN_KEPT":
        assert events["kind"][0] in REFUSALS and events["reason"][0] == Reason.REJECT_MARGIN_KEPT
    elif said:
        (event,) = mine[mine["kind"] == EventKind.MARGIN]
        assert Stage(event["leaves_lots"]).name == said[1]
        if "equity" in step:
            assert [signed(event["qty_lots"]), int(event["aux"])] == numbers_in(step, "equity", "needed")


def test_the_life_of_a_position_in_numbers(make: Callable[..., Any]) -> None:
    played, member = rows(), Member(make)
    assert len(played) == 9
    for step, expected in played:
        before = member.core.position(MEMBER, FUTURE).collateral
        events = member.step(step)
        view = member.core.position(MEMBER, FUTURE)
        balance, hold, credit = member.core.balance(MEMBER, QUOTE)
        assert [view.lots, view.cost, view.collateral, balance] == expected, step
        assert (hold, credit) == (0, 0)
        if len(events):
            assert_says(step, events, before, view.collateral)
        if "MARGIN_KEPT" in step:
            assert [view.equity, view.needed] == numbers_in(step, "equity", "needed")
    venue = member.core.position(VENUE, FUTURE)
    assert (venue.lots, venue.cost) == (3, 15_750)
    results = sum(numbers_in(step, "result")[0] for step, _ in played)
    fees = sum(numbers_in(step, "fee")[0] for step, _ in played)
    assert (results, fees, 5_000 + results - fees) == (-6_100, 341, -1_441)
    assert member.core.balance(VENUE, QUOTE)[0] == fees - 1_441
