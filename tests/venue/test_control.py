"""The control socket: verbs, durable replies, bad frames, and who may connect."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import CommandKind, EventKind, Reason, Side, Tif
from tests.venue.engine_flow import (
    LIMITS,
    body_of,
    endow,
    entries_of,
    limit,
    opened,
    segment_paths,
)
from venue import control
from venue.control import (
    CommandRefused,
    ControlClient,
    ControlError,
    ControlLost,
    ControlServer,
    Frame,
    short_address,
)
from venue.engine import Engine

ROOT = Path(__file__).parent.parent.parent


class Served:
    """An engine with its control socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine: Engine = opened(folder)
        endow(self.engine)
        self.stopped = threading.Event()
        self.path = folder / "control.sock"
        self.server = ControlServer(self.engine, self.path, on_stop=self.stopped.set, status=lambda: {"sessions": 3})

    def close(self) -> None:
        self.server.check()
        self.server.close()
        self.engine.check()
        self.engine.close()

    def last_entry(self) -> tuple[int, bytes]:
        """(kind, annex body) of the last journaled command."""
        _, _, command, annex, _ = entries_of(segment_paths(self.folder)[-1])[-1]
        return int(command["kind"]), annex[16:]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / ("deep" * 30))
    yield served
    served.close()


@pytest.fixture
def client(served: Served) -> Iterator[ControlClient]:
    with ControlClient(served.path, actor="alice") as client:
        yield client


def test_the_address_fits_however_deep_the_folder_is(served: Served):
    assert len(str(served.path)) > 107
    with short_address(served.path) as address:
        assert len(address) < 60
    assert served.path.stat().st_mode & 0o777 == 0o600


def test_deposit_is_durable_when_it_is_answered(served: Served, client: ControlClient):
    before = served.engine.balance(1, 0)[0]
    seq = client.deposit(1, 0, 250, ref="0xabc:7")
    assert served.engine.durable_seq >= seq == served.engine.last_seq
    assert served.engine.balance(1, 0)[0] == before + 250
    peer = f"uid={os.getuid()}\x01pid={os.getpid()}\x01"
    text = f"verb=deposit\x01actor=alice\x01ref=0xabc:7\x01{peer}".encode()
    assert served.last_entry() == (CommandKind.DEPOSIT, text)


def test_withdrawal_carries_the_address(served: Served, client: ControlClient):
    address = bytes(range(20))
    seq = client.withdraw(1, 0, 99, address)
    command = entries_of(segment_paths(served.folder)[-1])[-1][2]
    assert int(command["seq"]) == seq
    words = (int(command[name]) for name in ("order_id", "price_ticks", "aux"))
    assert struct.pack("<QQI", *words) == address
    with pytest.raises(ControlError, match="20 bytes, not 19"):
        client.withdraw(1, 0, 99, address[:19])


def test_what_the_core_refuses_is_an_error_with_its_reason(served: Served, client: ControlClient):
    with pytest.raises(CommandRefused, match="REJECT_UNKNOWN_ACCOUNT") as caught:
        client.deposit(77, 0, 1)
    assert caught.value.reason == Reason.REJECT_UNKNOWN_ACCOUNT
    assert caught.value.seq == served.engine.last_seq, "a refused command is journaled like any other"
    with pytest.raises(CommandRefused, match="REJECT_INSUFFICIENT_FUNDS"):
        client.withdraw(1, 0, 1 << 61, bytes(20))


def test_instrument_account_and_limit(served: Served, client: ControlClient):
    client.instrument(2, base=2, quote=0, lot_size=5, tick_value=3, min_ticks=1, max_ticks=100)
    client.account(1, maker_bp=1, taker_bp=2, frozen=True)
    client.limit(1, 0, 12_345)
    assert served.engine.balance(1, 0)[2] == 12_345
    with pytest.raises(CommandRefused, match="REJECT_BAD_INSTRUMENT") as caught:
        client.instrument(9, base=2, quote=0, lot_size=5, tick_value=3, min_ticks=1, max_ticks=100)
    assert caught.value.reason == Reason.REJECT_BAD_INSTRUMENT
    _, _, events = served.engine.call(**limit(1, Side.BUY, 500, 1, "A1"))
    assert events["reason"][0] == Reason.REJECT_ACCOUNT_FROZEN


