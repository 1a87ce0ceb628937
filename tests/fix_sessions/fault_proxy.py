"""A TCP proxy between a broker and the venue that does to their bytes what networks do: cuts, delays, halves, dribbles.

One plan holds for every connection made while it is set; a test changes it between connections. It must never change
or lose a byte but by cutting the connection: what arrives is a prefix of what was sent.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST, as a cable that is pulled and a host that forgot


@dataclass(frozen=True)
class Plan:
    """What happens to a connection. Byte counts are from its beginning; None: never."""

    cut_to_venue: int | None = None
    cut_to_broker: int | None = None
    half_close_at: int | None = None
    """The broker's side is told the end of the stream after so many bytes, and its bytes still go to the venue."""
    delay_seconds: float = 0.0
    piece_bytes: int = 1 << 16
    twice: bool = False
    """The first bytes of each connection are also sent on a second one of its own."""


class FaultProxy:
    """Listens on a port of its own; `close` ends everything."""

    def __init__(self, venue_port: int, plan: Plan | None = None) -> None:
        self.venue_port = venue_port
        self.plan = plan or Plan()
        self.cuts = 0
        self.second_answers: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def cut_all(self) -> None:
        """Resets every connection now."""
        with self._lock:
            found = list(self._sockets)
        for one in found:
            self._cut(one)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a connection of the proxy hangs"

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, body: object, *arguments: object) -> None:
        thread = threading.Thread(target=body, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                broker, _ = self._listener.accept()
            except OSError:
                return
            try:
                venue = socket.create_connection(("127.0.0.1", self.venue_port))
            except OSError:
                broker.close()
                continue
            for one in (broker, venue):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {broker, venue}
            plan = self.plan
            self._run(self._pump, broker, venue, plan, plan.cut_to_venue, None)
            self._run(self._pump, venue, broker, plan, plan.cut_to_broker, plan.half_close_at)

    def _pump(
        self, source: socket.socket, target: socket.socket, plan: Plan, cut_at: int | None, half_at: int | None
    ) -> None:
        passed = 0
        try:
            while data := source.recv(1 << 16):
                if plan.twice and passed == 0 and half_at is None and target.getpeername()[1] == self.venue_port:
                    self._run(self._second, data)
                while data:
                    piece = data[: plan.piece_bytes]
                    ends = [at - passed for at in (cut_at, half_at) if at is not None]
                    piece = piece[: max(0, min([len(piece), *ends]))]
                    if plan.delay_seconds:
                        time.sleep(plan.delay_seconds)
                    target.sendall(piece)
                    passed += len(piece)
                    data = data[len(piece) :]
                    if cut_at is not None and passed >= cut_at:
                        self.cuts += 1
                        return None
                    if half_at is not None and passed >= half_at:
                        target.shutdown(socket.SHUT_WR)
                        self._swallow(source)
                        return None
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)
            if source.fileno() >= 0:
                return self._leave_half(source)
        except OSError:
            pass
        finally:
            if half_at is None or passed < half_at:
                self._cut(source)
                self._cut(target)

    def _leave_half(self, source: socket.socket) -> None:
        """One side has ended in order; the other may go on for a moment."""
        time.sleep(0.05)

    def _swallow(self, source: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while source.recv(1 << 16):
                pass

    def _second(self, data: bytes) -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.venue_port)) as second:
            second.settimeout(5)
            second.sendall(data)
            answer = b""
            while part := second.recv(1 << 16):
                answer += part
            self.second_answers.append(answer)

    def _cut(self, one: socket.socket) -> None:
        with self._lock:
            if one not in self._sockets:
                return
            self._sockets.discard(one)
        with contextlib.suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
