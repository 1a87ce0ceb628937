"""quickfix-go as the client: every certification case on a venue with all its gateways, and its own ways."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fix_sessions.certification import PASSED, Stage, play
from fix_sessions.certification_cases import CASES
from tests.fix_sessions.certification_rig import (
    ALPHA,
    BRAVO,
    BY_NAME,
    TERMS,
    Desk,
    Spoiler,
    Whole,
    agreed_hours,
    changed,
    with_hours,
)
from tests.fix_sessions.rig import PASSWORD, Venue
from tests.interop.initiator import Unavailable
from tests.interop.quickfixgo import QuickfixgoBroker, QuickfixgoStage, binary
from tests.interop.shared import PAGE, SPOILT, cases_in, comes_back, fails

pytestmark = [pytest.mark.interop]
HOURS = "C78"
TITLE = "## The certification cases with quickfix-go as the client"


def on(at: Stage) -> QuickfixgoStage:
    """The same stage with quickfix-go for every session."""
    parties = (at.party, at.terms, at.counterpart, at.operator, at.cancels_on_disconnect)
    return QuickfixgoStage(at.address, at.venue, *parties, at.market_data, at.drop_copy, at.agreed)


def of_the_page() -> list[str]:
    """The cases that the page says quickfix-go plays, in its order."""
    return cases_in(PAGE.read_text().partition(TITLE)[2])


@pytest.fixture(autouse=True)
def _built(request: pytest.FixtureRequest) -> None:
    if request.node.name == "test_without_go_it_is_said":
        return
    try:
        binary()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def go(venue: Venue) -> Iterator[QuickfixgoBroker]:
    broker = QuickfixgoBroker("127.0.0.1", venue.acceptor.port, "ALPHA2", "alpha2", PASSWORD)
    yield broker
    broker.end()


def complaints(brokers: list[QuickfixgoBroker]) -> list[str]:
    """Where the engine found a message of the venue's wrong, or could not do what it was told."""
    rejects = [line for b in brokers for line in b.record if line.startswith("> ") and re.search(r"\|35=[3j]\|", line)]
    return [
        *rejects,
        *(event for b in brokers for event in b.events if event.startswith("! ") or "Parse Error" in event),
    ]


@pytest.mark.parametrize("application", ["native", pytest.param("python", marks=pytest.mark.slow)])
def test_every_case_passes(application: str, tmp_path: Path):
    """ROE-2 to ROE-54, those of the cases"""
    whole = Whole(tmp_path, application)
    at = on(whole.stage)
    names = [name for name in of_the_page() if "hours" not in BY_NAME[name].needs]
    try:
        results = [play(BY_NAME[name], at) for name in names]
        assert {r.case.name: (r.text, r.evidence[-6:]) for r in results if r.verdict != PASSED} == {}
        assert all(result.evidence for result in results)
        at.clean()
        at.close()
        assert whole.venue.engine.open_orders(0) == 0
        assert complaints(at.all) == []
    finally:
        at.end()
        whole.close()


def test_the_page_has_each_case_once():
    assert of_the_page() == [case.name for case in CASES]


@pytest.mark.slow
def test_the_end_of_the_hours(tmp_path: Path):
    """ROE-7"""
    now = datetime.now(UTC)
    start, end = (f"{now + timedelta(seconds=seconds):%H:%M:%S}" for seconds in (-3600, 12))
    venue = Venue(tmp_path, "native", "none", **with_hours(start, end))
    at = on(
        Stage(("127.0.0.1", venue.acceptor.port), "VENUE", ALPHA, TERMS, BRAVO, Desk(venue), agreed=agreed_hours(venue))
    )
    try:
        result = play(BY_NAME[HOURS], at)
        assert (result.verdict, result.text) == (PASSED, "as the rules say")
    finally:
        at.end()
        venue.close()


@pytest.mark.parametrize(("name", "old", "new", "text"), SPOILT)
@pytest.mark.parametrize("application", ["native"])
def test_a_broken_venue_fails_the_case(venue: Venue, name: str, old: str, new: str, text: str):
    fails(venue, on, name, old, new, text)


@pytest.mark.parametrize("application", ["native"])
def test_quickfixgo_would_complain(go: QuickfixgoBroker, venue: Venue):
    """The check of its complaints can fail: an ExecType(150) that the dictionary has not."""
    spoiler = Spoiler(venue.acceptor.port, changed("150=0", "150=Q"))
    go.port = spoiler.port
    try:
        go.log_on()
        go.order("ACME", "buy", 5, "99.00")
        go.wait_for(lambda: bool(complaints([go])))
        assert "371=150" in complaints([go])[0] and not go.inbox
    finally:
        spoiler.close()


def test_quickfixgo_comes_back_and_asks_by_itself(go: QuickfixgoBroker, venue: Venue):
    """ROE-12"""
    comes_back(venue, go)
    assert complaints([go]) == []


def test_without_go_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(Unavailable, match="install Go"):
        binary()
