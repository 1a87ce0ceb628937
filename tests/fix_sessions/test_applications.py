"""The native and the Python application give the same bytes, but for times and checksums, for any order flow."""

from __future__ import annotations

import contextlib
import random
from itertools import pairwise

import pytest

from cores import CommandFlag, CommandKind
from cores.records import Limit, Phase
from fix_sessions.client import Broker
from tests.fix_sessions.rig import Venue, settle, written

SYMBOLS = ["ACME", "ACME", "ACME", "BOLT", "BOLT", "ZZZ", "acme"]
PRICES = [
    "99.50",
    "99.51",
    "100",
    "100.00",
    "100.10",
    "99.505",
    "10.025",
    "10.01",
    "0",
    "-1",
    "1e3",
    "200",
    ".5",
    "7.",
    "x",
]
PRICES += ["99999999999999999999999999999999999999999999", "10000000000", "0000100.000000000", "5", "40", "12.5000"]
QUANTITIES = ["1", "10", "0.5", "2.5", "0", "-3", "1.25", "100", "1000000", "1099511627776", "7.0", "9" * 45, "", "abc"]
EXECS = [None, None, None, "6", "6 6", "G", "6 G", "1"]
RARE: list[tuple[int, float, list[str]]] = [
    (110, 0.1, QUANTITIES),
    (111, 0.15, ["1", "2", "5", "10", "0", *QUANTITIES]),
    (126, 0.1, ["20991231-23:59:59", "20991231-23:59:59.123456", "20200101-00:00:00", "20990230-00:00:00"]),
    (432, 0.1, ["20991231", "20200101", "20990229"]),
    (2362, 0.05, ["1", "2", "0", "x"]),
    (2964, 0.1, ["1", "2", "3", "100", "4"]),
    (9479, 0.1, ["S", "R", "P"]),
]
TIME, CHECK, SENDING, SETTLE, LENGTH, NUMBER = 60, 10, 52, 112, 9, 34


def random_request(chance: random.Random, names: list[str], index: int) -> tuple[str, list[tuple[int, str]]]:
    """Any D, F, G, H or q, mostly sensible; more than half are plain orders that often trade."""
    if chance.random() < 0.6:
        price = f"{chance.randint(9950, 10050) / 100:.2f}"
        body = [(11, f"c{index}"), (55, "ACME"), (54, chance.choice("12")), (38, str(chance.randint(1, 50)))]
        return "D", [*body, (40, "2"), (44, price), (59, chance.choice("0113")), (60, "20260101-00:00:00.000")]
    kind = chance.choices("DGFHq", [10, 4, 3, 1, 0.3])[0]
    side = chance.choice(["1", "2", "1", "2", "5", "1"])
    body = [(11, f"c{index}" if chance.random() < 0.97 or not names else chance.choice(names))]
    if kind in "FG":
        body.append((41, chance.choice(names) if names and chance.random() < 0.9 else "nothing"))
    if chance.random() < 0.15:
        body.append((1, chance.choice(["1", "3", "2", "99999999", "x", "01"])))
    if kind == "q":
        body.append((530, chance.choice(["1", "7", "6"])))
    if kind != "q" or chance.random() < 0.7:
        body += [(55, chance.choice(SYMBOLS))]
    body += [(54, side)] if kind != "q" or chance.random() < 0.3 else []
    if kind in "DG":
        simple = chance.random() < 0.7
        body.append((38, str(chance.randint(1, 50)) if simple else chance.choice(QUANTITIES)))
        body.append((40, chance.choices("21344KP", [8, 1, 1, 1, 1, 1, 0.2])[0]))
        if chance.random() < 0.97:
            body.append((44, f"{chance.randint(9900, 10100) / 100}" if simple else chance.choice(PRICES)))
        if body[-2][1] in "34" or chance.random() < 0.05:
            body.append((99, f"{chance.randint(9900, 10100) / 100}" if simple else chance.choice(PRICES)))
        if chance.random() < 0.5:
            body.append((59, chance.choice("0123467")))
        for tag, share, values in RARE:
            if chance.random() < share * (4 if tag in (126, 432) and (59, "6") in body else 1):
                body.append((tag, chance.choice(values)))
        instruction = chance.choice(EXECS)
        body += [(18, instruction)] if instruction else []
    body += [(60, "20260101-00:00:00.000")] if kind != "H" else []
    return kind, body


