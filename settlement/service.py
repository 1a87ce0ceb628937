"""The settlement process: wires chain, ledger, daemon and follower together from a configuration and runs them.

    settlement.service.run(config, stop, prover)      in a process of the venue
    python -m settlement --config FILE.json           by hand

It starts whether or not the chain answers, and whether or not anything has been sealed; until then it waits and says
so. A chain that is not the one in the ledger stops it, except the embedded one, whose folder may have been deleted:
there it says so and anchors everything again on a new deployment.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from settlement.anchor import Anchor, AnchorSettings
from settlement.attest import Attester, Verify
from settlement.chain import EMBEDDED, Chain, address_of
from settlement.deploy import Deployed, deploy, load_deployed, save_deployed
from settlement.errors import ChainChanged, SettlementConfigError
from settlement.follower import Prover, SettlementFollower
from settlement.keys import Keys, load_keys
from settlement.ledger import Deployment, Ledger
from settlement.sender import GWEI, FeePolicy

log = logging.getLogger("venue.settlement")


@dataclass(frozen=True)
class SettlementConfig:
    """Settings of the process; paths are absolute.

    `simulated_finality_blocks` must be set for anything to become final on a chain without finality, and must not be
    set on any other. `anchor_address` and `verifier_address` name contracts that exist; without them the embedded
    chain, or a chain with `deploy`, gets new ones.
    """

    data_dir: str
    archive_dir: str
    program_id: str
    chain: str = EMBEDDED
    simulated_finality_blocks: int = 0
    ledger_url: str = ""
    range_batches: int = 8
    range_seconds: float = 10.0
    prove_seconds: float = 10.0
    poll_seconds: float = 1.0
    resubmit_seconds: float = 48.0
    max_fee_gwei: int = 500
    rpc_timeout_seconds: float = 10.0
    deploy: bool = False
    stop_ledger: bool = False

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> SettlementConfig:
        """Check names and types; the message names the setting."""
        known = {field.name: field for field in fields(cls)}
        for name in config:
            if name not in known:
                raise SettlementConfigError(f"settlement.{name}: no such setting; there are {', '.join(known)}")
        for name in ("data_dir", "archive_dir", "program_id"):
            if not isinstance(config.get(name), str) or not config[name]:
                raise SettlementConfigError(f"settlement.{name}: must be given")
        made = cls(**{name: config[name] for name in config})
        for name, field in known.items():
            value = getattr(made, name)
            kinds = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}[str(field.type)]
            if not isinstance(value, kinds) or (isinstance(value, bool) and field.type != "bool"):
                raise SettlementConfigError(f"settlement.{name}: must be {field.type}, is {value!r}")
        made.program()
        made.anchor_settings()
        if made.poll_seconds <= 0 or made.rpc_timeout_seconds <= 0:
            raise SettlementConfigError("settlement.poll_seconds: must be above 0, and rpc_timeout_seconds too")
        if made.simulated_finality_blocks < 0:
            raise SettlementConfigError("settlement.simulated_finality_blocks: must be 0 (off) or a number of blocks")
        return made

    def program(self) -> bytes:
        """The program id as bytes."""
        try:
            program = bytes.fromhex(self.program_id.removeprefix("0x"))
        except ValueError:
            program = b""
        if len(program) != 32 or program == bytes(32):
            raise SettlementConfigError(f"settlement.program_id: must be 32 bytes in hex, is {self.program_id!r}")
        return program

    def anchor_settings(self) -> AnchorSettings:
        """The daemon's part."""
        policy = FeePolicy(self.resubmit_seconds, self.max_fee_gwei * GWEI)
        return AnchorSettings(self.range_batches, self.range_seconds, self.prove_seconds, policy)

    @property
    def folder(self) -> Path:
        """Where settlement keeps its files."""
        return Path(self.data_dir) / "settlement"


def open_ledger(config: SettlementConfig) -> Ledger:
    """The ledger of a configuration; also for readers."""
    if config.ledger_url:
        return Ledger.open(config.ledger_url)
    return Ledger.embedded(Path(config.data_dir) / "ledger")


