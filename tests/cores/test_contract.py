"""The functions of core.h as C calls them, at the ends of what they take, and the fuzzer's corpus without sanitizers.

Why: the engine and the guest call the core from C, past the checks of the Python object. With CORE_OBJECTS
in the environment (tests/cores/coverage.py) the programs link those objects, so that what they run is counted.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import cores
from tests.cores.fuzzing import CORPUS, LEFT_OUT

HERE = Path(__file__).parent
FLAGS = ["-std=gnu11", "-O1", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Werror"]


def build(target: Path, *sources: str) -> Path:
    folder, objects = Path(cores.__file__).parent, os.environ.get("CORE_OBJECTS")
    if objects:
        core = [*map(str, sorted(Path(objects).glob("*.o"))), "--coverage"]
    else:
        core = [str(path) for path in sorted(folder.glob("*.c")) if not path.name.startswith(LEFT_OUT)]
    own = [str(HERE / name) for name in sources]
    command = [os.environ.get("CC", "cc"), *FLAGS, "-I", str(folder), *own, *core, "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def test_the_functions_at_their_ends(tmp_path: Path) -> None:
    done = subprocess.run([build(tmp_path / "contract", "contract.c")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_corpus(tmp_path: Path) -> None:
    program = build(tmp_path / "corpus", "fuzz_core.c", "fuzz_script.c", "fuzz_main.c")
    files = sorted(str(path) for path in CORPUS.iterdir())
    done = subprocess.run([program, *files], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"Done {len(files)} runs" in done.stdout
