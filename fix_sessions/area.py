"""One area of the application, a few message types and all that belongs to them, and the floor that all areas share.

Why: order entry, mass cancels, lists, positions, ... have nothing in common but what the floor gives them, so each is
a module of its own and is registered by one line in `application.py`. Everything runs on the gateway's thread: an
area must never block there, and never tell of a state that is not durable yet.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fix_sessions.codec import Terms
from fix_sessions.messages import Field
from venue.busts import Busts
from venue.config import Config
from venue.log import event
from venue.pegs import PegService

log = logging.getLogger("fix")

PORTION_MESSAGES = 64
UNSENT_BYTES_MAX = 256 << 10
REASON_OTHER = 0
REASON_UNKNOWN_ID = 1
REASON_UNKNOWN_SECURITY = 2
REASON_UNSUPPORTED_TYPE = 3
REASON_NOT_AVAILABLE = 4
REASON_FIELD_MISSING = 5
REASON_NOT_AUTHORIZED = 6
STOPPED_TEXT = b"the venue takes no orders now; nothing was done"
TOO_LONG_TEXT = b"the message's body is longer than 4080 bytes; nothing was done"


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message as it came: `number` is its MsgSeqNum, `values` the first value of every tag, `body` `35=` and on."""

    session: int
    number: int
    values: dict[int, bytes]
    body: bytes
    poss_dup: bool


@dataclass(frozen=True, slots=True)
class Outbound:
    """A message to be sent; with `as_is` its fields leave in the order given, as repeating groups need it."""

    msg_type: bytes
    fields: list[Field]
    as_is: bool = False


class Floor:
    """What every area is given. `gateway` is there from `attach` on, `engine` where there is one."""

    def __init__(self, config: Config, engine: Any = None) -> None:
        self.config = config
        self.engine = engine
        self.terms = Terms(config)
        self.gateway: Any = None
        self.pegs = PegService(engine, config)
        self.busts = Busts(engine, config)
        self.algorithms: Any = None  # the area of that name
        self.each_tick: list[Callable[[], None]] = []
        self.logged_on: set[int] = set()
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._pouring: list[tuple[int, Iterator[Outbound]]] = []
        self._watchers: dict[int, int] = {}
        self._clerks: dict[str, Clerk] = {}

    def now_ns(self) -> int:
        """The time by which areas do what is due."""
        return time.time_ns()

    def send(
        self, session: int, msg_type: bytes, fields: list[Field], exec_id: int = 0, poss_resend: bool = False
    ) -> None:
        """A message in order of its tags, so without repeating groups."""
        self.gateway.send(session, msg_type, sorted(fields, key=lambda field: field[0]), exec_id, poss_resend)

    def send_as_is(self, session: int, msg_type: bytes, fields: list[Field]) -> None:
        """A message with repeating groups: its fields leave in the order given."""
        self.gateway.send(session, msg_type, fields)

    def business_reject(self, message: Inbound, code: int, text: bytes, ref_tag: int = 11) -> None:
        """BusinessMessageReject(j); it names the request by its identifier, the value of `ref_tag`."""
        fields: list[Field] = [(45, b"%d" % message.number), (58, text)]
        fields += [(372, message.values[35]), (380, b"%d" % code)]
        if message.values.get(ref_tag):  # a broken message may have the field without a value
            fields.append((379, message.values[ref_tag]))
        self.send(message.session, b"j", fields)

    def pour(self, session: int, messages: Iterable[Outbound]) -> None:
        """Many messages: a portion a turn, and only as fast as the broker reads; what is left when it logs out is not
        sent. Everybody else is served in between.
        """
        self._pouring.append((session, iter(messages)))
        self._want_turns()

    def aside(self, work: Callable[[], Any], then: Callable[[Any], None], clerk: str = "clerk") -> None:
        """Does work that takes long on the clerk's thread, and `then` what is to be done with its result on this one.
        What `work` raises is given to `then`.
        """
        self._clerks.setdefault(clerk, Clerk(clerk)).ask(work, then)
        self._want_turns()

    def soon(self, call: Callable[[], Any]) -> None:
        """Calls it in the next turn of the gateway's thread; before anything is submitted there, it is the first."""
        self._waiting.append((0, call))
        self._want_turns()

    def when_durable(self, seq: int, answer: Callable[[], None]) -> None:
        """Calls `answer` at once, or as soon as every command up to `seq` is durable; answers keep their order."""
        if not self._waiting and self.gateway.durable_seq() >= seq:
            answer()
        else:
            self._waiting.append((seq, answer))
            self._want_turns()

    def watch(self, session: int, wanted: bool) -> None:
        """Whether the reports of a session come to the areas' `on_report` even when the native application sends them.

        Counted: who has asked must take it back.
        """
        count = self._watchers.get(session, 0) + (1 if wanted else -1)
        assert count >= 0, "nobody takes back what was not asked for"
        self._watchers[session] = count
        self.gateway.watch(session, count > 0)

    def tick(self, call: Callable[[], None], wanted: bool = True) -> None:
        """Whether `call` is called several times a second (every 200 ms), while nothing else runs."""
        if wanted and call not in self.each_tick:
            self.each_tick.append(call)
        elif not wanted and call in self.each_tick:
            self.each_tick.remove(call)
        self.gateway.want_ticks(bool(self.each_tick))

    def on_turn(self) -> None:
        """What waited and can go on now."""
        while self._waiting and self._waiting[0][0] <= self.gateway.durable_seq():
            self._waiting.popleft()[1]()
        for clerk in tuple(self._clerks.values()):
            clerk.answer()
        self._pouring = [flow for flow in self._pouring if self._pour_portion(*flow)]
        self._want_turns()

    def on_session(self, session: int, logged_on: bool) -> None:
        """Before the areas hear of it."""
        (self.logged_on.add if logged_on else self.logged_on.discard)(session)

    def close(self) -> None:
        """Ends the threads that work aside. Idempotent."""
        for clerk in self._clerks.values():
            clerk.close()

    def _want_turns(self) -> None:
        busy = any(clerk.busy for clerk in self._clerks.values())
        self.gateway.want_turns(bool(self._waiting or self._pouring or busy))

    def _pour_portion(self, session: int, messages: Iterator[Outbound]) -> bool:
        """Whether there is more."""
        for _ in range(PORTION_MESSAGES):
            if session not in self.logged_on:
                return False
            if self.gateway.unsent(session) > UNSENT_BYTES_MAX:
                return True
            message = next(messages, None)
            if message is None:
                return False
            (self.send_as_is if message.as_is else self.send)(session, message.msg_type, message.fields)
        return True


