"""Chain access: finality is never invented, and every failure is one of two errors."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from settlement.chain import EMBEDDED, GAS_LIMIT_MAX, Chain, Fees, address_of
from settlement.deploy import send_and_wait
from settlement.errors import ChainRefused, ChainUnavailable, SettlementConfigError
from settlement.sender import GWEI, FeePolicy

KEY, POOR = b"\x11" * 32, b"\x12" * 32
ADDRESS = address_of(KEY)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    opened = Chain(folder=tmp_path, funded=(ADDRESS,), simulated_finality_blocks=4)
    yield opened
    opened.close()


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1", "127.0.0.1:8545", "eth-tester"])
def test_unknown_urls(url: str) -> None:
    with pytest.raises(SettlementConfigError, match=r"must be eth-tester:// or an http"):
        Chain(url)


def test_embedded_needs_a_folder() -> None:
    with pytest.raises(SettlementConfigError, match="needs a folder"):
        Chain(EMBEDDED)


def test_negative_finality(tmp_path: Path) -> None:
    with pytest.raises(SettlementConfigError, match="simulated_finality_blocks"):
        Chain(folder=tmp_path, simulated_finality_blocks=-1)


def test_simulated_finality_says_so(chain: Chain) -> None:
    for _ in range(6):
        chain.advance()
    head = chain.head()
    assert (head.latest.number, head.safe, head.final) == (6, 4, 2)
    assert "SIMULATED" in head.why and "4 blocks" in head.why


def test_no_finality_unless_switched_on(tmp_path: Path) -> None:
    """eth-tester's own answer to `finalized` is its latest block and is not believed."""
    chain = Chain(folder=tmp_path, funded=(ADDRESS,))
    chain.advance()
    assert chain.web3.eth.get_block("finalized")["number"] == 1
    head = chain.head()
    assert head.safe is None and head.final is None
    assert "simulated_finality_blocks" in head.why
    chain.close()


def test_blocks_and_receipts(chain: Chain) -> None:
    receipt = send_and_wait(chain, KEY, ADDRESS, b"")
    assert receipt.success and receipt.block.hash == chain.block_hash(receipt.block.number)
    assert chain.knows(receipt.tx_hash)
    assert chain.receipt(b"\x01" * 32) is None and not chain.knows(b"\x01" * 32)
    assert chain.block_hash(99) is None
    assert chain.code(ADDRESS) == b""


def test_receipt_of_a_replaced_block(chain: Chain) -> None:
    assert chain.embedded is not None
    snapshot = chain.embedded.tester.take_snapshot()
    receipt = send_and_wait(chain, KEY, ADDRESS, b"")
    chain.embedded.tester.revert_to_snapshot(snapshot)
    chain.advance()
    assert chain.receipt(receipt.tx_hash) is None


@pytest.mark.parametrize(
    ("nonce", "fees", "key", "words"),
    [
        (1, Fees(2 * GWEI, GWEI), KEY, "nonce"),
        (0, Fees(10, 1), KEY, "base fee"),
        (0, Fees(2 * GWEI, GWEI), POOR, "balance"),
    ],
)
def test_refusals_carry_the_reason(chain: Chain, nonce: int, fees: Fees, key: bytes, words: str) -> None:
    raw, tx_hash = chain.sign(
        key, chain_id=chain.identity()[0], nonce=nonce, to=ADDRESS, data=b"", gas=30_000, fees=fees
    )
    with pytest.raises(ChainRefused, match=words):
        chain.broadcast(raw)
    assert not chain.knows(tx_hash)


class Nonsense(http.server.BaseHTTPRequestHandler):
    """A server that is not a chain."""

    body = b"<html>hello</html>"

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"", b"{}", b"[]", b'{"jsonrpc":"2.0","id":0}', b"\xff\xfe"])
def test_a_server_that_is_not_a_chain(body: bytes) -> None:
    handler = type("Handler", (Nonsense,), {"body": body})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            with pytest.raises((ChainUnavailable, ChainRefused), match=r".+"):
                Chain(url).identity()
        finally:
            server.shutdown()
            thread.join()


def test_nobody_listens() -> None:
    with pytest.raises(ChainUnavailable, match=r"chain http://127\.0\.0\.1:1: ConnectionError"):
        Chain("http://127.0.0.1:1").head()


def test_gas_limit_is_a_legal_one(chain: Chain) -> None:
    assert 21_000 < chain.estimate_gas(ADDRESS, ADDRESS, b"") <= GAS_LIMIT_MAX


def test_fee_policy() -> None:
    policy = FeePolicy(max_fee_cap_wei=100 * GWEI)
    assert policy.raised(None, Fees(3 * GWEI, GWEI)) == Fees(3 * GWEI, GWEI)
    assert policy.raised(Fees(3 * GWEI, GWEI), Fees(3 * GWEI, GWEI)) == Fees(6 * GWEI, 2 * GWEI)
    assert policy.raised(Fees(3 * GWEI, GWEI), Fees(40 * GWEI, GWEI)) == Fees(40 * GWEI, 2 * GWEI)
    assert policy.raised(Fees(60 * GWEI, GWEI), Fees(3 * GWEI, GWEI)) is None
    assert policy.raised(None, Fees(300 * GWEI, 200 * GWEI)) == Fees(100 * GWEI, 100 * GWEI)
