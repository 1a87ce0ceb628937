"""Certification: every case passes on a real venue with either application, and fails where a venue is broken."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from cores import CommandFlag, CommandKind, Limit, Phase
from fix_sessions.certification import PASSED, Party, Stage, Terms, play
from fix_sessions.certification_watch import CASES
from tests.fix_sessions.rig import PASSWORD, Venue

TERMS = Terms("ACME", Decimal("100.00"), Decimal("0.01"), Decimal(1))
ALPHA, BRAVO = Party("ALPHA1", "alpha", PASSWORD), Party("BRAVO1", "bravo", PASSWORD)
BY_NAME = {case.name: case for case in CASES}


class Desk:
    """The operator of a venue in this process."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    def phase(self, symbol: str, phase: str) -> None:
        self._call(kind=CommandKind.PHASE, symbol=0, ord_type=Phase[phase])

    def throttle(self, session: str, messages_per_second: int) -> None:
        self._call(kind=CommandKind.LIMIT, ord_type=Limit.MESSAGES, account=1, qty_lots=messages_per_second)

    def kill(self, session: str, on: bool) -> None:
        self._call(kind=CommandKind.LIMIT, ord_type=Limit.KILL_SESSION, session=1, qty_lots=int(on))
        if on:
            self._call(kind=CommandKind.MASS_CANCEL, flags=CommandFlag.BY_SESSION, symbol=0, account=1, session=1)

    def _call(self, **fields: int) -> None:
        self.venue.engine.call(body=b"verb=test\x01", **fields)


def stage(venue: Venue, port: int = 0, full: bool = True) -> Stage:
    address = ("127.0.0.1", port or venue.acceptor.port)
    return Stage(address, "VENUE", ALPHA, TERMS, BRAVO if full else None, Desk(venue) if full else None)


def test_numbers_are_in_order_and_rules_exist():
    assert [case.name for case in CASES] == [f"C{number:02d}" for number in range(1, len(CASES) + 1)]
    page = (Path(__file__).parents[2] / "spec" / "rules_of_engagement.md").read_text()
    rules = {int(number) for number in re.findall(r"\*\*ROE-(\d+)\*\*", page)}
    assert {number for case in CASES for number in case.rules} <= rules


def test_every_case_passes_and_leaves_nothing(venue: Venue):
    """ROE-2 ROE-3 ROE-5 ROE-10 ROE-11 ROE-12 ROE-18 ROE-20 ROE-31 ROE-33 ROE-35 ROE-36 ROE-38 ROE-40"""
    at = stage(venue)
    results = [play(case, at) for case in CASES]
    at.clean()
    at.close()
    assert {r.case.name: r.text for r in results if r.verdict != PASSED} == {}
    assert venue.engine.open_orders(0) == 0
    assert all(result.evidence for result in results)
    assert not any("correct horse" in line for result in results for line in result.evidence), "no password"
