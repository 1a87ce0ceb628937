"""Certification: every case passes on a real venue with either application, and fails where a venue is broken."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from cores import CommandFlag, CommandKind, Limit, Phase
from fix_sessions.certification import FAILED, PASSED, SKIPPED, Case, Party, Result, Stage, Terms, play
from fix_sessions.certification_report import Report
from fix_sessions.certification_watch import CASES, stored, watch
from tests.fix_sessions.rig import PASSWORD, Venue, settle
from venue import cli

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


def test_every_case_passes_and_leaves_nothing(make_venue: Callable[..., Venue], application: str):
    """ROE-2 ROE-3 ROE-5 ROE-10 ROE-11 ROE-12 ROE-18 ROE-20 ROE-31 ROE-33 ROE-35 ROE-36 ROE-38 ROE-40"""
    venue = make_venue(application, "commit")  # where reports wait until they are durable and heartbeats do not
    at = stage(venue)
    results = [play(case, at) for case in CASES]
    at.clean()
    at.close()
    assert {r.case.name: r.text for r in results if r.verdict != PASSED} == {}
    assert venue.engine.open_orders(0) == 0
    assert all(result.evidence for result in results)
    assert not any("correct horse" in line for result in results for line in result.evidence), "no password"


def test_what_is_not_at_hand_is_skipped_with_a_remedy(venue: Venue):
    at = stage(venue, full=False)
    results = [play(BY_NAME[name], at) for name in ("C06", "C35", "C41")]
    at.close()
    assert [result.verdict for result in results] == [PASSED, SKIPPED, SKIPPED]
    assert "--counterpart" in results[1].text and "--config" in results[2].text


def test_reports_that_wait_are_fetched_before_the_numbers_are_reset(venue: Venue):
    absent, other = venue.logged_on("ALPHA2"), venue.logged_on("BRAVO1")
    absent.order("ACME", "buy", 5, "99", t11="resting")
    absent.wait_for(lambda: len(absent.executions) == 1)
    absent.log_out()
    other.order("ACME", "sell", 5, "99")
    other.wait_for(lambda: len(other.executions) == 2)
    at = Stage(("127.0.0.1", venue.acceptor.port), "VENUE", Party("ALPHA2", "alpha2", PASSWORD), TERMS)
    at.cancels_on_disconnect = False
    assert [play(BY_NAME[name], at).verdict for name in ("C11", "C17", "C20")] == [PASSED] * 3
    at.close()


# ---- a venue that is broken ----


Spoil = Callable[[bytes], bytes]


def cut(*ends: socket.socket) -> None:
    """Ends connections even while another thread reads from them."""
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


class Spoiler:
    """Stands between broker and venue, and changes the venue's messages."""

    def __init__(self, port: int, spoil: Spoil) -> None:
        self.port_behind, self.spoil = port, spoil
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.port_behind))
            self.sockets += [near, far]
            threading.Thread(target=self._forward, args=(near, far, None), daemon=True).start()
            threading.Thread(target=self._forward, args=(far, near, self.spoil), daemon=True).start()

    @staticmethod
    def _forward(source: socket.socket, target: socket.socket, spoil: Spoil | None) -> None:
        rest = b""
        try:
            while data := source.recv(1 << 16):
                if spoil is None:
                    target.sendall(data)
                    continue
                *whole, rest = re.split(rb"(?<=\x0110=\d\d\d\x01)", rest + data)
                for message in whole:
                    target.sendall(again(spoil(message)))
        except OSError:
            pass
        cut(source, target)

    def close(self) -> None:
        self.listener.close()
        cut(*self.sockets)


def again(message: bytes) -> bytes:
    """A changed message with its length and sum made right."""
    if not message:
        return b""
    body = message[message.index(b"\x0135=") + 1 : -7]
    head = b"8=FIX.4.4\x019=%d\x01" % len(body) + body
    return head + b"10=%03d\x01" % (sum(head) % 256)


def is_type(message: bytes, kind: bytes) -> bool:
    return b"\x0135=" + kind + b"\x01" in message


def without(kind: bytes, unless: bytes = b"\xff") -> Spoil:
    return lambda message: b"" if is_type(message, kind) and unless not in message else message


def changed(old: bytes, new: bytes) -> Spoil:
    return lambda message: message.replace(b"\x01" + old + b"\x01", b"\x01" + new + b"\x01")


BROKEN: list[tuple[str, Spoil, str]] = [
    ("C01", without(b"5"), "not answered"),
    ("C06", lambda m: b"" if b"112=are you there" in m else m, "did not come"),
    ("C07", changed(b"35=1", b"35=0"), "without a TestRequest"),
    ("C08", changed(b"43=Y", b"43=N"), "tag 43"),
    ("C12", changed(b"103=6", b"103=99"), "tag 103 of 35=8 is 99, expected 6"),
    ("C13", changed(b"373=99", b"373=5"), "tag 373"),
    ("C14", changed(b"371=38", b"371=44"), "tag 371"),
    ("C15", changed(b"380=3", b"380=0"), "tag 380"),
    ("C16", changed(b"373=10", b"373=9"), "tag 373"),
    ("C20", changed(b"150=0", b"150=A"), "tag 150 of 35=8 is A, expected 0"),
    ("C23", changed(b"39=4", b"39=2"), "tag 39"),
    ("C29", changed(b"103=15", b"103=99"), "tag 103 of 35=8 is 99, expected 15"),
    ("C30", changed(b"102=1", b"102=0"), "tag 102"),
    ("C31", changed(b"150=5", b"150=0"), "tag 150"),
    ("C32", changed(b"39=0", b"39=1"), "tag 39"),
    ("C33", changed(b"533=3", b"533=2"), "tag 533"),
    ("C35", changed(b"851=1", b"851=2"), "tag 851"),
    ("C36", changed(b"39=2", b"39=1"), "tag 39"),
    ("C38", changed(b"434=2", b"434=1"), "tag 434"),
    ("C40", changed(b"103=3", b"103=99"), "tag 103"),
    ("C41", changed(b"103=2", b"103=99"), "tag 103"),
    ("C42", changed(b"103=0", b"103=99"), "tag 103"),
]


