"""What each part of the program costs a command: the same guest built with parts left out, and the differences.

Why: a total says whether a batch is dear, the parts say why. The variants are built on the spot, run in the zkVM's
executor only, and thrown away; nothing that they output means anything, and none may ever be proved.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proving.guest.build import GUESTS, compile_elf

STATE, MATCH, LEAVES = 1, 2, 4  # PART_* in main.c
Execute = Callable[[Path, Path], tuple[int, int]]
"""Runs (ELF, input) in an executor: (cycles, gas)."""


@dataclass(frozen=True)
class Cost:
    """Of one part, for the whole batch."""

    cycles: int
    gas: int

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.cycles - other.cycles, self.gas - other.gas)


def costs(execute: Execute, guest_input: bytes) -> dict[str, Cost]:
    """decode (input and restoring the shown state), match, hash (commands and events), state (roots before and after),
    and total: the program as published. The parts add up to the total."""
    with tempfile.TemporaryDirectory() as scratch:
        elf_path, input_path = Path(scratch) / "guest.elf", Path(scratch) / "batch.input"
        input_path.write_bytes(guest_input)

        def run(parts: int) -> Cost:
            macros = [] if parts == STATE | MATCH | LEAVES else [f"GUEST_PARTS={parts}"]
            elf_path.write_bytes(compile_elf(GUESTS["sp1"], macros=macros))
            return Cost(*execute(elf_path, input_path))

        total, no_hash, no_state, decode = run(STATE | MATCH | LEAVES), run(STATE | MATCH), run(MATCH), run(0)
    return {
        "decode": decode,
        "match": no_state - decode,
        "hash": total - no_hash,
        "state": no_hash - no_state,
        "total": total,
    }
