"""`venue run` and `venue demo` as a person starts them: real processes, from configuration to the chain."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fix_sessions.client import Broker
from venue import demo_day, sample
from venue.config import load
from venue.control import ControlClient, ControlError
from venue.verify import verify


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder whose parents PostgreSQL's own user can pass, when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="fix-venue-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> int:
    """The first of so many free neighbouring TCP ports."""
    for first in range(24_000, 30_000, count):
        probes = [socket.socket() for _ in range(count)]
        try:
            for offset, probe in enumerate(probes):
                probe.bind(("127.0.0.1", first + offset))
            return first
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise AssertionError("no free ports")


def poll(condition, seconds: float = 60.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            value = condition()
        except (ControlError, OSError):
            value = None
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError("condition did not come true")


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


@pytest.mark.timeout(300)
def test_a_venue_from_start_to_drain(open_folder):
    passwords = sample.write(open_folder)
    path, port = open_folder / "venue.toml", free_ports(4)
    text = path.read_text().replace("port = 5001", f"port = {port}")
    text = text.replace("port = 0                        # Prometheus", f"port = {port + 1}  # Prometheus")
    path.write_text(
        text.replace("range_seconds = 3", "range_seconds = 1").replace(
            "seconds_per_batch = 30", "seconds_per_batch = 2"
        )
    )
    config = load(path)
    venue = subprocess.Popen([sys.executable, "-m", "venue", "run", "--config", str(path)], stderr=subprocess.DEVNULL)
    try:
        poll(lambda: ControlClient(config.control_path).status())
        with ControlClient(config.control_path) as client:
            client.deposit(1, 0, 10**9)
        broker = Broker("127.0.0.1", port, "ALPHA1", "alpha", passwords["ALPHA"])
        broker.log_on()
        broker.order("ACME", "buy", 10, "99.50")
        broker.wait_for(lambda: len(broker.executions) == 1)
        metrics = scrape(port + 1)
        assert 'venue_fix_session_up{session="ALPHA1"} 1.0' in metrics
        assert 'venue_book_orders{instrument="ACME"} 1.0' in metrics
        assert 'venue_fix_messages_total{direction="in"}' in metrics
        broker.log_out()
        poll(lambda: 'venue_batches{state="sealed"}' in scrape(port + 2))
        poll(lambda: 'venue_batches{state="final"}' in scrape(port + 3), 120)
        assert "venue_settlement_halted 0.0" in scrape(port + 3)
    finally:
        venue.send_signal(signal.SIGTERM)
        code = venue.wait(120)
    assert code == 0
    report = verify(sorted(config.archive_dir.glob("batch-*.arrow")), replay=True)
    assert report.ok, report.problems
    assert report.commands == 7 + 1 + 1 + 1, "configuration, deposit, order, cancel on disconnect"


@pytest.mark.timeout(400)
def test_demo_reports_what_it_did(open_folder):
    report = open_folder / "r.json"
    command = [sys.executable, "-m", "venue", "demo", "--orders", "300", "--seed", "11", "--prover", "replay"]
    answer = subprocess.run(
        [*command, "--keep", str(open_folder / "kept"), "--report", str(report)], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = json.loads(report.read_text())
    assert found["problems"] == []
    assert found["orders"] == 300 + demo_day.ORDERS
    assert found["auction_fills"] >= 3 * 2 + 1 + 3, "openings, a volatility call, closings"
    assert (found["stops_triggered"], found["volatility_calls"], found["halts"]) == (1, 1, 1)
    assert found["refreshes"] == 3
    assert found["fills"] > 0
    assert found["batches"] == found["verified"] == found["committed"] == len(found["archive"]) > 0
    assert found["gas_per_batch"] > 20_000
    assert [proof["kind"] for proof in found["proofs"]] == ["replay"] * found["batches"]
    assert all(Path(path).exists() for path in found["archive"])
    assert "\x1b[" not in answer.stdout, "plain when piped"
    assert "killed with SIGKILL" in answer.stdout
