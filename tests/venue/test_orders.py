"""The order table: a projection of the journal that any replay makes again, checked against one kept in Python."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import CommandKind, EventKind, Reason, Side
from tests.venue.engine_flow import (
    Sink,
    body_of,
    cancel,
    crash_image,
    endow,
    flow,
    journal_by_hand,
    limit,
    opened,
    replace,
)
from venue.engine import Engine

DAY_NS = 86_400 * 10**9
GONE = {EventKind.CANCELLED: "4", EventKind.EXPIRED: "C", EventKind.REJECTED: "8"}


class Model:
    """What has become of each order, out of reports alone."""

    def __init__(self) -> None:
        self.orders: dict[int, dict[str, Any]] = {}
        self.names: dict[tuple[int, bytes], int | None] = {}

    def apply(self, report: Any) -> None:
        event = report["event"]
        kind, order_id = EventKind(event["kind"]), int(event["order_id"])
        key = (int(report["session"]), bytes(report["clordid"]))
        if event["reason"] == Reason.REJECT_SESSION_DUPLICATE_CLORDID:
            return
        if kind == EventKind.CANCEL_REJECTED:
            self.names.setdefault(key, None)
        elif kind in (EventKind.ACCEPTED, EventKind.REJECTED):
            order = {"qty": int(report["order_qty_lots"]), "cum": 0, "value": 0, "status": GONE.get(kind, "0")}
            self.orders[order_id] = order
            self.names.setdefault(key, order_id)
        elif kind == EventKind.FILL:
            order = self.orders[order_id]
            order["cum"] += int(event["qty_lots"])
            order["value"] += int(event["qty_lots"]) * int(event["price_ticks"])
            order["status"] = "1" if event["leaves_lots"] else "2"
        elif kind == EventKind.REPLACED:
            order = self.orders[order_id]
            order["qty"], order["status"] = int(event["qty_lots"]), "1" if order["cum"] else "0"
            self.names.setdefault(key, order_id)
        elif kind == EventKind.RESTATED:
            self.orders[order_id]["qty"] = int(event["qty_lots"])
        elif kind in GONE:
            self.orders[order_id]["status"] = GONE[kind]
            self.names.setdefault(key, order_id)


def compare(engine: Engine, reports: Any) -> int:
    """Every name's order against the model; returns how many there are."""
    model = Model()
    for report in reports:
        if report["session"]:
            model.apply(report)
    for (session, name), order_id in model.names.items():
        found = engine.find_order(session, name)
        if order_id is None:
            assert found is None, (session, name)
            continue
        order = model.orders[order_id]
        assert found is not None, (session, name)
        assert found["order_id"] == order_id
        assert (found["order_qty_lots"], found["cum_lots"], found["value"], found["status"]) == (
            order["qty"],
            order["cum"],
            order["value"],
            order["status"],
        )
        if found["status"] in "01":
            assert found["cum_lots"] + found["leaves_lots"] == found["order_qty_lots"]
    return len(model.names)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 400), st.booleans())
