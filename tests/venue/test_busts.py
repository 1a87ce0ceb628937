"""Busted trades against the engine alone: money goes back exactly, whatever trade of whatever day it is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import CommandKind, EventKind, Reason, Side
from cores.records import FEE_BP_MAX
from tests.fix_sessions.rig import make_config
from tests.venue.engine_flow import FUNDS, LIMITS, SESSIONS, Sink, accepted, endow, flow, limit, opened
from venue import busts as busts_module
from venue import trades as trades_module
from venue.busts import Busts, Refusal, Why, fee_bp, fee_paid, fields_of, reason_given, side_fields
from venue.engine import Engine
from venue.follower import Follower
from venue.trades import Trades

WHY = Why("ann", "bob", "fat finger")


@contextmanager
def market(folder: Path, seed: int, count: int) -> Iterator[Engine]:
    """An engine after a day of orders at fees and rebates of all kinds."""
    random = Random(seed)
    with opened(folder, sync="none") as engine:
        endow(engine)
        for account in range(1, LIMITS.accounts):
            taker = random.choice((0, 1, 7, 30))
            maker = random.randint(-taker, taker)
            group = {"order_id": account, "price_ticks": account % 5}
            bp = {"aux": maker & 0xFFFFFFFF | taker << 32}
            accepted(engine.call(kind=CommandKind.ACCOUNT, account=account, **bp, **group))
        for fields in flow(seed, count):
            engine.submit(**fields)
        engine.drain()
        yield engine


@contextmanager
def desk(engine: Engine) -> Iterator[Busts]:
    with tempfile.TemporaryDirectory() as name:
        busts = Busts(engine, make_config(Path(name)))
        yield busts
        busts.check()


def money(engine: Engine) -> list[int]:
    return [engine.balance(account, asset)[0] for account in range(LIMITS.accounts) for asset in range(LIMITS.assets)]


def trades_of(engine: Engine) -> Any:
    """Every fill, once the journal has them all."""
    trades = engine.trades
    while trades.last_seq < engine.last_seq:
        trades.follow()
    trades.check()
    return trades


def kept(trades: Trades) -> dict[int, list[int]]:
    """Lots and their value of each order's fills that stand."""
    found: dict[int, list[int]] = {}
    for fill in trades.fills():
        done = found.setdefault(int(fill["order_id"]), [0, 0])
        if int(fill["trade_id"]) not in trades.busted:
            done[0] += int(fill["qty_lots"])
            done[1] += int(fill["qty_lots"]) * int(fill["price_ticks"])
    return found


def compare(engine: Engine, reports: Any) -> None:
    """The order table has what stands of every order, and the states that follow."""
    done = kept(trades_of(engine))
    for session, name in {(int(r["session"]), bytes(r["clordid"])) for r in reports if r["session"] and r["clordid"]}:
        order = engine.find_order(session, name)
        if order is None or order["status"] == "8":
            continue
        lots, value = done.get(order["order_id"], [0, 0])
        assert (order["cum_lots"], order["value"]) == (lots, value)
        if order["status"] in "01":
            assert order["status"] == ("1" if lots else "0")
        elif order["status"] == "2":
            assert lots == order["order_qty_lots"] and order["leaves_lots"] == 0


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(20, 250))
def test_all_trades_of_a_day_taken_back_leave_everybody_with_what_he_began_with(seed: int, count: int):
    with tempfile.TemporaryDirectory() as name, market(Path(name) / "live", seed, count) as engine:
        sink = Sink()
        engine.set_sink(sink)
        began = [0] * LIMITS.assets + [FUNDS] * (LIMITS.accounts - 1) * LIMITS.assets
        trades = trades_of(engine)
        numbers = sorted({int(number) for number in trades.fills()["trade_id"]})
        Random(seed).shuffle(numbers)
        with desk(engine) as busts:
            for at, number in enumerate(numbers):
                before, fills = money(engine), trades.of_trade(number)
                answer = busts.bust(f"{number >> 24}-{number & 0xFFFFFF}", WHY)
                assert not isinstance(answer, Refusal), (seed, answer)
                wanted = list(before)
                for fill in fills:
                    sign = 1 if fill["side"] == Side.BUY else -1
                    quote, base = int(fill["account"]) * LIMITS.assets, int(fill["symbol"]) + 1
                    value, fee = int(fill["price_ticks"]) * int(fill["qty_lots"]), int(fill["fee"])
                    wanted[quote + base] -= sign * int(fill["qty_lots"])
                    wanted[quote] += sign * value + fee
                    wanted[0] -= fee
                assert money(engine) == wanted, (seed, at)
            if not sink.arrays and not numbers:
                return
            assert money(engine) == began, seed
            engine.check()
        engine.drain()
        live = engine.state(), engine.orders_state()
        told = sink.reports
        compare(engine, told)
        busted = told[told["event"]["kind"] == EventKind.BUSTED]
        assert len(busted) == 2 * len(numbers)
        engine.close()
        with opened(Path(name) / "live") as again:
            assert (again.state(), again.orders_state()) == live, seed
            again.check()
            compare(again, told)


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.integers(20, 200), st.integers(0, 120))
def test_trading_goes_on_after_a_bust(seed: int, count: int, more: int):
    """What open orders have done, and do later, agrees with the trades that stand, whatever is busted between."""
    with tempfile.TemporaryDirectory() as name, market(Path(name) / "live", seed, count) as engine:
        sink = Sink()
        engine.set_sink(sink)
        random = Random(seed)
        later = [
            fields | {"clordid": f"L{at}"} for at, fields in enumerate(flow(seed + 1, more)) if "clordid" in fields
        ]
        with desk(engine) as busts:
            for fields in later:
                numbers = (
                    {int(number) for number in trades_of(engine).fills()["trade_id"]} if random.random() < 0.1 else ()
                )
                for number in random.sample(sorted(numbers), min(2, len(numbers))):
                    busts.bust(f"{number >> 24}-{number & 0xFFFFFF}", WHY)
                engine.submit(**fields)
            engine.drain()
            engine.check()
        if sink.arrays:
            compare(engine, sink.reports)


