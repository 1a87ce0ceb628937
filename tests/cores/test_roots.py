"""Everything that is hashed, against an independent model and against SP1's own permutation."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import COMMAND, EVENT, EventKind, _roots
from cores.roots import (
    DigestTree,
    StateTree,
    annex_digests,
    command_leaves,
    digest_bytes,
    digest_words,
    event_leaves,
    path_root,
    snapshot_root,
    state_root,
    tree_path,
    tree_root,
)
from tests.cores import poseidon_model as model
from tests.cores.fix_cores import SMALL, CompiledCore, Play, ReferenceCore, generate, setup_fields

VECTORS = Path(__file__).parents[2] / "spec" / "vectors"
EXAMPLES = settings(max_examples=25, deadline=None)
words = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 2**64 - 1, 2**31, 2**30, 0x7F0000017F000001]))


def random_digests(count: int, seed: int) -> np.ndarray[Any, Any]:
    source = random.Random(seed)
    halves = [[source.randrange(model.P) | source.randrange(model.P) << 32 for _ in range(4)] for _ in range(count)]
    return np.array(halves, np.uint64).reshape(count, 4)


def tuples(digests: np.ndarray[Any, Any]) -> list[model.Digest]:
    return [tuple(row) for row in digests.tolist()]


def records(rows: list[list[int]], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return np.array(rows, "<u8").reshape(len(rows), 8).view(dtype).reshape(-1)


@pytest.fixture(params=[16, 8, 1])
def lanes(request: pytest.FixtureRequest) -> Any:
    """At most so many states side by side; fewer where the CPU has no such registers."""
    _roots.limit_lanes(request.param)
    yield _roots.lanes()
    _roots.limit_lanes(16)


def test_the_permutation_is_sp1s(lanes: int) -> None:
    """Vectors made by SP1's crate: the model and every width of lanes give them, for any number of states."""
    vectors = json.loads((VECTORS / "poseidon2.json").read_text())["vectors"]
    assert len(vectors) >= 40
    assert all(model.permute_elements(vector["in"]) == vector["out"] for vector in vectors)
    states = np.array([vector["in"] for vector in vectors], "<u4").view("<u8").astype(np.uint64)
    want = np.array([vector["out"] for vector in vectors], "<u4").view("<u8").astype(np.uint64)
    for count in range(len(states) + 1):
        assert np.array_equal(_roots.permute_many(states[:count]), want[:count]), f"{count} states, {lanes} lanes"


def test_an_element_beyond_the_prime_is_refused() -> None:
    for bad in (model.P, model.P << 32, 2**64 - 1):
        with pytest.raises(ValueError, match="prime"):
            _roots.permute_many(np.array([[0, 0, 0, bad, 0, 0, 0, 0]], np.uint64))


def test_published_vectors_of_the_roots() -> None:
    """spec/vectors/roots.json, which other implementations are to reproduce, holds for the model and for this one."""
    published = json.loads((VECTORS / "roots.json").read_text())
    for vector in published["command_leaf"]:
        annex, command = vector["annex"], vector["command"]
        assert model.to_bytes(model.command_leaf(annex, command)).hex() == vector["leaf"]
        leaf = command_leaves(records([command], COMMAND), np.array([annex], np.uint64))[0]
        assert digest_bytes(leaf).hex() == vector["leaf"]
    for vector in published["event_leaf"]:
        annex, event, index = vector["annex"], vector["event"], vector["index"]
        assert model.to_bytes(model.event_leaf(annex, index, event)).hex() == vector["leaf"]
        events = records([event] * (index + 1), EVENT)
        leaves = event_leaves(events, np.array([index + 1], np.uint64), np.array([annex], np.uint64))
        assert digest_bytes(leaves[index]).hex() == vector["leaf"]
    for vector in published["tree"]:
        leaves = [tuple(leaf) for leaf in vector["leaves"]]
        assert model.to_bytes(model.tree_root(leaves)).hex() == vector["root"]
        assert tree_root(np.array(leaves, np.uint64).reshape(-1, 4)).hex() == vector["root"]
    for vector in published["slots"]:
        assert model.to_bytes(model.slots_digest(vector["domain"], vector["slots"])).hex() == vector["digest"]
        slots = np.array(vector["slots"], np.uint64)
        got = _roots.slots_digests(model.letters(vector["domain"]), slots, np.array([len(slots)], np.uint64))
        assert digest_bytes(got[0]).hex() == vector["digest"]
    for vector in published["withdrawal_tree"]:
        rows = [(bytes.fromhex(address), *rest) for address, *rest in vector["withdrawals"]]
        assert model.withdrawal_root(rows).hex() == vector["root"]


