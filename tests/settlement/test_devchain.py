"""The development chain as a process: the same chain over JSON-RPC, killed and found again."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement import devchain
from settlement.chain import Chain, address_of
from settlement.deploy import send_and_wait
from settlement.errors import ChainRefused, ChainUnavailable, SettlementConfigError
from settlement.keys import load_keys
from settlement.service import Settlement
from tests.settlement.samples import HashProver, config, linked, seal, settle, the_anchor

ROOT = Path(__file__).parent.parent.parent


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A running chain's file."""
    stop = threading.Event()
    thread = threading.Thread(target=devchain.run, args=(tmp_path, stop))
    thread.start()
    wait_for(tmp_path / "chain.json")
    yield tmp_path / "chain.json"
    stop.set()
    thread.join(timeout=30)
    assert not thread.is_alive()


@pytest.fixture
def chain(file: Path) -> Chain:
    keys = load_keys(file.parent / "settlement" / "keys", make_missing=False)
    return Chain(f"eth-tester://{file}", funded=devchain.funded_by(keys), simulated_finality_blocks=3)


def test_same_answers_as_in_process(chain: Chain, file: Path) -> None:
    keys = load_keys(file.parent / "settlement" / "keys", make_missing=False)
    owner = address_of(keys.owner)
    receipt = send_and_wait(chain, keys.owner, owner, b"")
    assert receipt.success and receipt.gas_used == 21_000 and receipt.contract is None
    assert chain.block_hash(receipt.block.number) == receipt.block.hash
    assert chain.nonce(owner) == 1 and chain.balance_wei(owner) > 0 and chain.code(owner) == b""
    assert chain.knows(receipt.tx_hash) and not chain.knows(bytes(32))
    assert chain.receipt(bytes(32)) is None and chain.block_hash(99) is None
    for _ in range(4):
        chain.advance()
    head = chain.head()
    assert (head.latest.number, head.final) == (5, 2) and "SIMULATED" in head.why


def test_no_finality_unless_switched_on(file: Path) -> None:
    head = Chain(f"eth-tester://{file}").head()
    assert head.safe is None and head.final is None
    url = json.loads(file.read_text())["url"]
    assert Chain(url).head().final is None, "also to somebody who takes it for a real chain"


def test_refusals_carry_the_reason(chain: Chain, file: Path) -> None:
    keys = load_keys(file.parent / "settlement" / "keys", make_missing=False)
    facts: dict[str, Any] = {"chain_id": chain.identity()[0], "to": bytes(20), "data": b"", "gas": 30_000}
    raw, _ = chain.sign(keys.owner, nonce=7, fees=chain.fees(), **facts)
    with pytest.raises(ChainRefused, match="nonce"):
        chain.broadcast(raw)


def post(file: Path, body: bytes, length: str | None = None) -> tuple[int, bytes]:
    host = json.loads(file.read_text())["url"].removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("POST", "/", body, {"content-length": length or str(len(body))})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not a JSON-RPC request"),
        (b"{", "not a JSON-RPC request"),
        (b"[]", "not a JSON-RPC request"),
        (b"7", "not a JSON-RPC request"),
        (b'{"id": 1}', "not a JSON-RPC request"),
        (b'{"id": 1, "method": "evm_revert", "params": ["0x0"]}', "not available"),
        (b'{"id": 1, "method": "eth_sendTransaction", "params": [{}]}', "not available"),
        (b'{"id": 1, "method": ["eth_call"], "params": []}', "not a JSON-RPC request"),
        (b'{"id": 1, "method": "eth_getBalance", "params": ["nonsense", "latest"]}', ""),
        (b'{"id": 1, "method": "eth_sendRawTransaction", "params": ["0x1234"]}', ""),
        (b'{"id": 1, "method": "eth_getBlockByNumber", "params": 5}', "not a JSON-RPC request"),
    ],
)
def test_bad_requests_are_answered(file: Path, body: bytes, words: str) -> None:
    status, data = post(file, body)
    assert status == 200
    error = json.loads(data)["error"]
    assert words in error["message"] and error["message"]


@pytest.mark.parametrize("length", ["nonsense", str(devchain.BODY_BYTES_MAX + 1), "-1"])
def test_bad_lengths(file: Path, length: str) -> None:
    assert post(file, b"{}", length)[0] == 413


def test_a_chain_that_is_not_up_yet(tmp_path: Path) -> None:
    """The file is read again at every failure, so that the chain may come later."""
    chain = Chain(f"eth-tester://{tmp_path / 'chain.json'}")
    with pytest.raises(ChainUnavailable):
        chain.identity()
    stop = threading.Event()
    thread = threading.Thread(target=devchain.run, args=(tmp_path, stop))
    thread.start()
    wait_for(tmp_path / "chain.json")
    with pytest.raises(ChainUnavailable):
        chain.identity()
    assert chain.identity()[0] > 0
    stop.set()
    thread.join()


def test_one_process_a_chain(file: Path) -> None:
    with pytest.raises(SettlementConfigError, match="another process runs this chain"):
        devchain.run(file.parent, threading.Event())
    assert devchain.main(["--data-dir", str(file.parent)]) == 2


def test_killed_and_started_again(tmp_path: Path, archive: Path, ledger_url: str) -> None:
    """SIGKILL of the chain's process in the middle: settlement waits, finds it again and finishes."""

    def start() -> subprocess.Popen[bytes]:
        (tmp_path / "chain.json").unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-m", "settlement.devchain", "--data-dir", str(tmp_path)], cwd=ROOT)
        wait_for(tmp_path / "chain.json")
        return process

    process = start()
    try:
        prover = HashProver(tmp_path)
        settings = config(tmp_path, archive, ledger_url, chain=f"eth-tester://{tmp_path}/chain.json", range_batches=2)
        settlement = Settlement(settings, prover, prover.verify)
        batches = linked(4)
        seal(archive, batches[:2])
        for _ in range(3):
            settlement.follower.step()
        address = the_anchor(settlement).deployment.anchor
        process.kill()
        process.wait()
        seal(archive, batches)
        with pytest.raises(ChainUnavailable):
            settlement.follower.step()
        process = start()
        with pytest.raises(ChainUnavailable):
            settlement.follower.step()
        settle(settlement)
        assert the_anchor(settlement).deployment.anchor == address
        settlement.close()
    finally:
        process.kill()
        process.wait()
