"""The whole way: sealed batches become final on the embedded chain, across restarts and losses."""

from __future__ import annotations

from pathlib import Path

from settlement.service import Settlement
from tests.settlement.samples import HashProver, config, linked, seal, settle, the_anchor


def test_batches_become_final(tmp_path: Path, archive: Path, ledger_url: str) -> None:
    prover = HashProver(tmp_path)
    settlement = Settlement(config(tmp_path, archive, ledger_url, range_batches=4), prover, prover.verify)
    assert settlement.follower.step() is False
    seal(archive, linked(10))
    settle(settlement)
    states = settlement.ledger.batch_states()
    assert [state.batch_id for state in states] == list(range(1, 11))
    assert {(state.state, state.assurance) for state in states} == {("final", "attested")}
    assert [state.range_id for state in states] == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
    head = the_anchor(settlement).contract.read("head")
    assert (head.range_count, head.final_count, head.next_batch_id) == (3, 3, 11)
    settlement.close()
