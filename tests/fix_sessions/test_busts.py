"""Busted trades on both brokers' screens: what each side's session is told, and what later reports of its order say."""

from __future__ import annotations

import getpass
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cores import CommandFlag, CommandKind, EventKind
from cores.records import Phase
from fix_sessions.bust_reports import bust_fields
from fix_sessions.client import Broker
from fix_sessions.codec import Terms
from tests.fix_sessions import rig
from tests.fix_sessions.rig import REASON, Venue, bust, make_config, settle, tags, written
from tests.fix_sessions.test_algorithms import Hands, area, hands, offered, parent, until_reports
from tests.fix_sessions.test_positions import FUTURE
from tests.fix_sessions.test_quotes import Maker
from venue import cli, operate
from venue.control import ControlClient, ControlError, ControlServer
from venue.follower import Follower
from venue.records import REPORT

__all__ = ["hands"]
Fields = dict[int, str]


@pytest.fixture
def venue_with_future(application: str, make_venue: Callable[..., Venue], monkeypatch: pytest.MonkeyPatch) -> Venue:
    monkeypatch.setattr(rig, "CONFIG", rig.CONFIG + FUTURE)
    return make_venue(application)


def reports(broker: Broker, exec_type: str | None = None) -> list[Fields]:
    """The 8 that it got, of one ExecType or all."""
    found = [tags(m) for m in broker.inbox if m.get(35) == b"8"]
    return [r for r in found if exec_type in (None, r[150])]


def told(broker: Broker, count: int = 1) -> list[Fields]:
    """The 8 with 150=H, once there are so many."""
    broker.wait_for(lambda: len(reports(broker, "H")) >= count)
    return reports(broker, "H")


def answer(broker: Broker, send: Callable[[], Any]) -> Fields:
    """Sends; returns the last 8."""
    send()
    settle(broker)
    return reports(broker)[-1]


def crossed(buyer: Broker, seller: Broker, bought: int, sold: int, price: str = "100.00") -> tuple[str, str, str]:
    """The buyer rests, the seller comes; ClOrdIDs of both and the number of the trade."""
    resting = buyer.order("ACME", "buy", bought, price)
    settle(buyer)
    coming = seller.order("ACME", "sell", sold, price)
    for broker in (seller, buyer):
        settle(broker)
    return resting, coming, reports(seller, "F")[-1][527]


def status(broker: Broker, clordid: str, side: str) -> Fields:
    return answer(broker, lambda: broker.send("H", [(11, clordid), (54, side), (55, "ACME")]))


def facts(report: Fields) -> tuple[str, ...]:
    """OrdStatus, OrderQty, CumQty, LeavesQty and AvgPx."""
    return tuple(report[tag] for tag in (39, 38, 14, 151, 6))


def test_both_sides_are_told_and_the_order_that_rests_has_done_less(venue: Venue):
    """ROE-58 ROE-59"""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    money = [venue.engine.balance(account, asset) for account in (0, 1, 2) for asset in (0, 1)]
    resting, coming, trade = crossed(alpha, bravo, 10, 4)
    filled = reports(alpha, "F")[-1], reports(bravo, "F")[-1]
    assert bust(venue, trade) | {"seq": 0} == {
        "seq": 0, "busted": trade, "symbol": "ACME", "price": "100.00", "quantity": "4", "buyer": 1, "seller": 2
    }  # fmt: skip
    bought, sold = told(alpha)[0], told(bravo)[0]
    assert facts(bought) == ("0", "10", "0", "6", "0") and facts(sold) == ("4", "4", "0", "0", "0")
    for report, fill, name in ((bought, filled[0], resting), (sold, filled[1], coming)):
        same = (1, 31, 32, 37, 38, 54, 55, 527)
        assert {tag: report[tag] for tag in same} == {tag: fill[tag] for tag in same}
        assert (report[11], report[19], report[58], report[150]) == (name, fill[17], REASON, "H")
        assert report[17] not in {r[17] for r in reports(alpha, "F") + reports(bravo, "F")}
    assert bought[17] != sold[17] and bought[17].split("-")[0] == sold[17].split("-")[0]
    after = [venue.engine.balance(account, asset) for account in (0, 1, 2) for asset in (0, 1)]
    assert [balance for balance, *_ in after] == [balance for balance, *_ in money]
    assert facts(status(alpha, resting, "1")) == ("0", "10", "0", "6", "0")
    assert facts(status(bravo, coming, "2")) == ("4", "4", "0", "0", "0")
    bravo.order("ACME", "sell", 6, "100.00")
    settle(bravo)
    settle(alpha)
    ended = reports(alpha, "F")[-1]
    assert facts(ended) == ("4", "10", "6", "0", "100.00"), "not all of it stands, and nothing rests"
    venue.engine.check()


