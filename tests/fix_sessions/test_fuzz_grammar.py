"""Messages grown from the dictionary and broken: all are answered, no session ends, what is refused changes nothing.

Two brokers trade with each other while they send them, so that there is something to change. FIX_SEED chooses other
messages, FIX_MESSAGES how many the slow test sends; both are printed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import time
from collections import Counter, deque
from pathlib import Path
from random import Random

import pytest

from cores import CommandKind
from fix_sessions.client import Broker, SessionLost
from tests.fix_sessions.grammar import Grammar, framed, wounded, written
from tests.fix_sessions.refusals import Twins
from tests.fix_sessions.rig import PASSWORD, USERS, Venue, ask, settle, until
from venue.follower import Follower

SEED = int(os.environ.get("FIX_SEED", "1"))
QUICK = {"native": 100_000, "python": 10_000}
SLOW_MESSAGES = int(os.environ.get("FIX_MESSAGES", "10000000"))
BATCH = 250
TURNS = 4
"""Batches of each broker between two looks at the state."""
WOUND_SHARE = 0.55
PLAIN_SHARE = 0.5
"""Messages with hardly anything optional in them: those that are taken, when they are left whole."""
GROWTH_BYTES_MAX = 48 << 20
"""Beside what the order table says it uses: it keeps orders and names until the day after next, and that is no leak.
In it are buffers that fill up once, such as the 16 MiB of events that each of the cores here has room for."""
ACCOUNTS = {"ALPHA1": (b"1", b"1", b"1", b"3"), "BRAVO1": (b"2",)}
SYMBOLS = (b"ACME", b"ACME", b"ACME", b"BOLT")
QUANTITIES = (b"1", b"2", b"5", b"10")
PRICES = {b"ACME": (b"98.50", b"99.00", b"99.50", b"100.00", b"100.50", b"101.00"), b"BOLT": (b"20.000", b"20.025")}
PRICED = (b"2", b"4")
ANSWERED = frozenset((b"D", b"F", b"G", b"q"))
"""The types whose answers name them, by ClOrdID(11) or RefSeqNum(45)."""
TRADES_MANY = 100
"""From so many on all trades of the day are asked for ever more seldom: else most of the answers would be these."""
GRAMMAR = Grammar()
OFTEN = (b"D",) * 12 + (b"F", b"G", b"G", b"H")
TYPES = sorted(GRAMMAR.messages)
REPORT_EVERY = 250_000


def anonymous_bytes() -> int:
    """The process's own memory: pages of mapped files, which are the kernel's to drop, are not in it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) << 10


