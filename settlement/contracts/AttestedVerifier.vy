# pragma version 0.4.3
"""
@title  Attested verifier: registered verifiers vouch for a proof that was checked off chain
@notice What an attestation means: the holder of a registered key says that it ran the verifier of the named backend
        on a proof with the given SHA-256, for exactly this program and exactly these public values, and that the
        proof was valid. It is a signed statement of a named party, not a proof: this contract never sees the proof.
        The anchor therefore records what comes through here as ATTESTED and never as PROVEN.
        The backend is part of what is signed. `replay` means: re-executed from the archive, no succinct proof exists.
        Signatures are EIP-712, bound to this chain and this contract, so that they are worth nothing elsewhere, and
        to the public values, so that they are worth nothing for another batch.
@dev    Same interface as SP1's on-chain verifier: returns nothing, reverts when the attestation does not hold.
        proofBytes = proof_sha256 (32) | keccak256(backend) (32) | signatures (65 each: r, s, v), ascending by signer.
"""

import two_step_owner

initializes: two_step_owner
exports: (
    two_step_owner.owner,
    two_step_owner.proposed_owner,
    two_step_owner.propose_owner,
    two_step_owner.accept_ownership,
)

event VerifierAdded:
    verifier: indexed(address)

event VerifierRemoved:
    verifier: indexed(address)

event ThresholdChanged:
    threshold: uint256

# Tells an anchor which assurance this contract can give; see Anchor.ATTESTED.
ASSURANCE: public(constant(uint8)) = 1

MAX_SIGNATURES: constant(uint256) = 12
MAX_PROOF: constant(uint256) = 896
MAX_PUBLIC_VALUES: constant(uint256) = 1024
HEAD: constant(uint256) = 64
SIGNATURE: constant(uint256) = 65
# Half of the order of secp256k1: a signature with a larger s is the mirror image of another one.
S_MAX: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
ATTESTATION_TYPE: constant(bytes32) = keccak256(
    "Attestation(bytes32 programVKey,bytes publicValues,bytes32 proofSha256,string backend)"
)
NAME_HASH: constant(bytes32) = keccak256("fix-venue attested verifier")
VERSION_HASH: constant(bytes32) = keccak256("1")

is_verifier: public(HashMap[address, bool])
verifier_count: public(uint256)
threshold: public(uint256)


@deploy
def __init__(verifiers: DynArray[address, MAX_SIGNATURES], threshold: uint256):
    two_step_owner.__init__()
    for verifier: address in verifiers:
        self._add(verifier)
    self._set_threshold(threshold)


@external
def add_verifier(verifier: address):
    """
    @notice Register a key whose attestations count.
    """
    two_step_owner._only_owner()
    self._add(verifier)


@external
def remove_verifier(verifier: address):
    """
    @notice Strike a key off. Refused while the threshold could no longer be met: lower it first.
    """
    two_step_owner._only_owner()
    assert self.is_verifier[verifier], "not a verifier"
    assert self.verifier_count > self.threshold, "threshold could not be met"
    self.is_verifier[verifier] = False
    self.verifier_count -= 1
    log VerifierRemoved(verifier=verifier)


@external
def set_threshold(threshold: uint256):
    """
    @notice How many registered verifiers must have signed.
    """
    two_step_owner._only_owner()
    self._set_threshold(threshold)


@external
@view
def digest(program_vkey: bytes32, public_values: Bytes[MAX_PUBLIC_VALUES], proof_sha256: bytes32, backend_hash: bytes32) -> bytes32:
    """
    @notice What a verifier signs; the same as any EIP-712 library makes from the type above.
    """
    return self._digest(program_vkey, keccak256(public_values), proof_sha256, backend_hash)


@external
@view
def verifyProof(programVKey: bytes32, publicValues: Bytes[MAX_PUBLIC_VALUES], proofBytes: Bytes[MAX_PROOF]):
    """
    @notice Revert unless enough registered verifiers attested to this program and these public values.
    """
    size: uint256 = len(proofBytes)
    assert size > HEAD and (size - HEAD) % SIGNATURE == 0, "malformed attestation"
    # At most MAX_SIGNATURES: more do not fit MAX_PROOF.
    count: uint256 = (size - HEAD) // SIGNATURE
    assert count >= self.threshold, "too few signatures"
    signed: bytes32 = self._digest(
        programVKey,
        keccak256(publicValues),
        extract32(proofBytes, 0),
        extract32(proofBytes, 32),
    )
    previous: uint256 = 0
    for i: uint256 in range(count, bound=MAX_SIGNATURES):
        at: uint256 = HEAD + i * SIGNATURE
        r: uint256 = convert(extract32(proofBytes, at), uint256)
        s: uint256 = convert(extract32(proofBytes, at + 32), uint256)
        v: uint256 = convert(slice(proofBytes, at + 64, 1), uint256)
        assert s <= S_MAX, "malleable signature"
        assert v == 27 or v == 28, "malformed signature"
        signer: address = ecrecover(signed, v, r, s)
        assert self.is_verifier[signer], "not a registered verifier"
        order: uint256 = convert(signer, uint256)
        # Ascending order makes a second signature of the same verifier impossible to hide.
        assert order > previous, "signers must ascend"
        previous = order


@internal
@view
def _digest(program_vkey: bytes32, public_values_hash: bytes32, proof_sha256: bytes32, backend_hash: bytes32) -> bytes32:
    domain: bytes32 = keccak256(abi_encode(DOMAIN_TYPE, NAME_HASH, VERSION_HASH, chain.id, self))
    message: bytes32 = keccak256(
        abi_encode(ATTESTATION_TYPE, program_vkey, public_values_hash, proof_sha256, backend_hash)
    )
    return keccak256(concat(x"1901", domain, message))


@internal
def _add(verifier: address):
    assert verifier != empty(address), "zero address"
    assert not self.is_verifier[verifier], "already a verifier"
    # More keys than signatures that fit would still be sound; the bound keeps the threshold reachable.
    assert self.verifier_count < MAX_SIGNATURES, "too many verifiers"
    self.is_verifier[verifier] = True
    self.verifier_count += 1
    log VerifierAdded(verifier=verifier)


@internal
def _set_threshold(threshold: uint256):
    assert threshold >= 1 and threshold <= self.verifier_count, "threshold out of range"
    self.threshold = threshold
    log ThresholdChanged(threshold=threshold)
