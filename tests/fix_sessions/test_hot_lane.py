"""The hot lane changes nothing but speed: with it and without it, the same bytes go out and the same is journaled.

Two venues get the same raw bytes, sound and wounded; one serves every message through QuickFIX.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fix_sessions.rig import PASSWORD, USERS, Venue, settle, tags, until, written

SOH = "\x01"
COMP_ID = "BRAVO1"  # its orders stay when it leaves
BLANK = {b"52", b"60", b"10"}
NOW = "now"
TRANSACT = "20260101-00:00:00.000"

ODD_VALUES = ["", " ", "x", "0", "1", "2", "3", "6", "G", "6 6", "6 G", "-1", "+1", "1e3", ".5", "7.", "00012", "1.5.2"]
ODD_VALUES += ["9" * 33, "a\x00b", "\xe9", "z" * 40, "20260230-25:61:61", "20260131-23:59:60", "20260131-12:00:00.1234"]
ODD_VALUES += ["99.505", "100.00", "2000000000", "A", "P", "100 ", "=", "1=2", "10=000"]
ODD_TAGS = [1, 10, 11, 18, 21, 34, 35, 38, 40, 41, 43, 44, 49, 52, 54, 55, 57, 58, 59, 60, 97, 110, 122]
ODD_TAGS += [447, 448, 452, 453, 528, 529, 583, 1023, 1024, 1724, 2593, 4999, 100000]
BODIES = {
    "D": {11: "", 55: "ACME", 54: "1", 60: TRANSACT, 38: "5", 40: "2", 44: "99.50"},
    "F": {41: "", 11: "", 55: "ACME", 54: "1", 60: TRANSACT},
    "G": {41: "", 11: "", 55: "ACME", 54: "1", 60: TRANSACT, 38: "4", 40: "2", 44: "99.51"},
}
OTHERS = {
    "0": [],
    "1": [(112, "x")],
    "H": [(11, "c1"), (55, "ACME"), (54, "1")],
    "q": [(11, "m"), (530, "7"), (60, TRANSACT)],
}
NAMES = st.integers(0, 60).map(lambda n: f"c{n}")
SEQUENCE = ["next"] * 40 + ["ahead"] * 4 + ["far"] * 4 + ["skipped", "repeated", "repeated dup"]
HEADERS = ["plain"] * 30 + [
    "shuffled",
    "sub",
    "resend",
    "dup",
    "sender",
    "target",
    "stale",
    "near",
    "time",
    "zero",
    "twice",
]


@dataclass
class Request:
    kind: str
    body: list[tuple[int | str, str]]
    number: str
    header: str


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """An order, a cancel, a replace, rarely something else; mostly sound, often with a wound or two."""
    kind = draw(st.sampled_from("DDDDDFFGG01Hq"))
    if kind in OTHERS:
        return Request(kind, list(OTHERS[kind]), draw(st.sampled_from(SEQUENCE)), "plain")
    fields = dict(BODIES[kind])
    for tag in {11, 41} & set(fields):
        fields[tag] = draw(NAMES)
    fields[54] = draw(st.sampled_from("1112225"))
    if kind != "F":
        fields[44] = draw(st.sampled_from(["99.50", "99.51", "100", "100.10", "99.49"]))
        fields[40] = draw(st.sampled_from("2222213"))
    for tag, values in {1: "22213", 18: "6", 59: "01346", 21: "1", 58: "a", 528: "AP", 583: "z", 110: "1"}.items():
        if draw(st.integers(0, 7)) == 0:
            fields[tag] = draw(st.sampled_from(values))
    body: list[tuple[int | str, str]] = list(fields.items())
    if draw(st.booleans()):
        body = draw(st.permutations(body))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        wound(draw, body)
    return Request(kind, body, draw(st.sampled_from(SEQUENCE)), draw(st.sampled_from(HEADERS)))


def wound(draw: st.DrawFn, body: list[tuple[int | str, str]]) -> None:
    at = draw(st.integers(0, max(len(body) - 1, 0)))
    match draw(st.integers(0, 6)):
        case 0 if body:
            del body[at]
        case 1 if body:
            body.append(body[at])
        case 2 | 3 if body:
            body[at] = (body[at][0], draw(st.sampled_from(ODD_VALUES)))
        case 4 if body:
            body[at] = (f"0{body[at][0]}", body[at][1])
        case 5:
            body[at:at] = [(453, "1"), (448, "P"), (452, draw(st.sampled_from(["3", "99"])))]
        case _:
            body.insert(at, (draw(st.sampled_from(ODD_TAGS)), draw(st.sampled_from(ODD_VALUES))))


def encode(request: Request, number: int, second: float) -> bytes:
    """The message as bytes; times and numbers are the same for both venues."""

    def at(offset: float) -> str:
        return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(second + offset))

    header = [("34", str(number)), ("49", COMP_ID), ("52", at(0) + ".125"), ("56", "VENUE")]
    changes: dict[str, list[tuple[str, str]]] = {
        "shuffled": header[::-1],
        "sub": [*header, ("50", "DESK")],
        "resend": [*header, ("97", "Y")],
        "dup": [*header, ("43", "Y"), ("122", at(-1))],
        "sender": [header[0], ("49", "ALPHA1"), *header[2:]],
        "target": [*header[:3], ("56", "OTHER")],
        "stale": [*header[:2], ("52", at(-300)), header[3]],
        "near": [*header[:2], ("52", at(-100)), header[3]],
        "time": [*header[:2], ("52", "yesterday"), header[3]],
        "zero": [("34", "0" + str(number)), *header[1:]],
        "twice": [*header, ("49", COMP_ID)],
    }
    fields = [("35", request.kind), *changes.get(request.header, header), *request.body]
    return framed("".join(f"{tag}={value}{SOH}" for tag, value in fields).encode("latin-1"))


def framed(inner: bytes) -> bytes:
    data = b"8=FIX.4.4\x019=%d\x01" % len(inner) + inner
    return data + b"10=%03d\x01" % (sum(data) % 256)


def numbered(asked: list[Request], first: int) -> list[tuple[Request, int]]:
    """Who counts right, who runs ahead, who repeats; what was left out comes later."""
    found, used, expected = [], set(), first
    for request in asked:
        while expected in used:
            expected += 1
        number = {"ahead": expected + 1, "far": expected + 3, "repeated": expected - 1, "repeated dup": expected - 1}
        if request.number == "skipped":
            used.add(expected)
            continue
        if request.number == "repeated dup":
            request.header = "dup"
        chosen = number.get(request.number, expected)
        used.add(chosen)
        found.append((request, chosen))
    return found


class Pair:
    """The two venues, and one after the other session with each."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.venues = []
        for switch in ("on", "off"):
            patch.setenv("VENUE_FIX_HOT_LANE", switch)
            (folder / switch).mkdir()
            self.venues.append(Venue(folder / switch))
        patch.delenv("VENUE_FIX_HOT_LANE")

    def numbers(self) -> int:
        """What both expect next from the broker."""
        found = []
        for venue in self.venues:
            until(lambda venue=venue: not status(venue)["logged_on"])  # type: ignore[misc]
            found.append((status(venue)["target_seq"], status(venue)["sender_seq"]))
        assert found[0] == found[1]
        return int(found[0][0])

    def play(self, asked: list[Request], reports: int = 0) -> list[list[list[tuple[bytes, bytes]]]]:
        """What each of them says; the broker leaves once it has heard of so many executions."""
        first, second = self.numbers(), time.time()
        messages = numbered(asked, first + 1)
        payload = b"".join(encode(request, number, second) for request, number in messages)
        return [session(venue, first, second, payload, reports) for venue in self.venues]

    def close(self) -> None:
        for venue in self.venues:
            venue.close()


