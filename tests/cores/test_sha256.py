"""SHA-256 of the core, in plain C and with the CPU's instructions, against Python's."""

from __future__ import annotations

import ctypes
import hashlib
import os
import random
import subprocess
from pathlib import Path

import pytest

import cores


@pytest.mark.parametrize("macros", [[], ["-DVENUE_GUEST"]], ids=["this CPU's", "plain"])
def test_every_length_around_the_blocks(tmp_path: Path, macros: list[str]) -> None:
    """Which way a machine takes depends on its CPU; VENUE_GUEST leaves the plain one alone."""
    source, library = Path(cores.__file__).parent / "sha256.c", tmp_path / "sha256.so"
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    command = [os.environ.get("CC", "cc"), *flags, *macros, str(source), "-o", str(library)]
    subprocess.run(command, check=True)
    sha256 = ctypes.CDLL(str(library)).sha256
    source_of_bytes = random.Random(1)
    for length in [*range(300), 1_000, 4_096, 100_001]:
        data = source_of_bytes.randbytes(length)
        digest = ctypes.create_string_buffer(32)
        sha256(data, ctypes.c_uint64(length), digest)
        assert digest.raw == hashlib.sha256(data).digest(), length
