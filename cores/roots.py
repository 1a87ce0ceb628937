"""The roots of a batch: command, event and state trees over Poseidon2, and paths through them.

Why: a root of 32 bytes stands for a million records, and a path of a few hundred bytes shows one of them. What exactly
is hashed is written down in spec/statements.md and, for machines, in roots.h; this module only keeps what is expensive
(digests of untouched symbols and accounts) between batches. It must never hash anything in another way than the guest.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cores._roots import (
    annex_digests,
    command_leaves,
    event_leaves,
    join_pairs,
    slots_digests,
    witness_cover,
)
from cores._roots import tree_root as _tree_root_words

Words = npt.NDArray[np.uint64]

KILLED_A_SLOT = 7  # killed sessions that a slot of the configuration holds
DOMAIN_CONFIG = int.from_bytes(b"cfg", "little")
DOMAIN_SYMBOL = int.from_bytes(b"sym", "little")
DOMAIN_ACCOUNT = int.from_bytes(b"acc", "little")

__all__ = [
    "DigestTree",
    "StateTree",
    "Words",
    "annex_digests",
    "command_leaves",
    "digest_bytes",
    "digest_words",
    "event_leaves",
    "join_pairs",
    "path_root",
    "snapshot_root",
    "state_root",
    "tree_path",
    "tree_root",
]


class WalkedCore(Protocol):
    """What a state tree needs of a core; both implementations have it."""

    @property
    def symbol_count(self) -> int: ...
    @property
    def account_count(self) -> int: ...
    def walk_config(self) -> Words: ...
    def walk_symbol(self, number: int) -> Words: ...
    def walk_account(self, number: int) -> Words: ...
    def dirty_symbols(self) -> Words: ...
    def dirty_accounts(self) -> Words: ...
    def clear_dirty(self) -> None: ...


def digest_bytes(words: Words) -> bytes:
    """A digest as 32 bytes: its four words, little-endian."""
    return words.astype("<u8").tobytes()


def digest_words(digest: bytes) -> Words:
    """The inverse of `digest_bytes`."""
    if len(digest) != 32:
        raise ValueError(f"digest: expected 32 bytes, got {len(digest)}")
    return np.frombuffer(digest, "<u8").astype(np.uint64)


def tree_root(leaves: Words) -> bytes:
    """Root of the tree over the leaves; 32 zero bytes when there are none."""
    return digest_bytes(_tree_root_words(leaves))


def tree_path(leaves: Words, index: int) -> list[bytes]:
    """Siblings of leaf `index` from the bottom up; a level at which it has none is left out."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of a tree of {len(leaves)}")
    path = []
    while len(leaves) > 1:
        if index ^ 1 < len(leaves):
            path.append(digest_bytes(leaves[index ^ 1]))
        pairs = len(leaves) // 2
        leaves = np.concatenate([join_pairs(leaves[: 2 * pairs]), leaves[2 * pairs :]])
        index //= 2
    return path


def path_root(leaf: bytes, index: int, count: int, path: list[bytes]) -> bytes:
    """The root that a path leads to from leaf `index` of `count`; ValueError when the path has another length."""
    if not 0 <= index < count:
        raise ValueError(f"path: leaf {index} of a tree of {count}")
    digest, siblings = leaf, iter(path)
    try:
        while count > 1:
            if index % 2:
                digest = _node(next(siblings), digest)
            elif index + 1 < count:
                digest = _node(digest, next(siblings))
            index, count = index // 2, (count + 1) // 2
    except StopIteration:
        raise ValueError(f"path: {len(path)} siblings are too few") from None
    if next(siblings, None) is not None:
        raise ValueError(f"path: {len(path)} siblings are too many")
    return digest


def _node(left: bytes, right: bytes) -> bytes:
    words = np.stack([digest_words(left), digest_words(right)])
    if np.any((words & 0xFFFFFFFF) >= 0x7F000001) or np.any((words >> 32) >= 0x7F000001):
        raise ValueError("digest: a half word is not below the field's prime")
    return digest_bytes(join_pairs(words)[0])