class Settlement:
    """Everything of one process. `step` and `prove_step` are the two threads' work, for whoever drives them by hand."""

    def __init__(
        self,
        config: SettlementConfig,
        prover: Prover | None = None,
        verify: Verify | None = None,
        checkpoint: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.config = config
        self.config.folder.mkdir(parents=True, exist_ok=True)
        self._settings = config.anchor_settings()
        self._checkpoint = checkpoint
        self._verify = verify
        self._anchor: Anchor | None = None
        self.keys: Keys = load_keys(config.folder / "keys", make_missing=config.chain.startswith(EMBEDDED))
        self.ledger = open_ledger(config)
        try:
            self.ledger.claim()
            funded = tuple(address_of(key) for key in (self.keys.owner, self.keys.committer, self.keys.prover))
            self.chain = Chain(
                config.chain,
                folder=config.folder / "chain",
                funded=funded,
                simulated_finality_blocks=config.simulated_finality_blocks,
                timeout_seconds=config.rpc_timeout_seconds,
            )
        except BaseException:
            self.ledger.close()
            raise
        self.follower = SettlementFollower(
            self.ledger, Path(config.archive_dir), self.anchor, prover, self._attesters, config.poll_seconds
        )

    def anchor(self) -> Anchor | None:
        """The daemon on the deployment in use; None while nothing has been sealed that could begin one."""
        self.ledger.claim()
        if self._anchor is None:
            deployment = self._deployment()
            if deployment is None:
                return None
            self._anchor = Anchor(
                self.chain, self.ledger, deployment, self.keys, self._settings, checkpoint=self._checkpoint
            )
        return self._anchor

    def close(self) -> None:
        """Let go of ledger and chain."""
        self.ledger.close(stop_server=self.config.stop_ledger)
        self.chain.close()

    def _attesters(self, deployment: Deployment) -> list[Attester]:
        if self._verify is None:
            return []
        return [Attester(self.keys.verifier, deployment.chain_id, deployment.attested_verifier, self._verify)]

    @property
    def _deployed_path(self) -> Path:
        return self.config.folder / "deployment.json"

    def _deployment(self) -> Deployment | None:
        """The deployment in the ledger, in `deployment.json`, or a new one."""
        identity = self.chain.identity()
        mine = self.ledger.deployment()
        if mine is not None and self._is_there(mine, identity):
            return mine
        deployed = load_deployed(self._deployed_path)
        if deployed is not None and self._is_usable(deployed, identity):
            log.warning("the ledger lacked the deployment at 0x%s; taken from deployment.json", deployed.anchor)
            return self._note(deployed)
        if (mine is not None or deployed is not None) and not self.config.chain.startswith(EMBEDDED):
            raise ChainChanged(
                f"chain {self.config.chain} is not the one in the ledger, or the contracts are gone; connect it to the "
                "right chain, or give it a new data_dir and ledger"
            )
        if mine is not None or deployed is not None:
            log.warning("the embedded chain is a new one: all batches are anchored again on a new deployment")
        return self._deploy()

    def _is_there(self, mine: Deployment, identity: tuple[int, bytes]) -> bool:
        return (mine.chain_id, mine.genesis_hash) == identity and bool(self.chain.code(mine.anchor))

    def _is_usable(self, deployed: Deployed, identity: tuple[int, bytes]) -> bool:
        same = (deployed.chain_id, bytes.fromhex(deployed.genesis_hash)) == identity
        return same and bool(self.chain.code(bytes.fromhex(deployed.anchor)))

    def _deploy(self) -> Deployment | None:
        if not self.config.chain.startswith(EMBEDDED) and not self.config.deploy:
            raise SettlementConfigError(
                f"settlement: no contracts are known on {self.config.chain}; put deployment.json into "
                f"{self.config.folder}, or set settlement.deploy to make new ones with owner.key"
            )
        first = self.ledger.first_batch_id()
        if first is None:
            return None
        deployed = deploy(self.chain, self.keys, self.ledger.records([first])[0], self.config.program())
        save_deployed(self._deployed_path, deployed)
        return self._note(deployed)

    def _note(self, deployed: Deployed) -> Deployment:
        return self.ledger.add_deployment(
            deployed.chain_id,
            bytes.fromhex(deployed.genesis_hash),
            bytes.fromhex(deployed.anchor),
            bytes.fromhex(deployed.attested_verifier),
            deployed.block_number,
            deployed.first_batch_id,
        )


def run(
    config: Mapping[str, Any],
    stop: threading.Event,
    prover: Prover | None = None,
    verify: Verify | None = None,
) -> None:
    """Settle until `stop` is set. Without a prover batches are only committed; without `verify` none is attested."""
    settlement = Settlement(SettlementConfig.from_mapping(config), prover, verify)
    try:
        settlement.follower.run(stop)
    finally:
        settlement.close()
