"""The follower: what it takes from the archive folder, and how it goes on when proving, chain or ledger fail."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from settlement.errors import ChainUnavailable
from settlement.follower import ArchiveFolder, Backoff, SettlementFollower, proof_row
from settlement.ledger import Ledger
from settlement.service import Settlement, run
from tests.settlement.samples import HashProver, config, linked, seal, settle
from venue.batches import BatchRecord


def test_archive_folder_notices_once(archive: Path, ledger: Ledger) -> None:
    batches = linked(3)
    seal(archive, batches[:2])
    folder = ArchiveFolder(archive, ledger)
    assert folder.notice() == [1, 2]
    assert folder.notice() == []
    seal(archive, batches)
    assert folder.notice() == [3]
    assert ArchiveFolder(archive, ledger).notice() == []
    assert ledger.records([1, 2, 3]) == batches
    assert ledger.input_path(2) == archive / "batch-0000000002.input"


def test_bad_files_are_named_and_left_out(archive: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    batches = linked(5)
    seal(archive, batches)
    (archive / "batch-0000000001.record").write_bytes(b"short")
    (archive / "batch-0000000002.record").write_bytes(batches[2].to_bytes())
    (archive / "batch-0000000004.input").unlink()
    folder = ArchiveFolder(archive, ledger)
    assert folder.notice() == [3, 5]
    for words in ("304 bytes, got 5", "holds batch 3", "batch-0000000004.input is missing"):
        assert caplog.text.count(words) == 1
    folder.notice()
    assert caplog.text.count("304 bytes, got 5") == 1, "said once"
    seal(archive, batches)
    assert folder.notice() == [1, 2, 4], "mended files are taken"


def test_batch_sealed_twice_keeps_the_first(archive: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    seal(archive, linked(1))
    ArchiveFolder(archive, ledger).notice()
    seal(archive, linked(1, commands=9))
    ArchiveFolder(archive, ledger).notice()
    assert "sealed twice with different content" in caplog.text
    assert ledger.records([1]) == linked(1)


def test_proving_is_retried_and_delays_no_commit(tmp_path: Path, archive: Path, ledger_url: str) -> None:
    prover = HashProver(tmp_path)
    prover.failures = 3
    settlement = Settlement(config(tmp_path, archive, ledger_url), prover, prover.verify)
    clock = [0.0]
    settlement.follower._monotonic = lambda: clock[0]
    seal(archive, linked(2))
    settlement.follower.step()
    assert settlement.follower.prove_step() and settlement.follower.prove_step()
    assert prover.calls == [1, 2], "the next batch is not held up"
    assert not settlement.follower.prove_step(), "a pause before the next try"
    assert settlement.ledger.batch_states()[0].commit_state is None
    settlement.follower.step()
    assert [state.state for state in settlement.ledger.batch_states()] == ["committed"] * 2
    for _ in range(8):
        clock[0] += 10.0
        settlement.follower.prove_step()
    assert prover.calls == [1, 2, 1, 1, 2]
    settle(settlement)
    settlement.close()


class LyingProver(HashProver):
    """Makes proofs that do not hold."""

    def prove(self, record: BatchRecord, input_path: Path):  # type: ignore[no-untyped-def]
        result = super().prove(record, input_path)
        result.proof_path.write_text(result.proof_path.read_text().replace('"mac": "', '"mac": "00'))
        return result


def test_nothing_is_attested_that_does_not_verify(
    tmp_path: Path, archive: Path, ledger_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    prover = LyingProver(tmp_path)
    settlement = Settlement(config(tmp_path, archive, ledger_url), prover, prover.verify)
    seal(archive, linked(1))
    for _ in range(6):
        settlement.follower.step()
        settlement.follower.prove_step()
    assert caplog.text.count("the proof does not hold") == 1
    assert settlement.ledger.batch_states()[0].assurance == "none"
    settlement.close()


def test_changed_proof_file_is_not_attested(
    tmp_path: Path, archive: Path, ledger_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    prover = HashProver(tmp_path)
    settlement = Settlement(config(tmp_path, archive, ledger_url), prover, prover.verify)
    seal(archive, linked(1))
    settlement.follower.archive.notice()
    settlement.follower.prove_step()
    (tmp_path / "proof-1.json").write_text("{}")
    settlement.follower.step()
    settlement.follower.prove_step()
    assert "is not the proof that was made" in caplog.text
    settlement.close()


def test_without_a_prover_proofs_of_others_are_attested(tmp_path: Path, archive: Path, ledger_url: str) -> None:
    prover = HashProver(tmp_path)
    settlement = Settlement(config(tmp_path, archive, ledger_url), None, prover.verify)
    seal(archive, linked(1))
    settlement.follower.step()
    result = prover.prove(linked(1)[0], archive / "batch-0000000001.input")
    settlement.ledger.add_proof(proof_row(1, result))
    settle(settlement)
    settlement.close()


def test_backoff() -> None:
    backoff = Backoff(1.0, 5.0)
    assert [backoff.failed() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.succeeded()
    assert backoff.failed() == 1.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Polls; the bound only ends a test that has failed."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class CountedStop(threading.Event):
    """Notes the pauses instead of making them, and stops after some."""

    def __init__(self, pauses: int) -> None:
        super().__init__()
        self.pauses: list[float | None] = []
        self._left = pauses

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        self._left -= 1
        if not self._left:
            self.set()
        return self.is_set()


def test_chain_down_is_retried_and_said_once(archive: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    stop = CountedStop(5)

    def ready() -> None:
        if len(stop.pauses) < 3:
            raise ChainUnavailable("chain http://127.0.0.1:1: connection refused")

    follower = SettlementFollower(ledger, archive, ready, poll_seconds=0.25)
    with caplog.at_level(logging.WARNING):
        follower._repeat(stop, "anchoring", follower.step)
    assert stop.pauses == [1.0, 2.0, 4.0, 0.25, 0.25]
    assert caplog.text.count("trading goes on") == 1
    assert caplog.text.count("works again") == 1


def test_service_waits_for_a_chain_that_is_not_there(
    tmp_path: Path, archive: Path, ledger_url: str, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """Batches are noted all the same, and the process ends when it is told to."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
    keys = tmp_path / "settlement" / "keys"
    keys.mkdir(parents=True)
    for number, role in enumerate(("owner", "committer", "prover", "verifier"), 1):
        (keys / f"{role}.key").write_text(f"{number:064x}")
        (keys / f"{role}.key").chmod(0o600)
    seal(archive, linked(2))
    settings = config(tmp_path, archive, ledger_url, chain=url, deploy=True, simulated_finality_blocks=0)
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(asdict(settings), stop))
    with caplog.at_level(logging.ERROR):
        thread.start()
        wait_until(lambda: "trading goes on" in caplog.text)
    assert [state.state for state in ledger.batch_states()] == ["sealed", "sealed"]
    stop.set()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert url in caplog.text


