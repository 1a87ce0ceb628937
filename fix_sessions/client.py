"""A sample broker: one FIX 4.4 session to the venue in a file that can be read in ten minutes. Also the tests' client.

It logs on, sends orders, keeps its sequence numbers, answers resend and test requests, fills gaps, and keeps a ledger
of executions by ExecID(17), so that a report that comes twice counts once. It is synchronous: `poll` reads what is
there.
"""

from __future__ import annotations

import itertools
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import simplefix

from fix_sessions.signatures import sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Pair = tuple[int, str | bytes]
ADMIN = frozenset(b"0 1 2 3 4 5 A".split())


class SessionLost(ConnectionError):
    """The venue ended the session; the text is its Logout's."""


@dataclass
class Broker:
    """One session. `inbox` has every application message in order, `executions` the reports by ExecID."""

    host: str
    port: int
    comp_id: str
    username: str
    password: str
    venue: str = "VENUE"
    heartbeat_seconds: int = 30
    next_out: int = 1
    next_in: int = 1
    inbox: list[simplefix.FixMessage] = field(default_factory=list)
    admin: list[simplefix.FixMessage] = field(default_factory=list)
    executions: dict[bytes, simplefix.FixMessage] = field(default_factory=dict)
    duplicates: int = 0
    tls: ssl.SSLContext | None = None
    private_key: Ed25519PrivateKey | None = None

    def __post_init__(self) -> None:
        self.sent: dict[int, tuple[str, list[Pair], str]] = {}
        self.early: dict[int, simplefix.FixMessage] = {}
        self.names = itertools.count(1)
        self.socket: socket.socket | None = None
        self.logged_on = False
        self.logout_text = ""

    # ---- session ----

    def log_on(self, *, reset: bool = False, seconds: float = 10.0, extra: Iterable[Pair] = ()) -> None:
        """Connects and logs on. Raises SessionLost with the venue's reason when it is refused."""
        self.socket = self.connect(seconds)
        self.parser = simplefix.FixParser()
        self.logged_on, self.logout_text, self.asked_to = False, "", 0
        self.early.clear()  # it is asked for again, and a gap fill of then may cover less than one of now
        if reset:
            self.next_out = self.next_in = 1
            self.sent.clear()
        body: list[Pair] = [(98, "0"), (108, str(self.heartbeat_seconds)), (553, self.username)]
        body += [(554, self.password)] if self.password else []
        self.send("A", body + ([(141, "Y")] if reset else []) + list(extra))
        self.wait_for(lambda: self.logged_on, seconds)

    def connect(self, seconds: float) -> socket.socket:
        """A connection to the venue, over TLS when there is a context for it."""
        plain = socket.create_connection((self.host, self.port), seconds)
        return self.tls.wrap_socket(plain, server_hostname=self.host) if self.tls is not None else plain

    def log_out(self, seconds: float = 5.0) -> None:
        """Says good-bye and waits for the answer."""
        self.send("5", [])
        try:
            self.wait_for(lambda: False, seconds)
        except (SessionLost, TimeoutError):
            self.close()

    def close(self) -> None:
        """Cuts the connection without a word."""
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def send(
        self, msg_type: str, body: list[Pair], number: int | None = None, orig_time: str | None = None
    ) -> str | bytes:
        """Sends one message; returns its ClOrdID, when it has one. With `number` it is a repetition of an old one."""
        if number is None:
            number, self.next_out = self.next_out, self.next_out + 1
        now = datetime.now(UTC).strftime("%Y%m%d-%H:%M:%S.%f")
        message = simplefix.FixMessage()
        header: list[Pair] = [
            (8, "FIX.4.4"),
            (35, msg_type),
            (49, self.comp_id),
            (56, self.venue),
            (34, str(number)),
            (52, now),
        ]
        if orig_time is not None:
            header += [(43, "Y"), (122, orig_time)]
        else:
            self.sent[number] = (msg_type, body, now)
        if msg_type == "A" and self.private_key is not None:
            known = {int(tag): value if isinstance(value, bytes) else str(value).encode() for tag, value in header}
            signature = sign(self.private_key, known)
            body = [*body, (95, str(len(signature))), (96, signature)]
        for tag, value in header + body:
            message.append_pair(tag, value)
        self.transmit(message.encode())
        return next((value for tag, value in body if tag == 11), "")

    def transmit(self, data: bytes) -> None:
        """Bytes to the venue, as they are."""
        assert self.socket is not None, "log on first"
        self.socket.sendall(data)

    # ---- requests ----

    def order(self, symbol: str, side: str, qty: object, price: object = None, **fields: object) -> str:
        """New order; `side` is buy or sell, no price means a market order, `fields` are tags as t59="3"."""
        body: list[Pair] = [(55, symbol), (54, "1" if side == "buy" else "2"), (38, str(qty))]
        body += [(40, "1")] if price is None else [(40, "2"), (44, str(price))]
        return self.request("D", body, **fields)

    def cancel(self, orig: str, symbol: str, side: str, **fields: object) -> str:
        return self.request("F", [(41, orig), (55, symbol), (54, "1" if side == "buy" else "2")], **fields)

    def replace(self, orig: str, symbol: str, side: str, qty: object, price: object, **fields: object) -> str:
        body: list[Pair] = [(41, orig), (55, symbol), (54, "1" if side == "buy" else "2"), (38, str(qty)), (40, "2")]
        return self.request("G", [*body, (44, str(price))], **fields)

    def request(self, msg_type: str, body: list[Pair], **fields: object) -> str:
        """Any request; gives it a ClOrdID and a TransactTime when it has none."""
        own: list[Pair] = [(int(name[1:]), str(value)) for name, value in fields.items()]
        tags = {tag for tag, _ in own}
        clordid = (
            ""
            if 11 in tags or any(tag == 11 for tag, _ in body)
            else f"{self.comp_id}-{time.time_ns() // 1000 % 10**10}-{next(self.names)}"
        )
        body = [pair for pair in body if pair[0] not in tags] + own + ([(11, clordid)] if clordid else [])
        if msg_type != "H":
            body.append((60, datetime.now(UTC).strftime("%Y%m%d-%H:%M:%S.%f")))
        return str(self.send(msg_type, body))

    # ---- what comes in ----

    def receive(self, seconds: float) -> bytes:
        """The bytes that are there, waiting at most so long for the first; none when none came. Raises SessionLost."""
        assert self.socket is not None, "log on first"
        self.socket.settimeout(max(seconds, 0.000001))
        try:
            data = self.socket.recv(1 << 18)
        except (TimeoutError, BlockingIOError):
            return b""
        except OSError as error:
            raise SessionLost(self.logout_text or str(error)) from error
        if not data:
            raise SessionLost(self.logout_text or "the venue closed the connection")
        return data

    def poll(self, seconds: float = 0.0) -> int:
        """Reads what is there, waiting at most so long for the first byte; returns how many messages were handled."""
        data = self.receive(seconds)
        if not data:
            return 0
        self.parser.append_buffer(data)
        count = 0
        while (message := self.parser.get_message()) is not None:
            self.on_message(message)
            count += 1
        return count

    def wait_for(self, done: Callable[[], bool], seconds: float = 10.0) -> None:
        """Polls until `done`. Raises TimeoutError, or SessionLost when the session ends first."""
        end = time.monotonic() + seconds
        while not done():
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.comp_id}: nothing came for {seconds} seconds")
            self.poll(min(left, 0.2))

    def on_message(self, message: simplefix.FixMessage) -> None:
        """One message in: gaps are asked for, what is early is kept, what is late was seen before."""
        msg_type, number = message.get(35), int(message.get(34))
        if msg_type == b"5":
            self.logout_text = (message.get(58) or b"").decode()
        if msg_type == b"4" and message.get(123) != b"Y":
            self.next_in = int(message.get(36))
            return
        if msg_type == b"A" and not self.logged_on:
            self.logged_on = True
            if message.get(141) == b"Y":
                self.next_in = 1
        if msg_type == b"2":
            self.answer_resend(int(message.get(7)), int(message.get(16)))
        if number > self.next_in:
            self.early[number] = message
            if self.asked_to < self.next_in:
                self.asked_to = number
                self.send("2", [(7, str(self.next_in)), (16, "0")])
            return
        if number == self.next_in:
            self.take(message)
        while self.next_in in self.early:
            self.take(self.early.pop(self.next_in))

    def take(self, message: simplefix.FixMessage) -> None:
        """One message in its turn."""
        msg_type = message.get(35)
        self.next_in = int(message.get(36)) if msg_type == b"4" else self.next_in + 1
        if msg_type == b"1":
            self.send("0", [(112, message.get(112))])
        (self.admin if msg_type in ADMIN else self.inbox).append(message)
        exec_id = message.get(17)
        if msg_type != b"8" or exec_id in (None, b"0"):
            return
        if exec_id in self.executions:
            self.duplicates += 1
        self.executions[exec_id] = message

    def answer_resend(self, begin: int, end: int) -> None:
        """Repeats application messages with PossDupFlag, skips the rest with a gap fill."""
        end = end or self.next_out - 1
        number = begin
        while number <= end:
            msg_type, body, orig_time = self.sent.get(number, ("0", [], ""))
            if msg_type.encode() in ADMIN:
                follows = number + 1
                while follows <= end and self.sent.get(follows, ("0",))[0].encode() in ADMIN:
                    follows += 1
                self.send(
                    "4",
                    [(123, "Y"), (36, str(follows))],
                    number,
                    self.sent.get(number, ("", [], "20000101-00:00:00"))[2],
                )
                number = follows
            else:
                self.send(msg_type, body, number, orig_time)
                number += 1
