"""Certification: numbered cases that a broker's session and this venue must both pass, played against a live venue.

Each case plays one rule or a few of `spec/rules_of_engagement.md` as an ordinary FIX client and says what was sent,
what came and whether that is right, with the raw messages for the member's file. A case that needs what is not there
(a counterpart, the operator, a gateway, an agreement) is not run, with a text that says what to give. It must never
call a case passed that was not played to its end.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import simplefix

from fix_sessions.client import Broker, Pair, SessionLost
from fix_sessions.schedule import NS, Schedule

Message = dict[int, str]
PASSED, FAILED, SKIPPED = "passed", "failed", "not run"
ANSWER_SECONDS_MAX = 10.0
SECRET = 554
EVIDENCE_MAX = 400
ENTER_ATTEMPTS = 60
ENTER_SECONDS = 0.05
HOURS_SECONDS_MAX = 120
"""A case of the end of the hours waits for it at most so long."""


class Failed(Exception):
    """The venue did not do what the case expects; the text says what came instead."""


class Operator(Protocol):
    """What cases ask of the venue's operator."""

    def phase(self, symbol: str, phase: str) -> None: ...

    def throttle(self, session: str, messages_per_second: int) -> None: ...

    def kill(self, session: str, on: bool) -> None: ...

    def news(self, session: str, text: str) -> None: ...

    def log_out(self, session: str, reason: str) -> None: ...

    def reset(self, session: str, reason: str) -> None: ...


@dataclass(frozen=True)
class Party:
    """A FIX session as the venue has given it."""

    comp_id: str
    username: str
    password: str


@dataclass(frozen=True)
class Terms:
    """The instrument that is traded. Orders that are to rest go a tenth away from `price`; it must not trade there."""

    symbol: str
    price: Decimal
    tick: Decimal
    lot: Decimal

    @property
    def bid(self) -> Decimal:
        """Far below the price."""
        return self.price * 9 // 10 // self.tick * self.tick

    @property
    def offer(self) -> Decimal:
        """Far above the price."""
        return self.price * 11 // 10 // self.tick * self.tick

    def lots(self, count: int) -> Decimal:
        return self.lot * count


@dataclass(frozen=True)
class Door:
    """A gateway with a port of its own, and our session there."""

    address: tuple[str, int]
    party: Party


@dataclass(frozen=True)
class Protection:
    """Market-maker protection as agreed: what trips it. 0: no such limit."""

    quantity: Decimal = Decimal(0)
    trades: int = 0


@dataclass(frozen=True)
class Agreed:
    """What only the venue's configuration says of the session under test."""

    member: str = ""
    protection: Protection | None = None
    messages_per_second: int = 0
    schedule: Schedule | None = None


@dataclass(frozen=True)
class Case:
    """One numbered case. `needs` are keys of NEEDS. `shown` finds it in what a venue sent a broker."""

    name: str
    title: str
    rules: tuple[int, ...]
    play: Callable[[Stage], None]
    needs: frozenset[str] = frozenset()
    shown: Callable[[list[Message]], bool] | None = None
    area: str = ""


@dataclass
class Result:
    """What became of a case, and the raw messages of it, the venue's after <, ours after >."""

    case: Case
    verdict: str
    text: str
    seconds: float = 0.0
    evidence: list[str] = field(default_factory=list)


