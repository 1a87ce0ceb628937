"""Certification cases of what the venue tells when it is asked: mass status, positions, trade captures."""

from __future__ import annotations

import time
from decimal import Decimal

from fix_sessions.certification import Case, Message, Stage, Told, expect, message_of, tell
from fix_sessions.certification_orders import COUNTERPART, rest_and_take
from fix_sessions.certification_sessions import name, saw
from fix_sessions.client import Pair

NOW = "20260101-00:00:00"
QUIET_SECONDS = 0.6
"""Longer than the venue takes to tell of a change."""
Positions = dict[tuple[str, str], dict[str, Decimal]]
"""(Account, asset or symbol) -> amounts by PosAmtType(707)."""


# ---- mass status ----


def statuses(stage: Stage, kind: str, **fields: str) -> list[Told]:
    """Sends an OrderMassStatusRequest(AF); what it was answered with."""
    broker, request = stage.broker, name(stage, "status")
    body: list[Pair] = [(584, request), (585, kind), *((int(tag[1:]), value) for tag, value in fields.items())]
    last = lambda m: m.get(584) == request and m.get(912) == "Y"  # noqa: E731
    found = stage.told(broker, lambda: broker.send("AF", body), last, "the last report of the mass status")
    return [message for message in found if message.get(584) == request]


def mass_status(stage: Stage) -> None:
    broker, terms = stage.broker, stage.terms
    orders = {stage.order(broker, side, 1, price)[37] for side, price in (("buy", terms.bid), ("sell", terms.offer))}
    for kind, fields in (("7", {}), ("1", {"t55": terms.symbol})):
        found = statuses(stage, kind, **fields)
        expect(len(found) == 2, f"two orders are open, and {len(found)} reports came")
        expect({message[37] for message in found} == orders, "the reports are not those of the open orders")
        for message, last in zip(found, ("N", "Y"), strict=True):
            tell(message, {150: "I", 39: "0", 911: "2", 912: last})
    sells = statuses(stage, "7", t54="2")
    expect([message[54] for message in sells] == ["2"], "Side(54) 2 was asked for, and it is not what came")
    stage.clean()
    none = statuses(stage, "7")[-1]
    tell(none, {37: "NONE", 39: "8", 911: "0"})
    refused = statuses(stage, "3")[-1]
    tell(refused, {37: "NONE", 911: "0"})
    expect("585" in refused.get(58, ""), f"Text(58) does not name MassStatusReqType(585): {refused.get(58)!r}")


# ---- positions ----


def ask_positions(stage: Stage, request: str, msg_type: str = "AN", kind: str = "0", **fields: str) -> list[Told]:
    """Sends a RequestForPositions; the acknowledgement (AO) and then its reports (AP)."""
    broker = stage.broker
    body: list[Pair] = [(710, request), (724, kind), (60, NOW), *((int(t[1:]), v) for t, v in fields.items())]
    came: list[Told] = []

    def all_there(message: Told) -> bool:
        """An AO says how many AP follow."""
        came.append(message)
        acks = [m for m in came if m.get(35) == "AO"]
        reports = {m[721] for m in came if m.get(35) == "AP"}
        return bool(acks) and len(reports) >= int(acks[0].get(727, "0"))

    wanted = lambda m: m.get(710) == request and m.get(325) != "Y" and all_there(m)  # noqa: E731
    found = stage.told(broker, lambda: broker.send(msg_type, body), wanted, "AO and all its AP")
    mine = [m for m in found if m.get(710) == request and m.get(325) != "Y"]
    return sorted(mine, key=lambda m: m[35])


def amounts(reports: list[Told]) -> Positions:
    """What PositionReports(AP) say."""
    found: Positions = {}
    for report in reports:
        entries = report.group(707)
        found[report[1], report.get(55, "")] = {entry[707]: Decimal(entry[708]) for entry in entries}
    return found


def positions(stage: Stage) -> None:
    holdings(stage, "AN")


def positions_user_defined(stage: Stage) -> None:
    holdings(stage, "UAN")


def holdings(stage: Stage, msg_type: str) -> None:
    terms = stage.terms
    ack, *reports = ask_positions(stage, name(stage, "before"), msg_type)
    tell(ack, {35: "AO", 728: "0", 729: "0", 727: str(len(reports))})
    expect(bool(reports), "no position at all: the session's accounts are empty")
    for report in reports:
        tell(report, {35: "AP", 728: "0", 724: "0", 727: str(len(reports))})
        expect(704 in report or 705 in report, "a PositionReport(AP) without LongQty(704) or ShortQty(705)")
    stage.order(stage.broker, "buy", 1, terms.bid)
    before = amounts(reports)
    after = amounts(ask_positions(stage, name(stage, "after"), msg_type)[1:])
    expect(before.keys() == after.keys(), "an order that only stands changed what positions there are")
    held = {key: before[key].get("CRES", Decimal(0)) - after[key].get("CRES", Decimal(0)) for key in before}
    expect(
        max(held.values()) >= terms.bid * terms.lot and sum(bool(each) for each in held.values()) == 1,
        f"an order to buy does not show in what is free, CRES: {[str(each) for each in held.values()]}",
    )
    expect(all(before[k]["CASH"] == after[k]["CASH"] for k in before), "an order that only stands changed a balance")
    refused = ask_positions(stage, name(stage, "refused"), msg_type, "1")[0]
    tell(refused, {35: "AO", 728: "4", 729: "2", 727: "0"})
    not_ours = ask_positions(stage, name(stage, "other"), msg_type, t1="65000")[0]
    tell(not_ours, {728: "3", 729: "2"})