def test_a_replaced_order_keeps_what_rests_and_counts_what_was_filled(venue: Venue):
    """ROE-58 ROE-59 ROE-60"""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    resting, _, trade = crossed(alpha, bravo, 10, 4)
    second = answer(alpha, lambda: alpha.replace(resting, "ACME", "buy", 12, "100.00"))
    assert facts(second) == ("1", "12", "4", "8", "100.00")
    bust(venue, trade)
    (bought,) = told(alpha)
    assert bought[11] == second[11] and facts(bought) == ("0", "12", "0", "8", "0")
    third = answer(alpha, lambda: alpha.replace(second[11], "ACME", "buy", 7, "100.00"))
    assert facts(third) == ("0", "7", "0", "3", "0"), "7 in all, 4 of them were filled once"
    alpha.replace(third[11], "ACME", "buy", 4, "100.00")
    settle(alpha)
    refused = tags(alpha.inbox[-1])
    assert refused[35] == "9" and "above what is filled already" in refused[58] and refused[39] == "0"
    assert crossed_again(alpha, bravo, 2) == ("1", "7", "2", "1", "100.00")
    assert facts(status(alpha, third[11], "1")) == ("1", "7", "2", "1", "100.00")
    cancelled = answer(alpha, lambda: alpha.cancel(third[11], "ACME", "buy"))
    assert facts(cancelled) == ("4", "7", "2", "0", "100.00")
    assert facts(status(alpha, third[11], "1")) == ("4", "7", "2", "0", "100.00")
    venue.engine.check()


def crossed_again(buyer: Broker, seller: Broker, lots: int) -> tuple[str, ...]:
    """What the buyer is told when an order of so many lots meets what it has open at 100."""
    seller.order("ACME", "sell", lots, "100.00")
    settle(seller)
    settle(buyer)
    return facts(reports(buyer, "F")[-1])


def test_a_trade_is_named_by_either_side_and_busted_once(venue: Venue):
    """ROE-58"""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    trades = []
    for _ in range(2):
        crossed(alpha, bravo, 3, 3)
        trades.append((reports(alpha, "F")[-1], reports(bravo, "F")[-1]))
    for (bought, sold), name in zip(trades, ("first", "second"), strict=True):
        exec_id = bought[17] if name == "first" else sold[17]
        done = bust(venue, exec_id)
        assert done["busted"] == bought[527] == sold[527]
        for again in (bought[17], sold[17]):
            with pytest.raises(ValueError, match=rf"trade {bought[527]} is busted already, by command {done['seq']}$"):
                bust(venue, again)
    assert [r[19] for r in told(alpha, 2)] == [bought[17] for bought, _ in trades]
    assert [r[19] for r in told(bravo, 2)] == [sold[17] for _, sold in trades]
    assert [facts(r) for r in told(alpha, 2)] == [("4", "3", "0", "0", "0")] * 2


