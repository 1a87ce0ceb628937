"""Measures how much of cores/*.c the core's tests execute: lines and branches of each file, by gcov.

Why: a line of the core that no test runs is a line whose proofs nobody has seen fail. The core and its extensions are
built a second time, with counters and without optimisation, into .cache/coverage; the tests run against that build
through PYTHONPATH, so the ordinary build stays as it is. It must never count what was run by anything but the tests.

Left out of the bounds, though printed: poseidon2_lanes and sha256, whose lines depend on the CPU's instruction set
(each way that a machine has is compared with the plain one by tests/cores). A line that says __builtin_unreachable, and
the way to it, are no line and no way. Compiled elsewhere and not counted at all: the guest's variants.

    python -m tests.cores.coverage [--missing] [PYTEST ARGUMENTS]     fails under 100% of lines or 98% of branches
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FOLDER = ROOT / ".cache" / "coverage"
OBJECTS, PACKAGES = FOLDER / "objects", FOLDER / "packages"
LINES_MIN, BRANCHES_MIN = 100.0, 98.0
UNBOUND = ("poseidon2_lanes", "sha256")
UNREACHABLE = "__builtin_unreachable"
EXTENSIONS = {"cores._core": (), "cores._roots": (), "proving.guest._native": ("main.c", "native.c")}
TESTS = ["tests/cores", "tests/proving/test_guest.py"]  # the latter run roots.c as the guest does
LAID = ("cores", "proving", "proving/guest")
COPIED = {".py", ".pyi", ".pxd", ".pyx", ".c", ".h", ".ld", ".json", ".toml", ".elf"}
CFLAGS = ["-std=gnu11", "-O0", "-g", "-fPIC", "-fno-strict-aliasing", "-fvisibility=hidden"]
# The fuzz target is a program of its own, and what is random here has a fixed seed: the same figures every time.
# What compiles programs of its own (mutants, other options) counts nothing here and takes half of the time.
OTHER_BUILDS = "not test_a_program_without_this_rule and not test_the_core_needs_no_library"
PYTEST = ["-q", "-p", "no:cacheprovider", "--hypothesis-seed=1", "--ignore=tests/cores/test_fuzz.py"]
PYTEST += ["-k", OTHER_BUILDS, "-m", "not slow"]
EXAMPLES = "60"


@dataclass
class Counted:
    """A source file: how often each line ran, and each way out of each of its branches.

    A function of a header is compiled into every file that includes it, and an inlined one into every caller: its
    copies count as one. A line's ways are as many as its shortest copy has; what a caller holds twice is summed.
    """

    lines: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    copies: dict[int, list[list[int]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def branches(self) -> dict[tuple[int, int], int]:
        ways: dict[tuple[int, int], int] = defaultdict(int)
        for number, copies in self.copies.items():
            shortest = min(map(len, copies))
            for copy in copies:
                for way, count in enumerate(copy):
                    ways[number, way % shortest] += count
        return ways

    def missing(self) -> str:
        lines = sorted(number for number, count in self.lines.items() if count == 0)
        ways: dict[int, int] = defaultdict(int)
        for (number, _), count in self.branches.items():
            ways[number] += count == 0 and self.lines[number] > 0
        partly = [f"{number} ({count})" for number, count in sorted(ways.items()) if count]
        return f"lines {lines or '-'}, lines with ways never taken: {', '.join(partly) or '-'}"


def share(counts: Collection[int]) -> float:
    """Percent of the counts that are not zero."""
    return 100.0 if not counts else 100.0 * sum(count > 0 for count in counts) / len(counts)


def call(command: Sequence[str | Path], **options: Any) -> None:
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"coverage: {' '.join(map(str, command))}\n{(done.stdout + done.stderr)[-3000:]}")


def lay_package(name: str) -> None:
    """A package folder that shows the project's files, but none of its compiled extensions."""
    source, target = ROOT / name, PACKAGES / name
    target.mkdir(parents=True)
    for path in source.iterdir():
        nested = f"{name}/{path.name}" in LAID
        if path.suffix in COPIED or (path.is_dir() and path.name != "__pycache__" and not nested):
            (target / path.name).symlink_to(path)


def build() -> None:
    """Objects with counters, the extensions of them, and package folders that hold nothing else of their own."""
    compiler = os.environ.get("CC", "gcc")
    shutil.rmtree(FOLDER, ignore_errors=True)
    OBJECTS.mkdir(parents=True)
    for package in LAID:
        lay_package(package)
    sources = sorted(path for path in (ROOT / "cores").glob("*.c") if not path.name.startswith("_"))
    objects = [OBJECTS / f"{path.stem}.o" for path in sources]
    for path, target in zip(sources, objects, strict=True):
        call([compiler, *CFLAGS, "--coverage", "-I", "cores", "-c", path.relative_to(ROOT), "-o", target])
    includes = ["cores", "proving/guest", numpy.get_include(), sysconfig.get_path("include")]
    options = ["-DNPY_NO_DEPRECATED_API=NPY_2_0_API_VERSION", "-w", *(f"-I{path}" for path in includes), "-shared"]
    for name, extra in EXTENSIONS.items():
        path, generated = Path(*name.split(".")), FOLDER / f"{name}.c"
        call([sys.executable, "-m", "cython", "-3", path.with_suffix(".pyx"), "-o", generated])
        target = PACKAGES / f"{path}{sysconfig.get_config_var('EXT_SUFFIX')}"
        own = [path.parent / name for name in extra]
        call([compiler, *CFLAGS, *options, generated, *own, *objects, "--coverage", "-o", target])