@settings(max_examples=200)
@given(st.integers(0, 2**62 - 1), st.integers(-FEE_BP_MAX, FEE_BP_MAX))
def test_every_fee_is_found_again(notional: int, bp: int):
    fee = fee_paid(notional, bp)
    found = fee_bp(notional, fee)
    assert found is not None and fee_paid(notional, found) == fee and abs(found) <= abs(bp)


def test_a_fee_that_no_rate_gives_is_none():
    assert fee_bp(10_000, 3) == 3 and fee_bp(30_000, 4) is None and fee_bp(100, 101) is None and fee_bp(0, 0) == 0
    assert fee_bp(30_000, -4) is None and fee_bp(10_000, -3) == -3


def test_the_annex_says_who_and_why_and_what_both_reports_need(tmp_path: Path):
    with opened(tmp_path, sync="none") as engine, desk(engine) as busts:
        endow(engine)
        body = b"35=D\x0111=s\x01583=link\x01"
        engine.submit(**limit(1, Side.SELL, 500, 7, "s", body=body))
        engine.submit(**limit(2, Side.BUY, 500, 3, "b"))
        engine.drain()
        (first, second) = trades_of(engine).fills()
        number = int(first["exec_id"])
        why = Why("ann", "bob", "fat finger", "uid=0\x01pid=1\x01")
        answer = busts.bust(f"{number >> 24}-{number & 0xFFFFFF}", why)
        assert not isinstance(answer, Refusal)
        engine.drain()
        trades_of(engine)
        with Follower(engine.data_dir / "journal", answer["seq"]) as follower:
            annex = follower.poll(1).annex[16:]
        assert annex == busts.body(number, answer["seq"])
        trade = f"trade={answer['busted']}\x01".encode()
        assert annex.startswith(b"verb=bust\x01actor=ann\x01approver=bob\x01ref=fat finger\x01" + trade)
        assert annex.endswith(b"uid=0\x01pid=1\x01") and reason_given(annex) == b"fat finger"
        sold, bought = side_fields(annex, Side.SELL), side_fields(annex, Side.BUY)
        ids = {side: f"{int(f['exec_id']) >> 24}-{int(f['exec_id']) & 0xFFFFFF}".encode() for side, f in
               ((Side.SELL, first), (Side.BUY, second))}  # fmt: skip
        assert sold == {
            1: b"1", 6: b"0", 11: b"s", 14: b"0", 19: ids[Side.SELL], 37: b"%d" % first["order_id"], 38: b"7", 39: b"0",
            151: b"4", 583: b"link",
        }  # fmt: skip
        assert bought == {
            1: b"2", 6: b"0", 11: b"b", 14: b"0", 19: ids[Side.BUY], 37: b"%d" % second["order_id"], 38: b"3", 39: b"4",
            151: b"0",
        }  # fmt: skip
        again = Busts(engine, busts._config)
        assert again.body(number, answer["seq"]) == annex, "a new process reads it from the journal"
        found = again.bust(answer["busted"], WHY)
        assert isinstance(found, Refusal) and found.text.endswith(f"busted already, by command {answer['seq']}")


