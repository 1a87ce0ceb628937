"""The daemon against a chain that misbehaves: exactly once, whatever is dropped, replaced or already there."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement.anchor import AnchorSettings, check_links
from settlement.chain import Chain, Fees, address_of, checksum
from settlement.deploy import PROVEN, send_and_wait
from settlement.errors import SettlementConfigError, SettlementHalted
from settlement.follower import proof_row
from settlement.service import Settlement
from tests.settlement.contracts_on_chain import exact_verifier
from tests.settlement.samples import PROGRAM, HashProver, config, digest, exactly_once, linked, seal, settle, the_anchor

Make = Callable[..., Settlement]


@pytest.fixture
def make(tmp_path: Path, archive: Path, ledger_url: str) -> Iterator[Make]:
    """Opens settlement on one folder and one ledger; opening again closes the last one, as a restart does."""
    opened: list[Settlement] = []

    def open_again(checkpoint: Callable[[str], None] = lambda name: None, **more: Any) -> Settlement:
        for settlement in opened:
            settlement.close()
        opened.clear()
        prover = HashProver(tmp_path)
        made = Settlement(
            config(tmp_path, archive, more.pop("url", ledger_url), **more), prover, prover.verify, checkpoint
        )
        opened.append(made)
        return made

    yield open_again
    for settlement in opened:
        settlement.close()


def node(settlement: Settlement) -> Any:
    assert settlement.chain.embedded is not None
    return settlement.chain.embedded.tester


def rows(settlement: Settlement, kind: str = "commit") -> list[Any]:
    return settlement.ledger.transactions(the_anchor(settlement).deployment, kind=kind)


def the_anchor_once(settlement: Settlement) -> None:
    """Note what is sealed and deploy, without a tick of the daemon."""
    settlement.follower.archive.notice()
    the_anchor(settlement)


def test_ranges_are_gathered(make: Make, archive: Path) -> None:
    """A range is committed when it is full, or when its first batch has waited long enough."""
    settlement = make(range_batches=3, range_seconds=3600.0)
    batches = linked(8)
    seal(archive, batches[:2])
    settlement.follower.step()
    assert rows(settlement) == []
    seal(archive, batches)
    for _ in range(5):
        settlement.follower.step()
    assert [row.batch_ids for row in rows(settlement)] == [[1, 2, 3], [4, 5, 6]]
    settlement = make(range_batches=3, range_seconds=0.0)
    settlement.follower.step()
    assert [row.batch_ids for row in rows(settlement)][2:] == [[7, 8]]


def test_states_follow_the_depth(make: Make, archive: Path) -> None:
    """sent -> mined -> safe -> final, never final before the configured depth."""
    settlement = make(simulated_finality_blocks=4)
    seal(archive, linked(1))
    seen = []
    for _ in range(12):
        settlement.follower.step()
        row = rows(settlement)[0]
        head = settlement.chain.head()
        if row.state == "final":
            assert head.latest.number - row.block_number >= 4
        if row.state not in seen:
            seen.append(row.state)
    assert seen == ["sent", "mined", "safe", "final"]
    assert rows(settlement)[0].gas_used > 21_000


def test_no_finality_without_the_setting(make: Make, archive: Path, caplog: pytest.LogCaptureFixture) -> None:
    settlement = make(simulated_finality_blocks=0)
    seal(archive, linked(2))
    with caplog.at_level(logging.WARNING):
        for _ in range(8):
            settlement.follower.step()
            settlement.follower.prove_step()
            node(settlement).mine_blocks(10)
    assert {row.state for kind in ("commit", "prove") for row in rows(settlement, kind)} == {"mined"}
    assert {state.state for state in settlement.ledger.batch_states()} == {"proved"}
    said = [record.getMessage() for record in caplog.records if "no finality" in record.getMessage()]
    assert len(said) == 1 and "simulated_finality_blocks" in said[0]


@pytest.mark.parametrize("depth", [1, 3])
def test_reorganisation_drops_transactions(
    make: Make, archive: Path, depth: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What was mined vanishes with its block; the very same transactions are sent again."""
    settlement = make(simulated_finality_blocks=12, range_batches=2)
    seal(archive, linked(1))
    for _ in range(3):
        settlement.follower.step()
    snapshot = node(settlement).take_snapshot()
    seal(archive, linked(6))
    for _ in range(depth):
        settlement.follower.step()
    hashes = {attempt.tx_hash for row in rows(settlement) for attempt in settlement.ledger.attempts(row)}
    node(settlement).revert_to_snapshot(snapshot)
    node(settlement).mine_blocks(2)
    with caplog.at_level(logging.WARNING):
        settlement.follower.step()
    assert "reorganisation" in caplog.text or depth == 1
    settle(settlement, 120)
    again = {attempt.tx_hash for row in rows(settlement) for attempt in settlement.ledger.attempts(row)}
    assert hashes <= again
    assert all(row.state == "final" for row in rows(settlement))


