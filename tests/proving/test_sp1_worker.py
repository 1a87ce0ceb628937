"""The worker process: what it answers to good and bad requests, and what becomes of a request when it dies."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from proving.errors import NotBuilt, RequestRefused, WorkerDied, WorkerTimeout
from proving.sp1 import build
from proving.worker import Worker

pytestmark = pytest.mark.prover


@pytest.fixture
def worker(sp1_build):
    with Worker(sp1_build[build.WORKER], threads=2) as made:
        yield made
        made.check()


@pytest.fixture
def good(toy_elf, toy_input, tmp_path) -> dict[str, str]:
    """The fields of a good execute request."""
    path = tmp_path / "toy.input"
    path.write_bytes(toy_input(b"abc"))
    return {"elf": str(toy_elf), "input": str(path)}


class Raw:
    """The worker without its client: bytes in, frames out."""

    def __init__(self, binary: Path):
        self.process = subprocess.Popen([str(binary)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, message: bytes) -> None:
        self.process.stdin.write(struct.pack("<I", len(message)) + message)
        self.process.stdin.flush()

    def receive(self) -> dict:
        (length,) = struct.unpack("<I", self.process.stdout.read(4))
        return json.loads(self.process.stdout.read(length))


@pytest.fixture
def raw(sp1_build):
    made = Raw(sp1_build[build.WORKER])
    yield made
    made.process.kill()
    made.process.wait()


def test_execute(worker, good, verifier):
    answer = worker.request("execute", good, 60)
    assert answer["exit_code"] == 0
    assert answer["cycles"] > 10_000 and answer["gas"] > 10_000
    assert answer["syscalls"] == {"POSEIDON2": 200, "SHA_COMPRESS": 6, "SHA_EXTEND": 6}
    assert len(answer["public_values"]) == 2 * 264


def test_execution_is_deterministic(worker, good):
    first, second = (worker.request("execute", good, 60) for _ in range(2))
    assert {**first, "id": 0} == {**second, "id": 0}


def test_one_process_serves_many_requests(worker, good):
    worker.request("execute", good, 60)
    process_id = worker.process_id
    with pytest.raises(RequestRefused):
        worker.request("execute", good | {"elf": "/nowhere.elf"}, 60)
    worker.request("execute", good, 60)
    assert worker.process_id == process_id


@pytest.mark.parametrize(
    "op, change, stage, part",
    [
        ("execute", {"elf": "/nowhere.elf"}, "request", "/nowhere.elf cannot be read"),
        ("execute", {"input": "/nowhere.input"}, "request", "/nowhere.input cannot be read"),
        ("execute", {"colour": "red"}, "request", "unknown field"),
        ("execute", {"elf": 7}, "request", "invalid type"),
        ("prove", {}, "request", "missing field `proof`"),
        ("explode", {}, "request", "unknown variant"),
        ("verify", {"proof": "/dev/null", "public_values": "zz"}, "request", "unknown field `input`"),
    ],
)
def test_refused_requests(worker, good, op, change, stage, part):
    with pytest.raises(RequestRefused) as refused:
        worker.request(op, good | change, 60)
    assert refused.value.stage == stage
    assert part in refused.value.reason


def test_not_an_elf(worker, good):
    with pytest.raises(RequestRefused, match="not a program SP1 can run"):
        worker.request("execute", good | {"elf": good["input"]}, 60)


def test_exit_code_is_not_provable(worker, good, toy_input, tmp_path):
    path = tmp_path / "bad.input"
    path.write_bytes(toy_input(b"abc", exit_code=3))
    assert worker.request("execute", good | {"input": str(path)}, 60)["exit_code"] == 3
    with pytest.raises(RequestRefused, match="ended with exit code 3") as refused:
        worker.request("prove", good | {"input": str(path), "proof": str(tmp_path / "bad.proof")}, 300)
    assert refused.value.stage == "execute"
    assert not (tmp_path / "bad.proof").exists()


def test_a_panic_is_an_answer(worker, good, tmp_path):
    """A shard too small for the machine's fixed tables makes the proof system panic; the worker goes on."""
    with pytest.raises(RequestRefused, match=r"the proof system failed: (?s:.*)threshold"):
        worker.request("prove", good | {"proof": str(tmp_path / "toy.proof"), "shard_elements": 1}, 300)
    assert worker.request("execute", good, 60)["exit_code"] == 0


