"""How fast orders go over FIX and back: our venue against QuickFIX/J and against a floor that does no FIX at all.

One compiled client loads every server with the same orders, each giving one ExecutionReport: many in flight (messages a
second), then one at a time (round trip). For round trips client and server share one CPU, which who only syncs has to
himself: where the system puts a client of the same machine costs it nothing or 30 us, by chance. The servers run side
by side and are measured in turns, round after round, so that a busy moment of the machine hits all of them; a ratio is
the median of the rounds' ratios. `sync=none` is compared with the other servers, which write nothing either;
`sync=commit` with a bare fdatasync on the same disk, because no report may leave before its order is durable, and with
an echo that does just that and answers: what the disk and the loopback leave to any venue. Nothing is written into the
tree: programs go to the cache folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from perf import report

PERF = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fix-venue"
PEER = PERF / "peers" / "quickfixj"
MEMBER, SENDER, TARGET, USERNAME, ACCOUNT = "CAROL", "CAROL1", "VENUE", "carol", "3"
SYMBOLS = ("ACME", "BOLT", "CORN")  # each run uses the next, so that no book holds more orders than the venue allows
PRICE_TICKS, LEVELS, SEED, WINDOW = 6_000, 1_000, 20_261_121, 1_000
TERMS = 'tick = "0.01"\nlot = "1"\nprice_min = "50.00"\nprice_max = "150.00"'  # ACME's, for all three
ENTRY_BYTES = 192  # what the journal writes for one of these orders
START_SECONDS_MAX, STOP_SECONDS_MAX, RUN_SECONDS_MAX = 60, 60, 300
ECHO, QUICKFIXJ, NONE, COMMIT = "C echo, no FIX", "QuickFIX/J", "venue sync=none", "venue sync=commit"
SYNCED = "C echo, fdatasync first"
FDATASYNC, PACED = "bare fdatasync", "fdatasync after 50 us idle"


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int
    warm: int  # orders before the clock starts, each time
    pipelined: int
    pingpong: int
    heat_pipelined: int  # once a symbol before the first round: compiles the JVM's code, fills caches
    heat_pingpong: int

    def orders(self) -> int:
        """Orders that rest in one book at the end."""
        rounds = -(-self.rounds // len(SYMBOLS))
        return self.heat_pipelined + self.heat_pingpong + rounds * (2 * self.warm + self.pipelined + self.pingpong)


FULL = Sizes(rounds=15, warm=2_000, pipelined=20_000, pingpong=3_000, heat_pipelined=60_000, heat_pingpong=6_000)
QUICK = Sizes(rounds=6, warm=1_000, pipelined=10_000, pingpong=1_000, heat_pipelined=30_000, heat_pingpong=3_000)


@dataclass
class Server:
    """A running server, how to reach it, and what was measured of it, a result a round."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    options: list[str] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    runs: int = 0
    secrets: dict[str, str] = field(default_factory=dict)  # passwords by member


class BenchError(RuntimeError):
    """A program of the benchmark could not be built, started or driven."""


