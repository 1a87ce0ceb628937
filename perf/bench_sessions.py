"""What one session's trouble costs the others: eight together, by the clock, beside a stalled one, beside busy Python.

The client and the servers are bench_fix's; here the question is not how fast a session is but whether it stays so:

- eight sessions at once at `sync=commit`, begun at the same instant: orders a second, all of them together;
- open loop: orders leave by the clock at half of what the same session managed a moment before, and each answer's time
  runs from when its order was due, so that a stall counts for every order it delays (no coordinated omission);
- a stalled session, which sends and never reads, beside one that trades: its p99, against the same without it;
- a thread that computes in Python without a pause in the venue's own process: p50, against a venue without one.

Each pair is measured in turns, round after round; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fix_sessions.client import Broker
from perf import bench_fix, report
from perf.bench_fix import CACHE, MEMBER, SEED, SENDER, SYMBOLS, TARGET, BenchError, Server

SESSIONS, STALLED_ORDERS, READY_SECONDS = 8, 4_000, 4.0
PLAIN, BUSY, COMMIT = "sync=none", "sync=none, busy Python thread", "sync=commit"
# As `venue engine`, with one more thread that never waits and never leaves the interpreter.
BUSY_PROGRAM = """
import sys, threading
def compute():
    while True:
        sum(range(1000))
threading.Thread(target=compute, daemon=True).start()
from venue.cli import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int
    pipelined: int
    pingpong: int
    paced: int  # their cancels must fit into what the venue keeps for a session that has to read them yet


ORDERS_MAX = 200_000  # that rest in one book: a run's are cancelled when it ends
FULL = Sizes(rounds=9, pipelined=10_000, pingpong=3_000, paced=20_000)
QUICK = Sizes(rounds=3, pipelined=5_000, pingpong=1_000, paced=10_000)


@dataclass
class Venue:
    """A running engine and what was measured of it, by what was asked."""

    server: Server
    results: dict[str, list[dict[str, Any]]]

    def load(self, kind: str, session: int = 1, **counts: int) -> dict[str, Any]:
        """One run of the client as one session; kept under `kind`."""
        self.server.runs += 1
        run = self.server.runs
        counts = {"window": 1_000, "levels": 1_000, "price-ticks": 6_000, "seed": SEED + run, **counts}
        command = [str(bench_fix.build_c("fix_load")), "--target", TARGET, "--symbol", SYMBOLS[run % len(SYMBOLS)]]
        command += ["--sender", f"CAROL{session}", "--prefix", f"r{run}-", *self.server.options]
        command += ["--port", str(self.server.port), "--cancel"]
        for name, value in counts.items():
            command += [f"--{name}", str(value)]
        found: dict[str, Any] = bench_fix.run_load(self.server.name, command)
        self.results.setdefault(kind, []).append(found)
        return found


@contextmanager
def started(sync: str, work: Path, *, busy: bool = False) -> Iterator[Venue]:
    """An engine on a fresh journal with eight sessions of one member."""
    folder, port = work / f"{sync}-{busy}", bench_fix.free_port()
    from venue import sample

    passwords = sample.write(folder)
    path = folder / "venue.toml"
    path.write_text(with_sessions(bench_fix.configured(path.read_text(), sync, port, ORDERS_MAX)))
    options = ["--username", bench_fix.USERNAME, "--password", passwords[MEMBER], "--account", bench_fix.ACCOUNT]
    begin = ["-c", BUSY_PROGRAM] if busy else ["-m", "venue"]
    command = [sys.executable, *begin, "engine", "--config", str(path)]
    name = BUSY if busy else f"sync={sync}"
    with bench_fix.started(name, command, folder / "engine.log", port, options) as server:
        server.secrets = passwords
        yield Venue(server, {})


def with_sessions(text: str) -> str:
    """The configuration with as many sessions of the member as are needed, all with the first one's password."""
    begin = text.index(f'[[members.sessions]]\nid = 3\ncomp_id = "{SENDER}"')
    own = text[begin:].split("\n\n")[0].rstrip()
    more = [
        own.replace("id = 3", f"id = {100 + number}").replace(f'"{SENDER}"', f'"CAROL{number}"')
        for number in range(2, SESSIONS + 1)
    ]
    return text[:begin] + "\n\n".join([own, *more]) + "\n" + text[begin + len(own) :]