def test_a_report_waits_for_the_session_and_comes_when_it_asks(venue: Venue):
    """ROE-58"""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    _, coming, trade = crossed(alpha, bravo, 4, 4)
    fill = reports(bravo, "F")[-1]
    bravo.log_out()
    bust(venue, trade)
    told(alpha)
    again = venue.broker("BRAVO1")
    again.next_out, again.next_in = bravo.next_out, bravo.next_in
    again.log_on()
    (sold,) = told(again)
    assert (sold[11], sold[19], sold[58], sold[43]) == (coming, fill[17], REASON, "Y")
    assert facts(sold) == ("4", "4", "0", "0", "0")
    settle(again)
    again.send("2", [(7, sold[34]), (16, "0")])
    resent = told(again, 2)[1] if len(reports(again, "H")) > 1 else sold
    assert {t: v for t, v in resent.items() if t not in (10, 52, 122)} == {
        t: v for t, v in sold.items() if t not in (10, 52, 122)
    }


@pytest.mark.parametrize("snapshot", [False, True])
def test_after_a_new_start_it_is_as_before(make_venue: Callable[..., Venue], application: str, snapshot: bool):
    """ROE-59"""
    first = make_venue(application)
    alpha, bravo = first.logged_on("ALPHA2"), first.logged_on("BRAVO1")
    resting, coming, trade = crossed(alpha, bravo, 10, 4)
    late = crossed(alpha, bravo, 10, 1)[2]
    bust(first, trade)
    told(alpha), told(bravo)
    settle(alpha)
    settle(bravo)
    before = first.engine.orders_state()
    if snapshot:
        first.engine.snapshot()
    first.close()
    second = make_venue(application)
    assert second.engine.orders_state() == before
    alpha_again, bravo_again = second.broker("ALPHA2"), second.broker("BRAVO1")
    for old, new in ((alpha, alpha_again), (bravo, bravo_again)):
        new.next_out, new.next_in = old.next_out + 1, old.next_in + 1
        new.log_on()
    assert facts(status(alpha_again, resting, "1")) == ("1", "10", "1", "5", "100.00")
    assert facts(status(bravo_again, coming, "2")) == ("4", "4", "0", "0", "0")
    with pytest.raises(ValueError, match="busted already"):
        bust(second, trade)
    bust(second, late)
    (bought,) = told(alpha_again)
    assert bought[11] == resting and facts(bought) == ("0", "10", "0", "5", "0")
    assert crossed_again(alpha_again, bravo_again, 5) == ("4", "10", "5", "0", "100.00")
    second.engine.check()


