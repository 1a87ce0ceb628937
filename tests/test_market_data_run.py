"""The market data gateway as `venue run` starts it: restarted when it dies, stopped with the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fix_sessions.client import Broker, SessionLost
from tests.fix_sessions.market_rig import Viewer
from tests.test_venue_run import free_ports, poll, scrape
from venue import sample
from venue.config import load
from venue.control import ControlClient


@pytest.mark.timeout(120)
def test_a_supervised_gateway_survives_its_death(tmp_path: Path) -> None:
    passwords = sample.write(tmp_path)
    path, port = tmp_path / "venue.toml", free_ports(8)
    text = path.read_text().replace("port = 5001", f"port = {port}").replace("enabled = true", "enabled = false")
    text = text.replace("port = 0                        # 0: not run", f"port = {port + 1}", 1)
    text = text.replace("port = 0                        # Prometheus", f"port = {port + 2}  # Prometheus")
    text = text.replace('comp_id = "CAROL1"', 'comp_id = "CAROL1"\nkind = "market_data"')
    path.write_text(text)
    config = load(path)
    assert config.market_data.port == port + 1 and [s.comp_id for _, s in config.sessions("market_data")] == ["CAROL1"]
    venue = subprocess.Popen([sys.executable, "-m", "venue", "run", "--config", str(path)], stderr=subprocess.DEVNULL)
    try:
        poll(lambda: ControlClient(config.control_path).status())
        with ControlClient(config.control_path) as client:
            client.deposit(1, 0, 10**9)
        broker = Broker("127.0.0.1", port, "ALPHA1", "alpha", passwords["ALPHA"])
        broker.log_on()
        broker.order("ACME", "buy", 10, "99.50")
        broker.wait_for(lambda: len(broker.executions) == 1)
        viewer = Viewer("127.0.0.1", port + 1, "CAROL1", "carol", passwords["CAROL"])
        poll(lambda: viewer.log_on() is None)
        viewer.subscribe("r", symbols=("ACME",), interval=5)
        viewer.wait_for(lambda: viewer.book.bids[(b"r", b"ACME")] == {b"99.50": b"10"})
        assert "venue_market_data_subscriptions 1.0" in scrape(port + 2 + 3)
        status = json.loads((config.data_dir / "run.json").read_text())["processes"]["market_data"]
        os.kill(status["pid"], signal.SIGKILL)
        with pytest.raises(SessionLost):
            viewer.wait_for(lambda: False)
        broker.order("ACME", "buy", 5, "99.40")
        broker.wait_for(lambda: len(broker.executions) == 2)
        again = Viewer("127.0.0.1", port + 1, "CAROL1", "carol", passwords["CAROL"])
        again.next_out, again.next_in = viewer.next_out, viewer.next_in

        poll(lambda: again.log_on() is None)
        again.subscribe("r", symbols=("ACME",), interval=5)
        again.wait_for(lambda: again.book.bids[(b"r", b"ACME")] == {b"99.50": b"10", b"99.40": b"5"})
        broker.log_out()
        again.wait_for(lambda: not again.book.bids[(b"r", b"ACME")])
    finally:
        venue.send_signal(signal.SIGTERM)
        code = venue.wait(60)
    assert code == 0
    assert (config.data_dir / "market_data" / "feed.state").exists()
