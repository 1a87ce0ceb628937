"""Runs the venue's processes and keeps them running.

Each part (engine with its FIX sessions, archive, chain, settlement) is a process of its own, so that one can crash,
lag or be restarted without touching the others. A process that ends by itself is started again with growing pauses,
except where a restart cannot help: a damaged journal (exit code 3) or a wrong configuration (2) ends the venue with
that code. SIGTERM drains from the front: the engine takes no more orders and makes its last report durable, then the
archive seals what is left, then the settlement ends. Must never start a second engine on one journal: the journal's
lock sees to that; a second `venue run` ends at the lock of its own before it touches anything of the first.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from venue.config import Config
from venue.log import event

log = logging.getLogger("supervisor")

EXIT_CONFIG = 2
EXIT_DAMAGED = 3
BACKOFF_SECONDS_MIN = 0.2
BACKOFF_SECONDS_MAX = 30.0
STEADY_SECONDS = 60.0
STOP_SECONDS_MAX = 60.0


@dataclass
class Child:
    """One supervised process."""

    name: str
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restarts: int = 0
    backoff_seconds: float = BACKOFF_SECONDS_MIN
    restart_at: float = field(default=0.0)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """`run()` until a signal or a child's final exit; returns the exit code."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.children = [Child(name, _arguments(name, config)) for name in _names(config)]
        self.stopping = False
        self.log_dir = config.data_dir / "log"
        self.status_path = config.data_dir / "run.json"

    def run(self) -> int:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        with (self.config.data_dir / "run.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                place = self.config.data_dir
                print(f"venue: {place}: a `venue run` is at work here already: stop it first", file=sys.stderr)
                return EXIT_CONFIG
            return self._run()

    def _run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            return self._watch()
        finally:
            self._stop_all()
            self.status_path.unlink(missing_ok=True)

    def check(self) -> None:
        """Asserts that no child is counted twice and every running one has a start time."""
        assert len({child.name for child in self.children}) == len(self.children)
        assert all(child.started > 0 for child in self.children if child.running)

    def _watch(self) -> int:
        for child in self.children:
            self._start(child)
        while not self.stopping:
            for child in self.children:
                code = self._tend(child)
                if code is not None:
                    return code
            time.sleep(0.05)
        return 0

    def _tend(self, child: Child) -> int | None:
        """Restarts a child that has ended; the exit code when the venue must end with it."""
        if child.running:
            if child.backoff_seconds > BACKOFF_SECONDS_MIN and time.monotonic() - child.started > STEADY_SECONDS:
                child.backoff_seconds = BACKOFF_SECONDS_MIN
            return None
        if child.process is not None:
            code = child.process.returncode
            child.process = None
            if code in (EXIT_CONFIG, EXIT_DAMAGED):
                event(log, "process ended for good", logging.ERROR, name=child.name, code=code)
                text = f"venue: {child.name} cannot run (exit code {code}); see {self._log_path(child)}"
                print(text, file=sys.stderr)
                return code
            child.restart_at = time.monotonic() + child.backoff_seconds
            pause = child.backoff_seconds
            path = str(self._log_path(child))
            event(log, "process ended", logging.WARNING, name=child.name, code=code, again_seconds=pause, see=path)
            child.backoff_seconds = min(child.backoff_seconds * 2, BACKOFF_SECONDS_MAX)
        if time.monotonic() >= child.restart_at:
            child.restarts += 1
            self._start(child)
        return None

    def _start(self, child: Child) -> None:
        with self._log_path(child).open("ab") as output:
            child.process = subprocess.Popen(
                child.arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        child.started = time.monotonic()
        event(log, "process started", name=child.name, pid=child.process.pid, restarts=child.restarts)
        self._write_status()

    def _write_status(self) -> None:
        """`run.json`: process ids, for operators and `venue status`; replaced whole."""
        status = {
            "supervisor": os.getpid(),
            "processes": {
                child.name: {"pid": child.process.pid, "restarts": child.restarts}
                for child in self.children
                if child.process is not None
            },
        }
        part = self.status_path.with_suffix(".part")
        part.write_text(json.dumps(status))
        part.replace(self.status_path)

    def _log_path(self, child: Child) -> Path:
        return self.log_dir / f"{child.name}.log"

    def _on_signal(self, number: int, frame: object) -> None:
        self.stopping = True

    def _stop_all(self) -> None:
        for child in self.children:
            if child.process is None or not child.running:
                continue
            event(log, "process stopping", name=child.name)
            child.process.send_signal(signal.SIGTERM)
            try:
                child.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                event(log, "process killed", logging.ERROR, name=child.name, waited_seconds=STOP_SECONDS_MAX)
                child.process.kill()
                child.process.wait()


def _names(config: Config) -> list[str]:
    """In the order of an order's way; they are stopped in the same order."""
    names = ["engine"]
    if config.drop_copy.port:
        names.append("drop_copy")
    names.append("archive")
    if config.market_data.port:
        names.append("market_data")
    if config.settlement.enabled:
        names.append("settlement")
        if config.settlement.chain.startswith("eth-tester"):
            names.append("chain")
    return names


def _arguments(name: str, config: Config) -> list[str]:
    return [sys.executable, "-m", "venue", name, "--config", str(config.path)]