def test_of_two_operators_at_once_one_does_it(venue: Venue):
    """ROE-58"""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    trade = crossed(alpha, bravo, 5, 5)[2]
    answers: list[str] = []
    start = threading.Barrier(6)

    def operator(number: int) -> None:
        start.wait()
        try:
            answers.append(bust(venue, trade, actor=f"op{number}")["busted"])
        except ValueError as refused:
            answers.append(str(refused))

    threads = [threading.Thread(target=operator, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a == trade for a in answers) == [False] * 5 + [True]
    assert sum("is busted already" in a for a in answers) == 5
    settle(alpha)
    assert len(told(alpha)) == len(told(bravo)) == 1


def test_a_member_that_traded_with_itself_is_told_of_both_sides(make_venue: Callable[..., Venue], application: str):
    """ROE-58"""
    venue = make_venue(application, alpha='self_match = "none"')
    alpha = venue.logged_on("ALPHA1")
    bought = alpha.order("ACME", "buy", 2, "100.00", t1="1")
    venue.engine.call(kind=CommandKind.DEPOSIT, account=3, asset=1, qty_lots=10, body=b"verb=deposit\x01")
    sold = alpha.order("ACME", "sell", 2, "100.00", t1="3")
    settle(alpha)
    fills = reports(alpha, "F")
    assert len(fills) == 2, reports(alpha)
    bust(venue, fills[1][17])
    sides = told(alpha, 2)
    assert [(r[54], r[1], r[11], r[19]) for r in sides] == [
        ("1", "1", bought, next(f[17] for f in fills if f[54] == "1")),
        ("2", "3", sold, next(f[17] for f in fills if f[54] == "2")),
    ]


def test_the_trade_of_a_quote_names_the_quote(venue: Venue):
    """ROE-58"""
    maker, taker = Maker(venue.logged_on("ALPHA2")), venue.logged_on("BRAVO1")
    maker.quote(("e1", "ACME", "99.00", 10, "101.00", 10))
    taker.order("ACME", "buy", 3, "101.00")
    settle(taker)
    settle(maker.broker)
    fill = reports(maker.broker, "F")[-1]
    bust(venue, fill[17])
    (sold,) = told(maker.broker)
    assert (sold[117], sold[299], sold[37]) == (fill[117], fill[299], fill[37])
    assert facts(sold) == ("0", "10", "0", "7", "0")
    taker.order("ACME", "buy", 2, "101.00")
    settle(taker)
    maker.quote(("e1", "ACME", "99.00", 10, "101.00", 10))
    assert venue.engine.depth(0, 2) == [(10100, 10)], "a size is what is open, whatever was busted"
    venue.engine.check()


def futures_trade(venue: Venue) -> tuple[Broker, Broker]:
    """Ten contracts that ALPHA1 buys from BRAVO1."""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    alpha.order("CORNZ6", "buy", 10, "500.00")
    settle(alpha)
    bravo.order("CORNZ6", "sell", 10, "500.00")
    settle(bravo)
    return alpha, bravo


def test_in_a_future_the_positions_go_back(venue_with_future: Venue):
    """ROE-58"""
    venue = venue_with_future
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    before = [venue.engine.balance(account, 0) for account in (0, 1, 2)]
    alpha.order("CORNZ6", "buy", 10, "500.00")
    settle(alpha)
    bravo.order("CORNZ6", "sell", 10, "500.00")
    settle(bravo)
    settle(alpha)
    bust(venue, reports(alpha, "F")[-1][17])
    assert facts(told(alpha)[0]) == facts(told(bravo)[0]) == ("4", "10", "0", "0", "0")
    assert [venue.engine.balance(account, 0) for account in (0, 1, 2)] == before
    assert all(view.lots == 0 for view in venue.engine.positions(2).values())


def test_a_settlement_is_no_trade(venue_with_future: Venue):
    """ROE-58"""
    venue = venue_with_future
    futures_trade(venue)
    future = {"symbol": 2, "body": b"verb=settle\x01"}
    venue.engine.call(kind=CommandKind.MARK, price_ticks=505 * 4, **future)
    venue.engine.call(kind=CommandKind.PHASE, ord_type=Phase.CLOSED, **future)
    settled = {"kind": CommandKind.MARGIN, "account": 1, "flags": CommandFlag.MARGIN_SETTLE, "session": 1, **future}
    _, seq, events = venue.engine.call(**settled)
    moved = events[events["kind"] == EventKind.POSITION]
    assert len(moved) == 2 and not (events["kind"] == EventKind.FILL).any()
    for exec_id in moved["exec_id"]:
        with pytest.raises(ValueError, match=f"trade {seq}-.* is unknown: no fill .* a settlement"):
            bust(venue, f"{seq}-{int(exec_id) & 0xFFFFFF}")


def test_the_fill_of_a_liquidation_can_be_busted(venue_with_future: Venue):
    """ROE-58"""
    venue = venue_with_future
    alpha, bravo = futures_trade(venue)
    balance, hold, _ = venue.engine.balance(1, 0)
    money = {"account": 1, "asset": 0, "qty_lots": balance - hold}
    venue.engine.call(kind=CommandKind.WITHDRAW, body=b"verb=withdraw\x01", **money)
    bids = bravo.order("CORNZ6", "buy", 20, "470.00")
    settle(bravo)
    venue.engine.call(kind=CommandKind.MARK, symbol=2, price_ticks=470 * 4, body=b"verb=mark\x01")
    for _ in range(6):
        venue.engine.call(kind=CommandKind.MARGIN, symbol=2, account=1, session=1, body=b"verb=margin\x01")
    settle(alpha)
    fill = reports(alpha, "F")[-1]
    assert 11 not in fill and fill[54] == "2", "the venue has sold"
    settle(bravo)
    bought = reports(bravo, "F")[-1]
    with pytest.raises(ValueError, match=r"REJECT_INSUFFICIENT_FUNDS.*margin.*deposit"):
        bust(venue, fill[17])
    venue.engine.call(kind=CommandKind.DEPOSIT, body=b"verb=deposit\x01", **(money | {"qty_lots": 10**10}))
    bust(venue, fill[17])
    (sold,) = told(alpha)
    assert 11 not in sold and (sold[19], sold[37], sold[58]) == (fill[17], fill[37], REASON)
    assert facts(sold) == ("4", fill[32], "0", "0", "0")
    (back,) = told(bravo)
    assert (back[11], back[19], back[151]) == (bids, bought[17], bought[151])
    venue.engine.check()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"approver": ""}, "there is no approver"),
        ({"approver": None}, "there is no approver"),
        ({"actor": " "}, "there is no actor"),
        ({"text": ""}, "there is no reason"),
        ({"approver": "Ann "}, "two persons"),
        ({"approver": "b\x01ob"}, "approver: at most"),
        ({"trade": "12"}, "'12' is no ExecID"),
        ({"trade": "x-1"}, "'x-1' is no ExecID"),
        ({"trade": None}, "'None' is no ExecID"),
        ({"trade": "9999999-1"}, "trade 9999999-1 is unknown"),
        ({"trade": "1-0"}, "trade 1-0 is unknown"),
    ],
)
def test_what_cannot_be_busted_is_refused_by_name(shared_venue: Venue, changes: dict[str, Any], text: str):
    """ROE-58"""
    before = shared_venue.engine.last_seq
    with pytest.raises(ValueError, match=text):
        bust(shared_venue, **{"trade": "1-1", **changes})
    assert shared_venue.engine.last_seq == before, "nothing was journaled"