def run_tests(arguments: Sequence[str]) -> None:
    environment = os.environ | {
        "PYTHONPATH": f"{PACKAGES}{os.pathsep}{ROOT}",
        "CORE_EXAMPLES": os.environ.get("CORE_EXAMPLES", EXAMPLES),
        "CORE_OBJECTS": str(OBJECTS),
    }
    probe = f"import sys, {', '.join(EXTENSIONS)}; print(*(sys.modules[n].__file__ for n in {list(EXTENSIONS)}))"
    used = subprocess.run(
        [sys.executable, "-P", "-c", probe], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    if used.stdout.count(str(PACKAGES)) != len(EXTENSIONS):
        raise SystemExit(f"coverage: the tests would not use the build with counters: {used.stdout}{used.stderr}")
    for path in OBJECTS.glob("*.gcda"):
        path.unlink()  # what the probe counted
    command = [sys.executable, "-P", "-m", "pytest", *PYTEST, *(arguments or TESTS)]
    if subprocess.run(command, env=environment, cwd=ROOT).returncode:
        raise SystemExit("coverage: a test failed; figures of a failing run mean nothing")


def leave_out_unreachable(name: str, counted: Counted) -> None:
    """The compiler is told that such a line is never reached: then no test can reach it."""
    for number, text in enumerate((ROOT / "cores" / name).read_text().splitlines(), 1):
        if UNREACHABLE in text:
            counted.lines.pop(number, None)
            for beside in (number - 1, number):
                taken = [[count for count in copy if count] for copy in counted.copies.pop(beside, [])]
                if any(taken):
                    counted.copies[beside] = [copy for copy in taken if copy]


def count() -> dict[str, Counted]:
    """Sums what gcov says of every object; a header's lines are summed over all files that include it."""
    files: dict[str, Counted] = defaultdict(Counted)
    found = sorted(OBJECTS.glob("*.gcda"))
    if not found:
        raise SystemExit("coverage: the tests left no counters")
    for path in found:
        command = ["gcov", "--json-format", "--branch-probabilities", "--stdout", str(path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        text = gzip.decompress(done.stdout) if done.stdout[:2] == b"\x1f\x8b" else done.stdout
        for entry in json.loads(text)["files"]:
            name = Path(entry["file"])
            if name.is_absolute() and not name.is_relative_to(ROOT / "cores"):
                continue
            counted = files[name.name]
            for line in entry["lines"]:
                add(counted, line)
    for source, counted in files.items():
        leave_out_unreachable(source, counted)
    return dict(files)


def add(counted: Counted, line: dict[str, Any]) -> None:
    counted.lines[line["line_number"]] += line["count"]
    if line["branches"]:
        counted.copies[line["line_number"]].append([branch["count"] for branch in line["branches"]])


def report(files: dict[str, Counted], missing: bool) -> bool:
    """Prints the table; whether the bounds hold."""
    lines: list[int] = []
    branches: list[int] = []
    print(f"{'file':24} {'lines':>7} {'run':>8} {'branches':>9} {'taken':>8}")
    for name in sorted(files):
        counted = files[name]
        bound = not name.startswith(UNBOUND)
        if bound:
            lines += counted.lines.values()
            branches += counted.branches.values()
        print(
            f"{name:24} {row(counted.lines.values(), counted.branches.values())}"
            f"{'' if bound else '   outside the bounds'}"
        )
        if missing and not (all(counted.lines.values()) and all(counted.branches.values())):
            print(f"    {counted.missing()}")
    print(f"{'all within the bounds':24} {row(lines, branches)}")
    return share(lines) >= LINES_MIN and share(branches) >= BRANCHES_MIN


def row(lines: Collection[int], branches: Collection[int]) -> str:
    return f"{len(lines):7,} {share(lines):7.2f}% {len(branches):9,} {share(branches):7.2f}%"


def main() -> int:
    arguments = [word for word in sys.argv[1:] if word != "--missing"]
    build()
    run_tests(arguments)
    if report(count(), "--missing" in sys.argv):
        return 0
    print(
        f"coverage: below {LINES_MIN}% of lines or {BRANCHES_MIN}% of branches; --missing names them", file=sys.stderr
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
