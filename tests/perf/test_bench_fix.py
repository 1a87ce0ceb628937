"""The load client sends FIX that others read, checks every byte it gets back, and ends with the server's own words."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import simplefix

from perf import bench_fix, bench_sessions
from venue import sample
from venue.config import loads

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

SOH = b"\x01"
Answer = Callable[["Peer", bytes], None]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    for name in ("fix_load", "fix_echo"):
        bench_fix.build_c(name, folder)
    return folder


@pytest.fixture
def echo_port(programs: Path) -> Iterator[int]:
    process = subprocess.Popen([str(programs / "fix_echo")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    yield int(process.stdout.readline())
    process.kill()
    process.wait()


class Peer:
    """A server of the test's own: keeps every byte it got and answers as told, in pieces of `piece` bytes."""

    def __init__(self, answer: Answer, piece: int = 1 << 16) -> None:
        self.answer, self.piece = answer, piece
        self.received = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.port = int(self.listener.getsockname()[1])
        self.sequence = 0
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(10)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting = b""
        with self.connection:
            while data := self.connection.recv(1 << 16):
                self.received += data
                waiting += data
                while end := re.search(rb"\x0110=\d{3}\x01", waiting):
                    message, waiting = waiting[: end.end()], waiting[end.end() :]
                    self.answer(self, message)

    def send(self, kind: bytes, *fields: bytes, spoil: bool = False) -> None:
        self.sequence += 1
        names = [
            b"35=" + kind,
            b"49=VENUE",
            b"56=CAROL1",
            b"34=%d" % self.sequence,
            b"52=20261121-10:00:00.000",
            *fields,
        ]
        body = SOH.join(names) + SOH
        text = b"8=FIX.4.4\x019=%d\x01" % len(body) + body
        text += b"10=%03d\x01" % ((sum(text) + spoil) % 256)
        for at in range(0, len(text), self.piece):
            self.connection.sendall(text[at : at + self.piece])

    def close(self) -> None:
        self.thread.join(20)
        self.listener.close()
        assert not self.thread.is_alive()


def value(message: bytes, tag: int) -> bytes:
    found = re.search(rb"\x01%d=([^\x01]*)\x01" % tag, message)
    return found[1] if found else b""


def venue_like(peer: Peer, message: bytes) -> None:
    """Logs on and out, reports each order as new; asks for a heartbeat before the third report."""
    kind = value(message, 35)
    if kind in (b"A", b"5"):
        peer.send(kind, *([b"98=0", b"108=30"] if kind == b"A" else []))
    elif kind == b"D":
        if peer.sequence == 3:
            peer.send(b"1", b"112=still there?")
        peer.send(b"8", b"37=1", b"17=%d" % peer.sequence, b"150=0", b"39=0", b"11=" + value(message, 11))


