"""The core reads nothing that it has not written: in a zkVM the prover chooses what untouched memory holds."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import cores
from cores import CoreConfig
from tests.cores.fix_cores import SMALL, CompiledCore, Play, generate, setup_fields

APART = ("_", "poseidon2", "roots", "sha256")  # generated, and what hashes the state
SOURCES = sorted(path.stem for path in Path(cores.__file__).parent.glob("*.c") if not path.name.startswith(APART))
FREESTANDING = ["-ffreestanding", "-fno-builtin", "-nostdlib"]
WIDE = CoreConfig(symbols=4, accounts=5, assets=3, orders=8192, levels=8192)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(cores.__file__).parent
    target = tmp_path_factory.mktemp("garbage") / "garbage"
    sources = [str(Path(__file__).with_name("garbage.c")), *(str(folder / f"{name}.c") for name in SOURCES)]
    flags = ["-std=gnu11", "-O2", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Werror", "-I", str(folder)]
    subprocess.run([os.environ.get("CC", "cc"), *flags, *sources, "-o", str(target)], check=True)
    return target


def commands_file(folder: Path, config: CoreConfig, run: int) -> Path:
    core, play = CompiledCore(config), Play()
    records = [play.record(fields) for fields in setup_fields()]
    core.apply(np.concatenate(records))
    for number in range(600):
        records.append(play.record(generate(run << 16 | number)))
        play.see(core.apply(records[-1])[0])
    path = folder / "commands"
    np.concatenate(records).tofile(path)
    return path


@pytest.mark.parametrize("config", [SMALL, WIDE], ids=["small", "wide"])
@pytest.mark.parametrize("run", range(4))
def test_what_memory_held_before_does_not_matter(program: Path, tmp_path: Path, config: CoreConfig, run: int) -> None:
    path = commands_file(tmp_path, config, run)
    sizes = [str(word) for word in config.words()]
    outputs = {
        subprocess.run([program, str(fill), *sizes, path], check=True, capture_output=True, text=True).stdout
        for fill in (0x00, 0xFF, 0xA5, 0x01)
    }
    assert len(outputs) == 1
    assert outputs.pop().count("check 0") == 2


@pytest.mark.parametrize("optimisation", ["-O1", "-O2", "-Os"])
def test_the_core_needs_no_library(tmp_path: Path, optimisation: str) -> None:
    """Compiled freestanding, its objects ask for nothing but each other: not even memcpy or memset."""
    folder = Path(cores.__file__).parent
    objects = []
    for name in SOURCES:
        objects.append(tmp_path / f"{name}.o")
        command = [os.environ.get("CC", "cc"), "-std=gnu11", optimisation, *FREESTANDING, "-mno-sse", "-I", str(folder)]
        if os.uname().machine != "x86_64":
            command.remove("-mno-sse")
        subprocess.run([*command, "-c", str(folder / f"{name}.c"), "-o", str(objects[-1])], check=True)
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm on this machine")
    listing = subprocess.run([nm, *objects], check=True, capture_output=True, text=True).stdout.split("\n")
    symbols = [line.split()[-2:] for line in listing if len(line.split()) >= 2]
    defined = {name for kind, name in symbols if kind in "TtRrDdBb"}
    wanted = {name for kind, name in symbols if kind == "U"} - {"_GLOBAL_OFFSET_TABLE_"}
    assert wanted <= defined, f"from outside: {sorted(wanted - defined)}"
