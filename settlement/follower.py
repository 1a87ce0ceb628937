"""Follows the archive folder: every sealed batch is committed, proved in the background, attested and made final.

Two threads, so that neither waits for the other: the caller's, which notes new batches and ticks the anchoring daemon,
and a worker, which proves one batch at a time and has the proof verified and attested. Failures of either are retried
with growing pauses and said once each. Proving never delays a commit, and neither is known to trading at all.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from settlement.anchor import Anchor
from settlement.attest import Attester
from settlement.errors import ChainRefused, ChainUnavailable, LedgerError, LedgerUnavailable, ProofRefused
from settlement.ledger import Deployment, Ledger, Proof
from venue.batches import BatchRecord, RecordError

log = logging.getLogger("venue.settlement.follower")

BACKOFF_SECONDS_MAX = 60.0


class ProofResult(Protocol):
    """What a backend made. `kind` names what the file is: `replay`, `core`, `compressed`, `groth16`, ..."""

    @property
    def backend(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def proof_path(self) -> Path: ...
    @property
    def cycles(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def verified(self) -> bool: ...
    @property
    def program_id(self) -> bytes: ...


class Prover(Protocol):
    """Makes a proof of one batch; raises an exception that says why when it cannot."""

    def prove(self, record: BatchRecord, input_path: Path) -> ProofResult:
        """Prove, and verify what was made."""


class Backoff:
    """Growing pauses: doubled at each failure, gone after a success."""

    def __init__(self, first_seconds: float = 1.0, seconds_max: float = BACKOFF_SECONDS_MAX) -> None:
        self._first, self._max = first_seconds, seconds_max
        self._next = first_seconds

    def failed(self) -> float:
        """Seconds to wait now."""
        pause, self._next = self._next, min(2 * self._next, self._max)
        return pause

    def succeeded(self) -> None:
        self._next = self._first


class ArchiveFolder:
    """Reads what the archive has sealed: `batch-<id>.record` appears when the other two files are complete."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self._folder, self._ledger = folder, ledger
        self._known: set[str] = set()
        self._refused: dict[str, str] = {}

    def notice(self) -> list[int]:
        """Note new batches in the ledger; a bad file is said once and left out."""
        added = []
        for path in sorted(self._folder.glob("batch-*.record")):
            if path.name in self._known:
                continue
            try:
                record = self._read(path)
                if self._ledger.add_batch(record, path.with_suffix(".arrow"), path.with_suffix(".input")):
                    added.append(record.batch_id)
                self._known.add(path.name)
            except LedgerUnavailable:
                raise
            except (RecordError, OSError, LedgerError) as error:
                if self._refused.get(path.name) != str(error):
                    self._refused[path.name] = str(error)
                    log.error("%s: %s", path, error)
        return added

    def _read(self, path: Path) -> BatchRecord:
        record = BatchRecord.from_bytes(path.read_bytes())
        if path.name != f"batch-{record.batch_id:010d}.record":
            raise RecordError(f"holds batch {record.batch_id}, which is not what it is called")
        for suffix in (".arrow", ".input"):
            if not path.with_suffix(suffix).exists():
                raise RecordError(f"{path.with_suffix(suffix).name} is missing beside it")
        return record


