"""The sandbox as its own process, traded by two QuickFIX/J clients, reconciled with the journal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.interop.initiator import Unavailable, classpath
from tests.interop.two_clients import MEMBERS, Welcome, of_the_journal, play
from venue.config import load

pytestmark = [pytest.mark.interop]


@pytest.mark.parametrize("application", ["native", pytest.param("python", marks=pytest.mark.slow)])
def test_two_clients_in_the_sandbox(application: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A living market, trades with each other, every scenario, a lost line, Logout, and the journal says the same."""
    try:
        classpath()
    except Unavailable as reason:
        pytest.skip(str(reason))
    monkeypatch.setenv("VENUE_FIX", application)
    said: list[str] = []
    counts = play(tmp_path / "sandbox", said.append)
    assert set(counts) == set(MEMBERS) and min(counts.values()) > 15
    assert Counter(text.split()[1] for text in said)["sold"] == 3
    journal = of_the_journal(load(tmp_path / "sandbox" / "venue.toml"))
    sold, bought = (
        {name.split("-")[0]: row[2:] for name, row in journal[comp_id].items() if row[0] == "F" and row[1] == "TEST"}
        for comp_id in MEMBERS
    )
    shared = sold.keys() & bought.keys()
    assert len(shared) >= 3 and all(sold[seq] == bought[seq] for seq in shared), "the two sides of a trade agree"


def test_what_the_sandbox_says_is_read():
    text = (
        "FIX 4.4 at 127.0.0.1:5005, TargetCompID VENUE; log on with one of\n"
        "  ALPHA1     username alpha    password a-b_c\n"
        "A market maker and a background flow trade ACME, BOLT (seed 7).\n"
    )
    assert Welcome.read(text) == Welcome("127.0.0.1", 5005, "VENUE", {"ALPHA1": ("alpha", "a-b_c")}, ["ACME", "BOLT"])
    with pytest.raises(AssertionError, match="no welcome"):
        Welcome.read("Traceback")
