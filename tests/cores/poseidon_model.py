"""An independent model of everything that is hashed, in plain Python integers, straight from spec/statements.md.

Why: the C sources, their vector lanes and the guest share code; this shares none, so an error in common would show.
Slow by design (milliseconds a permutation). It must never import cores.roots or cores._roots.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

P = 2**31 - 2**24 + 1
CLEARED = 0xC0000000C0000000
Digest = tuple[int, int, int, int]

EXTERNAL = [
    [
        0x7EE56A48,
        0x11367045,
        0x12E41941,
        0x7EBBC12B,
        0x1970B7D5,
        0x662B60E8,
        0x3E4990C6,
        0x679F91F5,
        0x350813BB,
        0x00874AD4,
        0x28A0081A,
        0x18FA5872,
        0x5F25B071,
        0x5E5D5998,
        0x5E6FD3E7,
        0x5B2E2660,
    ],
    [
        0x6F1837BF,
        0x3FE6182B,
        0x1EDD7AC5,
        0x57470D00,
        0x43D486D5,
        0x1982C70F,
        0x0EA53AF9,
        0x61D6165B,
        0x51639C00,
        0x2DEC352C,
        0x2950E531,
        0x2D2CB947,
        0x08256CEF,
        0x1A0109F6,
        0x1F51FAF3,
        0x5CEF1C62,
    ],
    [
        0x3D65E50E,
        0x33D91626,
        0x133D5A1E,
        0x0FF49B0D,
        0x38900CD1,
        0x2C22CC3F,
        0x28852BB2,
        0x06C65A02,
        0x7B2CF7BC,
        0x68016E1A,
        0x15E16BC0,
        0x5248149A,
        0x6DD212A0,
        0x18D6830A,
        0x5001BE82,
        0x64DAC34E,
    ],
    [
        0x5902B287,
        0x426583A0,
        0x0C921632,
        0x3FE028A5,
        0x245F8E49,
        0x43BB297E,
        0x7873DBD9,
        0x3CC987DF,
        0x286BB4CE,
        0x640A8DCD,
        0x512A8E36,
        0x03A4CF55,
        0x481837A2,
        0x03D6DA84,
        0x73726AC7,
        0x760E7FDF,
    ],
    [
        0x43E7DC24,
        0x259A5D61,
        0x27E85A3B,
        0x1B9133FA,
        0x343E5628,
        0x485CD4C2,
        0x16E269F5,
        0x165B60C6,
        0x25F683D9,
        0x124F81F9,
        0x174331F9,
        0x77344DC5,
        0x5A821DBA,
        0x5FC4177F,
        0x54153BF5,
        0x5E3F1194,
    ],
    [
        0x3BDBF191,
        0x088C84A3,
        0x68256C9B,
        0x3C90BBC6,
        0x6846166A,
        0x03F4238D,
        0x463335FB,
        0x5E3D3551,
        0x6E59AE6F,
        0x32D06CC0,
        0x596293F3,
        0x6C87EDB2,
        0x08FC60B5,
        0x34BCCA80,
        0x24F007F3,
        0x62731C6F,
    ],
    [
        0x1E1DB6C6,
        0x0CA409BB,
        0x585C1E78,
        0x56E94EDC,
        0x16D22734,
        0x18E11467,
        0x7B2C3730,
        0x770075E4,
        0x35D1B18C,
        0x22BE3DB5,
        0x4FB1FBB7,
        0x477CB3ED,
        0x7D5311C6,
        0x5B62AE7D,
        0x559C5FA8,
        0x77F15048,
    ],
    [
        0x3211570B,
        0x490FEF6A,
        0x77EC311F,
        0x2247171B,
        0x4E0AC711,
        0x2EDF69C9,
        0x3B5A8850,
        0x65809421,
        0x5619B4AA,
        0x362019A7,
        0x6BF9D4ED,
        0x5B413DFF,
        0x617E181E,
        0x5E7AB57B,
        0x33AD7833,
        0x3466C7CA,
    ],
]
INTERNAL = [
    0x54DFEB5D,
    0x7D40AFD6,
    0x722CB316,
    0x106A4573,
    0x45A7CCDB,
    0x44061375,
    0x154077A5,
    0x45744FAA,
    0x4EB5E5EE,
    0x3794E83F,
    0x47C7093C,
    0x5694903C,
    0x69CB6299,
    0x373DF84C,
    0x46A0DF58,
    0x46B8758A,
    0x3241EBCB,
    0x0B09D233,
    0x1AF42357,
    0x1E66CEC2,
]
DIAGONAL = [P - 2, *(2**k for k in range(14)), 2**15]
SHRINK = pow(2**32, -1, P)
BLOCK = [[2, 3, 1, 1], [1, 2, 3, 1], [1, 1, 2, 3], [3, 1, 1, 2]]
# The external matrix: 2 * BLOCK on the diagonal, BLOCK elsewhere.
MATRIX = [[BLOCK[i % 4][j % 4] * (2 if i // 4 == j // 4 else 1) for j in range(16)] for i in range(16)]


def _external_layer(state: list[int]) -> list[int]:
    return [sum(a * x for a, x in zip(row, state, strict=True)) % P for row in MATRIX]


def _internal_layer(state: list[int]) -> list[int]:
    total = sum(state)
    return [(total + d * x) * SHRINK % P for d, x in zip(DIAGONAL, state, strict=True)]


def permute_elements(state: Sequence[int]) -> list[int]:
    """Sixteen elements in, sixteen out."""
    work = _external_layer(list(state))
    for constants in EXTERNAL[:4]:
        work = _external_layer([pow(x + c, 3, P) for x, c in zip(work, constants, strict=True)])
    for constant in INTERNAL:
        work = _internal_layer([pow(work[0] + constant, 3, P), *work[1:]])
    for constants in EXTERNAL[4:]:
        work = _external_layer([pow(x + c, 3, P) for x, c in zip(work, constants, strict=True)])
    return work


def permute(words: Sequence[int]) -> list[int]:
    """Eight words in, eight out; a word is two elements, the low half first."""
    assert len(words) == 8
    elements = [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
    assert all(x < P for x in elements)
    out = permute_elements(elements)
    return [out[2 * i] | out[2 * i + 1] << 32 for i in range(8)]


def fld(word: int) -> int:
    return word & ~CLEARED


def tag(words: Sequence[int]) -> int:
    """The cleared bits: word k of n leaves its two bits of each half at bits 28 - 2 (n - 1 - k) of that half."""
    result = 0
    for k, word in enumerate(words):
        place = 28 - 2 * (len(words) - 1 - k)
        result |= (word >> 30 & 3) << place | (word >> 62 & 3) << 32 + place
    return result


def letters(text: str) -> int:
    return int.from_bytes(text.encode(), "little")


def command_leaf(annex: Sequence[int], command: Sequence[int]) -> Digest:
    words = [*annex, *command]
    digest = permute([fld(w) for w in words[:8]])[:4]
    digest = permute([*digest, *(fld(w) for w in words[8:])])[:4]
    return _digest(permute([*digest, tag(words), letters("cmd"), 0, 0]))


def event_leaf(annex: Sequence[int], index: int, event: Sequence[int]) -> Digest:
    digest = permute([*(fld(w) for w in annex), letters("bind"), index, 0, 0])[:4]
    digest = permute([*digest, *(fld(w) for w in event[:4])])[:4]
    digest = permute([*digest, *(fld(w) for w in event[4:])])[:4]
    return _digest(permute([*digest, tag(event), letters("evt"), 0, 0]))


def node(left: Digest, right: Digest) -> Digest:
    return _digest(permute([*left, *right]))


def tree_root(leaves: Sequence[Digest]) -> Digest:
    """By RFC 6962's own recursion."""
    if not leaves:
        return (0, 0, 0, 0)
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node(tree_root(leaves[:split]), tree_root(leaves[split:]))