def load(programs: Path, port: int, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(programs / "fix_load"), "--sender", "CAROL1", "--target", "VENUE", "--port", str(port), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def messages(stream: bytes) -> list[simplefix.FixMessage]:
    """What another FIX implementation reads out of the bytes; it must find nothing left over."""
    parser = simplefix.FixParser()
    parser.append_buffer(stream)
    made = []
    while (message := parser.get_message()) is not None:
        made.append(message)
    assert not parser.get_buffer()
    return made


@pytest.mark.parametrize("piece", [1 << 16, 1, 7])
def test_speaks_fix(programs: Path, piece: int) -> None:
    """Logon, orders, the heartbeat asked for, logout: well formed, counted, and answered in pieces of any size."""
    peer = Peer(venue_like, piece)
    options = ["--username", "carol", "--password", "secret", "--pipelined", "6", "--pingpong", "4", "--window", "3"]
    done = load(programs, peer.port, *options, "--levels", "50", "--price-ticks", "9950", "--seed", "5")
    peer.close()
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["reports"] == 10
    assert result["pingpong"]["p50_us"] <= result["pingpong"]["p99_us"] <= result["pingpong"]["p999_us"]

    sent = messages(peer.received)
    kinds = [message.get(35) for message in sent]
    assert kinds[0] == b"A" and kinds[-1] == b"5" and kinds.count(b"D") == 10 and kinds.count(b"0") == 1
    assert (sent[0].get(553), sent[0].get(554), sent[0].get(141)) == (b"carol", b"secret", b"Y")
    assert sent[kinds.index(b"0")].get(112) == b"still there?"
    assert [int(message.get(34)) for message in sent] == list(range(1, len(sent) + 1))
    for message, raw in zip(sent, re.findall(rb"8=FIX.*?\x0110=\d{3}\x01", peer.received), strict=True):
        body = raw[raw.index(b"35=") : raw.index(b"10=", len(raw) - 7)]
        assert int(message.get(9)) == len(body)
        assert int(message.get(10)) == sum(raw[:-7]) % 256
    orders = [message for message in sent if message.get(35) == b"D"]
    assert len({order.get(11) for order in orders}) == 10
    assert all(re.fullmatch(rb"99\.[5-9]\d", order.get(44)) for order in orders)
    assert len({order.get(44) for order in orders}) > 1


def test_never_more_in_flight_than_asked(programs: Path) -> None:
    """The peer answers only when it holds as many orders as the window has: a larger or smaller window would hang."""
    held: list[bytes] = []
    largest = 0

    def answer(peer: Peer, message: bytes) -> None:
        nonlocal largest
        if value(message, 35) != b"D":
            return venue_like(peer, message)
        held.append(message)
        largest = max(largest, len(held))
        if len(held) == 8:
            peer.connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                peer.connection.recv(1)
            peer.connection.settimeout(10)
            for order in held:
                peer.send(b"8", b"150=0", b"11=" + value(order, 11))
            held.clear()
        return None

    peer = Peer(answer)
    done = load(programs, peer.port, "--pipelined", "8", "--warm", "16", "--window", "8")
    peer.close()
    assert done.returncode == 0, done.stderr
    assert largest == 8


@pytest.mark.parametrize("seed", range(3))
def test_echo_is_a_floor(programs: Path, echo_port: int, seed: int) -> None:
    """The echo's reports pass the client's own check of length, checksum and order."""
    done = load(programs, echo_port, "--no-logon", "--pipelined", "500", "--pingpong", "50", "--seed", str(seed))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["reports"] == 550
    assert result["order_bytes"] == result["report_bytes"]


def test_an_open_loop_does_not_wait_and_counts_what_a_stall_delays(programs: Path) -> None:
    """The peer is silent until the last order is there: each order's time runs from when it was due."""
    names: list[bytes] = []

    def answer(peer: Peer, message: bytes) -> None:
        if value(message, 35) != b"D":
            return venue_like(peer, message)
        names.append(value(message, 11))
        if len(names) == 100:
            for name in names:
                peer.send(b"8", b"150=0", b"11=" + name)
        return None

    peer = Peer(answer)
    done = load(programs, peer.port, "--paced", "100", "--rate", "1000", "--window", "1")
    peer.close()
    assert done.returncode == 0, done.stderr
    paced = json.loads(done.stdout)["paced"]
    assert (paced["orders"], paced["rate"]) == (100, 1000)
    assert 49_000 <= paced["p50_us"] <= paced["p99_us"] <= paced["max_us"]
    assert paced["max_us"] >= 99_000, "the first order was due 99 ms before the last"


def test_cancels_what_it_left_in_the_book(programs: Path) -> None:
    names: list[bytes] = []

    def answer(peer: Peer, message: bytes) -> None:
        if value(message, 35) == b"D":
            names.append(value(message, 11))
            peer.send(b"8", b"150=0", b"11=" + names[-1])
        elif value(message, 35) == b"q":
            for name in names:
                peer.send(b"8", b"150=4", b"11=" + name)
            peer.send(b"r", b"531=1", b"533=%d" % len(names))
        else:
            venue_like(peer, message)

    peer = Peer(answer)
    done = load(programs, peer.port, "--pipelined", "20", "--cancel")
    peer.close()
    assert done.returncode == 0, done.stderr
    assert len(names) == 20


def test_sessions_are_added_to_the_sample_configuration(tmp_path: Path) -> None:
    sample.write(tmp_path)
    text = bench_fix.configured((tmp_path / "venue.toml").read_text(), "commit", 5001, 100)
    config = loads(bench_sessions.with_sessions(text))
    sessions = [session for member in config.members for session in member.sessions]
    names = [session.comp_id for session in sessions if session.username == "carol"]
    assert names == [f"CAROL{number}" for number in range(1, 9)]
    assert len({session.id for session in sessions}) == len(sessions)


def refusing(kind: bytes, *fields: bytes, spoil: bool = False) -> Answer:
    def answer(peer: Peer, message: bytes) -> None:
        if value(message, 35) == b"D":
            peer.send(kind, *fields, spoil=spoil)
        else:
            venue_like(peer, message)

    return answer


FIRST = b"11=o00000001"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refusing(b"8", b"150=8", FIRST, b"58=price outside the collar"), "price outside the collar"),
        (refusing(b"8", b"150=F", FIRST), "ExecType F"),
        (refusing(b"8", b"150=0", b"11=o00000002"), "expected the report of order o00000001, got the one of o00000002"),
        (refusing(b"8", b"150=0", FIRST, spoil=True), "bad BodyLength or CheckSum"),
        (refusing(b"j", b"58=not supported"), "MsgType j: not supported"),
        (refusing(b"5", b"58=slow consumer"), "logged out by the server: slow consumer"),
    ],
)
def test_stops_at_anything_unexpected(programs: Path, answer: Answer, words: str) -> None:
    """A figure made of rejects would be worthless: the run ends with what the server said."""
    peer = Peer(answer)
    done = load(programs, peer.port, "--pipelined", "1")
    peer.close()
    assert done.returncode == 1
    assert words in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--pipelined", "many"], "--pipelined many is not a count"),
        (["--window", "0"], "--window"),
        (["--speed", "9"], "--speed: unknown option"),
        (["--pingpong"], "--pingpong: unknown option, or its value is missing"),
        (["--username", "carol"], "--username needs --password"),
    ],
)
def test_options_are_checked(programs: Path, options: list[str], words: str) -> None:
    done = load(programs, 1, *options)
    assert done.returncode == 1
    assert words in done.stderr


