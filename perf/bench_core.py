"""How fast the core is: against open engines on one seeded workload, with growing books, from Python, in the zkVM.

The workload has the shape of real order flow: 48% limit, 41% cancel, 5% move, 2% reduce, 4% immediate orders. `w1` is
one symbol with 10,000 open orders, `w100` a hundred symbols with 100,000. Ours runs with accounts, holds and fees on;
the peers' order books have none of them. All are driven from prepared records, hash their trades (the hashes must
agree; where an engine plays fewer commands, ours over just those) and run turn by turn; each turn's best run counts,
and the median of the turns, in processor time of the driving thread. Ours gets 64 commands a call, which lets it ask
memory for what the next ones need, and huge pages where the system gives them; the venue's engine applies one command
a call and asks for neither. p50 and p99 are of a run with one command a call and the clock read around every
operation, its own cost (`clock_ns`) included. `growth` rows are ours alone, on larger and larger books; so is `w1, wide
window`: the commands of `w1` in an instrument with twice as many ticks as levels, whose ladders are paged.

Claims: at least 4 times exchange-core's operations a second on `w1` and 8 times on `w100`; p50 of at most 60 ns and p99
of at most 400 ns where exchange-core has 77 ns and 490 ns; from 10,000 to a million open orders at most twice the time
a command; at least 5 million commands a second from Python; at most 260 zkVM instructions a command.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cores._core import Core as CompiledCore  # noqa: E402

from cores import COMMAND, CommandKind, CoreConfig, EventKind  # noqa: E402
from cores.records import EventFlag  # noqa: E402
from cores.reference import Core as ReferenceCore  # noqa: E402
from perf import engines, instructions  # noqa: E402
from perf.engines import Engine  # noqa: E402
from perf.report import Row, arguments, conditions, publish  # noqa: E402

SEED = 7
WORKLOADS = {"w1": (1, 10_000), "w100": (100, 100_000)}  # symbols, open orders
GROWTH = {"1": (1, [10_000, 100_000]), "100": (100, [10_000, 100_000, 1_000_000])}
HEAD_WORDS = 4
PYTHON_ACCOUNTS, PYTHON_ASSETS, LEVELS = 1024, 2, 4096  # as bench_core.c
REFERENCE_COMMANDS = 20_000
EXCHANGE_CORE_P50_NS, EXCHANGE_CORE_P99_NS = 77, 490  # of the machine that the claims are scaled to
MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Sizes:
    commands: int
    runs: int
    turns: int
    python_commands: int
    growth_commands: int


def generate(driver: Path, folder: Path, name: str, shape: tuple[int, int], commands: int) -> tuple[Path, Path]:
    """Files of a workload: for ours, for the peers."""
    paths = folder / f"{name}.commands", folder / f"{name}.peer"
    words = [str(word) for word in (*shape, commands, SEED)]
    subprocess.run([str(driver), "generate", *words, *map(str, paths)], check=True)
    return paths


def merged(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Median of the turns' times; what does not depend on time must be the same in all."""
    times = ("ns_per_op", "p50_ns", "p99_ns", "clock_ns")
    first = turns[0]
    assert all(turn["trade_hash"] == first["trade_hash"] for turn in turns)
    return first | {name: statistics.median(turn[name] for turn in turns) for name in times if name in first}


def row_of(workload: str, engine: Engine, result: dict[str, Any], ours_ns: float) -> Row:
    """One line of the table: a second's operations first, then the times, then what was compared."""
    ns = result["ns_per_op"]
    facts = {key: result[key] for key in ("operations", "trades", "trade_hash") if key in result}
    row: Row = {"workload": workload, "engine": engine.name, "ops_per_s": 1e9 / ns, "ns_per_op": ns}
    row |= {"p50_ns": result["p50_ns"], "p99_ns": result["p99_ns"], "times_ours": ns / ours_ns}
    return row | facts


