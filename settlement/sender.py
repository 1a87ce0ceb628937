"""One account's transactions, each on the chain exactly once.

The order of steps is the whole point: row planned → signed → signed bytes durable → broadcast. A crash between any two
leaves a state from which the next start goes on. A nonce is used by one row only; every signed form of it is kept, so
that whichever the chain takes is recognised. A transaction that does not get mined is signed again with the same nonce
and doubled fees, up to a cap. A transaction that a reorganisation dropped is broadcast again as it was.
Nothing in here decides *what* belongs on the chain, and nothing is ever broadcast that is not in the ledger.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from settlement.chain import Chain, Fees, Head, Receipt, address_of
from settlement.errors import ChainRefused, SettlementHalted
from settlement.ledger import Attempt, Deployment, Ledger, Transaction

log = logging.getLogger("venue.settlement.anchor")

GWEI = 10**9
FOLLOWED_BLOCKS = 128
NONCE_TAKEN_MAX = 3  # looks at a used nonce before its transaction is given up: receipts can lag


@dataclass(frozen=True)
class FeePolicy:
    """When and how far fees are raised."""

    resubmit_seconds: float = 48.0
    max_fee_cap_wei: int = 500 * GWEI

    def raised(self, previous: Fees | None, suggested: Fees) -> Fees | None:
        """Fees of the next attempt, None when the cap is reached. A node wants a replacement to pay clearly more."""
        if previous is None:
            fees = suggested
        else:
            fees = Fees(
                max(2 * previous.max_fee_wei, suggested.max_fee_wei), max(2 * previous.tip_wei, suggested.tip_wei)
            )
        capped = min(fees.max_fee_wei, self.max_fee_cap_wei)
        if previous is not None and capped < 2 * previous.max_fee_wei:
            return None
        return Fees(capped, min(fees.tip_wei, capped))


class Sender:
    """Signs, sends and follows the rows of one account on one deployment."""

    def __init__(
        self,
        chain: Chain,
        ledger: Ledger,
        deployment: Deployment,
        key: bytes,
        policy: FeePolicy,
        checkpoint: Callable[[str], None] = lambda name: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = address_of(key)
        self._chain, self._ledger, self._deployment = chain, ledger, deployment
        self._key, self._policy = key, policy
        self._checkpoint, self._monotonic = checkpoint, monotonic
        self._sent_at: dict[int, float] = {}
        self._nonce_taken: dict[int, int] = {}

    def busy(self) -> bool:
        """Whether a transaction of this account is not mined yet: the next one waits for it."""
        return any(row.sender == self.address for row in self._rows(("planned", "sent")))

    def advance(self, head: Head) -> None:
        """One step for every row that was sent and is not final."""
        for row in self._rows(("sent", "mined", "safe")):
            depth = 0 if row.block_number is None else head.latest.number - row.block_number
            # Without finality nothing ends; what lies deep is looked at no more.
            if head.final is not None or depth <= FOLLOWED_BLOCKS:
                self._follow(row, head)

    def send_planned(self) -> None:
        """Sign and send what is planned."""
        for row in self._rows(("planned",)):
            if self._still_wanted(row):
                self._attempt(row, None)

    def check(self) -> None:
        """Rows of one account have one nonce each, and those that were signed have their attempts."""
        rows = self._rows(("sent", "mined", "safe", "final"))
        nonces = [row.nonce for row in rows if not row.adopted]
        assert len(nonces) == len(set(nonces)), f"nonce used twice: {nonces}"
        for row in rows:
            assert self._ledger.attempts(row), f"transaction {row.id} is {row.state} without an attempt"

    def _rows(self, states: tuple[str, ...]) -> list[Transaction]:
        return [row for row in self._ledger.transactions(self._deployment, states=states) if row.sender == self.address]

    def _still_wanted(self, row: Transaction) -> bool:
        """A row planned before a crash may be on the chain already, or impossible now: then it is planned anew."""
        try:
            self._chain.simulate(self.address, self._deployment.anchor, row.data)
        except ChainRefused as error:
            log.warning("%s of range %d given up before it was signed: %s", row.kind, row.range_id, error)
            self._ledger.set_unmined(row, "dropped", str(error))
            return False
        return True

    def _attempt(self, row: Transaction, previous: Fees | None) -> None:
        """Sign (again), make durable, broadcast."""
        fees = self._policy.raised(previous, self._chain.fees())
        if fees is None:
            log.error(
                "%s of range %d is not mined at %.1f gwei, the cap (settlement.max_fee_gwei): raise it or wait",
                row.kind,
                row.range_id,
                self._policy.max_fee_cap_wei / GWEI,
            )
            self._sent_at[row.id] = self._monotonic()
            return
        nonce = row.nonce
        if nonce is None:
            nonce = max(self._chain.nonce(self.address), self._ledger.next_nonce(self._deployment, self.address))
        raw, tx_hash = self._chain.sign(
            self._key,
            chain_id=self._deployment.chain_id,
            nonce=nonce,
            to=self._deployment.anchor,
            data=row.data,
            gas=row.gas_limit,
            fees=fees,
        )
        self._checkpoint("signed")
        row = self._ledger.add_attempt(row, nonce, Attempt(tx_hash, row.id, raw, fees.max_fee_wei, fees.tip_wei))
        self._checkpoint("persisted")
        self._sent_at[row.id] = self._monotonic()
        self._broadcast(row, raw)
        self._checkpoint("broadcast")

    def _broadcast(self, row: Transaction, raw: bytes) -> None:
        try:
            self._chain.broadcast(raw)
        except ChainRefused as error:
            # Not decided here: the next steps look for a receipt, raise the fee or give the row up.
            text = str(error).lower()
            if any(words in text for words in ("underpriced", "base fee", "lower than block", "max fee per gas less")):
                self._sent_at[row.id] = float("-inf")
            if "balance" in text or "funds" in text:
                log.error("0x%s has too little ether: %s; send some", self.address.hex(), error)
            else:
                log.warning("%s of range %d refused by the node: %s", row.kind, row.range_id, error)

    def _follow(self, row: Transaction, head: Head) -> None:
        attempts = self._ledger.attempts(row)
        receipt = next(filter(None, (self._chain.receipt(attempt.tx_hash) for attempt in attempts)), None)
        if receipt is not None:
            self._nonce_taken.pop(row.id, None)
            self._mined(row, receipt, head)
            return
        if row.state != "sent":
            log.warning(
                "reorganisation: %s of range %d is no longer in block %s; sending it again",
                row.kind,
                row.range_id,
                row.block_number,
            )
            self._ledger.set_unmined(row, "sent", "dropped by a reorganisation")
            row = self._ledger.transaction(row.id)
        if row.adopted:
            # Somebody else signed it; without it on the chain there is nothing to follow.
            self._ledger.set_unmined(row, "dropped", "adopted transaction is no longer on the chain")
        elif row.nonce is not None and self._chain.nonce(self.address) > row.nonce:
            self._nonce_used_by_another(row)
        else:
            self._wait(row, attempts[-1])

    def _wait(self, row: Transaction, last: Attempt) -> None:
        """Not mined: see that the node has it, and raise the fee when that takes too long."""
        if not self._chain.knows(last.tx_hash):
            self._broadcast(row, last.raw)
            if self._chain.receipt(last.tx_hash) is not None:
                return
        sent_at = self._sent_at.setdefault(row.id, self._monotonic())
        if self._monotonic() - sent_at >= self._policy.resubmit_seconds:
            log.warning("%s of range %d is not mined; raising its fee", row.kind, row.range_id)
            self._attempt(row, Fees(last.max_fee_wei, last.tip_wei))

    def _mined(self, row: Transaction, receipt: Receipt, head: Head) -> None:
        number = receipt.block.number
        if not receipt.success:
            state = "failed"
        elif head.final is not None and number <= head.final:
            state = "final"
        elif head.safe is not None and number <= head.safe:
            state = "safe"
        else:
            state = "mined"
        if state == row.state and row.block_hash == receipt.block.hash:
            return
        if state == "failed":
            log.error("%s of range %d was mined in block %d but reverted", row.kind, row.range_id, number)
        else:
            log.info("%s of range %d is %s in block %d", row.kind, row.range_id, state, number)
        self._ledger.set_mined(
            row, state, receipt.tx_hash, (number, receipt.block.hash), receipt.gas_used, receipt.gas_price_wei
        )

    def _nonce_used_by_another(self, row: Transaction) -> None:
        """The nonce is used and none of our attempts used it: somebody else signs with this key."""
        seen = self._nonce_taken[row.id] = self._nonce_taken.get(row.id, 0) + 1
        if seen < NONCE_TAKEN_MAX:
            return
        log.error(
            "nonce %s of 0x%s was used by a transaction that is not ours; %s of range %d is planned anew. "
            "Nothing else may sign with this key",
            row.nonce,
            self.address.hex(),
            row.kind,
            row.range_id,
        )
        self._ledger.set_unmined(row, "dropped", "its nonce was used by another transaction")


def check_final(chain: Chain, ledger: Ledger, deployment: Deployment) -> None:
    """A final transaction that is no longer on the chain contradicts what finality means: halt."""
    row = ledger.last_final(deployment)
    if row is None:
        return
    assert row.block_number is not None
    if chain.block_hash(row.block_number) != row.block_hash:
        raise SettlementHalted(
            f"block {row.block_number} was final and is not on the chain any more "
            f"({row.kind} of range {row.range_id}); compare the node with another one before going on"
        )
