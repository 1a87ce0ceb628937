"""Random days of parents, fills, cancels, phases and restarts, on both applications: told is what was traded."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from cores import CommandKind
from cores.records import Phase
from fix_sessions import child_names
from fix_sessions.client import Broker
from fix_sessions.parent_history import history
from fix_sessions.parent_orders import Child, Entry
from tests.fix_sessions.rig import Venue, settle, tags, until, written
from tests.fix_sessions.test_algorithms import Hands, area, hands, on_again, parent, worked

__all__ = ["hands"]
REACH_NS = 86_400 * 10**9
STEPS, RESTARTS = 40, 2


class Day:
    """One random day; `told` are the reports of every parent, each ExecID once."""

    def __init__(self, seed: int, make: Callable[[], Venue], hands: Hands) -> None:
        self.random, self.make, self.hands = random.Random(seed), make, hands
        self.told: dict[str, dict[str, dict[int, str]]] = defaultdict(dict)
        self.names: list[str] = []
        self.start(0)

    def start(self, expected: int) -> None:
        self.venue = self.make()
        self.bravo = on_again(self.venue, "BRAVO1", expected)  # without cancel on disconnect

    def run(self) -> None:
        for _ in range(RESTARTS + 1):
            for _ in range(STEPS):
                self.random.choice(
                    [self.enter, self.enter, self.trade, self.trade, self.trade, self.cancel, self.halt]
                )()
                self.hands.forward(self.random.choice([0, 0.5, 3, 10]))
                if self.random.random() < 0.3:
                    worked(self.venue, self.hands)
            self.restart()

    def enter(self) -> None:
        choice = self.random
        fields = {"t847": choice.choice(["1", "1000"]), "t848": f"SliceSeconds={choice.randint(1, 20)}"}
        fields |= {"t126": self.hands.text(choice.randint(5, 120)), "t59": choice.choice(["0", "6"])}
        fields |= {"t849": choice.choice(["0.1", "0.5"])} if choice.random() < 0.3 else {}
        price = choice.choice([None, "100", "100.02", "99.98"])
        self.names.append(
            parent(self.bravo, self.hands, choice.randint(1, 50), price, choice.choice(["buy", "sell"]), **fields)
        )

    def trade(self) -> None:
        """Somebody else's order, resting or not."""
        fields = {"kind": CommandKind.NEW, "symbol": 0, "account": 1, "side": self.random.choice([1, 2]), "ord_type": 2}
        ticks, lots = self.random.randint(9_997, 10_003), self.random.randint(1, 30)
        self.venue.engine.call(body=b"verb=new\x01", price_ticks=ticks, qty_lots=lots, tif=1, **fields)

    def cancel(self) -> None:
        live = area(self.venue).live
        if live:
            chosen = self.random.choice(live)
            self.bravo.cancel(chosen.clordid.decode(), "ACME", "buy" if chosen.template.side == 1 else "sell")

    def halt(self) -> None:
        for phase in (Phase.HALT, Phase.CONTINUOUS):
            self.venue.engine.call(body=b"verb=phase\x01", kind=CommandKind.PHASE, symbol=0, ord_type=phase)
            self.hands.forward(1)

    def restart(self) -> None:
        settle(self.bravo)
        self.listen(self.bravo)
        before = {p.seq: (p.cum_lots, p.value, p.status, p.children) for p in area(self.venue).live}
        expected = self.bravo.next_in
        self.venue.close()
        self.listen(self.bravo)
        frozen = self.hands.now_ns
        self.start(expected)
        after = {p.seq: (p.cum_lots, p.value, p.status, p.children) for p in area(self.venue).live}
        assert self.hands.now_ns == frozen
        assert set(after) <= set(before) and all(after[seq][0] >= before[seq][0] for seq in after)
        area(self.venue).check()

    def listen(self, broker: Broker) -> None:
        for message in broker.inbox:
            report = tags(message)
            name = report.get(41, report.get(11, ""))
            if report[35] == "8" and name in self.names:
                self.told[name].setdefault(report[17], report)

    def end(self) -> None:
        """Lets every parent end."""
        self.hands.forward(200)
        until(lambda: not area(self.venue).live)
        settle(self.bravo)
        self.listen(self.bravo)


@pytest.mark.parametrize("seed", [random.randrange(10**6)])
def test_a_random_day(make_venue: Callable[..., Venue], application: str, hands: Hands, seed: int):
    print("seed", seed)
    day = Day(seed, lambda: make_venue(application), hands)
    day.run()
    day.end()
    journal = day.venue.data_dir / "journal"
    traded = traded_by_parent(journal, day.venue)
    for name in day.names:
        told = sorted(day.told[name].values(), key=lambda r: tuple(int(part) for part in r[17].split("-")))
        assert told[0][150] in "08", (seed, told[0])
        if told[0][150] == "8":
            continue
        fills = [report for report in told if report[150] == "F"]
        done, value = sum(int(r[32]) for r in fills), sum(int(r[32]) * Decimal(r[31]) for r in fills)
        assert [int(r[14]) for r in fills] == np.cumsum([int(r[32]) for r in fills]).tolist(), (seed, name)
        assert (done, value * 100) == traded[name], (seed, name)
        assert done <= int(told[0][38]) and told[-1][39] in "24C", (seed, name, told[-1])
        assert int(told[-1][14]) == done and told[-1][151] == "0", (seed, name)
        assert done == 0 or abs(Decimal(told[-1][6]) * done - value) < Decimal("0.001"), (seed, name)
    assert sum(lots for lots, _ in traded.values()) > 0, seed
    assert not any(found.bases for found in area(day.venue)._parents.values()), "nothing is kept of children that ended"
    area(day.venue).check()


def traded_by_parent(journal: Path, venue: Venue) -> dict[str, tuple[int, int]]:
    """What the children of every parent traded, each asked for alone and by a replay."""
    names: dict[int, str] = {}
    found: dict[str, tuple[int, int]] = {}
    children: list[Child] = []
    written(venue).close()
    for item in history(journal, REACH_NS):
        if isinstance(item, Entry) and item.words[b"verb"] == b"parent":
            names[item.seq] = item.values[11].decode()
            found[names[item.seq]] = 0, 0
        elif isinstance(item, Child):
            children.append(item)
    for child in children:
        order = venue.engine.find_order(2, child_names.compose(child.parent_seq, child.number))
        name = names[child.parent_seq]
        assert found[name] == (child.cum_lots, child.value), "an annex says what was done before"
        found[name] = found[name][0] + order["cum_lots"], found[name][1] + order["value"]
    trades = venue.engine.trades
    trades.follow()
    for child in children[-3:]:
        order = venue.engine.find_order(2, child_names.compose(child.parent_seq, child.number))
        assert trades.of_entry(child.seq) == (order["cum_lots"], order["value"])
    return found
