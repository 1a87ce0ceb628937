"""Which proofs go to the contract next, and as what.

A proof that the chain can verify itself makes its batch PROVEN. Every other proof reaches the contract as signatures of
registered verifiers and makes its batch ATTESTED; so does a re-execution (`replay`), whose attestation says that it is
one. Ranges are opened in order, so a proof of a later range waits until the ranges before it are final.
Nothing in here verifies or signs, and nothing may raise the name of what a proof is.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from settlement.attest import Claim, attestation_bytes
from settlement.chain import Chain, Contract, checksum
from settlement.contracts import load
from settlement.deploy import ATTESTED, PROVEN
from settlement.errors import ChainRefused
from settlement.ledger import Deployment, Ledger, Proof, Transaction
from venue.batches import record_path

log = logging.getLogger("venue.settlement.anchor")

# Kinds of proof that SP1's on-chain verifier takes as they are.
CHAIN_KINDS = ("groth16", "plonk")
_NO_ADDRESS = "0x" + "00" * 20


class Assurer:
    """Plans the next prove transaction of a deployment."""

    def __init__(
        self,
        chain: Chain,
        ledger: Ledger,
        deployment: Deployment,
        contract: Contract,
        sender: bytes,
        prove_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain, self._ledger, self._deployment = chain, ledger, deployment
        self._contract, self._sender = contract, sender
        self._verifier = chain.contract(deployment.attested_verifier, load("AttestedVerifier").abi)
        self._prove_seconds, self._monotonic = prove_seconds, monotonic
        self._ready_since: dict[int, float] = {}
        self._said: dict[int, str] = {}

    def plan(self) -> Transaction | None:
        """Plan the proof of the first range that has something new, if it is worth a transaction now."""
        ranges = self._ledger.promising(self._deployment, CHAIN_KINDS)
        if not ranges:
            return None
        has_prover = self._contract.read("verifiers", PROVEN) != _NO_ADDRESS
        if not has_prover:
            # Else ranges that could only be proven, and cannot be, would hide those that can be attested.
            ranges = self._ledger.promising(self._deployment, ())
        openable = int(self._contract.read("head").final_count) + 1
        levels = self._levels(has_prover)
        for range_id in ranges:
            if range_id > openable:
                break
            row = self._ledger.commit_of(self._deployment, range_id)
            reached = self._ledger.reached(self._deployment, row.batch_ids)
            offers = self._offers(row, reached, levels)
            if offers and self._worth_it(row, offers, reached):
                return self._plan_range(row, offers, reached)
        return None

    def _levels(self, has_prover: bool) -> Callable[[Proof], int]:
        """What a proof is good for on this deployment: PROVEN, ATTESTED or nothing yet."""
        threshold = int(self._verifier.read("threshold"))
        registered: dict[bytes, bool] = {}

        def is_registered(verifier: bytes) -> bool:
            if verifier not in registered:
                registered[verifier] = bool(self._verifier.read("is_verifier", checksum(verifier)))
            return registered[verifier]

        def level(proof: Proof) -> int:
            if has_prover and proof.kind in CHAIN_KINDS:
                return PROVEN
            signed = self._ledger.attestations(proof.id, self._deployment.attested_verifier)
            return ATTESTED if sum(map(is_registered, signed)) >= threshold else 0

        return level

    def _offers(
        self, row: Transaction, reached: dict[int, int], level: Callable[[Proof], int]
    ) -> dict[int, tuple[int, Proof]]:
        """The best proof for each batch of a range that would raise its assurance."""
        program = b""
        offers: dict[int, tuple[int, Proof]] = {}
        for proof in self._ledger.proofs(row.batch_ids):
            gain = level(proof) if proof.verified else 0
            if gain <= reached.get(proof.batch_id, 0) or gain <= offers.get(proof.batch_id, (0, proof))[0]:
                continue
            program = program or self._program(row.range_id)
            if proof.program_id != program:
                words = f"batch {proof.batch_id}: proof is under program 0x{proof.program_id.hex()}, the contract "
                self._say(proof.id, words + f"wants 0x{program.hex()}: owner's set_program, or prove again")
                continue
            offers[proof.batch_id] = (gain, proof)
        return offers

    def _program(self, range_id: int) -> bytes:
        program = bytes(self._contract.read("get_range", range_id).program_vkey)
        if program == bytes(32):
            program = bytes(self._contract.read("programs", self._contract.read("program_count")))
        return program

    def _worth_it(self, row: Transaction, offers: dict[int, tuple[int, Proof]], reached: dict[int, int]) -> bool:
        """A whole range at once is cheapest; a part of it goes when the rest keeps it waiting."""
        if all(batch in offers or reached.get(batch, 0) for batch in row.batch_ids):
            return True
        since = self._ready_since.setdefault(row.range_id, self._monotonic())
        return self._monotonic() - since >= self._prove_seconds

    def _plan_range(
        self, row: Transaction, offers: dict[int, tuple[int, Proof]], reached: dict[int, int]
    ) -> Transaction | None:
        assurance = max(gain for gain, _ in offers.values())
        chosen = {batch: proof for batch, (gain, proof) in offers.items() if gain == assurance}
        found = self._contract.read("get_range", row.range_id)
        on_chain = found.proven_count if assurance == PROVEN else found.assured_count
        known = sum(level >= assurance for level in reached.values())
        if on_chain > known and self._adopt(row, list(chosen), assurance):
            return None
        proofs = {batch: self._proof_bytes(proof, assurance) for batch, proof in chosen.items()}
        batch_ids = sorted(batch for batch, data in proofs.items() if data)
        if not batch_ids:
            return None
        data = self._calldata(row, assurance, {batch: proofs[batch] for batch in batch_ids})
        try:
            gas = self._chain.estimate_gas(self._sender, self._contract.address, data)
        except ChainRefused as error:
            self._say(-row.range_id, f"proofs of range {row.range_id} would be refused: {error}")
            return None
        self._ready_since.pop(row.range_id, None)
        proof_ids = [chosen[batch].id for batch in batch_ids]
        return self._ledger.plan(
            self._deployment,
            "prove",
            row.range_id,
            batch_ids,
            self._sender,
            data,
            gas,
            assurance=assurance,
            proof_ids=proof_ids,
        )

    def _calldata(self, row: Transaction, assurance: int, proofs: dict[int, bytes]) -> bytes:
        """All records of the range, or one record with its path where the range is open already."""
        records = self._ledger.records(row.batch_ids)
        opened = bytes(self._contract.read("get_range", row.range_id).program_vkey) != bytes(32)
        if opened and len(proofs) == 1:
            batch_id, proof = next(iter(proofs.items()))
            index = row.batch_ids.index(batch_id)
            path = record_path(records, index)
            return self._contract.encode(
                "prove_batch", row.range_id, index, assurance, records[index].to_bytes(), path, proof
            )
        data = [record.to_bytes() for record in records]
        return self._contract.encode(
            "prove", row.range_id, assurance, data, [proofs.get(record.batch_id, b"") for record in records]
        )

    def _proof_bytes(self, proof: Proof, assurance: int) -> bytes:
        """What the verifier contract gets; empty when the proof's file is not what was verified."""
        if assurance == ATTESTED:
            record = self._ledger.records([proof.batch_id])[0]
            claim = Claim(proof.program_id, record.public_values(), proof.proof_sha256, proof.backend)
            signatures = self._ledger.attestations(proof.id, self._deployment.attested_verifier)
            return attestation_bytes(claim, {who: sign for who, sign in signatures.items() if self._registered(who)})
        try:
            data = Path(proof.path).read_bytes()
        except OSError as error:
            self._say(proof.id, f"batch {proof.batch_id}: {error}; prove it again")
            return b""
        if hashlib.sha256(data).digest() != proof.proof_sha256:
            self._say(proof.id, f"{proof.path} is not the proof that was verified; prove batch {proof.batch_id} again")
            return b""
        return data

    def _registered(self, verifier: bytes) -> bool:
        return bool(self._verifier.read("is_verifier", checksum(verifier)))

    def _adopt(self, row: Transaction, batch_ids: Sequence[int], assurance: int) -> bool:
        """Assurances that the contract has and the ledger lacks (it was lost, or a crash came between)."""
        adopted: dict[bytes, list[Any]] = {}
        for batch_id in batch_ids:
            if self._contract.read("assurance_of", batch_id) >= assurance:
                events = self._contract.events("Assured", self._deployment.block_number, batch_id=batch_id)
                adopted.setdefault(bytes(events[-1]["transactionHash"]), []).append(events[-1]["args"])
        for tx_hash, events in adopted.items():
            found = [event["batch_id"] for event in events]
            self._ledger.adopt(
                self._deployment,
                "prove",
                row.range_id,
                found,
                self._sender,
                tx_hash,
                assurance=max(event["assurance"] for event in events),
            )
            log.warning("batches %s were assured on the chain and not in the ledger; adopted", found)
        return bool(adopted)

    def _say(self, topic: int, words: str) -> None:
        if self._said.get(topic) != words:
            self._said[topic] = words
            log.warning("%s", words)
