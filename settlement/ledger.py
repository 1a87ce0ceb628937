"""The settlement ledger in PostgreSQL: the only importer of psycopg in settlement.

It is written before the chain is: a row and its signed transaction are durable before the first byte is broadcast, so
that a crash at any point leaves either nothing or everything needed to go on. The schema grows by numbered SQL files
whose checksums are kept: a file that changed after it was applied is an error, never a silent difference.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.rows import class_row, dict_row

from settlement import postgres
from settlement.errors import LedgerError, LedgerUnavailable
from venue.batches import BatchRecord

log = logging.getLogger("venue.settlement.ledger")

MIGRATIONS = Path(__file__).parent / "migrations"
ON_CHAIN = ("mined", "safe", "final")
_LOCK_MIGRATE = 0x66697801
_LOCK_WRITER = 0x66697802
_BLOCKS_KEPT = 256
Row = TypeVar("Row")


@dataclass(frozen=True)
class Deployment:
    """One pair of contracts on one chain."""

    id: int
    chain_id: int
    genesis_hash: bytes
    anchor: bytes
    attested_verifier: bytes
    block_number: int
    first_batch_id: int


@dataclass(frozen=True)
class Transaction:
    """One thing that is to be on the chain once; see the migration for the states."""

    id: int
    deployment_id: int
    kind: str
    range_id: int
    batch_ids: list[int]
    assurance: int
    proof_ids: list[int]
    records_root: bytes | None
    sender: bytes
    nonce: int | None
    data: bytes
    gas_limit: int
    state: str
    adopted: bool
    tx_hash: bytes | None
    block_number: int | None
    block_hash: bytes | None
    gas_used: int | None
    reason: str | None


@dataclass(frozen=True)
class Attempt:
    """One signed form of a transaction; `raw` is empty when it was only found on the chain."""

    tx_hash: bytes
    transaction_id: int
    raw: bytes
    max_fee_wei: int
    tip_wei: int


@dataclass(frozen=True)
class Proof:
    """A proof that exists as a file and was verified (or not)."""

    id: int
    batch_id: int
    program_id: bytes
    backend: str
    kind: str
    cycles: int
    seconds: float
    size_bytes: int
    path: str
    proof_sha256: bytes
    verified: bool


@dataclass(frozen=True)
class BatchState:
    """Where a batch stands, for people and for reports."""

    batch_id: int
    state: str
    assurance: str
    range_id: int | None
    commit_state: str | None
    commit_tx: bytes | None
    commit_gas: int | None
    commit_batches: int | None
    prove_state: str | None
    prove_tx: bytes | None
    prove_gas: int | None
    prove_batches: int | None
    has_proof: bool
    archive_path: str


_TRANSACTION = (
    "id, deployment_id, kind, range_id, batch_ids, assurance, proof_ids, records_root, sender, nonce, data, gas_limit, "
    "state, adopted, tx_hash, block_number, block_hash, gas_used, reason"
)


class Ledger:
    """Open with `Ledger.open(url)` or `Ledger.embedded(folder)`; one connection a thread."""

    def __init__(self, url: str, folder: Path | None = None) -> None:
        self._url = url
        self._folder = folder
        self._local = threading.local()
        self._connections: list[psycopg.Connection[Any]] = []
        self._writer: psycopg.Connection[Any] | None = None
        self._closed = False
        self._migrate()

    @classmethod
    def open(cls, url: str) -> Ledger:
        """A PostgreSQL somewhere else, by URL."""
        if not url.startswith(("postgresql://", "postgres://")):
            raise LedgerError("settlement.ledger_url: must begin with postgresql://")
        return cls(url)

    @classmethod
    def embedded(cls, folder: Path) -> Ledger:
        """The server of a folder; started if it does not run."""
        return cls(postgres.start(folder), folder)

    def close(self, *, stop_server: bool = False) -> None:
        """Close all connections; an embedded server stays up unless told otherwise."""
        self._closed = True
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._local = threading.local()
        self._writer = None
        if stop_server and self._folder is not None:
            postgres.stop(self._folder)

    def claim(self) -> None:
        """Become the only settlement process on this ledger; held until the connection ends."""
        if self._writer is not None and _is_alive(self._writer):
            return
        connection = self._connect()
        found = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK_WRITER,)).fetchone()
        if found is None or not found[0]:
            raise LedgerError("another settlement process works on this ledger; stop it first")
        self._writer = connection

    # ---- connections --------------------------------------------------------------------------------------------

    def _connect(self) -> psycopg.Connection[Any]:
        if self._closed:
            # A thread that outlives the process's end must not start the server again.
            raise LedgerUnavailable("ledger: closed")
        try:
            connection = psycopg.connect(self._url, autocommit=True, connect_timeout=10)
        except psycopg.OperationalError as error:
            if self._folder is None:
                raise LedgerUnavailable(f"ledger: {_first_line(error)}") from error
            self._url = postgres.start(self._folder)
            try:
                connection = psycopg.connect(self._url, autocommit=True, connect_timeout=10)
            except psycopg.OperationalError as again:
                raise LedgerUnavailable(f"ledger in {self._folder}: {_first_line(again)}") from again
        self._connections.append(connection)
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[Any]]:
        connection: psycopg.Connection[Any] | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed or connection.broken:
            connection = self._local.connection = self._connect()
        try:
            with connection.transaction():
                yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            connection.close()
            raise LedgerUnavailable(f"ledger: {_first_line(error)}") from error

    def _rows(self, row: type[Row], query: LiteralString, *arguments: object) -> list[Row]:
        with self._transaction() as connection:
            return connection.cursor(row_factory=class_row(row)).execute(query, arguments).fetchall()

    def _value(self, query: LiteralString, *arguments: object) -> Any:
        with self._transaction() as connection:
            found = connection.execute(query, arguments).fetchone()
            return None if found is None else found[0]

    def _migrate(self) -> None:
        """Apply the numbered files that are missing; refuse a ledger that is not what they make."""
        files = sorted(MIGRATIONS.glob("[0-9][0-9][0-9][0-9]_*.sql"))
        with self._transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK_MIGRATE,))
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations (number integer PRIMARY KEY, name text NOT NULL, "
                "sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            done = dict(connection.execute("SELECT number, sha256 FROM schema_migrations").fetchall())
            for file in files:
                number, digest = int(file.name[:4]), hashlib.sha256(file.read_bytes()).hexdigest()
                if number in done:
                    if done.pop(number) != digest:
                        raise LedgerError(
                            f"migration {file.name} was changed after it was applied to this ledger; "
                            "restore the file and put the change into a new one"
                        )
                    continue
                connection.execute(file.read_bytes())
                connection.execute(
                    "INSERT INTO schema_migrations (number, name, sha256) VALUES (%s, %s, %s)",
                    (number, file.name, digest),
                )
            if done:
                raise LedgerError(
                    f"this ledger has migrations {sorted(done)} that this program does not know; update it"
                )

    # ---- batches ------------------------------------------------------------------------------------------------

    def add_batch(self, record: BatchRecord, archive_path: Path, input_path: Path) -> bool:
        """Note a sealed batch; False when it is known. The same batch with another record is an error."""
        with self._transaction() as connection:
            added = connection.execute(
                "INSERT INTO batches (batch_id, record, archive_path, input_path) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT (batch_id) DO NOTHING",
                (record.batch_id, record.to_bytes(), str(archive_path), str(input_path)),
            ).rowcount
        if not added and self.records([record.batch_id]) != [record]:
            raise LedgerError(
                f"{archive_path}: batch {record.batch_id} was sealed twice with different content; "
                "the ledger keeps the first. Find out which file is the true one before anything else"
            )
        return bool(added)

    def records(self, batch_ids: Iterable[int]) -> list[BatchRecord]:
        """Records of the batches that are known, in order of their ids."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT record FROM batches WHERE batch_id = ANY(%s) ORDER BY batch_id", (list(batch_ids),)
            ).fetchall()
        return [BatchRecord.from_bytes(bytes(row[0])) for row in rows]

    def sealed_from(self, batch_id: int, limit: int) -> list[tuple[BatchRecord, float]]:
        """Contiguous batches from `batch_id` on, with the seconds since each was noted."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT record, extract(epoch FROM now() - sealed_at)::float8 FROM batches "
                "WHERE batch_id >= %s AND batch_id < %s ORDER BY batch_id",
                (batch_id, batch_id + limit),
            ).fetchall()
        found = [(BatchRecord.from_bytes(bytes(data)), age) for data, age in rows]
        return [(record, age) for n, (record, age) in enumerate(found) if record.batch_id == batch_id + n]

    def first_batch_id(self) -> int | None:
        """Lowest batch that is known."""
        return self._value("SELECT min(batch_id) FROM batches")  # type: ignore[no-any-return]

    def input_path(self, batch_id: int) -> Path:
        """Where the guest input of a batch lies."""
        return Path(self._value("SELECT input_path FROM batches WHERE batch_id = %s", batch_id))

    def batch_states(self) -> list[BatchState]:
        """Where every batch stands."""
        return self._rows(
            BatchState,
            "SELECT batch_id, state, assurance, range_id, commit_state, commit_tx, commit_gas, commit_batches, "
            "prove_state, prove_tx, prove_gas, prove_batches, has_proof, archive_path "
            "FROM batch_states ORDER BY batch_id",
        )

    # ---- proofs -------------------------------------------------------------------------------------------------

    def unproved(self, limit: int) -> list[int]:
        """Batches without a verified proof, oldest first."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT batch_id FROM batches b WHERE NOT EXISTS "
                "(SELECT 1 FROM proofs p WHERE p.batch_id = b.batch_id AND p.verified) ORDER BY batch_id LIMIT %s",
                (limit,),
            ).fetchall()
        return [row[0] for row in rows]

    def add_proof(self, proof: Proof) -> int:
        """Keep what is known of a proof; `proof.id` is ignored."""
        return int(
            self._value(
                "INSERT INTO proofs (batch_id, program_id, backend, kind, cycles, seconds, size_bytes, path, "
                "proof_sha256, verified) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
                *(proof.batch_id, proof.program_id, proof.backend, proof.kind, proof.cycles, proof.seconds),
                *(proof.size_bytes, proof.path, proof.proof_sha256, proof.verified),
            )
        )

    def proofs(self, batch_ids: Sequence[int] | None = None) -> list[Proof]:
        """Proofs of the given batches, or of all, oldest first."""
        return self._rows(
            Proof,
            "SELECT id, batch_id, program_id, backend, kind, cycles, seconds, size_bytes, path, proof_sha256, verified "
            "FROM proofs WHERE %s::bigint[] IS NULL OR batch_id = ANY(%s) ORDER BY id",
            *(None if batch_ids is None else list(batch_ids),) * 2,
        )

    def add_proof_failure(self, batch_id: int, reason: str) -> int:
        """Note that proving failed; returns how often it has for this batch."""
        with self._transaction() as connection:
            connection.execute("INSERT INTO proof_failures (batch_id, reason) VALUES (%s, %s)", (batch_id, reason))
        return int(self._value("SELECT count(*) FROM proof_failures WHERE batch_id = %s", batch_id))

    def add_attestation(self, proof_id: int, verifier: bytes, contract: bytes, signature: bytes) -> None:
        """Keep a verifier's signature."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO attestations (proof_id, verifier, contract, signature) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                (proof_id, verifier, contract, signature),
            )

    def unattested(self, verifier: bytes, contract: bytes) -> list[Proof]:
        """Verified proofs that a verifier has not signed for a contract, oldest first."""
        return self._rows(
            Proof,
            "SELECT id, batch_id, program_id, backend, kind, cycles, seconds, size_bytes, path, proof_sha256, verified "
            "FROM proofs p WHERE verified AND NOT EXISTS (SELECT 1 FROM attestations a WHERE a.proof_id = p.id "
            "AND a.verifier = %s AND a.contract = %s) ORDER BY id LIMIT 64",
            *(verifier, contract),
        )

    def attestations(self, proof_id: int, contract: bytes) -> dict[bytes, bytes]:
        """Signature by verifier for one proof and one verifier contract."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT verifier, signature FROM attestations WHERE proof_id = %s AND contract = %s",
                (proof_id, contract),
            ).fetchall()
        return {bytes(verifier): bytes(signature) for verifier, signature in rows}

    # ---- deployments --------------------------------------------------------------------------------------------

    def deployment(self) -> Deployment | None:
        """The latest deployment."""
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT id, chain_id, genesis_hash, anchor, attested_verifier, block_number, first_batch_id "
                "FROM deployments ORDER BY id DESC LIMIT 1"
            ).fetchone()
        if row is None:
            return None
        return Deployment(row[0], int(row[1]), bytes(row[2]), bytes(row[3]), bytes(row[4]), row[5], row[6])

    def add_deployment(
        self, chain_id: int, genesis: bytes, anchor: bytes, verifier: bytes, block: int, first_batch_id: int
    ) -> Deployment:
        """Note a new pair of contracts; everything is anchored there from now on."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO deployments (chain_id, genesis_hash, anchor, attested_verifier, block_number, "
                "first_batch_id) VALUES (%s, %s, %s, %s, %s, %s)",
                (chain_id, genesis, anchor, verifier, block, first_batch_id),
            )
        found = self.deployment()
        assert found is not None
        return found

    # ---- transactions -------------------------------------------------------------------------------------------

    def plan(
        self,
        deployment: Deployment,
        kind: str,
        range_id: int,
        batch_ids: Sequence[int],
        sender: bytes,
        data: bytes,
        gas_limit: int,
        *,
        records_root: bytes | None = None,
        assurance: int = 0,
        proof_ids: Sequence[int] = (),
    ) -> Transaction:
        """Write down an intention; nothing is signed yet."""
        transaction_id = self._value(
            "INSERT INTO transactions (deployment_id, kind, range_id, batch_ids, sender, data, gas_limit, "
            "records_root, assurance, proof_ids) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
            *(deployment.id, kind, range_id, list(batch_ids), sender, data, gas_limit, records_root),
            *(assurance, list(proof_ids)),
        )
        return self.transaction(transaction_id)

    def adopt(
        self,
        deployment: Deployment,
        kind: str,
        range_id: int,
        batch_ids: Sequence[int],
        sender: bytes,
        tx_hash: bytes,
        *,
        records_root: bytes | None = None,
        assurance: int = 0,
    ) -> Transaction:
        """Take over a transaction that was found on the chain and checked; it is followed like our own."""
        with self._transaction() as connection:
            row = connection.execute(
                "INSERT INTO transactions (deployment_id, kind, range_id, batch_ids, sender, data, gas_limit, "
                "records_root, assurance, state, adopted) "
                "VALUES (%s, %s, %s, %s, %s, '', 0, %s, %s, 'sent', true) RETURNING id",
                (deployment.id, kind, range_id, list(batch_ids), sender, records_root, assurance),
            ).fetchone()
            assert row is not None
            connection.execute(
                "INSERT INTO attempts (tx_hash, transaction_id, raw, max_fee_wei, tip_wei) VALUES (%s, %s, '', 0, 0) "
                "ON CONFLICT (tx_hash) DO UPDATE SET transaction_id = excluded.transaction_id",
                (tx_hash, row[0]),
            )
        return self.transaction(row[0])

    def transaction(self, transaction_id: int) -> Transaction:
        """One row."""
        return self._rows(Transaction, "SELECT " + _TRANSACTION + " FROM transactions WHERE id = %s", transaction_id)[0]

    def transactions(
        self, deployment: Deployment, *, kind: str | None = None, states: Sequence[str] | None = None
    ) -> list[Transaction]:
        """Rows of a deployment in the order of their planning."""
        return self._rows(
            Transaction,
            "SELECT " + _TRANSACTION + " FROM transactions WHERE deployment_id = %s "
            "AND (%s::text IS NULL OR kind = %s) AND (%s::text[] IS NULL OR state = ANY(%s)) ORDER BY id",
            *(deployment.id, kind, kind),
            *(None if states is None else list(states),) * 2,
        )

    def last_range(self, deployment: Deployment) -> int:
        """Highest range that is committed on the chain as far as we know; 0 when there is none."""
        return int(
            self._value(
                "SELECT coalesce(max(range_id), 0) FROM transactions WHERE deployment_id = %s AND kind = 'commit' "
                "AND state = ANY(%s)",
                *(deployment.id, list(ON_CHAIN)),
            )
        )

    def commit_of(self, deployment: Deployment, range_id: int) -> Transaction:
        """The commit of a range that is on the chain."""
        return self._rows(
            Transaction,
            "SELECT " + _TRANSACTION + " FROM transactions WHERE deployment_id = %s AND kind = 'commit' "
            "AND range_id = %s AND state = ANY(%s)",
            *(deployment.id, range_id, list(ON_CHAIN)),
        )[0]

    def last_final(self, deployment: Deployment) -> Transaction | None:
        """The final transaction that is highest on the chain."""
        rows = self._rows(
            Transaction,
            "SELECT " + _TRANSACTION + " FROM transactions WHERE deployment_id = %s AND state = 'final' "
            "ORDER BY block_number DESC, id DESC LIMIT 1",
            deployment.id,
        )
        return rows[0] if rows else None

    def reached(self, deployment: Deployment, batch_ids: Sequence[int]) -> dict[int, int]:
        """Assurance of batches on the chain, as far as we know."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT batch_id, max(assurance) FROM (SELECT unnest(batch_ids) AS batch_id, assurance "
                "FROM transactions WHERE deployment_id = %s AND kind = 'prove' AND state = ANY(%s) "
                "AND batch_ids && %s::bigint[]) t GROUP BY batch_id",
                (deployment.id, list(ON_CHAIN), list(batch_ids)),
            ).fetchall()
        return dict(rows)

    def promising(self, deployment: Deployment, chain_kinds: Sequence[str]) -> list[int]:
        """Committed ranges with a proof that could raise a batch's assurance, lowest first."""
        with self._transaction() as connection:
            rows = connection.execute(
                "WITH c AS (SELECT range_id, unnest(batch_ids) AS batch_id FROM transactions "
                "WHERE deployment_id = %(d)s AND kind = 'commit' AND state = ANY(%(s)s)), "
                "r AS (SELECT unnest(batch_ids) AS batch_id, assurance FROM transactions "
                "WHERE deployment_id = %(d)s AND kind = 'prove' AND state = ANY(%(s)s)), "
                "p AS (SELECT batch_id, max(CASE WHEN kind = ANY(%(k)s) THEN 2 ELSE 1 END) AS gain FROM proofs "
                "WHERE verified GROUP BY batch_id) "
                "SELECT DISTINCT c.range_id FROM c JOIN p USING (batch_id) WHERE NOT EXISTS "
                "(SELECT 1 FROM r WHERE r.batch_id = c.batch_id AND r.assurance >= p.gain) "
                "ORDER BY c.range_id LIMIT 64",
                {"d": deployment.id, "s": list(ON_CHAIN), "k": list(chain_kinds)},
            ).fetchall()
        return [row[0] for row in rows]

    def add_attempt(self, transaction: Transaction, nonce: int, attempt: Attempt) -> Transaction:
        """Make a signed transaction durable; only after this may it be broadcast."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO attempts (tx_hash, transaction_id, raw, max_fee_wei, tip_wei) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (tx_hash) DO NOTHING",
                (attempt.tx_hash, transaction.id, attempt.raw, attempt.max_fee_wei, attempt.tip_wei),
            )
            connection.execute(
                "UPDATE transactions SET state = 'sent', nonce = %s, changed_at = now() WHERE id = %s",
                (nonce, transaction.id),
            )
        return self.transaction(transaction.id)

    def attempts(self, transaction: Transaction) -> list[Attempt]:
        """Everything that was signed for a row, cheapest first."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT tx_hash, transaction_id, raw, max_fee_wei, tip_wei FROM attempts WHERE transaction_id = %s "
                "ORDER BY max_fee_wei, signed_at",
                (transaction.id,),
            ).fetchall()
        return [Attempt(bytes(row[0]), row[1], bytes(row[2]), int(row[3]), int(row[4])) for row in rows]

    def set_mined(
        self, transaction: Transaction, state: str, tx_hash: bytes, block: tuple[int, bytes], gas_used: int, price: int
    ) -> None:
        """Where the chain has it."""
        assert state in (*ON_CHAIN, "failed")
        with self._transaction() as connection:
            connection.execute(
                "UPDATE transactions SET state = %s, tx_hash = %s, block_number = %s, block_hash = %s, gas_used = %s, "
                "gas_price_wei = %s, changed_at = now() WHERE id = %s",
                (state, tx_hash, *block, gas_used, price, transaction.id),
            )

    def set_unmined(self, transaction: Transaction, state: str, reason: str) -> None:
        """Back to `sent` after a reorg, or given up as `dropped`."""
        assert state in ("sent", "dropped")
        with self._transaction() as connection:
            connection.execute(
                "UPDATE transactions SET state = %s, reason = %s, tx_hash = NULL, block_number = NULL, "
                "block_hash = NULL, changed_at = now() WHERE id = %s",
                (state, reason, transaction.id),
            )

    def set_taken_back(self, transaction: Transaction, reason: str) -> None:
        """Mined, but undone by the contract's owner afterwards."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE transactions SET state = 'failed', reason = %s, changed_at = now() WHERE id = %s",
                (reason, transaction.id),
            )

    def next_nonce(self, deployment: Deployment, sender: bytes) -> int:
        """First nonce of a sender that no row of ours uses."""
        return int(
            self._value(
                "SELECT coalesce(max(nonce) + 1, 0) FROM transactions "
                "WHERE deployment_id = %s AND sender = %s AND state <> 'dropped' AND NOT adopted",
                *(deployment.id, sender),
            )
        )

    # ---- blocks and halts ---------------------------------------------------------------------------------------

    def see_block(self, deployment: Deployment, number: int, block_hash: bytes) -> None:
        """Remember the hash of a block that was the head."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO blocks_seen VALUES (%s, %s, %s) ON CONFLICT (deployment_id, number) "
                "DO UPDATE SET hash = excluded.hash",
                (deployment.id, number, block_hash),
            )
            connection.execute(
                "DELETE FROM blocks_seen WHERE deployment_id = %s AND number < %s",
                (deployment.id, number - _BLOCKS_KEPT),
            )

    def blocks_seen(self, deployment: Deployment) -> list[tuple[int, bytes]]:
        """Remembered blocks, latest first."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT number, hash FROM blocks_seen WHERE deployment_id = %s ORDER BY number DESC", (deployment.id,)
            ).fetchall()
        return [(number, bytes(block_hash)) for number, block_hash in rows]

    def forget_blocks(self, deployment: Deployment, from_number: int) -> None:
        """Drop remembered blocks that were replaced."""
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM blocks_seen WHERE deployment_id = %s AND number >= %s", (deployment.id, from_number)
            )

    def halt(self, reason: str) -> None:
        """Stand still until a person clears it."""
        if self.halted() != reason:
            with self._transaction() as connection:
                connection.execute("INSERT INTO halts (reason) VALUES (%s)", (reason,))

    def halted(self) -> str | None:
        """Why settlement stands still, None when it does not."""
        return self._value(  # type: ignore[no-any-return]
            "SELECT reason FROM halts WHERE cleared_at IS NULL ORDER BY id DESC LIMIT 1"
        )

    def clear_halts(self, by: str) -> int:
        """A person has looked; returns how many halts were cleared."""
        with self._transaction() as connection:
            return connection.execute(
                "UPDATE halts SET cleared_at = now(), cleared_by = %s WHERE cleared_at IS NULL", (by,)
            ).rowcount

    def summary(self) -> list[dict[str, Any]]:
        """Batch states as plain dictionaries, with gas a batch."""
        with self._transaction() as connection:
            return (
                connection.cursor(row_factory=dict_row)
                .execute(
                    "SELECT batch_id, state, assurance, range_id, commit_state, prove_state, "
                    "commit_gas / commit_batches AS commit_gas_per_batch, "
                    "prove_gas / prove_batches AS prove_gas_per_batch FROM batch_states ORDER BY batch_id"
                )
                .fetchall()
            )


def _is_alive(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
