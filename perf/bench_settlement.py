"""What anchoring costs: gas a batch for ranges of 1, 8 and 32 batches, and how long the daemon takes for a batch.

Gas is what the embedded chain's EVM charges, calldata included, and the same on every machine: `commit` stores a range,
`prove` passes one attestation a batch (one registered verifier). Each size is measured on the second range of a
deployment, since the first pays for storage that later ones only change. The ratio is gas a batch against ranges of 1.
Seconds are of this machine and of py-evm, a chain written in Python; they say nothing about a real chain.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from perf.report import Row, arguments, conditions, publish
from settlement.attest import Attester, attestation_bytes
from settlement.chain import Chain, address_of
from settlement.contracts import load
from settlement.deploy import ATTESTED, deploy, send_and_wait
from settlement.keys import Keys
from venue.batches import BatchRecord, record_root

SIZES = (1, 8, 32)
PROGRAM = hashlib.sha256(b"bench").digest()
KEYS = Keys(*(hashlib.sha256(bytes([number])).digest() for number in range(4)))


def digest(*words: object) -> bytes:
    return hashlib.sha256(repr(words).encode()).digest()


def linked(count: int) -> list[BatchRecord]:
    """Batches whose roots are as incompressible as real ones."""
    made = []
    for number in range(1, count + 1):
        roots = [digest("state", number), digest("state", number + 1), digest("command", number)]
        roots += [digest("event", number), digest("deposit", number), digest("deposit", number + 1)]
        roots += [digest("withdrawal", number), digest("archive", number)]
        first = 1 + (number - 1) * 1_000
        made.append(BatchRecord(number, first, first + 999, 1_000, 3_000, *roots))
    return made


def measure(size: int) -> Row:
    """Two ranges of one size on a new chain; the second one's gas."""
    batches = linked(2 * size)
    with tempfile.TemporaryDirectory() as folder:
        funded = tuple(address_of(key) for key in (KEYS.owner, KEYS.committer, KEYS.prover))
        chain = Chain(folder=Path(folder), funded=funded)
        deployed = deploy(chain, KEYS, batches[0], PROGRAM)
        anchor = chain.contract(bytes.fromhex(deployed.anchor), load("Anchor").abi)
        verifier = bytes.fromhex(deployed.attested_verifier)
        attester = Attester(KEYS.verifier, deployed.chain_id, verifier, lambda *_: True)
        started = time.perf_counter()
        for number in (1, 2):
            records = batches[(number - 1) * size : number * size]
            first, last = records[0], records[-1]
            facts = (first.batch_id, size, first.first_seq, last.last_seq, first.prev_state_root, last.state_root)
            data = anchor.encode("commit", *facts, record_root(records))
            commit = send_and_wait(chain, KEYS.committer, anchor.address, data).gas_used
            proofs = [attested(attester, record) for record in records]
            data = anchor.encode("prove", number, ATTESTED, [record.to_bytes() for record in records], proofs)
            prove = send_and_wait(chain, KEYS.prover, anchor.address, data).gas_used
        seconds = (time.perf_counter() - started) / (2 * size)
        assert anchor.read("head").final_count == 2
        chain.close()
    return {
        "batches a range": size,
        "commit gas": commit,
        "prove gas": prove,
        "commit gas/batch": commit / size,
        "prove gas/batch": prove / size,
        "gas/batch": (commit + prove) / size,
        "seconds/batch": seconds,
    }


def attested(attester: Attester, record: BatchRecord) -> bytes:
    claim, signature = attester.attest(b"proof", PROGRAM, record.public_values(), "replay")
    return attestation_bytes(claim, {attester.address: signature})


def main() -> None:
    options = arguments(__doc__)
    rows = [measure(size) for size in (SIZES[:2] if options.quick else SIZES)]
    one = rows[0]
    ratios: dict[str, float | None] = {
        f"{what}_gas_{row['batches a range']}_to_1": row[f"{what} gas/batch"] / one[f"{what} gas/batch"]
        for row in rows[1:]
        for what in ("commit", "prove")
    }
    facts = conditions(chain="eth-tester (py-evm), Prague rules", verifiers=1, record_bytes=304, sizes=SIZES)
    publish("settlement", facts, rows, ratios, options.json)


if __name__ == "__main__":
    main()
