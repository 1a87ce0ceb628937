"""QuickFIX/J as the client: every certification case, on both applications, and its own ways of coming back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fix_sessions.certification import FAILED, PASSED, play
from fix_sessions.certification_watch import CASES, watch
from tests.fix_sessions.certification_rig import ALPHA, BRAVO, BY_NAME, TERMS, Desk, Spoiler, changed
from tests.fix_sessions.rig import PASSWORD, Venue, ask, tags, until
from tests.interop.initiator import QuickfixjBroker, QuickfixjStage, Unavailable, classpath

pytestmark = [pytest.mark.interop]
PAGE = Path(__file__).parent / "README.md"
ROW = re.compile(r"^\| (C\d\d)(?: to (C\d\d))? \| (session|steered|wire) \|", re.MULTILINE)
LAST = 42
"""The later cases are in `test_players.py`."""
NOT_IN_THE_STORE = {"C07", "C10", "C11", "C16", "C19"}
"""Cases that a later reset of the numbers takes from the session's store."""


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    try:
        classpath()
    except Unavailable as reason:
        pytest.skip(str(reason))


def stage(venue: Venue, port: int = 0) -> QuickfixjStage:
    address = ("127.0.0.1", port or venue.acceptor.port)
    return QuickfixjStage(address, "VENUE", ALPHA, TERMS, BRAVO, Desk(venue))


@pytest.fixture
def at(venue: Venue) -> Iterator[QuickfixjStage]:
    found = stage(venue)
    yield found
    found.end()


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
    """The cases that the page says QuickFIX/J plays on a venue with order entry alone, in its order."""
    return [
        f"C{number:02d}"
        for first, last, _ in ROW.findall(PAGE.read_text().partition(" with quickfix-go as the client")[0])
        for number in range(int(first[1:]), int((last or first)[1:]) + 1)
        if number <= LAST
    ]


def test_the_page_has_each_case_once():
    told = of_the_page()
    assert told and told == [case.name for case in CASES][: len(told)]


def test_every_case_passes(venue: Venue, at: QuickfixjStage):
    """ROE-2 ROE-3 ROE-5 ROE-10 ROE-11 ROE-12 ROE-18 ROE-20 ROE-31 ROE-33 ROE-35 ROE-36 ROE-38 ROE-40"""
    results = [play(BY_NAME[name], at) for name in of_the_page()]
    assert {r.case.name: (r.text, r.evidence[-6:]) for r in results if r.verdict != PASSED} == {}
    assert all(result.evidence for result in results)
    at.clean()
    at.close()
    assert venue.engine.open_orders(0) == 0
    assert complaints(at.all) == []


def test_watching_sees_what_quickfixj_showed(venue: Venue, at: QuickfixjStage):
    names = [name for name in of_the_page() if BY_NAME[name].shown and name not in NOT_IN_THE_STORE]
    assert {name: play(BY_NAME[name], at).text for name in names} == dict.fromkeys(names, "as the rules say")
    at.close()
    shown = {r.case.name for r in watch(venue.data_dir / "fix" / "session-1.store") if r.verdict == PASSED}
    assert set(names) <= shown


@pytest.mark.parametrize(
    ("name", "old", "new", "text"),
    [
        ("C30", "102=1", "102=0", "tag 102 of 35=9 is 0, expected 1"),
        ("C35", "851=1", "851=2", "tag 851 of 35=8 is 2, expected 1"),
    ],
)
@pytest.mark.parametrize("application", ["native"])
def test_a_broken_venue_fails_the_case(venue: Venue, name: str, old: str, new: str, text: str):
    spoiler = Spoiler(venue.acceptor.port, changed(old, new))
    found = stage(venue, spoiler.port)
    try:
        result = play(BY_NAME[name], found)
    finally:
        found.end()
        spoiler.close()
    assert (result.verdict, result.text.split(";")[0]) == (FAILED, text)


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
    """A number set back and a lost line: QuickFIX/J asks for the reports and logs on, nobody tells it to. ROE-12"""
    broker = QuickfixjBroker("127.0.0.1", venue.acceptor.port, "ALPHA2", "alpha2", PASSWORD)
    broker.settings["ReconnectInterval"] = "1"
    try:
        broker.log_on()
        first = broker.order("ACME", "buy", 5, "99.00")
        broker.wait_for(lambda: len(broker.executions) == 1)
        report = tags(broker.inbox[-1])
        broker.wait_for(lambda: broker.next_in == int(report[34]) + 1)  # counted after it was given to the application
        broker.next_in = int(report[34])
        broker.order("ACME", "buy", 5, "98.00")
        broker.wait_for(lambda: len(broker.inbox) == 3, 30.0)
        again = next(tags(m) for m in broker.inbox[1:] if m.get(11) == first.encode())
        assert (again[34], again[17], again[43]) == (report[34], report[17], "Y"), "the very report again"
        assert broker.duplicates == 1

        other = venue.logged_on("BRAVO1")
        broker.tell("cut")
        broker.wait_for(lambda: not broker.logged_on)
        ask(other, lambda: other.order("ACME", "sell", 1, "99.00"))
        broker.wait_for(lambda: broker.ups == 2, 30.0)
        broker.wait_for(lambda: any(m.get(150) == b"F" and m.get(32) == b"1" for m in broker.inbox), 30.0)
        broker.log_out()
        until(lambda: not next(s for s in venue.acceptor.sessions() if s["comp_id"] == "ALPHA2")["logged_on"])
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
