"""One interface over every way to prove a batch, and over checking what was made.

Two ways are here. `sp1` makes a core proof: minutes of work, checked by anybody in a tenth of a second, without the
batch. `replay` is re-execution by the checker, who needs the batch; it is labelled as what it is and is never to be
shown as a proof. A backend returns only what its own check has accepted.
"""

from __future__ import annotations

import builtins
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from proving import replay
from proving.errors import KindUnavailable, ProvingError
from proving.programs import EXECUTION, Program, get
from proving.sp1 import build
from proving.verifier import Check, Verdict, Verifier
from proving.worker import Worker

__all__ = ["Backend", "Execution", "Program", "ProofResult", "ReplayBackend", "Sp1Backend", "Verdict", "backend"]

Progress = Callable[[str, float], None]

PROVE_SECONDS_MAX = 3_600.0
EXECUTE_SECONDS_MAX = 600.0


@dataclass(frozen=True, slots=True)
class ProofResult:
    """A made and checked proof."""

    backend: str
    kind: str
    proof_path: Path
    cycles: int
    seconds: float
    cpu_seconds: float
    bytes: int
    public_values: builtins.bytes
    verified: bool
    program_id: builtins.bytes
    shards: int = 0
    peak_rss_bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        """The same with paths and bytes as text."""
        fields = asdict(self)
        return fields | {
            "proof_path": str(self.proof_path),
            "public_values": self.public_values.hex(),
            "program_id": self.program_id.hex(),
        }


@dataclass(frozen=True, slots=True)
class Execution:
    """A run in the zkVM's executor, without a proof: what it says and what proving it would cost."""

    cycles: int
    gas: int
    exit_code: int
    public_values: bytes
    syscalls: dict[str, int]


class Backend(Protocol):
    """A way to prove. `kind` says what its results are worth: "core" is a proof, "replay" is none."""

    name: str
    kind: str

    def prove(
        self, program: Program, input_path: Path, out_dir: Path, progress: Progress | None = None
    ) -> ProofResult: ...

    def verify(self, proof_path: Path, program_id: bytes, public_values: bytes) -> Verdict: ...

    def close(self) -> None: ...


class Sp1Backend:
    """Core proofs by the lean prover in a worker process, checked by the verifier library in this one."""

    name = "sp1"
    kind = "core"

    def __init__(
        self,
        threads: int | None = None,
        shard_elements: int | None = None,
        timeout_seconds: float = PROVE_SECONDS_MAX,
        worker: Worker | None = None,
        verifier: Verifier | None = None,
        retain_precompiles: bool = True,
    ):
        self._worker = worker or Worker(threads=threads)
        self._verifier = verifier
        self._timeout_seconds = timeout_seconds
        self._settings: dict[str, Any] = {"retain_precompiles": retain_precompiles}
        if shard_elements is not None:
            self._settings["shard_elements"] = shard_elements

    def execute(self, program: Program, input_path: Path) -> Execution:
        """Run the program in the zkVM's executor: milliseconds, no proof."""
        fields = {"elf": str(program.elf_path.resolve()), "input": str(input_path.resolve())}
        answer = self._worker.request("execute", fields, EXECUTE_SECONDS_MAX)
        return Execution(
            answer["cycles"],
            answer["gas"],
            answer["exit_code"],
            bytes.fromhex(answer["public_values"]),
            answer["syscalls"],
        )

    def prove(self, program: Program, input_path: Path, out_dir: Path, progress: Progress | None = None) -> ProofResult:
        """Prove the program's run over the input, and check the proof."""
        verifier = self._verifier_library()
        out_dir.mkdir(parents=True, exist_ok=True)
        proof_path = out_dir / f"{input_path.stem}.proof"
        fields = {
            "elf": str(program.elf_path.resolve()),
            "input": str(input_path.resolve()),
            "proof": str(proof_path.resolve()),
            "program_id": program.program_id.hex(),
            **self._settings,
        }
        answer = self._worker.request("prove", fields, self._timeout_seconds, progress)
        public_values = bytes.fromhex(answer["public_values"])
        verdict = verifier.verify(proof_path.read_bytes(), program.program_id, public_values)
        if not verdict:
            proof_path.unlink()
            raise ProvingError(f"the proof of {input_path} by program '{program.name}' does not hold: {verdict.reason}")
        return ProofResult(
            self.name,
            self.kind,
            proof_path,
            answer["cycles"],
            answer["seconds"],
            answer["cpu_seconds"],
            answer["bytes"],
            public_values,
            True,
            program.program_id,
            answer["shards"],
            answer["peak_rss_bytes"],
        )

    def verify(self, proof_path: Path, program_id: bytes, public_values: bytes) -> Verdict:
        """Check a proof file against the pinned id. Needs the verifier library, not the prover."""
        try:
            proof = proof_path.read_bytes()
        except OSError as error:
            return Verdict(False, f"{proof_path} cannot be read: {error.strerror}", Check.ARGUMENT)
        return self._verifier_library().verify(proof, program_id, public_values)

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

    def _verifier_library(self) -> Verifier:
        if self._verifier is None:
            self._verifier = Verifier()
        return self._verifier


