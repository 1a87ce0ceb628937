"""A parent is replaced: over FIX with both applications, and by any sequence of replaces, cuts and restarts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix_sessions import child_names, messages
from fix_sessions.parent_drafts import Draft, Replacement
from fix_sessions.parent_history import history
from fix_sessions.parent_orders import PARENT, REPLACE, Child, Entry, Parent, Version, entry_body
from tests.fix_sessions.rig import Venue, ask, settle, tags, until, written
from tests.fix_sessions.test_algorithms import (
    Hands,
    area,
    hands,
    offered,
    on_again,
    parent,
    reports,
    seller,
    until_reports,
    worked,
)
from tests.fix_sessions.test_parent_orders import GOOD, NOW_NS, body_of, nobody, terms
from tests.fix_sessions.test_parent_orders import make_config as config_of
from venue.algorithms import NS

__all__ = ["hands"]


def test_a_replace_slices_what_is_left(venue: Venue, hands: Hands):
    """ROE-56"""
    offered(venue)
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)  # four slices of 10 in 100 seconds
    new = until_reports(alpha, name, 2)[0]
    hands.forward(5)
    again = alpha.replace(name, "ACME", "buy", 70, "100.50", t126=hands.text(95))
    (told,) = until_reports(alpha, again, 1)
    assert (told[150], told[39], told[11], told[41], told[37]) == ("5", "1", again, name, new[37])
    assert (told[38], told[14], told[151], told[44], told[6]) == ("70", "10", "60", "100.50", "100.00")
    assert (told[847], told[848], told[59]) == ("1000", "SliceSeconds=25", "0")
    time_left = area(venue).live[0].schedule
    assert time_left.slices == 3 and time_left.end_ns - time_left.start_ns == 75 * NS, "from the next slice on"
    for done in (30, 50, 70):
        hands.forward(20 if done == 30 else 25)
        until(lambda done=done: reports(alpha, again)[-1][14] == str(done))
    found = reports(alpha, again)
    assert (found[-1][39], found[-1][151]) == ("2", "0") and {report[11] for report in found} == {again}
    late = ask(alpha, lambda: alpha.replace(again, "ACME", "buy", 90, "101"))
    assert (late[35], late[102], late[39]) == ("9", "0", "2")
    area(venue).check()


def test_a_chain_of_names(venue: Venue, hands: Hands):
    """ROE-56: the order goes by any of its names; each is used once; a cancel ends it."""
    alpha = venue.logged_on("ALPHA1")
    names = [parent(alpha, hands, 40)]
    for qty in (41, 30, 50):
        names.append(alpha.replace(names[qty == 30], "ACME", "buy", qty, "101"))
        settle(alpha)
    assert [report[150] for report in until_reports(alpha, names[3], 1)] == ["5"]
    for name in names:
        shown = ask(alpha, lambda name=name: alpha.request("H", [(11, name), (55, "ACME"), (54, "1")]))
        assert (shown[150], shown[11], shown[38], shown[151]) == ("I", names[3], "50", "50")
    taken = ask(alpha, lambda: alpha.order("ACME", "buy", 1, "60", t11=names[1]))
    assert (taken[35], taken[39], taken[103]) == ("8", "8", "6")
    again = ask(alpha, lambda: alpha.replace(names[0], "ACME", "buy", 60, "101", t11=names[2]))
    assert (again[35], again[102], again[434]) == ("9", "6", "2")
    gone = ask(alpha, lambda: alpha.cancel(names[1], "ACME", "buy"))
    assert (gone[150], gone[41], gone[37]) == ("4", names[1], shown[37])
    assert not area(venue).live
    area(venue).check()


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"t38": "9"}, "99", "above what is filled already"),
        ({"t38": "5"}, "99", "above what is filled already"),
        ({"t38": "0"}, "99", ""),
        ({"t38": "40.5"}, "99", "multiple of the lot"),
        ({"t44": "100.005"}, "99", "multiple of the tick"),
        ({"t44": "1000"}, "99", "50.00 to 150.00"),
        ({"t126": "20200101-00:00:00"}, "99", "later than now"),
        ({"t126": "20400101-00:00:00"}, "99", "more than 43200 seconds"),
        ({"t168": "20400101-00:00:00"}, "99", "later than now"),
        ({"t848": "SliceSeconds=0"}, "99", "SliceSeconds=n"),
        ({"t849": "2"}, "99", "ParticipationRate(849)"),
        ({"t847": "1"}, "99", "tag 847 of a parent order is not replaced"),
        ({"t40": "1"}, "99", "tag 40"),
        ({"t59": "6"}, "99", "tag 59"),
        ({"t1": "3"}, "99", "tag 1 "),
        ({"t18": "6"}, "99", "tag 18"),
        ({"t111": "5"}, "99", "tag 111"),
        ({"t54": "2"}, "99", ""),
        ({"t41": "nobody"}, "1", ""),
    ],
    ids=str,
)
def test_what_a_replace_is_refused_for(shared: tuple[Venue, Any, str], change: dict[str, str], code: str, text: str):
    """ROE-56"""
    venue, alpha, name = shared
    before = area(venue).live[0].version
    told = ask(alpha, lambda: alpha.replace(name, "ACME", "buy", 40, "101", **{**KNOWN, **change}))
    assert (told[35], told[102], told[434], told[41]) == ("9", code, "2", change.get("t41", name)), told
    assert text in told[58] and told[39] == ("1" if "t41" not in change else "8")
    assert area(venue).live[0].version is before, "nothing has changed"
    area(venue).check()


KNOWN = {"t847": "1000"}  # so that it goes to the area whatever it names


@pytest.fixture(scope="module")
def shared(shared_venue: Venue) -> Any:
    """A parent that has done 9 of 40, by the clock of the wall: nothing is due for an hour."""
    offered(shared_venue)
    alpha = shared_venue.logged_on("ALPHA1")
    name = parent(alpha, Hands(), 40, t126=Hands().text(4 * 3600), t848="SliceSeconds=3600")
    until_reports(alpha, name, 2)
    return shared_venue, alpha, name


def test_an_ordinary_order_takes_no_field_of_a_parent(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    name = alpha.order("ACME", "buy", 5, "60")
    for fields in ({"t168": "20400101-00:00:00"}, {"t847": "1000"}, {"t848": "SliceSeconds=5"}, {"t849": "0.5"}):
        told = ask(alpha, lambda fields=fields: alpha.replace(name, "ACME", "buy", 4, "60", **fields))
        assert (told[35], told[102], told[434]) == ("9", "99", "2") and "leave them out" in told[58]
    assert ask(alpha, lambda: alpha.replace(name, "ACME", "buy", 4, "60"))[150] == "5"


def test_many_replaces_hasten_nothing(venue: Venue, hands: Hands):
    offered(venue)
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)
    until_reports(alpha, name, 2)
    for number in range(12):
        hands.forward(2)
        name = alpha.replace(name, "ACME", "buy", 40 + number % 2, "101")
        settle(alpha)
        worked(venue, hands)
    assert area(venue).live[0].cum_lots == 10, "a slice is 25 seconds"
    hands.forward(1)
    until(lambda: area(venue).live[0].cum_lots > 10)


def test_replaces_survive_a_new_start(make_venue: Callable[..., Venue], application: str, hands: Hands):
    """ROE-57"""
    first = make_venue(application)
    seller(first)
    bravo = first.logged_on("BRAVO1")
    name = parent(bravo, hands, 40)
    until_reports(bravo, name, 2)
    middle = bravo.replace(name, "ACME", "buy", 60, "101", t848="SliceSeconds=5")
    again = bravo.replace(middle, "ACME", "buy", 30, "100.50", t126=hands.text(50))
    until_reports(bravo, again, 1)
    before = area(first).live[0]
    first.close()
    second = make_venue(application)
    (after,) = area(second).live
    assert after.names == before.names == [name.encode(), middle.encode(), again.encode()]
    for what in ("seq", "schedule", "values", "rate_bp", "base_lots", "earliest_ns", "changed"):
        assert getattr(after.version, what) == getattr(before.version, what), what
    area(second).check()
    bravo = on_again(second, "BRAVO1")
    hands.forward(25)
    until(lambda: any(report[14] > "10" for report in reports(bravo, again)))
    hands.forward(25)
    until(lambda: area(second).live == [])
    settle(bravo)
    assert reports(bravo, again)[-1][14] == "30" and reports(bravo, again)[-1][39] == "2"
    assert ask(bravo, lambda: bravo.order("ACME", "buy", 1, "60", t11=middle))[103] == "6"


def test_a_replace_that_is_sent_again_is_done_once(venue: Venue, hands: Hands):
    alpha = venue.logged_on("ALPHA1")
    name = parent(alpha, hands, 40)
    again = alpha.replace(name, "ACME", "buy", 50, "101")
    settle(alpha)
    before = len(alpha.inbox)
    body: list[Any] = [(41, name), (11, again), (55, "ACME"), (54, "1"), (38, "50"), (40, "2"), (44, "101")]
    body.append((60, hands.text(0)[:21]))
    alpha.send("G", body, orig_time="20260101-00:00:00")
    settle(alpha)
    assert len(alpha.inbox) == before and len(area(venue).live[0].names) == 2


# ---- any sequence ----


class Market:
    """A parent without a venue: a book that gives what it is told to, and a journal that is read again at any time."""

    def __init__(self, qty: int, seconds: int, slice_seconds: int) -> None:
        self.config, self.now_ns, self.entries = config_of(NOWHERE), NOW_NS, []
        values = {**GOOD, 38: b"%d" % qty, 126: messages.timestamp(NOW_NS + seconds * NS)}
        values[848] = b"SliceSeconds=%d" % slice_seconds
        draft = Draft(self.config, terms(), 1, body_of(values), NOW_NS, nobody)
        assert draft.refusal is None
        self.journal(PARENT, draft.words, draft.body)
        self.parent = Parent.of(self.entries[0], terms())
        self.children: list[Child] = []
        self.sent: list[tuple[int, int]] = []  # wanted, done

    def journal(self, verb: bytes, words: dict[str, Any], body: bytes) -> Entry:
        entry = Entry.of(len(self.entries) + 1, 1, 1, 0, entry_body(verb, b"ALPHA1", b"P", words, body))
        assert entry is not None
        self.entries.append(entry)
        return entry

    def slice(self, available: int) -> None:
        parent = self.parent
        if self.now_ns < parent.schedule.start_ns or not parent.is_open:
            return
        lots = parent.version.due_lots(self.now_ns) - parent.cum_lots
        early = self.now_ns < parent.version.earliest_ns
        assert not early or parent.schedule.end_ns <= parent.version.earliest_ns, "a slice has its time"
        assert lots <= parent.qty_lots - parent.cum_lots, "never more than the parent has left"
        if lots <= 0:
            return
        _, body = parent.child(child_names.compose(parent.seq, parent.children), lots)
        child = Child.of(99, body)
        assert child is not None and child.version_seq == parent.version.seq
        done = min(lots, available)
        self.sent.append((lots, done))
        parent.children += 1
        parent.count(done, done * 100)

    def replace(self, qty: int, seconds: int) -> bool:
        name = b"R%d" % len(self.entries)
        values = {11: name, 41: self.parent.clordid, 55: b"ACME", 54: b"1", 38: b"%d" % qty, 40: b"2"}
        values[126] = messages.timestamp(self.now_ns + seconds * NS)
        body = body_of(values).replace(b"35=D", b"35=G")
        draft = Replacement(self.config, terms(), self.parent, body, self.now_ns, nobody)
        if draft.refusal is not None:
            assert draft.refusal.text and (qty <= self.parent.cum_lots or seconds <= 0)
            return False
        entry = self.journal(REPLACE, draft.words, body)
        again = Entry.of(entry.seq, 1, 1, 0, entry.body)
        assert again is not None
        version = Version.of(terms(), self.entries[0], again)
        assert changed(version, template=self.parent.template) == changed(
            Version.of(terms(), self.entries[0], entry), template=self.parent.template
        )
        self.parent.change(version)
        return True


NOWHERE = Path("/nowhere")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 60), st.integers(0, 40)),
        st.tuples(st.just("replace"), st.integers(-3, 60), st.integers(-5, 200)),
    ),
    max_size=30,
)


@given(st.integers(1, 60), st.integers(1, 300), st.integers(1, 60), STEPS)
def test_any_sequence_of_replaces_never_sends_too_much_and_ends_exactly(
    qty: int, seconds: int, slice_seconds: int, steps: list[tuple[str, int, int]]
):
    market = Market(qty, seconds, slice_seconds)
    parent = market.parent
    for kind, number, other in steps:
        if kind == "wait":
            market.now_ns += number * NS
            market.slice(other)
        elif parent.is_open and market.now_ns < parent.schedule.end_ns:
            before = parent.cum_lots
            if market.replace(before + number, other):
                assert parent.qty_lots == before + number and parent.cum_lots == before == parent.version.base_lots
                assert parent.schedule.start_ns >= market.now_ns or parent.schedule.start_ns == parent.next_ns
        parent.check()
    market.now_ns = max(market.now_ns, parent.schedule.end_ns)
    market.slice(10**9)
    parent.check()
    assert parent.cum_lots == parent.qty_lots == sum(done for _, done in market.sent), "all of it, and no lot more"
    assert not parent.is_open


@pytest.mark.parametrize("seed", [random.randrange(10**6)])
def test_a_random_day_of_replaces(make_venue: Callable[..., Venue], application: str, hands: Hands, seed: int):
    """Over FIX, with cuts: every child within what its parent had left by the terms in force, and an exact end."""
    print("seed", seed)
    rng, venue = random.Random(seed), make_venue(application)
    bravo = venue.logged_on("BRAVO1")
    seller(venue)
    names = [parent(bravo, hands, rng.randint(5, 60), "101", t848="SliceSeconds=4") for _ in range(4)]
    for step in range(40):
        hands.forward(rng.choice([0, 1, 4]))
        at = rng.randrange(len(names))
        seconds, qty = rng.randint(5, 60), rng.randint(1, 80)
        names.append(bravo.replace(names[at], "ACME", "buy", qty, "101", t126=hands.text(seconds)))
        settle(bravo)
        if step % 13 == 12:
            expected = bravo.next_in
            venue.close()
            venue = make_venue(application)
            bravo = on_again(venue, "BRAVO1", expected)
            area(venue).check()
    hands.forward(100)
    until(lambda: not area(venue).live)
    settle(bravo)
    parents = list(area(venue)._parents.values())
    written(venue).close()
    found = list(history(venue.data_dir / "journal", 86_400 * NS))
    for one in parents:
        one.check()
        children = [item for item in found if isinstance(item, Child) and item.parent_seq == one.seq]
        left = {item.seq: item for item in found if isinstance(item, Entry)}
        for child in children:
            order = venue.engine.find_order(2, child_names.compose(one.seq, child.number))
            total = left[child.version_seq].number(b"qty_lots")
            assert child.cum_lots + order["order_qty_lots"] <= total, seed
        last = tags(bravo.inbox[-1])
        assert one.status in (b"2", b"C") and (one.status == b"2") == (one.cum_lots == one.qty_lots), (seed, last)
    area(venue).check()
