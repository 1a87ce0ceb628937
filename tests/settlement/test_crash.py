"""The process ends at any step of sending; the next start finishes the work, and each thing is on the chain once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from settlement.ledger import Ledger
from settlement.service import Settlement
from tests.settlement.crash_process import EXIT_CODE, write_config
from tests.settlement.samples import HashProver, config, linked, seal, settle, the_anchor

ROOT = Path(__file__).parent.parent.parent
POINTS = ("planned", "signed", "persisted", "broadcast")


class Crash(BaseException):
    """Ends the process as far as the code under test can tell: nothing catches it."""


@pytest.mark.parametrize("point", POINTS)
def test_process_exit(tmp_path: Path, archive: Path, ledger_url: str, point: str) -> None:
    """A real process, ended by the system between two steps of its second transaction."""
    settings = config(tmp_path, archive, ledger_url, range_batches=2)
    seal(archive, linked(4))
    file = write_config(settings, tmp_path / "settlement.json")
    command = [sys.executable, "-m", "tests.settlement.crash_process", str(file), point, "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == EXIT_CODE, done.stderr
    prover = HashProver(tmp_path)
    settlement = Settlement(settings, prover, prover.verify)
    settle(settlement)
    assert the_anchor(settlement).contract.read("head").range_count == 2
    settlement.close()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("lose_ledger", [False, True], ids=["ledger kept", "ledger deleted"])
def test_crash_twice(tmp_path: Path, archive: Path, ledger_url: str, point: str, lose_ledger: bool) -> None:
    """A commit is interrupted, then after a restart a proof; the third start finishes both."""
    seal(archive, linked(4))
    prover = HashProver(tmp_path)
    crashes = 0
    for start in range(3):
        reached = [0]

        def checkpoint(name: str, reached: list[int] = reached, start: int = start) -> None:
            reached[0] += name == point
            if reached[0] == 2 and start < 2:
                raise Crash

        if lose_ledger:
            ledger_url = _fresh_database(ledger_url, start)
        settings = config(tmp_path, archive, ledger_url, range_batches=2)
        settlement = Settlement(settings, prover, prover.verify, checkpoint)
        try:
            settle(settlement)
        except Crash:
            crashes += 1
        finally:
            settlement.close()
    assert crashes == 2


def _fresh_database(url: str, number: int) -> str:
    import psycopg

    name = url.split("?")[0].rsplit("/", 1)[1].split("_")[0]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}_{number}".encode())
    return f"{url.split('?')[0].rsplit('/', 1)[0]}/{name}_{number}?{url.split('?')[1]}"


def test_killed_with_everything_embedded(open_folder: Path, archive: Path) -> None:
    """SIGKILL while it works, with its own PostgreSQL and its own chain; then PostgreSQL is killed as well."""
    settings = config(open_folder, archive, "", range_batches=1, stop_ledger=True)
    seal(archive, linked(6))
    file = write_config(settings, open_folder / "settlement.json")
    log, pid_file = open_folder / "log", open_folder / "ledger" / "postmaster.pid"
    command = [sys.executable, "-m", "settlement", "--config", str(file)]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stderr=output)
    deadline = time.monotonic() + 120
    while "is mined in block" not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    process.kill()
    process.wait()
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
    prover = HashProver(open_folder)
    settlement = Settlement(settings, prover, prover.verify)
    settle(settlement, 120)
    settlement.close()
    assert not pid_file.exists()


def test_one_settlement_process_a_ledger(tmp_path: Path, archive: Path, ledger_url: str, ledger: Ledger) -> None:
    from settlement.errors import LedgerError, SettlementConfigError

    settlement = Settlement(config(tmp_path / "one", archive, ledger_url))
    with pytest.raises(LedgerError, match="another settlement process"):
        Settlement(config(tmp_path / "two", archive, ledger_url))
    other = Ledger.open(ledger_url)
    assert other.batch_states() == [], "readers are welcome"
    other.close()
    settlement.ledger.close()
    with pytest.raises(SettlementConfigError, match="another process runs this chain"):
        Settlement(config(tmp_path / "one", archive, ledger_url))
    settlement.close()