def test_a_long_journal_is_read_while_one_asks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the time is up before the journal is read, that is said, and the next question goes on from there."""
    monkeypatch.setattr(trades_module, "SLICE_COMMANDS", 10)
    monkeypatch.setattr(busts_module, "FOLLOW_SECONDS_MAX", 0.0)
    with opened(tmp_path, sync="none") as engine, desk(engine) as busts:
        endow(engine)
        engine.submit(**limit(1, Side.SELL, 500, 7, "s"))
        engine.submit(**limit(2, Side.BUY, 500, 3, "b"))
        engine.drain()
        trade, reached = f"{engine.last_seq}-1", 0
        while isinstance(answer := busts.bust(trade, WHY), Refusal):
            if engine.trades.last_seq == reached:
                continue  # not durable yet
            reached = engine.trades.last_seq
            assert answer.text.startswith(f"the journal is read up to command {reached} of {engine.last_seq} by now")
        assert reached > 0 and answer["busted"] == trade


def test_what_a_member_sends_is_never_taken_for_the_annex_of_a_bust(tmp_path: Path):
    """Nor does an annex that lies, or none, change an order that is not of the trade."""
    with opened(tmp_path, sync="none") as engine:
        endow(engine)
        engine.submit(**limit(1, Side.SELL, 500, 7, "s"))
        engine.submit(**limit(2, Side.BUY, 500, 3, "b"))
        engine.drain()
        fills = trades_of(engine).fills()
        wrong, right = int(fills[1]["order_id"]), int(fills[0]["order_id"])
        terms = {"kind": CommandKind.BUST, "symbol": 0, "account": 2 | 2 << 16, "session": 1, "asset": 1}
        terms |= {"order_id": int(fills[0]["trade_id"]), "price_ticks": 500, "qty_lots": 3}
        before = [engine.find_order(session, name) for session, name in ((1, "s"), (2, "b"))]
        bodies = (
            b"",
            b"35=D\x01sell.37=%d\x01" % right,
            b"verb=bust\x01sell.37=%d\x01buy.37=x\x01" % wrong,
            b"verb=bust\x01sell.37=99999999999999999999999\x01buy.37=\x01",
            b"verb=bust\x01sell.370=%d\x01xsell.37=%d\x01sell.37" % (right, right),
        )
        for body in bodies:
            _, _, events = engine.call(body=body, **terms)
            assert events["kind"].tolist() == [EventKind.BUSTED] * 2
            assert [engine.find_order(session, name) for session, name in ((1, "s"), (2, "b"))] == before, body
            engine.check()
        _, _, events = engine.call(body=b"verb=bust\x01sell.37=%d\x01" % right, **terms)
        found = engine.find_order(1, "s")
        assert (found["cum_lots"], found["leaves_lots"], found["status"]) == (0, 4, "0")
        engine.check()


def test_a_refused_bust_is_reported_to_nobody(tmp_path: Path):
    """Its owner word holds two accounts: neither is a session."""
    with opened(tmp_path, sync="none") as engine:
        endow(engine)
        sink = Sink()
        engine.set_sink(sink)
        for terms in ({"account": 2 | 3 << 16, "session": 1, "asset": 1}, {"account": 77, "session": 2}):
            _, _, events = engine.call(kind=CommandKind.BUST, body=b"verb=bust\x01", order_id=1 << 60, **terms)
            assert events["kind"].tolist() == [EventKind.COMMAND_REJECTED]
            assert events["reason"][0] in (Reason.REJECT_UNKNOWN_TRADE, Reason.REJECT_UNKNOWN_ACCOUNT)
        engine.drain()
        assert sink.reports["session"].tolist() == [0, 0]


def test_sessions_of_the_flow_are_accounts_too():
    """What this page relies on."""
    assert SESSIONS == (1, 2, 3) and fields_of(b"verb=x\x0135=D\x01") == {}


@pytest.mark.parametrize("peer", ["", "uid=0\x01"])
def test_a_reason_that_is_too_long_for_an_entry_is_refused(peer: str):
    assert Why("a", "b", "r" * 513, peer).fault() == "reason: at most 512 printable ASCII characters"
    assert Why("a", "b", "r" * 512, peer).fault() == ""
