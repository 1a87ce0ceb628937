"""The guests whose proofs this venue stands behind: committed ELF files, their hashes, their program ids.

A proof means something only for a program that everybody can read and rebuild. `programs.json` pins each committed
ELF's SHA-256 and program id; verification takes the id from there. The id is not a thing to be typed: it is computed
from the ELF by the verifier library, and a test computes it again.

    python -m proving.programs              list, and compare with the ELF files
    python -m proving.programs --write      compute the ids anew after the guest was rebuilt
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from proving.errors import ProgramUnknown, ProvingError
from proving.sp1 import build
from proving.verifier import Verifier

ELF_DIR = Path(__file__).parent / "guest" / "elf"
LIST = "programs.json"

# The program of statement 1: the venue's core over a batch.
EXECUTION = "execution"


@dataclass(frozen=True, slots=True)
class Program:
    """A guest: its name, its ELF file and the id under which its proofs are verified."""

    name: str
    elf_path: Path
    program_id: bytes


def load(folder: Path = ELF_DIR) -> dict[str, Program]:
    """The committed programs by name, each ELF compared with its pinned hash."""
    path = folder / LIST
    if not path.exists():
        raise ProgramUnknown(
            f"no programs are committed: {path} is missing; write it with: python -m proving.programs --write"
        )
    programs = {}
    for name, entry in json.loads(path.read_text()).items():
        elf_path = folder / entry["elf"]
        if not elf_path.exists():
            raise ProgramUnknown(f"program '{name}': {elf_path} is missing")
        found = hashlib.sha256(elf_path.read_bytes()).hexdigest()
        if found != entry["sha256"]:
            raise ProgramUnknown(
                f"program '{name}': {elf_path} has SHA-256 {found}, {LIST} says {entry['sha256']}; "
                "restore the file, or after a rebuild: python -m proving.programs --write"
            )
        programs[name] = Program(name, elf_path, bytes.fromhex(entry["program_id"]))
    return programs


def get(name: str, folder: Path = ELF_DIR) -> Program:
    """The committed program with this name."""
    programs = load(folder)
    if name not in programs:
        raise ProgramUnknown(f"no program is called '{name}'; there are: {', '.join(sorted(programs)) or 'none'}")
    return programs[name]


def write(folder: Path = ELF_DIR, verifier: Verifier | None = None) -> dict[str, Program]:
    """Compute hash and id of every ELF in the folder and pin them."""
    verifier = verifier or Verifier()
    entries = {}
    for path in sorted(folder.glob("*.elf")):
        elf = path.read_bytes()
        program_id = verifier.program_id(elf).hex()
        entries[path.stem] = {"elf": path.name, "sha256": hashlib.sha256(elf).hexdigest(), "program_id": program_id}
    if not entries:
        raise ProgramUnknown(f"no ELF files in {folder}")
    partial = folder / f".{LIST}.partial"
    partial.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n")
    partial.replace(folder / LIST)
    return load(folder)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proving.programs", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="compute hashes and ids anew and pin them")
    parser.add_argument("--folder", type=Path, default=ELF_DIR, help="where the ELF files are")
    options = parser.parse_args(arguments)
    try:
        library = build.build((build.VERIFIER,), announce=lambda line: print(line, file=sys.stderr))[build.VERIFIER]
        verifier = Verifier(library)
        programs = write(options.folder, verifier) if options.write else load(options.folder)
        wrong = 0
        for program in programs.values():
            agrees = verifier.program_id(program.elf_path.read_bytes()) == program.program_id
            wrong += not agrees
            print(
                f"{program.name:20} 0x{program.program_id.hex()}  {'' if agrees else 'NOT the id of its ELF'}".rstrip()
            )
    except ProvingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
