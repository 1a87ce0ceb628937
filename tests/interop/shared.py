"""What both engines' tests do alike: the page's cases, a spoilt venue, coming back by itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from fix_sessions.certification import FAILED, Stage, play
from tests.fix_sessions.certification_rig import ALPHA, BRAVO, BY_NAME, TERMS, Desk, Spoiler, changed
from tests.fix_sessions.rig import Venue, ask, tags, until
from tests.interop.initiator import QuickfixjBroker, QuickfixjStage

PAGE = Path(__file__).parent / "README.md"
ROW = re.compile(r"^\| (C\d\d)(?: to (C\d\d))? \| (session|steered|wire) \|", re.MULTILINE)
SPOILT = [
    ("C30", "102=1", "102=0", "tag 102 of 35=9 is 0, expected 1"),
    ("C35", "851=1", "851=2", "tag 851 of 35=8 is 2, expected 1"),
]
"""Case, what the venue says, what is made of it, what the case says then."""


def cases_in(text: str) -> list[str]:
    """The cases that a table of the page names, in its order."""
    return [
        f"C{number:02d}"
        for first, last, _ in ROW.findall(text)
        for number in range(int(first[1:]), int((last or first)[1:]) + 1)
    ]


def fails(venue: Venue, on: Callable[[Stage], QuickfixjStage], name: str, old: str, new: str, text: str) -> None:
    """Asserts that a case fails, and says why, when the venue answers wrongly."""
    spoiler = Spoiler(venue.acceptor.port, changed(old, new))
    at = on(Stage(("127.0.0.1", spoiler.port), "VENUE", ALPHA, TERMS, BRAVO, Desk(venue)))
    try:
        result = play(BY_NAME[name], at)
    finally:
        at.end()
        spoiler.close()
    assert (result.verdict, result.text.split(";")[0]) == (FAILED, text)


def comes_back(venue: Venue, broker: QuickfixjBroker) -> None:
    """A number set back and a lost line: the engine asks for the reports and logs on, nobody tells it to."""
    broker.settings["ReconnectInterval"] = "1"
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
