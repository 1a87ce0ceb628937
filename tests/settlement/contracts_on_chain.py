"""Both contracts on an embedded chain, with a name for every act, for tests of single rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from settlement.attest import Attester, attestation_bytes
from settlement.chain import Chain, Contract, Receipt, address_of, checksum, constructor_data
from settlement.contracts import compile_source, load
from settlement.deploy import ATTESTED, deploy, send_and_wait
from settlement.keys import Keys
from tests.settlement.samples import PROGRAM, linked
from venue.batches import BatchRecord, record_root

KEYS = Keys(*(bytes([number]) * 32 for number in (0x11, 0x22, 0x33, 0x44)))
STRANGER = b"\x55" * 32


class Contracts:
    """Anchor and verifier as `deploy` makes them for `linked(...)`."""

    def __init__(self, folder: Path) -> None:
        keys = (KEYS.owner, KEYS.committer, KEYS.prover, STRANGER)
        self.chain = Chain(folder=folder, funded=tuple(address_of(key) for key in keys))
        self.deployed = deploy(self.chain, KEYS, linked(1)[0], PROGRAM)
        self.chain_id = self.deployed.chain_id
        self.anchor = self._contract("Anchor", self.deployed.anchor)
        self.verifier = self._contract("AttestedVerifier", self.deployed.attested_verifier)

    def _contract(self, name: str, address: str) -> Contract:
        return self.chain.contract(bytes.fromhex(address), load(name).abi)

    def send(self, key: bytes, contract: Contract, function: str, *arguments: Any) -> Receipt:
        """A transaction that must succeed; ChainRefused carries the contract's reason otherwise."""
        return send_and_wait(self.chain, key, contract.address, contract.encode(function, *arguments))

    def commit(self, records: list[BatchRecord], key: bytes = KEYS.committer, **changed: Any) -> Receipt:
        """Commit a range; `changed` replaces single arguments."""
        facts: dict[str, Any] = {
            "first_batch_id": records[0].batch_id,
            "batch_count": len(records),
            "first_seq": records[0].first_seq,
            "last_seq": records[-1].last_seq,
            "prev_state_root": records[0].prev_state_root,
            "state_root": records[-1].state_root,
            "records_root": record_root(records),
        }
        return self.send(key, self.anchor, "commit", *{**facts, **changed}.values())

    def attester(self, key: bytes = KEYS.verifier, contract: bytes | None = None, chain_id: int = 0) -> Attester:
        """A verifier whose check always passes: the contract does not depend on what was checked."""
        return Attester(key, chain_id or self.chain_id, contract or self.verifier.address, lambda *_: True)

    def attestation(self, record: BatchRecord, *attesters: Attester, program: bytes = PROGRAM) -> bytes:
        """`proofBytes` signed by the given verifiers, by the registered one when none is given."""
        signatures = {}
        for attester in attesters or (self.attester(),):
            claim, signatures[attester.address] = attester.attest(b"proof", program, record.public_values(), "replay")
        return attestation_bytes(claim, signatures)

    def prove(
        self,
        range_id: int,
        records: list[BatchRecord],
        proofs: list[bytes] | None = None,
        *,
        assurance: int = ATTESTED,
        key: bytes = KEYS.prover,
    ) -> Receipt:
        """Prove a range with one proof a batch."""
        if proofs is None:
            proofs = [self.attestation(record) for record in records]
        data = [record.to_bytes() for record in records]
        return self.send(key, self.anchor, "prove", range_id, assurance, data, proofs)

    def exact_verifier(self, program: bytes, public_values: bytes, proof: bytes) -> Contract:
        """A verifier with SP1's interface that accepts exactly one triple."""
        return exact_verifier(self.chain, KEYS.owner, program, public_values, proof)

    def assurance(self, batch_id: int) -> int:
        return int(self.anchor.read("assurance_of", batch_id))

    def final_count(self) -> int:
        return int(self.anchor.read("head").final_count)

    @staticmethod
    def address(key: bytes) -> Any:
        return checksum(address_of(key))


def exact_verifier(chain: Chain, key: bytes, program: bytes, public_values: bytes, proof: bytes) -> Contract:
    """Deploy the verifier of `ExactVerifier.vy`."""
    built = compile_source(Path(__file__).parent / "ExactVerifier.vy")
    data = constructor_data(built["abi"], bytes.fromhex(built["bytecode"][2:]), program, public_values, proof)
    receipt = send_and_wait(chain, key, None, data)
    assert receipt.contract is not None
    return chain.contract(receipt.contract, built["abi"])