class Recorder(Broker):
    """A broker that keeps every message that it sends and gets; passwords are blanked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.record: list[str] = []
        self.mute = False
        self.answering = True

    def transmit(self, data: bytes) -> None:
        if self.mute:
            return
        self.record.append(f"> {readable(data)}")
        try:
            super().transmit(data)
        except OSError as error:
            raise SessionLost(self.logout_text or str(error)) from error

    def on_message(self, message: simplefix.FixMessage) -> None:
        self.record.append(f"< {readable(message.encode(raw=True))}")
        super().on_message(message)

    def answer_resend(self, begin: int, end: int) -> None:
        if self.answering:
            super().answer_resend(begin, end)


def readable(data: bytes) -> str:
    """A raw message for people: | for SOH, no password."""
    fields = data.decode("latin-1").split("\x01")
    return "|".join(f"{SECRET}=***" if part.startswith(f"{SECRET}=") else part for part in fields)


class Told(dict[int, str]):
    """A message's fields as text, the last of each tag; `pairs` has all of them in order."""

    def __init__(self, pairs: Iterable[tuple[int, str]]) -> None:
        self.pairs = list(pairs)
        super().__init__(self.pairs)

    def group(self, first: int) -> list[Told]:
        """The entries of a repeating group that begin with this tag, each with all that follows up to the next."""
        entries: list[list[tuple[int, str]]] = []
        for tag, value in self.pairs:
            if tag == first:
                entries.append([])
            if entries:
                entries[-1].append((tag, value))
        return [Told(entry) for entry in entries]

    def __missing__(self, tag: int) -> str:
        raise Failed(f"tag {tag} is missing in {dict(self)}")


def message_of(found: simplefix.FixMessage) -> Told:
    """A message as it was told."""
    return Told((int(tag), value.decode("latin-1")) for tag, value in found.pairs)


def expect(condition: bool, text: str) -> None:
    """Fails the case with this text."""
    if not condition:
        raise Failed(text)


