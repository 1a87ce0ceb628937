"""QuickFIX/J as the client: every certification case, on both applications, and its own ways of coming back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fix_sessions.certification import PASSED, Case, Stage, play
from fix_sessions.certification_cases import CASES
from fix_sessions.certification_watch import watch
from tests.fix_sessions.certification_rig import (
    ALPHA,
    BY_NAME,
    TERMS,
    Spoiler,
    Whole,
    agreed_hours,
    changed,
    with_hours,
)
from tests.fix_sessions.rig import PASSWORD, Venue, ask, tags, until
from tests.interop.initiator import QuickfixjBroker, QuickfixjStage, Unavailable, classpath
from tests.interop.shared import PAGE, SPOILT, cases_in, comes_back, fails

pytestmark = [pytest.mark.interop]
BEGIN_ANEW = {"C01", "C07", "C10", "C11", "C16", "C19", "C74", "C77"}
"""Cases that end a session or reset its numbers, which takes from its store what was shown."""
LONG = {"C02", "C03", "C07", "C16", "C18", "C40", "C70", "C74"}
"""They wait, or begin many clients."""
PLAYED = [case for case in CASES if case.area != "hours"]


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    try:
        classpath()
    except Unavailable as reason:
        pytest.skip(str(reason))


def on(at: Stage) -> QuickfixjStage:
    """The same stage with QuickFIX/J for every session."""
    parties = (at.party, at.terms, at.counterpart, at.operator, at.cancels_on_disconnect)
    return QuickfixjStage(at.address, at.venue, *parties, at.market_data, at.drop_copy, at.agreed)


def complaints(brokers: list[QuickfixjBroker]) -> list[str]:
    """Where QuickFIX/J found a message of the venue's wrong."""
    rejects = [line for broker in brokers for line in broker.record if line.startswith("> ") and "|35=3|" in line]
    return [*rejects, *(error for broker in brokers for error in errors(broker.events))]


def errors(events: list[str]) -> list[str]:
    """QuickFIX/J's errors. After it cut the line itself, it has no session for what it had read and not handled yet."""
    found, cut = [], False
    for event in events:
        cut = event == "# Disconnecting: cut by the application" or (cut and "session created" not in event)
        if event.startswith("! ") and not (cut and "Logon state is not valid" in event):
            found.append(event)
    return found


def of_the_page() -> list[str]:
    """The cases that the page says QuickFIX/J plays, in its order."""
    return cases_in(PAGE.read_text().partition(" with quickfix-go as the client")[0])


def test_the_page_has_each_case_once():
    assert of_the_page() == [case.name for case in CASES]


@contextmanager
def whole(folder: Path, application: str, sync: str = "none") -> Iterator[tuple[Whole, QuickfixjStage]]:
    """A venue with all its gateways, and QuickFIX/J at each of them."""
    found = Whole(folder, application, sync)
    at = on(found.stage)
    try:
        yield found, at
    finally:
        at.end()
        found.close()


def shortened() -> list[Case]:
    """Without what waits, and without the gateways, which both applications share."""
    return [case for case in PLAYED if case.name not in LONG and not case.needs & {"market data", "drop copy"}]


@pytest.mark.parametrize(
    ("application", "cases"),
    [
        pytest.param("native", PLAYED, id="native"),
        pytest.param("python", shortened(), id="python"),
        pytest.param("python", PLAYED, marks=pytest.mark.slow, id="python-whole"),
    ],
)
def test_every_case_passes(tmp_path: Path, application: str, cases: list[Case]):
    """ROE-2 ROE-3 ROE-5 ROE-10 ROE-11 ROE-12 ROE-18 ROE-20 ROE-31 ROE-33 ROE-35 ROE-36 ROE-38 ROE-40"""
    with whole(tmp_path, application, "commit") as (found, at):
        results = [play(case, at) for case in cases]
        assert {r.case.name: (r.text, r.evidence[-6:]) for r in results if r.verdict != PASSED} == {}
        assert all(result.evidence for result in results)
        at.clean()
        at.close()
        assert found.venue.engine.open_orders(0) == 0
        assert complaints(at.all) == []


