"""The ledger: migrations that cannot change silently, rows that cannot contradict each other, views that add up."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from settlement import ledger as ledger_module
from settlement import postgres
from settlement.errors import LedgerError, LedgerUnavailable
from settlement.ledger import Attempt, Deployment, Ledger, Proof
from tests.settlement.samples import PROGRAM, digest, linked

SENDER = b"\x01" * 20


def deployed(ledger: Ledger) -> Deployment:
    return ledger.add_deployment(1, digest("genesis"), b"\x0a" * 20, b"\x0b" * 20, 5, 1)


def with_batches(ledger: Ledger, count: int) -> None:
    for record in linked(count):
        assert ledger.add_batch(record, Path("a.arrow"), Path("a.input"))


def proof(batch_id: int, kind: str = "replay", verified: bool = True) -> Proof:
    return Proof(0, batch_id, PROGRAM, kind, kind, 10, 0.5, 20, "p", digest("p", batch_id), verified)


def mined(ledger: Ledger, row: object, state: str = "mined", nonce: int = 0) -> None:
    row = ledger.add_attempt(row, nonce, Attempt(digest("tx", row.id), row.id, b"raw", 10, 1))  # type: ignore[attr-defined, arg-type]
    ledger.set_mined(row, state, digest("tx", row.id), (7, digest("block", 7)), 80_000, 10**9)


def test_migrations_are_applied_once(ledger: Ledger, ledger_url: str) -> None:
    again = Ledger.open(ledger_url)
    assert again.batch_states() == []
    again.close()


def test_changed_migration_is_refused(
    ledger: Ledger, ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(ledger_module.MIGRATIONS, folder)
    monkeypatch.setattr(ledger_module, "MIGRATIONS", folder)
    first = folder / "0001_settlement.sql"
    text = first.read_text()
    first.write_text(text + "-- changed\n")
    with pytest.raises(LedgerError, match="was changed after it was applied"):
        Ledger.open(ledger_url)
    first.write_text(text)
    (folder / "0002_more.sql").write_text("CREATE TABLE more (id integer)")
    Ledger.open(ledger_url).close()
    (folder / "0002_more.sql").unlink()
    with pytest.raises(LedgerError, match=r"has migrations \[2\]"):
        Ledger.open(ledger_url)


def test_failed_migration_leaves_nothing(
    ledger: Ledger, ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(ledger_module.MIGRATIONS, folder)
    monkeypatch.setattr(ledger_module, "MIGRATIONS", folder)
    (folder / "0002_broken.sql").write_text("CREATE TABLE half (id integer); SELECT nonsense")
    with pytest.raises(psycopg.Error):
        Ledger.open(ledger_url)
    (folder / "0002_broken.sql").unlink()
    Ledger.open(ledger_url).close()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("sqlite:///x", LedgerError),
        ("postgresql://127.0.0.1:1/none", LedgerUnavailable),
        ("postgresql:///none?host=/nowhere", LedgerUnavailable),
    ],
)
def test_ledger_that_is_not_there(url: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="ledger"):
        Ledger.open(url)


def test_same_batch_twice(ledger: Ledger) -> None:
    with_batches(ledger, 1)
    assert not ledger.add_batch(linked(1)[0], Path("a"), Path("b"))
    with pytest.raises(LedgerError, match="sealed twice"):
        ledger.add_batch(linked(1, commands=9)[0], Path("a"), Path("b"))


def test_sealed_from_stops_at_a_gap(ledger: Ledger) -> None:
    for record in linked(5):
        if record.batch_id != 3:
            ledger.add_batch(record, Path("a"), Path("b"))
    assert [record.batch_id for record, _ in ledger.sealed_from(1, 8)] == [1, 2]
    assert [record.batch_id for record, _ in ledger.sealed_from(4, 1)] == [4]
    assert ledger.sealed_from(3, 8) == []
    assert all(age >= 0 for _, age in ledger.sealed_from(1, 8))


def test_a_range_is_committed_by_one_row(ledger: Ledger) -> None:
    """The database itself refuses a second one while the first may still succeed."""
    with_batches(ledger, 2)
    deployment = deployed(ledger)
    first = ledger.plan(deployment, "commit", 1, [1, 2], SENDER, b"data", 100)
    with pytest.raises(psycopg.errors.UniqueViolation):
        ledger.plan(deployment, "commit", 1, [1, 2], SENDER, b"data", 100)
    ledger.set_unmined(first, "dropped", "test")
    ledger.plan(deployment, "commit", 1, [1, 2], SENDER, b"data", 100)


def test_a_nonce_is_used_by_one_row(ledger: Ledger) -> None:
    with_batches(ledger, 2)
    deployment = deployed(ledger)
    one = ledger.plan(deployment, "commit", 1, [1], SENDER, b"data", 100)
    two = ledger.plan(deployment, "commit", 2, [2], SENDER, b"data", 100)
    assert ledger.next_nonce(deployment, SENDER) == 0
    ledger.add_attempt(one, 4, Attempt(digest("one"), one.id, b"raw", 1, 1))
    assert ledger.next_nonce(deployment, SENDER) == 5
    with pytest.raises(psycopg.errors.UniqueViolation):
        ledger.add_attempt(two, 4, Attempt(digest("two"), two.id, b"raw", 1, 1))
    assert ledger.attempts(two) == [], "both or nothing"
    ledger.set_unmined(ledger.transaction(one.id), "dropped", "nonce used by another")
    ledger.add_attempt(two, 4, Attempt(digest("two"), two.id, b"raw", 1, 1))


def test_attempts_are_all_kept(ledger: Ledger) -> None:
    with_batches(ledger, 1)
    row = ledger.plan(deployed(ledger), "commit", 1, [1], SENDER, b"data", 100)
    for fee in (30, 10, 20, 10):
        ledger.add_attempt(row, 0, Attempt(digest(fee), row.id, b"raw", fee, 1))
    assert [attempt.max_fee_wei for attempt in ledger.attempts(row)] == [10, 20, 30]


def test_batch_states(ledger: Ledger) -> None:
    """sealed -> committed -> proved -> final, and back when the chain takes a block back."""
    with_batches(ledger, 3)
    deployment = deployed(ledger)
    assert [state.state for state in ledger.batch_states()] == ["sealed"] * 3
    commit = ledger.plan(deployment, "commit", 1, [1, 2], SENDER, b"data", 100, records_root=digest("root"))
    assert [state.state for state in ledger.batch_states()] == ["sealed"] * 3
    mined(ledger, commit)
    assert [state.state for state in ledger.batch_states()] == ["committed", "committed", "sealed"]
    for batch_id in (1, 2):
        ledger.add_proof(proof(batch_id))
    prove = ledger.plan(deployment, "prove", 1, [1, 2], SENDER, b"data", 100, assurance=1)
    assert [state.state for state in ledger.batch_states()] == ["proved", "proved", "sealed"]
    mined(ledger, prove, "final", nonce=1)
    assert [(s.state, s.assurance) for s in ledger.batch_states()] == [("proved", "attested")] * 2 + [
        ("sealed", "none")
    ]
    ledger.set_mined(commit, "final", digest("tx"), (7, digest("block", 7)), 80_000, 1)
    states = ledger.batch_states()
    assert [state.state for state in states] == ["final", "final", "sealed"]
    assert states[0].commit_gas == 80_000 and states[0].commit_batches == 2
    assert ledger.summary()[0]["commit_gas_per_batch"] == 40_000
    ledger.set_unmined(ledger.transaction(commit.id), "sent", "reorganisation")
    assert [state.state for state in ledger.batch_states()] == ["sealed"] * 3


def test_a_range_is_final_as_a_whole(ledger: Ledger) -> None:
    with_batches(ledger, 2)
    deployment = deployed(ledger)
    mined(ledger, ledger.plan(deployment, "commit", 1, [1, 2], SENDER, b"data", 100), "final")
    for batch_id in (1, 2):
        ledger.add_proof(proof(batch_id))
    mined(ledger, ledger.plan(deployment, "prove", 1, [1], SENDER, b"data", 100, assurance=1), "final", 1)
    assert {state.state for state in ledger.batch_states()} == {"proved"}
    mined(ledger, ledger.plan(deployment, "prove", 1, [2], SENDER, b"data", 100, assurance=1), "final", 2)
    assert {state.state for state in ledger.batch_states()} == {"final"}


def test_promising_ranges(ledger: Ledger) -> None:
    with_batches(ledger, 3)
    deployment = deployed(ledger)
    assert ledger.promising(deployment, ["groth16"]) == []
    for number in (1, 2, 3):
        ledger.add_proof(proof(number))
        row = ledger.plan(deployment, "commit", number, [number], SENDER, b"data", 100)
        if number < 3:
            mined(ledger, row, nonce=number)
    assert ledger.promising(deployment, ["groth16"]) == [1, 2], "range 3 is not on the chain"
    mined(ledger, ledger.plan(deployment, "prove", 1, [1], SENDER, b"data", 100, assurance=1), nonce=9)
    assert ledger.promising(deployment, ["groth16"]) == [2]
    ledger.add_proof(proof(1, "groth16", verified=False))
    assert ledger.promising(deployment, ["groth16"]) == [2]
    ledger.add_proof(proof(1, "groth16"))
    assert ledger.promising(deployment, ["groth16"]) == [1, 2]
    assert ledger.promising(deployment, []) == [2]


def test_unproved_and_unattested(ledger: Ledger) -> None:
    with_batches(ledger, 3)
    ledger.add_proof(proof(1, verified=False))
    second = ledger.add_proof(proof(2))
    assert ledger.unproved(10) == [1, 3]
    assert [p.batch_id for p in ledger.unattested(SENDER, b"\x0b" * 20)] == [2]
    ledger.add_attestation(second, SENDER, b"\x0b" * 20, bytes(65))
    assert ledger.unattested(SENDER, b"\x0b" * 20) == []
    assert [p.batch_id for p in ledger.unattested(SENDER, b"\x0c" * 20)] == [2], "another contract, another signature"
    assert ledger.attestations(second, b"\x0b" * 20) == {SENDER: bytes(65)}


def test_blocks_seen(ledger: Ledger) -> None:
    deployment = deployed(ledger)
    for number in range(300):
        ledger.see_block(deployment, number, digest(number))
    ledger.see_block(deployment, 299, digest("other"))
    seen = ledger.blocks_seen(deployment)
    assert seen[0] == (299, digest("other")) and len(seen) < 260
    ledger.forget_blocks(deployment, 290)
    assert ledger.blocks_seen(deployment)[0] == (289, digest(289))


def test_lost_connection_comes_back(ledger: Ledger, ledger_url: str) -> None:
    with_batches(ledger, 1)
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database()"
        )
    with pytest.raises(LedgerUnavailable, match="terminating connection"):
        ledger.batch_states()
    assert len(ledger.batch_states()) == 1


def test_embedded_server_survives(open_folder: Path) -> None:
    """A reader that ends leaves it running; a stale process id does not hide that it is gone."""
    folder = open_folder / "ledger"
    first = Ledger.embedded(folder)
    with_batches(first, 2)
    Ledger.embedded(folder).close()
    assert len(first.batch_states()) == 2
    first.close(stop_server=True)
    assert not (folder / "postmaster.pid").exists()
    (folder / "postmaster.pid").write_text(f"1\n{folder}\n1\n5432\n{folder}\nlocalhost\n1 1\nready\n")
    second = Ledger.embedded(folder)
    assert len(second.batch_states()) == 2
    second.close()


def test_embedded_server_that_cannot_start(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "STARTS_MAX", 1)
    folder = open_folder / "ledger"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("18\n")
    with pytest.raises(LedgerError, match="does not start"):
        Ledger.embedded(folder)


def test_claim_is_noticed_when_it_is_lost(ledger: Ledger, ledger_url: str) -> None:
    ledger.claim()
    other = Ledger.open(ledger_url)
    with pytest.raises(LedgerError, match="another settlement process"):
        other.claim()
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )
    other.claim()
    with pytest.raises(LedgerError, match="another settlement process"):
        ledger.claim()
    other.close()


def test_closed_ledger_stays_closed(ledger: Ledger) -> None:
    ledger.close()
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.batch_states()