@contextmanager
def stalled(venue: Venue) -> Iterator[None]:
    """A session that has sent thousands of orders, reads none of the answers, and stays."""
    broker = Broker("127.0.0.1", venue.server.port, "BRAVO1", "bravo", venue.server.secrets["BRAVO"])
    broker.log_on(reset=True)
    for _ in range(STALLED_ORDERS):
        broker.order("ACME", "buy", 1, "60.00")
    try:
        yield
    finally:
        broker.close()


def together(venue: Venue, count: int) -> float:
    """Orders a second of all sessions, from the common start to the last one's last report."""
    start_ns = time.monotonic_ns() + int(READY_SECONDS * 1e9)
    with ThreadPoolExecutor(SESSIONS) as pool:
        waiting = [
            pool.submit(venue.load, "eight", session, pipelined=count, **{"start-ns": start_ns})
            for session in range(1, SESSIONS + 1)
        ]
        seconds = [one.result()["pipelined"]["seconds"] for one in waiting]
    return SESSIONS * count / max(seconds)


def open_loop(venue: Venue, sizes: Sizes) -> None:
    """Half of what the session did just now, by the clock."""
    capacity = venue.load("capacity", pipelined=sizes.pipelined)["pipelined"]["per_second"]
    rate = int(capacity / 2)
    venue.load("paced", paced=sizes.paced, rate=rate)


def measure_round(plain: Venue, busy: Venue, commit: Venue, sizes: Sizes, rates: list[float]) -> None:
    pings = sizes.pingpong
    plain.load("alone", pingpong=pings)
    with stalled(plain):
        plain.load("beside a stalled session", pingpong=pings)
    plain.load("ping", pingpong=pings)
    busy.load("ping", pingpong=pings)
    for venue in (plain, commit):
        open_loop(venue, sizes)
    rates.append(together(commit, sizes.pipelined))


def quantiles(venue: Venue, kind: str, phase: str) -> report.Row:
    results = [result[phase] for result in venue.results[kind]]
    made: report.Row = {"server": venue.server.name, "what": kind if phase == "pingpong" else "open loop"}
    if phase == "paced":
        made["orders/s"] = round(statistics.median(result["rate"] for result in results))
    for name in ("p50", "p99", "p999", "max"):
        made[f"{name} us"] = statistics.median(result[f"{name}_us"] for result in results)
    return made


def ratio(over: list[dict[str, Any]], under: list[dict[str, Any]], name: str) -> float:
    pairs = zip(over, under, strict=True)
    return statistics.median(mine["pingpong"][name] / theirs["pingpong"][name] for mine, theirs in pairs)


def main() -> int:
    asked = report.arguments(__doc__)
    sizes = QUICK if asked.quick else FULL
    bench_fix.build_c("fix_load")
    work = Path(tempfile.mkdtemp(prefix="run-", dir=bench_fix.made(CACHE / "bench_sessions")))
    rates: list[float] = []
    try:
        with ExitStack() as stack:
            plain = stack.enter_context(started("none", work))
            busy = stack.enter_context(started("none", work, busy=True))
            commit = stack.enter_context(started("commit", work))
            for venue in (plain, busy, commit) * len(SYMBOLS):
                venue.load("heat", pipelined=sizes.pipelined, pingpong=sizes.pingpong)
            for number in range(sizes.rounds):
                print(f"round {number + 1} of {sizes.rounds}", file=sys.stderr)
                measure_round(plain, busy, commit, sizes, rates)
    except (BenchError, subprocess.SubprocessError, OSError) as error:
        print(f"bench_sessions: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work)
    kinds = ("alone", "beside a stalled session", "ping")
    rows = [quantiles(plain, kind, "pingpong") for kind in kinds] + [quantiles(busy, "ping", "pingpong")]
    rows += [quantiles(venue, "paced", "paced") for venue in (plain, commit)]
    rows.append(
        {"server": COMMIT, "what": f"{SESSIONS} sessions together", "orders/s": round(statistics.median(rates))}
    )
    found = plain.results
    facts = {"rounds": sizes.rounds, "pipelined": sizes.pipelined, "pingpong": sizes.pingpong, "seed": SEED}
    facts |= {"paced": sizes.paced, "in_flight": 1_000, "stalled_orders": STALLED_ORDERS}
    ratios: dict[str, float | None] = {
        "stalled_p99": ratio(found["beside a stalled session"], found["alone"], "p99_us"),
        "stalled_p50": ratio(found["beside a stalled session"], found["alone"], "p50_us"),
        "busy_python_p50": ratio(busy.results["ping"], found["ping"], "p50_us"),
        "orders_per_second_8_sessions": statistics.median(rates),
    }
    report.publish("sessions", report.conditions(**facts), rows, ratios, asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
