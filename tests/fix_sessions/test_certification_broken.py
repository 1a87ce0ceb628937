"""Every certification case fails where the venue does not do what it is about: a spoiler changes what the venue says.

One row a case, some with more. A case without a row is an error, so that a check that cannot fail does not come in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cores import Reason
from fix_sessions import certification
from fix_sessions.certification import FAILED, PASSED, Stage, play
from fix_sessions.reasons import WORDS
from tests.fix_sessions.certification_rig import (
    ALPHA,
    BY_NAME,
    MESSAGES_PER_SECOND,
    TERMS,
    Eager,
    FromSecond,
    Last,
    Second,
    Spoil,
    Spoiler,
    Whole,
    accepted,
    agreed_hours,
    also,
    both,
    changed,
    lacking,
    late,
    never,
    numbered,
    one_execution,
    raced,
    twice,
    untouched,
    with_hours,
    within,
    worded,
)
from tests.fix_sessions.rig import Venue

WAITED = {
    "did not come",
    "reports of both orders",
    "the cancel of the order of the session that was cut",
    "one report for each of the 20 orders",
    "the unasked b of the protection",
    "the end of the list",
    "the move of the pegged order",
    "unasked reports (AP)",
    "the unasked TradeCaptureReport",
}
"""Where the case waits for what does not come: not for long."""


SPOILT: tuple[tuple[str, Spoil, str], ...] = (
    ("C01", changed("35=5", "35=0"), "not answered"),
    ("C02", accepted("unknown SenderCompID"), "the Logon was accepted"),
    ("C03", accepted("HeartBtInt(108)"), "the Logon was accepted"),
    ("C04", accepted("already logged on"), "the Logon was accepted"),
    ("C05", accepted("is not taken in a Logon"), "the Logon was accepted"),
    ("C06", changed("112=are you there", "112=who are you"), "did not come"),
    ("C07", changed("35=1", "35=0"), "without a TestRequest"),
    ("C08", changed("43=Y", "43=N"), "tag 43"),
    ("C08", never("8", "43=Y"), "did not come again"),
    ("C08", lacking("8", 122), "no OrigSendingTime"),
    ("C09", never("2"), "reports of both orders"),
    ("C09", lambda m: m.replace(b"\x0111=first-", b"\x0111=other-"), "done in another order"),
    ("C10", worded("too low", "too odd"), "the session was ended with"),
    ("C11", late(), "after the reset a report has MsgSeqNum(34)"),
    ("C12", changed("103=6", "103=99"), "tag 103 of 35=8 is 99, expected 6"),
    ("C12", Last("8"), "was done again"),
    ("C13", also("3", "8"), "answered with a report"),
    ("C13", changed("373=99", "373=5"), "tag 373"),
    ("C14", changed("371=38", "371=44"), "tag 371"),
    ("C15", changed("380=3", "380=0"), "tag 380"),
    ("C16", changed("373=10", "373=9"), "tag 373"),
    ("C16", never("3"), "no Reject(35=3) came"),
    ("C17", changed("150=4", "150=C"), "the cancel of the order of the session that was cut"),
    ("C18", changed("150=0", "150=A"), "one report for each of the 20 orders"),
    ("C19", one_execution, "reported twice"),
    ("C19", numbered("A", 1), "the numbers do not go on"),
    ("C20", changed("150=0", "150=A"), "tag 150 of 35=8 is A, expected 0"),
    ("C21", changed("59=1", "59=0"), "tag 59"),
    ("C22", changed("59=6", "59=0"), "tag 59"),
    ("C23", changed("39=4", "39=2"), "tag 39"),
    ("C24", changed("14=0", "14=1"), "tag 14"),
    ("C25", changed("40=4", "40=2"), "tag 40"),
    ("C26", changed("111=2", "111=3"), "tag 111"),
    ("C27", changed("18=6", "18=G"), "tag 18"),
    ("C28", changed("150=4", "150=0"), "tag 150"),
    ("C29", changed("103=15", "103=99"), "tag 103 of 35=8 is 99, expected 15"),
    ("C30", changed("102=1", "102=0"), "tag 102"),
    ("C31", changed("150=5", "150=0"), "tag 150"),
    ("C32", changed("39=0", "39=1"), "tag 39"),
    ("C33", changed("533=3", "533=2"), "tag 533"),
    ("C34", changed("150=4", "150=F"), "traded with each other"),
    ("C35", changed("851=1", "851=2"), "tag 851"),
    ("C36", changed("39=2", "39=1"), "tag 39"),
    ("C37", changed("851=2", "851=1"), "tag 851"),
    ("C38", changed("434=2", "434=1"), "tag 434"),
    ("C39", raced, "expected"),
    ("C40", changed("103=3", "103=99"), "tag 103"),
    ("C40", Second("8", "150=0", f"150=8\x01103=3\x0158={WORDS[Reason.REJECT_THROTTLED].text}"), "fewer orders"),
    ("C40", changed("150=8", "150=0"), "none was refused"),
    ("C41", changed("103=2", "103=99"), "tag 103"),
    ("C42", changed("103=0", "103=99"), "tag 103"),
    ("C43", changed("297=0", "297=5"), "tag 297"),
    ("C43", changed("44=90.01", "44=90.00"), "has the old price"),
    ("C43", changed("297=0", "297=0\x01368=99"), "an entry was refused"),
    ("C44", changed("299=good", "299=good\x01368=99"), "the good entry was refused"),
    ("C44", changed("368=8", "368=99"), "tag 368"),
    ("C45", changed("297=9", "297=17"), "tag 297"),
    ("C46", changed("299=e", "299=f", "8"), "tag 299"),
    ("C47", never("b", "297=6"), "the unasked b of the protection"),
    ("C47", changed("368=9", "368=99"), "tag 368"),
    ("C48", changed("431=3", "431=2"), "tag 431"),
    ("C49", changed("84=2", "84=1"), "CxlQty(84)"),
    ("C50", changed("429=5", "429=2"), "the end of the list"),
    ("C51", changed("431=7", "431=3"), "tag 431"),
    ("C52", changed("150=0", "150=8"), "tag 150"),
    ("C53", changed("380=0", "380=3"), "tag 380"),
    ("C54", changed("378=3", "378=5"), "tag 378"),
    ("C54", changed("44=90.04", "44=90.05"), "the move of the pegged order"),
    ("C54", changed("44=100.00", "44=100.01"), "pegged to the middle"),
    ("C55", changed("103=99", "103=0"), "tag 103"),
    ("C56", changed("911=2", "911=3"), "tag 911"),
    ("C56", within("584=", 37, "77"), "not those of the open orders"),
    ("C57", both(never("AP"), within("728=0", 727, "0")), "no position at all"),
    ("C57", changed("707=CRES", "707=CASH"), "does not show in what is free"),
    ("C58", changed("728=4", "728=0"), "tag 728"),
    ("C58", changed("728=0", "728=2", "AP"), "tag 728"),
    ("C59", changed("325=Y", "325=N"), "unasked reports (AP)"),
    ("C59", Second("AO", "728=0", "728=2"), "tag 728"),
    ("C59", Second("AO", "727=0", "727=0\x0158=what"), "was not known"),
    ("C59", Last("AP"), "reports came after"),
    ("C60", changed("570=N", "570=Y"), "tag 570"),
    ("C60", changed("31=100.00", "31=100.01", "AE"), "tag 31"),
    ("C61", never("AE", "325=Y"), "the unasked TradeCaptureReport"),
    ("C60", FromSecond("AQ", also("AQ", "AE")), "trades came that were before"),
    ("C61", changed("749=0", "749=1"), "tag 749"),
    ("C61", Second("AQ", "750=1", "750=0"), "tag 750"),
    ("C61", Second("AQ", "749=0", "749=0\x0158=what"), "was not known"),
    ("C61", Last("AE"), "reports came after"),
    ("C62", changed("749=8", "749=0"), "tag 749"),
    ("C63", changed("279=0", "279=1"), "MDUpdateAction(279)"),
    ("C63", Second("X", "83=[0-9]+", "83=9999"), "RptSeq(83) is 9999"),
    ("C63", changed("269=J", "269=0\x01270=90.00\x01271=5"), "somebody has an order"),
    ("C64", changed("2446=2", "2446=1"), "tag 2446"),
    ("C64", twice("X"), "RptSeq(83)"),
    ("C64", Eager(), "the trade came 4 times"),
    ("C65", Second("W", "83=[0-9]+", "83=9999"), "tag 83"),
    ("C65", Second("W", "271=[0-9]+", "271=77"), "not what the subscription held"),
    ("C66", changed("281=5", "281=0"), "tag 281"),
    ("C66", Last("W"), "updates came after the subscription was ended"),
    ("C67", changed("969=0.01", "969=0.05"), "MinPriceIncrement(969)"),
    ("C68", changed("326=17", "326=18"), "tag 326"),
    ("C69", changed("326=2", "326=17"), "tag 326"),
    ("C70", Eager(50), "updates, conflated to at most"),
    ("C71", changed("797=Y", "797=N"), "tag 797"),
    ("C71", changed("39=4", "39=C", "8"), "tag 39"),
    ("C71", twice("8", "797=Y"), "came 2 times"),
    ("C71", changed("35=9", "35=j"), "tag 35"),
    ("C72", changed("1352=Y", "1352=N"), "the replay is not what came after"),
    ("C73", changed("1348=1", "1348=0"), "tag 1348"),
    ("C74", changed("380=0", "380=3"), "tag 380"),
    ("C74", worded("throttled", "slow"), "Text(58) is"),
    ("C74", within("35=5", 58, "bye"), "the session was ended with 'bye'"),
    ("C74", changed("39=4", "39=0"), "tag 39"),
    ("C75", changed("33=1", "33=2"), "tag 33"),
    ("C76", worded("Certification: log on again", "Bye"), "the session was ended with 'Bye'"),
    ("C76", numbered("A", 1), "the numbers do not go on"),
    ("C77", numbered("A", 0), "not answered in its turn"),
    ("C77", late("0"), "in the new generation a report has MsgSeqNum(34)"),
    ("C78", worded("hours have ended", "venue has closed"), "the session was ended with"),
)


def test_every_case_is_shown_failing():
    assert sorted({name for name, _, _ in SPOILT}) == sorted(BY_NAME)


def rows() -> Iterator[object]:
    """The rows but that of the hours; the longer ones of the throttle are slow."""
    for number, (name, spoil, text) in enumerate(SPOILT):
        slow = name == "C74" and text != "tag 380"
        if name != "C78":
            yield pytest.param(name, spoil, text, marks=[pytest.mark.slow] if slow else [], id=f"{name}-{number}")


@pytest.mark.parametrize(("name", "spoil", "text"), list(rows()))
def test_a_broken_venue_fails_the_case(
    whole: Whole, name: str, spoil: Spoil, text: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(certification, "ANSWER_SECONDS_MAX", 2.0 if text in WAITED else 10.0)
    result = whole.play(BY_NAME[name], spoil)
    assert (result.verdict, text in result.text) == (FAILED, True), result.text


def test_a_venue_that_lets_more_through_than_agreed_fails(whole: Whole):
    result = whole.play(BY_NAME["C74"], untouched, throttle=MESSAGES_PER_SECOND // 10)
    assert result.verdict == FAILED and "none was refused" in result.text


@pytest.mark.parametrize("spoilt", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_end_of_the_hours(tmp_path: Path, spoilt: bool):
    """ROE-7"""
    now = datetime.now(UTC)
    start, end = (f"{now + timedelta(seconds=seconds):%H:%M:%S}" for seconds in (-3600, 3))
    venue = Venue(tmp_path, "native", "none", **with_hours(start, end))
    spoiler = Spoiler(venue.acceptor.port)
    name, spoil, text = SPOILT[-1]
    spoiler.spoil = spoil if spoilt else None
    try:
        result = play(
            BY_NAME[name], Stage(("127.0.0.1", spoiler.port), "VENUE", ALPHA, TERMS, agreed=agreed_hours(venue))
        )
    finally:
        spoiler.close()
        venue.close()
    assert (result.verdict, text in result.text) == ((FAILED, True) if spoilt else (PASSED, False)), result.text
    assert time.time() >= now.timestamp() + 2
