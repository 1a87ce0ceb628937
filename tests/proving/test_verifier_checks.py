"""Every check of a core proof has a proof here that only that check refuses.

Each is a real proof, changed: shards taken out, put in, exchanged; public elements and key fields increased by one;
bytes cut, added, or written in a second way for the same value.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import struct
from dataclasses import dataclass, replace

import pytest

from proving.verifier import Check, Verifier

pytestmark = pytest.mark.prover

PRIME = 0x7F000001
PUBLIC_ELEMENTS = 187
HEADER_BYTES = 8 + 4 + 8
KEY_ELEMENTS = 3 + 14 + 8 + 1

# Places of the public elements, in the order of SP1's PublicValues.
DIGEST_BEFORE, DIGEST, DEFERRED_BEFORE, DEFERRED = 0, 32, 64, 72
PC_START, NEXT_PC, EXIT_CODE_BEFORE, EXIT_CODE, EXECUTES = 80, 83, 86, 87, 88
INIT_BEFORE, INIT, FINAL_BEFORE, FINAL = 89, 92, 95, 98
PAGES = range(101, 113)
TIME_BEGIN, TIME_END = 113, 117
SUM = 130
COMMIT_BEFORE, COMMITTED, COMMIT_DEFERRED_BEFORE, COMMITTED_DEFERRED = 144, 145, 146, 147
FIRST_EXECUTION, UNTRUSTED, NONCE = 150, 151, 152


@dataclass(frozen=True)
class Parts:
    """A proof file, taken apart by a second reader than the verifier's own."""

    header: bytes
    key: bytes
    shards: tuple[bytes, ...]

    @staticmethod
    def of(data: bytes) -> Parts:
        header, rest = data[:HEADER_BYTES], data[HEADER_BYTES:]
        (key_bytes,) = struct.unpack_from("<I", rest)
        key, rest = rest[4 : 4 + key_bytes], rest[4 + key_bytes :]
        (count,) = struct.unpack_from("<I", rest)
        shards, offset = [], 4
        for _ in range(count):
            (length,) = struct.unpack_from("<Q", rest, offset)
            shards.append(rest[offset + 8 : offset + 8 + length])
            offset += 8 + length
        assert offset == len(rest)
        return Parts(header, key, tuple(shards))

    def joined(self) -> bytes:
        out = [self.header, struct.pack("<I", len(self.key)), self.key, struct.pack("<I", len(self.shards))]
        for shard in self.shards:
            out += [struct.pack("<Q", len(shard)), shard]
        return b"".join(out)

    def element(self, shard: int, index: int) -> int:
        return int.from_bytes(self.shards[shard][8 + 4 * index :][:4], "little")

    def with_element(self, shard: int, index: int, value: int) -> Parts:
        changed = bytearray(self.shards[shard])
        struct.pack_into("<I", changed, 8 + 4 * index, value)
        return replace(self, shards=(*self.shards[:shard], bytes(changed), *self.shards[shard + 1 :]))

    def plus_one(self, shard: int, index: int) -> Parts:
        return self.with_element(shard, index, (self.element(shard, index) + 1) % PRIME)


@pytest.fixture(scope="module")
def split(split_proof) -> Parts:
    return Parts.of(split_proof.data)


@pytest.fixture(scope="module")
def whole(whole_proof) -> Parts:
    return Parts.of(whole_proof.data)


@pytest.fixture
def refused(verifier: Verifier, split_proof):
    """Demand that these bytes are refused, by one of these checks if any are named."""

    def demand(data: bytes, *checks: Check) -> str:
        verdict = verifier.verify(data, split_proof.program.program_id, split_proof.public_values)
        assert not verdict
        assert verdict.reason
        assert not checks or verdict.check in checks, verdict
        return verdict.reason

    return demand


def test_real_proofs_are_accepted(verifier, split_proof, whole_proof):
    """One shard, and precompile calls in shards of their own; by the pinned id and by the ELF."""
    assert (split_proof.shards, whole_proof.shards) == (5, 1)
    for proof in (split_proof, whole_proof):
        assert verifier.verify(proof.data, proof.program.program_id, proof.public_values)
        assert verifier.verify_elf(proof.data, proof.program.elf_path.read_bytes(), proof.public_values)


