"""Builds the SP1 worker and the verifier library from their Rust sources, once for each state of those sources.

Proofs are made and checked by binaries that belong to exactly these sources: the finished files lie in a cache
folder named after the hash of everything that goes into them. What cargo keeps between builds lies beside it.
This must never download or use a binary that it did not build.

    python -m proving.sp1.build              worker and verifier: about 6 CPU minutes the first time
    python -m proving.sp1.build --verifier   the verifier library alone
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from proving.errors import BuildFailed, NotBuilt

SOURCES = Path(__file__).parent
WORKER = "venue-sp1"
VERIFIER = "libvenue_sp1_verifier.so"
CRATES = {WORKER: "venue-sp1-worker", VERIFIER: "venue-sp1-verifier"}
CPU_MINUTES = {WORKER: 6, VERIFIER: 4}
LOG_LINES_SHOWN = 25

Announce = Callable[[str], None]


def cache_dir() -> Path:
    """Where builds of SP1 are kept: below XDG_CACHE_HOME, by default ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fix-venue" / "sp1"


def build_key() -> str:
    """Hash of everything the binaries depend on: sources, lock file, and the processor they are tuned to."""
    digest = hashlib.sha256()
    for path in _source_files():
        content = path.read_bytes()
        digest.update(f"{path.relative_to(SOURCES)}\0{len(content)}\0".encode())
        digest.update(content)
    digest.update(_processor().encode())
    return digest.hexdigest()


def build_dir() -> Path:
    """The folder of the finished files for the present sources, there or not."""
    return cache_dir() / build_key()


def find(name: str) -> Path:
    """The path of a finished file; NotBuilt if it is not there."""
    path = build_dir() / name
    if not path.exists():
        option = " --verifier" if name == VERIFIER else ""
        raise NotBuilt(f"{name} is not built; build it with: python -m proving.sp1.build{option}")
    return path


def build(names: tuple[str, ...] = (WORKER, VERIFIER), announce: Announce = print) -> dict[str, Path]:
    """Builds what is missing and returns where it is. Two builds at a time wait for each other."""
    folder = build_dir()
    if all((folder / name).exists() for name in names):
        return {name: folder / name for name in names}
    _require_cargo()
    cache_dir().mkdir(parents=True, exist_ok=True)
    with _lock(cache_dir() / "lock", announce):
        missing = tuple(name for name in names if not (folder / name).exists())
        if missing:
            _cargo(missing, announce)
            _install(missing, folder)
            announce(f"built {', '.join(missing)} in {folder}")
    return {name: folder / name for name in names}


def _source_files() -> list[Path]:
    patterns = ("Cargo.toml", "Cargo.lock", ".cargo/config.toml", "*/Cargo.toml", "*/src/**/*.rs")
    return sorted(path for pattern in patterns for path in SOURCES.glob(pattern))


def _processor() -> str:
    """What `target-cpu=native` means here: binaries of one machine must not be started on a lesser one."""
    facts = [platform.system(), platform.machine()]
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        facts += [line for line in lines if line.startswith(("flags", "Features", "model name"))][:2]
    return "\n".join(facts)


def _require_cargo() -> None:
    if shutil.which("cargo") is None:
        raise BuildFailed(
            "cargo (Rust 1.91 or newer) is not installed, and SP1 is built from source. Install it with: "
            "apt-get install rustup && rustup default stable   (or as https://rustup.rs says)"
        )


def _cargo(names: tuple[str, ...], announce: Announce) -> None:
    minutes = max(CPU_MINUTES[name] for name in names)
    log = cache_dir() / "build.log"
    announce(f"building SP1's {' and '.join(names)} from source: up to {minutes} CPU minutes (log: {log})")
    command = ["cargo", "build", "--release", "--locked", "--jobs", str(min(2, os.cpu_count() or 1))]
    for name in names:
        command += ["--package", CRATES[name]]
    if shutil.which("nice"):
        command = ["nice", "-n", "10", *command]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(cache_dir() / "target"), "CARGO_TERM_COLOR": "never"}
    # Set from outside these would make other binaries than the sources say.
    for name in ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_TARGET"):
        environment.pop(name, None)
    begin = time.monotonic()
    with log.open("wb") as output:
        done = subprocess.run(command, cwd=SOURCES, env=environment, stdout=output, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        shown = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
        raise BuildFailed(f"cargo ended with {done.returncode}; the end of {log}:\n{shown}")
    announce(f"compiled in {time.monotonic() - begin:.0f} s")


def _install(names: tuple[str, ...], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        partial = folder / f".{name}.partial"
        shutil.copy2(cache_dir() / "target" / "release" / name, partial)
        partial.replace(folder / name)


@contextmanager
def _lock(path: Path, announce: Announce) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            announce("another build of SP1 is going on; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proving.sp1.build", description=__doc__.splitlines()[0])
    parser.add_argument("--verifier", action="store_true", help="build the verifier library alone")
    options = parser.parse_args(arguments)
    names = (VERIFIER,) if options.verifier else (WORKER, VERIFIER)
    try:
        for path in build(names).values():
            print(path)
    except BuildFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