def compare(
    name: str, driver: Path, peers: list[Engine], sizes: Sizes, folder: Path
) -> tuple[list[Row], dict[str, dict[str, Any]]]:
    """Rows of all engines on one workload, and what each measured."""
    ours_file, peer_file = generate(driver, folder, name, WORKLOADS[name], sizes.commands)
    ours = engines.ours(driver)
    present = [engine for engine in peers if engine.command is not None]
    turns: dict[str, list[dict[str, Any]]] = {engine.name: [] for engine in [ours, *present]}
    for turn in range(sizes.turns):
        turns[ours.name].append(ours.play(ours_file, sizes.runs, 0))
        for engine in present:
            if turn < engine.turns_max:
                limit = engine.commands_max if engine.commands_max < sizes.commands else 0
                turns[engine.name].append(engine.play(peer_file, sizes.runs, limit))
    results = {engine: merged(found) for engine, found in turns.items()}
    ours_ns = results[ours.name]["ns_per_op"]
    rows = [row_of(name, engine, results[engine.name], ours_ns) for engine in [ours, *present]]
    for engine in present:
        result = results[engine.name]
        same = result["operations"] == sizes.commands
        expected = results[ours.name] if same else ours.play(ours_file, 1, result["operations"])
        agree = all(result[fact] == expected[fact] for fact in ("trade_hash", "trades"))
        if not agree or result["refused"]:
            raise SystemExit(f"{name}: {engine.name} and ours disagree: {result} and {expected}")
    return rows, results


def wide_row(driver: Path, dense: Path, sizes: Sizes, folder: Path) -> Row:
    """`w1` with a window of twice the levels, beside `w1` itself, turn by turn: the same trades; what pages cost."""
    wide, ours = folder / "wide.commands", engines.ours(driver)
    head = np.fromfile(dense, "<u8", HEAD_WORDS)
    records = np.fromfile(dense, COMMAND, offset=HEAD_WORDS * 8)
    records["qty_lots"][records["kind"] == CommandKind.INSTRUMENT] += LEVELS
    wide.write_bytes(head.tobytes() + records.tobytes())
    turns = [(ours.play(dense, sizes.runs, 0), ours.play(wide, sizes.runs, 0)) for _ in range(sizes.turns)]
    plain, paged = (merged([turn[which] for turn in turns]) for which in (0, 1))
    if plain["trade_hash"] != paged["trade_hash"]:
        raise SystemExit(f"w1: a wide window changes the trades: {plain} and {paged}")
    wide.unlink()
    return row_of("w1, wide window", ours, paged, plain["ns_per_op"])


def growth(driver: Path, sizes: Sizes, folder: Path) -> tuple[list[Row], dict[str, float | None]]:
    """Ours on larger and larger books; the ratios of the largest to the smallest."""
    rows: list[Row] = []
    ratios: dict[str, float | None] = {}
    ours = engines.ours(driver)
    for name, (symbols, books) in GROWTH.items():
        first = len(rows)
        for open_orders in books:
            path = folder / "growth.commands"
            words = [str(word) for word in (symbols, open_orders, sizes.growth_commands, SEED)]
            subprocess.run([str(driver), "generate", *words, str(path), os.devnull], check=True)
            results = [ours.play(path, 2, 0) for _ in range(sizes.turns)]
            workload = f"{symbols} x {open_orders // symbols:,} open"
            rows.append(row_of(workload, ours, merged(results), results[0]["ns_per_op"]) | {"times_ours": ""})
            path.unlink()
        ratios[f"growth_{name}"] = rows[-1]["ns_per_op"] / rows[first]["ns_per_op"]
    return rows, ratios