def test_what_the_proof_says_is_true(split_proof):
    """Both ways of hashing in the guest give hashlib's digest, and the public values are those that were proved."""
    digest = hashlib.sha256(b"many shards" * 20).digest()
    assert split_proof.public_values[:64] == digest + digest


def test_the_second_reader_agrees(split, split_proof):
    assert split.joined() == split_proof.data
    assert all(struct.unpack_from("<Q", shard)[0] == PUBLIC_ELEMENTS for shard in split.shards)
    assert len(split.key) == 4 * KEY_ELEMENTS


# (1) the program key is pinned or made anew


def test_another_program_id(verifier, split_proof):
    wrong = bytearray(split_proof.program.program_id)
    wrong[31] ^= 1
    assert verifier.verify(split_proof.data, bytes(wrong), split_proof.public_values).check == Check.PROGRAM
    short = verifier.verify(split_proof.data, split_proof.program.program_id[:31], split_proof.public_values)
    assert short.check == Check.ARGUMENT


def test_another_elf(verifier, split_proof):
    """One instruction of the program is another: another key, another id."""
    elf = bytearray(split_proof.program.elf_path.read_bytes())
    at = elf.index(bytes.fromhex("73000000"))
    elf[at : at + 4] = bytes.fromhex("13000000")
    assert verifier.verify_elf(split_proof.data, bytes(elf), split_proof.public_values).check == Check.PROGRAM
    assert verifier.program_id(bytes(elf)) != split_proof.program.program_id


def test_no_elf(verifier, split_proof):
    assert verifier.verify_elf(split_proof.data, b"\x7fELF, or not", split_proof.public_values).check == Check.ELF


@pytest.mark.parametrize("field", range(KEY_ELEMENTS))
def test_each_key_field(verifier, split, split_proof, field):
    """The prover's key counts only if its hash is the pinned id; and were that id pinned, the proof would not hold."""
    (value,) = struct.unpack_from("<I", split.key, 4 * field)
    key = bytearray(split.key)
    struct.pack_into("<I", key, 4 * field, (value + 1) % PRIME)
    data = replace(split, key=bytes(key)).joined()
    verdict = verifier.verify(data, split_proof.program.program_id, split_proof.public_values)
    assert verdict.check == Check.PROGRAM
    claimed = bytes.fromhex(re.search(r"of program ([0-9a-f]{64})", verdict.reason)[1])
    verdict = verifier.verify(data, claimed, split_proof.public_values)
    assert verdict.check in (
        Check.PROGRAM_COUNTER,
        Check.CUMULATIVE_SUM,
        Check.SHARD_PROOF,
        Check.UNTRUSTED_PROGRAMS,
    )
    elf = split_proof.program.elf_path.read_bytes()
    assert verifier.verify_elf(data, elf, split_proof.public_values).check == Check.PROGRAM


# (2) version, number of shards, length of public elements


def test_changed_version(refused, split):
    for at, check in ((0, Check.ENCODING), (8, Check.VERSION), (12, Check.VERSION), (19, Check.VERSION)):
        header = bytearray(split.header)
        header[at] ^= 1
        refused(replace(split, header=bytes(header)).joined(), check)


def test_no_shards(refused, split):
    refused(replace(split, shards=()).joined(), Check.SHARD_COUNT)


def test_too_many_shards(refused, split):
    data = bytearray(split.joined())
    at = HEADER_BYTES + 4 + len(split.key)
    for count in (1 << 24, (1 << 32) - 1):
        struct.pack_into("<I", data, at, count)
        refused(bytes(data), Check.SHARD_COUNT)


@pytest.mark.parametrize("length", [0, 1, 159, 160, PUBLIC_ELEMENTS - 1, PUBLIC_ELEMENTS + 1])
def test_length_of_public_elements(refused, split, length):
    shard = split.shards[0]
    elements = (shard[8 : 8 + 4 * PUBLIC_ELEMENTS] + bytes(4))[: 4 * length]
    changed = struct.pack("<Q", length) + elements + shard[8 + 4 * PUBLIC_ELEMENTS :]
    refused(replace(split, shards=(changed, *split.shards[1:])).joined(), Check.PUBLIC_VALUES_LENGTH)


# (3) to (7): what binds the shards


