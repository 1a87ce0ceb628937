"""Attestations: signed only after verification, worth something only for what was signed, where it was signed for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.attest import Attester, attestation_bytes
from settlement.chain import address_of
from settlement.errors import ChainRefused, ProofRefused
from tests.settlement.contracts_on_chain import KEYS, STRANGER, Contracts
from tests.settlement.samples import PROGRAM, digest, linked
from venue.batches import PUBLIC_VALUES_BYTES

SECOND, THIRD = b"\x66" * 32, b"\x77" * 32
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
RECORD = linked(1)[0]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contracts]:
    made = Contracts(tmp_path_factory.mktemp("chain"))
    yield made
    made.chain.close()


@pytest.fixture
def on_chain(deployed: Contracts) -> Iterator[Contracts]:
    assert deployed.chain.embedded is not None
    tester = deployed.chain.embedded.tester
    snapshot = tester.take_snapshot()
    yield deployed
    tester.revert_to_snapshot(snapshot)


def verify(on_chain: Contracts, proof: bytes, program: bytes = PROGRAM, values: bytes | None = None) -> None:
    on_chain.verifier.read("verifyProof", program, RECORD.public_values() if values is None else values, proof)


def test_the_digest_is_the_standards(on_chain: Contracts) -> None:
    """The contract's own digest and an EIP-712 library agree, so any wallet can sign."""
    proof = on_chain.attestation(RECORD)
    verify(on_chain, proof)
    assert proof[:32] == hashlib.sha256(b"proof").digest()
    assert proof[32:64] == keccak(b"replay")
    assert len(proof) == 64 + 65


def test_nothing_is_signed_without_verification(on_chain: Contracts) -> None:
    asked = []

    def refuse(*asked_for: object) -> bool:
        asked.append(asked_for)
        return False

    attester = Attester(KEYS.verifier, on_chain.chain_id, on_chain.verifier.address, refuse)
    with pytest.raises(ProofRefused, match="sp1-core: the proof does not hold"):
        attester.attest(b"proof", PROGRAM, RECORD.public_values(), "sp1-core")
    assert asked == [(b"proof", PROGRAM, RECORD.public_values(), "sp1-core")]


@pytest.mark.parametrize("answer", [None, 1, "yes", object()])
def test_only_true_is_yes(on_chain: Contracts, answer: object) -> None:
    attester = Attester(KEYS.verifier, 1, on_chain.verifier.address, lambda *_: answer)  # type: ignore[arg-type, return-value]
    with pytest.raises(ProofRefused):
        attester.attest(b"proof", PROGRAM, RECORD.public_values(), "sp1-core")


def test_a_crash_of_the_verifier_signs_nothing(on_chain: Contracts) -> None:
    def crash(*asked_for: object) -> bool:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        Attester(KEYS.verifier, 1, on_chain.verifier.address, crash).attest(b"", PROGRAM, RECORD.public_values(), "x")


def test_malformed_claims_are_refused_before_verification() -> None:
    attester = Attester(KEYS.verifier, 1, bytes(20), lambda *_: True)
    for program, values in ((PROGRAM[:-1], RECORD.public_values()), (PROGRAM, bytes(PUBLIC_VALUES_BYTES + 1))):
        with pytest.raises(ProofRefused, match="must have 32 bytes"):
            attester.attest(b"proof", program, values, "x")


def test_attestation_is_for_one_batch_and_one_program(on_chain: Contracts) -> None:
    """Replayed for another batch, or under another program, it is worth nothing."""
    proof = on_chain.attestation(RECORD)
    other = linked(2)[1]
    with pytest.raises(ChainRefused, match="not a registered verifier"):
        verify(on_chain, proof, values=other.public_values())
    with pytest.raises(ChainRefused, match="not a registered verifier"):
        verify(on_chain, proof, program=digest("other"))
    batches = linked(2)
    on_chain.commit(batches)
    with pytest.raises(ChainRefused, match="not a registered verifier"):
        on_chain.prove(1, batches, [b"", on_chain.attestation(batches[0])])


def test_attestation_is_for_one_chain_and_one_contract(on_chain: Contracts) -> None:
    for attester in (on_chain.attester(contract=b"\x01" * 20), on_chain.attester(chain_id=1)):
        with pytest.raises(ChainRefused, match="not a registered verifier"):
            verify(on_chain, on_chain.attestation(RECORD, attester))


def test_wrong_signer(on_chain: Contracts) -> None:
    with pytest.raises(ChainRefused, match="not a registered verifier"):
        verify(on_chain, on_chain.attestation(RECORD, on_chain.attester(STRANGER)))


def three_verifiers(on_chain: Contracts, threshold: int) -> list[Attester]:
    for key in (SECOND, THIRD):
        on_chain.send(KEYS.owner, on_chain.verifier, "add_verifier", on_chain.address(key))
    on_chain.send(KEYS.owner, on_chain.verifier, "set_threshold", threshold)
    attesters = [on_chain.attester(key) for key in (KEYS.verifier, SECOND, THIRD)]
    return sorted(attesters, key=lambda attester: attester.address)


