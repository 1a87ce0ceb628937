"""`venue demo`: the main job end to end, on embedded defaults, nothing staged.

Starts the venue as `venue run` does, connects three brokers over real FIX sessions, plays a day (opening auction, an
iceberg, a stop, a volatility call, a halt, a seeded order flow, closing auction), kills the engine with SIGKILL in the
middle of the flow and lets the supervisor start it again, then archives, verifies, commits to the embedded chain and
says what came of it. Only then, with --prover sp1, it turns to the prover. Whatever does not fit (an execution a broker
did not get, a root that differs, a batch that is not committed) is listed as a problem, and the exit code is 1.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from venue import sample
from venue.batches import BatchRecord
from venue.config import Config, load
from venue.demo_brokers import Brokers, day_counts
from venue.demo_day import DemoDay

if TYPE_CHECKING:
    from venue.control import ControlClient

START_SECONDS_MAX = 60.0
SETTLE_SECONDS_MAX = 180.0
EXIT_PROBLEMS = 1
EXIT_USAGE = 2
PROVED_BATCH = 1

Row = dict[str, Any]


@dataclass
class Result:
    """What `--report` writes."""

    orders: int = 0
    fills: int = 0
    auction_fills: int = 0
    stops_triggered: int = 0
    refreshes: int = 0
    volatility_calls: int = 0
    halts: int = 0
    commands: int = 0
    events: int = 0
    batches: int = 0
    verified: int = 0
    committed: int = 0
    proofs: list[Row] = field(default_factory=list)
    gas_per_batch: float | None = None
    state_root: str = ""
    archive: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Demo:
    """One run. Every stage says what it does and adds what does not fit to `result.problems`."""

    def __init__(self, folder: Path, orders: int, seed: int, prover: str, console: Console) -> None:
        self.folder, self.orders, self.seed, self.prover, self.console = folder, orders, seed, prover, console
        self.result = Result()
        self.passwords = sample.write(folder)
        self._settle_config()
        self.config = load(folder / "venue.toml")
        self.supervisor: subprocess.Popen[bytes] | None = None

    def run(self) -> Result:
        try:
            self._stage("venue started", self._start)
            self._stage("accounts funded", self._fund)
            self._stage("orders played", self._play)
            self._stage("sealed and committed", self._wait_settled)
            self._stage("venue stopped", self._stop)
            self._stage("archive verified", self._verify)
            self._read_ledger()
        finally:
            self._stop()
        return self.result

    def prove(self) -> None:
        """The SP1 step: builds the prover if it is missing, proves one batch, has it attested on the chain."""
        from proving.sp1 import build
        from venue import processes

        self.console.print("SP1: building the prover if it is missing (about six CPU minutes, once a machine) ...")
        build.build()
        self.console.print(f"SP1: proving batch {PROVED_BATCH} (one to two minutes, up to 8 GB of memory) ...")
        begin = time.monotonic()
        code = processes.prove(self.config, PROVED_BATCH, "sp1", lambda line: self.console.print(f"SP1: {line}"))
        self.result.seconds["proof made, verified and attested"] = time.monotonic() - begin
        if code:
            self.result.problems.append(f"batch {PROVED_BATCH} was not proved and attested (exit code {code})")
        self._read_ledger()

    # ---- stages ----

    def _stage(self, name: str, stage: Callable[[], None]) -> None:
        begin = time.monotonic()
        stage()
        seconds = time.monotonic() - begin
        self.result.seconds[name] = seconds
        self.console.print(f"{name:<22} {seconds:6.1f} s", highlight=False)

    def _settle_config(self) -> None:
        """The sample configuration with a free port, short batches and the background prover of this run."""
        path = self.folder / "venue.toml"
        text = path.read_text()
        backend = "replay" if self.prover == "replay" else "none"
        for old, new in (
            ("port = 5001", f"port = {_free_port()}"),
            ('backend = "replay"', f'backend = "{backend}"'),
            ("range_seconds = 3", "range_seconds = 1"),
            ("volatility_seconds = 30", "volatility_seconds = 1"),
        ):
            assert old in text, old
            text = text.replace(old, new, 1)
        path.write_text(text)

    def _start(self) -> None:
        command = [sys.executable, "-m", "venue", "run", "--config", str(self.config.path)]
        with (self.folder / "supervisor.log").open("wb") as output:
            self.supervisor = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        self._wait("the venue is open", lambda: self.config.control_path.exists() and _listens(self.config))

    def _fund(self) -> None:
        from venue.control import ControlClient

        with ControlClient(self.config.control_path, actor="demo") as client:
            for account in self.config.accounts[1:]:
                for asset in self.config.assets:
                    amount = 5_000_000 * 10**asset.scale if asset.code == "USD" else 200_000
                    client.deposit(account.id, asset.id, amount, f"opening balance {account.id} {asset.code}")

    def _play(self) -> None:
        brokers = Brokers(self.config, self.passwords, self.orders, self.seed)
        day = DemoDay(self.config, brokers.log_on(), self.seed, self._control)
        day.open()
        day.morning()
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as progress:
            task = progress.add_task("orders", total=self.orders)
            brokers.play(self._kill_engine, lambda sent: progress.update(task, completed=sent))
        if not brokers.problems():
            day.close()
        last_seq = brokers.log_out(self._last_seq)
        day.check()
        self.result.problems += brokers.problems() + brokers.reconcile(self.config, last_seq)

    def _control(self) -> ControlClient:
        from venue.control import ControlClient

        return ControlClient(self.config.control_path, actor="demo")

    def _last_seq(self) -> int:
        from venue.control import ControlClient

        with ControlClient(self.config.control_path, actor="demo") as client:
            return int(client.status()["last_seq"])

    def _kill_engine(self) -> None:
        status = json.loads((self.config.data_dir / "run.json").read_text())
        pid = status["processes"]["engine"]["pid"]
        os.kill(pid, signal.SIGKILL)
        self.console.print(f"engine (process {pid}) killed with SIGKILL half-way; the supervisor starts it again")

    def _wait_settled(self) -> None:
        """Until the archive holds everything journaled and every batch of it is committed on the chain."""
        from settlement.service import SettlementConfig, open_ledger
        from venue import processes
        from venue.control import ControlClient

        with ControlClient(self.config.control_path, actor="demo") as client:
            last_seq = client.snapshot()  # the archive cuts a batch where the writer left a state root, and compares
        self._wait("the archive is complete", lambda: any(r.last_seq >= last_seq for r in self._records()))
        batches = len(self._records())
        wanted = "final" if self.prover == "replay" else "committed"
        settings = SettlementConfig.from_mapping(processes.settlement_settings(self.config))

        def settled() -> bool:
            ledger = open_ledger(settings)
            try:
                states = ledger.batch_states()
            finally:
                ledger.close()
            return sum(_reached(state, wanted) for state in states) >= batches

        self._wait(f"every batch is {wanted}", settled, SETTLE_SECONDS_MAX)

    def _records(self) -> list[BatchRecord]:
        """The records of the batches sealed so far; read beside the archive's writer."""
        paths = sorted(self.config.archive_dir.glob("batch-*.record"))
        return [BatchRecord.from_bytes(path.read_bytes()) for path in paths]

    def _stop(self) -> None:
        if self.supervisor is not None and self.supervisor.poll() is None:
            self.supervisor.terminate()
            code = self.supervisor.wait(120)
            if code:
                logs = self.config.data_dir / "log"
                self.result.problems.append(f"the venue ended with exit code {code}; see {logs}")

    def _verify(self) -> None:
        from venue.replay import replayed
        from venue.verify import verify

        paths = sorted(self.config.archive_dir.glob("batch-*.arrow"))
        report = verify(paths, replay=True)
        found = replayed(self.config.journal_dir)
        result = self.result
        result.problems += [str(problem) for problem in report.problems]
        result.batches, result.archive = len(paths), [str(path) for path in paths]
        result.verified = sum(file.ok for file in report.files)
        result.commands, result.events = found.commands, found.events
        result.orders, result.fills = found.by_command.get("NEW", 0), found.by_event.get("FILL", 0) // 2
        for name, count in vars(day_counts(self.config)).items():
            setattr(result, name, count)
        result.state_root = found.state_root.hex()
        last = max(self._records(), key=lambda record: record.batch_id, default=None)
        if last is None or last.last_seq != found.last_seq:
            result.problems.append(f"the archive ends at {last and last.last_seq}, the journal at {found.last_seq}")
        elif last.state_root != found.state_root:
            result.problems.append("the archive's last state root is not the journal's")

    def _read_ledger(self) -> None:
        """What PostgreSQL and the chain know: commits, gas, proofs."""
        from settlement.service import SettlementConfig, open_ledger
        from venue import processes

        ledger = open_ledger(SettlementConfig.from_mapping(processes.settlement_settings(self.config)))
        try:
            states, proofs, rows = ledger.batch_states(), ledger.proofs(), ledger.summary()
        finally:
            ledger.close(stop_server=True)
        self.result.committed = sum(_reached(state, "committed") for state in states)
        gas = [float(row["commit_gas_per_batch"]) for row in rows if row["commit_gas_per_batch"] is not None]
        self.result.gas_per_batch = sum(gas) / len(gas) if gas else None
        assurance = {state.batch_id: state.assurance for state in states}
        self.result.proofs = [
            {
                "batch": proof.batch_id,
                "backend": proof.backend,
                "kind": proof.kind,
                "cycles": proof.cycles,
                "seconds": round(proof.seconds, 3),
                "bytes": proof.size_bytes,
                "verified": proof.verified,
                "on_chain": assurance.get(proof.batch_id),
            }
            for proof in proofs
        ]

    def _wait(self, what: str, condition: Callable[[], bool], seconds_max: float = START_SECONDS_MAX) -> None:
        deadline = time.monotonic() + seconds_max
        while not condition():
            if self.supervisor is not None and self.supervisor.poll() is not None:
                raise DemoFailed(f"the venue ended (exit code {self.supervisor.returncode}) before {what}")
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what}: not within {seconds_max:.0f} s")
            time.sleep(0.1)