@EXAMPLES
@given(st.lists(st.lists(words, min_size=12, max_size=12), min_size=1, max_size=70))
def test_command_leaves(rows: list[list[int]]) -> None:
    table = np.array(rows, np.uint64)
    leaves = command_leaves(records([row[4:] for row in rows], COMMAND), np.ascontiguousarray(table[:, :4]))
    for row, leaf in list(zip(rows, tuples(leaves), strict=True))[:: max(1, len(rows) // 5)]:
        assert leaf == model.command_leaf(row[:4], row[4:])


@EXAMPLES
@given(st.lists(st.lists(words, min_size=4, max_size=4), min_size=1, max_size=8), st.data())
def test_event_leaves(annexes: list[list[int]], data: st.DataObject) -> None:
    """The index counts from the command's first event, whatever group the events fall into."""
    counts = data.draw(st.lists(st.integers(0, 40), min_size=len(annexes), max_size=len(annexes)))
    source = random.Random(data.draw(st.integers(0, 2**32)))
    rows = [[source.getrandbits(64) for _ in range(8)] for _ in range(sum(counts))]
    ends = np.cumsum(counts, dtype=np.uint64)
    leaves = tuples(event_leaves(records(rows, EVENT), ends, np.array(annexes, np.uint64)))
    assert len(leaves) == len(rows)
    place = [(command, index) for command, count in enumerate(counts) for index in range(count)]
    for i in source.sample(range(len(rows)), min(5, len(rows))):
        command, index = place[i]
        assert leaves[i] == model.event_leaf(annexes[command], index, rows[i])


def test_any_bit_of_a_record_changes_its_leaf() -> None:
    """All 768 bits of a command with its annex, all 512 of an event, and its place: no two leaves are equal."""
    source = random.Random(5)
    base = [source.getrandbits(64) for _ in range(12)]
    flipped = [base] + [[w ^ (1 << bit if k == i else 0) for k, w in enumerate(base)] for i in range(12)
                        for bit in range(64)]  # fmt: skip
    table = np.array(flipped, np.uint64)
    leaves = command_leaves(records([row[4:] for row in flipped], COMMAND), np.ascontiguousarray(table[:, :4]))
    assert len(set(tuples(leaves))) == 1 + 12 * 64
    one_each = np.arange(1, 1 + 64 * 8 + 1, dtype=np.uint64)
    annexes = np.tile(np.array(base[:4], np.uint64), (len(one_each), 1))
    events = [base[4:]] + [[w ^ (1 << bit if k == i else 0) for k, w in enumerate(base[4:])] for i in range(8)
                           for bit in range(64)]  # fmt: skip
    leaves = event_leaves(records(events, EVENT), one_each, annexes)
    same_event = event_leaves(records([base[4:]] * 100, EVENT), np.array([100], np.uint64), annexes[:1])
    assert len(set(tuples(leaves)) | set(tuples(same_event))) == 1 + 8 * 64 + 99


@EXAMPLES
@given(st.integers(0, 120), st.integers(0, 2**32))
def test_tree_and_paths(count: int, seed: int) -> None:
    leaves = random_digests(count, seed)
    root = tree_root(leaves)
    assert root == model.to_bytes(model.tree_root(tuples(leaves)))
    if count == 0:
        assert root == bytes(32)
        return
    index = random.Random(seed).randrange(count)
    path = tree_path(leaves, index)
    assert path == [model.to_bytes(digest) for digest in model.tree_path(tuples(leaves), index)]
    leaf = digest_bytes(leaves[index])
    assert path_root(leaf, index, count, path) == root
    with pytest.raises(ValueError, match="too many"):
        path_root(leaf, index, count, [*path, leaf])
    if path:
        with pytest.raises(ValueError, match="too few"):
            path_root(leaf, index, count, path[:-1])
        swapped = [path[0], *path[1:]]
        swapped[random.Random(seed).randrange(len(path))] = digest_bytes(random_digests(1, seed + 1)[0])
        assert path_root(leaf, index, count, swapped) != root
        assert path_root(digest_bytes(random_digests(1, seed + 2)[0]), index, count, path) != root
    with pytest.raises(ValueError, match="leaf"):
        path_root(leaf, count, count, path)


@EXAMPLES
@given(st.lists(st.integers(0, 9), min_size=1, max_size=90), st.integers(0, 2**32))
def test_slot_tables_side_by_side(sizes: list[int], seed: int) -> None:
    source = random.Random(seed)
    slots = np.array([[source.getrandbits(64) for _ in range(8)] for _ in range(sum(sizes))], np.uint64).reshape(-1, 8)
    ends = np.cumsum(sizes, dtype=np.uint64)
    digests = tuples(_roots.slots_digests(model.letters("acc"), slots, ends))
    for i in source.sample(range(len(sizes)), min(4, len(sizes))):
        table = slots[int(ends[i]) - sizes[i] : int(ends[i])].tolist()
        assert digests[i] == model.slots_digest("acc", table)


@given(st.lists(st.binary(max_size=300), max_size=30))
def test_annex_digests(annexes: list[bytes]) -> None:
    ends = np.cumsum([len(annex) for annex in annexes], dtype=np.uint64)
    digests = annex_digests(b"".join(annexes), ends)
    assert [digest_bytes(row) for row in digests] == [hashlib.sha256(annex).digest() for annex in annexes]
    assert tuples(digests) == [model.annex_digest(annex) for annex in annexes]


@given(
    st.lists(st.tuples(st.integers(1, 15), words, words, words, words), max_size=40),
    st.binary(min_size=32, max_size=32),
)
def test_deposits_and_withdrawals(rows: list[tuple[int, ...]], acc: bytes) -> None:
    """Only DEPOSITED and WITHDRAWN count, and each of their fields does."""
    events = np.zeros(len(rows), EVENT)
    withdrawals = []
    want = acc
    for i, (kind, a, b, c, amount) in enumerate(rows):
        account, asset, seq = a & 0xFFFFFFFF, b & 0xFFFF, c & (2**40 - 1)
        fields = {"kind": kind, "account": account, "asset": asset, "exec_id": seq << 24 | 3, "qty_lots": amount,
                  "order_id": a, "price_ticks": b, "aux": c & 0xFFFFFFFF}  # fmt: skip
        for name, value in fields.items():
            events[i][name] = value
        if kind == EventKind.DEPOSITED:
            want = model.deposit_acc(want, seq, account, asset, amount)
        if kind == EventKind.WITHDRAWN:
            address = b"".join(part.to_bytes(8, "little") for part in (a, b, c & 0xFFFFFFFF))[:20]
            withdrawals.append((address, asset, amount, seq))
    assert _roots.deposits(acc, events) == want
    assert _roots.withdrawals(events) == model.withdrawal_root(withdrawals)


@EXAMPLES
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 5, 60]), st.lists(st.integers(0, 10**6), max_size=9)),
        min_size=1,
        max_size=4,
    )
)
def test_digest_tree(steps: list[tuple[int, list[int]]]) -> None:
    """Grown and changed at random: the root, and every witness's blocks, are those of the plain list."""
    tree, plain = DigestTree(), []
    for seed, (grow, picks) in enumerate(steps):
        changed = sorted({pick % len(plain) for pick in picks} if plain else set())
        numbers = [*changed, *range(len(plain), len(plain) + grow)]
        digests = random_digests(len(numbers), seed)
        plain.extend([(0, 0, 0, 0)] * grow)
        for number, digest in zip(numbers, tuples(digests), strict=True):
            plain[number] = digest
        tree.update(np.array(numbers, np.uint64), digests)
        tree.check()
        assert tree.count == len(plain)
        assert tuple(tree.root().tolist()) == model.tree_root(plain)
        cover = tuples(tree.cover(np.array(changed, np.uint64)))
        assert rebuild(plain, changed, cover) == model.tree_root(plain)