def flow(venue: Venue, seed: int, count: int) -> dict[str, list[list[tuple[int, bytes]]]]:
    """Plays the flow on three sessions; returns all that each of them got."""
    chance = random.Random(seed)
    brokers = {name: venue.logged_on(name) for name in ("ALPHA1", "BRAVO1", "ALPHA2")}
    names: dict[str, list[str]] = {name: [] for name in brokers}
    for index in range(count):
        name = chance.choice(list(brokers))
        kind, body = random_request(chance, names[name], index)
        names[name].append(body[0][1])
        brokers[name].send(kind, [(tag, value) for tag, value in body])
        settle(brokers[name])  # so that both venues see the same order of arrival
        settle_all(brokers)  # and both sides of a trade have heard of it
        if index % 10 == 9:
            move(venue, index)
            if chance.random() < 0.5:
                bust(venue, chance, brokers)
    settle_all(brokers)
    return {name: everything(broker) for name, broker in brokers.items()}


def move(venue: Venue, index: int) -> None:
    """Calls, auctions and the expiry of orders, now and then."""
    fields: dict[int, dict[str, int]] = {
        39: {"kind": CommandKind.PHASE, "ord_type": Phase.PRE_OPEN},
        69: {"kind": CommandKind.PHASE, "ord_type": Phase.CONTINUOUS},
        89: {"kind": CommandKind.LIMIT, "ord_type": Limit.COLLAR, "qty_lots": 50},
        99: {"kind": CommandKind.TIME, "flags": CommandFlag.TIME_CLOSE},
    }
    if index % 100 in fields:
        venue.engine.call(body=b"verb=test\x01", symbol=0, **fields[index % 100])


def bust(venue: Venue, chance: random.Random, brokers: dict[str, Broker]) -> None:
    """Some trade that was told of is taken back, if that can be."""
    trades = sorted({m.get(527) for b in brokers.values() for m in b.inbox if m.get(150) == b"F"}, key=trade_number)
    if trades:
        asked = {"verb": "bust", "actor": "ann", "approver": "bob", "text": "flow"}
        with contextlib.suppress(ValueError):  # busted before, or held by an open order
            venue.acceptor.operate(asked | {"trade": chance.choice(trades).decode()})
        settle_all(brokers)


def trade_number(trade: bytes) -> tuple[int, int]:
    seq, index = trade.split(b"-")
    return int(seq), int(index)


def settle_all(brokers: dict[str, Broker]) -> None:
    for broker in brokers.values():
        settle(broker)


def everything(broker: Broker) -> list[list[tuple[int, bytes]]]:
    """In order, but for the answers to test requests: a report leaves before them or after them."""
    got = [m for m in (*broker.inbox, *broker.admin) if m.get(35) != b"0"]
    got.sort(key=lambda message: int(message.get(34)))
    blank = {TIME, CHECK, SENDING, SETTLE, LENGTH, NUMBER}
    pairs = [[(int(tag), value) for tag, value in message.pairs] for message in got]
    return [[(tag, b"" if tag in blank else value) for tag, value in message] for message in pairs]


@pytest.mark.parametrize("seed", range(4))
def test_same_bytes(make_venue, seed: int):
    flows = {}
    for application in ("native", "python"):
        venue = make_venue(application, folder=application)
        flows[application] = flow(venue, seed, 250)
        venue.engine.check()
    for name, native in flows["native"].items():
        python = flows["python"][name]
        assert len(native) == len(python), f"seed {seed}, {name}"
        for one, other in zip(native, python, strict=True):
            assert one == other, f"seed {seed}, {name}"
    kinds = {dict(message)[35] for messages in flows["native"].values() for message in messages}
    assert {b"8", b"9", b"3"} <= kinds, f"seed {seed}: the flow reaches every kind of answer, was {kinds}"
    told = {dict(message).get(150) for messages in flows["native"].values() for message in messages}
    assert told >= {b"0", b"F", b"H"}, f"seed {seed}: was {told}"


def test_same_journal(make_venue):
    """The records and annexes are the same too, but for time and salt."""
    journals = []
    for application in ("native", "python"):
        venue = make_venue(application, folder=application)
        flow(venue, 99, 150)
        found = written(venue).poll(10_000)
        commands = found.commands.copy()
        commands["time_ns"] = 0
        ends = [0, *found.annex_ends.tolist()]
        bodies = [bytes(found.annex[a + 16 : b]) for a, b in pairwise(ends)]
        journals.append((commands.tobytes(), bodies))
    assert len(journals[0][1]) > 100
    assert journals[0][0] == journals[1][0]
    assert journals[0][1] == journals[1][1]