def test_mass_cancel_and_close_of_day_say_how_many(served: Served, client: ControlClient):
    for number, tif in enumerate((Tif.GTC, Tif.DAY, Tif.DAY)):
        served.engine.submit(**limit(1, Side.BUY, 500 + number, 1, f"A{number}", tif=tif))
    assert client.time() == 0
    assert client.time(close_symbol=0) == 2
    assert client.mass_cancel(1, 0, ref="kill") == 1
    assert served.engine.open_orders(0) == 0


def test_orders_come_in_with_their_names(served: Served, client: ControlClient):
    fields = {"kind": CommandKind.NEW, "side": Side.BUY, "ord_type": 2, "tif": Tif.GTC, "account": 1}
    seq, events = client.submit(body_of(1, "R1"), price_ticks=500, qty_lots=5, **fields)
    assert [EventKind(kind) for kind in events["kind"]] == [EventKind.ACCEPTED] and seq == served.engine.last_seq
    assert served.engine.find_order(0, "R1")["leaves_lots"] == 5
    _, events = client.submit(body_of(1, "R1"), price_ticks=500, qty_lots=5, **fields)
    assert events["reason"][0] == Reason.REJECT_SESSION_DUPLICATE_CLORDID


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"kind": 10, "seq": 5}, "the engine's to write"),
        ({"kind": 10, "time_ns": 5}, "the engine's to write"),
        ({"kind": 1, "precheck": 131}, "the engine's to write"),
        ({"kind": 1, "session": 1}, "comes over its FIX session only"),
    ],
)
def test_what_is_not_the_client_s_to_say(served: Served, client: ControlClient, fields: dict[str, int], text: str):
    before = served.engine.last_seq
    with pytest.raises(ControlError, match=text):
        client.submit(b"", **fields)
    with pytest.raises(ControlError, match="longer than 39"):
        client.submit(b"35=D\x0111=" + b"x" * 40 + b"\x01", kind=1)
    with pytest.raises(ControlError, match="at most"):
        client.submit(b"x" * 5000, kind=10)
    with pytest.raises(ControlError, match="SOH"):
        client.deposit(1, 0, 1, ref="a\x01verb=withdraw")
    assert served.engine.last_seq == before
    assert client.deposit(1, 0, 1) == before + 1, "the connection is still good"


def test_status_snapshot_and_stop(served: Served, client: ControlClient):
    status = client.status()
    assert status["last_seq"] == status["durable_seq"] == served.engine.last_seq
    assert status["sessions"] == 3 and status["journal_syncs"] > 0
    assert client.snapshot() == served.engine.snapshot_seq == served.engine.last_seq
    assert not served.stopped.is_set()
    client.stop()
    assert served.stopped.wait(20)


def test_a_stopped_engine_is_said(served: Served, client: ControlClient):
    served.engine.stop()
    with pytest.raises(ControlError, match="takes no commands any more"):
        client.deposit(1, 0, 1)


def test_clients_beside_each_other(served: Served):
    def work() -> None:
        with ControlClient(served.path) as client:
            for _ in range(50):
                seqs.append(client.deposit(2, 0, 1))

    seqs: list[int] = []
    before = served.engine.balance(2, 0)[0]
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seqs)) == 200 and served.engine.balance(2, 0)[0] == before + 200


def test_no_engine_is_said_with_what_to_do(tmp_path: Path):
    with pytest.raises(ControlError, match="is the venue running"):
        ControlClient(tmp_path / "control.sock")


def test_a_lost_engine_leaves_the_command_indefinite(served: Served, client: ControlClient):
    served.server.close()
    with pytest.raises(ControlLost):
        client.deposit(1, 0, 1)