def position_changes(stage: Stage) -> None:
    broker, request = stage.broker, name(stage, "changes")
    _, *reports = ask_positions(stage, request, t263="1")
    before = amounts(reports)

    def news() -> list[Told]:
        found = [message_of(m) for m in broker.inbox if m.get(35) == b"AP"]
        return [message for message in found if message.get(710) == request and message.get(325) == "Y"]

    rest_and_take(stage, 2, 2)

    def changed() -> bool:
        """Whether something was paid, and something got."""
        now = amounts(news())
        more = [value["CASH"] - before.get(key, {}).get("CASH", Decimal(0)) for key, value in now.items()]
        return any(each < 0 for each in more) and any(each > 0 for each in more)

    stage.wait(broker, changed, "unasked reports (AP) of what was paid and what was got")
    ended = ask_positions(stage, request, t263="2")[0]
    tell(ended, {35: "AO", 728: "0", 727: "0"})
    expect(58 not in ended, f"the subscription was not known: {ended.get(58)!r}")
    count = len(news())
    stage.order(broker, "buy", 1, stage.terms.bid)
    time.sleep(QUIET_SECONDS)
    stage.settle(broker)
    expect(len(news()) == count, "reports came after the subscription was ended")


# ---- trade captures ----


def ask_trades(stage: Stage, request: str, kind: str = "1", **fields: str) -> list[Told]:
    """Sends a TradeCaptureReportRequest(AD); its acknowledgement (AQ) and then the reports (AE) that answer it."""
    broker = stage.broker
    body: list[Pair] = [(568, request), (569, kind), *((int(t[1:]), v) for t, v in fields.items())]
    came: list[Told] = []

    def all_there(message: Told) -> bool:
        """An AQ says how many AE follow."""
        came.append(message)
        acks = [m for m in came if m.get(35) == "AQ"]
        reports = {m[571] for m in came if m.get(35) == "AE"}
        return bool(acks) and len(reports) >= int(acks[0].get(748, "0"))

    wanted = lambda m: m.get(568) == request and m.get(325) != "Y" and all_there(m)  # noqa: E731
    found = stage.told(broker, lambda: broker.send("AD", body), wanted, "AQ and all its AE")
    mine = [m for m in found if m.get(568) == request and m.get(325) != "Y"]
    return sorted(mine, key=lambda m: m[35], reverse=True)


def same_trade(report: Told, fill: Message) -> None:
    """A TradeCaptureReport(AE) says what the fill's ExecutionReport(8) said."""
    tags = (1, 11, 17, 31, 32, 37, 54, 55, 60, 527, 851)
    tell(report, {tag: fill[tag] for tag in tags} | {35: "AE", 571: fill[17], 570: "N", 150: "F"})


def trades(stage: Stage) -> None:
    _, fill = rest_and_take(stage, 3, 2)
    ack, *reports = ask_trades(stage, name(stage, "trades"), t37=fill[37])
    tell(ack, {35: "AQ", 749: "0", 750: "0", 748: "1"})
    expect(len(reports) == 1, f"one trade of the order, and {len(reports)} reports")
    same_trade(reports[0], fill)
    tell(reports[0], {912: "Y", 748: "1"})
    none, *reports = ask_trades(stage, name(stage, "later"), "0", t17=fill[17])
    tell(none, {749: "0", 750: "1", 748: "0"})
    expect(not reports, "trades came that were before the ExecID(17) that was given")


def later_trades(stage: Stage) -> None:
    broker, request = stage.broker, name(stage, "later")
    _, fill = rest_and_take(stage, 2, 2)
    tell(ask_trades(stage, request, "0", t17=fill[17], t263="1")[0], {749: "0", 750: "0"})

    def news() -> list[Told]:
        found = [message_of(m) for m in broker.inbox if m.get(35) == b"AE"]
        return [message for message in found if message.get(568) == request and message.get(325) == "Y"]

    _, fill = rest_and_take(stage, 2, 2)
    stage.wait(broker, lambda: bool(news()), "the unasked TradeCaptureReport(AE) of a trade")
    same_trade(news()[-1], fill)
    ended, *_ = ask_trades(stage, request, "0", t263="2")
    tell(ended, {749: "0", 750: "1"})
    expect(58 not in ended, f"the subscription was not known: {ended.get(58)!r}")
    rest_and_take(stage, 1, 1)
    time.sleep(QUIET_SECONDS)
    stage.settle(broker)
    expect(len(news()) == 1, "reports came after the subscription was ended")


def trades_refused(stage: Stage) -> None:
    for kind, fields, result in (
        ("3", {}, "8"),
        ("1", {"t55": "NO-SUCH-SYMBOL"}, "1"),
        ("1", {"t1": "65000"}, "9"),
        ("1", {"t17": "never"}, "99"),
    ):
        ack, *reports = ask_trades(stage, name(stage, "refused"), kind, **fields)
        tell(ack, {35: "AQ", 749: result, 750: "2"})
        expect(bool(ack.get(58)) and not reports, "a refusal without Text(58), or with reports")


STATUS_CASES = (Case("C56", "Mass status", (46,), mass_status, shown=lambda m: any(584 in x for x in m)),)
POSITION_CASES = (
    Case("C57", "Positions", (47,), positions, shown=saw(t35="AP")),
    Case("C58", "Positions, asked for as UAN", (47,), positions_user_defined),
    Case("C59", "Changes of positions", (47,), position_changes, COUNTERPART, shown=saw(t35="AP", t325="Y")),
)
TRADE_CASES = (
    Case("C60", "Trade captures", (48,), trades, COUNTERPART, shown=saw(t35="AE")),
    Case("C61", "Later trades, as they come", (48,), later_trades, COUNTERPART, shown=saw(t35="AE", t325="Y")),
    Case("C62", "Trade capture requests that are refused", (48,), trades_refused, shown=saw(t35="AQ", t750="2")),
)