def rebuild(plain: list[model.Digest], shown: list[int], cover: list[model.Digest]) -> model.Digest:
    """The root from shown leaves and blocks for the rest, by cutting at every power of two: none is left over."""
    blocks = iter(cover)

    def part(start: int, end: int) -> model.Digest:
        hidden = not any(start <= number < end for number in shown)
        size = end - start
        if hidden and size & (size - 1) == 0 and start % size == 0:
            return next(blocks)
        if size == 1:
            return plain[start]
        split = 1 << (size - 1).bit_length() - 1
        return model.node(part(start, start + split), part(start + split, end))

    root = part(0, len(plain)) if plain else (0, 0, 0, 0)
    assert next(blocks, None) is None
    return root


def test_a_gap_in_the_numbers_is_refused() -> None:
    tree = DigestTree()
    with pytest.raises(ValueError, match="dense"):
        tree.update(np.array([1], np.uint64), random_digests(1, 1))


@pytest.mark.parametrize("make", [CompiledCore, ReferenceCore])
def test_state_root_of_a_running_core(make: Any) -> None:
    """After every few commands: the cached root is the model's, and the snapshot's, in both implementations."""
    play, core = Play(), make(SMALL)
    assert state_root(core) == model_root(core)
    core.apply(np.concatenate([play.record(fields) for fields in setup_fields()]))
    for number in range(150):
        events, _ = core.apply(play.record(generate(number)))
        play.see(events)
        if number % 15 == 0:
            assert state_root(core) == model_root(core) == snapshot_root(core.snapshot())
    StateTree.of(core).refresh()
    StateTree.of(core).check()