def test_threshold(on_chain: Contracts) -> None:
    first, second, third = three_verifiers(on_chain, 2)
    with pytest.raises(ChainRefused, match="too few signatures"):
        verify(on_chain, on_chain.attestation(RECORD, first))
    verify(on_chain, on_chain.attestation(RECORD, second, first))
    verify(on_chain, on_chain.attestation(RECORD, first, second, third))
    with pytest.raises(ChainRefused, match="not a registered verifier"):
        verify(on_chain, on_chain.attestation(RECORD, first, on_chain.attester(STRANGER)))


def test_no_verifier_counts_twice(on_chain: Contracts) -> None:
    first, second, _ = three_verifiers(on_chain, 2)
    head = on_chain.attestation(RECORD, first)
    one, two = head[64:], on_chain.attestation(RECORD, second)[64:]
    with pytest.raises(ChainRefused, match="signers must ascend"):
        verify(on_chain, head[:64] + one + one)
    with pytest.raises(ChainRefused, match="signers must ascend"):
        verify(on_chain, head[:64] + two + one)
    verify(on_chain, head[:64] + one + two)


def test_malleable_signature(on_chain: Contracts) -> None:
    """The mirror image of a signature recovers to the same signer and is refused all the same."""
    proof = on_chain.attestation(RECORD)
    r, s, v = proof[64:96], int.from_bytes(proof[96:128], "big"), proof[128]
    mirror = proof[:64] + r + (ORDER - s).to_bytes(32, "big") + bytes([55 - v])
    with pytest.raises(ChainRefused, match="malleable signature"):
        verify(on_chain, mirror)


@pytest.mark.parametrize("v", [0, 1, 26, 29, 255])
def test_recovery_number(on_chain: Contracts, v: int) -> None:
    with pytest.raises(ChainRefused, match="malformed signature"):
        verify(on_chain, on_chain.attestation(RECORD)[:-1] + bytes([v]))


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 130, 896])
def test_malformed_lengths(on_chain: Contracts, size: int) -> None:
    with pytest.raises(ChainRefused, match="malformed attestation"):
        verify(on_chain, bytes(size))


def test_too_many_signatures(on_chain: Contracts) -> None:
    with pytest.raises(ChainRefused, match="reverted"):
        verify(on_chain, bytes(64 + 13 * 65))


@settings(max_examples=40)
@given(st.integers(0, 8 * (64 + 64) - 1))
def test_any_changed_bit_breaks_it(deployed: Contracts, bit: int) -> None:
    proof = bytearray(deployed.attestation(RECORD))
    proof[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ChainRefused):
        verify(deployed, bytes(proof))


@settings(max_examples=30)
@given(st.integers(0, 8 * PUBLIC_VALUES_BYTES - 1))
def test_any_changed_public_bit_breaks_it(deployed: Contracts, bit: int) -> None:
    values = bytearray(RECORD.public_values())
    values[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ChainRefused, match="not a registered verifier"):
        verify(deployed, deployed.attestation(RECORD), values=bytes(values))


def test_registry(on_chain: Contracts) -> None:
    """Only the owner registers, and the threshold can always be met."""
    second = on_chain.address(SECOND)
    for function, arguments in (
        ("add_verifier", [second]),
        ("remove_verifier", [on_chain.address(KEYS.verifier)]),
        ("set_threshold", [1]),
    ):
        with pytest.raises(ChainRefused, match="not the owner"):
            on_chain.send(STRANGER, on_chain.verifier, function, *arguments)
    cases = [
        ("add_verifier", [on_chain.address(KEYS.verifier)], "already a verifier"),
        ("add_verifier", ["0x" + "00" * 20], "zero address"),
        ("remove_verifier", [second], "not a verifier"),
        ("remove_verifier", [on_chain.address(KEYS.verifier)], "threshold could not be met"),
        ("set_threshold", [0], "threshold out of range"),
        ("set_threshold", [2], "threshold out of range"),
    ]
    for function, arguments, reason in cases:
        with pytest.raises(ChainRefused, match=reason):
            on_chain.send(KEYS.owner, on_chain.verifier, function, *arguments)
    on_chain.send(KEYS.owner, on_chain.verifier, "add_verifier", second)
    proof = on_chain.attestation(RECORD)
    on_chain.send(KEYS.owner, on_chain.verifier, "remove_verifier", on_chain.address(KEYS.verifier))
    with pytest.raises(ChainRefused, match="not a registered verifier"):
        verify(on_chain, proof)


def test_as_many_verifiers_as_signatures_fit(on_chain: Contracts) -> None:
    """Else a threshold could be set that no attestation can meet."""
    for number in range(1, 12):
        on_chain.send(KEYS.owner, on_chain.verifier, "add_verifier", on_chain.address(bytes([number]) * 32))
    with pytest.raises(ChainRefused, match="too many verifiers"):
        on_chain.send(KEYS.owner, on_chain.verifier, "add_verifier", on_chain.address(SECOND))
    assert on_chain.verifier.read("verifier_count") == 12


def test_order_of_signatures() -> None:
    claim, signature = Attester(KEYS.verifier, 1, bytes(20), lambda *_: True).attest(
        b"proof", PROGRAM, RECORD.public_values(), "sp1-core"
    )
    signers = sorted(address_of(key) for key in (KEYS.verifier, SECOND, THIRD))
    marked = {signer: signature[:64] + bytes([number]) for number, signer in enumerate(signers)}
    data = attestation_bytes(claim, dict(reversed(marked.items())))
    assert [data[64 + 65 * n + 64] for n in range(3)] == [0, 1, 2]
