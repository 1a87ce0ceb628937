"""The sample broker against a counterparty that says what is written here, byte for byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fix_sessions.client import Broker


def message(number: int, msg_type: str, *fields: tuple[int, object]) -> bytes:
    body = "".join(f"{tag}={value}\x01" for tag, value in ((35, msg_type), (34, number), *fields)).encode()
    head = b"8=FIX.4.4\x019=%d\x01" % len(body) + body
    return head + b"10=%03d\x01" % (sum(head) % 256)


def logon(number: int) -> bytes:
    return message(number, "A", (98, 0), (108, 30))


def gap_fill(number: int, new_number: int) -> bytes:
    return message(number, "4", (43, "Y"), (36, new_number), (123, "Y"))


@contextmanager
def counterparty(*connections: bytes) -> Iterator[int]:
    """Answers the first message of each connection with its bytes, then ends it; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in connections:
                connection, _ = server.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)
                    while connection.recv(1 << 16):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join(10)
        assert not thread.is_alive()


def test_what_was_early_on_a_connection_that_was_cut_is_forgotten() -> None:
    """A gap fill kept from then covers less than the one that is sent now: the numbers between would never come."""
    first = logon(113) + gap_fill(113, 115)
    second = logon(123) + gap_fill(103, 113) + gap_fill(113, 116) + gap_fill(116, 124) + message(124, "0")
    with counterparty(first, second) as port:
        broker = Broker("127.0.0.1", port, "ALPHA2", "alpha2", "secret", next_in=103)
        broker.log_on()
        broker.wait_for(lambda: 113 in broker.early)
        broker.close()
        broker.log_on()
        broker.wait_for(lambda: broker.next_in == 125)
        broker.close()


def test_a_gap_is_asked_for_once_and_what_came_early_is_taken_in_its_turn() -> None:
    answer = logon(1) + message(3, "B", (148, "three")) + message(4, "B", (148, "four")) + message(2, "B", (148, "two"))
    with counterparty(answer) as port:
        broker = Broker("127.0.0.1", port, "ALPHA2", "alpha2", "secret")
        broker.log_on()
        broker.wait_for(lambda: broker.next_in == 5)
        assert [m.get(148) for m in broker.inbox] == [b"two", b"three", b"four"]
        assert [(kind, body) for kind, body, _ in broker.sent.values() if kind == "2"] == [("2", [(7, "2"), (16, "0")])]
        broker.close()
