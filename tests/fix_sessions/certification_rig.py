"""A whole venue to be certified against: order entry, market data, drop copy, the operator; and spoilers in between.

A spoiler stands between client and venue and changes what the venue says once it is armed, so that each case can be
seen to fail. It keeps MsgSeqNum(34), BodyLength(9) and CheckSum(10) right: a message that it takes away was never sent.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from cores import CommandFlag, CommandKind, Limit, Phase
from fix_sessions.certification import Agreed, Case, Door, Party, Protection, Result, Stage, Terms, play
from fix_sessions.certification_cases import CASES
from fix_sessions.schedule import Schedule
from tests.fix_sessions.market_rig import Gateway
from tests.fix_sessions.rig import PASSWORD, Venue
from tests.fix_sessions.test_drop_copy import Copies, with_copies

TERMS = Terms("ACME", Decimal("100.00"), Decimal("0.01"), Decimal(1))
ALPHA, BRAVO = Party("ALPHA1", "alpha", PASSWORD), Party("BRAVO1", "bravo", PASSWORD)
FEED, ACOPY = Party("FEED1", "feed1", PASSWORD), Party("ACOPY", "acopy", PASSWORD)
MMP = 'mmp = { window_ms = 60000, quantity = "50", delta = "30", trades = 6 }'
MESSAGES_PER_SECOND = 1000
HEARTBEATS = 30
BY_NAME = {case.name: case for case in CASES}
THROTTLE = (('comp_id = "ALPHA1"', f'messages_per_second = {MESSAGES_PER_SECOND}, comp_id = "ALPHA1"'),)
Change = Callable[[bytes], bytes]
Spoil = Callable[[bytes], bytes | list[bytes]]


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

    def news(self, session: str, text: str) -> None:
        self.venue.acceptor.operate({"verb": "news", "session": session, "text": text})

    def log_out(self, session: str, reason: str) -> None:
        self.venue.acceptor.operate({"verb": "log_out", "session": session, "text": reason})

    def reset(self, session: str, reason: str) -> None:
        self.venue.acceptor.operate({"verb": "reset_session", "session": session, "text": reason})

    def _call(self, **fields: int) -> None:
        self.venue.engine.call(body=b"verb=test\x01", **fields)


def cut(*ends: socket.socket) -> None:
    """Ends connections even while another thread reads from them."""
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


class Spoiler:
    """Stands in front of one port of the venue; `spoil` is None while nothing is to be spoilt."""

    def __init__(self, port: int, spoil: Spoil | None = None) -> None:
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
            threading.Thread(target=self._out, args=(near, far), daemon=True).start()
            threading.Thread(target=self._back, args=(far, near), daemon=True).start()

    @staticmethod
    def _out(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        cut(source, target)

    def _back(self, source: socket.socket, target: socket.socket) -> None:
        rest, shift = b"", 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                *whole, rest = re.split(rb"(?<=\x0110=\d\d\d\x01)", rest + data)
                for message in whole:
                    spoilt = self.spoil(message) if self.spoil is not None else message
                    found = [spoilt] if isinstance(spoilt, bytes) else spoilt
                    kept = [each for each in found if each]
                    for number, each in enumerate(kept):
                        target.sendall(again(each, shift + number))
                    shift += len(kept) - 1
        cut(source, target)

    def close(self) -> None:
        self.listener.close()
        cut(*self.sockets)


def again(message: bytes, shift: int) -> bytes:
    """A changed message with its number, length and sum made right."""
    body = message[message.index(b"\x0135=") + 1 : -7]
    if shift:
        body = re.sub(rb"\x0134=(\d+)\x01", lambda m: b"\x0134=%d\x01" % (int(m[1]) + shift), body, count=1)
    head = b"8=FIX.4.4\x019=%d\x01" % len(body) + body
    return head + b"10=%03d\x01" % (sum(head) % 256)


class Whole:
    """The venue with all its gateways, and a stage in front of it."""

    def __init__(self, folder: Path, application: str = "native", sync: str = "none", *, spoilt: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.venue = Venue(folder, application, sync, alpha=MMP, changes=THROTTLE)
        self.market = Gateway(folder)
        self.copies = Copies(with_copies(self.venue.config))
        assert self.market.gateway is not None
        ports = [self.venue.acceptor.port, self.market.gateway.listener.port, self.copies.gateway.listener.port]
        self.spoilers = [Spoiler(port) for port in ports] if spoilt else []
        addresses = [("127.0.0.1", spoiler.port) for spoiler in self.spoilers] or [("127.0.0.1", p) for p in ports]
        doors = Door(addresses[1], FEED), Door(addresses[2], ACOPY)
        agreed = Agreed("ALPHA", Protection(Decimal(30), 6), MESSAGES_PER_SECOND)
        self.stage = Stage(addresses[0], "VENUE", ALPHA, TERMS, BRAVO, Desk(self.venue), True, *doors, agreed)

    def play(self, case: Case, spoil: Spoil, throttle: int = MESSAGES_PER_SECOND) -> Result:
        """Plays a case, spoilt from where its own part begins, as if this throttle were agreed."""
        self.stage.agreed = replace(self.stage.agreed, messages_per_second=throttle)

        def armed(at: Stage) -> None:
            for need, door in (("market data", at.market_data), ("drop copy", at.drop_copy)):
                if need in case.needs and door is not None:
                    at.entered(door.party, door.address)
            self._arm(spoil)
            case.play(at)

        try:
            return play(replace(case, play=armed), self.stage)
        finally:
            self._arm(None)

    def _arm(self, spoil: Spoil | None) -> None:
        begin = getattr(spoil, "begin", None)
        if begin is not None:
            begin()
        for spoiler in self.spoilers:
            spoiler.spoil = spoil

    def close(self) -> None:
        self._arm(None)
        self.stage.close()
        for spoiler in self.spoilers:
            spoiler.close()
        self.market.close()
        self.copies.close()
        self.venue.close()


def agreed_hours(venue: Venue) -> Agreed:
    """What a venue's own schedule says."""
    return Agreed("ALPHA", schedule=Schedule(venue.config.schedule))


