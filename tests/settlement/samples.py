"""Linked batches, an archive folder, and a prover that re-hashes: the least that settlement needs to be driven."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from settlement.anchor import Anchor
from settlement.service import Settlement, SettlementConfig
from venue.batches import BatchRecord

PROGRAM = hashlib.sha256(b"program").digest()


def digest(*words: object) -> bytes:
    return hashlib.sha256(repr(words).encode()).digest()


def linked(count: int, *, first_batch: int = 1, first_seq: int = 1, commands: int = 5) -> list[BatchRecord]:
    """Batches that begin where the one before them ended."""
    records, state, deposit, seq = [], digest("state", first_batch), digest("deposit", first_batch), first_seq
    for batch_id in range(first_batch, first_batch + count):
        next_state, next_deposit = digest("state", batch_id + 1), digest("deposit", batch_id + 1)
        roots = (digest("command", batch_id), digest("event", batch_id), deposit, next_deposit)
        rest = (digest("withdrawal", batch_id), digest("archive", batch_id))
        last = seq + commands - 1
        records.append(BatchRecord(batch_id, seq, last, commands, 2 * commands, state, next_state, *roots, *rest))
        state, deposit, seq = next_state, next_deposit, last + 1
    return records


def seal(folder: Path, records: list[BatchRecord]) -> None:
    """Put batches into an archive folder the way the archive does."""
    for record in records:
        stem = folder / f"batch-{record.batch_id:010d}"
        stem.with_suffix(".arrow").write_bytes(b"arrow")
        stem.with_suffix(".input").write_bytes(record.public_values())
        stem.with_suffix(".record").write_bytes(record.to_bytes())


@dataclass(frozen=True)
class Result:
    backend: str
    kind: str
    proof_path: Path
    cycles: int
    seconds: float
    bytes: int
    verified: bool
    program_id: bytes  # type: ignore[valid-type]


class HashProver:
    """A proof here is a file that repeats the public values under a hash; `verify` really checks it."""

    def __init__(self, folder: Path, backend: str = "replay", kind: str = "replay") -> None:
        self.folder, self.backend, self.kind = folder, backend, kind
        self.failures = 0
        self.calls: list[int] = []

    def prove(self, record: BatchRecord, input_path: Path) -> Result:
        self.calls.append(record.batch_id)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("prover was killed")
        values = input_path.read_bytes()
        path = self.folder / f"proof-{record.batch_id}.json"
        path.write_text(json.dumps({"values": values.hex(), "mac": digest(PROGRAM, values).hex()}))
        size = path.stat().st_size
        return Result(self.backend, self.kind, path, 1000, 0.5, size, values == record.public_values(), PROGRAM)

    @staticmethod
    def verify(proof: bytes, program_id: bytes, public_values: bytes, backend: str) -> bool:
        data = json.loads(proof)
        return bool(data["values"] == public_values.hex() and data["mac"] == digest(program_id, public_values).hex())


def config(folder: Path, archive: Path, ledger_url: str, **more: object) -> SettlementConfig:
    """Settings for a test: the embedded chain, everything at once."""
    settings: dict[str, object] = {
        "data_dir": str(folder),
        "archive_dir": str(archive),
        "program_id": PROGRAM.hex(),
        "ledger_url": ledger_url,
        "simulated_finality_blocks": 4,
        "range_seconds": 0.0,
        "prove_seconds": 0.0,
        "poll_seconds": 0.01,
        "resubmit_seconds": 0.0,
    }
    return SettlementConfig.from_mapping({**settings, **more})


def settle(settlement: Settlement, steps: int = 80) -> None:
    """Drive both threads' work by hand until every batch is final."""
    for _ in range(steps):
        settlement.follower.step()
        settlement.follower.prove_step()
        states = {state.state for state in settlement.ledger.batch_states()}
        if states == {"final"}:
            exactly_once(settlement)
            return
    raise AssertionError(settlement.ledger.summary())


def the_anchor(settlement: Settlement) -> Anchor:
    anchor = settlement.anchor()
    assert anchor is not None
    return anchor


def exactly_once(settlement: Settlement) -> None:
    """Each range has one Committed event and each batch one Assured event of each level, and the ledger agrees."""
    anchor = the_anchor(settlement)
    anchor.check()
    ranges = [event["args"]["range_id"] for event in anchor.contract.events("Committed", 0)]
    assert ranges == list(range(1, len(ranges) + 1))
    assured = [
        (event["args"]["batch_id"], event["args"]["assurance"]) for event in anchor.contract.events("Assured", 0)
    ]
    assert len(assured) == len(set(assured))
    states = settlement.ledger.batch_states()
    assert {state.range_id for state in states if state.range_id is not None} == set(ranges)
    for state in states:
        level = int(anchor.contract.read("assurance_of", state.batch_id))
        assert state.assurance == ("none", "attested", "proven")[level]
