"""The seeded workload: the mix it promises, the same for the same seed, and sound books all along."""

from __future__ import annotations

import pytest

from cores import CommandKind, Core, OrdType, Tif
from cores.batch import seal
from proving.guest.inputs import ACCOUNTS, Workload, annexes_for, sealed_workload, workload_input


def test_the_mix() -> None:
    """48% limit orders, 41% cancels, 7% replaces, 4% IOC and market, within two points."""
    workload = Workload(open_orders=500, seed=3)
    batch = workload.batch(3_000)
    orders = batch[batch["kind"] == CommandKind.NEW]
    aggressive = (orders["ord_type"] == OrdType.MARKET) | (orders["tif"] == Tif.IOC)
    share = {
        "limit": (~aggressive).sum(),
        "aggressive": aggressive.sum(),
        "cancel": (batch["kind"] == CommandKind.CANCEL).sum(),
        "replace": (batch["kind"] == CommandKind.REPLACE).sum(),
    }
    want = {"limit": 0.48, "aggressive": 0.04, "cancel": 0.41, "replace": 0.07}
    assert all(abs(share[name] / 3_000 - want[name]) < 0.02 for name in want), share
    workload.core.check()


@pytest.mark.parametrize("open_orders", [1, 64, 700])
def test_the_book_starts_as_asked(open_orders: int) -> None:
    workload = Workload(open_orders, seed=4)
    assert workload.core.open_orders(0) == open_orders
    assert workload.core.account_count == ACCOUNTS
    workload.core.check()


def test_a_seed_is_a_batch() -> None:
    assert workload_input(60, 40, seed=1) == workload_input(60, 40, seed=1)
    assert workload_input(60, 40, seed=1) != workload_input(60, 40, seed=2)


def test_next_to_nothing_is_refused() -> None:
    """The workload measures work, not refusals."""
    sealed = sealed_workload(1_000, 300, seed=5)
    assert (sealed.events["reason"] % 64 != 0).mean() < 0.01


def test_batches_follow_each_other() -> None:
    """What a workload gives next continues the state that its last batch left."""
    workload = Workload(open_orders=50, seed=6)
    core, acc, root = Core.restore(workload.core.snapshot()), bytes(32), None
    for number in range(3):
        batch = workload.batch(40)
        sealed = seal(core, batch, annexes_for(batch, number), acc)
        assert root in (None, sealed.prev_state_root)
        acc, root = sealed.deposit_acc, sealed.state_root
    assert core.snapshot() == workload.core.snapshot()