def with_hours(start: str, end: str) -> dict[str, Any]:
    """A venue that has these hours."""
    return {"changes": (("[limits]", f'[schedule]\nstart = "{start}"\nend = "{end}"\n[limits]'),)}


# ---- what a spoiler does ----


def kind_of(message: bytes) -> bytes:
    found = re.search(rb"\x0135=([^\x01]+)\x01", message)
    return found[1] if found else b""


def untouched(message: bytes) -> bytes:
    """As the venue says it."""
    return message


def changed(old: str, new: str, kind: str = "") -> Change:
    """Every field `old` becomes `new`; in messages of one type, or of all."""
    before, after = f"\x01{old}\x01".encode(), f"\x01{new}\x01".encode()

    def spoil(message: bytes) -> bytes:
        return message if kind and kind_of(message) != kind.encode() else message.replace(before, after)

    return spoil


def within(has: str, tag: int, new: str) -> Change:
    """Messages that have a field which begins so have another value of this tag."""
    field = rb"\x01%d=[^\x01]*(?=\x01)" % tag
    return lambda m: re.sub(field, b"\x01%d=%s" % (tag, new.encode()), m) if b"\x01" + has.encode() in m else m


def both(first: Change, second: Change) -> Change:
    """One after the other."""
    return lambda message: second(first(message)) if first(message) else b""


def worded(old: str, new: str) -> Change:
    """Other words in a text."""
    return lambda message: message.replace(old.encode(), new.encode())


def never(kind: str, has: str = "") -> Change:
    """Messages of this type (with such a field) were never sent."""
    field = f"\x01{has}\x01".encode() if has else b""
    return lambda message: b"" if kind_of(message) == kind.encode() and field in message else message


def accepted(text: str) -> Change:
    """A Logout that says so becomes a Logon: who was to be refused is let in."""
    return lambda m: m.replace(b"\x0135=5\x01", b"\x0135=A\x01") if text.encode() in m and kind_of(m) == b"5" else m


def late(kind: str = "A") -> Spoil:
    """After each message of this type come heartbeats: numbers are higher than they should be."""

    def spoil(message: bytes) -> bytes | list[bytes]:
        beat = re.sub(rb"\x0135=A\x01", b"\x0135=0\x01", message)
        beat = re.sub(rb"\x01(98|108|141)=[^\x01]*(?=\x01)", b"", beat)
        return [message] + [beat] * HEARTBEATS if kind_of(message) == kind.encode() else message

    return spoil


def early(message: bytes) -> bytes | list[bytes]:
    """A heartbeat comes before the answer to a Logon."""
    beat = re.sub(rb"\x01(98|108|141)=[^\x01]*(?=\x01)", b"", message.replace(b"\x0135=A\x01", b"\x0135=0\x01"))
    return [beat, message] if kind_of(message) == b"A" else message


def as_update(message: bytes) -> bytes:
    """A whole snapshot comes as an update."""
    if kind_of(message) != b"W":
        return message
    return message.replace(b"\x0135=W\x01", b"\x0135=X\x01").replace(b"\x01269=", b"\x01279=0\x01269=")


def unfilled(message: bytes) -> bytes:
    """What is filled is told as partly so, and a cancel that came too late as one that was done."""
    told = message.replace(b"\x0139=2\x01", b"\x0139=1\x01")
    return told.replace(b"\x0135=9\x01", b"\x0135=8\x01150=4\x01151=0\x01")


def twice(kind: str, has: str = "") -> Spoil:
    """Messages of this type (with such a field) come twice."""
    field = f"\x01{has}\x01".encode() if has else b""
    return lambda message: [message] * 2 if kind_of(message) == kind.encode() and field in message else message


