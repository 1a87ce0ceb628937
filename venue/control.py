"""The control socket: the only way in beside FIX, for operators, deposits seen on a chain, and other processes.

Why: what changes the state must be journaled by the one writer, whoever asks for it. A request is a command with its
annex; its reply comes when the command is durable, with its sequence number and events. Only processes of the same
user or of root may connect (the kernel says who they are), and who asked is written into the annex. It must never apply
anything by another way than `Engine.call`.

A frame is `bytes u32 | kind u8 | 0 u8[3] | request id u64 | body`, little-endian; `bytes` counts what follows itself.
  1 command   body: 64-byte command (seq, time, precheck zero), then the annex body  -> 129: seq u64, 64 bytes an event
              (of more than 262,144 events those about single orders are left out); nothing is done and the answer is
              134, seq u64 of the first and a text, when the reference of a deposit or withdrawal was used before
  2 status    -> 130: JSON     3 snapshot -> 131: seq u64     4 stop -> 132: empty, the engine's process then ends
  5 operate   body: a JSON object, {"verb": ...}, about the sessions; of it only a bust is journaled  -> 133: JSON
  255 error   body: text; the connection is closed after it when the frame itself was malformed
"""

from __future__ import annotations

import contextlib
import getpass
import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cores.records import COMMAND, EVENT, SYMBOL_NONE, CommandFlag, CommandKind, EventKind, Limit, Phase, Reason
from venue._engine import names_of
from venue.log import event
from venue.records import ANNEX_BYTES_MAX, SALT_BYTES, SubmitStatus
from venue.references import MovingEngine, NotYet, References, Used

log = logging.getLogger("control")

LENGTH = struct.Struct("<I")
HEAD = struct.Struct("<B3xQ")
SEQ = struct.Struct("<Q")
CREDENTIALS = struct.Struct("iII")  # pid, uid, gid
COMMAND_BYTES = 64
PEER_BYTES_MAX = 48  # of the peer's identity, added to the annex
BODY_BYTES_MAX = ANNEX_BYTES_MAX - SALT_BYTES - PEER_BYTES_MAX
REQUEST_BYTES_MAX = HEAD.size + COMMAND_BYTES + BODY_BYTES_MAX
REPLY_BYTES_MAX = 64 << 20
REPLY_EVENTS_MAX = 1 << 18
CONNECTIONS_MAX = 64


class Frame(IntEnum):
    COMMAND = 1
    STATUS = 2
    SNAPSHOT = 3
    STOP = 4
    OPERATE = 5
    COMMAND_DONE = 129
    STATUS_DONE = 130
    SNAPSHOT_DONE = 131
    STOP_DONE = 132
    OPERATE_DONE = 133
    REFERENCE_USED = 134
    ERROR = 255


class ControlError(Exception):
    """The engine refused a request, or cannot be reached; the text says why."""


class ControlLost(ControlError):
    """The connection ended before the reply: the command was journaled once or not at all; look for its reference."""


class CommandRefused(ControlError):
    """The command was journaled and the core refused it; `reason` says why and `seq` where it stands."""

    def __init__(self, seq: int, reason: Reason) -> None:
        super().__init__(f"refused by the core: {reason.name} (command {seq})")
        self.seq = seq
        self.reason = reason


class ReferenceUsed(ControlError):
    """Nothing was done: the reference of this deposit or withdrawal was used before, by command `seq`."""

    def __init__(self, seq: int, text: str) -> None:
        super().__init__(text)
        self.seq = seq


class MalformedFrame(ValueError):
    """Bytes that are no request."""


class ControlledEngine(MovingEngine, Protocol):
    """What the server needs of the engine."""

    def call(self, command: Any, **options: Any) -> tuple[int, int, NDArray[np.void]]: ...
    def counters(self) -> dict[str, Any]: ...
    def snapshot(self) -> int: ...


def read_exactly(connection: socket.socket, count: int) -> bytes:
    """`count` bytes; fewer only when the peer has closed."""
    parts: list[bytes] = []
    while count > 0:
        part = connection.recv(min(count, 1 << 20))
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def read_frame(connection: socket.socket, bytes_max: int) -> tuple[int, int, bytes] | None:
    """(kind, request id, body); None at a clean end. Raises MalformedFrame."""
    prefix = read_exactly(connection, LENGTH.size)
    if not prefix:
        return None
    if len(prefix) < LENGTH.size:
        raise MalformedFrame("the connection ended inside a length")
    (length,) = LENGTH.unpack(prefix)
    if not HEAD.size <= length <= bytes_max:
        raise MalformedFrame(f"a frame of {length} bytes: must be from {HEAD.size} to {bytes_max}")
    data = read_exactly(connection, length)
    if len(data) < length:
        raise MalformedFrame(f"the connection ended after {len(data)} of {length} bytes of a frame")
    kind, request = HEAD.unpack_from(data)
    return kind, request, data[HEAD.size :]