@pytest.mark.slow
def test_the_end_of_the_hours(tmp_path: Path, application: str):
    """ROE-7"""
    now = datetime.now(UTC)
    start, end = (f"{now + timedelta(seconds=seconds):%H:%M:%S}" for seconds in (-3600, 15))
    venue = Venue(tmp_path, application, "none", **with_hours(start, end))
    at = QuickfixjStage(("127.0.0.1", venue.acceptor.port), "VENUE", ALPHA, TERMS, agreed=agreed_hours(venue))
    try:
        result = play(BY_NAME["C78"], at)
        assert (result.verdict, complaints(at.all)) == (PASSED, []), result.text
    finally:
        at.end()
        venue.close()


def test_watching_sees_what_quickfixj_showed(tmp_path: Path):
    cases = [case for case in CASES if case.shown and case.name not in BEGIN_ANEW]
    with whole(tmp_path, "native") as (_, at):
        results = [play(case, at) for case in cases]
        assert {r.case.name: r.text for r in results if r.verdict != PASSED} == {}
        at.close()
    shown = {r.case.name for r in watch(tmp_path / "fix" / "session-1.store") if r.verdict == PASSED}
    assert {case.name for case in cases} <= shown


@pytest.mark.parametrize(("name", "old", "new", "text"), SPOILT)
@pytest.mark.parametrize("application", ["native"])
def test_a_broken_venue_fails_the_case(venue: Venue, name: str, old: str, new: str, text: str):
    fails(venue, on, name, old, new, text)


@pytest.mark.parametrize("application", ["native"])
def test_quickfixj_would_complain(venue: Venue):
    """The check of its complaints can fail: an ExecType(150) that the dictionary has not."""
    spoiler = Spoiler(venue.acceptor.port, changed("150=0", "150=Q"))
    broker = QuickfixjBroker("127.0.0.1", spoiler.port, "ALPHA2", "alpha2", PASSWORD)
    try:
        broker.log_on()
        broker.order("ACME", "buy", 5, "99.00")
        broker.wait_for(lambda: bool(complaints([broker])))
        assert "150" in complaints([broker])[0] and not broker.inbox
    finally:
        broker.end()
        spoiler.close()


def test_it_comes_back_and_asks_by_itself(venue: Venue):
    """ROE-12"""
    broker = QuickfixjBroker("127.0.0.1", venue.acceptor.port, "ALPHA2", "alpha2", PASSWORD)
    try:
        comes_back(venue, broker)
        assert complaints([broker]) == []
    finally:
        broker.end()


def test_a_killed_client_goes_on_from_its_files(venue: Venue, tmp_path: Path):
    """The process is killed with an order in the book, which trades meanwhile; the next one has its numbers. ROE-7"""
    lives = [QuickfixjBroker("127.0.0.1", venue.acceptor.port, "ALPHA2", "alpha2", PASSWORD) for _ in range(2)]
    try:
        for life in lives:
            life.settings["FileStorePath"] = str(tmp_path / "store")
        first, second = lives
        first.log_on()
        first.order("ACME", "buy", 5, "99.00", t11="kept")
        first.wait_for(lambda: len(first.executions) == 1)
        numbers = first.next_out, int(tags(first.inbox[-1])[34]) + 1
        first.wait_for(lambda: first.next_in == numbers[1])
        first.kill()
        until(lambda: not next(s for s in venue.acceptor.sessions() if s["comp_id"] == "ALPHA2")["logged_on"])
        other = venue.logged_on("BRAVO1")
        ask(other, lambda: other.order("ACME", "sell", 2, "99.00"))

        second.log_on()
        second.wait_for(lambda: bool(second.executions), 30.0)
        fill = tags(second.inbox[0])
        assert (fill[11], fill[150], fill[32], int(fill[34])) == ("kept", "F", "2", numbers[1])
        assert second.next_out > numbers[0]
        second.cancel("kept", "ACME", "buy")
        second.wait_for(lambda: tags(second.inbox[-1])[150] == "4", 30.0)
        assert len(second.executions) == 2 and second.duplicates == 0, "and nothing that it knew already"
        second.log_out()
        assert complaints(lives) == []
    finally:
        for life in lives:
            life.end()