class ReplayBackend:
    """No proof: the batch is executed again by whoever checks. Its "proof" is the batch's own input."""

    name = "replay"
    kind = "replay"

    def __init__(self, run: Callable[[bytes], bytes] = replay.run_guest, program: Program | None = None):
        self._run = run
        self._program = program

    def prove(self, program: Program, input_path: Path, out_dir: Path, progress: Progress | None = None) -> ProofResult:
        """Execute once, so that what is handed on has been seen to run."""
        begin, begin_cpu = time.monotonic(), time.process_time()
        if progress is not None:
            progress("execute", 0.0)
        guest_input = input_path.read_bytes()
        public_values = self._run(guest_input)
        if progress is not None:
            progress("execute", 1.0)
        return ProofResult(
            self.name,
            self.kind,
            input_path,
            0,
            time.monotonic() - begin,
            time.process_time() - begin_cpu,
            len(guest_input),
            public_values,
            True,
            program.program_id,
        )

    def verify(self, proof_path: Path, program_id: bytes, public_values: bytes) -> Verdict:
        """Execute again and compare. The native guest stands for one program only, and for no other id."""
        program = self._program or get(EXECUTION)
        if program_id != program.program_id:
            reason = f"the native guest is program 0x{program.program_id.hex()}, not 0x{program_id.hex()}"
            return Verdict(False, reason, Check.PROGRAM)
        try:
            found = self._run(proof_path.read_bytes())
        except OSError as error:
            return Verdict(False, f"{proof_path} cannot be read: {error.strerror}", Check.ARGUMENT)
        except replay.ReplayFailed as error:
            return Verdict(False, str(error), Check.ENCODING)
        if found != public_values:
            return Verdict(False, "the batch gives other public values than these", Check.PUBLIC_VALUES)
        return Verdict(True)

    def close(self) -> None:
        """Nothing is held."""


def backend(name: str, kind: str = "") -> Backend:
    """The backend with this name, making proofs of this kind (its own, by default)."""
    chosen: dict[str, Callable[[], Backend]] = {"sp1": Sp1Backend, "replay": ReplayBackend}
    if name not in chosen:
        raise KindUnavailable(f"no backend is called '{name}'; there are: {', '.join(chosen)}")
    made = chosen[name]()
    if kind not in ("", made.kind):
        made.close()
        raise KindUnavailable(f"{kind} proofs are not built in this version; backend '{name}' makes {made.kind} proofs")
    return made


def main(arguments: list[str]) -> int:
    """`prove ELF INPUT OUT_DIR` or `verify ELF PROOF PUBLIC_VALUES_HEX`, for a program that need not be committed."""
    if len(arguments) != 4 or arguments[0] not in ("prove", "verify"):
        print(
            "usage: python -m proving.backends prove ELF INPUT OUT_DIR | verify ELF PROOF PUBLIC_VALUES_HEX",
            file=sys.stderr,
        )
        return 2
    made = Sp1Backend()
    try:
        libraries = build.build(announce=lambda line: print(line, file=sys.stderr))
        elf_path = Path(arguments[1])
        program = Program(
            elf_path.stem, elf_path, Verifier(libraries[build.VERIFIER]).program_id(elf_path.read_bytes())
        )
        if arguments[0] == "prove":
            result = made.prove(
                program,
                Path(arguments[2]),
                Path(arguments[3]),
                lambda stage, fraction: print(f"{stage} {fraction:.0%}", file=sys.stderr),
            )
            print(json.dumps(result.as_json(), indent=2))
            return 0
        verdict = made.verify(Path(arguments[2]), program.program_id, bytes.fromhex(arguments[3]))
        print("accepted" if verdict else f"refused: {verdict.reason}")
        return 0 if verdict else 1
    except (ProvingError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        made.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
