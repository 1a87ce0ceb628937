"""Random damage to a proof: never accepted, and never the end of the process that verifies.

The flips run in a process of their own, so that a crash of the library is a failed test with a seed to repeat it.
"""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from proving.sp1 import build

pytestmark = pytest.mark.prover

FLIPS = 200

SCRIPT = """
import random, sys
from pathlib import Path
from proving.verifier import Verifier

library, proof_path, program_id, public_values, seed, flips = sys.argv[1:]
verifier = Verifier(Path(library))
proof = Path(proof_path).read_bytes()
source = random.Random(int(seed))
for number in range(int(flips)):
    changed = bytearray(proof)
    # Half of the flips in the first tenth: lengths, public elements and openings are there, Merkle paths are not.
    at = source.randrange(len(proof) // 10 if number % 2 else len(proof))
    changed[at] ^= 1 << source.randrange(8)
    print(number, at, flush=True)
    if verifier.verify(bytes(changed), bytes.fromhex(program_id), bytes.fromhex(public_values)):
        sys.exit(f"accepted with byte {at} changed from {proof[at]} to {changed[at]}")
print("all refused")
"""


def test_random_flips(sp1_build, whole_proof, tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    path = tmp_path / "toy.proof"
    path.write_bytes(whole_proof.data)
    arguments = [
        str(sp1_build[build.VERIFIER]),
        str(path),
        whole_proof.program.program_id.hex(),
        whole_proof.public_values.hex(),
        str(seed),
        str(FLIPS),
    ]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True)
    tail = done.stdout.splitlines()[-1:]
    assert done.returncode == 0 and tail == ["all refused"], f"seed {seed}: {tail} {done.stderr}"


def test_random_bytes(verifier, whole_proof):
    """No proof at all: noise of many lengths, bare and behind a good header."""
    seed = random.SystemRandom().randrange(1 << 32)
    source = random.Random(seed)
    for _ in range(200):
        noise = source.randbytes(source.randrange(2_000))
        for data in (noise, whole_proof.data[: source.randrange(300)] + noise):
            verdict = verifier.verify(data, whole_proof.program.program_id, whole_proof.public_values)
            assert not verdict, f"seed {seed}"
