"""Market data: book changes a second served to subscribers with conflation, every trade to each, and how late.

Three processes: a writer that journals commands at a steady rate, the gateway as `venue market_data` runs it, and this
one with the subscribers. Lag is from the time in the journal to the receipt of the message: of a trade, from its own
time (272, 273), conflation included; of a book, from the time of the last command that it shows (60).
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from report import Row, arguments, conditions, publish

sys.path.insert(0, str(Path(__file__).parent.parent))

from cores import COMMAND, CommandKind, CoreConfig, OrdType, Side, Tif
from fix_sessions.client import Broker
from fix_sessions.logon import hash_password
from venue import opening
from venue.config import load
from venue.engine import Engine
from venue.follower import Follower

SUBSCRIBERS = 10
RATE = 50_000
SYMBOLS = 4
INTERVAL_MS = 10
BURST = 250
TARGET_MS = 50.0
PASSWORD = "market data"


def configuration(folder: Path, port: int) -> Path:
    """Four instruments, two accounts that trade, ten sessions that look."""
    assets = "".join(f'[[assets]]\nid = {i + 1}\ncode = "S{i}"\nscale = 0\n' for i in range(SYMBOLS))
    books = "".join(
        f'[[instruments]]\nid = {i}\nsymbol = "S{i}"\nbase = "S{i}"\nquote = "USD"\ntick = "0.01"\nlot = "1"\n'
        'price_min = "50.00"\nprice_max = "150.00"\n'
        for i in range(SYMBOLS)
    )
    secret, kind = hash_password(PASSWORD), 'kind = "market_data"'
    sessions = ",\n".join(
        f'{{ id = {i + 1}, comp_id = "FEED{i}", username = "feed{i}", password_hash = "{secret}", {kind} }}'
        for i in range(SUBSCRIBERS)
    )
    path = folder / "venue.toml"
    path.write_text(
        f'[venue]\ndata_dir = "data"\n[limits]\nsymbols = {SYMBOLS}\naccounts = 4\norders = 65536\nlevels = 16384\n'
        f"[market_data]\nport = {port}\nconflation_ms_min = 1\nslow_bytes = 4194304\n"
        f'[[assets]]\nid = 0\ncode = "USD"\nscale = 4\n{assets}{books}'
        "[[accounts]]\nid = 0\n[[accounts]]\nid = 1\n[[accounts]]\nid = 2\n"
        f'[[members]]\nid = "A"\naccounts = [1, 2]\nself_match = "none"\nsessions = [{sessions}]\n'
    )
    return path


def commands_of(count: int, seed: int) -> np.ndarray:
    """Orders that rest near the price, a tenth that trade, and now and then all of an account's taken off."""
    random = np.random.default_rng(seed)
    commands = np.zeros(count, COMMAND)
    commands["kind"], commands["ord_type"], commands["tif"] = CommandKind.NEW, OrdType.LIMIT, Tif.GTC
    commands["symbol"] = random.integers(0, SYMBOLS, count)
    commands["side"] = random.integers(Side.BUY, Side.SELL + 1, count)
    commands["account"], commands["qty_lots"] = 1, random.integers(50, 100, count)
    away = random.integers(1, 21, count) * np.where(commands["side"] == Side.BUY, -1, 1)
    trades = random.random(count) < 0.1
    away[trades] *= -1
    commands["account"][trades], commands["qty_lots"][trades], commands["tif"][trades] = 2, 1, Tif.IOC
    commands["price_ticks"] = 10_000 + away
    sweeps = np.arange(2_000, count, 2_000)
    commands["kind"][sweeps], commands["account"][sweeps] = CommandKind.MASS_CANCEL, 1
    for name in ("side", "ord_type", "tif", "price_ticks", "qty_lots"):
        commands[name][sweeps] = 0
    return commands


def write(path: Path, seconds: float) -> None:
    """The writer's process: journals at the rate, then says how late it ever was."""
    config = load(path)
    limits = config.limits
    sizes = CoreConfig(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels)
    with Engine.open(config.data_dir, sizes, sync="interval", snapshot_commands=0) as engine:
        opening.apply(engine, config)
        for account in (1, 2):
            for asset in range(SYMBOLS + 1):
                engine.call(kind=CommandKind.DEPOSIT, account=account, asset=asset, qty_lots=1 << 50)
        print("ready", flush=True)
        sys.stdin.readline()
        commands = commands_of(int(RATE * seconds), 7)
        begin, late = time.perf_counter(), 0.0
        for start in range(0, len(commands), BURST):
            due = begin + start / RATE
            while (left := due - time.perf_counter()) > 0:
                time.sleep(left)
            late = max(late, -left)
            engine.submit_many(commands[start : start + BURST])
        engine.drain()
        print(f"{late:.4f} {len(commands) / (time.perf_counter() - begin):.0f}", flush=True)
        sys.stdin.readline()


