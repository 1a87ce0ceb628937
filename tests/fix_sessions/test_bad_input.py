"""Everything a sender can get wrong: a clear answer where the sender sees it, and nothing changed."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import simplefix

from fix_sessions.client import Broker, SessionLost
from tests.fix_sessions.rig import Venue, ask, rejected, settle, tags

NOW = "20260101-00:00:00"
NAMES = itertools.count(1)
GOOD: list[tuple[int, str]] = [(11, "name"), (55, "ACME"), (54, "1"), (38, "5"), (40, "2"), (44, "99.00"), (60, NOW)]


def raw_socket(venue: Venue) -> socket.socket:
    return socket.create_connection(("127.0.0.1", venue.acceptor.port), 10)


def read_all(connection: socket.socket, seconds: float = 15.0) -> list[dict[int, str]]:
    """Every message until the venue closes."""
    parser = simplefix.FixParser()
    connection.settimeout(seconds)
    while data := connection.recv(4096):
        parser.append_buffer(data)
    found = []
    while (message := parser.get_message()) is not None:
        found.append(tags(message))
    return found


def wire(
    broker: Broker, msg_type: str, body: list[tuple[int, str]], length: int | None = None, check: str = ""
) -> bytes:
    """A message with its number, and a BodyLength or CheckSum of one's choice."""
    header = [(35, msg_type), (49, broker.comp_id), (56, broker.venue), (34, str(broker.next_out)), (52, now())]
    broker.next_out += 1
    inner = b"".join(f"{tag}={value}\x01".encode() for tag, value in header + body)
    data = f"8=FIX.4.4\x019={len(inner) if length is None else length}\x01".encode() + inner
    return data + f"10={check or f'{sum(data) % 256:03d}'}\x01".encode()


def named(body: list[tuple[int, str]]) -> list[tuple[int, str]]:
    return [(tag, f"good-{next(NAMES)}" if (tag, value) == (11, "name") else value) for tag, value in body]


def now() -> str:
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime())


def replaced(tag: int, value: str | None) -> list[tuple[int, str]]:
    """The good order with one field changed, added, or left out; `named` makes its ClOrdID its own."""
    body = [(t, value if t == tag else v) for t, v in GOOD]
    if value is not None and tag not in {t for t, _ in GOOD}:
        body.append((tag, value))
    return [(t, v) for t, v in body if v is not None]


# ---- before the logon ----


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "must begin with 8=FIX.4.4"),
        (b"8=FIX.4.2\x019=5\x0135=A\x01", "must begin with 8=FIX.4.4"),
        (b"8=FIX.4.4\x019=999999999\x0135=A\x01", "BodyLength(9) must be"),
        (b"8=FIX.4.4\x019=99999\x0135=A\x01", "at most 8192 bytes"),
        (b"8=FIX.4.4\x019=-1\x0135=A\x01", "BodyLength(9) must be"),
        (b"8=FIX.4.4\x019=\x0135=A\x01", "BodyLength(9) must be"),
        (b"8=FIX.4.4\x019=5\x0135=A\x01xxxxxxxxxxxxxx", "no CheckSum(10) follows"),
        (b"8=FIX.4.4\x019=5\x0135=A\x0110=000\x01", "CheckSum(10) is 000"),
        (b"8=FIX.4.4\x019=5\x0134=1\x0110=163\x01", "MsgType(35) must be the message's third field"),
    ],
)
def test_no_fix(shared_venue: Venue, data: bytes, text: str):
    """ROE-1 ROE-23"""
    with raw_socket(shared_venue) as connection:
        connection.sendall(data)
        answers = read_all(connection)
    assert len(answers) == 1 and answers[0][35] == "5" and text in answers[0][58]


def test_no_logon_first(shared_venue: Venue):
    """ROE-1"""
    broker = shared_venue.broker("ALPHA1")
    with raw_socket(shared_venue) as connection:
        connection.sendall(wire(broker, "D", named(GOOD)))
        answers = read_all(connection)
    assert "the first message must be a Logon" in answers[0][58]
    assert shared_venue.engine.open_orders(0) == 0


def test_half_a_logon_is_not_waited_for_for_ever(venue: Venue):
    """ROE-4"""
    with raw_socket(venue) as connection:
        connection.sendall(b"8=FIX.4.4\x019=100\x0135=A\x0149=ALP")
        connection.settimeout(20)
        assert connection.recv(4096) == b"", "closed when the time for a logon is over"


def test_many_strangers_do_not_keep_a_broker_out(venue: Venue):
    strangers = [raw_socket(venue) for _ in range(300)]
    try:
        time.sleep(0.3)
        for stranger in strangers[-50:]:
            stranger.close()
        time.sleep(0.3)
        assert ask(broker := venue.logged_on("ALPHA1"), lambda: broker.order("ACME", "buy", 1, "99"))[150] == "0"
    finally:
        for stranger in strangers:
            stranger.close()


