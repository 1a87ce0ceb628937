"""Messages grown from the dictionary and broken: all are answered, no session ends, what is refused changes nothing.

FIX_SEED chooses other messages, FIX_MESSAGES how many the slow test sends; both are printed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import time
from pathlib import Path
from random import Random

import pytest

from fix_sessions.client import Broker, SessionLost
from tests.fix_sessions.grammar import Grammar, framed, wounded, written
from tests.fix_sessions.rig import Venue, ask, settle, until

SEED = int(os.environ.get("FIX_SEED", "1"))
QUICK = {"native": 100_000, "python": 10_000}
SLOW_MESSAGES = int(os.environ.get("FIX_MESSAGES", "10000000"))
BATCH = 250
WOUND_SHARE = 0.7
PROBE_EVERY = 8
GROWTH_BYTES_MAX = 48 << 20
NOTHING_HAPPENED = frozenset((b"3", b"j", b"9", b"0"))
GRAMMAR = Grammar()
OFTEN = (b"D", b"D", b"D", b"D", b"F", b"G", b"G", b"H", b"q")
TYPES = sorted(GRAMMAR.messages)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def standing(venue: Venue) -> bytes:
    """The core's state but for its sequence number and time: what was refused stands in the journal like all else."""
    state = bytearray(venue.engine.state()[1])
    state[64:80] = bytes(16)
    return bytes(state)


class Fuzz:
    """One session that sends batches and looks at every answer."""

    def __init__(self, venue: Venue, seed: int) -> None:
        self.venue, self.rng, self.sent, self.ended = venue, Random(seed), 0, 0
        self.probes = self.unchanged = 0
        self.broker = venue.fresh("ALPHA1")

    def play(self, count: int) -> None:
        """Sends so many messages in batches; every batch must leave the session answering."""
        while self.sent < count:
            if self.sent // BATCH % PROBE_EVERY == 0:
                self._probe()
            self._batch(BATCH)

    def _batch(self, count: int) -> None:
        broker = self.broker
        messages = [self._message() for _ in range(count)]
        self.sent += count
        try:
            assert broker.socket is not None
            broker.socket.sendall(b"".join(messages))
            settle(broker)
        except (SessionLost, OSError) as error:
            raise AssertionError(f"a body ended the session: {broker.logout_text or error}") from error
        broker.inbox.clear()
        broker.admin.clear()
        broker.executions.clear()
        broker.sent.clear()

    def _probe(self) -> None:
        """One broken message by itself: when its answer says that nothing was done, nothing was."""
        self.venue.engine.drain()
        before = standing(self.venue)
        self._batch_of_one()
        self.probes += 1
        answers = self.broker.inbox + self.broker.admin
        nothing = all(
            m.get(35) in NOTHING_HAPPENED or (m.get(35) == b"8" and m.get(150) in (b"8", b"I")) for m in answers
        )
        if nothing:
            self.venue.engine.drain()
            assert standing(self.venue) == before, [m.encode() for m in answers]
            self.unchanged += 1

    def _batch_of_one(self) -> None:
        self.broker.inbox.clear()
        self.broker.admin.clear()
        assert self.broker.socket is not None
        self.broker.socket.sendall(self._message(wound=True))
        settle(self.broker)

    def _message(self, *, wound: bool = False) -> bytes:
        rng, broker = self.rng, self.broker
        kind = rng.choice(OFTEN if rng.random() < 0.6 else TYPES)
        name = b"z%d" % (broker.next_out if rng.random() < 0.95 else rng.randrange(1, broker.next_out + 1))
        pairs = GRAMMAR.grown(rng, kind, name)
        body = wounded(rng, pairs) if wound or rng.random() < WOUND_SHARE else written(pairs)
        now = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime()).encode()
        head = b"35=%s\x0149=%s\x0156=VENUE\x0134=%d\x0152=%s\x01" % (
            kind,
            broker.comp_id.encode(),
            broker.next_out,
            now,
        )
        broker.next_out += 1
        return framed(head + body)


