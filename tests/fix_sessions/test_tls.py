"""TLS by a terminator in front of the venue: it works, and the venue sees who is behind it.

The terminator here is made of Python's ssl and does what the shipped configurations ask of HAProxy and stunnel: TLS 1.2
or later towards the broker, plain bytes with a PROXY header towards the venue.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from fix_sessions.client import SessionLost
from tests.fix_sessions.rig import PASSWORD_HASH, Venue, ask, until
from venue.config import loads

ROOT = Path(__file__).parent.parent.parent
PROXIED = ("[fix]", '[fix]\nproxy_networks = ["127.0.0.1/32"]')
SESSION = 'comp_id = "ALPHA1", username'
Make = Callable[..., Venue]
LOCAL = ipaddress.ip_address("127.0.0.1")


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "venue under test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOCAL)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "venue.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path


class Terminator:
    """TLS on a port of its own, a PROXY header and plain bytes to the venue."""

    def __init__(self, venue_port: int, pem: Path) -> None:
        self.venue_port = venue_port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.load_cert_chain(pem)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain, address), daemon=True).start()

    def _serve(self, plain: socket.socket, address: tuple[str, int]) -> None:
        with plain, contextlib.suppress(OSError):
            broker = self._context.wrap_socket(plain, server_side=True)
            venue = socket.create_connection(("127.0.0.1", self.venue_port))
            host, port = venue.getpeername()
            venue.sendall(f"PROXY TCP4 {address[0]} {host} {address[1]} {port}\r\n".encode())
            with broker, venue:
                self._relay(broker, venue)

    def _relay(self, broker: ssl.SSLSocket, venue: socket.socket) -> None:
        """One thread for both ways: an SSLSocket is not for two."""
        broker.settimeout(0.005)
        venue.settimeout(0.005)
        while True:
            for source, target in ((broker, venue), (venue, broker)):
                try:
                    data = source.recv(1 << 16)
                except TimeoutError:
                    continue
                if not data:
                    return
                target.settimeout(5)
                target.sendall(data)
                target.settimeout(0.005)


@pytest.fixture
def terminated(
    make_venue: Callable[..., Venue], tmp_path: Path, application: str
) -> Iterator[tuple[Venue, Terminator]]:
    allowed = (SESSION, f'networks = ["127.0.0.1/32"], {SESSION}')
    venue = make_venue(application, changes=(PROXIED, allowed))
    terminator = Terminator(venue.acceptor.port, certificate(tmp_path))
    yield venue, terminator
    terminator.close()


def test_a_broker_over_tls(terminated: tuple[Venue, Terminator], tmp_path: Path):
    venue, terminator = terminated
    broker = venue.broker("ALPHA1", tls=ssl.create_default_context(cafile=str(tmp_path / "venue.pem")))
    broker.port = terminator.port
    broker.log_on()
    assert broker.socket is not None and broker.socket.version() in ("TLSv1.2", "TLSv1.3")  # type: ignore[attr-defined]
    for _ in range(20):
        assert ask(broker, lambda: broker.order("ACME", "buy", 1, "99"))[150] == "0"
    broker.close()
    until(lambda: not venue.acceptor.sessions()[0]["logged_on"])
    until(lambda: venue.engine.open_orders(0) == 0)


def test_a_broker_that_speaks_plainly_to_it_is_not_let_in(terminated: tuple[Venue, Terminator]):
    venue, terminator = terminated
    broker = venue.broker("ALPHA1")
    broker.port = terminator.port
    with pytest.raises((SessionLost, OSError, TimeoutError)):
        broker.log_on(seconds=2)
    assert not venue.acceptor.sessions()[0]["logged_on"]


def test_the_shipped_configurations_agree_with_what_they_tell():
    haproxy, stunnel = ((ROOT / "deploy/tls" / name).read_text() for name in ("haproxy.cfg", "stunnel.conf"))
    assert "send-proxy-v2" in haproxy and re.search(r"^protocol = proxy$", stunnel, re.MULTILINE)
    for text, sign in ((haproxy, "#"), (stunnel, ";")):
        told = "\n".join(line.lstrip(sign + " ") for line in text.splitlines() if line.startswith(sign + "   "))
        assert "127.0.0.1:5001" in text and "TLSv1.2" in text
        sample = (ROOT / "venue" / "sample.toml").read_text()
        sample = re.sub("@[A-Z]+@", PASSWORD_HASH, sample)
        fix = loads(sample.replace('[fix]\nhost = "127.0.0.1"\nport = 5001\n', told + "\n")).fix
        assert (fix.host, fix.port, fix.proxy_networks) == ("127.0.0.1", 5001, ("127.0.0.1/32",))