# ---- malformed messages of a session: each leaves the state as it was ----


def test_bad_checksum(shared_venue: Venue):
    """ROE-23"""
    broker = shared_venue.fresh("ALPHA1")
    before = shared_venue.root()
    data = wire(broker, "D", named(GOOD))
    wrong = data[:-4] + b"%03d\x01" % ((int(data[-4:-1]) + 1) % 256)
    answer = rejected(broker, lambda: broker.socket.sendall(wrong))  # type: ignore[union-attr]
    assert answer[373] == "99" and answer[372] == "D" and answer[45] == str(broker.next_out - 2)
    assert "CheckSum(10) is" in answer[58] and "was not processed" in answer[58]
    assert shared_venue.root() == before


@pytest.mark.parametrize("off", [-30, -1, 1, 30])
def test_bad_length(shared_venue: Venue, off: int):
    broker = shared_venue.fresh("ALPHA1")
    before = shared_venue.root()
    body = named(GOOD)
    good = wire(broker, "D", body)
    broker.next_out -= 1
    length = int(good.split(b"\x01")[1][2:])
    data = wire(broker, "D", body, length=length + off)
    answer = rejected(broker, lambda: broker.socket.sendall(data))  # type: ignore[union-attr]
    assert f"BodyLength(9) is {length + off}, the body has {length} bytes" in answer[58]
    assert shared_venue.root() == before


def test_absurd_length_ends_the_session(shared_venue: Venue):
    """ROE-37"""
    broker = shared_venue.fresh("ALPHA1")
    with pytest.raises(SessionLost, match="at most 8192 bytes"):
        broker.socket.sendall(wire(broker, "D", named(GOOD), length=99999))  # type: ignore[union-attr]
        broker.wait_for(lambda: False, 5)


def test_a_message_in_pieces(shared_venue: Venue):
    broker = shared_venue.fresh("ALPHA1")
    for byte in wire(broker, "D", named(GOOD)):
        broker.socket.sendall(bytes([byte]))  # type: ignore[union-attr]
    settle(broker)
    assert tags(broker.inbox[-1])[150] == "0"


@pytest.mark.parametrize(
    ("body", "tag", "code", "text"),
    [
        (replaced(11, None), "11", "1", "ClOrdID(11) in NewOrderSingle is required and missing"),
        (replaced(55, None), "55", "1", "Symbol(55)"),
        (replaced(54, None), "54", "1", "Side(54)"),
        (replaced(38, None), "38", "1", "OrderQty(38)"),
        (replaced(60, None), "60", "1", "TransactTime(60)"),
        (replaced(9999, "x"), "9999", "0", "tag 9999"),
        (replaced(210, "1"), "210", "0", "tag 210"),
        (replaced(434, "1"), "434", "2", "CxlRejResponseTo(434) in NewOrderSingle is not taken"),
        (replaced(38, "many"), "38", "6", "OrderQty(38) in NewOrderSingle is not of the field's type"),
        (replaced(38, "1e3"), "38", "6", "OrderQty(38)"),
        (replaced(44, "9.9.9"), "44", "6", "Price(44)"),
        (replaced(54, "x"), "54", "5", "Side(54)"),
        (replaced(54, "11"), "54", "6", "Side(54)"),
        (replaced(40, "?"), "40", "5", "OrdType(40)"),
        (replaced(60, "yesterday"), "60", "6", "TransactTime(60)"),
        (replaced(38, ""), "38", "4", "OrderQty(38) in NewOrderSingle has no value"),
        ([*GOOD, (38, "5")], "38", "13", "OrderQty(38) in NewOrderSingle appears more than once"),
        ([*GOOD, (50, "late")], "50", "14", "SenderSubID(50) in NewOrderSingle is out of order"),
        ([*GOOD, (453, "2"), (448, "A"), (452, "3")], "453", "16", "NoPartyIDs(453)"),
        (replaced(11, "c" * 40), "11", "5", "ClOrdID(11)"),
        (replaced(11, "c" * 4000), "11", "5", "ClOrdID(11)"),
    ],
)
def test_what_the_dictionary_refuses(shared_venue: Venue, body: list[tuple[int, str]], tag: str, code: str, text: str):
    """ROE-24 ROE-28"""
    broker = shared_venue.fresh("ALPHA1")
    before = shared_venue.root()
    answer = rejected(broker, lambda: broker.send("D", named(body)))
    assert (answer[371], answer[373], answer[372]) == (tag, code, "D")
    assert text in answer[58]
    assert shared_venue.root() == before
    assert ask(broker, lambda: broker.send("D", named(GOOD)))[150] == "0", "the session goes on"