class DigestTree:
    """A tree over digests by number that remembers every complete block of 2^level leaves.

    Updating k of n leaves costs k log n permutations, and a witness finds its blocks ready. Numbers are dense and are
    only ever appended or changed.
    """

    def __init__(self) -> None:
        self.count = 0
        self._levels: list[Words] = [np.empty((64, 4), np.uint64)]

    def update(self, numbers: Words, digests: Words) -> None:
        """Sets the digests of ascending numbers; those beyond the count must continue it without a gap."""
        if len(numbers) == 0:
            return
        fresh = numbers[numbers >= self.count]
        if len(fresh) and not np.array_equal(fresh, np.arange(self.count, self.count + len(fresh), dtype=np.uint64)):
            raise ValueError(f"digests: numbers from {self.count} on must be dense, got {fresh.tolist()}")
        self._grow(self.count + len(fresh))
        self._levels[0][numbers] = digests
        for level in range(len(self._levels) - 1):
            numbers = np.unique(numbers >> np.uint64(1))
            numbers = numbers[numbers < self.count >> (level + 1)]
            if len(numbers) == 0:
                break
            below = self._levels[level].reshape(-1, 8)[numbers]
            self._levels[level + 1][numbers] = join_pairs(below.reshape(-1, 4))

    def _grow(self, count: int) -> None:
        self.count = count
        for level in range(count.bit_length()):
            if level == len(self._levels):
                self._levels.append(np.empty((64, 4), np.uint64))
            held, needed = self._levels[level], count >> level
            if needed > len(held):
                larger = np.empty((2 * needed, 4), np.uint64)
                larger[: len(held)] = held
                self._levels[level] = larger

    def digest(self, number: int) -> Words:
        """The digest of one number."""
        digest: Words = self._levels[0][number]
        return digest

    def root(self) -> Words:
        """Four words; zeros when empty."""
        root: Words | None = None
        for level in range(self.count.bit_length()):
            if self.count >> level & 1:
                block = self._levels[level][(self.count >> level) - 1]
                root = block if root is None else join_pairs(np.stack([block, root]))[0]
        return np.zeros(4, np.uint64) if root is None else root

    def cover(self, touched: Words) -> Words:
        """Digests of the blocks that cover everything but the touched numbers, from the left."""
        levels, numbers = witness_cover(touched, self.count)
        digests = np.empty((len(levels), 4), np.uint64)
        for level in np.unique(levels):
            chosen = levels == level
            digests[chosen] = self._levels[int(level)][numbers[chosen]]
        return digests

    def check(self) -> None:
        """Every remembered block is the node of its two halves."""
        for level in range(len(self._levels) - 1):
            blocks = self.count >> (level + 1)
            want = join_pairs(self._levels[level][: 2 * blocks])
            assert np.array_equal(self._levels[level + 1][:blocks], want), f"digest tree: level {level + 1} is stale"


class StateTree:
    """The state root of one core, kept up to date by what its commands touched.

    It owns the core's dirty sets: nobody else may clear them. It also keeps the slots of every symbol and account as
    of the last `refresh`, which is the pre-state that a witness shows.
    """

    def __init__(self, core: WalkedCore) -> None:
        self._core = weakref.ref(core)
        self.symbols = DigestTree()
        self.accounts = DigestTree()
        self.symbol_slots: list[Words] = []
        self.account_slots: list[Words] = []
        self.config_slots: Words = np.empty((0, 8), np.uint64)
        self._config_digest: Words = np.zeros(4, np.uint64)
        core.clear_dirty()
        self.refresh()

    @staticmethod
    def of(core: WalkedCore) -> StateTree:
        """The tree of this core, made at the first call (which walks the whole state)."""
        tree = _TREES.get(core)
        if tree is None:
            tree = _TREES[core] = StateTree(core)
        return tree

    def refresh(self) -> None:
        """Takes in what was touched or created since the last time."""
        core = self._core()
        assert core is not None, "state tree: its core is gone"
        self.config_slots = core.walk_config()
        self._config_digest = slots_digests(DOMAIN_CONFIG, self.config_slots, _ends([self.config_slots]))[0]
        symbols = _with_new(core.dirty_symbols(), self.symbols.count, core.symbol_count)
        accounts = _with_new(core.dirty_accounts(), self.accounts.count, core.account_count)
        tables = [core.walk_symbol(number) for number in symbols.tolist()]
        _take_in(self.symbols, self.symbol_slots, symbols, tables, DOMAIN_SYMBOL)
        tables = [core.walk_account(number) for number in accounts.tolist()]
        _take_in(self.accounts, self.account_slots, accounts, tables, DOMAIN_ACCOUNT)
        core.clear_dirty()

    def root(self) -> bytes:
        """The state root as of the last refresh."""
        return _join_state_root(self.symbols.root(), self.accounts.root(), self._config_digest)

    def check(self) -> None:
        """The kept digests are those of the core's state, if nothing was applied since the last refresh."""
        core = self._core()
        assert core is not None, "state tree: its core is gone"
        self.symbols.check()
        self.accounts.check()
        assert self.root() == _root_of_tables(
            core.walk_config(),
            [core.walk_symbol(number) for number in range(core.symbol_count)],
            [core.walk_account(number) for number in range(core.account_count)],
        ), "state tree: it does not have the core's root"