class DemoFailed(Exception):
    """A stage did not come to its end; the logs are kept."""


def run(orders: int, seed: int, prover: str, keep: Path | None, report: Path | None) -> int:
    """Plays the demo; returns 0 when everything fits."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    if keep is not None and keep.exists() and any(keep.iterdir()):
        print(f"venue: --keep {keep}: the folder is not empty; name another", file=sys.stderr)
        return EXIT_USAGE
    if report is not None and not report.absolute().parent.is_dir():
        print(
            f"venue: --report {report}: there is no folder {report.absolute().parent}; make it first", file=sys.stderr
        )
        return EXIT_USAGE
    folder = keep.absolute() if keep is not None else Path(tempfile.mkdtemp(prefix="fix-venue-demo-"))
    demo: Demo | None = None
    try:
        demo = Demo(folder, orders, seed, prover, console)
        demo.run()
        _print(console, demo)
        if prover == "sp1":
            demo.prove()
            _print(console, demo)
    except KeyboardInterrupt:
        console.print(f"interrupted; nothing is lost: everything so far is in {folder}")
        return 130
    except DemoFailed as error:
        console.print(f"demo failed: {error}; logs are in {folder}")
        return EXIT_PROBLEMS
    if report is not None:
        report.write_text(json.dumps(demo.result.__dict__, indent=2) + "\n")
    if demo.result.problems:
        return EXIT_PROBLEMS
    if keep is None:
        console.print(f"everything is in {folder}" if prover == "sp1" else f"removed {folder}; --keep DIR keeps it")
        if prover == "replay":
            shutil.rmtree(folder)
    return 0


def _print(console: Console, demo: Demo) -> None:
    """The table, and under it every proof and every problem."""
    result = demo.result
    table = Table("what", "how much", title="the venue's day", show_header=False)
    for name, value in (
        ("orders (NewOrderSingle)", f"{result.orders:,}"),
        ("fills", f"{result.fills:,}"),
        ("of them in auctions", f"{result.auction_fills:,}"),
        ("stops triggered · iceberg refreshes", f"{result.stops_triggered} · {result.refreshes}"),
        ("volatility calls · halts", f"{result.volatility_calls} · {result.halts}"),
        ("commands · events", f"{result.commands:,} · {result.events:,}"),
        ("batches sealed", f"{result.batches}"),
        ("batches verified, replayed", f"{result.verified}"),
        ("batches committed on the chain", f"{result.committed} (embedded chain, simulated finality)"),
        ("commit gas a batch", f"{result.gas_per_batch:,.0f}" if result.gas_per_batch else "-"),
        ("state root", result.state_root),
        ("archive", str(demo.config.archive_dir)),
    ):
        table.add_row(name, value)
    console.print(table)
    for proof in result.proofs:
        what = f"{proof['kind']} proof, {proof['cycles']:,} cycles"
        if proof["kind"] == "replay":
            what = "re-execution, no proof"
        console.print(
            f"batch {proof['batch']}: {proof['backend']} ({what}), {proof['seconds']:.1f} s, {proof['bytes']:,} bytes, "
            f"verified; on the chain: {proof['on_chain']}",
            highlight=False,
        )
    for problem in result.problems:
        console.print(f"PROBLEM: {problem}", style="bold red")


def _reached(state: Any, wanted: str) -> bool:
    order = ("sealed", "committed", "proved", "final")
    return order.index(state.state) >= order.index(wanted) if state.state in order else False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(config: Config) -> bool:
    try:
        with socket.create_connection((config.fix.host, config.fix.port), 0.2):
            return True
    except OSError:
        return False