def write_frame(connection: socket.socket, kind: int, request: int, body: bytes = b"") -> None:
    """Sends one frame."""
    connection.sendall(LENGTH.pack(HEAD.size + len(body)) + HEAD.pack(kind, request) + body)


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """An address of the socket that fits the kernel's 107 bytes however long the folder's path is."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class ControlServer:
    """Serves the socket at `path` from threads of its own, for an engine in this process."""

    def __init__(
        self,
        engine: ControlledEngine,
        path: Path,
        *,
        on_stop: Callable[[], None] = lambda: None,
        status: Callable[[], dict[str, Any]] = dict,
        operate: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        """`on_stop` is called when an operator asks the process to end; `status` adds facts of the host; `operate` does
        what is asked of the sessions, ValueError refuses it."""
        self._operate = operate
        self._engine = engine
        self._on_stop = on_stop
        self._status = status
        self._path = path
        self._closing = False
        self._lock = threading.Lock()
        self._references = References(engine)
        self._terms_lock = threading.Lock()  # no instrument is redefined between a bust's look and its command
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        path.unlink(missing_ok=True)  # the journal's lock says that no other engine serves it
        with short_address(path) as address:
            self._listener.bind(address)
        path.chmod(0o600)
        self._listener.listen(CONNECTIONS_MAX)
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Asserts the bound on connections."""
        with self._lock:
            assert len(self._connections) <= CONNECTIONS_MAX
        self._references.check()

    def close(self) -> None:
        """Ends all connections; replies under way are sent first."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        with self._lock:
            serving = list(self._connections.items())
        for connection, _ in serving:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        for _, thread in serving:
            if thread is not threading.current_thread():
                thread.join()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> ControlServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                break
            with self._lock:
                if len(self._connections) >= CONNECTIONS_MAX:
                    with contextlib.suppress(OSError):
                        write_frame(connection, Frame.ERROR, 0, b"too many connections")
                    connection.close()
                    continue
                thread = threading.Thread(target=self._serve, args=(connection,), name="control peer", daemon=True)
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            pid, uid, _ = CREDENTIALS.unpack(
                connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
            )
            if uid not in (0, os.getuid()):
                event(log, "peer refused", logging.WARNING, pid=pid, uid=uid)
                write_frame(connection, Frame.ERROR, 0, b"only the venue's own user and root may connect")
                return
            peer = f"uid={uid}\x01pid={pid}\x01".encode()
            while (frame := read_frame(connection, REQUEST_BYTES_MAX)) is not None:
                self._answer(connection, peer, *frame)
        except MalformedFrame as error:
            event(log, "malformed frame", logging.WARNING, error=str(error))
            with contextlib.suppress(OSError):
                write_frame(connection, Frame.ERROR, 0, str(error).encode())
        except OSError as error:
            event(log, "peer lost", logging.INFO, error=str(error))
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()

    def _answer(self, connection: socket.socket, peer: bytes, kind: int, request: int, body: bytes) -> None:
        if kind == Frame.COMMAND:
            self._command(connection, peer, request, body)
        elif kind == Frame.OPERATE:
            self._operation(connection, peer, request, body)
        elif body:
            raise MalformedFrame(f"a frame of kind {kind} has no body, not one of {len(body)} bytes")
        elif kind == Frame.STATUS:
            status = {**self._engine.counters(), **self._status()}
            status["journal_sync_buckets"] = [[str(bound), count] for bound, count in status["journal_sync_buckets"]]
            write_frame(connection, Frame.STATUS_DONE, request, json.dumps(status).encode())
        elif kind == Frame.SNAPSHOT:
            try:
                write_frame(connection, Frame.SNAPSHOT_DONE, request, SEQ.pack(self._engine.snapshot()))
            except OSError as error:
                write_frame(connection, Frame.ERROR, request, f"no snapshot: {error}".encode())
        elif kind == Frame.STOP:
            event(log, "stop requested", peer=peer.decode().replace("\x01", " ").strip())
            write_frame(connection, Frame.STOP_DONE, request)
            self._on_stop()
        else:
            raise MalformedFrame(f"unknown kind of frame {kind}")

    def _operation(self, connection: socket.socket, peer: bytes, request: int, body: bytes) -> None:
        try:
            asked = json.loads(body)
            if not isinstance(asked, dict) or not isinstance(asked.get("verb"), str) or self._operate is None:
                raise ValueError("a request is a JSON object with a verb, and this engine must have sessions")
            asked = {**asked, "peer": peer.decode()}
            with self._terms_lock if asked["verb"] == "bust" else contextlib.nullcontext():
                answer = self._operate(asked)
        except (ValueError, RecursionError) as error:
            write_frame(connection, Frame.ERROR, request, str(error).encode())
            return
        event(log, "operator", **{key: str(value).replace("\x01", " ").strip() for key, value in asked.items()})
        write_frame(connection, Frame.OPERATE_DONE, request, json.dumps(answer).encode())

    def _command(self, connection: socket.socket, peer: bytes, request: int, body: bytes) -> None:
        if len(body) < COMMAND_BYTES:
            raise MalformedFrame(f"a command has {COMMAND_BYTES} bytes, not {len(body)}")
        command = np.frombuffer(body[:COMMAND_BYTES], COMMAND)[0]
        annex = body[COMMAND_BYTES:]
        fault = command_fault(command)
        try:
            clordid, orig_clordid = names_of(annex)
        except ValueError as error:
            fault = fault or str(error)
        if fault:
            write_frame(connection, Frame.ERROR, request, fault.encode())
            return

        def call() -> tuple[int, int, NDArray[np.void]]:
            options = {"clordid": clordid, "orig_clordid": orig_clordid, "body": annex + peer, "origin": request}
            return self._engine.call(command, **options)

        with self._terms_lock if command["kind"] == CommandKind.INSTRUMENT else contextlib.nullcontext():
            answer = self._references.once(command, annex, call)
        if isinstance(answer, Used):
            write_frame(connection, Frame.REFERENCE_USED, request, SEQ.pack(answer.seq) + answer.text.encode())
            return
        if isinstance(answer, NotYet):
            write_frame(connection, Frame.ERROR, request, answer.text.encode())
            return
        status, seq, events = answer
        if status != SubmitStatus.OK:
            text = "the engine takes no commands any more" if status == SubmitStatus.STOPPED else "invalid annex"
            write_frame(connection, Frame.ERROR, request, text.encode())
            return
        write_frame(connection, Frame.COMMAND_DONE, request, SEQ.pack(seq) + reply_events(events).tobytes())


def command_fault(command: np.void) -> str:
    """Why a command may not come in this way; empty when it may."""
    if command["seq"] or command["time_ns"] or command["precheck"]:
        return "seq, time_ns and precheck are the engine's to write: send zeros"
    if command["kind"] == CommandKind.BUST:
        return "a trade is busted by the verb bust, which finds its terms and whether it was busted before"
    orders = (CommandKind.NEW, CommandKind.CANCEL, CommandKind.REPLACE)
    if command["kind"] in orders and command["session"]:
        return f"an order of session {command['session']} comes over its FIX session only: send session 0"
    return ""


OF_ORDERS = [EventKind.FILL, EventKind.CANCELLED, EventKind.EXPIRED, EventKind.TRIGGERED, EventKind.REFRESHED]
OF_ORDERS += [EventKind.RESTATED, EventKind.POSITION]


def reply_events(events: NDArray[np.void]) -> NDArray[np.void]:
    """All events of a command; of a command that touched a great many orders only those that are about no order."""
    return events if len(events) <= REPLY_EVENTS_MAX else events[~np.isin(events["kind"], OF_ORDERS)]


def login_name() -> str:
    """Who runs this process; a container's user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


