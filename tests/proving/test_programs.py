"""The list of committed programs: what is pinned, and what happens when file and pin disagree."""

from __future__ import annotations

import json
import shutil

import pytest

from proving import programs
from proving.errors import ProgramUnknown
from proving.verifier import ElfRefused


@pytest.fixture
def folder(tmp_path, toy_elf_bytes):
    """A folder with one pinned ELF, whose id is made up."""
    (tmp_path / "toy.elf").write_bytes(toy_elf_bytes)
    digest = "f70ae54f4b9f34a4ab47a82a2d5b8ff1d6e2db5c9a9b8d7bb3e7c2ad9cd3e011"
    entry = {"elf": "toy.elf", "sha256": digest, "program_id": "11" * 32}
    (tmp_path / programs.LIST).write_text(json.dumps({"toy": entry}))
    return tmp_path


@pytest.fixture
def toy_elf_bytes(toy_elf) -> bytes:
    return toy_elf.read_bytes()


def pin(folder, **changes):
    """Rewrite the pin of the toy with the right hash, and these changes."""
    import hashlib

    path = folder / programs.LIST
    entry = json.loads(path.read_text())["toy"]
    entry["sha256"] = hashlib.sha256((folder / "toy.elf").read_bytes()).hexdigest()
    path.write_text(json.dumps({"toy": entry | changes}))


def test_load(folder):
    pin(folder)
    program = programs.get("toy", folder)
    assert (program.name, program.elf_path, program.program_id) == ("toy", folder / "toy.elf", b"\x11" * 32)


def test_the_elf_is_another(folder):
    with pytest.raises(ProgramUnknown, match=r"has SHA-256 .* programs\.json says f70ae5"):
        programs.load(folder)


def test_the_elf_is_missing(folder):
    (folder / "toy.elf").unlink()
    with pytest.raises(ProgramUnknown, match=r"toy\.elf is missing"):
        programs.load(folder)


def test_the_list_is_missing(tmp_path):
    with pytest.raises(ProgramUnknown, match=r"proving\.programs --write"):
        programs.load(tmp_path)


def test_unknown_name(folder):
    pin(folder)
    with pytest.raises(ProgramUnknown, match="no program is called 'margin'; there are: toy"):
        programs.get("margin", folder)


@pytest.mark.prover
def test_write_and_compare(folder, verifier, toy_program, capsys):
    """The written id is that of the ELF; a made-up one is shown as wrong."""
    pin(folder)
    assert programs.main(["--folder", str(folder)]) == 1
    assert "NOT the id of its ELF" in capsys.readouterr().out
    written = programs.write(folder, verifier)
    assert written["toy"].program_id == toy_program.program_id
    assert programs.main(["--folder", str(folder)]) == 0


@pytest.mark.prover
def test_write_refuses_what_is_no_program(tmp_path, verifier):
    (tmp_path / "noise.elf").write_bytes(b"\x7fELF and noise")
    with pytest.raises(ElfRefused, match="not a program SP1 can run"):
        programs.write(tmp_path, verifier)
    assert not (tmp_path / programs.LIST).exists()


@pytest.mark.prover
def test_committed_ids(verifier):
    """Each committed id is computed again from its committed ELF."""
    committed = programs.load()
    assert programs.EXECUTION in committed
    for program in committed.values():
        assert verifier.program_id(program.elf_path.read_bytes()) == program.program_id


@pytest.mark.prover
def test_write_gives_the_committed_list(tmp_path, verifier):
    for path in programs.ELF_DIR.glob("*.elf"):
        shutil.copy(path, tmp_path)
    programs.write(tmp_path, verifier)
    assert (tmp_path / programs.LIST).read_bytes() == (programs.ELF_DIR / programs.LIST).read_bytes()