class Answer:
    """A message that came, read no further than it is looked at."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def get(self, tag: int) -> bytes | None:
        start = self.raw.find(b"\x01%d=" % tag)
        if start < 0:
            return None
        start = self.raw.index(b"=", start) + 1
        return self.raw[start : self.raw.index(b"\x01", start)]


class Fast(Broker):
    """A broker whose answers are cut by BodyLength(9) and left as they are: millions come."""

    def poll(self, seconds: float = 0.0) -> int:
        data, at, count = self._rest + self.receive(seconds), 0, 0
        while (length := data.find(b"\x01", at + 12)) > 0:
            end = length + 1 + int(data[at + 12 : length]) + 7
            if end > len(data):
                break
            assert data[at : at + 12] == b"8=FIX.4.4\x019=" and data[end - 1] == 1, data[at:end]
            self.on_message(Answer(data[at:end]))  # type: ignore[arg-type]
            at, count = end, count + 1
        self._rest = data[at:]
        return count

    def log_on(self, **settings: object) -> None:  # type: ignore[override]
        self._rest = b""
        super().log_on(**settings)  # type: ignore[arg-type]


class Sender:
    """One session that sends batches and looks at every answer."""

    def __init__(self, broker: Fast, rng: Random) -> None:
        self.broker, self.rng = broker, rng
        self.orders: deque[tuple[bytes, bytes, bytes]] = deque([(b"none", b"ACME", b"1")], maxlen=40)
        self.asked: dict[bytes, int] = {}
        self.answers: Counter[bytes] = Counter()

    def send(self, count: int) -> None:
        """So many messages at once."""
        assert self.broker.socket is not None
        self.broker.socket.sendall(b"".join([self._message() for _ in range(count)]))

    def finish(self) -> None:
        """Waits for all answers; each message that was left whole must have its own."""
        broker = self.broker
        settle(broker)
        came = set()
        for answer in broker.inbox:
            kind = answer.get(35)
            self.answers[kind + (answer.get(150) or b"") if kind == b"8" else kind] += 1
            came.add(answer.get(11))
            came.add(answer.get(45))
        for answer in broker.admin:
            self.answers[answer.get(35)] += 1
            came.add(answer.get(45))
        silent = [name for name, number in self.asked.items() if name not in came and b"%d" % number not in came]
        assert not silent, f"no answer to {silent}"
        self.asked.clear()
        for kept in (broker.inbox, broker.admin, broker.executions, broker.sent):
            kept.clear()

    def _message(self) -> bytes:
        rng, broker = self.rng, self.broker
        plain = rng.random() < PLAIN_SHARE
        kind = rng.choice(OFTEN if plain or rng.random() < 0.4 else TYPES)
        if kind == b"AD" and rng.random() * self.answers[b"8F"] > TRADES_MANY:
            kind = b"AF"
        number = broker.next_out if rng.random() < 0.95 else rng.randrange(1, broker.next_out + 1)
        name = b"%s%d" % (broker.comp_id[:1].encode(), number)
        pairs = (
            self._plain(kind, name) if plain else GRAMMAR.grown(rng, kind, {11: name, 41: rng.choice(self.orders)[0]})
        )
        wound = rng.random() < WOUND_SHARE
        if not wound and kind in ANSWERED:
            self.asked[name] = broker.next_out
            if kind in (b"D", b"G"):
                found = dict(pairs)
                self.orders.append((name, found[b"55"], found[b"54"]))
        body = wounded(rng, pairs) if wound else written(pairs)
        now = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime()).encode()
        head = b"35=%s\x0149=%s\x0156=VENUE\x0134=%d\x0152=%s\x01" % (
            kind,
            broker.comp_id.encode(),
            broker.next_out,
            now,
        )
        broker.next_out += 1
        return framed(head + body)

    def _plain(self, kind: bytes, name: bytes) -> list[tuple[bytes, bytes]]:
        """A message that may well be taken: for a symbol that trades, for an order that there was."""
        rng = self.rng
        origin, symbol, side = rng.choice(self.orders)
        given = {11: name, 41: origin, 1: rng.choice(ACCOUNTS[self.broker.comp_id]), 38: rng.choice(QUANTITIES)}
        if kind in (b"F", b"G"):
            given |= {55: symbol, 54: side}
        else:
            given[55] = rng.choice(SYMBOLS)
        if rng.random() < 0.8:
            given[40] = b"2"
        pairs = GRAMMAR.grown(rng, kind, given, 0.02)
        found = dict(pairs)
        if b"1" not in found:
            pairs.append((b"1", given[1]))
        if found.get(b"40") in PRICED and b"44" not in found:
            pairs.append((b"44", rng.choice(PRICES.get(found.get(b"55", b""), PRICES[b"ACME"]))))
        return pairs


class Fuzz:
    """Two sessions of one venue, and the cores that say what a refused message may not do."""

    def __init__(self, venue: Venue, seed: int) -> None:
        self.venue, self.sent = venue, 0
        rng = Random(seed)
        self.senders = [Sender(self._joined(comp_id), rng) for comp_id in ACCOUNTS]
        self.twins = Twins(venue.data_dir / "journal", venue.engine.config)
        self.began = time.monotonic()

    def _joined(self, comp_id: str) -> Fast:
        broker = Fast("127.0.0.1", self.venue.acceptor.port, comp_id, USERS[comp_id], PASSWORD)
        self.venue.brokers.append(broker)
        broker.log_on()
        return broker

    def play(self, count: int) -> None:
        """Sends so many messages in batches; every batch must leave the sessions answering."""
        while self.sent < count:
            for _ in range(TURNS):
                self._turn()
            self.look()
            if self.sent % REPORT_EVERY == 0:
                rate = self.sent / (time.monotonic() - self.began)
                print(f"{self.sent} messages, {rate:.0f} a second, {anonymous_bytes() >> 20} MiB", flush=True)

    def _turn(self) -> None:
        try:
            for sender in self.senders:
                sender.send(BATCH)
            for sender in self.senders:
                sender.finish()
        except (SessionLost, OSError) as error:
            texts = [sender.broker.logout_text for sender in self.senders]
            raise AssertionError(f"a body ended a session: {texts} {error}") from error
        self.sent += BATCH * len(self.senders)

    def look(self) -> None:
        """Whatever was refused since the last look changed nothing."""
        engine = self.venue.engine
        engine.drain()
        seq, state = engine.state()
        until(lambda: engine.durable_seq >= seq)
        self.twins.follow(state, seq)

    def kept_bytes(self) -> int:
        """What the order table uses, by its own count."""
        return int(self.venue.engine.counters()["order_table_bytes"])

    def log_out(self) -> None:
        """With nothing left in the book. What a body has subscribed to may come after the answer."""
        for sender in self.senders:
            before = len(sender.broker.inbox)
            sender.broker.request("q", [(530, "7")])
            settle(sender.broker)
            assert b"r" in {message.get(35) for message in sender.broker.inbox[before:]}
            sender.broker.log_out()
        self.twins.close()


def fuzzed(venue: Venue, seed: int, count: int) -> None:
    """Plays `count` messages; memory must stay flat over the second half; then the venue trades as ever."""
    fuzz = Fuzz(venue, seed)
    fuzz.play(count // 2)
    gc.collect()
    half_way, kept = anonymous_bytes(), fuzz.kept_bytes()
    fuzz.play(count)
    gc.collect()
    end = anonymous_bytes()
    more = end - half_way - (fuzz.kept_bytes() - kept)
    assert more < GROWTH_BYTES_MAX, f"FIX_SEED={seed}: {more >> 20} MiB more after {count // 2} messages"
    venue.engine.check()
    fuzz.log_out()
    answers = sum((sender.answers for sender in fuzz.senders), Counter[bytes]())
    told = ", ".join(f"{kind.decode()} {number}" for kind, number in answers.most_common())
    print(
        f"FIX_SEED={seed}: {fuzz.sent} messages, {fuzz.twins.commands} commands, {fuzz.twins.refused} refused without"
    )
    print(f"a change; {half_way >> 20} MiB half-way, {end >> 20} at the end, {more >> 20} of the difference not the")
    print(f"order table's; answers: {told}")
    assert 0 < fuzz.twins.refused < fuzz.twins.commands and answers[b"8F"] > 0, "nothing was refused, or nothing traded"
    trade_as_ever(venue)


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


def test_what_changes_the_state_is_named(make_venue):
    """It can be told: of cancels that were all called refused the one that was taken is found and named."""
    venue: Venue = make_venue("native")
    broker = venue.fresh("ALPHA1")
    answer = ask(broker, lambda: broker.order("ACME", "buy", 1, "60", t1="1"))
    ask(broker, lambda: broker.cancel("never", "ACME", "buy", t11="refused"))
    ask(broker, lambda: broker.cancel(answer[11], "ACME", "buy", t11="the one"))
    venue.engine.drain()
    seq, state = venue.engine.state()
    until(lambda: venue.engine.durable_seq >= seq)
    kinds = Follower(venue.data_dir / "journal").poll().commands["kind"]
    twins = Twins(venue.data_dir / "journal", venue.engine.config, lambda events, ends: kinds == CommandKind.CANCEL)
    with pytest.raises(AssertionError, match="11=the one"):
        twins.follow(state, seq)
    right = Twins(venue.data_dir / "journal", venue.engine.config)
    right.follow(state, seq)
    assert right.refused == 1


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
