"""How fast batches are sealed and verified: records (commands and events) a second, with their roots and columns.

Sealing is what the archive follower does for a batch: annex digests, the core, every root, the prover's input, all
columns, compression, and the file on disk with its fsync. Verifying is `venue verify`: decoding, records from columns,
every root, every column made again. Two floors are measured in the same run: pyarrow writing the same records and
annexes as raw bytes with no columns of ours, and the same two trees with hashlib's SHA-256, the usual choice.
"""

from __future__ import annotations

import gc
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent.parent))

from cores._roots import lanes

from cores import COMMAND, CommandKind, Core, CoreConfig, EventKind, OrdType, Side, Tif, roots
from cores.batch import seal
from perf import report
from venue import archive_file
from venue.archive import Archive, write_durably
from venue.archive_records import Records
from venue.batches import BatchRecord
from venue.open_orders import Carried, carry
from venue.static_data import AssetData, InstrumentData, MemberData, StaticData
from venue.verify import verify

SEED = 20_261_121
SYMBOLS, ACCOUNTS = 20, 50
LIMITS = CoreConfig(symbols=SYMBOLS, accounts=ACCOUNTS + 1, assets=SYMBOLS + 1, orders=16_384, levels=2_048)
MIDDLE, ROUNDS = 1_000, 3
KEY = ["order_id", "symbol", "account"]
BODY = b"35=D\x0111=ORD%010d\x0155=SYM%02d\x0154=%d\x0138=%d\x0140=2\x0144=%d.%02d\x0159=1\x01"
TIME = b"60=20261121-10:00:00.000000\x01"
PARTIES = b"528=A\x01453=2\x01448=CLIENT%04d\x01447=D\x01452=3\x01448=ALGO%02d\x01447=D\x01452=12\x01"


def opening() -> list[np.ndarray]:
    """Instruments, accounts and money."""
    made = []
    for symbol in range(SYMBOLS):
        terms = {"account": symbol + 1, "order_id": 1, "price_ticks": 100, "qty_lots": 2_000, "aux": 1}
        made.append(record(CommandKind.INSTRUMENT, symbol=symbol, **terms))
    made += [record(CommandKind.ACCOUNT, account=number, aux=3 << 32 | 1) for number in range(ACCOUNTS + 1)]
    made += [
        record(CommandKind.DEPOSIT, account=number, asset=asset, qty_lots=10**13)
        for number in range(1, ACCOUNTS + 1)
        for asset in range(SYMBOLS + 1)
    ]
    return made


def record(kind: CommandKind, **values: int) -> np.ndarray:
    made = np.zeros(1, COMMAND)
    made["kind"] = kind
    for name, value in values.items():
        made[name] = value
    return made


def flow(core: Core, rng: np.random.Generator, count: int) -> np.ndarray:
    """Orders near the middle and cancels of what rests, one cancel for each order that rested (steady books)."""
    parts, open_ids, made = [], np.zeros(0, np.uint64), 0
    facts: dict[int, tuple[int, int]] = {}
    while made < count:
        size = min(2_000, count - made)
        orders = np.zeros(size, COMMAND)
        cancels = rng.random(size) < min(0.45, len(open_ids) / 40_000)
        chosen = rng.choice(len(open_ids), size=int(cancels.sum()), replace=False) if cancels.any() else []
        orders["kind"] = np.where(cancels, CommandKind.CANCEL, CommandKind.NEW)
        orders["account"] = rng.integers(1, ACCOUNTS + 1, size)
        orders["symbol"] = rng.integers(0, SYMBOLS, size)
        orders["side"] = rng.choice([Side.BUY, Side.SELL], size)
        orders["ord_type"], orders["tif"] = OrdType.LIMIT, Tif.GTC
        away = rng.integers(-1, 40, size)
        orders["price_ticks"] = MIDDLE + np.where(orders["side"] == Side.BUY, -away, away)
        orders["qty_lots"] = rng.integers(1, 100, size)
        for at, number in zip(np.flatnonzero(cancels), chosen, strict=True):
            orders["order_id"][at] = open_ids[number]
            orders["symbol"][at], orders["account"][at] = facts[int(open_ids[number])]
        orders["session"] = orders["account"]
        orders["seq"] = core.last_seq + 1 + np.arange(size)
        orders["time_ns"] = core.last_time_ns + np.cumsum(rng.integers(1_000, 20_000, size))
        events, _ = core.apply(orders)
        entered = events[events["kind"] == EventKind.ACCEPTED]
        facts.update({order: (symbol, account) for order, symbol, account in entered[KEY].tolist()})
        gone = events["order_id"][(events["kind"] != EventKind.ACCEPTED) & (events["leaves_lots"] == 0)]
        open_ids = np.setdiff1d(np.concatenate([open_ids, entered["order_id"]]), gone)
        parts.append(orders)
        made += size
    return np.concatenate(parts)


