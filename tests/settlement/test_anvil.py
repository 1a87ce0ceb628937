"""Against anvil, a chain that is not ours: JSON-RPC, a pool of waiting transactions, reorganisations, real tags."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement.chain import Chain, address_of
from settlement.errors import ChainChanged, ChainUnavailable, SettlementConfigError
from settlement.keys import load_keys
from settlement.service import Settlement
from tests.settlement.samples import HashProver, config, exactly_once, linked, seal, the_anchor

ROOT = Path(__file__).parent.parent.parent
BINARY = ROOT / ".cache/node/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
pytestmark = pytest.mark.chain


class Anvil:
    """One anvil process on a port of its own; blocks are mined when a test says so."""

    def __init__(self, port: int = 0, *options: str) -> None:
        if not port:
            with socket.socket() as reserved:
                reserved.bind(("127.0.0.1", 0))
                port = reserved.getsockname()[1]
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        binary = shutil.which("anvil") or str(BINARY)
        if not Path(binary).exists():
            pytest.fail(f"anvil is missing: run .ci/anvil, which puts it at {BINARY.relative_to(ROOT)}")
        command = [binary, "--host", "127.0.0.1", "--port", str(port), "--hardfork", "osaka", "--enable-tx-gas-limit"]
        command += ["--slots-in-an-epoch", "4", "--silent", "--no-mining", *options]
        self.process = subprocess.Popen(command)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.rpc("eth_chainId")
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)

    def rpc(self, method: str, *parameters: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            data = json.load(answer)
        assert "error" not in data, data
        return data["result"]

    def mine(self, blocks: int = 1) -> None:
        self.rpc("anvil_mine", hex(blocks))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    started = Anvil()
    yield started
    started.stop()


Make = Callable[..., Settlement]


@pytest.fixture
def make(tmp_path: Path, archive: Path, ledger_url: str, anvil: Anvil) -> Iterator[Make]:
    opened: list[Settlement] = []
    keys = load_keys(tmp_path / "settlement" / "keys", make_missing=True)
    for key in (keys.owner, keys.committer, keys.prover):
        anvil.rpc("anvil_setBalance", "0x" + address_of(key).hex(), hex(10**20))

    def open_again(**more: Any) -> Settlement:
        for settlement in opened:
            settlement.close()
        opened.clear()
        prover = HashProver(tmp_path)
        settings = {"chain": anvil.url, "deploy": True, "simulated_finality_blocks": 0, "resubmit_seconds": 3600.0}
        made = Settlement(config(tmp_path, archive, ledger_url, **{**settings, **more}), prover, prover.verify)
        opened.append(made)
        return made

    yield open_again
    for settlement in opened:
        settlement.close()


def deployed(settlement: Settlement, anvil: Anvil, archive: Path) -> Settlement:
    """Deploying waits for its blocks, so anvil mines by itself for that time."""
    seal(archive, linked(1))
    settlement.follower.archive.notice()
    anvil.rpc("evm_setAutomine", True)
    the_anchor(settlement)
    anvil.rpc("evm_setAutomine", False)
    return settlement


def settle(settlement: Settlement, anvil: Anvil) -> None:
    for _ in range(60):
        settlement.follower.step()
        settlement.follower.prove_step()
        anvil.mine()
        if {state.state for state in settlement.ledger.batch_states()} == {"final"}:
            exactly_once(settlement)
            return
    raise AssertionError(settlement.ledger.summary())


def commits(settlement: Settlement) -> list[Any]:
    return settlement.ledger.transactions(the_anchor(settlement).deployment, kind="commit")


def test_batches_become_final(make: Make, anvil: Anvil, archive: Path) -> None:
    """Final means: the chain's own finalized tag."""
    settlement = deployed(make(range_batches=4), anvil, archive)
    seal(archive, linked(10))
    settle(settlement, anvil)
    head = settlement.chain.head()
    assert head.why == "finalized by the chain"
    assert all(row.block_number <= head.final for row in commits(settlement))
    assert {state.assurance for state in settlement.ledger.batch_states()} == {"attested"}


def test_simulated_finality_is_refused(make: Make, anvil: Anvil, archive: Path) -> None:
    with pytest.raises(SettlementConfigError, match=r"remove settlement\.simulated_finality_blocks"):
        make(simulated_finality_blocks=4).chain.head()