class Stage:
    """Where a case is played: the session under test, its counterpart, the operator."""

    def __init__(
        self,
        address: tuple[str, int],
        venue: str,
        party: Party,
        terms: Terms,
        counterpart: Party | None = None,
        operator: Operator | None = None,
        cancels_on_disconnect: bool = True,
        market_data: Door | None = None,
        drop_copy: Door | None = None,
        agreed: Agreed | None = None,
    ) -> None:
        self.address, self.venue, self.party, self.terms = address, venue, party, terms
        self.counterpart, self.operator = counterpart, operator
        self.cancels_on_disconnect = cancels_on_disconnect
        self.market_data, self.drop_copy, self.agreed = market_data, drop_copy, agreed or Agreed()
        self.brokers: dict[str, Recorder] = {}
        self.strangers: list[Recorder] = []

    # ---- sessions ----

    @property
    def broker(self) -> Recorder:
        """The session under test, logged on."""
        return self.entered(self.party)

    @property
    def other(self) -> Recorder:
        """The counterpart, logged on."""
        assert self.counterpart is not None, "the case says that it needs one"
        return self.entered(self.counterpart)

    @property
    def viewer(self) -> Recorder:
        """Our market data session, logged on."""
        assert self.market_data is not None, "the case says that it needs one"
        return self.entered(self.market_data.party, self.market_data.address)

    @property
    def copies(self) -> Recorder:
        """Our drop-copy session, logged on."""
        assert self.drop_copy is not None, "the case says that it needs one"
        return self.entered(self.drop_copy.party, self.drop_copy.address)

    def entered(self, party: Party, address: tuple[str, int] | None = None) -> Recorder:
        """This party's session: as it is when it is logged on, else logged on again where it ended."""
        broker = self.brokers.get(party.comp_id)
        if broker is None:
            broker = self.brokers[party.comp_id] = self.client(party, address)
            enter(broker)
        elif broker.socket is None or not broker.logged_on:
            self.back(broker)
        return broker

    def client(self, party: Party, address: tuple[str, int] | None = None, **settings: object) -> Recorder:
        """A client that is not logged on."""
        words: dict[str, object] = {"username": party.username, "password": party.password, "venue": self.venue}
        words |= {"comp_id": party.comp_id, **settings}
        return Recorder(*(address or self.address), **words)  # type: ignore[arg-type]

    def stranger(self, **settings: object) -> Recorder:
        """A second client with the session's name, to be refused."""
        self.strangers.append(self.client(self.party, None, **settings))
        return self.strangers[-1]

    def back(self, broker: Recorder) -> None:
        """Logs on again with the numbers at hand, as often as the venue still thinks that the session is there."""
        seconds = ANSWER_SECONDS_MAX
        broker.mute = False
        broker.close()
        end = time.monotonic() + seconds
        while True:
            number = broker.next_out
            try:
                return broker.log_on(seconds=seconds)
            except SessionLost as lost:
                broker.next_out = number
                if "already logged on" not in str(lost) or time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def leave(self, broker: Recorder) -> None:
        broker.log_out()
        broker.logged_on = False

    def drop(self, broker: Recorder) -> None:
        """Cuts the line."""
        broker.close()
        broker.logged_on = False

    def lost(self, broker: Recorder, seconds: float = 0.0) -> str:
        """Waits for the venue to end the session; its reason."""
        try:
            broker.wait_for(lambda: False, seconds or ANSWER_SECONDS_MAX)
        except SessionLost as lost:
            self.drop(broker)
            return str(lost)
        except TimeoutError:
            raise Failed("the session was not ended") from None
        raise AssertionError("it waits for what never is")

    # ---- questions ----

    def settle(self, broker: Recorder) -> None:
        """Waits until everything sent so far is answered: the answer to a TestRequest comes after it.

        A TestRequest that a gap fill has skipped is never answered, as FIX says; then another is sent.
        """
        for attempt in range(4):
            name = f"settle-{time.monotonic_ns()}".encode()
            broker.send("1", [(112, name)])
            try:
                broker.wait_for(lambda name=name: any(m.get(112) == name for m in broker.admin[-50:]), 1 + 2 * attempt)  # type: ignore[misc]
                return
            except TimeoutError:
                continue
        raise Failed("no TestRequest(35=1) was answered")

    def answers(self, broker: Recorder, send: Callable[[], object], *, awaited: bool = True) -> list[Message]:
        """Sends; the application messages that came of it.

        A report waits until it is durable and a Heartbeat(0) does not, so each request's own answer is awaited by its
        ClOrdID(11), which `send` returns, one or a list of them.
        """
        return self._asked(broker, send, awaited)[0]

    def answer(self, broker: Recorder, send: Callable[[], object]) -> Message:
        """Sends one request; the last message that came in answer to it."""
        found, names = self._asked(broker, send, True)
        own = [message for message in found if not names or message.get(11, names[0]) == names[0]]
        expect(bool(own), "nothing came in answer")
        return own[-1]

    def _asked(self, broker: Recorder, send: Callable[[], object], awaited: bool) -> tuple[list[Message], list[str]]:
        before, before_admin = len(broker.inbox), len(broker.admin)
        returned = send()
        sent = returned if isinstance(returned, list) else [returned]
        names = [str(name) for name in sent if name]
        waiting = {name.encode() for name in names} if awaited else set()

        def there() -> bool:
            waiting.difference_update(m.get(11) for m in broker.inbox[before:])
            return not waiting or any(m.get(35) == b"3" for m in broker.admin[before_admin:])

        if awaited:
            self.wait(broker, there, f"the answer to {', '.join(sorted(name.decode() for name in waiting))}")
        self.settle(broker)
        return [message_of(m) for m in broker.inbox[before:]], names

    def told(self, broker: Recorder, send: Callable[[], object], done: Callable[[Told], bool], what: str) -> list[Told]:
        """Sends; all that came up to a message that is `done`, and with the answer to a TestRequest(1) after it."""
        before, before_admin = len(broker.inbox), len(broker.admin)
        send()

        def there() -> bool:
            return any(done(message_of(m)) for m in broker.inbox[before:]) or bool(refusals())

        def refusals() -> list[Told]:
            return [message_of(m) for m in broker.admin[before_admin:] if m.get(35) == b"3"]

        self.wait(broker, there, what)
        expect(not refusals(), f"{what}: a Reject(35=3) came instead: {refusals()[-1].get(58) if refusals() else ''}")
        self.settle(broker)
        return [message_of(m) for m in broker.inbox[before:]]

    def saying(self, broker: Recorder, send: Callable[[], object], what: str, **fields: str) -> Told:
        """Sends; the last message that came with these values, as t35="b"."""
        wanted = {int(tag[1:]): value for tag, value in fields.items()}
        found = self.told(broker, send, lambda m: wanted.items() <= m.items(), what)
        return [message for message in found if wanted.items() <= message.items()][-1]

    def rejected(self, broker: Recorder, send: Callable[[], object]) -> Message:
        """Sends; the Reject(3) that came of it."""
        before = len(broker.admin)
        send()
        self.settle(broker)
        found = [message_of(m) for m in broker.admin[before:] if m.get(35) == b"3"]
        expect(bool(found), "no Reject(35=3) came")
        return found[-1]

    def order(
        self, broker: Recorder, side: str, lots: int, price: Decimal | None, *, status: str = "0", **fields: Any
    ) -> Message:
        """A new order, whose first report must have this OrdStatus(39)."""
        send = lambda: broker.order(self.terms.symbol, side, self.terms.lots(lots), price, **fields)  # noqa: E731
        came, names = self._asked(broker, send, True)
        found = [message for message in came if message.get(11) == names[0]]
        expect(bool(found), "no report of the order came")
        tell(found[0], {39: status, 150: status})
        return found[0]

    def reports(self, broker: Recorder, order_id: str) -> list[Message]:
        """All reports of an order so far, without answers to status requests."""
        found = [message_of(m) for m in broker.inbox if m.get(35) == b"8" and m.get(150) != b"I"]
        return [message for message in found if message.get(37) == order_id]

    def wait(self, broker: Recorder, done: Callable[[], bool], what: str) -> None:
        try:
            broker.wait_for(done, ANSWER_SECONDS_MAX)
        except TimeoutError:
            raise Failed(f"{what}: it did not come in {ANSWER_SECONDS_MAX:.0f} seconds") from None

    def clean(self) -> None:
        """Nothing of ours stands in the book."""
        for party in (self.party, self.counterpart):
            if party is not None:
                broker = self.entered(party)
                self.answers(broker, lambda broker=broker: broker.request("q", [(530, "7")]))  # type: ignore[misc]

    def leave_doors(self) -> None:
        """Logs out of the further gateways: a session that is not looked at for long would be missed there."""
        for door in (self.market_data, self.drop_copy):
            broker = self.brokers.get(door.party.comp_id) if door is not None else None
            if broker is not None and broker.logged_on and broker.socket is not None:
                with contextlib.suppress(SessionLost):
                    self.leave(broker)

    def close(self) -> None:
        for broker in self.brokers.values():
            if broker.logged_on and broker.socket is not None:
                with contextlib.suppress(SessionLost):
                    broker.log_out()
        for broker in self.strangers:
            broker.close()

    def records(self) -> Iterable[list[str]]:
        return [broker.record for broker in (*self.brokers.values(), *self.strangers)]


