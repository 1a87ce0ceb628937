"""Certification: every case passes on a real venue with either application, and fails where a venue is broken."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fix_sessions.certification import FAILED, PASSED, SKIPPED, Agreed, Case, Party, Result, Stage, play
from fix_sessions.certification_cases import AREAS, CASES
from fix_sessions.certification_report import Report
from fix_sessions.certification_watch import stored, watch
from fix_sessions.schedule import Schedule
from tests.fix_sessions.certification_rig import ALPHA, BRAVO, BY_NAME, TERMS, Desk, Whole
from tests.fix_sessions.rig import PASSWORD, Venue, settle
from venue import cli
from venue.config_sections import ScheduleSection


def stage(venue: Venue, port: int = 0, full: bool = True) -> Stage:
    address = ("127.0.0.1", port or venue.acceptor.port)
    return Stage(address, "VENUE", ALPHA, TERMS, BRAVO if full else None, Desk(venue) if full else None)


def test_numbers_are_in_order_and_rules_exist():
    assert [case.name for case in CASES] == [f"C{number:02d}" for number in range(1, len(CASES) + 1)]
    page = (Path(__file__).parents[2] / "spec" / "rules_of_engagement.md").read_text()
    rules = {int(number) for number in re.findall(r"\*\*ROE-(\d+)\*\*", page)}
    assert {number for case in CASES for number in case.rules} <= rules


LONG = {"C07", "C16", "C40", "C70", "C74"}
"""They wait, and both applications share the code that they are about; `make certify` plays them with both."""


def test_every_case_passes_and_leaves_nothing(tmp_path: Path, application: str):
    """ROE-2 ROE-3 ROE-5 ROE-10 ROE-11 ROE-12 ROE-18 ROE-20 ROE-31 ROE-33 ROE-35 ROE-36 ROE-38 ROE-40 ROE-41 ROE-42
    ROE-43 ROE-44 ROE-45 ROE-46 ROE-47 ROE-48 ROE-49 ROE-50 ROE-51 ROE-52 ROE-53 ROE-54
    """
    whole = Whole(tmp_path, application, "commit")  # where reports wait until they are durable and heartbeats do not
    at = whole.stage
    try:
        results = [play(case, at) for case in CASES if application == "native" or case.name not in LONG]
        at.clean()
        assert whole.venue.engine.open_orders(0) == 0
    finally:
        whole.close()
    assert {r.case.name: r.text for r in results if r.verdict == FAILED} == {}
    assert [r.case.area for r in results if r.verdict == SKIPPED] == ["hours"], "see the test of the hours"
    assert all(result.evidence for result in results if result.verdict == PASSED)
    assert not any("correct horse" in line for result in results for line in result.evidence), "no password"


def test_what_is_not_at_hand_is_not_run_and_says_what_to_give(venue: Venue):
    at = stage(venue, full=False)
    remedies = {
        "C35": "--counterpart",
        "C41": "--config",
        "C47": "--counterpart",
        "C63": "--market-data",
        "C71": "--drop-copy",
        "C74": "messages_per_second",
        "C78": "--config",
    }
    results = [play(BY_NAME[name], at) for name in ("C06", *remedies)]
    at.close()
    assert [result.verdict for result in results] == [PASSED] + [SKIPPED] * len(remedies)
    for result in results[1:]:
        assert result.text.startswith("not run: ") and remedies[result.case.name] in result.text


@pytest.mark.parametrize(("hours", "text"), [(0, "open always"), (3, "within")])
def test_hours_that_do_not_end_soon_are_not_waited_for(hours: int, text: str):
    start, end = (f"{datetime.now(UTC) + timedelta(hours=each):%H:%M}" for each in (hours + 1, hours))
    section = ScheduleSection(start=start, end=end) if hours else ScheduleSection()
    at = Stage(("127.0.0.1", 1), "VENUE", ALPHA, TERMS, BRAVO, agreed=Agreed(schedule=Schedule(section)))
    result = play(BY_NAME["C78"], at)
    assert result.verdict == SKIPPED and text in result.text
    assert "mmp" in play(BY_NAME["C47"], at).text


def test_reports_that_wait_are_fetched_before_the_numbers_are_reset(venue: Venue):
    absent, other = venue.logged_on("ALPHA2"), venue.logged_on("BRAVO1")
    absent.order("ACME", "buy", 5, "99", t11="resting")
    absent.wait_for(lambda: len(absent.executions) == 1)
    absent.log_out()
    other.order("ACME", "sell", 5, "99")
    other.wait_for(lambda: len(other.executions) == 2)
    at = Stage(("127.0.0.1", venue.acceptor.port), "VENUE", Party("ALPHA2", "alpha2", PASSWORD), TERMS)
    at.cancels_on_disconnect = False
    assert [play(BY_NAME[name], at).verdict for name in ("C11", "C17", "C20")] == [PASSED] * 3
    at.close()


@pytest.fixture
def native_venue(tmp_path: Path) -> Iterator[Venue]:
    (tmp_path / "venue").mkdir()
    found = Venue(tmp_path / "venue", "native")
    yield found
    found.close()


def test_nobody_there_fails_and_says_so(native_venue: Venue):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
    result = play(BY_NAME["C01"], stage(native_venue, port))
    assert result.verdict == FAILED and "connection failed" in result.text


# ---- watching ----


def test_a_sessions_own_traffic_shows_cases(venue: Venue):
    broker = venue.logged_on("ALPHA2")
    order = broker.order("ACME", "buy", 5, "99")
    broker.order("ACME", "buy", 5, "99.005")
    broker.cancel("nothing", "ACME", "buy")
    settle(broker)
    path = venue.data_dir / "fix" / "session-4.store"
    assert [message for message in stored(path) if f"\x0111={order}\x01".encode() in message]
    shown = {result.case.name for result in watch(path) if result.verdict == PASSED}
    assert shown == {"C06", "C20", "C29", "C30"}
    assert all(result.evidence for result in watch(path) if result.verdict == PASSED)
    assert not any(result.verdict == FAILED for result in watch(path)), "what was not seen has not failed"


BEGIN_ANEW = {"C01", "C07", "C10", "C11", "C16", "C19", "C74", "C77"}


def test_playing_the_cases_shows_them(tmp_path: Path):
    whole = Whole(tmp_path)
    names = [case.name for case in CASES if case.shown and case.name not in BEGIN_ANEW]
    assert {play(BY_NAME[name], whole.stage).verdict for name in names} == {PASSED}
    whole.close()
    path = tmp_path / "fix" / "session-1.store"
    shown = {result.case.name for result in watch(path) if result.verdict == PASSED}
    assert set(names) <= shown


@pytest.mark.parametrize("data", [b"", b"x" * 10, b"\0" * (5000 + 65536 * 16)], ids=["empty", "short", "zeros"])
def test_what_is_no_store_is_told(tmp_path: Path, data: bytes):
    (tmp_path / "x.store").write_bytes(data)
    with pytest.raises(ValueError, match="no session store"):
        stored(tmp_path / "x.store")


# ---- the report and the command ----


def test_the_report_says_all_and_breaks_out_of_nothing(tmp_path: Path):
    case = Case("C99", "A <b>case</b>", (1,), lambda at: None)
    results = [Result(case, verdict, "<script>", 0.5, ["> 8=FIX.4.4|58=<script>|"]) for verdict in (PASSED, FAILED)]
    report = Report("ALPHA", "ALPHA1", "127.0.0.1:1", "played against", results)
    page, facts = report.write(tmp_path)
    assert not report.passed and "<script>" not in page.read_text() and "&lt;script&gt;" in page.read_text()
    found = json.loads(facts.read_text())
    assert (found["green"], found[PASSED], found[FAILED]) == (False, 1, 1)
    assert found["cases"][0]["rules"] == ["ROE-1"] and found["cases"][0]["messages"] == results[0].evidence
    assert Report("A", "B", "c", "d", results[:1]).passed and not Report("A", "B", "c", "d", []).passed


def command(venue: Venue, folder: Path, *more: str) -> int:
    target = f"127.0.0.1:{venue.acceptor.port}"
    sessions = ("--session", f"ALPHA1:alpha:{PASSWORD}", "--counterpart", f"BRAVO1:bravo:{PASSWORD}")
    return cli.main(["certify", "--target", target, "--member", "ALPHA", *sessions, "--output", str(folder), *more])


def test_the_command(native_venue: Venue, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command(native_venue, tmp_path, "--case", "C20", "--case", "C35") == 0
    printed = capsys.readouterr().out
    assert "ok   C20" in printed and "2 passed, 0 failed, 0 not run" in printed
    assert json.loads((tmp_path / "certification-ALPHA-ALPHA1.json").read_text())["green"]
    assert command(native_venue, tmp_path, "--case", "C20", "--price", "1000") == 1
    assert "FAIL C20" in capsys.readouterr().out


def test_a_member_certifies_for_what_it_uses(native_venue: Venue, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command(native_venue, tmp_path, "--areas", "parties, market_data") == 0
    printed = capsys.readouterr().out
    assert "2 passed, 0 failed, 8 not run" in printed and "C20" not in printed
    found = json.loads((tmp_path / "certification-ALPHA-ALPHA1.json").read_text())
    assert {case["area"] for case in found["cases"]} == {"parties", "market_data"}
    assert {area: counts["certified"] for area, counts in found["areas"].items()} == {
        "parties": True,
        "market_data": False,
    }
    page = (tmp_path / "certification-ALPHA-ALPHA1.html").read_text()
    assert '<tr><td>parties<td class="passed">yes<td>2<td>0<td>0</tr>' in page
    assert command(native_venue, tmp_path, "--areas", "drop_copy") == 1, "nothing was played"
    assert {case.area for case in CASES} == set(AREAS)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--case", "C00"], "no such case: C00"),
        (["--areas", "orders,cheese"], "no such area: cheese; there are sessions, orders, quotes"),
        (["--areas", "quotes", "--case", "C20"], "no such case in quotes: C20"),
        (["--market-data", "127.0.0.1:1"], "--market-data-session"),
        (["--drop-copy-session", "X:x:x"], "--drop-copy HOST:PORT"),
        (["--drop-copy", "here", "--drop-copy-session", "X:x:x"], "--drop-copy must be HOST:PORT"),
        (["--target", "nowhere"], "HOST:PORT"),
        (["--session", "ALPHA1"], "COMPID:USERNAME:PASSWORD"),
        (["--watch"], "give --config"),
    ],
)
def test_wrong_use(native_venue: Venue, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], text: str):
    assert command(native_venue, tmp_path, *more) == 2
    assert text in capsys.readouterr().err
