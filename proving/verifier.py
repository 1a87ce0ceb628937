"""Checks SP1 core proofs through the verifier library: no prover, no network, no trust in who made the proof.

The library is small, needs nothing but itself, and makes every check that makes a list of shard proofs one proof of
one run (see sp1/verifier). A proof is of a program id that the caller names, taken from the repository (`programs`)
or made anew from an ELF; a key that comes with a proof counts for nothing unless its hash is that id.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from proving.errors import ProvingError
from proving.sp1 import build

SP1_VERSION = "6.10.0"
REASON_BYTES_MAX = 1_000
PROGRAM_ID_BYTES = 32


class Check(IntEnum):
    """The check a refused proof failed; numbers as in sp1/verifier/src/refusal.rs."""

    NONE = 0
    ARGUMENT = 1
    ENCODING = 2
    VERSION = 3
    PROGRAM = 4
    SHARD_COUNT = 5
    PUBLIC_VALUES_LENGTH = 6
    FIRST_EXECUTION_SHARD = 7
    TIMESTAMP = 8
    PROGRAM_COUNTER = 9
    EXIT_CODE = 10
    NONCE = 11
    ADDRESSES = 12
    UNTRUSTED_PROGRAMS = 13
    DIGEST = 14
    COMMIT_FLAGS = 15
    CUMULATIVE_SUM = 16
    SHARD_PROOF = 17
    PUBLIC_VALUES = 18
    DEFERRED_PROOFS = 19
    ELF = 20
    PANIC = 21


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a proof holds, and if not, why."""

    ok: bool
    reason: str = ""
    check: Check = Check.NONE

    def __bool__(self) -> bool:
        return self.ok


class ElfRefused(ProvingError, ValueError):
    """The file is no program that SP1 can run."""


class Verifier:
    """The verifier library, loaded once; calls may come from any thread."""

    def __init__(self, library: Path | None = None):
        loaded = ctypes.CDLL(str(library or build.find(build.VERIFIER)))
        text, size = ctypes.c_char_p, ctypes.c_size_t
        loaded.venue_sp1_version.restype = text
        loaded.venue_sp1_verify.argtypes = [text, size, text, text, size, text, size]
        loaded.venue_sp1_verify_elf.argtypes = [text, size, text, size, text, size, text, size]
        loaded.venue_sp1_program_id.argtypes = [text, size, text, text, size]
        for name in ("venue_sp1_verify", "venue_sp1_verify_elf", "venue_sp1_program_id"):
            getattr(loaded, name).restype = ctypes.c_int32
        version = loaded.venue_sp1_version().decode()
        if version != SP1_VERSION:
            raise ProvingError(f"the verifier library is of SP1 {version}, not {SP1_VERSION}; build it anew")
        self._library = loaded

    def verify(self, proof: bytes, program_id: bytes, public_values: bytes) -> Verdict:
        """Did the program with this id, run to a good end, give these public values?"""
        if len(program_id) != PROGRAM_ID_BYTES:
            return Verdict(False, f"a program id has {PROGRAM_ID_BYTES} bytes, not {len(program_id)}", Check.ARGUMENT)
        reason = ctypes.create_string_buffer(REASON_BYTES_MAX)
        code = self._library.venue_sp1_verify(
            proof, len(proof), program_id, public_values, len(public_values), reason, REASON_BYTES_MAX
        )
        return _verdict(code, reason.value)

    def verify_elf(self, proof: bytes, elf: bytes, public_values: bytes) -> Verdict:
        """The same for the program in an ELF file, whose key is made anew (seconds, once for each ELF)."""
        reason = ctypes.create_string_buffer(REASON_BYTES_MAX)
        code = self._library.venue_sp1_verify_elf(
            proof, len(proof), elf, len(elf), public_values, len(public_values), reason, REASON_BYTES_MAX
        )
        return _verdict(code, reason.value)

    def program_id(self, elf: bytes) -> bytes:
        """The id of the program in an ELF file."""
        reason = ctypes.create_string_buffer(REASON_BYTES_MAX)
        program_id = ctypes.create_string_buffer(PROGRAM_ID_BYTES)
        code = self._library.venue_sp1_program_id(elf, len(elf), program_id, reason, REASON_BYTES_MAX)
        if code != 0:
            raise ElfRefused(reason.value.decode(errors="replace"))
        return program_id.raw


def _verdict(code: int, reason: bytes) -> Verdict:
    return Verdict(code == 0, reason.decode(errors="replace"), Check(code))