class ControlClient:
    """A connection to the engine's control socket. One request at a time; for threads, one client each."""

    def __init__(self, path: Path | str, *, timeout_seconds: float = 30.0, actor: str | None = None) -> None:
        """`actor`: who acts, for the annex (default: the login name)."""
        path = Path(path)
        self._actor = actor if actor is not None else login_name()
        self._request = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(timeout_seconds)
        try:
            with short_address(path) as address:
                self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise ControlError(f"{path}: the engine is not reachable ({error}): is the venue running?") from error

    def submit(self, body: bytes = b"", **fields: int) -> tuple[int, NDArray[np.void]]:
        """Submits one command given by its fields; returns (seq, events) once it is durable."""
        record = np.zeros(1, COMMAND)
        for name, value in fields.items():
            record[name] = value
        if len(body) > BODY_BYTES_MAX:
            raise ControlError(f"the annex has {len(body)} bytes, at most {BODY_BYTES_MAX}")
        reply = self._ask(Frame.COMMAND, record.tobytes() + body)
        return SEQ.unpack_from(reply)[0], np.frombuffer(reply[SEQ.size :], EVENT)

    def deposit(self, account: int, asset: int, amount: int, ref: str = "") -> int:
        """Credits an account; returns the command's number. Raises ReferenceUsed: a reference is good for one."""
        fields = {"account": account, "asset": asset, "qty_lots": amount}
        return self._verb("deposit", CommandKind.DEPOSIT, (ref, ""), **fields)[0]

    def withdraw(self, account: int, asset: int, amount: int, address: bytes, ref: str = "") -> int:
        """Takes money out, to a 20-byte address; returns the command's number. Raises ReferenceUsed, as `deposit`."""
        if len(address) != 20:
            raise ControlError(f"an address has 20 bytes, not {len(address)}")
        words = struct.unpack("<QQI", address)
        fields = {"order_id": words[0], "price_ticks": words[1], "aux": words[2], "qty_lots": amount}
        return self._verb("withdraw", CommandKind.WITHDRAW, (ref, ""), account=account, asset=asset, **fields)[0]

    def instrument(
        self,
        symbol: int,
        *,
        base: int,
        quote: int,
        lot_size: int,
        tick_value: int,
        min_ticks: int,
        max_ticks: int,
        ref: str = "",
    ) -> int:
        """Creates the next symbol, or redefines one whose book is empty; returns the command's number."""
        terms = {"order_id": lot_size, "price_ticks": min_ticks, "qty_lots": max_ticks, "aux": tick_value}
        fields = {"symbol": symbol, "account": base, "session": quote, **terms}
        return self._verb("instrument", CommandKind.INSTRUMENT, (ref, ""), **fields)[0]

    def account(
        self,
        account: int,
        *,
        maker_bp: int = 0,
        taker_bp: int = 0,
        frozen: bool = False,
        member: int = 0,
        smp_group: int = 0,
        smp: int = 0,
        ref: str = "",
        approver: str = "",
    ) -> int:
        """Creates the next account, or changes one, as a whole; returns the command's number. `member` 0: itself."""
        flags = CommandFlag.ACCOUNT_FROZEN if frozen else 0
        fields = {"account": account, "aux": maker_bp & 0xFFFFFFFF | taker_bp << 32, "flags": flags}
        fields |= {"order_id": smp_group, "price_ticks": smp, "qty_lots": member}
        return self._verb("account", CommandKind.ACCOUNT, (ref, approver), **fields)[0]

    def limit(self, account: int, asset: int, amount: int, ref: str = "") -> int:
        """Sets a credit line; returns the command's number."""
        return self.set_limit(Limit.CREDIT, amount, account=account, asset=asset, ref=ref)

    def set_limit(
        self,
        kind: Limit,
        amount: int,
        *,
        account: int = 0,
        asset: int = 0,
        symbol: int = 0,
        session: int = 0,
        aux: int = 0,
        ref: str = "",
        approver: str = "",
    ) -> int:
        """Sets any limit, in the units of the record (core.h, enum limit); returns the command's number."""
        fields = {"account": account, "asset": asset, "symbol": symbol, "session": session}
        fields |= {"ord_type": kind, "qty_lots": amount, "aux": aux}
        return self._verb("limit", CommandKind.LIMIT, (ref, approver), **fields)[0]

    def phase(
        self,
        symbol: int,
        phase: Phase,
        *,
        reference_ticks: int = 0,
        uncross: bool = True,
        ref: str = "",
        approver: str = "",
    ) -> tuple[int, int, int]:
        """Moves a symbol into a phase; returns the command's number, and price and volume of the uncross (0: none)."""
        flags = 0 if uncross else CommandFlag.NO_UNCROSS
        fields = {"symbol": symbol, "ord_type": phase, "price_ticks": reference_ticks, "flags": flags}
        seq, events = self._verb("phase", CommandKind.PHASE, (ref, approver), **fields)
        done = events[events["kind"] == EventKind.PHASE][0]  # a stop of its cascade may make a second one
        return seq, int(done["price_ticks"]), int(done["qty_lots"])

    def mark(self, symbol: int, price_ticks: int, *, ref: str = "", approver: str = "") -> int:
        """Marks a future; returns the command's number."""
        return self._verb("mark", CommandKind.MARK, (ref, approver), symbol=symbol, price_ticks=price_ticks)[0]

    def margin(
        self, account: int, symbol: int, *, settle: bool = False, session: int = 0, ref: str = "", approver: str = ""
    ) -> NDArray[np.void]:
        """One step of the margin ladder, or the settlement of a position in a closed future; returns the events."""
        flags = CommandFlag.MARGIN_SETTLE if settle else 0
        fields = {"account": account, "symbol": symbol, "session": session, "flags": flags}
        return self._verb("margin", CommandKind.MARGIN, (ref, approver), **fields)[1]

    def mass_cancel(
        self, account: int, symbol: int, side: int = 0, ref: str = "", *, session: int = 0, approver: str = ""
    ) -> int:
        """Cancels an account's orders in one symbol, with a session only those it entered; returns how many."""
        fields = {"account": account, "symbol": symbol, "side": side, "session": session}
        fields["flags"] = CommandFlag.BY_SESSION if session else 0
        _, events = self._verb("mass_cancel", CommandKind.MASS_CANCEL, (ref, approver), **fields)
        return int(events["qty_lots"][-1])

    def bust(self, trade: str, *, ref: str, approver: str) -> dict[str, Any]:
        """Takes back a trade, named by ExecID(17) of either side; says which it was."""
        return self.operate("bust", trade=trade, text=ref, approver=approver)

    def time(self, close_symbol: int | None = None, ref: str = "") -> int:
        """Advances the core's clock; with a symbol, its Day orders expire. Returns how many did."""
        fields = {"symbol": SYMBOL_NONE if close_symbol is None else close_symbol}
        fields["flags"] = 0 if close_symbol is None else CommandFlag.TIME_CLOSE
        return int(self._verb("time", CommandKind.TIME, (ref, ""), **fields)[1]["qty_lots"][-1])

    def status(self) -> dict[str, Any]:
        """The engine's counters and what its host adds."""
        found: dict[str, Any] = json.loads(self._ask(Frame.STATUS))
        return found

    def operate(self, verb: str, **what: Any) -> dict[str, Any]:
        """Asks something of the sessions: news, unlock, locks, bust, log_out, ... (fix_sessions/acceptor.py)."""
        body = json.dumps({"verb": verb, "actor": self._actor, **what}).encode()
        found: dict[str, Any] = json.loads(self._ask(Frame.OPERATE, body))
        return found

    def snapshot(self) -> int:
        """Has a snapshot written; returns its sequence number."""
        return int(SEQ.unpack(self._ask(Frame.SNAPSHOT))[0])

    def stop(self) -> None:
        """Asks the engine's process to end cleanly; returns at once."""
        self._ask(Frame.STOP)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _verb(self, verb: str, kind: CommandKind, why: tuple[str, str], **fields: int) -> tuple[int, NDArray[np.void]]:
        ref, approver = why
        for name, text in (("actor", self._actor), ("ref", ref), ("approver", approver)):
            if "\x01" in text:
                raise ControlError(f"{name}: must not hold the character SOH")
            if any(0xD800 <= ord(character) < 0xE000 for character in text):  # bytes of a shell that were no UTF-8
                raise ControlError(f"{name}: {text!r} must be UTF-8")
        approved = f"approver={approver}\x01" if approver else ""
        body = f"verb={verb}\x01actor={self._actor}\x01{approved}ref={ref}\x01".encode()
        seq, events = self.submit(body, kind=kind, **fields)
        if events["kind"][-1] == EventKind.COMMAND_REJECTED:
            raise CommandRefused(seq, Reason(int(events["reason"][-1])))
        return seq, events

    def _ask(self, kind: Frame, body: bytes = b"") -> bytes:
        self._request += 1
        try:
            write_frame(self._socket, kind, self._request, body)
            frame = read_frame(self._socket, REPLY_BYTES_MAX)
        except (OSError, MalformedFrame) as error:
            self._socket.close()
            raise ControlLost(f"the connection was lost before the reply ({error})") from error
        if frame is None:
            self._socket.close()
            raise ControlLost("the engine closed the connection before the reply")
        answer, request, reply = frame
        if answer == Frame.ERROR:
            raise ControlError(reply.decode("utf-8", "replace"))
        if answer == Frame.REFERENCE_USED:
            raise ReferenceUsed(SEQ.unpack_from(reply)[0], reply[SEQ.size :].decode("utf-8", "replace"))
        if request != self._request:
            self._socket.close()
            raise ControlLost(f"a reply to request {request} came for request {self._request}")
        return reply
