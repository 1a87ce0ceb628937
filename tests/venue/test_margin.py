"""Futures in the venue: configuration, opening, the margin service step by step, settlement; on a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cores import CommandKind, EventKind, OrdType, Side, Tif
from cores.records import Phase, PositionView, Stage
from tests.venue.engine_flow import Sink, accepted
from venue import opening, sample
from venue.config import Config, ConfigError, load
from venue.control import ControlClient, ControlServer
from venue.control_market import Market
from venue.engine import Engine
from venue.margin import NS, MarginService
from venue.processes import core_config

FUTURE = """
[[assets]]
id = 4
code = "CORNZ6"
scale = 0

[[instruments]]
id = 3
symbol = "CORNZ6"
base = "CORNZ6"
quote = "USD"
currency = "USD"
tick = "0.25"
lot = "1"
price_min = "300.00"
price_max = "900.00"
kind = "future"
multiplier = "50"
initial_margin_bp = 1000
maintenance_margin_bp = 600
position_max = 500
"""
SYMBOL, USD = 3, 0
UNIT = 10_000  # of USD's scale
TICK = 50 * UNIT // 4  # a tick of one contract
NOW_NS = 1_800_000_000 * NS


def with_future(folder: Path, *changes: tuple[str, str]) -> Config:
    sample.write(folder)
    path = folder / "venue.toml"
    text = path.read_text() + FUTURE
    for name, value in (("check_seconds", "0.01"), ("mark_seconds", "0"), ("call_seconds", "30")):
        line = next(line for line in text.splitlines() if line.startswith(f"{name} = "))
        text = text.replace(line, f"{name} = {value}")
    for old, new in changes:
        assert old in text, old
        head, _, tail = text.rpartition(old)  # the sample's comments come first
        text = head + new + tail
    path.write_text(text)
    return load(path)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return with_future(tmp_path)


@pytest.fixture
def engine(config: Config) -> Iterator[Engine]:
    """All three accounts have 100,000 USD; account 1 is long 10 at 500, account 2 is short."""
    config.data_dir.mkdir()
    with Engine.open(config.data_dir, core_config(config), sync="none") as found:
        assert opening.apply(found, config) == 3 + 1 + 3 + 1 + 2
        assert opening.apply(found, config) == 0
        for account in (0, 1, 2, 3):
            deposit(found, account, 100_000)
        order(found, 2, Side.SELL, 10, "500")
        order(found, 1, Side.BUY, 10, "500")
        yield found
        found.check()


def deposit(engine: Engine, account: int, amount: int) -> None:
    body = b"verb=deposit\x01actor=test\x01"
    money = {"account": account, "asset": USD, "qty_lots": amount * UNIT}
    accepted(engine.call(kind=CommandKind.DEPOSIT, body=body, **money))


def ticks(price: str) -> int:
    return int(float(price) * 4)


def order(engine: Engine, account: int, side: Side, lots: int, price: str) -> Any:
    fields = {"kind": CommandKind.NEW, "symbol": SYMBOL, "account": account, "session": account, "side": side}
    fields |= {"ord_type": OrdType.LIMIT, "tif": Tif.GTC, "price_ticks": ticks(price), "qty_lots": lots}
    answer = engine.call(clordid=f"O{engine.last_seq}", **fields)
    assert answer[0] == 0 and answer[2]["kind"][0] == EventKind.ACCEPTED, answer
    return answer[2]


def mark(engine: Engine, price: str) -> None:
    accepted(engine.call(kind=CommandKind.MARK, symbol=SYMBOL, price_ticks=ticks(price), body=b"verb=mark\x01"))


def lots_of(engine: Engine) -> dict[int, int]:
    return {account: position.lots for account, position in engine.positions(SYMBOL).items()}


def stage_of(engine: Engine, account: int) -> Stage:
    return Stage(engine.positions(SYMBOL)[account].stage)


# ---- configuration ----


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('kind = "future"', 'kind = "option"', "kind must be spot or future"),
        ('kind = "future"', 'kind = "spot"', 'are for kind = "future"'),
        ('kind = "future"\nmultiplier = "50"', 'multiplier = "50"', 'are for kind = "future"'),
        ('multiplier = "50"', 'multiplier = "-1"', "multiplier must be positive"),
        ('lot = "1"\nprice_min = "300.00"', 'lot = "2"\nprice_min = "300.00"', "a future trades whole contracts"),
        ('code = "CORNZ6"\nscale = 0', 'code = "CORNZ6"\nscale = 1', "a future trades whole contracts"),
        ('base = "CORNZ6"', 'base = "CORN"', "is its contract and can be no asset of CORN"),
        ("maintenance_margin_bp = 600\n", "", "are set together"),
        ("maintenance_margin_bp = 600", "maintenance_margin_bp = 1001", "must hold"),
        ("position_max = 500", "position_max = -1", "position_max must be from 0"),
        ('multiplier = "50"', 'multiplier = "50000000000"', "too large"),
        ("check_seconds = 0.01", "check_seconds = 0", "check_seconds must be positive"),
    ],
)
def test_a_mistake_in_a_future_is_named(tmp_path: Path, old: str, new: str, says: str):
    with pytest.raises(ConfigError, match=says):
        with_future(tmp_path, (old, new))


def test_margins_of_a_spot_instrument_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match='margins and position_max are for kind = "future"'):
        with_future(tmp_path, ('symbol = "BOLT"', 'symbol = "BOLT"\nposition_max = 5'))


# ---- positions ----


def test_positions_and_marks_are_shown(engine: Engine):
    assert lots_of(engine) == {1: 10, 2: -10} and engine.mark_price(SYMBOL) == 0
    mark(engine, "490")
    assert engine.mark_price(SYMBOL) == 1960
    value, margin = 490 * 50 * 10 * UNIT, 500 * 50 * 10 * UNIT // 10
    long = engine.positions(SYMBOL)[1]
    assert long == PositionView(
        lots=10,
        cost=500 * 50 * 10 * UNIT,
        collateral=margin,
        equity=margin - 40 * TICK * 10,
        needed=value * 600 // 10_000,
        stage=0,
        open_buys=0,
        open_sells=0,
    )
    assert engine.positions(0) == {}, "a spot instrument has none"


# ---- the service ----


def test_a_call_is_answered_by_money(engine: Engine, config: Config):
    service = MarginService(engine, config)
    service.tick(NOW_NS)
    order(engine, 1, Side.BUY, 37, "400")  # takes what is free: nothing is left to top up with
    mark(engine, "476")
    service.tick(NOW_NS)
    assert stage_of(engine, 1) == Stage.CALLED and stage_of(engine, 2) == Stage.NONE
    seq = engine.last_seq
    service.tick(NOW_NS + 29 * NS)
    assert engine.last_seq == seq, "the member still has time"
    deposit(engine, 1, 50_000)
    service.tick(NOW_NS + 29 * NS)
    assert stage_of(engine, 1) == Stage.NONE, "the step took the money for the position"
    service.tick(NOW_NS + 29 * NS)
    assert engine.last_seq == seq + 2
    service.check()


def test_a_liquidation_is_reported_to_the_member(engine: Engine, config: Config):
    service = MarginService(engine, config)
    order(engine, 2, Side.SELL, 25, "500")
    order(engine, 1, Side.BUY, 25, "500")
    order(engine, 3, Side.BUY, 7, "470")
    mark(engine, "470")
    sink = Sink()
    engine.drain()
    engine.set_sink(sink)
    service.tick(NOW_NS)
    service.tick(NOW_NS + 30 * NS)
    assert lots_of(engine) == {1: 28, 2: -35, 3: 7} and stage_of(engine, 1) == Stage.LIQUIDATED
    engine.drain()
    reports = sink.reports[sink.reports["event"]["kind"] == EventKind.FILL]
    own = reports[reports["session"] == 1]
    assert own["event"]["qty_lots"].tolist() == [7] and own["status"].tolist() == [b"2"]
    assert own["event"]["order_id"].tolist() == [engine.last_seq << 24 | 0xFFFFFF]
    mark(engine, "440")
    service.tick(NOW_NS + 31 * NS)
    assert lots_of(engine) == {0: 28, 2: -35, 3: 7}, "the venue has taken over what the market did not"
    assert engine.open_orders(SYMBOL) == 0


def test_marks_follow_the_last_price_when_the_configuration_says_so(tmp_path: Path):
    config = with_future(tmp_path, ("mark_seconds = 0", "mark_seconds = 5"))
    config.data_dir.mkdir()
    with Engine.open(config.data_dir, core_config(config), sync="none") as engine:
        opening.apply(engine, config)
        service = MarginService(engine, config)
        service.tick(NOW_NS)
        assert engine.mark_price(SYMBOL) == 0, "nothing was traded yet"
        for account in (1, 2):
            deposit(engine, account, 100_000)
        order(engine, 2, Side.SELL, 1, "500")
        order(engine, 1, Side.BUY, 1, "500")
        service.tick(NOW_NS + 4 * NS)
        assert engine.mark_price(SYMBOL) == 0
        service.tick(NOW_NS + 5 * NS)
        assert engine.mark_price(SYMBOL) == 2000
        engine.check()


def test_the_thread_does_what_is_due(engine: Engine, config: Config):
    order(engine, 1, Side.BUY, 37, "400")
    service = MarginService(engine, config)
    service.start()
    try:
        mark(engine, "476")
        for _ in range(1000):
            if stage_of(engine, 1) == Stage.CALLED:
                break
            service._stop.wait(0.01)
    finally:
        service.stop()
    assert stage_of(engine, 1) == Stage.CALLED


# ---- operators ----


def test_operators_mark_step_and_settle(engine: Engine, config: Config):
    with ControlServer(engine, config.control_path), ControlClient(config.control_path, actor="ops") as client:
        market = Market(config, client, approver="b", reason="expiry")
        assert market.mark("CORNZ6", "510.25")["mark"] == "510.25"
        with pytest.raises(Exception, match="REJECT_MARGIN_KEPT"):
            market.margin("1", "CORNZ6")
        with pytest.raises(ConfigError, match="ACME is no future"):
            market.mark("ACME", "100")
        with pytest.raises(Exception, match="REJECT_BAD_PHASE"):
            market.settle("CORNZ6", "510.25")
        client.phase(SYMBOL, Phase.CLOSED)
        assert market.settle("CORNZ6", "512") == {"settled": [1, 2]}
        assert market.settle("CORNZ6", None) == {"settled": []}
    assert lots_of(engine) == {}
    won = (512 - 500) * 50 * 10 * UNIT
    fees = 500 * 50 * 10 * UNIT * np.array([1, 3]) // 10_000  # maker 2 pays what its account says
    balances = [engine.balance(account, USD) for account in (0, 1, 2)]
    assert [hold for _, hold, _ in balances] == [0, 0, 0]
    assert balances[1][0] == 100_000 * UNIT + won - fees[1]
    assert sum(balance for balance, _, _ in balances) == 300_000 * UNIT, "to the unit"
