"""The clock: expiries, indicative prices, the end of volatility calls, the timetable; on a real engine, by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cores import CommandKind, EventKind, Side, Tif
from cores.records import Limit, Phase
from tests.venue.engine_flow import accepted, endow, limit, opened
from venue.clock import NS, Clock
from venue.config import Config, ConfigError, load, loads
from venue.engine import Engine
from venue.follower import Follower
from venue.sample import write


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with opened(tmp_path / "data") as found:
        endow(found)
        yield found
        found.check()


def config(folder: Path, **clock: object) -> Config:
    if not (folder / "venue.toml").exists():
        write(folder)
    path = folder / "venue.toml"
    text = path.read_text()
    for name, value in clock.items():
        old = next(line for line in text.splitlines() if line.startswith(f"{name} = "))
        text = text.replace(old, f"{name} = {value}", 1)
    path.write_text(text)
    return load(path)


def sent(engine: Engine, folder: Path, since: int) -> list[tuple[CommandKind, int, int, int]]:
    """(kind, symbol, ord_type, flags) of the commands after `since`."""
    engine.drain()
    with Follower(folder / "data" / "journal", since + 1) as follower:
        commands = follower.poll().commands
    return [(CommandKind(c["kind"]), int(c["symbol"]), int(c["ord_type"]), int(c["flags"])) for c in commands]


def test_an_expiry_is_sent_when_it_is_due_and_only_for_its_symbol(engine: Engine, tmp_path: Path):
    clock = Clock(engine, config(tmp_path))
    due = engine.last_time_ns + 3600 * NS
    for name, expiry in (("A1", due), ("A2", due + 5 * NS)):
        fields = {"tif": Tif.GTD, "aux": expiry}
        accepted(engine.call(**limit(1, Side.BUY, 500, 1, name, **fields)))
    clock.tick(due - 1)
    since = engine.last_seq
    clock.tick(due - 1)
    assert engine.last_seq == since and engine.expiry_hint == due
    # The engine stamps its own time, by which the order has not expired: it stays, and is asked for again.
    clock.tick(due)
    assert sent(engine, tmp_path, since) == [(CommandKind.TIME, 0, 0, 2)]
    assert engine.open_orders(0) == 2


def test_a_gtd_order_that_has_expired_goes(engine: Engine, tmp_path: Path):
    clock = Clock(engine, config(tmp_path))
    expiry = time.time_ns() + NS // 5
    accepted(engine.call(**limit(1, Side.BUY, 500, 1, "A1", tif=Tif.GTD, aux=expiry)))
    accepted(engine.call(**limit(1, Side.BUY, 500, 1, "A2")))
    clock.start()
    try:
        deadline = time.monotonic() + 5
        while engine.open_orders(0) == 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        clock.stop()
    assert engine.open_orders(0) == 1
    assert engine.find_order(1, "A1")["status"] == "C"
    clock.check()


def test_calls_show_their_price_and_a_volatility_call_ends(engine: Engine, tmp_path: Path):
    clock = Clock(engine, config(tmp_path, volatility_seconds=5))
    now = engine.last_time_ns
    accepted(engine.call(kind=CommandKind.PHASE, symbol=1, ord_type=Phase.VOLATILITY))
    accepted(engine.call(kind=CommandKind.PHASE, symbol=0, ord_type=Phase.PRE_OPEN))
    since = engine.last_seq
    clock.tick(now + 10 * NS)
    clock.tick(now + 10 * NS + NS // 10)
    indicative = [(CommandKind.TIME, symbol, 0, 4) for symbol in (0, 1)]
    assert sent(engine, tmp_path, since) == indicative
    clock.tick(now + 11 * NS)
    assert sent(engine, tmp_path, since) == indicative * 2
    since = engine.last_seq
    clock.tick(now + 15 * NS)
    assert engine.phases()[:2] == [Phase.PRE_OPEN, Phase.CONTINUOUS]
    assert (CommandKind.PHASE, 1, Phase.CONTINUOUS, 0) in sent(engine, tmp_path, since)


TABLE = """
[timetable]
time_zone = "Europe/Paris"
pre_open = "08:30"
open = "09:00"
close_call = "17:30"
close = "17:35"
"""


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


def test_the_timetable_in_its_zone_over_a_weekend_and_a_change_of_the_hour(engine: Engine, tmp_path: Path):
    clock = Clock(engine, with_table(tmp_path))
    friday = clock.due(at("2026-03-27 00:00"), at("2026-03-27 23:59"))
    assert [what for _, what in friday] == ["pre_open", "open", "close_call", "close"]
    assert friday[1][0] == at("2026-03-27 08:00"), "winter: an hour from UTC"
    monday = clock.due(at("2026-03-27 23:59"), at("2026-03-30 23:59"))
    assert [what for _, what in monday] == ["pre_open", "open", "close_call", "close"]
    assert monday[1][0] == at("2026-03-30 07:00"), "summer: two"


def with_table(folder: Path) -> Config:
    config(folder)
    return loads((folder / "venue.toml").read_text() + TABLE, folder / "venue.toml")


def test_a_day_by_the_timetable(engine: Engine, tmp_path: Path):
    whole = with_table(tmp_path)
    for symbol in (0, 1):
        accepted(engine.call(kind=CommandKind.PHASE, symbol=symbol, ord_type=Phase.CLOSED))
    clock = Clock(engine, whole)
    clock._done_ns = at("2026-03-30 00:00")
    seen = []
    for moment in ("06:29", "06:31", "07:01", "15:31", "15:36"):
        clock.tick(at(f"2026-03-30 {moment}"))
        seen.append(Phase(engine.phases()[0]).name)
        if moment == "07:01":
            accepted(engine.call(**limit(1, Side.BUY, 500, 1, "day", tif=Tif.DAY)))
            accepted(engine.call(kind=CommandKind.PHASE, symbol=1, ord_type=Phase.HALT))
    assert seen == ["CLOSED", "PRE_OPEN", "CONTINUOUS", "CLOSE_CALL", "CLOSED"]
    assert engine.phases()[1] == Phase.HALT, "what an operator halted stays halted"
    assert engine.find_order(1, "day")["status"] == "C", "and the Day orders are gone"


def test_what_the_core_refuses_is_told_and_trading_goes_on(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    clock = Clock(engine, config(tmp_path))
    clock._submit(CommandKind.PHASE, 0, "test", ord_type=Phase.CONTINUOUS)
    assert "refused by the core" in caplog.text
    accepted(engine.call(**limit(1, Side.BUY, 500, 1, "A1")))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('[timetable]\nopen = "9:00"\nclose = "17:00"\n', "must be a time of day"),
        ('[timetable]\nopen = "17:00"\nclose = "09:00"\n', "must follow one another"),
        ('[timetable]\nclose = "09:00"\n', "open and close are needed"),
        ('[timetable]\ntime_zone = "Mars/Base"\n', "is unknown"),
        ("[timetable]\nweekdays = [0]\n", "1 \\(Monday\\)"),
    ],
)
def test_a_wrong_timetable_is_refused_in_words(tmp_path: Path, extra: str, message: str):
    write(tmp_path)
    text = (tmp_path / "venue.toml").read_text()
    with pytest.raises(ConfigError, match=message):
        loads(text + "\n" + extra)


def test_a_volatility_call_by_a_collar(engine: Engine, tmp_path: Path):
    """From the bad trade to the auction, with nobody's hand."""
    clock = Clock(engine, config(tmp_path, volatility_seconds=1))
    for name, side in (("A1", Side.SELL), ("B1", Side.BUY)):
        accepted(engine.call(**limit(1 if side == Side.SELL else 2, side, 500, 1, name)))
    accepted(engine.call(kind=CommandKind.LIMIT, ord_type=Limit.COLLAR, symbol=0, qty_lots=100))
    accepted(engine.call(**limit(1, Side.SELL, 600, 1, "A2")))
    _, _, events = engine.call(**limit(2, Side.BUY, 600, 1, "B2"))
    assert EventKind.PHASE in events["kind"]
    now = engine.last_time_ns
    clock.tick(now + NS)
    clock.tick(now + 3 * NS)
    assert engine.phases()[0] == Phase.CONTINUOUS
    assert engine.prices(0) == (600, 600)
    assert engine.find_order(2, "B2")["status"] == "2"
