"""What every benchmark prints and writes: conditions, rows, ratios.

A figure without its conditions is no figure. `conditions()` says machine, load, versions and sizes; `publish` prints
the table and, with --json, writes `{"benchmark", "conditions", "rows", "ratios"}`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


def arguments(description: str | None) -> argparse.Namespace:
    """The two options of every benchmark: --quick and --json FILE."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller sizes: for a look, not for a claim")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write conditions, rows and ratios")
    return parser.parse_args()


def conditions(**facts: Any) -> dict[str, Any]:
    """Machine, load and versions, and whatever the benchmark adds (sizes, seed, ...)."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "fix_venue": _version("fix-venue"),
        "commit": _commit(),
        **facts,
    }


def publish(
    benchmark: str, facts: dict[str, Any], rows: list[Row], ratios: dict[str, float | None], path: Path | None
) -> None:
    """Prints conditions, rows and ratios; writes them to `path` when given."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(f"{benchmark}: " + " · ".join(f"{name} {value}" for name, value in facts.items()), highlight=False)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = Table(*columns)
    for row in rows:
        table.add_row(*(_cell(row.get(column, "")) for column in columns))
    console.print(table)
    for name, value in ratios.items():
        console.print(f"{name} = {_cell(value)}", highlight=False)
    if path is not None:
        result = {"benchmark": benchmark, "conditions": facts, "rows": rows, "ratios": ratios}
        path.write_text(json.dumps(result, indent=2, default=str) + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    return answer.stdout.strip() or "unknown"
