"""What proving a batch costs: cycles and gas a command, by part of the guest; seconds, CPU and memory of proofs.

Batches are `proving.guest.inputs` workloads over 1,000 open orders, trees and state hashing included. Cycles and gas
come from the zkVM's own executor and are the same on every machine; the parts come from builds of the guest that
leave parts out. A proof is made as the venue makes it: by the worker process, at its low priority, and verified.

Claims, for 1,000 commands: at most 1,200 cycles and 1,600 gas a command; one shard, 90 s, 8 GB on 2 idle cores.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from report import Row, arguments, conditions, publish

from proving import programs, replay
from proving.backends import Program, ProofResult, Sp1Backend
from proving.guest import parts
from proving.guest.inputs import workload_input
from proving.guest.parts import Cost
from proving.sp1 import build
from proving.verifier import SP1_VERSION, Verifier

OPEN_ORDERS = 1_000
SEED = 7
SIZES = (100, 1_000, 5_000)
CLAIM_SIZE = 1_000
THREADS = min(os.cpu_count() or 1, 8)


def cost_rows(size: int, costs: dict[str, Cost]) -> list[Row]:
    return [
        {"commands": size, "what": part, "cycles/command": cost.cycles / size, "gas/command": cost.gas / size}
        for part, cost in costs.items()
    ]


def proof_row(size: int, proof: ProofResult) -> Row:
    return {
        "commands": size,
        "what": "core proof",
        "cycles/command": proof.cycles / size,
        "shards": proof.shards,
        "seconds": proof.seconds,
        "cpu_seconds": proof.cpu_seconds,
        "peak_gb": proof.peak_rss_bytes / 1e9,
        "proof_bytes": proof.bytes,
    }


def show(stage: str, fraction: float) -> None:
    if sys.stderr.isatty():
        print(f"\r{stage} {fraction:4.0%}   ", end="" if fraction < 1 else "\n", file=sys.stderr, flush=True)


def main() -> None:
    options = arguments(__doc__)
    libraries = build.build(announce=lambda line: print(line, file=sys.stderr))
    program = programs.get(programs.EXECUTION)
    backend = Sp1Backend(threads=THREADS, verifier=Verifier(libraries[build.VERIFIER]))

    def execute(elf_path: Path, input_path: Path) -> tuple[int, int]:
        run = backend.execute(Program(elf_path.stem, elf_path, b""), input_path)
        assert run.exit_code == 0
        return run.cycles, run.gas

    facts = conditions(sp1=SP1_VERSION, open_orders=OPEN_ORDERS, seed=SEED, prover_threads=THREADS)
    costs: list[Row] = []
    proofs: list[Row] = []
    ratios: dict[str, float | None] = {"cycles_per_command": None, "gas_per_command": None, "prove_seconds_1000": None}
    with tempfile.TemporaryDirectory() as scratch:
        for size in SIZES:
            guest_input = workload_input(commands=size, open_orders=OPEN_ORDERS, seed=SEED)
            found = parts.costs(execute, guest_input)
            costs += cost_rows(size, found)
            if size == CLAIM_SIZE:
                ratios["cycles_per_command"] = found["total"].cycles / size
                ratios["gas_per_command"] = found["total"].gas / size
            if options.quick and size != CLAIM_SIZE:
                continue
            input_path = Path(scratch) / f"{size}.input"
            input_path.write_bytes(guest_input)
            backend.close()  # each proof in a new process: its start and the program's setup are part of the figure
            proof = backend.prove(program, input_path, Path(scratch), show)
            assert proof.verified and proof.public_values == replay.run_guest(guest_input)
            proofs.append(proof_row(size, proof))
            if size == CLAIM_SIZE:
                ratios["prove_seconds_1000"] = proof.seconds
    backend.close()
    publish("proving", facts, costs + proofs, ratios, options.json)


if __name__ == "__main__":
    main()