def test_both_threads_together(tmp_path: Path, archive: Path, ledger_url: str, ledger: Ledger) -> None:
    """The process as it runs: batches appear, threads do their work, everything becomes final."""
    prover = HashProver(tmp_path)
    prover.failures = 1
    stop = threading.Event()
    settings = config(tmp_path, archive, ledger_url, range_batches=2)
    thread = threading.Thread(target=run, args=(asdict(settings), stop, prover, prover.verify))
    thread.start()
    batches = linked(5)
    for number in range(5):
        seal(archive, batches[: number + 1])
    wait_until(lambda: len(ledger.batch_states()) == 5 and {s.state for s in ledger.batch_states()} == {"final"})
    stop.set()
    thread.join(timeout=30)
    assert not thread.is_alive()


def test_an_unforeseen_error_of_the_worker_ends_the_process(archive: Path, ledger: Ledger) -> None:
    """A dead worker behind a live process would look as if proving were only slow."""
    follower = SettlementFollower(ledger, archive, lambda: None, poll_seconds=0.01)

    def broken() -> bool:
        raise KeyError("impossible")

    follower.prove_step = broken  # type: ignore[method-assign]
    stop = threading.Event()
    with pytest.raises(KeyError, match="impossible"):
        follower.run(stop)
    assert stop.is_set()
