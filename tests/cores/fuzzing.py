"""Builds and runs the fuzz target of the core, and turns what it finds into a short readable script.

Why: an input that breaks a promise of core.h is worth little as bytes. Where clang with libFuzzer is installed, that is
the engine; elsewhere fuzz_main.c drives the same target with gcc's coverage, and the output says so. Both run under the
address and undefined-behaviour sanitizers. It must never call a run clean that did not run.

    python -m tests.cores.fuzzing --seconds 60            fuzz; a finding is shrunk, printed and kept in .cache/fuzz
    python -m tests.cores.fuzzing --script FILE           print an input as commands and events
    python -m tests.cores.fuzzing --renew-corpus          fuzz, then replace the corpus by a small one (libFuzzer only)
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "fuzz"
CORPUS = HERE / "corpus"
Ended = subprocess.CompletedProcess[str]
STEP_BYTES = 8
LENGTH_MAX = 2400
CORPUS_FILES_MAX, CORPUS_FILE_BYTES = 48, 1200
INPUT_SECONDS_MAX = 60
# What does not take part in applying commands: the roots are hashed, not matched, and have tests of their own.
LEFT_OUT = ("poseidon2", "roots", "sha256", "_")
# What looks at the state after every command: its branches say nothing about commands, and to count them takes longest.
UNCOUNTED = ("check",)
CFLAGS = ["-std=gnu11", "-g", "-O1", "-fno-strict-aliasing", "-fno-omit-frame-pointer", "-Wall", "-Wextra", "-Werror"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
CLANGS = ["clang", *(f"clang-{version}" for version in range(24, 10, -1))]


class FuzzError(RuntimeError):
    """The target could not be built, or ended in a way that says nothing about the core."""


@dataclass(frozen=True)
class Finding:
    """An input that broke something: as found, shrunk, what was said of it, and as a script."""

    found: bytes
    shrunk: bytes
    message: str
    script: str


def core_sources() -> list[Path]:
    return sorted(path for path in (ROOT / "cores").glob("*.c") if not path.name.startswith(LEFT_OUT))


def clang_with_libfuzzer() -> str | None:
    """A clang that links libFuzzer, or None."""
    with tempfile.TemporaryDirectory() as scratch:
        probe = Path(scratch) / "probe.c"
        probe.write_text("int LLVMFuzzerTestOneInput(const unsigned char *b, unsigned long n) { return !b && n; }\n")
        for name in filter(shutil.which, filter(None, [os.environ.get("FUZZ_CLANG"), *CLANGS])):
            command = [name, "-fsanitize=fuzzer,address,undefined", str(probe), "-o", str(Path(scratch) / "probe")]
            if subprocess.run(command, capture_output=True).returncode == 0:
                return name
    return None


class Fuzzer:
    """The target, built for one engine: "libfuzzer" or "gcc"; `spoiled` puts a fault in, to see it found."""

    def __init__(self, engine: str | None = None, spoiled: bool = False) -> None:
        clang = clang_with_libfuzzer() if engine != "gcc" else None
        if engine == "libfuzzer" and clang is None:
            raise FuzzError("no clang with libFuzzer here: sudo apt-get install clang libclang-rt-14-dev")
        self.engine = "libfuzzer" if clang else "gcc"
        self.compiler = clang or os.environ.get("CC", "cc")
        self.program = self._build(spoiled)

    @property
    def description(self) -> str:
        if self.engine == "libfuzzer":
            return f"libFuzzer of {self.compiler}"
        return f"fuzz_main.c with coverage of {self.compiler} (no clang with libFuzzer here)"

    def _build(self, spoiled: bool) -> Path:
        target = [HERE / "fuzz_core.c", HERE / "fuzz_script.c", *core_sources()]
        plain = [HERE / "fuzz_spoiled.c"] if spoiled else []
        coverage = ["-fsanitize=fuzzer-no-link"] if self.engine == "libfuzzer" else ["-fsanitize-coverage=trace-pc"]
        link = ["-fsanitize=fuzzer"] if self.engine == "libfuzzer" else []
        plain += [] if self.engine == "libfuzzer" else [HERE / "fuzz_main.c"]
        key = hashlib.sha256(repr((self.compiler, CFLAGS, SANITIZE, coverage, UNCOUNTED, spoiled)).encode())
        for path in [*target, *plain, HERE / "fuzz_script.h", *sorted((ROOT / "cores").glob("*.h"))]:
            key.update(path.read_bytes())
        program = CACHE / f"fuzz-{self.engine}-{key.hexdigest()[:16]}"
        if program.exists():
            return program
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            objects = []
            for path in [*target, *plain]:
                objects.append(Path(scratch) / f"{path.stem}.o")
                renamed = ["-Dcore_apply=spoiled_apply"] if spoiled and path.stem == "fuzz_core" else []
                extra = coverage if path in target and path.stem not in UNCOUNTED else []
                self._compile([*extra, *renamed, "-c", str(path), "-o", str(objects[-1])])
            partial = Path(scratch) / "program"
            self._compile([*link, *map(str, objects), "-o", str(partial)])
            partial.replace(program)
        return program

    def _compile(self, arguments: Sequence[str]) -> None:
        command = [self.compiler, *CFLAGS, *SANITIZE, "-I", str(ROOT / "cores"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise FuzzError(f"{' '.join(command)}\n{done.stderr}")

    def run(self, arguments: Sequence[str], seconds: float, printing: bool = False) -> Ended:
        environment = {name: value for name, value in os.environ.items() if name != "FUZZ_PRINT"}
        environment |= {"FUZZ_PRINT": "1"} if printing else {}
        with tempfile.TemporaryDirectory() as scratch:  # where an engine leaves what it is not told to put elsewhere
            return subprocess.run([str(self.program), *arguments], capture_output=True, text=True, errors="replace",
                                  timeout=seconds, env=environment, cwd=scratch)  # fmt: skip

    def message_of(self, data: bytes) -> str | None:
        """What the target says of one input: None when all promises are kept."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            done = self.run([file.name], INPUT_SECONDS_MAX)
        return message(done.stderr) if done.returncode else None

    def script(self, data: bytes) -> str:
        """The input as commands and events, up to where it breaks something."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            done = self.run([file.name], INPUT_SECONDS_MAX, printing=True)
        lines = [line for line in done.stdout.splitlines() if not line.startswith(("fuzz_main:", "Done "))]
        differing = [line for line in done.stderr.splitlines() if line.startswith("slot ")]
        return "\n".join([*lines, *differing, message(done.stderr) if done.returncode else ""]).rstrip()

    def run_files(self, files: Sequence[Path]) -> None:
        """Runs inputs once each. Raises with the script of the first that breaks something."""
        done = self.run([str(path.resolve()) for path in files], INPUT_SECONDS_MAX * max(1, len(files)))
        if done.returncode == 0:
            return
        for path in files:
            if self.message_of(path.read_bytes()) is not None:
                raise AssertionError(report(self.finding(path.read_bytes()), path))
        raise FuzzError(f"the files break something only together: {message(done.stderr)}")

    def fuzz(
        self, seconds: int, seed: int, corpus: Path = CORPUS, output: Path | None = None, length: int = LENGTH_MAX
    ) -> Finding | str:
        """Fuzzes for so long with inputs of at most `length`; a finding, or the engine's last line."""
        with tempfile.TemporaryDirectory() as scratch:
            kept = output or Path(scratch) / "kept"
            kept.mkdir(exist_ok=True)
            options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={length}"]
            options += ["-len_control=0", f"-artifact_prefix={scratch}/"]
            done = self.run([*options, str(kept), str(corpus)], seconds + 300)
            if done.returncode == 0:
                lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Done ")]
                if not lines:
                    raise FuzzError(f"the fuzzer ran nothing: {(done.stdout + done.stderr)[-1000:]}")
                return lines[-1]
            crashes = [path for path in Path(scratch).iterdir() if path.is_file()]
            if not crashes:
                raise FuzzError(f"the fuzzer ended with {done.returncode}: {done.stderr[-2000:]}")
            return self.finding(crashes[0].read_bytes())

    def finding(self, data: bytes) -> Finding:
        said = self.message_of(data)
        if said is None:
            raise FuzzError("an input broke something in the fuzzer, but not alone")
        shrunk = shrink(data, lambda candidate: self.message_of(candidate) is not None)
        return Finding(data, shrunk, self.message_of(shrunk) or said, self.script(shrunk))