def test_fields_that_are_no_fields(shared_venue: Venue):
    broker = shared_venue.fresh("ALPHA1")
    before = shared_venue.root()
    for junk in (b"junk\x01", b"=5\x01", b"x=5\x01", b"55\x01"):
        data = wire(broker, "D", [])
        inner = data[data.index(b"35=") : data.index(b"\x0110=") + 1] + junk
        data = b"8=FIX.4.4\x019=%d\x01" % len(inner) + inner
        data += b"10=%03d\x01" % (sum(data) % 256)
        answer = rejected(broker, lambda data=data: broker.socket.sendall(data))  # type: ignore[misc,union-attr]
        assert "malformed message" in answer[58]
    assert shared_venue.root() == before


def test_no_number(shared_venue: Venue):
    """ROE-23"""
    broker = shared_venue.fresh("ALPHA1")
    inner = b"35=0\x0149=ALPHA1\x0156=VENUE\x0134=x\x0152=%s\x01" % now().encode()
    data = b"8=FIX.4.4\x019=%d\x01" % len(inner) + inner
    with pytest.raises(SessionLost, match=r"MsgSeqNum\(34\) is missing or no number"):
        broker.socket.sendall(data + b"10=%03d\x01" % (sum(data) % 256))  # type: ignore[union-attr]
        broker.wait_for(lambda: False, 5)


def test_another_sessions_comp_id(venue: Venue):
    broker = venue.logged_on("ALPHA1")
    broker.comp_id = "BRAVO1"
    before = venue.root()
    with pytest.raises(SessionLost):
        broker.send("D", named(GOOD))
        broker.wait_for(lambda: False, 5)
    assert any("is not this session's" in tags(m).get(58, "") for m in broker.admin)
    assert venue.root() == before


def test_old_sending_time(venue: Venue):
    """ROE-21"""
    broker = venue.logged_on("ALPHA1")
    inner = b"35=0\x0149=ALPHA1\x0156=VENUE\x0134=2\x0152=20200101-00:00:00\x01"
    data = b"8=FIX.4.4\x019=%d\x01" % len(inner) + inner
    with pytest.raises(SessionLost):
        broker.socket.sendall(data + b"10=%03d\x01" % (sum(data) % 256))  # type: ignore[union-attr]
        broker.wait_for(lambda: False, 5)
    assert any("more than 120 seconds" in tags(m).get(58, "") for m in broker.admin)


@pytest.mark.parametrize(
    ("msg_type", "answer", "code"),
    [("V", "j", "3"), ("6", "j", "3"), ("Q", "j", "3"), ("8", "j", "3"), ("zz", "3", "11")],
)
def test_types_that_are_not_served(shared_venue: Venue, msg_type: str, answer: str, code: str):
    """ROE-26"""
    broker = shared_venue.fresh("ALPHA1")
    body: list[tuple[int, str]] = [(262, "x")]
    if msg_type == "V":
        body += [(263, "1"), (264, "1"), (267, "1"), (269, "0"), (146, "1"), (55, "ACME")]
    if msg_type == "8":
        body = [(37, "1"), (17, "1"), (150, "0"), (39, "0"), (55, "ACME"), (54, "1"), (151, "0"), (14, "0"), (6, "0")]
    number = broker.next_out
    broker.send(msg_type, list(body))
    settle(broker)
    found = [tags(m) for m in [*broker.inbox, *broker.admin] if m.get(35) == answer.encode()][-1]
    assert found[380 if answer == "j" else 373] == code
    assert found[372] == msg_type and msg_type in found[58] and found[45] == str(number)


# ---- orders that are well formed and cannot be taken: journaled, refused, in words ----


@pytest.mark.parametrize(
    ("tag", "value", "code", "text"),
    [
        (55, "NOPE", "1", "Symbol(55) is not traded here; traded are ACME BOLT"),
        (44, "99.005", "99", "not a multiple of the tick of ACME, 0.01"),
        (44, "49.99", "3", "from 50.00 to 150.00"),
        (44, "150.01", "3", "from 50.00 to 150.00"),
        (44, "0", "3", "from 50.00 to 150.00"),
        (44, "-99", "3", "from 50.00 to 150.00"),
        (44, "9" * 60, "3", "larger than any price"),
        (44, None, "11", "OrdType(40)=2 4 need Price(44)"),
        (38, "0", "13", "must be positive"),
        (38, "-5", "13", "must be positive"),
        (38, "1.5", "13", "not a multiple of the lot of ACME, 1"),
        (38, "9" * 60, "13", "larger than any order"),
        (38, str(2**40), "13", "larger than any order"),
        (38, str(10**11), "3", "not enough available"),
        (54, "5", "11", "Side(54) must be 1"),
        (40, "3", "11", "StopPx(99) with 40=3 4"),
        (59, "5", "11", "TimeInForce(59) 0 1 2 3 4 6 7"),
        (18, "M", "11", "ExecInst(18) 6 G"),
        (110, "6", "13", "MinQty(110) must not be above OrderQty(38)"),
        (1, "2", "15", "not one of this session's"),
        (1, "Robert'); DROP TABLE accounts;--", "15", "not one of this session's"),
    ],
)
def test_orders_that_are_refused(shared_venue: Venue, tag: int, value: str | None, code: str, text: str):
    """ROE-25 ROE-29 ROE-30"""
    venue = shared_venue
    broker = venue.fresh("ALPHA1")
    seq = venue.engine.last_seq
    before = venue.engine.balance(1, 0), venue.engine.open_orders(0)
    answer = ask(broker, lambda: broker.send("D", named(replaced(tag, value))))
    assert (answer[35], answer[150], answer[39], answer[103]) == ("8", "8", "8", code)
    assert text in answer[58]
    assert int(answer[37]) > 0, "a refused order has an OrderID too"
    assert venue.engine.last_seq == seq + 1, "and is in the journal"
    assert (venue.engine.balance(1, 0), venue.engine.open_orders(0)) == before


