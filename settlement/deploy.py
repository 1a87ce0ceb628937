"""Put the two contracts on a chain, and find them again.

A deployment counts once it is complete: contracts created, verifier set, written to `deployment.json`. A crash before
that leaves contracts that nobody uses. `deployment.json` lies beside the chain's data, so that a lost ledger can be
rebuilt from the chain. Nothing in here may replace a deployment on a real chain: only the embedded one starts over.
"""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from settlement.chain import Chain, Receipt, address_of, checksum, constructor_data
from settlement.contracts import load
from settlement.errors import ChainRefused, ChainUnavailable, SettlementConfigError
from settlement.keys import Keys
from venue.batches import BatchRecord

log = logging.getLogger("venue.settlement.deploy")

ATTESTED = 1
PROVEN = 2
_WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class Deployed:
    """Where the contracts are."""

    chain_id: int
    genesis_hash: str
    anchor: str
    attested_verifier: str
    block_number: int
    first_batch_id: int


def deploy(chain: Chain, keys: Keys, first: BatchRecord, program_id: bytes) -> Deployed:
    """Create both contracts so that `first` is the batch they expect first."""
    chain_id, genesis = chain.identity()
    anchor, verifier = load("Anchor"), load("AttestedVerifier")
    verifier_data = constructor_data(verifier.abi, verifier.bytecode, [checksum(address_of(keys.verifier))], 1)
    made_verifier = send_and_wait(chain, keys.owner, None, verifier_data)
    roles = [checksum(address_of(key)) for key in (keys.committer, keys.prover, keys.owner)]
    anchor_data = constructor_data(
        anchor.abi,
        anchor.bytecode,
        first.prev_state_root,
        first.prev_deposit_acc,
        first.batch_id,
        first.first_seq,
        program_id,
        *roles,
    )
    made_anchor = send_and_wait(chain, keys.owner, None, anchor_data)
    assert made_anchor.contract is not None and made_verifier.contract is not None
    contract = chain.contract(made_anchor.contract, anchor.abi)
    set_verifier = contract.encode("set_verifier", ATTESTED, checksum(made_verifier.contract))
    send_and_wait(chain, keys.owner, made_anchor.contract, set_verifier)
    log.info("deployed anchor 0x%s in block %d", made_anchor.contract.hex(), made_anchor.block.number)
    return Deployed(
        chain_id,
        genesis.hex(),
        made_anchor.contract.hex(),
        made_verifier.contract.hex(),
        made_verifier.block.number,
        first.batch_id,
    )


def send_and_wait(chain: Chain, key: bytes, to: bytes | None, data: bytes) -> Receipt:
    """Send one transaction of an owner and wait until it is mined; for deployments and rare acts only."""
    sender = address_of(key)
    gas = chain.estimate_gas(sender, to, data)
    raw, tx_hash = chain.sign(
        key, chain_id=chain.identity()[0], nonce=chain.nonce(sender), to=to, data=data, gas=gas, fees=chain.fees()
    )
    chain.broadcast(raw)
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        receipt = chain.receipt(tx_hash)
        if receipt is not None:
            if not receipt.success:
                raise ChainRefused(f"transaction 0x{tx_hash.hex()} reverted")
            return receipt
        if time.monotonic() > deadline:
            raise ChainUnavailable(f"transaction 0x{tx_hash.hex()} was not mined within {_WAIT_SECONDS:.0f} s")
        time.sleep(0.2)


def save_deployed(path: Path, deployed: Deployed) -> None:
    """Write `deployment.json` so that it is there whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("w") as file:
        json.dump(asdict(deployed), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def load_deployed(path: Path) -> Deployed | None:
    """Read it back; None when there is none."""
    if not path.exists():
        return None
    try:
        return Deployed(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise SettlementConfigError(
            f"{path}: {error}; restore it from a copy, it names the contracts in use"
        ) from error
