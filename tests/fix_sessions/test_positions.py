"""Positions over FIX: balances and futures as the core has them, and every change of them to who subscribes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from cores import CommandKind
from fix_sessions.client import Broker, Pair
from tests.fix_sessions import rig
from tests.fix_sessions.rig import Venue, settle, tags

FUTURE = """
[[assets]]
id = 3
code = "CORNZ6"
scale = 0

[[instruments]]
id = 2
symbol = "CORNZ6"
base = "CORNZ6"
quote = "USD"
tick = "0.25"
lot = "1"
price_min = "300.00"
price_max = "900.00"
kind = "future"
multiplier = "50"
initial_margin_bp = 1000
maintenance_margin_bp = 600
position_max = 500
"""
NOW = "20260101-00:00:00"


@pytest.fixture
def venue(application: str, make_venue: Callable[..., Venue], monkeypatch: pytest.MonkeyPatch) -> Venue:
    """A venue that trades a future too."""
    monkeypatch.setattr(rig, "CONFIG", rig.CONFIG + FUTURE)
    return make_venue(application)


def report(message: object) -> dict[object, str]:
    """An AP with its amounts under their names."""
    found: dict[object, str] = {}
    kind = ""
    for tag, value in message.pairs:  # type: ignore[attr-defined]
        if int(tag) == 707:
            kind = value.decode()
        found[kind if int(tag) == 708 else int(tag)] = value.decode()
    return found


def told(broker: Broker, unsolicited: bool = False) -> list[dict[object, str]]:
    reports = [report(m) for m in broker.inbox if m.get(35) == b"AP"]
    return [r for r in reports if (r.get(325) == "Y") == unsolicited]


def ask(broker: Broker, name: str, kind: str = "0", msg_type: str = "AN", **fields: str) -> dict[int, str]:
    before = len(broker.inbox)
    body: list[Pair] = [(710, name), (724, kind), (60, NOW), *((int(t[1:]), v) for t, v in fields.items())]
    broker.send(msg_type, body)
    broker.wait_for(lambda: any(m.get(35) == b"AO" for m in broker.inbox[before:]))
    ack = next(tags(m) for m in broker.inbox[before:] if m.get(35) == b"AO")
    expected = int(ack[727])
    broker.wait_for(lambda: sum(r[710] == name for r in told(broker)) >= expected)
    settle(broker)
    return ack


def test_a_snapshot_is_the_cores(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    alpha.order("ACME", "sell", 40, "100.00")
    alpha.order("BOLT", "buy", "2.5", "10.000")
    settle(alpha)
    ack = ask(alpha, "all")
    assert (ack[728], ack[729], ack[727]) == ("0", "0", str(len(told(alpha))))
    found = {(int(r[1]), r[55]): r for r in told(alpha)}
    assets = {asset.code: asset for asset in venue.config.assets}
    for (account, code), line in found.items():
        balance, hold, credit = venue.engine.balance(account, assets[code].id)
        unit = Decimal(10) ** -assets[code].scale
        assert Decimal(line[704]) == Decimal(line["CASH"]) == balance * unit
        assert Decimal(line["CRES"]) == (balance + credit - hold) * unit
        assert line[167] == "CASH"
    assert set(found) == {(1, "USD"), (1, "ACME"), (1, "BOLT"), (3, "USD")}, "own accounts, what they have"
    assert found[1, "ACME"]["CRES"] == "999960"
    ask(alpha, "one", t1="3", t55="USD")
    assert [(r[1], r[55]) for r in told(alpha) if r[710] == "one"] == [("3", "USD")]
    assert ask(alpha, "none", t1="3", t55="BOLT")[728] == "2"


def test_the_user_defined_type_is_the_same_request(venue: Venue):
    """ROE-47"""
    alpha = venue.logged_on("ALPHA1")
    for name, msg_type in (("as-an", "AN"), ("as-uan", "UAN")):
        assert ask(alpha, name, msg_type=msg_type)[728] == "0"
        assert ask(alpha, f"{name}-wrong", "1", msg_type)[728] == "4"
    first, second = (
        [
            {tag: value for tag, value in r.items() if tag not in (34, 52, 9, 10, 710)}
            for r in told(alpha)
            if r[710] == name
        ]
        for name in ("as-an", "as-uan")
    )
    assert first == second and first
    ask(alpha, "changes", msg_type="UAN", t263="1")
    alpha.order("ACME", "sell", 1, "100.00")
    alpha.wait_for(lambda: any(r[710] == "changes" for r in told(alpha, True)))


def test_changes_and_a_margin_call_are_told(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    ask(alpha, "sub", t263="1")
    alpha.order("CORNZ6", "buy", 10, "500.00")
    bravo.order("CORNZ6", "sell", 10, "500.00")
    settle(bravo)

    def last(symbol: str) -> dict[object, str]:
        return next((r for r in reversed(told(alpha, True)) if r[55] == symbol), {})

    alpha.wait_for(lambda: last("CORNZ6").get(704) == "10")
    assert last("CORNZ6")["CASH"] == "25000.0000" and last("CORNZ6")[167] == "FUT"
    assert "MARGIN CALL" not in last("CORNZ6")[58]
    mark = {"kind": CommandKind.MARK, "symbol": 2, "price_ticks": 460 * 4, "body": b"verb=mark\x01"}
    venue.engine.call(**mark)
    alpha.wait_for(lambda: last("CORNZ6").get(730) == "460.00")
    assert last("CORNZ6")["FMTM"] == "-20000.0000"
    assert last("CORNZ6")[58] == "equity 5000.0000, margin needed 13800.0000"
    money = {"kind": CommandKind.WITHDRAW, "account": 1, "asset": 0, "body": b"verb=withdraw\x01"}
    balance, hold, _ = venue.engine.balance(1, 0)
    venue.engine.call(qty_lots=balance - hold, **money)
    venue.engine.call(kind=CommandKind.MARGIN, symbol=2, account=1, session=1, body=b"verb=margin\x01")
    alpha.wait_for(lambda: "MARGIN CALL" in last("CORNZ6").get(58, ""))
    count = len(told(alpha, True))
    ask(alpha, "sub", t263="2")
    alpha.order("ACME", "sell", 1, "100.00")
    settle(alpha)
    ask(alpha, "again")
    assert len(told(alpha, True)) == count
    assert not told(bravo)


def test_a_position_that_ends_is_told_once_more(venue: Venue):
    alpha, bravo = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    ask(bravo, "sub", t263="1", t55="CORNZ6")
    for first, second in ((alpha, bravo), (bravo, alpha)):
        first.order("CORNZ6", "buy", 2, "500.00")
        settle(first)
        second.order("CORNZ6", "sell", 2, "500.00")
        lots = "-2" if second is bravo else "0"
        tag = 705 if second is bravo else 704
        bravo.wait_for(
            lambda tag=tag, lots=lots: bool(told(bravo, True)) and told(bravo, True)[-1].get(tag) == lots.lstrip("-")
        )
    assert told(bravo, True)[-1][58] == "no position"


@pytest.mark.parametrize(
    ("kind", "fields", "result", "text"),
    [
        ("1", {}, "4", "PosReqType(724)"),
        ("0", {"t581": "3"}, "4", "AccountType(581)"),
        ("0", {"t1": "2"}, "3", "Account(1)"),
        ("0", {"t55": "ZZZ"}, "99", "Symbol(55)"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(
    venue: Venue, kind: str, fields: dict[str, str], result: str, text: str
):
    ack = ask(venue.logged_on("ALPHA1"), "x", kind, **fields)
    assert (ack[728], ack[729], ack[727]) == (result, "2", "0") and text in ack[58]


def test_subscriptions_are_bounded(venue: Venue):
    alpha = venue.logged_on("ALPHA1")
    for number in range(16):
        ask(alpha, f"s{number}", t263="1", t55="BOLT", t1="3")
    assert "16 subscriptions" in ask(alpha, "more", t263="1")[58]