def status(venue: Venue) -> dict[str, Any]:
    return next(s for s in venue.acceptor.sessions() if s["comp_id"] == COMP_ID)


def session(venue: Venue, number: int, second: float, payload: bytes, reports: int) -> list[list[tuple[bytes, bytes]]]:
    """Logs on, sends everything at once, listens to so many reports, then to the end."""
    logon: list[tuple[int | str, str]] = [(98, "0"), (108, "30"), (553, USERS[COMP_ID]), (554, PASSWORD)]
    with socket.create_connection(("127.0.0.1", venue.acceptor.port), 10) as broker:
        broker.sendall(encode(Request("A", logon, "next", "plain"), number, second))
        data = broker.recv(1 << 16)
        broker.sendall(payload)
        while data.count(b"\x0135=8\x01") < reports:
            data += broker.recv(1 << 16)
        broker.shutdown(socket.SHUT_WR)
        try:
            while more := broker.recv(1 << 16):
                data += more
        except ConnectionResetError:
            pass
    messages = [message.rstrip(b"\x01").split(b"\x01") for message in data.split(b"8=FIX.4.4\x01")[1:]]
    pairs = [[pair.partition(b"=") for pair in message] for message in messages]
    return [[(tag, b"" if tag in BLANK else value) for tag, _, value in message] for message in pairs]