def test_empty_shard(refused, split):
    refused(replace(split, shards=(b"", *split.shards[1:])).joined(), Check.ENCODING)


@pytest.mark.parametrize("index", range(5))
def test_dropped_and_duplicated_shards(refused, split, index):
    refused(replace(split, shards=split.shards[:index] + split.shards[index + 1 :]).joined())
    refused(replace(split, shards=split.shards[: index + 1] + split.shards[index:]).joined())


@pytest.mark.parametrize("first, second", list(itertools.combinations(range(5), 2)))
def test_swapped_shards(verifier, refused, split, split_proof, first, second):
    """Precompile shards carry no order among themselves; any other exchange is refused."""
    shards = list(split.shards)
    shards[first], shards[second] = shards[second], shards[first]
    data = replace(split, shards=tuple(shards)).joined()
    if second < 3:
        assert verifier.verify(data, split_proof.program.program_id, split_proof.public_values)
    else:
        refused(data, Check.TIMESTAMP, Check.PROGRAM_COUNTER, Check.ADDRESSES, Check.DIGEST, Check.COMMIT_FLAGS)


def test_spliced_shards(verifier, split, whole, split_proof, whole_proof):
    """Shards of two proofs of one program, in every mixture of the one shard with the five, under either's values."""
    mixtures = [split.shards[:i] + whole.shards + split.shards[j:] for i in range(6) for j in range(i, 6)]
    for shards in mixtures:
        if shards == whole.shards:
            continue
        data = replace(split, shards=shards).joined()
        for proof in (split_proof, whole_proof):
            assert not verifier.verify(data, proof.program.program_id, proof.public_values)


@pytest.mark.parametrize(
    "index, check",
    [
        (FIRST_EXECUTION, Check.FIRST_EXECUTION_SHARD),
        (TIME_BEGIN + 3, Check.TIMESTAMP),
        (TIME_END + 3, Check.TIMESTAMP),
        (EXECUTES, Check.TIMESTAMP),
        (PC_START, Check.PROGRAM_COUNTER),
        (NEXT_PC, Check.PROGRAM_COUNTER),
        (EXIT_CODE_BEFORE, Check.EXIT_CODE),
        (EXIT_CODE, Check.EXIT_CODE),
        (NONCE, Check.NONCE),
        (NONCE + 3, Check.NONCE),
        (INIT_BEFORE, Check.ADDRESSES),
        (INIT, Check.ADDRESSES),
        (FINAL_BEFORE, Check.ADDRESSES),
        (FINAL, Check.ADDRESSES),
        (PAGES[0], Check.ADDRESSES),
        (PAGES[3], Check.ADDRESSES),
        (PAGES[6], Check.ADDRESSES),
        (PAGES[9], Check.ADDRESSES),
        (UNTRUSTED, Check.UNTRUSTED_PROGRAMS),
        (DIGEST_BEFORE, Check.DIGEST),
        (DIGEST, Check.DIGEST),
        (DEFERRED_BEFORE, Check.DEFERRED_PROOFS),
        (DEFERRED, Check.DEFERRED_PROOFS),
        (COMMIT_BEFORE, Check.COMMIT_FLAGS),
        (COMMITTED, Check.COMMIT_FLAGS),
        (COMMIT_DEFERRED_BEFORE, Check.COMMIT_FLAGS),
        (COMMITTED_DEFERRED, Check.COMMIT_FLAGS),
        (SUM, Check.CUMULATIVE_SUM),
    ],
)
def test_each_link_of_the_chain(refused, split, index, check):
    """A link broken in the execution shard is refused by the check that stands for it."""
    refused(split.plus_one(3, index).joined(), check)


def test_ends_of_the_chain(refused, split):
    """What the last shard must end with, broken in the last shard alone."""
    last = len(split.shards) - 1
    refused(split.plus_one(last, NEXT_PC).joined(), Check.PROGRAM_COUNTER)
    refused(split.with_element(last, COMMITTED, 0).joined(), Check.COMMIT_FLAGS)
    refused(split.with_element(last, COMMITTED_DEFERRED, 0).joined(), Check.COMMIT_FLAGS)
    refused(split.plus_one(last, DEFERRED).joined(), Check.DEFERRED_PROOFS)
    refused(split.with_element(last, DIGEST, 256).joined(), Check.DIGEST)
    for place in (INIT, FINAL):
        emptied = split
        for limb in range(3):
            emptied = emptied.with_element(last, place + limb, 0)
        refused(emptied.joined(), Check.ADDRESSES)


