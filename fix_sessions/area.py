"""One area of the application, a few message types and all that belongs to them, and the floor that all areas share.

Why: order entry, mass cancels, lists, positions, ... have nothing in common but what the floor gives them, so each is
a module of its own and is registered by one line in `application.py`. Everything runs on the gateway's thread: an
area must never block there, and never tell of a state that is not durable yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fix_sessions.codec import Terms
from fix_sessions.messages import Field
from venue.config import Config
from venue.pegs import PegService

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


class Floor:
    """What every area is given. `gateway` is there from `attach` on, `engine` where there is one."""

    def __init__(self, config: Config, engine: Any = None) -> None:
        self.config = config
        self.engine = engine
        self.terms = Terms(config)
        self.gateway: Any = None
        self.pegs = PegService(engine, config)
        self.each_tick: list[Callable[[], None]] = []
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._watchers: dict[int, int] = {}

    def send(
        self, session: int, msg_type: bytes, fields: list[Field], exec_id: int = 0, poss_resend: bool = False
    ) -> None:
        """A message in order of its tags, so without repeating groups."""
        self.gateway.send(session, msg_type, sorted(fields, key=lambda field: field[0]), exec_id, poss_resend)

    def send_as_is(
        self, session: int, msg_type: bytes, fields: list[Field], exec_id: int = 0, poss_resend: bool = False
    ) -> None:
        """A message with repeating groups: its fields leave in the order given."""
        self.gateway.send(session, msg_type, fields, exec_id, poss_resend)

    def business_reject(self, message: Inbound, code: int, text: bytes, ref_tag: int = 11) -> None:
        """BusinessMessageReject(j); it names the request by its identifier, the value of `ref_tag`."""
        fields: list[Field] = [(45, b"%d" % message.number), (58, text)]
        fields += [(372, message.values[35]), (380, b"%d" % code)]
        if ref_tag in message.values:
            fields.append((379, message.values[ref_tag]))
        self.send(message.session, b"j", fields)

    def when_durable(self, seq: int, answer: Callable[[], None]) -> None:
        """Calls `answer` at once, or as soon as every command up to `seq` is durable; answers keep their order."""
        if not self._waiting and self.gateway.durable_seq() >= seq:
            answer()
        else:
            self._waiting.append((seq, answer))
            self.gateway.want_turns(True)

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

    def answer_waiting(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.gateway.durable_seq():
            self._waiting.popleft()[1]()
        if not self._waiting:
            self.gateway.want_turns(False)


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