def tell(message: Message, wanted: dict[int, str]) -> None:
    """Fails unless the message has these values."""
    for tag, value in wanted.items():
        found = message.get(tag, "nothing")
        why = f"; Text(58): {message[58]}" if 58 in message and found != value else ""
        expect(found == value, f"tag {tag} of 35={message.get(35)} is {found}, expected {value}{why}")


def enter(broker: Recorder) -> None:
    """The first logon, from numbers that we do not know: a reset, or, where reports wait, all of them first."""
    for attempt in range(ENTER_ATTEMPTS):
        try:
            broker.log_on(reset=True)
            return
        except SessionLost as lost:
            if "would lose" in str(lost):
                break
            if "already logged on" not in str(lost) or attempt == ENTER_ATTEMPTS - 1:
                raise
        broker.close()
        time.sleep(ENTER_SECONDS)
    broker.next_out = 1
    broker.early.clear()
    try:
        broker.log_on()
    except SessionLost as lost:
        expected = str(lost).partition("expecting ")[2].split(" ")[0]
        if not expected.isdigit():
            raise
        broker.next_out = int(expected)
        broker.early.clear()
        broker.log_on()
    name = b"caught up"
    broker.send("1", [(112, name)])
    broker.wait_for(lambda: any(m.get(112) == name for m in broker.admin), 60.0)
    broker.log_out()
    broker.inbox.clear()
    broker.executions.clear()
    broker.early.clear()
    broker.duplicates = 0
    numbers = broker.next_out, broker.next_in
    try:
        broker.log_on(reset=True)
    except SessionLost as lost:  # more has come meanwhile: it goes on from here
        if "would lose" not in str(lost):
            raise
        broker.close()
        broker.next_out, broker.next_in = numbers
        broker.log_on()