Messages = list[list[tuple[bytes, bytes]]]


def told(messages: Messages) -> tuple[list[bytes], Messages, Messages]:
    """Sequence numbers, what is answered at once, what is told when its entry is written.

    Which of the two last is first is nobody's promise: it depends on what came in together.
    """
    numbers = [value for message in messages for tag, value in message if tag == b"34"]
    plain = [[(tag, value) for tag, value in message if tag not in (b"9", b"34")] for message in messages]
    written = [message for message in plain if is_written(dict(message))]
    return numbers, [message for message in plain if message not in written], written


def assert_alike(hot: Messages, cold: Messages) -> None:
    """Both say the same. Who shuts his side does not hear of what is written after that: it is numbered, as
    `Pair.numbers` compares, and stays in the store; so of the reports one may have told more than the other."""
    one, other = told(hot), told(cold)
    assert one[1] == other[1]
    for first, second in ((one[0], other[0]), (one[2], other[2])):
        both = min(len(first), len(second))
        assert first[:both] == second[:both]


def is_written(fields: dict[bytes, bytes]) -> bool:
    """A report (8, 9, r), but for the answer to a status request."""
    return fields[b"35"] in (b"8", b"9", b"r") and fields.get(b"150") != b"I"


def journal(venue: Venue) -> tuple[bytes, list[bytes]]:
    """Every command but for its time, every annex but for its salt."""
    found = written(venue).poll(1_000_000)
    commands = found.commands.copy()
    commands["time_ns"] = 0
    ends = [0, *found.annex_ends.tolist()]
    return commands.tobytes(), [bytes(found.annex[a + 16 : b]) for a, b in pairwise(ends)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pytest.MonkeyPatch.context() as patch:
        found = Pair(tmp_path_factory.mktemp("venues"), patch)
    yield found
    found.close()


@given(asked=st.lists(requests(), min_size=4, max_size=24))
@settings(
    max_examples=400,
    deadline=None,
    phases=[Phase.generate],  # each example goes on where the last one ended: a shrunk one would be another story
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_same_bytes_with_and_without(pair: Pair, asked: list[Request]):
    hot, cold = pair.play(asked)
    assert_alike(hot, cold)


def test_same_journal_and_the_lane_was_used(pair: Pair):
    """After whatever was played before, and thirty sound orders."""
    sound = [Request("D", [*{**BODIES["D"], 11: f"j{n}"}.items()], "next", "plain") for n in range(30)]
    hot, cold = pair.play(sound, reports=30)
    assert told(hot)[2][:30] == told(cold)[2][:30]
    assert_alike(hot, cold)
    pair.numbers()
    journals = [journal(venue) for venue in pair.venues]
    assert journals[0][0] == journals[1][0]
    assert journals[0][1] == journals[1][1]
    counters = [venue.acceptor.counters() for venue in pair.venues]
    assert counters[1]["messages_hot"] == 0
    assert counters[0]["messages_hot"] >= 30
    assert counters[0]["messages_in"] == counters[1]["messages_in"]
    for venue in pair.venues:
        venue.engine.check()


@pytest.mark.parametrize(
    ("fields", "header", "taken"),
    [
        ({}, "plain", 1),
        ({}, "shuffled", 1),
        ({}, "near", 1),
        ({58: "any text"}, "plain", 1),
        ({18: "6", 59: "1"}, "plain", 1),
        ({11: "y" * 39}, "plain", 1),
        ({55: "ZZZ"}, "plain", 1),
        ({11: "y" * 40}, "plain", 0),
        ({18: "6 6"}, "plain", 0),
        ({44: ".5"}, "plain", 0),
        ({44: "-1"}, "plain", 0),
        ({40: "Q"}, "plain", 0),
        ({60: "20260101"}, "plain", 0),
        ({58: ""}, "plain", 0),
        ({58: "\xe9"}, "plain", 0),
        ({9999: "1"}, "plain", 0),
        ({41: "x"}, "plain", 0),
        ({453: "0"}, "plain", 0),
        ({}, "sub", 0),
        ({}, "resend", 0),
        ({}, "dup", 0),
        ({}, "sender", 0),
        ({}, "stale", 0),
        ({}, "zero", 1),
        ({}, "twice", 0),
    ],
)
def test_what_is_taken(pair: Pair, fields: dict[int, str], header: str, taken: int):
    body: dict[int | str, str] = {**BODIES["D"], 11: f"t{time.monotonic_ns()}", **fields}
    before = pair.venues[0].acceptor.counters()["messages_hot"]
    hot, cold = pair.play([Request("D", list(body.items()), "next", header)])
    assert_alike(hot, cold)
    assert pair.venues[0].acceptor.counters()["messages_hot"] - before == taken


def test_a_required_field_is_missed(pair: Pair):
    for kind, fields in BODIES.items():
        for absent in fields:
            body = [(tag, value or "n1") for tag, value in fields.items() if tag != absent]
            before = pair.venues[0].acceptor.counters()["messages_hot"]
            hot, cold = pair.play([Request(kind, body, "next", "plain")])
            assert_alike(hot, cold)
            used = pair.venues[0].acceptor.counters()["messages_hot"] - before
            assert used == (1 if absent == 44 else 0), f"35={kind} without {absent}"


def test_nothing_overtakes_a_message_that_waits_for_a_gap(make_venue):
    """What QuickFIX keeps until the gap before it is filled has its turn, even when several gaps were left."""
    venue: Venue = make_venue("native")
    broker = venue.logged_on(COMP_ID)
    first = broker.next_out
    order = [(11, "a"), *[(tag, value) for tag, value in BODIES["D"].items() if tag != 11]]
    for offset in (2, 5, 0, 1, 3, 4, 6):
        broker.next_out = first + offset
        broker.send("D", [(tag, f"o{offset}" if tag == 11 else value) for tag, value in order])
    broker.next_out = first + 7
    settle(broker)
    assert [tags(m)[11] for m in broker.inbox] == [f"o{n}" for n in range(7)]
    assert sum(m.get(35) == b"2" for m in broker.admin) == 1, "one request, for the first gap; what was kept is used"
    assert venue.acceptor.counters()["messages_hot"] >= 1


def test_hot_messages_are_signs_of_life(make_venue):
    """A broker that sends orders is not asked whether it lives, and one that gets reports gets no heartbeats."""
    venue: Venue = make_venue("native")
    broker = venue.broker(COMP_ID, heartbeat_seconds=2)  # QuickFIX counts whole seconds
    broker.log_on()
    last, pause_seconds_max = time.monotonic(), 0.0
    for index in range(36):
        broker.order("ACME", "buy", 1, f"{90 + index / 100:.2f}")
        broker.poll(0.1)
        time.sleep(0.1)
        now = time.monotonic()
        last, pause_seconds_max = now, max(pause_seconds_max, now - last)
    settle(broker)
    asked = [m for m in broker.admin if m.get(35) == b"1"]
    beats = [m for m in broker.admin if m.get(35) == b"0" and m.get(112) is None]
    assert (not asked and not beats) or pause_seconds_max > 0.9
    assert venue.acceptor.counters()["messages_hot"] == 36