class Reader:
    """A subscriber: keeps what came and when, and looks at it afterwards."""

    def __init__(self, port: int, number: int) -> None:
        name = f"feed{number}"
        self.client = Broker("127.0.0.1", port, name.upper(), name, PASSWORD)
        self.client.log_on()
        body: list[tuple[int, str | bytes]] = [(262, "r"), (263, "1"), (264, "10"), (5265, str(INTERVAL_MS))]
        body += [(267, "3"), (269, "0"), (269, "1"), (269, "2"), (146, str(SYMBOLS))]
        self.client.send("V", body + [(55, f"S{i}") for i in range(SYMBOLS)])
        self.client.wait_for(lambda: len(self.client.inbox) == SYMBOLS)
        assert self.client.socket is not None
        self.socket: socket.socket = self.client.socket
        self.socket.setblocking(False)
        self.pieces: list[tuple[int, bytes]] = []

    def read(self) -> None:
        self.pieces.append((time.time_ns(), self.socket.recv(1 << 20)))

    def found(self) -> tuple[list[bytes], list[float], list[float], int]:
        """Trade ids, lags of trades and of books in ms, number of messages."""
        trades: list[bytes] = []
        trade_lags: list[float] = []
        book_lags: list[float] = []
        rest, count = b"", 0
        last_ns = self.pieces[-1][0] if self.pieces else 0
        for received_ns, data in [*self.pieces, (last_ns, b"\x018=FIX.4.4\x01")]:  # which ends the last one
            *messages, rest = (rest + data).split(b"\x018=FIX.4.4\x01")
            for message in messages:
                if b"\x0135=X\x01" not in message:
                    continue
                count += 1
                at = message.index(b"\x0160=") + 4
                book_lags.append((received_ns - nanoseconds(message[at : at + 27])) / 1e6)
                for entry in message.split(b"\x01269=2\x01278=")[1:]:
                    trades.append(entry[: entry.index(b"\x01")])
                    at = entry.index(b"\x01272=") + 5
                    traded_ns = nanoseconds(entry[at : at + 8] + b"-" + entry[at + 13 : at + 31])
                    trade_lags.append((received_ns - traded_ns) / 1e6)
        return trades, trade_lags, book_lags, count


def nanoseconds(text: bytes) -> int:
    """YYYYMMDD-HH:MM:SS.nnnnnnnnn."""
    moment = datetime.strptime(text[:17].decode(), "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
    return int(moment.timestamp()) * 10**9 + int(text[18:27])


def trades_of(path: Path) -> set[bytes]:
    """Every trade in the journal."""
    from cores import Core, EventKind

    config = load(path)
    limits = config.limits
    core = Core(CoreConfig(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels))
    found: set[bytes] = set()
    with Follower(config.journal_dir) as follower:
        while len(commands := follower.poll().commands):
            events, _ = core.apply(commands)
            ids = events["exec_id"][events["kind"] == EventKind.FILL][::2].tolist()
            found |= {b"%d-%d" % (number >> 24, number & 0xFFFFFF) for number in ids}
    return found


def measure(folder: Path, seconds: float) -> tuple[list[Row], dict[str, Any]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = configuration(folder, port)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    writer = subprocess.Popen(
        [sys.executable, __file__, "writer", str(path), str(seconds)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert writer.stdin is not None and writer.stdout is not None
    writer.stdout.readline()
    command = [sys.executable, "-m", "venue", "market_data", "--config", str(path)]
    gateway = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        readers = subscribe(port)
        writer.stdin.write("go\n")
        writer.stdin.flush()
        listen(readers, seconds + 3.0)
        late, rate = writer.stdout.readline().split()
        writer.stdin.write("end\n")
        writer.stdin.close()
        writer.wait(30)
        expected = trades_of(path)
        ticks = Path(f"/proc/{gateway.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        cpu = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    finally:
        gateway.send_signal(signal.SIGTERM)
        gateway.wait(30)
    rows = rows_of(readers, expected, seconds)
    return rows, {"writer_rate": rate, "writer_late_s": late, "gateway_cpu_s": round(cpu, 1)}


def subscribe(port: int) -> list[Reader]:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return [Reader(port, number) for number in range(SUBSCRIBERS)]
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def listen(readers: list[Reader], seconds: float) -> None:
    selector = selectors.DefaultSelector()
    for reader in readers:
        selector.register(reader.socket, selectors.EVENT_READ, reader)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in selector.select(0.1):
            key.data.read()


def rows_of(readers: list[Reader], expected: set[bytes], seconds: float) -> list[Row]:
    rows: list[Row] = []
    for number, reader in enumerate(readers):
        trades, trade_lags, book_lags, count = reader.found()
        if len(trades) != len(set(trades)) or set(trades) != expected:
            missing = len(expected - set(trades))
            raise SystemExit(f"subscriber {number}: {missing} of {len(expected)} trades missing, {len(trades)} came")
        trade, book = np.percentile(trade_lags, (50, 99)), np.percentile(book_lags, (50, 99))
        rows.append(
            {
                "subscriber": number,
                "X a second": round(count / seconds),
                "trades": len(trades),
                "trade lag p50 ms": round(float(trade[0]), 1),
                "p99 ms": round(float(trade[1]), 1),
                "book lag p50 ms": round(float(book[0]), 1),
                "book p99 ms": round(float(book[1]), 1),
            }
        )
    return rows


def main() -> None:
    if sys.argv[1:2] == ["writer"]:
        write(Path(sys.argv[2]), float(sys.argv[3]))
        return
    options = arguments(__doc__)
    seconds = 5.0 if options.quick else 30.0
    with tempfile.TemporaryDirectory() as folder:
        rows, facts = measure(Path(folder), seconds)
    worst = max(float(row["p99 ms"]) for row in rows)
    about = {"subscribers": SUBSCRIBERS, "symbols": SYMBOLS, "depth": 10, "interval_ms": INTERVAL_MS}
    facts = conditions(rate_wanted=RATE, seconds=seconds, **about, **facts)
    publish("market data", facts, rows, {"trade_lag_p99_ms": worst, "of_target": worst / TARGET_MS}, options.json)


if __name__ == "__main__":
    main()