def test_sample_configuration_is_changed_where_meant() -> None:
    """Each replaced line is there exactly once; a sample without one of them is refused by name."""
    text = (bench_fix.PERF.parent / "venue" / "sample.toml").read_text()
    made = bench_fix.configured(text, "none", 4567, 100_000)
    assert 'sync = "none"' in made and "port = 4567\n" in made and "orders = 131072 " in made
    assert made.count("\n") == text.count("\n")
    with pytest.raises(bench_fix.BenchError, match="port = 5001"):
        bench_fix.configured(made, "none", 4567, 100_000)


def test_ratios_are_of_the_same_round() -> None:
    """A round in which everything was twice as slow leaves the ratio as it is."""
    ours = [{"pingpong": {"p50_us": 30.0}}, {"pingpong": {"p50_us": 60.0}}]
    floor = [{"pingpong": {"p50_us": 10.0}}, {"pingpong": {"p50_us": 20.0}}]
    results = {bench_fix.NONE: ours, bench_fix.ECHO: floor}
    assert bench_fix.compared(results, bench_fix.NONE, bench_fix.ECHO, "pingpong", "p50_us", lambda a, b: a / b) == 3
    missing = bench_fix.compared(results, bench_fix.NONE, "not there", "pingpong", "p50_us", lambda a, b: a / b)
    assert missing is None


def test_best_compares_the_quiet_rounds() -> None:
    """Each side's best round, wherever it was; nothing where one side was not measured."""
    ours = [{"pipelined": {"per_second": 10.0}}, {"pipelined": {"per_second": 90.0}}]
    theirs = [{"pipelined": {"per_second": 45.0}}, {"pipelined": {"per_second": 5.0}}]
    results = {bench_fix.NONE: ours, bench_fix.QUICKFIXJ: theirs}
    assert bench_fix.best(results, bench_fix.NONE, bench_fix.QUICKFIXJ, "pipelined", "per_second", max) == 2
    assert bench_fix.best(results, bench_fix.NONE, bench_fix.ECHO, "pipelined", "per_second", max) is None


THREADS = (
    "import threading, sys; stop = threading.Event(); threading.Thread(target=stop.wait).start(); print(flush=True);\
sys.stdin.read(); stop.set()"
)


def test_one_cpu_places_every_thread_and_puts_it_back() -> None:
    """A server's threads, the benchmark's own and what it starts run on one CPU; afterwards where they did."""
    allowed = os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", THREADS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None and server.stdout.readline()
        threads = [int(thread.name) for thread in Path(f"/proc/{server.pid}/task").iterdir()]
        assert len(threads) == 2
        with bench_fix.one_cpu(server.pid):
            script = "import os; print(*os.sched_getaffinity(0))"
            child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
            assert {int(cpu) for cpu in child.stdout.split()} == {max(allowed)}
            assert all(os.sched_getaffinity(thread) == {max(allowed)} for thread in [0, *threads])
        assert all(os.sched_getaffinity(thread) == allowed for thread in [0, *threads])
        server.communicate(b"")


def test_bare_disk_writes_what_it_measures(tmp_path: Path) -> None:
    """Every entry is in the file, the file does not grow, and the quantiles are in order."""
    disk = bench_fix.BareDisk(tmp_path / "bare", 40)
    quantiles = disk.measure()["pingpong"]
    disk.close()
    written = (tmp_path / "bare").read_bytes()
    entries = {written[at : at + bench_fix.ENTRY_BYTES] for at in range(0, len(written), bench_fix.ENTRY_BYTES)}
    assert len(written) == 40 * bench_fix.ENTRY_BYTES
    assert len(entries) == 1 and any(entries.pop())
    assert 0 < quantiles["p50_us"] <= quantiles["p99_us"] <= quantiles["p999_us"]
