"""Builds the guests' ELF files from the C sources, byte for byte the same everywhere.

Why: a program id is only worth something if everybody can make that program from the sources they read. The compiler
is the pinned `ziglang` from PyPI; sources are named relative to the project, so the result depends neither on the
machine nor on where the checkout lies. It must never write an ELF whose two builds differ.

    python -m proving.guest.build            the same as --check
    python -m proving.guest.build --check    build, and compare with the committed files
    python -m proving.guest.build --write    build, and replace the committed files
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ELF_DIR = Path(__file__).parent / "elf"
ZIGLANG = "0.17.0"
NATIVE_ONLY = {"poseidon2_lanes.c", "roots_bulk.c"}
CFLAGS = [
    *("-std=gnu11", "-O2", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-sanitize=all"),
    *("-fomit-frame-pointer", "-fno-strict-aliasing", "-mcmodel=medany", "-fno-pic", "-no-pie"),
    *("-ffunction-sections", "-fdata-sections", "-nostdlib", "-static", "-Wall", "-Wextra", "-Werror"),
    *("-Wl,--gc-sections", "-Wl,--build-id=none", "-s"),
]


class BuildError(RuntimeError):
    """A guest could not be built, or is not what is committed."""


@dataclass(frozen=True)
class Guest:
    """One ELF file: which zkVM, and what it is compiled with."""

    name: str
    elf: str  # below ELF_DIR
    shim: str
    script: str
    cpu: str
    macros: tuple[str, ...]
    left_out: frozenset[str] = frozenset()


GUESTS = {
    "sp1": Guest(
        "sp1", "execution.elf", "sp1.c", "sp1.ld", "generic_rv64+m", ("VENUE_GUEST", "VENUE_GUEST_SP1"),
        frozenset({"poseidon2.c"}),
    ),
    "zisk": Guest("zisk", "zisk/execution.elf", "zisk.c", "zisk.ld", "generic_rv64+m+a", ("VENUE_GUEST",)),
}  # fmt: skip


def sources(guest: Guest) -> list[str]:
    """The C files of a guest, relative to the project, in a fixed order."""
    left_out = NATIVE_ONLY | guest.left_out
    core = sorted(path.name for path in (ROOT / "cores").glob("*.c") if path.name[0] != "_")
    return [f"cores/{name}" for name in core if name not in left_out] + [
        f"proving/guest/{name}" for name in ("main.c", "memory.c", guest.shim)
    ]


def compile_elf(guest: Guest, root: Path = ROOT, macros: Sequence[str] = ()) -> bytes:
    """The ELF file's bytes. `root` may be another checkout; `macros` are for measuring variants."""
    _require_compiler()
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "guest.elf"
        command = [sys.executable, "-m", "ziglang", "cc", "-target", "riscv64-freestanding-none"]
        command += [f"-mcpu={guest.cpu}", "-mabi=lp64", *CFLAGS, "-Icores", "-Iproving/guest"]
        command += [f"-D{macro}" for macro in (*guest.macros, *macros)]
        command += [f"-Wl,-T,proving/guest/{guest.script}", "-o", str(out), *sources(guest)]
        environment = os.environ | {"ZIG_LOCAL_CACHE_DIR": scratch, "SOURCE_DATE_EPOCH": "0"}
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise BuildError(f"guest {guest.name}: the compiler refused it\n{done.stderr.strip()}")
        return out.read_bytes()


def _require_compiler() -> None:
    try:
        found = version("ziglang")
    except PackageNotFoundError:
        found = "none"
    if found != ZIGLANG:
        raise BuildError(f"ziglang {ZIGLANG} is needed, found {found}: pip install ziglang=={ZIGLANG}")


def check(guest: Guest, elf: bytes) -> None:
    """The committed ELF is the one that the sources make."""
    path = ELF_DIR / guest.elf
    if not path.exists():
        raise BuildError(f"{path} is not there; write it with: python -m proving.guest.build --write")
    if path.read_bytes() != elf:
        raise BuildError(
            f"{path} is not what the sources make (SHA-256 {hashlib.sha256(elf).hexdigest()}); after an intended "
            "change: python -m proving.guest.build --write, then python -m proving.programs --write"
        )


def write(guest: Guest, elf: bytes) -> None:
    """Replaces the committed ELF, once a second build gave the same bytes."""
    if compile_elf(guest) != elf:
        raise BuildError(f"guest {guest.name}: two builds differ; this compiler cannot be used")
    path = ELF_DIR / guest.elf
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(elf)
    partial.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proving.guest.build", description="Build the guests' ELF files.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="compare with the committed files (default)")
    choice.add_argument("--write", action="store_true", help="replace the committed files")
    options = parser.parse_args(arguments)
    try:
        for guest in GUESTS.values():
            elf = compile_elf(guest)
            (write if options.write else check)(guest, elf)
            print(f"{guest.elf:22} {len(elf):7} bytes  sha256 {hashlib.sha256(elf).hexdigest()}")
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.write:
        print("now pin the program ids: python -m proving.programs --write")
    return 0


if __name__ == "__main__":
    sys.exit(main())
