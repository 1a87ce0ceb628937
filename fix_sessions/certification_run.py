"""`make certify`: `venue run` with each of the two FIX applications, certified from a process of its own.

    python -m fix_sessions.certification_run [--output FOLDER] [native] [python]

Everything is as a person would do it: `venue init`, `venue run`, deposits by the operator, `venue certify` with the
configuration at hand, so that no case is skipped. Green means that every case passed on both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from venue import sample
from venue.config import Config, load
from venue.control import ControlClient, ControlError

START_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 90.0
FUNDS = 10**9


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def write(folder: Path) -> tuple[Config, dict[str, str]]:
    """A sample venue without settlement, at a free port; its configuration and passwords."""
    passwords = sample.write(folder)
    path = folder / "venue.toml"
    text = path.read_text().replace("port = 5001", f"port = {free_port()}").replace("enabled = true", "enabled = false")
    path.write_text(text)
    return load(path), passwords


def wait_until_it_runs(config: Config, process: subprocess.Popen[bytes]) -> None:
    """Until the FIX port answers. Raises SystemExit when the venue ends first, or is late."""
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"certify: the venue ended with code {process.returncode} before it began")
        try:
            with ControlClient(config.control_path) as client:
                client.status()
            socket.create_connection(("127.0.0.1", config.fix.port), 1.0).close()
            return
        except (ControlError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"certify: the venue did not start in {START_SECONDS_MAX:.0f} seconds")


def fund(config: Config) -> None:
    """Money and assets for every account that trades."""
    with ControlClient(config.control_path) as client:
        for account in config.accounts:
            for asset in config.assets:
                if account.id != 0:
                    client.deposit(account.id, asset.id, FUNDS, "certification")


def certify(application: str, output: Path) -> bool:
    """Runs a venue with this application and plays every case; whether all passed."""
    folder = Path(tempfile.mkdtemp(prefix="fix-venue-certify-"))
    config, passwords = write(folder)
    environment = {**os.environ, "VENUE_FIX": application}
    log = folder / "venue.log"
    with log.open("wb") as errors:
        command = [sys.executable, "-m", "venue", "run", "--config", str(config.path)]
        venue = subprocess.Popen(command, env=environment, stderr=errors)
    try:
        wait_until_it_runs(config, venue)
        fund(config)
        green = _certified(config, passwords, output / application)
    finally:
        venue.send_signal(signal.SIGTERM)
        code = venue.wait(STOP_SECONDS_MAX)
    if code != 0 or not green:
        print(f"certify: {application}: the venue ended with code {code}; its log is {log}", file=sys.stderr)
        return False
    shutil.rmtree(folder)
    return True


def _certified(config: Config, passwords: dict[str, str], output: Path) -> bool:
    command = [sys.executable, "-m", "venue", "certify", "--config", str(config.path), "--output", str(output)]
    command += ["--target", f"127.0.0.1:{config.fix.port}", "--member", "ALPHA", "--symbol", "ACME"]
    command += ["--session", f"ALPHA1:alpha:{passwords['ALPHA']}"]
    command += ["--counterpart", f"BRAVO1:bravo:{passwords['BRAVO']}"]
    done = subprocess.run(command)
    facts = json.loads((output / "certification-ALPHA-ALPHA1.json").read_text())
    return done.returncode == 0 and facts["skipped"] == 0


def main(arguments: list[str] | None = None) -> int:
    """Certifies each application named; 1 when one is not green."""
    parser = argparse.ArgumentParser(prog="certification_run", description=__doc__)
    parser.add_argument("applications", nargs="*", default=["native", "python"])
    parser.add_argument("--output", type=Path, default=Path("build/certification"))
    parsed = parser.parse_args(arguments)
    green = []
    for application in parsed.applications:
        print(f"\nVENUE_FIX={application}")
        green.append(certify(application, parsed.output))
    return 0 if all(green) else 1


if __name__ == "__main__":
    sys.exit(main())
