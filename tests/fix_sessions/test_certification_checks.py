"""No check line of a certification case is idle: for each `tell` and `expect` there is a venue that fails just there.

The rows of test_certification_broken make every case fail; these make every further line fail. The slow test plays them
all and looks which line raised, so that a new check without a spoiling does not come in.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

import pytest

import fix_sessions
from fix_sessions import certification
from fix_sessions.certification import FAILED, Agreed, Case, Failed, Result, Stage, play
from fix_sessions.schedule import Schedule
from tests.fix_sessions.certification_rig import (
    ALPHA,
    BY_NAME,
    MESSAGES_PER_SECOND,
    TERMS,
    Every,
    FromSecond,
    One,
    Second,
    Spoil,
    Spoiler,
    Whole,
    as_update,
    both,
    changed,
    early,
    lacking,
    never,
    twice,
    unfilled,
    untouched,
    with_hours,
    within,
    worded,
)
from tests.fix_sessions.rig import Venue, make_config
from tests.fix_sessions.test_certification_broken import SPOILT, WAITED

Site = tuple[str, int]
"""Module and line of a check."""
FOLDER = Path(fix_sessions.__file__).parent
ATTEMPTS = 3
CALLS = frozenset(("tell", "expect"))

CHECKS: tuple[tuple[str, Spoil, str], ...] = (
    ("C02", early, "took a sequence number"),
    ("C03", worded("HeartBtInt(108) must be from", "HeartBtInt(108) is odd"), "the Logon was refused with"),
    ("C12", One("8", 150, "ALPHA1", 0), "tag 150 of 35=8 is 1, expected 0"),
    ("C14", One("3", 371, "ALPHA1", 1), "tag 371 of 35=3 is 9990, expected 9999"),
    ("C20", lacking("8", 151), "tag 151 is missing in 35=8"),
    ("C20", Every("8", 151), "LeavesQty(151) is 2"),
    ("C29", lacking("8", 58), "a refusal without Text(58)"),
    ("C29", within("150=8", 37, "NONE"), "without an OrderID(37) of its own"),
    ("C30", One("9", 102, "ALPHA1", 1), "tag 102 of 35=9 is 90, expected 99"),
    ("C30", One("9", 102, "ALPHA1", 2), "tag 102 of 35=9 is 1, expected 0"),
    ("C31", Every("8", 38), "the report has not the new terms"),
    ("C31", One("8", 150, "ALPHA1", 9), "tag 150 of 35=8 is 6, expected 5"),
    ("C31", One("9", 102, "ALPHA1", 0), "tag 102 of 35=9 is 7, expected 6"),
    ("C32", One("8", 150, "ALPHA1", 1), "tag 150 of 35=8 is X, expected I"),
    ("C32", One("8", 150, "ALPHA1", 2), "tag 150 of 35=8 is X, expected I"),
    ("C33", never("8", "150=4"), "not each order has its own report"),
    ("C33", One("r", 531, "ALPHA1", 2), "tag 531 of 35=r is 1, expected 0"),
    ("C34", One("8", 150, "ALPHA1", 2), "tag 150 of 35=8 is 5, expected 4"),
    ("C35", Every("8", 14), "quantities of"),
    ("C35", Every("8", 6), "LastPx(31) and AvgPx(6) are not the price"),
    ("C35", One("8", 14, "ALPHA1", 2), "CumQty(14) after the cancel is not what was filled"),
    ("C37", within("40=K", 150, "0"), "the market-to-limit order was not filled"),
    ("C37", One("8", 39, "ALPHA1", 3), "tag 39 of 35=8 is 2, expected 1"),
    ("C39", changed("39=2", "39=1", "8"), "tag 35 of 35=9 is 9, expected 8"),
    ("C39", unfilled, "the order's last report has OrdStatus(39) 1"),
    ("C43", One("8", 39, "ALPHA1", 0), "tag 39 of 35=8 is 1, expected 0"),
    ("C43", One("8", 39, "ALPHA1", 1), "tag 39 of 35=8 is 1, expected 0"),
    ("C43", One("8", 151, "ALPHA1", 0), "the bid's size is another"),
    ("C43", Every("8", 44), "a side has another price"),
    ("C43", One("8", 39, "ALPHA1", 2), "tag 39 of 35=8 is 1, expected 0"),
    ("C43", One("8", 39, "ALPHA1", 3), "tag 39 of 35=8 is 5, expected 4"),
    ("C43", One("8", 39, "ALPHA1", 4), "tag 39 of 35=8 is 5, expected 4"),
    ("C44", One("b", 297, "ALPHA1", 0), "tag 297 of 35=b is 1, expected 0"),
    ("C44", Every("b", 299), "the entry that cannot be taken is not named"),
    ("C44", lacking("b", 58), "a refused entry without Text(58)"),
    ("C44", One("8", 39, "ALPHA1", 0), "tag 39 of 35=8 is 1, expected 0"),
    ("C44", One("b", 297, "ALPHA1", 1), "tag 297 of 35=b is 6, expected 5"),
    ("C44", One("b", 368, "ALPHA1", 2), "tag 368 of 35=b is 7, expected 6"),
    ("C44", One("3", 371, "ALPHA1", 0), "tag 371 of 35=3 is 118, expected 117"),
    ("C45", One("b", 297, "ALPHA1", 1), "tag 297 of 35=b is 18, expected 17"),
    ("C45", One("8", 39, "ALPHA1", 0), "tag 39 of 35=8 is 5, expected 4"),
    ("C45", One("8", 39, "ALPHA1", 1), "tag 39 of 35=8 is 1, expected 0"),
    ("C45", One("b", 297, "ALPHA1", 3), "tag 297 of 35=b is 2, expected 1"),
    ("C45", One("8", 39, "ALPHA1", 2), "tag 39 of 35=8 is 5, expected 4"),
    ("C45", One("b", 297, "ALPHA1", 5), "tag 297 of 35=b is 5, expected 4"),
    ("C45", lacking("b", 58), "3 quotes were pulled, it says None"),
    ("C45", One("8", 39, "ALPHA1", 4), "tag 39 of 35=8 is 1, expected 0"),
    ("C45", One("b", 300, "ALPHA1", 6), "tag 300 of 35=b is 2, expected 1"),
    ("C46", Every("8", 32), "quantities of"),
    ("C46", One("8", 39, "ALPHA1", 1), "tag 39 of 35=8 is 2, expected 1"),
    ("C46", One("8", 151, "ALPHA1", 1), "BidSize(134) is what is to be open"),
    ("C47", One("b", 297, "ALPHA1", 0), "tag 297 of 35=b is 1, expected 0"),
    ("C47", One("b", 9775, "ALPHA1", 1), "tag 9775 of 35=b is X, expected F"),
    ("C47", within("9775=F", 299, "f"), "does not name the entry that was pulled"),
    ("C47", One("8", 39, "ALPHA1", 2), "tag 39 of 35=8 is 1, expected 0"),
    ("C47", One("b", 297, "ALPHA1", 3), "tag 297 of 35=b is 1, expected 0"),
    ("C48", Every("N", 11), "orders called leg"),
    ("C48", Every("8", 11), "no report of leg1"),
    ("C48", One("N", 39, "ALPHA1", 0), "an order of the list does not stand"),
    ("C48", One("8", 150, "ALPHA1", 0), "tag 150 of 35=8 is 1, expected 0"),
    ("C48", One("N", 431, "ALPHA1", 1), "tag 431 of 35=N is 4, expected 3"),
    ("C48", Second("N", "83=[0-9]+", "83=0"), "RptSeq(83) does not go on"),
    ("C48", changed("431=4", "431=3"), "the ListCancelRequest(K) was not acknowledged"),
    ("C48", One("N", 66, "ALPHA1", 3), "tag 66 of 35=N is list"),
    ("C48", changed("84=2", "84=1", "N"), "CxlQty(84) is not all of the order"),
    ("C48", One("8", 150, "ALPHA1", 2), "tag 150 of 35=8 is 5, expected 4"),
    ("C48", One("j", 372, "ALPHA1", 0), "tag 372 of 35=j is X, expected K"),
    ("C49", Every("N", 39), "tag 39 of 35=None is 5, expected 4"),
    ("C49", One("8", 150, "ALPHA1", 3), "tag 150 of 35=8 is 5, expected 4"),
    ("C50", within("429=5", 39, "1"), "is 1, expected 2"),
    ("C50", within("429=5", 14, "77"), "CumQty(14) is not what was traded"),
    ("C50", changed("39=4", "39=C", "N"), "is C, expected 4"),
    ("C50", One("8", 150, "ALPHA1", 2), "tag 150 of 35=8 is X, expected F"),
    ("C50", One("8", 150, "ALPHA1", 3), "tag 150 of 35=8 is 5, expected 4"),
    ("C51", lacking("N", 444), "does not name ListID(66)"),
    ("C51", One("N", 431, "ALPHA1", 2), "tag 431 of 35=N is 8, expected 7"),
    ("C51", One("N", 431, "ALPHA1", 3), "tag 431 of 35=N is 8, expected 7"),
    ("C51", One("j", 372, "ALPHA1", 0), "tag 372 of 35=j is X, expected M"),
    ("C53", Every("j", 58), "expected 'exclude each other'"),
    ("C54", One("8", 40, "ALPHA1", 2), "tag 40 of 35=8 is X, expected P"),
    ("C54", Every("8", 44), "pegged to the bid, and Price(44) is"),
    ("C54", One("8", 150, "ALPHA1", 9), "tag 150 of 35=8 is 6, expected 5"),
    ("C54", One("8", 44, "ALPHA1", 9), "a replace with OrdType(40) 2 did not make it a plain order"),
    ("C55", One("8", 103, "ALPHA1", 3), "tag 103 of 35=8 is 12, expected 11"),
    ("C55", Every("8", 44), "with an offset Price(44) is"),
    ("C55", One("8", 40, "ALPHA1", 5), "tag 40 of 35=8 is X, expected P"),
    ("C56", twice("8", "912=N"), "two orders are open"),
    ("C56", Every("8", 54), "Side(54) 2 was asked for, and it is not what came"),
    ("C56", One("8", 37, "ALPHA1", 9), "tag 37 of 35=8 is NONX, expected NONE"),
    ("C56", One("8", 37, "ALPHA1", 10), "tag 37 of 35=8 is NONX, expected NONE"),
    ("C56", worded("585", "584"), "does not name MassStatusReqType(585)"),
    ("C57", One("AO", 728, "ALPHA1", 0), "tag 728 of 35=AO is 1, expected 0"),
    ("C57", both(lacking("AP", 704), lacking("AP", 705)), "without LongQty(704)"),
    ("C57", Second("AP", "1=[0-9]+", "1=77"), "changed what positions there are"),
    ("C57", Second("AP", "707=CASH\x01708=[0-9.]+", "707=CASH\x01708=1234567"), "changed a balance"),
    ("C57", One("AO", 728, "ALPHA1", 3), "tag 728 of 35=AO is 4, expected 3"),
    ("C60", One("AQ", 749, "ALPHA1", 0), "tag 749 of 35=AQ is 1, expected 0"),
    ("C60", twice("AE"), "one trade of the order, and 2 reports"),
    ("C60", One("AE", 912, "ALPHA1", 0), "tag 912 of 35=AE is N, expected Y"),
    ("C60", One("AQ", 749, "ALPHA1", 1), "tag 749 of 35=AQ is 1, expected 0"),
    ("C62", lacking("AQ", 58), "a refusal without Text(58), or with reports"),
    ("C63", One("W", 55, "FEED1", 0), "tag 55 of 35=W is ACMX, expected ACME"),
    ("C63", One("W", 268, "FEED1", 1), "tag 268 of 35=W is 2, expected 1"),
    ("C63", One("W", 270, "FEED1", 1), "the best offer is another"),
    ("C66", lacking("Y", 58), "a refusal without Text(58)"),
    ("C66", One("j", 372, "FEED1", 0), "tag 372 of 35=j is X, expected D"),
    ("C67", One("y", 560, "FEED1", 0), "tag 560 of 35=y is 1, expected 0"),
    ("C67", Every("y", 55), "the list has ACME 0 times"),
    ("C67", Every("y", 561), "RoundLot(561) is 2"),
    ("C67", One("y", 560, "FEED1", 1), "tag 560 of 35=y is 3, expected 2"),
    ("C67", One("d", 323, "FEED1", 0), "tag 323 of 35=d is 2, expected 1"),
    ("C67", One("d", 323, "FEED1", 1), "tag 323 of 35=d is 6, expected 5"),
    ("C68", One("j", 372, "FEED1", 0), "tag 372 of 35=j is X, expected e"),
    ("C68", One("h", 336, "FEED1", 0), "tag 336 of 35=h is DAX, expected DAY"),
    ("C68", One("h", 340, "FEED1", 1), "tag 340 of 35=h is 7, expected 6"),
    ("C70", FromSecond("W", as_update, 2), "an update was not a W"),
    ("C71", One("8", 44, "ACOPY", 0), "the copy says"),
    ("C71", One("8", 150, "ALPHA1", 2), "tag 150 of 35=8 is 9, expected 8"),
    ("C72", never("BX"), "no ApplicationMessageRequestAck(BX) came"),
    ("C72", One("BX", 1346, "ACOPY", 0), "tag 1346 of 35=BX is replay"),
    ("C72", One("8", 797, "ACOPY", 4), "tag 797 of 35=8 is N, expected Y"),
    ("C72", One("8", 44, "ACOPY", 4), "replayed as"),
    ("C72", One("BY", 1349, "ACOPY", 0), "tag 1349 of 35=BY is 4, expected 3"),
    ("C73", lacking("BX", 58), "a refusal without Text(58)"),
    ("C73", One("j", 372, "ACOPY", 0), "tag 372 of 35=j is X, expected D"),
)


def rows() -> Iterator[object]:
    for number, (name, spoil, text) in enumerate(CHECKS):
        yield pytest.param(name, spoil, text, id=f"{name}-{number}")


@pytest.mark.parametrize(("name", "spoil", "text"), list(rows()))
def test_a_line_of_a_case_fails(whole: Whole, name: str, spoil: Spoil, text: str):
    result = whole.play(BY_NAME[name], spoil)
    assert (result.verdict, text in result.text) == (FAILED, True), result.text


def sites() -> dict[Site, str]:
    """Every check in the modules of the cases, and the function that it is in."""
    found: dict[Site, str] = {}
    for path in sorted(FOLDER.glob("certification_*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
                    found.setdefault((path.stem, node.lineno), function.name)
    return found


def site_of(trace: TracebackType | None) -> Site | None:
    """The check in a case's module that raised; None when something else did, as an answer that did not come."""
    found: Site | None = None
    line: Site | None = None
    while trace is not None:
        code = trace.tb_frame.f_code
        path = Path(code.co_filename)
        if path.parent == FOLDER and path.stem.startswith("certification_"):
            line, found = (path.stem, trace.tb_lineno), None
        elif path.parent == FOLDER and code.co_name in CALLS:
            found = line
        else:
            line = None
        trace = trace.tb_next
    return found


