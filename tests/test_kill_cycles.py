"""SIGKILL under load, again and again: nothing acknowledged is lost, nothing is told twice, the money stays whole.

A real engine process, three real FIX sessions over TCP, client-side ledgers. After every kill the engine recovers from
its journal and the brokers log on again with the sequence numbers they have.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cores import Core
from venue import sample
from venue.config import Config, load
from venue.control import ControlClient, ControlError
from venue.demo_brokers import Brokers
from venue.follower import Follower
from venue.processes import core_config

CYCLES = 20
SEED = int(os.environ.get("KILL_SEED", "20260101"))


class EngineProcess:
    """`venue engine`, started, killed and started again."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.process: subprocess.Popen[bytes] | None = None
        self.log = config.path.parent / "engine.log"

    def start(self) -> None:
        command = [sys.executable, "-m", "venue", "engine", "--config", str(self.config.path)]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()[-2_000:]
            try:
                with ControlClient(self.config.control_path) as client:
                    client.status()
                    return
            except (ControlError, OSError):
                time.sleep(0.05)
        raise AssertionError("the engine did not come up")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)


@pytest.fixture
def venue(tmp_path: Path):
    passwords = sample.write(tmp_path)
    path = tmp_path / "venue.toml"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path.write_text(path.read_text().replace("port = 5001", f"port = {port}"))
    config = load(path)
    engine = EngineProcess(config)
    engine.start()
    with ControlClient(config.control_path, actor="test") as client:
        for account in (1, 2, 3):
            for asset in config.assets:
                client.deposit(account, asset.id, 10**12 if asset.code == "USD" else 10**8)
    yield config, passwords, engine
    if engine.process is not None and engine.process.poll() is None:
        engine.process.kill()
        engine.process.wait()


def wait_for_trading(brokers: Brokers) -> None:
    """Until every broker has been told of something new."""
    before = {number: len(b.broker.executions) for number, b in brokers.brokers.items()}
    deadline = time.monotonic() + 60
    while any(len(b.broker.executions) <= before[number] for number, b in brokers.brokers.items()):
        assert not any(b.failure for b in brokers.brokers.values()), [b.failure for b in brokers.brokers.values()]
        assert time.monotonic() < deadline, "a broker was told nothing for a minute"
        time.sleep(0.01)


@pytest.mark.timeout(900)
def test_twenty_kills_lose_nothing_and_repeat_nothing(venue):
    config, passwords, engine = venue
    chance = random.Random(SEED)
    brokers = Brokers(config, passwords, 3_000_000, SEED)
    brokers.log_on()
    closing = threading.Event()
    threads = [threading.Thread(target=b.trade, args=(closing,), daemon=True) for b in brokers.brokers.values()]
    for thread in threads:
        thread.start()
    told: list[int] = []
    for _ in range(CYCLES):
        wait_for_trading(brokers)
        time.sleep(chance.random() / 2)
        engine.kill()
        told.append(sum(len(b.broker.executions) for b in brokers.brokers.values()))
        engine.start()
    wait_for_trading(brokers)
    for broker in brokers.brokers.values():
        broker.orders = broker.sent  # enough: answer what is open
    deadline = time.monotonic() + 60
    while not all(b.idle.is_set() for b in brokers.brokers.values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    with ControlClient(config.control_path) as client:
        last_seq = int(client.status()["last_seq"])
    time.sleep(1)
    closing.set()
    for thread in threads:
        thread.join(30)
    assert engine.stop() == 0

    print(f"seed {SEED}: {CYCLES} kills, {brokers.sent} orders, {last_seq} commands, executions after each kill {told}")
    assert brokers.problems() == [], f"seed {SEED}"
    assert brokers.reconcile(config, last_seq) == [], f"seed {SEED}"
    assert all(b.reconnects >= CYCLES for b in brokers.brokers.values())
    assert told == sorted(told) and told[-1] > CYCLES
    core = Core(core_config(config))
    with Follower(config.journal_dir) as follower:
        while len(piece := follower.poll()):
            core.apply(piece.commands)
    core.check()
