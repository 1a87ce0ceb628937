"""The prover as a process of its own: started when first needed, asked one thing at a time, replaced when it dies.

Proving takes gigabytes and minutes and runs the guest as machine code, so whatever may happen to it must happen to a
process that can be lost. A request ends with an answer, or with an exception that says whether to ask again; a worker
that died, hung or was killed is gone by then, and the next request starts another. This must never wait for ever.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from proving.errors import RequestRefused, WorkerDied, WorkerTimeout
from proving.sp1 import build

Progress = Callable[[str, float], None]

HELLO_SECONDS_MAX = 30.0
END_SECONDS_MAX = 5.0
MESSAGE_BYTES_MAX = 1 << 24
STDERR_BYTES_SHOWN = 2_000
NICE = 10


class Worker:
    """One prover process, used by one thread at a time."""

    def __init__(self, binary: Path | None = None, threads: int | None = None):
        self._binary = binary
        self._threads = threads or min(os.cpu_count() or 1, 8)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._buffer = bytearray()
        self._request_id = 0
        self._lock = threading.Lock()

    @property
    def process_id(self) -> int | None:
        """The worker's process, None while there is none."""
        return self._process.pid if self._process else None

    def check(self) -> None:
        """A process, its folder and its empty buffer come and go together."""
        assert (self._process is None) == (self._folder is None)
        assert self._process is not None or not self._buffer

    def request(
        self, op: str, fields: dict[str, Any], timeout_seconds: float, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Ask, forward progress, return the answer."""
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self._discard()
            if self._process is None:
                self._start()
            try:
                return self._exchange(op, fields, timeout_seconds, progress)
            except RequestRefused:
                raise
            except BaseException:
                # The stream may hold half an answer; a new process is the only sure beginning.
                self._discard()
                raise

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._discard()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self) -> None:
        binary = self._binary or build.find(build.WORKER)
        self._folder = Path(tempfile.mkdtemp(prefix="venue-sp1-"))
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "TMPDIR": str(self._folder),
            "RAYON_NUM_THREADS": str(self._threads),
            # Left alone, glibc keeps an arena a thread and stops giving large blocks back: a gigabyte more at the peak.
            "MALLOC_ARENA_MAX": "2",
            "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
            "MALLOC_TRIM_THRESHOLD_": str(1 << 20),
        }
        command = [str(binary)]
        if shutil.which("nice"):
            command = ["nice", "-n", str(NICE), *command]
        try:
            with (self._folder / "stderr").open("wb") as errors:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment
                )
            os.set_blocking(self._pipe(self._process.stdout).fileno(), False)
            self._exchange("hello", {}, HELLO_SECONDS_MAX, None)
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        process, folder = self._process, self._folder
        self._process, self._folder = None, None
        self._buffer.clear()
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    self._pipe(pipe).close()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        self.check()

    def _exchange(
        self, op: str, fields: dict[str, Any], timeout_seconds: float, progress: Progress | None
    ) -> dict[str, Any]:
        self._request_id += 1
        message = json.dumps({"id": self._request_id, "op": op, **fields}).encode()
        deadline = time.monotonic() + timeout_seconds
        process = self._process
        assert process is not None
        try:
            stdin = self._pipe(process.stdin)
            stdin.write(struct.pack("<I", len(message)) + message)
            stdin.flush()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._died(op) from error
        while True:
            answer = self._read_message(op, deadline, timeout_seconds)
            if answer.get("id") not in (self._request_id, None):
                raise WorkerDied(f"the prover answered request {answer.get('id')} instead of {self._request_id}")
            if "ok" not in answer:
                if progress is not None:
                    progress(str(answer.get("stage")), float(answer.get("fraction", 0.0)))
            elif answer["ok"]:
                return answer
            else:
                raise RequestRefused(str(answer.get("stage")), str(answer.get("error")))

    def _read_message(self, op: str, deadline: float, timeout_seconds: float) -> dict[str, Any]:
        length = struct.unpack("<I", self._read(4, op, deadline, timeout_seconds))[0]
        if length > MESSAGE_BYTES_MAX:
            raise WorkerDied(f"the prover announced a message of {length} bytes: its output is not the protocol")
        message = json.loads(self._read(length, op, deadline, timeout_seconds))
        assert isinstance(message, dict)
        return message

    def _read(self, length: int, op: str, deadline: float, timeout_seconds: float) -> bytes:
        process = self._process
        assert process is not None
        stdout = self._pipe(process.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while len(self._buffer) < length:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise WorkerTimeout(
                        f"the prover gave no answer to '{op}' within {timeout_seconds:.0f} s; it was ended"
                    )
                if selector.select(remaining):
                    received = os.read(stdout.fileno(), 1 << 16)
                    if not received:
                        raise self._died(op)
                    self._buffer += received
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def _died(self, op: str) -> WorkerDied:
        process, folder = self._process, self._folder
        assert process is not None and folder is not None
        try:
            code = process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            return WorkerDied(f"the prover closed its output in the midst of '{op}'")
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        hint = " (out of memory? lower the shard size)" if code == -9 else ""
        said = (folder / "stderr").read_bytes()[-STDERR_BYTES_SHOWN:].decode(errors="replace").strip()
        return WorkerDied(f"the prover {how} in the midst of '{op}'{hint}" + (f": {said}" if said else ""))

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe
