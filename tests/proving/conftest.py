"""Fixtures of the proving tests: the built SP1 parts, the toy guest, and two real proofs of it, made once for a build.

A proof takes a minute or two, so proofs are kept beside the build they were made with, under the hash of guest, input
and settings. What is kept is only ever input: every test verifies for real.
"""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proving.programs import Program
from proving.sp1 import build
from proving.verifier import Verifier
from proving.worker import Worker

TOY = Path(__file__).parent / "toy"
TARGET = "-target riscv64-freestanding-none -mcpu=generic_rv64+m -mabi=lp64 -mcmodel=medany -fno-pic -no-pie"
FREESTANDING = "-O2 -ffreestanding -fno-builtin -fno-stack-protector -fno-sanitize=all -fomit-frame-pointer"
LINK = "-ffunction-sections -nostdlib -static -Wl,--gc-sections -Wl,--build-id=none -s"


def _toy_input(data: bytes, rounds: int = 200, exit_code: int = 0) -> bytes:
    return struct.pack("<QQ", rounds, exit_code) + data


# The first test may have to build SP1 and make both proofs, on a machine that has other things to do.
SECONDS_MAX = 2_400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("prover") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SECONDS_MAX))


@dataclass(frozen=True)
class ToyProof:
    """A real proof: the file's bytes and what it claims."""

    data: bytes
    public_values: bytes
    program: Program
    shards: int


@pytest.fixture(scope="session")
def sp1_build() -> dict[str, Path]:
    """Worker and verifier, built if they are not."""
    return build.build(announce=lambda line: print(line, file=sys.stderr))


@pytest.fixture(scope="session")
def verifier(sp1_build: dict[str, Path]) -> Verifier:
    return Verifier(sp1_build[build.VERIFIER])


@pytest.fixture(scope="session")
def toy_elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy guest, compiled for the zkVM."""
    path = tmp_path_factory.mktemp("toy") / "toy.elf"
    options = f"{TARGET} {FREESTANDING} {LINK}".split()
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *options, f"-Wl,-T,{TOY / 'link.ld'}", "-o", path, TOY / "toy.c"],
        check=True,
    )
    return path


@pytest.fixture(scope="session")
def toy_input() -> Callable[..., bytes]:
    """Makes what the toy guest reads: (data, rounds, exit_code); see toy/toy.c."""
    return _toy_input


@pytest.fixture(scope="session")
def toy_program(toy_elf: Path, verifier: Verifier) -> Program:
    return Program("toy", toy_elf, verifier.program_id(toy_elf.read_bytes()))


@pytest.fixture(scope="session")
def whole_proof(toy_program: Program) -> ToyProof:
    """A run in one shard, its precompile calls in it."""
    return _proof(toy_program, _toy_input(b"one shard" * 20), {})


@pytest.fixture(scope="session")
def split_proof(toy_program: Program) -> ToyProof:
    """A run in five shards: Poseidon2, SHA extend, SHA compress, execution, memory."""
    return _proof(toy_program, _toy_input(b"many shards" * 20), {"retain_precompiles": False})


def _proof(program: Program, guest_input: bytes, settings: dict[str, Any]) -> ToyProof:
    digest = hashlib.sha256(program.elf_path.read_bytes() + guest_input + json.dumps(settings).encode()).hexdigest()
    path = build.build_dir() / "test-proofs" / f"{digest}.proof"
    facts_path = path.with_suffix(".json")
    if not (path.exists() and facts_path.exists()):
        path.parent.mkdir(exist_ok=True)
        input_path = path.with_suffix(".input")
        input_path.write_bytes(guest_input)
        with Worker(threads=2) as worker:
            fields = {"elf": str(program.elf_path), "input": str(input_path), "proof": str(path), **settings}
            facts_path.write_text(json.dumps(worker.request("prove", fields, 1_800.0)))
    facts = json.loads(facts_path.read_text())
    return ToyProof(path.read_bytes(), bytes.fromhex(facts["public_values"]), program, facts["shards"])
