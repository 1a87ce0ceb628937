"""Anchor.vy rule by rule: what it accepts, and that everything else is refused with its reason and changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from settlement.chain import checksum
from settlement.deploy import ATTESTED, PROVEN
from settlement.errors import ChainRefused
from tests.settlement.contracts_on_chain import KEYS, STRANGER, Contracts
from tests.settlement.samples import PROGRAM, digest, linked
from venue.batches import BatchRecord, record_path


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contracts]:
    made = Contracts(tmp_path_factory.mktemp("chain"))
    yield made
    made.chain.close()


@pytest.fixture
def on_chain(deployed: Contracts) -> Iterator[Contracts]:
    """The same two contracts for each test, untouched."""
    assert deployed.chain.embedded is not None
    tester = deployed.chain.embedded.tester
    snapshot = tester.take_snapshot()
    yield deployed
    tester.revert_to_snapshot(snapshot)


def test_commit_continues_the_last_range(on_chain: Contracts) -> None:
    batches = linked(12)
    on_chain.commit(batches[:8])
    on_chain.commit(batches[8:])
    head = on_chain.anchor.read("head")
    assert (head.range_count, head.final_count, head.next_batch_id, head.next_seq) == (2, 0, 13, 61)
    assert bytes(head.state_root) == batches[-1].state_root
    found = on_chain.anchor.read("get_range", 2)
    assert bytes(found.prev_state_root) == batches[7].state_root == batches[8].prev_state_root
    assert (found.first_batch_id, found.batch_count, found.first_seq, found.last_seq) == (9, 4, 41, 60)
    event = on_chain.anchor.events("Committed", 0, range_id=2)[-1]["args"]
    assert (event["first_batch_id"], event["batch_count"]) == (9, 4)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"first_batch_id": 2}, "not the next batch"),
        ({"first_batch_id": 0}, "not the next batch"),
        ({"first_seq": 2}, "not the next sequence number"),
        ({"prev_state_root": digest("other")}, "not the state of the last range"),
        ({"batch_count": 0}, "batch count out of range"),
        ({"batch_count": 33}, "batch count out of range"),
        ({"last_seq": 1}, "sequence out of range"),
        ({"last_seq": 2**64}, "sequence out of range"),
    ],
)
def test_commit_refuses(on_chain: Contracts, changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ChainRefused, match=reason):
        on_chain.commit(linked(2), **changed)
    assert on_chain.anchor.read("head").range_count == 0


def test_commit_once(on_chain: Contracts) -> None:
    batches = linked(2)
    on_chain.commit(batches)
    with pytest.raises(ChainRefused, match="not the next batch"):
        on_chain.commit(batches)


def test_roles(on_chain: Contracts) -> None:
    batches = linked(1)
    for key in (KEYS.owner, KEYS.prover, STRANGER):
        with pytest.raises(ChainRefused, match="not the committer"):
            on_chain.commit(batches, key)
    on_chain.commit(batches)
    for key in (KEYS.owner, KEYS.committer, STRANGER):
        with pytest.raises(ChainRefused, match="not the prover"):
            on_chain.prove(1, batches, key=key)
    acts: list[tuple[str, list[Any]]] = [
        ("set_program", [digest("other")]),
        ("set_verifier", [ATTESTED, checksum(on_chain.verifier.address)]),
        ("set_roles", [on_chain.address(STRANGER)] * 3),
        ("propose_owner", [on_chain.address(STRANGER)]),
        ("revert_tail", [1]),
        ("unpause", []),
    ]
    for key in (KEYS.committer, KEYS.prover, STRANGER):
        for function, arguments in acts:
            with pytest.raises(ChainRefused, match="not the owner"):
                on_chain.send(key, on_chain.anchor, function, *arguments)


def test_roles_can_be_moved(on_chain: Contracts) -> None:
    stranger = on_chain.address(STRANGER)
    on_chain.send(KEYS.owner, on_chain.anchor, "set_roles", stranger, stranger, stranger)
    with pytest.raises(ChainRefused, match="not the committer"):
        on_chain.commit(linked(1))
    on_chain.commit(linked(1), STRANGER)
    on_chain.prove(1, linked(1), key=STRANGER)
    assert on_chain.assurance(1) == ATTESTED


def test_ownership_takes_two_steps(on_chain: Contracts) -> None:
    with pytest.raises(ChainRefused, match="not the proposed owner"):
        on_chain.send(STRANGER, on_chain.anchor, "accept_ownership")
    on_chain.send(KEYS.owner, on_chain.anchor, "propose_owner", on_chain.address(STRANGER))
    assert on_chain.anchor.read("owner") == on_chain.address(KEYS.owner)
    on_chain.send(STRANGER, on_chain.anchor, "accept_ownership")
    assert on_chain.anchor.read("owner") == on_chain.address(STRANGER)
    with pytest.raises(ChainRefused, match="not the owner"):
        on_chain.send(KEYS.owner, on_chain.anchor, "set_program", digest("other"))
    with pytest.raises(ChainRefused, match="not the proposed owner"):
        on_chain.send(STRANGER, on_chain.anchor, "accept_ownership")


def test_pausing(on_chain: Contracts) -> None:
    batches = linked(2)
    on_chain.commit(batches[:1])
    with pytest.raises(ChainRefused, match="not the pauser"):
        on_chain.send(STRANGER, on_chain.anchor, "pause")
    on_chain.send(KEYS.owner, on_chain.anchor, "pause")
    with pytest.raises(ChainRefused, match="paused"):
        on_chain.commit(batches[1:])
    with pytest.raises(ChainRefused, match="paused"):
        on_chain.prove(1, batches[:1])
    with pytest.raises(ChainRefused, match="paused"):
        on_chain.send(KEYS.prover, on_chain.anchor, "prove_batch", 1, 0, ATTESTED, batches[0].to_bytes(), [], b"x")
    on_chain.send(KEYS.owner, on_chain.anchor, "unpause")
    on_chain.commit(batches[1:])


def test_attested_range_is_final(on_chain: Contracts) -> None:
    batches = linked(3)
    on_chain.commit(batches)
    on_chain.prove(1, batches)
    found = on_chain.anchor.read("get_range", 1)
    assert (found.assured_count, found.proven_count, found.final) == (3, 0, True)
    assert bytes(found.program_vkey) == PROGRAM
    assert [on_chain.assurance(batch.batch_id) for batch in batches] == [ATTESTED] * 3
    assert on_chain.anchor.events("Finalised", 0)[-1]["args"]["last_batch_id"] == 3
    assert bytes(on_chain.anchor.read("final_deposit_acc")) == batches[-1].deposit_acc


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 8])
def test_batch_by_batch(on_chain: Contracts, count: int) -> None:
    """A range is opened with the first proof; each further batch needs its record and a path only."""
    batches = linked(count)
    on_chain.commit(batches)
    on_chain.prove(1, batches, [on_chain.attestation(batches[0])] + [b""] * (count - 1))
    assert on_chain.final_count() == (1 if count == 1 else 0)
    for index in reversed(range(1, count)):
        record, path = batches[index], record_path(batches, index)
        proof = on_chain.attestation(record)
        arguments = (1, index, ATTESTED, record.to_bytes(), path, proof)
        if count > 2:
            wrong = (1, (index + 1) % count, *arguments[2:])
            with pytest.raises(ChainRefused, match=r"not a committed record|path too"):
                on_chain.send(KEYS.prover, on_chain.anchor, "prove_batch", *wrong)
        on_chain.send(KEYS.prover, on_chain.anchor, "prove_batch", *arguments)
    assert on_chain.final_count() == 1


def test_prove_batch_refuses(on_chain: Contracts) -> None:
    batches = linked(2)
    on_chain.commit(batches)

    def prove(*arguments: Any) -> None:
        on_chain.send(KEYS.prover, on_chain.anchor, "prove_batch", *arguments)

    record, path, proof = batches[1].to_bytes(), record_path(batches, 1), on_chain.attestation(batches[1])
    with pytest.raises(ChainRefused, match="range is not open"):
        prove(1, 1, ATTESTED, record, path, proof)
    on_chain.prove(1, batches, [b"", b""])
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((0, 1, ATTESTED, record, path, proof), "no such range"),
        ((2, 1, ATTESTED, record, path, proof), "no such range"),
        ((1, 2, ATTESTED, record, path, proof), "no such batch"),
        ((1, 1, ATTESTED, record, [], proof), "path too short"),
        ((1, 1, ATTESTED, record, [*path, path[0]], proof), "path too long"),
        ((1, 1, ATTESTED, record[:-1], path, proof), "malformed record"),
        ((1, 1, ATTESTED, record[:-1] + b"\x00", path, proof), "not a committed record"),
        ((1, 1, 0, record, path, proof), "assurance can only rise"),
        ((1, 1, PROVEN, record, path, proof), "no verifier for this assurance"),
        ((1, 1, 3, record, path, proof), "no verifier for this assurance"),
    ]
    for arguments, reason in cases:
        with pytest.raises(ChainRefused, match=reason):
            prove(*arguments)
    assert on_chain.assurance(2) == 0


def tampered(record: BatchRecord, name: str) -> BatchRecord:
    value = getattr(record, name)
    if isinstance(value, bytes):
        return dataclasses.replace(record, **{name: value[:-1] + bytes([value[-1] ^ 1])})
    if name in ("last_seq", "command_count"):
        return dataclasses.replace(record, last_seq=record.last_seq + 1, command_count=record.command_count + 1)
    if name == "first_seq":
        return dataclasses.replace(record, first_seq=record.first_seq + 1, command_count=record.command_count - 1)
    return dataclasses.replace(record, **{name: value + 1})


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(BatchRecord)])
def test_tampered_record_is_not_the_committed_one(on_chain: Contracts, name: str) -> None:
    batches = linked(3)
    on_chain.commit(batches)
    forged = [batches[0], tampered(batches[1], name), batches[2]]
    with pytest.raises(ChainRefused, match="not the committed records"):
        on_chain.prove(1, forged)
    with pytest.raises(ChainRefused, match="not all records"):
        on_chain.prove(1, batches[:2])
    assert on_chain.final_count() == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("batch_id", "batches are not linked"),
        ("first_seq", "sequences are not linked"),
        ("last_seq", "sequences are not linked"),
        ("prev_state_root", "states are not linked"),
        ("state_root", "states are not linked"),
        ("prev_deposit_acc", "deposits are not linked"),
        ("deposit_acc", "deposits are not linked"),
    ],
)
def test_committed_but_unlinked_records_are_never_opened(on_chain: Contracts, name: str, reason: str) -> None:
    """The committer is not believed: what it put under the root must hang together."""
    batches = linked(3)
    batches[1] = tampered(batches[1], name)
    on_chain.commit(batches)
    with pytest.raises(ChainRefused, match=reason):
        on_chain.prove(1, batches)


def test_first_and_last_record_must_meet_the_range(on_chain: Contracts) -> None:
    batches = linked(2)
    on_chain.commit(batches, state_root=digest("elsewhere"))
    with pytest.raises(ChainRefused, match="last state is not the committed one"):
        on_chain.prove(1, batches)


def test_last_sequence_must_meet_the_range(on_chain: Contracts) -> None:
    batches = linked(2)
    on_chain.commit(batches, last_seq=batches[-1].last_seq + 7)
    with pytest.raises(ChainRefused, match="last sequence is not the committed one"):
        on_chain.prove(1, batches)


def test_unknown_format(on_chain: Contracts, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = linked(1)
    monkeypatch.setattr("venue.batches.FORMAT", 2)
    on_chain.commit(batches)
    with pytest.raises(ChainRefused, match="unknown format"):
        on_chain.prove(1, batches)


def test_ranges_are_opened_in_order(on_chain: Contracts) -> None:
    batches = linked(4)
    on_chain.commit(batches[:2])
    on_chain.commit(batches[2:])
    with pytest.raises(ChainRefused, match="ranges are opened in order"):
        on_chain.prove(2, batches[2:])
    on_chain.prove(1, batches[:2], [on_chain.attestation(batches[0]), b""])
    with pytest.raises(ChainRefused, match="ranges are opened in order"):
        on_chain.prove(2, batches[2:])
    on_chain.prove(1, batches[:2], [b"", on_chain.attestation(batches[1])])
    on_chain.prove(2, batches[2:])
    assert on_chain.final_count() == 2


def test_proven_through_the_proof_systems_interface(on_chain: Contracts) -> None:
    """The contract hands over exactly program, the 264 public bytes and the proof."""
    batches = linked(2)
    verifier = on_chain.exact_verifier(PROGRAM, batches[0].public_values(), b"groth16")
    on_chain.send(KEYS.owner, on_chain.anchor, "set_verifier", PROVEN, checksum(verifier.address))
    on_chain.commit(batches)
    for proofs in ([b"groth1", b""], [b"", b"groth16"]):
        with pytest.raises(ChainRefused, match="not the expected proof"):
            on_chain.prove(1, batches, proofs, assurance=PROVEN)
    on_chain.prove(1, batches, [b"groth16", b""], assurance=PROVEN)
    assert [on_chain.assurance(batch) for batch in (1, 2)] == [PROVEN, 0]
    assert on_chain.final_count() == 0
    on_chain.prove(1, batches, [b"", on_chain.attestation(batches[1])])
    found = on_chain.anchor.read("get_range", 1)
    assert (found.assured_count, found.proven_count, found.final) == (2, 1, True)


def test_assurance_only_rises(on_chain: Contracts) -> None:
    batches = linked(1)
    on_chain.commit(batches)
    on_chain.prove(1, batches)
    with pytest.raises(ChainRefused, match="assurance can only rise"):
        on_chain.prove(1, batches)
    verifier = on_chain.exact_verifier(PROGRAM, batches[0].public_values(), b"groth16")
    on_chain.send(KEYS.owner, on_chain.anchor, "set_verifier", PROVEN, checksum(verifier.address))
    on_chain.prove(1, batches, [b"groth16"], assurance=PROVEN)
    assert on_chain.assurance(1) == PROVEN
    with pytest.raises(ChainRefused, match="assurance can only rise"):
        on_chain.prove(1, batches)
    assert on_chain.anchor.read("get_range", 1).proven_count == 1


def test_an_attestation_never_counts_as_proof(on_chain: Contracts) -> None:
    attested, owner = checksum(on_chain.verifier.address), on_chain.address(KEYS.owner)
    exact = on_chain.exact_verifier(PROGRAM, b"", b"")
    cases = [
        (PROVEN, attested, "verifier of another assurance"),
        (ATTESTED, checksum(exact.address), "verifier of another assurance"),
        (PROVEN, owner, "verifier is not a contract"),
        (0, checksum(exact.address), "no such assurance"),
        (3, checksum(exact.address), "no such assurance"),
    ]
    for assurance, verifier, reason in cases:
        with pytest.raises(ChainRefused, match=reason):
            on_chain.send(KEYS.owner, on_chain.anchor, "set_verifier", assurance, verifier)


def test_a_range_remembers_its_program(on_chain: Contracts) -> None:
    batches = linked(3)
    on_chain.commit(batches[:2])
    on_chain.prove(1, batches[:2], [on_chain.attestation(batches[0]), b""])
    newer = digest("newer program")
    on_chain.send(KEYS.owner, on_chain.anchor, "set_program", newer)
    with pytest.raises(ChainRefused, match="not a registered verifier"):
        on_chain.prove(1, batches[:2], [b"", on_chain.attestation(batches[1], program=newer)])
    on_chain.prove(1, batches[:2], [b"", on_chain.attestation(batches[1])])
    on_chain.commit(batches[2:])
    on_chain.prove(2, batches[2:], [on_chain.attestation(batches[2], program=newer)])
    programs = [bytes(on_chain.anchor.read("get_range", number).program_vkey) for number in (1, 2)]
    assert programs == [PROGRAM, newer]


def test_owner_takes_back_a_wrong_tail(on_chain: Contracts) -> None:
    """Only while paused, never a final range; the right batches can be committed afterwards."""
    batches = linked(6)
    on_chain.commit(batches[:2])
    on_chain.prove(1, batches[:2])
    on_chain.commit(batches[2:4])
    on_chain.prove(2, batches[2:4], [on_chain.attestation(batches[2]), b""])
    on_chain.commit(batches[4:], records_root=digest("wrong"))
    with pytest.raises(ChainRefused, match="not paused"):
        on_chain.send(KEYS.owner, on_chain.anchor, "revert_tail", 2)
    on_chain.send(KEYS.owner, on_chain.anchor, "pause")
    for first in (1, 4, 0):
        with pytest.raises(ChainRefused, match="no such tail"):
            on_chain.send(KEYS.owner, on_chain.anchor, "revert_tail", first)
    on_chain.send(KEYS.owner, on_chain.anchor, "revert_tail", 2)
    head = on_chain.anchor.read("head")
    assert (head.range_count, head.final_count, head.next_batch_id, head.next_seq) == (1, 1, 3, 11)
    assert [on_chain.assurance(batch) for batch in (1, 2, 3, 4)] == [ATTESTED, ATTESTED, 0, 0]
    assert on_chain.anchor.events("TailReverted", 0)[-1]["args"]["last_range_id"] == 3
    with pytest.raises(ChainRefused, match="no such range"):
        on_chain.anchor.read("get_range", 2)
    on_chain.send(KEYS.owner, on_chain.anchor, "unpause")
    on_chain.commit(batches[2:])
    on_chain.prove(2, batches[2:])
    assert on_chain.final_count() == 2


def test_a_full_range(on_chain: Contracts) -> None:
    """32 batches fit a transaction's gas limit (EIP-7825), proofs included."""
    batches = linked(32)
    committed = on_chain.commit(batches)
    proved = on_chain.prove(1, batches)
    assert committed.gas_used < 200_000
    assert proved.gas_used < 1 << 24
    assert on_chain.final_count() == 1
