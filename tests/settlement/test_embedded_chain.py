"""The embedded chain survives its process: same blocks, same contracts; and it tells damage from a torn tail."""

from __future__ import annotations

from pathlib import Path

import pytest

from settlement.chain import Chain, address_of
from settlement.deploy import send_and_wait
from settlement.embedded_chain import BlockLog
from settlement.errors import SettlementConfigError

KEY = b"\x11" * 32
ADDRESS = address_of(KEY)


def open_chain(folder: Path) -> Chain:
    return Chain(folder=folder, funded=(ADDRESS,))


def send(chain: Chain, count: int) -> None:
    for _ in range(count):
        send_and_wait(chain, KEY, ADDRESS, b"")


def test_restart_keeps_everything(tmp_path: Path) -> None:
    chain = open_chain(tmp_path)
    send(chain, 5)
    chain.advance()
    before = (chain.identity(), chain.head(), chain.nonce(ADDRESS), chain.balance_wei(ADDRESS))
    chain.close()
    chain = open_chain(tmp_path)
    assert (chain.identity(), chain.head(), chain.nonce(ADDRESS), chain.balance_wei(ADDRESS)) == before
    send(chain, 1)
    chain.close()


def test_restart_after_blocks_were_taken_back(tmp_path: Path) -> None:
    chain = open_chain(tmp_path)
    send(chain, 3)
    assert chain.embedded is not None
    snapshot = chain.embedded.tester.take_snapshot()
    send(chain, 4)
    chain.embedded.tester.revert_to_snapshot(snapshot)
    chain.advance()
    head = chain.head().latest
    chain.close()
    chain = open_chain(tmp_path)
    assert chain.head().latest == head
    assert chain.nonce(ADDRESS) == 3
    chain.close()


def test_two_chains_have_two_identities(tmp_path: Path) -> None:
    one, two = open_chain(tmp_path / "one"), open_chain(tmp_path / "two")
    assert one.identity()[1] != two.identity()[1]
    one.close()
    two.close()


def test_one_process_a_folder(tmp_path: Path) -> None:
    chain = open_chain(tmp_path)
    with pytest.raises(SettlementConfigError, match="another process runs this chain"):
        open_chain(tmp_path)
    chain.close()
    open_chain(tmp_path).close()


def test_torn_block_is_cut_at_every_byte(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "blocks.log"
    blocks = BlockLog(path)
    blocks.append(b"first")
    blocks.append(b"second")
    blocks.close()
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        blocks = BlockLog(path)
        kept = blocks.read()
        assert kept == [b"first"] * (size >= 13)
        assert path.stat().st_size == 13 * len(kept)
        blocks.append(b"third")
        blocks.close()
        blocks = BlockLog(path)
        assert blocks.read() == [*kept, b"third"]
        blocks.close()
    assert "cut off" in caplog.text


def test_damage_before_the_end_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "blocks.log"
    blocks = BlockLog(path)
    for block in (b"first", b"second", b"third"):
        blocks.append(block)
    blocks.close()
    whole = path.read_bytes()
    for offset in (4, 8, 12, 21, 26):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        with pytest.raises(SettlementConfigError, match="damaged block at offset"):
            BlockLog(path).read()


def test_keep(tmp_path: Path) -> None:
    blocks = BlockLog(tmp_path / "blocks.log")
    for block in (b"first", b"second", b"third"):
        blocks.append(block)
    blocks.keep(1)
    blocks.append(b"fourth")
    assert BlockLog(tmp_path / "blocks.log").read() == [b"first", b"fourth"]
    blocks.keep(0)
    assert BlockLog(tmp_path / "blocks.log").read() == []


def test_killed_while_mining_loses_at_most_the_last_block(tmp_path: Path) -> None:
    """A half-written block was never confirmed to anybody; the chain goes on from the one before."""
    chain = open_chain(tmp_path)
    send(chain, 3)
    chain.close()
    path = tmp_path / "blocks.log"
    path.write_bytes(path.read_bytes()[:-10])
    chain = open_chain(tmp_path)
    assert chain.nonce(ADDRESS) == 2
    send(chain, 1)
    assert chain.nonce(ADDRESS) == 3
    chain.close()