def test_table_is_the_projection_of_the_reports_and_of_the_journal(seed: int, count: int, snapshot: bool):
    with tempfile.TemporaryDirectory() as name:
        folder, sink = Path(name) / "live", Sink()
        with opened(folder, sync="none", snapshot_commands=count // 3 if snapshot else 0) as engine:
            endow(engine)
            engine.set_sink(sink)
            for fields in flow(seed, count):
                engine.submit(**fields)
            engine.drain()
            engine.check()
            compare(engine, sink.reports)
            live = engine.state(), engine.orders_state()
        with opened(folder) as again:
            assert (again.state(), again.orders_state()) == live
            again.check()
            compare(again, sink.reports)


def test_a_long_flow_grows_the_table(tmp_path: Path):
    sink = Sink()
    with opened(tmp_path, sync="none", segment_bytes=1 << 20) as engine:
        endow(engine)
        engine.set_sink(sink)
        for fields in flow(11, 12_000):
            engine.submit(**fields)
        engine.drain()
        engine.check()
        assert compare(engine, sink.reports) > 6_000


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    with opened(tmp_path / "live") as engine:
        endow(engine)
        yield engine


def test_every_accepted_name_finds_the_order(engine: Engine):
    engine.submit(**limit(1, Side.BUY, 500, 10, "A1"))
    engine.submit(**replace(1, 501, 11, "A2", "A1"))
    engine.submit(**replace(1, 501, 0, "A3", "A2"))  # refused: no quantity
    engine.submit(**cancel(1, "A4", "A3"))  # refused: A3 never named an order
    assert {engine.find_order(1, name)["order_qty_lots"] for name in ("A1", "A2")} == {11}
    assert engine.find_order(1, "A3") is None and engine.find_order(1, "A4") is None
    assert engine.find_order(2, "A1") is None and engine.find_order(1, "A" * 60) is None
    _, _, events = engine.call(**limit(1, Side.BUY, 500, 10, "A3"))
    assert events["reason"][0] == 131, "a refused request has used its ClOrdID"
    engine.submit(**cancel(1, "A5", "A1"))
    assert engine.find_order(1, "A5")["status"] == "4"


def test_sessions_have_their_own_names(engine: Engine):
    for session in (1, 2):
        _, _, events = engine.call(**limit(session, Side.BUY, 500, session, "same"))
        assert events["kind"][0] == EventKind.ACCEPTED
    assert [engine.find_order(session, "same")["order_qty_lots"] for session in (1, 2)] == [1, 2]


def test_duplicates_are_known_after_a_crash(engine: Engine, tmp_path: Path):
    engine.submit(**limit(1, Side.BUY, 500, 10, "A1"))
    engine.submit(**cancel(1, "A2", "A1"))
    engine.submit(**limit(1, Side.BUY, 5000, 10, "A3"))
    engine.drain()
    with opened(crash_image(tmp_path / "live", tmp_path / "crashed")) as again:
        for name in ("A1", "A2", "A3"):
            assert again.call(**limit(1, Side.BUY, 500, 10, name))[2]["reason"][0] == 131
            assert again.submit(**limit(1, Side.BUY, 500, 10, name), poss_dup=True)[0] == 1
        assert again.find_order(1, "A1")["status"] == "4"


def opened_by_hand(folder: Path, days: dict[str, int], extra: list[tuple[dict[str, int], bytes]]) -> Engine:
    """An engine on a journal in which each named order was entered on its day."""
    terms = {"kind": CommandKind.INSTRUMENT, "account": 1, "session": 0, "order_id": 1, "aux": 1}
    commands = [
        ({**terms, "price_ticks": 100, "qty_lots": 1000}, b""),
        ({"kind": CommandKind.ACCOUNT, "account": 1}, b""),
        ({"kind": CommandKind.DEPOSIT, "account": 1, "asset": 0, "qty_lots": 10**12}, b""),
    ]
    for name, day in days.items():
        order = {k: v for k, v in limit(1, Side.BUY, 500, 1, "").items() if k != "clordid"}
        commands.append(({**order, "time_ns": day * DAY_NS + DAY_NS // 2}, body_of(1, name)))
    commands += extra
    journal_by_hand(folder, commands, list(range(1, len(commands) + 1)))
    return opened(folder)


def test_finished_orders_are_kept_for_the_trading_day_and_open_ones_for_ever(tmp_path: Path):
    def gone(name: str, day: int) -> tuple[dict[str, int], bytes]:
        fields = {"kind": CommandKind.CANCEL, "account": 1, "session": 1, "time_ns": day * DAY_NS + DAY_NS // 2}
        return {**fields, "order_id": 4 << 24}, body_of(2, f"{name}-x", name)

    days = {"old": 100, "open": 100}
    for last_day, kept in ((100, True), (101, True), (102, False)):
        touch = {"kind": CommandKind.TIME, "symbol": 0xFFFF, "time_ns": last_day * DAY_NS + 20 * DAY_NS // 24}
        with opened_by_hand(tmp_path / f"{last_day}", days, [gone("old", 100), (touch, b"")]) as engine:
            engine.check()
            assert (engine.find_order(1, "old") is not None) == kept
            assert (engine.find_order(1, "old-x") is not None) == kept
            assert engine.find_order(1, "open")["status"] == "0"
            # The clock of this machine is decades later: the next command forgets, whatever was kept until now.
            assert engine.call(**limit(1, Side.BUY, 500, 1, "old"))[2]["kind"][0] == EventKind.ACCEPTED
            assert engine.find_order(1, "open")["status"] == "0"
            assert engine.call(**limit(1, Side.BUY, 500, 1, "open"))[2]["reason"][0] == 131
            engine.check()
            live = engine.orders_state()
        with opened(tmp_path / f"{last_day}") as again:
            assert again.orders_state() == live