def test_post_only_that_would_trade(shared_venue: Venue):
    broker = shared_venue.fresh("ALPHA1")
    ask(broker, lambda: broker.order("ACME", "sell", 5, "100"))
    answer = ask(broker, lambda: broker.order("ACME", "buy", 5, "100", t18="6"))
    assert answer[150] == "8" and "post-only" in answer[58]


def test_cancels_that_are_refused(venue: Venue):
    """ROE-27 ROE-33"""
    broker, other = venue.logged_on("ALPHA1"), venue.logged_on("BRAVO1")
    order = broker.order("ACME", "buy", 5, "99")
    settle(broker)
    cases: list[tuple[Callable[[], Any], str, str]] = [
        (lambda: broker.cancel("nothing", "ACME", "buy"), "1", "names no order of this session"),
        (lambda: broker.cancel(order, "BOLT", "buy"), "99", "not that of the order"),
        (lambda: broker.cancel(order, "ACME", "sell"), "99", "not that of the order"),
        (lambda: broker.replace(order, "ACME", "buy", 5, "200"), "99", "from 50.00 to 150.00"),
        (lambda: broker.replace(order, "ACME", "buy", 5, "99.001"), "99", "tick of ACME"),
        (lambda: broker.replace(order, "ACME", "buy", 5, "98", t59="1"), "99", "a replace changes no 18 40 59"),
        (lambda: broker.replace(order, "ACME", "buy", 5, "98", t11=order), "6", "used before"),
    ]
    for send, code, text in cases:
        answer = ask(broker, send)
        assert (answer[35], answer[102]) == ("9", code)
        assert text in answer[58]
    assert ask(other, lambda: other.cancel(order, "ACME", "buy"))[37] == "NONE", "another session's order is unknown"
    ask(other, lambda: other.order("ACME", "sell", 5, "99"))
    settle(broker)
    answer = ask(broker, lambda: broker.cancel(order, "ACME", "buy"))
    assert (answer[35], answer[102], answer[39]) == ("9", "0", "2")
    assert "not open any more" in answer[58]


def test_status_and_mass_cancel(venue: Venue):
    """ROE-34 ROE-35"""
    broker = venue.logged_on("ALPHA1")
    order = broker.order("ACME", "buy", 5, "99")
    ask(broker, lambda: broker.order("BOLT", "buy", 5, "10"))
    answer = ask(broker, lambda: broker.request("H", [(11, order), (55, "ACME"), (54, "1"), (790, "q1")]))
    assert (answer[150], answer[39], answer[151], answer[790]) == ("I", "0", "5", "q1")
    answer = ask(broker, lambda: broker.request("H", [(11, "nothing"), (55, "ACME"), (54, "1")]))
    assert (answer[150], answer[37], answer[103]) == ("I", "NONE", "5")
    for body, text in (
        ([(530, "6")], "must be 1"),
        ([(530, "1")], "Symbol(55) is missing"),
        ([(530, "1"), (55, "NOPE")], "Symbol(55) is missing"),
        ([(530, "7"), (1, "2")], "not one of this session's"),
    ):
        answer = ask(broker, lambda body=body: broker.request("q", body))  # type: ignore[misc]
        assert answer[35] == "r" and answer[531] == "0" and text in answer[58]
    answer = ask(broker, lambda: broker.request("q", [(530, "1"), (55, "BOLT")]))
    assert (answer[35], answer[531], answer[533]) == ("r", "1", "1")
    answer = ask(broker, lambda: broker.request("q", [(530, "7")]))
    assert (answer[35], answer[531], answer[533]) == ("r", "7", "1")
    answer = ask(broker, lambda: broker.request("q", [(530, "7")]))
    assert (answer[35], answer[533]) == ("r", "0")