def test_verify_in_the_worker(worker, whole_proof, tmp_path):
    path = tmp_path / "toy.proof"
    path.write_bytes(whole_proof.data)
    fields = {"elf": str(whole_proof.program.elf_path), "proof": str(path)}
    accepted = worker.request("verify", fields | {"public_values": whole_proof.public_values.hex()}, 60)
    refused = worker.request("verify", fields | {"public_values": "00" * 264}, 60)
    assert accepted["accepted"] and not refused["accepted"]
    assert "other public values" in refused["reason"]


@pytest.mark.parametrize(
    "message, request_id",
    [
        (b"", None),
        (b"\xff\xfe", None),
        (b"not json", None),
        (b"[]", None),
        (b"{}", None),
        (b'{"id": 5}', 5),
        (b'{"id": 6, "op": 1}', 6),
        (b'{"id": -1, "op": "hello"}', -1),
        (b'{"id": 1, "op": "hello", "op": "hello"}', 1),
        (b'{"id": 8, "op": "hello"' + b" " * 100_000, None),
        (b"[" * 100_000, None),
    ],
)
def test_malformed_messages_are_answered(raw, message, request_id):
    raw.send(message)
    answer = raw.receive()
    assert answer["ok"] is False and answer["stage"] == "request" and answer["id"] == request_id
    raw.send(b'{"id": 9, "op": "hello"}')
    assert raw.receive()["sp1"] == "6.10.0"


def test_a_frame_too_long_ends_it_with_an_answer(raw):
    raw.process.stdin.write(struct.pack("<I", 0xFFFFFFFF))
    raw.process.stdin.flush()
    assert "4294967295 bytes" in raw.receive()["error"]
    assert raw.process.wait(10) == 2


def test_half_a_frame_ends_it_with_an_answer(raw):
    raw.process.stdin.write(struct.pack("<I", 100) + b"half")
    raw.process.stdin.close()
    assert "4 of 100 bytes" in raw.receive()["error"]
    assert raw.process.wait(10) == 2


def test_end_of_stdin_ends_it(raw):
    raw.process.stdin.close()
    assert raw.process.wait(10) == 0


def test_shutdown_ends_it(raw):
    raw.send(b'{"id": 1, "op": "shutdown"}')
    assert raw.receive() == {"id": 1, "ok": True}
    assert raw.process.wait(10) == 0


def test_arguments_are_refused(sp1_build):
    done = subprocess.run([sp1_build[build.WORKER], "--help"], capture_output=True, text=True)
    assert done.returncode == 2 and "stdin" in done.stderr


def test_killed_in_the_midst_of_a_proof(worker, good, tmp_path):
    """The request fails with a reason, leaves no proof behind, and the next request starts another process."""
    stages: list[str] = []
    killed = threading.Event()

    def kill(stage: str, fraction: float) -> None:
        stages.append(stage)
        if stage == "prove" and not killed.is_set():
            killed.set()
            os.kill(worker.process_id, signal.SIGKILL)

    with pytest.raises(WorkerDied, match="killed by signal 9 in the midst of 'prove'"):
        worker.request("prove", good | {"proof": str(tmp_path / "toy.proof")}, 300, kill)
    assert killed.is_set() and stages[0] == "setup"
    assert worker.process_id is None
    assert not list(tmp_path.glob("*.proof*"))
    assert worker.request("execute", good, 60)["exit_code"] == 0


def test_killed_between_requests(worker, good):
    worker.request("execute", good, 60)
    process_id = worker.process_id
    os.kill(process_id, signal.SIGKILL)
    os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOWAIT)
    assert worker.request("execute", good, 60)["exit_code"] == 0
    assert worker.process_id != process_id


def test_no_answer_in_time(worker, good, tmp_path):
    with pytest.raises(WorkerTimeout, match="within 1 s"):
        worker.request("prove", good | {"proof": str(tmp_path / "toy.proof")}, 1)
    assert worker.process_id is None
    assert worker.request("execute", good, 60)["exit_code"] == 0


def test_nothing_is_left_behind(sp1_build, good, tmp_path, monkeypatch):
    """The private temporary folder goes with the process."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    with Worker(sp1_build[build.WORKER]) as worker:
        worker.request("execute", good, 60)
        assert set(tmp_path.iterdir()) != before
    assert set(tmp_path.iterdir()) == before


def test_the_prover_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(NotBuilt, match=r"python -m proving\.sp1\.build"):
        Worker().request("hello", {}, 10)


def test_a_program_that_is_no_worker(tmp_path):
    """Something else where the worker should be: an error, and no hang."""
    for body, part in (("echo no worker here", "message of"), ("exit 3", "exit code 3"), ("kill -9 $$", "signal 9")):
        path = tmp_path / "other"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        with pytest.raises(WorkerDied, match=part):
            Worker(path).request("hello", {}, 10)