class Clerk:
    """One thread that does long work, one piece after the other; it starts with the first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._asked: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Callable[[Any], None], Any]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._count = 0

    @property
    def busy(self) -> bool:
        """Whether something was asked that is not answered."""
        return self._count > 0

    def ask(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()
        self._count += 1
        self._asked.put((work, then))

    def answer(self) -> None:
        """Gives out the results that are there; on the thread that asked."""
        while self._count and not self._done.empty():
            then, result = self._done.get()
            self._count -= 1
            then(result)

    def close(self) -> None:
        if self._thread is not None:
            self._asked.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (piece := self._asked.get()) is not None:
            work, then = piece
            try:
                result = work()
            except Exception as error:
                event(log, "work aside failed", logging.ERROR, error=f"{type(error).__name__}: {error}")
                result = error
            self._done.put((then, result))


class Area:
    """A few message types. `serves` names them; the other methods are for areas that need them."""

    serves: ClassVar[tuple[bytes, ...]] = ()

    def __init__(self, floor: Floor) -> None:
        self.floor = floor

    @property
    def terms(self) -> Terms:
        return self.floor.terms

    @property
    def gateway(self) -> Any:
        return self.floor.gateway

    def serve(self, message: Inbound) -> None:
        """Answers one message. Raises `codec.TagRefused` for a value that cannot be taken at all."""
        raise AssertionError(f"{type(self).__name__} names types and serves none")

    def on_report(self, report: np.void, poss_resend: bool) -> None:
        """One report that is durable, after its 8 or 9 was sent. With the native application only those that are no 8
        or 9, and those of sessions that are watched.
        """

    def on_round(self) -> None:
        """After the reports of a round, or of its part up to one that no 8 or 9 tells of: what they led to is told now,
        so that both applications tell it in the same order.
        """

    def on_session(self, session: int, logged_on: bool) -> None:
        """A session has logged on or out."""

    def on_start(self) -> None:
        """The stores are up to date; nobody is let in yet."""

    def on_stop(self) -> None:
        """The gateway has ended; the engine still runs. Idempotent."""

    def check(self) -> None:
        """Asserts the area's invariants."""
