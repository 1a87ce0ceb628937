"""The engine and its journal alone: commands a second by sync mode, answers against the bare disk, reading back.

`submit` runs without a session and without a sink: it is the writer's own cost (precheck, stamp, journal, match, order
table). `call` waits until the command is as safe as the mode asks for; it is measured beside write + fdatasync of the
same number of bytes on the same disk in the same run.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from report import Row, arguments, conditions, publish

sys.path.insert(0, str(Path(__file__).parent.parent))

from venue._engine import replay

from cores import COMMAND, CommandKind, CoreConfig, OrdType, Side, Tif
from venue.engine import Engine
from venue.follower import Follower

LIMITS = CoreConfig(symbols=4, accounts=16, assets=4, orders=16_384, levels=16_384)
BODY = (
    b"35=D\x0111=ORDER-%09d\x0121=1\x0155=ACME\x0154=1\x0160=20260105-10:00:00.000\x0138=100\x0140=2\x0144=25.10\x0159=1\x01"
    b"528=P\x01582=1\x01453=1\x01448=TRADER1\x01447=D\x01452=12\x01"
)


def endow(engine: Engine) -> None:
    terms = {"account": 1, "order_id": 1, "price_ticks": 1, "qty_lots": 16_000, "aux": 1}
    engine.call(kind=CommandKind.INSTRUMENT, symbol=0, **terms)
    for account in range(1, 8):
        engine.call(kind=CommandKind.ACCOUNT, account=account)
        for asset in range(2):
            engine.call(kind=CommandKind.DEPOSIT, account=account, asset=asset, qty_lots=1 << 58)


def orders(count: int, seed: int) -> np.ndarray:
    """Good-till-cancel limit orders around one price: about half of them trade."""
    random = np.random.default_rng(seed)
    commands = np.zeros(count, COMMAND)
    commands["kind"], commands["ord_type"], commands["tif"] = CommandKind.NEW, OrdType.LIMIT, Tif.GTC
    commands["side"] = random.integers(Side.BUY, Side.SELL + 1, count)
    commands["account"] = random.integers(1, 8, count)
    commands["price_ticks"] = 8_000 + random.integers(-20, 21, count) - 3 * (commands["side"].astype(np.int64) * 2 - 3)
    commands["qty_lots"] = random.integers(1, 100, count)
    return commands


def throughput(folder: Path, sync: str, count: int) -> Row:
    bodies = [BODY % number for number in range(count)]
    commands = orders(count, 7)
    with Engine.open(folder, LIMITS, sync=sync, snapshot_commands=0) as engine:
        endow(engine)
        begin = time.perf_counter()
        taken = engine.submit_many(commands, bodies)
        submitted = time.perf_counter()
        engine.drain()
        end = time.perf_counter()
        counters = engine.counters()
        assert taken == count
    mean = counters["journal_records"] / max(1, counters["journal_syncs"])
    return {
        "what": f"submit, sync={sync}",
        "commands": count,
        "commands_per_second": count / (end - begin),
        "submit_us": (submitted - begin) / count * 1e6,
        "commands_per_sync": mean if sync != "none" else None,
        "bytes_per_command": counters["journal_bytes"] / counters["journal_records"],
    }


def latency(folder: Path, sync: str, count: int) -> tuple[Row, float]:
    taken = np.empty(count)
    with Engine.open(folder, LIMITS, sync=sync, snapshot_commands=0) as engine:
        endow(engine)
        for number in range(count):
            begin = time.perf_counter_ns()
            engine.call(kind=CommandKind.DEPOSIT, account=1, asset=0, qty_lots=1, body=b"verb=deposit\x01")
            taken[number] = time.perf_counter_ns() - begin
    p50, p99 = np.percentile(taken, [50, 99]) / 1e3
    return {"what": f"call, sync={sync}", "commands": count, "p50_us": p50, "p99_us": p99}, p50


def bare_disk(folder: Path, count: int, size: int = 136) -> tuple[Row, float]:
    """write + fdatasync of as many bytes as a call journals, into a file that is written before."""
    file = os.open(folder / "bare", os.O_RDWR | os.O_CREAT)
    os.pwrite(file, bytes(count * size), 0)
    os.fsync(file)
    taken = np.empty(count)
    for number in range(count):
        begin = time.perf_counter_ns()
        os.pwrite(file, b"x" * size, number * size)
        os.fdatasync(file)
        taken[number] = time.perf_counter_ns() - begin
    os.close(file)
    p50, p99 = np.percentile(taken, [50, 99]) / 1e3
    return {"what": "bare write + fdatasync", "commands": count, "p50_us": p50, "p99_us": p99}, p50


def readers(folder: Path) -> list[Row]:
    """What the followers, `venue replay` and a start without a snapshot take for the journal in `folder`."""
    begin = time.perf_counter()
    count = 0
    with Follower(folder / "journal") as follower:
        while len(piece := follower.poll(1 << 16)):
            count += len(piece)
    rows = [reader("follower", count, begin)]
    begin = time.perf_counter()
    replay(folder / "journal")
    rows.append(reader("replay through the core", count, begin))
    begin = time.perf_counter()
    engine = Engine.open(folder, LIMITS, snapshot_commands=0)
    rows.append(reader("start without a snapshot", count, begin))
    engine.snapshot()
    engine.close()
    begin = time.perf_counter()
    engine = Engine.open(folder, LIMITS, snapshot_commands=0)
    rows.append(reader("start from a snapshot", count, begin))
    engine.close()
    return rows


def reader(what: str, count: int, begin: float) -> Row:
    seconds = time.perf_counter() - begin
    return {"what": what, "commands": count, "commands_per_second": count / seconds, "seconds": seconds}


def main() -> int:
    options = arguments(__doc__)
    count, calls = (100_000, 500) if options.quick else (1_000_000, 5_000)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        for sync in ("none", "interval", "commit"):
            rows.append(throughput(folder / f"throughput-{sync}", sync, count))
        bare_before, floor_before = bare_disk(folder, calls)
        for sync in ("none", "interval", "commit"):
            row, p50 = latency(folder / f"latency-{sync}", sync, calls)
            rows.append(row)
        _, floor_after = bare_disk(folder, calls)
        rows.append(bare_before)
        rows += readers(folder / "throughput-commit")
    floor = (floor_before + floor_after) / 2
    publish("journal", conditions(commands=count, calls=calls), rows, {"p50_to_fdatasync": p50 / floor}, options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