def model_root(core: Any) -> bytes:
    symbols = [core.walk_symbol(number).tolist() for number in range(core.symbol_count)]
    accounts = [core.walk_account(number).tolist() for number in range(core.account_count)]
    return model.to_bytes(model.state_root(core.walk_config().tolist(), symbols, accounts))


def test_a_damaged_snapshot_has_no_root() -> None:
    core = CompiledCore(SMALL)
    core.apply(np.concatenate([Play().record(fields) for fields in setup_fields()[:1]]))
    snapshot = core.snapshot()
    for bad in (snapshot[:-1], snapshot[:-64], snapshot + bytes(64), b""):
        with pytest.raises(ValueError, match="snapshot"):
            snapshot_root(bad)


def test_wrong_arrays_are_refused() -> None:
    """Nothing that could be read beyond its end reaches C."""
    commands, annexes = np.zeros(3, COMMAND), np.zeros((3, 4), np.uint64)
    with pytest.raises(ValueError, match="annex"):
        command_leaves(commands, annexes[:2])
    with pytest.raises(TypeError):
        command_leaves(np.zeros(3, EVENT), annexes)
    with pytest.raises(TypeError):
        command_leaves(commands, annexes.astype(np.int64))
    for ends in ([1, 2, 4], [2, 1, 3], [1, 2]):
        with pytest.raises(ValueError, match=r"ascend|annex"):
            event_leaves(np.zeros(3, EVENT), np.array(ends, np.uint64), annexes)
    with pytest.raises(ValueError, match="ascend"):
        annex_digests(b"abc", np.array([1, 4], np.uint64))
    with pytest.raises(ValueError, match="32 bytes"):
        digest_words(b"short")
    with pytest.raises(ValueError, match="prime"):
        path_root(b"\xff" * 32, 0, 2, [bytes(32)])
    with pytest.raises(ValueError, match="pairs"):
        _roots.join_pairs(np.zeros((3, 4), np.uint64))
    with pytest.raises(ValueError, match="below"):
        _roots.witness_cover(np.array([5], np.uint64), 5)