def test_what_was_sold_on_cannot_be_taken_back_until_it_is_there_again(venue: Venue):
    """ROE-58"""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    account = {"t1": "3"}
    money = {"kind": CommandKind.DEPOSIT, "account": 3, "asset": 0, "qty_lots": 10**9, "body": b"verb=deposit\x01"}
    venue.engine.call(**money)
    alpha.order("ACME", "buy", 5, "100.00", **account)
    settle(alpha)
    bravo.order("ACME", "sell", 5, "100.00")
    settle(bravo)
    settle(alpha)
    trade = reports(alpha, "F")[-1][17]
    held = alpha.order("ACME", "sell", 1, "140.00", **account)
    settle(alpha)
    with pytest.raises(ValueError, match=r"stands: REJECT_INSUFFICIENT_FUNDS .*account 3 \(bought\) must have 5 ACME"):
        bust(venue, trade)
    settle(alpha)
    assert not reports(alpha, "H")
    alpha.cancel(held, "ACME", "sell", **account)
    settle(alpha)
    bust(venue, trade)
    assert facts(told(alpha)[0]) == ("4", "5", "0", "0", "0")


def test_an_instrument_that_was_redefined_since_cannot_be_taken_back(venue: Venue):
    """ROE-58"""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    trade = crossed(alpha, bravo, 5, 5)[2]
    terms = {"symbol": 0, "account": 1, "session": 0, "order_id": 1, "aux": 200}
    _, seq, events = venue.engine.call(
        kind=CommandKind.INSTRUMENT, price_ticks=5000, qty_lots=15000, body=b"verb=instrument\x01", **terms
    )
    assert events["kind"][0] == EventKind.INSTRUMENT_SET
    with pytest.raises(ValueError, match=f"ACME was redefined by command {seq} since"):
        bust(venue, trade)