def watched(case: Case, failed: set[Site]) -> Case:
    """The case; the lines that it fails in are added to `failed`."""

    def playing(at: Stage) -> None:
        try:
            case.play(at)
        except Failed as failure:
            site = site_of(failure.__traceback__)
            if site is not None:
                failed.add(site)
            raise

    return replace(case, play=playing)


@pytest.fixture
def kept_orders(whole: Whole) -> Iterator[Whole]:
    """The same venue, said to keep the orders of a session that is cut, which it does not."""
    whole.stage.cancels_on_disconnect = False
    yield whole
    whole.stage.cancels_on_disconnect = True


def test_orders_that_are_cancelled_against_what_was_said(kept_orders: Whole):
    result = kept_orders.play(BY_NAME["C17"], untouched)
    assert (result.verdict, "tag 39" in result.text) == (FAILED, True), result.text


HOURS: tuple[tuple[Spoil, int, str], ...] = (
    (untouched, 1, "before the end of its hours"),
    (worded("outside the session's hours", "closed"), 0, "the Logon was refused with"),
)
"""What is spoilt, how many minutes later the hours end by what was agreed, and what the case says."""


def failing_hours(folder: Path, spoil: Spoil, minutes: int) -> tuple[Result, set[Site]]:
    """Plays the end of the hours."""
    now = datetime.now(UTC)
    start, end, agreed = (f"{now + timedelta(seconds=seconds):%H:%M:%S}" for seconds in (-3600, 3, 3 + 60 * minutes))
    venue = Venue(folder, "native", "none", **with_hours(start, end))
    spoiler = Spoiler(venue.acceptor.port, spoil)
    hours = Agreed("ALPHA", schedule=Schedule(make_config(folder, **with_hours(start, agreed)).schedule))
    failed: set[Site] = set()
    stage = Stage(("127.0.0.1", spoiler.port), "VENUE", ALPHA, TERMS, agreed=hours)
    try:
        return play(watched(BY_NAME["C78"], failed), stage), failed
    finally:
        spoiler.close()
        venue.close()


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "minutes", "text"), HOURS)
def test_a_line_of_the_hours_fails(tmp_path: Path, spoil: Spoil, minutes: int, text: str):
    result, _ = failing_hours(tmp_path, spoil, minutes)
    assert (result.verdict, text in result.text) == (FAILED, True), result.text