def test_no_first_execution_shard(refused, split):
    for value in (0, 2, PRIME - 1):
        refused(split.with_element(3, FIRST_EXECUTION, value).joined(), Check.FIRST_EXECUTION_SHARD)
    refused(split.with_element(0, FIRST_EXECUTION, 1).joined(), Check.FIRST_EXECUTION_SHARD)


def test_nonce_of_all_shards(refused, split):
    """The same other nonce everywhere: the chain holds, the proofs do not."""
    changed = split
    for shard in range(len(split.shards)):
        changed = changed.plus_one(shard, NONCE)
    refused(changed.joined(), Check.SHARD_PROOF)


# (8) each shard's own proof


@pytest.mark.parametrize("index", range(PUBLIC_ELEMENTS))
def test_each_public_element(refused, verifier, split, whole, whole_proof, index):
    """Plus one, in each kind of shard: the chain refuses it, or the shard's proof does."""
    for shard in (0, 3, 4):
        refused(split.plus_one(shard, index).joined())
    verdict = verifier.verify(
        whole.plus_one(0, index).joined(), whole_proof.program.program_id, whole_proof.public_values
    )
    assert not verdict and verdict.check != Check.PANIC


# (9) the public values


@pytest.mark.parametrize("index", range(264))
def test_each_byte_of_the_public_values(verifier, whole_proof, index):
    changed = bytearray(whole_proof.public_values)
    changed[index] ^= 0x40
    verdict = verifier.verify(whole_proof.data, whole_proof.program.program_id, bytes(changed))
    assert verdict.check == Check.PUBLIC_VALUES


def test_public_values_of_another_length(verifier, whole_proof):
    for other in (b"", whole_proof.public_values[:-1], whole_proof.public_values + b"\0"):
        verdict = verifier.verify(whole_proof.data, whole_proof.program.program_id, other)
        assert verdict.check == Check.PUBLIC_VALUES


# (10), (11) one proof has one encoding


def test_truncated(refused, split):
    data = split.joined()
    for length in (0, 1, 8, 20, 30, 200, 1_000, len(data) // 2, len(data) - 1):
        refused(data[:length], Check.ENCODING)


def test_trailing_bytes(refused, split):
    refused(split.joined() + b"\0", Check.ENCODING)
    for shard in range(len(split.shards)):
        longer = (*split.shards[:shard], split.shards[shard] + b"\0", *split.shards[shard + 1 :])
        refused(replace(split, shards=longer).joined(), Check.ENCODING)
    refused(replace(split, key=split.key + b"\0").joined(), Check.ENCODING)


@pytest.mark.parametrize("shard", [0, 3, 4])
def test_field_elements_above_the_prime(refused, split, shard):
    """The same value, written as itself plus the prime, in public elements, in the key and deep in a proof."""
    for index in (0, DIGEST, NONCE, SUM, PUBLIC_ELEMENTS - 1):
        refused(split.with_element(shard, index, split.element(shard, index) + PRIME).joined(), Check.ENCODING)
    (value,) = struct.unpack_from("<I", split.key)
    refused(replace(split, key=struct.pack("<I", value + PRIME) + split.key[4:]).joined(), Check.ENCODING)
    deep = bytearray(split.shards[shard])
    at = len(deep) - 4
    struct.pack_into("<I", deep, at, struct.unpack_from("<I", deep, at)[0] + PRIME)
    changed = (*split.shards[:shard], bytes(deep), *split.shards[shard + 1 :])
    refused(replace(split, shards=changed).joined())


def test_absurd_lengths(refused, split):
    """Lengths that would take all memory are answered, not allocated."""
    for length in (1 << 20, 1 << 32, 1 << 62, (1 << 64) - 1):
        shard = struct.pack("<Q", length) + split.shards[0][8:]
        refused(replace(split, shards=(shard, *split.shards[1:])).joined(), Check.ENCODING)
        data = bytearray(split.joined())
        struct.pack_into("<Q", data, HEADER_BYTES + 4 + len(split.key) + 4, length)
        refused(bytes(data), Check.ENCODING)