def raw(served: Served) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(20)
    with short_address(served.path) as address:
        connection.connect(address)
    return connection


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (struct.pack("<I", 0), "a frame of 0 bytes"),
        (struct.pack("<I", 1 << 30), "a frame of 1073741824 bytes"),
        (struct.pack("<IB3xQ", 12, 77, 1), "unknown kind of frame 77"),
        (struct.pack("<IB3xQ", 12 + 10, 1, 1) + bytes(10), "a command has 64 bytes, not 10"),
        (struct.pack("<IB3xQ", 12 + 1, 2, 1) + b"x", "has no body"),
        (b"\x01\x02", "ended inside a length"),
        (struct.pack("<I", 80) + b"half", "ended after 4 of 80 bytes"),
    ],
)
def test_malformed_frames_are_answered_and_the_connection_closed(served: Served, sent: bytes, text: str):
    before = served.engine.state()
    with raw(served) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        frame = control.read_frame(connection, 1 << 20)
        assert frame is not None and frame[0] == control.Frame.ERROR and text in frame[2].decode()
        assert connection.recv(1) == b""
    assert served.engine.state() == before


@pytest.fixture(scope="module")
def lasting() -> Iterator[Served]:
    folder = Path(tempfile.mkdtemp())
    served = Served(folder / "data")
    yield served
    served.close()
    shutil.rmtree(folder)


@settings(max_examples=60)
@given(data=st.binary(max_size=200))
def test_any_bytes_leave_the_server_alive(lasting: Served, data: bytes):
    with raw(lasting) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):  # what it had not read when it gave up
            while connection.recv(4096):
                pass
    with ControlClient(lasting.path) as client:
        assert client.status()["last_seq"] == lasting.engine.last_seq
    lasting.engine.check()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_by_the_kernel_s_word(lasting: Served):
    for folder in (lasting.folder, lasting.folder.parent):
        folder.chmod(0o755)
    lasting.path.chmod(0o666)  # even when the file's mode would let him in
    program = (
        "import os, socket, sys\nos.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); sys.stdout.buffer.write(s.recv(200))"
    )
    answer = subprocess.run([sys.executable, "-c", program, str(lasting.path)], capture_output=True, check=True).stdout
    assert b"only the venue's own user and root may connect" in answer


def test_limits_of_the_sample(served: Served):
    assert served.engine.config == LIMITS


def test_too_many_connections_are_refused(served: Served):
    connections = [raw(served) for _ in range(control.CONNECTIONS_MAX)]
    try:
        for connection in connections:  # each is really being served
            control.write_frame(connection, control.Frame.STATUS, 1)
            assert control.read_frame(connection, 1 << 20) is not None
        with raw(served) as one_more:
            frame = control.read_frame(one_more, 1 << 20)
            assert frame is not None and frame[2] == b"too many connections"
    finally:
        for connection in connections:
            connection.close()


# ---- sessions ----


def test_what_is_asked_of_the_sessions_is_no_command(tmp_path: Path):
    asked: list[dict[str, Any]] = []

    def operate(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        if request["verb"] == "dance":
            raise ValueError("'dance' is no verb")
        return {"told": ["ALPHA1"]}

    engine, path = opened(tmp_path), tmp_path / "control.sock"
    before = engine.last_seq
    with ControlServer(engine, path, operate=operate), ControlClient(path, actor="eve") as client:
        told = client.operate("news", text="Maintenance at noon", session=None, peer="uid=1")
        assert told == {"told": ["ALPHA1"]}
        with pytest.raises(ControlError, match="'dance' is no verb"):
            client.operate("dance")
        for body in (b"", b"{", b"[]", b"{}", b'{"verb": 5}', b"\xff", b"[" * 2000):
            with pytest.raises(ControlError):
                client._ask(Frame.OPERATE, body)
        assert client.operate("news", text="again")["told"] == ["ALPHA1"], "the connection goes on"
    peer = f"uid={os.getuid()}\x01pid={os.getpid()}\x01"  # the server's word, not the client's
    words = {"verb": "news", "actor": "eve", "text": "Maintenance at noon", "session": None}
    assert asked[0] == {**words, "peer": peer}
    assert engine.last_seq == before
    engine.close()


def test_an_engine_without_sessions_says_so(tmp_path: Path):
    engine, path = opened(tmp_path), tmp_path / "control.sock"
    with (
        ControlServer(engine, path),
        ControlClient(path) as client,
        pytest.raises(ControlError, match="must have sessions"),
    ):
        client.operate("news", text="x")
    engine.close()