def test_the_annex_tells_of_an_order_that_the_table_has_forgotten(tmp_path: Path):
    """ROE-59"""
    report = np.zeros(1, REPORT)[0]
    report["event"]["kind"], report["event"]["exec_id"] = EventKind.BUSTED, 99 << 24
    report["event"]["order_id"], report["event"]["price_ticks"], report["event"]["qty_lots"] = 7 << 24, 10000, 4
    report["side"], report["account"], report["clordid"] = 2, 2, b"b1"
    body = b"verb=bust\x01ref=why\x01buy.11=a1\x01buy.37=5\x01sell.1=2\x01sell.6=99.5\x01sell.11=b1\x01sell.14=2\x01"
    body += b"sell.19=7-1\x01sell.37=6\x01sell.38=6\x01sell.39=4\x01sell.151=0\x01sell.583=link\x01"
    found = dict(bust_fields(report, Terms(make_config(tmp_path)), body))
    assert {tag: value.decode() for tag, value in found.items() if tag != 60} == {
        1: "2", 6: "99.5", 11: "b1", 14: "2", 17: "99-0", 19: "7-1", 31: "100.00", 32: "4", 37: "6", 38: "6", 39: "4",
        54: "2", 55: "ACME", 58: "why", 150: "H", 151: "0", 527: "7-0",
    }  # fmt: skip


def test_the_operators_verb_says_what_it_did_and_who_did_it(venue: Venue, tmp_path: Path):
    """From the command line's arguments to both screens. ROE-58"""
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    trade = crossed(alpha, bravo, 5, 5)[2]
    config = replace(venue.config, path=tmp_path / "venue.toml")
    config.control_path.parent.mkdir(exist_ok=True)
    parsed = cli.parser().parse_args(["admin", "bust", trade, "--reason", REASON, "--approver", "bob"])
    with ControlServer(venue.engine, config.control_path, operate=venue.acceptor.operate):
        done = operate.admin(config, parsed)
        assert done == {
            "ok": True, "seq": done["seq"], "busted": trade, "symbol": "ACME", "price": "100.00", "quantity": "5",
            "buyer": 1, "seller": 2,
        }  # fmt: skip
        again = operate.admin(config, parsed)
        assert again == {"ok": False, "error": f"trade {trade} is busted already, by command {done['seq']}"}
        parsed.approver = getpass.getuser()
        assert "two persons" in operate.admin(config, parsed)["error"]
        with ControlClient(config.control_path) as client, pytest.raises(ControlError, match="by the verb bust"):
            client.submit(b"verb=bust\x01", kind=CommandKind.BUST, order_id=1 << 24, qty_lots=1, price_ticks=10000)
    assert told(alpha)[0][58] == told(bravo)[0][58] == REASON
    with written(venue), Follower(venue.data_dir / "journal", done["seq"]) as follower:
        annex = follower.poll(1).annex[16:]
    who = f"verb=bust\x01actor={getpass.getuser()}\x01approver=bob\x01ref={REASON}\x01trade={trade}\x01"
    assert annex.startswith(who.encode()) and f"uid={os.getuid()}\x01pid={os.getpid()}\x01".encode() in annex


@pytest.mark.parametrize("left_out", ["--reason", "--approver"])
def test_the_command_line_asks_for_both(left_out: str, capsys: pytest.CaptureFixture[str]):
    given = {"--reason": "why", "--approver": "bob"}
    del given[left_out]
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["admin", "bust", "12-1", *(word for pair in given.items() for word in pair)])
    assert left_out in capsys.readouterr().err


def slice_taken_back(venue: Venue, hands: Hands) -> tuple[Broker, str, list[dict[int, str]], dict[int, str]]:
    """A parent of ALPHA2 after two slices, the first of them busted: name, fills, and what is told of the bust."""
    offered(venue)
    alpha = venue.logged_on("ALPHA2")
    name = parent(alpha, hands, 40)
    fills = [until_reports(alpha, name, 2)[1]]
    hands.forward(25)
    fills.append(until_reports(alpha, name, 3)[2])
    bust(venue, fills[0][17])
    return alpha, name, fills, until_reports(alpha, name, 4)[3]