@pytest.fixture
def native_venue(tmp_path: Path) -> Iterator[Venue]:
    (tmp_path / "venue").mkdir()
    found = Venue(tmp_path / "venue", "native")
    yield found
    found.close()


@pytest.mark.parametrize(("name", "spoil", "text"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_a_broken_venue_fails_the_case(native_venue: Venue, name: str, spoil: Spoil, text: str):
    spoiler = Spoiler(native_venue.acceptor.port, spoil)
    at = stage(native_venue, spoiler.port)
    try:
        result = play(BY_NAME[name], at)
    finally:
        spoiler.close()
        for broker in (*at.brokers.values(), *at.strangers):
            broker.close()
    assert (result.verdict, text in result.text) == (FAILED, True), result.text


def test_nobody_there_fails_and_says_so(native_venue: Venue):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
    result = play(BY_NAME["C01"], stage(native_venue, port))
    assert result.verdict == FAILED and "connection failed" in result.text


# ---- watching ----


def test_a_sessions_own_traffic_shows_cases(venue: Venue):
    broker = venue.logged_on("ALPHA2")
    order = broker.order("ACME", "buy", 5, "99")
    broker.order("ACME", "buy", 5, "99.005")
    broker.cancel("nothing", "ACME", "buy")
    settle(broker)
    path = venue.data_dir / "fix" / "session-4.store"
    assert [message for message in stored(path) if f"\x0111={order}\x01".encode() in message]
    shown = {result.case.name for result in watch(path) if result.verdict == PASSED}
    assert shown == {"C06", "C20", "C29", "C30"}
    assert all(result.evidence for result in watch(path) if result.verdict == PASSED)
    assert not any(result.verdict == FAILED for result in watch(path)), "what was not seen has not failed"


def test_playing_the_cases_shows_them(native_venue: Venue):
    at = stage(native_venue)
    names = [case.name for case in CASES if case.shown and case.name not in ("C01", "C07", "C10", "C11", "C16", "C19")]
    assert {play(BY_NAME[name], at).verdict for name in names} == {PASSED}
    at.close()
    path = native_venue.data_dir / "fix" / "session-1.store"
    shown = {result.case.name for result in watch(path) if result.verdict == PASSED}
    assert set(names) <= shown


@pytest.mark.parametrize("data", [b"", b"x" * 10, b"\0" * (5000 + 65536 * 16)], ids=["empty", "short", "zeros"])
def test_what_is_no_store_is_told(tmp_path: Path, data: bytes):
    (tmp_path / "x.store").write_bytes(data)
    with pytest.raises(ValueError, match="no session store"):
        stored(tmp_path / "x.store")


# ---- the report and the command ----


def test_the_report_says_all_and_breaks_out_of_nothing(tmp_path: Path):
    case = Case("C99", "A <b>case</b>", (1,), lambda at: None)
    results = [Result(case, verdict, "<script>", 0.5, ["> 8=FIX.4.4|58=<script>|"]) for verdict in (PASSED, FAILED)]
    report = Report("ALPHA", "ALPHA1", "127.0.0.1:1", "played against", results)
    page, facts = report.write(tmp_path)
    assert not report.passed and "<script>" not in page.read_text() and "&lt;script&gt;" in page.read_text()
    found = json.loads(facts.read_text())
    assert (found["green"], found[PASSED], found[FAILED]) == (False, 1, 1)
    assert found["cases"][0]["rules"] == ["ROE-1"] and found["cases"][0]["messages"] == results[0].evidence
    assert Report("A", "B", "c", "d", results[:1]).passed and not Report("A", "B", "c", "d", []).passed


def command(venue: Venue, folder: Path, *more: str) -> int:
    target = f"127.0.0.1:{venue.acceptor.port}"
    sessions = ("--session", f"ALPHA1:alpha:{PASSWORD}", "--counterpart", f"BRAVO1:bravo:{PASSWORD}")
    return cli.main(["certify", "--target", target, "--member", "ALPHA", *sessions, "--output", str(folder), *more])


def test_the_command(native_venue: Venue, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command(native_venue, tmp_path, "--case", "C20", "--case", "C35") == 0
    printed = capsys.readouterr().out
    assert "ok   C20" in printed and "2 passed, 0 failed, 0 skipped" in printed
    assert json.loads((tmp_path / "certification-ALPHA-ALPHA1.json").read_text())["green"]
    assert command(native_venue, tmp_path, "--case", "C20", "--price", "1000") == 1
    assert "FAIL C20" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--case", "C00"], "no such case: C00"),
        (["--target", "nowhere"], "HOST:PORT"),
        (["--session", "ALPHA1"], "COMPID:USERNAME:PASSWORD"),
        (["--watch"], "give --config"),
    ],
)
def test_wrong_use(native_venue: Venue, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], text: str):
    assert command(native_venue, tmp_path, *more) == 2
    assert text in capsys.readouterr().err
