"""How fast the core is: against exchange-core 0.5.3's OrderBookDirectImpl on one seeded workload, and from Python.

The workload has the shape of real order flow: 48% limit, 41% cancel, 5% move, 2% reduce, 4% immediate orders. `w1` is
one symbol with 10,000 open orders, `w100` a hundred symbols with 100,000. Ours runs with accounts, holds and fees on;
the peer's order book alone has none of them. Both are driven by compiled code from prepared records, hash their trades
(the hashes must agree) and run turn by turn; each turn's best run counts, and the median of the turns, in processor
time of the driving thread. p50 and p99 are of a run with the clock read around every operation, its own cost
(`clock_ns`) included.

Claims: at least 3 times the peer's operations a second on `w1`, at most 300 zkVM instructions a command.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from report import Row, arguments, conditions, publish

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cores._core import Core as CompiledCore  # noqa: E402

from cores import COMMAND, CoreConfig  # noqa: E402
from cores.reference import Core as ReferenceCore  # noqa: E402

CACHE = ROOT / ".cache" / "peers"
PEER = Path(__file__).parent / "peers" / "exchange_core"
CFLAGS = ["-std=gnu11", "-O3", "-fno-strict-aliasing"]
JAVA = ["-Xms2g", "-Xmx2g", "-XX:+UseSerialGC"]
SEED = 7
WORKLOADS = {"w1": (1, 10_000), "w100": (100, 100_000)}  # symbols, open orders
HEAD_WORDS = 4
PYTHON_ACCOUNTS, PYTHON_ASSETS, LEVELS = 1024, 2, 4096  # as bench_core.c
INSTRUCTIONS_COMMANDS, INSTRUCTIONS_OPEN_ORDERS = 1_000, 1_000


@dataclass(frozen=True)
class Sizes:
    commands: int
    runs: int
    turns: int
    python_commands: int


def build_driver() -> Path:
    """Compiles bench_core.c with the core's sources into the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    driver = CACHE / "bench_core"
    core = sorted(path for path in (ROOT / "cores").glob("*.c") if path.name[0] != "_")
    sources = [str(Path(__file__).with_suffix(".c")), *(str(path) for path in core)]
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, *CFLAGS, "-I", str(ROOT / "cores"), *sources, "-o", str(driver)], check=True)
    return driver


def build_peer() -> list[str] | str:
    """The command line of the peer's driver, or why there is none."""
    if shutil.which("mvn") is None or shutil.which("java") is None:
        return "no java or mvn on this machine"
    target = CACHE / "exchange_core"
    done = subprocess.run(
        ["mvn", "-q", "-B", f"-Dbuild.folder={target}", "package"], cwd=PEER, capture_output=True, text=True
    )
    if done.returncode:
        return f"mvn failed: {(done.stdout + done.stderr).strip()[-300:]}"
    return ["java", *JAVA, "-cp", f"{target / 'classes'}:{target / 'lib'}/*", "Driver"]


def answer(command: list[str]) -> dict[str, Any]:
    """Runs a driver; the last line it prints is its result."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def merged(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Median of the turns' times; what does not depend on time must be the same in all."""
    times = ("ns_per_op", "p50_ns", "p99_ns", "clock_ns")
    first = turns[0]
    assert all(turn["trade_hash"] == first["trade_hash"] for turn in turns)
    return first | {name: statistics.median(turn[name] for turn in turns) for name in times if name in first}


def compare(name: str, driver: Path, peer: list[str] | str, sizes: Sizes) -> tuple[list[Row], float | None]:
    """Rows of both engines on one workload and the ratio of their operations a second, None without the peer."""
    symbols, open_orders = WORKLOADS[name]
    ours_file, peer_file = CACHE / f"{name}.commands", CACHE / f"{name}.peer"
    shape = [str(symbols), str(open_orders), str(sizes.commands), str(SEED)]
    subprocess.run([str(driver), "generate", *shape, str(ours_file), str(peer_file)], check=True)
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    for _ in range(sizes.turns):
        ours.append(answer([str(driver), "run", str(ours_file), str(sizes.runs)]))
        if isinstance(peer, list):
            theirs.append(answer([*peer, str(peer_file), str(sizes.runs)]))
    row = {"workload": name, "engine": "cores", **merged(ours)}
    if not theirs:
        return [row], None
    peer_row = {"workload": name, "engine": "exchange-core 0.5.3 direct", **merged(theirs)}
    if peer_row["trade_hash"] != row["trade_hash"] or peer_row["refused"]:
        raise SystemExit(f"{name}: the engines disagree: {row} and {peer_row}")
    return [row, peer_row], peer_row["ns_per_op"] / row["ns_per_op"]