def also(kind: str, second: str) -> Spoil:
    """After each message of a type comes the same as another type."""

    def spoil(message: bytes) -> bytes | list[bytes]:
        copy = message.replace(b"\x0135=" + kind.encode() + b"\x01", b"\x0135=" + second.encode() + b"\x01")
        return [message, copy] if kind_of(message) == kind.encode() else message

    return spoil


def lacking(kind: str, tag: int) -> Change:
    """Messages of this type are without this field."""
    field = rb"(?<=\x01)%d=[^\x01]*\x01" % tag
    return lambda message: re.sub(field, b"", message) if kind_of(message) == kind.encode() else message


def numbered(kind: str, number: int) -> Change:
    """Messages of this type have this MsgSeqNum(34)."""
    field, new = rb"\x0134=[0-9]+(?=\x01)", b"\x0134=%d" % number
    return lambda message: re.sub(field, new, message, count=1) if kind_of(message) == kind.encode() else message


class FromSecond:
    """Spoils from the second message of a type on, or from a later one."""

    def __init__(self, kind: str, spoil: Spoil, after: int = 1) -> None:
        self.kind, self.spoil, self.after = kind.encode(), spoil, after
        self.begin()

    def begin(self) -> None:
        self.count = 0

    def __call__(self, message: bytes) -> bytes | list[bytes]:
        self.count += kind_of(message) == self.kind
        return self.spoil(message) if self.count > self.after else message


def other(value: bytes) -> bytes:
    """Another value of the same form."""
    if re.fullmatch(rb"[0-9]+(\.[0-9]+)?", value):
        return value[:-1] + b"%d" % ((int(value[-1:]) + 1) % 10) if value != b"9" else b"8"
    return {b"Y": b"N", b"N": b"Y"}.get(value, value[:-1] + (b"X" if value[-1:] != b"X" else b"Y"))


class Every:
    """A field of all messages of a type has another value."""

    def __init__(self, kind: str, tag: int) -> None:
        self.kind, self.field = kind.encode(), rb"(?<=\x01)(%d=)([^\x01]*)(?=\x01)" % tag

    def __call__(self, message: bytes) -> bytes:
        return re.sub(self.field, lambda m: m[1] + other(m[2]), message) if kind_of(message) == self.kind else message


class One(Every):
    """A field of one message of a type to a session, counted from 0, has another value."""

    def __init__(self, kind: str, tag: int, session: str, index: int) -> None:
        super().__init__(kind, tag)
        self.session, self.index = b"\x0156=" + session.encode() + b"\x01", index
        self.begin()

    def begin(self) -> None:
        self.count = 0

    def __call__(self, message: bytes) -> bytes:
        if kind_of(message) != self.kind or self.session not in message:
            return message
        self.count += 1
        return super().__call__(message) if self.count == self.index + 1 else message


class Last:
    """Before each heartbeat the last message of a type comes again."""

    def __init__(self, kind: str) -> None:
        self.kind = kind.encode()
        self.begin()

    def begin(self) -> None:
        self.last = b""

    def __call__(self, message: bytes) -> list[bytes]:
        if kind_of(message) == self.kind:
            self.last = message
        if kind_of(message) != b"0" or not self.last:
            return [message]
        number = re.search(rb"\x0134=[0-9]+\x01", message)
        assert number is not None
        return [re.sub(rb"\x0134=[0-9]+\x01", number[0], self.last, count=1), message]


def one_execution(message: bytes) -> bytes:
    """All reports are of one execution."""
    return re.sub(rb"\x0117=[1-9][0-9]*-[0-9]+\x01", b"\x0117=1-1\x01", message)


class Second:
    """The second and later messages of a type have another field."""

    def __init__(self, kind: str, pattern: str, new: str) -> None:
        self.kind, self.pattern, self.new = kind.encode(), pattern.encode(), new.encode()
        self.begin()

    def begin(self) -> None:
        self.count = 0

    def __call__(self, message: bytes) -> bytes:
        if kind_of(message) != self.kind:
            return message
        self.count += 1
        field = rb"\x01" + self.pattern + rb"(?=\x01)"
        return message if self.count == 1 else re.sub(field, b"\x01" + self.new, message)


class Eager:
    """Each X comes as four updates, numbered as such."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.more = 0

    def __call__(self, message: bytes) -> bytes | list[bytes]:
        if kind_of(message) != b"X":
            return message
        first, self.more = self.more, self.more + 3
        number = int(re.search(rb"\x0183=([0-9]+)\x01", message)[1])  # type: ignore[index]
        return [re.sub(rb"\x0183=[0-9]+", b"\x0183=%d" % (number + first + n), message) for n in range(4)]


def raced(message: bytes) -> bytes:
    """Neither answer to a cancel that meets a fill is right."""
    return message.replace(b"\x01102=0\x01", b"\x01102=99\x01").replace(b"\x01150=4\x01", b"\x01150=C\x01")