def end_of_hours(stage: Stage) -> str:
    """Why the end of the hours cannot be seen now; empty when it comes soon."""
    schedule = stage.agreed.schedule
    if schedule is None:
        return "needs the venue's hours: --config FILE of the venue"
    end = schedule.next_end(time.time_ns())
    if end is None:
        return "this venue's sessions are open always, or are closed now"
    if end - time.time_ns() > HOURS_SECONDS_MAX * NS:
        return f"play it within {HOURS_SECONDS_MAX} seconds of the end of the hours, {schedule.text_of(end)}"
    return ""


def lack(there: object, remedy: str) -> str:
    return "" if there else remedy


NEEDS: dict[str, Callable[[Stage], str]] = {
    "counterpart": lambda at: lack(
        at.counterpart, "needs a session of another member to trade with: --counterpart COMPID:USERNAME:PASSWORD"
    ),
    "operator": lambda at: lack(at.operator, "needs the venue's operator: --config FILE of the venue, on its machine"),
    "market data": lambda at: lack(
        at.market_data, "needs the market data port: --market-data HOST:PORT and --market-data-session COMPID:..."
    ),
    "drop copy": lambda at: lack(
        at.drop_copy, "needs the drop-copy port: --drop-copy HOST:PORT and --drop-copy-session COMPID:..."
    ),
    "protection": lambda at: lack(
        at.agreed.protection,
        "needs market-maker protection agreed for the member (mmp), and --config FILE of the venue",
    ),
    "throttle": lambda at: lack(
        at.agreed.messages_per_second, "needs messages_per_second of the session, and --config FILE of the venue"
    ),
    "hours": end_of_hours,
}
"""What a case may need, and what is said where the stage has it not."""


def missing(case: Case, stage: Stage) -> str:
    """What the case needs and the stage has not; empty when it can be played."""
    return next(filter(None, (NEEDS[need](stage) for need in sorted(case.needs))), "")


def play(case: Case, stage: Stage) -> Result:
    """One case, from a clean book; never raises for what the venue does."""
    gap = missing(case, stage)
    if gap:
        return Result(case, SKIPPED, f"not run: {gap}")
    marks = [(record, len(record)) for record in stage.records()]
    began = time.monotonic()
    try:
        stage.clean()
        marks = [(record, len(record)) for record in stage.records()]
        case.play(stage)
        verdict, text = PASSED, "as the rules say"
    except Failed as failed:
        verdict, text = FAILED, str(failed)
    except SessionLost as lost:
        verdict, text = FAILED, f"the venue ended the session: {lost}"
    except TimeoutError as late:
        verdict, text = FAILED, f"no answer in time: {late}"
    except OSError as error:
        verdict, text = FAILED, f"the connection failed: {error}"
    except (LookupError, ArithmeticError, ValueError) as error:
        verdict, text = FAILED, f"what came cannot be read: {type(error).__name__}: {error}"
    evidence = evidence_since(stage, marks)
    if verdict == FAILED:
        start_over(stage)
    else:
        stage.leave_doors()
    return Result(case, verdict, text, time.monotonic() - began, evidence)


def evidence_since(stage: Stage, marks: list[tuple[list[str], int]]) -> list[str]:
    """The raw messages since the marks, session by session."""
    known = {id(record): count for record, count in marks}
    lines = [line for record in stage.records() for line in record[known.get(id(record), 0) :]]
    return lines if len(lines) <= EVIDENCE_MAX else [*lines[:EVIDENCE_MAX], f"... and {len(lines) - EVIDENCE_MAX} more"]


def start_over(stage: Stage) -> None:
    """After a failure nothing is known of the sessions: the next case begins with new ones."""
    for broker in (*stage.brokers.values(), *stage.strangers):
        broker.close()
    stage.brokers.clear()
    stage.strangers.clear()


def pairs(**fields: object) -> list[Pair]:
    """t55="ACME" as (55, "ACME")."""
    return [(int(name[1:]), str(value)) for name, value in fields.items()]