def read_commands(path: Path) -> tuple[CoreConfig, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Configuration, set-up commands and timed commands of a file that the driver wrote."""
    head = np.fromfile(path, "<u8", HEAD_WORDS)
    records = np.fromfile(path, COMMAND, offset=HEAD_WORDS * 8)
    symbols, orders, setup, _ = (int(word) for word in head)
    return CoreConfig(symbols, PYTHON_ACCOUNTS, PYTHON_ASSETS, orders, LEVELS), records[:setup], records[setup:]


def python_row(path: Path, name: str, make: Callable[[CoreConfig], Any], batch: int, count: int) -> Row:
    """Commands a second through the Python interface, submitted `batch` at a time; the best of three."""
    config, setup, timed = read_commands(path)
    timed = timed[:count]
    best = 1 << 62
    for _ in range(1 if make is ReferenceCore else 3):
        core = make(config)
        core.apply(setup)
        start = time.thread_time_ns()
        for first in range(0, len(timed), batch):
            core.apply(timed[first : first + batch])
        best = min(best, time.thread_time_ns() - start)
    ns = best / len(timed)
    return {"workload": "w1", "engine": f"{name}, {batch:,} a call", "ops_per_s": 1e9 / ns, "ns_per_op": ns,
            "operations": len(timed)}  # fmt: skip


def trade_hash(events: np.ndarray[Any, Any]) -> str:
    """The hash that the drivers make, of the events of our reference."""

    def mix(value: int, word: int) -> int:
        value = (value ^ word) * 0x100000001B3 & MASK
        return value ^ value >> 29

    value = 0
    for maker in np.flatnonzero((events["kind"] == EventKind.FILL) & (events["flags"] & EventFlag.AGGRESSOR == 0)):
        resting, taker = events[maker], events[maker + 1]
        words = (resting["order_id"] >> np.uint64(24), taker["order_id"] >> np.uint64(24))
        for word in (*words, resting["price_ticks"], resting["qty_lots"]):
            value = mix(value, int(word))
    return f"{value:016x}"


def reference_agrees(path: Path, driver: Path, count: int) -> None:
    config, setup, timed = read_commands(path)
    core = ReferenceCore(config)
    core.apply(setup)
    found, expected = trade_hash(core.apply(timed[:count])[0]), engines.ours(driver).play(path, 1, count)["trade_hash"]
    if found != expected:
        raise SystemExit(f"w1: the reference's trades are {found}, ours {expected}")


def python_rows(path: Path, driver: Path, sizes: Sizes) -> list[Row]:
    rows = [
        python_row(path, "cores from Python", CompiledCore, batch, min(sizes.python_commands, 100_000 * batch))
        for batch in (1, 100, 10_000, 100_000)
    ]
    reference_agrees(path, driver, REFERENCE_COMMANDS)
    return [*rows, python_row(path, "reference in Python", ReferenceCore, 10_000, REFERENCE_COMMANDS)]


def scaled(results: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """Ours on the machine of the claims: scaled by what exchange-core took on this one."""
    name = "exchange-core 0.5.3"
    if name not in results:
        return {"p50_ns_scaled": None, "p99_ns_scaled": None}
    ours, peer = results["cores"], results[name]
    return {
        "p50_ns_scaled": ours["p50_ns"] * EXCHANGE_CORE_P50_NS / peer["p50_ns"],
        "p99_ns_scaled": ours["p99_ns"] * EXCHANGE_CORE_P99_NS / peer["p99_ns"],
    }


def instruction_ratios() -> tuple[dict[str, float | None], str]:
    """zkVM instructions a command: of the mixed workload, and by kind; or why there are none."""
    try:
        found = instructions.measure()
    except instructions.NotMeasured as error:
        return {"instructions_per_command": None}, str(error)
    mixed = found.pop(instructions.MIX)
    by_kind: dict[str, float | None] = {f"instructions: {kind}": count for kind, count in found.items()}
    return {"instructions_per_command": mixed} | by_kind, "SP1 executor, matching alone"


def main() -> None:
    options = arguments(__doc__)
    sizes = Sizes(300_000, 5, 1, 100_000, 200_000) if options.quick else Sizes(1_000_000, 8, 5, 1_000_000, 500_000)
    driver, peers = engines.build_driver(), engines.peers()
    rows: list[Row] = []
    ratios: dict[str, float | None] = {}
    engines.CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=engines.CACHE) as scratch:
        folder = Path(scratch)
        for name in WORKLOADS:
            found, results = compare(name, driver, peers, sizes, folder)
            rows += found
            for row in found[1:]:
                ratios[f"{name}: {row['engine']} / cores"] = row["times_ours"]
            if name == "w1":
                ratios |= scaled(results)
                rows.append(wide_row(driver, folder / "w1.commands", sizes, folder))
                ratios["w1: wide window / not wide"] = rows[-1]["times_ours"]
                rows += python_rows(folder / "w1.commands", driver, sizes)
        grown, ratio = growth(driver, sizes, folder)
        rows += grown
        ratios |= ratio
    counted, how = instruction_ratios()
    ratios |= counted
    absent = "; ".join(f"{engine.name}: {engine.reason}" for engine in peers if engine.command is None)
    compiler = subprocess.run([os.environ.get("CC", "cc"), "--version"], capture_output=True, text=True).stdout
    facts = conditions(
        seed=SEED,
        operations=sizes.commands,
        turns=sizes.turns,
        runs_a_turn=sizes.runs,
        compiler=compiler.split("\n")[0],
        flags=" ".join(engines.CFLAGS),
        java=" ".join(engines.JAVA),
        not_measured=absent or "nothing",
        instructions=how,
    )
    for engine in [engines.ours(driver), *peers]:
        print(f"{engine.name}: {engine.rules or engine.reason}")
    publish("core", facts, rows, ratios, options.json)


if __name__ == "__main__":
    main()
