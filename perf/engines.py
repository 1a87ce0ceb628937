"""The engines that bench_core.py measures, each built from its registry at one pinned release into the user's cache.

Why: a figure of ours means something only beside others on the same commands and the same machine. All are driven by
the peers' file of bench_core.c, and print the same line of results with a hash over their trades. What cannot be had
here is named with its reason. Nothing of them may enter the venue: they are dependencies of perf/ alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(__file__).parent / "peers"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fix-venue" / "peers"
CFLAGS = ["-std=gnu11", "-O3", "-fno-strict-aliasing"]
JAVA = ["-Xms2g", "-Xmx2g", "-XX:+UseSerialGC"]
LIGHT = "lightmatchingengine==2019.1.4"


@dataclass(frozen=True)
class Engine:
    """How to run an engine on a file, or why it cannot be run; `rules`: where it is not ours."""

    name: str
    command: tuple[str, ...] | None
    rules: str
    reason: str = ""
    commands_max: int = 1 << 62  # a slow one plays fewer commands
    runs_max: int = 1 << 62
    turns_max: int = 1 << 62

    def play(self, path: Path, runs: int, commands: int) -> dict[str, Any]:
        """Best of so many runs over the first `commands` of a file."""
        assert self.command is not None
        words = [*self.command, str(path), str(min(runs, self.runs_max))]
        if commands != 0:
            words.append(str(commands))
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{self.name} failed: {done.stderr.strip()[-500:]}")
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return result


def core_sources() -> list[str]:
    """What applies commands: neither the roots nor what Cython generates."""
    paths = sorted((ROOT / "cores").glob("*.c"))
    return [str(path) for path in paths if not path.name.startswith(("_", "poseidon2", "roots", "sha256"))]


def build_driver() -> Path:
    """Compiles bench_core.c with the core's sources."""
    CACHE.mkdir(parents=True, exist_ok=True)
    driver = CACHE / "bench_core"
    compiler = os.environ.get("CC", "cc")
    sources = [str(Path(__file__).with_name("bench_core.c")), *core_sources()]
    subprocess.run([compiler, *CFLAGS, "-I", str(ROOT / "cores"), *sources, "-o", str(driver)], check=True)
    return driver


def ours(driver: Path) -> Engine:
    return Engine("cores", (str(driver), "run"), "accounts, holds and fees on")


def exchange_core() -> Engine:
    name, rules = "exchange-core 0.5.3", "book alone; a market order is an IOC at the window's end"
    if shutil.which("mvn") is None or shutil.which("java") is None:
        return Engine(name, None, rules, "no java or mvn on this machine")
    target = CACHE / "exchange_core"
    command = ["mvn", "-q", "-B", f"-Dbuild.folder={target}", "package"]
    done = subprocess.run(command, cwd=PEERS / "exchange_core", capture_output=True, text=True)
    if done.returncode:
        return Engine(name, None, rules, f"mvn failed: {(done.stdout + done.stderr).strip()[-300:]}")
    java = ("java", *JAVA, "-cp", f"{target / 'classes'}:{target / 'lib'}/*", "Driver")
    return Engine(name, java, rules)


def orderbook_rs() -> Engine:
    name = "orderbook-rs 0.15.3"
    rules = "book alone, safe for many threads; a market order is an IOC at the window's end"
    if shutil.which("cargo") is None:
        return Engine(name, None, rules, "no cargo on this machine")
    command = ["cargo", "build", "-q", "--release", "--locked", "--target-dir", str(CACHE / "orderbook_rs")]
    done = subprocess.run(command, cwd=PEERS / "orderbook_rs", capture_output=True, text=True)
    if done.returncode:
        return Engine(name, None, rules, f"cargo failed: {done.stderr.strip()[-300:]}")
    program = str(CACHE / "orderbook_rs" / "release" / "orderbook-rs-driver")
    return Engine(name, (program,), rules, runs_max=2, turns_max=2)


def lightmatchingengine() -> Engine:
    name = "lightmatchingengine 2019.1.4"
    rules = "book alone; no IOC, move or reduction of its own: add and cancel, cancel and add, quantity set"
    target = CACHE / "lightmatchingengine"
    if not (target / "lightmatchingengine").exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), LIGHT]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return Engine(name, None, rules, f"pip failed: {done.stderr.strip()[-300:]}")
    driver = (sys.executable, str(PEERS / "lightmatchingengine" / "driver.py"), str(target))
    return Engine(name, driver, rules, commands_max=100_000, runs_max=1, turns_max=1)


def go_orderbook() -> Engine:
    """Has no release that could be pinned; what came after 0.2.0 names itself another module in its go.mod."""
    return Engine("i25959341/orderbook (Go)", None, "", "the Go module proxy serves neither its 0.1.0 nor its 0.2.0")


def peers() -> list[Engine]:
    return [exchange_core(), orderbook_rs(), go_orderbook(), lightmatchingengine()]
