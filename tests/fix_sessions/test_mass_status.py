"""Mass status: every open order of the session, once, and only those."""

from __future__ import annotations

import random

import pytest

from fix_sessions.client import Broker
from tests.fix_sessions.rig import Venue, settle, tags


def asked(broker: Broker, kind: str = "7", **fields: str) -> list[dict[int, str]]:
    before = len(broker.inbox)
    broker.send("AF", [(584, "s"), (585, kind), *((int(tag[1:]), value) for tag, value in fields.items())])
    broker.wait_for(lambda: any(m.get(912) == b"Y" for m in broker.inbox[before:]))
    settle(broker)
    return [tags(m) for m in broker.inbox[before:] if m.get(584) == b"s"]


@pytest.mark.parametrize("seed", range(3))
def test_it_tells_of_every_open_order_and_no_other(venue: Venue, seed: int):
    chance = random.Random(seed)
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    for _ in range(150):
        broker = chance.choice([alpha, bravo])
        account = {"t1": chance.choice(["1", "3"])} if broker is alpha else {}
        broker.order("ACME", chance.choice(["buy", "sell"]), chance.randint(1, 9), chance.randint(98, 102), **account)
    for broker in (alpha, bravo, alpha):
        settle(broker)
    for broker, session in ((alpha, 1), (bravo, 2)):
        now = {order["clordid"]: order for order in venue.engine.open_orders_of(session)[1]}
        leaves: dict[str, str] = {}
        for message in broker.inbox:
            report = tags(message)
            leaves[report[11]] = report[151]
        assert {name for name, lots in leaves.items() if lots != "0"} == set(now), seed
        for fields in ({}, {"t54": "1"}, {"t1": "3"} if broker is alpha else {"t1": "2"}):
            found = asked(broker, **fields)
            meant = {
                name
                for name, order in now.items()
                if ("t54" not in fields or order["side"] == 1)
                and ("t1" not in fields or order["account"] == int(fields["t1"]))
            }
            if not meant:
                assert [(f[911], f[39]) for f in found] == [("0", "8")]
                continue
            assert [f[11] for f in found] == [n for n in now if n in meant], seed
            assert [f[912] for f in found] == ["N"] * (len(meant) - 1) + ["Y"]
            assert all(f[911] == str(len(meant)) and f[150] == "I" and f[151] == leaves[f[11]] for f in found)


def test_of_one_security(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    alpha.order("ACME", "sell", 1, "120", t11="a")
    alpha.order("BOLT", "sell", "0.5", "30", t11="b")
    settle(alpha)
    (found,) = asked(alpha, "1", t55="BOLT")
    assert (found[11], found[38], found[44]) == ("b", "0.5", "30.000")


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        ("3", {}, "MassStatusReqType(585)"),
        ("1", {}, "Symbol(55)"),
        ("1", {"t55": "ZZZ"}, "Symbol(55)"),
        ("7", {"t1": "2"}, "Account(1)"),
        ("7", {}, "no open order"),
    ],
)
def test_without_an_answer_it_says_why(venue: Venue, kind: str, fields: dict[str, str], text: str):
    (found,) = asked(venue.logged_on("ALPHA1"), kind, **fields)
    assert text in found[58] and (found[37], found[39], found[911], found[912]) == ("NONE", "8", "0", "Y")


def test_many_orders_leave_in_portions_while_others_trade(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    for number in range(500):
        alpha.order("ACME", "sell", 1, "140", t11=f"n{number}")
    settle(alpha)
    alpha.send("AF", [(584, "s"), (585, "7")])
    bravo.order("ACME", "buy", 1, "60")
    settle(bravo)
    alpha.wait_for(lambda: any(m.get(912) == b"Y" for m in alpha.inbox))
    assert len([m for m in alpha.inbox if m.get(584) == b"s"]) == 500
