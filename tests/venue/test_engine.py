"""The engine: what it takes, in which order reports leave, and that nothing is lost or said too early."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from venue._engine import SIZES, report_probe

from cores import COMMAND, CommandKind, Core, EventKind, Reason, Side
from cores.records import EVENT, SYMBOL_NONE
from tests.venue.engine_flow import LIMITS, Sink, body_of, cancel, endow, flow, limit, opened, replace
from venue.engine import Engine
from venue.records import REPORT, SubmitStatus

SYNCS = ["commit", "interval", "none"]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    with opened(tmp_path) as engine:
        endow(engine)
        yield engine
        engine.check()


def reports_of(engine: Engine, *submissions: dict[str, Any]) -> list[Any]:
    """Submits one after the other; the reports of them all."""
    sink = Sink()
    engine.set_sink(sink)
    for fields in submissions:
        assert engine.submit(**fields)[0] == SubmitStatus.OK
    assert engine.drain()
    engine.set_sink(None)
    return list(sink.reports)


def test_records_are_laid_out_as_the_header_says():
    assert SIZES["report"] == REPORT.itemsize
    assert SIZES["command"] == COMMAND.itemsize and SIZES["event"] == EVENT.itemsize
    (probe,) = report_probe()
    assert probe["event"]["kind"] == 1 and probe["event"]["exec_id"] == 2
    values = [probe[name] for name in REPORT.names[1:17]]
    assert values == list(range(3, 19))
    assert (probe["status"], probe["account"], probe["clordid"], probe["orig_clordid"]) == (b"A", 20, b"B", b"C")


def test_header_compiles_for_native_callers(tmp_path: Path):
    """The FIX sessions are C++: the interface must be valid there, with the sizes that the engine has."""
    source = tmp_path / "probe.cpp"
    sizes = " && ".join(f"sizeof(struct {name}) == {size}" for name, size in SIZES.items())
    guard = "#define _Static_assert static_assert\n"
    source.write_text(f'{guard}extern "C" {{\n#include "venue/engine.h"\n}}\nstatic_assert({sizes}, "sizes");\n')
    subprocess.run(["g++", "-std=c++17", "-fsyntax-only", f"-I{ROOT}", str(source)], check=True)


def test_capsule_carries_the_interface(engine: Engine):
    assert "venue._engine.engine_api" in repr(engine.capsule)


def test_an_order_is_accepted_filled_replaced_and_cancelled(engine: Engine):
    reports = reports_of(
        engine,
        limit(1, Side.BUY, 500, 10, "A1"),
        limit(2, Side.SELL, 500, 4, "B1"),
        replace(1, 501, 12, "A2", "A1"),
        cancel(1, "A3", "A2"),
    )
    shown = [
        (EventKind(r["event"]["kind"]).name, int(r["session"]), r["status"], r["clordid"], r["orig_clordid"],
         int(r["order_qty_lots"]), int(r["cum_lots"]), int(r["event"]["leaves_lots"]), int(r["value"]))
        for r in reports
    ]  # fmt: skip
    assert shown == [
        ("ACCEPTED", 1, b"0", b"A1", b"", 10, 0, 10, 0),
        ("ACCEPTED", 2, b"0", b"B1", b"", 4, 0, 4, 0),
        ("FILL", 1, b"1", b"A1", b"", 10, 4, 6, 2000),
        ("FILL", 2, b"2", b"B1", b"", 4, 4, 0, 2000),
        ("REPLACED", 1, b"1", b"A2", b"A1", 12, 4, 8, 2000),
        ("CANCELLED", 1, b"4", b"A3", b"A2", 12, 4, 0, 2000),
    ]
    assert [int(r["command_session_differs"]) for r in reports] == [0, 0, 1, 0, 0, 0]
    assert len({int(r["event"]["exec_id"]) for r in reports}) == len(reports)


def test_a_report_does_not_change_with_later_commands(engine: Engine):
    first = reports_of(engine, limit(1, Side.BUY, 500, 10, "A1"))[0].copy()
    later = reports_of(engine, replace(1, 499, 5, "A2", "A1"))[0]
    assert (first["clordid"], first["order_qty_lots"], first["order_price_ticks"]) == (b"A1", 10, 500)
    assert (later["clordid"], later["order_qty_lots"], later["order_price_ticks"]) == (b"A2", 5, 499)


@pytest.mark.parametrize(
    ("fields", "reason", "status"),
    [
        (limit(1, Side.BUY, 500, 1, "A1"), Reason.REJECT_SESSION_DUPLICATE_CLORDID, b"8"),
        (cancel(1, "A1", "A1"), Reason.REJECT_SESSION_DUPLICATE_CLORDID, b"0"),
        (cancel(1, "C1", "nothing"), Reason.REJECT_SESSION_UNKNOWN_ORIG_CLORDID, b"8"),
        (cancel(2, "C1", "A1"), Reason.REJECT_SESSION_UNKNOWN_ORIG_CLORDID, b"8"),
        (cancel(1, "C1", "A1", symbol=1), Reason.REJECT_SESSION_SYMBOL_MISMATCH, b"0"),
        (cancel(1, "C1", "A1", side=Side.SELL), Reason.REJECT_SESSION_SYMBOL_MISMATCH, b"0"),
        (replace(1, 500, 5, "A1", "A1"), Reason.REJECT_SESSION_DUPLICATE_CLORDID, b"0"),
        (limit(1, Side.BUY, 500, 1, "C1", precheck=129), Reason.REJECT_SESSION_PRICE_OFF_TICK, b"8"),
        (
            limit(1, Side.BUY, 500, 1, "C1", symbol=SYMBOL_NONE, precheck=128),
            Reason.REJECT_SESSION_UNKNOWN_SYMBOL,
            b"8",
        ),
        (limit(1, Side.BUY, 5000, 1, "C1"), Reason.REJECT_PRICE_OUT_OF_COLLAR, b"8"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(engine: Engine, fields: dict, reason: Reason, status: bytes):
    reports_of(engine, limit(1, Side.BUY, 500, 10, "A1"))
    state = Core.restore(engine.state()[1])
    (report,) = reports_of(engine, fields)
    after = Core.restore(engine.state()[1])
    assert (report["event"]["reason"], report["status"]) == (reason, status)
    assert (report["clordid"], report["orig_clordid"]) == (
        fields["clordid"].encode(),
        fields.get("orig_clordid", "").encode(),
    )
    assert np.array_equal(state.walk_symbol(0), after.walk_symbol(0))
    assert all(np.array_equal(state.walk_account(n), after.walk_account(n)) for n in range(LIMITS.accounts))
    assert engine.find_order(1, "A1")["status"] == "0"


def test_a_refused_order_has_an_order_id_and_is_found(engine: Engine):
    (report,) = reports_of(engine, limit(1, Side.BUY, 5000, 7, "A1"))
    seq = int(report["event"]["exec_id"]) >> 24
    assert int(report["event"]["order_id"]) == seq << 24 | 0xFFFFFF
    found = engine.find_order(1, "A1")
    assert (found["status"], found["order_qty_lots"], found["order_id"]) == ("8", 7, seq << 24 | 0xFFFFFF)


def test_poss_dup_of_a_known_order_does_nothing(engine: Engine):
    order = limit(1, Side.BUY, 500, 10, "A1")
    assert engine.submit(**order)[0] == SubmitStatus.OK
    seq = engine.last_seq
    assert engine.submit(**order, poss_dup=True) == (SubmitStatus.KNOWN, 0)
    assert engine.last_seq == seq
    assert engine.submit(**limit(1, Side.BUY, 500, 10, "A2"), poss_dup=True)[0] == SubmitStatus.OK


def test_names_must_agree_with_the_body(engine: Engine):
    seq = engine.last_seq
    order = limit(1, Side.BUY, 500, 10, "A1")
    assert engine.submit(body=body_of(1, "A2"), **order)[0] == SubmitStatus.INVALID
    assert engine.submit(body=b"35=D\x0111=A1\x01" + b"x" * 4096, **order)[0] == SubmitStatus.INVALID
    assert engine.submit(body=body_of(1, "A1"), **{**order, "clordid": ""})[0] == SubmitStatus.INVALID
    with pytest.raises(ValueError, match="at most 39"):
        engine.submit(**{**order, "clordid": "x" * 40})
    assert engine.last_seq == seq


def test_call_answers_with_the_events(engine: Engine):
    engine.submit(**limit(1, Side.SELL, 500, 3, "A1"))
    status, seq, events = engine.call(**limit(2, Side.BUY, 500, 5, "B1"))
    assert status == SubmitStatus.OK and seq == engine.last_seq
    assert [EventKind(kind) for kind in events["kind"]] == [EventKind.ACCEPTED, EventKind.FILL, EventKind.FILL]
    assert engine.durable_seq >= seq
    assert engine.depth(0, Side.BUY) == [(500, 2)] and engine.best(0, Side.BUY) == (500, 2)
    assert engine.best(0, Side.SELL) is None and engine.open_orders(0) == 1
    balance, hold, credit = engine.balance(2, 0)
    assert hold > 0 and credit == 0 and balance > hold


def test_operator_cancel_is_reported_to_the_order_s_session(engine: Engine):
    reports = reports_of(
        engine,
        limit(1, Side.BUY, 500, 10, "A1"),
        {"kind": CommandKind.MASS_CANCEL, "account": 1, "symbol": 0, "body": b"verb=mass_cancel\x01"},
    )
    cancelled, done = reports[1:]
    assert (cancelled["session"], cancelled["clordid"], cancelled["orig_clordid"]) == (1, b"A1", b"")
    assert cancelled["command_session_differs"] == 1 and cancelled["status"] == b"4"
    assert (EventKind(done["event"]["kind"]), done["session"]) == (EventKind.MASS_CANCELLED, 0)


def test_origin_comes_back(engine: Engine):
    (report,) = reports_of(engine, limit(1, Side.BUY, 500, 10, "A1", origin=77))
    assert report["origin"] == 77


@pytest.mark.parametrize("sync", SYNCS)
def test_reports_leave_once_and_in_order_from_any_threads(tmp_path: Path, sync: str):
    sink = Sink()
    with opened(tmp_path, sync=sync, segment_bytes=1 << 20) as engine:
        endow(engine)
        first = engine.last_seq + 1
        engine.set_sink(sink)

        def submit(account: int) -> None:
            for number in range(1_500):
                side = Side.BUY if number % 2 else Side.SELL
                engine.submit(**limit(account, side, 500 + number % 3, 1 + number % 4, f"T{number}"))

        threads = [threading.Thread(target=submit, args=(account,)) for account in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert engine.drain()
        engine.check()
        exec_ids = sink.reports["event"]["exec_id"].astype(np.int64)
        assert np.all(np.diff(exec_ids) > 0)
        assert np.array_equal(np.unique(exec_ids >> 24), np.arange(first, engine.last_seq + 1))
        starts = np.flatnonzero(np.diff(exec_ids >> 24, prepend=0))
        assert np.all(exec_ids[starts] & 0xFFFFFF == 0) and engine.last_seq == first + 4_499


def test_no_report_before_it_is_durable(tmp_path: Path):
    early = []
    with opened(tmp_path) as engine:
        endow(engine)

        def sink(reports: Any) -> None:
            early.extend(int(e) for e in reports["event"]["exec_id"] >> 24 if e > engine.durable_seq)

        engine.set_sink(sink)
        for fields in flow(1, 1_000):
            engine.submit(**fields)
        engine.drain()
    assert early == []


@pytest.mark.parametrize("sync", SYNCS)
def test_the_sink_may_submit(tmp_path: Path, sync: str):
    """A session that is cut off inside the sink has its orders cancelled from there: that must not wait for itself."""
    seen = []
    with opened(tmp_path, sync=sync) as engine:
        endow(engine)

        def sink(reports: Any) -> None:
            for report in reports:
                seen.append(EventKind(report["event"]["kind"]))
                if seen[-1] == EventKind.ACCEPTED:
                    engine.submit(kind=CommandKind.MASS_CANCEL, account=1, session=1, symbol=0)

        engine.set_sink(sink)
        engine.submit(**limit(1, Side.BUY, 500, 1, "A1"))
        wait_until(lambda: EventKind.MASS_CANCELLED in seen)
        engine.set_sink(None)
    assert seen[:2] == [EventKind.ACCEPTED, EventKind.CANCELLED]


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.002)


def standing_still(engine: Engine) -> bool:
    before = engine.last_seq
    time.sleep(0.1)
    return before > 10_000 and engine.last_seq == before


def test_a_slow_sink_makes_submitters_wait_and_loses_nothing(tmp_path: Path):
    count = 80_000
    gate, sink = threading.Event(), Sink()
    with opened(tmp_path, segment_bytes=64 << 20) as engine:
        endow(engine)
        engine.drain()

        def slow(reports: Any) -> None:
            gate.wait()
            sink(reports)

        engine.set_sink(slow)
        commands = np.zeros(count, COMMAND)
        commands["kind"], commands["account"], commands["symbol"] = CommandKind.MASS_CANCEL, 1, 0
        taken: list[int] = []
        thread = threading.Thread(target=lambda: taken.append(engine.submit_many(commands)))
        thread.start()
        try:
            wait_until(lambda: standing_still(engine))
            counters = engine.counters()
            assert thread.is_alive() and 10_000 < counters["last_seq"] < count
            assert counters["reports_waiting"] <= 65_536
            assert counters["journal_bytes_waiting"] <= (4 << 20) + 4_184
        finally:
            gate.set()
        thread.join()
        assert engine.drain()
        assert taken == [count]
    assert np.array_equal(np.diff(sink.reports["event"]["exec_id"] >> 24), np.ones(count - 1))


def test_a_stopped_engine_takes_nothing_and_reports_all(engine: Engine):
    sink = Sink()
    engine.set_sink(sink)
    for fields in flow(2, 200):
        engine.submit(**fields)
    last = engine.last_seq
    engine.stop()
    assert engine.submit(**limit(1, Side.BUY, 500, 1, "late")) == (SubmitStatus.STOPPED, 0)
    assert engine.call(kind=CommandKind.ACCOUNT, account=1)[0] == SubmitStatus.STOPPED
    assert engine.drain() and engine.last_seq == engine.durable_seq == last
    assert int(sink.reports["event"]["exec_id"][-1]) >> 24 == last


def test_a_failing_sink_is_shown_and_stops_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    shown: list[str] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: shown.append(str(error)))

    def sink(reports: Any) -> None:
        raise RuntimeError("sink is broken")

    engine.set_sink(sink)
    assert engine.call(**limit(1, Side.BUY, 500, 1, "A1"))[0] == SubmitStatus.OK
    assert engine.drain() and shown == ["sink is broken"]


def test_a_closed_engine_says_so(tmp_path: Path):
    engine = opened(tmp_path)
    engine.close()
    engine.close()
    for use in (engine.drain, engine.counters, engine.check, lambda: engine.submit(kind=5), lambda: engine.last_seq):
        with pytest.raises(ValueError, match="the engine is closed"):
            use()


@pytest.mark.parametrize(
    "options", [{"sync": "sometimes"}, {"segment_bytes": 100}, {"interval_ms": 0}, {"snapshot_commands": -1}]
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict[str, Any]):
    with pytest.raises(ValueError, match=r"sync|segment_bytes|interval_ms"):
        opened(tmp_path, **options)


def test_time_never_goes_backwards(engine: Engine):
    reports = reports_of(engine, *flow(9, 500))
    times = [int(report["time_ns"]) for report in reports]
    assert times == sorted(times)
