"""The anchoring daemon: sealed batches onto the chain in ranges, exactly once, and a watch over what is there.

The contract's next range is the key to exactly-once: it accepts a range only as the continuation of the last one. So
the daemon compares the contract with the ledger before it plans anything: what the contract has and the ledger lacks
is adopted if its roots are the roots of our own archive, and stops everything if they are not.
One `tick` looks at the chain, moves every open transaction a step on, and plans at most one commit and one proof.
It must never block trading, never commit a batch that does not continue the last, and never go on after a final block
has vanished.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from settlement.assure import Assurer
from settlement.chain import Chain, Contract, Head
from settlement.contracts import load
from settlement.errors import ChainChanged, ChainRefused, SettlementConfigError, SettlementHalted
from settlement.keys import Keys
from settlement.ledger import ON_CHAIN, Deployment, Ledger
from settlement.sender import FeePolicy, Sender, check_final
from venue.batches import BatchRecord, record_root

log = logging.getLogger("venue.settlement.anchor")

RANGE_BATCHES_MAX = 32
_BEHIND_MAX = 3  # ticks in which the contract may know less than the ledger: a reorganisation between two looks


@dataclass(frozen=True)
class AnchorSettings:
    """How batches are gathered into ranges, and how patient the daemon is."""

    range_batches: int = 8
    range_seconds: float = 10.0
    prove_seconds: float = 10.0
    fees: FeePolicy = field(default_factory=FeePolicy)

    def __post_init__(self) -> None:
        if not 1 <= self.range_batches <= RANGE_BATCHES_MAX:
            raise SettlementConfigError(
                f"settlement.range_batches: must be 1..{RANGE_BATCHES_MAX}, is {self.range_batches}"
            )


class Anchor:
    """The daemon's state on one deployment. `checkpoint` is called between the steps of sending, for crash tests."""

    def __init__(
        self,
        chain: Chain,
        ledger: Ledger,
        deployment: Deployment,
        keys: Keys,
        settings: AnchorSettings | None = None,
        checkpoint: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.settings = settings or AnchorSettings()
        self.deployment = deployment
        self.contract: Contract = chain.contract(deployment.anchor, load("Anchor").abi)
        self._chain, self._ledger, self._checkpoint = chain, ledger, checkpoint
        fees = self.settings.fees
        self.committer = Sender(chain, ledger, deployment, keys.committer, fees, checkpoint)
        self.prover = Sender(chain, ledger, deployment, keys.prover, fees, checkpoint)
        self.assurer = Assurer(
            chain, ledger, deployment, self.contract, self.prover.address, self.settings.prove_seconds
        )
        self._said: dict[str, str] = {}
        self._behind = 0

    def tick(self) -> bool:
        """One step; whether there is more to wait for. Errors of chain and ledger are the caller's to retry."""
        halted = self._ledger.halted()
        if halted is not None:
            self._say("halt", logging.CRITICAL, f"settlement stands still: {halted}")
            return False
        try:
            return self._step()
        except SettlementHalted as error:
            self._ledger.halt(str(error))
            self._say("halt", logging.CRITICAL, f"settlement stops: {error}")
            return False

    def check(self) -> None:
        """Ledger and contract tell the same story; raises AssertionError otherwise."""
        self.committer.check()
        self.prover.check()
        for row in self._ledger.transactions(self.deployment, kind="commit", states=ON_CHAIN):
            on_chain = self.contract.read("get_range", row.range_id)
            assert bytes(on_chain.records_root) == row.records_root, f"range {row.range_id}: another root on the chain"
            assert on_chain.first_batch_id == row.batch_ids[0] and on_chain.batch_count == len(row.batch_ids)

    def accept_revert(self) -> int:
        """The owner took ranges back on the chain and a person agrees: their batches are to be committed again."""
        events = self.contract.events("TailReverted", self.deployment.block_number)
        count = int(self.contract.read("head").range_count)
        undone = 0
        for event in events:
            first, block = event["args"]["first_range_id"], event["blockNumber"]
            for row in self._ledger.transactions(self.deployment, states=ON_CHAIN):
                assert row.block_number is not None
                if row.range_id >= first and row.block_number <= block:
                    self._ledger.set_taken_back(row, f"taken back by the owner in block {block}")
                    undone += 1
        log.warning("%d transactions taken back by the owner; the contract has %d ranges", undone, count)
        return undone

    def _step(self) -> bool:
        self._check_identity()
        head = self._chain.head()
        self._say("finality", logging.WARNING if head.final is None else logging.INFO, f"finality: {head.why}")
        self._watch_blocks(head)
        check_final(self._chain, self._ledger, self.deployment)
        for sender in (self.committer, self.prover):
            sender.advance(head)
        if not self.committer.busy():
            self._plan_commit()
        if not self.prover.busy():
            planned = self.assurer.plan()
            if planned:
                self._checkpoint("planned")
        for sender in (self.committer, self.prover):
            sender.send_planned()
        waiting = any(row.state != "final" for row in self._open_rows())
        if waiting and head.final is not None:
            self._chain.advance()
        return waiting

    def _open_rows(self) -> list[Any]:
        return self._ledger.transactions(self.deployment, states=("planned", "sent", "mined", "safe"))

    def _say(self, topic: str, level: int, words: str) -> None:
        """Log what changed, not what is still so."""
        if self._said.get(topic) != words:
            self._said[topic] = words
            log.log(level, "%s", words)

    # ---- the chain is still the chain ---------------------------------------------------------------------------

    def _check_identity(self) -> None:
        chain_id, genesis = self._chain.identity()
        mine = self.deployment
        if (chain_id, genesis) != (mine.chain_id, mine.genesis_hash):
            raise ChainChanged(
                f"chain {self._chain.url} is {chain_id} with genesis 0x{genesis.hex()}, the ledger speaks of "
                f"{mine.chain_id} with genesis 0x{mine.genesis_hash.hex()}"
            )
        if not self._chain.code(mine.anchor):
            raise ChainChanged(f"chain {self._chain.url} has no contract at 0x{mine.anchor.hex()}")

    def _watch_blocks(self, head: Head) -> None:
        """A block that was seen and is not there any more was replaced; how deep tells the log."""
        replaced = []
        for number, block_hash in self._ledger.blocks_seen(self.deployment):
            if self._chain.block_hash(number) == block_hash:
                break
            replaced.append(number)
        if replaced:
            log.warning("reorganisation: blocks %d to %d that were seen here were replaced", replaced[-1], replaced[0])
            self._ledger.forget_blocks(self.deployment, replaced[-1])
        self._ledger.see_block(self.deployment, head.latest.number, head.latest.hash)

    # ---- commits ------------------------------------------------------------------------------------------------

    def _plan_commit(self) -> None:
        on_chain = self.contract.read("head")
        known = self._ledger.last_range(self.deployment)
        if on_chain.range_count > known:
            self._adopt(known + 1, on_chain.range_count)
            return
        if on_chain.range_count < known:
            self._contract_is_behind(on_chain.range_count, known)
            return
        self._behind = 0
        sealed = self._ledger.sealed_from(on_chain.next_batch_id, self.settings.range_batches)
        if not sealed:
            return
        if len(sealed) < self.settings.range_batches and sealed[0][1] < self.settings.range_seconds:
            return
        records = [record for record, _ in sealed]
        check_links(records, bytes(on_chain.state_root), on_chain.next_seq)
        self._plan_range(on_chain.range_count + 1, records)

    def _plan_range(self, range_id: int, records: Sequence[BatchRecord]) -> None:
        root = record_root(records)
        first, last = records[0], records[-1]
        data = self.contract.encode(
            "commit",
            *(first.batch_id, len(records), first.first_seq, last.last_seq),
            *(first.prev_state_root, last.state_root, root),
        )
        try:
            gas = self._chain.estimate_gas(self.committer.address, self.contract.address, data)
        except ChainRefused as error:
            self._say("commit", logging.ERROR, f"commit of range {range_id} would be refused: {error}")
            return
        self._said.pop("commit", None)
        batch_ids = [record.batch_id for record in records]
        self._ledger.plan(
            self.deployment, "commit", range_id, batch_ids, self.committer.address, data, gas, records_root=root
        )
        self._checkpoint("planned")

    def _adopt(self, first_range: int, last_range: int) -> None:
        """Ranges that the contract has and the ledger lacks: ours if their roots are ours, a contradiction if not."""
        for range_id in range(first_range, last_range + 1):
            found = self.contract.read("get_range", range_id)
            batch_ids = list(range(found.first_batch_id, found.first_batch_id + found.batch_count))
            records = self._ledger.records(batch_ids)
            if len(records) != len(batch_ids):
                self._say(
                    "adopt",
                    logging.WARNING,
                    f"range {range_id} is on the chain; waiting for batches {batch_ids[0]} to {batch_ids[-1]} in the "
                    "archive to compare them",
                )
                return
            on_chain = (bytes(found.records_root), bytes(found.state_root), found.last_seq)
            ours = (record_root(records), records[-1].state_root, records[-1].last_seq)
            if on_chain != ours:
                raise SettlementHalted(
                    f"range {range_id} on the chain (batches {batch_ids[0]} to {batch_ids[-1]}) has records root "
                    f"0x{on_chain[0].hex()}, our archive gives 0x{ours[0].hex()}: somebody else commits with our key, "
                    "or the archive was changed"
                )
            event = self.contract.events("Committed", self.deployment.block_number, range_id=range_id)[-1]
            self._ledger.adopt(
                self.deployment,
                "commit",
                range_id,
                batch_ids,
                self.committer.address,
                bytes(event["transactionHash"]),
                records_root=ours[0],
            )
            log.warning("range %d was on the chain and not in the ledger; adopted, its roots are ours", range_id)

    def _contract_is_behind(self, on_chain: int, known: int) -> None:
        self._behind += 1
        if self._behind >= _BEHIND_MAX:
            raise SettlementHalted(
                f"the contract has {on_chain} ranges, the ledger {known}: the owner took ranges back. If that was "
                "meant, run: python -m settlement accept-revert"
            )


def check_links(records: Sequence[BatchRecord], state_root: bytes, next_seq: int) -> None:
    """Each batch must begin where the one before it, or the chain, ended."""
    for record in records:
        if record.prev_state_root != state_root or record.first_seq != next_seq:
            raise SettlementHalted(
                f"batch {record.batch_id} begins at sequence {record.first_seq} from state "
                f"0x{record.prev_state_root.hex()}; what is before it ended at {next_seq - 1} in state "
                f"0x{state_root.hex()}. Nothing is committed until archive and chain agree"
            )
        state_root, next_seq = record.state_root, record.last_seq + 1