def annexes(commands: np.ndarray, rng: np.random.Generator) -> tuple[bytes, np.ndarray]:
    """A salt and the FIX fields of an order, as brokers send them: about 190 bytes."""
    salts = rng.bytes(16 * len(commands))
    made = []
    for number, command in enumerate(commands.tolist()):
        seq, symbol, side, price, qty = command[7], command[6], command[1], command[13], command[14]
        body = BODY % (seq, symbol, side, qty, price // 100, price % 100) + TIME + PARTIES % (seq % 500, seq % 20)
        made.append(salts[16 * number : 16 * number + 16] + body)
    return b"".join(made), np.cumsum([len(annex) for annex in made], dtype=np.uint64)


def static_data() -> StaticData:
    assets = [AssetData(0, "USD", 2)] + [AssetData(n, f"A{n}", 0) for n in range(1, SYMBOLS + 1)]
    instruments = [InstrumentData(n, f"SYM{n:02}", f"XS{n:010}", "USD", n + 1, 0, 1, 1) for n in range(SYMBOLS)]
    members = [MemberData(f"M{n}", f"LEI{n:017}", (n,), (n,)) for n in range(1, ACCOUNTS + 1)]
    return StaticData("VENUE", "XDEM", LIMITS.words(), tuple(assets), tuple(instruments), tuple(members))


class Bench:
    """Seals the same commands in batches of one size, part by part."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(SEED)
        start = opening()
        for seq, made in enumerate(start, 1):
            made["seq"], made["time_ns"] = seq, 1_790_000_000_000_000_000 + seq
        self.start = np.concatenate(start)
        core = Core(LIMITS)
        core.apply(self.start)
        self.commands = flow(core, rng, count)
        self.annex, self.annex_ends = annexes(self.commands, rng)
        self.static = static_data()
        self.limit = count

    def seal(self, folder: Path, batch_commands: int) -> tuple[int, dict[str, float]]:
        """Seals everything into `folder`; returns records and the seconds of each part."""
        core, archive, carried = Core(LIMITS), Archive(folder), Carried()
        seconds = dict.fromkeys(("digests", "core, roots, witness", "columns", "compression", "disk", "carry"), 0.0)
        total, previous = 0, bytes(32)
        no_annex = np.zeros(len(self.start), np.uint64)
        first = self._one(core, archive, carried, self.start, b"", no_annex, previous, dict.fromkeys(seconds, 0.0))
        carried, previous = first[1], first[2]
        for start in range(0, self.limit, batch_commands):
            end = min(start + batch_commands, self.limit)
            begin = int(self.annex_ends[start - 1]) if start else 0
            annex = self.annex[begin : int(self.annex_ends[end - 1])]
            ends = self.annex_ends[start:end] - np.uint64(begin)
            made = self._one(core, archive, carried, self.commands[start:end], annex, ends, previous, seconds)
            total, carried, previous = total + made[0], made[1], made[2]
        return total, seconds

    def _one(
        self, core: Core, archive: Archive, carried: Carried, commands: np.ndarray, annex: bytes, ends: np.ndarray,
        previous: bytes, seconds: dict[str, float],
    ) -> tuple[int, Carried, bytes]:  # fmt: skip
        def timed(part: str, work: Callable[[], Any]) -> Any:
            begin = time.perf_counter()
            result = work()
            seconds[part] += time.perf_counter() - begin
            return result

        digests = timed("digests", lambda: roots.annex_digests(annex, ends))
        sealed = timed("core, roots, witness", lambda: seal(core, commands, digests, previous))
        values = sealed.public_values
        made = BatchRecord.from_public_values(archive.next_batch_id, values, archive_file.NO_HASH)
        records = Records.of(commands, annex, ends, sealed.events, sealed.event_ends)
        table = timed("columns", lambda: archive_file.table(records, self.static, carried, made))
        data = timed("compression", lambda: archive_file.encode(table))
        timed("disk", lambda: archive.publish(made, data, sealed.guest_input))
        carried = timed("carry", lambda: carry(records, carried))
        return len(commands) + len(sealed.events), carried, sealed.deposit_acc


def raw_pyarrow(bench: Bench, folder: Path, batch_commands: int) -> tuple[int, float]:
    """The floor for writing: commands, events and annexes as opaque bytes through pyarrow, zstd, fsync."""
    core = Core(LIMITS)
    core.apply(bench.start)
    total, seconds = 0, 0.0
    for start in range(0, len(bench.commands), batch_commands):
        commands = bench.commands[start : start + batch_commands]
        events, _ = core.apply(commands)
        end = start + len(commands)
        offsets = np.concatenate([[bench.annex_ends[start - 1] if start else 0], bench.annex_ends[start:end]])
        begin = time.perf_counter()
        blobs = [
            pa.Array.from_buffers(pa.binary(64), len(commands), [None, pa.py_buffer(commands)]),
            pa.Array.from_buffers(pa.binary(64), len(events), [None, pa.py_buffer(events)]),
        ]
        annex = pa.py_buffer(bench.annex)
        annex_array = pa.Array.from_buffers(
            pa.binary(), len(commands), [None, pa.py_buffer(offsets.astype(np.int32)), annex]
        )
        batch = archive_file.encode(pa.table({"command": blobs[0], "annex": annex_array}))
        batch_events = archive_file.encode(pa.table({"event": blobs[1]}))
        write_durably(folder / f"{start}.raw", b"".join((bytes(batch), bytes(batch_events))))
        seconds += time.perf_counter() - begin
        total += len(commands) + len(events)
    return total, seconds


def sha256_trees(bench: Bench, count: int) -> tuple[int, float]:
    """The usual way to a root: RFC 6962 with hashlib over the same commands and events."""
    core = Core(LIMITS)
    core.apply(bench.start)
    commands = bench.commands[:count]
    events, _ = core.apply(commands)
    begin = time.perf_counter()
    for records in (commands, events):
        data = records.tobytes()
        level = [hashlib.sha256(b"\0" + data[at : at + 64]).digest() for at in range(0, len(data), 64)]
        while len(level) > 1:
            pairs = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
            level = pairs + level[2 * len(pairs) :]
    return len(commands) + len(events), time.perf_counter() - begin


@dataclass
class Timing:
    """The fastest of some rounds: wall seconds, and the CPU seconds of that round (all threads)."""

    records: int
    seconds: float
    cpu_seconds: float
    parts: dict[str, float]
    folder: Path

    @property
    def rate(self) -> float:
        return self.records / self.seconds


def fastest(rounds: int, once: Callable[[int], tuple[int, float, dict[str, float], Path]]) -> Timing:
    found: list[Timing] = []
    for number in range(rounds):
        gc.collect()
        cpu = time.process_time()
        records, seconds, parts, folder = once(number)
        found.append(Timing(records, seconds, time.process_time() - cpu, parts, folder))
    return min(found, key=lambda timing: timing.seconds)


def sealing(bench: Bench, temporary: Path, size: int, rounds: int) -> Timing:
    def once(number: int) -> tuple[int, float, dict[str, float], Path]:
        folder = temporary / f"{size}-{number}"
        total, seconds = bench.seal(folder, size)
        return total, sum(seconds.values()), seconds, folder

    return fastest(rounds, once)


def verifying(folder: Path, rounds: int) -> Timing:
    def once(_: int) -> tuple[int, float, dict[str, float], Path]:
        begin = time.perf_counter()
        verified = verify([folder])
        seconds = time.perf_counter() - begin
        assert verified.ok, verified.problems
        return verified.commands + verified.events, seconds, {}, folder

    return fastest(rounds, once)


def main() -> None:
    options = report.arguments(__doc__)
    count, rounds = (60_000, 1) if options.quick else (300_000, ROUNDS)
    bench = Bench(count)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-archive-") as temporary:
        for size in (1_000, 20_000) if options.quick else (1_000, 10_000, 50_000):
            bench.limit = min(count, 50 * size)
            sealed = sealing(bench, Path(temporary), size, rounds)
            size_bytes = sum(path.stat().st_size for path in sealed.folder.glob("*.arrow"))
            rows.append(row("seal", size, sealed, size_bytes))
            verified = verifying(sealed.folder, rounds)
            rows.append(row("verify", size, verified))
        raw_folder = Path(temporary) / "raw"
        raw_folder.mkdir()
        raw = fastest(rounds, lambda _: (*raw_pyarrow(bench, raw_folder, size), {}, raw_folder))
        size_bytes = sum(path.stat().st_size for path in raw_folder.iterdir())
        rows.append(row("pyarrow, raw records", size, raw, size_bytes))
        sha = fastest(rounds, lambda _: (*sha256_trees(bench, 50_000), {}, raw_folder))
        rows.append(row("two SHA-256 trees, hashlib", 50_000, sha))
    ratios: dict[str, float | None] = {
        "seal_records_per_second": sealed.rate,
        "verify_records_per_second": verified.rate,
        "seal_records_per_cpu_second": sealed.records / sealed.cpu_seconds,
        "verify_records_per_cpu_second": verified.records / verified.cpu_seconds,
        "seal_to_raw_pyarrow": sealed.rate / raw.rate,
        "seal_to_sha256_trees": sealed.rate / sha.rate,
    }
    facts = report.conditions(
        commands=count,
        symbols=SYMBOLS,
        accounts=ACCOUNTS,
        seed=SEED,
        rounds=f"best of {rounds}",
        pyarrow=pa.__version__,
        annex_bytes=len(bench.annex) // count,
        lanes=lanes(),
    )
    report.publish("archive", facts, rows, ratios, options.json)


def row(what: str, size: int, timing: Timing, size_bytes: int | None = None) -> dict[str, Any]:
    parts = " · ".join(f"{name} {1e6 * part / timing.records:.2f}" for name, part in timing.parts.items())
    return {
        "what": what,
        "commands a batch": size,
        "records": timing.records,
        "records a second": round(timing.rate),
        "records a CPU second": round(timing.records / timing.cpu_seconds),
        "bytes a record": round(size_bytes / timing.records, 1) if size_bytes else "",
        "microseconds a record": parts or f"{1e6 * timing.seconds / timing.records:.2f}",
    }


if __name__ == "__main__":
    main()
