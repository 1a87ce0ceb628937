"""The venue's dictionary: well formed, FIX 4.4's own words, and true of every message that the venue sends."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import quickfix

from fix_sessions.acceptor import dictionary_path
from fix_sessions.application import Application
from tests.fix_sessions.rig import Venue, ask, make_config, settle
from tests.fix_sessions.test_applications import flow

BACK_PORTED = {
    "OrderOrigination",
    "PartyRoleQualifier",
    "NoOrderAttributes",
    "OrderAttributeType",
    "OrderAttributeValue",
    "SelfMatchPreventionID",
    "SelfMatchPreventionInstruction",
    "DisplayIndicator",
    "DisplayQty",
    "ContingencyType",
    "TradeID",
    "ApplReportID",
    "ApplReportType",
    "ApplReqID",
    "ApplReqType",
    "ApplResendFlag",
    "ApplResponseType",
    "ApplTotalMessageCount",
    "SessionStatus",
    "AggressorSide",
    "ApplSeqNum",
    "ConflationInterval",
    "HighLimitPrice",
    "LowLimitPrice",
    "MaintenanceMarginRatio",
    "MaxTradeVol",
    "MinPriceIncrement",
    "MMProtectionReset",
    "UnsolicitedCancelType",
}
SERVED = {"D", "E", "F", "G", "H", "K", "M", "Z", "i", "q", "AD", "AF", "AN", "UAN"}
SENT = {"8", "9", "N", "b", "r", "j", "3", "AE", "AO", "AP", "AQ", "B"}
DROP_COPY = {"BW", "BX", "BY"}
MARKET_DATA = {"V", "W", "X", "Y", "c", "d", "e", "f", "g", "h", "x", "y"}
SESSION = {"0", "1", "2", "4", "5", "A"}


@pytest.fixture(scope="module")
def tree() -> ET.Element:
    return ET.parse(dictionary_path()).getroot()


def official() -> ET.Element:
    """FIX 4.4 as QuickFIX installs it."""
    for base in (sys.prefix, sys.base_prefix):
        path = Path(base) / "share" / "quickfix" / "FIX44.xml"
        if path.exists():
            return ET.parse(path).getroot()
    raise AssertionError("quickfix is installed without its specifications")


def test_messages_are_those_of_the_code(tree: ET.Element, tmp_path: Path):
    kinds = {message.get("msgtype") for message in tree.findall("messages/message")}
    assert kinds == SERVED | SENT | SESSION | MARKET_DATA | DROP_COPY
    served = Application(make_config(tmp_path)).served
    assert {kind.decode() for kind in served} == SERVED


def test_every_field_is_defined_once_and_used(tree: ET.Element):
    numbers = [int(field.get("number", "0")) for field in tree.findall("fields/field")]
    names = [field.get("name") for field in tree.findall("fields/field")]
    assert numbers == sorted(set(numbers)) and len(names) == len(set(names))
    used = {field.get("name") for part in ("header", "messages", "trailer") for field in tree.findall(f"{part}//field")}
    used |= {group.get("name") for group in tree.findall("messages//group")}
    assert used == set(names)


def test_fields_are_those_of_fix_but_for_the_back_ported(tree: ET.Element):
    known = {field.get("name"): field for field in official().findall("fields/field")}
    for field in tree.findall("fields/field"):
        name = str(field.get("name"))
        assert (name in known) != (name in BACK_PORTED), name
        if name in known:
            assert field.get("number") == known[name].get("number"), name
            assert field.get("type") == known[name].get("type"), name


def test_what_is_back_ported_is_marked():
    lines = dictionary_path().read_text().splitlines()
    for name in BACK_PORTED:
        found = [line for line in lines if f'name="{name}"' in line]
        assert found and all("back-ported" in line or "</" in line for line in found if "number=" in line), name


def test_every_message_that_is_sent_fits(make_venue, application: str):
    dictionary = quickfix.DataDictionary(str(dictionary_path()))
    venue = make_venue(application)
    raw: list[str] = []
    plain = venue.logged_on

    def spied(comp_id: str):
        broker = plain(comp_id)
        take = broker.on_message
        broker.on_message = lambda message: (raw.append(message.encode(raw=True).decode()), take(message))[1]
        return broker

    venue.logged_on = spied
    flow(venue, 5, 200)
    extra = spied_session(venue)
    raw += extra
    kinds = set()
    for text in raw:
        message = quickfix.Message(text, dictionary, True)
        dictionary.validate(message)
        kinds.add(message.getHeader().getField(35))
    assert kinds >= {"0", "2", "3", "8", "9", "j", "r", "N", "AO", "AP", "AQ", "AE"}, kinds


def spied_session(venue: Venue) -> list[str]:
    """The rarer messages: a business reject, a resend request, a gap fill."""
    broker = venue.brokers[0]
    raw: list[str] = []
    take = broker.on_message
    broker.on_message = lambda message: (raw.append(message.encode(raw=True).decode()), take(message))[1]  # type: ignore[method-assign]
    ask(broker, lambda: broker.send("6", [(23, "x")]))
    legs: list[tuple[int, str]] = []
    for number in ("1", "2"):
        legs += [(11, f"leg{number}"), (67, number), (55, "ACME"), (54, "1"), (38, "1"), (40, "2"), (44, f"6{number}")]
    broker.send("E", [(66, "list"), (1385, "1"), (68, "2"), (73, "2"), *legs])
    settle(broker)
    other = next(b for b in venue.brokers if b.comp_id == "BRAVO1")
    other.order("ACME", "sell", 1, "61.00")
    settle(other)
    broker.send("AF", [(584, "s"), (585, "7")])
    broker.send("AN", [(710, "p"), (724, "0"), (60, "20260101-00:00:00")])
    broker.send("AD", [(568, "t"), (569, "0")])
    broker.wait_for(lambda: {b"AE", b"8"} <= {m.get(35) for m in broker.inbox if m.get(912) == b"Y"})
    broker.send("K", [(66, "list"), (60, "20260101-00:00:00")])
    broker.next_out += 1
    settle(broker)
    broker.send("2", [(7, "1"), (16, "0")])
    settle(broker)
    return raw
