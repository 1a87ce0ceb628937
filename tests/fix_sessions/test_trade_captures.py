"""Trade captures: what the reports of a day told, told again: each own side of each trade once, after restarts too."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import quickfix

from fix_sessions.acceptor import dictionary_path
from fix_sessions.client import Broker, Pair
from tests.fix_sessions.rig import Venue, bust, settle, tags, written


def ask(broker: Broker, name: str = "t", kind: str = "0", **fields: str) -> tuple[dict[int, str], list[dict[int, str]]]:
    """The AQ and the AE that answer it."""
    before = len(broker.inbox)
    body: list[Pair] = [(568, name), (569, kind), *((int(tag[1:]), value) for tag, value in fields.items())]
    broker.send("AD", body)
    broker.wait_for(lambda: any(m.get(35) == b"AQ" for m in broker.inbox[before:]))
    ack = next(tags(m) for m in broker.inbox[before:] if m.get(35) == b"AQ")
    total = int(ack.get(748, "0"))
    broker.wait_for(lambda: sum(m.get(748) is not None and m.get(35) == b"AE" for m in broker.inbox[before:]) >= total)
    settle(broker)
    return ack, [tags(m) for m in broker.inbox[before:] if m.get(35) == b"AE" and m.get(748) is not None]


def executions(broker: Broker) -> dict[str, dict[int, str]]:
    """Every fill that was reported, by ExecID."""
    return {m.get(17).decode(): tags(m) for m in broker.inbox if m.get(35) == b"8" and m.get(150) == b"F"}


def trade(seed: int, count: int, brokers: list[Broker]) -> None:
    """Orders that often meet, some replaced before they do."""
    chance = random.Random(seed)
    for _ in range(count):
        broker = chance.choice(brokers)
        side, price = chance.choice(["buy", "sell"]), chance.randint(98, 102)
        account = {"t1": chance.choice(["1", "3"])} if broker.comp_id == "ALPHA1" else {}
        name = broker.order("ACME", side, chance.randint(1, 9), price, **account)
        if chance.random() < 0.2:
            broker.replace(name, "ACME", side, chance.randint(1, 9), price + chance.choice([-1, 1]))
    for broker in (*brokers, *brokers):
        settle(broker)


def same(report: dict[int, str], execution: dict[int, str]) -> bool:
    tags_alike = (1, 11, 17, 31, 32, 37, 54, 55, 60, 527, 851)
    return all(report.get(tag) == execution.get(tag) for tag in tags_alike) and report[571] == report[17]


@pytest.mark.parametrize("seed", range(2))
def test_the_reports_are_those_of_the_executions(venue: Venue, seed: int):
    brokers = [venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")]
    trade(seed, 150, brokers)
    written(venue).close()
    for broker in brokers:
        known = executions(broker)
        assert len(known) > 3, seed  # how many depends on whose orders come first
        ack, reports = ask(broker)
        assert (ack[749], ack[750], ack[748]) == ("0", "0", str(len(known)))
        assert [r[17] for r in reports] == list(known), seed
        assert all(same(r, known[r[17]]) for r in reports), seed
        assert [r[912] for r in reports] == ["N"] * (len(reports) - 1) + ["Y"]
        ids = list(known)
        half = ids[len(ids) // 2]
        _, later = ask(broker, t17=half)
        assert [r[17] for r in later] == ids[len(ids) // 2 + 1 :]
        _, bought = ask(broker, kind="1", t54="1", t1="3" if broker.comp_id == "ALPHA1" else "2")
        account = "3" if broker.comp_id == "ALPHA1" else "2"
        assert [r[17] for r in bought] == [i for i, e in known.items() if e[54] == "1" and e[1] == account]
    alpha, bravo = brokers
    matched = {e[527] for e in executions(alpha).values()}
    assert {e[527] for e in executions(bravo).values()} <= matched | {e[527] for e in executions(bravo).values()}


def test_by_time_order_and_after_a_new_start(make_venue: Callable[..., Venue], application: str):
    first = make_venue(application)
    alpha, bravo = first.logged_on("ALPHA2"), first.logged_on("BRAVO1")
    trade(7, 60, [alpha, bravo])
    known = executions(alpha)
    first.close()
    second = make_venue(application)
    again = second.broker("ALPHA2")
    again.next_out, again.next_in = alpha.next_out + 1, alpha.next_in + 1
    again.log_on()
    _, reports = ask(again)
    assert [r[17] for r in reports] == list(known) and all(same(r, known[r[17]]) for r in reports)
    times = sorted(e[60] for e in known.values())
    low, high = times[len(times) // 3], times[len(times) // 2]
    body: list[Pair] = [(568, "r"), (569, "1"), (580, "2"), (60, low), (60, high)]
    again.send("AD", body)
    meant = [e[17] for e in known.values() if low <= e[60] <= high]
    again.wait_for(lambda: sum(m.get(568) == b"r" and m.get(35) == b"AE" for m in again.inbox) == len(meant))
    order = next(iter(known.values()))[37]
    _, of_order = ask(again, t37=order)
    assert [r[17] for r in of_order] == [e[17] for e in known.values() if e[37] == order]


def test_a_subscription_tells_of_later_trades_until_it_is_ended(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    trade(1, 20, [alpha, bravo])
    written(venue).close()
    _, before = ask(alpha, "sub", t263="1")
    ask(bravo, "other", t263="1")
    known = set(executions(alpha))
    assert {r[17] for r in before} == known
    trade(2, 40, [alpha, bravo])

    def told() -> list[dict[int, str]]:
        return [tags(m) for m in alpha.inbox if m.get(35) == b"AE" and m.get(325) == b"Y"]

    wanted = executions(alpha).keys() - known
    alpha.wait_for(lambda: {r[17] for r in told()} >= wanted)
    assert sorted(r[17] for r in told()) == sorted(wanted)
    assert all(same(r, executions(alpha)[r[17]]) for r in told())
    ack, none = ask(alpha, "sub", t263="2")
    assert ack[750] == "1" and not none
    trade(3, 20, [alpha, bravo])
    ask(alpha, "again")
    assert len(told()) == len(wanted)


@pytest.mark.parametrize(
    ("fields", "result", "text"),
    [
        ({"kind": "3"}, "8", "TradeRequestType(569)"),
        ({"t55": "ZZZ"}, "1", "Symbol(55)"),
        ({"t1": "2"}, "9", "Account(1)"),
        ({"t17": "x"}, "99", "ExecID(17)"),
        ({"t37": "NONE"}, "99", "OrderID(37)"),
        ({"t54": "5"}, "99", "Side(54)"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(venue: Venue, fields: dict[str, str], result: str, text: str):
    ack, reports = ask(venue.logged_on("ALPHA1"), **fields)
    assert (ack[749], ack[750]) == (result, "2") and text in ack[58] and not reports


def test_without_a_trade_it_says_so(venue: Venue):
    ack, reports = ask(venue.logged_on("ALPHA1"))
    assert (ack[748], ack[749], ack[750]) == ("0", "0", "1") and not reports


def busts(broker: Broker) -> dict[str, dict[int, str]]:
    """Every bust that was reported, by ExecID."""
    return {m.get(17).decode(): tags(m) for m in broker.inbox if m.get(35) == b"8" and m.get(150) == b"H"}


def takes_back(report: dict[int, str], told: dict[int, str], fill: dict[int, str]) -> bool:
    """Whether an AE says what the report of the bust says, and for the rest what the fill did."""
    as_told = all(report[tag] == told[tag] for tag in (1, 17, 31, 32, 37, 54, 55, 60, 150, 527))
    as_filled = all(report.get(tag) == fill.get(tag) for tag in (1, 11, 31, 32, 37, 54, 55, 527, 851))
    named = (report[487], report[571], report[572]) == ("1", report[17], fill[17]) and told[19] == fill[17]
    return as_told and as_filled and named and report[1003] == fill[527] and report[75] == fill[60][:8]


@pytest.mark.parametrize("seed", range(2))
def test_busted_trades_are_told_again_as_cancelled(
    make_venue: Callable[..., Venue], application: str, seed: int
) -> None:
    """ROE-48: to who asks, in order, also after a new start; to who subscribes when it happens."""
    dictionary = quickfix.DataDictionary(str(dictionary_path()))
    venue = make_venue(application)
    brokers = [venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")]
    trade(seed, 150, brokers)
    written(venue).close()
    ask(brokers[1], "sub", t263="1")
    chance = random.Random(seed)
    trades = sorted({e[527] for e in executions(brokers[0]).values()})
    done = []
    for name in chance.sample(trades, min(6, len(trades))):
        try:
            bust(venue, name)
            done.append(name)
        except ValueError as error:
            assert "INSUFFICIENT_FUNDS" in str(error), seed
    assert done, seed
    trade(seed + 10, 10, brokers)
    written(venue).close()
    for broker in brokers:
        settle(broker)
    known = [(executions(broker), busts(broker)) for broker in brokers]

    def agrees(broker: Broker, fills: dict[str, dict[int, str]], taken: dict[str, dict[int, str]]) -> None:
        _, reports = ask(broker)
        assert [r[17] for r in reports] == sorted([*fills, *taken], key=lambda i: tuple(map(int, i.split("-")))), seed
        for report in reports:
            if report[17] in fills:
                assert same(report, fills[report[17]]) and (report[487], report[150]) == ("0", "F")
            else:
                assert takes_back(report, taken[report[17]], fills[report[572]]), (seed, report)
        last = reports[-1][17]
        assert not ask(broker, t17=last)[1]
        for message in (m for m in broker.inbox if m.get(35) == b"AE"):
            dictionary.validate(quickfix.Message(message.encode(raw=True).decode(), dictionary, True))

    for broker, (fills, taken) in zip(brokers, known, strict=True):
        agrees(broker, fills, taken)
    assert {told[527] for told in known[1][1].values()} <= set(done)

    def news() -> list[str]:
        found = [tags(m) for m in brokers[1].inbox if m.get(35) == b"AE" and m.get(325) == b"Y"]
        return [r[17] for r in found if r[487] == "1"]

    brokers[1].wait_for(lambda: len(news()) >= len(known[1][1]))
    assert news() == list(known[1][1])
    venue.close()
    again = make_venue(application).broker("ALPHA1")
    again.next_out, again.next_in = brokers[0].next_out + 1, brokers[0].next_in + 1
    again.log_on()
    agrees(again, *known[0])


def test_a_bust_is_no_trade_to_be_busted(venue: Venue) -> None:
    """The number of one of its own reports names none."""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    alpha.order("ACME", "buy", 5, 100)
    settle(alpha)
    bravo.order("ACME", "sell", 5, 100)
    settle(bravo)
    bust(venue, next(iter(executions(bravo).values()))[527])
    settle(bravo)
    (told,) = busts(bravo)
    with pytest.raises(ValueError, match="unknown"):
        bust(venue, told)