def test_what_a_slice_did_is_taken_back_from_its_parent(
    make_venue: Callable[..., Venue], application: str, hands: Hands
):
    """ROE-58 ROE-59"""
    venue = make_venue(application)
    alpha, name, (first, second), taken = slice_taken_back(venue, hands)
    same = (1, 11, 31, 32, 37, 54, 55, 198, 527)
    assert {tag: taken[tag] for tag in same} == {tag: first[tag] for tag in same}
    assert (taken[150], taken[19], taken[58]) == ("H", first[17], REASON)
    assert facts(taken) == ("1", "40", "10", "20", "100.00")
    assert facts(status(alpha, name, "1")) == facts(taken)
    bust(venue, second[17])
    assert facts(until_reports(alpha, name, 6)[5]) == ("0", "40", "0", "20", "0")
    area(venue).check()
    settle(alpha)
    numbers = alpha.next_out, alpha.next_in
    venue.close()
    again = make_venue(application)
    alpha = again.broker("ALPHA2")
    alpha.next_out, alpha.next_in = numbers[0] + 1, numbers[1] + 1
    alpha.log_on()
    assert facts(status(alpha, name, "1")) == ("0", "40", "0", "20", "0")
    hands.forward(25)
    third = until_reports(alpha, name, 2)[1]
    assert facts(third) == ("1", "40", "10", "10", "100.00"), "as much as was due, and what was taken back not again"
    hands.forward(25)
    last = until_reports(alpha, name, 3)[2]
    assert (last[150], *facts(last)) == ("F", "4", "40", "20", "0", "100.00")
    bust(again, third[17])
    assert facts(until_reports(alpha, name, 4)[3]) == ("4", "40", "10", "0", "100.00")
    assert facts(status(alpha, name, "1")) == ("4", "40", "10", "0", "100.00")
    area(again).check()


def without_store(make_venue: Callable[..., Venue], application: str, old: Venue, session: int) -> Venue:
    """A new start that has lost what it kept for one session: all of it is made again from the journal."""
    old.close()
    for path in (old.data_dir / "fix").glob(f"session-{session}.store*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (old.data_dir / "snapshot").iterdir():  # a crash leaves none of the last moment
        path.unlink()
    return make_venue(application)


def stable(report: Fields) -> Fields:
    return {tag: value for tag, value in report.items() if tag not in (9, 10, 34, 43, 52, 97, 122)}


def test_a_report_that_no_store_has_is_made_again_from_the_journal(make_venue: Callable[..., Venue], application: str):
    """ROE-58"""
    first = make_venue(application)
    alpha, bravo = first.logged_on("ALPHA2"), first.logged_on("BRAVO1")
    trade = crossed(alpha, bravo, 10, 4)[2]
    crossed(alpha, bravo, 10, 1)
    bust(first, trade)
    (sold,) = told(bravo)
    second = without_store(make_venue, application, first, 2)
    again = second.logged_on("BRAVO1")
    (made_again,) = told(again)
    assert made_again[97] == "Y" and stable(made_again) == stable(sold)


def test_a_parents_report_that_no_store_has_is_made_again(
    make_venue: Callable[..., Venue], application: str, hands: Hands
):
    """ROE-58"""
    first = make_venue(application)
    alpha, name, _, taken = slice_taken_back(first, hands)
    hands.forward(25)
    until_reports(alpha, name, 5)
    second = without_store(make_venue, application, first, 4)
    again = second.logged_on("ALPHA2")
    made_again = told(again)[0]
    assert made_again[97] == "Y" and stable(made_again) == stable(taken)
    assert facts(until_reports(again, name, 5)[4]) == ("1", "40", "20", "10", "100.00")