def message(stderr: str) -> str:
    """The line that says what broke."""
    for mark in ("fuzz_core: ", "runtime error: ", "SUMMARY: ", "ERROR: "):
        for line in stderr.splitlines():
            if mark in line and "deadly signal" not in line:
                return line.strip()
    return stderr[-500:]


def shrink(data: bytes, breaks: Callable[[bytes], bool]) -> bytes:
    """Leaves out as many steps as it can while the input still breaks something; the first step stays."""
    head, body = data[:STEP_BYTES], data[STEP_BYTES:]
    steps = [body[at : at + STEP_BYTES] for at in range(0, len(body), STEP_BYTES)]
    size = max(1, len(steps) // 2)
    while True:
        at, before = 0, len(steps)
        while at < len(steps):
            candidate = steps[:at] + steps[at + size :]
            if breaks(head + b"".join(candidate)):
                steps = candidate
            else:
                at += size
        if size == 1 and len(steps) == before:
            return head + b"".join(steps)
        size = max(1, size // 2)


def report(finding: Finding, path: Path) -> str:
    return (
        f"{finding.message}\n{finding.script}\n"
        f"the input is {path}; again: python -m tests.cores.fuzzing --script {path}"
    )


def renew_corpus(fuzzer: Fuzzer, seconds: int, seed: int) -> int:
    """Fuzzes from the corpus and fresh inputs, and keeps a small set that reaches nearly all of it. Number of files."""
    source = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        pool, merged = Path(scratch) / "pool", Path(scratch) / "merged"
        for folder in (pool, merged):
            folder.mkdir()
        for number in range(200):
            steps = source.choice([10, 20, 40, 80, 120])
            (pool / f"random-{number}").write_bytes(source.randbytes(STEP_BYTES * steps))
        ended = fuzzer.fuzz(seconds, seed, output=pool)
        if isinstance(ended, Finding):
            raise AssertionError(report(ended, keep(ended)))
        for path in pool.iterdir():
            path.write_bytes(path.read_bytes()[:CORPUS_FILE_BYTES])
        done = fuzzer.run(["-set_cover_merge=1", str(merged), str(pool), str(CORPUS)], 1800)
        if done.returncode:
            raise FuzzError(done.stderr[-2000:])
        largest = sorted(merged.iterdir(), key=lambda path: (-path.stat().st_size, path.name))
        for old in CORPUS.glob("[0-9a-f]*"):
            old.unlink()
        for path in largest[:CORPUS_FILES_MAX]:
            (CORPUS / hashlib.sha256(path.read_bytes()).hexdigest()[:16]).write_bytes(path.read_bytes())
        return min(len(largest), CORPUS_FILES_MAX)


def keep(finding: Finding) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"finding-{hashlib.sha256(finding.shrunk).hexdigest()[:16]}"
    path.write_bytes(finding.shrunk)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1 << 31))
    parser.add_argument("--engine", choices=["libfuzzer", "gcc"])
    parser.add_argument("--script", type=Path, metavar="FILE")
    parser.add_argument("--renew-corpus", action="store_true")
    options = parser.parse_args()
    fuzzer = Fuzzer("libfuzzer" if options.renew_corpus else options.engine)
    if options.script:
        print(fuzzer.script(options.script.read_bytes()))
        return 0
    print(f"fuzz: {fuzzer.description}, {options.seconds} s, seed {options.seed}", flush=True)
    if options.renew_corpus:
        print(f"fuzz: the corpus has {renew_corpus(fuzzer, options.seconds, options.seed)} files")
        return 0
    ended = fuzzer.fuzz(options.seconds, options.seed)
    if isinstance(ended, Finding):
        print(report(ended, keep(ended)), file=sys.stderr)
        return 1
    print(f"fuzz: {ended}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
