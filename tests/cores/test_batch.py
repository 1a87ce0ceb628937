"""Sealing: the roots of a batch against the model, both cores and the guest's own program."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cores import COMMAND, CommandKind, CoreConfig, EventKind, SequenceError
from cores.batch import Sealed, seal
from cores.roots import annex_digests, path_root, snapshot_root, tree_path
from proving.guest import native
from tests.cores import fix_futures
from tests.cores import poseidon_model as model
from tests.cores.fix_cores import (
    SMALL,
    CompiledCore,
    Play,
    ReferenceCore,
    account,
    commands,
    deposit,
    generate,
    instrument,
    morning_fields,
    new,
    setup_fields,
)

EXAMPLES = int(os.environ.get("BATCH_EXAMPLES", "300"))
PLENTY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
ZEROS = bytes(32)


def annexes_of(count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    annexes = [hashlib.sha256(struct.pack("<2Q", seed, i)).digest() for i in range(count)]
    return np.frombuffer(b"".join(annexes), "<u8").reshape(count, 4).astype(np.uint64)


def records_for(play: Play, core: Any, fields: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """The records of generated fields; `core` applies them on the way, so that cancels meet their orders."""
    records = []
    for entry in fields:
        record = play.record(entry)
        play.see(core.apply(record)[0])
        records.append(record)
    return np.concatenate(records)


def started(config: CoreConfig = SMALL) -> tuple[Play, Any, np.ndarray[Any, Any]]:
    """A play and a scout core that has applied the set-up."""
    play, scout = Play(), CompiledCore(config)
    return play, scout, records_for(play, scout, setup_fields())


@PLENTY
@given(st.lists(commands, min_size=50, max_size=50), st.lists(st.integers(1, 49), max_size=3))
def test_both_cores_and_the_guest_agree(fields: list[dict[str, Any]], cuts: list[int]) -> None:
    """Cut anywhere into batches: the same events, leaves, guest input and public values, and roots that link."""
    play, scout, records = started()
    records = np.concatenate([records, records_for(play, scout, fields)])
    annexes = annexes_of(len(records))
    cores = [CompiledCore(SMALL), ReferenceCore(SMALL)]
    ends = sorted({len(records) - cut for cut in cuts} | {len(records)})
    root, acc, start = snapshot_root(cores[0].snapshot()), ZEROS, 0
    for end in ends:
        sealed, other = (seal(core, records[start:end], annexes[start:end], acc) for core in cores)
        assert sealed.public_values == other.public_values
        assert sealed.guest_input == other.guest_input
        assert sealed.events.tobytes() == other.events.tobytes()
        assert native.run(sealed.guest_input) == sealed.public_values
        assert (sealed.first_seq, sealed.last_seq) == (start + 1, end)
        assert sealed.prev_state_root == root
        root, acc, start = sealed.state_root, sealed.deposit_acc, end
    assert root == snapshot_root(scout.snapshot())


@settings(PLENTY, max_examples=12)
@given(st.integers(0, 2**32), st.integers(1, 25))
def test_public_values_are_the_models(seed: int, count: int) -> None:
    """Each of the 264 bytes from plain Python integers."""
    play, core, _ = started()
    scout = CompiledCore.restore(core.snapshot())
    before = model_state(core)
    records = records_for(play, scout, [generate(seed + i) for i in range(count)])
    annexes, acc = annexes_of(count, seed), hashlib.sha256(b"before").digest()
    sealed = seal(core, records, annexes, acc)
    assert sealed.public_values == model_values(core, before, records, annexes, acc, sealed)


def model_state(core: Any) -> bytes:
    symbols = [core.walk_symbol(number).tolist() for number in range(core.symbol_count)]
    accounts = [core.walk_account(number).tolist() for number in range(core.account_count)]
    return model.to_bytes(model.state_root(core.walk_config().tolist(), symbols, accounts))


def model_values(core: Any, before: bytes, records: Any, annexes: Any, acc: bytes, sealed: Sealed) -> bytes:
    rows = records.view("<u8").reshape(-1, 8).tolist()
    events = np.ascontiguousarray(sealed.events).view("<u8").reshape(-1, 8).tolist()
    annex_rows = annexes.tolist()
    command_leaves = [model.command_leaf(a, c) for a, c in zip(annex_rows, rows, strict=True)]
    event_leaves, withdrawals, start = [], [], 0
    prev_acc = acc
    for annex, end in zip(annex_rows, sealed.event_ends.tolist(), strict=True):
        event_leaves += [model.event_leaf(annex, i, e) for i, e in enumerate(events[start:end])]
        start = end
    for event in sealed.events:
        seq, asset, amount = int(event["exec_id"]) >> 24, int(event["asset"]), int(event["qty_lots"])
        if event["kind"] == EventKind.DEPOSITED:
            acc = model.deposit_acc(acc, seq, int(event["account"]), asset, amount)
        if event["kind"] == EventKind.WITHDRAWN:
            address = struct.pack("<3Q", event["order_id"], event["price_ticks"], event["aux"])[:20]
            withdrawals.append((address, asset, amount, seq))
    return b"".join([
        struct.pack(">5Q", 1, rows[0][1], rows[-1][1], len(rows), len(events)),
        before,
        model_state(core),
        model.to_bytes(model.tree_root(command_leaves)),
        model.to_bytes(model.tree_root(event_leaves)),
        prev_acc,
        acc,
        model.withdrawal_root(withdrawals),
    ])  # fmt: skip


def test_only_what_was_touched_is_shown() -> None:
    """Many symbols and accounts, two orders that meet: the input shows one symbol and three accounts."""
    config = CoreConfig(symbols=40, accounts=300, assets=3, orders=64, levels=64)
    play, scout = Play(), CompiledCore(config)
    fields = [instrument(number, number % 2 * 2, 1) for number in range(37)]
    fields += [account(number) for number in range(1, 300)]
    fields += [deposit(number, asset, 10**9) for number in range(1, 300) for asset in range(3)]
    setup = records_for(play, scout, fields)
    core = CompiledCore(config)
    first = seal(core, setup, annexes_of(len(setup)), ZEROS)
    assert native.run(first.guest_input) == first.public_values
    batch = records_for(play, scout, [new(17, 1, 120, 5, symbol=11), new(290, 2, 120, 5, symbol=11)])
    sealed = seal(core, batch, annexes_of(2), first.deposit_acc)
    shown = struct.unpack_from("<8Q", sealed.guest_input)
    assert shown[1:6] == (2, 1, 3, 1, 3)
    assert len(sealed.guest_input) < 4_000
    assert (sealed.events["kind"] == EventKind.FILL).sum() == 2
    assert native.run(sealed.guest_input) == sealed.public_values
    assert sealed.state_root == snapshot_root(scout.snapshot())


def test_symbols_and_accounts_made_inside_the_batch() -> None:
    """Created, used and traded in one batch, beside existing ones that stay out of it."""
    play, scout, records = started(CoreConfig(symbols=20, accounts=40, assets=3, orders=64, levels=64))
    core = CompiledCore(scout.config)
    acc = seal(core, records, annexes_of(len(records)), ZEROS).deposit_acc
    fields = [instrument(number) for number in range(3, 17)]
    fields += [account(number) for number in range(5, 31)]
    for number in (7, 29):
        fields += [deposit(number, asset, 10**8) for asset in range(3)]
    fields += [new(7, 1, 120, 5, symbol=15), new(29, 2, 119, 3, symbol=15)]
    batch = records_for(play, scout, fields)
    sealed = seal(core, batch, annexes_of(len(batch)), acc)
    assert (sealed.events["kind"] == EventKind.FILL).sum() == 2
    assert native.run(sealed.guest_input) == sealed.public_values
    assert sealed.state_root == snapshot_root(scout.snapshot())


def test_an_events_receipt() -> None:
    """A fill's leaf and path lead to the event root, and no other event's do."""
    play, scout, records = started()
    more = records_for(play, scout, [new(1, 1, 120, 5), new(3, 2, 120, 5)])
    records = np.concatenate([records, more])
    sealed = seal(CompiledCore(SMALL), records, annexes_of(len(records)), ZEROS)
    fill = int(np.flatnonzero(sealed.events["kind"] == EventKind.FILL)[0])
    path = tree_path(sealed.event_leaves, fill)
    for index in range(len(sealed.events)):
        leads = path_root(sealed.event_leaves[index].tobytes(), fill, len(sealed.events), path) == sealed.event_root
        assert leads == (index == fill)


def test_batches_that_cannot_be_sealed() -> None:
    play, scout, records = started()
    core, annexes = CompiledCore(SMALL), annexes_of(len(records))
    with pytest.raises(ValueError, match="no commands"):
        seal(core, np.zeros(0, COMMAND), annexes[:0], ZEROS)
    with pytest.raises(ValueError, match="annex"):
        seal(core, records, annexes[1:], ZEROS)
    with pytest.raises(ValueError, match="32"):
        seal(core, records, annexes, b"")
    with pytest.raises(SequenceError):
        seal(core, records[1:], annexes[1:], ZEROS)
    sealed = seal(core, records, annexes, ZEROS)
    assert sealed.state_root == snapshot_root(scout.snapshot())
    assert play.seq == sealed.last_seq


def spot_days() -> tuple[CoreConfig, np.ndarray[Any, Any], bytes]:
    play, scout, records = started()
    records = np.concatenate([records, *(records_for(play, scout, day) for day in lively_days())])
    return SMALL, records, scout.snapshot()


def futures_days() -> tuple[CoreConfig, np.ndarray[Any, Any], bytes]:
    cores, play = fix_futures.started()
    scout, rng = cores["c"], Random(7)
    records = []
    for _ in range(1_500):
        records.append(play.record(fix_futures.generate(rng.getrandbits(40))))
        play.see(scout.apply(records[-1])[0])
    setup = fix_futures.Play()
    start = [setup.record(fields) for fields in fix_futures.setup_fields()]
    return fix_futures.CONFIG, np.concatenate([*start, *records]), scout.snapshot()


OF_FUTURES = {EventKind.MARKED, EventKind.POSITION, EventKind.DEFICIT, EventKind.MARGIN}
COMMANDS_OF_FUTURES = {CommandKind.MARK, CommandKind.MARGIN}
DAYS = {
    "spot": (spot_days, set(EventKind) - OF_FUTURES, set(CommandKind) - COMMANDS_OF_FUTURES),
    "futures": (futures_days, OF_FUTURES, COMMANDS_OF_FUTURES),
}


@pytest.mark.parametrize("market", DAYS)
def test_annexes_hide_what_they_blind(market: str) -> None:
    """Same commands, other salts: no leaf of any kind of command or event is the same, the states are."""
    days, event_kinds, command_kinds = DAYS[market]
    config, records, state = days()
    salted = []
    for salt in (b"a" * 16, b"b" * 16):
        annexes = [salt + b"35=D\x0111=%d\x01" % i for i in range(len(records))]
        digests = annex_digests(b"".join(annexes), np.cumsum([len(a) for a in annexes], dtype=np.uint64))
        salted.append(seal(CompiledCore(config), records, digests, ZEROS))
    one, two = salted
    assert {int(kind) for kind in event_kinds} <= set(one.events["kind"].tolist())
    assert {int(kind) for kind in command_kinds} <= set(records["kind"].tolist())
    assert one.state_root == two.state_root == snapshot_root(state)
    assert len(records) == one.last_seq
    for first, second in ((one.command_leaves, two.command_leaves), (one.event_leaves, two.event_leaves)):
        assert not (first == second).all(axis=1).any()
        leaves = [row.tobytes() for row in np.concatenate([first, second])]
        assert len(set(leaves)) == len(leaves), "two leaves that look alike say that what they hide is alike"
    assert one.command_root != two.command_root
    assert one.event_root != two.event_root


def lively_days() -> Iterator[list[dict[str, Any]]]:
    """Enough random commands for every kind of event."""
    rng = Random(9)
    for _ in range(12):
        yield [*(generate(rng.getrandbits(40)) for _ in range(100)), *morning_fields(rng)]


def test_every_slot_of_a_state_is_under_its_root() -> None:
    """Cold parts of orders, limits, last orders, killed sessions: a word changed anywhere is another root, or none."""
    play, scout, _ = started()
    for day in lively_days():
        records_for(play, scout, day[:100])
    switches = [{"ord_type": 9, "session": 7, "qty_lots": 1}, {"ord_type": 4, "account": 1, "qty_lots": 10**9}]
    records_for(play, scout, [{"kind": CommandKind.LIMIT} | fields for fields in switches])
    orders = [new(2, 1, 105, 9, order_id=3), new(2, 1, 150, 1, ord_type=4, order_id=149), new(2, 2, 160, 1, tif=7)]
    records_for(play, scout, [*(f | {"symbol": 0} for f in morning_fields(Random(1)) if f["kind"] == 6), *orders])
    slots = np.frombuffer(scout.snapshot(), "<u8").reshape(-1, 8).copy()
    assert not slots[:, 7].any(), "the digest has other use for the place of this word"
    roots = {snapshot_root(slots.tobytes())}
    refused = 0
    for index in range(len(slots)):
        for word in range(7):
            slots[index, word] ^= np.uint64(1 << (index * 8 + word) % 64)
            try:
                roots.add(snapshot_root(slots.tobytes()))
            except (ValueError, IndexError):
                refused += 1
            slots[index, word] ^= np.uint64(1 << (index * 8 + word) % 64)
    assert len(roots) == 1 + len(slots) * 7 - refused
    assert refused < len(slots), "only counts of slots decide whether there is a root at all"


def test_sealing_after_commands_that_were_not_sealed() -> None:
    """A core that moved on by itself is taken as it is: the batch starts at its present state."""
    play, scout, records = started()
    core = CompiledCore(SMALL)
    seal(core, records[:3], annexes_of(3), ZEROS)
    core.apply(records[3:])
    rng = Random(4)
    batch = records_for(play, scout, [generate(rng.randrange(2**40)) for _ in range(20)])
    sealed = seal(core, batch, annexes_of(20), ZEROS)
    assert native.run(sealed.guest_input) == sealed.public_values
    assert sealed.state_root == snapshot_root(core.snapshot()) == snapshot_root(scout.snapshot())