_TREES: weakref.WeakKeyDictionary[WalkedCore, StateTree] = weakref.WeakKeyDictionary()


def state_root(core: WalkedCore) -> bytes:
    """The state root of a core, rehashing only what its commands touched since the last call for this core."""
    tree = StateTree.of(core)
    tree.refresh()
    return tree.root()


def snapshot_root(snapshot: bytes) -> bytes:
    """The state root of a core's `snapshot()`, for those who have no core at hand."""
    if len(snapshot) % 64 or len(snapshot) < 128:
        raise ValueError(f"snapshot: {len(snapshot)} bytes are no state")
    slots = np.frombuffer(snapshot, "<u8").astype(np.uint64).reshape(-1, 8)
    done = 2 + int(slots[0, 3]) + -(-int(slots[1, 4]) // KILLED_A_SLOT)
    config, tables = slots[:done], []
    counts = [int(slots[1, 2]), int(slots[1, 3])]
    for count, word in zip(counts, (6, 3), strict=True):
        for _ in range(count):
            size = 1 + int(slots[done, word]) if done < len(slots) else 0
            if size == 0 or size > len(slots) - done:
                raise ValueError(f"snapshot: cut short after {done} slots")
            tables.append(slots[done : done + size])
            done += size
    if done != len(slots):
        raise ValueError(f"snapshot: {len(slots) - done} slots too many")
    return _root_of_tables(config, tables[: counts[0]], tables[counts[0] :])


def _root_of_tables(config: Words, symbols: list[Words], accounts: list[Words]) -> bytes:
    return _join_state_root(
        _tree_root_words(_digests(DOMAIN_SYMBOL, symbols)),
        _tree_root_words(_digests(DOMAIN_ACCOUNT, accounts)),
        _digests(DOMAIN_CONFIG, [config])[0],
    )


def _join_state_root(symbols: Words, accounts: Words, config: Words) -> bytes:
    return digest_bytes(join_pairs(np.stack([join_pairs(np.stack([symbols, accounts]))[0], config]))[0])


def _ends(tables: Iterable[Words]) -> Words:
    return np.cumsum([len(table) for table in tables], dtype=np.uint64)


def _digests(domain: int, tables: list[Words]) -> Words:
    if not tables:
        return np.empty((0, 4), np.uint64)
    digests: Words = slots_digests(domain, np.concatenate(tables), _ends(tables))
    return digests


def _with_new(dirty: Words, count_before: int, count_after: int) -> Words:
    if count_before == count_after:
        return dirty
    return np.union1d(dirty, np.arange(count_before, count_after, dtype=np.uint64))


def _take_in(tree: DigestTree, kept: list[Words], numbers: Words, tables: list[Words], domain: int) -> None:
    if not tables:
        return
    tree.update(numbers, _digests(domain, tables))
    kept.extend([tables[0]] * (tree.count - len(kept)))
    for number, table in zip(numbers.tolist(), tables, strict=True):
        kept[number] = table