class SettlementFollower:
    """Wire it up, then either call `run(stop)` or, for tests and demos, `step()` and `prove_step()` by hand."""

    def __init__(
        self,
        ledger: Ledger,
        archive_dir: Path,
        ready: Callable[[], Anchor | None],
        prover: Prover | None = None,
        attesters: Callable[[Deployment], Sequence[Attester]] = lambda deployment: (),
        poll_seconds: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._prover, self._attesters = ledger, prover, attesters
        self.archive = ArchiveFolder(archive_dir, ledger)
        self._ready = ready
        self._poll_seconds, self._monotonic = poll_seconds, monotonic
        self._retry_at: dict[int, float] = {}
        self._pauses: dict[int, Backoff] = {}
        self._refused: set[int] = set()
        self._deployment: Deployment | None = None
        self._worker_error: Exception | None = None

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set. Chain and ledger may come and go meanwhile; anything else ends both threads."""
        worker = threading.Thread(target=self._work, args=(stop,), name="prover", daemon=True)
        worker.start()
        try:
            self._repeat(stop, "anchoring", self.step)
        finally:
            stop.set()
            worker.join(timeout=5.0)
        if self._worker_error is not None:
            raise self._worker_error

    def step(self) -> bool:
        """Note what was sealed and tick the daemon once; whether there is more to wait for."""
        self.archive.notice()
        anchor = self._ready()
        if anchor is None:
            return False
        self._deployment = anchor.deployment
        return anchor.tick()

    def prove_step(self) -> bool:
        """Prove or attest one batch; whether there was anything to do."""
        if self._prover is not None:
            for batch_id in self._ledger.unproved(64):
                if self._retry_at.get(batch_id, 0.0) <= self._monotonic():
                    self._prove(batch_id)
                    return True
        return self._attest_one()

    def _work(self, stop: threading.Event) -> None:
        try:
            self._repeat(stop, "proving", self.prove_step, eager=True)
        except Exception as error:  # told to the other thread, which ends the process with it
            self._worker_error = error
            stop.set()

    def _repeat(self, stop: threading.Event, what: str, step: Callable[[], bool], *, eager: bool = False) -> None:
        backoff, failing = Backoff(), ""
        while not stop.is_set():
            pause = self._poll_seconds
            try:
                if step() and eager:
                    pause = 0.0
                if failing:
                    log.warning("%s: works again", what)
                    failing = ""
                backoff.succeeded()
            except (ChainUnavailable, ChainRefused, LedgerUnavailable) as error:
                pause = backoff.failed()
                if type(error).__name__ != failing:
                    failing = type(error).__name__
                    log.error("%s: %s; trading goes on, trying again with pauses up to a minute", what, error)
            stop.wait(pause)

    def _prove(self, batch_id: int) -> None:
        assert self._prover is not None
        record = self._ledger.records([batch_id])[0]
        try:
            result = self._prover.prove(record, self._ledger.input_path(batch_id))
            if not result.verified:
                raise ProofRefused(f"{result.backend}: the proof that was made does not verify")
            row = proof_row(batch_id, result)
        except LedgerError:
            raise
        except Exception as error:  # a backend may fail in any way; none of them may end the worker
            pause = self._pauses.setdefault(batch_id, Backoff()).failed()
            self._retry_at[batch_id] = self._monotonic() + pause
            tries = self._ledger.add_proof_failure(batch_id, f"{type(error).__name__}: {error}")
            log.error("proving batch %d failed (%d times): %s; again in %.0f s", batch_id, tries, error, pause)
            return
        self._ledger.add_proof(row)
        log.info(
            "batch %d: %s (%s) in %.1f s, %d bytes",
            batch_id,
            result.backend,
            result.kind,
            result.seconds,
            row.size_bytes,
        )
        self._attest_one()

    def _attest_one(self) -> bool:
        """Have one proof signed that misses a signature of ours on the deployment in use."""
        deployment = self._deployment
        if deployment is None:
            return False
        for attester in self._attesters(deployment):
            for proof in self._ledger.unattested(attester.address, deployment.attested_verifier):
                if proof.id not in self._refused:
                    self._attest(attester, proof, deployment)
                    return True
        return False

    def _attest(self, attester: Attester, proof: Proof, deployment: Deployment) -> None:
        record = self._ledger.records([proof.batch_id])[0]
        try:
            data = Path(proof.path).read_bytes()
            if hashlib.sha256(data).digest() != proof.proof_sha256:
                raise ProofRefused(f"{proof.path} is not the proof that was made")
            _, signature = attester.attest(data, proof.program_id, record.public_values(), proof.backend)
        except (OSError, ProofRefused) as error:
            self._refused.add(proof.id)
            log.error("batch %d is not attested: %s", proof.batch_id, error)
            return
        self._ledger.add_attestation(proof.id, attester.address, deployment.attested_verifier, signature)


def proof_row(batch_id: int, result: ProofResult) -> Proof:
    """What the ledger keeps of a proof; the file is read, so that its hash is the file's."""
    data = result.proof_path.read_bytes()
    return Proof(
        *(0, batch_id, result.program_id, result.backend, result.kind, result.cycles, result.seconds),
        *(len(data), str(result.proof_path), hashlib.sha256(data).digest(), result.verified),
    )
