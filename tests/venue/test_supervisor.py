"""The supervisor over small real processes: restart, final exit codes, order of stopping."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from venue import sample

RUNNER = textwrap.dedent(
    """
    import sys
    from venue.config import load
    from venue.supervisor import Child, Supervisor
    supervisor = Supervisor(load(sys.argv[1]))
    supervisor.children = [Child(name, [sys.executable, "-c", code]) for name, code in
                           (part.split("=", 1) for part in sys.argv[2:])]
    code = supervisor.run()
    supervisor.check()
    sys.exit(code)
    """
)
SLEEP = "import time; time.sleep(60)"


def start(folder: Path, *children: str) -> subprocess.Popen[bytes]:
    sample.write(folder)
    return subprocess.Popen([sys.executable, "-c", RUNNER, str(folder / "venue.toml"), *children])


def status(folder: Path, seconds: float = 20.0) -> dict:
    """run.json, once it is there."""
    path = folder / "data" / "run.json"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists():
            return json.loads(path.read_text())
        time.sleep(0.02)
    raise AssertionError("run.json did not appear")


def poll(condition, seconds: float = 20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("condition did not come true")


def test_a_killed_process_is_started_again(tmp_path):
    supervisor = start(tmp_path, f"engine={SLEEP}")
    try:
        first = status(tmp_path)["processes"]["engine"]["pid"]
        os.kill(first, signal.SIGKILL)
        again = poll(lambda: (e := status(tmp_path)["processes"]["engine"])["pid"] != first and e)
        assert again["restarts"] == 1
    finally:
        supervisor.terminate()
    assert supervisor.wait(30) == 0
    assert not (tmp_path / "data" / "run.json").exists()


def test_a_second_run_ends_before_it_touches_the_first(tmp_path):
    supervisor = start(tmp_path, f"engine={SLEEP}")
    try:
        before = status(tmp_path)
        command = [sys.executable, "-c", RUNNER, str(tmp_path / "venue.toml"), f"engine={SLEEP}"]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert second.returncode == 2 and "is at work here already: stop it first" in second.stderr
        assert status(tmp_path) == before
    finally:
        supervisor.terminate()
    assert supervisor.wait(30) == 0


@pytest.mark.parametrize("code", [2, 3])
def test_final_exit_codes_end_the_venue(tmp_path, code):
    supervisor = start(tmp_path, f"archive={SLEEP}", f"engine=raise SystemExit({code})")
    assert supervisor.wait(30) == code


def test_processes_stop_in_the_order_of_an_orders_way(tmp_path):
    out = tmp_path / "order"
    code = textwrap.dedent(
        f"""
        import signal, sys, time
        def stop(*_):
            with open({str(out)!r}, "a") as f: f.write("NAME ")
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        open({str(out)!r} + "NAME", "w").close()
        time.sleep(60)
        """
    )
    supervisor = start(tmp_path, *(f"{name}={code.replace('NAME', name)}" for name in ("engine", "archive", "chain")))
    poll(lambda: all(Path(f"{out}{name}").exists() for name in ("engine", "archive", "chain")))
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(30) == 0
    assert out.read_text().split() == ["engine", "archive", "chain"]
