"""Whatever kind of report a session gets has its copy, for a member's desk and for a clearing firm: random days."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cores import CommandFlag, CommandKind
from cores.records import Limit, Phase
from fix_sessions import child_names
from fix_sessions.bust_copies import BustCopies
from fix_sessions.client import Broker
from fix_sessions.parent_copies import ParentCopies
from tests.fix_sessions.rig import Venue, bust, settle, until, written
from tests.fix_sessions.test_algorithms import Hands, area, hands, offered, parent, until_reports, worked
from tests.fix_sessions.test_drop_copy import (
    COPIES,
    MEMBER_OF,
    SEEN_BY,
    Copies,
    body,
    copied,
    killed_gateway,
    ordered,
    with_copies,
)
from tests.fix_sessions.test_order_lists import leg, send_list
from tests.fix_sessions.test_quotes import Maker
from venue.replica import open_replica

__all__ = ["hands"]
STEPS = 60


def told(broker: Broker) -> list[dict[int, str]]:
    """What a session was told, answers to status requests left out: they are no executions."""
    found = [body(m) for m in broker.inbox if m.get(35) in (b"8", b"9")]
    return [report for report in found if report.get(150) != "I"]


class Day:
    """A random day of a venue with every kind of order, and a drop-copy gateway that is sometimes not there."""

    def __init__(self, seed: int, venue: Venue, hands: Hands) -> None:
        self.random, self.venue, self.hands = random.Random(seed), venue, hands
        self.config = with_copies(venue.config)
        self.brokers = {name: venue.logged_on(name) for name in MEMBER_OF}
        self.maker = Maker(self.brokers["BRAVO1"])
        self.count = 0
        self.names: dict[str, list[tuple[str, str]]] = {name: [] for name in MEMBER_OF}

    def some(self) -> tuple[Broker, list[tuple[str, str]]]:
        name = self.random.choice(list(MEMBER_OF))
        return self.brokers[name], self.names[name]

    def run(self, steps: int) -> None:
        kinds = [self.order] * 6 + [self.cancel] * 2 + [self.replace] * 2 + [self.parent] * 3 + [self.change] * 3
        kinds += [self.wrong, self.list, self.quote, self.quote, self.peg, self.mass_cancel, self.phase, self.limit]
        for _ in range(steps):
            self.random.choice(kinds)()
            self.hands.forward(self.random.choice([0, 0, 2, 9]))
            if self.random.random() < 0.3:
                worked(self.venue, self.hands)
        self.operate(kind=CommandKind.TIME, symbol=0, flags=CommandFlag.TIME_CLOSE)
        self.hands.forward(300)
        until(lambda: not area(self.venue).live)
        for broker in self.brokers.values():
            settle(broker)

    def operate(self, **fields: Any) -> None:
        self.venue.engine.call(body=b"verb=test\x01", **fields)

    def price(self) -> str:
        return f"{self.random.randint(9_990, 10_010) / 100:.2f}"

    def order(self) -> None:
        broker, own = self.some()
        side, choice = self.random.choice(["buy", "sell"]), self.random
        fields: dict[str, Any] = choice.choice(
            [
                *({}, {}, {}, {"t59": "3"}, {"t59": "4"}, {"t111": "2"}, {"t110": "5"}, {"t18": "6"}),
                *({"t18": "6", "t9479": "S"}, {"t40": "3", "t99": self.price()}, {"t40": "K"}, {"t59": "7"}),
                {"t59": "1", "t2964": "100"},
            ]
        )
        symbol = choice.choice(["ACME"] * 9 + ["NOPE"])
        own.append((broker.order(symbol, side, choice.randint(1, 30), self.price(), **fields), side))

    def cancel(self) -> None:
        broker, own = self.some()
        if own:
            name, side = self.random.choice(own)
            broker.cancel(name, "ACME", side)

    def replace(self) -> None:
        broker, own = self.some()
        if own:
            name, side = self.random.choice(own)
            own.append((broker.replace(name, "ACME", side, self.random.randint(1, 40), self.price()), side))

    def parent(self) -> None:
        broker, own = self.some()
        side, choice = self.random.choice(["buy", "sell"]), self.random
        fields = {"t848": f"SliceSeconds={choice.randint(1, 20)}", "t126": self.hands.text(choice.randint(5, 60))}
        fields |= choice.choice([{}, {}, {"t849": "0.5"}, {"t849": "7"}, {"t847": "1"}, {"t58": "for the desk"}])
        own.append((parent(broker, self.hands, choice.randint(1, 40), self.price(), side, **fields), side))

    def change(self) -> None:
        """A cancel or a replace of a parent that is at work, some of them in vain."""
        live, choice = area(self.venue).live, self.random
        if not live:
            return
        chosen = choice.choice(live)
        comp_id = next(s.comp_id for _, s in self.venue.config.sessions() if s.id == chosen.session)
        broker, own = self.brokers[comp_id], self.names[comp_id]
        name, side = choice.choice(chosen.names).decode(), "buy" if chosen.template.side == 1 else "sell"
        if choice.random() < 0.2:
            broker.cancel(name, "ACME", side)
            return
        fields = choice.choice([{}, {"t126": self.hands.text(choice.randint(1, 90))}, {"t848": "SliceSeconds=3"}])
        own.append((broker.replace(name, "ACME", side, choice.randint(1, 60), self.price(), **fields), side))

    def wrong(self) -> None:
        """What is refused before the core sees it, and names that are used twice."""
        broker, own = self.some()
        broker.order("ACME", "buy", 1, "100.001")
        broker.order("ACME", "buy", "0", "100")
        broker.order("ACME", "buy", 10**6, "149")
        broker.cancel("nobody", "ACME", "buy")
        if own:
            broker.order("ACME", "buy", 1, "100", t11=own[-1][0])

    def list(self) -> None:
        broker, own = self.some()
        self.count += 1
        legs = [leg(f"{broker.comp_id}-l{self.count}-{at}", at, "2", 5, self.price()) for at in (1, 2)]
        send_list(broker, f"{broker.comp_id}-{self.count}", legs, self.random.choice(["1", None]))
        own += [(str(one[0][1]), "sell") for one in legs]

    def quote(self) -> None:
        middle, away = self.random.randint(9_995, 10_005), self.random.randint(1, 4)
        sides = f"{(middle - away) / 100:.2f}", 5, f"{(middle + away) / 100:.2f}", self.random.choice([0, 5])
        self.maker.quote((self.random.choice("ab"), "ACME", *sides))
        if self.random.random() < 0.3:
            self.maker.cancel("4")

    def peg(self) -> None:
        broker, own = self.some()
        side = self.random.choice(["buy", "sell"])
        own.append((broker.order("ACME", side, 3, None, t40="P", t18="R"), side))

    def mass_cancel(self) -> None:
        self.some()[0].request("q", [(530, "1"), (55, "ACME")])

    def phase(self) -> None:
        for phase in (self.random.choice([Phase.HALT, Phase.PRE_OPEN]), Phase.CONTINUOUS):
            self.operate(kind=CommandKind.PHASE, symbol=0, ord_type=phase)
            self.order()
            self.hands.forward(5)
            worked(self.venue, self.hands)
        settle(self.brokers["ALPHA1"])

    def limit(self) -> None:
        """A kill switch that is on for a while, or a small largest order."""
        kill = {"ord_type": Limit.KILL_SESSION, "session": self.random.choice([1, 2, 4])}
        small = {"ord_type": Limit.ORDER_QTY, "symbol": 0, "qty_lots": 3}
        fields = self.random.choice([kill, small])
        self.operate(kind=CommandKind.LIMIT, **{"qty_lots": 1, **fields})
        self.order()
        self.hands.forward(5)
        worked(self.venue, self.hands)
        settle(self.brokers["ALPHA1"])
        self.operate(kind=CommandKind.LIMIT, **{**fields, "qty_lots": 1000 if "symbol" in fields else 0})


@pytest.mark.parametrize("seed", [random.randrange(10**6)])
def test_the_copies_of_a_day_are_all_that_its_sessions_were_told(
    tmp_path: Path, application: str, hands: Hands, seed: int
) -> None:
    """ROE-52"""
    print("seed", seed)
    venue = Venue(tmp_path, application)
    day = Day(seed, venue, hands)
    copies = Copies(day.config)
    try:
        day.run(STEPS)
        copies.close()
        day.run(STEPS)
        copies = Copies(day.config)
        written(venue).close()
        copies.wait(venue)
        expected = {name: told(broker) for name, broker in day.brokers.items()}
        for name in COPIES:
            client = copies.client(name)
            settle(client)
            found = copied(client.inbox)
            assert ordered(client.inbox), seed
            for session in MEMBER_OF:
                wanted = expected[session] if session in SEEN_BY[name] else []
                assert found[session] == wanted, (seed, name, session, len(found[session]), len(wanted))
            replayed(client, random.Random(seed))
        kinds = {report.get(150, "9") for reports in expected.values() for report in reports}
        assert kinds >= set("048F"), (seed, kinds)
        copies.gateway.reports.check()
        copies.gateway.parents.check()
    finally:
        copies.close()
        venue.close()


def test_killed_while_parents_are_at_work_nothing_is_missing_and_nothing_comes_twice(
    tmp_path: Path, hands: Hands
) -> None:
    """The store of a drop-copy session knows which parent's report it has, as it does of an order's."""
    venue = Venue(tmp_path, "native")
    day = Day(random.randrange(10**6), venue, hands)
    copies: Copies | None = None
    try:
        for _ in range(3):
            with killed_gateway(venue):
                day.run(15)
        copies = Copies(day.config)
        written(venue).close()
        copies.wait(venue)
        client = copies.client("CLEAR")
        settle(client)
        assert ordered(client.inbox) and client.duplicates == 0
        found = copied(client.inbox)
        assert all(found[name] == told(broker) for name, broker in day.brokers.items())
    finally:
        if copies is not None:
            copies.close()
        venue.close()


def replayed(client: Broker, rng: random.Random) -> None:
    """ROE-53: from any execution on, the replay is the tail."""
    whole = [m for m in client.inbox if m.get(35) in (b"8", b"9")]
    places = [(b"0", 0), *((m.get(17), i + 1) for i, m in enumerate(whole) if m.get(35) == b"8")]
    for exec_id, first in [places[0], *rng.sample(places, min(4, len(places)))]:
        client.inbox.clear()
        client.send("BW", [(1346, "r"), (1347, "0"), (17, exec_id)])
        client.wait_for(lambda: bool(client.inbox) and client.inbox[-1].get(35) == b"BY")
        again = client.inbox[1:-1]
        assert [body(m) for m in again] == [body(m) for m in whole[first:]]
        assert all(m.get(1352) == b"Y" and m.get(97) == b"Y" for m in again)


def test_a_parents_reports_are_copied_as_its_member_got_them(tmp_path: Path, application: str, hands: Hands) -> None:
    """ROE-52, ROE-55: new, fills, a slice that was refused, replaced, cancelled, expired, both kinds of refusal."""
    venue = Venue(tmp_path, application)
    copies = Copies(with_copies(venue.config))
    try:
        offered(venue, 12)
        alpha = venue.logged_on("ALPHA1")
        name = parent(alpha, hands, 40)
        until_reports(alpha, name, 2)
        parent(alpha, hands, 40, t849="7")
        alpha.cancel(name, "ACME", "sell")
        settle(alpha)
        again = alpha.replace(name, "ACME", "buy", 30, "100.50")
        until_reports(alpha, again, 1)
        fields = {"kind": CommandKind.LIMIT, "ord_type": Limit.ORDER_QTY, "symbol": 0, "qty_lots": 1}
        venue.engine.call(body=b"verb=limit\x01", **fields)
        hands.forward(25)
        worked(venue, hands)
        settle(alpha)
        hands.forward(100)
        until(lambda: not area(venue).live)
        settle(alpha)
        written(venue).close()
        copies.wait(venue)
        client = copies.client("CLEAR")
        settle(client)
        whole = [body(m) for m in client.inbox if m.get(115) == b"ALPHA1"]
        assert whole == told(alpha)
        assert [report.get(150, "9") for report in whole] == ["0", "F", "8", "9", "5", "D", "C"]
        assert not any(report.get(11, "").startswith("~") for report in whole)
    finally:
        copies.close()
        venue.close()


def test_a_message_is_the_same_from_the_slice_and_from_the_journal(make_venue: Callable[..., Venue], hands: Hands):
    """What is found beside the entries as they come, and what is read again long after, make the same messages."""
    venue = make_venue("native")
    offered(venue)
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)
    until_reports(alpha, name, 2)
    alpha.replace(name, "ACME", "buy", 60, "100.50", t126=hands.text(50))
    settle(alpha)
    hands.forward(60)
    until(lambda: not area(venue).live)
    settle(alpha)
    follower = written(venue)
    piece = follower.poll(1 << 20)
    follower.close()
    limits = venue.config.limits
    core = venue.engine.config
    assert core.symbols == limits.symbols
    reports = open_replica(core, [], 0).apply(piece.commands, piece.annex, piece.annex_ends)
    one, other = (ParentCopies(venue.config, venue.data_dir / "journal") for _ in range(2))
    mine = reports[one.concerns(reports)]
    one.note(piece, mine)
    kept, read = one.messages(mine), [other.messages(mine[at : at + 1])[0] for at in range(len(mine))]
    assert kept == read and sum(message is not None for message in kept) == 4
    children = [child_names.parse(bytes(name)) for name in mine["clordid"] if name]
    assert children and None not in children
    assert np.all(one.concerns(mine))


def test_a_slice_that_is_taken_back_and_what_its_parent_did_later(
    tmp_path: Path, application: str, hands: Hands
) -> None:
    """ROE-52: the bust's copy is of the slice, under the parent's name; all later copies are as the member was told."""
    venue = Venue(tmp_path, application)
    copies = Copies(with_copies(venue.config))
    try:
        offered(venue)
        alpha = venue.logged_on("ALPHA2")
        name = parent(alpha, hands, 40)
        first = until_reports(alpha, name, 2)[1]
        hands.forward(25)
        until_reports(alpha, name, 3)
        bust(venue, first[17])
        until_reports(alpha, name, 4)
        hands.forward(25)
        until_reports(alpha, name, 5)
        again = alpha.replace(name, "ACME", "buy", 38, "100.50")
        until_reports(alpha, again, 1)
        alpha.cancel(again, "ACME", "buy")
        until(lambda: not area(venue).live)
        settle(alpha)
        copies.wait(venue)
        client = copies.client("CLEAR")
        settle(client)
        whole, expected = [body(m) for m in client.inbox if m.get(115) == b"ALPHA2"], told(alpha)
        assert [report[150] for report in expected] == ["0", "F", "F", "H", "F", "5", "4"]
        at = next(n for n, report in enumerate(expected) if report[150] == "H")
        assert whole[:at] + whole[at + 1 :] == expected[:at] + expected[at + 1 :]
        same = (1, 11, 17, 19, 31, 32, 54, 55, 58, 60, 150, 527)
        assert {tag: whole[at][tag] for tag in same} == {tag: expected[at][tag] for tag in same}
        assert whole[at][37] == expected[at][198] and whole[at][14] == "0"
        replayed(client, random.Random(1))
    finally:
        copies.close()
        venue.close()


def test_the_report_of_a_bust_is_the_same_from_the_slice_and_from_the_journal(make_venue: Callable[..., Venue]) -> None:
    venue = make_venue("native")
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    for lots in range(1, 5):
        alpha.order("ACME", "buy", lots, "100")
        settle(alpha)
        bravo.order("ACME", "sell", lots, "100")
        settle(bravo)
    trades = [m.get(527).decode() for m in bravo.inbox if m.get(150) == b"F"]
    for trade in trades[1:]:
        bust(venue, trade)
    follower = written(venue)
    piece = follower.poll(1 << 20)
    follower.close()
    reports = open_replica(venue.engine.config, [], 0).apply(piece.commands, piece.annex, piece.annex_ends)
    one, other = (BustCopies(venue.config, venue.data_dir / "journal") for _ in range(2))
    mine = reports[one.concerns(reports)]
    assert len(mine) == 2 * len(trades[1:])
    one.note(piece, mine)
    kept, read = one.messages(mine), [other.messages(mine[at : at + 1])[0] for at in range(len(mine))]
    assert kept == read and None not in kept
    one.check()
    other.check()