def test_reorganisation_while_stopped(make: Make, archive: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Blocks that were seen are remembered in the ledger."""
    settlement = make(simulated_finality_blocks=12)
    settlement.follower.step()
    snapshot = node(settlement).take_snapshot()
    seal(archive, linked(3))
    for _ in range(3):
        settlement.follower.step()
    head = settlement.ledger.blocks_seen(the_anchor(settlement).deployment)[0][0]
    deployed = the_anchor(settlement).deployment.block_number
    assert head > deployed
    node(settlement).revert_to_snapshot(snapshot)
    node(settlement).mine_blocks(3)
    settlement = make(simulated_finality_blocks=12)
    with caplog.at_level(logging.WARNING):
        settle(settlement, 120)
    assert "on a new deployment" in caplog.text


def test_vanished_final_block_halts(make: Make, archive: Path, caplog: pytest.LogCaptureFixture) -> None:
    settlement = make(simulated_finality_blocks=2)
    seal(archive, linked(1))
    settlement.follower.step()
    snapshot = node(settlement).take_snapshot()
    seal(archive, linked(4))
    settle(settlement)
    node(settlement).revert_to_snapshot(snapshot)
    node(settlement).mine_blocks(1)
    with caplog.at_level(logging.CRITICAL):
        assert settlement.follower.step() is False
    assert "was final and is not on the chain any more" in caplog.text
    before = rows(settlement)
    settlement = make(simulated_finality_blocks=2)
    assert settlement.follower.step() is False
    assert rows(settlement) == before
    assert settlement.ledger.halted() is not None
    assert settlement.ledger.clear_halts("tester") == 1
    assert settlement.ledger.halted() is None


def test_stuck_transaction_is_replaced(make: Make, archive: Path) -> None:
    """Same nonce, doubled fees, every attempt kept; whichever is mined is recognised."""
    settlement = make(simulated_finality_blocks=0)
    settlement.follower.step()
    seal(archive, linked(1))
    the_anchor_once(settlement)
    node(settlement).disable_auto_mine_transactions()
    for _ in range(4):
        settlement.follower.step()
    row = rows(settlement)[0]
    attempts = settlement.ledger.attempts(row)
    assert row.state == "sent" and len(attempts) == 4
    fees = [attempt.max_fee_wei for attempt in attempts]
    assert all(later >= 2 * earlier for earlier, later in itertools.pairwise(fees))
    node(settlement)._pending_transactions.clear()
    node(settlement).auto_mine_transactions = True
    settlement.chain.broadcast(attempts[1].raw)
    settlement.follower.step()
    row = rows(settlement)[0]
    assert row.state == "mined" and row.tx_hash == attempts[1].tx_hash
    exactly_once(settlement)


def test_fee_cap(make: Make, archive: Path, caplog: pytest.LogCaptureFixture) -> None:
    settlement = make(simulated_finality_blocks=0, max_fee_gwei=9)
    seal(archive, linked(1))
    the_anchor_once(settlement)
    node(settlement).disable_auto_mine_transactions()
    for _ in range(8):
        settlement.follower.step()
    attempts = settlement.ledger.attempts(rows(settlement)[0])
    assert max(attempt.max_fee_wei for attempt in attempts) <= 9 * 10**9
    assert "settlement.max_fee_gwei" in caplog.text


def test_fee_below_base_fee(make: Make, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node refuses the first attempt; the next pays what is asked."""
    settlement = make(resubmit_seconds=3600.0)
    seal(archive, linked(1))
    the_anchor_once(settlement)
    honest = Chain.fees
    with monkeypatch.context() as patch:
        patch.setattr(Chain, "fees", lambda self: Fees(100, 1))
        settlement.follower.step()
    assert rows(settlement)[0].state == "sent"
    assert not settlement.chain.knows(settlement.ledger.attempts(rows(settlement)[0])[0].tx_hash)
    monkeypatch.setattr(Chain, "fees", honest)
    settle(settlement)
    assert len(settlement.ledger.attempts(rows(settlement)[0])) == 2


def test_nonce_used_by_somebody_else(make: Make, archive: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The row is given up only after several looks, and what it was for is planned anew."""
    foreign = []

    def interfere(point: str) -> None:
        if point == "persisted" and not foreign:
            key = settlement.keys.committer
            foreign.append(send_and_wait(settlement.chain, key, address_of(key), b""))

    settlement = make(interfere)
    seal(archive, linked(2))
    settle(settlement)
    assert [row.state for row in rows(settlement)] == ["dropped", "final"]
    assert "is not ours" in caplog.text


def test_lost_ledger_adopts_what_is_on_the_chain(make: Make, archive: Path, ledger_url: str) -> None:
    """Another database, same chain: nothing is committed twice, and all of it becomes final again."""
    settlement = make(range_batches=2)
    batches = linked(5)
    seal(archive, batches[:4])
    settle(settlement)
    head = the_anchor(settlement).contract.read("head")
    settlement = make(range_batches=2, url=_another_database(ledger_url))
    assert settlement.ledger.deployment() is None
    settle(settlement)
    assert the_anchor(settlement).contract.read("head") == head
    assert all(row.adopted for kind in ("commit", "prove") for row in rows(settlement, kind))
    seal(archive, batches)
    settle(settlement)
    assert the_anchor(settlement).contract.read("head").range_count == head.range_count + 1


def _another_database(url: str) -> str:
    import psycopg

    name = url.split("?")[0].rsplit("/", 1)[1]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}_again".encode())
    return url.replace(f"/{name}?", f"/{name}_again?")


def test_foreign_range_is_not_adopted(make: Make, archive: Path, ledger_url: str) -> None:
    """Roots that are not our archive's stop everything."""
    settlement = make()
    seal(archive, linked(2))
    for _ in range(3):
        settlement.follower.step()
    for path in archive.iterdir():
        path.unlink()
    forged = linked(2)
    forged[1] = type(forged[1])(**{**_fields(forged[1]), "archive_sha256": digest("other file")})
    seal(archive, forged)
    settlement = make(url=_another_database(ledger_url))
    assert settlement.follower.step() is False
    halted = settlement.ledger.halted()
    assert halted is not None and "our archive gives" in halted
    assert rows(settlement) == []


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def test_adoption_waits_for_the_archive(make: Make, archive: Path, ledger_url: str) -> None:
    settlement = make(range_batches=2)
    seal(archive, linked(4))
    settle(settlement)
    for path in archive.glob("batch-0000000004.*"):
        path.unlink()
    settlement = make(range_batches=2, url=_another_database(ledger_url))
    for _ in range(4):
        settlement.follower.step()
    assert settlement.ledger.halted() is None
    assert [row.range_id for row in rows(settlement)] == [1]
    seal(archive, linked(4))
    settle(settlement)


def test_batches_that_do_not_continue_halt(make: Make, archive: Path) -> None:
    settlement = make()
    batches = linked(3)
    seal(archive, batches[:1])
    settle(settlement)
    wrong = linked(3, first_seq=2)
    seal(archive, wrong[1:])
    settlement.follower.step()
    halted = settlement.ledger.halted()
    assert halted is not None and "batch 2 begins at sequence 7" in halted


def test_links_are_checked() -> None:
    batches = linked(3)
    check_links(batches, batches[0].prev_state_root, 1)
    with pytest.raises(SettlementHalted, match="batch 3"):
        check_links([batches[0], batches[2]], batches[0].prev_state_root, 1)
    with pytest.raises(SettlementHalted, match="batch 1"):
        check_links(batches, digest("other"), 1)


def test_paused_contract_delays_nothing_else(make: Make, archive: Path, caplog: pytest.LogCaptureFixture) -> None:
    settlement = make()
    seal(archive, linked(1))
    settle(settlement)
    contract = the_anchor(settlement).contract
    send_and_wait(settlement.chain, settlement.keys.owner, contract.address, contract.encode("pause"))
    seal(archive, linked(2))
    for _ in range(4):
        settlement.follower.step()
    assert len(rows(settlement)) == 1
    assert caplog.text.count("would be refused: reverted: paused") == 1
    send_and_wait(settlement.chain, settlement.keys.owner, contract.address, contract.encode("unpause"))
    settle(settlement)


def test_owner_takes_ranges_back(make: Make, archive: Path) -> None:
    """The daemon stands still until a person agrees; then the batches are committed again."""
    settlement = make(range_batches=1)
    seal(archive, linked(3))
    for _ in range(8):
        settlement.follower.step()
    anchor = the_anchor(settlement)
    owner, contract = settlement.keys.owner, anchor.contract
    for call in (("pause",), ("revert_tail", 2), ("unpause",)):
        send_and_wait(settlement.chain, owner, contract.address, contract.encode(*call))
    for _ in range(4):
        settlement.follower.step()
    halted = settlement.ledger.halted()
    assert halted is not None and "accept-revert" in halted
    assert anchor.accept_revert() == 2
    settlement.ledger.clear_halts("tester")
    for _ in range(60):
        settlement.follower.step()
        settlement.follower.prove_step()
    assert {state.state for state in settlement.ledger.batch_states()} == {"final"}
    assert [row.state for row in rows(settlement)] == ["final", "failed", "failed", "final", "final"]


def test_attested_first_proven_later(make: Make, archive: Path, tmp_path: Path) -> None:
    """A proof the chain itself can verify raises the assurance of a batch that is final already."""
    settlement = make()
    record = linked(1)[0]
    seal(archive, [record])
    settle(settlement)
    assert settlement.ledger.batch_states()[0].assurance == "attested"
    proof = HashProver(tmp_path, "sp1", "groth16").prove(record, archive / "batch-0000000001.input")
    data = proof.proof_path.read_bytes()
    exact = exact_verifier(settlement.chain, settlement.keys.owner, PROGRAM, record.public_values(), data)
    contract = the_anchor(settlement).contract
    call = contract.encode("set_verifier", PROVEN, checksum(exact.address))
    send_and_wait(settlement.chain, settlement.keys.owner, contract.address, call)
    settlement.ledger.add_proof(proof_row(1, proof))
    for _ in range(8):
        settlement.follower.step()
    assert settlement.ledger.batch_states()[0].assurance == "proven"
    exactly_once(settlement)


@pytest.mark.parametrize("batches", [0, 33, -1])
def test_range_size_is_bounded(batches: int) -> None:
    with pytest.raises(SettlementConfigError, match="range_batches"):
        AnchorSettings(range_batches=batches)