def test_waits_in_the_pool_and_is_replaced(make: Make, anvil: Anvil, archive: Path) -> None:
    settlement = deployed(make(resubmit_seconds=0.0), anvil, archive)
    for _ in range(4):
        settlement.follower.step()
    attempts = settlement.ledger.attempts(commits(settlement)[0])
    assert len(attempts) == 4
    assert [settlement.chain.knows(attempt.tx_hash) for attempt in attempts] == [False, False, False, True]
    anvil.mine()
    settlement.follower.step()
    assert commits(settlement)[0].tx_hash == attempts[-1].tx_hash
    settle(settlement, anvil)


def test_an_earlier_attempt_is_mined(make: Make, anvil: Anvil, archive: Path) -> None:
    settlement = deployed(make(resubmit_seconds=0.0), anvil, archive)
    for _ in range(3):
        settlement.follower.step()
    attempts = settlement.ledger.attempts(commits(settlement)[0])
    anvil.rpc("anvil_dropTransaction", "0x" + attempts[-1].tx_hash.hex())
    settlement.chain.broadcast(attempts[0].raw)
    anvil.mine()
    settlement.follower.step()
    row = commits(settlement)[0]
    assert row.state == "mined" and row.tx_hash == attempts[0].tx_hash
    settle(settlement, anvil)


def test_dropped_from_the_pool(make: Make, anvil: Anvil, archive: Path) -> None:
    settlement = deployed(make(), anvil, archive)
    settlement.follower.step()
    first = settlement.ledger.attempts(commits(settlement)[0])[0]
    anvil.rpc("anvil_dropTransaction", "0x" + first.tx_hash.hex())
    assert not settlement.chain.knows(first.tx_hash)
    settlement.follower.step()
    assert settlement.chain.knows(first.tx_hash), "the same bytes are sent again"
    settle(settlement, anvil)
    assert len(settlement.ledger.attempts(commits(settlement)[0])) == 1


def test_fee_below_base_fee(make: Make, anvil: Anvil, archive: Path) -> None:
    settlement = deployed(make(), anvil, archive)
    settlement.follower.step()
    anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * 10**9))
    anvil.mine()
    settlement.follower.step()
    assert commits(settlement)[0].state == "sent"
    settlement = make(resubmit_seconds=0.0)
    for _ in range(8):
        settlement.follower.step()
        anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * 10**9))
        anvil.mine()
    assert commits(settlement)[0].state in ("mined", "safe", "final")
    assert len(settlement.ledger.attempts(commits(settlement)[0])) > 1


@pytest.mark.parametrize("depth", [1, 3])
def test_reorganisation(make: Make, anvil: Anvil, archive: Path, depth: int, caplog: pytest.LogCaptureFixture) -> None:
    """Blocks are replaced by empty ones; what was in them is sent again and mined once."""
    settlement = deployed(make(range_batches=1), anvil, archive)
    seal(archive, linked(2))
    for _ in range(depth + 1):
        settlement.follower.step()
        anvil.mine()
    settlement.follower.step()
    before = commits(settlement)[0]
    assert before.state == "mined"
    anvil.rpc("anvil_reorg", depth + 1, [])
    settlement.follower.step()
    assert "reorganisation" in caplog.text
    settle(settlement, anvil)
    after = commits(settlement)[0]
    assert after.tx_hash == before.tx_hash and after.block_hash != before.block_hash


def test_chain_goes_down_and_comes_back(make: Make, anvil: Anvil, archive: Path) -> None:
    """It stops answering for a while: nothing is lost, nothing is sent twice."""
    settlement = deployed(make(rpc_timeout_seconds=0.5), anvil, archive)
    settlement.follower.step()
    anvil.process.send_signal(signal.SIGSTOP)
    seal(archive, linked(3))
    for _ in range(2):
        with pytest.raises(ChainUnavailable, match=r"127\.0\.0\.1"):
            settlement.follower.step()
    assert len(settlement.ledger.batch_states()) == 3
    anvil.process.send_signal(signal.SIGCONT)
    settle(settlement, anvil)


def test_another_chain_in_its_place(make: Make, anvil: Anvil, archive: Path) -> None:
    settlement = deployed(make(), anvil, archive)
    settlement.follower.step()
    anvil.stop()
    with pytest.raises(ChainUnavailable, match=r"127\.0\.0\.1"):
        settlement.follower.step()
    other = Anvil(anvil.port, "--chain-id", "999")
    try:
        with pytest.raises(ChainChanged, match="999"):
            settlement.follower.step()
        with pytest.raises(ChainChanged, match="connect it to the right chain"):
            make().follower.step()
    finally:
        other.stop()


def test_not_a_chain(anvil: Anvil) -> None:
    anvil.stop()
    with pytest.raises(ChainUnavailable, match=r"chain http://127\.0\.0\.1"):
        Chain(anvil.url).identity()