def failing_otherwise(whole: Whole, case: Case, spoil: Spoil, text: str) -> list[str]:
    """Plays a row; what it said when that is not its text. Most lines have one row only, and on a machine that is busy
    with other things an answer may come too late for it: it is played again, for what is surveyed is the lines."""
    said: list[str] = []
    for _ in range(ATTEMPTS):
        found = whole.play(case, spoil).text
        if text in found:
            break
        said.append(f"{case.name}: {found}")
    return said


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_line_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A `tell` or `expect` that no row of both tables makes fail is named, with what rows said that ended otherwise."""
    failed: set[Site] = set()
    others: list[str] = []
    for number, table in enumerate((SPOILT, CHECKS)):
        whole = Whole(tmp_path / f"table{number}", spoilt=True)  # a spoilt case may leave a protection that has tripped
        try:
            for name, spoil, text in table:
                if name != "C78":
                    seconds = 2.0 if text in WAITED else 10.0
                    monkeypatch.setattr(certification, "ANSWER_SECONDS_MAX", seconds)
                    others += failing_otherwise(whole, watched(BY_NAME[name], failed), spoil, text)
            whole.play(watched(BY_NAME["C74"], failed), untouched, MESSAGES_PER_SECOND // 10)
            whole.stage.cancels_on_disconnect = False
            whole.play(watched(BY_NAME["C17"], failed), untouched)
        finally:
            whole.close()
    hours = [(spoil, 0) for name, spoil, _ in SPOILT if name == "C78"] + [row[:2] for row in HOURS]
    for number, (spoil, minutes) in enumerate(hours):
        (tmp_path / str(number)).mkdir()
        failed |= failing_hours(tmp_path / str(number), spoil, minutes)[1]
    idle = {site: name for site, name in sites().items() if site not in failed}
    print(f"{len(failed)} lines failed; idle: {idle}; otherwise: {others}")
    assert idle == {}
