"""The committed ELF files are what the sources make, wherever the checkout lies, laid out as the zkVMs demand."""

from __future__ import annotations

import hashlib
import shutil
import struct
from pathlib import Path

import pytest

from proving.guest import build
from proving.guest.build import ELF_DIR, GUESTS, ROOT, BuildError, compile_elf, sources

LOAD, WRITABLE, EXECUTABLE = 1, 2, 1
LOWEST = {"sp1": 0x78000000, "zisk": 0x90000000}
HIGHEST = {"sp1": 0x80000000, "zisk": 0x98000000}
guests = pytest.mark.parametrize("name", GUESTS)


@guests
def test_the_committed_file_reproduces(name: str) -> None:
    """Bit for bit: whoever trusts a program id can make that program from the sources."""
    build.check(GUESTS[name], compile_elf(GUESTS[name]))


@guests
def test_the_path_of_the_checkout_does_not_matter(name: str, tmp_path: Path) -> None:
    for source in sources(GUESTS[name]):
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, tmp_path / source)
    for header in [*(ROOT / "cores").glob("*.h"), *(ROOT / "proving/guest").glob("*.h"),
                   *(ROOT / "proving/guest").glob("*.ld")]:  # fmt: skip
        shutil.copy(header, tmp_path / header.relative_to(ROOT))
    moved = compile_elf(GUESTS[name], root=tmp_path)
    assert hashlib.sha256(moved).hexdigest() == hashlib.sha256((ELF_DIR / GUESTS[name].elf).read_bytes()).hexdigest()


@guests
def test_segments(name: str) -> None:
    """Where the zkVM wants them, and none writable: no word of memory has a value but what the program wrote."""
    elf = (ELF_DIR / GUESTS[name].elf).read_bytes()
    assert elf[:6] == b"\x7fELF\x02\x01"
    kind, machine = struct.unpack_from("<HH", elf, 16)
    entry, offset = struct.unpack_from("<QQ", elf, 24)
    assert (kind, machine) == (2, 243)
    size, count = struct.unpack_from("<HH", elf, 54)
    end = LOWEST[name]
    executable = []
    for index in range(count):
        fields = struct.unpack_from("<IIQQQQQQ", elf, offset + index * size)
        segment, flags, address, file_size, memory_size = fields[0], fields[1], fields[3], fields[5], fields[6]
        if segment != LOAD:
            continue
        assert address >= end, "sorted, disjoint, not below the lowest address"
        assert file_size == memory_size, "nothing is left to be zeroed"
        assert not flags & WRITABLE
        end = address + memory_size
        if flags & EXECUTABLE:
            executable.append((address, end))
    assert end <= HIGHEST[name]
    assert len(executable) == 1
    assert executable[0][0] == entry < executable[0][1]


@guests
def test_only_instructions_of_the_zkvm(name: str) -> None:
    """No compressed, floating-point or (SP1) atomic instruction: each word of the text is 32 bits of base ISA + M."""
    elf = (ELF_DIR / GUESTS[name].elf).read_bytes()
    offset, (size, count) = struct.unpack_from("<Q", elf, 32)[0], struct.unpack_from("<HH", elf, 54)
    allowed = {0x03, 0x13, 0x17, 0x1B, 0x23, 0x33, 0x37, 0x3B, 0x63, 0x67, 0x6F, 0x73}
    checked = 0
    for index in range(count):
        fields = struct.unpack_from("<IIQQQQQQ", elf, offset + index * size)
        if fields[0] != LOAD or not fields[1] & EXECUTABLE:
            continue
        for (word,) in struct.iter_unpack("<I", elf[fields[2] : fields[2] + fields[5]]):
            assert word & 0x7F in allowed or word == 0xC0001073, f"{word:#010x}"
            checked += 1
    assert checked > 1_000


def test_a_stale_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = GUESTS["sp1"]
    monkeypatch.setattr(build, "ELF_DIR", tmp_path)
    with pytest.raises(BuildError, match="not there"):
        build.check(guest, b"elf")
    (tmp_path / guest.elf).write_bytes(b"old")
    with pytest.raises(BuildError, match="not what the sources make"):
        build.check(guest, b"new")


def test_another_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "version", lambda name: "0.16.0")
    with pytest.raises(BuildError, match=r"pip install ziglang==0\.17\.0"):
        compile_elf(GUESTS["sp1"])


def test_a_compilers_complaint_is_shown(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="guest sp1"):
        compile_elf(GUESTS["sp1"], root=tmp_path)
