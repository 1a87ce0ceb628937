"""A verifier's signature over a proof that it has just verified.

`Attester.attest` calls the verifier it was given and signs only when that says yes; there is no other way to its key.
What is signed (EIP-712) is the program, the public values, the SHA-256 of the proof and the name of the backend, bound
to one chain and one contract. `replay` as a backend says that the batch was re-executed: a check, not a proof.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_utils.crypto import keccak

from settlement.chain import address_of, checksum
from settlement.errors import ProofRefused
from venue.batches import PUBLIC_VALUES_BYTES

Verify = Callable[[bytes, bytes, bytes, str], bool]
"""verify(proof, program_id, public_values, backend): whether the proof holds."""

DOMAIN_NAME = "fix-venue attested verifier"
DOMAIN_VERSION = "1"
ATTESTATION = [
    {"name": "programVKey", "type": "bytes32"},
    {"name": "publicValues", "type": "bytes"},
    {"name": "proofSha256", "type": "bytes32"},
    {"name": "backend", "type": "string"},
]


@dataclass(frozen=True)
class Claim:
    """What an attestation speaks of."""

    program_id: bytes
    public_values: bytes
    proof_sha256: bytes
    backend: str


class Attester:
    """The holder of one registered verifier's key."""

    def __init__(self, key: bytes, chain_id: int, contract: bytes, verify: Verify) -> None:
        self.address = address_of(key)
        self._key = key
        self._domain = {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": chain_id,
            "verifyingContract": checksum(contract),
        }
        self._verify = verify

    def attest(self, proof: bytes, program_id: bytes, public_values: bytes, backend: str) -> tuple[Claim, bytes]:
        """Verify, then sign: the claim and a 65-byte signature. ProofRefused when the proof does not hold."""
        if len(program_id) != 32 or len(public_values) != PUBLIC_VALUES_BYTES:
            raise ProofRefused(
                f"program id must have 32 bytes and public values {PUBLIC_VALUES_BYTES}, "
                f"got {len(program_id)} and {len(public_values)}"
            )
        if self._verify(proof, program_id, public_values, backend) is not True:
            raise ProofRefused(f"{backend}: the proof does not hold for these public values; nothing was signed")
        claim = Claim(program_id, public_values, hashlib.sha256(proof).digest(), backend)
        signed = Account.sign_typed_data(self._key, self._domain, {"Attestation": ATTESTATION}, _message(claim))
        return claim, bytes(signed.signature)


def attestation_bytes(claim: Claim, signatures: Mapping[bytes, bytes]) -> bytes:
    """`proofBytes` for the contract: proof hash, backend hash, signatures in ascending order of their signers."""
    ordered = b"".join(signatures[signer] for signer in sorted(signatures))
    return claim.proof_sha256 + keccak(text=claim.backend) + ordered


def _message(claim: Claim) -> dict[str, Any]:
    return {
        "programVKey": claim.program_id,
        "publicValues": claim.public_values,
        "proofSha256": claim.proof_sha256,
        "backend": claim.backend,
    }
