"""`make certify`: `venue run` with each of the two FIX applications, certified from a process of its own.

    python -m fix_sessions.certification_run [--output FOLDER] [native] [python]

Everything is as a person would do it: `venue init`, `venue run` with the market data and drop-copy gateways, deposits
by the operator, `venue certify` with the configuration at hand. The end of the hours is seen at last, by the same venue
started again with hours that end soon. Green means that every case of every area passed on both, and none was not run.
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
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fix_sessions.certification_cases import AREAS
from venue import sample
from venue.config import Config, load
from venue.control import ControlClient, ControlError

START_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 90.0
FUNDS = 10**9
HOURS = "hours"
HOURS_SECONDS = 45
"""So long after its start the venue's hours end, for the case of that."""
MEMBER_SESSIONS = """
[[members.sessions]]
id = 4
kind = "market_data"
comp_id = "ALPHAMD"
username = "alphamd"
password_hash = "{0}"

[[members.sessions]]
id = 5
kind = "drop_copy"
comp_id = "ALPHADC"
username = "alphadc"
password_hash = "{0}"

"""
"""ALPHA's further sessions."""
NEXT_MEMBER = '[[members]]\nid = "BRAVO"'


@dataclass(frozen=True)
class Plan:
    """A venue that is certified: its configuration, its members' passwords."""

    config: Config
    passwords: dict[str, str]


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def write(folder: Path) -> Plan:
    """A sample venue without settlement, at free ports, where every case can be played."""
    passwords = sample.write(folder)
    path = folder / "venue.toml"
    text = path.read_text()
    owner = next(member for member in load(path).members if member.id == "ALPHA")
    limit = "messages_per_second = 1000    # more"
    for old, new in (
        ("port = 5001", f"port = {free_port()}"),
        ("enabled = true", "enabled = false"),
        ("port = 0                        # 0: not run", f"port = {free_port()}"),
        ("port = 0                        # 0: not run", f"port = {free_port()}"),
        (NEXT_MEMBER, MEMBER_SESSIONS.format(owner.sessions[0].password_hash) + NEXT_MEMBER),
        (f"# {limit}", limit),
        ("# mmp = {", "mmp = {"),
    ):
        text = replaced(text, old, new)
    path.write_text(text)
    return Plan(load(path), passwords)


def replaced(text: str, old: str, new: str) -> str:
    """The text with one place changed, which must be there."""
    if old not in text:
        raise SystemExit(f"certify: the sample configuration has no {old!r} any more")
    return text.replace(old, new, 1)


def with_hours(plan: Plan) -> Plan:
    """The same venue with hours that end soon."""
    path, now = plan.config.path, datetime.now(UTC)
    start, end = (f"{now + timedelta(seconds=s):%H:%M:%S}" for s in (HOURS_SECONDS - 3600, HOURS_SECONDS))
    text = replaced(path.read_text(), '# start = "07:00"', f'start = "{start}"')
    path.write_text(replaced(text, '# end = "19:00"', f'end = "{end}"'))
    return Plan(load(path), plan.passwords)


def wait_until_it_runs(config: Config, process: subprocess.Popen[bytes]) -> None:
    """Until all FIX ports answer. Raises SystemExit when the venue ends first, or is late."""
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"certify: the venue ended with code {process.returncode} before it began")
        try:
            with ControlClient(config.control_path) as client:
                client.status()
            for port in (config.fix.port, config.market_data.port, config.drop_copy.port):
                socket.create_connection(("127.0.0.1", port), 1.0).close()
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
                    client.deposit(account.id, asset.id, FUNDS, f"certification {account.id} {asset.code}")


def certify(application: str, output: Path) -> bool:
    """Runs a venue with this application and plays every case; whether all passed."""
    folder = Path(tempfile.mkdtemp(prefix="fix-venue-certify-"))
    plan = write(folder)
    areas = [area for area in AREAS if area != HOURS]
    green = _run(application, plan, areas, output / application, first=True)
    green = green and _run(application, with_hours(plan), [HOURS], output / application / HOURS)
    if green:
        shutil.rmtree(folder)
    return green


def _run(application: str, plan: Plan, areas: list[str], output: Path, *, first: bool = False) -> bool:
    config, log = plan.config, plan.config.path.parent / "venue.log"
    with log.open("ab") as errors:
        command = [sys.executable, "-m", "venue", "run", "--config", str(config.path)]
        venue = subprocess.Popen(command, env={**os.environ, "VENUE_FIX": application}, stderr=errors)
    try:
        wait_until_it_runs(config, venue)
        if first:
            fund(config)
        green = _certified(plan, areas, output)
    finally:
        venue.send_signal(signal.SIGTERM)
        code = venue.wait(STOP_SECONDS_MAX)
    if code != 0 or not green:
        print(f"certify: {application}: the venue ended with code {code}; its log is {log}", file=sys.stderr)
    return code == 0 and green


def _certified(plan: Plan, areas: list[str], output: Path) -> bool:
    config, passwords = plan.config, plan.passwords
    command = [sys.executable, "-m", "venue", "certify", "--config", str(config.path), "--output", str(output)]
    command += ["--target", f"127.0.0.1:{config.fix.port}", "--member", "ALPHA", "--symbol", "ACME"]
    command += ["--session", f"ALPHA1:alpha:{passwords['ALPHA']}", "--areas", ",".join(areas)]
    command += ["--counterpart", f"BRAVO1:bravo:{passwords['BRAVO']}"]
    command += ["--market-data", f"127.0.0.1:{config.market_data.port}"]
    command += ["--market-data-session", f"ALPHAMD:alphamd:{passwords['ALPHA']}"]
    command += ["--drop-copy", f"127.0.0.1:{config.drop_copy.port}"]
    command += ["--drop-copy-session", f"ALPHADC:alphadc:{passwords['ALPHA']}"]
    done = subprocess.run(command)
    facts = json.loads((output / "certification-ALPHA-ALPHA1.json").read_text())
    certified = {area for area, counts in facts["areas"].items() if counts["certified"]}
    return done.returncode == 0 and certified == set(areas)


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