def tree_path(leaves: Sequence[Digest], index: int) -> list[Digest]:
    """RFC 6962's PATH(m, D[n])."""
    if len(leaves) <= 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*tree_path(leaves[:split], index), tree_root(leaves[split:])]
    return [*tree_path(leaves[split:], index - split), tree_root(leaves[:split])]


def slots_digest(domain: str, slots: Sequence[Sequence[int]]) -> Digest:
    digest = [letters(domain), 0, 0, 0]
    for slot in slots:
        digest = permute([*digest, *(fld(w) for w in slot[:4])])[:4]
        digest = permute([*digest, *(fld(w) for w in slot[4:7]), tag(slot[:7])])[:4]
    return _digest(digest)


def state_root(
    config: Sequence[Sequence[int]],
    symbols: Sequence[Sequence[Sequence[int]]],
    accounts: Sequence[Sequence[Sequence[int]]],
) -> Digest:
    symbols_root = tree_root([slots_digest("sym", slots) for slots in symbols])
    accounts_root = tree_root([slots_digest("acc", slots) for slots in accounts])
    return node(node(symbols_root, accounts_root), slots_digest("cfg", config))


def to_bytes(digest: Sequence[int]) -> bytes:
    return struct.pack("<4Q", *digest)


def annex_digest(annex: bytes) -> Digest:
    return _digest(struct.unpack("<4Q", hashlib.sha256(annex).digest()))


def deposit_acc(acc: bytes, seq: int, account: int, asset: int, amount: int) -> bytes:
    return hashlib.sha256(acc + struct.pack(">4Q", seq, account, asset, amount)).digest()


def withdrawal_root(withdrawals: Sequence[tuple[bytes, int, int, int]]) -> bytes:
    """Of (address, asset, amount, seq)."""
    if not withdrawals:
        return bytes(32)
    return _sha_tree([hashlib.sha256(b"\0" + a + struct.pack(">3Q", *rest)).digest() for a, *rest in withdrawals])


def _sha_tree(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _sha_tree(leaves[:split]) + _sha_tree(leaves[split:])).digest()


def _digest(words: Sequence[int]) -> Digest:
    return (words[0], words[1], words[2], words[3])
