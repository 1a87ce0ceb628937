"""The guest in the zkVM's executor: the same public values as the live core, the reference and the plain function."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cores.batch import seal
from cores.reference import Core as ReferenceCore
from proving.guest import native, parts
from proving.guest.build import ELF_DIR, GUESTS
from proving.guest.inputs import sealed_workload
from proving.programs import get
from proving.sp1 import build as sp1_build_module
from proving.worker import Worker
from tests.proving.fix_day import sealed_day
from tests.proving.fix_guest import annexes_of, sealed_at_random, sealed_story

pytestmark = pytest.mark.prover
SECONDS_MAX = 300.0
Execute = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def execute(sp1_build: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Execute]:
    """Runs an input in the executor; the committed ELF unless another is given."""
    folder = tmp_path_factory.mktemp("executor")
    with Worker(sp1_build[sp1_build_module.WORKER]) as worker:

        def run(guest_input: bytes, elf: Path = ELF_DIR / GUESTS["sp1"].elf) -> dict[str, Any]:
            path = folder / "batch.input"
            path.write_bytes(guest_input)
            return worker.request("execute", {"elf": str(elf), "input": str(path)}, SECONDS_MAX)

        yield run


def values_of(answer: dict[str, Any]) -> bytes:
    assert answer["exit_code"] == 0, answer
    return bytes.fromhex(answer["public_values"])


@pytest.mark.parametrize("seeds", [range(200), pytest.param(range(200, 1_000), marks=pytest.mark.slow)], ids=str)
def test_batches_of_random_commands(execute: Execute, seeds: range) -> None:
    """1,000 examples of 50 commands: core, reference (every tenth: tests/cores has them all), function and zkVM."""
    for seed in seeds:
        sealed = sealed_at_random(seed)
        assert native.run(sealed.guest_input) == sealed.public_values, f"seed {seed}"
        assert values_of(execute(sealed.guest_input)) == sealed.public_values, f"seed {seed}"
        if seed % 10 == 0:
            reference = ReferenceCore.restore(sealed.snapshot_before)
            again = seal(reference, sealed.commands, annexes_of(len(sealed.commands), seed), sealed.prev_deposit_acc)
            assert again.public_values == sealed.public_values, f"seed {seed}"
            assert again.guest_input == sealed.guest_input, f"seed {seed}"


@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 400), marks=pytest.mark.slow)], ids=str)
def test_days_of_every_phase(execute: Execute, seeds: range) -> None:
    """Uncrosses, cascades of stops, icebergs and volatility calls: core, reference, function and zkVM say the same."""
    for seed in seeds:
        sealed = sealed_day(seed)
        assert native.run(sealed.guest_input) == sealed.public_values, f"seed {seed}"
        assert values_of(execute(sealed.guest_input)) == sealed.public_values, f"seed {seed}"
        if seed % 5 == 0:
            reference = ReferenceCore.restore(sealed.snapshot_before)
            again = seal(reference, sealed.commands, annexes_of(len(sealed.commands), seed), sealed.prev_deposit_acc)
            assert again.public_values == sealed.public_values, f"seed {seed}"
            assert again.guest_input == sealed.guest_input, f"seed {seed}"


def test_the_story_of_every_rule(execute: Execute) -> None:
    sealed = sealed_story()
    assert values_of(execute(sealed.guest_input)) == sealed.public_values


def test_a_workload_within_its_bounds(execute: Execute) -> None:
    """1,000 commands over 1,000 open orders: at most 1,200 cycles and 1,600 gas a command, tree hashing included."""
    sealed = sealed_workload(1_000, 1_000, seed=1)
    answer = execute(sealed.guest_input)
    assert values_of(answer) == sealed.public_values
    assert answer["cycles"] <= 1_200_000
    assert answer["gas"] <= 1_600_000
    # Each permutation is accounted for: 3 a command, 4 an event, 2 a slot before and after, the nodes of four trees.
    nodes = 1_000 + len(sealed.events)
    assert answer["syscalls"]["POSEIDON2"] < 3 * 1_000 + 4 * len(sealed.events) + 4 * 1_200 + nodes


def test_parts_add_up(execute: Execute) -> None:
    """Decode, match, hash and state make the whole, and each costs something."""

    def run(elf: Path, guest_input: Path) -> tuple[int, int]:
        answer = execute(guest_input.read_bytes(), elf)
        return answer["cycles"], answer["gas"]

    cost = parts.costs(run, sealed_workload(300, 300, seed=2).guest_input)
    total = cost.pop("total")
    assert sum(part.cycles for part in cost.values()) == total.cycles
    assert all(part.cycles > 300 * 10 and part.gas > 300 * 10 for part in cost.values())


@pytest.mark.parametrize("size", [0, 8, 96, 1_000, 5_000])
def test_refusals_end_with_a_code(execute: Execute, size: int) -> None:
    """An input that cannot be proved ends with the function's own code: non-zero, so no proof of it exists."""
    data = sealed_story().guest_input[: size // 8 * 8]
    with pytest.raises(native.GuestError) as refusal:
        native.run(data)
    answer = execute(data)
    assert answer["exit_code"] == refusal.value.status != 0
    assert answer["public_values"] == ""


def test_a_size_that_is_no_number_of_words(execute: Execute) -> None:
    assert execute(struct.pack("<Q", 1) + b"xyz")["exit_code"] == native.GuestStatus.BAD_INPUT


def test_the_pinned_program_is_the_committed_file() -> None:
    program = get("execution")
    assert program.elf_path == ELF_DIR / GUESTS["sp1"].elf
    assert np.frombuffer(program.program_id, np.uint8).any()