def build_c(name: str, folder: Path = CACHE / "bench_fix") -> Path:
    """Compiles perf/NAME.c into the cache when it is not there or older than its source."""
    source, program = PERF / f"{name}.c", folder / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        folder.mkdir(parents=True, exist_ok=True)
        compiler = os.environ.get("CC", "cc")
        _run([compiler, "-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source)])
    return program


def build_quickfixj() -> Path | None:
    """Builds the executor with Maven into the cache; None, with a word, where there is no Java or Maven."""
    folder, jar = CACHE / "quickfixj", CACHE / "quickfixj" / "quickfixj-executor-1.jar"
    if not shutil.which("java") or not shutil.which("mvn"):
        print("QuickFIX/J is not measured: that needs java and mvn", file=sys.stderr)
        return None
    sources = [PEER / "pom.xml", *PEER.glob("src/*.java")]
    if not jar.exists() or jar.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        print("building the QuickFIX/J executor", file=sys.stderr)
        _run(["mvn", "-q", "-B", "-f", str(PEER / "pom.xml"), f"-Dbuild.folder={folder}", "clean", "package"])
    return folder


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{command[0]} failed ({done.returncode}): {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


@contextmanager
def started(name: str, command: list[str], log: Path, port: int, options: list[str]) -> Iterator[Server]:
    """The server, from the moment its port takes connections; ended with SIGTERM."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=PERF.parent)
    try:
        _wait_open(name, process, port, log)
        yield Server(name, process, port, options)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_open(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise BenchError(f"{name} did not open port {port}: {log.read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def echo(name: str, *arguments: str) -> Iterator[Server]:
    """A floor."""
    process = subprocess.Popen([str(build_c("fix_echo")), *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield Server(name, process, int(process.stdout.readline()), ["--no-logon"])
    finally:
        process.kill()
        process.wait()


def quickfixj(folder: Path, work: Path) -> Any:
    """QuickFIX/J's SocketAcceptor, which proved faster here than its ThreadedSocketAcceptor."""
    port = free_port()
    path = f"{folder}/quickfixj-executor-1.jar:{folder}/lib/*"
    command = ["java", "-cp", path, "Executor", str(port), TARGET, SENDER, "single"]
    return started(QUICKFIXJ, command, work / "quickfixj.log", port, [])


def venue(sync: str, sizes: Sizes, work: Path) -> Any:
    """Our engine with its FIX sessions, as `venue engine` runs it, on a fresh journal."""
    from venue import sample

    folder, port = work / sync, free_port()
    passwords = sample.write(folder)
    path = folder / "venue.toml"
    path.write_text(configured(path.read_text(), sync, port, sizes.orders()))
    options = ["--username", USERNAME, "--password", passwords[MEMBER], "--account", ACCOUNT]
    command = [sys.executable, "-m", "venue", "engine", "--config", str(path)]
    return started(f"venue sync={sync}", command, folder / "engine.log", port, options)


def configured(text: str, sync: str, port: int, orders: int) -> str:
    """The sample configuration with our port, sync mode and room for all the orders and their cost."""
    capacity = 1 << max(14, orders.bit_length())
    changes = {
        "port = 5001": f"port = {port}",
        'sync = "commit"': f'sync = "{sync}"',
        "symbols = 16": "symbols = 4",
        "orders = 16384": f"orders = {capacity}",
        'credit = "250000"': 'credit = "100000000000"',
        'tick = "0.005"\nlot = "10"\nprice_min = "5.000"\nprice_max = "40.000"': TERMS,
        'tick = "0.25"\nlot = "5"\nprice_min = "300.00"\nprice_max = "900.00"': TERMS,
    }
    for old, new in changes.items():
        if text.count(f"\n{old}") != 1:
            raise BenchError(f"the sample configuration has not exactly one place with: {old!r}")
        text = text.replace(f"\n{old}", f"\n{new}")
    return text


def load(server: Server, warm: int, pipelined: int, pingpong: int) -> dict[str, Any]:
    """One run of the client against the server, on the next symbol."""
    symbol = SYMBOLS[server.runs % len(SYMBOLS)]
    server.runs += 1
    counts = {"warm": warm, "pipelined": pipelined, "pingpong": pingpong, "window": WINDOW, "levels": LEVELS}
    counts |= {"price-ticks": PRICE_TICKS, "seed": SEED + server.runs}
    counts |= {"port": server.port, "server-pid": server.process.pid}
    command = [str(build_c("fix_load")), "--sender", SENDER, "--target", TARGET, "--symbol", symbol]
    command += ["--prefix", f"r{server.runs}-", *server.options]
    for name, value in counts.items():
        command += [f"--{name}", str(value)]
    return run_load(server.name, command)


@contextmanager
def one_cpu(*processes: int) -> Iterator[None]:
    """Keeps the threads of these processes, this one and what it starts on the last CPU of those allowed."""
    allowed = os.sched_getaffinity(0)
    try:
        _place({max(allowed)}, os.getpid(), *processes)
        yield
    finally:
        _place(allowed, os.getpid(), *processes)


def _place(cpus: set[int], *processes: int) -> None:
    for process in processes:
        for thread in Path(f"/proc/{process}/task").iterdir():
            with suppress(ProcessLookupError):  # one that has ended meanwhile
                os.sched_setaffinity(int(thread.name), cpus)


def load_in_turn(server: Server, sizes: Sizes) -> dict[str, Any]:
    """Many in flight, on all CPUs; then one at a time, on one."""
    pipelined = load(server, sizes.warm, sizes.pipelined, 0)
    with one_cpu(server.process.pid):
        return pipelined | load(server, sizes.warm, 0, sizes.pingpong)


def run_load(name: str, command: list[str]) -> dict[str, Any]:
    """What the client printed. Raises BenchError with the client's words when it did not get through."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS_MAX)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{name}: the client was not done after {RUN_SECONDS_MAX} s") from error
    if done.returncode:
        raise BenchError(f"{name}: {done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


class BareDisk:
    """Appends and fdatasyncs in a file of zeros, as the journal writes its segments; nothing else.

    With a pause before each, it shows what the same call costs a process that has slept, as a venue between orders has.
    """

    def __init__(self, path: Path, count: int, pause_seconds: float = 0) -> None:
        self.count = count
        self.pause_seconds = pause_seconds
        self.results: list[dict[str, Any]] = []
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.pwrite(self.fd, bytes(count * ENTRY_BYTES), 0)
        os.fsync(self.fd)

    def measure(self) -> dict[str, Any]:
        entry, taken = os.urandom(ENTRY_BYTES), []
        for number in range(self.count):
            if self.pause_seconds:
                time.sleep(self.pause_seconds)
            begin = time.perf_counter_ns()
            os.pwrite(self.fd, entry, number * ENTRY_BYTES)
            os.fdatasync(self.fd)
            taken.append((time.perf_counter_ns() - begin) / 1000)
        taken.sort()
        quantiles = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999}
        return {"pingpong": {name: taken[int(share * len(taken))] for name, share in quantiles.items()}}

    def close(self) -> None:
        os.close(self.fd)


def measure(servers: list[Server], disks: list[BareDisk], sizes: Sizes) -> None:
    """Heats every server, then goes round and round, beginning each time with the next."""
    for server in servers * len(SYMBOLS):
        load(server, 0, sizes.heat_pipelined, sizes.heat_pingpong)
    turns: list[Server | BareDisk] = [*servers, *disks]
    for number in range(sizes.rounds):
        print(f"round {number + 1} of {sizes.rounds}", file=sys.stderr)
        for turn in turns[number % len(turns) :] + turns[: number % len(turns)]:
            if isinstance(turn, Server):
                turn.results.append(load_in_turn(turn, sizes))
            else:
                with one_cpu():
                    turn.results.append(turn.measure())


def values(results: list[dict[str, Any]], phase: str, name: str) -> list[float]:
    return [result[phase][name] for result in results if phase in result and name in result[phase]]


def row(name: str, results: list[dict[str, Any]]) -> report.Row:
    """Median of the rounds; where one asks how good it gets on a quiet machine, the best."""
    made: report.Row = {"server": name}
    rates = values(results, "pipelined", "per_second")
    if rates:
        made["messages/s"] = round(statistics.median(rates))
        made["best/s"] = round(max(rates))
        made["CPU us/msg"] = statistics.median(values(results, "pipelined", "cpu_us"))
    p50 = values(results, "pingpong", "p50_us")
    made |= {"p50 us": statistics.median(p50), "best p50 us": min(p50)}
    for quantile in ("p99", "p999"):
        made[f"{quantile} us"] = statistics.median(values(results, "pingpong", f"{quantile}_us"))
    if rates:
        made["CPU us/ping"] = statistics.median(values(results, "pingpong", "cpu_us"))
    return made


Results = dict[str, list[dict[str, Any]]]


def compared(
    results: Results, ours: str, other: str, phase: str, name: str, how: Callable[[float, float], float]
) -> float | None:
    """Median over the rounds of ours against the other's in the same round; None where either was not measured."""
    pairs = zip(values(results.get(ours, []), phase, name), values(results.get(other, []), phase, name), strict=False)
    made = [how(mine, theirs) for mine, theirs in pairs]
    return statistics.median(made) if made else None


def best(
    results: Results, ours: str, other: str, phase: str, name: str, of: Callable[[list[float]], float]
) -> float | None:
    """Our best round to the other's best: what is left when the machine is busy with other things most of the time."""
    mine, theirs = values(results.get(ours, []), phase, name), values(results.get(other, []), phase, name)
    return of(mine) / of(theirs) if mine and theirs else None


def ratios(results: Results) -> dict[str, float | None]:
    def over(ours: str, other: str, phase: str, name: str) -> float | None:
        return compared(results, ours, other, phase, name, lambda mine, theirs: mine / theirs)

    return {
        "p50_to_echo": over(NONE, ECHO, "pingpong", "p50_us"),
        "p50_over_echo_us": compared(results, NONE, ECHO, "pingpong", "p50_us", lambda mine, floor: mine - floor),
        "quickfixj": over(NONE, QUICKFIXJ, "pipelined", "per_second"),
        "quickfixj_p50": over(NONE, QUICKFIXJ, "pingpong", "p50_us"),
        "p50_to_fdatasync": over(COMMIT, FDATASYNC, "pingpong", "p50_us"),
        "p50_to_fdatasync_paced": over(COMMIT, PACED, "pingpong", "p50_us"),
        "p50_to_echo_fdatasync": over(COMMIT, SYNCED, "pingpong", "p50_us"),
        "orders_per_second_commit": statistics.median(values(results[COMMIT], "pipelined", "per_second")),
        "quickfixj_best": best(results, NONE, QUICKFIXJ, "pipelined", "per_second", max),
        "p50_to_echo_best": best(results, NONE, ECHO, "pingpong", "p50_us", min),
        "p50_to_fdatasync_best": best(results, COMMIT, FDATASYNC, "pingpong", "p50_us", min),
    }


def main() -> int:
    asked = report.arguments(__doc__)
    sizes = QUICK if asked.quick else FULL
    peer = build_quickfixj()
    build_c("fix_load")
    work = Path(tempfile.mkdtemp(prefix="run-", dir=made(CACHE / "bench_fix")))
    try:
        with ExitStack() as stack:
            servers = [stack.enter_context(echo(ECHO)), stack.enter_context(echo(SYNCED, str(work / "synced")))]
            if peer is not None:
                servers.append(stack.enter_context(quickfixj(peer, work)))
            servers += [stack.enter_context(venue(sync, sizes, work)) for sync in ("none", "commit")]
            disks = [BareDisk(work / "bare", sizes.pingpong), BareDisk(work / "paced", sizes.pingpong, 50e-6)]
            for disk in disks:
                stack.callback(disk.close)
            measure(servers, disks, sizes)
            facts = report.conditions(**_facts(sizes, servers))
        results = {server.name: server.results for server in servers} | {
            FDATASYNC: disks[0].results,
            PACED: disks[1].results,
        }
        rows = [row(name, rounds) for name, rounds in results.items()]
        report.publish("fix", facts, rows, ratios(results), asked.json)
    except BenchError as error:
        print(f"bench_fix: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work)
    return 0


def made(folder: Path) -> Path:
    """The folder, there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _facts(sizes: Sizes, servers: list[Server]) -> dict[str, Any]:
    last = servers[-1].results[-1]
    return {
        "rounds": sizes.rounds,
        "pipelined": sizes.pipelined,
        "in_flight": WINDOW,
        "pingpong": sizes.pingpong,
        "heated_by": len(SYMBOLS) * (sizes.heat_pipelined + sizes.heat_pingpong),
        "symbols": len(SYMBOLS),
        "resting_at_end": f"{sizes.orders()} a symbol at most",
        "price_levels": LEVELS,
        "order_bytes": last["order_bytes"],
        "report_bytes": last["report_bytes"],
        "seed": SEED,
        "client": "blocking, TCP_NODELAY, loopback; one at a time on the server's CPU",
        "quickfixj": f"{_quickfixj_version()}, SocketAcceptor, memory store, no log, data dictionary",
        "java": _java(),
        "venue": "native application, journal on disk, snapshots as configured by default",
    }


def _quickfixj_version() -> str:
    found = sorted((CACHE / "quickfixj" / "lib").glob("quickfixj-core-*.jar"))
    return found[-1].stem.removeprefix("quickfixj-core-") if found else "none"


def _java() -> str:
    if not shutil.which("java"):
        return "none"
    return subprocess.run(["java", "-version"], capture_output=True, text=True).stderr.split("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
