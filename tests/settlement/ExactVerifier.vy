# pragma version 0.4.3
"""
@notice For tests: SP1's verifier interface, accepting exactly one program, public values and proof.
"""

expected: bytes32


@deploy
def __init__(programVKey: bytes32, publicValues: Bytes[1024], proofBytes: Bytes[1024]):
    self.expected = self._hash(programVKey, publicValues, proofBytes)


@external
@view
def verifyProof(programVKey: bytes32, publicValues: Bytes[1024], proofBytes: Bytes[1024]):
    assert self._hash(programVKey, publicValues, proofBytes) == self.expected, "not the expected proof"


@internal
@pure
def _hash(programVKey: bytes32, publicValues: Bytes[1024], proofBytes: Bytes[1024]) -> bytes32:
    return keccak256(concat(programVKey, keccak256(publicValues), keccak256(proofBytes)))