def read_commands(path: Path) -> tuple[CoreConfig, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Configuration, set-up commands and timed commands of a file that the driver wrote."""
    head = np.fromfile(path, "<u8", HEAD_WORDS)
    records = np.fromfile(path, COMMAND, offset=HEAD_WORDS * 8)
    symbols, orders, setup, _ = (int(word) for word in head)
    return CoreConfig(symbols, PYTHON_ACCOUNTS, PYTHON_ASSETS, orders, LEVELS), records[:setup], records[setup:]


def python_row(name: str, make: Callable[[CoreConfig], Any], batch: int, count: int) -> Row:
    """Commands a second through the Python interface, submitted `batch` at a time."""
    config, setup, timed = read_commands(CACHE / "w1.commands")
    core = make(config)
    core.apply(setup)
    timed = timed[:count]
    start = time.perf_counter_ns()
    for first in range(0, len(timed), batch):
        core.apply(timed[first : first + batch])
    took = time.perf_counter_ns() - start
    return {"workload": "w1", "engine": f"{name}, {batch} a call", "ns_per_op": took / len(timed), "operations": count}


def instructions_per_command() -> tuple[float | None, str]:
    """Retired zkVM instructions a command for matching alone, from the guest executor; or None and why."""
    try:
        from proving.backends import Program, Sp1Backend
        from proving.guest import parts
        from proving.guest.inputs import workload_input
        from proving.sp1 import build

        build.find(build.WORKER)
    except Exception as error:  # whatever is missing is the reason, and no failure of this benchmark
        return None, f"{type(error).__name__}: {error}".splitlines()[0]
    backend = Sp1Backend()

    def execute(elf_path: Path, input_path: Path) -> tuple[int, int]:
        run = backend.execute(Program(elf_path.stem, elf_path, b""), input_path)
        return run.cycles, run.gas

    try:
        guest_input = workload_input(INSTRUCTIONS_COMMANDS, INSTRUCTIONS_OPEN_ORDERS, SEED)
        return parts.costs(execute, guest_input)["match"].cycles / INSTRUCTIONS_COMMANDS, "SP1 executor"
    finally:
        backend.close()


def main() -> None:
    options = arguments(__doc__)
    sizes = Sizes(300_000, 5, 1, 100_000) if options.quick else Sizes(1_000_000, 8, 5, 1_000_000)
    driver, peer = build_driver(), build_peer()
    rows: list[Row] = []
    ratios: dict[str, float | None] = {}
    for name, ratio in (("w1", "exchange_core_1"), ("w100", "exchange_core_100")):
        found, ratios[ratio] = compare(name, driver, peer, sizes)
        rows += found
    for batch in (1, 100, 10_000):
        rows.append(
            python_row("cores from Python", CompiledCore, batch, min(sizes.python_commands, 1_000 * batch * 100))
        )
    rows.append(python_row("reference in Python", ReferenceCore, 10_000, 20_000))
    ratios["instructions_per_command"], how = instructions_per_command()
    facts = conditions(
        seed=SEED,
        operations=sizes.commands,
        turns=sizes.turns,
        runs_a_turn=sizes.runs,
        compiler=subprocess.run([os.environ.get("CC", "cc"), "--version"], capture_output=True, text=True).stdout.split(
            "\n"
        )[0],
        flags=" ".join(CFLAGS),
        java=" ".join(JAVA),
        peer="exchange-core 0.5.3" if isinstance(peer, list) else peer,
        instructions=how,
    )
    publish("core", facts, rows, ratios, options.json)


if __name__ == "__main__":
    main()
