"""A core proof of a real batch of 500 commands: it holds, and for nothing but that batch.

Slow: the proof takes minutes. Everything cheaper about the guest is tested without one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pytest

from cores import EVENT, EventKind
from cores.batch import Sealed
from cores.records import Stage
from cores.roots import event_leaves, tree_root
from proving.backends import ProofResult, Sp1Backend
from proving.guest import native
from proving.guest.build import GUESTS, compile_elf
from proving.guest.inputs import sealed_workload
from proving.programs import Program, get
from proving.sp1 import build
from proving.verifier import Verifier
from proving.worker import Worker
from tests.proving.fix_guest import sealed_story

pytestmark = [pytest.mark.prover, pytest.mark.slow]
COMMANDS, OPEN_ORDERS, SEED = 500, 500, 11


@dataclass(frozen=True)
class Proved:
    sealed: Sealed
    proof: ProofResult
    backend: Sp1Backend
    program: Program

    def accepts(self, public_values: bytes) -> bool:
        return bool(self.backend.verify(self.proof.proof_path, self.program.program_id, public_values))


@pytest.fixture(scope="module")
def proved(sp1_build: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proved]:
    folder = tmp_path_factory.mktemp("proof")
    sealed = sealed_workload(COMMANDS, OPEN_ORDERS, SEED)
    (folder / "batch.input").write_bytes(sealed.guest_input)
    worker = Worker(sp1_build[build.WORKER])
    backend = Sp1Backend(worker=worker, verifier=Verifier(sp1_build[build.VERIFIER]))
    program = get("execution")
    yield Proved(sealed, backend.prove(program, folder / "batch.input", folder), backend, program)
    backend.close()


def test_an_uncross_a_stop_cascade_and_a_liquidation_are_proved(proved: Proved, tmp_path: Path) -> None:
    """The story of every rule: what a batch may hold of the rare things, it holds."""
    story = sealed_story()
    events = story.events
    uncrossed = events["qty_lots"][events["kind"] == EventKind.PHASE]
    triggered = events["exec_id"][events["kind"] == EventKind.TRIGGERED] >> np.uint64(24)
    stages = events["leaves_lots"][events["kind"] == EventKind.MARGIN]
    liquidated = events["exec_id"][(events["kind"] == EventKind.MARGIN) & (events["leaves_lots"] == Stage.LIQUIDATED)]
    fills = events["exec_id"][events["kind"] == EventKind.FILL] >> np.uint64(24)
    assert (uncrossed > 0).any() and np.unique_counts(triggered).counts.max() >= 3
    assert {Stage.CALLED, Stage.LIQUIDATED, Stage.TAKEN_OVER} <= set(stages.tolist())
    assert np.isin(liquidated >> np.uint64(24), fills).any(), "a liquidation that traded"
    (tmp_path / "batch.input").write_bytes(story.guest_input)
    proof = proved.backend.prove(proved.program, tmp_path / "batch.input", tmp_path)
    assert proof.verified and proof.public_values == story.public_values


def test_the_proof_holds(proved: Proved) -> None:
    assert proved.proof.verified
    assert proved.proof.shards == 1
    assert proved.proof.public_values == proved.sealed.public_values == native.run(proved.sealed.guest_input)
    assert proved.accepts(proved.sealed.public_values)


def test_no_public_byte_can_be_changed(proved: Proved) -> None:
    """Each of the 264, by a bit that differs from byte to byte."""
    for index in range(264):
        changed = bytearray(proved.sealed.public_values)
        changed[index] ^= 1 << index % 8
        assert not proved.accepts(bytes(changed)), f"byte {index}"
    assert not proved.accepts(proved.sealed.public_values[:-1])
    assert not proved.accepts(proved.sealed.public_values + b"\0")


@pytest.mark.parametrize("kind", [EventKind.ACCEPTED, EventKind.FILL, EventKind.CANCELLED, EventKind.REPLACED])
def test_no_event_can_be_changed(proved: Proved, kind: EventKind) -> None:
    """Any field of an event of each kind, one unit off: the archive's event root is no longer the proved one."""
    events, rng = proved.sealed.events, Random(int(kind))
    annexes = annexes_of(proved)
    index = rng.choice(np.flatnonzero(events["kind"] == kind).tolist())
    for field in EVENT.names or ():
        changed = events.copy()
        changed[index][field] ^= 1
        leaves = event_leaves(changed, proved.sealed.event_ends, annexes)
        values = bytearray(proved.sealed.public_values)
        values[136:168] = tree_root(leaves)
        assert not proved.accepts(bytes(values)), f"{field} of event {index}"
    assert tree_root(event_leaves(events, proved.sealed.event_ends, annexes)) == proved.sealed.event_root


def annexes_of(proved: Proved) -> np.ndarray:
    """The digests that the batch was sealed with: its guest input holds them."""
    words = np.frombuffer(proved.sealed.guest_input, "<u8").astype(np.uint64)
    start = 12 + int(words[2] + words[3] + 4 * (words[6] + words[7])) + 8 * COMMANDS
    annexes = words[start : start + 4 * COMMANDS].reshape(-1, 4)
    return np.ascontiguousarray(annexes)


def test_another_program_is_not_accepted(proved: Proved) -> None:
    """A guest that is built from any other sources has another id, and the proof does not hold under it."""
    other = compile_elf(GUESTS["sp1"], macros=["GUEST_PARTS=6"])
    program_id = Verifier(build.find(build.VERIFIER)).program_id(other)
    assert program_id != proved.program.program_id
    assert not proved.backend.verify(proved.proof.proof_path, program_id, proved.sealed.public_values)
