"""Both backends behind their one interface: results, verdicts, and what each says to bad input."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from proving import backends
from proving.backends import ReplayBackend, Sp1Backend
from proving.errors import KindUnavailable, NotBuilt, RequestRefused, WorkerDied
from proving.programs import Program
from proving.replay import ReplayFailed, run_guest
from proving.sp1 import build
from proving.verifier import Check
from proving.worker import Worker

PROGRAM = Program("toy", None, b"\x01" * 32)


@pytest.fixture
def input_path(tmp_path, toy_input):
    path = tmp_path / "batch-0000000007.input"
    path.write_bytes(toy_input(b"a batch"))
    return path


@pytest.fixture
def sp1(sp1_build, verifier):
    made = Sp1Backend(worker=Worker(sp1_build[build.WORKER], threads=2), verifier=verifier)
    yield made
    made.close()


def reversed_bytes(data: bytes) -> bytes:
    """A stand-in for the guest that any input suits, but an empty one."""
    if not data:
        raise ReplayFailed("nothing to run")
    return data[::-1]


def test_replay_is_labelled_as_what_it_is(tmp_path, input_path):
    backend = ReplayBackend(reversed_bytes, PROGRAM)
    stages = []
    result = backend.prove(PROGRAM, input_path, tmp_path / "out", lambda *stage: stages.append(stage))
    assert (result.backend, result.kind, result.verified, result.cycles) == ("replay", "replay", True, 0)
    assert result.public_values == input_path.read_bytes()[::-1]
    assert result.bytes == len(input_path.read_bytes())
    assert stages == [("execute", 0.0), ("execute", 1.0)]
    assert backend.verify(result.proof_path, PROGRAM.program_id, result.public_values)


def test_replay_refuses(tmp_path, input_path):
    backend = ReplayBackend(reversed_bytes, PROGRAM)
    right = input_path.read_bytes()[::-1]
    assert backend.verify(input_path, PROGRAM.program_id, right[:-1]).check == Check.PUBLIC_VALUES
    assert backend.verify(input_path, b"\x02" * 32, right).check == Check.PROGRAM
    assert backend.verify(tmp_path / "none", PROGRAM.program_id, right).check == Check.ARGUMENT
    input_path.write_bytes(b"")
    verdict = backend.verify(input_path, PROGRAM.program_id, right)
    assert verdict.check == Check.ENCODING and verdict.reason == "nothing to run"


def test_replay_of_noise(input_path):
    """The real guest, over bytes that are no batch."""
    with pytest.raises(ReplayFailed):
        run_guest(input_path.read_bytes())


def test_names_and_kinds():
    assert backends.backend("replay").kind == "replay"
    assert backends.backend("sp1", "core").kind == "core"
    with pytest.raises(KindUnavailable, match="compressed proofs are not built in this version"):
        backends.backend("sp1", "compressed")
    with pytest.raises(KindUnavailable, match="no backend is called 'abacus'; there are: sp1, replay"):
        backends.backend("abacus")


def test_prover_and_verifier_are_missing(tmp_path, input_path, monkeypatch):
    """Proving and verifying say what is not built and what builds it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(NotBuilt, match=r"python -m proving\.sp1\.build"):
        Sp1Backend().prove(Program("toy", input_path, b""), input_path, tmp_path)
    with pytest.raises(NotBuilt, match=r"python -m proving\.sp1\.build"):
        Sp1Backend().execute(Program("toy", input_path, b""), input_path)
    with pytest.raises(NotBuilt, match="--verifier"):
        Sp1Backend().verify(input_path, b"", b"")


@pytest.mark.prover
def test_a_proof_through_the_interface(sp1, verifier, whole_proof, tmp_path):
    """Verified with the library alone, and refused for any other id or values."""
    path = tmp_path / "toy.proof"
    path.write_bytes(whole_proof.data)
    program_id, values = whole_proof.program.program_id, whole_proof.public_values
    assert sp1.verify(path, program_id, values)
    assert sp1.verify(path, program_id, values[:-1] + b"\x01").check == Check.PUBLIC_VALUES
    assert sp1.verify(path, bytes(32), values).check == Check.PROGRAM
    assert sp1.verify(tmp_path / "none", program_id, values).check == Check.ARGUMENT


@pytest.mark.prover
def test_execute(sp1, toy_program, input_path):
    run = sp1.execute(toy_program, input_path)
    assert run.exit_code == 0 and run.syscalls["POSEIDON2"] == 200 and len(run.public_values) == 264


@pytest.mark.prover
def test_another_program_than_the_pinned_one(sp1, toy_program, input_path, tmp_path):
    """The ELF's id is not the pinned one: said after the setup, before the minutes of a proof."""
    stages = []
    pinned = Program("toy", toy_program.elf_path, b"\x07" * 32)
    with pytest.raises(RequestRefused, match=f"the ELF is program {toy_program.program_id.hex()}, not 0707"):
        sp1.prove(pinned, input_path, tmp_path / "out", lambda stage, fraction: stages.append(stage))
    assert stages == ["setup"]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.prover
def test_a_killed_prover_is_replaced(sp1, toy_program, input_path, tmp_path):
    """Killed in the first proof, the backend proves at the second asking."""
    killed = threading.Event()

    def kill(stage: str, fraction: float) -> None:
        if stage == "prove" and not killed.is_set():
            killed.set()
            os.kill(sp1._worker.process_id, signal.SIGKILL)

    with pytest.raises(WorkerDied, match="killed by signal 9"):
        sp1.prove(toy_program, input_path, tmp_path / "out", kill)
    result = sp1.prove(toy_program, input_path, tmp_path / "out", kill)
    assert (result.backend, result.kind, result.verified, result.shards) == ("sp1", "core", True, 1)
    assert result.proof_path == tmp_path / "out" / "batch-0000000007.proof"
    assert result.bytes == result.proof_path.stat().st_size
    assert result.public_values == sp1.execute(toy_program, input_path).public_values
    assert result.cycles > 0 and result.cpu_seconds > 0 and result.peak_rss_bytes > 1 << 28


@pytest.mark.prover
def test_input_is_missing(sp1, toy_program, tmp_path):
    with pytest.raises(RequestRefused, match=r"none\.input cannot be read"):
        sp1.prove(toy_program, tmp_path / "none.input", tmp_path)