def fuzzed(venue: Venue, seed: int, count: int) -> None:
    """Plays `count` messages; memory must stay flat over the second half; then the venue trades as ever."""
    fuzz = Fuzz(venue, seed)
    fuzz.play(count // 2)
    gc.collect()
    half_way = resident_bytes()
    fuzz.play(count)
    gc.collect()
    grown = resident_bytes() - half_way
    assert grown < GROWTH_BYTES_MAX, f"FIX_SEED={seed}: {grown >> 20} MiB more after {count // 2} messages"
    assert fuzz.unchanged > 0, f"FIX_SEED={seed}: no probe was refused: {fuzz.probes} of them"
    venue.engine.check()
    fuzz.broker.log_out()
    trade_as_ever(venue)
    print(f"FIX_SEED={seed}: {fuzz.sent} messages, {fuzz.unchanged} of {fuzz.probes} probes changed nothing")


def trade_as_ever(venue: Venue) -> None:
    other = venue.fresh("BRAVO1")
    answer = ask(other, lambda: other.order("ACME", "buy", 1, "60"))
    assert answer[150] == "0", answer
    assert ask(other, lambda: other.cancel(answer[11], "ACME", "buy"))[150] == "4"


@pytest.mark.timeout(300)
def test_broken_bodies_never_end_a_session(make_venue, application):
    print(f"FIX_SEED={SEED}")
    fuzzed(make_venue(application), SEED, QUICK[application])


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_millions_of_broken_bodies(make_venue):
    print(f"FIX_SEED={SEED} FIX_MESSAGES={SLOW_MESSAGES}")
    fuzzed(make_venue("native"), SEED, SLOW_MESSAGES)


# ---- what the wire can do to a right message ----


def order(broker: Broker, name: str) -> bytes:
    now = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime())
    head = f"35=D|49={broker.comp_id}|56=VENUE|34={broker.next_out}|52={now}|"
    return framed((head + f"11={name}|55=ACME|54=1|38=1|40=2|44=60|60={now}|").replace("|", "\x01").encode())


def test_cut_at_each_byte(make_venue, application):
    """The connection ends within a message, at each of its bytes: nothing of it happened, the session comes back."""
    venue: Venue = make_venue(application)
    whole = len(order(venue.fresh("ALPHA1"), "cut000"))
    before = venue.root()
    for cut in range(whole):
        broker = venue.fresh("ALPHA1")
        assert broker.socket is not None
        broker.socket.sendall(order(broker, f"cut{cut:03d}")[:cut])
        broker.close()
    venue.fresh("ALPHA1")
    assert venue.root() == before
    trade_as_ever(venue)


def test_one_byte_at_a_time(make_venue, application):
    venue: Venue = make_venue(application)
    broker = venue.fresh("ALPHA1")
    assert broker.socket is not None
    broker.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = order(broker, "bytewise")
    broker.next_out += 1
    for index in range(len(data)):
        broker.socket.sendall(data[index : index + 1])
        broker.poll()
    broker.wait_for(lambda: any(m.get(11) == b"bytewise" and m.get(150) == b"0" for m in broker.inbox))


def test_many_that_never_finish_delay_nobody(make_venue, application):
    """Connections that send half a logon, or nothing, are closed in time; a session with half a message is ended by its
    own heartbeat; a broker beside them is answered all the while."""
    venue: Venue = make_venue(application)
    broker = venue.fresh("BRAVO1")
    loris = [socket.create_connection(("127.0.0.1", venue.acceptor.port)) for _ in range(50)]
    for index, idle in enumerate(loris):
        idle.sendall(b"8=FIX.4.4\x019=100\x0135=A\x01"[: index % 20])
    half = venue.logged_on("ALPHA1", heartbeat_seconds=1)
    assert half.socket is not None
    half.socket.sendall(order(half, "half")[:60])
    answered = 0
    end = time.monotonic() + 20
    while not all(closed(idle) for idle in loris) or any(
        s["logged_on"] for s in venue.acceptor.sessions() if s["comp_id"] == "ALPHA1"
    ):
        assert time.monotonic() < end, "somebody who never finishes was let stay"
        answer = ask(broker, lambda: broker.order("ACME", "buy", 1, "60"))
        ask(broker, lambda name=answer[11]: broker.cancel(name, "ACME", "buy"))
        answered += 1
    assert answered > 1
    for idle in loris:
        idle.close()


def closed(idle: socket.socket) -> bool:
    idle.setblocking(False)
    try:
        return idle.recv(1 << 16) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize(
    "length", [b"0", b"-1", b"00", b"7", b"8193", b"99999999", b"4294967296", b"9" * 60, b"", b"x", b" 5", b"5.0"]
)
def test_absurd_lengths(make_venue, application, length):
    """BodyLength(9) that is not what it says: the session ends in words or the message is refused; then all is well."""
    venue: Venue = make_venue(application)
    broker = venue.fresh("ALPHA1")
    data = order(broker, "absurd")
    start = data.index(b"9=") + 2
    assert broker.socket is not None
    broker.socket.sendall(data[:start] + length + data[data.index(b"\x01", start) :] + order(broker, "next"))
    with contextlib.suppress(SessionLost, TimeoutError):
        broker.wait_for(lambda: bool(broker.inbox) or any(m.get(35) == b"3" for m in broker.admin), 3)
    broker.close()
    until(lambda: venue.engine.open_orders(0) == 0)
    trade_as_ever(venue)
